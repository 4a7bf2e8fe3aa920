//! `engine list`: the engines of this build and what they are for.

use std::process::ExitCode;

use clap::Subcommand;
use proofmark_engine::engine::EngineKind;
use serde_json::json;

use super::Global;
use crate::cli::Format;
use crate::failure::Outcome;
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: EngineVerb,
}

#[derive(Subcommand, Debug)]
enum EngineVerb {
    /// The engines of this build.
    List,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let EngineVerb::List = args.verb;
    let engines = [
        (EngineKind::Rten, "embedded, f32; the default"),
        (EngineKind::Reference, "plain loops, f32; every operator; second path for witnesses"),
        (EngineKind::ReferenceF64, "plain loops, f64; oracle of the tests"),
    ];
    if global.format == Format::Json {
        let list: Vec<_> = engines
            .iter()
            .map(|(kind, note)| {
                let facts = kind.facts();
                let (name, version, cpu) = (facts.name, facts.version, facts.cpu);
                json!({"name": name, "version": version, "cpu": cpu, "note": note})
            })
            .collect();
        output::json(&json!({"format": "proofmark.engines/1", "engines": list}));
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, note) in engines {
        let facts = kind.facts();
        output::data(&format!("{:<14} {:<10} {note}\n", facts.name, facts.version));
    }
    output::data(&format!("cpu features: {}\n", EngineKind::Rten.facts().cpu));
    Ok(ExitCode::SUCCESS)
}
