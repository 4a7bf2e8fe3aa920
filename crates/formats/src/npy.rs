//! NPY arrays, versions 1.0 to 3.0.
//!
//! Owns the header's dictionary literal, element types, byte and memory order. Must never
//! evaluate the header or unpickle: object arrays are refused. Called by [`crate::npz`],
//! `dataset` and the command line, which also write arrays with [`write()`].

mod array;
mod header;
mod rows;

pub use array::{NpyArray, NpyData};
pub use header::{HEADER_BYTES_MAX, NpyHeader, RANK_MAX};
pub use rows::{NpyBody, NpyRows};

pub(crate) use array::count_of;
use array::to_c_order;
use header::Scalar;

/// Elements of numbers in one array: 16 GiB of doubles, beyond which nothing here fits anyway.
pub const ELEMENTS_MAX: usize = 1 << 31;

/// Strings in one array; each takes over 24 bytes of memory however short it is in the file.
pub const STRINGS_MAX: usize = 10_000_000;

/// Why an array cannot be read, converted or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum NpyError {
    #[error("not an NPY file: it does not start with \\x93NUMPY")]
    NotNpy,
    #[error("NPY version {major}.{minor} is unknown; 1.0, 2.0 and 3.0 are read")]
    Version { major: u8, minor: u8 },
    #[error("the NPY header needs {needed} bytes but the file has {available}")]
    HeaderTruncated { needed: usize, available: usize },
    #[error("an NPY header of {found} bytes; at most {limit} are read", limit = HEADER_BYTES_MAX)]
    HeaderTooLarge { found: usize },
    #[error("NPY header, byte {offset}: expected {expected}")]
    Header { offset: usize, expected: &'static str },
    #[error("NPY header: `{key}` is {problem}")]
    HeaderKey { key: String, problem: &'static str },
    #[error(
        "element type `{descr}` is a pickle, which runs code when it is loaded; it is never \
             read. Save numbers or text: `np.save(path, array.astype(...), allow_pickle=False)`"
    )]
    Objects { descr: String },
    #[error(
        "element type `{descr}` is not read; booleans, integers, floats of 2, 4 or 8 bytes \
             and text are. Convert it with `array.astype(...)`"
    )]
    ElementType { descr: String },
    #[error("an array of shape {shape:?} has more than {limit} elements")]
    TooLarge { shape: Vec<usize>, limit: usize },
    #[error(
        "an array of shape {shape:?} and type `{descr}` takes {expected} bytes but {found} \
             follow the header"
    )]
    Length { shape: Vec<usize>, descr: String, expected: usize, found: usize },
    #[error("element {index}, byte {offset}: not a valid {kind}")]
    Element { index: usize, offset: usize, kind: &'static str },
    #[error("{count} elements do not fill shape {shape:?}")]
    Count { shape: Vec<usize>, count: usize },
    #[error("the array holds {found} where {wanted} are needed")]
    Kind { found: &'static str, wanted: &'static str },
    #[error("the file cannot be read: {0}")]
    Io(String),
    #[error("element {index} is `{value}`, which is not a whole number of 64 bits")]
    NotWhole { index: usize, value: String },
}

/// Reads only the header.
///
/// # Errors
/// Everything that is wrong with the header, but not element types that cannot be read.
pub fn header(bytes: &[u8]) -> Result<NpyHeader, NpyError> {
    NpyHeader::parse(bytes)
}

/// Reads an array into C order and native bytes.
///
/// # Errors
/// Bad headers, types that are not read (objects above all), data that is shorter or longer than
/// the header says, booleans other than 0 and 1, and text that is not Unicode.
pub fn read(bytes: &[u8]) -> Result<NpyArray, NpyError> {
    let header = NpyHeader::parse(bytes)?;
    let scalar = Scalar::of(&header.descr)?;
    let limit = if scalar.is_text() { STRINGS_MAX } else { ELEMENTS_MAX };
    let too_large = || NpyError::TooLarge { shape: header.shape.clone(), limit };
    let count = count_of(&header.shape).filter(|&n| n <= limit).ok_or_else(too_large)?;
    let expected = count.checked_mul(scalar.size()).ok_or_else(too_large)?;
    let body = bytes.get(header.data_offset..).unwrap_or_default();
    if body.len() != expected {
        let (shape, descr) = (header.shape, header.descr);
        return Err(NpyError::Length { shape, descr, expected, found: body.len() });
    }
    let data = scalar.decode(body, count).map_err(|error| error.shifted(header.data_offset))?;
    let data = if header.fortran_order { to_c_order(&header.shape, data) } else { data };
    NpyArray::new(header.shape, data)
}

/// Writes version 1.0, little-endian and in C order, data aligned to 64 bytes, as NumPy does: the
/// same array always gives the same bytes.
///
/// # Errors
/// [`NpyError::HeaderTooLarge`], which no array of at most [`RANK_MAX`] dimensions meets.
pub fn write(array: &NpyArray) -> Result<Vec<u8>, NpyError> {
    let (descr, body) = array.data().encode();
    let mut out = header::render(&descr, array.shape())?;
    out.extend_from_slice(&body);
    Ok(out)
}

impl NpyError {
    fn io(error: impl std::fmt::Display) -> Self {
        Self::Io(error.to_string())
    }

    /// The same error with the offset of an element counted from the start of the file.
    fn shifted(mut self, by: usize) -> Self {
        if let Self::Element { offset, .. } = &mut self {
            *offset += by;
        }
        self
    }
}
