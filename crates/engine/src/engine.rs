//! The engines behind one trait: what compiles a graph, and what runs it.
//!
//! Owns the choice of engine and the facts about it that a measurement records. Must never
//! change a graph. Called by the pipeline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::extent::{ExtentError, InputShapes, Skeleton};
use crate::graph::{Graph, OWN};
use crate::onnxruntime::{self, OrtProgram};
use crate::reference::{self, Precision, RunError};
use crate::rten_engine;
use crate::value::{Inputs, Value};
use crate::write::WriteError;

/// Which engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// ONNX Runtime where a library was loaded, else rten; the reference for what neither holds.
    #[default]
    Auto,
    /// rten, in `f32`.
    Rten,
    /// ONNX Runtime, once a library was loaded (see [`crate::onnxruntime::load`]).
    OnnxRuntime,
    /// The reference interpreter, in the types of the model.
    Reference,
    /// The reference interpreter, in `f64`.
    ReferenceF64,
}

/// What a measurement records of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFacts {
    /// `onnxruntime`, `rten`, `reference` or `reference-f64`.
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
    /// The engine is not here.
    #[error(
        "the engine `{0}` is not here: no library of it was found; `proofmark engine list` says \
         where it was looked for, `proofmark engine fetch` gets it"
    )]
    Missing(String),
    /// A library that cannot be loaded.
    #[error("`{path}` cannot be loaded as ONNX Runtime: {reason}")]
    Library {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
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

/// A compiled graph and the engine that holds it.
pub struct Compiled {
    /// The engine that computes; never [`EngineKind::Auto`].
    pub kind: EngineKind,
    /// Facts about it, with a note when it is not the one that was asked for.
    pub facts: EngineFacts,
    /// The program.
    pub program: Box<dyn Program>,
}

/// Compiles a graph for that very engine ([`EngineKind::Auto`]: for the first that holds it);
/// `threads` is the number of threads of one run. An engine of others gets it only when every
/// value is known to stay within the limits of the reference, see [`crate::extent`].
///
/// # Errors
/// [`EngineError::Missing`] or [`EngineError::Unsupported`] with the operator or type.
pub fn compile(
    graph: &Graph,
    kind: EngineKind,
    threads: usize,
) -> Result<Box<dyn Program>, EngineError> {
    let skeleton = Skeleton::of(graph);
    if !kind.single() {
        // What is known to grow too large is not begun; the rest is watched as it runs.
        return match skeleton.measure(&skeleton.smallest()) {
            Ok(()) | Err(ExtentError::Unknown { .. }) => compile_made(graph, kind, threads),
            Err(e) => {
                let engine = kind.facts().name;
                Err(EngineError::Failed { engine, reason: e.to_string() })
            }
        };
    }
    let declared = skeleton.declared();
    let refused = |e: ExtentError| {
        let engine = kind.facts().name;
        Err(EngineError::Unsupported { engine, reason: e.to_string() })
    };
    let shapes = declared.clone().unwrap_or_else(|| skeleton.smallest());
    match (skeleton.measure(&shapes), &declared) {
        (Ok(()), Some(_)) => compile_made(graph, kind, threads),
        // What inputs of open shape lead to is seen when they come.
        (Ok(()) | Err(ExtentError::Unknown { .. }), None) => {
            let inner = compile_made(graph, kind, threads)?;
            Ok(Box::new(Watched { inner, skeleton, seen: Mutex::default(), kind }))
        }
        // Nothing in it is known to grow; what the engine lacks is the better reason.
        (Err(e @ ExtentError::Unknown { .. }), _) => {
            compile_made(graph, kind, threads).and_then(|_| refused(e))
        }
        (Err(e), _) => refused(e),
    }
}

/// A panic inside an engine, on a graph that it did not foresee, becomes words, as an error does.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("it panicked").to_string())
    })
}

/// As [`compile`], for a graph that was made from one that is known to stay within the limits:
/// the gradient of a measured graph holds what that graph holds, a few times.
///
/// # Errors
/// As [`compile`].
pub(crate) fn compile_made(
    graph: &Graph,
    kind: EngineKind,
    threads: usize,
) -> Result<Box<dyn Program>, EngineError> {
    if kind.single() {
        let own = graph.nodes.iter().find(|n| n.domain == OWN);
        own.map_or(Ok(()), |node| {
            let reason = format!("the ensemble `{}` of a file of its own", node.name);
            Err(EngineError::Unsupported { engine: kind.facts().name, reason })
        })?;
    }
    Ok(match kind {
        EngineKind::Auto => compile_first(graph, kind, threads)?.program,
        EngineKind::Rten => Box::new(rten_engine::RtenProgram::compile(graph, threads)?),
        EngineKind::OnnxRuntime => Box::new(OrtProgram::compile(graph, threads)?),
        EngineKind::Reference => Box::new(reference::prepare(graph, Precision::F32)?),
        EngineKind::ReferenceF64 => Box::new(reference::prepare(graph, Precision::F64)?),
    })
}

