//! Everything the log tells that an overview needs, read once.
//!
//! Owns the reading of the parts and their common form for what happens at run time. Must never
//! look at files or the clock. Called by the command line, then handed to `overview`, the matrix,
//! the gate and `due`.

use std::collections::BTreeMap;

use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::risk::seeds;
use proofmark_schema::system::System;
use proofmark_schema::taxonomy::ThreatClass;

use crate::assessment::{self, AssessError, Assessment};
use crate::drill::{self, DrillPredicate};
use crate::events::Logged;
use crate::guard_events::{GuardFold, GuardIncident};
use crate::history::{self, RunRecord};
use crate::incident::Incident;
use crate::risk::{self, Risk, Risks};
use crate::treatment::{self, TreatmentsPredicate};

/// The log, folded for the register.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Every run, ended or not.
    pub runs: Vec<RunRecord>,
    /// The last run that ended.
    pub last: Option<Assessment>,
    /// Declarations of the runs that acceptances rest on, by run.
    pub declared_then: BTreeMap<String, System>,
    /// The register of risks.
    pub risks: Risks,
    /// Measures with their measured effect.
    pub treatments: Vec<Logged<TreatmentsPredicate>>,
    /// Journals of drills.
    pub drills: Vec<Logged<DrillPredicate>>,
    /// What happened at run time and touches risks: handed in by those who read incidents and the
    /// guard's own log.
    pub triggers: Vec<Trigger>,
    /// The guard's policy as last recorded, handed in likewise.
    pub guard: Option<GuardFacts>,
    /// Digests under which the policy of now is known: of its file, and as it takes effect.
    pub policies: Vec<String>,
    /// Holds that are on: incident and since when.
    pub holds: Vec<(String, String)>,
}

/// Something at run time that re-opens risks.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Time.
    pub time: String,
    /// Kind.
    pub kind: TriggerKind,
    /// In words.
    pub what: String,
    /// Next command.
    pub next: String,
    /// Rows whose risks it touches.
    pub rows: Vec<ThreatClass>,
    /// Risks it names.
    pub risks: Vec<String>,
    /// Whether it touches every risk: an incident that names none could be about any.
    pub everything: bool,
    /// Whether it still goes on.
    pub open: bool,
}

/// Kind of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerKind {
    /// The guard fell back to SAFE or STOPPED.
    Guard,
    /// An incident.
    Incident,
}

/// The guard's policy as last recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardFacts {
    /// Time.
    pub time: String,
    /// SHA-256 of the policy, hex.
    pub policy: String,
    /// Settings that are on, by their dotted name, e.g. `release.decimals`, with their value.
    pub settings: BTreeMap<String, String>,
    /// Model files it serves: name, SHA-256.
    pub models: Vec<(String, String)>,
}

impl Trigger {
    /// A time in which the guard let no decision through.
    pub fn guard(incident: &GuardIncident) -> Self {
        let GuardIncident { since, state, cause, until, .. } = incident;
        let until = until.as_ref().map_or("until now".to_owned(), |at| format!("until {at}"));
        Self {
            time: since.clone(),
            kind: TriggerKind::Guard,
            what: format!("the guard was {state} from {since} {until}: {cause}"),
            next: "proofmark guard status".to_owned(),
            rows: seeds().touched_by_guard.clone(),
            risks: Vec::new(),
            everything: false,
            open: incident.until.is_none(),
        }
    }

    /// An incident: it re-opens the risks that it names while it is open, and those accepted
    /// before it was opened.
    pub fn incident(incident: &Incident) -> Self {
        let Incident { id, opened, facts, .. } = incident;
        let everything = facts.risks.is_empty();
        let word = if incident.is_open() { "is open" } else { "is closed" };
        let severity = incident.severity().title();
        let all = if everything { ", and names no risk, so it may touch any" } else { "" };
        Self {
            time: opened.clone(),
            kind: TriggerKind::Incident,
            what: format!("incident `{id}` ({severity}), opened {opened}, {word}{all}"),
            next: format!("proofmark incident show {id}"),
            rows: Vec::new(),
            risks: facts.risks.clone(),
            everything,
            open: incident.is_open(),
        }
    }

    /// Whether it touches that risk.
    pub fn touches(&self, risk: &Risk) -> bool {
        self.everything
            || self.risks.contains(&risk.id)
            || risk.scenario.row.is_some_and(|row| self.rows.contains(&row))
    }
}

impl World {
    /// Adds incidents and what they hold.
    pub fn with_incidents(&mut self, incidents: &[Incident]) {
        self.triggers.extend(incidents.iter().map(Trigger::incident));
        let held = incidents.iter().filter(|i| i.holds());
        let since = |i: &Incident| i.freeze.as_ref().map_or(i.opened.clone(), |f| f.at.clone());
        self.holds.extend(held.map(|i| (i.id.clone(), since(i))));
    }

    /// Adds what the guard's own log tells: falls to SAFE or STOPPED, and the policy and models of
    /// its last start. `settings` are those of the policy file of now, by dotted name, and `policy`
    /// is the digest under which the guard knows that file; settings count only if the guard
    /// serves under them.
    pub fn with_guard(
        &mut self,
        fold: &GuardFold,
        policy: Option<&str>,
        settings: BTreeMap<String, String>,
    ) {
        self.triggers.extend(fold.incidents.iter().map(Trigger::guard));
        let Some((_, start)) = fold.starts.last() else { return };
        let same = policy == Some(start.policy.as_str());
        let model =
            |m: &proofmark_schema::guard::ServedModel| Some((m.name.clone(), m.sha256.clone()?));
        self.guard = Some(GuardFacts {
            time: start.time.clone(),
            policy: start.policy.clone(),
            settings: if same { settings } else { BTreeMap::new() },
            models: start.models.iter().filter_map(model).collect(),
        });
    }

    /// Reads everything.
    ///
    /// # Errors
    /// [`AssessError`] if the log is damaged or a statement is gone.
    pub fn read(log: &Log, store: &Store) -> Result<Self, AssessError> {
        let runs = history::history(log, store)?;
        let ended = runs.iter().rev().find(|r| r.ended.is_some());
        let last = ended.map(|r| assessment::load(log, store, &r.run)).transpose()?;
        let risks = risk::risks(log, store)?;
        let mut declared_then = BTreeMap::new();
        let rested_on = risks.risks.iter().filter_map(|r| r.acceptance.as_ref()?.said.run.clone());
        for run in rested_on {
            if let Some(record) = runs.iter().find(|r| r.run == run) {
                let system = history::plan_statement(store, record.plan)?.system;
                declared_then.insert(run, system);
            }
        }
        Ok(Self {
            last,
            declared_then,
            risks,
            treatments: treatment::treatments(log, store)?,
            drills: drill::drills(log, store)?,
            triggers: Vec::new(),
            guard: None,
            policies: Vec::new(),
            holds: Vec::new(),
            runs,
        })
    }
}
