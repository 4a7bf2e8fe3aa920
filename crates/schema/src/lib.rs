//! Plain, versioned data: what is declared, planned, measured and logged.
//!
//! Owns the wire types and the parser of the declaration. Must never compute a figure, read a
//! file, a clock or the environment: it parses and validates. Called by every other crate.

pub mod attack;
pub mod clock;
pub mod duties;
pub mod faults;
pub mod guard;
pub mod incident;
pub mod input_schema;
pub mod measurement;
pub mod paper;
pub mod plan;
pub mod relation;
pub mod risk;
pub mod smoothing;
pub mod system;
pub mod taxonomy;
