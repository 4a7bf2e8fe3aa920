//! The reference interpreter against ONNX Runtime, operator by operator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proofmark_engine::graph::{Attribute, Dim, Graph, ValueInfo};
use proofmark_engine::lower::lower;
use proofmark_engine::model::{LoadError, Model};
use proofmark_engine::reference::{self, Precision, RunError};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::npy::{NpyArray, NpyData};
use proofmark_formats::npz::Npz;
use proofmark_formats::onnx::{
    self, Dimension, Elements, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto,
    TypeProto, ValueInfoProto,
};
use proofmark_formats::protobuf::{Reader, Writer};

/// Files of cases.
pub const FAMILIES: [&str; 21] = [
    "arithmetic",
    "composed",
    "convolutions",
    "differences",
    "encoders",
    "functions",
    "indices",
    "labels",
    "linear",
    "norms",
    "pipelines",
    "pools",
    "products",
    "quantised",
    "recurrent",
    "reductions",
    "resampling",
    "shapes",
    "svm",
    "texts",
    "trees",
];
/// Results that double precision changes: texts and hashes of numbers, and the probit, where
/// rounding the closed form of the inverse error function near its zero is the larger part of the
/// result.
const F32_ONLY: [&str; 4] =
    ["Cast_float_text", "MurmurHash3_f4", "regressor_PROBIT", "classifier_PROBIT_three"];

