//! Tree ensembles: `TreeEnsembleClassifier`, `TreeEnsembleRegressor`, `TreeEnsemble`.
//!
//! Owns the node layout (one contiguous array, children by index) and the walk. Weights are
//! added tree after tree in the file's order. Called by the registry.

use super::scores::{Choice, Labels, Transform, arg_max};
use super::{Floats, floats, given, rows};
use crate::reference::Precision;
use crate::reference::float::Float;
use crate::reference::op::{Args, Kernel, OpError, Spec, misshapen, tensor, volume, wrong};
use crate::reference::unary::logistic;
use crate::value::{Tensor, Value};

mod read;

/// How a node compares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

/// A node that asks. Children count branches from 0; with [`LEAF`] set they count leaves.
#[derive(Clone, Copy, Debug)]
struct Branch<H> {
    threshold: H,
    feature: u32,
    yes: u32,
    no: u32,
    mode: Mode,
    /// Where a value that is not a number goes.
    missing_yes: bool,
}

/// Marks a child as a leaf.
const LEAF: u32 = 1 << 31;

/// All trees; `H` is the type of thresholds and weights.
#[derive(Debug)]
struct Forest<H> {
    roots: Vec<u32>,
    branches: Vec<Branch<H>>,
    /// Leaf `i` owns `weights[leaves[i]..leaves[i + 1]]`.
    leaves: Vec<u32>,
    weights: Vec<(u32, H)>,
    /// Columns an input must have.
    columns: usize,
    targets: usize,
    base: Vec<H>,
}

/// A forest in the type its attributes were written in.
enum Stored {
    Single(Forest<f32>),
    Double(Forest<f64>),
}

/// How the trees' weights join.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Join {
    Sum,
    Average,
    Min,
    Max,
}

impl<H: Float> Forest<H> {
    /// The weights of the leaf that `x` reaches in the tree at `root`.
    fn leaf<T: Float>(&self, root: u32, x: &[T]) -> &[(u32, H)] {
        let mut at = root;
        while at & LEAF == 0 {
            let b = &self.branches[at as usize];
            let v = x[b.feature as usize];
            // Exact in either type, so a threshold never moves.
            let (v, t) = (v.to_f64(), b.threshold.to_f64());
            let yes = match b.mode {
                Mode::AtMost => v <= t,
                Mode::Below => v < t,
                Mode::AtLeast => v >= t,
                Mode::Above => v > t,
                Mode::Equal => v == t,
                Mode::Unequal => v != t,
            };
            at = if yes || (b.missing_yes && v.is_nan()) { b.yes } else { b.no };
        }
        let leaf = (at & !LEAF) as usize;
        &self.weights[self.leaves[leaf] as usize..self.leaves[leaf + 1] as usize]
    }

    /// Joins the leaves' weights into `out`; `None` where no leaf had a weight.
    fn scores<T: Float>(&self, x: &[T], join: Join, out: &mut [Option<T>]) {
        out.fill(None);
        for &root in &self.roots {
            for &(target, weight) in self.leaf(root, x) {
                let weight = T::from_f64(weight.to_f64());
                let slot = &mut out[target as usize];
                *slot = Some(match (*slot, join) {
                    (None, _) => weight,
                    (Some(s), Join::Sum | Join::Average) => s + weight,
                    (Some(s), Join::Min) => {
                        if weight < s {
                            weight
                        } else {
                            s
                        }
                    }
                    (Some(s), Join::Max) => {
                        if weight > s {
                            weight
                        } else {
                            s
                        }
                    }
                });
            }
        }
        if join == Join::Average {
            let n = T::from_f64(self.roots.len() as f64);
            out.iter_mut().flatten().for_each(|s| *s = *s / n);
        }
    }

    fn base<T: Float>(&self, i: usize) -> T {
        self.base.get(i).map_or(T::ZERO, |b| T::from_f64(b.to_f64()))
    }

    /// Calls `f` with the index and elements of every row.
    fn each_row<T: Float>(
        &self,
        x: &Tensor<T>,
        mut f: impl FnMut(usize, &[T]) -> Result<(), OpError>,
    ) -> Result<usize, OpError> {
        let (n, columns) = rows(x.shape())?;
        if columns < self.columns {
            let want = self.columns;
            return Err(misshapen(format!("the trees ask for {want} columns, given {columns}")));
        }
        for r in 0..n {
            f(r, &x.data()[r * columns..(r + 1) * columns])?;
        }
        Ok(n)
    }

