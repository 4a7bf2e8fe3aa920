//! The evidence pack: a folder that carries its own proof.
//!
//! Owns the layout, the manifest and its signature, and [`verify_pack`]. Must never decide what a
//! measurement means. Called by `assess`, which fills a pack, and by the command line.
//!
//! ```text
//! report.html                      the document; figures in <span data-fact="ID">text</span>
//! papers/ID.{html,pdf,facts.json}  papers of the same figures; the page is held against facts
//! signatures/                      signatures of persons on papers, with what they signed
//! data/*.json                      facts.json and what else the report was made from
//! attestations/NAME.sigstore.json  signed statements
//! proofs/NAME.tlog-proof           where each statement stands in the log
//! log/                             a copy of the log: checkpoint and tiles
//! keys/                            statement.pub.pem, log.pub.pem, log.vkey
//! anchors/                         what second parties gave for checkpoints
//! artefacts/SHA256                 content, only when asked for
//! verify.sh, VERIFY.txt            how to check without this program
//! MANIFEST                         digest of every file above
//! MANIFEST.sigstore.json           signed statement about MANIFEST
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::VERIFY_SH;
use crate::anchor::{Anchor, AnchorError};
use crate::canonical::CanonicalError;
use crate::digest::Digest;
use crate::dsse::{Bundle, DsseError};
use crate::durable::{self, DurableError, Fs, OsFs};
use crate::keys::{KeyError, StatementKey};
use crate::log::{Log, LogError};
use crate::note::Verifier;
use crate::statement::Statement;

pub mod facts;
mod manifest;
mod order;
mod verify;

pub use facts::{Fact, FactError};
pub use verify::{AnchorNote, Check, PackReport, verify_pack};

/// Predicate type of the statement about MANIFEST.
pub const PACK_PREDICATE: &str = "urn:proofmark:predicate:pack:v1";

/// A pack being filled.
#[derive(Debug)]
pub struct PackWriter {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
}

/// A finished pack.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// SHA-256 of MANIFEST.
    pub manifest: Digest,
    /// SHA-256 of the statement about it: what a `pack` entry in the log names.
    pub statement: Digest,
    /// The signed statement, as it lies in the pack.
    pub bundle: Bundle,
}

impl PackWriter {
    /// Begins a pack in `dir`, which must be absent or empty.
    ///
    /// # Errors
    /// [`PackError::NotEmpty`] if something is there.
    pub fn create(dir: &Path) -> Result<Self, PackError> {
        Self::create_on(Arc::new(OsFs), dir)
    }

