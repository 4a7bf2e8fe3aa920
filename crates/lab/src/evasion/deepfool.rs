//! DeepFool: straight to the nearest boundary, step by step.
//!
//! # Threat
//! An attacker with the model file who wants a small change for few gradients.
//!
//! # Method
//! Every boundary to another class (at most `targets`, the greatest clean scores first) is taken
//! as a plane at the current point; the point takes the shortest step onto the nearest of them,
//! 2 % longer than needed, and is asked. At most `steps` times, or until the decision is crossed;
//! with a goal only its class counts, of two classes the boundary is that of the cut-off.
//!
//! # Limits
//! An upper bound of the distance, looser than FAB's: it never walks back toward the clean row.
//! The box is met by clamping, so a step may fall short there.
//!
//! # Source
//! Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural
//! networks" (CVPR 2016), algorithm 2, and section 3.3 for other distances than L2.

use proofmark_schema::system::Norm;

use super::{Attack, Family, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::oracle::Loss;
use crate::space::Space;

/// The walk with a number of steps.
pub(super) struct DeepFool {
    steps: usize,
    targets: usize,
}

impl DeepFool {
    pub(super) fn new(settings: Settings) -> Self {
        Self { steps: settings.steps.min(STEPS_MAX), targets: settings.targets }
    }
}

impl Attack for DeepFool {
    fn id(&self) -> &'static str {
        "deepfool"
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
        format!("{} steps, toward the nearest of {} classes", self.steps, self.targets)
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let dims = arena.dims();
        let mut walkers: Vec<(usize, Vec<f32>)> =
            arena.open().into_iter().map(|seat| (seat, arena.clean(seat).to_vec())).collect();
        for _ in 0..self.steps {
            let targets = |arena: &Arena<'_>, seat| arena.targets(seat, self.targets);
            // A last query must be left for the point that the gradients lead to.
            walkers.retain(|(seat, _)| {
                arena.is_open(*seat) && arena.left(*seat) > targets(arena, *seat).len() as u64
            });
            if walkers.is_empty() {
                return Ok(());
            }
            let (mut seats, mut toward, mut points) = (Vec::new(), Vec::new(), Vec::new());
            for (seat, x) in &walkers {
                for target in targets(arena, *seat) {
                    seats.push(*seat);
                    toward.push(target);
                    points.extend_from_slice(x);
                }
            }
            let slopes = match arena.classes() {
                2 => arena.slopes(&seats, &points, Loss::Margin)?,
                _ => arena.slopes_toward(&seats, &points, &toward, Loss::Toward)?,
            };
            let mut at = 0;
            points.clear();
            for (seat, x) in &mut walkers {
                let mine = at..at + targets(arena, *seat).len();
                at = mine.end;
                let grads = &slopes.grad[mine.start * dims..mine.end * dims];
                step(arena.space(), x, &slopes.loss[mine], grads, arena.norm());
                *x = arena.space().project(
                    arena.clean(*seat),
                    &x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
                    f64::INFINITY,
                    arena.norm(),
                );
                points.extend_from_slice(x);
            }
            let seats: Vec<usize> = walkers.iter().map(|(seat, _)| *seat).collect();
            let replies = arena.ask(&seats, &points, Reach::Box)?;
            let mut replies = replies.into_iter();
            walkers.retain(|_| replies.next().is_some_and(|reply| !reply.success()));
        }
        Ok(())
    }
}

/// The shortest step onto the nearest plane, and a little more; none without a usable slope.
fn step(space: &Space, x: &mut [f32], losses: &[f32], grads: &[f32], norm: Norm) {
    let scaled = |grad: &[f32]| -> Vec<f64> {
        grad.iter().enumerate().map(|(i, &g)| f64::from(g) * space.unit(i)).collect()
    };
    // The dual length of the slope: what one unit of the budget gains.
    let gain = |slope: &[f64]| match norm {
        Norm::Linf => slope.iter().map(|s| s.abs()).sum::<f64>(),
        _ => slope.iter().map(|s| s * s).sum::<f64>().sqrt(),
    };
    let planes = losses.iter().zip(grads.chunks(x.len())).map(|(&loss, grad)| {
        let slope = scaled(grad);
        let gain = gain(&slope);
        (f64::from(loss).abs() / gain, gain, slope)
    });
    let usable = planes.filter(|(distance, gain, _)| distance.is_finite() && *gain > 0.0);
    let Some((distance, gain, slope)) = usable.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    let length = (1.0 + OVERSHOOT) * distance + DUST;
    for (i, (x, s)) in x.iter_mut().zip(slope).enumerate() {
        let along = match norm {
            Norm::Linf if s == 0.0 => 0.0,
            Norm::Linf => s.signum(),
            _ => s / gain,
        };
        *x = (f64::from(*x) + length * along * space.unit(i)) as f32;
    }
}

/// The paper's own number of steps is below ten; more never help.
const STEPS_MAX: usize = 50;

/// Share by which a step is longer than needed (eta in the paper).
const OVERSHOOT: f64 = 0.02;

/// Gets a point off a plane that it lies on exactly.
const DUST: f64 = 1e-7;
