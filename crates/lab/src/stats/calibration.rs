//! Calibration bins and the expected calibration error.
//!
//! Owns the binning: equal widths over `[0, 1]`, the last bin closed.

use serde::{Deserialize, Serialize};

/// One bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge.
    pub from: f64,
    /// Upper edge.
    pub to: f64,
    /// Rows.
    pub n: u64,
    /// Mean stated probability; 0 when empty.
    pub stated: f64,
    /// Observed share; 0 when empty.
    pub observed: f64,
}

/// Calibration of stated probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Bins, ascending.
    pub bins: Vec<Bin>,
    /// Expected calibration error: mean over rows of the bins' |observed - stated|.
    pub ece: f64,
}

impl Calibration {
    /// Of `stated` probabilities and whether each came true, in [`BINS`] bins.
    pub fn of(stated: &[f64], came_true: &[bool]) -> Self {
        let mut sums = vec![(0_u64, 0.0, 0_u64); BINS];
        for (&p, &hit) in stated.iter().zip(came_true) {
            let at = ((p * BINS as f64).max(0.0) as usize).min(BINS - 1);
            sums[at].0 += 1;
            sums[at].1 += p;
            sums[at].2 += u64::from(hit);
        }
        let total: u64 = sums.iter().map(|s| s.0).sum();
        let bins: Vec<Bin> = sums
            .iter()
            .enumerate()
            .map(|(i, &(n, sum, hits))| {
                let mean = |v: f64| if n == 0 { 0.0 } else { v / n as f64 };
                let (from, to) = (i as f64 / BINS as f64, (i + 1) as f64 / BINS as f64);
                Bin { from, to, n, stated: mean(sum), observed: mean(hits as f64) }
            })
            .collect();
        let weighted = bins.iter().map(|b| b.n as f64 * (b.observed - b.stated).abs());
        let ece = if total == 0 { 0.0 } else { weighted.sum::<f64>() / total as f64 };
        Self { bins, ece }
    }
}

/// Bins of a calibration plot: the usual ten.
pub const BINS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_fall_into_the_upper_bin_and_one_into_the_last() {
        let c = Calibration::of(&[0.0, 0.1, 0.05, 1.0, 0.95], &[false, true, false, true, false]);
        let counts: Vec<u64> = c.bins.iter().map(|b| b.n).collect();
        assert_eq!(counts, vec![2, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        // Bin 0: |0 - 0.025| * 2, bin 1: |1 - 0.1| * 1, bin 9: |0.5 - 0.975| * 2, over 5.
        assert!((c.ece - (0.05 + 0.9 + 0.95) / 5.0).abs() < 1e-12);
    }
}
