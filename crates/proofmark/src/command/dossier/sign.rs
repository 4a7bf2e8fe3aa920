//! `dossier sign`: imports a person's signature on a paper of a dossier.
//!
//! Owns the reading of the files that are named. Must never sign: it verifies what a person made
//! with their own key, and logs it.

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::papers;
use proofmark_assess::register::Register;
use proofmark_assess::signature::{Chain, Import, import};
use serde_json::json;

use super::super::Global;
use super::super::assess::tool;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::State;
use crate::{assets, clock, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Dossier that holds the signed paper.
    #[arg(long)]
    pack: PathBuf,
    /// Paper that was signed, e.g. `test-report`.
    #[arg(long)]
    paper: String,
    /// Person who signed, as declared: `people.<id>`.
    #[arg(long)]
    person: String,
    /// The person's certificate, PEM or DER.
    #[arg(long)]
    certificate: PathBuf,
    /// The detached signature over the PDF: CMS (`.p7s`), or the bare bytes (`.sig`).
    #[arg(long)]
    signature: PathBuf,
    /// Certificates of authorities, PEM: the certificate must lead to one of them.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    if papers::named(&args.paper).is_none() {
        let known: Vec<&str> = papers::PAPERS.iter().map(|k| k.id).collect();
        let message = format!("there is no paper `{}`", args.paper);
        return Err(Failure::new("no-paper", message, format!("papers: {}", known.join(", "))));
    }
    let project = Project::load(&args.dir)?;
    let path = args.pack.join("papers").join(format!("{}.pdf", args.paper));
    let file = assets::read_limited(&path, FILE_BYTES_MAX)?;
    let certificate = assets::read_limited(&args.certificate, KEY_BYTES_MAX)?;
    let signature = assets::read_limited(&args.signature, KEY_BYTES_MAX)?;
    let authorities =
        args.ca.as_ref().map(|path| assets::read_limited(path, KEY_BYTES_MAX)).transpose()?;
    let state = State::of(&project);
    state.log()?;
    let keys = state.keys()?;
    let (mut log, key) = state.log_for_writing(keys)?;
    let store = state.store();
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let request = Import {
        paper: &args.paper,
        file: &file,
        person: &args.person,
        certificate: &certificate,
        signature: &signature,
        authorities: authorities.as_deref(),
    };
    let logged = import(&mut register, &project.system, &request).or_fail(
        "signature",
        "nothing was logged; docs/papers.md shows how to sign with openssl",
    )?;
    let said = &logged.said;
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.signature/1", "index": logged.index, "time": logged.time,
            "statement": logged.stored.statement.hex(), "paper": said.paper, "file": said.file,
            "person": said.person.id, "form": said.form, "algorithm": said.algorithm,
            "subject": said.subject, "issuer": said.issuer, "certificate": said.certificate,
            "signing_time": said.signing_time, "chain": said.chain,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let chain = match &said.chain {
        Chain::Unchecked => "not checked (--ca); only its dates were".to_owned(),
        Chain::Verified { authority, .. } => format!("leads to {authority}"),
    };
    output::data(&format!(
        "signature  {} by {}, {}: verified and logged as entry {}\n\
         file       {}\n\
         algorithm  {} ({})\n\
         by         {}\n\
         issued by  {}\n\
         chain      {chain}; whether the certificate was withdrawn was not checked\n\
         next       proofmark dossier -C {} --out {}\n",
        said.paper,
        said.person.name,
        said.person.role,
        logged.index,
        said.file,
        said.algorithm,
        said.form,
        said.subject,
        said.issuer,
        args.dir.display(),
        args.pack.display(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// As large as the worker may write.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Certificates and signatures are some kilobytes.
const KEY_BYTES_MAX: u64 = 1 << 20;
