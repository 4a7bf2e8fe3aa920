//! Reads `[models.<name>]`.
//!
//! Owns what holds within one model. What holds between sections is in `check`.

use super::parse::{check_slug, read_path};
use super::reader::Section;
use super::{
    Decision, DumpSpec, InputSpec, Layout, ModelAsset, ModelRole, OutputKind, OutputSpec,
    SeriesLayout,
};

/// Reads one model; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> ModelAsset {
    section.only(&[
        "path",
        "role",
        "output",
        "decision",
        "expected",
        "expected_data",
        "input",
        "base_margin",
        "objective",
        "classes",
    ]);
    check_slug(section, "model");
    section.need("path", "path = \"model.onnx\"");
    section.need("role", "role = \"primary\"");
    section.need("output", "output = { kind = \"probability\" }");
    let output = section.section("output").map(|s| read_output(&s));
    let kind = output.as_ref().and_then(|o| o.1);
    let model = ModelAsset {
        name: section.name().to_owned(),
        path: read_path(section, "path", &ENDINGS).unwrap_or_default(),
        role: section.choice("role", &ROLES).unwrap_or(ModelRole::Candidate),
        output: output.map_or_else(neutral, |o| o.0),
        decision: read_decision(section, kind),
        expected: read_path(section, "expected", &[".npy"]),
        expected_data: section.text("expected_data"),
        input: section.section("input").map(|s| read_input(&s)).unwrap_or_default(),
        dump: read_dump(section),
    };
    if section.has("expected_data") && !section.has("expected") {
        let message =
            "`expected_data` says which rows `expected` holds, and there is no `expected`";
        let help = "add `expected = \"expected.npy\"`, or remove `expected_data`";
        section.refuse("expected-missing", "expected_data", message, "of nothing", help);
    }
    model
}

/// What a dump of trees leaves open; whether the file is one is seen when it is read.
fn read_dump(section: &Section<'_>) -> DumpSpec {
    let dump = DumpSpec {
        base_margin: match section.count("base_margin") {
            Some(_) => section.numbers("base_margin").unwrap_or_default(),
            None => section.number("base_margin").into_iter().collect(),
        },
        objective: section.text("objective"),
        classes: section.whole("classes"),
    };
    let keys = ["base_margin", "objective", "classes"];
    if let Some(key) = keys.iter().find(|key| section.has(key))
        && let Some(path) = section.text("path").filter(|p| !p.to_lowercase().ends_with(".json"))
    {
        let message = format!("`{key}` is what a dump of trees leaves open, and `{path}` is none");
        let help = "remove it; only a dump of XGBoost's trees (`.json`) needs it";
        section.refuse("not-a-dump", key, message, "said by the file itself", help);
    }
    if dump.classes.is_some_and(|n| !CLASSES.contains(&n)) {
        let message = "`classes` is the number of classes that a dump of trees decides between";
        let help = format!("write a number from {} to {}", CLASSES.start(), CLASSES.end());
        section.refuse("classes-out-of-range", "classes", message, "out of range", help);
    }
    dump
}

/// Files that hold models: ONNX; XGBoost (`.json`, `.ubj`), LightGBM (`.txt`), CatBoost (`.json`).
const ENDINGS: [&str; 5] = [".onnx", ".json", ".ubj", ".txt", ".model"];
/// Classes of a dump: as many as a classifier in use has.
const CLASSES: std::ops::RangeInclusive<u64> = 2..=65_536;

fn neutral() -> OutputSpec {
    OutputSpec { name: None, kind: OutputKind::Score, classes: Vec::new(), column: None }
}

fn read_output(section: &Section<'_>) -> (OutputSpec, Option<OutputKind>) {
    section.only(&["name", "kind", "classes", "column"]);
    section.need("kind", "kind = \"probability\"");
    let kind = section.choice("kind", &OUTPUTS);
    let classes = section.texts("classes").unwrap_or_default();
    section.refuse_repeats("classes", &classes);
    let name = section.text("name");
    let column = section.whole("column").and_then(|n| usize::try_from(n).ok());
    if kind == Some(OutputKind::Value) && section.has("classes") {
        let message = "an output that is a number has no classes";
        section.refuse("classes-of-number", "classes", message, "not for a value", "remove it");
    }
    (OutputSpec { name, kind: kind.unwrap_or(OutputKind::Score), classes, column }, kind)
}

fn read_decision(section: &Section<'_>, kind: Option<OutputKind>) -> Decision {
    if kind == Some(OutputKind::Value) {
        if section.has("decision") {
            let message = "a model that answers with a number decides nothing";
            let help = "remove `decision`; a threat's `tolerance` says when a shift counts";
            section.refuse("decision-of-value", "decision", message, "not for a value", help);
        }
        return Decision::Value;
    }
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
    let layout = section.choice("layout", &LAYOUTS);
    let input = InputSpec {
        columns: section.texts("columns").unwrap_or_default(),
        layout: layout.and_then(|l| l.0).unwrap_or_default(),
        series: layout.and_then(|l| l.1),
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
const OUTPUTS: [(&str, OutputKind); 5] = [
    ("probability", OutputKind::Probability),
    ("logit", OutputKind::Logit),
    ("score", OutputKind::Score),
    ("label", OutputKind::Label),
    ("value", OutputKind::Value),
];
/// The axis order of images, or of series.
type AnyLayout = (Option<Layout>, Option<SeriesLayout>);

const LAYOUTS: [(&str, AnyLayout); 4] = [
    ("nchw", (Some(Layout::Nchw), None)),
    ("nhwc", (Some(Layout::Nhwc), None)),
    ("steps-channels", (None, Some(SeriesLayout::StepsChannels))),
    ("channels-steps", (None, Some(SeriesLayout::ChannelsSteps))),
];
