//! `engine list` and `engine fetch`: the engines of this machine, and how ONNX Runtime gets here.
//!
//! Owns the arguments and what is printed; the finding is [`crate::onnxruntime`]'s.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use proofmark_engine::engine::EngineKind;
use proofmark_engine::onnxruntime as runtime;
use serde_json::{Value, json};

use super::Global;
use crate::cli::Format;
use crate::failure::Outcome;
use crate::onnxruntime::fetch::{self, Pin, VERSION};
use crate::onnxruntime::{self, Candidate, Place, Search};
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: EngineVerb,
}

#[derive(Subcommand, Debug)]
enum EngineVerb {
    /// The engines of this machine, which one `auto` takes, and where ONNX Runtime was looked for.
    List,
    /// Fetch the pinned library of ONNX Runtime with pip and keep it in the cache folder.
    Fetch(FetchArgs),
}

#[derive(clap::Args, Debug)]
struct FetchArgs {
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// The Python whose pip downloads.
    #[arg(long, default_value = "python3")]
    python: OsString,
    /// Unpack this wheel instead of downloading one; it must have the pinned hash.
    #[arg(long, value_name = "FILE.whl")]
    wheel: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        EngineVerb::List => list(global),
        EngineVerb::Fetch(args) => fetch(args, global),
    }
}

fn list(global: Global) -> Outcome<ExitCode> {
    // Loading it is the one proof that it works.
    onnxruntime::prepare(EngineKind::Auto, true)?;
    let search = Search::here()?;
    let chosen = EngineKind::Auto.facts().name;
    if global.format == Format::Json {
        let engines: Vec<Value> = ENGINES.iter().map(|&(kind, _)| engine(kind, &chosen)).collect();
        let searched: Vec<Value> = search.candidates.iter().map(place).collect();
        output::json(&json!({
            "format": "proofmark.engines/1", "engines": engines, "searched": searched,
            "off": search.off.map(|place| place.key()),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, note) in ENGINES {
        let facts = kind.facts();
        let mark = if facts.name == chosen { "*" } else { " " };
        output::data(&format!("{mark} {:<14} {:<10} {note}\n", facts.name, facts.version));
    }
    output::data(&format!("* = taken by `auto`; cpu features: {}\n", EngineKind::Rten.facts().cpu));
    let found = search.candidates.iter().any(|candidate| candidate.path.is_some());
    let here = |c: &Candidate| c.place == Place::Cache && c.path.is_some();
    let fetched = search.candidates.iter().any(here);
    match (runtime::loaded(), search.off) {
        (Some(loaded), _) => {
            output::data(&format!("ONNX Runtime {}: {}\n", loaded.version, loaded.path.display()));
        }
        (None, Some(place)) => {
            output::data(&format!("ONNX Runtime is switched off by {}\n", place.words()));
        }
        (None, None) if found => output::data("ONNX Runtime was found, and is not used\n"),
        (None, None) => output::data("ONNX Runtime was not found\n"),
    }
    for candidate in &search.candidates {
        let words = candidate.usable().map(|path| path.display().to_string());
        let words = words.unwrap_or_else(|reason| reason);
        output::data(&format!("  {:<32} {words}\n", candidate.place.words()));
    }
    if runtime::loaded().is_none() && search.off.is_none() && !fetched {
        output::note(global.quiet, "next: proofmark engine fetch");
    }
    Ok(ExitCode::SUCCESS)
}

fn engine(kind: EngineKind, chosen: &str) -> Value {
    let facts = kind.facts();
    let library = (kind == EngineKind::OnnxRuntime).then(runtime::loaded).flatten();
    let note = ENGINES.iter().find(|(k, _)| *k == kind).map_or("", |(_, note)| note);
    let (here, auto) = (kind != EngineKind::OnnxRuntime || library.is_some(), facts.name == chosen);
    json!({
        "name": facts.name, "version": facts.version, "cpu": facts.cpu, "note": note,
        "available": here, "auto": auto,
        "path": library.map(|l| l.path.display().to_string()),
        "build": library.map(|l| l.build.clone()),
    })
}

fn place(candidate: &Candidate) -> Value {
    let loaded = runtime::loaded().map(|l| &l.path);
    let real = candidate.path.as_ref().and_then(|p| p.canonicalize().ok());
    json!({
        "place": candidate.place.key(),
        "path": candidate.path.as_ref().map(|p| p.display().to_string()),
        "loaded": real.is_some() && real.as_ref() == loaded,
        "reason": candidate.usable().err(),
    })
}

fn fetch(args: &FetchArgs, global: Global) -> Outcome<ExitCode> {
    let pin = Pin::here()?;
    let cache = fetch::cache()?;
    let command = std::iter::once(args.python.clone())
        .chain(pin.arguments("requirements.txt".as_ref(), "wheel".as_ref()))
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    let fetched = match (&args.wheel, args.dry_run) {
        (_, true) => None,
        (Some(wheel), false) => Some(fetch::unpack(&pin, wheel, &cache)?),
        (None, false) => Some(fetch::download(&pin, &args.python, &cache)?),
    };
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.engine-fetch/1", "version": VERSION, "platform": pin.platform,
            "wheel_sha256": pin.sha256, "dry_run": args.dry_run, "command": command,
            "folder": cache.join(VERSION).display().to_string(),
            "path": fetched.as_ref().map(|f| f.path.display().to_string()),
            "sha256": fetched.as_ref().map(|f| f.sha256.clone()),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    match fetched {
        None => output::data(&format!(
            "would run: {}\nwith requirements.txt: {}would keep the library in: {}\n",
            command.join(" "),
            pin.requirement(),
            cache.join(VERSION).display()
        )),
        Some(fetched) => {
            output::data(&format!("{}\nsha256 {}\n", fetched.path.display(), fetched.sha256));
            output::note(global.quiet, "next: proofmark engine list");
        }
    }
    Ok(ExitCode::SUCCESS)
}

const ENGINES: [(EngineKind, &str); 4] = [
    (EngineKind::OnnxRuntime, "found at run time, f32; the fastest"),
    (EngineKind::Rten, "embedded, f32; always there"),
    (EngineKind::Reference, "plain loops, f32; every operator; second path for witnesses"),
    (EngineKind::ReferenceF64, "plain loops, f64; oracle of the tests"),
];
