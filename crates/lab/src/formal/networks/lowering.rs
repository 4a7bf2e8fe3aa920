//! From a graph to linear maps and ReLU.
//!
//! Owns which operators can be bounded; every other one is refused by name. What is piecewise
//! linear is written with ReLU without loss: `max(a, b) = b + relu(a - b)`, clips as differences
//! of ReLU, slopes as sums. Weights are the file's own: nothing is folded in single precision,
//! but what a file itself computes from constants. Must never change a value.

use std::collections::BTreeMap;

use proofmark_engine::extent::Skeleton;
use proofmark_engine::graph::{Attribute, Graph, Node as GraphNode};
use proofmark_engine::reference::{self, Precision};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};

use super::net::{Head, Map, Matrix, Net, Node, Op, Sparse};

mod activation;
mod linear;
mod prepared;
mod window;

pub use prepared::lower_row;

/// Why a model cannot be bounded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum LowerError {
    #[error("node `{node}` ({op}): {reason}; networks of linear operators and ReLU are proved")]
    Operator { node: String, op: String, reason: String },
    #[error("a proof needs a model with one input of floats, this one has {0}")]
    Inputs(String),
    #[error("a proof needs a model with one output of floats, this one has {0}")]
    Outputs(String),
    #[error("the sizes of the model's values do not follow from its inputs: {0}")]
    Sizes(String),
    #[error("the network is larger than what is proved here: {0}")]
    TooLarge(String),
}

/// Elements of one value.
pub const ELEMENTS_MAX: usize = 1 << 20;
/// Weights of all linear maps together, 2 GiB with their magnitudes.
pub const WEIGHTS_MAX: usize = 1 << 27;

/// Lowers a model with one input and one output of floats; open dimensions are one.
///
/// # Errors
/// [`LowerError`].
pub fn lower(graph: &Graph) -> Result<Net, LowerError> {
    let [input] = graph.inputs.as_slice() else {
        return Err(LowerError::Inputs(format!("{} inputs", graph.inputs.len())));
    };
    let [output] = graph.outputs.as_slice() else {
        return Err(LowerError::Outputs(format!("{} outputs", graph.outputs.len())));
    };
    if input.dtype != Some(DType::F32) {
        return Err(LowerError::Inputs("an input of another type than 32-bit floats".into()));
    }
    let skeleton = Skeleton::of(graph);
    let shapes = skeleton.smallest();
    let Some(shape) = shapes.get(&input.name).cloned() else {
        return Err(LowerError::Inputs("an input without a shape".into()));
    };
    skeleton.measure(&shapes).map_err(|e| LowerError::Sizes(e.to_string()))?;
    let mut builder = Builder {
        nodes: Vec::new(),
        values: BTreeMap::new(),
        constants: graph.constants.clone(),
        graph,
        weights: 0,
        heads: BTreeMap::new(),
    };
    let len = builder.sized(&shape, "the input")?;
    builder.nodes.push(Node { len, op: Op::Input });
    builder.values.insert(input.name.clone(), Held { node: 0, shape });
    builder.all(&output.name)
}

/// Whether a net answers at `x` what the model answers there, computed by another road: `answer`,
/// in doubles.
pub fn agrees(net: &Net, x: &[f64], answer: &[f64]) -> bool {
    let Ok(row) = Matrix::from_shape_vec((1, x.len()), x.to_vec()) else { return false };
    let mut own: Vec<f64> = net.run(&row).iter().copied().collect();
    match net.head() {
        Head::None => {}
        Head::Sigmoid => own.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
        Head::Softmax => {
            let top = own.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            own.iter_mut().for_each(|v| *v = (*v - top).exp());
            let sum: f64 = own.iter().sum();
            own.iter_mut().for_each(|v| *v /= sum);
        }
    }
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= AGREES * b.abs().max(1.0);
    own.len() == answer.len() && own.iter().zip(answer).all(near)
}

/// What weights folded in 32 bits may change.
const AGREES: f64 = 1e-3;

/// A value of the graph that depends on the input.
#[derive(Clone, Debug)]
struct Held {
    node: usize,
    shape: Vec<usize>,
}

struct Builder<'a> {
    nodes: Vec<Node>,
    values: BTreeMap<String, Held>,
    constants: BTreeMap<String, Value>,
    graph: &'a Graph,
    weights: usize,
    heads: BTreeMap<String, Head>,
}

type Lowered<T> = Result<T, LowerError>;

