//! Every trap of the reporting clocks, by name, and what holds for all of them.

use proofmark_schema::clock::clock_rules;
use proofmark_schema::incident::{Awareness, Suspicion};
use proptest::prelude::*;

use super::*;

const AWARE: &str = "2026-11-22T15:00:00Z";
const NOW: &str = "2026-11-23T09:00:00Z";

/// A serious incident of a high-risk system in Germany, known to its provider.
fn serious(harm: Harm) -> IncidentFacts {
    IncidentFacts {
        what: "people were refused".into(),
        aware: vec![by(Party::Provider, AWARE)],
        harm: vec![harm],
        member_states: vec!["DE".into()],
        ground: Ground::AnnexIii,
        personal_data: Suspicion::No,
        ..IncidentFacts::default()
    }
}

/// A product with digital elements that someone exploits.
fn exploited() -> IncidentFacts {
    IncidentFacts {
        aware: vec![by(Party::Provider, AWARE)],
        product: true,
        exploited: Some(Known { at: AWARE.into(), evidence: "requests of a known tool".into() }),
        personal_data: Suspicion::No,
        ..IncidentFacts::default()
    }
}

fn severe() -> IncidentFacts {
    let known = Known { at: AWARE.into(), evidence: "weights were read".into() };
    IncidentFacts { exploited: None, severe: Some(known), ..exploited() }
}

fn by(who: Party, at: &str) -> Awareness {
    Awareness { at: at.into(), who }
}

fn filed(receipt: &str, at: &str, clocks: &[&str], covers: &[&str]) -> Filing {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Filing {
        receipt: receipt.into(),
        at: at.into(),
        clocks: owned(clocks),
        covers: owned(covers),
        member_state: None,
    }
}

fn of_state(mut filing: Filing, state: &str) -> Filing {
    filing.member_state = Some(state.into());
    filing
}

fn at(facts: &IncidentFacts, filings: &[Filing], now: &str) -> Vec<Clock> {
    read(facts, filings, now, Reading::Text)
}

fn read(facts: &IncidentFacts, filings: &[Filing], now: &str, reading: Reading) -> Vec<Clock> {
    let case = Case { rules: clock_rules(), reading, facts, filings, waived: &[] };
    clocks(&case, now).unwrap()
}

fn one(clocks: &[Clock], id: &str) -> Clock {
    clocks.iter().find(|c| c.rule == id).unwrap_or_else(|| panic!("{id}")).clone()
}

fn state(facts: &IncidentFacts, id: &str) -> (ClockState, Option<String>) {
    let clock = one(&at(facts, &[], NOW), id);
    (clock.state, clock.due)
}

fn running(due: &str) -> (ClockState, Option<String>) {
    (ClockState::Running, Some(due.to_owned()))
}

#[test]
fn fifteen_days_run_from_awareness_not_from_finding_the_link() {
    let mut facts = serious(Harm::Rights);
    let open = one(&at(&facts, &[], "2026-12-01T00:00:00Z"), "CK-1");
    assert_eq!((open.due.as_deref(), open.at_once), (Some("2026-12-07T15:00:00Z"), false));
    facts.causal_link = CausalLink::Established;
    facts.causal_link_since = Some("2026-11-30T00:00:00Z".into());
    let linked = one(&at(&facts, &[], "2026-12-01T00:00:00Z"), "CK-1");
    assert_eq!((linked.due.as_deref(), linked.at_once), (Some("2026-12-07T15:00:00Z"), true));
}

#[test]
fn two_days_are_not_for_deaths_nor_for_breaches_of_rights() {
    let mut death = serious(Harm::Health);
    death.death = true;
    assert_eq!(state(&death, "CK-2").0, ClockState::NotApplicable);
    assert_eq!(state(&death, "CK-3"), running("2026-12-02T15:00:00Z"));
    assert_eq!(state(&death, "CK-1").0, ClockState::Replaced);
    let rights = serious(Harm::Rights);
    assert_eq!(state(&rights, "CK-2").0, ClockState::NotApplicable);
    assert_eq!(state(&rights, "CK-1"), running("2026-12-07T15:00:00Z"));
}

#[test]
fn two_days_are_for_infrastructure_and_widespread_infringement() {
    let infrastructure = serious(Harm::Infrastructure);
    let mut widespread = serious(Harm::Rights);
    widespread.widespread = true;
    for facts in [infrastructure, widespread] {
        assert_eq!(state(&facts, "CK-2"), running("2026-11-24T15:00:00Z"));
        assert_eq!(state(&facts, "CK-1").0, ClockState::Replaced);
        assert_eq!(state(&facts, "CK-3").0, ClockState::NotApplicable, "no ten days");
    }
}

