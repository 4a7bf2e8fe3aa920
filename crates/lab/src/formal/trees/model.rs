//! The ensemble inside a model's graph, and how the columns it reads hang on the attacker's
//! coordinates.
//!
//! Owns the look through the operators that lie before and behind the trees. Must never look
//! through an operator that changes the numbers an attacker moves: those are refused by name.
//! Called by whoever opens a model for the search.

use std::collections::BTreeMap;

use proofmark_engine::graph::{Attribute, Graph, ML, Node, OWN};
use proofmark_engine::reference::{self, Precision};
use proofmark_engine::trees::{self, Ensemble, LABEL, Link, MARGIN, Output};
use proofmark_engine::value::{Inputs, Value};

use super::TreesError;
use crate::formal::reading::{Judged, ReadingError};

/// The ensemble that a judged output is read from.
#[derive(Clone, Debug)]
pub struct Found {
    /// The ensemble, in the reading of the operator that holds it.
    pub ensemble: Ensemble,
    /// Which of its outputs is judged.
    pub judged: Judged,
    /// The value that the trees read.
    pub input: String,
}

/// What the trees read, row by row, and which of it an attacker moves.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Values, `rows x columns`; NaN is missing.
    pub values: Vec<f64>,
    /// Columns of the ensemble.
    pub columns: usize,
    /// The free coordinate that a column holds, unchanged; `None` where nobody moves it.
    pub places: Vec<Option<usize>>,
}

/// Finds the ensemble behind an output.
///
/// # Errors
/// The output comes from something else, or through an operator that is not looked through.
pub fn find(graph: &Graph, output: &str) -> Result<Found, TreesError> {
    let mut name = output;
    for _ in 0..=graph.nodes.len() {
        let made = |n: &&Node| n.outputs.iter().any(|o| o == name);
        let Some(node) = graph.nodes.iter().find(made) else { break };
        if let Some(ensemble) = trees::of_node(node, graph) {
            let place = node.outputs.iter().position(|o| o == name).unwrap_or(0);
            let input = node.inputs.first().cloned().unwrap_or_default();
            let ensemble = (*ensemble).clone();
            let (ensemble, judged) = match node.domain == OWN {
                true => {
                    let judged = match name {
                        MARGIN => Judged::Margins,
                        LABEL => Judged::Labels,
                        _ => Judged::Answers,
                    };
                    (ensemble, judged)
                }
                false => as_operator(ensemble, node, place)?,
            };
            return Ok(Found { ensemble, judged, input });
        }
        match (node.op.as_str(), node.inputs.first()) {
            ("Identity" | "ZipMap", Some(input)) => name = input,
            ("Cast", Some(input)) if floats(node) => name = input,
            _ => return Err(TreesError::Behind { op: node.op.clone() }),
        }
    }
    Err(TreesError::NoTrees { output: output.to_string() })
}

/// An ensemble of `ai.onnx.ml` as its operator reads it: of two classes in ways of its own.
fn as_operator(
    mut e: Ensemble,
    node: &Node,
    place: usize,
) -> Result<(Ensemble, Judged), TreesError> {
    let bases =
        ["base_values", "base_values_as_tensor"].map(|key| match node.attributes.get(key) {
            Some(Attribute::Floats(values)) => values.len(),
            Some(Attribute::Tensor(value)) => value.len(),
            _ => 0,
        });
    let bases: usize = bases.iter().sum();
    let odd = |what: &str| Err(ReadingError { what: what.to_string() }.into());
    if e.notes.iter().any(|note| note.contains("transformed")) {
        return odd("scores through a transform of the operator");
    }
    if node.op != "TreeEnsembleClassifier" {
        if e.outputs == 1 {
            // The runtime transforms no single target.
            e.link = Link::Identity;
        }
        if bases != 0 && bases != e.outputs {
            return odd("targets of which some have a base value");
        }
        return Ok((e, Judged::Answers));
    }
    let labels = place == 0;
    if labels {
        // Its rules for labels are not those of its scores.
        return odd("the labels of `TreeEnsembleClassifier`; declare its scores as the output");
    }
    if e.outputs != 2 {
        return match bases == 0 || bases == e.outputs {
            true => Ok((e, Judged::Answers)),
            false => odd("classes of which some have a base value"),
        };
    }
    match (e.only_output(), bases) {
        (Some(0), 0 | 1) => {
            let positive = e.trees.iter().flat_map(|t| &t.leaves).all(|&w| w >= 0.0);
            let base = base_of(node);
            e.outputs = 1;
            e.base = if bases == 1 { vec![base] } else { Vec::new() };
            e.trees.iter_mut().for_each(|t| {
                if let Output::Listed { targets, .. } = &mut t.output {
                    targets.fill(0);
                }
            });
            match e.link {
                Link::LogisticEach { .. } | Link::Logistic { .. } => {
                    e.link = Link::Logistic { scale: 1.0 };
                    Ok((e, Judged::Answers))
                }
                // No other transform is made of one score for two classes.
                _ => {
                    e.link = Link::Identity;
                    Ok((e, if positive { Judged::Shares } else { Judged::Answers }))
                }
            }
        }
        (_, 0) => Ok((e, Judged::Answers)),
        _ => odd("two classes with base values"),
    }
}

fn base_of(node: &Node) -> f64 {
    match node.attributes.get("base_values") {
        Some(Attribute::Floats(values)) => values.first().map_or(0.0, |&v| f64::from(v)),
        _ => match node.attributes.get("base_values_as_tensor") {
            Some(Attribute::Tensor(value)) => {
                value.to_f64s().and_then(|v| v.first().copied()).unwrap_or(0.0)
            }
            _ => 0.0,
        },
    }
}