#[test]
fn every_operator_answers_as_onnx_runtime() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for family in FAMILIES {
        let bytes = std::fs::read(ops().join(format!("{family}.npz"))).unwrap();
        let arrays = Npz::open(&bytes).unwrap();
        for case in Case::all(&arrays) {
            cases += 1;
            for precision in [Precision::F32, Precision::F64] {
                if precision == Precision::F64 && F32_ONLY.contains(&case.name.as_str()) {
                    continue;
                }
                if let Err(why) = case.check(precision) {
                    failures.push(format!("{family}/{} {precision:?}: {why}", case.name));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
    assert!(cases > 600, "only {cases} cases found");
}

fn ops() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ops")
}

/// One model with inputs and expected outputs.
pub struct Case {
    name: String,
    model: Vec<u8>,
    inputs: Inputs,
    outputs: BTreeMap<String, Value>,
}

/// The cases of a family.
#[allow(dead_code, reason = "one of the two test binaries spoils cases")]
pub fn cases_of(family: &str) -> Vec<Case> {
    let bytes = std::fs::read(ops().join(format!("{family}.npz"))).unwrap();
    Case::all(&Npz::open(&bytes).unwrap())
}

impl Case {
    /// Its name.
    #[allow(dead_code, reason = "one of the two test binaries spoils cases")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph, what is fed, and the outputs that are known.
    #[allow(dead_code, reason = "one of the two test binaries spoils cases")]
    pub fn parts(&self) -> (Graph, Inputs, Vec<String>) {
        let model = Model::from_onnx(&self.model, &|_| Err("no external data".to_string()));
        let graph = model.unwrap().graph().clone();
        (graph, self.inputs.clone(), self.outputs.keys().cloned().collect())
    }

    /// The known outputs, in the order of their names.
    #[allow(dead_code, reason = "one of the two test binaries compares engines")]
    pub fn wanted(&self) -> impl Iterator<Item = &Value> {
        self.outputs.values()
    }

    fn all(arrays: &Npz) -> Vec<Case> {
        let names: Vec<&str> = arrays.names().filter_map(|n| n.strip_suffix("/model")).collect();
        names.into_iter().map(|name| Case::read(arrays, name)).collect()
    }

    fn read(arrays: &Npz, name: &str) -> Case {
        let part = |kind: &str| -> BTreeMap<String, NpyArray> {
            let prefix = format!("{name}/{kind}/");
            let held = arrays.names().filter_map(|n| Some((n, n.strip_prefix(&prefix)?)));
            held.map(|(n, key)| (key.to_string(), arrays.array(n).unwrap())).collect()
        };
        let NpyData::U8(model) = arrays.array(&format!("{name}/model")).unwrap().into_parts().1
        else {
            panic!("{name}: the model is not bytes")
        };
        let values = |kind| part(kind).into_iter().map(|(k, v)| (k, value(v)));
        let mut outputs: BTreeMap<String, Value> = values("out").collect();
        for ((key, keys), (_, maps)) in part("keys").into_iter().zip(part("maps")) {
            let keys = keys.data().to_strings();
            let flat = maps.data().to_f32().unwrap();
            let row = |r: &[f32]| keys.iter().cloned().zip(r.iter().copied()).collect();
            outputs.insert(key, Value::Maps(flat.chunks(keys.len()).map(row).collect()));
        }
        Case { name: name.to_string(), model, inputs: values("in").collect(), outputs }
    }

    fn check(&self, precision: Precision) -> Result<(), String> {
        let model = Model::from_onnx(&self.model, &|_| Err("no external data".to_string()))
            .map_err(|e| e.to_string())?;
        let names: Vec<&str> = self.outputs.keys().map(String::as_str).collect();
        let got = reference::run(model.graph(), &self.inputs, &names, precision)
            .map_err(|e| e.to_string())?;
        let lowered = reference::run(&lower(model.graph()), &self.inputs, &names, precision)
            .map_err(|e| format!("lowered: {e}"))?;
        for (((name, want), got), lowered) in self.outputs.iter().zip(got).zip(lowered) {
            same(want, &got).map_err(|why| format!("{name}: {why}"))?;
            identical(&got, &lowered).map_err(|why| format!("{name}, lowered: {why}"))?;
        }
        Ok(())
    }
}

/// Equal bit for bit, not-a-number included.
fn identical(a: &Value, b: &Value) -> Result<(), String> {
    let bits = |v: &Value| match v {
        Value::F32(_) | Value::F64(_) => {
            v.to_f64s().map(|d| d.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        }
        _ => None,
    };
    let same = match (bits(a), bits(b)) {
        (Some(x), Some(y)) => x == y && a.shape() == b.shape() && a.dtype() == b.dtype(),
        _ => a == b,
    };
    if same { Ok(()) } else { Err(format!("{b:?}, before {a:?}")) }
}

/// An array as a value.
pub fn value(a: NpyArray) -> Value {
    let (shape, data) = a.into_parts();
    fn of<T>(shape: Vec<usize>, data: Vec<T>) -> Tensor<T> {
        Tensor::new(shape, data).unwrap()
    }
    match data {
        NpyData::F32(v) => Value::F32(of(shape, v)),
        NpyData::F64(v) => Value::F64(of(shape, v)),
        NpyData::I64(v) => Value::I64(of(shape, v)),
        NpyData::I32(v) => Value::I32(of(shape, v)),
        NpyData::I8(v) => Value::I8(of(shape, v)),
        NpyData::U8(v) => Value::U8(of(shape, v)),
        NpyData::Bool(v) => Value::Bool(of(shape, v)),
        NpyData::Str(v) => Value::Str(of(shape, v)),
        other => panic!("{other:?}"),
    }
}

/// Equal, or for floats within 1e-5 · max(1, max|z|) per row: the bar for exported models.
pub fn same(want: &Value, got: &Value) -> Result<(), String> {
    if let (Value::Maps(w), Value::Maps(g)) = (want, got) {
        let keys = |m: &[BTreeMap<String, f32>]| {
            m.iter().map(|m| m.keys().cloned().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        if keys(w) != keys(g) {
            return Err("the keys differ".to_string());
        }
        let flat =
            |m: &[BTreeMap<String, f32>]| m.iter().flat_map(|m| m.values().copied()).collect();
        let (w, g): (Vec<f32>, Vec<f32>) = (flat(w), flat(g));
        return same(&Value::F32(Tensor::vector(w)), &Value::F32(Tensor::vector(g)));
    }
    if want.shape() != got.shape() {
        return Err(format!("shape {:?}, expected {:?}", got.shape(), want.shape()));
    }
    if !matches!(want, Value::F32(_) | Value::F64(_)) {
        return if want == got { Ok(()) } else { Err(format!("{got:?}, expected {want:?}")) };
    }
    if !matches!(got, Value::F32(_) | Value::F64(_)) {
        return Err(format!("type {:?}, expected {:?}", got.dtype(), want.dtype()));
    }
    let (w, g) = (want.to_f64s().unwrap(), got.to_f64s().unwrap());
    let width = want.shape().last().copied().unwrap_or(1).max(1);
    for (r, (w, g)) in w.chunks(width).zip(g.chunks(width)).enumerate() {
        let largest = w.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
        for (c, (w, g)) in w.iter().zip(g).enumerate() {
            let close = w == g || (w.is_nan() && g.is_nan()) || (w - g).abs() <= 1e-5 * largest;
            if !close {
                return Err(format!("row {r} column {c}: {g}, expected {w}"));
            }
        }
    }
    Ok(())
}

/// The models of the zoo: what exporters write, with ONNX Runtime's answers.
#[test]
fn exported_models_answer_as_onnx_runtime() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/zoo");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().to_str()?.strip_suffix(".onnx").map(str::to_string))
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    let mut failures = Vec::new();
    for name in &names {
        for precision in [Precision::F32, Precision::F64] {
            if let Err(why) = exported(&folder, name, precision) {
                failures.push(format!("{name} {precision:?}: {why}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn exported(folder: &Path, name: &str, precision: Precision) -> Result<(), String> {
    let file = |end: &str| std::fs::read(folder.join(format!("{name}.{end}"))).unwrap();
    let external = |_: &str| Err("no external data".to_string());
    let model = Model::from_onnx(&file("onnx"), &external).map_err(|e| e.to_string())?;
    let bytes = file("npz");
    let arrays = Npz::open(&bytes).unwrap();
    let part = |kind: &str| -> BTreeMap<String, Value> {
        let keys = arrays.names().filter_map(|n| Some((n, n.strip_prefix(kind)?)));
        keys.map(|(n, key)| (key.to_string(), value(arrays.array(n).unwrap()))).collect()
    };
    let (inputs, outputs) = (part("in:"), part("out:"));
    let trees = model.graph().nodes.iter().any(|n| n.op.starts_with("TreeEnsemble"));
    if trees && precision == Precision::F64 {
        // A value on a threshold in `f32` may lie beside it in `f64`: another leaf, rightly.
        return Ok(());
    }
    let quantised = model.graph().nodes.iter().any(|n| n.op == "QuantizeLinear");
    if quantised && precision == Precision::F64 {
        // What lies on half a step in `f32` may round to the other side in `f64`, rightly.
        return Ok(());
    }
    let fits = |i: &ValueInfo| match i.shape.as_ref().and_then(|s| s.first()) {
        Some(Dim::Fixed(n)) => inputs.get(&i.name).is_some_and(|v| v.shape().first() == Some(n)),
        _ => true,
    };
    if !model.graph().inputs.iter().all(fits) {
        // Written for one batch size: `zoo.rs` asks it in batches of that.
        return Ok(());
    }
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    let plain = reference::run(model.graph(), &inputs, &names, precision);
    let lowered = reference::run(&lower(model.graph()), &inputs, &names, precision);
    for (how, got) in [("", plain), ("lowered, ", lowered)] {
        let got = got.map_err(|e| format!("{how}{e}"))?;
        for ((output, want), got) in outputs.iter().zip(got) {
            let got = match &got {
                // The zoo stores the maps' values as a matrix, classes in the model's order.
                Value::Maps(maps) => matrix(maps, model.graph(), output),
                _ => got,
            };
            same(want, &got).map_err(|why| format!("{how}{output}: {why}"))?;
        }
    }
    Ok(())
}

pub fn matrix(maps: &[BTreeMap<String, f32>], graph: &Graph, output: &str) -> Value {
    let node = graph.nodes.iter().find(|n| n.outputs.iter().any(|o| o == output)).unwrap();
    let classes: Vec<String> = node
        .attributes
        .values()
        .find_map(|a| match a {
            Attribute::Texts(t) if !t.is_empty() => Some(t.clone()),
            Attribute::Ints(i) if !i.is_empty() => Some(i.iter().map(i64::to_string).collect()),
            _ => None,
        })
        .unwrap();
    let data = maps.iter().flat_map(|m| classes.iter().map(|c| m[c])).collect();
    Value::F32(Tensor::new(vec![maps.len(), classes.len()], data).unwrap())
}

/// Bytes of a model of one node and one `f32` input `x` of two columns.
fn tiny(change: impl FnOnce(&mut ModelProto<'static>)) -> Vec<u8> {
    let tensor = TypeProto::Tensor {
        elem_type: 1,
        shape: Some(vec![Dimension::Param("n".into()), Dimension::Value(2)]),
    };
    let info = |name: &str| ValueInfoProto { name: name.into(), value_type: tensor.clone() };
    let node = NodeProto {
        name: "sum".into(),
        op_type: "Add".into(),
        inputs: vec!["x".into(), "w".into()],
        outputs: vec!["y".into()],
        ..NodeProto::default()
    };
    let mut model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetId { domain: String::new(), version: 17 }],
        graph: GraphProto {
            name: "g".into(),
            nodes: vec![node],
            initializers: vec![TensorProto::from_elements("w", &[2], &Elements::F32(vec![1., 2.]))],
            inputs: vec![info("x")],
            outputs: vec![info("y")],
            ..GraphProto::default()
        },
        ..ModelProto::default()
    };
    change(&mut model);
    onnx::encode(&model)
}

fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    Model::from_onnx(bytes, &|_| Ok(vec![0; 8]))
}

#[test]
fn bad_models_are_refused_with_their_reason() {
    type Change = fn(&mut ModelProto<'static>);
    let external = |m: &mut ModelProto<'static>, location: &str| {
        let w = &mut m.graph.initializers[0];
        w.data = onnx::TensorData::Absent;
        w.data_location = 1;
        w.external_data = vec![("location".into(), location.into())];
    };
    let bytes = tiny(|m| external(m, "w.bin"));
    let model = load(&bytes).unwrap();
    assert_eq!(model.externals().len(), 1);
    assert_ne!(model.digest(), model.sha256());
    for location in ["../w.bin", "/etc/passwd", "C:\\w.bin", "a/../../w"] {
        let error = load(&tiny(|m| external(m, location))).unwrap_err();
        assert!(matches!(error, LoadError::ExternalOutside { .. }), "{location}: {error}");
    }
    let whole = tiny(|_| {});
    for end in [0, 1, 7, whole.len() / 2, whole.len() - 1] {
        assert!(load(&whole[..end]).is_err(), "cut at {end}");
    }
    let cases: [(&str, Change); 7] = [
        ("opset 6 of `ai.onnx`", |m| m.opset_import[0].version = 6),
        ("opset 26 of `ai.onnx`", |m| m.opset_import[0].version = 26),
        ("`w` is given to two values", |m| m.graph.nodes[0].outputs[0] = "w".into()),
        ("reads `q`, which no input", |m| m.graph.nodes[0].inputs[0] = "q".into()),
        ("`y` is not computed", |m| m.graph.nodes[0].outputs[0] = "z".into()),
        ("depend on one another in a circle", |m| m.graph.nodes[0].inputs[0] = "y".into()),
        ("uses the domain `com.example`", |m| m.graph.nodes[0].domain = "com.example".into()),
    ];
    for (words, change) in cases {
        let error = load(&tiny(change)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// `If` and `Loop` as exporters write them, in attributes that hold graphs.
#[test]
fn control_flow_is_refused_by_name() {
    let held = |m: &mut ModelProto<'static>, op: &str, attributes: &[&str]| {
        let inner = GraphProto { name: "inner".into(), ..GraphProto::default() };
        let graph = |name: &&str| onnx::AttributeProto {
            name: name.to_string(),
            value: onnx::AttributeValue::Graph(Box::new(inner.clone())),
            ..Default::default()
        };
        m.graph.nodes[0].op_type = op.into();
        m.graph.nodes[0].attributes = attributes.iter().map(graph).collect();
    };
    for (op, attributes) in [("If", &["then_branch", "else_branch"][..]), ("Loop", &["body"])] {
        let error = load(&tiny(|m| held(m, op, attributes))).unwrap_err();
        assert!(matches!(error, LoadError::Subgraph { .. }), "{error}");
        let words = format!("node `sum` ({op}) holds a graph of its own; control flow that");
        assert!(error.to_string().starts_with(&words), "{error}");
    }
}

/// A refused initialiser must not become an input that nobody feeds, or a value of zeros.
#[test]
fn sparse_initialisers_are_refused() {
    let whole = tiny(|_| {});
    let mut reader = Reader::new(&whole).unwrap();
    let mut out = Writer::new();
    while let Some(field) = reader.next_field().unwrap() {
        match field.number {
            // ModelProto.ir_version; ModelProto.graph, with two GraphProto.sparse_initializer.
            1 => out.int64(1, field.int64().unwrap()),
            7 => {
                let mut sparse = Writer::new();
                (0..2).for_each(|_| sparse.message(15, |_| {}));
                let graph = [field.bytes().unwrap(), &sparse.into_bytes()].concat();
                out.bytes(7, &graph);
            }
            n => out.bytes(n, field.bytes().unwrap()),
        }
    }
    let error = load(&out.into_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Sparse(2)), "{error}");
    let words = "the model holds 2 sparse initialisers, which are not read; store them densely";
    assert_eq!(error.to_string(), words);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let bad = Elements::F32(vec![f32::NAN, 1.0]);
    let bytes = tiny(|m| m.graph.initializers[0] = TensorProto::from_elements("w", &[2], &bad));
    assert_eq!(load(&bytes).unwrap().non_finite_weights(), ["w"]);
    assert!(load(&tiny(|_| {})).unwrap().non_finite_weights().is_empty());
}

#[test]
fn nodes_out_of_order_are_sorted() {
    let bytes = tiny(|m| {
        let mut late = m.graph.nodes[0].clone();
        late.outputs[0] = "t".into();
        m.graph.nodes[0].inputs[0] = "t".into();
        m.graph.nodes.push(late);
    });
    let model = load(&bytes).unwrap();
    let x = Value::F32(Tensor::new(vec![1, 2], vec![0.0, 0.0]).unwrap());
    let inputs: Inputs = [("x".to_string(), x)].into();
    let y = reference::run(model.graph(), &inputs, &["y"], Precision::F32).unwrap();
    assert_eq!(y[0].to_f64s().unwrap(), [2.0, 4.0]);
}

#[test]
fn bad_inputs_are_refused_with_what_was_expected() {
    let model = load(&tiny(|_| {})).unwrap();
    let run = |inputs: &Inputs, outputs: &[&str]| {
        reference::run(model.graph(), inputs, outputs, Precision::F32).map(|v| v[0].shape())
    };
    let f32s = |shape: &[usize]| {
        Value::F32(Tensor::new(shape.to_vec(), vec![0.0; shape.iter().product()]).unwrap())
    };
    let given = |v: Value| -> Inputs { [("x".to_string(), v)].into() };
    assert_eq!(run(&given(f32s(&[0, 2])), &["y"]), Ok(vec![0, 2]));
    assert_eq!(run(&Inputs::new(), &["y"]), Err(RunError::MissingInput("x".into())));
    assert_eq!(run(&given(f32s(&[1, 2])), &["q"]), Err(RunError::UnknownOutput("q".into())));
    for shape in [&[2][..], &[1, 3], &[1, 2, 1]] {
        let error = run(&given(f32s(shape)), &["y"]).unwrap_err().to_string();
        assert_eq!(error, format!("the input `x` must have shape (n, 2), given {shape:?}"));
    }
    let text = Value::Str(Tensor::new(vec![1, 2], vec![String::new(); 2]).unwrap());
    let error = run(&given(text), &["y"]).unwrap_err().to_string();
    assert_eq!(error, "the input `x` must be of type f32, given text");
    let unknown = load(&tiny(|m| m.graph.nodes[0].op_type = "Wobble".into())).unwrap();
    let error = reference::prepare(unknown.graph(), Precision::F32).err().unwrap().to_string();
    let words = "the operator `Wobble` of domain `ai.onnx` (opset 17, node `sum`) is not supported";
    assert_eq!(error, words);
}
