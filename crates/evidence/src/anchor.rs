//! Anchors: what a second party says about a checkpoint, imported from files.
//!
//! Owns RFC 3161 time stamps and co-signatures over a checkpoint, and their file names. Must never
//! call a time stamp verified: the authority's signature is not checked here, only that the stamp
//! is over this checkpoint. Called by the command line and the pack.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::digest::Digest;
use crate::durable::{self, DurableError, Fs};
use crate::entry::{Entry, EntryKind};
use crate::note::{Checkpoint, NOTE_BYTES_MAX, Note, NoteError, Verifier};

pub mod der;
mod tsp;

pub use tsp::TimeStamp;

/// A checkpoint and what a second party gave for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    name: String,
    checkpoint: String,
    witness: Witness,
}

/// What the second party gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// An RFC 3161 response over the checkpoint's bytes.
    TimeStamp {
        /// The response file, as received.
        response: Vec<u8>,
        /// What it says.
        stamp: TimeStamp,
    },
    /// A note signature over the checkpoint's text by another key.
    Cosignature {
        /// The signature line, with its newline.
        line: String,
        /// The key, as the second party published it.
        verifier: Verifier,
    },
}

impl Anchor {
    /// Imports an RFC 3161 response (`.tsr`) over the bytes of `checkpoint`.
    ///
    /// # Errors
    /// [`AnchorError`] if it is no granted stamp, or one over other bytes.
    pub fn time_stamp(name: &str, checkpoint: &str, response: &[u8]) -> Result<Self, AnchorError> {
        check_name(name)?;
        Checkpoint::parse_unverified(checkpoint)?;
        let stamp = TimeStamp::parse(response)?;
        let wanted = Digest::of(checkpoint.as_bytes());
        if stamp.imprint != wanted {
            return Err(AnchorError::OtherBytes { found: stamp.imprint, wanted });
        }
        let witness = Witness::TimeStamp { response: response.to_owned(), stamp };
        Ok(Self { name: name.to_owned(), checkpoint: checkpoint.to_owned(), witness })
    }

    /// Imports a second party's signature line over the text of `checkpoint` and verifies it.
    ///
    /// # Errors
    /// [`AnchorError`] if the signature does not fit, or the key already signs the checkpoint.
    pub fn cosignature(
        name: &str,
        checkpoint: &str,
        line: &str,
        vkey: &str,
    ) -> Result<Self, AnchorError> {
        check_name(name)?;
        let own = Note::parse(checkpoint)?;
        let verifier = Verifier::parse(vkey)?;
        let line = format!("{}\n", line.strip_suffix('\n').unwrap_or(line));
        if own.is_signed_with(verifier.key()) {
            return Err(AnchorError::SameKey(verifier.name().to_owned()));
        }
        let cosigned = Note::parse(&format!("{}\n{line}", own.text()))?;
        cosigned.verify(&verifier)?;
        let witness = Witness::Cosignature { line, verifier };
        Ok(Self { name: name.to_owned(), checkpoint: checkpoint.to_owned(), witness })
    }

    /// Its name: the stem of its files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The anchored checkpoint.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// What the second party gave.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// One line for people, saying also what was not verified.
    pub fn describe(&self) -> String {
        match &self.witness {
            Witness::TimeStamp { stamp, .. } => format!(
                "RFC 3161 time stamp of {} by {}, over this checkpoint; time stamp signature not \
                 verified by proofmark; run: openssl ts -verify -in {name}.tsr -data \
                 {name}.checkpoint -CAfile CA.pem",
                stamp.time,
                stamp.authority.as_deref().unwrap_or("an unnamed authority"),
                name = self.name,
            ),
            Witness::Cosignature { verifier, .. } => {
                format!("co-signed by `{}`, signature verified", verifier.vkey())
            }
        }
    }

    /// The log entry that records the import, at `time` (RFC 3339 in UTC).
    pub fn entry(&self, time: &str) -> Entry {
        let entry = Entry::new(EntryKind::Anchor, time)
            .with("checkpoint", Digest::of(self.checkpoint.as_bytes()).hex());
        match &self.witness {
            Witness::TimeStamp { response, stamp } => entry
                .with("anchor", "rfc3161")
                .with("response", Digest::of(response).hex())
                .with("stamped", stamp.time.clone()),
            Witness::Cosignature { verifier, .. } => {
                entry.with("anchor", "cosignature").with("vkey", verifier.vkey())
            }
        }
    }

