//! Models that hide their slope: a step before or inside the network, a saturated softmax. What
//! AutoAttack leaves standing there is never passed as robust, while the honest twin is.

use std::fmt::Write as _;
use std::fs;

use proofmark_engine::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use proofmark_engine::value::{DType, Tensor, Value};
use proofmark_engine::write::to_onnx;
use serde_json::Value as Json;

use crate::support::{Ran, proofmark};

const DIMS: usize = 10;
const HIDDEN: usize = 16;
const CLASSES: usize = 5;
const ROWS: usize = 40;

/// Deterministic values in `[-1, 1)`.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..n).map(|_| next()).collect()
}

fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    let attributes = match op {
        "Softmax" => [("axis".to_string(), Attribute::Int(1))].into(),
        _ => Default::default(),
    };
    Node {
        name: output.to_string(),
        op: op.to_string(),
        domain: String::new(),
        inputs: inputs.iter().map(ToString::to_string).collect(),
        outputs: vec![output.to_string()],
        attributes,
    }
}

/// How the network hides its slope.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mask {
    /// Not at all; the output holds logits.
    Plain,
    /// The input is reduced to its sign round one half.
    StepFirst,
    /// The hidden layer is a step.
    StepInside,
    /// Probabilities of logits scaled by this.
    Saturated(f32),
    /// The same, with something behind the softmax that hides where the logits are.
    Hidden(f32),
}

fn network(mask: Mask) -> Graph {
    let tensor =
        |shape: &[usize], data: Vec<f32>| Value::F32(Tensor::new(shape.to_vec(), data).unwrap());
    let wide = noise(3, DIMS * HIDDEN).iter().map(|v| 2.0 * v).collect();
    let mut constants = vec![
        ("w1", tensor(&[DIMS, HIDDEN], wide)),
        ("b1", tensor(&[HIDDEN], noise(5, HIDDEN))),
        ("w2", tensor(&[HIDDEN, CLASSES], noise(7, HIDDEN * CLASSES))),
        ("b2", tensor(&[CLASSES], vec![0.0; CLASSES])),
        ("half", tensor(&[1], vec![0.5])),
        ("one", tensor(&[1], vec![1.0])),
    ];
    let mut nodes = match mask {
        Mask::StepFirst => vec![node("Sub", &["x", "half"], "c"), node("Sign", &["c"], "in")],
        _ => vec![node("Identity", &["x"], "in")],
    };
    let bend = if mask == Mask::StepInside { "Sign" } else { "Tanh" };
    nodes.extend([
        node("Gemm", &["in", "w1", "b1"], "h"),
        node(bend, &["h"], "r"),
        node("Gemm", &["r", "w2", "b2"], "z"),
    ]);
    match mask {
        Mask::Saturated(scale) | Mask::Hidden(scale) => {
            constants.push(("scale", tensor(&[1], vec![scale])));
            nodes.extend([node("Mul", &["z", "scale"], "s"), node("Softmax", &["s"], "p")]);
            let last = if matches!(mask, Mask::Hidden(_)) { "Mul" } else { "Identity" };
            let inputs: &[&str] = if last == "Mul" { &["p", "one"] } else { &["p"] };
            nodes.push(node(last, inputs, "y"));
        }
        _ => nodes.push(node("Identity", &["z"], "y")),
    }
    let info = |name: &str, columns: usize| ValueInfo {
        name: name.to_string(),
        dtype: Some(DType::F32),
        shape: Some(vec![Dim::Dynamic("n".into()), Dim::Fixed(columns)]),
    };
    Graph {
        inputs: vec![info("x", DIMS)],
        outputs: vec![info("y", CLASSES)],
        constants: constants.into_iter().map(|(n, v)| (n.to_string(), v)).collect(),
        nodes,
        ..Graph::default()
    }
}

