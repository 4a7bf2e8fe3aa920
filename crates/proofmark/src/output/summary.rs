//! What `assess` prints: figures, verdicts, the matrix, and where the evidence lies.
//!
//! Owns the layout. Every number comes from a signed measurement of the assessment.

use std::fmt::Write as _;

use proofmark_assess::assessment::{Assessment, ProbeRecord};
use proofmark_assess::judge::Verdict;
use proofmark_schema::measurement::{CheckState, Measurement, Quantity, Validity};
use proofmark_schema::plan::ProbeKind;
use proofmark_schema::system::Bound;
use proofmark_schema::taxonomy::{Coverage, Verb};
use serde_json::{Value, json};

use super::human::{Grid, percent, wrap};
use crate::command::assess::whole;
use crate::project::Project;
use crate::state::State;

/// The text for people.
pub fn text(assessment: &Assessment, project: &Project, state: &State) -> String {
    let mut text = String::new();
    let system = &assessment.system;
    let demo = if system.demo { "   DEMO KEY: fit for no declaration" } else { "" };
    let _ =
        writeln!(text, "\n{} {}   {}{demo}", system.name, system.version, assessment.record.run);
    for record in &assessment.results {
        text.push_str(&probe(record));
    }
    text.push_str(&verdicts(assessment));
    text.push_str(&matrix(assessment));
    text.push_str(&closing(assessment, project, state));
    text
}

fn probe(record: &ProbeRecord) -> String {
    let said = &record.said;
    let mut text = format!("\n{}\n", heading(record));
    if let Some(failed) = &said.failed {
        text.push_str(&wrap(&format!("not measured: {}", failed.reason), 92, "  "));
        return text;
    }
    let mut whole = Grid::new(&["figure", "value", "95 % interval", "rows"]);
    for m in said.measurements.iter().filter(|m| part(m).is_none()) {
        whole.row([vec![named(m)], figure(&m.quantity, &m.unit)].concat());
    }
    text.push_str(&whole.render());
    text.push_str(&parts(&said.measurements));
    text.push_str(&flags(&said.validity));
    text
}

/// Per metric: one line per group or class, one column per budget; the report has them all.
fn parts(measurements: &[Measurement]) -> String {
    let mut text = String::new();
    for metric in PART_METRICS {
        let shown = |m: &&Measurement| {
            m.metric == *metric && m.subject.class.is_none() != m.subject.group.is_none()
        };
        let of_parts: Vec<&Measurement> = measurements.iter().filter(shown).collect();
        let mut columns: Vec<Option<f64>> = Vec::new();
        let mut rows: Vec<String> = Vec::new();
        for m in &of_parts {
            push_once(&mut columns, m.subject.eps);
            push_once(&mut rows, part(m).unwrap_or_default());
        }
        if rows.is_empty() {
            continue;
        }
        let title = format!("{}, percent", metric.replace('_', " "));
        let budget = |eps: &Option<f64>| match eps {
            Some(eps) => format!("budget {eps}"),
            None => "[95 % interval]".to_owned(),
        };
        let heads: Vec<String> = std::iter::once(title).chain(columns.iter().map(budget)).collect();
        let mut grid = Grid::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
        for row in rows {
            let cell = |eps: &Option<f64>| {
                let found = of_parts
                    .iter()
                    .find(|m| part(m).as_deref() == Some(&row) && m.subject.eps == *eps);
                found.map_or_else(String::new, |m| short(&m.quantity))
            };
            let cells: Vec<String> = columns.iter().map(cell).collect();
            grid.row([vec![row.clone()], cells].concat());
        }
        text.push_str(&format!("\n{}", grid.render()));
    }
    text
}

fn push_once<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// `66.3 [60.7, 71.7]`, in percent.
fn short(quantity: &Quantity) -> String {
    let percent = |v: f64| format!("{:.1}", v * 100.0);
    match quantity {
        Quantity::Estimate { value, lower, upper, .. } => {
            format!("{} [{}, {}]", percent(*value), percent(*lower), percent(*upper))
        }
        Quantity::Bracket { attacked, lower, upper, .. } => {
            format!("{} [{}, {}]", percent(*attacked), percent(*lower), percent(*upper))
        }
        Quantity::Exact { value, .. } => percent(*value),
        Quantity::Screen { found, .. } => found.to_string(),
    }
}

