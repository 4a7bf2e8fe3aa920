//! Zip archives, read strictly and written reproducibly.
//!
//! Owns the end record, the central directory, its agreement with the local headers, and limits
//! on what members inflate to. Archives that two readers could understand differently are
//! refused: duplicate names, overlapping members, gaps before the first or after the last one,
//! local headers that contradict the directory. Must never write to disk. Called by
//! [`crate::npz`].

mod directory;
mod write;

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

pub use write::ZipWriter;

/// Members of one archive: a data set saved row by row would have more, but nobody does that.
pub const ENTRIES_MAX: u64 = 65_536;

/// Declared sizes of all members together.
pub const TOTAL_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Inflated bytes per deflated byte: deflate cannot do more than 1032, so a larger claim is a lie.
pub const RATIO_MAX: u64 = 1032;

/// Why an archive, or one member of it, cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ZipError {
    #[error("not a zip archive: no end record that fits the end of the file")]
    NotZip,
    #[error(
        "the zip archive has two end records that fit, at bytes {first} and {second}; readers \
             would disagree on its content"
    )]
    TwoEnds { first: usize, second: usize },
    #[error("at byte {offset}: {what} is cut short or lies outside the archive")]
    Truncated { offset: u64, what: &'static str },
    #[error("at byte {offset}: expected {what}")]
    Signature { offset: u64, what: &'static str },
    #[error("the zip archive spans several files, which is not read")]
    SeveralDisks,
    #[error("the zip archive has {found} members; at most {limit} are read", limit = ENTRIES_MAX)]
    TooMany { found: u64 },
    #[error("at byte {offset}: {what}: {one} in one place and {other} in another")]
    Contradiction { offset: u64, what: &'static str, one: u64, other: u64 },
    #[error("at byte {offset}: a member name that is empty, not UTF-8, or holds a zero byte")]
    Name { offset: u64 },
    #[error("the zip archive holds `{name}` twice; readers disagree on which one counts")]
    Duplicate { name: String },
    #[error("`{name}`: the local header at byte {offset} names another member")]
    LocalName { name: String, offset: u64 },
    #[error(
        "`{name}` overlaps its neighbour or leaves a gap before byte {offset}; rewrite the \
             archive with an ordinary tool"
    )]
    Layout { name: String, offset: u64 },
    #[error("`{name}` is encrypted; save it without a password")]
    Encrypted { name: String },
    #[error("`{name}` is compressed by method {method}; only stored and deflated members are read")]
    Method { name: String, method: u16 },
    #[error("`{name}` claims {size} bytes out of {compressed}: more than the format can pack")]
    Ratio { name: String, size: u64, compressed: u64 },
    #[error("the members claim {found} bytes in all; at most {limit} are read")]
    TooLarge { found: u64, limit: u64 },
    #[error("`{name}` does not inflate: {reason}")]
    Inflate { name: String, reason: String },
    #[error("`{name}` has {found} bytes where the directory says {expected}")]
    Size { name: String, expected: u64, found: u64 },
    #[error("`{name}` is damaged: CRC {found:08x} where the directory says {expected:08x}")]
    Crc { name: String, expected: u32, found: u32 },
    #[error("`{name}` is too large, or there are too many members, to be written without zip64")]
    NeedsZip64 { name: String },
}

/// An archive whose directory and local headers have been checked; members are not inflated yet.
#[derive(Clone, Debug)]
pub struct ZipArchive<'a> {
    entries: Vec<ZipEntry<'a>>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipEntry<'a> {
    name: String,
    method: Method,
    crc: u32,
    size: u64,
    /// Offset of the local header.
    offset: u64,
    data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Stored,
    Deflated,
}

impl<'a> ZipArchive<'a> {
    /// Checks the archive, whose members may claim at most `limit` bytes in all
    /// ([`TOTAL_BYTES_MAX`] when the caller has no limit of its own).
    ///
    /// # Errors
    /// All of [`ZipError`] but those that show when a member is inflated.
    pub fn open(bytes: &'a [u8], limit: u64) -> Result<Self, ZipError> {
        Ok(Self { entries: directory::read(bytes, limit)? })
    }

    /// Members in the order of the directory.
    pub fn entries(&self) -> &[ZipEntry<'a>] {
        &self.entries
    }

    /// The member of that name.
    pub fn entry(&self, name: &str) -> Option<&ZipEntry<'a>> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl<'a> ZipEntry<'a> {
    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Inflated size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Offset of the local header in the archive, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The content, checked against size and CRC; borrowed when it is stored.
    ///
    /// # Errors
    /// [`ZipError::Inflate`], [`ZipError::Size`] and [`ZipError::Crc`].
    pub fn read(&self) -> Result<Cow<'a, [u8]>, ZipError> {
        let content = match self.method {
            Method::Stored => Cow::Borrowed(self.data),
            Method::Deflated => Cow::Owned(self.inflate()?),
        };
        let mut crc = Crc::new();
        crc.update(&content);
        if crc.sum() != self.crc {
            let (expected, found) = (self.crc, crc.sum());
            return Err(ZipError::Crc { name: self.name.clone(), expected, found });
        }
        Ok(content)
    }

    fn inflate(&self) -> Result<Vec<u8>, ZipError> {
        let mut content = Vec::new();
        let mut decoder = DeflateDecoder::new(self.data);
        let read = (&mut decoder).take(self.size.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
                _ => error.to_string(),
            };
            ZipError::Inflate { name: self.name.clone(), reason }
        })?;
        let (expected, found) = (self.size, content.len() as u64);
        if found != expected {
            return Err(ZipError::Size { name: self.name.clone(), expected, found });
        }
        let (packed, consumed) = (self.data.len() as u64, decoder.total_in());
        if packed != consumed {
            let reason = format!("it ends after {consumed} of its {packed} packed bytes");
            return Err(ZipError::Inflate { name: self.name.clone(), reason });
        }
        Ok(content)
    }
}
