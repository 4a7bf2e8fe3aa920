//! Forests of scikit-learn through ONNX, against scikit-learn's own answers.
//!
//! The files, and the script that made them, are in `tests/forests`. A forest compares with `f64`
//! thresholds, its file with `f32` ones that skl2onnx rounds so that no `f32` value changes sides:
//! compared are rows of `f32`, two thirds of which have a value on a threshold or right beside one.

// The figures are for whoever runs the tests by hand.
#![allow(clippy::print_stderr)]

use std::path::Path;

use proofmark_engine::engine::EngineKind;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::run_batched;
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::npz::Npz;

/// The bar.
const TOLERANCE: f64 = 1e-6;
const FORESTS: [&str; 5] =
    ["random_two", "random_three", "random_score", "extra_two", "extra_score"];

#[test]
fn forests_answer_as_scikit_learn_on_thousand_rows_on_and_beside_thresholds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forests");
    for name in FORESTS {
        let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let model = Model::from_onnx(&bytes, &|_| Err("none".into())).unwrap();
        let bytes = std::fs::read(folder.join(format!("{name}.npz"))).unwrap();
        let arrays = Npz::open(&bytes).unwrap();
        let x = arrays.array("x").unwrap();
        let numbers = |key: &str| arrays.array(key).unwrap().data().to_f64().unwrap();
        let (answer, exported) = (numbers("answer"), numbers("exported"));
        let rows = x.shape()[0];
        assert_eq!(rows, 1000);
        let value = Tensor::new(x.shape().to_vec(), x.data().to_f32().unwrap()).unwrap();
        let inputs: Inputs = [("x".to_owned(), Value::F32(value))].into();
        let output = model.graph().outputs.last().unwrap().name.clone();
        for kind in [EngineKind::Auto, EngineKind::Reference] {
            let (values, _) =
                run_batched(&model, kind, &inputs, std::slice::from_ref(&output), 256).unwrap();
            let ours = values[0].to_f64s().unwrap();
            assert_eq!(ours.len(), answer.len());
            let apart = |other: &[f64]| {
                let pairs = ours.iter().zip(other);
                pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
            };
            let (own, runtime) = (apart(&answer), apart(&exported));
            eprintln!(
                "{name} {kind:?}: {own:.1e} from scikit-learn, {runtime:.1e} from ONNX Runtime"
            );
            assert!(own < TOLERANCE, "{name} {kind:?}: {own:e} from scikit-learn");
            assert!(runtime < TOLERANCE, "{name} {kind:?}: {runtime:e} from ONNX Runtime");
        }
    }
}
