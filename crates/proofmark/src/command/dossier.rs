//! `dossier`: the report, the papers and the evidence pack of a run; `dossier sign` imports a
//! person's signature on a paper.

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::assessment::{Assessment, load};
use proofmark_assess::dossier::{DossierOptions, DossierReport, PapersWith, Press, dossier};
use proofmark_assess::history::history;
use proofmark_assess::register::Register;
use proofmark_assess::standing::Present;
use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use serde_json::{Value, json};

use super::Global;
use super::assess::tool;
use super::risk::desk;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::State;
use crate::{clock, output};

mod press;
mod sign;

use press::Worker;

/// Arguments.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    write: Write,
}

/// What else can be done.
#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Import a person's signature on a paper: verified, logged, shown in the next dossier.
    Sign(sign::Args),
}

/// Arguments of writing.
#[derive(clap::Args, Debug)]
struct Write {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Folder that is written; it must not exist, or hold an older dossier.
    #[arg(long, required = true)]
    out: Option<PathBuf>,
    /// Run; the last one that ended by default.
    #[arg(long, default_value = LATEST)]
    run: String,
    /// Put rows and witnesses into the pack as well. They can be personal data.
    #[arg(long)]
    with_rows: bool,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.command {
        Some(Command::Sign(args)) => sign::run(args, global),
        None => write(&args.write, global),
    }
}

fn write(args: &Write, global: Global) -> Outcome<ExitCode> {
    let Some(out) = &args.out else {
        return Err(Failure::new("no-folder", "no folder is named", "name one with --out"));
    };
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
    let (world, assets) = (desk::world(&project, &state, &log, &store)?, desk::digests(&project)?);
    let (now, time) = (clock::now, clock::now());
    let worker = Worker::find(global.quiet);
    let papers = PapersWith {
        world: &world,
        present: Present { system: &project.system, assets: &assets, now: &time },
        press: worker.as_ref().map(|w| w as &dyn Press).map_err(String::as_str),
    };
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let options =
        DossierOptions { with_rows: args.with_rows, log_key, anchors, papers: Some(papers) };
    let report = dossier(&mut register, &project.system, &assessment, out, &options)
        .or_fail("dossier", "name another folder with --out, or mend what is named above")?;
    if global.format == Format::Json {
        output::json(&as_json(&report));
        return Ok(ExitCode::SUCCESS);
    }
    output::data(&as_text(&report));
    if report.withheld > 0 {
        let line =
            format!("{} files with rows or witnesses were left out (--with-rows)", report.withheld);
        output::note(global.quiet, &line);
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(report: &DossierReport) -> Value {
    let paper = |p: &proofmark_assess::dossier::PaperReport| {
        json!({
            "id": p.id, "title": p.title, "gaps": p.gaps, "stale": p.stale, "facts": p.facts,
            "pdf": p.pdf.as_ref().ok().map(|d| d.hex()), "no_pdf": p.pdf.as_ref().err(),
        })
    };
    let papers: Vec<Value> = report.papers.iter().map(paper).collect();
    json!({
        "format": "proofmark.dossier/1", "out": report.dir, "run": report.run,
        "facts": report.facts, "artefacts": report.artefacts, "withheld": report.withheld,
        "erased": report.erased, "manifest": report.manifest.hex(),
        "signer": report.signer.hex(), "papers": papers,
    })
}

fn as_text(report: &DossierReport) -> String {
    let out = report.dir.display();
    let title = if report.replaced { "dossier (replaced the older one)" } else { "dossier" };
    let mut text = format!(
        "{title} of {}: {} figures tied to signed statements\n\
         report     {out}/report.html\n",
        report.run, report.facts
    );
    for paper in &report.papers {
        let endings = if paper.pdf.is_ok() { "html, pdf" } else { "html" };
        let mut marks = vec![format!("{} gaps", paper.gaps)];
        if !paper.stale.is_empty() {
            marks.push(format!("STALE: {}", paper.stale.join(", ")));
        }
        let file = format!("{out}/papers/{}.{{{endings}}}", paper.id);
        text.push_str(&format!("paper      {file}  {}\n", marks.join("; ")));
    }
    let mut why: Vec<&str> =
        report.papers.iter().filter_map(|p| p.pdf.as_ref().err().map(String::as_str)).collect();
    why.dedup();
    for why in why {
        text.push_str(&format!("no PDF     {why}\n"));
    }
    text.push_str(&format!(
        "check      proofmark verify {out}    or    sh {out}/verify.sh\n\
         signer     {}\n",
        report.signer.hex()
    ));
    text
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
