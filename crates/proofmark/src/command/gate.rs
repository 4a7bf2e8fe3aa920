//! `gate`: may this release go out? Every reason why not, each with its next command.
//!
//! Owns arguments and layout; `assess::gate` decides. Exit codes: 0 open, 1 closed, 2 could not be
//! decided.

use std::fmt::Write as _;
use std::process::ExitCode;

use proofmark_assess::gate::{Decision, decide, record};
use proofmark_assess::register::Register;
use proofmark_assess::standing::RiskState;
use serde_json::json;

use super::Global;
use super::assess::tool;
use super::risk::desk::{Desk, PlaceAndTime, world};
use super::risk::reasons;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{clock, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: PlaceAndTime,
    /// Name of the release; name and version of the declaration by default.
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// Sign the decision, open or closed, and log it.
    #[arg(long, conflicts_with = "now")]
    record: bool,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let mut desk = Desk::open(&args.place)?;
    let system = &desk.project.system;
    let release =
        args.release.clone().unwrap_or_else(|| format!("{} {}", system.name, system.version));
    if release.trim().is_empty() || release.chars().any(char::is_control) {
        return Err(Failure::new("release", "a release needs a plain name", "name it, e.g. `2.1`"));
    }
    let (decision, index) = match args.record {
        true => {
            let (decision, index) = recorded(&mut desk, &release)?;
            (decision, Some(index))
        }
        false => (decide(&desk.world, &desk.present(), &desk.overview()), None),
    };
    if global.format == Format::Json {
        output::json(&as_json(&desk, &decision, &release, index));
    } else {
        output::data(&as_text(&desk, &decision, &release, index));
    }
    Ok(if decision.open { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Decides again under the lock of the log, so that nothing was said in between, and signs it.
fn recorded(desk: &mut Desk, release: &str) -> Outcome<(Decision, u64)> {
    let (mut log, key) = desk.state.log_for_writing(desk.state.keys()?)?;
    let store = desk.state.store();
    desk.world = world(&desk.project, &desk.state, &log, &store)?;
    desk.now = clock::now();
    let overview = desk.overview();
    let decision = decide(&desk.world, &desk.present(), &overview);
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let logged = record(&mut register, &desk.present(), &overview, &decision, release)
        .or_fail("log", "run `proofmark log fsck`")?;
    Ok((decision, logged.index))
}

fn as_text(desk: &Desk, decision: &Decision, release: &str, index: Option<u64>) -> String {
    let overview = desk.overview();
    let word = if decision.open { "OPEN" } else { "CLOSED" };
    let run = decision.run.as_deref().unwrap_or("no run");
    let mut text = format!("{}gate {word}: {release} ({run})\n", desk.as_of());
    if desk.project.system.demo {
        text.push_str("  DEMO KEY: fit for no declaration\n");
    }
    let _ = writeln!(
        text,
        "  risks: {} accepted, {} excluded, {} re-opened, {} rated, {} unrated",
        overview.count(RiskState::Accepted),
        overview.count(RiskState::Excluded),
        overview.count(RiskState::Reopened),
        overview.count(RiskState::Rated),
        overview.count(RiskState::Unrated)
    );
    for waived in &decision.waived {
        let _ = writeln!(
            text,
            "  criterion `{}` was not reached and is accepted as it stands in `{}`",
            waived.criterion, waived.risk
        );
    }
    if !decision.open {
        let _ =
            write!(text, "\n{} reasons\n{}", decision.reasons.len(), reasons(&decision.reasons));
    }
    match index {
        Some(index) => {
            let _ = writeln!(text, "\nsigned as entry {index} of the log");
        }
        None if decision.open => text.push_str("\nnext: proofmark gate --record\n"),
        None => {}
    }
    text
}

fn as_json(
    desk: &Desk,
    decision: &Decision,
    release: &str,
    index: Option<u64>,
) -> serde_json::Value {
    let overview = desk.overview();
    json!({
        "format": "proofmark.gate/1",
        "open": decision.open,
        "release": release,
        "system": desk.project.system.name,
        "version": desk.project.system.version,
        "demo": desk.project.system.demo,
        "now": desk.now,
        "overridden": desk.overridden,
        "run": decision.run,
        "reasons": decision.reasons,
        "waived": decision.waived,
        "risks": {
            "accepted": overview.count(RiskState::Accepted),
            "excluded": overview.count(RiskState::Excluded),
            "reopened": overview.count(RiskState::Reopened),
            "rated": overview.count(RiskState::Rated),
            "unrated": overview.count(RiskState::Unrated),
        },
        "recorded": index,
    })
}
