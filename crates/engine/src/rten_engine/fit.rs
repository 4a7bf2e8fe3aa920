//! What rten 0.27 loads but computes as something else, or cannot run.
//!
//! Owns the list of such nodes: those that are written in other words before rten sees them, and
//! those that are refused, so that the reference computes the graph. Must never let a node
//! through on the ground that rten loads it: its loader takes cubic interpolation for linear and
//! `SAME_LOWER` for `SAME_UPPER` without a word. Called by [`super`] when a graph is compiled.

use std::collections::BTreeMap;

use crate::graph::{Attribute, Graph, Node};
use crate::value::{DType, Tensor, Value};

/// What rten lacks for this node, though it would load it.
pub(super) fn lacking(graph: &Graph, node: &Node) -> Option<&'static str> {
    let text = |name: &str| match node.attributes.get(name) {
        Some(Attribute::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let given = |i: usize| node.inputs.get(i).filter(|name| !name.is_empty());
    let second = node.outputs.iter().skip(1).any(|o| !o.is_empty());
    match node.op.as_str() {
        "Resize" if text("mode") == Some("cubic") => Some("cubic interpolation"),
        "Resize" | "Upsample" if resized(graph, node) > AXES_MAX => Some("three axes to resize"),
        "Conv" | "ConvInteger" | "ConvTranspose" | "MaxPool" | "AveragePool"
            if text("auto_pad") == Some("SAME_LOWER") =>
        {
            Some("`SAME_LOWER`")
        }
        "Conv" | "ConvInteger" | "ConvTranspose" | "MaxPool" | "AveragePool"
            if spatial(graph, node) > AXES_MAX =>
        {
            Some("a window of three axes")
        }
        // It pads with a number that is not the zero point.
        "ConvInteger" if padded(node) => Some("padding"),
        "GRU" if !matches!(node.attributes.get("linear_before_reset"), Some(Attribute::Int(1))) => {
            Some("a reset before the product")
        }
        // It reads every sequence to its end.
        "LSTM" | "GRU" if given(4).is_some() => Some("lengths of sequences"),
        "MatMulInteger" if given(3).is_some_and(|z| !zeros(graph, z)) => {
            Some("a zero point of the second factor")
        }
        "QuantizeLinear" if given(2).is_none() => Some("no zero point"),
        "Pad" if given(3).is_some() => Some("chosen axes"),
        "LayerNormalization" | "MaxPool" if second => Some("a second output"),
        _ => None,
    }
}

/// Axes of a window, as far as the file says.
fn spatial(graph: &Graph, node: &Node) -> usize {
    let weights = node.inputs.get(1).and_then(|w| graph.constants.get(w));
    match node.attributes.get("kernel_shape") {
        Some(Attribute::Ints(sizes)) => sizes.len(),
        _ => weights.map_or(0, |w| w.shape().len().saturating_sub(2)),
    }
}

/// Whether a value is a constant of zeros.
fn zeros(graph: &Graph, name: &str) -> bool {
    let held = graph.constants.get(name).and_then(Value::to_i64s);
    held.is_some_and(|values| values.iter().all(|&v| v == 0))
}

/// Whether a window reaches over the edge.
fn padded(node: &Node) -> bool {
    match (node.attributes.get("pads"), node.attributes.get("auto_pad")) {
        (Some(Attribute::Ints(pads)), _) if pads.iter().any(|&p| p != 0) => true,
        (_, Some(Attribute::Text(auto))) => auto.starts_with("SAME"),
        _ => false,
    }
}

/// Axes that change their size, as far as the file says.
fn resized(graph: &Graph, node: &Node) -> usize {
    let held = |i: usize| graph.constants.get(node.inputs.get(i)?);
    let scales = held(2).or(held(1)).and_then(|s| match s {
        Value::F32(s) => Some(s.data().iter().filter(|&&s| s != 1.0).count()),
        _ => None,
    });
    let sizes = held(3).map(|s| s.len().saturating_sub(2));
    scales.unwrap_or(0).max(sizes.unwrap_or(0))
}

/// Spatial axes that rten's windows and resizing know.
const AXES_MAX: usize = 2;

/// The graph with the nodes written in other words that rten would read otherwise; `None` when
/// there are none.
pub(super) fn fitted(graph: &Graph) -> Option<Graph> {
    let mut out: Option<Graph> = None;
    for (i, node) in graph.nodes.iter().enumerate() {
        let Some(new) = rewritten(graph, node) else {
            if let Some(out) = &mut out {
                out.nodes.push(node.clone());
            }
            continue;
        };
        let out = out.get_or_insert_with(|| Graph {
            nodes: graph.nodes.get(..i).unwrap_or_default().to_vec(),
            ..graph.clone()
        });
        out.nodes.extend(new.nodes);
        out.constants.extend(new.constants);
    }
    out
}

/// Nodes in the place of one, and constants they need.
struct Rewritten {
    nodes: Vec<Node>,
    constants: Vec<(String, Value)>,
}

fn rewritten(graph: &Graph, node: &Node) -> Option<Rewritten> {
    match node.op.as_str() {
        "MatMul" => column(graph, node),
        "MaxPool" | "AveragePool" => strides(node),
        "Pow" => exponent(graph, node),
        "QuantizeLinear" => axis(graph, node),
        "Softplus" => softplus(node),
        _ => None,
    }
}

fn with(node: &Node, name: &str, attribute: Attribute) -> Option<Rewritten> {
    let mut node = node.clone();
    node.attributes.insert(name.to_string(), attribute);
    Some(Rewritten { nodes: vec![node], constants: Vec::new() })
}

/// A vector as the second factor as a matrix of one column; rten leaves its axis in the result.
fn column(graph: &Graph, node: &Node) -> Option<Rewritten> {
    let (x, vector) = (node.inputs.first()?, node.inputs.get(1)?);
    let held = graph.constants.get(vector).filter(|v| v.shape().len() == 1)?;
    let Value::F32(numbers) = held else { return None };
    let y = node.outputs.first()?;
    let [factor, product, axes] = ["column", "product", "axes"].map(|part| format!("{y}/{part}"));
    let mut squeeze = made(node, "Squeeze", &[&product], y);
    let matrix = Tensor::new(vec![numbers.len(), 1], numbers.data().to_vec())?;
    let mut constants = vec![(factor.clone(), Value::F32(matrix))];
    if graph.opset("") < super::OPSET_AXES {
        squeeze.attributes.insert("axes".to_string(), Attribute::Ints(vec![-1]));
    } else {
        squeeze.inputs.push(axes.clone());
        constants.push((axes, Value::I64(Tensor::new(vec![1], vec![-1])?)));
    }
    let mut product_of = node.clone();
    product_of.inputs = vec![x.clone(), factor];
    product_of.outputs = vec![product];
    Some(Rewritten { nodes: vec![product_of, squeeze], constants })
}

/// Steps of one where the file leaves them out; rten takes none for an error.
fn strides(node: &Node) -> Option<Rewritten> {
    let Some(Attribute::Ints(sizes)) = node.attributes.get("kernel_shape") else { return None };
    if node.attributes.contains_key("strides") {
        return None;
    }
    with(node, "strides", Attribute::Ints(vec![1; sizes.len()]))
}

/// The axis of scales, which is 1 where the file leaves it out; rten takes the last.
fn axis(graph: &Graph, node: &Node) -> Option<Rewritten> {
    let scales = graph.constants.get(node.inputs.get(1)?)?;
    if node.attributes.contains_key("axis") || scales.len() < 2 {
        return None;
    }
    with(node, "axis", Attribute::Int(1))
}

/// A whole exponent of a fractional base as a float; rten has no such pair of types.
fn exponent(graph: &Graph, node: &Node) -> Option<Rewritten> {
    let (base, exponent) = (node.inputs.first()?, node.inputs.get(1)?);
    let held = graph.constants.get(exponent)?;
    if !matches!(held, Value::I64(_) | Value::I32(_)) || whole(graph, base, DEPTH_MAX) {
        return None;
    }
    let data = held.to_i64s()?.iter().map(|&v| v as f32).collect();
    let float = Value::F32(Tensor::new(held.shape(), data)?);
    let name = format!("{}/exponent", node.outputs.first()?);
    let mut node = node.clone();
    *node.inputs.get_mut(1)? = name.clone();
    Some(Rewritten { nodes: vec![node], constants: vec![(name, float)] })
}

/// Whether a value is known to hold whole numbers.
fn whole(graph: &Graph, name: &str, depth: usize) -> bool {
    let integers = |d: Option<DType>| !matches!(d, None | Some(DType::F32 | DType::F64));
    if let Some(value) = graph.constants.get(name) {
        return integers(value.dtype());
    }
    if let Some(input) = graph.inputs.iter().find(|i| i.name == name) {
        return integers(input.dtype);
    }
    let made = |n: &&Node| n.outputs.iter().any(|o| o == name);
    let Some(maker) = graph.nodes.iter().find(made).filter(|_| depth > 0) else { return false };
    match maker.op.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => true,
        "Cast" => match maker.attributes.get("to") {
            Some(Attribute::Int(to)) => {
                integers(i32::try_from(*to).ok().and_then(crate::model::held_as))
            }
            _ => false,
        },
        _ => maker.inputs.first().is_some_and(|first| whole(graph, first, depth - 1)),
    }
}

