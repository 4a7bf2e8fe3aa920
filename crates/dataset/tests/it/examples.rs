//! The bundled examples are read as they are declared.

use std::path::{Path, PathBuf};

use proofmark_dataset::digest::{duplicates, overlap};
use proofmark_dataset::groups::groups;
use proofmark_dataset::images::Images;
use proofmark_dataset::table::Table;
use proofmark_schema::system::{self, DataAsset, System};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn declared(name: &str) -> System {
    let text = std::fs::read_to_string(folder(name).join("proofmark.toml")).unwrap();
    system::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn credit_is_read_without_warnings_and_without_leaks() {
    let system = declared("credit");
    let read = |asset: &DataAsset| {
        let bytes = std::fs::read(folder("credit").join(&asset.path)).unwrap();
        Table::read(&bytes, asset, &system.features).unwrap()
    };
    let tables: Vec<Table> = system.data.iter().map(read).collect();
    assert!(tables.len() >= 2, "train and test at least");
    for (asset, table) in system.data.iter().zip(&tables) {
        assert!(table.n >= 100 && table.classes.iter().all(|c| c.count > 0), "{}", asset.name);
        assert!(table.violations.is_empty(), "{}: {:?}", asset.name, table.violations);
        assert!(table.warnings.is_empty(), "{}: {:?}", asset.name, table.warnings);
        assert!(duplicates(table).contradicting.is_empty(), "{}", asset.name);
        let groups = groups(table, &system.features);
        assert!(!groups.is_empty(), "{}", asset.name);
        assert!(groups.iter().all(|g| g.counts().iter().sum::<usize>() == table.n));
    }
    for (i, one) in tables.iter().enumerate() {
        for other in tables.iter().skip(i + 1) {
            assert!(overlap(one, other).rows.is_empty(), "splits share no row");
        }
    }
}

#[test]
fn clothing_is_read() {
    let system = declared("clothing");
    let feature = system.image().unwrap();
    for asset in &system.data {
        let open = |path: &str| std::fs::read(folder("clothing").join(path)).unwrap();
        let labels = open(asset.labels.as_deref().unwrap());
        let images = Images::read(&open(&asset.path), &labels, asset, feature).unwrap();
        assert!(images.whole && images.violations.is_empty(), "{}", asset.name);
        assert!(images.classes.iter().all(|c| c.count > 0), "{}: {:?}", asset.name, images.classes);
    }
}
