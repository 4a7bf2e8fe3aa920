//! Why an acceptance or exclusion no longer holds.
//!
//! Owns the list: it expired or is due for review, files or terms changed, a criterion is not
//! reached, the residual risk rose, what was accepted was said anew, the declaration says
//! otherwise, the guard fell back, an incident is open. Must never forgive: only a new acceptance
//! by a person does. Called by `overview`.

use proofmark_schema::system::{Bound, Threat};

use super::{Context, Reason, Residual, Trigger, TriggerKind, next_review, next_until};
use crate::currency::{changed, covers};
use crate::judge::{Verdict, VerdictState};
use crate::risk::{Acceptance, Risk, Said, Waived, day, seed};

impl Context<'_> {
    /// Collects the reasons for a risk that was settled at the leaf `index`.
    pub(super) fn reopened(
        &self,
        risk: &Risk,
        index: u64,
        residual: &Residual,
        review_due: Option<&str>,
        reasons: &mut Vec<Reason>,
    ) {
        let id = risk.id.as_str();
        let accept = again(risk);
        let mut say = |code: &str, what: String, next: &str| {
            reasons.push(Reason::new(code, id, what, next));
        };
        let (time, expires) = settled(risk);
        if day::before(expires, self.present.now) {
            let what = if risk.acceptance.is_some() { "acceptance" } else { "exclusion" };
            say("expired", format!("the {what} ended on {}", day::date(expires)), &accept);
        }
        if let Some(due) = review_due.filter(|due| day::before(due, self.present.now)) {
            let next = next_review(id);
            say("review-due", format!("its review was due on {}", day::date(due)), &next);
        }
        if let Some(reopened) = &risk.reopened {
            let what = format!("{} re-opened it: {}", reopened.by.name, reopened.said);
            say("reopened", what, &accept);
        }
        if risk.changed > index {
            let what = "scenario, rating or treatment changed after it was settled".to_owned();
            say("changed-since", what, &accept);
        }
        for change in self.assets_changed(risk) {
            say("asset-changed", format!("{change} since it was settled"), &accept);
        }
        if let Some(what) = self.declared_otherwise(risk) {
            say("declared-otherwise", what, "proofmark risk seed");
        }
        for kind in [TriggerKind::Guard, TriggerKind::Incident] {
            let since = |t: &&Trigger| {
                t.kind == kind && t.touches(risk) && (t.open || !day::before(&t.time, time))
            };
            let all: Vec<&Trigger> = self.world.triggers.iter().filter(since).collect();
            let Some(last) = all.last() else { continue };
            let more = match all.len() {
                1 => String::new(),
                n => format!(" (and {} more since)", n - 1),
            };
            say(code(last), format!("{}{more}", last.what), &last.next);
        }
        if let Some(acceptance) = &risk.acceptance {
            self.accepted_otherwise(risk, acceptance, residual, reasons);
        }
        self.criteria(risk, reasons);
    }

    /// What is worse, or another question, than what was accepted.
    fn accepted_otherwise(
        &self,
        risk: &Risk,
        acceptance: &Said<Acceptance>,
        residual: &Residual,
        reasons: &mut Vec<Reason>,
    ) {
        let (id, accepted) = (risk.id.as_str(), &acceptance.said.residual);
        match &residual.rating {
            None => {
                let what = format!("its residual risk is not known: {}", residual.from);
                reasons.push(Reason::new("residual-unknown", id, what, residual.next.clone()));
            }
            Some(now) if now.level > accepted.level || now.likelihood > accepted.likelihood => {
                let what = format!(
                    "the residual risk rose from {} (likelihood {}) to {} (likelihood {})",
                    accepted.level.word(),
                    accepted.likelihood,
                    now.level.word(),
                    now.likelihood
                );
                reasons.push(Reason::new("residual-rose", id, what, again(risk)));
            }
            Some(_) => {}
        }
        let Some(threat) = risk.scenario.links.threat.as_deref() else { return };
        let then = acceptance.said.run.as_ref().and_then(|run| self.world.declared_then.get(run));
        let then = then.and_then(|system| system.threat_named(threat));
        let now = self.present.system.threat_named(threat);
        if then.is_some() && then.map(attack) != now.map(attack) {
            let what = format!("the terms of threat `{threat}` changed since it was accepted");
            reasons.push(Reason::new("terms-changed", id, what, "proofmark assess"));
        }
    }

    fn assets_changed(&self, risk: &Risk) -> Vec<String> {
        let then = risk.acceptance.as_ref().map(|a| &a.assets);
        let then = then.or(risk.exclusion.as_ref().map(|e| &e.assets));
        let changes = changed(then.map(Vec::as_slice).unwrap_or_default(), self.present.assets);
        let touched =
            changes.iter().filter(|c| risk.scenario.assets.iter().any(|a| covers(a, &c.asset)));
        touched.map(ToString::to_string).collect()
    }

    /// What the declaration says now about the harm or the seed of a risk.
    fn declared_otherwise(&self, risk: &Risk) -> Option<String> {
        let system = self.present.system;
        if let Some(harm) = &risk.scenario.harm {
            let declared = system.harm_named(&harm.name).map(seed::harm);
            if declared.as_ref() != Some(harm) {
                let what = if declared.is_some() { "says otherwise now" } else { "is gone" };
                return Some(format!("`harms.{}` of the declaration {what}", harm.name));
            }
        }
        let links = &risk.scenario.links;
        let threat = links.threat.as_deref();
        if let Some(gone) = threat.filter(|name| system.threat_named(name).is_none()) {
            return Some(format!("threat `{gone}` is no longer declared"));
        }
        let misuse = links.misuse.as_deref()?;
        let declared = system.misuse.iter().find(|m| m.name == misuse);
        match declared {
            None => Some(format!("misuse `{misuse}` is no longer declared")),
            Some(declared) if declared.what.trim() != risk.scenario.title.trim() => {
                Some(format!("misuse `{misuse}` of the declaration says otherwise now"))
            }
            Some(_) => None,
        }
    }

    /// Linked criteria that the last run did not reach and nobody accepted as they stand.
    fn criteria(&self, risk: &Risk, reasons: &mut Vec<Reason>) {
        let Some(last) = &self.world.last else { return };
        let waives = risk.acceptance.as_ref().map(|a| a.said.waives.as_slice()).unwrap_or_default();
        for name in &risk.scenario.links.criteria {
            let Some(verdict) = last.verdicts.iter().find(|v| v.criterion.name == *name) else {
                continue;
            };
            if verdict.state != VerdictState::Pass && !waives.iter().any(|w| covered(w, verdict)) {
                let what = format!("criterion `{name}` is {}: {}", verdict.state, verdict.reason);
                let next = match verdict.state {
                    VerdictState::Fail | VerdictState::Inconclusive => {
                        format!("{} --waive {name}", again(risk))
                    }
                    _ => "proofmark assess".to_owned(),
                };
                reasons.push(Reason::new("criterion-unmet", &risk.id, what, next));
            }
        }
    }
}

