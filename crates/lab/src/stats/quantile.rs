//! Quantiles and the interval of a mean of bounded values.
//!
//! Owns the definitions: quantiles interpolate linearly (Hyndman and Fan 1996, type 7).

use super::binomial::Interval;
use super::special::normal_quantile;

/// Quantile `p` of the values, in any order; `None` without values or with NaN among them.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) || !(0.0..=1.0).contains(&p) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = p * (sorted.len() - 1) as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    // An infinite neighbour must not turn a finite value into NaN.
    Some(if share == 0.0 || a == b { a } else { a + share * (b - a) })
}

/// Mean of values in `[0, top]` with its two-sided interval; `None` without values.
///
/// Normal, after `z^2` more values, half at each end: for zeros and ones the interval of Agresti
/// and Coull (1998). A sample without spread, e.g. of a model that erred nowhere, is thus no
/// certainty.
pub fn bounded_mean(values: &[f64], top: f64, confidence: f64) -> Option<(f64, Interval)> {
    if values.is_empty() || top.is_nan() || top <= 0.0 {
        return None;
    }
    let z = normal_quantile(0.5 + 0.5 * confidence);
    let added = 0.5 * z * z;
    let n = values.len() as f64 + 2.0 * added;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let center = (values.iter().sum::<f64>() + added * top) / n;
    let apart = |v: f64| (v - center).powi(2);
    let spread = values.iter().map(|&v| apart(v)).sum::<f64>() + added * (apart(0.0) + apart(top));
    let half = z * (spread / n / n).sqrt();
    Some((mean, Interval { lower: (center - half).max(0.0), upper: (center + half).min(top) }))
}
