//! Element types and ranks of the results of plain operators.
//!
//! Owns what follows from operator, inputs and constants without running anything; what is
//! not sure stays unknown. Called by [`super`] for what its short list leaves out.

use std::collections::BTreeMap;

use super::Known;
use crate::graph::{Attribute, Graph, Node};
use crate::value::{DType, Value};

/// Types and ranks of a node's outputs; nothing where they are unknown.
pub(super) fn plain(graph: &Graph, node: &Node, all: &BTreeMap<String, Known>) -> Vec<Known> {
    let of = |i: usize| node.inputs.get(i).and_then(|n| all.get(n)).copied().unwrap_or_default();
    let x = of(0);
    let with = |dtype, rank| vec![Known { dtype, rank }];
    match node.op.as_str() {
        op if SAME.contains(&op) => vec![x],
        "Concat" => {
            // All parts are alike, so one that is known says it for the others.
            let parts: Vec<Known> = (0..node.inputs.len()).map(&of).collect();
            let dtype = parts.iter().find_map(|k| k.dtype);
            with(dtype, parts.iter().find_map(|k| k.rank))
        }
        op if WIDEST.contains(&op) => with(x.dtype, widest(node, &of)),
        op if TRUTH.contains(&op) => with(Some(DType::Bool), widest(node, &of)),
        op if op.starts_with("Reduce") => with(x.dtype, reduced(graph, node, x)),
        "ArgMax" | "ArgMin" => with(Some(DType::I64), x.rank.map(|r| r - dropped(node, 1).min(r))),
        "Where" => with(of(1).dtype, widest(node, &of)),
        "Shape" => with(Some(DType::I64), Some(1)),
        "Size" => with(Some(DType::I64), Some(0)),
        "TopK" => vec![x, Known { dtype: Some(DType::I64), rank: x.rank }],
        "Split" => vec![x; node.outputs.len()],
        "Gather" => {
            let rank = x.rank.zip(of(1).rank).and_then(|(a, b)| (a + b).checked_sub(1));
            with(x.dtype, rank)
        }
        "Reshape" => with(x.dtype, ints(graph, node, 1, "shape").map(|v| v.len())),
        "Unsqueeze" => {
            let axes = ints(graph, node, 1, "axes");
            with(x.dtype, x.rank.zip(axes).map(|(r, a)| r + a.len()))
        }
        "Squeeze" => {
            let axes = ints(graph, node, 1, "axes");
            with(x.dtype, x.rank.zip(axes).and_then(|(r, a)| r.checked_sub(a.len())))
        }
        "ConstantOfShape" => {
            let dtype = match node.attributes.get("value") {
                Some(Attribute::Tensor(v)) => v.dtype(),
                _ => Some(DType::F32),
            };
            with(dtype, None)
        }
        "TfIdfVectorizer" => with(Some(DType::F32), x.rank),
        _ => Vec::new(),
    }
}

/// Operators whose result is like their first input.
const SAME: &[&str] = &[
    "Ceil",
    "CumSum",
    "Elu",
    "Erf",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "LogSoftmax",
    "Mish",
    "Pad",
    "Reciprocal",
    "Round",
    "ScatterElements",
    "Selu",
    "Sign",
    "Softplus",
    "Softsign",
    "Tile",
];
/// Operators that broadcast and keep the type of their first input.
const WIDEST: &[&str] = &["Max", "Mean", "Min", "Mod", "PRelu", "Pow", "Sum"];
/// Operators that give truth values.
const TRUTH: &[&str] = &[
    "And",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "Or",
    "Xor",
];

fn widest(node: &Node, of: &impl Fn(usize) -> Known) -> Option<usize> {
    let ranks = (0..node.inputs.len()).map(|i| of(i).rank);
    ranks.collect::<Option<Vec<_>>>().and_then(|r| r.into_iter().max())
}

/// Dimensions that go, where they are not kept.
fn dropped(node: &Node, axes: usize) -> usize {
    match node.attributes.get("keepdims") {
        Some(Attribute::Int(0)) => axes,
        _ => 0,
    }
}

fn reduced(graph: &Graph, node: &Node, x: Known) -> Option<usize> {
    if dropped(node, 1) == 0 {
        return x.rank;
    }
    let axes = ints(graph, node, 1, "axes")?;
    x.rank?.checked_sub(axes.len())
}

/// Integers that are a constant input, or an attribute.
fn ints(graph: &Graph, node: &Node, at: usize, attribute: &str) -> Option<Vec<i64>> {
    if let Some(Attribute::Ints(v)) = node.attributes.get(attribute) {
        return Some(v.clone());
    }
    graph.constants.get(node.inputs.get(at)?)?.to_i64s()
}

/// Casts to truth values as a comparison with zero: rten cuts fractions off first, so that a
/// half would be false. Bit for bit the same.
pub(super) fn truths(graph: &mut Graph, known: &BTreeMap<String, Known>) {
    let opset = graph.opset("");
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let to_truth = node.op == "Cast"
            && node.domain.is_empty()
            && node.attributes.get("to") == Some(&Attribute::Int(BOOL));
        let dtype = node.inputs.first().and_then(|i| known.get(i)).and_then(|k| k.dtype);
        let zero = match dtype.filter(|_| to_truth) {
            Some(DType::F32) if opset >= FLOATS_EQUAL => Some(Value::F32(scalar(0.0))),
            Some(DType::I64) => Some(Value::I64(scalar(0))),
            Some(DType::I32) => Some(Value::I32(scalar(0))),
            _ => None,
        };
        let (Some(zero), [input, ..], [output, ..]) = (zero, &node.inputs[..], &node.outputs[..])
        else {
            nodes.push(node);
            continue;
        };
        let (name, same) = (format!("{output}/zero"), format!("{output}/is zero"));
        graph.constants.insert(name.clone(), zero);
        nodes.push(super::plain("Equal", &node, &[input, &name], &same, &[]));
        nodes.push(super::plain("Not", &node, &[&same], output, &[]));
    }
    graph.nodes = nodes;
}

fn scalar<T>(v: T) -> crate::value::Tensor<T> {
    crate::value::Tensor::scalar(v)
}

/// ONNX code of truth values.
const BOOL: i64 = 9;
/// The opset since which `Equal` takes floats.
const FLOATS_EQUAL: i64 = 11;
