//! Rewrites a graph into plainer operators that compute the same.
//!
//! Owns folding of constants, of batch normalisation, and the numeric operators of
//! `ai.onnx.ml` in plain ONNX, so that they run on every engine and have gradients. Text,
//! `LabelEncoder`, tree ensembles and `ZipMap` stay. Must keep the names of inputs and outputs.
//! Called by the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use crate::composite;
use crate::extent::{self, ExtentError, InputShapes, Skeleton};
use crate::graph::{Attribute, Dim, Graph, ML, Node};
use crate::reference::{self, Precision};
use crate::split::needed;
use crate::value::{DType, Inputs, Value};

mod batch_norm;
mod classical;
mod known;

#[cfg(test)]
pub(crate) use classical::svm::SWEEPS as SVM_SWEEPS;

/// Elements of a folded constant: beyond it a graph would grow by what it can compute.
const FOLDED_ELEMENTS_MAX: usize = 1 << 22;

/// The same function in plainer operators.
///
/// Equal bit for bit, but where batch normalisation is folded into weights: there each weight
/// is rounded once from `f64`, which moves a result by about as much as a change in the order
/// of summation does.
pub fn lower(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let opset = graph.opset("");
    graph.opsets.entry(String::new()).or_insert(opset);
    composite::expand_possible(&mut graph);
    remove_identities(&mut graph);
    fold_constants(&mut graph);
    classical::lower(&mut graph);
    let types = known(&graph);
    known::truths(&mut graph, &types);
    fold_constants(&mut graph);
    batch_norm::fold(&mut graph);
    remove_identities(&mut graph);
    prune(&mut graph);
    graph
}

/// Operators of `ai.onnx.ml` that [`lower`] writes in plain ONNX where their types allow it, so
/// that they have gradients, and the first opset of `ai.onnx` for it; sorted by name.
pub fn rewritten() -> impl Iterator<Item = (&'static str, i64)> {
    classical::REWRITTEN.iter().copied()
}

/// Domain and name of the operators that are defined by plainer ones, which [`lower`] writes out;
/// sorted within a domain.
pub fn composites() -> impl Iterator<Item = (&'static str, &'static str)> {
    composite::all()
}

/// Drops `Identity` and `Dropout`, unless they give an output of the graph.
fn remove_identities(graph: &mut Graph) {
    let outputs: BTreeSet<String> = graph.outputs.iter().map(|o| o.name.clone()).collect();
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        for input in &mut node.inputs {
            if let Some(to) = renamed.get(input) {
                input.clone_from(to);
            }
        }
        let plain = node.domain.is_empty()
            && match node.op.as_str() {
                "Identity" => true,
                // With a mask wanted, or a training flag given, it is more than that.
                "Dropout" => {
                    node.outputs.get(1).is_none_or(String::is_empty)
                        && node.inputs.get(2).is_none_or(String::is_empty)
                }
                _ => false,
            };
        if plain && !outputs.contains(&node.outputs[0]) && !node.inputs[0].is_empty() {
            renamed.insert(node.outputs[0].clone(), node.inputs[0].clone());
        } else {
            kept.push(node);
        }
    }
    graph.nodes = kept;
}

/// Computes every node that reads constants only.
pub(crate) fn fold_constants(graph: &mut Graph) {
    let outputs: BTreeSet<String> = graph.outputs.iter().map(|o| o.name.clone()).collect();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let fixed = node.inputs.iter().all(|i| i.is_empty() || graph.constants.contains_key(i))
            && !node.outputs.iter().any(|o| outputs.contains(o));
        match fixed.then(|| computed(graph, &node)).flatten() {
            Some(values) => graph.constants.extend(values),
            None => kept.push(node),
        }
    }
    graph.nodes = kept;
}

fn computed(graph: &Graph, node: &Node) -> Option<Vec<(String, Value)>> {
    let constants = node.inputs.iter().filter_map(|i| Some((i.clone(), graph.constants.get(i)?)));
    let alone = Graph {
        constants: constants.map(|(n, v)| (n, v.clone())).collect(),
        nodes: vec![node.clone()],
        opsets: graph.opsets.clone(),
        ..Graph::default()
    };
    // What is known to grow too large is not computed to find that out: a file may hold many.
    let small =
        |shape: &Vec<usize>| extent::volume(shape).is_some_and(|n| n <= FOLDED_ELEMENTS_MAX);
    match Skeleton::of(&alone).shapes(&InputShapes::new()) {
        Ok(shapes) if !node.outputs.iter().filter_map(|o| shapes.get(o)).all(small) => return None,
        Err(ExtentError::TooLarge { .. } | ExtentError::TooMany { .. }) => return None,
        _ => {}
    }
    let names: Vec<&str> =
        node.outputs.iter().filter(|o| !o.is_empty()).map(String::as_str).collect();
    let values = reference::run(&alone, &Inputs::new(), &names, Precision::F32).ok()?;
    let small = values.iter().all(|v| v.len() <= FOLDED_ELEMENTS_MAX && v.dtype().is_some());
    small.then(|| names.iter().map(|n| n.to_string()).zip(values).collect())
}

