//! Gate 12: a larger budget never does worse.
//!
//! Owns the comparison of the budgets' own runs, before anything was carried over. Where a
//! larger ball, which holds the smaller one, is searched with less success, the attack is weak.

use super::{Finding, Trial};
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    if trial.budgets.len() < 2 {
        return Ok(Finding::not_examined("there is one budget only"));
    }
    let own = |r: &crate::harness::RowRecord, at: usize| {
        r.point.runs.get(at).is_some_and(|run| run.broken)
    };
    let counts: Vec<usize> = (0..trial.budgets.len())
        .map(|at| trial.records.iter().filter(|r| own(r, at)).count())
        .collect();
    let falling = counts.windows(2).any(|w| w[1] < w[0]);
    let mut broken = 0;
    let mut lost: Vec<usize> = Vec::new();
    for record in trial.records {
        let runs: Vec<bool> = (0..trial.budgets.len()).map(|at| own(record, at)).collect();
        broken += usize::from(runs.iter().any(|b| *b));
        if runs.windows(2).any(|w| w[0] && !w[1]) {
            lost.push(record.point.index as usize);
        }
    }
    let said = format!("rows broken by each budget's own run: {counts:?}");
    if falling || lost.len() as f64 > LOST_SHARE * broken as f64 {
        return Ok(Finding::warn(
            format!("{said}; broken by a smaller budget only: {}", super::some_of(&lost, broken)),
            "the attack does not use its budget: raise steps and restarts, look for masking",
        ));
    }
    Ok(Finding::ok(format!("{said}; {} rows fell to a smaller budget only", lost.len())))
}

/// Share of the broken rows that a larger budget's own run may miss.
const LOST_SHARE: f64 = 0.05;
