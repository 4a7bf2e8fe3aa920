//! The command line. Owns arguments, terminal text, exit codes, and everything that reads the
//! clock, the environment or the file system; the libraries are handed what they need.
//!
//! Exit codes: 0 clean; 1 a criterion failed or is inconclusive; 2 the work could not be done.

mod arrays;
mod assets;
mod cli;
mod clock;
mod command;
mod exact;
mod failure;
mod folder;
mod hints;
mod interrupt;
mod keyring;
mod loader;
mod onnxruntime;
mod output;
mod progress;
mod project;
mod proofs;
mod runner;
mod state;
mod subject;

use std::process::ExitCode;

use clap::Parser;

/// Measured on the guard (docs/benchmarks.md): fewer microseconds per request than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    onnxruntime::silent::ensure();
    let cli = cli::Cli::parse();
    match command::run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            output::report_failure(&failure, cli.format);
            ExitCode::from(2)
        }
    }
}
