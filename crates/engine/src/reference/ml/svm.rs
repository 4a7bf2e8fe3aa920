//! Support vector machines: `SVMClassifier` and `SVMRegressor`.
//!
//! Owns the kernels, the votes of pairs of classes and the coupling of their probabilities, all
//! as ONNX Runtime computes them. Must never choose a class but by votes. Called by the
//! registry; [`crate::lower`] reads the same attributes and must give the same bits.

use super::scores::{Choice, Labels, Transform, arg_max};
use super::{Floats, floats, given, rows};
use crate::reference::arith::power;
use crate::reference::float::Float;
use crate::reference::gemm::{Matrix, multiply};
use crate::reference::op::{Kernel, OpError, Spec, misshapen, tensor, volume, wrong};
use crate::reference::reduce::blocked;
use crate::reference::unary::logistic;
use crate::value::Tensor;

/// Distance or product of a row and a support vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Similarity {
    /// x · s
    Linear,
    /// (gamma · (x · s) + coef0) ^ degree
    Poly { gamma: f32, coef0: f32, degree: f32 },
    /// exp(-gamma · |x - s|²)
    Rbf { gamma: f32 },
    /// tanh(gamma · (x · s) + coef0)
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Similarity {
    /// From `kernel_type` and `kernel_params` (gamma, coef0, degree).
    pub(crate) fn of(kind: &str, params: &[f32]) -> Option<Self> {
        let at = |i: usize| params.get(i).copied().unwrap_or(0.0);
        let (gamma, coef0, degree) = (at(0), at(1), at(2));
        Some(match kind {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            _ => return None,
        })
    }

    /// Similarities `(rows, vectors)` of rows `x` `(rows, columns)`.
    fn matrix<T: Float>(
        self,
        x: &Tensor<T>,
        (vectors, count): (&[T], usize),
    ) -> Result<Vec<T>, OpError> {
        let (n, columns) = rows(x.shape())?;
        let mut out = vec![T::ZERO; volume(&[n, count])?];
        if let Self::Rbf { gamma } = self {
            let minus = T::from_f32(-gamma);
            for (r, row) in out.chunks_mut(count).enumerate() {
                let x = &x.data()[r * columns..(r + 1) * columns];
                for (k, s) in row.iter_mut().zip(vectors.chunks(columns)) {
                    let gaps = x.iter().zip(s).map(|(&a, &b)| (a - b) * (a - b));
                    *k = (blocked(gaps) * minus).exp();
                }
            }
            return Ok(out);
        }
        multiply(
            (n, columns, count),
            Matrix { data: x.data(), strides: (columns, 1) },
            Matrix { data: vectors, strides: (1, columns) },
            &mut out,
        );
        match self {
            Self::Linear | Self::Rbf { .. } => {}
            Self::Poly { gamma, coef0, degree } => {
                let (g, c, d) = (T::from_f32(gamma), T::from_f32(coef0), T::from_f32(degree));
                out.iter_mut().for_each(|v| *v = power(*v * g + c, d));
            }
            Self::Sigmoid { gamma, coef0 } => {
                let (g, c) = (T::from_f32(gamma), T::from_f32(coef0));
                out.iter_mut().for_each(|v| *v = (*v * g + c).tanh());
            }
        }
        Ok(out)
    }
}

/// What both operators hold: vectors, their weights in every score, and the offsets.
pub(crate) struct Machine {
    pub similarity: Similarity,
    /// `(count, columns)`, row-major.
    pub vectors: Vec<f32>,
    pub count: usize,
    /// `(count, scores)`, row-major.
    pub weights: Vec<f32>,
    /// One per score.
    pub offsets: Vec<f32>,
}

