//! Tree ensembles as models: opened from their files, run as graphs, written as ONNX.
//!
//! The files and the margins of the libraries are those of `tests/boosted`.

use std::path::{Path, PathBuf};

use proofmark_engine::model::{Hints, Model};
use proofmark_engine::pipeline::{Answer, PipelineOptions, Serving};
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::trees::{FEATURES, MARGIN};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};
use proofmark_engine::write::{WriteError, to_onnx};
use proofmark_formats::npz::Npz;

/// Within this of the library's own margin, relative where margins are large.
const TOLERANCE: f64 = 1e-6;

/// A model file, the rows as its graph wants them, and the library's margins.
struct Case {
    name: String,
    model: Model,
    inputs: Inputs,
    margin: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boosted");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let golden = path.with_extension("npz");
        let ours = path.extension().is_some_and(|e| ["json", "ubj", "txt"].iter().any(|w| e == *w));
        if !ours || !golden.exists() {
            return None;
        }
        // Dumps and what is refused are tested beside their importers.
        let model = open(&std::fs::read(path).unwrap()).ok()?;
        let bytes = std::fs::read(golden).unwrap();
        let arrays = Npz::open(&bytes).unwrap();
        let x = arrays.array("x").unwrap();
        let mut margin = arrays.array("margin").ok()?.data().to_f64().unwrap();
        if path.file_stem().is_some_and(|s| s.to_string_lossy().starts_with("lightgbm_forest")) {
            // Its six trees: raw scores of the library are sums, its answers are means.
            margin.iter_mut().for_each(|m| *m /= 6.0);
        }
        let inputs = inputs(&model, x.shape(), &x.data().to_f64().unwrap(), &|column| {
            Some(arrays.array(&format!("text_{column}")).ok()?.data().to_strings())
        });
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Some(Case { name, model, inputs: inputs?, margin })
    };
    paths.iter().filter_map(read).collect()
}

fn open(bytes: &[u8]) -> Result<Model, String> {
    Model::open(bytes, &Hints::default(), &|_| Err("none".into())).map_err(|e| e.to_string())
}

/// Columns of texts are inputs of their own, in order; the others are one matrix.
fn inputs(
    model: &Model,
    shape: &[usize],
    x: &[f64],
    texts: &dyn Fn(usize) -> Option<Vec<String>>,
) -> Option<Inputs> {
    let (rows, columns) = (shape[0], shape[1]);
    let text: Vec<(usize, Vec<String>)> =
        (0..columns).filter_map(|c| Some((c, texts(c)?))).collect();
    let wanted = model.graph().inputs.iter().filter(|i| i.dtype == Some(DType::Str));
    let wanted: Vec<_> = wanted.collect();
    if wanted.len() != text.len() {
        return None;
    }
    let mut all = Inputs::new();
    for (info, (_, column)) in wanted.iter().zip(&text) {
        let value = Tensor::new(vec![rows, 1], column.clone())?;
        all.insert(info.name.clone(), Value::Str(value));
    }
    let plain = |c: &usize| !text.iter().any(|(t, _)| t == c);
    let kept: Vec<usize> = (0..columns).filter(plain).collect();
    if let Some(info) = model.graph().inputs.iter().find(|i| i.name == FEATURES) {
        let data = x.chunks(columns).flat_map(|row| kept.iter().map(|&c| row[c])).collect();
        let wide = Tensor::new(vec![rows, kept.len()], data)?;
        let value = match info.dtype {
            Some(DType::F32) => Value::F32(wide.map(|&v| v as f32)),
            _ => Value::F64(wide),
        };
        all.insert(FEATURES.to_string(), value);
    }
    Some(all)
}

fn margins(model: &Model, inputs: &Inputs, precision: Precision) -> Vec<f64> {
    run(model.graph(), inputs, &[MARGIN], precision).unwrap()[0].to_f64s().unwrap()
}

#[test]
fn graphs_of_ensembles_give_the_margins_of_the_libraries_in_every_precision() {
    let cases = cases();
    assert!(cases.len() >= 40, "only {} models of the goldens were opened", cases.len());
    for case in &cases {
        for precision in [Precision::F32, Precision::F64] {
            let ours = margins(&case.model, &case.inputs, precision);
            assert_eq!(ours.len(), case.margin.len(), "{}", case.name);
            for (a, b) in ours.iter().zip(&case.margin) {
                let far = (a - b).abs() > 3.0 * TOLERANCE * b.abs().max(1.0);
                assert!(!far, "{} in {precision:?}: {a}, the library has {b}", case.name);
            }
        }
    }
}

#[test]
fn what_is_written_as_onnx_gives_the_same_bits_and_the_rest_is_refused_by_name() {
    let (mut written, mut refused) = (0, Vec::new());
    for case in cases() {
        match to_onnx(case.model.graph()) {
            Ok(bytes) => {
                let again = open(&bytes).unwrap();
                assert_eq!(again.graph().inputs, case.model.graph().inputs, "{}", case.name);
                let ours = margins(&case.model, &case.inputs, Precision::F32);
                let theirs = margins(&again, &case.inputs, Precision::F32);
                assert_eq!(ours, theirs, "{}", case.name);
                for output in &case.model.graph().outputs {
                    let ask = |m: &Model| {
                        run(m.graph(), &case.inputs, &[&output.name], Precision::F32).unwrap()
                    };
                    let (a, b) = (ask(&case.model), ask(&again));
                    let (Some(a), Some(b)) = (a[0].to_f64s(), b[0].to_f64s()) else {
                        assert_eq!(a, b, "{}", case.name);
                        continue;
                    };
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
                    assert!(a.iter().zip(&b).all(near), "{} {}", case.name, output.name);
                }
                written += 1;
            }
            Err(WriteError::Trees { reason, .. }) => refused.push((case.name, reason)),
            Err(other) => panic!("{}: {other}", case.name),
        }
    }
    assert!(written >= 20, "{written} written, refused: {refused:?}");
    assert!(refused.iter().any(|(_, why)| why.contains("near zero")), "{refused:?}");
    assert!(refused.iter().any(|(_, why)| why.contains("category codes")), "{refused:?}");
}

#[test]
fn a_served_ensemble_answers_with_probabilities_and_says_which_engine_computes() {
    let case = cases().into_iter().find(|c| c.name == "xgboost_binary.json").unwrap();
    let output = Some("probabilities".to_string());
    let options =
        PipelineOptions { output, answer: Answer::Probability, ..PipelineOptions::default() };
    let serving = Serving::open(&case.model, &options).unwrap();
    let note = serving.engine().note.clone().unwrap_or_default();
    assert!(note.contains("a file of its own"), "{note}");
    let scores = serving.scores(&case.inputs).unwrap();
    for (row, margin) in scores.chunks(2).zip(&case.margin) {
        let want = 1.0 / (1.0 + (-margin).exp());
        assert!((f64::from(row[1]) - want).abs() < 1e-6, "{row:?} {margin}");
        assert!((row[0] + row[1] - 1.0).abs() < 1e-6);
    }
}

#[test]
fn facts_for_a_file_that_holds_them_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boosted");
    let bytes = std::fs::read(folder.join("xgboost_binary.json")).unwrap();
    let none = |_: &str| Err("none".to_string());
    let said = Hints { base_margin: vec![0.0], ..Hints::default() };
    let error = Model::open(&bytes, &said, &none).unwrap_err().to_string();
    assert!(error.contains("holds them itself"), "{error}");
    assert!(Model::open(&bytes, &Hints::default(), &none).is_ok());
}
