//! The risk register: who said what about which risk, folded from the log.
//!
//! Owns the predicate and the fold. A statement that breaks a rule of [`rules`] is kept in the
//! history, named void and never applied. Must never hold a state of its own: what a risk is, the
//! log says; what it is worth today, `standing` says. Called by `standing`, `gate`, the papers and
//! the command line.

pub mod day;
pub mod likelihood;
pub mod rules;
pub mod seed;

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::risk::{Rating, Scenario, ScenarioHarm};
use proofmark_schema::system::{Person, System};
use serde::{Deserialize, Serialize};

use crate::events::{self, Logged};
use crate::judge::VerdictState;
use crate::predicate::Tool;
use crate::register::{Register, RegisterError};
use crate::treatment::Order;
use rules::Refusal;

/// Predicate type of everything that is said about risks.
pub const RISK: &str = "urn:proofmark:predicate:risk:v1";

/// What somebody says about a risk, or about all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskPredicate {
    /// Id of the risk; [`OVERALL`] when it is about all of them.
    pub risk: String,
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// Who says it.
    pub by: Who,
    /// What.
    pub said: Act,
    /// Digests of declaration, models and data when it was said.
    pub assets: Vec<AssetDigest>,
}

/// A declared person, as declared when they spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// Id (`people.<id>`).
    pub id: String,
    /// Name.
    pub name: String,
    /// Function.
    pub role: String,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// A scenario is entered, or entered anew because the declaration changed.
    Enter {
        /// Scenario.
        scenario: Scenario,
        /// Edition of the seeds, when it was seeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u32>,
    },
    /// It is rated.
    Rate {
        /// Before or after treatment.
        side: Side,
        /// Rating.
        rating: Rating,
        /// Harm, when the scenario named none or another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        harm: Option<ScenarioHarm>,
        /// Why.
        reason: String,
    },
    /// A treatment is chosen.
    Treat {
        /// Treatment.
        treatment: Treatment,
    },
    /// A treatment is given up.
    Withdraw {
        /// Id of the treatment.
        treatment: String,
        /// Why.
        reason: String,
    },
    /// The residual risk is accepted.
    Accept {
        /// Why it is acceptable.
        reason: String,
        /// Until when, RFC 3339 in UTC.
        expires: String,
        /// The residual risk that is accepted.
        residual: Rating,
        /// Run it rests on, when one was there.
        run: Option<String>,
        /// Criteria that were not reached and are accepted as they stand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waives: Vec<Waived>,
    },
    /// The scenario does not apply.
    Exclude {
        /// Why.
        reason: String,
        /// Until when, RFC 3339 in UTC.
        expires: String,
    },
    /// It was looked at again.
    Review {
        /// What was found.
        reason: String,
        /// When it is looked at next, RFC 3339 in UTC.
        next: String,
    },
    /// Acceptance or exclusion no longer holds.
    Reopen {
        /// Why.
        reason: String,
    },
    /// The residual risk of all together is judged acceptable (Art. 9(5)).
    Overall {
        /// Why.
        reason: String,
        /// Until when, RFC 3339 in UTC.
        expires: String,
        /// Run it rests on.
        run: Option<String>,
        /// Risks it covers, with the leaf of the acceptance or exclusion of each.
        risks: Vec<Covered>,
    },
}

/// Before or after treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before.
    Inherent,
    /// After.
    Residual,
}

/// A measure chosen against a risk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Treatment {
    /// Id within the risk.
    pub id: String,
    /// Step in the legal order.
    pub order: Order,
    /// What is done.
    pub what: String,
    /// Measure of `proofmark harden` whose effect was measured, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// Cells of the matrix it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<String>,
    /// Who answers for it (`people.<id>`).
    pub owner: String,
    /// Why each higher step is not enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_enough: Vec<NotEnough>,
}

/// Why a higher step of the legal order is not enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotEnough {
    /// The higher step.
    pub step: Order,
    /// Why it is not enough, or not possible.
    pub reason: String,
}

/// A criterion that was not reached and is accepted as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waived {
    /// Criterion.
    pub criterion: String,
    /// Fail or inconclusive; never refused or missing.
    pub state: VerdictState,
    /// One-sided lower bound then.
    pub lower: Option<f64>,
    /// One-sided upper bound then.
    pub upper: Option<f64>,
}

/// A risk that an overall acceptance covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Risk.
    pub risk: String,
    /// Index of the leaf of its acceptance or exclusion.
    pub index: u64,
}

/// A part of a risk with where and by whom it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said<T> {
    /// Index of the leaf.
    pub index: u64,
    /// Time of the leaf.
    pub time: String,
    /// Who.
    pub by: Who,
    /// Digest of the statement, hex.
    pub statement: String,
    /// Digests of what lay there then.
    pub assets: Vec<AssetDigest>,
    /// What.
    pub said: T,
}

