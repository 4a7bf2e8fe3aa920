//! Quantised arithmetic: to and from integers, and the products computed on them.
//!
//! Owns rounding (halves to even), saturation and the integer sums, which are exact. Called by
//! the registry.

use super::Precision;
use super::op::{Args, Kernel, OpError, Spec, axis_of, misshapen, mistyped, tensor, volume, wrong};
use super::window::Window;
use crate::value::{DType, Tensor, Value};

/// `QuantizeLinear`: per tensor, per axis or in blocks.
pub fn quantize(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 1)?;
    let block = block_size(spec)?;
    let declared = match spec.int_or("output_dtype", 0)? {
        0 => None,
        code => Some(integer_of(code)?),
    };
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let data = x.to_f64s().ok_or_else(|| mistyped(0, x, "a number"))?;
        let zero = args.optional(2);
        let to = match (zero.and_then(Value::dtype), declared) {
            (Some(d), _) | (None, Some(d)) => d,
            (None, None) => DType::U8,
        };
        let (low, high) = range_of(to)?;
        let places = Places::of(&x.shape(), args.required(1)?, axis, block)?;
        let (scale, zero) = parameters(args.required(1)?, zero)?;
        let single = matches!(x, Value::F32(_));
        let out = data.iter().enumerate().map(|(i, &v)| {
            let p = places.of_element(i);
            // In `f32` the quotient is rounded to `f32` first, as the engines have it.
            let q = match single {
                true => f64::from(v as f32 / scale[p] as f32),
                false => v / scale[p],
            };
            (q.round_ties_even() + zero.get(p).copied().unwrap_or(0.0)).clamp(low, high)
        });
        Ok(vec![integers(x.shape(), out.collect(), to)?])
    }))
}

/// `DequantizeLinear`
pub fn dequantize(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 1)?;
    let block = block_size(spec)?;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let q = x.to_i64s().ok_or_else(|| mistyped(0, x, "an integer"))?;
        let scale = args.required(1)?;
        let places = Places::of(&x.shape(), scale, axis, block)?;
        let (s, zero) = parameters(scale, args.optional(2))?;
        let out = q.iter().enumerate().map(|(i, &v)| {
            let p = places.of_element(i);
            (v as f64 - zero.get(p).copied().unwrap_or(0.0), s[p])
        });
        Ok(vec![match scale {
            Value::F64(_) => Value::F64(tensor(x.shape(), out.map(|(q, s)| q * s).collect())?),
            _ => {
                let out = out.map(|(q, s)| q as f32 * s as f32).collect();
                Value::F32(tensor(x.shape(), out)?)
            }
        }])
    }))
}

/// `DynamicQuantizeLinear`: one scale for the whole tensor, from its own range.
pub fn dynamic_quantize(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let x = args.required(0)?;
        let data = x.to_f64s().ok_or_else(|| mistyped(0, x, "a float type"))?;
        let low = data.iter().fold(0.0f64, |m, &v| m.min(v));
        let high = data.iter().fold(0.0f64, |m, &v| m.max(v));
        let wide = matches!(x, Value::F64(_));
        // A tensor of zeros has no range of its own.
        let scale = if high > low { (high - low) / LEVELS } else { 1.0 };
        let scale = if wide { scale } else { f64::from(scale as f32) };
        let zero = (-low / scale).round_ties_even().clamp(0.0, LEVELS);
        let q = data.iter().map(|&v| {
            let r = if wide { v / scale } else { f64::from(v as f32 / scale as f32) };
            (r.round_ties_even() + zero).clamp(0.0, LEVELS)
        });
        let scale = match wide {
            true => Value::F64(Tensor::scalar(scale)),
            false => Value::F32(Tensor::scalar(scale as f32)),
        };
        let q = integers(x.shape(), q.collect(), DType::U8)?;
        Ok(vec![q, scale, Value::U8(Tensor::scalar(zero as u8))])
    }))
}

