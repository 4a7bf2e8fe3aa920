//! A declared regression from the check to the replay: errors with intervals, a shift of the
//! answer under attack, verdicts, heads.
//!
//! Models and data: `tests/regression/make.py`.

use serde_json::Value;

use crate::support::Scratch;

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
    let page = std::fs::read_to_string(scratch.path("dossier/report.html"))
        .or_else(|_| std::fs::read_to_string(scratch.path("dossier/index.html")))
        .expect("a page");
    for word in ["mean absolute error", "points", "Largest shift", "lower bound"] {
        assert!(page.contains(word), "the report shows `{word}`");
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
