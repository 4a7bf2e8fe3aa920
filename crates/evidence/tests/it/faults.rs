//! A fault at every single file operation: the log always verifies to the last acknowledged entry.

use std::path::Path;
use std::sync::Arc;

use proofmark_evidence::durable::OsFs;
use proofmark_evidence::durable::fault::{Fault, FaultFs};
use proofmark_evidence::keys::{LogKey, Protection};
use proofmark_evidence::log::{Log, LogError, fsck};
use proofmark_evidence::note::Verifier;
use proofmark_evidence::store::Store;
use proofmark_evidence::tree::{leaf_hash, node_hash};
use proptest::prelude::*;

use crate::support::ORIGIN;

const DEMO_ORIGIN: &str = "example.invalid/DEMO";

struct Keys {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    verifier: Verifier,
}

impl Keys {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.DEMO.pem");
        let key = LogKey::generate().unwrap();
        key.save(&OsFs, &path, Protection::Demo).unwrap();
        let verifier = Verifier::new(DEMO_ORIGIN, key.public()).unwrap();
        Self { _dir: dir, path, verifier }
    }

    fn key(&self) -> LogKey {
        LogKey::load(&self.path, None).unwrap()
    }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn batch(from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(entry).collect()
}

/// Appends batches until one fails; returns the acknowledged size.
fn append_all(log: &mut Log, batches: &[u64]) -> (u64, Option<LogError>) {
    for count in batches {
        if let Err(error) = log.append(&batch(log.size(), *count)) {
            return (log.size(), Some(error));
        }
    }
    (log.size(), None)
}

/// Runs `start` entries soundly, then `batches` on a faulty file system; checks the recovery.
/// Returns whether the fault happened.
fn run(keys: &Keys, start: u64, batches: &[u64], k: u64, fault: Fault) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let sound = Arc::new(FaultFs::sound());
    let mut log = Log::create_on(sound.clone(), dir.path(), DEMO_ORIGIN, keys.key()).unwrap();
    log.append(&batch(0, start)).unwrap();
    drop(log);
    let faulty = FaultFs::new(k, fault);
    let case = format!("{fault:?} at operation {k}");
    let opened = Log::open_writer_on(Arc::new(faulty.clone()), dir.path(), keys.key());
    let mut acknowledged = start;
    if let Err(error) = &opened {
        assert!(faulty.fired(), "{case}: refused without a fault: {error}");
    }
    if let Ok(mut log) = opened {
        let (size, error) = append_all(&mut log, batches);
        acknowledged = size;
        if error.is_some() {
            let again = log.append(&[b"x".to_vec()]);
            assert!(matches!(again, Err(LogError::Failed)), "{case}: {again:?}");
        }
    }
    let older = Log::open(dir.path()).unwrap().checkpoint_text().to_owned();
    let report = fsck(dir.path(), &keys.verifier, None);
    assert!(report.is_sound(), "{case}: {:?}", report.problems);
    assert!(report.size >= acknowledged, "{case}: {} < {acknowledged}", report.size);
    check_content(dir.path(), report.size, &case);

    let mut log = Log::open_writer_on(sound, dir.path(), keys.key()).unwrap();
    let size = log.size();
    assert_eq!(size, report.size, "{case}");
    log.append(&batch(size, 3)).unwrap();
    drop(log);
    let report = fsck(dir.path(), &keys.verifier, Some(&older));
    assert!(report.is_sound() && report.notes.is_empty(), "{case}: {report:?}");
    assert_eq!(report.size, size + 3, "{case}");
    check_content(dir.path(), size + 3, &case);
    faulty.fired()
}

