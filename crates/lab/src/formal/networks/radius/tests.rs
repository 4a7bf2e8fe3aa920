//! Proved radii against a linear model's own, against grids, and against what an attacker can do.

use proofmark_engine::graph::Graph;
use proofmark_schema::system::OutputKind;

use super::super::tests::mlp;
use super::*;
use crate::stream::Stream;

const PARTS: u64 = 4_000;

fn prover(graph: &Graph, decision: &Decision, classes: usize) -> Prover {
    let columns: Vec<usize> = (0..classes).collect();
    let net = lowering::lower(graph).unwrap();
    Prover::new(net, decision, &columns).unwrap()
}

fn asked(prover: &Prover, row: &[f64], axes: &[Axis], budgets: &[f64]) -> Radius {
    asked_within(prover, row, axes, budgets, PARTS)
}

fn asked_within(
    prover: &Prover,
    row: &[f64],
    axes: &[Axis],
    budgets: &[f64],
    parts: u64,
) -> Radius {
    let from = prover.decide(row).unwrap();
    let ask = Ask { row, axes, from, goal: None, budgets, seed: 1, parts, threads: 2 };
    prover.radius(&ask, &|| false)
}

fn rows(n: usize, inputs: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(3, "rows", "", 0, 0);
    let mut value = || f64::from(stream.normal() as f32);
    (0..n).map(|_| (0..inputs).map(|_| value()).collect()).collect()
}

#[test]
fn of_a_linear_model_the_radius_is_its_distance() {
    let graph = mlp(&[4, 2], 5);
    let decision = Decision::argmax(OutputKind::Logit);
    let prover = prover(&graph, &decision, 2);
    for row in rows(12, 4) {
        let margin = |x: &[f64]| {
            let x = Array2::from_shape_vec((1, 4), x.to_vec()).unwrap();
            let y = prover.net.run(&x);
            y[[0, 0]] - y[[0, 1]]
        };
        // slopes by differences: the model is linear
        let slope = |i: usize| {
            let mut moved = row.clone();
            moved[i] += 1.0;
            (margin(&moved) - margin(&row)).abs()
        };
        let truth = margin(&row).abs() / (0..4).map(slope).sum::<f64>();
        let axes = [Axis::FREE; 4];
        let near = asked(&prover, &row, &axes, &[0.99 * truth]);
        assert!((near.lower - 0.99 * truth).abs() < 1e-8 * truth, "{near:?} {truth}");
        assert_eq!((near.point, near.reason), (None, None));
        let plain = asked_within(&prover, &row, &axes, &[0.5 * truth, 1.5 * truth], 0);
        assert!(plain.lower <= truth && plain.lower > truth * (1.0 - 1.0 / 32.0), "{plain:?}");
        let far = asked(&prover, &row, &axes, &[0.5 * truth, 1.5 * truth]);
        assert!(far.lower <= truth && far.lower > truth * (1.0 - 1.0 / 32.0), "{far:?} {truth}");
        assert_ne!(prover.decide(&wide(&far.point.unwrap())), prover.decide(&row));
    }
}

fn wide(point: &[f32]) -> Vec<f64> {
    point.iter().map(|&v| f64::from(v)).collect()
}

/// The least distance of a point of a grid round a row that is decided otherwise.
fn nearest_on_a_grid(prover: &Prover, row: &[f64], axes: &[Axis], far: f64) -> f64 {
    let from = prover.decide(row);
    let steps = 24_i32;
    let mut nearest = f64::INFINITY;
    for i in -steps..=steps {
        for j in -steps..=steps {
            let shares = [f64::from(i), f64::from(j)].map(|s| s / f64::from(steps) * far);
            let mut point = row.to_vec();
            for ((v, share), axis) in point.iter_mut().zip(shares).zip(axes) {
                let fixed = (share > 0.0 && !axis.up) || (share < 0.0 && !axis.down);
                *v =
                    if fixed { *v } else { (*v + share * axis.unit).clamp(axis.lower, axis.upper) };
            }
            if prover.decide(&point) != from {
                nearest = nearest.min(shares[0].abs().max(shares[1].abs()));
            }
        }
    }
    nearest
}

