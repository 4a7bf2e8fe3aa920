//! Column figures against pandas and numpy (`golden/columns.py`).

use proofmark_dataset::digest::Rows;
use proofmark_dataset::stats::stats;
use proofmark_dataset::table::Table;
use proofmark_schema::system::{DataAsset, Feature, FeatureKind as Kind};

use crate::make::{asset, columns, feature, features};

pub const GERMAN: &str = "status duration history purpose amount savings employment rate personal \
     debtors residence property age plans housing credits job liable telephone foreign class";
const NUMERIC: &str = "duration amount rate residence age credits liable";

/// Features of the German data: seven integers, the others categories.
pub fn german() -> Vec<Feature> {
    let numeric: Vec<&str> = NUMERIC.split(' ').collect();
    let kind = |n: &str| if numeric.contains(&n) { Kind::Integer } else { Kind::Category };
    let names = GERMAN.split_whitespace().filter(|n| *n != "class");
    names.map(|n| feature(n, kind(n))).collect()
}

/// The German data without a header.
pub fn german_asset() -> DataAsset {
    let names: Vec<&str> = GERMAN.split_whitespace().collect();
    DataAsset { dialect: columns(&names.join(" ")), ..asset("class", &["1", "2"]) }
}

/// Compares every line `column n missing min max mean std`.
///
/// The golden mean and deviation are computed in 80 bits and rounded once; ours may be a few
/// units in the last place off.
pub fn check(table: &Table, golden: &str) {
    for line in golden.lines().skip(1) {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let want: Vec<f64> = words.map(|w| w.parse().unwrap()).collect();
        let got = stats(table.column(name).unwrap().numbers().unwrap()).unwrap();
        let exact = [got.n as f64, got.missing as f64, got.min, got.max];
        assert_eq!(exact, want[..4], "{name}");
        for (what, a, b) in [("mean", got.mean, want[4]), ("std", got.std, want[5])] {
            assert!((a - b).abs() <= 8.0 * f64::EPSILON * b.abs(), "{name} {what}: {a} {b}");
        }
    }
}

#[test]
fn figures_of_the_plain_slice() {
    let bytes = include_bytes!("golden/german_head.data");
    let table = Table::read(bytes, &german_asset(), &german()).unwrap();
    assert_eq!(table.n, 40);
    let told = "21 columns by blanks, decimal `.`, no header, UTF-8, LF (pinned: header, columns)";
    assert_eq!(table.dialect.to_string(), told);
    check(&table, include_str!("golden/german_head.txt"));
}

#[test]
fn the_same_rows_from_a_spreadsheet_are_the_same_rows() {
    let plain = include_bytes!("golden/german_head.data");
    let plain = Table::read(plain, &german_asset(), &german()).unwrap();
    let bytes = include_bytes!("golden/german_head_de.csv");
    let ignored = DataAsset { ignore: vec!["share".into()], ..asset("class", &["1", "2"]) };
    let other = Table::read(bytes, &ignored, &german()).unwrap();
    let told = "22 columns by `;`, decimal `,`, header, UTF-8 with byte order mark, CRLF";
    assert_eq!(other.dialect.to_string(), told);
    assert_eq!(plain.labels, other.labels);
    for row in 0..plain.n {
        assert_eq!(plain.content(row), other.content(row), "row {row}");
    }
    let missing = DataAsset {
        ignore: GERMAN.split_whitespace().filter(|n| *n != "class").map(str::to_owned).collect(),
        missing: vec![String::new()],
        ..ignored
    };
    let shares = Table::read(bytes, &missing, &features(Kind::Number, "share")).unwrap();
    check(&shares, include_str!("golden/german_head_de.txt"));
}
