//! `assess`: the main job. Measure, judge, seal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::assessment::{AssessError, Assessment, Event, assess};
use proofmark_assess::judge::VerdictState;
use proofmark_assess::predicate::Tool;
use proofmark_assess::register::Register;
use proofmark_schema::measurement::CheckState;
use proofmark_schema::plan::Plan;

use super::Global;
use super::model::EngineName;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::{self, summary};
use crate::progress::Bars;
use crate::project::Project;
use crate::runner::LabRunner;
use crate::state::State;
use crate::{clock, interrupt, loader, runner};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
    /// Engine.
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    engine: EngineName,
    /// Threads; all cores by default. Results do not depend on it.
    #[arg(long, value_parser = super::attack::at_least_one)]
    threads: Option<usize>,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let project = Project::load(&args.dir)?;
    let plan = plan(&project)?;
    let state = State::of(&project);
    let (mut log, key) = state.log_for_writing(state.keys()?)?;
    let store = state.store();
    let now = clock::now;
    let tool = tool();
    let mut register = Register { log: &mut log, store: &store, key: &key, now: &now, tool };
    let bars = Bars::new(global.quiet);
    let settings = runner::Settings {
        engine: args.engine.ready(global.quiet)?,
        threads: args.threads.unwrap_or_else(runner::cores),
    };
    let mut lab = LabRunner::new(&project, settings, &bars, interrupt::flag())
        .keeping_rows_in(state.runs_dir())
        .keying_rows_with(state.row_key()?);
    if project.system.demo {
        output::note(global.quiet, "DEMO: signed with a throw-away key; fit for no declaration");
    }
    let mut told = BTreeSet::new();
    let narrate = |event: Event<'_>| narrate(&event, &bars, &mut told, global);
    let assessment = assess(&mut register, &project.system, &plan, &mut lab, &mut { narrate })
        .map_err(|error| refused(error, &args.dir))?;
    if global.format == Format::Json {
        output::json(&summary::json(&assessment, &project, &state));
    } else {
        output::data(&summary::text(&assessment, &project, &state));
    }
    Ok(exit_code(&assessment))
}

/// The plan of a project over its files as they are now.
pub fn plan(project: &Project) -> Outcome<Plan> {
    let digests = loader::digests(project)?;
    proofmark_assess::plan::plan(&project.system, &digests, &runner::suite_edition)
        .or_fail("plan", "run `proofmark check`")
}

/// This program, as named in statements.
pub fn tool() -> Tool {
    Tool { name: "proofmark".into(), version: env!("CARGO_PKG_VERSION").into() }
}

/// 0 when every criterion passed; 1 when one did not; 2 when nothing could be judged at all.
pub fn exit_code(assessment: &Assessment) -> ExitCode {
    let states = || assessment.verdicts.iter().map(|v| v.state);
    if states().any(|s| matches!(s, VerdictState::Fail | VerdictState::Inconclusive)) {
        return ExitCode::from(1);
    }
    if whole(assessment) { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Whether every probe gave figures, no set-up was refused and every criterion was judged.
pub fn whole(assessment: &Assessment) -> bool {
    let judged = |s| !matches!(s, VerdictState::Refused | VerdictState::Missing);
    let mut checks = assessment.results.iter().flat_map(|r| &r.said.validity);
    assessment.complete
        && assessment.verdicts.iter().all(|v| judged(v.state))
        && !checks.any(|c| c.state == CheckState::Refuse)
}

fn refused(error: AssessError, dir: &std::path::Path) -> Failure {
    let help = match &error {
        AssessError::Interrupted { .. } => {
            format!("resume it: proofmark assess -C {}", dir.display())
        }
        other if rests_on_a_file(other) => format!(
            "make room, or mend the permissions. What was logged is kept and the same command \
             goes on: proofmark assess -C {}",
            dir.display()
        ),
        _ => "run `proofmark log fsck` to see whether the evidence is sound".to_owned(),
    };
    let code = match &error {
        AssessError::Interrupted { .. } => "interrupted",
        _ => "assess",
    };
    Failure::new(code, error, help)
}

/// Whether the disk, not the evidence, is the cause.
fn rests_on_a_file(error: &AssessError) -> bool {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |e| e.source()).any(|e| e.is::<std::io::Error>())
}

fn narrate(event: &Event<'_>, bars: &Bars, told: &mut BTreeSet<String>, global: Global) {
    let say = |text: &str| output::note(global.quiet, text);
    match event {
        Event::PlanRegistered { plan, index, known } => {
            let short: String = plan.statement.hex().chars().take(12).collect();
            let word = if *known { "registered earlier" } else { "registered" };
            say(&format!("plan {short} {word}: log entry {index}"));
        }
        Event::RunStarted { run, resumed_from: None } => say(&format!("{run} started")),
        Event::RunStarted { run, resumed_from: Some(done) } => {
            say(&format!("{run} resumed, {done} probes are done"));
        }
        Event::ProbeStarted { index, total, probe } => {
            say(&format!("[{}/{total}] {}", index + 1, probe.id));
            bars.begin(&probe.id);
        }
        Event::ProbeEnded { said, .. } => {
            bars.end();
            if let Some(failed) = &said.failed {
                say(&format!("      failed: {}\n      {}", failed.reason, failed.fix));
            }
            for note in &said.notes {
                if told.insert(format!("{} {note}", said.probe.model)) {
                    say(&format!("      {note}"));
                }
            }
        }
        Event::Interrupted { .. } => bars.end(),
        Event::Verdict(_) | Event::RunEnded { .. } => {}
    }
}
