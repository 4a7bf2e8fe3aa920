//! The state of the guard: NORMAL, DEGRADED, SAFE, STOPPED.
//!
//! Owns which of them holds, how it changes, and that it outlives the process. Must never leave
//! STOPPED without a signed order for that very stop, nor change without a record. Called by the
//! data plane (health of the models, and before every release) and by the controls.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proofmark_assess::order::{self, GuardOrder, OrderContext, OrderError};
use proofmark_evidence::durable::{self, DurableError, Fs};
use proofmark_evidence::keys::{self, KeyError, StatementPublicKey};
use proofmark_schema::guard::{ControlAction, ControlEvent, GuardEvent, GuardState, StateEvent};
use serde::{Deserialize, Serialize};

use crate::recorder::{Clock, Pending, RecordError, Recorder};

pub use proofmark_schema::guard::GuardState as State;

/// Where the state lies and who may restart.
#[derive(Debug)]
pub struct StateOptions {
    /// Folder of the guard's state; `state.json` lies in it.
    pub dir: PathBuf,
    /// Origin of the guard's log: an order must name it.
    pub origin: String,
    /// Public half of the provider's statement key; without it nothing restarts.
    pub authority: Option<StatementPublicKey>,
    /// Whether a backup is there at all.
    pub backup: bool,
    /// File system.
    pub fs: Arc<dyn Fs>,
}

