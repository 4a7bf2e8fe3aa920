//! What may be said about a risk, and by whom.
//!
//! Owns the rules that hold for every statement, where it is written and where it is read back:
//! author and approver are two people, steps of the legal order are not skipped without a reason,
//! risks form no circle, techniques are known, nothing expires in the past. Must never look at the
//! declaration or the measurements of today: `standing` does. Called by the fold and by `say`.

use proofmark_schema::risk::{
    Basis, MeasuredLikelihood, Rating, Scenario, ScenarioKind, scales, techniques,
};

use super::{Act, Covered, OVERALL, Risk, RiskPredicate, Risks, Side, Treatment, Waived, Who, day};
use crate::judge::VerdictState;
use crate::treatment::Order;

/// Whether `said` may be said at `time` after what is `known`.
///
/// # Errors
/// [`Refusal`] names the rule and the next step.
pub fn check(known: &Risks, said: &RiskPredicate, time: &str) -> Result<(), Refusal> {
    let id = said.risk.as_str();
    if (id == OVERALL) != matches!(said.said, Act::Overall { .. }) {
        return Err(Refusal::Id(id.to_owned()));
    }
    if !is_id(id) {
        return Err(Refusal::Id(id.chars().take(ID_CHARS_MAX).collect()));
    }
    words(&said.by.name, "name of the person")?;
    match &said.said {
        Act::Enter { scenario, seed } => enter(known, id, scenario, seed.is_some()),
        Act::Overall { reason, expires, risks, .. } => {
            words(reason, "reason")?;
            lasts(expires, time)?;
            overall(known, risks, &said.by)
        }
        other => {
            let risk = known.named(id).ok_or_else(|| Refusal::Unknown(id.to_owned()))?;
            of_risk(risk, other, &said.by, time)
        }
    }
}

/// Why it may not be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an id.
    #[error(
        "`{0}` is no id of a risk: small letters, digits and hyphens, at most {ID_CHARS_MAX}; \
         `overall` stands for all risks together"
    )]
    Id(String),
    /// Never entered.
    #[error("there is no risk `{0}`; `proofmark risk list` shows those that were entered")]
    Unknown(String),
    /// Entered before.
    #[error("the risk `{0}` was entered before; rate, treat or exclude it, or choose another id")]
    Taken(String),
    /// Too many.
    #[error("there are {RISKS_MAX} risks already; bring scenarios together before adding more")]
    TooMany,
    /// Empty or too long.
    #[error("the {what} is {fault}; say it in at most {WORDS_CHARS_MAX} characters")]
    Words {
        /// What.
        what: &'static str,
        /// Empty, or too long.
        fault: &'static str,
    },
    /// Not in the bundled table.
    #[error(
        "the technique `{0}` is in no bundled taxonomy; use an id such as `AML.T0043.000` or \
         `NISTAML.022` (`proofmark risk techniques` lists them)"
    )]
    Technique(String),
    /// An attack without a technique.
    #[error("an attack names at least one technique; `proofmark risk techniques` lists them")]
    NoTechnique,
    /// A circle.
    #[error("`{0}` would follow from itself by way of `{1}`; leave one of the links out")]
    Circle(String, String),
    /// A rating that does not fit the scales.
    #[error("the rating does not fit the scales: {0}; rate it with `proofmark risk rate`")]
    Rating(String),
    /// No harm.
    #[error(
        "the scenario `{0}` names no harm, so it has no severity; declare `[harms.<name>]` and \
         name it with `--harm`"
    )]
    NoHarm(String),
    /// Residual before inherent.
    #[error("rate `{0}` before treatment first: `proofmark risk rate {0} --reason ...`")]
    Unrated(String),
    /// A residual below the inherent risk that nothing explains.
    #[error(
        "the residual risk of `{0}` cannot be lower than the inherent one while nothing is done \
         about it; `proofmark risk treat {0}` first"
    )]
    Untreated(String),
    /// A measured residual is folded, not said.
    #[error("a measured residual risk follows the latest run by itself; it is not entered")]
    MeasuredResidual,
    /// The legal order.
    #[error(
        "the law wants design before control and control before information: say why {step} is \
         not enough (`--why-not-{step}`)"
    )]
    Order {
        /// The step that was left out.
        step: &'static str,
    },
    /// No such treatment, or twice the same.
    #[error("treatment `{0}` {1}; `proofmark risk show` lists them")]
    Treatment(String, &'static str),
    /// Author and approver.
    #[error(
        "{0} entered, rated or treated this risk and cannot also accept or exclude it; another \
         declared person must (`--by`)"
    )]
    SamePerson(String),
    /// In the past.
    #[error("`{0}` is not a later day; write a day to come, e.g. `2027-06-30`")]
    Past(String),
    /// Too far.
    #[error("`{until}` is too far: at most {days} days; the law wants the process kept current")]
    TooFar {
        /// What was asked.
        until: String,
        /// Most.
        days: u32,
    },
    /// A waiver that cannot be.
    #[error(
        "criterion `{0}` {1}; only a failed or inconclusive criterion that the risk links to can \
         be accepted as it stands"
    )]
    Waiver(String, &'static str),
    /// Nothing to re-open.
    #[error("`{0}` is open already: it is neither accepted nor excluded")]
    Open(String),
    /// An overall acceptance that leaves risks out.
    #[error("`{0}` is neither accepted nor excluded, so all together cannot be accepted yet")]
    Uncovered(String),
    /// Nothing to accept.
    #[error("there is no risk to accept; begin with `proofmark risk seed`")]
    NoRisks,
}

