//! The target's answers on the clean rows.
//!
//! Owns clean scores and decisions. Must never be asked of an attack's candidates. Called by
//! the harness, the accuracy figures and the gates.

use crate::decision::Decision;
use crate::oracle::{Oracle, OracleError};

/// Clean scores and decisions of all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Clean {
    scores: Vec<f32>,
    classes: usize,
    decisions: Vec<Option<usize>>,
}

impl Clean {
    /// Asks the target for every row.
    ///
    /// # Errors
    /// The target failed.
    pub fn ask(oracle: &dyn Oracle, decision: &Decision) -> Result<Self, OracleError> {
        let mut scores = Vec::with_capacity(oracle.rows() * oracle.classes());
        let rows: Vec<usize> = (0..oracle.rows()).collect();
        for chunk in rows.chunks(CHUNK) {
            let x: Vec<f32> = chunk.iter().flat_map(|&r| oracle.clean(r)).copied().collect();
            scores.extend(oracle.scores(chunk, &x)?);
        }
        Ok(Self::from_scores(scores, oracle.classes(), decision))
    }

    /// From scores at hand, `rows x classes`.
    pub fn from_scores(scores: Vec<f32>, classes: usize, decision: &Decision) -> Self {
        let decisions = scores.chunks(classes.max(1)).map(|s| decision.decide(s)).collect();
        Self { scores, classes, decisions }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.decisions.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Scores of a row.
    pub fn scores(&self, row: usize) -> &[f32] {
        &self.scores[row * self.classes..(row + 1) * self.classes]
    }

    /// Scores of all rows, `rows x classes`.
    pub fn all_scores(&self) -> &[f32] {
        &self.scores
    }

    /// Decision on a row; `None` when the target gave NaN.
    pub fn decision(&self, row: usize) -> Option<usize> {
        self.decisions[row]
    }

    /// Decisions on all rows.
    pub fn decisions(&self) -> &[Option<usize>] {
        &self.decisions
    }

    /// Number of rows decided as labelled.
    pub fn correct(&self, labels: &[usize]) -> usize {
        self.decisions.iter().zip(labels).filter(|&(d, &l)| *d == Some(l)).count()
    }
}

/// Rows per call: bounds the memory of a call.
const CHUNK: usize = 512;
