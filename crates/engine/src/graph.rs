//! The graph: nodes in ONNX terms with values named as in the file.
//!
//! Owns structure only. Any graph here can be written back as ONNX, so that a gradient is again
//! a model that runs on any engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::trees::Ensemble;
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
    /// An ensemble read from its own file; no ONNX file holds it in this form.
    Trees(Arc<Ensemble>),
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

/// Opset assumed for a domain that a graph does not import: what hand-made graphs are written
/// against. A loaded model always imports what it uses.
pub const OPSET_DEFAULT: i64 = 18;
/// The same for `ai.onnx.ml`.
pub const OPSET_ML_DEFAULT: i64 = 3;
/// Domain of the classical operators.
pub const ML: &str = "ai.onnx.ml";
/// Our own domain: what is read from files of other kinds.
pub const OWN: &str = "ai.proofmark";
/// The attribute of `TreeEnsemble` in our own domain.
pub const TREES: &str = "trees";
/// The attribute of `CategoryHash` in our own domain: the hashes whose places are the codes.
pub const HASHES: &str = "hashes";

impl Graph {
    /// Opset of a domain.
    pub fn opset(&self, domain: &str) -> i64 {
        let default = if domain == ML { OPSET_ML_DEFAULT } else { OPSET_DEFAULT };
        self.opsets.get(domain).copied().unwrap_or(default)
    }
    /// Every value name: inputs, constants, what nodes give.
    pub fn names(&self) -> BTreeSet<&str> {
        let inputs = self.inputs.iter().map(|i| i.name.as_str());
        let constants = self.constants.keys().map(String::as_str);
        let given = self.nodes.iter().flat_map(|n| &n.outputs).map(String::as_str);
        inputs.chain(constants).chain(given).filter(|n| !n.is_empty()).collect()
    }
}

/// A shape as text: `(batch, 784)`, `?` for a dimension without a name.
pub fn shape_text(dims: &[Dim]) -> String {
    let parts: Vec<String> = dims
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Dynamic(name) if name.is_empty() => "?".to_string(),
            Dim::Dynamic(name) => name.clone(),
        })
        .collect();
    format!("({})", parts.join(", "))
}
