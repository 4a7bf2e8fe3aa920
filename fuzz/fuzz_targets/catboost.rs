//! Any text is a model of CatBoost that runs, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_engine::trees::import::catboost;

#[path = "../trees.rs"]
mod trees;

fuzz_target!(|bytes: &[u8]| trees::run(catboost::import(bytes)));
