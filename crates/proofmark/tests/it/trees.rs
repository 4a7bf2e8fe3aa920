//! Tree ensembles of XGBoost and LightGBM from file to verdict.
//!
//! The models, and the script that made them, are in `tests/trees`.

use std::fs;
use std::path::Path;

use proofmark_formats::npy;

use crate::support::{Scratch, proofmark};

const COLUMNS: &str =
    "duration,amount,installment_rate,residence_since,age,existing_credits,people_liable";

/// The credit example with the files of `tests/trees` beside it.
fn scratch() -> Scratch {
    let scratch = Scratch::copy_of("credit");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    for entry in fs::read_dir(from).expect("models") {
        let path = entry.expect("entry").path();
        fs::copy(&path, scratch.path(&path.file_name().expect("name").to_string_lossy()))
            .expect("copy");
    }
    scratch
}

fn floats(path: &Path) -> Vec<f32> {
    let array = npy::read(&fs::read(path).expect("read")).expect("npy");
    array.data().to_f32().expect("f32")
}

/// The largest difference between what `model run` gives and what the library gave.
fn apart(scratch: &Scratch, model: &str, input: &str, want: &str, more: &[&str]) -> f32 {
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, input, out) = (path(model), path(input), path("out.npy"));
    let args = ["model", "run", &model, "--input", &input, "--output", &out];
    let only = ["--outputs", "probabilities"];
    let ran = proofmark(&[&args[..], &only, more].concat());
    assert_eq!(ran.code, 0, "{model} {input}: {}", ran.stderr);
    let (got, want) = (floats(&scratch.path("out.npy")), floats(&scratch.path(want)));
    assert_eq!(got.len(), want.len());
    got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The columns of the test rows in the format of libsvm, counted from 1, zeros left out.
fn as_libsvm(csv: &str) -> String {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().expect("header").split(',').collect();
    let at = |name: &str| names.iter().position(|n| *n == name).expect("column");
    let places: Vec<usize> = COLUMNS.split(',').map(at).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let pairs = places.iter().enumerate().map(|(i, &c)| format!(" {}:{}", i + 1, cells[c]));
        format!("{}{}\n", cells[at("class")], pairs.collect::<String>())
    };
    lines.map(row).collect()
}

#[test]
fn rows_get_the_probabilities_of_the_library() {
    let scratch = scratch();
    let columns = ["--columns", COLUMNS];
    assert!(apart(&scratch, "gbm.json", "test.csv", "expected_json.npy", &columns) < 1e-6);
    assert!(apart(&scratch, "gbm.txt", "test.csv", "expected_txt.npy", &columns) < 1e-6);
    // A dump leaves open where margins start and what they mean: base score 0.3 is a logit.
    let said = ["--base-margin=-0.8472978603872037", "--objective", "binary:logistic"];
    let dump = [&columns[..], &said].concat();
    assert!(apart(&scratch, "dump.json", "test.csv", "expected_json.npy", &dump) < 1e-6);
    let csv = fs::read_to_string(scratch.path("test.csv")).expect("csv");
    fs::write(scratch.path("test.libsvm"), as_libsvm(&csv)).expect("write");
    let sparse = ["--libsvm-index", "1", "--libsvm-absent", "zero"];
    assert!(apart(&scratch, "gbm.json", "test.libsvm", "expected_json.npy", &sparse) < 1e-6);
}

/// What is said on the command line stands in the record of the run.
#[test]
fn flags_of_libsvm_and_dumps_are_echoed() {
    let scratch = scratch();
    let csv = fs::read_to_string(scratch.path("test.csv")).expect("csv");
    fs::write(scratch.path("test.libsvm"), as_libsvm(&csv)).expect("write");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (rows, table, out) = (path("test.libsvm"), path("test.csv"), path("o.csv"));
    let run = |model: &str, input: &str, more: &[&str]| {
        let model = path(model);
        let base = ["model", "run", &model, "--input", input, "--output", &out];
        proofmark(&[&base[..], more, &["--format", "json"]].concat())
    };
    let told = |ran: crate::support::Ran| {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("json")
    };
    // Every index from 1 to 7 stands in this file: nothing is left open.
    let document = told(run("gbm.json", &rows, &[]));
    let input = "libsvm, 7 columns, indices from 1, absent values are zero";
    assert_eq!(document["input"], input);
    let sparse = ["--libsvm-index", "1", "--libsvm-absent", "missing"];
    let document = told(run("gbm.json", &rows, &sparse));
    let input = "libsvm, 7 columns, indices from 1, absent values are missing";
    assert_eq!(document["input"], input);
    assert_eq!(document["dump"], serde_json::Value::Null);
    let said = ["--base-margin=-0.5", "--objective", "binary:logistic"];
    let dump = [&["--columns", COLUMNS], &said[..]].concat();
    let document = told(run("dump.json", &table, &dump));
    assert_eq!(document["dump"], "base margin -0.5, objective binary:logistic");
}

