//! Cases on a terminal and as JSON.
//!
//! Owns layout and the documents `proofmark.incident/1` and `proofmark.incidents/1`. Must never
//! compute a deadline.

use std::process::ExitCode;

use proofmark_assess::clock::{Clock, ClockState};
use proofmark_assess::incident::report::Report;
use proofmark_assess::incident::{Dated, Incident, hold as held};
use proofmark_schema::clock::{Limit, Reading, clock_rules};
use proofmark_schema::system::System;
use serde::Serialize;
use serde_json::{Value, json};

use super::Place;
use super::desk::Desk;
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{OrFail, Outcome};
use crate::output::human::{Grid, wrap};
use crate::{clock, output};

pub fn list(place: &Place, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(place)?;
    let (all, now) = (desk.incidents()?, clock::now());
    if global.format == Format::Json {
        output::json(&documents(&desk, &all, &now)?);
    } else {
        output::data(&table(&desk, &all, &now)?);
    }
    exit(&all, &now)
}

pub fn one(place: &Place, id: &str, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(place)?;
    let (incident, now) = (desk.incident(id)?, clock::now());
    if global.format == Format::Json {
        output::json(&document(&incident, &now)?);
    } else {
        output::data(&in_full(&incident, &now)?);
    }
    exit(std::slice::from_ref(&incident), &now)
}

