//! The table for people, and the JSON document.
//!
//! Owns layout. Must never compute a figure or leave out a measure that did nothing.

use proofmark_assess::treatment::{Arm, Effect};
use proofmark_schema::measurement::{CheckState, Measurement, Quantity};

use super::Global;
use super::arms::Bench;
use super::scene::Scene;
use super::seal::Sealed;
use crate::cli::Format;
use crate::output;
use crate::output::human::{Grid, percent, wrap};

/// Prints the result.
pub fn print(global: Global, sealed: &Sealed, scene: &Scene<'_>, _bench: &Bench) {
    if global.format == Format::Json {
        output::json(&sealed.document);
        return;
    }
    output::data(&text(sealed, scene));
}

fn text(sealed: &Sealed, scene: &Scene<'_>) -> String {
    let said = &sealed.said;
    let eps = scene.table_eps();
    let mut text = format!(
        "{} of {} {}: {} against the attacker `{}` at {eps}, {} rows of data.{}\n\n",
        said.id,
        said.system,
        said.version,
        scene.primary_asset.name,
        scene.threat.name,
        scene.primary.clean.rows(),
        scene.data.name
    );
    for measure in &said.measures {
        text.push_str(&wrap(&format!("{}: {}", measure.id, measure.what), WIDTH, "  "));
        if let Some(why) = &measure.not_measured {
            text.push_str(&wrap(why, WIDTH, "      "));
        }
    }
    text.push('\n');
    text.push_str(&arms(said.arms.as_slice(), eps));
    text.push('\n');
    text.push_str(&groups(said.arms.as_slice(), eps));
    text.push_str("\nWhat each measure changed, row by row (95 % intervals):\n");
    text.push_str(&effects(&said.effects, eps));
    text.push_str(&common(&said.figures));
    text.push_str(&doubts(&said.arms));
    for note in &said.notes {
        text.push_str(&wrap(note, WIDTH, "  "));
    }
    text.push_str(&format!(
        "\nsigned     statement {}, log entry {}\nfiles      {}\nnext       {}\n",
        sealed.statement.get(..12).unwrap_or_default(),
        sealed.entry,
        sealed.out.display(),
        next(said, scene)
    ));
    text
}

fn arms(arms: &[Arm], eps: f64) -> String {
    let mut grid = Grid::new(&[
        "arm",
        "accuracy",
        "robust accuracy",
        "robust recall",
        "refused",
        "p50 ms",
        "p99 ms",
    ]);
    for arm in arms {
        let at = |metric: &str, eps: Option<f64>| cell(overall(arm, metric, eps));
        let millis = |metric: &str| {
            overall(arm, metric, None)
                .map_or_else(|| "-".into(), |m| format!("{:.3}", 1e3 * m.quantity.value()))
        };
        grid.row(vec![
            arm.name.clone(),
            at("accuracy", None),
            at("robust_accuracy", Some(eps)),
            at("robust_recall", Some(eps)),
            at("refused_share", None),
            millis("latency_p50"),
            millis("latency_p99"),
        ]);
    }
    grid.render()
}

/// Accuracy, then accuracy under attack, per group.
fn groups(arms: &[Arm], eps: f64) -> String {
    let Some(first) = arms.first() else { return String::new() };
    let mut names: Vec<(String, String)> = Vec::new();
    for m in &first.measurements {
        if let Some(group) = m.subject.group.clone().filter(|g| !names.contains(g)) {
            names.push(group);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let mut header = vec!["per group: accuracy / under attack".to_owned()];
    header.extend(names.iter().map(|(feature, value)| format!("{feature}={value}")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut grid = Grid::new(&header);
    for arm in arms {
        let mut row = vec![arm.name.clone()];
        for group in &names {
            let of = |metric: &str, eps: Option<f64>| {
                arm.measurements.iter().find(|m| {
                    m.metric == metric
                        && m.subject.eps == eps
                        && m.subject.class.is_none()
                        && m.subject.group.as_ref() == Some(group)
                })
            };
            let (clean, robust) = (of("accuracy", None), of("robust_accuracy", Some(eps)));
            row.push(format!("{} / {}", cell(clean), cell(robust)));
        }
        grid.row(row);
    }
    grid.render()
}

fn effects(effects: &[Effect], eps: f64) -> String {
    let mut grid =
        Grid::new(&["measure", "compared", "figure", "points", "interval", "rows +/-", ""]);
    for e in effects.iter().filter(|e| e.eps.is_none_or(|at| at == eps)) {
        let figure = match e.eps {
            Some(at) => format!("{} at {at}", e.metric),
            None => e.metric.clone(),
        };
        grid.row(vec![
            e.measure.clone(),
            format!("{} - {}", e.with, e.without),
            figure,
            format!("{:+.1}", 100.0 * e.difference),
            format!("[{:+.1}, {:+.1}]", 100.0 * e.lower, 100.0 * e.upper),
            format!("+{} -{} of {}", e.gained, e.lost, e.n),
            e.says.words().to_owned(),
        ]);
    }
    grid.render()
}

fn common(figures: &[Measurement]) -> String {
    let mut text = String::new();
    for m in figures.iter().filter(|m| m.metric == "common_mode") {
        if let Quantity::Estimate { value, lower, upper, k: Some(k), n, .. } = &m.quantity {
            text.push_str(&format!(
                "\nCommon-mode failure: of {n} witnesses against the primary {k} also fool \
                 models.{}: {} [{}, {}]\n",
                m.subject.model,
                percent(*value),
                percent(*lower),
                percent(*upper)
            ));
        }
    }
    text
}

/// Checks that do not hold in some arm, once each.
fn doubts(arms: &[Arm]) -> String {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for arm in arms {
        let checks = arm.measurements.iter().filter(|m| m.subject.eps.is_some());
        for check in checks.flat_map(|m| &m.validity) {
            if !matches!(check.state, CheckState::Warn | CheckState::Refuse) {
                continue;
            }
            match told.iter_mut().find(|(name, _)| *name == check.check) {
                Some((_, arms)) if arms.contains(&arm.name) => {}
                Some((_, arms)) => arms.push(arm.name.clone()),
                None => told.push((check.check.clone(), vec![arm.name.clone()])),
            }
        }
    }
    let line = |(name, arms): &(String, Vec<String>)| {
        wrap(&format!("{name} does not hold in: {}", arms.join(", ")), WIDTH, "  ")
    };
    let lines: String = told.iter().map(line).collect();
    if lines.is_empty() { "\n".into() } else { format!("\n{lines}") }
}

fn next(said: &proofmark_assess::treatment::TreatmentsPredicate, scene: &Scene<'_>) -> String {
    let dir = scene.project.dir.display();
    match said.measures.iter().any(|m| m.id == "adversarial-rows" && m.not_measured.is_some()) {
        true => format!(
            "retrain with the adversarial rows, declare the model as a candidate, then \
             proofmark harden -C {dir} --out ... --retrained NAME"
        ),
        false => format!(
            "take what is better (guard-settings.toml, declaration.toml), then proofmark assess \
             -C {dir}"
        ),
    }
}

fn overall<'m>(arm: &'m Arm, metric: &str, eps: Option<f64>) -> Option<&'m Measurement> {
    arm.measurements.iter().find(|m| {
        m.metric == metric
            && m.subject.eps == eps
            && m.subject.class.is_none()
            && m.subject.group.is_none()
    })
}

fn cell(m: Option<&Measurement>) -> String {
    m.map_or_else(|| "-".into(), |m| percent(m.quantity.value()))
}

/// Columns of wrapped text.
const WIDTH: usize = 96;