#[test]
fn a_death_in_infrastructure_keeps_the_shorter_clock_beside_the_longer() {
    let mut facts = serious(Harm::Infrastructure);
    facts.harm.push(Harm::Health);
    facts.death = true;
    assert_eq!(state(&facts, "CK-2"), running("2026-11-24T15:00:00Z"));
    assert_eq!(state(&facts, "CK-3"), running("2026-12-02T15:00:00Z"));
}

#[test]
fn the_earliest_awareness_wins_also_when_it_is_the_deployers() {
    let mut facts = serious(Harm::Property);
    facts.aware.push(by(Party::Deployer, "2026-11-20T08:00:00Z"));
    let clock = one(&at(&facts, &[], NOW), "CK-1");
    assert_eq!(clock.due.as_deref(), Some("2026-12-05T08:00:00Z"));
    assert_eq!(clock.why, "the deployer became aware");
    facts.aware.push(by(Party::Deployer, "2026-11-21T08:00:00Z"));
    assert_eq!(one(&at(&facts, &[], NOW), "CK-1").due.as_deref(), Some("2026-12-05T08:00:00Z"));
}

#[test]
fn a_suspicion_of_the_causal_link_is_enough() {
    let mut facts = serious(Harm::Health);
    facts.death = true;
    for (link, at_once) in [(CausalLink::Open, false), (CausalLink::Likely, true)] {
        facts.causal_link = link;
        let clock = one(&at(&facts, &[], NOW), "CK-3");
        // The outer bound runs in either case: not knowing is no reason to wait.
        assert_eq!((clock.state, clock.at_once), (ClockState::Running, at_once));
    }
}

#[test]
fn a_lab_finding_alone_starts_no_clock_of_the_cra() {
    let lab = IncidentFacts {
        found_by: Some(proofmark_schema::incident::Finder::Lab),
        exploited: None,
        ..exploited()
    };
    for id in ["CK-4-v", "CK-5-v", "CK-4-i", "CK-5-i"] {
        assert_eq!(state(&lab, id), (ClockState::NotStarted, None), "{id}");
    }
    let words = one(&at(&lab, &[], NOW), "CK-4-v").why;
    assert!(words.contains("lab"), "{words}");
    assert_eq!(state(&exploited(), "CK-4-v"), running("2026-11-23T15:00:00Z"));
    assert_eq!(state(&exploited(), "CK-5-v"), running("2026-11-25T15:00:00Z"));
}

#[test]
fn the_deployers_awareness_starts_no_clock_of_the_cra() {
    let mut facts = exploited();
    facts.aware = vec![by(Party::Deployer, "2026-11-20T08:00:00Z")];
    facts.exploited = Some(Known { at: AWARE.into(), evidence: "logs".into() });
    assert_eq!(state(&facts, "CK-4-v"), running("2026-11-23T15:00:00Z"));
}

#[test]
fn the_notice_of_seventy_two_hours_falls_away_when_all_was_told() {
    let early = filed("q1", "2026-11-23T08:00:00Z", &["CK-4-v"], &["CK-5-v"]);
    let told = at(&exploited(), &[early], NOW);
    assert_eq!(one(&told, "CK-4-v").state, ClockState::Met);
    let notice = one(&told, "CK-5-v");
    assert_eq!((notice.state, notice.receipts.as_slice()), (ClockState::Told, &["q1".into()][..]));
    let partly = filed("q1", "2026-11-23T08:00:00Z", &["CK-4-v"], &[]);
    assert_eq!(one(&at(&exploited(), &[partly], NOW), "CK-5-v").state, ClockState::Running);
    // A report on something else tells nothing of it, whatever it claims.
    let other = filed("q1", "2026-11-23T08:00:00Z", &["CK-13"], &["CK-5-v"]);
    assert_eq!(one(&at(&exploited(), &[other], NOW), "CK-5-v").state, ClockState::Running);
}

#[test]
fn fourteen_days_run_from_the_fix_not_from_awareness() {
    let mut facts = exploited();
    assert_eq!(state(&facts, "CK-6"), (ClockState::NotStarted, None));
    facts.fix_available = Some("2027-02-10T12:00:00Z".into());
    let notices = [
        filed("q1", "2026-11-23T08:00:00Z", &["CK-4-v"], &[]),
        filed("q2", "2026-11-25T08:00:00Z", &["CK-5-v"], &[]),
    ];
    let clock = one(&at(&facts, &notices, "2027-02-11T00:00:00Z"), "CK-6");
    assert_eq!(clock.due.as_deref(), Some("2027-02-24T12:00:00Z"));
}

