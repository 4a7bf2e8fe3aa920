//! Auto-PGD: projected gradient ascent that halves its own step.
//!
//! # Threat
//! An attacker with the model file.
//!
//! # Method
//! Gradient ascent with momentum 0.75 from a random start on the edge of the ball, first step
//! twice the budget; at checkpoints that come ever closer the step is halved, and the search
//! goes on from the best point, when fewer than 75 % of the steps since the last checkpoint
//! raised the loss (condition 1) or neither step nor best loss changed (condition 2). On the
//! cross-entropy, on the margin at the declared cut-off, on the difference of logits ratio, or on
//! that ratio toward one other class after the other, the greatest clean scores first. An iterate
//! that crosses the decision is proposed at once; where the deployed type is rounded, the best
//! iterate is also proposed at every checkpoint and at the end. L-inf and L2 in the unit of the
//! budget; for L1 see [`sparse`].
//!
//! # Limits
//! An upper bound: it can miss, above all where gradients are masked, and on grids so coarse
//! that rounding undoes its steps. The ratio needs three classes, toward a class four.
//!
//! # Source
//! Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
//! parameter-free attacks" (ICML 2020), algorithm 1 and section 3; reference code
//! fra31/auto-attack. Two differences: the first checkpoint counts the step from the start
//! point as the paper does, and L2 is projected onto ball and box exactly, where the code scales
//! and then clamps. L1: Croce and Hein, "Mind the box" (ICML 2021).

use proofmark_schema::system::Norm;

use super::fgsm::steepest;
use super::noise::displacement;
use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach, Slopes};
use crate::oracle::Loss;
use crate::space::Cell;
use crate::stream::Stream;

mod sparse;

/// Auto-PGD on one loss.
pub(super) struct Apgd {
    loss: Loss,
    steps: usize,
    restarts: usize,
    /// Other classes to pull toward, for losses toward a class.
    targets: usize,
}

impl Apgd {
    pub(super) fn cross_entropy(settings: Settings) -> Self {
        Self::push(Loss::CrossEntropy, settings)
    }

    /// On a given loss, e.g. the number that a regression answers with.
    pub(super) fn push(loss: Loss, settings: Settings) -> Self {
        let Settings { steps, restarts, targets, .. } = settings;
        Self { loss, steps, restarts, targets }
    }

    pub(super) fn margin(settings: Settings) -> Self {
        Self::push(Loss::Margin, settings)
    }

    /// On the difference of logits ratio.
    pub(super) fn ratio(settings: Settings) -> Self {
        Self::push(Loss::Ratio, settings)
    }

    /// On the difference of logits ratio toward one class after the other.
    pub(super) fn targeted(settings: Settings) -> Self {
        Self::push(Loss::RatioToward, settings)
    }

    fn is_targeted(&self) -> bool {
        self.loss == Loss::RatioToward
    }

    /// The class that a seat is pulled toward in the `rank`-th round; `None` where it has no
    /// further one.
    fn target(&self, arena: &Arena<'_>, seat: usize, rank: usize) -> Option<usize> {
        match self.is_targeted() {
            true => arena.targets(seat, self.targets).get(rank).copied(),
            false => Some(arena.label(seat)),
        }
    }

    /// One restart of every open seat.
    fn climb(
        &self,
        arena: &mut Arena<'_>,
        streams: &mut [Stream],
        rank: usize,
    ) -> Result<(), ArenaError> {
        let mut climbers: Vec<Climber> = Vec::new();
        for seat in arena.open() {
            if let Some(target) = self.target(arena, seat, rank) {
                climbers.push(Climber::start(arena, seat, target, &mut streams[seat]));
            }
        }
        self.look(arena, &mut climbers, None)?;
        let mut checkpoint = Checkpoint::first(self.steps);
        for step in 0..self.steps {
            climbers.retain(|c| arena.can_look(c.seat));
            if climbers.is_empty() {
                return Ok(());
            }
            for climber in &mut climbers {
                climber.step(arena, step == 0);
            }
            self.look(arena, &mut climbers, Some(step))?;
            if checkpoint.reached() {
                let since = checkpoint.interval;
                climbers.iter_mut().for_each(|c| c.review(since));
                checkpoint.next();
                self.propose_best(arena, &climbers)?;
            }
        }
        self.propose_best(arena, &climbers)?;
        for climber in &climbers {
            if let Some(share) = late_gain(&climber.best_losses, self.steps) {
                arena.note_late_gain(climber.seat, share);
            }
        }
        Ok(())
    }

