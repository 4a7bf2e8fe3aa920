//! Two models that decide together.
//!
//! Owns the rule of the vote and the composed target. Must never let one model alone reach the
//! class that the attacker wants. Called by `harden`; the composed file of
//! `proofmark_engine::compose` follows the same rule for two classes.

use crate::decision::Decision;
use crate::oracle::{Loss, LossGrad, Oracle, OracleError};
use proofmark_schema::system::OutputKind;

/// How two decisions become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteRule {
    /// Class `to`, which the attacker wants, is decided only when both decide it. Otherwise the
    /// decision is that of the first model unless it is `to`, then that of the second.
    Conservative {
        /// Class wanted by the attacker.
        to: usize,
    },
    /// The class that both decide; where they differ there is no decision: a person decides.
    Agreement,
}

/// One of the two models.
pub struct Member<'a> {
    /// The model bound to the rows.
    pub oracle: &'a dyn Oracle,
    /// Its declared decision.
    pub decision: Decision,
    /// Names of its free coordinates, in its order.
    pub coordinates: &'a [String],
}

/// Why two models do not vote.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VoteError {
    /// Rows or classes differ.
    #[error("the two models answer for other rows or classes")]
    Shape,
    /// One reads something mutable that the other does not.
    #[error(
        "the coordinate `{0}` can be moved in one model and not in the other; \
         a vote needs two models of the same mutable inputs"
    )]
    Coordinate(String),
    /// The same coordinate in different units.
    #[error("`{0}` is given to the two models in different units")]
    Unit(String),
}

/// The composed target; its coordinates are those of the first model.
pub struct Vote<'a> {
    first: Member<'a>,
    second: Member<'a>,
    /// For each coordinate of the second model, that of the first.
    places: Vec<usize>,
    rule: VoteRule,
}

impl<'a> Vote<'a> {
    /// Two models under a rule.
    ///
    /// # Errors
    /// See [`VoteError`].
    pub fn new(first: Member<'a>, second: Member<'a>, rule: VoteRule) -> Result<Self, VoteError> {
        let (a, b) = (first.oracle, second.oracle);
        if a.rows() != b.rows() || a.classes() != b.classes() {
            return Err(VoteError::Shape);
        }
        let foreign = first.coordinates.iter().find(|n| !second.coordinates.contains(n));
        if let Some(name) = foreign {
            return Err(VoteError::Coordinate(name.clone()));
        }
        let place = |name: &String| {
            let found = first.coordinates.iter().position(|n| n == name);
            found.ok_or_else(|| VoteError::Coordinate(name.clone()))
        };
        let places: Vec<usize> = second.coordinates.iter().map(place).collect::<Result<_, _>>()?;
        if a.dims() != first.coordinates.len() || b.dims() != places.len() {
            return Err(VoteError::Shape);
        }
        for row in 0..a.rows() {
            let (x, y) = (a.clean(row), b.clean(row));
            let other = places.iter().enumerate().find(|&(k, &i)| x[i].to_bits() != y[k].to_bits());
            if let Some((_, &i)) = other {
                return Err(VoteError::Unit(first.coordinates[i].clone()));
            }
        }
        Ok(Self { first, second, places, rule })
    }

    /// How the composed scores are decided.
    pub fn decision(&self) -> Decision {
        match (self.rule, self.first.oracle.classes()) {
            (VoteRule::Conservative { to }, 2) => {
                Decision::cutoff(OutputKind::Score, usize::from(to == 0), 0.0)
            }
            _ => Decision::argmax(OutputKind::Score),
        }
    }

    /// The decision of the vote, from the scores of both.
    pub fn decide(&self, first: &[f32], second: &[f32]) -> Option<usize> {
        let (a, b) = (self.first.decision.decide(first)?, self.second.decision.decide(second)?);
        match self.rule {
            VoteRule::Conservative { to } if a == to => Some(b),
            VoteRule::Conservative { .. } => Some(a),
            VoteRule::Agreement => (a == b).then_some(a),
        }
    }

    /// Candidates in the order of the second model.
    fn for_second(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.chunks(self.dims().max(1));
        rows.flat_map(|row| self.places.iter().map(move |&i| row[i])).collect()
    }

