//! The models of the zoo, all of them, on the roads that a user takes: answers through
//! `run_batched` against ONNX Runtime, gradients through `gradient_of` against autograd in `f64`.
//! Each test writes its figures to standard error (`--no-capture`).

// The figures are for whoever runs the tests by hand.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use proofmark_engine::autodiff::{probe, upgrade, vjp};
use proofmark_engine::engine::EngineKind;
use proofmark_engine::graph::Graph;
use proofmark_engine::loss::{Form, tap};
use proofmark_engine::lower::lower;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, LossKind, gradient_of, run_batched};
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::npz::Npz;

use crate::forward::{matrix, value};

/// Models of `zoo.json`, and how many of them carry gradients.
const MODELS: (usize, usize) = (92, 44);
/// Models whose gradient is held against differences of the library's own function.
const COMPARED: usize = 15;
/// Share of a forward result's row scale that two engines may differ by.
const FORWARD: f64 = 1e-5;
/// The same for quantised networks: what lies on half a step may round to the other side, which
/// moves an answer by a step or two of the last scale (0.006). ONNX Runtime itself does so when it
/// optimises fully and fuses integers, against its own answers without.
const FORWARD_QUANTISED: f64 = 2e-2;
/// Models with an operator that rten lacks, for which the reference computes there.
const NOT_ON_RTEN: [&str; 1] = ["rnn_relu_ts11"];
/// Below this margin rounding may turn a decision.
const MARGIN: f64 = 1e-4;
/// Rows per batch: the zoo's 64 rows give two full batches and a padded one.
const WIDTH: usize = 24;
/// Models whose constants are the network's own. The others hold constants that exporter or
/// `lower` rounded once to `f32` (normalisation folded into weights, 1 / n of a mean), each by up
/// to [`ROUNDED`], over a few layers.
const EXACT: [&str; 7] = [
    "mlp_elu_dynamo18",
    "mlp_relu_ts11",
    "mlp_sigmoid_one_ts17",
    "mlp_tanh_ts13",
    "mlp_two_inputs_dynamo18",
    "pipeline_mlp",
    "skl_logreg_3",
];
/// Half an ulp of `f32` at 1, relative.
const ROUNDED: f64 = 1.0 / (1 << 24) as f64;

/// What rounded constants may move a gradient by in `f64`: four of them, and twice that in the
/// encoders, whose two layers have four each (two scales, the root in Gelu, the mean).
fn rounded(name: &str) -> f64 {
    if name.starts_with("encoder") { 8.0 * ROUNDED } else { 4.0 * ROUNDED }
}

struct Entry {
    name: String,
    answer: Answer,
    output: String,
    classes: usize,
    free: Vec<String>,
    /// Inputs with a gradient by differences of the library's own function.
    compared: Vec<String>,
    model: Model,
    arrays: BTreeMap<String, Value>,
}

