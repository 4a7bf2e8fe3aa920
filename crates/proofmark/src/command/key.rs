//! `key new|show`: the signing keys of this user.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::Global;
use crate::cli::Format;
use crate::failure::{OrFail, Outcome};
use crate::keyring::{self, Keys};
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Subcommand, Debug)]
enum KeyVerb {
    /// Make a pair of keys, encrypted under a passphrase: asked for, or from the variable
    /// `PROOFMARK_PASSPHRASE`.
    New,
    /// Show public keys and fingerprint.
    Show,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let keys = match args.verb {
        KeyVerb::New => Keys::create()?,
        KeyVerb::Show => Keys::of_user()?,
    };
    let folder = keyring::folder()?;
    let fingerprint = keys.statement.public().fingerprint().hex();
    let statement = keys.statement.public().to_pem().or_fail("key", "")?;
    let log = keys.log.public().to_pem().or_fail("key", "")?;
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.key/1", "folder": folder, "fingerprint": fingerprint,
            "statement": statement, "log": log,
        }));
    } else {
        output::data(&format!(
            "keys in      {}\nfingerprint  {fingerprint}\n\n\
             statement key (ECDSA P-256)\n{statement}\n\
             log key (Ed25519)\n{log}\n\
             Publish the fingerprint where your evidence does not travel: in the declaration of\n\
             conformity, a contract, the EU database entry.\n",
            folder.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
