//! Gradients through quantised arithmetic: straight through the rounding, nothing through
//! saturation, and called an estimate.

use proofmark_engine::autodiff::{estimated, probe, vjp};
use proofmark_engine::engine::EngineKind;
use proofmark_engine::graph::{Attribute, Dim, Graph, Node};
use proofmark_engine::loss::tap;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, run_batched};
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_engine::write::to_onnx;

use crate::cases::{graph, ints, node, scalar, tensor};

fn gradient(graph: &Graph, x: Value) -> Vec<f64> {
    let mut inputs = Inputs::from([("x".to_string(), x)]);
    let shapes = probe(graph, &inputs).unwrap();
    let backward = vjp(graph, &shapes, "y", "cot", &["x".to_string()]).unwrap();
    let shape = &shapes["y"].shape;
    inputs.insert("cot".into(), tensor(shape, vec![1.0; shape.iter().product()]));
    run(&backward, &inputs, &["grad:x"], Precision::F32).unwrap()[0].to_f64s().unwrap()
}

fn bytes(shape: &[usize], v: &[u8]) -> Value {
    Value::U8(Tensor::new(shape.to_vec(), v.to_vec()).unwrap())
}

fn signed(shape: &[usize], v: &[i8]) -> Value {
    Value::I8(Tensor::new(shape.to_vec(), v.to_vec()).unwrap())
}

fn near(got: &[f64], want: &[f64]) {
    let close = got.len() == want.len()
        && got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()));
    assert!(close, "{got:?}, expected {want:?}");
}

/// Quantised to [-1.28, 1.27] in steps of 0.01; the last two cells are saturated.
#[test]
fn a_pair_passes_the_gradient_where_it_is_not_saturated() {
    let weights = tensor(&[4, 1], vec![1.0, -2.0, 3.0, 4.0]);
    let constants = [("s", scalar(0.01)), ("z", signed(&[], &[0])), ("w", weights)];
    let nodes = vec![
        node("QuantizeLinear", &["x", "s", "z"], &["q"], &[]),
        node("DequantizeLinear", &["q", "s", "z"], &["d"], &[]),
        node("MatMul", &["d", "w"], &["y"], &[]),
    ];
    let net = graph(&[("x", &[1, 4])], &constants, nodes);
    near(&gradient(&net, tensor(&[1, 4], vec![0.5, -1.279, 1.5, -7.0])), &[1.0, -2.0, 0.0, 0.0]);
    let words = estimated(&net).unwrap();
    assert!(words.contains("straight-through") && words.contains("`QuantizeLinear`"), "{words}");
    let told = tap(&net, "y", Answer::Logit, 1).unwrap().words.unwrap();
    assert!(told.contains("the gradient is an estimate"), "{told}");
}

#[test]
fn a_float_network_is_not_called_an_estimate() {
    let net = graph(&[("x", &[2])], &[], vec![node("Exp", &["x"], &["y"], &[])]);
    assert_eq!(estimated(&net), None);
    assert_eq!(tap(&net, "y", Answer::Logit, 1).unwrap().words, None);
}

/// The scale of a dynamic quantisation follows the whole batch: a row must not be answered by what
/// its neighbours hold.
#[test]
fn a_dynamically_quantised_row_does_not_depend_on_its_batch() {
    let nodes = vec![
        node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], &[]),
        node("MatMulInteger", &["q", "w", "z"], &["i"], &[]),
        node("Cast", &["i"], &["f"], &[("to", Attribute::Int(1))]),
        node("Mul", &["f", "s"], &["y"], &[]),
    ];
    let w = signed(&[3, 2], &[1, -2, 30, 4, 5, -60]);
    let mut net = graph(&[("x", &[1, 3])], &[("w", w)], nodes);
    let open = |name: &str| Dim::Dynamic(name.to_string());
    net.inputs[0].shape = Some(vec![open("n"), Dim::Fixed(3)]);
    let model = Model::from_onnx(&to_onnx(&net).unwrap(), &|_| Err(String::new())).unwrap();
    let rows = [[1.0, 2.0, -3.0], [100.0, -7.0, 0.5], [0.01, 0.02, -0.01]];
    let ask = |rows: &[[f32; 3]]| -> Vec<f64> {
        let x = tensor(&[rows.len(), 3], rows.concat());
        let inputs = Inputs::from([("x".to_string(), x)]);
        let got = run_batched(&model, EngineKind::Reference, &inputs, &["y".to_string()], 8);
        got.unwrap().0[0].to_f64s().unwrap()
    };
    let alone: Vec<f64> = rows.iter().flat_map(|row| ask(&[*row])).collect();
    assert_eq!(ask(&rows), alone);
}

