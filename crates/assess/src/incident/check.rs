//! What facts and deeds must hold to before they are signed.
//!
//! Owns the order of times, the limits of texts and who may do what when. Must never change what
//! it checks. Called by `incident::record` and the command line.

use proofmark_schema::clock::Regime;
use proofmark_schema::incident::{Harm, IncidentFacts};
use proofmark_schema::system::System;

use super::refusal::{DeedError, FactsError};
use super::{
    Actor, Change, Closing, Deed, Incident, IncidentError, Receipt, Release, ReportMade, Update,
    named, next_id,
};
use crate::clock::period::Instant;
use crate::clock::{self, Case, Clock, ClockState};

/// Checks facts as they stand at `now`.
///
/// # Errors
/// [`FactsError`] names the fact at fault.
pub fn check_facts(facts: &IncidentFacts, now: &str) -> Result<(), FactsError> {
    for (name, text) in texts(facts) {
        check_text(name, text)?;
    }
    if facts.what.trim().is_empty() {
        return Err(FactsError::Empty("what"));
    }
    if facts.aware.is_empty() {
        return Err(FactsError::Empty("aware"));
    }
    let lists = [facts.aware.len(), facts.requests.len(), facts.risks.len(), facts.runs.len()];
    if lists.into_iter().any(|n| n > LIST_MAX) {
        return Err(FactsError::Many);
    }
    for state in &facts.member_states {
        if !MEMBER_STATES.contains(&state.as_str()) {
            return Err(FactsError::MemberState(state.chars().take(20).collect()));
        }
    }
    if has_twice(&facts.member_states) || has_twice(&facts.harm) || has_twice(&facts.aware) {
        return Err(FactsError::Twice);
    }
    if facts.death && !facts.harm.contains(&Harm::Health) {
        return Err(FactsError::Contradiction(
            "a death is harm of Art. 3(49)(a); add the harm `health`",
        ));
    }
    if !facts.product && (facts.exploited.is_some() || facts.severe.is_some()) {
        return Err(FactsError::Contradiction(
            "an exploited vulnerability or severe incident is one of a product with digital \
             elements; say that it is one",
        ));
    }
    check_times(facts, now)
}

/// Every time is past, and none comes before what it follows.
fn check_times(facts: &IncidentFacts, now: &str) -> Result<(), FactsError> {
    let now = Instant::parse(now)?;
    let past = |name: &'static str, text: &str| -> Result<Instant, FactsError> {
        let at = Instant::parse(text)?;
        if at > now {
            return Err(FactsError::Future { name, at: at.to_string(), now: now.to_string() });
        }
        Ok(at)
    };
    let maybe = |name, text: &Option<String>| text.as_deref().map(|t| past(name, t)).transpose();
    let occurred = maybe("occurred", &facts.occurred)?;
    let detected = maybe("detected", &facts.detected)?;
    let recovered = maybe("recovered", &facts.recovered)?;
    let since = maybe("causal-link-since", &facts.causal_link_since)?;
    maybe("fix-available", &facts.fix_available)?;
    let mut aware = Vec::new();
    for one in &facts.aware {
        aware.push(past("aware", &one.at)?);
    }
    let first = aware.iter().min().copied();
    in_order("occurred", occurred, "detected", detected)?;
    in_order("occurred", occurred, "aware", first)?;
    in_order("detected", detected, "aware", first)?;
    in_order("occurred", occurred, "recovered", recovered)?;
    in_order("occurred", occurred, "causal-link-since", since)?;
    for (name, known) in [("exploited", &facts.exploited), ("severe", &facts.severe)] {
        if let Some(known) = known {
            check_text(name, &known.evidence)?;
            if known.evidence.trim().is_empty() {
                return Err(FactsError::Empty(name));
            }
            past(name, &known.at)?;
        }
    }
    for request in &facts.requests {
        check_text("requests", &request.by)?;
        let asked = past("requests", &request.at)?;
        in_order(
            "requests",
            Some(asked),
            "the date it names",
            Some(Instant::parse(&request.due)?),
        )?;
    }
    Ok(())
}

fn in_order(
    earlier: &'static str,
    first: Option<Instant>,
    later: &'static str,
    second: Option<Instant>,
) -> Result<(), FactsError> {
    match (first, second) {
        (Some(a), Some(b)) if a > b => {
            Err(FactsError::Order { earlier, a: a.to_string(), later, b: b.to_string() })
        }
        _ => Ok(()),
    }
}

