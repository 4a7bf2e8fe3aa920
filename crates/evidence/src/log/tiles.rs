//! Names, contents and housekeeping of tiles (C2SP tlog-tiles).
//!
//! Owns the mapping from a log's size to its files. Must never write a checkpoint. Called by the
//! log and by fsck only.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CHECKPOINT_NAME, LOCK_NAME, LogError};
use crate::durable::{self, DurableError, Fs};
use crate::entry::LEAF_BYTES_MAX;
use crate::tree::{Hash, Tree};

/// Hashes in a full tile.
pub(super) const TILE_WIDTH: u64 = 256;
const TILE_HEIGHT: u32 = 8;
/// Deeper folders than `tile/L/x001/002.p/3` do not occur in a log of this size limit.
const DEPTH_MAX: usize = 8;

/// One tile as it must exist for some size of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub level: u32,
    pub index: u64,
    /// 1 to 256.
    pub width: u16,
}

/// Number of tile levels of a log of `size`.
pub(super) fn levels(size: u64) -> u32 {
    (0..).take_while(|level| hashes_at(*level, size) > 0).count() as u32
}

pub(super) fn hashes_at(level: u32, size: u64) -> u64 {
    size.checked_shr(level * TILE_HEIGHT).unwrap_or(0)
}

impl Tile {
    /// All tiles of `level` for a log of `size`.
    pub(super) fn covering(level: u32, size: u64) -> impl Iterator<Item = Self> {
        Self::span(level, 0, hashes_at(level, size))
    }

    /// The tiles of `level` that growing from `old` to `new` entries changes or makes.
    pub(super) fn touched(level: u32, old: u64, new: u64) -> impl Iterator<Item = Self> {
        let (old, new) = (hashes_at(level, old), hashes_at(level, new));
        let first = if new > old { old / TILE_WIDTH } else { new.div_ceil(TILE_WIDTH) };
        Self::span(level, first, new)
    }

    /// The level-0 tile that holds leaf `index` in a log of `size`.
    pub(super) fn of(index: u64, size: u64) -> Option<Self> {
        (index < size).then(|| Self::span(0, index / TILE_WIDTH, size).next()).flatten()
    }

    fn span(level: u32, first: u64, hashes: u64) -> impl Iterator<Item = Self> {
        (first..hashes.div_ceil(TILE_WIDTH)).map(move |index| Self {
            level,
            index,
            width: (hashes - index * TILE_WIDTH).min(TILE_WIDTH) as u16,
        })
    }

    /// Index of its first hash in its level.
    pub(super) fn start(&self) -> u64 {
        self.index * TILE_WIDTH
    }

    /// Path of the hash tile below the log's folder.
    pub(super) fn path(&self) -> PathBuf {
        let mut path = PathBuf::from("tile");
        path.push(self.level.to_string());
        path.push(self.suffix(self.width));
        path
    }

    /// Path of the entry bundle below the log's folder.
    pub(super) fn entries_path(&self) -> PathBuf {
        Path::new("tile").join("entries").join(self.suffix(self.width))
    }

    /// Its bytes, from the tree.
    pub(super) fn hashes(&self, tree: &Tree) -> Option<Vec<u8>> {
        let height = (self.level * TILE_HEIGHT) as usize;
        let range = self.start()..self.start() + u64::from(self.width);
        let hashes: Option<Vec<Hash>> = range.map(|i| tree.subtree(height, i)).collect();
        hashes.map(|hashes| hashes.concat())
    }

    /// Its hashes, from its file; the full tile serves where the partial one is gone.
    pub(super) fn read_hashes(&self, dir: &Path) -> Result<Vec<Hash>, LogError> {
        let bytes = self.read(dir, &self.path(), TILE_WIDTH * 32)?;
        let count = usize::from(self.width);
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() < count || !rest.is_empty() {
            let what = format!("`{}` is cut short", self.path().display());
            return Err(LogError::corrupt(dir, what));
        }
        Ok(hashes.iter().take(count).copied().collect())
    }

