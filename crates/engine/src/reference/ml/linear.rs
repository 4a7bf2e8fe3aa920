//! `LinearClassifier` and `LinearRegressor`.
//!
//! Owns the reading of their attributes; the product is `gemm`'s. Called by the registry.

use super::scores::{Choice, Labels, Transform, arg_max};
use super::{Floats, floats, given, rows};
use crate::reference::float::Float;
use crate::reference::gemm::{Matrix, multiply};
use crate::reference::op::{Kernel, OpError, Spec, misshapen, tensor, volume, wrong};
use crate::reference::unary::logistic;
use crate::value::Tensor;

/// Coefficients `(targets, columns)` and intercepts.
struct Linear {
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    targets: usize,
}

impl Linear {
    fn read(spec: &Spec, targets: Option<usize>) -> Result<Self, OpError> {
        let coefficients = spec.floats("coefficients")?;
        let coefficients = coefficients.ok_or_else(|| wrong("coefficients", "is missing"))?;
        let intercepts = spec.floats("intercepts")?.unwrap_or(&[]).to_vec();
        let targets = targets.unwrap_or(intercepts.len());
        if targets == 0 || coefficients.len() % targets != 0 {
            let n = coefficients.len();
            return Err(wrong("coefficients", format!("has {n} entries for {targets} targets")));
        }
        if !intercepts.is_empty() && intercepts.len() != targets {
            return Err(wrong("intercepts", format!("does not have {targets} entries")));
        }
        Ok(Self { coefficients: coefficients.to_vec(), intercepts, targets })
    }

    /// Scores `(rows, targets)`.
    fn scores<T: Float>(&self, x: &Tensor<T>) -> Result<(usize, Vec<T>), OpError> {
        let (n, columns) = rows(x.shape())?;
        if columns * self.targets != self.coefficients.len() {
            let want = self.coefficients.len() / self.targets;
            return Err(misshapen(format!("expected {want} columns, given {columns}")));
        }
        let weights: Vec<T> = self.coefficients.iter().map(|&c| T::from_f32(c)).collect();
        let mut out = vec![T::ZERO; volume(&[n, self.targets])?];
        multiply(
            (n, columns, self.targets),
            Matrix { data: x.data(), strides: (columns, 1) },
            Matrix { data: &weights, strides: (1, columns) },
            &mut out,
        );
        for row in out.chunks_mut(self.targets) {
            for (s, &b) in row.iter_mut().zip(&self.intercepts) {
                *s += T::from_f32(b);
            }
        }
        Ok((n, out))
    }
}

/// `LinearRegressor`
pub fn regressor(spec: &Spec) -> Result<Kernel, OpError> {
    let targets = usize::try_from(spec.int_or("targets", 1)?).unwrap_or(0);
    let linear = Linear::read(spec, Some(targets))?;
    let transform = Transform::read(spec)?;
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        fn of<T: Float>(
            x: &Tensor<T>,
            linear: &Linear,
            transform: Transform,
        ) -> Result<Tensor<T>, OpError> {
            let (n, mut out) = linear.scores(x)?;
            for row in out.chunks_mut(linear.targets) {
                // ONNX Runtime transforms a single target by the probit only.
                if linear.targets > 1 || transform == Transform::Probit {
                    transform.apply(row);
                }
            }
            tensor(vec![n, linear.targets], out)
        }
        Ok(vec![match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => given(of(&x, &linear, transform)?, precision),
            Floats::F64(x) => given(of(&x, &linear, transform)?, precision),
        }])
    }))
}

/// `LinearClassifier`
pub fn classifier(spec: &Spec) -> Result<Kernel, OpError> {
    let linear = Linear::read(spec, None)?;
    let labels = Labels::read(spec, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::read(spec)?;
    let precision = spec.precision;
    if linear.targets > 1 && linear.targets != labels.len() {
        let (n, m) = (labels.len(), linear.targets);
        return Err(wrong("intercepts", format!("has {m} entries for {n} class labels")));
    }
    Ok(Box::new(move |args| {
        let parts = (&linear, &labels, transform);
        let (chosen, scores) = match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => classify(&x, parts).map(|(c, s)| (c, given(s, precision)))?,
            Floats::F64(x) => classify(&x, parts).map(|(c, s)| (c, given(s, precision)))?,
        };
        Ok(vec![labels.of(&chosen), scores])
    }))
}

fn classify<T: Float>(
    x: &Tensor<T>,
    (linear, labels, transform): (&Linear, &Labels, Transform),
) -> Result<(Vec<Choice>, Tensor<T>), OpError> {
    let (n, mut out) = linear.scores(x)?;
    if linear.targets > 1 {
        let chosen = out.chunks(linear.targets).map(|row| Choice::Class(arg_max(row))).collect();
        out.chunks_mut(linear.targets).for_each(|row| transform.apply(row));
        return Ok((chosen, tensor(vec![n, linear.targets], out)?));
    }
    let named = labels.len() == 2;
    let choose = |&s: &T| match s > T::ZERO {
        positive if named => Choice::Class(usize::from(positive)),
        positive => Choice::Sign(positive),
    };
    let chosen = out.iter().map(choose).collect();
    // One score: softmax is left out, as in ONNX Runtime.
    match (named, transform) {
        (true, Transform::Probit) => {
            Err(OpError::Unsupported("the probit of a single score for two classes".to_string()))
        }
        (true, _) => {
            if transform == Transform::Logistic {
                out.iter_mut().for_each(|s| *s = logistic(*s));
            }
            let pairs = out.iter().flat_map(|&s| [T::ONE - s, s]).collect();
            Ok((chosen, tensor(vec![n, 2], pairs)?))
        }
        (false, Transform::Probit) => {
            transform.apply(&mut out);
            Ok((chosen, tensor(vec![n, 1], out)?))
        }
        (false, _) => Ok((chosen, tensor(vec![n, 1], out)?)),
    }
}
