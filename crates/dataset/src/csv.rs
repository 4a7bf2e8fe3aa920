//! From the bytes of a table to records of equal length.
//!
//! Owns the dialect of delimited text (encoding, lines above, delimiter, decimal mark, marks of
//! thousands, header) and its detection; files of typed containers give the same records by way
//! of [`crate::columnar`]. Must never give a column a meaning: [`crate::table`] does. Called by
//! `table` and by `init`.

mod detect;
pub(crate) mod encoding;
mod numbers;
mod preamble;
mod sentinel;
mod split;

use std::borrow::Cow;
use std::fmt;

use csv::StringRecord;
use proofmark_schema::system::{DataFormat, DialectPins, TextEncoding};

use crate::columnar::{self, ColumnarError, Frame, FrameCells};
use encoding::Decoded;
pub(crate) use numbers::parse_grouped;
pub use numbers::parse_number;
pub use sentinel::Sentinel;
use split::split;

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
    /// Container; only [`DataFormat::Csv`] has the rest of a dialect.
    pub container: DataFormat,
    /// Encoding of the text.
    pub encoding: TextEncoding,
    /// Whether the encoding is a guess, because the text is not UTF-8.
    pub assumed: bool,
    /// Lines above the table that are comments or titles.
    pub skipped: usize,
    /// Columns whose numbers have marks between thousands, with the mark.
    pub thousands: Vec<(String, char)>,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.container != DataFormat::Csv {
            return write!(f, "{} columns of {}", self.columns, columnar::words(self.container));
        }
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
        let encoding = match self.encoding {
            TextEncoding::Utf8 => "UTF-8",
            TextEncoding::Utf16 => "UTF-16",
            TextEncoding::Windows1252 if self.assumed => "Windows-1252 (assumed: not UTF-8)",
            TextEncoding::Windows1252 => "Windows-1252",
        };
        let bom = if self.bom { " with byte order mark" } else { "" };
        write!(f, "{} columns by {delimiter}, decimal `{}`, ", self.columns, self.decimal)?;
        write!(f, "{header}, {encoding}{bom}, {ends}")?;
        if self.skipped > 0 {
            let lines = if self.skipped == 1 { "line" } else { "lines" };
            write!(f, ", {} {lines} above left out", self.skipped)?;
        }
        for (column, mark) in &self.thousands {
            write!(f, ", thousands `{mark}` in `{column}`")?;
        }
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
    /// What is known of each column beside its texts; empty for delimited text.
    facts: Vec<ColumnFacts>,
    /// Mark of thousands per column.
    marks: Vec<Option<char>>,
}

/// What a typed container says of a column.
#[derive(Clone, Debug, Default, PartialEq)]
struct ColumnFacts {
    /// Rows that have no value; empty when all have one.
    absent: Vec<bool>,
    /// Whether the cells are truth values.
    truth: bool,
    /// What the column holds when it cannot be read.
    unread: Option<String>,
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
         mend the line, or remove it if it is a title or a sum; a wrong dialect is pinned by \
         `dialect`"
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
        "`{text}` in column `{column}` may hold a decimal mark or a mark of thousands; pin {}",
        either(.text)
    )]
    AmbiguousDecimal {
        /// Column.
        column: String,
        /// Text.
        text: String,
    },
    /// A zero byte, which no text has.
    #[error("line {line} holds a NUL character; {hint}")]
    Nul {
        /// Line, from 1.
        line: u64,
        /// What it may be.
        hint: &'static str,
    },
    /// A typed container that cannot be read.
    #[error(transparent)]
    Columnar(#[from] ColumnarError),
    /// A pin that cannot be used.
    #[error("`dialect.delimiter` is `{text}`; use `,`, `;`, `\\t`, `|` or `blank`")]
    BadDelimiter {
        /// Text.
        text: String,
    },
}