/// Both the model and the table name the columns, so their order in the table is nobody's choice.
#[test]
fn columns_are_found_by_the_names_in_the_file() {
    let scratch = scratch();
    let csv = fs::read_to_string(scratch.path("test.csv")).expect("csv");
    let reversed: Vec<String> = csv
        .lines()
        .map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.reverse();
            cells.join(",")
        })
        .collect();
    fs::write(scratch.path("reversed.csv"), reversed.join("\n")).expect("write");
    for (model, want) in [("gbm.json", "expected_json.npy"), ("gbm.txt", "expected_txt.npy")] {
        for input in ["test.csv", "reversed.csv"] {
            assert!(apart(&scratch, model, input, want, &[]) < 1e-6, "{model} {input}");
        }
    }
    fs::write(scratch.path("less.csv"), csv.replacen("amount", "sum", 1)).expect("write");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, input, out) = (path("gbm.json"), path("less.csv"), path("out.npy"));
    let ran = proofmark(&["model", "run", &model, "--input", &input, "--output", &out]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("reads a column `amount`"), "{}", ran.stderr);
}

#[test]
fn inspect_tells_what_the_trees_are() {
    let scratch = scratch();
    let path = scratch.path("gbm.json").display().to_string();
    let ran = proofmark(&["model", "inspect", &path, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("json");
    let trees = &told["trees"][0];
    assert_eq!(trees["trees"], 40);
    assert_eq!(trees["depth"], 3);
    assert_eq!(trees["columns"], 7);
    assert_eq!(trees["link"], "logistic");
    let text = proofmark(&["model", "inspect", &path]).stdout;
    assert!(text.contains("40 trees of xgboost"), "{text}");
}

#[test]
fn declared_ensembles_are_assessed_with_parity_and_attacked_by_their_decisions() {
    for (model, expected) in [("gbm.json", "expected_json.npy"), ("gbm.txt", "expected_txt.npy")] {
        let scratch = scratch();
        scratch.edit("proofmark.toml", |text| {
            text.replacen("gbm.onnx", model, 1)
                .replacen("expected_gbm.npy", expected, 1)
                .replacen("queries = 2000", "queries = 200", 1)
                // The file of trees reads no categories.
                .replacen(
                    "category-swap\"\nmodels = [\"mlp\", \"gbm\"]",
                    "category-swap\"\nmodels = [\"mlp\"]",
                    1,
                )
        });
        let (code, told) = scratch.json(&["assess"]);
        assert!(code <= 1, "{model}: exit {code}: {told:#}");
        assert_eq!(told["complete"], true, "{model}: {told:#}");
        let all = told["measurements"].as_array().expect("measurements");
        let of = |metric: &str| {
            all.iter().any(|m| m["metric"] == metric && m.to_string().contains("gbm"))
        };
        assert!(of("accuracy") && of("robust_accuracy"), "{model}: {told:#}");
    }
}

#[test]
fn columns_in_another_order_than_the_file_and_facts_it_holds_are_refused() {
    let scratch = scratch();
    let reversed: Vec<&str> = COLUMNS.split(',').rev().collect();
    let list = reversed.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ");
    scratch.edit("proofmark.toml", |text| {
        let input = format!("path = \"gbm.json\"\ninput = {{ columns = [{list}] }}");
        text.replacen("path = \"gbm.onnx\"", &input, 1).replacen(
            "expected_gbm.npy",
            "expected_json.npy",
            1,
        )
    });
    let ran = scratch.run(&["assess"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("another order"), "{}", ran.stderr);
    let path = scratch.path("gbm.json").display().to_string();
    let ran = proofmark(&["model", "inspect", &path, "--base-margin", "0.5"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("holds them itself"), "{}", ran.stderr);
}
