//! Gate 13: iterative beats one-step beats noise, white-box beats black-box.
//!
//! Owns the comparison, each attack on its own, on a sample. The other way round means that
//! gradients mislead. The same contest shows a suite that is too weak, or that spends its queries
//! badly: one attack alone, inside the declared limit of queries, must not turn many rows that
//! the suite left standing. Rows found here are reported and not counted.

use super::{Finding, Trial};
use crate::evasion::suite::{STANDARD, attack};
use crate::evasion::{Attack, Rank, Settings};
use crate::harness::HarnessError;

pub(super) fn examine(trial: &Trial<'_>) -> Result<Finding, HarnessError> {
    let eps = trial.telling_budget();
    let rows = trial.sample(SAMPLE, |r| r.attacked());
    if rows.is_empty() {
        return Ok(Finding::not_examined("no row is attackable"));
    }
    let mut parts = Vec::new();
    let mut by_rank =
        [(Rank::Noise, 0), (Rank::OneStep, 0), (Rank::Iterative, 0), (Rank::BlackBox, 0)];
    let mut ran = Vec::new();
    for (rank, fallen) in &mut by_rank {
        let attacks = contestants(trial, *rank);
        if attacks.is_empty() {
            continue;
        }
        ran.push(*rank);
        *fallen = trial.fallen("order", attacks, eps, &rows)?.len();
        parts.push(format!("{} {fallen}", name(*rank)));
    }
    let said = format!("of {} rows at {eps} fall to {}", rows.len(), parts.join(", "));
    let count = |rank: Rank| by_rank.iter().find(|(r, _)| *r == rank).map_or(0, |(_, k)| *k);
    let slack = (SLACK_SHARE * rows.len() as f64) as usize;
    if ran.contains(&Rank::Iterative) {
        let best = count(Rank::Iterative) + slack;
        for (rank, fallen) in by_rank {
            if fallen > best {
                return Ok(Finding::warn(
                    format!("{said}: {} beats iterative gradients", name(rank)),
                    "gradients mislead (masking, saturation, rounding): judge by the stronger \
                     attack and look for what hides the slope",
                ));
            }
        }
        return left_standing(trial, eps, said);
    }
    if ran.contains(&Rank::BlackBox) {
        if count(Rank::Noise) > count(Rank::BlackBox) + slack {
            return Ok(Finding::warn(
                format!("{said}: noise beats the black-box search"),
                "raise the queries of the black-box attacks",
            ));
        }
        return left_standing(trial, eps, said);
    }
    Ok(Finding::warn(
        format!("{said}: neither an iterative nor a search attack runs under this distance"),
        "the figure rests on weak attacks; choose linf or l2",
    ))
}

pub(super) fn contestants(trial: &Trial<'_>, rank: Rank) -> Vec<Box<dyn Attack>> {
    // Made for constraints: without any it is one of the others once more.
    let fits = |id: &&&str| **id != "capgd" || trial.case.constraints.is_some();
    let admitted = |a: &dyn Attack| a.rank() == rank && trial.case.admits(a).is_ok();
    let all = CONTEST.iter().filter(fits).filter_map(|id| again(id));
    let found: Vec<_> = all.filter(|a| admitted(a.as_ref())).collect();
    match found.is_empty() {
        // Runs where no other search does: many coordinates under L1.
        true => again("square").into_iter().filter(|a| admitted(a.as_ref())).collect(),
        false => found,
    }
}

/// The order is as expected: is the suite as strong as its strongest part?
fn left_standing(trial: &Trial<'_>, eps: f64, said: String) -> Result<Finding, HarnessError> {
    let (standing, missed) = missed(trial, eps)?;
    if missed.len() as f64 > SLACK_SHARE * standing as f64 {
        return Ok(Finding::warn(
            format!(
                "{said}; one attack alone turns rows that the suite left standing at {eps}: {}",
                super::some_of(&missed, standing)
            ),
            "choose a stronger suite, or allow it more queries",
        ));
    }
    Ok(Finding::ok(said))
}

/// How many sampled rows the suite left standing, and which of them fall to one attack alone,
/// inside the declared limit of queries.
fn missed(trial: &Trial<'_>, eps: f64) -> Result<(usize, Vec<usize>), HarnessError> {
    let standing = trial.sample(SAMPLE, |r| r.attacked() && r.robust_at(eps));
    let mut left = standing.clone();
    let mut missed = Vec::new();
    for attack in
        [Rank::Iterative, Rank::BlackBox].map(|rank| contestants(trial, rank)).into_iter().flatten()
    {
        let limit = trial.case.queries_limit;
        let fallen = trial.fallen_within(limit, "alone", vec![attack], eps, &left)?;
        left.retain(|row| !fallen.contains(row));
        missed.extend(fallen);
    }
    missed.sort_unstable();
    Ok((standing.len(), missed))
}

/// An attack with the settings of the contest.
pub(super) fn again(id: &str) -> Option<Box<dyn Attack>> {
    attack(id, Settings { queries: QUERIES, ..STANDARD })
}

fn name(rank: Rank) -> &'static str {
    match rank {
        Rank::Noise => "noise",
        Rank::OneStep => "one gradient step",
        Rank::Iterative => "iterative gradients",
        Rank::BlackBox => "black-box search",
    }
}

/// Who takes part; the coordinate search only in few dimensions.
const CONTEST: [&str; 11] = [
    "noise",
    "fgsm",
    "fgsm-up",
    "fgsm-down",
    "apgd-ce",
    "apgd-margin",
    "apgd-up",
    "apgd-down",
    "capgd",
    "coordinate",
    "hopskipjump",
];
/// Rows of the contest.
const SAMPLE: usize = 24;
/// Queries of the black-box attacks: enough to beat a broken gradient, cheap enough to run
/// always.
const QUERIES: usize = 600;
/// Share of the sample by which a weaker attack may lead by luck.
pub(super) const SLACK_SHARE: f64 = 0.1;
