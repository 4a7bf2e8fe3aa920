//! A model bound to data rows: what the lab asks for scores and loss gradients.
//!
//! Owns the road from a loaded model to answers: it is lowered, cut at what the attacker can
//! touch (the rest is computed once, on the reference), narrowed to `f32`, compiled, and then
//! run at fixed batch widths, short batches padded by repeating their last row. Another width, or
//! an engine's own threads, are used only where they give the bits of one full batch on one
//! thread, so a row's bits depend neither on its batch nor on the number of threads.
//! Must never judge an answer or count a query. Called by `lab` and by `model run|grad`.

mod apart;
mod batch;
mod head;
mod ladder;
mod narrow;
mod open;
mod rows;
mod score;
mod serve;
mod whole;

use std::sync::OnceLock;

pub use open::fitting_outputs;
pub(crate) use rows::pick_rows;
pub use rows::rows_of;
pub use serve::Serving;
pub use whole::{Gradients, Whole, gradient_of, run_batched};

use crate::autodiff;
use crate::engine::{EngineError, EngineFacts, EngineKind, Program, compile_made};
use crate::graph::Graph;
use crate::loss::{self, Tap};
use crate::model::Model;
use crate::value::{Inputs, Tensor, Value};

use batch::Bound;
use ladder::{Ladder, Piece};
use score::Column;

/// What the declared output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Probabilities, one per class; a single column is that of class 1.
    Probability,
    /// Logits; a single column `z` stands for `[0, z]`.
    Logit,
    /// Scores on a scale of their own, read like logits.
    Score,
    /// The label itself, as number or text.
    Label,
}

/// The loss whose gradient is asked for; an attacker increases it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// Cross-entropy of the label on the logits.
    CrossEntropy,
    /// `max_{j != y} z_j - z_y - offset_y`. With two classes and cut-off `t` on class `c` the
    /// offset moves the zero to `z_c - z_other = ln(t / (1 - t))`.
    Margin,
    /// `z_y`, the logit of the label itself (one column `z` is `[0, z]`), without an offset.
    /// Increased, it moves towards the label, against the other two losses: label the class that
    /// is to be reached or explained.
    Logit,
    /// `z_t - z_y`, toward a target class `t` of each row's own.
    Toward,
    /// Difference of logits ratio (Croce and Hein 2020, eq. 5):
    /// `-(z_y - max_{j != y} z_j) / (z_(1) - z_(3))`, the greatest logits first. Three classes.
    Ratio,
    /// The same toward a target class (eq. 6):
    /// `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)`. Four classes.
    RatioToward,
}

impl LossKind {
    /// Whether it pulls toward a target class.
    pub fn toward(self) -> bool {
        matches!(self, Self::Toward | Self::RatioToward)
    }

    /// Fewest classes that it is defined for.
    pub fn classes_min(self) -> usize {
        match self {
            Self::RatioToward => 4,
            Self::Ratio => 3,
            Self::Toward => 2,
            Self::CrossEntropy | Self::Margin | Self::Logit => 1,
        }
    }
}

/// The free coordinates of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeInput {
    /// Input name.
    pub input: String,
    /// Free coordinates, flattened per row, ascending; `None` for all.
    pub columns: Option<Vec<usize>>,
}

/// How a model is to be bound.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineOptions {
    /// Engine.
    pub engine: EngineKind,
    /// Declared output; `None` for the first that fits the answer.
    pub output: Option<String>,
    /// Of an output with several heads, `[n, k]`: the one column that is the answer.
    pub column: Option<usize>,
    /// What it holds.
    pub answer: Answer,
    /// Number of classes.
    pub classes: usize,
    /// For [`Answer::Label`]: the label text of each class.
    pub label_values: Vec<String>,
    /// Class and probability from which the class is decided, for two classes.
    pub cutoff: Option<(usize, f64)>,
    /// What the attacker moves.
    pub free: Vec<FreeInput>,
    /// Rows per batch. A model written for one batch size runs at that size.
    pub width: usize,
    /// Threads that share the batches.
    pub threads: usize,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            engine: EngineKind::Auto,
            output: None,
            column: None,
            answer: Answer::Logit,
            classes: 2,
            label_values: Vec::new(),
            cutoff: None,
            free: Vec::new(),
            width: WIDTH,
            threads: 1,
        }
    }
}

