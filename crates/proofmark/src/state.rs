//! The folder `.proofmark` of a system: log, artefact store, unfinished runs.
//!
//! Owns where evidence lies and how it is opened. Must never write there by itself: the log and
//! the store do, durably.

use std::path::{Path, PathBuf};

use proofmark_evidence::durable::OsFs;
use proofmark_evidence::keys::LogPublicKey;
use proofmark_evidence::log::{CHECKPOINT_NAME, Log};
use proofmark_evidence::note::Verifier;
use proofmark_evidence::rowkey::RowKey;
use proofmark_evidence::store::Store;

use crate::failure::{Failure, OrFail, Outcome};
use crate::keyring::Keys;
use crate::project::Project;

/// Where the evidence of a system lies.
pub struct State {
    dir: PathBuf,
    origin: String,
    demo: bool,
}

impl State {
    /// The state of a declared system.
    pub fn of(project: &Project) -> Self {
        let name = &project.system.name;
        let demo = project.system.demo;
        let origin =
            if demo { format!("proofmark/DEMO/{name}") } else { format!("proofmark/{name}") };
        Self { dir: project.dir.join(FOLDER), origin, demo }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of the log.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Folder of imported anchors.
    pub fn anchors_dir(&self) -> PathBuf {
        self.dir.join("anchors")
    }

    /// Folder of rows kept for unfinished runs.
    pub fn runs_dir(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// The artefact store.
    pub fn store(&self) -> Store {
        Store::new(&self.dir.join("artefacts"))
    }

    /// Secret under which row digests are keyed, made at first use.
    pub fn row_key(&self) -> Outcome<RowKey> {
        RowKey::load_or_create(&OsFs, &self.dir.join("keys").join("rows.key"))
            .or_fail("row-key", "check the permissions of `.proofmark/keys`")
    }

    /// Keys for this system: a throw-away pair for a demo, the user's pair otherwise.
    pub fn keys(&self) -> Outcome<Keys> {
        if self.demo { Keys::demo(&self.dir.join("keys")) } else { Keys::of_user() }
    }

    /// The log, for appending; made at first use.
    pub fn log_for_writing(
        &self,
        keys: Keys,
    ) -> Outcome<(Log, proofmark_evidence::keys::StatementKey)> {
        let dir = self.log_dir();
        let public = keys.log.public();
        let log = if dir.join(CHECKPOINT_NAME).exists() {
            self.is_ours(&self.log()?, &public)?;
            Log::open_writer(&dir, keys.log)
        } else {
            Log::create(&dir, &self.origin, keys.log)
        }
        .or_fail(
            "log",
            "run `proofmark log fsck`; if another proofmark is at work here, wait for it",
        )?;
        self.keep_public(&public)?;
        Ok((log, keys.statement))
    }

    /// Whether evidence was ever logged here.
    pub fn has_log(&self) -> bool {
        self.log_dir().join(CHECKPOINT_NAME).exists()
    }

    /// The log, for reading.
    pub fn log(&self) -> Outcome<Log> {
        let dir = self.log_dir();
        if !dir.join(CHECKPOINT_NAME).exists() {
            return Err(Failure::new(
                "no-evidence",
                format!("there is no evidence in `{}` yet", self.dir.display()),
                "run `proofmark assess` first",
            ));
        }
        Log::open(&dir).or_fail("log", "run `proofmark log fsck` to see what is wrong")
    }

    /// Verifier of the checkpoints, from the public key kept beside the log.
    pub fn verifier(&self) -> Outcome<Verifier> {
        let path = self.dir.join("keys").join(LOG_VKEY);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(
                "log-key",
                format!("cannot read `{}`: {error}", path.display()),
                "name the public key of the log with --vkey",
            )
        })?;
        Verifier::parse(text.trim()).or_fail("log-key", "the file holds one line, name+id+key")
    }

    /// The log was begun for this system and with this key; another would only break it.
    fn is_ours(&self, log: &Log, public: &LogPublicKey) -> Outcome<()> {
        if log.origin() != self.origin {
            return Err(Failure::new(
                "other-system",
                format!("the log here belongs to `{}`, not to `{}`", log.origin(), self.origin),
                "give `name` and `demo` back their values, or move `.proofmark` away: a new log \
                 begins then, and the old one stays verifiable where it is",
            ));
        }
        let own = Verifier::new(&self.origin, *public).map(|v| v.vkey());
        match (self.verifier(), own) {
            (Ok(kept), Ok(own)) if kept.vkey() != own => Err(Failure::new(
                "other-key",
                "the log here was begun with another signing key",
                "bring that key back (`proofmark key show` names the folder), or move \
                 `.proofmark` away: a new log begins then",
            )),
            _ => Ok(()),
        }
    }

    fn keep_public(&self, public: &LogPublicKey) -> Outcome<()> {
        let verifier = Verifier::new(&self.origin, *public)
            .or_fail("log-key", "rename the system: its name is part of the log's origin")?;
        let path = self.dir.join("keys").join(LOG_VKEY);
        let line = format!("{}\n", verifier.vkey());
        if std::fs::read_to_string(&path).is_ok_and(|old| old == line) {
            return Ok(());
        }
        proofmark_evidence::durable::create_dir_all(&OsFs, &self.dir.join("keys"))
            .and_then(|()| proofmark_evidence::durable::write(&OsFs, &path, line.as_bytes()))
            .or_fail("log-key", "check the permissions of `.proofmark/keys`")
    }
}

/// Folder beside the declaration.
pub const FOLDER: &str = ".proofmark";
const LOG_VKEY: &str = "log.vkey";
