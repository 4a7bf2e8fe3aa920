//! `attack --suite exact`: the nearest change of every row of a tree ensemble, found exactly.
//!
//! Owns the conventions of the ad-hoc mode and the report. Unless a scale other than `raw` is
//! asked for, every numeric column may take any real value: the distance is a property of the
//! model, not of a table. The deployed engine judges the witnesses, and its own counts stand
//! beside.

use std::collections::BTreeMap;
use std::process::ExitCode;

use proofmark_engine::model::Hints;
use proofmark_engine::trees::Ensemble;
use proofmark_formats::sniff::Kind;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::assessment::{self as evasion, Request};
use proofmark_lab::evasion::suite::EXACT;
use proofmark_lab::formal::proposals::TREES;
use proofmark_lab::formal::trees::{Budget, Searched, model, told};
use proofmark_lab::harness::{self, Case, HarnessError, RowRecord};
use proofmark_schema::attack::{AttackReport, ExactSearch};
use proofmark_schema::measurement::CheckState;

use super::asked::Asked;
use super::{PROBE, constraints, declared};
use crate::cli::Format;
use crate::command::Global;
use crate::exact::{Answers, BUDGET, Setup};
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::human::{Grid, wrap};
use crate::progress::Bars;
use crate::runner::{self, Settings};
use crate::subject::Subjects;
use crate::{assets, interrupt, output};

/// Arguments of the exact search.
#[derive(clap::Args, Debug, Clone)]
pub struct ExactArgs {
    /// `--suite exact`: boxes judged per row before the answer stays an interval.
    #[arg(long, value_name = "N", default_value_t = BUDGET.boxes)]
    pub boxes: u64,
}

/// Name of the suite.
pub const SUITE: &str = EXACT;

