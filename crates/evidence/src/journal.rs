//! The write-ahead journal in front of a log: many records, one flush.
//!
//! A record is durable once its batch is in a segment file; integrating it into the tiles comes
//! later and costs no caller anything. Owns the segments, the volumes of the log, and recovery.
//! Must never acknowledge a record that a crash can take away, give two records one sequence
//! number, or drop a segment before the log covers it. Called by the recorder of the guard.
//!
//! Rules that make recovery sound:
//! * A record's sequence number is its leaf index, counted over all volumes; batches are written
//!   one after the other, so a batch on the disk proves that all before it were acknowledged.
//! * After any error a segment is never written again. The next one begins at the first sequence
//!   number that was not acknowledged and so supersedes what the failed one may hold beyond it.
//! * Segments are removed oldest first, and only when the log covers all they acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::{self, DurableError, Fs, FsFile, WriterLock};
use crate::keys::LogKey;
use crate::log::{self, Appender, CHECKPOINT_NAME, ENTRIES_MAX, Leaf, LogError};
use crate::note::Verifier;
use crate::tree::Hash;

mod segment;

use segment::{Header, Parsed};

/// The log of a journal: volumes of bounded size, appended to in order.
#[derive(Debug)]
pub struct Volumes {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    origin: String,
    key: Arc<LogKey>,
    entries_max: u64,
    number: u32,
    // Sequence number of the first entry of the volume at hand.
    base: u64,
    current: Option<Appender>,
}

/// A volume that is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedVolume {
    /// Its origin.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// The journal, open for committing.
pub struct Journal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    next: u64,
    serial: u64,
    segment: Option<Open>,
    // Segments no longer written, oldest first.
    closed: Vec<Closed>,
    buffer: Vec<u8>,
    recovered: Recovered,
    _lock: WriterLock,
}

/// What an opening found that the process before had left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were in the journal only and are in the log now.
    pub records: u64,
    /// Bytes of a last batch that was never whole, so never acknowledged; cut off.
    pub torn_bytes: u64,
}

struct Open {
    file: Box<dyn FsFile>,
    path: PathBuf,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Closed {
    path: PathBuf,
    // First sequence number that it did not acknowledge.
    end: u64,
}

impl Journal {
    /// Opens the journal in `dir/journal` in front of the log in `dir/log`: recovers what was
    /// acknowledged into the log, signs a checkpoint over it and begins afresh.
    ///
    /// # Errors
    /// [`JournalError`] if another writer is at work, a write fails (nothing is lost: open it
    /// again), or acknowledged records are damaged or missing.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        origin: &str,
        key: Arc<LogKey>,
    ) -> Result<(Self, Volumes), JournalError> {
        Self::open_with(fs, dir, origin, key, ENTRIES_MAX)
    }

