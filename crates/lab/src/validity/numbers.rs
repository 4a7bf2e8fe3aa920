//! Gates 1 and 16 for a model that answers with a number.
//!
//! Owns the comparison with the training framework's answers, with other ways to read the data,
//! with a constant answer and with an answer on another scale. Refuses when another way fits
//! and names it. Called by `clean_accuracy` and `degenerate`.

use super::{Finding, Setup, some_of};
use crate::harness::Clean;
use crate::oracle::OracleError;
use crate::stats::mcnemar;

/// Gate 1.
pub(super) fn fits(setup: &Setup<'_>, targets: &[f64]) -> Result<Finding, OracleError> {
    if let Some(expected) = setup.expected {
        return parity(setup, expected);
    }
    if let Some(finding) = better_reading(setup, targets)? {
        return Ok(finding);
    }
    let answers = answers(setup.clean);
    let Line { slope, offset, correlation } = line(&answers, targets);
    let (error, constant) = (errors(&answers, targets), spread(targets));
    let said = format!(
        "root mean square error {error:.4}, {constant:.4} for always the mean label \
         (correlation {correlation:.3})"
    );
    if !error.is_finite() {
        return Ok(Finding::not_examined("some answer is no number (see gate 3)"));
    }
    if constant == 0.0 {
        return Ok(Finding::warn(
            "every row has the same label",
            "declare data in which the label varies",
        ));
    }
    if error < NEAR_CONSTANT * constant {
        return Ok(Finding::ok(said));
    }
    if correlation >= GOES_WITH {
        return Ok(Finding::refuse(
            format!("{said}: the answers go with the labels, but on another scale"),
            format!(
                "label is about {slope:.4} x answer + {offset:.4}: put the inverse of the \
                 training code's scaling of the label into the model"
            ),
        ));
    }
    Ok(Finding::refuse(
        format!("{said}: the model does not see its data"),
        "compare layout, normalisation, column order and the label with the training code; \
         write `expected` to check them",
    ))
}

/// Gate 16.
pub(super) fn varies(setup: &Setup<'_>, targets: &[f64]) -> Finding {
    let answers = answers(setup.clean);
    let n = answers.len();
    let mut sorted = answers.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    let (got, wanted) = (spread(&answers), spread(targets));
    let said = format!(
        "{} different answers for {n} rows, standard deviation {got:.4}; of the labels {wanted:.4}",
        sorted.len()
    );
    let most = most_common(&answers);
    let labels_vary = (most_common(targets) as f64) < SAME * n as f64;
    let constant = most as f64 >= SAME * n as f64 || got <= STILL * wanted;
    if n > 1 && wanted > 0.0 && constant && labels_vary {
        return Finding::refuse(
            format!("the model is degenerate: {said}"),
            "check the scale of the inputs and which output is judged",
        );
    }
    Finding::ok(said)
}

/// A size under which differences of answers are rounding: their mean magnitude.
pub(super) fn magnitude(clean: &Clean) -> f32 {
    let answers = answers(clean);
    let finite = answers.iter().filter(|a| a.is_finite());
    let (sum, n) = finite.fold((0.0, 0_usize), |(s, n), a| (s + a.abs(), n + 1));
    (sum / n.max(1) as f64) as f32
}

fn parity(setup: &Setup<'_>, expected: &[f32]) -> Result<Finding, OracleError> {
    let rows = setup.clean.rows();
    let classes = setup.clean.classes();
    if expected.len() != rows * classes {
        return Ok(Finding::refuse(
            format!("{} expected answers for {rows} rows", expected.len()),
            "write `expected` with one number per data row",
        ));
    }
    let size = expected.iter().map(|v| f64::from(v.abs())).sum::<f64>() / rows.max(1) as f64;
    let departures = |clean: &Clean| -> Vec<usize> {
        let near = |row: usize| {
            let (got, wanted) = (f64::from(clean.scores(row)[0]), f64::from(expected[row]));
            (got - wanted).abs() <= PARITY * wanted.abs().max(size)
        };
        (0..rows).filter(|&row| !near(row)).collect()
    };
    let off = departures(setup.clean);
    let allowed = rows / PARITY_ALLOWED_ONE_IN;
    if off.len() <= allowed {
        return Ok(Finding::ok(format!(
            "answers match the training framework on {} of {rows} rows",
            rows - off.len()
        )));
    }
    for other in setup.alternatives {
        let clean = Clean::ask(other.oracle, &setup.decision)?;
        if clean.classes() == classes && departures(&clean).len() <= allowed {
            return Ok(Finding::refuse(
                format!("answers match the training framework only when read as: {}", other.name),
                other.fix.clone(),
            ));
        }
    }
    Ok(Finding::refuse(
        format!("answers differ from the training framework on {}", some_of(&off, rows)),
        "compare preprocessing, column order, row order and the scaling of the label",
    ))
}