/// A risk as the log tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Risk {
    /// Id.
    pub id: String,
    /// Scenario, with the harm of the last rating.
    pub scenario: Scenario,
    /// Scenario as last entered; the seed of which edition.
    pub entered: Said<(Scenario, Option<u32>)>,
    /// Inherent rating.
    pub inherent: Option<Said<Rating>>,
    /// Residual rating that a person entered.
    pub residual: Option<Said<Rating>>,
    /// Treatments in force, in log order.
    pub treatments: Vec<Said<Treatment>>,
    /// Acceptance.
    pub acceptance: Option<Said<Acceptance>>,
    /// Exclusion.
    pub exclusion: Option<Said<Exclusion>>,
    /// Last review: what was found, and when next.
    pub review: Option<Said<Review>>,
    /// Set when a person re-opened it after the last acceptance or exclusion: why.
    pub reopened: Option<Said<String>>,
    /// Index of the last leaf that changed scenario, rating or treatment.
    pub changed: u64,
    /// Everything that was said about it, in log order.
    pub history: Vec<Item>,
}

/// An acceptance.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// Why.
    pub reason: String,
    /// Until when.
    pub expires: String,
    /// What was accepted.
    pub residual: Rating,
    /// Run it rests on.
    pub run: Option<String>,
    /// Criteria accepted as they stand.
    pub waives: Vec<Waived>,
}

/// An exclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Why.
    pub reason: String,
    /// Until when.
    pub expires: String,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// What was found.
    pub reason: String,
    /// When next.
    pub next: String,
}

/// An acceptance of all risks together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overall {
    /// Why.
    pub reason: String,
    /// Until when.
    pub expires: String,
    /// Run it rests on.
    pub run: Option<String>,
    /// What it covers.
    pub risks: Vec<Covered>,
}

/// One statement of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// As logged.
    pub logged: Logged<RiskPredicate>,
    /// Why it does not count, when it breaks a rule.
    pub void: Option<String>,
}

/// The register, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Risks {
    /// Risks, in the order they were entered.
    pub risks: Vec<Risk>,
    /// Last acceptance of all together.
    pub overall: Option<Said<Overall>>,
    /// Statements about all risks together, and about risks that were never entered.
    pub others: Vec<Item>,
}

/// The register of risks in the log.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn risks(log: &Log, store: &Store) -> Result<Risks, RegisterError> {
    Ok(fold(events::logged(log, store, &EntryKind::Risk, RISK)?))
}

/// Folds statements in log order.
pub fn fold(statements: Vec<Logged<RiskPredicate>>) -> Risks {
    let mut risks = Risks::default();
    for logged in statements {
        let void = rules::check(&risks, &logged.said, &logged.time).err().map(|r| r.to_string());
        if void.is_none() {
            risks.apply(&logged);
        }
        let item = Item { void, logged };
        match risks.risks.iter_mut().find(|r| r.id == item.logged.said.risk) {
            Some(risk) => risk.history.push(item),
            None => risks.others.push(item),
        }
    }
    risks
}

/// Checks a statement against the rules, signs it and logs it.
///
/// # Errors
/// [`SayError`] if a rule is broken or it cannot be logged; nothing is logged then.
pub fn say(
    register: &mut Register<'_>,
    predicate: &RiskPredicate,
) -> Result<Logged<RiskPredicate>, SayError> {
    let known = risks(register.log, register.store)?;
    rules::check(&known, predicate, &(register.now)())?;
    let subjects = &predicate.assets;
    Ok(events::record(register, EntryKind::Risk, RISK, predicate, subjects)?)
}

/// Why nothing was said.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    /// A rule of the register.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The register of evidence.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl Who {
    /// A declared person.
    pub fn of(person: &Person) -> Self {
        Self { id: person.id.clone(), name: person.name.clone(), role: person.role.clone() }
    }

    /// Whether two of them are one person: same id or same name but for case, blanks and marks.
    pub fn is(&self, other: &Self) -> bool {
        same_name(&self.id, &other.id) || same_name(&self.name, &other.name)
    }
}

/// The declared person of that id or name; case, blanks and marks do not matter.
pub fn person<'a>(system: &'a System, wanted: &str) -> Option<&'a Person> {
    let exact = system.person(wanted.trim());
    let close = |p: &&Person| same_name(&p.id, wanted) || same_name(&p.name, wanted);
    exact.or_else(|| system.people.iter().find(close))
}

fn same_name(a: &str, b: &str) -> bool {
    let bare = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    match (bare(a), bare(b)) {
        (a, b) if a.is_empty() && b.is_empty() => true,
        (a, b) => a == b,
    }
}

