//! The body of the JSON scorer, read in one pass: `{"features": {…}}` or `{"rows": [{…}, …]}`.
//!
//! Owns the depth check and the typed reading straight into columns; no tree of values is built.
//! Must never accept a key twice: two readers would see two different requests.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Builder, Cell, Intake, IntakeError, bug, shortened};
use crate::scorer::Rows;

/// A body of the JSON scorer.
#[derive(Clone, Debug)]
pub struct Body {
    /// Rows, validated.
    pub rows: Rows,
    /// Whether they came as `rows` (a list is answered) or as `features` (one answer).
    pub many: bool,
    /// Id that the client gave.
    pub id: Option<String>,
}

impl Intake {
    /// Reads and validates a body of the JSON scorer.
    ///
    /// # Errors
    /// [`IntakeError`], with line and column where the text is at fault.
    pub fn read(&self, body: &[u8]) -> Result<Body, IntakeError> {
        if too_deep(body, self.depth_max) {
            let most = self.depth_max;
            return Err(IntakeError::Refused(format!("JSON deeper than {most} levels")));
        }
        let refusal = RefCell::new(None);
        let seed = BodySeed { intake: self, refusal: &refusal };
        let mut reader = serde_json::Deserializer::from_slice(body);
        let read = seed.deserialize(&mut reader).and_then(|body| reader.end().map(|()| body));
        read.map_err(|error| match refusal.take() {
            Some(refused) => refused,
            None => unreadable(body, &error),
        })
    }
}

/// What is wrong with a text that did not read. NaN and Infinity are no JSON, but some writers
/// put them there: they are values that are refused, not a broken text.
pub(crate) fn unreadable(body: &[u8], error: &serde_json::Error) -> IntakeError {
    let holds = |word: &[u8]| body.windows(word.len()).any(|w| w == word);
    if error.is_data() {
        return IntakeError::Refused(error.to_string());
    }
    if error.is_syntax() && (holds(b"NaN") || holds(b"Infinity")) {
        return IntakeError::Refused("NaN and Infinity are no values; send finite numbers".into());
    }
    IntakeError::Syntax(error.to_string())
}

/// Whether brackets nest deeper than `most`, strings left aside. One pass, no allocation.
pub(crate) fn too_deep(body: &[u8], most: usize) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in body {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A refusal goes out through `refusal`, whole; serde only carries that there was one.
type Slot<'s> = &'s RefCell<Option<IntakeError>>;

fn refuse<E: de::Error>(slot: Slot<'_>, error: IntakeError) -> E {
    slot.replace(Some(error));
    E::custom("refused")
}

struct BodySeed<'i, 's> {
    intake: &'i Intake,
    refusal: Slot<'s>,
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = Body;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_, '_> {
    type Value = Body;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `features` or `rows`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let slot = self.refusal;
        let said = |words: &str| refuse(slot, IntakeError::Refused(words.to_owned()));
        let mut builder = self.intake.builder(1).map_err(|e| refuse(slot, e))?;
        let (mut many, mut id) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "features" | "rows" if many.is_some() => {
                    return Err(said("give `features` or `rows`, once"));
                }
                "features" => {
                    many = Some(false);
                    map.next_value_seed(RowSeed { builder: &mut builder, refusal: slot })?;
                }
                "rows" => {
                    many = Some(true);
                    map.next_value_seed(RowsSeed { builder: &mut builder, refusal: slot })?;
                }
                "id" if id.is_some() => return Err(said("`id` is given twice")),
                "id" => {
                    let text = map.next_value::<Cow<'de, str>>()?;
                    if !is_id(&text) {
                        return Err(said(ID_RULE));
                    }
                    id = Some(text.into_owned());
                }
                other => {
                    let words = format!("unknown key `{}`", shortened(other));
                    return Err(said(&format!("{words}; known: `features`, `rows`, `id`")));
                }
            }
        }
        let Some(many) = many else {
            return Err(said("neither `features` nor `rows` is there"));
        };
        let rows = builder.finish().map_err(|e| refuse(slot, e))?;
        Ok(Body { rows, many, id })
    }
}

