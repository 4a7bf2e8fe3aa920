//! What the log tells: every run, cited or not, ended or not.
//!
//! Owns the fold over the log. Must never leave a run out, and never write. Called by
//! `assessment` (what may be resumed, what was seen), the report and the command line.

use std::collections::BTreeMap;
use std::rc::Rc;

use proofmark_evidence::entry::{Entry, EntryKind};
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;

use crate::judge::VerdictState;
use crate::predicate::{MEASUREMENTS, MeasurementsPredicate, PLAN, PlanPredicate};
use crate::predicate::{VERDICTS, VerdictsPredicate};
use crate::register::{self, RegisterError, Stored, stored_of};
use crate::registration::{Seen, Terms};

/// One run as the log shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Id.
    pub run: String,
    /// Plan statement.
    pub plan: Stored,
    /// Index of the leaf that registered the plan.
    pub plan_index: u64,
    /// When the plan was registered.
    pub registered: String,
    /// Index of the start leaf.
    pub start_index: u64,
    /// When it started.
    pub started: String,
    /// When it was resumed, each time.
    pub resumed: Vec<String>,
    /// Outcomes of probes, in log order.
    pub results: Vec<Outcome>,
    /// Verdicts, with the index of their leaf.
    pub verdict: Option<(Stored, u64)>,
    /// When it ended; `None`: it never ended.
    pub ended: Option<String>,
    /// Index of the end leaf.
    pub end_index: Option<u64>,
    /// Whether every probe gave its figures; false until it ended.
    pub complete: bool,
    /// Number of verdicts per state, from the signed verdicts.
    pub states: Vec<VerdictState>,
    /// Number of probes of the plan.
    pub probes: usize,
}

/// The outcome of one probe in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Probe id.
    pub probe: String,
    /// Its statement.
    pub stored: Stored,
    /// Index of the leaf.
    pub index: u64,
}

/// The log, folded.
#[derive(Debug, Default)]
pub struct Fold {
    /// Plans: statement digest (hex) to leaf index, time, and names.
    plans: BTreeMap<String, (u64, String, Stored)>,
    /// Runs in log order.
    pub runs: Vec<RunRecord>,
}

/// Every run in the log, in log order.
///
/// # Errors
/// [`HistoryError`] if the log is damaged or a statement is gone.
pub fn history(log: &Log, store: &Store) -> Result<Vec<RunRecord>, HistoryError> {
    Ok(fold(log, store)?.runs)
}

/// Folds the log.
///
/// # Errors
/// [`HistoryError`] if the log is damaged or a statement is gone.
pub fn fold(log: &Log, store: &Store) -> Result<Fold, HistoryError> {
    let mut entries = Vec::new();
    let mut fault = None;
    log.for_each_leaf(|index, leaf| {
        match Entry::parse(leaf) {
            Ok(entry) => entries.push((index, entry)),
            Err(error) => fault = fault.take().or(Some((index, error))),
        }
        Ok(())
    })
    .map_err(RegisterError::from)?;
    if let Some((index, error)) = fault {
        return Err(HistoryError::Leaf { index, reason: error.to_string() });
    }
    let mut fold = Fold::default();
    for (index, entry) in &entries {
        fold.take(*index, entry, store)?;
    }
    Ok(fold)
}

impl Fold {
    /// The plan with that statement digest, if it is registered: leaf index and time.
    pub fn plan(&self, statement: &str) -> Option<(u64, &str)> {
        self.plans.get(statement).map(|(index, time, _)| (*index, time.as_str()))
    }

    /// The run of that id.
    pub fn run(&self, id: &str) -> Option<&RunRecord> {
        self.runs.iter().find(|r| r.run == id)
    }

    /// The last run of that plan, if it never ended.
    pub fn unended(&self, plan: &str) -> Option<&RunRecord> {
        let last = self.runs.iter().rev().find(|r| r.plan.statement.hex() == plan)?;
        last.ended.is_none().then_some(last)
    }

