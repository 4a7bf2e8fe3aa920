//! `attack`: one model file under one threat, without a declaration.
//!
//! Owns the arguments and the report. The attack itself is the lab's; nothing is logged, so
//! nothing here is fit for a declaration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use proofmark_assess::judge::says_weak;
use proofmark_formats::npy::{NpyArray, NpyData};
use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::Settings as AttackSettings;
use proofmark_lab::evasion::assessment::{Assessment, Request};
use proofmark_lab::evasion::suite::{self, Suite};
use proofmark_lab::harness::{Case, RowRecord};
use proofmark_lab::stats;
use proofmark_lab::tolerance::SHIFT_ROWS;
use proofmark_schema::attack::Outcome as RowOutcome;
use proofmark_schema::measurement::{AssetDigest, CheckState};

use super::Global;
use super::model::EngineName;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::hints::{DumpArgs, LibsvmArgs};
use crate::output::human::{Grid, percent, wrap};
use crate::progress::Bars;
use crate::runner::{self, Settings};
use crate::subject::{Subject, Subjects};
use crate::{arrays, assets, interrupt, output};
use asked::{Asked, Wants};

mod asked;
mod compare;
mod constraints;
mod declared;
mod endpoint;
mod exact;
mod faults;
mod judged;
mod number;
mod page;
mod property;
mod proved;
mod smoothing;
mod sparse;
mod timed;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// ONNX file, or tree ensemble of XGBoost, LightGBM or CatBoost.
    // Without one (`--endpoint`) the path is empty.
    #[arg(long, required_unless_present = "endpoint", default_value = "",
          hide_default_value = true,
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub model: PathBuf,
    #[command(flatten)]
    pub dump: DumpArgs,
    /// Rows: `.csv`, rows of libsvm, or images and vectors as `.npy`, `.npz`, IDX.
    #[arg(long, value_name = "ROWS")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub libsvm: LibsvmArgs,
    #[command(flatten)]
    pub property: property::PropertyArgs,
    /// Label column of a table, or the label file of images; not needed for rows of libsvm, which
    /// begin with their label.
    #[arg(long)]
    pub label: Option<String>,
    /// Distance.
    #[arg(long, value_enum)]
    pub norm: Option<NormName>,
    /// Budgets, ascending.
    #[arg(long, value_delimiter = ',')]
    pub eps: Vec<f64>,
    /// Unit of the budgets.
    #[arg(long, value_enum)]
    pub scale: Option<ScaleName>,
    /// Suite (`quick`, `margin`, `autoattack`, `autoattack-plus`), or one attack by id: `noise`,
    /// `fgsm`, `apgd-ce`, `apgd-margin`, `apgd-dlr`, `apgd-t`, `deepfool`, `fab`, `fab-t`,
    /// `square`, `coordinate`, `hopskipjump`, `moeva`, `capgd`; `caa` is the last two.
    ///
    /// Proofs: `proved` for networks of linear operators and ReLU, beside the attacks of `quick`
    /// (docs/proofs.md); `exact` for trees, which needs no budgets; `smoothing` (docs/exact.md).
    ///
    /// Errors and faults: `corruptions` (images), `faults` (tables), `bit-flips`, `availability`,
    /// or one kind (docs/faults.md); these need no norm, budgets or scale.
    #[arg(long, default_value = "quick")]
    pub suite: String,
    /// `argmax`, or `CLASS@T`: CLASS is decided when its probability is at least T.
    #[arg(long, default_value = "argmax")]
    pub decision: String,
    /// `FROM:TO`: the decision an attacker starts from and wants. For a regression `up`, `down`
    /// or `either` (default).
    #[arg(long, value_name = "FROM:TO|up|down|either")]
    pub goal: Option<String>,
    /// The label is a number: an answer that moves by more than this counts. In the unit of the
    /// label (`20`), or a share of the answer (`10%`).
    #[arg(long, value_name = "T|P%", value_parser = number::size)]
    pub tolerance: Option<number::Size>,
    /// From where the tolerance is counted: the clean answer (default), or the label.
    #[arg(long, value_enum)]
    pub tolerance_from: Option<FromName>,
    /// Unit of a label that is a number, for the report.
    #[arg(long)]
    pub unit: Option<String>,
    /// Gradient steps per restart; the suite's own by default.
    #[arg(long, value_parser = at_least_one)]
    pub steps: Option<usize>,
    /// Seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The first so many rows.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Output of the model that is judged; the only float one by default.
    #[arg(long)]
    pub output: Option<String>,
    /// Of an output with several columns (heads): the one that is judged, from 0.
    #[arg(long, value_name = "N")]
    pub output_column: Option<usize>,
    /// What the output holds; found from the values by default, `value` with `--tolerance`.
    #[arg(long, value_enum)]
    pub output_kind: Option<KindName>,
    /// Classes in the order of the output's columns, as the labels are written.
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Columns in the order of a single `[n, k]` input.
    #[arg(long, value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Columns an attacker can change; every numeric input by default.
    #[arg(long, value_delimiter = ',')]
    pub mutable: Vec<String>,
    /// Images: lowest and highest stored pixel, `LO:HI`.
    #[arg(long, value_name = "LO:HI")]
    pub bounds: Option<String>,
    /// Images: what the bounds become in the model input, `LO:HI`.
    #[arg(long, value_name = "LO:HI")]
    pub range: Option<String>,
    /// What the attacker can see.
    #[arg(long, value_enum, default_value_t = AccessName::WhiteBox)]
    pub access: AccessName,
    /// Most queries per row and budget.
    #[arg(long)]
    pub queries: Option<u64>,
    #[command(flatten)]
    pub constraint: constraints::ConstraintArgs,
    /// Fail (exit 1) unless the robust accuracy is at least this, at 95 % confidence, at the
    /// largest budget.
    #[arg(long, value_name = "R", value_parser = share)]
    pub min_robust: Option<f64>,
    /// Write the witnesses here.
    #[arg(long, value_name = "W.npz")]
    pub witnesses: Option<PathBuf>,
    /// Write a page with plots, tables and a gallery of witnesses here.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Another model's report of the same attack on the same rows (`--format json`), to compare
    /// with, row by row.
    #[arg(long, value_name = "REPORT.json")]
    pub compare: Option<PathBuf>,
    #[command(flatten)]
    pub faults: faults::FaultArgs,
    #[command(flatten)]
    pub exact: exact::ExactArgs,
    #[command(flatten)]
    pub proved: proved::ProvedArgs,
    #[command(flatten)]
    pub smoothing: smoothing::SmoothingArgs,
    #[command(flatten)]
    pub endpoint: endpoint::EndpointArgs,
    /// Engine.
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    pub engine: EngineName,
    /// Threads; all cores by default. Results do not depend on it.
    #[arg(long, value_parser = at_least_one)]
    pub threads: Option<usize>,
}

