//! Quantiles and the normal interval of a mean.
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

/// Mean of the values with its two-sided normal interval; `None` without values.
pub fn normal_interval(values: &[f64], confidence: f64) -> Option<(f64, Interval)> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let error = if n > 1.0 { (spread / (n - 1.0) / n).sqrt() } else { 0.0 };
    let half = normal_quantile(0.5 + 0.5 * confidence) * error;
    Some((mean, Interval { lower: mean - half, upper: mean + half }))
}
