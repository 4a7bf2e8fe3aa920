//! `GridSample`: reading an image at places that another tensor names.
//!
//! Owns the modes and what lies beyond the border. Called by the registry.

use super::float::Float;
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, misshapen, tensor, volume, wrong};
use crate::value::{Tensor, Value};

/// `GridSample` over two spatial dimensions.
pub fn grid_sample(spec: &Spec) -> Result<Kernel, OpError> {
    let mode = match spec.text_or("mode", if spec.opset < 20 { "bilinear" } else { "linear" })? {
        "bilinear" | "linear" => Mode::Linear,
        "nearest" => Mode::Nearest,
        "bicubic" | "cubic" => Mode::Cubic,
        other => return Err(wrong("mode", format!("has the unknown value `{other}`"))),
    };
    let border = match spec.text_or("padding_mode", "zeros")? {
        "zeros" => Border::Zeros,
        "border" => Border::Edge,
        "reflection" => Border::Reflect,
        other => return Err(wrong("padding_mode", format!("has the unknown value `{other}`"))),
    };
    let sampler = Sampler { mode, border, corners: spec.flag("align_corners", false)? };
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => sampler.run(x, args))))
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, PartialEq)]
enum Border {
    Zeros,
    Edge,
    Reflect,
}

struct Sampler {
    mode: Mode,
    border: Border,
    corners: bool,
}

impl Sampler {
    fn run<T: Float>(&self, x: &Tensor<T>, args: &Args) -> Result<Vec<Value>, OpError> {
        let grid = args.float::<T>(1)?;
        let (&[n, c, h, w], &[gn, oh, ow, 2]) = (x.shape(), grid.shape()) else {
            let (x, g) = (x.shape(), grid.shape());
            return Err(misshapen(format!("an image {x:?} and a grid {g:?} do not fit")));
        };
        if n != gn || h == 0 || w == 0 {
            return Err(misshapen(format!("a grid for {gn} images where there are {n}")));
        }
        let shape = vec![n, c, oh, ow];
        let mut out = vec![T::ZERO; volume(&shape)?];
        for b in 0..n {
            for p in 0..oh * ow {
                let at = (b * oh * ow + p) * 2;
                let (gx, gy) = (grid.data()[at].to_f64(), grid.data()[at + 1].to_f64());
                let taps = self.taps(gx, w, gy, h);
                for k in 0..c {
                    let plane = &x.data()[(b * c + k) * h * w..][..h * w];
                    out[(b * c + k) * oh * ow + p] =
                        taps.iter().map(|&(i, weight)| plane[i] * T::from_f64(weight)).sum();
                }
            }
        }
        Ok(vec![T::wrap(tensor(shape, out)?)])
    }

    /// Places of a plane and their weights.
    fn taps(&self, gx: f64, w: usize, gy: f64, h: usize) -> Vec<(usize, f64)> {
        let (xs, ys) = (self.line(gx, w), self.line(gy, h));
        let pairs = ys.iter().flat_map(|&(y, b)| xs.iter().map(move |&(x, a)| (y * w + x, a * b)));
        pairs.collect()
    }

    /// Places along one axis and their weights.
    fn line(&self, g: f64, size: usize) -> Vec<(usize, f64)> {
        let n = size as f64;
        let at =
            if self.corners { (g + 1.0) / 2.0 * (n - 1.0) } else { ((g + 1.0) * n - 1.0) / 2.0 };
        // Not a number, or so far away that no integer names it, reads the border.
        let at = if at.abs() < FAR { at } else { -1.0 };
        // The cubic reads each of its places through the border, the others the place itself.
        let at = match self.border {
            _ if self.mode == Mode::Cubic => at,
            Border::Edge => at.clamp(0.0, n - 1.0),
            Border::Reflect => self.reflected(at, n),
            Border::Zeros => at,
        };
        let low = at.floor();
        let t = at - low;
        let weights: Vec<(f64, f64)> = match self.mode {
            Mode::Nearest => vec![(at.round_ties_even(), 1.0)],
            Mode::Linear => vec![(low, 1.0 - t), (low + 1.0, t)],
            Mode::Cubic => (-1..3).map(|i| (low + f64::from(i), keys(t - f64::from(i)))).collect(),
        };
        let place = |(p, weight): (f64, f64)| {
            let p = match self.border {
                Border::Zeros if !(p >= 0.0 && p < n) => return None,
                Border::Zeros => p,
                Border::Edge => p.clamp(0.0, n - 1.0),
                Border::Reflect => self.reflected(p, n).clamp(0.0, n - 1.0).round(),
            };
            Some((p as usize, weight))
        };
        weights.into_iter().filter_map(place).collect()
    }

    fn reflected(&self, at: f64, n: f64) -> f64 {
        let (low, high) = if self.corners { (0.0, n - 1.0) } else { (-0.5, n - 0.5) };
        let span = high - low;
        if span == 0.0 {
            return 0.0;
        }
        let off = (at - low).rem_euclid(2.0 * span);
        let folded = if off > span { 2.0 * span - off } else { off } + low;
        folded.clamp(0.0, n - 1.0)
    }
}

/// Cubic convolution of Keys (1981) with coefficient -0.75.
fn keys(s: f64) -> f64 {
    const A: f64 = -0.75;
    let s = s.abs();
    if s <= 1.0 {
        ((A + 2.0) * s - (A + 3.0)) * s * s + 1.0
    } else if s < 2.0 {
        ((A * s - 5.0 * A) * s + 8.0 * A) * s - 4.0 * A
    } else {
        0.0
    }
}

/// Coordinates beyond this are read as outside: their integers are not exact.
const FAR: f64 = 1e9;
