//! Binding a graph to data rows, and batches of fixed width.
//!
//! Owns what is kept per row: clean free inputs, and the values that the untouchable part of
//! the model gives. Must never decide which engine is wanted nor what a score means beyond its
//! columns. Called by [`super`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::narrow::{EXACT_INTEGER, float_inputs, single};
use super::rows::{join_rows, padded, pick_rows};
use super::{Answer, FreeInput, PipelineOptions, request};
use crate::autodiff::upgrade;
use crate::engine::{EngineError, EngineFacts, EngineKind, Program, compile};
use crate::graph::{Dim, Graph, ValueInfo};
use crate::lower::lower;
use crate::reference::{self, Precision};
use crate::split::split;
use crate::value::{DType, Inputs, Tensor, Value};

/// A graph bound to rows and compiled.
pub(super) struct Opened {
    pub core: Graph,
    pub output: String,
    pub bound: Bound,
    pub kind: EngineKind,
    pub facts: EngineFacts,
    pub forward: Box<dyn Program>,
}

/// What every batch is made from.
pub(super) struct Bound {
    pub rows: usize,
    pub width: usize,
    pub dims: usize,
    /// `rows x dims`
    pub clean: Vec<f32>,
    pub free: Vec<Free>,
    /// Values that belong to rows and that the attacker cannot touch, all rows each.
    pub frontier: Vec<(String, Value)>,
}

/// A free input: its clean values and which coordinates move.
pub(super) struct Free {
    pub input: String,
    /// Shape of a row.
    shape: Vec<usize>,
    base: Base,
    columns: Vec<usize>,
}

