//! Appends nodes and constants to a graph under fresh names.
//!
//! Owns naming and sharing of constants, and what is known of shapes. Must never know a
//! derivative. Called by the rules and by [`crate::loss`].

use std::collections::{BTreeMap, BTreeSet};

use super::{AutodiffError, Meta, Shapes};
use crate::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use crate::value::{DType, Tensor, Value};

/// A graph under construction.
pub(crate) struct Builder {
    graph: Graph,
    shapes: Shapes,
    prefix: String,
    count: usize,
    small: Vec<(Value, String)>,
    permuted: BTreeMap<(String, Vec<usize>), String>,
    /// Values that are still to be read under their names.
    reserved: BTreeSet<String>,
    /// Whether to repeat values by `Resize` where axes would be moved otherwise.
    pub(crate) stretch: bool,
}

impl Builder {
    /// Continues a graph whose shapes are known.
    pub(crate) fn new(graph: Graph, shapes: Shapes) -> Self {
        Self::named(graph, shapes, "vjp")
    }

    /// The same with another beginning of the fresh names.
    pub(crate) fn named(graph: Graph, shapes: Shapes, prefix: &str) -> Self {
        let mut prefix = String::from(prefix);
        while names(&graph).any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        let (small, permuted) = (Vec::new(), BTreeMap::new());
        let reserved = BTreeSet::new();
        Self { graph, shapes, prefix, count: 0, small, permuted, reserved, stretch: false }
    }

    /// The graph so far.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The finished graph.
    pub(crate) fn finish(self) -> Graph {
        self.graph
    }

    /// The finished graph and what is known of its shapes.
    pub(crate) fn into_parts(self) -> (Graph, Shapes) {
        (self.graph, self.shapes)
    }

    /// Drops the nodes, which the caller appends again, changed.
    pub(crate) fn clear(&mut self) {
        self.graph.nodes.clear();
    }

    /// Appends a node as it is.
    pub(crate) fn push(&mut self, node: Node) {
        self.graph.nodes.push(node);
    }

