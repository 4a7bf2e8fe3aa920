//! The embedded engine: rten, in `f32`.
//!
//! Owns the hand-over of graphs and tensors to rten, and the refusal of what rten would compute
//! as something else: it reads `f64` as `f32` and 64-bit integers as 32-bit ones, and knows no
//! text. Must never be asked for `Sign` (rten 0.27 gives `Sign(0) = 1`), for a cast to truth values
//! (it cuts fractions first) or for `ArgMax` (of equals it takes the last); [`fit`] holds more of
//! the kind. Called through [`crate::engine`].

mod fit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, ValueOrView, ValueView};

use crate::engine::{EngineError, Program, guarded};
use crate::graph::{Attribute, Graph, Node};
use crate::value::{DType, Inputs, Tensor, Value};
use crate::write::to_onnx;

/// Version of rten in this build.
pub const VERSION: &str = "0.27.0";

/// A graph loaded into rten.
pub struct RtenProgram {
    model: Model,
    inputs: Vec<(String, NodeId)>,
    outputs: BTreeMap<String, (NodeId, Option<DType>)>,
    threads: usize,
    idle: Mutex<Vec<Arc<ThreadPool>>>,
}

impl RtenProgram {
    /// Loads a graph; each run uses `threads` threads of its own.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for element types or operators that rten lacks.
    pub fn compile(graph: &Graph, threads: usize) -> Result<Self, EngineError> {
        let fitted = fit::fitted(graph);
        let graph = fitted.as_ref().unwrap_or(graph);
        refuse(graph)?;
        let bytes = match graph.nodes.iter().any(|n| matches!(n.op.as_str(), "ArgMax" | "ArgMin")) {
            true => to_onnx(&first_of_equals(graph)?)?,
            false => to_onnx(graph)?,
        };
        let mut options = ModelOptions::with_all_ops();
        // Packing weights once costs memory and saves doing it in every run.
        options.enable_optimization(true).prepack_weights(true);
        let model = guarded(|| options.load(bytes).map_err(|e| words(&e))).map_err(unsupported)?;
        let id = |name: &str| {
            model.node_id(name).map_err(|_| unsupported(format!("it dropped the value `{name}`")))
        };
        let mut inputs = Vec::new();
        for input in &graph.inputs {
            inputs.push((input.name.clone(), id(&input.name)?));
        }
        let mut outputs = BTreeMap::new();
        for output in &graph.outputs {
            outputs.insert(output.name.clone(), (id(&output.name)?, output.dtype));
        }
        let threads = threads.max(1);
        Ok(Self { model, inputs, outputs, threads, idle: Mutex::new(Vec::new()) })
    }

    /// A pool that no other run uses now. Runs that shared one would wait for each other.
    fn pool(&self) -> Arc<ThreadPool> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(self.threads)))
    }
}

