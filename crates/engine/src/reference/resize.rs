//! `Resize` and `Upsample`: sampling on another grid, axis by axis.
//!
//! Owns the weights with which every output place reads its input places; all modes are linear
//! and separable, so one small matrix per axis says everything and the reverse pass uses the
//! same matrices. Must never allocate more than the result needs. Called by the registry and by
//! `autodiff`.

use super::float::Float;
use super::op::{
    Args, Kernel, OpError, Spec, around, axis_of, float_dispatch, misshapen, tensor, volume, wrong,
};
use crate::value::{Tensor, Value};

/// What each output place of one axis reads: input places and their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Size before.
    pub input: usize,
    /// Per output place; empty where the fill is taken.
    pub rows: Vec<Vec<(usize, f64)>>,
}

/// How a node samples, before it has seen a shape.
#[derive(Clone, Debug)]
pub struct Sampling {
    mode: Mode,
    transform: Transform,
    nearest: Nearest,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
    fill: f32,
    policy: Policy,
    axes: Option<Vec<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Transform {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNearest,
    CropAndResize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// What the inputs of a node ask for.
pub struct Wanted {
    /// Region per axis, starts then ends; empty when not given.
    pub roi: Vec<f64>,
    /// Factors, when given.
    pub scales: Option<Vec<f64>>,
    /// Sizes, when given.
    pub sizes: Option<Vec<i64>>,
}

/// `Resize`
pub fn resize(spec: &Spec) -> Result<Kernel, OpError> {
    let sampling = Sampling::read(spec)?;
    let old = spec.opset < 11;
    Ok(Box::new(move |args| {
        let wanted = wanted(args, old)?;
        run(args.required(0)?, &sampling, &wanted)
    }))
}

/// `Upsample`: factors as an attribute in opset 7, as an input in 9.
pub fn upsample(spec: &Spec) -> Result<Kernel, OpError> {
    let sampling = Sampling::old(spec)?;
    let fixed = spec.floats("scales")?.map(<[f32]>::to_vec);
    Ok(Box::new(move |args| {
        let wanted = match &fixed {
            Some(f) => Wanted {
                roi: Vec::new(),
                scales: Some(f.iter().map(|&v| f64::from(v)).collect()),
                sizes: None,
            },
            None => wanted(args, true)?,
        };
        run(args.required(0)?, &sampling, &wanted)
    }))
}

/// The shape of the result of `Resize` or `Upsample`; `inputs` behind the first are needed only
/// where the shape follows from them.
///
/// # Errors
/// As the kernels.
pub fn sizes(
    spec: &Spec,
    shape: &[usize],
    inputs: &[Option<&Value>],
) -> Result<Vec<usize>, OpError> {
    let (sampling, old) = match spec.node.op.as_str() {
        "Upsample" => (Sampling::old(spec)?, true),
        _ => (Sampling::read(spec)?, spec.opset < 11),
    };
    let mut asked = wanted(&Args::new(inputs), old)?;
    if let Some(factors) = spec.floats("scales")? {
        asked.scales = Some(factors.iter().map(|&v| f64::from(v)).collect());
    }
    let axes: Vec<usize> = match &sampling.axes {
        Some(axes) => axes.iter().map(|&a| axis_of(a, shape.len())).collect::<Result<_, _>>()?,
        None => (0..shape.len()).collect(),
    };
    let mut out = shape.to_vec();
    for (axis, target) in axes.iter().zip(sampling.targets(shape, &axes, &asked)?) {
        out[*axis] = target.size;
    }
    Ok(out)
}

/// Places of an axis: their weights are listed one by one, and no image is as wide.
const PLACES_MAX: usize = 1 << 22;

fn wanted(args: &Args, old: bool) -> Result<Wanted, OpError> {
    let floats = |i: usize| args.optional(i).and_then(Value::to_f64s).unwrap_or_default();
    let at = if old { 1 } else { 2 };
    let scales = Some(floats(at)).filter(|s| !s.is_empty());
    let sizes = if old { None } else { args.ints_optional(3)? };
    let sizes = sizes.filter(|s| !s.is_empty());
    let roi = if old { Vec::new() } else { floats(1) };
    Ok(Wanted { roi, scales, sizes })
}

fn run(x: &Value, sampling: &Sampling, wanted: &Wanted) -> Result<Vec<Value>, OpError> {
    let plan = sampling.plan(&x.shape(), wanted)?;
    let whole = |t: Tensor<f32>| -> Result<Tensor<f32>, OpError> { apply(&t, &plan, sampling) };
    Ok(vec![match x {
        Value::U8(t) => Value::U8(whole(t.map(|&v| f32::from(v)))?.map(|&v| v as u8)),
        Value::I8(t) => Value::I8(whole(t.map(|&v| f32::from(v)))?.map(|&v| v as i8)),
        other => float_dispatch!(0, other, x => Ok(Float::wrap(apply(x, &plan, sampling)?)))?,
    }])
}

fn apply<T: Float>(
    x: &Tensor<T>,
    plan: &[Option<Axis>],
    sampling: &Sampling,
) -> Result<Tensor<T>, OpError> {
    let shape: Vec<usize> = plan
        .iter()
        .zip(x.shape())
        .map(|(axis, &d)| axis.as_ref().map_or(d, |a| a.rows.len()))
        .collect();
    volume(&shape)?;
    let mut now = x.clone();
    let fill = T::from_f32(sampling.fill);
    for (d, axis) in plan.iter().enumerate() {
        if let Some(axis) = axis {
            now = along(&now, d, axis, fill)?;
        }
    }
    Ok(now)
}

fn along<T: Float>(x: &Tensor<T>, d: usize, axis: &Axis, fill: T) -> Result<Tensor<T>, OpError> {
    let (before, size, after) = around(x.shape(), d);
    let mut shape = x.shape().to_vec();
    shape[d] = axis.rows.len();
    let mut out = Vec::with_capacity(volume(&shape)?);
    for b in 0..before {
        for row in &axis.rows {
            for a in 0..after {
                let at = |i: usize| x.data()[(b * size + i) * after + a];
                out.push(match row.as_slice() {
                    [] => fill,
                    // A copy stays one, also of what is not finite.
                    [(i, 1.0)] => at(*i),
                    row => row.iter().map(|&(i, w)| at(i) * T::from_f64(w)).sum(),
                });
            }
        }
    }
    tensor(shape, out)
}

impl Sampling {
    /// Reads the attributes of a `Resize` node.
    pub fn read(spec: &Spec) -> Result<Self, OpError> {
        if spec.opset < 11 {
            return Self::old(spec);
        }
        let policy = match spec.text_or("keep_aspect_ratio_policy", "stretch")? {
            "stretch" => Policy::Stretch,
            "not_larger" => Policy::NotLarger,
            "not_smaller" => Policy::NotSmaller,
            other => return Err(unknown("keep_aspect_ratio_policy", other)),
        };
        let transform = match spec.text_or("coordinate_transformation_mode", "half_pixel")? {
            "half_pixel" => Transform::HalfPixel,
            "half_pixel_symmetric" => Transform::HalfPixelSymmetric,
            "pytorch_half_pixel" => Transform::PytorchHalfPixel,
            "align_corners" => Transform::AlignCorners,
            "asymmetric" => Transform::Asymmetric,
            "tf_half_pixel_for_nn" => Transform::TfHalfPixelForNearest,
            "tf_crop_and_resize" => Transform::CropAndResize,
            other => return Err(unknown("coordinate_transformation_mode", other)),
        };
        let nearest = match spec.text_or("nearest_mode", "round_prefer_floor")? {
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(unknown("nearest_mode", other)),
        };
        Ok(Self {
            mode: mode(spec)?,
            transform,
            nearest,
            cubic: f64::from(spec.float_or("cubic_coeff_a", -0.75)?),
            exclude_outside: spec.flag("exclude_outside", false)?,
            antialias: spec.flag("antialias", false)?,
            fill: spec.float_or("extrapolation_value", 0.0)?,
            policy,
            axes: spec.ints("axes")?.map(<[i64]>::to_vec),
        })
    }

    /// Before opset 11: corners at 0, the place below.
    fn old(spec: &Spec) -> Result<Self, OpError> {
        Ok(Self {
            mode: mode(spec)?,
            transform: Transform::Asymmetric,
            nearest: Nearest::Floor,
            cubic: -0.75,
            exclude_outside: false,
            antialias: false,
            fill: 0.0,
            policy: Policy::Stretch,
            axes: None,
        })
    }

    /// The weights of every axis; `None` where nothing changes.
    ///
    /// # Errors
    /// Factors or sizes that do not fit the shape, are not positive, or give too much.
    pub fn plan(&self, shape: &[usize], wanted: &Wanted) -> Result<Vec<Option<Axis>>, OpError> {
        let rank = shape.len();
        let axes: Vec<usize> = match &self.axes {
            Some(axes) => axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?,
            None => (0..rank).collect(),
        };
        let targets = self.targets(shape, &axes, wanted)?;
        let sizes: Vec<usize> = targets.iter().map(|t| t.size).collect();
        volume(&sizes)?;
        let mut plan = vec![None; rank];
        for (k, (&axis, target)) in axes.iter().zip(&targets).enumerate() {
            let region = match self.transform {
                Transform::CropAndResize => {
                    let pair = (wanted.roi.get(k), wanted.roi.get(k + axes.len()));
                    let (Some(&a), Some(&b)) = pair else {
                        return Err(misshapen("a region is needed and not given"));
                    };
                    Some((a, b))
                }
                _ => None,
            };
            if target.size == shape[axis] && target.scale == 1.0 && region.is_none() {
                continue;
            }
            if shape[axis] == 0 && target.size > 0 {
                return Err(misshapen("an empty dimension has nothing to sample"));
            }
            plan[axis] = Some(self.axis(shape[axis], target, region)?);
        }
        Ok(plan)
    }

    fn targets(
        &self,
        shape: &[usize],
        axes: &[usize],
        wanted: &Wanted,
    ) -> Result<Vec<Target>, OpError> {
        let fits = |n: usize| match n == axes.len() {
            true => Ok(()),
            false => Err(misshapen(format!("{n} factors or sizes for {} axes", axes.len()))),
        };
        if let Some(sizes) = &wanted.sizes {
            fits(sizes.len())?;
            let size = |&s: &i64| usize::try_from(s).map_err(|_| misshapen("a negative size"));
            let sizes: Vec<usize> = sizes.iter().map(size).collect::<Result<_, _>>()?;
            let ratio = |k: usize| sizes[k] as f64 / shape[axes[k]].max(1) as f64;
            let ratios = (0..axes.len()).map(ratio);
            let shared = match self.policy {
                Policy::Stretch => None,
                Policy::NotLarger => ratios.reduce(f64::min),
                Policy::NotSmaller => ratios.reduce(f64::max),
            };
            return (0..axes.len())
                .map(|k| {
                    let Some(scale) = shared else {
                        return Ok(Target { size: sizes[k], scale: ratio(k) });
                    };
                    let size = (scale * shape[axes[k]] as f64 + 0.5).floor();
                    Ok(Target { size: whole(size)?, scale })
                })
                .collect();
        }
        let Some(scales) = &wanted.scales else {
            return Err(misshapen("neither factors nor sizes are given"));
        };
        fits(scales.len())?;
        let of = |(&scale, &axis): (&f64, &usize)| {
            if !(scale.is_finite() && scale > 0.0) {
                return Err(OpError::Value(format!("a factor of {scale}")));
            }
            Ok(Target { size: whole((shape[axis] as f64 * scale).floor())?, scale })
        };
        scales.iter().zip(axes).map(of).collect()
    }

    fn axis(
        &self,
        input: usize,
        target: &Target,
        region: Option<(f64, f64)>,
    ) -> Result<Axis, OpError> {
        if target.size > PLACES_MAX {
            let words = format!("more than {PLACES_MAX} places on one axis");
            return Err(OpError::Unsupported(words));
        }
        // An antialiased row reads as many places as the factor shrinks: bound the whole.
        let reach = if self.antialias { (1.0 / target.scale).max(1.0) } else { 1.0 };
        volume(&[target.size, whole((4.0 * reach).min(input as f64 + 4.0).ceil())?])?;
        let rows = (0..target.size).map(|o| {
            let at = self.source(o, input, target, region);
            if region.is_some() && !(at >= 0.0 && at <= input as f64 - 1.0) {
                return Vec::new();
            }
            match self.mode {
                Mode::Nearest => vec![(self.nearest_of(at, input), 1.0)],
                _ => self.weights(at, input, target.scale),
            }
        });
        Ok(Axis { input, rows: rows.collect() })
    }

    /// Where output place `o` lies on the input's axis.
    fn source(&self, o: usize, input: usize, t: &Target, region: Option<(f64, f64)>) -> f64 {
        let (o, n, size) = (o as f64, input as f64, t.size as f64);
        match self.transform {
            Transform::HalfPixel => (o + 0.5) / t.scale - 0.5,
            Transform::HalfPixelSymmetric => {
                let adjust = size / (t.scale * n);
                n / 2.0 * (1.0 - adjust) + (o + 0.5) / t.scale - 0.5
            }
            Transform::PytorchHalfPixel if t.size <= 1 => 0.0,
            Transform::PytorchHalfPixel => (o + 0.5) / t.scale - 0.5,
            Transform::AlignCorners if t.size <= 1 => 0.0,
            Transform::AlignCorners => o * (n - 1.0) / (size - 1.0),
            Transform::Asymmetric => o / t.scale,
            Transform::TfHalfPixelForNearest => (o + 0.5) / t.scale,
            Transform::CropAndResize => {
                let (start, end) = region.unwrap_or((0.0, 1.0));
                if t.size > 1 {
                    start * (n - 1.0) + o * (end - start) * (n - 1.0) / (size - 1.0)
                } else {
                    0.5 * (start + end) * (n - 1.0)
                }
            }
        }
    }

    fn nearest_of(&self, at: f64, input: usize) -> usize {
        // Coordinates are computed in `f32` by the engines: what `f32` cannot tell from a half
        // or a whole must not fall to the other side here.
        let at = f64::from(at as f32);
        let place = match self.nearest {
            Nearest::RoundPreferFloor => (at - 0.5).ceil(),
            Nearest::RoundPreferCeil => (at + 0.5).floor(),
            Nearest::Floor => at.floor(),
            Nearest::Ceil => at.ceil(),
        };
        place.clamp(0.0, input.saturating_sub(1) as f64) as usize
    }

    fn weights(&self, at: f64, input: usize, scale: f64) -> Vec<(usize, f64)> {
        let shrink = if self.antialias { scale.min(1.0) } else { 1.0 };
        let radius = if self.mode == Mode::Linear { 1.0 } else { 2.0 } / shrink;
        let last = input as f64 - 1.0;
        // Beyond the border every place is the border's: far away all weight is there.
        let at = at.clamp(-radius - 1.0, last + radius + 1.0);
        let (low, high) = ((at - radius).floor() as i64, (at + radius).ceil() as i64);
        let mut found: Vec<(usize, f64)> = Vec::new();
        let mut total = 0.0;
        for i in low..=high {
            let weight = self.kernel((at - i as f64) * shrink);
            let outside = i < 0 || i as f64 > last;
            if weight == 0.0 || (outside && self.exclude_outside) {
                continue;
            }
            total += weight;
            let place = (i.max(0) as usize).min(input - 1);
            match found.iter_mut().find(|(p, _)| *p == place) {
                Some((_, w)) => *w += weight,
                None => found.push((place, weight)),
            }
        }
        if self.exclude_outside || self.antialias {
            found.iter_mut().for_each(|(_, w)| *w /= total);
        }
        if found.is_empty() {
            let nearest = at.round().clamp(0.0, last.max(0.0)) as usize;
            return vec![(nearest, 1.0)];
        }
        found
    }

    /// Triangle, or the cubic of Keys (1981) with coefficient `a`.
    fn kernel(&self, s: f64) -> f64 {
        let s = s.abs();
        if self.mode == Mode::Linear {
            return (1.0 - s).max(0.0);
        }
        let a = self.cubic;
        if s < 1.0 {
            ((a + 2.0) * s - (a + 3.0)) * s * s + 1.0
        } else if s < 2.0 {
            ((a * s - 5.0 * a) * s + 8.0 * a) * s - 4.0 * a
        } else {
            0.0
        }
    }
}

/// Size and factor of one axis.
struct Target {
    size: usize,
    scale: f64,
}

fn mode(spec: &Spec) -> Result<Mode, OpError> {
    Ok(match spec.text_or("mode", "nearest")? {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" => Mode::Cubic,
        other => return Err(unknown("mode", other)),
    })
}

fn unknown(name: &str, value: &str) -> OpError {
    wrong(name, format!("has the unknown value `{value}`"))
}

/// A size computed in floating point.
fn whole(size: f64) -> Result<usize, OpError> {
    if size >= 0.0 && size <= super::op::ELEMENTS_MAX as f64 {
        return Ok(size as usize);
    }
    Err(OpError::Value(format!("a size of {size:e}")))
}
