//! The declared form of a request: which features, of which type, in which range.
//!
//! Owns the check of every value against the declaration and the building of [`Rows`]. Must never
//! clip, fill or guess: a value fits or the request is refused with the feature's name. Holds no
//! state between requests, so a refusal tells nothing but what the declaration says. Called by the
//! JSON scorer and the Open Inference Protocol.

mod json;

use std::collections::HashMap;

use proofmark_dataset::table::{Cells, Column};
use proofmark_schema::input_schema::InputSchema;
use proofmark_schema::system::{Feature, FeatureKind, System, nearest};

pub use json::Body;
pub(crate) use json::{ID_RULE, Numbers, is_id, too_deep, unreadable};

use crate::policy::Limits;
use crate::scorer::Rows;

/// What may come in.
#[derive(Clone, Debug)]
pub struct Intake {
    fields: Vec<Field>,
    places: HashMap<String, usize>,
    /// The one image feature, when the system is about images.
    image: Option<usize>,
    rows_max: usize,
    depth_max: usize,
    missing: bool,
}

/// One declared feature.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: FeatureKind,
    /// Whether a model that is served reads it.
    pub read: bool,
    /// Lowest and highest value.
    pub bounds: Option<[f64; 2]>,
    /// Declared texts, in the order of the declaration; any when empty.
    pub values: Vec<String>,
    /// Those of them that an input schema leaves.
    pub narrowed: Option<Vec<String>>,
    /// Shape of an image.
    pub shape: Option<[usize; 3]>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Not the syntax that was promised.
    #[error("the body is not readable: {0}")]
    Syntax(String),
    /// Readable, but not what the declaration allows.
    #[error("{0}")]
    Refused(String),
}

impl Intake {
    /// The form of requests for `system`; `read` says whether a served model reads a feature.
    pub fn new(system: &System, limits: &Limits, read: &dyn Fn(&Feature) -> bool) -> Self {
        let fields: Vec<Field> = system
            .features
            .iter()
            .map(|f| Field {
                name: f.name.clone(),
                kind: f.kind,
                read: f.input && read(f),
                bounds: f.bounds,
                values: f.values.clone(),
                narrowed: None,
                shape: f.shape,
            })
            .collect();
        let places = fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        let image = fields.iter().position(|f| f.kind == FeatureKind::Image);
        Self {
            fields,
            places,
            image,
            rows_max: limits.rows,
            depth_max: limits.json_depth,
            missing: limits.missing,
        }
    }

    /// The declared features, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Narrows every range to what an input schema has seen; it never widens one.
    pub fn narrow(&mut self, schema: &InputSchema) {
        for field in &mut self.fields {
            let Some(seen) = schema.feature(&field.name) else { continue };
            let [low, high] = field.bounds.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
            let low = low.max(seen.minimum.unwrap_or(f64::NEG_INFINITY));
            let high = high.min(seen.maximum.unwrap_or(f64::INFINITY));
            if low.is_finite() || high.is_finite() {
                field.bounds = Some([low, high]);
            }
            if let Some(values) = &seen.values {
                let known = |v: &String| field.values.is_empty() || field.values.contains(v);
                field.narrowed = Some(values.iter().filter(|v| known(v)).cloned().collect());
            }
        }
    }

    /// Rows that a request may hold.
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// Depth that JSON may have.
    pub fn depth_max(&self) -> usize {
        self.depth_max
    }

    /// The image feature, when the system is about images.
    pub fn image(&self) -> Option<&Field> {
        self.fields.get(self.image?)
    }

    /// Place of a feature that may come in.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] for a name that no served model reads.
    pub fn place(&self, name: &str) -> Result<usize, IntakeError> {
        let place = self.places.get(name).copied();
        if let Some(at) = place.filter(|at| self.fields.get(*at).is_some_and(|f| f.read)) {
            return Ok(at);
        }
        let name = shortened(name);
        Err(IntakeError::Refused(match place {
            Some(_) => format!("feature `{name}` is read by no model here; leave it out"),
            None => {
                let known = self.fields.iter().filter(|f| f.read).map(|f| f.name.as_str());
                match nearest(&name, known) {
                    Some(near) => format!("no feature is called `{name}`; did you mean `{near}`?"),
                    None => format!("no feature is called `{name}`"),
                }
            }
        }))
    }

    /// A builder for `rows` rows.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] for none or more than the limit.
    pub fn builder(&self, rows: usize) -> Result<Builder<'_>, IntakeError> {
        if rows == 0 || rows > self.rows_max {
            let most = self.rows_max;
            return Err(IntakeError::Refused(format!("{rows} rows; 1 to {most} are allowed")));
        }
        Ok(Builder::new(self))
    }
}