impl Program for RtenProgram {
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError> {
        let mut narrowed: BTreeMap<&str, (Vec<usize>, Vec<i32>)> = BTreeMap::new();
        for (name, _) in &self.inputs {
            if let Some(value) = inputs.get(name)
                && let Some(data) = narrow(name, value)?
            {
                narrowed.insert(name, (value.shape(), data));
            }
        }
        let mut given: Vec<(NodeId, ValueOrView)> = Vec::with_capacity(self.inputs.len());
        for (name, id) in &self.inputs {
            let value =
                inputs.get(name).ok_or_else(|| failed(format!("the input `{name}` is missing")))?;
            given.push((*id, view(name, value, narrowed.get(name.as_str()))?));
        }
        let wanted = outputs
            .iter()
            .map(|&name| {
                let known = self.outputs.get(name).copied();
                known.ok_or_else(|| failed(format!("the graph has no output `{name}`")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<NodeId> = wanted.iter().map(|(id, _)| *id).collect();
        let pool = self.pool();
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let results = guarded(|| self.model.run(given, &ids, Some(options)).map_err(|e| words(&e)));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        let results = results.map_err(failed)?;
        results.into_iter().zip(&wanted).map(|(value, (_, dtype))| back(value, *dtype)).collect()
    }
}

/// Refuses what rten would silently compute as something else.
fn refuse(graph: &Graph) -> Result<(), EngineError> {
    let declared = graph.inputs.iter().chain(&graph.outputs);
    for info in declared {
        match info.dtype {
            Some(DType::F64 | DType::Str) | None => {
                let what = info.dtype.map_or("maps".to_string(), |d| d.to_string());
                return Err(unsupported(format!("`{}` is of type {what}", info.name)));
            }
            _ => {}
        }
    }
    for (name, value) in &graph.constants {
        refuse_value(name, value)?;
        if beyond_32_bits(value) && !bounds_only(graph, name) {
            let reason = format!("the constant `{name}` holds an integer beyond 32 bits");
            return Err(unsupported(reason));
        }
    }
    graph.nodes.iter().try_for_each(|node| {
        refuse_node(node)?;
        fit::lacking(graph, node).map_or(Ok(()), |what| {
            let label = label(node);
            Err(unsupported(format!("`{}` with {what} is not known there (`{label}`)", node.op)))
        })
    })
}

fn beyond_32_bits(value: &Value) -> bool {
    match value {
        Value::I64(t) => t.data().iter().any(|&v| i32::try_from(v).is_err()),
        _ => false,
    }
}

/// Whether a constant is read as a bound of `Slice` only: there rten's saturation is what the
/// writer meant by the largest integer.
fn bounds_only(graph: &Graph, name: &str) -> bool {
    let given = graph.outputs.iter().any(|o| o.name == name);
    let bound = |node: &Node, at: usize| node.op == "Slice" && (at == 1 || at == 2);
    let reads = graph.nodes.iter().flat_map(|n| n.inputs.iter().enumerate().map(move |i| (n, i)));
    !given && reads.filter(|(_, (_, input))| *input == name).all(|(n, (at, _))| bound(n, at))
}

/// The graph with every `ArgMax` and `ArgMin` as the first of `TopK`: of equal values rten takes
/// the last where ONNX asks for the first, which its `TopK` gives.
fn first_of_equals(graph: &Graph) -> Result<Graph, EngineError> {
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len() + 1), ..graph.clone() };
    for node in &graph.nodes {
        let largest = match node.op.as_str() {
            "ArgMax" => 1,
            "ArgMin" => 0,
            _ => {
                out.nodes.push(node.clone());
                continue;
            }
        };
        if graph.opset("") < OPSET_AXES {
            return Err(unsupported(format!("`{}` before opset {OPSET_AXES}", node.op)));
        }
        let (Some(input), Some(output)) = (node.inputs.first(), node.outputs.first()) else {
            return Err(unsupported(format!("`{}` without input or output", node.op)));
        };
        let axis = match node.attributes.get("axis") {
            Some(Attribute::Int(axis)) => *axis,
            _ => 0,
        };
        let part = |part: &str| format!("{output}/{part}");
        let made = |op: &str, inputs: Vec<String>, outputs: Vec<String>| Node {
            name: String::new(),
            op: op.to_string(),
            domain: String::new(),
            inputs,
            outputs,
            attributes: BTreeMap::new(),
        };
        let kept = node.attributes.get("keepdims") != Some(&Attribute::Int(0));
        let index = if kept { output.clone() } else { part("kept") };
        let inputs = vec![input.clone(), part("one")];
        let mut top = made("TopK", inputs, vec![part("value"), index.clone()]);
        top.attributes.insert("axis".to_string(), Attribute::Int(axis));
        top.attributes.insert("largest".to_string(), Attribute::Int(largest));
        out.nodes.push(top);
        let whole = |v: i64| Value::I64(Tensor::vector(vec![v]));
        out.constants.insert(part("one"), whole(1));
        if !kept {
            out.constants.insert(part("axis"), whole(axis));
            out.nodes.push(made("Squeeze", vec![index, part("axis")], vec![output.clone()]));
        }
    }
    Ok(out)
}

/// The opset since which `Squeeze` takes its axes as an input.
const OPSET_AXES: i64 = 13;

fn refuse_node(node: &Node) -> Result<(), EngineError> {
    let label = label(node);
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        let reason = format!("operator `{}` of domain `{}` (`{label}`)", node.op, node.domain);
        return Err(unsupported(reason));
    }
    if node.op == "Sign" {
        return Err(unsupported(format!("`Sign` is wrong at 0 there (`{label}`)")));
    }
    if matches!(node.op.as_str(), "ArgMax" | "ArgMin")
        && node.attributes.get("select_last_index").is_some_and(|a| *a != Attribute::Int(0))
    {
        return Err(unsupported(format!("`{}` of the last of equals (`{label}`)", node.op)));
    }
    let dilated = |v: &[i64]| v.iter().any(|&d| d != 1);
    if let Some(Attribute::Ints(dilations)) = node.attributes.get("dilations")
        && matches!(node.op.as_str(), "MaxPool" | "AveragePool")
        && dilated(dilations)
    {
        return Err(unsupported(format!("dilated pooling (`{label}`)")));
    }
    if node.op == "Cast"
        && let Some(Attribute::Int(to)) = node.attributes.get("to")
        && [i64::from(crate::write::code(DType::F64)), i64::from(crate::write::code(DType::Str))]
            .contains(to)
    {
        return Err(unsupported(format!("a cast to f64 or text (`{label}`)")));
    }
    if node.op == "Cast"
        && node.attributes.get("to")
            == Some(&Attribute::Int(i64::from(crate::write::code(DType::Bool))))
    {
        return Err(unsupported(format!(
            "a cast to truth values cuts fractions there (`{label}`)"
        )));
    }
    for value in node.attributes.values() {
        if let Attribute::Tensor(value) = value {
            refuse_value(&label, value)?;
        }
    }
    Ok(())
}

/// A node by its name, or by what it gives.
fn label(node: &Node) -> String {
    let label = if node.name.is_empty() { node.outputs.first() } else { Some(&node.name) };
    label.cloned().unwrap_or_default()
}

fn refuse_value(name: &str, value: &Value) -> Result<(), EngineError> {
    match value {
        Value::F64(_) | Value::Str(_) | Value::Maps(_) => {
            let what = value.dtype().map_or("maps".to_string(), |d| d.to_string());
            Err(unsupported(format!("the constant `{name}` is of type {what}")))
        }
        _ => Ok(()),
    }
}

/// Integers and booleans as the 32-bit integers that rten computes with.
fn narrow(name: &str, value: &Value) -> Result<Option<Vec<i32>>, EngineError> {
    Ok(match value {
        Value::I64(_) | Value::Bool(_) => {
            let wide = value.to_i64s().unwrap_or_default();
            let fits = wide.iter().map(|&v| i32::try_from(v).ok()).collect::<Option<_>>();
            let fits = fits.ok_or_else(|| {
                failed(format!("`{name}` holds an integer beyond 32 bits, which rten lacks"))
            })?;
            Some(fits)
        }
        _ => None,
    })
}

fn view<'a>(
    name: &str,
    value: &'a Value,
    narrowed: Option<&'a (Vec<usize>, Vec<i32>)>,
) -> Result<ValueOrView<'a>, EngineError> {
    let shape = value.shape();
    match (value, narrowed) {
        (_, Some((shape, data))) => view_of(shape, data),
        (Value::F32(t), _) => view_of(&shape, t.data()),
        (Value::I32(t), _) => view_of(&shape, t.data()),
        (Value::U8(t), _) => view_of(&shape, t.data()),
        (Value::I8(t), _) => view_of(&shape, t.data()),
        _ => Err(failed(format!("the input `{name}` is of a type rten lacks"))),
    }
}

