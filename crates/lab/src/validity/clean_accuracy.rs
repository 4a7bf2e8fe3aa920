//! Gate 1: does the model see what it was trained on?
//!
//! Owns the comparison with the training framework's scores, with other ways to read the data,
//! with other label orders, and with chance. Refuses when another way fits and names it.

use proofmark_schema::measurement::CheckState;

use super::{Finding, Setup};
use crate::accuracy::ranking_score;
use crate::harness::Clean;
use crate::oracle::OracleError;
use crate::stats::{Confusion, delong, mcnemar};

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    if setup.clean.rows() == 0 {
        return Ok(Finding::refuse("there are no rows", "declare data with at least one row"));
    }
    if let Some(targets) = setup.targets {
        return super::numbers::fits(setup, targets);
    }
    if let Some(expected) = setup.expected {
        let finding = parity(setup, expected)?;
        // The right scores can still be held against the wrong labels.
        let labels = (finding.state == CheckState::Ok).then(|| other_labels(setup)).flatten();
        return Ok(labels.map_or(finding, |(_, other)| other));
    }
    // Other data and other labels can both do better than what is declared: the one that explains
    // more rows is named.
    let both = [better_reading(setup)?, other_labels(setup)];
    let best = both.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0));
    Ok(best.map_or_else(|| chance(setup), |(_, finding)| finding))
}

/// A better way to read data or labels: the share of rows right under it, and the refusal.
type Better = (f64, Finding);

/// Against the scores of the training framework.
fn parity(setup: &Setup<'_>, expected: &[f32]) -> Result<Finding, OracleError> {
    let rows = setup.clean.rows();
    let classes = setup.clean.classes();
    if expected.len() != rows * classes {
        return Ok(Finding::refuse(
            format!("{} expected scores for {rows} rows x {classes} classes", expected.len()),
            "write `expected` with one row per data row and one column per class",
        ));
    }
    let off = departures(setup.clean, expected);
    let allowed = rows / PARITY_ALLOWED_ONE_IN;
    if off.len() <= allowed {
        let accuracy = setup.clean.correct(setup.labels);
        return Ok(Finding::ok(format!(
            "scores match the training framework on {} of {rows} rows; {accuracy} are correct",
            rows - off.len()
        )));
    }
    for other in setup.alternatives {
        let clean = Clean::ask(other.oracle, &setup.decision)?;
        if clean.classes() == classes && departures(&clean, expected).len() <= allowed {
            return Ok(Finding::refuse(
                format!("scores match the training framework only when read as: {}", other.name),
                other.fix.clone(),
            ));
        }
    }
    if let Some(order) = matching_columns(setup.clean, expected, allowed) {
        let names: Vec<&str> =
            order.iter().map(|&c| setup.classes.get(c).map_or("?", String::as_str)).collect();
        return Ok(Finding::refuse(
            "scores match the training framework only with the classes in another order",
            format!("declare `output.classes = [\"{}\"]`", names.join("\", \"")),
        ));
    }
    Ok(Finding::refuse(
        format!("scores differ from the training framework on {}", super::some_of(&off, rows)),
        "compare preprocessing, column order and row order with the training code",
    ))
}

/// Rows whose scores differ from the expected ones.
fn departures(clean: &Clean, expected: &[f32]) -> Vec<usize> {
    let each = expected.chunks(clean.classes()).enumerate();
    each.filter(|(row, wanted)| {
        let got = clean.scores(*row);
        let size = wanted.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        let near = |(g, w): (&f32, &f32)| (g - w).abs() <= PARITY * size;
        !got.iter().zip(wanted.iter()).all(near)
    })
    .map(|(row, _)| row)
    .collect()
}

/// The order of columns under which the scores match, for few classes.
fn matching_columns(clean: &Clean, expected: &[f32], allowed: usize) -> Option<Vec<usize>> {
    let classes = clean.classes();
    if !(2..=PERMUTED_CLASSES_MAX).contains(&classes) {
        return None;
    }
    permutations(classes).into_iter().find(|order| {
        let off = expected.chunks(classes).enumerate().filter(|(row, wanted)| {
            let got = clean.scores(*row);
            let size = wanted.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
            (0..classes).any(|c| (got[c] - wanted[order[c]]).abs() > PARITY * size)
        });
        off.count() <= allowed
    })
}