    /// Shape of a value of the forward graph.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, AutodiffError> {
        if let Some(meta) = self.shapes.get(name) {
            return Ok(meta.shape.clone());
        }
        let constant = self.graph.constants.get(name).and_then(value_shape);
        constant.ok_or_else(|| AutodiffError::Shape(name.to_string()))
    }

    /// Records the shape of a value that was appended by hand.
    pub(crate) fn note(&mut self, name: &str, shape: &[usize]) {
        let meta = Meta { shape: shape.to_vec(), dtype: DType::F32 };
        self.shapes.insert(name.to_string(), meta);
    }

    /// Whether the value is of a floating-point type.
    pub(crate) fn is_float(&self, name: &str) -> bool {
        let dtype = self.shapes.get(name).map(|meta| meta.dtype);
        matches!(dtype, Some(DType::F32 | DType::F64) | None)
    }

    /// Element type of a value of the forward graph, when known.
    pub(crate) fn dtype(&self, name: &str) -> Option<DType> {
        self.shapes.get(name).map(|meta| meta.dtype)
    }

    /// The constant of that name.
    pub(crate) fn constant_value(&self, name: &str) -> Option<&Value> {
        self.graph.constants.get(name)
    }

    /// A float constant as `f64`s.
    pub(crate) fn constant_floats(&self, name: &str) -> Option<Vec<f64>> {
        match self.graph.constants.get(name)? {
            Value::F32(t) => Some(t.data().iter().map(|&v| f64::from(v)).collect()),
            Value::F64(t) => Some(t.data().to_vec()),
            Value::I64(t) => Some(t.data().iter().map(|&v| v as f64).collect()),
            Value::I32(t) => Some(t.data().iter().map(|&v| f64::from(v)).collect()),
            _ => None,
        }
    }

    /// A numeric constant of any type as `f64`s.
    pub(crate) fn constant_floats_of_any(&self, name: &str) -> Option<Vec<f64>> {
        self.graph.constants.get(name)?.to_f64s()
    }

    /// An integer constant.
    pub(crate) fn constant_ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.graph.constants.get(name)? {
            Value::I64(t) => Some(t.data().to_vec()),
            Value::I32(t) => Some(t.data().iter().map(|&v| i64::from(v)).collect()),
            _ => None,
        }
    }

    /// Appends a node with one output and no attributes.
    pub(crate) fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.op_with(op, inputs, Vec::new())
    }

    /// Appends a node with one output.
    pub(crate) fn op_with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> String {
        let output = self.fresh(op);
        self.graph.nodes.push(Node {
            name: output.clone(),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|&i| i.to_string()).collect(),
            outputs: vec![output.clone()],
            attributes: attributes.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
        });
        output
    }

    /// Appends a node with several outputs.
    pub(crate) fn op_many(
        &mut self,
        op: &str,
        inputs: &[&str],
        count: usize,
        attributes: Vec<(&str, Attribute)>,
    ) -> Vec<String> {
        let outputs: Vec<String> = (0..count).map(|_| self.fresh(op)).collect();
        self.graph.nodes.push(Node {
            name: outputs.first().cloned().unwrap_or_default(),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|&i| i.to_string()).collect(),
            outputs: outputs.clone(),
            attributes: attributes.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
        });
        outputs
    }

    /// Declares an output of the graph under a name of its own.
    pub(crate) fn output(&mut self, name: &str, value: &str, dtype: DType, shape: &[usize]) {
        let node = Node {
            name: name.to_string(),
            op: "Identity".to_string(),
            domain: String::new(),
            inputs: vec![value.to_string()],
            outputs: vec![name.to_string()],
            attributes: BTreeMap::new(),
        };
        // Renaming the producing node spares a copy, where nothing else reads its output.
        if !self.rename_producer(value, name) {
            self.graph.nodes.push(node);
        }
        self.graph.outputs.push(ValueInfo {
            name: name.to_string(),
            dtype: Some(dtype),
            shape: Some(shape.iter().map(|&d| Dim::Fixed(d)).collect()),
        });
    }

    /// Keeps the name of a value that will be read later.
    pub(crate) fn reserve(&mut self, value: &str) {
        self.reserved.insert(value.to_string());
    }

    /// A constant; small ones are shared.
    pub(crate) fn constant(&mut self, value: Value) -> String {
        let shared = value_shape(&value).is_some_and(|s| s.iter().product::<usize>() <= 16);
        if shared && let Some((_, name)) = self.small.iter().find(|(v, _)| same(v, &value)) {
            return name.clone();
        }
        let name = self.fresh("c");
        if shared {
            self.small.push((value.clone(), name.clone()));
        }
        self.graph.constants.insert(name.clone(), value);
        name
    }

    /// A float constant of a shape; `data` must hold the product of `shape` values.
    pub(crate) fn floats(&mut self, shape: &[usize], data: Vec<f32>) -> String {
        let tensor = Tensor::new(shape.to_vec(), data);
        self.constant(Value::F32(tensor.unwrap_or_else(|| zero_tensor(shape))))
    }

    /// A float scalar.
    pub(crate) fn scalar(&mut self, value: f64) -> String {
        self.floats(&[], vec![value as f32])
    }

    /// A float constant of zeros.
    pub(crate) fn zeros(&mut self, shape: &[usize]) -> String {
        self.constant(Value::F32(zero_tensor(shape)))
    }

    /// A vector of integers.
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        let tensor = Tensor::new(vec![values.len()], values.to_vec());
        self.constant(Value::I64(tensor.unwrap_or_else(|| zero_tensor(&[]))))
    }

    /// `x * factor`; `x` itself for a factor of 1.
    pub(crate) fn scale(&mut self, x: &str, factor: f64) -> String {
        if factor == 1.0 {
            return x.to_string();
        }
        let factor = self.scalar(factor);
        self.op("Mul", &[x, &factor])
    }

    /// `x` where `condition` holds, else 0.
    ///
    /// As a product, which rten computes ten times faster than `Where`; the price is that an
    /// infinite `x` gives NaN, not 0, where the condition fails.
    pub(crate) fn keep(&mut self, condition: &str, x: &str) -> String {
        let mask = self.op_with("Cast", &[condition], vec![("to", Attribute::Int(FLOAT))]);
        self.op("Mul", &[x, &mask])
    }

    /// `x` in another shape; `x` itself when it has that shape.
    pub(crate) fn reshape(&mut self, x: &str, from: &[usize], to: &[usize]) -> String {
        if from == to {
            return x.to_string();
        }
        let shape = self.ints(&signed(to));
        self.op("Reshape", &[x, &shape])
    }

    /// Sums `x` of shape `from` down to `to`, undoing a broadcast of `to` to `from`.
    pub(crate) fn sum_to(&mut self, x: &str, from: &[usize], to: &[usize]) -> String {
        if from == to {
            return x.to_string();
        }
        let lead = from.len() - to.len().min(from.len());
        let stretched = |i: usize| i < lead || (to[i - lead] == 1 && from[i] != 1);
        let axes: Vec<usize> = (0..from.len()).filter(|&i| stretched(i)).collect();
        if axes.is_empty() {
            return self.reshape(x, from, to);
        }
        let summed = self.reduce("ReduceSum", x, &axes);
        let kept: Vec<usize> =
            (0..from.len()).map(|i| if axes.contains(&i) { 1 } else { from[i] }).collect();
        self.reshape(&summed, &kept, to)
    }

    /// A reduction over axes that keeps them as 1.
    pub(crate) fn reduce(&mut self, op: &str, x: &str, axes: &[usize]) -> String {
        let axes = self.ints(&signed(axes));
        self.op_with(op, &[x, &axes], vec![("keepdims", Attribute::Int(1))])
    }

    /// `x` stretched to `shape`.
    pub(crate) fn expand(&mut self, x: &str, from: &[usize], to: &[usize]) -> String {
        if from == to {
            return x.to_string();
        }
        let shape = self.ints(&signed(to));
        self.op("Expand", &[x, &shape])
    }

    /// `x` with its axes permuted; a constant is permuted here and now.
    pub(crate) fn transpose(&mut self, x: &str, perm: &[usize]) -> String {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return x.to_string();
        }
        let key = (x.to_string(), perm.to_vec());
        if let Some(name) = self.permuted.get(&key) {
            return name.clone();
        }
        if let Some(value) = self.graph.constants.get(x).and_then(|v| permute_value(v, perm)) {
            let name = self.constant(value);
            self.permuted.insert(key, name.clone());
            return name;
        }
        self.op_with("Transpose", &[x], vec![("perm", Attribute::Ints(signed(perm)))])
    }

    /// `x[starts..ends]` on each axis (unit steps); `x` itself when nothing is cut.
    pub(crate) fn crop(
        &mut self,
        x: &str,
        shape: &[usize],
        starts: &[usize],
        ends: &[usize],
    ) -> String {
        let cut = |&i: &usize| starts[i] != 0 || ends[i] != shape[i];
        let axes: Vec<usize> = (0..shape.len()).filter(cut).collect();
        if axes.is_empty() {
            return x.to_string();
        }
        let pick = |v: &[usize]| axes.iter().map(|&i| v[i] as i64).collect::<Vec<_>>();
        let (starts, ends) = (self.ints(&pick(starts)), self.ints(&pick(ends)));
        let axes = self.ints(&signed(&axes));
        self.op("Slice", &[x, &starts, &ends, &axes])
    }

    /// `x` with zeros before and after on each axis; `x` itself when there are none.
    pub(crate) fn pad(&mut self, x: &str, before: &[usize], after: &[usize]) -> String {
        if before.iter().chain(after).all(|&p| p == 0) {
            return x.to_string();
        }
        let pads: Vec<i64> = before.iter().chain(after).map(|&p| p as i64).collect();
        let pads = self.ints(&pads);
        self.op("Pad", &[x, &pads])
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{}{}_{}", self.prefix, self.count, what)
    }

    fn rename_producer(&mut self, value: &str, name: &str) -> bool {
        let reads = |n: &Node| n.inputs.iter().any(|i| i == value);
        let declared = self.graph.outputs.iter().any(|o| o.name == value);
        if declared || self.reserved.contains(value) || self.graph.nodes.iter().any(reads) {
            return false;
        }
        let nodes = self.graph.nodes.iter_mut().rev();
        match nodes.flat_map(|n| &mut n.outputs).find(|o| *o == value) {
            Some(output) => {
                *output = name.to_string();
                true
            }
            None => false,
        }
    }
}

