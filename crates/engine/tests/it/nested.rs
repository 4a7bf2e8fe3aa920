//! Files that nest: local functions, branches with a fixed condition, 16-bit floats; and what is
//! refused of them.

use proofmark_engine::autodiff::upgrade;
use proofmark_engine::lower::lower;
use proofmark_engine::model::{LoadError, Model};
use proofmark_engine::reference::{self, Precision};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::onnx::{
    self, AttributeProto, AttributeValue, Dimension, Elements, FunctionProto, GraphProto,
    ModelProto, NodeProto, OperatorSetId, TensorProto, TypeProto, ValueInfoProto,
};

fn info(name: &str) -> ValueInfoProto {
    let shape = Some(vec![Dimension::Param("n".into()), Dimension::Value(2)]);
    let value_type = TypeProto::Tensor { elem_type: 1, shape };
    ValueInfoProto { name: name.into(), value_type }
}

fn node(domain: &str, op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto<'static> {
    NodeProto {
        name: format!("{op}_{}", outputs[0]),
        op_type: op.into(),
        domain: domain.into(),
        inputs: inputs.iter().map(|s| s.to_string()).collect(),
        outputs: outputs.iter().map(|s| s.to_string()).collect(),
        ..NodeProto::default()
    }
}

fn with(
    mut node: NodeProto<'static>,
    name: &str,
    value: AttributeValue<'static>,
) -> NodeProto<'static> {
    let attribute = AttributeProto { name: name.into(), value, ..AttributeProto::default() };
    node.attributes.push(attribute);
    node
}

fn set(domain: &str, version: i64) -> OperatorSetId {
    OperatorSetId { domain: domain.into(), version }
}

fn model(nodes: Vec<NodeProto<'static>>, functions: Vec<FunctionProto<'static>>) -> Vec<u8> {
    model_with(nodes, functions, vec![])
}

fn model_with(
    nodes: Vec<NodeProto<'static>>,
    functions: Vec<FunctionProto<'static>>,
    constants: Vec<TensorProto<'static>>,
) -> Vec<u8> {
    let own = vec![
        TensorProto::from_elements("yes", &[], &Elements::Bool(vec![true])),
        TensorProto::from_elements("k", &[2], &Elements::F32(vec![10.0, 20.0])),
    ];
    onnx::encode(&ModelProto {
        ir_version: 10,
        opset_import: vec![set("", 18), set("own", 1)],
        graph: GraphProto {
            name: "g".into(),
            nodes,
            inputs: vec![info("x")],
            outputs: vec![info("y")],
            initializers: [own, constants].concat(),
            ..GraphProto::default()
        },
        functions,
        ..ModelProto::default()
    })
}

fn function(name: &str, nodes: Vec<NodeProto<'static>>) -> FunctionProto<'static> {
    FunctionProto {
        name: name.into(),
        domain: "own".into(),
        inputs: vec!["a".into(), "b".into()],
        outputs: vec!["r".into()],
        nodes,
        opset_import: vec![set("", 18)],
        ..FunctionProto::default()
    }
}

fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    Model::from_onnx(bytes, &|_| Err("no external data".into()))
}

fn answer(bytes: &[u8]) -> Vec<f64> {
    let model = load(bytes).unwrap();
    let x = Value::F32(Tensor::new(vec![1, 2], vec![1.0, -2.0]).unwrap());
    let inputs: Inputs = [("x".to_string(), x)].into();
    let y = reference::run(model.graph(), &inputs, &["y"], Precision::F32).unwrap();
    y[0].to_f64s().unwrap()
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let leaky = NodeProto {
        attributes: vec![AttributeProto {
            name: "alpha".into(),
            ref_attr_name: "slope".into(),
            value: AttributeValue::Other { code: 1 },
        }],
        ..node("", "LeakyRelu", &["t"], &["r"])
    };
    let inner = || function("Bent", vec![node("", "Add", &["a", "b"], &["t"]), leaky.clone()]);
    let call = node("own", "Bent", &["x", "k"], &["m"]);
    let twice = vec![
        with(call.clone(), "slope", AttributeValue::Float(0.5)),
        node("own", "Bent", &["m", "x"], &["y"]),
    ];
    // m = x + k, both positive; y = m + x.
    assert_eq!(answer(&model(twice, vec![inner()])), [12.0, 16.0]);
    let slope =
        |v| with(node("own", "Bent", &["x", "x"], &["y"]), "slope", AttributeValue::Float(v));
    assert_eq!(answer(&model(vec![slope(0.5)], vec![inner()])), [2.0, -2.0]);
    // Without a value the operator's own default holds, or the function's.
    let plain = vec![node("own", "Bent", &["x", "x"], &["y"])];
    let close = |got: Vec<f64>, want: [f64; 2]| {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
    };
    close(answer(&model(plain.clone(), vec![inner()])), [2.0, -0.04]);
    let mut default = inner();
    default.attribute_defaults = vec![AttributeProto {
        name: "slope".into(),
        value: AttributeValue::Float(0.25),
        ..AttributeProto::default()
    }];
    close(answer(&model(plain, vec![default])), [2.0, -1.0]);
}

