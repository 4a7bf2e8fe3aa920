//! Suites: which attacks run, in which order, with which settings. Data, no knobs.
//!
//! Owns the named suites. Must never call two- or three-class margin attacks AutoAttack.
//! Called by the assessment and by `attack`.

use super::{Attack, REGISTRY, Settings};
use crate::harness::Case;
use crate::oracle::Loss;

/// Attacks in a fixed order; only rows that still stand go on to the next.
pub struct Suite {
    id: String,
    edition: u32,
    attacks: Vec<Box<dyn Attack>>,
}

/// Why there is no such suite.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SuiteError {
    /// Unknown name.
    #[error("no suite is called `{name}`; there are {known}")]
    Unknown {
        /// Name asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// Known from the field, not offered.
    #[error("suite `{name}` is not offered in this version: {reason}")]
    NotOffered {
        /// Name.
        name: String,
        /// Reason and what to use instead.
        reason: &'static str,
    },
    /// No attack of the suite can run.
    #[error("no attack of suite `{name}` can run here: {reasons}")]
    Nothing {
        /// Name.
        name: String,
        /// Attack by attack.
        reasons: String,
    },
}

/// A stage as data.
#[derive(Clone, Copy, Debug)]
struct Stage {
    attack: &'static str,
    settings: Settings,
    /// Runs only where no gradient can be had.
    without_gradient: bool,
}

struct Plan {
    id: &'static str,
    edition: u32,
    stages: &'static [Stage],
}

impl Suite {
    /// The named suite as it runs on this case: stages for black boxes are left out where
    /// gradients can be had.
    ///
    /// # Errors
    /// Unknown name, or no stage can run.
    pub fn named(name: &str, case: &Case<'_>, steps: Option<usize>) -> Result<Self, SuiteError> {
        // Classes are left, numbers are pushed: one name, the attacks that fit the target.
        let numbers = case.oracle.pushes(Loss::CrossEntropy).is_err();
        let plans = if numbers { NUMBER_PLANS } else { PLANS };
        let plan = plans.iter().find(|p| p.id == name).ok_or_else(|| refuse(name))?;
        let gradient = case.access == proofmark_schema::system::Access::WhiteBox
            && case.oracle.gradient().is_ok();
        let stages = plan.stages.iter().filter(|s| !(s.without_gradient && gradient));
        let attacks: Vec<Box<dyn Attack>> = stages
            .filter_map(|stage| {
                let mut settings = stage.settings;
                settings.steps = steps.unwrap_or(settings.steps);
                attack(stage.attack, settings)
            })
            .collect();
        let suite = Self { id: name.to_string(), edition: plan.edition, attacks };
        let reasons: Vec<String> = suite
            .attacks
            .iter()
            .filter_map(|a| case.admits(a.as_ref()).err().map(|r| format!("{}: {r}", a.id())))
            .collect();
        if reasons.len() == suite.attacks.len() {
            let (name, reasons) = (name.to_string(), reasons.join("; "));
            return Err(SuiteError::Nothing { name, reasons });
        }
        Ok(suite)
    }

    /// A suite of given attacks.
    pub fn of(id: &str, edition: u32, attacks: Vec<Box<dyn Attack>>) -> Self {
        Self { id: id.to_string(), edition, attacks }
    }

    /// The same suite with one more attack before all others: it gets every row.
    pub fn led_by(mut self, attack: Box<dyn Attack>) -> Self {
        self.attacks.insert(0, attack);
        self.id = format!("adaptive-{}", self.id);
        self
    }

    /// The same suite with one more attack for the rows that the others left standing.
    pub fn followed_by(mut self, attack: Box<dyn Attack>) -> Self {
        self.attacks.push(attack);
        self
    }

    /// Edition of a named suite, for plans.
    pub fn edition_of(name: &str) -> Option<u32> {
        PLANS.iter().find(|p| p.id == name).map(|p| p.edition)
    }

    /// Names of all suites.
    pub fn names() -> Vec<&'static str> {
        PLANS.iter().map(|p| p.id).collect()
    }

    /// Id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Edition: raised whenever a figure can change.
    pub fn edition(&self) -> u32 {
        self.edition
    }

    /// Attacks in order.
    pub fn attacks(&self) -> &[Box<dyn Attack>] {
        &self.attacks
    }
}

/// An attack by id.
pub fn attack(id: &str, settings: Settings) -> Option<Box<dyn Attack>> {
    REGISTRY.iter().find(|e| e.id == id).map(|e| (e.build)(settings))
}

/// Settings of `quick`; also what an ad-hoc attack starts from.
pub const STANDARD: Settings = Settings { tries: 100, steps: 100, restarts: 1, queries: 2_000 };

const fn stage(attack: &'static str) -> Stage {
    Stage { attack, settings: STANDARD, without_gradient: false }
}

const fn black_box(attack: &'static str) -> Stage {
    Stage { attack, settings: STANDARD, without_gradient: true }
}

/// Leaves most of a limit of a few thousand queries to the attack that follows.
const SEARCH: Settings = Settings { queries: 600, ..STANDARD };

const MARGIN: Settings = Settings { restarts: 5, ..STANDARD };

const PLANS: &[Plan] = &[
    Plan {
        id: "quick",
        edition: 1,
        stages: &[
            stage("noise"),
            stage("fgsm"),
            stage("apgd-ce"),
            stage("apgd-margin"),
            // Where no gradient leads (trees), and on grids, where rounding undoes small steps.
            Stage { attack: "coordinate", settings: SEARCH, without_gradient: false },
            black_box("hopskipjump"),
        ],
    },
    Plan {
        // For 2 and 3 classes, where the DLR loss of AutoAttack is not defined. Not AutoAttack.
        id: "margin",
        edition: 1,
        stages: &[
            Stage { attack: "apgd-ce", settings: MARGIN, without_gradient: false },
            Stage { attack: "apgd-margin", settings: MARGIN, without_gradient: false },
            stage("coordinate"),
        ],
    },
    Plan { id: "noise", edition: 1, stages: &[stage("noise")] },
];

/// The same suites against a target that answers with a number.
const NUMBER_PLANS: &[Plan] = &[
    Plan {
        id: "quick",
        edition: 1,
        stages: &[
            stage("noise"),
            stage("fgsm-up"),
            stage("fgsm-down"),
            stage("apgd-up"),
            stage("apgd-down"),
            Stage { attack: "coordinate", settings: SEARCH, without_gradient: false },
            black_box("hopskipjump"),
        ],
    },
    Plan {
        id: "margin",
        edition: 1,
        stages: &[
            Stage { attack: "apgd-up", settings: MARGIN, without_gradient: false },
            Stage { attack: "apgd-down", settings: MARGIN, without_gradient: false },
            stage("coordinate"),
        ],
    },
    Plan { id: "noise", edition: 1, stages: &[stage("noise")] },
];

fn refuse(name: &str) -> SuiteError {
    let reason = match name {
        "autoattack" => {
            "it needs APGD-T, FAB-T and Square; use `quick`, or `margin` for two or \
                         three classes"
        }
        "exact" => "it needs the exact tree search; use `quick`",
        _ => {
            let (name, known) = (name.to_string(), Suite::names().join(", "));
            return SuiteError::Unknown { name, known };
        }
    };
    SuiteError::NotOffered { name: name.to_string(), reason }
}
