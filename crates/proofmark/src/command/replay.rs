//! `replay`: compute a run again and compare with what was signed.
//!
//! Owns the comparison. With the same engine version and CPU features the answers must be the same
//! bytes; elsewhere rows whose decision differs are listed and a small share is allowed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::predicate::MeasurementsPredicate;
use proofmark_assess::runner::Runner;
use proofmark_engine::engine::EngineKind;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::EngineUse;
use proofmark_schema::plan::{Plan, ProbeKind};
use serde_json::{Value, json};

use super::Global;
use super::dossier::{LATEST, assessment};
use super::model::EngineName;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::progress::Bars;
use crate::project::Project;
use crate::runner::{self, LabRunner, SCORES, WITNESSES, faults};
use crate::state::State;
use crate::{interrupt, loader, output};

mod rows;

use rows::{Compared, Signed};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Run, e.g. `run-2-1a2b3c4d`; the last one that ended by default.
    #[arg(default_value = LATEST)]
    run: String,
    /// Folder of the declaration, with models and data.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Take the signed results from this pack (written with `--with-rows`) instead of the log.
    #[arg(long)]
    pack: Option<PathBuf>,
    /// Run the attacks again as well.
    #[arg(long)]
    full: bool,
    /// Engine; by default the one that each probe ran on, which must be here. Another than the
    /// run's counts as another environment.
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
}

