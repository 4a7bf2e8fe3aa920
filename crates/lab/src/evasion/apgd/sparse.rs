//! Auto-PGD for L1: few coordinates at a time.
//!
//! Owns one restart of every open seat. A step goes along the signs of the steepest coordinates
//! and is projected onto ball and box; how many coordinates it takes follows how many the best
//! point has changed, and the step is lengthened again when that number falls, else shortened. The
//! search runs in balls of three, two and one times the budget. Must never propose a point outside
//! of the budget. Called by [`super::Apgd`].
//!
//! Croce and Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers"
//! (ICML 2021), algorithm 1 and section 3.3; reference code fra31/auto-attack.

use proofmark_schema::system::Norm;

use super::{Apgd, late_gain};
use crate::harness::{Arena, ArenaError, Reach};
use crate::stream::Stream;

/// One restart toward the `rank`-th class, or away from the label.
pub(super) fn climb(
    attack: &Apgd,
    arena: &mut Arena<'_>,
    streams: &mut [Stream],
    rank: usize,
) -> Result<(), ArenaError> {
    let mut climbers = Vec::new();
    for seat in arena.open() {
        if let Some(target) = attack.target(arena, seat, rank) {
            climbers.push(Climber::start(arena, seat, target, &mut streams[seat]));
        }
    }
    let mut left = attack.steps;
    for (at, factor) in RADII.into_iter().enumerate() {
        let steps = match at + 1 == RADII.len() {
            true => left,
            false => ((SHARE_EARLY * attack.steps as f64).ceil() as usize).min(left),
        };
        left -= steps;
        let radius = factor * arena.eps();
        climbers.iter_mut().for_each(|c| c.enter(arena, radius));
        look(attack, arena, &mut climbers, true)?;
        climbers.iter_mut().for_each(|c| c.settle_in(arena));
        let interval = ((SHARE_REVIEW * steps as f64) as usize).max(1);
        for step in 0..steps {
            climbers.retain(|c| arena.can_look(c.seat));
            if climbers.is_empty() {
                return Ok(());
            }
            climbers.iter_mut().for_each(|c| c.step(arena));
            look(attack, arena, &mut climbers, false)?;
            if (step + 1) % interval == 0 {
                climbers.iter_mut().for_each(|c| c.review(arena));
            }
        }
        propose_best(arena, &climbers)?;
    }
    for climber in &climbers {
        // Of the last ball.
        let steps = climber.best_losses.len().saturating_sub(1);
        if let Some(share) = late_gain(&climber.best_losses, steps) {
            arena.note_late_gain(climber.seat, share);
        }
    }
    Ok(())
}

/// Loss and slope everywhere; what has crossed inside the budget is proposed.
fn look(
    attack: &Apgd,
    arena: &mut Arena<'_>,
    climbers: &mut Vec<Climber>,
    start: bool,
) -> Result<(), ArenaError> {
    climbers.retain(|c| arena.can_look(c.seat));
    if climbers.is_empty() {
        return Ok(());
    }
    let seats: Vec<usize> = climbers.iter().map(|c| c.seat).collect();
    let targets: Vec<usize> = climbers.iter().map(|c| c.target).collect();
    let points: Vec<f32> = climbers.iter().flat_map(|c| &c.x).copied().collect();
    let slopes = attack.slopes(arena, &seats, &targets, &points)?;
    let grads = slopes.grad.chunks(arena.dims());
    for ((climber, &loss), grad) in climbers.iter_mut().zip(&slopes.loss).zip(grads) {
        climber.note(loss, grad, start);
    }
    let (mut crossed, mut proposals) = (Vec::new(), Vec::new());
    for (climber, _) in climbers.iter().zip(&slopes.crossed).filter(|(_, c)| **c) {
        let clean = arena.clean(climber.seat);
        if arena.space().distance(clean, &climber.x, Norm::L1) <= arena.eps() {
            crossed.push(climber.seat);
            proposals.extend_from_slice(&climber.x);
        }
    }
    arena.ask(&crossed, &proposals, Reach::Ball)?;
    Ok(())
}

/// On a rounded space the best iterate may cross only once rounded, so it is asked.
fn propose_best(arena: &mut Arena<'_>, climbers: &[Climber]) -> Result<(), ArenaError> {
    if arena.space().rounded() {
        let open: Vec<&Climber> = climbers.iter().filter(|c| arena.is_open(c.seat)).collect();
        let seats: Vec<usize> = open.iter().map(|c| c.seat).collect();
        let points: Vec<f32> = open.iter().flat_map(|c| &c.best).copied().collect();
        arena.ask(&seats, &points, Reach::Ball)?;
    }
    Ok(())
}

/// State of one row.
struct Climber {
    seat: usize,
    target: usize,
    x: Vec<f32>,
    grad: Vec<f32>,
    best: Vec<f32>,
    best_grad: Vec<f32>,
    best_loss: f32,
    /// Best loss at the start of the ball and after each step.
    best_losses: Vec<f32>,
    radius: f64,
    /// Step length in the unit of the budget.
    length: f64,
    /// Share of the coordinates that a step takes.
    share: f64,
    /// Coordinates that the best point had changed at the last review.
    changed: usize,
}

