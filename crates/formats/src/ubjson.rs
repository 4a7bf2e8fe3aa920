//! UBJSON (draft 12), as XGBoost writes models.
//!
//! Owns the markers, numbers in big-endian order and typed containers (`$` and `#`). Must never
//! allocate by a claimed count: every item of a container takes at least one byte of the file.
//! Called by [`crate::xgboost`].

use crate::document::{BYTES_MAX, Builder, DocumentError, Value};

/// Why bytes are no UBJSON.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum UbjsonError {
    #[error("UBJSON of {found} bytes; at most {limit} are read", limit = BYTES_MAX)]
    TooLarge { found: usize },
    #[error("UBJSON, byte {offset}: expected {expected}")]
    Syntax { offset: usize, expected: &'static str },
    #[error("UBJSON, byte {offset}: {source}")]
    Document { offset: usize, source: DocumentError },
}

/// Reads one document; nothing but no-operation markers may follow it.
///
/// # Errors
/// Bytes that are no UBJSON, and documents beyond the limits of [`crate::document`].
pub fn read(bytes: &[u8]) -> Result<Value, UbjsonError> {
    if bytes.len() > BYTES_MAX {
        return Err(UbjsonError::TooLarge { found: bytes.len() });
    }
    let mut parser = Parser { bytes, at: 0, builder: Builder::default(), open: Vec::new() };
    let value = parser.document()?;
    if bytes.iter().skip(parser.at).any(|&b| b != b'N') {
        return Err(parser.expected("the end of the file"));
    }
    Ok(value)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    builder: Builder,
    open: Vec<Open>,
}

/// A container that is open: how many items remain, when the file counts them, and their type,
/// when all have the same.
struct Open {
    object: bool,
    left: Option<u64>,
    marker: Option<u8>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, UbjsonError> {
        loop {
            if let Some(whole) = self.step()? {
                return Ok(whole);
            }
        }
    }

    /// Reads one item, or the end of a container; gives the document when it is complete.
    fn step(&mut self) -> Result<Option<Value>, UbjsonError> {
        let (object, marker, ended) = match self.open.last_mut() {
            None => (false, None, false),
            Some(Open { left: Some(0), .. }) => (false, None, true),
            Some(open) => {
                if let Some(left) = &mut open.left {
                    *left -= 1;
                    (open.object, open.marker, false)
                } else {
                    let end = if open.object { b'}' } else { b']' };
                    let object = open.object;
                    self.skip_no_operations();
                    let ended = self.peek() == Some(end);
                    self.at += usize::from(ended);
                    (object, None, ended)
                }
            }
        };
        if ended {
            self.open.pop();
            return self.builder.close().map_err(|e| self.refused(e));
        }
        if object {
            let key = self.text()?;
            self.builder.key(key);
        }
        let marker = match marker {
            Some(marker) => marker,
            None => {
                self.skip_no_operations();
                self.marker()?
            }
        };
        match marker {
            b'[' | b'{' => self.container(marker == b'{').map(|()| None),
            _ => {
                let value = self.scalar(marker)?;
                self.builder.push(value).map_err(|e| self.refused(e))
            }
        }
    }

