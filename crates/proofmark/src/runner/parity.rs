//! Parity: the model file against the scores of its training framework.
//!
//! Owns the two figures. The check that refuses verdicts is gate 1 of the lab.

use proofmark_assess::runner::{ProbeOutcome, RunnerError};
use proofmark_lab::facts::About;
use proofmark_schema::measurement::{Method, Quantity};

use crate::subject::Subject;

/// Largest difference of a score, and the share of rows decided alike.
pub fn measure(subject: &Subject, seed: u64) -> Result<ProbeOutcome, RunnerError> {
    let Some(expected) = &subject.expected else {
        return Err(RunnerError::Failed {
            reason: "there are no expected scores for this data set".into(),
            fix: "declare `expected`, written by the training framework".into(),
        });
    };
    let clean = &subject.clean;
    let classes = clean.classes();
    let rows = clean.rows() as u64;
    let mut largest = 0.0_f64;
    let mut alike = 0;
    for (row, wanted) in expected.chunks(classes).enumerate() {
        let got = clean.scores(row);
        let off = got.iter().zip(wanted).map(|(g, w)| (f64::from(*g) - f64::from(*w)).abs());
        largest = off.fold(largest, f64::max);
        alike += u64::from(clean.decision(row) == subject.decision.decide(wanted));
    }
    let facts = subject.facts(seed);
    let probe = Method { id: "parity".into(), edition: 1 };
    let difference = Quantity::Exact {
        value: largest,
        domain: format!("the {rows} rows"),
        arithmetic: "f32 scores, difference in f64".into(),
    };
    let about = About::default();
    let measurements = vec![
        facts.measurement("parity_max_abs_diff", "1", about, difference, &probe, &subject.setup),
        facts.measurement(
            "parity_same_decision",
            "proportion",
            about,
            facts.share(alike, rows),
            &probe,
            &subject.setup,
        ),
    ];
    Ok(ProbeOutcome {
        measurements,
        artefacts: Vec::new(),
        notes: subject.notes.clone(),
        validity: subject.setup.clone(),
    })
}
