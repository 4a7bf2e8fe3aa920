//! HopSkipJump: a minimum-distance attack from decisions alone.
//!
//! # Threat
//! An attacker behind an interface that answers with a decision.
//!
//! # Method
//! Starts at a data row that is already decided as wanted (the nearest few are tried), else at
//! noise in the box; bisects to the boundary; estimates its normal from the decisions at random
//! points around; steps along it and bisects again. Works in the unit of the budget. Every
//! query is asked at a deployed point and is itself a candidate witness: the nearest success of
//! any query is where the search goes on.
//!
//! In few dimensions, where a decision may be piecewise constant (trees, whole numbers) and the
//! normal says little, three steps of our own are added (edition 2): fields are drawn in one at a
//! time; a row that no longer moves is searched at random inside its own distance; then it walks
//! in from the next start. A row ends when several rounds in a row brought nothing, so that
//! queries are not spent where nothing is left to find.
//!
//! # Limits
//! Minimises a distance with few queries: an upper bound that white-box attacks usually lower.
//! L-inf and L2.
//!
//! # Source
//! Chen, Jordan, Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack"
//! (S&P 2020), algorithm 2; batch sizes after section IV with a smaller first batch in few
//! dimensions.

use proofmark_schema::system::Norm;

use super::walk::{self, Hopper, Walk, length};
use super::{Attack, Family, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError};
use crate::stream::Stream;

/// The attack with a limit of queries per row.
pub(super) struct HopSkipJump {
    queries: usize,
}

impl HopSkipJump {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
    }
}

impl Attack for HopSkipJump {
    fn id(&self) -> &'static str {
        "hopskipjump"
    }
    fn edition(&self) -> u32 {
        2
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2]
    }
    fn family(&self) -> Family {
        Family::MinDistance
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        format!("at most {} queries a row", self.queries)
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let few = arena.dims() <= FEW_DIMS;
        let mut walk = Walk::begin(arena, self.queries, if few { STARTS_KEPT } else { 0 })?;
        let all = walk.all();
        walk.bisect(&all)?;
        if few {
            walk.draw_in_fields(&all)?;
        }
        for round in 1..=ROUNDS_MAX {
            let open: Vec<usize> = walk.open(if few { IDLE_MAX } else { usize::MAX });
            if open.is_empty() {
                break;
            }
            let before: Vec<f64> = open.iter().map(|&h| walk.length(h)).collect();
            let gained = |h: &usize| walk.dims() > FEWEST_DIMS || walk.hoppers[*h].idle == 0;
            let hopping: Vec<usize> = open.iter().copied().filter(gained).collect();
            estimate(&mut walk, &hopping, round)?;
            jump(&mut walk, &hopping, round)?;
            walk.bisect(&hopping)?;
            if few {
                let still: Vec<usize> = still(&walk, &open, &before);
                scatter(&mut walk, &still)?;
                again(&mut walk, &still)?;
                walk.draw_in_fields(&open)?;
            }
            for (&h, before) in open.iter().zip(&before) {
                let moved = walk.length(h) < before * (1.0 - GAIN);
                walk.hoppers[h].idle = if moved { 0 } else { walk.hoppers[h].idle + 1 };
            }
        }
        Ok(())
    }
}

/// Rows that this round did not bring nearer.
fn still(walk: &Walk<'_, '_>, open: &[usize], before: &[f64]) -> Vec<usize> {
    let each = open.iter().zip(before);
    each.filter(|&(&h, &before)| walk.length(h) >= before * (1.0 - GAIN)).map(|(&h, _)| h).collect()
}

/// Monte-Carlo estimate of the boundary's normal, with the mean answer as baseline. Rows are
/// taken in groups only to bound memory: a group's random points are held.
fn estimate(walk: &mut Walk<'_, '_>, open: &[usize], round: usize) -> Result<(), ArenaError> {
    let dims = walk.dims();
    let group = (POINTS_MAX / (dims * batch(dims, round))).max(1);
    for some in open.chunks(group) {
        estimate_some(walk, some, round)?;
    }
    Ok(())
}

fn estimate_some(walk: &mut Walk<'_, '_>, open: &[usize], round: usize) -> Result<(), ArenaError> {
    let (dims, norm) = (walk.dims(), walk.norm());
    let mut asks = Vec::new();
    let mut from: Vec<(Vec<f64>, f64)> = Vec::new();
    for &h in open {
        let radius = radius(walk, h, round);
        let reach: Vec<f64> = (0..dims).map(|i| radius.max(walk.step(i))).collect();
        let hopper = &mut walk.hoppers[h];
        for _ in 0..batch(dims, round) {
            let raw: Vec<f64> = (0..dims).map(|_| draw(&mut hopper.stream, norm)).collect();
            let size = length(&raw, Norm::L2).max(f64::MIN_POSITIVE);
            let each = hopper.moved.iter().zip(&raw).zip(&reach);
            asks.push((h, each.map(|((m, r), reach)| m + reach * r / size).collect()));
        }
        from.push((hopper.moved.clone(), radius));
    }
    let answers = walk.ask(asks)?;
    let mut answers = answers.into_iter().peekable();
    for (&h, (home, radius)) in open.iter().zip(from) {
        let (mut signs, mut draws) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.next_if(|a| a.hopper == h) {
            if let Some(hit) = answer.hit {
                signs.push(if hit { 1.0 } else { -1.0 });
                draws.extend(answer.moved.iter().zip(&home).map(|(to, m)| (to - m) / radius));
            }
        }
        walk.hoppers[h].normal = normal(&signs, &draws, dims);
    }
    Ok(())
}

fn draw(stream: &mut Stream, norm: Norm) -> f64 {
    if norm == Norm::Linf { stream.symmetric() } else { stream.normal() }
}