impl Entry {
    fn all() -> Vec<Entry> {
        // `.ci/zoo` makes the files anew elsewhere.
        let folder = match std::env::var_os("PROOFMARK_ZOO_FOLDER") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/zoo"),
        };
        let file = |name: String| std::fs::read(folder.join(name)).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&file("zoo.json".into())).unwrap();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_string();
        let entries = index["models"].as_array().unwrap().iter().map(|facts| {
            let name = text(&facts["name"]);
            let none = |_: &str| Err("no external data".to_string());
            let bytes = file(format!("{name}.npz"));
            let npz = Npz::open(&bytes).unwrap();
            let arrays = npz.names().map(|n| (n.to_string(), value(npz.array(n).unwrap())));
            Entry {
                answer: match facts["answer"].as_str().unwrap() {
                    "probability" => Answer::Probability,
                    "logit" => Answer::Logit,
                    _ => Answer::Score,
                },
                output: text(&facts["output"]),
                classes: facts["classes"].as_u64().unwrap() as usize,
                free: facts["gradients"].as_array().unwrap().iter().map(text).collect(),
                compared: match facts["differences"].as_array() {
                    Some(names) => names.iter().map(text).collect(),
                    None => Vec::new(),
                },
                model: Model::from_onnx(&file(format!("{name}.onnx")), &none).unwrap(),
                arrays: arrays.collect(),
                name,
            }
        });
        let entries: Vec<Entry> = entries.collect();
        let differentiable = entries.iter().filter(|e| !e.free.is_empty()).count();
        assert_eq!((entries.len(), differentiable), MODELS);
        entries
    }

    fn part(&self, kind: &str) -> Inputs {
        let held = self.arrays.iter();
        held.filter_map(|(n, v)| Some((n.strip_prefix(kind)?.to_string(), v.clone()))).collect()
    }

    fn labels(&self) -> Vec<usize> {
        self.arrays["labels"].to_i64s().unwrap().iter().map(|&y| y as usize).collect()
    }

    /// Rows of a stored gradient, all inputs of a row side by side.
    fn stored(&self, kind: &str) -> Vec<Vec<f64>> {
        let names = if kind == "numeric64" { &self.compared } else { &self.free };
        side_by_side(names.iter().map(|n| self.arrays[&format!("{kind}:{n}")].clone()))
    }

    /// Class and margin of a row of the declared output; `None` for a score.
    fn decision(&self, row: &[f64]) -> Option<(usize, f64)> {
        match (self.answer, row) {
            (Answer::Score, _) => None,
            (Answer::Probability, [p]) => Some((usize::from(*p >= 0.5), (2.0 * p - 1.0).abs())),
            _ => {
                let mut order: Vec<usize> = (0..row.len()).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                Some((order[0], row[order[0]] - row[order[1]]))
            }
        }
    }
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let count = value.shape()[0];
    let flat = value.to_f64s().unwrap();
    flat.chunks(flat.len() / count).map(<[f64]>::to_vec).collect()
}

fn side_by_side(values: impl Iterator<Item = Value>) -> Vec<Vec<f64>> {
    let parts: Vec<Vec<Vec<f64>>> = values.map(|v| rows(&v)).collect();
    (0..parts[0].len()).map(|r| parts.iter().flat_map(|p| p[r].clone()).collect()).collect()
}

fn largest(row: &[f64]) -> f64 {
    row.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    // `max` would pass over not-a-number.
    a.iter().zip(b).fold(0.0, |m, (x, y)| {
        let d = (x - y).abs();
        if d > m || d.is_nan() { d } else { m }
    })
}

