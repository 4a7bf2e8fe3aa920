//! The signing keys: the user's pair, encrypted, or a throw-away pair for a demo.
//!
//! Owns where keys lie and how the passphrase is asked. Must never print a private key or accept
//! a passphrase as an argument (others could read it in the process list).

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use proofmark_evidence::durable::{self, OsFs};
use proofmark_evidence::keys::{LogKey, Protection, StatementKey};

use crate::failure::{Failure, OrFail, Outcome};

/// A pair of keys.
pub struct Keys {
    /// Signs statements (ECDSA P-256).
    pub statement: StatementKey,
    /// Signs checkpoints (Ed25519).
    pub log: LogKey,
}

impl Keys {
    /// The throw-away pair in `dir`, made at first use; every output says DEMO.
    pub fn demo(dir: &Path) -> Outcome<Self> {
        let (statement, log) = (dir.join(DEMO_STATEMENT), dir.join(DEMO_LOG));
        if !statement.exists() || !log.exists() {
            durable::create_dir_all(&OsFs, dir).or_fail("key", "check the permissions")?;
            StatementKey::generate()
                .and_then(|k| k.into_demo().save(&OsFs, &statement, Protection::Demo))
                .and_then(|()| LogKey::generate())
                .and_then(|k| k.into_demo().save(&OsFs, &log, Protection::Demo))
                .or_fail("key", "remove the half-made DEMO keys and run again")?;
        }
        Self::load(&statement, &log, None)
    }

    /// The user's pair.
    pub fn of_user() -> Outcome<Self> {
        let dir = folder()?;
        let (statement, log) = (dir.join(STATEMENT), dir.join(LOG));
        if !statement.exists() {
            return Err(Failure::new(
                "no-key",
                format!("there is no signing key in `{}`", dir.display()),
                "make one: proofmark key new",
            ));
        }
        Self::load(&statement, &log, Some(&passphrase("passphrase of the signing key: ")?))
    }

    /// Makes the user's pair.
    pub fn create() -> Outcome<Self> {
        let dir = folder()?;
        let (statement, log) = (dir.join(STATEMENT), dir.join(LOG));
        if statement.exists() || log.exists() {
            return Err(Failure::new(
                "key-exists",
                format!("`{}` holds a signing key already; it is not overwritten", dir.display()),
                "move it away first; old evidence stays verifiable with its public part",
            ));
        }
        let secret = passphrase("passphrase for the new signing key: ")?;
        if secret.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(Failure::new(
                "passphrase",
                format!("a passphrase needs at least {PASSPHRASE_CHARS_MIN} characters"),
                "choose a longer one",
            ));
        }
        if std::env::var_os(PASSPHRASE).is_none() && passphrase("the same again: ")? != secret {
            return Err(Failure::new("passphrase", "the two passphrases differ", "try again"));
        }
        durable::create_dir_all(&OsFs, &dir).or_fail("key", "check the permissions")?;
        let pair = Self {
            statement: StatementKey::generate().or_fail("key", "")?,
            log: LogKey::generate().or_fail("key", "")?,
        };
        let how = Protection::Passphrase(&secret);
        pair.statement.save(&OsFs, &statement, how).or_fail("key", "check the permissions")?;
        pair.log.save(&OsFs, &log, how).or_fail("key", "check the permissions")?;
        Ok(pair)
    }

    fn load(statement: &Path, log: &Path, secret: Option<&str>) -> Outcome<Self> {
        let help = "check the passphrase and the file";
        Ok(Self {
            statement: StatementKey::load(statement, secret).or_fail("key", help)?,
            log: LogKey::load(log, secret).or_fail("key", help)?,
        })
    }
}

/// The folder of the user's keys.
pub fn folder() -> Outcome<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    config.map(|c| c.join("proofmark").join("keys")).ok_or_else(|| {
        Failure::new("no-home", "there is no home folder for the keys", "set XDG_CONFIG_HOME")
    })
}

fn passphrase(prompt: &str) -> Outcome<String> {
    if let Ok(secret) = std::env::var(PASSPHRASE) {
        return Ok(secret);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "passphrase",
            "the signing key needs a passphrase and there is no terminal to ask on",
            format!("set {PASSPHRASE} in the environment of this one command"),
        ));
    }
    rpassword::prompt_password(prompt).or_fail("passphrase", "try again")
}

const STATEMENT: &str = "statement.pem";
const LOG: &str = "log.pem";
const DEMO_STATEMENT: &str = "DEMO-statement.pem";
const DEMO_LOG: &str = "DEMO-log.pem";
/// The one secret taken from the environment.
const PASSPHRASE: &str = "PROOFMARK_PASSPHRASE";
/// Short ones fall to a dictionary in minutes even behind a slow derivation.
const PASSPHRASE_CHARS_MIN: usize = 12;
