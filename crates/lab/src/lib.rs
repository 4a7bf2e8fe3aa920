//! Harness, attacks, statistics and validity.
//!
//! Owns how a model is attacked and how what comes back is judged. An attack proposes, the
//! harness disposes. Must never write files, print, or read clock, environment or global
//! random state: a [`ctx::Ctx`] is handed in.

pub mod accuracy;
pub mod changes;
pub mod constraint;
pub mod criterion;
pub mod ctx;
pub mod decision;
pub mod endpoint;
pub mod evasion;
pub mod facts;
pub mod faults;
pub mod formal;
pub mod harness;
pub mod oracle;
pub mod regression;
pub mod space;
pub mod stats;
pub mod stream;
pub mod surrogate;
pub mod target;
pub mod tolerance;
#[cfg(test)]
mod toys;
pub mod treatment;
pub mod validity;
