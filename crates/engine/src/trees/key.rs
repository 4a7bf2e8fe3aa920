//! Floats as integers of the same order.
//!
//! Owns the mapping and the largest value that a comparison lets through, so that a threshold of
//! any type is compared exactly with features of either. Called by `compile` and `rank`.

use super::ZERO_MAX;
use crate::reference::Float;

/// A type that features are compared in.
pub trait Feature: Float {
    /// An integer that orders as the numbers do; both zeros are the same.
    type Key: Copy + Ord + std::hash::Hash + Default + Send + Sync + std::fmt::Debug;
    /// Above the key of every number: what is missing.
    const MISSING: Self::Key;
    /// The key; [`Feature::MISSING`] for NaN.
    fn key(self) -> Self::Key;
    /// The greatest key that is at most (`strict`: below) `t`.
    fn cut(t: f64, strict: bool) -> Self::Key;
    /// Whether LightGBM takes it for zero.
    fn is_zero(self) -> bool {
        self.to_f64().abs() <= ZERO_MAX
    }
}

macro_rules! feature {
    ($t:ty, $key:ty) => {
        impl Feature for $t {
            type Key = $key;
            const MISSING: $key = <$key>::MAX;
            fn key(self) -> $key {
                // Adding 0 makes -0 the same as 0.
                let bits = (self + 0.0).to_bits();
                let sign = 1 << (<$key>::BITS - 1);
                // Without a jump on the sign, which would be guessed wrong half of the time.
                let negative = (bits >> (<$key>::BITS - 1)).wrapping_neg();
                if self.is_nan() { Self::MISSING } else { bits ^ (negative | sign) }
            }
            fn cut(t: f64, strict: bool) -> $key {
                let near = t as $t;
                let wide = f64::from(near);
                // One below the key of a number is no key, or that of the next number below.
                near.key() - <$key>::from(wide > t || (strict && wide == t))
            }
        }
    };
}

feature!(f32, u32);
feature!(f64, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_numbers_do_and_nan_is_above() {
        let ascending = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1.0,
            -f32::MIN_POSITIVE,
            -1e-45,
            0.0,
            1e-45,
            1.0,
            f32::MAX,
            f32::INFINITY,
        ];
        for pair in ascending.windows(2) {
            assert!(pair[0].key() < pair[1].key(), "{pair:?}");
            assert!(f64::from(pair[0]).key() < f64::from(pair[1]).key(), "{pair:?}");
        }
        assert_eq!((-0.0f32).key(), 0.0f32.key());
        assert_eq!((-0.0f64).key(), 0.0f64.key());
        for nan in [f32::NAN, -f32::NAN] {
            assert!(nan.key() > f32::INFINITY.key() && nan.key() == f32::MISSING);
        }
    }

    #[test]
    fn a_cut_parts_the_numbers_as_the_comparison_does() {
        let third = 1.0f64 / 3.0;
        let thresholds = [
            0.0,
            -0.0,
            1.0,
            third,
            -third,
            1e300,
            -1e300,
            1e-300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from(f32::MAX),
        ];
        for t in thresholds {
            let near = t as f32;
            for v in [near, near.next_up(), near.next_down(), 0.0, -0.0, f32::MIN, f32::MAX] {
                let w = f64::from(v);
                assert_eq!(v.key() <= f32::cut(t, false), w <= t, "{v} <= {t}");
                assert_eq!(v.key() <= f32::cut(t, true), w < t, "{v} < {t}");
                assert_eq!(w.key() <= f64::cut(t, false), w <= t, "{w} <= {t}");
                assert_eq!(w.key() <= f64::cut(t, true), w < t, "{w} < {t}");
            }
        }
    }
}
