//! Wrong but known categories.
//!
//! Owns the draw among the other declared values.

use proofmark_schema::system::Feature;

use super::{Cell, Spot, TableFault, by_share, is_category};
use crate::faults::Level;
use crate::stream::Stream;

/// A category stands in the place of another one.
pub struct CategorySwap;

impl TableFault for CategorySwap {
    fn id(&self) -> &'static str {
        "category-swap"
    }
    fn means(&self) -> &'static str {
        "A category is replaced by another of its declared values."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        by_share(severity, 0.0, "cells")
    }
    fn fits(&self, feature: &Feature) -> bool {
        is_category(feature)
    }
    fn cell(&self, spot: &Spot<'_>, stream: &mut Stream) -> Option<Cell> {
        let Cell::Text(Some(text)) = &spot.cell else { return None };
        let others: Vec<&String> = spot.feature.values.iter().filter(|v| *v != text).collect();
        others.get(stream.below(others.len())).map(|v| Cell::Text(Some((*v).clone())))
    }
}
