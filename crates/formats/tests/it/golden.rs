//! What NumPy and onnx say is in the fixtures is what we read.

use proofmark_formats::gzip::INFLATED_BYTES_MAX;
use proofmark_formats::npy::{self, NpyArray, NpyData, NpyError};
use proofmark_formats::npz::Npz;
use proofmark_formats::onnx::{self, AttributeValue, Dimension, Elements, TypeProto};
use proofmark_formats::sniff::{Compression, Kind, sniff};
use proofmark_formats::{idx, npz};

use crate::fixture;

/// Name, kind, shape, elements.
type Expected = (String, String, Vec<usize>, Vec<String>);

fn expected() -> Vec<Expected> {
    let text = String::from_utf8(fixture("expected.txt")).unwrap();
    let line = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
        let shape = parts.next().unwrap();
        let shape = match shape.as_str() {
            "scalar" => Vec::new(),
            dims => dims.split('x').map(|d| d.parse().unwrap()).collect(),
        };
        let values = parts.next().unwrap().split_whitespace().map(str::to_owned).collect();
        (name, kind, shape, values)
    };
    text.lines().map(line).collect()
}

fn hex(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// Floats compare by bits; the one NaN in the fixtures by NumPy's bits for it.
fn printed(data: &NpyData) -> (&'static str, Vec<String>) {
    match data {
        NpyData::F32(v) => ("f32", v.iter().map(|x| format!("{:08x}", x.to_bits())).collect()),
        NpyData::F64(v) => ("f64", v.iter().map(|x| format!("{:016x}", x.to_bits())).collect()),
        NpyData::Bool(v) => ("bool", v.iter().map(bool::to_string).collect()),
        NpyData::Str(v) => ("str", v.iter().map(|s| hex(s)).collect()),
        other => ("int", other.to_strings()),
    }
}

#[test]
fn arrays_equal_numpys() {
    let mut read = 0;
    for (name, kind, shape, values) in expected() {
        let array = if name.ends_with(".npy") {
            npy::read(&fixture(&name)).unwrap()
        } else if name.contains(".idx") {
            idx::read(&fixture(&name), INFLATED_BYTES_MAX).unwrap()
        } else {
            continue;
        };
        let found = printed(array.data());
        assert_eq!((array.shape(), found.0), (shape.as_slice(), kind.as_str()), "{name}");
        assert_eq!(found.1, values, "{name}");
        read += 1;
    }
    assert_eq!(read, 41);
}

#[test]
fn we_write_numpys_bytes() {
    let same = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "bool", "scalar"];
    for name in same.into_iter().chain(["empty", "text"]) {
        let bytes = fixture(&format!("{name}.npy"));
        assert_eq!(npy::write(&npy::read(&bytes).unwrap()).unwrap(), bytes, "{name}");
    }
}

#[test]
fn refused_element_types_say_why() {
    let objects = npy::read(&fixture("objects.npy")).unwrap_err();
    assert!(matches!(objects, NpyError::Objects { .. }), "{objects}");
    assert!(objects.to_string().contains("pickle"), "{objects}");
    let structured = npy::read(&fixture("structured.npy")).unwrap_err();
    assert!(structured.to_string().contains("structured"), "{structured}");
    let complex = npy::read(&fixture("complex.npy")).unwrap_err();
    assert_eq!(complex, NpyError::ElementType { descr: "<c8".to_owned() });
}

#[test]
fn npz_members_equal_numpys() {
    let plain = fixture("plain.npz");
    let npz = Npz::open(&plain).unwrap();
    assert_eq!(npz.names().collect::<Vec<_>>(), ["x", "y"]);
    let f4 = npy::read(&fixture("f4.npy")).unwrap();
    assert_eq!(printed(npz.array("x").unwrap().data()), printed(f4.data()));
    let y = npz.array("y").unwrap();
    assert_eq!((y.shape(), y.data().to_i64().unwrap()), (&[2, 3][..], vec![-2, -1, 0, 1, 2, 100]));
    let missing = npz.array("z").unwrap_err();
    assert_eq!(missing.to_string(), "no array `z`; the file holds `x`, `y`");

    let deflated = fixture("deflated.npz");
    let npz = Npz::open(&deflated).unwrap();
    let zeros = npz.array("zeros").unwrap();
    assert_eq!(zeros.shape(), [500, 500]);
    assert!(zeros.data().to_f64().unwrap().iter().all(|&x| x == 0.0));
    assert_eq!(printed(npz.array("x").unwrap().data()), printed(f4.data()));

    let streamed = fixture("streamed.npz");
    let x = Npz::open(&streamed).unwrap().array("x").unwrap();
    assert_eq!(x, npy::read(&fixture("i4.npy")).unwrap());
}

