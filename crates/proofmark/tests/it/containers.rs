//! A declared table in other containers: the same figures as from delimited text, and a proposal
//! by `init` for each of them.
//!
//! Files: `crates/dataset/tests/it/golden/containers/make.py`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Scratch, proofmark};

const ROWS: usize = 25;
const TWINS: [&str; 3] = ["credit.parquet", "credit.arrow", "credit.jsonl"];

fn add(scratch: &Scratch, name: &str) {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataset/tests/it/golden/containers");
    fs::copy(golden.join(name), scratch.path(name)).expect("copy");
}

/// What was measured, without the digests of the files it was measured on.
fn figures(document: &Value) -> Vec<Value> {
    let mut all = document["measurements"].as_array().expect("measurements").clone();
    for figure in &mut all {
        let figure = figure.as_object_mut().expect("object");
        figure.remove("assets");
        figure.remove("probe");
    }
    all
}

#[test]
fn a_table_gives_the_same_figures_in_every_container() {
    let (_, want) = Scratch::credit(ROWS).json(&["assess"]);
    let want = figures(&want);
    assert!(want.len() > 5, "{want:#?}");
    for name in TWINS {
        let scratch = Scratch::credit(ROWS);
        add(&scratch, name);
        scratch.edit("proofmark.toml", |t| t.replacen("path = \"test.csv\"", &path(name), 1));
        let (code, got) = scratch.json(&["assess"]);
        assert!(code <= 1, "{name}: {got:#}");
        assert_eq!(figures(&got), want, "{name}");
    }
}

fn path(name: &str) -> String {
    format!("path = \"{name}\"")
}

#[test]
fn rows_of_every_container_get_the_same_answers() {
    let scratch = Scratch::copy_of("credit");
    let run = |input: &str| {
        let path = |name: &str| scratch.path(name).display().to_string();
        let (model, input, out) = (path("gbm.onnx"), path(input), path("out.csv"));
        let ran = proofmark(&["model", "run", &model, "--input", &input, "--output", &out]);
        assert_eq!(ran.code, 0, "{input}: {}", ran.stderr);
        fs::read(scratch.path("out.csv")).expect("out")
    };
    let want = run("test.csv");
    for name in TWINS {
        add(&scratch, name);
        assert_eq!(run(name), want, "{name}");
    }
}

#[test]
fn init_proposes_every_container() {
    for name in TWINS {
        let scratch = Scratch::copy_of("credit");
        for entry in fs::read_dir(scratch.dir()).expect("folder") {
            let path = entry.expect("entry").path();
            if !path.ends_with("gbm.onnx") {
                fs::remove_file(path).expect("rm");
            }
        }
        add(&scratch, name);
        let dir = scratch.dir().display().to_string();
        let ran = proofmark(&["init", &dir, "--format", "json"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let told: Value = serde_json::from_str(&ran.stdout).expect("json");
        assert_eq!((&told["models"], &told["data"]), (&1.into(), &1.into()), "{name}: {told:#}");
        let text = fs::read_to_string(scratch.path("proofmark.toml")).expect("declaration");
        let container = match name {
            "credit.parquet" => "300 rows; 23 columns of Parquet",
            "credit.arrow" => "300 rows; 23 columns of Arrow IPC",
            _ => "300 rows; 23 columns of JSON lines",
        };
        for line in [
            "[data.credit]",
            &path(name),
            &format!("# found: {container}"),
            "label = \"class\"",
            "ignore = [\"id\"]",
            "[features.amount]",
        ] {
            assert!(text.lines().any(|l| l == line), "{name}: no `{line}` in\n{text}");
        }
    }
}
