//! JSON as model files hold it.
//!
//! Owns the grammar of RFC 8259 and, beyond it, `NaN`, `Infinity` and `-Infinity`, which XGBoost
//! and Python write for numbers. Must never recurse, and never lose a digit that matters: numbers
//! become the nearest double. Called by the readers of tree models.

use crate::document::{BYTES_MAX, Builder, DocumentError, Value};

/// Why bytes are no JSON.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum JsonError {
    #[error("JSON of {found} bytes; at most {limit} are read", limit = BYTES_MAX)]
    TooLarge { found: usize },
    #[error("JSON, byte {offset}: expected {expected}")]
    Syntax { offset: usize, expected: &'static str },
    #[error("JSON, byte {offset}: {source}")]
    Document { offset: usize, source: DocumentError },
}

/// Reads one document; nothing but blanks may follow it.
///
/// # Errors
/// Bytes that are no JSON, and documents beyond the limits of [`crate::document`].
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.len() > BYTES_MAX {
        return Err(JsonError::TooLarge { found: bytes.len() });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut parser = Parser { bytes, at: 0, builder: Builder::default() };
    let value = parser.document()?;
    parser.blanks();
    if parser.at < bytes.len() {
        return Err(parser.expected("the end of the file"));
    }
    Ok(value)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    builder: Builder,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, JsonError> {
        let mut next = Next::Value;
        loop {
            self.blanks();
            let done = match (next, self.peek()) {
                (Next::Value | Next::ValueOrEnd, Some(b'{')) => {
                    self.at += 1;
                    self.builder.open_object().map_err(|e| self.refused(e))?;
                    next = Next::KeyOrEnd;
                    continue;
                }
                (Next::Value | Next::ValueOrEnd, Some(b'[')) => {
                    self.at += 1;
                    self.builder.open_list().map_err(|e| self.refused(e))?;
                    next = Next::ValueOrEnd;
                    continue;
                }
                (Next::Key | Next::KeyOrEnd, Some(b'"')) => {
                    let key = self.text()?;
                    self.builder.key(key);
                    self.blanks();
                    self.byte(b':', "a colon")?;
                    next = Next::Value;
                    continue;
                }
                (Next::CommaOrEnd, Some(b',')) => {
                    self.at += 1;
                    next = if self.builder.wants_key() { Next::Key } else { Next::Value };
                    continue;
                }
                (Next::ValueOrEnd, Some(b']')) | (Next::KeyOrEnd, Some(b'}')) => self.close()?,
                (Next::CommaOrEnd, Some(b'}')) if self.builder.wants_key() => self.close()?,
                (Next::CommaOrEnd, Some(b']')) if !self.builder.wants_key() => self.close()?,
                (Next::Value | Next::ValueOrEnd, _) => {
                    let value = self.scalar()?;
                    self.builder.push(value).map_err(|e| self.refused(e))?
                }
                (Next::Key | Next::KeyOrEnd, _) => return Err(self.expected("a key in quotes")),
                (Next::CommaOrEnd, _) => return Err(self.expected("a comma or the end")),
            };
            if let Some(whole) = done {
                return Ok(whole);
            }
            next = Next::CommaOrEnd;
        }
    }

    fn close(&mut self) -> Result<Option<Value>, JsonError> {
        self.at += 1;
        self.builder.close().map_err(|e| self.refused(e))
    }

    fn scalar(&mut self) -> Result<Value, JsonError> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        if self.peek() == Some(b'"') {
            return self.text().map(Value::Text);
        }
        for (word, value) in words {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(rest, sign);
        let leading = rest.get(sign) == Some(&b'0') && whole > 1;
        let mut len = sign + whole;
        let mut plain = true;
        let mut good = whole > 0 && !leading;
        if rest.get(len) == Some(&b'.') {
            let fraction = digits(rest, len + 1);
            (len, plain, good) = (len + 1 + fraction, false, good && fraction > 0);
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            let power = digits(rest, len + 1 + sign);
            (len, plain, good) = (len + 1 + sign + power, false, good && power > 0);
        }
        let text = rest.get(..len).and_then(|text| std::str::from_utf8(text).ok());
        let Some(text) = text.filter(|_| good) else {
            return Err(self.expected("a value"));
        };
        // -0 is a double, for a whole number has no sign at zero
        let int = if plain && text != "-0" { text.parse().ok().map(Value::Int) } else { None };
        let value = int.or_else(|| text.parse().ok().map(Value::Float));
        let value = value.ok_or_else(|| self.expected("a value"))?;
        self.at += len;
        Ok(value)
    }

    /// Reads text in quotes, escapes undone.
    fn text(&mut self) -> Result<String, JsonError> {
        self.byte(b'"', "a quote")?;
        let mut out = Vec::new();
        loop {
            let rest = self.rest();
            let plain = |&b: &u8| b != b'"' && b != b'\\' && b >= 0x20;
            let run = rest.iter().position(|b| !plain(b)).unwrap_or(rest.len());
            out.extend_from_slice(rest.get(..run).unwrap_or_default());
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(out).map_err(|_| self.expected("text in UTF-8"));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let letter = self.escape()?;
                    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.expected("the end of the text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = match self.peek() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unit();
            }
            _ => return Err(self.expected("an escape that JSON knows")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// The letter of a `\u` escape, or of two for letters beyond the first 65,536.
    fn unit(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.expected("half a letter less"));
        }
        if !self.rest().starts_with(b"\\u") {
            return Err(self.expected("the second half of a letter"));
        }
        self.at += 2;
        let low = self.hex()?;
        let code = low.checked_sub(0xdc00).filter(|&low| low < 0x400);
        let code = code.map(|low| 0x1_0000 + ((high - 0xd800) << 10) + low);
        let letter = code.and_then(char::from_u32);
        letter.ok_or_else(|| self.expected("the second half of a letter"))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let text = self.rest().get(..4).filter(|t| t.iter().all(u8::is_ascii_hexdigit));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax { offset: self.at, expected }
    }

    fn refused(&self, source: DocumentError) -> JsonError {
        JsonError::Document { offset: self.at, source }
    }
}

/// How many digits stand from `start` on.
fn digits(bytes: &[u8], start: usize) -> usize {
    bytes.iter().skip(start).take_while(|b| b.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DEPTH_MAX;

    #[test]
    fn cases_that_read() {
        let object = |key: &str, value| Value::Object(vec![(key.to_owned(), value)]);
        let cases: [(&str, Value); 15] = [
            ("1", Value::Int(1)),
            (" -0 ", Value::Float(-0.0)),
            ("[]", Value::List(vec![])),
            ("{}", Value::Object(vec![])),
            ("[1,2]", Value::Ints(vec![1, 2])),
            ("[1,2.5E0]", Value::Floats(vec![1.0, 2.5])),
            ("[2.5,1]", Value::Floats(vec![2.5, 1.0])),
            ("[1,null]", Value::List(vec![Value::Int(1), Value::Null])),
            ("[1e3, -Infinity]", Value::Floats(vec![1000.0, f64::NEG_INFINITY])),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("[[1],[]]", Value::List(vec![Value::Ints(vec![1]), Value::List(vec![])])),
            (r#"{"a":[true]}"#, object("a", Value::List(vec![Value::Bool(true)]))),
            (r#"{"a" : {"b":0}}"#, object("a", object("b", Value::Int(0)))),
            (r#""\u00fc\ud83d\ude00\n\/""#, Value::Text("ü😀\n/".into())),
            ("[9007199254740993,0.5]", {
                let big = Value::Int(9_007_199_254_740_993);
                Value::List(vec![big, Value::Float(0.5)])
            }),
        ];
        for (text, value) in cases {
            assert_eq!(read(text.as_bytes()).as_ref(), Ok(&value), "{text}");
        }
        assert!(matches!(read(b"[NaN]"), Ok(Value::Floats(v)) if v[0].is_nan()));
    }

    #[test]
    fn cases_that_do_not_read() {
        let cases = [
            "",
            "[",
            "{",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "[1}",
            "{\"a\":1]",
            "]",
            "}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "1 2",
            "\"\u{1}\"",
            "[1],",
            "{\"a\":1,\"a\":2}",
            "--1",
            "1-",
            "NaNs",
            ",",
        ];
        for text in cases {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"\"\xff\"").is_err(), "not UTF-8");
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
        let refused = read(nested(DEPTH_MAX + 1).as_bytes());
        assert!(matches!(refused, Err(JsonError::Document { .. })));
        assert!(read("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
