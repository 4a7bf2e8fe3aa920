//! `drill`: set faults on purpose, measure what the guard does about them, sign the journal.
//!
//! Owns the order of the experiments, the table and the journal. Everything runs in processes of
//! its own on a scratch copy: the system's folder gets the signed journal and nothing else.

mod experiments;
mod load;
mod model_server;
mod process;
mod scratch;
mod stand;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Subcommand;
use proofmark_assess::drill::{DRILL, DrillPredicate, Experiment};
use proofmark_assess::events;
use proofmark_assess::register::Register;
use proofmark_dataset::table::{Cells, Column};
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::keys::random_bytes;
use proofmark_schema::measurement::AssetDigest;
use proofmark_server::answer::Decider;
use proofmark_server::scorer::{Question as Asked, Rows as GuardRows};
use serde_json::{Map, Value, json};

use super::Global;
use super::assess::tool;
use super::guard::setup::Setup;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, Rows};
use crate::{assets, clock, interrupt, output};

use experiments::{FAULTS, Fault};
use load::Question;
use scratch::Scratch;
use stand::Bench;

/// Arguments.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<DrillVerb>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Debug)]
enum DrillVerb {
    /// List the faults that can be set.
    List,
    /// A model server to try the guard with, and the one that drills kill; it asks for no key.
    ModelServer(model_server::Args),
}

/// Arguments of a drill.
#[derive(clap::Args, Debug)]
struct RunArgs {
    /// The policy; `guard.toml` in the folder of `-C` by default.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder of the policy.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Set this fault only; may be given more than once. All of `drill list` by default.
    #[arg(long)]
    fault: Vec<String>,
    /// Person who runs the drill and answers for it; the user of this machine by default.
    #[arg(long)]
    by: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        Some(DrillVerb::List) => list(global),
        Some(DrillVerb::ModelServer(args)) => model_server::run(args),
        None => drill(&args.run, global),
    }
}

fn list(global: Global) -> Outcome<ExitCode> {
    if global.format == Format::Json {
        let each = FAULTS.iter().map(|f| json!({"fault": f.name, "what": f.what}));
        let each: Vec<_> = each.collect();
        output::json(&json!({"format": "proofmark.drill-list/1", "faults": each}));
        return Ok(ExitCode::SUCCESS);
    }
    for fault in FAULTS {
        output::data(&format!("{:<16}  {}\n", fault.name, fault.what));
    }
    Ok(ExitCode::SUCCESS)
}