impl Machine {
    /// Columns that a row must have.
    pub(crate) fn columns(&self) -> usize {
        self.vectors.len() / self.count.max(1)
    }
    /// Scores `(rows, scores)`.
    fn scores<T: Float>(&self, x: &Tensor<T>) -> Result<(usize, Vec<T>), OpError> {
        let (n, columns) = rows(x.shape())?;
        if columns != self.columns() {
            let want = self.columns();
            return Err(misshapen(format!("expected {want} columns, given {columns}")));
        }
        let wide = |v: &[f32]| v.iter().map(|&v| T::from_f32(v)).collect::<Vec<T>>();
        let (vectors, weights) = (wide(&self.vectors), wide(&self.weights));
        let similarities = self.similarity.matrix(x, (&vectors, self.count))?;
        let targets = self.offsets.len();
        let mut out = vec![T::ZERO; volume(&[n, targets])?];
        multiply(
            (n, self.count, targets),
            Matrix { data: &similarities, strides: (self.count, 1) },
            Matrix { data: &weights, strides: (targets, 1) },
            &mut out,
        );
        for row in out.chunks_mut(targets) {
            for (s, &o) in row.iter_mut().zip(&self.offsets) {
                *s += T::from_f32(o);
            }
        }
        Ok((n, out))
    }
}

/// Attributes by name, from a node being prepared or being rewritten.
pub(crate) trait Read {
    /// Floats; empty when missing.
    fn floats_of(&self, name: &str) -> Result<Vec<f32>, OpError>;
    /// Integers; empty when missing.
    fn ints_of(&self, name: &str) -> Result<Vec<i64>, OpError>;
    /// Integer, 0 when missing.
    fn int_of(&self, name: &str) -> Result<i64, OpError>;
    /// Text or its default.
    fn text_of(&self, name: &str, default: &'static str) -> Result<String, OpError>;
}

impl Read for Spec<'_> {
    fn floats_of(&self, name: &str) -> Result<Vec<f32>, OpError> {
        Ok(self.floats(name)?.unwrap_or(&[]).to_vec())
    }
    fn ints_of(&self, name: &str) -> Result<Vec<i64>, OpError> {
        Ok(self.ints(name)?.unwrap_or(&[]).to_vec())
    }
    fn int_of(&self, name: &str) -> Result<i64, OpError> {
        self.int_or(name, 0)
    }
    fn text_of(&self, name: &str, default: &'static str) -> Result<String, OpError> {
        Ok(self.text_or(name, default)?.to_string())
    }
}

fn similarity(spec: &impl Read) -> Result<Similarity, OpError> {
    let kind = spec.text_of("kernel_type", "LINEAR")?;
    Similarity::of(&kind, &spec.floats_of("kernel_params")?)
        .ok_or_else(|| wrong("kernel_type", format!("has the unknown value `{kind}`")))
}

/// A classifier: one score per pair of classes, or one per class where it has no vectors.
pub(crate) struct Classifier {
    pub machine: Machine,
    pub classes: usize,
    /// Scores are of pairs of classes, in the order (0, 1), (0, 2), …, (1, 2), …
    pub pairs: bool,
    /// Slope and offset of the probability of each pair; empty without.
    pub slopes: Vec<(f32, f32)>,
    /// No coefficient is negative.
    positive: bool,
    single_offset: bool,
}

/// Pairs of classes in the order of their scores.
pub(crate) fn pairs(classes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..classes).flat_map(move |i| (i + 1..classes).map(move |j| (i, j)))
}

/// Classes whose pairs are still few enough to be enumerated.
const CLASSES_MAX: usize = 1024;

impl Classifier {
    /// Reads and checks the attributes.
    pub(crate) fn read(spec: &impl Read, classes: usize) -> Result<Self, OpError> {
        if classes > CLASSES_MAX {
            return Err(wrong(
                "classlabels_ints",
                format!("names more than {CLASSES_MAX} classes"),
            ));
        }
        let coefficients = spec.floats_of("coefficients")?;
        if coefficients.is_empty() {
            return Err(wrong("coefficients", "is missing"));
        }
        let rho = spec.floats_of("rho")?;
        let per_class = spec.ints_of("vectors_per_class")?;
        let (machine, pairs) = match per_class.iter().any(|&n| n > 0) {
            true => (of_pairs(spec, (&coefficients, &rho), &per_class, classes)?, true),
            false => (of_classes(&coefficients, &rho, classes)?, false),
        };
        let (a, b) = (spec.floats_of("prob_a")?, spec.floats_of("prob_b")?);
        if a.len() != b.len() || (pairs && !a.is_empty() && a.len() != machine.offsets.len()) {
            return Err(wrong("prob_a", "and `prob_b` need one entry for each pair of classes"));
        }
        let slopes = if pairs { a.into_iter().zip(b).collect() } else { Vec::new() };
        Ok(Self {
            machine,
            classes,
            pairs,
            slopes,
            positive: coefficients.iter().all(|&c| c >= 0.0),
            single_offset: rho.len() == 1,
        })
    }
}