impl Builder<'_> {
    /// Every node of the graph in turn.
    fn all(mut self, output: &str) -> Lowered<Net> {
        let graph = self.graph;
        for node in &graph.nodes {
            self.node(node, output)?;
        }
        let head = self.heads.get(output).copied().unwrap_or(Head::None);
        let words = "an output that does not depend on the input";
        let held = self.values.get(output).ok_or_else(|| LowerError::Outputs(words.into()))?;
        let output = held.node;
        // What the file computes behind its output is no part of it.
        self.nodes.truncate(output + 1);
        Ok(Net { output, nodes: self.nodes, head })
    }

    fn node(&mut self, node: &GraphNode, output: &str) -> Lowered<()> {
        let live = node.inputs.iter().any(|name| self.values.contains_key(name));
        if !live {
            return self.fold(node);
        }
        if node.inputs.iter().any(|name| self.heads.contains_key(name)) {
            return refuse(node, "Softmax or Sigmoid anywhere but at the very end");
        }
        if !node.domain.is_empty() && !Self::prepares(node) {
            return refuse(node, "an operator of another domain");
        }
        match node.op.as_str() {
            "Identity" | "Dropout" => self.alias(node, None),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(node),
            "Transpose" => self.transpose(node),
            "Concat" => self.concat(node),
            "Shape" => self.shape(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.matmul(node),
            "Add" | "Sub" => self.add(node),
            "Sum" => self.sum(node),
            "Mul" | "Div" => self.scale(node),
            "Neg" => self.negate(node),
            "BatchNormalization" => self.batch_norm(node),
            "Conv" => self.conv(node),
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => self.average(node),
            "MaxPool" => self.max_pool(node),
            "Relu" => self.relu(node),
            "LeakyRelu" | "PRelu" | "Clip" | "Abs" | "HardSigmoid" => self.bent(node),
            "Max" | "Min" => self.extreme(node),
            "Softmax" | "Sigmoid" => self.head(node, output),
            "Scaler" => self.scaler(node),
            "Imputer" => self.imputer(node),
            "Cast" => self.cast(node),
            _ => refuse(node, "this operator is not bounded"),
        }
    }

    /// Computes what depends on constants alone, as an engine would.
    fn fold(&mut self, node: &GraphNode) -> Lowered<()> {
        let inputs = node.inputs.iter().filter(|name| !name.is_empty());
        let constants: Option<BTreeMap<String, Value>> =
            inputs.map(|n| Some((n.clone(), self.constants.get(n)?.clone()))).collect();
        let Some(constants) = constants else { return refuse(node, "an input is not known") };
        let alone = Graph {
            constants,
            nodes: vec![node.clone()],
            opsets: self.graph.opsets.clone(),
            ..Graph::default()
        };
        let names: Vec<&str> =
            node.outputs.iter().filter(|o| !o.is_empty()).map(String::as_str).collect();
        match reference::run(&alone, &Inputs::new(), &names, Precision::F32) {
            Ok(values) => {
                self.constants.extend(names.iter().map(|n| n.to_string()).zip(values));
                Ok(())
            }
            Err(error) => refuse(node, error.to_string()),
        }
    }

    fn sized(&self, shape: &[usize], what: &str) -> Lowered<usize> {
        let len = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        len.filter(|&n| n > 0 && n <= ELEMENTS_MAX)
            .ok_or_else(|| LowerError::TooLarge(format!("{what} has the shape {shape:?}")))
    }

    /// The value an input names, which depends on the network's input.
    fn held(&self, node: &GraphNode, i: usize) -> Lowered<Held> {
        let held = node.inputs.get(i).and_then(|name| self.values.get(name)).cloned();
        held.ok_or_else(|| {
            refusal(node, format!("input {i} is a constant where a value is wanted"))
        })
    }

    /// A constant input; `None` where it is left out.
    fn constant(&self, node: &GraphNode, i: usize) -> Lowered<Option<&Value>> {
        match node.inputs.get(i) {
            None => Ok(None),
            Some(name) if name.is_empty() => Ok(None),
            Some(name) => match self.constants.get(name) {
                Some(value) => Ok(Some(value)),
                None => refuse(node, format!("input {i} depends on the input of the model")),
            },
        }
    }

    /// A constant input as doubles with its shape.
    fn floats(&self, node: &GraphNode, i: usize) -> Lowered<Option<Tensor<f64>>> {
        let Some(value) = self.constant(node, i)? else { return Ok(None) };
        let data = value.to_f64s().filter(|data| data.iter().all(|v| v.is_finite()));
        let tensor = data.and_then(|data| Tensor::new(value.shape(), data));
        tensor.map(Some).ok_or_else(|| refusal(node, format!("input {i} is not finite numbers")))
    }

    fn wanted(&self, node: &GraphNode, i: usize) -> Lowered<Tensor<f64>> {
        self.floats(node, i)?.ok_or_else(|| refusal(node, format!("input {i} is missing")))
    }

    /// Gives the node's output a value.
    fn give(&mut self, node: &GraphNode, at: usize, shape: Vec<usize>) -> Lowered<()> {
        let Some(name) = node.outputs.first() else { return refuse(node, "it has no output") };
        if self.sized(&shape, name)? != self.nodes[at].len {
            return refuse(node, "its result has another size than its shape");
        }
        self.values.insert(name.clone(), Held { node: at, shape });
        Ok(())
    }

    fn push(&mut self, len: usize, op: Op) -> usize {
        self.nodes.push(Node { len, op });
        self.nodes.len() - 1
    }

    fn linear(&mut self, from: usize, map: Map, bias: Vec<f64>) -> Lowered<usize> {
        let weights = match &map {
            Map::Dense(w) => w.len(),
            Map::Sparse(w) => w.weights.len(),
            Map::Diagonal(w) => w.len(),
            Map::Conv(w) => w.weight.len(),
        };
        self.weights = self.weights.saturating_add(weights);
        if self.weights > WEIGHTS_MAX {
            return Err(LowerError::TooLarge(format!("more than {WEIGHTS_MAX} weights")));
        }
        let magnitude = map.magnitude();
        Ok(self.push(bias.len(), Op::Linear { from, map, magnitude, bias }))
    }

    /// The same elements in another shape.
    fn alias(&mut self, node: &GraphNode, shape: Option<Vec<usize>>) -> Lowered<()> {
        let held = self.held(node, 0)?;
        self.give(node, held.node, shape.unwrap_or(held.shape))
    }

    fn reshape(&mut self, node: &GraphNode) -> Lowered<()> {
        let shape = self.found_shape(node)?;
        self.alias(node, Some(shape))
    }

    /// The shape of a node's output, found by running it on noughts.
    fn found_shape(&self, node: &GraphNode) -> Lowered<Vec<usize>> {
        let mut constants = BTreeMap::new();
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            let value = match (self.values.get(name), self.constants.get(name)) {
                (Some(held), _) => {
                    let zeros = vec![0.0_f32; self.nodes[held.node].len];
                    Tensor::new(held.shape.clone(), zeros).map(Value::F32)
                }
                (_, Some(value)) => Some(value.clone()),
                _ => None,
            };
            let value = value.ok_or_else(|| refusal(node, "an input is not known"))?;
            constants.insert(name.clone(), value);
        }
        let opsets = self.graph.opsets.clone();
        let alone = Graph { constants, nodes: vec![node.clone()], opsets, ..Graph::default() };
        let name = node.outputs.first().map_or("", String::as_str);
        match reference::run(&alone, &Inputs::new(), &[name], Precision::F32).as_deref() {
            Ok([value]) => Ok(value.shape()),
            Ok(_) => refuse(node, "it gives no result"),
            Err(error) => refuse(node, error.to_string()),
        }
    }

    fn shape(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let int = |name: &str, default| match node.attributes.get(name) {
            Some(Attribute::Int(v)) => *v,
            _ => default,
        };
        let rank = held.shape.len() as i64;
        let place = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
        let (start, end) = (place(int("start", 0)), place(int("end", rank)));
        let dims = held.shape.get(start..end).unwrap_or_default();
        let dims = dims.iter().map(|&d| d as i64).collect();
        if let Some(name) = node.outputs.first() {
            self.constants.insert(name.clone(), Value::I64(Tensor::vector(dims)));
        }
        Ok(())
    }

    fn transpose(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let rank = held.shape.len();
        let order: Vec<usize> = match node.attributes.get("perm") {
            Some(Attribute::Ints(v)) => v.iter().map(|&v| v as usize).collect(),
            _ => (0..rank).rev().collect(),
        };
        if order.len() != rank || order.iter().any(|&axis| axis >= rank) {
            return refuse(node, "`perm` does not fit the shape");
        }
        let strides = strides(&held.shape);
        let shape: Vec<usize> = order.iter().map(|&axis| held.shape[axis]).collect();
        let moved: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let places = indices(&shape, &moved).map(|place| (0, place as u32)).collect();
        self.pick(node, vec![held.node], places, shape)
    }

    fn concat(&mut self, node: &GraphNode) -> Lowered<()> {
        let mut parts = Vec::new();
        for i in 0..node.inputs.len() {
            let live = self.values.contains_key(&node.inputs[i]);
            parts.push(if live { self.held(node, i)? } else { self.still(node, i)? });
        }
        let rank = parts[0].shape.len() as i64;
        let axis = match node.attributes.get("axis") {
            Some(Attribute::Int(v)) if *v < 0 => *v + rank,
            Some(Attribute::Int(v)) => *v,
            _ => -1,
        };
        if !(0..rank).contains(&axis) || parts.iter().any(|p| p.shape.len() as i64 != rank) {
            return refuse(node, "`axis` does not fit the shapes");
        }
        let axis = axis as usize;
        let outer: usize = parts[0].shape[..axis].iter().product();
        let inner: usize = parts[0].shape[axis + 1..].iter().product();
        let mut places = Vec::new();
        for o in 0..outer {
            for (source, part) in parts.iter().enumerate() {
                let len = part.shape[axis] * inner;
                places.extend((o * len..(o + 1) * len).map(|p| (source as u32, p as u32)));
            }
        }
        let mut shape = parts[0].shape.clone();
        shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
        self.pick(node, parts.iter().map(|p| p.node).collect(), places, shape)
    }

    fn pick(
        &mut self,
        node: &GraphNode,
        from: Vec<usize>,
        places: Vec<(u32, u32)>,
        shape: Vec<usize>,
    ) -> Lowered<()> {
        let inside = |&(source, place): &(u32, u32)| {
            from.get(source as usize).is_some_and(|&k| (place as usize) < self.nodes[k].len)
        };
        if !places.iter().all(inside) {
            return refuse(node, "its shapes do not fit together");
        }
        let at = self.push(places.len(), Op::Pick { from, places });
        self.give(node, at, shape)
    }

    /// Softmax over all outputs, or Sigmoid, that gives the model's output.
    fn head(&mut self, node: &GraphNode, output: &str) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let name = node.outputs.first().map_or("", String::as_str);
        if name != output {
            return refuse(node, "it is bounded only where it gives the output of the model");
        }
        let long = held.shape.iter().filter(|&&d| d > 1).count();
        let axis = match node.attributes.get("axis") {
            Some(Attribute::Int(v)) if *v < 0 => *v + held.shape.len() as i64,
            Some(Attribute::Int(v)) => *v,
            _ if self.graph.opset("") < 13 => 1,
            _ => held.shape.len() as i64 - 1,
        };
        let over = held.shape.get(axis as usize).copied().unwrap_or(1);
        let head = match node.op.as_str() {
            "Sigmoid" => Head::Sigmoid,
            _ if long <= 1 && over == self.nodes[held.node].len => Head::Softmax,
            _ => return refuse(node, "Softmax is over a part of the outputs"),
        };
        self.heads.insert(name.to_string(), head);
        self.give(node, held.node, held.shape)
    }
}

