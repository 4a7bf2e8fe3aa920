//! `guard key new|list|revoke`: API keys. A key is printed once, only its digest is kept.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use proofmark_evidence::durable::{self, OsFs};
use proofmark_server::guard::KEYS_NAME;
use proofmark_server::keys::{KeyFile, NewKey, Scope};
use serde_json::json;

use super::Place;
use super::setup::Setup;
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{clock, output};

/// What is done with keys.
#[derive(Subcommand, Debug)]
pub enum KeyVerb {
    /// Make a key; it is printed once and cannot be shown again.
    New {
        #[command(flatten)]
        place: Place,
        /// What it opens.
        #[arg(long, value_enum, default_values_t = [ScopeArg::Score])]
        scope: Vec<ScopeArg>,
        /// How long it is good, in days, e.g. `90d`.
        #[arg(long, default_value = "90d", value_parser = days)]
        expires: u32,
        /// Who holds it, in words.
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys: ids, scopes, ends; never the keys themselves.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Take a key back; a running guard refuses it within a second.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Id of the key, as listed.
        id: String,
    },
}

/// A scope on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Scores, and metadata.
    Score,
    /// Health and metadata of the protocol only.
    Metadata,
}

/// Runs the verb.
pub fn run(verb: &KeyVerb, global: Global) -> Outcome<ExitCode> {
    match verb {
        KeyVerb::New { place, scope, expires, label } => {
            new(place, scope, *expires, label.clone(), global)
        }
        KeyVerb::List { place } => list(place, global),
        KeyVerb::Revoke { place, id } => revoke(place, id, global),
    }
}

fn new(
    place: &Place,
    scope: &[ScopeArg],
    days: u32,
    label: Option<String>,
    global: Global,
) -> Outcome<ExitCode> {
    let setup = Setup::load(&place.path())?;
    let mut scopes: Vec<Scope> = scope.iter().map(|s| s.scope()).collect();
    scopes.sort();
    scopes.dedup();
    let expires = clock::in_days(days);
    let expires = expires.ok_or_else(|| {
        Failure::new("key-expiry", format!("{days} days are too many"), "choose fewer")
    })?;
    let (path, mut file) = open(&setup)?;
    let key = NewKey::generate(scopes, label, clock::now(), expires).or_fail("guard-keys", "")?;
    file.keys.push(key.record.clone());
    file.save(&OsFs, &path).or_fail("guard-keys", PERMISSIONS)?;
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.guard-key/1", "id": key.record.id, "key": key.text,
            "scopes": key.record.scopes, "expires": key.record.expires,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    output::data(&format!("{}\n", key.text));
    output::note(
        global.quiet,
        &format!(
            "key {} opens {} until {}; it is shown this once, only its digest is kept",
            key.record.id,
            words(&key.record.scopes),
            key.record.expires
        ),
    );
    Ok(ExitCode::SUCCESS)
}

fn list(place: &Place, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&place.path())?;
    let (_, file) = open(&setup)?;
    if global.format == Format::Json {
        let keys = file.keys.iter().map(|k| {
            json!({
                "id": k.id, "scopes": k.scopes, "label": k.label, "created": k.created,
                "expires": k.expires, "revoked": k.revoked,
            })
        });
        let keys: Vec<_> = keys.collect();
        output::json(&json!({"format": "proofmark.guard-key-list/1", "keys": keys}));
        return Ok(ExitCode::SUCCESS);
    }
    let now = clock::now();
    for key in &file.keys {
        let state = match &key.revoked {
            Some(when) => format!("revoked {when}"),
            None if key.expires <= now => format!("expired {}", key.expires),
            None => format!("until {}", key.expires),
        };
        let label = key.label.as_deref().unwrap_or("");
        output::data(&format!("{}  {:<16}  {state}  {label}\n", key.id, words(&key.scopes)));
    }
    if file.keys.is_empty() {
        output::note(global.quiet, "no keys; make one: proofmark guard key new --scope score");
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(place: &Place, id: &str, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&place.path())?;
    let (path, mut file) = open(&setup)?;
    let now = clock::now();
    let Some(key) = file.key_mut(id) else {
        let words = format!("no key has the id `{id}`");
        return Err(Failure::new("no-such-key", words, "`proofmark guard key list` shows them"));
    };
    let when = key.revoked.get_or_insert(now).clone();
    file.save(&OsFs, &path).or_fail("guard-keys", PERMISSIONS)?;
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.guard-key/1", "id": id, "revoked": when}));
    } else {
        output::data(&format!("key {id} revoked {when}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn open(setup: &Setup) -> Outcome<(std::path::PathBuf, KeyFile)> {
    durable::create_dir_all(&OsFs, &setup.dir()).or_fail("guard-keys", PERMISSIONS)?;
    let path = setup.dir().join(KEYS_NAME);
    let file = KeyFile::load(&path).or_fail("guard-keys", "restore the key file")?;
    Ok((path, file))
}

impl ScopeArg {
    fn scope(self) -> Scope {
        match self {
            Self::Score => Scope::Score,
            Self::Metadata => Scope::Metadata,
        }
    }
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ")
}

/// `90d` or `90`: days.
fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    match number.parse::<u32>() {
        Ok(days) if (1..=DAYS_MAX).contains(&days) => Ok(days),
        _ => Err(format!("write days, 1d to {DAYS_MAX}d, e.g. 90d")),
    }
}

const PERMISSIONS: &str = "check the permissions of `.proofmark/guard`";
/// Ten years; a key that lives longer is never looked at again.
const DAYS_MAX: u32 = 3_650;
