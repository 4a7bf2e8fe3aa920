//! What measures, as `assess` sees it.
//!
//! Owns the trait and the shape of an outcome. Implemented by the command line over `lab` and by
//! hand in tests. Must never know an attack or a model.

use proofmark_schema::measurement::{Measurement, Quantity, Validity};
use proofmark_schema::plan::{Plan, Probe};
use proofmark_schema::system::Bound;

/// Runs probes and knows the statistics of what they measure.
pub trait Runner {
    /// Runs one probe of the plan.
    ///
    /// # Errors
    /// [`RunnerError::Cancelled`] leaves the run unended; [`RunnerError::Failed`] is logged.
    fn run(&mut self, probe: &Probe, plan: &Plan) -> Result<ProbeOutcome, RunnerError>;

    /// One-sided lower and upper bound of `quantity`, each at `confidence`; `None` where a
    /// figure of this kind has no bounds.
    fn bounds(&self, quantity: &Quantity, confidence: f64) -> Option<(f64, f64)>;

    /// Rows that would decide against `bound` if the share stayed as it is; `None` where that
    /// cannot be told or would never come.
    fn rows_to_decide(&self, quantity: &Quantity, bound: Bound, confidence: f64) -> Option<u64>;
}

/// What a probe gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeOutcome {
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// Files to keep.
    pub artefacts: Vec<Artefact>,
    /// Remarks for people.
    pub notes: Vec<String>,
    /// Checks that concern every figure of the probe.
    pub validity: Vec<Validity>,
}

/// A file that a probe leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// File name, e.g. `attack.json`.
    pub name: String,
    /// Media type, e.g. `application/json`.
    pub media_type: String,
    /// Content.
    pub bytes: Vec<u8>,
    /// True for rows and witnesses: such files go into a pack only on demand.
    pub personal: bool,
}

/// Why a probe gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// It could not be done.
    #[error("{reason}")]
    Failed {
        /// Why, in words.
        reason: String,
        /// What to do next.
        fix: String,
    },
}
