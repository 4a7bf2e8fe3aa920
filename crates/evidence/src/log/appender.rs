//! Appending to a log in bounded memory: the right edge of the tree is all that is held.
//!
//! Owns the writer of logs that grow without end; the files are those of [`super::Log`], byte for
//! byte. Must never acknowledge an entry before its tiles and the checkpoint over it are durable.
//! Called by the journal.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tiles::{self, TILE_WIDTH, Tile};
use super::{CHECKPOINT_NAME, ENTRIES_MAX, LOCK_NAME, LogError, read_checkpoint};
use crate::durable::{self, Fs, WriterLock};
use crate::entry::LEAF_BYTES_MAX;
use crate::keys::LogKey;
use crate::note::{Checkpoint, Verifier};
use crate::tree::{Hash, leaf_hash, node_hash};

/// An entry with its leaf hash, computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    bytes: Vec<u8>,
    hash: Hash,
}

impl Leaf {
    /// An entry.
    ///
    /// # Errors
    /// [`LogError::EntryTooLong`] beyond the limit of a leaf.
    pub fn new(bytes: Vec<u8>) -> Result<Self, LogError> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(LogError::EntryTooLong(bytes.len()));
        }
        let hash = leaf_hash(&bytes);
        Ok(Self { bytes, hash })
    }

    /// The entry.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its leaf hash (RFC 6962, 2.1).
    pub fn hash(&self) -> &Hash {
        &self.hash
    }
}

/// A log open for appending.
pub struct Appender {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    key: Arc<LogKey>,
    checkpoint: Checkpoint,
    note: String,
    edge: Edge,
    // Entries of the last, incomplete bundle.
    tail: Vec<Vec<u8>>,
    failed: bool,
    _lock: WriterLock,
}

impl Appender {
    /// Opens the log in `dir`, or begins one named `origin` where there is none: takes the
    /// writer's lock, checks that `key` signed the last checkpoint and that the tiles give its
    /// root, and drops what a crash left beyond it.
    ///
    /// # Errors
    /// [`LogError`] if another writer is at work, the log is another's, or it is damaged.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        origin: &str,
        key: Arc<LogKey>,
    ) -> Result<Self, LogError> {
        if key.is_demo() && !origin.contains("DEMO") {
            return Err(LogError::DemoOrigin(origin.to_owned()));
        }
        durable::create_dir_all(fs.as_ref(), dir)?;
        let lock = WriterLock::acquire(&dir.join(LOCK_NAME))?;
        let path = dir.join(CHECKPOINT_NAME);
        let (checkpoint, note) = if path.exists() {
            let note = read_checkpoint(dir)?;
            let verifier = Verifier::new(origin, key.public())?;
            (Checkpoint::open(&note, &verifier)?, note)
        } else {
            let root = crate::tree::empty_root();
            let checkpoint = Checkpoint { origin: origin.to_owned(), size: 0, root };
            let note = checkpoint.sign(&key)?;
            (checkpoint, note)
        };
        if checkpoint.size > ENTRIES_MAX {
            return Err(LogError::Full);
        }
        let edge = Edge::read(dir, checkpoint.size)?;
        if edge.root() != checkpoint.root {
            return Err(LogError::corrupt(dir, "the tiles do not give the checkpoint's root"));
        }
        // A rename may have reached the folder in memory only; make it last before building on it.
        durable::write(fs.as_ref(), &path, note.as_bytes())?;
        tiles::sweep(fs.as_ref(), dir, checkpoint.size)?;
        let tail = read_tail(dir, &checkpoint, &edge)?;
        let dir = dir.to_owned();
        Ok(Self { dir, fs, key, checkpoint, note, edge, tail, failed: false, _lock: lock })
    }

    /// Appends `leaves` as one unit and returns once all of it is durable. After an error nothing
    /// is acknowledged and the log must be opened again.
    ///
    /// # Errors
    /// [`LogError`] if the log is full or a write fails.
    pub fn append(&mut self, leaves: &[Leaf]) -> Result<(), LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        let old = self.checkpoint.size;
        let size = old.saturating_add(leaves.len() as u64);
        if size > ENTRIES_MAX {
            return Err(LogError::Full);
        }
        if leaves.is_empty() {
            return Ok(());
        }
        self.failed = true;
        self.write_bundles(leaves, old, size)?;
        let filled = self.write_hashes(leaves, old)?;
        let origin = self.checkpoint.origin.clone();
        let checkpoint = Checkpoint { origin, size, root: self.edge.root() };
        let note = checkpoint.sign(&self.key)?;
        let path = self.dir.join(CHECKPOINT_NAME);
        durable::write(self.fs.as_ref(), &path, note.as_bytes())?;
        self.checkpoint = checkpoint;
        self.note = note;
        self.failed = false;
        for tile in filled {
            // Space only: a failure loses nothing and the next opening sweeps again.
            let _ = tiles::drop_partials(self.fs.as_ref(), &self.dir, &tile);
        }
        Ok(())
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

    /// Leaf hash of entry `index`, read from its tile.
    ///
    /// # Errors
    /// [`LogError`] beyond the log or if the tile is damaged.
    pub fn leaf_hash(&self, index: u64) -> Result<Hash, LogError> {
        let tile = Tile::of(index, self.size()).ok_or(LogError::Beyond(index))?;
        let hashes = tile.read_hashes(&self.dir)?;
        let place = usize::try_from(index % TILE_WIDTH).ok();
        let hash = place.and_then(|place| hashes.get(place)).copied();
        hash.ok_or(LogError::Beyond(index))
    }

    fn write_bundles(&mut self, leaves: &[Leaf], old: u64, size: u64) -> Result<(), LogError> {
        let mut pending = std::mem::take(&mut self.tail);
        pending.extend(leaves.iter().map(|leaf| leaf.bytes.clone()));
        for tile in Tile::touched(0, old, size) {
            let count = usize::from(tile.width).min(pending.len());
            let rest = pending.split_off(count);
            let path = self.dir.join(tile.entries_path());
            durable::write(self.fs.as_ref(), &path, &tiles::encode_bundle(&pending)?)?;
            if u64::from(tile.width) == TILE_WIDTH {
                pending = rest;
            }
        }
        self.tail = pending;
        Ok(())
    }

    // Writes the full tiles and the last partial one of each level; returns the full ones.
    fn write_hashes(&mut self, leaves: &[Leaf], old: u64) -> Result<Vec<Tile>, LogError> {
        let mut full = Vec::new();
        for (index, leaf) in (old..).zip(leaves) {
            for (tile, hashes) in self.edge.push(index, leaf.hash) {
                let path = self.dir.join(tile.path());
                durable::write(self.fs.as_ref(), &path, &hashes.concat())?;
                full.push(tile);
            }
        }
        let size = old + leaves.len() as u64;
        for (level, hashes) in (0u32..).zip(&self.edge.levels) {
            let width = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
            let index = tiles::hashes_at(level, size) / TILE_WIDTH;
            let tile = Tile { level, index, width };
            let grew = tiles::hashes_at(level, old) != tiles::hashes_at(level, size);
            if width > 0 && grew {
                let path = self.dir.join(tile.path());
                durable::write(self.fs.as_ref(), &path, &hashes.concat())?;
            }
        }
        Ok(full)
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("checkpoint", &self.checkpoint).finish_non_exhaustive()
    }
}

