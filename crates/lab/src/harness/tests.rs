//! The harness disposes: projection, rounding, metering, identity of rows.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::ctx::Silent;
use crate::decision::Rule;
use crate::evasion::{Needs, Rank};
use crate::oracle::{Loss, LossGrad};
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

fn no_one(_: &RowRecord) {}

fn quick(case: &Case<'_>) -> Suite {
    Suite::named("quick", case, Some(20)).unwrap()
}

/// Proposes one fixed displacement per row, wherever it leads, `times` times.
struct Liar {
    displacement: f32,
    times: usize,
}

impl Attack for Liar {
    fn id(&self) -> &'static str {
        "liar"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf]
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let seats: Vec<usize> =
            arena.open().into_iter().flat_map(|s| [s].repeat(self.times)).collect();
        let x: Vec<f32> = seats
            .iter()
            .flat_map(|&s| arena.clean(s).iter().map(|c| c + self.displacement))
            .collect();
        arena.ask(&seats, &x, Reach::Ball)?;
        // An attack that will not stop at its limit: the metered handle must.
        loop {
            let open = arena.open();
            if self.times < 1000 || open.is_empty() {
                return Ok(());
            }
            let x: Vec<f32> = open.iter().flat_map(|&s| arena.clean(s)).copied().collect();
            arena.scores(&open, &x)?;
        }
    }
}

#[test]
fn whole_shuffled_sharded_and_resumed_runs_give_the_same_bytes() {
    let toy = toys::mlp(toys::rows(100, 6, -1.0, 1.0, false), 16, 3, 1.5);
    let space = toys::space(6, -1.0, 1.0, Deployed::Levels(255));
    let labels = toy.labels(7);
    for norm in [Norm::Linf, Norm::L2] {
        let case = case(&toy, &space, &labels, norm);
        let suite = quick(&case);
        let budgets = [0.05, 0.15];
        let all: Vec<usize> = (0..100).collect();
        let go = |rows: &[usize], done: &Done| {
            run(&case, &suite, &budgets, rows, done, &ctx(), &mut no_one).unwrap()
        };
        let bytes = |records: &[RowRecord]| serde_json::to_string(records).unwrap();
        let whole = go(&all, &Done::new());
        let broken = whole.iter().filter(|r| r.point.outcome == Outcome::Broken).count();
        assert!((10..90).contains(&broken), "{norm:?}: {broken} broken say nothing");
        let shuffled: Vec<usize> = (0..100).map(|i| i * 37 % 100).collect();
        assert_eq!(bytes(&whole), bytes(&go(&shuffled, &Done::new())), "shuffled {norm:?}");
        let shards = (0..3).map(|s| {
            let rows: Vec<usize> = all.iter().copied().filter(|r| r % 3 == s).collect();
            go(&rows, &Done::new())
        });
        assert_eq!(bytes(&whole), bytes(&merge(shards)), "sharded {norm:?}");
        for hands in [2, 3] {
            let askers = Mutex::default();
            let shared = Shared { toy: &toy, hands, askers: &askers };
            let dealt = Case { oracle: &shared, second: Some(&shared), ..case };
            let dealt = run(&dealt, &suite, &budgets, &shuffled, &Done::new(), &ctx(), &mut no_one)
                .unwrap();
            assert_eq!(bytes(&whole), bytes(&dealt), "{hands} threads {norm:?}");
            // And this one, for the clean scores and the second opinion.
            assert_eq!(askers.lock().unwrap().len(), hands + 1);
        }
        // Resumed from what was written after 40 rows.
        let written: Vec<String> = go(&all[..40], &Done::new())
            .iter()
            .map(|r| serde_json::to_string(r).unwrap())
            .collect();
        let done: Done = written
            .iter()
            .map(|line| serde_json::from_str::<RowRecord>(line).unwrap())
            .map(|record| (record.point.index as usize, record))
            .collect();
        assert_eq!(bytes(&whole), bytes(&go(&all, &done)), "resumed {norm:?}");
    }
}

/// A target that several threads may ask; it notes who asked.
struct Shared<'a> {
    toy: &'a toys::Toy,
    hands: usize,
    askers: &'a Mutex<BTreeSet<String>>,
}

