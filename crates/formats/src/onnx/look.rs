//! Whether bytes look like a model, judged by the outermost fields alone.
//!
//! Owns a guess for files of which only the head is read. Called by [`crate::sniff`].

use crate::protobuf::varint;

/// Whether the head of a file of `file_len` bytes looks like an ONNX model: only fields that a
/// model has, in their wire types, and a graph that fits into the file.
pub(crate) fn looks_like_model(head: &[u8], file_len: u64) -> bool {
    let (mut version, mut graph) = (false, false);
    let mut rest = head;
    while let Some((tag, after)) = varint(rest) {
        let (value, after) = match varint(after) {
            Some(found) => found,
            None => break,
        };
        let left = file_len.saturating_sub((head.len() - after.len()) as u64);
        match (tag >> 3, tag & 7) {
            (1, 0) => version = (1..=IR_VERSION_MAX).contains(&value),
            (5, 0) => {}
            (2 | 3 | 4 | 6 | 8 | 14 | 20 | 25 | 26, 2) if value <= left => {}
            (7, 2) if value <= left => graph = true,
            _ => return false,
        }
        rest = match tag & 7 {
            0 => after,
            _ => usize::try_from(value).ok().and_then(|len| after.get(len..)).unwrap_or_default(),
        };
    }
    version && graph
}

/// Version 13 is current; ten are added a decade.
const IR_VERSION_MAX: u64 = 64;
