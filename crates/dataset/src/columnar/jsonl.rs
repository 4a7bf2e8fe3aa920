//! JSON lines: one flat object per line.
//!
//! Owns the rules: a missing key and `null` are missing, numbers and truth values are their JSON
//! text, objects and lists are nested and not read. Must never hold more than a line of a stream.
//! Called by [`super`].

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Read};

use proofmark_schema::system::DataFormat;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    BATCH_TEXT_BYTES, Batches, COLUMNS_MAX, ColumnarError, Frame, FrameCells, FrameColumn,
    batch_rows,
};

/// All rows; the columns are all keys in the order in which they first occur.
pub(super) fn read(bytes: &[u8], limit: usize) -> Result<(Frame, Vec<u64>), ColumnarError> {
    let mut table = Table::default();
    let mut lines = Lines { reader: bytes, line: 0 };
    let mut numbers = Vec::new();
    let mut held = 0;
    while numbers.len() < limit {
        let Some((line, fields)) = lines.next()? else { break };
        held += fields.iter().map(|(_, cell)| cell.weight()).sum::<usize>();
        held += super::TEXT_BYTES * table.columns.len();
        if held > super::HELD_BYTES_MAX {
            let (found, limit) = (held as u64, super::HELD_BYTES_MAX as u64);
            return Err(ColumnarError::TooLarge { what: "bytes of cells", found, limit });
        }
        for (key, cell) in fields {
            table.put(line, &key, cell, true)?;
        }
        table.end_row();
        numbers.push(line);
    }
    let frame = table.frame();
    if frame.n == 0 { Err(ColumnarError::Empty) } else { Ok((frame, numbers)) }
}

/// Batches with the columns `wanted`, or else those of the first line.
pub(super) fn of_file(
    reader: impl BufRead + Send + 'static,
    wanted: &[String],
) -> Result<Batches, ColumnarError> {
    let mut lines = Lines { reader, line: 0 };
    let mut first = lines.next()?;
    let named = !wanted.is_empty();
    let columns: Vec<String> = match &first {
        None => return Err(ColumnarError::Empty),
        Some(_) if named => wanted.to_vec(),
        Some((_, fields)) => fields.iter().map(|(key, _)| key.clone()).collect(),
    };
    let names = columns.clone();
    let next = move || {
        let mut table = Table::of(&names);
        let (rows, mut held) = (batch_rows(names.len()), 0);
        while table.rows < rows && held < BATCH_TEXT_BYTES {
            let Some((line, fields)) =
                first.take().map_or_else(|| lines.next(), |f| Ok(Some(f)))?
            else {
                break;
            };
            for (key, cell) in fields {
                held += cell.weight();
                if !table.at.contains_key(&key) && !named {
                    let reason = format!(
                        "the key `{key}` is not in the first line; name the columns to read"
                    );
                    return Err(ColumnarError::Line { line, reason });
                }
                if table.at.contains_key(&key) {
                    table.put(line, &key, cell, false)?;
                }
            }
            table.end_row();
        }
        let frame = table.frame();
        Ok((frame.n > 0).then_some(frame))
    };
    Ok(Batches { format: DataFormat::Jsonl, columns, rows: None, next: Box::new(next) })
}

/// A value of a key.
enum Cell {
    Null,
    Truth(bool),
    Text(String),
    Nested(&'static str),
}

impl Cell {
    fn weight(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }
}

/// The rows so far.
#[derive(Default)]
struct Table {
    at: HashMap<String, usize>,
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    name: String,
    cells: Vec<Option<String>>,
    /// Truth values, which are texts as soon as anything else comes.
    truths: usize,
    filled: usize,
    nested: Option<String>,
}

impl Table {
    fn of(names: &[String]) -> Self {
        let mut table = Self::default();
        for name in names {
            table.add(name);
        }
        table
    }

    fn add(&mut self, name: &str) -> usize {
        let at = self.columns.len();
        self.at.insert(name.to_owned(), at);
        let (name, cells) = (name.to_owned(), vec![None; self.rows]);
        self.columns.push(Column { name, cells, truths: 0, filled: 0, nested: None });
        at
    }

