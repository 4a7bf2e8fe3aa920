//! Models made to do harm, as a user meets them: every verb ends with exit 2, a cause and a next
//! step, within 4 GiB of address space, and never with a panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proofmark_formats::onnx::{
    self, AttributeProto, AttributeValue, Dimension, Elements, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorData, TensorProto, TypeProto, ValueInfoProto,
};
use serde_json::Value;

use crate::support::{Ran, Scratch};

/// Address space of a run, in KiB: an allocation beyond it would end the process by a signal.
const SPACE_KIB: usize = 4 << 20;
/// What a graph is run on; ONNX Runtime where the tests are told of one.
const ENGINES: [&str; 3] = ["rten", "reference", "reference-f64"];

/// The binary within a bound of memory.
fn bounded(args: &[&str], library: &str) -> Ran {
    let script = format!("ulimit -v {SPACE_KIB} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_proofmark")]).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("PROOFMARK_ONNXRUNTIME", library);
    let Output { status, stdout, stderr } = command.output().expect("a shell");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// `--engine onnxruntime` only where a library is named, said aloud otherwise.
#[expect(clippy::print_stderr, reason = "a skipped part is told aloud")]
fn library() -> Option<String> {
    let found = std::env::var("PROOFMARK_ONNXRUNTIME").ok().filter(|p| Path::new(p).is_file());
    if found.is_none() {
        assert!(std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_none(), "no ONNX Runtime");
        eprintln!("SKIPPED on ONNX Runtime: PROOFMARK_ONNXRUNTIME names no library");
    }
    found
}

struct Folder {
    scratch: Scratch,
    model: PathBuf,
}

impl Folder {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let scratch = Scratch::copy_of("credit");
        fs::create_dir(scratch.path("inner")).expect("folder");
        let model = scratch.path("inner").join(name);
        fs::write(&model, bytes).expect("model");
        fs::write(scratch.path("rows.csv"), "a,b,c\n0.5,2,0\n1,3,1\n2,5,0\n").expect("rows");
        Self { scratch, model }
    }

    fn run(&self, verb: &str, engine: Option<&str>, library: &str) -> Ran {
        let model = self.model.display().to_string();
        let rows = self.scratch.path("rows.csv").display().to_string();
        let out = self.scratch.path("out.npy").display().to_string();
        let mut args: Vec<&str> = match verb {
            "inspect" => vec!["model", "inspect", &model],
            "run" => {
                vec!["model", "run", &model, "--input", &rows, "--output", &out, "--columns", "a,b"]
            }
            _ => vec![
                "attack", "--model", &model, "--data", &rows, "--label", "c", "--norm", "linf",
                "--eps", "0.1", "--scale", "raw",
            ],
        };
        args.extend(engine.iter().flat_map(|e| ["--engine", *e]));
        bounded(&args, library)
    }
}

/// What is wrong with a refusal.
fn refused(name: &str, ran: &Ran, words: &str) -> Option<String> {
    let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let good = ran.code == 2
        && told.contains("error[")
        && told.contains("help: ")
        && told.contains(words)
        && !told.contains("panicked");
    (!good).then(|| format!("{name}: exit {}, `{words}` is wanted: {told}", ran.code))
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto<'static> {
    NodeProto {
        op_type: op.into(),
        name: format!("n_{output}"),
        inputs: inputs.iter().map(|i| (*i).to_owned()).collect(),
        outputs: vec![output.into()],
        ..NodeProto::default()
    }
}

fn ints(name: &str, v: &[i64]) -> TensorProto<'static> {
    TensorProto::from_elements(name, &[v.len() as i64], &Elements::I64(v.to_vec()))
}

/// `y = relu(x) + w` over rows of two.
fn plain() -> ModelProto<'static> {
    let info = |name: &str| ValueInfoProto {
        name: name.into(),
        value_type: TypeProto::Tensor {
            elem_type: 1,
            shape: Some(vec![Dimension::Param("n".into()), Dimension::Value(2)]),
        },
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetId { domain: String::new(), version: 17 }],
        graph: GraphProto {
            name: "g".into(),
            nodes: vec![node("Relu", &["x"], "r"), node("Add", &["r", "w"], "y")],
            initializers: vec![TensorProto::from_elements("w", &[2], &Elements::F32(vec![0.; 2]))],
            inputs: vec![info("x")],
            outputs: vec![info("y")],
            ..GraphProto::default()
        },
        ..ModelProto::default()
    }
}

