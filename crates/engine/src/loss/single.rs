//! The sigmoid behind two columns that depend on nothing else.
//!
//! Owns the search and the question which class the sigmoid belongs to. The coupling of a
//! support vector machine is of this kind: it keeps the order, but has a flat piece at one half
//! and steps that overflow in `f32`, so the loss is attached before it. Called by the tap.

use std::collections::BTreeSet;

use super::{Form, Tap, before, producer};
use crate::graph::{Dim, Graph, Node, ValueInfo};
use crate::reference::{Precision, run};
use crate::value::{DType, Inputs, Tensor, Value};

/// Nodes between a sigmoid and its columns: several times what the coupling takes.
const NODES_MAX: usize = 512;
/// Logits at which the columns are asked for their order.
const PROBES: [f32; 2] = [-2.0, 2.0];

/// The place before the one sigmoid that both columns of `node` depend on.
pub(super) fn found(graph: &Graph, node: &Node) -> Option<Tap> {
    let mut open: Vec<&str> = node.inputs.iter().map(String::as_str).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut sigmoid: Option<&Node> = None;
    while let Some(value) = open.pop() {
        if graph.constants.contains_key(value) || !seen.insert(value) {
            continue;
        }
        let made = producer(graph, value)?;
        if made.op == "Sigmoid" {
            if sigmoid.is_some_and(|known| known != made) {
                return None;
            }
            sigmoid = Some(made);
            continue;
        }
        open.extend(made.inputs.iter().map(String::as_str).filter(|i| !i.is_empty()));
        if seen.len() > NODES_MAX {
            return None;
        }
    }
    let sigmoid = sigmoid?;
    Some(before(sigmoid, form(graph, node, sigmoid, &seen)?))
}

/// Which column rises with the sigmoid, by asking.
fn form(graph: &Graph, node: &Node, sigmoid: &Node, between: &BTreeSet<&str>) -> Option<Form> {
    let (from, to) = (sigmoid.inputs.first()?.clone(), node.outputs.first()?.clone());
    let part = |n: &&Node| n.outputs.iter().any(|o| between.contains(o.as_str()) || *o == to);
    let info = |name: &str, columns| ValueInfo {
        name: name.to_string(),
        dtype: Some(DType::F32),
        shape: Some(vec![Dim::Fixed(PROBES.len()), Dim::Fixed(columns)]),
    };
    let nodes: Vec<Node> = graph.nodes.iter().filter(part).cloned().collect();
    let read = nodes.iter().flat_map(|n| &n.inputs);
    let constants = read.filter_map(|i| Some((i.clone(), graph.constants.get(i)?.clone())));
    let alone = Graph {
        inputs: vec![info(&from, 1)],
        outputs: vec![info(&to, 2)],
        constants: constants.collect(),
        nodes,
        opsets: graph.opsets.clone(),
    };
    let z = Tensor::new(vec![PROBES.len(), 1], PROBES.to_vec())?;
    let inputs: Inputs = [(from, Value::F32(z))].into();
    let given = run(&alone, &inputs, &[&to], Precision::F32).ok()?;
    match *given.first()?.to_f64s()? {
        [a0, a1, b0, b1] if a1 < b1 && a0 > b0 => Some(Form::Logits),
        [a0, a1, b0, b1] if a0 < b0 && a1 > b1 => Some(Form::Reversed),
        _ => None,
    }
}
