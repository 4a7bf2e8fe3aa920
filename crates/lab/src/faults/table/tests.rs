//! Every kind fires on what it is made for, hits more with severity, and leaves severity 0 alone.

use proofmark_schema::system;

use super::*;
use crate::faults::form;

const ROWS: &str = "amount,age,kind,label\n";

fn features() -> Vec<Feature> {
    let text = r#"
format = "proofmark.system/1"
[system]
name = "t"
version = "1"
provider = "p"
purpose = "q"
[data.test]
path = "t.csv"
role = "test"
label = "label"
classes = { a = "0", b = "1" }
[features.amount]
type = "number"
bounds = [0, 1000]
mutable = true
[features.age]
type = "integer"
bounds = [18, 90]
[features.kind]
type = "category"
values = ["x", "y", "z"]
[models.m]
path = "m.onnx"
role = "primary"
output = { kind = "probability" }
decision = "argmax"
"#;
    match system::parse(text) {
        Ok(system) => system.features,
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn table(n: usize) -> Table {
    let mut csv = ROWS.to_owned();
    for row in 0..n {
        let kind = ["x", "y", "z"][row % 3];
        csv.push_str(&format!("{},{},{kind},{}\n", 100 + row, 20 + row % 60, row % 2));
    }
    let asset = system::DataAsset {
        name: "test".into(),
        path: "t.csv".into(),
        role: system::DataRole::Test,
        label: Some("label".into()),
        labels: None,
        classes: vec![("a".into(), "0".into()), ("b".into(), "1".into())],
        ignore: vec![],
        missing: vec![],
        dialect: Default::default(),
        limit: None,
        task: Default::default(),
        unit: None,
        quantiles: vec![],
    };
    Table::read(csv.as_bytes(), &asset, &features()).unwrap()
}

fn setting<'a>(
    fault: &'static dyn TableFault,
    table: &'a Table,
    features: &'a [Feature],
    seed: u64,
) -> Setting<'a> {
    let spread = |deviation| Spread { deviation, lowest: 0.0, highest: 1.0 };
    let spreads = [("amount".to_owned(), spread(50.0)), ("age".to_owned(), spread(17.0))];
    Setting {
        fault,
        table,
        features,
        columns: columns(fault, features, &[]),
        spreads: Arc::new(spreads.into()),
        factor: 100.0,
        seed,
        probe: "p",
    }
}

#[test]
fn every_kind_changes_rows_and_severity_nought_changes_no_bit() {
    let (table, features) = (table(400), features());
    for fault in REGISTRY {
        let setting = setting(fault, &table, &features, 3);
        let id = fault.id();
        assert!(!setting.columns.is_empty(), "{id}");
        let clean = setting.at(0);
        assert_eq!(clean.table, table, "{id}");
        assert!(clean.changed.iter().all(|hit| !hit), "{id}");
        for severity in 1..=5 {
            let faulted = setting.at(severity);
            assert!(faulted.changed.iter().any(|hit| *hit), "{id} {severity}");
            for row in 0..table.n {
                let same = table
                    .columns
                    .iter()
                    .zip(&faulted.table.columns)
                    .all(|(a, b)| same(&cell_of(a, row), &cell_of(b, row)));
                assert_eq!(same, !faulted.changed[row], "{id} {severity} row {row}");
            }
        }
        // Cells do not compare equal where both are missing, so the tables are printed.
        let again = setting.at(4);
        assert_eq!(format!("{:?}", again), format!("{:?}", setting.at(4)), "{id}: same seed");
    }
}