/// `MatMulInteger`: the product of integers less their zero points, in 32 bits.
pub fn matmul_integer(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let a = centred(args, 0, args.optional(2), Side::Left)?;
        let b = centred(args, 1, args.optional(3), Side::Right)?;
        let y = super::gemm::matmul_of(&a, &b)?;
        Ok(vec![Value::I32(y.map(|&v| v as i64 as i32))])
    }))
}

/// `ConvInteger`
pub fn conv_integer(spec: &Spec) -> Result<Kernel, OpError> {
    let convolution = Convolution::read(spec)?;
    Ok(Box::new(move |args| {
        let x = centred(args, 0, args.optional(2), Side::Whole)?;
        let w = centred(args, 1, args.optional(3), Side::Leading)?;
        let (y, shape) = convolution.sums(&x, &w)?;
        Ok(vec![Value::I32(tensor(shape, y.iter().map(|&v| v as i64 as i32).collect())?)])
    }))
}

/// `QLinearMatMul`: `saturate(round(sum * a_scale * b_scale / y_scale) + y_zero)`.
pub fn qlinear_matmul(spec: &Spec) -> Result<Kernel, OpError> {
    let wide = spec.precision == Precision::F64;
    Ok(Box::new(move |args| {
        let a = centred(args, 0, args.optional(2), Side::Left)?;
        let b = centred(args, 3, args.optional(5), Side::Right)?;
        let y = super::gemm::matmul_of(&a, &b)?;
        let columns = b.shape().last().copied().unwrap_or(1);
        let scales = Scales { a: (1, args), b: 4, y: 6, zero: 7, wide }.read(columns)?;
        let out = y.data().iter().enumerate().map(|(i, &v)| scales.of(v, i % columns));
        Ok(vec![integers(y.shape().to_vec(), out.collect(), scales.to)?])
    }))
}

/// `QLinearConv`
pub fn qlinear_conv(spec: &Spec) -> Result<Kernel, OpError> {
    let convolution = Convolution::read(spec)?;
    let wide = spec.precision == Precision::F64;
    Ok(Box::new(move |args| {
        let x = centred(args, 0, args.optional(2), Side::Whole)?;
        let w = centred(args, 3, args.optional(5), Side::Leading)?;
        let (mut y, shape) = convolution.sums(&x, &w)?;
        let maps = shape.get(1).copied().unwrap_or(1).max(1);
        let places: usize = shape.iter().skip(2).product();
        let map = |i: usize| i / places.max(1) % maps;
        if let Some(bias) = args.optional(8) {
            let bias = bias.to_i64s().filter(|b| b.len() == maps);
            let bias = bias.ok_or_else(|| misshapen(format!("a bias for {maps} maps is wrong")))?;
            y.iter_mut().enumerate().for_each(|(i, v)| *v += bias[map(i)] as f64);
        }
        let scales = Scales { a: (1, args), b: 4, y: 6, zero: 7, wide }.read(maps)?;
        let out = y.iter().enumerate().map(|(i, &v)| scales.of(v, map(i)));
        Ok(vec![integers(shape, out.collect(), scales.to)?])
    }))
}

/// Where the parameters of a quantised product lie among the inputs.
struct Scales<'a> {
    a: (usize, &'a Args<'a>),
    b: usize,
    y: usize,
    zero: usize,
    wide: bool,
}

/// How sums become integers again.
struct Requantize {
    factors: Vec<f64>,
    zero: f64,
    low: f64,
    high: f64,
    to: DType,
    wide: bool,
}

