//! Confusion matrix and what follows from it.
//!
//! Owns counts by label and decision. Must never decide: decisions are handed in.

use serde::{Deserialize, Serialize};

/// Counts `[label][decision]`; a row without a decision is counted under no decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// `classes x classes`, by label, then decision.
    pub counts: Vec<Vec<u64>>,
    /// Per label: rows on which the model gave no number.
    pub undecided: Vec<u64>,
}

impl Confusion {
    /// Of labels and decisions.
    pub fn of(classes: usize, labels: &[usize], decisions: &[Option<usize>]) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        let mut undecided = vec![0; classes];
        for (&label, decision) in labels.iter().zip(decisions) {
            match decision {
                Some(decision) => counts[label][*decision] += 1,
                None => undecided[label] += 1,
            }
        }
        Self { counts, undecided }
    }

    /// Rows in all.
    pub fn n(&self) -> u64 {
        self.counts.iter().flatten().chain(&self.undecided).sum()
    }

    /// Rows decided as labelled.
    pub fn correct(&self) -> u64 {
        self.counts.iter().enumerate().map(|(c, row)| row[c]).sum()
    }

    /// Rows of a label.
    pub fn labelled(&self, class: usize) -> u64 {
        self.counts[class].iter().sum::<u64>() + self.undecided[class]
    }

    /// Rows decided as a class.
    pub fn decided(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// The most frequent label (the lower on ties) and its count: what a constant answer gets.
    pub fn majority(&self) -> (usize, u64) {
        let mut best = (0, 0);
        for class in 0..self.counts.len() {
            if self.labelled(class) > best.1 {
                best = (class, self.labelled(class));
            }
        }
        best
    }

    /// Mean recall over the classes that occur; `None` without rows.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls: Vec<f64> = (0..self.counts.len())
            .filter(|&c| self.labelled(c) > 0)
            .map(|c| self.counts[c][c] as f64 / self.labelled(c) as f64)
            .collect();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Matthews correlation for any number of classes (Gorodkin 2004); 0 when all labels or all
    /// decisions are one class.
    pub fn mcc(&self) -> f64 {
        let classes = self.counts.len();
        let n: u64 = self.counts.iter().flatten().sum();
        let (n, correct) = (n as f64, self.correct() as f64);
        let (mut cross, mut labels, mut decisions) = (0.0, 0.0, 0.0);
        for class in 0..classes {
            let labelled = self.counts[class].iter().sum::<u64>() as f64;
            let decided = self.decided(class) as f64;
            cross += labelled * decided;
            labels += labelled * labelled;
            decisions += decided * decided;
        }
        let below = ((n * n - labels) * (n * n - decisions)).sqrt();
        if below > 0.0 { (correct * n - cross) / below } else { 0.0 }
    }
}
