//! From margins to answers.
//!
//! Owns the formulas, each as the library that trained the ensemble has it, in the type that its
//! margins come in. Called by the operator `ai.proofmark.TreeEnsemble`.

use super::{Ensemble, Labels, Link};
use crate::reference::Float;

/// What the answers of an ensemble are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One probability per label.
    Probabilities,
    /// One score per label, on a scale of its own.
    Scores,
    /// Numbers.
    Value,
}

impl Kind {
    /// The name of the output that holds the answers.
    pub fn output(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Scores => "scores",
            Self::Value => "value",
        }
    }
}

impl Ensemble {
    /// What its answers are.
    pub fn kind(&self) -> Kind {
        match (&self.labels, self.link) {
            (None, _) => Kind::Value,
            (Some(_), Link::Identity | Link::Exp | Link::LogOnePlusExp | Link::SignedSquare) => {
                Kind::Scores
            }
            (Some(_), _) => Kind::Probabilities,
        }
    }

    /// Answers per row: one per label, else one per margin. With two labels and one margin, the
    /// first column is the rest to 1 of a probability, and minus the margin of a score.
    pub fn width(&self) -> usize {
        self.labels.as_ref().map_or(self.outputs, Labels::len)
    }

    /// Appends the answers of one row to `out`.
    pub(crate) fn answer<S: Float>(&self, margins: &[S], out: &mut Vec<S>) {
        let from = out.len();
        match (self.link, margins) {
            (Link::Softmax, _) => softmax(margins, out),
            (Link::LogisticEach { scale, normalised }, _) => {
                out.extend(margins.iter().map(|&m| logistic(m, scale)));
                let total: S = out[from..].iter().copied().sum();
                if normalised {
                    out[from..].iter_mut().for_each(|p| *p = *p / total);
                }
            }
            (link, _) => out.extend(margins.iter().map(|&m| one(link, m))),
        }
        if self.width() == 2
            && let [only] = out[from..]
        {
            let rest = match self.kind() {
                Kind::Probabilities => S::ONE - only,
                Kind::Scores | Kind::Value => -only,
            };
            out.insert(from, rest);
        }
    }
}

fn one<S: Float>(link: Link, m: S) -> S {
    match link {
        Link::Identity | Link::Softmax => m,
        Link::Logistic { scale } | Link::LogisticEach { scale, .. } => logistic(m, scale),
        Link::Exp => m.exp(),
        Link::LogOnePlusExp => m.exp().ln_1p(),
        Link::SignedSquare if m < S::ZERO => -(m * m),
        Link::SignedSquare => m * m,
        Link::Step if m > S::ZERO => S::ONE,
        Link::Step => S::ZERO,
    }
}

fn logistic<S: Float>(m: S, scale: f64) -> S {
    S::ONE / (S::ONE + (-(S::from_f64(scale) * m)).exp())
}

fn softmax<S: Float>(margins: &[S], out: &mut Vec<S>) {
    let top = margins.iter().fold(S::LOWEST, |a, &b| if b > a { b } else { a });
    let from = out.len();
    out.extend(margins.iter().map(|&m| (m - top).exp()));
    let total: S = out[from..].iter().copied().sum();
    out[from..].iter_mut().for_each(|p| *p = *p / total);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::Arithmetic;

    #[test]
    fn margins_become_the_answers_of_the_libraries() {
        let e = |link, outputs: usize, labels: Option<usize>| Ensemble {
            link,
            outputs,
            labels: labels.map(Labels::counted),
            ..Ensemble::new(1, Arithmetic::F64, "test")
        };
        let third = 1.0 / 3.0;
        let cases: &[(Ensemble, &[f64], &[f64])] = &[
            (e(Link::Identity, 1, None), &[-2.0], &[-2.0]),
            (e(Link::Identity, 1, Some(2)), &[-2.0], &[2.0, -2.0]),
            (e(Link::Logistic { scale: 1.0 }, 1, None), &[0.0], &[0.5]),
            (
                e(Link::Logistic { scale: 2.0 }, 1, Some(2)),
                &[0.5],
                &[0.268_941_421_369_995_1, 0.7310585786300049],
            ),
            (e(Link::Softmax, 3, Some(3)), &[1.0, 1.0, 1.0], &[third, third, third]),
            (
                e(Link::LogisticEach { scale: 1.0, normalised: true }, 2, Some(2)),
                &[0.0, 0.0],
                &[0.5, 0.5],
            ),
            (
                e(Link::LogisticEach { scale: 1.0, normalised: false }, 2, Some(2)),
                &[800.0, -800.0],
                &[1.0, 0.0],
            ),
            (e(Link::Exp, 1, None), &[0.0], &[1.0]),
            (e(Link::LogOnePlusExp, 1, None), &[0.0], &[std::f64::consts::LN_2]),
            (e(Link::SignedSquare, 1, None), &[-3.0], &[-9.0]),
            (e(Link::Step, 1, Some(2)), &[0.0], &[1.0, 0.0]),
            (e(Link::Step, 1, Some(2)), &[0.1], &[0.0, 1.0]),
        ];
        for (e, margins, want) in cases {
            let mut got = Vec::new();
            e.answer(margins, &mut got);
            assert_eq!(got.len(), want.len(), "{:?}", e.link);
            for (g, w) in got.iter().zip(*want) {
                assert!((g - w).abs() < 1e-15, "{:?}: {got:?}, expected {want:?}", e.link);
            }
        }
    }
}
