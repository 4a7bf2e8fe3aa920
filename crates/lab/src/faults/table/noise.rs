//! Measurement noise on numbers.
//!
//! Owns the strengths. Never clips: a sensor does not know the declared bounds.

use proofmark_schema::system::Feature;

use super::{Cell, Spot, TableFault, is_number, stored};
use crate::faults::Level;
use crate::stream::Stream;

/// Every number gets normal noise of a share of its column's standard deviation.
pub struct Noise;

impl TableFault for Noise {
    fn id(&self) -> &'static str {
        "sensor-noise"
    }
    fn means(&self) -> &'static str {
        "Every number is off by normal noise, of a share of its column's standard deviation."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        let strength = STRENGTHS[usize::from(severity.clamp(1, 5)) - 1];
        Level { share: 1.0, strength, words: format!("{strength} standard deviations") }
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_number(feature)
    }
    fn cell(&self, spot: &Spot<'_>, stream: &mut Stream) -> Option<Cell> {
        let Cell::Number(value) = spot.cell else { return None };
        let moved = value + spot.strength * spot.deviation * stream.normal();
        Some(Cell::Number(stored(spot.feature, moved)))
    }
}

/// Doubling, from what nobody sees to what drowns the column.
const STRENGTHS: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];
