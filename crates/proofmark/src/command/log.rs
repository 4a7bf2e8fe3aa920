//! `log fsck|anchor|list`: look after the evidence log.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use proofmark_assess::register::{statement, stored_of};
use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::durable::OsFs;
use proofmark_evidence::entry::Entry;
use proofmark_evidence::log::fsck as check_log;
use serde_json::json;

use super::Global;
use crate::assets;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;
use crate::project::Project;
use crate::state::State;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: LogVerb,
}

#[derive(Subcommand, Debug)]
enum LogVerb {
    /// Recompute the whole log as a stranger would, and look for the statements it names.
    Fsck {
        /// Folder of the declaration.
        #[arg(short = 'C', default_value = ".")]
        dir: PathBuf,
        /// A checkpoint kept from earlier: the log must extend it.
        #[arg(long, value_name = "FILE")]
        older: Option<PathBuf>,
    },
    /// Import what a second party gave for a checkpoint.
    Anchor {
        /// RFC 3161 response over the checkpoint's bytes.
        #[arg(long, value_name = "FILE", conflicts_with = "cosignature")]
        tsr: Option<PathBuf>,
        /// Signature line of another key over the checkpoint.
        #[arg(long, value_name = "FILE", requires = "vkey")]
        cosignature: Option<PathBuf>,
        /// Public key of the second party, as it published it.
        #[arg(long, value_name = "NAME+ID+KEY")]
        vkey: Option<String>,
        /// The checkpoint it is over; the log's own by default.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Folder of the declaration.
        #[arg(short = 'C', default_value = ".")]
        dir: PathBuf,
    },
    /// The entries of the log, oldest first.
    List {
        /// Folder of the declaration.
        #[arg(short = 'C', default_value = ".")]
        dir: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        LogVerb::Fsck { dir, older } => fsck(dir, older.as_deref(), global),
        LogVerb::Anchor { tsr, cosignature, vkey, checkpoint, dir } => {
            let witness = Given { tsr, cosignature, vkey, checkpoint };
            anchor(dir, &witness, global)
        }
        LogVerb::List { dir } => list(dir, global),
    }
}

fn fsck(dir: &Path, older: Option<&Path>, global: Global) -> Outcome<ExitCode> {
    let state = State::of(&Project::load(dir)?);
    let older = older.map(small_text).transpose()?;
    state.log()?;
    let mut report = check_log(&state.log_dir(), &state.verifier()?, older.as_deref());
    if report.is_sound() {
        report.problems.extend(lost_statements(&state)?);
    }
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.fsck/1", "sound": report.is_sound(), "entries": report.size,
            "root": hex::encode(report.root), "problems": report.problems, "notes": report.notes,
        }));
    } else {
        for note in &report.notes {
            output::note(global.quiet, &format!("note: {note}"));
        }
        for problem in &report.problems {
            output::data(&format!("problem: {problem}\n"));
        }
        let word = if report.is_sound() { "sound" } else { "NOT sound" };
        output::data(&format!(
            "{} entries, root {}: {word}\n",
            report.size,
            hex::encode(report.root)
        ));
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Statements that the log names and the store no longer holds as they were signed.
fn lost_statements(state: &State) -> Outcome<Vec<String>> {
    let (log, store) = (state.log()?, state.store());
    let mut problems = Vec::new();
    log.for_each_leaf(|index, leaf| {
        let named = Entry::parse(leaf).ok().and_then(|entry| stored_of(&entry));
        if let Some(stored) = named
            && let Err(error) = statement(&store, stored)
        {
            problems.push(format!("entry {index} names a statement: {error}"));
        }
        Ok(())
    })
    .or_fail("log", "bring back a copy of the log")?;
    Ok(problems)
}

struct Given<'a> {
    tsr: &'a Option<PathBuf>,
    cosignature: &'a Option<PathBuf>,
    vkey: &'a Option<String>,
    checkpoint: &'a Option<PathBuf>,
}

fn anchor(dir: &Path, given: &Given<'_>, global: Global) -> Outcome<ExitCode> {
    let state = State::of(&Project::load(dir)?);
    let own = state.log()?.checkpoint_text().to_owned();
    let checkpoint = match given.checkpoint {
        Some(path) => small_text(path)?,
        None => own,
    };
    let report = check_log(&state.log_dir(), &state.verifier()?, Some(&checkpoint));
    if let Some(problem) = report.problems.first() {
        return Err(Failure::new("anchor", problem, "anchor a checkpoint that this log extends"));
    }
    let name = format!("anchor-{}", crate::clock::now().replace([':', '-'], ""));
    let made = match (given.tsr, given.cosignature, given.vkey) {
        (Some(path), ..) => {
            let response = assets::read_limited(path, CHECKPOINT_BYTES_MAX)?;
            Anchor::time_stamp(&name, &checkpoint, &response)
        }
        (None, Some(path), Some(vkey)) => {
            Anchor::cosignature(&name, &checkpoint, &small_text(path)?, vkey)
        }
        _ => {
            return Err(Failure::new(
                "anchor",
                "there is nothing to import",
                format!(
                    "ask a time-stamp authority: openssl ts -query -sha256 -cert -data {0} -out \
                     query.tsq; send it; then: proofmark log anchor --tsr response.tsr. Keep a \
                     copy of {0} meanwhile, it changes with the next entry",
                    state.log_dir().join("checkpoint").display()
                ),
            ));
        }
    };
    let made = made.or_fail("anchor", "name the checkpoint it was made for with --checkpoint")?;
    made.save(&OsFs, &state.anchors_dir()).or_fail("anchor", "check the free space")?;
    let (mut log, _) = state.log_for_writing(state.keys()?)?;
    let leaf = made.entry(&crate::clock::now()).to_leaf().or_fail("anchor", "")?;
    let receipt = log.append(&[leaf]).or_fail("log", "run `proofmark log fsck`")?;
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.anchor/1", "name": made.name(),
            "entry": receipt.first_index, "description": made.describe()}));
    } else {
        output::data(&format!("entry {}: {}\n", receipt.first_index, made.describe()));
    }
    Ok(ExitCode::SUCCESS)
}

fn small_text(path: &Path) -> Outcome<String> {
    String::from_utf8(assets::read_limited(path, CHECKPOINT_BYTES_MAX)?)
        .or_fail("checkpoint", "a checkpoint is a small text file")
}

fn list(dir: &Path, global: Global) -> Outcome<ExitCode> {
    let state = State::of(&Project::load(dir)?);
    let log = state.log()?;
    let mut entries = Vec::new();
    for index in 0..log.size() {
        let leaf = log.leaf(index).or_fail("log", "run `proofmark log fsck`")?;
        let value: serde_json::Value =
            serde_json::from_slice(&leaf).or_fail("log", "run `proofmark log fsck`")?;
        entries.push(value);
    }
    if global.format == Format::Json {
        output::json(
            &json!({"format": "proofmark.log/1", "origin": log.origin(), "entries": entries}),
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = output::human::Grid::new(&["index", "time", "kind", "run", "statement"]);
    for (index, entry) in entries.iter().enumerate() {
        let text = |key: &str| entry.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let statement: String = text("statement").chars().take(16).collect();
        grid.row(vec![index.to_string(), text("time"), text("kind"), text("run"), statement]);
    }
    output::data(&grid.render());
    Ok(ExitCode::SUCCESS)
}

/// A checkpoint has a few lines; with many co-signatures a few kilobytes.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
