//! Gate 4: do two engines agree, on clean rows and on witnesses?
//!
//! Owns the tolerance. On clean rows a disagreement refuses, but for the few rows of a model of
//! steps that lie on a threshold in one engine's rounding and beside it in the other's; on
//! witnesses it warns: the deployed engine decides, and the rows are listed.

use super::{Finding, Setup, Trial};
use crate::harness::{Clean, HarnessError};
use crate::oracle::OracleError;

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    let Some(second) = setup.second else {
        return Ok(Finding::not_examined("there is no second engine"));
    };
    let other = Clean::ask(second, &setup.decision)?;
    let rows = setup.clean.rows();
    // Numbers have a scale of their own; scores are of the order of 1.
    let floor = match setup.targets {
        Some(_) => super::numbers::magnitude(setup.clean).max(f32::MIN_POSITIVE),
        None => 1.0,
    };
    let mut worst = 0.0_f32;
    let mut off = Vec::new();
    for row in 0..rows {
        let (a, b) = (setup.clean.scores(row), other.scores(row));
        let size = a.iter().fold(floor, |m, v| m.max(v.abs()));
        let gap = a.iter().zip(b).map(|(a, b)| (a - b).abs() / size).fold(0.0, f32::max);
        worst = worst.max(gap);
        let near = setup.decision.margin(a, setup.labels[row]).abs() <= f64::from(TOLERANCE * size);
        let decided = setup.clean.decision(row) == other.decision(row);
        if !(gap <= TOLERANCE && (decided || near)) {
            off.push(row);
        }
    }
    if off.is_empty() {
        return Ok(Finding::ok(format!(
            "both engines agree on {rows} rows; greatest relative difference {worst:.1e}"
        )));
    }
    // Without a gradient a model is made of steps, such as trees.
    if setup.oracle.gradient().is_err() && off.len() <= on_thresholds_max(rows) {
        return Ok(Finding::warn(
            format!("the engines differ: {}; at most {worst:.1e}", super::some_of(&off, rows)),
            "the model answers in steps, and such rows lie within rounding of a threshold; the \
             deployed engine decides. If that is not so, report it with the model",
        ));
    }
    Ok(Finding::refuse(
        format!("the engines differ: {}; at most {worst:.1e}", super::some_of(&off, rows)),
        "this is an error in an engine: report it with the model, and choose the other engine",
    ))
}

pub(super) fn examine_witnesses(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    if trial.case.second.is_none() {
        return Ok(Finding::not_examined("there is no second engine"));
    }
    let with = trial.records.iter().filter(|r| r.witness.is_some()).count();
    let disputed: Vec<usize> =
        trial.records.iter().filter(|r| r.point.disputed).map(|r| r.point.index as usize).collect();
    if disputed.is_empty() {
        return Ok(Finding::ok(format!("a second engine confirms all {with} witnesses")));
    }
    Ok(Finding::warn(
        format!("a second engine decides otherwise at {}", super::some_of(&disputed, with)),
        "these witnesses lie within rounding of the cut-off; they count, as the deployed engine \
         decides",
    ))
}

/// Rows that may lie within rounding of a threshold: half a percent, as a replay on another
/// engine allows, and at least one.
fn on_thresholds_max(rows: usize) -> usize {
    (rows / 200).max(1)
}

/// Relative difference of f32 sums in another order; ten times the bar of the engines.
const TOLERANCE: f32 = 1e-4;