/// Whether something that was accepted at `time` until `expires` is accepted for too long.
///
/// # Errors
/// [`Refusal::TooFar`]. Held against new statements only: periods are data and may change.
pub fn not_too_far(expires: &str, time: &str) -> Result<(), Refusal> {
    let days = scales().periods.acceptance_days_max;
    // The day itself counts to its end.
    let last = day::plus_days(time, days.saturating_add(1));
    if last.is_some_and(|last| day::before(&last, expires)) {
        return Err(Refusal::TooFar { until: expires.to_owned(), days });
    }
    Ok(())
}

fn of_risk(risk: &Risk, act: &Act, by: &Who, time: &str) -> Result<(), Refusal> {
    match act {
        Act::Enter { .. } | Act::Overall { .. } => Ok(()),
        Act::Rate { side, rating, harm, reason } => {
            words(reason, "reason")?;
            let Some(severity) = harm.as_ref().or(risk.scenario.harm.as_ref()).map(|h| h.severity)
            else {
                return Err(Refusal::NoHarm(risk.id.clone()));
            };
            if !(1..=LEVEL_MAX).contains(&severity) {
                return Err(Refusal::Rating(format!("severity {severity}")));
            }
            fits(rating)?;
            rated(risk, *side, rating)
        }
        Act::Treat { treatment } => treat(risk, treatment),
        Act::Withdraw { treatment, reason } => {
            words(reason, "reason")?;
            let known = risk.treatments.iter().any(|t| t.said.id == *treatment);
            known
                .then_some(())
                .ok_or_else(|| Refusal::Treatment(treatment.clone(), "is not in force"))
        }
        Act::Accept { reason, expires, residual, waives, .. } => {
            words(reason, "reason")?;
            lasts(expires, time)?;
            if risk.inherent.is_none() {
                return Err(Refusal::Unrated(risk.id.clone()));
            }
            fits(residual)?;
            waives.iter().try_for_each(|w| waived(risk, w))?;
            not_an_author(risk, by)
        }
        Act::Exclude { reason, expires } => {
            words(reason, "reason")?;
            lasts(expires, time)?;
            not_an_author(risk, by)
        }
        Act::Review { reason, next } => {
            words(reason, "reason")?;
            lasts(next, time)
        }
        Act::Reopen { reason } => {
            words(reason, "reason")?;
            let settled = risk.settled().is_some() && risk.reopened.is_none();
            settled.then_some(()).ok_or_else(|| Refusal::Open(risk.id.clone()))
        }
    }
}