/// Mean of the directions weighted by their answers less the mean answer (equation 16).
fn normal(signs: &[f64], draws: &[f64], dims: usize) -> Vec<f64> {
    let mean = signs.iter().sum::<f64>() / (signs.len().max(1)) as f64;
    let one_sided = mean.abs() == 1.0;
    let mut normal = vec![0.0; dims];
    for (sign, draw) in signs.iter().zip(draws.chunks(dims)) {
        let weight = if one_sided { *sign } else { sign - mean };
        for (n, d) in normal.iter_mut().zip(draw) {
            *n += weight * d;
        }
    }
    let size = length(&normal, Norm::L2);
    if size > 0.0 {
        normal.iter_mut().for_each(|n| *n /= size);
    }
    normal
}

/// Steps along the normal, halving until the point is a success; the bisection then draws in
/// from there.
fn jump(walk: &mut Walk<'_, '_>, open: &[usize], round: usize) -> Result<(), ArenaError> {
    let norm = walk.norm();
    let mut sizes: Vec<(usize, f64)> =
        open.iter().map(|&h| (h, walk.length(h) / (round as f64).sqrt())).collect();
    for _ in 0..HALVINGS {
        if sizes.is_empty() {
            break;
        }
        let asks = sizes.iter().map(|&(h, size)| (h, stepped(&walk.hoppers[h], size, norm)));
        let answers = walk.ask(asks.collect())?;
        let mut left = Vec::new();
        for (&(h, size), answer) in sizes.iter().zip(answers) {
            match answer.hit {
                Some(true) => walk.hoppers[h].from = Some(answer.moved),
                Some(false) => left.push((h, size / 2.0)),
                None => {}
            }
        }
        sizes = left;
    }
    Ok(())
}

fn stepped(hopper: &Hopper, size: f64, norm: Norm) -> Vec<f64> {
    let each = hopper.moved.iter().zip(&hopper.normal);
    each.map(|(m, n)| {
        let direction = if norm != Norm::Linf {
            *n
        } else if *n == 0.0 {
            0.0
        } else {
            n.signum()
        };
        m + size * direction
    })
    .collect()
}

/// Random points inside a row's own distance: any success is nearer.
fn scatter(walk: &mut Walk<'_, '_>, still: &[usize]) -> Result<(), ArenaError> {
    let (dims, norm) = (walk.dims(), walk.norm());
    let mut asks = Vec::new();
    for &h in still {
        let far = walk.length(h);
        let stream = &mut walk.hoppers[h].stream;
        for _ in 0..SCATTER_PER_DIM * dims {
            let raw: Vec<f64> = (0..dims).map(|_| draw(stream, norm)).collect();
            // Uniform in the ball: a direction, and a length with the density of the volume.
            let share = if norm == Norm::Linf {
                far
            } else {
                let size = length(&raw, norm).max(f64::MIN_POSITIVE);
                far * stream.unit().powf(1.0 / dims as f64) / size
            };
            asks.push((h, raw.iter().map(|r| r * share).collect()));
        }
    }
    walk.ask(asks).map(drop)
}

/// Walks in from the next starts, so that other sides of the boundary are seen.
fn again(walk: &mut Walk<'_, '_>, still: &[usize]) -> Result<(), ArenaError> {
    let mut asks = Vec::new();
    for &h in still {
        let starts = walk.next_starts(h, STARTS_AGAIN);
        asks.extend(starts.into_iter().map(|start| (h, start)));
    }
    let mut other: Vec<usize> = Vec::new();
    for answer in walk.ask(asks)? {
        if answer.hit == Some(true) && other.last() != Some(&answer.hopper) {
            walk.hoppers[answer.hopper].from = Some(answer.moved);
            other.push(answer.hopper);
        }
    }
    walk.bisect(&other)
}

/// Probing radius: a tenth of the way at first, then the way over the dimension (section
/// III-C), never within the bisection's own error.
fn radius(walk: &Walk<'_, '_>, hopper: usize, round: usize) -> f64 {
    let dims = walk.dims() as f64;
    let far = walk.length(hopper).max(f64::MIN_POSITIVE);
    let share = if round == 1 { 0.1 } else { (1.0 / dims).max(10.0 * walk::BISECTION_SHARE) };
    share * far
}

/// Queries for one estimate: grows with the square root of the round.
fn batch(dims: usize, round: usize) -> usize {
    let first = if dims >= 25 { 100 } else { (4 * dims).max(16) };
    (first as f64 * (round as f64).sqrt()) as usize
}

/// Up to so many dimensions fields are drawn in one at a time: beyond, a pass over all fields
/// costs more than it finds, and random points hit nothing.
const FEW_DIMS: usize = 64;
/// Up to so many dimensions a normal that brought nothing is not estimated again before another
/// step has found a nearer place: random points cost less and find more.
const FEWEST_DIMS: usize = 8;
/// Rounds in a row without a gain after which a row ends.
const IDLE_MAX: usize = 4;
/// Share of the distance that counts as a gain.
const GAIN: f64 = 1e-3;
/// Random points per dimension in a round that brought nothing.
const SCATTER_PER_DIM: usize = 8;
/// Starts that a row keeps for later.
const STARTS_KEPT: usize = 32;
/// Starts tried in a round that brought nothing.
const STARTS_AGAIN: usize = 3;
/// Halvings of a jump at most.
const HALVINGS: usize = 10;
/// A row's own limit of queries ends the search long before.
const ROUNDS_MAX: usize = 256;
/// Coordinates held at once by an estimate: 32 MiB of f32 and twice that of f64.
const POINTS_MAX: usize = 8 << 20;
