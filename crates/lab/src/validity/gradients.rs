//! Gate 7: zero or non-finite gradients, at every step.
//!
//! Owns the share of surviving rows on which the gradient attacks were blind. Unavailable
//! gradients are the first sign of masking: survival then says nothing.

use proofmark_schema::attack::Signs;
use proofmark_schema::system::Access;

use super::{Finding, Trial};
use crate::harness::{HarnessError, RowRecord};

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let steps = trial.records.iter().flat_map(signs);
    let (mut asked, mut zero, mut bad) = (0, 0, 0);
    for sign in steps {
        asked += sign.gradients;
        zero += sign.zero_gradients;
        bad += sign.non_finite_gradients;
    }
    if asked == 0 {
        let why = trial.case.oracle.gradient().err();
        let why = why.unwrap_or_else(|| "the access or suite has no gradient attack".into());
        if trial.case.access == Access::WhiteBox && trial.case.oracle.stepped() {
            return Ok(Finding::warn(
                format!("gradients are masked by steps: {why}"),
                "replace the steps (Sign, rounding, comparisons) by smooth operators in a copy \
                 and attack that, or declare the access that an attacker has",
            ));
        }
        return Ok(Finding::not_examined(format!("no gradient was asked for: {why}")));
    }
    // Rows that survived some budget, with the steps taken under it.
    let standing: Vec<&RowRecord> = trial
        .records
        .iter()
        .filter(|r| r.point.runs.iter().any(|run| r.robust_at(run.eps)))
        .collect();
    let blind: Vec<usize> =
        standing.iter().filter(|r| is_blind(r)).map(|r| r.point.index as usize).collect();
    let said = format!(
        "of {asked} gradients {:.1} % were zero, {:.1} % not finite",
        100.0 * zero as f64 / asked as f64,
        100.0 * bad as f64 / asked as f64
    );
    if blind.len() as f64 > BLIND_SHARE * standing.len() as f64 {
        return Ok(Finding::warn(
            format!(
                "{said}; survivors without a usable gradient: {}",
                super::some_of(&blind, standing.len())
            ),
            "gradients are masked: export logits, or judge by the black-box attacks",
        ));
    }
    Ok(Finding::ok(said))
}

/// A row is blind when, under a budget that it survived, every gradient attack had no usable
/// gradient in most of its steps.
fn is_blind(record: &RowRecord) -> bool {
    let survived = record.point.runs.iter().filter(|run| record.robust_at(run.eps));
    let unusable = |s: &Signs| 2 * (s.zero_gradients + s.non_finite_gradients) > s.gradients;
    survived.into_iter().any(|run| {
        let mut asked = run.signs.iter().filter(|s| s.gradients > 0).peekable();
        asked.peek().is_some() && asked.all(unusable)
    })
}

fn signs(record: &RowRecord) -> impl Iterator<Item = &Signs> {
    record.point.runs.iter().flat_map(|r| &r.signs)
}

/// Share of survivors that may be blind.
const BLIND_SHARE: f64 = 0.05;