/// Checks a text that a person typed.
///
/// # Errors
/// [`FactsError`] if it is too long or holds characters that play tricks on a reader.
pub fn check_text(name: &'static str, text: &str) -> Result<(), FactsError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(FactsError::Long { name, bytes: text.len() });
    }
    let hostile = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().any(hostile) {
        return Err(FactsError::Control(name));
    }
    Ok(())
}

fn texts(facts: &IncidentFacts) -> Vec<(&'static str, &str)> {
    let mut all = vec![
        ("what", facts.what.as_str()),
        ("found-where", &facts.found_where),
        ("people", &facts.people),
        ("records", &facts.records),
        ("reporter", &facts.reporter),
        ("data-protection", &facts.data_protection),
        ("registration", &facts.registration),
        ("nature", &facts.nature),
        ("impact", &facts.impact),
        ("technique", &facts.technique),
        ("cause", &facts.cause),
        ("measures-taken", &facts.measures_taken),
        ("measures-planned", &facts.measures_planned),
        ("user-measures", &facts.user_measures),
        ("fix", &facts.fix),
        ("sensitivity", &facts.sensitivity),
        ("other-authorities", &facts.other_authorities),
    ];
    all.extend(facts.risks.iter().map(|r| ("risks", r.as_str())));
    all.extend(facts.runs.iter().map(|r| ("runs", r.as_str())));
    all
}

fn has_twice<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().any(|(i, a)| items.iter().skip(i + 1).any(|b| a == b))
}

/// Checks that `deed` may be done now.
pub(super) fn deed(
    known: &[Incident],
    system: &System,
    id: &str,
    by: &Actor,
    deed: &Deed,
    now: &str,
) -> Result<(), IncidentError> {
    check_text("by", &by.name)?;
    if by.name.trim().is_empty() {
        return Err(FactsError::Empty("by").into());
    }
    if let Deed::Open(opening) = deed {
        if id != next_id(known) {
            return Err(DeedError::Id { id: id.to_owned(), next: next_id(known) }.into());
        }
        check_facts(&opening.facts, now)?;
        if opening.facts.is_serious() && opening.freeze.is_none() {
            return Err(DeedError::NoFreeze.into());
        }
        return Ok(opening.rules.check().map_err(clock::ClockError::from)?);
    }
    let incident = named(known, id)?;
    if let Some(closed) = &incident.closed {
        return Err(DeedError::Closed { id: id.to_owned(), at: closed.at.clone() }.into());
    }
    match deed {
        Deed::Open(_) => Ok(()),
        Deed::Update(said) => update(incident, system, by, said, now),
        Deed::Report(said) => report(incident, said, now),
        Deed::Receipt(said) => receipt(incident, said, now),
        Deed::Contain(said) => {
            filled("what", &said.what)?;
            past(&said.at, now)
        }
        Deed::Change(said) => change(incident, system, by, said, now),
        Deed::Waive(said) => {
            answers(system, by)?;
            filled("because", &said.because)?;
            let clocks = incident.clocks(now)?;
            let clock = clocks.iter().find(|c| c.rule == said.clock);
            match clock.map(|c| c.state) {
                None => Err(DeedError::Clock(said.clock.clone()).into()),
                Some(state) if state.is_open() => Ok(()),
                Some(state) => {
                    Err(DeedError::NotOpen { clock: said.clock.clone(), state: state.title() }
                        .into())
                }
            }
        }
        Deed::Release(said) => release(incident, system, by, said),
        Deed::Close(said) => close(incident, system, by, said, now),
    }
}

fn update(
    incident: &Incident,
    system: &System,
    by: &Actor,
    said: &Update,
    now: &str,
) -> Result<(), IncidentError> {
    check_facts(&said.facts, now)?;
    if said.changed.is_empty() {
        return Err(DeedError::NothingNew.into());
    }
    let held = incident.holds() || said.freeze.is_some();
    if said.facts.is_serious() && !incident.facts.is_serious() && !held {
        return Err(DeedError::NoFreeze.into());
    }
    let (filings, waived) = (incident.filings(), incident.waived());
    let case = Case {
        rules: &incident.rules,
        reading: incident.reading,
        facts: &said.facts,
        filings: &filings,
        waived: &waived,
    };
    let later = postponed(&incident.clocks(now)?, &clock::clocks(&case, now)?);
    match &said.because {
        None if later.is_empty() => Ok(()),
        None => Err(DeedError::Postponed(later.join(", ")).into()),
        Some(because) => {
            filled("because", because)?;
            answers(system, by)
        }
    }
}

