//! Models of CatBoost in its JSON format.
//!
//! Owns what the file says: features, splits, trees, counts by category, parameters; and the hash
//! by which the library knows categories. Must never judge what a loss means: the engine does.
//! Called by the engine's importer.

mod features;
mod hash;
mod model;

pub use features::{Ctr, CtrKind, CtrTable, FloatFeature, NanTreatment, OneHot};
pub use hash::category_hash;
pub use model::{ClassNames, Model, Node, Oblivious, Split, Trees};

use crate::document::FieldError;
use crate::json::{self, JsonError};

/// Columns of a model: names are listed for all of them, whatever the highest number claims.
pub const FEATURES_MAX: usize = 1_000_000;

/// Levels of an oblivious tree: the library trains at most 16.
pub const DEPTH_MAX: usize = 16;

/// Why a file is no model of CatBoost.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum CatboostError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("{0}")]
    Field(#[from] FieldError),
    #[error("tree {tree}: {source}")]
    Tree { tree: usize, source: FieldError },
}

/// Reads a model.
///
/// # Errors
/// JSON that is none, or no model, and trees whose leaves do not fit their splits.
pub fn read(bytes: &[u8]) -> Result<Model, CatboostError> {
    Model::of(&json::read(bytes)?)
}

#[cfg(test)]
mod tests;
