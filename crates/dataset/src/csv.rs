//! From the bytes of a delimited text file to records of equal length.
//!
//! Owns the dialect (byte order mark, delimiter, decimal mark, header) and its detection. Must
//! never give a column a meaning: [`crate::table`] does. Called by `table` and by `init`.

mod detect;
mod sentinel;

use std::fmt;

use csv::StringRecord;
use proofmark_schema::system::DialectPins;

pub use sentinel::Sentinel;

/// What separates fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One character.
    Char(u8),
    /// Runs of blanks and tabs; there are no empty fields.
    Blanks,
}

/// What ends lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\r`
    Cr,
}

/// How a file is written, as detected or pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whether the file begins with a byte order mark.
    pub bom: bool,
    /// Delimiter.
    pub delimiter: Delimiter,
    /// Decimal mark.
    pub decimal: char,
    /// Whether the first record names the columns.
    pub header: bool,
    /// End of lines, as the first one.
    pub line_end: LineEnd,
    /// Number of columns.
    pub columns: usize,
    /// What was pinned by the declaration and not detected.
    pub pinned: Vec<&'static str>,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delimiter = match self.delimiter {
            Delimiter::Blanks => "blanks".to_owned(),
            Delimiter::Char(b'\t') => "tab".to_owned(),
            Delimiter::Char(c) => format!("`{}`", char::from(c)),
        };
        let header = if self.header { "header" } else { "no header" };
        let ends = match self.line_end {
            LineEnd::Lf => "LF",
            LineEnd::CrLf => "CRLF",
            LineEnd::Cr => "CR",
        };
        let bom = if self.bom { " with byte order mark" } else { "" };
        write!(f, "{} columns by {delimiter}, decimal `{}`, ", self.columns, self.decimal)?;
        write!(f, "{header}, UTF-8{bom}, {ends}")?;
        if !self.pinned.is_empty() {
            write!(f, " (pinned: {})", self.pinned.join(", "))?;
        }
        Ok(())
    }
}

/// What is known of a file beforehand; it makes detection surer. All may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Names of columns that the file should have.
    pub columns: &'a [&'a str],
    /// Names of columns that hold numbers.
    pub numeric: &'a [&'a str],
    /// Rows to read at most.
    pub limit: Option<usize>,
}

/// Records of a file, all of the same length, blanks around fields removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// The dialect.
    pub dialect: Dialect,
    /// Names of the columns; `column_1` and so on when nothing names them. A header may name
    /// two columns alike: [`Records::positions`] finds both.
    pub columns: Vec<String>,
    /// Whether the names stand in the file or in the declaration.
    pub named: bool,
    rows: Vec<StringRecord>,
    lines: Vec<u64>,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CsvError {
    /// No record.
    #[error("the file has no data row; export it again")]
    Empty,
    /// Over a limit.
    #[error("the file has {found} {what}, at most {limit} are read")]
    TooLarge {
        /// Bytes, columns ...
        what: &'static str,
        /// How many.
        found: usize,
        /// Limit.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the file is not UTF-8: byte {offset} on line {line}{hint}; save it as UTF-8")]
    Encoding {
        /// Offset of the first bad byte.
        offset: usize,
        /// Line of that byte, from 1.
        line: u64,
        /// What it may be.
        hint: &'static str,
    },
    /// Rows of different length.
    #[error(
        "line {line} has {found} fields, the first record has {expected} (read with {dialect}); \
         mend the line or pin `dialect`"
    )]
    Ragged {
        /// Line, from 1.
        line: u64,
        /// Fields of the line.
        found: usize,
        /// Fields of the first record.
        expected: usize,
        /// The dialect in use.
        dialect: Box<Dialect>,
    },
    /// A field is too long.
    #[error("line {line} has a field of {found} bytes, at most {limit}; is a quote left open?")]
    FieldTooLong {
        /// Line, from 1.
        line: u64,
        /// Bytes.
        found: usize,
        /// Limit.
        limit: usize,
    },
    /// The quote that opens a field never closes.
    #[error("the quote opened on line {line} is never closed")]
    OpenQuote {
        /// Line, from 1.
        line: u64,
    },
    /// A pinned list of columns that does not fit.
    #[error("`dialect.columns` names {pinned} columns, the file has {found}")]
    PinnedColumns {
        /// Pinned.
        pinned: usize,
        /// Found.
        found: usize,
    },
    /// Thousands or decimals.
    #[error(
        "`{text}` in column `{column}` may hold a decimal comma or a mark of thousands; \
         pin `dialect = {{ decimal = \",\" }}` or `\".\"`"
    )]
    AmbiguousDecimal {
        /// Column.
        column: String,
        /// Text.
        text: String,
    },
    /// A pin that cannot be used.
    #[error("`dialect.delimiter` is `{text}`; use `,`, `;`, `\\t`, `|` or `blank`")]
    BadDelimiter {
        /// Text.
        text: String,
    },
}