    /// As [`Journal::open`], with volumes of at most `entries_max` entries.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(
        fs: Arc<dyn Fs>,
        dir: &Path,
        origin: &str,
        key: Arc<LogKey>,
        entries_max: u64,
    ) -> Result<(Self, Volumes), JournalError> {
        let folder = dir.join("journal");
        durable::create_dir_all(fs.as_ref(), &folder)?;
        let lock = WriterLock::acquire(&folder.join("lock"))?;
        let mut volumes = Volumes::open(fs.clone(), dir, origin, key, entries_max)?;
        let found = segments(&folder)?;
        let recovered = recover(&found, &mut volumes)?;
        for (_, path) in &found {
            durable::remove(fs.as_ref(), path)?;
        }
        let serial = found.last().map_or(0, |(serial, _)| serial + 1);
        let journal = Self {
            fs,
            dir: folder,
            next: volumes.size()?,
            serial,
            segment: None,
            closed: Vec::new(),
            buffer: Vec::new(),
            recovered,
            _lock: lock,
        };
        Ok((journal, volumes))
    }

    /// Makes `records` durable with one flush; returns the sequence number of the first. After an
    /// error none of them is acknowledged, and the next commit goes on soundly.
    ///
    /// # Errors
    /// [`JournalError`] if a write fails, e.g. because the disk is full.
    pub fn commit(&mut self, records: &[Leaf]) -> Result<u64, JournalError> {
        let first = self.next;
        if records.is_empty() {
            return Ok(first);
        }
        if self.segment.as_ref().is_some_and(|open| open.bytes >= SEGMENT_BYTES) {
            self.rotate();
        }
        if self.segment.is_none() {
            let opened = self.begin(first)?;
            self.segment = Some(opened);
        }
        segment::encode_batch(first, records, &mut self.buffer);
        let Some(open) = self.segment.as_mut() else { return Err(JournalError::Bug) };
        let written = open
            .file
            .write_all(&self.buffer)
            .map_err(DurableError::at("write", &open.path))
            .and_then(|()| open.file.sync_data().map_err(DurableError::at("flush", &open.path)));
        if let Err(error) = written {
            // What the failed flush left behind is unknown: this file is never written again.
            self.rotate();
            return Err(error.into());
        }
        open.bytes += self.buffer.len() as u64;
        self.next += records.len() as u64;
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(first)
    }

    /// What this opening recovered.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Sequence number that the next record gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Removes the segments of which the log covers everything, i.e. all below `covered`.
    ///
    /// # Errors
    /// [`JournalError`] if a file cannot be removed; it is tried again the next time.
    pub fn release(&mut self, covered: u64) -> Result<(), JournalError> {
        while let Some(oldest) = self.closed.first().filter(|closed| closed.end <= covered) {
            durable::remove(self.fs.as_ref(), &oldest.path)?;
            self.closed.remove(0);
        }
        Ok(())
    }

    /// Ends the segment at hand, so that [`Journal::release`] can remove it.
    pub fn rotate(&mut self) {
        if let Some(open) = self.segment.take() {
            self.closed.push(Closed { path: open.path, end: self.next });
        }
    }

    fn begin(&mut self, first: u64) -> Result<Open, JournalError> {
        let serial = self.serial;
        self.serial += 1;
        let path = self.dir.join(segment::name(serial));
        let header = Header { serial, first }.encode();
        let mut file = self
            .fs
            .create(&path, false)
            .map_err(DurableError::at("create a segment of the journal", &path))?;
        // From here on the file may exist: keep it in view whatever happens.
        self.closed.push(Closed { path: path.clone(), end: first });
        file.write_all(&header).map_err(DurableError::at("write", &path))?;
        file.sync().map_err(DurableError::at("flush", &path))?;
        self.fs.sync_dir(&self.dir).map_err(DurableError::at("flush the folder of", &path))?;
        self.closed.pop();
        Ok(Open { file, path, bytes: header.len() as u64 })
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Volumes {
    fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        origin: &str,
        key: Arc<LogKey>,
        entries_max: u64,
    ) -> Result<Self, JournalError> {
        let entries_max = entries_max.clamp(1, ENTRIES_MAX);
        let found = (1..).take_while(|n| volume(dir, *n).join(CHECKPOINT_NAME).exists()).last();
        let (number, mut base) = (found.unwrap_or(1), 0);
        for full in 1..number {
            base += closed(dir, origin, full, &key)?.size;
        }
        let (dir, origin) = (dir.to_owned(), origin.to_owned());
        let mut volumes = Self { fs, dir, origin, key, entries_max, number, base, current: None };
        volumes.appender()?;
        Ok(volumes)
    }

    /// Sequence number behind the last entry of the log.
    ///
    /// # Errors
    /// [`JournalError`] if the log cannot be opened again after an error.
    pub fn size(&mut self) -> Result<u64, JournalError> {
        let base = self.base;
        Ok(base + self.appender()?.size())
    }

    /// Number of the volume at hand, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The last signed checkpoint.
    ///
    /// # Errors
    /// [`JournalError`] if the log cannot be opened again after an error.
    pub fn checkpoint_text(&mut self) -> Result<String, JournalError> {
        Ok(self.appender()?.checkpoint_text().to_owned())
    }

    /// Appends records, of which the first has the sequence number `first`; those that the log
    /// has already are passed over. Returns the volumes that became full.
    ///
    /// # Errors
    /// [`JournalError`] if a write fails (call it again with the same records), or the records do
    /// not join on.
    pub fn integrate(
        &mut self,
        first: u64,
        records: &[Leaf],
    ) -> Result<Vec<ClosedVolume>, JournalError> {
        let mut full = Vec::new();
        loop {
            let (base, entries_max) = (self.base, self.entries_max);
            let appender = self.appender()?;
            let size = base + appender.size();
            let done = size.checked_sub(first).ok_or(JournalError::Gap { first, end: size })?;
            let rest = usize::try_from(done).ok().and_then(|done| records.get(done..));
            let rest = rest.unwrap_or_default();
            if rest.is_empty() {
                return Ok(full);
            }
            if appender.size() >= entries_max {
                full.push(self.turn()?);
                continue;
            }
            let room = usize::try_from(entries_max - appender.size()).unwrap_or(usize::MAX);
            let part = rest.get(..room.min(rest.len()).min(APPEND_MAX)).unwrap_or(rest);
            if let Err(error) = appender.append(part) {
                self.current = None;
                return Err(error.into());
            }
        }
    }

    /// The volume before the one at hand; `None` in the first.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be opened.
    pub fn previous(&self) -> Result<Option<ClosedVolume>, JournalError> {
        let number = self.number.saturating_sub(1);
        if number == 0 {
            return Ok(None);
        }
        closed(&self.dir, &self.origin, number, &self.key).map(Some)
    }

    // Goes on in a new volume.
    fn turn(&mut self) -> Result<ClosedVolume, JournalError> {
        let appender = self.appender()?;
        let closed = ClosedVolume {
            origin: appender.origin().to_owned(),
            size: appender.size(),
            root: appender.root(),
        };
        let number = self.number.saturating_add(1);
        let (dir, origin) = (volume(&self.dir, number), named(&self.origin, number));
        let next = Appender::open(self.fs.clone(), &dir, &origin, self.key.clone())?;
        self.base += closed.size;
        self.number = number;
        self.current = Some(next);
        Ok(closed)
    }

    fn appender(&mut self) -> Result<&mut Appender, JournalError> {
        let current = match self.current.take() {
            Some(current) => current,
            None => {
                let dir = volume(&self.dir, self.number);
                let origin = named(&self.origin, self.number);
                Appender::open(self.fs.clone(), &dir, &origin, self.key.clone())?
            }
        };
        Ok(self.current.insert(current))
    }

    // Whether the log has that record under that number.
    fn holds(&mut self, sequence: u64, hash: &Hash) -> Result<bool, JournalError> {
        let base = self.base;
        match sequence.checked_sub(base) {
            Some(index) => Ok(self.appender()?.leaf_hash(index)? == *hash),
            // In an earlier volume, whose size was checked with its checkpoint.
            None => Ok(true),
        }
    }
}