    /// Loss and slope at every climber's point; points across the decision are proposed.
    fn look(
        &self,
        arena: &mut Arena<'_>,
        climbers: &mut Vec<Climber>,
        step: Option<usize>,
    ) -> Result<(), ArenaError> {
        climbers.retain(|c| arena.can_look(c.seat));
        let seats: Vec<usize> = climbers.iter().map(|c| c.seat).collect();
        if seats.is_empty() {
            return Ok(());
        }
        let mut points = Vec::with_capacity(seats.len() * arena.dims());
        climbers.iter().for_each(|c| points.extend_from_slice(&c.x));
        let targets: Vec<usize> = climbers.iter().map(|c| c.target).collect();
        let slopes = self.slopes(arena, &seats, &targets, &points)?;
        let grads = slopes.grad.chunks(arena.dims());
        for ((climber, &loss), grad) in climbers.iter_mut().zip(&slopes.loss).zip(grads) {
            climber.note(loss, grad, step.is_none());
        }
        let (mut crossed, mut proposals) = (Vec::new(), Vec::new());
        for (climber, _) in climbers.iter().zip(&slopes.crossed).filter(|(_, c)| **c) {
            crossed.push(climber.seat);
            proposals.extend_from_slice(&climber.x);
        }
        arena.ask(&crossed, &proposals, Reach::Ball)?;
        Ok(())
    }

    fn slopes(
        &self,
        arena: &mut Arena<'_>,
        seats: &[usize],
        targets: &[usize],
        points: &[f32],
    ) -> Result<Slopes, ArenaError> {
        match self.is_targeted() {
            true => arena.slopes_toward(seats, points, targets, self.loss),
            false => arena.slopes(seats, points, self.loss),
        }
    }

    /// On a rounded space the best iterate may cross only once rounded, so it is asked.
    fn propose_best(&self, arena: &mut Arena<'_>, climbers: &[Climber]) -> Result<(), ArenaError> {
        if arena.space().rounded() {
            let open: Vec<&Climber> = climbers.iter().filter(|c| arena.is_open(c.seat)).collect();
            let seats: Vec<usize> = open.iter().map(|c| c.seat).collect();
            let points: Vec<f32> = open.iter().flat_map(|c| &c.best).copied().collect();
            arena.ask(&seats, &points, Reach::Ball)?;
        }
        Ok(())
    }
}

impl Attack for Apgd {
    fn id(&self) -> &'static str {
        match self.loss {
            Loss::CrossEntropy => "apgd-ce",
            Loss::Ratio => "apgd-dlr",
            Loss::RatioToward => "apgd-t",
            Loss::Margin | Loss::Toward => "apgd-margin",
            Loss::Up => "apgd-up",
            Loss::Down => "apgd-down",
        }
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Gradient
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2, Norm::L1]
    }
    fn loss(&self) -> Option<Loss> {
        Some(self.loss)
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        let toward = match self.is_targeted() {
            true => format!(", toward at most {} classes", self.targets),
            false => String::new(),
        };
        format!("{} steps, {} restart(s){toward}", self.steps, self.restarts)
    }
    fn harder(&self) -> Option<Box<dyn Attack>> {
        // A round for each class is many restarts already.
        let restarts = if self.is_targeted() { self.restarts } else { self.restarts * 2 };
        let steps = self.steps * 2;
        Some(Box::new(Self { steps, restarts, ..*self }))
    }
    fn promise(&self) -> f64 {
        match self.loss {
            // A quotient has local optima on a linear model too.
            Loss::Ratio | Loss::RatioToward => 0.9,
            _ => 1.0,
        }
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut streams: Vec<Stream> = (0..arena.len()).map(|s| arena.stream(s)).collect();
        let rounds = if self.is_targeted() { self.targets } else { 1 };
        for rank in 0..rounds.min(arena.classes()) {
            for _ in 0..self.restarts {
                match arena.norm() {
                    Norm::L1 => sparse::climb(self, arena, &mut streams, rank)?,
                    Norm::Linf | Norm::L2 => self.climb(arena, &mut streams, rank)?,
                }
            }
        }
        Ok(())
    }
}

