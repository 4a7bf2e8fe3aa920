//! Artefacts by digest: traces, witnesses, configurations, reports.
//!
//! Owns the folder `ab/cdef…`, re-checks every digest on reading, and erases on request. Must never
//! return bytes that do not have the asked digest, nor let an erased artefact come back unnoticed.
//! Personal data lives here and only here. Called by `assess`, the pack and the command line.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::digest::Digest;
use crate::durable::{self, DurableError, Fs, OsFs};
use crate::entry::{Entry, EntryKind};

/// A store of artefacts in one folder.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
}

/// What is known of an artefact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtefactState {
    /// It is there.
    Present,
    /// It was there and was erased.
    Erased(Erasure),
    /// It never was there.
    Absent,
}

/// The record of an erasure: what the tombstone in the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The artefact.
    pub artefact: Digest,
    /// Why; must hold no personal data, it goes into the log.
    pub reason: String,
}

impl Erasure {
    /// The tombstone for the log, at `time` (RFC 3339 in UTC).
    pub fn entry(&self, time: &str) -> Entry {
        Entry::new(EntryKind::Tombstone, time)
            .with("artefact", self.artefact.hex())
            .with("reason", self.reason.clone())
    }

    /// Reads a tombstone back; `None` if the entry is none.
    pub fn from_entry(entry: &Entry) -> Option<Self> {
        if entry.kind != EntryKind::Tombstone {
            return None;
        }
        Some(Self {
            artefact: entry.extra.get("artefact")?.as_str()?.parse().ok()?,
            reason: entry.extra.get("reason")?.as_str()?.to_owned(),
        })
    }
}

impl Store {
    /// The store in `dir`, which is made on the first write.
    pub fn new(dir: &Path) -> Self {
        Self::on(Arc::new(OsFs), dir)
    }