/// Weights of the vectors in each pair: those of the first class by row `second - 1`, those of
/// the second by row `first` of the coefficients.
fn of_pairs(
    spec: &impl Read,
    (coefficients, rho): (&[f32], &[f32]),
    per_class: &[i64],
    classes: usize,
) -> Result<Machine, OpError> {
    let name = "vectors_per_class";
    let sizes: Option<Vec<usize>> = per_class.iter().map(|&n| usize::try_from(n).ok()).collect();
    let sizes = sizes.filter(|s| s.len() == classes);
    let sizes = sizes.ok_or_else(|| wrong(name, format!("does not hold {classes} sizes")))?;
    let vectors = spec.floats_of("support_vectors")?;
    let count = sizes.iter().try_fold(0usize, |a, &n| a.checked_add(n));
    let count = count.filter(|&n| n > 0 && vectors.len() >= n && vectors.len() % n == 0);
    let count = count.ok_or_else(|| wrong("support_vectors", format!("does not fit `{name}`")))?;
    let scores = classes * classes.saturating_sub(1) / 2;
    let needed = count.checked_mul(classes.saturating_sub(1));
    if scores == 0 || needed.is_none_or(|n| coefficients.len() < n) {
        return Err(wrong("coefficients", format!("do not cover {count} vectors")));
    }
    if rho.len() < scores {
        return Err(wrong("rho", format!("does not have {scores} entries")));
    }
    let mut weights = vec![0.0; volume(&[count, scores])?];
    let mut first_of = vec![0; classes];
    for c in 1..classes {
        first_of[c] = first_of[c - 1] + sizes[c - 1];
    }
    for (p, (i, j)) in pairs(classes).enumerate() {
        for (class, row) in [(i, j - 1), (j, i)] {
            for v in first_of[class]..first_of[class] + sizes[class] {
                weights[v * scores + p] = coefficients[row * count + v];
            }
        }
    }
    let similarity = similarity(spec)?;
    Ok(Machine { similarity, vectors, count, weights, offsets: rho[..scores].to_vec() })
}

/// Without vectors the coefficients are one hyperplane per class, with one offset for all.
fn of_classes(coefficients: &[f32], rho: &[f32], classes: usize) -> Result<Machine, OpError> {
    let Some(&offset) = rho.first() else { return Err(wrong("rho", "is missing")) };
    if classes == 0 || !coefficients.len().is_multiple_of(classes) {
        return Err(wrong("coefficients", format!("does not fit {classes} classes")));
    }
    let mut weights = vec![0.0; volume(&[classes, classes])?];
    weights.iter_mut().step_by(classes + 1).for_each(|w| *w = 1.0);
    Ok(Machine {
        similarity: Similarity::Linear,
        vectors: coefficients.to_vec(),
        count: classes,
        weights,
        offsets: vec![offset; classes],
    })
}

/// `SVMClassifier`
pub fn classifier(spec: &Spec) -> Result<Kernel, OpError> {
    let labels = Labels::read(spec, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::read(spec)?;
    let machine = Classifier::read(spec, labels.len())?;
    let precision = spec.precision;
    if transform == Transform::Probit && machine.classes == 2 && machine.slopes.is_empty() {
        let what = "the probit of a single score for two classes";
        return Err(OpError::Unsupported(what.to_string()));
    }
    Ok(Box::new(move |args| {
        let (chosen, scores) = match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => {
                classify(&x, &machine, transform).map(|(c, s)| (c, given(s, precision)))?
            }
            Floats::F64(x) => {
                classify(&x, &machine, transform).map(|(c, s)| (c, given(s, precision)))?
            }
        };
        Ok(vec![labels.of(&chosen), scores])
    }))
}

