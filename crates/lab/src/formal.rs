//! Formal methods: what is proved of a model rather than tried on it.
//!
//! Owns bounds and certificates. Must never call a figure proved that rests on attacks alone,
//! and says of each proof what it is a proof of: which arithmetic, which model, which inputs.
//! Called by `attack` and by `assess`'s runner.

pub mod networks;
pub mod proposals;
pub mod reading;
pub mod smoothing;
pub mod trees;