    /// Scores `(rows, targets)` of a regression.
    fn regress<T: Float>(
        &self,
        x: &Tensor<T>,
        join: Join,
        transform: Transform,
    ) -> Result<Tensor<T>, OpError> {
        let mut out = Vec::with_capacity(volume(&[rows(x.shape())?.0, self.targets])?);
        let mut slots = vec![None; self.targets];
        let n = self.each_row(x, |_, row| {
            self.scores(row, join, &mut slots);
            // A single base value belongs to a single target only.
            let base = self.base.len() == self.targets;
            let full = slots.iter().enumerate().map(|(i, s)| {
                let s = s.unwrap_or(T::ZERO);
                if base { s + self.base(i) } else { s }
            });
            let mut scores: Vec<T> = full.collect();
            // ONNX Runtime transforms a single target by the probit only.
            if self.targets > 1 || transform == Transform::Probit {
                transform.apply(&mut scores);
            }
            out.append(&mut scores);
            Ok(())
        })?;
        tensor(vec![n, self.targets], out)
    }
}

/// Runs `$body` for each pair of stored and input type.
macro_rules! each_type {
    ($stored:expr, $x:expr, |$forest:ident, $t:ident| $body:expr) => {
        match ($stored, $x) {
            (Stored::Single($forest), Floats::F32($t)) => $body,
            (Stored::Single($forest), Floats::F64($t)) => $body,
            (Stored::Double($forest), Floats::F32($t)) => $body,
            (Stored::Double($forest), Floats::F64($t)) => $body,
        }
    };
}

/// `TreeEnsembleRegressor`
pub fn regressor(spec: &Spec) -> Result<Kernel, OpError> {
    let targets = usize::try_from(spec.int_or("n_targets", 1)?).unwrap_or(0);
    if targets == 0 {
        return Err(wrong("n_targets", "is not positive"));
    }
    let join = match spec.text_or("aggregate_function", "SUM")? {
        "SUM" => Join::Sum,
        "AVERAGE" => Join::Average,
        "MIN" => Join::Min,
        "MAX" => Join::Max,
        other => {
            return Err(wrong("aggregate_function", format!("has the unknown value `{other}`")));
        }
    };
    let (transform, precision) = (Transform::read(spec)?, spec.precision);
    let stored = read::forest(spec, "target", targets)?;
    Ok(Box::new(move |args| regression(&stored, args, (join, transform), precision)))
}

/// `TreeEnsemble`, the one operator that replaces both since opset 5.
pub fn ensemble(spec: &Spec) -> Result<Kernel, OpError> {
    let join = match spec.int_or("aggregate_function", 1)? {
        0 => Join::Average,
        1 => Join::Sum,
        2 => Join::Min,
        3 => Join::Max,
        other => {
            return Err(wrong("aggregate_function", format!("has the unknown value {other}")));
        }
    };
    let transform = match spec.int_or("post_transform", 0)? {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => return Err(wrong("post_transform", format!("has the unknown value {other}"))),
    };
    let precision = spec.precision;
    let stored = read::forest_of_tensors(spec)?;
    Ok(Box::new(move |args| {
        let out = regression(&stored, args, (join, transform), precision)?;
        match (args.required(0)?, &out[..]) {
            // Here the result has the type of the input.
            (Value::F64(_), [Value::F32(t)]) => Ok(vec![Value::F64(t.map(|&v| f64::from(v)))]),
            _ => Ok(out),
        }
    }))
}

fn regression(
    stored: &Stored,
    args: &Args,
    (join, transform): (Join, Transform),
    precision: Precision,
) -> Result<Vec<Value>, OpError> {
    let x = floats(args.required(0)?, 0, precision)?;
    each_type!(stored, x, |forest, t| {
        Ok(vec![given(forest.regress(&t, join, transform)?, precision)])
    })
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
    let stored = read::forest(spec, "class", labels.len())?;
    let binary = match &stored {
        Stored::Single(f) => binary(f),
        Stored::Double(f) => binary(f),
    };
    Ok(Box::new(move |args| {
        let x = floats(args.required(0)?, 0, precision)?;
        each_type!(&stored, x, |forest, t| {
            let (chosen, scores) = classify(forest, &t, transform, binary)?;
            Ok(vec![labels.of(&chosen), given(scores, precision)])
        })
    }))
}

fn binary<H: Float>(f: &Forest<H>) -> Binary {
    let mut classes = f.weights.iter().map(|w| w.0);
    let first = classes.next();
    Binary {
        single: f.targets == 2 && first.is_some_and(|c| classes.all(|d| c == d)),
        positive: f.weights.iter().all(|w| w.1 >= H::ZERO),
    }
}

fn classify<H: Float, T: Float>(
    f: &Forest<H>,
    x: &Tensor<T>,
    transform: Transform,
    binary: Binary,
) -> Result<(Vec<Choice>, Tensor<T>), OpError> {
    let mut chosen = Vec::new();
    let mut out = Vec::with_capacity(volume(&[rows(x.shape())?.0, f.targets])?);
    let mut slots = vec![None; f.targets];
    let n = f.each_row(x, |_, row| {
        f.scores(row, Join::Sum, &mut slots);
        let (choice, mut scores) = match f.targets {
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
        Ok(())
    })?;
    Ok((chosen, tensor(vec![n, f.targets], out)?))
}

/// The case of two classes, where ONNX Runtime reads one score as both.
fn two_classes<H: Float, T: Float>(
    f: &Forest<H>,
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