/// Loss, gradient and scores of candidates, one entry per asked row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossGrad {
    /// Loss per row.
    pub loss: Vec<f32>,
    /// Gradient, `rows x dims`, row-major.
    pub grad: Vec<f32>,
    /// Scores, `rows x classes`, as [`Pipeline::scores`] gives them.
    pub scores: Vec<f32>,
}

/// A model bound to data rows.
pub struct Pipeline {
    options: PipelineOptions,
    facts: EngineFacts,
    /// The engine that computes the core.
    kind: EngineKind,
    core: Graph,
    output: String,
    bound: Bound,
    forward: Ladder,
    tap: Result<Tap, String>,
    /// Whether the model is written for one batch size.
    fixed: bool,
    /// Gradient programs by loss.
    gradients: [OnceLock<Result<Ladder, String>>; LOSSES],
}

/// Kinds of loss.
const LOSSES: usize = LossKind::RatioToward as usize + 1;

/// Whether the threads of an engine wait for work, so that a short batch gains by them.
fn waits(kind: EngineKind) -> bool {
    kind == EngineKind::OnnxRuntime
}

impl Pipeline {
    /// Binds a model to `inputs`: every named input, the same number of rows each.
    ///
    /// # Errors
    /// An input that is missing or misshapen, a part of the model whose values belong to no
    /// row, or an operator that no engine here can run.
    pub fn open(
        model: &Model,
        options: &PipelineOptions,
        inputs: &Inputs,
    ) -> Result<Self, EngineError> {
        let opened = open::open(model.graph(), options, inputs)?;
        let open::Opened { core, output, bound, kind, facts, forward } = opened;
        let mut options = options.clone();
        options.width = bound.width;
        options.threads = options.threads.max(1);
        let columns = score::columns_of(forward.as_ref(), &bound, &output, options.answer)?;
        if options.answer != Answer::Label
            && columns != options.classes
            && !(columns == 1 && options.classes == 2)
        {
            return Err(EngineError::Request(format!(
                "the output `{output}` has {columns} columns but {} classes are declared",
                options.classes
            )));
        }
        let tap = loss::tap(&core, &output, options.answer, columns);
        let fixed = open::fixed_batch(model.graph()).is_some();
        Ok(Self {
            forward: Ladder::new(forward, (options.width, fixed), &core, waits(kind)),
            options,
            facts,
            kind,
            core,
            output,
            bound,
            tap,
            fixed,
            gradients: Default::default(),
        })
    }

    /// Number of data rows.
    pub fn rows(&self) -> usize {
        self.bound.rows
    }

    /// Number of free coordinates.
    pub fn dims(&self) -> usize {
        self.bound.dims
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.options.classes
    }

    /// Clean coordinates of a row (`dims` values); empty for a row that does not exist.
    pub fn clean(&self, row: usize) -> &[f32] {
        self.bound.clean_row(row)
    }

    /// The engine that computes.
    pub fn engine(&self) -> &EngineFacts {
        &self.facts
    }

    /// The declared output, as found in the model.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// Rows per batch.
    pub fn width(&self) -> usize {
        self.options.width
    }

