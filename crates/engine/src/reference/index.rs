//! Operators that pick or place elements by index: slicing, gathering, scattering, padding.
//!
//! Owns index checks; an index out of range is an error. Called by the registry.

use super::broadcast;
use super::op::{
    Args, Kernel, OpError, Spec, around, axis_of, misshapen, mistyped, strides, tensor, volume,
    volume_of, wrong,
};
use super::shape::same_type;
use crate::value::{DType, Tensor, Value};

/// Element types of two values as one.
macro_rules! pair_type {
    ($a:expr, $b:expr, $index:expr, |$x:ident, $y:ident| $body:expr) => {
        match ($a, $b) {
            (Value::F32($x), Value::F32($y)) => Ok(Value::F32($body?)),
            (Value::F64($x), Value::F64($y)) => Ok(Value::F64($body?)),
            (Value::I64($x), Value::I64($y)) => Ok(Value::I64($body?)),
            (Value::I32($x), Value::I32($y)) => Ok(Value::I32($body?)),
            (Value::U8($x), Value::U8($y)) => Ok(Value::U8($body?)),
            (Value::I8($x), Value::I8($y)) => Ok(Value::I8($body?)),
            (Value::Bool($x), Value::Bool($y)) => Ok(Value::Bool($body?)),
            (Value::Str($x), Value::Str($y)) => Ok(Value::Str($body?)),
            (_, other) => Err(mistyped($index, other, "the type of input 0")),
        }
    };
}

/// `Slice`: bounds as attributes before opset 10, as inputs since.
pub fn slice(spec: &Spec) -> Result<Kernel, OpError> {
    let own = |name: &str| Ok::<_, OpError>(spec.ints(name)?.map(<[i64]>::to_vec));
    let fixed = match own("starts")? {
        None => None,
        Some(starts) => {
            let ends = own("ends")?.ok_or_else(|| wrong("ends", "is missing"))?;
            Some((starts, ends, own("axes")?))
        }
    };
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let (starts, ends, axes, steps) = match &fixed {
            Some((s, e, a)) => (s.clone(), e.clone(), a.clone(), None),
            None => (args.ints(1)?, args.ints(2)?, args.ints_optional(3)?, args.ints_optional(4)?),
        };
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(misshapen("starts, ends, axes and steps differ in length"));
        }
        let shape = x.shape();
        super::op::axes_mask(&axes, shape.len())?;
        let mut picks: Vec<Vec<usize>> = shape.iter().map(|&d| (0..d).collect()).collect();
        for i in 0..starts.len() {
            let axis = axis_of(axes[i], shape.len())?;
            picks[axis] = range(shape[axis], starts[i], ends[i], steps[i])?;
        }
        Ok(vec![same_type!(x, t => picked(t, &picks))?])
    }))
}

/// The indices `start..end` in steps, with Python's clamping.
fn range(size: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, OpError> {
    let n = size as i64;
    let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    Ok(match step {
        0 => return Err(OpError::Value("a step of 0".to_string())),
        1.. => {
            let (from, to) = (wrap(start).clamp(0, n), wrap(end).clamp(0, n));
            (from..to).step_by(step as usize).map(|i| i as usize).collect()
        }
        _ => {
            let (from, to) = (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1));
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            (to + 1..=from).rev().step_by(step).map(|i| i as usize).collect()
        }
    })
}

/// The elements at the product of index lists, one list for each dimension.
pub fn picked<T: Clone>(t: &Tensor<T>, picks: &[Vec<usize>]) -> Result<Tensor<T>, OpError> {
    let shape: Vec<usize> = picks.iter().map(Vec::len).collect();
    let own = strides(t.shape());
    let mut at = vec![0usize];
    for (list, step) in picks.iter().zip(&own) {
        volume(&[at.len(), list.len()])?;
        at = at.iter().flat_map(|&b| list.iter().map(move |&i| b + i * step)).collect();
    }
    tensor(shape, at.into_iter().map(|i| t.data()[i].clone()).collect())
}

