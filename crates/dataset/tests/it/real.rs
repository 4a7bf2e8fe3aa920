//! Whole public data sets, where the folder with them is present.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::file::properties::WriterProperties;
use proofmark_dataset::csv::{self, Hints};
use proofmark_dataset::digest::{duplicates, row_bytes};
use proofmark_dataset::images::Images;
use proofmark_dataset::table::Table;
use proofmark_schema::system::{DataAsset, DialectPins, Feature, FeatureKind as Kind};

use crate::figures::{check, german, german_asset};
use crate::make::{asset, columns, feature, ipc, mutable, parquet};

/// The bytes of a file, or a line that says what is skipped.
fn open(path: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        skipped(&path);
    }
    bytes
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skipped(path: &Path) {
    eprintln!("skipped: {} is not there", path.display());
}

fn counts(table: &Table) -> Vec<usize> {
    table.classes.iter().map(|c| c.count).collect()
}

#[test]
fn german_credit() {
    let Some(bytes) = open("tabular/german.data") else { return };
    let table = Table::read(&bytes, &german_asset(), &german()).unwrap();
    assert_eq!((table.n, counts(&table)), (1000, vec![700, 300]));
    assert!(duplicates(&table).rows.is_empty());
    check(&table, include_str!("golden/german.txt"));
}

fn adult() -> Vec<Feature> {
    let names = "age workclass fnlwgt education education_num marital occupation relationship \
         race sex gain loss hours country";
    let numeric = ["age", "fnlwgt", "education_num", "gain", "loss", "hours"];
    let kind = |n: &str| if numeric.contains(&n) { Kind::Integer } else { Kind::Category };
    names.split_whitespace().map(|n| feature(n, kind(n))).collect()
}

fn adult_asset(classes: &[&str]) -> DataAsset {
    let names: Vec<String> =
        adult().iter().map(|f| f.name.clone()).chain(["income".to_owned()]).collect();
    let dialect = columns(&names.join(" "));
    DataAsset { dialect, missing: vec!["?".into()], ..asset("income", classes) }
}

#[test]
fn adult_census() {
    let Some(bytes) = open("tabular/adult.data") else { return };
    let table = Table::read(&bytes, &adult_asset(&["<=50K", ">50K"]), &adult()).unwrap();
    assert_eq!((table.n, counts(&table)), (32561, vec![24720, 7841]));
    let missing = |name: &str| {
        table.column(name).unwrap().texts().unwrap().iter().filter(|t| t.is_none()).count()
    };
    assert_eq!(["workclass", "occupation", "country"].map(missing), [1836, 1843, 583]);
    assert_eq!(duplicates(&table).rows.len(), 25);
    check(&table, include_str!("golden/adult.txt"));
}

