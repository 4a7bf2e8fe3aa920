//! The reference interpreter: every supported operator as plain loops in `f32` and `f64`.
//!
//! Owns preparation (attributes and trees resolved once) and evaluation of a graph, on the
//! calling thread alone. It is the oracle other engines are measured against, so it must
//! never trade meaning for speed. Called by the pipeline, by `lower` and by tests.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::composite;
use crate::graph::{Dim, Graph, ValueInfo};
use crate::value::{DType, Inputs, Value};

mod arith;
mod broadcast;
mod cast;
mod compare;
mod conv;
pub(crate) mod einsum;
mod float;
mod gemm;
mod index;
mod ml;
mod norm;
pub(crate) mod op;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod registry;
pub(crate) mod resize;
mod sample;
mod select;
mod shape;
mod unary;
pub(crate) mod window;

pub(crate) use float::Float;
pub(crate) use ml::svm;
use op::{Args, Kernel};
pub use op::{ELEMENTS_MAX, LIVE_CELLS_MAX, OpError};
pub(crate) use op::{Spec, wrong};
pub(crate) use registry::MICROSOFT;
pub use shape::constant_value;

/// The arithmetic of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Each tensor in the type the file gives it.
    F32,
    /// Every `f32` widened to `f64`; results are `f64` too.
    F64,
}

/// Why a graph cannot be prepared or evaluated.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RunError {
    /// No kernel.
    #[error(
        "the operator `{op}` of domain `{domain}` (opset {opset}, node `{node}`) is not supported"
    )]
    UnknownOperator {
        /// Operator.
        op: String,
        /// Domain, `ai.onnx` spelled out.
        domain: String,
        /// Node.
        node: String,
        /// Opset the graph imports for the domain.
        opset: i64,
    },
    /// A node that cannot be prepared or evaluated.
    #[error("node `{node}` ({op}, opset {opset}): {source}")]
    Node {
        /// Node.
        node: String,
        /// Operator.
        op: String,
        /// Opset.
        opset: i64,
        /// What is wrong.
        source: OpError,
    },
    /// A value that no input, constant or earlier node gives.
    #[error("node `{node}` reads `{value}`, which nothing before it gives")]
    Undefined {
        /// Node.
        node: String,
        /// Value.
        value: String,
    },
    /// An input the caller did not give.
    #[error("the input `{0}` is missing")]
    MissingInput(String),
    /// An input of the wrong element type.
    #[error("the input `{input}` must be of type {expected}, given {given}")]
    InputType {
        /// Input.
        input: String,
        /// Declared in the model.
        expected: String,
        /// Given.
        given: String,
    },
    /// An input of the wrong shape.
    #[error("the input `{input}` must have shape {expected}, given {given:?}")]
    InputShape {
        /// Input.
        input: String,
        /// Declared in the model.
        expected: String,
        /// Given.
        given: Vec<usize>,
    },
    /// An output that the graph does not compute.
    #[error("the graph computes no value `{0}`")]
    UnknownOutput(String),
}

/// A graph ready to run, many times, from any thread.
pub struct Program {
    inputs: Vec<(ValueInfo, usize)>,
    constants: Vec<(usize, Value)>,
    steps: Vec<Step>,
    slots: BTreeMap<String, usize>,
    precision: Precision,
}

struct Step {
    label: String,
    op: String,
    opset: i64,
    kernel: Kernel,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
}

