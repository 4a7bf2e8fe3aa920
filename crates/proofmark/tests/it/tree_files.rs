//! Files of XGBoost, LightGBM and CatBoost with missing values and categories, through the verbs:
//! what a user gets has to be what the library gave (`crates/engine/tests/boosted`, `make.py`).

use std::fs;
use std::path::{Path, PathBuf};

use proofmark_formats::npy;
use proofmark_formats::npz::Npz;
use serde_json::Value;

use crate::support::{Scratch, proofmark};

/// Within this of the library's margin, relative where margins are large.
const TOLERANCE: f64 = 1e-6;
/// Files whose columns are all numbers, with the ending of the file.
const NUMBERS: [(&str, &str); 9] = [
    ("xgboost_binary", "json"),
    ("xgboost_categories", "json"),
    ("xgboost_categories", "ubj"),
    ("xgboost_softprob", "ubj"),
    ("lightgbm_categories", "txt"),
    ("lightgbm_zero", "txt"),
    ("lightgbm_softmax", "txt"),
    ("catboost_binary", "json"),
    ("catboost_softmax", "json"),
];
/// Files that hold texts of categories.
const TEXTS: [(&str, &str); 4] = [
    ("xgboost_stored", "json"),
    ("lightgbm_pandas", "txt"),
    ("catboost_onehot", "json"),
    ("catboost_ctr", "json"),
];

fn boosted(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/boosted").join(file)
}

/// Rows that a table can hold (no infinities, no empty texts), and the library's margins.
struct Golden {
    columns: Vec<Vec<String>>,
    margins: Vec<Vec<f64>>,
}

impl Golden {
    fn read(name: &str, most: usize) -> Self {
        let bytes = fs::read(boosted(&format!("{name}.npz"))).expect("golden");
        let arrays = Npz::open(&bytes).expect("npz");
        let x = arrays.array("x").expect("x");
        let (rows, width) = (x.shape()[0], x.shape()[1]);
        let numbers = x.data().to_f64().expect("numbers");
        let margin = arrays.array("margin").expect("margin").data().to_f64().expect("numbers");
        let outputs = margin.len() / rows;
        let cell = |v: f64| if v.is_nan() { String::new() } else { v.to_string() };
        let mut columns: Vec<Vec<String>> =
            (0..width).map(|c| (0..rows).map(|r| cell(numbers[r * width + c])).collect()).collect();
        let mut fits: Vec<bool> = (0..rows)
            .map(|r| numbers[r * width..(r + 1) * width].iter().all(|v| !v.is_infinite()))
            .collect();
        for (c, column) in columns.iter_mut().enumerate() {
            let Ok(texts) = arrays.array(&format!("text_{c}")) else { continue };
            *column = texts.data().to_strings();
            column.iter().zip(&mut fits).for_each(|(text, fits)| *fits &= !text.is_empty());
        }
        let kept: Vec<usize> = (0..rows).filter(|&r| fits[r]).take(most).collect();
        let pick = |column: &Vec<String>| kept.iter().map(|&r| column[r].clone()).collect();
        Self {
            columns: columns.iter().map(pick).collect(),
            margins: kept.iter().map(|&r| margin[r * outputs..][..outputs].to_vec()).collect(),
        }
    }

    /// As text with a header; `more` columns in front.
    fn csv(&self, names: &[String], more: &[(&str, Vec<String>)]) -> String {
        let all: Vec<&Vec<String>> = more.iter().map(|(_, c)| c).chain(&self.columns).collect();
        let heads = more.iter().map(|(n, _)| (*n).to_owned()).chain(names.iter().cloned());
        let quoted = |text: &String| format!("\"{text}\"");
        let line = |row: usize| {
            let cells = all.iter().map(|c| match c[row].parse::<f64>() {
                Ok(_) => c[row].clone(),
                Err(_) if c[row].is_empty() => String::new(),
                Err(_) => quoted(&c[row]),
            });
            cells.collect::<Vec<_>>().join(",")
        };
        let lines: Vec<String> = (0..self.margins.len()).map(line).collect();
        format!("{}\n{}\n", heads.collect::<Vec<_>>().join(","), lines.join("\n"))
    }

    fn numbered(&self) -> Vec<String> {
        (0..self.columns.len()).map(|i| format!("c{i}")).collect()
    }

    /// What the library decides: `1` where the only margin is positive.
    fn decided(&self) -> Vec<String> {
        self.margins.iter().map(|m| u8::from(m[0] > 0.0).to_string()).collect()
    }
}

