//! Coverage of duties on small logs: what measures, what only says, what no longer counts.

use proofmark_evidence::entry::EntryKind;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{Authored, Declared};
use proofmark_schema::taxonomy::{ThreatClass, Verb};

use super::*;
use crate::drill::{Counts, DRILL, DrillPredicate, Experiment};
use crate::events;
use crate::fixture::{Desk, FakeRunner, assets, refuse, system as fixture_system};
use crate::predicate::Tool;

const NOW: &str = "2026-11-22T16:00:00Z";

fn of(desk: &Desk, system: &System, assets: &[AssetDigest]) -> Vec<DutyState> {
    coverage(system, assets, Some(&desk.log), &desk.store, NOW).unwrap()
}

fn one(states: &[DutyState], id: &str) -> DutyState {
    states.iter().find(|s| s.id == id).unwrap_or_else(|| panic!("{id}")).clone()
}

/// A text for every duty and a statement on every cell of the matrix.
fn talkative() -> System {
    let mut system = fixture_system();
    for duty in &catalogue().duties {
        system.papers.push(Authored {
            id: duty.id.clone(),
            text: "all is well".into(),
            owner: "quality".into(),
            not_applicable: None,
        });
    }
    for threat in ThreatClass::ALL {
        for verb in Verb::ALL {
            let id = proofmark_schema::duties::cell_id(threat, verb);
            let declared =
                Declared { measure: "all is well".into(), owner: "me".into(), waived: None };
            system.declared.insert(id, declared);
        }
    }
    system
}

fn drill(faults: &[(&str, bool)], assets: Vec<AssetDigest>) -> DrillPredicate {
    let experiment = |(fault, deviated): &(&str, bool)| Experiment {
        fault: (*fault).to_owned(),
        hypothesis: "the backup answers".into(),
        before: Counts::default(),
        during: Counts::default(),
        after: Counts::default(),
        states: vec![],
        gap_ms: None,
        failover_ms: None,
        recovery_ms: None,
        gap_limit_ms: None,
        deviated: *deviated,
        reason: None,
    };
    DrillPredicate {
        id: "drill-1".into(),
        system: "credit".into(),
        version: "1.0.0".into(),
        tool: Tool { name: "proofmark".into(), version: "0.1.0".into() },
        operator: "me".into(),
        started: NOW.into(),
        ended: NOW.into(),
        assets,
        experiments: faults.iter().map(experiment).collect(),
        guard_checkpoint: String::new(),
    }
}

fn log_drill(desk: &mut Desk, said: &DrillPredicate) {
    let clock = || NOW.to_owned();
    events::record(&mut desk.register(&clock), EntryKind::Drill, DRILL, said, &assets()).unwrap();
}

#[test]
fn text_never_measures_anything() {
    let desk = Desk::new();
    for log in [Some(&desk.log), None] {
        let system = talkative();
        let states = coverage(&system, &assets(), log, &desk.store, NOW).unwrap();
        assert_eq!(states.len(), catalogue().duties.len());
        for state in &states {
            let said = matches!(state.state, Coverage::Declared | Coverage::Missing);
            assert!(said, "{}: {:?}", state.id, state.state);
            let parts = state.parts.iter().map(|p| p.state);
            assert!(parts.clone().all(|s| s != Coverage::Measured), "{}", state.id);
        }
        // What only figures or signatures can show stays missing whatever is said.
        for id in ["AIA-9-8", "AIA-15-1", "AIA-15-3", "AIA-13-3-b-ii", "AIA-IV-2g"] {
            assert_eq!(one(&states, id).state, Coverage::Missing, "{id}");
        }
    }
}

#[test]
fn nothing_behind_a_duty_is_missing_and_names_a_next_step() {
    let desk = Desk::new();
    let states = of(&desk, &fixture_system(), &assets());
    let missing = count(&states, Coverage::Missing);
    assert!(missing > 80, "{missing}");
    for state in &states {
        assert!(!state.next.is_empty() && !state.act.is_empty(), "{}", state.id);
        assert!(!state.parts.is_empty(), "{}", state.id);
    }
}

#[test]
fn a_run_measures_and_names_the_statements() {
    let mut desk = Desk::new();
    let mut system = fixture_system();
    let run = desk.assess(&system, &mut FakeRunner::default()).unwrap();
    let states = of(&desk, &system, &assets());
    for id in ["AIA-9-8", "AIA-15-2", "AIA-9-6"] {
        let state = one(&states, id);
        assert_eq!(state.state, Coverage::Measured, "{id}: {:#?}", state.parts);
        for behind in state.parts.iter().flat_map(|p| &p.evidence) {
            assert!(!behind.statements.is_empty(), "{id}");
            assert!(behind.statements.iter().all(|s| s.len() == 64), "{id}");
        }
    }
    let plan = one(&states, "AIA-9-8").parts[0].evidence[0].statements.clone();
    assert_eq!(plan, [run.record.plan.statement.hex()]);
    // One measured part does not carry the others.
    let level = one(&states, "AIA-15-1");
    assert_eq!(level.state, Coverage::Missing);
    assert_eq!(level.parts[0].state, Coverage::Measured);
    assert!(level.parts[2].notes[0].contains("retest_days"), "{:?}", level.parts[2]);
    system.upkeep.retest_days = Some(90);
    let level = one(&of(&desk, &system, &assets()), "AIA-15-1");
    assert_eq!(level.state, Coverage::Declared, "as good as its weakest part");
}

