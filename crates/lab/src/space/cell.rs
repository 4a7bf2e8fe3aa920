//! What L-inf leaves of ball and box round one clean row: an interval for each coordinate.
//!
//! Owns the projection of steps that are taken by the thousand. It must give the very bits of
//! [`Space::project`], which needs no preparation. Called by the attacks.

use proofmark_schema::system::Norm;

use super::{Space, toward};

/// The intervals of a row, their ends within both ball and box.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    sides: Vec<Side>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    low: f32,
    high: f32,
    clean: f32,
    unit: f64,
}

impl Space {
    /// The intervals round a clean row at a budget; `eps` may be infinite.
    pub fn cell(&self, clean: &[f32], eps: f64) -> Cell {
        let end = |to: f64| self.project(clean, &vec![to; clean.len()], eps, Norm::Linf);
        let (low, high) = (end(f64::NEG_INFINITY), end(f64::INFINITY));
        let each = self.axes.iter().zip(clean).zip(low.into_iter().zip(high));
        let side = |((axis, &clean), (low, high)): ((&super::Axis, &f32), (f32, f32))| Side {
            low,
            high,
            clean,
            unit: axis.unit,
        };
        Cell { sides: each.map(side).collect() }
    }
}

impl Cell {
    /// Model units per 1 of the budget's scale.
    pub fn unit(&self, index: usize) -> f64 {
        self.sides[index].unit
    }

    /// The value of a coordinate nearest to `v` inside the interval, rounded toward the clean one.
    #[inline]
    pub fn project(&self, index: usize, v: f64) -> f32 {
        let Side { low, high, clean, .. } = self.sides[index];
        if !clean.is_finite() || v.is_nan() {
            return clean;
        }
        let mut x = v as f32;
        if (x > clean && f64::from(x) > v) || (x < clean && f64::from(x) < v) {
            x = toward(x, clean);
        }
        let x = if x < low { low } else { x };
        let x = if x > high { high } else { x };
        if x == clean { clean } else { x }
    }
}
