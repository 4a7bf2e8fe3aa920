//! The real target: a model in the engine, bound to rows of a data set.
//!
//! Owns the translation between the declaration and the lab: class order, decision, goal, free
//! coordinates, space. Must never judge or count. Called by `assess`'s runner, `attack` and
//! the validity gates (for other readings of the data).
//!
//! Class indices are those of the data's `classes` everywhere; the order of the output's
//! columns stays inside.

use proofmark_dataset::bind::{Binding, BoundData, BoundInput, Free, FreeImage};
use proofmark_dataset::groups::Groups;
use proofmark_engine::engine::{EngineError, EngineKind};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, FreeInput, LossKind, Pipeline, PipelineOptions};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_schema::measurement::EngineUse;
use proofmark_schema::system::{self, Goal, Layout, ModelAsset, OutputKind, Scale};

use crate::criterion::Criterion;
use crate::decision::{Decision, Rule};
use crate::facts::Group;
use crate::oracle::{Loss, LossGrad, Oracle, OracleError, Picture};
use crate::space::{Column, Deployed, Space, SpaceError};

mod readings;

pub use readings::{Reading, readings};

/// A model bound to data.
pub struct Target {
    pipeline: Pipeline,
    /// Output column of each class.
    columns: Vec<usize>,
    kind: OutputKind,
    rows: usize,
    names: Vec<String>,
    picture: Option<Picture>,
    threads: usize,
}

/// Why a declaration and a model do not make a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A class that the data do not declare.
    #[error("class `{class}` is not one of the data's classes: {known}")]
    Class {
        /// Class named.
        class: String,
        /// Classes of the data.
        known: String,
    },
    /// The output's classes are not the data's.
    #[error("the output declares {output} classes, the data {data}; they must be the same set")]
    Classes {
        /// In the output.
        output: usize,
        /// In the data.
        data: usize,
    },
    /// The data give a tensor of another size than its shape.
    #[error("model input `{0}` got data that do not fill its shape; please report this")]
    Bug(String),
    /// A mutable feature that the answer does not depend on.
    #[error(
        "of {declared} mutable coordinates {reach} reach the output; declare the others \
         `mutable = false`"
    )]
    Unreached {
        /// Coordinates declared mutable.
        declared: usize,
        /// Coordinates that the engine moves.
        reach: usize,
    },
}

/// How to open a target.
#[derive(Clone, Copy, Debug)]
pub struct TargetOptions {
    /// Engine.
    pub engine: EngineKind,
    /// Threads that share the batches.
    pub threads: usize,
}

impl Target {
    /// Opens a model on bound data. `classes` are the data's (name, value in the file).
    ///
    /// Without mutable features every number is opened for moving, so that the same road
    /// computes clean scores; no threat can then be declared on it.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn open(
        model: &Model,
        asset: &ModelAsset,
        classes: &[(String, String)],
        binding: &Binding,
        options: TargetOptions,
    ) -> Result<Self, TargetError> {
        let columns = match asset.output.kind {
            OutputKind::Value => vec![0],
            _ => columns_of(&asset.output.classes, classes)?,
        };
        let decision = decision(asset, classes)?;
        let (free, names) = free_inputs(binding);
        let declared = names.len();
        let cutoff = match decision.rule {
            Rule::Argmax | Rule::Value | Rule::Within => None,
            Rule::Cutoff { class, at } => {
                cutoff_probability(decision.kind, at).map(|p| (columns[class], p))
            }
        };
        let settings = PipelineOptions {
            engine: options.engine,
            output: asset.output.name.clone(),
            column: asset.output.column,
            answer: answer(asset.output.kind),
            classes: if asset.output.kind == OutputKind::Value { 1 } else { classes.len() },
            // By output column, as the engine answers.
            label_values: (0..classes.len())
                .filter_map(|column| columns.iter().position(|&c| c == column))
                .map(|class| classes[class].1.clone())
                .collect(),
            cutoff,
            free: if free.is_empty() { numbers(binding) } else { free },
            threads: options.threads,
            ..PipelineOptions::default()
        };
        let pipeline = Pipeline::open(model, &settings, &inputs(binding)?)?;
        if declared > 0 && pipeline.dims() != declared {
            return Err(TargetError::Unreached { declared, reach: pipeline.dims() });
        }
        let (kind, threads) = (asset.output.kind, options.threads.max(1));
        let picture = match &binding.free {
            Free::Image(image) => Some(picture(image)),
            Free::Columns(_) => None,
        };
        Ok(Self { pipeline, columns, kind, rows: binding.n, names, picture, threads })
    }

    /// Names of the free coordinates, in order; empty when nothing is mutable.
    pub fn coordinates(&self) -> &[String] {
        &self.names
    }

    /// The judged output.
    pub fn output(&self) -> &str {
        self.pipeline.output()
    }

    /// Output column of each class.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The engine that computes, for measurements.
    pub fn engine(&self) -> EngineUse {
        let facts = self.pipeline.engine();
        EngineUse {
            name: facts.name.clone(),
            version: facts.version.clone(),
            cpu: facts.cpu.clone(),
        }
    }

    /// Why another engine than the wanted one computes, if so.
    pub fn engine_note(&self) -> Option<&str> {
        self.pipeline.engine().note.as_deref()
    }

    /// Where the loss is attached when not at the declared output, in words.
    pub fn tap(&self) -> Option<&str> {
        self.pipeline.tap()
    }

    /// Scores of the training framework, `n x width`, brought into the shape of our own: one
    /// column is expanded to two, columns are put into the order of the data's classes.
    /// `None` when the width fits neither.
    pub fn expected(&self, scores: &[f32], width: usize) -> Option<Vec<f32>> {
        let classes = self.columns.len();
        let wide: Vec<f32> = match (width, classes) {
            (1, 2) if self.kind == OutputKind::Probability => {
                scores.iter().flat_map(|&p| [1.0 - p, p]).collect()
            }
            (1, 2) => scores.iter().flat_map(|&z| [0.0, z]).collect(),
            _ if width == classes => scores.to_vec(),
            _ => return None,
        };
        Some(self.by_class(wide))
    }

    /// From the order of the output's columns to that of the data's classes.
    fn by_class(&self, scores: Vec<f32>) -> Vec<f32> {
        if self.columns.iter().enumerate().all(|(class, &column)| class == column) {
            return scores;
        }
        let rows = scores.chunks(self.columns.len());
        rows.flat_map(|row| self.columns.iter().map(move |&c| row[c])).collect()
    }
}

