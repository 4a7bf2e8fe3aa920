//! Any text is a dump of trees that runs, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_engine::trees::import::xgboost::{self, DumpOptions};

#[path = "../trees.rs"]
mod trees;

fuzz_target!(|bytes: &[u8]| {
    let names = ["age", "f1"].map(str::to_owned).to_vec();
    trees::run(xgboost::import_dump(bytes, &DumpOptions::default()));
    trees::run(xgboost::import_dump(bytes, &DumpOptions { names, ..DumpOptions::default() }));
});
