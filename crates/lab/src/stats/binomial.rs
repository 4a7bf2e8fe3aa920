//! Shares: exact and approximate intervals, paired comparison, sample size.
//!
//! Owns inference on counts. Must never round outward or inward: limits are what they are.

use super::special::{beta_inc, beta_quantile, normal_quantile};

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// Side of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The share must be at least the threshold.
    AtLeast,
    /// The share must be at most the threshold.
    AtMost,
}

/// Two-sided exact interval of `k` of `n` (Clopper and Pearson 1934); `[0, 1]` when `n` is 0.
pub fn clopper_pearson(k: u64, n: u64, confidence: f64) -> Interval {
    let tail = 0.5 * (1.0 - confidence);
    Interval { lower: lower_limit(k, n, tail), upper: upper_limit(k, n, tail) }
}

/// One-sided exact lower bound: the share is at least this, with `confidence`.
pub fn one_sided_lower(k: u64, n: u64, confidence: f64) -> f64 {
    lower_limit(k, n, 1.0 - confidence)
}

/// One-sided exact upper bound: the share is at most this, with `confidence`.
pub fn one_sided_upper(k: u64, n: u64, confidence: f64) -> f64 {
    upper_limit(k, n, 1.0 - confidence)
}

/// Two-sided score interval (Wilson 1927), without continuity correction.
pub fn wilson(k: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { lower: 0.0, upper: 1.0 };
    }
    let z = normal_quantile(0.5 + 0.5 * confidence);
    score(k as f64 / n as f64, n as f64, z)
}

/// Score interval of a mean of values in `[0, 1]` with `n` of them: their variance is at most
/// that of a share.
pub(super) fn score(share: f64, n: f64, z: f64) -> Interval {
    let spread = 1.0 + z * z / n;
    let center = (share + z * z / (2.0 * n)) / spread;
    let half = z / spread * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { lower: (center - half).max(0.0), upper: (center + half).min(1.0) }
}

/// Exact two-sided p-value of McNemar's test: `b` and `c` count the rows on which only the one,
/// or only the other, is right (binomial with share 1/2).
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    let least = b.min(c);
    if n == 0 {
        return 1.0;
    }
    // P(X <= least) for X ~ Bin(n, 1/2) = I_{1/2}(n - least, least + 1).
    let tail = beta_inc((n - least) as f64, least as f64 + 1.0, 0.5);
    (2.0 * tail).min(1.0)
}

/// Sample size at which the same share `k / n` would decide against a threshold, pass or fail;
/// `None` when the share equals the threshold so closely that [`N_MAX`] rows do not.
pub fn n_to_decide(k: u64, n: u64, threshold: f64, direction: Direction, conf: f64) -> Option<u64> {
    if n == 0 {
        return None;
    }
    let share = k as f64 / n as f64;
    let decides = |n: u64| -> bool {
        let k = (share * n as f64).round() as u64;
        let (lower, upper) = (one_sided_lower(k, n, conf), one_sided_upper(k, n, conf));
        match direction {
            Direction::AtLeast => lower >= threshold || upper < threshold,
            Direction::AtMost => upper <= threshold || lower > threshold,
        }
    };
    if decides(n) {
        return Some(n);
    }
    let mut high = n;
    while !decides(high) {
        high = high.checked_mul(2).filter(|&h| h <= N_MAX)?;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if decides(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

fn lower_limit(k: u64, n: u64, tail: f64) -> f64 {
    if k == 0 || n == 0 {
        return 0.0;
    }
    beta_quantile(k as f64, (n - k.min(n)) as f64 + 1.0, tail)
}

fn upper_limit(k: u64, n: u64, tail: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_quantile(k as f64 + 1.0, (n - k) as f64, 1.0 - tail)
}

/// More rows than anyone will collect: the search stops here.
pub const N_MAX: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_value_of_fifty_out_of_fifty() {
        // 0.025^(1/50): the figure of a "100 %" with n = 50.
        let interval = clopper_pearson(50, 50, 0.95);
        assert!((interval.lower - 0.025_f64.powf(1.0 / 50.0)).abs() < 1e-12);
        assert_eq!(interval.upper, 1.0);
        assert_eq!(clopper_pearson(0, 0, 0.95), Interval { lower: 0.0, upper: 1.0 });
    }

    #[test]
    fn an_inconclusive_share_is_decided_by_the_sample_size_given_for_it() {
        let cases = [
            (62, 100, 0.60, Direction::AtLeast),
            (55, 100, 0.60, Direction::AtLeast),
            (8, 100, 0.10, Direction::AtMost),
        ];
        for (k, n, threshold, direction) in cases {
            let enough = n_to_decide(k, n, threshold, direction, 0.95).unwrap();
            assert!(enough > n, "{k}/{n} is decided already");
            let k_there = (k as f64 / n as f64 * enough as f64).round() as u64;
            let lower = one_sided_lower(k_there, enough, 0.95);
            let upper = one_sided_upper(k_there, enough, 0.95);
            assert!(lower >= threshold || upper <= threshold, "{k}/{n} at {enough}");
        }
        assert_eq!(n_to_decide(60, 100, 0.60, Direction::AtLeast, 0.95), None);
        assert_eq!(n_to_decide(90, 100, 0.60, Direction::AtLeast, 0.95), Some(100));
    }
}
