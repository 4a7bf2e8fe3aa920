//! Floating-point arithmetic that every kernel is written against.
//!
//! Owns the trait and its two implementations. Must never hold state. Called by the kernels.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use crate::value::{Tensor, Value};

/// `f32` or `f64`.
pub trait Float:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + Sum
    + Send
    + Sync
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Negative infinity.
    const LOWEST: Self;
    /// Nearest value.
    fn from_f64(v: f64) -> Self;
    /// Exact widening.
    fn to_f64(self) -> f64;
    /// Nearest `f32`.
    fn to_f32(self) -> f32;
    /// Exact for `f32` sources.
    fn from_f32(v: f32) -> Self;
    /// e^x
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x)
    fn ln_1p(self) -> Self;
    /// e^x - 1
    fn exp_m1(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Power.
    fn powf(self, e: Self) -> Self;
    /// Magnitude.
    fn abs(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Largest integer not above.
    fn floor(self) -> Self;
    /// Smallest integer not below.
    fn ceil(self) -> Self;
    /// Nearest integer, halves to even.
    fn round_even(self) -> Self;
    /// Whether not a number.
    fn is_nan(self) -> bool;
    /// Whether infinite.
    fn is_infinite(self) -> bool;
    /// The remainder with the sign of the dividend, as C's `fmod`.
    fn fmod(self, d: Self) -> Self;
    /// Wraps a tensor.
    fn wrap(t: Tensor<Self>) -> Value;
    /// The tensor in a value of this element type.
    fn unwrap_ref(v: &Value) -> Option<&Tensor<Self>>;
}

macro_rules! float {
    ($t:ident, $variant:ident) => {
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = $t::NEG_INFINITY;
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn from_f32(v: f32) -> Self {
                v as $t
            }
            fn exp(self) -> Self {
                $t::exp(self)
            }
            fn ln(self) -> Self {
                $t::ln(self)
            }
            fn ln_1p(self) -> Self {
                $t::ln_1p(self)
            }
            fn exp_m1(self) -> Self {
                $t::exp_m1(self)
            }
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            fn powf(self, e: Self) -> Self {
                $t::powf(self, e)
            }
            fn abs(self) -> Self {
                $t::abs(self)
            }
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            fn floor(self) -> Self {
                $t::floor(self)
            }
            fn ceil(self) -> Self {
                $t::ceil(self)
            }
            fn round_even(self) -> Self {
                $t::round_ties_even(self)
            }
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            fn is_infinite(self) -> bool {
                $t::is_infinite(self)
            }
            fn fmod(self, d: Self) -> Self {
                self % d
            }
            fn wrap(t: Tensor<Self>) -> Value {
                Value::$variant(t)
            }
            fn unwrap_ref(v: &Value) -> Option<&Tensor<Self>> {
                match v {
                    Value::$variant(t) => Some(t),
                    _ => None,
                }
            }
        }
    };
}

float!(f32, F32);
float!(f64, F64);
