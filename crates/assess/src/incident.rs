//! Incidents: one event, many clocks, folded from signed statements of the log.
//!
//! Owns the predicate, the fold and the order in which something may be done about an incident.
//! Must never forget a deed, stop a clock without a receipt, or read a clock of its own. Called by
//! the command line, the register of risks and the papers.

pub mod check;
mod deed;
pub mod hold;
mod refusal;
pub mod report;

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::clock::{ClockRules, Reading};
use proofmark_schema::incident::{IncidentFacts, Suspicion};
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::System;
use serde::{Deserialize, Serialize};

use crate::clock::{self, Case, Clock, ClockError, Filing, Waived};
use crate::events::{self, Logged};
use crate::register::{Register, RegisterError, Stored};

pub use check::check_facts;
pub use deed::{
    Action, Actor, Change, Closing, Containment, Deed, Freeze, INCIDENT, IncidentPredicate,
    Opening, Receipt, Release, ReportMade, Retest, Update, Waiver,
};
pub use refusal::{DeedError, FactsError};

/// An incident as the log shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Id.
    pub id: String,
    /// When the case was opened.
    pub opened: String,
    /// By whom.
    pub opened_by: Actor,
    /// System version at opening.
    pub version: String,
    /// What is known now.
    pub facts: IncidentFacts,
    /// Reading of the legal calendar.
    pub reading: Reading,
    /// Rules as they stood at opening.
    pub rules: ClockRules,
    /// What was frozen, with the deed that froze it.
    pub freeze: Option<Dated<Freeze>>,
    /// Reports, in the order in which they were written.
    pub reports: Vec<Dated<ReportMade>>,
    /// Receipts.
    pub receipts: Vec<Dated<Receipt>>,
    /// Containment.
    pub containments: Vec<Dated<Containment>>,
    /// Changes after notice.
    pub changes: Vec<Dated<Change>>,
    /// Decisions not to report.
    pub waivers: Vec<Dated<Waiver>>,
    /// End of the hold.
    pub release: Option<Dated<Release>>,
    /// End of the case.
    pub closed: Option<Dated<Closing>>,
    /// Every deed: leaf, statement, time, who, what.
    pub deeds: Vec<Logged<IncidentPredicate>>,
}

/// A deed with its time and statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Dated<T> {
    /// When.
    pub at: String,
    /// Who.
    pub by: Actor,
    /// Its statement.
    pub stored: Stored,
    /// What.
    pub said: T,
}

/// How grave an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// None of the laws known here asks for a report.
    Minor,
    /// Another law asks for a report: exploited vulnerability, severe incident, personal data.
    Reportable,
    /// Serious incident of the AI Act (Art. 3(49)), or a widespread infringement.
    Serious,
}

impl Incident {
    /// Whether the case is open.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether it holds the system.
    pub fn holds(&self) -> bool {
        self.freeze.is_some() && self.release.is_none()
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        severity(&self.facts)
    }

    /// Every clock at `now`.
    ///
    /// # Errors
    /// [`ClockError`] if a time or the rules of the case are malformed.
    pub fn clocks(&self, now: &str) -> Result<Vec<Clock>, ClockError> {
        self.with_case(|case| clock::clocks(case, now))
    }

    /// The clocks that run or ran out at `now`, the most urgent first.
    ///
    /// # Errors
    /// As [`Incident::clocks`].
    pub fn due(&self, now: &str) -> Result<Vec<Clock>, ClockError> {
        self.with_case(|case| clock::due(case, now))
    }

    fn with_case<R>(&self, f: impl FnOnce(&Case<'_>) -> R) -> R {
        let (filings, waived) = (self.filings(), self.waived());
        f(&Case {
            rules: &self.rules,
            reading: self.reading,
            facts: &self.facts,
            filings: &filings,
            waived: &waived,
        })
    }

    /// What the receipts prove.
    pub fn filings(&self) -> Vec<Filing> {
        let filing = |receipt: &Dated<Receipt>| {
            let report = self.report(&receipt.said.report)?;
            Some(Filing {
                receipt: receipt.said.id.clone(),
                at: receipt.said.at.clone(),
                clocks: report.said.clocks.clone(),
                covers: report.said.covers.clone(),
                member_state: receipt.said.member_state.clone(),
            })
        };
        self.receipts.iter().filter_map(filing).collect()
    }

    fn waived(&self) -> Vec<Waived> {
        let one = |w: &Dated<Waiver>| Waived {
            clock: w.said.clock.clone(),
            because: w.said.because.clone(),
            by: w.by.name.clone(),
        };
        self.waivers.iter().map(one).collect()
    }

    /// The report of that id.
    pub fn report(&self, id: &str) -> Option<&Dated<ReportMade>> {
        self.reports.iter().find(|r| r.said.id == id)
    }

    fn begin(logged: &Logged<IncidentPredicate>, opening: &Opening) -> Self {
        let said = &logged.said;
        let freeze = opening.freeze.clone().map(|f| dated(logged, f));
        Self {
            id: said.incident.clone(),
            opened: said.time.clone(),
            opened_by: said.by.clone(),
            version: said.version.clone(),
            facts: opening.facts.clone(),
            reading: opening.reading,
            rules: opening.rules.clone(),
            freeze,
            reports: Vec::new(),
            receipts: Vec::new(),
            containments: Vec::new(),
            changes: Vec::new(),
            waivers: Vec::new(),
            release: None,
            closed: None,
            deeds: vec![logged.clone()],
        }
    }

    fn take(&mut self, logged: &Logged<IncidentPredicate>) {
        match &logged.said.deed {
            // A second opening is refused by `fold`.
            Deed::Open(_) => {}
            Deed::Update(update) => {
                self.facts = update.facts.clone();
                if let Some(freeze) = &update.freeze {
                    self.freeze = Some(dated(logged, freeze.clone()));
                    self.release = None;
                }
            }
            Deed::Report(said) => self.reports.push(dated(logged, said.clone())),
            Deed::Receipt(said) => self.receipts.push(dated(logged, said.clone())),
            Deed::Contain(said) => self.containments.push(dated(logged, said.clone())),
            Deed::Change(said) => self.changes.push(dated(logged, said.clone())),
            Deed::Waive(said) => self.waivers.push(dated(logged, said.clone())),
            Deed::Release(said) => self.release = Some(dated(logged, said.clone())),
            Deed::Close(said) => self.closed = Some(dated(logged, said.clone())),
        }
        self.deeds.push(logged.clone());
    }
}

/// How grave those facts are.
pub fn severity(facts: &IncidentFacts) -> Severity {
    let reported_elsewhere =
        facts.exploited.is_some() || facts.severe.is_some() || facts.personal_data != Suspicion::No;
    match (facts.is_serious(), reported_elsewhere) {
        (true, _) => Severity::Serious,
        (false, true) => Severity::Reportable,
        (false, false) => Severity::Minor,
    }
}

impl Severity {
    /// Words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Reportable => "reportable",
            Self::Serious => "serious",
        }
    }
}

