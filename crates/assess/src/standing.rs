//! Where the system stands today: every risk joined with what was measured and what happened since.
//!
//! Owns the fold of the log's parts into one overview: residual risk from the latest current run,
//! and the reasons why an acceptance no longer holds. There is no hidden state: the same log, the
//! same files and the same time give the same overview. Must never write. Called by `gate`, `due`,
//! the matrix, the papers and the command line.

pub mod measures;
mod reasons;
mod residual;
mod world;

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::risk::{Rating, ScenarioKind, scales};
use proofmark_schema::system::System;
use proofmark_schema::taxonomy::ThreatClass;
use serde::Serialize;

use crate::assessment::Assessment;
use crate::currency::{Currency, currency};
use crate::risk::{Risk, day};
use measures::Taken;

pub(crate) use reasons::covered;
pub use world::{GuardFacts, Trigger, TriggerKind, World};

/// What is there now, handed in.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Declaration as it is now.
    pub system: &'a System,
    /// Digests of the files as they are now, named as in a plan.
    pub assets: &'a [AssetDigest],
    /// The time, RFC 3339 in UTC.
    pub now: &'a str,
}

/// Where the system stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Time it is about.
    pub now: String,
    /// The last run that ended.
    pub run: Option<RunState>,
    /// Every risk, in the order of the register.
    pub risks: Vec<RiskStanding>,
    /// The acceptance of all together.
    pub overall: OverallStanding,
    /// Scenarios that the register lacks.
    pub missing: Vec<Reason>,
    /// Statements of the register that break a rule and do not count: risk, leaf, why.
    pub void: Vec<(String, u64, String)>,
}

/// The last run that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunState {
    /// Run.
    pub run: String,
    /// When it ended.
    pub ended: String,
    /// When it stops being current; `None` when `[use] retest_days` is not declared.
    pub expires: Option<String>,
    /// Whether that time has passed.
    pub expired: bool,
    /// Whether every probe gave its figures.
    pub complete: bool,
    /// Why it is unfit for declaration; empty when it is fit.
    pub exploratory: Vec<String>,
    /// What changed since.
    pub currency: Currency,
}

/// A risk today.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskStanding {
    /// As the log tells it.
    pub risk: Risk,
    /// State.
    pub state: RiskState,
    /// Residual risk today.
    pub residual: Residual,
    /// Why it is open again, or not yet settled; each with its next command.
    pub reasons: Vec<Reason>,
    /// When it is looked at next, once it is settled.
    pub review_due: Option<String>,
    /// Its treatments, with what was measured about them.
    pub treatments: Vec<Taken>,
    /// What is not said yet and should be; does not keep it open.
    pub gaps: Vec<String>,
}

/// Residual risk today.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// Rating; `None` when it cannot be told.
    pub rating: Option<Rating>,
    /// Where it comes from, or why it cannot be told.
    pub from: String,
    /// What to do when it cannot be told.
    pub next: String,
}

/// State of a risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiskState {
    /// Not rated yet.
    Unrated,
    /// Rated, neither accepted nor excluded.
    Rated,
    /// Was accepted or excluded, and something happened since.
    Reopened,
    /// Accepted.
    Accepted,
    /// Excluded, with a reason.
    Excluded,
}

/// The acceptance of all risks together.
#[derive(Clone, Debug, PartialEq)]
pub struct OverallStanding {
    /// Whether it holds.
    pub holds: bool,
    /// Until when, when there is one.
    pub expires: Option<String>,
    /// Why it does not hold.
    pub reasons: Vec<Reason>,
}

/// A finding with its next command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Short stable code.
    pub code: String,
    /// What it is about: a risk, a criterion, a run ...
    pub about: String,
    /// In words.
    pub what: String,
    /// Next command, or what to declare.
    pub next: String,
}

/// Where the system stands.
pub fn overview(world: &World, present: &Present<'_>) -> Overview {
    let run = world.last.as_ref().map(|last| run_state(last, present));
    let context = Context { world, present, run: run.as_ref() };
    let risks: Vec<RiskStanding> = world.risks.risks.iter().map(|r| context.stand(r)).collect();
    let overall = overall(world, present, &risks);
    let void = world
        .risks
        .risks
        .iter()
        .flat_map(|r| &r.history)
        .chain(&world.risks.others)
        .filter_map(|item| {
            let why = item.void.clone()?;
            Some((item.logged.said.risk.clone(), item.logged.index, why))
        })
        .collect();
    let missing = missing(present.system, &world.risks.risks);
    Overview { now: present.now.to_owned(), run, risks, overall, missing, void }
}