fn path(scratch: &Scratch, name: &str) -> String {
    scratch.path(name).display().to_string()
}

/// The largest distance of what `model run` writes from the library's margins.
fn apart(scratch: &Scratch, model: &Path, golden: &Golden, more: &[&str]) -> f64 {
    let (input, out) = (path(scratch, "rows.csv"), path(scratch, "out.npy"));
    let model = model.display().to_string();
    let args = ["model", "run", &model, "--input", &input, "--output", &out, "--missing", ""];
    let ran = proofmark(&[&args[..], &["--outputs", "margin"], more].concat());
    assert_eq!(ran.code, 0, "{model}: {}", ran.stderr);
    let array = npy::read(&fs::read(out).expect("output")).expect("npy");
    let got = array.data().to_f64().expect("numbers");
    let want: Vec<f64> = golden.margins.iter().flatten().copied().collect();
    assert_eq!(got.len(), want.len(), "{model}");
    let far = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1.0);
    got.iter().zip(&want).map(far).fold(0.0, f64::max)
}

#[test]
fn rows_with_gaps_and_categories_get_the_margins_of_the_library() {
    let scratch = Scratch::copy_of("credit");
    for (name, ending) in NUMBERS {
        let golden = Golden::read(name, 1000);
        assert!(golden.margins.len() > 500, "{name}: {} rows", golden.margins.len());
        fs::write(scratch.path("rows.csv"), golden.csv(&golden.numbered(), &[])).expect("rows");
        let far = apart(&scratch, &boosted(&format!("{name}.{ending}")), &golden, &[]);
        assert!(far < TOLERANCE, "{name}.{ending}: {far:e}");
    }
    // A dump needs to be told where margins start; the model file says it.
    let golden = Golden::read("xgboost_categories", 1000);
    fs::write(scratch.path("rows.csv"), golden.csv(&golden.numbered(), &[])).expect("rows");
    let bytes = fs::read(boosted("xgboost_categories.json")).expect("model");
    let model: Value = serde_json::from_slice(&bytes).expect("json");
    let base = model["learner"]["learner_model_param"]["base_score"].as_str().expect("base");
    let base: f64 = base.trim_matches(['[', ']']).parse().expect("a number");
    let margin = format!("--base-margin={}", (base / (1.0 - base)).ln());
    let dump = boosted("xgboost_categories.dump.json");
    let far = apart(&scratch, &dump, &golden, &[&margin, "--objective", "binary:logistic"]);
    assert!(far < TOLERANCE, "dump: {far:e}");
    let far = apart(&scratch, &dump, &golden, &[]);
    assert!(far > 1e-3, "without its base a dump cannot have the margins: {far:e}");
}

/// The columns of a file, in its order.
fn names(model: &Path) -> Vec<String> {
    let model = model.display().to_string();
    let ran = proofmark(&["model", "inspect", &model, "--format", "json"]);
    let told: Value = serde_json::from_str(&ran.stdout).expect("json");
    let inputs = told["inputs"].as_array().expect("inputs").iter();
    let texts: Vec<String> = inputs
        .map(|i| i["name"].as_str().expect("name").to_owned())
        .filter(|n| n != "features")
        .collect();
    texts
}

#[test]
fn texts_of_categories_are_columns_by_their_name() {
    let scratch = Scratch::copy_of("credit");
    for (name, ending) in TEXTS {
        let golden = Golden::read(name, 1000);
        let model = boosted(&format!("{name}.{ending}"));
        let header = header(name);
        assert!(names(&model).iter().all(|n| header.contains(n)), "{name}: {:?}", names(&model));
        fs::write(scratch.path("rows.csv"), golden.csv(&header, &[])).expect("rows");
        let far = apart(&scratch, &model, &golden, &[]);
        assert!(far < TOLERANCE, "{name}.{ending}: {far:e}");
    }
}

