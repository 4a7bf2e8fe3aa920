//! `guard`: serve a model behind a policy, look at the policy, keep keys, stop and restart.
//!
//! Owns the arguments and what is printed; the serving is `proofmark_server`'s.

mod check;
mod control;
mod key;
mod serve;
pub(super) mod setup;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::Global;
use crate::failure::Outcome;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: GuardVerb,
}

#[derive(Subcommand, Debug)]
enum GuardVerb {
    /// Serve until Ctrl-C or SIGTERM: keys, limits, validation, record, fall-back.
    Run(serve::Args),
    /// Print the effective policy, the limits of every feature and the weak points.
    Check(check::Args),
    /// Make, list or revoke API keys.
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// Show the state of the guard and of its models.
    Status(control::StatusArgs),
    /// Stop: from now on nothing is released, also after a restart of the process.
    Stop(control::StopArgs),
    /// Let a stopped guard serve again, by an order signed with the provider's key.
    Restart(control::RestartArgs),
}

/// Where the policy lies.
#[derive(clap::Args, Debug)]
pub struct Place {
    /// The policy; `guard.toml` in the folder of `-C` by default.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder of the policy.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.dir.join(POLICY))
    }
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        GuardVerb::Run(args) => serve::run(args, global),
        GuardVerb::Check(args) => check::run(args, global),
        GuardVerb::Key(verb) => key::run(verb, global),
        GuardVerb::Status(args) => control::status(args, global),
        GuardVerb::Stop(args) => control::stop(args, global),
        GuardVerb::Restart(args) => control::restart(args, global),
    }
}

/// Name of the policy.
const POLICY: &str = "guard.toml";