#[test]
fn a_stronger_severity_hits_what_a_weaker_one_hits_or_hits_harder() {
    let (table, features) = (table(400), features());
    for fault in REGISTRY {
        let setting = setting(fault, &table, &features, 8);
        let levels: Vec<Level> = (1..=5).map(|s| fault.level(s, 100.0)).collect();
        for pair in levels.windows(2) {
            let more = pair[1].share > pair[0].share || pair[1].strength > pair[0].strength;
            assert!(more && pair[1].share >= pair[0].share, "{}: {pair:?}", fault.id());
        }
        let runs: Vec<Faulted> = (1..=5).map(|s| setting.at(s)).collect();
        for pair in runs.windows(2) {
            let hit = |f: &Faulted| f.changed.iter().filter(|c| **c).count();
            assert!(hit(&pair[1]) >= hit(&pair[0]), "{}", fault.id());
            if fault.id() != "sensor-noise" {
                let kept = pair[0].changed.iter().zip(&pair[1].changed).all(|(a, b)| !a || *b);
                assert!(kept, "{}: a row is hit no more", fault.id());
            }
        }
    }
}

#[test]
fn a_rows_fate_does_not_depend_on_the_rows_after_it() {
    let features = features();
    let (long, short) = (table(200), table(50));
    for fault in REGISTRY {
        let (all, few) =
            (setting(fault, &long, &features, 5).at(3), setting(fault, &short, &features, 5).at(3));
        assert_eq!(all.changed[..50], few.changed[..], "{}", fault.id());
    }
}

#[test]
fn the_form_refuses_what_it_can_see_and_only_that() {
    let (table, features) = (table(400), features());
    let caught = |id: &str, severity: u8| {
        let setting = setting(named(id).unwrap(), &table, &features, 3);
        let faulted = setting.at(severity);
        let refused = form::refused(&faulted.table, &features, &|_| false);
        let changed = faulted.changed.iter().filter(|c| **c).count();
        let both = faulted.changed.iter().zip(&refused).filter(|(c, r)| **c && **r).count();
        assert!(refused.iter().zip(&faulted.changed).all(|(r, c)| *c || !r), "{id}: clean rows");
        both as f64 / changed as f64
    };
    for (id, share) in [
        ("missing", 1.0),
        ("beyond", 1.0),
        ("unknown-category", 1.0),
        ("unit-swap", 1.0),
        ("extreme", 0.0),
        ("stale", 0.0),
        ("category-swap", 0.0),
    ] {
        assert_eq!(caught(id, 4), share, "{id}");
    }
    // Noise leaves whole numbers whole; only values near a bound leave it.
    assert!(caught("sensor-noise", 1) < 0.2);
}

#[test]
fn values_are_what_the_kind_says() {
    let (table, features) = (table(400), features());
    let numbers = |faulted: &Faulted, column: usize| match &faulted.table.columns[column].cells {
        Cells::Numbers(numbers) => numbers.clone(),
        Cells::Texts(_) => panic!("texts"),
    };
    let clean = numbers(&setting(named("sensor-noise").unwrap(), &table, &features, 1).at(0), 0);
    let moved = numbers(&setting(named("sensor-noise").unwrap(), &table, &features, 1).at(5), 0);
    let off: Vec<f64> = clean.iter().zip(&moved).map(|(a, b)| b - a).collect();
    let std = (off.iter().map(|d| d * d).sum::<f64>() / off.len() as f64).sqrt();
    assert!((std / (0.8 * 50.0) - 1.0).abs() < 0.1, "noise of the stated size: {std}");
    let swapped = setting(named("unit-swap").unwrap(), &table, &features, 1).at(5);
    for (row, (now, before)) in numbers(&swapped, 0).iter().zip(&clean).enumerate() {
        assert_eq!(*now, if swapped.changed[row] { before * 100.0 } else { *before });
    }
    let share = swapped.changed.iter().filter(|c| **c).count() as f64 / 400.0;
    assert!((share - 0.5).abs() < 0.08, "{share}");
    let stale = setting(named("stale").unwrap(), &table, &features, 1).at(5);
    assert!(!stale.changed[0], "nothing came before the first row");
    for (row, now) in numbers(&stale, 0).iter().enumerate().skip(1) {
        assert!(*now == clean[row] || *now == clean[row - 1], "row {row}");
    }
}
