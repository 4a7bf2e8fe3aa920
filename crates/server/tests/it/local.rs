//! The model in this process beside the scores of its training framework, and under bad luck.

use std::time::{Duration, Instant};

use proofmark_dataset::table::{Cells, Column, Table};
use proofmark_engine::model::Model;
use proofmark_schema::system::System;
use proofmark_server::local::{LocalError, LocalModel, LocalScorer};
use proofmark_server::scorer::{Question, Rows, ScoreError, Scorer};

use crate::support::{declared, example};

fn model(name: &str) -> Model {
    let path = example().join(format!("{name}.onnx"));
    Model::from_onnx(&std::fs::read(path).unwrap(), &|_| Err("none".into())).unwrap()
}

fn open(system: &System, name: &str, expected: Option<&str>) -> Result<LocalScorer, LocalError> {
    LocalScorer::open(&LocalModel {
        model: &model(name),
        expected,
        asset: system.model_named(name).unwrap(),
        features: &system.features,
        classes: &system.test_data().unwrap().classes,
        threads: 2,
        queue: 8,
    })
}

fn rows(table: &Table, from: usize, to: usize) -> Rows {
    let cut = |c: &Column| Column {
        cells: match &c.cells {
            Cells::Numbers(v) => Cells::Numbers(v[from..to].to_vec()),
            Cells::Texts(v) => Cells::Texts(v[from..to].to_vec()),
        },
        ..c.clone()
    };
    Rows::table(to - from, table.columns.iter().map(cut).collect()).unwrap()
}

fn table(system: &System) -> Table {
    let asset = system.test_data().unwrap();
    let bytes = std::fs::read(example().join(&asset.path)).unwrap();
    Table::read(&bytes, asset, &system.features).unwrap()
}

fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[test]
fn scores_are_those_of_the_training_framework_however_rows_are_batched() {
    let system = declared();
    let table = table(&system);
    for name in ["mlp", "gbm"] {
        let bytes = std::fs::read(example().join(format!("expected_{name}.npy"))).unwrap();
        let expected = proofmark_formats::npy::read(&bytes).unwrap();
        let width = expected.shape().get(1).copied().unwrap_or(1);
        let expected = expected.data().to_f32().unwrap();
        let scorer = open(&system, name, None).unwrap();
        assert_eq!(scorer.name(), name);
        let mut all = Vec::new();
        let mut from = 0;
        for size in [1usize, 2, 31, 32, 33].into_iter().cycle() {
            let to = (from + size).min(table.n);
            if from == to {
                break;
            }
            let question = Question { rows: rows(&table, from, to), deadline: within(60) };
            let scores = scorer.score_blocking(&question).unwrap();
            assert_eq!((scores.classes, scores.values.len()), (2, 2 * (to - from)));
            all.extend(scores.values);
            from = to;
        }
        // One column is the probability of the last class.
        let last = |row: usize| if width == 1 { expected[row] } else { expected[2 * row + 1] };
        for row in 0..table.n {
            let far = (all[2 * row + 1] - last(row)).abs();
            assert!(far < 1e-5, "{name}, row {row}: {} and {}", all[2 * row + 1], last(row));
        }
    }
}

#[test]
fn only_the_expected_file_is_served() {
    let system = declared();
    let digest = model("mlp").digest();
    let served = open(&system, "mlp", Some(&digest)).unwrap();
    assert_eq!(served.sha256(), Some(digest.as_str()));
    let error = open(&system, "gbm", Some(&digest)).unwrap_err();
    assert!(matches!(&error, LocalError::Digest { model, .. } if model == "gbm"), "{error}");
}

#[test]
fn a_passed_deadline_a_full_queue_and_foreign_rows_are_told_apart() {
    let system = declared();
    let table = table(&system);
    let scorer = open(&system, "mlp", None).unwrap();
    let rows = rows(&table, 0, 1);
    let late = Question { rows: rows.clone(), deadline: Instant::now() };
    assert_eq!(scorer.score_blocking(&late), Err(ScoreError::Deadline));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(scorer.score(&late)), Err(ScoreError::Deadline));
    // Rows of one foreign column: whoever is asked would refuse them.
    let foreign = Column {
        name: "moon".into(),
        kind: proofmark_schema::system::FeatureKind::Number,
        cells: Cells::Numbers(vec![1.0]),
    };
    let foreign = Rows::table(1, vec![foreign]).unwrap();
    let question = Question { rows: foreign, deadline: within(60) };
    let refused = scorer.score_blocking(&question);
    assert!(matches!(refused, Err(ScoreError::Refused(_))), "{refused:?}");
    // And it goes on answering.
    let question = Question { rows, deadline: within(60) };
    assert!(runtime.block_on(scorer.score(&question)).is_ok());
    assert!(Rows::table(2, table.columns.clone()).is_none(), "columns of another length");
    assert!(Rows::images(1, [1, 2, 2], vec![0.0; 3]).is_none());
}