/// State of one row.
struct Climber {
    seat: usize,
    target: usize,
    /// What the budget leaves, for L-inf.
    cell: Option<Cell>,
    x: Vec<f32>,
    old: Vec<f32>,
    grad: Vec<f32>,
    best: Vec<f32>,
    best_grad: Vec<f32>,
    best_loss: f32,
    /// Step length in the unit of the budget.
    length: f64,
    /// Loss at the start and after each step.
    losses: Vec<f32>,
    /// Best loss at the start and after each step.
    best_losses: Vec<f32>,
    best_at_review: f32,
    halved_at_review: bool,
}

impl Climber {
    fn start(arena: &Arena<'_>, seat: usize, target: usize, stream: &mut Stream) -> Self {
        let (space, clean, eps, norm) =
            (arena.space(), arena.clean(seat), arena.eps(), arena.norm());
        let raw = displacement(arena.dims(), eps, norm, stream, norm == Norm::L2);
        // L-inf: the uniform draw is stretched until its greatest coordinate is on the edge.
        let top = raw.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let stretch = if norm == Norm::Linf && top > 0.0 { eps / top } else { 1.0 };
        let each = clean.iter().zip(&raw).enumerate();
        let wished: Vec<f64> =
            each.map(|(i, (&c, r))| f64::from(c) + r * stretch * space.unit(i)).collect();
        let x = space.project(clean, &wished, eps, norm);
        Self {
            seat,
            target,
            cell: (norm == Norm::Linf).then(|| space.cell(clean, eps)),
            old: x.clone(),
            best: x.clone(),
            x,
            grad: Vec::new(),
            best_grad: Vec::new(),
            best_loss: f32::NEG_INFINITY,
            length: 2.0 * eps,
            losses: Vec::new(),
            best_losses: Vec::new(),
            best_at_review: f32::NEG_INFINITY,
            // As in the reference code: the first review cannot meet condition 2.
            halved_at_review: true,
        }
    }

    /// Equations of algorithm 1: a projected gradient step, then momentum, projected again.
    fn step(&mut self, arena: &Arena<'_>, first: bool) {
        if let Some(cell) = &self.cell {
            let weight = if first { 1.0 } else { MOMENTUM };
            stride(cell, &self.x, &mut self.old, &self.grad, self.length, weight);
            std::mem::swap(&mut self.x, &mut self.old);
            return;
        }
        let (space, clean, eps, norm) =
            (arena.space(), arena.clean(self.seat), arena.eps(), arena.norm());
        let direction = steepest(space, &self.grad, norm);
        let each = self.x.iter().zip(&direction);
        let wished: Vec<f64> = each.map(|(&x, d)| f64::from(x) + self.length * d).collect();
        let plain = space.project(clean, &wished, eps, norm);
        let weight = if first { 1.0 } else { MOMENTUM };
        let wished: Vec<f64> = (0..self.x.len())
            .map(|i| {
                let (x, z) = (f64::from(self.x[i]), f64::from(plain[i]));
                x + weight * (z - x) + (1.0 - weight) * (x - f64::from(self.old[i]))
            })
            .collect();
        let next = space.project(clean, &wished, eps, norm);
        self.old = std::mem::replace(&mut self.x, next);
    }