pub fn hold(place: &Place, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(place)?;
    let (all, now) = (desk.incidents()?, clock::now());
    desk.save_hold(&all)?;
    let current = held::current(&all, &desk.project.system.name);
    match (&current, global.format) {
        (Some(hold), Format::Json) => output::json(&value(hold)?),
        (None, Format::Json) => output::json(&documents(&desk, &all, &now)?),
        (Some(hold), _) => {
            let mut text = format!("held since {} for {}\n", hold.since, hold.incident);
            for other in &hold.also {
                text.push_str(&format!("also for {other}\n"));
            }
            for model in &hold.frozen.models {
                text.push_str(&format!("  model {}  {}\n", model.name, model.sha256));
            }
            let policy = hold.frozen.guard_policy.as_deref().unwrap_or("none was there");
            text.push_str(&format!("  guard policy  {policy}\n"));
            for change in &hold.changes {
                text.push_str(&format!("  permitted after notice {}\n", change.notice));
            }
            text.push_str(&format!("file {}\n", held::path(desk.state.dir()).display()));
            output::data(&text);
        }
        (None, _) => output::data("nothing is held\n"),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn rules(global: Global) -> Outcome<ExitCode> {
    let rules = clock_rules();
    if global.format == Format::Json {
        output::json(&value(rules)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["clock", "provision", "limit", "title", "in force from"]);
    for rule in &rules.rules {
        let from = rule.in_force.iter().map(|f| match f.reading {
            Reading::Text => f.from.clone(),
            Reading::Classification => format!("({})", f.from),
        });
        grid.row(vec![
            rule.id.clone(),
            format!("{} {}", rule.regime.title(), rule.provision),
            limit(rule.limit),
            rule.title.clone(),
            from.collect::<Vec<_>>().join(" "),
        ]);
    }
    let mut text = format!("rules of edition {}, law read on {}\n", rules.edition, rules.as_of);
    text.push_str(&grid.render());
    text.push_str("  dates in brackets: on the reading `classification`\n\ncounting\n");
    text.push_str(&wrap(&rules.counting, WIDTH, "  "));
    text.push_str("traps\n");
    for rule in &rules.rules {
        text.push_str(&wrap(&format!("{}: {}", rule.id, rule.trap), WIDTH, "  "));
    }
    text.push_str("not law\n");
    for p in &rules.proposals {
        text.push_str(&wrap(&format!("{}: {}; {}", p.clock, p.says, p.status), WIDTH, "  "));
    }
    text.push_str("left out\n");
    for left in &rules.left_out {
        text.push_str(&wrap(&format!("{}: {}", left.regime, left.why), WIDTH, "  "));
    }
    output::data(&text);
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 when a clock of an open case ran out.
fn exit(all: &[Incident], now: &str) -> Outcome<ExitCode> {
    for incident in all.iter().filter(|i| i.is_open()) {
        if due(incident, now)?.iter().any(|c| c.state == ClockState::Late) {
            return Ok(ExitCode::from(1));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn due(incident: &Incident, now: &str) -> Outcome<Vec<Clock>> {
    incident.due(now).or_fail("clock", "run `proofmark log fsck`")
}

/// One case as JSON.
pub fn document(incident: &Incident, now: &str) -> Outcome<Value> {
    let clocks = incident.clocks(now).or_fail("clock", "run `proofmark log fsck`")?;
    let deeds: Vec<Value> = incident
        .deeds
        .iter()
        .map(|d| {
            json!({
                "index": d.index, "time": d.said.time, "by": d.said.by,
                "deed": d.said.deed.title(), "statement": d.stored.statement.hex(),
            })
        })
        .collect();
    Ok(json!({
        "format": "proofmark.incident/1",
        "incident": incident.id,
        "now": now,
        "open": incident.is_open(),
        "severity": incident.severity(),
        "opened": incident.opened,
        "opened_by": incident.opened_by,
        "version": incident.version,
        "reading": incident.reading,
        "rules": {"edition": incident.rules.edition, "as_of": incident.rules.as_of},
        "facts": value(&incident.facts)?,
        "clocks": value(&clocks)?,
        "holds": incident.holds(),
        "freeze": incident.freeze.as_ref().map(dated).transpose()?,
        "reports": all_dated(&incident.reports)?,
        "receipts": all_dated(&incident.receipts)?,
        "containments": all_dated(&incident.containments)?,
        "changes": all_dated(&incident.changes)?,
        "waivers": all_dated(&incident.waivers)?,
        "release": incident.release.as_ref().map(dated).transpose()?,
        "closed": incident.closed.as_ref().map(dated).transpose()?,
        "deeds": deeds,
    }))
}

fn dated<T: Serialize>(dated: &Dated<T>) -> Outcome<Value> {
    Ok(json!({
        "at": dated.at, "by": dated.by, "statement": dated.stored.statement.hex(),
        "said": value(&dated.said)?,
    }))
}

fn all_dated<T: Serialize>(list: &[Dated<T>]) -> Outcome<Vec<Value>> {
    list.iter().map(dated).collect()
}

fn value<T: Serialize>(document: &T) -> Outcome<Value> {
    serde_json::to_value(document).or_fail("bug", "please report this as a bug")
}

fn documents(desk: &Desk, all: &[Incident], now: &str) -> Outcome<Value> {
    let mut cases = Vec::new();
    for incident in all {
        cases.push(json!({
            "incident": incident.id, "open": incident.is_open(), "severity": incident.severity(),
            "opened": incident.opened, "what": incident.facts.what, "holds": incident.holds(),
            "risks": incident.facts.risks, "due": value(&due(incident, now)?)?,
        }));
    }
    let current = held::current(all, &desk.project.system.name);
    let file = held::load(desk.state.dir());
    let in_step = file.is_ok_and(|file| file == current);
    Ok(json!({
        "format": "proofmark.incidents/1", "system": desk.project.system.name, "now": now,
        "incidents": cases, "held_by": current.map(|h| h.incident), "hold_file_in_step": in_step,
    }))
}

fn table(desk: &Desk, all: &[Incident], now: &str) -> Outcome<String> {
    if all.is_empty() {
        return Ok("no incident is recorded; `proofmark incident open` begins one\n".to_owned());
    }
    let mut grid = Grid::new(&["incident", "state", "severity", "next clock", "due", "left"]);
    for incident in all {
        let state = match (incident.is_open(), incident.holds()) {
            (true, true) => "open, held",
            (true, false) => "open",
            (false, _) => "closed",
        };
        let open = if incident.is_open() { due(incident, now)? } else { Vec::new() };
        let first = open.first();
        grid.row(vec![
            incident.id.clone(),
            state.to_owned(),
            incident.severity().title().to_owned(),
            first.map(|c| format!("{} {}", c.rule, c.title)).unwrap_or_else(|| "none".into()),
            first.and_then(|c| c.due.clone()).unwrap_or_default(),
            first.map(left).unwrap_or_default(),
        ]);
    }
    let mut text = grid.render();
    let current = held::current(all, &desk.project.system.name);
    if !held::load(desk.state.dir()).is_ok_and(|file| file == current) {
        text.push_str("the file of the hold is not what the log says: `proofmark incident hold`\n");
    }
    Ok(text)
}

/// What is printed after a deed.
pub fn after(system: &System, incident: &Incident, word: &str) -> Outcome<String> {
    let now = clock::now();
    let demo = if system.demo { " (DEMO)" } else { "" };
    let mut text = format!("incident {}: {word}{demo}\n", incident.id);
    if let (Some(freeze), None) = (&incident.freeze, &incident.release) {
        text.push_str(&format!(
            "held since {}: {} models, declaration{}; statement {}\n",
            freeze.at,
            freeze.said.frozen.models.len(),
            if freeze.said.frozen.guard_policy.is_some() { ", guard policy" } else { "" },
            freeze.stored.statement.hex()
        ));
    }
    text.push_str(&clocks(incident, &now, false)?);
    text.push_str(&next(incident, &now)?);
    Ok(text)
}

/// What is printed after a report.
pub fn written(made: &Report, files: &[String]) -> String {
    let answered: Vec<&str> = made.clocks.iter().map(|c| c.clock.as_str()).collect();
    let mut text = format!("report {} on {}: {}\n", made.id, answered.join(", "), made.title);
    for file in files {
        text.push_str(&format!("  {file}\n"));
    }
    for field in made.fields.iter().filter(|f| f.gap) {
        let lacks: Vec<&str> =
            field.lines.iter().filter(|l| l.text.is_empty()).map(|l| l.label.as_str()).collect();
        text.push_str(&format!("  GAP {}: {}\n", field.id, lacks.join(", ")));
    }
    if made.gaps.is_empty() {
        text.push_str("  no gaps\n");
    } else if made.may_be_incomplete {
        text.push_str("  it may be filed with gaps; `incident update` fills them for the next\n");
    } else {
        text.push_str("  the law wants this report complete\n");
    }
    text.push_str(&format!(
        "no clock stops before the receipt: proofmark incident receipt {} --report {} …\n",
        made.incident, made.id
    ));
    text
}

fn in_full(incident: &Incident, now: &str) -> Outcome<String> {
    let mut text = format!(
        "incident {}  {}, {}{}\n",
        incident.id,
        incident.severity().title(),
        if incident.is_open() { "open" } else { "closed" },
        if incident.holds() { ", holds the system" } else { "" }
    );
    text.push_str(&wrap(&incident.facts.what, WIDTH, "  "));
    text.push_str(&format!("\nclocks at {now}\n"));
    text.push_str(&clocks(incident, now, true)?);
    text.push_str("\nhistory\n");
    let mut grid = Grid::new(&["entry", "time", "what", "by", "statement"]);
    for deed in &incident.deeds {
        let statement: String = deed.stored.statement.hex().chars().take(16).collect();
        grid.row(vec![
            deed.index.to_string(),
            deed.said.time.clone(),
            deed.said.deed.title().to_owned(),
            deed.said.by.name.clone(),
            statement,
        ]);
    }
    text.push_str(&grid.render());
    text.push_str(&next(incident, now)?);
    Ok(text)
}

/// Clocks that matter, or with `all` every one, each with the reason of its state.
fn clocks(incident: &Incident, now: &str, all: bool) -> Outcome<String> {
    let clocks = incident.clocks(now).or_fail("clock", "run `proofmark log fsck`")?;
    let mut grid = Grid::new(&["clock", "law", "state", "due", "left", "why"]);
    let mut hidden = 0;
    for clock in &clocks {
        if !all && clock.state == ClockState::NotApplicable {
            hidden += 1;
            continue;
        }
        grid.row(vec![
            clock.rule.clone(),
            format!("{} {}", clock.regime.title(), clock.provision),
            clock.state.title().to_owned(),
            end(clock),
            if clock.state.is_open() { left(clock) } else { String::new() },
            why(clock),
        ]);
    }
    let mut text = grid.render();
    if hidden > 0 {
        text.push_str(&format!("  {hidden} more do not apply (incident show {})\n", incident.id));
    }
    let differ = clocks.iter().filter(|c| c.state.is_open()).find(|c| {
        let used = c.readings.iter().find(|r| r.reading == c.reading);
        used.is_some_and(|u| c.readings.iter().any(|r| r.in_force != u.in_force))
    });
    if let Some(clock) = differ {
        let other = clock.readings.iter().find(|r| !r.in_force);
        text.push_str(&format!(
            "  the AI Act's clocks run on the reading `{}` of its calendar; on the other reading \
             they apply from {}\n",
            reading(clock.reading),
            other.map(|r| r.from.as_str()).unwrap_or_default()
        ));
    }
    text.push_str("  NIS2 and DORA have clocks of their own, which are not computed here\n");
    Ok(text)
}

/// The end; in brackets where it does not count.
fn end(clock: &Clock) -> String {
    match &clock.due {
        Some(due) if clock.state.is_open() => due.clone(),
        Some(due) => format!("({due})"),
        None => String::new(),
    }
}

fn why(clock: &Clock) -> String {
    let mut why = clock.why.clone();
    if clock.at_once && clock.state.is_open() {
        why.push_str("; due at once");
    }
    if clock.state.is_open() && !clock.outstanding.is_empty() {
        why.push_str(&format!("; to be told: {}", clock.outstanding.join(", ")));
    }
    why
}

fn next(incident: &Incident, now: &str) -> Outcome<String> {
    if !incident.is_open() {
        return Ok(String::new());
    }
    let id = &incident.id;
    let due = due(incident, now)?;
    let next = match due.first() {
        Some(clock) => {
            let last = incident.reports.iter().rev().find(|r| r.said.clocks.contains(&clock.rule));
            let open = last.filter(|r| {
                let received = incident.receipts.iter().any(|q| q.said.report == r.said.id);
                !received || !clock.outstanding.is_empty()
            });
            match open {
                Some(report) => {
                    let state = clock.outstanding.first().filter(|_| clock.outstanding.len() > 1);
                    let whose = state.map(|s| format!(" --member-state {s}")).unwrap_or_default();
                    let report = &report.said.id;
                    format!(
                        "file it, then proofmark incident receipt {id} --report {report}{whose} …"
                    )
                }
                None => format!("proofmark incident report {id} --by PERSON --out DIR"),
            }
        }
        None if incident.holds() => format!("proofmark incident release {id} --by PERSON …"),
        None => format!("proofmark assess, then proofmark incident close {id} --retest latest …"),
    };
    Ok(format!("next: {next}\n"))
}

fn left(clock: &Clock) -> String {
    let Some(seconds) = clock.seconds_left else { return "no end".to_owned() };
    let (sign, seconds) = if seconds < 0 { ("-", -seconds) } else { ("", seconds) };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match days {
        0 => format!("{sign}{hours} h {minutes:02} min"),
        _ => format!("{sign}{days} d {hours:02} h"),
    }
}

fn reading(reading: Reading) -> &'static str {
    match reading {
        Reading::Text => "text",
        Reading::Classification => "classification",
    }
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::Hours(n) => format!("{n} h"),
        Limit::Days(n) => format!("{n} days"),
        Limit::Months(1) => "1 month".to_owned(),
        Limit::Months(n) => format!("{n} months"),
        Limit::AsAsked => "as asked".to_owned(),
    }
}

/// Width of running text.
const WIDTH: usize = 96;
