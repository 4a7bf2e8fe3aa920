//! What the signed statements of an assessment say.
//!
//! Owns the predicate types and their wire form. Must never hold rows, witnesses or anything
//! about a person. Written by `assessment`, read back by `history`, the report and `replay`.

use proofmark_schema::measurement::{Measurement, Validity};
use proofmark_schema::plan::{Plan, Probe};
use proofmark_schema::system::System;
use serde::{Deserialize, Serialize};

use crate::judge::Verdict;
use crate::matrix::Matrix;

/// Predicate type of a registered plan.
pub const PLAN: &str = "urn:proofmark:predicate:plan:v1";
/// Predicate type of the outcome of one probe.
pub const MEASUREMENTS: &str = "urn:proofmark:predicate:measurements:v1";
/// Predicate type of the verdicts of a run.
pub const VERDICTS: &str = "urn:proofmark:predicate:verdicts:v1";

/// The program that made a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// A registered plan with the declaration it was made from.
///
/// It holds no time: the same plan of the same tool is the same statement, so that an unended run
/// finds its plan again. The time of registration is that of the leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPredicate {
    /// Plan.
    pub plan: Plan,
    /// Declaration.
    pub system: System,
    /// Program.
    pub tool: Tool,
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementsPredicate {
    /// Run.
    pub run: String,
    /// Digest of the plan statement.
    pub plan: String,
    /// Probe.
    pub probe: Probe,
    /// Program.
    pub tool: Tool,
    /// Start, RFC 3339 in UTC.
    pub started: String,
    /// End, RFC 3339 in UTC.
    pub ended: String,
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// Checks that concern every figure of the probe.
    pub validity: Vec<Validity>,
    /// Remarks for people.
    pub notes: Vec<String>,
    /// Files kept in the artefact store.
    pub artefacts: Vec<ArtefactRef>,
    /// Set when the probe failed and gave nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<ProbeFailure>,
}

/// A kept file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactRef {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// True for rows and witnesses.
    pub personal: bool,
}

/// Why a probe gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeFailure {
    /// Why.
    pub reason: String,
    /// What to do next.
    pub fix: String,
}

/// The verdicts of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictsPredicate {
    /// Run.
    pub run: String,
    /// Digest of the plan statement.
    pub plan: String,
    /// Program.
    pub tool: Tool,
    /// Time, RFC 3339 in UTC.
    pub time: String,
    /// Digests of the measurement statements they rest on, in the order of the plan.
    pub results: Vec<String>,
    /// Verdicts, in the order of the criteria.
    pub verdicts: Vec<Verdict>,
    /// Matrix.
    pub matrix: Matrix,
    /// Whether every probe of the plan gave its figures.
    pub complete: bool,
    /// Why figures of this run are unfit for declaration; empty when they are fit.
    pub exploratory: Vec<String>,
}
