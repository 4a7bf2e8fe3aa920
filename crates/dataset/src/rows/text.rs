//! Delimited text, record by record.
//!
//! Owns the bound of a record's size and the count of lines. Must never hold more than the rows
//! asked for. Called by [`super`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::StringRecord;
use proofmark_schema::system::TextEncoding;

use super::{StreamError, StreamOptions};
use crate::csv::encoding::windows_char;
use crate::csv::{self as dialects, Delimiter, Hints, LineEnd, Records};

/// Records of a file.
pub(super) struct TextRows {
    reader: Reader,
    columns: usize,
    /// Lines above the first row.
    above: u64,
}

enum Reader {
    Fields { reader: csv::Reader<Counted<Text>>, given: Arc<AtomicU64> },
    Blanks { lines: BufReader<Text>, line: u64 },
}

impl TextRows {
    /// Finds the dialect in the head of the file, and the first row.
    pub(super) fn open(
        file: File,
        head: &[u8],
        whole: bool,
        options: &StreamOptions,
    ) -> Result<(Self, Records), StreamError> {
        // A character or a record may be cut where the head ends.
        let end = if whole { None } else { head.iter().rposition(|b| *b == b'\n') };
        let sample = head.get(..end.map_or(head.len(), |at| at + 1)).unwrap_or(head);
        let names: Vec<&str> = options.columns.iter().map(String::as_str).collect();
        let hints = Hints { columns: &names, numeric: &[], limit: Some(SAMPLE_ROWS) };
        let records = dialects::read(sample, &options.pins, &hints)?;
        let dialect = &records.dialect;
        if dialect.encoding == TextEncoding::Utf16 {
            let (what, hint) = ("UTF-16", "save the file as UTF-8");
            return Err(StreamError::NotStreamed { what, hint });
        }
        if dialect.line_end == LineEnd::Cr {
            let what = "text whose lines end in a single carriage return";
            let hint = "save the file with the line ends of today";
            return Err(StreamError::NotStreamed { what, hint });
        }
        let above = records.lines().first().copied().unwrap_or(1).saturating_sub(1);
        let mut text = Text { reader: BufReader::new(file), narrow: None };
        for _ in 0..above {
            text.skip_line()?;
        }
        if dialect.encoding == TextEncoding::Windows1252 {
            text.narrow = Some(Vec::new());
        }
        let reader = match dialect.delimiter {
            Delimiter::Blanks => Reader::Blanks { lines: BufReader::new(text), line: above },
            Delimiter::Char(delimiter) => {
                let given = Arc::new(AtomicU64::new(0));
                let text = Counted { inner: text, given: Arc::clone(&given) };
                let reader = csv::ReaderBuilder::new()
                    .delimiter(delimiter)
                    .has_headers(false)
                    .flexible(true)
                    .trim(csv::Trim::All)
                    .buffer_capacity(BUFFER_BYTES)
                    .from_reader(text);
                Reader::Fields { reader, given }
            }
        };
        Ok((Self { reader, columns: dialect.columns, above }, records))
    }

    /// At most `n` records and their lines, fewer where they are long; none at the end.
    pub(super) fn next(&mut self, n: usize) -> Result<(Vec<StringRecord>, Vec<u64>), StreamError> {
        let (mut rows, mut lines) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut held = 0;
        while rows.len() < n && held < BATCH_BYTES {
            let Some((row, line)) = self.record()? else { break };
            held += row.as_slice().len() + END_BYTES * row.len();
            if row.len() != self.columns {
                let (found, expected) = (row.len(), self.columns);
                let reason = format!("{found} fields, the first record has {expected}");
                return Err(StreamError::Line { line, reason });
            }
            rows.push(row);
            lines.push(line);
        }
        Ok((rows, lines))
    }

    fn record(&mut self) -> Result<Option<(StringRecord, u64)>, StreamError> {
        match &mut self.reader {
            Reader::Fields { reader, given } => {
                given.store(0, Ordering::Relaxed);
                let mut record = StringRecord::new();
                let more = reader.read_record(&mut record);
                let at = record.position().or(Some(reader.position()).filter(|_| more.is_err()));
                let line = self.above + at.map_or(0, csv::Position::line);
                match more {
                    Ok(true) => Ok(Some((record, line))),
                    Ok(false) => Ok(None),
                    Err(error) => Err(StreamError::Line { line, reason: words(&error) }),
                }
            }
            Reader::Blanks { lines, line } => loop {
                let mut bytes = Vec::new();
                *line += 1;
                let bad = |reason: String| StreamError::Line { line: *line, reason };
                let mut limited = (&mut *lines).take(RECORD_BYTES_MAX);
                let read = limited.read_until(b'\n', &mut bytes).map_err(|e| bad(e.to_string()))?;
                if read == 0 {
                    return Ok(None);
                }
                if read as u64 == RECORD_BYTES_MAX {
                    return Err(bad(TOO_LONG.into()));
                }
                let text = std::str::from_utf8(&bytes).map_err(|_| bad(NOT_UTF8.into()))?;
                if !text.trim().is_empty() {
                    return Ok(Some((text.split_ascii_whitespace().collect(), *line)));
                }
            },
        }
    }
}

fn words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => NOT_UTF8.into(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// The bytes of a file as UTF-8.
struct Text {
    reader: BufReader<File>,
    /// What was decoded of Windows-1252 and not yet given, last byte first.
    narrow: Option<Vec<u8>>,
}

impl Text {
    fn skip_line(&mut self) -> Result<(), StreamError> {
        let mut limited = (&mut self.reader).take(RECORD_BYTES_MAX);
        let skipped = limited.skip_until(b'\n').map_err(|e| StreamError::Io(e.to_string()))?;
        if skipped as u64 == RECORD_BYTES_MAX {
            return Err(StreamError::Line { line: 1, reason: TOO_LONG.into() });
        }
        Ok(())
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(held) = &mut self.narrow else { return self.reader.read(buffer) };
        if held.is_empty() {
            let bytes = self.reader.fill_buf()?;
            let n = bytes.len();
            for byte in bytes.iter().rev() {
                let c = windows_char(*byte).ok_or_else(|| {
                    std::io::Error::other("a byte that Windows-1252 does not have")
                })?;
                let mut utf8 = [0u8; 4];
                held.extend(c.encode_utf8(&mut utf8).bytes().rev());
            }
            self.reader.consume(n);
        }
        let n = held.len().min(buffer.len());
        for slot in buffer.iter_mut().take(n) {
            *slot = held.pop().unwrap_or_default();
        }
        Ok(n)
    }
}

/// Stops a record that does not end: a quote that was never closed would take the whole file.
struct Counted<R> {
    inner: R,
    /// Bytes given since the last record.
    given: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if self.given.fetch_add(n as u64, Ordering::Relaxed) > RECORD_BYTES_MAX {
            return Err(std::io::Error::other(TOO_LONG));
        }
        Ok(n)
    }
}

const TOO_LONG: &str = "the record has over 16 MiB; is a quote left open?";
const NOT_UTF8: &str = "a byte that is no UTF-8; if the file is Windows-1252, say so \
                        (--encoding windows-1252)";
/// Bytes of a record: 16,384 columns of a kilobyte.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the records of a batch, with one record as the least: several are under way.
const BATCH_BYTES: usize = 64 << 20;
/// Memory of a field beside its bytes.
const END_BYTES: usize = 8;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Rows that settle delimiter, header and decimal mark.
const SAMPLE_ROWS: usize = 500;
