//! ONNX Runtime as an engine: a shared library that is loaded at run time.
//!
//! Owns the one library of the process, the sessions made in it and the hand-over of tensors.
//! Must never search for a library (a path is handed in) and never print: the log of the runtime
//! is thrown away, its failures come back as errors. What it cannot turn into an error is a
//! crash inside the library itself. Called through [`crate::engine`] and, for loading, by the
//! command line.
//!
//! The cut is that of rten: text and `ai.onnx.ml` parts stay on the reference, since the
//! runtime sums tree ensembles and breaks ties by rules of its own, which move bits at
//! thresholds, and since one cut means that all engines are asked the same question.

mod library;
mod value;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};

use crate::engine::{EngineError, Program, guarded};
use crate::graph::{Graph, ML};
use crate::value::{DType, Inputs, Value};
use crate::write::to_onnx;

/// The oldest minor version of ONNX Runtime 1.x that is used: it has every call made here.
pub const MINOR_MIN: u32 = 17;

/// Name in facts, flags and messages.
pub const NAME: &str = "onnxruntime";

/// The loaded library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Version, e.g. `1.31.0`, as the library says it of itself.
    pub version: String,
    /// Where it was loaded from, symbolic links resolved.
    pub path: PathBuf,
    /// What it says of its build (commit, build type).
    pub build: String,
}

/// Loads the library at an absolute path, once per process; the same path again changes nothing.
///
/// Loading runs code of the library: the path must come from somebody who may decide that.
///
/// # Errors
/// No shared library, a truncated one, none of ONNX Runtime, one older than 1.17; or another
/// library than the one that this process holds already.
pub fn load(path: &Path) -> Result<Facts, EngineError> {
    let _one = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = path.canonicalize().map_err(|e| unloadable(path, &e.to_string()))?;
    if let Some(runtime) = RUNTIME.get().filter(|r| r.facts.path == path) {
        return Ok(runtime.facts.clone());
    }
    // What the file is comes first, so that the reason does not depend on what was loaded before.
    let version = library::inspect(&path).map_err(|words| unloadable(&path, &words))?;
    if let Some(runtime) = RUNTIME.get() {
        let held = runtime.facts.path.display();
        return Err(unloadable(&path, &format!("this process holds `{held}` already")));
    }
    if SPENT.get().is_some() {
        return Err(unloadable(&path, "an earlier library failed half-way in this process"));
    }
    let builder = guarded(|| ort::init_from(&path).map_err(|e| e.to_string()))
        .map_err(|words| unloadable(&path, &words))?;
    let made = guarded(|| {
        let quiet = Arc::new(|_: LogLevel, _: &str, _: &str, _: &str, _: &str| {});
        let builder = builder.with_name("proofmark").with_telemetry(false).with_logger(quiet);
        let environment = builder.build().map_err(|e| e.to_string())?;
        environment.set_log_level(LogLevel::Fatal);
        Ok((environment, ort::info().to_string()))
    });
    let (environment, build) = made.map_err(|words| {
        // The library stays in the process, so another one cannot take its place.
        let _ = SPENT.set(());
        unloadable(&path, &words)
    })?;
    let build = build.strip_prefix("ORT Build Info: ").unwrap_or(&build).to_string();
    let facts = Facts { version, path, build };
    Ok(RUNTIME.get_or_init(|| Runtime { environment, facts }).facts.clone())
}

/// The loaded library, if one was loaded.
pub fn loaded() -> Option<&'static Facts> {
    RUNTIME.get().map(|runtime| &runtime.facts)
}

/// Looks at a file without loading it: the version of the ONNX Runtime inside.
///
/// # Errors
/// As [`load`], in words.
pub fn inspect(path: &Path) -> Result<String, String> {
    library::inspect(path)
}

/// A graph loaded into ONNX Runtime. Sessions are made as runs overlap: the runtime does not
/// promise that one session may be asked by two threads.
pub struct OrtProgram {
    bytes: Vec<u8>,
    outputs: Vec<(String, Option<DType>)>,
    inputs: Vec<String>,
    threads: usize,
    idle: Mutex<Vec<Session>>,
}