/// Indices along a dimension of that size, negative ones from its end.
fn indices(v: &Value, index: usize, size: usize) -> Result<Vec<usize>, OpError> {
    let raw = match v.dtype() {
        Some(DType::I64 | DType::I32) => v.to_i64s(),
        _ => None,
    };
    let raw = raw.ok_or_else(|| mistyped(index, v, "an integer type"))?;
    raw.into_iter().map(|i| place(i, size)).collect()
}

fn place(i: i64, size: usize) -> Result<usize, OpError> {
    let at = if i < 0 { i + size as i64 } else { i };
    usize::try_from(at)
        .ok()
        .filter(|&a| a < size)
        .ok_or_else(|| OpError::Value(format!("index {i} is outside a dimension of size {size}")))
}

/// `Gather`
pub fn gather(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 0)?;
    fn of<T: Clone>(
        t: &Tensor<T>,
        axis: usize,
        at: &[usize],
        shape: &[usize],
    ) -> Result<Tensor<T>, OpError> {
        let (before, along, after) = around(t.shape(), axis);
        let mut out = t.shape()[..axis].to_vec();
        out.extend(shape);
        out.extend(&t.shape()[axis + 1..]);
        let mut data = Vec::with_capacity(volume_of::<T>(&out)?);
        for b in 0..before {
            for &i in at {
                data.extend_from_slice(&t.data()[(b * along + i) * after..][..after]);
            }
        }
        tensor(out, data)
    }
    Ok(Box::new(move |args| {
        let (x, i) = (args.required(0)?, args.required(1)?);
        let axis = axis_of(axis, x.shape().len())?;
        let at = indices(i, 1, x.shape()[axis])?;
        Ok(vec![same_type!(x, t => of(t, axis, &at, &i.shape()))?])
    }))
}

/// `GatherElements`
pub fn gather_elements(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 0)?;
    Ok(Box::new(move |args| {
        let (x, i) = (args.required(0)?, args.required(1)?);
        let offsets = element_offsets(&x.shape(), i, axis)?;
        Ok(vec![same_type!(x, t => runs_at(t, &offsets, 1, i.shape()))?])
    }))
}

/// Offsets into a tensor of `shape` that replace the coordinate on `axis` by the index.
fn element_offsets(shape: &[usize], i: &Value, axis: i64) -> Result<Vec<usize>, OpError> {
    let axis = axis_of(axis, shape.len())?;
    let at = i.shape();
    let fits = at.len() == shape.len() && (0..at.len()).all(|d| d == axis || at[d] <= shape[d]);
    if !fits {
        return Err(misshapen(format!("indices of shape {at:?} do not fit {shape:?}")));
    }
    let list = indices(i, 1, shape[axis])?;
    let own = strides(shape);
    let mut steps = own.clone();
    steps[axis] = 0;
    let mut out = Vec::with_capacity(list.len());
    let mut next = list.iter();
    broadcast::walk(&at, [&steps], |[base]| {
        if let Some(i) = next.next() {
            out.push(base + i * own[axis]);
        }
    });
    Ok(out)
}

/// How a scattered element joins what is there.
#[derive(Clone, Copy)]
enum Join {
    Replace,
    Add,
    Mul,
    Max,
    Min,
}

fn join_of(spec: &Spec) -> Result<Join, OpError> {
    Ok(match spec.text_or("reduction", "none")? {
        "none" => Join::Replace,
        "add" => Join::Add,
        "mul" => Join::Mul,
        "max" => Join::Max,
        "min" => Join::Min,
        other => return Err(wrong("reduction", format!("has the unknown value `{other}`"))),
    })
}