enum Base {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Lowers, cuts, narrows and compiles a graph for the rows of `inputs`.
pub(super) fn open(
    graph: &Graph,
    options: &PipelineOptions,
    inputs: &Inputs,
) -> Result<Opened, EngineError> {
    let mut graph = upgrade(&lower(graph));
    let output = choose_output(&graph, options)?;
    graph.outputs = vec![info_of(&graph, &output)];
    let (rows, inputs) = check_inputs(&graph, inputs)?;
    let width = fixed_batch(&graph).unwrap_or(options.width).max(1);
    let names: Vec<String> = options.free.iter().map(|f| f.input.clone()).collect();
    if let Some(name) = names.iter().find(|n| !graph.inputs.iter().any(|i| i.name == **n)) {
        return Err(EngineError::Request(format!("the model has no input `{name}` to move")));
    }
    let cut = split(&graph, &names, std::slice::from_ref(&output));
    if !cut.core.nodes.iter().any(|n| n.outputs.contains(&output)) {
        let words = format!("nothing that may move reaches the output `{output}`");
        return Err(EngineError::Request(words));
    }
    let mut core = float_inputs(&cut.core, &names);
    let values =
        Prefix { graph: &cut.prefix, inputs: &inputs, rows, width }.values(&core, &names)?;
    let mut frontier = values.by_row;
    for (name, value) in values.fixed {
        core.inputs.retain(|i| i.name != name);
        core.constants.insert(name, value);
    }
    core.inputs.retain(|i| names.contains(&i.name) || frontier.iter().any(|(n, _)| *n == i.name));
    let (kind, facts, forward, core) =
        compile_core(core, options.engine, width, &inputs, &mut frontier)?;
    let mut free = Vec::new();
    for wanted in &options.free {
        free.push(Free::of(wanted, &core, &inputs)?);
    }
    let bound = Bound::of(rows, width, free, frontier);
    Ok(Opened { core, output, bound, kind, facts, forward })
}

/// Compiles the core for the wanted engine; what rten cannot hold runs on the reference.
fn compile_core(
    mut core: Graph,
    wanted: EngineKind,
    width: usize,
    inputs: &Inputs,
    frontier: &mut [(String, Value)],
) -> Result<(EngineKind, EngineFacts, Box<dyn Program>, Graph), EngineError> {
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
    if !matches!(wanted, EngineKind::Auto | EngineKind::Rten) {
        let program = compile(&core, wanted, 1)?;
        return Ok((wanted, wanted.facts(), program, core));
    }
    let narrow = single(&core);
    match compile(&narrow, EngineKind::Rten, 1) {
        Ok(program) => {
            for (_, value) in frontier {
                if let Value::F64(t) = value {
                    *value = Value::F32(t.map(|&v| v as f32));
                }
            }
            Ok((EngineKind::Rten, EngineKind::Rten.facts(), program, narrow))
        }
        Err(EngineError::Unsupported { reason, .. }) => {
            let kind = EngineKind::Reference;
            let program = compile(&core, kind, 1)?;
            let note = Some(format!("rten cannot run this part of the model: {reason}"));
            Ok((kind, EngineFacts { note, ..kind.facts() }, program, core))
        }
        Err(error) => Err(error),
    }
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
    fn values(&self, core: &Graph, free: &[String]) -> Result<Values, EngineError> {
        let mut values = Values { by_row: Vec::new(), fixed: Vec::new() };
        let mut computed = Vec::new();
        for info in core.inputs.iter().filter(|i| !free.contains(&i.name)) {
            match self.inputs.get(&info.name) {
                Some(value) => values.by_row.push((info.name.clone(), value.clone())),
                None => computed.push(info.name.as_str()),
            }
        }
        if computed.is_empty() {
            return Ok(values);
        }
        let program = reference::prepare(self.graph, Precision::F32)?;
        let run = |rows: &[usize]| -> Result<Vec<Value>, EngineError> {
            let mut batch = Inputs::new();
            for info in &self.graph.inputs {
                if let Some(value) = self.inputs.get(&info.name) {
                    let picked = pick_rows(value, rows);
                    batch.insert(info.name.clone(), picked.ok_or_else(|| request("no such row"))?);
                }
            }
            Ok(program.run(&batch, &computed)?)
        };
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
        Ok(values)
    }
}

fn rowless(name: &str) -> EngineError {
    EngineError::Request(format!(
        "the value `{name}` is neither one per row nor the same for every batch, so rows cannot \
         be judged one by one"
    ))
}

impl Free {
    fn of(wanted: &FreeInput, core: &Graph, inputs: &Inputs) -> Result<Self, EngineError> {
        let name = &wanted.input;
        let value = inputs
            .get(name)
            .ok_or_else(|| EngineError::Request(format!("the input `{name}` is missing")))?;
        let shape: Vec<usize> = value.shape().into_iter().skip(1).collect();
        let size: usize = shape.iter().product();
        if let Some(ints) = value.to_i64s()
            && ints.iter().any(|v| v.abs() >= EXACT_INTEGER)
        {
            return Err(EngineError::Request(format!(
                "the input `{name}` holds an integer beyond 2^24, which `f32` cannot move exactly"
            )));
        }
        let wide = core.inputs.iter().any(|i| i.name == *name && i.dtype == Some(DType::F64));
        let numbers = || {
            let words = format!("the input `{name}` holds no numbers, so nothing in it can move");
            value.to_f64s().ok_or(EngineError::Request(words))
        };
        let base = match value {
            Value::F32(t) => Base::F32(t.data().to_vec()),
            _ if wide => Base::F64(numbers()?),
            _ => Base::F32(numbers()?.into_iter().map(|v| v as f32).collect()),
        };
        let columns = match &wanted.columns {
            Some(columns) => columns.clone(),
            None => (0..size).collect(),
        };
        if let Some(column) = columns.iter().find(|&&c| c >= size) {
            let words = format!("the input `{name}` has {size} coordinates, not a {column}th");
            return Err(EngineError::Request(words));
        }
        Ok(Self { input: name.clone(), shape, base, columns })
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn clean(&self, row: usize, column: usize) -> f32 {
        let at = row * self.size() + column;
        match &self.base {
            Base::F32(v) => v[at],
            Base::F64(v) => v[at] as f32,
        }
    }

    /// The rows with the candidate's coordinates in place. A coordinate that equals the clean
    /// one keeps its full `f64`.
    fn batch(&self, rows: &[usize], x: &[f32], dims: usize, from: usize) -> Option<Value> {
        let size = self.size();
        let shape = [&[rows.len()], &self.shape[..]].concat();
        let candidate = |k: usize| &x[k * dims + from..k * dims + from + self.columns.len()];
        match &self.base {
            Base::F32(base) => {
                let mut data = Vec::with_capacity(rows.len() * size);
                for (k, &row) in rows.iter().enumerate() {
                    if self.columns.len() == size {
                        data.extend_from_slice(candidate(k));
                        continue;
                    }
                    let start = data.len();
                    data.extend_from_slice(&base[row * size..(row + 1) * size]);
                    for (&column, &v) in self.columns.iter().zip(candidate(k)) {
                        data[start + column] = v;
                    }
                }
                Tensor::new(shape, data).map(Value::F32)
            }
            Base::F64(base) => {
                let mut data = Vec::with_capacity(rows.len() * size);
                for (k, &row) in rows.iter().enumerate() {
                    let start = data.len();
                    data.extend_from_slice(&base[row * size..(row + 1) * size]);
                    for (&column, &v) in self.columns.iter().zip(candidate(k)) {
                        if v.to_bits() != self.clean(row, column).to_bits() {
                            data[start + column] = f64::from(v);
                        }
                    }
                }
                Tensor::new(shape, data).map(Value::F64)
            }
        }
    }
}

impl Bound {
    fn of(rows: usize, width: usize, free: Vec<Free>, frontier: Vec<(String, Value)>) -> Self {
        let dims = free.iter().map(|f| f.columns.len()).sum();
        let mut clean = Vec::with_capacity(rows * dims);
        for row in 0..rows {
            for input in &free {
                clean.extend(input.columns.iter().map(|&c| input.clean(row, c)));
            }
        }
        Self { rows, width, dims, clean, free, frontier }
    }

