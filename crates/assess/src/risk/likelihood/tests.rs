//! Likelihoods computed by hand.

use proofmark_schema::measurement::{CheckState, Quantity, Validity};
use proofmark_schema::system::ModelRole;

use super::*;
use crate::standing::room::Room;

fn room(recall: f64) -> Room {
    let mut room = Room::new();
    room.assess(recall);
    room
}

fn of(room: &Room) -> Result<(u8, MeasuredLikelihood), Unmeasured> {
    measured(&room.system, room.world().last.as_ref().unwrap(), "applicant")
}

#[test]
fn expected_successes_are_interval_times_range() {
    // The fixture gives an interval of two points each way.
    // recall 0.6: success 0.38 to 0.42; times 10 to 100 attempts: 3.8 to 42 a year.
    // recall 0.98: success 0 to 0.04; 0 to 4 a year. recall 0.5, 100 to 1000: 48 to 520.
    let cases = [
        (0.6, [10.0, 100.0], [3.8, 42.0], 3, 4),
        (0.98, [10.0, 100.0], [0.0, 4.0], 1, 3),
        (0.5, [100.0, 1000.0], [48.0, 520.0], 4, 5),
        (0.5, [0.0, 0.1], [0.0, 0.052], 1, 1),
        (0.9, [2.0, 5.0], [0.16, 0.6], 2, 2),
    ];
    for (recall, attempts, wanted, lower, upper) in cases {
        let mut room = room(recall);
        room.system.threats[0].attempts_per_year = Some(attempts);
        let (level, found) = of(&room).unwrap();
        for (is, want) in found.successes_per_year.iter().zip(wanted) {
            assert!((is - want).abs() < 1e-9, "{recall}: {is} {want}");
        }
        assert_eq!((found.likelihood_lower, level), (lower, upper), "{recall} {attempts:?}");
        assert_eq!(found.metric, "robust_recall");
        assert_eq!(found.confidence, 0.95);
    }
}

#[test]
fn the_budget_is_that_of_the_criteria_else_the_largest() {
    let mut room = room(0.6);
    assert_eq!(of(&room).unwrap().1.eps, Some(0.05), "criterion c2 names it");
    room.system.criteria[1].eps = Some(0.02);
    assert_eq!(of(&room).unwrap().1.eps, Some(0.02));
    room.system.criteria.truncate(1);
    assert_eq!(of(&room).unwrap().1.eps, Some(0.05), "the largest of the threat");
}

#[test]
fn without_a_goal_the_rows_decided_rightly_count() {
    let mut room = Room::new();
    room.system.threats[0].goal = None;
    room.assess(0.6);
    let (_, found) = of(&room).unwrap();
    assert_eq!(found.metric, "attack_success");
    // attack_success 1 - 0.4 / 0.765 at eps 0.05, two points each way.
    let [lower, upper] = found.success;
    let value = 1.0 - 0.4 / 0.765;
    assert!((lower - (value - 0.02)).abs() < 1e-12 && (upper - (value + 0.02)).abs() < 1e-12);
}

#[test]
fn the_worst_model_in_use_counts_and_a_missing_figure_is_said() {
    let mut room = room(0.6);
    room.system.threats[0].models = Vec::new();
    assert_eq!(of(&room).unwrap().1.model, "mlp", "a candidate is not in use");
    room.system.models[1].role = ModelRole::Backup;
    let error = of(&room).unwrap_err();
    assert_eq!(error, Unmeasured::Figure("applicant".into(), "trees".into()));
}

#[test]
fn no_figure_no_exposure_and_weak_attacks_are_said() {
    let mut room = room(0.6);
    let check = |state, name: &str| Validity {
        check: name.into(),
        state,
        reason: "because".into(),
        fix: "mend it".into(),
    };
    let mut world = room.world();
    let last = world.last.as_mut().unwrap();
    for record in &mut last.results {
        record.said.validity.push(check(CheckState::Warn, "gate-07-gradients"));
    }
    let weak = measured(&room.system, last, "applicant").unwrap_err();
    assert!(matches!(weak, Unmeasured::Weak { at_least: 4, .. }), "{weak:?}");
    for record in &mut last.results {
        record.said.validity.push(check(CheckState::Refuse, "gate-11-unconstrained"));
    }
    let refused = measured(&room.system, last, "applicant").unwrap_err();
    assert!(matches!(refused, Unmeasured::Refused { .. }), "{refused:?}");
    room.system.threats[0].attempts_per_year = None;
    assert_eq!(of(&room).unwrap_err(), Unmeasured::Exposure("applicant".into()));
    let last = room.world().last.unwrap();
    let unknown = measured(&room.system, &last, "nobody").unwrap_err();
    assert_eq!(unknown, Unmeasured::Threat("nobody".into()));
}

#[test]
fn an_exact_figure_has_no_interval_and_does_not_count() {
    let room = room(0.6);
    let mut world = room.world();
    let last = world.last.as_mut().unwrap();
    let figures = last.results.iter_mut().flat_map(|r| &mut r.said.measurements);
    for figure in figures.filter(|m| m.metric == "robust_recall") {
        figure.quantity =
            Quantity::Exact { value: 0.6, domain: "rows".into(), arithmetic: "f64".into() };
    }
    assert!(matches!(
        measured(&room.system, last, "applicant").unwrap_err(),
        Unmeasured::Figure(..)
    ));
}
