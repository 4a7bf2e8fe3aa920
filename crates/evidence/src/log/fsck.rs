//! The check of a log as a stranger would do it: everything recomputed from the entries.
//!
//! Owns [`fsck`]. Must never write, nor trust a tile, a hash or an unsigned line. Called by the
//! command line, the pack and the tests.

use std::path::Path;

use super::tiles::{self, Role, TILE_WIDTH, Tile};
use super::{ENTRIES_MAX, read_checkpoint};
use crate::durable;
use crate::note::{Checkpoint, Verifier};
use crate::tree::{Hash, Tree, empty_root, leaf_hash};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckReport {
    /// Entries the checkpoint covers.
    pub size: u64,
    /// Root recomputed from the entries.
    pub root: Hash,
    /// Entries read and hashed.
    pub entries_checked: u64,
    /// What is wrong; empty means that the log is sound.
    pub problems: Vec<String>,
    /// What is worth knowing but not wrong, e.g. leftovers of a crash.
    pub notes: Vec<String>,
}

impl FsckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks the log in `dir` against the key of its owner and, if given, an older checkpoint kept
/// elsewhere: a log rebuilt since then fails.
pub fn fsck(dir: &Path, verifier: &Verifier, older: Option<&str>) -> FsckReport {
    let mut report = FsckReport {
        size: 0,
        root: empty_root(),
        entries_checked: 0,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let opened = read_checkpoint(dir)
        .map_err(|e| e.to_string())
        .and_then(|note| Checkpoint::open(&note, verifier).map_err(|e| e.to_string()));
    let checkpoint = match opened {
        Ok(checkpoint) if checkpoint.size <= ENTRIES_MAX => checkpoint,
        Ok(checkpoint) => {
            report.problem(format!("{} entries are more than {ENTRIES_MAX}", checkpoint.size));
            return report;
        }
        Err(problem) => {
            report.problem(problem);
            return report;
        }
    };
    report.size = checkpoint.size;
    let tree = rebuild(dir, &checkpoint, &mut report);
    if report.entries_checked == checkpoint.size {
        check_root(&tree, &checkpoint, &mut report);
        check_hash_tiles(dir, &tree, &checkpoint, &mut report);
    }
    if let Some(older) = older {
        check_older(&tree, older, verifier, &mut report);
    }
    check_files(dir, checkpoint.size, &mut report);
    report
}

fn rebuild(dir: &Path, checkpoint: &Checkpoint, report: &mut FsckReport) -> Tree {
    let mut tree = Tree::new();
    for tile in Tile::covering(0, checkpoint.size) {
        match tile.read_entries(dir) {
            Ok(entries) => entries.iter().for_each(|entry| tree.push(leaf_hash(entry))),
            Err(error) => {
                report.problem(error.to_string());
                break;
            }
        }
    }
    report.entries_checked = tree.size();
    tree
}

fn check_root(tree: &Tree, checkpoint: &Checkpoint, report: &mut FsckReport) {
    match tree.root(checkpoint.size) {
        Some(root) if root == checkpoint.root => report.root = root,
        root => {
            report.root = root.unwrap_or_else(empty_root);
            report.problem("the entries do not give the signed root: one was changed".to_owned());
        }
    }
}

fn check_hash_tiles(dir: &Path, tree: &Tree, checkpoint: &Checkpoint, report: &mut FsckReport) {
    for level in 0..tiles::levels(checkpoint.size) {
        for tile in Tile::covering(level, checkpoint.size) {
            let stored = tile.read_hashes(dir);
            match stored {
                Ok(hashes) if Some(hashes.concat()) == tile.hashes(tree) => {}
                Ok(_) => report.problem(format!("`{}` was changed", tile.path().display())),
                Err(error) => report.problem(error.to_string()),
            }
        }
    }
}

fn check_older(tree: &Tree, older: &str, verifier: &Verifier, report: &mut FsckReport) {
    let older = match Checkpoint::open(older, verifier) {
        Ok(older) => older,
        Err(error) => return report.problem(format!("the older checkpoint: {error}")),
    };
    if older.size > report.size {
        report.problem(format!(
            "the older checkpoint has {} entries, the log {}: entries were cut off",
            older.size, report.size
        ));
    } else if tree.root(older.size) != Some(older.root) {
        report.problem(format!(
            "the log does not extend the older checkpoint of {} entries: it was rewritten",
            older.size
        ));
    }
}

fn check_files(dir: &Path, size: u64, report: &mut FsckReport) {
    let files = match tiles::survey(dir, size) {
        Ok(files) => files,
        Err(error) => return report.problem(error.to_string()),
    };
    for (path, role) in files {
        let shown = path.display();
        match role {
            Role::Foreign => report.note(format!("`{shown}` is not part of the log")),
            Role::Unacknowledged => report.note(format!("`{shown}` was never acknowledged")),
            Role::Superseded => report.note(format!("`{shown}` is superseded by its full tile")),
            Role::Needed => check_length(dir, &path, report),
        }
    }
}

// Reading takes a prefix where a full tile stands in for a partial one, so check the ends here.
fn check_length(dir: &Path, path: &Path, report: &mut FsckReport) {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let ["tile", level, .., last] = parts.as_slice() else { return };
    let partial = path.parent().is_some_and(|p| p.extension().is_some_and(|e| e == "p"));
    let width = if partial { last.parse().unwrap_or(0) } else { TILE_WIDTH };
    let limit = TILE_WIDTH * (1 << 16) * 2;
    let Ok(bytes) = durable::read_bounded(&dir.join(path), limit) else {
        return report.problem(format!("`{}` cannot be read", path.display()));
    };
    let exact = if *level == "entries" {
        count_entries(&bytes) == Some(width)
    } else {
        bytes.len() as u64 == width * 32
    };
    if !exact {
        report.problem(format!("`{}` does not hold exactly {width} items", path.display()));
    }
}

fn count_entries(bytes: &[u8]) -> Option<u64> {
    let (mut rest, mut count) = (bytes, 0);
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?.1;
        count += 1;
    }
    Some(count)
}