#[test]
fn npz_is_written_alike_every_time() {
    let array = npy::read(&fixture("f8.npy")).unwrap();
    let labels = NpyArray::new(vec![3], NpyData::I64(vec![1, 2, 3])).unwrap();
    let bytes = npz::write([("x", &array), ("labels", &labels)]).unwrap();
    assert_eq!(bytes, npz::write([("x", &array), ("labels", &labels)]).unwrap());
    let npz = Npz::open(&bytes).unwrap();
    assert_eq!(npz.array("labels").unwrap(), labels);
    assert_eq!(printed(npz.array("x").unwrap().data()), printed(array.data()));
    assert!(npz::write([("x", &array), ("x", &labels)]).is_err());
}

#[test]
fn model_equals_what_onnx_wrote() {
    let bytes = fixture("golden.onnx");
    let model = onnx::decode(&bytes).unwrap();
    assert_eq!((model.ir_version, model.producer_name.as_str()), (9, "make.py"));
    let opsets: Vec<_> =
        model.opset_import.iter().map(|id| (id.domain.as_str(), id.version)).collect();
    assert_eq!(opsets, [("", 18), ("test.domain", 1)]);
    assert_eq!(model.metadata_props, [("key".to_owned(), "value".to_owned())]);
    let [function] = model.functions.as_slice() else { panic!("{:?}", model.functions) };
    assert_eq!((function.name.as_str(), function.domain.as_str()), ("Custom", "test.domain"));
    assert_eq!((function.inputs.len(), function.nodes.len()), (2, 1));
    assert_eq!(function.attributes, ["f"]);

    let graph = &model.graph;
    let types: Vec<_> = graph.nodes.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!((graph.name.as_str(), types), ("golden", vec!["MatMul", "If", "Custom"]));
    let input = &graph.inputs[0];
    let shape = Some(vec![Dimension::Param("batch".to_owned()), Dimension::Value(4)]);
    assert_eq!(input.name, "x");
    assert_eq!(input.value_type, TypeProto::Tensor { elem_type: 1, shape });
    let float = |shape| TypeProto::Tensor { elem_type: 1, shape };
    assert_eq!(graph.outputs[0].value_type, float(None));
    let map = TypeProto::Map { key_type: 7, value_type: Box::new(float(Some(Vec::new()))) };
    assert_eq!(graph.outputs[1].value_type, TypeProto::Sequence(Box::new(map)));
    let dims = vec![Dimension::Param("n".to_owned()), Dimension::Unknown, Dimension::Value(2)];
    assert_eq!(graph.outputs[2].value_type, TypeProto::Optional(Box::new(float(Some(dims)))));

    let AttributeValue::Graph(then) = graph.nodes[1].attribute("then_branch").unwrap() else {
        panic!("{:?}", graph.nodes[1]);
    };
    assert_eq!(then.nodes[0].op_type, "Relu");
    let custom = &graph.nodes[2];
    assert_eq!(custom.inputs, ["y", ""]);
    let value = |name| custom.attribute(name).unwrap();
    assert_eq!(value("f"), &AttributeValue::Float(0.5));
    assert_eq!(value("i"), &AttributeValue::Int(-3));
    assert_eq!(value("s").as_text(), Some("text"));
    assert_eq!(value("floats"), &AttributeValue::Floats(vec![1.0, 2.0]));
    assert_eq!(value("ints"), &AttributeValue::Ints(vec![1, -1]));
    let strings = vec![b"a"[..].into(), b"b"[..].into()];
    assert_eq!(value("strings"), &AttributeValue::Strings(strings));
    let AttributeValue::Tensor(inner) = value("t") else { panic!("{:?}", value("t")) };
    assert_eq!(inner.elements(), Ok(Elements::I64(vec![7])));
}

#[test]
fn tensors_are_written_in_onnxs_own_bytes() {
    // the schema packs data but not dimensions, and writers go by field number
    let bytes = fixture("golden.onnx");
    let model = onnx::decode(&bytes).unwrap();
    let again = onnx::encode(&model);
    let decoded = onnx::decode(&again).unwrap();
    let pairs = model.graph.initializers.iter().zip(&decoded.graph.initializers);
    for (theirs, ours) in pairs {
        let message = |bytes: &[u8], offset: u64| bytes[offset as usize..].to_vec();
        let (theirs_bytes, ours_bytes) =
            (message(&bytes, theirs.offset), message(&again, ours.offset));
        let len = match &theirs.data {
            onnx::TensorData::Raw(raw) => raw.len() + theirs.name.len() + 4,
            _ => theirs.name.len() + 8,
        };
        assert_eq!(ours_bytes[..len], theirs_bytes[..len], "{}", theirs.name);
    }
    assert_eq!(decoded.graph.initializers.len(), 28);
}