struct RowsSeed<'b, 'i, 's> {
    builder: &'b mut Builder<'i>,
    refusal: Slot<'s>,
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, one per row")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (builder, refusal) = (self.builder, self.refusal);
        while seq.next_element_seed(RowSeed { builder: &mut *builder, refusal })?.is_some() {}
        Ok(())
    }
}

struct RowSeed<'b, 'i, 's> {
    builder: &'b mut Builder<'i>,
    refusal: Slot<'s>,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of features by name")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let slot = self.refusal;
        self.builder.begin_row().map_err(|e| refuse(slot, e))?;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let place = self.builder.intake.place(&key).map_err(|e| refuse(slot, e))?;
            if self.builder.intake.image == Some(place) {
                map.next_value_seed(ImageSeed { builder: self.builder, refusal: slot })?;
            } else {
                let builder = &mut *self.builder;
                map.next_value_seed(CellSeed { builder, place, refusal: slot })?;
            }
        }
        self.builder.end_row().map_err(|e| refuse(slot, e))
    }
}

struct CellSeed<'b, 'i, 's> {
    builder: &'b mut Builder<'i>,
    place: usize,
    refusal: Slot<'s>,
}

impl CellSeed<'_, '_, '_> {
    fn put<E: de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        self.builder.push(self.place, cell).map_err(|e| refuse(self.refusal, e))
    }
    fn no_cell<E: de::Error>(self, what: &str) -> E {
        let field = self.builder.intake.fields.get(self.place);
        refuse(
            self.refusal,
            field.map_or_else(bug, |f| {
                f.refused(&format!("must be {}, this is {what}", f.kind_words()))
            }),
        )
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true, false or null")
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.put(Cell::Number(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.put(Cell::Number(value as f64))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.put(Cell::Number(value as f64))
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.put(Cell::Truth(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.put(Cell::Text(Cow::Borrowed(value)))
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.put(Cell::Missing)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.no_cell("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.no_cell("an object"))
    }
}

/// An image: a flat list, or lists in lists of one number after the other.
struct ImageSeed<'b, 'i, 's> {
    builder: &'b mut Builder<'i>,
    refusal: Slot<'s>,
}

impl<'de> DeserializeSeed<'de> for ImageSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let shape = self.builder.intake.image().and_then(|f| f.shape).unwrap_or_default();
        let most = shape.iter().product();
        let mut values = Vec::new();
        Numbers { out: &mut values, most }.deserialize(deserializer)?;
        self.builder.push_image(&values).map_err(|e| refuse(self.refusal, e))
    }
}

/// Numbers, nested or flat, at most `most` of them.
pub(crate) struct Numbers<'v> {
    /// Where they go.
    pub(crate) out: &'v mut Vec<f64>,
    /// How many may come.
    pub(crate) most: usize,
}

impl Numbers<'_> {
    fn put<E: de::Error>(self, value: f64) -> Result<(), E> {
        if self.out.len() >= self.most {
            return Err(E::custom(format!("more than {} values", self.most)));
        }
        self.out.push(value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, flat or in lists")
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.put(value)
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.put(value as f64)
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.put(value as f64)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let most = self.most;
        let out = self.out;
        while seq.next_element_seed(Numbers { out: &mut *out, most })?.is_some() {}
        Ok(())
    }
}

/// Whether a client's id may go into headers, records and answers.
pub(crate) fn is_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.chars().all(fits)
}

/// What an id may be, for people.
pub(crate) const ID_RULE: &str = "`id` is 1 to 64 of A-Z, a-z, 0-9, `-`, `_`, `.` and `:`";
/// Bytes of a client's id.
const ID_BYTES_MAX: usize = 64;