impl Oracle for Shared<'_> {
    fn rows(&self) -> usize {
        self.toy.rows()
    }
    fn dims(&self) -> usize {
        self.toy.dims()
    }
    fn classes(&self) -> usize {
        self.toy.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.toy.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        self.askers.lock().unwrap().insert(format!("{:?}", std::thread::current().id()));
        self.toy.scores(rows, x)
    }
    fn gradient(&self) -> Result<(), String> {
        self.toy.gradient()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.toy.loss_grad(rows, x, labels, loss)
    }
    fn threads(&self) -> usize {
        self.hands
    }
    fn alone(&self) -> Option<Box<dyn Oracle + '_>> {
        Some(Box::new(Shared { toy: self.toy, hands: 1, askers: self.askers }))
    }
}

#[test]
fn rows_already_done_are_not_asked_again() {
    let toy = toys::linear(toys::rows(10, 2, -1.0, 1.0, false), &[1.0, 1.0], 0.0);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let case = case(&toy, &space, &labels, Norm::Linf);
    let all: Vec<usize> = (0..10).collect();
    let first = run(&case, &quick(&case), &[0.1], &all, &Done::new(), &ctx(), &mut no_one).unwrap();
    let done: Done = first.iter().map(|r| (r.point.index as usize, r.clone())).collect();
    let mut seen = 0;
    let mut count = |_: &RowRecord| seen += 1;
    run(&case, &quick(&case), &[0.1], &all, &done, &ctx(), &mut count).unwrap();
    assert_eq!(seen, 0);
}

#[test]
fn a_witness_is_judged_where_it_is_deployed_and_inside_the_budget() {
    // Decides class 1 from a sum of 10 on; row sums are 8, budget 1 per integer coordinate.
    let toy = toys::linear(vec![vec![4.0, 4.0], vec![4.0, 3.0]], &[1.0, 1.0], -9.5);
    let space = toys::space(2, 0.0, 20.0, Deployed::Integer);
    let labels = toy.labels(0);
    let case = case(&toy, &space, &labels, Norm::Linf);
    let far = Suite::of("t", 1, vec![Box::new(Liar { displacement: 15.0, times: 1 })]);
    let records = run(&case, &far, &[1.4], &[0, 1], &Done::new(), &ctx(), &mut no_one).unwrap();
    // (5, 5) reaches 10; (5, 4) does not, though (5.4, 4.4) would have.
    assert_eq!(records[0].point.outcome, Outcome::Broken);
    assert_eq!(records[0].witness.as_deref(), Some(&[5.0, 5.0][..]));
    assert_eq!(records[0].point.distance.upper, Some(1.0));
    assert_eq!(records[1].point.outcome, Outcome::Survived);
    assert_eq!(records[1].point.distance.upper, None);
}

#[test]
fn the_decision_is_the_declared_one_not_the_arg_max() {
    // Probability of class 1 is sigmoid(x): arg-max turns at 0, the cut-off 0.2 at -1.386.
    let rule = Rule::Cutoff { class: 1, at: 0.2 };
    let toy = toys::linear(vec![vec![-1.0], vec![-1.6]], &[1.0], 0.0).decided_by(rule);
    let space = toys::space(1, -3.0, 3.0, Deployed::Real);
    let labels = toy.labels(0);
    assert_eq!(labels, vec![1, 0]);
    let case = case(&toy, &space, &labels, Norm::Linf);
    let records =
        run(&case, &quick(&case), &[0.1, 0.3, 0.5], &[0, 1], &Done::new(), &ctx(), &mut no_one)
            .unwrap();
    let robust = |i: usize| [0.1, 0.3, 0.5].map(|eps| records[i].robust_at(eps));
    assert_eq!(robust(0), [true, true, false]);
    assert_eq!(robust(1), [true, false, false]);
}

