//! Operators that make indices, or pick by them: ranges, one-hot vectors, sorting, triangles.
//!
//! Owns the order of equal elements: the first comes first. Called by the registry.

use std::cmp::Ordering;

use super::float::Float;
use super::op::{
    Args, ELEMENTS_MAX, Kernel, OpError, Spec, around, axis_of, float_dispatch, misshapen,
    mistyped, strides, tensor, volume, volume_of, wrong,
};
use super::shape::{dims, same_type};
use crate::value::{Tensor, Value};

/// `Range`
pub fn arange(_: &Spec) -> Result<Kernel, OpError> {
    fn count(start: f64, limit: f64, delta: f64) -> Result<usize, OpError> {
        let n = ((limit - start) / delta).ceil().max(0.0);
        if !n.is_finite() {
            return Err(OpError::Value(format!("no range from {start} to {limit} by {delta}")));
        }
        volume(&[n as usize])
    }
    fn of<T: Float>(s: &Tensor<T>, args: &Args) -> Result<Vec<Value>, OpError> {
        let one = |t: &Tensor<T>| t.data().first().copied().ok_or_else(|| misshapen("no bound"));
        let (s, l, d) = (one(s)?, one(args.float(1)?)?, one(args.float(2)?)?);
        let n = count(s.to_f64(), l.to_f64(), d.to_f64())?;
        let data = (0..n).map(|i| s + T::from_f64(i as f64) * d).collect();
        Ok(vec![T::wrap(Tensor::vector(data))])
    }
    Ok(Box::new(|args| {
        let start = args.required(0)?;
        if let Value::I64(_) | Value::I32(_) = start {
            let one = |i| Ok(args.ints(i)?.first().copied().unwrap_or(0));
            let (s, l, d) = (one(0)?, one(1)?, one(2)?);
            let n = count(s as f64, l as f64, d as f64)?;
            let data = (0..n as i64).map(|i| s.wrapping_add(i.wrapping_mul(d)));
            let out = Tensor::vector(data.collect());
            return Ok(vec![match start {
                Value::I32(_) => Value::I32(out.map(|&v| v as i32)),
                _ => Value::I64(out),
            }]);
        }
        float_dispatch!(0, start, s => of(s, args))
    }))
}

/// `OneHot`
pub fn one_hot(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", -1)?;
    fn of<T: Clone>(
        values: &Tensor<T>,
        at: &[Option<usize>],
        (before, depth, after): (usize, usize, usize),
        shape: Vec<usize>,
    ) -> Result<Tensor<T>, OpError> {
        let [off, on] = values.data() else {
            return Err(misshapen("expected the two values off and on"));
        };
        let mut data = vec![off.clone(); volume_of::<T>(&shape)?];
        for (k, i) in at.iter().enumerate() {
            if let Some(i) = i {
                data[((k / after.max(1)) * depth + i) * after + k % after.max(1)] = on.clone();
            }
        }
        debug_assert_eq!(before * after, at.len());
        tensor(shape, data)
    }
    Ok(Box::new(move |args| {
        let (i, depth) = (args.required(0)?, args.required(1)?);
        let depth = depth.to_f64s().and_then(|d| d.first().copied()).unwrap_or(0.0);
        if !(depth >= 1.0 && depth <= ELEMENTS_MAX as f64) {
            return Err(OpError::Value(format!("a depth of {depth}")));
        }
        let depth = depth as usize;
        let list = i.to_f64s().ok_or_else(|| mistyped(0, i, "a number"))?;
        let at: Vec<Option<usize>> = list
            .iter()
            .map(|&v| {
                let v = if v < 0.0 { v + depth as f64 } else { v };
                (v >= 0.0 && v < depth as f64).then_some(v as usize)
            })
            .collect();
        let mut shape = i.shape();
        let axis = axis_of(axis, shape.len() + 1)?;
        let before = shape[..axis].iter().product();
        let after = shape[axis..].iter().product();
        shape.insert(axis, depth);
        let values = args.required(2)?;
        Ok(vec![same_type!(values, v => of(v, &at, (before, depth, after), shape))?])
    }))
}

