//! Reads `[models.<name>]`.
//!
//! Owns what holds within one model. What holds between sections is in `check`.

use super::parse::{check_slug, read_path};
use super::reader::Section;
use super::{Decision, InputSpec, Layout, ModelAsset, ModelRole, OutputKind, OutputSpec};

/// Reads one model; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> ModelAsset {
    section.only(&["path", "role", "output", "decision", "expected", "expected_data", "input"]);
    check_slug(section, "model");
    section.need("path", "path = \"model.onnx\"");
    section.need("role", "role = \"primary\"");
    section.need("output", "output = { kind = \"probability\" }");
    let output = section.section("output").map(|s| read_output(&s));
    let kind = output.as_ref().and_then(|o| o.1);
    let model = ModelAsset {
        name: section.name().to_owned(),
        path: read_path(section, "path", &[".onnx"]).unwrap_or_default(),
        role: section.choice("role", &ROLES).unwrap_or(ModelRole::Candidate),
        output: output.map_or_else(neutral, |o| o.0),
        decision: read_decision(section, kind),
        expected: read_path(section, "expected", &[".npy"]),
        expected_data: section.text("expected_data"),
        input: section.section("input").map(|s| read_input(&s)).unwrap_or_default(),
    };
    if section.has("expected_data") && !section.has("expected") {
        let message =
            "`expected_data` says which rows `expected` holds, and there is no `expected`";
        let help = "add `expected = \"expected.npy\"`, or remove `expected_data`";
        section.refuse("expected-missing", "expected_data", message, "of nothing", help);
    }
    model
}

fn neutral() -> OutputSpec {
    OutputSpec { name: None, kind: OutputKind::Score, classes: Vec::new() }
}

fn read_output(section: &Section<'_>) -> (OutputSpec, Option<OutputKind>) {
    section.only(&["name", "kind", "classes"]);
    section.need("kind", "kind = \"probability\"");
    let kind = section.choice("kind", &OUTPUTS);
    let classes = section.texts("classes").unwrap_or_default();
    section.refuse_repeats("classes", &classes);
    let name = section.text("name");
    (OutputSpec { name, kind: kind.unwrap_or(OutputKind::Score), classes }, kind)
}

fn read_decision(section: &Section<'_>, kind: Option<OutputKind>) -> Decision {
    if !section.has("decision") {
        if kind != Some(OutputKind::Label) {
            section.need(
                "decision",
                "decision = \"argmax\"` or `decision = { class = \"bad\", at = 0.5 }",
            );
        }
        return Decision::Argmax;
    }
    if section.is_text("decision") {
        section.choice("decision", &[("argmax", ())]);
        return Decision::Argmax;
    }
    let Some(inner) = section.section("decision") else { return Decision::Argmax };
    inner.only(&["class", "at"]);
    inner.need("class", "class = \"bad\"");
    inner.need("at", "at = 0.5");
    let (class, at) = (inner.text("class"), inner.number("at"));
    if kind == Some(OutputKind::Label) {
        let message = "an output that holds labels has decided already";
        let help = "write `decision = \"argmax\"`, or judge the probability output";
        section.refuse("cutoff-on-label", "decision", message, "no score to cut", help);
    }
    let probability = matches!(kind, Some(OutputKind::Probability | OutputKind::Logit));
    if let Some(at) = at.filter(|at| probability && (*at <= 0.0 || *at >= 1.0)) {
        let message = format!("the cut-off {at} is no probability between 0 and 1");
        let help = if kind == Some(OutputKind::Logit) {
            "the cut-off is a probability even where the output is a logit: 0.5 is logit 0"
        } else {
            "write a probability, e.g. `at = 0.5`"
        };
        inner.refuse("cutoff-outside", "at", message, "outside (0, 1)", help);
    }
    match (class, at) {
        (Some(class), Some(at)) => Decision::Cutoff { class, at },
        _ => Decision::Argmax,
    }
}

fn read_input(section: &Section<'_>) -> InputSpec {
    section.only(&["columns", "layout", "range", "mean", "std"]);
    let input = InputSpec {
        columns: section.texts("columns").unwrap_or_default(),
        layout: section.choice("layout", &LAYOUTS).unwrap_or_default(),
        range: section.pair("range"),
        mean: section.numbers("mean").unwrap_or_default(),
        std: section.numbers("std").unwrap_or_default(),
    };
    section.refuse_repeats("columns", &input.columns);
    if input.range.is_some_and(|[lower, upper]| lower >= upper) {
        let message = "the input range is not lowest, highest";
        let help = "write e.g. `range = [0, 1]`";
        section.refuse("bounds-reversed", "range", message, "not ascending", help);
    }
    if input.std.iter().any(|s| *s <= 0.0) {
        let message = "a standard deviation is positive";
        let help = "write the values that the training code divided by";
        section.refuse("bad-std", "std", message, "not positive", help);
    }
    input
}

const ROLES: [(&str, ModelRole); 3] = [
    ("primary", ModelRole::Primary),
    ("backup", ModelRole::Backup),
    ("candidate", ModelRole::Candidate),
];
const OUTPUTS: [(&str, OutputKind); 4] = [
    ("probability", OutputKind::Probability),
    ("logit", OutputKind::Logit),
    ("score", OutputKind::Score),
    ("label", OutputKind::Label),
];
const LAYOUTS: [(&str, Layout); 2] = [("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)];
