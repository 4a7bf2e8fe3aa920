//! The verbs: one file each, with its arguments and its `run`.
//!
//! Owns the dispatch only.

pub mod artefact;
pub mod assess;
pub mod attack;
pub mod check;
pub mod dossier;
pub mod drill;
pub mod due;
pub mod duties;
pub mod engine;
pub mod gate;
pub mod guard;
pub mod harden;
pub mod incident;
pub mod init;
pub mod key;
pub mod log;
pub mod model;
pub mod replay;
pub mod risk;
pub mod verify;

use std::process::ExitCode;

use crate::cli::{Cli, Format, Verb};
use crate::failure::Outcome;

/// What every verb is told.
#[derive(Clone, Copy, Debug)]
pub struct Global {
    /// Output format.
    pub format: Format,
    /// No notes on stderr.
    pub quiet: bool,
}

/// Runs the verb.
pub fn run(cli: &Cli) -> Outcome<ExitCode> {
    crate::onnxruntime::remember(cli.onnxruntime.as_deref());
    let global = Global { format: cli.format, quiet: cli.quiet };
    match &cli.verb {
        Verb::Init(args) => init::run(args, global),
        Verb::Check(args) => check::run(args, global),
        Verb::Assess(args) => assess::run(args, global),
        Verb::Attack(args) => attack::run(args, global),
        Verb::Model(args) => model::run(args, global),
        Verb::Engine(args) => engine::run(args, global),
        Verb::Dossier(args) => dossier::run(args, global),
        Verb::Verify(args) => verify::run(args, global),
        Verb::Replay(args) => replay::run(args, global),
        Verb::Log(args) => log::run(args, global),
        Verb::Artefact(args) => artefact::run(args, global),
        Verb::Harden(args) => harden::run(args, global),
        Verb::Guard(args) => guard::run(args, global),
        Verb::Drill(args) => drill::run(args, global),
        Verb::Risk(args) => risk::run(args, global),
        Verb::Incident(args) => incident::run(args, global),
        Verb::Duties(args) => duties::run(args, global),
        Verb::Gate(args) => gate::run(args, global),
        Verb::Due(args) => due::run(args, global),
        Verb::Key(args) => key::run(args, global),
    }
}
