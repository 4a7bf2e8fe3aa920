//! Extreme but allowed values.
//!
//! Owns the choice of the end: lower or upper, by a draw.

use proofmark_schema::system::Feature;

use super::{Cell, Spot, TableFault, by_share, is_number};
use crate::faults::Level;
use crate::stream::Stream;

/// Numbers stand at an end of their bounds: a sensor at its stop, a form's first or last choice.
pub struct Extreme;

impl TableFault for Extreme {
    fn id(&self) -> &'static str {
        "extreme"
    }
    fn means(&self) -> &'static str {
        "Numbers stand at the lowest or highest allowed value."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        by_share(severity, 0.0, "cells")
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_number(feature)
    }
    fn cell(&self, spot: &Spot<'_>, stream: &mut Stream) -> Option<Cell> {
        let [lowest, highest] = spot.range;
        Some(Cell::Number(if stream.sign() < 0.0 { lowest } else { highest }))
    }
}