#[test]
fn one_month_runs_from_the_filing_of_the_notice() {
    let facts = severe();
    let early = filed("q1", "2026-11-23T08:00:00Z", &["CK-4-i"], &[]);
    let before = one(&at(&facts, std::slice::from_ref(&early), NOW), "CK-7");
    assert_eq!((before.state, before.due), (ClockState::NotStarted, None));
    let notice = filed("q2", "2027-01-31T08:00:00Z", &["CK-5-i"], &[]);
    let after = at(&facts, &[early, notice], "2027-02-01T00:00:00Z");
    assert_eq!(one(&after, "CK-7").due.as_deref(), Some("2027-02-28T08:00:00Z"));
    assert_eq!(one(&after, "CK-5-i").state, ClockState::MetLate);
    let full = filed("q1", "2026-11-23T08:00:00Z", &["CK-4-i"], &["CK-5-i"]);
    let told = one(&at(&facts, &[full], NOW), "CK-7");
    assert_eq!(told.due.as_deref(), Some("2026-12-23T08:00:00Z"), "the warning was the notice");
}

#[test]
fn an_interim_report_is_due_when_the_csirt_says() {
    let mut facts = severe();
    assert_eq!(state(&facts, "CK-8").0, ClockState::NotStarted);
    let request =
        |at: &str, due: &str| Request { at: at.into(), due: due.into(), by: "CERT".into() };
    facts.requests.push(request("2026-11-22T20:00:00Z", "2026-11-30T00:00:00Z"));
    assert_eq!(state(&facts, "CK-8"), running("2026-11-30T00:00:00Z"));
    facts.requests.push(request("2026-11-25T20:00:00Z", "2026-12-05T00:00:00Z"));
    let answer = filed("q1", "2026-11-24T00:00:00Z", &["CK-8"], &[]);
    let clock = one(&at(&facts, &[answer], "2026-11-26T00:00:00Z"), "CK-8");
    assert_eq!(clock.due.as_deref(), Some("2026-12-05T00:00:00Z"), "the second request is open");
}

#[test]
fn personal_data_have_seventy_two_hours_from_the_controllers_awareness() {
    let mut facts = serious(Harm::Rights);
    facts.personal_data = Suspicion::Yes;
    facts.aware.push(by(Party::Deployer, "2026-11-20T08:00:00Z"));
    for (controller, due) in [
        (Controller::Provider, "2026-11-25T15:00:00Z"),
        (Controller::Deployer, "2026-11-23T08:00:00Z"),
        (Controller::Open, "2026-11-23T08:00:00Z"),
    ] {
        facts.controller = controller;
        let due = (Some(due.to_owned()), one(&at(&facts, &[], AWARE), "CK-13").due);
        assert_eq!(due.0, due.1, "{controller:?}");
    }
    facts.aware.pop();
    facts.controller = Controller::Deployer;
    let clock = one(&at(&facts, &[], NOW), "CK-13");
    assert_eq!(clock.state, ClockState::NotStarted);
    assert!(clock.why.contains("processor"), "{}", clock.why);
}

#[test]
fn open_personal_data_show_the_limit_without_running() {
    let mut facts = serious(Harm::Rights);
    facts.personal_data = Suspicion::Open;
    let clock = one(&at(&facts, &[], NOW), "CK-13");
    assert_eq!(clock.state, ClockState::NotStarted);
    assert_eq!(clock.due.as_deref(), Some("2026-11-25T15:00:00Z"));
}

#[test]
fn the_date_of_the_event_decides_whether_the_law_applied() {
    let mut facts = serious(Harm::Rights);
    facts.aware = vec![by(Party::Provider, "2026-08-01T23:59:59Z")];
    let before = one(&at(&facts, &[], NOW), "CK-1");
    assert_eq!(before.state, ClockState::NotYetApplicable);
    assert!(before.due.is_some(), "it is shown, never dropped");
    assert!(before.why.contains("2026-08-02"), "{}", before.why);
    facts.aware = vec![by(Party::Provider, "2026-08-02T00:00:00Z")];
    assert_ne!(one(&at(&facts, &[], NOW), "CK-1").state, ClockState::NotYetApplicable);
    let mut product = exploited();
    product.exploited = Some(Known { at: "2026-09-10T12:00:00Z".into(), evidence: "x".into() });
    assert_eq!(state(&product, "CK-4-v").0, ClockState::NotYetApplicable);
}

