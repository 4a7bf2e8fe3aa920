//! Suites: which attacks run, in which order, with which settings. Data, no knobs.
//!
//! Owns the named suites. Must never call two- or three-class margin attacks AutoAttack, nor
//! anything else that is not all of it. Called by the assessment and by `attack`.
//!
//! AutoAttack: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
//! diverse parameter-free attacks" (ICML 2020), its settings as in the reference code
//! fra31/auto-attack.

use proofmark_schema::system::{Access, Norm};

use super::{Attack, REGISTRY, Settings};
use crate::criterion::Criterion;
use crate::formal::proposals;
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
    /// Known, but not defined for this model or threat.
    #[error("suite `{name}` is not defined here: {reason}")]
    Undefined {
        /// Name.
        name: String,
        /// Reason and what to use instead.
        reason: String,
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
        if WHOLE.contains(&name) {
            whole(name, case, steps, numbers)?;
        }
        let plans = if numbers { NUMBER_PLANS } else { PLANS };
        let special = if case.norm == Norm::L1 { L1_PLANS } else { &[] };
        let mut plans = special.iter().chain(plans);
        let plan = plans.find(|p| p.id == name).ok_or_else(|| refuse(name))?;
        let gradient = case.access == Access::WhiteBox && case.oracle.gradient().is_ok();
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

    /// The same attacks under another name.
    pub fn called(mut self, id: &str, edition: u32) -> Self {
        (self.id, self.edition) = (id.to_string(), edition);
        self
    }

    /// Edition of a named suite, for plans.
    pub fn edition_of(name: &str) -> Option<u32> {
        let made = match name {
            EXACT => Some(proposals::TREES.edition),
            PROVED => Some(proposals::NETWORKS.edition),
            _ => None,
        };
        PLANS.iter().find(|p| p.id == name).map(|p| p.edition).or(made)
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

/// Whether all of AutoAttack is defined here: a part of it must not go by its name.
fn whole(
    name: &str,
    case: &Case<'_>,
    steps: Option<usize>,
    numbers: bool,
) -> Result<(), SuiteError> {
    let classes = case.oracle.classes();
    let reason = if numbers {
        "the answer is a number; use `quick`".to_string()
    } else if classes < CLASSES_MIN {
        format!(
            "its loss needs {CLASSES_MIN} classes, the model has {classes}; use `margin`, which \
             is not AutoAttack"
        )
    } else if case.access != Access::WhiteBox {
        "it needs the model file, access is black-box; use `quick`".to_string()
    } else if let Err(why) = case.oracle.gradient().and_then(|()| {
        [Loss::RatioToward, Loss::Toward].into_iter().try_for_each(|l| case.oracle.pushes(l))
    }) {
        format!("it needs gradients of logits: {why}; use `quick`")
    } else if matches!(case.criterion, Criterion::Goal { .. }) {
        "any wrong class counts for it; for a goal use `margin`".to_string()
    } else if steps.is_some() {
        "its steps are part of its name; leave them out, or use `quick`".to_string()
    } else if case.queries_limit.is_some() {
        "it takes its thousands of queries a row; remove the limit, or use `quick`".to_string()
    } else if name == PLUS && case.norm == Norm::L1 {
        "it is not published for l1; use `autoattack`".to_string()
    } else {
        return Ok(());
    };
    Err(SuiteError::Undefined { name: name.to_string(), reason })
}

/// An attack by id.
pub fn attack(id: &str, settings: Settings) -> Option<Box<dyn Attack>> {
    REGISTRY.iter().find(|e| e.id == id).map(|e| (e.build)(settings))
}

/// Settings of an attack that runs alone: those that it has in AutoAttack, or the standard ones.
pub fn alone(id: &str) -> Settings {
    let whole = PLANS.iter().filter(|p| WHOLE.contains(&p.id)).flat_map(|p| p.stages);
    let mut single = whole.filter(|s| s.settings.restarts == STANDARD.restarts);
    single.find(|s| s.attack == id).map_or(STANDARD, |s| s.settings)
}

/// Settings of `quick`; also what an ad-hoc attack starts from.
pub const STANDARD: Settings =
    Settings { tries: 100, steps: 100, restarts: 1, queries: 2_000, targets: 9 };

const fn stage(attack: &'static str) -> Stage {
    Stage { attack, settings: STANDARD, without_gradient: false }
}

const fn black_box(attack: &'static str) -> Stage {
    Stage { attack, settings: STANDARD, without_gradient: true }
}

/// Leaves most of a limit of a few thousand queries to the attack that follows.
const SEARCH: Settings = Settings { queries: 600, ..STANDARD };

/// CAPGD as published: ten steps from the clean row and from a random one.
const PUBLISHED: Settings = Settings { steps: 10, restarts: 2, ..STANDARD };

const MARGIN: Settings = Settings { restarts: 5, ..STANDARD };

/// The queries of AutoAttack's square attack.
const LONG: Settings = Settings { queries: 5_000, ..STANDARD };

/// L1 tries fewer classes, and more starts on the cross-entropy.
const L1_TARGETED: Settings = Settings { targets: 5, ..STANDARD };

const fn set(attack: &'static str, settings: Settings) -> Stage {
    Stage { attack, settings, without_gradient: false }
}

const PLUS: &str = "autoattack-plus";

/// The exact search of trees: no attacks in a row, so it is made where the model is at hand.
pub const EXACT: &str = "exact";

/// `quick` with proofs of a network beside it, made where the model is at hand.
pub const PROVED: &str = "proved";

/// Suites that run as a whole or not at all.
const WHOLE: &[&str] = &["autoattack", PLUS];

/// Classes below which the targeted ratio of logits is not defined.
const CLASSES_MIN: usize = 4;

const PLANS: &[Plan] = &[
    Plan {
        id: "quick",
        // 2: APGD also under l1.
        edition: 2,
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
        // 2: FAB and the square attack, APGD also under l1.
        edition: 2,
        stages: &[
            Stage { attack: "apgd-ce", settings: MARGIN, without_gradient: false },
            Stage { attack: "apgd-margin", settings: MARGIN, without_gradient: false },
            stage("fab-t"),
            set("square", LONG),
            stage("coordinate"),
        ],
    },
    Plan {
        // The constrained adaptive attack (Simonetto et al. 2024): gradients first, the genetic
        // search on what stands.
        id: "caa",
        edition: 1,
        stages: &[
            Stage { attack: "capgd", settings: PUBLISHED, without_gradient: false },
            stage("moeva"),
        ],
    },
    Plan { id: "noise", edition: 1, stages: &[stage("noise")] },
    Plan {
        id: "autoattack",
        edition: 1,
        stages: &[stage("apgd-ce"), stage("apgd-t"), stage("fab-t"), set("square", LONG)],
    },
    Plan {
        id: PLUS,
        edition: 1,
        stages: &[
            set("apgd-ce", MARGIN),
            set("apgd-dlr", MARGIN),
            set("fab", MARGIN),
            set("square", LONG),
            stage("apgd-t"),
            stage("fab-t"),
        ],
    },
];

/// What is published otherwise for l1.
const L1_PLANS: &[Plan] = &[Plan {
    id: "autoattack",
    edition: 1,
    stages: &[
        set("apgd-ce", MARGIN),
        set("apgd-t", L1_TARGETED),
        stage("fab-t"),
        set("square", LONG),
    ],
}];

/// The same suites against a target that answers with a number.
const NUMBER_PLANS: &[Plan] = &[
    Plan {
        id: "quick",
        edition: 2,
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
        edition: 2,
        stages: &[
            Stage { attack: "apgd-up", settings: MARGIN, without_gradient: false },
            Stage { attack: "apgd-down", settings: MARGIN, without_gradient: false },
            set("square", LONG),
            stage("coordinate"),
        ],
    },
    Plan { id: "caa", edition: 1, stages: &[stage("moeva")] },
    Plan { id: "noise", edition: 1, stages: &[stage("noise")] },
];

fn refuse(name: &str) -> SuiteError {
    let reason = match name {
        "autoattack-rand" => {
            "it averages over the noise of a randomised model, and a model file that does not \
             answer the same every time is refused by check 2; use `autoattack`"
        }
        EXACT => "it searches the trees of one model file, of classes; here use `quick`",
        PROVED => "it proves a network of one model file, of classes; here use `quick`",
        _ => {
            let (name, known) = (name.to_string(), Suite::names().join(", "));
            return SuiteError::Unknown { name, known };
        }
    };
    SuiteError::NotOffered { name: name.to_string(), reason }
}
