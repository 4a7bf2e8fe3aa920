//! Composed graphs against the decisions and sums that they stand for.

use std::collections::BTreeMap;

use super::*;
use crate::graph::{Attribute, Dim, Graph, ML, Node, ValueInfo};
use crate::model::Model;
use crate::pipeline::Answer;
use crate::reference::{Precision, run};
use crate::value::{DType, Inputs, Tensor, Value};
use crate::write::to_onnx;

fn info(name: &str, dtype: DType, columns: usize) -> ValueInfo {
    let shape = vec![Dim::Dynamic("n".into()), Dim::Fixed(columns)];
    ValueInfo { name: name.into(), dtype: Some(dtype), shape: Some(shape) }
}

fn node(op: &str, inputs: &[&str], output: &str, with: &[(&str, Attribute)]) -> Node {
    Node {
        name: String::new(),
        op: op.into(),
        domain: String::new(),
        inputs: inputs.iter().map(|s| s.to_string()).collect(),
        outputs: vec![output.into()],
        attributes: with.iter().map(|(n, a)| (n.to_string(), a.clone())).collect(),
    }
}

/// `y = [1 - sigmoid(w x), sigmoid(w x)]`, or only the second column, or logits.
fn toy(w: f32, opset: i64, form: &str) -> Graph {
    let mut nodes = vec![node("Mul", &["x", "w"], "z", &[])];
    let columns = match form {
        "one" => {
            nodes.push(node("Sigmoid", &["z"], "y", &[]));
            1
        }
        "logits" => {
            nodes.push(node("Neg", &["z"], "minus", &[]));
            nodes.push(node("Concat", &["minus", "z"], "y", &[("axis", Attribute::Int(1))]));
            2
        }
        _ => {
            nodes.push(node("Sigmoid", &["z"], "p", &[]));
            nodes.push(node("Sub", &["one", "p"], "q", &[]));
            nodes.push(node("Concat", &["q", "p"], "y", &[("axis", Attribute::Int(1))]));
            2
        }
    };
    let scalar = |v: f32| Value::F32(Tensor::vector(vec![v]));
    Graph {
        inputs: vec![info("x", DType::F32, 1)],
        outputs: vec![info("y", DType::F32, columns)],
        nodes,
        constants: [("w".into(), scalar(w)), ("one".into(), scalar(1.0))].into(),
        opsets: [(String::new(), opset)].into(),
    }
}

fn voter(graph: &Graph, answer: Answer, adverse: usize, cut: Cut) -> Voter<'_> {
    Voter { graph, output: Some("y"), answer, adverse, cut }
}

fn ask(graph: &Graph, output: &str, x: &[f32]) -> Vec<f32> {
    let tensor = Tensor::new(vec![x.len(), 1], x.to_vec()).unwrap();
    let inputs: Inputs = [("x".to_string(), Value::F32(tensor))].into();
    let values = run(graph, &inputs, &[output], Precision::F32).unwrap();
    values[0].as_f32().unwrap().data().to_vec()
}

/// Whether a model decides its adverse class, in f64 as the lab does.
fn adverse(voter: &Voter<'_>, scores: &[f32]) -> bool {
    let two = match (scores, voter.answer) {
        ([p], Answer::Probability) => [1.0 - *p, *p],
        ([z], _) => [0.0, *z],
        (s, _) => [s[0], s[1]],
    };
    let value = |class: usize| match voter.answer {
        Answer::Logit => {
            let [a, b] = two.map(f64::from);
            1.0 / (1.0 + (if class == 0 { b - a } else { a - b }).exp())
        }
        _ => f64::from(two[class]),
    };
    match voter.cut {
        Cut::Adverse(t) => value(voter.adverse) >= t,
        Cut::Other(t) => value(1 - voter.adverse) < t,
        Cut::Argmax => two[voter.adverse] >= two[1 - voter.adverse],
    }
}

