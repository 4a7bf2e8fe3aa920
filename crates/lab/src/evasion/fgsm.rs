//! Fast gradient sign method: one step to the edge of the budget.
//!
//! # Threat
//! An attacker with the model file and the patience for one gradient.
//!
//! # Method
//! One steepest step of the cross-entropy from the clean point: the sign of the gradient
//! (L-inf), the normalised gradient (L2), or the whole budget on the steepest coordinates that
//! the box leaves room for (L1).
//!
//! # Limits
//! Linearises the model once: an upper bound that iterative attacks lower.
//!
//! # Source
//! Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples" (2015), eq. 1.

use proofmark_schema::system::Norm;

use super::{Attack, Needs, Rank};
use crate::harness::{Arena, ArenaError, Reach};
use crate::oracle::Loss;
use crate::space::Space;

/// The one-step attack.
pub(super) struct Fgsm {
    loss: Loss,
}

impl Fgsm {
    pub(super) fn on(loss: Loss) -> Self {
        Self { loss }
    }
}

impl Attack for Fgsm {
    fn id(&self) -> &'static str {
        match self.loss {
            Loss::Up => "fgsm-up",
            Loss::Down => "fgsm-down",
            _ => "fgsm",
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
        Rank::OneStep
    }
    fn settings(&self) -> String {
        match self.loss {
            Loss::Up => "one step, the answer pushed up".into(),
            Loss::Down => "one step, the answer pushed down".into(),
            _ => "one step, cross-entropy".into(),
        }
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let open = arena.open();
        if open.is_empty() {
            return Ok(());
        }
        let clean: Vec<f32> = open.iter().flat_map(|&s| arena.clean(s)).copied().collect();
        let slopes = arena.slopes(&open, &clean, self.loss)?;
        let (space, eps, norm) = (arena.space(), arena.eps(), arena.norm());
        let points: Vec<f32> = open
            .iter()
            .zip(slopes.grad.chunks(arena.dims()))
            .flat_map(|(&seat, grad)| {
                let clean = arena.clean(seat);
                let step = step(space, clean, grad, eps, norm);
                let each = clean.iter().zip(step);
                each.map(|(&c, s)| (f64::from(c) + s) as f32).collect::<Vec<_>>()
            })
            .collect();
        arena.ask(&open, &points, Reach::Ball)?;
        Ok(())
    }
}

/// Steepest displacement of length `eps`, in the unit of the model input.
fn step(space: &Space, clean: &[f32], grad: &[f32], eps: f64, norm: Norm) -> Vec<f64> {
    match norm {
        Norm::Linf | Norm::L2 => {
            let direction = steepest(space, grad, norm);
            direction.iter().map(|d| d * eps).collect()
        }
        Norm::L1 => one_by_one(space, clean, grad, eps),
    }
}

/// Steepest direction of unit length (in the unit of the budget), in the unit of the model
/// input: the sign for L-inf, the normalised gradient for L2. Non-finite slopes count as 0.
pub(super) fn steepest(space: &Space, grad: &[f32], norm: Norm) -> Vec<f64> {
    let scaled = |i: usize, g: f32| {
        let slope = f64::from(g) * space.unit(i);
        if slope.is_finite() { slope } else { 0.0 }
    };
    let slopes: Vec<f64> = grad.iter().enumerate().map(|(i, &g)| scaled(i, g)).collect();
    let length = slopes.iter().map(|s| s * s).sum::<f64>().sqrt();
    let unit_step = |s: f64| match norm {
        Norm::Linf if s == 0.0 => 0.0,
        Norm::Linf => s.signum(),
        _ if length > 0.0 => s / length,
        _ => 0.0,
    };
    slopes.iter().enumerate().map(|(i, &s)| unit_step(s) * space.unit(i)).collect()
}

/// L1: the budget is spent on one coordinate after the other, the steepest first, each up to
/// its box.
fn one_by_one(space: &Space, clean: &[f32], grad: &[f32], eps: f64) -> Vec<f64> {
    let slope = |i: usize| f64::from(grad[i]) * space.unit(i);
    let mut order: Vec<usize> = (0..grad.len()).filter(|&i| slope(i).is_finite()).collect();
    order.sort_by(|&a, &b| slope(b).abs().total_cmp(&slope(a).abs()).then(a.cmp(&b)));
    let (mut left, mut moved) = (eps, vec![0.0; grad.len()]);
    for i in order {
        if left <= 0.0 || slope(i) == 0.0 || !clean[i].is_finite() {
            continue;
        }
        let (low, high) = space.edges(i, clean[i]);
        let here = f64::from(clean[i]);
        let room = if slope(i) > 0.0 { high - here } else { here - low };
        let length = (room.max(0.0) / space.unit(i)).min(left);
        moved[i] = slope(i).signum() * length * space.unit(i);
        left -= length;
    }
    moved
}
