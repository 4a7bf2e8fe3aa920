//! Gate 11: without a budget every attackable row must fall.
//!
//! Owns the run over the full box on a sample, and the witnesses that another row's values
//! give for free. An attack that cannot do what copying another row does is broken. Rows that
//! even copying cannot move are held by what the attacker may not touch: they are counted and
//! do not speak against the attack, unless nothing moves at all.

use super::{Finding, Trial};
use crate::decision::Rule;
use crate::evasion::{Attack, Rank};
use crate::harness::{Clean, HarnessError};

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let case = trial.case;
    let full = case.space.diameter(case.norm);
    if !full.is_finite() {
        return Ok(Finding::not_examined("the box is infinite: declare bounds"));
    }
    // Survivors first: they are whom the figure is about.
    let largest = trial.budgets.last().copied().unwrap_or(0.0);
    let mut rows = trial.sample(SAMPLE, |r| r.attacked() && r.robust_at(largest));
    rows.extend(trial.sample(SAMPLE - rows.len(), |r| r.attacked() && !r.robust_at(largest)));
    rows.sort_unstable();
    if rows.is_empty() {
        return Ok(Finding::warn(
            "no row is attackable: nothing was attacked, the figure is the accuracy without attack",
            "name a goal whose `from` class occurs in the data and is decided rightly",
        ));
    }
    let attacks = strongest(trial);
    if attacks.is_empty() {
        return Ok(Finding::not_examined("the suite has neither an iterative nor a search attack"));
    }
    let fallen = trial.fallen("unconstrained", attacks, full, &rows)?;
    let standing: Vec<usize> = rows.iter().copied().filter(|r| !fallen.contains(r)).collect();
    let movable = movable(trial, &standing)?;
    let held = standing.len() - movable.len();
    let said = format!("over the full range {} of {} rows fall", fallen.len(), rows.len());
    if movable.len() as f64 > MISSED_SHARE * rows.len() as f64 {
        return Ok(Finding::warn(
            format!(
                "{said}; another row's values break what the attack does not: {}",
                super::some_of(&movable, rows.len())
            ),
            "the attack fails where success is certain: gradients are masked or steps too few",
        ));
    }
    if held == rows.len() {
        let (what, fix) = match case.decision.rule {
            Rule::Within => (
                "moves the answer beyond the tolerance",
                "check that the mutable features reach the model and that the tolerance is not \
                 wider than what the model can answer at all, e.g. where it clips",
            ),
            _ => (
                "changes the decision",
                "check that the mutable features reach the model and that the goal can be reached",
            ),
        };
        let words = format!("{said}: nothing the attacker may touch {what}");
        return Ok(Finding::warn(words, fix));
    }
    let rest = if held > 0 {
        format!("; {held} are held by what the attacker may not touch, as far as we see")
    } else {
        String::new()
    };
    Ok(Finding::ok(format!("{said}{rest}")))
}

/// The iterative attacks; without any, the black-box ones.
fn strongest(trial: &Trial<'_>) -> Vec<Box<dyn Attack>> {
    let of = |rank: Rank| -> Vec<Box<dyn Attack>> {
        let admitted = trial
            .suite
            .attacks()
            .iter()
            .filter(|a| a.rank() == rank && trial.case.admits(a.as_ref()).is_ok());
        admitted.filter_map(|a| super::order::again(a.id())).collect()
    };
    let iterative = of(Rank::Iterative);
    if iterative.is_empty() { of(Rank::BlackBox) } else { iterative }
}

/// Rows that fall when the free values of some row decided as wanted are put in.
fn movable(trial: &Trial<'_>, rows: &[usize]) -> Result<Vec<usize>, HarnessError> {
    let case = trial.case;
    let clean = Clean::ask(case.oracle, &case.decision)?;
    let mut found = Vec::new();
    for &row in rows {
        let label = case.labels[row];
        let givers: Vec<usize> = (0..clean.rows())
            .filter(|&r| case.criterion.broken(label, clean.decision(r)))
            .take(GIVERS)
            .collect();
        let copies = givers.iter().map(|&r| {
            let wished: Vec<f64> = case.oracle.clean(r).iter().map(|&v| f64::from(v)).collect();
            case.deploy(row, &wished, f64::INFINITY)
        });
        let copies: Vec<Vec<f32>> = copies.filter(|x| case.valid(row, x)).collect();
        if copies.is_empty() {
            continue;
        }
        let scores = case.oracle.scores(&vec![row; copies.len()], &copies.concat())?;
        let broken = scores
            .chunks(clean.classes())
            .any(|s| case.criterion.broken(label, case.decision.decide(s)));
        if broken {
            found.push(row);
        }
    }
    Ok(found)
}

/// Rows tried.
const SAMPLE: usize = 32;
/// Rows whose values are put in.
const GIVERS: usize = 32;
/// Share of the sample that the attack may miss.
const MISSED_SHARE: f64 = 0.05;
