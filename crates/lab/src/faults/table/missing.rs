//! Values that did not arrive.
//!
//! Owns what "missing" is: NaN for a number, no text for all else. Whether the model can hold it
//! is for the binding to say.

use proofmark_schema::system::{Feature, FeatureKind};

use super::{Cell, Spot, TableFault, by_share};
use crate::faults::Level;
use crate::stream::Stream;

/// Cells lose their value.
pub struct Missing;

impl TableFault for Missing {
    fn id(&self) -> &'static str {
        "missing"
    }
    fn means(&self) -> &'static str {
        "Values are missing, each cell on its own."
    }
    fn level(&self, severity: u8, _factor: f64) -> Level {
        by_share(severity, 0.0, "cells")
    }
    fn fits(&self, feature: &Feature) -> bool {
        !matches!(feature.kind, FeatureKind::Image | FeatureKind::Series)
    }
    fn cell(&self, spot: &Spot<'_>, _stream: &mut Stream) -> Option<Cell> {
        Some(match spot.cell {
            Cell::Number(_) => Cell::Number(f64::NAN),
            Cell::Text(_) => Cell::Text(None),
        })
    }
}