    /// Scores whose decision is the vote's, and whose margin says how far it is from turning.
    fn compose(&self, first: &[f32], second: &[f32]) -> Vec<f32> {
        let classes = self.classes();
        let Some(decided) = self.decide(first, second) else { return vec![f32::NAN; classes] };
        let margin = |class: usize| {
            let a = self.first.decision.margin(first, class);
            a.min(self.second.decision.margin(second, class)) as f32
        };
        match self.rule {
            VoteRule::Conservative { to } => {
                // How far both are from `to`; the decision itself fixes the sign.
                let toward = margin(to);
                let toward = if decided == to { toward.max(LEAST) } else { toward.min(-LEAST) };
                if classes == 2 {
                    let adverse = usize::from(to == 0);
                    let mut scores = vec![toward; 2];
                    scores[adverse] = -toward;
                    return scores;
                }
                let mut scores = vec![-FAR; classes];
                scores[decided] = 0.0;
                scores[to] = toward;
                scores
            }
            VoteRule::Agreement => {
                let mut scores: Vec<f32> = (0..classes).map(margin).collect();
                let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                scores[decided] = scores[decided].max(best + LEAST);
                scores
            }
        }
    }

    /// Loss and slope of the member that holds the decision, where both have slopes; of the one
    /// that has them otherwise.
    fn slopes(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<(Vec<f32>, Vec<f32>), OracleError> {
        let first = match self.first.oracle.gradient() {
            Ok(()) => Some(self.first.oracle.loss_grad(rows, x, labels, loss)?),
            Err(_) => None,
        };
        let second = match self.second.oracle.gradient() {
            Ok(()) => {
                let moved = self.for_second(x);
                Some(self.second.oracle.loss_grad(rows, &moved, labels, loss)?)
            }
            Err(_) => None,
        };
        let back = |grad: &[f32]| -> Vec<f32> {
            let mut out = vec![0.0; self.dims()];
            grad.iter().zip(&self.places).for_each(|(&g, &i)| out[i] = g);
            out
        };
        let dims = self.dims();
        let (mut losses, mut grads) = (Vec::new(), Vec::new());
        for at in 0..rows.len() {
            let slice = at * dims..(at + 1) * dims;
            let a = first.as_ref().map(|f| (f.loss[at], f.grad[slice.clone()].to_vec()));
            let b = second.as_ref().map(|s| (s.loss[at], back(&s.grad[slice.clone()])));
            // The loss is to be increased: the lower one is the model that still holds.
            let (value, grad) = match (a, b) {
                (Some(a), Some(b)) => {
                    if b.0 < a.0 {
                        b
                    } else {
                        a
                    }
                }
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => {
                    return Err(OracleError { reason: "neither model has a gradient".into() });
                }
            };
            losses.push(value);
            grads.extend(grad);
        }
        Ok((losses, grads))
    }
}

impl Oracle for Vote<'_> {
    fn rows(&self) -> usize {
        self.first.oracle.rows()
    }
    fn dims(&self) -> usize {
        self.first.oracle.dims()
    }
    fn classes(&self) -> usize {
        self.first.oracle.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.first.oracle.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        let classes = self.classes();
        let first = self.first.oracle.scores(rows, x)?;
        let second = self.second.oracle.scores(rows, &self.for_second(x))?;
        let both = first.chunks(classes).zip(second.chunks(classes));
        Ok(both.flat_map(|(a, b)| self.compose(a, b)).collect())
    }
    fn gradient(&self) -> Result<(), String> {
        match (self.first.oracle.gradient(), self.second.oracle.gradient()) {
            (Err(a), Err(b)) => Err(format!("{a}; {b}")),
            _ => Ok(()),
        }
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let (loss, grad) = self.slopes(rows, x, labels, loss)?;
        Ok(LossGrad { loss, grad, scores: self.scores(rows, x)? })
    }
}

/// The least distance from the edge of a decision that a composed score keeps.
const LEAST: f32 = f32::MIN_POSITIVE;
/// A composed score that no decision falls on.
const FAR: f32 = 1e30;
