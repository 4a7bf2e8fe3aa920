//! Rows of typed containers: Parquet, Arrow IPC and JSON lines, as batches of plain columns.
//!
//! Owns which container the bytes are and what its types become: numbers stay exact, nulls and
//! NaN are missing, dates and times are ISO text, nested columns are named and not read. Must
//! never give a column a meaning. The readers of others that are called here may fail in ways of
//! their own: limits come first, and a panic of theirs ends as an error. Called by
//! [`crate::csv::read`] for declared data and by [`crate::rows`] for streams.

mod arrays;
mod footer;
mod ipc;
mod jsonl;
mod pages;
mod parquet;
mod slices;

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proofmark_schema::system::DataFormat;

/// A batch of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Rows.
    pub n: usize,
    /// Columns, in the order of the file.
    pub columns: Vec<FrameColumn>,
}

/// One column of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameColumn {
    /// Name.
    pub name: String,
    /// Cells, one per row.
    pub cells: FrameCells,
}

/// Cells of a column as the container types them.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameCells {
    /// Whole numbers of at most 64 bits.
    Whole(Vec<Option<i64>>),
    /// Floats, widened exactly; NaN where missing.
    Real(Vec<f64>),
    /// Truth values.
    Truth(Vec<Option<bool>>),
    /// Texts, decimals, dates and times, and whole numbers beyond 64 bits.
    Text(Vec<Option<String>>),
    /// A column that has no cells in a table, and what it holds instead.
    Unread(String),
}

/// Why a typed container could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnarError {
    /// The bytes are not what the declaration says.
    #[error("`format = \"{pinned}\"` is declared, but the bytes are those of {found}")]
    Pinned {
        /// Declared.
        pinned: &'static str,
        /// Found.
        found: &'static str,
    },
    /// Not readable.
    #[error("this {container} file cannot be read: {reason}")]
    Unreadable {
        /// Container.
        container: &'static str,
        /// The words of its reader.
        reason: String,
    },
    /// Its reader failed an internal check.
    #[error(
        "the reader of {container} files stopped at an inner check on these bytes; \
         the file is damaged or made to do harm: write it again or export it as CSV"
    )]
    Stopped {
        /// Container.
        container: &'static str,
    },
    /// A relative of the container that is not read.
    #[error("{found} is not read; {hint}")]
    Refused {
        /// What it is.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Over a limit.
    #[error("the file has {found} {what}, at most {limit} are read; take a sample of it")]
    TooLarge {
        /// Rows, columns ...
        what: &'static str,
        /// How many.
        found: u64,
        /// Limit.
        limit: u64,
    },
    /// More of the file at once than is held.
    #[error("{what} take {found} bytes in memory at once, at most {limit} are held; {hint}")]
    Heavy {
        /// Pages, a batch ...
        what: &'static str,
        /// Bytes.
        found: u64,
        /// Limit.
        limit: u64,
        /// What to do.
        hint: &'static str,
    },
    /// Two columns of one name.
    #[error("the file names column `{name}` twice; rename one of them")]
    ColumnTwice {
        /// Name.
        name: String,
    },
    /// A line that is no object.
    #[error("line {line}: {reason}")]
    Line {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// No row.
    #[error("the file has no data row; export it again")]
    Empty,
}

/// What a file holds, by its first bytes; `None` for delimited text.
///
/// # Errors
/// Relatives that are not read, and a `pin` that the bytes contradict.
pub fn container(
    head: &[u8],
    pin: Option<DataFormat>,
) -> Result<Option<DataFormat>, ColumnarError> {
    let found = sniff(head)?;
    let told = found.map_or("delimited text", words);
    match pin {
        None | Some(DataFormat::Images) => Ok(found),
        // A text may begin with a brace; whoever says that it is CSV is believed.
        Some(DataFormat::Csv) if matches!(found, None | Some(DataFormat::Jsonl)) => Ok(None),
        Some(pin) if Some(pin) == found => Ok(found),
        Some(pin) => Err(ColumnarError::Pinned { pinned: name(pin), found: told }),
    }
}

/// All rows of a file in memory, at most `limit`, as one batch, and the line of each row (rows
/// are counted where a container has no lines).
///
/// # Errors
/// See [`ColumnarError`].
pub fn read(
    bytes: &[u8],
    format: DataFormat,
    limit: Option<usize>,
) -> Result<(Frame, Vec<u64>), ColumnarError> {
    let limit = limit.unwrap_or(usize::MAX);
    if format == DataFormat::Jsonl {
        return jsonl::read(bytes, limit);
    }
    let mut batches = guarded(format, || match format {
        DataFormat::Parquet => parquet::of_bytes(bytes),
        _ => ipc::of_bytes(bytes),
    })?;
    let mut whole: Option<Frame> = None;
    let mut held = 0;
    while let Some(mut frame) = batches.advance()? {
        let left = limit - whole.as_ref().map_or(0, |w| w.n);
        frame.truncate(left);
        held += frame.weight();
        if held > HELD_BYTES_MAX {
            let (found, limit) = (held as u64, HELD_BYTES_MAX as u64);
            return Err(ColumnarError::TooLarge { what: "bytes of cells", found, limit });
        }
        match &mut whole {
            None => whole = Some(frame),
            Some(whole) => whole.append(frame),
        }
        if whole.as_ref().is_some_and(|w| w.n >= limit) {
            break;
        }
    }
    let frame = whole.filter(|w| w.n > 0).ok_or(ColumnarError::Empty)?;
    let lines = (1..=frame.n as u64).collect();
    Ok((frame, lines))
}

/// Batches of a file that is read as it is needed.
///
/// # Errors
/// See [`ColumnarError`].
pub fn stream(file: File, format: DataFormat, wanted: &[String]) -> Result<Batches, ColumnarError> {
    guarded(format, || match format {
        DataFormat::Parquet => parquet::of_file(file, wanted),
        DataFormat::Jsonl => jsonl::of_file(BufReader::new(file), wanted),
        _ => ipc::of_file(file),
    })
}

/// Rows in batches.
pub struct Batches {
    format: DataFormat,
    columns: Vec<String>,
    rows: Option<u64>,
    next: Next,
}

/// Gives the next batch; `None` at the end.
type Next = Box<dyn FnMut() -> Result<Option<Frame>, ColumnarError> + Send>;

impl Batches {
    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }
    /// Rows, where the container says.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }
    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// See [`ColumnarError`].
    pub fn advance(&mut self) -> Result<Option<Frame>, ColumnarError> {
        guarded(self.format, || (self.next)())
    }
}