impl Overview {
    /// The risk of that id.
    pub fn named(&self, id: &str) -> Option<&RiskStanding> {
        self.risks.iter().find(|r| r.risk.id == id)
    }

    /// Number of risks in that state.
    pub fn count(&self, state: RiskState) -> usize {
        self.risks.iter().filter(|r| r.state == state).count()
    }
}

impl RunState {
    /// Whether its figures are about what is there, complete and young enough.
    pub fn is_current(&self) -> bool {
        self.currency.holds() && !self.expired
    }

    /// Whether its figures about a threat are still about what is there: neither data nor a model
    /// the threat is aimed at changed, nor the terms of the threat. Criteria may have: they decide
    /// what is asked of a figure, not what it is.
    pub fn speaks_for(&self, system: &System, threat: &str) -> bool {
        let Some(threat) = system.threat_named(threat) else { return false };
        let aimed =
            |name: &str| threat.models.is_empty() || threat.models.iter().any(|m| m == name);
        let of_other_model = |name: &str| {
            let model = name.strip_prefix("model/").or(name.strip_prefix("expected/"));
            model.or(name.strip_prefix("models.")).is_some_and(|model| !aimed(model))
        };
        let of_other_threat =
            |name: &str| name.strip_prefix("threats.").is_some_and(|other| other != threat.name);
        let mut changed = self.currency.names().into_iter();
        changed.all(|name| {
            name.starts_with("criteria.") || of_other_model(&name) || of_other_threat(&name)
        })
    }
}

impl RiskState {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unrated => "unrated",
            Self::Rated => "rated",
            Self::Reopened => "re-opened",
            Self::Accepted => "accepted",
            Self::Excluded => "excluded",
        }
    }
}

impl Reason {
    pub(crate) fn new(
        code: &str,
        about: impl Into<String>,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { code: code.to_owned(), about: about.into(), what: what.into(), next: next.into() }
    }
}

/// What one risk is held against.
struct Context<'a> {
    world: &'a World,
    present: &'a Present<'a>,
    run: Option<&'a RunState>,
}

impl Context<'_> {
    fn stand(&self, risk: &Risk) -> RiskStanding {
        let residual = self.residual(risk);
        let settled = risk.settled();
        let review_due = settled.and_then(|_| self.review_due(risk));
        let mut reasons = Vec::new();
        let state = match settled {
            Some(index) => {
                self.reopened(risk, index, &residual, review_due.as_deref(), &mut reasons);
                match (reasons.is_empty(), risk.acceptance.is_some()) {
                    (false, _) => RiskState::Reopened,
                    (true, true) => RiskState::Accepted,
                    (true, false) => RiskState::Excluded,
                }
            }
            None => {
                reasons.push(open(risk, &residual));
                if risk.inherent.is_some() { RiskState::Rated } else { RiskState::Unrated }
            }
        };
        let treatments =
            risk.treatments.iter().map(|t| measures::taken(self.world, self.present, &t.said));
        RiskStanding {
            treatments: treatments.collect(),
            gaps: gaps(risk),
            state,
            residual,
            reasons,
            review_due,
            risk: risk.clone(),
        }
    }

    /// The day a person named, else some days after acceptance or exclusion.
    fn review_due(&self, risk: &Risk) -> Option<String> {
        let settled = risk.acceptance.as_ref().map(|a| (a.index, &a.time));
        let settled = settled.or(risk.exclusion.as_ref().map(|e| (e.index, &e.time)));
        let (index, time) = settled?;
        match &risk.review {
            Some(review) if review.index > index => Some(review.said.next.clone()),
            _ => day::plus_days(time, scales().periods.review_days),
        }
    }
}

fn run_state(last: &Assessment, present: &Present<'_>) -> RunState {
    let ended = last.record.ended.clone().unwrap_or_default();
    let days = present.system.upkeep.retest_days;
    let expires = days.and_then(|days| day::plus_days(&ended, days));
    RunState {
        run: last.record.run.clone(),
        expired: expires.as_deref().is_some_and(|at| day::before(at, present.now)),
        expires,
        ended,
        complete: last.complete,
        exploratory: last.exploratory.clone(),
        currency: currency(&last.system, &last.plan.assets, present.system, present.assets),
    }
}

fn open(risk: &Risk, residual: &Residual) -> Reason {
    let id = &risk.id;
    if risk.inherent.is_none() {
        let what = "not rated, and not excluded with a reason";
        return Reason::new("unrated", id, what, next_rate(risk));
    }
    match residual.rating {
        None => Reason::new("residual-unknown", id, residual.from.clone(), residual.next.clone()),
        Some(_) => {
            let next = next_until("accept", id);
            Reason::new("unaccepted", id, "the residual risk is not accepted", next)
        }
    }
}

