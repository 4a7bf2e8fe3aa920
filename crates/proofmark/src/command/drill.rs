//! `drill`: not yet in this build.

use std::process::ExitCode;

use super::Global;
use crate::failure::{Failure, Outcome};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: &Args, _global: Global) -> Outcome<ExitCode> {
    Err(Failure::new("absent", "this verb is not in this build", "use a later one"))
}