fn enter(known: &Risks, id: &str, scenario: &Scenario, seeded: bool) -> Result<(), Refusal> {
    let before = known.named(id);
    if before.is_some_and(|r| !seeded || r.entered.said.1.is_none()) {
        return Err(Refusal::Taken(id.to_owned()));
    }
    if before.is_none() && known.risks.len() >= RISKS_MAX {
        return Err(Refusal::TooMany);
    }
    words(&scenario.title, "title")?;
    words(&scenario.actor, "actor")?;
    words(&scenario.owner, "owner")?;
    if scenario.kind == ScenarioKind::Attack && scenario.techniques.is_empty() {
        return Err(Refusal::NoTechnique);
    }
    let strange = scenario.techniques.iter().find(|t| techniques().named(t).is_none());
    if let Some(strange) = strange {
        return Err(Refusal::Technique(strange.chars().take(ID_CHARS_MAX).collect()));
    }
    for after in &scenario.links.after {
        if after == id {
            return Err(Refusal::Circle(id.to_owned(), id.to_owned()));
        }
        if known.named(after).is_none() {
            return Err(Refusal::Unknown(after.clone()));
        }
        if leads_to(known, after, id) {
            return Err(Refusal::Circle(id.to_owned(), after.clone()));
        }
    }
    Ok(())
}

/// Whether `from` follows, in some steps, from `to`.
fn leads_to(known: &Risks, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], Vec::new());
    while let Some(here) = open.pop() {
        if here == to {
            return true;
        }
        if seen.contains(&here) {
            continue;
        }
        seen.push(here);
        let after = known.named(here).map(|r| r.scenario.links.after.as_slice());
        open.extend(after.unwrap_or_default().iter().map(String::as_str));
    }
    false
}

fn rated(risk: &Risk, side: Side, rating: &Rating) -> Result<(), Refusal> {
    if side == Side::Inherent {
        return Ok(());
    }
    let Some(inherent) = &risk.inherent else { return Err(Refusal::Unrated(risk.id.clone())) };
    if matches!(rating.basis, Basis::Measured(_)) {
        return Err(Refusal::MeasuredResidual);
    }
    let before = &inherent.said;
    let lower = rating.likelihood < before.likelihood || rating.severity < before.severity;
    if lower && risk.treatments.is_empty() {
        return Err(Refusal::Untreated(risk.id.clone()));
    }
    Ok(())
}

/// A rating whose level is that of the table and whose figures fit together.
fn fits(rating: &Rating) -> Result<(), Refusal> {
    let levels = 1..=LEVEL_MAX;
    if !levels.contains(&rating.likelihood) || !levels.contains(&rating.severity) {
        return Err(Refusal::Rating(format!("levels go from 1 to {LEVEL_MAX}")));
    }
    // The table of an older edition is not at hand.
    let current = rating.scales == scales().edition;
    if current && scales().level(rating.likelihood, rating.severity) != Some(rating.level) {
        return Err(Refusal::Rating("the level is not the one the table gives".to_owned()));
    }
    match &rating.basis {
        Basis::Entered { reason } => words(reason, "reason"),
        Basis::Measured(m) => {
            let own = figures(m) && (!current || banded(rating, m));
            let fault = || Refusal::Rating("the figures behind it do not give it".to_owned());
            own.then_some(()).ok_or_else(fault)
        }
    }
}

fn figures(m: &MeasuredLikelihood) -> bool {
    let [lower, upper] = m.success;
    let [least, most] = m.attempts_per_year;
    let ordered = 0.0 <= lower && lower <= upper && upper <= 1.0 && 0.0 <= least && least <= most;
    ordered && most.is_finite() && m.successes_per_year == [lower * least, upper * most]
}

