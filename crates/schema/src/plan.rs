//! Plans (`proofmark.plan/1`): what will be measured and what must be reached, fixed beforehand.
//!
//! Owns the wire type. Must never hold a result.

use serde::{Deserialize, Serialize};

use crate::measurement::AssetDigest;
use crate::system::Criterion;

/// The format tag.
pub const FORMAT: &str = "proofmark.plan/1";

/// A registered plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// System name and version.
    pub system: String,
    /// System version.
    pub version: String,
    /// Digests of declaration, models and data, sorted by name.
    pub assets: Vec<AssetDigest>,
    /// Probes in the order they run.
    pub probes: Vec<Probe>,
    /// Criteria as registered.
    pub criteria: Vec<Criterion>,
    /// Seed.
    pub seed: u64,
}

/// One planned probe: a unit of work whose result is named by its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Id, e.g. `mlp/test/evasion/applicant`.
    pub id: String,
    /// What it does.
    pub kind: ProbeKind,
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
}

/// Kind of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeKind {
    /// Scores against the expected scores of the training framework.
    Parity,
    /// Accuracy, calibration and the like at the declared decision.
    Accuracy,
    /// A suite of attacks under a threat, over all its budgets.
    Evasion {
        /// Threat name.
        threat: String,
        /// Suite id.
        suite: String,
        /// Edition of the suite.
        edition: u32,
        /// Budgets.
        eps: Vec<f64>,
    },
    /// A fault that is set on purpose, over all its severities.
    Fault {
        /// Fault name.
        fault: String,
        /// Kind, as declared.
        what: String,
        /// Edition of the kind.
        edition: u32,
        /// Severities.
        severities: Vec<u8>,
    },
}
