//! A model on any number of rows, without an attacker.
//!
//! Owns `model run` (every row through the whole model) and `model grad` (the gradient with
//! respect to every float input). Called by the command line.

use std::collections::BTreeMap;

use super::apart;
use super::open::fixed_batch;
use super::rows::{join_rows, padded, pick_rows};
use super::{Answer, FreeInput, LossKind, Pipeline, PipelineOptions, WIDTH, request};
use crate::autodiff::upgrade;
use crate::engine::{Compiled, EngineError, EngineFacts, EngineKind, compile_first};
use crate::graph::Graph;
use crate::lower::lower;
use crate::model::Model;
use crate::value::{DType, Inputs, Tensor, Value};

/// The gradient of a loss with respect to every float input.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// Loss per row.
    pub loss: Vec<f32>,
    /// Scores, `rows x classes`.
    pub scores: Vec<f32>,
    /// Number of classes.
    pub classes: usize,
    /// Gradient per input, in its shape.
    pub inputs: BTreeMap<String, Tensor<f32>>,
    /// Where the loss is attached, when not at the declared output.
    pub tap: Option<String>,
    /// The engine that computed.
    pub engine: EngineFacts,
}

/// A model compiled to answer rows in batches, from any thread and in any order.
pub struct Whole {
    compiled: Compiled,
    names: Vec<String>,
    width: usize,
    /// Whether the model is written for batches of this width.
    fixed: bool,
    /// Whether rows are answered one by one; known once rows that differ were seen.
    apart: apart::Known,
}

impl Whole {
    /// Compiles the whole model; `outputs` are those wanted, or all of the model's when empty.
    /// Batches are `width` rows, or what the model fixes.
    ///
    /// # Errors
    /// An output that the model does not have, or a model that no engine holds.
    pub fn open(
        model: &Model,
        kind: EngineKind,
        outputs: &[String],
        width: usize,
    ) -> Result<Self, EngineError> {
        let graph = upgrade(&lower(model.graph()));
        let all: Vec<String> = graph.outputs.iter().map(|o| o.name.clone()).collect();
        let wanted = if outputs.is_empty() { &all[..] } else { outputs };
        if let Some(name) = wanted.iter().find(|name| !all.contains(name)) {
            let known = all.join("`, `");
            let words = format!("the model has no output `{name}`; it has `{known}`");
            return Err(EngineError::Request(words));
        }
        let compiled = compile_first(&graph, kind, 1)?;
        let fixed = fixed_batch(&graph);
        let width = fixed.unwrap_or(width).max(1);
        let (fixed, apart) = (fixed.is_some(), apart::Known::default());
        Ok(Self { compiled, names: wanted.to_vec(), width, fixed, apart })
    }

    /// Names of the outputs, in the order of answers.
    pub fn outputs(&self) -> &[String] {
        &self.names
    }

    /// Rows of a batch.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The engine that computes.
    pub fn engine(&self) -> &EngineFacts {
        &self.compiled.facts
    }

    /// Answers one batch of 1 to [`Whole::width`] rows. A shorter batch is filled up by its last
    /// row, so that a row's answer does not depend on how many follow it.
    ///
    /// # Errors
    /// Inputs of unlike or too many rows, an output without rows, or an engine failure.
    pub fn run(&self, inputs: &Inputs) -> Result<Vec<Value>, EngineError> {
        let rows = row_count(inputs)?;
        if rows > self.width {
            return Err(request("a batch has more rows than it may"));
        }
        if self.apart(inputs, rows)? {
            return self.batch(inputs, rows, self.width);
        }
        if self.fixed {
            return Err(apart::mixed(self.width));
        }
        let mut parts: Vec<Vec<Value>> = vec![Vec::new(); self.names.len()];
        for row in 0..rows {
            let values = self.batch(&apart::picked(inputs, &[row])?, 1, 1)?;
            parts.iter_mut().zip(values).for_each(|(part, value)| part.push(value));
        }
        joined(parts)
    }

