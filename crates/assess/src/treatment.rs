//! Measures and their measured effect (`proofmark harden`).
//!
//! Owns the predicate and its reading. Must never call a measure effective without an interval of
//! the paired difference that leaves zero out. Called by the matrix, the register and the papers.

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::{AssetDigest, Measurement};
use serde::{Deserialize, Serialize};

use crate::events::{self, Logged};
use crate::predicate::{ArtefactRef, Tool};
use crate::register::RegisterError;

/// Predicate type of measured treatments.
pub const TREATMENTS: &str = "urn:proofmark:predicate:treatments:v1";

/// What measures do, each alone and all together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreatmentsPredicate {
    /// Id.
    pub id: String,
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// Start, RFC 3339 in UTC.
    pub started: String,
    /// End, RFC 3339 in UTC.
    pub ended: String,
    /// Digests of what was measured.
    pub assets: Vec<AssetDigest>,
    /// Measures, in the order of the table.
    pub measures: Vec<Measure>,
    /// One arm per set of measures: none, all, and all without each.
    pub arms: Vec<Arm>,
    /// What each measure changed.
    pub effects: Vec<Effect>,
    /// Figures that belong to no arm: the share of witnesses that also fool the backup, and the
    /// sheets of the models that stand in when the primary is out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Measurement>,
    /// Files kept in the artefact store: rows and witnesses of the arms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<ArtefactRef>,
    /// Seed of every random stream.
    #[serde(default)]
    pub seed: u64,
    /// Rows it was cut to, where it was: a trial, which is shown and counts nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Remarks for people.
    pub notes: Vec<String>,
}

/// A measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Id, e.g. `vote`.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// Step in the legal order: design, control, information.
    pub order: Order,
    /// Cells of the matrix it works on, e.g. `evasion/prevent`.
    pub cells: Vec<String>,
    /// Files that make it: what is shipped when it is taken.
    pub artefacts: Vec<ArtefactRef>,
    /// Setting of the guard that turns it on, when it is one: `release.vote`, or with the value
    /// that was measured, `release.decimals = 2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Models that carry it and were measured, where no artefact does: the network retrained with
    /// the adversarial rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ships: Vec<AssetDigest>,
    /// What it does, precisely, and what was built.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// Why its effect was not measured, and what to do for it; `None` when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

/// The legal order of measures (Art. 9(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Removed or reduced by design.
    Design,
    /// Mitigation and control.
    Control,
    /// Information and training.
    Information,
}

/// Figures with a set of measures on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Name: `none`, `all`, `without <measure>`, `only <measure>`.
    pub name: String,
    /// Measures that are on.
    pub on: Vec<String>,
    /// What answers in this arm, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// Figures: clean, under the adaptive attack, per group, latency.
    pub measurements: Vec<Measurement>,
}

/// What one measure changed, paired row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// Measure.
    pub measure: String,
    /// Figure it is about, e.g. `robust_recall`.
    pub metric: String,
    /// Difference with minus without, with its interval; a Newcombe interval for paired shares.
    pub difference: f64,
    /// Lower end at `confidence`.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Confidence, two-sided.
    pub confidence: f64,
    /// Rows compared.
    pub n: u64,
    /// Rows that are good with the measure only.
    #[serde(default)]
    pub gained: u64,
    /// Rows that are good without the measure only.
    #[serde(default)]
    pub lost: u64,
    /// Arm with the measure, e.g. `only vote` or `all`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub with: String,
    /// Arm without it, e.g. `none` or `without vote`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub without: String,
    /// Threat, for robust figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat: Option<String>,
    /// Budget, for robust figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// How the interval is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// What that says.
    pub says: Says,
}

/// What an interval of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// The interval lies above zero.
    Better,
    /// The interval lies below zero.
    Worse,
    /// The interval holds zero: no measured effect.
    NoMeasuredEffect,
}

impl Says {
    /// What an interval of a difference says, for a figure of which more is better.
    pub fn of(lower: f64, upper: f64) -> Self {
        if lower > 0.0 {
            Self::Better
        } else if upper < 0.0 {
            Self::Worse
        } else {
            Self::NoMeasuredEffect
        }
    }

    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoMeasuredEffect => "no measured effect",
        }
    }
}

/// Every statement of treatments in the log, in log order.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn treatments(
    log: &Log,
    store: &Store,
) -> Result<Vec<Logged<TreatmentsPredicate>>, RegisterError> {
    events::logged(log, store, &EntryKind::Treatment, TREATMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_that_leaves_zero_out_speaks_of_an_effect() {
        for (lower, upper, says) in [
            (0.01, 0.2, Says::Better),
            (-0.2, -0.01, Says::Worse),
            (-0.1, 0.1, Says::NoMeasuredEffect),
            (0.0, 0.3, Says::NoMeasuredEffect),
            (-0.3, 0.0, Says::NoMeasuredEffect),
            (f64::NAN, f64::NAN, Says::NoMeasuredEffect),
        ] {
            assert_eq!(Says::of(lower, upper), says, "{lower} {upper}");
        }
    }
}
