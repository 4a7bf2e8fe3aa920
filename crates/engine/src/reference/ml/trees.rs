//! Tree ensembles: `TreeEnsembleClassifier`, `TreeEnsembleRegressor`, `TreeEnsemble`.
//!
//! Owns what ONNX Runtime makes of the sums of leaves: base values, post transforms, the case of
//! two classes. The walk is [`crate::trees`]'s. Called by the registry.

use std::sync::OnceLock;

use super::scores::{Choice, Labels, Transform, arg_max};
use super::{Floats, floats, given, rows};
use crate::reference::Precision;
use crate::reference::float::Float;
use crate::reference::op::{Args, Kernel, OpError, Spec, misshapen, tensor, volume, wrong};
use crate::reference::unary::logistic;
use crate::trees::import::onnx;
use crate::trees::{Arithmetic, Ensemble, Forest, Rows, Sums, TreeError};
use crate::value::{Tensor, Value};

/// An ensemble laid out for either type of input, each when it is first asked for.
struct Stored {
    ensemble: Ensemble,
    single: OnceLock<Result<Forest, TreeError>>,
    double: OnceLock<Result<Forest, TreeError>>,
    /// Base values as the file has them, whatever their number.
    base: Vec<f64>,
}

impl Stored {
    /// Prepares an ensemble; it is checked here.
    fn new(spec: &Spec, ensemble: Ensemble) -> Result<Self, OpError> {
        let doubles = ensemble.arithmetic == Arithmetic::F64;
        let base = onnx::numbers(spec, "base_values", doubles)?;
        let stored = Self { ensemble, single: OnceLock::new(), double: OnceLock::new(), base };
        // What most inputs are; it also finds what is wrong before the first row.
        match spec.precision {
            Precision::F32 => stored.forest(Arithmetic::F32)?,
            Precision::F64 => stored.forest(Arithmetic::F64)?,
        };
        Ok(stored)
    }

    fn forest(&self, arithmetic: Arithmetic) -> Result<&Forest, OpError> {
        let place = if arithmetic == Arithmetic::F32 { &self.single } else { &self.double };
        let forest = place.get_or_init(|| self.ensemble.compile_as(arithmetic));
        forest.as_ref().map_err(|e| OpError::Value(e.to_string()))
    }

    /// The joined leaves of every row, in the type of the input.
    fn sums<T: Float>(&self, x: &Tensor<T>) -> Result<Sums<T>, OpError> {
        let (_, columns) = rows(x.shape())?;
        let single = size_of::<T>() == size_of::<f32>();
        let arithmetic = if single { Arithmetic::F32 } else { Arithmetic::F64 };
        let forest = self.forest(arithmetic)?;
        if x.is_empty() {
            return Ok(Sums { values: Vec::new(), present: vec![false; forest.outputs()] });
        }
        let given =
            Rows::new(x.data(), columns).ok_or_else(|| misshapen("the rows have no columns"))?;
        let sums = forest.sums(given).map_err(|e| OpError::Shape(e.to_string()))?;
        let values = sums.values.into_iter().map(T::from_f64).collect();
        Ok(Sums { values, present: sums.present })
    }

    fn targets(&self) -> usize {
        self.ensemble.outputs
    }

    fn base<T: Float>(&self, i: usize) -> T {
        self.base.get(i).map_or(T::ZERO, |&b| T::from_f64(b))
    }

    /// Scores `(rows, targets)` of a regression.
    fn regress<T: Float>(&self, x: &Tensor<T>, transform: Transform) -> Result<Tensor<T>, OpError> {
        let (n, targets) = (rows(x.shape())?.0, self.targets());
        volume(&[n, targets])?;
        let mut scores = self.sums(x)?.values;
        for row in scores.chunks_mut(targets) {
            // A single base value belongs to a single target only.
            if self.base.len() == targets {
                row.iter_mut().enumerate().for_each(|(i, s)| *s += self.base(i));
            }
            // ONNX Runtime transforms a single target by the probit only.
            if targets > 1 || transform == Transform::Probit {
                transform.apply(row);
            }
        }
        tensor(vec![n, targets], scores)
    }
}

/// Runs `$body` for the type of the input.
macro_rules! each_type {
    ($x:expr, |$t:ident| $body:expr) => {
        match $x {
            Floats::F32($t) => $body,
            Floats::F64($t) => $body,
        }
    };
}

/// `TreeEnsembleRegressor`
pub fn regressor(spec: &Spec) -> Result<Kernel, OpError> {
    let (transform, precision) = (Transform::read(spec)?, spec.precision);
    let stored = Stored::new(spec, onnx::regressor(spec)?)?;
    Ok(Box::new(move |args| regression(&stored, args, transform, precision)))
}

/// `TreeEnsemble`, the one operator that replaces both since opset 5.
pub fn ensemble(spec: &Spec) -> Result<Kernel, OpError> {
    let transform = match spec.int_or("post_transform", 0)? {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => return Err(wrong("post_transform", format!("has the unknown value {other}"))),
    };
    let precision = spec.precision;
    let stored = Stored::new(spec, onnx::ensemble(spec)?)?;
    Ok(Box::new(move |args| {
        // Here the result has the type of the input.
        let x = floats(args.required(0)?, 0, precision)?;
        each_type!(x, |t| Ok(vec![Float::wrap(stored.regress(&t, transform)?)]))
    }))
}

