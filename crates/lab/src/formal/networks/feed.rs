//! The network that each row of a data set asks, and what it reads.
//!
//! Owns the split of a model's inputs into what an attacker moves and what stands still. A model
//! with one input is lowered once; one with several (a table) anew for every row, with the columns
//! that stand still as constants. Called by whoever opens a model for `--suite proved`.

use std::borrow::Cow;

use proofmark_engine::graph::Graph;
use proofmark_engine::pipeline::rows_of;
use proofmark_engine::reference::{self, Precision};
use proofmark_engine::value::{Inputs, Value};

use super::lowering;
use super::radius::{Prover, RadiusError};
use crate::decision::Decision;

/// A model and its rows.
pub struct Feed<'a> {
    graph: &'a Graph,
    rows: Inputs,
    /// Inputs that an attacker moves, in the order of the model.
    live: Vec<String>,
    /// Values of the live inputs, row by row.
    values: Vec<f64>,
    places: Vec<Option<usize>>,
    decision: Decision,
    columns: Vec<usize>,
    shared: Option<Prover>,
}

impl<'a> Feed<'a> {
    /// `free` names the attacker's coordinates in order: input and place within it; `columns` the
    /// column of each class in the model's output.
    ///
    /// # Errors
    /// The first row cannot be lowered, or nothing moves.
    pub fn new(
        graph: &'a Graph,
        rows: Inputs,
        free: &[(String, usize)],
        decision: Decision,
        columns: &[usize],
    ) -> Result<Self, RadiusError> {
        let named = |name: &String| free.iter().any(|(input, _)| input == name);
        let live: Vec<String> = graph.inputs.iter().map(|i| i.name.clone()).filter(named).collect();
        let broken = |words: &str| RadiusError::Rows(words.to_owned());
        let (mut parts, mut places, mut n) = (Vec::new(), Vec::new(), 0);
        for name in &live {
            let value = rows.get(name).ok_or_else(|| broken("an input without rows"))?;
            let all = value.to_f64s().ok_or_else(|| broken("an input that is no numbers"))?;
            n = value.shape().first().copied().unwrap_or(0);
            let width = all.len().checked_div(n).unwrap_or(0);
            let place = |column| free.iter().position(|(i, c)| i == name && *c == column);
            places.extend((0..width).map(place));
            parts.push((all, width));
        }
        if places.iter().all(Option::is_none) {
            return Err(broken("no input that an attacker moves"));
        }
        let mut values = Vec::with_capacity(n * places.len());
        for row in 0..n {
            for (all, width) in &parts {
                values.extend_from_slice(&all[row * width..(row + 1) * width]);
            }
        }
        let columns = columns.to_vec();
        let mut feed = Self { graph, rows, live, values, places, decision, columns, shared: None };
        if graph.inputs.len() == 1 {
            let net = lowering::lower(graph)?;
            feed.shared = Some(Prover::new(net, &feed.decision, &feed.columns)?);
        }
        let first = feed.prover(0)?;
        if first.inputs() != feed.places.len() {
            let words = format!("rows of {} values for {}", feed.places.len(), first.inputs());
            return Err(RadiusError::Rows(words));
        }
        for row in 0..n.min(COMPARED) {
            feed.agrees(row)?;
        }
        Ok(feed)
    }

    /// The lowered network beside the model itself, computed in doubles.
    fn agrees(&self, row: usize) -> Result<(), RadiusError> {
        let Ok(prover) = self.prover(row) else { return Ok(()) };
        let output = self.graph.outputs.first().map_or("", |o| o.name.as_str());
        let inputs = self.inputs(row)?;
        let values = reference::run(self.graph, &inputs, &[output], Precision::F64);
        let values = values.map_err(|e| RadiusError::Rows(e.to_string()))?;
        let answer = values.first().and_then(Value::to_f64s).unwrap_or_default();
        if self.row(row).iter().chain(&answer).all(|v| v.is_finite())
            && !prover.agrees(self.row(row), &answer)
        {
            let words = format!("row {row}: the network that would be proved answers otherwise");
            return Err(RadiusError::Rows(words));
        }
        Ok(())
    }

    fn inputs(&self, row: usize) -> Result<Inputs, RadiusError> {
        let one =
            |(name, value): (&String, &Value)| Some((name.clone(), rows_of(value, row..row + 1)?));
        let inputs: Option<Inputs> = self.rows.iter().map(one).collect();
        inputs.ok_or_else(|| RadiusError::Rows(format!("there is no row {row}")))
    }

    /// The network of a row.
    ///
    /// # Errors
    /// It cannot be lowered, e.g. because a value of the row is missing.
    pub fn prover(&self, row: usize) -> Result<Cow<'_, Prover>, RadiusError> {
        if let Some(shared) = &self.shared {
            return Ok(Cow::Borrowed(shared));
        }
        let inputs = self.inputs(row)?;
        let net = lowering::lower_row(self.graph, &inputs, &self.live)?;
        Ok(Cow::Owned(Prover::new(net, &self.decision, &self.columns)?))
    }

    /// What the network of a row reads.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.places.len()..(row + 1) * self.places.len()]
    }

    /// The attacker's coordinate that each value is; `None` where it stands still.
    pub fn places(&self) -> &[Option<usize>] {
        &self.places
    }
}

/// Rows on which the lowered network is compared with the model.
const COMPARED: usize = 8;
