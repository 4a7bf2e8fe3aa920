//! The same rows in every container are the same table, with the same digests; what is damaged,
//! nested or packed too well is refused by name (`golden/containers/make.py`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use proofmark_dataset::csv::{self, Hints};
use proofmark_dataset::digest::row_bytes;
use proofmark_dataset::rows::{RowStream, StreamOptions};
use proofmark_dataset::table::{Cells, Table, TableError};
use proofmark_schema::system::{self, DataAsset, DataFormat, DialectPins, FeatureKind as Kind};
use serde_json::Value;

use crate::figures::german;
use crate::make::{asset, feature, features};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/containers").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn german_asset() -> DataAsset {
    DataAsset { missing: vec![String::new()], ..asset("class", &["1", "2"]) }
}

const TWINS: [(&str, &str); 9] = [
    ("german.parquet", "21 columns of Parquet"),
    ("german_gzip.parquet", "21 columns of Parquet"),
    ("german_zstd.parquet", "21 columns of Parquet"),
    ("german_lz4.parquet", "21 columns of Parquet"),
    ("german_none.parquet", "21 columns of Parquet"),
    ("german.arrow", "21 columns of Arrow IPC"),
    ("german_zstd.arrow", "21 columns of Arrow IPC"),
    ("german.arrows", "21 columns of Arrow IPC"),
    ("german.jsonl", "21 columns of JSON lines"),
];

#[test]
fn the_same_rows_are_the_same_table_in_every_container() {
    let want = Table::read(&bytes("german.csv"), &german_asset(), &german()).unwrap();
    assert_eq!(want.n, 40);
    let age = want.column("age").unwrap().numbers().unwrap();
    assert!(age[7].is_nan() && age.iter().filter(|v| v.is_nan()).count() == 1);
    for (name, told) in TWINS {
        let got = Table::read(&bytes(name), &german_asset(), &german())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got.dialect.to_string(), told, "{name}");
        assert_eq!((got.n, &got.labels, &got.classes), (want.n, &want.labels, &want.classes));
        for row in 0..want.n {
            assert_eq!(row_bytes(&got, row), row_bytes(&want, row), "{name}, row {row}");
        }
        // A null needs no word in `missing`.
        let strict = DataAsset { missing: Vec::new(), ..german_asset() };
        assert!(Table::read(&bytes(name), &strict, &german()).is_ok(), "{name}");
        let few = DataAsset { limit: Some(3), ..german_asset() };
        assert_eq!(Table::read(&bytes(name), &few, &german()).unwrap().n, 3, "{name}");
    }
}

#[test]
fn streams_give_the_rows_of_the_whole_file() {
    let want = Table::read(&bytes("german.csv"), &german_asset(), &german()).unwrap();
    let names = TWINS.iter().map(|(name, _)| *name).chain(["german.csv"]);
    for name in names {
        // JSON lines name their columns in the first line only if no cell of it is missing.
        let columns: Vec<String> = german().iter().map(|f| f.name.clone()).collect();
        let options =
            StreamOptions { columns, missing: vec![String::new()], ..StreamOptions::default() };
        let mut stream = RowStream::open(File::open(path(name)).unwrap(), &options)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let typing = stream.typing(&german(), &options.missing).unwrap();
        let mut n = 0;
        while let Some(rows) = stream.advance().unwrap() {
            for (got, want) in typing.columns(&rows).unwrap().iter().zip(&want.columns) {
                assert_eq!(got.name, want.name, "{name}");
                match (&got.cells, &want.cells) {
                    (Cells::Numbers(a), Cells::Numbers(b)) => {
                        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
                        assert!(a.iter().zip(&b[n..]).all(same), "{name} {}", got.name);
                    }
                    (Cells::Texts(a), Cells::Texts(b)) => {
                        assert_eq!(a[..], b[n..n + a.len()], "{name} {}", got.name);
                    }
                    _ => panic!("{name}: {} is of another kind", got.name),
                }
            }
            n += rows.len();
        }
        assert_eq!(n, want.n, "{name}");
    }
}

