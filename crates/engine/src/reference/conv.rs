//! Convolutions: `Conv` and `ConvTranspose` in one to three dimensions.
//!
//! Owns the unfolding of images into matrices; the product is `gemm`'s. Called by the registry.

use super::float::Float;
use super::gemm::{Matrix, multiply};
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, misshapen, tensor, volume, wrong};
use super::window::{Geometry, Window};
use crate::value::{Tensor, Value};

/// `Conv`: `(batch, channels, …)` with weights `(maps, channels / group, …)`.
pub fn conv(spec: &Spec) -> Result<Kernel, OpError> {
    let window = Window::read(spec)?;
    let groups = group(spec)?;
    Ok(Box::new(
        move |args| float_dispatch!(0, args.required(0)?, x => conv_of(x, args, &window, groups)),
    ))
}

fn group(spec: &Spec) -> Result<usize, OpError> {
    match usize::try_from(spec.int_or("group", 1)?) {
        Ok(g) if g > 0 => Ok(g),
        _ => Err(wrong("group", "is not positive")),
    }
}

pub(super) fn conv_of<T: Float>(
    x: &Tensor<T>,
    args: &Args,
    window: &Window,
    groups: usize,
) -> Result<Vec<Value>, OpError> {
    let w = args.float::<T>(1)?;
    let (sx, sw) = (x.shape(), w.shape());
    let fits = sx.len() == sw.len()
        && sx.len() > 2
        && sw[1].checked_mul(groups) == Some(sx[1])
        && sw[0] % groups == 0;
    if !fits {
        return Err(misshapen(format!(
            "input {sx:?} and weights {sw:?} do not fit with {groups} groups"
        )));
    }
    let g = window.over(sx, Some(&sw[2..]))?;
    let (batch, maps) = (sx[0], sw[0]);
    let shape = g.shape(batch, maps, &g.output);
    let mut out = vec![T::ZERO; volume(&shape)?];
    let (inside, outside) = (sw[1], maps / groups);
    let (depth, places) = (inside * g.taps(), g.outputs());
    let mut columns = vec![T::ZERO; volume(&[depth, places])?];
    for n in 0..batch {
        for k in 0..groups {
            let from = (n * sx[1] + k * inside) * g.inputs();
            unfold(&x.data()[from..from + inside * g.inputs()], &g, inside, &mut columns);
            let weights = &w.data()[k * outside * depth..(k + 1) * outside * depth];
            let to = (n * maps + k * outside) * places;
            multiply(
                (outside, depth, places),
                Matrix { data: weights, strides: (depth, 1) },
                Matrix { data: &columns, strides: (places, 1) },
                &mut out[to..to + outside * places],
            );
        }
    }
    add_bias(args, maps, places, &mut out)?;
    Ok(vec![T::wrap(tensor(shape, out)?)])
}

fn add_bias<T: Float>(
    args: &Args,
    maps: usize,
    places: usize,
    out: &mut [T],
) -> Result<(), OpError> {
    let Some(bias) = args.float_optional::<T>(2)? else { return Ok(()) };
    if bias.len() != maps {
        return Err(misshapen(format!("bias {:?} does not fit {maps} maps", bias.shape())));
    }
    for (i, plane) in out.chunks_mut(places.max(1)).enumerate() {
        let b = bias.data()[i % maps];
        plane.iter_mut().for_each(|v| *v += b);
    }
    Ok(())
}

/// Writes row `(channel, tap)` = what that tap sees at each output place.
fn unfold<T: Float>(x: &[T], g: &Geometry, channels: usize, columns: &mut [T]) {
    each_run(g, channels, |row, column, image, count, step| match image {
        None => columns[row * g.outputs() + column..][..count].fill(T::ZERO),
        Some(at) => {
            let to = &mut columns[row * g.outputs() + column..][..count];
            for (i, v) in to.iter_mut().enumerate() {
                *v = x[at + i * step];
            }
        }
    });
}

/// Adds what `unfold` would have read back to where it came from.
fn fold<T: Float>(columns: &[T], g: &Geometry, channels: usize, x: &mut [T]) {
    each_run(g, channels, |row, column, image, count, step| {
        if let Some(at) = image {
            let from = &columns[row * g.outputs() + column..][..count];
            for (i, &v) in from.iter().enumerate() {
                x[at + i * step] += v;
            }
        }
    });
}

