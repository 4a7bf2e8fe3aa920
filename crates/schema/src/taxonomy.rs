//! The shape of the law: seven threats by five verbs, and ids of the field's taxonomies.
//!
//! Owns names and ids as data. Must never decide the state of a cell: `assess` does.

use serde::{Deserialize, Serialize};

/// Rows of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThreatClass {
    /// AIA-15-5-c
    DataPoisoning,
    /// AIA-15-5-d
    ModelPoisoning,
    /// AIA-15-5-e
    Evasion,
    /// AIA-15-5-f
    Confidentiality,
    /// AIA-15-5-g
    ModelFlaws,
    /// AIA-15-4
    ErrorsAndFaults,
    /// CRA Annex I
    IctUnderneath,
}

/// Columns of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Keep it from happening.
    Prevent,
    /// Notice it.
    Detect,
    /// React to it.
    Respond,
    /// Remove the cause.
    Resolve,
    /// Keep it in check.
    Control,
}

/// Coverage of a duty or cell. Nothing turns green from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// By a signed measurement of ours.
    Measured,
    /// By signed evidence of others.
    Imported,
    /// By a person's statement.
    Declared,
    /// Set aside, with a reason.
    Waived,
    /// Nothing.
    Missing,
}

impl ThreatClass {
    /// All rows, in order.
    pub const ALL: [Self; 7] = [
        Self::DataPoisoning,
        Self::ModelPoisoning,
        Self::Evasion,
        Self::Confidentiality,
        Self::ModelFlaws,
        Self::ErrorsAndFaults,
        Self::IctUnderneath,
    ];
    /// Id in declarations and outputs.
    pub fn id(self) -> &'static str {
        match self {
            Self::DataPoisoning => "data-poisoning",
            Self::ModelPoisoning => "model-poisoning",
            Self::Evasion => "evasion",
            Self::Confidentiality => "confidentiality",
            Self::ModelFlaws => "model-flaws",
            Self::ErrorsAndFaults => "errors-and-faults",
            Self::IctUnderneath => "ict-underneath",
        }
    }
    /// Words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::DataPoisoning => "data poisoning",
            Self::ModelPoisoning => "model poisoning",
            Self::Evasion => "evasion",
            Self::Confidentiality => "confidentiality attacks",
            Self::ModelFlaws => "model flaws",
            Self::ErrorsAndFaults => "errors and faults",
            Self::IctUnderneath => "ICT underneath",
        }
    }
}

impl Verb {
    /// All columns, in order.
    pub const ALL: [Self; 5] =
        [Self::Prevent, Self::Detect, Self::Respond, Self::Resolve, Self::Control];
    /// Id in declarations and outputs.
    pub fn id(self) -> &'static str {
        match self {
            Self::Prevent => "prevent",
            Self::Detect => "detect",
            Self::Respond => "respond",
            Self::Resolve => "resolve",
            Self::Control => "control",
        }
    }
}
