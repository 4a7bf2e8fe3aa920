//! How large the values of a graph become, found before anything is computed.
//!
//! Owns the bound on what other engines may allocate: they ask the system for whatever a file
//! tells them to, so a graph goes to them only when the size of every value follows from the
//! shapes of its inputs and stays within the limits of the reference. Must never compute a value
//! of more than [`KNOWN_ELEMENTS_MAX`] elements. Called by [`crate::engine`] when a graph is
//! compiled and when inputs of a new shape come.

use std::collections::BTreeMap;

use crate::composite;
use crate::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use crate::reference::{self, ELEMENTS_MAX, LIVE_CELLS_MAX, Precision};
use crate::value::{Inputs, Value};

mod rules;

/// Shapes of inputs by name.
pub type InputShapes = BTreeMap<String, Vec<usize>>;

/// A graph without its weights: what sizes follow from.
pub struct Skeleton {
    inputs: Vec<ValueInfo>,
    outputs: Vec<String>,
    nodes: Vec<Node>,
    opsets: BTreeMap<String, i64>,
    /// Opset of `ai.onnx`.
    opset: i64,
    constants: BTreeMap<String, Fact>,
}

/// Why a graph is kept from an engine that knows no limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtentError {
    /// A value beyond the limit.
    #[error(
        "node `{node}` ({op}) gives a result of shape {shape:?}, more than the limit of \
         {ELEMENTS_MAX} elements"
    )]
    TooLarge {
        /// Node.
        node: String,
        /// Operator.
        op: String,
        /// Shape of its result.
        shape: Vec<usize>,
    },
    /// Values that are each within the limit, and together are not.
    #[error(
        "the values that are held together with the result of node `{node}` ({op}) exceed the \
         limit of {} GiB", LIVE_CELLS_MAX >> 28
    )]
    TooMany {
        /// Node.
        node: String,
        /// Operator.
        op: String,
    },
    /// A value whose size is found only by computing it.
    #[error("how large the result of node `{node}` ({op}) becomes does not follow from the shapes")]
    Unknown {
        /// Node.
        node: String,
        /// Operator.
        op: String,
    },
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// The value itself: shapes and indices that a graph computes with.
    Known(Value),
    /// The shape only.
    Shaped(Vec<usize>),
}

impl Fact {
    pub(crate) fn shape(&self) -> Vec<usize> {
        match self {
            Self::Known(value) => value.shape(),
            Self::Shaped(shape) => shape.clone(),
        }
    }

    fn of(value: &Value) -> Self {
        match value.len() <= KNOWN_ELEMENTS_MAX && value.dtype().is_some() {
            true => Self::Known(value.clone()),
            false => Self::Shaped(value.shape()),
        }
    }
}

impl Skeleton {
    /// Of a graph; operators that are defined by plainer ones are looked at as those.
    pub fn of(graph: &Graph) -> Self {
        let plainer = composite::expand(graph);
        let graph = plainer.as_ref().map_or(graph, |plainer| plainer.as_ref());
        Self {
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.iter().map(|o| o.name.clone()).collect(),
            nodes: graph.nodes.clone(),
            opsets: graph.opsets.clone(),
            opset: graph.opset(""),
            constants: graph.constants.iter().map(|(n, v)| (n.clone(), Fact::of(v))).collect(),
        }
    }

    /// The declared shapes of the inputs, or `None` where the file leaves one open.
    pub fn declared(&self) -> Option<InputShapes> {
        let fixed = |d: &Dim| match d {
            Dim::Fixed(n) => Some(*n),
            Dim::Dynamic(_) => None,
        };
        let of = |info: &ValueInfo| {
            let shape: Option<Vec<usize>> = info.shape.as_ref()?.iter().map(fixed).collect();
            Some((info.name.clone(), shape?))
        };
        self.inputs.iter().map(of).collect()
    }

    /// The shapes of the inputs at their smallest: a dimension that is left open is one.
    pub fn smallest(&self) -> InputShapes {
        let least = |d: &Dim| match d {
            Dim::Fixed(n) => *n,
            Dim::Dynamic(_) => 1,
        };
        let of = |info: &ValueInfo| {
            Some((info.name.clone(), info.shape.as_ref()?.iter().map(least).collect()))
        };
        self.inputs.iter().filter_map(of).collect()
    }

    /// The shapes of given inputs.
    pub fn given(&self, inputs: &Inputs) -> InputShapes {
        let of = |i: &ValueInfo| Some((i.name.clone(), inputs.get(&i.name)?.shape()));
        self.inputs.iter().filter_map(of).collect()
    }

    /// Whether every value stays within the limits for inputs of these shapes.
    ///
    /// # Errors
    /// The first value that does not, or whose size is not known; values that follow from one
    /// that is not known are not looked at.
    pub fn measure(&self, shapes: &InputShapes) -> Result<(), ExtentError> {
        self.facts(shapes).map(drop)
    }

    /// The shape of every value for inputs of these shapes.
    ///
    /// # Errors
    /// As [`Skeleton::measure`].
    pub fn shapes(&self, shapes: &InputShapes) -> Result<InputShapes, ExtentError> {
        let facts = self.facts(shapes)?;
        Ok(facts.into_iter().map(|(name, fact)| (name, fact.shape())).collect())
    }

