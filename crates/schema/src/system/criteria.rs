//! Reads `[criteria.<name>]` and `[declared."<threat>/<verb>"]`.
//!
//! Owns what holds within one criterion or statement. What holds between sections is in
//! `check`.

use super::diagnostic::nearest;
use super::parse::check_slug;
use super::reader::Section;
use super::{Bound, Criterion, Declared};
use crate::taxonomy::{ThreatClass, Verb};

/// Reads one criterion; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> Criterion {
    section.only(&KEYS);
    check_slug(section, "criterion");
    for (key, example) in [
        ("metric", "metric = \"accuracy\""),
        ("model", "model = \"<name of a model>\""),
        ("data", "data = \"test\""),
        ("confidence", "confidence = 0.95"),
        ("rationale", "rationale = \"<why this threshold fits>\""),
        ("approver", "approver = \"<who approved it>\""),
    ] {
        section.need(key, example);
    }
    let metrics: Vec<(&str, &str)> = METRICS.iter().map(|m| (*m, *m)).collect();
    let metric = section.choice("metric", &metrics).unwrap_or_default().to_owned();
    let criterion = Criterion {
        name: section.name().to_owned(),
        metric,
        model: section.text("model").unwrap_or_default(),
        data: section.text("data").unwrap_or_default(),
        threat: section.text("threat"),
        eps: section.number("eps"),
        fault: section.text("fault"),
        severity: section.whole("severity").map(|s| u8::try_from(s).unwrap_or(u8::MAX)),
        group: read_group(section),
        quantile: section.number("quantile"),
        bound: read_bound(section),
        confidence: section.number("confidence").unwrap_or(f64::NAN),
        rationale: section.text("rationale").unwrap_or_default(),
        approver: section.text("approver").unwrap_or_default(),
    };
    check_confidence(section, criterion.confidence);
    check_robust(section, &criterion.metric);
    check_fault(section, &criterion.metric);
    check_range(section, &criterion);
    check_quantile(section, &criterion);
    criterion
}

/// Reads one statement on a cell; `None` when the cell does not exist.
pub(super) fn read_declared(section: &Section<'_>) -> Option<(String, Declared)> {
    section.only(&["measure", "owner", "waived"]);
    let cell = section.name().to_owned();
    let cells: Vec<String> = ThreatClass::ALL
        .iter()
        .flat_map(|t| Verb::ALL.iter().map(move |v| format!("{}/{}", t.id(), v.id())))
        .collect();
    if !cells.contains(&cell) {
        let message = format!("`{cell}` is no cell of the matrix");
        let help = match nearest(&cell, cells.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `<threat>/<verb>`, e.g. `data-poisoning/prevent`".into(),
        };
        section.refuse_name("unknown-cell", message, "not known", help);
        return None;
    }
    if !section.has("waived") {
        section.need("measure", "measure = \"<what is done>\"");
    }
    section.need("owner", "owner = \"<who answers for it>\"");
    let declared = Declared {
        measure: section.text("measure").unwrap_or_default(),
        owner: section.text("owner").unwrap_or_default(),
        waived: section.text("waived"),
    };
    Some((cell, declared))
}

fn read_group(section: &Section<'_>) -> Option<(String, String)> {
    let pairs = section.pairs("group")?;
    if pairs.len() != 1 {
        let message = "a criterion is about one group";
        let help = "write one feature and its value, e.g. `group = { sex = \"female\" }`";
        section.refuse("group-count", "group", message, "not one group", help);
    }
    pairs.into_iter().next()
}

fn read_bound(section: &Section<'_>) -> Bound {
    let (least, most) = (section.has("at_least"), section.has("at_most"));
    if least && most {
        let message = format!("`{}` has both `at_least` and `at_most`", section.title());
        let help = "keep one; write a second criterion for the other";
        section.refuse("both-bounds", "at_most", message, "one of the two", help);
    }
    if !least && !most {
        section.need("at_least", "at_least = 0.60` or `at_most = 0.10");
    }
    match (section.number("at_least"), section.number("at_most")) {
        (Some(value), _) => Bound::AtLeast(value),
        (None, Some(value)) => Bound::AtMost(value),
        (None, None) => Bound::AtLeast(f64::NAN),
    }
}

fn check_confidence(section: &Section<'_>, confidence: f64) {
    if confidence <= 0.5 || confidence >= 1.0 {
        let message = format!("the confidence {confidence} is not between 0.5 and 1");
        let help = "write e.g. `confidence = 0.95`";
        section.refuse("confidence-outside", "confidence", message, "outside (0.5, 1)", help);
    }
}

fn check_robust(section: &Section<'_>, metric: &str) {
    if metric.is_empty() {
        return;
    }
    if metric.starts_with("robust_") {
        section.need("threat", "threat = \"<name of a threat>\"");
        section.need("eps", "eps = <one of the budgets of the threat>");
        return;
    }
    for key in ["threat", "eps"] {
        if section.has(key) {
            let message = format!("`{metric}` is measured without an attack");
            let help = format!("remove `{key}`, or write `metric = \"robust_accuracy\"`");
            section.refuse("threat-not-used", key, message, "not used", help);
        }
    }
}