#[test]
fn under_a_goal_only_correct_rows_of_its_start_are_attacked() {
    let toy = toys::linear(toys::rows(60, 2, -1.0, 1.0, false), &[1.0, -1.0], 0.1);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(5);
    let mut case = case(&toy, &space, &labels, Norm::Linf);
    case.criterion = Criterion::Goal { from: 1, to: 0 };
    let all: Vec<usize> = (0..60).collect();
    let records =
        run(&case, &quick(&case), &[2.0], &all, &Done::new(), &ctx(), &mut no_one).unwrap();
    for record in &records {
        let row = record.point.index as usize;
        let expected = match (row % 5 == 4, labels[row]) {
            (true, _) => Outcome::Wrong,
            (false, 1) => Outcome::Broken,
            (false, _) => Outcome::NotAttackable,
        };
        assert_eq!(record.point.outcome, expected, "row {row}");
        if expected != Outcome::Broken {
            assert_eq!(record.point.queries + record.point.gradients, 0);
        }
        assert_eq!(record.robust_at(2.0), expected == Outcome::NotAttackable);
    }
}

#[test]
fn limits_hold_for_attacks_that_will_not_stop() {
    let toy = toys::linear(toys::rows(5, 2, -1.0, 1.0, false), &[1.0, 1.0], 50.0);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let mut case = case(&toy, &space, &labels, Norm::Linf);
    case.queries_limit = Some(1234);
    let suite = Suite::of("t", 1, vec![Box::new(Liar { displacement: 0.1, times: 1000 })]);
    let before = toy.calls.load(Ordering::Relaxed);
    let all: Vec<usize> = (0..5).collect();
    let records = run(&case, &suite, &[0.1], &all, &Done::new(), &ctx(), &mut no_one).unwrap();
    let asked = toy.calls.load(Ordering::Relaxed) - before - 5;
    assert_eq!(asked, 5 * 1234);
    assert!(records.iter().all(|r| r.point.queries == 1234));
    let (clean, context) = (Clean::ask(&toy, &toy.decision).unwrap(), ctx());
    let mut arena = Arena::new(
        &case,
        &clean,
        suite.attacks()[0].as_ref(),
        0.1,
        0,
        vec![Seat::new(0, labels[0], 1233, 0)],
        &context,
    );
    // Two more do not fit: none is answered, and the refusal says why.
    let refused = arena.scores(&[0, 0], &[0.0; 4]).unwrap_err();
    assert!(matches!(refused, ArenaError::Limit { row: 0, limit: 1234 }));
    let replies = arena.ask(&[0, 0], &[0.0; 4], Reach::Ball).unwrap();
    assert!(matches!(replies[..], [Reply::Standing { .. }, Reply::Refused]));
}

#[test]
fn access_is_held_by_the_handle() {
    let toy = toys::linear(toys::rows(5, 2, -1.0, 1.0, false), &[1.0, 1.0], 50.0);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let mut case = case(&toy, &space, &labels, Norm::Linf);
    case.access = Access::Decision;
    let liar = Liar { displacement: 0.1, times: 1 };
    let clean = Clean::ask(&toy, &toy.decision).unwrap();
    let context = ctx();
    let mut arena =
        Arena::new(&case, &clean, &liar, 0.1, 0, vec![Seat::new(0, labels[0], 0, 0)], &context);
    assert!(matches!(arena.scores(&[0], &[0.0; 2]), Err(ArenaError::Access { .. })));
    let slopes = arena.slopes(&[0], &[0.0; 2], Loss::Margin);
    assert!(matches!(slopes, Err(ArenaError::Access { .. })));
    let replies = arena.ask(&[0], &[0.0; 2], Reach::Ball).unwrap();
    assert_eq!(replies, vec![Reply::Standing { margin: None }]);
}

#[test]
fn a_second_engine_that_disagrees_marks_the_row_and_does_not_save_it() {
    let data = vec![vec![0.2_f32]];
    let (toy, other) = (toys::linear(data.clone(), &[1.0], 0.0), toys::linear(data, &[1.0], 0.5));
    let space = toys::space(1, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    for (second, disputed) in [(&toy, false), (&other, true)] {
        let mut case = case(&toy, &space, &labels, Norm::Linf);
        case.second = Some(second);
        let records =
            run(&case, &quick(&case), &[0.3], &[0], &Done::new(), &ctx(), &mut no_one).unwrap();
        assert_eq!(records[0].point.outcome, Outcome::Broken);
        assert_eq!(records[0].point.disputed, disputed);
    }
}

/// A target that stops the run at a call.
struct Stopping<'a> {
    toy: &'a toys::Toy,
    calls: AtomicUsize,
    at: usize,
    stop: &'a AtomicBool,
}

