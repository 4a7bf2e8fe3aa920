//! A model that answers rows it has not seen before: compiled once, asked again and again.
//!
//! Owns the whole graph, compiled for one output, and the reading of that output. Must never
//! bind to data rows (see [`super::Pipeline`]). Called by the guard.

use super::apart;
use super::head;
use super::open::{choose_output, fixed_batch, info_of};
use super::rows::padded;
use super::score::Column;
use super::{PipelineOptions, request};
use crate::autodiff::upgrade;
use crate::engine::{Compiled, EngineError, EngineFacts, Program, compile_first};
use crate::lower::lower;
use crate::model::Model;
use crate::value::{Inputs, Value};

/// A model ready to be asked; may be shared by threads.
pub struct Serving {
    program: Box<dyn Program>,
    facts: EngineFacts,
    options: PipelineOptions,
    output: String,
    inputs: Vec<String>,
    fixed: Option<usize>,
    /// Whether rows are answered one by one; known once rows that differ were asked together.
    apart: apart::Known,
}

impl Serving {
    /// Compiles the model for the output, answer and classes of `options`; what it says of free
    /// inputs, width and threads is not used.
    ///
    /// # Errors
    /// An unknown output, or an operator that no engine here can run.
    pub fn open(model: &Model, options: &PipelineOptions) -> Result<Self, EngineError> {
        let mut graph = upgrade(&lower(model.graph()));
        let output = choose_output(&graph, options)?;
        let output = head::pick(&mut graph, output, options)?;
        graph.outputs = vec![info_of(&graph, &output)];
        let Compiled { program, facts, .. } = compile_first(&graph, options.engine, 1)?;
        let inputs = graph.inputs.iter().map(|i| i.name.clone()).collect();
        let fixed = fixed_batch(&graph);
        let (options, apart) = (options.clone(), apart::Known::default());
        Ok(Self { program, facts, options, output, inputs, fixed, apart })
    }

    /// Scores, `rows x classes`, in the order of the output's columns. All inputs hold the same
    /// number of rows, at least one; a model of fixed batch size is asked in such batches.
    ///
    /// # Errors
    /// An input that is missing or misshapen, an answer of another form than declared, or an
    /// engine failure.
    pub fn scores(&self, inputs: &Inputs) -> Result<Vec<f32>, EngineError> {
        let rows = inputs.values().next().and_then(|v| v.shape().first().copied()).unwrap_or(0);
        let even =
            |name: &String| inputs.get(name).is_some_and(|v| v.shape().first() == Some(&rows));
        if rows == 0 || !self.inputs.iter().all(even) {
            return Err(request("every input needs the same number of rows, at least one"));
        }
        let apart = self.apart(inputs, rows)?;
        let width = match (self.fixed, apart) {
            (Some(width), false) if width > 1 => return Err(apart::mixed(width)),
            (Some(width), _) => width,
            (None, true) => rows,
            (None, false) => 1,
        };
        if width == rows {
            return self.batch(inputs, rows, rows);
        }
        let all: Vec<usize> = (0..rows).collect();
        let mut scores = Vec::with_capacity(rows * self.options.classes);
        for chunk in all.chunks(width.max(1)) {
            let batch = apart::picked(inputs, &padded(chunk, width))?;
            scores.extend(self.batch(&batch, width, chunk.len())?);
        }
        Ok(scores)
    }

    /// The engine that computes.
    pub fn engine(&self) -> &EngineFacts {
        &self.facts
    }

    /// Names of the inputs.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Whether a row's answer is the same among these rows and alone; asked of the model once.
    fn apart(&self, inputs: &Inputs, rows: usize) -> Result<bool, EngineError> {
        let run = |rows: &[usize]| self.program.run(&apart::picked(inputs, rows)?, &[&self.output]);
        let width = (self.fixed.unwrap_or(rows), self.fixed.is_some());
        self.apart.apart(run, inputs, rows, width)
    }

    fn batch(&self, inputs: &Inputs, width: usize, rows: usize) -> Result<Vec<f32>, EngineError> {
        let values = self.program.run(inputs, &[&self.output])?;
        let value = values.first().ok_or_else(|| request("the engine gave no output"))?;
        let per_row = match value {
            Value::Maps(maps) => maps.len() == width,
            other => width > 0 && other.len().is_multiple_of(width) && !other.is_empty(),
        };
        if !per_row {
            return Err(EngineError::Request(format!(
                "the output `{}` is not one answer per row",
                self.output
            )));
        }
        let column = Column {
            output: &self.output,
            answer: self.options.answer,
            classes: self.options.classes,
            labels: &self.options.label_values,
            width,
        };
        let scores = column.scores(value, rows)?;
        if scores.len() != rows * self.options.classes {
            return Err(EngineError::Request(format!(
                "the output `{}` gives {} scores for {rows} rows of {} classes",
                self.output,
                scores.len(),
                self.options.classes
            )));
        }
        Ok(scores)
    }
}