impl Oracle for Target {
    fn rows(&self) -> usize {
        self.rows
    }
    fn dims(&self) -> usize {
        self.pipeline.dims()
    }
    fn classes(&self) -> usize {
        self.columns.len()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.pipeline.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        self.scores_on(rows, x, self.threads)
    }
    fn gradient(&self) -> Result<(), String> {
        self.pipeline.gradient()
    }
    fn stepped(&self) -> bool {
        self.pipeline.stepped()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.loss_grad_on(rows, x, (labels, &[]), loss, self.threads)
    }
    fn loss_grad_toward(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        targets: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.loss_grad_on(rows, x, (labels, targets), loss, self.threads)
    }
    fn picture(&self) -> Option<Picture> {
        self.picture
    }
    fn threads(&self) -> usize {
        self.threads
    }
    fn alone(&self) -> Option<Box<dyn Oracle + '_>> {
        Some(Box::new(Alone(self)))
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        let pushed = matches!(loss, Loss::Up | Loss::Down);
        match (pushed, self.kind == OutputKind::Value) {
            (true, false) => Err("the model decides; it has no number to push".into()),
            (false, true) => Err("the answer is a number: it is pushed up or down instead".into()),
            _ => self.loss_kind(loss).and_then(|kind| self.enough_classes(kind)),
        }
    }
}

impl Target {
    fn scores_on(
        &self,
        rows: &[usize],
        x: &[f32],
        threads: usize,
    ) -> Result<Vec<f32>, OracleError> {
        let scores = self.pipeline.scores_on(rows, x, threads).map_err(failed)?;
        Ok(self.by_class(scores))
    }

    fn loss_kind(&self, loss: Loss) -> Result<LossKind, String> {
        Ok(match loss {
            Loss::CrossEntropy => LossKind::CrossEntropy,
            Loss::Margin => LossKind::Margin,
            Loss::Toward => LossKind::Toward,
            Loss::Ratio => LossKind::Ratio,
            Loss::RatioToward => LossKind::RatioToward,
            // Of one column the "logit of the label" is the column itself.
            Loss::Up | Loss::Down if self.kind == OutputKind::Value => LossKind::Logit,
            Loss::Up | Loss::Down => return Err("the model decides; it has no number".into()),
        })
    }

    fn enough_classes(&self, kind: LossKind) -> Result<(), String> {
        let (has, least) = (self.columns.len(), kind.classes_min());
        match has >= least {
            true => Ok(()),
            false => Err(format!("its loss needs {least} classes, the model has {has}")),
        }
    }

    fn loss_grad_on(
        &self,
        rows: &[usize],
        x: &[f32],
        (labels, targets): (&[usize], &[usize]),
        loss: Loss,
        threads: usize,
    ) -> Result<LossGrad, OracleError> {
        let by_column = |classes: &[usize]| -> Vec<usize> {
            classes.iter().map(|&c| self.columns[c]).collect()
        };
        let (labels, targets) = (by_column(labels), by_column(targets));
        let kind = self.loss_kind(loss).map_err(|reason| OracleError { reason })?;
        let answer = self.pipeline.loss_grad_toward(rows, x, &labels, &targets, kind, threads);
        let mut answer = answer.map_err(failed)?;
        if loss == Loss::Down {
            answer.loss.iter_mut().chain(&mut answer.grad).for_each(|v| *v = -*v);
        }
        let scores = self.by_class(answer.scores);
        Ok(LossGrad { loss: answer.loss, grad: answer.grad, scores })
    }
}

