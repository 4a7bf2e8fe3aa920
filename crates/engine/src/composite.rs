//! Operators that are defined by plainer ones.
//!
//! Owns the definitions: normalisations, attention and what optimisers fuse (`com.microsoft`),
//! written as nodes of `ai.onnx` in the forms of the graph's opset. The reference computes them
//! by these definitions, so the lowered graph gives the same bits. Must never need a shape.
//! Called by `reference` when a program is prepared and by `lower`.

mod attention;
mod bend;
mod contrib;
mod norm;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::graph::{Attribute, Dim, Graph, Node};
use crate::reference::OpError;
use crate::reference::op::{misshapen, wrong};
use crate::value::{DType, Tensor, Value};

/// Domain of the operators that ONNX Runtime's optimiser writes.
pub const MICROSOFT: &str = "com.microsoft";

/// What writes a node in plain operators.
type Define = fn(&mut Emit) -> Result<(), OpError>;

/// Domain and name of every composite operator, sorted within a domain.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    PLAIN.iter().map(|(n, _)| ("", *n)).chain(CONTRIB.iter().map(|(n, _)| (MICROSOFT, *n)))
}

/// Whether the operator is one of those defined here.
pub fn is_composite(domain: &str, op: &str) -> bool {
    find(domain, op).is_some()
}

fn find(domain: &str, op: &str) -> Option<Define> {
    let table = match domain {
        "" => PLAIN,
        MICROSOFT => CONTRIB,
        _ => return None,
    };
    table.iter().find(|(name, _)| *name == op).map(|(_, define)| *define)
}

/// The graph without composite operators; the first node that cannot be written, and why.
pub(crate) fn expand(graph: &Graph) -> Result<Cow<'_, Graph>, (usize, OpError)> {
    if !graph.nodes.iter().any(|n| is_composite(&n.domain, &n.op)) {
        return Ok(Cow::Borrowed(graph));
    }
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), ..graph.clone() };
    for (i, node) in graph.nodes.iter().enumerate() {
        match rewrite(&mut out, node) {
            Ok(true) => {}
            Ok(false) => out.nodes.push(node.clone()),
            Err(error) => return Err((i, error)),
        }
    }
    Ok(Cow::Owned(out))
}

/// As [`expand`], but a node that cannot be written stays as it is.
pub(crate) fn expand_possible(graph: &mut Graph) {
    if !graph.nodes.iter().any(|n| is_composite(&n.domain, &n.op)) {
        return;
    }
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        if !matches!(rewrite(graph, &node), Ok(true)) {
            graph.nodes.push(node);
        }
    }
}

/// Appends the plain nodes of a composite one; false when it is not composite.
fn rewrite(graph: &mut Graph, node: &Node) -> Result<bool, OpError> {
    let Some(define) = find(&node.domain, &node.op) else { return Ok(false) };
    let mut emit = Emit { graph, node, nodes: Vec::new(), constants: Vec::new(), count: 0 };
    define(&mut emit)?;
    let (nodes, constants) = (emit.nodes, emit.constants);
    graph.nodes.extend(nodes);
    graph.constants.extend(constants);
    graph.opsets.entry(String::new()).or_insert(crate::graph::OPSET_DEFAULT);
    Ok(true)
}

/// A node being written in plain operators.
pub(crate) struct Emit<'a> {
    graph: &'a Graph,
    node: &'a Node,
    nodes: Vec<Node>,
    constants: Vec<(String, Value)>,
    count: usize,
}

