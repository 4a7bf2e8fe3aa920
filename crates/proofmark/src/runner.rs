//! What measures: the lab over loaded models and data, as `assess` asks for it.
//!
//! Owns the translation of a planned probe into calls of the lab, and the rows kept for resuming.
//! Must never judge.

pub mod faults;
mod parity;
pub mod progress_rows;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use proofmark_assess::runner::{Artefact, ProbeOutcome, Runner, RunnerError};
use proofmark_engine::engine::EngineKind;
use proofmark_evidence::rowkey::RowKey;
use proofmark_formats::npy::{NpyArray, NpyData};
use proofmark_formats::npz;
use proofmark_lab::accuracy;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::assessment::{self as evasion, Request};
use proofmark_lab::evasion::suite::{self, Suite, SuiteError};
use proofmark_lab::facts::Refused;
use proofmark_lab::faults as lab_faults;
use proofmark_lab::harness::{self, Case, HarnessError, RowRecord};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::{regression, stats};
use proofmark_schema::measurement::{Measurement, Quantity};
use proofmark_schema::plan::{Plan, Probe, ProbeKind};
use proofmark_schema::system::{Bound, System, Threat};
use serde_json::json;

use crate::exact;
use crate::failure::{Failure, Outcome};
use crate::loader;
use crate::progress::Bars;
use crate::project::Project;
use crate::proofs::{self, Effort};
use crate::subject::{Subject, Subjects};
use progress_rows::Kept;

/// How probes are run; results do not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Engine.
    pub engine: EngineKind,
    /// Threads.
    pub threads: usize,
}

/// The lab as a [`Runner`].
pub struct LabRunner<'a> {
    project: &'a Project,
    subjects: Subjects<'a>,
    settings: Settings,
    bars: &'a Bars,
    cancel: &'a AtomicBool,
    /// Where rows of an unfinished probe are kept; `None` keeps none.
    scratch: Option<std::path::PathBuf>,
    /// Under which row digests are keyed; `None` leaves them out.
    row_key: Option<RowKey>,
}

impl<'a> LabRunner<'a> {
    /// A runner over the files of a project.
    pub fn new(
        project: &'a Project,
        settings: Settings,
        bars: &'a Bars,
        cancel: &'a AtomicBool,
    ) -> Self {
        let subjects = Subjects::new(project, settings);
        Self { project, subjects, settings, bars, cancel, scratch: None, row_key: None }
    }

    /// Keeps rows of unfinished probes in `folder`, and takes up those that lie there.
    pub fn keeping_rows_in(mut self, folder: std::path::PathBuf) -> Self {
        self.scratch = Some(folder);
        self
    }

    /// Adds a list of keyed row digests to each accuracy result: the provider can show later
    /// which rows were measured, and no one else can guess them.
    pub fn keying_rows_with(mut self, key: RowKey) -> Self {
        self.row_key = Some(key);
        self
    }

    /// The loaded subject of a probe.
    pub fn subject(&mut self, probe: &Probe) -> Result<Rc<Subject>, Failure> {
        self.subjects.of(&probe.model, &probe.data)
    }

