//! Signed statements of one kind, in log order: what every fold but that of runs starts from.
//!
//! Owns reading them back with the place and time of their leaf. Must never leave one out or
//! change their order. Called by `risk`, `incident`, `drill`, `treatment` and the papers.

use proofmark_evidence::entry::{Entry, EntryKind};
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;

use proofmark_schema::measurement::AssetDigest;

use crate::register::{self, Register, RegisterError, Stored};

/// A statement as the log shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged<P> {
    /// Index of the leaf.
    pub index: u64,
    /// Time of the leaf.
    pub time: String,
    /// Digests of the statement.
    pub stored: Stored,
    /// What it says.
    pub said: P,
}

/// Every statement of `kind`, in log order.
///
/// # Errors
/// [`RegisterError`] if the log is damaged, or a statement is gone or of another type.
pub fn logged<P: DeserializeOwned>(
    log: &Log,
    store: &Store,
    kind: &EntryKind,
    predicate_type: &str,
) -> Result<Vec<Logged<P>>, RegisterError> {
    let mut entries = Vec::new();
    let mut fault = None;
    log.for_each_leaf(|index, leaf| {
        match Entry::parse(leaf) {
            Ok(entry) if entry.kind == *kind => entries.push((index, entry)),
            Ok(_) => {}
            Err(error) => fault = fault.take().or(Some(error)),
        }
        Ok(())
    })?;
    if let Some(error) = fault {
        return Err(error.into());
    }
    entries
        .into_iter()
        .map(|(index, entry)| {
            let read = register::read(store, &entry, predicate_type)?;
            let time = entry.time.clone();
            Ok(Logged { index, time, stored: read.stored, said: read.predicate })
        })
        .collect()
}

/// Signs `predicate` about `subjects` and logs it; returns it as the log shows it.
///
/// # Errors
/// [`RegisterError`] if it cannot be signed, stored or logged.
pub fn record<P: Serialize + Clone>(
    register: &mut Register<'_>,
    kind: EntryKind,
    predicate_type: &str,
    predicate: &P,
    subjects: &[AssetDigest],
) -> Result<Logged<P>, RegisterError> {
    let stored = register.sign(predicate_type, predicate, subjects)?;
    let entry = stored.named_in(register.entry(kind));
    let time = entry.time.clone();
    let index = register.log(&[entry])?;
    Ok(Logged { index, time, stored, said: predicate.clone() })
}
