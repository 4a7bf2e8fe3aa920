//! The journal of an endpoint: every question and answer, durably, one record a line.
//!
//! Owns the file. What is about to be sent is written before, what became of it after, so that a
//! run that was killed in between knows what the endpoint may have worked on. A line that was torn
//! by a crash is dropped. Must never be taken up under other questions: its first line says which.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use proofmark_evidence::durable::{self, OsFs, WriterLock};
use proofmark_lab::endpoint::{Answer, Fate, Ledger, Spent};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Outcome};

/// A journal, or none: then nothing outlives the run.
pub struct Journal {
    path: Option<PathBuf>,
    kept: Vec<Answer>,
    spent: Spent,
    unsteady: Option<Vec<usize>>,
    /// Whether a request is under way: its retries are told apart.
    again: Mutex<bool>,
    /// Two runs on one journal would spend its total twice.
    _lock: Option<WriterLock>,
}

/// First line.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    key: String,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Line {
    /// So many rows are about to be sent; whether it is a further try.
    Sending { rows: usize, again: bool },
    /// Row, bits of its coordinates, bits of its scores.
    Answers(Vec<(usize, Vec<u32>, Vec<u32>)>),
    /// No answer, though the rows may have been worked on.
    Lost(usize),
    /// Not worked on.
    Refused(usize),
    /// Rows that answered otherwise when they were asked twice.
    Unsteady(Vec<usize>),
}

impl Journal {
    /// Opens or begins the journal of these questions.
    pub fn open(path: Option<&Path>, key: &str) -> Outcome<Self> {
        let mut journal = Self {
            path: path.map(Path::to_path_buf),
            kept: Vec::new(),
            spent: Spent::default(),
            unsteady: None,
            again: Mutex::new(false),
            _lock: None,
        };
        let Some(path) = path else { return Ok(journal) };
        let lock = WriterLock::acquire(&beside(path));
        journal._lock =
            Some(lock.or_fail("state", "another run goes on with it: wait, or name another file")?);
        let head = Head { format: FORMAT.into(), key: key.into() };
        if !path.exists() {
            rewrite(path, &head, &[])?;
            return Ok(journal);
        }
        let help = "name another file, or none";
        let bytes = durable::read_bounded(path, BYTES_MAX).or_fail("state", help)?;
        let (first, rest) = bytes.split_at(bytes.iter().position(|b| *b == b'\n').unwrap_or(0));
        match serde_json::from_slice::<Head>(first) {
            Ok(found) if found == head => {}
            Ok(found) if found.format == FORMAT => {
                return Err(Failure::new(
                    "state",
                    format!("`{}` is the journal of other questions", path.display()),
                    "it goes with one URL, mapping, data and columns; name another file",
                ));
            }
            _ => {
                let words = format!("`{}` is no journal of an endpoint", path.display());
                return Err(Failure::new("state", words, help));
            }
        }
        let (lines, torn) = lines(rest.get(1..).unwrap_or_default()).map_err(|line| {
            let words = format!("line {line} of `{}` does not read", path.display());
            Failure::new(
                "state",
                words,
                "answers behind it would be lost: mend it, or name another file",
            )
        })?;
        let pending = journal.replay(&lines);
        let mut whole = lines;
        if pending > 0 {
            journal.spent.lost += pending as u64;
            whole.push(Line::Lost(pending));
        }
        if torn || pending > 0 {
            rewrite(path, &head, &whole)?;
        }
        Ok(journal)
    }

    /// Answers of earlier runs.
    pub fn answers(&self) -> Vec<Answer> {
        self.kept.clone()
    }

    /// What earlier runs have spent.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// What asking twice has shown in an earlier run.
    pub fn unsteady(&self) -> Option<Vec<usize>> {
        self.unsteady.clone()
    }

    /// Keeps what asking twice has shown.
    pub fn steady(&self, unsteady: &[usize]) -> Outcome<()> {
        self.add(&Line::Unsteady(unsteady.to_vec())).or_fail("state", "free the disk")
    }

    /// What was taken up, in words.
    pub fn note(&self) -> Option<String> {
        let (answered, lost) = (self.spent.answered, self.spent.lost);
        (self.spent.requests > 0).then(|| {
            format!("{answered} answers of an earlier run are taken up, {lost} rows had none")
        })
    }