    /// As [`Store::new`], on a given file system.
    pub fn on(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), fs }
    }

    /// Stores bytes; storing them again does nothing.
    ///
    /// # Errors
    /// [`StoreError`] if they were erased before, are too long, or a write fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if bytes.len() as u64 > ARTEFACT_BYTES_MAX {
            return Err(StoreError::TooLong(bytes.len() as u64));
        }
        let digest = Digest::of(bytes);
        if self.wanted(&digest)? {
            durable::write(self.fs.as_ref(), &self.path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Stores a file by copying it, in bounded memory.
    ///
    /// # Errors
    /// As [`Store::put`]; also if the file changes while it is copied.
    pub fn put_file(&self, source: &Path) -> Result<Digest, StoreError> {
        let open = || File::open(source).map_err(DurableError::at("open", source));
        let (digest, length) =
            Digest::of_reader(&mut open()?).map_err(DurableError::at("read", source))?;
        if length > ARTEFACT_BYTES_MAX {
            return Err(StoreError::TooLong(length));
        }
        if self.wanted(&digest)? {
            let path = self.path(&digest);
            durable::write_from(self.fs.as_ref(), &path, &mut open()?)?;
            let written = File::open(&path).map_err(DurableError::at("open", &path))?;
            let (found, _) =
                Digest::of_reader(&mut { written }).map_err(DurableError::at("read", &path))?;
            if found != digest {
                durable::remove(self.fs.as_ref(), &path)?;
                return Err(StoreError::Moving(source.to_owned()));
            }
        }
        Ok(digest)
    }

    /// The artefact's bytes, checked against the digest.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Absent`], or [`StoreError::Changed`] if the stored
    /// bytes no longer have the digest.
    pub fn open(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        match self.state(digest)? {
            ArtefactState::Erased(erasure) => return Err(StoreError::Erased(erasure)),
            ArtefactState::Absent => return Err(StoreError::Absent(*digest)),
            ArtefactState::Present => {}
        }
        let bytes = durable::read_bounded(&self.path(digest), ARTEFACT_BYTES_MAX)?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::Changed(*digest));
        }
        Ok(bytes)
    }

    /// Whether the artefact can be opened.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.state(digest)? == ArtefactState::Present)
    }

    /// Present, erased or absent.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn state(&self, digest: &Digest) -> Result<ArtefactState, StoreError> {
        match durable::read_bounded(&self.tombstone(digest), TOMBSTONE_BYTES_MAX) {
            Ok(bytes) => {
                let erasure = serde_json::from_slice(&bytes)
                    .unwrap_or(Erasure { artefact: *digest, reason: String::new() });
                return Ok(ArtefactState::Erased(erasure));
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        match fs::symlink_metadata(self.path(digest)) {
            Ok(meta) if meta.is_file() => Ok(ArtefactState::Present),
            Ok(_) => Err(StoreError::Changed(*digest)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(ArtefactState::Absent),
            Err(e) => Err(DurableError::at("inspect", &self.path(digest))(e).into()),
        }
    }

    /// Erases an artefact for good and returns what the log's tombstone must say. Erasing again
    /// completes an interrupted erasure and returns the first reason.
    ///
    /// # Errors
    /// [`StoreError`] if it is absent, the reason is empty or too long, or a write fails.
    pub fn erase(&self, digest: &Digest, reason: &str) -> Result<Erasure, StoreError> {
        if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
            return Err(StoreError::Reason);
        }
        let erasure = match self.state(digest)? {
            ArtefactState::Absent => return Err(StoreError::Absent(*digest)),
            ArtefactState::Erased(erasure) => erasure,
            ArtefactState::Present => {
                let erasure = Erasure { artefact: *digest, reason: reason.to_owned() };
                let bytes = canonical::to_vec(&erasure).map_err(|_| StoreError::Reason)?;
                // First the record: a crash between the two steps must not lose the reason.
                durable::write(self.fs.as_ref(), &self.tombstone(digest), &bytes)?;
                erasure
            }
        };
        durable::remove(self.fs.as_ref(), &self.path(digest))?;
        Ok(erasure)
    }

    fn wanted(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.state(digest)? {
            ArtefactState::Present => Ok(self.open(digest).is_err()),
            ArtefactState::Absent => Ok(true),
            ArtefactState::Erased(erasure) => Err(StoreError::Erased(erasure)),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let (folder, name) = hex.split_at_checked(2).unwrap_or(("", &hex));
        self.dir.join(folder).join(name)
    }

    fn tombstone(&self, digest: &Digest) -> PathBuf {
        self.path(digest).with_extension("erased")
    }
}

/// Why an artefact cannot be stored, read or erased.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It was erased.
    #[error("the artefact {} was erased: {}", .0.artefact, .0.reason)]
    Erased(Erasure),
    /// It is not there.
    #[error("the store holds no artefact {0}")]
    Absent(Digest),
    /// Its bytes no longer have its digest.
    #[error("the artefact {0} was changed on disk; restore it from a copy")]
    Changed(Digest),
    /// The source file changed while it was copied.
    #[error("`{}` changed while it was copied; try again when nothing writes it", .0.display())]
    Moving(PathBuf),
    /// Beyond the limit.
    #[error("an artefact of {0} bytes is longer than {ARTEFACT_BYTES_MAX}")]
    TooLong(u64),
    /// No usable reason.
    #[error("an erasure needs a reason of 1 to {REASON_BYTES_MAX} bytes")]
    Reason,
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

/// Artefacts are read whole; traces and witnesses of a run stay far below.
pub const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// The reason goes into a log entry of at most 64 KiB.
const REASON_BYTES_MAX: usize = 1000;
const TOMBSTONE_BYTES_MAX: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artefacts_live_change_and_die() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&dir.path().join("artefacts"));
        let digest = store.put(b"row 17").unwrap();
        assert_eq!(store.put(b"row 17").unwrap(), digest);
        let source = dir.path().join("source");
        fs::write(&source, b"row 18").unwrap();
        let other = store.put_file(&source).unwrap();
        assert_eq!(store.open(&other).unwrap(), b"row 18");
        assert!(store.has(&digest).unwrap());
        let hex = digest.hex();
        let path = dir.path().join("artefacts").join(&hex[..2]).join(&hex[2..]);
        assert!(path.is_file(), "the documented layout");

        fs::write(&path, b"row 71").unwrap();
        assert!(matches!(store.open(&digest), Err(StoreError::Changed(_))));
        store.put(b"row 17").unwrap();
        assert_eq!(store.open(&digest).unwrap(), b"row 17", "putting again repairs");

        assert!(matches!(store.erase(&digest, " "), Err(StoreError::Reason)));
        let erasure = store.erase(&digest, "request of the person").unwrap();
        assert!(!path.exists());
        assert!(matches!(store.open(&digest), Err(StoreError::Erased(e)) if e == erasure));
        assert!(matches!(store.put(b"row 17"), Err(StoreError::Erased(_))), "must not come back");
        assert_eq!(store.erase(&digest, "again").unwrap(), erasure);
        assert!(!store.has(&digest).unwrap());
        let entry = erasure.entry("2026-11-22T15:00:00Z");
        let read = Entry::parse(&entry.to_leaf().unwrap()).unwrap();
        assert_eq!(Erasure::from_entry(&read), Some(erasure));
        let absent = Digest::of(b"never");
        assert!(matches!(store.open(&absent), Err(StoreError::Absent(_))));
        assert!(matches!(store.erase(&absent, "x"), Err(StoreError::Absent(_))));
    }
}