/// Through integers that are moved, pooled and multiplied as exporters leave them.
#[test]
fn integer_products_pass_the_gradient_in_units_of_their_scales() {
    let quantize = node("QuantizeLinear", &["x", "s", "z"], &["q"], &[]);
    let product = |nodes: Vec<Node>, constants: &[(&str, Value)]| {
        let mut all = vec![("s", scalar(0.5)), ("z", bytes(&[], &[10]))];
        all.extend(constants.iter().cloned());
        graph(&[("x", &[1, 3])], &all, [vec![quantize.clone()], nodes].concat())
    };
    let w = signed(&[3, 2], &[1, 2, 3, 4, 5, 6]);
    let x = || tensor(&[1, 3], vec![1.0, 2.0, -3.0]);
    // y = (q - 10) (w - 1) per unit of q, and 1 / 0.5 units per x.
    let nodes = vec![
        node("MatMulInteger", &["q", "w", "z", "wz"], &["i"], &[]),
        node("Cast", &["i"], &["y"], &[("to", Attribute::Int(1))]),
    ];
    let net = product(nodes, &[("w", w.clone()), ("wz", signed(&[], &[1]))]);
    near(&gradient(&net, x()), &[2.0, 10.0, 18.0]);
    // y = 0.5 (q - 10) 0.25 w / 2, quantised and back by 2.
    let nodes = vec![
        node("QLinearMatMul", &["q", "s", "z", "w", "ws", "wz", "ys", "z"], &["p"], &[]),
        node("DequantizeLinear", &["p", "ys", "z"], &["y"], &[]),
    ];
    let constants =
        [("w", w), ("ws", scalar(0.25)), ("wz", signed(&[], &[0])), ("ys", scalar(2.0))];
    let net = product(nodes, &constants);
    near(&gradient(&net, x()), &[0.75, 1.75, 2.75]);
}

#[test]
fn quantised_convolutions_and_pools_of_integers_have_gradients() {
    let kernel = ("kernel_shape", Attribute::Ints(vec![2, 2]));
    let nodes = vec![
        node("QuantizeLinear", &["x", "s", "z"], &["q"], &[]),
        node("MaxPool", &["q"], &["m"], std::slice::from_ref(&kernel)),
        node("QLinearConv", &["m", "s", "z", "w", "ws", "wz", "ys", "yz"], &["p"], &[kernel]),
        node("Reshape", &["p", "flat"], &["r"], &[]),
        node("DequantizeLinear", &["r", "ys", "yz"], &["y"], &[]),
    ];
    let constants = [
        ("s", scalar(0.1)),
        ("z", bytes(&[], &[100])),
        ("w", signed(&[1, 1, 2, 2], &[1, -2, 3, 4])),
        ("ws", tensor(&[1], vec![0.5])),
        ("wz", signed(&[1], &[0])),
        ("ys", scalar(0.2)),
        ("yz", bytes(&[], &[50])),
        ("flat", ints(&[1, 1])),
    ];
    let net = graph(&[("x", &[1, 1, 3, 3])], &constants, nodes);
    let x = tensor(&[1, 1, 3, 3], vec![1.0, 0.0, 0.5, 0.0, 3.0, 0.0, 2.0, 0.0, 0.7]);
    // The middle is the maximum of all four windows: 0.5 (1 - 2 + 3 + 4).
    near(&gradient(&net, x), &[0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
}
