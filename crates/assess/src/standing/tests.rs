//! What re-opens an accepted risk, and what does not.

use proofmark_schema::risk::Basis;
use proofmark_schema::system::HarmClass;

use super::room::{EXPIRES, Room, THREAT, entered};
use super::*;
use crate::judge::VerdictState;
use crate::risk::{Act, Side};

fn codes(room: &Room, risk: &str) -> Vec<String> {
    let overview = room.overview();
    overview.named(risk).unwrap().reasons.iter().map(|r| r.code.clone()).collect()
}

fn state(room: &Room, risk: &str) -> RiskState {
    room.overview().named(risk).unwrap().state
}

#[test]
fn a_settled_room_is_settled_and_the_overall_acceptance_holds() {
    let room = Room::settled(0.6);
    let overview = room.overview();
    assert_eq!(overview.count(RiskState::Accepted), 2);
    assert_eq!(overview.count(RiskState::Excluded), 6);
    assert!(overview.missing.is_empty() && overview.void.is_empty());
    assert!(overview.overall.holds, "{:?}", overview.overall);
    let run = overview.run.unwrap();
    assert!(run.is_current());
    assert_eq!(run.expires.as_deref(), Some("2027-02-20T15:00:00Z"));
}

#[test]
fn a_better_run_lowers_the_residual_and_leaves_the_inherent_risk() {
    let mut room = Room::settled(0.6);
    let before = room.overview().named(THREAT).unwrap().clone();
    assert_eq!(before.residual.rating.as_ref().unwrap().likelihood, 4);
    room.change("model/mlp");
    room.assess(0.98);
    let after = room.overview().named(THREAT).unwrap().clone();
    let residual = after.residual.rating.unwrap();
    // success 0 to 0.04, times 10 to 100: at most 4 a year.
    assert_eq!(residual.likelihood, 3);
    let Basis::Measured(figures) = &residual.basis else { panic!("not measured") };
    assert_eq!(figures.run, room.overview().run.unwrap().run);
    assert_eq!(after.risk.inherent, before.risk.inherent);
    // The model that was accepted is another one: a person looks again.
    assert_eq!(codes(&room, THREAT), ["asset-changed"]);
    room.accept(THREAT, &[]).unwrap();
    assert_eq!(state(&room, THREAT), RiskState::Accepted);
}

#[test]
fn a_worse_run_of_the_same_files_opens_the_risk_again() {
    let mut room = Room::settled(0.98);
    room.assess(0.3);
    assert_eq!(codes(&room, THREAT), ["residual-rose"]);
    assert_eq!(codes(&room, "misuse-hiring"), [""; 0]);
}

#[test]
fn changed_files_open_exactly_what_they_touch() {
    let mut room = Room::settled(0.6);
    room.change("model/mlp");
    let open: Vec<String> = room
        .overview()
        .risks
        .iter()
        .filter(|r| r.state == RiskState::Reopened)
        .map(|r| r.risk.id.clone())
        .collect();
    // `row-data-poisoning` is about data; every other one about models or the whole system.
    assert_eq!(
        open,
        [
            THREAT,
            "row-model-poisoning",
            "row-confidentiality",
            "row-model-flaws",
            "row-errors-and-faults",
            "row-ict-underneath",
            "misuse-hiring"
        ]
    );
    let standing = room.overview().named(THREAT).unwrap().clone();
    assert_eq!(standing.residual.rating, None, "figures of another model say nothing");
    assert!(codes(&room, THREAT).contains(&"residual-unknown".to_owned()));

    let mut room = Room::settled(0.6);
    room.change("model/trees");
    assert_eq!(state(&room, "row-data-poisoning"), RiskState::Excluded);
    assert_eq!(state(&room, "row-model-flaws"), RiskState::Reopened);
}