    fn facts(&self, shapes: &InputShapes) -> Result<BTreeMap<String, Fact>, ExtentError> {
        let mut facts = self.constants.clone();
        facts.extend(shapes.iter().map(|(n, s)| (n.clone(), Fact::Shaped(s.clone()))));
        let last = self.last_reads();
        let (mut unknown, mut live) = (None, Live::default());
        for (at, node) in self.nodes.iter().enumerate() {
            match self.node(node, &facts) {
                Some(outputs) => {
                    for (name, fact) in node.outputs.iter().zip(outputs) {
                        if !name.is_empty() {
                            let shape = fact.shape();
                            let size = volume(&shape).ok_or_else(|| too_large(node, at, shape))?;
                            live.enter(name, size);
                            facts.insert(name.clone(), fact);
                        }
                    }
                }
                None => unknown = unknown.or(Some((at, node))),
            }
            if live.now > LIVE_CELLS_MAX {
                let (node, op) = (label(node, at), node.op.clone());
                return Err(ExtentError::TooMany { node, op });
            }
            live.leave(node, |name| last.get(name) == Some(&at));
        }
        match unknown {
            None => Ok(facts),
            Some((at, node)) => {
                Err(ExtentError::Unknown { node: label(node, at), op: node.op.clone() })
            }
        }
    }

    /// The node that reads a value last; outputs are read to the end.
    fn last_reads(&self) -> BTreeMap<&str, usize> {
        let mut last = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            last.extend(node.inputs.iter().map(|name| (name.as_str(), at)));
            // What nobody reads is gone with its node.
            node.outputs.iter().for_each(|name| {
                last.entry(name.as_str()).or_insert(at);
            });
        }
        last.extend(self.outputs.iter().map(|name| (name.as_str(), usize::MAX)));
        last
    }

    fn node(&self, node: &Node, facts: &BTreeMap<String, Fact>) -> Option<Vec<Fact>> {
        let given = |name: &String| match name.as_str() {
            "" => Some(None),
            name => facts.get(name).map(Some),
        };
        let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(given).collect::<Option<_>>()?;
        let shapes = rules::results(node, self.opset, &inputs);
        let all = inputs.iter().flatten().all(|f| matches!(f, Fact::Known(_)));
        let small = |shapes: &Vec<Vec<usize>>| {
            shapes.iter().all(|s| volume(s).is_some_and(|n| n <= KNOWN_ELEMENTS_MAX))
        };
        if all
            && shapes.as_ref().is_some_and(small)
            && let Some(values) = self.computed(node, facts)
        {
            return Some(values.into_iter().map(Fact::Known).collect());
        }
        if let ("" | "ai.onnx", "Shape" | "Size") = (node.domain.as_str(), node.op.as_str()) {
            return rules::told(node, inputs.first().copied().flatten()?).map(|v| vec![v]);
        }
        Some(shapes?.into_iter().map(Fact::Shaped).collect())
    }

    /// A small value, computed from small values by the reference.
    fn computed(&self, node: &Node, facts: &BTreeMap<String, Fact>) -> Option<Vec<Value>> {
        let constant = |name: &String| match facts.get(name) {
            Some(Fact::Known(value)) => Some((name.clone(), value.clone())),
            _ => None,
        };
        let alone = Graph {
            constants: node.inputs.iter().filter_map(constant).collect(),
            nodes: vec![node.clone()],
            opsets: self.opsets.clone(),
            ..Graph::default()
        };
        if node.outputs.iter().any(String::is_empty) {
            return None;
        }
        let names: Vec<&str> = node.outputs.iter().map(String::as_str).collect();
        let values = reference::run(&alone, &Inputs::new(), &names, Precision::F32).ok()?;
        values.iter().all(|v| v.dtype().is_some()).then_some(values)
    }
}

/// Elements that are held at once, dropped after their last reader as the reference drops them.
#[derive(Default)]
struct Live {
    sizes: BTreeMap<String, usize>,
    now: usize,
}

impl Live {
    fn enter(&mut self, name: &str, size: usize) {
        let old = self.sizes.insert(name.to_string(), size).unwrap_or(0);
        self.now = self.now.saturating_sub(old).saturating_add(size);
    }

    fn leave(&mut self, node: &Node, over: impl Fn(&str) -> bool) {
        for name in node.inputs.iter().chain(&node.outputs).filter(|name| over(name)) {
            self.now -= self.sizes.remove(name).unwrap_or(0);
        }
    }
}

/// Elements of a shape, or `None` beyond the limit. A dimension of no elements counts as one, so
/// that no part of a shape is beyond it either.
pub(crate) fn volume(shape: &[usize]) -> Option<usize> {
    let room = shape.iter().try_fold(1usize, |a, &d| a.checked_mul(d.max(1)));
    room.filter(|&n| n <= ELEMENTS_MAX)?;
    Some(shape.iter().product())
}

fn too_large(node: &Node, at: usize, shape: Vec<usize>) -> ExtentError {
    ExtentError::TooLarge { node: label(node, at), op: node.op.clone(), shape }
}

fn label(node: &Node, at: usize) -> String {
    let named = std::iter::once(&node.name).chain(&node.outputs).find(|n| !n.is_empty());
    named.cloned().unwrap_or_else(|| format!("#{at}"))
}

/// An integer attribute, or its default.
pub(crate) fn int(node: &Node, name: &str, default: i64) -> Option<i64> {
    match node.attributes.get(name) {
        None => Some(default),
        Some(Attribute::Int(v)) => Some(*v),
        Some(_) => None,
    }
}

/// Values that are computed to follow shapes through a graph: shapes, axes, indices and small
/// tables of positions.
const KNOWN_ELEMENTS_MAX: usize = 1 << 12;
