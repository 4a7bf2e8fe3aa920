//! The pipeline: rows do not influence each other, threads do not matter, gradients are right.

use proofmark_engine::engine::{EngineError, EngineKind, compile};
use proofmark_engine::graph::{Attribute, Dim, Graph, ValueInfo};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{
    Answer, FreeInput, LossKind, Pipeline, PipelineOptions, Serving, gradient_of, run_batched,
};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};
use proofmark_engine::write::to_onnx;

use crate::cases::{graph, node, noise, random, scalar, tensor};

fn model(graph: &Graph) -> Model {
    let none = |name: &str| Err(format!("no file `{name}`"));
    Model::from_onnx(&to_onnx(graph).unwrap(), &none).unwrap()
}

fn open_batch(mut graph: Graph) -> Graph {
    for input in &mut graph.inputs {
        if let Some(dim) = input.shape.as_mut().and_then(|s| s.first_mut()) {
            *dim = Dim::Dynamic("batch".into());
        }
    }
    graph
}

/// He-scaled weights.
fn weights(seed: u64, shape: &[usize]) -> Value {
    let fan: usize = if shape.len() == 2 { shape[0] } else { shape[1..].iter().product() };
    let scale = (6.0 / fan as f32).sqrt();
    let data = noise(seed, shape.iter().product()).iter().map(|v| v * scale).collect();
    tensor(shape, data)
}

fn mlp() -> Graph {
    let constants = [
        ("w1", weights(1, &[20, 32])),
        ("b1", random(2, &[32])),
        ("w2", weights(3, &[32, 3])),
        ("b2", random(4, &[3])),
    ];
    let nodes = vec![
        node("Gemm", &["x", "w1", "b1"], &["h"], &[]),
        node("Relu", &["h"], &["r"], &[]),
        node("Gemm", &["r", "w2", "b2"], &["z"], &[]),
        node("Softmax", &["z"], &["y"], &[("axis", Attribute::Int(1))]),
    ];
    open_batch(graph(&[("x", &[1, 20])], &constants, nodes))
}

