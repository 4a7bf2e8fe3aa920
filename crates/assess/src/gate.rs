//! May this release go out?
//!
//! Owns the list of reasons that keep the gate closed, each with its next command, and the signed
//! decision. The gate is strict: it opens only on a current, complete and promised assessment whose
//! criteria were reached or accepted as they stand, on a register without an open risk, on an
//! overall acceptance by a person, and on no hold. A refused or missing verdict has no figure that
//! anyone could accept, so it always closes the gate. Must never look at anything but what it is
//! handed. Called by the command line and the papers.

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::{AssetDigest, CheckState};
use proofmark_schema::risk::Rating;
use serde::{Deserialize, Serialize};

use crate::assessment::Assessment;
use crate::events::{self, Logged};
use crate::judge::{Verdict, VerdictState};
use crate::predicate::Tool;
use crate::register::{Register, RegisterError};
use crate::standing::{Overview, Present, Reason, RiskState, RunState, World, next_until};

/// Predicate type of a decision.
pub const GATE: &str = "urn:proofmark:predicate:gate:v1";

/// A decision about a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePredicate {
    /// Name of the release.
    pub release: String,
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// Time it was decided for, RFC 3339 in UTC.
    pub time: String,
    /// Whether it may go out.
    pub open: bool,
    /// Why not; empty when it may.
    pub reasons: Vec<Reason>,
    /// Run it rests on.
    pub run: Option<String>,
    /// Criteria that were not reached and are accepted as they stand, with the risk that says so.
    pub waived: Vec<WaivedBy>,
    /// Every risk with its state and residual rating.
    pub risks: Vec<RiskLine>,
    /// Digests of declaration, models and data.
    pub assets: Vec<AssetDigest>,
}

/// A criterion that an acceptance covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaivedBy {
    /// Criterion.
    pub criterion: String,
    /// Risk whose acceptance names it.
    pub risk: String,
}

/// A risk at the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskLine {
    /// Risk.
    pub risk: String,
    /// State, in a word.
    pub state: String,
    /// Residual rating, when it is known.
    pub residual: Option<Rating>,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Whether the release may go out.
    pub open: bool,
    /// Why not, in the order in which to mend it.
    pub reasons: Vec<Reason>,
    /// Run it rests on.
    pub run: Option<String>,
    /// Criteria accepted as they stand.
    pub waived: Vec<WaivedBy>,
}

/// Decides. Nothing is logged.
pub fn decide(world: &World, present: &Present<'_>, overview: &Overview) -> Decision {
    let mut reasons = Vec::new();
    let mut waived = Vec::new();
    held(world, &mut reasons);
    match (&world.last, &overview.run) {
        (Some(last), Some(run)) => {
            current(world, present, last, run, &mut reasons);
            sound(last, &mut reasons);
            criteria(last, overview, &mut waived, &mut reasons);
        }
        _ => {
            let what = "no assessment has ended";
            reasons.push(Reason::new("no-assessment", "assessment", what, ASSESS));
        }
    }
    register(present, overview, &mut reasons);
    reasons.extend(overview.overall.reasons.iter().cloned());
    let run = overview.run.as_ref().map(|r| r.run.clone());
    Decision { open: reasons.is_empty(), reasons, run, waived }
}

/// Signs a decision and logs it.
///
/// # Errors
/// [`RegisterError`] if it cannot be signed or logged.
pub fn record(
    to: &mut Register<'_>,
    present: &Present<'_>,
    overview: &Overview,
    decision: &Decision,
    release: &str,
) -> Result<Logged<GatePredicate>, RegisterError> {
    let line = |r: &crate::standing::RiskStanding| RiskLine {
        risk: r.risk.id.clone(),
        state: r.state.word().to_owned(),
        residual: r.residual.rating.clone(),
    };
    let predicate = GatePredicate {
        release: release.to_owned(),
        system: present.system.name.clone(),
        version: present.system.version.clone(),
        tool: to.tool.clone(),
        time: present.now.to_owned(),
        open: decision.open,
        reasons: decision.reasons.clone(),
        run: decision.run.clone(),
        waived: decision.waived.clone(),
        risks: overview.risks.iter().map(line).collect(),
        assets: present.assets.to_vec(),
    };
    events::record(to, EntryKind::Gate, GATE, &predicate, present.assets)
}

/// Every decision in the log, in log order.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn decisions(log: &Log, store: &Store) -> Result<Vec<Logged<GatePredicate>>, RegisterError> {
    events::logged(log, store, &EntryKind::Gate, GATE)
}

fn held(world: &World, reasons: &mut Vec<Reason>) {
    for (incident, since) in &world.holds {
        let what = format!("incident `{incident}` holds the system since {since}");
        let next = format!("proofmark incident show {incident}");
        reasons.push(Reason::new("hold", incident, what, next));
    }
}

