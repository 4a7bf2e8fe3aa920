//! An inference request: JSON, or a JSON header with binary tensors behind it.
//!
//! Owns the check of names, types, shapes and sizes. Must never read past a tensor's claimed size
//! or accept bytes that no tensor claims.

use std::borrow::Cow;

use proofmark_dataset::bind::InputType;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Feed, OipInput, OipModel, datatype};
use crate::intake::ID_RULE;
use crate::intake::{
    Builder, Cell, Intake, IntakeError, Numbers, is_id, shortened, too_deep, unreadable,
};
use crate::scorer::Rows;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Rows, validated.
    pub rows: Rows,
    /// Id that the client gave.
    pub id: Option<String>,
    /// Outputs that are wanted, each with whether it comes in binary; all when empty.
    pub outputs: Vec<(String, bool)>,
    /// Whether outputs come in binary unless said otherwise.
    pub binary: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    parameters: Option<RequestParameters>,
    #[serde(borrow)]
    inputs: Vec<InputTensor<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<OutputTensor<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestParameters {
    #[serde(default)]
    binary_data_output: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputTensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<u64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<InputParameters>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputParameters {
    #[serde(default)]
    binary_data_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputTensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<OutputParameters>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputParameters {
    #[serde(default)]
    binary_data: Option<bool>,
}

/// Values of one tensor, as many as its shape says.
enum Values<'a> {
    Numbers(Vec<f64>),
    Truths(Vec<bool>),
    Texts(Vec<Cow<'a, str>>),
}

impl OipModel {
    /// Reads and validates a request; `header` is the length of its JSON when tensors follow it.
    ///
    /// # Errors
    /// [`IntakeError`] with what does not fit.
    pub fn read(
        &self,
        intake: &Intake,
        body: &[u8],
        header: Option<usize>,
    ) -> Result<Asked, IntakeError> {
        let split = header.unwrap_or(body.len());
        let parts = (body.get(..split), body.get(split..));
        let (Some(text), Some(mut tail)) = parts else {
            let words =
                format!("the JSON header claims {split} bytes, the body has {}", body.len());
            return Err(IntakeError::Syntax(words));
        };
        if too_deep(text, intake.depth_max()) {
            let most = intake.depth_max();
            return Err(refused(format!("JSON deeper than {most} levels")));
        }
        let request: Request<'_> =
            serde_json::from_slice(text).map_err(|error| unreadable(text, &error))?;
        if request.id.as_deref().is_some_and(|id| !id.is_empty() && !is_id(id)) {
            return Err(refused(ID_RULE.to_owned()));
        }
        let rows = self.rows(&request, intake)?;
        let mut values = Vec::with_capacity(self.inputs.len());
        // Binary tensors lie in the order of the request, so they are read in that order.
        for tensor in &request.inputs {
            let input = self.inputs.iter().find(|i| i.name == tensor.name);
            let input = input.ok_or_else(|| self.unknown(&tensor.name))?;
            values.push((input, read_tensor(input, tensor, rows, &mut tail)?));
        }
        if !tail.is_empty() {
            let words = format!("{} bytes behind the last tensor", tail.len());
            return Err(IntakeError::Syntax(words));
        }
        let mut builder = intake.builder(rows)?;
        for row in 0..rows {
            builder.begin_row()?;
            for (input, values) in &values {
                put(&mut builder, input, values, row)?;
            }
            builder.end_row()?;
        }
        Ok(Asked {
            rows: builder.finish()?,
            outputs: self.wanted(&request)?,
            binary: request.parameters.unwrap_or_default().binary_data_output,
            id: request.id.filter(|id| !id.is_empty()).map(Cow::into_owned),
        })
    }

    /// Number of rows: every input once, all with the same batch.
    fn rows(&self, request: &Request<'_>, intake: &Intake) -> Result<usize, IntakeError> {
        if request.inputs.len() > self.inputs.len() {
            let (found, most) = (request.inputs.len(), self.inputs.len());
            return Err(refused(format!("{found} inputs, the model has {most}")));
        }
        for input in &self.inputs {
            match request.inputs.iter().filter(|t| t.name == input.name).count() {
                1 => {}
                0 => return Err(refused(format!("input `{}` is missing", input.name))),
                _ => return Err(refused(format!("input `{}` is given twice", input.name))),
            }
        }
        let batch = request.inputs.first().and_then(|t| t.shape.first()).copied().unwrap_or(0);
        let most = intake.rows_max();
        match usize::try_from(batch) {
            Ok(rows) if (1..=most).contains(&rows) => Ok(rows),
            _ => Err(refused(format!("{batch} rows; 1 to {most} are allowed"))),
        }
    }

    fn unknown(&self, name: &str) -> IntakeError {
        let known: Vec<&str> = self.inputs.iter().map(|i| i.name.as_str()).collect();
        let near = proofmark_schema::system::nearest(name, known.iter().copied());
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        refused(format!("the model has no input `{}`{hint}", shortened(name)))
    }

    fn wanted(&self, request: &Request<'_>) -> Result<Vec<(String, bool)>, IntakeError> {
        let default = request.parameters.as_ref().is_some_and(|p| p.binary_data_output);
        if request.outputs.len() > OUTPUTS_MAX {
            return Err(refused(format!("more than {OUTPUTS_MAX} outputs")));
        }
        let each = request.outputs.iter().map(|output| {
            if output.name != self.output && output.name != super::DECISION {
                let name = shortened(&output.name);
                return Err(refused(format!(
                    "no output `{name}` is released; there are `{}` and `{}`",
                    self.output,
                    super::DECISION
                )));
            }
            let binary = output.parameters.as_ref().and_then(|p| p.binary_data);
            Ok((output.name.clone().into_owned(), binary.unwrap_or(default)))
        });
        each.collect()
    }
}

/// The values of one tensor, after its type, shape and size were checked.
fn read_tensor<'a>(
    input: &OipInput,
    tensor: &InputTensor<'a>,
    rows: usize,
    tail: &mut &'a [u8],
) -> Result<Values<'a>, IntakeError> {
    let name = &input.name;
    let wanted = datatype(input.dtype);
    if tensor.datatype != wanted {
        let found = shortened(&tensor.datatype);
        return Err(refused(format!("input `{name}` must be {wanted}, this is `{found}`")));
    }
    let shape: Vec<u64> =
        std::iter::once(rows).chain(input.shape.iter().copied()).map(|d| d as u64).collect();
    if tensor.shape != shape {
        let found = tensor.shape.get(..tensor.shape.len().min(8)).unwrap_or_default();
        return Err(refused(format!("input `{name}` must have shape {shape:?}, not {found:?}")));
    }
    // Rows are limited and the other sides are the model's own: this cannot overflow.
    let count = rows * input.shape.iter().product::<usize>();
    let size = tensor.parameters.as_ref().and_then(|p| p.binary_data_size);
    match (tensor.data, size) {
        (Some(data), None) => from_json(input, data, count),
        (None, Some(size)) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let Some((bytes, rest)) = tail.split_at_checked(size) else {
                let words = format!("input `{name}` claims {size} bytes that are not there");
                return Err(IntakeError::Syntax(words));
            };
            *tail = rest;
            from_bytes(input, bytes, count)
        }
        _ => Err(refused(format!("input `{name}` needs either `data` or `binary_data_size`"))),
    }
}

