//! Rows in another unit.
//!
//! Owns the scope: a feed delivers all its numbers in the wrong unit, so a row is hit whole.

use proofmark_schema::system::Feature;

use super::{Cell, Scope, Spot, TableFault, by_share, is_number, stored};
use crate::faults::Level;
use crate::stream::Stream;

/// Rows come in another unit: cents in the place of euros, months in the place of years.
pub struct UnitSwap;

impl TableFault for UnitSwap {
    fn id(&self) -> &'static str {
        "unit-swap"
    }
    fn means(&self) -> &'static str {
        "All chosen numbers of a row are multiplied by the factor of another unit."
    }
    fn scope(&self) -> Scope {
        Scope::Row
    }
    fn level(&self, severity: u8, factor: f64) -> Level {
        let level = by_share(severity, factor, "rows");
        Level { words: format!("{}, times {factor}", level.words), ..level }
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_number(feature)
    }
    fn cell(&self, spot: &Spot<'_>, _stream: &mut Stream) -> Option<Cell> {
        let Cell::Number(value) = spot.cell else { return None };
        Some(Cell::Number(stored(spot.feature, value * spot.strength)))
    }
}