impl Risk {
    /// Everyone who entered, rated or treated it.
    pub fn authors(&self) -> impl Iterator<Item = &Who> {
        self.history.iter().filter(|item| item.void.is_none()).filter_map(|item| {
            let said = &item.logged.said;
            matches!(
                said.said,
                Act::Enter { .. } | Act::Rate { .. } | Act::Treat { .. } | Act::Withdraw { .. }
            )
            .then_some(&said.by)
        })
    }

    /// Index of the leaf of the acceptance or exclusion that stands.
    pub fn settled(&self) -> Option<u64> {
        let acceptance = self.acceptance.as_ref().map(|a| a.index);
        acceptance.or(self.exclusion.as_ref().map(|e| e.index))
    }
}

impl Risks {
    /// The risk of that id.
    pub fn named(&self, id: &str) -> Option<&Risk> {
        self.risks.iter().find(|r| r.id == id)
    }

    fn apply(&mut self, logged: &Logged<RiskPredicate>) {
        let RiskPredicate { risk: id, said, .. } = &logged.said;
        if let Act::Enter { scenario, seed } = said {
            self.enter(logged, scenario, *seed);
            return;
        }
        if let Act::Overall { reason, expires, run, risks } = said {
            let (reason, expires) = (reason.clone(), expires.clone());
            let overall = Overall { reason, expires, run: run.clone(), risks: risks.clone() };
            self.overall = Some(placed(logged, overall));
            return;
        }
        if let Some(risk) = self.risks.iter_mut().find(|r| r.id == *id) {
            risk.apply(logged);
        }
    }

    fn enter(&mut self, logged: &Logged<RiskPredicate>, scenario: &Scenario, seed: Option<u32>) {
        let entered = placed(logged, (scenario.clone(), seed));
        let id = &logged.said.risk;
        if let Some(known) = self.risks.iter_mut().find(|r| r.id == *id) {
            let harm = scenario.harm.clone().or_else(|| known.scenario.harm.clone());
            known.scenario = Scenario { harm, ..scenario.clone() };
            known.entered = entered;
            known.changed = logged.index;
            return;
        }
        self.risks.push(Risk {
            id: id.clone(),
            scenario: scenario.clone(),
            entered,
            inherent: None,
            residual: None,
            treatments: Vec::new(),
            acceptance: None,
            exclusion: None,
            review: None,
            reopened: None,
            changed: logged.index,
            history: Vec::new(),
        });
    }
}

impl Risk {
    fn apply(&mut self, logged: &Logged<RiskPredicate>) {
        match &logged.said.said {
            Act::Enter { .. } | Act::Overall { .. } => {}
            Act::Rate { side, rating, harm, .. } => {
                self.changed = logged.index;
                if harm.is_some() {
                    self.scenario.harm.clone_from(harm);
                }
                let rated = Some(placed(logged, rating.clone()));
                match side {
                    Side::Inherent => self.inherent = rated,
                    Side::Residual => self.residual = rated,
                }
            }
            Act::Treat { treatment } => {
                self.changed = logged.index;
                self.treatments.push(placed(logged, treatment.clone()));
            }
            Act::Withdraw { treatment, .. } => {
                self.changed = logged.index;
                self.treatments.retain(|t| t.said.id != *treatment);
            }
            Act::Accept { reason, expires, residual, run, waives } => {
                (self.exclusion, self.reopened) = (None, None);
                let acceptance = Acceptance {
                    reason: reason.clone(),
                    expires: expires.clone(),
                    residual: residual.clone(),
                    run: run.clone(),
                    waives: waives.clone(),
                };
                self.acceptance = Some(placed(logged, acceptance));
            }
            Act::Exclude { reason, expires } => {
                (self.acceptance, self.reopened) = (None, None);
                let (reason, expires) = (reason.clone(), expires.clone());
                self.exclusion = Some(placed(logged, Exclusion { reason, expires }));
            }
            Act::Review { reason, next } => {
                let review = Review { reason: reason.clone(), next: next.clone() };
                self.review = Some(placed(logged, review));
            }
            Act::Reopen { reason } => self.reopened = Some(placed(logged, reason.clone())),
        }
    }
}

fn placed<T>(logged: &Logged<RiskPredicate>, said: T) -> Said<T> {
    Said {
        index: logged.index,
        time: logged.time.clone(),
        by: logged.said.by.clone(),
        statement: logged.stored.statement.hex(),
        assets: logged.said.assets.clone(),
        said,
    }
}

/// Stands for all risks together.
pub const OVERALL: &str = "overall";

#[cfg(test)]
mod tests;
