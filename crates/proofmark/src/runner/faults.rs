//! Faults that are set on purpose, as `assess` and `attack` ask for them.
//!
//! Owns the road from a declared fault to rows under it, asked of the model as it is deployed.
//! Must never judge.

mod images;
mod latency;
mod rows;

use proofmark_assess::runner::{ProbeOutcome, RunnerError};
use proofmark_lab::ctx::Ctx;
use proofmark_lab::faults::bits::{self, Bench, Place};
use proofmark_lab::faults::figures::{self, Figures, Outcome, Series, Sheet};
use proofmark_lab::faults::{self, costly, form, table};
use proofmark_lab::harness::Clean;
use proofmark_lab::target::{Target, TargetOptions};
use proofmark_schema::plan::Probe;
use proofmark_schema::system::Fault;

use super::{Settings, artefact, bug, failed};
use crate::failure::{Failure, OrFail, Outcome as Done};
use crate::loader::{LoadedModel, Rows};
use crate::project::Project;
use crate::subject::Subject;
use rows::Hit;

/// What a fault is set on.
pub struct Scene<'a> {
    /// Declaration and files.
    pub project: &'a Project,
    /// Engine and threads.
    pub settings: Settings,
    /// Model on data, with its clean answers.
    pub subject: &'a Subject,
    /// The model.
    pub model: &'a LoadedModel,
    /// The fault.
    pub fault: &'a Fault,
    /// Keys the random draws.
    pub probe: &'a str,
}

/// The probe of a declared fault.
pub fn probe(scene: &Scene<'_>, probe: &Probe, ctx: &Ctx<'_>) -> Result<ProbeOutcome, RunnerError> {
    let Some(figures) = measure(scene, ctx).map_err(failed)? else {
        return Err(RunnerError::Cancelled);
    };
    let report = serde_json::to_vec_pretty(&figures.report).map_err(bug)?;
    let mut notes = scene.subject.notes.clone();
    notes.extend(figures.report.notes.iter().cloned());
    debug_assert_eq!(probe.model, figures.report.model);
    Ok(ProbeOutcome {
        measurements: figures.measurements,
        artefacts: vec![artefact(REPORT, "application/json", report, false)],
        notes,
        validity: scene.subject.setup.clone(),
    })
}

/// All figures of a fault; `None` when the user asked to stop.
///
/// # Errors
/// A fault that does not fit the data or the model.
pub fn measure(scene: &Scene<'_>, ctx: &Ctx<'_>) -> Done<Option<Figures>> {
    if scene.subject.targets().is_some() {
        return Err(Failure::new(
            "fault",
            "faults are measured on decisions, and the labels are numbers",
            "remove the fault; errors of regression under faults are not measured yet",
        ));
    }
    let facts = scene.subject.facts(ctx.seed);
    let sheet = Sheet {
        facts: &facts,
        clean: &scene.subject.clean,
        labels: scene.subject.labels(),
        groups: &scene.subject.groups,
        validity: &scene.subject.setup,
        fault: &scene.fault.name,
        kind: &scene.fault.kind,
        edition: faults::edition_of(&scene.fault.kind).unwrap_or_default(),
    };
    if let Some(place) = bits::place(&scene.fault.kind) {
        return with_bits(scene, &sheet, place, ctx);
    }
    if scene.fault.kind == AVAILABILITY {
        return latency::measure(scene, &sheet, ctx);
    }
    let mut notes = Vec::new();
    let Some(series) = on_rows(scene, ctx, &mut notes)? else { return Ok(None) };
    let mut figures = figures::measure(&sheet, &series);
    figures.report.notes.extend(notes);
    Ok(Some(figures))
}

