//! Reverse-mode differentiation, graph to graph.
//!
//! Owns the walk from an output back to the inputs and the table of rules; one file per operator
//! family holds the rules. The result is again a graph of plain ONNX operators, so a gradient
//! runs on any engine. Weights get no gradient, and only what depends on `wrt` is emitted.
//!
//! A gradient graph is specialised to the shapes it was built for (see [`probe`]): the pipeline
//! runs at one fixed batch width, and known shapes turn every broadcast into a constant. The
//! graph must be one that [`upgrade`] has brought to opset 18 forms.
//!
//! Must never evaluate a model (except to [`probe`] shapes) nor know a loss. Called by
//! [`crate::loss`] and by tests.

mod activation;
mod along;
mod builder;
mod conv;
mod einsum;
mod elementwise;
mod linear;
mod norm;
mod pool;
mod probe;
mod quantize;
mod reduce;
mod settle;
mod shape;
mod softmax;
mod unroll;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

pub use probe::{Meta, Shapes, probe};
pub use upgrade::upgrade;

pub(crate) use builder::Builder;
pub(crate) use pool::first_of;
pub(crate) use settle::settle;

use crate::graph::{Dim, Graph, Node, ValueInfo};
use crate::value::DType;

/// What [`AutodiffError::Disconnected`] says, for those who must tell it from other reasons.
pub(crate) const ONLY_STEPS: &str = "through differentiable operators";

/// Why a graph has no gradient.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AutodiffError {
    /// An operator on the way has no rule, or no rule for this use of it.
    #[error(
        "operator `{op}` (domain `{domain}`, node `{node}`, opset {opset}) cannot be \
         differentiated: {detail}"
    )]
    Unsupported {
        /// Operator.
        op: String,
        /// Domain; `ai.onnx` when the file leaves it empty.
        domain: String,
        /// Node name, or its first output when it has none.
        node: String,
        /// Opset of the domain in the model.
        opset: i64,
        /// What is missing.
        detail: String,
    },
    /// No differentiable path leads from the inputs to the output.
    #[error("`{of}` does not depend on {wrt} {ONLY_STEPS}")]
    Disconnected {
        /// The output.
        of: String,
        /// The inputs, in words.
        wrt: String,
    },
    /// A value without a known shape.
    #[error("the shape of `{0}` is not known; probe the graph that is differentiated")]
    Shape(String),
}

/// A rule: adds to the cotangents of the node's inputs. `grads` holds one entry per output.
pub(crate) type Rule = fn(&mut Tape, &Node, &[Option<String>]) -> Result<(), AutodiffError>;

/// The gradient of `sum(cotangent * of)` with respect to `wrt`, as a graph.
///
/// The result has the inputs of `graph` and the input `cotangent` (same shape as `of`); its
/// outputs are those of `graph` followed by `grad:<name>` for each of `wrt`.
///
/// # Errors
/// [`AutodiffError`] when an operator on the way has no rule or nothing connects the two.
pub fn vjp(
    graph: &Graph,
    shapes: &Shapes,
    of: &str,
    cotangent: &str,
    wrt: &[String],
) -> Result<Graph, AutodiffError> {
    let meta = shapes.get(of).ok_or_else(|| AutodiffError::Shape(of.to_string()))?;
    let mut shapes = shapes.clone();
    let mut graph = settle(graph, &mut shapes);
    graph.inputs.push(ValueInfo {
        name: cotangent.to_string(),
        dtype: Some(meta.dtype),
        shape: Some(meta.shape.iter().map(|&d| Dim::Fixed(d)).collect()),
    });
    extend(Builder::new(graph, shapes), &[(of.into(), cotangent.into())], wrt)
}

/// Appends the reverse pass of `seeds` (value, cotangent) and the outputs `grad:<wrt>`.
pub(crate) fn extend(
    builder: Builder,
    seeds: &[(String, String)],
    wrt: &[String],
) -> Result<Graph, AutodiffError> {
    let nodes = builder.graph().nodes.clone();
    let live = live_values(&nodes, &builder, wrt);
    if !seeds.iter().any(|(of, _)| live.contains(of)) {
        return Err(disconnected(seeds, wrt));
    }
    let mut tape = Tape { builder, live, pending: BTreeMap::new() };
    for (of, cotangent) in seeds {
        tape.add(of, cotangent.clone());
    }
    for node in nodes.iter().rev() {
        if !node.outputs.iter().any(|o| tape.pending.contains_key(o) && tape.is_live(o)) {
            continue;
        }
        let grads: Vec<Option<String>> = node.outputs.iter().map(|o| tape.take(o)).collect();
        let rule = rule(node).ok_or_else(|| tape.unsupported(node, "no rule for it"))?;
        rule(&mut tape, node, &grads)?;
    }
    tape.finish(seeds, wrt)
}

/// Whether the walk can pass the operator (for reports; shapes may still rule a use out).
pub fn differentiable(op: &str, domain: &str) -> bool {
    is_default(domain) && (RULES.iter().any(|(name, _)| *name == op) || CUTS.contains(&op))
}

