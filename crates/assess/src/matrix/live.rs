//! The matrix today: the figures of the current run, and what measures, drills and the guard add.
//!
//! Owns the rule that a cell is covered only by what is in force now: a run about other files, a
//! measure that is not taken, a drill of another policy cover nothing and say so. Text gives
//! "declared" at most, a measured effect of none is printed and covers nothing. Which evidence
//! counts where is data (`schema/data/matrix.json`). Called by the command line and the papers.

use proofmark_schema::duties::{LiveRule, LiveSource, cell_id, matrix_rules};
use proofmark_schema::risk::scales;
use proofmark_schema::taxonomy::{Coverage, ThreatClass, Verb};

use super::{Cell, Matrix, matrix};
use crate::assessment::evidence;
use crate::drill::{DrillPredicate, Experiment};
use crate::events::Logged;
use crate::judge::Evidence;
use crate::risk::{Risk, day, person};
use crate::standing::measures::{Measured, measures};
use crate::standing::{Overview, Present, RunState, World};

/// The matrix as it stands.
pub fn live(world: &World, present: &Present<'_>, overview: &Overview) -> Matrix {
    let run = overview.run.as_ref();
    let current = run.filter(|run| run.is_current()).and(world.last.as_ref());
    let mut matrix = match current {
        Some(last) => matrix(present.system, &evidence(&last.results), &last.verdicts),
        None => matrix(present.system, &Evidence::default(), &[]),
    };
    let desk = Desk { world, present, measures: measures(world, present) };
    for row in &mut matrix.rows {
        let threat = row.threat;
        for cell in &mut row.cells {
            if let Some(run) = run.filter(|_| current.is_none()) {
                was_measured(world, run, threat, cell);
            }
            let id = cell_id(threat, cell.verb);
            let rules = matrix_rules().live.iter().filter(|rule| rule.cell == id);
            rules.for_each(|rule| desk.apply(rule, cell));
            desk.people(&id, threat, cell);
            desk.happening(threat, cell);
        }
    }
    matrix
}

struct Desk<'a> {
    world: &'a World,
    present: &'a Present<'a>,
    measures: Vec<Measured>,
}