    /// Whether a row's answer is the same among these rows and alone; asked of the model once.
    fn apart(&self, inputs: &Inputs, rows: usize) -> Result<bool, EngineError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let run = |rows: &[usize]| self.compiled.program.run(&apart::picked(inputs, rows)?, &names);
        self.apart.apart(run, inputs, rows, (self.width, self.fixed))
    }

    /// Answers rows, filled up to `width`.
    fn batch(&self, inputs: &Inputs, rows: usize, width: usize) -> Result<Vec<Value>, EngineError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let program = &self.compiled.program;
        let all: Vec<usize> = (0..rows).collect();
        let values = match rows == width {
            true => program.run(inputs, &names)?,
            false => program.run(&apart::picked(inputs, &padded(&all, width))?, &names)?,
        };
        let cut = |(value, name): (Value, &&str)| {
            by_row(&value, name, width)?;
            match rows == width {
                true => Ok(value),
                false => pick_rows(&value, &all).ok_or_else(|| request("no such row")),
            }
        };
        values.into_iter().zip(&names).map(cut).collect()
    }

    /// Answers any number of rows, batch by batch.
    ///
    /// # Errors
    /// As [`Whole::run`].
    pub fn run_all(&self, inputs: &Inputs) -> Result<Vec<Value>, EngineError> {
        let rows = row_count(inputs)?;
        let mut parts: Vec<Vec<Value>> = vec![Vec::new(); self.names.len()];
        for chunk in (0..rows).collect::<Vec<_>>().chunks(self.width) {
            let values = self.run(&apart::picked(inputs, chunk)?)?;
            parts.iter_mut().zip(values).for_each(|(part, value)| part.push(value));
        }
        joined(parts)
    }
}

fn joined(parts: Vec<Vec<Value>>) -> Result<Vec<Value>, EngineError> {
    let join = |part| join_rows(part).ok_or_else(|| request("batches differ in shape"));
    parts.into_iter().map(join).collect()
}

/// Refuses a value that has no answer per row of the batch.
fn by_row(value: &Value, name: &str, width: usize) -> Result<(), EngineError> {
    if value.shape().first() == Some(&width) {
        return Ok(());
    }
    Err(EngineError::Request(format!("the output `{name}` is not one answer per row")))
}

/// Runs the whole model over all rows (the leading dimension that all inputs share), in batches
/// of `width`; the outputs, or all of the model's when `outputs` is empty, come back joined.
///
/// # Errors
/// An input that is missing or misshapen, an output without rows, or an engine failure.
pub fn run_batched(
    model: &Model,
    kind: EngineKind,
    inputs: &Inputs,
    outputs: &[String],
    width: usize,
) -> Result<(Vec<Value>, EngineFacts), EngineError> {
    let whole = Whole::open(model, kind, outputs, width)?;
    Ok((whole.run_all(inputs)?, whole.engine().clone()))
}

/// The rows that all inputs share.
fn row_count(inputs: &Inputs) -> Result<usize, EngineError> {
    let rows = inputs.values().filter_map(|v| v.shape().first().copied()).max().unwrap_or(0);
    if rows == 0 || inputs.values().any(|v| v.shape().first() != Some(&rows)) {
        return Err(request("every input needs the same number of rows, at least one"));
    }
    Ok(rows)
}

