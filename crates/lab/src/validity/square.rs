//! Gate 15: does the square attack turn rows that attacks with gradients left standing?
//!
//! Owns the share of all rows that a suite's square attack was the first to turn, after white-box
//! attacks had tried them. More than 0.2 points is AutoAttack's own sign that gradients are masked
//! (its flags document and `checks.py`, reference code fra31/auto-attack): what still stands then
//! stands against attacks that could not see. Must never take rows back: what was turned counts.

use super::{Finding, Trial};
use crate::evasion::{Needs, Rank};
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let admitted = |id: Option<&str>| {
        trial.suite.attacks().iter().position(|a| {
            id.map_or(a.needs() == Needs::Gradient && a.rank() == Rank::Iterative, |id| {
                a.id() == id
            }) && trial.case.admits(a.as_ref()).is_ok()
        })
    };
    let (first, square) = (admitted(None), admitted(Some(SQUARE)));
    match (first, square) {
        (Some(first), Some(square)) if first < square => {}
        _ => {
            return Ok(Finding::not_examined(
                "the suite has no square attack after attacks with gradients",
            ));
        }
    }
    let mut worst: Option<(f64, Vec<usize>)> = None;
    for &eps in trial.budgets {
        let found: Vec<usize> = trial
            .records
            .iter()
            .filter(|r| {
                let run = r.point.runs.iter().find(|run| run.eps == eps);
                run.is_some_and(|run| run.found_by.as_deref() == Some(SQUARE))
            })
            .map(|r| r.point.index as usize)
            .collect();
        if worst.as_ref().is_none_or(|(_, most)| found.len() > most.len()) {
            worst = Some((eps, found));
        }
    }
    let Some((eps, found)) = worst else {
        return Ok(Finding::not_examined("there is no budget"));
    };
    let of = trial.records.len();
    let said = format!(
        "at {eps} the square attack alone turned {}",
        if found.is_empty() { "no row".to_string() } else { super::some_of(&found, of) }
    );
    if found.len() as f64 > SHARE * of as f64 {
        return Ok(Finding::warn(
            format!("{said}, where attacks with gradients had failed"),
            "gradients are masked or lead nowhere: look for what hides the slope (rounding, \
             saturation, a defence), and attack with an adaptive loss",
        ));
    }
    Ok(Finding::ok(said))
}

/// Id of the attack.
const SQUARE: &str = "square";

/// Share of the rows, 0.2 points, from which the reference code warns.
const SHARE: f64 = 0.002;