#[test]
fn time_opens_what_was_accepted_until_then() {
    let mut room = Room::settled(0.6);
    room.now = "2027-06-30T23:59:59Z".into();
    // The last second of the last day still holds; reviews were due long before.
    assert!(!codes(&room, THREAT).contains(&"expired".to_owned()));
    assert!(codes(&room, THREAT).contains(&"review-due".to_owned()));
    room.now = "2027-07-01T00:00:00Z".into();
    assert!(codes(&room, THREAT).contains(&"expired".to_owned()));
    assert!(codes(&room, "row-data-poisoning").contains(&"expired".to_owned()));
    let overall = room.overview().overall;
    assert_eq!(overall.reasons[0].code, "overall-expired");
}

#[test]
fn a_review_moves_the_next_one_and_replaces_no_acceptance() {
    let mut room = Room::settled(0.6);
    let due = |room: &Room| room.overview().named(THREAT).unwrap().review_due.clone().unwrap();
    assert_eq!(due(&room), "2027-05-21T15:00:00Z", "180 days after the acceptance");
    let next = "2027-06-01T23:59:59Z";
    let act = Act::Review { reason: "nothing new".into(), next: next.into() };
    room.say_as("owner", THREAT, act).unwrap();
    assert_eq!(due(&room), next);
    let reopen = Act::Reopen { reason: "a hint from outside".into() };
    room.say_as("owner", THREAT, reopen).unwrap();
    let act = Act::Review { reason: "nothing new".into(), next: next.into() };
    room.say_as("owner", THREAT, act).unwrap();
    assert_eq!(codes(&room, THREAT), ["reopened"]);
    room.accept(THREAT, &[]).unwrap();
    assert_eq!(codes(&room, THREAT), [""; 0]);
}

#[test]
fn what_is_said_or_declared_otherwise_afterwards_opens_it() {
    let mut room = Room::settled(0.6);
    room.rate("misuse-hiring", Side::Inherent, 3).unwrap();
    assert_eq!(codes(&room, "misuse-hiring"), ["changed-since", "residual-rose"]);

    let mut room = Room::settled(0.6);
    room.system.harms[0].severity = 5;
    room.system.harms[0].class = HarmClass::Health;
    assert_eq!(codes(&room, THREAT), ["declared-otherwise"]);

    let mut room = Room::settled(0.6);
    room.system.threats[0].attempts_per_year = Some([1000.0, 10_000.0]);
    assert_eq!(codes(&room, THREAT), ["residual-rose", "terms-changed"]);

    let mut room = Room::settled(0.6);
    room.system.misuse[0].what = "used for firing".into();
    assert_eq!(codes(&room, "misuse-hiring"), ["declared-otherwise"]);

    // Words that a person may better without asking anyone again.
    let mut room = Room::settled(0.6);
    room.system.purpose = "said better".into();
    room.system.threats[0].attempts_reason = Some("counted twice".into());
    room.system.threats[0].actor = Some("an applicant".into());
    assert_eq!(codes(&room, THREAT), [""; 0]);
}

#[test]
fn the_guard_and_open_incidents_open_what_they_touch() {
    let trigger = |kind, time: &str, open| Trigger {
        time: time.into(),
        kind,
        what: "it happened".into(),
        next: "proofmark guard status".into(),
        rows: Vec::new(),
        risks: Vec::new(),
        everything: false,
        open,
    };
    let (before, after) = ("2026-11-22T14:00:00Z", "2026-11-22T16:00:00Z");
    let cases = [
        ("fell after it was accepted", TriggerKind::Guard, after, false, true),
        ("fell before", TriggerKind::Guard, before, false, false),
        ("fell before and still is", TriggerKind::Guard, before, true, true),
        ("incident opened after, closed", TriggerKind::Incident, after, false, true),
        ("incident closed before", TriggerKind::Incident, before, false, false),
        ("incident still open", TriggerKind::Incident, before, true, true),
    ];
    for (name, kind, time, open, wanted) in cases {
        let mut room = Room::settled(0.6);
        let mut trigger = trigger(kind, time, open);
        trigger.rows = vec![ThreatClass::ErrorsAndFaults];
        trigger.risks = vec!["misuse-hiring".into()];
        room.extra = Box::new(move |world| world.triggers.push(trigger.clone()));
        for risk in ["row-errors-and-faults", "misuse-hiring"] {
            assert_eq!(!codes(&room, risk).is_empty(), wanted, "{name}: {risk}");
        }
        assert_eq!(codes(&room, THREAT), [""; 0], "{name} touches it");
    }
    let mut room = Room::settled(0.6);
    let mut any = trigger(TriggerKind::Incident, after, true);
    any.everything = true;
    room.extra = Box::new(move |world| world.triggers.extend([any.clone(), any.clone()]));
    assert_eq!(room.overview().count(RiskState::Reopened), 8);
    let what = room.overview().named(THREAT).unwrap().reasons[0].what.clone();
    assert!(what.contains("and 1 more"), "{what}");
}

