//! Cuts a graph at what depends on some of its inputs.
//!
//! Owns reachability only. The part that an attacker cannot touch is computed once and the
//! part that he can touch is what gets differentiated. Called by the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Node, ValueInfo};
use crate::value::DType;

/// A graph in two parts; running `prefix`, then `core`, gives what the whole gives.
#[derive(Clone, Debug)]
pub struct Split {
    /// Nodes that do not depend on the free inputs; its outputs are `frontier`.
    pub prefix: Graph,
    /// Nodes that do; its inputs are the free inputs and `frontier`.
    pub core: Graph,
    /// Values that `core` reads from `prefix`, which may be plain inputs of the graph, and
    /// wanted outputs that no free input reaches.
    pub frontier: Vec<String>,
}

/// Splits a graph, keeping only what `outputs` need.
pub fn split(graph: &Graph, free: &[String], outputs: &[String]) -> Split {
    let needed = needed(graph, outputs);
    let mut moving: BTreeSet<&str> = free.iter().map(String::as_str).collect();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (node, needed) in graph.nodes.iter().zip(needed) {
        let depends = node.inputs.iter().any(|i| moving.contains(i.as_str()));
        if depends {
            moving.extend(node.outputs.iter().filter(|o| !o.is_empty()).map(String::as_str));
        }
        if needed {
            if depends { after.push(node.clone()) } else { before.push(node.clone()) }
        }
    }
    let reads = after.iter().flat_map(|n| n.inputs.iter()).chain(outputs);
    let mut frontier = BTreeSet::new();
    for name in reads.filter(|n| !n.is_empty() && !moving.contains(n.as_str())) {
        if !graph.constants.contains_key(name) || outputs.contains(name) {
            frontier.insert(name.clone());
        }
    }
    let frontier: Vec<String> = frontier.into_iter().collect();
    let known: BTreeMap<&str, &ValueInfo> =
        graph.inputs.iter().chain(&graph.outputs).map(|i| (i.name.as_str(), i)).collect();
    let info = |name: &String| match known.get(name.as_str()) {
        Some(&i) => i.clone(),
        None => ValueInfo { name: name.clone(), dtype: None::<DType>, shape: None },
    };
    let used = |nodes: &[Node], extra: &[String], name: &String| {
        nodes.iter().any(|n| n.inputs.contains(name)) || extra.contains(name)
    };
    let part = |nodes: Vec<Node>, inputs: Vec<ValueInfo>, outputs: Vec<ValueInfo>| {
        let names: Vec<String> = outputs.iter().map(|o| o.name.clone()).collect();
        let constants = graph.constants.iter().filter(|(n, _)| used(&nodes, &names, n));
        let constants = constants.map(|(n, v)| (n.clone(), v.clone())).collect();
        Graph { inputs, outputs, constants, nodes, opsets: graph.opsets.clone() }
    };
    let (fixed, loose): (Vec<ValueInfo>, Vec<ValueInfo>) =
        graph.inputs.iter().cloned().partition(|i| !free.contains(&i.name));
    let fixed = fixed.into_iter().filter(|i| used(&before, &frontier, &i.name)).collect();
    let mut core_inputs = loose;
    core_inputs.extend(frontier.iter().map(info));
    let mut core = part(after, core_inputs, outputs.iter().map(info).collect());
    core.constants.retain(|name, _| !frontier.contains(name));
    let prefix = part(before, fixed, frontier.iter().map(info).collect());
    Split { prefix, core, frontier }
}

/// For each node, whether an output needs it.
pub(crate) fn needed(graph: &Graph, outputs: &[String]) -> Vec<bool> {
    let mut wanted: BTreeSet<&str> = outputs.iter().map(String::as_str).collect();
    let mut needed = vec![false; graph.nodes.len()];
    for (node, needed) in graph.nodes.iter().zip(&mut needed).rev() {
        *needed = node.outputs.iter().any(|o| !o.is_empty() && wanted.contains(o.as_str()));
        if *needed {
            wanted.extend(node.inputs.iter().map(String::as_str));
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Precision, run};
    use crate::value::{Inputs, Tensor, Value};

    fn node(op: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            name: String::new(),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|s| s.to_string()).collect(),
            outputs: vec![output.to_string()],
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn both_parts_give_what_the_whole_gives() {
        let input =
            |name: &str| ValueInfo { name: name.into(), dtype: Some(DType::F32), shape: None };
        let graph = Graph {
            inputs: vec![input("a"), input("b")],
            outputs: vec![input("z")],
            nodes: vec![
                node("Exp", &["b"], "e"),
                node("Mul", &["e", "c"], "f"),
                node("Sub", &["a", "f"], "g"),
                node("Neg", &["a"], "unused"),
                node("Add", &["g", "b"], "z"),
            ],
            constants: [("c".to_string(), Value::F32(Tensor::scalar(3.0)))].into(),
            opsets: BTreeMap::new(),
        };
        let v = |v: &[f32]| Value::F32(Tensor::vector(v.to_vec()));
        let inputs: Inputs =
            [("a".to_string(), v(&[1.0, 2.0])), ("b".to_string(), v(&[0.5, -1.0]))].into();
        let whole = run(&graph, &inputs, &["z"], Precision::F32).unwrap();
        for free in ["a", "b"] {
            let cut = split(&graph, &[free.to_string()], &["z".to_string()]);
            let names: Vec<&str> = cut.frontier.iter().map(String::as_str).collect();
            let values = run(&cut.prefix, &inputs, &names, Precision::F32).unwrap();
            let mut second: Inputs = cut.frontier.iter().cloned().zip(values).collect();
            second.insert(free.to_string(), inputs[free].clone());
            assert_eq!(run(&cut.core, &second, &["z"], Precision::F32).unwrap(), whole, "{free}");
            assert!(!cut.core.nodes.iter().any(|n| n.outputs[0] == "unused"));
        }
        let cut = split(&graph, &["a".to_string()], &["z".to_string()]);
        assert_eq!(cut.frontier, ["b", "f"]);
        assert_eq!(cut.prefix.nodes.len(), 2);
    }
}
