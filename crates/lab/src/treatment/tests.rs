//! Composed targets against hand-made models whose truth is known.

use std::sync::{Arc, Mutex};

use proofmark_schema::attack::Outcome;
use proofmark_schema::system::{Access, Norm, OutputKind};

use super::*;
use crate::criterion::Criterion;
use crate::decision::{Decision, Rule};
use crate::evasion::suite::{STANDARD, Suite, attack};
use crate::harness::{self, Case, Done, RowRecord};
use crate::oracle::{Loss, Oracle};
use crate::space::Deployed;
use crate::toys::{Toy, case, ctx, linear, mlp, rows, space, steps};

const NAMES: [&str; 2] = ["a", "b"];

fn names(order: [usize; 2]) -> Vec<String> {
    order.iter().map(|&i| NAMES[i].to_string()).collect()
}

fn member<'a>(toy: &'a Toy, coordinates: &'a [String]) -> Member<'a> {
    Member { oracle: toy, decision: toy.decision, coordinates }
}

fn attacked(case: &Case<'_>, suite: &Suite, eps: f64) -> Vec<RowRecord> {
    let all: Vec<usize> = (0..case.oracle.rows()).collect();
    harness::run(case, suite, &[eps], &all, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

fn search() -> Suite {
    Suite::of("search", 1, vec![attack("coordinate", STANDARD).unwrap()])
}

#[test]
fn the_wanted_class_needs_both_and_margins_never_belie_the_decision() {
    let data = rows(200, 2, -1.0, 1.0, false);
    let own = names([0, 1]);
    let rules =
        [Rule::Argmax, Rule::Cutoff { class: 1, at: 0.3 }, Rule::Cutoff { class: 0, at: 0.6 }];
    for rule in rules {
        let first = linear(data.clone(), &[1.0, 0.4], 0.1).decided_by(rule);
        let second = steps(data.clone(), &[(0, 0.2, 2.0), (1, -0.3, 1.0)], -1.4).decided_by(rule);
        for to in 0..2 {
            let rule = VoteRule::Conservative { to };
            let vote = Vote::new(member(&first, &own), member(&second, &own), rule).unwrap();
            let decision = vote.decision();
            let mut seen = [0, 0];
            for row in 0..data.len() {
                let x = vote.clean(row).to_vec();
                let scores = vote.scores(&[row], &x).unwrap();
                let decided = decision.decide(&scores).unwrap();
                let each = [&first, &second]
                    .map(|t| t.decision.decide(&t.scores(&[row], &x).unwrap()).unwrap());
                assert_eq!(decided == to, each == [to, to], "row {row}");
                assert_eq!(decision.margin(&scores, 1 - to) < 0.0, decided == to);
                seen[decided] += 1;
            }
            assert!(seen.iter().all(|&n| n > 10), "both classes occur: {seen:?}");
        }
    }
}

#[test]
fn of_many_classes_the_wanted_one_needs_both_and_agreement_gives_nothing_where_they_differ() {
    let data = rows(150, 2, -2.0, 2.0, false);
    let own = names([0, 1]);
    let (first, second) = (mlp(data.clone(), 8, 4, 2.0), mlp(data.clone(), 6, 4, 3.0));
    let to = 2;
    let ballot = |rule| Vote::new(member(&first, &own), member(&second, &own), rule).unwrap();
    let (careful, agreed) = (ballot(VoteRule::Conservative { to }), ballot(VoteRule::Agreement));
    let mut differ = 0;
    for row in 0..data.len() {
        let x = careful.clean(row).to_vec();
        let [a, b] =
            [&first, &second].map(|t| t.decision.decide(&t.scores(&[row], &x).unwrap()).unwrap());
        let of = |vote: &Vote<'_>| vote.decision().decide(&vote.scores(&[row], &x).unwrap());
        assert_eq!(of(&careful), Some(if a == to { b } else { a }), "row {row}");
        assert_eq!(of(&agreed), (a == b).then_some(a), "row {row}");
        differ += u32::from(a != b);
    }
    assert!(differ > 10);
}

#[test]
fn a_vote_maps_coordinates_by_name_and_refuses_what_does_not_fit() {
    let data: Vec<Vec<f32>> = rows(20, 2, -1.0, 1.0, false);
    let swapped: Vec<Vec<f32>> = data.iter().map(|r| vec![r[1], r[0]]).collect();
    let (own, other) = (names([0, 1]), names([1, 0]));
    let first = linear(data.clone(), &[1.0, 0.0], 0.0);
    // The same function of (a, b), reading b first.
    let second = linear(swapped.clone(), &[0.0, 1.0], 0.0);
    let rule = VoteRule::Conservative { to: 0 };
    let vote = Vote::new(member(&first, &own), member(&second, &other), rule).unwrap();
    let x = [0.25_f32, -0.75];
    let scores = vote.scores(&[3], &x).unwrap();
    assert_eq!(vote.decision().decide(&scores), Some(1));
    let slope = vote.loss_grad(&[3], &x, &[1], Loss::Margin).unwrap();
    assert!(slope.grad[0] != 0.0 && slope.grad[1] == 0.0, "{:?}", slope.grad);

    let strange = vec!["a".to_string(), "c".to_string()];
    let fault = Vote::new(member(&first, &own), member(&second, &strange), rule).err();
    assert_eq!(fault, Some(VoteError::Coordinate("b".into())));
    let doubled = linear(data.iter().map(|r| vec![r[0], 2.0 * r[1]]).collect(), &[1.0, 0.0], 0.0);
    let fault = Vote::new(member(&first, &own), member(&doubled, &own), rule).err();
    assert_eq!(fault, Some(VoteError::Unit("b".into())));
    let fewer = linear(rows(19, 2, -1.0, 1.0, false), &[1.0, 0.0], 0.0);
    let fault = Vote::new(member(&first, &own), member(&fewer, &own), rule).err();
    assert_eq!(fault, Some(VoteError::Shape));
}

#[test]
fn an_attack_on_a_vote_breaks_exactly_the_rows_where_both_can_be_turned() {
    // Both fall along coordinate a: at -0.1 the first, at -0.3 the second. The truth is exact.
    let data: Vec<Vec<f32>> = (0..60).map(|i| vec![-0.5 + i as f32 / 40.0, 0.0]).collect();
    let own = names([0, 1]);
    let first = linear(data.clone(), &[1.0, 0.0], 0.1);
    let second = steps(data.clone(), &[(0, -0.3, 2.0)], -1.0);
    let rule = VoteRule::Conservative { to: 0 };
    let vote = Vote::new(member(&first, &own), member(&second, &own), rule).unwrap();
    let space = space(2, -1.0, 1.0, Deployed::Real);
    let labels = vec![1; data.len()];
    let eps = 0.25;
    let case = Case {
        oracle: &vote,
        decision: vote.decision(),
        criterion: Criterion::Goal { from: 1, to: 0 },
        ..case(&first, &space, &labels, Norm::Linf)
    };
    for record in attacked(&case, &search(), eps) {
        let a = f64::from(data[record.point.index as usize][0]);
        if (a - eps + 0.3).abs() < 1e-5 {
            continue; // On the step itself rounding decides.
        }
        let wanted = if a < -0.3 {
            Outcome::Wrong
        } else if a - eps < -0.3 {
            Outcome::Broken
        } else {
            Outcome::Survived
        };
        assert_eq!(record.point.outcome, wanted, "a = {a}");
    }
}

#[test]
fn what_the_schema_refuses_gets_no_decision_and_breaks_nothing() {
    let data: Vec<Vec<f32>> = (0..40).map(|i| vec![i as f32 / 20.0 - 1.0, 0.0]).collect();
    let toy = linear(data.clone(), &[1.0, 0.0], 0.0);
    let limits = [
        Limits { lower: -0.5, upper: 0.9, missing: false },
        Limits { lower: -1.0, upper: 1.0, missing: true },
    ];
    let mut admitted = vec![true; 40];
    admitted[35] = false;
    let limited = Limited::new(&toy, &admitted, &limits);
    let decide = |row: usize, x: &[f32]| toy.decision.decide(&limited.scores(&[row], x).unwrap());
    for (name, row, x, decided) in [
        ("inside", 30, [0.5, 0.0], true),
        ("on the edge", 30, [-0.5, 0.0], true),
        ("below", 30, [-0.51, 0.0], false),
        ("above", 30, [0.95, 0.0], false),
        ("missing where none was seen", 30, [f32::NAN, 0.0], false),
        ("the fixed part refused", 35, [0.5, 0.0], false),
    ] {
        assert_eq!(decide(row, &x).is_some(), decided, "{name}");
    }
    // A success of the attacker beyond the limits is none; the narrowed space does not go there.
    let labels = toy.labels(0);
    let wide = space(2, -1.0, 1.0, Deployed::Real);
    let narrow = wide.within(&[(-0.5, 0.9), (-1.0, 1.0)]).unwrap();
    assert_eq!(narrow.unit(0), wide.unit(0), "the budget means the same");
    let case = Case { oracle: &limited, ..case(&toy, &narrow, &labels, Norm::Linf) };
    for record in attacked(&case, &search(), 0.3) {
        let row = record.point.index as usize;
        let inside = admitted[row] && (-0.5..=0.9).contains(&data[row][0]);
        assert_eq!(record.point.outcome == Outcome::Wrong, !inside, "row {row}");
        if let Some(x) = &record.witness {
            assert!(limited.admits(row, x), "row {row}: {x:?}");
        }
    }
    assert!(wide.within(&[(2.0, 3.0), (-1.0, 1.0)]).is_err(), "limits outside of the box");
}

#[test]
fn a_rounded_release_keeps_every_decision_and_hides_the_rest() {
    let data = rows(300, 2, -1.0, 1.0, false);
    for rule in
        [Rule::Argmax, Rule::Cutoff { class: 1, at: 0.22 }, Rule::Cutoff { class: 0, at: 0.5 }]
    {
        let decision = Decision { kind: OutputKind::Probability, rule };
        let toy = probabilities(data.clone());
        let rounded = Rounded::new(&toy, decision, 1);
        let mut values = std::collections::BTreeSet::new();
        for (row, x) in data.iter().enumerate() {
            let exact = toy.scores(&[row], x).unwrap();
            let seen = rounded.scores(&[row], x).unwrap();
            assert_eq!(decision.decide(&seen), decision.decide(&exact), "row {row} {exact:?}");
            values.insert(seen[1].to_bits());
        }
        // Eleven values of one decimal, and the edge of the decision from either side.
        assert!(values.len() <= 13 + EDGES, "{} values are released", values.len());
    }
    for (value, decimals, wanted) in [(0.125, 2, 0.13), (-0.125, 2, -0.13), (0.2, 0, 0.0)] {
        assert_eq!(round(value, decimals), wanted);
    }
    assert_eq!(round(f64::INFINITY, 2), f64::INFINITY);
}

/// Held scores stop where a bisection stops, which may differ by rows in the last bits.
const EDGES: usize = 12;

fn probabilities(data: Vec<Vec<f32>>) -> Toy {
    let logits: crate::toys::Logits = Box::new(|x| {
        let p = 0.5 + 0.3 * x[0] + 0.1 * x[1];
        (vec![1.0 - p, p], vec![vec![-0.3, -0.1], vec![0.3, 0.1]])
    });
    Toy::new(data, 2, logits)
}

#[test]
fn stored_witnesses_are_tried_first_and_the_harness_alone_accepts_them() {
    let data = rows(50, 2, -1.0, 1.0, false);
    let weak = linear(data.clone(), &[1.0, 0.2], 0.0);
    let labels = weak.labels(0);
    let space = space(2, -1.0, 1.0, Deployed::Real);
    let against = case(&weak, &space, &labels, Norm::Linf);
    let found = attacked(&against, &search(), 0.4);
    let mut starts = Starts::default();
    starts.add(&found);
    starts.add(&found);
    let broken = found.iter().filter(|r| r.witness.is_some()).count();
    assert!(broken > 5 && starts.len() == broken, "points are held once");
    let only = Suite::of("transfer", 1, vec![Box::new(Transfer::new(starts.clone()))]);
    let again = attacked(&against, &only, 0.4);
    let count = |r: &[RowRecord]| r.iter().filter(|r| r.point.outcome == Outcome::Broken).count();
    assert_eq!(count(&again), count(&found), "the same target falls to its own witnesses");
    assert!(again.iter().all(|r| r.point.found_by.as_deref().is_none_or(|by| by == "transfer")));
    // A target that none of them turns stays whole, and a smaller budget pulls them in.
    let firm = linear(data, &[1e-3, 0.0], 5.0);
    let all_one = vec![1; 50];
    let case = case(&firm, &space, &all_one, Norm::Linf);
    assert_eq!(count(&attacked(&case, &only, 0.4)), 0);
}

#[test]
fn pressing_ends_at_the_worst_corner_of_a_linear_model() {
    let data = rows(30, 2, -0.5, 0.5, false);
    let toy = linear(data.clone(), &[1.0, -2.0], 0.0);
    let labels = toy.labels(0);
    let space = space(2, -1.0, 1.0, Deployed::Real);
    let found = Arc::new(Mutex::new(Pressed::new()));
    let press = Press::new(toy.decision, Arc::clone(&found));
    let suite = Suite::of("press", 1, vec![Box::new(press)]);
    let eps = 0.2;
    let case = case(&toy, &space, &labels, Norm::Linf);
    let records = attacked(&case, &suite, eps);
    let found = found.lock().unwrap();
    assert_eq!(found.len(), 30, "every attackable row is pressed");
    for record in &records {
        let row = record.point.index as usize;
        let toward = if labels[row] == 1 { -1.0 } else { 1.0 };
        let corner =
            [f64::from(data[row][0]) + toward * eps, f64::from(data[row][1]) - toward * eps];
        for (x, wanted) in found[&row].iter().zip(corner) {
            assert!((f64::from(*x) - wanted).abs() < 1e-6, "row {row}: {x} against {wanted}");
        }
        let z = corner[0] - 2.0 * corner[1];
        assert_eq!(record.witness.is_some(), (z > 0.0) != (labels[row] == 1), "row {row}");
    }
    // It sees scores, so it does not run where only decisions are given.
    let blind = Case { access: Access::Decision, ..case };
    assert!(blind.admits(suite.attacks()[0].as_ref()).is_err());
}

#[test]
fn rows_are_compared_with_themselves_only() {
    let data = rows(80, 2, -1.0, 1.0, false);
    let (old, new) = (linear(data.clone(), &[1.0, 0.6], 0.0), linear(data, &[1.0, 0.0], 0.0));
    let labels = old.labels(7);
    let space = space(2, -1.0, 1.0, Deployed::Real);
    let criterion = Criterion::Goal { from: 1, to: 0 };
    let outcomes = |toy: &Toy| {
        let case = Case { criterion, ..case(toy, &space, &labels, Norm::Linf) };
        let clean = harness::Clean::ask(toy, &toy.decision).unwrap();
        Outcomes { clean, records: attacked(&case, &search(), 0.2) }
    };
    let (with, without) = (outcomes(&new), outcomes(&old));
    for (figure, n) in [
        (Figure::Accuracy, 80),
        (Figure::RobustAccuracy { eps: 0.2 }, 80),
        (Figure::RobustRecall { eps: 0.2 }, labels.iter().filter(|&&l| l == 1).count() as u64),
    ] {
        let paired = compare(&with, &without, figure, &labels, criterion);
        assert_eq!(paired.n(), n, "{figure:?}");
        let good = |o: &Outcomes| {
            (0..80).filter(|&r| o.good(figure, r, &labels, criterion) == Some(true)).count() as u64
        };
        assert_eq!(paired.both + paired.first, good(&with), "{figure:?}");
        assert_eq!(paired.both + paired.second, good(&without), "{figure:?}");
        let same = compare(&with, &with, figure, &labels, criterion);
        assert_eq!((same.first, same.second), (0, 0));
    }
}
