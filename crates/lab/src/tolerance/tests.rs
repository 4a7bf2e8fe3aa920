//! Linear models, of which the exact answer is known: within a budget `eps` the answer of
//! `w.x` moves by at most `eps * sum |w|`.

use std::sync::Arc;

use proofmark_schema::measurement::CheckState;
use proofmark_schema::system::{Access, Norm};

use super::*;
use crate::evasion::suite::Suite;
use crate::space::Deployed;
use crate::toys::{self, Manner, Toy};
use crate::validity::{self, Trial};

const W: [f64; 3] = [2.0, -1.0, 0.5];

/// `100 + w.x` on rows far from the edges of the box.
fn linear() -> Toy {
    let data = toys::rows(40, 3, -1.0, 1.0, false);
    let logits: toys::Logits = Box::new(|x| {
        let value = 100.0 + x.iter().zip(&W).map(|(x, w)| x * w).sum::<f64>();
        (vec![value], vec![W.to_vec()])
    });
    Toy::new(data, 1, logits).decided_by(Rule::Value)
}

fn clean(toy: &Toy) -> Clean {
    Clean::ask(toy, &toy.decision).unwrap()
}

/// Labels off by 1 from the answers, every fifth by 50.
fn targets(clean: &Clean) -> Vec<f64> {
    let answer = |row: usize| f64::from(clean.scores(row)[0]);
    (0..clean.rows()).map(|r| answer(r) + if r % 5 == 4 { 50.0 } else { 1.0 }).collect()
}

fn tolerance(size: f64, relative: bool, from: Reference) -> Tolerance {
    Tolerance { size, relative, from }
}

/// Rows broken at each budget, by the quick suite.
fn broken(
    toy: &Toy,
    tolerance: Tolerance,
    direction: Direction,
    access: Access,
    eps: &[f64],
) -> (Vec<usize>, Vec<RowRecord>) {
    let answers = clean(toy);
    let bands = Arc::new(Bands::new(&answers, &targets(&answers), tolerance, direction));
    let view = Banded::new(toy, bands, &answers);
    let space = toys::space(3, -10.0, 10.0, Deployed::Real);
    let labels = vec![WITHIN; view.rows()];
    let case = Case {
        oracle: &view,
        decision: Bands::decision(),
        access,
        ..toys::case(toy, &space, &labels, Norm::Linf)
    };
    let suite = Suite::named("quick", &case, Some(20)).unwrap();
    let rows: Vec<usize> = (0..view.rows()).collect();
    let ctx = toys::ctx();
    let records = harness::run(&case, &suite, eps, &rows, &Done::new(), &ctx, &mut |_| {}).unwrap();
    let count = |e: &f64| records.iter().filter(|r| r.attacked() && !r.robust_at(*e)).count();
    (eps.iter().map(count).collect(), records)
}

#[test]
fn rows_fall_exactly_where_the_linear_model_says() {
    use Direction::{Down, Either, Up};
    use Reference::{Answer, Label};
    // 32 of 40 rows are right. The reach at 1.0 is 3.5, at 2.0 it is 7.
    let absolute = |size| tolerance(size, false, Answer);
    let cases = [
        ("out of reach at the first", absolute(5.0), Either, vec![0, 32]),
        ("within reach at both", absolute(3.0), Either, vec![32, 32]),
        ("up", absolute(5.0), Up, vec![0, 32]),
        ("down", absolute(5.0), Down, vec![0, 32]),
        ("never", absolute(7.5), Either, vec![0, 0]),
        // The answers lie 1 below their labels: 4 more down and 6 more up leave a band of 5.
        ("label, down", tolerance(5.0, false, Label), Down, vec![0, 32]),
        ("label, up, in reach at 7 only", tolerance(5.5, false, Label), Up, vec![0, 32]),
        ("label, up, out of reach", tolerance(6.5, false, Label), Up, vec![0, 0]),
        ("label, down, at once", tolerance(4.0, false, Label), Down, vec![32, 32]),
    ];
    let toy = linear();
    for (name, tolerance, direction, wanted) in cases {
        let (got, records) = broken(&toy, tolerance, direction, Access::WhiteBox, &[1.0, 2.0]);
        assert_eq!(got, wanted, "{name}");
        // Whatever was found is a witness: the answer there is beyond.
        let wrong = records.iter().filter(|r| !r.attacked()).count();
        assert_eq!(wrong, 8, "{name}: rows off by 50 are not attacked");
    }
}

#[test]
fn decisions_alone_and_models_without_gradients_are_attacked_too() {
    let absolute = tolerance(5.0, false, Reference::Answer);
    for access in [Access::Score, Access::Decision] {
        let (got, _) = broken(&linear(), absolute, Direction::Either, access, &[4.0]);
        assert!(got[0] >= 28, "{access:?}: {got:?}");
    }
    let blind = linear().manner(Manner::Blind);
    let (got, _) = broken(&blind, absolute, Direction::Up, Access::WhiteBox, &[2.0]);
    assert!(got[0] >= 28, "{got:?}");
}