impl Frame {
    fn truncate(&mut self, n: usize) {
        self.n = self.n.min(n);
        for column in &mut self.columns {
            match &mut column.cells {
                FrameCells::Whole(c) => c.truncate(n),
                FrameCells::Real(c) => c.truncate(n),
                FrameCells::Truth(c) => c.truncate(n),
                FrameCells::Text(c) => c.truncate(n),
                FrameCells::Unread(_) => {}
            }
        }
    }

    /// Puts the rows of `other`, which is of the same file, behind these.
    fn append(&mut self, other: Self) {
        self.n += other.n;
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.cells.append(more.cells);
        }
    }

    /// Bytes that the cells take in memory, about.
    fn weight(&self) -> usize {
        let weigh = |cells: &FrameCells| match cells {
            FrameCells::Whole(c) => c.len() * 16,
            FrameCells::Real(c) => c.len() * 8,
            FrameCells::Truth(c) => c.len(),
            FrameCells::Text(c) => {
                c.iter().map(|t| TEXT_BYTES + t.as_ref().map_or(0, String::len)).sum()
            }
            FrameCells::Unread(_) => 0,
        };
        self.columns.iter().map(|c| weigh(&c.cells)).sum()
    }
}

impl FrameCells {
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Whole(a), Self::Whole(b)) => a.extend(b),
            (Self::Real(a), Self::Real(b)) => a.extend(b),
            (Self::Truth(a), Self::Truth(b)) => a.extend(b),
            (Self::Text(a), Self::Text(b)) => a.extend(b),
            (Self::Unread(_), _) => {}
            // Whole numbers of one batch may pass 64 bits, those of another not.
            (this, more) => {
                let mut texts = std::mem::replace(this, Self::Unread(String::new())).into_texts();
                texts.extend(more.into_texts());
                *this = Self::Text(texts);
            }
        }
    }

    /// Cells as text: numbers in the shortest form that reads back the same.
    pub fn into_texts(self) -> Vec<Option<String>> {
        match self {
            Self::Whole(c) => c.into_iter().map(|v| v.map(|v| v.to_string())).collect(),
            Self::Real(c) => {
                c.into_iter().map(|v| (!v.is_nan()).then(|| format!("{v:?}"))).collect()
            }
            Self::Truth(c) => c.into_iter().map(|v| v.map(|v| v.to_string())).collect(),
            Self::Text(c) => c,
            Self::Unread(_) => Vec::new(),
        }
    }
}

