//! The NPY header: magic, version, and a Python dictionary literal of exactly three keys.
//!
//! Owns a parser for just that literal. Must never evaluate anything. Called by [`super::read`].

use super::NpyError;
use super::array::NpyData;

/// Bytes of a header: all that version 1.0 can say; longer ones are structured types.
pub const HEADER_BYTES_MAX: usize = 65_535;

/// Dimensions: the limit of NumPy 2.
pub const RANK_MAX: usize = 64;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// Element type as written, e.g. `<f4`.
    pub descr: String,
    /// Whether the first index varies fastest in the file.
    pub fortran_order: bool,
    /// Shape.
    pub shape: Vec<usize>,
    /// Offset of the first element in the file, in bytes.
    pub data_offset: usize,
}

impl NpyHeader {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NpyError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::NotNpy)?;
        let truncated = |needed| NpyError::HeaderTruncated { needed, available: bytes.len() };
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(|| truncated(8))?;
        let (len, prefix, rest) = match *version {
            [1, 0] => {
                let (len, rest) = rest.split_first_chunk().ok_or_else(|| truncated(10))?;
                (usize::from(u16::from_le_bytes(*len)), 10, rest)
            }
            [2 | 3, 0] => {
                let (len, rest) = rest.split_first_chunk().ok_or_else(|| truncated(12))?;
                (usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX), 12, rest)
            }
            [major, minor] => return Err(NpyError::Version { major, minor }),
        };
        if len > HEADER_BYTES_MAX {
            return Err(NpyError::HeaderTooLarge { found: len });
        }
        let text = rest.get(..len).ok_or_else(|| truncated(prefix + len))?;
        Literal { rest: text, offset: prefix }.header(prefix + len)
    }
}