/// A program whose inputs leave shapes open: those that come are measured once.
struct Watched {
    inner: Box<dyn Program>,
    skeleton: Skeleton,
    seen: Mutex<Vec<InputShapes>>,
    kind: EngineKind,
}

impl Watched {
    fn check(&self, inputs: &Inputs) -> Result<(), EngineError> {
        let shapes = self.skeleton.given(inputs);
        let seen = |list: &Vec<InputShapes>| list.contains(&shapes);
        if seen(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        self.skeleton.measure(&shapes).map_err(|e| {
            let next = match &e {
                ExtentError::Unknown { .. } => "; the engine `reference` watches sizes as it runs",
                _ => "",
            };
            let engine = self.kind.facts().name;
            EngineError::Failed { engine, reason: format!("{e}{next}") }
        })?;
        let mut list = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        list.truncate(SHAPES_KEPT - 1);
        list.insert(0, shapes);
        Ok(())
    }
}

impl Program for Watched {
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError> {
        self.check(inputs)?;
        self.inner.run(inputs, outputs)
    }
}

/// Shapes of inputs that are remembered as measured: a guard sees a few widths of batches.
const SHAPES_KEPT: usize = 16;

/// Compiles a graph for the first engine in [`EngineKind::order`] that can hold it. An engine
/// that was passed over is named in the note, with its reason.
///
/// # Errors
/// As [`compile`], of the last engine.
pub fn compile_first(
    graph: &Graph,
    wanted: EngineKind,
    threads: usize,
) -> Result<Compiled, EngineError> {
    first(wanted, |kind| compile(graph, kind, threads))
}

/// The first engine for which `compile` works; [`compile_first`] for who changes the graph from
/// engine to engine.
pub(crate) fn first(
    wanted: EngineKind,
    mut compile: impl FnMut(EngineKind) -> Result<Box<dyn Program>, EngineError>,
) -> Result<Compiled, EngineError> {
    let mut notes = Vec::new();
    let (last, others) = wanted.order();
    for kind in others {
        match compile(kind) {
            Err(EngineError::Unsupported { engine, reason }) => {
                notes.push(format!("{engine} cannot run this part of the model: {reason}"));
            }
            program => return Ok(Compiled { kind, facts: kind.noted(&notes), program: program? }),
        }
    }
    let program = compile(last)?;
    Ok(Compiled { kind: last, facts: last.noted(&notes), program })
}

impl Program for reference::Program {
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError> {
        Ok(Self::run(self, inputs, outputs)?)
    }
}

impl EngineKind {
    /// Facts about the engine of this kind on this machine; [`EngineKind::Auto`] is the engine
    /// it tries first.
    pub fn facts(self) -> EngineFacts {
        let (name, version) = match self {
            Self::Auto => return self.order().1.first().map_or(Self::Rten, |&k| k).facts(),
            Self::Rten => ("rten", rten_engine::VERSION),
            Self::OnnxRuntime => {
                (onnxruntime::NAME, onnxruntime::loaded().map_or("none", |l| &l.version))
            }
            Self::Reference => ("reference", env!("CARGO_PKG_VERSION")),
            Self::ReferenceF64 => ("reference-f64", env!("CARGO_PKG_VERSION")),
        };
        let (name, version) = (name.to_string(), version.to_string());
        EngineFacts { name, version, cpu: cpu_features(), note: None }
    }

    /// The engine that comes last, and those tried before it, in order. The reference holds
    /// everything, so it is last for whoever can be passed over.
    pub fn order(self) -> (EngineKind, Vec<EngineKind>) {
        match self {
            Self::Auto if onnxruntime::loaded().is_some() => {
                (Self::Reference, vec![Self::OnnxRuntime, Self::Rten])
            }
            Self::Auto | Self::Rten => (Self::Reference, vec![Self::Rten]),
            Self::OnnxRuntime => (Self::Reference, vec![Self::OnnxRuntime]),
            Self::Reference | Self::ReferenceF64 => (self, Vec::new()),
        }
    }

    /// Whether the engine computes in `f32` only, so that a graph is narrowed for it.
    pub(crate) fn single(self) -> bool {
        matches!(self, Self::Rten | Self::OnnxRuntime)
    }

    fn noted(self, notes: &[String]) -> EngineFacts {
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        EngineFacts { note, ..self.facts() }
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
        assert!(error.to_string().contains("`onnxruntime` is not here"), "{error}");
        assert!(compile(&Graph::default(), EngineKind::Auto, 1).is_ok());
        assert_eq!(EngineKind::Auto.facts().name, "rten");
    }

    #[test]
    fn features_are_sorted_behind_the_architecture() {
        let text = cpu_features();
        let mut parts = text.split(' ');
        assert_eq!(parts.next(), Some(std::env::consts::ARCH));
        assert!(parts.is_sorted());
    }
}
