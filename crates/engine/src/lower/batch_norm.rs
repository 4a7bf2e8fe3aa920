//! Batch normalisation with constant parameters, as weights of the layer before it or as one
//! product and one sum.
//!
//! Owns the arithmetic of the fold, in `f64`. Called by `lower`.

use super::plain;
use crate::graph::{Attribute, Graph, Node};
use crate::value::{Tensor, Value};

/// What a channel is multiplied by, and what is added.
struct Channels {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

/// Folds every batch normalisation whose parameters are constants in `f32`.
pub(super) fn fold(graph: &mut Graph) {
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let Some(channels) = channels(graph, &node) else {
            nodes.push(node);
            continue;
        };
        let before = nodes.iter().position(|n| n.outputs.first() == Some(&node.inputs[0]));
        let folded = before.and_then(|at| {
            let reader = |n: &Node| n.inputs.contains(&node.inputs[0]);
            // Later nodes that read the value too are still in the source list.
            let shared = nodes.iter().any(reader)
                || graph.outputs.iter().any(|o| o.name == node.inputs[0])
                || readers_after(&graph.nodes, &node.inputs[0]) > 0;
            (!shared).then(|| into_weights(graph, &nodes[at], &node, &channels)).flatten()
        });
        match (folded, before) {
            (Some(layer), Some(at)) => nodes[at] = layer,
            _ => nodes.extend(product_and_sum(graph, &node, &channels)),
        }
    }
    graph.nodes = nodes;
}

fn readers_after(nodes: &[Node], name: &String) -> usize {
    nodes.iter().filter(|n| n.inputs.contains(name)).count()
}

fn channels(graph: &Graph, node: &Node) -> Option<Channels> {
    let training = node.attributes.get("training_mode").is_some_and(|a| *a != Attribute::Int(0));
    let per_activation = node.attributes.get("spatial").is_some_and(|a| *a == Attribute::Int(0));
    let extra = node.outputs.iter().skip(1).any(|o| !o.is_empty());
    if node.op != "BatchNormalization"
        || !node.domain.is_empty()
        || training
        || per_activation
        || extra
    {
        return None;
    }
    let read = |i: usize| match graph.constants.get(node.inputs.get(i)?)? {
        Value::F32(t) => Some(t.data().iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
        _ => None,
    };
    let (scale, bias, mean, variance) = (read(1)?, read(2)?, read(3)?, read(4)?);
    let epsilon = match node.attributes.get("epsilon") {
        Some(Attribute::Float(e)) => f64::from(*e),
        _ => f64::from(1e-5f32),
    };
    let factor: Vec<f64> =
        scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let shift = (0..factor.len()).map(|c| bias[c] - mean[c] * factor[c]).collect();
    Some(Channels { factor, shift })
}

/// The convolution or product before, with the normalisation in its weights.
fn into_weights(graph: &mut Graph, layer: &Node, norm: &Node, c: &Channels) -> Option<Node> {
    let int = |name: &str| match layer.attributes.get(name) {
        Some(Attribute::Int(v)) => *v,
        _ => 0,
    };
    let one = |name: &str| layer.attributes.get(name).is_none_or(|a| *a == Attribute::Float(1.0));
    let rows_are_outputs = match layer.op.as_str() {
        "Conv" => true,
        "Gemm" if one("alpha") && one("beta") => int("transB") != 0,
        _ => return None,
    };
    let Value::F32(w) = graph.constants.get(&layer.inputs[1])? else { return None };
    let outputs = if rows_are_outputs { w.shape()[0] } else { *w.shape().get(1)? };
    if outputs != c.factor.len() {
        return None;
    }
    let run = w.len() / outputs.max(1);
    let channel = |i: usize| if rows_are_outputs { i / run.max(1) } else { i % outputs };
    let scaled = w.data().iter().enumerate();
    let scaled = scaled.map(|(i, &v)| (f64::from(v) * c.factor[channel(i)]) as f32).collect();
    let weights = Tensor::new(w.shape().to_vec(), scaled)?;
    let bias = match layer.inputs.get(2).filter(|b| !b.is_empty()) {
        None => vec![0.0; outputs],
        Some(name) => match graph.constants.get(name)? {
            Value::F32(b) if b.len() == outputs => b.data().to_vec(),
            Value::F32(b) if b.len() == 1 => vec![b.data()[0]; outputs],
            _ => return None,
        },
    };
    let shifted = bias.iter().enumerate();
    let shifted = shifted.map(|(i, &b)| (f64::from(b) * c.factor[i] + c.shift[i]) as f32);
    let bias = Tensor::vector(shifted.collect());
    let mut folded = layer.clone();
    let output = &norm.outputs[0];
    let (weights_name, bias_name) = (format!("{output}/weights"), format!("{output}/bias"));
    graph.constants.insert(weights_name.clone(), Value::F32(weights));
    graph.constants.insert(bias_name.clone(), Value::F32(bias));
    folded.inputs = vec![layer.inputs[0].clone(), weights_name, bias_name];
    folded.outputs = vec![output.clone()];
    Some(folded)
}

/// x · factor + shift. Constants are shaped for `(batch, channels, …)` of the rank that the
/// declarations give; where it is unknown the node stays.
fn product_and_sum(graph: &mut Graph, norm: &Node, c: &Channels) -> Vec<Node> {
    let rank = super::known(graph).get(&norm.inputs[0]).and_then(|k| k.rank);
    let Some(rank) = rank.filter(|&r| r >= 2) else { return vec![norm.clone()] };
    let output = &norm.outputs[0];
    let mut shape = vec![1; rank];
    shape[1] = c.factor.len();
    shape.remove(0);
    let names = [format!("{output}/factor"), format!("{output}/shift")];
    for (name, list) in names.iter().zip([&c.factor, &c.shift]) {
        let data = list.iter().map(|&v| v as f32).collect();
        let Some(t) = Tensor::new(shape.clone(), data) else { return vec![norm.clone()] };
        graph.constants.insert(name.clone(), Value::F32(t));
    }
    let scaled = format!("{output}/scaled");
    vec![
        plain("Mul", norm, &[&norm.inputs[0], &names[0]], &scaled, &[]),
        plain("Add", norm, &[&scaled, &names[1]], output, &[]),
    ]
}
