//! ONNX files made to mislead or exhaust a reader.

use proofmark_formats::onnx::{
    self, Elements, GRAPH_DEPTH_MAX, NODES_MAX, STRINGS_MAX, TYPE_DEPTH_MAX, TensorData,
    TensorError, TensorProto, location_is_confined,
};
use proofmark_formats::protobuf::{Problem, WireError, Writer};

fn model(graph: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    w.int64(1, 8);
    w.message(7, graph);
    w.into_bytes()
}

fn refused(bytes: &[u8]) -> WireError {
    onnx::decode(bytes).expect_err("the file must be refused")
}

#[test]
fn wire_errors_name_offset_and_path() {
    let node = |w: &mut Writer, attribute: &[u8]| w.message(1, |w| w.bytes(5, attribute));
    let graph = |attribute: &'static [u8]| {
        model(move |w| {
            w.message(1, |w| w.text(4, "Relu"));
            node(w, attribute);
        })
    };
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("no graph", vec![0x08, 0x08], "at byte 2: `graph` is missing"),
        (
            "length past the end",
            vec![0x3a, 0x05, 0x0a],
            "at byte 1: a value needs 5 more bytes but 1 remain; the file is cut short or a \
             length in it is wrong",
        ),
        (
            "negative length",
            [&[0x3a][..], &[0xff; 9], &[0x01]].concat(),
            "at byte 1: a value needs 18446744073709551615 more bytes but 0 remain; the file is \
             cut short or a length in it is wrong",
        ),
        (
            "varint of eleven bytes",
            [&[0x08][..], &[0x80; 10], &[0x00]].concat(),
            "at byte 1: a varint does not end within ten bytes and 64 bits",
        ),
        (
            "varint of 65 bits",
            [&[0x08][..], &[0xff; 9], &[0x02]].concat(),
            "at byte 1: a varint does not end within ten bytes and 64 bits",
        ),
        (
            "field number 0",
            vec![0x00, 0x00],
            "at byte 0: `0` is no field tag; this is not a protobuf message",
        ),
        (
            "group",
            vec![0x3b],
            "at byte 0: field 7 has wire type 3, which is not used here; this is not the expected \
             protobuf message",
        ),
        (
            "graph as a number",
            vec![0x38, 0x01],
            "at byte 0, in `graph`: field 7: expected length-delimited bytes, found a varint",
        ),
        (
            "two graphs",
            vec![0x3a, 0x00, 0x3a, 0x00],
            "at byte 2: `graph` is written twice, and readers disagree on which one counts",
        ),
        (
            "name that is no text",
            graph(b"\x0a\x01\xff"),
            "at byte 16, in `graph.node[1].attribute[0]`: text that is not UTF-8",
        ),
        (
            "float and integer at once",
            graph(b"\x15\x00\x00\x00\x00\x18\x01"),
            "at byte 21, in `graph.node[1].attribute[0]`: `a float` and `an integer` are both \
             given where one is allowed",
        ),
        (
            "value of another type than declared",
            graph(b"\x18\x01\xa0\x01\x01"),
            "at byte 16, in `graph.node[1].attribute[0]`: `an integer` and `a float` are both \
             given where one is allowed",
        ),
    ];
    for (name, bytes, message) in cases {
        assert_eq!(refused(&bytes).to_string(), message, "{name}");
    }
}

#[test]
fn truncation_anywhere_is_an_error_or_a_shorter_model() {
    let bytes = crate::fixture("golden.onnx");
    let whole = onnx::decode(&bytes).unwrap();
    for len in 0..bytes.len() {
        if let Ok(part) = onnx::decode(&bytes[..len]) {
            assert_ne!(part, whole, "cut at {len}");
        }
    }
}

#[test]
fn padded_varints_and_unknown_fields_are_legal() {
    let mut bytes = vec![0x08, 0x88, 0x80, 0x00]; // ir_version 8 in three bytes
    bytes.extend([0xaa, 0x06, 0x02, 0xff, 0xff]); // field 101, unknown
    bytes.extend([0x3a, 0x82, 0x00, 0x12, 0x00]); // graph of two bytes: an empty name
    let model = onnx::decode(&bytes).unwrap();
    assert_eq!((model.ir_version, model.graph.name.as_str()), (8, ""));
}

