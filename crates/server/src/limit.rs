//! How many rows a key may ask for: the generic cell rate algorithm (ITU-T I.371), one number a
//! key.
//!
//! Owns the arithmetic. Must never read a clock: the time is handed in. Called by the data plane.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rate and burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds that one row costs.
    nanos_per_row: u64,
    /// Rows that may come at once, in nanoseconds.
    burst_nanos: u64,
}

/// What a key has used: the theoretical arrival time of its next row, in nanoseconds since the
/// guard started.
#[derive(Debug, Default)]
pub struct Used(AtomicU64);

impl Rate {
    /// `per_second` rows a second, at most `burst` at once; zeros count as 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let nanos_per_row = SECOND / u64::from(per_second.max(1));
        Self { nanos_per_row, burst_nanos: nanos_per_row * u64::from(burst.max(1)) }
    }

    /// Takes `rows` at `now` (nanoseconds since the start), all or none.
    ///
    /// # Errors
    /// Nanoseconds until so many rows would pass.
    pub fn take(&self, used: &Used, rows: u64, now: u64) -> Result<(), u64> {
        let cost = self.nanos_per_row.saturating_mul(rows);
        let mut old = used.0.load(Ordering::Relaxed);
        loop {
            let next = old.max(now).saturating_add(cost);
            let latest = now.saturating_add(self.burst_nanos);
            if next > latest {
                return Err(next - latest);
            }
            match used.0.compare_exchange_weak(old, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => old = seen,
            }
        }
    }
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rate, used) = (Rate::new(10, 3), Used::default());
        for (now_ms, rows, want) in [
            (0, 1, Ok(())),
            (0, 2, Ok(())),
            (0, 1, Err(100)),
            (99, 1, Err(1)),
            (100, 1, Ok(())),
            (100, 1, Err(100)),
            (10_000, 3, Ok(())),
            (10_000, 1, Err(100)),
            (20_000, 4, Err(100)),
        ] {
            let got = rate.take(&used, rows, now_ms * 1_000_000).map_err(|ns| ns / 1_000_000);
            assert_eq!(got, want, "{rows} rows at {now_ms} ms");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(
            steps in proptest::collection::vec((0u64..500, 1u64..5), 1..200)
        ) {
            let (rate, used) = (Rate::new(20, 7), Used::default());
            let (mut now, mut passed) = (0u64, 0u64);
            for (ms, rows) in steps {
                now += ms * 1_000_000;
                if rate.take(&used, rows, now).is_ok() {
                    passed += rows;
                }
                prop_assert!(passed as f64 <= 7.0 + 20.0 * now as f64 / 1e9 + 1e-6);
            }
        }
    }
}