impl Desk<'_> {
    fn apply(&self, rule: &LiveRule, cell: &mut Cell) {
        match rule.from {
            LiveSource::Treatment => self.treatment(rule, cell),
            LiveSource::Drill => self.drill(rule, cell),
            LiveSource::Guard => self.guard(rule, cell),
        }
    }

    fn treatment(&self, rule: &LiveRule, cell: &mut Cell) {
        let mut told = false;
        for measured in self.measures.iter().filter(|m| m.measure.cells.contains(&rule.cell)) {
            told = true;
            let title = &measured.measure.title;
            let mut counts: Vec<String> = Vec::new();
            for e in measured.better(&rule.metrics) {
                let id = format!("treatment:{}#{}/{}", measured.id, e.measure, e.metric);
                if !counts.contains(&id) {
                    counts.push(id);
                }
            }
            if measured.force.is_on() && !counts.is_empty() {
                cover(cell, counts, &rule.why);
                add(&mut cell.measure, title);
            }
            let lines = measured.summary(&rule.metrics);
            add(&mut cell.note, &format!("{title}: {lines} ({})", measured.force.words()));
        }
        if cell.coverage != Coverage::Measured && (told || cell.next.starts_with("declare")) {
            cell.next.clone_from(&rule.next);
        }
    }

    fn drill(&self, rule: &LiveRule, cell: &mut Cell) {
        let mut proof = Vec::new();
        let mut hindrances = Vec::new();
        for fault in &rule.faults {
            match self.experiment(fault, rule.recovers) {
                Ok(name) => proof.push(name),
                Err(why) => hindrances.push(why),
            }
        }
        if hindrances.is_empty() {
            cover(cell, proof, &rule.why);
            add(&mut cell.measure, "guard: fall-back, limits and safe output");
            return;
        }
        if cell.coverage != Coverage::Measured {
            hindrances.dedup();
            add(&mut cell.note, &hindrances.join("; "));
            cell.next.clone_from(&rule.next);
        }
    }

    /// The last experiment with that fault, when it counts today.
    fn experiment(&self, fault: &str, recovers: bool) -> Result<String, String> {
        let of = |said: &DrillPredicate| -> Option<Experiment> {
            said.experiments.iter().rev().find(|e| e.fault == fault).cloned()
        };
        let last = self.world.drills.iter().rev().find_map(|d| Some((d, of(&d.said)?)));
        let (drill, experiment) = last.ok_or_else(|| format!("`{fault}` was never drilled"))?;
        self.still_counts(drill)?;
        if experiment.deviated {
            let why = experiment.reason.unwrap_or_else(|| "no reason was recorded".to_owned());
            return Err(format!("`{fault}` deviated in the last drill: {why}"));
        }
        if recovers && experiment.recovery_ms.is_none() {
            return Err(format!("no recovery from `{fault}` was measured"));
        }
        Ok(format!("drill:{}#{fault}", drill.said.id))
    }

    fn still_counts(&self, drill: &Logged<DrillPredicate>) -> Result<(), String> {
        let said = &drill.said;
        let days = scales().periods.drill_days;
        let old = day::plus_days(&drill.time, days);
        if old.is_none_or(|until| day::before(&until, self.present.now)) {
            return Err(format!("the last drill is older than {days} days"));
        }
        let policy = said.assets.iter().filter(|a| POLICY_NAMES.contains(&a.name.as_str()));
        let mut digests = policy.map(|a| &a.sha256).peekable();
        if digests.peek().is_none() {
            return Err("the last drill names no policy".to_owned());
        }
        if !digests.all(|digest| self.world.policies.contains(digest)) {
            return Err("the last drill was of another policy".to_owned());
        }
        let models = said.assets.iter().filter(|a| a.name.starts_with("model/"));
        match models.into_iter().find(|a| !self.present.assets.contains(a)) {
            Some(other) => Err(format!("the last drill was of another `{}`", other.name)),
            None => Ok(()),
        }
    }

    /// A policy is a statement of the guard: declared, never measured.
    fn guard(&self, rule: &LiveRule, cell: &mut Cell) {
        let Some(guard) = &self.world.guard else {
            if cell.coverage == Coverage::Missing {
                cell.next.clone_from(&rule.next);
            }
            return;
        };
        if cell.coverage == Coverage::Missing {
            cell.coverage = Coverage::Declared;
        }
        let short: String = guard.policy.chars().take(DIGEST_DIGITS).collect();
        add(&mut cell.note, &format!("policy {short} since {}. {}", guard.time, rule.why));
        cell.next.clone_from(&rule.next);
    }

    /// What the register says is done for the cell, and who answers for it.
    fn people(&self, id: &str, threat: ThreatClass, cell: &mut Cell) {
        let risks = &self.world.risks.risks;
        let serving = || {
            let treatments = risks.iter().flat_map(|r| &r.treatments);
            treatments.filter(|t| t.said.cells.iter().any(|c| c == id))
        };
        for treatment in serving() {
            add(&mut cell.measure, &treatment.said.what);
            if cell.coverage == Coverage::Missing {
                cell.coverage = Coverage::Declared;
            }
        }
        if cell.owner.is_empty() {
            let of_row = |r: &&Risk| r.scenario.row == Some(threat);
            let owner = serving().map(|t| t.said.owner.as_str()).next();
            let owner =
                owner.or(risks.iter().find(of_row).map(|risk| risk.scenario.owner.as_str()));
            let system = self.present.system;
            cell.owner = owner
                .map(|id| person(system, id).map_or(id, |p| p.name.as_str()).to_owned())
                .unwrap_or_default();
        }
    }

    /// What goes on at run time.
    fn happening(&self, threat: ThreatClass, cell: &mut Cell) {
        let of_row = |id: &String| {
            self.world.risks.named(id).is_some_and(|r| r.scenario.row == Some(threat))
        };
        for trigger in self.world.triggers.iter().filter(|t| t.open) {
            let here = trigger.everything
                || trigger.rows.contains(&threat)
                || trigger.risks.iter().any(of_row);
            if here && matches!(cell.verb, Verb::Respond | Verb::Resolve) {
                add(&mut cell.note, &trigger.what);
                cell.next = format!("`{}`", trigger.next);
            }
        }
    }
}

/// A cell that the last run measured, when that run no longer counts.
fn was_measured(world: &World, run: &RunState, threat: ThreatClass, cell: &mut Cell) {
    let rows = world.last.as_ref().map(|last| last.matrix.rows.as_slice()).unwrap_or_default();
    let then = rows
        .iter()
        .filter(|row| row.threat == threat)
        .flat_map(|row| &row.cells)
        .find(|then| then.verb == cell.verb && then.coverage == Coverage::Measured);
    if then.is_none() {
        return;
    }
    let why = if run.currency.holds() {
        format!("older than the declared period since {}", day::date(&run.ended))
    } else {
        format!("changed since: {}", run.currency.names().join(", "))
    };
    add(&mut cell.note, &format!("{} measured it; {why}", run.run));
    cell.next = "`proofmark assess`".to_owned();
}

fn cover(cell: &mut Cell, evidence: Vec<String>, why: &str) {
    cell.coverage = Coverage::Measured;
    cell.evidence.extend(evidence);
    if !cell.note.contains(why) {
        add(&mut cell.note, why);
    }
    if cell.verdicts.is_empty() {
        cell.next = "`proofmark dossier --out DIR`".to_owned();
    }
}

/// Adds a sentence to a text.
fn add(text: &mut String, more: &str) {
    if text.contains(more) || more.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

/// Under which name a drill names the policy it ran.
const POLICY_NAMES: [&str; 2] = ["guard-policy", "policy"];
/// Digits of a digest that are enough to recognise it.
const DIGEST_DIGITS: usize = 12;

#[cfg(test)]
mod tests;
