//! Element-wise arithmetic of two or more inputs, with broadcasting.
//!
//! Owns the binary and variadic operators, for floats and integers. Called by the registry.

use super::broadcast;
use super::float::Float;
use super::op::{Kernel, OpError, Spec, mistyped};
use crate::value::{Tensor, Value};

/// An operator given for each element type it has.
#[derive(Clone, Copy)]
struct Binary {
    f32: fn(f32, f32) -> f32,
    f64: fn(f64, f64) -> f64,
    int: fn(i64, i64) -> Option<i64>,
}

/// `Add`
pub fn add(spec: &Spec) -> Result<Kernel, OpError> {
    binary(
        spec,
        Binary { f32: |a, b| a + b, f64: |a, b| a + b, int: |a, b| Some(a.wrapping_add(b)) },
    )
}
/// `Sub`
pub fn sub(spec: &Spec) -> Result<Kernel, OpError> {
    binary(
        spec,
        Binary { f32: |a, b| a - b, f64: |a, b| a - b, int: |a, b| Some(a.wrapping_sub(b)) },
    )
}
/// `Mul`
pub fn mul(spec: &Spec) -> Result<Kernel, OpError> {
    binary(
        spec,
        Binary { f32: |a, b| a * b, f64: |a, b| a * b, int: |a, b| Some(a.wrapping_mul(b)) },
    )
}
/// `Div`; integers truncate towards zero.
pub fn div(spec: &Spec) -> Result<Kernel, OpError> {
    binary(spec, Binary { f32: |a, b| a / b, f64: |a, b| a / b, int: i64::checked_div })
}
/// `Mod`: the sign of the divisor, or of the dividend with `fmod`.
pub fn modulo(spec: &Spec) -> Result<Kernel, OpError> {
    fn floored<T: Float>(a: T, b: T) -> T {
        let r = a.fmod(b);
        if r != T::ZERO && ((r < T::ZERO) != (b < T::ZERO)) { r + b } else { r }
    }
    if spec.flag("fmod", false)? {
        binary(spec, Binary { f32: |a, b| a % b, f64: |a, b| a % b, int: i64::checked_rem })
    } else {
        let int = |a: i64, b: i64| {
            let r = a.checked_rem(b)?;
            Some(if r != 0 && ((r < 0) != (b < 0)) { r + b } else { r })
        };
        binary(spec, Binary { f32: floored, f64: floored, int })
    }
}

fn binary(spec: &Spec, op: Binary) -> Result<Kernel, OpError> {
    // Before opset 7 the second input lined up with an axis of the first.
    if spec.opset < 7 && spec.node.attributes.contains_key("axis") {
        return Err(OpError::Unsupported("broadcasting along `axis`".to_string()));
    }
    Ok(Box::new(move |args| Ok(vec![apply(op, args.required(0)?, args.required(1)?)?])))
}

fn apply(op: Binary, a: &Value, b: &Value) -> Result<Value, OpError> {
    Ok(match (a, b) {
        (Value::F32(a), Value::F32(b)) => {
            Value::F32(broadcast::zip(a, b, |&x, &y| (op.f32)(x, y))?)
        }
        (Value::F64(a), Value::F64(b)) => {
            Value::F64(broadcast::zip(a, b, |&x, &y| (op.f64)(x, y))?)
        }
        (Value::I64(a), Value::I64(b)) => Value::I64(integers(op, a, b, |v| v)?),
        (Value::I32(a), Value::I32(b)) => Value::I32(integers(op, a, b, |v| v as i32)?),
        (Value::U8(a), Value::U8(b)) => Value::U8(integers(op, a, b, |v| v as u8)?),
        (Value::I8(a), Value::I8(b)) => Value::I8(integers(op, a, b, |v| v as i8)?),
        (_, b) => return Err(mistyped(1, b, "a number like input 0")),
    })
}

