//! The networks of the verification benchmarks on every engine, against the reference in `f64`.
//! Skipped aloud where the folder is not there (`PROOFMARK_VNN` names it).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proofmark_engine::engine::EngineKind;
use proofmark_engine::graph::Dim;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{LossKind, gradient_of, run_batched};
use proofmark_engine::value::{Inputs, Value};
use proofmark_formats::gzip::inflate_if_gzip;

use crate::cases::{noise, tensor};
use crate::ready;

#[test]
#[expect(clippy::print_stderr, reason = "figures and skips are told aloud")]
fn every_network_agrees_on_every_engine_forward_and_backward() {
    let files = networks();
    if files.is_empty() {
        eprintln!("skipped: no networks in {}", folder().display());
        return;
    }
    let mut kinds = vec![EngineKind::Reference, EngineKind::Rten];
    kinds.extend(ready().then_some(EngineKind::OnnxRuntime));
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let model = open(&path);
        let inputs = rows(&model);
        let labels = decided(&model, &inputs);
        let exact = Answers::of(&model, EngineKind::ReferenceF64, &inputs, &labels);
        for &kind in &kinds {
            let ours = Answers::of(&model, kind, &inputs, &labels);
            assert_eq!(ours.engine, kind.facts().name, "{name}");
            let (forward, backward) = (exact.forward(&ours), exact.backward(&ours));
            let median = backward[backward.len() / 2];
            let worst = backward[backward.len() - 1];
            eprintln!("{name:28} {kind:12?} {forward:9.1e} {median:9.1e} {worst:9.1e}");
            // A row on a kink of its activations may take the other side in `f32`.
            let kinks = backward.iter().filter(|&&e| e > 1e-4).count();
            let near = forward <= 1e-5 && median <= 1e-5 && kinks <= ROWS / 8;
            if !near {
                wrong.push(format!("{name} {kind:?}: {forward:e}, {backward:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The class that each row is given: the margin moves there even behind a final `Relu`.
fn decided(model: &Model, inputs: &Inputs) -> Vec<usize> {
    let (outputs, _) = run_batched(model, EngineKind::ReferenceF64, inputs, &[], ROWS).unwrap();
    let scores = outputs[0].to_f64s().unwrap();
    let top = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    scores.chunks(scores.len() / ROWS).map(top).collect()
}

struct Answers {
    engine: String,
    scores: Vec<f64>,
    grads: BTreeMap<String, Vec<f64>>,
}

impl Answers {
    fn of(model: &Model, kind: EngineKind, inputs: &Inputs, labels: &[usize]) -> Self {
        let (outputs, facts) = run_batched(model, kind, inputs, &[], ROWS).unwrap();
        let got = gradient_of(model, kind, inputs, labels, LossKind::Margin).unwrap();
        assert_eq!(got.engine.name, facts.name);
        let wide = |t: &[f32]| t.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        Self {
            engine: facts.name,
            scores: outputs[0].to_f64s().unwrap(),
            grads: got.inputs.iter().map(|(k, t)| (k.clone(), wide(t.data()))).collect(),
        }
    }

    /// Largest error of a score, relative to the largest score.
    fn forward(&self, other: &Self) -> f64 {
        apart(&self.scores, &other.scores)
    }

    /// Error of the gradient per row, relative to its largest entry, sorted.
    fn backward(&self, other: &Self) -> Vec<f64> {
        let mut errors = vec![0.0f64; ROWS];
        for (name, exact) in &self.grads {
            let size = exact.len() / ROWS;
            for (row, error) in errors.iter_mut().enumerate() {
                let span = row * size..(row + 1) * size;
                *error = error.max(apart(&exact[span.clone()], &other.grads[name][span]));
            }
        }
        errors.sort_by(f64::total_cmp);
        errors
    }
}

fn apart(exact: &[f64], ours: &[f64]) -> f64 {
    assert_eq!(exact.len(), ours.len());
    assert!(ours.iter().all(|v| v.is_finite()));
    let scale = exact.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
    exact.iter().zip(ours).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / scale
}

/// Rows in `[0, 1)` in the shape that the model declares.
fn rows(model: &Model) -> Inputs {
    let graph = model.graph();
    let of = |info: &proofmark_engine::graph::ValueInfo| {
        let rest = info.shape.iter().flatten().skip(1).map(|d| match d {
            Dim::Fixed(n) => *n,
            Dim::Dynamic(_) => 1,
        });
        let shape: Vec<usize> = std::iter::once(ROWS).chain(rest).collect();
        let data = noise(5, shape.iter().product()).iter().map(|v| v * 0.5 + 0.5).collect();
        (info.name.clone(), tensor(&shape, data))
    };
    let inputs: Inputs = graph.inputs.iter().map(of).collect();
    assert!(inputs.values().all(|v| matches!(v, Value::F32(_))));
    inputs
}

fn open(path: &Path) -> Model {
    let bytes = std::fs::read(path).unwrap();
    let bytes = inflate_if_gzip(&bytes, 1 << 30).unwrap();
    Model::from_onnx(&bytes, &|name| Err(format!("no `{name}` here"))).unwrap()
}

fn networks() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(dir) = folders.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".onnx") || name.ends_with(".onnx.gz") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn folder() -> PathBuf {
    std::env::var_os("PROOFMARK_VNN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vnn"),
        PathBuf::from,
    )
}

/// Rows per network.
const ROWS: usize = 16;
