//! Small graphs, one operator each, with inputs to evaluate them at.

#[path = "cases/breadth.rs"]
mod breadth;

use std::collections::BTreeMap;

use proofmark_engine::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};

/// A graph from `x` (and maybe `w`) to `y`, and where to evaluate it.
pub struct Case {
    pub name: String,
    pub graph: Graph,
    pub inputs: Inputs,
    pub wrt: Vec<String>,
    /// Whether rten holds the forward operator at all.
    pub rten: bool,
}

/// Deterministic values in `[-1, 1)`.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..n).map(|_| next()).collect()
}

pub fn tensor(shape: &[usize], data: Vec<f32>) -> Value {
    Value::F32(Tensor::new(shape.to_vec(), data).unwrap())
}

pub fn random(seed: u64, shape: &[usize]) -> Value {
    tensor(shape, noise(seed, shape.iter().product()))
}

pub fn ints(values: &[i64]) -> Value {
    Value::I64(Tensor::new(vec![values.len()], values.to_vec()).unwrap())
}

pub fn scalar(v: f32) -> Value {
    Value::F32(Tensor::scalar(v))
}

pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) -> Node {
    Node {
        name: format!("{op}_node"),
        op: op.to_string(),
        domain: String::new(),
        inputs: inputs.iter().map(|s| s.to_string()).collect(),
        outputs: outputs.iter().map(|s| s.to_string()).collect(),
        attributes: attributes.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
    }
}

pub fn info(name: &str, shape: &[usize]) -> ValueInfo {
    ValueInfo {
        name: name.to_string(),
        dtype: Some(DType::F32),
        shape: Some(shape.iter().map(|&d| Dim::Fixed(d)).collect()),
    }
}

/// A graph of nodes ending in `y`.
pub fn graph(inputs: &[(&str, &[usize])], constants: &[(&str, Value)], nodes: Vec<Node>) -> Graph {
    Graph {
        inputs: inputs.iter().map(|(n, s)| info(n, s)).collect(),
        outputs: vec![ValueInfo { name: "y".into(), dtype: Some(DType::F32), shape: None }],
        nodes,
        constants: constants.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        opsets: BTreeMap::from([(String::new(), 18)]),
    }
}

/// One node of `x` and constants.
fn one(
    name: &str,
    op: &str,
    shape: &[usize],
    constants: &[(&str, Value)],
    attributes: &[(&str, Attribute)],
) -> Case {
    let mut inputs = vec!["x"];
    inputs.extend(constants.iter().map(|(k, _)| if k.starts_with('_') { "" } else { *k }));
    let real: Vec<(&str, Value)> =
        constants.iter().filter(|(k, _)| !k.starts_with('_')).cloned().collect();
    let x = tensor(shape, noise(7, shape.iter().product()).iter().map(|v| v * 2.0).collect());
    Case {
        name: format!("{op} {name}"),
        graph: graph(&[("x", shape)], &real, vec![node(op, &inputs, &["y"], attributes)]),
        inputs: Inputs::from([("x".to_string(), x)]),
        wrt: vec!["x".to_string()],
        rten: true,
    }
}

/// The same with all inputs in `[0.3, 2.3)`.
fn positive(mut case: Case) -> Case {
    for value in case.inputs.values_mut() {
        if let Value::F32(t) = value {
            t.data_mut().iter_mut().for_each(|v| *v = v.abs() + 0.3);
        }
    }
    case
}

fn reference_only(mut case: Case) -> Case {
    case.rten = false;
    case
}

/// A node of two free inputs `x` and `w`.
fn two(name: &str, op: &str, a: &[usize], b: &[usize], attributes: &[(&str, Attribute)]) -> Case {
    Case {
        name: format!("{op} {name}"),
        graph: graph(&[("x", a), ("w", b)], &[], vec![node(op, &["x", "w"], &["y"], attributes)]),
        inputs: Inputs::from([("x".to_string(), random(3, a)), ("w".to_string(), random(4, b))]),
        wrt: vec!["x".to_string(), "w".to_string()],
        rten: true,
    }
}

fn int(v: i64) -> Attribute {
    Attribute::Int(v)
}

fn list(v: &[i64]) -> Attribute {
    Attribute::Ints(v.to_vec())
}