/// Integer arithmetic in 64 bits, wrapped to the element type as ONNX Runtime does.
fn integers<T: Copy + Into<i64>>(
    op: Binary,
    a: &Tensor<T>,
    b: &Tensor<T>,
    narrow: fn(i64) -> T,
) -> Result<Tensor<T>, OpError> {
    let mut failed = false;
    let out = broadcast::zip(a, b, |&x, &y| {
        let r = (op.int)(x.into(), y.into());
        failed |= r.is_none();
        narrow(r.unwrap_or(0))
    })?;
    if failed {
        return Err(OpError::Value("integer division by zero or overflow".to_string()));
    }
    Ok(out)
}

/// `Pow`; the result has the type of the base.
pub fn pow(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let (a, b) = (args.required(0)?, args.required(1)?);
        let exponents = || {
            let data = b.to_f64s().ok_or_else(|| mistyped(1, b, "a number"))?;
            super::op::tensor(b.shape(), data)
        };
        Ok(vec![match (a, b) {
            (Value::F32(x), Value::F32(y)) => {
                Value::F32(broadcast::zip(x, y, |&x, &y| power(x, y))?)
            }
            (Value::F32(x), _) => {
                Value::F32(broadcast::zip(x, &exponents()?, |&x, &y| power(x, y as f32))?)
            }
            (Value::F64(x), _) => {
                Value::F64(broadcast::zip(x, &exponents()?, |&x, &y| power(x, y))?)
            }
            (Value::I64(x), _) => {
                Value::I64(broadcast::zip(x, &exponents()?, |&x, &y| (x as f64).powf(y) as i64)?)
            }
            (Value::I32(x), _) => {
                Value::I32(broadcast::zip(x, &exponents()?, |&x, &y| f64::from(x).powf(y) as i32)?)
            }
            (a, _) => return Err(mistyped(0, a, "a number")),
        }])
    }))
}

pub(super) fn power<T: Float>(x: T, e: T) -> T {
    // Squares and cubes exactly as products, the common case in exported models.
    match e.to_f64() {
        2.0 => x * x,
        3.0 => x * x * x,
        _ => x.powf(e),
    }
}

/// `Sum` of any number of inputs.
pub fn sum(_: &Spec) -> Result<Kernel, OpError> {
    fold(Binary { f32: |a, b| a + b, f64: |a, b| a + b, int: |a, b| Some(a.wrapping_add(b)) })
}
/// `Max` of any number of inputs; not a number wins.
pub fn max(_: &Spec) -> Result<Kernel, OpError> {
    fold(Binary { f32: larger, f64: larger, int: |a, b| Some(a.max(b)) })
}
/// `Min` of any number of inputs; not a number wins.
pub fn min(_: &Spec) -> Result<Kernel, OpError> {
    fold(Binary { f32: smaller, f64: smaller, int: |a, b| Some(a.min(b)) })
}
/// `Mean` of any number of inputs.
pub fn mean(_: &Spec) -> Result<Kernel, OpError> {
    let add = Binary { f32: |a, b| a + b, f64: |a, b| a + b, int: |_, _| None };
    let sum = fold(add)?;
    Ok(Box::new(move |args| {
        let n = args.count() as f64;
        let mut out = sum(args)?;
        for v in &mut out {
            match v {
                Value::F32(t) => t.data_mut().iter_mut().for_each(|x| *x /= n as f32),
                Value::F64(t) => t.data_mut().iter_mut().for_each(|x| *x /= n),
                other => return Err(mistyped(0, other, "a float type")),
            }
        }
        Ok(out)
    }))
}

fn fold(op: Binary) -> Result<Kernel, OpError> {
    Ok(Box::new(move |args| {
        let mut total = args.required(0)?.clone();
        for i in 1..args.count() {
            total = apply(op, &total, args.required(i)?)?;
        }
        Ok(vec![total])
    }))
}

/// The larger; not a number wins.
pub fn larger<T: Float>(a: T, b: T) -> T {
    if a.is_nan() || a > b { a } else { b }
}

/// The smaller; not a number wins.
pub fn smaller<T: Float>(a: T, b: T) -> T {
    if a.is_nan() || a < b { a } else { b }
}