/// Reads a delimited file; what `pins` leaves open is detected.
///
/// # Errors
/// See [`CsvError`]; lines count from 1 and include the header.
pub fn read(bytes: &[u8], pins: &DialectPins, hints: &Hints<'_>) -> Result<Records, CsvError> {
    if bytes.len() > BYTES_MAX {
        return Err(too_large("bytes", bytes.len(), BYTES_MAX));
    }
    let text = decode(bytes)?;
    let bom = bytes.starts_with(BOM);
    if text.trim().is_empty() {
        return Err(CsvError::Empty);
    }
    let delimiter = detect::delimiter(text, pins, hints)?;
    let limit = hints.limit.map(|n| n.saturating_add(1));
    let (mut rows, mut lines) = split(text, delimiter, limit)?;
    let first = rows.first().ok_or(CsvError::Empty)?;
    let (columns_n, first) = (first.len(), first.clone());
    if columns_n > COLUMNS_MAX {
        return Err(too_large("columns", columns_n, COLUMNS_MAX));
    }
    let header = pins.header.unwrap_or_else(|| detect::has_header(&rows, pins, hints));
    let dialect = Dialect {
        bom,
        delimiter,
        decimal: pins.decimal.unwrap_or('.'),
        header,
        line_end: detect::line_end(text),
        columns: columns_n,
        pinned: pinned(pins),
    };
    check_lengths(&rows, &lines, &dialect)?;
    if header {
        rows.remove(0);
        lines.remove(0);
    }
    if let Some(limit) = hints.limit {
        rows.truncate(limit);
        lines.truncate(limit);
    }
    if rows.is_empty() {
        return Err(CsvError::Empty);
    }
    let columns = names(&first, header, pins)?;
    let named = header || pins.columns.is_some();
    let mut records = Records { dialect, columns, named, rows, lines };
    if pins.decimal.is_none() {
        records.dialect.decimal = detect::decimal(&records, hints)?;
    }
    Ok(records)
}

impl Records {
    /// Number of rows, the header not counted.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether there is no row; never true for what [`read`] returns.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// One field, or `None` past the end.
    pub fn field(&self, row: usize, column: usize) -> Option<&str> {
        self.rows.get(row)?.get(column)
    }
    /// Fields of one column, top down.
    pub fn column(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |r| r.get(column).unwrap_or_default())
    }
    /// Line of each row in the file, from 1.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }
    /// Position of the first column of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }
    /// Positions of all columns of that name.
    pub fn positions(&self, name: &str) -> Vec<usize> {
        let named = self.columns.iter().enumerate().filter(|(_, c)| *c == name);
        named.map(|(at, _)| at).collect()
    }
    /// Values that often stand for "missing" and may not be what they look like.
    pub fn sentinels(&self) -> Vec<Sentinel> {
        sentinel::find(self)
    }
    /// A field as a finite number in the decimal mark of the dialect.
    pub fn number(&self, text: &str) -> Option<f64> {
        parse_number(text, self.dialect.decimal)
    }
}

/// A finite number written with that decimal mark: no blanks, no thousands marks, no words.
pub fn parse_number(text: &str, decimal: char) -> Option<f64> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | 'e' | 'E');
    if text.len() > NUMBER_MAX || !text.chars().all(|c| plain(c) || c == decimal) {
        return None;
    }
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = if decimal == '.' {
        text.parse().ok()?
    } else {
        text.replace(decimal, ".").parse().ok()?
    };
    number.is_finite().then_some(number)
}

fn decode(bytes: &[u8]) -> Result<&str, CsvError> {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if utf16 {
        return Err(CsvError::Encoding { offset: 0, line: 1, hint: " (it is UTF-16)" });
    }
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    std::str::from_utf8(body).map_err(|error| {
        let before = body.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let offset = error.valid_up_to() + (bytes.len() - body.len());
        CsvError::Encoding { offset, line, hint: " (it may be Latin-1 or Windows-1252)" }
    })
}

/// Records with their lines, at most `limit`.
fn split(
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

fn check_lengths(rows: &[StringRecord], lines: &[u64], dialect: &Dialect) -> Result<(), CsvError> {
    let expected = dialect.columns;
    match rows.iter().zip(lines).find(|(row, _)| row.len() != expected) {
        None => Ok(()),
        Some((row, line)) => Err(CsvError::Ragged {
            line: *line,
            found: row.len(),
            expected,
            dialect: Box::new(dialect.clone()),
        }),
    }
}

fn names(first: &StringRecord, header: bool, pins: &DialectPins) -> Result<Vec<String>, CsvError> {
    match &pins.columns {
        Some(columns) if columns.len() != first.len() => {
            Err(CsvError::PinnedColumns { pinned: columns.len(), found: first.len() })
        }
        Some(columns) => Ok(columns.clone()),
        None if header => Ok(first.iter().map(str::to_owned).collect()),
        None => Ok((1..=first.len()).map(|i| format!("column_{i}")).collect()),
    }
}

fn pinned(pins: &DialectPins) -> Vec<&'static str> {
    [
        ("delimiter", pins.delimiter.is_some()),
        ("decimal", pins.decimal.is_some()),
        ("header", pins.header.is_some()),
        ("columns", pins.columns.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect()
}

fn too_large(what: &'static str, found: usize, limit: usize) -> CsvError {
    CsvError::TooLarge { what, found, limit }
}

/// Bytes of a file: its records are held in memory beside it, under 2 GiB together.
const BYTES_MAX: usize = 512 << 20;
/// Columns: wide tables are a wrong delimiter far more often than a real one.
const COLUMNS_MAX: usize = 16_384;
/// Bytes of one field: more means a quote that was never closed.
const FIELD_MAX: usize = 1 << 20;
/// Bytes of a number: longer digit strings are ids.
const NUMBER_MAX: usize = 64;
const BOM: &[u8] = &[0xef, 0xbb, 0xbf];