/// ONNX's number for `float`.
pub(crate) const FLOAT: i64 = 1;

/// Dimensions as ONNX writes them.
pub(crate) fn signed(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| v as i64).collect()
}

/// An axis counted from the front.
pub(crate) fn axis_of(axis: i64, rank: usize) -> usize {
    (if axis < 0 { axis + rank as i64 } else { axis }).max(0) as usize
}

/// An integer attribute.
pub(crate) fn int(node: &Node, name: &str, default: i64) -> i64 {
    match node.attributes.get(name) {
        Some(Attribute::Int(v)) => *v,
        _ => default,
    }
}

/// A float attribute.
pub(crate) fn float(node: &Node, name: &str, default: f64) -> f64 {
    match node.attributes.get(name) {
        Some(Attribute::Float(v)) => f64::from(*v),
        _ => default,
    }
}

/// A list of integers, when the attribute is there.
pub(crate) fn int_list(node: &Node, name: &str) -> Option<Vec<i64>> {
    match node.attributes.get(name) {
        Some(Attribute::Ints(v)) => Some(v.clone()),
        _ => None,
    }
}

/// A text attribute.
pub(crate) fn text<'a>(node: &'a Node, name: &str, default: &'a str) -> &'a str {
    match node.attributes.get(name) {
        Some(Attribute::Text(v)) => v,
        _ => default,
    }
}

