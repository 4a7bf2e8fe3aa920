//! Archives of stored members with a fixed time, so that equal content gives equal bytes.
//!
//! Owns the layout of what is written. Called by [`crate::npz`].

use std::collections::BTreeSet;

use flate2::Crc;

use super::ZipError;
use super::directory::{SIGNATURE_CENTRAL, SIGNATURE_END, SIGNATURE_LOCAL};

/// Collects members, then becomes the archive.
#[derive(Debug, Default)]
pub struct ZipWriter {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    names: BTreeSet<String>,
}

impl ZipWriter {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stored member.
    ///
    /// # Errors
    /// A name that is empty, too long, has a zero byte or was added before; sizes past 4 GiB.
    pub fn add(&mut self, name: &str, content: &[u8]) -> Result<(), ZipError> {
        let offset = self.bytes.len() as u64;
        let too_large = || ZipError::NeedsZip64 { name: name.to_owned() };
        let name_len = u16::try_from(name.len()).ok().filter(|&len| len > 0);
        let name_len =
            name_len.filter(|_| !name.contains('\0')).ok_or(ZipError::Name { offset })?;
        let size = u32::try_from(content.len()).map_err(|_| too_large())?;
        let local = u32::try_from(offset).map_err(|_| too_large())?;
        if !self.names.insert(name.to_owned()) {
            return Err(ZipError::Duplicate { name: name.to_owned() });
        }
        let mut crc = Crc::new();
        crc.update(content);
        let flags = if name.is_ascii() { 0 } else { FLAG_UTF8 };
        let mut shared = Vec::new(); // the part that both headers have in common
        for value in [VERSION, flags, METHOD_STORED, TIME_MIDNIGHT, DATE_FIRST] {
            shared.extend_from_slice(&value.to_le_bytes());
        }
        for value in [crc.sum(), size, size] {
            shared.extend_from_slice(&value.to_le_bytes());
        }
        shared.extend_from_slice(&name_len.to_le_bytes());
        shared.extend_from_slice(&0u16.to_le_bytes()); // extra field
        self.bytes.extend_from_slice(&SIGNATURE_LOCAL.to_le_bytes());
        self.bytes.extend_from_slice(&shared);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(content);
        self.directory.extend_from_slice(&SIGNATURE_CENTRAL.to_le_bytes());
        self.directory.extend_from_slice(&VERSION.to_le_bytes()); // made by
        self.directory.extend_from_slice(&shared);
        self.directory.extend_from_slice(&[0; 10]); // comment, disk, attributes
        self.directory.extend_from_slice(&local.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        Ok(())
    }

    /// The archive.
    ///
    /// # Errors
    /// [`ZipError::NeedsZip64`]: more than 65,534 members, or a directory past 4 GiB.
    pub fn finish(mut self) -> Result<Vec<u8>, ZipError> {
        let too_large = || ZipError::NeedsZip64 { name: "the directory".to_owned() };
        let entries = u16::try_from(self.names.len()).ok().filter(|&n| n < u16::MAX);
        let entries = entries.ok_or_else(too_large)?;
        let size = u32::try_from(self.directory.len()).map_err(|_| too_large())?;
        let offset = u32::try_from(self.bytes.len()).map_err(|_| too_large())?;
        self.bytes.append(&mut self.directory);
        self.bytes.extend_from_slice(&SIGNATURE_END.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]); // disks
        self.bytes.extend_from_slice(&entries.to_le_bytes());
        self.bytes.extend_from_slice(&entries.to_le_bytes());
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 2]); // comment
        Ok(self.bytes)
    }
}

const VERSION: u16 = 20;
const FLAG_UTF8: u16 = 1 << 11;
const METHOD_STORED: u16 = 0;
const TIME_MIDNIGHT: u16 = 0;
/// 1 January 1980, the first day that the format knows.
const DATE_FIRST: u16 = 1 << 5 | 1;
