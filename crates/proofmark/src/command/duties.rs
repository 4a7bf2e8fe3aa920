//! `duties`: what the law asks, and what stands behind each duty.
//!
//! Owns arguments and layout; `assess::duties` decides coverage. Exit codes of `check`: 0 every
//! duty asked about has something behind it, 1 one has nothing.

use std::process::ExitCode;

use clap::Subcommand;
use proofmark_assess::duties::{Applies, DutyState, Known, count, states};
use proofmark_schema::clock::Reading;
use proofmark_schema::duties::duties;
use proofmark_schema::incident::Ground;
use proofmark_schema::taxonomy::Coverage;
use serde_json::json;

use super::Global;
use super::risk::desk::{Desk, PlaceAndTime};
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;
use crate::output::human::{Grid, wrap};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Every duty with its state: measured, imported, declared, waived or missing.
    List(Which),
    /// One duty in full: its parts, the statements behind each, since when it applies.
    Show {
        /// Duty, e.g. `AIA-15-5-e`.
        id: String,
        #[command(flatten)]
        at: PlaceAndTime,
    },
    /// The duties that have nothing behind them; exits with 1 when there is one.
    Check(Which),
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Only duties whose id begins so, e.g. `AIA-15` or `AIA-IV`; all without it.
    prefix: Option<String>,
    /// Only duties that apply today on some reading of the legal calendar.
    #[arg(long)]
    in_force: bool,
    #[command(flatten)]
    at: PlaceAndTime,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        Verb::List(which) => {
            let (desk, all) = read(&which.at)?;
            let some = which.of(all)?;
            print(&desk, &some, global, |s| table(&desk, s))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { id, at } => {
            let (desk, mut all) = read(at)?;
            all.retain(|s| s.id == *id);
            if all.is_empty() {
                return Err(unknown(id));
            }
            print(&desk, &all, global, |s| s.iter().map(in_full).collect())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Check(which) => {
            let (desk, all) = read(&which.at)?;
            let some = which.of(all)?;
            let missing = count(&some, Coverage::Missing);
            print(&desk, &some, global, gaps)?;
            Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}

impl Which {
    fn of(&self, mut all: Vec<DutyState>) -> Outcome<Vec<DutyState>> {
        if let Some(prefix) = &self.prefix {
            // `AIA-9-1` is not `AIA-9-10`, nor `b-i` `b-ii`; but a number holds its letters.
            let number = prefix.ends_with(|c: char| c.is_ascii_digit());
            let belongs = |id: &str| {
                let rest = id.strip_prefix(prefix.as_str());
                rest.is_some_and(|r| {
                    let letter = r.starts_with(|c: char| c.is_ascii_lowercase());
                    r.is_empty() || r.starts_with('-') || (number && letter)
                })
            };
            all.retain(|s| belongs(&s.id));
            if all.is_empty() {
                return Err(unknown(prefix));
            }
        }
        if self.in_force {
            all.retain(|s| s.in_force);
        }
        Ok(all)
    }
}

fn unknown(id: &str) -> Failure {
    Failure::new(
        "no-duty",
        format!("the catalogue has no duty `{id}`"),
        "`proofmark duties list` shows all ids",
    )
}

fn read(at: &PlaceAndTime) -> Outcome<(Desk, Vec<DutyState>)> {
    let desk = Desk::open(at)?;
    let log = if desk.state.has_log() { Some(desk.state.log()?) } else { None };
    let store = desk.state.store();
    let known = Known::read(&desk.project.system, &desk.assets, log.as_ref(), &store)
        .or_fail("duties", "run `proofmark log fsck`")?;
    let overview = desk.overview();
    let known = known.with_matrix(desk.matrix(&overview));
    let all = states(duties(), &known, &desk.now);
    Ok((desk, all))
}

fn print(
    desk: &Desk,
    some: &[DutyState],
    global: Global,
    text: impl FnOnce(&[DutyState]) -> String,
) -> Outcome<()> {
    if global.format == Format::Human {
        output::data(&format!("{}{}", desk.as_of(), text(some)));
        return Ok(());
    }
    let base = duties();
    output::json(&json!({
        "format": "proofmark.duty-coverage/1",
        "system": desk.project.system.name,
        "version": desk.project.system.version,
        "now": desk.now,
        "catalogue": {"edition": base.edition, "as_of": base.as_of},
        "counts": {
            "measured": count(some, Coverage::Measured),
            "imported": count(some, Coverage::Imported),
            "declared": count(some, Coverage::Declared),
            "waived": count(some, Coverage::Waived),
            "missing": count(some, Coverage::Missing),
        },
        "duties": serde_json::to_value(some).or_fail("bug", "please report this as a bug")?,
    }));
    Ok(())
}

fn table(desk: &Desk, some: &[DutyState]) -> String {
    let mut grid = Grid::new(&["duty", "provision", "title", "state", "applies"]);
    for state in some {
        grid.row(vec![
            state.id.clone(),
            state.provision.clone(),
            state.title.clone(),
            word(state.state).to_owned(),
            applies(state),
        ]);
    }
    let demo = if desk.project.system.demo { " (DEMO)" } else { "" };
    format!(
        "{} {}{demo}: {}\n{}next: proofmark duties check\n",
        desk.project.system.name,
        desk.project.system.version,
        totals(some),
        grid.render()
    )
}

fn gaps(some: &[DutyState]) -> String {
    let mut text = String::new();
    for state in some.iter().filter(|s| s.state == Coverage::Missing) {
        let when = if state.in_force { String::new() } else { format!(" ({})", applies(state)) };
        text.push_str(&format!("{}  {}  {}{when}\n", state.id, state.provision, state.title));
        for part in state.parts.iter().filter(|p| p.state == Coverage::Missing) {
            let why: Vec<&str> = part.notes.iter().map(String::as_str).collect();
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
            text.push_str(&wrap(&format!("nothing for: {}{why}", part.what), WIDTH, "    "));
        }
        text.push_str(&wrap(&format!("next: {}", state.next), WIDTH, "    "));
    }
    text.push_str(&format!("{}\n", totals(some)));
    text
}

fn in_full(state: &DutyState) -> String {
    let mut text = format!("{}  {}  {}\n", state.id, state.provision, word(state.state));
    text.push_str(&format!("{}\n", state.title));
    text.push_str(&wrap(&state.duty, WIDTH, "  "));
    text.push_str(&wrap(&state.act, WIDTH, "  "));
    for applies in &state.applies {
        text.push_str(&format!("  {}\n", since(applies)));
    }
    if let Some(waived) = &state.waived {
        text.push_str(&wrap(
            &format!("set aside by {}: {}", waived.by, waived.because),
            WIDTH,
            "  ",
        ));
    }
    for part in &state.parts {
        text.push_str(&format!("\n  {}: {}\n", part.what, word(part.state)));
        for behind in &part.evidence {
            text.push_str(&wrap(&behind.what, WIDTH, "    "));
            for statement in &behind.statements {
                text.push_str(&format!("      {statement}\n"));
            }
        }
        for note in &part.notes {
            text.push_str(&wrap(&format!("note: {note}"), WIDTH, "    "));
        }
    }
    text.push_str(&format!("\nnext: {}\n", state.next));
    text
}

fn applies(state: &DutyState) -> String {
    match (state.in_force, state.applies.iter().map(|a| a.from.as_str()).min()) {
        (true, _) => "in force".to_owned(),
        (false, Some(from)) => format!("not yet applicable, from {from}"),
        (false, None) => String::new(),
    }
}

fn since(applies: &Applies) -> String {
    let ground = match applies.ground {
        Some(Ground::AnnexIii) => " for Annex III",
        Some(Ground::AnnexI) => " for Annex I",
        _ => "",
    };
    let reading = match applies.reading {
        Reading::Text => "",
        Reading::Classification => ", on the reading that it follows the classification",
    };
    let word = if applies.in_force { "applies since" } else { "not yet applicable, from" };
    format!("{word} {}{ground}{reading}", applies.from)
}

fn totals(some: &[DutyState]) -> String {
    let one = |c: Coverage| format!("{} {}", count(some, c), word(c));
    let all = [
        Coverage::Measured,
        Coverage::Imported,
        Coverage::Declared,
        Coverage::Waived,
        Coverage::Missing,
    ];
    format!("{} duties: {}", some.len(), all.map(one).join(", "))
}

fn word(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Measured => "measured",
        Coverage::Imported => "imported",
        Coverage::Declared => "declared",
        Coverage::Waived => "waived",
        Coverage::Missing => "missing",
    }
}

/// Width of running text.
const WIDTH: usize = 96;
