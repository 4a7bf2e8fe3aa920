//! Elements of ONNX tensors, and where external ones lie.
//!
//! Owns element types and counts. Must never open a file: for external data it says what the
//! model says, and the caller decides. Called by `engine` when it loads constants.

use std::borrow::Cow;

use super::model::{TensorData, TensorProto};

/// Elements of one tensor: 2 GiB of the smallest type.
pub const TENSOR_ELEMENTS_MAX: usize = 1 << 31;

/// `TensorProto.DataType` for the types that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named after the specification
#[repr(i32)]
pub enum DataType {
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Bfloat16 = 16,
}

impl DataType {
    /// The type of that code, if it is decoded.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Float,
            2 => Self::Uint8,
            3 => Self::Int8,
            4 => Self::Uint16,
            5 => Self::Int16,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Double,
            12 => Self::Uint32,
            13 => Self::Uint64,
            16 => Self::Bfloat16,
            _ => return None,
        })
    }

    /// Code in the specification.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Name of any code of the specification, for messages.
    pub fn name_of(code: i32) -> &'static str {
        usize::try_from(code).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("unknown")
    }

    /// Bytes of one element in `raw_data`; `None` for text, which has none there.
    pub fn size(self) -> Option<usize> {
        Some(match self {
            Self::Uint8 | Self::Int8 | Self::Bool => 1,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Float | Self::Int32 | Self::Uint32 => 4,
            Self::Int64 | Self::Double | Self::Uint64 => 8,
            Self::String => return None,
        })
    }

    /// Name of the typed field that may carry the elements instead of `raw_data`.
    fn field(self) -> &'static str {
        match self {
            Self::Float => "float_data",
            Self::Double => "double_data",
            Self::Int64 => "int64_data",
            Self::Uint32 | Self::Uint64 => "uint64_data",
            Self::String => "string_data",
            _ => "int32_data",
        }
    }
}

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Elements {
    /// Also of `float16` and `bfloat16`, which widen exactly.
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    I16(Vec<i16>),
    I8(Vec<i8>),
    U64(Vec<u64>),
    U32(Vec<u32>),
    U16(Vec<u16>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
    Str(Vec<String>),
}

/// Where external data lies, as the model says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalData {
    /// Path relative to the model; check it with [`location_is_confined`].
    pub location: String,
    /// First byte; 0 when absent.
    pub offset: u64,
    /// Number of bytes; `None` means to the end of the file.
    pub length: Option<u64>,
    /// Digest as written, unverified.
    pub checksum: Option<String>,
}

/// Why elements cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum TensorError {
    #[error("tensor `{name}` has element type {type_name} ({code}), which is not read")]
    ElementType { name: String, code: i32, type_name: &'static str },
    #[error("tensor `{name}` has shape {dims:?}: no dimension may be negative, and at most \
             {limit} elements are read", limit = TENSOR_ELEMENTS_MAX)]
    Shape { name: String, dims: Vec<i64> },
    #[error(
        "tensor `{name}` of shape {dims:?} needs {expected} elements but `{field}` holds \
             {found} {unit}"
    )]
    Count {
        name: String,
        dims: Vec<i64>,
        expected: usize,
        field: &'static str,
        found: usize,
        unit: &'static str,
    },
    #[error(
        "tensor `{name}` carries `{found}` where its element type wants `raw_data` or \
             `{expected}`"
    )]
    Field { name: String, expected: &'static str, found: &'static str },
    #[error("element {index} of tensor `{name}` does not fit {type_name}")]
    Element { name: String, index: usize, type_name: &'static str },
    #[error("tensor `{name}` is one segment of a larger one; no exporter in use writes that")]
    Segment { name: String },
    #[error("tensor `{name}` keeps its elements in another file; give that file's bytes")]
    External { name: String },
    #[error("tensor `{name}` says neither where its external data lies nor holds any: {reason}")]
    ExternalFacts { name: String, reason: String },
}

/// A range of external data that the file cannot satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "external data from byte {offset}, {length:?} bytes long, lies outside its file of \
         {available} bytes"
)]
pub struct ExternalRangeError {
    offset: u64,
    length: Option<u64>,
    available: u64,
}

