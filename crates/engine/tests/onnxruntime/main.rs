//! Everything on ONNX Runtime. A binary of its own, since a process holds one library for ever
//! and `auto` prefers it from then on. Skipped aloud without a library: `PROOFMARK_ONNXRUNTIME`
//! names its file. With `PROOFMARK_REQUIRE_TOOLS` it must be there.

/// What the other binary runs on the embedded engines.
#[path = "../it"]
mod it {
    pub mod cases;
    pub mod forward;
    mod special;
    mod zoo;
}
mod library;
mod programs;
mod vnn;

use std::path::PathBuf;

use proofmark_engine::engine::EngineKind;
use proofmark_engine::onnxruntime;

use it::{cases, forward};

/// What the zoo is run on here.
const ENGINES: [EngineKind; 1] = [EngineKind::OnnxRuntime];

/// Loads the library, or says aloud that there is none.
#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
fn ready() -> bool {
    let Some(path) = std::env::var_os("PROOFMARK_ONNXRUNTIME").map(PathBuf::from) else {
        assert!(
            std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_none(),
            "PROOFMARK_ONNXRUNTIME names no library"
        );
        eprintln!("skipped: PROOFMARK_ONNXRUNTIME names no library of ONNX Runtime");
        return false;
    };
    onnxruntime::load(&path).unwrap();
    true
}