#[test]
fn functions_call_functions_and_hand_inputs_through() {
    let outer = function(
        "Outer",
        vec![node("own", "Inner", &["a", "b"], &["t"]), node("own", "Inner", &["t", "b"], &["r"])],
    );
    let inner = function("Inner", vec![node("", "Add", &["a", "b"], &["r"])]);
    let mut same = function("Same", vec![]);
    same.outputs = vec!["a".into()];
    let nodes =
        vec![node("own", "Same", &["x"], &["z"]), node("own", "Outer", &["z", "k"], &["y"])];
    assert_eq!(answer(&model(nodes, vec![outer, inner, same])), [21.0, 38.0]);
}

#[test]
fn functions_that_multiply_or_circle_are_refused() {
    // Each calls the next twice: 2^40 nodes.
    let bomb = |i: usize| {
        let (this, next) = (format!("F{i}"), format!("F{}", i + 1));
        let nodes =
            vec![node("own", &next, &["a", "b"], &["t"]), node("own", &next, &["t", "b"], &["r"])];
        let mut f = function(&this, nodes);
        if i == 40 {
            f.nodes = vec![node("", "Add", &["a", "b"], &["r"])];
        }
        f
    };
    let call = || vec![node("own", "F0", &["x", "k"], &["y"])];
    let error = load(&model(call(), (0..=40).map(bomb).collect())).unwrap_err();
    assert!(matches!(error, LoadError::Nested { .. }), "{error}");
    let circle = function("F0", vec![node("own", "F0", &["a", "b"], &["r"])]);
    let error = load(&model(call(), vec![circle])).unwrap_err();
    assert!(matches!(error, LoadError::Nested { .. }), "{error}");
    let mut other = function("F0", vec![node("", "Add", &["a", "b"], &["r"])]);
    other.opset_import = vec![set("", 12)];
    let error = load(&model(call(), vec![other])).unwrap_err().to_string();
    assert!(error.contains("written for opset 12 where the model imports 18"), "{error}");
}

fn branch(op: &str) -> AttributeValue<'static> {
    AttributeValue::Graph(Box::new(GraphProto {
        name: "branch".into(),
        nodes: vec![node("", op, &["x", "c"], &["inside"])],
        initializers: vec![TensorProto::from_elements("c", &[1], &Elements::F32(vec![3.0]))],
        outputs: vec![info("inside")],
        ..GraphProto::default()
    }))
}

#[test]
fn a_branch_is_taken_where_the_file_fixes_the_condition() {
    let choose = |condition: &str| {
        let choice = node("", "If", &[condition], &["y"]);
        with(with(choice, "then_branch", branch("Add")), "else_branch", branch("Mul"))
    };
    assert_eq!(answer(&model(vec![choose("yes")], vec![])), [4.0, 1.0]);
    let not = node("", "Not", &["yes"], &["no"]);
    assert_eq!(answer(&model(vec![not, choose("no")], vec![])), [3.0, -6.0]);
    // A condition that depends on the input is control flow.
    let top = node("", "ReduceMax", &["x"], &["top"]);
    let cast = with(node("", "Cast", &["top"], &["depends"]), "to", AttributeValue::Int(9));
    let error = load(&model(vec![top, cast, choose("depends")], vec![])).unwrap_err().to_string();
    assert!(error.contains("(If)") && error.contains("depends on the input"), "{error}");
    for op in ["Loop", "Scan"] {
        let looped = with(node("", op, &["k"], &["y"]), "body", branch("Add"));
        let error = load(&model(vec![looped], vec![])).unwrap_err().to_string();
        assert!(error.contains(op) && error.contains("not supported"), "{error}");
    }
}

#[test]
fn casts_to_16_bits_are_casts_to_32() {
    let cast = with(node("", "Cast", &["x"], &["y"]), "to", AttributeValue::Int(10));
    let bytes = model(vec![cast], vec![]);
    let written = proofmark_engine::write::to_onnx(load(&bytes).unwrap().graph()).unwrap();
    let decoded = onnx::decode(&written).unwrap();
    let to = decoded.graph.nodes[0].attribute("to");
    assert_eq!(to, Some(&AttributeValue::Int(1)));
}