    /// Refuses rows that do not exist and candidates of another size.
    pub fn check(&self, rows: &[usize], x: &[f32]) -> Result<(), EngineError> {
        if let Some(row) = rows.iter().find(|&&r| r >= self.rows) {
            let words = format!("row {row} is asked for but the data has {} rows", self.rows);
            return Err(EngineError::Request(words));
        }
        if x.len() != rows.len() * self.dims {
            return Err(EngineError::Request(format!(
                "{} rows need {} coordinates, given {}",
                rows.len(),
                rows.len() * self.dims,
                x.len()
            )));
        }
        Ok(())
    }

    /// A batch of `width` rows: the candidates, the last one repeated.
    pub fn inputs(&self, rows: &[usize], x: &[f32]) -> Result<Inputs, EngineError> {
        let filled = padded(rows, self.width);
        let mut wide = Vec::new();
        let x = if filled.len() == rows.len() {
            x
        } else {
            let last = &x[x.len() - self.dims.min(x.len())..];
            wide.extend_from_slice(x);
            for _ in rows.len()..filled.len() {
                wide.extend_from_slice(last);
            }
            &wide
        };
        let mut inputs = Inputs::new();
        let mut from = 0;
        for free in &self.free {
            let value = free.batch(&filled, x, self.dims, from);
            let value = value.ok_or_else(|| request("a batch of the wrong size"))?;
            inputs.insert(free.input.clone(), value);
            from += free.columns.len();
        }
        for (name, value) in &self.frontier {
            let picked = pick_rows(value, &filled).ok_or_else(|| request("no such row"))?;
            inputs.insert(name.clone(), picked);
        }
        Ok(inputs)
    }

    /// The free coordinates of gradients, one per free input, as `rows x dims`.
    pub fn gather(&self, grads: &[Value], rows: usize) -> Result<Vec<f32>, EngineError> {
        if let ([free], [Value::F32(t)]) = (self.free.as_slice(), grads)
            && free.columns.len() == free.size()
        {
            return Ok(t.data()[..rows * self.dims].to_vec());
        }
        let grads = grads.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
        let mut out = Vec::with_capacity(rows * self.dims);
        for row in 0..rows {
            for (free, grad) in self.free.iter().zip(&grads) {
                out.extend(free.columns.iter().map(|&c| grad[row * free.size() + c]));
            }
        }
        Ok(out)
    }
}

/// How the declared output becomes scores.
pub(super) struct Column<'a> {
    pub output: &'a str,
    pub answer: Answer,
    pub classes: usize,
    pub labels: &'a [String],
    pub width: usize,
}

impl Column<'_> {
    /// Scores of the first `rows` rows.
    pub fn scores(&self, value: &Value, rows: usize) -> Result<Vec<f32>, EngineError> {
        if self.answer == Answer::Label {
            return self.labelled(value, rows);
        }
        if let Value::Maps(maps) = value {
            return self.mapped(maps, rows);
        }
        let data = floats(value)?;
        let columns = data.len() / self.width.max(1);
        if columns == self.classes {
            return Ok(data[..rows * columns].to_vec());
        }
        let mut scores = Vec::with_capacity(rows * 2);
        for &v in data.iter().take(rows) {
            let other = if self.answer == Answer::Probability { 1.0 - v } else { 0.0 };
            scores.extend([other, v]);
        }
        Ok(scores)
    }

    fn labelled(&self, value: &Value, rows: usize) -> Result<Vec<f32>, EngineError> {
        let texts: Vec<String> = match value {
            Value::Str(t) => t.data().to_vec(),
            Value::F32(t) => t.data().iter().map(ToString::to_string).collect(),
            other => match other.to_i64s() {
                Some(v) => v.iter().map(ToString::to_string).collect(),
                None => return Err(request("the label output holds neither numbers nor text")),
            },
        };
        let mut scores = vec![0.0; rows * self.classes];
        for (row, text) in texts.iter().take(rows).enumerate() {
            let class = self.labels.iter().position(|l| l == text).ok_or_else(|| {
                let known = self.labels.join("`, `");
                EngineError::Request(format!(
                    "the model answers `{text}`, which is none of the declared labels `{known}`"
                ))
            })?;
            scores[row * self.classes + class] = 1.0;
        }
        Ok(scores)
    }