    /// Its files as (name, content).
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let file = |suffix: &str, bytes: &[u8]| (format!("{}{suffix}", self.name), bytes.to_vec());
        let mut files = vec![file(CHECKPOINT_SUFFIX, self.checkpoint.as_bytes())];
        match &self.witness {
            Witness::TimeStamp { response, .. } => files.push(file(STAMP_SUFFIX, response)),
            Witness::Cosignature { line, verifier } => {
                files.push(file(COSIGNATURE_SUFFIX, line.as_bytes()));
                files.push(file(VKEY_SUFFIX, format!("{}\n", verifier.vkey()).as_bytes()));
            }
        }
        files
    }

    /// Writes its files into `dir`.
    ///
    /// # Errors
    /// [`AnchorError::Durable`] if a write fails.
    pub fn save(&self, fs: &dyn Fs, dir: &Path) -> Result<(), AnchorError> {
        for (name, bytes) in self.files() {
            durable::write(fs, &dir.join(name), &bytes)?;
        }
        Ok(())
    }

    /// Reads and checks every anchor in `dir` (none if it is absent), sorted by name; a stray or
    /// incomplete set of files is an error.
    ///
    /// # Errors
    /// [`AnchorError`] naming the first fault.
    pub fn load_all(dir: &Path) -> Result<Vec<Self>, AnchorError> {
        let mut sets: BTreeMap<String, BTreeMap<&'static str, Vec<u8>>> = BTreeMap::new();
        let listing = match fs::read_dir(dir) {
            Ok(listing) => listing,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(DurableError::at("list", dir)(e).into()),
        };
        for item in listing {
            let item = item.map_err(DurableError::at("list", dir))?;
            let file = item.file_name().to_string_lossy().into_owned();
            let known = SUFFIXES.iter().find_map(|s| file.strip_suffix(s).map(|stem| (stem, *s)));
            let Some((stem, suffix)) = known else { return Err(AnchorError::Stray(file)) };
            let bytes = durable::read_bounded(&dir.join(&file), FILE_BYTES_MAX)?;
            sets.entry(stem.to_owned()).or_default().insert(suffix, bytes);
            if sets.len() > ANCHORS_MAX {
                return Err(AnchorError::TooMany);
            }
        }
        sets.into_iter().map(|(name, set)| Self::from_files(&name, &set)).collect()
    }

    fn from_files(name: &str, set: &BTreeMap<&'static str, Vec<u8>>) -> Result<Self, AnchorError> {
        let incomplete = || AnchorError::Stray(name.to_owned());
        let text = |suffix: &str| {
            let bytes = set.get(suffix).ok_or_else(incomplete)?;
            std::str::from_utf8(bytes).map_err(|_| incomplete())
        };
        let checkpoint = text(CHECKPOINT_SUFFIX)?;
        match (set.get(STAMP_SUFFIX), set.len()) {
            (Some(response), 2) => Self::time_stamp(name, checkpoint, response),
            (None, 3) => {
                Self::cosignature(name, checkpoint, text(COSIGNATURE_SUFFIX)?, text(VKEY_SUFFIX)?)
            }
            _ => Err(incomplete()),
        }
    }
}

