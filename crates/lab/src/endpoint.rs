//! A live endpoint as a target: rows go out as requests, answers come back as scores.
//!
//! Owns what is asked, how often, and what it has cost: answers are known by row and point, so
//! that nothing is asked twice; questions that got no answer are asked again, told as retries and
//! counted as spent where the endpoint may have worked on them. Must never open a socket, sleep or
//! write: a [`Transport`] and a [`Ledger`] are handed in. Called by `attack --endpoint`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::oracle::{Loss, LossGrad, Oracle, OracleError, Picture};

pub mod json;
pub mod oip;
mod read;
mod sheet;

pub use read::{Pointer, Reads, Words};
pub use sheet::{Cell, Sheet};

/// Sends bytes and waits. Implemented by `proofmark`, which has sockets and a clock.
pub trait Transport: Send + Sync {
    /// Sends one request, no sooner than the rate allows, and waits for its answer.
    ///
    /// # Errors
    /// [`Silence`]: there is no answer.
    fn send(&self, body: &[u8]) -> Result<Reply, Silence>;
    /// Waits before a request is tried again.
    ///
    /// # Errors
    /// [`Silence::Stopped`] when the user stopped the run meanwhile.
    fn pause(&self, wait: Duration) -> Result<(), Silence>;
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// How long the endpoint asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The request never arrived: no connection.
    NotSent(String),
    /// It may have arrived and been worked on: timed out, connection lost.
    Lost(String),
    /// The user stopped the run.
    Stopped,
}

/// Keeps what was asked and answered, durably and in order.
pub trait Ledger: Send + Sync {
    /// So many rows are about to be sent.
    ///
    /// # Errors
    /// The reason, in words.
    fn sending(&self, rows: usize) -> Result<(), String>;
    /// What became of them.
    ///
    /// # Errors
    /// The reason, in words.
    fn became(&self, fate: &Fate<'_>) -> Result<(), String>;
}

/// What became of the rows of one request.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// Answered.
    Answered(&'a [Answer]),
    /// No answer, though they may have been worked on.
    Lost(usize),
    /// Not worked on: no connection, or turned away.
    Refused(usize),
}

/// One row's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Data row.
    pub row: usize,
    /// Bits of the coordinates asked; of long rows, their SHA-256.
    pub bits: Vec<u32>,
    /// Scores, one per class; NaN where the endpoint gave no decision.
    pub scores: Vec<f32>,
}

/// How an endpoint is spoken to.
pub trait Protocol: Send + Sync {
    /// Most rows of one request.
    fn rows_max(&self) -> usize;
    /// The body of a request.
    ///
    /// # Errors
    /// A row that the protocol cannot hold.
    fn request(&self, columns: &[String], rows: &[Vec<Cell>]) -> Result<Vec<u8>, String>;
    /// Scores, `rows x classes`, from the body of an answer.
    ///
    /// # Errors
    /// What does not fit, and where it was looked for.
    fn answers(&self, body: &[u8], rows: usize) -> Result<Vec<f32>, String>;
}

/// How often and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows that may be sent in all; `None` without a limit.
    pub total: Option<u64>,
    /// Rows of one request at most.
    pub batch: usize,
    /// How often an unanswered request is tried again.
    pub retries: u32,
}

/// What has been spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Rows answered by the endpoint.
    pub answered: u64,
    /// Rows sent that got no answer though they may have been worked on.
    pub lost: u64,
    /// Requests sent, tries included.
    pub requests: u64,
    /// Requests that were a further try.
    pub retries: u64,
    /// Answers that an earlier run had got.
    pub kept: u64,
}

impl Spent {
    /// What counts against the total: whatever the endpoint may have worked on.
    pub fn counted(&self) -> u64 {
        self.answered + self.lost
    }
}

/// An endpoint bound to the rows of a data set.
pub struct Remote<'a> {
    sheet: Sheet,
    classes: usize,
    protocol: &'a dyn Protocol,
    transport: &'a dyn Transport,
    ledger: &'a dyn Ledger,
    limits: Limits,
    metered: bool,
    state: Mutex<State>,
    /// Rows whose kept answers are asked once more before anything new is asked.
    kept: Mutex<Vec<usize>>,
}

#[derive(Default)]
struct State {
    known: HashMap<(usize, Vec<u32>), Vec<f32>>,
    spent: Spent,
}

