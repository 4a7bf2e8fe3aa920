//! Faults at every operation, damage and crashes: nothing acknowledged is lost or doubled.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::durable::OsFs;
use crate::durable::fault::{Fault, FaultFs};
use crate::log::{Log, fsck};

const ORIGIN: &str = "example.invalid/guard";

struct Fixture {
    dir: tempfile::TempDir,
    key: Arc<LogKey>,
}

/// What a caller does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit(u64),
    Integrate,
    Rotate,
    /// The process dies and starts again.
    Reopen,
}

use Step::{Commit, Integrate, Reopen, Rotate};

/// What was acknowledged, and what is committed but not yet integrated.
#[derive(Default)]
struct Caller {
    acknowledged: BTreeMap<u64, String>,
    waiting: Vec<(u64, Vec<Leaf>)>,
    made: u64,
    refused: Vec<String>,
}

impl Fixture {
    fn new() -> Self {
        let key = Arc::new(LogKey::generate().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), key }
    }

    fn open(&self, fs: Arc<dyn Fs>) -> Result<(Journal, Volumes), JournalError> {
        Journal::open_with(fs, self.dir.path(), ORIGIN, self.key.clone(), 5)
    }

    /// Every record of all volumes, which must verify.
    fn contents(&self, case: &str) -> Vec<String> {
        let mut all = Vec::new();
        for number in 1.. {
            let dir = volume(self.dir.path(), number);
            if !dir.join(CHECKPOINT_NAME).exists() {
                return all;
            }
            let verifier = Verifier::new(&named(ORIGIN, number), self.key.public()).unwrap();
            let report = fsck(&dir, &verifier, None);
            assert!(report.is_sound(), "{case}: volume {number}: {:?}", report.problems);
            let log = Log::open(&dir).unwrap();
            log.for_each_leaf(|_, leaf| {
                all.push(String::from_utf8(leaf.to_vec()).unwrap());
                Ok(())
            })
            .unwrap();
        }
        all
    }
}

impl Caller {
    fn step(&mut self, journal: &mut Journal, volumes: &mut Volumes, step: Step) {
        match step {
            Commit(count) => {
                let texts: Vec<_> = (0..count).map(|i| format!("r{}", self.made + i)).collect();
                self.made += count;
                let leaf = |text: &String| Leaf::new(text.clone().into_bytes()).unwrap();
                let leaves: Vec<_> = texts.iter().map(leaf).collect();
                match journal.commit(&leaves) {
                    Ok(first) => {
                        self.acknowledged.extend((first..).zip(texts));
                        self.waiting.push((first, leaves));
                    }
                    Err(_) => self.refused.extend(texts),
                }
            }
            Integrate => {
                while let Some((first, leaves)) = self.waiting.first() {
                    if volumes.integrate(*first, leaves).is_err() {
                        return;
                    }
                    let covered = first + leaves.len() as u64;
                    self.waiting.remove(0);
                    let _ = journal.release(covered);
                }
            }
            Rotate => journal.rotate(),
            Reopen => {}
        }
    }

    /// The process dies: what it held in memory is gone.
    fn die(&mut self) {
        self.waiting.clear();
    }

    fn check(&self, contents: &[String], case: &str) {
        for (sequence, text) in &self.acknowledged {
            let found = contents.get(*sequence as usize);
            assert_eq!(found, Some(text), "{case}: record {sequence}");
        }
        for (at, text) in contents.iter().enumerate() {
            let again = contents.iter().skip(at + 1).any(|other| other == text);
            assert!(!again, "{case}: {text} is there twice");
            let known = self.acknowledged.get(&(at as u64)) == Some(text);
            assert!(known || self.refused.contains(text), "{case}: {text} at {at}");
        }
    }
}

