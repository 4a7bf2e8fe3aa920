//! What a value in an answer says about one row.
//!
//! Owns the path to it and its reading as scores per class. Foreign bytes: everything is looked
//! for, nothing assumed. Must never turn an unknown label into a class.

use serde_json::Value;

/// What an answer holds for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Probabilities: one of the second of two classes, one per class, or by name of class.
    Probabilities,
    /// Likewise, any numbers.
    Numbers,
    /// The name of the class decided.
    Label,
}

/// The words of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Names of the classes, in our order.
    pub classes: Vec<String>,
    /// Labels that mean "no decision".
    pub abstain: Vec<String>,
}

/// A JSON pointer (RFC 6901) in which `*` stands for the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    before: Vec<String>,
    /// After the `*`; `None` without one.
    after: Option<Vec<String>>,
}

impl Pointer {
    /// Reads `/results/*/scores` or `/scores`.
    ///
    /// # Errors
    /// No pointer, or more than one `*`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("`{text}` is no JSON pointer: it begins with `/`"));
        }
        let tokens = text.split('/').skip(1);
        let tokens: Vec<String> = tokens.map(|t| t.replace("~1", "/").replace("~0", "~")).collect();
        let mut parts = tokens.split(|t| t == "*");
        let before = parts.next().unwrap_or_default().to_vec();
        let after = parts.next().map(<[String]>::to_vec);
        match parts.next() {
            None => Ok(Self { before, after }),
            Some(_) => Err(format!("`{text}` has more than one `*`")),
        }
    }

    /// The value of each row.
    ///
    /// # Errors
    /// Where nothing is found, or not one value per row.
    pub fn rows<'v>(&self, body: &'v Value, rows: usize) -> Result<Vec<&'v Value>, String> {
        let found = walk(body, &self.before)?;
        let list = found.as_array();
        let each: Vec<&Value> = match (&self.after, list) {
            (Some(after), Some(list)) => {
                list.iter().map(|value| walk(value, after)).collect::<Result<_, _>>()?
            }
            (Some(_), None) => return Err(format!("{} is no list of rows", shown(&self.before))),
            (None, Some(list)) if list.len() == rows && rows > 1 => list.iter().collect(),
            // One row: its value itself, or a list of that one.
            (None, Some(list)) if list.len() == 1 && rows == 1 => list.iter().collect(),
            (None, _) if rows == 1 => vec![found],
            (None, _) => return Err(format!("{} is no list of rows", shown(&self.before))),
        };
        if each.len() != rows {
            return Err(format!("{} answers for {rows} rows", each.len()));
        }
        Ok(each)
    }
}

impl Words {
    /// Scores per class of one row, in our order; NaN where there is no decision.
    ///
    /// # Errors
    /// What does not fit.
    pub fn scores(&self, value: &Value, reads: Reads) -> Result<Vec<f32>, String> {
        if reads == Reads::Label {
            return self.label(value);
        }
        let scores = match value {
            Value::Number(_) if self.classes.len() == 2 => {
                let score = number(value)?;
                let other = if reads == Reads::Probabilities { 1.0 - score } else { 0.0 };
                vec![other, score]
            }
            Value::Array(list) => match list.as_slice() {
                [one] if self.classes.len() == 2 => return self.scores(one, reads),
                _ => list.iter().map(number).collect::<Result<_, _>>()?,
            },
            Value::Object(named) => self
                .classes
                .iter()
                .map(|class| match named.get(class) {
                    Some(value) => number(value),
                    None => Err(format!("no score of class `{class}`")),
                })
                .collect::<Result<_, _>>()?,
            other => return Err(format!("{} is no score", kind(other))),
        };
        if scores.len() != self.classes.len() {
            return Err(format!("{} scores for {} classes", scores.len(), self.classes.len()));
        }
        let inside = |p: &f64| (-SLACK..=1.0 + SLACK).contains(p);
        if reads == Reads::Probabilities && !scores.iter().all(inside) {
            return Err(format!("{scores:?} are no probabilities; say what they are"));
        }
        Ok(scores.into_iter().map(|s| s as f32).collect())
    }

    fn label(&self, value: &Value) -> Result<Vec<f32>, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Array(list) if list.len() == 1 => return self.label(&list[0]),
            other => return Err(format!("{} is no label", kind(other))),
        };
        let is = |class: &String| {
            *class == text
                || matches!((class.parse::<f64>(), text.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        };
        if let Some(at) = self.classes.iter().position(is) {
            return Ok((0..self.classes.len()).map(|c| if c == at { 1.0 } else { 0.0 }).collect());
        }
        if self.abstain.contains(&text) {
            return Ok(vec![f32::NAN; self.classes.len()]);
        }
        let text: String = text.chars().take(60).collect();
        Err(format!("the label `{text}` is none of `{}`", self.classes.join("`, `")))
    }
}

fn walk<'v>(mut value: &'v Value, tokens: &[String]) -> Result<&'v Value, String> {
    for (at, token) in tokens.iter().enumerate() {
        let next = match value {
            Value::Array(list) => token.parse::<usize>().ok().and_then(|i| list.get(i)),
            other => other.get(token),
        };
        value = next.ok_or_else(|| format!("there is nothing at {}", shown(&tokens[..=at])))?;
    }
    Ok(value)
}

fn number(value: &Value) -> Result<f64, String> {
    let number = value.as_f64().filter(|v| v.is_finite() && (*v as f32).is_finite());
    number.ok_or_else(|| format!("{} is no finite number", kind(value)))
}

fn shown(tokens: &[String]) -> String {
    format!("`/{}`", tokens.join("/"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Rounding that a probability may leave its range by.
const SLACK: f64 = 1e-6;
