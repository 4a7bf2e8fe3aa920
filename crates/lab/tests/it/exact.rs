//! The exact search against independent searches: a small model of our own, the models of the
//! literature where they lie.

use std::path::{Path, PathBuf};

use proofmark_engine::engine::EngineKind;
use proofmark_engine::trees::import::xgboost::{DumpOptions, import_dump};
use proofmark_lab::decision::Decision;
use proofmark_lab::formal::reading::Judged;
use proofmark_lab::formal::trees::model;
use proofmark_lab::formal::trees::{Axis, Budget, Grid, Nearest, Question, Searcher};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::target;
use proofmark_schema::system::{Norm, OutputKind};
use serde_json::Value;

use crate::world::{World, open};

const PLENTY: Budget = Budget { boxes: 1_000_000 };

struct Data {
    rows: Vec<Vec<f64>>,
    labels: Vec<usize>,
}

/// Rows of libsvm, indices from 0, absent values 0.
fn rows(text: &str, columns: usize) -> Data {
    let mut data = Data { rows: Vec::new(), labels: Vec::new() };
    for line in text.lines() {
        let mut parts = line.split_whitespace();
        data.labels.push(usize::from(parts.next().unwrap().parse::<f64>().unwrap() > 0.5));
        let mut row = vec![0.0; columns];
        for part in parts {
            let (index, value) = part.split_once(':').unwrap();
            row[index.parse::<usize>().unwrap()] = value.parse().unwrap();
        }
        data.rows.push(row);
    }
    data
}

fn searcher(dump: &[u8], columns: usize) -> Searcher {
    let options = DumpOptions { columns: Some(columns), decimals: true, ..DumpOptions::default() };
    let ensemble = import_dump(dump, &options).unwrap();
    let decision = Decision::argmax(OutputKind::Logit);
    Searcher::new(&ensemble, Judged::Answers, &decision, &[0, 1]).unwrap()
}

fn nearest(searcher: &Searcher, row: &[f64], norm: Norm, budget: Budget) -> Nearest {
    let axes = vec![Axis::FREE; row.len()];
    let from = searcher.decide(row);
    let question = Question { row, axes: &axes, norm, from, goal: None, slack: 0.0 };
    searcher.nearest(&question, budget, None, &|| false)
}

#[test]
fn a_small_model_is_searched_as_an_independent_search_does() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let searcher = searcher(&read("trees_model.json"), 6);
    let data = rows(&String::from_utf8(read("trees_rows.libsvm")).unwrap(), 6);
    let golden: Value = serde_json::from_slice(&read("trees_exact.json")).unwrap();
    for (norm, name) in [(Norm::Linf, "linf"), (Norm::L1, "l1"), (Norm::L2, "l2")] {
        for (at, row) in data.rows.iter().enumerate() {
            assert_eq!(searcher.decide(row) as u64, golden["decided"][at].as_u64().unwrap());
            let found = nearest(&searcher, row, norm, PLENTY);
            let want = golden[name][at].as_f64().unwrap();
            let near = |got: f64| (got - want).abs() <= 1e-12 * want;
            assert!(near(found.lower), "row {at}, {name}: {} {want}", found.lower);
            assert!(near(found.upper.unwrap()), "row {at}, {name}: {:?} {want}", found.upper);
            // Whatever is left unsearched, the interval holds the answer.
            let some = nearest(&searcher, row, norm, Budget { boxes: 4 });
            assert!(some.lower <= want * (1.0 + 1e-12), "row {at}: {some:?}");
            assert!(some.upper.is_none_or(|u| u >= want * (1.0 - 1e-12)), "row {at}: {some:?}");
        }
    }
}

/// Rows right, mean distance, and rows right for every change nearer than each budget.
struct Figures {
    columns: usize,
    right: usize,
    mean: f64,
    still: &'static [(f64, usize)],
}

#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
fn reproduces(model: &str, data: &str, figures: &Figures) {
    let folder = Path::new("/work/shared/data/trees");
    let (Ok(dump), Ok(text)) =
        (std::fs::read(folder.join(model)), std::fs::read_to_string(folder.join(data)))
    else {
        eprintln!("SKIPPED: {model} does not lie in {}", folder.display());
        return;
    };
    let searcher = searcher(&dump, figures.columns);
    let data = rows(&text, figures.columns);
    let right: Vec<&Vec<f64>> = data
        .rows
        .iter()
        .zip(&data.labels)
        .filter(|(row, label)| searcher.decide(row) == **label)
        .map(|(row, _)| row)
        .collect();
    assert_eq!(right.len(), figures.right, "{model}");
    let found: Vec<Nearest> =
        right.iter().map(|row| nearest(&searcher, row, Norm::Linf, PLENTY)).collect();
    assert!(found.iter().all(Nearest::settled), "{model}");
    let mean = found.iter().map(|f| f.lower).sum::<f64>() / found.len() as f64;
    assert!((mean - figures.mean).abs() < 5e-7, "{model}: mean {mean}");
    for &(eps, count) in figures.still {
        assert_eq!(found.iter().filter(|f| f.lower >= eps).count(), count, "{model} at {eps}");
    }
}