/// A count that is not nought.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let inside = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    inside.ok_or_else(|| "a share from 0 to 1, e.g. 0.6".to_owned())
}

/// Distances on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum NormName {
    Linf,
    L2,
    L1,
}

/// Units on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ScaleName {
    /// The unit of the model input.
    Raw,
    /// Share of each feature's bounds (for a table: the range found in the data).
    Bounds,
    /// Standard deviations of each column of the data.
    Std,
    /// Steps of an 8-bit image.
    #[value(name = "0-255")]
    U8,
}

/// Output kinds on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum KindName {
    Probability,
    Logit,
    Score,
    Label,
    Value,
}

/// From where a tolerance is counted, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FromName {
    /// The answer on the clean row.
    Answer,
    /// The label.
    Label,
}

/// Access on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessName {
    /// The model file, with gradients.
    WhiteBox,
    /// Scores only.
    Score,
    /// Decisions only.
    Decision,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    // One line per mode; what is no mode of its own is a suite of attacks.
    if let Some(url) = &args.endpoint.endpoint {
        constraints::refuse(&args.constraint, &args.suite)?;
        return endpoint::run(args, url, global);
    }
    heard(args)?;
    if faults::is_suite(&args.suite) {
        return faults::run(&Asked::new(args, Wants::Rows)?, global);
    }
    if args.suite == exact::SUITE {
        return exact::run(&Asked::new(args, Wants::Distance)?, global);
    }
    if args.suite == smoothing::SUITE {
        return smoothing::run(&Asked::new(args, Wants::Distance)?, global);
    }
    if let Some(path) = &args.property.property {
        return property::run(args, path, global);
    }
    attacked(&Asked::new(args, Wants::Budgets)?, global)
}

