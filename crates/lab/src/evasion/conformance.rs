//! What every attack owes, held for each entry of the registry: a new attack is under it by being
//! registered.
//!
//! It stays inside budget, box and deployed type; gives the same bytes for a seed in any order
//! and grouping of rows; breaks no fewer rows with a larger budget; turns what its kind promises
//! of a linear model; breaks nothing of a constant one; and never spends a query beyond the limit
//! of a row, nor stops other rows when one runs out.

use std::sync::Arc;

use proofmark_schema::attack::Outcome;
use proofmark_schema::system::{Access, Direction, Norm, Reference, Tolerance};

use super::suite::{Suite, attack};
use super::{Attack, Needs, REGISTRY, Settings};
use crate::decision::Rule;
use crate::harness::{Case, Clean, Done, RowRecord, run};
use crate::oracle::Picture;
use crate::space::{Deployed, Space};
use crate::tolerance::{Banded, Bands, WITHIN};
use crate::toys::{self, Toy, ctx};

/// Large enough to find what there is.
const SETTINGS: Settings = Settings { tries: 60, steps: 50, restarts: 2, queries: 600, targets: 9 };

/// Large enough to come by every branch.
const SHORT: Settings = Settings { tries: 20, steps: 10, restarts: 2, queries: 120, targets: 9 };

const ROWS: usize = 20;

/// A toy that answers as every attack of the registry asks one of them to.
enum Stage {
    /// Classes.
    Classes(Toy),
    /// A number inside a tolerance.
    Number(Toy),
}