/// Puts `updates` at `offsets` (runs of `run` elements) of a copy of `x`.
fn scattered(
    x: &Value,
    updates: &Value,
    (offsets, run): (&[usize], usize),
    join: Join,
) -> Result<Value, OpError> {
    fn put<T: Clone>(
        t: &Tensor<T>,
        u: &Tensor<T>,
        (offsets, run): (&[usize], usize),
        f: impl Fn(&T, &T) -> T,
    ) -> Result<Tensor<T>, OpError> {
        if u.len() != offsets.len() * run {
            return Err(misshapen(format!("updates of shape {:?} do not fit", u.shape())));
        }
        let mut data = t.data().to_vec();
        for (k, &o) in offsets.iter().enumerate() {
            for j in 0..run {
                data[o + j] = f(&data[o + j], &u.data()[k * run + j]);
            }
        }
        tensor(t.shape().to_vec(), data)
    }
    fn number<T: Copy + PartialOrd>(
        join: Join,
        add: fn(T, T) -> T,
        mul: fn(T, T) -> T,
    ) -> impl Fn(&T, &T) -> T {
        move |&a, &b| match join {
            Join::Replace => b,
            Join::Add => add(a, b),
            Join::Mul => mul(a, b),
            Join::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
            Join::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
        }
    }
    let to = (offsets, run);
    match (join, x, updates) {
        (Join::Replace, x, u) => pair_type!(x, u, 2, |t, u| put(t, u, to, replaced)),
        (_, Value::F32(t), Value::F32(u)) => {
            put(t, u, to, number(join, |a, b| a + b, |a, b| a * b)).map(Value::F32)
        }
        (_, Value::F64(t), Value::F64(u)) => {
            put(t, u, to, number(join, |a, b| a + b, |a, b| a * b)).map(Value::F64)
        }
        (_, Value::I64(t), Value::I64(u)) => {
            put(t, u, to, number(join, i64::wrapping_add, i64::wrapping_mul)).map(Value::I64)
        }
        (_, Value::I32(t), Value::I32(u)) => {
            put(t, u, to, number(join, i32::wrapping_add, i32::wrapping_mul)).map(Value::I32)
        }
        (_, _, u) => Err(mistyped(2, u, "a number like input 0")),
    }
}

fn replaced<T: Clone>(_: &T, new: &T) -> T {
    new.clone()
}

/// `ScatterElements`
pub fn scatter_elements(spec: &Spec) -> Result<Kernel, OpError> {
    let (axis, join) = (spec.int_or("axis", 0)?, join_of(spec)?);
    Ok(Box::new(move |args| {
        let (x, i, u) = (args.required(0)?, args.required(1)?, args.required(2)?);
        let offsets = element_offsets(&x.shape(), i, axis)?;
        Ok(vec![scattered(x, u, (&offsets, 1), join)?])
    }))
}

/// `ScatterND`
pub fn scatter_nd(spec: &Spec) -> Result<Kernel, OpError> {
    let join = join_of(spec)?;
    Ok(Box::new(move |args| {
        let (x, u) = (args.required(0)?, args.required(2)?);
        let (offsets, run) = tuple_offsets(&x.shape(), args, 0)?;
        Ok(vec![scattered(x, u, (&offsets, run), join)?])
    }))
}

/// `GatherND`
pub fn gather_nd(spec: &Spec) -> Result<Kernel, OpError> {
    let lead = usize::try_from(spec.int_or("batch_dims", 0)?)
        .map_err(|_| wrong("batch_dims", "is negative"))?;
    Ok(Box::new(move |args| {
        let (x, i) = (args.required(0)?, args.required(1)?);
        let (sx, si) = (x.shape(), i.shape());
        if lead >= si.len() || lead >= sx.len() || sx[..lead] != si[..lead] {
            return Err(misshapen(format!(
                "indices {si:?} do not fit {sx:?} in {lead} dimensions"
            )));
        }
        let (offsets, run) = tuple_offsets(&sx, args, lead)?;
        let depth = si.last().copied().unwrap_or(0);
        let mut shape = si[..si.len() - 1].to_vec();
        shape.extend(&sx[lead + depth..]);
        volume(&shape)?;
        Ok(vec![same_type!(x, t => runs_at(t, &offsets, run, shape))?])
    }))
}

