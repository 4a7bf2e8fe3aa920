//! The evidence of Proofmark: what was measured, when it was promised, and how anyone can check it.
//!
//! Owns durable writes, keys, signed statements, the append-only log and its proofs, the artefact
//! store, keyed row digests, anchors and the integrity layer of the pack. Must never measure,
//! judge, print, or read a clock: times come from the caller as RFC 3339 text in UTC. Randomness
//! is drawn in one place only, [`keys::random_bytes`]. Called by `assess`, the server and the
//! command line.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod anchor;
pub mod canonical;
pub mod digest;
pub mod dsse;
pub mod durable;
pub mod entry;
pub mod journal;
pub mod keys;
pub mod log;
pub mod note;
pub mod pack;
pub mod rowkey;
pub mod statement;
pub mod store;
pub mod time;
pub mod tree;

/// The shell verifier shipped in every pack: sh, openssl, jq and xxd are all it needs.
pub const VERIFY_SH: &str = include_str!("../assets/verify.sh");
