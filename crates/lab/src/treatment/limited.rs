//! A target behind a check of its inputs: what the check refuses gets no decision.
//!
//! Owns the refusal as the harness sees it: scores that are not a number, hence no decision, which
//! is neither right nor a success of the attacker. Must never decide what is refused: the limits
//! are handed in. Called by `harden`.

use crate::oracle::{Loss, LossGrad, Oracle, OracleError, Picture};

/// What the check lets pass of one free coordinate, in the unit of the model input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Lowest value.
    pub lower: f64,
    /// Highest value.
    pub upper: f64,
    /// Whether a missing value (NaN) passes.
    pub missing: bool,
}

/// The target behind the check.
pub struct Limited<'a> {
    inner: &'a dyn Oracle,
    admitted: &'a [bool],
    limits: &'a [Limits],
}

impl<'a> Limited<'a> {
    /// `admitted`: per row, whether what the attacker cannot touch passes; `limits`: per free
    /// coordinate.
    ///
    /// # Panics
    /// Lists that do not fit the target are an error of the caller.
    pub fn new(inner: &'a dyn Oracle, admitted: &'a [bool], limits: &'a [Limits]) -> Self {
        assert_eq!(admitted.len(), inner.rows(), "one flag per row");
        assert_eq!(limits.len(), inner.dims(), "one pair of limits per coordinate");
        Self { inner, admitted, limits }
    }

    /// Whether the check lets this row pass with these free coordinates.
    pub fn admits(&self, row: usize, x: &[f32]) -> bool {
        let passes = |(limits, &v): (&Limits, &f32)| {
            let v = f64::from(v);
            if v.is_nan() { limits.missing } else { v >= limits.lower && v <= limits.upper }
        };
        self.admitted[row] && self.limits.iter().zip(x).all(passes)
    }

    fn blank(&self, rows: &[usize], x: &[f32], scores: &mut [f32]) {
        let dims = self.dims();
        for (at, (&row, scores)) in rows.iter().zip(scores.chunks_mut(self.classes())).enumerate() {
            if !self.admits(row, &x[at * dims..(at + 1) * dims]) {
                scores.fill(f32::NAN);
            }
        }
    }
}

impl Oracle for Limited<'_> {
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
        self.blank(rows, x, &mut scores);
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
        self.blank(rows, x, &mut answer.scores);
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
        self.blank(rows, x, &mut answer.scores);
        Ok(answer)
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        self.inner.pushes(loss)
    }
    fn picture(&self) -> Option<Picture> {
        self.inner.picture()
    }
}