fn regression(
    stored: &Stored,
    args: &Args,
    transform: Transform,
    precision: Precision,
) -> Result<Vec<Value>, OpError> {
    let x = floats(args.required(0)?, 0, precision)?;
    each_type!(x, |t| Ok(vec![given(stored.regress(&t, transform)?, precision)]))
}

/// How a classifier with two classes reads its scores.
#[derive(Clone, Copy)]
struct Binary {
    /// Two classes, and all weights belong to one of them.
    single: bool,
    /// No weight is negative, so a score is a probability.
    positive: bool,
}

/// `TreeEnsembleClassifier`
pub fn classifier(spec: &Spec) -> Result<Kernel, OpError> {
    let labels = Labels::read(spec, "classlabels_int64s", "classlabels_strings")?;
    let (transform, precision) = (Transform::read(spec)?, spec.precision);
    let stored = Stored::new(spec, onnx::classifier(spec)?)?;
    let binary = binary(&stored.ensemble);
    Ok(Box::new(move |args| {
        let x = floats(args.required(0)?, 0, precision)?;
        each_type!(x, |t| {
            let (chosen, scores) = classify(&stored, &t, transform, binary)?;
            Ok(vec![labels.of(&chosen), given(scores, precision)])
        })
    }))
}

fn binary(e: &Ensemble) -> Binary {
    let weights = || e.trees.iter().flat_map(|t| &t.leaves);
    Binary {
        single: e.outputs == 2 && e.only_output().is_some(),
        positive: weights().all(|&w| w >= 0.0),
    }
}

fn classify<T: Float>(
    f: &Stored,
    x: &Tensor<T>,
    transform: Transform,
    binary: Binary,
) -> Result<(Vec<Choice>, Tensor<T>), OpError> {
    let (n, targets) = (rows(x.shape())?.0, f.targets());
    let mut chosen = Vec::with_capacity(n);
    let mut out = Vec::with_capacity(volume(&[n, targets])?);
    let sums = f.sums(x)?;
    let present = sums.present.chunks(targets).cycle();
    for (row, present) in sums.values.chunks(targets).zip(present) {
        let held = row.iter().zip(present).map(|(&s, &p)| p.then_some(s));
        let mut slots: Vec<Option<T>> = held.collect();
        let (choice, mut scores) = match targets {
            1 => {
                let s = slots[0].unwrap_or(T::ZERO) + f.base(0);
                let mut one = vec![s];
                if transform == Transform::Probit {
                    transform.apply(&mut one);
                }
                (Choice::Sign(s > T::ZERO), one)
            }
            2 => two_classes(f, &slots, transform, binary)?,
            _ => {
                for (i, s) in slots.iter_mut().enumerate().take(f.base.len()) {
                    *s = Some(s.unwrap_or(T::ZERO) + f.base(i));
                }
                let mut scores: Vec<T> = slots.iter().map(|s| s.unwrap_or(T::ZERO)).collect();
                // A class without any weight cannot win.
                let ranked: Vec<T> = slots.iter().map(|s| s.unwrap_or(T::LOWEST)).collect();
                transform.apply(&mut scores);
                (Choice::Class(arg_max(&ranked)), scores)
            }
        };
        chosen.push(choice);
        out.append(&mut scores);
    }
    Ok((chosen, tensor(vec![n, targets], out)?))
}

/// The case of two classes, where ONNX Runtime reads one score as both.
fn two_classes<T: Float>(
    f: &Stored,
    slots: &[Option<T>],
    transform: Transform,
    binary: Binary,
) -> Result<(Choice, Vec<T>), OpError> {
    let (mut first, mut second) = (slots[0], slots[1]);
    match f.base.len() {
        2 if second.is_some() => {
            // The second score is replaced, not increased: so the runtime has it.
            let s = f.base::<T>(1) + first.unwrap_or(T::ZERO);
            (first, second) = (first.map(|_| -s), Some(s));
        }
        2 | 1 => first = first.map(|s| s + f.base(0)),
        _ => {}
    }
    let (zero, half) = (T::ZERO, T::from_f64(0.5));
    let weight = second.or(first).unwrap_or(zero);
    let choice = match binary {
        Binary { single: true, positive: true } => Choice::Class(usize::from(weight > half)),
        Binary { single: true, positive: false } => Choice::Class(usize::from(weight > zero)),
        _ => Choice::Sign(weight > zero),
    };
    if second.is_some() || f.base.len() == 2 {
        let mut pair = vec![first.unwrap_or(zero), second.unwrap_or(zero)];
        transform.apply(&mut pair);
        return Ok((choice, pair));
    }
    let s = first.unwrap_or(zero);
    let pair = match (transform, binary.positive) {
        (Transform::Probit, _) => {
            let what = "the probit of a single score for two classes";
            return Err(OpError::Unsupported(what.to_string()));
        }
        (Transform::Logistic, true) => [T::ONE - logistic(s), logistic(s)],
        (Transform::Logistic, false) => [logistic(-s), logistic(s)],
        (_, true) => [T::ONE - s, s],
        (_, false) => [-s, s],
    };
    Ok((choice, pair.to_vec()))
}
