//! `attack --suite smoothing`: certificates of the smoothed classifier.
//!
//! Owns the arguments and the report of the mode. Every text says that the figures are those of
//! the vote over noisy answers, never of the model.

use std::process::ExitCode;

use proofmark_lab::ctx::Ctx;
use proofmark_lab::formal::smoothing::{self, Smoothing, SmoothingError};
use proofmark_schema::measurement::CheckState;
use proofmark_schema::smoothing::SmoothingReport;

use super::asked::Asked;
use super::{PROBE, declared};
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::human::{Grid, percent, wrap};
use crate::progress::Bars;
use crate::runner::{self, Settings};
use crate::subject::Subjects;
use crate::{interrupt, output};

/// Arguments of randomised smoothing.
#[derive(clap::Args, Debug, Clone)]
pub struct SmoothingArgs {
    /// `--suite smoothing`: standard deviation of the noise, in the unit of the scale.
    #[arg(long, value_name = "S")]
    pub sigma: Option<f64>,
    /// `--suite smoothing`: noisy answers per row that certify its class.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub samples: u64,
    /// `--suite smoothing`: noisy answers per row that choose its class.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub samples_choose: u64,
    /// `--suite smoothing`: largest probability that a row's certificate is wrong.
    #[arg(long, value_name = "A", default_value_t = 0.001)]
    pub alpha: f64,
}

/// Name of the suite.
pub const SUITE: &str = "smoothing";

/// Runs the mode.
pub fn run(args: &Asked<'_>, global: Global) -> Outcome<ExitCode> {
    let given = &args.smoothing;
    let sigma = given.sigma.ok_or_else(|| {
        let help = "e.g. `--sigma 0.25`: certificates reach a few times as far";
        Failure::new("arguments", "`--sigma` is missing: the noise has no size", help)
    })?;
    let (project, mut notes) = declared::project(args)?;
    let threads = args.threads.unwrap_or_else(runner::cores);
    let settings = Settings { engine: args.engine.ready(global.quiet)?, threads };
    let subject = Subjects::new(&project, settings).of(declared::MODEL, declared::DATA)?;
    notes.extend(subject.notes.iter().cloned());
    for note in &notes {
        output::note(global.quiet, note);
    }
    let threat = project.system.threats.first().ok_or_else(|| {
        Failure::new("threat", "there is no threat", "please report this as a bug")
    })?;
    let owned = subject.case(threat, PROBE)?;
    if owned.numbers().is_some() {
        let words = "the answer is a number: a vote needs classes";
        return Err(Failure::new("smoothing", words, "leave `--tolerance` out"));
    }
    let case = owned.borrow();
    let smoothing = Smoothing {
        sigma,
        samples_choose: given.samples_choose,
        samples: given.samples,
        alpha: given.alpha,
    };
    let bars = Bars::new(global.quiet);
    bars.begin("smoothing");
    let ctx = Ctx { seed: args.seed, progress: &bars, cancel: interrupt::flag() };
    let points = smoothing::certify(&case, &smoothing, &ctx);
    bars.end();
    let points = points.map_err(failed)?;
    let asked = !threat.eps.is_empty();
    let radii = if asked { threat.eps.clone() } else { smoothing::radii(&smoothing) };
    let facts = subject.facts(args.seed);
    let mut report = smoothing::report(&case, &smoothing, &facts, threat.scale, &radii, points);
    report.validity = subject.setup.clone();
    if global.format == Format::Json {
        output::json(&serde_json::to_value(&report).or_fail("smoothing", "")?);
    } else {
        output::data(&as_text(&report));
    }
    let refused = report.validity.iter().any(|c| c.state == CheckState::Refuse);
    Ok(if refused { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn as_text(report: &SmoothingReport) -> String {
    let mut text = wrap(&format!("About {}.", report.about), 92, "");
    text.push_str(&format!(
        "{} rows: the model alone decides {} rightly, smoothed {}, abstains on {}\n",
        report.n, report.base_correct, report.correct, report.abstained
    ));
    let mut grid = Grid::new(&["L2 radius", "smoothed, certified right", "95 % interval", "rows"]);
    for at in &report.curve {
        grid.row(vec![
            format!("{:.4}", at.radius),
            percent(at.estimate),
            format!("{} to {}", percent(at.lower), percent(at.upper)),
            format!("{} of {}", at.k, report.n),
        ]);
    }
    text.push_str(&grid.render());
    let line = format!(
        "Gaussian noise of {} ({} + {} answers per row, {} in all); each certificate is wrong \
         with probability {} at most. Computed in f32; the theorem is about real numbers.",
        report.sigma, report.samples_choose, report.samples, report.queries, report.alpha
    );
    text.push_str(&wrap(&line, 92, "  "));
    for check in report.validity.iter().filter(|c| c.state != CheckState::Ok) {
        text.push_str(&wrap(&format!("{}: {} {}", check.check, check.reason, check.fix), 92, "  "));
    }
    text.push_str("Nothing was logged.\n");
    text
}

fn failed(error: SmoothingError) -> Failure {
    let help = match error {
        SmoothingError::Norm(_) => "--norm l2",
        SmoothingError::Limit { .. } => "raise `--queries` or lower `--samples`",
        SmoothingError::Cancelled => "run it again",
        _ => "see docs/exact.md",
    };
    Failure::new("smoothing", error, help)
}
