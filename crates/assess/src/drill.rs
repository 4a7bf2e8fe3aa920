//! Journals of drills: faults that were set on purpose, and what the guard did about them.
//!
//! Owns the predicate and its reading. Must never run a drill (the command line does) nor call an
//! experiment passed that did not reach its declared times. Called by the matrix and the papers.

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::AssetDigest;
use serde::{Deserialize, Serialize};

use crate::events::{self, Logged};
use crate::predicate::Tool;
use crate::register::RegisterError;

/// Predicate type of a journal.
pub const DRILL: &str = "urn:proofmark:predicate:drill:v1";

/// The journal of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillPredicate {
    /// Id.
    pub id: String,
    /// System name and version.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// Who ran it.
    pub operator: String,
    /// Start, RFC 3339 in UTC.
    pub started: String,
    /// End, RFC 3339 in UTC.
    pub ended: String,
    /// Digests of program, guard policy and models.
    pub assets: Vec<AssetDigest>,
    /// Experiments, in the order they ran.
    pub experiments: Vec<Experiment>,
    /// Last checkpoint of the guard's log, as a signed note.
    pub guard_checkpoint: String,
}

/// One fault with its hypothesis and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Fault, e.g. `kill-primary`.
    pub fault: String,
    /// What should happen, in words, with the time limits of the policy.
    pub hypothesis: String,
    /// Before the fault.
    pub before: Counts,
    /// While it lasted.
    pub during: Counts,
    /// After it was taken back.
    pub after: Counts,
    /// State changes of the guard: milliseconds since the fault, state.
    pub states: Vec<(f64, String)>,
    /// Longest time between two good answers while the fault lasted, milliseconds.
    pub gap_ms: Option<f64>,
    /// From the fault to the first answer of the fall-back, milliseconds.
    pub failover_ms: Option<f64>,
    /// From taking the fault back to the first answer of the primary, milliseconds.
    pub recovery_ms: Option<f64>,
    /// Limit that the gap must keep, milliseconds.
    pub gap_limit_ms: Option<f64>,
    /// Whether the hypothesis did not hold.
    pub deviated: bool,
    /// Why, in words, when it did not.
    pub reason: Option<String>,
}

/// Answers counted over a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Answered by the primary.
    pub primary: u64,
    /// Answered by the backup, marked.
    pub backup: u64,
    /// Declared safe output.
    pub safe: u64,
    /// Refused with a reason (limits, keys, stopped).
    pub refused: u64,
    /// No answer, or a broken one.
    pub failed: u64,
    /// Answers that differ from the known one without being marked.
    pub wrong: u64,
}

/// Every journal in the log, in log order.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn drills(log: &Log, store: &Store) -> Result<Vec<Logged<DrillPredicate>>, RegisterError> {
    events::logged(log, store, &EntryKind::Drill, DRILL)
}
