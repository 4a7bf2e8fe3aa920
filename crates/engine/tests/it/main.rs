//! Whole models and operators against independent implementations.

mod boosted;
mod cases;
mod damaged;
mod docs;
mod engines;
mod extent;
mod forests;
mod forward;
mod gradient;
mod hostile;
mod nested;
mod pipeline;
mod quantised;
mod special;
mod trees;
mod zoo;

use proofmark_engine::engine::EngineKind;

/// What the zoo is run on here; the other test binary runs it on ONNX Runtime.
const ENGINES: [EngineKind; 3] =
    [EngineKind::Rten, EngineKind::Reference, EngineKind::ReferenceF64];

/// These engines are always there.
fn ready() -> bool {
    true
}