/// What the attacker may move and must keep to, as a digest: reports with others are not compared.
fn attacker(args: &Asked<'_>, subject: &Subject) -> Outcome<AssetDigest> {
    let rules = args.constraint.constraints.as_deref();
    let rules = rules.map(|path| assets::read_limited(path, constraints::BYTES_MAX)).transpose()?;
    let all = serde_json::json!({
        "moves": subject.target.coordinates(),
        "constraints": rules.map(|bytes| assets::sha256(&bytes)),
        "cost_limit": args.constraint.cost_limit,
    });
    Ok(AssetDigest { name: "attacker".into(), sha256: assets::sha256(all.to_string().as_bytes()) })
}

/// Flags that a mode of its own does not know.
fn heard(args: &Args) -> Outcome<()> {
    let (exact, property) = (args.suite == exact::SUITE, args.property.property.is_some());
    let alone = faults::is_suite(&args.suite) || args.suite == smoothing::SUITE || property;
    if !exact && !alone {
        return Ok(());
    }
    let mode = if property { "`--property`".into() } else { format!("`--suite {}`", args.suite) };
    if alone {
        constraints::refuse(&args.constraint, &args.suite)?;
    }
    let flags = [
        ("--min-robust", args.min_robust.is_some()),
        ("--report", args.report.is_some()),
        ("--compare", args.compare.is_some()),
        ("--witnesses", args.witnesses.is_some() && alone),
    ];
    unheard(&mode, &flags)
}

/// Flags that a mode would silently leave undone are refused.
fn unheard(mode: &str, flags: &[(&str, bool)]) -> Outcome<()> {
    let Some((flag, _)) = flags.iter().find(|(_, given)| *given) else { return Ok(()) };
    let words = format!("`{flag}` does nothing with {mode}");
    Err(Failure::new("arguments", words, "leave it out"))
}

/// A suite of attacks within budgets.
fn attacked(args: &Asked<'_>, global: Global) -> Outcome<ExitCode> {
    let earlier = args.compare.as_deref().map(compare::read).transpose()?;
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
    let threat = project.system.threats.first().ok_or_else(|| {
        Failure::new("threat", "there is no threat", "please report this as a bug")
    })?;
    let case = subject.case(threat, PROBE)?;
    if let Some(remark) = case.boundless() {
        output::note(global.quiet, &remark);
    }
    let numbers = case.numbers();
    let case = case.borrow();
    let bars = Bars::new(global.quiet);
    let (proved, suite) = match proved::search(args, &project, settings, &subject, &case, &bars)? {
        Some((proved, suite)) => (Some(proved), suite),
        None => (None, suite(args, &case)?),
    };
    let mut facts = subject.facts(args.seed);
    facts.assets.push(attacker(args, &subject)?);
    let request = Request {
        numbers,
        facts: &facts,
        case: &case,
        suite: &suite,
        threat: None,
        scale: threat.scale,
        eps: &threat.eps,
        groups: &subject.groups,
        setup: &subject.setup,
    };
    bars.begin("attack");
    let ctx = Ctx { seed: args.seed, progress: &bars, cancel: interrupt::flag() };
    let assessed = timed::assess(&request, proved.as_ref(), &ctx);
    bars.end();
    let (mut assessed, took) = assessed?;
    output::note(global.quiet, &took);
    if let Some(earlier) = &earlier {
        compare::with(&mut assessed.report, earlier)?;
    }
    if let Some(path) = &args.report {
        let shown = page::shown(&assessed.records).into_iter();
        let changes = constraints::grids(&subject, case.constraints, shown);
        page::write(path, &args.model, &subject, &assessed, changes)?;
    }
    if let Some(path) = &args.witnesses {
        write_records(path, &subject, &assessed.records)?;
    }
    let told =
        constraints::explained(&args.constraint, &subject, case.constraints, &assessed.records);
    if global.format == Format::Json {
        let mut value = as_json(&assessed)?;
        constraints::add(&mut value, told.as_deref())?;
        output::json(&value);
    } else {
        output::data(&as_text(&assessed));
        output::data(&constraints::as_text(told.as_deref().unwrap_or_default()));
    }
    Ok(verdict(args.min_robust, &assessed, global))
}

