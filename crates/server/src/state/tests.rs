//! The machine against its model, with restarts, orders of all kinds and failing disks.

use proofmark_assess::guard_events::read_guard;
use proofmark_assess::order::OrderAction;
use proofmark_evidence::durable::OsFs;
use proofmark_evidence::durable::fault::{Fault, FaultFs};
use proofmark_evidence::keys::{LogKey, StatementKey};
use proptest::prelude::*;

use super::*;
use crate::recorder::RecorderOptions;

const ORIGIN: &str = "proofmark/x/guard";

struct Fixture {
    dir: tempfile::TempDir,
    key: StatementKey,
    time: Arc<AtomicU8>,
}

struct Open {
    recorder: Recorder,
    machine: StateMachine,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = LogKey::generate().unwrap();
        log.save_unattended(&OsFs, &dir.path().join("log.key")).unwrap();
        Self { dir, key: StatementKey::generate().unwrap(), time: Arc::default() }
    }

    fn now(&self) -> String {
        format!("2026-11-22T18:{:02}:00Z", self.time.load(Ordering::SeqCst))
    }

    fn open(&self) -> Open {
        self.open_on(Arc::new(FaultFs::sound()), Arc::new(FaultFs::sound()), true).unwrap()
    }

    fn open_on(
        &self,
        record: Arc<dyn Fs>,
        fs: Arc<dyn Fs>,
        backup: bool,
    ) -> Result<Open, StateError> {
        let time = self.time.clone();
        let clock: Clock =
            Arc::new(move || format!("2026-11-22T18:{:02}:00Z", time.load(Ordering::SeqCst)));
        let options = RecorderOptions {
            dir: self.dir.path().to_owned(),
            origin: ORIGIN.into(),
            key: LogKey::load_unattended(&self.dir.path().join("log.key")).unwrap(),
            queue: 64,
        };
        let recorder = Recorder::open_on(record, options, clock.clone())?;
        let options = StateOptions {
            dir: self.dir.path().to_owned(),
            origin: ORIGIN.into(),
            authority: Some(self.key.public()),
            backup,
            fs,
        };
        let machine = StateMachine::open(options, recorder.clone(), clock)?;
        Ok(Open { recorder, machine })
    }

    fn order(&self, stop: &str) -> GuardOrder {
        GuardOrder {
            id: "ab".repeat(16),
            action: OrderAction::Restart,
            by: "operator".into(),
            reason: "mended".into(),
            time: self.now(),
            guard: ORIGIN.into(),
            stop: stop.into(),
        }
    }

    fn signed(&self, stop: &str) -> Vec<u8> {
        order::sign(&self.order(stop), &self.key).unwrap()
    }
}

impl Open {
    fn end(self) {
        self.machine.close();
        self.recorder.close();
    }

