//! Gate 10: do more steps and restarts change the answer?
//!
//! Owns the second run on a sample of survivors with both doubled. Rows that fall there are
//! reported and not counted: the figure must not depend on which rows were sampled.

use super::{Finding, Trial};
use crate::evasion::Attack;
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let harder: Vec<Box<dyn Attack>> = trial
        .suite
        .attacks()
        .iter()
        .filter(|a| trial.case.admits(a.as_ref()).is_ok())
        .filter_map(|a| a.harder())
        .collect();
    if harder.is_empty() {
        return Ok(Finding::not_examined("no attack of the suite has steps and restarts"));
    }
    let eps = trial.telling_budget();
    let rows = trial.sample(SAMPLE, |r| r.attacked() && r.robust_at(eps));
    if rows.is_empty() {
        return Ok(Finding::ok(format!("no row survives at {eps}")));
    }
    let fallen = trial.fallen("doubled", harder, eps, &rows)?;
    if fallen.len() as f64 > FALLEN_SHARE * rows.len() as f64 {
        return Ok(Finding::warn(
            format!(
                "with steps and restarts doubled, survivors at {eps} fall: {}",
                super::some_of(&fallen, rows.len())
            ),
            "raise steps and restarts until the answer stands still",
        ));
    }
    Ok(Finding::ok(format!(
        "with steps and restarts doubled, {} of {} survivors at {eps} fall",
        fallen.len(),
        rows.len()
    )))
}

/// Survivors tried again: resolves a share of 1 in 10 almost surely.
const SAMPLE: usize = 32;
/// Share of the sample that may fall.
const FALLEN_SHARE: f64 = 0.05;
