//! The recorder under load, overload and a failing disk.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proofmark_assess::guard_events::{GuardFold, read_guard, volumes};
use proofmark_evidence::durable::FsFile;
use proofmark_evidence::durable::fault::{Fault, FaultFs};
use proofmark_evidence::log::Log;
use proofmark_schema::guard::{EndEvent, GuardState};

use super::*;

const ORIGIN: &str = "proofmark/x/guard";

pub(crate) fn clock() -> Clock {
    Arc::new(|| "2026-11-22T18:00:00Z".to_owned())
}

fn event(reason: &str) -> GuardEvent {
    GuardEvent::End(EndEvent {
        time: "2026-11-22T18:00:00Z".into(),
        state: GuardState::Normal,
        reason: reason.into(),
    })
}

fn open_on(fs: Arc<dyn Fs>, dir: &Path, queue: usize) -> Result<Recorder, RecordError> {
    let path = dir.join("log.key");
    if !path.exists() {
        LogKey::generate().unwrap().save_unattended(&OsFs, &path).unwrap();
    }
    let key = LogKey::load_unattended(&path).unwrap();
    let options = RecorderOptions { dir: dir.to_owned(), origin: ORIGIN.into(), key, queue };
    Recorder::open_on(fs, options, clock())
}

fn fold(dir: &Path) -> GuardFold {
    read_guard(dir).unwrap().unwrap()
}

fn reasons(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for volume in volumes(dir) {
        Log::open(&volume)
            .unwrap()
            .for_each_leaf(|_, leaf| {
                if let GuardEvent::End(end) = GuardEvent::parse(leaf).unwrap() {
                    found.push(end.reason);
                }
                Ok(())
            })
            .unwrap();
    }
    found
}

/// A disk whose flushes wait while it is held.
#[derive(Clone, Debug, Default)]
struct Held(Arc<AtomicBool>);

struct HeldFile(Box<dyn FsFile>, Arc<AtomicBool>);

impl Fs for Held {
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(HeldFile(OsFs.create(path, private)?, self.0.clone())))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        OsFs.open_append(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.rename(from, to)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsFs.create_dir(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_file(path)
    }
}

impl FsFile for HeldFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        while self.1.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[test]
fn every_record_is_in_the_log_under_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = open_on(Arc::new(FaultFs::sound()), dir.path(), 4096).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let recorder = recorder.clone();
            std::thread::spawn(move || {
                let record = |i: u32| {
                    let reason = format!("{thread}/{i}");
                    (recorder.record_blocking(&event(&reason)).unwrap(), reason)
                };
                (0..400).map(record).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut told: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    told.sort();
    let stats = recorder.stats();
    assert_eq!((stats.records, stats.shed, stats.failed, stats.queued), (3200, 0, 0, 0));
    assert!(recorder.healthy());
    let tickets = [recorder.ticket(), recorder.ticket()];
    assert_eq!(tickets, [0, 1]);
    recorder.close();
    assert_eq!(recorder.record_blocking(&event("late")), Err(RecordError::Closed));
    let found = reasons(dir.path());
    let expected: Vec<_> = (0..).zip(found).collect();
    assert_eq!(told, expected);
    assert!(recorder.checkpoint().starts_with("proofmark/x/guard\n3200\n"));
    // The journal has nothing left to say.
    let left = std::fs::read_dir(dir.path().join("journal")).unwrap();
    let left: Vec<_> = left.map(|f| f.unwrap().file_name()).filter(|n| n != "lock").collect();
    assert!(left.is_empty(), "{left:?}");
    drop(recorder);
    let again = open_on(Arc::new(FaultFs::sound()), dir.path(), 16).unwrap();
    assert_eq!(again.ticket(), 3200u128 << 64);
    assert_eq!(again.recovered(), Recovered::default());
    assert_eq!(again.record_blocking(&event("more")), Ok(3200));
}

#[test]
fn overload_is_refused_at_once_and_counted_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Held::default();
    let recorder = open_on(Arc::new(disk.clone()), dir.path(), 4).unwrap();
    recorder.record_blocking(&event("first")).unwrap();
    disk.0.store(true, Ordering::SeqCst);
    let mut waiting = Vec::new();
    let mut refused = 0;
    for i in 0..50 {
        match recorder.submit(&event(&format!("{i}"))) {
            Ok(pending) => waiting.push(pending),
            Err(RecordError::Overloaded) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(refused >= 40, "the queue holds 4, one group is being flushed: {refused}");
    assert_eq!(recorder.stats().shed, refused);
    disk.0.store(false, Ordering::SeqCst);
    let accepted = waiting.len();
    waiting.into_iter().for_each(|pending| assert!(pending.wait_blocking().is_ok()));
    recorder.record_blocking(&event("last")).unwrap();
    recorder.close();
    let fold = fold(dir.path());
    assert_eq!(fold.shed, refused, "the loss is in the log");
    assert_eq!(reasons(dir.path()).len(), accepted + 2);
}

#[test]
fn a_failing_disk_is_told_and_the_record_goes_on_when_it_is_sound_again() {
    for fault in Fault::ALL {
        let mut failures = 0;
        for k in 0..60 {
            let dir = tempfile::tempdir().unwrap();
            let faulty = FaultFs::new(k, fault);
            let Ok(recorder) = open_on(Arc::new(faulty.clone()), dir.path(), 16) else { continue };
            let mut told = Vec::new();
            for i in 0..6 {
                let reason = format!("{i}");
                match recorder.record_blocking(&event(&reason)) {
                    Ok(sequence) => told.push((sequence, reason)),
                    Err(RecordError::Failed(_)) => failures += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            let lasting = matches!(fault, Fault::DiskFull | Fault::Crash);
            assert!(lasting || told.len() >= 5, "{fault:?} at {k}: {told:?}");
            drop(recorder);
            drop(open_on(Arc::new(FaultFs::sound()), dir.path(), 16).unwrap());
            let found = reasons(dir.path());
            for (sequence, reason) in told {
                assert_eq!(found.get(sequence as usize), Some(&reason), "{fault:?} at {k}");
            }
            if !faulty.fired() {
                break;
            }
        }
        assert!(failures > 0, "{fault:?} was never seen by a caller");
    }
}

#[test]
fn an_event_beyond_the_limit_of_a_leaf_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = open_on(Arc::new(FaultFs::sound()), dir.path(), 16).unwrap();
    let long = event(&"x".repeat(LEAF_BYTES_MAX));
    assert!(matches!(recorder.record_blocking(&long), Err(RecordError::TooLong(_))));
    assert_eq!(recorder.record_blocking(&event("short")), Ok(0));
}
