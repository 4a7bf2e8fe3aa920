//! Rows of a table that is read as it is needed, typed for the inputs of a model.
//!
//! Owns the road from an open file to batches of typed columns in bounded memory. What only a
//! look at a whole file can settle (marks of thousands, an index) is not guessed here: it is
//! pinned or refused by line. Must never open a file. Called by `proofmark model run`.

mod text;

use std::fs::File;
use std::io::{Read, Seek};

use proofmark_schema::system::{DialectPins, Feature, FeatureKind};

use crate::columnar::{self, Batches, ColumnarError, Frame, FrameCells};
use crate::csv::{self, CsvError, parse_number};
use crate::table::{Cells, Column};
use text::TextRows;

/// How a stream is read.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    /// Names of columns that the file should have; helps to find a header, and names the keys of
    /// JSON lines that are read.
    pub columns: Vec<String>,
    /// Pins of the dialect and the container.
    pub pins: DialectPins,
    /// Texts that mean missing.
    pub missing: Vec<String>,
}

/// A table being read.
pub struct RowStream {
    names: Vec<String>,
    told: String,
    rows: Option<u64>,
    source: Source,
    numbers: Numbers,
}

enum Source {
    Text(Box<TextRows>),
    Typed { batches: Batches, row: u64 },
}

/// Rows as they were read, to be typed by any thread.
pub struct RawRows {
    cells: RawCells,
    /// Line of each row, from 1; rows are counted where a container has no lines.
    lines: Vec<u64>,
}

enum RawCells {
    Text(Vec<::csv::StringRecord>),
    Typed(Frame),
}

/// Which columns become which features, and how.
#[derive(Clone, Debug)]
pub struct Typing {
    columns: Vec<(usize, Feature)>,
    missing: Vec<String>,
    numbers: Numbers,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    decimal: char,
    thousands: Option<char>,
}

/// Why a stream could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StreamError {
    /// The head of the file is not readable as records.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A typed container cannot be read.
    #[error(transparent)]
    Columnar(#[from] ColumnarError),
    /// The file cannot be read on.
    #[error("the file cannot be read: {0}")]
    Io(String),
    /// A dialect that is read as a whole only.
    #[error("{what} is not read in a stream; {hint}")]
    NotStreamed {
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A line that is no record of the table.
    #[error("line {line}: {reason}")]
    Line {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A column that the file does not have.
    #[error("the file has no column `{name}`; it has {known}")]
    ColumnMissing {
        /// Name.
        name: String,
        /// What is there.
        known: String,
    },
    /// A column without cells.
    #[error("column `{name}` holds {what}, of which a table has no cells")]
    Nested {
        /// Name.
        name: String,
        /// What it holds.
        what: String,
    },
    /// A cell of the wrong type.
    #[error(
        "line {line}, column `{column}`: `{text}` is not {expected}; mend it, or say how numbers \
         and missing values are written (--decimal, --thousands, --missing)"
    )]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// Text.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl RowStream {
    /// Looks at the head of the file and gets ready to read it from its first row.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn open(mut file: File, options: &StreamOptions) -> Result<Self, StreamError> {
        let mut head = Vec::new();
        let io = |e: std::io::Error| StreamError::Io(e.to_string());
        (&mut file).take(HEAD_BYTES).read_to_end(&mut head).map_err(io)?;
        let whole = (head.len() as u64) < HEAD_BYTES;
        file.rewind().map_err(io)?;
        let pins = &options.pins;
        let numbers = |decimal| Numbers { decimal, thousands: pins.thousands };
        if let Some(format) = columnar::container(&head, pins.format)? {
            let batches = columnar::stream(file, format, &options.columns)?;
            return Ok(Self {
                names: batches.columns().to_vec(),
                told: format!("{} columns of {}", batches.columns().len(), columnar::words(format)),
                rows: batches.rows(),
                source: Source::Typed { batches, row: 0 },
                numbers: numbers('.'),
            });
        }
        let (text, records) = TextRows::open(file, &head, whole, options)?;
        Ok(Self {
            told: records.dialect.to_string(),
            rows: None,
            numbers: numbers(records.dialect.decimal),
            names: records.columns,
            source: Source::Text(Box::new(text)),
        })
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// How the file is read, in one line.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Rows, where the container says.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Finds the column of every feature.
    ///
    /// # Errors
    /// [`StreamError::ColumnMissing`].
    pub fn typing(&self, features: &[Feature], missing: &[String]) -> Result<Typing, StreamError> {
        let find = |feature: &Feature| {
            let at = self.names.iter().position(|n| *n == feature.name);
            at.map(|at| (at, feature.clone())).ok_or_else(|| StreamError::ColumnMissing {
                name: feature.name.clone(),
                known: known(&self.names),
            })
        };
        let columns = features.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Typing { columns, missing: missing.to_vec(), numbers: self.numbers })
    }

    /// The next rows, some thousands; `None` at the end.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn advance(&mut self) -> Result<Option<RawRows>, StreamError> {
        match &mut self.source {
            Source::Text(text) => {
                let (rows, lines) = text.next(BATCH_ROWS)?;
                let cells = RawCells::Text(rows);
                Ok((!lines.is_empty()).then_some(RawRows { cells, lines }))
            }
            Source::Typed { batches, row } => loop {
                let Some(frame) = batches.advance()? else { return Ok(None) };
                if frame.n == 0 {
                    continue;
                }
                let lines = (*row + 1..=*row + frame.n as u64).collect();
                *row += frame.n as u64;
                return Ok(Some(RawRows { cells: RawCells::Typed(frame), lines }));
            },
        }
    }
}