#[test]
fn no_point_of_a_grid_is_nearer_than_what_is_proved() {
    let up_only = Axis { down: false, ..Axis::FREE };
    let bounded = Axis { lower: -0.8, upper: 0.9, unit: 2.0, ..Axis::FREE };
    let table = [
        ("free", [Axis::FREE; 2]),
        ("one way", [up_only, Axis::FREE]),
        ("within bounds", [bounded, Axis::FREE]),
        ("one column", [Axis::FIXED, Axis::FREE]),
    ];
    let mut settled = 0;
    for seed in 0..4 {
        let graph = mlp(&[2, 12, 8, 3], seed);
        let prover = prover(&graph, &Decision::argmax(OutputKind::Logit), 3);
        for row in rows(6, 2) {
            // rows as a table holds them: inside of their bounds
            let row: Vec<f64> = row.iter().map(|v| v.clamp(-0.8, 0.9)).collect();
            for (name, axes) in &table {
                let found = asked(&prover, &row, axes, &[0.1, 0.3, 0.6]);
                let nearest = nearest_on_a_grid(&prover, &row, axes, 0.6);
                assert!(found.lower <= nearest, "{name} {seed}: {found:?} {nearest}");
                if let Some(point) = &found.point {
                    assert_ne!(prover.decide(&wide(point)), prover.decide(&row), "{name}");
                    settled += 1;
                } else if found.lower > 0.6 {
                    settled += 1;
                }
            }
        }
    }
    // of so small networks nearly all is known: a proof of every budget, or a point
    assert!(settled >= 90, "{settled} of 96");
}

#[test]
fn cut_offs_and_goals_are_those_of_the_decision() {
    let graph = mlp(&[2, 8, 1], 2);
    let at = |at: f64| prover(&graph, &Decision::cutoff(OutputKind::Score, 1, at), 2);
    let row = [0.3, -0.2];
    let value = {
        let x = Array2::from_shape_vec((1, 2), row.to_vec()).unwrap();
        at(0.0).net.run(&x)[[0, 0]]
    };
    let radius = |p: &Prover| asked(p, &row, &[Axis::FREE; 2], &[0.2]).lower;
    let (near, far) = (radius(&at(value - 0.01)), radius(&at(value - 0.1)));
    assert!(near < far, "{near} {far}");
    assert_eq!(at(value - 0.01).decide(&row), Some(1));
    assert_eq!(at(value + 0.01).decide(&row), Some(0));
    // a cut-off on the value itself is within rounding of it: nothing is proved
    assert_eq!(radius(&at(value)), 0.0);

    let graph = mlp(&[2, 8, 4], 2);
    let four = prover(&graph, &Decision::argmax(OutputKind::Logit), 4);
    let from = four.decide(&row).unwrap();
    let ask = |goal| {
        let budgets = &[0.05, 0.2, 0.8];
        let axes = &[Axis::FREE; 2];
        let (seed, parts, threads) = (1, PARTS, 2);
        four.radius(&Ask { row: &row, axes, from, goal, budgets, seed, parts, threads }, &|| false)
    };
    let any = ask(None).lower;
    for goal in (0..4).filter(|&goal| goal != from) {
        assert!(ask(Some(goal)).lower >= any * 0.98, "goal {goal}");
    }
}

#[test]
fn answers_do_not_depend_on_threads_and_a_stop_claims_nothing() {
    let graph = mlp(&[16, 24, 24, 3], 7);
    let prover = prover(&graph, &Decision::argmax(OutputKind::Logit), 3);
    let row = &rows(1, 16)[0];
    let axes = [Axis::FREE; 16];
    let from = prover.decide(row).unwrap();
    let ask = |threads| Ask {
        row,
        axes: &axes,
        from,
        goal: None,
        budgets: &[0.05, 0.2, 0.4],
        seed: 4,
        parts: 500,
        threads,
    };
    let [one, four] = [1, 4].map(|threads| prover.radius(&ask(threads), &|| false));
    assert_eq!(one, four);
    let stopped = prover.radius(&ask(2), &|| true);
    assert!(stopped.stopped && stopped.lower == 0.0 && stopped.point.is_none(), "{stopped:?}");
}
