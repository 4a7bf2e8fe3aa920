//! A bounded reader and writer of the protobuf wire format, without schemas or generated code.
//!
//! Owns varints, tags, lengths and depth; every error names a byte offset and the message path.
//! Must never allocate by a length that the input merely claims: all values are slices of the
//! input. Called by [`crate::onnx`], which knows what the fields mean.

mod write;

pub use write::Writer;

/// Deepest nesting of messages: protobuf's own default, and enough for 30 nested subgraphs.
pub const MESSAGE_DEPTH_MAX: u32 = 100;

/// Largest input: protobuf cannot express longer messages, so more bytes are not one message.
pub const MESSAGE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A cursor over one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Offset of the first of `bytes` that are still to be read, from the start of the file.
    offset: u64,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader of a whole file.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] past [`MESSAGE_BYTES_MAX`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() as u64 > MESSAGE_BYTES_MAX {
            let problem = Problem::TooLarge { found: bytes.len() as u64, limit: MESSAGE_BYTES_MAX };
            return Err(WireError::new(0, problem));
        }
        Ok(Self { bytes, offset: 0, depth: 0 })
    }

    /// Offset of the next byte from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next field, or `None` at the end of the message.
    ///
    /// # Errors
    /// Truncated values, tags that are no tags, varints over ten bytes, and the group wire types,
    /// which no ONNX writer emits.
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(WireError::new(offset, Problem::BadTag { tag }));
        }
        let value = match tag & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len_offset = self.offset;
                let len = self.varint()?;
                FieldValue::Bytes(self.take(len, len_offset)?)
            }
            5 => FieldValue::Fixed32(u32::from_le_bytes(self.array()?)),
            wire => return Err(WireError::new(offset, Problem::WireType { number, wire })),
        };
        Ok(Some(Field { number, offset, end: self.offset, depth: self.depth, value }))
    }

    /// A varint of at most ten bytes and 64 bits.
    fn varint(&mut self) -> Result<u64, WireError> {
        let Some((value, rest)) = varint(self.bytes) else {
            let problem = match self.bytes.len() < VARINT_BYTES_MAX {
                true => Problem::Truncated { needed: 1, left: 0 },
                false => Problem::OverlongVarint,
            };
            return Err(WireError::new(self.offset, problem));
        };
        self.offset += (self.bytes.len() - rest.len()) as u64;
        self.bytes = rest;
        Ok(value)
    }

    fn take(&mut self, len: u64, blame: u64) -> Result<&'a [u8], WireError> {
        let left = self.bytes.len() as u64;
        let split = usize::try_from(len).ok().and_then(|n| self.bytes.split_at_checked(n));
        let Some((head, rest)) = split else {
            return Err(WireError::new(blame, Problem::Truncated { needed: len, left }));
        };
        self.bytes = rest;
        self.offset += len;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let start = self.offset;
        let head = self.take(N as u64, start)?;
        head.try_into()
            .map_err(|_| WireError::new(start, Problem::Truncated { needed: 1, left: 0 }))
    }
}

/// The varint at the start and what follows it; `None` when it does not end within the bytes or
/// within ten bytes and 64 bits.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        if index == VARINT_BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..).unwrap_or_default()));
        }
    }
    None
}

/// One field of a message, its value still a slice of the input.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Field number.
    pub number: u32,
    /// Offset of the tag from the start of the file.
    pub offset: u64,
    end: u64,
    depth: u32,
    value: FieldValue<'a>,
}

