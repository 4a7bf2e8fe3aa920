//! Pooling: `MaxPool`, `AveragePool` and their global forms.
//!
//! Owns the walk over windows; geometry is `window`'s. Called by the registry.

use super::float::Float;
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, misshapen, tensor, volume};
use super::reduce::blocked;
use super::window::{Geometry, Window};
use crate::value::{Tensor, Value};

/// `MaxPool`, with `Indices` when wanted.
pub fn max_pool(spec: &Spec) -> Result<Kernel, OpError> {
    let window = Window::read(spec)?;
    let indexed = spec.wants(1);
    let column_major = spec.flag("storage_order", false)?;
    Ok(Box::new(move |args| match args.required(0)? {
        Value::I8(x) => {
            let wide = x.map(|&v| f32::from(v));
            let mut out = max_of(&wide, &window, indexed, column_major)?;
            if let Some(Value::F32(t)) = out.first() {
                out[0] = Value::I8(t.map(|&v| v as i8));
            }
            Ok(out)
        }
        Value::U8(x) => {
            let wide = x.map(|&v| f32::from(v));
            let mut out = max_of(&wide, &window, indexed, column_major)?;
            if let Some(Value::F32(t)) = out.first() {
                out[0] = Value::U8(t.map(|&v| v as u8));
            }
            Ok(out)
        }
        other => float_dispatch!(0, other, x => max_of(x, &window, indexed, column_major)),
    }))
}

fn max_of<T: Float>(
    x: &Tensor<T>,
    window: &Window,
    indexed: bool,
    column_major: bool,
) -> Result<Vec<Value>, OpError> {
    let g = window.over(x.shape(), None)?;
    let (batch, channels) = (x.shape()[0], x.shape()[1]);
    let shape = g.shape(batch, channels, &g.output);
    let mut out = Vec::with_capacity(volume(&shape)?);
    let mut places = Vec::new();
    for (n, plane) in planes(x, &g).enumerate() {
        each_window(&g, |taps, _| {
            let mut best: Option<(usize, T)> = None;
            for &at in taps {
                let v = plane[at];
                if best.is_none_or(|(_, b)| v > b) {
                    best = Some((at, v));
                }
            }
            let (at, v) = best.unwrap_or((0, T::LOWEST));
            out.push(v);
            if indexed {
                let at = if column_major { transposed(&g, at) } else { at };
                places.push((n * g.inputs() + at) as i64);
            }
        });
    }
    let mut values = vec![T::wrap(tensor(shape.clone(), out)?)];
    if indexed {
        values.push(Value::I64(tensor(shape, places)?));
    }
    Ok(values)
}

/// The column-major place of a row-major one within a plane.
fn transposed(g: &Geometry, at: usize) -> usize {
    let [_, h, w] = g.input;
    let (d, y, x) = (at / (h * w), at / w % h, at % w);
    (x * h + y) * g.input[0] + d
}

/// The channels of a tensor one after the other.
fn planes<'a, T: Float>(x: &'a Tensor<T>, g: &Geometry) -> impl Iterator<Item = &'a [T]> {
    x.data().chunks(g.inputs().max(1))
}

/// Calls `f` with the input places each window sees, and the number of its taps that lie in
/// the input or its explicit padding.
fn each_window(g: &Geometry, mut f: impl FnMut(&[usize], usize)) {
    let [od, oh, ow] = g.output;
    let [kd, kh, kw] = g.kernel;
    let mut taps = Vec::with_capacity(g.taps());
    let within = |d: usize, o: usize, k: usize| {
        o * g.strides[d] + k * g.dilations[d] < g.begin[d] + g.input[d] + g.end[d]
    };
    let count = |d: usize, o: usize| (0..g.kernel[d]).filter(|&k| within(d, o, k)).count();
    for z in 0..od {
        for y in 0..oh {
            for x in 0..ow {
                taps.clear();
                for i in (0..kd).filter_map(|k| g.source(0, z, k)) {
                    for j in (0..kh).filter_map(|k| g.source(1, y, k)) {
                        let row = (i * g.input[1] + j) * g.input[2];
                        taps.extend((0..kw).filter_map(|k| g.source(2, x, k)).map(|c| row + c));
                    }
                }
                f(&taps, count(0, z) * count(1, y) * count(2, x));
            }
        }
    }
}

/// `AveragePool`
pub fn average_pool(spec: &Spec) -> Result<Kernel, OpError> {
    let window = Window::read(spec)?;
    let padded = spec.flag("count_include_pad", false)?;
    fn of<T: Float>(x: &Tensor<T>, window: &Window, padded: bool) -> Result<Vec<Value>, OpError> {
        let g = window.over(x.shape(), None)?;
        let shape = g.shape(x.shape()[0], x.shape()[1], &g.output);
        let mut out = Vec::with_capacity(volume(&shape)?);
        for plane in planes(x, &g) {
            each_window(&g, |taps, all| {
                let n = if padded { all } else { taps.len() };
                out.push(blocked(taps.iter().map(|&at| plane[at])) / T::from_f64(n as f64));
            });
        }
        Ok(vec![T::wrap(tensor(shape, out)?)])
    }
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => of(x, &window, padded))))
}

/// `GlobalAveragePool`
pub fn global_average_pool(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| global(args, true)))
}
/// `GlobalMaxPool`
pub fn global_max_pool(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| global(args, false)))
}

fn global(args: &Args, mean: bool) -> Result<Vec<Value>, OpError> {
    fn of<T: Float>(x: &Tensor<T>, mean: bool) -> Result<Vec<Value>, OpError> {
        let mut shape = x.shape().to_vec();
        if shape.len() < 3 {
            return Err(misshapen(format!("expected spatial dimensions, given shape {shape:?}")));
        }
        let n: usize = shape[2..].iter().product();
        if n == 0 {
            return Err(misshapen(format!("nothing to pool in shape {shape:?}")));
        }
        shape[2..].fill(1);
        let pool = |plane: &[T]| match mean {
            true => blocked(plane.iter().copied()) / T::from_f64(n as f64),
            false => plane.iter().fold(T::LOWEST, |a, &b| super::arith::larger(b, a)),
        };
        Ok(vec![T::wrap(tensor(shape, x.data().chunks(n).map(pool).collect())?)])
    }
    float_dispatch!(0, args.required(0)?, x => of(x, mean))
}
