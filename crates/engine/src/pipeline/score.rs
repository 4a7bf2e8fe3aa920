//! What the declared output says, as scores per class.
//!
//! Owns the reading of probabilities, logits, labels and label maps, and the expansion of one
//! column to two. Must never decide anything from them. Called by [`super`].

use std::collections::BTreeMap;

use super::batch::Bound;
use super::{Answer, request};
use crate::engine::{EngineError, Program};
use crate::value::Value;

/// How the declared output becomes scores.
pub(super) struct Column<'a> {
    pub output: &'a str,
    pub answer: Answer,
    pub classes: usize,
    pub labels: &'a [String],
    pub width: usize,
}

impl Column<'_> {
    /// Scores of the first `rows` rows.
    pub fn scores(&self, value: &Value, rows: usize) -> Result<Vec<f32>, EngineError> {
        if self.answer == Answer::Label {
            return self.labelled(value, rows);
        }
        if let Value::Maps(maps) = value {
            return self.mapped(maps, rows);
        }
        let data = floats(value)?;
        let columns = data.len() / self.width.max(1);
        if columns == self.classes {
            return Ok(data[..rows * columns].to_vec());
        }
        let mut scores = Vec::with_capacity(rows * 2);
        for &v in data.iter().take(rows) {
            let other = if self.answer == Answer::Probability { 1.0 - v } else { 0.0 };
            scores.extend([other, v]);
        }
        Ok(scores)
    }

    fn labelled(&self, value: &Value, rows: usize) -> Result<Vec<f32>, EngineError> {
        let texts: Vec<String> = match value {
            Value::Str(t) => t.data().to_vec(),
            Value::F32(t) => t.data().iter().map(ToString::to_string).collect(),
            other => match other.to_i64s() {
                Some(v) => v.iter().map(ToString::to_string).collect(),
                None => return Err(request("the label output holds neither numbers nor text")),
            },
        };
        let mut scores = vec![0.0; rows * self.classes];
        for (row, text) in texts.iter().take(rows).enumerate() {
            let class = self.labels.iter().position(|l| l == text).ok_or_else(|| {
                let known = self.labels.join("`, `");
                EngineError::Request(format!(
                    "the model answers `{text}`, which is none of the declared labels `{known}`"
                ))
            })?;
            scores[row * self.classes + class] = 1.0;
        }
        Ok(scores)
    }

    fn mapped(&self, maps: &[BTreeMap<String, f32>], rows: usize) -> Result<Vec<f32>, EngineError> {
        let mut scores = Vec::with_capacity(rows * self.classes);
        for map in maps.iter().take(rows) {
            if map.len() != self.classes {
                return Err(EngineError::Request(format!(
                    "the output `{}` maps {} labels, declared are {} classes",
                    self.output,
                    map.len(),
                    self.classes
                )));
            }
            for (i, (_, v)) in map.iter().enumerate() {
                let named = self.labels.get(i).and_then(|label| map.get(label));
                scores.push(*named.unwrap_or(v));
            }
        }
        Ok(scores)
    }
}

/// Columns of the declared output, found by running one batch.
pub(super) fn columns_of(
    program: &dyn Program,
    bound: &Bound,
    output: &str,
    answer: Answer,
) -> Result<usize, EngineError> {
    if bound.rows == 0 {
        return Err(request("there are no rows"));
    }
    let inputs = bound.inputs(&[0], &bound.clean[..bound.dims], bound.width)?;
    let values = program.run(&inputs, &[output])?;
    let value = values.first().ok_or_else(|| request("the engine gave no output"))?;
    if let Value::Maps(maps) = value {
        return Ok(maps.first().map_or(0, BTreeMap::len));
    }
    if value.len() % bound.width != 0 || value.is_empty() {
        return Err(EngineError::Request(format!(
            "the output `{output}` has shape {:?} for {} rows: not one answer per row",
            value.shape(),
            bound.width
        )));
    }
    if answer == Answer::Label && value.len() != bound.width {
        return Err(EngineError::Request(format!("the output `{output}` is no label per row")));
    }
    Ok(value.len() / bound.width)
}

/// Elements as `f32`.
pub(super) fn floats(value: &Value) -> Result<Vec<f32>, EngineError> {
    match value {
        Value::F32(t) => Ok(t.data().to_vec()),
        other => match other.to_f64s() {
            Some(v) => Ok(v.into_iter().map(|v| v as f32).collect()),
            None => Err(request("the output holds no numbers")),
        },
    }
}