    fn take(&mut self, index: u64, entry: &Entry, store: &Store) -> Result<(), HistoryError> {
        match entry.kind.as_str() {
            "plan" => {
                let stored = named(index, entry)?;
                let known = (index, entry.time.clone(), stored);
                self.plans.entry(stored.statement.hex()).or_insert(known);
            }
            "run-start" => self.start(index, entry, store)?,
            RUN_RESUME => self.of_run(index, entry)?.resumed.push(entry.time.clone()),
            "result" => {
                let stored = named(index, entry)?;
                let probe = text(entry, PROBE_KEY);
                self.of_run(index, entry)?.results.push(Outcome { probe, stored, index });
            }
            "verdict" => {
                let stored = named(index, entry)?;
                let read = register::read::<VerdictsPredicate>(store, entry, VERDICTS)?;
                let run = self.of_run(index, entry)?;
                run.states = read.predicate.verdicts.iter().map(|v| v.state).collect();
                run.verdict = Some((stored, index));
            }
            "run-end" => {
                let complete = entry.extra.get(COMPLETE_KEY).and_then(|v| v.as_bool());
                let run = self.of_run(index, entry)?;
                run.ended = Some(entry.time.clone());
                run.end_index = Some(index);
                run.complete = complete.unwrap_or(false);
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, index: u64, entry: &Entry, store: &Store) -> Result<(), HistoryError> {
        let odd = |reason: &str| HistoryError::Leaf { index, reason: reason.to_owned() };
        let plan = entry.plan().ok_or_else(|| odd("a run start names no plan"))?.hex();
        let known = self.plans.get(&plan);
        let (plan_index, registered, stored) =
            known.ok_or_else(|| odd("a run starts before its plan is registered"))?;
        let run = entry.run.clone().ok_or_else(|| odd("a run start names no run"))?;
        let terms = plan_statement(store, *stored)?;
        self.runs.push(RunRecord {
            run,
            plan: *stored,
            plan_index: *plan_index,
            registered: registered.clone(),
            start_index: index,
            started: entry.time.clone(),
            resumed: Vec::new(),
            results: Vec::new(),
            verdict: None,
            ended: None,
            end_index: None,
            complete: false,
            states: Vec::new(),
            probes: terms.plan.probes.len(),
        });
        Ok(())
    }

    fn of_run(&mut self, index: u64, entry: &Entry) -> Result<&mut RunRecord, HistoryError> {
        let run = entry.run.as_deref();
        let found = self.runs.iter_mut().rev().find(|r| Some(r.run.as_str()) == run);
        found.ok_or_else(|| HistoryError::Leaf {
            index,
            reason: "it belongs to a run that never started".to_owned(),
        })
    }
}

/// The outcome of a probe with the terms of its run.
#[derive(Debug)]
pub struct Shown {
    run: String,
    terms: Rc<Terms>,
    figures: Vec<(String, String)>,
}

/// What every probe of every run showed, in log order, with the terms of its run.
///
/// # Errors
/// [`HistoryError`] if a statement is gone.
pub fn shown(fold: &Fold, store: &Store) -> Result<Vec<Shown>, HistoryError> {
    let mut all = Vec::new();
    for run in &fold.runs {
        let PlanPredicate { plan, system, .. } = plan_statement(store, run.plan)?;
        let terms = Rc::new(Terms { plan, system });
        for outcome in &run.results {
            let mut figures = Vec::new();
            for measurement in outcome_statement(store, outcome.stored)?.measurements {
                let figure = (measurement.metric, measurement.subject.model);
                if !figures.contains(&figure) {
                    figures.push(figure);
                }
            }
            let shown = Shown { run: run.run.clone(), terms: Rc::clone(&terms), figures };
            all.push((outcome.index, shown));
        }
    }
    // Runs may overlap (one is resumed after another): what counts is which result came first.
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, shown)| shown).collect())
}

impl Shown {
    /// As the rule on registration reads it.
    pub fn seen(&self) -> Seen<'_> {
        Seen { run: &self.run, terms: &self.terms, figures: self.figures.clone() }
    }
}

/// The plan statement in the store.
///
/// # Errors
/// [`RegisterError`] if it is gone or of another type.
pub fn plan_statement(store: &Store, stored: Stored) -> Result<PlanPredicate, RegisterError> {
    register::read(store, &leaf_for(EntryKind::Plan, stored), PLAN).map(|r| r.predicate)
}

/// The measurements statement in the store.
///
/// # Errors
/// [`RegisterError`] if it is gone or of another type.
pub fn outcome_statement(
    store: &Store,
    stored: Stored,
) -> Result<MeasurementsPredicate, RegisterError> {
    register::read(store, &leaf_for(EntryKind::Result, stored), MEASUREMENTS).map(|r| r.predicate)
}

/// The verdicts statement in the store.
///
/// # Errors
/// [`RegisterError`] if it is gone or of another type.
pub fn verdict_statement(
    store: &Store,
    stored: Stored,
) -> Result<VerdictsPredicate, RegisterError> {
    register::read(store, &leaf_for(EntryKind::Verdict, stored), VERDICTS).map(|r| r.predicate)
}

/// Why the log cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A leaf that does not fit.
    #[error("entry {index} of the log does not fit: {reason}; run `proofmark log fsck`")]
    Leaf {
        /// Index.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// No such run.
    #[error("no run `{0}` in the log; `proofmark log` lists them")]
    NoRun(String),
    /// The run never ended.
    #[error("run `{0}` never ended, so it has no verdicts; `proofmark assess` resumes it")]
    Unended(String),
}

fn named(index: u64, entry: &Entry) -> Result<Stored, HistoryError> {
    stored_of(entry).ok_or_else(|| HistoryError::Leaf {
        index,
        reason: format!("a `{}` entry names no statement", entry.kind),
    })
}

fn leaf_for(kind: EntryKind, stored: Stored) -> Entry {
    stored.named_in(Entry::new(kind, String::new()))
}

fn text(entry: &Entry, key: &str) -> String {
    entry.extra.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}

/// Kind of the leaf that resumes a run.
pub const RUN_RESUME: &str = "run-resume";
/// Key under which a result leaf names its probe.
pub const PROBE_KEY: &str = "probe";
/// Key under which a result leaf says `measured` or `failed`.
pub const OUTCOME_KEY: &str = "outcome";
/// Key under which a run end says whether every probe gave its figures.
pub const COMPLETE_KEY: &str = "complete";