fn heading(record: &ProbeRecord) -> String {
    let probe = &record.said.probe;
    let what = match &probe.kind {
        ProbeKind::Parity => "agreement with the training framework".to_owned(),
        ProbeKind::Accuracy => "accuracy at the declared decision".to_owned(),
        ProbeKind::Evasion { threat, suite, edition, .. } => {
            format!("evasion by threat `{threat}`, suite {suite} edition {edition}")
        }
        ProbeKind::Fault { fault, what, edition, .. } => {
            format!("fault `{fault}`, {what} edition {edition}")
        }
    };
    format!("{} on {}: {what}", probe.model, probe.data)
}

fn named(m: &Measurement) -> String {
    let metric = m.metric.replace('_', " ");
    if let Some(severity) = m.subject.severity {
        let fault = m.subject.fault.as_deref().and_then(|name| name.split_once('/'));
        let member = fault.map(|(_, member)| format!("{member}, ")).unwrap_or_default();
        return format!("{metric}, {member}severity {severity}");
    }
    match (m.subject.eps, m.subject.quantile) {
        (Some(eps), _) => format!("{metric}, budget {eps}"),
        (None, Some(quantile)) => format!("{metric}, {quantile}"),
        (None, None) => metric,
    }
}

fn part(m: &Measurement) -> Option<String> {
    match (&m.subject.group, &m.subject.class) {
        (Some((feature, value)), _) => Some(format!("{feature} = {value}")),
        (None, Some(class)) => Some(format!("class {class}")),
        (None, None) => None,
    }
}

/// Value, interval, rows.
fn figure(quantity: &Quantity, unit: &str) -> Vec<String> {
    let show = |v: f64| match unit {
        "proportion" => percent(v),
        _ if v != 0.0 && v.abs() < 0.001 => format!("{v:.1e}"),
        _ if v.fract() == 0.0 || v.abs() >= 100.0 => format!("{v:.0}"),
        _ => format!("{v:.4}"),
    };
    match quantity {
        Quantity::Estimate { value, lower, upper, k, n, .. } => vec![
            show(*value),
            format!("{} to {}", show(*lower), show(*upper)),
            k.map_or(n.to_string(), |k| format!("{k} of {n}")),
        ],
        Quantity::Bracket { attacked, lower, upper, k, n, .. } => vec![
            format!("at most {}", show(*attacked)),
            format!("{} to {}", show(*lower), show(*upper)),
            format!("{k} of {n}"),
        ],
        Quantity::Exact { value, .. } => vec![show(*value), "exact".into(), String::new()],
        Quantity::Screen { found, coverage, .. } => {
            vec![found.to_string(), format!("coverage {}", percent(*coverage)), String::new()]
        }
    }
}

fn flags(checks: &[Validity]) -> String {
    let mut text = String::new();
    let mut ok = 0;
    for check in checks {
        let word = match check.state {
            CheckState::Ok => {
                ok += 1;
                continue;
            }
            CheckState::Warn => "warning",
            CheckState::Refuse => "REFUSED",
            CheckState::NotExamined => "not examined",
        };
        let line = format!("{word} ({}): {} {}", check.check, check.reason, check.fix);
        text.push_str(&wrap(&line, 92, "  "));
    }
    let _ = writeln!(text, "  {ok} validity checks hold");
    text
}

fn verdicts(assessment: &Assessment) -> String {
    let mut text = String::from("\nverdicts on the criteria registered before the run\n");
    for verdict in &assessment.verdicts {
        let criterion = &verdict.criterion;
        let _ = writeln!(
            text,
            "  {:<12} {}: {}",
            verdict.state.word().to_uppercase(),
            criterion.name,
            asked(verdict)
        );
        text.push_str(&wrap(&measured(verdict), 85, "               "));
        for reason in &verdict.exploratory {
            let line = format!("exploratory, unfit for declaration: {reason}");
            text.push_str(&wrap(&line, 85, "               "));
        }
    }
    text
}

