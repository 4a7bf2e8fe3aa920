//! Gate 2: the same input, five times, the same bits.
//!
//! Owns the repeated passes. Refuses a model that answers differently to the same input: an
//! attack on it measures luck.

use super::{Finding, Setup};
use crate::oracle::OracleError;

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    let rows: Vec<usize> = (0..setup.clean.rows().min(ROWS)).collect();
    let classes = setup.clean.classes();
    let mut unstable: Vec<usize> = Vec::new();
    for pass in 0..PASSES {
        // Another order each time: an answer must not depend on the neighbours either.
        let mut order = rows.clone();
        order.rotate_left(pass * rows.len() / PASSES);
        let x: Vec<f32> = order.iter().flat_map(|&r| setup.oracle.clean(r)).copied().collect();
        let scores = setup.oracle.scores(&order, &x)?;
        for (&row, got) in order.iter().zip(scores.chunks(classes)) {
            let same =
                got.iter().zip(setup.clean.scores(row)).all(|(a, b)| a.to_bits() == b.to_bits());
            if !same && !unstable.contains(&row) {
                unstable.push(row);
            }
        }
    }
    if unstable.is_empty() {
        return Ok(Finding::ok(format!(
            "{PASSES} passes over {} rows agree bit by bit",
            rows.len()
        )));
    }
    unstable.sort_unstable();
    Ok(Finding::refuse(
        format!(
            "the same input gives different answers: {}",
            super::some_of(&unstable, rows.len())
        ),
        "export the model in inference mode: no dropout, no sampling, no noise",
    ))
}

/// Passes asked for by the field's checklist.
const PASSES: usize = 5;
/// Rows per pass: randomness that spares all of them is not to be feared.
const ROWS: usize = 256;
