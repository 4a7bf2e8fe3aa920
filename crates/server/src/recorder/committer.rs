//! The two threads behind the recorder: one makes groups durable, one brings them into the log.
//!
//! Owns the bounded queue, the grouping, and the hand-over from journal to log. Must never tell a
//! caller that a record is durable before its flush returned, nor hold more than a bounded number
//! of records in memory. Called by [`super`] only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proofmark_evidence::journal::{ClosedVolume, Journal, Volumes};
use proofmark_evidence::log::Leaf;

use super::RecordError;

/// Called once with the sequence number of a record, or why it has none.
pub(super) type Done = Box<dyn FnOnce(Result<u64, RecordError>) + Send>;

/// Counters of both threads.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub records: AtomicU64,
    pub commits: AtomicU64,
    pub commit_micros: AtomicU64,
    pub queued: AtomicU64,
    pub failed: AtomicU64,
    /// Whether the last flush failed.
    pub broken: AtomicBool,
    /// Sequence number below which the log covers everything.
    pub covered: AtomicU64,
    /// The last signed checkpoint.
    pub checkpoint: Mutex<String>,
    /// Whether a volume that ended is not yet told of in the log.
    pub any_full: AtomicBool,
    full: Mutex<Vec<ClosedVolume>>,
    // Acknowledged records, and their bytes, that the log does not cover yet.
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    // Why the log cannot be written, while it cannot.
    trouble: Mutex<Option<String>>,
}

impl Counters {
    fn behind(&self) -> bool {
        self.waiting.load(Ordering::Acquire) >= WAITING_MAX
            || self.waiting_bytes.load(Ordering::Acquire) >= WAITING_BYTES_MAX
    }

    /// Has the log told of a volume that ended.
    pub fn tell(&self, full: Option<ClosedVolume>) {
        if let Some(full) = full {
            lock(&self.full).push(full);
            self.any_full.store(true, Ordering::Release);
        }
    }

    /// The volumes to tell of; they are the caller's now.
    pub fn take_full(&self) -> Vec<ClosedVolume> {
        let mut full = lock(&self.full);
        self.any_full.store(false, Ordering::Release);
        std::mem::take(&mut full)
    }
}

/// The threads with their queue.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<Journal>,
    integrator: JoinHandle<()>,
}

struct Job {
    leaf: Leaf,
    done: Done,
}

/// Records that are durable and wait for the log.
struct Batch {
    first: u64,
    leaves: Vec<Leaf>,
}

/// Why a job was not taken.
pub(super) enum Refused {
    /// The queue is full.
    Full,
    /// The threads are ending.
    Closed,
}

impl Committer {
    pub fn start(
        journal: Journal,
        mut volumes: Volumes,
        queue: usize,
        counters: &Arc<Counters>,
    ) -> Result<Self, RecordError> {
        counters.covered.store(journal.next(), Ordering::Release);
        let note = volumes.checkpoint_text().map_err(|e| RecordError::Log(e.to_string()))?;
        *lock(&counters.checkpoint) = note;
        let (sender, jobs) = std::sync::mpsc::sync_channel(queue.max(1));
        let (batches, integrate) = channel();
        let failed = |e: std::io::Error| RecordError::Failed(e.to_string());
        let shared = counters.clone();
        let integrator = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || Integrator { volumes, counters: shared }.run(&integrate))
            .map_err(failed)?;
        let shared = counters.clone();
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || Writer { journal, counters: shared, batches }.run(&jobs))
            .map_err(failed)?;
        let threads = Mutex::new(Some(Threads { writer, integrator }));
        Ok(Self { queue: Mutex::new(Some(sender)), threads })
    }

    pub fn submit(&self, leaf: Leaf, done: Done, counters: &Counters) -> Result<(), Refused> {
        let queue = lock(&self.queue);
        let Some(sender) = queue.as_ref() else { return Err(Refused::Closed) };
        counters.queued.fetch_add(1, Ordering::Relaxed);
        sender.try_send(Job { leaf, done }).map_err(|refused| {
            counters.queued.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Disconnected(_) => Refused::Closed,
            }
        })
    }

    /// Makes all that is queued durable, brings it into the log and ends the threads.
    pub fn close(&self, counters: &Counters) {
        drop(lock(&self.queue).take());
        let Some(threads) = lock(&self.threads).take() else { return };
        // A thread that panicked acknowledged nothing further; what it had acknowledged is in
        // the journal and is recovered at the next start, as is what did not get into the log.
        let journal = threads.writer.join();
        let _ = threads.integrator.join();
        if let Ok(mut journal) = journal {
            journal.rotate();
            let _ = journal.release(counters.covered.load(Ordering::Acquire));
        }
    }
}

