//! Binding a graph to data rows.
//!
//! Owns the road from a graph to a compiled core: which output is meant, what the attacker
//! cannot touch (computed here, on the reference), and the engine that holds the rest. Called by
//! [`super`].

use super::apart;
use super::batch::{Bound, Free};
use super::head;
use super::narrow::{float_inputs, single};
use super::rows::{join_rows, padded, pick_rows};
use super::{Answer, PipelineOptions, request};
use crate::autodiff::upgrade;
use crate::engine::{Compiled, EngineError, EngineFacts, EngineKind, Program, compile, first};
use crate::graph::{Dim, Graph, OWN, ValueInfo};
use crate::lower::lower;
use crate::reference::{self, Precision};
use crate::split::split;
use crate::trees;
use crate::value::{DType, Inputs, Value};

/// A graph bound to rows and compiled.
pub(super) struct Opened {
    pub core: Graph,
    pub output: String,
    pub bound: Bound,
    pub kind: EngineKind,
    pub facts: EngineFacts,
    pub forward: Box<dyn Program>,
}

/// Lowers, cuts, narrows and compiles a graph for the rows of `inputs`.
pub(super) fn open(
    graph: &Graph,
    options: &PipelineOptions,
    inputs: &Inputs,
) -> Result<Opened, EngineError> {
    let mut graph = upgrade(&lower(graph));
    let output = choose_output(&graph, options)?;
    let output = head::pick(&mut graph, output, options)?;
    graph.outputs = vec![info_of(&graph, &output)];
    let (rows, inputs) = check_inputs(&graph, inputs)?;
    let fixed = fixed_batch(&graph);
    let width = fixed.unwrap_or(options.width).max(1);
    let asked = Asked { graph: &graph, output: &output, options, inputs: &inputs, rows };
    if let Some(opened) = asked.open(width)? {
        return Ok(opened);
    }
    match fixed {
        None => asked.open(1)?.ok_or_else(|| apart::mixed(1)),
        Some(width) => Err(apart::mixed(width)),
    }
}

/// A lowered graph and the rows that it is to be bound to.
struct Asked<'a> {
    graph: &'a Graph,
    output: &'a str,
    options: &'a PipelineOptions,
    inputs: &'a Inputs,
    rows: usize,
}

impl Asked<'_> {
    /// In batches of a width; `None` where a row's answer would depend on the others.
    fn open(&self, width: usize) -> Result<Option<Opened>, EngineError> {
        let Self { graph, options, inputs, rows, .. } = *self;
        let output = self.output.to_string();
        let names: Vec<String> = options.free.iter().map(|f| f.input.clone()).collect();
        if let Some(name) = names.iter().find(|n| !graph.inputs.iter().any(|i| i.name == **n)) {
            return Err(EngineError::Request(format!("the model has no input `{name}` to move")));
        }
        let cut = split(graph, &names, std::slice::from_ref(&output));
        if !cut.core.nodes.iter().any(|n| n.outputs.contains(&output)) {
            let words = format!("nothing that may move reaches the output `{output}`");
            return Err(EngineError::Request(words));
        }
        let mut core = float_inputs(&cut.core, &names);
        let prefix = Prefix { graph: &cut.prefix, inputs, rows, width };
        let Some(values) = prefix.values(&core, &names)? else { return Ok(None) };
        let mut frontier = values.by_row;
        for (name, value) in values.fixed {
            core.inputs.retain(|i| i.name != name);
            core.constants.insert(name, value);
        }
        core.inputs
            .retain(|i| names.contains(&i.name) || frontier.iter().any(|(n, _)| *n == i.name));
        let (compiled, core) = compile_core(core, options.engine, width, inputs, &mut frontier)?;
        let Compiled { kind, facts, program: forward } = compiled;
        let mut free = Vec::new();
        for wanted in &options.free {
            free.push(Free::of(wanted, &core, inputs)?);
        }
        let bound = Bound::of(rows, width, free, frontier);
        let run = |rows: &[usize]| {
            let x: Vec<f32> = rows.iter().flat_map(|&r| bound.clean_row(r)).copied().collect();
            forward.run(&bound.inputs(rows, &x, width)?, &[&output])
        };
        if !apart::apart(run, rows, width)? {
            return Ok(None);
        }
        Ok(Some(Opened { core, output, bound, kind, facts, forward }))
    }
}

