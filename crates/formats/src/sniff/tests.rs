//! Files are recognised by content: one case per kind, and names that lie.

use super::*;

fn whole(bytes: &[u8]) -> Kind {
    sniff(bytes, bytes.len() as u64)
}

#[test]
fn cases_by_content() {
    let table = |delimiter| Kind::Table { delimiter };
    let joblib = |compression| Kind::PossiblyJoblib { compression };
    let idx = b"\0\0\x08\x01\0\0\0\x02ab";
    let cases: [(&str, &[u8], Kind); 38] = [
        ("nothing", b"", Kind::Empty),
        ("one byte", b"\0", Kind::Unknown),
        ("comma", b"a,b\n1,2\n3,4\n", table(',')),
        ("semicolon with decimal comma", b"a;b\r\n1,5;2\r\n", table(';')),
        ("bom", b"\xef\xbb\xbfa\tb\n1\t2\n", table('\t')),
        ("quoted", b"a,b\n\"x, y\",2\n", table(',')),
        ("blanks", b"A11 6  A34\nA12 48 A32\n", table(' ')),
        ("latin-1", b"name,city\nA,M\xfcnchen\n", table(',')),
        ("one column", b"a\n1\n2\n", Kind::Text),
        ("one line", b"a,b,c", Kind::Text),
        ("json", b" {\"a\": 1}\n", Kind::Json),
        (
            "xgboost",
            b"{\"learner\":{\"attributes\":{},\"gradient_booster\":{}}}",
            Kind::Xgboost { binary: false },
        ),
        ("ubjson", b"{L\0\0\0\0\0\0\0\x07learner{", Kind::Xgboost { binary: true }),
        ("another ubjson", b"{i\x01a{}", Kind::Unknown),
        ("dump", b"[\n  { \"nodeid\": 0, \"leaf\": 1 }\n]", Kind::XgboostDump),
        ("another list", b"[{ \"nodeid\": 0 }]", Kind::Json),
        ("catboost", b"{\n\"features_info\": {}}", Kind::Catboost),
        ("lightgbm", b"tree\nversion=v4\nmax_feature_idx=3\n", Kind::Lightgbm),
        ("a tree in words", b"tree\nleaf\n", Kind::Text),
        ("libsvm", b"-1 1:0.5 7:2\n+1 qid:2 3:nan # x\n", Kind::Libsvm),
        ("libsvm of many labels", b"1,2 0:1\n3 0:1\n", Kind::Libsvm),
        ("times are no pairs", b"1 a:2\n2 b:3\n", table(' ')),
        ("numbers alone", b"1 2\n3 4\n", table(' ')),
        ("one column of numbers", b"1\n2\n", Kind::Text),
        ("property", b"; spec\n(declare-const X_0 Real)\n", Kind::VnnLib),
        ("words", b"cat\ndog\npig\n", Kind::Text),
        ("zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Kind::Zip),
        ("xz", b"\xfd7zXZ\0\0", joblib(Compression::Xz)),
        ("bzip2", b"BZh91AY", joblib(Compression::Bzip2)),
        ("lzma", b"\x5d\0\0\x80", joblib(Compression::Lzma)),
        ("lz4", b"\x04\x22\x4d\x18", joblib(Compression::Lz4)),
        ("old joblib", b"ZF0x1f   x\x9c", joblib(Compression::Zlib)),
        ("idx", idx, Kind::Idx { shape: vec![2] }),
        ("idx of another length", &idx[..9], Kind::Unknown),
        ("pickle 2", b"\x80\x02}q\0.", Kind::Pickle { protocol: Some(2), compression: None }),
        (
            "instance",
            b"(icollections\nDict\np0\n.",
            Kind::Pickle { protocol: None, compression: None },
        ),
        ("not a pickle", b"\x80\x02\xff\xff", Kind::Unknown),
        ("no npy header", b"\x93NUMPY\x01\0\xff\xff", Kind::Unknown),
    ];
    for (name, bytes, kind) in cases {
        assert_eq!(whole(bytes), kind, "{name}");
    }
}

#[test]
fn a_model_is_recognised_by_its_head() {
    let mut model = vec![0x08, 0x09, 0x12, 0x01, b'x', 0x3a, 0xc0, 0x84, 0x3d];
    let graph = model.len() as u64 + 1_000_000;
    model.resize(100, 0);
    assert_eq!(sniff(&model, graph), Kind::Onnx);
    assert_ne!(sniff(&model, graph - 1), Kind::Onnx, "the graph does not fit");
    assert_ne!(whole(b"\x08\x09"), Kind::Onnx, "no graph");
    assert_ne!(whole(b"\x08\x09\x3a\x00\x60\x00"), Kind::Onnx, "a field that no model has");
}

#[test]
fn a_zip_with_a_pickle_is_told_from_arrays() {
    let member = |name: &str| {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend([0; 22]);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(name.as_bytes());
        bytes
    };
    assert_eq!(whole(&member("x.npy")), Kind::Npz);
    assert_eq!(whole(&member("model/data.pkl")), Kind::ZipWithPickle);
    let both = [member("version"), member("model/data.pkl")].concat();
    assert_eq!(whole(&both), Kind::ZipWithPickle);
    assert_eq!(whole(&member("config.json")), Kind::Zip);
}