/// Runs `steps` with a fault at operation `k`, then soundly; returns whether the fault happened.
fn run(steps: &[Step], k: u64, fault: Fault) -> bool {
    let case = format!("{fault:?} at operation {k}");
    let fixture = Fixture::new();
    let faulty = FaultFs::new(k, fault);
    let mut caller = Caller::default();
    let mut at = 0;
    while at < steps.len() {
        // After a fault at the opening the process starts again, as an operator would.
        let Ok((mut journal, mut volumes)) = fixture.open(Arc::new(faulty.clone())) else { break };
        while let Some(step) = steps.get(at) {
            at += 1;
            caller.step(&mut journal, &mut volumes, *step);
            if matches!(step, Reopen) {
                break;
            }
        }
        drop((journal, volumes));
        caller.die();
    }
    let (mut journal, mut volumes) = fixture.open(Arc::new(FaultFs::sound())).unwrap();
    assert_eq!(journal.next(), volumes.size().unwrap(), "{case}");
    caller.check(&fixture.contents(&case), &case);
    // And it goes on, once the disk is sound again.
    for step in [Commit(2), Rotate, Commit(7), Integrate] {
        caller.step(&mut journal, &mut volumes, step);
    }
    assert!(caller.waiting.is_empty(), "{case}");
    drop((journal, volumes));
    let (journal, _volumes) = fixture.open(Arc::new(FaultFs::sound())).unwrap();
    let contents = fixture.contents(&case);
    assert_eq!(journal.next(), contents.len() as u64, "{case}");
    assert_eq!(segments(&fixture.dir.path().join("journal")).unwrap(), [], "{case}");
    caller.check(&contents, &case);
    faulty.fired()
}

fn at_every_operation(steps: &[Step], at_least: u64) {
    for fault in Fault::ALL {
        let mut k = 0;
        while run(steps, k, fault) {
            k += 1;
        }
        assert!(k >= at_least, "{fault:?}: only {k} operations seen");
    }
}

#[test]
fn a_fault_at_every_operation_loses_and_doubles_nothing() {
    at_every_operation(&[Commit(1), Commit(3), Integrate, Commit(2), Rotate, Commit(1)], 60);
}

#[test]
fn a_fault_where_volumes_turn_loses_and_doubles_nothing() {
    at_every_operation(&[Commit(4), Rotate, Commit(3), Integrate, Commit(6), Integrate], 90);
}

#[test]
fn a_fault_during_recovery_loses_and_doubles_nothing() {
    let steps = [Commit(2), Rotate, Commit(6), Reopen, Commit(1), Reopen, Commit(3), Integrate];
    at_every_operation(&steps, 90);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_steps_with_any_fault(
        steps in prop::collection::vec(
            prop_oneof![
                4 => (1u64..6).prop_map(Commit),
                2 => Just(Integrate),
                1 => Just(Rotate),
                1 => Just(Reopen),
            ],
            1..12,
        ),
        k in 0u64..200,
        fault in prop::sample::select(Fault::ALL.to_vec()),
    ) {
        run(&steps, k, fault);
    }

    #[test]
    fn a_cut_anywhere_in_the_last_batch_loses_only_that_batch(cut in 1usize..200) {
        let fixture = Fixture::new();
        let (mut journal, volumes) = fixture.open(Arc::new(FaultFs::sound())).unwrap();
        let mut caller = Caller::default();
        let mut volumes = volumes;
        caller.step(&mut journal, &mut volumes, Commit(3));
        let path = segments(&fixture.dir.path().join("journal")).unwrap().remove(0).1;
        let before = fs::metadata(&path).unwrap().len() as usize;
        caller.step(&mut journal, &mut volumes, Commit(2));
        drop((journal, volumes));
        let bytes = fs::read(&path).unwrap();
        let keep = bytes.len().saturating_sub(cut).max(before);
        fs::write(&path, &bytes[..keep]).unwrap();
        let (journal, _volumes) = fixture.open(Arc::new(FaultFs::sound())).unwrap();
        prop_assert_eq!(journal.recovered().records, 3);
        prop_assert_eq!(journal.recovered().torn_bytes, (keep - before) as u64);
        prop_assert_eq!(fixture.contents("cut"), ["r0", "r1", "r2"]);
    }
}