/// Compiles the core for the wanted engine; what it cannot hold runs on the next one.
fn compile_core(
    mut core: Graph,
    wanted: EngineKind,
    width: usize,
    inputs: &Inputs,
    frontier: &mut [(String, Value)],
) -> Result<(Compiled, Graph), EngineError> {
    for info in &mut core.inputs {
        let row = frontier.iter().find(|(n, _)| *n == info.name).map(|(_, v)| v);
        if let Some(value) = row.or_else(|| inputs.get(&info.name)) {
            let rest = value.shape().into_iter().skip(1);
            info.shape = Some(std::iter::once(width).chain(rest).map(Dim::Fixed).collect());
            if row.is_some() || info.dtype.is_none() {
                info.dtype = value.dtype();
            }
        }
    }
    let narrow = single(&core);
    let of = |kind: EngineKind| if kind.single() { &narrow } else { &core };
    let compiled = first(wanted, |kind| compile(of(kind), kind, 1))?;
    if !compiled.kind.single() {
        return Ok((compiled, core));
    }
    for (_, value) in frontier {
        if let Value::F64(t) = value {
            *value = Value::F32(t.map(|&v| v as f32));
        }
    }
    Ok((compiled, narrow))
}

/// The part of the model that the attacker cannot touch, over all rows.
struct Prefix<'a> {
    graph: &'a Graph,
    inputs: &'a Inputs,
    rows: usize,
    width: usize,
}

/// What the core reads besides the free inputs.
struct Values {
    by_row: Vec<(String, Value)>,
    fixed: Vec<(String, Value)>,
}

impl Prefix<'_> {
    /// `None` where a row's values depend on the other rows of its batch.
    fn values(&self, core: &Graph, free: &[String]) -> Result<Option<Values>, EngineError> {
        let mut values = Values { by_row: Vec::new(), fixed: Vec::new() };
        let mut computed = Vec::new();
        for info in core.inputs.iter().filter(|i| !free.contains(&i.name)) {
            match self.inputs.get(&info.name) {
                Some(value) => values.by_row.push((info.name.clone(), value.clone())),
                None => computed.push(info.name.as_str()),
            }
        }
        if computed.is_empty() {
            return Ok(Some(values));
        }
        let program = reference::prepare(self.graph, Precision::F32)?;
        let named =
            |(name, _): &(&String, &Value)| self.graph.inputs.iter().any(|i| i.name == **name);
        let given: Inputs =
            self.inputs.iter().filter(named).map(|(n, v)| (n.clone(), v.clone())).collect();
        let run = |rows: &[usize]| -> Result<Vec<Value>, EngineError> {
            Ok(program.run(&apart::picked(&given, rows)?, &computed)?)
        };
        if !apart::apart(run, self.rows, self.width)? {
            return Ok(None);
        }
        // A value belongs to rows when its leading dimension follows the batch.
        let narrow = fixed_batch(self.graph).is_none().then(|| run(&padded(&[0], self.width + 1)));
        let narrow = narrow.transpose()?;
        let all: Vec<usize> = (0..self.rows).collect();
        let mut parts: Vec<Vec<Value>> = vec![Vec::new(); computed.len()];
        for chunk in all.chunks(self.width) {
            for (part, value) in parts.iter_mut().zip(run(&padded(chunk, self.width))?) {
                part.push(value);
            }
        }
        for (i, (name, parts)) in computed.iter().zip(parts).enumerate() {
            let lead = |v: &Value| v.shape().first().copied();
            let follows = narrow.as_ref().is_none_or(|n| lead(&n[i]) == Some(self.width + 1));
            if follows && parts.iter().all(|p| lead(p) == Some(self.width)) {
                let joined = join_rows(parts).and_then(|v| pick_rows(&v, &all));
                let joined = joined.ok_or_else(|| rowless(name))?;
                values.by_row.push(((*name).to_string(), joined));
            } else if let Some(first) = parts.first()
                && parts.iter().all(|p| p == first)
                && narrow.as_ref().is_none_or(|n| n[i] == *first)
            {
                values.fixed.push(((*name).to_string(), first.clone()));
            } else {
                return Err(rowless(name));
            }
        }
        Ok(Some(values))
    }
}

fn rowless(name: &str) -> EngineError {
    EngineError::Request(format!(
        "the value `{name}` is neither one per row nor the same for every batch, so rows cannot \
         be judged one by one"
    ))
}