/// Whether the run is about what is there, and young enough.
fn current(
    world: &World,
    present: &Present<'_>,
    last: &Assessment,
    run: &RunState,
    reasons: &mut Vec<Reason>,
) {
    let mut say = |code: &str, about: &str, what: String, next: &str| {
        reasons.push(Reason::new(code, about, what, next));
    };
    for change in &run.currency.assets {
        let what = format!("{change} since {} was measured", run.run);
        say("asset-changed", &change.asset, what, ASSESS);
    }
    for term in &run.currency.terms {
        let what = format!("`{term}` of the declaration changed since {} was measured", run.run);
        say("terms-changed", term, what, ASSESS);
    }
    if let Some((then, now)) = &run.currency.version {
        let what = format!("version {then} was assessed and version {now} is declared");
        say("version", "version", what, ASSESS);
    }
    if run.expired {
        let until = run.expires.clone().unwrap_or_default();
        say("run-expired", &run.run, format!("its figures were current until {until}"), ASSESS);
    }
    if present.system.upkeep.retest_days.is_none() {
        let what = "nothing says how long a figure stays current".to_owned();
        say("no-retest-period", "use", what, "declare `retest_days = <days>` in `[use]`");
    }
    let later = world.runs.iter().filter(|r| r.ended.is_none());
    for open in later.filter(|r| r.start_index > last.record.start_index) {
        let what = format!("{} began later and never ended", open.run);
        say("run-unended", &open.run, what, ASSESS);
    }
}

/// Whether the run is whole and was promised beforehand.
fn sound(last: &Assessment, reasons: &mut Vec<Reason>) {
    let run = last.record.run.as_str();
    if !last.complete {
        let what = "at least one probe gave no figures";
        reasons.push(Reason::new("run-incomplete", run, what, ASSESS));
    }
    for why in &last.exploratory {
        let what = format!("exploratory, unfit for declaration: {why}");
        let next = "give the terms back their registered values, then proofmark assess";
        reasons.push(Reason::new("exploratory", run, what, next));
    }
    if last.verdicts.is_empty() {
        let what = "no threshold was registered, so nothing says whether the level is right";
        let next = "declare `[criteria.<name>]`, then proofmark assess";
        reasons.push(Reason::new("no-criteria", run, what, next));
    }
    for record in &last.results {
        for check in record.said.validity.iter().filter(|c| c.state == CheckState::Refuse) {
            let what = format!("{} refused the figures: {}", check.check, check.reason);
            reasons.push(Reason::new("check-refused", &record.said.probe.id, what, &check.fix));
        }
    }
}

fn criteria(
    last: &Assessment,
    overview: &Overview,
    waived: &mut Vec<WaivedBy>,
    reasons: &mut Vec<Reason>,
) {
    for verdict in last.verdicts.iter().filter(|v| v.state != VerdictState::Pass) {
        let name = &verdict.criterion.name;
        match accepted_by(verdict, overview) {
            Some(risk) => waived.push(WaivedBy { criterion: name.clone(), risk }),
            None => {
                let what = format!("{}: {}", verdict.state, verdict.reason);
                reasons.push(Reason::new("criterion-unmet", name, what, unmet(verdict, overview)));
            }
        }
    }
}

/// The accepted risk that takes a failed or inconclusive criterion as it stands.
fn accepted_by(verdict: &Verdict, overview: &Overview) -> Option<String> {
    let accepted = overview.risks.iter().filter(|r| r.state == RiskState::Accepted);
    accepted
        .filter_map(|r| Some((r, r.risk.acceptance.as_ref()?)))
        .find(|(_, a)| a.said.waives.iter().any(|w| crate::standing::covered(w, verdict)))
        .map(|(r, _)| r.risk.id.clone())
}

fn unmet(verdict: &Verdict, overview: &Overview) -> String {
    let name = &verdict.criterion.name;
    let linked = overview.risks.iter().find(|r| r.risk.scenario.links.criteria.contains(name));
    match (verdict.state, linked) {
        (VerdictState::Fail | VerdictState::Inconclusive, Some(r)) => format!(
            "{}; or, by a person: {} --waive {name}",
            verdict.fix,
            next_until("accept", &r.risk.id)
        ),
        _ => format!("{}, then {ASSESS}", verdict.fix),
    }
}

/// Whether every risk is named, rated and settled.
fn register(present: &Present<'_>, overview: &Overview, reasons: &mut Vec<Reason>) {
    reasons.extend(overview.missing.iter().cloned());
    for standing in &overview.risks {
        if !matches!(standing.state, RiskState::Accepted | RiskState::Excluded) {
            reasons.extend(standing.reasons.iter().cloned());
        }
    }
    for harm in present.system.harms.iter().filter(|h| h.vulnerable.is_none()) {
        let what = "does not say what it means for minors and vulnerable groups";
        let next = format!("declare `vulnerable = \"...\"` in `[harms.{}]`", harm.name);
        reasons.push(Reason::new("vulnerable-unsaid", &harm.name, what, next));
    }
}

const ASSESS: &str = "proofmark assess";

#[cfg(test)]
mod tests;
