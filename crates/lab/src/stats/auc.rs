//! Area under the ROC curve with its interval.
//!
//! Owns ranks and structural components. Must never be asked of more than two classes, nor give
//! an interval without width: scores that separate a small sample perfectly prove little.

use super::binomial::{Interval, score};
use super::special::normal_quantile;

/// AUC with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// Area: the chance that a positive row scores above a negative one, ties counting half.
    pub value: f64,
    /// DeLong's variance.
    pub variance: f64,
    /// Two-sided interval, inside `[0, 1]`.
    pub interval: Interval,
    /// How the interval is made.
    pub method: &'static str,
}

impl Auc {
    /// Gini coefficient, `2 AUC - 1`.
    pub fn gini(&self) -> f64 {
        2.0 * self.value - 1.0
    }
}

/// AUC of `scores` for `positive` rows (DeLong, DeLong, Clarke-Pearson 1988, with the mid-rank
/// computation of Sun and Xu 2014). `None` without both classes or with a NaN score.
///
/// The normal interval rests on rows that err: where fewer than [`ERRING_MIN`] rows of a class
/// stand apart from a perfect (or perfectly wrong) order, its variance is all but a guess, and 0
/// when none does. The variance is then bounded by `A (1 - A) / min(m, n)` (Birnbaum and Klose
/// 1957), for which the interval is Wilson's with the size of the smaller class.
pub fn delong(scores: &[f64], positive: &[bool], confidence: f64) -> Option<Auc> {
    let part = |wanted: bool| -> Vec<f64> {
        scores.iter().zip(positive).filter(|&(_, &p)| p == wanted).map(|(&s, _)| s).collect()
    };
    let (pos, neg) = (part(true), part(false));
    if pos.is_empty() || neg.is_empty() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let (m, n) = (pos.len() as f64, neg.len() as f64);
    let joint: Vec<f64> = pos.iter().chain(&neg).copied().collect();
    let (all, own_pos, own_neg) = (midranks(&joint), midranks(&pos), midranks(&neg));
    let (all_pos, all_neg) = all.split_at(pos.len());
    let v10: Vec<f64> = all_pos.iter().zip(&own_pos).map(|(z, x)| (z - x) / n).collect();
    let v01: Vec<f64> = all_neg.iter().zip(&own_neg).map(|(z, y)| 1.0 - (z - y) / m).collect();
    let value = v10.iter().sum::<f64>() / m;
    let variance = variance(&v10) / m + variance(&v01) / n;
    let z = normal_quantile(0.5 + 0.5 * confidence);
    let apart = |part: &[f64], edge: f64| part.iter().filter(|v| (*v - edge).abs() > TIE).count();
    let least = [0.0, 1.0].map(|edge| apart(&v10, edge).min(apart(&v01, edge)));
    let (interval, method) = if least.iter().any(|rows| *rows < ERRING_MIN) {
        (score(value, m.min(n), z), "score interval, size of the smaller class")
    } else {
        let half = z * variance.sqrt();
        let (lower, upper) = ((value - half).max(0.0), (value + half).min(1.0));
        (Interval { lower, upper }, "delong")
    };
    Some(Auc { value, variance, interval, method })
}

/// Ranks from 1, ties sharing their mean.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let mut last = first;
        while last + 1 < order.len() && values[order[last + 1]] == values[order[first]] {
            last += 1;
        }
        let rank = 0.5 * (first + last) as f64 + 1.0;
        order[first..=last].iter().for_each(|&i| ranks[i] = rank);
        first = last + 1;
    }
    ranks
}

/// Unbiased variance; 0 for a single value.
fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// Rows that must stand apart from the edge in each class: the usual five expected failures of a
/// normal approximation.
const ERRING_MIN: usize = 5;

/// Components are multiples of `1 / (2 n)`: what is nearer than this to an edge lies on it.
const TIE: f64 = 1e-12;
