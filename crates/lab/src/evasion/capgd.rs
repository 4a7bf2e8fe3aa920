//! Constrained Auto-PGD: gradient ascent among valid rows.
//!
//! # Threat
//! An attacker with the model file who knows which rows are valid.
//!
//! # Method
//! Auto-PGD (momentum 0.75, a step that halves itself at checkpoints, see `apgd`) on the
//! cross-entropy, with three additions: the direction is the slope of the loss minus the slope of
//! the violation, each brought to length 1 first, so that no weight has to be chosen; after each
//! step columns that follow from others are computed and the point is projected again; of two
//! points the valid one is the better, of two invalid ones the less invalid. The first start is
//! the clean row, further ones lie on the edge of the ball. What crosses the decision, and the
//! best point at every checkpoint, is proposed; the harness rounds, repairs and judges. Without
//! constraints it is Auto-PGD from the clean row.
//!
//! # Limits
//! An upper bound. Relations with thin valid regions can hold it up; a genetic search goes after
//! it in suite `caa`. L-inf and L2 in the unit of the budget.
//!
//! # Source
//! Simonetto et al., "Constrained adaptive attack: effective adversarial attack against deep
//! neural networks for tabular data" (NeurIPS 2024), section 4.1. Differences: the two slopes are
//! brought to one length, where the paper adds them as they are; inequalities also draw a proposal
//! back toward the clean row, which the harness does for every attack.

use proofmark_schema::system::Norm;

use super::fgsm::steepest;
use super::noise::displacement;
use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::oracle::Loss;
use crate::stream::Stream;

/// Constrained Auto-PGD.
pub(super) struct Capgd {
    steps: usize,
    restarts: usize,
}

impl Capgd {
    /// The settings' steps, and at least the clean and one random start.
    pub(super) fn new(settings: Settings) -> Self {
        Self { steps: settings.steps, restarts: settings.restarts.max(STARTS_MIN) }
    }

    fn climb(
        &self,
        arena: &mut Arena<'_>,
        streams: &mut [Stream],
        from_clean: bool,
    ) -> Result<(), ArenaError> {
        let mut climbers: Vec<Climber> = arena
            .open()
            .into_iter()
            .map(|seat| Climber::start(arena, seat, (!from_clean).then_some(&mut streams[seat])))
            .collect();
        look(arena, &mut climbers)?;
        let mut review = Review::first(self.steps);
        for step in 0..self.steps {
            climbers.retain(|c| arena.can_look(c.seat));
            if climbers.is_empty() {
                return Ok(());
            }
            climbers.iter_mut().for_each(|c| c.step(arena, step == 0));
            look(arena, &mut climbers)?;
            if let Some(interval) = review.due() {
                climbers.iter_mut().for_each(|c| c.review(interval));
                propose_best(arena, &climbers)?;
            }
        }
        propose_best(arena, &climbers)
    }
}

impl Attack for Capgd {
    fn id(&self) -> &'static str {
        "capgd"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Gradient
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2]
    }
    fn loss(&self) -> Option<Loss> {
        Some(Loss::CrossEntropy)
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        format!("{} steps, {} starts", self.steps, self.restarts)
    }
    fn harder(&self) -> Option<Box<dyn Attack>> {
        Some(Box::new(Self { steps: self.steps * 2, restarts: self.restarts * 2 }))
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut streams: Vec<Stream> = (0..arena.len()).map(|s| arena.stream(s)).collect();
        for restart in 0..self.restarts {
            self.climb(arena, &mut streams, restart == 0)?;
        }
        Ok(())
    }
}