/// Runs a reader of others; a panic of it becomes an error.
fn guarded<T>(
    format: DataFormat,
    read: impl FnOnce() -> Result<T, ColumnarError>,
) -> Result<T, ColumnarError> {
    // Nothing of a reader that panicked is used again: callers stop at the first error.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or(Err(ColumnarError::Stopped { container: words(format) }))
}

fn sniff(head: &[u8]) -> Result<Option<DataFormat>, ColumnarError> {
    let refuse = |found, hint| Err(ColumnarError::Refused { found, hint });
    if head.starts_with(b"PAR1") {
        return Ok(Some(DataFormat::Parquet));
    }
    // A stream begins with a mark, then the length of the schema.
    if head.starts_with(b"ARROW1") || head.starts_with(&[0xff, 0xff, 0xff, 0xff]) {
        return Ok(Some(DataFormat::Arrow));
    }
    if head.starts_with(b"PARE") {
        return refuse("an encrypted Parquet file", "write it without encryption");
    }
    if head.starts_with(b"FEA1") {
        return refuse("Feather of version 1", "write version 2, which is Arrow IPC");
    }
    if head.starts_with(b"PK\x03\x04") {
        let hint = "save the sheet as CSV, Parquet or JSON lines";
        return refuse("a zip archive (a spreadsheet?)", hint);
    }
    let text = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head).trim_ascii_start();
    let mut marks = text.iter().filter(|b| !b.is_ascii_whitespace());
    match (marks.next(), marks.next()) {
        (Some(b'{'), Some(b'"' | b'}')) => Ok(Some(DataFormat::Jsonl)),
        (Some(b'['), Some(b'{')) => refuse(
            "a JSON list",
            "write one object per line (pandas: `to_json(path, orient=\"records\", lines=True)`)",
        ),
        _ => Ok(None),
    }
}

/// The container for people.
pub fn words(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Csv => "delimited text",
        DataFormat::Parquet => "Parquet",
        DataFormat::Arrow => "Arrow IPC",
        DataFormat::Jsonl => "JSON lines",
        DataFormat::Images => "images",
    }
}

fn name(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Csv => "csv",
        DataFormat::Parquet => "parquet",
        DataFormat::Arrow => "arrow",
        DataFormat::Jsonl => "jsonl",
        DataFormat::Images => "images",
    }
}

/// Refuses tables that are wider than any real one, and names that stand twice.
fn check_names(names: &[String]) -> Result<(), ColumnarError> {
    if names.len() > COLUMNS_MAX {
        let (found, limit) = (names.len() as u64, COLUMNS_MAX as u64);
        return Err(ColumnarError::TooLarge { what: "columns", found, limit });
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find_map(|w| if let [a, b] = w { (a == b).then_some(*a) } else { None })
    {
        Some(name) => Err(ColumnarError::ColumnTwice { name: name.clone() }),
        None => Ok(()),
    }
}

/// Columns: as for text.
const COLUMNS_MAX: usize = 16_384;
/// Rows of a batch of that many columns.
fn batch_rows(columns: usize) -> usize {
    (BATCH_CELLS / columns.max(1)).clamp(1, BATCH_ROWS)
}

/// Rows of a batch: enough to hide the cost of a call.
const BATCH_ROWS: usize = 8_192;
/// Cells of a batch: a hundred megabytes at most, so that several batches may be under way.
const BATCH_CELLS: usize = 4 << 20;
/// Bytes of texts in a batch, with one row as the least: for the same reason.
const BATCH_TEXT_BYTES: usize = 64 << 20;
/// Bytes of cells held at once: the records made of them are as large again, under 2 GiB.
const HELD_BYTES_MAX: usize = 768 << 20;
/// Memory of a text beside its bytes.
const TEXT_BYTES: usize = 24;
