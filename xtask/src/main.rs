//! Development tasks. Tidy checks are ordinary tests (`xtask/tests/tidy.rs`).
//!
//! Owns nothing that ships.

fn main() {}
