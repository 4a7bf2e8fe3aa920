//! Steady load on a guard, and what came back.
//!
//! Owns the threads, the reading of answers and the clock of every one of them. Must never call an
//! answer good that it could not read.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The primary, with the known decision.
    Primary,
    /// The backup, marked.
    Backup,
    /// The declared safe output.
    Safe,
    /// Refused with a reason.
    Refused,
    /// No answer, or one that does not read.
    Failed,
    /// The primary, with another decision than the known one.
    Wrong,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Shot {
    /// When it was sent.
    pub sent: Instant,
    /// When the answer was there.
    pub done: Instant,
    /// What it came to.
    pub kind: Kind,
    /// Id of the answer.
    pub id: Option<String>,
    /// Whether it is one of the flood.
    pub flood: bool,
    /// Why it failed or was refused.
    pub why: String,
}

/// A question with its known answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// Body.
    pub body: Vec<u8>,
    /// Decision that the primary must give.
    pub decision: String,
}

/// Threads that ask until they are told to end.
pub struct Load {
    end: Arc<AtomicBool>,
    shots: Arc<Mutex<Vec<Shot>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Who asks how.
#[derive(Clone)]
pub struct Asker {
    /// The guard.
    pub address: SocketAddr,
    /// The key; may be changed while it runs.
    pub key: Arc<Mutex<String>>,
    /// Questions, asked in turn.
    pub questions: Arc<Vec<Question>>,
    /// Pause between two questions of a thread.
    pub every: Duration,
    /// Whether it is the flood.
    pub flood: bool,
}

impl Load {
    /// Starts `threads` threads.
    pub fn start(asker: &Asker, threads: usize) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let shots = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..threads)
            .map(|thread| {
                let (asker, end, shots) = (asker.clone(), end.clone(), shots.clone());
                std::thread::spawn(move || ask_on(&asker, thread, &end, &shots))
            })
            .collect();
        Self { end, shots, threads }
    }

    /// Whether a shot was sent after `since` and came to one of `kinds`.
    pub fn seen(&self, since: Instant, kinds: &[Kind]) -> bool {
        let shots = lock(&self.shots);
        shots.iter().rev().any(|s| s.sent >= since && kinds.contains(&s.kind))
    }

    /// Ends the threads; every request under way is waited for.
    pub fn end(mut self) -> Vec<Shot> {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has its shots in the list.
            let _ = thread.join();
        }
        std::mem::take(&mut lock(&self.shots))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// Asks once.
pub fn ask(agent: &ureq::Agent, asker: &Asker, question: &Question) -> Shot {
    let key = lock(&asker.key).clone();
    let url = format!("http://{}/score", asker.address);
    let sent = Instant::now();
    let answer = agent
        .post(&url)
        .header("authorization", &format!("Bearer {key}"))
        .header("content-type", "application/json")
        .send(question.body.as_slice());
    let shot =
        |kind, id, why| Shot { sent, done: Instant::now(), kind, id, flood: asker.flood, why };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => return shot(Kind::Failed, None, error.to_string()),
    };
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => return shot(Kind::Failed, None, format!("status {status}: {error}")),
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if status != 200 {
        let (code, words) = (text("code"), text("error"));
        let kind = if code.is_empty() { Kind::Failed } else { Kind::Refused };
        return shot(kind, None, format!("status {status} {code}: {words}"));
    }
    let kind = match text("answered_by").as_str() {
        "primary" if text("decision") == question.decision => Kind::Primary,
        "primary" => Kind::Wrong,
        "backup" => Kind::Backup,
        "safe" => Kind::Safe,
        _ => Kind::Failed,
    };
    shot(kind, Some(text("id")).filter(|id| !id.is_empty()), text("reason"))
}

/// An agent that keeps its connection.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build();
    config.into()
}

fn ask_on(asker: &Asker, thread: usize, end: &AtomicBool, shots: &Mutex<Vec<Shot>>) {
    let agent = agent();
    let mut next = Instant::now();
    let mut turn = thread;
    while !end.load(Ordering::Relaxed) {
        let Some(question) = asker.questions.get(turn % asker.questions.len().max(1)) else {
            return;
        };
        turn += 1;
        let shot = ask(&agent, asker, question);
        lock(shots).push(shot);
        next += asker.every;
        let now = Instant::now();
        if next > now {
            std::thread::sleep(next - now);
        } else {
            // Late: go on from now, so that a hang is not followed by a burst.
            next = now;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than any deadline of a guard: what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
