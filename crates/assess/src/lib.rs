//! Plan, judge, register, matrix and the papers of an assessment.
//!
//! Owns what is decided about measurements: which are planned, whether they were promised
//! beforehand, whether they reach the threshold, which cell of the matrix they cover, and how all
//! of it is logged and written down. Must never measure (a [`runner::Runner`] is handed in), print,
//! or read clock, environment or random state. Called by the command line and the server.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod assessment;
pub mod attack_page;
pub mod clock;
pub mod currency;
pub mod document;
pub mod dossier;
pub mod drill;
pub mod due;
pub mod duties;
pub mod events;
pub mod facts;
#[cfg(test)]
mod fixture;
pub mod gate;
pub mod guard_events;
pub mod history;
pub mod html;
pub mod incident;
pub mod judge;
pub mod matrix;
pub mod order;
pub mod papers;
pub mod plan;
pub mod predicate;
pub mod register;
pub mod registration;
pub mod risk;
pub mod runner;
pub mod signature;
pub mod standing;
pub mod svg;
pub mod treatment;
