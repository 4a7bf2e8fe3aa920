//! Whether a model answers the rows of a batch one by one.
//!
//! Owns the trial: a row among others and the same row among copies of itself must get the same
//! bits. A reduction over the batch, a normalisation with the batch's own statistics or a scale
//! for the whole batch make a row's answer depend on its neighbours; such a model is asked row by
//! row, as a caller with one row would. Called where batches are put together.

use std::sync::OnceLock;

use super::request;
use super::rows::pick_rows;
use crate::engine::EngineError;
use crate::value::{Inputs, Value};

/// What was found of a program, once rows that differ were seen.
#[derive(Default)]
pub(super) struct Known(OnceLock<bool>);

impl Known {
    /// Whether a row's answer is the same among these rows and alone. The model is asked once;
    /// `fixed` is set where the file fixes the width of a batch.
    pub(super) fn apart(
        &self,
        run: impl Fn(&[usize]) -> Result<Vec<Value>, EngineError>,
        inputs: &Inputs,
        rows: usize,
        (width, fixed): (usize, bool),
    ) -> Result<bool, EngineError> {
        if let Some(&known) = self.0.get() {
            return Ok(known);
        }
        if !varied(inputs, rows) {
            return Ok(fixed || alike(run, width)?);
        }
        let found = apart(run, rows, width)?;
        Ok(*self.0.get_or_init(|| found))
    }
}

/// Whether the first and the last of `rows` rows get the same bits among other rows and among
/// their own copies, in batches of `width`. `run` answers a batch of those rows.
pub(super) fn apart(
    run: impl Fn(&[usize]) -> Result<Vec<Value>, EngineError>,
    rows: usize,
    width: usize,
) -> Result<bool, EngineError> {
    if rows < 2 || width < 2 {
        return Ok(true);
    }
    let mixed: Vec<usize> = (0..width).map(|i| i % rows).collect();
    let whole = run(&mixed)?;
    for at in [0, rows.min(width) - 1] {
        let alone = run(&vec![at; width])?;
        let same = whole.iter().zip(&alone).all(|(whole, alone)| {
            match (pick_rows(whole, &[at]), pick_rows(alone, &[at])) {
                (Some(whole), Some(alone)) => bits(&whole, &alone),
                // Without rows there is nothing to compare; who reads the output says so.
                _ => true,
            }
        });
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether rows differ at all: copies of one row show nothing.
pub(super) fn varied(inputs: &Inputs, rows: usize) -> bool {
    let differs = |value: &Value| {
        let first = pick_rows(value, &[0]);
        (1..rows).any(|row| pick_rows(value, &[row]) != first)
    };
    inputs.values().any(differs)
}

/// Whether copies of the first row in a batch of `width` get the answer that it gets alone, but
/// for rounding: what can be said where there are no rows that differ.
pub(super) fn alike(
    run: impl Fn(&[usize]) -> Result<Vec<Value>, EngineError>,
    width: usize,
) -> Result<bool, EngineError> {
    if width < 2 {
        return Ok(true);
    }
    let (copies, alone) = (run(&vec![0; width])?, run(&[0])?);
    let near = |(copy, alone): (&Value, &Value)| {
        let Some(copy) = pick_rows(copy, &[0]) else { return true };
        match (copy.to_f64s(), alone.to_f64s()) {
            (Some(copy), Some(alone)) => copy.iter().zip(&alone).all(|(a, b)| {
                let apart = (a - b).abs();
                apart <= ROUNDING * b.abs().max(1.0) || a.to_bits() == b.to_bits()
            }),
            _ => copy == *alone,
        }
    };
    Ok(copies.iter().zip(&alone).all(near))
}

/// Those rows of every input.
pub(super) fn picked(inputs: &Inputs, rows: &[usize]) -> Result<Inputs, EngineError> {
    let pick = |(name, value): (&String, &Value)| {
        let value = pick_rows(value, rows).ok_or_else(|| request("no such row"))?;
        Ok((name.clone(), value))
    };
    inputs.iter().map(pick).collect()
}

/// Why a model that is written for batches of one size cannot be asked row by row.
pub(super) fn mixed(width: usize) -> EngineError {
    EngineError::Request(format!(
        "the model is written for batches of {width} rows and the answer of a row changes with \
         the others (a reduction over the batch, or statistics of the batch): export it with a \
         batch size of 1 or a dynamic one, in evaluation mode"
    ))
}

/// Whether two values are the same bit by bit.
pub(super) fn bits(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => {
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            a.shape() == b.shape() && a.data().iter().zip(b.data()).all(same)
        }
        (Value::F64(a), Value::F64(b)) => {
            let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
            a.shape() == b.shape() && a.data().iter().zip(b.data()).all(same)
        }
        _ => a == b,
    }
}

/// What kernels for batches of different sizes may differ by, by the larger of 1 and the value.
const ROUNDING: f64 = 1e-3;
