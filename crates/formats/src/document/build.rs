//! Builds a document without recursion.
//!
//! Owns the stack of open containers, the packing of number lists and the limits. Must never
//! accept syntax by itself: the readers say what opens, closes and stands inside.

use super::{DEPTH_MAX, DocumentError, VALUES_MAX, Value};

/// Containers that are open, the innermost last.
#[derive(Default)]
pub(crate) struct Builder {
    open: Vec<Container>,
    values: usize,
}

enum Container {
    List(Value),
    Object { entries: Vec<(String, Value)>, key: Option<String> },
}

impl Builder {
    /// Whether the innermost open container is an object that waits for a key.
    pub(crate) fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Container::Object { key: None, .. }))
    }

    /// Opens a list.
    pub(crate) fn open_list(&mut self) -> Result<(), DocumentError> {
        self.open(Container::List(Value::List(Vec::new())))
    }

    /// Opens an object.
    pub(crate) fn open_object(&mut self) -> Result<(), DocumentError> {
        self.open(Container::Object { entries: Vec::new(), key: None })
    }

    /// Names the next value of the innermost object.
    pub(crate) fn key(&mut self, text: String) {
        if let Some(Container::Object { key, .. }) = self.open.last_mut() {
            *key = Some(text);
        }
    }

    /// Adds a value to the innermost container; gives it back when nothing is open, as the whole
    /// document.
    pub(crate) fn push(&mut self, value: Value) -> Result<Option<Value>, DocumentError> {
        match self.open.last_mut() {
            None => return Ok(Some(value)),
            Some(Container::List(list)) => {
                append(list, value);
                if matches!(list, Value::List(_)) {
                    self.values += 1;
                }
            }
            Some(Container::Object { entries, key }) => {
                entries.push((key.take().unwrap_or_default(), value));
                self.values += 1;
            }
        }
        if self.values > VALUES_MAX { Err(DocumentError::Values) } else { Ok(None) }
    }

    /// Closes the innermost container and adds it to the one around it.
    pub(crate) fn close(&mut self) -> Result<Option<Value>, DocumentError> {
        let value = match self.open.pop() {
            None => Value::Null,
            Some(Container::List(mut list)) => {
                shrink(&mut list);
                list
            }
            Some(Container::Object { entries, .. }) => {
                once(&entries)?;
                Value::Object(entries)
            }
        };
        self.push(value)
    }

    fn open(&mut self, container: Container) -> Result<(), DocumentError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(DocumentError::Depth);
        }
        self.open.push(container);
        Ok(())
    }
}

/// Appends to a list, keeping numbers packed as long as nothing is lost by it.
fn append(list: &mut Value, value: Value) {
    match (&mut *list, &value) {
        (Value::List(items), Value::Int(number)) if items.is_empty() => {
            *list = Value::Ints(vec![*number]);
        }
        (Value::List(items), Value::Float(number)) if items.is_empty() => {
            *list = Value::Floats(vec![*number]);
        }
        (Value::Ints(items), Value::Int(number)) => items.push(*number),
        (Value::Floats(items), Value::Float(number)) => items.push(*number),
        (Value::Floats(items), Value::Int(number)) if exact(*number) => items.push(*number as f64),
        (Value::Ints(items), Value::Float(number)) if items.iter().all(|&n| exact(n)) => {
            let mut floats: Vec<f64> = items.iter().map(|&n| n as f64).collect();
            floats.push(*number);
            *list = Value::Floats(floats);
        }
        _ => {
            let mut items = unpacked(std::mem::replace(list, Value::Null));
            items.push(value);
            *list = Value::List(items);
        }
    }
}

fn unpacked(list: Value) -> Vec<Value> {
    match list {
        Value::Ints(items) => items.into_iter().map(Value::Int).collect(),
        Value::Floats(items) => items.into_iter().map(Value::Float).collect(),
        Value::List(items) => items,
        other => vec![other],
    }
}

fn shrink(list: &mut Value) {
    match list {
        Value::Ints(items) => items.shrink_to_fit(),
        Value::Floats(items) => items.shrink_to_fit(),
        Value::List(items) => items.shrink_to_fit(),
        _ => {}
    }
}

/// Whether a whole number survives as a double.
fn exact(number: i64) -> bool {
    number.unsigned_abs() <= 1 << 53
}

fn once(entries: &[(String, Value)]) -> Result<(), DocumentError> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let key = pair.first().copied().unwrap_or_default().to_owned();
            Err(DocumentError::Duplicate { key })
        }
        None => Ok(()),
    }
}