/// Two 3x3 convolutions (16 and 32 channels), max pooling, two dense layers on 28x28.
pub fn cnn() -> Graph {
    let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
    let constants = [
        ("w1", weights(1, &[16, 1, 3, 3])),
        ("b1", random(2, &[16])),
        ("w2", weights(3, &[32, 16, 3, 3])),
        ("b2", random(4, &[32])),
        ("w3", weights(5, &[32 * 49, 64])),
        ("b3", random(6, &[64])),
        ("w4", weights(7, &[64, 10])),
        ("b4", random(8, &[10])),
    ];
    let conv = [("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1, 1, 1, 1]))];
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let nodes = vec![
        node("Conv", &["x", "w1", "b1"], &["c1"], &conv),
        node("Relu", &["c1"], &["r1"], &[]),
        node("MaxPool", &["r1"], &["p1"], &pool),
        node("Conv", &["p1", "w2", "b2"], &["c2"], &conv),
        node("Relu", &["c2"], &["r2"], &[]),
        node("MaxPool", &["r2"], &["p2"], &pool),
        node("Flatten", &["p2"], &["f"], &[]),
        node("Gemm", &["f", "w3", "b3"], &["h"], &[]),
        node("Relu", &["h"], &["r3"], &[]),
        node("Gemm", &["r3", "w4", "b4"], &["y"], &[]),
    ];
    open_batch(graph(&[("x", &[1, 1, 28, 28])], &constants, nodes))
}

fn options(classes: usize, answer: Answer) -> PipelineOptions {
    PipelineOptions {
        answer,
        classes,
        free: vec![FreeInput { input: "x".into(), columns: None }],
        ..PipelineOptions::default()
    }
}

fn rows_of(shape: &[usize], rows: usize) -> Inputs {
    Inputs::from([("x".to_string(), random(17, &[&[rows], shape].concat()))])
}

/// Scores, losses and gradients of rows in an order, in chunks of a size, as bits by row.
fn bits(p: &Pipeline, order: &[usize], chunk: usize, loss: LossKind) -> Vec<Vec<u32>> {
    let mut out = vec![Vec::new(); p.rows()];
    for rows in order.chunks(chunk) {
        let x: Vec<f32> = rows.iter().flat_map(|&r| p.clean(r)).copied().collect();
        let labels: Vec<usize> = rows.iter().map(|r| r % p.classes()).collect();
        let scores = p.scores(rows, &x).unwrap();
        let got = p.loss_grad(rows, &x, &labels, loss).unwrap();
        for (i, &row) in rows.iter().enumerate() {
            let part = |v: &[f32], n: usize| v[i * n..(i + 1) * n].to_vec();
            let all = [
                part(&scores, p.classes()),
                part(&got.scores, p.classes()),
                part(&got.loss, 1),
                part(&got.grad, p.dims()),
            ];
            out[row] = all.concat().iter().map(|v| v.to_bits()).collect();
        }
    }
    out
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_and_on_any_thread() {
    let nets: [(&str, Graph, Vec<usize>, usize, Answer); 2] = [
        ("mlp", mlp(), vec![20], 3, Answer::Probability),
        ("cnn", cnn(), vec![1, 28, 28], 10, Answer::Logit),
    ];
    for (name, graph, shape, classes, answer) in nets {
        let inputs = rows_of(&shape, 100);
        let wide = PipelineOptions { threads: 2, ..options(classes, answer) };
        let one = Pipeline::open(&model(&graph), &options(classes, answer), &inputs).unwrap();
        let two = Pipeline::open(&model(&graph), &wide, &inputs).unwrap();
        assert_eq!(one.engine().name, "rten");
        let order: Vec<usize> = (0..100).collect();
        let shuffled: Vec<usize> = (0..100).map(|i| (i * 37 + 11) % 100).collect();
        for loss in [LossKind::CrossEntropy, LossKind::Margin, LossKind::Logit] {
            let whole = bits(&one, &order, 100, loss);
            assert_eq!(whole, bits(&one, &shuffled, 100, loss), "{name} shuffled");
            assert_eq!(whole, bits(&one, &order, 33, loss), "{name} in shards");
            assert_eq!(whole, bits(&one, &order, 1, loss), "{name} one at a time");
            assert_eq!(whole, bits(&two, &order, 100, loss), "{name} on two threads");
        }
    }
}

#[test]
fn scores_beside_a_gradient_are_the_scores() {
    let inputs = rows_of(&[1, 28, 28], 5);
    let p = Pipeline::open(&model(&cnn()), &options(10, Answer::Logit), &inputs).unwrap();
    let rows: Vec<usize> = (0..5).collect();
    let x: Vec<f32> = rows.iter().flat_map(|&r| p.clean(r)).copied().collect();
    let scores = p.scores(&rows, &x).unwrap();
    let got = p.loss_grad(&rows, &x, &[0; 5], LossKind::CrossEntropy).unwrap();
    assert_eq!(got.scores, scores);
}

#[test]
fn gradients_on_rten_agree_with_the_reference_in_f64() {
    for (graph, shape, classes) in [(mlp(), vec![20], 3), (cnn(), vec![1, 28, 28], 10)] {
        let inputs = rows_of(&shape, 20);
        let labels: Vec<usize> = (0..20).map(|i| i % classes).collect();
        let of = |kind| {
            let model = model(&graph);
            gradient_of(&model, kind, &inputs, &labels, LossKind::CrossEntropy).unwrap()
        };
        let (ours, exact) = (of(EngineKind::Rten), of(EngineKind::ReferenceF64));
        assert_eq!(ours.engine.name, "rten");
        let (a, b) = (ours.inputs["x"].data(), exact.inputs["x"].data());
        let size = a.len() / 20;
        let mut errors: Vec<f32> = (0..20)
            .map(|r| {
                let (a, b) = (&a[r * size..][..size], &b[r * size..][..size]);
                let most = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let off = a.iter().zip(b).fold(0.0f32, |m, (x, y)| m.max((x - y).abs()));
                off / most.max(f32::MIN_POSITIVE)
            })
            .collect();
        errors.sort_by(f32::total_cmp);
        assert!(errors[10] <= 1e-5, "median {}", errors[10]);
        assert!(errors[18] <= 1e-4, "95 % {}", errors[18]);
    }
}

#[test]
fn the_tap_is_found_and_told() {
    let sigmoid = |tail: Vec<proofmark_engine::graph::Node>| {
        let mut nodes =
            vec![node("Gemm", &["x", "w"], &["z"], &[]), node("Sigmoid", &["z"], &["p"], &[])];
        nodes.extend(tail);
        open_batch(graph(
            &[("x", &[1, 4])],
            &[("w", weights(1, &[4, 1])), ("one", scalar(1.0))],
            nodes,
        ))
    };
    let axis = [("axis", Attribute::Int(1))];
    let table = [
        ("softmax", mlp(), 20, 3, "differentiated at `z`, before Softmax"),
        ("sigmoid", sigmoid(vec![node("Identity", &["p"], &["y"], &[])]), 4, 2, "before Sigmoid"),
        (
            "pair",
            sigmoid(vec![
                node("Sub", &["one", "p"], &["q"], &[]),
                node("Concat", &["q", "p"], &["y"], &axis),
            ]),
            4,
            2,
            "differentiated at `z`, before Sigmoid",
        ),
        ("none", sigmoid(vec![node("Mul", &["p", "p"], &["y"], &[])]), 4, 2, "no logits found"),
    ];
    for (name, graph, size, classes, words) in table {
        let inputs = rows_of(&[size], 3);
        let p = Pipeline::open(&model(&graph), &options(classes, Answer::Probability), &inputs);
        let p = p.unwrap();
        assert!(p.tap().is_some_and(|t| t.contains(words)), "{name}: {:?}", p.tap());
        let x: Vec<f32> = (0..3).flat_map(|r| p.clean(r)).copied().collect();
        let got = p.loss_grad(&[0, 1, 2], &x, &[1, 1, 1], LossKind::CrossEntropy).unwrap();
        for (row, loss) in got.loss.iter().enumerate() {
            let wanted = -got.scores[row * classes + 1].ln();
            assert!((loss - wanted).abs() < 1e-4, "{name}: {loss}, not {wanted}");
        }
    }
}

/// Logistic regression as skl2onnx writes it: two sigmoids, normalised.
#[test]
fn a_linear_classifier_is_tapped_behind_its_normaliser() {
    let w = [0.5, -1.0, 2.0, 0.25];
    let both: Vec<f32> = w.iter().map(|v| -v).chain(w).collect();
    let mut classify = node(
        "LinearClassifier",
        &["x"],
        &["label", "raw"],
        &[
            ("coefficients", Attribute::Floats(both)),
            ("intercepts", Attribute::Floats(vec![-0.1, 0.1])),
            ("classlabels_ints", Attribute::Ints(vec![0, 1])),
            ("post_transform", Attribute::Text("LOGISTIC".into())),
            ("multi_class", Attribute::Int(1)),
        ],
    );
    classify.domain = "ai.onnx.ml".into();
    let norm = [("norm", Attribute::Text("L1".into()))];
    let mut normalise = node("Normalizer", &["raw"], &["y"], &norm);
    normalise.domain = "ai.onnx.ml".into();
    let mut graph = open_batch(graph(&[("x", &[1, 4])], &[], vec![classify, normalise]));
    graph.opsets.insert("ai.onnx.ml".into(), 1);
    let inputs = rows_of(&[4], 3);
    let p = Pipeline::open(&model(&graph), &options(2, Answer::Probability), &inputs).unwrap();
    assert_eq!(p.engine().name, "rten");
    assert!(p.tap().is_some_and(|t| t.contains("before Sigmoid")), "{:?}", p.tap());
    let x: Vec<f32> = (0..3).flat_map(|r| p.clean(r)).copied().collect();
    let got = p.loss_grad(&[0, 1, 2], &x, &[1, 1, 1], LossKind::CrossEntropy).unwrap();
    for row in 0..3 {
        // d/dx of -log sigmoid(w x + b) is (p - 1) w.
        let p1 = got.scores[2 * row + 1];
        assert!((got.loss[row] + p1.ln()).abs() < 1e-5);
        for (g, w) in got.grad[4 * row..].iter().zip(w) {
            assert!((g - (p1 - 1.0) * w).abs() < 1e-5, "{g}");
        }
    }
}

#[test]
fn a_saturated_softmax_still_has_a_gradient() {
    let mut graph = mlp();
    graph.constants.insert("b2".into(), tensor(&[3], vec![200.0, 0.0, 0.0]));
    let inputs = rows_of(&[20], 2);
    let p = Pipeline::open(&model(&graph), &options(3, Answer::Probability), &inputs).unwrap();
    let x: Vec<f32> = p.clean(0).to_vec();
    assert_eq!(p.scores(&[0], &x).unwrap()[0], 1.0);
    let got = p.loss_grad(&[0], &x, &[0], LossKind::Margin).unwrap();
    assert!(got.grad.iter().any(|g| g.abs() > 1e-3));
}

#[test]
fn the_margin_is_zero_at_the_cutoff() {
    let nodes = vec![node("Identity", &["x"], &["y"], &[])];
    let graph = open_batch(graph(&[("x", &[1, 2])], &[], nodes));
    let threshold = (0.8f32 / 0.2).ln();
    let x = [0.0, threshold, 0.0, threshold + 1.0, 0.0, threshold - 1.0];
    let inputs = Inputs::from([("x".to_string(), tensor(&[3, 2], x.to_vec()))]);
    let options = PipelineOptions { cutoff: Some((1, 0.8)), ..options(2, Answer::Logit) };
    let p = Pipeline::open(&model(&graph), &options, &inputs).unwrap();
    let leave_one = p.loss_grad(&[0, 1, 2], &x, &[1; 3], LossKind::Margin).unwrap();
    let leave_zero = p.loss_grad(&[0, 1, 2], &x, &[0; 3], LossKind::Margin).unwrap();
    for (got, wanted) in [(leave_one, [0.0, -1.0, 1.0]), (leave_zero, [0.0, 1.0, -1.0])] {
        for (a, b) in got.loss.iter().zip(wanted) {
            assert!((a - b).abs() < 1e-6, "{a}, not {b}");
        }
    }
}

/// Every loss of a smooth network against central differences, and what the logit's loss is.
#[test]
fn losses_agree_with_finite_differences() {
    const STEP: f32 = 1.0 / 128.0;
    let mut net = mlp();
    net.nodes[1].op = "Tanh".into();
    let rows: Vec<usize> = (0..6).collect();
    let labels: Vec<usize> = rows.iter().map(|r| r % 3).collect();
    let options =
        PipelineOptions { engine: EngineKind::ReferenceF64, ..options(3, Answer::Probability) };
    let p = Pipeline::open(&model(&net), &options, &rows_of(&[20], 6)).unwrap();
    let x: Vec<f32> = rows.iter().flat_map(|&r| p.clean(r)).copied().collect();
    for kind in [LossKind::CrossEntropy, LossKind::Margin, LossKind::Logit] {
        let got = p.loss_grad(&rows, &x, &labels, kind).unwrap();
        for column in 0..p.dims() {
            let at = |delta: f32| {
                let mut moved = x.clone();
                moved.iter_mut().skip(column).step_by(p.dims()).for_each(|v| *v += delta);
                p.loss_grad(&rows, &moved, &labels, kind).unwrap().loss
            };
            for (r, (up, down)) in at(STEP).iter().zip(at(-STEP)).enumerate() {
                let (slope, g) = ((up - down) / (2.0 * STEP), got.grad[r * p.dims() + column]);
                assert!((slope - g).abs() < 1e-3 * (1.0 + g.abs()), "{kind:?}: {g}, not {slope}");
            }
        }
    }
    // Softmax of the three logits, each asked for as a loss, gives the scores.
    let logits: Vec<f32> = (0..3)
        .map(|y| p.loss_grad(&[0], p.clean(0), &[y], LossKind::Logit).unwrap().loss[0])
        .collect();
    let total: f32 = logits.iter().map(|z| z.exp()).sum();
    for (z, score) in logits.iter().zip(p.scores(&[0], p.clean(0)).unwrap()) {
        assert!((z.exp() / total - score).abs() < 1e-6);
    }
}

/// The losses toward a class and the ratios, against their formulas in f64 on logits that are the
/// inputs, and their gradients against central differences.
#[test]
fn losses_toward_a_class_are_their_formulas_and_their_gradients_agree() {
    const STEP: f32 = 1.0 / 256.0;
    let identity = graph(&[("x", &[1, 5])], &[], vec![node("Identity", &["x"], &["y"], &[])]);
    let rows: Vec<usize> = (0..6).collect();
    let labels: Vec<usize> = rows.iter().map(|r| r % 5).collect();
    let targets: Vec<usize> = rows.iter().map(|r| (r * 2 + 1) % 5).collect();
    let inputs = rows_of(&[5], 6);
    for engine in [EngineKind::ReferenceF64, EngineKind::Reference, EngineKind::Rten] {
        let options = PipelineOptions { engine, ..options(5, Answer::Logit) };
        let p = Pipeline::open(&model(&open_batch(identity.clone())), &options, &inputs).unwrap();
        let x: Vec<f32> = rows.iter().flat_map(|&r| p.clean(r)).copied().collect();
        for kind in [LossKind::Toward, LossKind::Ratio, LossKind::RatioToward] {
            let ask = |x: &[f32]| {
                let targets: &[usize] = if kind.toward() { &targets } else { &[] };
                p.loss_grad_toward(&rows, x, &labels, targets, kind, 1).unwrap()
            };
            let got = ask(&x);
            for &r in &rows {
                let z: Vec<f64> = p.clean(r).iter().map(|&v| f64::from(v)).collect();
                let mut sorted = z.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let (own, goal) = (z[labels[r]], z[targets[r]]);
                let best = if own == sorted[0] { sorted[1] } else { sorted[0] };
                let expected = match kind {
                    LossKind::Toward => goal - own,
                    LossKind::Ratio => (best - own) / (sorted[0] - sorted[2]),
                    _ => (goal - own) / (sorted[0] - 0.5 * (sorted[2] + sorted[3])),
                };
                let found = f64::from(got.loss[r]);
                assert!((found - expected).abs() < 1e-4, "{engine:?} {kind:?} {found} {expected}");
            }
            if engine != EngineKind::ReferenceF64 {
                continue;
            }
            for column in 0..5 {
                let at = |delta: f32| {
                    let mut moved = x.clone();
                    moved.iter_mut().skip(column).step_by(5).for_each(|v| *v += delta);
                    ask(&moved).loss
                };
                for (r, (up, down)) in at(STEP).iter().zip(at(-STEP)).enumerate() {
                    let (slope, g) = ((up - down) / (2.0 * STEP), got.grad[r * 5 + column]);
                    let near = (slope - g).abs() < 2e-2 * (1.0 + g.abs());
                    assert!(near, "{kind:?} row {r}: {g}, not {slope}");
                }
            }
        }
    }
    let few = Pipeline::open(
        &model(&open_batch(graph(
            &[("x", &[1, 3])],
            &[],
            vec![node("Identity", &["x"], &["y"], &[])],
        ))),
        &options(3, Answer::Logit),
        &rows_of(&[3], 2),
    )
    .unwrap();
    let refused = few.loss_grad_toward(&[0], few.clean(0), &[0], &[1], LossKind::RatioToward, 1);
    assert!(refused.unwrap_err().to_string().contains("4 classes"));
    let missing = few.loss_grad(&[0], few.clean(0), &[0], LossKind::Toward);
    assert!(missing.is_err());
}

/// The label's logit of a model whose logits are its inputs, and of one column.
#[test]
fn the_logit_of_the_label_is_its_own_gradient() {
    let identity = |columns: usize| {
        let nodes = vec![node("Identity", &["x"], &["y"], &[])];
        open_batch(graph(&[("x", &[1, columns])], &[], nodes))
    };
    let x = [f32::NEG_INFINITY, 2.0, 3.0, 4.0];
    for kind in [EngineKind::Rten, EngineKind::Reference] {
        let ask = |columns: usize, labels: &[usize]| {
            let inputs =
                Inputs::from([("x".to_string(), tensor(&[4 / columns, columns], x.to_vec()))]);
            let of =
                gradient_of(&model(&identity(columns)), kind, &inputs, labels, LossKind::Logit);
            let of = of.unwrap();
            (of.loss, of.inputs["x"].data().to_vec())
        };
        assert_eq!(ask(2, &[1, 0]), (vec![2.0, 3.0], vec![0.0, 1.0, 1.0, 0.0]), "{kind:?}");
        let one = ask(1, &[0, 1, 0, 1]);
        assert_eq!(one, (vec![0.0, 2.0, 0.0, 4.0], vec![0.0, 1.0, 0.0, 1.0]), "{kind:?}");
    }
}

/// `x` is free in one column, `k` is an untouchable 64-bit integer, `n` a free one.
#[test]
fn free_columns_integers_and_a_prefix() {
    let column = |name: &str, dtype| ValueInfo {
        name: name.into(),
        dtype: Some(dtype),
        shape: Some(vec![Dim::Dynamic("n".into()), Dim::Fixed(1)]),
    };
    let to_float = [("to", Attribute::Int(1))];
    let nodes = vec![
        node("Cast", &["k"], &["kf"], &to_float),
        node("Exp", &["kf"], &["ke"], &[]),
        node("Cast", &["n"], &["nf"], &to_float),
        node("Concat", &["x", "ke", "nf"], &["all"], &[("axis", Attribute::Int(1))]),
        node("MatMul", &["all", "w"], &["y"], &[]),
    ];
    let w = tensor(&[4, 2], vec![1.0, 0.0, 0.0, 2.0, 0.5, 0.5, -1.0, 3.0]);
    let mut graph = open_batch(graph(&[("x", &[1, 2])], &[("w", w)], nodes));
    graph.inputs.push(column("k", DType::I64));
    graph.inputs.push(column("n", DType::I64));
    let ints = |v: &[i64]| Value::I64(Tensor::new(vec![v.len(), 1], v.to_vec()).unwrap());
    let inputs = Inputs::from([
        ("x".to_string(), tensor(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("k".to_string(), ints(&[0, 1, 2])),
        ("n".to_string(), ints(&[7, 8, 9])),
    ]);
    let free = vec![
        FreeInput { input: "x".into(), columns: Some(vec![1]) },
        FreeInput { input: "n".into(), columns: None },
    ];
    let options = PipelineOptions { free, ..options(2, Answer::Logit) };
    let p = Pipeline::open(&model(&graph), &options, &inputs).unwrap();
    assert_eq!((p.rows(), p.dims(), p.engine().name.as_str()), (3, 2, "rten"));
    assert_eq!(p.clean(2), [6.0, 9.0]);
    let scores = p.scores(&[2, 0], &[10.0, 9.0, 2.0, 1.0]).unwrap();
    let e2 = 2f32.exp();
    let wanted = [5.0 + 0.5 * e2 - 9.0, 20.0 + 0.5 * e2 + 27.0, 0.5, 4.0 + 0.5 + 3.0];
    for (a, b) in scores.iter().zip(wanted) {
        assert!((a - b).abs() < 1e-4, "{scores:?}");
    }
    let got = p.loss_grad(&[0], &[2.0, 7.0], &[0], LossKind::Margin).unwrap();
    assert_eq!(got.grad, [2.0, 4.0], "column 1 of x and n: w[.., 1] - w[.., 0]");
    let whole = run_batched(&model(&graph), EngineKind::Rten, &inputs, &[], 2).unwrap().0;
    let clean = p.scores(&[0, 1, 2], &[2.0, 7.0, 4.0, 8.0, 6.0, 9.0]).unwrap();
    for (a, b) in clean.iter().zip(whole[0].to_f64s().unwrap()) {
        assert!((f64::from(*a) - b).abs() < 1e-4);
    }
}

/// A free input that the output ignores keeps its coordinates, with gradient 0.
#[test]
fn an_input_without_influence_keeps_its_place() {
    let nodes = vec![node("Mul", &["x", "x"], &["y"], &[])];
    let graph = open_batch(graph(&[("idle", &[1, 3]), ("x", &[1, 2])], &[], nodes));
    let mut inputs = rows_of(&[2], 4);
    inputs.insert("idle".into(), random(1, &[4, 3]));
    let free = ["idle", "x"].map(|n| FreeInput { input: n.into(), columns: None }).to_vec();
    let options = PipelineOptions { free, ..options(2, Answer::Logit) };
    let p = Pipeline::open(&model(&graph), &options, &inputs).unwrap();
    assert_eq!(p.dims(), 5);
    let x = p.clean(1).to_vec();
    let got = p.loss_grad(&[1], &x, &[0], LossKind::Margin).unwrap();
    assert_eq!(got.grad, [0.0, 0.0, 0.0, -2.0 * x[3], 2.0 * x[4]]);
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let inputs = rows_of(&[20], 3);
    let model = model(&mlp());
    let p = Pipeline::open(&model, &options(3, Answer::Probability), &inputs).unwrap();
    let x = p.clean(0).to_vec();
    let words = |e: EngineError| e.to_string();
    assert!(words(p.scores(&[3], &x).unwrap_err()).contains("row 3"));
    assert!(words(p.scores(&[0], &x[1..]).unwrap_err()).contains("20 coordinates"));
    let label = p.loss_grad(&[0], &x, &[3], LossKind::Margin).unwrap_err();
    assert!(words(label).contains("label 3 is outside the 3 classes"));
    let more = Pipeline::open(&model, &options(4, Answer::Probability), &inputs);
    assert!(words(more.err().unwrap()).contains("3 columns but 4 classes"));
    let mut other = options(3, Answer::Probability);
    other.free[0].input = "wat".into();
    let other = Pipeline::open(&model, &other, &inputs);
    assert!(words(other.err().unwrap()).contains("no input `wat`"));
    assert!(Pipeline::open(&model, &options(3, Answer::Logit), &Inputs::new()).is_err());
}

/// Gradients are again models: what is written reads back and runs.
#[test]
fn a_gradient_is_a_model() {
    let case = mlp();
    let inputs = rows_of(&[20], 4);
    let shapes = proofmark_engine::autodiff::probe(&case, &inputs).unwrap();
    let wrt = ["x".to_string()];
    let backward = proofmark_engine::autodiff::vjp(&case, &shapes, "z", "cot", &wrt).unwrap();
    let read = model(&backward);
    let mut inputs = inputs.clone();
    inputs.insert("cot".into(), random(5, &[4, 3]));
    let run = |graph: &Graph| {
        let program = compile(graph, EngineKind::Rten, 1).unwrap();
        program.run(&inputs, &["grad:x"]).unwrap()
    };
    assert_eq!(run(&backward), run(read.graph()));
}

#[test]
fn a_second_width_gives_the_bits_of_the_first() {
    for (graph, shape, classes) in [(mlp(), vec![20], 3), (cnn(), vec![1, 28, 28], 10)] {
        for engine in engines() {
            let settings = PipelineOptions { engine, ..options(classes, Answer::Logit) };
            let inputs = rows_of(&shape, 48);
            let open = || Pipeline::open(&model(&graph), &settings, &inputs).unwrap();
            let (fresh, worn) = (open(), open());
            let order: Vec<usize> = (0..48).collect();
            // Enough padding to bring in the second width, and nothing before it.
            for _ in 0..16 {
                bits(&worn, &order, 3, LossKind::Margin);
            }
            let whole = bits(&fresh, &order, 48, LossKind::Margin);
            assert_eq!(whole, bits(&worn, &order, 5, LossKind::Margin), "{engine:?}");
        }
    }
}

#[test]
fn a_maximum_over_windows_that_fill_the_input_goes_back_alike_on_every_road() {
    let pool = |k: i64| {
        vec![
            ("kernel_shape", Attribute::Ints(vec![k, 2])),
            ("strides", Attribute::Ints(vec![k, 2])),
        ]
    };
    for (k, height) in [(2, 4), (3, 6)] {
        let constants = [("w", weights(3, &[2 * 2 * 3, 4]))];
        let nodes = vec![
            node("MaxPool", &["x"], &["p"], &pool(k)),
            node("Flatten", &["p"], &["f"], &[]),
            node("MatMul", &["f", "w"], &["y"], &[]),
        ];
        let graph = open_batch(graph(&[("x", &[1, 2, height, 6])], &constants, nodes));
        // Few different values, so that most windows have ties.
        let data = noise(5, 32 * 2 * height * 6).iter().map(|v| (v * 2.0).round()).collect();
        let inputs = Inputs::from([("x".to_string(), tensor(&[32, 2, height, 6], data))]);
        let p = Pipeline::open(&model(&graph), &options(4, Answer::Logit), &inputs).unwrap();
        let rows: Vec<usize> = (0..32).collect();
        let labels: Vec<usize> = rows.iter().map(|r| r % 4).collect();
        let x: Vec<f32> = rows.iter().flat_map(|&r| p.clean(r)).copied().collect();
        let wanted = p.loss_grad(&rows, &x, &labels, LossKind::CrossEntropy).unwrap();
        let road = |engine| p.gradient_graph(LossKind::CrossEntropy, engine, 32).unwrap();
        let stretched = road(EngineKind::OnnxRuntime);
        assert!(stretched.nodes.iter().any(|n| n.op == "Resize"));
        assert!(!road(EngineKind::Rten).nodes.iter().any(|n| n.op == "Resize"));
        let mut batch = inputs.clone();
        let hot = labels.iter().flat_map(|&l| (0..4).map(move |c| f32::from(c == l))).collect();
        batch.insert("proofmark:onehot".to_string(), tensor(&[32, 4], hot));
        // The reference has no `Resize` of its own.
        for engine in [EngineKind::Rten] {
            let program = compile(&stretched, engine, 1).unwrap();
            let values = program.run(&batch, &["grad:x"]).unwrap();
            let Value::F32(grad) = &values[0] else { panic!("no floats") };
            for (a, b) in grad.data().iter().zip(&wanted.grad) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{engine:?}: {a} for {b}");
            }
        }
    }
}

/// The engines of this build; ONNX Runtime has a test of its own, since loading it changes `auto`.
fn engines() -> [EngineKind; 2] {
    [EngineKind::Rten, EngineKind::Reference]
}

/// The distance to the sum of the batch: no row is answered without the others.
fn sums_the_batch() -> Graph {
    let axis = Value::I64(Tensor::vector(vec![0]));
    let nodes = vec![
        node("ReduceSum", &["x", "axis"], &["sum"], &[]),
        node("Sub", &["x", "sum"], &["y"], &[]),
    ];
    graph(&[("x", &[1, 3])], &[("axis", axis)], nodes)
}

#[test]
fn a_model_that_mixes_rows_is_asked_row_by_row() {
    let mixing = open_batch(sums_the_batch());
    for kind in [EngineKind::Reference, EngineKind::Rten] {
        let inputs = rows_of(&[3], 5);
        // Alone, a row is its own sum.
        let (values, _) = run_batched(&model(&mixing), kind, &inputs, &[], 4).unwrap();
        assert_eq!(values[0].to_f64s().unwrap(), vec![0.0; 15]);
        let options = PipelineOptions { engine: kind, ..options(3, Answer::Logit) };
        let pipeline = Pipeline::open(&model(&mixing), &options, &inputs).unwrap();
        assert_eq!(pipeline.width(), 1);
        let rows = [0, 3, 4];
        let x: Vec<f32> = rows.iter().flat_map(|&r| pipeline.clean(r)).copied().collect();
        assert_eq!(pipeline.scores(&rows, &x).unwrap(), vec![0.0; 9]);
        let serving = Serving::open(&model(&mixing), &options).unwrap();
        // Copies of a row settle nothing.
        let one = x[..3].repeat(2);
        let copies = Inputs::from([("x".to_string(), tensor(&[2, 3], one))]);
        assert_eq!(serving.scores(&copies).unwrap(), vec![0.0; 6]);
        let single = rows_of(&[3], 1);
        let (values, _) = run_batched(&model(&mixing), kind, &single, &[], 4).unwrap();
        assert_eq!(values[0].to_f64s().unwrap(), vec![0.0; 3]);
        assert_eq!(serving.scores(&inputs).unwrap(), vec![0.0; 15]);
        // The good twin keeps its batches.
        let twin = Pipeline::open(
            &model(&mlp()),
            &PipelineOptions { engine: kind, ..self::options(3, Answer::Probability) },
            &rows_of(&[20], 5),
        );
        assert!(twin.unwrap().width() > 1);
    }
}

#[test]
fn a_model_that_mixes_rows_in_batches_of_its_own_size_is_refused() {
    let mut four = sums_the_batch();
    four.inputs[0].shape = Some(vec![Dim::Fixed(4), Dim::Fixed(3)]);
    let inputs = rows_of(&[3], 8);
    let words = "batches of 4 rows";
    let refused = |e: EngineError| assert!(e.to_string().contains(words), "{e}");
    refused(run_batched(&model(&four), EngineKind::Rten, &inputs, &[], 4).unwrap_err());
    let options = options(3, Answer::Logit);
    refused(Pipeline::open(&model(&four), &options, &inputs).err().unwrap());
    let serving = Serving::open(&model(&four), &options).unwrap();
    refused(serving.scores(&inputs).unwrap_err());
}