impl<'a> Remote<'a> {
    /// Bound to `sheet`; `kept` are answers of an earlier run, `spent` what that run had spent.
    pub fn new(
        sheet: Sheet,
        classes: usize,
        protocol: &'a dyn Protocol,
        links: (&'a dyn Transport, &'a dyn Ledger),
        limits: Limits,
        kept: Vec<Answer>,
        spent: Spent,
    ) -> Self {
        let mut state = State { spent, ..State::default() };
        state.spent.kept = kept.len() as u64;
        let clean = |a: &&Answer| a.row < sheet.rows() && a.bits == bits(sheet.clean(a.row));
        let again = Mutex::new(kept.iter().filter(clean).take(AGAIN).map(|a| a.row).collect());
        for answer in kept {
            // The first answer counts: the one that everything after it was built on.
            state.known.entry((answer.row, answer.bits)).or_insert(answer.scores);
        }
        let (transport, ledger) = links;
        let state = Mutex::new(state);
        let metered = true;
        Self { sheet, classes, protocol, transport, ledger, limits, metered, state, kept: again }
    }

    /// Lets the checks after an attack ask as well: they cost queries.
    pub fn unmetered(mut self) -> Self {
        self.metered = false;
        self
    }

    /// What has been spent so far.
    pub fn spent(&self) -> Spent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    /// Asks clean rows once more, whatever is known, and gives those that answer otherwise now.
    ///
    /// # Errors
    /// The endpoint failed or the total is spent.
    pub fn unsteady(&self, rows: &[usize]) -> Result<Vec<usize>, OracleError> {
        let mut unsteady = Vec::new();
        for some in rows.chunks(self.batch()) {
            let asks: Vec<(usize, Vec<f32>)> =
                some.iter().map(|&row| (row, self.sheet.clean(row).to_vec())).collect();
            let before = self.scores_of(&asks)?;
            for (answer, before) in self.ask(&asks)?.iter().zip(before) {
                if bits(&answer.scores) != bits(&before) {
                    unsteady.push(answer.row);
                }
            }
        }
        Ok(unsteady)
    }

    fn batch(&self) -> usize {
        self.limits.batch.min(self.protocol.rows_max()).max(1)
    }

    /// Scores of points, asked only where they are not known.
    fn scores_of(&self, asks: &[(usize, Vec<f32>)]) -> Result<Vec<Vec<f32>>, OracleError> {
        let keys: Vec<(usize, Vec<u32>)> = asks.iter().map(|(row, x)| (*row, bits(x))).collect();
        let mut fresh: Vec<usize> = Vec::new();
        {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut seen = std::collections::HashSet::new();
            for (at, key) in keys.iter().enumerate() {
                if !state.known.contains_key(key) && seen.insert(key) {
                    fresh.push(at);
                }
            }
        }
        if !fresh.is_empty() {
            self.verify()?;
        }
        for some in fresh.chunks(self.batch()) {
            let asks: Vec<(usize, Vec<f32>)> = some.iter().map(|&at| asks[at].clone()).collect();
            let answers = self.ask(&asks)?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.known.len() + answers.len() > ANSWERS_MAX {
                return Err(failed(format!("more than {ANSWERS_MAX} answers in one run")));
            }
            state.known.extend(answers.into_iter().map(|a| ((a.row, a.bits), a.scores)));
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let each = keys.iter().map(|key| state.known.get(key).cloned());
        each.collect::<Option<_>>().ok_or_else(|| failed("an answer was lost".into()))
    }

    /// Before the first new question of a run that goes on: some kept answers are asked once more.
    /// Another model behind the URL would make one report of two.
    fn verify(&self) -> Result<(), OracleError> {
        let rows = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        match self.unsteady(&rows)?.first() {
            None => Ok(()),
            Some(row) => Err(failed(format!(
                "row {row} is answered otherwise than in the run that is to go on: another model, \
                 or answers by chance"
            ))),
        }
    }

    /// One request, tried again while there is no answer.
    fn ask(&self, asks: &[(usize, Vec<f32>)]) -> Result<Vec<Answer>, OracleError> {
        let cells: Vec<Vec<Cell>> =
            asks.iter().map(|(row, x)| self.sheet.filled(*row, x)).collect();
        let body = self.protocol.request(self.sheet.columns(), &cells).map_err(failed)?;
        let mut why = String::new();
        for attempt in 0..=self.limits.retries {
            self.admit(asks.len(), attempt > 0)?;
            self.ledger.sending(asks.len()).map_err(failed)?;
            let (fate, again) = match self.transport.send(&body) {
                Ok(reply) if reply.status == OK => return self.take(asks, &reply.body),
                Ok(reply) if reply.status == TOO_MANY || reply.status == UNAVAILABLE => {
                    why = said(&reply);
                    (Fate::Refused(asks.len()), reply.retry_after)
                }
                Ok(reply) if reply.status >= SERVER_ERROR => {
                    why = said(&reply);
                    (Fate::Lost(asks.len()), reply.retry_after)
                }
                Ok(reply) => {
                    self.note(Fate::Refused(asks.len()))?;
                    let said = said(&reply);
                    return Err(failed(format!("the endpoint refuses the request: {said}")));
                }
                Err(Silence::Stopped) => {
                    self.note(Fate::Refused(asks.len()))?;
                    return Err(failed(STOPPED.into()));
                }
                Err(Silence::NotSent(reason)) => {
                    why = reason;
                    (Fate::Refused(asks.len()), None)
                }
                Err(Silence::Lost(reason)) => {
                    why = reason;
                    (Fate::Lost(asks.len()), None)
                }
            };
            self.note(fate)?;
            if attempt < self.limits.retries {
                let wait = again.unwrap_or_else(|| backoff(attempt)).min(WAIT_MAX);
                self.transport.pause(wait).map_err(|_| failed(STOPPED.into()))?;
            }
        }
        let tries = self.limits.retries + 1;
        Err(failed(format!("no answer after {tries} tries: {why}")))
    }

    /// Counts a request, unless the total would be passed.
    fn admit(&self, rows: usize, again: bool) -> Result<(), OracleError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = state.spent.counted();
        if let Some(total) = self.limits.total.filter(|t| counted + rows as u64 > *t) {
            return Err(failed(format!(
                "{counted} of the {total} queries in all are spent; the next request has {rows}"
            )));
        }
        state.spent.requests += 1;
        state.spent.retries += u64::from(again);
        Ok(())
    }

