//! Gate 9: did an attack pass a success and return something else?
//!
//! Owns the comparison of what the metered handle saw on the way with what was recorded. Every
//! crossing is judged at once, so a silent one is an attack that forgot to propose it, or one
//! that rounding to the deployed type takes back. A candidate to which the model answers NaN is
//! no success, but the row that it was made from has not stood either.

use super::{Finding, Trial};
use crate::harness::{HarnessError, RowRecord};

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let attacked = trial.records.iter().filter(|r| r.attacked()).count();
    let unanswered = |r: &&RowRecord| {
        r.point
            .runs
            .iter()
            .any(|run| r.robust_at(run.eps) && run.signs.iter().any(|s| s.nan_scores > 0))
    };
    let nan: Vec<usize> =
        trial.records.iter().filter(unanswered).map(|r| r.point.index as usize).collect();
    if !nan.is_empty() {
        return Ok(Finding::warn(
            format!(
                "the model answers NaN inside the budget of rows that count as standing: {}",
                super::some_of(&nan, attacked)
            ),
            "make the model answer every input of its declared domain, or narrow the bounds",
        ));
    }
    // A crossing under one budget that neither it nor a smaller one was broken for.
    let crossed = |r: &RowRecord| {
        r.point.runs.iter().any(|run| r.robust_at(run.eps) && run.signs.iter().any(|s| s.crossed))
    };
    let silent: Vec<&RowRecord> = trial.records.iter().filter(|r| crossed(r)).collect();
    if silent.is_empty() {
        return Ok(Finding::ok("every crossing seen on the way was judged and kept"));
    }
    let rows: Vec<usize> = silent.iter().map(|r| r.point.index as usize).collect();
    let said = super::some_of(&rows, attacked);
    if !trial.case.space.rounded() {
        return Ok(Finding::warn(
            format!("crossed on the way, not broken: {said}"),
            "the attack must propose its best iterate, not its last",
        ));
    }
    let searched = silent
        .iter()
        .all(|r| r.point.runs.iter().flat_map(|run| &run.signs).any(|s| s.attack == GRID_SEARCH));
    if searched || silent.len() as f64 <= SILENT_SHARE * attacked as f64 {
        let search = if searched { "; a search over deployed values found none" } else { "" };
        return Ok(Finding::ok(format!("crossed between deployed values only: {said}{search}")));
    }
    Ok(Finding::warn(
        format!("crossed between deployed values, not broken: {said}"),
        "search the deployed values (suite with `coordinate`)",
    ))
}

/// The attack that walks from deployed value to deployed value.
const GRID_SEARCH: &str = "coordinate";
/// Share of rows on a grid that may cross only between its points.
const SILENT_SHARE: f64 = 0.05;
