//! Values that often stand for "missing".
//!
//! Owns the list and the rule. Must never remove or replace a value: it only warns.

use std::fmt;

use super::Records;

/// A suspicious value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// Column.
    pub column: String,
    /// The value as it stands in the file.
    pub text: String,
    /// How many rows hold it.
    pub count: usize,
}

impl fmt::Display for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, text, count } = self;
        let rows = if *count == 1 { "row" } else { "rows" };
        write!(f, "`{text}` in column `{column}` ({count} {rows}) may mean missing: ")?;
        write!(f, "add it to `missing` if it does")
    }
}

/// Words in columns that otherwise hold numbers, and numbers of [`NUMBERS`] that lie farther
/// from all others than those lie from each other.
pub(super) fn find(records: &Records) -> Vec<Sentinel> {
    let columns = records.columns.iter().enumerate();
    columns.flat_map(|(index, name)| in_column(records, index, name)).collect()
}

fn in_column(records: &Records, index: usize, name: &str) -> Vec<Sentinel> {
    let numbers: Vec<f64> =
        records.present(index).filter_map(|f| records.number_in(index, f)).collect();
    let sentinel = |text: &str| {
        let count = records.present(index).filter(|f| *f == text).count();
        Sentinel { column: name.to_owned(), text: text.to_owned(), count }
    };
    let numeric = numbers.len() * 2 > records.len();
    let mut found = Vec::new();
    for word in WORDS {
        let mut fields = records.present(index).filter(|f| f.eq_ignore_ascii_case(word));
        let Some(text) = fields.next() else { continue };
        if numeric || !text.is_empty() {
            found.push(sentinel(text));
        }
    }
    if !numeric {
        return found;
    }
    for value in NUMBERS {
        if !numbers.contains(&value) {
            continue;
        }
        let same = |f: &&str| records.number_in(index, f) == Some(value);
        let Some(text) = records.present(index).find(same) else { continue };
        let rest = numbers.iter().copied().filter(|n| *n != value);
        let (low, high) = rest
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), n| (low.min(n), high.max(n)));
        if high > low && (low - value).max(value - high) > high - low {
            found.push(sentinel(text));
        }
    }
    found
}

const WORDS: [&str; 12] =
    ["", "NA", "N/A", "n.a.", "?", "nan", "null", "none", "#N/A", "-", "unknown", "missing"];
const NUMBERS: [f64; 13] = [
    -99999.0,
    -9999.0,
    -999.0,
    -99.0,
    -9.0,
    -1.0,
    99.0,
    999.0,
    9999.0,
    99999.0,
    999_999.0,
    9_999_999.0,
    99_999_999.0,
];
