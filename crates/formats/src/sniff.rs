//! What a file is, by its content.
//!
//! Owns recognition only: nothing is decoded as a whole, nothing is executed, and a name's ending
//! counts for nothing. Called by the command line's `init`, which must recognise pickles without
//! loading them.

mod text;

use crate::{gzip, idx, npy, onnx, xgboost};

/// Leading bytes that [`sniff`] wants to see; fewer only for shorter files.
pub const HEAD_BYTES: usize = 64 * 1024;

/// What a file seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No bytes.
    Empty,
    /// An ONNX model.
    Onnx,
    /// An NPY array; `objects` when its elements are a pickle.
    Npy {
        /// Element type as written.
        descr: String,
        /// Shape.
        shape: Vec<usize>,
        /// Whether the elements are a pickle.
        objects: bool,
    },
    /// A zip archive whose first member is an NPY array.
    Npz,
    /// A zip archive with a pickle in it, as PyTorch writes them.
    ZipWithPickle,
    /// Another zip archive.
    Zip,
    /// An IDX array.
    Idx {
        /// Shape.
        shape: Vec<usize>,
    },
    /// Gzip of something else than a pickle.
    Gzip {
        /// What it holds.
        inside: Box<Kind>,
    },
    /// A pickle, as joblib and scikit-learn write them: loading it runs code.
    Pickle {
        /// Protocol, when the file says so.
        protocol: Option<u8>,
        /// Compression around it.
        compression: Option<Compression>,
    },
    /// A compressed file that is not looked into; joblib writes these, among others.
    PossiblyJoblib {
        /// Compression.
        compression: Compression,
    },
    /// A property in VNN-LIB.
    VnnLib,
    /// A model of XGBoost, in JSON or UBJSON.
    Xgboost {
        /// Whether it is UBJSON.
        binary: bool,
    },
    /// A dump of XGBoost's trees in JSON.
    XgboostDump,
    /// A model of LightGBM in text.
    Lightgbm,
    /// A model of CatBoost in JSON.
    Catboost,
    /// Rows in the format of libsvm.
    Libsvm,
    /// JSON.
    Json,
    /// Rows of text whose first lines split alike at one delimiter.
    Table {
        /// The delimiter; a blank stands for runs of blanks.
        delimiter: char,
    },
    /// Other text.
    Text,
    /// Something else.
    Unknown,
}

/// Compressions that joblib writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Compression {
    Gzip,
    Zlib,
    Bzip2,
    Xz,
    Lzma,
    Lz4,
}

/// Recognises a file of `file_len` bytes by its `head`: its first [`HEAD_BYTES`], or all of it
/// when it is shorter.
pub fn sniff(head: &[u8], file_len: u64) -> Kind {
    let inside = |head: &[u8], file_len| uncompressed(head, file_len);
    let packed = |compression, head: &[u8]| {
        let inner = gzip::inflated_head(head, HEAD_BYTES);
        match inside(&inner, None) {
            Kind::Pickle { protocol, .. } => {
                Kind::Pickle { protocol, compression: Some(compression) }
            }
            other => other,
        }
    };
    if gzip::is_gzip(head) {
        return match packed(Compression::Gzip, head) {
            pickle @ Kind::Pickle { .. } => pickle,
            inside => Kind::Gzip { inside: Box::new(inside) },
        };
    }
    if is_zlib(head) {
        let kind = packed(Compression::Zlib, head);
        if matches!(kind, Kind::Pickle { .. }) {
            return kind;
        }
    }
    inside(head, Some(file_len))
}

/// Recognises bytes that are not gzip; `file_len` is unknown inside compressed files.
fn uncompressed(head: &[u8], file_len: Option<u64>) -> Kind {
    let magic = [
        (&b"BZh"[..], Compression::Bzip2),
        (b"\xfd7zXZ\0", Compression::Xz),
        (b"\x5d\0\0", Compression::Lzma),
        (b"\x04\x22\x4d\x18", Compression::Lz4),
        (b"ZF0x", Compression::Zlib), // joblib before 0.10: this, a length, and zlib
    ];
    let starts = |(magic, _): &&(&[u8], Compression)| head.starts_with(magic);
    if head.is_empty() {
        return Kind::Empty;
    }
    if let Some(&(_, compression)) = magic.iter().find(starts) {
        return Kind::PossiblyJoblib { compression };
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return zip_kind(head);
    }
    if let Ok(header) = npy::header(head) {
        let objects = header.descr.get(1..2) == Some("O");
        return Kind::Npy { descr: header.descr, shape: header.shape, objects };
    }
    if xgboost::is_ubjson(head) && text::contains(head, b"learner") {
        return Kind::Xgboost { binary: true };
    }
    if let Some(protocol) = pickle_protocol(head) {
        return Kind::Pickle { protocol, compression: None };
    }
    if let Some(shape) = idx_shape(head, file_len) {
        return Kind::Idx { shape };
    }
    if onnx::looks_like_model(head, file_len.unwrap_or(u64::MAX)) {
        return Kind::Onnx;
    }
    let whole = file_len == Some(head.len() as u64);
    text::kind(head, whole).unwrap_or(Kind::Unknown)
}