#[test]
fn both_readings_of_the_calendar_are_told_and_the_one_in_use_is_named() {
    let facts = serious(Harm::Rights);
    let text = one(&at(&facts, &[], NOW), "CK-1");
    assert_eq!((text.state, text.reading), (ClockState::Running, Reading::Text));
    let says: Vec<_> =
        text.readings.iter().map(|r| (r.reading, r.from.as_str(), r.in_force)).collect();
    let both =
        [(Reading::Text, "2026-08-02", true), (Reading::Classification, "2027-12-02", false)];
    assert_eq!(says, both);
    let other = one(&read(&facts, &[], NOW, Reading::Classification), "CK-1");
    assert_eq!(other.state, ClockState::NotYetApplicable);
    assert_eq!(other.due, text.due, "what it would be stays visible");
    let mut product = serious(Harm::Rights);
    product.ground = Ground::AnnexI;
    let later = one(&read(&product, &[], NOW, Reading::Classification), "CK-1");
    assert_eq!(later.readings[1].from, "2028-08-02");
}

#[test]
fn every_rule_is_shown_whatever_the_facts() {
    for facts in [IncidentFacts::default(), serious(Harm::Health), exploited(), severe()] {
        let shown = at(&facts, &[], NOW);
        let ids: Vec<&str> = shown.iter().map(|c| c.rule.as_str()).collect();
        let rules: Vec<&str> = clock_rules().rules.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, rules);
        assert!(shown.iter().all(|c| !c.why.is_empty()), "{shown:#?}");
    }
}

#[test]
fn each_member_state_has_an_authority_of_its_own() {
    let mut facts = serious(Harm::Rights);
    let somebody = filed("q1", "2026-11-23T08:00:00Z", &["CK-1"], &[]);
    let only = one(&at(&facts, std::slice::from_ref(&somebody), NOW), "CK-1");
    assert_eq!(only.state, ClockState::Met, "with one state it is clear whose receipt it is");
    facts.member_states = vec!["DE".into(), "FR".into()];
    let whose = one(&at(&facts, &[somebody], NOW), "CK-1");
    assert_eq!(whose.outstanding, ["DE", "FR"], "with two it must be said");
    let german = of_state(filed("q1", "2026-11-23T08:00:00Z", &["CK-1"], &[]), "DE");
    let half = one(&at(&facts, std::slice::from_ref(&german), NOW), "CK-1");
    assert_eq!((half.state, half.outstanding), (ClockState::Running, vec!["FR".to_owned()]));
    let french = of_state(filed("q2", "2026-12-30T08:00:00Z", &["CK-1"], &[]), "FR");
    let whole = one(&at(&facts, &[german.clone(), french], "2027-01-01T00:00:00Z"), "CK-1");
    assert_eq!(whole.state, ClockState::MetLate, "the last authority counts");
    facts.ai_office = true;
    assert_eq!(one(&at(&facts, &[german], NOW), "CK-1").state, ClockState::Met);
}

#[test]
fn systems_that_are_not_high_risk_and_equivalent_law_narrow_the_act() {
    let mut facts = serious(Harm::Health);
    facts.death = true;
    facts.equivalent_reporting = true;
    for id in ["CK-1", "CK-2", "CK-3"] {
        assert_eq!(state(&facts, id).0, ClockState::NotApplicable, "{id}");
    }
    facts.harm.push(Harm::Rights);
    assert_eq!(state(&facts, "CK-1"), running("2026-12-07T15:00:00Z"), "rights stay");
    facts.equivalent_reporting = false;
    facts.ground = Ground::None;
    assert_eq!(state(&facts, "CK-3").0, ClockState::NotApplicable);
    facts.ground = Ground::Open;
    assert_eq!(state(&facts, "CK-3").0, ClockState::Running, "not classified counts as high-risk");
}

#[test]
fn only_a_receipt_stops_a_clock_and_time_does_not() {
    let facts = serious(Harm::Rights);
    let end = "2026-12-07T15:00:00Z";
    assert_eq!(one(&at(&facts, &[], end), "CK-1").state, ClockState::Running, "the end is in");
    let late = one(&at(&facts, &[], "2026-12-07T15:00:01Z"), "CK-1");
    assert_eq!((late.state, late.seconds_left), (ClockState::Late, Some(-1)));
    let own = |at: &str| of_state(filed("q1", at, &["CK-1"], &[]), "DE");
    let far = "2027-06-01T00:00:00Z";
    for (at_, state) in [(end, ClockState::Met), ("2026-12-07T15:00:01Z", ClockState::MetLate)] {
        assert_eq!(one(&at(&facts, &[own(at_)], far), "CK-1").state, state);
    }
    // A receipt from before the event is for something else; one from later is not there yet.
    let early = own("2026-11-22T14:59:59Z");
    assert_eq!(one(&at(&facts, &[early], NOW), "CK-1").state, ClockState::Running);
    let later = own("2026-11-24T00:00:00Z");
    assert_eq!(one(&at(&facts, &[later], NOW), "CK-1").state, ClockState::Running);
}

