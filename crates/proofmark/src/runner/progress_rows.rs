//! Rows of a probe that has not ended, kept so that an interrupted run goes on where it was.
//!
//! Owns a scratch file per probe. A record is taken up only by the same plan, tool, engine and
//! CPU features; a damaged or foreign file is ignored. Must never be read as evidence.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use proofmark_lab::harness::{Done, RowRecord};
use proofmark_schema::measurement::EngineUse;
use proofmark_schema::plan::{Plan, Probe};
use serde::{Deserialize, Serialize};

use crate::assets;

/// The scratch file of one probe.
pub struct Kept {
    place: Option<(PathBuf, String)>,
    done: Done,
    file: Option<File>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Head {
    plan: String,
    probe: String,
    tool: String,
    engine: EngineUse,
}

impl Kept {
    /// Opens the file of `probe` under `plan`; without a folder nothing is kept.
    pub fn open(folder: Option<&Path>, plan: &Plan, probe: &Probe, engine: &EngineUse) -> Self {
        let none = Self { place: None, done: Done::new(), file: None };
        let Some(folder) = folder else { return none };
        let Ok(bytes) = serde_json::to_vec(plan) else { return none };
        let head = Head {
            plan: assets::sha256(&bytes),
            probe: probe.id.clone(),
            tool: env!("CARGO_PKG_VERSION").into(),
            engine: engine.clone(),
        };
        let Ok(line) = serde_json::to_string(&head) else { return none };
        let path = folder.join(format!("{}.rows", assets::sha256(line.as_bytes())));
        let done = fs::read_to_string(&path).ok().and_then(|t| records(&t, &line));
        Self { place: Some((path, line)), done: done.unwrap_or_default(), file: None }
    }

    /// Rows decided before.
    pub fn take(&mut self) -> Done {
        std::mem::take(&mut self.done)
    }

    /// Keeps a row. Losing one costs the time to decide it again, so faults are no errors.
    pub fn add(&mut self, record: &RowRecord) {
        let Some((path, head)) = &self.place else { return };
        if self.file.is_none() {
            self.file = start(path, head);
        }
        if let (Some(file), Ok(mut line)) = (&mut self.file, serde_json::to_string(record)) {
            line.push('\n');
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Removes the file: the probe has ended.
    pub fn remove(self) {
        if let Some((path, _)) = self.place {
            let _ = fs::remove_file(path);
        }
    }
}

fn start(path: &Path, head: &str) -> Option<File> {
    fs::create_dir_all(path.parent()?).ok()?;
    let mut file = OpenOptions::new().create(true).append(true).open(path).ok()?;
    if file.metadata().ok()?.len() == 0 {
        file.write_all(format!("{head}\n").as_bytes()).ok()?;
    } else {
        // A line cut off by a crash must not swallow the next one.
        file.write_all(b"\n").ok()?;
    }
    Some(file)
}

/// The records of a file with that head; broken lines are skipped.
fn records(text: &str, head: &str) -> Option<Done> {
    let mut lines = text.lines();
    if lines.next()? != head {
        return None;
    }
    let records = lines.filter_map(|line| serde_json::from_str::<RowRecord>(line).ok());
    Some(records.map(|r| (r.point.index as usize, r)).collect())
}
