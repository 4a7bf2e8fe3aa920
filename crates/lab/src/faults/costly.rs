//! The availability probe: how much longer does the costliest valid input take?
//!
//! Owns the protocol: every candidate is timed a few times, the slowest of each family go into a
//! final comparison with plain rows, in turns, so that a busy moment of the machine meets all
//! alike; the figure is a ratio of medians with a bootstrap interval over rounds. The choice and
//! the final comparison use other timings, so that the luckiest candidate is not rewarded twice.
//! Must never read a clock: a timer is handed in. What is not found may exist: the figure is a
//! lower bound of the worst case, of one machine. Called by `assess`'s runner and by `attack`.

use proofmark_schema::faults::{Availability, Ranged};

use crate::ctx::Ctx;
use crate::stats::quantile;
use crate::stream::Stream;

/// The kind of fault in declarations.
pub const KIND: &str = "availability";

/// An input that is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Family, e.g. `numbers at their bounds`.
    pub family: String,
    /// In words, e.g. `row 17, every number at its highest value`.
    pub words: String,
}

/// Times one answer to a candidate (by its place), in seconds; `None` where it was refused.
pub type Timer<'a> = dyn FnMut(usize) -> Option<f64> + 'a;

/// Searches among `candidates`; the first `plain` of them are the rows as they are, whose median
/// is the yardstick. `None` when the user asked to stop, or no plain row was answered.
pub fn search(
    candidates: &[Candidate],
    plain: usize,
    timer: &mut Timer<'_>,
    machine: &str,
    ctx: &Ctx<'_>,
    confidence: f64,
) -> Option<Availability> {
    let mut slow: Vec<(usize, f64)> = Vec::new();
    for at in 0..candidates.len() {
        if ctx.cancelled() {
            return None;
        }
        ctx.progress.step("inputs timed", at as u64, candidates.len() as u64);
        let times: Vec<f64> = (0..TRIES).filter_map(|_| timer(at)).collect();
        if times.len() == TRIES {
            slow.push((at, median(&times)));
        }
    }
    let yard: Vec<usize> = slow.iter().map(|(at, _)| *at).filter(|at| *at < plain).collect();
    let finalists = finalists(candidates, &slow);
    if yard.is_empty() || finalists.is_empty() {
        return None;
    }
    let mut rounds: Vec<(f64, Vec<f64>)> = Vec::new();
    for round in 0..ROUNDS {
        if ctx.cancelled() {
            return None;
        }
        // Plain rows are asked as often in a row as the others, so that caches favour none.
        let mut repeated = |at: usize| {
            let times: Vec<f64> = (0..TRIES).filter_map(|_| timer(at)).collect();
            median(&times)
        };
        let base: Vec<f64> =
            (0..YARD).map(|i| repeated(yard[(round * YARD + i) % yard.len()])).collect();
        let worst: Vec<f64> = finalists.iter().map(|&at| repeated(at)).collect();
        rounds.push((median(&base), worst));
    }
    Some(judged(candidates, &finalists, &rounds, slow.len(), machine, ctx.seed, confidence))
}

/// The slowest of each family.
fn finalists(candidates: &[Candidate], slow: &[(usize, f64)]) -> Vec<usize> {
    let mut best: Vec<(usize, f64)> = Vec::new();
    for &(at, time) in slow {
        let family =
            |(other, _): &&mut (usize, f64)| candidates[*other].family == candidates[at].family;
        match best.iter_mut().find(family) {
            Some(known) if known.1 < time => *known = (at, time),
            Some(_) => {}
            None => best.push((at, time)),
        }
    }
    best.into_iter().map(|(at, _)| at).collect()
}

fn judged(
    candidates: &[Candidate],
    finalists: &[usize],
    rounds: &[(f64, Vec<f64>)],
    tried: usize,
    machine: &str,
    seed: u64,
    confidence: f64,
) -> Availability {
    // The worst is chosen on the even rounds and told of the odd ones.
    let (chosen, told): (Vec<_>, Vec<_>) =
        rounds.iter().enumerate().partition(|(round, _)| round % 2 == 0);
    let ratio = |rounds: &[(usize, &(f64, Vec<f64>))], at: usize| {
        let own: Vec<f64> = rounds.iter().map(|(_, (_, worst))| worst[at]).collect();
        let base: Vec<f64> = rounds.iter().map(|(_, (base, _))| *base).collect();
        median(&own) / median(&base)
    };
    let by = |a: &usize, b: &usize| ratio(&chosen, *a).total_cmp(&ratio(&chosen, *b));
    let worst = (0..finalists.len()).max_by(by).unwrap_or_default();
    let mut draws = Vec::with_capacity(RESAMPLES);
    for draw in 0..RESAMPLES {
        let mut stream = Stream::new(seed, KIND, "rounds", 0, draw as u64);
        let resampled: Vec<_> = (0..told.len()).map(|_| told[stream.below(told.len())]).collect();
        draws.push(ratio(&resampled, worst));
    }
    let tail = 0.5 * (1.0 - confidence);
    let value = ratio(&told, worst);
    let end = |p: f64| quantile(&draws, p).unwrap_or(value);
    let own: Vec<f64> = told.iter().map(|(_, (_, times))| times[worst]).collect();
    let base: Vec<f64> = told.iter().map(|(_, (base, _))| *base).collect();
    let name = |at: usize| candidates[finalists[at]].family.clone();
    Availability {
        tried: tried as u64,
        rounds: told.len() as u64,
        median_seconds: median(&base),
        worst_seconds: median(&own),
        ratio: Ranged { value, lower: end(tail), upper: end(1.0 - tail) },
        worst: candidates[finalists[worst]].words.clone(),
        families: (0..finalists.len()).map(|at| (name(at), ratio(&told, at))).collect(),
        machine: machine.to_owned(),
    }
}

fn median(times: &[f64]) -> f64 {
    quantile(times, 0.5).unwrap_or(f64::NAN)
}

/// Timings of one candidate in the search.
const TRIES: usize = 3;
/// Plain rows timed in each round.
const YARD: usize = 5;
/// Rounds of the final comparison; half of them choose, half are told.
const ROUNDS: usize = 60;
/// Resampled sets of rounds behind the interval.
const RESAMPLES: usize = 1000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::ctx::Silent;

    fn search_with(slow: f64) -> Availability {
        let family = |at: usize| if at < 6 { "plain rows" } else { "extremes" };
        let candidates: Vec<Candidate> = (0..9)
            .map(|at| Candidate { family: family(at).into(), words: format!("input {at}") })
            .collect();
        let mut jitter = Stream::new(4, "t", "", 0, 0);
        let cancel = AtomicBool::new(false);
        let ctx = Ctx { seed: 1, progress: &Silent, cancel: &cancel };
        let mut timer = |at: usize| {
            let noise = 1.0 + 0.05 * jitter.unit();
            Some(if at == 7 { slow * noise } else { 1e-3 * noise })
        };
        search(&candidates, 6, &mut timer, "test", &ctx, 0.95).unwrap()
    }

    #[test]
    fn a_slow_input_is_found_and_a_quiet_model_has_a_ratio_of_one() {
        let slow = search_with(4e-3);
        assert_eq!(slow.worst, "input 7");
        assert!((slow.ratio.value - 4.0).abs() < 0.2, "{:?}", slow.ratio);
        assert!(slow.ratio.lower > 3.5 && slow.ratio.upper < 4.5, "{:?}", slow.ratio);
        assert_eq!(slow.tried, 9);
        let quiet = search_with(1e-3);
        assert!((quiet.ratio.value - 1.0).abs() < 0.03, "{:?}", quiet.ratio);
    }
}
