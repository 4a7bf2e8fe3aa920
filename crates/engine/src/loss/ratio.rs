//! Losses toward a class, and the difference of logits ratio.
//!
//! Owns the graphs of `z_t - z_y` and of the two ratios of Croce and Hein, "Reliable evaluation
//! of adversarial robustness with an ensemble of diverse parameter-free attacks" (ICML 2020),
//! equations 5 and 6, with their cotangents. The ratio does not change when all logits are scaled
//! or shifted, so a saturated softmax does not hide its slope. Of equal logits the first counts.
//! Must never be built for fewer classes than it is defined for. Called by [`super::fused`].

use super::{ONEHOT, Spec, TARGET, picked};
use crate::autodiff::{self, Builder};

/// `z_t - z_y`.
pub(super) fn toward(b: &mut Builder, logits: &str) -> (String, String) {
    let cotangent = b.op("Sub", &[TARGET, ONEHOT]);
    let (goal, own) = (picked(b, logits, TARGET), picked(b, logits, ONEHOT));
    (b.op("Sub", &[&goal, &own]), cotangent)
}

/// `-(z_y - max_{j != y} z_j) / (z_(1) - z_(3) + tiny)`.
pub(super) fn away(b: &mut Builder, logits: &str, spec: &Spec) -> (String, String) {
    let ranked = ranked(b, logits, spec, 3);
    // The best rival is the greatest logit, or the second where the label's is the greatest.
    let own_first = b.op("Mul", &[&ranked[0].1, ONEHOT]);
    let leads = super::sum_columns(b, "ReduceSum", &own_first);
    let leads = b.reshape(&leads, &[spec.width], &[spec.width, 1]);
    let one = b.scalar(1.0);
    let follows = b.op("Sub", &[&one, &leads]);
    let (second, first) =
        (b.op("Mul", &[&ranked[1].1, &leads]), b.op("Mul", &[&ranked[0].1, &follows]));
    let rival = b.op("Add", &[&second, &first]);
    let (best, own) = (picked(b, logits, &rival), picked(b, logits, ONEHOT));
    let over = b.op("Sub", &[&best, &own]);
    let over_slope = b.op("Sub", &[&rival, ONEHOT]);
    let under = b.op("Sub", &[&ranked[0].0, &ranked[2].0]);
    let under_slope = b.op("Sub", &[&ranked[0].1, &ranked[2].1]);
    quotient(b, spec.width, (&over, &over_slope), (&under, &under_slope))
}

/// `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2 + tiny)`.
pub(super) fn ratio_toward(b: &mut Builder, logits: &str, spec: &Spec) -> (String, String) {
    let (over, over_slope) = toward(b, logits);
    let ranked = ranked(b, logits, spec, 4);
    let half = b.scalar(0.5);
    let pair = |b: &mut Builder, third: &str, fourth: &str, first: &str| {
        let sum = b.op("Add", &[third, fourth]);
        let mean = b.op("Mul", &[&sum, &half]);
        b.op("Sub", &[first, &mean])
    };
    let under = pair(b, &ranked[2].0, &ranked[3].0, &ranked[0].0);
    let under_slope = pair(b, &ranked[2].1, &ranked[3].1, &ranked[0].1);
    quotient(b, spec.width, (&over, &over_slope), (&under, &under_slope))
}

/// Value and cotangent of a quotient of values `(width)` with slopes `(width, classes)`.
fn quotient(
    b: &mut Builder,
    width: usize,
    (over, over_slope): (&str, &str),
    (under, under_slope): (&str, &str),
) -> (String, String) {
    let tiny = b.scalar(TINY);
    let under = b.op("Add", &[under, &tiny]);
    let value = b.op("Div", &[over, &under]);
    let column = |b: &mut Builder, x: &str| b.reshape(x, &[width], &[width, 1]);
    let (ratio, under) = (column(b, &value), column(b, &under));
    // (n / d)' = (n' - (n / d) d') / d
    let drag = b.op("Mul", &[&ratio, under_slope]);
    let slope = b.op("Sub", &[over_slope, &drag]);
    (value, b.op("Div", &[&slope, &under]))
}

/// The greatest logits, descending: value `(width)` and one-hot place `(width, classes)` each.
fn ranked(b: &mut Builder, logits: &str, spec: &Spec, count: usize) -> Vec<(String, String)> {
    let (half, lowest) = (b.scalar(0.5), b.scalar(f64::NEG_INFINITY));
    let mut rest = logits.to_string();
    let mut found = Vec::new();
    for _ in 0..count {
        let best = b.reduce("ReduceMax", &rest, &[1]);
        let hit = b.op("Equal", &[&rest, &best]);
        let place = autodiff::first_of(b, &hit, spec.classes, 1);
        let taken = b.op("Greater", &[&place, &half]);
        rest = b.op("Where", &[&taken, &lowest, &rest]);
        found.push((b.reshape(&best, &[spec.width, 1], &[spec.width]), place));
    }
    found
}

/// Keeps the quotient finite where the greatest logits are equal, as the reference code does.
const TINY: f64 = 1e-12;