    /// As [`PackWriter::create`], on a given file system.
    ///
    /// # Errors
    /// As [`PackWriter::create`].
    pub fn create_on(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, PackError> {
        durable::create_dir_all(fs.as_ref(), dir)?;
        let mut listing = fs::read_dir(dir).map_err(DurableError::at("list", dir))?;
        if listing.next().is_some() {
            return Err(PackError::NotEmpty(dir.to_owned()));
        }
        Ok(Self { dir: dir.to_owned(), fs })
    }

    /// Writes `report.html`.
    ///
    /// # Errors
    /// [`PackError::Durable`] if a write fails.
    pub fn report(&self, html: &str) -> Result<(), PackError> {
        self.write(REPORT, html.as_bytes())
    }

    /// Writes `data/NAME`, e.g. `plan.json`.
    ///
    /// # Errors
    /// [`PackError`] if the name cannot be used or a write fails.
    pub fn data(&self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        self.write(&format!("data/{}", checked(name)?), bytes)
    }

    /// Writes a file of a paper: `papers/NAME`. A page `ID.html` must come with its
    /// `ID.facts.json`, which the verifier holds against it.
    ///
    /// # Errors
    /// [`PackError`] if the name cannot be used or a write fails.
    pub fn paper(&self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        self.write(&format!("{PAPERS}/{}", checked(name)?), bytes)
    }

    /// Writes what belongs to a person's signature: `signatures/NAME`.
    ///
    /// # Errors
    /// [`PackError`] if the name cannot be used or a write fails.
    pub fn signature(&self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        self.write(&format!("signatures/{}", checked(name)?), bytes)
    }

    /// Writes `data/facts.json`.
    ///
    /// # Errors
    /// [`PackError`] if a fact is not fit for a report or a write fails.
    pub fn facts(&self, facts: &facts::Facts) -> Result<(), PackError> {
        self.data("facts.json", &facts::to_json(facts)?)
    }

    /// Writes `attestations/NAME.sigstore.json` and its proof, from entry `index` of `log`.
    ///
    /// # Errors
    /// [`PackError`] if the entry is not about this statement, the name cannot be used or a write
    /// fails.
    pub fn attestation(
        &self,
        name: &str,
        bundle: &Bundle,
        log: &Log,
        index: u64,
    ) -> Result<(), PackError> {
        let name = checked(name)?;
        let proof = log.proof(index)?;
        let entry = crate::entry::Entry::parse(&proof.leaf).ok();
        if entry.and_then(|entry| entry.statement) != Some(bundle.statement_digest()?) {
            return Err(PackError::OtherEntry { name: name.to_owned(), index });
        }
        self.write(&format!("attestations/{name}{BUNDLE_SUFFIX}"), &bundle.to_json()?)?;
        self.write(&format!("proofs/{name}{PROOF_SUFFIX}"), proof.to_text().as_bytes())
    }

    /// Writes `proofs/NAME.tlog-proof` of an entry without a statement, e.g. a run-start.
    ///
    /// # Errors
    /// [`PackError`] if the name cannot be used or a write fails.
    pub fn proof(&self, name: &str, log: &Log, index: u64) -> Result<(), PackError> {
        let text = log.proof(index)?.to_text();
        self.write(&format!("proofs/{}{PROOF_SUFFIX}", checked(name)?), text.as_bytes())
    }

    /// Copies the log; it must be the one, at the size, the proofs were made from.
    ///
    /// # Errors
    /// [`PackError`] if the log is damaged or a write fails.
    pub fn log(&self, log: &Log) -> Result<(), PackError> {
        Ok(log.export(self.fs.as_ref(), &self.dir.join("log"))?)
    }

    /// Writes an anchor's files.
    ///
    /// # Errors
    /// [`PackError`] if a write fails.
    pub fn anchor(&self, anchor: &Anchor) -> Result<(), PackError> {
        Ok(anchor.save(self.fs.as_ref(), &self.dir.join("anchors"))?)
    }

    /// Writes `artefacts/SHA256` and returns the digest.
    ///
    /// # Errors
    /// [`PackError`] if a write fails.
    pub fn artefact(&self, bytes: &[u8]) -> Result<Digest, PackError> {
        let digest = Digest::of(bytes);
        self.write(&format!("artefacts/{digest}"), bytes)?;
        Ok(digest)
    }

    /// Adds keys and verifier, then writes and signs MANIFEST. `predicate` says what the pack is
    /// (system, version, time …); `demo` is added to it when the key is a throw-away one.
    ///
    /// # Errors
    /// [`PackError`] if the predicate is no object or a write fails.
    pub fn seal(
        self,
        key: &StatementKey,
        log_verifier: &Verifier,
        predicate: Value,
    ) -> Result<Sealed, PackError> {
        let Value::Object(mut predicate) = predicate else { return Err(PackError::Predicate) };
        predicate.insert("demo".to_owned(), Value::Bool(key.is_demo()));
        let fingerprint = key.public().fingerprint();
        self.write(STATEMENT_KEY, key.public().to_pem()?.as_bytes())?;
        self.write(LOG_KEY, log_verifier.key().to_pem()?.as_bytes())?;
        self.write(LOG_VKEY, format!("{}\n", log_verifier.vkey()).as_bytes())?;
        self.write("verify.sh", VERIFY_SH.as_bytes())?;
        self.write("VERIFY.txt", INSTRUCTIONS.as_bytes())?;
        let listed = manifest::survey(&self.dir)?;
        let manifest = manifest::write(&self.dir, &listed)?;
        self.write(MANIFEST, manifest.as_bytes())?;
        let digest = Digest::of(manifest.as_bytes());
        let statement =
            Statement::new(PACK_PREDICATE, Value::Object(predicate)).subject(MANIFEST, digest);
        let bundle = Bundle::sign(&statement, key)?;
        debug_assert_eq!(bundle.key_hint(), fingerprint.hex());
        self.write(MANIFEST_BUNDLE, &bundle.to_json()?)?;
        Ok(Sealed { manifest: digest, statement: bundle.statement_digest()?, bundle })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        Ok(durable::write(self.fs.as_ref(), &self.dir.join(name), bytes)?)
    }
}

/// Why a pack cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something is there already.
    #[error("`{}` is not empty; a pack needs a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    /// A name that cannot be a file name.
    #[error("`{0}` cannot name a file of a pack; use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// The log entry is about something else.
    #[error("entry {index} of the log is not about the statement `{name}`")]
    OtherEntry {
        /// The attestation.
        name: String,
        /// The entry.
        index: u64,
    },
    /// The predicate of a pack is a JSON object.
    #[error("the description of a pack must be a JSON object")]
    Predicate,
    /// Not a plain tree of files, or beyond a limit.
    #[error("the pack: {0}")]
    Layout(String),
    /// A fact that is not fit for a report.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// No canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A statement or bundle.
    #[error(transparent)]
    Dsse(#[from] DsseError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An anchor.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

fn checked(name: &str) -> Result<&str, PackError> {
    if manifest::is_plain_name(name) {
        Ok(name)
    } else {
        Err(PackError::Name(name.chars().take(80).collect()))
    }
}

const REPORT: &str = "report.html";
const PAPERS: &str = "papers";
const FACTS_SUFFIX: &str = ".facts.json";
const MANIFEST: &str = "MANIFEST";
const MANIFEST_BUNDLE: &str = "MANIFEST.sigstore.json";
const STATEMENT_KEY: &str = "keys/statement.pub.pem";
const LOG_KEY: &str = "keys/log.pub.pem";
const LOG_VKEY: &str = "keys/log.vkey";
const BUNDLE_SUFFIX: &str = ".sigstore.json";
const PROOF_SUFFIX: &str = ".tlog-proof";
const INSTRUCTIONS: &str = include_str!("../assets/VERIFY.txt");
