//! Damaged files of boosted trees: an error or an ensemble, never a panic.

use std::path::Path;

use proofmark_engine::trees::import::xgboost::DumpOptions;
use proofmark_engine::trees::import::{ImportError, catboost, lightgbm, xgboost};
use proofmark_engine::trees::{Ensemble, Rows};

/// Places at which each file is damaged, spread evenly; each is tried in five ways.
const PLACES: usize = 40;

#[test]
fn damaged_files_are_refused_or_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boosted");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the golden files") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with(".npz") || name.ends_with(".py") {
            continue;
        }
        files += 1;
        let sound = std::fs::read(&path).expect("a file");
        for step in 0..PLACES {
            let at = step * sound.len() / PLACES + step % 7;
            for way in 0..5 {
                if let Some(bytes) = damaged(&sound, at, way) {
                    try_all(&name, &bytes);
                }
            }
        }
    }
    assert!(files > 40, "{files} files");
}

/// The file with one place changed: a bit, a digit, cut, doubled, left out.
fn damaged(sound: &[u8], at: usize, way: usize) -> Option<Vec<u8>> {
    let byte = *sound.get(at)?;
    let (head, tail) = sound.split_at(at);
    Some(match way {
        0 => [head, &[byte ^ 1 << (at % 8)], tail.get(1..)?].concat(),
        1 => [head, b"9", tail.get(1..)?].concat(),
        2 => head.to_vec(),
        3 => [head, tail.get(..tail.len().min(20))?, tail].concat(),
        _ => [head, tail.get(tail.len().min(3)..)?].concat(),
    })
}

fn try_all(name: &str, bytes: &[u8]) {
    if name.ends_with(".txt") {
        run(lightgbm::import(bytes));
    } else if name.ends_with(".dump.json") {
        run(xgboost::import_dump(bytes, &DumpOptions::default()));
    } else if name.starts_with("catboost") {
        run(catboost::import(bytes));
    } else {
        run(xgboost::import(bytes));
    }
}

fn run(imported: Result<Ensemble, ImportError>) {
    let ensemble = match imported {
        Ok(ensemble) => ensemble,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.ends_with('.') && text.len() < 500, "{text}");
            return;
        }
    };
    let Ok(forest) = ensemble.compile() else { return };
    if ensemble.columns == 0 || ensemble.columns > 1_000 {
        return;
    }
    let rows = vec![f64::NAN; ensemble.columns];
    let rows = Rows::new(&rows, ensemble.columns).expect("one row");
    assert_eq!(forest.margins(rows, 1).expect("margins").len(), ensemble.outputs);
}
