//! Gradients against central finite differences, both in `f64` on the reference.

use proofmark_engine::autodiff::{AutodiffError, probe, upgrade, vjp};
use proofmark_engine::graph::{Attribute, Graph};
use proofmark_engine::reference::{Precision, prepare, run};
use proofmark_engine::value::{Inputs, Tensor, Value};

use crate::cases::{self, Case, graph, node, noise, scalar, tensor};

/// Half the distance of the finite difference; its error is of the order of the square.
const STEP: f64 = 1e-5;

#[test]
fn every_rule_agrees_with_finite_differences() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        if let Err(words) = check(&case) {
            wrong.push(format!("{}: {words}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(case: &Case) -> Result<(), String> {
    let words = |e: &dyn std::fmt::Display| e.to_string();
    let shapes = probe(&case.graph, &case.inputs).map_err(|e| words(&e))?;
    let backward = vjp(&case.graph, &shapes, "y", "cot", &case.wrt).map_err(|e| words(&e))?;
    let out = shapes["y"].shape.clone();
    let cotangent = noise(99, out.iter().product());
    let mut inputs = case.inputs.clone();
    inputs.insert("cot".into(), tensor(&out, cotangent.clone()));
    let names: Vec<String> = case.wrt.iter().map(|w| format!("grad:{w}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let grads = run(&backward, &inputs, &names, Precision::F64).map_err(|e| words(&e))?;
    let forward = prepare(&case.graph, Precision::F64).map_err(|e| words(&e))?;
    let value = |inputs: &Inputs| -> f64 {
        let y = forward.run(inputs, &["y"]).unwrap()[0].to_f64s().unwrap();
        y.iter().zip(&cotangent).map(|(y, &c)| y * f64::from(c)).sum()
    };
    for (name, grad) in case.wrt.iter().zip(&grads) {
        let clean = case.inputs[name].clone().widened();
        if grad.shape() != clean.shape() {
            return Err(format!("shape {:?}, not {:?}", grad.shape(), clean.shape()));
        }
        let grad = grad.to_f64s().unwrap();
        let base = clean.to_f64s().unwrap();
        for (i, &g) in grad.iter().enumerate() {
            let at = |delta: f64| {
                let mut moved = base.clone();
                moved[i] += delta;
                let mut inputs = case.inputs.clone();
                let tensor = Tensor::new(clean.shape(), moved).unwrap();
                inputs.insert(name.clone(), Value::F64(tensor));
                value(&inputs)
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            if (slope - g).abs() > 2e-6 * (1.0 + slope.abs()) {
                return Err(format!("d/d{name}[{i}] is {g}, finite difference {slope}"));
            }
        }
    }
    Ok(())
}

/// Gradient of `sum(y)` with respect to `x`.
fn gradient(graph: &Graph, x: Value) -> Vec<f64> {
    let mut inputs = Inputs::from([("x".to_string(), x)]);
    let shapes = probe(graph, &inputs).unwrap();
    let backward = vjp(graph, &shapes, "y", "cot", &["x".to_string()]).unwrap();
    let shape = &shapes["y"].shape;
    inputs.insert("cot".into(), tensor(shape, vec![1.0; shape.iter().product()]));
    run(&backward, &inputs, &["grad:x"], Precision::F32).unwrap()[0].to_f64s().unwrap()
}

/// Golden values by `tests/ties.py`, which asks PyTorch 2.15.
#[test]
fn kinks_and_ties_follow_pytorch() {
    let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
    let window = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let lapping = [("kernel_shape", ints(&[1, 2])), ("strides", ints(&[1, 1]))];
    type Row<'a> = (&'a str, Vec<usize>, Vec<f32>, &'a [(&'a str, Attribute)], Vec<f64>);
    let table: Vec<Row> = vec![
        ("Relu", vec![3], vec![-1.0, 0.0, 1.0], &[], vec![0.0, 0.0, 1.0]),
        ("Abs", vec![3], vec![-1.0, 0.0, 1.0], &[], vec![-1.0, 0.0, 1.0]),
        ("MaxPool", vec![1, 1, 2, 2], vec![0.0; 4], &window, vec![1.0, 0.0, 0.0, 0.0]),
        ("MaxPool", vec![1, 1, 2, 2], vec![0.0, 1.0, 1.0, 1.0], &window, vec![0.0, 1.0, 0.0, 0.0]),
        ("MaxPool", vec![1, 1, 1, 4], vec![1.0, 2.0, 2.0, 2.0], &lapping, vec![0.0, 2.0, 1.0, 0.0]),
        ("GlobalMaxPool", vec![1, 1, 1, 3], vec![0.0, 5.0, 5.0], &[], vec![0.0, 1.0, 0.0]),
        ("ReduceMax", vec![1, 3], vec![5.0, 1.0, 5.0], &[], vec![0.5, 0.0, 0.5]),
    ];
    for (op, shape, x, attributes, wanted) in table {
        let nodes = vec![node(op, &["x"], &["y"], attributes)];
        let g = gradient(&graph(&[("x", &shape)], &[], nodes), tensor(&shape, x.clone()));
        assert_eq!(g, wanted, "{op} at {x:?}");
    }
    let nodes = vec![node("Max", &["x", "k"], &["y"], &[])];
    let max = graph(&[("x", &[2])], &[("k", tensor(&[2], vec![0.0, 0.0]))], nodes);
    assert_eq!(gradient(&max, tensor(&[2], vec![0.0, 1.0])), [0.5, 1.0], "max shares ties");
}

/// PyTorch 2.15 lets nothing through at the bounds of `clamp`. A pixel on the edge of its range
/// can still move inwards, so here it is told where to.
#[test]
fn clip_passes_at_its_bounds() {
    let nodes = vec![node("Clip", &["x", "l", "h"], &["y"], &[])];
    let bounds = [("l", scalar(-1.0)), ("h", scalar(1.0))];
    let clip = graph(&[("x", &[4])], &bounds, nodes);
    let g = gradient(&clip, tensor(&[4], vec![-2.0, -1.0, 1.0, 2.0]));
    assert_eq!(g, [0.0, 1.0, 1.0, 0.0], "clip passes at its bounds");
}

#[test]
fn forms_of_old_opsets_keep_their_meaning() {
    let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
    let axis = |v| vec![("axis", Attribute::Int(v))];
    let bounds = vec![("min", Attribute::Float(-0.5)), ("max", Attribute::Float(0.25))];
    let pads = vec![("pads", ints(&[0, 1, 0, 0, 0, 2])), ("value", Attribute::Float(0.5))];
    let slice = vec![("starts", ints(&[1])), ("ends", ints(&[3])), ("axes", ints(&[1]))];
    let axes = |v: &[i64]| vec![("axes", ints(v))];
    let table = [
        ("Softmax", axis(1)),
        ("LogSoftmax", axis(2)),
        ("Softmax", vec![]),
        ("Clip", bounds),
        ("Pad", pads),
        ("Slice", slice),
        ("Unsqueeze", axes(&[0, 2])),
        ("ReduceSum", axes(&[1])),
        ("ReduceMean", axes(&[-1])),
        ("Dropout", vec![]),
    ];
    let inputs = Inputs::from([("x".to_string(), cases::random(5, &[2, 4, 3]))]);
    for (op, attributes) in table {
        let nodes = vec![node(op, &["x"], &["y"], &attributes)];
        let mut old = graph(&[("x", &[2, 4, 3])], &[], nodes);
        old.opsets.insert(String::new(), 9);
        let new = upgrade(&old);
        assert_eq!(new.opsets[""], 18);
        let of = |g: &Graph| run(g, &inputs, &["y"], Precision::F32).unwrap();
        assert_eq!(of(&old), of(&new), "{op} {attributes:?}");
    }
    let parts = [("axis", Attribute::Int(1)), ("split", ints(&[1, 3]))];
    let nodes = vec![node("Split", &["x"], &["a", "y"], &parts)];
    let mut old = graph(&[("x", &[2, 4, 3])], &[], nodes);
    old.opsets.insert(String::new(), 11);
    let of = |g: &Graph| run(g, &inputs, &["a", "y"], Precision::F32).unwrap();
    assert_eq!(of(&old), of(&upgrade(&old)), "Split");
}

#[test]
fn what_has_no_gradient_is_named() {
    let wrt = ["x".to_string()];
    let fails = |op: &str, domain: &str| {
        let mut graph = graph(&[("x", &[2, 3])], &[], vec![node(op, &["x"], &["y"], &[])]);
        let inputs = Inputs::from([("x".to_string(), tensor(&[2, 3], vec![0.5; 6]))]);
        let mut shapes = probe(
            &{
                let mut known = graph.clone();
                known.nodes[0].op = "Exp".into();
                known
            },
            &inputs,
        )
        .unwrap();
        shapes.get_mut("y").unwrap().shape = vec![2, 3];
        graph.nodes[0].domain = domain.to_string();
        graph.opsets.insert("ai.onnx.ml".into(), 3);
        vjp(&graph, &shapes, "y", "cot", &wrt).unwrap_err()
    };
    let AutodiffError::Unsupported { op, domain, node, opset, .. } =
        fails("TreeEnsembleClassifier", "ai.onnx.ml")
    else {
        panic!("another error");
    };
    assert_eq!((op.as_str(), domain.as_str()), ("TreeEnsembleClassifier", "ai.onnx.ml"));
    assert_eq!((node.as_str(), opset), ("TreeEnsembleClassifier_node", 3));
    let text = fails("Hardmax", "").to_string();
    assert!(text.contains("`Hardmax` (domain `ai.onnx`, node `Hardmax_node`, opset 18)"), "{text}");
    assert!(matches!(fails("Round", ""), AutodiffError::Disconnected { .. }));
}