impl Scales<'_> {
    fn read(self, count: usize) -> Result<Requantize, OpError> {
        let (at, args) = self.a;
        let list = |i: usize| -> Result<Vec<f64>, OpError> {
            let v = args.required(i)?;
            v.to_f64s().ok_or_else(|| mistyped(i, v, "a float type"))
        };
        let one = |i: usize| -> Result<f64, OpError> {
            match list(i)?.as_slice() {
                [v] => Ok(*v),
                v => Err(misshapen(format!("{} scales where one is expected", v.len()))),
            }
        };
        let (a, b, y) = (one(at)?, list(self.b)?, one(self.y)?);
        if b.len() != 1 && b.len() != count {
            return Err(misshapen(format!("{} scales for {count} channels", b.len())));
        }
        let factor = |b: f64| match self.wide {
            true => a * b / y,
            false => f64::from(a as f32 * b as f32 / y as f32),
        };
        let to = args.required(self.zero)?.dtype().unwrap_or(DType::U8);
        let (low, high) = range_of(to)?;
        let factors = (0..count).map(|i| factor(b[if b.len() == 1 { 0 } else { i }])).collect();
        Ok(Requantize { factors, zero: one(self.zero)?, low, high, to, wide: self.wide })
    }
}

impl Requantize {
    fn of(&self, sum: f64, channel: usize) -> f64 {
        let scaled = match self.wide {
            true => sum * self.factors[channel],
            false => f64::from(sum as f32 * self.factors[channel] as f32),
        };
        (scaled.round_ties_even() + self.zero).clamp(self.low, self.high)
    }
}

/// A convolution of integers, in `f64`, where their sums are exact.
struct Convolution {
    window: Window,
    groups: usize,
}

impl Convolution {
    fn read(spec: &Spec) -> Result<Self, OpError> {
        let groups = usize::try_from(spec.int_or("group", 1)?).ok().filter(|&g| g > 0);
        let groups = groups.ok_or_else(|| wrong("group", "is not positive"))?;
        Ok(Self { window: Window::read(spec)?, groups })
    }

    fn sums(&self, x: &Tensor<f64>, w: &Tensor<f64>) -> Result<(Vec<f64>, Vec<usize>), OpError> {
        let values = [Value::F64(x.clone()), Value::F64(w.clone())];
        let args: Vec<Option<&Value>> = values.iter().map(Some).collect();
        let out = super::conv::conv_of(x, &Args::new(&args), &self.window, self.groups)?;
        match out.into_iter().next() {
            Some(Value::F64(t)) => {
                let (shape, data) = t.into_parts();
                Ok((data, shape))
            }
            _ => Err(misshapen("a convolution without result")),
        }
    }
}

/// Which cells of an operand one zero point covers when there are several.
#[derive(Clone, Copy)]
enum Side {
    /// One for all.
    Whole,
    /// Per row of a left matrix.
    Left,
    /// Per column of a right matrix.
    Right,
    /// Per leading index of weights.
    Leading,
}

/// An integer operand less its zero point, as `f64`.
fn centred(
    args: &Args,
    at: usize,
    zero: Option<&Value>,
    side: Side,
) -> Result<Tensor<f64>, OpError> {
    let x = args.required(at)?;
    let eight = matches!(x.dtype(), Some(DType::U8 | DType::I8));
    let data = x.to_i64s().filter(|_| eight).ok_or_else(|| mistyped(at, x, "an 8-bit integer"))?;
    let shape = x.shape();
    let zeros = match zero {
        None => vec![0],
        Some(z) => z.to_i64s().ok_or_else(|| mistyped(at + 2, z, "an integer type"))?,
    };
    let rank = shape.len();
    let last = shape.last().copied().unwrap_or(1).max(1);
    let rows = rank.checked_sub(2).and_then(|i| shape.get(i)).copied().unwrap_or(1).max(1);
    let after: usize = shape.iter().skip(1).product();
    let count = match side {
        Side::Whole => 1,
        Side::Left => rows,
        Side::Right => last,
        Side::Leading => shape.first().copied().unwrap_or(1),
    };
    if zeros.len() != 1 && zeros.len() != count {
        return Err(misshapen(format!("{} zero points for shape {shape:?}", zeros.len())));
    }
    let place = |i: usize| match side {
        _ if zeros.len() == 1 => 0,
        Side::Whole => 0,
        Side::Left => i / last % rows,
        Side::Right => i % last,
        Side::Leading => i / after.max(1),
    };
    tensor(shape, data.iter().enumerate().map(|(i, &v)| (v - zeros[place(i)]) as f64).collect())
}

