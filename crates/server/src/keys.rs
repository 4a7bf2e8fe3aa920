//! API keys of the guard: who may ask, what for, until when.
//!
//! Owns the key file (`proofmark.guard-keys/1`) and the check of a presented key. Must never hold
//! a key in clear after it was handed out, tell why an unknown key failed, or compare in a time
//! that depends on the bytes. Called by the data plane and by `guard key`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use proofmark_evidence::durable::{self, DurableError, Fs};
use proofmark_evidence::keys::{KeyError, random_bytes};
use proofmark_evidence::time;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::limit::Used;

/// Format of the key file.
pub const FORMAT: &str = "proofmark.guard-keys/1";

/// The key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    format: String,
    /// Keys in the order they were made, revoked ones included.
    pub keys: Vec<KeyRecord>,
}

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Id, also the second part of the key itself.
    pub id: String,
    /// SHA-256 of the whole key. The key holds 256 random bits, so a plain digest is enough.
    pub sha256: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// Who holds it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// When it ends, RFC 3339 in UTC.
    pub expires: String,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Scores, and what `metadata` opens.
    Score,
    /// Health and metadata of the protocol.
    Metadata,
}

/// A new key: the text to hand out once, and what is kept of it.
#[derive(Debug)]
pub struct NewKey {
    /// The key; never shown again.
    pub text: String,
    /// What is kept.
    pub record: KeyRecord,
}

impl KeyFile {
    /// No key.
    pub fn empty() -> Self {
        Self { format: FORMAT.into(), keys: Vec::new() }
    }

    /// Reads the key file; none is an empty one.
    ///
    /// # Errors
    /// [`KeysError`] if it is damaged or cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let bytes = match durable::read_bounded(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Self::empty()),
            Err(error) => return Err(error.into()),
        };
        let file: Self = serde_json::from_slice(&bytes)
            .map_err(|e| KeysError::Damaged(path.display().to_string(), e.to_string()))?;
        if file.format != FORMAT {
            let found = format!("format `{}`", file.format);
            return Err(KeysError::Damaged(path.display().to_string(), found));
        }
        Ok(file)
    }

    /// Writes it, mode 0600.
    ///
    /// # Errors
    /// [`KeysError`] if it cannot be written.
    pub fn save(&self, fs: &dyn Fs, path: &Path) -> Result<(), KeysError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| KeysError::Damaged(path.display().to_string(), e.to_string()))?;
        bytes.push(b'\n');
        Ok(durable::write_private(fs, path, &bytes)?)
    }

    /// The key of that id.
    pub fn key_mut(&mut self, id: &str) -> Option<&mut KeyRecord> {
        self.keys.iter_mut().find(|k| k.id == id)
    }
}

impl NewKey {
    /// A key of 256 random bits.
    ///
    /// # Errors
    /// [`KeysError`] if the system gives no randomness.
    pub fn generate(
        scopes: Vec<Scope>,
        label: Option<String>,
        created: String,
        expires: String,
    ) -> Result<Self, KeysError> {
        let id = hex::encode(random_bytes::<8>()?.as_slice());
        let secret = hex::encode(random_bytes::<32>()?.as_slice());
        let text = format!("{PREFIX}{id}_{secret}");
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        let record = KeyRecord { id, sha256, scopes, label, created, expires, revoked: None };
        Ok(Self { text, record })
    }
}

/// The keys as the data plane asks them.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: HashMap<String, Arc<Holder>>,
}

/// A key that is known.
#[derive(Debug)]
pub struct Holder {
    /// Id.
    pub id: String,
    /// What it has used of its rate.
    pub used: Arc<Used>,
    sha256: [u8; 32],
    scopes: Vec<Scope>,
    expires: String,
    revoked: bool,
}

/// Why a key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// None was presented.
    Absent,
    /// It is no key of ours, or was revoked.
    Unknown,
    /// It has ended.
    Expired,
    /// It opens something else.
    Scope,
}

impl Keyring {
    /// The keys of `file`; those that were known before keep what they have used. A record that
    /// does not read is left out: it opens nothing.
    pub fn new(file: &KeyFile, before: Option<&Self>) -> Self {
        let holder = |record: &KeyRecord| {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(&record.sha256, &mut sha256).ok()?;
            time::check(&record.expires).ok()?;
            let known = before.and_then(|b| b.keys.get(&record.id));
            let used = known.map_or_else(Arc::default, |h| h.used.clone());
            let holder = Holder {
                id: record.id.clone(),
                used,
                sha256,
                scopes: record.scopes.clone(),
                expires: record.expires.clone(),
                revoked: record.revoked.is_some(),
            };
            Some((record.id.clone(), Arc::new(holder)))
        };
        Self { keys: file.keys.iter().filter_map(holder).collect() }
    }

    /// Number of keys that are not revoked.
    pub fn open(&self) -> usize {
        self.keys.values().filter(|h| !h.revoked).count()
    }

    /// Ids of keys that are revoked here and were not in `before`.
    pub fn newly_revoked(&self, before: &Self) -> Vec<String> {
        let open_before = |id: &String| before.keys.get(id).is_some_and(|h| !h.revoked);
        let mut ids: Vec<String> = self
            .keys
            .values()
            .filter(|h| h.revoked && open_before(&h.id))
            .map(|h| h.id.clone())
            .chain(before.keys.keys().filter(|id| !self.keys.contains_key(*id)).cloned())
            .collect();
        ids.sort();
        ids
    }

