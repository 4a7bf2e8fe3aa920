//! Reductions over axes: `Reduce*`, `ArgMax`, `ArgMin`.
//!
//! Owns the order of summation: along the reduced elements in row-major order, in blocks, so
//! that a result does not depend on what lies beside it. Called by the registry.

use super::arith::{larger, smaller};
use super::broadcast;
use super::float::Float;
use super::op::{
    Args, Kernel, OpError, Spec, around, axes_mask, axis_of, float_dispatch, misshapen, mistyped,
    strides, tensor, volume,
};
use crate::value::{Tensor, Value};

/// Which reduction.
#[derive(Clone, Copy, PartialEq)]
enum Fold {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// Terms added up before they join the total: keeps the rounding error of long sums small.
const BLOCK: usize = 128;

/// `ReduceSum`
pub fn sum(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::Sum, 13)
}
/// `ReduceMean`
pub fn mean(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::Mean, 18)
}
/// `ReduceMax`
pub fn max(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::Max, 18)
}
/// `ReduceMin`
pub fn min(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::Min, 18)
}
/// `ReduceProd`
pub fn prod(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::Prod, 18)
}
/// `ReduceL1`
pub fn l1(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::L1, 18)
}
/// `ReduceL2`
pub fn l2(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::L2, 18)
}
/// `ReduceSumSquare`
pub fn sum_square(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::SumSquare, 18)
}
/// `ReduceLogSum`
pub fn log_sum(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::LogSum, 18)
}
/// `ReduceLogSumExp`
pub fn log_sum_exp(spec: &Spec) -> Result<Kernel, OpError> {
    reduce(spec, Fold::LogSumExp, 18)
}

/// `inputs_since`: the opset that moved the axes from an attribute to an input.
fn reduce(spec: &Spec, fold: Fold, inputs_since: i64) -> Result<Kernel, OpError> {
    let keep = spec.flag("keepdims", true)?;
    let idle = spec.flag("noop_with_empty_axes", false)?;
    let fixed = spec.ints("axes")?.map(<[i64]>::to_vec);
    let as_input = spec.opset >= inputs_since;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let axes = if as_input { args.ints_optional(1)? } else { fixed.clone() };
        let axes = axes.unwrap_or_default();
        if axes.is_empty() && idle {
            return idle_result(x, fold);
        }
        let mask = match axes.is_empty() {
            true => vec![true; x.shape().len()],
            false => axes_mask(&axes, x.shape().len())?,
        };
        Ok(vec![match x {
            Value::F32(t) => Value::F32(floats(t, &mask, keep, fold)?),
            Value::F64(t) => Value::F64(floats(t, &mask, keep, fold)?),
            Value::I64(t) => Value::I64(integers(t, &mask, keep, fold)?),
            Value::I32(t) => {
                let wide = t.map(|&v| i64::from(v));
                Value::I32(integers(&wide, &mask, keep, fold)?.map(|&v| v as i32))
            }
            Value::U8(t) if matches!(fold, Fold::Max | Fold::Min) => {
                let wide = t.map(|&v| i64::from(v));
                Value::U8(integers(&wide, &mask, keep, fold)?.map(|&v| v as u8))
            }
            Value::I8(t) if matches!(fold, Fold::Max | Fold::Min) => {
                let wide = t.map(|&v| i64::from(v));
                Value::I8(integers(&wide, &mask, keep, fold)?.map(|&v| v as i8))
            }
            other => return Err(mistyped(0, other, "a number")),
        }])
    }))
}

/// No axis and `noop_with_empty_axes`: every element is reduced alone.
fn idle_result(x: &Value, fold: Fold) -> Result<Vec<Value>, OpError> {
    let alone = vec![false; x.shape().len()];
    Ok(vec![match x {
        Value::F32(t) => Value::F32(floats(t, &alone, true, fold)?),
        Value::F64(t) => Value::F64(floats(t, &alone, true, fold)?),
        Value::I64(t) => Value::I64(integers(t, &alone, true, fold)?),
        other => return Err(mistyped(0, other, "a number")),
    }])
}

/// Calls `f` with the offsets of every group of reduced elements, in row-major order of the
/// kept dimensions; gives the shape of the result.
fn groups(
    shape: &[usize],
    mask: &[bool],
    keep: bool,
    mut f: impl FnMut(usize, &[usize]) -> Result<(), OpError>,
) -> Result<Vec<usize>, OpError> {
    let own = strides(shape);
    let pick = |wanted: bool| -> (Vec<usize>, Vec<usize>) {
        (0..shape.len()).filter(|&i| mask[i] == wanted).map(|i| (shape[i], own[i])).unzip()
    };
    let ((kept, kept_strides), (gone, gone_strides)) = (pick(false), pick(true));
    let mut inner = Vec::new();
    broadcast::walk(&gone, [&gone_strides], |[i]| inner.push(i));
    let mut result = Ok(());
    broadcast::walk(&kept, [&kept_strides], |[base]| {
        if result.is_ok() {
            result = f(base, &inner);
        }
    });
    result?;
    let out = shape.iter().zip(mask);
    Ok(match keep {
        true => out.map(|(&d, &m)| if m { 1 } else { d }).collect(),
        false => out.filter(|(_, m)| !**m).map(|(&d, _)| d).collect(),
    })
}