impl Climber {
    fn start(arena: &Arena<'_>, seat: usize, target: usize, stream: &mut Stream) -> Self {
        let (space, clean) = (arena.space(), arena.clean(seat));
        let radius = RADII[0] * arena.eps();
        let wished: Vec<f64> = clean
            .iter()
            .enumerate()
            .map(|(i, &c)| f64::from(c) + radius * stream.normal() * space.unit(i))
            .collect();
        let x = space.project(clean, &wished, radius, Norm::L1);
        Self {
            seat,
            target,
            grad: Vec::new(),
            best: x.clone(),
            best_grad: Vec::new(),
            best_loss: f32::NEG_INFINITY,
            best_losses: Vec::new(),
            x,
            radius,
            length: radius,
            share: 1.0,
            changed: 0,
        }
    }

    /// Into a ball, from the best point of the last one.
    fn enter(&mut self, arena: &Arena<'_>, radius: f64) {
        let wished: Vec<f64> = self.best.iter().map(|&v| f64::from(v)).collect();
        self.x = arena.space().project(arena.clean(self.seat), &wished, radius, Norm::L1);
        (self.radius, self.length) = (radius, radius);
        self.best_losses.clear();
    }

    /// Sparsity as of the first point of a ball.
    fn settle_in(&mut self, arena: &Arena<'_>) {
        self.changed = self.count(arena);
        self.share = self.changed as f64 / self.x.len() as f64 / SPARSER;
    }

    fn step(&mut self, arena: &Arena<'_>) {
        let (space, clean) = (arena.space(), arena.clean(self.seat));
        let slope = |i: usize, g: f32| {
            let slope = f64::from(g) * space.unit(i);
            if slope.is_finite() { slope } else { 0.0 }
        };
        let slopes: Vec<f64> = self.grad.iter().enumerate().map(|(i, &g)| slope(i, g)).collect();
        let mut sizes: Vec<f64> = slopes.iter().map(|s| s.abs()).collect();
        let n = sizes.len();
        let rank = (((1.0 - self.share) * n as f64).max(0.0) as usize).min(n - 1);
        let (_, &mut least, _) = sizes.select_nth_unstable_by(rank, f64::total_cmp);
        let taken = |s: f64| s != 0.0 && s.abs() >= least;
        let count = slopes.iter().filter(|s| taken(**s)).count().max(1);
        let each = self.length / count as f64;
        let wished: Vec<f64> = self
            .x
            .iter()
            .zip(&slopes)
            .enumerate()
            .map(|(i, (&x, &s))| {
                let moved = if taken(s) { each * s.signum() * space.unit(i) } else { 0.0 };
                f64::from(x) + moved
            })
            .collect();
        self.x = space.project(clean, &wished, self.radius, Norm::L1);
    }

    fn note(&mut self, loss: f32, grad: &[f32], start: bool) {
        self.grad.clear();
        self.grad.extend_from_slice(grad);
        if start || loss > self.best_loss {
            self.best_loss = loss;
            self.best.clone_from(&self.x);
            self.best_grad.clone_from(&self.grad);
        }
        self.best_losses.push(self.best_loss);
    }

    /// A sparser best point: go on from it with full steps; else shorter ones from here.
    fn review(&mut self, arena: &Arena<'_>) {
        let changed = self.count(arena);
        let sparser = (changed as f64) < SPARSER_BY * self.changed as f64;
        self.share = changed as f64 / self.x.len() as f64 / SPARSER;
        self.changed = changed;
        if sparser {
            self.length = self.radius;
            self.x.clone_from(&self.best);
            self.grad.clone_from(&self.best_grad);
        } else {
            self.length = (self.length / SHORTEN).max(self.radius / SHORTEST);
        }
    }

    /// Coordinates that the best point changes.
    fn count(&self, arena: &Arena<'_>) -> usize {
        let pairs = self.best.iter().zip(arena.clean(self.seat));
        pairs.filter(|(x, c)| x.to_bits() != c.to_bits()).count()
    }
}

/// Balls searched one after the other, in budgets.
const RADII: [f64; 3] = [3.0, 2.0, 1.0];

/// Share of the steps in each ball but the last.
const SHARE_EARLY: f64 = 0.3;

/// Share of a ball's steps between reviews.
const SHARE_REVIEW: f64 = 0.04;

/// A step takes so many times fewer coordinates than the best point has changed.
const SPARSER: f64 = 1.5;

/// Below this share of the coordinates changed before, a best point counts as sparser.
const SPARSER_BY: f64 = 0.95;

/// A step is shortened by this.
const SHORTEN: f64 = 1.5;

/// Shortest step: the radius by this.
const SHORTEST: f64 = 10.0;
