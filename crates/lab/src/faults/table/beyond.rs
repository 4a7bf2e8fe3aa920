//! Values beyond what is allowed.
//!
//! Owns the distances. A range check is there to catch these; what it lets through is told.

use proofmark_schema::system::{Feature, FeatureKind};

use super::{Cell, Spot, TableFault, is_number, stored};
use crate::faults::Level;
use crate::stream::Stream;

/// Numbers lie outside their bounds.
pub struct Beyond;

impl TableFault for Beyond {
    fn id(&self) -> &'static str {
        "beyond"
    }
    fn means(&self) -> &'static str {
        "One number in five lies beyond its bounds, by a multiple of their range."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        let strength = DISTANCES[usize::from(severity.clamp(1, 5)) - 1];
        let percent = SHARE * 100.0;
        let words = format!("{percent} % of the cells, {strength} ranges beyond the bounds");
        Level { share: SHARE, strength, words }
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_number(feature)
    }
    fn cell(&self, spot: &Spot<'_>, stream: &mut Stream) -> Option<Cell> {
        let [lowest, highest] = spot.range;
        let away = match spot.feature.kind {
            // At least one step of a whole number, so that it lies outside after rounding.
            FeatureKind::Integer => (spot.strength * (highest - lowest)).max(1.0),
            // A column that never varies has no range of its own.
            _ if highest <= lowest => spot.strength * lowest.abs().max(1.0),
            _ => spot.strength * (highest - lowest),
        };
        let value = if stream.sign() < 0.0 { lowest - away } else { highest + away };
        Some(Cell::Number(stored(spot.feature, value)))
    }
}

/// Share of the cells hit at every severity: the distance grows instead.
const SHARE: f64 = 0.2;
/// Ranges of the column beyond its bounds.
const DISTANCES: [f64; 5] = [0.1, 0.5, 1.0, 10.0, 100.0];