#[test]
fn every_type_becomes_the_text_that_it_stands_for() {
    let want: Value = serde_json::from_slice(&bytes("types.json")).unwrap();
    let names: Vec<&str> =
        want["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    for name in ["types.parquet", "types.arrow"] {
        let records = csv::read(&bytes(name), &DialectPins::default(), &Hints::default()).unwrap();
        assert_eq!(records.columns, names, "{name}");
        for (row, cells) in want["rows"].as_array().unwrap().iter().enumerate() {
            for (at, column) in names.iter().enumerate() {
                let (cell, got) = (&cells[at], records.field(row, at).unwrap());
                assert_eq!(records.is_absent(row, at), cell.is_null(), "{name} {column} {row}");
                // 32-bit floats are widened exactly.
                assert_eq!(cell.as_str().unwrap_or_default(), got, "{name} {column} {row}");
            }
        }
    }
}

#[test]
fn truth_values_are_spelled_as_declared() {
    let ignore = |kept: &[&str]| {
        let want: Value = serde_json::from_slice(&bytes("types.json")).unwrap();
        let names = want["columns"].as_array().unwrap().clone();
        let names = names.iter().map(|c| c.as_str().unwrap().to_owned());
        names.filter(|c| !kept.contains(&c.as_str())).collect::<Vec<_>>()
    };
    let read = |values: &[&str]| {
        let mut truth = feature("truth", Kind::Boolean);
        truth.values = values.iter().map(|v| (*v).to_owned()).collect();
        let asset =
            DataAsset { ignore: ignore(&["truth", "label"]), ..asset("label", &["p", "q"]) };
        let table = Table::read(&bytes("types.parquet"), &asset, &[truth]).unwrap();
        let violations = table.violations.len();
        (table.column("truth").unwrap().texts().unwrap()[0].clone().unwrap(), violations)
    };
    for (values, first) in
        [(["false", "true"], "true"), (["False", "True"], "True"), (["0", "1"], "1")]
    {
        assert_eq!(read(&values), (first.to_owned(), 0));
    }
    assert_eq!(read(&["no", "yes"]), ("true".to_owned(), 1), "other words are a guess");
    let asset = DataAsset { ignore: ignore(&["truth", "label"]), ..asset("label", &["p", "q"]) };
    let table = Table::read(&bytes("types.parquet"), &asset, &features(Kind::Integer, "truth"));
    let table = table.unwrap();
    assert_eq!(table.column("truth").unwrap().numbers().unwrap()[..2], [1.0, 0.0]);
}