/// Rows on their way in, column by column.
#[derive(Debug)]
pub struct Builder<'a> {
    intake: &'a Intake,
    cells: Vec<Cells>,
    pixels: Vec<f32>,
    rows: usize,
}

/// A value as the wire gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A number.
    Number(f64),
    /// A text.
    Text(std::borrow::Cow<'a, str>),
    /// True or false.
    Truth(bool),
    /// Null, or left out.
    Missing,
}

impl<'a> Builder<'a> {
    fn new(intake: &'a Intake) -> Self {
        let empty = |f: &Field| {
            if f.kind.is_numeric() { Cells::Numbers(Vec::new()) } else { Cells::Texts(Vec::new()) }
        };
        let cells = intake.fields.iter().map(empty).collect();
        Self { intake, cells, pixels: Vec::new(), rows: 0 }
    }

    /// Begins a row; its values are then pushed in any order.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] when there are too many.
    pub fn begin_row(&mut self) -> Result<(), IntakeError> {
        if self.rows == self.intake.rows_max {
            let most = self.intake.rows_max;
            return Err(IntakeError::Refused(format!("more than {most} rows")));
        }
        self.rows += 1;
        Ok(())
    }

    /// The value of feature `place` in the current row.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] for a wrong type, a value outside its range, or a second one.
    pub fn push(&mut self, place: usize, cell: Cell<'_>) -> Result<(), IntakeError> {
        let Some(field) = self.intake.fields.get(place) else { return Err(bug()) };
        if cell == Cell::Missing && !self.intake.missing {
            return Err(IntakeError::Refused(format!("feature `{}` is missing", field.name)));
        }
        let row = self.rows;
        let twice = || IntakeError::Refused(format!("feature `{}` is given twice", field.name));
        match self.cells.get_mut(place) {
            Some(Cells::Numbers(column)) => {
                if column.len() >= row {
                    return Err(twice());
                }
                column.push(field.number(&cell)?);
            }
            Some(Cells::Texts(column)) => {
                if column.len() >= row {
                    return Err(twice());
                }
                column.push(field.text(cell)?);
            }
            None => return Err(bug()),
        }
        Ok(())
    }

    /// The pixels of the current row, channels first, in the unit of the declaration.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] for another number of them, or one outside the bounds.
    pub fn push_image(&mut self, pixels: &[f64]) -> Result<(), IntakeError> {
        let field = self.intake.image().ok_or_else(bug)?;
        let size: usize = field.shape.unwrap_or_default().iter().product();
        if pixels.len() != size {
            let found = pixels.len();
            return Err(IntakeError::Refused(format!(
                "feature `{}` has {size} values per image, here are {found}",
                field.name
            )));
        }
        if self.pixels.len() >= self.rows * size {
            return Err(IntakeError::Refused(format!("feature `{}` is given twice", field.name)));
        }
        for pixel in pixels {
            self.pixels.push(field.number(&Cell::Number(*pixel))? as f32);
        }
        Ok(())
    }

    /// Ends the current row.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] when a feature that a model reads is not there.
    pub fn end_row(&mut self) -> Result<(), IntakeError> {
        let row = self.rows;
        for (field, cells) in self.intake.fields.iter().zip(&mut self.cells) {
            if field.kind == FeatureKind::Image {
                let size: usize = field.shape.unwrap_or_default().iter().product();
                if self.pixels.len() != row * size {
                    return Err(absent(&field.name));
                }
                continue;
            }
            let filled = match cells {
                Cells::Numbers(column) => column.len(),
                Cells::Texts(column) => column.len(),
            };
            if filled == row {
                continue;
            }
            if field.read && !self.intake.missing {
                return Err(absent(&field.name));
            }
            match cells {
                Cells::Numbers(column) => column.push(f64::NAN),
                Cells::Texts(column) => column.push(None),
            }
        }
        Ok(())
    }

    /// The rows, complete.
    ///
    /// # Errors
    /// [`IntakeError::Refused`] when there are none.
    pub fn finish(self) -> Result<Rows, IntakeError> {
        let none = || IntakeError::Refused("there are no rows".into());
        if let Some(field) = self.intake.image() {
            let shape = field.shape.unwrap_or_default();
            return Rows::images(self.rows, shape, self.pixels).ok_or_else(none);
        }
        let columns = self.intake.fields.iter().zip(self.cells);
        let columns = columns
            .map(|(f, cells)| Column { name: f.name.clone(), kind: f.kind, cells })
            .collect();
        Rows::table(self.rows, columns).ok_or_else(none)
    }
}

