//! Bounded readers of foreign bytes, one module per format.
//!
//! Owns facts with byte offsets: what the bytes say, never whether that is good. Must never
//! panic, execute anything found in a file, open files, or allocate by a length that the input
//! merely claims. Called by `engine`, `dataset`, and the command line.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod catboost;
pub mod document;
pub mod gzip;
mod half;
pub mod idx;
pub mod json;
pub mod libsvm;
pub mod lightgbm;
pub mod npy;
pub mod npz;
pub mod onnx;
pub mod protobuf;
pub mod sniff;
pub mod ubjson;
pub mod vnnlib;
pub mod xgboost;
pub mod zip;