fn nested_graphs(depth: u32) -> Vec<u8> {
    fn graph(w: &mut Writer, depth: u32) {
        if depth > 0 {
            w.message(1, |w| w.message(5, |w| w.message(6, |w| graph(w, depth - 1))));
        }
    }
    model(|w| graph(w, depth))
}

#[test]
fn depth_bombs_are_refused() {
    assert!(onnx::decode(&nested_graphs(GRAPH_DEPTH_MAX - 1)).is_ok());
    let error = refused(&nested_graphs(GRAPH_DEPTH_MAX));
    assert_eq!(error.problem(), &Problem::TooDeep { limit: GRAPH_DEPTH_MAX });
    assert!(error.path().starts_with("graph.node[0].attribute[0].g.node[0]"), "{error}");

    fn value_type(w: &mut Writer, depth: u32) {
        if depth > 0 {
            w.message(4, |w| w.message(1, |w| value_type(w, depth - 1)));
        }
    }
    let types = |depth| model(|w| w.message(11, |w| w.message(2, |w| value_type(w, depth))));
    assert!(onnx::decode(&types(TYPE_DEPTH_MAX - 1)).is_ok());
    let error = refused(&types(TYPE_DEPTH_MAX));
    assert_eq!(error.problem(), &Problem::TooDeep { limit: TYPE_DEPTH_MAX });
    // bytes deeper than any limit, at one byte of cost a level, must not use the stack
    let mut bytes = Vec::new();
    for _ in 0..5_000 {
        let mut w = Writer::new();
        w.bytes(6, &bytes);
        let attribute = w.into_bytes();
        let mut w = Writer::new();
        w.bytes(5, &attribute);
        let node = w.into_bytes();
        let mut w = Writer::new();
        w.bytes(1, &node);
        bytes = w.into_bytes();
    }
    let mut w = Writer::new();
    w.bytes(7, &bytes);
    assert_eq!(refused(&w.into_bytes()).problem(), &Problem::TooDeep { limit: GRAPH_DEPTH_MAX });
}

#[test]
fn count_bombs_are_refused() {
    let graph = |field: u8, count: u64| {
        let body: Vec<u8> = (0..count).flat_map(|_| [field << 3 | 2, 0]).collect();
        let mut w = Writer::new();
        w.bytes(7, &body);
        w.into_bytes()
    };
    assert_eq!(onnx::decode(&graph(1, NODES_MAX)).unwrap().graph.nodes.len() as u64, NODES_MAX);
    let cases: [(&str, u8, u64); 3] = [
        ("nodes", 1, NODES_MAX),
        ("tensors", 5, onnx::TENSORS_MAX),
        ("values and pairs", 13, onnx::VALUES_MAX),
    ];
    for (what, field, limit) in cases {
        let error = refused(&graph(field, limit + 1));
        assert_eq!(error.problem(), &Problem::TooMany { what, limit }, "{what}");
    }
    let names: Vec<u8> = (0..=STRINGS_MAX).flat_map(|_| [0x0a, 0x00]).collect();
    let error = refused(&model(|w| w.bytes(1, &names)));
    let what = "names, strings and dimensions";
    assert_eq!(error.problem(), &Problem::TooMany { what, limit: STRINGS_MAX });
    let dims = vec![1u8; 65];
    let error = refused(&model(|w| w.message(5, |w| w.bytes(1, &dims))));
    assert_eq!(error.path(), "graph.initializer[0]");
    assert!(matches!(error.problem(), Problem::TooMany { limit: onnx::RANK_MAX, .. }), "{error}");
}

#[test]
fn tensor_data_is_one_field_of_the_right_size() {
    let ragged = model(|w| w.message(5, |w| w.bytes(4, &[0; 5])));
    assert_eq!(
        refused(&ragged).to_string(),
        "at byte 6, in `graph.initializer[0]`: 5 packed bytes are no whole number of 4-byte \
         elements"
    );
    let both = model(|w| {
        w.message(5, |w| {
            w.bytes(9, &[0; 4]);
            w.bytes(4, &[0; 4]);
        });
    });
    let (first, second) = ("raw_data", "float_data");
    assert_eq!(refused(&both).problem(), &Problem::Both { first, second });
    let wide = model(|w| w.message(5, |w| w.int64(5, 1 << 40)));
    let problem = Problem::OutOfRange { value: 1 << 40, kind: "int32" };
    assert_eq!(refused(&wide).problem(), &problem);
}