/// The hashes of the last, incomplete tile of each level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edge {
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    fn read(dir: &Path, size: u64) -> Result<Self, LogError> {
        let mut levels = Vec::new();
        for level in 0..tiles::levels(size) {
            let count = tiles::hashes_at(level, size);
            let width = u16::try_from(count % TILE_WIDTH).unwrap_or(0);
            let tile = Tile { level, index: count / TILE_WIDTH, width };
            levels.push(if width > 0 { tile.read_hashes(dir)? } else { Vec::new() });
        }
        Ok(Self { levels })
    }

    // Adds leaf number `index`; returns the tiles that it fills, lowest first.
    fn push(&mut self, index: u64, leaf: Hash) -> Vec<(Tile, Vec<Hash>)> {
        let mut filled = Vec::new();
        let (mut hash, mut level, mut place) = (leaf, 0usize, index);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return filled };
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                return filled;
            }
            let hashes = std::mem::take(hashes);
            hash = perfect_root(&hashes);
            place /= TILE_WIDTH;
            let level_number = u32::try_from(level).unwrap_or(u32::MAX);
            let tile = Tile { level: level_number, index: place, width: TILE_WIDTH as u16 };
            filled.push((tile, hashes));
            level += 1;
        }
    }

    // Root of RFC 6962: perfect subtrees, greatest first, joined from the right.
    fn root(&self) -> Hash {
        let mut subtrees = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let width = 1usize << rest.len().ilog2();
                let (perfect, after) = rest.split_at(width);
                subtrees.push(perfect_root(perfect));
                rest = after;
            }
        }
        let joined = subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(crate::tree::empty_root)
    }
}

// Root of a power of two of hashes.
fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_else(crate::tree::empty_root)
}