/// Another reading of the data with far smaller errors, and surely so (sign test over rows).
fn better_reading(setup: &Setup<'_>, targets: &[f64]) -> Result<Option<Finding>, OracleError> {
    let here = answers(setup.clean);
    let error = errors(&here, targets);
    let mut best: Option<(f64, &super::Alternative<'_>)> = None;
    for other in setup.alternatives {
        let there = answers(&Clean::ask(other.oracle, &setup.decision)?);
        let (mut gained, mut lost) = (0, 0);
        for ((a, b), target) in here.iter().zip(&there).zip(targets) {
            let (a, b) = ((a - target).abs(), (b - target).abs());
            gained += u64::from(b < a);
            lost += u64::from(a < b);
        }
        let share = errors(&there, targets) / error;
        let sure = share < FAR_SMALLER && gained > lost && mcnemar(gained, lost) < SURE;
        if sure && best.is_none_or(|(least, _)| share < least) {
            best = Some((share, other));
        }
    }
    Ok(best.map(|(share, other)| {
        Finding::refuse(
            format!(
                "root mean square error {error:.4} as declared, {:.4} when read as: {}",
                share * error,
                other.name
            ),
            other.fix.clone(),
        )
    }))
}

fn answers(clean: &Clean) -> Vec<f64> {
    (0..clean.rows())
        .map(|row| clean.scores(row).first().map_or(f64::NAN, |&v| f64::from(v)))
        .collect()
}

/// Root of the mean squared error.
fn errors(answers: &[f64], targets: &[f64]) -> f64 {
    let each = answers.iter().zip(targets).map(|(a, t)| (a - t).powi(2));
    (each.sum::<f64>() / targets.len().max(1) as f64).sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn spread(values: &[f64]) -> f64 {
    let mean = mean(values);
    let each = values.iter().map(|v| (v - mean).powi(2));
    (each.sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// How many values equal the most common one.
fn most_common(values: &[f64]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or(0)
}

/// Labels as a straight line of the answers, by least squares.
struct Line {
    slope: f64,
    offset: f64,
    correlation: f64,
}

fn line(answers: &[f64], targets: &[f64]) -> Line {
    let (a, t) = (mean(answers), mean(targets));
    let together: f64 = answers.iter().zip(targets).map(|(x, y)| (x - a) * (y - t)).sum();
    let n = targets.len().max(1) as f64;
    let (sa, st) = (spread(answers), spread(targets));
    let slope = if sa > 0.0 { together / n / (sa * sa) } else { 0.0 };
    let correlation = if sa > 0.0 && st > 0.0 { together / n / (sa * st) } else { 0.0 };
    Line { slope, offset: t - slope * a, correlation }
}

/// Share of a constant answer's error from which a model counts as blind.
const NEAR_CONSTANT: f64 = 0.99;
/// Correlation from which answers go with the labels.
const GOES_WITH: f64 = 0.5;
/// Share of the error to which another reading must bring it down.
const FAR_SMALLER: f64 = 0.9;
/// p-value under which the lead is no chance.
const SURE: f64 = 1e-3;
/// Share of rows answered alike from which a model counts as constant.
const SAME: f64 = 0.99;
/// Share of the labels' standard deviation under which answers count as standing still.
const STILL: f64 = 1e-6;
/// Relative difference to the training framework that f32 arithmetic can explain.
const PARITY: f64 = 1e-3;
/// One row in so many may differ: a tree's threshold can fall between f32 and f64.
const PARITY_ALLOWED_ONE_IN: usize = 200;