#[test]
fn a_decision_not_to_report_is_shown_as_one() {
    let facts = serious(Harm::Rights);
    let waived = [Waived { clock: "CK-1".into(), because: "a test".into(), by: "Kim".into() }];
    let case = Case {
        rules: clock_rules(),
        reading: Reading::Text,
        facts: &facts,
        filings: &[],
        waived: &waived,
    };
    let clock = one(&clocks(&case, NOW).unwrap(), "CK-1");
    assert_eq!(clock.state, ClockState::Waived);
    assert!(clock.why.contains("Kim") && clock.why.contains("a test"), "{}", clock.why);
    assert!(due(&case, NOW).unwrap().is_empty());
}

#[test]
fn the_most_urgent_clock_comes_first() {
    let mut facts = exploited();
    facts.harm = vec![Harm::Health];
    facts.personal_data = Suspicion::Yes;
    let case = Case {
        rules: clock_rules(),
        reading: Reading::Text,
        facts: &facts,
        filings: &[],
        waived: &[],
    };
    let ids: Vec<String> = due(&case, NOW).unwrap().into_iter().map(|c| c.rule).collect();
    assert_eq!(ids, ["CK-4-v", "CK-5-v", "CK-13", "CK-1"]);
}

#[test]
fn rules_in_a_circle_are_refused_by_the_engine_too() {
    let mut rules = clock_rules().clone();
    for rule in &mut rules.rules {
        if rule.id == "CK-5-i" {
            rule.start = Start::Filed { clock: "CK-7".into() };
        }
    }
    let facts = severe();
    let case =
        Case { rules: &rules, reading: Reading::Text, facts: &facts, filings: &[], waived: &[] };
    assert!(matches!(clocks(&case, NOW), Err(ClockError::Rules(RulesError::Circle(_)))));
}

proptest! {
    /// A report never makes another clock end earlier than it did, and never reopens one; more
    /// awareness never postpones a clock.
    #[test]
    fn earlier_awareness_never_postpones(first in 0i64..2_000_000, second in 0i64..2_000_000) {
        let start = Instant::parse("2026-09-15T00:00:00Z").unwrap();
        let later = |seconds: i64| {
            let hours = u32::try_from(seconds / 3600).unwrap();
            let limit = proofmark_schema::clock::Limit::Hours(hours.max(1));
            start.after(limit).unwrap().unwrap().to_string()
        };
        let now = "2027-06-01T00:00:00Z";
        let mut facts = serious(Harm::Health);
        facts.aware = vec![by(Party::Provider, &later(first))];
        let alone = one(&at(&facts, &[], now), "CK-1").due.unwrap();
        facts.aware.push(by(Party::Deployer, &later(second)));
        let both = one(&at(&facts, &[], now), "CK-1").due.unwrap();
        prop_assert!(both <= alone);
        facts.aware.reverse();
        prop_assert_eq!(one(&at(&facts, &[], now), "CK-1").due.unwrap(), both);
    }

    /// Whatever is filed, a clock that no filing names keeps its state.
    #[test]
    fn a_receipt_stops_only_the_clocks_it_names(
        named in proptest::sample::subsequence(vec!["CK-4-v", "CK-5-v", "CK-6", "CK-13"], 0..4),
        hours in 1u32..200,
    ) {
        let mut facts = exploited();
        facts.personal_data = Suspicion::Yes;
        facts.fix_available = Some("2026-11-22T16:00:00Z".into());
        let now = "2026-12-20T00:00:00Z";
        let limit = proofmark_schema::clock::Limit::Hours(hours);
        let filed_at = Instant::parse(AWARE).unwrap().after(limit).unwrap().unwrap().to_string();
        let before = at(&facts, &[], now);
        let after = at(&facts, &[filed("q", &filed_at, &named, &[])], now);
        for (b, a) in before.iter().zip(&after) {
            if named.contains(&b.rule.as_str()) {
                let stopped = matches!(a.state, ClockState::Met | ClockState::MetLate);
                // A filing from before the fix is no final report.
                prop_assert!(stopped || a.state == b.state);
            } else {
                prop_assert_eq!(b.state, a.state, "{}", b.rule);
            }
        }
    }
}
