//! Every operator that a gradient may hold, on rten and on the reference.

use proofmark_engine::autodiff::{probe, upgrade, vjp};
use proofmark_engine::engine::{EngineKind, compile};
use proofmark_engine::graph::Attribute;
use proofmark_engine::lower::lower;
use proofmark_engine::value::{Inputs, Value};

use crate::cases::{self, Case, graph, ints, node, noise, random, tensor};
use crate::forward::{FAMILIES, cases_of, same};

#[test]
fn forward_and_gradient_agree_with_the_reference() {
    let mut wrong = Vec::new();
    for case in cases::all().iter().filter(|c| c.rten) {
        if let Err(words) = check(case) {
            wrong.push(format!("{}: {words}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(case: &Case) -> Result<(), String> {
    let shapes = probe(&case.graph, &case.inputs).map_err(|e| e.to_string())?;
    let backward = vjp(&case.graph, &shapes, "y", "cot", &case.wrt).map_err(|e| e.to_string())?;
    let out = &shapes["y"].shape;
    let mut inputs = case.inputs.clone();
    inputs.insert("cot".into(), tensor(out, noise(99, out.iter().product())));
    let names: Vec<String> = case.wrt.iter().map(|w| format!("grad:{w}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("y");
    let run = |kind| -> Result<Vec<Value>, String> {
        let program = compile(&backward, kind, 1).map_err(|e| e.to_string())?;
        program.run(&inputs, &names).map_err(|e| e.to_string())
    };
    let (ours, theirs) = (run(EngineKind::Reference)?, run(EngineKind::Rten)?);
    for ((name, a), b) in names.iter().zip(&ours).zip(&theirs) {
        if a.shape() != b.shape() {
            return Err(format!("{name}: shape {:?}, rten {:?}", a.shape(), b.shape()));
        }
        let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            let close = (a - b).abs() <= 2e-5 * (1.0 + a.abs());
            if !close {
                return Err(format!("{name}[{i}]: {a}, rten {b}"));
            }
        }
    }
    Ok(())
}

/// Where rten differs and that is known: not-a-number in `Relu` (docs/engines.md), the scale of a
/// tensor of nothing but zeros, whole numbers in operators of floats and numbers of 8 bits in sums
/// and `Resize` (an error when run), the bounds of a `Slice` without axes given as a shorter list,
/// and an `Einsum` that ONNX itself forbids.
const KNOWN: [&str; 7] = [
    "Relu_nan",
    "DynamicQuantizeLinear_zero",
    "Relu_i64",
    "Add_u8",
    "Resize_u8",
    "Slice",
    "Einsum_dots",
];

/// What rten cannot compute is to be refused before it runs, so that the reference can take the
/// graph; all else is to be ONNX Runtime's answer. The first input is fed, the others are
/// constants, as in a model.
#[test]
fn rten_answers_every_operator_as_onnx_runtime_or_refuses_it() {
    let (mut wrong, mut answered) = (Vec::new(), 0);
    for family in FAMILIES {
        for case in cases_of(family) {
            let (mut graph, mut inputs, names) = case.parts();
            for input in graph.inputs.split_off(1.min(graph.inputs.len())) {
                let value = inputs.remove(&input.name).unwrap();
                graph.constants.insert(input.name, value);
            }
            let types: Vec<_> = names.iter().zip(case.wanted()).collect();
            for output in &mut graph.outputs {
                let known = types.iter().find(|(name, _)| **name == output.name);
                output.dtype = known.and_then(|(_, value)| value.dtype());
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let Ok(program) = compile(&upgrade(&lower(&graph)), EngineKind::Rten, 1) else {
                continue;
            };
            if KNOWN.contains(&case.name()) {
                continue;
            }
            answered += 1;
            match program.run(&inputs, &names) {
                // Sizes that follow from values alone are seen when the inputs come.
                Err(error) if error.to_string().contains("watches sizes as it runs") => {}
                Err(error) => wrong.push(format!("{family}/{}: {error}", case.name())),
                Ok(got) => {
                    for ((name, got), want) in names.iter().zip(&got).zip(case.wanted()) {
                        if let Err(why) = same(want, got) {
                            wrong.push(format!("{family}/{} {name}: {why}", case.name()));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {answered}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(answered > 300, "only {answered} cases were taken");
}

/// rten 0.27: `Sign(0)` is 1 there (it calls `f32::signum`), ONNX says 0. It is refused, and no
/// rule emits it.
#[test]
fn sign_is_refused() {
    let sign = graph(&[("x", &[2])], &[], vec![node("Sign", &["x"], &["y"], &[])]);
    let error = compile(&sign, EngineKind::Rten, 1).err().unwrap().to_string();
    assert!(error.contains("`Sign` is wrong at 0"), "{error}");
    for case in cases::all() {
        let shapes = probe(&case.graph, &case.inputs).unwrap();
        let backward = vjp(&case.graph, &shapes, "y", "cot", &case.wrt).unwrap();
        assert!(backward.nodes.iter().all(|n| n.op != "Sign"), "{}", case.name);
    }
}

/// rten 0.27 takes the last of equals for the largest, where ONNX asks for the first.
#[test]
fn of_equal_values_the_first_is_chosen() {
    let x = tensor(&[3, 4], vec![0., 0., 1., 1., 2., 2., 2., 2., -1., -3., -3., -1.]);
    let inputs = Inputs::from([("x".to_string(), x)]);
    let axis = [("axis", Attribute::Int(1))];
    for (op, wanted) in [("ArgMax", [2., 0., 0.]), ("ArgMin", [0., 0., 1.])] {
        let nodes = vec![
            node(op, &["x"], &["i"], &axis),
            node("Cast", &["i"], &["y"], &[("to", Attribute::Int(1))]),
        ];
        let net = graph(&[("x", &[3, 4])], &[], nodes);
        for kind in [EngineKind::Rten, EngineKind::Reference] {
            let program = compile(&net, kind, 1).unwrap();
            let got = program.run(&inputs, &["y"]).unwrap()[0].to_f64s().unwrap();
            assert_eq!(got, wanted, "{op} {kind:?}");
        }
    }
    let last = [("axis", Attribute::Int(1)), ("select_last_index", Attribute::Int(1))];
    let net = graph(&[("x", &[3, 4])], &[], vec![node("ArgMax", &["x"], &["y"], &last)]);
    assert!(compile(&net, EngineKind::Rten, 1).is_err());
    // The largest of equals in rten's `TopK` come in the order that ONNX asks for.
    let sorted = vec![
        node("TopK", &["x", "k"], &["v", "i"], &[("axis", Attribute::Int(1))]),
        node("Cast", &["i"], &["y"], &[("to", Attribute::Int(1))]),
    ];
    let net = graph(&[("x", &[3, 4])], &[("k", ints(&[2]))], sorted);
    for kind in [EngineKind::Rten, EngineKind::Reference] {
        let program = compile(&net, kind, 1).unwrap();
        let got = program.run(&inputs, &["y"]).unwrap()[0].to_f64s().unwrap();
        assert_eq!(got, [2., 3., 0., 1., 0., 3.], "TopK {kind:?}");
    }
}

#[test]
fn types_that_rten_would_misread_are_refused() {
    let mut wide = graph(&[("x", &[2])], &[], vec![node("Exp", &["x"], &["y"], &[])]);
    wide.inputs[0].dtype = Some(proofmark_engine::value::DType::F64);
    let error = compile(&wide, EngineKind::Rten, 1).err().unwrap().to_string();
    assert!(error.contains("`x` is of type f64"), "{error}");
    let mut text = wide.clone();
    text.inputs[0].dtype = Some(proofmark_engine::value::DType::Str);
    assert!(compile(&text, EngineKind::Rten, 1).is_err());
}

/// rten turns 64-bit constants into the nearest 32-bit ones; only bounds of `Slice` survive that.
#[test]
fn wide_integer_constants_are_refused_but_as_bounds() {
    let cast = [("to", Attribute::Int(1))];
    let nodes = vec![node("Cast", &["k"], &["f"], &cast), node("Add", &["x", "f"], &["y"], &[])];
    for (k, fits) in [(1 << 31, false), (-(1 << 31) - 1, false), ((1 << 31) - 1, true)] {
        let net = graph(&[("x", &[2])], &[("k", ints(&[k]))], nodes.clone());
        match compile(&net, EngineKind::Rten, 1) {
            Ok(_) => assert!(fits, "{k}"),
            Err(e) => {
                assert!(!fits, "{k}");
                assert!(e.to_string().contains("`k` holds an integer beyond 32 bits"), "{e}");
            }
        }
    }
    let bounds = [("from", ints(&[1])), ("to", ints(&[i64::MAX]))];
    let nodes = vec![node("Slice", &["x", "from", "to"], &["y"], &[])];
    let net = graph(&[("x", &[3])], &bounds, nodes);
    let inputs = Inputs::from([("x".to_string(), tensor(&[3], vec![1.0, 2.0, 3.0]))]);
    let program = compile(&net, EngineKind::Rten, 1).unwrap();
    assert_eq!(program.run(&inputs, &["y"]).unwrap(), [tensor(&[2], vec![2.0, 3.0])]);
}

#[test]
fn an_unknown_operator_is_named() {
    let odd = graph(&[("x", &[2])], &[], vec![node("Wobble", &["x"], &["y"], &[])]);
    let error = compile(&odd, EngineKind::Rten, 1).err().unwrap().to_string();
    assert!(error.contains("Wobble"), "{error}");
}

#[test]
fn programs_are_shared_by_threads() {
    let nodes = vec![node("MatMul", &["x", "w"], &["h"], &[]), node("Tanh", &["h"], &["y"], &[])];
    let net = graph(&[("x", &[8, 16])], &[("w", random(1, &[16, 16]))], nodes);
    let program = compile(&net, EngineKind::Rten, 1).unwrap();
    let inputs = Inputs::from([("x".to_string(), random(2, &[8, 16]))]);
    let first = program.run(&inputs, &["y"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(program.run(&inputs, &["y"]).unwrap(), first));
        }
    });
}
