//! What is said about an incident: one signed statement per deed.
//!
//! Owns the predicate and its wire form. Must never hold the name of a person affected. Written by
//! `incident::record`, read back by the fold.

use proofmark_schema::clock::{ClockRules, Reading};
use proofmark_schema::incident::{Frozen, FrozenFile, IncidentFacts};
use serde::{Deserialize, Serialize};

use crate::predicate::{ArtefactRef, Tool};

/// Predicate type of one deed about an incident.
pub const INCIDENT: &str = "urn:proofmark:predicate:incident:v1";

/// One deed about an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentPredicate {
    /// Incident, e.g. `inc-1`.
    pub incident: String,
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// Who.
    pub by: Actor,
    /// What.
    pub deed: Deed,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Person of the declaration (`people.<id>`); `None` for a name that was only typed.
    pub person: Option<String>,
    /// Name.
    pub name: String,
    /// Function; empty for a name that was only typed.
    pub role: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Deed {
    /// The case was opened.
    Open(Box<Opening>),
    /// More is known.
    Update(Box<Update>),
    /// A report was written.
    Report(ReportMade),
    /// An authority received a report.
    Receipt(Receipt),
    /// Damage was contained.
    Contain(Containment),
    /// The system was changed during a hold, after notice.
    Change(Change),
    /// A person decided not to report.
    Waive(Waiver),
    /// The hold was lifted.
    Release(Release),
    /// The case was closed.
    Close(Closing),
}

/// Opening of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// What is known.
    pub facts: IncidentFacts,
    /// Reading of the legal calendar.
    pub reading: Reading,
    /// Rules as they stand; the case keeps them.
    pub rules: ClockRules,
    /// What was frozen, when it is serious.
    pub freeze: Option<Freeze>,
}

/// What was frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Digests and checkpoints.
    pub frozen: Frozen,
    /// Copies kept in the artefact store.
    pub copies: Vec<ArtefactRef>,
}

/// New facts; the old ones stay in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// All facts, as they are known now.
    pub facts: IncidentFacts,
    /// Names of the facts that changed.
    pub changed: Vec<String>,
    /// Why, where a clock ends later than before or no longer counts.
    pub because: Option<String>,
    /// What was frozen, when the incident became serious.
    pub freeze: Option<Freeze>,
}

/// A report that was written; it stops no clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportMade {
    /// Id, e.g. `inc-1-r1`.
    pub id: String,
    /// Form.
    pub form: String,
    /// Clocks it answers.
    pub clocks: Vec<String>,
    /// Clocks whose whole content it tells as well.
    pub covers: Vec<String>,
    /// Fields that are asked for and empty.
    pub gaps: Vec<String>,
    /// The readable document.
    pub document: ArtefactRef,
    /// The same as data.
    pub data: ArtefactRef,
}

/// What an authority gave back: the one thing that stops a clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Id, e.g. `inc-1-q1`.
    pub id: String,
    /// Report it is for.
    pub report: String,
    /// Authority.
    pub authority: String,
    /// Channel: platform, post, mail.
    pub channel: String,
    /// Reference on the receipt.
    pub reference: String,
    /// Time on the receipt.
    pub at: String,
    /// Member State of the authority.
    pub member_state: Option<String>,
    /// Why it is late, where the law asks for that.
    pub late_because: Option<String>,
    /// The receipt itself.
    pub file: Option<ArtefactRef>,
}

/// Something done against the damage; always allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containment {
    /// Kind.
    pub action: Action,
    /// What exactly.
    pub what: String,
    /// When it was done.
    pub at: String,
}

/// Kind of containment: none changes what is under investigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Traffic was stopped.
    Stop,
    /// A key was blocked.
    BlockKey,
    /// A limit was tightened.
    TightenLimit,
    /// Only the safe output is given.
    SafeOutput,
    /// The frozen backup answers.
    UseBackup,
    /// Users were warned.
    WarnUsers,
}

/// A change during a hold, of which an authority was told beforehand (Art. 73(6)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is changed.
    pub what: String,
    /// Reference of the notice or receipt.
    pub notice: String,
    /// Authority that was told.
    pub authority: String,
    /// When it was told.
    pub told: String,
    /// The notice itself.
    pub file: Option<ArtefactRef>,
    /// Model files the change brings.
    pub models: Vec<FrozenFile>,
    /// SHA-256 of the policy file it brings, hex.
    pub guard_policy: Option<String>,
}

/// A decision not to report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Clock.
    pub clock: String,
    /// Why.
    pub because: String,
}

/// End of a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Receipt it rests on.
    pub receipt: Option<String>,
    /// Why, where there is no receipt.
    pub because: Option<String>,
}

/// End of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Run that tested the system again and passed.
    pub retest: Option<Retest>,
    /// Why, where there is no such run.
    pub because: Option<String>,
}

/// A run that tested the system again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retest {
    /// Run.
    pub run: String,
    /// Digest of its verdicts, hex.
    pub verdicts: String,
    /// When it started.
    pub started: String,
    /// Whether it is complete, fit for declaration and every criterion passed.
    pub passed: bool,
}

impl Deed {
    /// Word for people.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Open(_) => "opened",
            Self::Update(_) => "updated",
            Self::Report(_) => "report written",
            Self::Receipt(_) => "receipt",
            Self::Contain(_) => "contained",
            Self::Change(_) => "changed after notice",
            Self::Waive(_) => "not reported",
            Self::Release(_) => "hold released",
            Self::Close(_) => "closed",
        }
    }
}