impl Field {
    /// A number in its range; NaN where missing.
    fn number(&self, cell: &Cell<'_>) -> Result<f64, IntakeError> {
        let value = match cell {
            Cell::Number(value) => *value,
            Cell::Missing => return Ok(f64::NAN),
            other => return Err(self.wrong_type(other)),
        };
        if !value.is_finite() {
            return Err(self.refused("is not a finite number"));
        }
        if self.kind == FeatureKind::Integer && value.fract() != 0.0 {
            return Err(self.refused(&format!("must be a whole number, {value} is none")));
        }
        if let Some([low, high]) = self.bounds
            && !(low..=high).contains(&value)
        {
            return Err(self.refused(&format!("must lie in {low} to {high}, {value} does not")));
        }
        Ok(value)
    }

    /// A text that is allowed; `None` where missing.
    fn text(&self, cell: Cell<'_>) -> Result<Option<String>, IntakeError> {
        let text = match cell {
            Cell::Text(text) => text.into_owned(),
            Cell::Missing => return Ok(None),
            Cell::Truth(truth) if self.kind == FeatureKind::Boolean => {
                self.values.get(usize::from(truth)).ok_or_else(bug)?.clone()
            }
            Cell::Number(number) => self.numbered(number)?,
            other => return Err(self.wrong_type(&other)),
        };
        if self.allowed().is_empty() && self.narrowed.is_none() {
            if text.chars().count() > TEXT_CHARS_MAX || text.contains('\0') {
                let rule = format!("must have at most {TEXT_CHARS_MAX} characters and no NUL");
                return Err(self.refused(&rule));
            }
            return Ok(Some(text));
        }
        if self.allowed().contains(&text) {
            return Ok(Some(text));
        }
        let (text, known) = (shortened(&text), self.known());
        Err(self.refused(&format!("must be one of {known}; `{text}` is none of them")))
    }

    /// The declared text that a number stands for, e.g. `"2"` for 2.
    fn numbered(&self, number: f64) -> Result<String, IntakeError> {
        let same = |v: &&String| v.trim().parse::<f64>().is_ok_and(|v| v == number);
        let found = self.values.iter().find(same).cloned();
        found.ok_or_else(|| self.wrong_type(&Cell::Number(number)))
    }

    fn wrong_type(&self, cell: &Cell<'_>) -> IntakeError {
        let found = match cell {
            Cell::Number(_) => "a number",
            Cell::Text(_) => "a text",
            Cell::Truth(_) => "true or false",
            Cell::Missing => "missing",
        };
        self.refused(&format!("must be {}, this is {found}", self.kind_words()))
    }

    fn refused(&self, words: &str) -> IntakeError {
        IntakeError::Refused(format!("feature `{}` {words}", self.name))
    }

    /// The type, in words.
    pub fn kind_words(&self) -> &'static str {
        match self.kind {
            FeatureKind::Number => "a number",
            FeatureKind::Integer => "a whole number",
            FeatureKind::Category | FeatureKind::Ordinal => "a declared text",
            FeatureKind::Boolean => "true or false",
            FeatureKind::Text => "a text",
            FeatureKind::Image | FeatureKind::Series => "a list of numbers",
        }
    }

    /// The texts that may come in; any when empty and not narrowed.
    pub fn allowed(&self) -> &[String] {
        self.narrowed.as_deref().unwrap_or(&self.values)
    }

    fn known(&self) -> String {
        let allowed = self.allowed();
        let shown: Vec<String> =
            allowed.iter().take(VALUES_SHOWN).map(|v| format!("`{v}`")).collect();
        match allowed.len().saturating_sub(VALUES_SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}

fn absent(name: &str) -> IntakeError {
    IntakeError::Refused(format!("feature `{name}` is missing"))
}

/// Cannot happen: a place that the intake itself gave.
fn bug() -> IntakeError {
    IntakeError::Refused("the guard lost its place; please report this as a bug".into())
}

/// A foreign text for a message: short, and without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let cut: String = plain.take(SHOWN_CHARS).collect();
    if text.chars().count() > SHOWN_CHARS { format!("{cut}…") } else { cut }
}

/// Characters of a free text.
const TEXT_CHARS_MAX: usize = 4_096;
/// Allowed values shown in a message; more would hide it.
const VALUES_SHOWN: usize = 12;
/// Characters of foreign text shown in a message.
const SHOWN_CHARS: usize = 60;