#[test]
fn a_changed_file_makes_figures_stale() {
    let mut desk = Desk::new();
    let system = fixture_system();
    desk.assess(&system, &mut FakeRunner::default()).unwrap();
    let mut changed = assets();
    changed.iter_mut().filter(|a| a.name == "model/mlp").for_each(|a| a.sha256 = "9".repeat(64));
    let states = of(&desk, &system, &changed);
    assert_eq!(count(&states, Coverage::Measured), 0);
    let note = one(&states, "AIA-15-2").parts[0].notes[0].clone();
    assert!(note.contains("stale") && note.contains("model/mlp"), "{note}");
}

#[test]
fn a_refused_figure_measures_nothing() {
    let mut desk = Desk::new();
    let mut runner =
        FakeRunner { change: Some(|m| m.validity.push(refuse())), ..FakeRunner::default() };
    desk.assess(&fixture_system(), &mut runner).unwrap();
    let state = one(&of(&desk, &fixture_system(), &assets()), "AIA-15-2");
    assert_eq!(state.state, Coverage::Missing, "{:#?}", state.parts);
}

#[test]
fn drills_count_when_each_fault_went_as_it_should_on_these_files() {
    let all = [("kill-primary", false), ("hang-primary", false), ("wrong-answers", false)];
    let state = |faults: &[(&str, bool)], of_assets: Vec<AssetDigest>| {
        let mut desk = Desk::new();
        log_drill(&mut desk, &drill(faults, of_assets));
        one(&of(&desk, &fixture_system(), &assets()), "AIA-15-4-b")
    };
    let good = state(&all, assets());
    assert_eq!(good.state, Coverage::Measured);
    assert_eq!(good.parts[0].evidence[0].statements.len(), 1);
    let partly = state(&all[..2], assets());
    assert_eq!(partly.state, Coverage::Missing);
    assert!(partly.parts[0].notes[0].contains("wrong-answers"));
    let deviated = state(&[all[0], ("hang-primary", true), all[2]], assets());
    assert_eq!(deviated.state, Coverage::Missing);
    let mut other = assets();
    other.iter_mut().for_each(|a| a.sha256 = "0".repeat(64));
    assert_eq!(state(&all, other).state, Coverage::Missing, "another model was drilled");
}

#[test]
fn a_person_may_set_a_duty_aside_but_not_what_was_measured() {
    let mut desk = Desk::new();
    let mut system = fixture_system();
    for id in ["AIA-12-3", "AIA-15-2"] {
        system.papers.push(Authored {
            id: id.into(),
            text: String::new(),
            owner: "quality".into(),
            not_applicable: Some("no remote biometrics".into()),
        });
    }
    let states = of(&desk, &system, &assets());
    let waived = one(&states, "AIA-12-3");
    assert_eq!(waived.state, Coverage::Waived);
    assert_eq!(waived.waived.unwrap().by, "quality");
    assert_eq!(one(&states, "AIA-15-2").state, Coverage::Waived);
    desk.assess(&system, &mut FakeRunner::default()).unwrap();
    assert_eq!(one(&of(&desk, &system, &assets()), "AIA-15-2").state, Coverage::Measured);
}

#[test]
fn duties_that_do_not_apply_yet_are_shown_with_their_dates() {
    let desk = Desk::new();
    let states = of(&desk, &fixture_system(), &assets());
    let high_risk = one(&states, "AIA-15-5-e");
    assert!(!high_risk.in_force);
    let from: Vec<&str> = high_risk.applies.iter().map(|a| a.from.as_str()).collect();
    assert_eq!(from, ["2027-12-02", "2028-08-02"]);
    let reporting = one(&states, "AIA-73-2");
    assert!(reporting.in_force, "on one reading it applies");
    assert_eq!(reporting.applies.iter().filter(|a| a.in_force).count(), 1);
    let later =
        coverage(&fixture_system(), &assets(), None, &desk.store, "2027-12-02T00:00:00Z").unwrap();
    assert!(one(&later, "AIA-15-5-e").in_force);
}

#[test]
fn no_kind_of_words_gives_more_than_declared() {
    use EvidenceKind::{Declaration, Incident, Paper, Receipt, Risk, Signature, Text};
    for kind in [Text, Declaration, Risk, Incident, Paper] {
        assert_eq!(kind.at_most(), Coverage::Declared, "{kind:?}");
    }
    for kind in [Receipt, Signature] {
        assert_eq!(kind.at_most(), Coverage::Imported, "{kind:?}");
    }
}
