//! Turns the part of a model that an attacker moves into one that takes `f32`.
//!
//! Owns two rewrites. Free integer inputs become float inputs: casts of them to float are
//! dropped, operators that only move or add values carry floats instead, and wherever an
//! integer is truly needed (an index, a key) a cast is put in front, which truncates. This is
//! exact for integers below 2^24. And, for engines without `f64`, every `f64` becomes `f32`.
//! Called by the pipeline.

use std::collections::BTreeMap;

use crate::graph::{Attribute, Graph, Node};
use crate::value::{DType, Value};
use crate::write::code;

/// Largest magnitude below which every integer is an `f32`.
pub(crate) const EXACT_INTEGER: i64 = 1 << 24;

/// Makes the free inputs of integer type float ones.
pub(crate) fn float_inputs(graph: &Graph, free: &[String]) -> Graph {
    let mut pass = Pass { out: Graph { nodes: Vec::new(), ..graph.clone() }, was: BTreeMap::new() };
    for input in &mut pass.out.inputs {
        let integer = INTEGERS.iter().any(|&d| input.dtype == Some(d));
        if free.contains(&input.name)
            && integer
            && let Some(dtype) = input.dtype.replace(DType::F32)
        {
            pass.was.insert(input.name.clone(), dtype);
        }
    }
    for node in &graph.nodes {
        pass.node(node.clone());
    }
    for output in &mut pass.out.outputs {
        if pass.was.contains_key(&output.name) {
            output.dtype = Some(DType::F32);
        }
    }
    pass.out
}

struct Pass {
    out: Graph,
    /// Values that were integers and are floats now, with the type they had.
    was: BTreeMap<String, DType>,
}

impl Pass {
    fn node(&mut self, mut node: Node) {
        let Some(dtype) = node.inputs.iter().find_map(|i| self.was.get(i).copied()) else {
            self.out.nodes.push(node);
            return;
        };
        let data = data_inputs(&node);
        let carries = node.domain.is_empty() && !data.is_empty();
        if node.op == "Cast" && self.cast(&mut node, dtype) {
            return;
        }
        for i in 0..node.inputs.len() {
            let name = node.inputs[i].clone();
            let floated = self.was.contains_key(&name);
            if name.is_empty() {
                continue;
            }
            if carries && data.contains(&i) && !floated {
                node.inputs[i] = self.floated(&name);
            } else if floated && !(carries && data.contains(&i)) {
                node.inputs[i] = self.convert(&name, self.was[&name]);
            }
        }
        if carries && !COMPARISONS.contains(&node.op.as_str()) {
            for output in node.outputs.iter().filter(|o| !o.is_empty()) {
                self.was.insert(output.clone(), dtype);
            }
        }
        self.out.nodes.push(node);
    }

    /// Casts of a floated value: to a float type nothing is left to do; to another integer type
    /// it stays floated.
    fn cast(&mut self, node: &mut Node, dtype: DType) -> bool {
        let Some(Attribute::Int(to)) = node.attributes.get("to") else { return false };
        let is = |d: DType| *to == i64::from(code(d));
        let output = node.outputs.first().cloned().unwrap_or_default();
        if is(DType::F64) {
            self.out.nodes.push(node.clone());
            return true;
        }
        let integer = INTEGERS.iter().any(|&d| d != DType::Bool && is(d));
        if !is(DType::F32) && !integer {
            return false;
        }
        node.op = "Identity".to_string();
        node.attributes.clear();
        if integer {
            self.was.insert(output, dtype);
        }
        self.out.nodes.push(node.clone());
        true
    }

    /// An integer value that meets a floated one: constants are converted here.
    fn floated(&mut self, name: &str) -> String {
        let converted = self.out.constants.get(name).and_then(|value| match value {
            Value::I64(t) => Some(Value::F32(t.map(|&v| v as f32))),
            Value::I32(t) => Some(Value::F32(t.map(|&v| v as f32))),
            Value::U8(t) => Some(Value::F32(t.map(|&v| f32::from(v)))),
            Value::I8(t) => Some(Value::F32(t.map(|&v| f32::from(v)))),
            _ => None,
        });
        if let Some(value) = converted {
            let fresh = format!("{name}/f32");
            self.out.constants.insert(fresh.clone(), value);
            return fresh;
        }
        self.convert(name, DType::F32)
    }

    fn convert(&mut self, name: &str, to: DType) -> String {
        let fresh = format!("{name}/{to}");
        let made = self.out.nodes.iter().any(|n| n.outputs.contains(&fresh));
        if !made {
            self.out.nodes.push(Node {
                name: fresh.clone(),
                op: "Cast".to_string(),
                domain: String::new(),
                inputs: vec![name.to_string()],
                outputs: vec![fresh.clone()],
                attributes: [("to".to_string(), Attribute::Int(i64::from(code(to))))].into(),
            });
        }
        fresh
    }
}

/// Which inputs of an operator carry the integers that its result is made of; none for
/// operators whose meaning changes with the type (division) or that need integers.
fn data_inputs(node: &Node) -> Vec<usize> {
    let all = || (0..node.inputs.len()).collect();
    match node.op.as_str() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Slice"
        | "Gather" | "Split" | "Expand" | "Tile" | "Neg" | "Abs" | "ReduceSum" | "ReduceMax"
        | "ReduceMin" | "Dropout" => vec![0],
        "Pad" => vec![0, 2],
        "Where" => vec![1, 2],
        "Add" | "Sub" | "Mul" | "Concat" | "Min" | "Max" | "Clip" => all(),
        op if COMPARISONS.contains(&op) => all(),
        _ => Vec::new(),
    }
}

/// Types that become float when they are free.
const INTEGERS: [DType; 5] = [DType::I64, DType::I32, DType::U8, DType::I8, DType::Bool];

/// Operators that give booleans.
const COMPARISONS: &[&str] = &["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];

/// Makes every `f64` an `f32`: declarations, constants and casts.
pub(crate) fn single(graph: &Graph) -> Graph {
    let mut out = graph.clone();
    for info in out.inputs.iter_mut().chain(&mut out.outputs) {
        if info.dtype == Some(DType::F64) {
            info.dtype = Some(DType::F32);
        }
    }
    for value in out.constants.values_mut() {
        narrow(value);
    }
    let (double, float) = (i64::from(code(DType::F64)), i64::from(code(DType::F32)));
    for node in &mut out.nodes {
        for (name, attribute) in &mut node.attributes {
            match attribute {
                Attribute::Tensor(value) => narrow(value),
                Attribute::Int(to) if node.op == "Cast" && name == "to" && *to == double => {
                    *to = float;
                }
                _ => {}
            }
        }
    }
    out
}

fn narrow(value: &mut Value) {
    if let Value::F64(t) = value {
        *value = Value::F32(t.map(|&v| v as f32));
    }
}