/// Loss and slopes at every climber's point; points across the decision are proposed.
fn look(arena: &mut Arena<'_>, climbers: &mut Vec<Climber>) -> Result<(), ArenaError> {
    climbers.retain(|c| arena.can_look(c.seat));
    let seats: Vec<usize> = climbers.iter().map(|c| c.seat).collect();
    if seats.is_empty() {
        return Ok(());
    }
    let points: Vec<f32> = climbers.iter().flat_map(|c| &c.x).copied().collect();
    let slopes = arena.slopes(&seats, &points, Loss::CrossEntropy)?;
    let grads = slopes.grad.chunks(arena.dims());
    for ((climber, &loss), grad) in climbers.iter_mut().zip(&slopes.loss).zip(grads) {
        climber.note(arena, loss, grad);
    }
    let (mut crossed, mut proposals) = (Vec::new(), Vec::new());
    for (climber, _) in climbers.iter().zip(&slopes.crossed).filter(|(_, c)| **c) {
        crossed.push(climber.seat);
        proposals.extend_from_slice(&climber.x);
    }
    arena.ask(&crossed, &proposals, Reach::Ball)?;
    Ok(())
}

/// A point that does not cross as it stands may do so once rounded or repaired.
fn propose_best(arena: &mut Arena<'_>, climbers: &[Climber]) -> Result<(), ArenaError> {
    if arena.space().rounded() || arena.constraints().is_some() {
        let open: Vec<&Climber> = climbers.iter().filter(|c| arena.is_open(c.seat)).collect();
        let seats: Vec<usize> = open.iter().map(|c| c.seat).collect();
        let points: Vec<f32> = open.iter().flat_map(|c| &c.best.x).copied().collect();
        arena.ask(&seats, &points, Reach::Ball)?;
    }
    Ok(())
}

/// A point that was looked at.
#[derive(Clone, Debug, Default)]
struct Place {
    x: Vec<f32>,
    /// Direction of ascent in the unit of the model input.
    slope: Vec<f32>,
    loss: f32,
    violation: f64,
}

impl Place {
    /// Whether it is nearer to a valid success.
    fn better(&self, other: &Self) -> bool {
        if self.violation == 0.0 && other.violation == 0.0 {
            self.loss > other.loss
        } else {
            self.violation < other.violation
        }
    }
}

/// State of one row.
struct Climber {
    seat: usize,
    x: Vec<f32>,
    old: Vec<f32>,
    here: Place,
    best: Place,
    /// Step length in the unit of the budget.
    length: f64,
    /// Whether each step was better than the one before.
    raised: Vec<bool>,
    best_at_review: Option<Place>,
    halved_at_review: bool,
}

impl Climber {
    fn start(arena: &Arena<'_>, seat: usize, stream: Option<&mut Stream>) -> Self {
        let (space, clean, eps, norm) =
            (arena.space(), arena.clean(seat), arena.eps(), arena.norm());
        let x = match stream {
            None => clean.to_vec(),
            Some(stream) => {
                let raw = displacement(arena.dims(), eps, norm, stream, true);
                let each = clean.iter().zip(&raw).enumerate();
                let wished: Vec<f64> =
                    each.map(|(i, (&c, r))| f64::from(c) + r * space.unit(i)).collect();
                settle(arena, seat, &wished)
            }
        };
        Self {
            seat,
            old: x.clone(),
            x,
            here: Place::default(),
            best: Place::default(),
            length: 2.0 * eps,
            raised: Vec::new(),
            best_at_review: None,
            halved_at_review: true,
        }
    }

    /// A projected step, then momentum, repaired and projected again.
    fn step(&mut self, arena: &Arena<'_>, first: bool) {
        let (space, clean, eps, norm) =
            (arena.space(), arena.clean(self.seat), arena.eps(), arena.norm());
        let direction = steepest(space, &self.here.slope, norm);
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
        let next = settle(arena, self.seat, &wished);
        self.old = std::mem::replace(&mut self.x, next);
    }