/// Every incident in the log, in the order of their opening.
///
/// # Errors
/// [`IncidentError`] if the log is damaged, a statement is gone, or deeds do not fit together.
pub fn incidents(log: &Log, store: &Store) -> Result<Vec<Incident>, IncidentError> {
    fold(events::logged(log, store, &EntryKind::Incident, INCIDENT)?)
}

/// Folds deeds, in log order.
///
/// # Errors
/// [`IncidentError`] if a deed is about a case that is not open.
pub fn fold(deeds: Vec<Logged<IncidentPredicate>>) -> Result<Vec<Incident>, IncidentError> {
    let mut incidents: Vec<Incident> = Vec::new();
    for logged in &deeds {
        let id = &logged.said.incident;
        let odd = |what: &str| IncidentError::Leaf { index: logged.index, what: what.to_owned() };
        let known = incidents.iter_mut().find(|i| i.id == *id);
        match (&logged.said.deed, known) {
            (Deed::Open(_), Some(_)) => return Err(odd("it opens a case a second time")),
            (Deed::Open(opening), None) => {
                opening.rules.check().map_err(ClockError::from)?;
                incidents.push(Incident::begin(logged, opening));
            }
            (_, None) => return Err(odd("it is about a case that was never opened")),
            (_, Some(incident)) if !incident.is_open() => {
                return Err(odd("it is about a case that is closed"));
            }
            (_, Some(incident)) => incident.take(logged),
        }
    }
    Ok(incidents)
}

/// The incident of that id.
///
/// # Errors
/// [`IncidentError::Unknown`] lists the ids there are.
pub fn named<'a>(incidents: &'a [Incident], id: &str) -> Result<&'a Incident, IncidentError> {
    incidents.iter().find(|i| i.id == id).ok_or_else(|| {
        let known: Vec<&str> = incidents.iter().map(|i| i.id.as_str()).collect();
        IncidentError::Unknown { id: id.chars().take(SHOWN).collect(), known: known.join(", ") }
    })
}

/// Id of the next incident.
pub fn next_id(incidents: &[Incident]) -> String {
    format!("inc-{}", incidents.len().saturating_add(1))
}

/// Checks `deed` against the log and records it; returns the incident as it then is.
///
/// # Errors
/// [`IncidentError`] if it may not be done, or cannot be signed or logged.
pub fn record(
    register: &mut Register<'_>,
    system: &System,
    id: &str,
    by: &Actor,
    deed: Deed,
    subjects: &[AssetDigest],
) -> Result<Incident, IncidentError> {
    let known = incidents(register.log, register.store)?;
    let time = (register.now)();
    check::deed(&known, system, id, by, &deed, &time)?;
    let predicate = IncidentPredicate {
        incident: id.to_owned(),
        system: system.name.clone(),
        version: system.version.clone(),
        tool: register.tool.clone(),
        time,
        by: by.clone(),
        deed,
    };
    let logged = events::record(register, EntryKind::Incident, INCIDENT, &predicate, subjects)?;
    let incident = known.into_iter().find(|i| i.id == id);
    let mut incident = match (incident, &logged.said.deed) {
        (None, Deed::Open(opening)) => return Ok(Incident::begin(&logged, opening)),
        (Some(incident), _) => incident,
        (None, _) => return named(&[], id).cloned(),
    };
    incident.take(&logged);
    Ok(incident)
}

/// Why an incident cannot be told, or a deed not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A leaf that does not fit.
    #[error("entry {index} of the log does not fit: {what}; run `proofmark log fsck`")]
    Leaf {
        /// Index.
        index: u64,
        /// Why.
        what: String,
    },
    /// No such incident.
    #[error("there is no incident `{id}`; the log holds: {known}")]
    Unknown {
        /// Id.
        id: String,
        /// Ids there are.
        known: String,
    },
    /// A time or a rule.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The facts.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The deed.
    #[error(transparent)]
    Deed(#[from] DeedError),
}

fn dated<T>(logged: &Logged<IncidentPredicate>, said: T) -> Dated<T> {
    let IncidentPredicate { time, by, .. } = &logged.said;
    Dated { at: time.clone(), by: by.clone(), stored: logged.stored, said }
}

fn dated_before<T>(a: &Option<Dated<T>>, b: &Option<Dated<T>>) -> std::cmp::Ordering {
    let at = |d: &Option<Dated<T>>| d.as_ref().map(|d| d.at.clone());
    at(a).cmp(&at(b))
}

/// So much of a wrong name is shown.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests;