/// Rows and the label that the network itself gives them, so that nothing but the mask is odd.
fn rows(folder: &std::path::Path, model: &str) -> String {
    let x: Vec<f32> = noise(11, ROWS * DIMS).iter().map(|v| 0.5 + 0.5 * v).collect();
    let names: Vec<String> = (0..DIMS).map(|i| format!("f{i}")).collect();
    let table = |labels: Option<&[usize]>| {
        let mut text = names.join(",");
        text.push_str(if labels.is_some() { ",y\n" } else { "\n" });
        for (at, row) in x.chunks(DIMS).enumerate() {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            text.push_str(&cells.join(","));
            if let Some(labels) = labels {
                write!(text, ",{}", labels[at]).unwrap();
            }
            text.push('\n');
        }
        text
    };
    let (plain, scores) = (folder.join("x.csv"), folder.join("scores.npy"));
    fs::write(&plain, table(None)).unwrap();
    let columns = names.join(",");
    let (plain, out) = (plain.display().to_string(), scores.display().to_string());
    let args = ["model", "run", model, "--input", &plain, "--output", &out];
    let ran = proofmark(&[&args[..], &["--columns", &columns]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // NPY 1.0: magic, version, length of the header as u16, header, little-endian f32.
    let bytes = fs::read(&scores).unwrap();
    let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let each = bytes[head..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let scores: Vec<f32> = each.collect();
    let best = |s: &[f32]| (0..CLASSES).max_by(|&a, &b| s[a].total_cmp(&s[b])).unwrap();
    let labels: Vec<usize> = scores.chunks(CLASSES).map(best).collect();
    let path = folder.join("rows.csv");
    fs::write(&path, table(Some(&labels))).unwrap();
    path.display().to_string()
}

/// AutoAttack on the network, asking for a share that nothing but blindness could reach.
fn attacked(mask: Mask, eps: &str, min_robust: &str) -> (Ran, Json) {
    attacked_with("autoattack", mask, eps, min_robust)
}

fn attacked_with(suite: &str, mask: Mask, eps: &str, min_robust: &str) -> (Ran, Json) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    fs::write(&model, to_onnx(&network(mask)).unwrap()).unwrap();
    let model = model.display().to_string();
    let data = rows(folder.path(), &model);
    let names: Vec<String> = (0..DIMS).map(|i| format!("f{i}")).collect();
    let kind = match mask {
        Mask::Saturated(_) | Mask::Hidden(_) => "probability",
        _ => "logit",
    };
    let ran = proofmark(&[
        "attack",
        "--model",
        &model,
        "--data",
        &data,
        "--label",
        "y",
        "--classes",
        "0,1,2,3,4",
        "--columns",
        &names.join(","),
        "--norm",
        "linf",
        "--eps",
        eps,
        "--scale",
        "raw",
        "--output-kind",
        kind,
        "--suite",
        suite,
        "--min-robust",
        min_robust,
        "--engine",
        "rten",
        "--threads",
        "2",
        "--format",
        "json",
    ]);
    let report = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|e| panic!("{mask:?}: {e}\n{}\n{}", ran.stdout, ran.stderr));
    (ran, report)
}

fn robust(report: &Json) -> u64 {
    report["robust"][0]["k_robust"].as_u64().unwrap()
}

fn warned(report: &Json) -> Vec<&str> {
    let checks = report["validity"].as_array().unwrap_or_else(|| panic!("{report:#}")).iter();
    let bad = checks.filter(|c| c["state"] == "warn" || c["state"] == "refuse");
    bad.map(|c| c["check"].as_str().unwrap()).collect()
}

#[test]
fn the_honest_twin_passes_and_is_broken_where_it_is_weak() {
    let (ran, report) = attacked(Mask::Plain, "0.002", "0.7");
    assert_eq!(ran.code, 0, "{:?} {}", warned(&report), ran.stderr);
    assert!(!warned(&report).iter().any(|c| c.starts_with("gate-15")), "{:?}", warned(&report));
    let ids: Vec<&str> =
        report["attacks"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["apgd-ce", "apgd-t", "fab-t", "square"]);
    let (ran, report) = attacked(Mask::Plain, "0.15", "0.7");
    assert_eq!(ran.code, 1, "{} of {ROWS} stand", robust(&report));
}

#[test]
fn a_network_with_a_step_is_never_passed() {
    for mask in [Mask::StepFirst, Mask::StepInside] {
        // Almost nothing is asked for: only what the checks say can refuse it.
        for suite in ["autoattack", "quick"] {
            let (ran, report) = attacked_with(suite, mask, "0.02", "0.05");
            if report["format"] == "proofmark.error/1" {
                // Where nothing leads through the step, AutoAttack says that it is not defined.
                let said = report["message"].as_str().unwrap_or_default();
                assert!(suite == "autoattack" && said.contains("gradients"), "{mask:?}: {said}");
                assert_eq!(ran.code, 2);
                continue;
            }
            let weak = warned(&report);
            assert_ne!(ran.code, 0, "{mask:?}, {suite}: {} of {ROWS}, {weak:?}", robust(&report));
        }
    }
}

#[test]
fn a_saturated_softmax_hides_nothing_where_the_logits_are_found() {
    let (_, plain) = attacked(Mask::Plain, "0.05", "0.05");
    assert!((3..30).contains(&robust(&plain)), "{} of {ROWS} say nothing", robust(&plain));
    for scale in [1e3, 1e6] {
        let (_, report) = attacked(Mask::Saturated(scale), "0.05", "0.05");
        let (here, there) = (robust(&report), robust(&plain));
        assert!(here <= there + 1, "scaled by {scale}: {here} stand, of the plain twin {there}");
    }
}

#[test]
fn a_saturated_softmax_behind_which_no_logits_are_found_is_never_passed() {
    for scale in [1e3, 1e6] {
        let (ran, report) = attacked(Mask::Hidden(scale), "0.05", "0.05");
        assert_ne!(ran.code, 0, "{scale}: {} of {ROWS}, {:?}", robust(&report), warned(&report));
    }
}
