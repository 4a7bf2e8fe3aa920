//! A JSON interface, mapped: a template of the request, a pointer into the answer.
//!
//! Owns the place of the rows in the template. Foreign bytes are read by `serde_json`, whose depth
//! is bounded. Must never send a template that is no JSON once rows stand in it.

use serde_json::{Map, Value};

use super::{Cell, Pointer, Protocol, Reads, Words};

/// The mapping.
#[derive(Clone, Debug)]
pub struct JsonMap {
    template: String,
    place: Place,
    pointer: Pointer,
    reads: Reads,
    words: Words,
    axes: Vec<usize>,
}

/// What stands where the rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `{{rows}}`: a list of objects.
    Rows,
    /// `{{row}}`: one object.
    Row,
    /// `{{values}}`: a list of lists.
    Values,
    /// `{{value}}`: one list.
    Value,
}

impl JsonMap {
    /// Reads template and pointer.
    ///
    /// # Errors
    /// No place for rows, a template that is no JSON, or a pointer that is none.
    pub fn new(template: &str, pointer: &str, reads: Reads, words: Words) -> Result<Self, String> {
        let mut found = PLACES.iter().filter(|(text, _)| template.contains(text));
        let (Some(&(_, place)), None) = (found.next(), found.next()) else {
            return Err("the template needs one place for rows: `{{rows}}` (a list of objects), \
                        `{{row}}` (one object), `{{values}}` or `{{value}}` (lists)"
                .into());
        };
        let pointer = Pointer::parse(pointer)?;
        let map =
            Self { template: template.into(), place, pointer, reads, words, axes: Vec::new() };
        let tried = map.request(&["a".into()], &[vec![Cell::Number(1.0)]])?;
        serde_json::from_slice::<Value>(&tried)
            .map_err(|error| format!("the template is no JSON once rows stand in it: {error}"))?;
        Ok(map)
    }

    /// Rows are sent as lists of lists of this shape.
    ///
    /// # Errors
    /// A template that wants objects: pixels have no names.
    pub fn nested(mut self, axes: &[usize]) -> Result<Self, String> {
        if matches!(self.place, Place::Rows | Place::Row) {
            return Err("pixels have no names: use `{{values}}` or `{{value}}`".into());
        }
        self.axes = axes.to_vec();
        Ok(self)
    }
}

impl Protocol for JsonMap {
    fn rows_max(&self) -> usize {
        if matches!(self.place, Place::Row | Place::Value) { 1 } else { usize::MAX }
    }

    fn request(&self, columns: &[String], rows: &[Vec<Cell>]) -> Result<Vec<u8>, String> {
        let object = |cells: &Vec<Cell>| {
            let each = columns.iter().zip(cells).map(|(name, cell)| (name.clone(), value(cell)));
            Value::Object(each.collect::<Map<_, _>>())
        };
        let list = |cells: &Vec<Cell>| lists(cells, self.axes.get(1..).unwrap_or_default());
        let one = || rows.first().ok_or("no row to send");
        let (text, filled) = match self.place {
            Place::Rows => ("{{rows}}", Value::Array(rows.iter().map(object).collect())),
            Place::Row => ("{{row}}", object(one()?)),
            Place::Values => ("{{values}}", Value::Array(rows.iter().map(list).collect())),
            Place::Value => ("{{value}}", list(one()?)),
        };
        Ok(self.template.replacen(text, &filled.to_string(), 1).into_bytes())
    }

    fn answers(&self, body: &[u8], rows: usize) -> Result<Vec<f32>, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let each = self.pointer.rows(&body, rows)?;
        let scores = each.into_iter().map(|value| self.words.scores(value, self.reads));
        Ok(scores.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// Lists of lists: `inner` are the axes behind the first.
fn lists(cells: &[Cell], inner: &[usize]) -> Value {
    let Some((_, rest)) = inner.split_first() else {
        return Value::Array(cells.iter().map(value).collect());
    };
    let size = inner.iter().product::<usize>().max(1);
    Value::Array(cells.chunks(size).map(|some| lists(some, rest)).collect())
}

/// A cell in JSON; whole numbers without a fraction.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Missing => Value::Null,
        Cell::Text(text) => Value::String(text.clone()),
        Cell::Number(v) if v.fract() == 0.0 && v.abs() < WHOLE_MAX => Value::from(*v as i64),
        Cell::Number(v) => Value::from(*v),
    }
}

const PLACES: [(&str, Place); 4] = [
    ("{{rows}}", Place::Rows),
    ("{{row}}", Place::Row),
    ("{{values}}", Place::Values),
    ("{{value}}", Place::Value),
];

/// Beyond this an f64 does not hold every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