/// Renders a version 1.0 header, padded with blanks so that the data starts at 64 bytes.
pub(super) fn render(descr: &str, shape: &[usize]) -> Result<Vec<u8>, NpyError> {
    let dims = match shape {
        [one] => format!("{one},"),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    let unpadded = PREFIX_V1 + text.len() + 1;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let len =
        u16::try_from(text.len()).map_err(|_| NpyError::HeaderTooLarge { found: text.len() })?;
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

/// A cursor over the dictionary literal.
struct Literal<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Literal<'a> {
    fn header(mut self, data_offset: usize) -> Result<NpyHeader, NpyError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{', "a dictionary starting with `{`")?;
        while !self.accept(b'}') {
            let key = self.string()?;
            self.expect(b':', "`:`")?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return Err(NpyError::HeaderKey { key, problem: "not a key of NPY" }),
            };
            if repeated {
                return Err(NpyError::HeaderKey { key, problem: "given twice" });
            }
            if !self.accept(b',') {
                self.expect(b'}', "`,` or `}`")?;
                break;
            }
        }
        self.blanks();
        if !self.rest.is_empty() {
            return Err(self.error("only blanks after the dictionary"));
        }
        let missing = |key: &str| NpyError::HeaderKey { key: key.to_owned(), problem: "missing" };
        Ok(NpyHeader {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            data_offset,
        })
    }

    fn descr(&mut self) -> Result<String, NpyError> {
        self.blanks();
        if self.rest.starts_with(b"[") {
            let problem = "a structured type, which is not read; save each column by itself";
            return Err(NpyError::HeaderKey { key: "descr".to_owned(), problem });
        }
        self.string()
    }

    fn string(&mut self) -> Result<String, NpyError> {
        const EXPECTED: &str = "a quoted string of ASCII without escapes";
        self.blanks();
        let Some((&quote @ (b'\'' | b'"'), body)) = self.rest.split_first() else {
            return Err(self.error(EXPECTED));
        };
        let len = body.iter().position(|&b| b == quote).ok_or_else(|| self.error(EXPECTED))?;
        let (text, _) = body.split_at(len);
        let plain = |b: &u8| matches!(b, b' '..=b'~') && *b != b'\\';
        if !text.iter().all(plain) {
            return Err(self.error(EXPECTED));
        }
        self.advance(len + 2);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.blanks();
        for (word, value) in [("True", true), ("False", false)] {
            if self.rest.starts_with(word.as_bytes()) {
                self.advance(word.len());
                return Ok(value);
            }
        }
        Err(self.error("`True` or `False`"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, NpyError> {
        let mut shape = Vec::new();
        self.expect(b'(', "a tuple starting with `(`")?;
        while !self.accept(b')') {
            if shape.len() == RANK_MAX {
                return Err(self.error("at most 64 dimensions"));
            }
            shape.push(self.integer()?);
            if !self.accept(b',') {
                if shape.len() == 1 {
                    return Err(self.error("`,`, without which `(n)` is no tuple"));
                }
                self.expect(b')', "`,` or `)`")?;
                break;
            }
        }
        Ok(shape)
    }

    fn integer(&mut self) -> Result<usize, NpyError> {
        const EXPECTED: &str = "a dimension: a whole number that is not negative";
        self.blanks();
        let len = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = self.rest.get(..len).and_then(|d| std::str::from_utf8(d).ok());
        let value = digits.and_then(|d| d.parse().ok()).ok_or_else(|| self.error(EXPECTED))?;
        self.advance(len);
        self.accept(b'L'); // Python 2 wrote long integers like this
        Ok(value)
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), NpyError> {
        if self.accept(byte) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn blanks(&mut self) {
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.advance(self.rest.iter().take_while(blank).count());
    }

    fn advance(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.offset += len;
    }

    fn error(&self, expected: &'static str) -> NpyError {
        NpyError::Header { offset: self.offset, expected }
    }
}

/// An element type that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    kind: u8,
    big_endian: bool,
    /// Bytes, or code points for `U`.
    len: usize,
}

impl Scalar {
    pub(super) fn of(descr: &str) -> Result<Self, NpyError> {
        let refuse = || NpyError::ElementType { descr: descr.to_owned() };
        let (&[order, kind], size) = descr.as_bytes().split_first_chunk().ok_or_else(refuse)?;
        if kind == b'O' {
            return Err(NpyError::Objects { descr: descr.to_owned() });
        }
        let digits = !size.is_empty() && size.len() <= 9 && size.iter().all(u8::is_ascii_digit);
        let size = std::str::from_utf8(size).ok().filter(|_| digits);
        let len: usize = size.and_then(|s| s.parse().ok()).ok_or_else(refuse)?;
        let known = match kind {
            b'b' => len == 1,
            b'i' | b'u' => matches!(len, 1 | 2 | 4 | 8),
            b'f' => matches!(len, 2 | 4 | 8),
            b'U' | b'S' => true,
            _ => false,
        };
        // `|` says that order does not matter, which is a lie for numbers of several bytes
        let ordered = match order {
            b'<' | b'>' => true,
            b'|' => len == 1 && kind != b'U' || kind == b'S',
            _ => false,
        };
        if !known || !ordered {
            return Err(refuse());
        }
        Ok(Self { kind, big_endian: order == b'>', len })
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self.kind, b'U' | b'S')
    }

    /// Bytes of one element; at most 4e9 by the nine digits that are read.
    pub(super) fn size(self) -> usize {
        if self.kind == b'U' { self.len.saturating_mul(4) } else { self.len }
    }

    /// Decodes `count` elements that fill `body` exactly.
    pub(super) fn decode(self, body: &[u8], count: usize) -> Result<NpyData, NpyError> {
        macro_rules! numbers {
            ($variant:ident, $type:ty) => {
                NpyData::$variant(match self.big_endian {
                    true => chunks(body, <$type>::from_be_bytes),
                    false => chunks(body, <$type>::from_le_bytes),
                })
            };
        }
        Ok(match (self.kind, self.len) {
            (b'b', _) => NpyData::Bool(booleans(body)?),
            (b'i', 1) => numbers!(I8, i8),
            (b'i', 2) => numbers!(I16, i16),
            (b'i', 4) => numbers!(I32, i32),
            (b'i', _) => numbers!(I64, i64),
            (b'u', 1) => NpyData::U8(body.to_vec()),
            (b'u', 2) => numbers!(U16, u16),
            (b'u', 4) => numbers!(U32, u32),
            (b'u', _) => numbers!(U64, u64),
            (b'f', 2) => NpyData::F32(match self.big_endian {
                true => chunks(body, |b| crate::half::f16_to_f32(u16::from_be_bytes(b))),
                false => chunks(body, |b| crate::half::f16_to_f32(u16::from_le_bytes(b))),
            }),
            (b'f', 4) => numbers!(F32, f32),
            (b'f', _) => numbers!(F64, f64),
            _ => NpyData::Str(self.strings(body, count)?),
        })
    }

    fn strings(self, body: &[u8], count: usize) -> Result<Vec<String>, NpyError> {
        let size = self.size();
        if size == 0 {
            return Ok(vec![String::new(); count]);
        }
        let decode = |(index, element): (usize, &[u8])| {
            let kind = if self.kind == b'U' { "UTF-32 text" } else { "UTF-8 text" };
            self.string(element).ok_or(NpyError::Element { index, offset: index * size, kind })
        };
        body.chunks_exact(size).enumerate().map(decode).collect()
    }

    /// One element without the zeros that pad it.
    fn string(self, element: &[u8]) -> Option<String> {
        if self.kind == b'S' {
            let len = element.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            return std::str::from_utf8(element.get(..len)?).ok().map(str::to_owned);
        }
        let mut points = match self.big_endian {
            true => chunks(element, u32::from_be_bytes),
            false => chunks(element, u32::from_le_bytes),
        };
        points.truncate(points.iter().rposition(|&p| p != 0).map_or(0, |last| last + 1));
        points.into_iter().map(char::from_u32).collect()
    }
}

fn chunks<const N: usize, T>(body: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    body.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

fn booleans(body: &[u8]) -> Result<Vec<bool>, NpyError> {
    let decode = |(index, &byte): (usize, &u8)| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(NpyError::Element { index, offset: index, kind: "boolean" }),
    };
    body.iter().enumerate().map(decode).collect()
}

const MAGIC: &[u8] = b"\x93NUMPY";
const PREFIX_V1: usize = 10;
const ALIGNMENT: usize = 64;