fn view_of<'a, T>(shape: &[usize], data: &'a [T]) -> Result<ValueOrView<'a>, EngineError>
where
    rten_tensor::TensorView<'a, T>: Into<ValueView<'a>>,
{
    let view = rten_tensor::TensorView::try_from_data(shape, data);
    let view = view.map_err(|e| failed(words(&e)))?;
    Ok(ValueOrView::View(view.into()))
}

fn back(value: rten::Value, dtype: Option<DType>) -> Result<Value, EngineError> {
    fn tensor<T: Clone>(t: rten_tensor::Tensor<T>) -> Result<Tensor<T>, EngineError> {
        use rten_tensor::prelude::*;
        let shape = t.shape().to_vec();
        let odd = || failed("a result whose elements do not fill its shape".to_string());
        Tensor::new(shape, t.into_data()).ok_or_else(odd)
    }
    Ok(match value {
        rten::Value::FloatTensor(t) => Value::F32(tensor(t)?),
        rten::Value::Int32Tensor(t) => {
            let t = tensor(t)?;
            match dtype {
                Some(DType::I64) => Value::I64(t.map(|&v| i64::from(v))),
                Some(DType::Bool) => Value::Bool(t.map(|&v| v != 0)),
                _ => Value::I32(t),
            }
        }
        rten::Value::UInt8Tensor(t) => Value::U8(tensor(t)?),
        rten::Value::Int8Tensor(t) => Value::I8(tensor(t)?),
        _ => return Err(failed("a result that is no tensor".to_string())),
    })
}

fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn unsupported(reason: String) -> EngineError {
    EngineError::Unsupported { engine: "rten".into(), reason }
}

fn failed(reason: String) -> EngineError {
    EngineError::Failed { engine: "rten".into(), reason }
}
