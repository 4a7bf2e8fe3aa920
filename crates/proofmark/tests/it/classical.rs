//! Pipelines of scikit-learn: columns of every kind as inputs of their own, and a bag of words.

use std::fs;
use std::path::{Path, PathBuf};

use proofmark_formats::npy;
use serde_json::Value;

use crate::support::{Scratch, proofmark};

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/classical").join(name)
}

fn scratch() -> Scratch {
    Scratch::of(&made(""))
}

fn array(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let bytes = fs::read(path).expect("array");
    let array = npy::read(&bytes).expect("npy");
    let shape = array.shape().to_vec();
    (shape, array.data().to_f64().expect("numbers"))
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_pipeline_of_mixed_columns_is_checked_and_assessed() {
    let scratch = scratch();
    let (code, checked) = scratch.json(&["check"]);
    assert_eq!(code, 0, "{checked:#}");
    let (code, assessed) = scratch.json(&["assess"]);
    assert!((0..=2).contains(&code), "{assessed:#}");
    let verdicts = assessed["verdicts"].as_array().expect("verdicts");
    let state = |name: &str| {
        let of = verdicts.iter().find(|v| v["criterion"]["name"] == name);
        of.unwrap_or_else(|| panic!("{name}: {assessed:#}")).clone()
    };
    assert_eq!(state("right")["state"], "pass", "{:#}", state("right"));
    // A radial kernel has valleys: the gates may say that the attack was too weak to pass.
    let robust = state("robust");
    let clean = state("right")["value"].as_f64().expect("accuracy");
    assert!(robust["value"].as_f64().expect("measured") < clean, "the attack moved nothing");
    // The support vector machine has a gradient.
    let gate = found(&assessed, "gate-07-gradients").expect("gate");
    assert_eq!(gate["state"], "ok", "{gate:#}");
    assert!(gate["reason"].as_str().is_some_and(|r| r.starts_with("of ")), "{gate:#}");
}

/// The first record of a check.
fn found<'a>(value: &'a Value, check: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) if map.get("check").is_some_and(|c| c == check) => Some(value),
        Value::Object(map) => map.values().find_map(|v| found(v, check)),
        Value::Array(list) => list.iter().find_map(|v| found(v, check)),
        _ => None,
    }
}

#[test]
fn a_pipeline_that_answers_otherwise_than_the_library_is_refused() {
    let scratch = scratch();
    let path = scratch.path("expected.npy");
    let mut bytes = fs::read(&path).expect("expected");
    // The last number is a probability: a half makes it another.
    let end = bytes.len() - 8;
    bytes[end..].copy_from_slice(&0.5f64.to_le_bytes());
    fs::write(&path, bytes).expect("write");
    let (_, assessed) = scratch.json(&["assess"]);
    for verdict in assessed["verdicts"].as_array().expect("verdicts") {
        assert_eq!(verdict["state"], "refused", "{verdict:#}");
        let reason = verdict["reason"].as_str().expect("reason");
        assert!(reason.contains("training framework"), "{reason}");
    }
}

#[test]
fn a_bag_of_words_runs_and_says_what_cannot_be_moved() {
    let scratch = scratch();
    let at = |name: &str| scratch.path(name).display().to_string();
    let output = at("probabilities.npy");
    let (model, input) = (at("words.onnx"), at("words.npz"));
    let ran = proofmark(&[
        "model",
        "run",
        &model,
        "--input",
        &input,
        "--output",
        &output,
        "--outputs",
        "probabilities",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (shape, got) = array(&scratch.path("probabilities.npy"));
    let (wanted_shape, wanted) = array(&scratch.path("words_expected.npy"));
    assert_eq!(shape, wanted_shape);
    assert!(apart(&got, &wanted) < 2e-6, "{got:?} {wanted:?}");

    let labels = at("labels.npy");
    fs::write(&labels, npy_of_labels(shape[0])).expect("labels");
    let ran = proofmark(&[
        "attack", "--model", &model, "--data", &input, "--label", &labels, "--norm", "linf",
        "--eps", "0.1", "--scale", "raw",
    ]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("text"), "{}", ran.stderr);
}

/// Labels 0, 1, 0, … as an `.npy` file.
fn npy_of_labels(rows: usize) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({rows},), }}").into_bytes();
    header.resize(128 - 10 - 1, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header);
    (0..rows as i64).for_each(|i| bytes.extend((i % 2).to_le_bytes()));
    bytes
}