/// Whether a waiver covers a verdict: a criterion that failed or is inconclusive, whose bound on
/// the side of the threshold is not worse than when it was accepted.
pub(crate) fn covered(waived: &Waived, verdict: &Verdict) -> bool {
    let no_worse = match verdict.criterion.bound {
        Bound::AtLeast(_) => at_least(verdict.lower, waived.lower),
        Bound::AtMost(_) => at_least(waived.upper, verdict.upper),
    };
    waived.criterion == verdict.criterion.name
        && matches!(verdict.state, VerdictState::Fail | VerdictState::Inconclusive)
        && no_worse
}

fn at_least(value: Option<f64>, least: Option<f64>) -> bool {
    matches!((value, least), (Some(value), Some(least)) if value >= least)
}

fn code(trigger: &Trigger) -> &'static str {
    match trigger.kind {
        TriggerKind::Guard => "guard-fell-back",
        TriggerKind::Incident => "incident",
    }
}

/// The command that settles it again.
fn again(risk: &Risk) -> String {
    let verb = if risk.exclusion.is_some() { "exclude" } else { "accept" };
    next_until(verb, &risk.id)
}

/// When it was settled, and until when.
fn settled(risk: &Risk) -> (&str, &str) {
    match (&risk.acceptance, &risk.exclusion) {
        (Some(a), _) => (&a.time, &a.said.expires),
        (None, Some(e)) => (&e.time, &e.said.expires),
        (None, None) => ("", ""),
    }
}

/// What an attack is held to.
fn attack(threat: &Threat) -> Threat {
    Threat { actor: None, harm: None, attempts_reason: None, ..threat.clone() }
}
