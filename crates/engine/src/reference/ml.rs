//! The operators of `ai.onnx.ml` and those that exporters of classical models write beside them:
//! tree ensembles, linear models, support vectors, scaling, encoding, text.
//!
//! Owns what the classical exporters write. Where the specification is silent the behaviour of
//! ONNX Runtime is followed, since that is what the models are deployed on. Called by the
//! registry.

pub mod distance;
pub mod encode;
pub mod ensemble;
pub mod linear;
mod pattern;
pub mod scale;
pub mod scores;
pub(crate) mod svm;
pub mod text;
pub mod tfidf;
pub mod trees;

use super::Precision;
use super::float::Float;
use super::op::{OpError, misshapen, mistyped, tensor};
use crate::value::{Tensor, Value};

/// A numeric input as floats: `f32` for every type but `f64`, as ONNX Runtime converts, and
/// `f64` in a program of that precision.
enum Floats {
    F32(Tensor<f32>),
    F64(Tensor<f64>),
}

fn floats(v: &Value, index: usize, precision: Precision) -> Result<Floats, OpError> {
    match v {
        Value::F32(t) if precision == Precision::F32 => return Ok(Floats::F32(t.clone())),
        Value::F64(t) => return Ok(Floats::F64(t.clone())),
        _ => {}
    }
    let data = v.to_f64s().ok_or_else(|| mistyped(index, v, "a number"))?;
    let wide = tensor(v.shape(), data)?;
    Ok(match precision {
        Precision::F32 => Floats::F32(wide.map(|&x| x as f32)),
        Precision::F64 => Floats::F64(wide),
    })
}

/// Floats as the operators of `ai.onnx.ml` give them: `f32`, unless the program is wide.
fn given<T: Float>(t: Tensor<T>, precision: Precision) -> Value {
    match precision {
        Precision::F32 => Value::F32(t.map(|&x| x.to_f32())),
        Precision::F64 => Value::F64(t.map(|&x| x.to_f64())),
    }
}

/// Rows and columns; one dimension is one row.
fn rows(shape: &[usize]) -> Result<(usize, usize), OpError> {
    match shape {
        [c] => Ok((1, *c)),
        [n, c] => Ok((*n, *c)),
        _ => Err(misshapen(format!("expected (rows, columns), given shape {shape:?}"))),
    }
}