fn asked(verdict: &Verdict) -> String {
    let c = &verdict.criterion;
    let bound = match c.bound {
        Bound::AtLeast(v) => format!("at least {v}"),
        Bound::AtMost(v) => format!("at most {v}"),
    };
    let threat = match (&c.threat, c.eps) {
        (Some(threat), Some(eps)) => format!(" under `{threat}` at {eps}"),
        _ => String::new(),
    };
    let fault = c.fault.as_ref().map(|fault| format!(" under the fault `{fault}`"));
    let severity = c.severity.map(|severity| format!(" at severity {severity}"));
    let fault = fault.unwrap_or_default() + &severity.unwrap_or_default();
    let group = c.group.as_ref().map(|(f, v)| format!(" for {f} = {v}")).unwrap_or_default();
    let metric = c.metric.replace('_', " ");
    format!("{metric} of {} on {}{threat}{fault}{group} {bound}", c.model, c.data)
}

fn measured(verdict: &Verdict) -> String {
    let figure = match (verdict.value, verdict.lower, verdict.upper) {
        (Some(v), Some(l), Some(u)) => format!(
            "measured {v:.4}, one-sided bounds {l:.4} and {u:.4} at {}: ",
            verdict.criterion.confidence
        ),
        _ => String::new(),
    };
    let rows = verdict
        .rows_to_decide
        .map(|n| format!("; about {n} rows would decide"))
        .unwrap_or_default();
    let fix = if verdict.fix.is_empty() { String::new() } else { format!("; {}", verdict.fix) };
    format!("{figure}{}{rows}{fix}", verdict.reason)
}

fn matrix(assessment: &Assessment) -> String {
    let mut text = String::from("\nseven threats by five verbs\n");
    let verbs: Vec<&str> = Verb::ALL.iter().map(|v| v.id()).collect();
    let mut grid = Grid::new(&[&["threat"], verbs.as_slice()].concat());
    for row in &assessment.matrix.rows {
        let cells = row.cells.iter().map(|cell| word(cell.coverage).to_owned());
        grid.row(std::iter::once(row.threat.title().to_owned()).chain(cells).collect());
    }
    text.push_str(&grid.render());
    let count = |c| assessment.matrix.count(c);
    let _ = writeln!(
        text,
        "  {} measured, {} imported, {} declared, {} waived, {} missing",
        count(Coverage::Measured),
        count(Coverage::Imported),
        count(Coverage::Declared),
        count(Coverage::Waived),
        count(Coverage::Missing)
    );
    text
}

fn word(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Measured => "MEASURED",
        Coverage::Imported => "imported",
        Coverage::Declared => "declared",
        Coverage::Waived => "waived",
        Coverage::Missing => "-",
    }
}

fn closing(assessment: &Assessment, project: &Project, state: &State) -> String {
    let mut text = String::new();
    if !assessment.complete {
        text.push_str("\nINCOMPLETE: at least one probe gave no figures\n");
    }
    for reason in &assessment.exploratory {
        text.push_str(&wrap(&format!("exploratory: {reason}"), 92, "  "));
    }
    let dir = project.dir.display();
    let _ = write!(
        text,
        "\nevidence   {}\nreport     proofmark dossier -C {dir} --out pack\n\
         again      proofmark replay {} -C {dir}\n",
        state.dir().display(),
        assessment.record.run
    );
    text
}

/// The same for machines.
pub fn json(assessment: &Assessment, project: &Project, state: &State) -> Value {
    let measurements: Vec<&Measurement> =
        assessment.results.iter().flat_map(|r| &r.said.measurements).collect();
    let failed: Vec<Value> = assessment
        .results
        .iter()
        .filter_map(|r| {
            let failed = r.said.failed.as_ref()?;
            Some(json!({"probe": r.said.probe.id, "reason": failed.reason, "fix": failed.fix}))
        })
        .collect();
    let validity: Vec<Value> = assessment
        .results
        .iter()
        .map(|r| json!({"probe": r.said.probe.id, "checks": r.said.validity}))
        .collect();
    json!({
        "format": "proofmark.assessment/1",
        "complete": whole(assessment),
        "demo": assessment.system.demo,
        "system": assessment.system.name,
        "version": assessment.system.version,
        "run": assessment.record.run,
        "plan": assessment.record.plan.statement.hex(),
        "verdicts": assessment.verdicts,
        "exploratory": assessment.exploratory,
        "measurements": measurements,
        "validity": validity,
        "failed": failed,
        "matrix": assessment.matrix,
        "checkpoint": assessment.checkpoint,
        "evidence": state.dir(),
        "declaration": project.dir.join(crate::project::FILE),
    })
}

/// Figures shown per group and class on a terminal.
const PART_METRICS: &[&str] = &["accuracy", "robust_accuracy", "robust_recall"];