    fn container(&mut self, object: bool) -> Result<(), UbjsonError> {
        let opened = if object { self.builder.open_object() } else { self.builder.open_list() };
        opened.map_err(|e| self.refused(e))?;
        let mut open = Open { object, left: None, marker: None };
        if self.peek() == Some(b'$') {
            self.at += 1;
            let marker = self.marker()?;
            // types without bytes would let a short file claim any number of items
            if matches!(marker, b'Z' | b'N' | b'T' | b'F') {
                return Err(self.expected("a type whose items take bytes"));
            }
            open.marker = Some(marker);
            if self.peek() != Some(b'#') {
                return Err(self.expected("a count after the type"));
            }
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            let count = self.length()?;
            if count > (self.bytes.len() - self.at.min(self.bytes.len())) {
                return Err(self.expected("no more items than the file has bytes"));
            }
            open.left = Some(count as u64);
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, marker: u8) -> Result<Value, UbjsonError> {
        Ok(match marker {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'd' => Value::Float(f32::from_be_bytes(self.take()?).into()),
            b'D' => Value::Float(f64::from_be_bytes(self.take()?)),
            b'C' => Value::Text(char::from(self.take::<1>()?[0] & 0x7f).to_string()),
            b'S' => Value::Text(self.text()?),
            b'H' => {
                let text = self.text()?;
                let whole = text.parse().ok().map(Value::Int);
                let value = whole.or_else(|| text.parse().ok().map(Value::Float));
                value.ok_or_else(|| self.expected("a number of high precision"))?
            }
            _ => Value::Int(self.int(marker)?),
        })
    }

    fn int(&mut self, marker: u8) -> Result<i64, UbjsonError> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.take()?).into(),
            b'U' => u8::from_be_bytes(self.take()?).into(),
            b'I' => i16::from_be_bytes(self.take()?).into(),
            b'l' => i32::from_be_bytes(self.take()?).into(),
            b'L' => i64::from_be_bytes(self.take()?),
            _ => return Err(self.expected("a type that UBJSON knows")),
        })
    }

    fn length(&mut self) -> Result<usize, UbjsonError> {
        let marker = self.marker()?;
        let length = self.int(marker)?;
        usize::try_from(length).map_err(|_| self.expected("a length that is not negative"))
    }

    /// A length and that many bytes of UTF-8.
    fn text(&mut self) -> Result<String, UbjsonError> {
        let length = self.length()?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(text) = rest.get(..length) else {
            return Err(self.expected("the whole text"));
        };
        let text = std::str::from_utf8(text).map_err(|_| self.expected("text in UTF-8"))?;
        self.at += length;
        Ok(text.to_owned())
    }

    fn marker(&mut self) -> Result<u8, UbjsonError> {
        let marker = self.peek().ok_or_else(|| self.expected("a type"))?;
        self.at += 1;
        Ok(marker)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], UbjsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let chunk = rest.first_chunk::<N>().copied();
        let chunk = chunk.ok_or_else(|| self.expected("the whole number"))?;
        self.at += N;
        Ok(chunk)
    }

    fn skip_no_operations(&mut self) {
        while self.peek() == Some(b'N') {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> UbjsonError {
        UbjsonError::Syntax { offset: self.at, expected }
    }

    fn refused(&self, source: DocumentError) -> UbjsonError {
        UbjsonError::Document { offset: self.at, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_read() {
        let text = |text: &str| Value::Text(text.to_owned());
        let entry = |key: &str, value| (key.to_owned(), value);
        let cases: [(&[u8], Value); 16] = [
            (b"Z", Value::Null),
            (b"TN", Value::Bool(true)),
            (b"i\xff", Value::Int(-1)),
            (b"U\xff", Value::Int(255)),
            (b"I\x80\0", Value::Int(-32_768)),
            (b"l\0\x01\0\0", Value::Int(65_536)),
            (b"L\0\0\0\x01\0\0\0\0", Value::Int(1 << 32)),
            (b"d\x3f\0\0\0", Value::Float(0.5)),
            (b"D\x3f\xe0\0\0\0\0\0\0", Value::Float(0.5)),
            (b"Ca", text("a")),
            (b"Hi\x031.5", Value::Float(1.5)),
            (b"[$d#i\x02\x3f\0\0\0\x3f\x80\0\0", Value::Floats(vec![0.5, 1.0])),
            (b"[#i\x02TSi\x01x", Value::List(vec![Value::Bool(true), text("x")])),
            (b"[Ni\x01NNi\x02N]", Value::Ints(vec![1, 2])),
            (b"{i\x01a[]i\x01bZ}", {
                let list = Value::List(vec![]);
                Value::Object(vec![entry("a", list), entry("b", Value::Null)])
            }),
            (b"{$U#i\x01i\x01a\x07", Value::Object(vec![entry("a", Value::Int(7))])),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(bytes).as_ref(), Ok(&value), "{}", bytes.escape_ascii());
        }
        let nested = b"[$[#i\x02i\x01]]";
        let lists = vec![Value::Ints(vec![1]), Value::List(vec![])];
        assert_eq!(read(nested), Ok(Value::List(lists)));
    }

    #[test]
    fn cases_that_do_not_read() {
        let cases: [&[u8]; 18] = [
            b"",
            b"N",
            b"x",
            b"[",
            b"{",
            b"i",
            b"[i\x01}",
            b"]",
            b"TT",
            b"Si\x05ab",
            b"Si\xff",
            b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[$U#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[$d",
            b"[$di\x01",
            b"{i\x01aTi\x01aT}",
            b"Si\x01\xff",
            b"[#i\xff]",
        ];
        for bytes in cases {
            assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(read(&b"[".repeat(1_000_000)).is_err(), "too deep");
        assert!(read(&b"[$[#U\xc8".repeat(100_000)).is_err(), "too deep, counted");
    }
}