impl OrtProgram {
    /// Loads a graph; each run uses `threads` threads.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when no library was loaded, [`EngineError::Unsupported`] for what
    /// the runtime lacks and for what is left to the reference.
    pub fn compile(graph: &Graph, threads: usize) -> Result<Self, EngineError> {
        if RUNTIME.get().is_none() {
            return Err(EngineError::Missing(NAME.into()));
        }
        refuse(graph)?;
        let program = Self {
            bytes: to_onnx(graph)?,
            outputs: graph.outputs.iter().map(|o| (o.name.clone(), o.dtype)).collect(),
            inputs: graph.inputs.iter().map(|i| i.name.clone()).collect(),
            threads: threads.max(1),
            idle: Mutex::new(Vec::new()),
        };
        let session = program.session().map_err(unsupported)?;
        program.put_back(session);
        Ok(program)
    }

    fn session(&self) -> Result<Session, String> {
        let runtime = RUNTIME.get().ok_or("no library is loaded")?;
        guarded(|| {
            let session = options(&runtime.environment, self.threads);
            let session = session.and_then(|mut b| b.commit_from_memory(&self.bytes));
            session.map_err(|e| one_line(e.message()))
        })
    }

    fn take(&self) -> Result<Session, EngineError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.session().map_err(failed), Ok)
    }

    fn put_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn ask(
        &self,
        session: &mut Session,
        given: Vec<(&str, SessionInputValue<'_>)>,
        wanted: &[&str],
    ) -> Result<Vec<Value>, String> {
        let words = |e: ort::Error| one_line(e.message());
        let all = self.outputs.len() == wanted.len()
            && self.outputs.iter().zip(wanted).all(|((name, _), &w)| name == w);
        if all {
            return gather(&session.run(given).map_err(words)?, wanted);
        }
        let select = wanted.iter().fold(OutputSelector::no_default(), |s, &name| s.with(name));
        let options = RunOptions::new().map_err(words)?.with_outputs(select);
        let answer = session.run_with_options(given, &options).map_err(words)?;
        gather(&answer, wanted)
    }
}

impl Program for OrtProgram {
    fn run(&self, inputs: &Inputs, outputs: &[&str]) -> Result<Vec<Value>, EngineError> {
        for &name in outputs {
            if !self.outputs.iter().any(|(known, _)| known == name) {
                return Err(failed(format!("the graph has no output `{name}`")));
            }
        }
        let mut given = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs {
            let value =
                inputs.get(name).ok_or_else(|| failed(format!("the input `{name}` is missing")))?;
            let handed = guarded(|| value::give(value));
            given.push((name.as_str(), handed.map_err(|e| failed(format!("`{name}`: {e}")))?));
        }
        let mut session = self.take()?;
        let values = guarded(|| self.ask(&mut session, given, outputs));
        // A session that failed may be in any state; the next run makes a new one.
        let values = values.map_err(failed)?;
        self.put_back(session);
        Ok(values)
    }
}

struct Runtime {
    environment: Environment,
    facts: Facts,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static SPENT: OnceLock<()> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// One operator at a time, bits that repeat, every optimisation, nothing on stderr.
fn options(environment: &Environment, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_deterministic_compute(true)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_log_level(LogLevel::Fatal)?;
    Ok(builder)
}

/// What is left to the reference, and what is no tensor.
fn refuse(graph: &Graph) -> Result<(), EngineError> {
    for info in graph.inputs.iter().chain(&graph.outputs) {
        if matches!(info.dtype, Some(DType::Str) | None) {
            let what = info.dtype.map_or("maps".to_string(), |d| d.to_string());
            return Err(unsupported(format!("`{}` is of type {what}", info.name)));
        }
    }
    if let Some(node) = graph.nodes.iter().find(|n| n.domain == ML) {
        return Err(unsupported(format!(
            "operator `{}` of domain `{ML}` (`{}`) is left to the reference",
            node.op,
            node.outputs.first().map_or("", String::as_str)
        )));
    }
    Ok(())
}

fn gather(answer: &SessionOutputs<'_>, wanted: &[&str]) -> Result<Vec<Value>, String> {
    let missing = |name: &str| format!("it gave no output `{name}`");
    wanted.iter().map(|&name| value::take(answer.get(name).ok_or_else(|| missing(name))?)).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unloadable(path: &Path, reason: &str) -> EngineError {
    EngineError::Library { path: path.display().to_string(), reason: one_line(reason) }
}

fn unsupported(reason: String) -> EngineError {
    EngineError::Unsupported { engine: NAME.into(), reason }
}

fn failed(reason: String) -> EngineError {
    EngineError::Failed { engine: NAME.into(), reason }
}