/// A target that is asked by several threads at once.
struct Alone<'a>(&'a Target);

impl Oracle for Alone<'_> {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn dims(&self) -> usize {
        self.0.dims()
    }
    fn classes(&self) -> usize {
        self.0.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.0.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        self.0.scores_on(rows, x, 1)
    }
    fn gradient(&self) -> Result<(), String> {
        self.0.gradient()
    }
    fn stepped(&self) -> bool {
        self.0.stepped()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.0.loss_grad_on(rows, x, (labels, &[]), loss, 1)
    }
    fn loss_grad_toward(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        targets: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.0.loss_grad_on(rows, x, (labels, targets), loss, 1)
    }
    fn picture(&self) -> Option<Picture> {
        self.0.picture
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        self.0.pushes(loss)
    }
}

fn failed(error: EngineError) -> OracleError {
    OracleError { reason: error.to_string() }
}

/// What the engine is asked to read an output of this kind as.
#[must_use]
pub fn answer(kind: OutputKind) -> Answer {
    match kind {
        OutputKind::Probability => Answer::Probability,
        OutputKind::Logit => Answer::Logit,
        OutputKind::Score | OutputKind::Value => Answer::Score,
        OutputKind::Label => Answer::Label,
    }
}

/// The declared decision, by class index of the data.
///
/// # Errors
/// A class that the data do not declare.
pub fn decision(asset: &ModelAsset, classes: &[(String, String)]) -> Result<Decision, TargetError> {
    let rule = match &asset.decision {
        system::Decision::Argmax => Rule::Argmax,
        system::Decision::Value => Rule::Value,
        system::Decision::Cutoff { class, at } => {
            Rule::Cutoff { class: class_index(class, classes)?, at: *at }
        }
    };
    Ok(Decision { kind: asset.output.kind, rule })
}

/// The declared goal as a criterion; any wrong decision without one.
///
/// # Errors
/// A class that the data do not declare.
pub fn criterion(
    goal: Option<&Goal>,
    classes: &[(String, String)],
) -> Result<Criterion, TargetError> {
    let Some(goal) = goal else { return Ok(Criterion::Leave) };
    let (from, to) = (class_index(&goal.from, classes)?, class_index(&goal.to, classes)?);
    Ok(Criterion::Goal { from, to })
}

/// The attacker's space: box and deployed type of the binding, unit of the scale. `std` gives
/// the standard deviation of a feature over the training data, in the unit of the file.
///
/// # Errors
/// See [`SpaceError`].
pub fn space(
    binding: &Binding,
    scale: Scale,
    std: &dyn Fn(&str) -> Option<f64>,
) -> Result<Space, SpaceError> {
    let columns: Vec<Column> = match &binding.free {
        Free::Columns(coordinates) => ordered(binding, coordinates)
            .map(|c| Column {
                lower: c.lower,
                upper: c.upper,
                std: std(&c.feature).map_or(f64::NAN, |s| s * c.unit_raw),
                deployed: if c.integer { Deployed::Integer } else { Deployed::Real },
            })
            .collect(),
        Free::Image(image) => {
            let std = std(&image.feature);
            let column = |channel: usize| Column {
                lower: image.lower[channel],
                upper: image.upper[channel],
                std: std.map_or(f64::NAN, |s| s * image.unit_raw[channel]),
                deployed: image.levels.map_or(Deployed::Real, Deployed::Levels),
            };
            (0..image.count).map(|at| column(channel_of(image, at))).collect()
        }
    };
    Space::new(&columns, scale)
}

/// Where each free coordinate lies, in order: input and column within it.
pub fn coordinates(binding: &Binding) -> Vec<(String, usize)> {
    match &binding.free {
        Free::Columns(all) => ordered(binding, all).map(|c| (c.input.clone(), c.column)).collect(),
        Free::Image(image) => (0..image.count).map(|at| (image.input.clone(), at)).collect(),
    }
}

/// Groups of the data set, as the figures want them; empty groups are left out.
pub fn groups(all: &[Groups]) -> Vec<Group> {
    let each = all.iter().flat_map(|g| g.names.iter().map(move |name| (g, name)));
    each.map(|(g, name)| Group {
        feature: g.feature.clone(),
        value: name.clone(),
        rows: g.rows(name),
    })
    .filter(|g| !g.rows.is_empty())
    .collect()
}

