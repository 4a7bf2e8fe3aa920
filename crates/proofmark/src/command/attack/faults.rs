//! `--suite corruptions|faults|bit-flips|availability`, or one kind of fault: errors and faults
//! that are set on purpose, without a declaration.
//!
//! Owns which kinds a suite holds, the text and the plot. The figures are the lab's. Called by
//! [`super`].

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_assess::svg;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::faults::bits::Place;
use proofmark_lab::faults::{edition_of, table};
use proofmark_schema::faults::{
    BitFaults, BitLevel, BitPart, FaultReport, Member, Ranged, SeverityFigures,
};
use proofmark_schema::measurement::CheckState;
use proofmark_schema::system::{Fault, SEVERITY_MAX};

use super::asked::Asked;
use super::declared;
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::human::{Grid, percent, wrap};
use crate::progress::Bars;
use crate::runner::faults::{self, Scene};
use crate::runner::{self, Settings};
use crate::subject::Subjects;
use crate::{arrays, interrupt, loader, output};

/// Arguments of faults.
#[derive(clap::Args, Debug)]
pub struct FaultArgs {
    /// Faults: severities, 1 to 5.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=5))]
    pub severities: Vec<u8>,
    /// Faults of tables: columns that are hit; every column that the kind can hit by default.
    #[arg(long, value_delimiter = ',')]
    pub fault_columns: Vec<String>,
    /// Faults of tables: each column alone.
    #[arg(long)]
    pub per_column: bool,
    /// Fault `unit-swap`: factor of the other unit; 100 by default.
    #[arg(long)]
    pub factor: Option<f64>,
    /// Bit flips: injections per severity. Availability: plain rows that are timed.
    #[arg(long, value_parser = super::at_least_one)]
    pub trials: Option<usize>,
    /// Faults: write the severity curves here.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Whether a suite sets faults.
pub fn is_suite(name: &str) -> bool {
    [ALL_OF_TABLES, BIT_FLIPS].contains(&name) || edition_of(name).is_some()
}

/// Runs the mode.
pub fn run(args: &Asked<'_>, global: Global) -> Outcome<ExitCode> {
    let (project, notes) = declared::project(args)?;
    for note in &notes {
        output::note(global.quiet, note);
    }
    let settings = Settings {
        engine: args.engine.ready(global.quiet)?,
        threads: args.threads.unwrap_or_else(runner::cores),
    };
    let subject = Subjects::new(&project, settings).of(declared::MODEL, declared::DATA)?;
    for note in &subject.notes {
        output::note(global.quiet, note);
    }
    let bug = || Failure::new("model", "there is no model", "please report this as a bug");
    let asset = project.system.models.first().ok_or_else(bug)?;
    let model = loader::held_model(&project, asset)?;
    let bars = Bars::new(global.quiet);
    bars.begin("faults");
    let ctx = Ctx { seed: args.seed, progress: &bars, cancel: interrupt::flag() };
    let mut merged: Option<FaultReport> = None;
    let mut skipped = Vec::new();
    let kinds = kinds(&args.suite);
    for kind in &kinds {
        let fault = fault(args, kind);
        let (project, subject, model) = (&project, subject.as_ref(), model.as_ref());
        let scene = Scene { project, settings, subject, model, fault: &fault, probe: PROBE };
        let measured = match faults::measure(&scene, &ctx) {
            // Of a suite, what does not fit these data is left out, and told.
            Err(failure) if kinds.len() > 1 => {
                skipped.push(format!("{kind}: {}", failure.message));
                continue;
            }
            other => other?,
        };
        let Some(figures) = measured else {
            bars.end();
            let message = "stopped on request; nothing was kept";
            return Err(Failure::new("interrupted", message, "run it again"));
        };
        merge(&mut merged, figures.report, kind, kinds.len() > 1);
    }
    bars.end();
    let Some(mut report) = merged else {
        let message = format!("no fault of `{}` fits these data", args.suite);
        return Err(Failure::new("suite", message, skipped.join("; ")));
    };
    report.fault.clone_from(&args.suite);
    report.kind.clone_from(&args.suite);
    report.notes.extend(skipped.into_iter().map(|s| format!("left out: {s}")));
    report.validity.clone_from(&subject.setup);
    if let Some(path) = &args.faults.plot {
        arrays::write_file(path, plot(&report).as_bytes())?;
    }
    if global.format == Format::Json {
        output::json(&serde_json::to_value(&report).or_fail("faults", "")?);
    } else {
        output::data(&text(&report));
    }
    let refused = report.validity.iter().any(|c| c.state == CheckState::Refuse);
    Ok(if refused { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn kinds(suite: &str) -> Vec<String> {
    let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    match suite {
        ALL_OF_TABLES => table::REGISTRY.iter().map(|fault| fault.id().to_owned()).collect(),
        BIT_FLIPS => own(&[Place::Weights.kind(), Place::Activations.kind()]),
        other => own(&[other]),
    }
}

fn fault(args: &Asked<'_>, kind: &str) -> Fault {
    let said = &args.faults;
    let all = || (1..=SEVERITY_MAX).collect();
    let mut severities = if said.severities.is_empty() { all() } else { said.severities.clone() };
    severities.sort_unstable();
    severities.dedup();
    Fault {
        name: kind.to_owned(),
        kind: kind.to_owned(),
        models: Vec::new(),
        columns: said.fault_columns.clone(),
        per_column: said.per_column,
        severities,
        factor: said.factor,
        trials: said.trials.map(|t| t as u64),
    }
}

/// Reports of several kinds as one: a kind becomes a member.
fn merge(merged: &mut Option<FaultReport>, mut report: FaultReport, kind: &str, many: bool) {
    if many {
        for member in &mut report.members {
            member.name = Some(match &member.name {
                Some(name) => format!("{kind}/{name}"),
                None => kind.to_owned(),
            });
        }
        // A mean over kinds that have nothing in common would say nothing.
        report.corruption_error = None;
        report.pooled.clear();
    }
    match merged {
        None => *merged = Some(report),
        Some(all) => {
            all.members.extend(report.members);
            all.bits.extend(report.bits);
            for note in report.notes {
                if !all.notes.contains(&note) {
                    all.notes.push(note);
                }
            }
        }
    }
}

fn text(report: &FaultReport) -> String {
    let mut text = format!(
        "{} on {} rows, {} decided rightly without a fault ({}); intervals at {}\n",
        report.fault,
        report.n,
        report.correct,
        percent(report.correct as f64 / report.n.max(1) as f64),
        percent(report.confidence),
    );
    if !report.members.is_empty() {
        text.push('\n');
        text.push_str(&of_members(&report.members));
    }
    if !report.pooled.is_empty() {
        text.push_str("\nmean over all of them\n");
        text.push_str(&of_pooled(report));
    }
    if let Some(error) = report.corruption_error {
        let said = format!(
            "corruption error, relative to this model's own clean error: {}",
            number(error)
        );
        text.push_str(&wrap(&said, WIDTH, "  "));
    }
    for bits in &report.bits {
        let _ = writeln!(text, "\nbit flips in {}, {} bits", bits.place, bits.bits);
        text.push_str(&of_bits(bits));
    }
    if let Some(found) = &report.availability {
        let said = format!(
            "costliest of {} valid inputs: {}: {:.3} ms where the median row takes {:.3} ms, ratio \
             {} over {} rounds; {}",
            found.tried,
            found.worst,
            found.worst_seconds * 1e3,
            found.median_seconds * 1e3,
            number(found.ratio),
            found.rounds,
            found.machine
        );
        text.push_str(&wrap(&said, WIDTH, "  "));
        let mut grid = Grid::new(&["family", "ratio of its costliest input"]);
        for (family, ratio) in &found.families {
            grid.row(vec![family.clone(), format!("{ratio:.2}")]);
        }
        text.push_str(&grid.render());
    }
    for check in report.validity.iter().filter(|c| c.state != CheckState::Ok) {
        let line = format!("{}: {} {}", check.check, check.reason, check.fix);
        text.push_str(&wrap(&line, WIDTH, "  "));
    }
    for note in &report.notes {
        text.push_str(&wrap(note, WIDTH, "  "));
    }
    text
}

fn of_members(members: &[Member]) -> String {
    let head =
        ["fault", "severity", "accuracy", "lost", "changed", "error", "form lets through", "worst"];
    let mut grid = Grid::new(&head);
    for member in members {
        for level in &member.levels {
            grid.row(row(member, level));
        }
    }
    grid.render()
}

fn row(member: &Member, level: &SeverityFigures) -> Vec<String> {
    let passes = |caught: u64| match level.changed {
        0 => String::new(),
        n => percent((n - caught) as f64 / n as f64),
    };
    let worst = [&level.worst_class, &level.worst_group].into_iter().flatten();
    let worst = worst.max_by(|a, b| a.drop.value.total_cmp(&b.drop.value));
    vec![
        member.name.clone().unwrap_or_default(),
        format!("{} ({})", level.severity, level.strength),
        share(level.accuracy),
        share(level.drop),
        level.flipped.to_string(),
        level.relative_error.map(|r| format!("{:.2}", r.value)).unwrap_or_default(),
        level.caught.map(passes).unwrap_or_default(),
        worst.map(|w| format!("{} {}", w.part, percent(-w.drop.value))).unwrap_or_default(),
    ]
}

fn of_pooled(report: &FaultReport) -> String {
    let mut grid = Grid::new(&["severity", "accuracy", "changed", "error"]);
    for at in &report.pooled {
        let error = at.relative_error.map(number).unwrap_or_default();
        grid.row(vec![at.severity.to_string(), share(at.accuracy), share(at.flipped), error]);
    }
    grid.render()
}

fn of_bits(bits: &BitFaults) -> String {
    let mut grid = Grid::new(&["flips", "injections", "silent", "detectable", "rows changed"]);
    for level in &bits.levels {
        let BitLevel { flips, injections, .. } = level;
        grid.row(vec![
            flips.to_string(),
            injections.to_string(),
            share(level.silent_share),
            share(level.detectable_share),
            percent(level.rows_changed),
        ]);
    }
    let mut text = grid.render();
    for (title, parts) in
        bits.levels.iter().flat_map(|l| [("bit", &l.by_bit), ("layer", &l.by_layer)])
    {
        if !parts.is_empty() {
            text.push_str(&of_parts(title, parts));
        }
    }
    text
}

fn of_parts(title: &str, parts: &[BitPart]) -> String {
    let mut grid = Grid::new(&[title, "single flips", "silent", "share", "detectable"]);
    let mut shown: Vec<&BitPart> = parts.iter().collect();
    shown.sort_by_key(|part| std::cmp::Reverse(part.silent));
    for part in shown.iter().take(PARTS_SHOWN) {
        grid.row(vec![
            part.part.clone(),
            part.injections.to_string(),
            part.silent.to_string(),
            share(part.silent_share),
            part.detectable.to_string(),
        ]);
    }
    grid.render()
}

/// `66.3 [60.7, 71.7] %`.
fn share(figure: Ranged) -> String {
    let part = |v: f64| format!("{:.1}", 100.0 * v);
    format!("{} [{}, {}] %", part(figure.value), part(figure.lower), part(figure.upper))
}

fn number(figure: Ranged) -> String {
    format!("{:.2} [{:.2}, {:.2}]", figure.value, figure.lower, figure.upper)
}

/// Severity curves side by side: accuracy of each member, with the clean accuracy as a line.
fn plot(report: &FaultReport) -> String {
    let clean = report.correct as f64 / report.n.max(1) as f64;
    let curves: Vec<String> = report
        .members
        .iter()
        .enumerate()
        .map(|(at, member)| {
            let title = member.name.clone().unwrap_or_else(|| report.fault.clone());
            let points = member.levels.iter().map(|level| svg::Point {
                x: f64::from(level.severity),
                label: level.severity.to_string(),
                y: level.accuracy.value,
                lower: level.accuracy.lower,
                upper: level.accuracy.upper,
            });
            let drawn = svg::curve(&svg::Curve {
                id: format!("fault-{at}"),
                title: format!("Accuracy under {title}"),
                desc: member.means.clone(),
                x_title: format!("severity of {title}"),
                points: points.collect(),
                reference: Some((clean, "without the fault".into())),
            });
            let (column, row) = (at % PLOT_COLUMNS, at / PLOT_COLUMNS);
            let (x, y) = (column * PLOT_WIDTH, row * PLOT_HEIGHT);
            let place = format!(
                "<svg x=\"{x}\" y=\"{y}\" width=\"{PLOT_WIDTH}\" height=\"{PLOT_HEIGHT}\" "
            );
            drawn.replacen("<svg ", &place, 1)
        })
        .collect();
    let columns = curves.len().clamp(1, PLOT_COLUMNS);
    let (width, height) =
        (columns * PLOT_WIDTH, curves.len().div_ceil(PLOT_COLUMNS).max(1) * PLOT_HEIGHT);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\"><style>{PLOT_STYLE}</style>{}</svg>\n",
        curves.concat()
    )
}

/// All kinds of faults of tables.
const ALL_OF_TABLES: &str = "faults";
/// Flips in weights and in activations.
const BIT_FLIPS: &str = "bit-flips";
/// Keys the random draws of an attack without a declaration.
const PROBE: &str = "attack/faults";
/// Layers shown to people; the report holds all.
const PARTS_SHOWN: usize = 12;
/// Characters of a line.
const WIDTH: usize = 96;
const PLOT_COLUMNS: usize = 3;
const PLOT_WIDTH: usize = 480;
const PLOT_HEIGHT: usize = 300;
/// Readable on white paper; marks and dashes tell series apart.
const PLOT_STYLE: &str = "svg{font:12px sans-serif}text{fill:#222}path{fill:none;stroke:#222}\
    .gridline{stroke:#ddd}.reference{stroke:#666;stroke-dasharray:6 4}\
    .series{stroke:#0b57d0;stroke-width:2}.whisker{stroke:#0b57d0}.mark{fill:#0b57d0;stroke:none}";