fn from_json<'a>(
    input: &OipInput,
    data: &'a RawValue,
    count: usize,
) -> Result<Values<'a>, IntakeError> {
    let mut reader = serde_json::Deserializer::from_str(data.get());
    let (read, found, values) = match input.dtype {
        InputType::Str => {
            let mut texts: Vec<Cow<'a, str>> = Vec::new();
            let read = Texts { out: &mut texts, most: count }.deserialize(&mut reader);
            (read, texts.len(), Values::Texts(texts))
        }
        InputType::Bool => {
            let mut truths = Vec::new();
            let read = Truths { out: &mut truths, most: count }.deserialize(&mut reader);
            (read, truths.len(), Values::Truths(truths))
        }
        _ => {
            let mut numbers = Vec::new();
            let read = Numbers { out: &mut numbers, most: count }.deserialize(&mut reader);
            (read, numbers.len(), Values::Numbers(numbers))
        }
    };
    let name = &input.name;
    read.map_err(|error| refused(format!("input `{name}`: {error}")))?;
    if found != count {
        return Err(refused(format!("input `{name}` has {found} values, its shape needs {count}")));
    }
    Ok(values)
}

/// Little-endian values, or texts with their length in four bytes before them.
fn from_bytes<'a>(
    input: &OipInput,
    bytes: &'a [u8],
    count: usize,
) -> Result<Values<'a>, IntakeError> {
    let name = &input.name;
    let exact = |width: usize| {
        if count.checked_mul(width) == Some(bytes.len()) {
            return Ok(());
        }
        let (found, wanted) = (bytes.len(), count * width);
        Err(refused(format!("input `{name}` has {found} bytes, its shape needs {wanted}")))
    };
    Ok(match input.dtype {
        InputType::F32 => {
            exact(4)?;
            let each = bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
            Values::Numbers(each.collect())
        }
        InputType::F64 => {
            exact(8)?;
            let each = bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b));
            Values::Numbers(each.collect())
        }
        InputType::I32 => {
            exact(4)?;
            let each = bytes.as_chunks::<4>().0.iter().map(|b| f64::from(i32::from_le_bytes(*b)));
            Values::Numbers(each.collect())
        }
        InputType::I64 => {
            exact(8)?;
            let each = bytes.as_chunks::<8>().0.iter().map(|b| whole(i64::from_le_bytes(*b)));
            let each: Option<Vec<f64>> = each.collect();
            Values::Numbers(each.ok_or_else(|| refused(format!("input `{name}`: {INEXACT}")))?)
        }
        InputType::Bool => {
            exact(1)?;
            let truth = |b: &u8| match b {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            };
            let each: Option<Vec<bool>> = bytes.iter().map(truth).collect();
            let odd = || refused(format!("input `{name}` holds bytes that are neither 0 nor 1"));
            Values::Truths(each.ok_or_else(odd)?)
        }
        InputType::Str => Values::Texts(texts(name, bytes, count)?),
    })
}

