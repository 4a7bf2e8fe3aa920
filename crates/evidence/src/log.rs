//! The append-only log: C2SP tlog-tiles on disk, with signed checkpoints.
//!
//! Owns the folder (`checkpoint`, `tile/…`), appending, reading, proofs and recovery. Must never
//! acknowledge an entry before its tiles and the checkpoint over it are durable, nor change a leaf
//! that a checkpoint covers. Called by `assess`, the pack and the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::{self, DurableError, Fs, OsFs, WriterLock};
use crate::entry::LEAF_BYTES_MAX;
use crate::keys::LogKey;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError, Verifier};
use crate::tree::{Hash, Tree, leaf_hash};

mod appender;
pub mod fsck;
pub mod proof;
mod tiles;

pub use appender::{Appender, Leaf};
pub use fsck::{FsckReport, fsck};
pub use proof::Proof;

use tiles::{TILE_WIDTH, Tile};

/// A log, open for reading, or for appending when it holds the key.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    tree: Tree,
    checkpoint: Checkpoint,
    note: String,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    key: LogKey,
    fs: Arc<dyn Fs>,
    _lock: WriterLock,
    // Entries of the last, incomplete bundle.
    tail: Vec<Vec<u8>>,
    failed: bool,
}

/// What an append acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendReceipt {
    /// Index of the first new entry.
    pub first_index: u64,
    /// Size of the log afterwards.
    pub size: u64,
}

impl Log {
    /// Makes an empty log named `origin` in `dir` and opens it for appending.
    ///
    /// # Errors
    /// [`LogError`] if one is there, the origin is no valid name, or (for a demo key) it does not
    /// hold `DEMO`.
    pub fn create(dir: &Path, origin: &str, key: LogKey) -> Result<Self, LogError> {
        Self::create_on(Arc::new(OsFs), dir, origin, key)
    }

