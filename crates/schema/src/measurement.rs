//! Measurements (`proofmark.measurement/1`): one figure with all that makes it checkable.
//!
//! Owns the wire type. Must never compute or round: values are what the lab measured.

use serde::{Deserialize, Serialize};

/// The format tag.
pub const FORMAT: &str = "proofmark.measurement/1";

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`FORMAT`].
    pub format: String,
    /// Stable id, e.g. `mlp/test/robust_accuracy/applicant/0.05`; also the fact id.
    pub id: String,
    /// Metric name.
    pub metric: String,
    /// Unit: `proportion`, `count`, `seconds`, `1` ...
    pub unit: String,
    /// What was measured.
    pub subject: Subject,
    /// The figure.
    pub quantity: Quantity,
    /// Probe that made it, with the edition of its method.
    pub probe: Method,
    /// Digests of the model and data files.
    pub assets: Vec<AssetDigest>,
    /// Engine that answered.
    pub engine: EngineUse,
    /// Seed of the run.
    pub seed: u64,
    /// Checks of the set-up and of the attack; empty means none applies.
    pub validity: Vec<Validity>,
}

/// What a figure is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
    /// Threat name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threat: Option<String>,
    /// Budget.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eps: Option<f64>,
    /// Fault, or `<fault>/<member>` for one column or corruption of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// Severity of the fault, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<u8>,
    /// Group `(feature, value)`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<(String, String)>,
    /// Class, for per-class figures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<String>,
    /// Quantile, for quantiles of the error.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantile: Option<f64>,
}

/// A figure, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Quantity {
    /// A sample estimate with a two-sided interval.
    Estimate {
        /// Point estimate.
        value: f64,
        /// Lower end of the interval.
        lower: f64,
        /// Upper end of the interval.
        upper: f64,
        /// Confidence of the two-sided interval, e.g. 0.95.
        confidence: f64,
        /// How the interval is made, e.g. `clopper-pearson`.
        method: String,
        /// Successes, for a proportion.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        k: Option<u64>,
        /// Sample size.
        n: u64,
        /// One-sided bounds at the confidences of the registered criteria, where the interval at
        /// hand is no exact one of a share.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        one_sided: Vec<OneSided>,
    },
    /// A value that is not a sample.
    Exact {
        /// The value.
        value: f64,
        /// Over what it is exact.
        domain: String,
        /// In which arithmetic.
        arithmetic: String,
    },
    /// Robustness: proved from below, attacked from above.
    Bracket {
        /// Proved share; `None`: nothing was proved.
        proved: Option<f64>,
        /// Share that survived the attacks: `k / n`.
        attacked: f64,
        /// Lower end of the sampling interval of `attacked`.
        lower: f64,
        /// Upper end of the sampling interval of `attacked`.
        upper: f64,
        /// Confidence of the two-sided interval.
        confidence: f64,
        /// Rows correct and not broken.
        k: u64,
        /// All rows.
        n: u64,
    },
    /// A search that may find nothing.
    Screen {
        /// Number found.
        found: u64,
        /// Share examined.
        coverage: f64,
        /// Edition of the rules.
        edition: String,
    },
}

/// Bounds that hold each on its own: the true figure is at least `lower`, and at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneSided {
    /// Confidence of each bound, in (0.5, 1).
    pub confidence: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

/// A probe or method with its edition. Two editions never share a trend line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Id, e.g. `suite/quick`.
    pub id: String,
    /// Edition.
    pub edition: u32,
}

/// Digest of an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AssetDigest {
    /// Name, e.g. `model/mlp`.
    pub name: String,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Engine, version and CPU features that a result depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineUse {
    /// `rten`, `reference` ...
    pub name: String,
    /// Version.
    pub version: String,
    /// CPU features, sorted.
    pub cpu: String,
}

/// State of a validity check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Holds.
    Ok,
    /// Does not hold; the figure stands but is downgraded.
    Warn,
    /// The set-up is broken: the verdict is refused.
    Refuse,
    /// Could not be examined.
    NotExamined,
}

/// One validity check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Check id, e.g. `gate-11-unconstrained`.
    pub check: String,
    /// State.
    pub state: CheckState,
    /// Why.
    pub reason: String,
    /// Likely fix; empty when `state` is ok.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Quantity {
    /// The point value.
    pub fn value(&self) -> f64 {
        match self {
            Self::Estimate { value, .. } | Self::Exact { value, .. } => *value,
            Self::Bracket { attacked, .. } => *attacked,
            Self::Screen { found, .. } => *found as f64,
        }
    }
}
