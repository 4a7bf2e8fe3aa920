//! Canonical bytes of rows, duplicates and overlap.

use proofmark_dataset::digest::{duplicates, overlap, row_bytes};
use proofmark_dataset::table::Table;
use proofmark_schema::system::{Feature, FeatureKind as Kind};
use proptest::prelude::*;

use crate::make::{asset, feature, features};

fn table(text: &str) -> Table {
    let mut asset = asset("class", &["x", "y"]);
    asset.missing = vec!["?".into()];
    let features = [feature("a", Kind::Number), feature("b", Kind::Category)];
    Table::read(text.as_bytes(), &asset, &features).unwrap()
}

#[test]
fn a_row_has_the_same_bytes_however_it_is_written() {
    let plain = table("a,b,class\n1,u,x\n-0.5,v,y\n?,?,x\n0,w,x\n");
    let other = table("class;b;a\r\nx;\"u\";1,00\r\ny;v;-,5\r\nx;?;?\r\nx;w;-0\r\n");
    for row in 0..4 {
        assert_eq!(row_bytes(&plain, row), row_bytes(&other, row), "row {row}");
    }
    assert_eq!(&row_bytes(&plain, 0)[..16], b"proofmark.row/1\n");
}

#[test]
fn different_rows_have_different_bytes() {
    let text = "a,b,class\n1,u,x\n1,u,y\n1,?,x\n?,u,x\n11,u,x\n1,u1,x\n?,?,x\n";
    let table = table(text);
    let mut all: Vec<Vec<u8>> = (0..table.n).map(|row| row_bytes(&table, row)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), table.n);
}

#[test]
fn duplicates_and_overlap_are_counted_and_contradictions_named() {
    let train = table("a,b,class\n1,u,x\n2,v,y\n1.0,u,x\n1,u,y\n?,v,x\n?,v,x\n");
    let found = duplicates(&train);
    assert_eq!((found.rows, found.contradicting), (vec![2, 3, 5], vec![3]));
    let test = table("a,b,class\n9,u,x\n2,v,x\n1,u,x\n");
    let found = overlap(&test, &train);
    assert_eq!((found.rows, found.contradicting), (vec![1, 2], vec![1]));
    assert_eq!(overlap(&test, &test).rows, [0, 1, 2]);
}

proptest! {
    #[test]
    fn row_order_changes_neither_bytes_nor_counts(
        values in prop::collection::vec((0u8..4, 0u8..3), 2..30),
        turn in 0usize..30,
    ) {
        let features: Vec<Feature> = features(Kind::Integer, "a b");
        let read = |rows: &[(u8, u8)]| {
            let lines: Vec<String> = rows.iter().map(|(a, b)| format!("{a},{b},x\n")).collect();
            let text = format!("a,b,class\n{}", lines.concat());
            Table::read(text.as_bytes(), &asset("class", &["x", "y"]), &features).unwrap()
        };
        let mut turned = values.clone();
        turned.rotate_left(turn % values.len());
        let (one, two) = (read(&values), read(&turned));
        prop_assert_eq!(duplicates(&one).rows.len(), duplicates(&two).rows.len());
        let bytes = |t: &Table| {
            let mut all: Vec<_> = (0..t.n).map(|r| row_bytes(t, r)).collect();
            all.sort();
            all
        };
        prop_assert_eq!(bytes(&one), bytes(&two));
        prop_assert_eq!(overlap(&one, &two).rows.len(), values.len());
    }
}
