//! Any bytes in any encoding end in records or an error; numbers are finite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_dataset::csv::{self, Hints};
use proofmark_dataset::found;
use proofmark_schema::system::{DialectPins, TextEncoding};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let encoding = match choice & 3 {
        0 => None,
        1 => Some(TextEncoding::Utf8),
        2 => Some(TextEncoding::Utf16),
        _ => Some(TextEncoding::Windows1252),
    };
    let thousands = (choice & 4 != 0).then_some(',');
    let pins = DialectPins { encoding, thousands, ..DialectPins::default() };
    let columns: &[&str] = if choice & 8 != 0 { &["a", "b"] } else { &[] };
    let hints = Hints { columns, numeric: &[], limit: None };
    if let Ok(records) = csv::read(bytes, &pins, &hints) {
        assert!(records.lines().windows(2).all(|w| w[0] < w[1]));
        for row in 0..records.len() {
            for column in 0..records.columns.len() {
                let field = records.field(row, column).expect("a field per column");
                assert!(records.number_in(column, field).is_none_or(f64::is_finite));
            }
        }
    }
    let _ = found::table(bytes);
});