/// Weights in files of their own: where they lie, how long they are, and what is wrong with them.
#[test]
fn external_data_is_read_in_its_bounds() {
    let held = |facts: &[(&str, &str)]| {
        let mut t = TensorProto::from_elements("e", &[2], &Elements::F32(vec![0.0; 2]));
        t.data = onnx::TensorData::Absent;
        t.data_location = 1;
        t.external_data = facts.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        model_with(vec![node("", "Add", &["x", "e"], &["y"])], vec![], vec![t])
    };
    let files = |name: &str| match name {
        "a.bin" => Ok([1.0f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
        "b/c.bin" => Ok(vec![0; 8]),
        other => Err(format!("`{other}` is not there")),
    };
    let open = |facts: &[(&str, &str)]| Model::from_onnx(&held(facts), &files);
    let good = open(&[("location", "a.bin"), ("offset", "4"), ("length", "8")]).unwrap();
    assert_eq!(good.graph().constants["e"].to_f64s().unwrap(), [2.0, 3.0]);
    assert_eq!(good.externals().len(), 1);
    assert!(open(&[("location", "b/c.bin")]).is_ok());
    let huge = (3u64 << 30).to_string();
    let table: [(&[(&str, &str)], &str); 8] = [
        (&[("location", "d.bin")], "`d.bin` is not there"),
        (&[("location", "../a.bin")], "not a plain path"),
        (&[("location", "a.bin")], "cannot be read"),
        (&[("location", "a.bin"), ("offset", "8"), ("length", "8")], "cannot be read"),
        (&[("location", "a.bin"), ("offset", &huge)], "cannot be read"),
        (&[("location", "a.bin"), ("length", &huge)], "cannot be read"),
        (&[("location", "a.bin"), ("offset", "-1")], "no size"),
        (&[("offset", "0")], "`location` is missing"),
    ];
    for (facts, words) in table {
        let error = open(facts).err().map(|e| e.to_string()).unwrap_or_default();
        let told = error.contains(words) || (words == "cannot be read" && error.contains('`'));
        assert!(told, "{facts:?}: {error}");
    }
}

#[test]
fn what_is_random_or_a_sequence_is_named() {
    for (op, word) in
        [("RandomNormalLike", "RandomNormalLike"), ("SequenceConstruct", "SequenceConstruct")]
    {
        let bytes = model(vec![node("", op, &["x"], &["y"])], vec![]);
        let graph = load(&bytes).unwrap();
        let error = reference::prepare(graph.graph(), Precision::F32).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains("not supported"), "{error}");
    }
}

/// Attributes and inputs that would take all memory or all time, or read out of bounds.
#[test]
fn hostile_nodes_are_errors() {
    let f = |v: f32| AttributeValue::Float(v);
    let i = AttributeValue::Int;
    let list = |v: &[i64]| AttributeValue::Ints(v.to_vec());
    let t = |v: &str| AttributeValue::Bytes(v.as_bytes().to_vec().into());
    let mut cases: Vec<(Vec<NodeProto>, Vec<TensorProto>)> = Vec::new();
    let mut add = |op: &str,
                   inputs: &[&str],
                   with_: Vec<(&str, AttributeValue<'static>)>,
                   constants: Vec<TensorProto<'static>>| {
        let n = with_.into_iter().fold(node("", op, inputs, &["y"]), |n, (k, v)| with(n, k, v));
        cases.push((vec![n], constants));
    };
    let floats = |name: &str, dims: &[i64], v: Vec<f32>| {
        TensorProto::from_elements(name, dims, &Elements::F32(v))
    };
    let ints = |name: &str, v: Vec<i64>| {
        TensorProto::from_elements(name, &[v.len() as i64], &Elements::I64(v))
    };
    for s in [1e30, -1.0, f32::NAN, f32::INFINITY, 0.0] {
        add("Resize", &["x", "", "s"], vec![], vec![floats("s", &[2], vec![1.0, s])]);
        add(
            "Resize",
            &["x", "", "s"],
            vec![("mode", t("cubic")), ("antialias", i(1))],
            vec![floats("s", &[2], vec![1.0, s])],
        );
    }
    add("Resize", &["x", "", "", "s"], vec![], vec![ints("s", vec![1, i64::MAX])]);
    add("Resize", &["x", "", "", "s"], vec![], vec![ints("s", vec![-1, 2])]);
    add("Resize", &["x", "", "", "s"], vec![], vec![ints("s", vec![2])]);
    add("Upsample", &["x", "s"], vec![], vec![floats("s", &[2], vec![1e20, 1e20])]);
    add("Einsum", &["x"], vec![("equation", t("ij->ijj"))], vec![]);
    add("Einsum", &["x"], vec![("equation", t("ijk->i"))], vec![]);
    add("Einsum", &["x", "x"], vec![("equation", t("ij->i"))], vec![]);
    add("Einsum", &["x"], vec![("equation", t("ij->...k"))], vec![]);
    add("LSTM", &["x", "k", "k"], vec![("hidden_size", i(2))], vec![]);
    add("GRU", &["x", "x", "x"], vec![("hidden_size", i(i64::MAX))], vec![]);
    add("RNN", &["x", "x", "x"], vec![("direction", t("sideways"))], vec![]);
    add("QuantizeLinear", &["x", "k"], vec![("axis", i(9))], vec![]);
    add("QuantizeLinear", &["x", "k"], vec![("block_size", i(i64::MAX))], vec![]);
    add("QuantizeLinear", &["x", "k"], vec![("block_size", i(-2))], vec![]);
    add("DequantizeLinear", &["x", "k"], vec![], vec![]);
    add("MatMulInteger", &["x", "x"], vec![], vec![]);
    add("QLinearConv", &["x", "k", "k", "x", "k", "k", "k", "k"], vec![], vec![]);
    add("GridSample", &["x", "x"], vec![], vec![]);
    add("EyeLike", &["k"], vec![], vec![]);
    add("GatherND", &["x", "s"], vec![("batch_dims", i(7))], vec![ints("s", vec![0])]);
    add("GatherND", &["x", "s"], vec![("batch_dims", i(-1))], vec![ints("s", vec![0])]);
    add("ReverseSequence", &["x", "s"], vec![], vec![ints("s", vec![9, 9])]);
    add("ReverseSequence", &["x", "s"], vec![("time_axis", i(1))], vec![ints("s", vec![0])]);
    add("GroupNormalization", &["x", "k", "k"], vec![("num_groups", i(0))], vec![]);
    add("GroupNormalization", &["x", "k", "k"], vec![("num_groups", i(7))], vec![]);
    add("LpPool", &["x"], vec![("p", i(2)), ("kernel_shape", list(&[1 << 40, 2]))], vec![]);
    add("LpNormalization", &["x"], vec![("p", i(5))], vec![]);
    add("Attention", &["x", "x", "x"], vec![("q_num_heads", i(0))], vec![]);
    add("Attention", &["x", "x", "x"], vec![("q_num_heads", i(3)), ("kv_num_heads", i(2))], vec![]);
    add("RotaryEmbedding", &["x", "x", "x"], vec![("num_heads", i(3))], vec![]);
    add("RMSNormalization", &["x", "k"], vec![("axis", i(-7)), ("epsilon", f(0.0))], vec![]);
    add("MaxPool", &["x"], vec![("kernel_shape", list(&[i64::MAX]))], vec![]);
    let (big, huge) = (1 << 27, i64::MAX / 4);
    for op in ["MaxPool", "AveragePool"] {
        for with_ in [
            vec![("kernel_shape", list(&[big, big])), ("pads", list(&[big; 4]))],
            vec![("kernel_shape", list(&[huge, 2])), ("dilations", list(&[huge, 2]))],
            vec![("kernel_shape", list(&[1, 1])), ("pads", list(&[huge; 4]))],
            vec![("kernel_shape", list(&[1, 1])), ("strides", list(&[i64::MAX, 0]))],
        ] {
            let plane = TensorProto::from_elements("p", &[4], &Elements::I64(vec![1, 1, 1, 2]));
            let pool = node("", op, &["plane"], &["y"]);
            let pool = with_.into_iter().fold(pool, |n, (k, v)| with(n, k, v));
            cases.push((vec![node("", "Reshape", &["x", "p"], &["plane"]), pool], vec![plane]));
        }
    }
    let x = Value::F32(Tensor::new(vec![1, 2], vec![1.0, -2.0]).unwrap());
    let inputs: Inputs = [("x".to_string(), x)].into();
    for (nodes, constants) in cases {
        let words = format!("{} {:?}", nodes[0].op_type, nodes[0].attributes);
        let Ok(model) = load(&model_with(nodes, vec![], constants)) else { continue };
        for graph in [model.graph().clone(), upgrade(&lower(model.graph()))] {
            let got = reference::run(&graph, &inputs, &["y"], Precision::F32);
            assert!(got.is_err(), "{words}: {got:?}");
        }
    }
}