    /// Its entries, from its bundle, not yet compared with the hashes.
    pub(super) fn read_entries(&self, dir: &Path) -> Result<Vec<Vec<u8>>, LogError> {
        let limit = TILE_WIDTH * (LEAF_BYTES_MAX as u64 + 2);
        let bytes = self.read(dir, &self.entries_path(), limit)?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while entries.len() < usize::from(self.width) {
            let parts = rest.split_first_chunk::<2>().and_then(|(length, after)| {
                after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
            });
            let Some((entry, after)) = parts else {
                let what = format!("`{}` is cut short", self.entries_path().display());
                return Err(LogError::corrupt(dir, what));
            };
            entries.push(entry.to_vec());
            rest = after;
        }
        Ok(entries)
    }

    fn read(&self, dir: &Path, path: &Path, bytes_max: u64) -> Result<Vec<u8>, LogError> {
        match durable::read_bounded(&dir.join(path), bytes_max) {
            Err(e) if e.is_not_found() && u64::from(self.width) < TILE_WIDTH => {
                let full = path.parent().unwrap_or(path).with_extension("");
                Ok(durable::read_bounded(&dir.join(full), bytes_max)?)
            }
            other => Ok(other?),
        }
    }

    // `x001/x234/067` or `x001/x234/067.p/5`.
    fn suffix(&self, width: u16) -> PathBuf {
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let mut name = groups.join("/");
        if u64::from(width) < TILE_WIDTH {
            name.push_str(&format!(".p/{width}"));
        }
        PathBuf::from(name)
    }
}

/// The bytes of an entry bundle.
pub(super) fn encode_bundle(entries: &[Vec<u8>]) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| LogError::EntryTooLong(entry.len()))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Removes what no checkpoint up to `size` needs: files a crash left, and partial tiles whose full
/// tile is there.
pub(super) fn sweep(fs: &dyn Fs, dir: &Path, size: u64) -> Result<(), LogError> {
    for (path, role) in survey(dir, size)? {
        match role {
            Role::Needed | Role::Foreign => {}
            Role::Unacknowledged | Role::Superseded => {
                fs.remove_file(&dir.join(&path)).map_err(DurableError::at("remove", &path))?;
                // Leaves the folder if other widths are still in it.
                let _ = fs::remove_dir(dir.join(&path).parent().unwrap_or(dir));
            }
        }
    }
    Ok(())
}

/// Removes the partial forms of a tile, and of its bundle, once the full one is durable.
pub(super) fn drop_partials(fs: &dyn Fs, dir: &Path, full: &Tile) -> Result<(), LogError> {
    let bundle = (full.level == 0).then(|| full.entries_path());
    for path in [Some(full.path()), bundle].into_iter().flatten() {
        let folder = dir.join(path.with_extension("p"));
        let Ok(items) = fs::read_dir(&folder) else { continue };
        for item in items.flatten() {
            let path = item.path();
            fs.remove_file(&path).map_err(DurableError::at("remove", &path))?;
        }
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
}

/// What a file in a log's folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Part of this or an earlier checkpoint.
    Needed,
    /// A partial tile whose full tile is durable.
    Superseded,
    /// Written by an append that was never acknowledged.
    Unacknowledged,
    /// Not ours.
    Foreign,
}

/// Every file below `dir` with its role, by path relative to `dir`, sorted.
pub(super) fn survey(dir: &Path, size: u64) -> Result<Vec<(PathBuf, Role)>, LogError> {
    let mut found = Vec::new();
    walk(dir, Path::new(""), 0, &mut found)?;
    found.sort();
    Ok(found.into_iter().map(|path| (path.clone(), role(&path, size))).collect())
}