    /// As [`Log::create`], on a given file system.
    ///
    /// # Errors
    /// As [`Log::create`].
    pub fn create_on(
        fs: Arc<dyn Fs>,
        dir: &Path,
        origin: &str,
        key: LogKey,
    ) -> Result<Self, LogError> {
        if key.is_demo() && !origin.contains("DEMO") {
            return Err(LogError::DemoOrigin(origin.to_owned()));
        }
        durable::create_dir_all(fs.as_ref(), dir)?;
        let lock = WriterLock::acquire(&dir.join(LOCK_NAME))?;
        let path = dir.join(CHECKPOINT_NAME);
        if path.exists() {
            return Err(LogError::Exists(dir.to_owned()));
        }
        let tree = Tree::new();
        let root = tree.root(0).ok_or_else(|| LogError::bug(dir))?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: 0, root };
        let note = checkpoint.sign(&key)?;
        durable::write(fs.as_ref(), &path, note.as_bytes())?;
        let writer = Some(Writer { key, fs, _lock: lock, tail: Vec::new(), failed: false });
        Ok(Self { dir: dir.to_owned(), tree, checkpoint, note, writer })
    }

    /// Opens a log for reading; needs no key. What lies beyond the last checkpoint is not seen.
    /// Tiles are checked against the checkpoint; for its signature see [`Log::verify_signature`].
    ///
    /// # Errors
    /// [`LogError`] if there is no log, or its tiles do not give the checkpoint's root.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let note = read_checkpoint(dir)?;
        let checkpoint = Checkpoint::parse_unverified(&note)?;
        if checkpoint.size > ENTRIES_MAX {
            return Err(LogError::Full);
        }
        let mut tree = Tree::new();
        for tile in Tile::covering(0, checkpoint.size) {
            for hash in tile.read_hashes(dir)? {
                tree.push(hash);
            }
        }
        if tree.root(checkpoint.size) != Some(checkpoint.root) {
            return Err(LogError::corrupt(dir, "the tiles do not give the checkpoint's root"));
        }
        Ok(Self { dir: dir.to_owned(), tree, checkpoint, note, writer: None })
    }

    /// Opens a log for appending: takes the writer's lock, checks that `key` signed the last
    /// checkpoint, and drops what a crash left beyond it.
    ///
    /// # Errors
    /// [`LogError`] if another writer is at work, the key is another, or the log is damaged.
    pub fn open_writer(dir: &Path, key: LogKey) -> Result<Self, LogError> {
        Self::open_writer_on(Arc::new(OsFs), dir, key)
    }

    /// As [`Log::open_writer`], on a given file system.
    ///
    /// # Errors
    /// As [`Log::open_writer`].
    pub fn open_writer_on(fs: Arc<dyn Fs>, dir: &Path, key: LogKey) -> Result<Self, LogError> {
        if !dir.join(CHECKPOINT_NAME).exists() {
            return Err(LogError::Absent(dir.to_owned()));
        }
        let lock = WriterLock::acquire(&dir.join(LOCK_NAME))?;
        let mut log = Self::open(dir)?;
        log.verify_signature(&Verifier::new(&log.checkpoint.origin, key.public())?)?;
        // A rename may have reached the folder in memory only; make it last before building on it.
        durable::write(fs.as_ref(), &dir.join(CHECKPOINT_NAME), log.note.as_bytes())?;
        tiles::sweep(fs.as_ref(), dir, log.checkpoint.size)?;
        let mut tail = Vec::new();
        let start = log.checkpoint.size / TILE_WIDTH * TILE_WIDTH;
        if start < log.checkpoint.size {
            tail = log.bundle(start)?;
        }
        log.writer = Some(Writer { key, fs, _lock: lock, tail, failed: false });
        Ok(log)
    }

    /// Appends `entries` as one unit and returns once all of it is durable. After an error nothing
    /// is acknowledged and the log must be opened again.
    ///
    /// # Errors
    /// [`LogError`] if the log is read-only, an entry is too long, or a write fails.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<AppendReceipt, LogError> {
        let first_index = self.checkpoint.size;
        let writer = self.writer.as_mut().ok_or(LogError::ReadOnly)?;
        if writer.failed {
            return Err(LogError::Failed);
        }
        if let Some(long) = entries.iter().find(|entry| entry.len() > LEAF_BYTES_MAX) {
            return Err(LogError::EntryTooLong(long.len()));
        }
        let size = first_index.saturating_add(entries.len() as u64);
        if size > ENTRIES_MAX {
            return Err(LogError::Full);
        }
        if entries.is_empty() {
            return Ok(AppendReceipt { first_index, size });
        }
        writer.failed = true;
        entries.iter().for_each(|entry| self.tree.push(leaf_hash(entry)));
        let root = self.tree.root(size).ok_or_else(|| LogError::bug(&self.dir))?;
        let checkpoint = Checkpoint { origin: self.checkpoint.origin.clone(), size, root };
        let note = checkpoint.sign(&writer.key)?;

        let fs = writer.fs.clone();
        let mut pending = std::mem::take(&mut writer.tail);
        pending.extend(entries.iter().cloned());
        for tile in Tile::touched(0, first_index, size) {
            let count = usize::from(tile.width).min(pending.len());
            let rest = pending.split_off(count);
            let path = self.dir.join(tile.entries_path());
            durable::write(fs.as_ref(), &path, &tiles::encode_bundle(&pending)?)?;
            if u64::from(tile.width) == TILE_WIDTH {
                pending = rest;
            }
        }
        for level in 0..tiles::levels(size) {
            for tile in Tile::touched(level, first_index, size) {
                let bytes = tile.hashes(&self.tree).ok_or_else(|| LogError::bug(&self.dir))?;
                durable::write(fs.as_ref(), &self.dir.join(tile.path()), &bytes)?;
            }
        }
        durable::write(fs.as_ref(), &self.dir.join(CHECKPOINT_NAME), note.as_bytes())?;

        self.checkpoint = checkpoint;
        self.note = note;
        if let Some(writer) = self.writer.as_mut() {
            writer.tail = pending;
            writer.failed = false;
        }
        if first_index / TILE_WIDTH != size / TILE_WIDTH {
            // Space only: superseded partial tiles may go once the full one is durable. A failure
            // loses nothing and the next opening sweeps again.
            let _ = tiles::sweep(fs.as_ref(), &self.dir, size);
        }
        Ok(AppendReceipt { first_index, size })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of acknowledged entries.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Root over them.
    pub fn root(&self) -> Hash {
        self.checkpoint.root
    }

    /// Name of the log.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// The signed checkpoint, as it lies in the file.
    pub fn checkpoint_text(&self) -> &str {
        &self.note
    }

    /// Root over the first `size` entries; `None` beyond the log.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size <= self.size() { self.tree.root(size) } else { None }
    }

    /// Verifies the checkpoint's signature by a key the caller trusts.
    ///
    /// # Errors
    /// [`LogError::Note`] if that key did not sign it.
    pub fn verify_signature(&self, verifier: &Verifier) -> Result<(), LogError> {
        Checkpoint::open(&self.note, verifier)?;
        Ok(())
    }

    /// Entry `index`, checked against its leaf hash.
    ///
    /// # Errors
    /// [`LogError`] beyond the log, or if the stored bytes were changed.
    pub fn leaf(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let place = usize::try_from(index % TILE_WIDTH).map_err(|_| LogError::Beyond(index))?;
        let mut bundle = self.bundle(index)?;
        if place >= bundle.len() {
            return Err(LogError::Beyond(index));
        }
        Ok(bundle.swap_remove(place))
    }

    /// Calls `visit(index, entry)` for every entry in order, reading one bundle at a time.
    ///
    /// # Errors
    /// [`LogError`] if the stored bytes were changed, or what `visit` returns.
    pub fn for_each_leaf(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut start = 0;
        while start < self.size() {
            for (index, entry) in (start..).zip(self.bundle(start)?) {
                visit(index, &entry)?;
            }
            start += TILE_WIDTH;
        }
        Ok(())
    }

    /// Inclusion proof of entry `index` in the whole log, leaf first.
    ///
    /// # Errors
    /// [`LogError::Beyond`] if there is no such entry.
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, LogError> {
        self.tree.inclusion(index, self.size()).ok_or(LogError::Beyond(index))
    }

    /// Consistency proof from the first `old` to the first `new` entries.
    ///
    /// # Errors
    /// [`LogError::Beyond`] if `new` is beyond the log or below `old`.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        if new > self.size() {
            return Err(LogError::Beyond(new));
        }
        self.tree.consistency(old, new).ok_or(LogError::Beyond(new))
    }

    /// Self-contained proof (C2SP tlog-proof) of entry `index`, with the entry as extra data.
    ///
    /// # Errors
    /// [`LogError`] beyond the log or if it is damaged.
    pub fn proof(&self, index: u64) -> Result<Proof, LogError> {
        Ok(Proof {
            leaf: self.leaf(index)?,
            index,
            hashes: self.inclusion_proof(index)?,
            checkpoint: self.note.clone(),
        })
    }

    /// Copies what the last checkpoint covers, and nothing else, into the empty folder `to`.
    ///
    /// # Errors
    /// [`LogError`] if a tile is missing or a write fails.
    pub fn export(&self, fs: &dyn Fs, to: &Path) -> Result<(), LogError> {
        for level in 0..tiles::levels(self.size()) {
            for tile in Tile::covering(level, self.size()) {
                let bytes = tile.hashes(&self.tree).ok_or_else(|| LogError::bug(&self.dir))?;
                durable::write(fs, &to.join(tile.path()), &bytes)?;
            }
        }
        for tile in Tile::covering(0, self.size()) {
            let bytes = tiles::encode_bundle(&self.bundle(tile.start())?)?;
            durable::write(fs, &to.join(tile.entries_path()), &bytes)?;
        }
        Ok(durable::write(fs, &to.join(CHECKPOINT_NAME), self.note.as_bytes())?)
    }

    // The checked entries of the bundle that holds `index`.
    fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let tile = Tile::of(index, self.size()).ok_or(LogError::Beyond(index))?;
        let entries = tile.read_entries(&self.dir)?;
        for (place, entry) in (tile.start()..).zip(&entries) {
            if self.tree.subtree(0, place) != Some(leaf_hash(entry)) {
                return Err(LogError::Changed { dir: self.dir.clone(), index: place });
            }
        }
        Ok(entries)
    }
}

