//! The stand of one experiment: guard, model server, load, and the watch on the guard's state.
//!
//! Owns the phases (before, during, after), the clock of the fault, and the figures that are taken
//! from them. Must never judge; [`super::experiments`] does.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proofmark_assess::drill::Counts;
use proofmark_assess::guard_events::{for_each_event, volumes};
use proofmark_evidence::log::Log;
use proofmark_schema::guard::GuardEvent;
use proofmark_server::keys::NewKey;
use serde_json::Value;

use super::load::{self, Asker, Kind, Load, Question, Shot};
use super::model_server;
use super::process::{Disk, Guard, Process};
use super::scratch::{Scratch, Turn, copy_tree};
use crate::failure::{Failure, OrFail, Outcome};

/// What every experiment is given.
pub struct Bench {
    /// The copy that is broken.
    pub scratch: Scratch,
    /// Questions with their known answers.
    pub questions: Arc<Vec<Question>>,
    /// Whether the models are served unassessed (a demo without a run).
    pub unassessed: bool,
    /// The last checkpoint of the guard's log that was seen.
    pub checkpoint: Mutex<String>,
    /// Numbers the files of the processes.
    pub serial: std::cell::Cell<u32>,
}

/// A running stand.
pub struct Stand<'a> {
    bench: &'a Bench,
    /// The guard.
    pub guard: Guard,
    /// The model server in the place of the primary.
    pub server: Option<Process>,
    /// Its port.
    pub port: u16,
    /// While this file exists it lies.
    pub lie: PathBuf,
    /// The load.
    pub load: Load,
    /// How it asks.
    pub asker: Asker,
    disk: Disk,
    watch: Watch,
}

/// How a stand is set up.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Whether the primary runs in a process of its own.
    pub server: bool,
    /// Rows a second and key; none keeps the policy's.
    pub rate: Option<u32>,
    /// Where the record lies.
    pub disk: Disk,
    /// Threads that ask.
    pub threads: usize,
    /// Pause of each between two questions.
    pub every: Duration,
}

/// What was seen, before it is judged.
pub struct Seen {
    /// Every request.
    pub shots: Vec<Shot>,
    /// Start of the load.
    pub began: Instant,
    /// When the fault was set.
    pub fault: Instant,
    /// When it was taken back.
    pub undone: Instant,
    /// Changes of state: when, to which.
    pub states: Vec<(Instant, String)>,
    /// Answers whose id the guard's log does not hold.
    pub unrecorded: usize,
    /// How the guard ended, when not in order.
    pub ended: Option<String>,
}

impl Bench {
    /// Sets a stand up and lets it run until it answers steadily.
    pub fn stand(&self, plan: Plan, keys: &[i64]) -> Outcome<(Stand<'_>, Vec<NewKey>)> {
        let scratch = &self.scratch;
        let number = self.serial.get();
        self.serial.set(number + 1);
        let lie = scratch.dir.join("lie");
        let _ = fs::remove_file(&lie);
        scratch.write_policy(Turn { upstream: None, rate: plan.rate })?;
        let (mut server, mut port) = (None, 0);
        if plan.server {
            let started = self.server(0, &lie, number)?;
            port = port_of(&started)?;
            server = Some(started);
            scratch.write_policy(Turn { upstream: Some(port), rate: plan.rate })?;
        }
        let keys = scratch.make_keys(keys)?;
        let name = format!("guard-{number}");
        let guard = Guard::start(scratch, plan.disk, self.unassessed, &name)?;
        let key = Arc::new(Mutex::new(keys.first().map(|k| k.text.clone()).unwrap_or_default()));
        let asker = Asker {
            address: guard.address,
            key,
            questions: self.questions.clone(),
            every: plan.every,
            flood: false,
        };
        let watch = Watch::start(guard.admin);
        let load = Load::start(&asker, plan.threads);
        let disk = plan.disk;
        let stand = Stand { bench: self, guard, server, port, lie, load, asker, disk, watch };
        Ok((stand, keys))
    }

    fn server(&self, port: u16, lie: &Path, number: u32) -> Outcome<Process> {
        let command = model_server::command(&self.scratch.policy_path(), port, lie)?;
        Process::start(command, &format!("model-server-{number}-{port}"), &self.scratch.dir)
    }
}

