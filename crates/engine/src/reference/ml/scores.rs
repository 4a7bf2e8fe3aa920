//! What classifiers and regressors do to their raw scores.
//!
//! Owns the post transforms and class labels. The case of two classes and one score follows
//! ONNX Runtime. Called by `trees` and `linear`.

use crate::reference::float::Float;
use crate::reference::op::{OpError, Spec, wrong};
use crate::reference::reduce::softmax_of;
use crate::reference::unary::logistic;
use crate::value::{Tensor, Value};

/// A post transform.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Transform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// Reads `post_transform`.
    pub fn read(spec: &Spec) -> Result<Self, OpError> {
        Ok(match spec.text_or("post_transform", "NONE")? {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => {
                return Err(wrong("post_transform", format!("has the unknown value `{other}`")));
            }
        })
    }

    /// Transforms the scores of one row.
    pub fn apply<T: Float>(self, scores: &mut [T]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            Self::Softmax => softmax_of(scores, 0, 1, scores.len(), false),
            Self::SoftmaxZero => {
                let top = highest(scores);
                let (mut total, shift) = (T::ZERO, (-top).exp());
                for s in scores.iter_mut() {
                    if s.abs() > T::from_f64(ZERO_BELOW) {
                        *s = (*s - top).exp();
                        total += *s;
                    } else {
                        *s *= shift;
                    }
                }
                scores.iter_mut().for_each(|s| *s = *s / total);
            }
        }
    }
}

/// `SOFTMAX_ZERO` leaves scores of at most this magnitude out.
const ZERO_BELOW: f64 = 1e-7;

fn highest<T: Float>(scores: &[T]) -> T {
    scores.iter().fold(T::LOWEST, |a, &b| if b > a { b } else { a })
}

/// The quantile of the normal distribution with Winitzki's closed form of the inverse error
/// function (a = 0.147), the approximation that ONNX Runtime's results carry.
fn probit<T: Float>(p: T) -> T {
    let c = |v: f64| T::from_f64(v);
    let y = c(2.0) * p - T::ONE;
    let log = ((T::ONE - y) * (T::ONE + y)).ln();
    let v = c(2.0 / (std::f64::consts::PI * 0.147)) + c(0.5) * log;
    let root = (-v + (v * v - log / c(0.147)).sqrt()).sqrt();
    let inverse = if y < T::ZERO { -root } else { root };
    c(std::f64::consts::SQRT_2) * inverse
}

/// Class labels of a classifier.
#[derive(Clone, Debug)]
pub enum Labels {
    /// Integers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

impl Labels {
    /// Reads the labels from the two attributes that may hold them.
    pub fn read(spec: &Spec, ints: &str, texts: &str) -> Result<Self, OpError> {
        match (spec.ints(ints)?, spec.texts(texts)?) {
            (_, Some(t)) if !t.is_empty() => Ok(Self::Texts(t.to_vec())),
            (Some(i), _) if !i.is_empty() => Ok(Self::Ints(i.to_vec())),
            _ => Err(wrong(ints, format!("and `{texts}` are both missing"))),
        }
    }
    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(v) => v.len(),
            Self::Texts(v) => v.len(),
        }
    }
    /// The labels of the chosen classes.
    pub fn of(&self, chosen: &[Choice]) -> Value {
        match self {
            Self::Ints(v) => Value::I64(Tensor::vector(
                chosen
                    .iter()
                    .map(|c| match *c {
                        Choice::Class(i) => v.get(i).copied().unwrap_or(i as i64),
                        Choice::Sign(positive) => i64::from(positive),
                    })
                    .collect(),
            )),
            Self::Texts(v) => Value::Str(Tensor::vector(
                chosen
                    .iter()
                    .map(|c| {
                        let i = match *c {
                            Choice::Class(i) => i,
                            Choice::Sign(positive) => usize::from(positive),
                        };
                        v.get(i).cloned().unwrap_or_else(|| i.to_string())
                    })
                    .collect(),
            )),
        }
    }
}

/// What a classifier decides for one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// Index into the labels.
    Class(usize),
    /// Positive or negative, which is 1 or 0 where labels are integers.
    Sign(bool),
}

/// The first class with the highest score.
pub fn arg_max<T: Float>(scores: &[T]) -> usize {
    let beats = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
    (1..scores.len()).fold(0, beats)
}
