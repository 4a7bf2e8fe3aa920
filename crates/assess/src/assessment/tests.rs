//! The whole flow over a log on disk, with a runner that measures nothing.

use std::cell::Cell;
use std::collections::BTreeSet;

use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::entry::Entry;
use proofmark_schema::system::Bound;

use super::*;
use crate::fixture::{Desk, FakeRunner, assets, system};
use crate::history::history;
use crate::judge::VerdictState;
use crate::plan::plan;

fn planned(system: &System) -> Plan {
    plan(system, &assets(), &|_| Some(3)).unwrap()
}

fn kinds(log: &Log) -> Vec<String> {
    let mut kinds = Vec::new();
    log.for_each_leaf(|_, leaf| {
        kinds.push(Entry::parse(leaf).unwrap().kind.to_string());
        Ok(())
    })
    .unwrap();
    kinds
}

#[test]
fn the_plan_is_logged_before_the_run_and_every_probe_has_a_leaf() {
    let mut desk = Desk::new();
    let plan = planned(&system());
    let mut heard = Vec::new();
    let assessment = desk
        .assess_with(&system(), &plan, &mut FakeRunner::default(), &mut |event| {
            heard.push(format!("{event:?}").split([' ', '(']).next().unwrap().to_owned());
        })
        .unwrap();
    let wanted =
        ["plan", "run-start", "result", "result", "result", "result", "verdict", "run-end"];
    assert_eq!(kinds(&desk.log), wanted);
    assert!(assessment.complete);
    assert_eq!(assessment.exploratory, Vec::<String>::new());
    let states: Vec<_> = assessment.verdicts.iter().map(|v| v.state).collect();
    assert_eq!(states, [VerdictState::Pass, VerdictState::Fail]);
    assert_eq!(heard.first().unwrap(), "PlanRegistered");
    assert_eq!(heard.last().unwrap(), "RunEnded");
    assert_eq!(heard.iter().filter(|e| *e == "ProbeEnded").count(), 4);
}

#[test]
fn every_statement_is_signed_and_names_model_and_data() {
    let mut desk = Desk::new();
    let assessment = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    for result in &assessment.results {
        let bytes = desk.store.open(&result.stored.bundle).unwrap();
        let statement = Bundle::parse(&bytes).unwrap().verify(&desk.key.public()).unwrap();
        let names: Vec<&str> = statement.subject.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["data/test", &model_asset(&result.said.probe.model)]);
    }
}

#[test]
fn an_interrupted_run_resumed_gives_the_statements_of_an_uninterrupted_one() {
    let mut whole = Desk::new();
    let uninterrupted = whole.assess(&system(), &mut FakeRunner::default()).unwrap();
    let mut desk = Desk::new();
    let mut runner = FakeRunner { cancel_at: Some(2), ..FakeRunner::default() };
    let error = desk.assess(&system(), &mut runner).unwrap_err();
    assert!(matches!(error, AssessError::Interrupted { .. }), "{error}");
    let open = history(&desk.log, &desk.store).unwrap();
    assert_eq!((open.len(), open[0].ended.clone(), open[0].results.len()), (1, None, 2));
    let mut second = FakeRunner::default();
    let resumed = desk.assess(&system(), &mut second).unwrap();
    assert_eq!(second.ran, ["mlp/test/evasion/applicant", "trees/test/accuracy"]);
    let digests = |a: &Assessment| -> Vec<String> {
        a.results.iter().map(|r| r.stored.statement.hex()).collect()
    };
    assert_eq!(digests(&resumed), digests(&uninterrupted));
    assert_eq!(resumed.verdict_statement.statement, uninterrupted.verdict_statement.statement);
    assert!(kinds(&desk.log).contains(&"run-resume".to_owned()));
    assert_eq!(resumed.record.resumed.len(), 1);
}

#[test]
fn the_same_plan_again_is_a_new_run_of_the_registered_plan() {
    let mut desk = Desk::new();
    let first = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let second = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    assert_ne!(first.record.run, second.record.run);
    assert_eq!(first.record.plan, second.record.plan);
    assert_eq!(kinds(&desk.log).iter().filter(|k| *k == "plan").count(), 1);
    assert_eq!(second.exploratory, Vec::<String>::new());
    assert_eq!(history(&desk.log, &desk.store).unwrap().len(), 2);
}

#[test]
fn a_threshold_lowered_after_the_figure_was_seen_is_exploratory() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let mut lower = system();
    lower.criteria[1].bound = Bound::AtLeast(0.3);
    let assessment = desk.assess(&lower, &mut FakeRunner::default()).unwrap();
    assert_eq!(assessment.verdicts[1].state, VerdictState::Pass);
    assert!(assessment.verdicts[0].exploratory.is_empty());
    assert!(assessment.verdicts[1].exploratory[0].contains("threshold was changed"));
    assert!(!assessment.exploratory.is_empty());
}

#[test]
fn a_run_stopped_before_its_results_may_have_its_threshold_changed() {
    let mut desk = Desk::new();
    let mut stopped = FakeRunner { cancel_at: Some(0), ..FakeRunner::default() };
    desk.assess(&system(), &mut stopped).unwrap_err();
    let mut lower = system();
    lower.criteria[1].bound = Bound::AtLeast(0.3);
    let second = desk.assess(&lower, &mut FakeRunner::default()).unwrap();
    assert_eq!(second.exploratory, Vec::<String>::new());
    // The first plan, resumed now, comes after the figures were seen under other terms.
    let resumed = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    assert_eq!(resumed.record.run, history(&desk.log, &desk.store).unwrap()[0].run);
    assert!(!resumed.verdicts[1].exploratory.is_empty());
}