/// The runs of elements that begin at the offsets.
fn runs_at<T: Clone>(
    t: &Tensor<T>,
    offsets: &[usize],
    run: usize,
    shape: Vec<usize>,
) -> Result<Tensor<T>, OpError> {
    tensor(shape, offsets.iter().flat_map(|&o| t.data()[o..o + run].iter().cloned()).collect())
}

/// Offsets of the tuples in input 1 behind `lead` shared dimensions, and the elements each
/// stands for.
fn tuple_offsets(
    shape: &[usize],
    args: &Args,
    lead: usize,
) -> Result<(Vec<usize>, usize), OpError> {
    let tuples = args.ints(1)?;
    let depth = args.required(1)?.shape().last().copied().unwrap_or(0);
    if depth == 0 || depth > shape.len() - lead {
        return Err(misshapen(format!("tuples of {depth} indices do not fit shape {shape:?}")));
    }
    let own = strides(shape);
    let run = shape[lead + depth..].iter().product();
    let batches: usize = shape[..lead].iter().product();
    let per_batch = (tuples.len() / depth / batches.max(1)).max(1);
    let batch: usize = shape[lead..].iter().product();
    let offset = |(k, tuple): (usize, &[i64])| {
        let part = |(d, &i): (usize, &i64)| Ok(place(i, shape[lead + d])? * own[lead + d]);
        let inner = tuple.iter().enumerate().map(part).sum::<Result<usize, OpError>>()?;
        Ok(k / per_batch * batch + inner)
    };
    Ok((tuples.chunks(depth).enumerate().map(offset).collect::<Result<_, OpError>>()?, run))
}

/// `Pad`: amounts and value as attributes before opset 11, as inputs since.
pub fn pad(spec: &Spec) -> Result<Kernel, OpError> {
    let mode = match spec.text_or("mode", "constant")? {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => return Err(wrong("mode", format!("has the unknown value `{other}`"))),
    };
    let fixed = spec.ints("pads")?.map(<[i64]>::to_vec);
    let fill = spec.float_or("value", 0.0)?;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let rank = x.shape().len();
        let given = match &fixed {
            Some(p) => p.clone(),
            None => args.ints(1)?,
        };
        let axes = match args.ints_optional(3)? {
            Some(a) => a.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if given.len() != 2 * axes.len() {
            return Err(misshapen(format!("{} pads for {} axes", given.len(), axes.len())));
        }
        let mut picks: Vec<Vec<Option<usize>>> =
            x.shape().iter().map(|&d| (0..d).map(Some).collect()).collect();
        for (i, &axis) in axes.iter().enumerate() {
            let amounts = (given[i], given[i + axes.len()]);
            picks[axis] = padded(x.shape()[axis], amounts, mode)?;
        }
        Ok(vec![match (x, args.optional(2)) {
            (Value::F32(t), None) => Value::F32(filled(t, &picks, fill)?),
            (Value::F64(t), None) => Value::F64(filled(t, &picks, f64::from(fill))?),
            (Value::I64(t), None) => Value::I64(filled(t, &picks, fill as i64)?),
            (Value::I32(t), None) => Value::I32(filled(t, &picks, fill as i32)?),
            (Value::Bool(t), None) => Value::Bool(filled(t, &picks, fill != 0.0)?),
            (x, Some(v)) => pair_type!(x, v, 2, |t, v| filled_by(t, &picks, v))?,
            (other, None) => return Err(mistyped(0, other, "a number")),
        }])
    }))
}

#[derive(Clone, Copy)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

