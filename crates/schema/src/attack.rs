//! Attack reports (`proofmark.attack/1`): per row what was tried, found and spent.
//!
//! Owns the wire types; the committed JSON Schema is `schemas/attack.1.json`. Must never decide
//! an outcome: the lab does. Rows are named by index only; witnesses lie elsewhere.

use serde::{Deserialize, Serialize};

use crate::measurement::{AssetDigest, EngineUse, Method, Validity};
use crate::system::{Norm, Scale};

/// The format tag.
pub const FORMAT: &str = "proofmark.attack/1";

/// Report of a suite of attacks on one model, one data set, one threat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackReport {
    /// [`FORMAT`].
    pub format: String,
    /// Whether every asked row was decided.
    pub complete: bool,
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
    /// Threat name; `None` for an ad-hoc attack.
    pub threat: Option<String>,
    /// Class names, in the order of the class indices below.
    pub classes: Vec<String>,
    /// The declared decision, in words.
    pub decision: String,
    /// Direction of the attack; `None`: any wrong decision.
    pub goal: Option<GoalIndex>,
    /// Distance.
    pub norm: Norm,
    /// Unit of the budgets.
    pub scale: Scale,
    /// Largest number of queries per row and budget.
    pub queries_limit: Option<u64>,
    /// Suite.
    pub suite: Method,
    /// Attacks of the suite, in the order they run.
    pub attacks: Vec<AttackUse>,
    /// Rows.
    pub n: u64,
    /// Rows decided correctly as they are.
    pub correct: u64,
    /// Rows that were attacked: correct and, under a goal, of the class it starts from.
    pub attackable: u64,
    /// One entry per budget, ascending.
    pub robust: Vec<RobustAt>,
    /// One entry per row, ascending by index.
    pub points: Vec<Point>,
    /// Checks of set-up and attack.
    pub validity: Vec<Validity>,
    /// Engine that answered.
    pub engine: EngineUse,
    /// CPU features the result depends on.
    pub cpu: String,
    /// Seed of the random streams.
    pub seed: u64,
    /// Digests of the model and data files.
    pub digests: Vec<AssetDigest>,
    /// What the rows add up to beside the shares of `robust`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The same rows under another model, budget by budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// What an exact search over a tree ensemble settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactSearch>,
    /// What was proved of a network beside the attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<NetworkProof>,
}

/// Rows of two models under the same attack, by who stands (McNemar's table).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// SHA-256 of the other model.
    pub with: String,
    /// Budget.
    pub eps: f64,
    /// Rows robust under both.
    pub both: u64,
    /// Rows robust under this model only.
    pub here: u64,
    /// Rows robust under the other model only.
    pub there: u64,
    /// Rows robust under neither.
    pub neither: u64,
    /// Robust accuracy of this model less that of the other.
    pub difference: f64,
    /// Lower end of its two-sided interval.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// Confidence of the interval.
    pub confidence: f64,
    /// Exact two-sided p-value of McNemar's test.
    pub p: f64,
}

/// An exact search for the nearest change of each row. The lower ends of the points' distances
/// are its own; where a row is in none of the lists, its lower end is the exact infimum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExactSearch {
    /// In which arithmetic the distances are exact, and what they count.
    pub arithmetic: String,
    /// Edition of the search.
    pub edition: u32,
    /// Trees searched.
    pub trees: u64,
    /// Leaves of these trees.
    pub leaves: u64,
    /// Rows searched.
    pub searched: u64,
    /// Rows whose nearest change is known exactly.
    pub settled: u64,
    /// Rows whose decision nothing that the attacker can do changes: their lower end is infinite,
    /// which `points` shows as null.
    pub unchangeable: Vec<u64>,
    /// Rows on which the search stopped early: their distances are intervals.
    pub open: Vec<u64>,
    /// Settled rows at whose nearest change the deployed engine did not decide otherwise.
    pub unconfirmed: Vec<u64>,
    /// Mean of the exact distances; only where every searched row has one.
    pub mean_distance: Option<f64>,
    /// Rows still right under every change nearer than a budget.
    pub robust: Vec<ExactAt>,
    /// Boxes judged, all rows together.
    pub boxes: u64,
    /// Most boxes judged per row.
    pub boxes_limit: u64,
    /// The deployed engine on the same rows.
    pub deployed: DeployedBeside,
}

/// Proofs about a network. The lower ends of the points' distances are theirs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkProof {
    /// How the bounds are made.
    pub method: String,
    /// What they hold for.
    pub arithmetic: String,
    /// Edition of the prover.
    pub edition: u32,
    /// ReLU neurons of the network.
    pub neurons: u64,
    /// Rows that were looked at.
    pub searched: u64,
    /// Rows proved right within each budget, and those neither proved nor broken.
    pub robust: Vec<ExactAt>,
    /// Parts bounded, all rows together.
    pub parts: u64,
    /// Most parts per row and budget.
    pub parts_limit: u64,
}

/// Rows still right under every change nearer than a budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactAt {
    /// Budget; a change at exactly this distance does not count.
    pub eps: f64,
    /// Rows proved.
    pub proved: u64,
    /// Rows neither proved nor disproved.
    pub open: u64,
}

/// What the deployed engine answers, beside an exact search in another arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeployedBeside {
    /// Rows that it decides rightly.
    pub correct: u64,
    /// Rows that it decides otherwise than the arithmetic of the search.
    pub differs: Vec<u64>,
    /// Rows right and without a witness within each budget, by the deployed engine alone.
    pub robust: Vec<u64>,
}

