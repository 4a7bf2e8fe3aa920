//! Malformed classical operators: whatever their attributes hold and whatever reaches them, the
//! reference and the rewriting answer or refuse, and never panic.

// The figures are for whoever runs the tests by hand.
#![allow(clippy::print_stderr)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use proofmark_engine::graph::{Attribute, Graph};
use proofmark_engine::lower::lower;
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::value::{Inputs, Tensor, Value};

use crate::forward::{Case, cases_of};

/// Families whose operators have rich attributes.
const FAMILIES: [&str; 6] = ["encoders", "labels", "linear", "svm", "texts", "trees"];
/// Of equal nodes only so many are spoiled: more say nothing new.
const NODES_MAX: usize = 10;

#[test]
fn spoiled_attributes_are_refused_or_answered() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for case in cases_of(family) {
            let (graph, inputs, outputs) = case.parts();
            let key = graph.nodes[0].op.clone();
            let count = seen.entry(key).or_default();
            *count += 1;
            if *count > NODES_MAX {
                continue;
            }
            for (what, spoiled) in spoiled_graphs(&graph) {
                tried += 1;
                note(&mut wrong, &case, &what, || answers(&spoiled, &inputs, &outputs));
            }
            for (what, inputs) in spoiled_inputs(&inputs) {
                tried += 1;
                let graph = loosened(&graph);
                note(&mut wrong, &case, &what, || answers(&graph, &inputs, &outputs));
            }
        }
    }
    eprintln!("{tried} spoiled nodes");
    assert!(tried > 3000, "only {tried}");
    assert!(wrong.is_empty(), "{} panics:\n{}", wrong.len(), wrong.join("\n"));
}

fn note(wrong: &mut Vec<String>, case: &Case, what: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        wrong.push(format!("{}: {what}", case.name()));
    }
}

/// Both roads; only that they end matters.
fn answers(graph: &Graph, inputs: &Inputs, outputs: &[String]) {
    let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
    for precision in [Precision::F32, Precision::F64] {
        let _ = run(graph, inputs, &names, precision);
        let _ = run(&lower(graph), inputs, &names, precision);
    }
}

/// Every attribute gone, of another type, emptied, cut, doubled, or with extreme entries.
fn spoiled_graphs(graph: &Graph) -> Vec<(String, Graph)> {
    let mut out = Vec::new();
    for (name, attribute) in &graph.nodes[0].attributes {
        let mut put = |what: &str, value: Option<Attribute>| {
            let mut spoiled = graph.clone();
            let attributes = &mut spoiled.nodes[0].attributes;
            match value {
                Some(value) => attributes.insert(name.clone(), value),
                None => attributes.remove(name),
            };
            out.push((format!("{name} {what}"), spoiled));
        };
        put("gone", None);
        put("of another type", Some(Attribute::Texts(vec!["x".into()])));
        match attribute {
            Attribute::Int(_) => {
                for v in [i64::MIN, -1, 0, 1, 1 << 20, i64::MAX] {
                    put(&format!("{v}"), Some(Attribute::Int(v)));
                }
            }
            Attribute::Float(_) => {
                for v in [f32::NAN, f32::INFINITY, -0.0, f32::MAX] {
                    put(&format!("{v}"), Some(Attribute::Float(v)));
                }
            }
            Attribute::Text(_) => {
                for v in ["", "NOSUCH", "(", "\u{0}"] {
                    put(v, Some(Attribute::Text(v.into())));
                }
            }
            Attribute::Ints(v) => {
                for (what, v) in lists(v, &[i64::MIN, -1, 1 << 40, i64::MAX]) {
                    put(&what, Some(Attribute::Ints(v)));
                }
            }
            Attribute::Floats(v) => {
                for (what, v) in lists(v, &[f32::NAN, f32::INFINITY, f32::MIN]) {
                    put(&what, Some(Attribute::Floats(v)));
                }
            }
            Attribute::Texts(v) => {
                for (what, v) in lists(v, &[String::new(), "[z-a]".into()]) {
                    put(&what, Some(Attribute::Texts(v)));
                }
            }
            Attribute::Tensor(_) => {
                let tensors = [
                    Value::F32(Tensor::vector(Vec::new())),
                    Value::I64(Tensor::vector(vec![i64::MIN, i64::MAX])),
                    Value::Str(Tensor::scalar("x".into())),
                    Value::U8(Tensor::vector(vec![255; 3])),
                ];
                tensors.into_iter().for_each(|v| put("another tensor", Some(Attribute::Tensor(v))));
            }
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
    out
}

fn lists<T: Clone + std::fmt::Debug>(v: &[T], extremes: &[T]) -> Vec<(String, Vec<T>)> {
    let mut out = vec![
        ("emptied".to_string(), Vec::new()),
        ("cut".to_string(), v[..v.len() / 2].to_vec()),
        ("doubled".to_string(), [v, v].concat()),
        ("turned".to_string(), v.iter().rev().cloned().collect()),
    ];
    for extreme in extremes {
        for at in [0, v.len() / 2, v.len().saturating_sub(1)] {
            let mut spoiled = v.to_vec();
            if let Some(slot) = spoiled.get_mut(at) {
                *slot = extreme.clone();
                out.push((format!("{extreme:?} at {at}"), spoiled));
            }
        }
    }
    out
}

/// The graph with inputs of any type and shape, so that the kernels see what comes.
fn loosened(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for input in &mut graph.inputs {
        (input.dtype, input.shape) = (None, None);
    }
    graph
}

/// No rows, no columns, other ranks, other types, values that are no numbers.
fn spoiled_inputs(inputs: &Inputs) -> Vec<(String, Inputs)> {
    let values = [
        Value::F32(Tensor::new(vec![0, 4], Vec::new()).unwrap()),
        Value::F32(Tensor::new(vec![3, 0], Vec::new()).unwrap()),
        Value::F32(Tensor::scalar(1.0)),
        Value::F32(Tensor::new(vec![1, 2, 2], vec![f32::NAN; 4]).unwrap()),
        Value::F32(Tensor::new(vec![2, 4], vec![f32::INFINITY; 8]).unwrap()),
        Value::F64(Tensor::new(vec![1, 9], vec![1e300; 9]).unwrap()),
        Value::I64(Tensor::new(vec![2, 4], vec![i64::MIN; 8]).unwrap()),
        Value::I32(Tensor::vector(vec![i32::MAX; 4])),
        Value::Bool(Tensor::new(vec![1, 4], vec![true; 4]).unwrap()),
        Value::U8(Tensor::new(vec![1, 4], vec![255; 4]).unwrap()),
        Value::Str(Tensor::new(vec![2, 2], vec!["\u{1F600}\u{0}".to_string(); 4]).unwrap()),
        Value::Str(Tensor::new(vec![0], Vec::new()).unwrap()),
        Value::Maps(Vec::new()),
    ];
    let mut out = Vec::new();
    for name in inputs.keys() {
        for value in &values {
            let mut spoiled = inputs.clone();
            spoiled.insert(name.clone(), value.clone());
            out.push((format!("{name} = {:?} {:?}", value.dtype(), value.shape()), spoiled));
        }
    }
    out
}