/// The columns as `make.py` names them.
fn header(name: &str) -> Vec<String> {
    let names: &[&str] = match name {
        "xgboost_stored" => &["a", "city", "tens"],
        "lightgbm_pandas" => &["a_b", "city"],
        "catboost_onehot" => &["n0", "n1", "n2", "n3", "t0"],
        _ => &["n0", "n1", "n2", "n3", "t0", "t1"],
    };
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// A declaration around a file, with every column of numbers movable.
fn declared(file: &str, header: &[String], golden: &Golden) -> String {
    let mut text = format!(
        r#"format = "proofmark.system/1"
[system]
name = "trees"
version = "1"
provider = "Example (DEMO)"
purpose = "A tree file with gaps and categories."
demo = true
seed = 1
[data.test]
path = "rows.csv"
role = "test"
label = "y"
classes = {{ no = "0", yes = "1" }}
missing = [""]
[models.trees]
path = "{file}"
role = "primary"
output = {{ name = "probabilities", kind = "probability", classes = ["no", "yes"] }}
decision = {{ class = "yes", at = 0.5 }}
[threats.user]
norm = "linf"
eps = [0.02]
scale = "bounds"
goal = {{ from = "no", to = "yes" }}
access = "decision"
queries = 60
[criteria.right]
metric = "accuracy"
model = "trees"
data = "test"
at_least = 0.5
confidence = 0.95
rationale = "Labels are what the library decides, so all are right."
approver = "nobody"
"#
    );
    for (name, column) in header.iter().zip(&golden.columns) {
        let numbers: Vec<f64> = column.iter().filter_map(|c| c.parse().ok()).collect();
        let texts = column.iter().any(|c| !c.is_empty() && c.parse::<f64>().is_err());
        text.push_str(&match texts || name == "tens" {
            true => format!("[features.{name}]\ntype = \"category\"\n"),
            false => {
                let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
                let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                format!(
                    "[features.{name}]\ntype = \"number\"\nbounds = [{low:?}, {high:?}]\n\
                     mutable = true\n"
                )
            }
        });
    }
    text
}

#[test]
fn declared_files_with_gaps_and_categories_are_assessed() {
    for (name, ending) in [
        ("xgboost_categories", "ubj"),
        ("lightgbm_categories", "txt"),
        ("catboost_binary", "json"),
        ("xgboost_stored", "json"),
        ("lightgbm_pandas", "txt"),
        ("catboost_ctr", "json"),
    ] {
        let scratch = Scratch::copy_of("credit");
        let golden = Golden::read(name, 60);
        let texts = TEXTS.iter().any(|(n, _)| *n == name);
        let header = if texts { header(name) } else { golden.numbered() };
        let file = format!("{name}.{ending}");
        fs::copy(boosted(&file), scratch.path(&file)).expect("model");
        let rows = golden.csv(&header, &[("y", golden.decided())]);
        fs::write(scratch.path("rows.csv"), rows).expect("rows");
        fs::write(scratch.path("proofmark.toml"), declared(&file, &header, &golden))
            .expect("declaration");
        let checked = scratch.run(&["check"]);
        assert_eq!(checked.code, 0, "{name}: {}", checked.stderr);
        let (code, told) = scratch.json(&["assess"]);
        assert!(code <= 1, "{name}: exit {code}: {told:#}");
        let all = told["measurements"].as_array().expect("measurements");
        let of = |metric: &str| all.iter().find(|m| m["metric"] == metric);
        let right = of("accuracy").unwrap_or_else(|| panic!("{name}: {told:#}"));
        assert_eq!(share(right), Some(1.0), "{name}: {right:#}");
        assert!(of("robust_accuracy").is_some(), "{name}: {told:#}");
    }
}

/// The first number called `value` or `estimate`.
fn share(value: &Value) -> Option<f64> {
    match value {
        Value::Object(map) => {
            let own = ["value", "estimate"].iter().find_map(|k| map.get(*k)?.as_f64());
            own.or_else(|| map.values().find_map(share))
        }
        Value::Array(list) => list.iter().find_map(share),
        _ => None,
    }
}

fn attacked(args: &[&str]) -> Value {
    let common = [
        "--norm",
        "linf",
        "--eps",
        "0.1",
        "--scale",
        "raw",
        "--access",
        "decision",
        "--queries",
        "40",
        "--format",
        "json",
    ];
    let ran = proofmark(&[&["attack"], args, &common].concat());
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("json")
}

/// The numbers of XGBoost's file as rows of libsvm, counted from 1; gaps are left out.
fn libsvm(golden: &Golden) -> String {
    let label = golden.decided();
    let row = |r: usize| {
        let pairs = golden.columns.iter().enumerate().filter(|(_, c)| !c[r].is_empty());
        let pairs = pairs.map(|(i, c)| format!(" {}:{}", i + 1, c[r]));
        format!("{}{}\n", label[r], pairs.collect::<String>())
    };
    (0..golden.margins.len()).map(row).collect()
}

#[test]
fn rows_of_libsvm_are_attacked_as_the_same_rows_of_a_table() {
    let scratch = Scratch::copy_of("credit");
    let golden = Golden::read("xgboost_categories", 40);
    let numbered: Vec<String> = (0..golden.columns.len()).map(|i| format!("f{i}")).collect();
    let table = golden.csv(&numbered, &[("y", golden.decided())]);
    fs::write(scratch.path("rows.csv"), table).expect("rows");
    fs::write(scratch.path("rows.libsvm"), libsvm(&golden)).expect("rows");
    let model = boosted("xgboost_categories.json").display().to_string();
    let (csv, sparse) = (path(&scratch, "rows.csv"), path(&scratch, "rows.libsvm"));
    let named = ["--model", &model, "--label", "y", "--data"];
    let flags = ["--libsvm-index", "1", "--libsvm-absent", "missing"];
    let one = attacked(&[&named[..], &[&csv]].concat());
    let two = attacked(&[&named[..], &[&sparse], &flags].concat());
    assert_eq!(one["n"], 40);
    assert_eq!(one["correct"], 40, "labels are the library's decisions");
    for part in ["n", "correct", "robust", "points"] {
        assert_eq!(one[part], two[part], "{part}");
    }
    // What the file does not settle is asked for.
    let args = ["attack", "--norm", "linf", "--eps", "0.1", "--scale", "raw"];
    let ran = proofmark(&[&args[..], &named, &[&sparse]].concat());
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--libsvm-"), "{}", ran.stderr);
    // A dump is told where its margins start.
    let dump = boosted("xgboost_categories.dump.json").display().to_string();
    let told = ["--base-margin=0", "--objective", "binary:logistic"];
    let named = ["--model", &dump, "--label", "y", "--data", &sparse];
    let three = attacked(&[&named[..], &flags, &told].concat());
    assert_eq!(three["n"], 40);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
fn published_ensembles_decide_as_published() {
    // 472 of the first are right in doubles; the library compares and adds in f32.
    for (model, rows, index, right, n) in [
        ("diabetes_rf.json", "diabetes_scale0.test", "0", 474, 500),
        ("breast_cancer_robust.0008.json", "example_breast_cancer0.libsvm", "0", 100, 100),
    ] {
        let folder = Path::new("/work/shared/data/trees");
        let (model, rows) = (folder.join(model), folder.join(rows));
        if !model.exists() {
            eprintln!("SKIPPED: {} is not on this machine", model.display());
            return;
        }
        let (model, rows) = (model.display().to_string(), rows.display().to_string());
        let told = attacked(&[
            "--model",
            &model,
            "--data",
            &rows,
            "--label",
            "y",
            "--libsvm-index",
            index,
            "--libsvm-absent",
            "zero",
            "--base-margin=0",
            "--objective",
            "binary:logistic",
            "--suite",
            "noise",
        ]);
        assert_eq!((&told["n"], &told["correct"]), (&n.into(), &right.into()), "{model}");
    }
}

#[test]
fn init_finds_tree_files_and_takes_their_columns() {
    let scratch = Scratch::copy_of("credit");
    for entry in fs::read_dir(scratch.dir()).expect("folder") {
        fs::remove_file(entry.expect("entry").path()).expect("rm");
    }
    let golden = Golden::read("lightgbm_pandas", 40);
    let header = header("lightgbm_pandas");
    let table = golden.csv(&header, &[("y", golden.decided())]);
    fs::write(scratch.path("test.csv"), table).expect("rows");
    for (file, here) in [
        ("lightgbm_pandas.txt", "model.txt"),
        ("xgboost_categories.ubj", "other.ubj"),
        ("xgboost_categories.dump.json", "dump.json"),
    ] {
        fs::copy(boosted(file), scratch.path(here)).expect(file);
    }
    let dir = scratch.dir().display().to_string();
    let ran = proofmark(&["init", &dir, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("json");
    assert_eq!((&told["models"], &told["data"]), (&2.into(), &1.into()), "{told:#}");
    assert!(ran.stderr.contains("`dump.json` is a dump of XGBoost's trees"), "{}", ran.stderr);
    let text = fs::read_to_string(scratch.path("proofmark.toml")).expect("declaration");
    for line in ["path = \"model.txt\"", "kind = \"probability\"", "path = \"other.ubj\""] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