    fn note(&mut self, arena: &Arena<'_>, loss: f32, grad: &[f32]) {
        let start = self.here.x.is_empty();
        let row = arena.row(self.seat);
        let violation = arena.constraints().map_or(0.0, |c| c.violation_relative(row, &self.x));
        let mut slope = grad.to_vec();
        if violation > 0.0
            && let Some(constraints) = arena.constraints()
        {
            let mut away = vec![0.0; grad.len()];
            constraints.slope(row, &self.x, &mut away);
            slope = combined(arena, grad, &away);
        }
        let place = Place { x: self.x.clone(), slope, loss, violation };
        if start {
            self.best = place.clone();
            self.best_at_review = Some(place.clone());
        } else {
            self.raised.push(place.better(&self.here));
            if place.better(&self.best) {
                self.best = place.clone();
            }
        }
        self.here = place;
    }

    /// Conditions 1 and 2 of Auto-PGD over the last `interval` steps.
    fn review(&mut self, interval: usize) {
        let from = self.raised.len().saturating_sub(interval);
        let raised = self.raised[from..].iter().filter(|r| **r).count();
        let stalls = raised as f64 <= SHARE_RAISED * interval as f64;
        let gained = self.best_at_review.as_ref().is_none_or(|old| self.best.better(old));
        let stuck = !self.halved_at_review && !gained;
        let halve = stalls || stuck;
        self.halved_at_review = halve;
        self.best_at_review = Some(self.best.clone());
        if halve {
            self.length /= 2.0;
            self.x.clone_from(&self.best.x);
            self.here = self.best.clone();
        }
    }
}

/// Repaired and brought into ball and box, not rounded.
fn settle(arena: &Arena<'_>, seat: usize, wished: &[f64]) -> Vec<f32> {
    let (space, clean, eps, norm) = (arena.space(), arena.clean(seat), arena.eps(), arena.norm());
    let inside = space.project(clean, wished, eps, norm);
    let Some(constraints) = arena.constraints().filter(|c| c.defines()) else { return inside };
    let mut mended: Vec<f64> = inside.into_iter().map(f64::from).collect();
    constraints.define(arena.row(seat), &mut mended);
    space.project(clean, &mended, eps, norm)
}

/// The slope of the loss minus that of the violation, both with a greatest entry of 1 in the unit
/// of the budget.
fn combined(arena: &Arena<'_>, grad: &[f32], away: &[f64]) -> Vec<f32> {
    let unit = |i: usize| arena.space().unit(i);
    let top = |of: &dyn Fn(usize) -> f64| {
        (0..grad.len())
            .map(|i| (of(i) * unit(i)).abs())
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max)
    };
    let (up, down) = (top(&|i| f64::from(grad[i])), top(&|i| away[i]));
    let share =
        |value: f64, top: f64| if top > 0.0 && value.is_finite() { value / top } else { 0.0 };
    (0..grad.len()).map(|i| (share(f64::from(grad[i]), up) - share(away[i], down)) as f32).collect()
}

/// Intervals between reviews as in Auto-PGD: 22 % of the steps, each 3 % shorter, never under 6 %.
struct Review {
    interval: usize,
    shorten: usize,
    least: usize,
    since: usize,
}

impl Review {
    fn first(steps: usize) -> Self {
        let share = |s: f64| ((s * steps as f64) as usize).max(1);
        Self { interval: share(0.22), shorten: share(0.03), least: share(0.06), since: 0 }
    }

    /// Counts a step; the length of the interval where it ends.
    fn due(&mut self) -> Option<usize> {
        self.since += 1;
        if self.since < self.interval {
            return None;
        }
        let interval = self.interval;
        self.since = 0;
        self.interval = interval.saturating_sub(self.shorten).max(self.least);
        Some(interval)
    }
}

/// Weight of the new step against the last one.
const MOMENTUM: f64 = 0.75;
/// Share of steps that must raise the loss.
const SHARE_RAISED: f64 = 0.75;
/// The clean row and one random start.
const STARTS_MIN: usize = 2;

#[cfg(test)]
mod tests;