impl RawRows {
    /// Rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    /// Whether there is no row; never true for what a stream gives.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
    /// Line of each row.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }
}

impl Typing {
    /// The columns of the features, in their order.
    ///
    /// # Errors
    /// [`StreamError::Cell`] and [`StreamError::Nested`].
    pub fn columns(&self, rows: &RawRows) -> Result<Vec<Column>, StreamError> {
        let typed = self.columns.iter().map(|(at, feature)| {
            let cells = match &rows.cells {
                RawCells::Text(records) => self.of_text(records, *at, feature, &rows.lines)?,
                RawCells::Typed(frame) => self.of_frame(frame, *at, feature, &rows.lines)?,
            };
            Ok(Column { name: feature.name.clone(), kind: feature.kind, cells })
        });
        typed.collect()
    }

    fn of_text(
        &self,
        records: &[::csv::StringRecord],
        at: usize,
        feature: &Feature,
        lines: &[u64],
    ) -> Result<Cells, StreamError> {
        let fields = records.iter().map(|r| Some(r.get(at).unwrap_or_default()));
        self.texts(fields, feature, lines)
    }

    fn of_frame(
        &self,
        frame: &Frame,
        at: usize,
        feature: &Feature,
        lines: &[u64],
    ) -> Result<Cells, StreamError> {
        let nothing = FrameCells::Unread(String::new());
        let cells = frame.columns.get(at).map_or(&nothing, |c| &c.cells);
        let numeric = feature.kind.is_numeric();
        match cells {
            FrameCells::Unread(what) => {
                Err(StreamError::Nested { name: feature.name.clone(), what: what.clone() })
            }
            FrameCells::Real(numbers) if numeric => Ok(Cells::Numbers(numbers.clone())),
            FrameCells::Truth(truths) if numeric => {
                let number = |t: &Option<bool>| t.map_or(f64::NAN, |t| f64::from(u8::from(t)));
                Ok(Cells::Numbers(truths.iter().map(number).collect()))
            }
            FrameCells::Whole(numbers) if numeric => {
                let exact = |(row, number): (usize, &Option<i64>)| match number {
                    None => Ok(f64::NAN),
                    Some(n) if n.unsigned_abs() <= EXACT_MAX => Ok(*n as f64),
                    Some(n) => {
                        let expected = "a whole number that a 64-bit float holds";
                        Err(wrong(feature, lines, row, &n.to_string(), expected))
                    }
                };
                numbers.iter().enumerate().map(exact).collect::<Result<_, _>>().map(Cells::Numbers)
            }
            FrameCells::Text(texts) => {
                self.texts(texts.iter().map(|t| t.as_deref().map(str::trim)), feature, lines)
            }
            other => {
                let texts = other.clone().into_texts();
                self.texts(texts.iter().map(Option::as_deref), feature, lines)
            }
        }
    }

    /// Types texts; `None` is missing whatever the options say.
    fn texts<'t>(
        &self,
        fields: impl Iterator<Item = Option<&'t str>>,
        feature: &Feature,
        lines: &[u64],
    ) -> Result<Cells, StreamError> {
        let missing = |text: &str| self.missing.iter().any(|m| m == text);
        let fields = fields.map(|field| field.filter(|f| !missing(f)));
        let Numbers { decimal, thousands } = self.numbers;
        match feature.kind {
            FeatureKind::Number | FeatureKind::Integer => {
                let number = |(row, field): (usize, Option<&str>)| {
                    let Some(text) = field else { return Ok(f64::NAN) };
                    let parsed = match thousands {
                        Some(mark) => csv::parse_grouped(text, decimal, mark),
                        None => parse_number(text, decimal),
                    };
                    parsed.ok_or_else(|| wrong(feature, lines, row, text, "a number"))
                };
                fields.enumerate().map(number).collect::<Result<_, _>>().map(Cells::Numbers)
            }
            FeatureKind::Boolean => {
                let truth = |(row, field): (usize, Option<&str>)| {
                    let Some(text) = field else { return Ok(None) };
                    let truth = match text {
                        "1" => true,
                        "0" => false,
                        t if t.eq_ignore_ascii_case("true") => true,
                        t if t.eq_ignore_ascii_case("false") => false,
                        _ => return Err(wrong(feature, lines, row, text, "true or false")),
                    };
                    Ok(feature.values.get(usize::from(truth)).cloned())
                };
                fields.enumerate().map(truth).collect::<Result<_, _>>().map(Cells::Texts)
            }
            _ => Ok(Cells::Texts(fields.map(|field| field.map(str::to_owned)).collect())),
        }
    }
}

fn wrong(
    feature: &Feature,
    lines: &[u64],
    row: usize,
    text: &str,
    expected: &'static str,
) -> StreamError {
    let line = lines.get(row).copied().unwrap_or_default();
    let text: String = text.chars().take(TEXT_MAX).collect();
    StreamError::Cell { line, column: feature.name.clone(), text, expected }
}

fn known(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > NAMES_MAX { " ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Bytes looked at to find the dialect: some thousand rows.
const HEAD_BYTES: u64 = 1 << 20;
/// Rows of a batch, as in typed containers.
const BATCH_ROWS: usize = 8_192;
/// Largest whole number that a double holds exactly, 2^53.
const EXACT_MAX: u64 = 1 << 53;
/// Names shown in a message; more would hide it.
const NAMES_MAX: usize = 12;
/// Characters of a cell shown in a message.
const TEXT_MAX: usize = 60;