fn floats<T: Float>(
    t: &Tensor<T>,
    mask: &[bool],
    keep: bool,
    fold: Fold,
) -> Result<Tensor<T>, OpError> {
    let mut out = Vec::new();
    let shape = groups(t.shape(), mask, keep, |base, inner| {
        let values = inner.iter().map(|&i| t.data()[base + i]);
        out.push(reduce_floats(values, inner.len(), fold));
        Ok(())
    })?;
    tensor(shape, out)
}

fn reduce_floats<T: Float>(v: impl Iterator<Item = T> + Clone, n: usize, fold: Fold) -> T {
    match fold {
        Fold::Sum => blocked(v),
        Fold::Mean => blocked(v) / T::from_f64(n as f64),
        Fold::Max => v.fold(T::LOWEST, |a, b| larger(b, a)),
        Fold::Min => v.fold(-T::LOWEST, |a, b| smaller(b, a)),
        Fold::Prod => v.fold(T::ONE, |a, b| a * b),
        Fold::L1 => blocked(v.map(T::abs)),
        Fold::L2 => blocked(v.map(|x| x * x)).sqrt(),
        Fold::SumSquare => blocked(v.map(|x| x * x)),
        Fold::LogSum => blocked(v).ln(),
        Fold::LogSumExp => {
            let top = v.clone().fold(T::LOWEST, |a, b| larger(b, a));
            // Nothing but negative infinity, or an infinity that is the answer itself.
            let shift = if top.is_infinite() { T::ZERO } else { top };
            blocked(v.map(|x| (x - shift).exp())).ln() + shift
        }
    }
}

/// A sum in blocks of [`BLOCK`].
pub fn blocked<T: Float>(values: impl Iterator<Item = T>) -> T {
    let (mut total, mut part, mut n) = (T::ZERO, T::ZERO, 0);
    for v in values {
        part += v;
        n += 1;
        if n == BLOCK {
            total += part;
            (part, n) = (T::ZERO, 0);
        }
    }
    total + part
}

fn integers(
    t: &Tensor<i64>,
    mask: &[bool],
    keep: bool,
    fold: Fold,
) -> Result<Tensor<i64>, OpError> {
    let mut out = Vec::new();
    let shape = groups(t.shape(), mask, keep, |base, inner| {
        let v = inner.iter().map(|&i| t.data()[base + i]);
        out.push(match fold {
            Fold::Sum => v.fold(0, i64::wrapping_add),
            Fold::Mean if !inner.is_empty() => v.fold(0, i64::wrapping_add) / inner.len() as i64,
            Fold::Max => v.max().unwrap_or(i64::MIN),
            Fold::Min => v.min().unwrap_or(i64::MAX),
            Fold::Prod => v.fold(1, i64::wrapping_mul),
            Fold::L1 => v.map(i64::wrapping_abs).fold(0, i64::wrapping_add),
            Fold::SumSquare => v.map(|x| x.wrapping_mul(x)).fold(0, i64::wrapping_add),
            _ => return Err(OpError::Unsupported("this reduction of integers".to_string())),
        });
        Ok(())
    })?;
    tensor(shape, out)
}

/// `ArgMax`
pub fn arg_max(spec: &Spec) -> Result<Kernel, OpError> {
    extreme(spec, |a, b| a > b)
}
/// `ArgMin`
pub fn arg_min(spec: &Spec) -> Result<Kernel, OpError> {
    extreme(spec, |a, b| a < b)
}

fn extreme(spec: &Spec, beats: fn(f64, f64) -> bool) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 0)?;
    let keep = spec.flag("keepdims", true)?;
    let last = spec.flag("select_last_index", false)?;
    Ok(Box::new(move |args: &Args| {
        let x = args.required(0)?;
        if matches!(x, Value::I64(_)) {
            return Err(mistyped(0, x, "a float, i32 or 8-bit type"));
        }
        let values = x.to_f64s().ok_or_else(|| mistyped(0, x, "a number"))?;
        let mut shape = x.shape();
        let axis = axis_of(axis, shape.len())?;
        let (before, along, after) = around(&shape, axis);
        if along == 0 {
            return Err(misshapen(format!("axis {axis} of shape {shape:?} is empty")));
        }
        let mut out = Vec::with_capacity(before * after);
        for b in 0..before {
            for a in 0..after {
                let at = |i: usize| values[(b * along + i) * after + a];
                let mut best = 0;
                for i in 1..along {
                    if beats(at(i), at(best)) || (last && at(i) == at(best)) {
                        best = i;
                    }
                }
                out.push(best as i64);
            }
        }
        if keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Ok(vec![Value::I64(tensor(shape, out)?)])
    }))
}