/// Every input, with the number of rows; a flat row is given the declared shape.
fn check_inputs(graph: &Graph, inputs: &Inputs) -> Result<(usize, Inputs), EngineError> {
    let mut checked = Inputs::new();
    let mut rows = None;
    for info in &graph.inputs {
        let name = &info.name;
        let value = inputs
            .get(name)
            .ok_or_else(|| EngineError::Request(format!("the input `{name}` is missing")))?;
        let value = as_declared(info, value.clone());
        let n = value.shape().first().copied().unwrap_or(0);
        if *rows.get_or_insert(n) != n {
            return Err(EngineError::Request(format!(
                "the input `{name}` has {n} rows where others have {}",
                rows.unwrap_or(0)
            )));
        }
        checked.insert(name.clone(), value);
    }
    match rows {
        Some(rows) if rows > 0 => Ok((rows, checked)),
        _ => Err(request("there are no rows")),
    }
}

fn as_declared(info: &ValueInfo, value: Value) -> Value {
    let Some(dims) = &info.shape else { return value };
    let given = value.shape();
    if given.len() == dims.len() || given.is_empty() || dims.is_empty() {
        return value;
    }
    let rest = dims[1..].iter().map(|d| match d {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    });
    let Some(rest) = rest.collect::<Option<Vec<_>>>() else { return value };
    let shape = [&[given[0]], &rest[..]].concat();
    value.clone().reshaped(shape).unwrap_or(value)
}

/// The batch size a model was written for, if it was; 1 where the rows of a batch would share
/// something, so that a row's answer is its own.
pub(super) fn fixed_batch(graph: &Graph) -> Option<usize> {
    let written = graph.inputs.iter().find_map(|i| match i.shape.as_ref()?.first()? {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    });
    // The scale of a dynamic quantisation follows the range of the whole batch.
    let shared = graph.nodes.iter().any(|n| n.op == "DynamicQuantizeLinear");
    written.or(shared.then_some(1))
}

/// The outputs that can hold an answer of that kind, in the order of the file.
///
/// Labels are whole numbers, texts or truth values, everything else is not. The margins that an
/// ensemble of its own file has beside its probabilities or values are an answer where logits
/// are asked for; otherwise they are read only by name.
#[must_use]
pub fn fitting_outputs(graph: &Graph, answer: Answer) -> Vec<&ValueInfo> {
    let ensemble = graph.nodes.iter().find(|n| n.domain == OWN && n.op == "TreeEnsemble");
    let margin = |o: &ValueInfo| {
        o.name == trees::MARGIN && ensemble.is_some_and(|n| n.outputs.contains(&o.name))
    };
    let margins = graph.outputs.iter().any(margin);
    let fits = |o: &&ValueInfo| {
        let label = matches!(o.dtype, Some(DType::I64 | DType::I32 | DType::Str | DType::Bool));
        match answer {
            Answer::Label => label,
            Answer::Logit if margins => margin(o),
            _ => !label && !margin(o),
        }
    };
    graph.outputs.iter().filter(fits).collect()
}

/// The declared output, past a `ZipMap`, which only renames columns.
pub(super) fn choose_output(
    graph: &Graph,
    options: &PipelineOptions,
) -> Result<String, EngineError> {
    let chosen = match &options.output {
        Some(name) => graph.outputs.iter().find(|o| o.name == *name).ok_or_else(|| {
            let known: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).collect();
            let known = known.join("`, `");
            EngineError::Request(format!("the model has no output `{name}`; it has `{known}`"))
        })?,
        None => {
            let found = fitting_outputs(graph, options.answer).into_iter().next();
            found.or(graph.outputs.first()).ok_or_else(|| request("the model has no output"))?
        }
    };
    let made = graph.nodes.iter().find(|n| n.outputs.contains(&chosen.name));
    Ok(match made {
        Some(node) if node.op == "ZipMap" => node.inputs[0].clone(),
        _ => chosen.name.clone(),
    })
}

pub(super) fn info_of(graph: &Graph, name: &str) -> ValueInfo {
    let declared = graph.outputs.iter().find(|o| o.name == name).cloned();
    declared.unwrap_or(ValueInfo { name: name.to_string(), dtype: Some(DType::F32), shape: None })
}
