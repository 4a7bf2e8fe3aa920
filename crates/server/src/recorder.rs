//! The recorder: takes events of the guard and says when each is durable.
//!
//! Owns the bounded queue in front of the log and the counting of what was refused. Must never
//! acknowledge an event before it is durable, nor lose one silently. Called by the data plane,
//! which waits for it before an answer leaves, and by the state machine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proofmark_evidence::durable::{Fs, OsFs};
use proofmark_evidence::entry::LEAF_BYTES_MAX;
use proofmark_evidence::journal::{Journal, Recovered};
use proofmark_evidence::keys::LogKey;
use proofmark_evidence::log::Leaf;
use proofmark_schema::guard::{ContinueEvent, GuardEvent, ShedEvent};
use tokio::sync::oneshot;

mod committer;

use committer::{Committer, Counters, Done, Refused, lock};

/// The clock that is handed in: RFC 3339 in UTC.
pub type Clock = Arc<dyn Fn() -> String + Send + Sync>;

/// Where and how to record.
#[derive(Debug)]
pub struct RecorderOptions {
    /// Folder of the guard's state; `log/` and `journal/` lie in it.
    pub dir: PathBuf,
    /// Origin of the log, e.g. `proofmark/credit/guard`.
    pub origin: String,
    /// Key that signs the checkpoints.
    pub key: LogKey,
    /// Events that may wait; one more is refused and counted.
    pub queue: usize,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderStats {
    /// Events made durable.
    pub records: u64,
    /// Flushes; `records / commits` is the size of a group.
    pub commits: u64,
    /// Time spent in flushes, microseconds.
    pub commit_micros_total: u64,
    /// Events refused because the queue was full.
    pub shed: u64,
    /// Events that wait now.
    pub queued: u64,
    /// Events that could not be made durable; their callers were told.
    pub failed: u64,
}

/// The recorder; clones share it. The last clone to go ends it in order.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    committer: Committer,
    counters: Arc<Counters>,
    shed: Arc<Shed>,
    clock: Clock,
    epoch: u64,
    recovered: Recovered,
    ticket: AtomicU64,
}

/// Events that were refused because the queue was full.
#[derive(Default)]
struct Shed {
    total: AtomicU64,
    // Not yet told in the log, and since when.
    untold: AtomicU64,
    since: Mutex<Option<String>>,
}

/// An event on its way; await it for its sequence number once it is durable.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<u64, RecordError>>);

impl Recorder {
    /// Opens the log of the guard, or begins it; recovers what an earlier process acknowledged;
    /// starts the writer.
    ///
    /// # Errors
    /// [`RecordError::Log`] if the log cannot be opened or recovered.
    pub fn open(options: RecorderOptions, clock: Clock) -> Result<Self, RecordError> {
        Self::open_on(Arc::new(OsFs), options, clock)
    }

