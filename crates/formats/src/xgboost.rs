//! Models of XGBoost: its own JSON and UBJSON files, and dumps of trees.
//!
//! Owns what the files say, with every array checked against the tree it belongs to. Must never
//! judge what an objective means: the engine does. Called by the engine's importer.

mod dump;
mod model;
mod tree;

pub use dump::{Dump, DumpCondition, DumpNode, DumpSplit, dump};
pub use model::{Booster, Model, StoredCategories};
pub use tree::Tree;

use crate::document::{FieldError, Value};
use crate::json::{self, JsonError};
use crate::ubjson::{self, UbjsonError};

/// Features of a model; more makes arrays by feature larger than any model is.
pub const FEATURES_MAX: usize = 10_000_000;

/// Targets or classes of a model.
pub const OUTPUTS_MAX: usize = 100_000;

/// Why a file is no model of XGBoost.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum XgboostError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Ubjson(#[from] UbjsonError),
    #[error("{0}")]
    Field(#[from] FieldError),
    #[error("tree {tree}: {source}")]
    Tree { tree: usize, source: FieldError },
    #[error("tree {tree} of the dump, node {node}: {problem}")]
    DumpNode { tree: usize, node: i64, problem: String },
    #[error("a dump is a list of trees; this is {found}")]
    NotADump { found: &'static str },
    #[error("the model says {said} trees and holds {found}")]
    TreeCount { said: usize, found: usize },
}

/// Reads a model, JSON or UBJSON by content.
///
/// # Errors
/// Documents that are none, or no model, and trees whose arrays do not fit each other.
pub fn read(bytes: &[u8]) -> Result<Model, XgboostError> {
    Model::of(&document(bytes)?)
}

/// The document that a file holds, JSON or UBJSON by content.
///
/// # Errors
/// Bytes that are neither.
pub fn document(bytes: &[u8]) -> Result<Value, XgboostError> {
    if is_ubjson(bytes) { Ok(ubjson::read(bytes)?) } else { Ok(json::read(bytes)?) }
}

/// Whether a file that begins like an object is UBJSON: a length, a count or a type stands where
/// JSON has a quote or a blank.
pub fn is_ubjson(bytes: &[u8]) -> bool {
    matches!(bytes, [b'{', b'i' | b'U' | b'I' | b'l' | b'L' | b'$' | b'#' | b'N', ..])
}

#[cfg(test)]
mod tests;
