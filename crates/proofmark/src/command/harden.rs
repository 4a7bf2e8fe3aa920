//! `harden`: build measures, attack each again, measure what they change, sign it.
//!
//! Owns the arguments and the order of the work. Attacks and intervals are the lab's; nothing is
//! written or logged before everything is measured, so an interrupted run leaves nothing half
//! made. Must never call a measure effective by its name.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::Global;
use super::model::EngineName;
use crate::failure::{OrFail, Outcome};
use crate::progress::Bars;
use crate::state::State;
use crate::{clock, interrupt, output, runner};

mod arms;
mod effects;
mod latency;
mod limits;
mod report;
mod rows;
mod scene;
mod seal;
mod trees;
mod votes;

use arms::Bench;
use scene::Scene;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Folder that is written; it must not exist, be empty, or hold what `harden` wrote before.
    #[arg(long)]
    out: PathBuf,
    /// Measures to build and measure, separated by commas; all that can be built by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    measures: Vec<MeasureName>,
    /// A model trained with the adversarial rows: NAME of a declared model, or NAME=FILE.onnx to
    /// take another file under its declaration.
    #[arg(long, value_name = "NAME[=FILE]")]
    retrained: Option<String>,
    /// Threat; the first one aimed at the primary model by default.
    #[arg(long)]
    threat: Option<String>,
    /// Data set that is measured on; the test set by default.
    #[arg(long)]
    data: Option<String>,
    /// Decimals of released scores for the measure `rounding`.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=6))]
    decimals: u32,
    /// The first so many rows of the measured and of the attacked training data.
    #[arg(long, value_parser = super::attack::at_least_one)]
    limit: Option<usize>,
    /// Seed; the declared one by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Engine.
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    engine: EngineName,
    /// Threads; all cores by default. Results do not depend on it.
    #[arg(long, value_parser = super::attack::at_least_one)]
    threads: Option<usize>,
}

/// The measures there are, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum MeasureName {
    /// Adversarial training rows as a data file; measured on a model retrained with it.
    AdversarialRows,
    /// Refuse what lies outside the types, ranges and categories of the training data.
    InputSchema,
    /// Primary and backup decide together.
    Vote,
    /// Round released scores.
    Rounding,
    /// A smaller tree ensemble as backup.
    BackupTree,
}

impl MeasureName {
    /// Every measure.
    pub const ALL: [Self; 5] =
        [Self::AdversarialRows, Self::InputSchema, Self::Vote, Self::Rounding, Self::BackupTree];

    /// Id in arms, files and statements.
    pub fn id(self) -> &'static str {
        match self {
            Self::AdversarialRows => "adversarial-rows",
            Self::InputSchema => "input-schema",
            Self::Vote => "vote",
            Self::Rounding => "rounding",
            Self::BackupTree => "backup-tree",
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let started = clock::now();
    seal::may_write(&args.out)?;
    let project = scene::project(args)?;
    let state = State::of(&project);
    if project.system.demo {
        output::note(global.quiet, "DEMO: signed with a throw-away key; fit for no declaration");
    }
    let bars = Bars::new(global.quiet);
    let settings = runner::Settings {
        engine: args.engine.ready(global.quiet)?,
        threads: args.threads.unwrap_or_else(runner::cores),
    };
    let scene = Scene::open(args, &project, settings)?;
    scene.notes.iter().for_each(|note| output::note(global.quiet, note));
    let cancel = interrupt::flag();
    let ground = arms::Ground { bars: &bars, cancel, quiet: global.quiet, runs: state.runs_dir() };
    let rows = rows::build(&scene, &ground)?;
    let bench = Bench::measure(&scene, &ground)?;
    let effects = effects::of(&scene, &bench);
    let figures = effects::figures(&scene, &bench)?;
    let sealed = seal::seal(
        args,
        &state,
        seal::Parts { scene: &scene, bench: &bench, effects, figures, rows, started },
    )?;
    report::print(global, &sealed, &scene, &bench);
    Ok(ExitCode::SUCCESS)
}

/// A library error that is ours.
fn bug<T, E: std::fmt::Display>(result: Result<T, E>) -> Outcome<T> {
    result.or_fail("bug", "please report this")
}