impl<'a> TensorProto<'a> {
    /// A tensor of those elements, kept as little-endian `raw_data` (`string_data` for text).
    pub fn from_elements(name: &str, dims: &[i64], elements: &Elements) -> TensorProto<'static> {
        fn raw<const N: usize>(bytes: impl Iterator<Item = [u8; N]>) -> TensorData<'static> {
            TensorData::Raw(Cow::Owned(bytes.flatten().collect()))
        }
        let (data_type, data) = match elements {
            Elements::F32(v) => (DataType::Float, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::F64(v) => (DataType::Double, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::I64(v) => (DataType::Int64, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::I32(v) => (DataType::Int32, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::I16(v) => (DataType::Int16, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::I8(v) => (DataType::Int8, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::U64(v) => (DataType::Uint64, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::U32(v) => (DataType::Uint32, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::U16(v) => (DataType::Uint16, raw(v.iter().map(|x| x.to_le_bytes()))),
            Elements::U8(v) => (DataType::Uint8, TensorData::Raw(Cow::Owned(v.clone()))),
            Elements::Bool(v) => (DataType::Bool, raw(v.iter().map(|&x| [u8::from(x)]))),
            Elements::Str(v) => {
                let list = v.iter().map(|s| Cow::Owned(s.clone().into_bytes())).collect();
                (DataType::String, TensorData::String(list))
            }
        };
        TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: data_type.code(),
            data,
            ..TensorProto::default()
        }
    }

    /// Shape and number of elements.
    ///
    /// # Errors
    /// [`TensorError::Shape`]: a negative dimension, or more than [`TENSOR_ELEMENTS_MAX`].
    pub fn shape(&self) -> Result<(Vec<usize>, usize), TensorError> {
        let refuse = || TensorError::Shape { name: self.name.clone(), dims: self.dims.clone() };
        let shape: Option<Vec<usize>> =
            self.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.ok_or_else(refuse)?;
        // A size of nought hides no others: parts of a shape are multiplied, too.
        let room = shape.iter().try_fold(1usize, |room, &d| room.checked_mul(d.max(1)));
        room.filter(|&n| n <= TENSOR_ELEMENTS_MAX).ok_or_else(refuse)?;
        let count = crate::npy::count_of(&shape).ok_or_else(refuse)?;
        Ok((shape, count))
    }

    /// Elements in row-major order; their number is exactly the product of the shape.
    ///
    /// # Errors
    /// Types that are not read, counts that differ from the shape, external data (use
    /// [`TensorProto::elements_from`]), text that is not UTF-8, and booleans other than 0 and 1.
    pub fn elements(&self) -> Result<Elements, TensorError> {
        if self.data_location != 0 {
            return Err(TensorError::External { name: self.name.clone() });
        }
        let (data_type, count) = self.described()?;
        match &self.data {
            TensorData::Absent if count == 0 => self.raw_elements(data_type, &[], 0),
            TensorData::Raw(bytes) if bytes.is_empty() && count == 0 => {
                self.raw_elements(data_type, &[], 0)
            }
            TensorData::Raw(bytes) => self.raw_elements(data_type, bytes, count),
            _ => self.typed_elements(data_type, count),
        }
    }

    /// Elements from the bytes of the external file, already cut to offset and length.
    ///
    /// # Errors
    /// As for [`TensorProto::elements`].
    pub fn elements_from(&self, bytes: &[u8]) -> Result<Elements, TensorError> {
        let (data_type, count) = self.described()?;
        self.raw_elements(data_type, bytes, count)
    }

    /// Where the external data lies, or `None` when the elements are in the model.
    ///
    /// # Errors
    /// [`TensorError::ExternalFacts`]: no location, a key given twice, or numbers that are none.
    pub fn external(&self) -> Result<Option<ExternalData>, TensorError> {
        if self.data_location == 0 {
            return Ok(None);
        }
        let refuse =
            |reason: String| TensorError::ExternalFacts { name: self.name.clone(), reason };
        let mut seen = Vec::new();
        let mut facts = ExternalData::default();
        for (key, value) in &self.external_data {
            if seen.contains(&key) {
                return Err(refuse(format!("`{key}` is given twice")));
            }
            seen.push(key);
            let number = || {
                value.parse::<u64>().map_err(|_| refuse(format!("`{key}` is `{value}`, no size")))
            };
            match key.as_str() {
                "location" => facts.location.clone_from(value),
                "offset" => facts.offset = number()?,
                "length" => facts.length = Some(number()?),
                "checksum" => facts.checksum = Some(value.clone()),
                _ => {}
            }
            if seen.len() > EXTERNAL_KEYS_MAX {
                return Err(refuse(format!("more than {EXTERNAL_KEYS_MAX} keys")));
            }
        }
        if facts.location.is_empty() {
            return Err(refuse("`location` is missing".to_owned()));
        }
        Ok(Some(facts))
    }

    fn described(&self) -> Result<(DataType, usize), TensorError> {
        if self.segmented {
            return Err(TensorError::Segment { name: self.name.clone() });
        }
        let (_, count) = self.shape()?;
        let data_type = DataType::from_code(self.data_type).ok_or_else(|| {
            let type_name = DataType::name_of(self.data_type);
            TensorError::ElementType { name: self.name.clone(), code: self.data_type, type_name }
        })?;
        Ok((data_type, count))
    }

    fn raw_elements(
        &self,
        kind: DataType,
        bytes: &[u8],
        count: usize,
    ) -> Result<Elements, TensorError> {
        let Some(size) = kind.size() else {
            if bytes.is_empty() && count == 0 {
                return Ok(Elements::Str(Vec::new()));
            }
            return Err(self.wrong_field(kind, "raw_data"));
        };
        if count.checked_mul(size) != Some(bytes.len()) {
            return Err(self.wrong_count(count, "raw_data", bytes.len(), "bytes"));
        }
        Ok(match kind {
            DataType::Float => Elements::F32(le(bytes, f32::from_le_bytes)),
            DataType::Double => Elements::F64(le(bytes, f64::from_le_bytes)),
            DataType::Int64 => Elements::I64(le(bytes, i64::from_le_bytes)),
            DataType::Int32 => Elements::I32(le(bytes, i32::from_le_bytes)),
            DataType::Int16 => Elements::I16(le(bytes, i16::from_le_bytes)),
            DataType::Int8 => Elements::I8(le(bytes, i8::from_le_bytes)),
            DataType::Uint64 => Elements::U64(le(bytes, u64::from_le_bytes)),
            DataType::Uint32 => Elements::U32(le(bytes, u32::from_le_bytes)),
            DataType::Uint16 => Elements::U16(le(bytes, u16::from_le_bytes)),
            DataType::Uint8 => Elements::U8(bytes.to_vec()),
            DataType::Float16 => {
                Elements::F32(le(bytes, |b| crate::half::f16_to_f32(u16::from_le_bytes(b))))
            }
            DataType::Bfloat16 => {
                Elements::F32(le(bytes, |b| crate::half::bf16_to_f32(u16::from_le_bytes(b))))
            }
            DataType::Bool => Elements::Bool(self.narrow(bytes, "bool", |&b| boolean(b))?),
            DataType::String => return Err(self.wrong_field(kind, "raw_data")),
        })
    }

    fn typed_elements(&self, kind: DataType, count: usize) -> Result<Elements, TensorError> {
        let found = match &self.data {
            TensorData::Absent | TensorData::Raw(_) => 0,
            TensorData::Float(v) => v.len(),
            TensorData::Int32(v) => v.len(),
            TensorData::Int64(v) => v.len(),
            TensorData::Double(v) => v.len(),
            TensorData::Uint64(v) => v.len(),
            TensorData::String(v) => v.len(),
        };
        if found != count {
            return Err(self.wrong_count(count, self.data.field(), found, "elements"));
        }
        use DataType as T;
        Ok(match (&self.data, kind) {
            (TensorData::Float(v), T::Float) => Elements::F32(v.clone()),
            (TensorData::Double(v), T::Double) => Elements::F64(v.clone()),
            (TensorData::Int64(v), T::Int64) => Elements::I64(v.clone()),
            (TensorData::Uint64(v), T::Uint64) => Elements::U64(v.clone()),
            (TensorData::Uint64(v), T::Uint32) => {
                Elements::U32(self.narrow(v, "uint32", |&x| x.try_into().ok())?)
            }
            (TensorData::Int32(v), T::Int32) => Elements::I32(v.clone()),
            (TensorData::Int32(v), T::Int16) => {
                Elements::I16(self.narrow(v, "int16", |&x| x.try_into().ok())?)
            }
            (TensorData::Int32(v), T::Int8) => {
                Elements::I8(self.narrow(v, "int8", |&x| x.try_into().ok())?)
            }
            (TensorData::Int32(v), T::Uint16) => {
                Elements::U16(self.narrow(v, "uint16", |&x| x.try_into().ok())?)
            }
            (TensorData::Int32(v), T::Uint8) => {
                Elements::U8(self.narrow(v, "uint8", |&x| x.try_into().ok())?)
            }
            (TensorData::Int32(v), T::Bool) => {
                Elements::Bool(self.narrow(v, "bool", |&x| u8::try_from(x).ok().and_then(boolean))?)
            }
            (TensorData::Int32(v), T::Float16) => {
                Elements::F32(self.narrow(v, "the bits of float16", |&x| {
                    u16::try_from(x).ok().map(crate::half::f16_to_f32)
                })?)
            }
            (TensorData::Int32(v), T::Bfloat16) => {
                Elements::F32(self.narrow(v, "the bits of bfloat16", |&x| {
                    u16::try_from(x).ok().map(crate::half::bf16_to_f32)
                })?)
            }
            (TensorData::String(v), T::String) => Elements::Str(
                self.narrow(v, "UTF-8", |s| std::str::from_utf8(s).ok().map(str::to_owned))?,
            ),
            (other, kind) => return Err(self.wrong_field(kind, other.field())),
        })
    }

    fn narrow<S, T>(
        &self,
        values: &[S],
        type_name: &'static str,
        convert: impl Fn(&S) -> Option<T>,
    ) -> Result<Vec<T>, TensorError> {
        let refuse = |index| TensorError::Element { name: self.name.clone(), index, type_name };
        values.iter().enumerate().map(|(i, v)| convert(v).ok_or_else(|| refuse(i))).collect()
    }

    fn wrong_field(&self, kind: DataType, found: &'static str) -> TensorError {
        TensorError::Field { name: self.name.clone(), expected: kind.field(), found }
    }

    fn wrong_count(
        &self,
        expected: usize,
        field: &'static str,
        found: usize,
        unit: &'static str,
    ) -> TensorError {
        let (name, dims) = (self.name.clone(), self.dims.clone());
        TensorError::Count { name, dims, expected, field, found, unit }
    }
}

/// The part of an external file that a tensor claims.
///
/// # Errors
/// [`ExternalRangeError`] when any byte of it lies outside `file`.
pub fn external_range(
    file: &[u8],
    offset: u64,
    length: Option<u64>,
) -> Result<&[u8], ExternalRangeError> {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        let rest = file.get(start..)?;
        match length {
            None => Some(rest),
            Some(length) => rest.get(..usize::try_from(length).ok()?),
        }
    };
    range().ok_or(ExternalRangeError { offset, length, available: file.len() as u64 })
}

/// Whether a location of external data stays below the model's folder on any system.
///
/// Refused: empty text, absolute paths, drive letters and other colons, backslashes, `.` and
/// `..` and empty parts, control characters, and parts that end in a dot or blank (which Windows
/// strips). A link below the folder may still lead out of it: the opener must not follow links.
pub fn location_is_confined(location: &str) -> bool {
    let bad_char = |c: char| c == '\\' || c == ':' || c.is_control();
    let bad_part = |part: &str| part.is_empty() || part.ends_with(['.', ' ']);
    !location.is_empty()
        && location.len() <= LOCATION_BYTES_MAX
        && !location.contains(bad_char)
        && !location.split('/').any(bad_part)
}

fn le<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

fn boolean(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Keys of external data: the specification knows five.
const EXTERNAL_KEYS_MAX: usize = 64;
/// Bytes of a path: the limit of Linux.
const LOCATION_BYTES_MAX: usize = 4096;

const NAMES: [&str; 29] = [
    "undefined",
    "float",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "float16",
    "double",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bfloat16",
    "float8e4m3fn",
    "float8e4m3fnuz",
    "float8e5m2",
    "float8e5m2fnuz",
    "uint4",
    "int4",
    "float4e2m1",
    "float8e8m0",
    "uint2",
    "int2",
    "float6e2m3",
    "float6e3m2",
];