/// A stop in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Id, 128 bits in hexadecimal; an order to restart names it.
    pub id: String,
    /// When.
    pub time: String,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What `state.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptState {
    /// [`KEPT_FORMAT`].
    pub format: String,
    /// State.
    pub state: GuardState,
    /// Since when.
    pub since: String,
    /// Why.
    pub cause: String,
    /// The stop in force; present exactly when the state is STOPPED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Order that ended the last stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// The state machine; shared by reference between requests.
pub struct StateMachine {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    options: StateOptions,
    resumed: GuardState,
    scribe: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    current: AtomicU8,
    // What is known of the models.
    primary: AtomicBool,
    backup: AtomicBool,
    recorder: Recorder,
    clock: Clock,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    // Serial number of the state that lies in the file: an older one is never written over it.
    written: Mutex<u64>,
}

struct Inner {
    kept: KeptState,
    serial: u64,
    tasks: Option<Sender<Task>>,
}

/// What the scribe still has to make durable.
struct Task {
    kept: KeptState,
    serial: u64,
    event: GuardEvent,
    // An event that was put into the queue already.
    pending: Option<Pending>,
}

impl StateMachine {
    /// Resumes the kept state, NORMAL where there is none.
    ///
    /// # Errors
    /// [`StateError`] if `state.json` is damaged: it might hold a stop, so nothing is guessed.
    pub fn open(
        options: StateOptions,
        recorder: Recorder,
        clock: Clock,
    ) -> Result<Self, StateError> {
        let kept = match read_kept(&options.dir)? {
            Some(kept) => kept,
            None => KeptState {
                format: KEPT_FORMAT.to_owned(),
                state: GuardState::Normal,
                since: clock(),
                cause: "first start".to_owned(),
                stop: None,
                order: None,
            },
        };
        let resumed = kept.state;
        let primary = matches!(resumed, GuardState::Normal | GuardState::Stopped);
        let backup = options.backup && resumed != GuardState::Safe;
        let shared = Arc::new(Shared {
            current: AtomicU8::new(code(resumed)),
            primary: AtomicBool::new(primary),
            backup: AtomicBool::new(backup),
            recorder,
            clock,
            fs: options.fs.clone(),
            path: options.dir.join(STATE_NAME),
            written: Mutex::new(0),
        });
        let (tasks, queue) = channel();
        let worker = shared.clone();
        let scribe = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || write_down(&queue, &worker))
            .map_err(|e| StateError::Thread(e.to_string()))?;
        let inner = Inner { kept, serial: 0, tasks: Some(tasks) };
        Ok(Self {
            shared,
            inner: Mutex::new(inner),
            options,
            resumed,
            scribe: Mutex::new(Some(scribe)),
        })
    }

    /// The state; one atomic read.
    pub fn state(&self) -> GuardState {
        decode(self.shared.current.load(Ordering::Acquire))
    }

    /// Whether anything may be released now: false exactly when STOPPED. To be asked again right
    /// before an answer leaves.
    pub fn releases(&self) -> bool {
        self.state() != GuardState::Stopped
    }

    /// The state that was resumed at the start.
    pub fn resumed(&self) -> GuardState {
        self.resumed
    }

    /// State, since when and why.
    pub fn kept(&self) -> KeptState {
        self.lock().kept.clone()
    }

    /// The primary works, or does not, and how that is known.
    pub fn primary(&self, works: bool, cause: &str) {
        self.known(&self.shared.primary, works, cause);
    }

    /// The backup works, or does not, and how that is known.
    pub fn backup(&self, works: bool, cause: &str) {
        self.known(&self.shared.backup, works && self.options.backup, cause);
    }

    /// Stops: from the moment this is called nothing is released. Returns the id of the stop,
    /// which an order to restart must name; a guard that is stopped keeps its first stop.
    /// Blocks until the stop is durable and recorded.
    ///
    /// # Errors
    /// [`StateError`] if it could not be kept or recorded; the guard is stopped all the same,
    /// and the keeping is tried on until it succeeds.
    pub fn stop(&self, by: &str, reason: &str) -> Result<String, StateError> {
        let mut inner = self.lock();
        // Containment first: whatever fails below, nothing leaves from here on.
        self.shared.current.store(code(GuardState::Stopped), Ordering::Release);
        let time = (self.shared.clock)();
        let id = match &inner.kept.stop {
            Some(stop) => stop.id.clone(),
            None => hex::encode(keys::random_bytes::<16>()?.as_slice()),
        };
        let control = GuardEvent::Control(ControlEvent {
            time: time.clone(),
            action: ControlAction::Stop,
            by: by.to_owned(),
            reason: reason.to_owned(),
            id: Some(id.clone()),
        });
        if inner.kept.stop.is_some() {
            self.shared.recorder.record_blocking(&control)?;
            return Ok(id);
        }
        let from = inner.kept.state;
        let cause = format!("stopped by {by}: {reason}");
        let stop = Stop {
            id: id.clone(),
            time: time.clone(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        inner.kept = KeptState {
            format: KEPT_FORMAT.to_owned(),
            state: GuardState::Stopped,
            since: time.clone(),
            cause: cause.clone(),
            stop: Some(stop),
            order: inner.kept.order.take(),
        };
        inner.serial += 1;
        let event = GuardEvent::State(StateEvent { time, from, to: GuardState::Stopped, cause });
        let kept = self.shared.keep(&inner.kept, inner.serial);
        let recorded = self
            .shared
            .recorder
            .record_blocking(&control)
            .and_then(|_| self.shared.recorder.record_blocking(&event));
        if kept.is_err() || recorded.is_err() {
            let event = if recorded.is_err() { event } else { control };
            self.hand_over(&inner, event, None);
        }
        kept?;
        recorded?;
        Ok(id)
    }

    /// Serves again after a stop, by a signed order (see [`proofmark_assess::order`]); blocks
    /// until that is recorded and kept. The order is used up by it.
    ///
    /// # Errors
    /// [`StateError`] if it is not stopped, the order does not fit, or it cannot be recorded or
    /// kept; the guard stays stopped then, and a refused order is recorded.
    pub fn restart(&self, bundle: &[u8]) -> Result<GuardOrder, StateError> {
        let mut inner = self.lock();
        let time = (self.shared.clock)();
        let order = match self.check(&inner, bundle, &time) {
            Ok(order) => order,
            Err(error) => {
                let refused = self.refused(&error.to_string());
                // The refusal stands whether or not it can be recorded.
                let _ = self.shared.recorder.record_blocking(&refused);
                return Err(error);
            }
        };
        let to = self.shared.derived();
        let cause = format!("restarted by {}: {}", order.by, order.reason);
        let control = GuardEvent::Control(ControlEvent {
            time: time.clone(),
            action: ControlAction::Restart,
            by: order.by.clone(),
            reason: order.reason.clone(),
            id: Some(order.id.clone()),
        });
        let event = GuardEvent::State(StateEvent {
            time: time.clone(),
            from: GuardState::Stopped,
            to,
            cause: cause.clone(),
        });
        // On record before it takes effect; kept before it takes effect.
        self.shared.recorder.record_blocking(&control)?;
        self.shared.recorder.record_blocking(&event)?;
        let kept = KeptState {
            format: KEPT_FORMAT.to_owned(),
            state: to,
            since: time,
            cause,
            stop: None,
            order: Some(order.id.clone()),
        };
        inner.serial += 1;
        if let Err(error) = self.shared.keep(&kept, inner.serial) {
            // Half of it may lie there: the stop is written again, over whatever it is.
            inner.serial += 1;
            let event = self.refused(&error.to_string());
            self.hand_over(&inner, event, None);
            return Err(error.into());
        }
        inner.kept = kept;
        self.shared.current.store(code(to), Ordering::Release);
        // News that came while the order was written down.
        self.settle(&mut inner, "health of the models");
        Ok(order)
    }

    /// Waits until every change so far is kept and recorded, and ends the thread that does it.
    /// Later changes still take effect but are no longer kept, so call it last.
    pub fn close(&self) {
        drop(self.lock().tasks.take());
        let scribe = self.scribe.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(scribe) = scribe {
            let _ = scribe.join();
        }
    }

    fn refused(&self, why: &str) -> GuardEvent {
        GuardEvent::Control(ControlEvent {
            time: (self.shared.clock)(),
            action: ControlAction::RefusedRestart,
            by: "unknown".to_owned(),
            reason: why.to_owned(),
            id: None,
        })
    }

    fn check(&self, inner: &Inner, bundle: &[u8], now: &str) -> Result<GuardOrder, StateError> {
        let stop = inner.kept.stop.as_ref().ok_or(StateError::NotStopped)?;
        let authority = self.options.authority.as_ref().ok_or(StateError::NoAuthority)?;
        let context = OrderContext {
            authority,
            guard: &self.options.origin,
            stop: &stop.id,
            stopped: &stop.time,
            now,
        };
        Ok(order::verify(bundle, &context)?)
    }

    // Nearly every request comes here with what is known already: no lock for it. While stopped
    // the news is only kept: whoever stops may hold the lock for as long as the disk takes.
    fn known(&self, flag: &AtomicBool, works: bool, cause: &str) {
        if flag.swap(works, Ordering::AcqRel) != works && self.releases() {
            self.settle(&mut self.lock(), cause);
        }
    }

    // Takes the state that follows from what is known of the models.
    fn settle(&self, inner: &mut Inner, cause: &str) {
        let (from, to) = (inner.kept.state, self.shared.derived());
        if from == GuardState::Stopped || from == to {
            return;
        }
        let time = (self.shared.clock)();
        inner.kept = KeptState {
            format: KEPT_FORMAT.to_owned(),
            state: to,
            since: time.clone(),
            cause: cause.to_owned(),
            stop: None,
            order: inner.kept.order.take(),
        };
        inner.serial += 1;
        self.shared.current.store(code(to), Ordering::Release);
        let event = GuardEvent::State(StateEvent { time, from, to, cause: cause.to_owned() });
        // Into the queue now, so that the log has it before the answers given in the new state.
        let pending = self.shared.recorder.submit(&event).ok();
        self.hand_over(inner, event, pending);
    }

    fn hand_over(&self, inner: &Inner, event: GuardEvent, pending: Option<Pending>) {
        if let Some(tasks) = &inner.tasks {
            // The receiver ends only after the sender is gone.
            let (kept, serial) = (inner.kept.clone(), inner.serial);
            let _ = tasks.send(Task { kept, serial, event, pending });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StateMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateMachine").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Drop for StateMachine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads what is kept in the guard's folder; `None` before its first start.
///
/// # Errors
/// [`StateError`] if it cannot be read or is damaged.
pub fn read_kept(dir: &Path) -> Result<Option<KeptState>, StateError> {
    let path = dir.join(STATE_NAME);
    let bytes = match durable::read_bounded(&path, STATE_BYTES_MAX) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let kept: KeptState = serde_json::from_slice(&bytes)
        .map_err(|e| StateError::Damaged { path: path.clone(), what: e.to_string() })?;
    if kept.format != KEPT_FORMAT || kept.stop.is_some() != (kept.state == GuardState::Stopped) {
        let what = "its format or its stop does not fit its state".to_owned();
        return Err(StateError::Damaged { path, what });
    }
    Ok(Some(kept))
}

/// Why a change of state failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Nothing to restart.
    #[error("the guard is not stopped; there is nothing to restart")]
    NotStopped,
    /// No key to check an order with.
    #[error("no authority is known, so no order can be checked; give the public statement key")]
    NoAuthority,
    /// The order does not fit.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The file of the state is damaged.
    #[error(
        "`{}` is damaged ({what}); it may hold a stop, so it is not guessed: restore it, or \
         write a stop with `proofmark guard stop`", path.display()
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It could not be kept.
    #[error("the state cannot be kept: {0}")]
    Kept(#[from] DurableError),
    /// It could not be recorded.
    #[error("the change of state cannot be recorded: {0}")]
    Record(#[from] RecordError),
    /// No randomness for an id.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No thread.
    #[error("no thread for the state: {0}")]
    Thread(String),
}

// Makes changes durable and recorded, in order, trying on until it succeeds.
fn write_down(queue: &Receiver<Task>, shared: &Shared) {
    while let Ok(task) = queue.recv() {
        let mut recorded = task.pending.is_some_and(|pending| pending.wait_blocking().is_ok());
        let mut kept = false;
        loop {
            kept = kept || shared.keep(&task.kept, task.serial).is_ok();
            if !recorded {
                match shared.recorder.record_blocking(&task.event) {
                    Ok(_) => recorded = true,
                    // The recorder has ended: nothing can be recorded any more.
                    Err(RecordError::Closed) => recorded = kept,
                    Err(_) => {}
                }
            }
            if kept && recorded {
                break;
            }
            std::thread::sleep(RETRY);
        }
    }
}

impl Shared {
    // Writes the state into its file unless a newer one lies there already.
    fn keep(&self, kept: &KeptState, serial: u64) -> Result<(), DurableError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written > serial {
            return Ok(());
        }
        // Plain data always serialises; an empty file would be refused at the next start.
        let text = serde_json::to_vec_pretty(kept).unwrap_or_default();
        durable::write(self.fs.as_ref(), &self.path, &text)?;
        *written = serial;
        Ok(())
    }

    // The state that follows from the health of the models.
    fn derived(&self) -> GuardState {
        let works = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        match (works(&self.primary), works(&self.backup)) {
            (true, _) => GuardState::Normal,
            (false, true) => GuardState::Degraded,
            (false, false) => GuardState::Safe,
        }
    }
}

fn code(state: GuardState) -> u8 {
    match state {
        GuardState::Normal => 0,
        GuardState::Degraded => 1,
        GuardState::Safe => 2,
        GuardState::Stopped => 3,
    }
}

fn decode(code: u8) -> GuardState {
    match code {
        0 => GuardState::Normal,
        1 => GuardState::Degraded,
        2 => GuardState::Safe,
        _ => GuardState::Stopped,
    }
}

/// Format of `state.json`.
pub const KEPT_FORMAT: &str = "proofmark.guard-state/1";
/// Name of the file in the guard's folder.
pub const STATE_NAME: &str = "state.json";
/// It holds some hundred bytes; a reason may be long.
const STATE_BYTES_MAX: u64 = 256 * 1024;
/// Pause between tries to keep a change while the disk fails.
const RETRY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
