//! Errors of a regression: means, root of the mean square, quantiles, and their intervals.
//!
//! Owns the formulas. Must never look at a model or draw a random number: every interval here is
//! in closed form. Called by the regression figures and by verdicts on them.
//!
//! Quantiles of the absolute error have exact distribution-free intervals from order statistics
//! (Conover 1999, "Practical nonparametric statistics", section 3.2): the count of errors at or
//! below the quantile is binomial whatever the distribution. Means have no such interval without
//! a bound on the errors, so MAE and RMSE use Johnson's skewness-corrected t (Johnson 1978,
//! "Modified t tests and confidence intervals for asymmetrical populations", JASA 73, with the
//! monotone inversion of Hall 1992, "On the removal of skewness by transformation", JRSS B 54):
//! errors are skewed to the right, where the plain t misses the upper end. The tests hold their
//! coverage by simulation.

use super::binomial::Interval;
use super::special::{beta_inc, beta_quantile};

/// A figure with its two-sided interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The figure.
    pub value: f64,
    /// Two-sided interval.
    pub interval: Interval,
}

/// Mean absolute error of errors in any order; `None` without at least two.
pub fn mae(errors: &[f64], confidence: f64) -> Option<Measured> {
    let absolute: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    let (value, interval) = skewed_mean(&absolute, confidence)?;
    let interval = Interval { lower: interval.lower.max(0.0), ..interval };
    Some(Measured { value, interval })
}

/// Root of the mean squared error; `None` without at least two errors.
pub fn rmse(errors: &[f64], confidence: f64) -> Option<Measured> {
    let squares: Vec<f64> = errors.iter().map(|e| e * e).collect();
    let (value, interval) = skewed_mean(&squares, confidence)?;
    let root = |v: f64| v.max(0.0).sqrt();
    let interval = Interval { lower: root(interval.lower), upper: root(interval.upper) };
    Some(Measured { value: root(value), interval })
}

/// Mean signed error; `None` without at least two errors.
pub fn mean_error(errors: &[f64], confidence: f64) -> Option<Measured> {
    let (value, interval) = skewed_mean(errors, confidence)?;
    Some(Measured { value, interval })
}

/// Quantile `p` of the absolute error: the smallest error that at least a share `p` of the rows
/// does not exceed (Hyndman and Fan 1996, type 1). An end of the interval that the sample cannot
/// give (too few rows for so extreme a quantile) is 0 below and infinite above.
pub fn quantile_error(errors: &[f64], p: f64, confidence: f64) -> Option<Measured> {
    let sorted = sorted_absolute(errors)?;
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let n = sorted.len();
    let at = ((p * n as f64 - 1e-9).ceil() as usize).clamp(1, n);
    let tail = 0.5 * (1.0 - confidence);
    let (lower, upper) = (rank_below(n, p, tail), rank_above(n, p, tail));
    let interval = Interval {
        lower: lower.and_then(|r| sorted.get(r - 1)).copied().unwrap_or(0.0),
        upper: upper.and_then(|r| sorted.get(r - 1)).copied().unwrap_or(f64::INFINITY),
    };
    Some(Measured { value: sorted[at - 1], interval })
}

/// Coefficient of determination against the mean of the labels; `None` where all labels agree.
/// Without an interval: it is shown, never judged.
pub fn r_squared(errors: &[f64], targets: &[f64]) -> Option<f64> {
    if errors.len() != targets.len() || targets.is_empty() {
        return None;
    }
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let total: f64 = targets.iter().map(|t| (t - mean).powi(2)).sum();
    let left: f64 = errors.iter().map(|e| e * e).sum();
    (total > 0.0).then(|| 1.0 - left / total)
}

/// Rows at which an interval around the same `value` would no longer hold `threshold`: its ends
/// come closer with the square root of the rows. `None` when they all but agree.
pub fn rows_for_mean(value: f64, interval: Interval, n: u64, threshold: f64) -> Option<u64> {
    let gap = (threshold - value).abs();
    let half = if threshold > value { interval.upper - value } else { value - interval.lower };
    if !(gap > 0.0 && half.is_finite() && half >= 0.0) {
        return None;
    }
    let rows = (n as f64 * (half / gap).powi(2)).ceil() + 1.0;
    (rows <= super::binomial::N_MAX as f64).then_some((rows as u64).max(n))
}

/// Largest rank whose order statistic is, but for `tail`, not above the quantile:
/// `P(X <= r - 1) <= tail` for `X ~ Bin(n, p)`.
fn rank_below(n: usize, p: f64, tail: f64) -> Option<usize> {
    let fits = leading(n, |r| binomial_at_most(n, p, r - 1) <= tail);
    (fits > 0).then_some(fits)
}

/// Smallest rank whose order statistic is, but for `tail`, not below the quantile:
/// `P(X >= r) <= tail`.
fn rank_above(n: usize, p: f64, tail: f64) -> Option<usize> {
    let falls_short = leading(n, |r| 1.0 - binomial_at_most(n, p, r - 1) > tail);
    (falls_short < n).then_some(falls_short + 1)
}

