//! Turns what a graph computes from its own shapes into constants.
//!
//! Owns the replacement of `Shape` and `Size` by the probed figures, and the folding that
//! follows: exporters compute pads, slices and reshapes from them, and the rules need constants.
//! Must never be used on a graph that runs at another width. Called by [`super::vjp`] and by
//! [`crate::loss`].

use super::builder::int;
use super::unroll::unroll;
use super::{Meta, Shapes, is_default};
use crate::graph::{Graph, Node};
use crate::lower::fold_constants;
use crate::value::{Tensor, Value};

/// The graph for inputs of exactly the probed shapes. Recurrent layers are written out step by
/// step, whose shapes are added; all else is equal bit for bit.
pub(crate) fn settle(graph: &Graph, shapes: &mut Shapes) -> Graph {
    let graph = unroll(folded(graph, shapes), shapes);
    with_places(graph)
}

/// Gives the indices of every `TopK` a name, which its derivative reads.
fn with_places(mut graph: Graph) -> Graph {
    for node in &mut graph.nodes {
        if node.op != "TopK" || !is_default(&node.domain) {
            continue;
        }
        if let [values] = node.outputs.as_slice() {
            let places = format!("{values}/places");
            node.outputs.push(places);
        } else if let [values, places] = node.outputs.as_mut_slice()
            && places.is_empty()
        {
            *places = format!("{values}/places");
        }
    }
    graph
}

fn folded(graph: &Graph, shapes: &Shapes) -> Graph {
    let mut graph = graph.clone();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    let mut changed = false;
    for node in std::mem::take(&mut graph.nodes) {
        let wanted = |o: &String| graph.outputs.iter().any(|wanted| wanted.name == *o);
        let known = node.inputs.first().and_then(|x| shapes.get(x));
        match (known.and_then(|meta| figures(&node, meta)), node.outputs.first()) {
            (Some(value), Some(output)) if !wanted(output) => {
                graph.constants.insert(output.clone(), value);
                changed = true;
            }
            _ => kept.push(node),
        }
    }
    graph.nodes = kept;
    if changed {
        fold_constants(&mut graph);
    }
    graph
}

/// What a `Shape` or `Size` node gives for an input of a known shape.
fn figures(node: &Node, meta: &Meta) -> Option<Value> {
    if !is_default(&node.domain) {
        return None;
    }
    let rank = meta.shape.len() as i64;
    let dims = meta.shape.iter().map(|&d| d as i64);
    match node.op.as_str() {
        "Size" => Some(Value::I64(Tensor::scalar(dims.product()))),
        "Shape" => {
            let place = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
            let (start, end) = (place(int(node, "start", 0)), place(int(node, "end", rank)));
            let dims = dims.skip(start).take(end.saturating_sub(start)).collect();
            Some(Value::I64(Tensor::vector(dims)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attribute;
    use crate::reference::{Precision, run};
    use crate::value::{DType, Inputs};

    #[test]
    fn figures_are_those_of_the_kernels() {
        let x = Value::F32(Tensor::new(vec![2, 3, 5], vec![0.0; 30]).unwrap());
        let meta = Meta { shape: vec![2, 3, 5], dtype: DType::F32 };
        let table: [(&str, &[(&str, i64)]); 7] = [
            ("Shape", &[]),
            ("Shape", &[("start", 1)]),
            ("Shape", &[("end", -1)]),
            ("Shape", &[("start", -2), ("end", 9)]),
            ("Shape", &[("start", 2), ("end", 1)]),
            ("Shape", &[("start", -9), ("end", -9)]),
            ("Size", &[]),
        ];
        for (op, attributes) in table {
            let attributes = attributes.iter().map(|&(k, v)| (k.to_string(), Attribute::Int(v)));
            let node = Node {
                name: "n".into(),
                op: op.into(),
                domain: String::new(),
                inputs: vec!["x".into()],
                outputs: vec!["y".into()],
                attributes: attributes.collect(),
            };
            let graph = Graph {
                constants: [("x".to_string(), x.clone())].into(),
                nodes: vec![node.clone()],
                opsets: [(String::new(), 18)].into(),
                ..Graph::default()
            };
            let wanted = run(&graph, &Inputs::new(), &["y"], Precision::F32).unwrap();
            assert_eq!(figures(&node, &meta).as_ref(), wanted.first(), "{node:?}");
        }
    }
}
