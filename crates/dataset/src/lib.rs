//! Tables and images: read, type, digest, group and bind to model inputs.
//!
//! Owns the way from the bytes of a data file to named model inputs. Must never open a file,
//! clip or repair a value, or know an engine: bytes and plain facts are handed in. Called by
//! `proofmark`, which turns [`bind::BoundData`] into engine values.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod bind;
pub mod columnar;
pub mod csv;
pub mod digest;
pub mod folder;
pub mod found;
pub mod groups;
pub mod images;
pub mod rows;
pub mod series;
pub mod stats;
pub mod table;
