//! Attacks on toys whose answer is known.

use proofmark_schema::attack::Outcome;
use proofmark_schema::system::Access;

use super::suite::{STANDARD, Suite, SuiteError, attack};
use super::*;
use crate::criterion::Criterion;
use crate::harness::{Case, Done, RowRecord, run};
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

fn go(case: &Case<'_>, id: &str, settings: Settings, budgets: &[f64]) -> Vec<RowRecord> {
    let suite = Suite::of("t", 1, vec![attack(id, settings).unwrap()]);
    let all: Vec<usize> = (0..case.oracle.rows()).collect();
    run(case, &suite, budgets, &all, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

/// Exact distance of a row of a linear model to its boundary, box aside.
fn exact(w: &[f64], b: f64, x: &[f32], norm: Norm) -> f64 {
    let z = b + w.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum::<f64>();
    let dual = match norm {
        Norm::Linf => w.iter().map(|w| w.abs()).sum(),
        Norm::L2 => w.iter().map(|w| w * w).sum::<f64>().sqrt(),
        Norm::L1 => w.iter().fold(0.0_f64, |m, w| m.max(w.abs())),
    };
    z.abs() / dual
}

#[test]
fn gradient_attacks_settle_a_linear_model_exactly() {
    let w = [0.7, -1.3, 0.2, 2.0, -0.4];
    let toy = toys::linear(toys::rows(60, 5, -1.0, 1.0, false), &w, 0.2);
    // A wide box, so that only the ball binds.
    let space = toys::space(5, -9.0, 9.0, Deployed::Real);
    let labels = toy.labels(0);
    let cases = [
        ("fgsm", Norm::Linf),
        ("fgsm", Norm::L2),
        ("fgsm", Norm::L1),
        ("apgd-ce", Norm::Linf),
        ("apgd-ce", Norm::L2),
        ("apgd-margin", Norm::Linf),
        ("apgd-margin", Norm::L2),
    ];
    for (id, norm) in cases {
        let eps = 0.3;
        let case = case(&toy, &space, &labels, norm);
        for record in go(&case, id, STANDARD, &[eps]) {
            let row = record.point.index as usize;
            let distance = exact(&w, 0.2, &toy.data[row], norm);
            if (distance / eps - 1.0).abs() > 1e-3 {
                let broken = record.point.outcome == Outcome::Broken;
                assert_eq!(broken, distance < eps, "{id} {norm:?} row {row} at {distance}");
            }
            if let Some(upper) = record.point.distance.upper {
                assert!(upper <= eps && upper >= distance * (1.0 - 1e-6), "{id} {norm:?} {row}");
            }
        }
    }
}

#[test]
fn hopskipjump_comes_near_the_exact_distance_from_decisions_alone() {
    let w = [0.7, -1.3, 0.2, 2.0, -0.4];
    let toy = toys::linear(toys::rows(30, 5, -1.0, 1.0, false), &w, 0.2);
    let space = toys::space(5, -3.0, 3.0, Deployed::Real);
    let labels = toy.labels(0);
    for (norm, slack) in [(Norm::L2, 1.1), (Norm::Linf, 1.35)] {
        let mut case = case(&toy, &space, &labels, norm);
        case.access = Access::Decision;
        let records = go(&case, "hopskipjump", STANDARD, &[1e-4]);
        let mut ratios: Vec<f64> = records
            .iter()
            .filter(|r| r.attacked())
            .map(|r| {
                let row = r.point.index as usize;
                r.point.distance.upper.unwrap() / exact(&w, 0.2, &toy.data[row], norm)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        assert!(ratios.iter().all(|r| *r >= 1.0 - 1e-6), "{norm:?} below the exact distance");
        let median = ratios[ratios.len() / 2];
        assert!(median < slack, "{norm:?}: median {median} of the exact distance");
        assert!(records.iter().all(|r| r.point.queries <= 2_000));
    }
}

/// Votes over integer fields, as a small tree ensemble would.
fn votes() -> toys::Toy {
    let thresholds = [
        (0, 30.0, 1.0),
        (0, 45.0, 0.7),
        (1, 10.0, 1.2),
        (1, 14.0, -0.6),
        (2, 3.0, 0.8),
        (3, 50.0, 0.9),
    ];
    toys::steps(toys::rows(80, 4, 0.0, 60.0, true), &thresholds, -2.0)
}

#[test]
fn black_box_attacks_break_step_functions_over_integers() {
    let toy = votes();
    let space = toys::space(4, 0.0, 60.0, Deployed::Integer);
    let labels = toy.labels(0);
    let case = case(&toy, &space, &labels, Norm::Linf);
    assert!(case.admits(attack("apgd-ce", STANDARD).unwrap().as_ref()).is_err());
    // The truth by enumeration over all 7^4 integer points within 3.
    let eps = 3.0;
    let truth: Vec<bool> = (0..80).map(|row| breakable(&toy, row, labels[row], 3)).collect();
    for (id, least) in [("coordinate", 1.0), ("hopskipjump", 0.6)] {
        let records = go(&case, id, STANDARD, &[eps]);
        let (mut found, mut all) = (0, 0);
        for record in &records {
            let row = record.point.index as usize;
            let broken = record.point.outcome == Outcome::Broken;
            assert!(!broken || truth[row], "{id}: row {row} cannot be broken");
            all += usize::from(truth[row]);
            found += usize::from(broken);
            let witness = record.witness.as_deref().unwrap_or_default();
            assert!(witness.iter().all(|v| v.fract() == 0.0), "{id}: {witness:?}");
        }
        assert!(all > 10, "{all} breakable rows say nothing");
        assert!(found as f64 >= least * all as f64, "{id}: {found} of {all}");
    }
}

fn breakable(toy: &toys::Toy, row: usize, label: usize, radius: i32) -> bool {
    let side = 2 * radius + 1;
    (0..side.pow(4)).any(|code| {
        let mut code = code;
        let x: Vec<f64> = toy.data[row]
            .iter()
            .map(|&v| {
                let step = code % side - radius;
                code /= side;
                (f64::from(v) + f64::from(step)).clamp(0.0, 60.0)
            })
            .collect();
        let (z, _) = (toy.logits)(&x);
        let z: Vec<f32> = z.iter().map(|&v| v as f32).collect();
        toy.decision.decide(&z) != Some(label)
    })
}

#[test]
fn a_goal_among_many_classes_is_reached_and_nothing_else_counts() {
    let toy = toys::mlp(toys::rows(80, 6, -1.0, 1.0, false), 20, 4, 2.0);
    let space = toys::space(6, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let mut case = case(&toy, &space, &labels, Norm::Linf);
    let count = |class: usize| labels.iter().filter(|&&l| l == class).count();
    let mut classes: Vec<usize> = (0..4).collect();
    classes.sort_by_key(|&c| std::cmp::Reverse(count(c)));
    let (from, to) = (classes[0], classes[1]);
    case.criterion = Criterion::Goal { from, to };
    for id in ["apgd-ce", "apgd-margin", "coordinate", "hopskipjump"] {
        let records = go(&case, id, STANDARD, &[1.2]);
        let broken: Vec<&RowRecord> =
            records.iter().filter(|r| r.point.outcome == Outcome::Broken).collect();
        assert!(broken.len() * 3 > count(from), "{id}: {} of {}", broken.len(), count(from));
        assert!(broken.iter().all(|r| r.point.decision_witness == Some(to)), "{id}");
    }
}

#[test]
fn stronger_attacks_break_more_of_a_curved_model() {
    let toy = toys::mlp(toys::rows(150, 10, -1.0, 1.0, false), 30, 3, 2.5);
    let space = toys::space(10, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    for norm in [Norm::Linf, Norm::L2] {
        let case = case(&toy, &space, &labels, norm);
        let eps = if norm == Norm::Linf { 0.12 } else { 0.35 };
        let broken = |id: &str| {
            let records = go(&case, id, STANDARD, &[eps]);
            records.iter().filter(|r| r.point.outcome == Outcome::Broken).count()
        };
        let (noise, one_step, ce, margin) =
            (broken("noise"), broken("fgsm"), broken("apgd-ce"), broken("apgd-margin"));
        assert!(noise < one_step, "{norm:?}: noise {noise}, fgsm {one_step}");
        assert!(one_step <= ce && one_step <= margin, "{norm:?}: {one_step} {ce} {margin}");
        assert!(ce > 20 && ce < 140, "{norm:?}: {ce} of 150 say nothing");
    }
}

#[test]
fn autoattack_runs_as_published_or_not_at_all() {
    let toy = toys::mlp(toys::rows(20, 6, -1.0, 1.0, false), 12, 5, 2.0);
    let space = toys::space(6, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let open = case(&toy, &space, &labels, Norm::Linf);
    let stages = |name: &str, norm: Norm| -> Vec<(String, String)> {
        let suite = Suite::named(name, &Case { norm, ..open }, None).unwrap();
        let each = suite.attacks().iter();
        each.map(|a| (a.id().to_string(), a.settings())).collect()
    };
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    };
    for norm in [Norm::Linf, Norm::L2] {
        let expected = pairs(&[
            ("apgd-ce", "100 steps, 1 restart(s)"),
            ("apgd-t", "100 steps, 1 restart(s), toward at most 9 classes"),
            ("fab-t", "100 steps, 1 restart(s), toward at most 9 classes"),
            ("square", "5000 queries, share 0.8, 1 restart(s)"),
        ]);
        assert_eq!(stages("autoattack", norm), expected, "{norm:?}");
    }
    let expected = pairs(&[
        ("apgd-ce", "100 steps, 5 restart(s)"),
        ("apgd-t", "100 steps, 1 restart(s), toward at most 5 classes"),
        ("fab-t", "100 steps, 1 restart(s), toward at most 9 classes"),
        ("square", "5000 queries, share 0.8, 1 restart(s)"),
    ]);
    assert_eq!(stages("autoattack", Norm::L1), expected);
    let plus: Vec<String> =
        stages("autoattack-plus", Norm::L2).into_iter().map(|(id, _)| id).collect();
    assert_eq!(plus, ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]);

    let three = toys::mlp(toys::rows(20, 6, -1.0, 1.0, false), 12, 3, 2.0);
    let few = three.labels(0);
    let few = Case { labels: &few, ..case(&three, &space, &labels, Norm::Linf) };
    let goal = Criterion::Goal { from: 0, to: 1 };
    let refusals = [
        ("autoattack", few, None, "use `margin`"),
        ("autoattack", Case { access: Access::Score, ..open }, None, "black-box"),
        ("autoattack", Case { criterion: goal, ..open }, None, "for a goal"),
        ("autoattack", open, Some(20), "part of its name"),
        ("autoattack", Case { queries_limit: Some(2_000), ..open }, None, "remove the limit"),
        ("autoattack-plus", Case { norm: Norm::L1, ..open }, None, "not published for l1"),
        ("autoattack-rand", open, None, "check 2"),
    ];
    for (name, case, steps, words) in refusals {
        let said = Suite::named(name, &case, steps).err().unwrap().to_string();
        assert!(said.contains(words), "{said}");
    }
    let ids: Vec<&str> =
        Suite::named("margin", &few, None).unwrap().attacks().iter().map(|a| a.id()).collect();
    assert_eq!(ids, ["apgd-ce", "apgd-margin", "fab-t", "square", "coordinate"]);
    assert_eq!(Suite::edition_of("autoattack"), Some(1));
    assert!(Suite::names().contains(&"autoattack"));
}

#[test]
fn every_part_of_autoattack_breaks_more_than_one_step_on_a_curved_model() {
    let toy = toys::mlp(toys::rows(60, 12, -1.0, 1.0, false), 24, 5, 2.5);
    let space = toys::space(12, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    for (norm, eps) in [(Norm::Linf, 0.09), (Norm::L2, 0.25), (Norm::L1, 0.6)] {
        let case = case(&toy, &space, &labels, norm);
        let broken = |id: &str| {
            // Under L1 the published protocol starts five times.
            let restarts = if norm == Norm::L1 { 5 } else { 1 };
            let settings = Settings { queries: 3_000, restarts, ..STANDARD };
            let records = go(&case, id, settings, &[eps]);
            records.iter().filter(|r| r.point.outcome == Outcome::Broken).count()
        };
        let one = broken("fgsm");
        let all: Vec<(&str, usize)> = ["apgd-ce", "apgd-t", "apgd-dlr", "fab-t", "fab", "square"]
            .map(|id| (id, broken(id)))
            .to_vec();
        let most = all.iter().map(|(_, n)| *n).max().unwrap();
        assert!((8..55).contains(&most), "{norm:?}: {most} of 60 say nothing");
        for (id, count) in all {
            // The random search sees no slope: it may find a little less than the best.
            let least =
                if id == "square" { most.saturating_sub(6) } else { most.saturating_sub(3) };
            assert!(count >= least.max(one.min(most)), "{norm:?} {id}: {count}, best {most}");
        }
    }
}

#[test]
fn suites_are_named_and_fit_the_access() {
    let toy = toys::linear(toys::rows(3, 2, -1.0, 1.0, false), &[1.0, 1.0], 0.0);
    let space = toys::space(2, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(0);
    let white = case(&toy, &space, &labels, Norm::Linf);
    let ids = |case: &Case<'_>| -> Vec<&'static str> {
        let suite = Suite::named("quick", case, None).unwrap();
        let run = suite.attacks().iter().filter(|a| case.admits(a.as_ref()).is_ok());
        run.map(|a| a.id()).collect()
    };
    assert_eq!(ids(&white), ["noise", "fgsm", "apgd-ce", "apgd-margin", "coordinate"]);
    let score = Case { access: Access::Score, ..white };
    assert_eq!(ids(&score), ["noise", "coordinate", "hopskipjump"]);
    let decision = Case { access: Access::Decision, ..white };
    assert_eq!(ids(&decision), ["noise", "coordinate", "hopskipjump"]);
    let unknown = |name: &str| Suite::named(name, &white, None).err().unwrap();
    assert!(matches!(unknown("quik"), SuiteError::Unknown { .. }));
    let exact = |e: Settings| attack("apgd-ce", e).unwrap().settings();
    assert_eq!(exact(STANDARD), "100 steps, 1 restart(s)");
    assert!(matches!(unknown("autoattack-rand"), SuiteError::NotOffered { .. }));
    let ids: Vec<&str> = REGISTRY.iter().map(|e| (e.build)(STANDARD).id()).collect();
    assert_eq!(ids, REGISTRY.iter().map(|e| e.id).collect::<Vec<_>>());
}