fn classify<T: Float>(
    x: &Tensor<T>,
    c: &Classifier,
    transform: Transform,
) -> Result<(Vec<Choice>, Tensor<T>), OpError> {
    let (n, scores) = c.machine.scores(x)?;
    let width = c.machine.offsets.len();
    let mut chosen = Vec::with_capacity(n);
    let mut out = Vec::new();
    for row in scores.chunks(width) {
        let class = if c.pairs { voted(row, c.classes) } else { arg_max(row) };
        chosen.push(match c.pairs {
            false if c.single_offset => chosen_by_weight(c, row[class], class),
            _ => Choice::Class(class),
        });
        let mut given = match (c.slopes.is_empty(), c.pairs && c.classes == 2) {
            (false, _) => coupled(row, c, SWEEPS_MAX),
            (true, true) => {
                // One score stands for both classes; only here the transform sees it.
                let s = row[0];
                out.extend(match transform {
                    Transform::None | Transform::Probit => [-s, s],
                    Transform::Logistic => [logistic(-s), logistic(s)],
                    Transform::Softmax | Transform::SoftmaxZero => [T::ONE - s, s],
                });
                continue;
            }
            _ => row.to_vec(),
        };
        if c.classes > 1 || transform == Transform::Probit {
            transform.apply(&mut given);
        }
        out.append(&mut given);
    }
    let width = out.len().checked_div(n).unwrap_or(c.classes);
    Ok((chosen, tensor(vec![n, width], out)?))
}

/// The class with most votes, the first of equals.
fn voted<T: Float>(scores: &[T], classes: usize) -> usize {
    let mut votes = vec![0u32; classes];
    for ((i, j), &s) in pairs(classes).zip(scores) {
        votes[if s > T::ZERO { i } else { j }] += 1;
    }
    (1..classes).fold(0, |best, i| if votes[i] > votes[best] { i } else { best })
}

/// Two hyperplanes are read as one probability or one score, as ONNX Runtime does.
fn chosen_by_weight<T: Float>(c: &Classifier, weight: T, class: usize) -> Choice {
    let second = match c.positive {
        true => weight >= T::from_f64(0.5),
        false => weight > T::ZERO,
    };
    Choice::Class(if c.classes == 2 && second { 1 } else { class })
}

/// Probabilities of pairs are at least this.
pub(crate) const PAIR_LOW: f32 = 1e-7;
/// And at most this.
pub(crate) const PAIR_HIGH: f32 = 1.0 - PAIR_LOW;
/// Sweeps of the coupling at most.
const SWEEPS_MAX: usize = 100;
/// Divided by the number of classes: the error at which the coupling ends.
pub(crate) const COUPLED: f64 = 0.005;

/// One probability per class from those of the pairs (Wu, Lin, Weng: Probability estimates for
/// multi-class classification by pairwise coupling, 2004, algorithm 2), stopped where ONNX
/// Runtime stops. With two classes near one half this leaves exactly one half.
fn coupled<T: Float>(scores: &[T], c: &Classifier, sweeps: usize) -> Vec<T> {
    let k = c.classes;
    let (low, high) = (T::from_f32(PAIR_LOW), T::from_f32(PAIR_HIGH));
    let mut r = vec![T::ZERO; k * k];
    for (((i, j), &s), &(a, b)) in pairs(k).zip(scores).zip(&c.slopes) {
        let p = logistic(-(s * T::from_f32(a) + T::from_f32(b)));
        let p = if p > low { p } else { low };
        let p = if p < high { p } else { high };
        (r[i * k + j], r[j * k + i]) = (p, T::ONE - p);
    }
    let mut q = vec![T::ZERO; k * k];
    for i in 0..k {
        for j in (0..k).filter(|&j| j != i) {
            let other = r[j * k + i];
            q[i * k + i] += other * other;
            q[i * k + j] = if j < i { q[j * k + i] } else { -other * r[i * k + j] };
        }
    }
    let end = T::from_f32((COUPLED / k as f64) as f32);
    let mut p = vec![T::ONE / T::from_f64(k as f64); k];
    for _ in 0..sweeps {
        let mut qp = vec![T::ZERO; k];
        let mut total = T::ZERO;
        for i in 0..k {
            for j in 0..k {
                qp[i] += q[i * k + j] * p[j];
            }
            total += p[i] * qp[i];
        }
        if !qp.iter().any(|&v| (v - total).abs() >= end) {
            break;
        }
        for i in 0..k {
            let step = (total - qp[i]) / q[i * k + i];
            let one = T::ONE + step;
            p[i] += step;
            total = (total + step * (step * q[i * k + i] + (qp[i] + qp[i]))) / one / one;
            for j in 0..k {
                qp[j] = (qp[j] + step * q[i * k + j]) / one;
                p[j] = p[j] / one;
            }
        }
    }
    p
}

