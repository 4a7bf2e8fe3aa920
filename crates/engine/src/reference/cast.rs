//! Conversions between element types.
//!
//! Owns `Cast` and `CastLike`. 16-bit floats are held as `f32`, so a cast to them does not
//! round. Called by the registry.

use super::Precision;
use super::op::{Kernel, OpError, Spec, mistyped, wrong};
use crate::model::held_as;
use crate::value::{DType, Tensor, Value};

/// `Cast`
pub fn cast(spec: &Spec) -> Result<Kernel, OpError> {
    let code = spec.int("to")?.ok_or_else(|| wrong("to", "is missing"))?;
    let to = i32::try_from(code).ok().and_then(held_as);
    let to = to.ok_or_else(|| wrong("to", format!("names the unread element type {code}")))?;
    let wide = spec.precision == Precision::F64;
    Ok(Box::new(move |args| Ok(vec![converted(args.required(0)?, to, wide)?])))
}

/// `CastLike`
pub fn cast_like(spec: &Spec) -> Result<Kernel, OpError> {
    let wide = spec.precision == Precision::F64;
    Ok(Box::new(move |args| {
        let like = args.required(1)?;
        let to = like.dtype().ok_or_else(|| mistyped(1, like, "a tensor"))?;
        Ok(vec![converted(args.required(0)?, to, wide)?])
    }))
}

/// The value in another element type; `wide` keeps `f32` as `f64`.
pub fn converted(v: &Value, to: DType, wide: bool) -> Result<Value, OpError> {
    let to = if wide && to == DType::F32 { DType::F64 } else { to };
    if v.dtype() == Some(to) {
        return Ok(v.clone());
    }
    Ok(match v {
        Value::F32(t) if to == DType::F64 => Value::F64(t.map(|&x| f64::from(x))),
        Value::F32(t) if to == DType::Str => {
            Value::Str(t.map(|&x| text(f64::from(x), x.to_string())))
        }
        Value::F64(t) if to == DType::Str => Value::Str(t.map(|&x| text(x, x.to_string()))),
        Value::F32(t) => from_float(&t.map(|&x| f64::from(x)), to),
        Value::F64(t) => from_float(t, to),
        Value::Str(t) => parsed(t, to)?,
        Value::Bool(t) if to == DType::Str => Value::Str(t.map(|&x| u8::from(x).to_string())),
        other => {
            let data = other.to_i64s().ok_or_else(|| mistyped(0, other, "a tensor"))?;
            from_integer(&super::op::tensor(other.shape(), data)?, to)
        }
    })
}

/// Floats truncate towards zero; what does not fit wraps through 64 bits, as compilers have it.
fn from_float(t: &Tensor<f64>, to: DType) -> Value {
    match to {
        DType::F32 => Value::F32(t.map(|&x| x as f32)),
        DType::F64 => Value::F64(t.clone()),
        DType::Bool => Value::Bool(t.map(|&x| x != 0.0)),
        _ => from_integer(&t.map(|&x| x as i64), to),
    }
}

fn from_integer(t: &Tensor<i64>, to: DType) -> Value {
    match to {
        DType::F32 => Value::F32(t.map(|&x| x as f32)),
        DType::F64 => Value::F64(t.map(|&x| x as f64)),
        DType::I64 => Value::I64(t.clone()),
        DType::I32 => Value::I32(t.map(|&x| x as i32)),
        DType::U8 => Value::U8(t.map(|&x| x as u8)),
        DType::I8 => Value::I8(t.map(|&x| x as i8)),
        DType::Bool => Value::Bool(t.map(|&x| x != 0)),
        DType::Str => Value::Str(t.map(i64::to_string)),
    }
}

fn text(x: f64, shortest: String) -> String {
    match x {
        x if x.is_nan() => "NaN".to_string(),
        f64::INFINITY => "INF".to_string(),
        f64::NEG_INFINITY => "-INF".to_string(),
        _ => shortest,
    }
}

fn parsed(t: &Tensor<String>, to: DType) -> Result<Value, OpError> {
    let number = |s: &String| {
        let trimmed = s.trim();
        match trimmed {
            "INF" | "+INF" => Ok(f64::INFINITY),
            "-INF" => Ok(f64::NEG_INFINITY),
            _ => trimmed.parse::<f64>(),
        }
        .map_err(|_| OpError::Value(format!("`{s}` is not a number")))
    };
    let whole = |s: &String| {
        let trimmed = s.trim();
        trimmed.parse::<i64>().map_err(|_| OpError::Value(format!("`{s}` is not an integer")))
    };
    let shape = t.shape().to_vec();
    if matches!(to, DType::F32 | DType::F64) {
        let data = t.data().iter().map(number).collect::<Result<_, _>>()?;
        return Ok(from_float(&super::op::tensor(shape, data)?, to));
    }
    let data = t.data().iter().map(whole).collect::<Result<_, _>>()?;
    Ok(from_integer(&super::op::tensor(shape, data)?, to))
}
