//! The Open Inference Protocol v2, as a client: tensors as JSON.
//!
//! Owns which column feeds which tensor, after the endpoint's own metadata. Must never guess a
//! datatype. Called over [`super::Protocol`].

use serde_json::{Value, json};

use super::{Cell, Protocol, Reads, Words};

/// The mapping.
#[derive(Clone, Debug)]
pub struct OipMap {
    inputs: Vec<Input>,
    output: Option<String>,
    reads: Reads,
    words: Words,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    name: String,
    kind: Kind,
    datatype: String,
    /// Columns of this tensor, by place in the request.
    columns: Vec<usize>,
    /// Axes of a row: its columns, or those of an image.
    axes: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Whole,
    Truth,
    Text,
}

impl OipMap {
    /// From what `GET /v2/models/NAME` answers: inputs named like columns, `[n]` or `[n, 1]`, or
    /// one matrix that takes all columns in their order.
    ///
    /// # Errors
    /// Metadata that do not read, or inputs that the columns do not fill.
    pub fn new(
        metadata: &[u8],
        columns: &[String],
        output: Option<&str>,
        reads: Reads,
        words: Words,
    ) -> Result<Self, String> {
        let list = listed(metadata)?;
        let mut inputs = Vec::with_capacity(list.len());
        for input in &list {
            inputs.push(read_input(input, columns, list.len() == 1)?);
        }
        let fed = |at: usize| inputs.iter().any(|i: &Input| i.columns.contains(&at));
        if let Some(at) = (0..columns.len()).find(|&at| !fed(at)) {
            return Err(format!("no input of the endpoint takes the column `{}`", columns[at]));
        }
        Ok(Self { inputs, output: output.map(str::to_owned), reads, words })
    }

    /// For images: the one input takes all of a row, in the shape that a row is sent in.
    ///
    /// # Errors
    /// Metadata that do not read, several inputs, another shape, or a datatype without pixels.
    pub fn images(
        metadata: &[u8],
        axes: &[usize],
        output: Option<&str>,
        reads: Reads,
        words: Words,
    ) -> Result<Self, String> {
        let (name, datatype, shape) = image_input(metadata)?;
        let fits = shape.len() == axes.len() + 1
            && shape[1..].iter().zip(axes).all(|(d, &a)| *d < 0 || usize::try_from(*d) == Ok(a));
        if !fits {
            return Err(format!("the input `{name}` of shape {shape:?} is sent rows of {axes:?}"));
        }
        let kind = kind(&name, &datatype)?;
        if !matches!(kind, Kind::Float | Kind::Whole) {
            return Err(format!("the input `{name}` is {datatype}: it takes no pixels"));
        }
        let columns = (0..axes.iter().product()).collect();
        let input = Input { name, kind, datatype, columns, axes: axes.to_vec() };
        Ok(Self { inputs: vec![input], output: output.map(str::to_owned), reads, words })
    }

    /// What the metadata say of a row of the one input: its axes, `None` where they are open, and
    /// whether it takes whole numbers.
    ///
    /// # Errors
    /// Metadata that do not read, or several inputs.
    pub fn image_axes(metadata: &[u8]) -> Result<(Vec<Option<usize>>, bool), String> {
        let (name, datatype, shape) = image_input(metadata)?;
        let axes = shape.iter().skip(1).map(|d| usize::try_from(*d).ok()).collect();
        Ok((axes, kind(&name, &datatype)? == Kind::Whole))
    }

    /// The names of the inputs in a list of metadata, to choose columns by.
    pub fn input_names(metadata: &[u8]) -> Vec<String> {
        let list = listed(metadata).unwrap_or_default();
        let names = list.iter().filter_map(|input| input.get("name")?.as_str());
        names.map(str::to_owned).collect()
    }
}

fn read_input(input: &Value, columns: &[String], alone: bool) -> Result<Input, String> {
    let (name, datatype, shape) = facts(input)?;
    let wide = shape.get(1).copied().unwrap_or(1);
    let places = match columns.iter().position(|c| *c == name) {
        Some(at) => vec![at],
        None if alone => (0..columns.len()).collect(),
        None => return Err(format!("the endpoint wants `{name}`, which is no column")),
    };
    if shape.len() > 2 || (wide >= 0 && wide as usize != places.len()) {
        return Err(format!("the input `{name}` of shape {shape:?} gets {} columns", places.len()));
    }
    let (kind, axes) = (kind(&name, &datatype)?, vec![places.len()]);
    Ok(Input { name, kind, datatype, columns: places, axes })
}

/// Name, datatype and shape of an input in the metadata.
fn facts(input: &Value) -> Result<(String, String, Vec<i64>), String> {
    let text = |key: &str| {
        let found = input.get(key).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| format!("an input without `{key}` in the metadata"))
    };
    let shape = input.get("shape").and_then(Value::as_array);
    let shape = shape.map(|list| list.iter().filter_map(Value::as_i64).collect());
    Ok((text("name")?, text("datatype")?, shape.unwrap_or_default()))
}