/// `CumSum`
pub fn cum_sum(spec: &Spec) -> Result<Kernel, OpError> {
    let (exclusive, reverse) = (spec.flag("exclusive", false)?, spec.flag("reverse", false)?);
    fn of<T: Copy>(
        t: &Tensor<T>,
        axis: i64,
        (exclusive, reverse): (bool, bool),
        (zero, add): (T, fn(T, T) -> T),
    ) -> Result<Tensor<T>, OpError> {
        let axis = axis_of(axis, t.rank())?;
        let (before, along, after) = around(t.shape(), axis);
        let mut out = t.data().to_vec();
        for (b, a) in (0..before).flat_map(|b| (0..after).map(move |a| (b, a))) {
            let mut total = zero;
            for i in 0..along {
                let i = if reverse { along - 1 - i } else { i };
                let at = (b * along + i) * after + a;
                let next = add(total, t.data()[at]);
                out[at] = if exclusive { total } else { next };
                total = next;
            }
        }
        tensor(t.shape().to_vec(), out)
    }
    Ok(Box::new(move |args| {
        let axes = args.ints(1)?;
        let &[axis] = axes.as_slice() else {
            return Err(misshapen(format!("expected one axis, given {}", axes.len())));
        };
        let how = (exclusive, reverse);
        Ok(vec![match args.required(0)? {
            Value::F32(t) => Value::F32(of(t, axis, how, (0.0, |a, b| a + b))?),
            Value::F64(t) => Value::F64(of(t, axis, how, (0.0, |a, b| a + b))?),
            Value::I64(t) => Value::I64(of(t, axis, how, (0, i64::wrapping_add))?),
            Value::I32(t) => Value::I32(of(t, axis, how, (0, i32::wrapping_add))?),
            other => return Err(mistyped(0, other, "a number")),
        }])
    }))
}

/// `Softmax`: along one axis since opset 13, over everything behind `axis` before.
pub fn softmax(spec: &Spec) -> Result<Kernel, OpError> {
    normalised(spec, false)
}
/// `LogSoftmax`
pub fn log_softmax(spec: &Spec) -> Result<Kernel, OpError> {
    normalised(spec, true)
}

fn normalised(spec: &Spec, log: bool) -> Result<Kernel, OpError> {
    let single = spec.opset >= 13;
    let axis = spec.int_or("axis", if single { -1 } else { 1 })?;
    fn of<T: Float>(
        t: &Tensor<T>,
        (axis, single, log): (i64, bool, bool),
    ) -> Result<Vec<Value>, OpError> {
        let shape = t.shape().to_vec();
        let (before, along, after) = if single {
            around(&shape, axis_of(axis, shape.len())?)
        } else {
            let axis =
                if axis == shape.len() as i64 { shape.len() } else { axis_of(axis, shape.len())? };
            (shape[..axis].iter().product(), shape[axis..].iter().product(), 1)
        };
        volume(&shape)?;
        let mut out = t.data().to_vec();
        for (b, a) in (0..before).flat_map(|b| (0..after).map(move |a| (b, a))) {
            softmax_of(&mut out, b * along * after + a, after, along, log);
        }
        Ok(vec![T::wrap(tensor(shape, out)?)])
    }
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, t => of(t, (axis, single, log)))))
}

/// `Hardmax`: 1 at the first maximum, else 0; flattened before opset 13.
pub fn hardmax(spec: &Spec) -> Result<Kernel, OpError> {
    let single = spec.opset >= 13;
    let axis = spec.int_or("axis", if single { -1 } else { 1 })?;
    fn of<T: Float>(t: &Tensor<T>, axis: i64, single: bool) -> Result<Vec<Value>, OpError> {
        let shape = t.shape().to_vec();
        let (before, along, after) = match axis_of(axis, shape.len())? {
            axis if single => around(&shape, axis),
            axis => (shape[..axis].iter().product(), shape[axis..].iter().product(), 1),
        };
        let mut out = vec![T::ZERO; t.len()];
        for (b, a) in (0..before).flat_map(|b| (0..after).map(move |a| (b, a))) {
            let at = |i: usize| (b * along + i) * after + a;
            let first =
                (0..along).reduce(|m, i| if t.data()[at(i)] > t.data()[at(m)] { i } else { m });
            if let Some(first) = first {
                out[at(first)] = T::ONE;
            }
        }
        Ok(vec![T::wrap(tensor(shape, out)?)])
    }
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, t => of(t, axis, single))))
}

/// Softmax in place over `n` elements from `start` in steps of `step`.
pub fn softmax_of<T: Float>(v: &mut [T], start: usize, step: usize, n: usize, log: bool) {
    let at = |i: usize| start + i * step;
    let top = (0..n).fold(T::LOWEST, |m, i| larger(v[at(i)], m));
    let total = blocked((0..n).map(|i| (v[at(i)] - top).exp()));
    let shift = total.ln();
    for i in 0..n {
        let x = v[at(i)] - top;
        v[at(i)] = if log { x - shift } else { x.exp() / total };
    }
}