/// Runs the mode.
pub fn run(args: &Asked<'_>, global: Global) -> Outcome<ExitCode> {
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
    let case = owned.borrow();
    let decimals = decimals(args, subject.target.output())?;
    let exact_decimals = decimals.is_some();
    let setup = Setup::exact(&project, &subject, &case, decimals)?;
    let bars = Bars::new(global.quiet);
    bars.begin("search");
    let budget = Budget { boxes: args.exact.boxes };
    let mut answers = setup.search(budget, threads, &bars, interrupt::flag());
    bars.end();
    if let Some(seconds) = answers.cpu_seconds {
        let rows = answers.nearest.len();
        output::note(global.quiet, &format!("search: {seconds:.4} s of CPU for {rows} rows"));
    }
    let suite = answers.suite();
    let facts = subject.facts(args.seed);
    let request = Request {
        numbers: None,
        facts: &facts,
        case: &case,
        suite: &suite,
        threat: None,
        scale: threat.scale,
        eps: &threat.eps,
        groups: &subject.groups,
        setup: &subject.setup,
    };
    let about = ExactSearch {
        arithmetic: arithmetic(exact_decimals, case.constraints.is_some()),
        edition: TREES.edition,
        trees: setup.trees() as u64,
        leaves: setup.leaves() as u64,
        boxes_limit: budget.boxes,
        ..ExactSearch::default()
    };
    let ctx = Ctx { seed: args.seed, progress: &bars, cancel: interrupt::flag() };
    bars.begin("witnesses");
    let judged = judged(&request, &setup, &answers, about, &ctx);
    bars.end();
    let (report, records) = judged?;
    if let Some(path) = &args.witnesses {
        super::write_records(path, &subject, &records)?;
    }
    let changes = constraints::explained(&args.constraint, &subject, case.constraints, &records);
    if global.format == Format::Json {
        let mut value = as_json(&report)?;
        constraints::add(&mut value, changes.as_deref())?;
        output::json(&value);
    } else {
        output::data(&as_text(&report, &case));
        output::data(&constraints::as_text(changes.as_deref().unwrap_or_default()));
    }
    let refused = report.validity.iter().any(|c| c.state == CheckState::Refuse);
    Ok(if refused { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// The witnesses that the deployed engine confirms, and the report of both.
fn judged(
    request: &Request<'_>,
    setup: &Setup<'_>,
    answers: &Answers,
    about: ExactSearch,
    ctx: &Ctx<'_>,
) -> Outcome<(AttackReport, Vec<RowRecord>)> {
    let case = request.case;
    let rows: Vec<usize> = (0..case.oracle.rows()).collect();
    let far = budgets(request.eps, answers);
    let done = Default::default();
    let records = harness::run(case, request.suite, &far, &rows, &done, ctx, &mut |_| {});
    let records = records.map_err(failed)?;
    let witnesses: BTreeMap<u64, Vec<f32>> =
        records.iter().filter_map(|r| Some((r.point.index, r.witness.clone()?))).collect();
    let mut report = evasion::report(request, &records, request.setup.to_vec());
    if request.eps.is_empty() {
        report.points.iter_mut().for_each(|p| p.runs.clear());
    }
    let rows = searched(setup, answers, &witnesses);
    let attackable = |label, decided| case.criterion.attackable(label, Some(decided));
    told(&mut report, &rows, &attackable, about);
    report.profile = Some(evasion::profiled(request, &report.points));
    Ok((report, records))
}

/// The ensemble with the decimals of its file, for a dump; other files hold no more digits than
/// the engine.
fn decimals(args: &Asked<'_>, judged: &str) -> Outcome<Option<Ensemble>> {
    if assets::recognise(&args.model)? != Kind::XgboostDump {
        return Ok(None);
    }
    let hints = Hints { decimals: true, ..args.dump.hints(&args.columns) };
    let model = assets::open_model_with(&args.model, &hints)?;
    let found =
        model::find(model.graph(), judged).or_fail("exact", "please report this as a bug")?;
    Ok(Some(found.ensemble))
}

/// The budgets asked for; else one beyond all that was found, so that witnesses are kept.
fn budgets(eps: &[f64], answers: &Answers) -> Vec<f64> {
    if !eps.is_empty() {
        return eps.to_vec();
    }
    let found = answers.nearest.values().filter_map(|n| n.upper);
    vec![found.fold(1.0, f64::max) * 2.0]
}

fn searched(
    setup: &Setup<'_>,
    answers: &Answers,
    witnesses: &BTreeMap<u64, Vec<f32>>,
) -> BTreeMap<u64, Searched> {
    let each = answers.decided.iter().enumerate().map(|(row, &decided)| {
        let witness = witnesses.get(&(row as u64)).map(|x| setup.distance(row, x));
        let nearest = answers.nearest.get(&row).cloned();
        (row as u64, Searched { decided, nearest, witness })
    });
    each.collect()
}

fn arithmetic(decimals: bool, constrained: bool) -> String {
    let numbers = if decimals {
        "exact, f64 decimals: thresholds, leaves and rows as their files write them; infimum of \
         the distances (the open side of a test counts as its closure), absent values are 0"
    } else {
        "exact, f64: thresholds and leaves as the engine holds them, rows as their file writes \
         them; infimum of the distances (the open side of a test counts as its closure)"
    };
    let valid = if constrained {
        "; to rows that hold the declared constraints, with a lower end that knows only bounds, \
         whole numbers and directions"
    } else {
        ""
    };
    format!("{numbers}{valid}")
}

fn as_json(report: &AttackReport) -> Outcome<serde_json::Value> {
    let mut value = serde_json::to_value(report).or_fail("attack", "")?;
    let mean = report.exact.as_ref().and_then(|exact| exact.mean_distance);
    if let (Some(object), Some(mean)) = (value.as_object_mut(), mean) {
        object.insert("mean_distance".into(), mean.into());
    }
    Ok(value)
}

fn as_text(report: &AttackReport, case: &Case<'_>) -> String {
    let Some(exact) = &report.exact else { return String::new() };
    let norm = harness::norm_name(case.norm);
    let mut text = format!(
        "{} rows, {} decided rightly, {} searched; {} trees, {} leaves; decision: {}\n",
        report.n, report.correct, exact.searched, exact.trees, exact.leaves, report.decision
    );
    let mut facts = Grid::new(&["nearest change", "rows", norm]);
    let mean = exact.mean_distance.map_or("-".to_owned(), |m| format!("mean {m:.6}"));
    let exactly = exact.settled - exact.unchangeable.len() as u64;
    facts.row(vec!["exact distance".into(), exactly.to_string(), mean]);
    facts.row(vec![
        "none: nothing changes the decision".into(),
        exact.unchangeable.len().to_string(),
        "infinite".into(),
    ]);
    facts.row(vec![
        "interval only: search stopped early".into(),
        exact.open.len().to_string(),
        interval(report),
    ]);
    text.push_str(&facts.render());
    text.push_str(&budgets_as_text(exact));
    let mut lines = vec![
        exact.arithmetic.clone(),
        format!(
            "deployed engine ({} {}): {} of {} decided rightly{}; a witness counts where it \
             decides otherwise",
            report.engine.name,
            report.engine.version,
            exact.deployed.correct,
            report.n,
            rows(", other than the search on rows", &exact.deployed.differs)
        ),
    ];
    if !exact.unconfirmed.is_empty() {
        lines.push(format!(
            "the deployed engine did not turn near the exact point of {} rows{}: the distance is \
             exact for the sums of the file, rounding decides there",
            exact.unconfirmed.len(),
            rows(": rows", &exact.unconfirmed)
        ));
    }
    if !exact.open.is_empty() {
        lines.push(match case.constraints {
            None => "open rows: `--boxes` lets the search go on".into(),
            Some(_) => "open rows: `--boxes` lets the search go on; where the nearest change of \
                        the trees breaks a constraint, the row stays an interval"
                .into(),
        });
    }
    for line in lines {
        text.push_str(&wrap(&line, 92, "  "));
    }
    for check in report.validity.iter().filter(|c| c.state != CheckState::Ok) {
        text.push_str(&wrap(&format!("{}: {} {}", check.check, check.reason, check.fix), 92, "  "));
    }
    text.push_str("Nothing was logged.\n");
    text
}

fn budgets_as_text(exact: &ExactSearch) -> String {
    if exact.robust.is_empty() {
        return String::new();
    }
    let mut grid =
        Grid::new(&["budget", "right for every change nearer", "open", "deployed engine"]);
    for (at, deployed) in exact.robust.iter().zip(&exact.deployed.robust) {
        grid.row(vec![
            at.eps.to_string(),
            at.proved.to_string(),
            at.open.to_string(),
            format!("at most {deployed}"),
        ]);
    }
    grid.render()
}

/// Mean ends of the open intervals.
fn interval(report: &AttackReport) -> String {
    let Some(exact) = &report.exact else { return String::new() };
    let open: Vec<_> = report.points.iter().filter(|p| exact.open.contains(&p.index)).collect();
    if open.is_empty() {
        return "-".into();
    }
    let mean = |ends: Vec<f64>| ends.iter().sum::<f64>() / ends.len() as f64;
    let lower = mean(open.iter().filter_map(|p| p.distance.lower).collect());
    let upper: Vec<f64> = open.iter().filter_map(|p| p.distance.upper).collect();
    let none = open.len() - upper.len();
    let upper = if upper.is_empty() { "-".into() } else { format!("{:.6}", mean(upper)) };
    format!("mean lower {lower:.6}, mean upper {upper} ({none} without a witness)")
}

fn rows(before: &str, rows: &[u64]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = rows.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if rows.len() > SHOWN { " ..." } else { "" };
    format!("{before} {}{more}", shown.join(", "))
}

fn failed(error: HarnessError) -> Failure {
    match error {
        HarnessError::Cancelled => {
            Failure::new("interrupted", "stopped on request; nothing was kept", "run it again")
        }
        other => Failure::new("attack", other, "see `proofmark model inspect`"),
    }
}

/// Rows named in a line.
const SHOWN: usize = 5;