/// Prepares a graph.
///
/// # Errors
/// An unknown operator, a malformed attribute, or a node that reads what nothing gives.
pub fn prepare(graph: &Graph, precision: Precision) -> Result<Program, RunError> {
    let expanded = composite::expand(graph).map_err(|(i, source)| RunError::Node {
        node: label_of(&graph.nodes[i], i),
        op: graph.nodes[i].op.clone(),
        opset: graph.opset(&graph.nodes[i].domain),
        source,
    })?;
    let graph = expanded.as_ref();
    let mut slots = BTreeMap::new();
    let slot = |slots: &mut BTreeMap<String, usize>, name: &str| {
        let next = slots.len();
        *slots.entry(name.to_string()).or_insert(next)
    };
    let inputs =
        graph.inputs.iter().map(|i| (i.clone(), slot(&mut slots, &i.name))).collect::<Vec<_>>();
    let constants = graph.constants.iter().map(|(name, value)| {
        let value = value.clone();
        let wide = precision == Precision::F64;
        (slot(&mut slots, name), if wide { value.widened() } else { value })
    });
    let constants = constants.collect::<Vec<_>>();
    let mut steps = Vec::with_capacity(graph.nodes.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        let label = label_of(node, i);
        let opset = graph.opset(&node.domain);
        let build =
            registry::find(&node.domain, &node.op).ok_or_else(|| RunError::UnknownOperator {
                op: node.op.clone(),
                domain: if node.domain.is_empty() { "ai.onnx".into() } else { node.domain.clone() },
                node: label.clone(),
                opset,
            })?;
        let kernel = build(&Spec { node, opset, precision }).map_err(|source| RunError::Node {
            node: label.clone(),
            op: node.op.clone(),
            opset,
            source,
        })?;
        let read = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => slots.get(name).copied().map(Some).ok_or_else(|| RunError::Undefined {
                node: label.clone(),
                value: name.to_string(),
            }),
        };
        let inputs = node.inputs.iter().map(read).collect::<Result<_, _>>()?;
        let outputs = node
            .outputs
            .iter()
            .map(|name| (!name.is_empty()).then(|| slot(&mut slots, name)))
            .collect();
        steps.push(Step { label, op: node.op.clone(), opset, kernel, inputs, outputs });
    }
    Ok(Program { inputs, constants, steps, slots, precision })
}

/// Prepares and runs once.
///
/// # Errors
/// As [`prepare`] and [`Program::run`].
pub fn run(
    graph: &Graph,
    inputs: &Inputs,
    outputs: &[&str],
    precision: Precision,
) -> Result<Vec<Value>, RunError> {
    prepare(graph, precision)?.run(inputs, outputs)
}

/// Whether the interpreter has a kernel for the operator.
pub fn supports(domain: &str, op: &str) -> bool {
    registry::find(domain, op).is_some() || composite::is_composite(domain, op)
}

/// Domain (empty for `ai.onnx`) and name of every operator that the reference runs, sorted within
/// a domain.
pub fn operators() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut all: Vec<_> = registry::all().chain(composite::all()).collect();
    all.sort_unstable();
    all.into_iter()
}

