//! `artefact erase`: remove stored rows or witnesses; a tombstone is logged.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::Bundle;
use serde_json::json;

use super::Global;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;
use crate::project::Project;
use crate::state::State;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: ArtefactVerb,
}

#[derive(Subcommand, Debug)]
enum ArtefactVerb {
    /// Erase an artefact; its digest and the reason stay in the log.
    Erase {
        /// SHA-256 of the artefact.
        digest: String,
        /// Why; logged for ever, so name no person.
        #[arg(long)]
        reason: String,
        /// Folder of the declaration.
        #[arg(short = 'C', default_value = ".")]
        dir: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let ArtefactVerb::Erase { digest, reason, dir } = &args.verb;
    let digest: Digest = digest.parse().or_fail("digest", "a SHA-256 has 64 hexadecimal digits")?;
    if reason.trim().is_empty() {
        return Err(Failure::new("reason", "the reason is empty", "say why it is erased"));
    }
    let state = State::of(&Project::load(dir)?);
    state.log()?;
    let bytes =
        state.store().open(&digest).or_fail("erase", "`proofmark log list` shows what there is")?;
    if Bundle::parse(&bytes).is_ok() {
        return Err(Failure::new(
            "erase",
            "this is a signed statement: it holds no rows, and without it no run can be told",
            "erase the rows or witnesses that the statement lists under `artefacts`",
        ));
    }
    let (mut log, _) = state.log_for_writing(state.keys()?)?;
    let erasure = state
        .store()
        .erase(&digest, reason)
        .or_fail("erase", "`proofmark log list` shows what there is")?;
    let leaf =
        erasure.entry(&crate::clock::now()).to_leaf().or_fail("erase", "shorten the reason")?;
    let receipt = log.append(&[leaf]).or_fail("log", "run `proofmark log fsck`")?;
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.erasure/1", "artefact": digest.hex(),
            "entry": receipt.first_index}));
    } else {
        output::data(&format!("erased {}; entry {} says so\n", digest.hex(), receipt.first_index));
    }
    Ok(ExitCode::SUCCESS)
}
