//! Element-wise functions of one input: activations, roots, rounding.
//!
//! Owns each formula once, for both float types. Called by the registry.

use super::broadcast;
use super::float::Float;
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, mistyped};
use crate::value::{Tensor, Value};

/// Kernels that are one float formula.
macro_rules! formula {
    ($($(#[$doc:meta])* $name:ident($x:ident) = $body:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(_: &Spec) -> Result<Kernel, OpError> {
            fn f<T: Float>($x: T) -> T {
                $body
            }
            Ok(Box::new(|args| match args.required(0)? {
                Value::F32(t) => Ok(vec![Value::F32(t.map(|&x| f(x)))]),
                Value::F64(t) => Ok(vec![Value::F64(t.map(|&x| f(x)))]),
                other => Err(mistyped(0, other, "a float type")),
            }))
        }
    )*};
}

formula! {
    /// `Sqrt`
    sqrt(x) = x.sqrt();
    /// `Exp`
    exp(x) = x.exp();
    /// `Log`
    log(x) = x.ln();
    /// `Reciprocal`
    reciprocal(x) = T::ONE / x;
    /// `Sigmoid`
    sigmoid(x) = logistic(x);
    /// `Tanh`
    tanh(x) = x.tanh();
    /// `Softplus`: ln(1 + e^x), without overflow.
    softplus(x) = if x > T::ZERO { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
    /// `Softsign`
    softsign(x) = x / (T::ONE + x.abs());
    /// `HardSwish`
    hard_swish(x) = x * clamp(x / T::from_f64(6.0) + T::from_f64(0.5), T::ZERO, T::ONE);
    /// `Erf`
    erf(x) = error_function(x);
    /// `Floor`
    floor(x) = x.floor();
    /// `Ceil`
    ceil(x) = x.ceil();
    /// `Round`: halves to even.
    round(x) = x.round_even();
    /// `Sin`
    sin(x) = T::from_f64(x.to_f64().sin());
    /// `Cos`
    cos(x) = T::from_f64(x.to_f64().cos());
    /// `Tan`
    tan(x) = T::from_f64(x.to_f64().tan());
    /// `Asin`
    asin(x) = T::from_f64(x.to_f64().asin());
    /// `Acos`
    acos(x) = T::from_f64(x.to_f64().acos());
    /// `Atan`
    atan(x) = T::from_f64(x.to_f64().atan());
    /// `Sinh`
    sinh(x) = T::from_f64(x.to_f64().sinh());
    /// `Cosh`
    cosh(x) = T::from_f64(x.to_f64().cosh());
    /// `Asinh`
    asinh(x) = T::from_f64(x.to_f64().asinh());
    /// `Acosh`
    acosh(x) = T::from_f64(x.to_f64().acosh());
    /// `Atanh`
    atanh(x) = T::from_f64(x.to_f64().atanh());
}

/// Kernels with one or two parameters, or defined on integers too.
macro_rules! numeric {
    ($($(#[$doc:meta])* $name:ident: $float:expr, $int:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(_: &Spec) -> Result<Kernel, OpError> {
            Ok(Box::new(|args| Ok(vec![match args.required(0)? {
                Value::F32(t) => Value::F32(t.map(|&x| $float(x))),
                Value::F64(t) => Value::F64(t.map(|&x| $float(x))),
                Value::I64(t) => Value::I64(t.map(|&x| $int(x))),
                Value::I32(t) => Value::I32(t.map(|&x| $int(i64::from(x)) as i32)),
                Value::I8(t) => Value::I8(t.map(|&x| $int(i64::from(x)) as i8)),
                Value::U8(t) => Value::U8(t.map(|&x| $int(i64::from(x)) as u8)),
                other => return Err(mistyped(0, other, "a number")),
            }])))
        }
    )*};
}

numeric! {
    /// `Neg`
    neg: std::ops::Neg::neg, i64::wrapping_neg;
    /// `Abs`
    abs: Float::abs, i64::wrapping_abs;
    /// `Sign`; 0 at 0.
    sign: sign_of, i64::signum;
    /// `Relu`; not a number passes.
    relu: rectified, |x: i64| x.max(0);
}

fn sign_of<T: Float>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        // Also what is not a number, which stays so.
        x + T::ZERO
    }
}