pub fn all() -> Vec<Case> {
    let families = [
        elementwise,
        activations,
        linear,
        convolutions,
        pools,
        shapes,
        reductions,
        breadth::resampling,
        breadth::indices,
        breadth::trigonometry,
        breadth::composites,
        breadth::recurrent,
        breadth::equations,
        breadth::transposed,
    ];
    let mut cases: Vec<Case> = families.iter().flat_map(|f| f()).collect();
    cases.extend(composed());
    cases
}

fn elementwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"] {
        cases.push(two("same shape", op, &[3, 4], &[3, 4], &[]));
        cases.push(two("broadcast right", op, &[3, 4], &[4], &[]));
        cases.push(two("broadcast left", op, &[1, 4], &[2, 3, 1], &[]));
        cases.push(two("scalar", op, &[3, 4], &[], &[]));
    }
    cases.push(positive(two("both", "Div", &[3, 4], &[3, 4], &[])));
    cases.push(positive(two("broadcast", "Div", &[2, 3, 4], &[3, 1], &[])));
    for p in [2.0, 3.0, 0.5, -1.0, 0.0] {
        if p != 0.0 {
            let c = [("p", scalar(p))];
            cases.push(positive(one(&format!("to {p}"), "Pow", &[3, 4], &c, &[])));
        }
    }
    let p = tensor(&[4], vec![2.0, 3.0, 0.5, 1.0]);
    cases.push(positive(one("per column", "Pow", &[3, 4], &[("p", p)], &[])));
    let (low, high) = (scalar(-0.5), scalar(0.7));
    cases.push(one("both", "Clip", &[4, 5], &[("l", low.clone()), ("h", high.clone())], &[]));
    cases.push(one("low", "Clip", &[4, 5], &[("l", low)], &[]));
    cases.push(one("high", "Clip", &[4, 5], &[("_", scalar(0.0)), ("h", high)], &[]));
    let mut choose = two("broadcast", "Where", &[3, 4], &[4], &[]);
    let mask = Tensor::new(vec![3, 1], vec![true, false, true]).unwrap();
    choose.graph.constants.insert("c".into(), Value::Bool(mask));
    choose.graph.nodes[0].inputs = vec!["c".into(), "x".into(), "w".into()];
    cases.push(choose);
    cases
}

fn activations() -> Vec<Case> {
    let plain = [
        "Relu",
        "Neg",
        "Abs",
        "Exp",
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Softsign",
        "Erf",
        "Elu",
        "LeakyRelu",
        "HardSigmoid",
        "HardSwish",
        "Sin",
        "Cos",
        "Gelu",
        "Identity",
        "Flatten",
    ];
    let mut cases: Vec<Case> = plain.iter().map(|op| one("", op, &[3, 7], &[], &[])).collect();
    for op in ["Selu", "Celu", "Mish", "ThresholdedRelu"] {
        cases.push(reference_only(one("", op, &[3, 7], &[], &[])));
    }
    for op in ["Sqrt", "Log", "Reciprocal"] {
        cases.push(positive(one("", op, &[3, 7], &[], &[])));
    }
    let a = [("alpha", Attribute::Float(0.3))];
    cases.push(one("alpha", "LeakyRelu", &[3, 7], &[], &a));
    cases.push(one("alpha", "Elu", &[3, 7], &[], &a));
    let tanh = [("approximate", Attribute::Text("tanh".into()))];
    cases.push(one("tanh", "Gelu", &[3, 7], &[], &tanh));
    let slope = tensor(&[3, 1], vec![0.1, 0.2, 0.3]);
    cases.push(one("constant slope", "PRelu", &[2, 3, 4], &[("s", slope)], &[]));
    cases.push(two("free slope", "PRelu", &[2, 3, 4], &[3, 1], &[]));
    for op in ["Softmax", "LogSoftmax"] {
        cases.push(one("last", op, &[3, 5], &[], &[]));
        cases.push(one("axis 1 of 3", op, &[2, 3, 4], &[], &[("axis", int(1))]));
    }
    let w = || ("s", tensor(&[5], vec![1.0, 0.5, -1.0, 2.0, 0.1]));
    cases.push(one("last axis", "LayerNormalization", &[3, 4, 5], &[w()], &[]));
    let wide = tensor(&[4, 5], noise(5, 20));
    let axis = [("axis", int(-2))];
    cases.push(one("two axes", "LayerNormalization", &[3, 4, 5], &[("s", wide)], &axis));
    cases
}

