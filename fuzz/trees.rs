//! What every imported ensemble must stand: a check, and a row of each kind.

use proofmark_engine::trees::import::ImportError;
use proofmark_engine::trees::{Ensemble, Rows};

/// Columns of the rows that are tried; wider ensembles are only checked.
const COLUMNS_MAX: usize = 10_000;

/// Compiles what was imported and runs rows over it.
pub fn run(imported: Result<Ensemble, ImportError>) {
    let ensemble = match imported {
        Ok(ensemble) => ensemble,
        Err(error) => return drop(error.to_string()),
    };
    let Ok(forest) = ensemble.compile() else { return };
    if ensemble.columns == 0 || ensemble.columns > COLUMNS_MAX {
        return;
    }
    let values = [0.0, -0.5, 1.0, f64::NAN, f64::INFINITY, 1e-36];
    let rows: Vec<f64> = values.iter().flat_map(|&v| vec![v; ensemble.columns]).collect();
    let rows = Rows::new(&rows, ensemble.columns).expect("whole rows");
    let margins = forest.margins(rows, 1).expect("as many columns as it asks");
    assert_eq!(margins.len(), values.len() * ensemble.outputs);
}