/// `TopK`: equal values in order of their index.
pub fn top_k(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", -1)?;
    let largest = spec.flag("largest", true)?;
    let fixed = spec.int("k")?;
    fn of<T: Copy + PartialOrd>(
        t: &Tensor<T>,
        (axis, k, largest): (usize, usize, bool),
    ) -> Result<(Tensor<T>, Tensor<i64>), OpError> {
        let (before, along, after) = around(t.shape(), axis);
        if k > along {
            return Err(misshapen(format!("the first {k} of {along} elements")));
        }
        let mut shape = t.shape().to_vec();
        shape[axis] = k;
        let n = volume(&shape)?;
        let (mut values, mut places) = (vec![None; n], vec![0; n]);
        for (b, a) in (0..before).flat_map(|b| (0..after).map(move |a| (b, a))) {
            let at = |i: usize| t.data()[(b * along + i) * after + a];
            let mut order: Vec<usize> = (0..along).collect();
            order.sort_by(|&i, &j| {
                let o = ordered(at(i), at(j));
                if largest { o.reverse() } else { o }
            });
            for (r, &i) in order.iter().take(k).enumerate() {
                values[(b * k + r) * after + a] = Some(at(i));
                places[(b * k + r) * after + a] = i as i64;
            }
        }
        let values = values.into_iter().flatten().collect();
        Ok((tensor(shape.clone(), values)?, tensor(shape, places)?))
    }
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let axis = axis_of(axis, x.shape().len())?;
        let k = match fixed {
            Some(k) => dims(&[k])?,
            None => dims(&args.ints(1)?)?,
        };
        let &[k] = k.as_slice() else { return Err(misshapen("expected one k")) };
        let how = (axis, k, largest);
        let (values, places) = match x {
            Value::F32(t) => of(t, how).map(|(v, p)| (Value::F32(v), p)),
            Value::F64(t) => of(t, how).map(|(v, p)| (Value::F64(v), p)),
            Value::I64(t) => of(t, how).map(|(v, p)| (Value::I64(v), p)),
            Value::I32(t) => of(t, how).map(|(v, p)| (Value::I32(v), p)),
            other => Err(mistyped(0, other, "a number")),
        }?;
        Ok(vec![values, Value::I64(places)])
    }))
}

/// A total order: what is not a number lies above everything, as numpy sorts it.
fn ordered<T: Copy + PartialOrd>(a: T, b: T) -> Ordering {
    let odd = |v: T| v.partial_cmp(&v).is_none();
    a.partial_cmp(&b).unwrap_or_else(|| odd(a).cmp(&odd(b)))
}

/// `EyeLike`
pub fn eye_like(spec: &Spec) -> Result<Kernel, OpError> {
    let k = spec.int_or("k", 0)?;
    let declared = match spec.int("dtype")? {
        None => None,
        Some(code) => {
            let held = i32::try_from(code).ok().and_then(crate::model::held_as);
            Some(held.ok_or_else(|| wrong("dtype", format!("names the unread type {code}")))?)
        }
    };
    let wide = spec.precision == super::Precision::F64;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let &[rows, columns] = shape.as_slice() else {
            return Err(misshapen(format!("expected a matrix, given shape {shape:?}")));
        };
        let n = volume(&[rows, columns])?;
        let on = |i: usize| (i % columns) as i64 - (i / columns) as i64 == k;
        let eye = tensor(shape.clone(), (0..n).map(|i| i64::from(on(i))).collect())?;
        let to = declared.or(x.dtype()).ok_or_else(|| mistyped(0, x, "a tensor"))?;
        Ok(vec![super::cast::converted(&Value::I64(eye), to, wide)?])
    }))
}

/// `Trilu`: keeps the upper or lower triangle of each matrix.
pub fn trilu(spec: &Spec) -> Result<Kernel, OpError> {
    let upper = spec.flag("upper", true)?;
    fn of<T: Clone + Default>(t: &Tensor<T>, k: i64, upper: bool) -> Result<Tensor<T>, OpError> {
        let &[.., rows, columns] = t.shape() else {
            return Err(misshapen(format!("expected matrices, given shape {:?}", t.shape())));
        };
        let keep = |i: usize| {
            let (r, c) = ((i / columns % rows) as i64, (i % columns) as i64);
            if upper { c - r >= k } else { c - r <= k }
        };
        let data = t.data().iter().enumerate();
        let data = data.map(|(i, v)| if keep(i) { v.clone() } else { T::default() });
        tensor(t.shape().to_vec(), data.collect())
    }
    Ok(Box::new(move |args| {
        let k = args.ints_optional(1)?.and_then(|k| k.first().copied()).unwrap_or(0);
        Ok(vec![same_type!(args.required(0)?, t => of(t, k, upper))?])
    }))
}

/// `NonZero`
pub fn non_zero(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let x = args.required(0)?;
        let values = x.to_f64s().ok_or_else(|| mistyped(0, x, "a number"))?;
        let (shape, own) = (x.shape(), strides(&x.shape()));
        let hits: Vec<usize> = (0..values.len()).filter(|&i| values[i] != 0.0).collect();
        let mut data = Vec::with_capacity(hits.len() * shape.len());
        for d in 0..shape.len() {
            data.extend(hits.iter().map(|i| (i / own[d] % shape[d]) as i64));
        }
        Ok(vec![Value::I64(tensor(vec![shape.len(), hits.len()], data)?)])
    }))
}
