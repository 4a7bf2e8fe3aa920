//! Batches through a model on several threads, in order.
//!
//! Owns the bound of what is under way. Must never let a panic of the engine pass for an answer.
//! Called by [`super`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use proofmark_engine::pipeline::Whole;
use proofmark_engine::value::Value;

use super::feed::{Batch, Binder, Feed};
use super::sink::Sink;
use crate::failure::{Failure, OrFail, Outcome};

type Job = (u64, Batch);
type Done = (u64, Outcome<Vec<Value>>);

/// How a run goes on.
pub struct Course<'a> {
    /// Threads.
    pub threads: usize,
    /// Set when the run is to end.
    pub cancelled: &'a AtomicBool,
    /// Told the rows done.
    pub step: &'a dyn Fn(u64),
}

/// Runs all rows; gives how many there were.
pub fn run(whole: &Whole, feed: &mut Feed, sink: &mut Sink, course: &Course<'_>) -> Outcome<u64> {
    let binder = feed.take_binder();
    let (jobs, waiting) = mpsc::channel::<Job>();
    let (finished, done) = mpsc::channel::<Done>();
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        // Dropped at the end of this closure, whatever happens: then the threads end.
        let jobs = jobs;
        for _ in 0..course.threads {
            let (waiting, finished, binder) = (&waiting, finished.clone(), binder.as_deref());
            scope.spawn(move || work(whole, binder, waiting, &finished));
        }
        drop(finished);
        drain(feed, sink, &jobs, &done, course)
    })
}

/// Feeds the threads and writes what they give back, in the order of the rows.
fn drain(
    feed: &mut Feed,
    sink: &mut Sink,
    jobs: &Sender<Job>,
    done: &Receiver<Done>,
    course: &Course<'_>,
) -> Outcome<u64> {
    let most = 2 * course.threads as u64;
    let (mut sent, mut written, mut rows, mut ended) = (0u64, 0u64, 0u64, false);
    let mut early: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    let gone = || Failure::new("run", "the threads have ended", "please report this");
    loop {
        while !ended && sent - written < most && !course.cancelled.load(Ordering::Relaxed) {
            match feed.next()? {
                Some(batch) => {
                    jobs.send((sent, batch)).map_err(|_| gone())?;
                    sent += 1;
                }
                None => ended = true,
            }
        }
        if course.cancelled.load(Ordering::Relaxed) {
            return Err(super::interrupted());
        }
        if written == sent {
            break;
        }
        let (at, values) = done.recv().map_err(|_| gone())?;
        early.insert(at, values?);
        while let Some(values) = early.remove(&written) {
            let count = values.first().and_then(|v| v.shape().first().copied());
            rows += count.unwrap_or(0) as u64;
            sink.write(&values)?;
            written += 1;
            (course.step)(rows);
        }
    }
    if rows == 0 {
        return Err(Failure::new("input", "the file has no row", "export it again"));
    }
    Ok(rows)
}

fn work(
    whole: &Whole,
    binder: Option<&Binder>,
    waiting: &Mutex<Receiver<Job>>,
    finished: &Sender<Done>,
) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((at, batch)) = job else { return };
        // Nothing of a batch that panicked is used again.
        let run = AssertUnwindSafe(|| answer(whole, binder, batch));
        let values = catch_unwind(run).unwrap_or_else(|_| {
            let words = "the engine stopped at an inner check on these rows";
            Err(Failure::new("run", words, "please report this with the model"))
        });
        if finished.send((at, values)).is_err() {
            return;
        }
    }
}

fn answer(whole: &Whole, binder: Option<&Binder>, batch: Batch) -> Outcome<Vec<Value>> {
    let inputs = batch.bound(binder)?;
    whole.run_all(&inputs).or_fail("run", "see `proofmark model inspect` for names and shapes")
}
