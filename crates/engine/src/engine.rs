//! The engines behind one trait: what compiles a graph, and what runs it.
//!
//! Owns the choice of engine and the facts about it that a measurement records. Must never
//! change a graph. Called by the pipeline.

use crate::graph::Graph;
use crate::reference::{self, Precision, RunError};
use crate::rten_engine;
use crate::value::{Inputs, Value};
use crate::write::WriteError;

/// Which engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// The preferred engine of this build: rten.
    #[default]
    Auto,
    /// rten, in `f32`.
    Rten,
    /// ONNX Runtime; not in this build.
    OnnxRuntime,
    /// The reference interpreter, in the types of the model.
    Reference,
    /// The reference interpreter, in `f64`.
    ReferenceF64,
}

/// What a measurement records of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFacts {
    /// `rten`, `reference` or `reference-f64`.
    pub name: String,
    /// Version.
    pub version: String,
    /// Processor features that may change bits, sorted, separated by blanks.
    pub cpu: String,
    /// Why another engine than the asked one computes, if so.
    pub note: Option<String>,
}

/// Why an engine cannot compile or run a graph.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine is not part of this build.
    #[error("the engine `{0}` is not in this build; use `rten` or `reference`")]
    Missing(String),
    /// The engine cannot hold the graph.
    #[error("the engine `{engine}` cannot run this model: {reason}")]
    Unsupported {
        /// Engine.
        engine: String,
        /// What it lacks.
        reason: String,
    },
    /// A run failed.
    #[error("the engine `{engine}` failed: {reason}")]
    Failed {
        /// Engine.
        engine: String,
        /// Its words.
        reason: String,
    },
    /// The reference failed.
    #[error(transparent)]
    Reference(#[from] RunError),
    /// The graph cannot be written for the engine.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A request that makes no sense for this model.
    #[error("{0}")]
    Request(String),
}

/// A compiled graph. Runs from any thread; the same inputs give the same bits.
pub trait Program: Send + Sync {
    /// Computes the named outputs.
    ///
    /// # Errors
    /// A missing or misshapen input, or a failing operator.
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError>;
}

/// Compiles a graph; `threads` is the number of threads of one run.
///
/// # Errors
/// [`EngineError::Missing`] or [`EngineError::Unsupported`] with the operator or type.
pub fn compile(
    graph: &Graph,
    kind: EngineKind,
    threads: usize,
) -> Result<Box<dyn Program>, EngineError> {
    Ok(match kind {
        EngineKind::Auto | EngineKind::Rten => {
            Box::new(rten_engine::RtenProgram::compile(graph, threads)?)
        }
        EngineKind::OnnxRuntime => return Err(EngineError::Missing("onnxruntime".into())),
        EngineKind::Reference => Box::new(reference::prepare(graph, Precision::F32)?),
        EngineKind::ReferenceF64 => Box::new(reference::prepare(graph, Precision::F64)?),
    })
}

impl Program for reference::Program {
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError> {
        Ok(Self::run(self, inputs, outputs)?)
    }
}

impl EngineKind {
    /// Facts about the engine of this kind on this machine.
    pub fn facts(self) -> EngineFacts {
        let (name, version) = match self {
            Self::Auto | Self::Rten => ("rten", rten_engine::VERSION),
            Self::OnnxRuntime => ("onnxruntime", "none"),
            Self::Reference => ("reference", env!("CARGO_PKG_VERSION")),
            Self::ReferenceF64 => ("reference-f64", env!("CARGO_PKG_VERSION")),
        };
        let (name, version) = (name.to_string(), version.to_string());
        EngineFacts { name, version, cpu: cpu_features(), note: None }
    }
}

/// Architecture and the vector features that numeric kernels choose by.
pub fn cpu_features() -> String {
    let mut features = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! probe {
            ($($name:tt),*) => {
                $(if std::arch::is_x86_feature_detected!($name) { features.push($name); })*
            };
        }
        probe!(
            "avx",
            "avx2",
            "avx512bf16",
            "avx512bw",
            "avx512cd",
            "avx512dq",
            "avx512f",
            "avx512vl",
            "avx512vnni",
            "avxvnni",
            "f16c",
            "fma",
            "sse4.1",
            "sse4.2"
        );
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! probe {
            ($($name:tt),*) => {
                $(if std::arch::is_aarch64_feature_detected!($name) { features.push($name); })*
            };
        }
        probe!("bf16", "dotprod", "fp16", "i8mm", "neon", "sve");
    }
    features.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_engine_is_named() {
        let error = compile(&Graph::default(), EngineKind::OnnxRuntime, 1).err().unwrap();
        assert!(error.to_string().contains("`onnxruntime` is not in this build"), "{error}");
    }

    #[test]
    fn features_are_sorted_behind_the_architecture() {
        let text = cpu_features();
        let mut parts = text.split(' ');
        assert_eq!(parts.next(), Some(std::env::consts::ARCH));
        assert!(parts.is_sorted());
    }
}