    fn put(&mut self, line: u64, key: &str, cell: Cell, grow: bool) -> Result<(), ColumnarError> {
        let at = match self.at.get(key) {
            Some(at) => *at,
            None if grow && self.columns.len() < COLUMNS_MAX => self.add(key),
            None => {
                let (found, limit) = (self.columns.len() as u64 + 1, COLUMNS_MAX as u64);
                return Err(ColumnarError::TooLarge { what: "columns", found, limit });
            }
        };
        let Some(column) = self.columns.get_mut(at) else { return Ok(()) };
        if column.cells.len() > self.rows {
            let reason = format!("the key `{key}` stands twice in this object");
            return Err(ColumnarError::Line { line, reason });
        }
        column.truths += usize::from(matches!(cell, Cell::Truth(_)));
        column.filled += usize::from(matches!(cell, Cell::Truth(_) | Cell::Text(_)));
        column.cells.push(match cell {
            Cell::Null => None,
            Cell::Truth(truth) => Some(truth.to_string()),
            Cell::Text(text) => Some(text),
            Cell::Nested(what) => {
                column.nested.get_or_insert_with(|| format!("{what} (first on line {line})"));
                None
            }
        });
        Ok(())
    }

    fn end_row(&mut self) {
        self.rows += 1;
        for column in &mut self.columns {
            column.cells.resize(self.rows, None);
        }
    }

    fn frame(self) -> Frame {
        let columns = self.columns.into_iter().map(|column| {
            let cells = match column.nested {
                Some(what) => FrameCells::Unread(what),
                None if column.truths > 0 && column.truths == column.filled => {
                    let truth = |t: Option<String>| t.map(|t| t == "true");
                    FrameCells::Truth(column.cells.into_iter().map(truth).collect())
                }
                None => FrameCells::Text(column.cells),
            };
            FrameColumn { name: column.name, cells }
        });
        Frame { n: self.rows, columns: columns.collect() }
    }
}

/// Lines of limited length, as the fields of an object.
struct Lines<R> {
    reader: R,
    line: u64,
}

type Fields = Vec<(String, Cell)>;

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<(u64, Fields)>, ColumnarError> {
        let mut bytes = Vec::new();
        loop {
            self.line += 1;
            bytes.clear();
            let bad = |reason: String| ColumnarError::Line { line: self.line, reason };
            let mut limited = (&mut self.reader).take(LINE_MAX + 1);
            let read = limited.read_until(b'\n', &mut bytes).map_err(|e| bad(e.to_string()))?;
            if read == 0 {
                return Ok(None);
            }
            if bytes.len() as u64 > LINE_MAX {
                return Err(bad(format!("the line has over {LINE_MAX} bytes")));
            }
            let text = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).filter(|_| self.line == 1);
            let text = text.unwrap_or(&bytes).trim_ascii();
            if text.is_empty() {
                continue;
            }
            let mut parser = serde_json::Deserializer::from_slice(text);
            let fields = parser.deserialize_map(Object).and_then(|f| parser.end().map(|()| f));
            let place = |e: &serde_json::Error| {
                let words = e.to_string();
                let words = words.split(" at line ").next().unwrap_or_default();
                format!("no flat JSON object: {words} (column {})", e.column())
            };
            return fields.map(|f| Some((self.line, f))).map_err(|e| bad(place(&e)));
        }
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one value per column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            fields.push((key, map.next_value::<Cell>()?));
        }
        Ok(fields)
    }
}

impl<'de> serde::Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Cell, E> {
        Ok(Cell::Truth(truth))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Cell, E> {
        Ok(Cell::Text(number.to_string()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Cell, E> {
        Ok(Cell::Text(number.to_string()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Cell, E> {
        Ok(Cell::Text(format!("{number:?}")))
    }
    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Nested("lists"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Nested("objects"))
    }
}

/// Bytes of a line: a row of a table; more is one long list without line ends.
const LINE_MAX: u64 = 4 << 20;