    /// Who presents `text` at `now` (RFC 3339 in UTC) for `scope`.
    ///
    /// # Errors
    /// [`Denied`]; whether a key has ended is told only to whoever holds it.
    pub fn check(&self, text: &str, scope: Scope, now: &str) -> Result<Arc<Holder>, Denied> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let holder = parts.and_then(|(id, _)| self.keys.get(id));
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        // An unknown id takes the same road, so that ids cannot be told apart by time.
        let expected = holder.map_or(&[0; 32], |h| &h.sha256);
        let same = bool::from(digest.ct_eq(expected));
        let Some(holder) = holder.filter(|h| same && !h.revoked) else {
            return Err(Denied::Unknown);
        };
        if to_second(now) >= to_second(&holder.expires) {
            return Err(Denied::Expired);
        }
        let opens = holder.scopes.contains(&scope) || holder.scopes.contains(&Scope::Score);
        if opens { Ok(holder.clone()) } else { Err(Denied::Scope) }
    }
}

impl Scope {
    /// Name as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Metadata => "metadata",
        }
    }
}

/// The first 19 characters of a time in UTC sort as the time does.
fn to_second(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}

/// What is wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file does not read.
    #[error("the key file `{0}` does not read: {1}; restore it, or make new keys")]
    Damaged(String, String),
    /// It cannot be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] KeyError),
}

/// How every key begins, so that scanners for leaked secrets find one.
const PREFIX: &str = "pmk_";
/// Bytes of a key file: some ten thousand keys.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use proofmark_evidence::durable::OsFs;

    use super::*;

    fn key(scopes: &[Scope], expires: &str) -> NewKey {
        let created = "2026-11-22T18:00:00Z".to_owned();
        NewKey::generate(scopes.to_vec(), None, created, expires.to_owned()).unwrap()
    }

    #[test]
    fn a_key_opens_its_scope_until_it_ends() {
        let score = key(&[Scope::Score], "2027-01-01T00:00:00Z");
        let meta = key(&[Scope::Metadata], "2027-01-01T00:00:00Z");
        let mut revoked = key(&[Scope::Score], "2027-01-01T00:00:00Z");
        revoked.record.revoked = Some("2026-11-23T00:00:00Z".into());
        let mut file = KeyFile::empty();
        file.keys = [&score, &meta, &revoked].map(|k| k.record.clone()).to_vec();
        let ring = Keyring::new(&file, None);
        let (early, late) = ("2026-12-31T23:59:59.9Z", "2027-01-01T00:00:00Z");
        let mut forged = score.text.clone();
        forged.pop();
        forged.push(if score.text.ends_with('0') { '1' } else { '0' });
        for (name, text, scope, now, want) in [
            ("score opens score", &score.text, Scope::Score, early, None),
            ("score opens metadata", &score.text, Scope::Metadata, early, None),
            ("metadata opens metadata", &meta.text, Scope::Metadata, early, None),
            ("metadata opens no score", &meta.text, Scope::Score, early, Some(Denied::Scope)),
            ("ended", &score.text, Scope::Score, late, Some(Denied::Expired)),
            ("revoked", &revoked.text, Scope::Score, early, Some(Denied::Unknown)),
            ("one digit off", &forged, Scope::Score, early, Some(Denied::Unknown)),
            ("ended is not told to a forger", &forged, Scope::Score, late, Some(Denied::Unknown)),
            ("no key", &String::new(), Scope::Score, early, Some(Denied::Unknown)),
        ] {
            assert_eq!(ring.check(text, scope, now).err(), want, "{name}");
        }
    }

    #[test]
    fn the_file_holds_no_key_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        assert!(KeyFile::load(&path).unwrap().keys.is_empty());
        let new = key(&[Scope::Score], "2027-01-01T00:00:00Z");
        let mut file = KeyFile::empty();
        file.keys.push(new.record.clone());
        file.save(&OsFs, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let secret = new.text.rsplit('_').next().unwrap();
        assert!(!text.contains(secret), "the secret must not be stored");
        assert_eq!(KeyFile::load(&path).unwrap(), file);
        std::fs::write(&path, text.replace("guard-keys/1", "guard-keys/9")).unwrap();
        assert!(matches!(KeyFile::load(&path), Err(KeysError::Damaged(..))));
    }

    #[test]
    fn what_was_used_survives_a_reload_and_revoked_keys_are_named() {
        let new = key(&[Scope::Score], "2027-01-01T00:00:00Z");
        let mut file = KeyFile::empty();
        file.keys.push(new.record.clone());
        let first = Keyring::new(&file, None);
        let now = "2026-12-01T00:00:00Z";
        let used = first.check(&new.text, Scope::Score, now).unwrap().used.clone();
        file.key_mut(&new.record.id).unwrap().revoked = Some(now.into());
        let second = Keyring::new(&file, Some(&first));
        assert_eq!(second.newly_revoked(&first), std::slice::from_ref(&new.record.id));
        assert_eq!(first.newly_revoked(&first), [""; 0]);
        assert!(Arc::ptr_eq(&used, &second.keys[&new.record.id].used));
        assert_eq!(second.open(), 0);
    }
}
