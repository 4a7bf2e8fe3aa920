//! One head of an output with several columns.
//!
//! Owns the pick: a `Gather` of one column behind the declared output, before a `Sigmoid` where
//! there is one, so that the loss still finds the logit. Must never change the value of the
//! column picked. Called where a graph is opened.

use super::{PipelineOptions, request};
use crate::engine::EngineError;
use crate::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use crate::value::{DType, Tensor, Value};

/// The output that is judged: the declared one, or its picked column.
///
/// # Errors
/// A column that the output does not have, or an output that is no `[n, k]` matrix.
pub(super) fn pick(
    graph: &mut Graph,
    output: String,
    options: &PipelineOptions,
) -> Result<String, EngineError> {
    let Some(column) = options.column else { return Ok(output) };
    let shape = graph.outputs.iter().find(|o| o.name == output).and_then(|o| o.shape.clone());
    match shape.as_deref() {
        None | Some([_, Dim::Dynamic(_)]) => {}
        Some([_, Dim::Fixed(k)]) if column < *k => {}
        Some([_, Dim::Fixed(k)]) => {
            return Err(EngineError::Request(format!(
                "the output `{output}` has {k} columns, 0 to {}; there is no column {column}",
                k.saturating_sub(1)
            )));
        }
        Some(_) => {
            let words =
                format!("the output `{output}` is no matrix `[n, k]`, so it has no columns");
            return Err(EngineError::Request(words));
        }
    }
    let index = Tensor::new(vec![1], vec![column as i64]).map(Value::I64);
    let index = index.ok_or_else(|| request("the column could not be picked"))?;
    graph.constants.insert(INDEX.to_string(), index);
    let sigmoid = graph.nodes.iter().find(|n| n.outputs.contains(&output));
    let sigmoid = sigmoid.filter(|n| n.op == "Sigmoid" && n.domain.is_empty()).cloned();
    let from = sigmoid.as_ref().and_then(|n| n.inputs.first()).unwrap_or(&output).clone();
    let head = node("Gather", vec![from, INDEX.to_string()], HEAD);
    let head = Node { attributes: [("axis".to_string(), Attribute::Int(1))].into(), ..head };
    graph.nodes.push(head);
    if sigmoid.is_some() {
        graph.nodes.push(node("Sigmoid", vec![HEAD.to_string()], PROBABILITY));
    }
    let name = if sigmoid.is_some() { PROBABILITY } else { HEAD };
    graph.outputs.push(ValueInfo { name: name.to_string(), dtype: Some(DType::F32), shape: None });
    Ok(name.to_string())
}

fn node(op: &str, inputs: Vec<String>, output: &str) -> Node {
    Node {
        name: output.to_string(),
        op: op.to_string(),
        domain: String::new(),
        inputs,
        outputs: vec![output.to_string()],
        attributes: Default::default(),
    }
}

const INDEX: &str = "proofmark:head-index";
const HEAD: &str = "proofmark:head";
const PROBABILITY: &str = "proofmark:head-probability";
