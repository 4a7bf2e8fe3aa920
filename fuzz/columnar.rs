//! What every table must hold to, whatever its container.

use proofmark_dataset::csv::{self, Hints};
use proofmark_schema::system::{DataFormat, DialectPins};

/// Any bytes end in records or an error; every record has every column.
pub fn table(bytes: &[u8], format: DataFormat) {
    let pins = DialectPins { format: Some(format), ..DialectPins::default() };
    // A limit keeps one input fast; it is told to the reader as a declaration would.
    let hints = Hints { limit: Some(1000), ..Hints::default() };
    let Ok(records) = csv::read(bytes, &pins, &hints) else { return };
    assert_eq!(records.lines().len(), records.len());
    for row in 0..records.len() {
        for column in 0..records.columns.len() {
            let field = records.field(row, column).expect("a field per column");
            if records.is_absent(row, column) {
                assert!(field.is_empty());
            }
        }
    }
    let _ = records.sentinels();
}
