//! A declared regression from the check to the replay: errors with intervals, a shift of the
//! answer under attack, verdicts, heads.
//!
//! Models and data: `tests/regression/make.py`.

use serde_json::Value;

use crate::schemas::{Schemas, id_of};
use crate::support::{Ran, Scratch, proofmark};

fn progression() -> Scratch {
    Scratch::copy_of("../crates/proofmark/tests/regression")
}

/// The same, small enough for a debug build: fewer rows, no tree model.
fn small() -> Scratch {
    let scratch = progression();
    scratch.edit("proofmark.toml", |text| {
        let (before, after) = text.split_once("[models.trees]").expect("trees");
        let (_, rest) = after.split_once("[threats.patient]").expect("threat");
        let text = format!("{before}[threats.patient]{rest}");
        text.replacen("quantiles = [0.5, 0.9]", "quantiles = [0.5, 0.9]\nlimit = 60", 1)
    });
    scratch
}

fn state<'a>(document: &'a Value, criterion: &str) -> &'a str {
    let verdicts = document["verdicts"].as_array().expect("verdicts");
    let found = verdicts.iter().find(|v| v["criterion"]["name"] == criterion);
    found.unwrap_or_else(|| panic!("no `{criterion}`"))["state"].as_str().expect("state")
}

#[test]
fn a_regression_is_checked_assessed_packed_verified_and_computed_again() {
    let scratch = small();
    let checked = scratch.run(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let (code, document) = scratch.json(&["assess"]);
    assert_eq!(code, 1, "a criterion failed: {document}");
    assert_eq!(state(&document, "error"), "pass");
    assert_eq!(state(&document, "outliers"), "fail");
    let again = scratch.run(&["replay", "latest", "--full"]);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    let out = scratch.path("dossier").display().to_string();
    let dossier = scratch.run(&["dossier", "--out", &out]);
    assert_eq!(dossier.code, 0, "{}", dossier.stderr);
    let verified = proofmark(&["verify", &out]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    bounds_are_one_sided(&scratch, &document);
    let page = std::fs::read_to_string(scratch.path("dossier/report.html"))
        .or_else(|_| std::fs::read_to_string(scratch.path("dossier/index.html")))
        .expect("a page");
    for word in ["mean absolute error", "points", "Largest shift", "lower bound"] {
        assert!(page.contains(word), "the report shows `{word}`");
    }
}

/// A verdict rests on bounds at its own confidence, which were measured and signed beside the
/// two-sided interval and lie inside it.
fn bounds_are_one_sided(scratch: &Scratch, document: &Value) {
    let bytes = std::fs::read(scratch.path("dossier/data/measurements.json")).expect("figures");
    let outcomes: Vec<Value> = serde_json::from_slice(&bytes).expect("json");
    let figures = outcomes.iter().flat_map(|o| o["measurements"].as_array().expect("figures"));
    let (schemas, mut judged) = (Schemas::committed(), 0);
    for figure in figures {
        let id = id_of(figure["format"].as_str().expect("format")).expect("schema");
        assert_eq!(schemas.faults(&id, figure), [""; 0], "{}", figure["id"]);
        let named =
            |v: &&Value| v["measurement"] == figure["id"] && v["criterion"]["eps"].is_null();
        let verdicts = document["verdicts"].as_array().expect("verdicts");
        let Some(verdict) = verdicts.iter().find(named) else { continue };
        let (of, quantity) =
            (|v: &Value, key: &str| v[key].as_f64().expect("number"), &figure["quantity"]);
        let bounds = &quantity["one_sided"][0];
        assert_eq!((of(bounds, "confidence"), of(quantity, "confidence")), (0.95, 0.95));
        for key in ["lower", "upper"] {
            assert_eq!(of(bounds, key), of(verdict, key), "{}", figure["id"]);
        }
        assert!(of(quantity, "lower") <= of(bounds, "lower"), "{quantity:#}");
        assert!(of(bounds, "upper") <= of(quantity, "upper"), "{quantity:#}");
        judged += 1;
    }
    assert_eq!(judged, 3, "mae, a quantile and the root of the mean square");
}

#[test]
fn an_attack_without_a_declaration_says_which_shift_counts() {
    let scratch = progression();
    let path = |name: &str| scratch.path(name).display().to_string();
    let attack = |model: &str, more: &[&str]| {
        let (model, data) = (path(model), path("test.csv"));
        let base = ["attack", "--model", &model, "--data", &data, "--label", "progression"];
        let rest = ["--norm", "linf", "--eps", "0.02,0.1", "--scale", "bounds", "--limit", "40"];
        let moved = ["--mutable", "bmi,bp", "--format", "json"];
        proofmark(&[&base[..], &rest, &moved, more].concat())
    };
    let json = |ran: &Ran| -> Value {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        serde_json::from_str(&ran.stdout).expect("json")
    };
    let up = ["--tolerance", "20", "--goal", "up", "--unit", "points"];
    let report = json(&attack("linear.onnx", &up));
    assert_eq!(report["decision"], "the answer lies at most 20 points above the clean answer");
    assert_eq!(report["classes"], serde_json::json!(["within", "beyond"]));
    let (mut broken, mut stood) = (0, 0);
    for point in report["points"].as_array().expect("points") {
        let shift = point["shift"].as_f64();
        match point["outcome"].as_str().expect("outcome") {
            "broken" => broken += usize::from(shift.expect("shift") > 20.0),
            "survived" => stood += usize::from(shift.expect("shift") <= 20.0),
            other => assert_eq!((other, shift), ("wrong", None)),
        }
    }
    let at = |i: usize| report["robust"][i]["k_robust"].as_u64().expect("rows") as usize;
    let attackable = report["attackable"].as_u64().expect("rows") as usize;
    assert_eq!((at(1), attackable - at(1)), (stood, broken), "{report:#}");
    assert!(at(0) > at(1) && broken > 0, "{report:#}");

    // One column of three is the same line; which, must be said.
    let heads = attack("heads.onnx", &[&up[..], &["--output-column", "1"]].concat());
    assert_eq!(json(&heads)["robust"], report["robust"]);
    let open = attack("heads.onnx", &up);
    assert_eq!(open.code, 2);
    assert!(open.stderr.contains("`column = 0` to `column = 2`"), "{}", open.stderr);

    let share = ["--tolerance", "10%", "--tolerance-from", "label", "--suite", "noise"];
    let said = json(&attack("linear.onnx", &share))["decision"].to_string();
    assert!(said.contains("at most a share of 0.1 of it away from the label"), "{said}");

    let refused: [(&str, &[&str], &str); 7] = [
        ("no tolerance", &[], "this is a regression"),
        ("a number, no tolerance", &["--output-kind", "value"], "which shift of the answer"),
        ("a way, no tolerance", &["--classes", "a,b", "--goal", "up"], "`up` is a direction"),
        ("a unit, no tolerance", &["--unit", "points"], "`--unit` is about a label"),
        ("classes", &["--tolerance", "20", "--goal", "a:b"], "`a:b` is no direction"),
        ("a cut-off", &["--tolerance", "20", "--decision", "a@0.5"], "`--decision` is about"),
        ("nothing", &["--tolerance", "0%"], "a positive number"),
    ];
    for (name, more, words) in refused {
        let ran = attack("linear.onnx", more);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
    }
}

#[test]
fn heads_are_chosen_and_wrong_ones_are_told() {
    let heads = |column: &str| {
        let scratch = small();
        scratch.edit("proofmark.toml", |text| {
            text.replacen("path = \"linear.onnx\"", "path = \"heads.onnx\"", 1).replacen(
                "output = { kind = \"value\" }",
                &format!("output = {{ kind = \"value\"{column} }}"),
                1,
            )
        });
        scratch.run(&["check"])
    };
    let right = heads(", column = 1");
    assert_eq!(right.code, 0, "{}", right.stderr);
    let open = heads("");
    assert_eq!(open.code, 2);
    assert!(open.stderr.contains("choose one: `column = 0` to `column = 2`"), "{}", open.stderr);
    let outside = heads(", column = 3");
    assert_eq!(outside.code, 2);
    assert!(outside.stderr.contains("no column 3"), "{}", outside.stderr);
}

#[test]
fn a_model_on_another_scale_is_refused_with_the_line_between() {
    let scratch = small();
    scratch.edit("proofmark.toml", |text| {
        // Column 0 answers with twice the label; without `expected` only the labels can tell.
        let text = text.replacen("path = \"linear.onnx\"", "path = \"heads.onnx\"", 1);
        text.replacen(
            "output = { kind = \"value\" }",
            "output = { kind = \"value\", column = 0 }",
            1,
        )
        .replacen("expected = \"expected_linear.npy\"\n", "", 1)
    });
    let (code, document) = scratch.json(&["assess"]);
    assert_eq!(state(&document, "error"), "refused", "{document}");
    // Another model's criterion is left open, which is told before what was refused.
    assert_eq!(code, 1);
    assert_eq!(document["complete"], false);
    assert!(document.to_string().contains("on another scale"), "{document}");
}

#[test]
fn a_budget_below_one_whole_step_is_refused_not_passed() {
    let scratch = small();
    scratch.edit("proofmark.toml", |text| {
        // Only a whole number is left to move, by at most 0.7 of one.
        let text = text.replacen("bounds = [17, 43]\nmutable = true", "bounds = [17, 43]", 1);
        let text = text.replacen("bounds = [60, 135]\nmutable = true", "bounds = [60, 135]", 1);
        text.replacen("eps = [0.02, 0.1]", "eps = [0.01]", 1).replacen(
            "eps = 0.1\nat_least = 0.05",
            "eps = 0.01\nat_least = 0.05",
            1,
        )
    });
    let (code, document) = scratch.json(&["assess"]);
    assert_eq!(state(&document, "steady"), "missing", "{document:#}");
    assert!(document.to_string().contains("moves nothing"), "{document:#}");
    assert_ne!(code, 0);
}