/// Calls `f(row, first column, first input element or padding, count, step)` for runs along
/// the innermost dimension.
fn each_run(
    g: &Geometry,
    channels: usize,
    mut f: impl FnMut(usize, usize, Option<usize>, usize, usize),
) {
    let [kd, kh, kw] = g.kernel;
    let [od, oh, ow] = g.output;
    let [_, ih, iw] = g.input;
    let mut row = 0;
    for c in 0..channels {
        for (d, h, w) in
            (0..kd).flat_map(|d| (0..kh).flat_map(move |h| (0..kw).map(move |w| (d, h, w))))
        {
            let inside = |o: &usize| g.source(2, *o, w).is_some();
            let first = (0..ow).find(inside).unwrap_or(ow);
            let last = (first..ow).find(|o| !inside(o)).unwrap_or(ow);
            for (z, y) in (0..od).flat_map(|z| (0..oh).map(move |y| (z, y))) {
                let column = (z * oh + y) * ow;
                let line = g.source(0, z, d).zip(g.source(1, y, h));
                let start = g.source(2, first, w).filter(|_| first < ow);
                match line.zip(start) {
                    None => f(row, column, None, ow, 1),
                    Some(((sd, sh), sw)) => {
                        let at = c * g.inputs() + (sd * ih + sh) * iw + sw;
                        f(row, column, None, first, 1);
                        f(row, column + first, Some(at), last - first, g.strides[2]);
                        f(row, column + last, None, ow - last, 1);
                    }
                }
            }
            row += 1;
        }
    }
}

/// `ConvTranspose`: `(batch, channels, …)` with weights `(channels, maps / group, …)`.
pub fn conv_transpose(spec: &Spec) -> Result<Kernel, OpError> {
    let window = Window::read(spec)?;
    let groups = group(spec)?;
    let extra = spec.sizes("output_padding")?.unwrap_or_default();
    let wanted = spec.sizes("output_shape")?;
    Ok(Box::new(move |args| {
        float_dispatch!(0, args.required(0)?, x => {
            transpose_of(x, args, &window, groups, (&extra, wanted.as_deref()))
        })
    }))
}

fn transpose_of<T: Float>(
    x: &Tensor<T>,
    args: &Args,
    window: &Window,
    groups: usize,
    (extra, wanted): (&[usize], Option<&[usize]>),
) -> Result<Vec<Value>, OpError> {
    let w = args.float::<T>(1)?;
    let (sx, sw) = (x.shape(), w.shape());
    let fits = sx.len() == sw.len() && sx.len() > 2 && sw[0] == sx[1] && sx[1] % groups == 0;
    if !fits {
        return Err(misshapen(format!(
            "input {sx:?} and weights {sw:?} do not fit with {groups} groups"
        )));
    }
    let wanted = wanted.map(|w| &w[w.len().saturating_sub(sx.len() - 2)..]);
    let g = window.transposed(sx, &sw[2..], extra, wanted)?;
    let (batch, inside, outside) = (sx[0], sx[1] / groups, sw[1]);
    let maps = outside * groups;
    let shape = g.shape(batch, maps, &g.input);
    let mut out = vec![T::ZERO; volume(&shape)?];
    let (height, places) = (outside * g.taps(), g.outputs());
    let mut columns = vec![T::ZERO; volume(&[height, places])?];
    for n in 0..batch {
        for k in 0..groups {
            columns.fill(T::ZERO);
            let weights = &w.data()[k * inside * height..(k + 1) * inside * height];
            let from = (n * sx[1] + k * inside) * places;
            multiply(
                (height, inside, places),
                Matrix { data: weights, strides: (1, height) },
                Matrix { data: &x.data()[from..from + inside * places], strides: (places, 1) },
                &mut columns,
            );
            let to = (n * maps + k * outside) * g.inputs();
            fold(&columns, &g, outside, &mut out[to..to + outside * g.inputs()]);
        }
    }
    add_bias(args, maps, g.inputs(), &mut out)?;
    Ok(vec![T::wrap(tensor(shape, out)?)])
}
