//! Two shares on the same rows: their difference and its interval.
//!
//! Owns inference on paired counts. Must never treat the two shares as independent: the rows are
//! the same, so what both get right says nothing about the difference.

use super::binomial::{Interval, wilson};

/// Rows by what two systems made of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Good under both.
    pub both: u64,
    /// Good under the first only.
    pub first: u64,
    /// Good under the second only.
    pub second: u64,
    /// Good under neither.
    pub neither: u64,
}

impl Paired {
    /// Counts rows by two lists of outcomes for the same rows, in the same order.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            *match pair {
                (true, true) => &mut counts.both,
                (true, false) => &mut counts.first,
                (false, true) => &mut counts.second,
                (false, false) => &mut counts.neither,
            } += 1;
        }
        counts
    }

    /// Rows.
    pub fn n(&self) -> u64 {
        self.both + self.first + self.second + self.neither
    }

    /// Share of the first minus share of the second; 0 without rows.
    pub fn difference(&self) -> f64 {
        match self.n() {
            0 => 0.0,
            n => (self.first as f64 - self.second as f64) / n as f64,
        }
    }

    /// Two-sided interval of [`Paired::difference`]; `[-1, 1]` without rows.
    ///
    /// Newcombe 1998, "Improved confidence intervals for the difference between binomial
    /// proportions based on paired data", method 10: the Wilson limits of both shares, squared
    /// and added, with the correlation of the two taken off after a continuity correction.
    pub fn newcombe(&self, confidence: f64) -> Interval {
        let n = self.n();
        if n == 0 {
            return Interval { lower: -1.0, upper: 1.0 };
        }
        let (k1, k2) = (self.both + self.first, self.both + self.second);
        let (p1, p2) = (k1 as f64 / n as f64, k2 as f64 / n as f64);
        let (w1, w2) = (wilson(k1, n, confidence), wilson(k2, n, confidence));
        let phi = self.correlation();
        let reach = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
        let difference = self.difference();
        Interval {
            lower: difference - reach(p1 - w1.lower, w2.upper - p2),
            upper: difference + reach(w1.upper - p1, p2 - w2.lower),
        }
    }

    /// The coefficient of correlation of method 10; 0 where it is not defined.
    fn correlation(&self) -> f64 {
        let [a, b, c, d] =
            [self.both, self.first, self.second, self.neither].map(|count| count as f64);
        let below = (a + b) * (c + d) * (a + c) * (b + d);
        if below == 0.0 {
            return 0.0;
        }
        let above = a * d - b * c;
        let corrected = if above > 0.0 { (above - 0.5 * (a + b + c + d)).max(0.0) } else { above };
        corrected / below.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outcomes_are_counted_in_pairs() {
        let counts = Paired::of([(true, true), (true, false), (false, false), (true, false)]);
        assert_eq!(counts, Paired { both: 1, first: 2, second: 0, neither: 1 });
        assert_eq!((counts.n(), counts.difference()), (4, 0.5));
        assert_eq!(Paired::default().newcombe(0.95), Interval { lower: -1.0, upper: 1.0 });
    }

    #[test]
    fn rows_that_agree_leave_the_difference_open_and_none_decides_alone() {
        // Identical answers: the difference is 0 and nothing lets its interval leave 0 out.
        for n in [1, 10, 300] {
            let same = Paired { both: n, first: 0, second: 0, neither: n };
            let interval = same.newcombe(0.95);
            assert!(interval.lower <= 0.0 && interval.upper >= 0.0, "{n}: {interval:?}");
        }
        let one = Paired { both: 60, first: 1, second: 0, neither: 29 };
        assert!(one.newcombe(0.95).lower < 0.0);
        let many = Paired { both: 60, first: 12, second: 1, neither: 17 };
        assert!(many.newcombe(0.95).lower > 0.0);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_difference_and_mirrors_when_the_systems_change_places(
            both in 0_u64..60, first in 0_u64..60, second in 0_u64..60, neither in 0_u64..60,
        ) {
            let here = Paired { both, first, second, neither };
            prop_assume!(here.n() > 0);
            let there = Paired { first: second, second: first, ..here };
            let (a, b) = (here.newcombe(0.95), there.newcombe(0.95));
            prop_assert!(a.lower <= here.difference() && here.difference() <= a.upper);
            prop_assert!((a.lower + b.upper).abs() < 1e-12 && (a.upper + b.lower).abs() < 1e-12);
            prop_assert!(a.lower >= -1.0 - 1e-12 && a.upper <= 1.0 + 1e-12);
            let narrow = here.newcombe(0.8);
            prop_assert!(narrow.lower >= a.lower - 1e-12 && narrow.upper <= a.upper + 1e-12);
        }
    }
}
