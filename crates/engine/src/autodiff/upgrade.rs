//! Brings the opset-dependent forms of operators to those of opset 18.
//!
//! Owns the rewriting: axes, bounds and pads that were attributes become inputs, `Softmax` of
//! old gets its flattening spelled out, `Constant` nodes become constants. The rules of
//! differentiation and the engines then see one form. Semantics do not change. Called by
//! [`crate::pipeline`] and by tests.

use crate::graph::{Attribute, Graph, Node};
use crate::value::{Tensor, Value};

use super::builder::value_shape;

/// The graph in opset 18 forms (or its own opset where that is newer).
pub fn upgrade(graph: &Graph) -> Graph {
    let from = graph.opset("");
    let mut out = Graph { nodes: Vec::new(), ..graph.clone() };
    for node in &graph.nodes {
        if node.domain.is_empty() || node.domain == "ai.onnx" {
            let mut upgrade = Upgrade { graph: &mut out, from, count: 0 };
            upgrade.node(node.clone());
        } else {
            out.nodes.push(node.clone());
        }
    }
    out.opsets.insert(String::new(), from.max(OPSET));
    out
}

struct Upgrade<'a> {
    graph: &'a mut Graph,
    from: i64,
    count: usize,
}

impl Upgrade<'_> {
    fn node(&mut self, mut node: Node) {
        match node.op.as_str() {
            "Constant" if self.constant(&node) => return,
            "Squeeze" | "Unsqueeze" | "ReduceSum" if self.from < 13 => {
                self.ints_to_input(&mut node, "axes", 1);
            }
            "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare"
                if self.from < 18 =>
            {
                self.ints_to_input(&mut node, "axes", 1);
            }
            "Clip" if self.from < 11 => {
                self.float_to_input(&mut node, "min", 1);
                self.float_to_input(&mut node, "max", 2);
            }
            "Pad" if self.from < 11 => {
                self.ints_to_input(&mut node, "pads", 1);
                self.float_to_input(&mut node, "value", 2);
            }
            "Slice" if self.from < 10 => {
                self.ints_to_input(&mut node, "starts", 1);
                self.ints_to_input(&mut node, "ends", 2);
                self.ints_to_input(&mut node, "axes", 3);
            }
            "Upsample" => self.resample(&mut node),
            "Resize" if self.from < 11 => self.resample(&mut node),
            "Scatter" => node.op = "ScatterElements".to_string(),
            "TopK" if self.from < 10 => {
                if let Some(Attribute::Int(k)) = node.attributes.remove("k") {
                    let name = self.add(&node, Value::I64(Tensor::vector(vec![k])));
                    place(&mut node, 1, name);
                }
            }
            "Split" => self.split(&mut node),
            "Dropout" if node.outputs.iter().skip(1).all(|o| !self.read(o)) => {
                node.op = "Identity".to_string();
                node.inputs.truncate(1);
                node.outputs.truncate(1);
                node.attributes.clear();
            }
            "Conv" | "ConvTranspose" => self.kernel_shape(&mut node),
            "Softmax" | "LogSoftmax" if self.from < 13 => {
                self.softmax(node);
                return;
            }
            _ => {}
        }
        self.graph.nodes.push(node);
    }

    /// Whether a value is an output; optional outputs of nodes are read by nothing else here.
    fn read(&self, name: &str) -> bool {
        !name.is_empty() && self.graph.outputs.iter().any(|o| o.name == name)
    }

    /// Turns a `Constant` node into a constant of the graph.
    fn constant(&mut self, node: &Node) -> bool {
        let Some(name) = node.outputs.first() else { return true };
        let value = node.attributes.iter().find_map(|(key, value)| match (key.as_str(), value) {
            ("value", Attribute::Tensor(v)) => Some(v.clone()),
            ("value_float", Attribute::Float(v)) => Some(Value::F32(Tensor::scalar(*v))),
            ("value_int", Attribute::Int(v)) => Some(Value::I64(Tensor::scalar(*v))),
            ("value_floats", Attribute::Floats(v)) => Some(Value::F32(Tensor::vector(v.clone()))),
            ("value_ints", Attribute::Ints(v)) => Some(Value::I64(Tensor::vector(v.clone()))),
            _ => None,
        });
        let Some(value) = value else { return false };
        self.graph.constants.insert(name.clone(), value);
        true
    }

    fn ints_to_input(&mut self, node: &mut Node, attribute: &str, at: usize) {
        if let Some(Attribute::Ints(values)) = node.attributes.remove(attribute) {
            let name = self.add(node, Value::I64(Tensor::vector(values)));
            place(node, at, name);
        }
    }

    fn float_to_input(&mut self, node: &mut Node, attribute: &str, at: usize) {
        if let Some(Attribute::Float(value)) = node.attributes.remove(attribute) {
            let name = self.add(node, Value::F32(Tensor::scalar(value)));
            place(node, at, name);
        }
    }

    /// Before opset 11 every place is found by its factor alone, and rounded down.
    fn resample(&mut self, node: &mut Node) {
        if let Some(Attribute::Floats(scales)) = node.attributes.remove("scales") {
            let name = self.add(node, Value::F32(Tensor::vector(scales)));
            place(node, 1, name);
        }
        node.op = "Resize".to_string();
        if let Some(Attribute::Text(mode)) = node.attributes.get_mut("mode")
            && mode == "bilinear"
        {
            *mode = "linear".to_string();
        }
        if node.inputs.len() == 2 {
            node.inputs.insert(1, String::new());
        }
        let text = |v: &str| Attribute::Text(v.to_string());
        let transform = "coordinate_transformation_mode".to_string();
        node.attributes.insert(transform, text("asymmetric"));
        node.attributes.insert("nearest_mode".to_string(), text("floor"));
    }

    /// Equal parts need `num_outputs` from opset 18 on.
    fn split(&mut self, node: &mut Node) {
        if self.from < 13 {
            self.ints_to_input(node, "split", 1);
        }
        if self.from < 18 && node.inputs.get(1).is_none_or(String::is_empty) {
            let parts = Attribute::Int(node.outputs.len() as i64);
            node.attributes.insert("num_outputs".to_string(), parts);
        }
    }

    /// rten reads the rank from `kernel_shape`, which the file may leave out.
    fn kernel_shape(&mut self, node: &mut Node) {
        let weights = node.inputs.get(1).and_then(|w| self.graph.constants.get(w));
        if let Some(shape) = weights.and_then(value_shape)
            && shape.len() > 2
            && !node.attributes.contains_key("kernel_shape")
        {
            let kernel = shape[2..].iter().map(|&k| k as i64).collect();
            node.attributes.insert("kernel_shape".to_string(), Attribute::Ints(kernel));
        }
    }

    /// Before opset 13 the axis cut the shape in two and the right part was one axis.
    fn softmax(&mut self, mut node: Node) {
        let axis = match node.attributes.get("axis") {
            Some(Attribute::Int(axis)) => *axis,
            _ => 1,
        };
        node.attributes.insert("axis".to_string(), Attribute::Int(-1));
        if axis == -1 || node.inputs.is_empty() || node.outputs.is_empty() {
            self.graph.nodes.push(node);
            return;
        }
        let (x, y) = (node.inputs[0].clone(), node.outputs[0].clone());
        let part = |suffix: &str| format!("{y}/{suffix}");
        let (flat, soft, shape) = (part("flat"), part("soft"), part("shape"));
        node.inputs[0] = flat.clone();
        node.outputs[0] = soft.clone();
        let name = node.name.clone();
        let plain = |op: &str, inputs: Vec<String>, output: String| Node {
            name: name.clone(),
            op: op.to_string(),
            domain: String::new(),
            inputs,
            outputs: vec![output],
            attributes: Default::default(),
        };
        let mut flatten = plain("Flatten", vec![x.clone()], flat);
        flatten.attributes.insert("axis".to_string(), Attribute::Int(axis));
        let shape_of = plain("Shape", vec![x], shape.clone());
        let back = plain("Reshape", vec![soft, shape], y);
        self.graph.nodes.extend([flatten, node, shape_of, back]);
    }

    fn add(&mut self, node: &Node, value: Value) -> String {
        let base = node.outputs.first().cloned().unwrap_or_default();
        loop {
            self.count += 1;
            let name = format!("{base}/arg{}", self.count);
            if !self.graph.constants.contains_key(&name) {
                self.graph.constants.insert(name.clone(), value);
                return name;
            }
        }
    }
}

fn place(node: &mut Node, at: usize, name: String) {
    while node.inputs.len() <= at {
        node.inputs.push(String::new());
    }
    node.inputs[at] = name;
}

/// The opset whose forms come out.
const OPSET: i64 = 18;