    fn stop_id(&self) -> String {
        self.machine.kept().stop.map_or_else(String::new, |stop| stop.id)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Primary(bool),
    Backup(bool),
    Stop,
    /// With an order for the stop in force.
    Restart,
    /// With the order that ended an earlier stop.
    RestartAgain,
    /// The process ends and starts again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Primary),
        4 => any::<bool>().prop_map(Step::Backup),
        2 => Just(Step::Stop),
        2 => Just(Step::Restart),
        1 => Just(Step::RestartAgain),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_machine_is_its_model(steps in prop::collection::vec(step(), 1..40)) {
        let fixture = Fixture::new();
        let mut open = fixture.open();
        let (mut primary, mut backup, mut stopped) = (true, true, false);
        let mut used: Option<Vec<u8>> = None;
        for step in steps {
            match step {
                Step::Primary(works) => {
                    primary = works;
                    open.machine.primary(works, "test");
                }
                Step::Backup(works) => {
                    backup = works;
                    open.machine.backup(works, "test");
                }
                Step::Stop => {
                    let (before, id) = (open.stop_id(), open.machine.stop("a", "b").unwrap());
                    prop_assert!(!stopped || before == id, "a stop in force keeps its id");
                    stopped = true;
                }
                Step::Restart => {
                    let signed = fixture.signed(&open.stop_id());
                    prop_assert_eq!(open.machine.restart(&signed).is_ok(), stopped);
                    if stopped {
                        used = Some(signed);
                    }
                    stopped = false;
                }
                Step::RestartAgain => {
                    if let Some(signed) = &used {
                        prop_assert!(open.machine.restart(signed).is_err(), "used up");
                    }
                }
                Step::Reopen => {
                    let before = open.machine.state();
                    open.end();
                    open = fixture.open();
                    prop_assert_eq!(open.machine.resumed(), before);
                    primary = matches!(before, State::Normal | State::Stopped);
                    backup = before != State::Safe;
                }
            }
            let expected = match (stopped, primary, backup) {
                (true, ..) => State::Stopped,
                (_, true, _) => State::Normal,
                (_, false, true) => State::Degraded,
                (_, false, false) => State::Safe,
            };
            prop_assert_eq!(open.machine.state(), expected);
            prop_assert_eq!(open.machine.releases(), !stopped);
            prop_assert_eq!(open.machine.kept().state, expected);
        }
        let last = open.machine.state();
        open.end();
        // Every change is on record, each going on where the one before ended.
        let fold = read_guard(fixture.dir.path()).unwrap().unwrap();
        let mut at = State::Normal;
        for (_, change) in &fold.changes {
            prop_assert_eq!(change.from, at);
            prop_assert_ne!(change.to, at);
            at = change.to;
        }
        prop_assert_eq!(at, last);
    }
}

#[test]
fn only_a_fitting_order_restarts() {
    let fixture = Fixture::new();
    fixture.time.store(10, Ordering::SeqCst);
    let open = fixture.open();
    let machine = &open.machine;
    assert!(matches!(machine.restart(&fixture.signed("x")), Err(StateError::NotStopped)));
    let stop = machine.stop("operator", "wrong answers").unwrap();
    assert_eq!(machine.stop("other", "too").unwrap(), stop);
    let good = fixture.order(&stop);
    let at = |time: &str| GuardOrder { time: time.into(), ..good.clone() };
    let cases = [
        ("another stop", GuardOrder { stop: "y".into(), ..good.clone() }, "not in force"),
        ("another guard", GuardOrder { guard: "g".into(), ..good.clone() }, "guard `g`"),
        ("before the stop", at("2026-11-22T18:09:59Z"), "older than the stop"),
        ("from the future", at("2026-11-22T18:16:00Z"), "yet to come"),
        ("no time", at("now"), "no time"),
    ];
    for (name, order, words) in cases {
        let error = machine.restart(&order::sign(&order, &fixture.key).unwrap()).unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(machine.state(), State::Stopped, "{name}");
    }
    let nameless = GuardOrder { by: " ".into(), ..good.clone() };
    assert!(matches!(order::sign(&nameless, &fixture.key), Err(OrderError::Nameless)));
    let stranger = StatementKey::generate().unwrap();
    let forged = order::sign(&good, &stranger).unwrap();
    assert!(matches!(machine.restart(&forged), Err(StateError::Order(OrderError::Signature(_)))));
    let mut changed = fixture.signed(&stop);
    let place = changed.len() / 2;
    changed[place] ^= 1;
    assert!(machine.restart(&changed).is_err());
    let signed = fixture.signed(&stop);
    // A day and a minute later the order no longer says what a person wants.
    assert_eq!(machine.restart(&signed).unwrap(), good);
    assert_eq!(machine.state(), State::Normal);
    let second = machine.stop("operator", "again").unwrap();
    assert_ne!(second, stop);
    assert!(matches!(machine.restart(&signed), Err(StateError::Order(OrderError::OtherStop(_)))));
    open.end();
    let fold = read_guard(fixture.dir.path()).unwrap().unwrap();
    let count = |action| fold.controls.iter().filter(|(_, c)| c.action == action).count();
    assert_eq!(count(ControlAction::Stop), 3);
    assert_eq!(count(ControlAction::Restart), 1);
    assert_eq!(count(ControlAction::RefusedRestart), cases_refused());
    assert_eq!(fold.incidents_total, 2);
}

fn cases_refused() -> usize {
    // One while running, five of the table, a forged and a changed one, and the used one.
    9
}

#[test]
fn an_old_order_and_a_guard_without_authority_do_not_restart() {
    let fixture = Fixture::new();
    let key = fixture.key.public();
    let order = fixture.order("s");
    let signed = order::sign(&order, &fixture.key).unwrap();
    let context = |now| OrderContext {
        authority: &key,
        guard: ORIGIN,
        stop: "s",
        stopped: "2026-11-22T18:00:00Z",
        now,
    };
    assert!(order::verify(&signed, &context("2026-11-23T17:59:59Z")).is_ok());
    assert!(matches!(
        order::verify(&signed, &context("2026-11-23T18:00:01Z")),
        Err(OrderError::Old(_))
    ));
    let mut open = fixture.open();
    open.machine.options.authority = None;
    let stop = open.machine.stop("a", "b").unwrap();
    assert!(matches!(open.machine.restart(&fixture.signed(&stop)), Err(StateError::NoAuthority)));
}

#[test]
fn a_stop_holds_even_when_nothing_can_be_written() {
    for fault in [Fault::DiskFull, Fault::Crash] {
        let fixture = Fixture::new();
        fixture.open().end();
        let broken = Arc::new(FaultFs::new(0, fault));
        // The record is open already when the disk begins to fail.
        let record = Arc::new(FaultFs::new(40, fault));
        let open = fixture.open_on(record, broken, true).unwrap();
        while open.machine.kept().state != State::Stopped {
            assert!(open.machine.stop("operator", "fire").is_err(), "{fault:?}: it is not kept");
        }
        assert!(!open.machine.releases());
        assert!(open.machine.restart(&fixture.signed(&open.stop_id())).is_err());
        assert_eq!(open.machine.state(), State::Stopped);
        // The process is killed here: the thread that tries on is not waited for.
        std::mem::forget(open);
    }
}

#[test]
fn a_stop_that_could_not_be_kept_is_kept_when_the_disk_is_sound_again() {
    for k in 0..4 {
        let fixture = Fixture::new();
        let fs = Arc::new(FaultFs::new(k, Fault::Fail));
        let open = fixture.open_on(Arc::new(FaultFs::sound()), fs, true).unwrap();
        assert!(open.machine.stop("operator", "fire").is_err(), "{k}");
        open.end();
        let kept = read_kept(fixture.dir.path()).unwrap().unwrap();
        assert_eq!(kept.state, State::Stopped, "{k}");
        assert_eq!(fixture.open().machine.state(), State::Stopped, "{k}");
    }
}

#[test]
fn a_damaged_state_is_never_guessed() {
    let fixture = Fixture::new();
    let open = fixture.open();
    open.machine.stop("operator", "fire").unwrap();
    open.end();
    let path = fixture.dir.path().join(STATE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    for bad in [
        String::new(),
        text.replace("STOPPED", "NORMAL"),
        text.replace("guard-state/1", "guard-state/2"),
        text.replace("\"stop\"", "\"stpo\""),
        text[..text.len() / 2].to_owned(),
    ] {
        std::fs::write(&path, &bad).unwrap();
        let opened = fixture.open_on(Arc::new(FaultFs::sound()), Arc::new(FaultFs::sound()), true);
        assert!(matches!(opened, Err(StateError::Damaged { .. })), "{bad}");
    }
}

#[test]
fn without_a_backup_the_primary_alone_decides_between_normal_and_safe() {
    let fixture = Fixture::new();
    let sound = || Arc::new(FaultFs::sound());
    let open = fixture.open_on(sound(), sound(), false).unwrap();
    open.machine.backup(true, "nobody is there");
    open.machine.primary(false, "gone");
    assert_eq!(open.machine.state(), State::Safe);
    open.machine.primary(true, "back");
    assert_eq!(open.machine.state(), State::Normal);
}