fn walk(dir: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), LogError> {
    if depth > DEPTH_MAX {
        return Err(LogError::corrupt(dir, format!("`{}` is nested too deeply", below.display())));
    }
    let here = dir.join(below);
    for item in fs::read_dir(&here).map_err(DurableError::at("list", &here))? {
        let item = item.map_err(DurableError::at("list", &here))?;
        let path = below.join(item.file_name());
        if item.file_type().map_err(DurableError::at("inspect", &here))?.is_dir() {
            walk(dir, &path, depth + 1, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn role(path: &Path, size: u64) -> Role {
    let Some(parts) = path.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>() else {
        return Role::Foreign;
    };
    if parts.last().is_some_and(|name| durable::is_unfinished(name)) {
        return Role::Unacknowledged;
    }
    match parts.as_slice() {
        [CHECKPOINT_NAME | LOCK_NAME] => Role::Needed,
        ["tile", level, rest @ ..] => {
            let level = if *level == "entries" { Some(0) } else { plain_number(level) };
            match (level, parse_suffix(rest)) {
                (Some(level), Some((index, width))) => tile_role(level, index, width, size),
                _ => Role::Foreign,
            }
        }
        _ => Role::Foreign,
    }
}

fn tile_role(level: u64, index: u64, width: u64, size: u64) -> Role {
    let hashes = hashes_at(u32::try_from(level).unwrap_or(u32::MAX / TILE_HEIGHT), size);
    let end = index.saturating_mul(TILE_WIDTH).saturating_add(width);
    let full = index.saturating_add(1).saturating_mul(TILE_WIDTH) <= hashes;
    match (end <= hashes, full && width < TILE_WIDTH) {
        (_, true) => Role::Superseded,
        (true, false) => Role::Needed,
        (false, false) => Role::Unacknowledged,
    }
}

// The tile index and width of `["x001", "067"]` or `["067.p", "5"]`.
fn parse_suffix(parts: &[&str]) -> Option<(u64, u64)> {
    let (groups, width) = match parts {
        [groups @ .., last, width] if last.ends_with(".p") => {
            let width = plain_number(width).filter(|w| (1..TILE_WIDTH).contains(w))?;
            let mut groups = groups.to_vec();
            groups.push(last.strip_suffix(".p")?);
            (groups, width)
        }
        other => (other.to_vec(), TILE_WIDTH),
    };
    let (last, leading) = groups.split_last()?;
    let mut index = 0u64;
    for group in leading.iter().map(|g| g.strip_prefix('x')).chain([Some(*last)]) {
        let digits = group.filter(|g| g.len() == 3 && g.bytes().all(|c| c.is_ascii_digit()))?;
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some((index, width))
}

fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_specification() {
        let tile = |level, index, width| Tile { level, index, width };
        for (tile, expected) in [
            (tile(0, 0, 256), "tile/0/000"),
            (tile(1, 5, 7), "tile/1/005.p/7"),
            (tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (tile(2, 1_000, 1), "tile/2/x001/000.p/1"),
        ] {
            assert_eq!(tile.path(), Path::new(expected));
            let parts: Vec<_> = expected.split('/').collect();
            assert_eq!(parse_suffix(&parts[2..]), Some((tile.index, u64::from(tile.width))));
        }
        for bad in ["0", "00x", "x001", "000.p", "000.p/0", "000.p/256", "001/000", "000.p/01"] {
            assert_eq!(parse_suffix(&bad.split('/').collect::<Vec<_>>()), None, "{bad}");
        }
    }

    #[test]
    fn a_log_of_70000_has_the_tiles_of_the_specification() {
        // C2SP tlog-tiles, "Partial Tiles": the example
        let shape = |level| {
            let tiles: Vec<Tile> = Tile::covering(level, 70_000).collect();
            (tiles.len(), tiles.last().map(|tile| tile.width))
        };
        assert_eq!(levels(70_000), 3);
        assert_eq!(shape(0), (274, Some(112)));
        assert_eq!(shape(1), (2, Some(17)));
        assert_eq!(shape(2), (1, Some(1)));
        assert_eq!(levels(256), 2);
        assert_eq!(levels(0), 0);
        assert_eq!(Tile::touched(1, 256, 300).count(), 0);
        assert_eq!(Tile::touched(0, 255, 257).map(|t| t.width).collect::<Vec<_>>(), [256, 1]);
    }

    #[test]
    fn roles() {
        for (path, expected) in [
            ("checkpoint", Role::Needed),
            ("lock", Role::Needed),
            (".checkpoint.3.unfinished", Role::Unacknowledged),
            ("tile/0/.000.3.unfinished", Role::Unacknowledged),
            ("tile/0/000", Role::Needed),
            ("tile/0/000.p/7", Role::Superseded),
            ("tile/0/001.p/43", Role::Needed),
            ("tile/0/001.p/44", Role::Needed),
            ("tile/0/001.p/45", Role::Unacknowledged),
            ("tile/entries/001", Role::Unacknowledged),
            ("tile/1/000.p/1", Role::Needed),
            ("tile/7/000.p/1", Role::Unacknowledged),
            ("tile/x/000", Role::Foreign),
            ("notes.txt", Role::Foreign),
        ] {
            assert_eq!(role(Path::new(path), 300), expected, "{path}");
        }
    }
}
