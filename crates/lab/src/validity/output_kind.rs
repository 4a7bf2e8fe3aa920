//! Gate 3: are the scores what they are declared to be?
//!
//! Owns the shape checks of probabilities and logits, and the share of saturated rows.

use proofmark_schema::system::OutputKind;

use super::{Finding, Setup};
use crate::decision::Rule;
use crate::oracle::OracleError;

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    let rows = setup.clean.rows();
    let scores = |row: usize| setup.clean.scores(row);
    let count = |bad: &dyn Fn(&[f32]) -> bool| -> Vec<usize> {
        (0..rows).filter(|&r| bad(scores(r))).collect()
    };
    let nan = count(&|s| s.iter().any(|v| v.is_nan()));
    if !nan.is_empty() {
        return Ok(Finding::refuse(
            format!("the model answers NaN: {}", super::some_of(&nan, rows)),
            "look for missing or out-of-range inputs and for non-finite weights",
        ));
    }
    let within = |s: &[f32]| s.iter().all(|v| (-SLACK..=1.0 + SLACK).contains(v));
    let sums = |s: &[f32]| (s.iter().sum::<f32>() - 1.0).abs() <= SUM_SLACK;
    Ok(match setup.decision.kind {
        OutputKind::Probability => {
            let off = count(&|s| !within(s));
            let uneven = count(&|s| !sums(s));
            let many = "declare `kind = \"logit\"` if they are logits, or `kind = \"score\"`";
            if !off.is_empty() {
                let some = super::some_of(&off, rows);
                Finding::refuse(format!("declared probabilities leave [0, 1]: {some}"), many)
            } else if !uneven.is_empty() {
                let some = super::some_of(&uneven, rows);
                Finding::refuse(format!("declared probabilities do not sum to 1: {some}"), many)
            } else {
                saturation(setup)
            }
        }
        OutputKind::Logit => {
            // One column z is read as (0, z): it never sums to 1 unless it is a probability of 1.
            let alike = rows > 1 && (0..rows).all(|r| within(scores(r)) && sums(scores(r)));
            let one_column = rows > 1
                && setup.clean.classes() == 2
                && (0..rows).all(|r| scores(r)[0] == 0.0 && (0.0..=1.0).contains(&scores(r)[1]));
            if alike || one_column {
                Finding::refuse(
                    "declared logits look like probabilities: every row lies in [0, 1]",
                    "declare `kind = \"probability\"`",
                )
            } else {
                Finding::ok(format!("logits of {rows} rows are finite"))
            }
        }
        OutputKind::Value => {
            let infinite = count(&|s| s.iter().any(|v| v.is_infinite()));
            if infinite.is_empty() {
                Finding::ok(format!("the answers of {rows} rows are finite"))
            } else {
                let some = super::some_of(&infinite, rows);
                Finding::refuse(
                    format!("the model answers with infinity: {some}"),
                    "look for out-of-range inputs and for an exponential behind the output",
                )
            }
        }
        OutputKind::Score | OutputKind::Label => Finding::ok("scores are not NaN"),
    })
}

/// Probabilities so near 0 or 1 that f32 holds no slope around them.
fn saturation(setup: &Setup<'_>) -> Finding {
    let rows = setup.clean.rows().max(1);
    let full = |row: usize| setup.clean.scores(row).iter().any(|&p| p >= 1.0 - f32::EPSILON);
    let saturated = (0..setup.clean.rows()).filter(|&r| full(r)).count();
    let share = 100.0 * saturated as f64 / rows as f64;
    let said = format!("{share:.1} % of {rows} rows are saturated (a probability of 1 in f32)");
    let blind = setup.oracle.gradient().is_err() || setup.decision.rule == Rule::Argmax;
    if share > SATURATED_PERCENT && !blind {
        return Finding::warn(said, "export the logits: a saturated probability hides the slope");
    }
    Finding::ok(said)
}

/// f32 rounding of a soft-max.
const SLACK: f32 = 1e-5;
/// f32 rounding of a sum over many classes.
const SUM_SLACK: f32 = 1e-3;
/// Share of saturated rows, in percent, that is worth a word.
const SATURATED_PERCENT: f64 = 10.0;
