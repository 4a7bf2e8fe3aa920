//! Rules of the reporting clocks as dated data.
//!
//! Owns the wire type `proofmark.clock-rules/1`, its reading and the check that the rules hang
//! together: ids, forms and starting events resolve, no clock waits for itself. Must never compute
//! a deadline: `assess::clock` does. Called by `assess` and the command line.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::incident::{Ground, Party};

/// Every rule, with the readings of the law they rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRules {
    /// [`FORMAT`].
    pub format: String,
    /// Edition.
    pub edition: u32,
    /// Day the law was read.
    pub as_of: String,
    /// How periods are counted, in words.
    pub counting: String,
    /// Readings of the legal calendar.
    pub readings: Vec<ReadingText>,
    /// Rules, in the order in which they are shown.
    pub rules: Vec<ClockRule>,
    /// What is proposed and not law; the engine never sees it.
    pub proposals: Vec<Proposal>,
    /// Regimes without rules here, and why.
    pub left_out: Vec<LeftOut>,
}

/// One clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRule {
    /// Id, e.g. `CK-4-v`.
    pub id: String,
    /// Id it is also asked for by, e.g. `CK-4`.
    pub row: String,
    /// Regime.
    pub regime: Regime,
    /// Act with its version.
    pub act: String,
    /// Provision, e.g. `Art. 73(2)`.
    pub provision: String,
    /// Duty of the catalogue.
    pub duty: String,
    /// A few words.
    pub title: String,
    /// Facts that must all hold.
    pub all: Vec<Condition>,
    /// Facts of which one must hold; none when empty.
    pub any: Vec<Condition>,
    /// Event that starts it.
    pub start: Start,
    /// How long it runs.
    pub limit: Limit,
    /// Whether the law wants it at once, the limit being the outer bound.
    pub at_once: bool,
    /// Who is told.
    pub recipient: String,
    /// Whether the authority of every Member State concerned is told.
    pub per_member_state: bool,
    /// Form of the report (`proofmark.forms/1`).
    pub form: String,
    /// Clocks whose report can have told all of this one already.
    pub told_by: Vec<String>,
    /// Clocks that this one takes the place of when both apply: it is shorter.
    pub replaces: Vec<String>,
    /// Whether a late report must say why it is late.
    pub late_needs_reason: bool,
    /// When it applies, per reading.
    pub in_force: Vec<InForce>,
    /// What is commonly got wrong about it.
    pub trap: String,
    /// Where it was read.
    pub source: String,
}

/// Body of law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regime {
    /// AI Act.
    Aia,
    /// Cyber Resilience Act.
    Cra,
    /// General Data Protection Regulation.
    Gdpr,
}

/// A fact about the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The system is high-risk, or not classified yet.
    HighRisk,
    /// Harm of Art. 3(49), or a widespread infringement.
    SeriousIncident,
    /// A person died.
    Death,
    /// Art. 3(49)(b).
    CriticalInfrastructure,
    /// Art. 3(61).
    WidespreadInfringement,
    /// The system is a product with digital elements.
    Product,
    /// Someone exploits a vulnerability, on reliable evidence.
    ActivelyExploited,
    /// A severe incident that hits the product's security.
    SevereIncident,
    /// Personal data were breached.
    PersonalDataBreach,
}

/// Event that starts a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Start {
    /// The earliest awareness of one of these parties.
    Aware {
        /// Whose awareness counts.
        whose: Vec<Party>,
    },
    /// The controller's awareness.
    ControllerAware,
    /// The provider knows of active exploitation.
    ExploitationKnown,
    /// The provider knows of the severe incident.
    SevereIncidentKnown,
    /// A fix or mitigation is available.
    FixAvailable,
    /// Another clock's report was filed.
    Filed {
        /// Rule id.
        clock: String,
    },
    /// An authority asked.
    Requested,
}

/// How long a clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Hours.
    Hours(u32),
    /// Days of twenty-four hours.
    Days(u32),
    /// Calendar months: the same day and time, or the last day of a shorter month.
    Months(u32),
    /// The date the authority named.
    AsAsked,
}

/// A reading of the legal calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// What the text says; the earlier dates.
    #[default]
    Text,
    /// Reporting duties follow the classification they hang on; the later dates.
    Classification,
}

/// A reading in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingText {
    /// Reading.
    pub reading: Reading,
    /// What it says.
    pub says: String,
    /// Where it comes from.
    pub source: String,
}

/// When a rule applies under a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// Reading; a rule without an entry for a reading follows that of the text.
    pub reading: Reading,
    /// Only for systems high-risk on this ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<Ground>,
    /// First day, `YYYY-MM-DD`.
    pub from: String,
    /// First day on which it no longer applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where that is said.
    pub source: String,
}

/// A change that is proposed and not law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Clock it would change.
    pub clock: String,
    /// What it says.
    pub says: String,
    /// Where it stands.
    pub status: String,
    /// Where that was read.
    pub source: String,
}

/// A regime without rules here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Clocks, as the field's notes number them.
    pub clocks: String,
    /// Regime.
    pub regime: String,
    /// Why.
    pub why: String,
}

