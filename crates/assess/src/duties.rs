//! What stands behind each duty of the law, from the log and the declaration.
//!
//! Owns the rule that a duty is covered as well as its weakest part, and a part as well as its best
//! evidence. Must never let a text, a register or a stale figure measure anything. Called by the
//! papers and the command line.

mod evidence;

use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::clock::{InForce, Reading};
use proofmark_schema::duties::{
    Duties, Duty, EvidenceKind, EvidenceRule, Part, duties as catalogue,
};
use proofmark_schema::incident::Ground;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::System;
use proofmark_schema::taxonomy::Coverage;
use serde::{Deserialize, Serialize};

use crate::assessment::AssessError;
use crate::incident::IncidentError;
use crate::register::RegisterError;

pub use evidence::{Found, Known};

/// One duty and what stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DutyState {
    /// Id.
    pub id: String,
    /// Act, with its version.
    pub act: String,
    /// Provision.
    pub provision: String,
    /// A few words.
    pub title: String,
    /// What is asked, in our words.
    pub duty: String,
    /// State: that of the weakest part.
    pub state: Coverage,
    /// Since when it applies.
    pub applies: Vec<Applies>,
    /// Whether it applies on some reading and ground today.
    pub in_force: bool,
    /// Set when a person said that it does not apply: who and why.
    pub waived: Option<Waived>,
    /// Parts.
    pub parts: Vec<PartState>,
    /// Next command, or what to declare.
    pub next: String,
}

/// A part of a duty and what stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartState {
    /// What must be shown.
    pub what: String,
    /// State: that of the best evidence.
    pub state: Coverage,
    /// Evidence that gives this state.
    pub evidence: Vec<Behind>,
    /// Why better evidence does not count, or what is left out.
    pub notes: Vec<String>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// Kind.
    pub kind: EvidenceKind,
    /// What it is, in words.
    pub what: String,
    /// Digests of the signed statements, hex; empty for the declaration.
    pub statements: Vec<String>,
}

/// Since when a duty applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applies {
    /// Reading of the legal calendar.
    pub reading: Reading,
    /// Only for systems high-risk on this ground.
    pub ground: Option<Ground>,
    /// First day.
    pub from: String,
    /// Whether that day has come.
    pub in_force: bool,
}

/// A person's word that a duty does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waived {
    /// Person of the declaration.
    pub by: String,
    /// Why.
    pub because: String,
}

/// Every duty of the catalogue, in its order.
///
/// # Errors
/// [`DutiesError`] if the log is damaged or a statement is gone.
pub fn coverage(
    system: &System,
    assets: &[AssetDigest],
    log: Option<&Log>,
    store: &Store,
    now: &str,
) -> Result<Vec<DutyState>, DutiesError> {
    let known = Known::read(system, assets, log, store)?;
    Ok(states(catalogue(), &known, now))
}

/// Every duty of a catalogue, as `known` covers it on the day of `now`.
pub fn states(catalogue: &Duties, known: &Known<'_>, now: &str) -> Vec<DutyState> {
    catalogue.duties.iter().map(|duty| state(catalogue, duty, known, now)).collect()
}

/// Number of duties in a state.
pub fn count(states: &[DutyState], coverage: Coverage) -> usize {
    states.iter().filter(|s| s.state == coverage).count()
}