#[test]
fn the_boosted_trees_of_the_literature_give_their_exact_figures() {
    let figures = Figures {
        columns: 11,
        right: 100,
        mean: 0.396111,
        still: &[(0.1, 99), (0.2, 94), (0.3, 87), (0.4, 18)],
    };
    reproduces("breast_cancer_robust.0008.json", "example_breast_cancer0.libsvm", &figures);
}

#[test]
fn the_forest_of_the_literature_gives_its_exact_figures() {
    let figures = Figures {
        columns: 9,
        right: 472,
        mean: 0.116700,
        still: &[(0.01, 464), (0.02, 452), (0.05, 404), (0.1, 297), (0.2, 33)],
    };
    reproduces("diabetes_rf.json", "diabetes_scale0.test", &figures);
}

/// `benches/python/credit_exhaustive.py` tries every allowed row with ONNX Runtime: the search
/// must find the same rows at the same distances, and no other within the largest budget.
#[test]
fn the_credit_model_is_searched_through_its_preprocessing_as_exhaustive_trial_does() {
    let world = World::open("credit");
    let (data, rows) = world.data("test", 300);
    let (asset, loaded) = world.model("gbm");
    let binding = world.bind(&rows, &asset, &loaded);
    let oracle = open((&asset, &loaded), &data, &binding, EngineKind::Reference, 1);
    let decision = target::decision(&asset, &data.classes).unwrap();
    let found = model::find(loaded.graph(), oracle.output()).unwrap();
    let inputs = target::inputs(&binding).unwrap();
    let free = target::coordinates(&binding);
    let feed = model::feed(loaded.graph(), &found.input, &inputs, &free).unwrap();
    let searcher =
        Searcher::new(&found.ensemble, found.judged, &decision, oracle.columns()).unwrap();
    let threat = world.system.threat_named("enquirer").unwrap();
    let space = target::space(&binding, threat.scale, &|_| None).unwrap();
    let axis = |at: usize| Axis {
        lower: space.limits(at).0,
        upper: space.limits(at).1,
        unit: space.unit(at),
        grid: space.grid(at).map(|(origin, step)| Grid { origin, step }),
        ..Axis::FREE
    };
    let axes: Vec<Axis> = feed.places.iter().map(|place| place.map_or(Axis::FIXED, axis)).collect();
    assert_eq!(feed.places.iter().flatten().count(), 4, "{:?}", feed.places);
    let slack = searcher.slack(found.ensemble.arithmetic, found.ensemble.link, &decision);
    assert!(slack > 0.0 && slack < 1e-3, "{slack}");

    let text = include_str!("../../../../benches/python/credit_exhaustive.json");
    let golden: Value = serde_json::from_str(text).unwrap();
    let largest = golden["models"]["gbm"]["budgets"].as_array().unwrap().last().unwrap().clone();
    let (eps, broken) = (largest["eps"].as_f64().unwrap(), largest["broken"].as_object().unwrap());
    let csv = String::from_utf8(world.bytes("test.csv")).unwrap();
    let ids: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let clean: Vec<usize> = (0..oracle.rows())
        .map(|row| decision.decide(&oracle.scores(&[row], oracle.clean(row)).unwrap()).unwrap())
        .collect();
    let (mut seen, mut refused) = (0, 0);
    for (row, values) in feed.values.chunks(feed.columns).enumerate() {
        assert_eq!(searcher.decide(values), clean[row], "row {row}");
        if rows.labels()[row] != 1 || clean[row] != 1 {
            continue;
        }
        refused += 1;
        let question =
            Question { row: values, axes: &axes, norm: Norm::Linf, from: 1, goal: Some(0), slack };
        let found = searcher.nearest(&question, PLENTY, None, &|| false);
        match broken.get(ids[row]).and_then(Value::as_f64) {
            Some(want) => {
                seen += 1;
                assert!((found.lower - want).abs() < 1e-6, "row {row}: {found:?}, tried {want}");
            }
            None => assert!(found.lower > eps, "row {row}: {found:?}, nothing was found"),
        }
    }
    assert_eq!(seen, broken.len());
    assert_eq!(refused, golden["models"]["gbm"]["refused"].as_u64().unwrap());
}