#[test]
fn the_file_decides_as_the_rule_says() {
    use Answer::{Logit, Probability, Score};
    let x: Vec<f32> = (-60..=60).map(|i| i as f32 / 20.0).collect();
    let cases = [
        (
            "two cut-offs",
            ("two", Probability, 1, Cut::Adverse(0.22)),
            ("two", Probability, 1, Cut::Adverse(0.19)),
        ),
        (
            "other class cut",
            ("two", Probability, 0, Cut::Other(0.7)),
            ("two", Probability, 0, Cut::Adverse(0.4)),
        ),
        (
            "one column",
            ("one", Probability, 1, Cut::Adverse(0.3)),
            ("two", Probability, 1, Cut::Argmax),
        ),
        (
            "one column, class 0",
            ("one", Probability, 0, Cut::Adverse(0.6)),
            ("one", Probability, 0, Cut::Argmax),
        ),
        (
            "logits",
            ("logits", Logit, 1, Cut::Adverse(0.3)),
            ("two", Probability, 1, Cut::Other(0.8)),
        ),
        ("scores", ("logits", Score, 1, Cut::Adverse(0.35)), ("logits", Score, 1, Cut::Argmax)),
    ];
    for (name, a, b) in cases {
        let (first, second) = (toy(1.3, 17, a.0), toy(0.7, 17, b.0));
        let first = voter(&first, a.1, a.2, a.3);
        let second = voter(&second, b.1, b.2, b.3);
        for column in 0..2 {
            let composed = vote(&first, &second, column).unwrap();
            let bytes = to_onnx(&composed).unwrap();
            let none = |l: &str| Err(l.to_string());
            let model = Model::from_onnx(&bytes, &none).unwrap();
            let votes = ask(model.graph(), VOTE, &x);
            let width = |v: &Voter<'_>| ask(v.graph, "y", &x).len() / x.len();
            let (wa, wb) = (width(&first), width(&second));
            let (sa, sb) = (ask(first.graph, "y", &x), ask(second.graph, "y", &x));
            let mut both = 0;
            for (i, pair) in votes.chunks(2).enumerate() {
                let wanted = adverse(&first, &sa[i * wa..(i + 1) * wa])
                    || adverse(&second, &sb[i * wb..(i + 1) * wb]);
                assert_eq!(pair[column] >= 0.0, wanted, "{name}, column {column}, x {}", x[i]);
                assert_eq!(pair[0], -pair[1], "{name}");
                both += usize::from(!wanted);
            }
            assert!(both > 0 && both < x.len(), "{name}: both outcomes occur, {both}");
        }
    }
}

#[test]
fn a_value_on_the_cut_off_is_on_its_side_in_the_file_too() {
    // Scores equal to the input; 0.22 lies between two f32, 0.25 on one.
    for t in [0.22, 0.25, 0.1, 1e-3, 0.999] {
        let identity = Graph {
            inputs: vec![info("x", DType::F32, 1)],
            outputs: vec![info("y", DType::F32, 1)],
            nodes: vec![node("Identity", &["x"], "y", &[])],
            constants: BTreeMap::new(),
            opsets: [(String::new(), 17)].into(),
        };
        let near = t as f32;
        let x = [near.next_down().next_down(), near.next_down(), near, near.next_up()];
        for cut in [Cut::Adverse(t), Cut::Other(t)] {
            let class = if matches!(cut, Cut::Adverse(_)) { 1 } else { 0 };
            let one = voter(&identity, Answer::Score, class, cut);
            let composed = vote(&one, &one, 1).unwrap();
            for (pair, &x) in ask(&composed, VOTE, &x).chunks(2).zip(&x) {
                let reached = f64::from(x) >= t;
                let wanted = if class == 1 { reached } else { !reached };
                assert_eq!(pair[1] >= 0.0, wanted, "{cut:?} at {x:e}");
            }
        }
    }
}

#[test]
fn models_of_different_opsets_are_raised_and_what_cannot_be_joined_is_refused() {
    let (old, new) = (toy(1.0, 11, "two"), toy(1.0, 18, "two"));
    let plain = |graph| voter(graph, Answer::Probability, 1, Cut::Adverse(0.3));
    let composed = vote(&plain(&old), &plain(&new), 1).unwrap();
    assert_eq!(composed.opset(""), 18);
    let mut wide = toy(1.0, 18, "two");
    wide.inputs[0] = info("x", DType::F64, 1);
    let fault = vote(&plain(&old), &plain(&wide), 1).unwrap_err();
    assert!(matches!(&fault, ComposeError::Input { input, .. } if input == "x"), "{fault}");
    let label = Voter { answer: Answer::Label, ..plain(&new) };
    assert!(matches!(vote(&plain(&old), &label, 1), Err(ComposeError::Output { .. })));
    let mut three = toy(1.0, 18, "two");
    three.outputs[0] = info("y", DType::F32, 3);
    assert!(matches!(vote(&plain(&old), &plain(&three), 1), Err(ComposeError::Output { .. })));
    let mut ml = toy(1.0, 18, "two");
    ml.nodes.push(Node { domain: ML.into(), ..node("LabelEncoder", &["x"], "e", &[]) });
    let mut other = ml.clone();
    ml.opsets.insert(ML.into(), 1);
    other.opsets.insert(ML.into(), 3);
    let fault = vote(&plain(&ml), &plain(&other), 1).unwrap_err();
    assert!(matches!(&fault, ComposeError::Opset { first: 1, second: 3, .. }), "{fault}");
}