/// Reads a table: delimited text, of which `pins` leaves open what is detected, or Parquet, Arrow
/// IPC or JSON lines, told by the bytes.
///
/// # Errors
/// See [`CsvError`]; lines count from 1 and include the header.
pub fn read(bytes: &[u8], pins: &DialectPins, hints: &Hints<'_>) -> Result<Records, CsvError> {
    if bytes.len() > BYTES_MAX {
        return Err(too_large("bytes", bytes.len(), BYTES_MAX));
    }
    if let Some(format) = columnar::container(bytes, pins.format)? {
        let (frame, lines) = columnar::read(bytes, format, hints.limit)?;
        return Ok(of_frame(frame, lines, format));
    }
    let decoded = encoding::decode(bytes, pins.encoding)?;
    if decoded.text.trim().is_empty() {
        return Err(CsvError::Empty);
    }
    let Split { mut rows, mut lines, delimiter, skipped } = cut(&decoded, pins, hints)?;
    let first = rows.first().ok_or(CsvError::Empty)?;
    let (columns_n, first) = (first.len(), first.clone());
    if columns_n > COLUMNS_MAX {
        return Err(too_large("columns", columns_n, COLUMNS_MAX));
    }
    let header = pins.header.unwrap_or_else(|| detect::has_header(&rows, pins, hints));
    let dialect = Dialect {
        bom: decoded.bom,
        delimiter,
        decimal: pins.decimal.unwrap_or('.'),
        header,
        line_end: detect::line_end(&decoded.text),
        columns: columns_n,
        pinned: pinned(pins),
        container: DataFormat::Csv,
        encoding: decoded.encoding,
        assumed: decoded.assumed,
        skipped,
        thousands: Vec::new(),
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
    let marks = vec![pins.thousands; columns_n];
    let facts = Vec::new();
    let mut records = Records { dialect, columns, named, rows, lines, facts, marks };
    if pins.decimal.is_none() {
        records.dialect.decimal = numbers::decimal(&records, hints)?;
    }
    if pins.thousands.is_none() {
        records.marks = numbers::grouped(&records, hints);
        let named = records.columns.iter().zip(&records.marks);
        records.dialect.thousands =
            named.filter_map(|(name, mark)| mark.map(|mark| (name.clone(), mark))).collect();
    }
    Ok(records)
}

/// Records of a text, with what was found on the way.
struct Split {
    rows: Vec<StringRecord>,
    lines: Vec<u64>,
    delimiter: Delimiter,
    skipped: usize,
}

/// Cuts text into records, below what stands above the table.
fn cut(decoded: &Decoded<'_>, pins: &DialectPins, hints: &Hints<'_>) -> Result<Split, CsvError> {
    let text: &str = &decoded.text;
    let named = preamble::separator(text);
    let (text, mut skipped) = named.map_or((text, 0), |(_, below)| (below, 1));
    let (body, comments) = preamble::uncommented(text);
    let delimiter = match named {
        Some((delimiter, _)) if pins.delimiter.is_none() => delimiter,
        _ => detect::delimiter(body, pins, hints)?,
    };
    let (text, comments) = preamble::below_comments(text, comments, delimiter);
    skipped += comments;
    let text: Cow<'_, str> = preamble::tightened(text, delimiter);
    let limit = hints.limit.map(|n| n.saturating_add(1 + preamble::LINES_MAX));
    let (mut rows, mut lines) = split(&text, delimiter, limit)?;
    let above = skipped as u64;
    lines.iter_mut().for_each(|line| *line += above);
    let titles = if pins.header == Some(false) { 0 } else { preamble::titles(&rows, hints) };
    rows.drain(..titles);
    lines.drain(..titles);
    if let Some(limit) = hints.limit {
        rows.truncate(limit.saturating_add(1));
        lines.truncate(limit.saturating_add(1));
    }
    Ok(Split { rows, lines, delimiter, skipped: skipped + titles })
}

/// The records of a typed container: every cell as its text.
fn of_frame(frame: Frame, lines: Vec<u64>, container: DataFormat) -> Records {
    let mut facts = Vec::with_capacity(frame.columns.len());
    let mut names = Vec::with_capacity(frame.columns.len());
    let mut cells = Vec::with_capacity(frame.columns.len());
    for column in frame.columns {
        names.push(column.name);
        let truth = matches!(column.cells, FrameCells::Truth(_));
        let unread = match &column.cells {
            FrameCells::Unread(what) => Some(what.clone()),
            _ => None,
        };
        let texts = column.cells.into_texts();
        let any = texts.iter().any(Option::is_none);
        let absent = if any { texts.iter().map(Option::is_none).collect() } else { Vec::new() };
        facts.push(ColumnFacts { absent, truth, unread });
        cells.push(texts.into_iter());
    }
    let mut rows = Vec::with_capacity(frame.n);
    for _ in 0..frame.n {
        let mut row = StringRecord::new();
        for column in &mut cells {
            let text = column.next().flatten().unwrap_or_default();
            // As around the fields of delimited text: the same row is the same row.
            row.push_field(text.trim());
        }
        rows.push(row);
    }
    let dialect = Dialect {
        bom: false,
        delimiter: Delimiter::Char(b','),
        decimal: '.',
        header: true,
        line_end: LineEnd::Lf,
        columns: names.len(),
        pinned: Vec::new(),
        container,
        encoding: TextEncoding::Utf8,
        assumed: false,
        skipped: 0,
        thousands: Vec::new(),
    };
    let marks = Vec::new();
    Records { dialect, columns: names, named: true, rows, lines, facts, marks }
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
    /// Whether a cell of a typed container is null. Delimited text has no nulls, only texts that
    /// a declaration may call missing.
    pub fn is_absent(&self, row: usize, column: usize) -> bool {
        self.facts.get(column).is_some_and(|f| f.absent.get(row).copied().unwrap_or(false))
    }
    /// Whether no field of a row holds anything.
    pub fn is_blank(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|r| r.iter().all(str::is_empty))
    }
    /// Whether a column has neither a name nor a value, as a delimiter at the end of every line
    /// makes one.
    pub fn is_void(&self, column: usize) -> bool {
        let name = self.columns.get(column).map_or("", String::as_str);
        (name.is_empty() || name.starts_with("Unnamed: ")) && self.column(column).all(str::is_empty)
    }
    /// Whether a column of a typed container holds truth values.
    pub fn is_truth(&self, column: usize) -> bool {
        self.facts.get(column).is_some_and(|f| f.truth)
    }
    /// What a column holds that has no cells in a table, such as lists.
    pub fn unread(&self, column: usize) -> Option<&str> {
        self.facts.get(column)?.unread.as_deref()
    }
    /// Fields of a column that are not null.
    pub fn present(&self, column: usize) -> impl Iterator<Item = &str> {
        let rows = self.column(column).enumerate();
        rows.filter(move |(row, _)| !self.is_absent(*row, column)).map(|(_, field)| field)
    }
    /// A field as a finite number in the decimal mark of the dialect.
    pub fn number(&self, text: &str) -> Option<f64> {
        parse_number(text, self.dialect.decimal)
    }
    /// A field of that column as a finite number, with its mark of thousands.
    pub fn number_in(&self, column: usize, text: &str) -> Option<f64> {
        match self.marks.get(column).copied().flatten() {
            Some(mark) => parse_grouped(text, self.dialect.decimal, mark),
            None => self.number(text),
        }
    }
}

/// Whether a text is a code of digits with a leading zero, such as a postcode.
pub fn is_code(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
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
        ("encoding", pins.encoding.is_some()),
        ("thousands", pins.thousands.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect()
}

/// The two pins that a number with one mark leaves open.
fn either(text: &str) -> String {
    let (own, other) = if text.contains('.') { ('.', ',') } else { (',', '.') };
    format!(
        "`dialect = {{ decimal = \"{own}\" }}` or \
         `dialect = {{ decimal = \"{other}\", thousands = \"{own}\" }}`"
    )
}

fn too_large(what: &'static str, found: usize, limit: usize) -> CsvError {
    CsvError::TooLarge { what, found, limit }
}

/// Bytes of a file: its records are held in memory beside it, under 2 GiB together.
const BYTES_MAX: usize = 512 << 20;
/// Columns: wide tables are a wrong delimiter far more often than a real one.
const COLUMNS_MAX: usize = 16_384;
const BOM: &[u8] = &[0xef, 0xbb, 0xbf];
