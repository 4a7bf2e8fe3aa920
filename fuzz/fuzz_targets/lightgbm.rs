//! Any text is a model of LightGBM that runs, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_engine::trees::import::lightgbm;

#[path = "../trees.rs"]
mod trees;

fuzz_target!(|bytes: &[u8]| trees::run(lightgbm::import(bytes)));
