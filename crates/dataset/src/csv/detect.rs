//! Detection of delimiter, header and line ends.
//!
//! Owns the rules, which look at a sample of whole records. Must never decide against a pin.

use csv::StringRecord;
use proofmark_schema::system::DialectPins;

use super::numbers::looks_numeric;
use super::{CsvError, Delimiter, Hints, LineEnd, split};

/// The delimiter that is pinned, or under which the sample is most even.
pub(super) fn delimiter(
    text: &str,
    pins: &DialectPins,
    hints: &Hints<'_>,
) -> Result<Delimiter, CsvError> {
    if let Some(pin) = &pins.delimiter {
        return match (pin.as_str(), pin.as_bytes()) {
            ("blank", _) => Ok(Delimiter::Blanks),
            (_, [c @ (b',' | b';' | b'\t' | b'|')]) => Ok(Delimiter::Char(*c)),
            _ => Err(CsvError::BadDelimiter { text: pin.clone() }),
        };
    }
    let mut best: Option<(Delimiter, (usize, usize))> = None;
    let mut open = None;
    for candidate in CANDIDATES {
        let rows = match split(text, candidate, Some(SAMPLE_ROWS)) {
            Ok((rows, _)) => rows,
            Err(error @ CsvError::OpenQuote { .. }) => {
                open.get_or_insert(error);
                continue;
            }
            Err(_) => continue,
        };
        let Some(score) = score(&rows, hints) else { continue };
        if best.is_none_or(|(_, b)| score > b) {
            best = Some((candidate, score));
        }
    }
    // Under the delimiter of the file a quote may stay open, while another one makes no sense of
    // it: then the quote is what is wrong.
    let sound = best.is_some_and(|(_, (named, _))| named > 0 || hints.columns.is_empty());
    match (best, open) {
        (Some((delimiter, _)), _) if sound => Ok(delimiter),
        (_, Some(error)) => Err(error),
        (best, None) => Ok(best.map_or(Delimiter::Char(b','), |(delimiter, _)| delimiter)),
    }
}

/// `(declared names found in the first record, rows of the commonest length in per mille)`;
/// `None` when the commonest length is one field.
fn score(rows: &[StringRecord], hints: &Hints<'_>) -> Option<(usize, usize)> {
    let mut lengths: Vec<usize> = rows.iter().map(StringRecord::len).collect();
    lengths.sort_unstable();
    let runs = lengths.chunk_by(|a, b| a == b).map(|run| (run.len(), run.first().copied()));
    let (count, length) = runs.max_by_key(|(count, _)| *count)?;
    if length? < 2 {
        return None;
    }
    let first = rows.first()?;
    let named = hints.columns.iter().filter(|name| first.iter().any(|f| f == **name)).count();
    Some((named, count * 1000 / rows.len()))
}

/// Whether the first record names columns.
///
/// With hints: it holds a declared name. Without: its fields are filled, unlike each other and
/// no numbers, none of them comes again below, and some column below holds numbers only (or
/// there are many rows of text, or none).
pub(super) fn has_header(rows: &[StringRecord], pins: &DialectPins, hints: &Hints<'_>) -> bool {
    if let Some(columns) = &pins.columns {
        return rows.first().is_some_and(|r| r.iter().eq(columns.iter()));
    }
    let Some((first, rest)) = rows.split_first() else { return false };
    if !hints.columns.is_empty() {
        let exact = hints.columns.iter().any(|name| first.iter().any(|f| f == *name));
        // Names in other letters are names: the columns that are missing are told by name then.
        let known = |f: &&str| hints.columns.iter().any(|name| name.eq_ignore_ascii_case(f));
        return exact || first.iter().filter(known).count() * 2 > first.len();
    }
    let number = looks_numeric;
    let sample = rest.get(..rest.len().min(SAMPLE_ROWS)).unwrap_or_default();
    // A delimiter at the end of every line makes a column without a name and without a value.
    let void = |column: &usize| {
        let empty = |row: &StringRecord| row.get(*column).is_none_or(str::is_empty);
        empty(first) && sample.iter().all(empty)
    };
    let width = first.len() - (0..first.len()).rev().take_while(void).count();
    let mut names: Vec<&str> = first.iter().take(width).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != width || names.iter().any(|f| f.is_empty() || number(f)) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let numeric = |column: usize| {
        let mut fields = sample.iter().filter_map(|r| r.get(column)).filter(|f| !f.is_empty());
        fields.next().is_some_and(number) && fields.all(number)
    };
    let again = |column: usize, name: &str| sample.iter().any(|r| r.get(column) == Some(name));
    let fresh = first.iter().take(width).enumerate().all(|(column, name)| !again(column, name));
    fresh && ((0..width).any(numeric) || sample.len() >= TEXT_ROWS_MIN)
}

/// The end of the first line.
pub(super) fn line_end(text: &str) -> LineEnd {
    match text.find(['\n', '\r']).and_then(|at| text.get(at..)) {
        Some(rest) if rest.starts_with("\r\n") => LineEnd::CrLf,
        Some(rest) if rest.starts_with('\r') => LineEnd::Cr,
        _ => LineEnd::Lf,
    }
}

/// In order of preference when the sample is equally even: a comma is often a decimal mark,
/// and blanks often stand inside fields.
const CANDIDATES: [Delimiter; 5] = [
    Delimiter::Char(b';'),
    Delimiter::Char(b'\t'),
    Delimiter::Char(b'|'),
    Delimiter::Char(b','),
    Delimiter::Blanks,
];
/// Records looked at to find delimiter and header; more change nothing on even files.
const SAMPLE_ROWS: usize = 200;
/// Rows of text alone below which a first record that never comes again may be chance.
const TEXT_ROWS_MIN: usize = 20;
