//! Programs on ONNX Runtime: operators against the reference, bits, types, threads.

use proofmark_engine::autodiff::{probe, vjp};
use proofmark_engine::engine::{EngineKind, compile};
use proofmark_engine::value::{Inputs, Value};

use crate::cases::{self, Case, graph, node, noise, random, tensor};
use crate::ready;

#[test]
fn forward_and_gradient_agree_with_the_reference() {
    if !ready() {
        return;
    }
    let cases = cases::all();
    let mut wrong = Vec::new();
    for case in &cases {
        // `Gelu` came with opset 20.
        let gelu = case.graph.nodes.iter().any(|n| n.op == "Gelu");
        for opset in [18, 20].into_iter().filter(|&o| !gelu || o >= 20) {
            // In `f32` this place is a whole number, and the runtime takes it for one; to the
            // reference it lies 1e-7 below, and `floor` makes that another pixel.
            let edge = case.name.starts_with("Resize nearest")
                && case.name.ends_with("half_pixel 1.5 0.6");
            if let Err(words) = check(case, opset)
                && !edge
            {
                wrong.push(format!("{} (opset {opset}): {words}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn check(case: &Case, opset: i64) -> Result<(), String> {
    let mut graph = case.graph.clone();
    graph.opsets.insert(String::new(), opset);
    let shapes = probe(&graph, &case.inputs).map_err(|e| e.to_string())?;
    let backward = vjp(&graph, &shapes, "y", "cot", &case.wrt).map_err(|e| e.to_string())?;
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
    let (ours, theirs) = (run(EngineKind::Reference)?, run(EngineKind::OnnxRuntime)?);
    for ((name, a), b) in names.iter().zip(&ours).zip(&theirs) {
        if (a.shape(), a.dtype()) != (b.shape(), b.dtype()) {
            return Err(format!(
                "{name}: {:?} {:?}",
                (a.shape(), a.dtype()),
                (b.shape(), b.dtype())
            ));
        }
        let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            let close = (a - b).abs() <= 2e-5 * (1.0 + a.abs());
            if !close {
                return Err(format!("{name}[{i}]: {a}, onnxruntime {b}"));
            }
        }
    }
    Ok(())
}

#[test]
fn bits_depend_neither_on_threads_nor_on_who_shares_the_batch() {
    if !ready() {
        return;
    }
    let nodes = vec![node("MatMul", &["x", "w"], &["h"], &[]), node("Tanh", &["h"], &["y"], &[])];
    let net = graph(&[("x", &[8, 96])], &[("w", random(1, &[96, 64]))], nodes);
    let x = noise(2, 8 * 96);
    let inputs = |x: &[f32]| Inputs::from([("x".to_string(), tensor(&[8, 96], x.to_vec()))]);
    let one = compile(&net, EngineKind::OnnxRuntime, 1).unwrap();
    let first = one.run(&inputs(&x), &["y"]).unwrap();
    let two = compile(&net, EngineKind::OnnxRuntime, 2).unwrap();
    assert_eq!(two.run(&inputs(&x), &["y"]).unwrap(), first);
    let padded: Vec<f32> = [&x[..96], &x[96..192].repeat(7)[..]].concat();
    let other = one.run(&inputs(&padded), &["y"]).unwrap();
    let (a, b) = (first[0].as_f32().unwrap().data(), other[0].as_f32().unwrap().data());
    assert_eq!(a[..2 * 64], b[..2 * 64]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(one.run(&inputs(&x), &["y"]).unwrap(), first));
        }
    });
}