/// Clocks that end later than before, or that ran and no longer count.
fn postponed(before: &[Clock], after: &[Clock]) -> Vec<String> {
    let end = |c: &Clock| c.due.as_deref().and_then(|d| Instant::parse(d).ok());
    let one = |b: &&Clock| {
        let was = end(b).filter(|_| b.state.is_open() || b.state == ClockState::Replaced);
        let Some(was) = was else { return false };
        let now = after.iter().find(|a| a.rule == b.rule);
        let counts = |a: &&Clock| {
            !matches!(
                a.state,
                ClockState::NotApplicable | ClockState::NotStarted | ClockState::NotYetApplicable
            )
        };
        now.filter(counts).and_then(end).is_none_or(|is| is > was)
    };
    before.iter().filter(one).map(|c| c.rule.clone()).collect()
}

fn report(incident: &Incident, said: &ReportMade, now: &str) -> Result<(), IncidentError> {
    let clocks = incident.clocks(now)?;
    for id in &said.clocks {
        let clock = clocks.iter().find(|c| c.rule == *id);
        let clock = clock.ok_or_else(|| DeedError::Clock(id.clone()))?;
        if matches!(clock.state, ClockState::NotStarted | ClockState::NotApplicable) {
            let why = format!("{}: {}", clock.state.title(), clock.why);
            return Err(DeedError::NothingToReport { clock: id.clone(), why }.into());
        }
        if clock.form != said.form {
            return Err(DeedError::OtherForm { clock: id.clone(), form: clock.form.clone() }.into());
        }
    }
    if said.clocks.is_empty() {
        return Err(DeedError::NoClock.into());
    }
    for id in &said.covers {
        let rule = incident.rules.named(id).ok_or_else(|| DeedError::Clock(id.clone()))?;
        if !rule.told_by.iter().any(|t| said.clocks.contains(t)) {
            return Err(DeedError::CannotTell { clock: id.clone() }.into());
        }
    }
    Ok(())
}

fn receipt(incident: &Incident, said: &Receipt, now: &str) -> Result<(), IncidentError> {
    for (name, text) in
        [("authority", &said.authority), ("channel", &said.channel), ("reference", &said.reference)]
    {
        filled(name, text)?;
    }
    past(&said.at, now)?;
    let report = incident.report(&said.report).ok_or_else(|| {
        let known: Vec<&str> = incident.reports.iter().map(|r| r.said.id.as_str()).collect();
        DeedError::NoReport { id: said.report.clone(), known: known.join(", ") }
    })?;
    let states = &incident.facts.member_states;
    if let Some(state) = said.member_state.as_ref().filter(|s| !states.contains(s)) {
        let known = states.join(", ");
        return Err(DeedError::State { state: state.clone(), known }.into());
    }
    let at = Instant::parse(&said.at).map_err(FactsError::from)?;
    let clocks = incident.clocks(now)?;
    let answered = clocks.iter().filter(|c| report.said.clocks.contains(&c.rule));
    for clock in answered {
        let instant = |t: &Option<String>| t.as_deref().and_then(|t| Instant::parse(t).ok());
        if instant(&clock.started).is_some_and(|s| at < s) {
            return Err(DeedError::BeforeEvent { clock: clock.rule.clone() }.into());
        }
        let rule = incident.rules.named(&clock.rule);
        let asks = rule.is_some_and(|r| r.late_needs_reason);
        let late = instant(&clock.due).is_some_and(|d| at > d);
        let said_why = said.late_because.as_deref().is_some_and(|b| !b.trim().is_empty());
        if asks && late && !said_why {
            return Err(DeedError::LateWithoutReason { clock: clock.rule.clone() }.into());
        }
        let each = rule.is_some_and(|r| r.per_member_state) && !incident.facts.ai_office;
        if each && states.len() > 1 && said.member_state.is_none() {
            return Err(DeedError::WhichState { known: states.join(", ") }.into());
        }
    }
    if let Some(because) = &said.late_because {
        check_text("late-because", because)?;
    }
    let twice = |r: &Receipt| {
        r.report == said.report
            && r.reference == said.reference
            && r.member_state == said.member_state
    };
    if incident.receipts.iter().any(|r| twice(&r.said)) {
        return Err(DeedError::SameReceipt.into());
    }
    Ok(())
}