fn external(location: &str, more: &[(&str, &str)]) -> ModelProto<'static> {
    let mut model = plain();
    let w = &mut model.graph.initializers[0];
    w.data = TensorData::Absent;
    w.data_location = 1;
    w.external_data = vec![("location".into(), location.into())];
    w.external_data.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    model
}

fn with_weights(dims: &[i64], count: usize) -> ModelProto<'static> {
    let mut model = external("w.bin", &[]);
    let w = TensorProto { dims: dims.to_vec(), ..model.graph.initializers[0].clone() };
    let named = |i: usize| TensorProto { name: format!("w{i}"), ..w.clone() };
    model.graph.initializers = std::iter::once(w.clone()).chain((1..count).map(named)).collect();
    model
}

/// Graphs in graphs, as deep as asked, written by hand: no writer makes such a file.
fn nested(depth: usize) -> Vec<u8> {
    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = body.len();
        while length >= 0x80 {
            out.push((length as u8 & 0x7f) | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(body);
        out
    }
    let mut graph = Vec::new();
    for _ in 0..depth {
        let attribute = [field(1, b"then_branch"), field(6, &graph), vec![0xa0, 1, 5]].concat();
        graph = field(1, &[field(4, b"If"), field(5, &attribute)].concat());
    }
    [vec![0x08, 8], field(7, &graph), field(8, &[0x10, 17])].concat()
}

#[test]
fn files_that_are_refused_at_the_door() {
    let mut cycle = plain();
    cycle.graph.nodes[0].inputs = vec!["y".into()];
    let mut undefined = plain();
    undefined.graph.nodes[0].inputs = vec!["nowhere".into()];
    let opset = |version: i64| {
        let mut model = plain();
        model.opset_import[0].version = version;
        model
    };
    let mut twice = plain();
    twice.graph.nodes[1].outputs = vec!["r".into()];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("above the folder", onnx::encode(&external("../w.bin", &[])), "../w.bin"),
        ("absolute", onnx::encode(&external("/etc/passwd", &[])), "/etc/passwd"),
        ("a link out of the folder", onnx::encode(&external("link.bin", &[])), "outside"),
        ("missing", onnx::encode(&external("none.bin", &[])), "none.bin"),
        (
            "beyond the end",
            onnx::encode(&external("w.bin", &[("offset", "1099511627776")])),
            "w.bin",
        ),
        ("a length below nought", onnx::encode(&external("w.bin", &[("length", "-8")])), "length"),
        ("a shape that overflows", onnx::encode(&with_weights(&[1 << 32, 1 << 32], 1)), "`w`"),
        ("an empty shape that overflows", onnx::encode(&with_weights(&[0, 1 << 62], 1)), "`w`"),
        ("a size below nought", onnx::encode(&with_weights(&[-2], 1)), "`w`"),
        ("a giant initialiser", onnx::encode(&with_weights(&[1 << 30], 1)), "`w`"),
        ("many in the same bytes", onnx::encode(&with_weights(&[1 << 29], 3)), "together"),
        ("a cycle", onnx::encode(&cycle), "in a circle"),
        ("a value from nowhere", onnx::encode(&undefined), "nowhere"),
        ("a value given twice", onnx::encode(&twice), "`r`"),
        ("opset 0", onnx::encode(&opset(0)), "opset"),
        ("opset 999", onnx::encode(&opset(999)), "999"),
        ("opset below nought", onnx::encode(&opset(-1)), "opset"),
        ("graphs in graphs", nested(60), "deep"),
        ("graphs in graphs without end", nested(2_000), "deep"),
        ("no graph", vec![0x08, 8], "graph"),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, words) in cases {
        let folder = Folder::new("m.onnx", &bytes);
        fs::write(folder.scratch.path("w.bin"), [0; 8]).expect("bytes");
        fs::write(folder.scratch.path("inner/w.bin"), [0; 8]).expect("bytes");
        #[cfg(unix)]
        std::os::unix::fs::symlink("../w.bin", folder.scratch.path("inner/link.bin"))
            .expect("link");
        for verb in ["inspect", "run", "attack"] {
            wrong.extend(refused(
                &format!("{name}, {verb}"),
                &folder.run(verb, None, "off"),
                words,
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Good twins: a file beside the model, and nothing unusual.
    for model in [external("w.bin", &[("length", "8")]), plain()] {
        let folder = Folder::new("m.onnx", &onnx::encode(&model));
        fs::write(folder.scratch.path("inner/w.bin"), [0; 8]).expect("bytes");
        for verb in ["inspect", "run", "attack"] {
            let ran = folder.run(verb, None, "off");
            // An attack on three rows may find its set-up too small for a verdict.
            let good = ran.code == 0 || (verb == "attack" && !ran.stderr.contains("error["));
            assert!(good, "{verb}: {}", ran.stderr);
        }
    }
}

fn attribute(name: &str, value: AttributeValue<'static>) -> AttributeProto<'static> {
    AttributeProto { name: name.into(), value, ..AttributeProto::default() }
}

/// Models whose second node makes 2^40 elements or more; its result is cut back to two columns.
fn growing() -> Vec<(&'static str, ModelProto<'static>)> {
    let scalar =
        |name: &str, v: i64| TensorProto::from_elements(name, &[], &Elements::I64(vec![v]));
    let floats = |name: &str, v: &[f32]| {
        TensorProto::from_elements(name, &[v.len() as i64], &Elements::F32(v.to_vec()))
    };
    let grow = |op: &str, inputs: &[&str], constants: Vec<TensorProto<'static>>| {
        let mut model = plain();
        let ends = vec![ints("from", &[0]), ints("to", &[2]), ints("along", &[-1])];
        model.graph.nodes = vec![
            node("Relu", &["x"], "r"),
            node(op, inputs, "big"),
            node("Slice", &["big", "from", "to", "along"], "cut"),
            node("Add", &["r", "cut"], "y"),
        ];
        model.graph.initializers = constants.into_iter().chain(ends).collect();
        model
    };
    let mut doubled = grow("Relu", &["r"], Vec::new());
    doubled.graph.nodes.splice(
        1..2,
        (0..60).map(|i| {
            let (from, to) = (format!("d{i}"), format!("d{}", i + 1));
            let from = if i == 0 { "r" } else { &from };
            let mut twice = node("Concat", &[from, from], if i == 59 { "big" } else { &to });
            twice.attributes = vec![attribute("axis", AttributeValue::Int(1))];
            twice
        }),
    );
    let mut one_hot =
        grow("OneHot", &["i", "depth", "v"], vec![ints("i", &[1]), floats("v", &[0.0, 1.0])]);
    one_hot.graph.initializers.push(scalar("depth", 1 << 40));
    // How often it repeats is computed from the rows.
    let mut data = grow("Tile", &["r", "times"], vec![floats("huge", &[1e12])]);
    let mut cast = node("Cast", &["sum"], "times");
    cast.attributes = vec![attribute("to", AttributeValue::Int(7))];
    let mut sum = node("ReduceSum", &["scaled", "rows"], "sum");
    sum.attributes = vec![attribute("keepdims", AttributeValue::Int(0))];
    data.graph.nodes.splice(1..1, [node("Mul", &["r", "huge"], "scaled"), sum, cast]);
    data.graph.initializers.push(ints("rows", &[0]));
    vec![
        ("Tile", grow("Tile", &["r", "t"], vec![ints("t", &[1, 1 << 40])])),
        ("Tile beyond 64 bits", grow("Tile", &["r", "t"], vec![ints("t", &[i64::MAX, i64::MAX])])),
        ("Expand", grow("Expand", &["r", "s"], vec![ints("s", &[1 << 20, 1 << 20, 1, 2])])),
        ("ConstantOfShape", grow("ConstantOfShape", &["s"], vec![ints("s", &[1 << 40])])),
        (
            "Range",
            grow(
                "Range",
                &["a", "b", "c"],
                vec![scalar("a", 0), scalar("b", 1 << 40), scalar("c", 1)],
            ),
        ),
        ("Pad", grow("Pad", &["r", "p"], vec![ints("p", &[0, 0, 0, 1 << 40])])),
        ("Resize", grow("Resize", &["r", "", "f"], vec![floats("f", &[1.0, 1e12])])),
        (
            "Resize to no rows of endless length",
            grow("Resize", &["r", "", "", "s"], vec![ints("s", &[0, 1 << 60])]),
        ),
        ("OneHot", one_hot),
        ("Concat of itself, 60 times", doubled),
        ("Tile by the rows", data),
    ]
}

#[test]
fn graphs_that_grow_without_end_are_refused_by_every_engine() {
    let library = library();
    let mut wrong = Vec::new();
    for (name, model) in growing() {
        let folder = Folder::new("m.onnx", &onnx::encode(&model));
        let seen = folder.run("inspect", None, "off");
        assert_eq!(seen.code, 0, "{name}: what is only looked at does no harm: {}", seen.stderr);
        for verb in ["run", "attack"] {
            let others = library.iter().map(|path| ("onnxruntime", path.as_str()));
            for (engine, path) in ENGINES.map(|e| (e, "off")).into_iter().chain(others) {
                let ran = folder.run(verb, Some(engine), path);
                wrong.extend(refused(&format!("{name}, {verb}, {engine}"), &ran, "n_"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn tree_file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name)).expect("model")
}

/// A change of the first tree of XGBoost's JSON.
fn xgboost(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut model: Value = serde_json::from_slice(&tree_file("gbm.json")).expect("json");
    change(&mut model["learner"]["gradient_booster"]["model"]);
    serde_json::to_vec(&model).expect("json")
}

fn dump(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut trees: Value = serde_json::from_slice(&tree_file("dump.json")).expect("json");
    change(&mut trees);
    serde_json::to_vec(&trees).expect("json")
}

/// LightGBM's text with the first line of a key changed.
fn lightgbm(key: &str, value: Option<&str>) -> Vec<u8> {
    let text = String::from_utf8(tree_file("gbm.txt")).expect("text");
    let head = format!("{key}=");
    let mut done = false;
    let lines = text.lines().filter_map(|line| {
        if done || !line.starts_with(&head) {
            return Some(line.to_owned());
        }
        done = true;
        value.map(|value| format!("{head}{value}"))
    });
    let text: String = lines.collect::<Vec<_>>().join("\n");
    assert!(done, "{key}");
    text.into_bytes()
}

fn catboost(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let path = "../engine/tests/boosted/catboost_binary.json";
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("model");
    let mut model: Value = serde_json::from_slice(&bytes).expect("json");
    change(&mut model);
    serde_json::to_vec(&model).expect("json")
}

#[test]
fn tree_files_that_are_refused_at_the_door() {
    let tree = |key: &'static str, value: Value| xgboost(move |m| m["trees"][0][key] = value);
    let at = |key: &'static str, place: usize, value: Value| {
        xgboost(move |m| m["trees"][0][key][place] = value)
    };
    let text = |bytes: Vec<u8>, from: &str, to: &str| {
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let whole = || tree_file("gbm.json");
    let deep = |open: &str| [open.repeat(100_000).as_bytes(), b"1"].concat();
    let splits: Vec<Value> = (0..1000).map(|_| serde_json::json!({
        "border": 0.5, "float_feature_index": 0, "split_index": 0, "split_type": "FloatFeature"
    })).collect();
    let cases: BTreeMap<&str, (&str, Vec<u8>, &str)> = [
        ("xgboost: a cycle", ("m.json", at("left_children", 1, 0.into()), "tree 0")),
        ("xgboost: child out of range", ("m.json", at("right_children", 1, 99.into()), "tree 0")),
        ("xgboost: two parents", ("m.json", at("left_children", 1, 4.into()), "tree 0")),
        (
            "xgboost: feature out of range",
            ("m.json", at("split_indices", 0, 2_000_000_000.into()), "column 2000000000"),
        ),
        ("xgboost: threshold NaN", ("m.json", text(whole(), "1.8E1", "NaN"), "not a number")),
        (
            "xgboost: a key is missing",
            ("m.json", tree("left_children", Value::Null), "left_children"),
        ),
        (
            "xgboost: lists of unlike length",
            ("m.json", tree("right_children", serde_json::json!([2])), "right_children"),
        ),
        (
            "xgboost: 2^31 trees",
            (
                "m.json",
                xgboost(|m| m["gbtree_model_param"]["num_trees"] = "2147483648".into()),
                "2147483648",
            ),
        ),
        ("xgboost: no trees key", ("m.json", xgboost(|m| m["trees"] = Value::Null), "trees")),
        (
            "xgboost: 2^31 columns",
            (
                "m.json",
                text(
                    whole(),
                    "\"num_feature\":\"7\",\"num_target\"",
                    "\"num_feature\":\"2147483648\",\"num_target\"",
                ),
                "num_feature",
            ),
        ),
        ("json without end", ("m.json", deep("["), "m.json")),
        ("objects without end", ("m.json", deep("{\"learner\":"), "m.json")),
        ("dump: a child that is not there", ("m.json", dump(|d| d[0]["yes"] = 77.into()), "77")),
        ("dump: a key is missing", ("m.json", dump(|d| d[0]["split"] = Value::Null), "split")),
        (
            "lightgbm: a cycle",
            ("m.txt", lightgbm("left_child", Some("0 -2 3 4 -1 -4 -3")), "tree 0"),
        ),
        (
            "lightgbm: child out of range",
            ("m.txt", lightgbm("right_child", Some("1 6 5 -5 -6 -7 99")), "tree 0"),
        ),
        (
            "lightgbm: leaf out of range",
            ("m.txt", lightgbm("right_child", Some("1 6 5 -5 -6 -7 -99")), "tree 0"),
        ),
        (
            "lightgbm: threshold NaN",
            ("m.txt", lightgbm("threshold", Some("nan 1 1 1 1 1 1")), "threshold"),
        ),
        (
            "lightgbm: 2^31 leaves",
            ("m.txt", lightgbm("num_leaves", Some("2147483648")), "2147483648"),
        ),
        ("lightgbm: a key is missing", ("m.txt", lightgbm("leaf_value", None), "leaf_value")),
        (
            "lightgbm: feature out of range",
            ("m.txt", lightgbm("split_feature", Some("99 4 1 5 3 1 1")), "99"),
        ),
        (
            "lightgbm: 2^31 columns",
            ("m.txt", lightgbm("max_feature_idx", Some("2147483647")), "max_feature_idx"),
        ),
        (
            "catboost: feature out of range",
            (
                "m.json",
                catboost(|m| {
                    m["oblivious_trees"][0]["splits"][0]["float_feature_index"] = 99.into()
                }),
                "99",
            ),
        ),
        (
            "catboost: leaves are missing",
            (
                "m.json",
                catboost(|m| m["oblivious_trees"][0]["leaf_values"] = serde_json::json!([1.0])),
                "leaf",
            ),
        ),
        (
            "catboost: 2^1000 leaves",
            ("m.json", catboost(|m| m["oblivious_trees"][0]["splits"] = splits.into()), "splits"),
        ),
        (
            "catboost: a key is missing",
            ("m.json", catboost(|m| m["features_info"] = Value::Null), "feature 0"),
        ),
    ]
    .into();
    let mut wrong = Vec::new();
    for (name, (file, bytes, words)) in cases {
        let folder = Folder::new(file, &bytes);
        for verb in ["inspect", "run", "attack"] {
            wrong.extend(refused(
                &format!("{name}, {verb}"),
                &folder.run(verb, None, "off"),
                words,
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