fn rectified<T: Float>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

/// 1 / (1 + e^-x), without overflow.
pub fn logistic<T: Float>(x: T) -> T {
    if x >= T::ZERO {
        T::ONE / (T::ONE + (-x).exp())
    } else {
        let e = x.exp();
        e / (T::ONE + e)
    }
}

fn clamp<T: Float>(x: T, low: T, high: T) -> T {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// A formula with parameters fixed at preparation, evaluated in either float type.
fn with<const N: usize>(
    parameters: [f32; N],
    f32: fn(f32, [f32; N]) -> f32,
    f64: fn(f64, [f64; N]) -> f64,
) -> Kernel {
    let wide = parameters.map(f64::from);
    Box::new(move |args| match args.required(0)? {
        Value::F32(t) => Ok(vec![Value::F32(t.map(|&x| f32(x, parameters)))]),
        Value::F64(t) => Ok(vec![Value::F64(t.map(|&x| f64(x, wide)))]),
        other => Err(mistyped(0, other, "a float type")),
    })
}

/// `LeakyRelu`
pub fn leaky_relu(spec: &Spec) -> Result<Kernel, OpError> {
    fn f<T: Float>(x: T, [a]: [T; 1]) -> T {
        if x < T::ZERO { a * x } else { x }
    }
    Ok(with([spec.float_or("alpha", 0.01)?], f, f))
}
/// `Elu`
pub fn elu(spec: &Spec) -> Result<Kernel, OpError> {
    fn f<T: Float>(x: T, [a]: [T; 1]) -> T {
        if x < T::ZERO { a * x.exp_m1() } else { x }
    }
    Ok(with([spec.float_or("alpha", 1.0)?], f, f))
}
/// `HardSigmoid`
pub fn hard_sigmoid(spec: &Spec) -> Result<Kernel, OpError> {
    fn f<T: Float>(x: T, [a, b]: [T; 2]) -> T {
        clamp(a * x + b, T::ZERO, T::ONE)
    }
    Ok(with([spec.float_or("alpha", 0.2)?, spec.float_or("beta", 0.5)?], f, f))
}
/// `Gelu`, exact or with the tanh approximation.
pub fn gelu(spec: &Spec) -> Result<Kernel, OpError> {
    fn exact<T: Float>(x: T, []: [T; 0]) -> T {
        let root = T::from_f64(std::f64::consts::FRAC_1_SQRT_2);
        T::from_f64(0.5) * x * (T::ONE + error_function(x * root))
    }
    fn approximate<T: Float>(x: T, []: [T; 0]) -> T {
        let scale = T::from_f64((2.0 / std::f64::consts::PI).sqrt());
        let inner = scale * (x + T::from_f64(0.044_715) * x * x * x);
        T::from_f64(0.5) * x * (T::ONE + inner.tanh())
    }
    match spec.text_or("approximate", "none")? {
        "none" => Ok(with([], exact, exact)),
        "tanh" => Ok(with([], approximate, approximate)),
        other => Err(super::op::wrong("approximate", format!("has the unknown value `{other}`"))),
    }
}

/// `PRelu`: the slope is broadcast to the input.
pub fn prelu(_: &Spec) -> Result<Kernel, OpError> {
    fn of<T: Float>(x: &Tensor<T>, args: &Args) -> Result<Vec<Value>, OpError> {
        let f = |&x: &T, &a: &T| if x < T::ZERO { a * x } else { x };
        Ok(vec![T::wrap(broadcast::zip(x, args.float::<T>(1)?, f)?)])
    }
    Ok(Box::new(|args| float_dispatch!(0, args.required(0)?, x => of(x, args))))
}

/// `Clip`: bounds as attributes before opset 11, as inputs since.
pub fn clip(spec: &Spec) -> Result<Kernel, OpError> {
    let fixed = (spec.float("min")?, spec.float("max")?);
    fn of<T: Float>(
        x: &Tensor<T>,
        args: &Args,
        fixed: (Option<f32>, Option<f32>),
    ) -> Result<Vec<Value>, OpError> {
        let bound = |i, fixed: Option<f32>| -> Result<Option<T>, OpError> {
            Ok(match args.float_optional::<T>(i)? {
                Some(t) => t.data().first().copied(),
                None => fixed.map(T::from_f32),
            })
        };
        let (low, high) = (bound(1, fixed.0)?, bound(2, fixed.1)?);
        Ok(vec![T::wrap(x.map(|&x| {
            // The upper bound wins where the two cross, as numpy has it.
            let x = low.map_or(x, |l| if x < l { l } else { x });
            high.map_or(x, |h| if x > h { h } else { x })
        }))])
    }
    fn integers<T: Copy + Ord>(
        x: &Tensor<T>,
        low: Option<&Tensor<T>>,
        high: Option<&Tensor<T>>,
    ) -> Tensor<T> {
        let first = |t: Option<&Tensor<T>>| t.and_then(|t| t.data().first().copied());
        let (low, high) = (first(low), first(high));
        x.map(|&x| {
            let x = low.map_or(x, |l| x.max(l));
            high.map_or(x, |h| x.min(h))
        })
    }
    macro_rules! integer_clip {
        ($x:expr, $args:expr, $variant:ident) => {{
            let bound = |i| match $args.optional(i) {
                None => Ok(None),
                Some(Value::$variant(t)) => Ok(Some(t)),
                Some(other) => Err(mistyped(i, other, "the type of input 0")),
            };
            Ok(vec![Value::$variant(integers($x, bound(1)?, bound(2)?))])
        }};
    }
    Ok(Box::new(move |args| match args.required(0)? {
        Value::F32(x) => of(x, args, fixed),
        Value::F64(x) => of(x, args, fixed),
        Value::I64(x) => integer_clip!(x, args, I64),
        Value::I32(x) => integer_clip!(x, args, I32),
        Value::I8(x) => integer_clip!(x, args, I8),
        Value::U8(x) => integer_clip!(x, args, U8),
        other => Err(mistyped(0, other, "a number")),
    }))
}

/// erf(x) to about 1e-16: the Taylor series (Abramowitz and Stegun 7.1.6) below 2.5, the
/// continued fraction of erfc (7.1.14) above, both in `f64`.
pub fn error_function<T: Float>(x: T) -> T {
    let v = x.to_f64();
    if v.is_nan() {
        return x;
    }
    let a = v.abs();
    let magnitude = if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum
    } else if a > 6.5 {
        1.0
    } else {
        // 60 levels: far more than the twenty that x = 2.5 needs.
        let fraction = (1..=60).rev().fold(0.0, |f, k| f64::from(k) / 2.0 / (a + f));
        1.0 - (-a * a).exp() / (std::f64::consts::PI.sqrt() * (a + fraction))
    };
    T::from_f64(magnitude.copysign(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of erf as Python's `math.erf` gives them.
    #[test]
    fn the_error_function_is_exact_to_fifteen_digits() {
        let cases = [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (7.0, 1.0),
        ];
        for (x, want) in cases {
            assert!((error_function(x) - want).abs() < 1e-15, "{x}: {}", error_function(x));
            assert_eq!(error_function(-x), -error_function(x));
        }
        let (below, above): (f64, f64) = (error_function(2.5 - 1e-12), error_function(2.5));
        assert!((below - above).abs() < 1e-13, "the two forms meet: {below} {above}");
    }
}
