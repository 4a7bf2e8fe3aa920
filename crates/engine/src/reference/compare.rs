//! Comparisons, logic and selection.
//!
//! Owns `Equal` and its family, `And` and its family, `Where`, `IsNaN`, `IsInf`. Called by the
//! registry.

use std::cmp::Ordering;

use super::broadcast;
use super::op::{Kernel, OpError, Spec, mistyped, tensor};
use crate::value::{Tensor, Value};

/// `Equal`
pub fn equal(_: &Spec) -> Result<Kernel, OpError> {
    comparison(|o| o == Some(Ordering::Equal))
}
/// `Greater`
pub fn greater(_: &Spec) -> Result<Kernel, OpError> {
    comparison(|o| o == Some(Ordering::Greater))
}
/// `GreaterOrEqual`
pub fn greater_or_equal(_: &Spec) -> Result<Kernel, OpError> {
    comparison(|o| matches!(o, Some(Ordering::Greater | Ordering::Equal)))
}
/// `Less`
pub fn less(_: &Spec) -> Result<Kernel, OpError> {
    comparison(|o| o == Some(Ordering::Less))
}
/// `LessOrEqual`
pub fn less_or_equal(_: &Spec) -> Result<Kernel, OpError> {
    comparison(|o| matches!(o, Some(Ordering::Less | Ordering::Equal)))
}

fn comparison(holds: fn(Option<Ordering>) -> bool) -> Result<Kernel, OpError> {
    fn of<T: PartialOrd + Clone>(
        a: &Tensor<T>,
        b: &Tensor<T>,
        holds: fn(Option<Ordering>) -> bool,
    ) -> Result<Tensor<bool>, OpError> {
        broadcast::zip(a, b, |x, y| holds(x.partial_cmp(y)))
    }
    Ok(Box::new(move |args| {
        let out = match (args.required(0)?, args.required(1)?) {
            (Value::F32(a), Value::F32(b)) => of(a, b, holds),
            (Value::F64(a), Value::F64(b)) => of(a, b, holds),
            (Value::I64(a), Value::I64(b)) => of(a, b, holds),
            (Value::I32(a), Value::I32(b)) => of(a, b, holds),
            (Value::U8(a), Value::U8(b)) => of(a, b, holds),
            (Value::I8(a), Value::I8(b)) => of(a, b, holds),
            (Value::Bool(a), Value::Bool(b)) => of(a, b, holds),
            (Value::Str(a), Value::Str(b)) => of(a, b, holds),
            (_, b) => Err(mistyped(1, b, "the type of input 0")),
        }?;
        Ok(vec![Value::Bool(out)])
    }))
}

/// `And`
pub fn and(_: &Spec) -> Result<Kernel, OpError> {
    logic(|a, b| a && b)
}
/// `Or`
pub fn or(_: &Spec) -> Result<Kernel, OpError> {
    logic(|a, b| a || b)
}
/// `Xor`
pub fn xor(_: &Spec) -> Result<Kernel, OpError> {
    logic(|a, b| a != b)
}

fn logic(f: fn(bool, bool) -> bool) -> Result<Kernel, OpError> {
    Ok(Box::new(move |args| match (args.required(0)?, args.required(1)?) {
        (Value::Bool(a), Value::Bool(b)) => {
            Ok(vec![Value::Bool(broadcast::zip(a, b, |&x, &y| f(x, y))?)])
        }
        (Value::Bool(_), b) => Err(mistyped(1, b, "bool")),
        (a, _) => Err(mistyped(0, a, "bool")),
    }))
}

/// `Not`
pub fn not(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| match args.required(0)? {
        Value::Bool(a) => Ok(vec![Value::Bool(a.map(|&x| !x))]),
        other => Err(mistyped(0, other, "bool")),
    }))
}

/// `IsNaN`
pub fn is_nan(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| match args.required(0)? {
        Value::F32(a) => Ok(vec![Value::Bool(a.map(|x| x.is_nan()))]),
        Value::F64(a) => Ok(vec![Value::Bool(a.map(|x| x.is_nan()))]),
        other => Err(mistyped(0, other, "a float type")),
    }))
}

/// `IsInf`
pub fn is_inf(spec: &Spec) -> Result<Kernel, OpError> {
    let below = spec.flag("detect_negative", true)?;
    let above = spec.flag("detect_positive", true)?;
    let hit = move |x: f64| x.is_infinite() && if x > 0.0 { above } else { below };
    Ok(Box::new(move |args| match args.required(0)? {
        Value::F32(a) => Ok(vec![Value::Bool(a.map(|&x| hit(f64::from(x))))]),
        Value::F64(a) => Ok(vec![Value::Bool(a.map(|&x| hit(x)))]),
        other => Err(mistyped(0, other, "a float type")),
    }))
}

/// `Where`
pub fn choose(_: &Spec) -> Result<Kernel, OpError> {
    fn of<T: Clone>(c: &Tensor<bool>, a: &Tensor<T>, b: &Tensor<T>) -> Result<Tensor<T>, OpError> {
        if c.shape() == a.shape() && a.shape() == b.shape() {
            let pairs = a.data().iter().zip(b.data());
            let data = c.data().iter().zip(pairs).map(|(&c, (x, y))| if c { x } else { y });
            return tensor(a.shape().to_vec(), data.cloned().collect());
        }
        let to = broadcast::shape(&broadcast::shape(c.shape(), a.shape())?, b.shape())?;
        let s = |t: &[usize]| broadcast::strides_to(t, &to);
        let (sc, sa, sb) = (s(c.shape()), s(a.shape()), s(b.shape()));
        let mut data = Vec::with_capacity(super::op::volume(&to)?);
        broadcast::walk(&to, [&sc, &sa, &sb], |[i, j, k]| {
            let source = if c.data()[i] { &a.data()[j] } else { &b.data()[k] };
            data.push(source.clone());
        });
        tensor(to, data)
    }
    Ok(Box::new(|args| {
        let Value::Bool(c) = args.required(0)? else {
            return Err(mistyped(0, args.required(0)?, "bool"));
        };
        Ok(vec![match (args.required(1)?, args.required(2)?) {
            (Value::F32(a), Value::F32(b)) => Value::F32(of(c, a, b)?),
            (Value::F64(a), Value::F64(b)) => Value::F64(of(c, a, b)?),
            (Value::I64(a), Value::I64(b)) => Value::I64(of(c, a, b)?),
            (Value::I32(a), Value::I32(b)) => Value::I32(of(c, a, b)?),
            (Value::U8(a), Value::U8(b)) => Value::U8(of(c, a, b)?),
            (Value::I8(a), Value::I8(b)) => Value::I8(of(c, a, b)?),
            (Value::Bool(a), Value::Bool(b)) => Value::Bool(of(c, a, b)?),
            (Value::Str(a), Value::Str(b)) => Value::Str(of(c, a, b)?),
            (_, b) => return Err(mistyped(2, b, "the type of input 1")),
        }])
    }))
}