impl Emit<'_> {
    fn opset(&self) -> i64 {
        self.graph.opset("")
    }

    /// Input `i`, when given.
    fn optional(&self, i: usize) -> Option<String> {
        self.node.inputs.get(i).filter(|n| !n.is_empty()).cloned()
    }

    fn input(&self, i: usize) -> Result<String, OpError> {
        self.optional(i).ok_or(OpError::Missing(i))
    }

    /// Whether output `i` is wanted.
    fn wants(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(|o| !o.is_empty())
    }

    /// The name of output `i`.
    fn output(&self, i: usize) -> Result<String, OpError> {
        let name = self.node.outputs.get(i).filter(|o| !o.is_empty());
        name.cloned().ok_or_else(|| misshapen(format!("output {i} is missing")))
    }

    fn int(&self, name: &str, default: i64) -> Result<i64, OpError> {
        match self.node.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Int(v)) => Ok(*v),
            Some(_) => Err(wrong(name, "is not an integer")),
        }
    }

    fn float(&self, name: &str, default: f32) -> Result<f32, OpError> {
        match self.node.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Float(v)) => Ok(*v),
            Some(_) => Err(wrong(name, "is not a float")),
        }
    }

    fn text(&self, name: &str, default: &str) -> Result<String, OpError> {
        match self.node.attributes.get(name) {
            None => Ok(default.to_string()),
            Some(Attribute::Text(v)) => Ok(v.clone()),
            Some(_) => Err(wrong(name, "is not text")),
        }
    }

    fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, OpError> {
        match self.node.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v.clone())),
            Some(_) => Err(wrong(name, "is not a list of integers")),
        }
    }

    /// The attributes of those names, as they are.
    fn attributes(&self, names: &[&str]) -> Vec<(&'static str, Attribute)> {
        let own = self.node.attributes.iter();
        own.filter(|(n, _)| names.contains(&n.as_str()))
            .filter_map(|(n, v)| Some((*KEPT.iter().find(|k| *k == n)?, v.clone())))
            .collect()
    }

    fn refuse(&self, what: &str) -> OpError {
        OpError::Unsupported(what.to_string())
    }

    /// A constant of a fresh name.
    fn constant(&mut self, value: Value) -> String {
        let name = self.fresh("c");
        self.constants.push((name.clone(), value));
        name
    }

    fn scalar(&mut self, value: f32) -> String {
        self.constant(Value::F32(Tensor::scalar(value)))
    }

    fn vector(&mut self, values: &[i64]) -> String {
        self.constant(Value::I64(Tensor::vector(values.to_vec())))
    }

    fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.op_with(op, inputs, Vec::new())
    }

    fn op_with(&mut self, op: &str, inputs: &[&str], attributes: Vec<(&str, Attribute)>) -> String {
        let output = self.fresh(op);
        self.push(op, inputs, &output, attributes);
        output
    }

    /// The last node: gives output `i` of the composite one.
    fn give(&mut self, i: usize, op: &str, inputs: &[&str]) -> Result<(), OpError> {
        let output = self.output(i)?;
        self.push(op, inputs, &output, Vec::new());
        Ok(())
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: &str, with: Vec<(&str, Attribute)>) {
        let label = if self.node.name.is_empty() { &self.node.op } else { &self.node.name };
        self.nodes.push(Node {
            name: format!("{label}/{op}"),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|i| i.to_string()).collect(),
            outputs: vec![output.to_string()],
            attributes: with.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
        });
    }

    /// A reduction over axes that are kept as 1.
    fn reduce(&mut self, op: &str, x: &str, axes: &[i64]) -> String {
        let first_with_input = if op == "ReduceSum" { 13 } else { 18 };
        let keep = ("keepdims", Attribute::Int(1));
        if self.opset() < first_with_input {
            return self.op_with(op, &[x], vec![("axes", Attribute::Ints(axes.to_vec())), keep]);
        }
        let axes = self.vector(axes);
        self.op_with(op, &[x, &axes], vec![keep])
    }

    /// `x` in a shape of integers, 0 for "as it is" and -1 for "the rest".
    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.vector(shape);
        self.op("Reshape", &[x, &shape])
    }

    fn transpose(&mut self, x: &str, perm: &[i64]) -> String {
        self.op_with("Transpose", &[x], vec![("perm", Attribute::Ints(perm.to_vec()))])
    }

    /// `x` between two bounds on an axis, in steps of one.
    fn slice(&mut self, x: &str, axis: i64, from: i64, to: i64) -> String {
        if self.opset() < 10 {
            let list = |v| Attribute::Ints(vec![v]);
            let with = vec![("starts", list(from)), ("ends", list(to)), ("axes", list(axis))];
            return self.op_with("Slice", &[x], with);
        }
        let (from, to) = (self.vector(&[from]), self.vector(&[to]));
        let axis = self.vector(&[axis]);
        self.op("Slice", &[x, &from, &to, &axis])
    }

    /// `x (1 / sqrt(mean(x^2) + eps))` over the axes, or with the mean taken off first.
    fn normalised(&mut self, x: &str, axes: &[i64], eps: f32, centre: bool) -> String {
        let x = match centre {
            true => {
                let mean = self.reduce("ReduceMean", x, axes);
                self.op("Sub", &[x, &mean])
            }
            false => x.to_string(),
        };
        let square = self.op("Mul", &[&x, &x]);
        let variance = self.reduce("ReduceMean", &square, axes);
        let eps = self.scalar(eps);
        let variance = self.op("Add", &[&variance, &eps]);
        let deviation = self.op("Sqrt", &[&variance]);
        self.op("Div", &[&x, &deviation])
    }

    /// Rank of an input or constant of the graph, when it is declared.
    fn rank(&self, name: &str) -> Option<usize> {
        self.dims(name).map(|d| d.len())
    }

    /// Declared sizes of an input or constant; open ones are `None`.
    fn dims(&self, name: &str) -> Option<Vec<Option<usize>>> {
        if let Some(value) = self.graph.constants.get(name) {
            return Some(value.shape().into_iter().map(Some).collect());
        }
        let info = self.graph.inputs.iter().find(|i| i.name == name)?;
        let size = |d: &Dim| match d {
            Dim::Fixed(n) => Some(*n),
            Dim::Dynamic(_) => None,
        };
        info.shape.as_ref().map(|s| s.iter().map(size).collect())
    }

    /// Element type of an input, a constant or the result of a comparison, when it is known.
    fn dtype(&self, name: &str) -> Option<DType> {
        if let Some(value) = self.graph.constants.get(name) {
            return value.dtype();
        }
        if let Some(info) = self.graph.inputs.iter().find(|i| i.name == name) {
            return info.dtype;
        }
        let made = |n: &&Node| n.outputs.iter().any(|o| o == name);
        let maker = self.graph.nodes.iter().rev().find(made)?;
        let same = |i: usize| self.dtype(maker.inputs.get(i)?);
        match maker.op.as_str() {
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or"
            | "Not" | "Xor" | "IsNaN" | "IsInf" => Some(DType::Bool),
            "Cast" => match maker.attributes.get("to") {
                Some(Attribute::Int(c)) => i32::try_from(*c).ok().and_then(crate::model::held_as),
                _ => None,
            },
            "Where" => same(1),
            "ConstantOfShape" => match maker.attributes.get("value") {
                Some(Attribute::Tensor(v)) => v.dtype(),
                _ => Some(DType::F32),
            },
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(DType::I64),
            "Expand" | "Reshape" | "Unsqueeze" | "Squeeze" | "Slice" | "Trilu" | "Concat"
            | "Transpose" | "Gather" | "Tile" | "Identity" | "Add" | "Sub" | "Mul" | "Div"
            | "MatMul" | "Softmax" => same(0),
            _ => None,
        }
    }

    fn fresh(&mut self, what: &str) -> String {
        let base = self.node.outputs.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
        loop {
            self.count += 1;
            let name = format!("{base}/{}{what}", self.count);
            let taken = self.graph.constants.contains_key(&name)
                || self.graph.inputs.iter().any(|i| i.name == name);
            if !taken {
                return name;
            }
        }
    }
}

