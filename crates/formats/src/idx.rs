//! IDX arrays, the format of MNIST, gzipped or not.
//!
//! Owns the four-byte magic and the dimensions. Called by `dataset`.

use crate::gzip::{self, GzipError};
use crate::npy::{NpyArray, NpyData, NpyError};

/// Dimensions: images with colours have four.
pub const RANK_MAX: u8 = 8;

/// Why an IDX file cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum IdxError {
    #[error(transparent)]
    Gzip(#[from] GzipError),
    #[error("not an IDX file: it does not start with two zero bytes, a type and a rank")]
    NotIdx,
    #[error("IDX element type {code:#04x} is unknown")]
    ElementType { code: u8 },
    #[error("an IDX file of {found} dimensions; between 1 and {limit} are read", limit = RANK_MAX)]
    Rank { found: u8 },
    #[error("the IDX header needs {needed} bytes but the file has {available}")]
    HeaderTruncated { needed: usize, available: usize },
    #[error("an IDX array of shape {shape:?} takes {expected} bytes but {found} follow the header")]
    Length { shape: Vec<usize>, expected: usize, found: usize },
    #[error("an IDX array of shape {shape:?} is larger than any file")]
    TooLarge { shape: Vec<usize> },
    #[error(transparent)]
    Array(#[from] NpyError),
}

/// Reads an array, inflating it first when it is gzip by content; `limit` bounds the inflated
/// bytes ([`gzip::INFLATED_BYTES_MAX`] when the caller has no limit of its own).
///
/// # Errors
/// Gzip that does not inflate, headers that are none, and data that is shorter or longer than the
/// header says.
pub fn read(bytes: &[u8], limit: usize) -> Result<NpyArray, IdxError> {
    let bytes = gzip::inflate_if_gzip(bytes, limit)?;
    let (&magic, mut rest) = bytes.split_first_chunk::<4>().ok_or(IdxError::NotIdx)?;
    let [0, 0, code, rank] = magic else { return Err(IdxError::NotIdx) };
    let size = element_size(code).ok_or(IdxError::ElementType { code })?;
    if rank == 0 || rank > RANK_MAX {
        return Err(IdxError::Rank { found: rank });
    }
    let mut shape = Vec::with_capacity(rank.into());
    for _ in 0..rank {
        let Some((dim, tail)) = rest.split_first_chunk() else {
            let needed = 4 + 4 * usize::from(rank);
            return Err(IdxError::HeaderTruncated { needed, available: bytes.len() });
        };
        shape.push(u32::from_be_bytes(*dim) as usize);
        rest = tail;
    }
    let count = crate::npy::count_of(&shape);
    let Some(expected) = count.and_then(|count| count.checked_mul(size)) else {
        return Err(IdxError::TooLarge { shape });
    };
    if rest.len() != expected {
        return Err(IdxError::Length { shape, expected, found: rest.len() });
    }
    let data = match code {
        0x08 => NpyData::U8(rest.to_vec()),
        0x09 => NpyData::I8(be(rest, i8::from_be_bytes)),
        0x0b => NpyData::I16(be(rest, i16::from_be_bytes)),
        0x0c => NpyData::I32(be(rest, i32::from_be_bytes)),
        0x0d => NpyData::F32(be(rest, f32::from_be_bytes)),
        _ => NpyData::F64(be(rest, f64::from_be_bytes)),
    };
    Ok(NpyArray::new(shape, data)?)
}

/// Bytes of one element of that type.
pub(crate) fn element_size(code: u8) -> Option<usize> {
    match code {
        0x08 | 0x09 => Some(1),
        0x0b => Some(2),
        0x0c | 0x0d => Some(4),
        0x0e => Some(8),
        _ => None,
    }
}

fn be<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}
