//! The graph: nodes in ONNX terms with values named as in the file.
//!
//! Owns structure only. Any graph here can be written back as ONNX, so that a gradient is again
//! a model that runs on any engine.

use std::collections::BTreeMap;

use crate::value::{DType, Value};

/// A dimension: fixed, or named (dynamic).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Known.
    Fixed(usize),
    /// Named or unnamed dynamic dimension.
    Dynamic(String),
}

/// Name, element type and shape of an input or output.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    /// Name.
    pub name: String,
    /// Element type; `None` for sequences of maps.
    pub dtype: Option<DType>,
    /// Shape; `None` when the file says nothing.
    pub shape: Option<Vec<Dim>>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name, for messages; may be empty.
    pub name: String,
    /// Operator, e.g. `Gemm`.
    pub op: String,
    /// Domain; empty for `ai.onnx`.
    pub domain: String,
    /// Input value names; empty text for an omitted optional input.
    pub inputs: Vec<String>,
    /// Output value names; empty text for an unused output.
    pub outputs: Vec<String>,
    /// Attributes.
    pub attributes: BTreeMap<String, Attribute>,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Tensor(Value),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// A graph in topological order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// Inputs that a caller must give (initialisers excluded).
    pub inputs: Vec<ValueInfo>,
    /// Outputs.
    pub outputs: Vec<ValueInfo>,
    /// Nodes, topologically sorted.
    pub nodes: Vec<Node>,
    /// Constants by name.
    pub constants: BTreeMap<String, Value>,
    /// Opset by domain (`""` is `ai.onnx`).
    pub opsets: BTreeMap<String, i64>,
}