    fn note(&self, fate: Fate<'_>) -> Result<(), OracleError> {
        if let Fate::Lost(rows) = fate {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.spent.lost += rows as u64;
        }
        self.ledger.became(&fate).map_err(failed)
    }

    fn take(&self, asks: &[(usize, Vec<f32>)], body: &[u8]) -> Result<Vec<Answer>, OracleError> {
        let scores = match self.protocol.answers(body, asks.len()) {
            Ok(scores) => scores,
            Err(reason) => {
                // It was worked on, though nobody can read what came of it.
                self.note(Fate::Lost(asks.len()))?;
                return Err(failed(format!("the answer does not read: {reason}")));
            }
        };
        let each = asks.iter().zip(scores.chunks(self.classes));
        let answers: Vec<Answer> = each
            .map(|((row, x), scores)| Answer { row: *row, bits: bits(x), scores: scores.to_vec() })
            .collect();
        self.note(Fate::Answered(&answers))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spent.answered += answers.len() as u64;
        Ok(answers)
    }
}

impl Oracle for Remote<'_> {
    fn rows(&self) -> usize {
        self.sheet.rows()
    }
    fn dims(&self) -> usize {
        self.sheet.dims()
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.sheet.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        let dims = self.dims().max(1);
        let asks: Vec<(usize, Vec<f32>)> =
            rows.iter().zip(x.chunks(dims)).map(|(&row, x)| (row, x.to_vec())).collect();
        Ok(self.scores_of(&asks)?.concat())
    }
    fn gradient(&self) -> Result<(), String> {
        Err("an endpoint gives no gradients".into())
    }
    fn loss_grad(
        &self,
        _rows: &[usize],
        _x: &[f32],
        _labels: &[usize],
        _loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        Err(failed("an endpoint gives no gradients".into()))
    }
    fn metered(&self) -> bool {
        self.metered
    }
    fn picture(&self) -> Option<Picture> {
        self.sheet.picture()
    }
}

/// By what a point or an answer is known: its bits, or the SHA-256 of many.
fn bits(x: &[f32]) -> Vec<u32> {
    if x.len() <= BITS_MAX {
        return x.iter().map(|v| v.to_bits()).collect();
    }
    let mut hash = Sha256::new();
    x.iter().for_each(|v| hash.update(v.to_bits().to_le_bytes()));
    let digest = hash.finalize();
    digest.chunks(4).map(|b| b.iter().fold(0, |word, &b| word << 8 | u32::from(b))).collect()
}

fn failed(reason: String) -> OracleError {
    OracleError { reason }
}

/// Status and the beginning of what was said with it.
fn said(reply: &Reply) -> String {
    let text: String = String::from_utf8_lossy(&reply.body).chars().take(SAID_MAX).collect();
    let text = text.trim();
    let colon = if text.is_empty() { "" } else { ": " };
    format!("status {}{colon}{}", reply.status, text.replace(char::is_control, " "))
}

/// Doubles from a quarter of a second; no chance in it, so that runs are alike.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << attempt.min(10))
}

const OK: u16 = 200;
const TOO_MANY: u16 = 429;
const UNAVAILABLE: u16 = 503;
const SERVER_ERROR: u16 = 500;
/// The reason given when the user stopped the run.
pub const STOPPED: &str = "stopped on request";
/// Longest wait between two tries: a server that asks for more is told to be down.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Characters of a refusal that are shown.
const SAID_MAX: usize = 300;
/// Kept answers that are asked once more.
const AGAIN: usize = 8;
/// Coordinates by whose bits a point is known.
const BITS_MAX: usize = 32;
/// Answers held: about a gigabyte.
const ANSWERS_MAX: usize = 4_000_000;

#[cfg(test)]
mod tests;