/// Which parameter belongs to an element.
struct Places {
    along: usize,
    after: usize,
    /// Elements that share a parameter along the axis.
    block: usize,
    /// Parameters along the axis.
    blocks: usize,
    each: bool,
}

impl Places {
    fn of(shape: &[usize], scale: &Value, axis: i64, block: usize) -> Result<Self, OpError> {
        let own = scale.shape();
        let none = Self { along: 1, after: 1, block: 1, blocks: 1, each: false };
        if block == 0 && scale.len() == 1 {
            return Ok(none);
        }
        let axis = axis_of(axis, shape.len())?;
        let (_, along, after) = super::op::around(shape, axis);
        if block == 0 {
            if own != [along] {
                return Err(misshapen(format!(
                    "scales {own:?} do not fit axis {axis} of {shape:?}"
                )));
            }
            return Ok(Self { along, after, block: 1, blocks: along, each: true });
        }
        let blocks = along.div_ceil(block);
        let fits = own.len() == shape.len()
            && own.iter().zip(shape).enumerate().all(|(d, (&s, &x))| match d == axis {
                true => s == blocks,
                false => s == x,
            });
        if !fits {
            return Err(misshapen(format!("scales {own:?} do not fit blocks of {block}")));
        }
        Ok(Self { along, after, block, blocks, each: true })
    }

    fn of_element(&self, i: usize) -> usize {
        if !self.each {
            return 0;
        }
        let k = i / self.after % self.along / self.block;
        if self.block == 1 {
            return k;
        }
        let before = i / self.after / self.along;
        (before * self.blocks + k) * self.after + i % self.after
    }
}

fn parameters(scale: &Value, zero: Option<&Value>) -> Result<(Vec<f64>, Vec<f64>), OpError> {
    let s = scale.to_f64s().ok_or_else(|| mistyped(1, scale, "a float type"))?;
    let z = match zero {
        None => Vec::new(),
        Some(z) if z.len() != s.len() => {
            return Err(misshapen(format!("{} zero points for {} scales", z.len(), s.len())));
        }
        Some(z) => z.to_f64s().ok_or_else(|| mistyped(2, z, "an integer type"))?,
    };
    Ok((s, z))
}

fn block_size(spec: &Spec) -> Result<usize, OpError> {
    let size = spec.int_or("block_size", 0)?;
    usize::try_from(size).map_err(|_| wrong("block_size", "is negative"))
}

fn integer_of(code: i64) -> Result<DType, OpError> {
    let held = i32::try_from(code).ok().and_then(crate::model::held_as);
    held.ok_or_else(|| wrong("output_dtype", format!("names the unread element type {code}")))
}

/// Smallest and largest value of an 8-bit type.
fn range_of(to: DType) -> Result<(f64, f64), OpError> {
    match to {
        DType::U8 => Ok((0.0, LEVELS)),
        DType::I8 => Ok((-128.0, 127.0)),
        // Read from 16-bit types, whose range is no longer known.
        other => Err(OpError::Unsupported(format!("quantising to {other}"))),
    }
}

fn integers(shape: Vec<usize>, data: Vec<f64>, to: DType) -> Result<Value, OpError> {
    volume(&shape)?;
    Ok(match to {
        DType::I8 => Value::I8(tensor(shape, data.iter().map(|&v| v as i8).collect())?),
        _ => Value::U8(tensor(shape, data.iter().map(|&v| v as u8).collect())?),
    })
}

/// Steps of an 8-bit range.
const LEVELS: f64 = 255.0;