fn change(
    incident: &Incident,
    system: &System,
    by: &Actor,
    said: &Change,
    now: &str,
) -> Result<(), IncidentError> {
    if !incident.holds() {
        return Err(DeedError::NoHold(incident.id.clone()).into());
    }
    filled("what", &said.what)?;
    if said.notice.trim().is_empty() {
        return Err(DeedError::NoNotice.into());
    }
    check_text("notice", &said.notice)?;
    filled("authority", &said.authority)?;
    answers(system, by)?;
    past(&said.told, now)
}

fn release(
    incident: &Incident,
    system: &System,
    by: &Actor,
    said: &Release,
) -> Result<(), IncidentError> {
    if !incident.holds() {
        return Err(DeedError::NoHold(incident.id.clone()).into());
    }
    match (&said.receipt, &said.because) {
        (Some(id), _) => {
            let receipt = incident.receipts.iter().find(|r| r.said.id == *id);
            let aia = |r: &super::Dated<Receipt>| {
                let report = incident.report(&r.said.report);
                let clocks = report.map(|r| r.said.clocks.as_slice()).unwrap_or_default();
                clocks
                    .iter()
                    .filter_map(|c| incident.rules.named(c))
                    .any(|r| r.regime == Regime::Aia)
            };
            match receipt {
                None => Err(DeedError::NoReceipt(id.clone()).into()),
                Some(receipt) if !aia(receipt) => Err(DeedError::OtherReceipt(id.clone()).into()),
                Some(_) => Ok(()),
            }
        }
        (None, Some(because)) => {
            filled("because", because)?;
            answers(system, by)
        }
        (None, None) => Err(DeedError::WithoutReceipt.into()),
    }
}

fn close(
    incident: &Incident,
    system: &System,
    by: &Actor,
    said: &Closing,
    now: &str,
) -> Result<(), IncidentError> {
    if incident.holds() {
        return Err(DeedError::StillHeld(incident.id.clone()).into());
    }
    let open: Vec<String> = incident.due(now)?.into_iter().map(|c| c.rule).collect();
    if !open.is_empty() {
        return Err(DeedError::ClocksRun(open.join(", ")).into());
    }
    match (&said.retest, &said.because) {
        (Some(retest), _) if !retest.passed => Err(DeedError::Failed(retest.run.clone()).into()),
        (Some(retest), _) if retest.started.as_str() < incident.opened.as_str() => {
            Err(DeedError::OldRun(retest.run.clone()).into())
        }
        (Some(_), _) => Ok(()),
        (None, Some(because)) => {
            filled("because", because)?;
            answers(system, by)
        }
        (None, None) => Err(DeedError::NoRetest.into()),
    }
}

fn filled(name: &'static str, text: &str) -> Result<(), IncidentError> {
    check_text(name, text)?;
    if text.trim().is_empty() {
        return Err(FactsError::Empty(name).into());
    }
    Ok(())
}

fn past(at: &str, now: &str) -> Result<(), IncidentError> {
    let (at, now) = (parse(at)?, parse(now)?);
    if at > now {
        let (at, now) = (at.to_string(), now.to_string());
        return Err(FactsError::Future { name: "at", at, now }.into());
    }
    Ok(())
}

fn parse(text: &str) -> Result<Instant, FactsError> {
    Ok(Instant::parse(text)?)
}

/// Only a person of the declaration may set something aside.
fn answers(system: &System, by: &Actor) -> Result<(), IncidentError> {
    let named = by.person.as_ref().is_some_and(|id| system.people.iter().any(|p| p.id == *id));
    if named {
        return Ok(());
    }
    let known: Vec<&str> = system.people.iter().map(|p| p.id.as_str()).collect();
    Err(DeedError::Nobody { name: by.name.clone(), known: known.join(", ") }.into())
}

/// The Member States of the Union, two letters each; Greece as in EU papers and as in ISO 3166.
pub const MEMBER_STATES: [&str; 28] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "EL", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
/// Some pages of text; longer accounts belong into an attached file.
pub const TEXT_BYTES_MAX: usize = 20_000;
/// More entries of one kind are another case.
pub(super) const LIST_MAX: usize = 64;
