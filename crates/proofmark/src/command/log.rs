//! `log fsck|anchor|list`: look after the evidence log.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use proofmark_evidence::log::fsck;
use serde_json::json;

use super::Global;
use crate::assets;
use crate::cli::Format;
use crate::failure::{OrFail, Outcome};
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
    /// Recompute the whole log as a stranger would.
    Fsck {
        /// Folder of the declaration.
        #[arg(short = 'C', default_value = ".")]
        dir: PathBuf,
        /// A checkpoint kept from earlier: the log must extend it.
        #[arg(long, value_name = "FILE")]
        older: Option<PathBuf>,
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
        LogVerb::List { dir } => list(dir, global),
    }
}

fn fsck(dir: &std::path::Path, older: Option<&std::path::Path>, global: Global) -> Outcome<ExitCode> {
    let state = State::of(&Project::load(dir)?);
    let older = match older {
        Some(path) => Some(
            String::from_utf8(assets::read_limited(path, CHECKPOINT_BYTES_MAX)?)
                .or_fail("checkpoint", "a checkpoint is a small text file")?,
        ),
        None => None,
    };
    state.log()?;
    let report = fsck::fsck(&state.log_dir(), &state.verifier()?, older.as_deref());
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

fn list(dir: &std::path::Path, global: Global) -> Outcome<ExitCode> {
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
        output::json(&json!({"format": "proofmark.log/1", "origin": log.origin(), "entries": entries}));
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