/// The folder of volume `number` of a log, from 1: `log`, `log-2`, `log-3`, …
pub fn volume(dir: &Path, number: u32) -> PathBuf {
    if number <= 1 { dir.join("log") } else { dir.join(format!("log-{number}")) }
}

/// The origin of volume `number` of a log, from 1.
pub fn named(origin: &str, number: u32) -> String {
    if number <= 1 { origin.to_owned() } else { format!("{origin}/{number}") }
}

/// Why the journal fails.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The log behind the journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Acknowledged records cannot be read.
    #[error(
        "the journal `{}` is damaged at record {sequence}: {what}; restore the file from a backup",
        path.display()
    )]
    Damaged {
        /// Segment.
        path: PathBuf,
        /// First record concerned.
        sequence: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Records are missing between log and journal.
    #[error(
        "the journal goes on at record {first}, the log ends at {end}: records between them are \
         missing; restore the folder of the log or of the journal from a backup"
    )]
    Gap {
        /// First record of the journal.
        first: u64,
        /// End of the log.
        end: u64,
    },
    /// Log and journal disagree.
    #[error(
        "record {0} differs between log and journal: they do not belong together; restore both \
         from the same backup"
    )]
    Differs(u64),
    /// Cannot happen.
    #[error("the journal has no segment; please report this as a bug")]
    Bug,
}

impl JournalError {
    /// Whether the disk was full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Durable(error) | Self::Log(LogError::Durable(error)) => error.is_disk_full(),
            _ => false,
        }
    }
}

// A full volume, by its signed checkpoint.
fn closed(
    dir: &Path,
    origin: &str,
    number: u32,
    key: &LogKey,
) -> Result<ClosedVolume, JournalError> {
    let origin = named(origin, number);
    let verifier = Verifier::new(&origin, key.public()).map_err(LogError::from)?;
    let checkpoint = log::read_signed(&volume(dir, number), &verifier)?;
    Ok(ClosedVolume { origin, size: checkpoint.size, root: checkpoint.root })
}

// The segments in `dir` by serial number, ascending.
fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).map_err(DurableError::at("list", dir))? {
        let path = item.map_err(DurableError::at("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(serial) = name.and_then(segment::serial) {
            found.push((serial, path));
        }
    }
    found.sort();
    Ok(found)
}

// Brings all acknowledged records into the log.
fn recover(found: &[(u64, PathBuf)], volumes: &mut Volumes) -> Result<Recovered, JournalError> {
    let mut recovered = Recovered::default();
    let mut parsed = Vec::new();
    for (serial, path) in found {
        // A segment without a whole header never acknowledged anything.
        if let Some(one) = segment::read(path, *serial)? {
            parsed.push((path, one));
        }
    }
    let mut rest = parsed.as_slice();
    while let Some(((path, one), after)) = rest.split_first() {
        rest = after;
        let Parsed { first, records, beyond, torn_bytes } = one;
        let end = first + records.len() as u64;
        let limit = after.first().map(|(_, next)| next.first);
        let damaged = |what| JournalError::Damaged { path: (*path).clone(), sequence: end, what };
        match limit {
            Some(limit) if limit > end => return Err(damaged("later segments go on beyond it")),
            None if *beyond => return Err(damaged("later batches of the same file are whole")),
            _ => {}
        }
        let valid = usize::try_from(limit.unwrap_or(end).saturating_sub(*first));
        let valid = records.get(..valid.unwrap_or(0)).unwrap_or(records);
        let size = volumes.size()?;
        for (sequence, record) in (*first..size).zip(valid) {
            if !volumes.holds(sequence, record.hash())? {
                return Err(JournalError::Differs(sequence));
            }
        }
        volumes.integrate(*first, valid)?;
        recovered.records += volumes.size()?.saturating_sub(size);
        recovered.torn_bytes += torn_bytes;
    }
    Ok(recovered)
}

/// A segment is ended once it is longer than this: some ten thousand records, so that recovery
/// reads little and the disk is given back soon.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Records appended to the tiles as one unit, under one checkpoint: 32 tiles.
const APPEND_MAX: usize = 8192;
/// A buffer that a batch of unusual size made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