fn drill(args: &RunArgs, global: Global) -> Outcome<ExitCode> {
    let faults = wanted(&args.fault)?;
    let path = args.config.clone().unwrap_or_else(|| args.dir.join("guard.toml"));
    let setup = Setup::load(&path)?;
    let bench = bench(&setup, global)?;
    let started = clock::now();
    let (mut experiments, mut absent) = (Vec::new(), Vec::new());
    for fault in &faults {
        if interrupt::flag().load(std::sync::atomic::Ordering::Relaxed) {
            let help = "nothing was signed; run it again";
            return Err(Failure::new("interrupted", "the drill was interrupted", help));
        }
        output::note(global.quiet, &format!("{:<16}  {}", fault.name, fault.what));
        match (fault.run)(&bench) {
            Ok(experiment) => experiments.push(experiment),
            Err(failure) if failure.code == "drill-absent" => {
                let words = &failure.message;
                output::note(global.quiet, &format!("{:<16}  NOT RUN: {words}", fault.name));
                absent.push((fault.name, failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    if let (true, Some((name, failure))) = (experiments.is_empty(), absent.pop()) {
        let words = format!("{name} could not be run: {}", failure.message);
        return Err(Failure::new("drill-absent", words, failure.help));
    }
    let journal = journal(args, &setup, &bench, started, experiments)?;
    let sealed = seal(&setup, &journal)?;
    let absent: Vec<(&str, String)> = absent.into_iter().map(|(n, f)| (n, f.message)).collect();
    if global.format == Format::Json {
        output::json(&document(&journal, &absent, &sealed));
    } else {
        output::data(&table(&journal, &absent, &sealed));
    }
    let deviated = journal.experiments.iter().any(|e| e.deviated);
    Ok(if deviated { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn wanted(names: &[String]) -> Outcome<Vec<Fault>> {
    if names.is_empty() {
        return Ok(FAULTS.to_vec());
    }
    names
        .iter()
        .map(|name| {
            let found = FAULTS.iter().find(|fault| fault.name == name);
            found.copied().ok_or_else(|| {
                let words = format!("there is no fault `{name}`");
                Failure::new("no-such-fault", words, "`proofmark drill list` shows them")
            })
        })
        .collect()
}

fn bench(setup: &Setup, global: Global) -> Outcome<Bench> {
    let (_, assessed) = model_server::primary(setup)?;
    if !assessed && !setup.project.system.demo {
        let words = "the primary model is not the one that the last run assessed";
        return Err(Failure::new("not-assessed", words, "run `proofmark assess` first"));
    }
    if !assessed {
        output::note(global.quiet, "DEMO: the models are not assessed; served with --unassessed");
    }
    let questions = questions(setup)?;
    Ok(Bench {
        scratch: Scratch::of(setup)?,
        questions: Arc::new(questions),
        unassessed: !assessed,
        checkpoint: Mutex::new(String::new()),
        serial: std::cell::Cell::new(0),
    })
}

/// Rows of the test set that a guard accepts, with the decision that the primary model gives
/// when it is asked here.
fn questions(setup: &Setup) -> Outcome<Vec<Question>> {
    let project = &setup.project;
    let asset = project.system.test_data().ok_or_else(|| {
        let words = "no test data are declared, so nothing is known to ask";
        Failure::new("no-test-data", words, "declare a data set with the role `test`")
    })?;
    let data = loader::data(project, asset)?;
    let (intake, scorer) = (model_server::intake(setup)?, model_server::scorer(setup)?);
    let (file, _) = model_server::primary(setup)?;
    let classes: Vec<String> = asset.classes.iter().map(|(name, _)| name.clone()).collect();
    let decider = Decider::new(&file.asset, &classes).ok_or_else(|| {
        Failure::new("drill", "the decision names no class of the data", "run `proofmark check`")
    })?;
    let mut questions = Vec::new();
    for row in 0..data.n() {
        let features = features(&data.rows, row, &intake);
        let body = json!({"features": features}).to_string().into_bytes();
        // Rows with gaps or outside the declared ranges are refused, rightly.
        let Ok(read) = intake.read(&body) else { continue };
        let asked = Asked { rows: whole(&data.rows, row)?, deadline: Instant::now() + PATIENCE };
        drop(read);
        let scores = scorer.score_blocking(&asked).or_fail("drill", "")?;
        let Some(class) = decider.decide(&scores.values) else { continue };
        let decision = classes.get(class).cloned().unwrap_or_default();
        questions.push(Question { body, decision });
        if questions.len() == QUESTIONS {
            break;
        }
    }
    if questions.is_empty() {
        let words = "no row of the test data is accepted by the policy";
        return Err(Failure::new("drill", words, "`proofmark guard check` shows the ranges"));
    }
    Ok(questions)
}

fn features(rows: &Rows, row: usize, intake: &proofmark_server::intake::Intake) -> Value {
    let read = |name: &str| intake.fields().iter().any(|f| f.name == name && f.read);
    match rows {
        Rows::Table(table) => {
            let cell = |column: &Column| match &column.cells {
                Cells::Numbers(v) => v.get(row).map(|v| json!(v)),
                Cells::Texts(v) => v.get(row).map(|v| json!(v)),
            };
            let each = table.columns.iter().filter(|c| read(&c.name));
            let each: Map<String, Value> =
                each.filter_map(|c| Some((c.name.clone(), cell(c)?))).collect();
            Value::Object(each)
        }
        Rows::Images(images) => {
            let name = intake.image().map(|f| f.name.clone()).unwrap_or_default();
            json!({ name: images.image(row) })
        }
        Rows::Series(series) => json!({ "series": series.window(row) }),
    }
}

fn whole(rows: &Rows, row: usize) -> Outcome<GuardRows> {
    let made = match rows {
        Rows::Table(table) => {
            let pick = |column: &Column| Column {
                name: column.name.clone(),
                kind: column.kind,
                cells: match &column.cells {
                    Cells::Numbers(v) => Cells::Numbers(v.get(row).copied().into_iter().collect()),
                    Cells::Texts(v) => Cells::Texts(v.get(row).cloned().into_iter().collect()),
                },
            };
            GuardRows::table(1, table.columns.iter().map(pick).collect())
        }
        Rows::Images(images) => GuardRows::images(1, images.shape, images.image(row).to_vec()),
        Rows::Series(_) => None,
    };
    made.ok_or_else(|| Failure::new("drill", format!("row {row} is cut short"), ""))
}

fn journal(
    args: &RunArgs,
    setup: &Setup,
    bench: &Bench,
    started: String,
    experiments: Vec<Experiment>,
) -> Outcome<DrillPredicate> {
    let program = std::env::current_exe().or_fail("drill", "this program does not find itself")?;
    let program = assets::read_limited(&program, PROGRAM_BYTES_MAX)?;
    let mut assets = vec![
        AssetDigest { name: "program".into(), sha256: assets::sha256(&program) },
        AssetDigest { name: "guard-policy".into(), sha256: bench.scratch.policy_sha256.clone() },
        setup.project.digest(),
    ];
    for (file, _) in setup.models(&setup.assessed()?, None)? {
        let (name, sha256) = (format!("model/{}", file.asset.name), file.model.digest());
        assets.push(AssetDigest { name, sha256 });
    }
    assets.sort();
    let id = random_bytes::<4>().or_fail("drill", "")?;
    let system = &setup.project.system;
    let checkpoint = bench.checkpoint.lock().map(|note| note.clone()).unwrap_or_default();
    Ok(DrillPredicate {
        id: format!("drill-{}", hex::encode(id.as_slice())),
        system: system.name.clone(),
        version: system.version.clone(),
        tool: tool(),
        operator: operator(args),
        started,
        ended: clock::now(),
        assets,
        experiments,
        guard_checkpoint: checkpoint,
    })
}

fn operator(args: &RunArgs) -> String {
    let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
    let named =
        args.by.clone().or_else(|| user().map(|user| format!("{user} (user of the machine)")));
    named.unwrap_or_else(|| "not named".to_owned())
}

/// What the log says of the journal.
struct Sealed {
    index: u64,
    statement: String,
}

fn seal(setup: &Setup, journal: &DrillPredicate) -> Outcome<Sealed> {
    let (mut log, key) = setup.state.log_for_writing(setup.state.keys()?)?;
    let store = setup.state.store();
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let logged = events::record(&mut register, EntryKind::Drill, DRILL, journal, &journal.assets)
        .or_fail("drill", "run `proofmark log fsck`")?;
    Ok(Sealed { index: logged.index, statement: logged.stored.statement.hex() })
}

fn document(journal: &DrillPredicate, absent: &[(&str, String)], sealed: &Sealed) -> Value {
    let absent = absent.iter().map(|(fault, why)| json!({"fault": fault, "why": why}));
    let absent: Vec<_> = absent.collect();
    let deviated = journal.experiments.iter().filter(|e| e.deviated).count();
    json!({
        "format": "proofmark.drill/1", "journal": journal, "deviated": deviated,
        "not_run": absent, "statement": sealed.statement, "index": sealed.index,
    })
}

fn table(journal: &DrillPredicate, absent: &[(&str, String)], sealed: &Sealed) -> String {
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    let mut rows = vec![
        ["fault", "held", "sent", "primary", "backup", "safe", "refused", "failed", "wrong"]
            .into_iter()
            .chain(["gap ms", "takeover ms", "back ms"])
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    ];
    for e in &journal.experiments {
        let d = e.during;
        let counts = [d.sent, d.primary, d.backup, d.safe, d.refused, d.failed, d.wrong];
        let held = if e.deviated { "DEVIATED" } else { "yes" };
        let mut row = vec![e.fault.clone(), held.to_owned()];
        row.extend(counts.iter().map(u64::to_string));
        row.extend([ms(e.gap_ms), ms(e.failover_ms), ms(e.recovery_ms)]);
        rows.push(row);
    }
    let mut text = format!(
        "drill {} of {} {}: requests while each fault lasted\n\n{}\n",
        journal.id,
        journal.system,
        journal.version,
        aligned(&rows)
    );
    for e in journal.experiments.iter().filter(|e| e.deviated) {
        let why = e.reason.as_deref().unwrap_or("no reason given");
        text += &format!("DEVIATED  {}: {why}\n          expected: {}\n", e.fault, e.hypothesis);
    }
    for (fault, why) in absent {
        text += &format!("NOT RUN   {fault}: {why}\n");
    }
    text += &format!(
        "\nsigned    statement {}, entry {} of the log\nnext      proofmark dossier --out DIR\n",
        sealed.statement.get(..16).unwrap_or(&sealed.statement),
        sealed.index
    );
    text
}

// Columns of equal width, the first two to the left, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cell = |(at, (text, width)): (usize, (&String, &usize))| match at {
            0 | 1 => format!("{text:<width$}"),
            _ => format!("{text:>width$}"),
        };
        let cells: Vec<String> = row.iter().zip(&widths).enumerate().map(cell).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Rows that are asked in turn.
const QUESTIONS: usize = 32;
/// For one answer of the model in this process.
const PATIENCE: Duration = Duration::from_secs(10);
/// This program, to be digested: a debug build with every table inside stays below.
const PROGRAM_BYTES_MAX: u64 = 2 << 30;