/// Runs the verb. Exit 0: the same within what is allowed; 1: not; 2: it could not be done.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let project = Project::load(&args.dir)?;
    let (signed, store, _folder): (Signed, _, _) = match &args.pack {
        None => {
            let state = State::of(&project);
            let store = state.store();
            (assessment(&state.log()?, &store, &args.run)?.into(), store, None)
        }
        Some(pack) => {
            let (signed, store, folder) = rows::of_pack(pack, &args.run)?;
            (signed, store, Some(folder))
        }
    };
    same_files(&project, &signed.plan)?;
    let bars = Bars::new(global.quiet);
    let mut labs: BTreeMap<String, LabRunner<'_>> = BTreeMap::new();
    let mut probes = Vec::new();
    for said in &signed.results {
        let used = said.measurements.first().map(|m| m.engine.clone()).unwrap_or_default();
        let lab = match labs.entry(used.name.clone()) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => {
                let engine = engine_of(args.engine, &used, global)?;
                let settings = runner::Settings { engine, threads: runner::cores() };
                free.insert(LabRunner::new(&project, settings, &bars, interrupt::flag()))
            }
        };
        output::note(global.quiet, &said.probe.id);
        bars.begin(&said.probe.id);
        probes.push(probe(lab, said, &signed.plan, &store, args.full)?);
        bars.end();
    }
    let verdict = Verdict::of(&probes);
    if global.format == Format::Json {
        output::json(&as_json(&signed, &probes, &verdict));
    } else {
        output::data(&as_text(&signed, &probes, &verdict));
    }
    Ok(match (verdict.holds, verdict.complete) {
        (false, _) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// A probe computed again.
struct Replayed {
    id: String,
    same_environment: bool,
    rows: Compared,
    /// Names of signed figures that came out otherwise; only with `--full`.
    figures: Vec<String>,
    full: bool,
    /// Something that the run kept is gone and was not measured again.
    gone: bool,
    note: Option<String>,
}

struct Verdict {
    same_environment: bool,
    identical: bool,
    holds: bool,
    /// False when rows of the run were erased, so that not all of it could be compared.
    complete: bool,
}

impl Replayed {
    fn lose(&mut self, why: &str) {
        self.gone = !self.full;
        self.note = Some(why.to_owned());
    }
}

impl Verdict {
    fn of(probes: &[Replayed]) -> Self {
        let same_environment = probes.iter().all(|p| p.same_environment);
        let complete = !probes.iter().any(|p| p.gone);
        let same = probes.iter().all(|p| p.rows.identical() && p.figures.is_empty());
        let close = probes.iter().all(|p| p.rows.close(DIFFERING_SHARE_MAX));
        let holds = if same_environment { same } else { close };
        Self { same_environment, identical: same && complete, holds, complete }
    }
}

fn probe(
    lab: &mut LabRunner<'_>,
    said: &MeasurementsPredicate,
    plan: &Plan,
    store: &Store,
    full: bool,
) -> Outcome<Replayed> {
    let mut replayed = Replayed {
        id: said.probe.id.clone(),
        same_environment: true,
        rows: Compared::default(),
        figures: Vec::new(),
        full: (full || figures_only(&said.probe.kind))
            && said.failed.is_none()
            && !timed(&said.probe.kind),
        gone: false,
        note: None,
    };
    if said.failed.is_some() {
        replayed.note = Some("the probe failed in the run; there is nothing to compare".into());
        return Ok(replayed);
    }
    if timed(&said.probe.kind) {
        replayed.note = Some("latencies are figures of their moment; they are not replayed".into());
    }
    let subject = lab.subject(&said.probe)?;
    let used = said.measurements.first().map(|m| m.engine.clone()).unwrap_or_default();
    replayed.same_environment = same_environment(&used, &subject.engine);
    match &said.probe.kind {
        ProbeKind::Accuracy => match rows::stored(store, said, SCORES)? {
            Some(bytes) => replayed.rows = rows::clean(&subject, &bytes)?,
            None => replayed.lose("the stored rows were erased"),
        },
        ProbeKind::Evasion { threat, .. } => match rows::stored(store, said, WITNESSES)? {
            Some(bytes) => {
                let threat = lab.threat(threat).or_fail("replay", "the declaration changed")?;
                let case = subject.case(threat, &said.probe.id)?;
                replayed.rows = rows::witnesses(&subject, &case.borrow(), &bytes)?;
            }
            None => replayed.lose("the stored witnesses were erased"),
        },
        // Nothing is stored but figures: those are computed again where `full` asks for it.
        ProbeKind::Parity | ProbeKind::Fault { .. } => {}
    }
    if replayed.full {
        let again = lab.run(&said.probe, plan).or_fail("replay", "")?;
        replayed.figures = said
            .measurements
            .iter()
            .filter(|m| !again.measurements.contains(m))
            .map(|m| m.id.clone())
            .collect();
        if !replayed.same_environment {
            replayed.note =
                Some(format!("{} figures differ on this engine or CPU", replayed.figures.len()));
            replayed.figures.clear();
        }
    }
    Ok(replayed)
}

/// Whether a probe leaves nothing but figures behind, which are then computed again.
fn figures_only(kind: &ProbeKind) -> bool {
    matches!(kind, ProbeKind::Parity | ProbeKind::Fault { .. })
}

/// Whether a probe measures latencies: figures of their moment, never the same again.
fn timed(kind: &ProbeKind) -> bool {
    matches!(kind, ProbeKind::Fault { what, .. } if what == faults::AVAILABILITY)
}

/// The engine asked for, else the one of the run: a run on ONNX Runtime is not quietly computed
/// again on something else.
fn engine_of(asked: Option<EngineName>, used: &EngineUse, global: Global) -> Outcome<EngineKind> {
    let name = asked.unwrap_or_else(|| EngineName::recorded(&used.name));
    name.ready(global.quiet).map_err(|failure| match asked {
        Some(_) => failure,
        None => Failure {
            message: format!(
                "the run was computed on {} {}: {}",
                used.name, used.version, failure.message
            ),
            help: format!(
                "{}; to compare it on another engine, as another environment: --engine rten",
                failure.help
            ),
            ..failure
        },
    })
}

fn same_environment(then: &EngineUse, now: &EngineUse) -> bool {
    then == now
}

/// The files must be the ones that were measured.
fn same_files(project: &Project, plan: &Plan) -> Outcome<()> {
    let now = loader::digests(project)?;
    let needed = |name: &str| name.starts_with("model/") || name.starts_with("data/");
    for asset in plan.assets.iter().filter(|a| needed(&a.name)) {
        let same = now.iter().any(|n| n == asset);
        if !same {
            return Err(Failure::new(
                "asset-changed",
                format!("`{}` is not the file that was measured", asset.name),
                format!("bring back the file with SHA-256 {}", asset.sha256),
            ));
        }
    }
    Ok(())
}

fn as_text(signed: &Signed, probes: &[Replayed], verdict: &Verdict) -> String {
    let mut text = String::new();
    for p in probes {
        text.push_str(&format!("{}: {}\n", p.id, p.rows));
        for id in &p.figures {
            text.push_str(&format!("  differs: {id}\n"));
        }
        if p.full && p.figures.is_empty() && p.same_environment {
            text.push_str("  measured again: every figure is the same\n");
        }
        if let Some(note) = &p.note {
            text.push_str(&format!("  {note}\n"));
        }
    }
    let place = if verdict.same_environment {
        "same engine version and CPU features"
    } else {
        "another engine version or CPU"
    };
    let word = match (verdict.identical, verdict.holds, verdict.complete) {
        (_, false, _) => "NOT the same",
        (_, true, false) => "what is left is the same, but part of the run was erased",
        (true, true, true) => "identical",
        (false, true, true) => "the same within 0.5 % of the rows",
    };
    text.push_str(&format!("{}: {word} ({place})\n", signed.run));
    text
}

fn as_json(signed: &Signed, probes: &[Replayed], verdict: &Verdict) -> Value {
    let list: Vec<Value> = probes
        .iter()
        .map(|p| {
            json!({"probe": p.id, "same_environment": p.same_environment, "rows": p.rows.rows,
                "identical_rows": p.rows.identical, "differing_rows": p.rows.differing,
                "differing_figures": p.figures, "full": p.full, "note": p.note})
        })
        .collect();
    json!({
        "format": "proofmark.replay/1", "run": signed.run,
        "same_environment": verdict.same_environment, "identical": verdict.identical,
        "holds": verdict.holds, "complete": verdict.complete, "probes": list,
    })
}

/// Elsewhere, floating point may tip a row that lies on the cut-off; more than this is no accident.
const DIFFERING_SHARE_MAX: f64 = 0.005;
