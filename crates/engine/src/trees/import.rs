//! Importers: what a file says, as an [`Ensemble`](super::Ensemble).
//!
//! Owns the error they share. An importer reads what the library that wrote the file would do
//! and refuses what it cannot promise. Called by the loader of models.

pub mod catboost;
pub mod lightgbm;
pub mod onnx;
mod plant;
pub mod xgboost;

/// Why a file's ensemble is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file is not what it says it is.
    #[error("the {format} file cannot be read: {reason}")]
    Malformed {
        /// Format.
        format: &'static str,
        /// Reason, with the place in the file.
        reason: String,
    },
    /// The file is sound, but says what is not run here.
    #[error("the {format} file holds {what}, which is not run here; {next}")]
    Unsupported {
        /// Format.
        format: &'static str,
        /// What it holds.
        what: String,
        /// What to do next.
        next: String,
    },
    /// A declared fact is none that the format knows.
    #[error(
        "`{value}` is no `{key}` of a {format} known here: declare one of {known}; \
         or leave `{key}` out, and answers are margins"
    )]
    Unknown {
        /// Format.
        format: &'static str,
        /// Key of the declaration, and name of the flag.
        key: &'static str,
        /// What was declared.
        value: String,
        /// What can be.
        known: String,
    },
    /// A fact that the file leaves open must be declared.
    #[error("the {format} file does not say {what}; declare `{key}`")]
    Undeclared {
        /// Format.
        format: &'static str,
        /// What is missing.
        what: String,
        /// Key of the declaration, and name of the flag.
        key: &'static str,
    },
}