/// Drops nodes and constants that no output needs.
fn prune(graph: &mut Graph) {
    let outputs: Vec<String> = graph.outputs.iter().map(|o| o.name.clone()).collect();
    let mut keep = needed(graph, &outputs).into_iter();
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
    let read: BTreeSet<&String> =
        graph.nodes.iter().flat_map(|n| &n.inputs).chain(&outputs).collect();
    let unread: Vec<String> =
        graph.constants.keys().filter(|k| !read.contains(k)).cloned().collect();
    for name in unread {
        graph.constants.remove(&name);
    }
}

/// What is known of a value without running the graph.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    dtype: Option<DType>,
    rank: Option<usize>,
}

/// Element types and ranks, as far as they follow from the declarations.
fn known(graph: &Graph) -> BTreeMap<String, Known> {
    let mut all: BTreeMap<String, Known> = BTreeMap::new();
    for i in &graph.inputs {
        let rank = i.shape.as_ref().map(Vec::<Dim>::len);
        all.insert(i.name.clone(), Known { dtype: i.dtype, rank });
    }
    for (name, v) in &graph.constants {
        all.insert(name.clone(), Known { dtype: v.dtype(), rank: Some(v.shape().len()) });
    }
    for node in &graph.nodes {
        let outputs = follow(graph, node, &all);
        for (name, k) in node.outputs.iter().zip(outputs) {
            all.insert(name.clone(), k);
        }
    }
    all
}

fn follow(graph: &Graph, node: &Node, all: &BTreeMap<String, Known>) -> Vec<Known> {
    let of = |i: usize| node.inputs.get(i).and_then(|n| all.get(n)).copied().unwrap_or_default();
    let x = of(0);
    let float = |rank| Known { dtype: Some(DType::F32), rank };
    if node.domain == ML {
        return match node.op.as_str() {
            "Scaler" | "Normalizer" => vec![float(x.rank)],
            "Imputer" | "Binarizer" => vec![x],
            "OneHotEncoder" => vec![float(x.rank.map(|r| r + 1))],
            "FeatureVectorizer" | "LinearRegressor" | "SVMRegressor" | "TreeEnsembleRegressor" => {
                vec![float(Some(2))]
            }
            "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => {
                vec![Known { dtype: None, rank: Some(1) }, float(Some(2))]
            }
            "ArrayFeatureExtractor" => vec![Known { rank: x.rank.map(|r| r.max(2)), ..x }],
            _ => Vec::new(),
        };
    }
    if !node.domain.is_empty() {
        return if node.op == "CDist" { vec![float(Some(2))] } else { Vec::new() };
    }
    let widest = || {
        let ranks = (0..node.inputs.len()).map(|i| of(i).rank);
        ranks.collect::<Option<Vec<_>>>().and_then(|r| r.into_iter().max())
    };
    match node.op.as_str() {
        "Cast" => {
            let code = match node.attributes.get("to") {
                Some(Attribute::Int(c)) => i32::try_from(*c).ok(),
                _ => None,
            };
            vec![Known { dtype: code.and_then(crate::model::held_as), rank: x.rank }]
        }
        "Add" | "Sub" | "Mul" | "Div" | "MatMul" => vec![Known { dtype: x.dtype, rank: widest() }],
        "Relu" | "Sigmoid" | "Tanh" | "Softmax" | "Identity" | "Dropout" | "Clip" | "Exp"
        | "Log" | "Sqrt" | "Abs" | "Neg" | "Slice" | "Transpose" => vec![x],
        "Flatten" | "Gemm" => vec![Known { dtype: x.dtype, rank: Some(2) }],
        _ => known::plain(graph, node, all),
    }
}

/// A node of `ai.onnx` with a name that says what it came from.
fn plain(
    op: &str,
    from: &Node,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute)],
) -> Node {
    Node {
        name: format!("{}/{op}", if from.name.is_empty() { &from.op } else { &from.name }),
        op: op.to_string(),
        domain: String::new(),
        inputs: inputs.iter().map(|i| i.to_string()).collect(),
        outputs: vec![output.to_string()],
        attributes: attributes.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
    }
}