/// Loss and gradient of every row with respect to every float input.
///
/// The declared output is the first float one; it is read as probabilities when it is a softmax
/// or a sigmoid, or when its columns are shares of one for the first rows, else as logits.
///
/// # Errors
/// As [`Pipeline::open`] and [`Pipeline::loss_grad`].
pub fn gradient_of(
    model: &Model,
    kind: EngineKind,
    inputs: &Inputs,
    labels: &[usize],
    loss: LossKind,
) -> Result<Gradients, EngineError> {
    let float = |name: &&String| matches!(inputs[*name].dtype(), Some(DType::F32 | DType::F64));
    let free: Vec<FreeInput> = inputs
        .keys()
        .filter(float)
        .map(|name| FreeInput { input: name.clone(), columns: None })
        .collect();
    let mut options = PipelineOptions { engine: kind, free, ..PipelineOptions::default() };
    options.width = WIDTH.min(labels.len().max(1));
    let graph = upgrade(&lower(model.graph()));
    options.output = Some(first_float(&graph)?);
    let (values, _) = run_batched(
        model,
        EngineKind::Reference,
        &first_rows(inputs)?,
        options.output.as_slice(),
        options.width,
    )?;
    let columns =
        values.first().map_or(0, |v| v.len() / v.shape().first().map_or(1, |&n| n.max(1)));
    options.classes = columns.max(2);
    let tail = options.output.as_deref().and_then(|o| last_op(&graph, o));
    if matches!(tail, Some("Softmax" | "Sigmoid" | "ZipMap" | "Div" | "Concat"))
        || values.first().is_some_and(|v| shares(v, columns))
    {
        options.answer = Answer::Probability;
    }
    let pipeline = Pipeline::open(model, &options, inputs)?;
    let rows: Vec<usize> = (0..pipeline.rows()).collect();
    let x: Vec<f32> = rows.iter().flat_map(|&r| pipeline.clean(r)).copied().collect();
    let got = pipeline.loss_grad(&rows, &x, labels, loss)?;
    let mut by_input = BTreeMap::new();
    let mut from = 0;
    for free in &pipeline.bound.free {
        let shape = inputs[&free.input].shape();
        let size = shape.iter().skip(1).product::<usize>();
        let part = |&r: &usize| &got.grad[r * pipeline.dims() + from..][..size];
        let data: Vec<f32> = rows.iter().flat_map(part).copied().collect();
        let tensor = Tensor::new(shape, data).ok_or_else(|| request("a gradient of odd shape"))?;
        by_input.insert(free.input.clone(), tensor);
        from += size;
    }
    Ok(Gradients {
        loss: got.loss,
        scores: got.scores,
        classes: options.classes,
        inputs: by_input,
        tap: pipeline.tap().map(str::to_string),
        engine: pipeline.engine().clone(),
    })
}

fn first_float(graph: &Graph) -> Result<String, EngineError> {
    let float = |d: Option<DType>| matches!(d, Some(DType::F32 | DType::F64) | None);
    let found = graph.outputs.iter().find(|o| float(o.dtype));
    let found = found.ok_or_else(|| request("the model has no float output to differentiate"))?;
    Ok(found.name.clone())
}

fn last_op<'a>(graph: &'a Graph, value: &str) -> Option<&'a str> {
    let node = graph.nodes.iter().find(|n| n.outputs.iter().any(|o| o == value))?;
    match node.op.as_str() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Cast" => {
            last_op(graph, node.inputs.first()?)
        }
        op => Some(op),
    }
}

/// Rows that are asked what an output holds.
const ASKED_ROWS: usize = 8;
/// How far shares of one may sum from one.
const SHARES_NEAR: f64 = 1e-4;

/// Whether every row of two or more columns holds shares of one.
fn shares(values: &Value, columns: usize) -> bool {
    let Some(flat) = values.to_f64s().filter(|_| columns > 1) else { return false };
    flat.chunks(columns).all(|row| {
        row.iter().all(|p| (0.0..=1.0 + SHARES_NEAR).contains(p))
            && (row.iter().sum::<f64>() - 1.0).abs() <= SHARES_NEAR
    })
}

fn first_rows(inputs: &Inputs) -> Result<Inputs, EngineError> {
    let mut out = Inputs::new();
    for (name, value) in inputs {
        let count = value.shape().first().map_or(1, |&n| n.clamp(1, ASKED_ROWS));
        let rows: Vec<usize> = (0..count).collect();
        let row = pick_rows(value, &rows).ok_or_else(|| request("there are no rows"))?;
        out.insert(name.clone(), row);
    }
    Ok(out)
}