#[test]
fn damage_to_what_was_acknowledged_is_refused_not_cut_off() {
    let fixture = Fixture::new();
    let (mut journal, mut volumes) = fixture.open(Arc::new(OsFs)).unwrap();
    let mut caller = Caller::default();
    for step in [Commit(1), Commit(2), Rotate, Commit(1), Commit(1)] {
        caller.step(&mut journal, &mut volumes, step);
    }
    drop((journal, volumes));
    let found = segments(&fixture.dir.path().join("journal")).unwrap();
    let [(_, first), (_, last)] = found.as_slice() else { panic!("{found:?}") };
    let kept: Vec<_> = [first, last].map(|path| (path, fs::read(path).unwrap())).into();
    let open = || fixture.open(Arc::new(OsFs)).map(|_| ());
    let restore = || kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    // The log remembers nothing of these records yet, so a missing segment is a gap.
    fs::remove_file(first).unwrap();
    assert!(matches!(open().unwrap_err(), JournalError::Gap { first: 3, end: 0 }));
    restore();
    for (name, path, at) in [
        ("a batch before a later segment", first, 150),
        ("a batch before a later batch", last, 60),
        ("a header", last, 20),
    ] {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
        let error = open().unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{name}: {error}");
        restore();
    }
    open().unwrap();
    assert_eq!(fixture.contents("whole"), ["r0", "r1", "r2", "r3", "r4"]);
    // The same journal again: nothing appears twice.
    restore();
    open().unwrap();
    assert_eq!(fixture.contents("again").len(), 5);
}

#[test]
fn a_journal_of_another_log_is_refused() {
    let (one, other) = (Fixture::new(), Fixture::new());
    for (fixture, text) in [(&one, "a"), (&other, "b")] {
        let (mut journal, _volumes) = fixture.open(Arc::new(OsFs)).unwrap();
        journal.commit(&[Leaf::new(text.into()).unwrap()]).unwrap();
    }
    let from = segments(&other.dir.path().join("journal")).unwrap().remove(0).1;
    let (journal, volumes) = one.open(Arc::new(OsFs)).unwrap();
    drop((journal, volumes));
    let to = one.dir.path().join("journal").join(from.file_name().unwrap());
    fs::copy(from, to).unwrap();
    assert!(matches!(one.open(Arc::new(OsFs)).unwrap_err(), JournalError::Differs(0)));
}

#[test]
fn a_second_writer_and_other_files_are_told_apart() {
    let fixture = Fixture::new();
    let held = fixture.open(Arc::new(OsFs)).unwrap();
    assert!(matches!(
        fixture.open(Arc::new(OsFs)).unwrap_err(),
        JournalError::Durable(DurableError::Locked(_))
    ));
    fs::write(fixture.dir.path().join("journal/notes.txt"), "x").unwrap();
    fs::write(fixture.dir.path().join("journal/7.wal"), "x").unwrap();
    drop(held);
    fixture.open(Arc::new(OsFs)).unwrap();
    assert!(fixture.dir.path().join("journal/7.wal").exists());
}

#[test]
fn previous_volumes_are_named_by_their_checkpoints() {
    let fixture = Fixture::new();
    let (mut journal, mut volumes) = fixture.open(Arc::new(OsFs)).unwrap();
    assert_eq!(volumes.previous().unwrap(), None);
    let leaves: Vec<_> = (0..11u8).map(|i| Leaf::new(vec![b'a' + i]).unwrap()).collect();
    let first = journal.commit(&leaves).unwrap();
    let full = volumes.integrate(first, &leaves).unwrap();
    assert_eq!(full.iter().map(|v| v.size).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(volumes.number(), 3);
    assert_eq!(volumes.previous().unwrap().as_ref(), full.last());
    assert!(volumes.checkpoint_text().unwrap().starts_with("example.invalid/guard/3\n1\n"));
}
