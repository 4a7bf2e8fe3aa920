//! The guard: stands in front of a model, checks, scores, records, and falls back safely.
//!
//! Owns everything async in this workspace. Must never release an answer before its record is
//! durable, pass an unknown path upstream, call attack code, or print. Called by the command line.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod breaker;
pub mod local;
pub mod policy;
pub mod recorder;
pub mod scorer;
pub mod state;
