//! Fast adaptive boundary attack: steps onto the plane that the decision looks like from here.
//!
//! # Threat
//! An attacker with the model file, who looks for the smallest change.
//!
//! # Method
//! For one other class after the other (the greatest clean scores first): the boundary to that
//! class is taken as a plane at the current point; the point is moved onto its projection inside
//! the box, mixed with the projection of the clean point (share at most 0.1) and overshot by 5 %.
//! Once the decision is crossed the search goes on from 0.9 of the way between clean point and
//! witness. Starts at the clean point; further restarts start at random within half the budget.
//! Of two classes the boundary is that of the declared cut-off.
//!
//! # Limits
//! An upper bound of the distance. Blind where gradients are zero.
//!
//! # Source
//! Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
//! attack" (ICML 2020), algorithm 1 and section 3.4 for the targeted form; reference code
//! fra31/auto-attack. The projections onto plane and box (equation 6) are solved by raising the
//! multiplier until no further coordinate meets the box, instead of by sorting: the same point.

use proofmark_schema::system::Norm;

use super::noise::displacement;
use super::{Attack, Family, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::oracle::Loss;
use crate::stream::Stream;

mod plane;

use plane::Plane;

/// The attack toward each of some classes.
pub(super) struct Fab {
    steps: usize,
    restarts: usize,
    targets: usize,
    /// Each step toward the class whose boundary is nearest, instead of class after class.
    nearest: bool,
}

impl Fab {
    /// Class after class.
    pub(super) fn targeted(settings: Settings) -> Self {
        let Settings { steps, restarts, targets, .. } = settings;
        Self { steps, restarts, targets, nearest: false }
    }

    /// Toward the boundary that is nearest at each step.
    pub(super) fn untargeted(settings: Settings) -> Self {
        Self { nearest: true, targets: usize::MAX, ..Self::targeted(settings) }
    }

    /// One restart of every open seat toward the `rank`-th of its targets, or toward all.
    fn walk(
        &self,
        arena: &mut Arena<'_>,
        streams: &mut [Stream],
        rank: Option<usize>,
        restart: usize,
    ) -> Result<(), ArenaError> {
        let mut walkers = Vec::new();
        for seat in arena.open() {
            let mut targets = arena.targets(seat, self.targets);
            if let Some(rank) = rank {
                targets = targets.get(rank).copied().into_iter().collect();
            }
            if !targets.is_empty() {
                let stream = (restart > 0).then(|| &mut streams[seat]);
                walkers.push(Walker::start(arena, seat, targets, stream));
            }
        }
        for _ in 0..self.steps {
            walkers.retain(|w| arena.is_open(w.seat) && !w.stuck);
            // A last query must be left for the point that the gradients lead to.
            walkers.retain(|w| arena.left(w.seat) > w.targets.len() as u64);
            if walkers.is_empty() {
                return Ok(());
            }
            step(arena, &mut walkers)?;
        }
        Ok(())
    }
}

/// One step of all walkers: slopes, projections, and a question at the new points.
fn step(arena: &mut Arena<'_>, walkers: &mut [Walker]) -> Result<(), ArenaError> {
    let dims = arena.dims();
    let (mut seats, mut targets, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for walker in &*walkers {
        for &target in &walker.targets {
            seats.push(walker.seat);
            targets.push(target);
            points.extend_from_slice(&walker.x);
        }
    }
    // Of two classes the margin at the cut-off is the loss toward the other one.
    let slopes = match arena.classes() {
        2 => arena.slopes(&seats, &points, Loss::Margin)?,
        _ => arena.slopes_toward(&seats, &points, &targets, Loss::Toward)?,
    };
    let (mut at, mut room) = (0, Plane::new(dims));
    points.clear();
    for walker in &mut *walkers {
        let mine = at..at + walker.targets.len();
        at = mine.end;
        let grads = &slopes.grad[mine.start * dims..mine.end * dims];
        walker.step(arena, &slopes.loss[mine], grads, &mut room);
        points.extend_from_slice(&walker.x);
    }
    let seats: Vec<usize> = walkers.iter().map(|w| w.seat).collect();
    let replies = arena.ask(&seats, &points, Reach::Box)?;
    for (walker, reply) in walkers.iter_mut().zip(replies) {
        if reply.success() {
            walker.retreat(arena.clean(walker.seat));
        }
    }
    Ok(())
}

impl Attack for Fab {
    fn id(&self) -> &'static str {
        if self.nearest { "fab" } else { "fab-t" }
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
    fn family(&self) -> Family {
        Family::MinDistance
    }
    fn loss(&self) -> Option<Loss> {
        Some(Loss::Toward)
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        let toward = match self.nearest {
            true => "toward the nearest boundary".to_string(),
            false => format!("toward at most {} classes", self.targets),
        };
        format!("{} steps, {} restart(s), {toward}", self.steps, self.restarts)
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut streams: Vec<Stream> = (0..arena.len()).map(|s| arena.stream(s)).collect();
        let most = arena.classes().saturating_sub(1).min(self.targets);
        let ranks: Vec<Option<usize>> = match self.nearest {
            true => vec![None],
            false => (0..most).map(Some).collect(),
        };
        for rank in ranks {
            for restart in 0..self.restarts {
                self.walk(arena, &mut streams, rank, restart)?;
            }
        }
        Ok(())
    }
}

/// State of one row.
struct Walker {
    seat: usize,
    targets: Vec<usize>,
    x: Vec<f32>,
    /// No slope, no way.
    stuck: bool,
}

impl Walker {
    fn start(
        arena: &Arena<'_>,
        seat: usize,
        targets: Vec<usize>,
        stream: Option<&mut Stream>,
    ) -> Self {
        let clean = arena.clean(seat);
        let x = match stream {
            None => clean.to_vec(),
            Some(stream) => {
                let (space, norm) = (arena.space(), arena.norm());
                let found = arena.nearest(seat).map_or(f64::INFINITY, |(distance, _)| distance);
                // The paper's random start: within half of the budget or of what was found.
                let reach = 0.5 * arena.eps().min(found);
                let moved = displacement(arena.dims(), reach, norm, stream, norm != Norm::L1);
                let each = clean.iter().zip(moved).enumerate();
                let wished: Vec<f64> =
                    each.map(|(i, (&c, d))| f64::from(c) + d * space.unit(i)).collect();
                space.project(clean, &wished, f64::INFINITY, norm)
            }
        };
        Self { seat, targets, x, stuck: false }
    }

    /// Equations 7 and 9: the overshot projections of the point and of the clean one, mixed.
    fn step(&mut self, arena: &Arena<'_>, losses: &[f32], grads: &[f32], plane: &mut Plane) {
        let (space, clean, norm) = (arena.space(), arena.clean(self.seat), arena.norm());
        let dims = clean.len();
        let each = losses.iter().zip(grads.chunks(dims));
        let nearest = each
            .map(|(&loss, grad)| (plane::gap(space, f64::from(loss), grad, norm), loss, grad))
            .filter(|(gap, _, _)| gap.is_finite())
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, loss, grad)) = nearest else {
            self.stuck = true;
            return;
        };
        plane.set(space, clean, grad);
        let here = plane.onto(&self.x, f64::from(loss), norm);
        // The plane's value at the clean point.
        let back = plane.change(&self.x, clean);
        let home = plane.home(clean, f64::from(loss) + back, norm);
        let share = (here / (here + home)).clamp(0.0, SHARE_MAX);
        plane.mix(&mut self.x, clean, share, OVERSHOOT);
    }

    /// Part of the way from the clean point to the witness.
    fn retreat(&mut self, clean: &[f32]) {
        for (x, &c) in self.x.iter_mut().zip(clean) {
            if x.to_bits() != c.to_bits() {
                *x = (f64::from(c) + BACKWARD * (f64::from(*x) - f64::from(c))) as f32;
            }
        }
    }
}

/// Largest share of the clean point's projection (alpha_max).
const SHARE_MAX: f64 = 0.1;

/// How far a projection is overshot (eta).
const OVERSHOOT: f64 = 1.05;

/// Part of the way back from a witness (beta).
const BACKWARD: f64 = 0.9;
