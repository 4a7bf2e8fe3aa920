//! Two shares on the same rows: their ratio and its interval.
//!
//! Owns inference on the ratio of paired shares. Must never treat the two as independent.

use super::binomial::{Interval, score};
use super::paired::Paired;
use super::special::normal_quantile;

/// Share of the second over share of the first with a two-sided interval; `None` where the first
/// share is 0.
///
/// Bonett and Price 2006, "Confidence intervals for a ratio of binomial proportions based on
/// paired data", hybrid Wilson score interval: score limits of both shares among the rows that
/// are good under either, at a critical value that takes the pairing into account.
pub fn paired_ratio(counts: &Paired, confidence: f64) -> Option<(f64, Interval)> {
    let first = counts.both + counts.first;
    let second = counts.both + counts.second;
    if first == 0 {
        return None;
    }
    let either = (counts.both + counts.first + counts.second) as f64;
    let value = second as f64 / first as f64;
    let (a, b) = (first as f64 + 1.0, second as f64 + 1.0);
    let apart = (counts.first + counts.second) as f64 + 2.0;
    let together = (apart / (a * b)).sqrt();
    let alone = |k: f64| ((1.0 - k / (either + 2.0)) / k).max(0.0).sqrt();
    let z = normal_quantile(0.5 + 0.5 * confidence) * together / (alone(a) + alone(b));
    let of_first = score(first as f64 / either, either, z);
    let of_second = score(second as f64 / either, either, z);
    let upper = if of_first.lower > 0.0 { of_second.upper / of_first.lower } else { f64::INFINITY };
    Some((value, Interval { lower: of_second.lower / of_first.upper, upper }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    #[test]
    fn equal_shares_hold_one_and_none_at_all_has_no_ratio() {
        let same = Paired { both: 40, first: 6, second: 6, neither: 100 };
        let (value, interval) = paired_ratio(&same, 0.95).unwrap();
        assert_eq!(value, 1.0);
        assert!(interval.lower < 1.0 && interval.upper > 1.0, "{interval:?}");
        // Rows that are good under neither say nothing about the ratio.
        let (_, more) = paired_ratio(&Paired { neither: 9, ..same }, 0.95).unwrap();
        assert_eq!(more, interval);
        assert_eq!(paired_ratio(&Paired { both: 0, first: 0, second: 5, neither: 5 }, 0.95), None);
    }

    /// The interval is checked against what it promises: draws from known shares.
    #[test]
    fn the_interval_holds_the_true_ratio_as_often_as_it_says() {
        // Shares of the four cells: good under both, first only, second only, neither.
        for (name, cells) in [
            ("twice the error", [0.08, 0.02, 0.12, 0.78]),
            ("the same error", [0.2, 0.05, 0.05, 0.7]),
            ("rare errors", [0.02, 0.01, 0.05, 0.92]),
        ] {
            let truth = (cells[0] + cells[2]) / (cells[0] + cells[1]);
            let (mut held, mut drawn) = (0, 0);
            for trial in 0..400 {
                let mut stream = Stream::new(9, name, "", 0, trial);
                let mut counts = Paired::default();
                for _ in 0..300 {
                    let u = stream.unit();
                    *match u {
                        u if u < cells[0] => &mut counts.both,
                        u if u < cells[0] + cells[1] => &mut counts.first,
                        u if u < cells[0] + cells[1] + cells[2] => &mut counts.second,
                        _ => &mut counts.neither,
                    } += 1;
                }
                let Some((_, interval)) = paired_ratio(&counts, 0.95) else { continue };
                drawn += 1;
                held += i32::from(interval.lower <= truth && truth <= interval.upper);
            }
            let share = f64::from(held) / f64::from(drawn);
            assert!(share > 0.92, "{name}: {share} of {drawn}");
        }
    }
}