    fn mapped(&self, maps: &[BTreeMap<String, f32>], rows: usize) -> Result<Vec<f32>, EngineError> {
        let mut scores = Vec::with_capacity(rows * self.classes);
        for map in maps.iter().take(rows) {
            if map.len() != self.classes {
                return Err(EngineError::Request(format!(
                    "the output `{}` maps {} labels, declared are {} classes",
                    self.output,
                    map.len(),
                    self.classes
                )));
            }
            for (i, (_, v)) in map.iter().enumerate() {
                let named = self.labels.get(i).and_then(|label| map.get(label));
                scores.push(*named.unwrap_or(v));
            }
        }
        Ok(scores)
    }
}

/// Columns of the declared output, found by running one batch.
pub(super) fn columns_of(
    program: &dyn Program,
    bound: &Bound,
    output: &str,
    answer: Answer,
) -> Result<usize, EngineError> {
    if bound.rows == 0 {
        return Err(request("there are no rows"));
    }
    let inputs = bound.inputs(&[0], &bound.clean[..bound.dims])?;
    let values = program.run(&inputs, &[output])?;
    let value = values.first().ok_or_else(|| request("the engine gave no output"))?;
    if let Value::Maps(maps) = value {
        return Ok(maps.first().map_or(0, BTreeMap::len));
    }
    if value.len() % bound.width != 0 || value.is_empty() {
        return Err(EngineError::Request(format!(
            "the output `{output}` has shape {:?} for {} rows: not one answer per row",
            value.shape(),
            bound.width
        )));
    }
    if answer == Answer::Label && value.len() != bound.width {
        return Err(EngineError::Request(format!("the output `{output}` is no label per row")));
    }
    Ok(value.len() / bound.width)
}

/// Runs chunks of `width` rows on `threads` threads; results in order, first error wins.
pub(super) fn chunks<T: Send>(
    rows: usize,
    width: usize,
    threads: usize,
    run: impl Fn(Range<usize>) -> Result<T, EngineError> + Sync,
) -> Result<Vec<T>, EngineError> {
    let count = rows.div_ceil(width);
    let range = |i: usize| i * width..((i + 1) * width).min(rows);
    if threads <= 1 || count <= 1 {
        return (0..count).map(|i| run(range(i))).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, EngineError>>>> =
        (0..count).map(|_| Mutex::new(None)).collect();
    // Plain threads, not a shared pool: a pool's worker that waits for an engine's own threads
    // would start another chunk meanwhile.
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(slot) = done.get(i) else { break };
                    let result = run(range(i));
                    if let Ok(mut slot) = slot.lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    let taken = |slot: Mutex<Option<Result<T, EngineError>>>| {
        let value = slot.into_inner().ok().flatten();
        value.unwrap_or_else(|| Err(request("a batch was not computed")))
    };
    done.into_iter().map(taken).collect()
}

/// Elements as `f32`.
pub(super) fn floats(value: &Value) -> Result<Vec<f32>, EngineError> {
    match value {
        Value::F32(t) => Ok(t.data().to_vec()),
        other => match other.to_f64s() {
            Some(v) => Ok(v.into_iter().map(|v| v as f32).collect()),
            None => Err(request("the output holds no numbers")),
        },
    }
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

/// The batch size a model was written for, if it was.
pub(super) fn fixed_batch(graph: &Graph) -> Option<usize> {
    graph.inputs.iter().find_map(|i| match i.shape.as_ref()?.first()? {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    })
}

/// The declared output, past a `ZipMap`, which only renames columns.
fn choose_output(graph: &Graph, options: &PipelineOptions) -> Result<String, EngineError> {
    let chosen = match &options.output {
        Some(name) => graph.outputs.iter().find(|o| o.name == *name).ok_or_else(|| {
            let known: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).collect();
            let known = known.join("`, `");
            EngineError::Request(format!("the model has no output `{name}`; it has `{known}`"))
        })?,
        None => {
            let label = |o: &&ValueInfo| {
                matches!(o.dtype, Some(DType::I64 | DType::I32 | DType::Str | DType::Bool))
            };
            let fits = |o: &&ValueInfo| label(o) == (options.answer == Answer::Label);
            let found = graph.outputs.iter().find(fits);
            found.or(graph.outputs.first()).ok_or_else(|| request("the model has no output"))?
        }
    };
    let made = graph.nodes.iter().find(|n| n.outputs.contains(&chosen.name));
    Ok(match made {
        Some(node) if node.op == "ZipMap" => node.inputs[0].clone(),
        _ => chosen.name.clone(),
    })
}

fn info_of(graph: &Graph, name: &str) -> ValueInfo {
    let declared = graph.outputs.iter().find(|o| o.name == name).cloned();
    declared.unwrap_or(ValueInfo { name: name.to_string(), dtype: Some(DType::F32), shape: None })
}
