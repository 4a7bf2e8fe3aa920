//! Stale values.
//!
//! Owns where a stale value comes from: the row before. The first row has none and stays.

use proofmark_schema::system::{Feature, FeatureKind};

use super::{Cell, Spot, TableFault, by_share};
use crate::faults::Level;
use crate::stream::Stream;

/// Cells still hold the value of the row before: a cache, a form that was not cleared, a join one
/// row off.
pub struct Stale;

impl TableFault for Stale {
    fn id(&self) -> &'static str {
        "stale"
    }
    fn means(&self) -> &'static str {
        "Cells hold the value of the row before, each cell on its own."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        by_share(severity, 0.0, "cells")
    }
    fn fits(&self, feature: &Feature) -> bool {
        !matches!(feature.kind, FeatureKind::Image | FeatureKind::Series)
    }
    fn cell(&self, spot: &Spot<'_>, _stream: &mut Stream) -> Option<Cell> {
        spot.before.clone()
    }
}