#[test]
fn a_criterion_that_is_not_reached_is_accepted_only_by_name_and_only_while_it_is_no_worse() {
    let mut room = Room::new();
    room.system.criteria[1].bound = Bound::AtLeast(0.6);
    room.assess(0.6);
    room.seed();
    room.rate_measured(THREAT);
    room.accept(THREAT, &[]).unwrap();
    assert_eq!(codes(&room, THREAT), ["criterion-unmet"], "nobody named it");
    room.accept(THREAT, &["c2"]).unwrap();
    assert_eq!(codes(&room, THREAT), [""; 0]);
    let mut worse = room.world();
    let verdict = &mut worse.last.as_mut().unwrap().verdicts[1];
    assert_eq!(verdict.state, VerdictState::Fail);
    verdict.lower = verdict.lower.map(|l| l - 0.001);
    let standing = overview(&worse, &room.present());
    assert_eq!(standing.named(THREAT).unwrap().reasons[0].code, "criterion-unmet");
    for state in [VerdictState::Refused, VerdictState::Missing] {
        let mut refused = room.world();
        refused.last.as_mut().unwrap().verdicts[1].state = state;
        let standing = overview(&refused, &room.present());
        assert_eq!(standing.named(THREAT).unwrap().reasons[0].code, "criterion-unmet");
    }
}

#[test]
fn a_person_may_say_that_it_is_worse_than_measured_and_never_that_it_is_better() {
    let mut room = Room::settled(0.6);
    let treat = Act::Treat {
        treatment: crate::risk::Treatment {
            id: "t".into(),
            order: crate::treatment::Order::Design,
            what: "something".into(),
            measure: Some("vote".into()),
            cells: vec![],
            owner: "owner".into(),
            not_enough: vec![],
        },
    };
    room.say_as("owner", THREAT, treat).unwrap();
    for (said, wanted) in [(1, 4), (5, 5)] {
        let rating = entered(said, 3);
        let act = Act::Rate { side: Side::Residual, rating, harm: None, reason: "r".into() };
        room.say_as("owner", THREAT, act).unwrap();
        let overview = room.overview();
        let residual = overview.named(THREAT).unwrap().residual.rating.clone().unwrap();
        assert_eq!(residual.likelihood, wanted, "said {said}");
    }
    let overview = room.overview();
    assert!(overview.named(THREAT).unwrap().treatments[0].measured.is_none());
}

#[test]
fn what_the_register_lacks_is_named() {
    let mut room = Room::new();
    room.system.misuse.clear();
    let missing = |room: &Room| -> Vec<String> {
        room.overview().missing.iter().map(|m| m.code.clone()).collect()
    };
    assert_eq!(missing(&room).len(), 9, "seven rows, a threat, no misuse");
    room.seed();
    assert_eq!(missing(&room), ["no-misuse"]);
    room.system.upkeep.no_misuse = Some("nobody could".into());
    assert!(missing(&room).is_empty());
}

#[test]
fn an_overall_acceptance_covers_what_was_settled_then() {
    let mut room = Room::settled(0.6);
    room.accept("misuse-hiring", &[]).unwrap();
    let overall = room.overview().overall;
    assert_eq!(overall.reasons.len(), 1);
    assert_eq!(overall.reasons[0].code, "overall-outdated");
    assert!(overall.reasons[0].what.contains("misuse-hiring"));
    room.overall().unwrap();
    assert!(room.overview().overall.holds);
    assert_eq!(room.overview().overall.expires.as_deref(), Some(EXPIRES));
}

use proofmark_schema::system::Bound;
