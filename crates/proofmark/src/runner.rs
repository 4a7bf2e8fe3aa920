//! stub
use proofmark_assess::runner::*; use proofmark_schema::plan::*; use proofmark_schema::measurement::*; use proofmark_schema::system::Bound;
pub struct Settings { pub engine: proofmark_engine::engine::EngineKind, pub threads: usize }
pub fn cores() -> usize { 2 }
pub fn suite_edition(_: &str) -> Option<u32> { Some(1) }
pub struct LabRunner;
impl LabRunner { pub fn new(_: &crate::project::Project, _: Settings, _: &crate::progress::Bars, _: &std::sync::atomic::AtomicBool) -> Self { Self } }
impl Runner for LabRunner {
 fn run(&mut self, _: &Probe, _: &Plan) -> Result<ProbeOutcome, RunnerError> { Ok(ProbeOutcome::default()) }
 fn bounds(&self, _: &Quantity, _: f64) -> Option<(f64, f64)> { None }
 fn rows_to_decide(&self, _: &Quantity, _: Bound, _: f64) -> Option<u64> { None }
}