impl ClockRules {
    /// Reads and checks a set of rules.
    ///
    /// # Errors
    /// [`RulesError`] if it is no such document or its rules do not hang together.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let rules: Self =
            serde_json::from_str(text).map_err(|e| RulesError::Shape(e.to_string()))?;
        rules.check()?;
        Ok(rules)
    }

    /// Checks that ids, starting events and replacements resolve and no clock waits for itself.
    ///
    /// # Errors
    /// [`RulesError`] names the first rule at fault.
    pub fn check(&self) -> Result<(), RulesError> {
        if self.format != FORMAT {
            return Err(RulesError::Format(self.format.clone()));
        }
        if self.rules.len() > RULES_MAX {
            return Err(RulesError::Many(self.rules.len()));
        }
        let ids: BTreeSet<&str> = self.rules.iter().map(|r| r.id.as_str()).collect();
        if ids.len() < self.rules.len() {
            let twice =
                self.rules.iter().find(|r| self.rules.iter().filter(|o| o.id == r.id).count() > 1);
            return Err(RulesError::Twice(twice.map(|r| r.id.clone()).unwrap_or_default()));
        }
        for rule in &self.rules {
            let named = rule.told_by.iter().chain(&rule.replaces).chain(rule.waits_for());
            for other in named {
                if !ids.contains(other.as_str()) {
                    return Err(RulesError::Unknown {
                        rule: rule.id.clone(),
                        other: other.clone(),
                    });
                }
            }
            rule.check()?;
        }
        self.order().map(|_| ())
    }

    /// Places of the rules so that each stands after those it waits for or may be told by.
    ///
    /// # Errors
    /// [`RulesError::Circle`] if there is no such order.
    pub fn order(&self) -> Result<Vec<usize>, RulesError> {
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::with_capacity(self.rules.len());
        while order.len() < self.rules.len() {
            let before = order.len();
            for (place, rule) in self.rules.iter().enumerate() {
                let mut waits = rule.told_by.iter().chain(rule.waits_for());
                if !placed.contains(rule.id.as_str()) && waits.all(|w| placed.contains(w.as_str()))
                {
                    placed.insert(&rule.id);
                    order.push(place);
                }
            }
            if order.len() == before {
                let stuck = self.rules.iter().map(|r| r.id.as_str());
                let stuck: Vec<&str> = stuck.filter(|id| !placed.contains(id)).collect();
                return Err(RulesError::Circle(stuck.join(", ")));
            }
        }
        Ok(order)
    }

    /// The rule of that id.
    pub fn named(&self, id: &str) -> Option<&ClockRule> {
        self.rules.iter().find(|r| r.id == id)
    }
}

impl ClockRule {
    /// The clock whose filing starts this one.
    pub fn waits_for(&self) -> Option<&String> {
        match &self.start {
            Start::Filed { clock } => Some(clock),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), RulesError> {
        let odd = |what: &str| RulesError::Rule { rule: self.id.clone(), what: what.to_owned() };
        match self.limit {
            Limit::Hours(0) | Limit::Days(0) | Limit::Months(0) => {
                return Err(odd("its limit is zero"));
            }
            Limit::Hours(n) | Limit::Days(n) | Limit::Months(n) if n > LIMIT_MAX => {
                return Err(odd("its limit is longer than any in law"));
            }
            Limit::AsAsked if self.start != Start::Requested => {
                return Err(odd("only a request names its own date"));
            }
            _ => {}
        }
        if matches!(&self.start, Start::Aware { whose } if whose.is_empty()) {
            return Err(odd("it says nobody's awareness counts"));
        }
        if !self.in_force.iter().any(|f| f.reading == Reading::Text) {
            return Err(odd("it does not say since when it applies"));
        }
        Ok(())
    }
}

impl Regime {
    /// Words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Aia => "AI Act",
            Self::Cra => "Cyber Resilience Act",
            Self::Gdpr => "GDPR",
        }
    }
}

/// What is wrong with a set of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Not such a document.
    #[error("these are no rules of clocks: {0}")]
    Shape(String),
    /// Another format or version.
    #[error("rules of format `{0}`, this version reads `{FORMAT}`")]
    Format(String),
    /// More rules than any law has.
    #[error("{0} rules; at most {RULES_MAX}")]
    Many(usize),
    /// An id used twice.
    #[error("two rules have the id `{0}`")]
    Twice(String),
    /// A name that resolves to nothing.
    #[error("the rule `{rule}` names `{other}`, which is no rule")]
    Unknown {
        /// Rule.
        rule: String,
        /// Name.
        other: String,
    },
    /// Clocks that wait for each other.
    #[error("these clocks wait for each other: {0}")]
    Circle(String),
    /// A rule that makes no sense.
    #[error("the rule `{rule}` makes no sense: {what}")]
    Rule {
        /// Rule.
        rule: String,
        /// Why.
        what: String,
    },
}

/// The bundled rules.
pub fn clock_rules() -> &'static ClockRules {
    &RULES
}

static RULES: LazyLock<ClockRules> = LazyLock::new(bundled);

#[allow(clippy::panic, reason = "the text is compiled in and the tests below read all of it")]
fn bundled() -> ClockRules {
    match ClockRules::parse(include_str!("../data/clocks.json")) {
        Ok(rules) => rules,
        Err(error) => panic!("the bundled rules do not parse: {error}"),
    }
}

/// Format of [`ClockRules`].
pub const FORMAT: &str = "proofmark.clock-rules/1";
/// Far more than the laws we know have; a set of rules is written by hand.
const RULES_MAX: usize = 200;
/// No reporting period is longer than this many of its unit.
const LIMIT_MAX: u32 = 1000;

#[cfg(test)]
mod tests;