impl Stage {
    /// Runs `f` on the case that this toy makes.
    fn with<T>(&self, space: &Space, norm: Norm, access: Access, f: impl Fn(&Case<'_>) -> T) -> T {
        match self {
            Self::Classes(toy) => {
                let labels = toy.labels(9);
                f(&Case { access, ..toys::case(toy, space, &labels, norm) })
            }
            Self::Number(toy) => {
                let answers = Clean::ask(toy, &toy.decision).unwrap();
                let targets: Vec<f64> =
                    (0..answers.rows()).map(|r| f64::from(answers.scores(r)[0])).collect();
                let tolerance = Tolerance { size: 0.5, relative: false, from: Reference::Answer };
                let bands = Bands::new(&answers, &targets, tolerance, Direction::Either);
                let view = Banded::new(toy, Arc::new(bands), &answers);
                let labels = vec![WITHIN; ROWS];
                let case = toys::case(toy, space, &labels, norm);
                f(&Case { oracle: &view, decision: Bands::decision(), access, ..case })
            }
        }
    }
}

fn curved() -> Stage {
    Stage::Classes(toys::mlp(toys::rows(ROWS, DIMS, -1.0, 1.0, false), 12, 5, 2.0))
}

/// Several classes, each logit linear in the input.
fn linear_classes() -> Stage {
    let weights: Vec<Vec<f64>> = toys::rows(5, DIMS, -1.0, 1.0, false)
        .into_iter()
        .map(|row| row.into_iter().map(f64::from).collect())
        .collect();
    let logits: toys::Logits = Box::new(move |x| {
        let z = weights.iter().map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
        (z, weights.clone())
    });
    Stage::Classes(Toy::new(toys::rows(ROWS, DIMS, -1.0, 1.0, false), 5, logits))
}

fn two_classes() -> Stage {
    let weights: Vec<f64> = (0..DIMS).map(|i| ((i * 7) % 5) as f64 - 1.9).collect();
    Stage::Classes(toys::linear(toys::rows(ROWS, DIMS, -1.0, 1.0, false), &weights, 0.2))
}

fn number() -> Stage {
    let weights: Vec<f64> = (0..DIMS).map(|i| 0.2 + ((i * 7) % 5) as f64 * 0.1).collect();
    let logits: toys::Logits = Box::new(move |x| {
        let value = 10.0 + x.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
        (vec![value], vec![weights.clone()])
    });
    let data = toys::rows(ROWS, DIMS, -1.0, 1.0, false);
    Stage::Number(Toy::new(data, 1, logits).decided_by(Rule::Value))
}

fn constant(classes: usize) -> Stage {
    let logits: toys::Logits = Box::new(move |_| {
        ((0..classes).map(|c| c as f64).collect(), vec![vec![0.0; DIMS]; classes])
    });
    let toy = Toy::new(toys::rows(ROWS, DIMS, -1.0, 1.0, false), classes, logits);
    match classes {
        1 => Stage::Number(toy.decided_by(Rule::Value)),
        _ => Stage::Classes(toy),
    }
}

fn picture(stage: Stage) -> Stage {
    let picture = Picture { channels: 1, height: 3, width: 4, channels_last: false };
    match stage {
        Stage::Classes(toy) => Stage::Classes(Toy { picture: Some(picture), ..toy }),
        other => other,
    }
}

fn whole_space() -> Space {
    toys::space(DIMS, -4.0, 4.0, Deployed::Real)
}

fn grid() -> Space {
    toys::space(DIMS, -4.0, 4.0, Deployed::Levels(1024))
}

fn access(attack: &dyn Attack) -> Access {
    match attack.needs() {
        Needs::Gradient => Access::WhiteBox,
        Needs::Scores => Access::Score,
        Needs::Decision => Access::Decision,
    }
}

fn built(id: &str) -> Box<dyn Attack> {
    attack(id, SETTINGS).unwrap()
}

fn go(case: &Case<'_>, id: &str, budgets: &[f64], rows: &[usize]) -> Vec<RowRecord> {
    with_settings(SETTINGS, case, id, budgets, rows)
}

fn short(case: &Case<'_>, id: &str, budgets: &[f64], rows: &[usize]) -> Vec<RowRecord> {
    with_settings(SHORT, case, id, budgets, rows)
}

fn with_settings(
    settings: Settings,
    case: &Case<'_>,
    id: &str,
    budgets: &[f64],
    rows: &[usize],
) -> Vec<RowRecord> {
    let suite = Suite::of("conformance", 1, vec![attack(id, settings).unwrap()]);
    run(case, &suite, budgets, rows, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

fn all() -> Vec<usize> {
    (0..ROWS).collect()
}

/// A budget at which some rows of the toys fall and some stand.
fn budget(norm: Norm) -> f64 {
    match norm {
        Norm::Linf => 0.25,
        Norm::L2 => 0.6,
        Norm::L1 => 1.2,
    }
}

/// Runs `f` for every attack under every distance on the stages that admit it; an attack that
/// none admits is named, since nothing would hold it then.
fn each(
    stages: &[Stage],
    spaces: &[Space],
    needed: bool,
    f: impl Fn(&Case<'_>, &dyn Attack, Norm),
) {
    for entry in REGISTRY {
        let attack = built(entry.id);
        for &norm in attack.norms() {
            let mut ran = false;
            for (stage, space) in stages.iter().flat_map(|s| spaces.iter().map(move |p| (s, p))) {
                stage.with(space, norm, access(attack.as_ref()), |case| {
                    case.admits(attack.as_ref()).is_ok().then(|| f(case, attack.as_ref(), norm))
                });
                ran |= stage.with(space, norm, access(attack.as_ref()), |case| {
                    case.admits(attack.as_ref()).is_ok()
                });
            }
            assert!(ran || !needed, "no stage admits {} under {norm:?}: add one", entry.id);
        }
    }
}

#[test]
fn witnesses_lie_in_budget_and_box_and_are_deployed_values() {
    let stages = [curved(), picture(curved()), number()];
    each(&stages, &[whole_space(), grid()], true, |case, attack, norm| {
        let eps = budget(norm);
        for record in short(case, attack.id(), &[eps], &all()) {
            let Some(x) = &record.witness else { continue };
            let row = record.point.index as usize;
            let clean = case.oracle.clean(row);
            assert!(case.space.in_box(clean, x), "{} {norm:?} {row}", attack.id());
            let distance = case.space.distance(clean, x, norm);
            assert_eq!(record.point.distance.upper, Some(distance), "{} {row}", attack.id());
            if record.point.outcome == Outcome::Broken {
                assert!(distance <= eps, "{} {norm:?} {row}: {distance}", attack.id());
            }
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let again = case.space.deploy(clean, &wide, f64::INFINITY, norm);
            assert_eq!(&again, x, "{} {norm:?} {row} is no deployed value", attack.id());
        }
    });
}

#[test]
fn a_seed_gives_the_same_bytes_in_any_order_and_grouping() {
    let stages = [curved(), picture(curved()), number()];
    each(&stages, &[grid()], true, |case, attack, norm| {
        let budgets = [0.5 * budget(norm), budget(norm)];
        let bytes = |records: &[RowRecord]| serde_json::to_string(records).unwrap();
        let whole = bytes(&short(case, attack.id(), &budgets, &all()));
        let turned: Vec<usize> = (0..ROWS).map(|i| i * 7 % ROWS).collect();
        assert_eq!(whole, bytes(&short(case, attack.id(), &budgets, &turned)), "{}", attack.id());
        let shards = (0..3).map(|s| {
            let rows: Vec<usize> = all().into_iter().filter(|r| r % 3 == s).collect();
            short(case, attack.id(), &budgets, &rows)
        });
        let merged = crate::harness::merge(shards);
        assert_eq!(whole, bytes(&merged), "{} {norm:?} in shards", attack.id());
    });
}

#[test]
fn a_larger_budget_breaks_no_fewer_rows() {
    let stages = [curved(), number()];
    each(&stages, &[whole_space()], true, |case, attack, norm| {
        let budgets = [0.3, 1.0, 3.0].map(|f| f * budget(norm));
        let records = go(case, attack.id(), &budgets, &all());
        // Each budget's own run, before anything is carried over.
        let broken = |at: usize| {
            let runs = records.iter().filter_map(|r| r.point.runs.get(at));
            runs.filter(|run| run.broken).count()
        };
        let counts = [broken(0), broken(1), broken(2)];
        assert!(counts.is_sorted(), "{} {norm:?}: {counts:?}", attack.id());
    });
}

#[test]
fn a_linear_model_is_turned_where_the_kind_of_attack_promises_it() {
    let stages = [linear_classes(), picture(linear_classes()), two_classes(), number()];
    each(&stages, &[whole_space()], true, |case, attack, norm| {
        let eps = budget(norm);
        let truth = exact(case, norm);
        // With all that there is to see: with less an attack may have to search blindly.
        let case = &Case { access: Access::WhiteBox, ..*case };
        let (mut can, mut turned) = (0, 0);
        let long = Settings { queries: 4_000, ..SETTINGS };
        for record in with_settings(long, case, attack.id(), &[eps], &all()) {
            let row = record.point.index as usize;
            if !record.attacked() {
                continue;
            }
            let distance = truth[row];
            let broken = record.point.outcome == Outcome::Broken;
            assert!(
                !broken || distance <= eps * (1.0 + 1e-4),
                "{} {norm:?} broke row {row} at {distance}",
                attack.id()
            );
            can += usize::from(distance <= 0.8 * eps);
            turned += usize::from(broken && distance <= 0.8 * eps);
        }
        assert!(can >= 4, "{can} rows of {} say nothing under {norm:?}", attack.id());
        let least = (attack.promise() * can as f64).ceil() as usize;
        assert!(turned >= least, "{} {norm:?} turned {turned} of {can}", attack.id());
    });
}

/// Exact distance of every row to the nearest other decision, the box aside; the models are
/// linear, so differences of scores and their slopes at the clean row say it.
fn exact(case: &Case<'_>, norm: Norm) -> Vec<f64> {
    let dims = case.oracle.dims();
    let scores = |row: usize, x: &[f32]| case.oracle.scores(&[row], x).unwrap();
    let step = 0.01_f32;
    (0..ROWS)
        .map(|row| {
            let clean = case.oracle.clean(row);
            let (here, label) = (scores(row, clean), case.labels[row]);
            let moved: Vec<Vec<f32>> = (0..dims)
                .map(|i| {
                    let mut x = clean.to_vec();
                    x[i] += step;
                    scores(row, &x)
                })
                .collect();
            let to = |c: usize| {
                let gap = |s: &[f32]| f64::from(s[label]) - f64::from(s[c]);
                let each = moved.iter().map(|s| ((gap(s) - gap(&here)) / f64::from(step)).abs());
                let dual = match norm {
                    Norm::Linf => each.sum(),
                    Norm::L2 => each.map(|s| s * s).sum::<f64>().sqrt(),
                    Norm::L1 => each.fold(0.0, f64::max),
                };
                gap(&here).abs() / dual
            };
            let others = (0..here.len()).filter(|&c| c != label);
            others.map(to).fold(f64::INFINITY, f64::min)
        })
        .collect()
}

#[test]
fn a_constant_model_is_never_broken() {
    let stages = [constant(5), constant(2), constant(1)];
    each(&stages, &[whole_space()], true, |case, attack, norm| {
        let records = short(case, attack.id(), &[budget(norm)], &all());
        let broken = records.iter().filter(|r| r.witness.is_some()).count();
        assert_eq!(broken, 0, "{} {norm:?}", attack.id());
    });
}

#[test]
fn no_query_is_spent_beyond_the_limit_and_none_is_held_back() {
    let stages = [curved(), number()];
    each(&stages, &[whole_space()], true, |case, attack, norm| {
        let spent = |limit: Option<u64>| -> Vec<(u64, bool)> {
            let case = Case { queries_limit: limit, ..*case };
            let records = short(&case, attack.id(), &[0.5 * budget(norm)], &all());
            let each = records.iter().filter(|r| r.attacked());
            let cost = |r: &RowRecord| r.point.queries + r.point.gradients;
            each.map(|r| (cost(r), r.point.outcome == Outcome::Broken)).collect()
        };
        let free = spent(None);
        for limit in [1, 7, 40] {
            let got = spent(Some(limit));
            for (row, ((cost, broken), (wanted, _))) in got.iter().zip(&free).enumerate() {
                let id = attack.id();
                assert!(*cost <= limit, "{id} {norm:?} row {row}: {cost} of {limit}");
                // What is left is less than one further step needs.
                let step = case.oracle.classes() as u64 + 1;
                let least = limit.min(*wanted).saturating_sub(step);
                assert!(*broken || *cost >= least, "{id} {norm:?} row {row}: {cost} of {limit}");
            }
        }
    });
}

/// Coordinates of the toys.
const DIMS: usize = 12;
