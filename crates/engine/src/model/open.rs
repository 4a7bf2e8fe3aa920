//! A model from a file of any kind that is read here.
//!
//! Owns the choice of the reader by content, never by name. Must never guess what a file leaves
//! open: it is handed in as [`Hints`] or asked for. Called by the command line.

use std::collections::BTreeMap;

use proofmark_formats::sniff::{HEAD_BYTES, Kind, sniff};

use super::{LoadError, Model, digest};
use crate::trees::import::{catboost, lightgbm, xgboost};
use crate::trees::{self, Ensemble};

pub use crate::trees::import::xgboost::DumpOptions as Hints;

impl Model {
    /// Loads a model of ONNX, XGBoost (JSON, UBJSON or a dump of trees), LightGBM (text) or
    /// CatBoost (JSON); `externals` as in [`Model::from_onnx`]. `hints` say what a dump leaves
    /// open.
    ///
    /// A tree ensemble becomes a graph of one matrix `features` (and an input per column of
    /// texts) with the outputs `label` of classifiers, `probabilities`, `scores` or `value`, and
    /// `margin`.
    ///
    /// # Errors
    /// As [`Model::from_onnx`]; a damaged file; a fact that the file leaves open; a base margin,
    /// objective or number of classes for a file that says it itself.
    pub fn open(
        bytes: &[u8],
        hints: &Hints,
        externals: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Model, LoadError> {
        let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        let kind = sniff(head, bytes.len() as u64);
        let said = !hints.base_margin.is_empty() || hints.objective.is_some();
        if kind != Kind::XgboostDump && (said || hints.classes.is_some()) {
            return Err(LoadError::Hints);
        }
        let ensemble = match kind {
            Kind::Xgboost { .. } => xgboost::import(bytes)?,
            Kind::XgboostDump => xgboost::import_dump(bytes, hints)?,
            Kind::Lightgbm => lightgbm::import(bytes)?,
            Kind::Catboost => catboost::import(bytes)?,
            _ => return Self::from_onnx(bytes, externals),
        };
        Self::of_trees(ensemble, bytes)
    }

    fn of_trees(ensemble: Ensemble, bytes: &[u8]) -> Result<Model, LoadError> {
        let producer = ensemble.source.clone();
        Ok(Model {
            graph: trees::graph(ensemble)?,
            sha256: digest(bytes),
            externals: BTreeMap::new(),
            producer,
            ir_version: 0,
        })
    }
}
