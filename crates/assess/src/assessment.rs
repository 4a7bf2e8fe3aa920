//! One assessment: plan registered, run started, probes run and signed, criteria judged, run ended.
//!
//! Owns the order of the leaves and what may be resumed. Must never run a probe before its plan is
//! in the log, nor judge against anything but the registered plan. Called by the command line.

use proofmark_evidence::entry::{EntryKind, PLAN_KEY};
use proofmark_evidence::log::Log;
use proofmark_evidence::store::{Store, StoreError};
use proofmark_schema::measurement::{AssetDigest, Measurement, Quantity};
use proofmark_schema::plan::{Plan, Probe, ProbeKind};
use proofmark_schema::system::System;

use crate::history::{
    self, COMPLETE_KEY, Fold, HistoryError, OUTCOME_KEY, PROBE_KEY, RUN_RESUME, RunRecord,
};
use crate::judge::{Evidence, Failure, Judged, Verdict, judge};
use crate::matrix::{Matrix, matrix};
use crate::plan::{data_asset, model_asset};
use crate::predicate::{
    ArtefactRef, MEASUREMENTS, MeasurementsPredicate, PLAN, PlanPredicate, ProbeFailure, VERDICTS,
    VerdictsPredicate,
};
use crate::register::{Register, RegisterError, Stored};
use crate::registration::{Standing, Terms, standing};
use crate::runner::{Artefact, ProbeOutcome, Runner, RunnerError};

/// A run that ended, rebuilt from signed statements.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The run as the log shows it.
    pub record: RunRecord,
    /// Plan as registered.
    pub plan: Plan,
    /// Declaration as registered.
    pub system: System,
    /// Outcome of every probe, in the order of the plan.
    pub results: Vec<ProbeRecord>,
    /// Verdicts, in the order of the criteria.
    pub verdicts: Vec<Verdict>,
    /// Matrix.
    pub matrix: Matrix,
    /// Whether every probe gave its figures.
    pub complete: bool,
    /// Why figures of this run are unfit for declaration; empty when they are fit.
    pub exploratory: Vec<String>,
    /// The statement of the verdicts.
    pub verdict_statement: Stored,
    /// The log's checkpoint when this was read.
    pub checkpoint: String,
}

/// The signed outcome of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRecord {
    /// Its statement.
    pub stored: Stored,
    /// Index of its leaf.
    pub index: u64,
    /// What the statement says.
    pub said: MeasurementsPredicate,
}

/// What happens while an assessment runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// The plan is in the log.
    PlanRegistered {
        /// Plan statement.
        plan: Stored,
        /// Index of the leaf.
        index: u64,
        /// True when an earlier run had registered it.
        known: bool,
    },
    /// The run began, or goes on.
    RunStarted {
        /// Run id.
        run: &'a str,
        /// Number of probes that need not run again.
        resumed_from: Option<usize>,
    },
    /// A probe begins.
    ProbeStarted {
        /// Place in the plan, from 0.
        index: usize,
        /// Number of probes.
        total: usize,
        /// Probe.
        probe: &'a Probe,
    },
    /// A probe was signed and logged.
    ProbeEnded {
        /// Place in the plan, from 0.
        index: usize,
        /// Number of probes.
        total: usize,
        /// What the statement says.
        said: &'a MeasurementsPredicate,
    },
    /// A criterion was judged.
    Verdict(&'a Verdict),
    /// The run was stopped and can be resumed.
    Interrupted {
        /// Run id.
        run: &'a str,
    },
    /// The run ended.
    RunEnded {
        /// Run id.
        run: &'a str,
        /// Whether every probe gave its figures.
        complete: bool,
    },
}

