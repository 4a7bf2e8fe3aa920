//! The recorder: takes events of the guard and says when each is durable.
//!
//! Owns the bounded queue in front of the log and the counting of what was refused. Must never
//! acknowledge an event before it is durable, nor lose one silently. Called by the data plane,
//! which waits for it before an answer leaves, and by the state machine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use proofmark_evidence::entry::LEAF_BYTES_MAX;
use proofmark_evidence::keys::LogKey;
use proofmark_evidence::log::{CHECKPOINT_NAME, Log, LogError};
use proofmark_schema::guard::{GuardEvent, ShedEvent};
use tokio::sync::oneshot;

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
    queue: Mutex<Option<SyncSender<Job>>>,
    counters: Arc<Counters>,
    clock: Clock,
    epoch: u64,
    ticket: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Counters {
    records: AtomicU64,
    commits: AtomicU64,
    commit_micros: AtomicU64,
    shed: AtomicU64,
    queued: AtomicU64,
    failed: AtomicU64,
    // Refused since the last `shed` event, and when the first of them was.
    unrecorded: AtomicU64,
    since: Mutex<Option<String>>,
    healthy: AtomicBool,
}

struct Job {
    leaf: Vec<u8>,
    done: oneshot::Sender<Result<u64, RecordError>>,
}

/// An event on its way; await it for its sequence number once it is durable.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<u64, RecordError>>);

impl Recorder {
    /// Opens or begins the log and starts the writer.
    ///
    /// # Errors
    /// [`RecordError::Log`] if the log cannot be opened or recovered.
    pub fn open(options: RecorderOptions, clock: Clock) -> Result<Self, RecordError> {
        let dir = options.dir.join("log");
        let log = if dir.join(CHECKPOINT_NAME).exists() {
            Log::open_writer(&dir, options.key)?
        } else {
            Log::create(&dir, &options.origin, options.key)?
        };
        let epoch = log.size();
        let counters = Arc::new(Counters::default());
        counters.healthy.store(true, Ordering::Relaxed);
        let (sender, receiver) = sync_channel(options.queue.max(1));
        let (shared, now) = (counters.clone(), clock.clone());
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write_all(log, &receiver, &shared, &now))
            .map_err(|e| RecordError::Failed(e.to_string()))?;
        Ok(Self(Arc::new(Inner {
            queue: Mutex::new(Some(sender)),
            counters,
            clock,
            epoch,
            ticket: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })))
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
        let leaf = event.to_leaf().map_err(|e| RecordError::Failed(e.to_string()))?;
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(RecordError::TooLong(leaf.len()));
        }
        let (done, receiver) = oneshot::channel();
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = queue.as_ref().ok_or(RecordError::Closed)?;
        self.0.counters.queued.fetch_add(1, Ordering::Relaxed);
        match sender.try_send(Job { leaf, done }) {
            Ok(()) => Ok(Pending(receiver)),
            Err(refused) => {
                self.0.counters.queued.fetch_sub(1, Ordering::Relaxed);
                match refused {
                    TrySendError::Full(_) => {
                        self.0.counters.count_shed(&self.0.clock);
                        Err(RecordError::Overloaded)
                    }
                    TrySendError::Disconnected(_) => Err(RecordError::Closed),
                }
            }
        }
    }

    /// As [`Recorder::record`], for a thread outside the runtime.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub fn record_blocking(&self, event: &GuardEvent) -> Result<u64, RecordError> {
        self.submit(event)?.wait_blocking()
    }

    /// Counters since the start.
    pub fn stats(&self) -> RecorderStats {
        let c = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RecorderStats {
            records: read(&c.records),
            commits: read(&c.commits),
            commit_micros_total: read(&c.commit_micros),
            shed: read(&c.shed),
            queued: read(&c.queued),
            failed: read(&c.failed),
        }
    }

    /// Whether the last write succeeded; when not, answers must be held back.
    pub fn healthy(&self) -> bool {
        self.0.counters.healthy.load(Ordering::Relaxed)
    }

    /// A number that no other request of this log gets, over restarts too: the size of the log at
    /// the start in the upper half, a counter in the lower.
    pub fn ticket(&self) -> u128 {
        let count = self.0.ticket.fetch_add(1, Ordering::Relaxed);
        (u128::from(self.0.epoch) << 64) | u128::from(count)
    }

    /// Makes everything queued durable, signs a last checkpoint and ends. Later events are
    /// refused with [`RecordError::Closed`].
    pub fn close(&self) {
        drop(self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panicked writer acknowledged nothing further; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
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

impl From<LogError> for RecordError {
    fn from(error: LogError) -> Self {
        Self::Log(error.to_string())
    }
}

impl Counters {
    fn count_shed(&self, clock: &Clock) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        if self.unrecorded.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock());
        }
    }
}

fn write_all(mut log: Log, queue: &Receiver<Job>, counters: &Counters, clock: &Clock) {
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while let (true, Ok(job)) = (jobs.len() < GROUP_MAX, queue.try_recv()) {
            jobs.push(job);
        }
        let count = jobs.len() as u64;
        counters.queued.fetch_sub(count, Ordering::Relaxed);
        let (mut leaves, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.leaf, job.done)).unzip();
        let shed = counters.unrecorded.swap(0, Ordering::AcqRel);
        if shed > 0 {
            let since = counters.since.lock().unwrap_or_else(PoisonError::into_inner).take();
            let time = clock();
            let since = since.unwrap_or_else(|| time.clone());
            let event = GuardEvent::Shed(ShedEvent { time, count: shed, since });
            leaves.extend(event.to_leaf());
        }
        let began = Instant::now();
        let result = log.append(&leaves);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
        counters.healthy.store(result.is_ok(), Ordering::Relaxed);
        match result {
            Ok(receipt) => {
                counters.records.fetch_add(leaves.len() as u64, Ordering::Relaxed);
                counters.commits.fetch_add(1, Ordering::Relaxed);
                for (index, reply) in (receipt.first_index..).zip(replies) {
                    let _ = reply.send(Ok(index));
                }
            }
            Err(error) => {
                counters.failed.fetch_add(count, Ordering::Relaxed);
                counters.unrecorded.fetch_add(shed, Ordering::AcqRel);
                for reply in replies {
                    let _ = reply.send(Err(RecordError::Failed(error.to_string())));
                }
            }
        }
    }
}

/// Events in one group: enough to use one flush well, few enough to keep the wait short.
const GROUP_MAX: usize = 512;