    fn note(&mut self, loss: f32, grad: &[f32], start: bool) {
        self.grad.clear();
        self.grad.extend_from_slice(grad);
        if start || loss > self.best_loss {
            self.best_loss = loss;
            self.best.clone_from(&self.x);
            self.best_grad.clone_from(&self.grad);
        }
        if start {
            self.best_at_review = loss;
        }
        self.losses.push(loss);
        self.best_losses.push(self.best_loss);
    }

    /// Conditions 1 and 2 of the paper, over the last `interval` steps.
    fn review(&mut self, interval: usize) {
        let recent = &self.losses[self.losses.len().saturating_sub(interval + 1)..];
        let raised = recent.windows(2).filter(|w| w[1] > w[0]).count();
        let stalls = raised as f64 <= SHARE_RAISED * interval as f64;
        let stuck = !self.halved_at_review && self.best_at_review >= self.best_loss;
        let halve = stalls || stuck;
        self.halved_at_review = halve;
        self.best_at_review = self.best_loss;
        if halve {
            self.length /= 2.0;
            self.x.clone_from(&self.best);
            self.grad.clone_from(&self.best_grad);
        }
    }
}

/// Share of the whole gain in best loss that came in the last tenth of the steps.
fn late_gain(best_losses: &[f32], steps: usize) -> Option<f64> {
    let (first, last) = (best_losses.first()?, best_losses.last()?);
    let tenth = best_losses.get(steps.checked_sub((steps / 10).max(1))?)?;
    let gain = f64::from(last - first);
    let floor = GAIN_FLOOR * (1.0 + f64::from(last.abs()));
    (gain > floor).then(|| f64::from(last - tenth) / gain)
}

/// [`Climber::step`] for L-inf, coordinate by coordinate: the point before the last one, `old`, is
/// replaced by the next one. The same arithmetic in the same order.
fn stride(cell: &Cell, x: &[f32], old: &mut [f32], grad: &[f32], length: f64, weight: f64) {
    for (i, ((&x, old), &g)) in x.iter().zip(old).zip(grad).enumerate() {
        let unit = cell.unit(i);
        let slope = f64::from(g) * unit;
        let sign = if slope.is_finite() && slope != 0.0 { slope.signum() } else { 0.0 };
        let x = f64::from(x);
        let plain = f64::from(cell.project(i, x + length * (sign * unit)));
        let wished = x + weight * (plain - x) + (1.0 - weight) * (x - f64::from(*old));
        *old = cell.project(i, wished);
    }
}

/// Intervals between reviews: 22 % of the steps, each 3 % shorter, never under 6 %.
struct Checkpoint {
    interval: usize,
    shorten: usize,
    least: usize,
    since: usize,
}

impl Checkpoint {
    fn first(steps: usize) -> Self {
        let share = |s: f64| ((s * steps as f64) as usize).max(1);
        Self { interval: share(0.22), shorten: share(0.03), least: share(0.06), since: 0 }
    }

    fn reached(&mut self) -> bool {
        self.since += 1;
        self.since == self.interval
    }

    fn next(&mut self) {
        self.since = 0;
        self.interval = self.interval.saturating_sub(self.shorten).max(self.least);
    }
}

/// Weight of the new step against the last one (alpha in the paper).
const MOMENTUM: f64 = 0.75;

/// Share of steps that must raise the loss (rho in the paper).
const SHARE_RAISED: f64 = 0.75;

/// Relative gain in loss under which there is no curve to speak of.
const GAIN_FLOOR: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_of_a_hundred_steps_are_those_of_the_reference_code() {
        let mut checkpoint = Checkpoint::first(100);
        let mut at = Vec::new();
        for step in 0..100 {
            if checkpoint.reached() {
                at.push(step + 1);
                checkpoint.next();
            }
        }
        // 22, then intervals 19, 16, 13, 10, 7, 6, 6 (section 3 of the paper).
        assert_eq!(at, vec![22, 41, 57, 70, 80, 87, 93, 99]);
    }
}
