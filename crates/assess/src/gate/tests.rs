//! Every reason that closes the gate, and that nothing else does.

use proofmark_schema::measurement::Validity;
use proofmark_schema::system::Bound;

use super::*;
use crate::fixture::refuse;
use crate::standing::room::{Room, START, THREAT};

fn codes(room: &Room) -> Vec<String> {
    let mut codes: Vec<String> = room.gate().reasons.into_iter().map(|r| r.code).collect();
    codes.dedup();
    codes
}

#[test]
fn a_settled_room_opens_the_gate_and_the_decision_can_be_signed() {
    let mut room = Room::settled(0.6);
    let decision = room.gate();
    assert!(decision.open, "{:#?}", decision.reasons);
    let overview = room.overview();
    let (system, assets, now) = (room.system.clone(), room.assets.clone(), room.now.clone());
    let clock = || START.to_owned();
    let mut register = room.desk.register(&clock);
    let present = Present { system: &system, assets: &assets, now: &now };
    record(&mut register, &present, &overview, &decision, "1.0").unwrap();
    let said = decisions(&room.desk.log, &room.desk.store).unwrap();
    assert_eq!(said.len(), 1);
    assert!(said[0].said.open && said[0].said.risks.len() == 8);
    assert_eq!(said[0].said.release, "1.0");
}

#[test]
fn an_empty_log_is_closed_for_every_reason_that_there_is() {
    let codes = codes(&Room::new());
    for wanted in [
        "no-assessment",
        "row-without-scenario",
        "threat-without-scenario",
        "misuse-without-scenario",
        "overall-missing",
    ] {
        assert!(codes.contains(&wanted.to_owned()), "{wanted} is not in {codes:?}");
    }
}

#[test]
fn one_changed_weight_closes_it_and_only_a_new_run_and_new_words_open_it() {
    let mut room = Room::settled(0.6);
    room.change("model/mlp");
    let reasons = room.gate().reasons;
    assert_eq!(reasons[0].code, "asset-changed");
    assert_eq!(reasons[0].about, "model/mlp");
    assert_eq!(reasons[0].next, "proofmark assess");
    room.assess(0.6);
    assert!(codes(&room).contains(&"asset-changed".to_owned()), "accepted for another model");
    let ids: Vec<String> = room.overview().risks.iter().map(|r| r.risk.id.clone()).collect();
    for id in ids {
        match id.starts_with("row-") {
            true => room.exclude(&id).unwrap(),
            false => room.accept(&id, &[]).unwrap(),
        };
    }
    assert_eq!(codes(&room), ["overall-outdated"]);
    room.overall().unwrap();
    assert!(room.gate().open);
}

#[test]
fn time_terms_and_unended_runs_close_it() {
    type Change = fn(&mut Room);
    let cases: [(&str, Change, &[&str]); 6] = [
        ("expired run", |r| r.now = "2027-02-20T15:00:01Z".into(), &["run-expired"]),
        ("last second", |r| r.now = "2027-02-20T15:00:00Z".into(), &[]),
        ("no period", |r| r.system.upkeep.retest_days = None, &["no-retest-period"]),
        ("a threshold", |r| r.system.criteria[0].confidence = 0.9, &["terms-changed"]),
        ("a version", |r| r.system.version = "2.0.0".into(), &["version"]),
        (
            "vulnerable groups",
            |r| r.system.harms[0].vulnerable = None,
            &["declared-otherwise", "overall-outdated", "vulnerable-unsaid"],
        ),
    ];
    for (name, change, wanted) in cases {
        let mut room = Room::settled(0.6);
        change(&mut room);
        let mut found = codes(&room);
        found.sort();
        found.dedup();
        assert_eq!(found, wanted, "{name}");
    }
    let mut room = Room::settled(0.6);
    room.extra = Box::new(|world| {
        let mut later = world.runs[0].clone();
        (later.run, later.ended) = ("run-99".into(), None);
        later.start_index += 1000;
        world.runs.push(later);
        world.holds.push(("inc-1".into(), START.into()));
    });
    assert_eq!(codes(&room), ["hold", "run-unended"]);
}

#[test]
fn criteria_that_are_not_reached_close_it_unless_a_person_took_them_as_they_stand() {
    let mut room = Room::new();
    room.system.criteria[1].bound = Bound::AtLeast(0.6);
    room.assess(0.6);
    room.seed();
    room.rate_measured(THREAT);
    room.accept(THREAT, &["c2"]).unwrap();
    let decision = room.gate();
    let by = WaivedBy { criterion: "c2".into(), risk: THREAT.into() };
    assert_eq!(decision.waived, [by]);
    assert!(!decision.reasons.iter().any(|r| r.code == "criterion-unmet"));
    // The acceptance is open again: what it took as it stands no longer counts.
    room.now = "2027-07-01T00:00:00Z".into();
    let decision = room.gate();
    assert!(decision.waived.is_empty());
    let unmet = decision.reasons.iter().find(|r| r.code == "criterion-unmet").unwrap();
    assert!(unmet.next.contains("--waive c2"), "{unmet:?}");
}

#[test]
fn a_run_that_is_not_whole_or_not_promised_closes_it() {
    type Change = fn(&mut Assessment);
    let cases: [(&str, Change); 6] = [
        ("run-incomplete", |a| a.complete = false),
        ("exploratory", |a| a.exploratory = vec!["the seed was changed".into()]),
        ("no-criteria", |a| a.verdicts.clear()),
        ("check-refused", |a| {
            a.results[0].said.validity.push(Validity { ..refuse() });
        }),
        ("criterion-unmet", |a| a.verdicts[0].state = VerdictState::Refused),
        ("criterion-unmet", |a| a.verdicts[0].state = VerdictState::Missing),
    ];
    for (wanted, change) in cases {
        let mut room = Room::settled(0.6);
        room.extra = Box::new(move |world| change(world.last.as_mut().unwrap()));
        let found = codes(&room);
        assert!(found.contains(&wanted.to_owned()), "{wanted}: {found:?}");
        let decision = room.gate();
        assert!(!decision.open && decision.reasons.iter().all(|r| !r.next.is_empty()));
    }
}
