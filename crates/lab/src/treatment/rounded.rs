//! A target whose released scores are rounded.
//!
//! Owns what an attacker who sees the release knows: the decision, made before rounding, and the
//! rounded scores. Must never change a decision: where rounding alone would tip it, the released
//! score is held at the edge of its own side. Gradients are those of the attacker's own copy of
//! the model, which no rounding of a release reaches. Called by `harden`.

use crate::decision::Decision;
use crate::oracle::{Loss, LossGrad, Oracle, OracleError, Picture};

/// The target behind a rounded release.
pub struct Rounded<'a> {
    inner: &'a dyn Oracle,
    decision: Decision,
    decimals: u32,
}

impl<'a> Rounded<'a> {
    /// Scores of `inner`, decided by `decision`, released with so many decimals.
    pub fn new(inner: &'a dyn Oracle, decision: Decision, decimals: u32) -> Self {
        Self { inner, decision, decimals: decimals.min(DECIMALS_MAX) }
    }

    fn release(&self, scores: &mut [f32]) {
        for row in scores.chunks_mut(self.inner.classes().max(1)) {
            let decided = self.decision.decide(row);
            let mut released: Vec<f32> =
                row.iter().map(|&s| round(f64::from(s), self.decimals) as f32).collect();
            if self.decision.decide(&released) != decided {
                released = self.held(row, decided);
            }
            row.copy_from_slice(&released);
        }
    }

    /// The exact scores moved toward the rounded ones as far as the decision stays: bisection.
    fn held(&self, exact: &[f32], decided: Option<usize>) -> Vec<f32> {
        let at = |share: f64| -> Vec<f32> {
            let toward = |&s: &f32| {
                let s = f64::from(s);
                (s + share * (round(s, self.decimals) - s)) as f32
            };
            exact.iter().map(toward).collect()
        };
        let (mut stays, mut tips) = (0.0, 1.0);
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (stays + tips);
            if self.decision.decide(&at(middle)) == decided {
                stays = middle;
            } else {
                tips = middle;
            }
        }
        at(stays)
    }
}

impl Oracle for Rounded<'_> {
    fn rows(&self) -> usize {
        self.inner.rows()
    }
    fn dims(&self) -> usize {
        self.inner.dims()
    }
    fn classes(&self) -> usize {
        self.inner.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.inner.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        let mut scores = self.inner.scores(rows, x)?;
        self.release(&mut scores);
        Ok(scores)
    }
    fn gradient(&self) -> Result<(), String> {
        self.inner.gradient()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let mut answer = self.inner.loss_grad(rows, x, labels, loss)?;
        self.release(&mut answer.scores);
        Ok(answer)
    }
    fn loss_grad_toward(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        targets: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let mut answer = self.inner.loss_grad_toward(rows, x, labels, targets, loss)?;
        self.release(&mut answer.scores);
        Ok(answer)
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        self.inner.pushes(loss)
    }
    fn picture(&self) -> Option<Picture> {
        self.inner.picture()
    }
}

/// Half away from zero, to so many decimals.
pub fn round(value: f64, decimals: u32) -> f64 {
    let factor = 10_f64.powi(decimals.min(DECIMALS_MAX) as i32);
    let rounded = (value * factor).round() / factor;
    if rounded.is_finite() { rounded } else { value }
}

/// More than an f32 holds changes nothing.
const DECIMALS_MAX: u32 = 9;
/// Halvings until an f32 stands still.
const BISECTIONS: usize = 40;