/// Shape of a tensor value; `None` for maps.
pub(crate) fn value_shape(value: &Value) -> Option<Vec<usize>> {
    Some(match value {
        Value::F32(t) => t.shape().to_vec(),
        Value::F64(t) => t.shape().to_vec(),
        Value::I64(t) => t.shape().to_vec(),
        Value::I32(t) => t.shape().to_vec(),
        Value::U8(t) => t.shape().to_vec(),
        Value::I8(t) => t.shape().to_vec(),
        Value::Bool(t) => t.shape().to_vec(),
        Value::Str(t) => t.shape().to_vec(),
        Value::Maps(_) => return None,
    })
}

/// A float tensor with axes in `flip` reversed.
pub(crate) fn flip_value(value: &Value, flip: &[usize]) -> Option<Value> {
    match value {
        Value::F32(t) => flip_tensor(t, flip).map(Value::F32),
        Value::F64(t) => flip_tensor(t, flip).map(Value::F64),
        _ => None,
    }
}

/// A float tensor with its axes permuted.
pub(crate) fn permute_value(value: &Value, perm: &[usize]) -> Option<Value> {
    match value {
        Value::F32(t) => permute_tensor(t, perm).map(Value::F32),
        Value::F64(t) => permute_tensor(t, perm).map(Value::F64),
        _ => None,
    }
}

/// A float tensor in another shape of the same number of elements.
pub(crate) fn reshape_value(value: Value, shape: &[usize]) -> Option<Value> {
    match value {
        Value::F32(t) => Tensor::new(shape.to_vec(), t.into_parts().1).map(Value::F32),
        Value::F64(t) => Tensor::new(shape.to_vec(), t.into_parts().1).map(Value::F64),
        _ => None,
    }
}

fn permute_tensor<T: Clone>(t: &Tensor<T>, perm: &[usize]) -> Option<Tensor<T>> {
    if perm.len() != t.shape().len() {
        return None;
    }
    let strides = strides(t.shape());
    let shape: Vec<usize> = perm.iter().map(|&p| t.shape()[p]).collect();
    let data = walk(&shape, |index| {
        let at: usize = index.iter().zip(perm).map(|(&i, &p)| i * strides[p]).sum();
        t.data()[at].clone()
    });
    Tensor::new(shape, data)
}

fn flip_tensor<T: Clone>(t: &Tensor<T>, flip: &[usize]) -> Option<Tensor<T>> {
    let strides = strides(t.shape());
    let shape = t.shape().to_vec();
    let data = walk(&shape, |index| {
        let place = |a: usize, i: usize| if flip.contains(&a) { shape[a] - 1 - i } else { i };
        let at: usize = index.iter().enumerate().map(|(a, &i)| place(a, i) * strides[a]).sum();
        t.data()[at].clone()
    });
    Tensor::new(shape, data)
}

/// Calls `element` for every index in row-major order.
pub(crate) fn walk<T>(shape: &[usize], mut element: impl FnMut(&[usize]) -> T) -> Vec<T> {
    let total: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(total);
    for _ in 0..total {
        out.push(element(&index));
        for a in (0..shape.len()).rev() {
            index[a] += 1;
            if index[a] < shape[a] {
                break;
            }
            index[a] = 0;
        }
    }
    out
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for a in (1..shape.len()).rev() {
        strides[a - 1] = strides[a] * shape[a];
    }
    strides
}

fn zero_tensor<T: Default + Clone>(shape: &[usize]) -> Tensor<T> {
    let total = shape.iter().product();
    Tensor::new(shape.to_vec(), vec![T::default(); total]).unwrap_or_else(|| zero_tensor(&[]))
}

/// Equality that tells -0 from 0, so that a shared constant keeps its sign.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => {
            let bits = |t: &Tensor<f32>| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            a.shape() == b.shape() && bits(a) == bits(b)
        }
        _ => a == b,
    }
}

fn names(graph: &Graph) -> impl Iterator<Item = &String> {
    let nodes = graph.nodes.iter().flat_map(|n| n.inputs.iter().chain(&n.outputs));
    nodes.chain(graph.constants.keys()).chain(graph.inputs.iter().map(|i| &i.name))
}