    /// As [`Recorder::open`], on a given file system.
    ///
    /// # Errors
    /// As [`Recorder::open`].
    pub fn open_on(
        fs: Arc<dyn Fs>,
        options: RecorderOptions,
        clock: Clock,
    ) -> Result<Self, RecordError> {
        let opened = Journal::open(fs, &options.dir, &options.origin, Arc::new(options.key));
        let (journal, volumes) = opened.map_err(|e| RecordError::Log(e.to_string()))?;
        let previous = volumes.previous().map_err(|e| RecordError::Log(e.to_string()))?;
        let (epoch, recovered) = (journal.next(), journal.recovered());
        let counters = Arc::new(Counters::default());
        let committer = Committer::start(journal, volumes, options.queue, &counters)?;
        // A crash may have come between the end of a volume and its word in the next one.
        counters.tell(previous);
        let inner = Inner {
            committer,
            counters,
            shed: Arc::default(),
            clock,
            epoch,
            recovered,
            ticket: AtomicU64::new(0),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Records an event; resolves to its sequence number (leaf index) once it is durable.
    ///
    /// # Errors
    /// [`RecordError`]; the event is then not recorded and nothing may be released on it.
    pub async fn record(&self, event: &GuardEvent) -> Result<u64, RecordError> {
        self.submit(event)?.wait().await
    }

    /// Puts an event into the queue without waiting; the order of calls is the order of the log.
    ///
    /// # Errors
    /// [`RecordError::Overloaded`] if the queue is full (counted), or the event is too long.
    pub fn submit(&self, event: &GuardEvent) -> Result<Pending, RecordError> {
        let (sender, receiver) = oneshot::channel();
        let done: Done = Box::new(move |result| {
            // Nobody waits any more: the record stands all the same.
            let _ = sender.send(result);
        });
        self.put(event, done)?;
        Ok(Pending(receiver))
    }

    /// As [`Recorder::record`], but blocks; for threads and for rare events such as a stop.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub fn record_blocking(&self, event: &GuardEvent) -> Result<u64, RecordError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let done: Done = Box::new(move |result| {
            let _ = sender.send(result);
        });
        self.put(event, done)?;
        receiver.recv().unwrap_or(Err(RecordError::Closed))
    }

    /// Counters since the start.
    pub fn stats(&self) -> RecorderStats {
        let c = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RecorderStats {
            records: read(&c.records),
            commits: read(&c.commits),
            commit_micros_total: read(&c.commit_micros),
            shed: read(&self.0.shed.total),
            queued: read(&c.queued),
            failed: read(&c.failed),
        }
    }

    /// Whether the last write succeeded; when not, answers must be held back.
    pub fn healthy(&self) -> bool {
        !self.0.counters.broken.load(Ordering::Acquire)
    }

    /// The last signed checkpoint of the log, at most about a second old.
    pub fn checkpoint(&self) -> String {
        lock(&self.0.counters.checkpoint).clone()
    }

    /// What the start recovered from a process that did not end in order.
    pub fn recovered(&self) -> Recovered {
        self.0.recovered
    }

    /// A number that no other request of this log gets, over restarts too: the size of the log at
    /// the start in the upper half, a counter in the lower. Every start records an event of its
    /// own, so the size differs from start to start.
    pub fn ticket(&self) -> u128 {
        let count = self.0.ticket.fetch_add(1, Ordering::Relaxed);
        (u128::from(self.0.epoch) << 64) | u128::from(count)
    }

    /// Makes everything queued durable, brings it into the log, signs a last checkpoint and ends.
    /// Later events are refused with [`RecordError::Closed`].
    pub fn close(&self) {
        // What was lost since the last event is told before the end.
        self.tell_owed();
        self.0.committer.close(&self.0.counters);
    }

    fn put(&self, event: &GuardEvent, done: Done) -> Result<(), RecordError> {
        let leaf = leaf(event)?;
        self.tell_owed();
        match self.0.committer.submit(leaf, done, &self.0.counters) {
            Ok(()) => Ok(()),
            Err(Refused::Closed) => Err(RecordError::Closed),
            Err(Refused::Full) => {
                self.0.shed.count(1, || (self.0.clock)());
                Err(RecordError::Overloaded)
            }
        }
    }

    // What the log still has to be told of itself: loss, and volumes that ended.
    fn tell_owed(&self) {
        let inner = &self.0;
        if inner.shed.untold.load(Ordering::Relaxed) > 0 {
            self.tell_shed();
        }
        if inner.counters.any_full.load(Ordering::Relaxed) {
            for volume in inner.counters.take_full() {
                let event = GuardEvent::Continue(ContinueEvent {
                    time: (inner.clock)(),
                    origin: volume.origin.clone(),
                    size: volume.size,
                    root: hex::encode(volume.root),
                });
                let (counters, again) = (inner.counters.clone(), volume.clone());
                let done: Done = Box::new(move |result| {
                    if result.is_err() {
                        counters.tell(Some(again));
                    }
                });
                let put = leaf(&event)
                    .map(|leaf| inner.committer.submit(leaf, done, &inner.counters).is_ok());
                if put != Ok(true) {
                    inner.counters.tell(Some(volume));
                }
            }
        }
    }

    fn tell_shed(&self) {
        let inner = &self.0;
        let count = inner.shed.untold.swap(0, Ordering::AcqRel);
        if count == 0 {
            return;
        }
        let time = (inner.clock)();
        let since = lock(&inner.shed.since).take().unwrap_or_else(|| time.clone());
        let event = GuardEvent::Shed(ShedEvent { time, count, since: since.clone() });
        let (shed, began) = (inner.shed.clone(), since.clone());
        let done: Done = Box::new(move |result| {
            if result.is_err() {
                shed.untold(count, || began);
            }
        });
        let put =
            leaf(&event).map(|leaf| inner.committer.submit(leaf, done, &inner.counters).is_ok());
        if put != Ok(true) {
            inner.shed.untold(count, || since);
        }
    }
}

fn leaf(event: &GuardEvent) -> Result<Leaf, RecordError> {
    let bytes = event.to_leaf().map_err(|e| RecordError::Failed(e.to_string()))?;
    let length = bytes.len();
    Leaf::new(bytes).map_err(|_| RecordError::TooLong(length))
}

impl Shed {
    fn count(&self, count: u64, now: impl FnOnce() -> String) {
        self.total.fetch_add(count, Ordering::Relaxed);
        self.untold(count, now);
    }

    fn untold(&self, count: u64, since: impl FnOnce() -> String) {
        let mut first = lock(&self.since);
        if first.is_none() {
            *first = Some(since());
        }
        self.untold.fetch_add(count, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.committer.close(&self.counters);
    }
}

impl Pending {
    /// Its sequence number, once it is durable.
    ///
    /// # Errors
    /// [`RecordError`] if it was not recorded.
    pub async fn wait(self) -> Result<u64, RecordError> {
        self.0.await.unwrap_or(Err(RecordError::Closed))
    }

    /// As [`Pending::wait`], for a thread outside the runtime.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_blocking(self) -> Result<u64, RecordError> {
        self.0.blocking_recv().unwrap_or(Err(RecordError::Closed))
    }
}

/// Why an event is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too many wait already.
    #[error("the record is not keeping up; try again later")]
    Overloaded,
    /// The disk or the log fails.
    #[error("the record cannot be written: {0}; free space or mend the disk")]
    Failed(String),
    /// The log cannot be opened.
    #[error("the log of the guard cannot be opened: {0}")]
    Log(String),
    /// Beyond the limit of a leaf.
    #[error("an event of {0} bytes, at most {LEAF_BYTES_MAX}; keep fewer fields in the record")]
    TooLong(usize),
    /// The guard is ending.
    #[error("the record is closed; the guard is ending")]
    Closed,
}

#[cfg(test)]
mod tests;