/// What the rows of a report add up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Attacked rows with a witness at any distance.
    pub found: u64,
    /// Quantiles of the distance to the nearest witness over the attacked rows; rows without one
    /// count as infinitely far, and a quantile that falls among them is left out.
    pub distances: Vec<DistanceQuantile>,
    /// Robust accuracy by distance: a step function, thinned.
    pub curve: Vec<CurvePoint>,
    /// Rows whose kept witness each attack found, in the order of the suite.
    pub found_by: Vec<FoundBy>,
    /// Forward passes asked, all rows and budgets together.
    pub queries: u64,
    /// Gradients asked, all rows and budgets together.
    pub gradients: u64,
    /// Figures per class of the label.
    pub classes: Vec<Slice>,
    /// Figures per declared group, large enough ones only.
    pub groups: Vec<Slice>,
}

/// A quantile of the distances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistanceQuantile {
    /// Quantile, in `(0, 1)`.
    pub p: f64,
    /// Distance, in the unit of the scale: an upper bound.
    pub distance: f64,
}

/// Robust accuracy at one distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Distance.
    pub eps: f64,
    /// Rows correct and without a witness within it.
    pub k_robust: u64,
    /// `k_robust / n`: at most so many are robust.
    pub estimate: f64,
    /// Lower end of the two-sided sampling interval of the estimate.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// Share proved robust; `None` where nothing was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<f64>,
}

/// Rows that an attack turned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBy {
    /// Attack id.
    pub attack: String,
    /// Rows.
    pub rows: u64,
}

/// Robust accuracy of some of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Feature of a group; `None` for a class of the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Class or group.
    pub value: String,
    /// Rows.
    pub n: u64,
    /// Rows decided correctly as they are.
    pub correct: u64,
    /// One entry per budget, ascending.
    pub robust: Vec<RobustAt>,
}

/// A goal, by class index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalIndex {
    /// Class the attacker starts from.
    pub from: usize,
    /// Class the attacker wants.
    pub to: usize,
}

/// An attack of a suite and whether it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackUse {
    /// Attack id.
    pub id: String,
    /// Edition of the attack.
    pub edition: u32,
    /// Settings in words.
    pub settings: String,
    /// Why it did not run, if it did not.
    pub skipped: Option<String>,
}

/// Robustness at one budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustAt {
    /// Distance.
    pub norm: Norm,
    /// Budget.
    pub eps: f64,
    /// Rows correct and not broken.
    pub k_robust: u64,
    /// `k_robust / n`.
    pub estimate: f64,
    /// Lower end of the two-sided sampling interval.
    pub lower: f64,
    /// Upper end of the two-sided sampling interval.
    pub upper: f64,
    /// Confidence of the interval.
    pub confidence: f64,
    /// Proved from below, attacked from above.
    pub bracket: Bracket,
}

/// What the share of robust rows lies between, sampling aside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// Share proved; `None`: nothing was proved.
    pub proved: Option<f64>,
    /// Share that no attack broke.
    pub attacked: f64,
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Row of the data, from 0.
    pub index: u64,
    /// Class index of the label.
    pub label: usize,
    /// Class decided on the clean row; `None`: the model gave no number.
    pub decision_clean: Option<usize>,
    /// Outcome at the greatest budget.
    pub outcome: Outcome,
    /// Bounds on the distance to the nearest success.
    pub distance: Distance,
    /// Attack that found the witness kept.
    pub found_by: Option<String>,
    /// Class decided at the witness.
    pub decision_witness: Option<usize>,
    /// Set when a second engine decides otherwise at the witness.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disputed: bool,
    /// Regression: the largest shift of the answer found at the greatest budget, in the unit of
    /// the label. A lower bound of the worst case; `None` where it was not searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// Forward passes asked, all budgets together.
    pub queries: u64,
    /// Gradients asked, all budgets together.
    pub gradients: u64,
    /// What each budget's own run found, before anything was carried over.
    pub runs: Vec<BudgetRun>,
}

/// Outcome of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The clean decision is wrong.
    Wrong,
    /// Correct, and the goal starts from another class: stands as it is.
    NotAttackable,
    /// A witness within the greatest budget was found.
    Broken,
    /// No attack succeeded within the greatest budget. Not a proof.
    Survived,
}

/// Bounds on a distance, in the unit of the scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Distance.
    pub norm: Norm,
    /// Proved lower bound; `None`: nothing was proved.
    pub lower: Option<f64>,
    /// Distance of the nearest witness; `None`: none was found.
    pub upper: Option<f64>,
}

/// One row under one budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetRun {
    /// Budget.
    pub eps: f64,
    /// Whether this budget's own run broke the row.
    pub broken: bool,
    /// Attack that did.
    pub found_by: Option<String>,
    /// Forward passes asked.
    pub queries: u64,
    /// Gradients asked.
    pub gradients: u64,
    /// What the attacks saw on their way.
    pub signs: Vec<Signs>,
}

/// What one attack saw on one row: the material of the validity gates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signs {
    /// Attack id.
    pub attack: String,
    /// Gradients that were zero in every coordinate.
    pub zero_gradients: u64,
    /// Gradients with a NaN or infinity.
    pub non_finite_gradients: u64,
    /// Gradients asked.
    pub gradients: u64,
    /// Share of the attack's whole gain in loss that came in its last tenth of steps.
    pub late_gain: Option<f64>,
    /// Whether a candidate seen on the way was a success by the target's own scores.
    pub crossed: bool,
    /// Scores that were NaN.
    pub nan_scores: u64,
    /// Candidates that broke the declared constraints even after repair; never shown to the
    /// target.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub invalid: u64,
}

fn is_nought(count: &u64) -> bool {
    *count == 0
}

fn is_false(value: &bool) -> bool {
    !value
}
