//! Bits of what the nodes hand on, for one row.
//!
//! Owns the splice: the plain loops compute the value of a node for the row, one bit of it is
//! flipped, and a `Where` behind that node puts the flipped number into its place, so that the
//! deployed engine computes all that follows. Which element is hit is drawn over all float values
//! of all nodes.

use proofmark_dataset::bind::Binding;
use proofmark_engine::graph::{Graph, Node};
use proofmark_engine::reference::{self, Precision};
use proofmark_engine::value::{Tensor, Value};

use super::{BITS, Bench, BitError, Injected, ask, flipped, flips, only, part_of};
use crate::stream::Stream;
use crate::target;

/// Node values that a flip can be put into.
#[derive(Default)]
pub(super) struct Values {
    pub(super) names: Vec<String>,
    /// Bits of all of them for one row.
    pub(super) bits: u64,
    /// Values where even an unflipped number changes the answer, or the engine refuses.
    pub(super) left_out: Vec<String>,
}

/// Which values can be hit: those where putting the same number into its place changes nothing.
pub(super) fn usable(bench: &Bench<'_>) -> Result<Values, BitError> {
    let binding = only(&bench.binding, &[0]);
    let mut usable = Values::default();
    for (name, tensor) in values(bench, &binding)? {
        let mut graph = bench.model.graph().clone();
        splice(&mut graph, &name, &tensor, 0, tensor.data()[0]);
        let model = bench.model.altered(graph);
        if ask(bench, &model, &binding, &bench.clean[..1]) == (0, false) {
            usable.bits += tensor.len() as u64 * BITS;
            usable.names.push(name);
        } else {
            usable.left_out.push(name);
        }
    }
    Ok(usable)
}

/// One injection into one row.
pub(super) fn trial(
    bench: &Bench<'_>,
    usable: &[String],
    severity: u8,
    stream: &mut Stream,
) -> Result<Injected, BitError> {
    let row = stream.below(bench.binding.n);
    let binding = only(&bench.binding, &[row]);
    let mut values = values(bench, &binding)?;
    values.retain(|(name, _)| usable.contains(name));
    let bits: u64 = values.iter().map(|(_, tensor)| tensor.len() as u64 * BITS).sum();
    let mut graph = bench.model.graph().clone();
    let mut first = None;
    let mut hit: Vec<u64> = Vec::new();
    while (hit.len() as u64) < flips(severity).min(bits) {
        let at = stream.below(usize::try_from(bits).unwrap_or(usize::MAX)) as u64;
        if hit.contains(&at) {
            continue;
        }
        hit.push(at);
        let mut left = at;
        for (name, tensor) in &mut values {
            let own = tensor.len() as u64 * BITS;
            if left >= own {
                left -= own;
                continue;
            }
            let (number, bit) = ((left / BITS) as usize, (left % BITS) as u32);
            first.get_or_insert((part_of(bit), name.clone()));
            let value = flipped(tensor.data()[number], bit);
            // A second flip of the same number is added to the first.
            tensor.data_mut()[number] = value;
            splice(&mut graph, name, tensor, number, value);
            break;
        }
    }
    let model = bench.model.altered(graph);
    let (changed, detectable) = ask(bench, &model, &binding, &[bench.clean[row]]);
    let (part, layer) = first.unwrap_or(("", String::new()));
    Ok(Injected { part, layer, changed, rows: 1, detectable })
}

/// Float values of all nodes for one row, in the order of the graph.
fn values(bench: &Bench<'_>, row: &Binding) -> Result<Vec<(String, Tensor<f32>)>, BitError> {
    let graph = bench.model.graph();
    let wrong = |error: &dyn std::fmt::Display| BitError::Values(error.to_string());
    let inputs = target::inputs(row).map_err(|e| wrong(&e))?;
    let names: Vec<&str> =
        graph.nodes.iter().flat_map(|n| &n.outputs).map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().filter(|n| !n.is_empty()).collect();
    let given = reference::run(graph, &inputs, &names, Precision::F32).map_err(|e| wrong(&e))?;
    let float = |(name, value): (&str, Value)| match value {
        Value::F32(tensor) if !tensor.is_empty() => Some((name.to_owned(), tensor)),
        _ => None,
    };
    Ok(names.into_iter().zip(given).filter_map(float).collect())
}

/// Puts `value` into element `number` of the node value `name`, for every row that is asked.
fn splice(graph: &mut Graph, name: &str, tensor: &Tensor<f32>, number: usize, value: f32) {
    let Some(at) = graph.nodes.iter().position(|n| n.outputs.iter().any(|o| o == name)) else {
        return;
    };
    let fresh = |what: &str, graph: &Graph| {
        let taken = graph.names();
        (0..).map(|i| format!("{name}.{what}{i}")).find(|n| !taken.contains(n.as_str()))
    };
    let (Some(before), Some(mask), Some(with)) =
        (fresh("before", graph), fresh("mask", graph), fresh("flipped", graph))
    else {
        return;
    };
    for output in graph.nodes[at].outputs.iter_mut().filter(|o| *o == name) {
        output.clone_from(&before);
    }
    let mut hit = vec![false; tensor.len()];
    hit[number] = true;
    let shape = tensor.shape().to_vec();
    if let Some(hit) = Tensor::new(shape, hit) {
        graph.constants.insert(mask.clone(), Value::Bool(hit));
    }
    graph.constants.insert(with.clone(), Value::F32(Tensor::scalar(value)));
    graph.opsets.entry(String::new()).or_insert(proofmark_engine::graph::OPSET_DEFAULT);
    let splice = Node {
        name: format!("{name}.fault"),
        op: "Where".into(),
        domain: String::new(),
        inputs: vec![mask, with, before],
        outputs: vec![name.to_owned()],
        attributes: Default::default(),
    };
    graph.nodes.insert(at + 1, splice);
}