/// Why a log cannot be read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A log is already there.
    #[error("`{}` already holds a log; open it instead", .0.display())]
    Exists(PathBuf),
    /// No log is there.
    #[error("`{}` holds no log (no checkpoint)", .0.display())]
    Absent(PathBuf),
    /// A throw-away key must be recognisable in every checkpoint.
    #[error("the origin `{0}` does not say DEMO, but the key is a throw-away key")]
    DemoOrigin(String),
    /// Opened without a key.
    #[error("the log is open for reading only; open it with its key to append")]
    ReadOnly,
    /// An earlier append failed.
    #[error("an earlier append failed; open the log again, it recovers by itself")]
    Failed,
    /// Beyond the limit of a leaf.
    #[error("an entry of {0} bytes; at most {LEAF_BYTES_MAX}, name content by its digest instead")]
    EntryTooLong(usize),
    /// Beyond the limit of a log.
    #[error("the log holds its most, {ENTRIES_MAX} entries; begin a new one")]
    Full,
    /// No such entry.
    #[error("the log has no entry or size {0}")]
    Beyond(u64),
    /// A stored entry differs from its leaf hash.
    #[error("entry {index} of the log `{}` was changed", dir.display())]
    Changed {
        /// The log.
        dir: PathBuf,
        /// The entry.
        index: u64,
    },
    /// The folder does not hold what the checkpoint says.
    #[error("the log `{}` is damaged: {what}", dir.display())]
    Corrupt {
        /// The log.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A checkpoint or proof that does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

impl LogError {
    fn corrupt(dir: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { dir: dir.to_owned(), what: what.into() }
    }

    fn bug(dir: &Path) -> Self {
        Self::corrupt(dir, "the tree in memory is incomplete; please report this as a bug")
    }
}

/// The last checkpoint of the log in `dir`, signed by a key the caller trusts; the tiles are not
/// looked at.
///
/// # Errors
/// [`LogError`] if there is none, or that key did not sign it.
pub fn read_signed(dir: &Path, verifier: &Verifier) -> Result<Checkpoint, LogError> {
    Ok(Checkpoint::open(&read_checkpoint(dir)?, verifier)?)
}

fn read_checkpoint(dir: &Path) -> Result<String, LogError> {
    let path = dir.join(CHECKPOINT_NAME);
    let bytes = durable::read_bounded(&path, NOTE_BYTES_MAX as u64)
        .map_err(|e| if e.is_not_found() { LogError::Absent(dir.to_owned()) } else { e.into() })?;
    String::from_utf8(bytes).map_err(|_| LogError::corrupt(dir, "the checkpoint is not text"))
}

/// Name of the checkpoint file (C2SP tlog-tiles).
pub const CHECKPOINT_NAME: &str = "checkpoint";
/// Name of the lock of the single writer; not part of the log.
pub const LOCK_NAME: &str = "lock";
/// Hashes of a log are held in memory, 64 bytes an entry: 64 MiB at the most. An assessment
/// writes some dozens of entries.
pub const ENTRIES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ORIGIN: &str = "example.invalid/log";

    fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
        (from..to).map(|i| format!("entry {i}").into_bytes()).collect()
    }

    fn seeded(seed: u8) -> LogKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("DEMO");
        // A fixed key through its file form: version 1 PKCS#8 of an Ed25519 seed.
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend([seed; 32]);
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        fs::write(&path, pem).unwrap();
        LogKey::load(&path, None).unwrap()
    }

    #[test]
    fn chunking_does_not_matter() {
        let all = entries(0, 700);
        let mut roots = Vec::new();
        for chunk in [1, 7, 64, 255, 256, 257, 700] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = Log::create(dir.path(), ORIGIN, LogKey::generate().unwrap()).unwrap();
            // Single appends are slow on a real disk; a prefix of them is enough.
            for part in all.chunks(chunk).take(if chunk == 1 { 260 } else { 700 }) {
                let before = log.size();
                let receipt = log.append(part).unwrap();
                assert_eq!(receipt.first_index, before);
                assert_eq!(receipt.size, before + part.len() as u64);
            }
            let read = Log::open(dir.path()).unwrap();
            assert_eq!(read.root(), log.root());
            for index in [0, 100, 255, 256, 259] {
                if index < read.size() {
                    assert_eq!(read.leaf(index).unwrap(), all[index as usize]);
                }
            }
            roots.push((log.size(), log.root(), log.root_at(260).unwrap()));
        }
        assert!(roots.iter().all(|r| r.2 == roots[0].2));
        assert!(roots[1..].iter().all(|r| r.0 == 700 && r.1 == roots[1].1));
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path(), ORIGIN, LogKey::generate().unwrap()).unwrap();
        log.append(&entries(0, 300)).unwrap();
        log.append(&entries(300, 520)).unwrap();
        for path in [
            "checkpoint",
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/8",
            "tile/1/000.p/2",
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/8",
        ] {
            assert!(dir.path().join(path).is_file(), "{path}");
        }
        assert!(!dir.path().join("tile/0/001.p").exists(), "a superseded partial tile");
        assert_eq!(fs::metadata(dir.path().join("tile/0/000")).unwrap().len(), 8192);
        let bundle = fs::read(dir.path().join("tile/entries/002.p/8")).unwrap();
        assert_eq!(&bundle[..11], b"\x00\x09entry 512");
    }

    #[test]
    fn readers_need_no_key_and_writers_are_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Log::open(dir.path()), Err(LogError::Absent(_))));
        let mut log = Log::create(dir.path(), ORIGIN, seeded(1)).unwrap_err();
        assert!(matches!(log, LogError::DemoOrigin(_)));
        let origin = "example.invalid/DEMO";
        let mut writer = Log::create(dir.path(), origin, seeded(1)).unwrap();
        writer.append(&entries(0, 3)).unwrap();
        log = Log::open_writer(dir.path(), seeded(1)).unwrap_err();
        assert!(matches!(log, LogError::Durable(DurableError::Locked(_))), "{log}");
        let mut reader = Log::open(dir.path()).unwrap();
        assert!(matches!(reader.append(&entries(0, 1)), Err(LogError::ReadOnly)));
        drop(writer);
        assert!(matches!(Log::create(dir.path(), origin, seeded(1)), Err(LogError::Exists(_))));
        assert!(matches!(Log::open_writer(dir.path(), seeded(2)), Err(LogError::Note(_))));
        let mut writer = Log::open_writer(dir.path(), seeded(1)).unwrap();
        assert_eq!(writer.append(&entries(3, 4)).unwrap().first_index, 3);
        assert!(matches!(
            writer.append(&[vec![0; LEAF_BYTES_MAX + 1]]),
            Err(LogError::EntryTooLong(_))
        ));
        writer.append(&[vec![0; LEAF_BYTES_MAX], Vec::new()]).unwrap();
        assert_eq!(writer.leaf(4).unwrap().len(), LEAF_BYTES_MAX);
        assert!(matches!(writer.leaf(6), Err(LogError::Beyond(6))));
    }
}