fn gaps(risk: &Risk) -> Vec<String> {
    let mut gaps = Vec::new();
    match &risk.scenario.harm {
        None => gaps.push("no harm is named".to_owned()),
        Some(harm) if harm.vulnerable.is_none() => gaps.push(format!(
            "`harms.{}` does not say what it means for minors and vulnerable groups",
            harm.name
        )),
        Some(_) => {}
    }
    gaps
}

/// Scenarios that the register lacks: every row of the law, every declared threat and misuse, and
/// at least one misuse or the reason why there is none.
fn missing(system: &System, risks: &[Risk]) -> Vec<Reason> {
    const SEED: &str = "proofmark risk seed";
    let mut missing = Vec::new();
    for row in ThreatClass::ALL {
        if !risks.iter().any(|r| r.scenario.row == Some(row)) {
            let what = format!("no scenario about {}", row.title());
            missing.push(Reason::new("row-without-scenario", row.id(), what, SEED));
        }
    }
    for threat in &system.threats {
        let about = |r: &Risk| r.scenario.links.threat.as_deref() == Some(threat.name.as_str());
        if !risks.iter().any(about) {
            let what = format!("no scenario about the declared threat `{}`", threat.name);
            missing.push(Reason::new("threat-without-scenario", &threat.name, what, SEED));
        }
    }
    for misuse in &system.misuse {
        let about = |r: &Risk| r.scenario.links.misuse.as_deref() == Some(misuse.name.as_str());
        if !risks.iter().any(about) {
            let what = format!("no scenario about the declared misuse `{}`", misuse.name);
            missing.push(Reason::new("misuse-without-scenario", &misuse.name, what, SEED));
        }
    }
    let any = risks.iter().any(|r| r.scenario.kind == ScenarioKind::Misuse);
    if !any && system.misuse.is_empty() && system.upkeep.no_misuse.is_none() {
        let what = "no misuse that can be foreseen is named, and no reason why there is none";
        let next = "declare `[misuse.<name>]`, or `no_misuse = \"<why>\"` in `[use]`";
        missing.push(Reason::new("no-misuse", "misuse", what, next));
    }
    missing
}

fn overall(world: &World, present: &Present<'_>, risks: &[RiskStanding]) -> OverallStanding {
    const NEXT: &str = NEXT_OVERALL;
    let Some(overall) = &world.risks.overall else {
        let what = "the residual risk of all together is not accepted by a person";
        let reasons = vec![Reason::new("overall-missing", "overall", what, NEXT)];
        return OverallStanding { holds: false, expires: None, reasons };
    };
    let mut reasons = Vec::new();
    if day::before(&overall.said.expires, present.now) {
        let what = format!("the overall acceptance ended on {}", day::date(&overall.said.expires));
        reasons.push(Reason::new("overall-expired", "overall", what, NEXT));
    }
    for standing in risks {
        let id = &standing.risk.id;
        let settled = standing.risk.settled();
        let covered = overall.said.risks.iter().any(|c| c.risk == *id && Some(c.index) == settled);
        let holds = matches!(standing.state, RiskState::Accepted | RiskState::Excluded);
        if !covered || !holds {
            let why = if holds { "was settled anew" } else { "is not settled" };
            let what = format!("`{id}` {why} since the overall acceptance");
            reasons.push(Reason::new("overall-outdated", "overall", what, NEXT));
        }
    }
    let expires = Some(overall.said.expires.clone());
    OverallStanding { holds: reasons.is_empty(), expires, reasons }
}

/// The command that rates a risk; one that a threat measures needs no level.
pub(crate) fn next_rate(risk: &Risk) -> String {
    let level = if risk.scenario.links.threat.is_some() { "" } else { " --likelihood N" };
    let harm = if risk.scenario.harm.is_some() { "" } else { " --harm NAME" };
    format!("proofmark risk rate {}{level}{harm} --reason WHY", risk.id)
}

/// The command that accepts or excludes a risk.
pub(crate) fn next_until(verb: &str, id: &str) -> String {
    format!("proofmark risk {verb} {id} --reason WHY --expires DAY")
}

/// The command that looks at a risk again.
pub(crate) fn next_review(id: &str) -> String {
    format!("proofmark risk review {id} --reason WHAT --next DAY")
}

/// The command that accepts all risks together.
pub(crate) const NEXT_OVERALL: &str = "proofmark risk overall --reason WHY --expires DAY";

#[cfg(test)]
pub(crate) mod room;
#[cfg(test)]
mod tests;
