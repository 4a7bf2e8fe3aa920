//! Runs and differentiates models: graph IR, reference interpreter, rten, ONNX Runtime,
//! reverse-mode differentiation graph to graph, tree ensembles.
//!
//! Owns everything that computes a model's answer. Must never judge an answer, know a threat,
//! or read a file by itself (bytes, and external data through a resolver, are handed in).

pub mod autodiff;
pub mod compose;
pub(crate) mod composite;
pub mod engine;
pub mod extent;
pub mod graph;
pub mod loss;
pub mod lower;
pub mod model;
pub mod onnxruntime;
pub mod pipeline;
pub mod reference;
pub mod rten_engine;
pub mod split;
pub mod trees;
pub mod value;
pub mod write;