#[test]
fn adult_census_is_the_same_table_in_every_container() {
    let Some(bytes) = open("tabular/adult.data") else { return };
    let asset = adult_asset(&["<=50K", ">50K"]);
    let want = Table::read(&bytes, &asset, &adult()).unwrap();
    let records = csv::read(&bytes, &asset.dialect, &Hints::default()).unwrap();
    let (mut columns, mut lines) = (Vec::new(), vec![String::new(); records.len()]);
    for (at, name) in records.columns.iter().enumerate() {
        let whole: Option<Vec<i64>> = records.column(at).map(|t| t.parse().ok()).collect();
        for (line, text) in lines.iter_mut().zip(records.column(at)) {
            let quote = if whole.is_some() { "" } else { "\"" };
            let mark = if line.is_empty() { "{" } else { ", " };
            *line += &format!("{mark}\"{name}\": {quote}{text}{quote}");
        }
        let column: ArrayRef = match whole {
            Some(numbers) => Arc::new(Int64Array::from(numbers)),
            None => Arc::new(StringArray::from(records.column(at).collect::<Vec<_>>())),
        };
        columns.push((name.as_str(), column));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let asset = DataAsset { dialect: DialectPins::default(), ..asset };
    for (name, bytes) in [
        ("parquet", parquet(&batch, WriterProperties::builder())),
        ("arrow", ipc(&batch)),
        ("json lines", (lines.join("}\n") + "}\n").into_bytes()),
    ] {
        let got = Table::read(&bytes, &asset, &adult()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((got.n, &got.labels, &got.classes), (want.n, &want.labels, &want.classes));
        for row in 0..want.n {
            assert!(row_bytes(&got, row) == row_bytes(&want, row), "{name}, row {row}");
        }
        check(&got, include_str!("golden/adult.txt"));
    }
}

#[test]
fn adult_test_has_a_stray_first_line_and_dots() {
    let Some(bytes) = open("tabular/adult.test") else { return };
    let table = Table::read(&bytes, &adult_asset(&["<=50K", ">50K"]), &adult()).unwrap();
    assert_eq!((table.n, counts(&table)), (16281, vec![12435, 3846]));
    assert_eq!((table.dialect.skipped, table.lines[0]), (1, 2));
    let told =
        "16281 labels such as `<=50K.` end in a full stop that no class has: read without it";
    assert_eq!(table.notes, [told]);
    let start = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    let twin = Table::read(&bytes[start..], &adult_asset(&["<=50K.", ">50K."]), &adult()).unwrap();
    assert_eq!((&twin.labels, &twin.columns), (&table.labels, &table.columns));
    assert!(twin.notes.is_empty());
}

#[test]
fn compas_names_two_columns_twice() {
    let Some(bytes) = open("tabular/compas-scores-two-years.csv") else { return };
    let header = String::from_utf8(bytes.clone()).unwrap().lines().next().unwrap().to_owned();
    let used = ["age", "days_b_screening_arrest", "c_days_from_compas", "sex", "two_year_recid"];
    let ignore =
        header.split(',').filter(|n| !used.contains(n)).map(str::to_owned).collect::<Vec<_>>();
    let mut asset = asset("two_year_recid", &["0", "1"]);
    asset.missing = vec![String::new()];
    asset.ignore = ignore.clone();
    let mut features = vec![
        feature("age", Kind::Integer),
        feature("days_b_screening_arrest", Kind::Integer),
        feature("c_days_from_compas", Kind::Integer),
        feature("sex", Kind::Category),
    ];
    let table = Table::read(&bytes, &asset, &features).unwrap();
    assert_eq!((table.n, counts(&table)), (7214, vec![3963, 3251]));
    check(&table, include_str!("golden/compas.txt"));
    features.push(feature("priors_count", Kind::Integer));
    asset.ignore.retain(|n| n != "priors_count");
    // The file holds this column twice, and both are the same.
    let table = Table::read(&bytes, &asset, &features).unwrap();
    assert_eq!(table.notes, ["the header names `priors_count` twice; both columns are the same"]);
}

#[test]
fn fashion_mnist() {
    let Some(images) = open("fashion-mnist/t10k-images-idx3-ubyte.gz") else { return };
    let Some(labels) = open("fashion-mnist/t10k-labels-idx1-ubyte.gz") else { return };
    let values: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let feature =
        Feature { shape: Some([1, 28, 28]), ..mutable("image", Kind::Image, [0.0, 255.0]) };
    let read = Images::read(&images, &labels, &asset("none", &values), &feature).unwrap();
    assert_eq!((read.n, read.data.len(), read.whole), (10_000, 7_840_000, true));
    assert!(read.classes.iter().all(|c| c.count == 1000), "{:?}", read.classes);
    assert!(read.violations.is_empty());
    let mean = read.data.iter().map(|v| f64::from(*v)).sum::<f64>() / read.data.len() as f64;
    assert!((mean - MEAN_PIXEL).abs() < 1e-9, "{mean}");
}

/// `np.mean` over the gunzipped pixels in f64.
const MEAN_PIXEL: f64 = 73.14656658163265;
