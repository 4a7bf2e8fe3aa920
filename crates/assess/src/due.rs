//! What is to be tested, reviewed or reported again, and when.
//!
//! Owns the list with its order: overdue first, then by day. Must never read a clock: the time is
//! handed in. Called by the command line.

use proofmark_schema::risk::scales;
use serde::Serialize;

use crate::risk::day;
use crate::standing::{NEXT_OVERALL, Overview, Present, World, next_review, next_until};

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// `run`, `acceptance`, `exclusion`, `review`, `overall`, `drill` or `clock`.
    pub kind: String,
    /// What it is about.
    pub about: String,
    /// When, RFC 3339 in UTC; `None`: at once, it was never done.
    pub at: Option<String>,
    /// Whether the time has passed.
    pub overdue: bool,
    /// Whether it is near.
    pub soon: bool,
    /// In words.
    pub what: String,
    /// Next command.
    pub next: String,
}

impl Due {
    /// Something due at a time.
    pub fn at(
        kind: &str,
        about: &str,
        at: &str,
        now: &str,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let near = day::plus_days(now, scales().periods.soon_days);
        Self {
            kind: kind.to_owned(),
            about: about.to_owned(),
            at: Some(at.to_owned()),
            overdue: day::before(at, now),
            soon: near.is_some_and(|near| day::before(at, &near)),
            what: what.into(),
            next: next.into(),
        }
    }

    /// Something that was never done.
    pub fn at_once(
        kind: &str,
        about: &str,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            about: about.to_owned(),
            at: None,
            overdue: true,
            soon: true,
            what: what.into(),
            next: next.into(),
        }
    }
}

/// Everything that is due, with `clocks` of incidents and the like, sorted by time.
pub fn due(
    world: &World,
    present: &Present<'_>,
    overview: &Overview,
    clocks: Vec<Due>,
) -> Vec<Due> {
    let now = present.now;
    let mut list = clocks;
    run(present, overview, &mut list);
    for standing in &overview.risks {
        let (id, risk) = (standing.risk.id.as_str(), &standing.risk);
        if let Some(accepted) = &risk.acceptance {
            let next = next_until("accept", id);
            let at = &accepted.said.expires;
            list.push(Due::at("acceptance", id, at, now, "its acceptance ends", next));
        }
        if let Some(excluded) = &risk.exclusion {
            let next = next_until("exclude", id);
            let at = &excluded.said.expires;
            list.push(Due::at("exclusion", id, at, now, "its exclusion ends", next));
        }
        if let Some(at) = &standing.review_due {
            let next = next_review(id);
            list.push(Due::at("review", id, at, now, "look at it again", next));
        }
    }
    if let Some(at) = &overview.overall.expires {
        let what = "the overall acceptance ends";
        list.push(Due::at("overall", "overall", at, now, what, NEXT_OVERALL));
    }
    drill(world, now, &mut list);
    list.sort_by_key(|due| {
        let at = due.at.as_deref().and_then(day::seconds).unwrap_or(i64::MIN);
        (at, due.kind.clone(), due.about.clone())
    });
    list
}

fn run(present: &Present<'_>, overview: &Overview, list: &mut Vec<Due>) {
    const NEXT: &str = "proofmark assess";
    let name = present.system.name.as_str();
    match &overview.run {
        None => list.push(Due::at_once("run", name, "it was never measured", NEXT)),
        Some(run) if !run.currency.holds() => {
            let what = format!("changed since: {}", run.currency.names().join(", "));
            list.push(Due::at_once("run", &run.run, what, NEXT));
        }
        Some(run) => match &run.expires {
            Some(at) => {
                let what = "measure again";
                list.push(Due::at("run", &run.run, at, present.now, what, NEXT));
            }
            None => {
                let what = "nothing says how long its figures stay current";
                let next = "declare `retest_days = <days>` in `[use]`";
                list.push(Due::at_once("run", &run.run, what, next));
            }
        },
    }
}

/// Where a guard serves, a drill shows from time to time that it does what it should.
fn drill(world: &World, now: &str, list: &mut Vec<Due>) {
    const NEXT: &str = "proofmark drill";
    let days = scales().periods.drill_days;
    let last = world.drills.last().map(|d| (&d.said.id, day::plus_days(&d.time, days)));
    match last {
        Some((id, Some(at))) => {
            list.push(Due::at("drill", id, &at, now, "drill the guard again", NEXT));
        }
        _ if world.guard.is_some() => {
            list.push(Due::at_once("drill", "guard", "the guard was never drilled", NEXT));
        }
        _ => {}
    }
}