fn banded(rating: &Rating, m: &MeasuredLikelihood) -> bool {
    let [lower, upper] = m.successes_per_year;
    scales().likelihood_of(upper) == Some(rating.likelihood)
        && scales().likelihood_of(lower) == Some(m.likelihood_lower)
}

fn treat(risk: &Risk, treatment: &Treatment) -> Result<(), Refusal> {
    words(&treatment.what, "treatment")?;
    words(&treatment.owner, "owner")?;
    if !is_id(&treatment.id) {
        return Err(Refusal::Treatment(treatment.id.clone(), "is no id"));
    }
    if risk.treatments.iter().any(|t| t.said.id == treatment.id) {
        return Err(Refusal::Treatment(treatment.id.clone(), "is there already"));
    }
    let higher = [(Order::Design, "design"), (Order::Control, "control")];
    for (step, name) in higher.into_iter().filter(|(step, _)| *step < treatment.order) {
        let said = treatment.not_enough.iter().find(|n| n.step == step);
        if said.is_none_or(|n| words(&n.reason, "reason").is_err()) {
            return Err(Refusal::Order { step: name });
        }
    }
    Ok(())
}

fn waived(risk: &Risk, waived: &Waived) -> Result<(), Refusal> {
    let criterion = || waived.criterion.clone();
    if !risk.scenario.links.criteria.contains(&waived.criterion) {
        return Err(Refusal::Waiver(criterion(), "is not linked to this risk"));
    }
    match waived.state {
        VerdictState::Fail | VerdictState::Inconclusive => Ok(()),
        VerdictState::Pass => Err(Refusal::Waiver(criterion(), "passed: nothing is to accept")),
        VerdictState::Refused | VerdictState::Missing => {
            Err(Refusal::Waiver(criterion(), "has no figure that could be accepted"))
        }
    }
}

/// Whether somebody other than its authors speaks.
///
/// # Errors
/// [`Refusal::SamePerson`] names the author.
pub fn not_an_author(risk: &Risk, by: &Who) -> Result<(), Refusal> {
    match risk.authors().find(|author| author.is(by)) {
        Some(author) => Err(Refusal::SamePerson(author.name.clone())),
        None => Ok(()),
    }
}

fn overall(known: &Risks, covered: &[Covered], by: &Who) -> Result<(), Refusal> {
    if known.risks.is_empty() {
        return Err(Refusal::NoRisks);
    }
    for risk in &known.risks {
        let standing = risk.settled().filter(|_| risk.reopened.is_none());
        let named = covered.iter().any(|c| c.risk == risk.id && Some(c.index) == standing);
        if !named {
            return Err(Refusal::Uncovered(risk.id.clone()));
        }
        not_an_author(risk, by)?;
    }
    Ok(())
}

fn words(text: &str, what: &'static str) -> Result<(), Refusal> {
    let bare = text.trim();
    if bare.is_empty() || !bare.chars().any(char::is_alphanumeric) {
        return Err(Refusal::Words { what, fault: "empty" });
    }
    if bare.chars().count() > WORDS_CHARS_MAX {
        return Err(Refusal::Words { what, fault: "too long" });
    }
    Ok(())
}

fn lasts(until: &str, time: &str) -> Result<(), Refusal> {
    if day::before(time, until) { Ok(()) } else { Err(Refusal::Past(until.to_owned())) }
}

fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !id.is_empty()
        && id.len() <= ID_CHARS_MAX
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.chars().all(plain)
}

/// Five levels are what a person can tell apart.
const LEVEL_MAX: u8 = 5;
/// An id stands in tables and file names.
pub const ID_CHARS_MAX: usize = 80;
/// Longer reasons belong into a paper that the reason names.
pub const WORDS_CHARS_MAX: usize = 4000;
/// More risks than a person can keep in view; bounds the walk over their links.
pub const RISKS_MAX: usize = 1000;
