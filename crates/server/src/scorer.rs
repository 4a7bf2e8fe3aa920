//! The seam between the data plane and whatever gives scores.
//!
//! Owns the question (validated rows and a deadline), the scores and why there are none. Must
//! never validate, route or record. Implemented by [`crate::local`] and the upstream client;
//! called by the data plane.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

pub use proofmark_dataset::table::{Cells, Column};

/// Rows to be scored, and until when an answer is of use.
#[derive(Clone, Debug)]
pub struct Question {
    /// Rows.
    pub rows: Rows,
    /// End of the deadline.
    pub deadline: Instant,
}

/// Validated rows in the feature order of the declaration; cloning shares them.
#[derive(Clone, Debug)]
pub struct Rows(Arc<RowData>);

/// What rows hold, in the unit of the data files, as an assessment reads them.
#[derive(Clone, Debug, PartialEq)]
pub enum RowData {
    /// A table: one column per declared feature.
    Table {
        /// Rows.
        n: usize,
        /// Columns, each of `n` cells.
        columns: Vec<Column>,
    },
    /// Images, channels first.
    Images {
        /// Images.
        n: usize,
        /// Channels, height, width.
        shape: [usize; 3],
        /// Pixels, `(n, channels, height, width)`.
        pixels: Vec<f32>,
    },
}

impl Rows {
    /// A table of `n` rows; `None` when a column has another length or there is no row.
    pub fn table(n: usize, columns: Vec<Column>) -> Option<Self> {
        let fits = |c: &Column| match &c.cells {
            Cells::Numbers(v) => v.len() == n,
            Cells::Texts(v) => v.len() == n,
        };
        (n > 0 && columns.iter().all(fits)).then(|| Self(Arc::new(RowData::Table { n, columns })))
    }

    /// Images; `None` when the pixels do not fill the shape or there is no image.
    pub fn images(n: usize, shape: [usize; 3], pixels: Vec<f32>) -> Option<Self> {
        let size = shape.iter().try_fold(n, |all, &side| all.checked_mul(side))?;
        let fits = n > 0 && size == pixels.len();
        fits.then(|| Self(Arc::new(RowData::Images { n, shape, pixels })))
    }

    /// Number of rows, at least 1.
    pub fn len(&self) -> usize {
        match self.0.as_ref() {
            RowData::Table { n, .. } | RowData::Images { n, .. } => *n,
        }
    }

    /// Never true: rows hold at least one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they hold.
    pub fn data(&self) -> &RowData {
        &self.0
    }
}

/// Scores, `(rows, classes)` row-major, in the order of the data's classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Number of classes, at least 1.
    pub classes: usize,
    /// `rows * classes` values, all finite.
    pub values: Vec<f32>,
}

/// Scores to come.
pub type Scoring<'a> = Pin<Box<dyn Future<Output = Result<Scores, ScoreError>> + Send + 'a>>;

/// Whatever gives scores. Dropping the future gives up the question.
pub trait Scorer: Send + Sync + fmt::Debug {
    /// Scores the rows of a question; ends at its deadline at the latest.
    fn score<'a>(&'a self, question: &'a Question) -> Scoring<'a>;
    /// Name of the model in the declaration.
    fn name(&self) -> &str;
    /// Digest of the model file where it is known.
    fn sha256(&self) -> Option<&str>;
}

/// Why there are no scores. All but `Refused` count as a failure of the scorer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// It could not be reached.
    #[error("the model cannot be reached")]
    Unreachable,
    /// No answer before the deadline.
    #[error("the model gave no answer before the deadline")]
    Deadline,
    /// It answered something that cannot be an answer, or failed.
    #[error("the model is broken: {0}")]
    Broken(String),
    /// The question was refused; another scorer would refuse it too.
    #[error("the model refused the rows: {0}")]
    Refused(String),
}
