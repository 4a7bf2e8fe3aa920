//! Sizes that are found before anything runs, against those that the reference then has; and
//! graphs that would grow beyond every machine, which no engine may be asked for.

// The figures are for whoever runs the tests by hand.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};

use proofmark_engine::autodiff::upgrade;
use proofmark_engine::engine::{EngineKind, compile};
use proofmark_engine::extent::{ExtentError, InputShapes, Skeleton};
use proofmark_engine::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use proofmark_engine::lower::lower;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::run_batched;
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};
use proofmark_formats::npz::Npz;

use crate::forward::{cases_of, value};

/// Models whose sizes do not follow from shapes alone: operators of other domains among them.
const FAMILIES: [&str; 12] = [
    "arithmetic",
    "composed",
    "convolutions",
    "functions",
    "indices",
    "norms",
    "pools",
    "products",
    "quantised",
    "recurrent",
    "reductions",
    "shapes",
];

/// Whether sizes are known, and are those of the reference.
fn compare(graph: &Graph, inputs: &Inputs) -> Result<bool, String> {
    let graph = upgrade(&lower(graph));
    let skeleton = Skeleton::of(&graph);
    let shapes = match skeleton.shapes(&skeleton.given(inputs)) {
        Err(ExtentError::Unknown { node, op }) => {
            let plain = graph.nodes.iter().all(|n| n.domain.is_empty());
            return if plain { Err(format!("`{op}` at `{node}` is not known")) } else { Ok(false) };
        }
        other => other.map_err(|e| e.to_string())?,
    };
    let outputs = graph.nodes.iter().flat_map(|n| &n.outputs);
    let names: Vec<&str> = outputs.map(String::as_str).filter(|n| !n.is_empty()).collect();
    let Ok(truth) = run(&graph, inputs, &names, Precision::F32) else { return Ok(false) };
    for (name, value) in names.iter().zip(&truth) {
        if shapes[*name] != value.shape() {
            return Err(format!("`{name}` has {:?}, said {:?}", value.shape(), shapes[*name]));
        }
    }
    Ok(true)
}

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo")
}

fn none(_: &str) -> Result<Vec<u8>, String> {
    Err("no external data".into())
}

