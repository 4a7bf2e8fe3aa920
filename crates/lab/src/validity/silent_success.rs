//! Gate 9: did an attack pass a success and return something else?
//!
//! Owns the comparison of what the metered handle saw on the way with what was recorded. Every
//! crossing is judged at once, so a silent one is an attack that forgot to propose it, or one
//! that rounding to the deployed type takes back.

use super::{Finding, Trial};
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let attacked = trial.records.iter().filter(|r| r.attacked()).count();
    let silent: Vec<usize> = trial
        .records
        .iter()
        .filter(|r| {
            // A crossing under one budget that neither it nor a smaller one was broken for.
            r.point
                .runs
                .iter()
                .any(|run| r.robust_at(run.eps) && run.signs.iter().any(|s| s.crossed))
        })
        .map(|r| r.point.index as usize)
        .collect();
    if silent.is_empty() {
        return Ok(Finding::ok("every crossing seen on the way was judged and kept"));
    }
    let said = super::some_of(&silent, attacked);
    if silent.len() as f64 <= SILENT_SHARE * attacked as f64 && trial.case.space.rounded() {
        return Ok(Finding::ok(format!("crossed between deployed values only: {said}")));
    }
    let fix = if trial.case.space.rounded() {
        "the decision is crossed between deployed values: search them (suite with `coordinate`)"
    } else {
        "the attack must propose its best iterate, not its last"
    };
    Ok(Finding::warn(format!("crossed on the way, not broken: {said}"), fix))
}

/// Share of rows on a grid that may cross only between its points.
const SILENT_SHARE: f64 = 0.05;