    /// The declared threat of that name.
    pub fn threat(&self, name: &str) -> Result<&'a Threat, RunnerError> {
        self.project.system.threat_named(name).ok_or_else(|| RunnerError::Failed {
            reason: format!("the plan names the threat `{name}`, the declaration not"),
            fix: "assess again: the declaration changed".into(),
        })
    }

    fn ctx(&self, seed: u64) -> Ctx<'a> {
        Ctx { seed, progress: self.bars, cancel: self.cancel }
    }

    fn accuracy(&self, subject: &Subject, seed: u64) -> Result<ProbeOutcome, RunnerError> {
        let (measurements, refused) = clean_figures(&self.project.system, subject, seed);
        let mut artefacts = vec![scores_artefact(subject)?];
        if let Some(key) = &self.row_key {
            let digests = subject.row_digests(key);
            let list = json!({"format": "proofmark.rows/1", "digests": digests});
            let bytes = serde_json::to_vec(&list).map_err(bug)?;
            artefacts.push(artefact("rows.json", "application/json", bytes, false));
        }
        Ok(ProbeOutcome {
            measurements,
            artefacts,
            notes: subject.notes.iter().cloned().chain(refused.iter().map(too_small)).collect(),
            validity: subject.setup.clone(),
        })
    }

    fn fault(
        &self,
        subject: &Subject,
        probe: &Probe,
        name: &str,
        plan: &Plan,
    ) -> Result<ProbeOutcome, RunnerError> {
        let gone = || RunnerError::Failed {
            reason: format!("the plan names the fault `{name}`, the declaration not"),
            fix: "assess again: the declaration changed".into(),
        };
        let system = &self.project.system;
        let fault = system.fault_named(name).ok_or_else(gone)?;
        let asset = system.model_named(&probe.model).ok_or_else(gone)?;
        let model = loader::held_model(self.project, asset).map_err(failed)?;
        let (project, settings) = (self.project, self.settings);
        let model = model.as_ref();
        // Not the model: the same rows are hit the same way under every one.
        let key = format!("{}/fault/{name}", probe.data);
        let scene = faults::Scene { project, settings, subject, model, fault, probe: &key };
        faults::probe(&scene, probe, &self.ctx(plan.seed))
    }

    /// What is proved, for threats that ask for it, and the suite that goes with it.
    fn proofs(
        &self,
        subject: &Subject,
        threat: &Threat,
        case: &Case<'_>,
        seed: u64,
    ) -> Result<(Option<Proofs>, Suite), RunnerError> {
        let threads = self.settings.threads;
        let refused = |e: SuiteError| RunnerError::Failed {
            reason: e.to_string(),
            fix: "choose another suite or access for this threat".into(),
        };
        match threat.suite.as_str() {
            suite::EXACT => {
                let setup = exact::Setup::deployed(self.project, subject, case).map_err(failed)?;
                let mut found = setup.search(exact::BUDGET, threads, self.bars, self.cancel);
                let suite = found.suite();
                Ok((Some(Proofs::Trees(found)), suite))
            }
            suite::PROVED => {
                let effort = Effort { parts: proofs::PARTS, threads, seed };
                let (eps, bars) = (&threat.eps, self.bars);
                let found =
                    proofs::prove(self.project, subject, case, eps, effort, bars, self.cancel);
                let mut found = found.map_err(failed)?;
                let suite = found.suite(case, None).map_err(refused)?;
                Ok((Some(Proofs::Network(found)), suite))
            }
            name => Ok((None, Suite::named(name, case, None).map_err(refused)?)),
        }
    }

    fn evasion(
        &self,
        subject: &Subject,
        probe: &Probe,
        threat: &Threat,
        plan: &Plan,
    ) -> Result<ProbeOutcome, RunnerError> {
        let owned = subject.case(threat, &probe.id).map_err(failed)?;
        let case = owned.borrow();
        let (proofs, suite) = self.proofs(subject, threat, &case, plan.seed)?;
        let facts = subject.facts(plan.seed);
        let request = Request {
            numbers: owned.numbers(),
            facts: &facts,
            case: &case,
            suite: &suite,
            threat: Some(&threat.name),
            scale: threat.scale,
            eps: &threat.eps,
            groups: &subject.groups,
            setup: &subject.setup,
        };
        let mut kept = Kept::open(self.scratch.as_deref(), plan, probe, &facts.engine);
        let done = kept.take();
        let mut notes = subject.notes.clone();
        notes.extend(owned.without_room());
        if !done.is_empty() {
            notes.push(format!("{} rows were decided before the interruption", done.len()));
        }
        let ctx = self.ctx(plan.seed);
        let stopped = |error: HarnessError| match error {
            HarnessError::Cancelled => RunnerError::Cancelled,
            other => RunnerError::Failed {
                reason: other.to_string(),
                fix: "see `proofmark check`".into(),
            },
        };
        let rows: Vec<usize> = (0..case.oracle.rows()).collect();
        let mut records =
            harness::run(&case, &suite, &threat.eps, &rows, &done, &ctx, &mut |row| {
                kept.add(row);
            })
            .map_err(stopped)?;
        if let Some(proofs) = &proofs {
            proofs.bound(&mut records).map_err(failed)?;
            notes.push(proofs.told());
        }
        let mut assessed = evasion::conclude(&request, records, &ctx).map_err(stopped)?;
        if let Some(Proofs::Network(proofs)) = &proofs {
            proofs.tell(&mut assessed.report);
        }
        kept.remove();
        let report = serde_json::to_vec_pretty(&assessed.report).map_err(bug)?;
        notes.extend(assessed.refused.iter().map(too_small));
        Ok(ProbeOutcome {
            measurements: assessed.measurements,
            artefacts: vec![
                artefact("attack.json", "application/json", report, false),
                witnesses(subject, &assessed.records)?,
            ],
            notes,
            validity: assessed.report.validity,
        })
    }
}