#[test]
fn a_relative_tolerance_is_a_share_of_the_reference() {
    // About 100, so a share of 0.05 is about 5.
    let relative = tolerance(0.05, true, Reference::Answer);
    let (got, _) = broken(&linear(), relative, Direction::Either, Access::WhiteBox, &[1.0, 2.0]);
    assert_eq!(got, [0, 32]);
    let zero = Clean::from_scores(
        vec![0.0, 2.0],
        1,
        &Decision { kind: OutputKind::Value, rule: Rule::Value },
    );
    let bands = Bands::new(&zero, &[0.0, 2.0], relative, Direction::Either);
    assert_eq!(bands.without_room(), 1);
}

#[test]
fn the_largest_shift_found_is_a_lower_bound_that_a_linear_model_reaches() {
    let toy = linear();
    let answers = clean(&toy);
    let spec = tolerance(3.0, false, Reference::Answer);
    let bands = Arc::new(Bands::new(&answers, &targets(&answers), spec, Direction::Up));
    let view = Banded::new(&toy, bands, &answers);
    let space = toys::space(3, -10.0, 10.0, Deployed::Real);
    let labels = vec![WITHIN; view.rows()];
    let case = Case {
        oracle: &view,
        decision: Bands::decision(),
        ..toys::case(&toy, &space, &labels, Norm::Linf)
    };
    let suite = Suite::named("quick", &case, Some(20)).unwrap();
    let (_, mut records) = broken(&toy, spec, Direction::Up, Access::WhiteBox, &[1.0, 2.0]);
    let ctx = toys::ctx();
    let shifts = shifts(&case, &view, &suite, &[1.0, 2.0], &records, &ctx).unwrap();
    assert_eq!(shifts.rows.len(), 32);
    for (found, reach) in shifts.found.iter().zip([3.5, 7.0]) {
        for &shift in found {
            // Rounding of f32 answers near 100 is about 8e-6.
            assert!(shift <= reach + 1e-4 && shift >= 0.999 * reach, "{shift} of {reach}");
        }
    }
    shifts.note(&mut records);
    assert_eq!(records.iter().filter(|r| r.point.shift.is_some()).count(), 32);
}

#[test]
fn the_view_says_no_to_losses_of_classes_and_to_the_wrong_way() {
    let toy = linear();
    let answers = clean(&toy);
    let view = |direction| {
        let spec = tolerance(3.0, false, Reference::Answer);
        let bands = Bands::new(&answers, &targets(&answers), spec, direction);
        Banded::new(&toy, Arc::new(bands), &answers)
    };
    assert!(view(Direction::Either).pushes(Loss::CrossEntropy).is_err());
    assert!(view(Direction::Up).pushes(Loss::Down).is_err());
    assert!(view(Direction::Down).pushes(Loss::Down).is_ok());
}

/// What gate 11 says of an attack up and down within a tolerance of 5, and how many rows fell.
fn unconstrained(toy: &Toy, eps: f64) -> (CheckState, String, usize) {
    let answers = clean(toy);
    let spec = tolerance(5.0, false, Reference::Answer);
    let bands = Arc::new(Bands::new(&answers, &targets(&answers), spec, Direction::Either));
    let view = Banded::new(toy, bands, &answers);
    let space = toys::space(3, -10.0, 10.0, Deployed::Real);
    let labels = vec![WITHIN; view.rows()];
    let case = Case {
        oracle: &view,
        decision: Bands::decision(),
        ..toys::case(toy, &space, &labels, Norm::Linf)
    };
    let suite = Suite::named("quick", &case, Some(20)).unwrap();
    let (rows, ctx): (Vec<usize>, _) = ((0..view.rows()).collect(), toys::ctx());
    let records =
        harness::run(&case, &suite, &[eps], &rows, &Done::new(), &ctx, &mut |_| {}).unwrap();
    let fell = records.iter().filter(|r| r.attacked() && !r.robust_at(eps)).count();
    let trial = Trial { case: &case, suite: &suite, budgets: &[eps], records: &records, ctx: &ctx };
    let checks = validity::examine_attack(&trial).unwrap();
    let gate = checks.into_iter().find(|c| c.check == "gate-11-unconstrained").unwrap();
    (gate.state, gate.reason + &gate.fix, fell)
}

#[test]
fn a_tolerance_that_nothing_can_exceed_is_told_and_one_that_the_budget_cannot_is_not() {
    // The reach at 0.1 is 0.35: far inside the tolerance, and the full range is not.
    let (state, said, fell) = unconstrained(&linear(), 0.1);
    assert_eq!((state, fell), (CheckState::Ok, 0), "{said}");
    let data = toys::rows(40, 3, -1.0, 1.0, false);
    let clipped: toys::Logits = Box::new(|x| {
        let value = 100.0 + x.iter().zip(&W).map(|(x, w)| x * w).sum::<f64>();
        let inside = (97.0..=101.0).contains(&value);
        let slope = W.map(|w| if inside { w } else { 0.0 });
        (vec![value.clamp(97.0, 101.0)], vec![slope.to_vec()])
    });
    let clipped = Toy::new(data, 1, clipped).decided_by(Rule::Value);
    let (state, said, fell) = unconstrained(&clipped, 2.0);
    assert_eq!((state, fell), (CheckState::Warn, 0), "{said}");
    assert!(said.contains("moves the answer beyond the tolerance"), "{said}");
    assert!(said.contains("e.g. where it clips"), "{said}");
}