/// A figure under a fault needs the fault, and the severity where it is of one severity.
fn check_fault(section: &Section<'_>, metric: &str) {
    if metric.is_empty() {
        return;
    }
    if FAULT_METRICS.contains(&metric) {
        section.need("fault", "fault = \"<name of a fault>\"");
    }
    if SEVERITY_METRICS.contains(&metric) {
        section.need("severity", "severity = <one of the severities of the fault, 1 to 5>");
    }
    for (key, of) in [("fault", &FAULT_METRICS[..]), ("severity", &SEVERITY_METRICS[..])] {
        if section.has(key) && !of.contains(&metric) {
            let message = format!("`{metric}` has no {key}");
            let help = format!("remove `{key}`, or write `metric = \"accuracy_under_fault\"`");
            section.refuse("fault-not-used", key, message, "not used", help);
        }
    }
}

fn check_range(section: &Section<'_>, criterion: &Criterion) {
    let (key, value) = match criterion.bound {
        Bound::AtLeast(value) => ("at_least", value),
        Bound::AtMost(value) => ("at_most", value),
    };
    if is_error(&criterion.metric) {
        if value < 0.0 {
            let message = format!("`{}` is never below 0", criterion.metric);
            let help = "write the largest error allowed, in the unit of the label";
            section.refuse("threshold-outside", key, message, "out of range", help);
        }
        return;
    }
    if RATIOS.contains(&criterion.metric.as_str()) {
        if value < 0.0 {
            let message = format!("`{}` is never below 0", criterion.metric);
            let help = "write a ratio: 1 is the clean model, 2 is twice as much";
            section.refuse("threshold-outside", key, message, "out of range", help);
        }
        return;
    }
    let lowest = if criterion.metric == "mcc" { -1.0 } else { 0.0 };
    if !criterion.metric.is_empty() && (value < lowest || value > 1.0) {
        let message =
            format!("`{}` lies between {lowest} and 1, never at {value}", criterion.metric);
        let help = "write a share, e.g. 0.6 for 60 %";
        section.refuse("threshold-outside", key, message, "out of range", help);
    }
}

fn check_quantile(section: &Section<'_>, criterion: &Criterion) {
    if criterion.metric == QUANTILE_ERROR {
        section.need("quantile", "quantile = 0.9");
    } else if section.has("quantile") && !criterion.metric.is_empty() {
        let message = format!("`{}` has no quantile", criterion.metric);
        let help = "remove it, or write `metric = \"quantile_error\"`";
        section.refuse("quantile-not-used", "quantile", message, "not used", help);
    }
}

/// Whether a metric is an error of a regression, in the unit of the label.
pub(super) fn is_error(metric: &str) -> bool {
    ["mae", "rmse", QUANTILE_ERROR].contains(&metric)
}

const QUANTILE_ERROR: &str = "quantile_error";
/// Metrics that a criterion can name.
pub(super) const METRICS: [&str; 16] = [
    "accuracy",
    "balanced_accuracy",
    "auc",
    "brier",
    "mcc",
    "mae",
    "rmse",
    QUANTILE_ERROR,
    "robust_accuracy",
    "robust_recall",
    ACCURACY_UNDER_FAULT,
    FLIPS_UNDER_FAULT,
    RELATIVE_ERROR,
    CORRUPTION_ERROR,
    SILENT_CORRUPTION,
    LATENCY_RATIO,
];
/// Metrics of one severity of a fault.
const SEVERITY_METRICS: [&str; 4] =
    [ACCURACY_UNDER_FAULT, FLIPS_UNDER_FAULT, RELATIVE_ERROR, SILENT_CORRUPTION];
/// Metrics that are measured under a fault.
const FAULT_METRICS: [&str; 6] = [
    ACCURACY_UNDER_FAULT,
    FLIPS_UNDER_FAULT,
    RELATIVE_ERROR,
    CORRUPTION_ERROR,
    SILENT_CORRUPTION,
    LATENCY_RATIO,
];
/// Ratios, without an upper end.
const RATIOS: [&str; 3] = [RELATIVE_ERROR, CORRUPTION_ERROR, LATENCY_RATIO];
const ACCURACY_UNDER_FAULT: &str = "accuracy_under_fault";
const FLIPS_UNDER_FAULT: &str = "decision_flips_under_fault";
const RELATIVE_ERROR: &str = "relative_error_under_fault";
const CORRUPTION_ERROR: &str = "corruption_error";
const SILENT_CORRUPTION: &str = "silent_corruption";
const LATENCY_RATIO: &str = "latency_ratio";
const KEYS: [&str; 14] = [
    "fault",
    "severity",
    "quantile",
    "metric",
    "model",
    "data",
    "threat",
    "eps",
    "group",
    "at_least",
    "at_most",
    "confidence",
    "rationale",
    "approver",
];
