//! What a run is handed: seed, threads, progress, cancel.
//!
//! Owns the only door to the outside that the lab has.

use std::sync::atomic::{AtomicBool, Ordering};

/// Receives progress; `proofmark` draws it.
pub trait Progress: Send + Sync {
    /// `done` of `total` units of `what` (e.g. rows decided).
    fn step(&self, what: &str, done: u64, total: u64);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Context of a run.
pub struct Ctx<'a> {
    /// Seed of every random stream.
    pub seed: u64,
    /// Progress.
    pub progress: &'a dyn Progress,
    /// Set to stop at the next safe point.
    pub cancel: &'a AtomicBool,
}

impl Ctx<'_> {
    /// Whether the user asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
