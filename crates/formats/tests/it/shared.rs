//! Real files, where the folder that holds them is present.

use std::path::{Path, PathBuf};

use proofmark_formats::gzip::{self, INFLATED_BYTES_MAX};
use proofmark_formats::sniff::{HEAD_BYTES, Kind, sniff};
use proofmark_formats::{idx, onnx, vnnlib};

use crate::fixture;

/// All files below `folder` whose name ends so; empty, and said aloud, when it is absent.
#[allow(clippy::print_stderr)]
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let folder = Path::new("/work/shared/data").join(folder);
    if !folder.is_dir() {
        eprintln!("skipped: {} is absent", folder.display());
        return Vec::new();
    }
    let mut found = Vec::new();
    walk(&folder, &mut found);
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    assert!(!found.is_empty(), "{} holds no {ending}", folder.display());
    found
}

fn kind(bytes: &[u8]) -> Kind {
    sniff(&bytes[..bytes.len().min(HEAD_BYTES)], bytes.len() as u64)
}

fn gzip_of(inside: Kind) -> Kind {
    Kind::Gzip { inside: Box::new(inside) }
}

#[test]
fn benchmark_networks_decode_and_encode() {
    for path in files("vnn", ".onnx.gz") {
        let shown = path.display();
        let packed = std::fs::read(&path).unwrap();
        assert_eq!(kind(&packed), gzip_of(Kind::Onnx), "{shown}");
        let bytes = gzip::inflate(&packed, INFLATED_BYTES_MAX).unwrap();
        assert_eq!(kind(&bytes), Kind::Onnx, "{shown}");
        let model = onnx::decode(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert!(!model.graph.nodes.is_empty() && !model.opset_import.is_empty(), "{shown}");
        assert!(!model.graph.inputs.is_empty() && !model.graph.outputs.is_empty(), "{shown}");
        for tensor in &model.graph.initializers {
            tensor.elements().unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        let again = onnx::encode(&model);
        let decoded = onnx::decode(&again).unwrap();
        assert_eq!(onnx::encode(&decoded), again, "{shown}");
        assert_eq!(decoded.graph.nodes.len(), model.graph.nodes.len(), "{shown}");
    }
}

#[test]
fn benchmark_properties_are_recognised() {
    for path in files("vnn", ".vnnlib.gz") {
        let packed = std::fs::read(&path).unwrap();
        assert_eq!(kind(&packed), gzip_of(Kind::VnnLib), "{}", path.display());
        let text = gzip::inflate(&packed, INFLATED_BYTES_MAX).unwrap();
        assert!(std::str::from_utf8(&text).is_ok(), "{}", path.display());
    }
}

#[test]
fn image_sets_read() {
    for folder in ["mnist", "fashion-mnist"] {
        for path in files(folder, ".gz") {
            let packed = std::fs::read(&path).unwrap();
            let array = idx::read(&packed, INFLATED_BYTES_MAX).unwrap();
            let rows = if path.to_string_lossy().contains("train") { 60_000 } else { 10_000 };
            let images = path.to_string_lossy().contains("images");
            let shape = if images { vec![rows, 28, 28] } else { vec![rows] };
            assert_eq!(array.shape(), shape, "{}", path.display());
            assert_eq!(kind(&packed), gzip_of(Kind::Idx { shape }), "{}", path.display());
        }
    }
}

#[test]
fn tables_are_recognised() {
    let cases = [
        ("german.data", Kind::Table { delimiter: ' ' }),
        ("adult.data", Kind::Table { delimiter: ',' }),
        ("compas-scores-two-years.csv", Kind::Table { delimiter: ',' }),
        ("values_maps.json", Kind::Json),
    ];
    for (name, expected) in cases {
        for path in files("tabular", name) {
            assert_eq!(kind(&std::fs::read(&path).unwrap()), expected, "{name}");
        }
    }
}

/// Properties as an independent reader in exact fractions has them (`fixtures/vnnlib.py`).
#[test]
fn benchmark_properties_read_as_an_independent_reader_does() {
    let golden = String::from_utf8(fixture("vnnlib.txt")).unwrap();
    let mut read = std::collections::BTreeMap::new();
    for path in files("vnn", ".vnnlib.gz") {
        let property = vnnlib::read(&std::fs::read(&path).unwrap()).unwrap();
        read.insert(path.file_name().unwrap().to_string_lossy().into_owned(), property);
    }
    if read.is_empty() {
        return;
    }
    let mut lines = golden.lines();
    let mut compared = 0;
    while let Some(head) = lines.next() {
        let words: Vec<&str> = head.split(' ').collect();
        let property = &read[words[0].split('/').nth(1).unwrap()];
        let sizes = [property.inputs, property.outputs, property.cases.len()];
        assert_eq!(sizes.map(|n| n.to_string()), words[1..], "{head}");
        for case in &property.cases {
            let (ends, constraints) = lines.next().unwrap().split_once(" | ").unwrap();
            let ends: Vec<f64> = ends.trim().split(' ').map(|v| v.parse().unwrap()).collect();
            for (side, golden) in [(&case.lower, ends[0]), (&case.upper, ends[1])] {
                let weighed = |end: fn(&vnnlib::Number) -> f64| -> f64 {
                    side.iter().enumerate().map(|(i, n)| (i % 7 + 1) as f64 * end(n)).sum()
                };
                let room = 1e-10;
                let (low, high) = (weighed(|n| n.below), weighed(|n| n.above));
                assert!(low <= golden + room && golden <= high + room, "{head}: {low} {high}");
                assert!(high - low < 1e-9, "{head}");
            }
            let own = case.constraints.iter().map(|c| {
                let terms = c.terms.iter().map(|(v, f)| format!("{:?}*{v}", f.below));
                let mut terms: Vec<String> = terms.collect();
                terms.sort();
                format!("{} + {:?}", terms.join(" "), c.constant.below.abs())
            });
            assert_eq!(own.collect::<Vec<_>>().join(" ; "), constraints, "{head}");
        }
        compared += 1;
    }
    assert_eq!(compared, read.len());
}