#[test]
fn every_model_answers_as_onnx_runtime_does() {
    if !crate::ready() {
        return;
    }
    let mut wrong = Vec::new();
    eprintln!("{:26} {:9} {:>9} {:>7}", "model", "engine", "error", "decided");
    for entry in Entry::all() {
        let (inputs, wanted) = (entry.part("in:"), entry.part("out:"));
        let names: Vec<String> = wanted.keys().cloned().collect();
        let got = run_batched(&entry.model, crate::ENGINES[0], &inputs, &names, WIDTH);
        let (got, facts) = got.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        let got: BTreeMap<String, Value> = names.into_iter().zip(got).collect();
        let wide = decided(&entry, &wanted[&entry.output]);
        let mut worst = 0.0f64;
        for (name, want) in &wanted {
            let found = match &got[name] {
                Value::Maps(maps) => matrix(maps, entry.model.graph(), name),
                found => found.clone(),
            };
            assert_eq!(found.shape(), want.shape(), "{}: {name}", entry.name);
            if !matches!(want, Value::F32(_) | Value::F64(_)) {
                wrong.extend(labels_that_differ(&entry, name, want, &found, &wide));
                continue;
            }
            for (r, (w, f)) in rows(want).iter().zip(rows(&found)).enumerate() {
                let error = apart(w, &f) / largest(w).max(1.0);
                worst = worst.max(error);
                let quantised = entry.name.starts_with("quantised");
                let close = error <= if quantised { FORWARD_QUANTISED } else { FORWARD };
                if !close {
                    wrong.push(format!("{} {name} row {r}: {error:e}", entry.name));
                }
                let (before, after) = (entry.decision(w), entry.decision(&f));
                if *name == entry.output && wide[r] && before.map(|d| d.0) != after.map(|d| d.0) {
                    wrong.push(format!("{} row {r}: another decision", entry.name));
                }
            }
        }
        let held = wide.iter().filter(|w| **w).count();
        eprintln!("{:26} {:9} {worst:9.1e} {held:>7}", entry.name, facts.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the margin of each row is wide enough to hold the decision.
fn decided(entry: &Entry, output: &Value) -> Vec<bool> {
    rows(output).iter().map(|r| entry.decision(r).is_some_and(|d| d.1 > MARGIN)).collect()
}

fn labels_that_differ(
    entry: &Entry,
    output: &str,
    want: &Value,
    found: &Value,
    wide: &[bool],
) -> Option<String> {
    let texts = |v: &Value| match v {
        Value::Str(t) => t.data().to_vec(),
        _ => v.to_i64s().unwrap().iter().map(i64::to_string).collect(),
    };
    let pairs = texts(want).into_iter().zip(texts(found)).zip(wide);
    let off = pairs.filter(|((a, b), wide)| **wide && a != b).count();
    (off > 0).then(|| format!("{}: {off} labels of `{output}` differ", entry.name))
}

/// Median of the row errors, and the share of rows that lie beyond 1e-4.
struct Figures {
    median: f64,
    outliers: f64,
    worst: f64,
}

impl Figures {
    fn of(got: &[Vec<f64>], exact: &[Vec<f64>]) -> Self {
        assert_eq!(got.len(), exact.len());
        let relative = |(g, e): (&Vec<f64>, &Vec<f64>)| match (apart(g, e), largest(e)) {
            (0.0, _) => 0.0,
            (d, m) => d / m,
        };
        let mut errors: Vec<f64> = got.iter().zip(exact).map(relative).collect();
        errors.sort_by(f64::total_cmp);
        let within = errors.iter().filter(|&&e| e <= 1e-4).count();
        Figures {
            median: errors[errors.len() / 2],
            outliers: 1.0 - within as f64 / errors.len() as f64,
            worst: *errors.last().unwrap(),
        }
    }
}

#[test]
fn every_gradient_agrees_with_autograd_in_f64() {
    if !crate::ready() {
        return;
    }
    let kinds = crate::ENGINES;
    let mut wrong = Vec::new();
    eprintln!(
        "{:26} {:13} {:>9} {:>9} {:>6}  torch f32: median, share",
        "model", "engine", "median", "worst", "share"
    );
    for entry in Entry::all().iter().filter(|e| !e.free.is_empty()) {
        let exact = entry.stored("grad64");
        let torch = Figures::of(&entry.stored("grad32"), &exact);
        for kind in kinds {
            let (inputs, labels) = (entry.part("in:"), entry.labels());
            let got = gradient_of(&entry.model, kind, &inputs, &labels, LossKind::CrossEntropy);
            let got = got.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            let lacks = kind == EngineKind::Rten && NOT_ON_RTEN.contains(&entry.name.as_str());
            let wanted = if lacks { EngineKind::Reference } else { kind };
            assert_eq!(got.engine.name, wanted.facts().name, "{}", entry.name);
            assert_eq!(got.classes, entry.classes, "{}", entry.name);
            let grads = entry.free.iter().map(|n| Value::F32(got.inputs[n].clone()));
            let ours = Figures::of(&side_by_side(grads), &exact);
            eprintln!(
                "{:26} {:13} {:9.1e} {:9.1e} {:6.3}  {:.1e} {:.3}",
                entry.name,
                got.engine.name,
                ours.median,
                ours.worst,
                ours.outliers,
                torch.median,
                torch.outliers
            );
            let f64_bar = if kind == EngineKind::ReferenceF64 { rounded(&entry.name) } else { 1.0 };
            let near = ours.median <= 1e-5
                && ours.outliers <= 0.05
                && ours.outliers <= torch.outliers + 0.01
                && ours.worst <= f64_bar;
            if !near {
                wrong.push(format!("{} {kind:?}", entry.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Models that no torch module stands behind: the gradient is that of scikit-learn's own
/// function, by differences in `f64`. The exported constants are rounded to `f32`, and a
/// difference loses digits, so the bar is lower than that of the rules.
#[test]
fn classical_gradients_agree_with_the_library() {
    if !crate::ready() {
        return;
    }
    let entries = Entry::all();
    let compared: Vec<&Entry> = entries.iter().filter(|e| !e.compared.is_empty()).collect();
    assert_eq!(compared.len(), COMPARED);
    let mut wrong = Vec::new();
    eprintln!("{:26} {:13} {:>9} {:>9} {:>6}", "model", "engine", "median", "worst", "share");
    for entry in compared {
        let loss = match entry.answer {
            Answer::Score => LossKind::Logit,
            _ => LossKind::CrossEntropy,
        };
        let exact = entry.stored("numeric64");
        for kind in crate::ENGINES {
            let (inputs, labels) = (entry.part("in:"), entry.labels());
            let got = match gradient_of(&entry.model, kind, &inputs, &labels, loss) {
                Ok(got) => got,
                Err(error) => {
                    wrong.push(format!("{} {kind:?}: {error}", entry.name));
                    continue;
                }
            };
            let grads = entry.compared.iter().map(|n| Value::F32(got.inputs[n].clone()));
            let ours = Figures::of(&side_by_side(grads), &exact);
            eprintln!(
                "{:26} {:13} {:9.1e} {:9.1e} {:6.3}",
                entry.name, got.engine.name, ours.median, ours.worst, ours.outliers
            );
            if ours.median > 1e-5 || ours.outliers > 0.05 {
                wrong.push(format!("{} {kind:?}: {:e}", entry.name, ours.median));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules themselves: forward, cotangent and reverse pass in `f64` without rounding between.
#[test]
fn the_rules_are_exact_in_f64() {
    let mut wrong = Vec::new();
    for entry in Entry::all().iter().filter(|e| !e.free.is_empty()) {
        if entry.name == "plain_fixed_ts13" {
            // Written for one batch size; the same network as `plain_ts10`.
            continue;
        }
        let ours = Figures::of(&exact_gradient(entry), &entry.stored("grad64"));
        eprintln!("{:26} {:9.1e} {:9.1e}", entry.name, ours.median, ours.worst);
        let exact = EXACT.contains(&entry.name.as_str());
        let near = ours.worst <= if exact { 1e-9 } else { rounded(&entry.name) };
        if !near {
            wrong.push(format!("{}: {:e}", entry.name, ours.worst));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Gradient of the cross-entropy on the reference in `f64`; softmax and label are taken here.
fn exact_gradient(entry: &Entry) -> Vec<Vec<f64>> {
    let graph: Graph = upgrade(&lower(entry.model.graph()));
    let mut inputs = entry.part("in:");
    let shapes = probe(&graph, &inputs).unwrap();
    let columns = shapes[&entry.output].shape[1];
    let tap = tap(&graph, &entry.output, entry.answer, columns).unwrap();
    assert_eq!(tap.form, Form::Logits, "{}", entry.name);
    let z = run(&expose(&graph, &tap.value), &inputs, &[&tap.value], Precision::F64).unwrap();
    let cotangent: Vec<f64> = rows(&z[0])
        .iter()
        .zip(entry.labels())
        .flat_map(|(z, y)| match z.as_slice() {
            [z] => vec![1.0 / (1.0 + (-z).exp()) - y as f64],
            z => {
                let top = z.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
                let total: f64 = z.iter().map(|v| (v - top).exp()).sum();
                let minus = |(j, v): (usize, &f64)| (v - top).exp() / total - f64::from(j == y);
                z.iter().enumerate().map(minus).collect()
            }
        })
        .collect();
    let backward = vjp(&graph, &shapes, &tap.value, "cot", &entry.free).unwrap();
    inputs.insert("cot".into(), Value::F64(Tensor::new(z[0].shape(), cotangent).unwrap()));
    let names: Vec<String> = entry.free.iter().map(|n| format!("grad:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    side_by_side(run(&backward, &inputs, &names, Precision::F64).unwrap().into_iter())
}

/// The graph with one more value among its outputs.
fn expose(graph: &Graph, value: &str) -> Graph {
    let mut graph = graph.clone();
    let mut info = graph.outputs[0].clone();
    info.name = value.to_string();
    info.shape = None;
    graph.outputs.push(info);
    graph
}