/// Attributes that are handed on.
const KEPT: &[&str] = &[
    "alpha",
    "auto_pad",
    "beta",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "group",
    "kernel_shape",
    "pads",
    "strides",
    "transA",
    "transB",
];

/// Composite operators of `ai.onnx`.
const PLAIN: &[(&str, Define)] = &[
    ("Attention", attention::attention),
    ("Celu", bend::celu),
    ("GlobalLpPool", norm::global_lp_pool),
    ("GroupNormalization", norm::group),
    ("LpNormalization", norm::lp),
    ("LpPool", norm::lp_pool),
    ("MeanVarianceNormalization", norm::mean_variance),
    ("Mish", bend::mish),
    ("RMSNormalization", norm::root_mean_square),
    ("RotaryEmbedding", attention::rotary),
    ("Selu", bend::selu),
    ("Shrink", bend::shrink),
    ("Swish", bend::swish),
    ("ThresholdedRelu", bend::thresholded_relu),
];

/// Composite operators of `com.microsoft`.
const CONTRIB: &[(&str, Define)] = &[
    ("BiasGelu", contrib::bias_gelu),
    ("DequantizeLinear", contrib::same),
    ("FastGelu", contrib::fast_gelu),
    ("FusedConv", contrib::fused_conv),
    ("FusedGemm", contrib::fused_gemm),
    ("FusedMatMul", contrib::fused_matmul),
    ("Gelu", contrib::gelu),
    ("QGemm", contrib::qgemm),
    ("QLinearAdd", contrib::qlinear_add),
    ("QLinearAveragePool", contrib::qlinear_average),
    ("QLinearGlobalAveragePool", contrib::qlinear_global_average),
    ("QLinearLeakyRelu", contrib::qlinear_leaky),
    ("QLinearMul", contrib::qlinear_mul),
    ("QLinearSigmoid", contrib::qlinear_sigmoid),
    ("QuantizeLinear", contrib::same),
    ("QuickGelu", contrib::quick_gelu),
    ("SimplifiedLayerNormalization", contrib::simplified_norm),
    ("SkipLayerNormalization", contrib::skip_norm),
    ("SkipSimplifiedLayerNormalization", contrib::skip_simplified_norm),
];

/// Attributes by name, for the nodes that are handed on whole.
type Attributes = BTreeMap<String, Attribute>;