/// `SVMRegressor`
pub fn regressor(spec: &Spec) -> Result<Kernel, OpError> {
    let machine = read_regressor(spec)?;
    let one_class = spec.flag("one_class", false)?;
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        fn of<T: Float>(x: &Tensor<T>, m: &Machine, sign: bool) -> Result<Tensor<T>, OpError> {
            let (n, mut out) = m.scores(x)?;
            if sign {
                let sign = |s: T| if s > T::ZERO { T::ONE } else { -T::ONE };
                out.iter_mut().for_each(|s| *s = sign(*s));
            }
            tensor(vec![n, 1], out)
        }
        Ok(vec![match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => given(of(&x, &machine, one_class)?, precision),
            Floats::F64(x) => given(of(&x, &machine, one_class)?, precision),
        }])
    }))
}

/// Reads and checks the attributes of a regressor.
pub(crate) fn read_regressor(spec: &impl Read) -> Result<Machine, OpError> {
    let coefficients = spec.floats_of("coefficients")?;
    if coefficients.is_empty() {
        return Err(wrong("coefficients", "is missing"));
    }
    let Some(&offset) = spec.floats_of("rho")?.first() else {
        return Err(wrong("rho", "is missing"));
    };
    let supports = spec.int_of("n_supports")?;
    Ok(match usize::try_from(supports).unwrap_or(0) {
        0 => Machine {
            similarity: Similarity::Linear,
            vectors: coefficients,
            count: 1,
            weights: vec![1.0],
            offsets: vec![offset],
        },
        count => {
            let vectors = spec.floats_of("support_vectors")?;
            if vectors.len() < count || vectors.len() % count != 0 || coefficients.len() < count {
                return Err(wrong("n_supports", format!("{count} does not fit the vectors")));
            }
            let weights = coefficients[..count].to_vec();
            let similarity = similarity(spec)?;
            Machine { similarity, vectors, count, weights, offsets: vec![offset] }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::SVM_SWEEPS;

    /// A machine of two classes whose score is its only column.
    fn two() -> Classifier {
        Classifier {
            machine: Machine {
                similarity: Similarity::Linear,
                vectors: vec![1.0],
                count: 1,
                weights: vec![1.0],
                offsets: vec![0.0],
            },
            classes: 2,
            pairs: true,
            slopes: vec![(-1.0, 0.0)],
            positive: false,
            single_offset: true,
        }
    }

    #[test]
    fn two_sweeps_couple_two_probabilities() {
        let c = two();
        for i in -20_000..=20_000 {
            let s = f64::from(i) / 1000.0;
            let (once, whole) = (coupled(&[s], &c, SVM_SWEEPS), coupled(&[s], &c, SWEEPS_MAX));
            assert_eq!(once, whole, "{s}");
            let s = s as f32;
            let (once, whole) = (coupled(&[s], &c, SVM_SWEEPS), coupled(&[s], &c, SWEEPS_MAX));
            assert_eq!(once, whole, "{s}");
        }
    }

    #[test]
    fn near_one_half_the_coupling_leaves_one_half() {
        for (score, half) in [(0.0, true), (0.019, true), (0.03, false), (-0.019, true)] {
            assert_eq!(coupled(&[score], &two(), SWEEPS_MAX) == [0.5, 0.5], half, "{score}");
        }
    }
}