#[test]
fn tensors_equal_what_onnx_reads() {
    let bytes = fixture("golden.onnx");
    let model = onnx::decode(&bytes).unwrap();
    let mut read = 0;
    for (name, kind, shape, values) in expected() {
        let Some(name) = name.strip_prefix("tensor:") else { continue };
        let tensor = model.graph.initializers.iter().find(|t| t.name == name).unwrap();
        let data = match tensor.elements().unwrap() {
            Elements::F32(v) => NpyData::F32(v),
            Elements::F64(v) => NpyData::F64(v),
            Elements::I64(v) => NpyData::I64(v),
            Elements::I32(v) => NpyData::I32(v),
            Elements::I16(v) => NpyData::I16(v),
            Elements::I8(v) => NpyData::I8(v),
            Elements::U64(v) => NpyData::U64(v),
            Elements::U32(v) => NpyData::U32(v),
            Elements::U16(v) => NpyData::U16(v),
            Elements::U8(v) => NpyData::U8(v),
            Elements::Bool(v) => NpyData::Bool(v),
            Elements::Str(v) => NpyData::Str(v),
        };
        let found = printed(&data);
        assert_eq!((tensor.shape().unwrap().0, found.0), (shape, kind.as_str()), "{name}");
        assert_eq!(found.1, values, "{name}");
        read += 1;
    }
    assert_eq!(read, 27);
}

#[test]
fn external_data_is_described_and_cut_out() {
    let bytes = fixture("external.onnx");
    let model = onnx::decode(&bytes).unwrap();
    let tensor = &model.graph.initializers[0];
    assert!(matches!(tensor.elements(), Err(onnx::TensorError::External { .. })));
    let facts = tensor.external().unwrap().unwrap();
    assert_eq!((facts.location.as_str(), facts.offset, facts.length), ("weights.bin", 8, Some(12)));
    assert_eq!(facts.checksum.as_deref(), Some("abc"));
    let mut file = vec![0xff; 8];
    file.extend([0.0f32, 1.0, 2.0].iter().flat_map(|x| x.to_le_bytes()));
    let range = onnx::external_range(&file, facts.offset, facts.length).unwrap();
    assert_eq!(tensor.elements_from(range), Ok(Elements::F32(vec![0.0, 1.0, 2.0])));
    assert!(onnx::external_range(&file, 9, Some(12)).is_err());
    assert!(onnx::external_range(&file, u64::MAX, Some(1)).is_err());
    assert!(onnx::external_range(&file, 1, Some(u64::MAX)).is_err());
    assert_eq!(onnx::external_range(&file, 20, None).unwrap(), b"");
    assert!(onnx::external_range(&file, 21, None).is_err());
}

#[test]
fn every_fixture_is_recognised() {
    let pickle = |protocol, compression| Kind::Pickle { protocol, compression };
    let cases = [
        ("golden.onnx", Kind::Onnx),
        ("external.onnx", Kind::Onnx),
        ("plain.npz", Kind::Npz),
        ("deflated.npz", Kind::Npz),
        ("streamed.npz", Kind::Npz),
        ("i2.idx", Kind::Idx { shape: vec![2, 3, 4] }),
        ("u1.idx.gz", Kind::Gzip { inside: Box::new(Kind::Idx { shape: vec![2, 3, 4] }) }),
        ("protocol0.pkl", pickle(None, None)),
        ("protocol1.pkl", pickle(None, None)),
        ("protocol2.pkl", pickle(Some(2), None)),
        ("protocol3.pkl", pickle(Some(3), None)),
        ("protocol4.pkl", pickle(Some(4), None)),
        ("protocol5.pkl", pickle(Some(5), None)),
        ("global.pkl", pickle(None, None)),
        ("model.pkl.gz", pickle(Some(4), Some(Compression::Gzip))),
        ("model.pkl.z", pickle(Some(4), Some(Compression::Zlib))),
        ("make.py", Kind::Text),
        ("expected.txt", Kind::Table { delimiter: '\t' }),
    ];
    for (name, kind) in cases {
        let bytes = fixture(name);
        assert_eq!(sniff(&bytes, bytes.len() as u64), kind, "{name}");
    }
    let objects = fixture("objects.npy");
    assert!(matches!(sniff(&objects, 0), Kind::Npy { objects: true, .. }));
    let floats = fixture("f4.npy");
    assert!(matches!(sniff(&floats, 0), Kind::Npy { objects: false, .. }));
}
