//! The register: the log, the store and the key, and the two ways of writing to them.
//!
//! Owns the order "bundle into the store, then leaf into the log", so that a leaf never names a
//! statement that is not there. Must never change or drop what was written. Called by
//! `assessment` and `pack`.

use std::fmt;

use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::{Bundle, DsseError};
use proofmark_evidence::entry::{Entry, EntryError, EntryKind};
use proofmark_evidence::keys::StatementKey;
use proofmark_evidence::log::{Log, LogError};
use proofmark_evidence::statement::{Statement, StatementError};
use proofmark_evidence::store::{Store, StoreError};
use proofmark_schema::measurement::AssetDigest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::predicate::Tool;

/// Where evidence goes.
pub struct Register<'a> {
    /// The log, opened for writing.
    pub log: &'a mut Log,
    /// Bundles and artefacts, by digest.
    pub store: &'a Store,
    /// Key that signs statements.
    pub key: &'a StatementKey,
    /// The clock: RFC 3339 in UTC.
    pub now: &'a dyn Fn() -> String,
    /// The program that signs.
    pub tool: Tool,
}

/// A signed statement that lies in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of the payload.
    pub statement: Digest,
    /// SHA-256 of the bundle file.
    pub bundle: Digest,
}

impl Register<'_> {
    /// Signs `predicate` about `subjects` and puts the bundle into the store.
    ///
    /// # Errors
    /// [`RegisterError`] if a digest is malformed or the store cannot be written.
    pub fn sign<P: Serialize>(
        &self,
        predicate_type: &str,
        predicate: &P,
        subjects: &[AssetDigest],
    ) -> Result<Stored, RegisterError> {
        let value = serde_json::to_value(predicate).map_err(|_| RegisterError::Bug)?;
        let mut statement = Statement::new(predicate_type, value);
        for asset in subjects {
            let digest =
                asset.sha256.parse().map_err(|_| RegisterError::AssetDigest(asset.name.clone()))?;
            statement = statement.subject(asset.name.clone(), digest);
        }
        let bundle = Bundle::sign(&statement, self.key)?;
        let digest = self.store.put(&bundle.to_json()?)?;
        Ok(Stored { statement: bundle.statement_digest()?, bundle: digest })
    }

    /// Logs `entries` as one unit; returns the index of the first.
    ///
    /// # Errors
    /// [`RegisterError`] if an entry is malformed or the log cannot be written.
    pub fn log(&mut self, entries: &[Entry]) -> Result<u64, RegisterError> {
        let leaves = entries.iter().map(Entry::to_leaf).collect::<Result<Vec<_>, _>>()?;
        Ok(self.log.append(&leaves)?.first_index)
    }

    /// An entry of `kind`, now.
    pub fn entry(&self, kind: EntryKind) -> Entry {
        Entry::new(kind, (self.now)())
    }
}

impl Stored {
    /// Names the statement and its bundle in a leaf.
    pub fn named_in(&self, entry: Entry) -> Entry {
        entry.statement(self.statement).with(BUNDLE_KEY, self.bundle.hex())
    }
}

impl fmt::Debug for Register<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register").field("origin", &self.log.origin()).finish_non_exhaustive()
    }
}

/// A statement of the store, read back.
#[derive(Clone, Debug)]
pub struct Read<P> {
    /// Its digests.
    pub stored: Stored,
    /// What it says.
    pub predicate: P,
}

/// Reads the statement that `entry` names and checks that bundle, payload and type are those.
///
/// # Errors
/// [`RegisterError`] if the bundle is gone, was changed or says something else.
pub fn read<P: DeserializeOwned>(
    store: &Store,
    entry: &Entry,
    predicate_type: &str,
) -> Result<Read<P>, RegisterError> {
    let stored = stored_of(entry).ok_or_else(|| RegisterError::Nameless(entry.kind.to_string()))?;
    let statement = statement(store, stored)?;
    if statement.predicate_type != predicate_type {
        return Err(RegisterError::OtherType {
            digest: stored.statement,
            found: statement.predicate_type,
        });
    }
    let predicate = serde_json::from_value(statement.predicate).map_err(|e| {
        RegisterError::Predicate { digest: stored.statement, reason: e.to_string() }
    })?;
    Ok(Read { stored, predicate })
}

/// The statement in the store; its digest is checked, its signature is not (see `verify`).
///
/// # Errors
/// [`RegisterError`] if it is gone or was changed.
pub fn statement(store: &Store, stored: Stored) -> Result<Statement, RegisterError> {
    let payload = Bundle::parse(&store.open(&stored.bundle)?)?.payload()?;
    if Digest::of(&payload) != stored.statement {
        return Err(RegisterError::OtherStatement(stored.statement));
    }
    Ok(Statement::parse(&payload)?)
}

/// What a leaf names.
pub fn stored_of(entry: &Entry) -> Option<Stored> {
    let bundle = entry.extra.get(BUNDLE_KEY)?.as_str()?.parse().ok()?;
    Some(Stored { statement: entry.statement?, bundle })
}

/// What went wrong with the register.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An envelope.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// A statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A digest of an asset is no SHA-256.
    #[error("the digest of `{0}` is not a SHA-256; digest the file again")]
    AssetDigest(String),
    /// A leaf without the statement its kind asks for.
    #[error("a `{0}` entry of the log names no statement; run `proofmark log fsck`")]
    Nameless(String),
    /// The store holds another statement under this name.
    #[error("the store does not hold the statement {0}; run `proofmark log fsck`")]
    OtherStatement(Digest),
    /// Another predicate type.
    #[error("the statement {digest} is a `{found}`, not what the log says")]
    OtherType {
        /// Statement.
        digest: Digest,
        /// Its type.
        found: String,
    },
    /// A predicate of another form.
    #[error("the statement {digest} does not read: {reason}")]
    Predicate {
        /// Statement.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// Cannot happen.
    #[error("a statement does not serialise; please report this as a bug")]
    Bug,
}

/// Key under which a leaf names the bundle file of its statement.
pub const BUNDLE_KEY: &str = "bundle";