fn read_tail(dir: &Path, checkpoint: &Checkpoint, edge: &Edge) -> Result<Vec<Vec<u8>>, LogError> {
    let start = checkpoint.size / TILE_WIDTH * TILE_WIDTH;
    if start == checkpoint.size {
        return Ok(Vec::new());
    }
    let tile = Tile::of(start, checkpoint.size).ok_or(LogError::Beyond(start))?;
    let entries = tile.read_entries(dir)?;
    let hashes = edge.levels.first().map(Vec::as_slice).unwrap_or_default();
    for (index, (entry, hash)) in (start..).zip(entries.iter().zip(hashes)) {
        if leaf_hash(entry) != *hash {
            return Err(LogError::Changed { dir: dir.to_owned(), index });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::OsFs;
    use crate::durable::fault::FaultFs;
    use crate::log::{Log, fsck};
    use crate::tree::Tree;

    const ORIGIN: &str = "example.invalid/log";

    fn leaf(index: u64) -> Leaf {
        Leaf::new(format!("entry {index}").into_bytes()).unwrap()
    }

    #[test]
    fn the_edge_gives_the_root_of_the_whole_tree() {
        let (mut edge, mut tree) = (Edge::default(), Tree::new());
        assert_eq!(edge.root(), tree.root(0).unwrap());
        for index in 0..70_000u64 {
            let leaf = leaf(index);
            edge.push(index, *leaf.hash());
            tree.push(*leaf.hash());
            let size = index + 1;
            if size < 600 || size % 4093 == 0 || (65_530..65_545).contains(&size) {
                assert_eq!(edge.root(), tree.root(size).unwrap(), "{size}");
            }
        }
    }

    #[test]
    fn the_files_are_those_of_a_log_and_reopening_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(LogKey::generate().unwrap());
        let fs: Arc<dyn Fs> = Arc::new(FaultFs::sound());
        let verifier = Verifier::new(ORIGIN, key.public()).unwrap();
        let (bounded, whole) = (dir.path().join("a"), dir.path().join("b"));
        let mut log = Log::create(&whole, ORIGIN, LogKey::generate().unwrap()).unwrap();
        let mut size = 0;
        for count in [0u64, 1, 3, 251, 1, 1, 300, 211, 256, 1000] {
            let mut appender = Appender::open(fs.clone(), &bounded, ORIGIN, key.clone()).unwrap();
            assert_eq!(appender.size(), size);
            let leaves: Vec<Leaf> = (size..size + count).map(leaf).collect();
            for part in leaves.chunks(700) {
                appender.append(part).unwrap();
            }
            size += count;
            let entries: Vec<_> = leaves.iter().map(|l| l.bytes().to_vec()).collect();
            log.append(&entries).unwrap();
            assert_eq!((appender.size(), appender.root()), (log.size(), log.root()), "{size}");
            if size > 0 {
                assert_eq!(appender.leaf_hash(size - 1).unwrap(), *leaf(size - 1).hash());
            }
            assert!(appender.leaf_hash(size).is_err());
            drop(appender);
            let report = fsck(&bounded, &verifier, None);
            assert!(report.is_sound() && report.notes.is_empty(), "{size}: {report:?}");
            assert_eq!(Log::open(&bounded).unwrap().root(), log.root());
        }
        let to = [dir.path().join("x"), dir.path().join("y")];
        Log::open(&bounded).unwrap().export(&OsFs, &to[0]).unwrap();
        log.export(&OsFs, &to[1]).unwrap();
        for path in ["tile/0/000", "tile/1/000.p/7", "tile/entries/007.p/232"] {
            let [a, b] = to.each_ref().map(|dir| std::fs::read(dir.join(path)).unwrap());
            assert_eq!(a, b, "{path}");
        }
    }

    #[test]
    fn another_key_origin_or_writer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let key = Arc::new(LogKey::generate().unwrap());
        let mut held = Appender::open(fs.clone(), dir.path(), ORIGIN, key.clone()).unwrap();
        held.append(&[leaf(0)]).unwrap();
        let again = Appender::open(fs.clone(), dir.path(), ORIGIN, key.clone());
        assert!(matches!(again, Err(LogError::Durable(_))));
        drop(held);
        let other = Arc::new(LogKey::generate().unwrap());
        assert!(Appender::open(fs.clone(), dir.path(), ORIGIN, other).is_err());
        assert!(Appender::open(fs.clone(), dir.path(), "example.invalid/x", key.clone()).is_err());
        let path = dir.path().join("tile/entries/000.p/1");
        std::fs::write(path, b"\x00\x07entry X").unwrap();
        let changed = Appender::open(fs, dir.path(), ORIGIN, key);
        assert!(matches!(changed, Err(LogError::Changed { index: 0, .. })));
    }
}