fn is_zlib(head: &[u8]) -> bool {
    matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

/// What a zip archive holds, judged by the local headers that lie in the head.
fn zip_kind(head: &[u8]) -> Kind {
    let mut rest = head;
    let mut first = true;
    while let Some((name, next)) = zip_member(rest) {
        if name.ends_with(b".pkl") || name.ends_with(b".pickle") {
            return Kind::ZipWithPickle;
        }
        if first && name.ends_with(b".npy") {
            return Kind::Npz;
        }
        first = false;
        rest = next;
    }
    Kind::Zip
}

/// Name of the member at the start, and what follows its data.
fn zip_member(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<30>()?;
    if !header.starts_with(b"PK\x03\x04") {
        return None;
    }
    let [.., p0, p1, p2, p3, _, _, _, _, n0, n1, e0, e1] = *header;
    let packed = u32::from_le_bytes([p0, p1, p2, p3]);
    let name_len = u16::from_le_bytes([n0, n1]);
    let extra_len = u16::from_le_bytes([e0, e1]);
    let (name, rest) = rest.split_at_checked(name_len.into())?;
    let skip = u64::from(extra_len) + u64::from(packed);
    let next = usize::try_from(skip).ok().and_then(|skip| rest.get(skip..));
    Some((name, next.unwrap_or_default()))
}

/// Shape of an IDX array whose length fits, where it is known.
fn idx_shape(head: &[u8], file_len: Option<u64>) -> Option<Vec<usize>> {
    let (&[0, 0, code, rank], mut rest) = head.split_first_chunk()? else { return None };
    let size = idx::element_size(code)?;
    if rank == 0 || rank > idx::RANK_MAX {
        return None;
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        let (dim, tail) = rest.split_first_chunk()?;
        shape.push(u32::from_be_bytes(*dim) as usize);
        rest = tail;
    }
    let bytes = npy::count_of(&shape)?.checked_mul(size)? as u64;
    let header = 4 + 4 * u64::from(rank);
    file_len.is_none_or(|len| header.checked_add(bytes) == Some(len)).then_some(shape)
}

/// The protocol of a pickle (`Some(None)` for protocols 0 and 1, which do not say), or `None`
/// when the bytes do not start like one.
fn pickle_protocol(head: &[u8]) -> Option<Option<u8>> {
    if let [0x80, protocol @ 2..=5, opcode, ..] = *head {
        return PICKLE_FIRST.contains(&opcode).then_some(Some(protocol));
    }
    let empty = matches!(head, [b']' | b'}' | b')', b'q', ..] | [b']' | b'}' | b')', b'.']);
    (empty || pickle_text(head)).then_some(None)
}

/// Whether bytes start like a pickle of protocol 0: text opcodes that end in newlines.
fn pickle_text(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"(").unwrap_or(head);
    let mut lines = head.splitn(3, |&b| b == b'\n');
    let (Some(first), Some(second), Some(third)) = (lines.next(), lines.next(), lines.next())
    else {
        return false;
    };
    let name = |bytes: &[u8]| {
        let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        !bytes.is_empty() && bytes.len() < 256 && bytes.iter().all(letter)
    };
    let memo = |bytes: &[u8]| match bytes.split_first() {
        Some((b'p', digits)) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    match first.split_first() {
        // GLOBAL or INST: module, name, then an opcode that can follow
        Some((b'c' | b'i', module)) if name(module) && name(second) => {
            let put = third.split(|&b| b == b'\n').next().is_some_and(memo);
            put || third.first().is_some_and(|b| b"()RtqS.]}NIFVX".contains(b))
                && !third.starts_with(b"S ")
                && !third.get(1).is_some_and(u8::is_ascii_lowercase)
        }
        // an empty dictionary, list or tuple that is remembered: `(dp0`
        Some((b'd' | b'l' | b't', put)) => memo(put),
        // a string, number or text that is remembered
        Some((b'S' | b'V' | b'I' | b'F' | b'L', _)) => memo(second),
        _ => false,
    }
}

/// Opcodes that a pickler of protocol 2 and later can write first.
const PICKLE_FIRST: &[u8] = b"\x95\x8a\x8b\x88\x89\x8c\x8d\x8e\x96]})(cKMJGNXTUBC\x8f";

#[cfg(test)]
mod tests;