#[test]
fn nested_columns_are_named_unless_ignored() {
    for name in ["nested.parquet", "nested.arrow"] {
        for (nested, what) in [("list", "lists"), ("record", "records"), ("raw", "bytes")] {
            let ignore = ["list", "record", "raw"].iter().filter(|n| **n != nested);
            let mut asset = asset("label", &["p", "q"]);
            asset.ignore = ignore.map(|n| (*n).to_owned()).collect();
            let wanted = [feature("i8", Kind::Integer), feature(nested, Kind::Text)];
            let refused = Table::read(&bytes(name), &asset, &wanted).unwrap_err();
            let told = TableError::Nested { name: nested.into(), what: what.into() };
            assert_eq!(refused, told, "{name}");
            asset.ignore.push(nested.into());
            assert!(Table::read(&bytes(name), &asset, &wanted[..1]).is_ok(), "{name}");
        }
    }
    let text = "{\"a\": 1, \"b\": [1, 2], \"class\": \"x\"}\n{\"a\": 2, \"class\": \"y\"}\n";
    let mut asset = asset("class", &["x", "y"]);
    let told = Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a b")).unwrap_err();
    assert_eq!(
        told.to_string(),
        "column `b` holds lists (first on line 1), of which a table has no cells; flatten it \
         where the file is written, or add it to `ignore`"
    );
    asset.ignore = vec!["b".into()];
    assert_eq!(Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a")).unwrap().n, 2);
}

#[test]
fn bad_lines_and_relatives_are_refused_with_the_place() {
    let pins = |format| DialectPins { format, ..DialectPins::default() };
    for (name, text, told) in [
        (
            "a list of objects",
            "[{\"a\": 1}]",
            "a JSON list is not read; write one object per line (pandas: `to_json(path, \
             orient=\"records\", lines=True)`)",
        ),
        (
            "a key twice",
            "{\"a\": 1, \"a\": 2}\n",
            "line 1: the key `a` stands twice in this object",
        ),
        (
            "a broken line",
            "{\"a\": 1}\n\n{\"a\": 2\n",
            "line 3: no flat JSON object: EOF while parsing an object (column 7)",
        ),
        (
            "two objects in a line",
            "{\"a\": 1} {\"a\": 2}\n",
            "line 1: no flat JSON object: trailing characters (column 10)",
        ),
        ("no rows", "{}", "the file has no data row; export it again"),
    ] {
        let read = csv::read(text.as_bytes(), &pins(None), &Hints::default());
        if name == "no rows" {
            assert_eq!(read.unwrap().columns.len(), 0, "an object without keys is a row");
            continue;
        }
        assert_eq!(read.unwrap_err().to_string(), told, "{name}");
    }
    for (name, head, told) in [
        ("feather 1", &b"FEA1\0\0"[..], "Feather of version 1 is not read"),
        ("encrypted", b"PARE\0\0", "an encrypted Parquet file is not read"),
        ("spreadsheet", b"PK\x03\x04\0\0", "a zip archive (a spreadsheet?) is not read"),
    ] {
        let refused = csv::read(head, &pins(None), &Hints::default()).unwrap_err().to_string();
        assert!(refused.starts_with(told), "{name}: {refused}");
    }
    let refused = csv::read(&bytes("german_brotli.parquet"), &pins(None), &Hints::default());
    let told = "this Parquet file cannot be read: its pages are packed with brotli; write it with \
                zstd";
    assert_eq!(refused.unwrap_err().to_string(), told);
    let wrong = csv::read(b"a,b\n1,2\n", &pins(Some(DataFormat::Parquet)), &Hints::default());
    let told = "`format = \"parquet\"` is declared, but the bytes are those of delimited text";
    assert_eq!(wrong.unwrap_err().to_string(), told);
    // A text that begins like JSON is a text where that is declared.
    let csv = csv::read(b"{\"a\",b\n1,2\n", &pins(Some(DataFormat::Csv)), &Hints::default());
    assert_eq!(csv.unwrap().len(), 1);
}

#[test]
fn damaged_containers_end_in_rows_or_an_error() {
    for (name, _) in TWINS {
        let whole = bytes(name);
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            let read = |bytes: &[u8]| {
                csv::read(bytes, &DialectPins::default(), &Hints::default()).map(|r| r.len())
            };
            let _ = read(&whole[..at]);
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            let _ = read(&flipped);
        }
    }
}

/// 300 rows in types as pandas and databases choose them (8-bit and unsigned integers, floats for
/// whole numbers, decimals, dictionaries), in several row groups, pages and batches.
#[test]
fn the_credit_rows_are_the_same_in_every_container() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/credit");
    let text = fs::read_to_string(example.join("proofmark.toml")).unwrap();
    let system = system::parse(&text).unwrap();
    let asset = system.data.iter().find(|d| d.name == "test").unwrap();
    let read = |bytes: &[u8], name: &str| {
        Table::read(bytes, asset, &system.features).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let want = read(&fs::read(example.join("test.csv")).unwrap(), "test.csv");
    assert_eq!(want.n, 300);
    for name in ["credit.parquet", "credit.arrow", "credit.jsonl"] {
        let got = read(&bytes(name), name);
        assert_eq!((got.n, &got.labels, &got.classes), (want.n, &want.labels, &want.classes));
        assert_eq!((&got.violations, &got.notes), (&want.violations, &want.notes), "{name}");
        for row in 0..want.n {
            assert_eq!(row_bytes(&got, row), row_bytes(&want, row), "{name}, row {row}");
        }
    }
}
