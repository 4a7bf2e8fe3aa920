//! The journal of an endpoint: every question and answer, durably, one record a line.
//!
//! Owns the file. What is about to be sent is written before, what became of it after, so that a
//! run that was killed in between knows what the endpoint may have worked on. A line that was torn
//! by a crash is dropped. Must never be taken up under other questions: its first line says which.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use proofmark_evidence::durable::{self, OsFs};
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
        };
        let Some(path) = path else { return Ok(journal) };
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
        let (lines, torn) = lines(rest.get(1..).unwrap_or_default());
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

/// Whole lines that read, and whether there was more behind them.
fn lines(bytes: &[u8]) -> (Vec<Line>, bool) {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let whole = line.strip_suffix(b"\n").and_then(|l| serde_json::from_slice(l).ok());
        match whole {
            Some(line) => lines.push(line),
            None => return (lines, true),
        }
    }
    (lines, false)
}

const FORMAT: &str = "proofmark.endpoint/1";
/// Four million answers of a few coordinates.
const BYTES_MAX: u64 = 2 << 30;