/// Runs `plan`, or goes on with the last unended run of it.
///
/// # Errors
/// [`AssessError::Interrupted`] leaves the run unended, to be resumed by the same call; other
/// errors say what the register or the caller did wrong.
pub fn assess(
    register: &mut Register<'_>,
    system: &System,
    plan: &Plan,
    runner: &mut dyn Runner,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Assessment, AssessError> {
    if plan.system != system.name || plan.version != system.version {
        return Err(AssessError::OtherSystem);
    }
    let fold = history::fold(register.log, register.store)?;
    let plan_stored = register_plan(register, &fold, system, plan, events)?;
    let (run, done) = start(register, &fold, plan_stored, events)?;
    for (index, probe) in plan.probes.iter().enumerate() {
        if done.contains(&probe.id) {
            continue;
        }
        let total = plan.probes.len();
        events(Event::ProbeStarted { index, total, probe });
        let started = (register.now)();
        let outcome = match runner.run(probe, plan) {
            Err(RunnerError::Cancelled) => {
                events(Event::Interrupted { run: &run });
                return Err(AssessError::Interrupted { run });
            }
            Ok(outcome) => check(probe, plan, outcome),
            Err(RunnerError::Failed { reason, fix }) => Err(ProbeFailure { reason, fix }),
        };
        let context = Context { run: &run, plan, plan_stored, probe };
        let said = sign_outcome(register, &context, started, outcome)?;
        events(Event::ProbeEnded { index, total, said: &said });
    }
    conclude(register, &run, system, plan, runner, events)?;
    load(register.log, register.store, &run)
}

/// Rebuilds a run that ended from the log and the store.
///
/// # Errors
/// [`AssessError`] if there is no such run, it never ended, or a statement is gone.
pub fn load(log: &Log, store: &Store, run: &str) -> Result<Assessment, AssessError> {
    let fold = history::fold(log, store)?;
    let record = fold.run(run).ok_or_else(|| HistoryError::NoRun(run.to_owned()))?;
    let (verdict_statement, _) =
        record.verdict.ok_or_else(|| HistoryError::Unended(run.to_owned()))?;
    if record.ended.is_none() {
        return Err(HistoryError::Unended(run.to_owned()).into());
    }
    let PlanPredicate { plan, system, .. } = history::plan_statement(store, record.plan)?;
    let verdicts = history::verdict_statement(store, verdict_statement)?;
    Ok(Assessment {
        results: results(store, record, &plan)?,
        record: record.clone(),
        plan,
        system,
        verdicts: verdicts.verdicts,
        matrix: verdicts.matrix,
        complete: verdicts.complete,
        exploratory: verdicts.exploratory,
        verdict_statement,
        checkpoint: log.checkpoint_text().to_owned(),
    })
}

/// Why there is no assessment.
#[derive(Debug, thiserror::Error)]
pub enum AssessError {
    /// The user stopped it.
    #[error("run `{run}` was stopped and is logged as not ended; the same command resumes it")]
    Interrupted {
        /// Run id.
        run: String,
    },
    /// The caller mixed two systems.
    #[error("the plan was made for another system or version; plan again")]
    OtherSystem,
    /// The log cannot be told.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The register cannot be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// Registers the plan unless it is in the log; the leaf is durable when this returns.
fn register_plan(
    register: &mut Register<'_>,
    fold: &Fold,
    system: &System,
    plan: &Plan,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Stored, AssessError> {
    let predicate =
        PlanPredicate { plan: plan.clone(), system: system.clone(), tool: register.tool.clone() };
    let stored = register.sign(PLAN, &predicate, &plan.assets)?;
    let (index, known) = match fold.plan(&stored.statement.hex()) {
        Some((index, _)) => (index, true),
        None => {
            let entry = stored.named_in(register.entry(EntryKind::Plan));
            (register.log(&[entry])?, false)
        }
    };
    events(Event::PlanRegistered { plan: stored, index, known });
    Ok(stored)
}

/// Resumes the last run of this plan if it never ended, else starts one. Returns the run's id and
/// the probes that have a result.
fn start(
    register: &mut Register<'_>,
    fold: &Fold,
    plan: Stored,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<(String, Vec<String>), AssessError> {
    let digest = plan.statement.hex();
    if let Some(open) = fold.unended(&digest) {
        let entry = register.entry(EntryKind::Other(RUN_RESUME.to_owned()));
        register.log(&[entry.run(&open.run).with(PLAN_KEY, digest)])?;
        let done: Vec<String> = open.results.iter().map(|o| o.probe.clone()).collect();
        events(Event::RunStarted { run: &open.run, resumed_from: Some(done.len()) });
        return Ok((open.run.clone(), done));
    }
    // The place in the log makes the id unique, the plan makes it telling.
    let short: String = digest.chars().take(RUN_ID_DIGITS).collect();
    let run = format!("run-{}-{short}", register.log.size());
    let entry = register.entry(EntryKind::RunStart).run(&run).with(PLAN_KEY, digest);
    register.log(&[entry])?;
    events(Event::RunStarted { run: &run, resumed_from: None });
    Ok((run, Vec::new()))
}

/// What a statement about one probe needs.
struct Context<'a> {
    run: &'a str,
    plan: &'a Plan,
    plan_stored: Stored,
    probe: &'a Probe,
}

fn sign_outcome(
    register: &mut Register<'_>,
    context: &Context<'_>,
    started: String,
    outcome: Result<ProbeOutcome, ProbeFailure>,
) -> Result<MeasurementsPredicate, AssessError> {
    let (outcome, failed) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(failure) => (ProbeOutcome::default(), Some(failure)),
    };
    let said = MeasurementsPredicate {
        run: context.run.to_owned(),
        plan: context.plan_stored.statement.hex(),
        probe: context.probe.clone(),
        tool: register.tool.clone(),
        started,
        ended: (register.now)(),
        artefacts: keep(register.store, &outcome.artefacts)?,
        measurements: outcome.measurements,
        validity: outcome.validity,
        notes: outcome.notes,
        failed,
    };
    let subjects = subjects(context.plan, context.probe);
    let stored = register.sign(MEASUREMENTS, &said, &subjects)?;
    let state = if said.failed.is_some() { "failed" } else { "measured" };
    let entry = register.entry(EntryKind::Result).run(context.run);
    let entry =
        stored.named_in(entry).with(PROBE_KEY, context.probe.id.clone()).with(OUTCOME_KEY, state);
    register.log(&[entry])?;
    Ok(said)
}

/// Puts artefacts into the store. What was erased before is named but not brought back.
fn keep(store: &Store, artefacts: &[Artefact]) -> Result<Vec<ArtefactRef>, RegisterError> {
    let mut kept = Vec::new();
    for artefact in artefacts {
        let digest = match store.put(&artefact.bytes) {
            Err(StoreError::Erased(erasure)) => erasure.artefact,
            other => other?,
        };
        kept.push(ArtefactRef {
            name: artefact.name.clone(),
            media_type: artefact.media_type.clone(),
            sha256: digest.hex(),
            personal: artefact.personal,
        });
    }
    Ok(kept)
}

/// Model and data files that a probe touches.
fn subjects(plan: &Plan, probe: &Probe) -> Vec<AssetDigest> {
    let (model, data) = (model_asset(&probe.model), data_asset(&probe.data));
    let of = |name: &str, asset: &str| {
        asset == name || asset.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
    };
    let named = |a: &&AssetDigest| of(&model, &a.name) || of(&data, &a.name);
    plan.assets.iter().filter(named).cloned().collect()
}

/// An outcome that can be signed: finite figures about what was planned, each with its own id.
fn check(probe: &Probe, plan: &Plan, outcome: ProbeOutcome) -> Result<ProbeOutcome, ProbeFailure> {
    let mut ids: Vec<&str> = Vec::new();
    for measurement in &outcome.measurements {
        let fault = if !finite(measurement) {
            "is not a finite number"
        } else if measurement.subject.model != probe.model || measurement.subject.data != probe.data
        {
            "is about another model or data set than the probe"
        } else if measurement.seed != plan.seed {
            "was made with another seed than the plan's"
        } else if ids.contains(&measurement.id.as_str()) || !id_is_fit(&measurement.id) {
            "has an id that is taken, empty or too long"
        } else {
            ids.push(&measurement.id);
            continue;
        };
        return Err(ProbeFailure {
            reason: format!("the figure `{}` {fault}", measurement.id),
            fix: "please report this as a bug".to_owned(),
        });
    }
    Ok(outcome)
}

fn finite(measurement: &Measurement) -> bool {
    match &measurement.quantity {
        Quantity::Estimate { value, lower, upper, confidence, .. } => {
            [value, lower, upper, confidence].iter().all(|v| v.is_finite())
        }
        Quantity::Exact { value, .. } => value.is_finite(),
        Quantity::Bracket { proved, attacked, lower, upper, confidence, .. } => {
            proved.is_none_or(f64::is_finite)
                && [attacked, lower, upper, confidence].iter().all(|v| v.is_finite())
        }
        Quantity::Screen { coverage, .. } => coverage.is_finite(),
    }
}

fn id_is_fit(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
}

/// Judges every criterion, signs verdicts and matrix, and ends the run, in one unit of the log.
fn conclude(
    register: &mut Register<'_>,
    run: &str,
    system: &System,
    plan: &Plan,
    runner: &dyn Runner,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<(), AssessError> {
    let fold = history::fold(register.log, register.store)?;
    let record = fold.run(run).ok_or_else(|| HistoryError::NoRun(run.to_owned()))?;
    let results = results(register.store, record, plan)?;
    let complete =
        results.len() == plan.probes.len() && results.iter().all(|r| r.said.failed.is_none());
    let shown = history::shown(&fold, register.store)?;
    let seen: Vec<_> = shown.iter().map(history::Shown::seen).collect();
    let terms = Terms { plan: plan.clone(), system: system.clone() };
    let Standing { criteria, reasons } = standing(&terms, &seen);
    let evidence = evidence(&results);
    let verdicts: Vec<Verdict> = plan
        .criteria
        .iter()
        .zip(criteria)
        .map(|(criterion, why)| judge(criterion, &evidence, runner, why))
        .collect();
    let predicate = VerdictsPredicate {
        run: run.to_owned(),
        plan: record.plan.statement.hex(),
        tool: register.tool.clone(),
        time: (register.now)(),
        results: results.iter().map(|r| r.stored.statement.hex()).collect(),
        matrix: matrix(system, &evidence, &verdicts),
        verdicts,
        complete,
        exploratory: reasons,
    };
    let stored = register.sign(VERDICTS, &predicate, &plan.assets)?;
    let verdict = stored.named_in(register.entry(EntryKind::Verdict).run(run));
    let end = register.entry(EntryKind::RunEnd).run(run).with(COMPLETE_KEY, complete);
    register.log(&[verdict, end])?;
    predicate.verdicts.iter().for_each(|v| events(Event::Verdict(v)));
    events(Event::RunEnded { run, complete });
    Ok(())
}

/// The signed outcomes of a run, in the order of the plan.
fn results(
    store: &Store,
    record: &RunRecord,
    plan: &Plan,
) -> Result<Vec<ProbeRecord>, AssessError> {
    let mut results = Vec::new();
    for probe in &plan.probes {
        let Some(outcome) = record.results.iter().find(|o| o.probe == probe.id) else { continue };
        let said = history::outcome_statement(store, outcome.stored)?;
        let ours = said.run == record.run
            && said.plan == record.plan.statement.hex()
            && said.probe == *probe;
        if !ours {
            let (index, reason) = (outcome.index, "its statement is about another run".to_owned());
            return Err(HistoryError::Leaf { index, reason }.into());
        }
        results.push(ProbeRecord { stored: outcome.stored, index: outcome.index, said });
    }
    Ok(results)
}

/// What the judge and the matrix read.
pub(crate) fn evidence(results: &[ProbeRecord]) -> Evidence<'_> {
    let mut evidence = Evidence::default();
    for ProbeRecord { said, .. } in results {
        for measurement in &said.measurements {
            evidence.figures.push(Judged { measurement, probe_validity: &said.validity });
        }
        if let Some(ProbeFailure { reason, fix }) = &said.failed {
            let (threat, fault) = match &said.probe.kind {
                ProbeKind::Evasion { threat, .. } => (Some(threat.as_str()), None),
                ProbeKind::Fault { fault, .. } => (None, Some(fault.as_str())),
                ProbeKind::Parity | ProbeKind::Accuracy => (None, None),
            };
            let (model, data) = (&said.probe.model, &said.probe.data);
            evidence.failures.push(Failure { model, data, threat, fault, reason, fix });
        }
    }
    evidence
}

/// Digits of the plan's digest in a run id: enough to tell plans apart by eye.
const RUN_ID_DIGITS: usize = 8;
/// Ids are made of names of the declaration; longer ones are a mistake.
const ID_BYTES_MAX: usize = 1000;

#[cfg(test)]
mod tests;
