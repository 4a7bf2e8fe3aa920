//! The hold: what may not change while an incident is looked at.
//!
//! Owns the fold of holds and the file that the guard reads, a cache of the log. Must never lift a
//! hold because the file is gone: the log decides. Called by the command line.

use std::path::{Path, PathBuf};

use proofmark_evidence::durable::{self, DurableError, Fs};
use proofmark_schema::incident::{HOLD_FILE, HOLD_FORMAT, Hold, PermittedChange};

use super::{Incident, dated_before};

/// The hold that the log says is in place: that of the incident which began first.
pub fn current(incidents: &[Incident], system: &str) -> Option<Hold> {
    let mut holding: Vec<&Incident> = incidents.iter().filter(|i| i.holds()).collect();
    holding.sort_by(|a, b| dated_before(&a.freeze, &b.freeze));
    let (first, others) = holding.split_first()?;
    let freeze = first.freeze.as_ref()?;
    let change = |c: &super::Dated<super::Change>| PermittedChange {
        notice: c.said.notice.clone(),
        models: c.said.models.clone(),
        guard_policy: c.said.guard_policy.clone(),
    };
    Some(Hold {
        format: HOLD_FORMAT.to_owned(),
        incident: first.id.clone(),
        also: others.iter().map(|i| i.id.clone()).collect(),
        since: freeze.at.clone(),
        system: system.to_owned(),
        version: first.version.clone(),
        frozen: freeze.said.frozen.clone(),
        changes: holding.iter().flat_map(|i| &i.changes).map(change).collect(),
        statement: freeze.stored.statement.hex(),
    })
}

/// Writes the file, or removes it when nothing is held.
///
/// # Errors
/// [`HoldError`] if it cannot be written durably.
pub fn save(fs: &dyn Fs, dir: &Path, hold: Option<&Hold>) -> Result<(), HoldError> {
    let path = path(dir);
    match hold {
        Some(hold) => {
            let text = serde_json::to_vec_pretty(hold).map_err(|_| HoldError::Bug)?;
            Ok(durable::write(fs, &path, &text)?)
        }
        None if path.exists() => Ok(durable::remove(fs, &path)?),
        None => Ok(()),
    }
}

/// Reads the file; `None` when nothing is held.
///
/// # Errors
/// [`HoldError`] if it is damaged: then nothing may be changed either.
pub fn load(dir: &Path) -> Result<Option<Hold>, HoldError> {
    let bytes = match durable::read_bounded(&path(dir), HOLD_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let hold: Hold =
        serde_json::from_slice(&bytes).map_err(|e| HoldError::Damaged(e.to_string()))?;
    if hold.format != HOLD_FORMAT {
        return Err(HoldError::Damaged(format!("its format is `{}`", hold.format)));
    }
    Ok(Some(hold))
}

/// Where the file lies in the folder `.proofmark`.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(HOLD_FILE)
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// It cannot be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// It is damaged.
    #[error("the file of the hold is damaged ({0}); make it anew, `proofmark incident hold`")]
    Damaged(String),
    /// Cannot happen.
    #[error("a hold does not serialise; please report this as a bug")]
    Bug,
}

/// A hold names some files; a million bytes is a wrong file.
const HOLD_BYTES_MAX: u64 = 1 << 20;
