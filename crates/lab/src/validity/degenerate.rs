//! Gate 16: does the model decide at all?
//!
//! Owns the histogram of decisions. A model that always says the same is perfectly robust and
//! worth nothing: refused.

use super::{Finding, Setup};
use crate::oracle::OracleError;
use crate::stats::Confusion;

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    if let Some(targets) = setup.targets {
        return Ok(super::numbers::varies(setup, targets));
    }
    let classes = setup.clean.classes();
    let confusion = Confusion::of(classes, setup.labels, setup.clean.decisions());
    let n = confusion.n();
    let name = |c: usize| setup.classes.get(c).map_or("?", String::as_str);
    let parts: Vec<String> =
        (0..classes).map(|c| format!("{} {}", name(c), confusion.decided(c))).collect();
    let histogram = format!("decisions: {}", parts.join(", "));
    let labels = (0..classes).filter(|&c| confusion.labelled(c) > 0).count();
    let top = (0..classes).map(|c| confusion.decided(c)).max().unwrap_or(0);
    if labels < 2 {
        return Ok(Finding::warn(
            format!("{histogram}; only one class occurs among the labels"),
            "declare data in which every class occurs",
        ));
    }
    let same = top as f64 >= SAME * n as f64;
    let balanced = confusion.balanced_accuracy().unwrap_or(0.0);
    let mcc = confusion.mcc();
    let beside = format!("balanced accuracy {balanced:.3}, MCC {mcc:.3}");
    let rare = confusion.majority().1 as f64 >= SAME * n as f64;
    if (same && !rare) || top == n {
        return Ok(Finding::refuse(
            format!("the model is degenerate: {histogram}; {beside}"),
            "check the cut-off, the class order and the scale of the inputs",
        ));
    }
    if mcc <= 0.0 {
        return Ok(Finding::warn(
            format!("decisions do not go with the labels: {histogram}; {beside}"),
            "check the cut-off and the class order",
        ));
    }
    Ok(Finding::ok(format!("{histogram}; {beside}")))
}

/// Share of rows decided alike from which a model counts as constant.
const SAME: f64 = 0.99;
