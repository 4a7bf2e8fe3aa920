//! What stands above a table and inside its lines without being data: `sep=;`, comments, titles,
//! blanks before a quote.
//!
//! Owns the rules by which such text is left out, and counts what was. Must never leave out a
//! line that has as many fields as the rows below it, unless at most one of them is filled.

use std::borrow::Cow;

use csv::StringRecord;

use super::{Delimiter, Hints, split};

/// The delimiter that a first line `sep=;` names, as spreadsheets write it, and the text below.
pub(super) fn separator(text: &str) -> Option<(Delimiter, &str)> {
    let (line, rest) = first_line(text);
    let line = line.trim_matches('"');
    let (key, mark) = line.split_at_checked(4)?;
    if !key.eq_ignore_ascii_case("sep=") {
        return None;
    }
    match mark.as_bytes() {
        [c @ (b',' | b';' | b'\t' | b'|')] => Some((Delimiter::Char(*c), rest)),
        _ => None,
    }
}

/// Text below the leading comment lines, and how many there are at most.
pub(super) fn uncommented(text: &str) -> (&str, usize) {
    let (mut rest, mut lines) = (text, 0);
    while lines < LINES_MAX && is_comment(first_line(rest).0) {
        rest = first_line(rest).1;
        lines += 1;
    }
    if rest.trim().is_empty() { (text, 0) } else { (rest, lines) }
}

/// Text below those of `lines` leading comment lines that are no records of the table, and how
/// many they are: a header may begin with `#` too.
pub(super) fn below_comments(text: &str, lines: usize, delimiter: Delimiter) -> (&str, usize) {
    let fields = |text: &str| {
        let rows = split(text, delimiter, Some(1)).ok().map(|(rows, _)| rows);
        rows.and_then(|rows| rows.first().map(StringRecord::len)).unwrap_or(0)
    };
    let (body, _) = uncommented(text);
    let expected = fields(body);
    let mut rest = text;
    for line in 0..lines {
        let (first, below) = first_line(rest);
        if fields(first) == expected {
            return (rest, line);
        }
        rest = below;
    }
    (rest, lines)
}

/// How many leading records are titles: of another length than the header below them, which
/// names a declared column as none of them does, or of one filled field at most, as spreadsheets
/// write a line above a table.
pub(super) fn titles(rows: &[StringRecord], hints: &Hints<'_>) -> usize {
    let lone =
        |row: &StringRecord| row.len() > 2 && row.iter().filter(|f| !f.is_empty()).count() < 2;
    let named = |row: &StringRecord| hints.columns.iter().any(|n| row.iter().any(|f| f == *n));
    let header =
        |row: &StringRecord| if hints.columns.is_empty() { !lone(row) } else { named(row) };
    let Some(header) = rows.iter().take(LINES_MAX + 1).position(header) else { return 0 };
    let expected = rows.get(header).map_or(0, StringRecord::len);
    let above = rows.get(..header).unwrap_or_default();
    let title = |row: &StringRecord| row.len() != expected || lone(row);
    if above.iter().all(title) { header } else { 0 }
}

/// The text without blanks between a delimiter (or the begin of a line) and the quote that opens
/// a field, where the records would otherwise fall apart.
pub(super) fn tightened(text: &str, delimiter: Delimiter) -> Cow<'_, str> {
    let Delimiter::Char(delimiter) = delimiter else { return Cow::Borrowed(text) };
    if !text.contains(" \"") {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut quoted, mut fresh) = (false, true);
    // Where the blanks begin that may have to go.
    let mut blanks: Option<usize> = None;
    for byte in text.bytes() {
        match byte {
            b'"' if quoted => quoted = false,
            b'"' if fresh => {
                if let Some(at) = blanks {
                    out.truncate(at);
                }
                quoted = true;
            }
            // A doubled quote: the field goes on.
            b'"' if out.last() == Some(&b'"') => quoted = true,
            _ => {}
        }
        let ends = !quoted && (byte == delimiter || matches!(byte, b'\n' | b'\r'));
        blanks = match (byte, blanks) {
            _ if quoted => None,
            (b' ', Some(at)) => Some(at),
            (b' ', None) if fresh => Some(out.len()),
            _ => None,
        };
        fresh = ends || (blanks.is_some() && fresh);
        out.push(byte);
    }
    // Only blanks were taken out, so this is still UTF-8.
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "|", "%", "//"].iter().any(|mark| line.starts_with(mark))
}

/// The first line without its end, and what is below.
fn first_line(text: &str) -> (&str, &str) {
    let end = text.find(['\n', '\r']).unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r']));
    (line, rest.unwrap_or_default())
}

/// Lines above a table: more are a document.
pub(super) const LINES_MAX: usize = 20;
