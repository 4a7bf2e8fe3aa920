//! Shapes and element types of every value, found by running the reference.
//!
//! Owns the extrapolation from two small batches to the width that is wanted, so that probing a
//! wide batch of a large network stays cheap. Called by [`crate::loss`] and by tests.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::reference::{self, Precision, RunError};
use crate::value::{DType, Inputs, Value};

/// Shape and element type of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Shape.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
}

/// What is known of each value by name.
pub type Shapes = BTreeMap<String, Meta>;

/// Shapes of every input and node output when run on `inputs`, whose leading dimension is the
/// batch. Wider batches than [`PROBE_ROWS`] are extrapolated from runs of two and three rows.
///
/// # Errors
/// A node that the reference cannot run.
pub fn probe(graph: &Graph, inputs: &Inputs) -> Result<Shapes, RunError> {
    let rows = inputs.values().filter_map(|v| v.shape().first().copied()).max().unwrap_or(0);
    let shared = inputs.values().all(|v| v.shape().first() == Some(&rows));
    if rows <= PROBE_ROWS || !shared {
        return shapes_of(graph, inputs);
    }
    let open = without_input_shapes(graph);
    let small: Option<(Inputs, Inputs)> = head(inputs, 2).zip(head(inputs, 3));
    let Some((two, three)) = small else { return shapes_of(graph, inputs) };
    match (shapes_of(&open, &two), shapes_of(&open, &three)) {
        (Ok(a), Ok(b)) => match extrapolate(&a, &b, rows) {
            Some(shapes) => Ok(shapes),
            None => shapes_of(graph, inputs),
        },
        // A graph written for one batch size runs at that size only.
        _ => shapes_of(graph, inputs),
    }
}

fn shapes_of(graph: &Graph, inputs: &Inputs) -> Result<Shapes, RunError> {
    let mut shapes = Shapes::new();
    for (name, value) in inputs {
        insert(&mut shapes, name, value);
    }
    let names: Vec<&str> = graph
        .nodes
        .iter()
        .flat_map(|n| &n.outputs)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    let values = reference::prepare(graph, Precision::F32)?.run(inputs, &names)?;
    for (name, value) in names.iter().zip(&values) {
        insert(&mut shapes, name, value);
    }
    Ok(shapes)
}

fn insert(shapes: &mut Shapes, name: &str, value: &Value) {
    if let Some(dtype) = value.dtype() {
        shapes.insert(name.to_string(), Meta { shape: value.shape(), dtype });
    }
}

/// Each dimension is taken as linear in the batch.
fn extrapolate(two: &Shapes, three: &Shapes, rows: usize) -> Option<Shapes> {
    let mut out = Shapes::new();
    for (name, a) in two {
        let b = three.get(name)?;
        if a.shape.len() != b.shape.len() || a.dtype != b.dtype {
            return None;
        }
        let shape = a.shape.iter().zip(&b.shape).map(|(&a, &b)| {
            let slope = b.checked_sub(a)?;
            a.checked_add(slope.checked_mul(rows - 2)?)
        });
        out.insert(name.clone(), Meta { shape: shape.collect::<Option<_>>()?, dtype: a.dtype });
    }
    Some(out)
}

fn head(inputs: &Inputs, rows: usize) -> Option<Inputs> {
    let first = |v: &Value| crate::pipeline::pick_rows(v, &(0..rows).collect::<Vec<_>>());
    inputs.iter().map(|(name, v)| Some((name.clone(), first(v)?))).collect()
}

fn without_input_shapes(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for input in &mut graph.inputs {
        input.shape = None;
    }
    graph
}

/// Batches up to this many rows are run as they are: two runs of two and three would cost more.
const PROBE_ROWS: usize = 5;