impl Stand<'_> {
    /// Starts the model server again, on its port.
    pub fn restart_server(&mut self) -> Outcome<()> {
        let number = self.bench.serial.get();
        self.bench.serial.set(number + 1);
        self.server = Some(self.bench.server(self.port, &self.lie, number)?);
        Ok(())
    }

    /// The model server.
    pub fn server(&mut self) -> Outcome<&mut Process> {
        let gone = || Failure::new("drill", "there is no model server", "please report this");
        self.server.as_mut().ok_or_else(gone)
    }

    /// Runs the three phases: `set` sets the fault and says since when it holds, `undo` takes it
    /// back. After that it waits, at most `patience`, until one of `good` answers again.
    pub fn phases(
        mut self,
        during: Duration,
        patience: Duration,
        good: &[Kind],
        set: impl FnOnce(&mut Self) -> Outcome<Instant>,
        undo: impl FnOnce(&mut Self) -> Outcome<()>,
    ) -> Outcome<Seen> {
        let began = Instant::now();
        self.wait_for(began, &[Kind::Primary], patience);
        std::thread::sleep(BEFORE);
        let fault = set(&mut self)?;
        let left = during.saturating_sub(fault.elapsed());
        std::thread::sleep(left);
        let undone = Instant::now();
        undo(&mut self)?;
        self.wait_for(undone, good, patience);
        std::thread::sleep(AFTER);
        self.finish(began, fault, undone)
    }

    fn wait_for(&self, since: Instant, kinds: &[Kind], patience: Duration) {
        let until = Instant::now() + patience;
        while Instant::now() < until && !self.load.seen(since, kinds) {
            std::thread::sleep(POLL);
        }
    }

    /// Ends load and guard, and looks every answer up in the guard's log.
    pub fn finish(self, began: Instant, fault: Instant, undone: Instant) -> Outcome<Seen> {
        let Self { bench, mut guard, server, load, disk, watch, .. } = self;
        let shots = load.end();
        let state_dir = bench.scratch.state_dir();
        let mut kept = None;
        if disk == Disk::Small {
            // Its file system goes with the guard: wait for the log, then take a copy.
            std::thread::sleep(LOG_WAIT);
            let copy = bench.scratch.dir.join("small-disk");
            copy_tree(&guard.seen(&state_dir, disk), &copy, 0)?;
            kept = Some(copy);
        }
        let states = watch.end();
        let ended = match guard.process.end(END_WAIT)? {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("the guard ended with {status}")),
            None => Some("the guard did not end within 15 s".to_owned()),
        };
        drop(server);
        let dir = kept.as_deref().unwrap_or(&state_dir);
        let unrecorded = unrecorded(dir, &shots)?;
        if disk == Disk::Plain
            && let Some(last) = volumes(dir).last()
        {
            let log =
                Log::open(last).or_fail("drill", "the log of the drill's guard is damaged")?;
            *bench.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) =
                log.checkpoint_text().to_owned();
        }
        Ok(Seen { shots, began, fault, undone, states, unrecorded, ended })
    }
}

/// Answers whose id is not in the log exactly once.
fn unrecorded(dir: &Path, shots: &[Shot]) -> Outcome<usize> {
    let help = "the log of the drill's guard is damaged; please report this";
    let mut ids = BTreeSet::new();
    let mut twice = 0;
    for volume in volumes(dir) {
        let log = Log::open(&volume).or_fail("drill", help)?;
        for_each_event(&log, |_, event| {
            if let GuardEvent::Request(request) = event
                && !ids.insert(request.id)
            {
                twice += 1;
            }
        })
        .or_fail("drill", help)?;
    }
    let answered = shots.iter().filter_map(|shot| shot.id.as_ref());
    Ok(answered.filter(|id| !ids.contains(*id)).count() + twice)
}

