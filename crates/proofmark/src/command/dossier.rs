//! `dossier`: the report and the evidence pack of a run.

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::assessment::{Assessment, load};
use proofmark_assess::dossier::{DossierOptions, dossier};
use proofmark_assess::history::history;
use proofmark_assess::register::Register;
use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use serde_json::json;

use super::Global;
use super::assess::tool;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::State;
use crate::{clock, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Folder that is written; it must not exist, or hold an older dossier.
    #[arg(long)]
    out: PathBuf,
    /// Run; the last one that ended by default.
    #[arg(long, default_value = LATEST)]
    run: String,
    /// Put rows and witnesses into the pack as well. They can be personal data.
    #[arg(long)]
    with_rows: bool,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let project = Project::load(&args.dir)?;
    let state = State::of(&project);
    state.log()?;
    let keys = state.keys()?;
    let log_key = keys.log.public();
    let (mut log, key) = state.log_for_writing(keys)?;
    let store = state.store();
    let assessment = assessment(&log, &store, &args.run)?;
    let anchors = Anchor::load_all(&state.anchors_dir())
        .or_fail("anchor", "remove what is damaged from `.proofmark/anchors`")?;
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let options = DossierOptions { with_rows: args.with_rows, log_key, anchors };
    let report = dossier(&mut register, &project.system, &assessment, &args.out, &options)
        .or_fail("dossier", "name another folder with --out, or mend what is named above")?;
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.dossier/1", "out": report.dir, "run": report.run,
            "facts": report.facts, "artefacts": report.artefacts, "withheld": report.withheld,
            "erased": report.erased, "manifest": report.manifest.hex(),
            "signer": report.signer.hex(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let out = args.out.display();
    output::data(&format!(
        "{} of {}: {} figures tied to signed statements\n\
         report     {out}/report.html\n\
         check      proofmark verify {out}    or    sh {out}/verify.sh\n\
         signer     {}\n",
        if report.replaced { "dossier (replaced the older one)" } else { "dossier" },
        report.run,
        report.facts,
        report.signer.hex()
    ));
    if report.withheld > 0 {
        output::note(
            global.quiet,
            &format!(
                "{} files with rows or witnesses were left out (--with-rows)",
                report.withheld
            ),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The run of that name, or the last one that ended.
pub fn assessment(log: &Log, store: &Store, name: &str) -> Outcome<Assessment> {
    let help = "`proofmark log list` shows the runs";
    let run = if name == LATEST {
        let runs = history(log, store).or_fail("history", "run `proofmark log fsck`")?;
        let last = runs.into_iter().rev().find(|r| r.ended.is_some());
        last.map(|r| r.run).ok_or_else(|| {
            Failure::new("no-run", "no run has ended yet", "run `proofmark assess` first")
        })?
    } else {
        name.to_owned()
    };
    load(log, store, &run).or_fail("run", help)
}

/// Stands for the last run that ended.
pub const LATEST: &str = "latest";