/// What the trees read of the bound rows. `free` names the attacker's coordinates in order: input
/// and column within it.
///
/// # Errors
/// An operator between a free coordinate and the trees that changes it, or a row that cannot be
/// computed.
pub fn feed(
    graph: &Graph,
    input: &str,
    rows: &Inputs,
    free: &[(String, usize)],
) -> Result<Feed, TreesError> {
    let trace = Trace { graph, rows, free };
    let value = trace.value(input)?;
    let n = value.shape().first().copied().unwrap_or(0);
    let values = value.to_f64s().ok_or_else(|| TreesError::NoTrees { output: input.into() })?;
    let columns = values.len().checked_div(n).unwrap_or(0);
    let places = trace.places(input, 0)?.unwrap_or_else(|| vec![None; columns]);
    if places.len() != columns {
        return Err(TreesError::Before { op: "a reshaping".into() });
    }
    let mut seen = BTreeMap::new();
    for place in places.iter().flatten() {
        *seen.entry(*place).or_insert(0) += 1;
    }
    if let Some((&twice, _)) = seen.iter().find(|(_, count)| **count > 1) {
        // Two columns that move together are no box.
        let op = format!("a copy of coordinate {twice} into several columns");
        return Err(TreesError::Before { op });
    }
    Ok(Feed { values, columns, places })
}

struct Trace<'a> {
    graph: &'a Graph,
    rows: &'a Inputs,
    free: &'a [(String, usize)],
}

/// Columns of a value: the free coordinate that each holds.
type Places = Vec<Option<usize>>;

impl Trace<'_> {
    /// A value of the graph for all rows.
    fn value(&self, name: &str) -> Result<Value, TreesError> {
        if let Some(value) = self.rows.get(name) {
            return Ok(value.clone());
        }
        let run = reference::run(self.graph, self.rows, &[name], Precision::F32);
        let reason = |e: String| TreesError::Broken { reason: e };
        let values = run.map_err(|e| reason(e.to_string()))?;
        values.into_iter().next().ok_or_else(|| reason(format!("no value `{name}`")))
    }

    fn width(&self, name: &str) -> Result<usize, TreesError> {
        let value = self.value(name)?;
        let n = value.shape().first().copied().unwrap_or(0);
        Ok(value.len().checked_div(n).unwrap_or(0))
    }

    /// Places of a value; `None` where nothing in it is free.
    fn places(&self, name: &str, depth: usize) -> Result<Option<Places>, TreesError> {
        if depth > self.graph.nodes.len() {
            return Err(TreesError::Before { op: "a circle".into() });
        }
        if self.rows.contains_key(name) {
            let mine = self.free.iter().enumerate().filter(|(_, (input, _))| input == name);
            let mine: Vec<(usize, usize)> = mine.map(|(at, (_, column))| (at, *column)).collect();
            if mine.is_empty() {
                return Ok(None);
            }
            let mut places = vec![None; self.width(name)?];
            for (at, column) in mine {
                if let Some(place) = places.get_mut(column) {
                    *place = Some(at);
                }
            }
            return Ok(Some(places));
        }
        let made = |n: &&Node| n.outputs.iter().any(|o| o == name);
        let Some(node) = self.graph.nodes.iter().find(made) else { return Ok(None) };
        let inputs = node.inputs.iter().filter(|i| !i.is_empty());
        let each: Vec<Option<Places>> =
            inputs.map(|input| self.places(input, depth + 1)).collect::<Result<_, _>>()?;
        if each.iter().all(Option::is_none) {
            return Ok(None);
        }
        self.through(node, each).map(Some)
    }

    /// What an operator makes of places, where it leaves the numbers as they are.
    fn through(&self, node: &Node, each: Vec<Option<Places>>) -> Result<Places, TreesError> {
        let refused = || Err(TreesError::Before { op: node.op.clone() });
        let first = each.first().cloned().flatten();
        let only_first = each.iter().skip(1).all(Option::is_none);
        match node.op.as_str() {
            "Concat" if matches!(node.attributes.get("axis"), Some(Attribute::Int(1 | -1))) => {
                let mut all = Vec::new();
                for (input, places) in node.inputs.iter().filter(|i| !i.is_empty()).zip(each) {
                    match places {
                        Some(places) => all.extend(places),
                        None => all.extend(vec![None; self.width(input)?]),
                    }
                }
                Ok(all)
            }
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" if only_first => {
                let places = first.unwrap_or_default();
                let name = node.outputs.first().map_or("", String::as_str);
                // Rows stay rows, and their numbers keep their order.
                if self.width(name)? == places.len() { Ok(places) } else { refused() }
            }
            "Cast" if only_first && floats(node) => Ok(first.unwrap_or_default()),
            "Imputer" if node.domain == ML && only_first && fills_gaps_only(node) => {
                Ok(first.unwrap_or_default())
            }
            _ => refused(),
        }
    }
}

/// Whether a cast keeps numbers numbers.
fn floats(node: &Node) -> bool {
    // FLOAT and DOUBLE of the format.
    matches!(node.attributes.get("to"), Some(Attribute::Int(1 | 11)))
}

/// Whether an imputer replaces missing values alone.
fn fills_gaps_only(node: &Node) -> bool {
    match node.attributes.get("replaced_value_float") {
        Some(Attribute::Float(v)) => v.is_nan(),
        // Unsaid, it is 0, a number like any other.
        _ => false,
    }
}