impl Runner for LabRunner<'_> {
    fn run(&mut self, probe: &Probe, plan: &Plan) -> Result<ProbeOutcome, RunnerError> {
        let subject = self.subjects.of(&probe.model, &probe.data).map_err(failed)?;
        subject.is_planned(plan).map_err(failed)?;
        match &probe.kind {
            ProbeKind::Parity => parity::measure(&subject, plan.seed),
            ProbeKind::Accuracy => self.accuracy(&subject, plan.seed),
            ProbeKind::Evasion { threat, .. } => {
                let threat = self.threat(threat)?;
                self.evasion(&subject, probe, threat, plan)
            }
            ProbeKind::Fault { fault, .. } => self.fault(&subject, probe, fault, plan),
        }
    }

    fn bounds(&self, quantity: &Quantity, confidence: f64) -> Option<(f64, f64)> {
        let shares = |k: u64, n: u64| {
            let lower = stats::one_sided_lower(k, n, confidence);
            (lower, stats::one_sided_upper(k, n, confidence))
        };
        match quantity {
            Quantity::Bracket { k, n, .. } | Quantity::Estimate { k: Some(k), n, .. } => {
                Some(shares(*k, *n))
            }
            Quantity::Estimate { lower, upper, confidence: two_sided, one_sided, .. } => {
                let measured = one_sided.iter().find(|bounds| bounds.confidence == confidence);
                match measured {
                    Some(bounds) => Some((bounds.lower, bounds.upper)),
                    // An end of a two-sided interval at c is a one-sided bound at (1 + c) / 2:
                    // asked for less, it is stricter than needed; for more, it promises too much.
                    None => (confidence <= (1.0 + two_sided) / 2.0).then_some((*lower, *upper)),
                }
            }
            // Exact over the rows at hand says nothing of the rows to come.
            Quantity::Exact { .. } | Quantity::Screen { .. } => None,
        }
    }

    fn rows_to_decide(&self, quantity: &Quantity, bound: Bound, confidence: f64) -> Option<u64> {
        let (k, n) = match quantity {
            Quantity::Bracket { k, n, .. } | Quantity::Estimate { k: Some(k), n, .. } => (*k, *n),
            Quantity::Estimate { value, method, n, .. }
                if [regression::SKEWED, regression::ORDER].contains(&method.as_str()) =>
            {
                let (Bound::AtLeast(threshold) | Bound::AtMost(threshold)) = bound;
                let (lower, upper) = self.bounds(quantity, confidence)?;
                let interval = stats::Interval { lower, upper };
                return stats::rows_for_mean(*value, interval, *n, threshold);
            }
            _ => return None,
        };
        let (threshold, direction) = match bound {
            Bound::AtLeast(t) => (t, stats::Direction::AtLeast),
            Bound::AtMost(t) => (t, stats::Direction::AtMost),
        };
        stats::n_to_decide(k, n, threshold, direction, confidence)
    }
}

/// What was proved beside an attack.
enum Proofs {
    Trees(exact::Answers),
    Network(proofs::Answers),
}

impl Proofs {
    fn bound(&self, records: &mut [RowRecord]) -> Outcome<()> {
        match self {
            Self::Trees(found) => found.bound(records),
            Self::Network(found) => found.bound(records),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Trees(found) => found.told(),
            Self::Network(found) => found.told(),
        }
    }
}

