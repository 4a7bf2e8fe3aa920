//! The arguments, verb by verb. Owns names, defaults and help texts; must do no work.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::command;

/// Attack, guard and prove an AI system; every figure signed and repeatable.
#[derive(Parser, Debug)]
#[command(name = "proofmark", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// How results are printed on stdout; everything else goes to stderr.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// No progress and no notes on stderr.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// The library of ONNX Runtime (file or folder) that `auto` and `onnxruntime` use, or `off`;
    /// searched for when not given. The guard always serves on rten.
    #[arg(long, global = true, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON document with a `format` tag.
    Json,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Write a declaration from the assets found in a folder.
    Init(command::init::Args),
    /// Check the declaration and everything it names, without measuring.
    Check(command::check::Args),
    /// Measure, judge, seal: the main job.
    Assess(command::assess::Args),
    /// Attack one model file, without a declaration.
    Attack(Box<command::attack::Args>),
    /// Inspect, run or differentiate a model file.
    Model(command::model::Args),
    /// List the engines of this machine, or fetch ONNX Runtime.
    Engine(command::engine::Args),
    /// Build measures, attack each again and measure what they change.
    Harden(command::harden::Args),
    /// Guard the system at run time: run or check the gateway, make keys, stop and restart.
    Guard(command::guard::Args),
    /// Set faults on purpose and sign what the guard did about them.
    Drill(command::drill::Args),
    /// Keep the risk register: seed, rate, treat, accept, review.
    Risk(command::risk::Args),
    /// Keep incidents: one event, many clocks, reports, receipts, hold.
    Incident(command::incident::Args),
    /// Show the duties of the law and what stands behind each.
    Duties(command::duties::Args),
    /// Say whether this release may go out, and why not.
    Gate(command::gate::Args),
    /// List what is due: re-tests, reviews, clocks.
    Due(command::due::Args),
    /// Write the report and the evidence pack of a run.
    Dossier(command::dossier::Args),
    /// Check an evidence pack, offline.
    Verify(command::verify::Args),
    /// Compute a run again and compare.
    Replay(command::replay::Args),
    /// Look after the evidence log.
    Log(command::log::Args),
    /// Erase stored rows or witnesses.
    Artefact(command::artefact::Args),
    /// Make or show the signing keys.
    Key(command::key::Args),
}
