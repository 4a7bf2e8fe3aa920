//! Genetic search on toys whose answer is known.

use proofmark_schema::system::Norm;

use crate::constraint::tests::bound;
use crate::evasion::suite::{STANDARD, Suite, attack};
use crate::harness::{Case, Done, RowRecord, run};
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

fn go(case: &Case<'_>, budgets: &[f64]) -> Vec<RowRecord> {
    let suite = Suite::of("t", 1, vec![attack("moeva", STANDARD).unwrap()]);
    let all: Vec<usize> = (0..case.oracle.rows()).collect();
    run(case, &suite, budgets, &all, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

#[test]
fn rows_of_steps_fall_as_far_as_the_budget_reaches() {
    // Decided by x0 >= 30 and x1 >= 30 together: one step alone changes nothing.
    let data: Vec<Vec<f32>> = (0..12).map(|i| vec![10.0 + i as f32, 25.0, 5.0]).collect();
    let toy = toys::steps(data, &[(0, 30.0, 1.0), (1, 30.0, 1.0)], -1.5);
    let space = toys::space(3, 0.0, 100.0, Deployed::Integer);
    let labels = toy.labels(0);
    let case = case(&toy, &space, &labels, Norm::Linf);
    for record in go(&case, &[12.0]) {
        let row = record.point.index as usize;
        let needed = 30.0 - f64::from(toy.data[row][0]);
        assert_eq!(!record.robust_at(12.0), needed <= 12.0, "row {row} needs {needed}");
    }
}

#[test]
fn every_witness_holds_the_relations_and_relations_hold_rows() {
    // Without relations every row falls; `a <= b` leaves only what b lets a reach.
    let data: Vec<Vec<f32>> =
        (0..10).map(|i| vec![1.0, 2.0 + i as f32, 3.0 + i as f32, 0.0]).collect();
    let toy = toys::linear(data.clone(), &[1.0, 0.0, 0.0, 0.0], -8.5);
    let space = toys::space(4, 0.0, 20.0, Deployed::Real);
    let labels = toy.labels(0);
    let free = case(&toy, &space, &labels, Norm::Linf);
    assert!(go(&free, &[10.0]).iter().all(|r| !r.robust_at(10.0)));
    let constraints = bound(&data, &["a <= b", "c = b + 1", "if a > 5 then d >= a / 2"], None);
    for row in 0..data.len() {
        assert!(constraints.breaches(row).is_empty(), "row {row}");
    }
    let held = Case { constraints: Some(&constraints), ..free };
    for record in go(&held, &[3.0, 10.0]) {
        let row = record.point.index as usize;
        // b moves by at most the budget, and a follows.
        let reach = |eps: f64| f64::from(data[row][1]) + eps >= 8.5 && 1.0 + eps >= 8.5;
        let needs = |eps: f64| reach(eps) && eps >= 4.25;
        assert_eq!(!record.robust_at(10.0), needs(10.0), "row {row}: {:?}", record.point);
        assert!(record.robust_at(3.0), "row {row}");
        if let Some(witness) = &record.witness {
            assert!(constraints.valid(row, witness), "row {row}: {witness:?}");
        }
    }
}

#[test]
fn a_row_gets_the_same_search_alone_or_with_others_and_never_beyond_its_queries() {
    let toy = toys::mlp(toys::rows(12, 4, -1.0, 1.0, false), 6, 2, 2.0);
    let space = toys::space(4, -2.0, 2.0, Deployed::Real);
    let labels = toy.labels(0);
    let white = case(&toy, &space, &labels, Norm::L2);
    let all = go(&white, &[0.4]);
    let suite = Suite::of("t", 1, vec![attack("moeva", STANDARD).unwrap()]);
    for row in [0, 5, 11] {
        let alone = run(&white, &suite, &[0.4], &[row], &Done::new(), &ctx(), &mut |_| {}).unwrap();
        assert_eq!(alone[0], all[row]);
    }
    for limit in [1, 2, 57, 150, 333] {
        let limited = Case { queries_limit: Some(limit), ..white };
        for record in go(&limited, &[0.4]) {
            assert!(record.point.queries <= limit, "{} of {limit}", record.point.queries);
        }
    }
}
