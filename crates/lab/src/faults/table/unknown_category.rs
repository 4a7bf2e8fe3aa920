//! Categories that nobody declared.
//!
//! Owns the text: what a changed spelling or a new code at the source gives.

use proofmark_schema::system::Feature;

use super::{Cell, Spot, TableFault, by_share, is_category};
use crate::faults::Level;
use crate::stream::Stream;

/// A category is written in a way that the declaration does not know.
pub struct UnknownCategory;

impl TableFault for UnknownCategory {
    fn id(&self) -> &'static str {
        "unknown-category"
    }
    fn means(&self) -> &'static str {
        "A category is replaced by a text that is none of its declared values."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        by_share(severity, 0.0, "cells")
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_category(feature)
    }
    fn cell(&self, spot: &Spot<'_>, _stream: &mut Stream) -> Option<Cell> {
        let Cell::Text(Some(text)) = &spot.cell else { return None };
        let mut strange = format!("{text} ");
        while spot.feature.values.contains(&strange) {
            strange.push(' ');
        }
        Some(Cell::Text(Some(strange)))
    }
}