impl FsckReport {
    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::keys::LogKey;
    use crate::log::Log;

    const ORIGIN: &str = "example.invalid/log";

    fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
        (from..to).map(|i| format!("entry {i}").into_bytes()).collect()
    }

    #[test]
    fn one_changed_byte_in_any_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::generate().unwrap();
        let verifier = Verifier::new(ORIGIN, key.public()).unwrap();
        let mut log = Log::create(dir.path(), ORIGIN, key).unwrap();
        log.append(&entries(0, 300)).unwrap();
        log.append(&entries(300, 310)).unwrap();
        let report = fsck(dir.path(), &verifier, None);
        assert!(report.is_sound() && report.notes.is_empty(), "{report:?}");
        assert_eq!((report.size, report.entries_checked), (310, 310));
        assert_eq!(report.root, log.root());
        let to = tempfile::tempdir().unwrap();
        log.export(&durable::OsFs, to.path()).unwrap();
        for (path, _) in tiles::survey(to.path(), 310).unwrap() {
            let path = to.path().join(path);
            let bytes = fs::read(&path).unwrap();
            for place in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                fs::write(&path, &changed).unwrap();
                assert!(!fsck(to.path(), &verifier, None).is_sound(), "{path:?} {place}");
            }
            fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
            assert!(!fsck(to.path(), &verifier, None).is_sound(), "{path:?} longer");
            fs::remove_file(&path).unwrap();
            assert!(!fsck(to.path(), &verifier, None).is_sound(), "{path:?} gone");
            fs::write(&path, &bytes).unwrap();
        }
        assert!(fsck(to.path(), &verifier, None).is_sound());
    }

    #[test]
    fn a_log_rebuilt_later_fails_against_an_older_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("log.DEMO.pem");
        let os = durable::OsFs;
        let key = LogKey::generate().unwrap();
        key.save(&os, &key_file, crate::keys::Protection::Demo).unwrap();
        let origin = "example.invalid/DEMO";
        let verifier = Verifier::new(origin, key.public()).unwrap();
        let mut log = Log::create(&dir.path().join("a"), origin, key).unwrap();
        log.append(&entries(0, 5)).unwrap();
        let older = log.checkpoint_text().to_owned();
        log.append(&entries(5, 9)).unwrap();
        assert!(fsck(log.dir(), &verifier, Some(&older)).is_sound());

        let key = LogKey::load(&key_file, None).unwrap();
        let mut rebuilt = Log::create(&dir.path().join("b"), origin, key).unwrap();
        let mut other = entries(0, 9);
        other[2] = b"a threshold moved after the result".to_vec();
        rebuilt.append(&other).unwrap();
        assert!(fsck(rebuilt.dir(), &verifier, None).is_sound(), "alone it looks sound");
        let report = fsck(rebuilt.dir(), &verifier, Some(&older));
        assert!(report.problems.iter().any(|p| p.contains("rewritten")), "{report:?}");

        let key = LogKey::load(&key_file, None).unwrap();
        let mut cut = Log::create(&dir.path().join("c"), origin, key).unwrap();
        cut.append(&entries(0, 4)).unwrap();
        let report = fsck(cut.dir(), &verifier, Some(&older));
        assert!(report.problems.iter().any(|p| p.contains("cut off")), "{report:?}");
    }
}
