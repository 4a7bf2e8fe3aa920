//! `due`: what is to be tested, reviewed or reported again, and when.
//!
//! Owns arguments and layout; `assess::due` makes the list. Exit codes: 0 nothing is overdue, 1
//! something is.

use std::process::ExitCode;

use proofmark_assess::due::{Due, due};
use proofmark_assess::incident::incidents;
use proofmark_assess::risk::day;
use serde_json::json;

use super::Global;
use super::risk::desk::{Desk, PlaceAndTime};
use crate::cli::Format;
use crate::failure::{OrFail, Outcome};
use crate::output;
use crate::output::human::Grid;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: PlaceAndTime,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.place)?;
    let clocks = clocks(&desk)?;
    let list = due(&desk.world, &desk.present(), &desk.overview(), clocks);
    let overdue = list.iter().filter(|d| d.overdue).count();
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.due/1",
            "system": desk.project.system.name,
            "now": desk.now,
            "overridden": desk.overridden,
            "overdue": overdue,
            "due": list,
        }));
    } else {
        output::data(&as_text(&desk, &list, overdue));
    }
    Ok(if overdue == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Reports that the open incidents ask for.
fn clocks(desk: &Desk) -> Outcome<Vec<Due>> {
    if !desk.state.has_log() {
        return Ok(Vec::new());
    }
    let help = "run `proofmark log fsck`";
    let all = incidents(&desk.state.log()?, &desk.state.store()).or_fail("incident", help)?;
    let mut clocks = Vec::new();
    for incident in all.iter().filter(|i| i.is_open()) {
        for clock in incident.due(&desk.now).or_fail("clock", help)? {
            let about = format!("{} {}", incident.id, clock.rule);
            let what = format!("{} ({})", clock.title, clock.provision);
            let (id, rule) = (&incident.id, &clock.rule);
            let next = format!("proofmark incident report {id} --clock {rule} --out DIR");
            clocks.push(match &clock.due {
                Some(at) => Due::at("clock", &about, at, &desk.now, what, next),
                None => Due::at_once("clock", &about, what, next),
            });
        }
    }
    Ok(clocks)
}

fn as_text(desk: &Desk, list: &[Due], overdue: usize) -> String {
    let mut text = desk.as_of();
    if list.is_empty() {
        text.push_str("nothing is due\n");
        return text;
    }
    let mut grid = Grid::new(&["due", "", "what", "about", "next"]);
    for due in list {
        let mark = if due.overdue {
            "OVERDUE"
        } else if due.soon {
            "soon"
        } else {
            ""
        };
        let at = due
            .at
            .as_deref()
            .map_or("now", |at| if due.kind == "clock" { at } else { day::date(at) });
        grid.row(vec![
            at.to_owned(),
            mark.to_owned(),
            format!("{}: {}", due.kind, due.what),
            due.about.clone(),
            due.next.clone(),
        ]);
    }
    text.push_str(&grid.render());
    text.push_str(&format!("  {} due, {overdue} overdue\n", list.len()));
    text
}