/// The named suite, or a single attack with the standard settings.
fn suite(args: &Args, case: &Case<'_>) -> Outcome<Suite> {
    let standard = suite::alone(&args.suite);
    let steps = args.steps.unwrap_or(standard.steps);
    // One attack alone may use all the queries that are allowed.
    let allowed = args.queries.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let queries = allowed.unwrap_or(standard.queries);
    let settings = AttackSettings { steps, queries, ..standard };
    if let Some(attack) = suite::attack(&args.suite, settings) {
        case.admits(attack.as_ref()).or_fail("suite", "choose another attack, norm or access")?;
        return Ok(Suite::of(&args.suite, attack.edition(), vec![attack]));
    }
    Suite::named(&args.suite, case, args.steps).or_fail("suite", "proofmark attack --help")
}

fn as_json(assessed: &Assessment) -> Outcome<serde_json::Value> {
    let mut value = serde_json::to_value(&assessed.report).or_fail("attack", "")?;
    let mean = mean_distance(assessed);
    if let (Some(object), Some(mean)) = (value.as_object_mut(), mean) {
        object.insert("mean_distance".into(), mean.into());
    }
    Ok(value)
}

/// Mean of the distances, where every attacked row has an exact one.
fn mean_distance(assessed: &Assessment) -> Option<f64> {
    let points = &assessed.report.points;
    let attacked = || points.iter().filter(|p| p.outcome != RowOutcome::Wrong);
    let exact =
        attacked().all(|p| p.distance.lower.is_some() && p.distance.lower == p.distance.upper);
    let n = attacked().count();
    let sum: f64 = attacked().filter_map(|p| p.distance.upper).sum();
    (exact && n > 0).then(|| sum / n as f64)
}

fn as_text(assessed: &Assessment) -> String {
    let report = &assessed.report;
    let shifts = shifts(assessed);
    let (right, robust, rule) = match shifts {
        None => ("decided rightly", "robust accuracy", "decision"),
        Some(_) => ("within the tolerance of their label", "not moved beyond", "tolerance"),
    };
    let mut text = format!(
        "{} rows, {} {right}, {} attacked; {rule}: {}\n",
        report.n, report.correct, report.attackable, report.decision
    );
    let mut grid = Grid::new(&["budget", robust, "95 % interval", "rows"]);
    for at in &report.robust {
        grid.row(vec![
            at.eps.to_string(),
            format!("at most {}", percent(at.estimate)),
            format!("{} to {}", percent(at.lower), percent(at.upper)),
            format!("{} of {}", at.k_robust, report.n),
        ]);
    }
    text.push_str(&grid.render());
    text.push_str(&proved::as_text(report));
    text.push_str(&shifts.unwrap_or_default());
    text.push_str(&compare::as_text(&report.comparisons));
    let mut found: std::collections::BTreeMap<&str, usize> = Default::default();
    for point in report.points.iter().filter(|p| p.outcome == RowOutcome::Broken) {
        if let Some(by) = &point.found_by {
            *found.entry(by).or_default() += 1;
        }
    }
    for attack in &report.attacks {
        let line = match &attack.skipped {
            Some(reason) => format!("{}: not run, {reason}", attack.id),
            None => format!(
                "{} ({}): {} rows found",
                attack.id,
                attack.settings,
                found.get(attack.id.as_str()).unwrap_or(&0)
            ),
        };
        text.push_str(&wrap(&line, 92, "  "));
    }
    for check in report.validity.iter().filter(|c| c.state != CheckState::Ok) {
        let word = match check.state {
            CheckState::Warn => "warning",
            CheckState::Refuse => "REFUSED",
            _ => "not examined",
        };
        let line = format!("{word} ({}): {} {}", check.check, check.reason, check.fix);
        text.push_str(&wrap(&line, 92, "  "));
    }
    text.push_str(
        "An upper bound: attacks not tried here may turn more rows. Nothing was logged.\n",
    );
    text
}