#[test]
fn sizes_of_the_zoo_are_known_and_true() {
    let (mut known, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(zoo()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "onnx") {
            continue;
        }
        let model = Model::from_onnx(&std::fs::read(&path).unwrap(), &none).unwrap();
        let bytes = std::fs::read(path.with_extension("npz")).unwrap();
        let arrays = Npz::open(&bytes).unwrap();
        let of =
            |n: &str| Some((n.strip_prefix("in:")?.to_owned(), value(arrays.array(n).unwrap())));
        let inputs: Inputs = arrays.names().filter_map(of).collect();
        match compare(model.graph(), &inputs) {
            Ok(yes) => known += usize::from(yes),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    eprintln!("the sizes of {known} models are known");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(known >= 50, "only {known}");
}

#[test]
fn sizes_of_single_operators_are_known_and_true() {
    let (mut known, mut open, mut wrong) = (0, Vec::new(), Vec::new());
    for family in FAMILIES {
        for case in cases_of(family) {
            let (graph, inputs, _) = case.parts();
            match compare(&graph, &inputs) {
                Ok(true) => known += 1,
                Ok(false) => {}
                // Shapes that are data, given as inputs, are not known; all else is.
                Err(why) if why.contains("is not known") => {
                    open.push((case.name().to_owned(), why))
                }
                Err(why) => wrong.push(format!("{family}/{}: {why}", case.name())),
            }
        }
    }
    eprintln!("{known} operators are known, {} are not: {open:#?}", open.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(known >= 300, "only {known}");
}

fn ints(v: &[i64]) -> Value {
    Value::I64(Tensor::vector(v.to_vec()))
}

/// `y = op(x, ...)` over rows of two.
fn grown(op: &str, more: &[(&str, Value)], attributes: &[(&str, Attribute)]) -> Graph {
    let info = |name: &str, shape: Option<Vec<Dim>>| ValueInfo {
        name: name.into(),
        dtype: Some(DType::F32),
        shape,
    };
    let inputs = ["x"].into_iter().chain(more.iter().map(|(n, _)| *n));
    let row = vec![Dim::Dynamic("n".into()), Dim::Fixed(2)];
    Graph {
        inputs: vec![info("x", Some(row))],
        outputs: vec![info("y", None)],
        nodes: vec![Node {
            name: "grows".into(),
            op: op.into(),
            domain: String::new(),
            inputs: inputs.map(str::to_owned).collect(),
            outputs: vec!["y".into()],
            attributes: attributes.iter().map(|(n, a)| (n.to_string(), a.clone())).collect(),
        }],
        constants: more.iter().map(|(n, v)| (n.to_string(), v.clone())).collect(),
        opsets: [(String::new(), 18)].into(),
    }
}

/// Graphs of which one value would have 2^40 elements, or as many as a file can say.
fn hostile() -> Vec<(&'static str, Graph)> {
    let axis = |a| vec![("axis", Attribute::Int(a))];
    let mut range = grown("Range", &[("b", ints(&[0])), ("c", ints(&[1 << 40]))], &[]);
    let one = Value::I64(Tensor::scalar(1));
    range.constants = [("b", Value::I64(Tensor::scalar(0))), ("c", one.clone())]
        .into_iter()
        .chain([("d", Value::I64(Tensor::scalar(1 << 40)))])
        .map(|(n, v)| (n.to_owned(), v))
        .collect();
    range.nodes[0].inputs = ["b", "d", "c"].map(str::to_owned).to_vec();
    let mut filled = grown("ConstantOfShape", &[("s", ints(&[1 << 20, 1 << 20]))], &[]);
    filled.nodes[0].inputs = vec!["s".into()];
    let mut doubled = grown("Concat", &[], &axis(1));
    doubled.nodes = (0..40)
        .map(|i| Node {
            name: format!("double{i}"),
            inputs: vec![if i == 0 { "x".into() } else { format!("v{i}") }; 2],
            outputs: vec![if i == 39 { "y".into() } else { format!("v{}", i + 1) }],
            ..doubled.nodes[0].clone()
        })
        .collect();
    let scales = Value::F32(Tensor::vector(vec![1.0, 1e12]));
    let empty = Value::F32(Tensor::vector(Vec::new()));
    let resize = grown("Resize", &[("r", empty), ("f", scales)], &[]);
    let pads = ints(&[0, 0, 0, 1 << 40]);
    let weights = Value::F32(Tensor::new(vec![2, 1 << 20], vec![0.0; 1 << 21]).unwrap());
    let mut outer = grown("MatMul", &[("w", weights)], &[]);
    outer.nodes.push(Node {
        name: "outer".into(),
        op: "Gemm".into(),
        inputs: vec!["v".into(), "v".into()],
        outputs: vec!["y".into()],
        attributes: [("transA".to_owned(), Attribute::Int(1))].into(),
        ..outer.nodes[0].clone()
    });
    outer.nodes[0].outputs = vec!["v".into()];
    vec![
        ("Tile", grown("Tile", &[("r", ints(&[1, 1 << 40]))], &[])),
        ("Tile of all there is", grown("Tile", &[("r", ints(&[1, i64::MAX]))], &[])),
        ("Expand", grown("Expand", &[("s", ints(&[1 << 20, 1 << 20, 1, 2]))], &[])),
        ("Range", range),
        ("ConstantOfShape", filled),
        ("Pad", grown("Pad", &[("p", pads)], &[])),
        ("Resize", resize),
        ("Concat of itself, 40 times", doubled),
        ("outer product", outer),
        (
            "OneHot",
            grown(
                "OneHot",
                &[("d", ints(&[1 << 28])), ("v", Value::F32(Tensor::vector(vec![0.0, 1.0])))],
                &axis(-1),
            ),
        ),
    ]
}

#[test]
fn what_would_grow_beyond_every_machine_is_refused_by_every_engine_and_names_the_node() {
    let rows = Value::F32(Tensor::new(vec![3, 2], vec![0.5; 6]).unwrap());
    let inputs: Inputs = [("x".to_owned(), rows)].into();
    for (name, graph) in hostile() {
        let skeleton = Skeleton::of(&graph);
        let extent = skeleton.measure(&[("x".to_owned(), vec![3, 2])].into());
        // A factor that gives no size at all has no size to be told.
        let told = matches!(extent, Err(ExtentError::TooLarge { .. }));
        assert!(told || (extent.is_err() && name == "Resize"), "{name}: {extent:?}");
        for kind in [EngineKind::Rten, EngineKind::Reference, EngineKind::ReferenceF64] {
            let ran = compile(&graph, kind, 1).and_then(|p| p.run(&inputs, &["y"]));
            let words = ran.expect_err(name).to_string();
            let said = ["limit", "grows", "size", "places", "double", "outer", "32 bits"];
            assert!(said.iter().any(|w| words.contains(w)), "{name} {kind:?}: {words}");
        }
    }
}

#[test]
fn values_that_are_too_many_together_are_refused() {
    // Sixteen values of 2^27 elements, all read by the last node.
    let mut graph = grown("Tile", &[("r", ints(&[1, 1 << 26]))], &[]);
    let tile = graph.nodes.remove(0);
    let parts: Vec<String> = (0..17).map(|i| format!("v{i}")).collect();
    graph.nodes = parts.iter().map(|p| Node { outputs: vec![p.clone()], ..tile.clone() }).collect();
    graph.nodes.push(Node {
        op: "Sum".into(),
        inputs: parts,
        outputs: vec!["y".into()],
        ..tile.clone()
    });
    let shapes: InputShapes = [("x".to_owned(), vec![1, 2])].into();
    let extent = Skeleton::of(&graph).measure(&shapes);
    assert!(matches!(extent, Err(ExtentError::TooMany { .. })), "{extent:?}");
    // Good twin: each is dropped before the next comes.
    graph.nodes.truncate(17);
    assert_eq!(Skeleton::of(&graph).measure(&shapes), Ok(()));
}

#[test]
fn a_size_that_is_data_stays_on_the_reference() {
    let mut graph = grown("NonZero", &[], &[]);
    graph.inputs[0].shape = Some(vec![Dim::Fixed(2), Dim::Fixed(2)]);
    graph.outputs[0].dtype = Some(DType::I64);
    let error = compile(&graph, EngineKind::Rten, 1).err().unwrap().to_string();
    assert!(error.contains("`grows` (NonZero)"), "{error}");
    assert!(compile(&graph, EngineKind::Reference, 1).is_ok());
}

#[test]
fn models_of_open_shape_run_on_the_engine_that_was_asked_for() {
    let bytes = std::fs::read(zoo().join("encoder_dynamo18.onnx")).unwrap();
    let model = Model::from_onnx(&bytes, &none).unwrap();
    let arrays = std::fs::read(zoo().join("encoder_dynamo18.npz")).unwrap();
    let arrays = Npz::open(&arrays).unwrap();
    let of = |n: &str| Some((n.strip_prefix("in:")?.to_owned(), value(arrays.array(n).unwrap())));
    let inputs: Inputs = arrays.names().filter_map(of).collect();
    let (_, facts) = run_batched(&model, EngineKind::Rten, &inputs, &[], 8).unwrap();
    assert_eq!((facts.name.as_str(), facts.note), ("rten", None));
}