impl Oracle for Stopping<'_> {
    fn rows(&self) -> usize {
        self.toy.rows()
    }
    fn dims(&self) -> usize {
        self.toy.dims()
    }
    fn classes(&self) -> usize {
        self.toy.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.toy.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.stop.fetch_or(call == self.at, Ordering::Relaxed);
        self.toy.scores(rows, x)
    }
    fn gradient(&self) -> Result<(), String> {
        self.toy.gradient()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.toy.loss_grad(rows, x, labels, loss)
    }
}

#[test]
fn a_run_stopped_in_a_chunk_keeps_what_was_decided_and_goes_on_from_there() {
    let toy = toys::mlp(toys::rows(60, 6, -1.0, 1.0, false), 16, 3, 1.5);
    let space = toys::space(6, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(7);
    let good = case(&toy, &space, &labels, Norm::Linf);
    let suite = quick(&good);
    let all: Vec<usize> = (0..60).collect();
    let budgets = [0.05, 0.15];
    let whole = run(&good, &suite, &budgets, &all, &Done::new(), &ctx(), &mut no_one).unwrap();
    let bytes = |records: &[RowRecord]| serde_json::to_string(records).unwrap();
    let mut kept_most = 0;
    // The quick suite makes a few hundred calls here; early stops keep the wrong rows only.
    for at in [5, 40, 60, 80, 120] {
        let stop = AtomicBool::new(false);
        let target = Stopping { toy: &toy, calls: AtomicUsize::new(0), at, stop: &stop };
        let stopping = Case { oracle: &target, ..good };
        let stopped = Ctx { cancel: &stop, ..ctx() };
        let mut kept = Done::new();
        let mut keep = |r: &RowRecord| drop(kept.insert(r.point.index as usize, r.clone()));
        let answer = run(&stopping, &suite, &budgets, &all, &Done::new(), &stopped, &mut keep);
        if answer.is_err() {
            assert!(matches!(answer, Err(HarnessError::Cancelled)), "{at}");
            let wrong = whole.iter().filter(|r| r.point.outcome == Outcome::Wrong);
            assert!(kept.len() >= wrong.count() && kept.len() < 60, "{at}: {}", kept.len());
            kept_most = kept_most.max(kept.len());
        }
        let resumed = run(&good, &suite, &budgets, &all, &kept, &ctx(), &mut no_one).unwrap();
        assert_eq!(bytes(&whole), bytes(&resumed), "stopped at call {at}");
    }
    assert!(kept_most > 12, "no stop kept a broken row: {kept_most}");
}

#[test]
fn bad_set_ups_and_a_stop_are_refused() {
    let toy = toys::linear(toys::rows(3, 2, -1.0, 1.0, false), &[1.0, 1.0], 0.0);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let narrow = toys::space(1, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let good = case(&toy, &space, &labels, Norm::Linf);
    let suite = quick(&good);
    let go = |case: &Case<'_>, budgets: &[f64], rows: &[usize]| {
        run(case, &suite, budgets, rows, &Done::new(), &ctx(), &mut no_one)
    };
    assert!(matches!(go(&good, &[0.2, 0.1], &[0]), Err(HarnessError::Budgets(_))));
    assert!(matches!(go(&good, &[], &[0]), Err(HarnessError::Budgets(_))));
    assert!(matches!(go(&good, &[0.1], &[3]), Err(HarnessError::Shape(_))));
    let bad = Case { labels: &[0, 1, 2], ..good };
    assert!(matches!(go(&bad, &[0.1], &[0]), Err(HarnessError::Shape(_))));
    let bad = Case { space: &narrow, ..good };
    assert!(matches!(go(&bad, &[0.1], &[0]), Err(HarnessError::Shape(_))));
    let stop = AtomicBool::new(true);
    let stopped = Ctx { seed: 1, progress: &Silent, cancel: &stop };
    let answer = run(&good, &suite, &[0.1], &[0], &Done::new(), &stopped, &mut no_one);
    assert!(matches!(answer, Err(HarnessError::Cancelled)));
}