/// Bound data as engine values.
///
/// # Errors
/// Data that do not fill their shape.
pub fn inputs(binding: &Binding) -> Result<Inputs, TargetError> {
    binding
        .inputs
        .iter()
        .map(|input| {
            let bug = || TargetError::Bug(input.name.clone());
            Ok((input.name.clone(), value(input).ok_or_else(bug)?))
        })
        .collect()
}

fn value(input: &BoundInput) -> Option<Value> {
    let shape = input.shape.clone();
    Some(match &input.data {
        BoundData::F32(v) => Value::F32(Tensor::new(shape, v.clone())?),
        BoundData::F64(v) => Value::F64(Tensor::new(shape, v.clone())?),
        BoundData::I64(v) => Value::I64(Tensor::new(shape, v.clone())?),
        BoundData::I32(v) => Value::I32(Tensor::new(shape, v.clone())?),
        BoundData::Bool(v) => Value::Bool(Tensor::new(shape, v.clone())?),
        BoundData::Str(v) => Value::Str(Tensor::new(shape, v.clone())?),
    })
}

fn class_index(class: &str, classes: &[(String, String)]) -> Result<usize, TargetError> {
    classes.iter().position(|(name, _)| name == class).ok_or_else(|| {
        let known: Vec<&str> = classes.iter().map(|(name, _)| name.as_str()).collect();
        TargetError::Class { class: class.to_string(), known: known.join(", ") }
    })
}

/// Output column of each class of the data.
fn columns_of(output: &[String], classes: &[(String, String)]) -> Result<Vec<usize>, TargetError> {
    if output.is_empty() {
        return Ok((0..classes.len()).collect());
    }
    let sizes = TargetError::Classes { output: output.len(), data: classes.len() };
    if output.len() != classes.len() {
        return Err(sizes);
    }
    let find = |(name, _): &(String, String)| output.iter().position(|o| o == name);
    classes.iter().map(find).collect::<Option<_>>().ok_or(sizes)
}

/// The cut-off as a probability, from which the engine takes the offset of its margin loss.
/// Scores are compared as they are, so theirs is the probability with that log-odds; where f32
/// cannot hold it the offset, which moves no gradient, is left out.
fn cutoff_probability(kind: OutputKind, at: f64) -> Option<f64> {
    let probability = match kind {
        OutputKind::Score => 1.0 / (1.0 + (-at).exp()),
        _ => at,
    };
    (probability > 1e-12 && probability < 1.0 - 1e-12).then_some(probability)
}

/// Free inputs and the names of their coordinates, in the order of the pipeline.
fn free_inputs(binding: &Binding) -> (Vec<FreeInput>, Vec<String>) {
    match &binding.free {
        Free::Columns(coordinates) => {
            let mut free: Vec<FreeInput> = Vec::new();
            let mut names = Vec::new();
            for c in ordered(binding, coordinates) {
                names.push(c.feature.clone());
                match free.last_mut().filter(|f| f.input == c.input) {
                    Some(last) => last.columns.get_or_insert_default().push(c.column),
                    None => free
                        .push(FreeInput { input: c.input.clone(), columns: Some(vec![c.column]) }),
                }
            }
            (free, names)
        }
        Free::Image(image) => {
            let names = (0..image.count).map(|at| format!("{}[{at}]", image.feature));
            (vec![FreeInput { input: image.input.clone(), columns: None }], names.collect())
        }
    }
}

/// Coordinates by input, as bound, then by column.
fn ordered<'a>(
    binding: &Binding,
    coordinates: &'a [proofmark_dataset::bind::FreeCoordinate],
) -> impl Iterator<Item = &'a proofmark_dataset::bind::FreeCoordinate> {
    let place = |input: &str| binding.inputs.iter().position(|i| i.name == input);
    let mut sorted: Vec<_> = coordinates.iter().collect();
    sorted.sort_by_key(|c| (place(&c.input), c.column));
    sorted.into_iter()
}

/// Every input that holds numbers.
fn numbers(binding: &Binding) -> Vec<FreeInput> {
    let numeric =
        binding.inputs.iter().filter(|i| matches!(i.data, BoundData::F32(_) | BoundData::F64(_)));
    numeric.map(|i| FreeInput { input: i.name.clone(), columns: None }).collect()
}

fn picture(image: &FreeImage) -> Picture {
    let [channels, height, width] = image.shape;
    Picture { channels, height, width, channels_last: image.layout == Layout::Nhwc }
}

/// Channel of a flattened pixel in the axis order of the input.
fn channel_of(image: &FreeImage, at: usize) -> usize {
    let [channels, height, width] = image.shape;
    match image.layout {
        Layout::Nchw => at / (height * width).max(1),
        Layout::Nhwc => at % channels.max(1),
    }
}