/// Why coverage cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DutiesError {
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The last run.
    #[error(transparent)]
    Assess(#[from] AssessError),
    /// Incidents.
    #[error(transparent)]
    Incident(#[from] IncidentError),
}

fn state(catalogue: &Duties, duty: &Duty, known: &Known<'_>, now: &str) -> DutyState {
    let parts: Vec<PartState> = duty.parts.iter().map(|p| part(duty, p, known)).collect();
    let weakest = parts.iter().map(|p| p.state).min_by_key(|s| rank(*s));
    let weakest = weakest.unwrap_or(Coverage::Missing);
    // What a person says about a duty never hides what was measured or imported.
    let waived =
        known.not_applicable(&duty.id).filter(|_| rank(weakest) < rank(Coverage::Imported));
    let state = if waived.is_some() { Coverage::Waived } else { weakest };
    let applies = applies(catalogue.calendar(duty).map_or(&[][..], |c| &c.in_force), now);
    let base = catalogue.legal_base.iter().find(|b| b.id == duty.base);
    DutyState {
        id: duty.id.clone(),
        act: base.map(|b| format!("{}, {}", b.title, b.version)).unwrap_or_default(),
        provision: duty.provision.clone(),
        title: duty.title.clone(),
        duty: duty.duty.clone(),
        state,
        in_force: applies.iter().any(|a| a.in_force),
        applies,
        next: next(duty, &parts, state),
        waived,
        parts,
    }
}

fn part(duty: &Duty, part: &Part, known: &Known<'_>) -> PartState {
    let found: Vec<(&EvidenceRule, Found)> =
        part.by.iter().map(|rule| (rule, known.find(duty, rule))).collect();
    let capped = |rule: &EvidenceRule, found: &Found| {
        let most = rule.kind.at_most();
        if rank(found.state) > rank(most) { most } else { found.state }
    };
    let best = found.iter().map(|(r, f)| capped(r, f)).max_by_key(|s| rank(*s));
    let best = best.unwrap_or(Coverage::Missing);
    let behind = |(rule, f): &(&EvidenceRule, Found)| {
        (best != Coverage::Missing && capped(rule, f) == best).then(|| Behind {
            kind: rule.kind,
            what: f.what.clone(),
            statements: f.statements.clone(),
        })
    };
    PartState {
        what: part.what.clone(),
        state: best,
        evidence: found.iter().filter_map(behind).collect(),
        notes: found.iter().map(|(_, f)| &f.note).filter(|n| !n.is_empty()).cloned().collect(),
    }
}

/// Best last. What is set aside is worth less than what a person states.
fn rank(coverage: Coverage) -> u8 {
    match coverage {
        Coverage::Missing => 0,
        Coverage::Waived => 1,
        Coverage::Declared => 2,
        Coverage::Imported => 3,
        Coverage::Measured => 4,
    }
}

fn applies(spans: &[InForce], now: &str) -> Vec<Applies> {
    let day = now.get(..DAY_CHARS).unwrap_or(now);
    let one = |span: &InForce| Applies {
        reading: span.reading,
        ground: span.ground,
        from: span.from.clone(),
        in_force: span.from.as_str() <= day && span.to.as_deref().is_none_or(|to| day < to),
    };
    spans.iter().map(one).collect()
}

fn next(duty: &Duty, parts: &[PartState], state: Coverage) -> String {
    let weakest = duty.parts.iter().zip(parts).min_by_key(|(_, s)| rank(s.state));
    match (state, weakest.and_then(|(part, _)| part.by.first())) {
        (Coverage::Waived, _) => "none while the reason holds".to_owned(),
        (Coverage::Measured | Coverage::Imported, _) => "`proofmark dossier --out DIR`".to_owned(),
        (_, Some(rule)) => command(duty, rule, state),
        (_, None) => String::new(),
    }
}

/// How better evidence of that kind comes about.
fn command(duty: &Duty, rule: &EvidenceRule, state: Coverage) -> String {
    let id = rule.ids.first().map_or("", String::as_str);
    match rule.kind {
        EvidenceKind::Metric | EvidenceKind::Plan => "`proofmark assess`".to_owned(),
        EvidenceKind::GroupMetric => {
            "mark a feature with `group = true`, then `proofmark assess`".to_owned()
        }
        EvidenceKind::Cell => match state {
            Coverage::Missing => {
                "declare the cells that are missing, `[declared.\"…\"]`".to_owned()
            }
            _ => "`proofmark harden`, then `proofmark assess`".to_owned(),
        },
        EvidenceKind::Treatment => "`proofmark harden`".to_owned(),
        EvidenceKind::Drill => "`proofmark drill`".to_owned(),
        EvidenceKind::GuardLog => "`proofmark guard run`".to_owned(),
        EvidenceKind::Risk => "`proofmark risk`".to_owned(),
        EvidenceKind::Incident | EvidenceKind::Receipt => format!(
            "write down the procedure, `[papers.\"{}\"]`; an incident is opened with \
             `proofmark incident open`",
            duty.id
        ),
        EvidenceKind::Paper | EvidenceKind::Signature => "`proofmark dossier --out DIR`".to_owned(),
        EvidenceKind::Declaration if state == Coverage::Missing => {
            format!("declare `{id}` in `proofmark.toml`")
        }
        EvidenceKind::Text if state == Coverage::Missing => {
            format!("write it, `[papers.\"{id}\"]` with `text` and `owner`")
        }
        EvidenceKind::Declaration | EvidenceKind::Text => {
            "none: this release cannot measure it".to_owned()
        }
    }
}

/// Characters of `YYYY-MM-DD`.
const DAY_CHARS: usize = 10;

#[cfg(test)]
mod tests;
