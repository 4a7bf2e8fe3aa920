//! Gate 8: was the loss still rising when the attack ended?
//!
//! Owns the share of survivors whose attack gained much in its last tenth of steps:
//! incomplete optimisation.

use super::{Finding, Trial};
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let (mut curves, mut rising) = (0_usize, Vec::new());
    for record in trial.records {
        for run in record.point.runs.iter().filter(|run| record.robust_at(run.eps)) {
            // The attack that had settled most decides: one complete optimisation is enough.
            let settled = run.signs.iter().filter_map(|s| s.late_gain).reduce(f64::min);
            if let Some(share) = settled {
                curves += 1;
                if share > LATE {
                    rising.push(record.point.index as usize);
                }
            }
        }
    }
    if curves == 0 {
        return Ok(Finding::not_examined("no iterative attack left a survivor with a loss curve"));
    }
    if rising.len() as f64 > RISING_SHARE * curves as f64 {
        return Ok(Finding::warn(
            format!("the loss was still rising at the end: {}", super::some_of(&rising, curves)),
            "raise the number of steps",
        ));
    }
    Ok(Finding::ok(format!(
        "the loss had settled on {} of {curves} survivors",
        curves - rising.len()
    )))
}

/// Share of the whole gain in the last tenth of steps that counts as still rising.
const LATE: f64 = 0.05;
/// Share of survivors that may be rising.
const RISING_SHARE: f64 = 0.1;
