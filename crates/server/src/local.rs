//! The model in this process, on worker threads of its own.
//!
//! Owns the threads, their bounded queue, and the road from rows to scores. Must never let a
//! panic of the engine out, answer after the deadline, or serve a file whose digest is not the
//! expected one. Called by the data plane through [`Scorer`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use proofmark_dataset::bind::{self, Binding, BoundData, InputType, ModelInput, TableOptions};
use proofmark_dataset::images::Images;
use proofmark_engine::engine::{EngineError, EngineKind};
use proofmark_engine::graph::{Dim, Graph};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, PipelineOptions, Serving};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};
use proofmark_schema::system::{Feature, FeatureKind, ModelAsset, OutputKind};
use tokio::sync::oneshot;

use crate::scorer::{Question, RowData, Rows, ScoreError, Scorer, Scores, Scoring};

/// What is needed to serve a model.
#[derive(Clone, Debug)]
pub struct LocalModel<'a> {
    /// The loaded file.
    pub model: &'a Model,
    /// Digest that it must have, as assessed; `None` takes any.
    pub expected: Option<&'a str>,
    /// Its declaration.
    pub asset: &'a ModelAsset,
    /// Declared features.
    pub features: &'a [Feature],
    /// Classes of the data: name, value in the file.
    pub classes: &'a [(String, String)],
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Questions that may wait; one more is refused as busy.
    pub queue: usize,
}

/// A model served in this process.
pub struct LocalScorer {
    name: String,
    sha256: String,
    queue: SyncSender<Job>,
}

struct Job {
    rows: Rows,
    deadline: Instant,
    reply: oneshot::Sender<Result<Scores, ScoreError>>,
}

struct Worker {
    serving: Serving,
    asset: ModelAsset,
    features: Vec<Feature>,
    inputs: Vec<ModelInput>,
    columns: Vec<usize>,
}

impl LocalScorer {
    /// Checks the digest, compiles the model and starts the threads.
    ///
    /// # Errors
    /// [`LocalError`] if the digest is another, the output's classes are not the data's, or no
    /// engine can run the model.
    pub fn open(local: &LocalModel<'_>) -> Result<Self, LocalError> {
        let sha256 = local.model.digest();
        if let Some(expected) = local.expected.filter(|expected| **expected != sha256) {
            return Err(LocalError::Digest {
                model: local.asset.name.clone(),
                found: sha256,
                expected: expected.to_owned(),
            });
        }
        let columns = columns(local)?;
        let worker = Arc::new(Worker {
            serving: Serving::open(local.model, &options(local, &columns))?,
            asset: local.asset.clone(),
            features: local.features.to_vec(),
            inputs: model_inputs(local.model.graph()),
            columns,
        });
        let (queue, jobs) = sync_channel(local.queue.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..local.threads.max(1) {
            let (worker, jobs) = (worker.clone(), jobs.clone());
            std::thread::Builder::new()
                .name(format!("model-{number}"))
                .spawn(move || work(&worker, &jobs))
                .map_err(|e| LocalError::Thread(e.to_string()))?;
        }
        Ok(Self { name: local.asset.name.clone(), sha256, queue })
    }

    /// Scores rows on this thread's time, for known answers and tests.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub fn score_blocking(&self, question: &Question) -> Result<Scores, ScoreError> {
        let answer = self.ask(question)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }

    fn ask(
        &self,
        question: &Question,
    ) -> Result<oneshot::Receiver<Result<Scores, ScoreError>>, ScoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { rows: question.rows.clone(), deadline: question.deadline, reply };
        match self.queue.try_send(job) {
            Ok(()) => Ok(answer),
            // A full queue cannot be emptied in time: as good as a missed deadline.
            Err(TrySendError::Full(_)) => Err(ScoreError::Deadline),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
        }
    }
}

impl Scorer for LocalScorer {
    fn score<'a>(&'a self, question: &'a Question) -> Scoring<'a> {
        Box::pin(async move {
            let answer = self.ask(question)?;
            match tokio::time::timeout_at(question.deadline.into(), answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(gone()),
                Err(_) => Err(ScoreError::Deadline),
            }
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn sha256(&self) -> Option<&str> {
        Some(&self.sha256)
    }
}

impl fmt::Debug for LocalScorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScorer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Another file than the assessed one.
    #[error(
        "models.{model} has the digest {found}, assessed was {expected}; bring the assessed file \
         back, or run `proofmark assess` again"
    )]
    Digest {
        /// Model.
        model: String,
        /// Digest of the file.
        found: String,
        /// Digest of the assessment.
        expected: String,
    },
    /// Classes of the output that the data do not have.
    #[error("models.{model}: the output's classes are not those of the data")]
    Classes {
        /// Model.
        model: String,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No thread.
    #[error("no thread for the model: {0}")]
    Thread(String),
}

fn work(worker: &Worker, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: one thread waits for work, the others for the lock.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if job.reply.is_closed() {
            continue;
        }
        let result = if Instant::now() >= job.deadline {
            Err(ScoreError::Deadline)
        } else {
            // An engine keeps nothing between runs, so a panic leaves nothing half done.
            catch_unwind(AssertUnwindSafe(|| worker.score(&job.rows)))
                .unwrap_or_else(|_| Err(ScoreError::Broken("the engine panicked".to_owned())))
        };
        let _ = job.reply.send(result);
    }
}