fn linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (ta, tb) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let attributes = [
            ("transA", int(ta)),
            ("transB", int(tb)),
            ("alpha", Attribute::Float(0.7)),
            ("beta", Attribute::Float(1.5)),
        ];
        let a = if ta == 0 { [3, 4] } else { [4, 3] };
        let b = if tb == 0 { [4, 5] } else { [5, 4] };
        let c = [("b", random(8, &b)), ("c", random(9, &[5]))];
        cases.push(one(&format!("{ta}{tb} constant"), "Gemm", &a, &c, &attributes));
        let mut free = two(&format!("{ta}{tb} free"), "Gemm", &a, &b, &attributes);
        free.graph.inputs.push(info("c", &[5]));
        free.graph.nodes[0].inputs.push("c".into());
        free.inputs.insert("c".into(), random(2, &[5]));
        free.wrt.push("c".into());
        cases.push(free);
    }
    let shapes: [(&[usize], &[usize]); 7] = [
        (&[3, 4], &[4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[5, 4, 2]),
        (&[4], &[4, 5]),
        (&[3, 4], &[4]),
        (&[4], &[4]),
    ];
    for (a, b) in shapes {
        cases.push(two(&format!("{a:?} {b:?}"), "MatMul", a, b, &[]));
        let c = [("b", random(6, b))];
        cases.push(one(&format!("constant {a:?} {b:?}"), "MatMul", a, &c, &[]));
    }
    cases
}

fn convolutions() -> Vec<Case> {
    type Shape<'a> = (&'a [usize], &'a [usize], Vec<(&'a str, Attribute)>);
    let table: Vec<Shape> = vec![
        (&[2, 3, 6, 5], &[4, 3, 3, 3], vec![("pads", list(&[1, 1, 1, 1]))]),
        (&[2, 3, 6, 5], &[4, 3, 3, 2], vec![]),
        (&[2, 3, 6, 5], &[4, 3, 1, 1], vec![]),
        (&[2, 3, 7, 6], &[4, 3, 3, 3], vec![("pads", list(&[0, 1, 2, 0]))]),
        (&[2, 3, 7, 6], &[4, 3, 3, 3], vec![("dilations", list(&[2, 1]))]),
        (&[2, 4, 6, 6], &[6, 2, 3, 3], vec![("group", int(2)), ("pads", list(&[1, 1, 1, 1]))]),
        (&[2, 4, 6, 6], &[4, 1, 3, 3], vec![("group", int(4))]),
        (&[2, 3, 3, 3], &[2, 3, 2, 2], vec![("pads", list(&[3, 3, 3, 3]))]),
        (&[2, 3, 8, 7], &[4, 3, 3, 3], vec![("strides", list(&[2, 2]))]),
        (&[2, 3, 8, 7], &[4, 3, 3, 3], vec![("strides", list(&[2, 3])), ("pads", list(&[1; 4]))]),
        (&[2, 3, 8, 7], &[4, 3, 1, 1], vec![("strides", list(&[2, 2]))]),
        (
            &[2, 4, 9, 9],
            &[4, 2, 3, 3],
            vec![("strides", list(&[2, 2])), ("group", int(2)), ("dilations", list(&[2, 2]))],
        ),
        (
            &[2, 3, 7, 8],
            &[4, 3, 3, 3],
            vec![("strides", list(&[2, 2])), ("auto_pad", Attribute::Text("SAME_UPPER".into()))],
        ),
        (&[2, 3, 7, 8], &[4, 3, 4, 4], vec![("auto_pad", Attribute::Text("SAME_UPPER".into()))]),
        (&[2, 3, 9], &[4, 3, 3], vec![("pads", list(&[1, 1]))]),
        (&[2, 3, 9], &[4, 3, 3], vec![("strides", list(&[2]))]),
    ];
    let mut cases = Vec::new();
    for (x, w, mut attributes) in table {
        attributes
            .push(("kernel_shape", list(&w[2..].iter().map(|&k| k as i64).collect::<Vec<_>>())));
        let c = [("w", random(11, w)), ("b", random(12, &w[..1]))];
        cases.push(one(&format!("{x:?} {w:?} {attributes:?}"), "Conv", x, &c, &attributes));
    }
    let table: Vec<Shape> = vec![
        (&[2, 4, 4, 5], &[4, 3, 3, 3], vec![("strides", list(&[2, 2]))]),
        (&[2, 4, 4, 5], &[4, 3, 3, 3], vec![("pads", list(&[1, 1, 1, 1]))]),
        (
            &[2, 4, 4, 5],
            &[4, 3, 3, 3],
            vec![
                ("strides", list(&[2, 2])),
                ("pads", list(&[1, 1, 1, 1])),
                ("output_padding", list(&[1, 1])),
            ],
        ),
    ];
    for (x, w, mut attributes) in table {
        attributes.push(("kernel_shape", list(&[3, 3])));
        let c = [("w", random(11, w))];
        cases.push(one(&format!("{attributes:?}"), "ConvTranspose", x, &c, &attributes));
    }
    let c = [
        ("s", tensor(&[3], vec![1.0, -0.5, 2.0])),
        ("b", random(3, &[3])),
        ("m", random(4, &[3])),
        ("v", tensor(&[3], vec![0.5, 1.0, 2.0])),
    ];
    cases.push(one("inference", "BatchNormalization", &[2, 3, 4, 2], &c, &[]));
    cases.push(one("", "InstanceNormalization", &[2, 3, 4, 2], &c[..2], &[]));
    cases
}