fn refusal(node: &GraphNode, reason: impl Into<String>) -> LowerError {
    let (name, op) = (node.name.clone(), node.op.clone());
    LowerError::Operator { node: name, op, reason: reason.into() }
}

fn refuse<T>(node: &GraphNode, reason: impl Into<String>) -> Lowered<T> {
    Err(refusal(node, reason))
}

/// Row-major strides.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Places of all elements of a shape, in order, by other strides.
fn indices<'a>(shape: &'a [usize], by: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let own = strides(shape);
    let total: usize = shape.iter().product();
    (0..total)
        .map(move |i| (0..shape.len()).map(|axis| i / own[axis] % shape[axis] * by[axis]).sum())
}

/// A constant spread over a shape that it can be broadcast to; `None` where it would enlarge it.
fn spread(tensor: &Tensor<f64>, shape: &[usize]) -> Option<Vec<f64>> {
    let own = tensor.shape();
    // leading ones change nothing
    let extra = own.len().saturating_sub(shape.len());
    if own[..extra].iter().any(|&d| d != 1) {
        return None;
    }
    let own = &own[extra..];
    let lead = shape.len() - own.len();
    let mut by = vec![0; shape.len()];
    for (axis, (&d, stride)) in own.iter().zip(strides(own)).enumerate() {
        if d != 1 && d != shape[lead + axis] {
            return None;
        }
        by[lead + axis] = if d == 1 { 0 } else { stride };
    }
    Some(indices(shape, &by).map(|place| tensor.data()[place]).collect())
}