fn port_of(server: &Process) -> Outcome<u16> {
    let port = server.said.get("port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| Failure::new("drill", "the model server named no port", ""))
}

impl Seen {
    /// Counts of the requests sent in a phase.
    pub fn counts(&self, from: Instant, to: Option<Instant>) -> Counts {
        let mut counts = Counts::default();
        let inside = |s: &&Shot| s.sent >= from && to.is_none_or(|to| s.sent < to);
        for shot in self.shots.iter().filter(inside) {
            counts.sent += 1;
            match shot.kind {
                Kind::Primary => counts.primary += 1,
                Kind::Backup => counts.backup += 1,
                Kind::Safe => counts.safe += 1,
                Kind::Refused => counts.refused += 1,
                Kind::Failed => counts.failed += 1,
                Kind::Wrong => counts.wrong += 1,
            }
        }
        counts
    }

    /// Before the fault, while it lasted, and after.
    pub fn phases(&self) -> [Counts; 3] {
        [
            self.counts(self.began, Some(self.fault)),
            self.counts(self.fault, Some(self.undone)),
            self.counts(self.undone, None),
        ]
    }

    /// Longest time between two answers of `kinds`, from the last before the fault to the first
    /// after it was taken back, in milliseconds; `None` when there is no pair.
    pub fn gap_ms(&self, kinds: &[Kind]) -> Option<f64> {
        let good = self.shots.iter().filter(|s| !s.flood && kinds.contains(&s.kind));
        let mut times: Vec<Instant> = good.map(|s| s.done).collect();
        times.sort();
        let from = times.iter().rposition(|t| *t < self.fault).unwrap_or(0);
        let to = times.iter().position(|t| *t >= self.undone).unwrap_or(times.len());
        let window = times.get(from..(to + 1).min(times.len()))?;
        let gaps = window.windows(2).map(|pair| match pair {
            [a, b] => millis(*a, *b),
            _ => 0.0,
        });
        gaps.reduce(f64::max)
    }

    /// From `since` to the first answer of `kinds` to a request sent after it, in milliseconds.
    pub fn first_ms(&self, since: Instant, kinds: &[Kind]) -> Option<f64> {
        let good = self.shots.iter().filter(|s| s.sent >= since && kinds.contains(&s.kind));
        good.map(|s| millis(since, s.done)).reduce(f64::min)
    }

    /// Changes of state since shortly before the fault, milliseconds since it.
    pub fn states_ms(&self) -> Vec<(f64, String)> {
        let mut last = None;
        let mut changes = Vec::new();
        for (at, state) in &self.states {
            if *at < self.fault {
                last = Some(state);
                continue;
            }
            if last != Some(state) {
                changes.push((millis(self.fault, *at), state.clone()));
                last = Some(state);
            }
        }
        changes
    }

    /// The reasons of the requests of `kind` sent in the phase of the fault, the first few.
    pub fn why(&self, kind: Kind) -> String {
        let during = self.shots.iter().filter(|s| s.kind == kind && s.sent >= self.fault);
        let reasons: BTreeSet<&str> = during.map(|s| s.why.as_str()).collect();
        reasons.into_iter().take(3).collect::<Vec<_>>().join("; ")
    }
}

/// Looks at the state of the guard again and again.
struct Watch {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(Instant, String)>>>,
}

impl Watch {
    fn start(admin: SocketAddr) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let stop = end.clone();
        let thread = std::thread::spawn(move || {
            let agent = load::agent();
            let url = format!("http://{admin}/state");
            let mut seen: Vec<(Instant, String)> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let at = Instant::now();
                let state = agent.get(&url).call().ok().and_then(|mut answer| {
                    let text = answer.body_mut().read_to_string().ok()?;
                    let value: Value = serde_json::from_str(&text).ok()?;
                    Some(value.get("state")?.as_str()?.to_owned())
                });
                if let Some(state) = state
                    && seen.last().is_none_or(|(_, last)| *last != state)
                {
                    seen.push((at, state));
                }
                std::thread::sleep(POLL);
            }
            seen
        });
        Self { end, thread: Some(thread) }
    }

    fn end(mut self) -> Vec<(Instant, String)> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// Milliseconds from `from` to `to`, to the microsecond.
pub fn millis(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 1e6).round() / 1e3
}

/// Steady answers before the fault is set.
const BEFORE: Duration = Duration::from_millis(1_500);
/// Steady answers after it was taken back.
const AFTER: Duration = Duration::from_millis(1_000);
/// How often state and answers are looked at: the resolution of the times of states.
const POLL: Duration = Duration::from_millis(10);
/// The log is at most a second behind the journal; some more for a busy machine.
const LOG_WAIT: Duration = Duration::from_millis(2_500);
/// For the end of a guard: it finishes what it has begun.
const END_WAIT: Duration = Duration::from_secs(15);