fn pools() -> Vec<Case> {
    let kernel = |k: &[i64]| ("kernel_shape", list(k));
    type Row<'a> = (&'a [usize], Vec<(&'a str, Attribute)>);
    let table: Vec<Row> = vec![
        (&[2, 3, 6, 4], vec![kernel(&[2, 2]), ("strides", list(&[2, 2]))]),
        (&[2, 3, 7, 5], vec![kernel(&[2, 2]), ("strides", list(&[2, 2]))]),
        (&[2, 3, 6, 6], vec![kernel(&[3, 3]), ("strides", list(&[1, 1]))]),
        (&[2, 3, 7, 7], vec![kernel(&[3, 3]), ("strides", list(&[2, 2])), ("pads", list(&[1; 4]))]),
        (&[2, 3, 8, 8], vec![kernel(&[2, 3]), ("strides", list(&[3, 2]))]),
        (&[2, 3, 7, 7], vec![kernel(&[2, 2]), ("strides", list(&[2, 2])), ("ceil_mode", int(1))]),
        (&[2, 3, 6, 6], vec![kernel(&[2, 2]), ("strides", list(&[2, 2])), ("pads", list(&[1; 4]))]),
        (&[2, 3, 9], vec![kernel(&[3]), ("strides", list(&[3]))]),
        (&[2, 3, 9], vec![kernel(&[3]), ("strides", list(&[2])), ("pads", list(&[1, 1]))]),
    ];
    let mut cases = Vec::new();
    for (x, attributes) in table {
        let name = format!("{x:?} {attributes:?}");
        cases.push(one(&name, "MaxPool", x, &[], &attributes));
        cases.push(one(&name, "AveragePool", x, &[], &attributes));
        let counted = [&attributes[..], &[("count_include_pad", int(1))]].concat();
        cases.push(one(&format!("counted {name}"), "AveragePool", x, &[], &counted));
    }
    let dilated = [kernel(&[2, 2]), ("strides", list(&[2, 2])), ("dilations", list(&[2, 2]))];
    cases.push(reference_only(one("dilated", "MaxPool", &[2, 2, 7, 7], &[], &dilated)));
    let same = Attribute::Text("SAME_UPPER".into());
    let same = [kernel(&[2, 2]), ("strides", list(&[2, 2])), ("auto_pad", same)];
    cases.push(one("same", "MaxPool", &[2, 2, 7, 5], &[], &same));
    cases.push(one("same", "AveragePool", &[2, 2, 7, 5], &[], &same));
    cases.push(one("", "GlobalAveragePool", &[2, 3, 4, 5], &[], &[]));
    cases.push(one("", "GlobalMaxPool", &[2, 3, 4, 5], &[], &[]));
    cases
}

fn shapes() -> Vec<Case> {
    let c = |v: &[i64]| [("s", ints(v))];
    let mut cases = vec![
        one("", "Reshape", &[2, 3, 4], &c(&[0, -1]), &[]),
        one("axis 2", "Flatten", &[2, 3, 4], &[], &[("axis", int(2))]),
        one("", "Transpose", &[2, 3, 4], &[], &[("perm", list(&[2, 0, 1]))]),
        one("default", "Transpose", &[2, 3, 4], &[], &[]),
        one("", "Unsqueeze", &[2, 3], &c(&[1, -1]), &[]),
        one("", "Squeeze", &[2, 1, 3, 1], &c(&[1]), &[]),
        one("", "Expand", &[3, 1], &c(&[2, 3, 4]), &[]),
        one("", "Tile", &[2, 3], &c(&[2, 3]), &[]),
        one("grow", "Pad", &[2, 3, 4], &c(&[0, 1, 2, 0, 0, 1]), &[]),
        one("shrink", "Pad", &[2, 3, 4], &c(&[0, 0, -1, 0, 1, -1]), &[]),
        two("", "Concat", &[2, 3], &[2, 2], &[("axis", int(1))]),
        two("negative axis", "Concat", &[2, 3, 1], &[2, 3, 2], &[("axis", int(-1))]),
        one(
            "constant beside",
            "Concat",
            &[2, 3],
            &[("k", random(5, &[2, 4]))],
            &[("axis", int(1))],
        ),
        one("columns", "Gather", &[2, 5], &c(&[3, 0, -1]), &[("axis", int(1))]),
        one("repeats", "Gather", &[4, 3], &c(&[1, 1, 3, 1]), &[("axis", int(0))]),
        one("to float", "Cast", &[2, 3], &[], &[("to", int(1))]),
        one("", "Dropout", &[2, 3], &[], &[]),
    ];
    // rten was built without its random operators, among which it counts Dropout.
    if let Some(case) = cases.last_mut() {
        case.rten = false;
    }
    let index = Value::I64(Tensor::new(vec![2, 2], vec![0, 2, 1, 0]).unwrap());
    cases.push(one(
        "matrix of indices",
        "Gather",
        &[2, 3, 2],
        &[("i", index)],
        &[("axis", int(1))],
    ));
    let single = Value::I64(Tensor::scalar(1));
    cases.push(one("one index", "Gather", &[2, 3, 2], &[("i", single)], &[("axis", int(1))]));
    let slices: [[&[i64]; 4]; 5] = [
        [&[1], &[3], &[1], &[1]],
        [&[-3, 0], &[-1, 2], &[2, 0], &[1, 1]],
        [&[0], &[100], &[2], &[2]],
        [&[4], &[-100], &[2], &[-2]],
        [&[1, 1], &[4, 5], &[1, 2], &[2, 3]],
    ];
    for [starts, ends, axes, steps] in slices {
        let c = [("a", ints(starts)), ("b", ints(ends)), ("c", ints(axes)), ("d", ints(steps))];
        cases.push(one(&format!("{starts:?} {ends:?} {steps:?}"), "Slice", &[2, 4, 5], &c, &[]));
    }
    for (name, used) in [("both", true), ("one part", false)] {
        let attributes = [("axis", int(1))];
        let mut nodes = vec![node("Split", &["x", "s"], &["a", "b"], &attributes)];
        nodes.push(match used {
            true => node("Concat", &["b", "a"], &["y"], &[("axis", int(1))]),
            false => node("Exp", &["b"], &["y"], &[]),
        });
        let mut case = one(&format!("split {name}"), "Split", &[2, 5], &c(&[2, 3]), &attributes);
        case.graph.nodes = nodes;
        cases.push(case);
    }
    cases
}

fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
        "ReduceLogSum",
    ] {
        for (name, axes, keep) in
            [("one", Some(vec![1]), 0), ("two kept", Some(vec![0, -1]), 1), ("all", None, 0)]
        {
            let constants = axes.map(|a| [("a", ints(&a))]);
            let constants = constants.as_ref().map_or(&[][..], |c| &c[..]);
            let attributes = [("keepdims", int(keep))];
            let case = one(name, op, &[2, 3, 4], constants, &attributes);
            cases.push(if op == "ReduceLogSum" { positive(case) } else { case });
        }
    }
    cases
}

/// Several operators: a value read twice, a cut, a residual block.
fn composed() -> Vec<Case> {
    let mut cut = one("and a cut", "Floor", &[3, 4], &[], &[]);
    cut.graph.nodes = vec![
        node("Floor", &["x"], &["f"], &[]),
        node("Sub", &["x", "f"], &["r"], &[]),
        node("Mul", &["r", "x"], &["y"], &[]),
    ];
    let mut residual =
        one("block", "residual", &[2, 3, 5, 5], &[("w", random(3, &[3, 3, 3, 3]))], &[]);
    let attributes = [("pads", list(&[1, 1, 1, 1])), ("kernel_shape", list(&[3, 3]))];
    residual.graph.nodes = vec![
        node("Conv", &["x", "w"], &["c"], &attributes),
        node("Relu", &["c"], &["r"], &[]),
        node("Add", &["r", "x"], &["s"], &[]),
        node("GlobalAveragePool", &["s"], &["g"], &[]),
        node("Flatten", &["g"], &["y"], &[]),
    ];
    vec![cut, residual]
}
