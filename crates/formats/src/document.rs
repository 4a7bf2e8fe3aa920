//! A document of nested values, as JSON and UBJSON hold it.
//!
//! Owns the value type, packed lists of numbers, typed access with errors that name the key, and
//! the builder both readers use, which bounds depth and count. Must never recurse while building.
//! Called by [`crate::json`], [`crate::ubjson`] and the readers of tree models.

mod access;
mod build;

pub use access::FieldError;
pub(crate) use build::Builder;

/// Containers inside each other: a dump of a tree nests two per level, so trees of depth 500 fit;
/// the depth is bounded so that dropping a document cannot exhaust the stack.
pub const DEPTH_MAX: usize = 1_024;

/// Values other than numbers in lists, which are packed: each takes about 40 bytes of memory.
pub const VALUES_MAX: usize = 20_000_000;

/// Bytes of a document: numbers of a list take at most eight times their bytes in the file.
pub const BYTES_MAX: usize = 512 << 20;

/// One value. Lists of numbers are packed, so that a large model fits in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Another number; JSON's `NaN` and `Infinity`, which XGBoost writes, are read.
    Float(f64),
    /// Text.
    Text(String),
    /// Whole numbers alone, at least one.
    Ints(Vec<i64>),
    /// Numbers, at least one of which is no whole number.
    Floats(Vec<f64>),
    /// Values of any kind; an empty list is here.
    List(Vec<Value>),
    /// Named values in the order of the file, each name once.
    Object(Vec<(String, Value)>),
}

/// Why values do not make a document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum DocumentError {
    #[error("containers nest deeper than {limit} levels", limit = DEPTH_MAX)]
    Depth,
    #[error("the document holds more than {limit} values", limit = VALUES_MAX)]
    Values,
    #[error("the key `{key}` stands twice in one object")]
    Duplicate { key: String },
}
