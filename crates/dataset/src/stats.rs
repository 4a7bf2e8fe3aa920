//! Figures of one numeric column, for `scale = "std"` and for `init`.
//!
//! Owns their definition. Must never be asked for a figure of test data that is then trained on.

/// Figures of a column; missing values (NaN) are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// Values present.
    pub n: usize,
    /// Values missing.
    pub missing: usize,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the population (divided by `n`), as NumPy's `std`.
    pub std: f64,
}

/// Figures of a column; `None` when no value is present.
///
/// Two passes: the mean by compensated summation (Neumaier 1974), then squared deviations from
/// it, corrected by their own mean (Chan, Golub and LeVeque 1983, eq. 1.7).
pub fn stats(values: &[f64]) -> Option<Stats> {
    let present = || values.iter().copied().filter(|v| !v.is_nan());
    let n = present().count();
    if n == 0 {
        return None;
    }
    let count = n as f64;
    let mean = sum(present()) / count;
    let off = sum(present().map(|v| v - mean));
    let squares = sum(present().map(|v| (v - mean) * (v - mean)));
    let variance = (squares - off * off / count) / count;
    Some(Stats {
        n,
        missing: values.len() - n,
        min: present().fold(f64::INFINITY, f64::min),
        max: present().fold(f64::NEG_INFINITY, f64::max),
        mean,
        std: variance.max(0.0).sqrt(),
    })
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0f64);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() {
            (total - next) + value
        } else {
            (value - next) + total
        };
        total = next;
    }
    total + lost
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_of_small_columns() {
        let nan = f64::NAN;
        for (name, values, want) in [
            ("one value", vec![3.0], (1, 0, 3.0, 3.0, 3.0, 0.0)),
            ("missing left out", vec![1.0, nan, 3.0], (2, 1, 1.0, 3.0, 2.0, 1.0)),
            (
                "far from zero",
                vec![1e9, 1e9 + 1.0, 1e9 + 2.0],
                (3, 0, 1e9, 1e9 + 2.0, 1e9 + 1.0, (2.0f64 / 3.0).sqrt()),
            ),
        ] {
            let got = stats(&values).unwrap();
            assert_eq!(
                (got.n, got.missing, got.min, got.max, got.mean),
                (want.0, want.1, want.2, want.3, want.4),
                "{name}"
            );
            assert!((got.std - want.5).abs() < 1e-12, "{name}: {}", got.std);
        }
        assert_eq!(stats(&[]), None);
        assert_eq!(stats(&[nan, nan]), None);
    }

    proptest! {
        #[test]
        fn shifting_moves_the_mean_and_keeps_the_spread(
            values in prop::collection::vec(-1000i32..1000, 1..50),
            shift in -1000i32..1000,
        ) {
            let plain: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            let moved: Vec<f64> = plain.iter().map(|v| v + f64::from(shift)).collect();
            let (a, b) = (stats(&plain).unwrap(), stats(&moved).unwrap());
            prop_assert!((b.mean - a.mean - f64::from(shift)).abs() < 1e-9);
            prop_assert!((b.std - a.std).abs() < 1e-9);
            prop_assert!(a.min <= a.mean && a.mean <= a.max);
        }
    }
}
