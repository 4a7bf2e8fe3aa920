//! NPZ: a zip archive of NPY arrays.
//!
//! Owns the `.npy` suffix of members. Called by `dataset`, and by the command line, which writes
//! witnesses with [`write()`].

use crate::npy::{self, NpyArray, NpyError};
use crate::zip::{ZipArchive, ZipEntry, ZipError, ZipWriter};

/// Bytes of all arrays together, once inflated: what a machine for experiments still holds.
pub const ARRAYS_BYTES_MAX: u64 = crate::zip::TOTAL_BYTES_MAX;

/// Why an NPZ file cannot be read or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum NpzError {
    #[error(transparent)]
    Zip(#[from] ZipError),
    #[error("array `{name}`: {source}")]
    Npy { name: String, source: NpyError },
    #[error("no array `{name}`; the file holds {held}")]
    Absent { name: String, held: String },
}

/// An NPZ file; arrays are inflated one at a time, when asked for.
#[derive(Clone, Debug)]
pub struct Npz<'a> {
    archive: ZipArchive<'a>,
}

impl<'a> Npz<'a> {
    /// Checks the archive, but reads no array yet.
    ///
    /// # Errors
    /// [`NpzError::Zip`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, NpzError> {
        Ok(Self { archive: ZipArchive::open(bytes, ARRAYS_BYTES_MAX)? })
    }

    /// Names of the arrays, in file order, without `.npy`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.archive.entries().iter().filter_map(|entry| entry.name().strip_suffix(SUFFIX))
    }

    /// Names of members that are no arrays.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.archive.entries().iter().map(ZipEntry::name).filter(|name| !name.ends_with(SUFFIX))
    }

    /// The array of that name.
    ///
    /// # Errors
    /// No such array, a damaged member, or one that is no readable array.
    pub fn array(&self, name: &str) -> Result<NpyArray, NpzError> {
        let entry = self.archive.entry(&format!("{name}{SUFFIX}")).ok_or_else(|| {
            let held: Vec<_> = self.names().take(NAMES_SHOWN).map(|n| format!("`{n}`")).collect();
            let held = if held.is_empty() { "no arrays".to_owned() } else { held.join(", ") };
            NpzError::Absent { name: name.to_owned(), held }
        })?;
        let bytes = entry.read()?;
        npy::read(&bytes).map_err(|source| NpzError::Npy { name: name.to_owned(), source })
    }
}

/// Writes arrays as stored members with a fixed time: the same arrays in the same order always
/// give the same bytes.
///
/// # Errors
/// Names that zip cannot hold or that are given twice, and more than 4 GiB.
pub fn write<'n>(
    arrays: impl IntoIterator<Item = (&'n str, &'n NpyArray)>,
) -> Result<Vec<u8>, NpzError> {
    let mut writer = ZipWriter::new();
    for (name, array) in arrays {
        let bytes =
            npy::write(array).map_err(|source| NpzError::Npy { name: name.to_owned(), source })?;
        writer.add(&format!("{name}{SUFFIX}"), &bytes)?;
    }
    Ok(writer.finish()?)
}

const SUFFIX: &str = ".npy";
/// Names listed in a message.
const NAMES_SHOWN: usize = 20;