/// For each place along a padded dimension, the place it copies; `None` takes the fill.
fn padded(
    size: usize,
    (front, back): (i64, i64),
    mode: Mode,
) -> Result<Vec<Option<usize>>, OpError> {
    let n = size as i64;
    let total = n.checked_add(front).and_then(|t| t.checked_add(back)).unwrap_or(i64::MAX);
    let count = usize::try_from(total)
        .map_err(|_| misshapen(format!("pads {front} and {back} leave nothing of {size}")))?;
    volume(&[count])?;
    if n == 0 && count > 0 && !matches!(mode, Mode::Constant) {
        return Err(misshapen("an empty dimension has nothing to copy"));
    }
    (0..total)
        .map(|o| {
            let i = o - front;
            if (0..n).contains(&i) {
                return Ok(Some(i as usize));
            }
            Ok(match mode {
                Mode::Constant => None,
                Mode::Edge => Some(i.clamp(0, n - 1) as usize),
                Mode::Wrap => Some(i.rem_euclid(n) as usize),
                Mode::Reflect if n == 1 => Some(0),
                Mode::Reflect => {
                    let period = 2 * (n - 1);
                    let i = i.rem_euclid(period);
                    Some(if i < n { i } else { period - i } as usize)
                }
            })
        })
        .collect()
}

/// As `filled`, with the fill in a tensor of one element.
fn filled_by<T: Clone>(
    t: &Tensor<T>,
    picks: &[Vec<Option<usize>>],
    fill: &Tensor<T>,
) -> Result<Tensor<T>, OpError> {
    match fill.data() {
        [v] => filled(t, picks, v.clone()),
        _ => Err(misshapen("the fill value is not one element")),
    }
}

fn filled<T: Clone>(
    t: &Tensor<T>,
    picks: &[Vec<Option<usize>>],
    fill: T,
) -> Result<Tensor<T>, OpError> {
    let shape: Vec<usize> = picks.iter().map(Vec::len).collect();
    volume(&shape)?;
    let own = strides(t.shape());
    // Places count up as the digits of a number, so that no list of them is held.
    let mut place = vec![0usize; shape.len()];
    let source = |place: &[usize]| -> Option<usize> {
        let along = place.iter().zip(picks).zip(&own);
        along.map(|((&i, list), step)| list[i].map(|i| i * step)).sum()
    };
    let mut data = Vec::with_capacity(volume_of::<T>(&shape)?);
    for _ in 0..volume(&shape)? {
        data.push(source(&place).map_or_else(|| fill.clone(), |i| t.data()[i].clone()));
        for (digit, &size) in place.iter_mut().zip(&shape).rev() {
            *digit = if *digit + 1 < size { *digit + 1 } else { 0 };
            if *digit > 0 {
                break;
            }
        }
    }
    tensor(shape, data)
}

/// `ReverseSequence`: the first cells of every row, as many as it is long, in reverse.
pub fn reverse_sequence(spec: &Spec) -> Result<Kernel, OpError> {
    let (batch, time) = (spec.int_or("batch_axis", 1)?, spec.int_or("time_axis", 0)?);
    fn of<T: Clone>(
        t: &Tensor<T>,
        lengths: &[usize],
        (batch, time): (usize, usize),
    ) -> Result<Tensor<T>, OpError> {
        let own = strides(t.shape());
        let data = (0..t.len()).map(|i| {
            let (b, k) = (i / own[batch] % t.shape()[batch], i / own[time] % t.shape()[time]);
            let from = if k < lengths[b] { lengths[b] - 1 - k } else { k };
            t.data()[i - k * own[time] + from * own[time]].clone()
        });
        tensor(t.shape().to_vec(), data.collect())
    }
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let (batch, time) = (axis_of(batch, shape.len())?, axis_of(time, shape.len())?);
        let lengths = args.ints(1)?.into_iter().map(usize::try_from);
        let lengths = lengths.collect::<Result<Vec<_>, _>>();
        let fits = |l: &Vec<usize>| l.len() == shape[batch] && l.iter().all(|&l| l <= shape[time]);
        let lengths = lengths.ok().filter(fits).filter(|_| batch != time);
        let lengths = lengths.ok_or_else(|| misshapen(format!("lengths do not fit {shape:?}")))?;
        Ok(vec![same_type!(x, t => of(t, &lengths, (batch, time)))?])
    }))
}
