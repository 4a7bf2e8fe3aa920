//! The guard: stands in front of a model, checks, scores, records, and falls back safely.
//!
//! Owns everything async in this workspace. Must never release an answer before its record is
//! durable, pass an unknown path upstream, call attack code, or print. Called by the command line.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod admin;
pub mod answer;
pub mod breaker;
pub mod gate;
pub mod guard;
pub mod intake;
pub mod keys;
pub mod known;
pub mod limit;
pub mod listener;
pub mod local;
pub mod metrics;
pub mod oip;
pub mod policy;
pub mod recorder;
pub mod router;
pub mod scorer;
pub mod state;
pub mod tls;
pub mod upstream;