/// The largest shifts found per budget; `None` for classes.
fn shifts(assessed: &Assessment) -> Option<String> {
    let of = |metric: &str, eps: f64| {
        let mut all = assessed.measurements.iter();
        all.find(|m| m.metric == metric && m.subject.eps == Some(eps))
    };
    let unit = assessed.measurements.iter().find(|m| m.metric == SHIFTS[0])?.unit.clone();
    let mut grid = Grid::new(&["budget", "median shift found", "90 %", "largest", "unit"]);
    for at in &assessed.report.robust {
        let found = SHIFTS.map(|m| of(m, at.eps).map_or(f64::NAN, |m| m.quantity.value()));
        let mut row = vec![at.eps.to_string()];
        row.extend(found.iter().map(|shift| format!("{shift:.4}")));
        row.push(unit.clone());
        grid.row(row);
    }
    Some(format!(
        "{}  a lower bound of the worst case, over at most {SHIFT_ROWS} rows\n",
        grid.render()
    ))
}

/// Exit 0, unless a threshold was given and not surely reached; 2 when the set-up is broken.
fn verdict(min_robust: Option<f64>, assessed: &Assessment, global: Global) -> ExitCode {
    let report = &assessed.report;
    if report.validity.iter().any(|c| c.state == CheckState::Refuse) {
        output::note(global.quiet, "the set-up is broken: no verdict");
        return ExitCode::from(2);
    }
    let (Some(threshold), Some(at)) = (min_robust, report.robust.last()) else {
        return ExitCode::SUCCESS;
    };
    let lower = stats::one_sided_lower(at.k_robust, report.n, 0.95);
    let weak = report.validity.iter().any(says_weak);
    let passed = lower >= threshold && !weak;
    let word = match (passed, weak) {
        (true, _) => "pass",
        (false, true) => "no pass rests on an attack that its own checks call weak",
        (false, false) => "not reached",
    };
    output::note(
        global.quiet,
        &format!("{word}: lower 95 % bound {} for at least {}", percent(lower), percent(threshold)),
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn write_records(path: &Path, subject: &Subject, records: &[RowRecord]) -> Outcome<()> {
    let found: Vec<_> = records.iter().filter(|r| r.witness.is_some()).collect();
    let rows = found.iter().map(|r| r.point.index as i64).collect();
    let x = found.iter().filter_map(|r| r.witness.clone()).flatten().collect();
    let n = found.len();
    let list = vec![
        ("rows".to_owned(), NpyArray::new(vec![n], NpyData::I64(rows)).or_fail("output", "")?),
        (
            "x".to_owned(),
            NpyArray::new(vec![n, subject.dims()], NpyData::F32(x)).or_fail("output", "")?,
        ),
    ];
    arrays::write(path, &list)
}

/// Median, 90 % quantile and largest of the shifts found.
const SHIFTS: [&str; 3] = ["shift_p50", "shift_p90", "shift_max"];
/// Id in the random streams of an ad-hoc attack.
const PROBE: &str = "attack";
