//! Typed access to a document, with errors that name the key.
//!
//! Owns conversions only. Must never invent a value: what is absent is an error or `None`.

use super::Value;

/// Why a value is not what is needed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct FieldError {
    key: String,
    problem: String,
}

impl FieldError {
    /// An error about a key.
    pub(crate) fn new(key: &str, problem: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.into() }
    }
}

impl Value {
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Ints(_) | Self::Floats(_) | Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value under a key of an object.
    pub fn at(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need(&self, key: &str) -> Result<&Self, FieldError> {
        self.at(key).ok_or_else(|| FieldError::new(key, "is missing"))
    }

    /// The text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, also where a file writes it as text (XGBoost does for parameters).
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The whole number, also where a file writes it as text.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(flag) => Some(i64::from(*flag)),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                Some(*number as i64)
            }
            _ => None,
        }
    }

    /// How many items a list has.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Ints(items) => Some(items.len()),
            Self::Floats(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            _ => None,
        }
    }

    /// Whether it is a list without items.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The values of a list that is not all numbers.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The numbers of a list.
    pub fn floats(&self) -> Option<Vec<f64>> {
        match self {
            Self::Ints(items) => Some(items.iter().map(|&n| n as f64).collect()),
            Self::Floats(items) => Some(items.clone()),
            Self::List(items) => items.iter().map(Self::number).collect(),
            _ => None,
        }
    }

    /// The whole numbers of a list; booleans count as 0 and 1.
    pub fn ints(&self) -> Option<Vec<i64>> {
        match self {
            Self::Ints(items) => Some(items.clone()),
            Self::Floats(items) => items.iter().map(|&n| Self::Float(n).whole()).collect(),
            Self::List(items) => items.iter().map(Self::whole).collect(),
            _ => None,
        }
    }

    /// The texts of a list.
    pub fn texts(&self) -> Option<Vec<String>> {
        let items = self.items()?;
        items.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// The text under a key.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need_text(&self, key: &str) -> Result<&str, FieldError> {
        let value = self.need(key)?;
        value.text().ok_or_else(|| expected(key, "text", value))
    }

    /// The number under a key.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need_number(&self, key: &str) -> Result<f64, FieldError> {
        let value = self.need(key)?;
        value.number().ok_or_else(|| expected(key, "a number", value))
    }

    /// The whole number under a key, within bounds.
    ///
    /// # Errors
    /// [`FieldError`] when there is none, or when it is out of bounds.
    pub fn need_size(&self, key: &str, max: usize) -> Result<usize, FieldError> {
        let value = self.need(key)?;
        let whole = value.whole().ok_or_else(|| expected(key, "a whole number", value))?;
        let size = usize::try_from(whole).ok().filter(|&size| size <= max);
        size.ok_or_else(|| FieldError::new(key, format!("is {whole}; 0 to {max} is read")))
    }

    /// The list of whole numbers under a key.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need_ints(&self, key: &str) -> Result<Vec<i64>, FieldError> {
        let value = self.need(key)?;
        value.ints().ok_or_else(|| expected(key, "a list of whole numbers", value))
    }

    /// The list of numbers under a key.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need_floats(&self, key: &str) -> Result<Vec<f64>, FieldError> {
        let value = self.need(key)?;
        value.floats().ok_or_else(|| expected(key, "a list of numbers", value))
    }

    /// The list of values under a key, of which none is a bare number.
    ///
    /// # Errors
    /// [`FieldError`] when there is none.
    pub fn need_items(&self, key: &str) -> Result<&[Self], FieldError> {
        let value = self.need(key)?;
        value.items().ok_or_else(|| expected(key, "a list", value))
    }
}

fn expected(key: &str, wanted: &str, found: &Value) -> FieldError {
    FieldError::new(key, format!("is {} where {wanted} is needed", found.kind()))
}