/// Three stumps on the only column; class 1 gets the weight of the leaf.
fn stumps(weights: [[f32; 2]; 3], transform: &str, base: Option<f32>) -> Graph {
    let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
    let trees = [0, 0, 0, 1, 1, 1, 2, 2, 2];
    let mut with = vec![
        ("nodes_treeids", ints(&trees)),
        ("nodes_nodeids", ints(&[0, 1, 2, 0, 1, 2, 0, 1, 2])),
        ("nodes_featureids", ints(&[0; 9])),
        ("nodes_values", Attribute::Floats(vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0])),
        (
            "nodes_modes",
            Attribute::Texts(
                ["BRANCH_LEQ", "LEAF", "LEAF"].repeat(3).iter().map(|s| s.to_string()).collect(),
            ),
        ),
        ("nodes_truenodeids", ints(&[1, 0, 0, 1, 0, 0, 1, 0, 0])),
        ("nodes_falsenodeids", ints(&[2, 0, 0, 2, 0, 0, 2, 0, 0])),
        ("class_treeids", ints(&[0, 0, 1, 1, 2, 2])),
        ("class_nodeids", ints(&[1, 2, 1, 2, 1, 2])),
        ("class_ids", ints(&[0; 6])),
        ("class_weights", Attribute::Floats(weights.concat())),
        ("classlabels_int64s", ints(&[0, 1])),
        ("post_transform", Attribute::Text(transform.into())),
    ];
    if let Some(base) = base {
        with.push(("base_values", Attribute::Floats(vec![base])));
    }
    let mut ensemble = node("TreeEnsembleClassifier", &["x"], "label", &with);
    ensemble.domain = ML.into();
    ensemble.outputs.push("y".into());
    Graph {
        inputs: vec![info("x", DType::F32, 1)],
        outputs: vec![info("y", DType::F32, 2)],
        nodes: vec![ensemble],
        constants: BTreeMap::new(),
        opsets: [(String::new(), 17), (ML.into(), 3)].into(),
    }
}

#[test]
fn the_first_trees_of_a_boosted_ensemble_add_up_and_averages_are_weighted_anew() {
    let boosted = stumps([[-1.0, 1.0], [-0.5, 0.5], [0.25, -0.25]], "LOGISTIC", Some(0.1));
    assert_eq!(tree_count(&boosted), Some(3));
    let two = first_trees(&boosted, 2).unwrap();
    assert_eq!(tree_count(&two), Some(2));
    for (x, sum) in [(-2.0, -1.4), (0.5, 0.6), (2.0, 1.6)] {
        let p = ask(&two, "y", &[x])[1];
        let wanted = 1.0 / (1.0 + (-(sum as f32)).exp());
        assert!((p - wanted).abs() < 1e-6, "{x}: {p} against {wanted}");
    }
    // A forest: every leaf gives a third to one class.
    let mut forest = stumps([[1.0 / 3.0; 2]; 3], "NONE", None);
    forest.nodes[0].attributes.insert("class_ids".into(), Attribute::Ints(vec![0, 1, 0, 1, 0, 1]));
    let two = first_trees(&forest, 2).unwrap();
    for x in [-2.0, 0.5, 2.0] {
        let scores = ask(&two, "y", &[x]);
        assert!((scores[0] + scores[1] - 1.0).abs() < 1e-6, "{x}: {scores:?}");
    }
    for keep in [0, 3, 9] {
        assert!(first_trees(&boosted, keep).is_err(), "{keep}");
    }
    assert!(first_trees(&toy(1.0, 17, "two"), 1).is_err());
    let mut twice = boosted.clone();
    twice.nodes.push(boosted.nodes[0].clone());
    assert_eq!(tree_count(&twice), None);
}