/// The four wire types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Field<'a> {
    /// An `int64` (or `uint64` seen as one).
    ///
    /// # Errors
    /// The field has another wire type.
    pub fn int64(&self) -> Result<i64, WireError> {
        match self.value {
            FieldValue::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.expected("a varint")),
        }
    }

    /// An `int32` or an enumeration.
    ///
    /// # Errors
    /// Another wire type, or a value outside 32 bits, on which parsers disagree.
    pub fn int32(&self) -> Result<i32, WireError> {
        let value = self.int64()?;
        i32::try_from(value).map_err(|_| self.error(Problem::OutOfRange { value, kind: "int32" }))
    }

    /// A `float`.
    ///
    /// # Errors
    /// The field has another wire type.
    pub fn float(&self) -> Result<f32, WireError> {
        match self.value {
            FieldValue::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.expected("four bytes of a float")),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// The field has another wire type.
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            FieldValue::Bytes(bytes) => Ok(bytes),
            _ => Err(self.expected("length-delimited bytes")),
        }
    }

    /// Text of at most `limit` bytes.
    ///
    /// # Errors
    /// Another wire type, longer, or not UTF-8.
    pub fn text(&self, limit: usize) -> Result<&'a str, WireError> {
        let bytes = self.bytes()?;
        if bytes.len() > limit {
            let (found, limit) = (bytes.len() as u64, limit as u64);
            return Err(self.error(Problem::TooLarge { found, limit }));
        }
        std::str::from_utf8(bytes).map_err(|_| self.error(Problem::NotText))
    }

    /// A reader of the nested message.
    ///
    /// # Errors
    /// Another wire type, or nesting past [`MESSAGE_DEPTH_MAX`].
    pub fn message(&self) -> Result<Reader<'a>, WireError> {
        let bytes = self.bytes()?;
        if self.depth >= MESSAGE_DEPTH_MAX {
            return Err(self.error(Problem::TooDeep { limit: MESSAGE_DEPTH_MAX }));
        }
        Ok(Reader { bytes, offset: self.end - bytes.len() as u64, depth: self.depth + 1 })
    }

    /// Appends a repeated varint field, packed or not, taking its elements off `budget`.
    ///
    /// # Errors
    /// Another wire type, a bad varint, more elements than the budget has left, or an element
    /// that `convert` refuses as outside `kind`.
    pub fn varints<T>(
        &self,
        into: &mut Vec<T>,
        budget: &mut Budget,
        kind: &'static str,
        convert: impl Fn(u64) -> Option<T>,
    ) -> Result<(), WireError> {
        let out_of_range = |offset, value: u64| {
            let value = value.cast_signed();
            WireError::new(offset, Problem::OutOfRange { value, kind })
        };
        match self.value {
            FieldValue::Varint(value) => {
                budget.spend(1, self.offset)?;
                into.push(convert(value).ok_or_else(|| out_of_range(self.offset, value))?);
                Ok(())
            }
            FieldValue::Bytes(bytes) => {
                let count = bytes.iter().filter(|&&byte| byte & 0x80 == 0).count();
                budget.spend(count as u64, self.offset)?;
                into.reserve_exact(count);
                let mut reader = self.message()?;
                while !reader.bytes.is_empty() {
                    let offset = reader.offset;
                    let value = reader.varint()?;
                    into.push(convert(value).ok_or_else(|| out_of_range(offset, value))?);
                }
                Ok(())
            }
            _ => Err(self.expected("a varint or packed varints")),
        }
    }

    /// Appends a repeated `float` field, packed or not, taking its elements off `budget`.
    ///
    /// # Errors
    /// Another wire type, a packed length that four does not divide, or the budget.
    pub fn floats(&self, into: &mut Vec<f32>, budget: &mut Budget) -> Result<(), WireError> {
        match self.value {
            FieldValue::Fixed32(bits) => {
                budget.spend(1, self.offset)?;
                into.push(f32::from_bits(bits));
                Ok(())
            }
            FieldValue::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks::<4>();
                self.whole(bytes.len(), rest, 4)?;
                budget.spend(chunks.len() as u64, self.offset)?;
                into.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
                Ok(())
            }
            _ => Err(self.expected("floats or packed floats")),
        }
    }

    /// Appends a repeated `double` field, packed or not, taking its elements off `budget`.
    ///
    /// # Errors
    /// Another wire type, a packed length that eight does not divide, or the budget.
    pub fn doubles(&self, into: &mut Vec<f64>, budget: &mut Budget) -> Result<(), WireError> {
        match self.value {
            FieldValue::Fixed64(bits) => {
                budget.spend(1, self.offset)?;
                into.push(f64::from_bits(bits));
                Ok(())
            }
            FieldValue::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks::<8>();
                self.whole(bytes.len(), rest, 8)?;
                budget.spend(chunks.len() as u64, self.offset)?;
                into.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
                Ok(())
            }
            _ => Err(self.expected("doubles or packed doubles")),
        }
    }

    /// An error at this field.
    pub fn error(&self, problem: Problem) -> WireError {
        WireError::new(self.offset, problem)
    }

    fn whole(&self, len: usize, rest: &[u8], size: u32) -> Result<(), WireError> {
        if rest.is_empty() {
            return Ok(());
        }
        Err(self.error(Problem::Ragged { len: len as u64, size }))
    }

    fn expected(&self, expected: &'static str) -> WireError {
        let found = match self.value {
            FieldValue::Varint(_) => "a varint",
            FieldValue::Fixed64(_) => "eight fixed bytes",
            FieldValue::Bytes(_) => "length-delimited bytes",
            FieldValue::Fixed32(_) => "four fixed bytes",
        };
        self.error(Problem::Unexpected { number: self.number, expected, found })
    }
}