struct Writer {
    journal: Journal,
    counters: Arc<Counters>,
    batches: Sender<Batch>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) -> Journal {
        while let Ok(first) = jobs.recv() {
            let mut bytes = first.leaf.bytes().len();
            let (mut leaves, mut replies) = (vec![first.leaf], vec![first.done]);
            while leaves.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.leaf.bytes().len();
                leaves.push(job.leaf);
                replies.push(job.done);
            }
            self.counters.queued.fetch_sub(leaves.len() as u64, Ordering::Relaxed);
            self.group(leaves, replies, bytes as u64);
        }
        self.journal
    }

    fn group(&mut self, leaves: Vec<Leaf>, replies: Vec<Done>, bytes: u64) {
        let counters = &self.counters;
        let count = leaves.len() as u64;
        // The log is behind: wait for it, so that the queue fills and callers are refused at once.
        while counters.behind() {
            let why = lock(&counters.trouble).clone();
            if let Some(why) = why {
                return self.refuse(replies, &why);
            }
            std::thread::sleep(BEHIND_PAUSE);
        }
        let began = Instant::now();
        let committed = self.journal.commit(&leaves);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
        match committed {
            Ok(first) => {
                counters.broken.store(false, Ordering::Release);
                counters.records.fetch_add(count, Ordering::Relaxed);
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.waiting.fetch_add(count, Ordering::AcqRel);
                counters.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
                for (sequence, done) in (first..).zip(replies) {
                    done(Ok(sequence));
                }
                // Fails only when the integrator is gone; the journal still has the records.
                let _ = self.batches.send(Batch { first, leaves });
                // Space only: tried again with the next group.
                let _ = self.journal.release(counters.covered.load(Ordering::Acquire));
            }
            Err(error) => self.refuse(replies, &error.to_string()),
        }
    }

    fn refuse(&self, replies: Vec<Done>, why: &str) {
        self.counters.broken.store(true, Ordering::Release);
        self.counters.failed.fetch_add(replies.len() as u64, Ordering::Relaxed);
        for done in replies {
            done(Err(RecordError::Failed(why.to_owned())));
        }
    }
}

struct Integrator {
    volumes: Volumes,
    counters: Arc<Counters>,
}

impl Integrator {
    fn run(mut self, batches: &Receiver<Batch>) {
        let mut ended = false;
        while let (false, Ok(Batch { first, mut leaves })) = (ended, batches.recv()) {
            let until = Instant::now() + INTEGRATE_AFTER;
            while leaves.len() < INTEGRATE_RECORDS {
                let left = until.saturating_duration_since(Instant::now());
                match batches.recv_timeout(left) {
                    Ok(batch) => leaves.extend(batch.leaves),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        ended = true;
                        break;
                    }
                }
            }
            // What came meanwhile goes along: one checkpoint for all of it.
            while leaves.len() < INTEGRATE_RECORDS_MAX {
                let Ok(batch) = batches.try_recv() else { break };
                leaves.extend(batch.leaves);
            }
            if !self.integrate(first, &leaves, ended) {
                return;
            }
        }
    }

    // Tries until it succeeds; when the guard is ending, a few times only.
    fn integrate(&mut self, first: u64, leaves: &[Leaf], ended: bool) -> bool {
        let mut tries = 0u32;
        loop {
            match self.volumes.integrate(first, leaves) {
                Ok(full) => {
                    self.done(first, leaves, full);
                    return true;
                }
                Err(error) => {
                    *lock(&self.counters.trouble) = Some(error.to_string());
                    tries = tries.saturating_add(1);
                    if ended && tries >= TRIES_AT_END {
                        return false;
                    }
                    std::thread::sleep(if ended { RETRY_AT_END } else { RETRY });
                }
            }
        }
    }

    fn done(&mut self, first: u64, leaves: &[Leaf], full: Vec<ClosedVolume>) {
        let counters = &self.counters;
        *lock(&counters.trouble) = None;
        if let Ok(note) = self.volumes.checkpoint_text() {
            *lock(&counters.checkpoint) = note;
        }
        full.into_iter().for_each(|volume| counters.tell(Some(volume)));
        let bytes: usize = leaves.iter().map(|leaf| leaf.bytes().len()).sum();
        counters.waiting.fetch_sub(leaves.len() as u64, Ordering::AcqRel);
        counters.waiting_bytes.fetch_sub(bytes as u64, Ordering::AcqRel);
        counters.covered.store(first + leaves.len() as u64, Ordering::Release);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics under these locks; a poisoned one holds whole values all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records in one flush: enough to use it well, few enough to keep the wait short.
const GROUP_MAX: usize = 512;
/// Bytes in one flush.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// The log is brought up to date after this time at the latest ...
const INTEGRATE_AFTER: Duration = Duration::from_secs(1);
/// ... or after so many records.
const INTEGRATE_RECORDS: usize = 1024;
/// Records brought into the log at once while it catches up.
const INTEGRATE_RECORDS_MAX: usize = 8192;
/// Acknowledged records that may wait for the log, in memory: half a minute of a busy guard.
const WAITING_MAX: u64 = 1 << 16;
/// Their bytes.
const WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Pause of the journal while the log is that far behind.
const BEHIND_PAUSE: Duration = Duration::from_millis(1);
/// Pause between tries while the log cannot be written.
const RETRY: Duration = Duration::from_millis(250);
/// The same when the guard is ending: a person waits.
const RETRY_AT_END: Duration = Duration::from_millis(25);
/// Tries when the guard is ending: the journal keeps what does not get into the log.
const TRIES_AT_END: u32 = 4;
