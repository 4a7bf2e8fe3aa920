//! Gate 14: does an attack from a surrogate beat the white-box?
//!
//! Owns the comparison, each on its own, on a sample. Who only copies the model from its answers
//! must not turn more rows than who follows its gradients; the other way round is the sign of
//! masked gradients that Athalye et al. 2018 and Papernot et al. 2017 describe. Rows found here
//! are reported and not counted.

use super::order::{self, SLACK_SHARE};
use super::{Finding, Trial};
use crate::evasion::Rank;
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let eps = trial.telling_budget();
    let rows = trial.sample(SAMPLE, |r| r.attacked());
    if rows.is_empty() {
        return Ok(Finding::not_examined("no row is attackable"));
    }
    let white_box = order::contestants(trial, Rank::Iterative);
    if white_box.is_empty() {
        return Ok(Finding::not_examined("no iterative attack with gradients runs here"));
    }
    let Some(transfer) = order::again("transfer") else {
        return Ok(Finding::not_examined("there is no transfer attack"));
    };
    if let Err(reason) = trial.case.admits(transfer.as_ref()) {
        return Ok(Finding::not_examined(format!("no surrogate is trained: {reason}")));
    }
    let with_gradients = trial.fallen("transfer", white_box, eps, &rows)?.len();
    let copied = trial.fallen("transfer", vec![transfer], eps, &rows)?.len();
    let said = format!(
        "of {} rows at {eps} fall to iterative gradients {with_gradients}, to a surrogate {copied}",
        rows.len()
    );
    if copied as f64 > with_gradients as f64 + SLACK_SHARE * rows.len() as f64 {
        return Ok(Finding::warn(
            format!("{said}: the copy beats the original"),
            "gradients of the model mislead (masking, saturation, rounding): judge by the \
             stronger attack and look for what hides the slope",
        ));
    }
    Ok(Finding::ok(said))
}

/// Rows of the comparison.
const SAMPLE: usize = 16;