impl Program {
    /// Computes the named values, which may be any values of the graph, and only the nodes
    /// they need.
    ///
    /// # Errors
    /// A missing or misshapen input, an unknown output, or a node that fails.
    pub fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, RunError> {
        let wanted = outputs
            .iter()
            .map(|&name| match self.slots.get(name) {
                Some(&slot) => Ok(slot),
                None => Err(RunError::UnknownOutput(name.to_string())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let needed = self.needed(&wanted);
        let mut given: Vec<Option<Value>> = vec![None; self.slots.len()];
        let mut fixed: Vec<Option<&Value>> = vec![None; self.slots.len()];
        for (info, slot) in &self.inputs {
            if needed.reads[*slot] > 0 {
                let value = inputs
                    .get(&info.name)
                    .ok_or_else(|| RunError::MissingInput(info.name.clone()))?;
                check(info, value, self.precision)?;
                match (self.precision, value) {
                    (Precision::F64, Value::F32(_)) => given[*slot] = Some(value.clone().widened()),
                    _ => fixed[*slot] = Some(value),
                }
            }
        }
        for (slot, value) in &self.constants {
            fixed[*slot] = Some(value);
        }
        let mut reads = needed.reads;
        let mut live = given.iter().flatten().map(cells).sum();
        for (step, wanted) in self.steps.iter().zip(&needed.steps) {
            if *wanted {
                self.step(step, (&mut given, &fixed), &mut reads, &mut live)?;
            }
        }
        wanted
            .iter()
            .zip(outputs)
            .map(|(&slot, name)| {
                let value = given[slot].as_ref().or(fixed[slot]);
                value.cloned().ok_or_else(|| RunError::UnknownOutput((*name).to_string()))
            })
            .collect()
    }

    fn step(
        &self,
        step: &Step,
        (given, fixed): (&mut [Option<Value>], &[Option<&Value>]),
        reads: &mut [usize],
        live: &mut usize,
    ) -> Result<(), RunError> {
        let values: Vec<Option<&Value>> =
            step.inputs.iter().map(|i| i.and_then(|i| given[i].as_ref().or(fixed[i]))).collect();
        let wrong = |source| RunError::Node {
            node: step.label.clone(),
            op: step.op.clone(),
            opset: step.opset,
            source,
        };
        let results = (step.kernel)(&Args::new(&values)).map_err(wrong)?;
        for slot in step.inputs.iter().flatten() {
            reads[*slot] -= 1;
            if reads[*slot] == 0 {
                *live -= given[*slot].take().as_ref().map_or(0, cells);
            }
        }
        for (slot, value) in step.outputs.iter().zip(results) {
            if let Some(slot) = slot
                && reads[*slot] > 0
            {
                *live += cells(&value);
                *live -= given[*slot].replace(value).as_ref().map_or(0, cells);
            }
        }
        if *live > LIVE_CELLS_MAX {
            return Err(wrong(OpError::TooMany));
        }
        Ok(())
    }

    /// Which steps the wanted values need, and how often each value is read; a wanted value
    /// counts as read once more, so that it is never dropped.
    fn needed(&self, wanted: &[usize]) -> Needed {
        let mut reads = vec![0; self.slots.len()];
        let mut steps = vec![false; self.steps.len()];
        for &slot in wanted {
            reads[slot] += 1;
        }
        for (step, used) in self.steps.iter().zip(&mut steps).rev() {
            *used = step.outputs.iter().flatten().any(|&s| reads[s] > 0);
            if *used {
                step.inputs.iter().flatten().for_each(|&s| reads[s] += 1);
            }
        }
        Needed { steps, reads }
    }
}

/// What a value takes, in cells of four bytes.
fn cells(value: &Value) -> usize {
    match value {
        Value::F64(t) => 2 * t.len(),
        Value::I64(t) => 2 * t.len(),
        Value::Str(t) => t.data().iter().map(|s| TEXT_CELLS + s.len() / 4).sum(),
        Value::U8(_) | Value::I8(_) | Value::Bool(_) => value.len().div_ceil(4),
        _ => value.len(),
    }
}

/// What a text takes beside its letters.
const TEXT_CELLS: usize = 8;

struct Needed {
    steps: Vec<bool>,
    reads: Vec<usize>,
}

/// The node's name, or its first output when it has none.
fn label_of(node: &crate::graph::Node, index: usize) -> String {
    if !node.name.is_empty() {
        return node.name.clone();
    }
    node.outputs.iter().find(|o| !o.is_empty()).cloned().unwrap_or_else(|| format!("#{index}"))
}

/// Element type and shape of an input against its declaration.
fn check(info: &ValueInfo, value: &Value, precision: Precision) -> Result<(), RunError> {
    let given = value.dtype();
    let widened =
        precision == Precision::F64 && (info.dtype, given) == (Some(DType::F32), Some(DType::F64));
    if info.dtype.is_some() && given != info.dtype && !widened {
        let text = |d: Option<DType>| d.map_or_else(|| "maps".to_string(), |d| d.to_string());
        return Err(RunError::InputType {
            input: info.name.clone(),
            expected: text(info.dtype),
            given: text(given),
        });
    }
    let Some(dims) = &info.shape else { return Ok(()) };
    let shape = value.shape();
    let fits = dims.len() == shape.len()
        && dims
            .iter()
            .zip(&shape)
            .all(|(d, &s)| matches!(d, Dim::Dynamic(_)) || *d == Dim::Fixed(s));
    if fits {
        return Ok(());
    }
    Err(RunError::InputShape {
        input: info.name.clone(),
        expected: crate::graph::shape_text(dims),
        given: shape,
    })
}