#[test]
fn unpacked_and_split_lists_are_joined() {
    let bytes = model(|w| {
        w.message(5, |w| {
            w.int64(1, 2);
            w.bytes(1, &[2]);
            w.int32(2, 1);
            w.float(4, 1.0);
            w.bytes(4, &2f32.to_le_bytes());
            w.float(4, 3.0);
            w.float(4, 4.0);
        });
    });
    let model = onnx::decode(&bytes).unwrap();
    let tensor = &model.graph.initializers[0];
    assert_eq!(tensor.dims, [2, 2]);
    assert_eq!(tensor.elements(), Ok(Elements::F32(vec![1.0, 2.0, 3.0, 4.0])));
}

#[test]
fn shapes_that_lie_are_refused() {
    let raw = |dims: &[i64], data_type, bytes: &[u8]| {
        let data = TensorData::Raw(bytes.to_vec().into());
        let (name, dims) = ("w".to_owned(), dims.to_vec());
        TensorProto { name, dims, data_type, data, ..TensorProto::default() }
    };
    let cases: [(&str, TensorProto<'_>, &str); 9] = [
        ("negative", raw(&[-1], 1, &[0; 4]), "no dimension may be negative"),
        ("overflow", raw(&[1 << 62, 1 << 62], 1, &[]), "at most 2147483648 elements"),
        ("too many", raw(&[1 << 40], 2, &[]), "at most 2147483648 elements"),
        ("zero times overflow", raw(&[0, 1 << 62, 4], 1, &[]), "no dimension may be negative"),
        ("too few bytes", raw(&[2], 1, &[0; 7]), "needs 2 elements but `raw_data` holds 7 bytes"),
        ("too many bytes", raw(&[2], 1, &[0; 9]), "needs 2 elements but `raw_data` holds 9 bytes"),
        ("boolean 2", raw(&[1], 9, &[2]), "element 0 of tensor `w` does not fit bool"),
        ("packed integers", raw(&[2], 22, &[0]), "element type int4 (22)"),
        ("raw text", raw(&[1], 8, b"a"), "carries `raw_data`"),
    ];
    for (name, tensor, part) in cases {
        let message = tensor.elements().unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    // A size of nought hides no other that overflows.
    let hidden = raw(&[0, 7, 1 << 40], 1, &[]);
    assert!(matches!(hidden.elements(), Err(TensorError::Shape { .. })));
    let empty = raw(&[0, 7, 1 << 10], 1, &[]);
    assert_eq!(empty.elements(), Ok(Elements::F32(Vec::new())));
    let absent = TensorProto { dims: vec![0], data_type: 8, ..TensorProto::default() };
    assert_eq!(absent.elements(), Ok(Elements::Str(Vec::new())));
    let segment = TensorProto { segmented: true, data_type: 1, ..TensorProto::default() };
    assert!(matches!(segment.elements(), Err(TensorError::Segment { .. })));
}

#[test]
fn external_facts_must_be_unambiguous() {
    let tensor = |pairs: &[(&str, &str)]| TensorProto {
        data_location: 1,
        external_data: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..TensorProto::default()
    };
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(&str, Pairs, &str); 4] = [
        ("no location", &[("offset", "0")], "`location` is missing"),
        ("two locations", &[("location", "a"), ("location", "b")], "`location` is given twice"),
        ("negative offset", &[("location", "a"), ("offset", "-1")], "`offset` is `-1`, no size"),
        ("hexadecimal", &[("location", "a"), ("length", "0x10")], "`length` is `0x10`, no size"),
    ];
    for (name, pairs, part) in cases {
        let message = tensor(pairs).external().unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    assert_eq!(TensorProto::default().external(), Ok(None));
}

#[test]
fn locations_stay_below_the_model() {
    for good in ["weights.bin", "a/b/c.data", ".hidden", "a..b/..c", "größe.bin"] {
        assert!(location_is_confined(good), "{good}");
    }
    let long = "a/".repeat(3000) + "b";
    let bad = [
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/..",
        "..",
        ".",
        "./x",
        "a//b",
        "a/",
        "C:/x",
        "C:x",
        "\\\\host\\share",
        "a\\..\\x",
        "..\\x",
        "a\0b",
        "a\nb",
        "x. ",
        "a./b",
        "con:",
        &long,
    ];
    for bad in bad {
        assert!(!location_is_confined(bad), "{bad:?}");
    }
}