fn check_content(dir: &Path, size: u64, case: &str) {
    let log = Log::open(dir).unwrap();
    log.for_each_leaf(|index, leaf| {
        assert_eq!(leaf, entry(index), "{case}");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.size(), size, "{case}");
}

#[test]
fn a_fault_at_every_operation_of_appends_loses_nothing_acknowledged() {
    let keys = Keys::new();
    for fault in Fault::ALL {
        let mut k = 0;
        while run(&keys, 3, &[1, 2, 1], k, fault) {
            k += 1;
        }
        assert!(k >= 40, "{fault:?}: only {k} operations seen");
    }
}

#[test]
fn a_fault_where_tiles_fill_up_loses_nothing_acknowledged() {
    let keys = Keys::new();
    for fault in Fault::ALL {
        let mut k = 0;
        while run(&keys, 254, &[1, 3], k, fault) {
            k += 1;
        }
        assert!(k >= 40, "{fault:?}: only {k} operations seen");
    }
}

#[test]
fn a_fault_while_a_log_is_made_leaves_none_or_a_sound_one() {
    let keys = Keys::new();
    for fault in Fault::ALL {
        for k in 0.. {
            let work = tempfile::tempdir().unwrap();
            let dir = work.path().join("a/log");
            let faulty = FaultFs::new(k, fault);
            let made = Log::create_on(Arc::new(faulty.clone()), &dir, DEMO_ORIGIN, keys.key());
            drop(made);
            match Log::open(&dir) {
                Ok(log) => assert_eq!(log.size(), 0),
                Err(LogError::Absent(_)) => {
                    Log::create(&dir, DEMO_ORIGIN, keys.key()).unwrap();
                }
                Err(error) => panic!("{fault:?} at {k}: {error}"),
            }
            assert!(fsck(&dir, &keys.verifier, None).is_sound(), "{fault:?} at {k}");
            if !faulty.fired() {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let keys = Keys::new();
    let dir = tempfile::tempdir().unwrap();
    drop(Log::create(dir.path(), DEMO_ORIGIN, keys.key()).unwrap());
    let full = Arc::new(FaultFs::new(6, Fault::DiskFull));
    let mut log = Log::open_writer_on(full, dir.path(), keys.key()).unwrap();
    let error = log.append(&batch(0, 1)).unwrap_err();
    assert!(matches!(&error, LogError::Durable(e) if e.is_disk_full()), "{error}");
}

#[test]
fn a_fault_at_every_operation_of_the_store_keeps_it_honest() {
    for fault in Fault::ALL {
        for k in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let sound = Store::new(dir.path());
            let old = sound.put(b"old").unwrap();
            let faulty = FaultFs::new(k, fault);
            let store = Store::on(Arc::new(faulty.clone()), dir.path());
            let put = store.put(b"new");
            let erased = store.erase(&old, "asked for");
            let case = format!("{fault:?} at {k}");
            if let Ok(digest) = put {
                assert_eq!(sound.open(&digest).unwrap(), b"new", "{case}");
            }
            if erased.is_ok() {
                assert!(sound.open(&old).is_err(), "{case}");
            }
            assert_eq!(sound.erase(&old, "again").unwrap().artefact, old, "{case}");
            assert!(sound.open(&old).is_err(), "{case}");
            sound.put(b"new").unwrap();
            if !faulty.fired() {
                break;
            }
        }
    }
}

// RFC 6962, section 2.1, as it stands there.
fn naive(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => proofmark_evidence::tree::empty_root(),
        [one] => *one,
        many => {
            let mut k = 1;
            while k * 2 < many.len() {
                k *= 2;
            }
            node_hash(&naive(&many[..k]), &naive(&many[k..]))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_chunking_gives_the_naive_root(
        chunks in prop::collection::vec(0u64..130, 1..8),
        salt in any::<u8>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let sound = Arc::new(FaultFs::sound());
        let key = LogKey::generate().unwrap();
        let mut log = Log::create_on(sound, dir.path(), ORIGIN, key).unwrap();
        let mut all = Vec::new();
        for count in chunks {
            let part: Vec<Vec<u8>> = (0..count)
                .map(|i| vec![salt ^ i as u8; (i as usize * 37 + all.len()) % 300])
                .collect();
            log.append(&part).unwrap();
            all.extend(part);
            prop_assert_eq!(log.size(), all.len() as u64);
        }
        let hashes: Vec<_> = all.iter().map(|entry| leaf_hash(entry)).collect();
        prop_assert_eq!(log.root(), naive(&hashes));
        let read = Log::open(dir.path()).unwrap();
        for (index, entry) in all.iter().enumerate().step_by(17) {
            prop_assert_eq!(&read.leaf(index as u64).unwrap(), entry);
        }
        prop_assert!(read.root_at(all.len() as u64 + 1).is_none());
    }
}
