//! Gzip, inflated within a limit.
//!
//! Owns the limit and the errors; the codec is `flate2`. Must never trust the length in the
//! trailer. Called by [`crate::idx`], by `lab` for VNN-LIB, and by [`crate::sniff`].

use std::io::{ErrorKind, Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Inflated bytes for callers without a limit of their own: a large image set, and what a small
/// machine still holds.
pub const INFLATED_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Why a gzip file cannot be inflated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum GzipError {
    #[error("not a gzip file: it does not start with the bytes 1f 8b")]
    NotGzip,
    #[error("the gzip file is cut short: it ends after {inflated} inflated bytes")]
    Truncated { inflated: usize },
    #[error("the gzip file is damaged after {inflated} inflated bytes: {reason}")]
    Corrupt { inflated: usize, reason: String },
    #[error("the gzip file inflates to more than {limit} bytes; give it uncompressed or smaller")]
    TooLarge { limit: usize },
}

/// Whether the bytes start like gzip.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Inflates all members to at most `limit` bytes, checking each member's CRC and length.
///
/// # Errors
/// Bytes that are no gzip, cut short, damaged, followed by anything else, or too large.
pub fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    if !is_gzip(bytes) {
        return Err(GzipError::NotGzip);
    }
    let mut out = Vec::new();
    let ceiling = (limit as u64).saturating_add(1);
    let result = MultiGzDecoder::new(bytes).take(ceiling).read_to_end(&mut out);
    let inflated = out.len();
    match result {
        Ok(_) if inflated > limit => Err(GzipError::TooLarge { limit }),
        Ok(_) => Ok(out),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(GzipError::Truncated { inflated })
        }
        Err(error) => Err(GzipError::Corrupt { inflated, reason: error.to_string() }),
    }
}

/// The bytes themselves, or what they inflate to when they are gzip by content.
///
/// # Errors
/// As for [`inflate`].
pub fn inflate_if_gzip(
    bytes: &[u8],
    limit: usize,
) -> Result<std::borrow::Cow<'_, [u8]>, GzipError> {
    if is_gzip(bytes) { inflate(bytes, limit).map(Into::into) } else { Ok(bytes.into()) }
}

/// Up to `len` leading bytes of what a possibly cut gzip or zlib stream inflates to.
pub(crate) fn inflated_head(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut head = Vec::new();
    let limit = len as u64;
    // an error after some bytes still leaves a head; the caller only wants to recognise it
    let _ = match is_gzip(bytes) {
        true => MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut head),
        false => ZlibDecoder::new(bytes).take(limit).read_to_end(&mut head),
    };
    head
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_one_and_several_members() {
        let text = b"proofmark ".repeat(1000);
        let mut file = gzip(&text);
        assert_eq!(inflate(&file, text.len()).unwrap(), text);
        file.extend(gzip(b"tail"));
        assert_eq!(inflate(&file, text.len() + 4).unwrap().len(), text.len() + 4);
        assert_eq!(inflate_if_gzip(b"plain", 3).unwrap().as_ref(), b"plain");
    }

    #[test]
    fn refuses_bad_files() {
        let file = gzip(&b"proofmark ".repeat(1000));
        assert_eq!(inflate(b"", 9), Err(GzipError::NotGzip));
        assert_eq!(inflate(b"PK\x03\x04", 9), Err(GzipError::NotGzip));
        for cut in 2..file.len() {
            let error = inflate(&file[..cut], 10_000).unwrap_err();
            assert!(matches!(error, GzipError::Truncated { .. }), "cut at {cut}: {error}");
        }
        let mut wrong_crc = file.clone();
        let at = file.len() - 8;
        wrong_crc[at] ^= 1;
        assert!(matches!(inflate(&wrong_crc, 10_000), Err(GzipError::Corrupt { .. })));
        let mut garbage = file.clone();
        garbage.extend(b"garbage behind the member");
        assert!(matches!(inflate(&garbage, 10_000), Err(GzipError::Corrupt { .. })));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        let limit = 1_000_000;
        assert_eq!(inflate(&bomb, limit), Err(GzipError::TooLarge { limit }));
    }
}
