//! Fault reports (`proofmark.faults/1`): what errors and faults, set on purpose, did to decisions.
//!
//! Owns the wire type. Must never compute a figure.

use serde::{Deserialize, Serialize};

use crate::measurement::{AssetDigest, EngineUse, Validity};

/// The format tag.
pub const FORMAT: &str = "proofmark.faults/1";

/// All figures of one fault on one model and data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// [`FORMAT`].
    pub format: String,
    /// Name in the declaration, or the kind.
    pub fault: String,
    /// Kind.
    pub kind: String,
    /// Edition of the kind.
    pub edition: u32,
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
    /// Rows.
    pub n: u64,
    /// Rows decided as labelled without the fault: the baseline of every relative figure.
    pub correct: u64,
    /// Confidence of all two-sided intervals.
    pub confidence: f64,
    /// Seed.
    pub seed: u64,
    /// Engine that answered.
    pub engine: EngineUse,
    /// Digests of the files.
    pub assets: Vec<AssetDigest>,
    /// One per corruption, or per column; one without a name otherwise. Empty for bit faults and
    /// the availability probe.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Means over the members, per severity; empty for one member.
    #[serde(default)]
    pub pooled: Vec<Pooled>,
    /// Mean over members of the error over all severities, relative to the clean error of the
    /// same model on the same rows; absent where the clean model errs nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption_error: Option<Ranged>,
    /// Bit faults, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bits: Vec<BitFaults>,
    /// The availability probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Checks of the set-up, where the report stands alone; `assess` keeps them beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validity: Vec<Validity>,
    /// Remarks for people.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A value with its two-sided interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranged {
    /// Value.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// One corruption or column under all severities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Corruption or column; `null` for a fault without members.
    pub name: Option<String>,
    /// What it does, in a sentence.
    pub means: String,
    /// By severity, ascending.
    pub levels: Vec<SeverityFigures>,
}

/// Figures of one severity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeverityFigures {
    /// 1 to 5.
    pub severity: u8,
    /// How strong that is, in words.
    pub strength: String,
    /// Rows that the fault changed.
    pub changed: u64,
    /// Changed rows that the declared form (type, bounds, values) refuses; tables only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught: Option<u64>,
    /// Rows decided as labelled.
    pub correct: u64,
    /// Rows whose decision differs from the clean one.
    pub flipped: u64,
    /// Rows without a decision: the model answered NaN.
    pub undecided: u64,
    /// Share decided as labelled.
    pub accuracy: Ranged,
    /// Clean accuracy less that, row by row.
    pub drop: Ranged,
    /// Exact p-value of McNemar's test between clean and faulted.
    pub mcnemar: f64,
    /// Error relative to the clean error; absent where the clean model errs nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<Ranged>,
    /// Class with the greatest drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_class: Option<PartDrop>,
    /// Group with the greatest drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_group: Option<PartDrop>,
}

/// What a fault costs a part of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartDrop {
    /// Class, or `feature=value`.
    pub part: String,
    /// Rows.
    pub n: u64,
    /// Share decided as labelled without the fault.
    pub clean: f64,
    /// Share decided as labelled under it.
    pub faulted: f64,
    /// Difference, row by row.
    pub drop: Ranged,
}

/// Means over the members at one severity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// 1 to 5.
    pub severity: u8,
    /// Mean accuracy.
    pub accuracy: Ranged,
    /// Mean share of changed decisions.
    pub flipped: Ranged,
    /// Mean error relative to the clean error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<Ranged>,
}

/// Random bit flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BitFaults {
    /// `weights` or `activations`.
    pub place: String,
    /// Rows asked per injection.
    pub rows: u64,
    /// Bits that could be hit.
    pub bits: u64,
    /// Node values that could not be hit: the engine refuses the splice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// By severity, ascending.
    pub levels: Vec<BitLevel>,
}

/// Bit flips of one severity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BitLevel {
    /// 1 to 5.
    pub severity: u8,
    /// Bits flipped at once.
    pub flips: u64,
    /// Injections.
    pub injections: u64,
    /// Injections after which some decision changed and every answer was a plain number.
    pub silent: u64,
    /// Injections after which some answer was NaN or infinite, or the model did not answer.
    pub detectable: u64,
    /// Share of silent injections.
    pub silent_share: Ranged,
    /// Share of detectable injections.
    pub detectable_share: Ranged,
    /// Share of all asked rows whose decision changed (silently or not), mean over injections.
    pub rows_changed: f64,
    /// By bit position, of single flips.
    #[serde(default)]
    pub by_bit: Vec<BitPart>,
    /// By layer (constant, node or tree attribute), of single flips.
    #[serde(default)]
    pub by_layer: Vec<BitPart>,
}

/// Injections at one bit position or in one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BitPart {
    /// `sign`, `exponent 30`, `mantissa 3`, or the name of the layer.
    pub part: String,
    /// Injections.
    pub injections: u64,
    /// Silent ones.
    pub silent: u64,
    /// Detectable ones.
    pub detectable: u64,
    /// Share of silent injections.
    pub silent_share: Ranged,
}

/// The costliest valid input that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// Inputs that were tried.
    pub tried: u64,
    /// Rounds of the final comparison.
    pub rounds: u64,
    /// Median latency of the plain rows, in seconds.
    pub median_seconds: f64,
    /// Median latency of the costliest input, in seconds.
    pub worst_seconds: f64,
    /// Ratio of the two.
    pub ratio: Ranged,
    /// What the costliest input is, in words.
    pub worst: String,
    /// Ratio of the best candidate of every family, as (family, ratio).
    pub families: Vec<(String, f64)>,
    /// Machine the figure holds for.
    pub machine: String,
}