/// A plain node in the place of another one, under its name.
fn made(of: &Node, op: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        name: of.name.clone(),
        op: op.to_string(),
        domain: String::new(),
        inputs: inputs.iter().map(|i| i.to_string()).collect(),
        outputs: vec![output.to_string()],
        attributes: BTreeMap::new(),
    }
}

/// Nodes that are walked back to find a type.
const DEPTH_MAX: usize = 64;

/// `max(x, 0) + ln(1 + exp(-|x|))`; rten's `ln(1 + exp(x))` is infinite from 89 on.
fn softplus(node: &Node) -> Option<Rewritten> {
    let (x, y) = (node.inputs.first()?, node.outputs.first()?);
    let part = |part: &str| format!("{y}/{part}");
    let made = |op: &str, inputs: &[&str], output: &str| made(node, op, inputs, output);
    let names = ["zero", "one", "size", "minus", "small", "sum", "log", "positive"].map(part);
    let [zero, one, size, minus, small, sum, log, positive] = names.each_ref().map(String::as_str);
    let nodes = vec![
        made("Abs", &[x], size),
        made("Neg", &[size], minus),
        made("Exp", &[minus], small),
        made("Add", &[small, one], sum),
        made("Log", &[sum], log),
        made("Max", &[x, zero], positive),
        made("Add", &[positive, log], y),
    ];
    let scalar = |v: f32| Value::F32(Tensor::scalar(v));
    let constants = vec![(zero.to_string(), scalar(0.0)), (one.to_string(), scalar(1.0))];
    Some(Rewritten { nodes, constants })
}
