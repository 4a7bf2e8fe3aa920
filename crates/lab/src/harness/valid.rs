//! From a wished point to one that could be deployed, constraints included.
//!
//! Owns what happens to a candidate before it is judged: projection into ball and box, rounding
//! to the deployed type, repair of what follows from other columns, and where relations are still
//! broken the way back toward the clean row as far as needed. Without constraints it is exactly
//! [`Space::deploy`](crate::space::Space::deploy). Must never ask the target. Called by the arena
//! and by the gates that build points of their own.

use super::Case;

impl Case<'_> {
    /// The deployed point nearest to a wished one that this road finds. Where no valid row is
    /// found the point is returned as it would be deployed, and [`Case::valid`] says no.
    pub fn deploy(&self, row: usize, x: &[f64], eps: f64) -> Vec<f32> {
        let clean = self.oracle.clean(row);
        let plain = self.space.deploy(clean, x, eps, self.norm);
        if self.valid(row, &plain) {
            return plain;
        }
        let mended = self.mended(row, x, eps);
        if self.valid(row, &mended) {
            return mended;
        }
        self.drawn_back(row, x, eps).unwrap_or(mended)
    }

    /// Whether a deployed point is a valid row under the declared constraints.
    pub fn valid(&self, row: usize, x: &[f32]) -> bool {
        self.constraints.is_none_or(|c| c.valid(row, x))
    }

    /// Repaired and deployed in turn: rounding moves what a formula builds on.
    fn mended(&self, row: usize, x: &[f64], eps: f64) -> Vec<f32> {
        let clean = self.oracle.clean(row);
        let mut point: Vec<f32> = Vec::new();
        let mut wished = x.to_vec();
        for _ in 0..MENDINGS {
            if let Some(constraints) = self.constraints {
                constraints.repair(row, &mut wished);
            }
            let next = self.space.deploy(clean, &wished, eps, self.norm);
            if next == point {
                break;
            }
            point = next;
            wished.clear();
            wished.extend(point.iter().map(|&v| f64::from(v)));
        }
        point
    }

    /// The farthest of a few points between the clean row and the wished one that is valid and
    /// not the clean row itself.
    fn drawn_back(&self, row: usize, x: &[f64], eps: f64) -> Option<Vec<f32>> {
        let clean = self.oracle.clean(row);
        let between = |share: f64| -> Vec<f64> {
            let each = clean.iter().zip(x);
            each.map(|(&c, &x)| f64::from(c) + share * (x - f64::from(c))).collect()
        };
        let (mut low, mut high) = (0.0, 1.0);
        let mut found = None;
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            let point = self.mended(row, &between(middle), eps);
            if self.valid(row, &point) {
                low = middle;
                if point.iter().zip(clean).any(|(p, c)| p.to_bits() != c.to_bits()) {
                    found = Some(point);
                }
            } else {
                high = middle;
            }
        }
        found
    }
}

/// Rounds of repair and rounding: one settles a formula, another what builds on it.
const MENDINGS: usize = 3;

/// Halvings of the way back: a sixty-fourth of the way is as near as it pays.
const HALVINGS: usize = 6;