/// Bit flips in the model, judged on rows spread over the data.
fn with_bits(
    scene: &Scene<'_>,
    sheet: &Sheet<'_>,
    place: Place,
    ctx: &Ctx<'_>,
) -> Done<Option<Figures>> {
    let rows = spread(scene.subject.labels().len(), BIT_ROWS);
    let bench = Bench {
        model: &scene.model.model,
        asset: &scene.model.asset,
        classes: &scene.subject.data().asset.classes,
        binding: bits::only(scene.subject.binding(), &rows),
        clean: rows.iter().map(|&row| sheet.clean.decision(row)).collect(),
        decision: scene.subject.decision,
        options: TargetOptions { engine: scene.settings.engine, threads: 1 },
        trials: scene.fault.trials.unwrap_or(BIT_TRIALS),
        probe: scene.probe,
        confidence: sheet.facts.confidence,
    };
    let injected = bits::inject(&bench, place, &scene.fault.severities, ctx);
    let Some(found) = injected.or_fail("fault", "remove the fault from this model")? else {
        return Ok(None);
    };
    let mut measurements = Vec::new();
    for level in &found.levels {
        for (metric, k) in
            [("silent_corruption", level.silent), ("detectable_corruption", level.detectable)]
        {
            let share = sheet.facts.share(k, level.injections);
            let severity = Some(level.severity);
            measurements.push(sheet.figure(metric, "proportion", sheet.fault, severity, share));
        }
    }
    let mut report = sheet.report();
    report.notes.push(format!(
        "{} Severities 1 to 5 flip 1, 2, 4, 8 and 16 bits at once. Judged on {} rows spread over \
         the data, so a flip that changes other rows only is not seen",
        place.means(),
        rows.len()
    ));
    report.bits = vec![found];
    Ok(Some(Figures { measurements, report }))
}

/// At most `most` rows, evenly spread.
fn spread(rows: usize, most: usize) -> Vec<usize> {
    let count = rows.min(most);
    (0..count).map(|i| i * rows / count.max(1)).collect()
}

/// Decisions under faults of the rows.
fn on_rows(scene: &Scene<'_>, ctx: &Ctx<'_>, notes: &mut Vec<String>) -> Done<Option<Vec<Series>>> {
    let members = rows::members(scene, ctx.seed, notes)?;
    let severities = &scene.fault.severities;
    let total = (members.len() * severities.len()) as u64;
    let mut all = Vec::with_capacity(members.len());
    let mut done = 0;
    for member in &members {
        let mut outcomes = Vec::with_capacity(severities.len());
        for &severity in severities {
            if ctx.cancelled() {
                return Ok(None);
            }
            ctx.progress.step("faults", done, total);
            let hit = member.at(severity)?;
            outcomes.push(outcome(scene, severity, hit)?);
            done += 1;
        }
        let (name, means) = (member.name(), member.means());
        all.push(Series { name, means, outcomes });
    }
    ctx.progress.step("faults", total, total);
    Ok(Some(all))
}

fn outcome(scene: &Scene<'_>, severity: u8, hit: Hit) -> Done<Outcome> {
    let mut decisions = decisions(scene, &hit)?;
    for (decision, unanswered) in decisions.iter_mut().zip(&hit.unanswered) {
        if *unanswered {
            *decision = None;
        }
    }
    let Hit { strength, changed, refused, .. } = hit;
    Ok(Outcome { severity, strength, changed, refused, decisions })
}

/// What the deployed model decides on the rows.
fn decisions(scene: &Scene<'_>, hit: &Hit) -> Done<Vec<Option<usize>>> {
    let options = TargetOptions { engine: scene.settings.engine, threads: scene.settings.threads };
    let binding = crate::loader::bind(scene.project, &hit.data, scene.model)?;
    let classes = &hit.data.asset.classes;
    let target = Target::open(&scene.model.model, &scene.model.asset, classes, &binding, options)
        .or_fail("target", "the model refuses rows under this fault")?;
    let clean = Clean::ask(&target, &scene.subject.decision).or_fail("target", "")?;
    Ok(clean.decisions().to_vec())
}

/// What is told of a fault in one report, and kept with a run.
pub const REPORT: &str = "faults.json";
/// The kind that measures latencies.
pub const AVAILABILITY: &str = costly::KIND;
/// Injections per severity: a share is then known to about 5 points.
const BIT_TRIALS: u64 = 400;
/// Rows asked after an injection: a flip that moves one row in twenty is seen 19 times in 20.
const BIT_ROWS: usize = 64;
