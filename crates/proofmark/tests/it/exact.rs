//! Proofs from the command line: the exact search of trees, in `attack` and in `assess`, and
//! randomised smoothing.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Scratch, is_shared, proofmark};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/tests/golden/trees_");

fn attacked(args: &[&str]) -> Value {
    let ran = proofmark(&[&["attack", "--format", "json"][..], args].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("json")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn a_small_dump_gives_the_figures_of_an_independent_search() {
    let (model, rows) = (format!("{GOLDEN}model.json"), format!("{GOLDEN}rows.libsvm"));
    let golden: Value =
        serde_json::from_slice(&fs::read(format!("{GOLDEN}exact.json")).expect("golden")).unwrap();
    for norm in ["linf", "l1", "l2"] {
        let args = ["--model", &model, "--data", &rows, "--norm", norm, "--suite", "exact"];
        let report = attacked(&args);
        let points = report["points"].as_array().expect("points");
        let (mut right, mut sum) = (0, 0.0);
        for (at, point) in points.iter().enumerate() {
            let decided = &golden["decided"][at];
            assert_eq!(&point["decision_clean"], decided, "{norm}, row {at}");
            if &point["label"] != decided {
                assert_eq!(point["outcome"], "wrong");
                continue;
            }
            right += 1;
            let want = number(&golden[norm][at]);
            sum += want;
            let (lower, upper) =
                (number(&point["distance"]["lower"]), number(&point["distance"]["upper"]));
            assert!((lower - want).abs() <= 1e-12 * want, "{norm}, row {at}: {lower}, {want}");
            // The witness is what the engine's own type can hold next to it.
            assert!(upper >= lower && upper <= lower + 1e-5 * (1.0 + lower), "{upper} {lower}");
        }
        assert_eq!(report["correct"], right);
        let mean = number(&report["mean_distance"]);
        assert!((mean - sum / f64::from(right)).abs() < 1e-9, "{mean}");
        assert_eq!(report["exact"]["settled"], right);
        assert!(report["exact"]["arithmetic"].as_str().unwrap().starts_with("exact, f64 decimals"));
        assert_eq!(report["robust"].as_array().map(Vec::len), Some(0), "no budget was asked for");
    }
}

#[test]
fn budgets_bring_proved_shares_and_the_same_bytes_at_any_number_of_threads() {
    let (model, rows) = (format!("{GOLDEN}model.json"), format!("{GOLDEN}rows.libsvm"));
    let args = ["--model", &model, "--data", &rows, "--norm", "linf", "--suite", "exact"];
    let args = [&args[..], &["--eps", "0.1,0.5,1"]].concat();
    let one = attacked(&[&args[..], &["--threads", "1"]].concat());
    let four = attacked(&[&args[..], &["--threads", "4"]].concat());
    let same = |v: &Value| (v["points"].clone(), v["exact"].clone(), v["robust"].clone());
    assert_eq!(same(&one), same(&four));
    let points = one["points"].as_array().expect("points");
    let right = points.iter().filter(|p| p["outcome"] != "wrong");
    let lower: Vec<f64> = right.map(|p| number(&p["distance"]["lower"])).collect();
    for (at, exact) in
        one["robust"].as_array().unwrap().iter().zip(one["exact"]["robust"].as_array().unwrap())
    {
        let eps = number(&at["eps"]);
        let beyond = lower.iter().filter(|d| **d > eps).count() as f64;
        let proved = number(&at["bracket"]["proved"]);
        assert!((proved - beyond / points.len() as f64).abs() < 1e-12, "{at}");
        assert!(proved <= number(&at["bracket"]["attacked"]), "{at}");
        assert_eq!(exact["proved"], lower.iter().filter(|d| **d >= eps).count());
        assert_eq!(exact["open"], 0);
    }
    let ran = proofmark(&[&["attack"][..], &args].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for word in ["exact distance", "right for every change nearer", "deployed engine", "infimum"] {
        assert!(ran.stdout.contains(word), "`{word}` is missing:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.to_lowercase().contains(" robust"), "{}", ran.stdout);
}

/// The published figures, where the models lie.
#[test]
fn the_forest_of_the_literature_gives_its_figures_without_more_arguments() {
    let folder = Path::new("/work/shared/data/trees");
    let cases = [
        ("diabetes_rf.json", "diabetes_scale0.test", 500, 472, 0.116700),
        ("breast_cancer_robust.0008.json", "example_breast_cancer0.libsvm", 100, 100, 0.396111),
    ];
    for (model, data, n, correct, mean) in cases {
        let (model, data) = (folder.join(model), folder.join(data));
        if !is_shared(&model) || !is_shared(&data) {
            continue;
        }
        let (model, data) = (model.display().to_string(), data.display().to_string());
        let args = ["--model", &model, "--data", &data, "--norm", "linf", "--suite", "exact"];
        let report = attacked(&args);
        assert_eq!((&report["n"], &report["correct"]), (&n.into(), &correct.into()));
        assert!((number(&report["mean_distance"]) - mean).abs() < 5e-7, "{model}");
    }
}

#[test]
fn a_network_is_refused_by_name() {
    let scratch = Scratch::copy_of("credit");
    let (model, data) = (scratch.path("mlp.onnx"), scratch.path("test.csv"));
    let (model, data) = (model.display().to_string(), data.display().to_string());
    let args = ["attack", "--model", &model, "--data", &data, "--label", "class"];
    let ran = proofmark(&[&args[..], &["--norm", "linf", "--suite", "exact"]].concat());
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("trees"), "{}", ran.stderr);
}

/// The declared threat on the credit trees, whole numbers within bounds: what exhaustive trial
/// breaks is broken, and all other rows are proved.
#[test]
fn assess_proves_what_exhaustive_trial_could_not_break() {
    let scratch = Scratch::copy_of("credit");
    scratch.edit("proofmark.toml", |text| {
        let (before, after) = text.split_once("[threats.enquirer]").expect("the threat");
        format!("{before}[threats.enquirer]\nsuite = \"exact\"{after}")
    });
    let (code, assessed) = scratch.json(&["assess"]);
    assert!(code < 2, "{assessed:#}");
    let pack = scratch.path("pack");
    scratch.json(&["dossier", "--out", &pack.display().to_string()]);
    let report = report_of(&pack, "gbm");
    let truth =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/python/credit_exhaustive.json");
    let truth: Value = serde_json::from_slice(&fs::read(truth).expect("golden")).expect("json");
    let budgets = truth["models"]["gbm"]["budgets"].as_array().expect("budgets");
    for (at, budget) in report["robust"].as_array().expect("robust").iter().zip(budgets) {
        let eps = number(&budget["eps"]);
        assert_eq!(number(&at["eps"]), eps);
        let bracket = &at["bracket"];
        assert_eq!(bracket["proved"], bracket["attacked"], "nothing is left open at {eps}");
        let points = report["points"].as_array().expect("points");
        let within = |p: &&Value| {
            let upper = p["distance"]["upper"].as_f64();
            p["outcome"] != "wrong" && upper.is_some_and(|d| d <= eps)
        };
        let broken = points.iter().filter(within).count();
        assert_eq!(broken, budget["broken"].as_object().expect("rows").len(), "{eps}");
    }
}

fn report_of(pack: &Path, model: &str) -> Value {
    let mut open = vec![pack.join("artefacts")];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(fs::read_dir(&at).expect("folder").map(|e| e.expect("entry").path()));
            continue;
        }
        let value = serde_json::from_slice::<Value>(&fs::read(&at).expect("file"));
        if let Ok(value) = value
            && value["format"] == "proofmark.attack/1"
            && value["model"] == model
        {
            return value;
        }
    }
    panic!("no attack report of {model}");
}

#[test]
fn smoothing_speaks_of_the_smoothed_classifier_only() {
    let scratch = Scratch::copy_of("credit");
    let (model, data) = (scratch.path("gbm.onnx"), scratch.path("test.csv"));
    let (model, data) = (model.display().to_string(), data.display().to_string());
    let args = ["--model", &model, "--data", &data, "--label", "class", "--norm", "l2"];
    let more = ["--scale", "bounds", "--suite", "smoothing", "--sigma", "0.1", "--limit", "40"];
    let args = [&args[..], &more, &["--samples", "200"]].concat();
    let report = attacked(&args);
    assert_eq!(report["format"], "proofmark.smoothing/1");
    assert_eq!(report["queries"], 40 * 301);
    let points = report["points"].as_array().expect("points");
    assert!(points.iter().all(|p| number(&p["radius"]) < 0.1 * 2.0), "{points:#?}");
    assert_eq!(report, attacked(&args), "the same seed gives the same certificates");
    let ran = proofmark(&[&["attack"][..], &args].concat());
    assert!(ran.stdout.contains("smoothed classifier"), "{}", ran.stdout);
    let mut other = args.clone();
    other[7] = "linf";
    let ran = proofmark(&[&["attack"][..], &other].concat());
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("l2"), "{}", ran.stderr);
}