/// Another reading of the data that is far better, and surely so.
fn better_reading(setup: &Setup<'_>) -> Result<Option<Better>, OracleError> {
    let n = setup.clean.rows();
    let mut best: Option<(f64, &super::Alternative<'_>)> = None;
    for other in setup.alternatives {
        let clean = Clean::ask(other.oracle, &setup.decision)?;
        let (mut gained, mut lost) = (0, 0);
        for (row, &label) in setup.labels.iter().enumerate() {
            let here = setup.clean.decision(row) == Some(label);
            let there = clean.decision(row) == Some(label);
            gained += u64::from(there && !here);
            lost += u64::from(here && !there);
        }
        let lead = (gained as f64 - lost as f64) / n as f64;
        let sure = lead >= LEAD && mcnemar(gained, lost) < SURE;
        if sure && best.is_none_or(|(least, _)| lead > least) {
            best = Some((lead, other));
        }
    }
    let share = setup.clean.correct(setup.labels) as f64 / n as f64;
    Ok(best.map(|(lead, other)| {
        let finding = Finding::refuse(
            format!(
                "{:.1} % are correct as declared, {:.1} % when read as: {}",
                100.0 * share,
                100.0 * (share + lead),
                other.name
            ),
            other.fix.clone(),
        );
        (share + lead, finding)
    }))
}

/// Another order of the classes that is far better: by ranking for two classes, by the
/// confusion matrix for more.
fn other_labels(setup: &Setup<'_>) -> Option<Better> {
    let fix = |order: &[usize]| {
        let name = |&c: &usize| setup.classes.get(c).map_or("?", String::as_str);
        let names: Vec<&str> = order.iter().map(name).collect();
        format!(
            "check `output.classes` and `data.classes`; as \"{}\" they fit",
            names.join("\", \"")
        )
    };
    if setup.clean.classes() == 2 {
        let auc = ranking(setup)?;
        return (auc.interval.upper < 0.5 && auc.value < 0.4).then(|| {
            let finding = Finding::refuse(
                format!("scores rank the classes the wrong way round (AUC {:.3})", auc.value),
                fix(&[1, 0]),
            );
            // Swapped classes turn every decision round.
            let rows = setup.clean.rows() as f64;
            (1.0 - setup.clean.correct(setup.labels) as f64 / rows, finding)
        });
    }
    let confusion = Confusion::of(setup.clean.classes(), setup.labels, setup.clean.decisions());
    let order = best_relabelling(&confusion)?;
    let n = confusion.n() as f64;
    let hits: u64 = order.iter().enumerate().map(|(label, &d)| confusion.counts[label][d]).sum();
    let lead = (hits as f64 - confusion.correct() as f64) / n;
    // Three standard errors of a difference of shares, so that chance does not relabel.
    let error = (1.0 / n).sqrt();
    (lead > LEAD.max(3.0 * error)).then(|| {
        // `order[label]` is the output column that means `label`.
        let mut columns = vec![0; order.len()];
        order.iter().enumerate().for_each(|(label, &column)| columns[column] = label);
        let finding = Finding::refuse(
            format!(
                "{:.1} % are correct as declared, {:.1} % with the classes in another order",
                100.0 * confusion.correct() as f64 / n,
                100.0 * hits as f64 / n
            ),
            fix(&columns),
        );
        (hits as f64 / n, finding)
    })
}

/// Greedy assignment of decisions to labels; a permutation, or `None` when it is the identity.
fn best_relabelling(confusion: &Confusion) -> Option<Vec<usize>> {
    let classes = confusion.counts.len();
    let mut cells: Vec<(u64, usize, usize)> = (0..classes)
        .flat_map(|l| (0..classes).map(move |d| (l, d)))
        .map(|(l, d)| (confusion.counts[l][d], l, d))
        .collect();
    cells.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut order = vec![usize::MAX; classes];
    let mut taken = vec![false; classes];
    for (_, label, decision) in cells {
        if order[label] == usize::MAX && !taken[decision] {
            order[label] = decision;
            taken[decision] = true;
        }
    }
    (order.iter().enumerate().any(|(l, &d)| l != d)).then_some(order)
}

/// Against chance: ranking for two classes, mean recall for more.
fn chance(setup: &Setup<'_>) -> Finding {
    let confusion = Confusion::of(setup.clean.classes(), setup.labels, setup.clean.decisions());
    let (n, correct) = (confusion.n(), confusion.correct());
    let majority = confusion.majority().1;
    let share = |k: u64| 100.0 * k as f64 / n as f64;
    let fix = "compare layout, range, normalisation, column order and class order with the \
               training code; write `expected` to check them";
    let occurring = (0..setup.clean.classes()).filter(|&c| confusion.labelled(c) > 0).count();
    if occurring < 2 {
        return Finding::ok(format!("{correct} of {n} rows are correct; one class only occurs"));
    }
    let (skill, floor) = match ranking(setup) {
        Some(auc) => (auc.value, 0.5),
        None => (confusion.balanced_accuracy().unwrap_or(0.0), 1.0 / occurring as f64),
    };
    if skill <= floor + NEAR_CHANCE {
        let what = if setup.clean.classes() == 2 { "AUC" } else { "balanced accuracy" };
        return Finding::refuse(
            format!("{what} is {skill:.3}, chance is {floor:.3}: the model does not see its data"),
            fix,
        );
    }
    let below = if correct < majority { "below" } else { "at or above" };
    Finding::ok(format!(
        "{:.1} % of {n} rows are correct, {below} the {:.1} % of a constant answer",
        share(correct),
        share(majority)
    ))
}

fn ranking(setup: &Setup<'_>) -> Option<crate::stats::Auc> {
    if setup.clean.classes() != 2 {
        return None;
    }
    let scores: Vec<f64> =
        (0..setup.clean.rows()).map(|r| ranking_score(setup.clean.scores(r), 1)).collect();
    let truth: Vec<bool> = setup.labels.iter().map(|&l| l == 1).collect();
    delong(&scores, &truth, 0.99)
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            all.push(longer);
        }
    }
    all
}

/// Relative difference to the training framework that f32 arithmetic can explain.
const PARITY: f32 = 1e-3;
/// One row in so many may differ: a tree's threshold can fall between f32 and f64.
const PARITY_ALLOWED_ONE_IN: usize = 200;
/// Points of accuracy by which another reading must lead.
const LEAD: f64 = 0.1;
/// p-value under which the lead is no chance.
const SURE: f64 = 1e-3;
/// Distance from chance at which a model counts as blind.
const NEAR_CHANCE: f64 = 0.02;
/// 5040 orders are tried at most.
const PERMUTED_CLASSES_MAX: usize = 7;