/// What the gradient of a graph takes for something else than it is, in words for a report.
pub fn estimated(graph: &Graph) -> Option<String> {
    let mut found: Vec<&str> =
        graph.nodes.iter().filter(|n| is_estimated(n)).map(|n| n.op.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    let names = found.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    (!found.is_empty()).then(|| {
        format!(
            "straight-through: the rounding of {names} is taken for the identity, so the gradient \
             is an estimate"
        )
    })
}

/// Whether the operator rounds to integers that stand for reals.
fn is_estimated(node: &Node) -> bool {
    is_default(&node.domain) && ROUNDING.contains(&node.op.as_str())
}

/// Whether the derivative of the operator is zero wherever it exists, so that the walk stops.
pub fn flat(op: &str, domain: &str) -> bool {
    is_default(domain) && CUTS.contains(&op)
}

/// The state of a reverse pass.
pub(crate) struct Tape {
    builder: Builder,
    live: BTreeSet<String>,
    pending: BTreeMap<String, Vec<String>>,
}

impl std::ops::Deref for Tape {
    type Target = Builder;
    fn deref(&self) -> &Builder {
        &self.builder
    }
}

impl std::ops::DerefMut for Tape {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Tape {
    /// Whether the value depends on `wrt` through differentiable operators.
    pub(crate) fn is_live(&self, value: &str) -> bool {
        self.live.contains(value)
    }

    /// Adds a contribution (of exactly the value's shape) to the cotangent of `value`.
    pub(crate) fn add(&mut self, value: &str, cotangent: String) {
        if self.is_live(value) {
            self.pending.entry(value.to_string()).or_default().push(cotangent);
        }
    }

    /// Adds a contribution of shape `from` after summing it down to the shape of `value`.
    pub(crate) fn add_broadcast(
        &mut self,
        value: &str,
        cotangent: String,
        from: &[usize],
    ) -> Result<(), AutodiffError> {
        if self.is_live(value) {
            let to = self.shape(value)?;
            let summed = self.sum_to(&cotangent, from, &to);
            self.add(value, summed);
        }
        Ok(())
    }

    /// The error for a use of an operator without a rule.
    pub(crate) fn unsupported(&self, node: &Node, detail: &str) -> AutodiffError {
        let opset = self.builder.graph().opsets.get(&node.domain).copied();
        let first = node.outputs.first().cloned().unwrap_or_default();
        AutodiffError::Unsupported {
            op: node.op.clone(),
            domain: if is_default(&node.domain) { "ai.onnx".into() } else { node.domain.clone() },
            node: if node.name.is_empty() { first } else { node.name.clone() },
            opset: opset.unwrap_or(0),
            detail: detail.to_string(),
        }
    }

    /// The summed cotangent of a value, when it has one.
    fn take(&mut self, value: &str) -> Option<String> {
        let parts = self.pending.remove(value)?;
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        Some(parts.fold(first, |sum, part| self.op("Add", &[&sum, &part])))
    }

    fn finish(
        mut self,
        seeds: &[(String, String)],
        wrt: &[String],
    ) -> Result<Graph, AutodiffError> {
        if !wrt.iter().any(|w| self.pending.contains_key(w)) {
            return Err(disconnected(seeds, wrt));
        }
        // Two inputs may share one cotangent value.
        let shared: Vec<String> = self.pending.values().flatten().cloned().collect();
        shared.iter().for_each(|value| self.reserve(value));
        for name in wrt {
            let shape = self.shape(name)?;
            let grad = match self.take(name) {
                Some(grad) => grad,
                None => self.zeros(&shape),
            };
            self.builder.output(&format!("grad:{name}"), &grad, DType::F32, &shape);
        }
        Ok(self.builder.finish())
    }
}

/// Every value that depends on `wrt` through operators that have a derivative.
fn live_values(nodes: &[Node], builder: &Builder, wrt: &[String]) -> BTreeSet<String> {
    let mut live: BTreeSet<String> = wrt.iter().cloned().collect();
    for node in nodes {
        if flat(&node.op, &node.domain) || !node.inputs.iter().any(|i| live.contains(i)) {
            continue;
        }
        let float = |o: &&String| !o.is_empty() && builder.is_float(o);
        // Integers that stand for reals, and whatever only moves them.
        let held = node.inputs.first().is_some_and(|x| live.contains(x) && !builder.is_float(x));
        if is_estimated(node) || held {
            live.extend(node.outputs.first().cloned());
        } else {
            live.extend(node.outputs.iter().filter(float).cloned());
        }
    }
    live
}

fn disconnected(seeds: &[(String, String)], wrt: &[String]) -> AutodiffError {
    let of = seeds.iter().map(|(of, _)| of.as_str()).collect::<Vec<_>>().join("`, `");
    AutodiffError::Disconnected { of, wrt: format!("`{}`", wrt.join("`, `")) }
}

fn rule(node: &Node) -> Option<Rule> {
    if !is_default(&node.domain) {
        return None;
    }
    RULES.iter().find(|(name, _)| *name == node.op).map(|(_, rule)| *rule)
}

fn is_default(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The registration table: one line per operator.
const RULES: &[(&str, Rule)] = &[
    ("Abs", activation::abs),
    ("Acos", activation::acos),
    ("Acosh", activation::acosh),
    ("Add", elementwise::add),
    ("Asin", activation::asin),
    ("Asinh", activation::asinh),
    ("Atan", activation::atan),
    ("Atanh", activation::atanh),
    ("AveragePool", pool::average),
    ("BatchNormalization", norm::batch),
    ("Cast", shape::cast),
    ("Celu", activation::celu),
    ("Clip", elementwise::clip),
    ("Concat", shape::concat),
    ("Conv", conv::conv),
    ("ConvInteger", quantize::conv_integer),
    ("ConvTranspose", conv::conv_transpose),
    ("Cos", activation::cos),
    ("Cosh", activation::cosh),
    ("CumSum", along::cum_sum),
    ("DepthToSpace", along::depth_to_space),
    ("DequantizeLinear", quantize::dequantize),
    ("Div", elementwise::div),
    ("Dropout", shape::identity),
    ("DynamicQuantizeLinear", quantize::dynamic),
    ("Einsum", einsum::einsum),
    ("Elu", activation::elu),
    ("Erf", activation::erf),
    ("Exp", activation::exp),
    ("Expand", shape::expand),
    ("Flatten", shape::reshape),
    ("GRU", shape::not_unrolled),
    ("Gather", shape::gather),
    ("GatherElements", along::gather_elements),
    ("GatherND", along::gather_nd),
    ("Gelu", activation::gelu),
    ("Gemm", linear::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", shape::identity),
    ("InstanceNormalization", norm::instance),
    ("LRN", along::local_response),
    ("LSTM", shape::not_unrolled),
    ("LayerNormalization", norm::layer),
    ("LeakyRelu", activation::leaky_relu),
    ("Log", activation::log),
    ("LogSoftmax", softmax::log_softmax),
    ("MatMul", linear::matmul),
    ("MatMulInteger", quantize::matmul_integer),
    ("Max", elementwise::extremum),
    ("MaxPool", pool::max),
    ("Mean", elementwise::mean),
    ("Min", elementwise::extremum),
    ("Mish", activation::mish),
    ("Mod", elementwise::modulo),
    ("Mul", elementwise::mul),
    ("Neg", activation::neg),
    ("PRelu", activation::prelu),
    ("Pad", shape::pad),
    ("Pow", elementwise::pow),
    ("QLinearConv", quantize::qlinear_conv),
    ("QLinearMatMul", quantize::qlinear_matmul),
    ("QuantizeLinear", quantize::quantize),
    ("RNN", shape::not_unrolled),
    ("Reciprocal", activation::reciprocal),
    ("ReduceL1", reduce::l1),
    ("ReduceL2", reduce::l2),
    ("ReduceLogSum", reduce::log_sum),
    ("ReduceLogSumExp", reduce::log_sum_exp),
    ("ReduceMax", reduce::extremum),
    ("ReduceMean", reduce::mean),
    ("ReduceMin", reduce::extremum),
    ("ReduceProd", reduce::prod),
    ("ReduceSum", reduce::sum),
    ("ReduceSumSquare", reduce::sum_square),
    ("Relu", activation::relu),
    ("Reshape", shape::reshape),
    ("Resize", along::resize),
    ("ReverseSequence", along::reverse_sequence),
    ("ScatterElements", along::scatter_elements),
    ("ScatterND", along::scatter_nd),
    ("Selu", activation::selu),
    ("Sigmoid", activation::sigmoid),
    ("Sin", activation::sin),
    ("Sinh", activation::sinh),
    ("Slice", shape::slice),
    ("Softmax", softmax::softmax),
    ("Softplus", activation::softplus),
    ("Softsign", activation::softsign),
    ("SpaceToDepth", along::space_to_depth),
    ("Split", shape::split),
    ("Sqrt", activation::sqrt),
    ("Squeeze", shape::reshape),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::sum),
    ("Tan", activation::tan),
    ("Tanh", activation::tanh),
    ("ThresholdedRelu", activation::thresholded_relu),
    ("Tile", shape::tile),
    ("TopK", along::top_k),
    ("Transpose", shape::transpose),
    ("Trilu", along::trilu),
    ("Unsqueeze", shape::reshape),
    ("Where", elementwise::select),
];

/// Operators that round to integers that stand for reals; their rules are straight-through.
const ROUNDING: &[&str] = &[
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
];

/// Operators whose derivative is zero wherever it exists: the walk stops at them.
const CUTS: &[&str] = &[
    "And",
    "ArgMax",
    "ArgMin",
    "Ceil",
    "ConstantOfShape",
    "Equal",
    "EyeLike",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "NonZero",
    "Not",
    "Or",
    "Round",
    "Shape",
    "Sign",
    "Size",
    "Xor",
];