#[test]
fn an_unended_run_stays_visible() {
    let mut desk = Desk::new();
    let mut stopped = FakeRunner { cancel_at: Some(1), ..FakeRunner::default() };
    desk.assess(&system(), &mut stopped).unwrap_err();
    let mut other = system();
    other.version = "1.0.1".into();
    desk.assess(&other, &mut FakeRunner::default()).unwrap();
    let runs = history(&desk.log, &desk.store).unwrap();
    let ended: Vec<bool> = runs.iter().map(|r| r.ended.is_some()).collect();
    assert_eq!(ended, [false, true]);
    let error = load(&desk.log, &desk.store, &runs[0].run).unwrap_err();
    assert!(error.to_string().contains("never ended"), "{error}");
    let error = load(&desk.log, &desk.store, "run-x").unwrap_err();
    assert!(error.to_string().contains("no run `run-x`"), "{error}");
}

#[test]
fn a_failing_probe_is_logged_and_the_rest_goes_on() {
    let mut desk = Desk::new();
    let mut runner = FakeRunner { fail: Some("mlp/test/evasion/applicant"), ..Default::default() };
    let assessment = desk.assess(&system(), &mut runner).unwrap();
    assert!(!assessment.complete);
    assert_eq!(assessment.results.len(), 4);
    let verdict = &assessment.verdicts[1];
    assert_eq!(verdict.state, VerdictState::Missing);
    assert!(verdict.reason.contains("row 3 is ragged"), "{}", verdict.reason);
    assert_eq!(verdict.fix, "mend the file");
    assert!(!assessment.record.complete);
    let mut outcomes = BTreeSet::new();
    desk.log
        .for_each_leaf(|_, leaf| {
            let entry = Entry::parse(leaf).unwrap();
            outcomes.extend(entry.extra.get(OUTCOME_KEY).cloned().map(|v| v.to_string()));
            assert!(!String::from_utf8_lossy(leaf).contains("ragged"), "words stay out of the log");
            Ok(())
        })
        .unwrap();
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["\"failed\"", "\"measured\""]);
}

#[test]
fn a_figure_that_cannot_be_signed_fails_its_probe() {
    type Change = fn(&mut Measurement);
    let cases: [(Change, &str); 5] = [
        (|m| m.quantity = exact(f64::NAN), "is not a finite number"),
        (|m| m.subject.model = "other".into(), "another model"),
        (|m| m.seed = 1, "another seed"),
        (|m| m.id = "a\nb".into(), "empty or too long"),
        (|m| m.id = String::new(), "empty or too long"),
    ];
    for (change, wanted) in cases {
        let mut desk = Desk::new();
        let mut runner = FakeRunner { change: Some(change), ..Default::default() };
        let assessment = desk.assess(&system(), &mut runner).unwrap();
        let failure = assessment.results[1].said.failed.as_ref().unwrap();
        assert!(failure.reason.contains(wanted), "{} lacks {wanted}", failure.reason);
    }
}

fn exact(value: f64) -> Quantity {
    Quantity::Exact { value, domain: "rows".into(), arithmetic: "f64".into() }
}

#[test]
fn a_plan_of_another_system_is_refused_before_anything_is_logged() {
    let mut desk = Desk::new();
    let mut other = system();
    other.name = "loans".into();
    let plan = planned(&system());
    let mut runner = FakeRunner::default();
    let error = desk.assess_with(&other, &plan, &mut runner, &mut |_| {}).unwrap_err();
    assert!(matches!(error, AssessError::OtherSystem));
    assert_eq!(desk.log.size(), 0);
}

#[test]
fn artefacts_lie_in_the_store_and_what_was_erased_stays_erased() {
    let mut desk = Desk::new();
    let first = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let artefact = &first.results[2].said.artefacts[1];
    assert!(artefact.personal);
    let digest = artefact.sha256.parse().unwrap();
    assert_eq!(desk.store.open(&digest).unwrap(), b"rows");
    desk.store.erase(&digest, "asked to").unwrap();
    let second = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    assert_eq!(second.results[2].said.artefacts[1].sha256, artefact.sha256);
    assert!(desk.store.open(&digest).is_err());
}

#[test]
fn what_was_loaded_is_what_was_assessed() {
    let mut desk = Desk::new();
    let assessed = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let loaded = load(&desk.log, &desk.store, &assessed.record.run).unwrap();
    assert_eq!(loaded, assessed);
}

#[test]
fn times_come_from_the_clock_that_was_handed_in() {
    let mut desk = Desk::new();
    let ticks = Cell::new(0);
    let clock = || {
        ticks.set(ticks.get() + 1);
        format!("2026-11-22T15:00:{:02}Z", ticks.get())
    };
    let assessment = desk.assess_at(&system(), &mut FakeRunner::default(), &clock).unwrap();
    let record = &assessment.record;
    assert!(record.registered < record.started);
    assert!(record.started < assessment.results[0].said.started);
    assert!(assessment.results[3].said.ended < record.ended.clone().unwrap());
}