/// How many more things of one kind may be read; shared by all messages of a file.
#[derive(Clone, Debug)]
pub struct Budget {
    what: &'static str,
    limit: u64,
    left: u64,
}

impl Budget {
    /// A budget of `limit` things called `what` (plural, for the message).
    pub fn new(what: &'static str, limit: u64) -> Self {
        Self { what, limit, left: limit }
    }

    /// Takes `count` off.
    ///
    /// # Errors
    /// [`Problem::TooMany`] when less is left; nothing is taken then.
    pub fn spend(&mut self, count: u64, offset: u64) -> Result<(), WireError> {
        let Some(left) = self.left.checked_sub(count) else {
            let problem = Problem::TooMany { what: self.what, limit: self.limit };
            return Err(WireError::new(offset, problem));
        };
        self.left = left;
        Ok(())
    }
}

/// What is wrong with the bytes, where, and in which message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct WireError {
    offset: u64,
    path: String,
    problem: Problem,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, path, problem } = self;
        match path.as_str() {
            "" => write!(f, "at byte {offset}: {problem}"),
            _ => write!(f, "at byte {offset}, in `{path}`: {problem}"),
        }
    }
}

impl WireError {
    /// An error at an offset, with an empty path that callers extend outwards.
    pub fn new(offset: u64, problem: Problem) -> Self {
        Self { offset, path: String::new(), problem }
    }

    /// Offset from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Path of the message, e.g. `graph.node[3].attribute[1]`; empty for the file itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same error seen from one message further out.
    #[must_use]
    pub fn within(mut self, field: &str, index: Option<usize>) -> Self {
        let mut path = match index {
            Some(index) => format!("{field}[{index}]"),
            None => field.to_owned(),
        };
        if !self.path.is_empty() {
            path.push('.');
            path.push_str(&self.path);
        }
        self.path = path;
        self
    }
}

/// What can be wrong with protobuf bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Problem {
    #[error(
        "a value needs {needed} more bytes but {left} remain; the file is cut short or a \
             length in it is wrong"
    )]
    Truncated { needed: u64, left: u64 },
    #[error("a varint does not end within ten bytes and 64 bits")]
    OverlongVarint,
    #[error("`{tag}` is no field tag; this is not a protobuf message")]
    BadTag { tag: u64 },
    #[error(
        "field {number} has wire type {wire}, which is not used here; this is not the \
             expected protobuf message"
    )]
    WireType { number: u32, wire: u64 },
    #[error("field {number}: expected {expected}, found {found}")]
    Unexpected { number: u32, expected: &'static str, found: &'static str },
    #[error("`{value}` does not fit {kind}")]
    OutOfRange { value: i64, kind: &'static str },
    #[error("{len} packed bytes are no whole number of {size}-byte elements")]
    Ragged { len: u64, size: u32 },
    #[error("text that is not UTF-8")]
    NotText,
    #[error("{found} bytes where at most {limit} are read")]
    TooLarge { found: u64, limit: u64 },
    #[error("nested more than {limit} deep")]
    TooDeep { limit: u32 },
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: u64 },
    #[error("`{field}` is written twice, and readers disagree on which one counts")]
    Twice { field: &'static str },
    #[error("`{first}` and `{second}` are both given where one is allowed")]
    Both { first: &'static str, second: &'static str },
    #[error("`{field}` is missing")]
    Missing { field: &'static str },
}

const VARINT_BYTES_MAX: usize = 10;
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;