fn texts<'a>(
    name: &str,
    mut bytes: &'a [u8],
    count: usize,
) -> Result<Vec<Cow<'a, str>>, IntakeError> {
    let short = || refused(format!("input `{name}` ends within a text"));
    let mut texts = Vec::new();
    while texts.len() < count {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (text, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let text = std::str::from_utf8(text)
            .map_err(|_| refused(format!("input `{name}` holds a text that is not UTF-8")))?;
        texts.push(Cow::Borrowed(text));
        bytes = rest;
    }
    if bytes.is_empty() {
        return Ok(texts);
    }
    Err(refused(format!("input `{name}` has {} bytes too many", bytes.len())))
}

/// One row of one input into the builder.
fn put(
    builder: &mut Builder<'_>,
    input: &OipInput,
    values: &Values<'_>,
    row: usize,
) -> Result<(), IntakeError> {
    let lost = || refused(format!("input `{}` lost a value; please report this", input.name));
    let places = match &input.feed {
        Feed::Columns(places) => places,
        Feed::Image(pixels) => {
            let Values::Numbers(numbers) = values else { return Err(lost()) };
            let size: usize = pixels.shape.iter().product();
            let image = numbers.get(row * size..(row + 1) * size).ok_or_else(lost)?;
            return builder.push_image(&pixels.back(image));
        }
    };
    for (column, place) in places.iter().enumerate() {
        let at = row * places.len() + column;
        let cell = match values {
            Values::Numbers(v) => v.get(at).map(|v| Cell::Number(*v)),
            Values::Truths(v) => v.get(at).map(|v| Cell::Truth(*v)),
            Values::Texts(v) => v.get(at).map(|v| Cell::Text(Cow::Borrowed(v.as_ref()))),
        };
        builder.push(*place, cell.ok_or_else(lost)?)?;
    }
    Ok(())
}

/// A 64-bit integer as a double, when it is exact.
fn whole(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= 1 << 53).then_some(value as f64)
}

fn refused(words: String) -> IntakeError {
    IntakeError::Refused(words)
}

/// Texts, nested or flat, at most `most` of them.
struct Texts<'v, 'a> {
    out: &'v mut Vec<Cow<'a, str>>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Texts<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Texts<'_, 'de> {
    fn put<E: de::Error>(self, text: Cow<'de, str>) -> Result<(), E> {
        if self.out.len() >= self.most {
            return Err(E::custom(format!("more than {} values", self.most)));
        }
        self.out.push(text);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Texts<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("texts, flat or in lists")
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<(), E> {
        self.put(Cow::Borrowed(text))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.put(Cow::Owned(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (out, most) = (self.out, self.most);
        while seq.next_element_seed(Texts { out: &mut *out, most })?.is_some() {}
        Ok(())
    }
}

/// True and false, nested or flat, at most `most` of them.
struct Truths<'v> {
    out: &'v mut Vec<bool>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Truths<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Truths<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("true and false, flat or in lists")
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        if self.out.len() >= self.most {
            return Err(E::custom(format!("more than {} values", self.most)));
        }
        self.out.push(value);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (out, most) = (self.out, self.most);
        while seq.next_element_seed(Truths { out: &mut *out, most })?.is_some() {}
        Ok(())
    }
}

const INEXACT: &str = "a whole number beyond 2^53 is not exact";
/// Outputs that a request may name: each of the two, twice for good measure.
const OUTPUTS_MAX: usize = 4;