fn image_input(metadata: &[u8]) -> Result<(String, String, Vec<i64>), String> {
    match listed(metadata)?.as_slice() {
        [input] => facts(input),
        many => Err(format!("images go to one input; the endpoint has {}", many.len())),
    }
}

/// The inputs in the metadata; there is one at least.
fn listed(metadata: &[u8]) -> Result<Vec<Value>, String> {
    let mut metadata: Value = serde_json::from_slice(metadata).map_err(|e| e.to_string())?;
    match metadata.get_mut("inputs").map(Value::take) {
        Some(Value::Array(list)) if !list.is_empty() => Ok(list),
        _ => Err("the metadata list no `inputs`".into()),
    }
}

fn kind(name: &str, datatype: &str) -> Result<Kind, String> {
    match datatype {
        "FP16" | "FP32" | "FP64" => Ok(Kind::Float),
        "BYTES" => Ok(Kind::Text),
        "BOOL" => Ok(Kind::Truth),
        d if d.starts_with("INT") || d.starts_with("UINT") => Ok(Kind::Whole),
        other => Err(format!("the datatype `{other}` of `{name}` is not known")),
    }
}

impl Protocol for OipMap {
    fn rows_max(&self) -> usize {
        usize::MAX
    }

    fn request(&self, columns: &[String], rows: &[Vec<Cell>]) -> Result<Vec<u8>, String> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let mut data = Vec::with_capacity(rows.len() * input.columns.len());
            for row in rows {
                for &at in &input.columns {
                    let cell = row.get(at).unwrap_or(&Cell::Missing);
                    let column = columns.get(at).map_or("", String::as_str);
                    data.push(element(cell, input.kind).map_err(|e| format!("`{column}`: {e}"))?);
                }
            }
            let shape: Vec<usize> =
                std::iter::once(rows.len()).chain(input.axes.iter().copied()).collect();
            inputs.push(json!({
                "name": input.name, "shape": shape, "datatype": input.datatype, "data": data,
            }));
        }
        let mut body = json!({ "inputs": inputs });
        if let (Some(output), Some(body)) = (&self.output, body.as_object_mut()) {
            body.insert("outputs".into(), json!([{ "name": output }]));
        }
        Ok(body.to_string().into_bytes())
    }

    fn answers(&self, body: &[u8], rows: usize) -> Result<Vec<f32>, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let outputs = body.get("outputs").and_then(Value::as_array).ok_or("no `outputs`")?;
        let kind =
            |o: &Value| o.get("datatype").and_then(Value::as_str).unwrap_or_default().to_owned();
        let named = |o: &&Value| match &self.output {
            Some(name) => o.get("name").and_then(Value::as_str) == Some(name),
            // Whole numbers are labels, and no scores.
            None => kind(o).starts_with("FP") == (self.reads != Reads::Label),
        };
        let mut fitting = outputs.iter().filter(named);
        let output = fitting.next().ok_or_else(|| match &self.output {
            Some(name) => format!("no output `{name}`"),
            None => "no output of the kind that is read; name one with `--output`".to_owned(),
        })?;
        if fitting.next().is_some() {
            return Err("several outputs could be meant; name one with `--output`".to_owned());
        }
        let data = output.get("data").and_then(Value::as_array);
        let mut flat = Vec::new();
        data.ok_or("an output without `data` as JSON")?.iter().for_each(|v| flatten(v, &mut flat));
        if rows == 0 || flat.is_empty() || !flat.len().is_multiple_of(rows) {
            return Err(format!("{} elements for {rows} rows", flat.len()));
        }
        let each = flat.chunks(flat.len() / rows).map(|row| {
            let value = match row {
                [one] => (*one).clone(),
                many => Value::Array(many.iter().map(|v| (*v).clone()).collect()),
            };
            self.words.scores(&value, self.reads)
        });
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

fn flatten<'v>(value: &'v Value, flat: &mut Vec<&'v Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| flatten(v, flat)),
        other => flat.push(other),
    }
}

fn element(cell: &Cell, kind: Kind) -> Result<Value, String> {
    match (cell, kind) {
        (Cell::Missing, _) => Err("a tensor cannot hold a missing value".into()),
        (Cell::Text(text), Kind::Text) => Ok(Value::from(text.as_str())),
        (Cell::Text(text), Kind::Truth) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Value::from(true)),
            "false" | "0" => Ok(Value::from(false)),
            _ => Err(format!("`{text}` is no truth value")),
        },
        (Cell::Text(text), _) => text
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is no number"))
            .and_then(|v| element(&Cell::Number(v), kind)),
        (Cell::Number(v), Kind::Text) => Ok(Value::from(v.to_string())),
        (Cell::Number(v), Kind::Truth) => Ok(Value::from(*v != 0.0)),
        (Cell::Number(v), Kind::Whole) if v.fract() == 0.0 && v.abs() < 9e15 => {
            Ok(Value::from(*v as i64))
        }
        (Cell::Number(v), Kind::Whole) => Err(format!("{v} is not whole, the tensor is")),
        (Cell::Number(v), Kind::Float) => Ok(Value::from(*v)),
    }
}