    /// Whether [`Pipeline::loss_grad`] works, else why not: operator, node and opset.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn gradient(&self) -> Result<(), String> {
        self.programs(LossKind::CrossEntropy).map(|_| ())
    }

    /// Where the loss is attached when not at the declared output, in words; `None` without a
    /// gradient.
    pub fn tap(&self) -> Option<&str> {
        self.gradient().ok()?;
        self.tap.as_ref().ok().and_then(|tap| tap.words.as_deref())
    }

    /// Scores of `rows[i]` at candidate `x[i * dims..]`: `rows.len() x classes`.
    ///
    /// # Errors
    /// A row or candidate that does not fit, or an engine failure.
    pub fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.scores_on(rows, x, self.options.threads)
    }

    /// [`Pipeline::scores`] on another number of threads than the declared one, the same bits.
    ///
    /// # Errors
    /// As [`Pipeline::scores`].
    pub fn scores_on(
        &self,
        rows: &[usize],
        x: &[f32],
        threads: usize,
    ) -> Result<Vec<f32>, EngineError> {
        self.bound.check(rows, x)?;
        let pieces = self.forward.plan(rows.len(), threads, |wide, width, threads| {
            let core = ladder::at_width(&self.core, width);
            let program = compile_made(&core, self.kind, threads).ok()?;
            let both = ((wide, self.options.width), (program.as_ref(), width));
            let same =
                ladder::same_bits(&self.bound, both.0, both.1, &[&self.output], |_, _| Some(()));
            same.map(|()| program)
        });
        let mut parts = batch::share(&pieces, threads, |piece| {
            let (rows, x) = (&rows[piece.range.clone()], &x[self.span(piece)]);
            let inputs = self.bound.inputs(rows, x, piece.width)?;
            let values = self.forward.at(piece).run(&inputs, &[&self.output])?;
            self.as_scores(values.first(), rows.len(), piece.width)
        })?;
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat() })
    }

    /// Loss, gradient and scores of `rows[i]` at candidate `x[i * dims..]`, label `labels[i]`.
    ///
    /// # Errors
    /// As [`Pipeline::scores`]; also when there is no gradient, or a label outside the classes.
    pub fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: LossKind,
    ) -> Result<LossGrad, EngineError> {
        self.loss_grad_on(rows, x, labels, loss, self.options.threads)
    }

    /// [`Pipeline::loss_grad`] on another number of threads than the declared one, the same bits.
    ///
    /// # Errors
    /// As [`Pipeline::loss_grad`].
    pub fn loss_grad_on(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: LossKind,
        threads: usize,
    ) -> Result<LossGrad, EngineError> {
        self.loss_grad_toward(rows, x, labels, &[], loss, threads)
    }

    /// [`Pipeline::loss_grad_on`] for every loss; `targets[i]` is the class that row `i` is pulled
    /// toward, empty for losses without one.
    ///
    /// # Errors
    /// As [`Pipeline::loss_grad`], and where the loss is not defined for so few classes.
    pub fn loss_grad_toward(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        targets: &[usize],
        loss: LossKind,
        threads: usize,
    ) -> Result<LossGrad, EngineError> {
        let programs = self.programs(loss).map_err(EngineError::Request)?;
        self.bound.check(rows, x)?;
        self.check_classes(labels, rows.len())?;
        self.check_classes(targets, if loss.toward() { rows.len() } else { 0 })?;
        let names = self.gradient_outputs();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let build =
            |wide: &dyn Program, width, threads| self.beside(loss, wide, (width, threads), &names);
        let pieces = programs.plan(rows.len(), threads, build);
        let parts = batch::share(&pieces, threads, |piece| {
            let (n, width) = (piece.range.len(), piece.width);
            let (rows, x) = (&rows[piece.range.clone()], &x[self.span(piece)]);
            let mut inputs = self.bound.inputs(rows, x, width)?;
            let onehot = self.onehot(&labels[piece.range.clone()], width)?;
            inputs.insert(loss::ONEHOT.to_string(), onehot);
            if loss.toward() {
                let target = self.onehot(&targets[piece.range.clone()], width)?;
                inputs.insert(loss::TARGET.to_string(), target);
            }
            let mut values = programs.at(piece).run(&inputs, &names)?;
            if values.len() < 2 {
                return Err(request("the gradient graph gave no result"));
            }
            let grads = values.split_off(2);
            let mut loss = score::floats(&values[1])?;
            loss.truncate(n);
            let scores = self.as_scores(values.first(), n, width)?;
            Ok(LossGrad { loss, scores, grad: self.bound.gather(grads, n)? })
        })?;
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        all.grad.reserve(rows.len() * self.bound.dims - all.grad.len());
        for part in parts {
            all.loss.extend(part.loss);
            all.grad.extend(part.grad);
            all.scores.extend(part.scores);
        }
        Ok(all)
    }

    fn check_classes(&self, of_rows: &[usize], rows: usize) -> Result<(), EngineError> {
        if of_rows.len() != rows {
            return Err(request("as many labels as rows are needed"));
        }
        let classes = self.options.classes;
        match of_rows.iter().find(|&&y| y >= classes) {
            Some(label) => {
                Err(EngineError::Request(format!("label {label} is outside the {classes} classes")))
            }
            None => Ok(()),
        }
    }

    fn gradient_outputs(&self) -> Vec<String> {
        let grads = self.bound.free.iter().map(|f| format!("grad:{}", f.input));
        [self.output.clone(), loss::LOSS.to_string()].into_iter().chain(grads).collect()
    }

    /// The compiled gradient programs, built at their first use.
    fn programs(&self, kind: LossKind) -> Result<&Ladder, String> {
        let build = || {
            let graph = self.gradient_graph(kind, self.kind, self.options.width)?;
            let wide = compile_made(&graph, self.kind, 1).map_err(|e| e.to_string())?;
            Ok(Ladder::new(wide, (self.options.width, self.fixed), &graph, waits(self.kind)))
        };
        self.gradients[kind as usize].get_or_init(build).as_ref().map_err(String::clone)
    }

    /// A gradient program of another width or on more threads, where it gives the bits of the
    /// wide one.
    fn beside(
        &self,
        kind: LossKind,
        wide: &dyn Program,
        (width, threads): (usize, usize),
        names: &[&str],
    ) -> Option<Box<dyn Program>> {
        let graph = self.gradient_graph(kind, self.kind, width).ok()?;
        let program = compile_made(&graph, self.kind, threads).ok()?;
        let label = |range: &std::ops::Range<usize>, inputs: &mut Inputs| {
            let labels: Vec<usize> = range.clone().map(|i| i % self.options.classes).collect();
            inputs.insert(loss::ONEHOT.to_string(), self.onehot(&labels, labels.len()).ok()?);
            if kind.toward() {
                let next: Vec<usize> =
                    labels.iter().map(|y| (y + 1) % self.options.classes).collect();
                inputs.insert(loss::TARGET.to_string(), self.onehot(&next, next.len()).ok()?);
            }
            Some(())
        };
        let (wide, narrow) = ((wide, self.options.width), (program.as_ref(), width));
        ladder::same_bits(&self.bound, wide, narrow, names, label).map(|()| program)
    }

    /// Whether there is no gradient because nothing but steps (signs, rounding, comparisons) leads
    /// from the free inputs to the output: its slope is zero wherever it has one.
    pub fn stepped(&self) -> bool {
        self.gradient().is_err_and(|reason| reason.contains(autodiff::ONLY_STEPS))
    }

    /// The graph that [`Pipeline::loss_grad`] runs for an engine at a batch width: for looking at
    /// it, and for benches that run it elsewhere.
    ///
    /// # Errors
    /// Why there is no gradient, in words.
    pub fn gradient_graph(
        &self,
        kind: LossKind,
        engine: EngineKind,
        width: usize,
    ) -> Result<Graph, String> {
        let tap = self.tap.as_ref().map_err(String::clone)?;
        let (has, least) = (self.options.classes, kind.classes_min());
        if has < least {
            return Err(format!("the loss needs {least} classes, the model has {has}"));
        }
        let rows: Vec<usize> = vec![0; width];
        let clean = self.clean(0).repeat(width);
        let inputs = self.bound.inputs(&rows, &clean, width).map_err(|e| e.to_string())?;
        let wrt: Vec<String> = self.bound.free.iter().map(|f| f.input.clone()).collect();
        let offsets = loss::offsets(self.options.classes, self.options.cutoff)?;
        let spec = loss::Spec {
            tap,
            classes: self.options.classes,
            width,
            kind,
            offsets: &offsets,
            stretch: engine == EngineKind::OnnxRuntime,
        };
        let core = ladder::at_width(&self.core, width);
        loss::fused(&core, &inputs, &spec, &wrt).map_err(|e| e.to_string())
    }

    fn span(&self, piece: &Piece) -> std::ops::Range<usize> {
        piece.range.start * self.bound.dims..piece.range.end * self.bound.dims
    }

    fn onehot(&self, labels: &[usize], width: usize) -> Result<Value, EngineError> {
        let classes = self.options.classes;
        let mut data = vec![0.0f32; width * classes];
        for (row, &label) in rows::padded(labels, width).iter().enumerate() {
            data[row * classes + label] = 1.0;
        }
        let tensor = Tensor::new(vec![width, classes], data);
        tensor.map(Value::F32).ok_or_else(|| request("more labels than a batch holds"))
    }

    fn as_scores(
        &self,
        value: Option<&Value>,
        rows: usize,
        width: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let value = value.ok_or_else(|| request("the engine gave no output"))?;
        let column = Column {
            output: &self.output,
            answer: self.options.answer,
            classes: self.options.classes,
            labels: &self.options.label_values,
            width,
        };
        column.scores(value, rows)
    }
}

fn request(words: &str) -> EngineError {
    EngineError::Request(words.to_string())
}

/// Rows per batch when nothing else is asked for: wide enough for the matrix kernels, small
/// enough that a short batch wastes little.
pub const WIDTH: usize = 32;
