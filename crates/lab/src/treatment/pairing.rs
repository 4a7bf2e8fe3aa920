//! Two systems on the same rows.
//!
//! Owns which rows a figure is about and which of them count as good. Must never compare figures
//! of different rows. Called by `harden`.

use crate::criterion::Criterion;
use crate::harness::{Clean, RowRecord};
use crate::stats::Paired;

/// A figure that two systems are compared by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Decided as labelled, without an attack.
    Accuracy,
    /// Decided as labelled, and no attack within the budget changes it.
    RobustAccuracy {
        /// Budget.
        eps: f64,
    },
    /// The same over the rows of the class the attacker starts from.
    RobustRecall {
        /// Budget.
        eps: f64,
    },
}

impl Figure {
    /// Name as in measurements.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RobustAccuracy { .. } => "robust_accuracy",
            Self::RobustRecall { .. } => "robust_recall",
        }
    }

    /// Budget of a robust figure.
    pub fn eps(self) -> Option<f64> {
        match self {
            Self::Accuracy => None,
            Self::RobustAccuracy { eps } | Self::RobustRecall { eps } => Some(eps),
        }
    }
}

/// What became of every row under one system.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// Clean answers.
    pub clean: Clean,
    /// Rows under attack, ascending; every row of the data once.
    pub records: Vec<RowRecord>,
}

impl Outcomes {
    /// Whether a row is good by a figure; `None` when the figure is not about the row.
    pub fn good(
        &self,
        figure: Figure,
        row: usize,
        labels: &[usize],
        criterion: Criterion,
    ) -> Option<bool> {
        let label = *labels.get(row)?;
        match figure {
            Figure::Accuracy => Some(self.clean.decision(row) == Some(label)),
            Figure::RobustAccuracy { eps } => Some(self.records.get(row)?.robust_at(eps)),
            Figure::RobustRecall { eps } => match criterion {
                Criterion::Goal { from, .. } if label == from => {
                    Some(self.records.get(row)?.robust_at(eps))
                }
                _ => None,
            },
        }
    }
}

/// Counts rows by what the first (with a measure) and the second (without) made of them.
pub fn compare(
    with: &Outcomes,
    without: &Outcomes,
    figure: Figure,
    labels: &[usize],
    criterion: Criterion,
) -> Paired {
    let both = |row| {
        let first = with.good(figure, row, labels, criterion)?;
        Some((first, without.good(figure, row, labels, criterion)?))
    };
    Paired::of((0..labels.len()).filter_map(both))
}