/// Edition of a suite of the lab, or of a kind of fault (`fault/<kind>`).
pub fn suite_edition(name: &str) -> Option<u32> {
    match name.strip_prefix("fault/") {
        Some(kind) => lab_faults::edition_of(kind),
        None => Suite::edition_of(name),
    }
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Figures without attack, of classes or of numbers.
fn clean_figures(
    system: &System,
    subject: &Subject,
    seed: u64,
) -> (Vec<Measurement>, Vec<Refused>) {
    let facts = subject.facts(seed);
    let Some(targets) = subject.targets() else {
        let report = accuracy::measure(
            &facts,
            &subject.clean,
            subject.labels(),
            &subject.decision,
            &subject.groups,
            &subject.setup,
        );
        return (report.measurements, report.refused);
    };
    let asked = system.criteria.iter().filter(|c| c.model == facts.model && c.data == facts.data);
    let mut confidences: Vec<f64> = asked.map(|c| c.confidence).collect();
    confidences.sort_by(f64::total_cmp);
    confidences.dedup();
    let sheet = regression::Sheet {
        facts: &facts,
        clean: &subject.clean,
        targets,
        unit: subject.unit(),
        quantiles: &subject.data().asset.quantiles,
        confidences: &confidences,
        validity: &subject.setup,
    };
    let report = regression::measure(&sheet, &subject.groups);
    (report.measurements, report.refused)
}

fn scores_artefact(subject: &Subject) -> Result<Artefact, RunnerError> {
    let clean = &subject.clean;
    let shape = vec![clean.rows(), clean.classes()];
    let scores = NpyArray::new(shape, NpyData::F32(clean.all_scores().to_vec())).map_err(bug)?;
    let decisions = (0..clean.rows()).map(|r| index_or_none(clean.decision(r))).collect();
    let decisions = NpyArray::new(vec![clean.rows()], NpyData::I64(decisions)).map_err(bug)?;
    let bytes = npz::write([("scores", &scores), ("decisions", &decisions)]).map_err(bug)?;
    Ok(artefact(SCORES, NPZ, bytes, true))
}

/// Nearest witness of every broken row, with the scores that `subject` gives it.
pub fn witnesses(subject: &Subject, records: &[RowRecord]) -> Result<Artefact, RunnerError> {
    let found: Vec<&RowRecord> = records.iter().filter(|r| r.witness.is_some()).collect();
    let rows: Vec<i64> = found.iter().map(|r| r.point.index as i64).collect();
    let x: Vec<f32> = found.iter().filter_map(|r| r.witness.clone()).flatten().collect();
    let decisions: Vec<i64> =
        found.iter().map(|r| index_or_none(r.point.decision_witness)).collect();
    let n = found.len();
    let at: Vec<usize> = found.iter().map(|r| r.point.index as usize).collect();
    let scores = subject.target.scores(&at, &x).map_err(bug)?;
    let arrays: BTreeMap<&str, NpyArray> = [
        ("rows", NpyArray::new(vec![n], NpyData::I64(rows))),
        ("x", NpyArray::new(vec![n, subject.dims()], NpyData::F32(x))),
        ("decisions", NpyArray::new(vec![n], NpyData::I64(decisions))),
        ("scores", NpyArray::new(vec![n, subject.clean.classes()], NpyData::F32(scores))),
    ]
    .into_iter()
    .map(|(name, array)| Ok((name, array.map_err(bug)?)))
    .collect::<Result<_, RunnerError>>()?;
    let bytes = npz::write(arrays.iter().map(|(n, a)| (*n, a))).map_err(bug)?;
    Ok(artefact(WITNESSES, NPZ, bytes, true))
}

fn artefact(name: &str, media_type: &str, bytes: Vec<u8>, personal: bool) -> Artefact {
    Artefact { name: name.into(), media_type: media_type.into(), bytes, personal }
}

/// A group that gets no figures, in words.
fn too_small(group: &Refused) -> String {
    format!("no figures for {}={}: {}", group.feature, group.value, group.reason)
}

/// A class as stored in an array: -1 where none was decided.
pub fn index_or_none(class: Option<usize>) -> i64 {
    class.and_then(|c| i64::try_from(c).ok()).unwrap_or(-1)
}

fn failed(failure: Failure) -> RunnerError {
    RunnerError::Failed { reason: failure.message, fix: failure.help }
}

fn bug(error: impl std::fmt::Display) -> RunnerError {
    RunnerError::Failed { reason: error.to_string(), fix: "please report this as a bug".into() }
}

/// Clean scores and decisions of every row.
pub const SCORES: &str = "scores.npz";
/// Nearest witness of every broken row.
pub const WITNESSES: &str = "witnesses.npz";
const NPZ: &str = "application/x-npz";
