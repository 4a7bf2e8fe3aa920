//! Records of text under one delimiter, with the lines that an editor shows.
//!
//! Owns the bound of a field and open quotes. Must never look at what a field says. Called by
//! [`super::read`] and by the detection.

use csv::StringRecord;

use super::{CsvError, Delimiter};

/// Records with their lines, at most `limit`.
pub(super) fn split(
    text: &str,
    delimiter: Delimiter,
    limit: Option<usize>,
) -> Result<(Vec<StringRecord>, Vec<u64>), CsvError> {
    let limit = limit.unwrap_or(usize::MAX);
    match delimiter {
        Delimiter::Blanks => Ok(split_blanks(text, limit)),
        Delimiter::Char(c) => split_char(text, c, limit),
    }
}

fn split_blanks(text: &str, limit: usize) -> (Vec<StringRecord>, Vec<u64>) {
    let filled = text.lines().zip(1u64..).filter(|(line, _)| !line.trim().is_empty());
    filled.take(limit).map(|(line, at)| (line.split_ascii_whitespace().collect(), at)).unzip()
}

fn split_char(
    text: &str,
    delimiter: u8,
    limit: usize,
) -> Result<(Vec<StringRecord>, Vec<u64>), CsvError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let mut lines_of = Lines { text: text.as_bytes(), at: 0, line: 1 };
    let mut record = StringRecord::new();
    while rows.len() < limit {
        let more = reader.read_record(&mut record);
        // The text is valid UTF-8 and lengths are flexible: nothing else can fail on a slice.
        if !more.unwrap_or(false) {
            break;
        }
        let start = record.position().map_or(0, |p| p.byte()) as usize;
        let end = reader.position().byte() as usize;
        let line = lines_of.of(start);
        if let Some(found) = record.iter().map(str::len).find(|n| *n > FIELD_MAX) {
            return Err(CsvError::FieldTooLong { line, found, limit: FIELD_MAX });
        }
        if end >= text.len() && open_quote(text.get(start..).unwrap_or_default(), delimiter) {
            return Err(CsvError::OpenQuote { line });
        }
        rows.push(record.clone());
        lines.push(line);
    }
    Ok((rows, lines))
}

/// Counts lines up to growing offsets.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// Line of the first byte at or after `start` that is not a line end.
    fn of(&mut self, start: usize) -> u64 {
        while let Some(byte) = self.text.get(self.at) {
            let ending = matches!(byte, b'\n' | b'\r');
            if self.at >= start && !ending {
                break;
            }
            let lone_cr = *byte == b'\r' && self.text.get(self.at + 1) != Some(&b'\n');
            self.line += u64::from(*byte == b'\n' || lone_cr);
            self.at += 1;
        }
        self.line
    }
}

/// Whether the last record ends inside a quoted field.
fn open_quote(record: &str, delimiter: u8) -> bool {
    let (mut quoted, mut fresh) = (false, true);
    let mut bytes = record.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if quoted {
            if byte == b'"' && bytes.next_if_eq(&b'"').is_none() {
                quoted = false;
            }
        } else if byte == b'"' && fresh {
            quoted = true;
        }
        fresh = !quoted && (byte == delimiter || matches!(byte, b'\n' | b'\r'));
    }
    quoted
}

/// Bytes of one field: more means a quote that was never closed.
const FIELD_MAX: usize = 1 << 20;