/// Why an anchor is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Not a time-stamp response.
    #[error("not a time-stamp response (RFC 3161): {0}")]
    Form(&'static str),
    /// The authority refused.
    #[error("the time-stamping authority did not grant the stamp (status {0})")]
    NotGranted(u64),
    /// A stamp over something else.
    #[error("the stamp is over {found}, the checkpoint is {wanted}; stamp the file as it is")]
    OtherBytes {
        /// What was stamped.
        found: Digest,
        /// Digest of the checkpoint file.
        wanted: Digest,
    },
    /// The log's own key is no second party.
    #[error("the key of `{0}` signs the log itself; a co-signature needs another party's key")]
    SameKey(String),
    /// A name that cannot be a file name.
    #[error("`{0}` cannot name an anchor; use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// Files that belong to no anchor.
    #[error("`{0}`: not a complete anchor (.checkpoint with .tsr, or with .cosig and .vkey)")]
    Stray(String),
    /// Beyond the limit.
    #[error("more than {ANCHORS_MAX} anchors")]
    TooMany,
    /// The checkpoint, signature line or key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

fn check_name(name: &str) -> Result<(), AnchorError> {
    let ours = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.bytes().all(ours) {
        return Err(AnchorError::Name(name.chars().take(80).collect()));
    }
    Ok(())
}

const CHECKPOINT_SUFFIX: &str = ".checkpoint";
const STAMP_SUFFIX: &str = ".tsr";
const COSIGNATURE_SUFFIX: &str = ".cosig";
const VKEY_SUFFIX: &str = ".vkey";
const SUFFIXES: [&str; 4] = [CHECKPOINT_SUFFIX, STAMP_SUFFIX, COSIGNATURE_SUFFIX, VKEY_SUFFIX];
/// One a day for ten years and some.
const ANCHORS_MAX: usize = 5000;
/// A response with a long certificate chain takes some ten kilobytes.
const FILE_BYTES_MAX: u64 = NOTE_BYTES_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::OsFs;
    use crate::keys::LogKey;
    use crate::note::sign_line;

    const STAMPED: &[u8] = include_bytes!("../tests/data/anchor/checkpoint");
    const RESPONSE: &[u8] = include_bytes!("../tests/data/anchor/checkpoint.tsr");

    #[test]
    fn a_stamp_made_by_openssl_is_read() {
        let checkpoint = std::str::from_utf8(STAMPED).unwrap();
        let anchor = Anchor::time_stamp("day1", checkpoint, RESPONSE).unwrap();
        let Witness::TimeStamp { stamp, .. } = anchor.witness() else { panic!("a stamp") };
        insta::assert_debug_snapshot!(stamp);
        assert!(anchor.describe().contains("not verified by proofmark"), "{}", anchor.describe());
        let dir = tempfile::tempdir().unwrap();
        anchor.save(&OsFs, dir.path()).unwrap();
        assert_eq!(Anchor::load_all(dir.path()).unwrap(), [anchor]);
        fs::write(dir.path().join("day2.tsr"), RESPONSE).unwrap();
        assert!(matches!(Anchor::load_all(dir.path()), Err(AnchorError::Stray(_))));
    }

    #[test]
    fn a_stamp_over_other_bytes_is_refused() {
        let key = LogKey::generate().unwrap();
        let other = Checkpoint { origin: "o".into(), size: 1, root: [0; 32] }.sign(&key).unwrap();
        let error = Anchor::time_stamp("x", &other, RESPONSE).unwrap_err();
        assert!(matches!(error, AnchorError::OtherBytes { .. }), "{error}");
        let checkpoint = std::str::from_utf8(STAMPED).unwrap();
        assert!(matches!(
            Anchor::time_stamp("../x", checkpoint, RESPONSE),
            Err(AnchorError::Name(_))
        ));
    }

    #[test]
    fn no_prefix_or_flip_of_a_response_panics_and_cuts_are_refused() {
        for end in 0..RESPONSE.len() {
            assert!(TimeStamp::parse(&RESPONSE[..end]).is_err(), "{end}");
        }
        for place in 0..RESPONSE.len() {
            for value in [0u8, 0x7f, 0x80, 0xff] {
                let mut changed = RESPONSE.to_vec();
                changed[place] = value;
                let _ = TimeStamp::parse(&changed);
            }
        }
    }

    #[test]
    fn a_cosignature_needs_another_key_and_the_same_text() {
        let (own, second) = (LogKey::generate().unwrap(), LogKey::generate().unwrap());
        let own_verifier = Verifier::new("example.invalid/log", own.public()).unwrap();
        let verifier = Verifier::new("witness.invalid", second.public()).unwrap();
        let checkpoint = Checkpoint { origin: own_verifier.name().into(), size: 3, root: [1; 32] };
        let note = checkpoint.sign(&own).unwrap();
        let line = sign_line("witness.invalid", &second, &checkpoint.text()).unwrap();
        let anchor = Anchor::cosignature("w", &note, &line, &verifier.vkey()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        anchor.save(&OsFs, dir.path()).unwrap();
        assert_eq!(Anchor::load_all(dir.path()).unwrap(), [anchor]);

        let other = sign_line("witness.invalid", &second, "another text\n").unwrap();
        assert!(Anchor::cosignature("w", &note, &other, &verifier.vkey()).is_err());
        for name in [own_verifier.name(), "another.name"] {
            let alias = Verifier::new(name, own.public()).unwrap();
            let line = sign_line(name, &own, &checkpoint.text()).unwrap();
            assert!(matches!(
                Anchor::cosignature("w", &note, &line, &alias.vkey()),
                Err(AnchorError::SameKey(_))
            ));
        }
    }
}