/// How many of the ranks 1 to `n` hold, where those that do come first.
fn leading(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// `P(X <= k)` for `X ~ Bin(n, p)` with `k < n`: `I_{1-p}(n - k, k + 1)`.
fn binomial_at_most(n: usize, p: f64, k: usize) -> f64 {
    beta_inc((n - k) as f64, k as f64 + 1.0, 1.0 - p)
}

fn sorted_absolute(errors: &[f64]) -> Option<Vec<f64>> {
    if errors.is_empty() || errors.iter().any(|e| !e.is_finite()) {
        return None;
    }
    let mut sorted: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// Mean with the interval of Hall's monotone transformation of the studentised mean:
/// `g(t) = t + a t^2 + a^2 t^3 / 3 + b`, with `a = skew / (3 sqrt n)` and `b = skew / (6 sqrt n)`,
/// is `t`-distributed to second order; its inverse is in closed form.
fn skewed_mean(values: &[f64], confidence: f64) -> Option<(f64, Interval)> {
    let n = values.len() as f64;
    if values.len() < 2 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let moment = |power: i32| values.iter().map(|v| (v - mean).powi(power)).sum::<f64>();
    let spread = moment(2);
    // Errors that are all alike say nothing of those to come: no interval without width.
    if spread <= (mean * 1e-12).powi(2) * n {
        return None;
    }
    let deviation = (spread / (n - 1.0)).sqrt();
    let skew = n / ((n - 1.0) * (n - 2.0).max(1.0)) * moment(3) / deviation.powi(3);
    let t = t_quantile(0.5 + 0.5 * confidence, n - 1.0);
    let error = deviation / n.sqrt();
    let (a, b) = (skew / (3.0 * n.sqrt()), skew / (6.0 * n.sqrt()));
    let inverse = |g: f64| {
        let g = g - b;
        if a.abs() < 1e-9 { g } else { ((1.0 + 3.0 * a * g).cbrt() - 1.0) / a }
    };
    // The pivot is (mean - truth) / error, so its upper quantile gives the lower end.
    let interval = Interval { lower: mean - error * inverse(t), upper: mean - error * inverse(-t) };
    Some((mean, interval))
}

/// Quantile of Student's t with `freedom` degrees, for `p >= 0.5`: from the beta quantile of
/// `freedom / (freedom + t^2)`.
fn t_quantile(p: f64, freedom: f64) -> f64 {
    let x = beta_quantile(0.5 * freedom, 0.5, 2.0 * (1.0 - p));
    (freedom * (1.0 - x) / x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    /// Share of samples whose two-sided interval leaves the truth out above and below.
    fn missed(
        n: usize,
        draw: &dyn Fn(&mut Stream) -> f64,
        figure: &dyn Fn(&[f64]) -> Measured,
        truth: f64,
    ) -> (f64, f64) {
        let runs = 2_000;
        let (mut above, mut below) = (0, 0);
        for run in 0..runs {
            let mut stream = Stream::new(5, "coverage", "", n as u64, run);
            let errors: Vec<f64> = (0..n).map(|_| draw(&mut stream)).collect();
            let interval = figure(&errors).interval;
            above += usize::from(truth > interval.upper);
            below += usize::from(truth < interval.lower);
        }
        (above as f64 / runs as f64, below as f64 / runs as f64)
    }

    /// The side that matters for a threshold "at most" is the upper end: it must not promise.
    #[test]
    fn intervals_keep_their_promise_in_simulation() {
        let normal = |s: &mut Stream| s.normal();
        let laplace = |s: &mut Stream| -(1.0 - s.unit()).ln() * s.sign();
        let root = (2.0 / std::f64::consts::PI).sqrt();
        type Figure = fn(&[f64]) -> Measured;
        let mae95: Figure = |e| mae(e, 0.95).unwrap();
        let rmse95: Figure = |e| rmse(e, 0.95).unwrap();
        let q90: Figure = |e| quantile_error(e, 0.9, 0.95).unwrap();
        // (name, n, errors, figure, truth, most missed above, most missed below); 0.025 each
        // way are promised, a heavy tail in few rows costs the rest.
        type Case<'a> = (&'a str, usize, &'a dyn Fn(&mut Stream) -> f64, Figure, f64, f64, f64);
        let cases: [Case<'_>; 8] = [
            ("normal mae 50", 50, &normal, mae95, root, 0.035, 0.035),
            ("normal mae 400", 400, &normal, mae95, root, 0.035, 0.035),
            ("laplace mae 100", 100, &laplace, mae95, 1.0, 0.04, 0.035),
            ("normal rmse 100", 100, &normal, rmse95, 1.0, 0.04, 0.035),
            ("normal rmse 400", 400, &normal, rmse95, 1.0, 0.035, 0.035),
            ("laplace rmse 400", 400, &laplace, rmse95, 2f64.sqrt(), 0.05, 0.035),
            ("normal q90 100", 100, &normal, q90, 1.644_853_627, 0.034, 0.034),
            ("laplace q90 300", 300, &laplace, q90, 10f64.ln(), 0.034, 0.034),
        ];
        for (name, n, draw, figure, truth, above, below) in cases {
            let (a, b) = missed(n, draw, &figure, truth);
            assert!(a <= above && b <= below, "{name}: {a} above, {b} below");
        }
    }

    /// A verdict asks for one bound at its own confidence: the end of the two-sided interval at
    /// `2 c - 1`. Errors in steps have ties, under which the bounds only grow safer.
    #[test]
    fn one_sided_bounds_of_quantiles_keep_their_promise_in_simulation() {
        let laplace = |s: &mut Stream| -(1.0 - s.unit()).ln() * s.sign();
        // Steps of one half: the 80 % quantile of |laplace| rounded up to them.
        let steps = |s: &mut Stream| (-(1.0 - s.unit()).ln() * 2.0).ceil() / 2.0;
        let top = (5f64.ln() * 2.0).ceil() / 2.0;
        type Case<'a> = (&'a str, usize, f64, &'a dyn Fn(&mut Stream) -> f64, f64);
        let cases: [Case<'_>; 5] = [
            ("median of 30", 30, 0.5, &laplace, 2f64.ln()),
            ("median of 200", 200, 0.5, &laplace, 2f64.ln()),
            ("90 % of 60", 60, 0.9, &laplace, 10f64.ln()),
            ("90 % of 400", 400, 0.9, &laplace, 10f64.ln()),
            ("80 % of 120 in steps", 120, 0.8, &steps, top),
        ];
        for (name, n, p, draw, truth) in cases {
            for confidence in [0.9, 0.95, 0.99] {
                let figure = |e: &[f64]| quantile_error(e, p, 2.0 * confidence - 1.0).unwrap();
                let (above, below) = missed(n, draw, &figure, truth);
                // Promised is 1 - c each way; 2,000 runs vary by three standard errors.
                let promised = 1.0 - confidence;
                let most = promised + 3.0 * (promised * confidence / 2000.0).sqrt();
                assert!(above <= most && below <= most, "{name}, {confidence}: {above} {below}");
            }
        }
    }

    /// Ranks of a million rows are those of the normal approximation, and are found at once.
    #[test]
    fn a_million_rows_have_the_ranks_of_the_normal_distribution() {
        let (n, p) = (1_000_000_usize, 0.9);
        let spread = (n as f64 * p * (1.0 - p)).sqrt();
        let (mean, z) = (n as f64 * p, 1.959_963_985);
        let below = rank_below(n, p, 0.025).unwrap() as f64;
        let above = rank_above(n, p, 0.025).unwrap() as f64;
        assert!((below - (mean - z * spread)).abs() < 3.0, "{below}");
        assert!((above - (mean + z * spread)).abs() < 3.0, "{above}");
        assert_eq!((rank_below(5, 0.5, 0.01), rank_above(5, 0.5, 0.01)), (None, None));
    }

    /// Against scipy: `tests/golden/regression.py` wrote `tests/golden/regression.json`.
    #[test]
    fn figures_and_intervals_match_scipy() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/regression.json")).unwrap();
        let close = |got: f64, want: &serde_json::Value, what: &str| {
            let Some(want) = want.as_f64() else { return assert_eq!(got, f64::INFINITY, "{what}") };
            assert!((got - want).abs() <= 1e-8 * (1.0 + want.abs()), "{what}: {got} {want}");
        };
        let held = |got: Measured, want: &[serde_json::Value], what: &str| {
            for (got, want) in
                [got.value, got.interval.lower, got.interval.upper].into_iter().zip(want)
            {
                close(got, want, what);
            }
        };
        for case in golden["cases"].as_array().unwrap() {
            let errors: Vec<f64> =
                case["errors"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let of = |key: &str| case[key].as_array().unwrap().clone();
            held(mae(&errors, 0.95).unwrap(), &of("mae"), "mae");
            held(rmse(&errors, 0.95).unwrap(), &of("rmse"), "rmse");
            for q in of("quantiles") {
                let q = q.as_array().unwrap();
                let got = quantile_error(&errors, q[0].as_f64().unwrap(), 0.95).unwrap();
                held(got, &q[1..], "quantile");
            }
        }
    }

    #[test]
    fn a_sample_without_spread_or_too_small_says_so() {
        assert_eq!(mae(&[1.0], 0.95), None);
        assert_eq!(mae(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(mae(&[2.0, -2.0, 2.0], 0.95), None, "alike: no interval without width");
        // Ten rows cannot bound the 90 % quantile from above: 0.9^10 = 0.35.
        let few = quantile_error(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 0.9, 0.95);
        let few = few.unwrap();
        assert_eq!((few.value, few.interval.upper), (9.0, f64::INFINITY));
        assert!(few.interval.lower > 0.0);
    }
}