impl Worker {
    fn score(&self, rows: &Rows) -> Result<Scores, ScoreError> {
        let bound = bind_rows(rows, &self.features, &self.asset, &self.inputs)
            .map_err(|e| ScoreError::Refused(e.to_string()))?;
        let mut inputs = Inputs::new();
        for input in bound.inputs {
            let filled = value(input.shape, input.data);
            let filled = filled.ok_or_else(|| ScoreError::Broken("misshapen input".to_owned()))?;
            inputs.insert(input.name, filled);
        }
        let scores = self.serving.scores(&inputs).map_err(|e| ScoreError::Broken(e.to_string()))?;
        let classes = self.columns.len();
        let mut values: Vec<f32> = Vec::with_capacity(scores.len());
        for row in scores.chunks_exact(classes.max(1)) {
            values.extend(self.columns.iter().filter_map(|&column| row.get(column).copied()));
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(ScoreError::Broken("a score is not finite".to_owned()));
        }
        Ok(Scores { classes, values })
    }
}

/// Rows as the inputs of a model, by the same binder as every measurement.
pub(crate) fn bind_rows(
    rows: &Rows,
    features: &[Feature],
    asset: &ModelAsset,
    inputs: &[ModelInput],
) -> Result<Binding, bind::BindError> {
    match rows.data() {
        RowData::Table { n, columns } => {
            // Rows of a request were never in a file: they have no lines.
            let rows = bind::TableRows { n: *n, columns, lines: &[] };
            bind::columns(rows, features, asset, inputs, &TableOptions::default())
        }
        RowData::Images { n, shape, pixels } => {
            let images = Images {
                n: *n,
                shape: *shape,
                data: pixels.clone(),
                labels: Vec::new(),
                targets: Vec::new(),
                classes: Vec::new(),
                whole: false,
                violations: Vec::new(),
            };
            let feature = features.iter().find(|f| f.kind == FeatureKind::Image);
            let feature = feature.ok_or(bind::BindError::NoInput)?;
            bind::images(&images, feature, asset, inputs)
        }
    }
}

fn options(local: &LocalModel<'_>, columns: &[usize]) -> PipelineOptions {
    let by_column = |column: usize| columns.iter().position(|&c| c == column);
    PipelineOptions {
        engine: EngineKind::Auto,
        output: local.asset.output.name.clone(),
        column: local.asset.output.column,
        answer: match local.asset.output.kind {
            OutputKind::Probability => Answer::Probability,
            OutputKind::Logit => Answer::Logit,
            OutputKind::Score | OutputKind::Value => Answer::Score,
            OutputKind::Label => Answer::Label,
        },
        classes: columns.len(),
        // By output column, as the engine answers.
        label_values: (0..columns.len())
            .filter_map(by_column)
            .filter_map(|class| local.classes.get(class).map(|(_, value)| value.clone()))
            .collect(),
        ..PipelineOptions::default()
    }
}

// Output column of each class of the data.
fn columns(local: &LocalModel<'_>) -> Result<Vec<usize>, LocalError> {
    let declared = &local.asset.output.classes;
    if declared.is_empty() {
        return Ok((0..local.classes.len()).collect());
    }
    let wrong = || LocalError::Classes { model: local.asset.name.clone() };
    if declared.len() != local.classes.len() {
        return Err(wrong());
    }
    let place = |(name, _): &(String, String)| declared.iter().position(|d| d == name);
    local.classes.iter().map(|class| place(class).ok_or_else(wrong)).collect()
}

/// The inputs of a graph as plain facts.
pub fn model_inputs(graph: &Graph) -> Vec<ModelInput> {
    let dtype = |dtype: DType| match dtype {
        DType::F32 => InputType::F32,
        DType::F64 => InputType::F64,
        DType::I64 => InputType::I64,
        DType::I32 | DType::U8 | DType::I8 => InputType::I32,
        DType::Bool => InputType::Bool,
        DType::Str => InputType::Str,
    };
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    };
    let each = graph.inputs.iter().filter_map(|input| {
        let shape = input.shape.as_ref().map(|dims| dims.iter().map(size).collect());
        Some(ModelInput {
            name: input.name.clone(),
            dtype: dtype(input.dtype?),
            shape: shape.unwrap_or_default(),
        })
    });
    each.collect()
}

fn value(shape: Vec<usize>, data: BoundData) -> Option<Value> {
    Some(match data {
        BoundData::F32(v) => Value::F32(Tensor::new(shape, v)?),
        BoundData::F64(v) => Value::F64(Tensor::new(shape, v)?),
        BoundData::I64(v) => Value::I64(Tensor::new(shape, v)?),
        BoundData::I32(v) => Value::I32(Tensor::new(shape, v)?),
        BoundData::Bool(v) => Value::Bool(Tensor::new(shape, v)?),
        BoundData::Str(v) => Value::Str(Tensor::new(shape, v)?),
    })
}

fn gone() -> ScoreError {
    ScoreError::Broken("its threads have ended".to_owned())
}