    /// Takes up every record; gives the rows of a request that nobody saw the end of.
    fn replay(&mut self, lines: &[Line]) -> usize {
        let mut pending = 0;
        for line in lines {
            match line {
                Line::Sending { rows, again } => {
                    self.spent.lost += pending as u64;
                    pending = *rows;
                    self.spent.requests += 1;
                    self.spent.retries += u64::from(*again);
                }
                Line::Answers(answers) => {
                    pending = 0;
                    self.spent.answered += answers.len() as u64;
                    self.kept.extend(answers.iter().map(|(row, bits, scores)| Answer {
                        row: *row,
                        bits: bits.clone(),
                        scores: scores.iter().map(|b| f32::from_bits(*b)).collect(),
                    }));
                }
                Line::Lost(rows) => {
                    pending = 0;
                    self.spent.lost += *rows as u64;
                }
                Line::Refused(_) => pending = 0,
                Line::Unsteady(rows) => self.unsteady = Some(rows.clone()),
            }
        }
        pending
    }

    fn add(&self, line: &Line) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = serde_json::to_string(line).map_err(|e| e.to_string())?;
        text.push('\n');
        durable::append(&OsFs, path, text.as_bytes()).map_err(|e| e.to_string())
    }
}

impl Ledger for Journal {
    fn sending(&self, rows: usize) -> Result<(), String> {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(&Line::Sending { rows, again: *again })?;
        *again = true;
        Ok(())
    }

    fn became(&self, fate: &Fate<'_>) -> Result<(), String> {
        match fate {
            Fate::Answered(answers) => {
                *self.again.lock().unwrap_or_else(PoisonError::into_inner) = false;
                let bits = |scores: &[f32]| scores.iter().map(|s| s.to_bits()).collect();
                let each = answers.iter().map(|a| (a.row, a.bits.clone(), bits(&a.scores)));
                self.add(&Line::Answers(each.collect()))
            }
            Fate::Lost(rows) => self.add(&Line::Lost(*rows)),
            Fate::Refused(rows) => self.add(&Line::Refused(*rows)),
        }
    }
}

fn rewrite(path: &Path, head: &Head, lines: &[Line]) -> Outcome<()> {
    let bug = "please report this";
    let mut text = serde_json::to_string(head).or_fail("state", bug)?;
    text.push('\n');
    for line in lines {
        text.push_str(&serde_json::to_string(line).or_fail("state", bug)?);
        text.push('\n');
    }
    durable::write(&OsFs, path, text.as_bytes()).or_fail("state", "name a file that can be made")
}

/// The whole lines, and whether a torn one was behind them; the number of one that does not read.
fn lines(bytes: &[u8]) -> Result<(Vec<Line>, bool), usize> {
    let mut lines = Vec::new();
    for (at, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let Some(whole) = line.strip_suffix(b"\n") else { return Ok((lines, true)) };
        // the first line of the file is its head
        lines.push(serde_json::from_slice(whole).map_err(|_| at + 2)?);
    }
    Ok((lines, false))
}

/// The lock file of a journal.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

const FORMAT: &str = "proofmark.endpoint/1";
/// Four million answers of a few coordinates.
const BYTES_MAX: u64 = 2 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_dropped_a_damaged_middle_and_a_second_run_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("j");
        let first = Journal::open(Some(&path), "k").expect("begun");
        assert!(Journal::open(Some(&path), "k").is_err(), "another run holds it");
        let answer = Answer { row: 3, bits: vec![1], scores: vec![0.5] };
        for _ in 0..2 {
            first.sending(1).expect("noted");
            first.became(&Fate::Answered(std::slice::from_ref(&answer))).expect("noted");
        }
        drop(first);
        let whole = std::fs::read(&path).expect("journal");
        std::fs::write(&path, &whole[..whole.len() - 3]).expect("tear");
        let torn = Journal::open(Some(&path), "k").expect("taken up");
        assert_eq!((torn.spent().answered, torn.spent().lost), (1, 1));
        drop(torn);
        let mut damaged = whole;
        let at = damaged.iter().position(|b| *b == b'\n').expect("head") + 3;
        damaged[at] = b'?';
        std::fs::write(&path, &damaged).expect("damage");
        let refused = Journal::open(Some(&path), "k").err().expect("refused");
        assert!(refused.message.contains("line 2"), "{}", refused.message);
        assert_eq!(std::fs::read(&path).expect("journal"), damaged, "nothing was dropped");
    }
}
