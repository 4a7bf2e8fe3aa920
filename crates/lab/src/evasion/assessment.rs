//! Robust accuracy of one model under one threat, over all its budgets.
//!
//! Owns the figures and the report made from row records. Must never turn "no attack
//! succeeded" into "robust": figures are brackets without a proved lower end. Called by
//! `assess`'s runner and by `attack`.

use proofmark_schema::attack::{
    AttackReport, AttackUse, FORMAT, GoalIndex, Outcome, Point, Profile,
};
use proofmark_schema::measurement::{Measurement, Method, Quantity, Validity};
use proofmark_schema::system::Scale;

use super::profile;
use super::suite::Suite;
use crate::criterion::Criterion;
use crate::ctx::Ctx;
use crate::facts::{About, Facts, GROUP_MIN, Group, Refused, count, large_enough, tagged};
use crate::harness::{self, Case, Done, HarnessError, RowRecord};
use crate::stats::quantile;
use crate::tolerance::{self, Banded, Shifts};
use crate::validity::{self, Trial};

/// One threat on one model and data set.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Shared facts.
    pub facts: &'a Facts,
    /// What is attacked.
    pub case: &'a Case<'a>,
    /// With what.
    pub suite: &'a Suite,
    /// Threat name; `None` for an ad-hoc attack.
    pub threat: Option<&'a str>,
    /// Unit of the budgets.
    pub scale: Scale,
    /// Budgets, ascending.
    pub eps: &'a [f64],
    /// Groups.
    pub groups: &'a [Group],
    /// Checks of the set-up.
    pub setup: &'a [Validity],
    /// Regression: what the case's target is seen through.
    pub numbers: Option<Numbers<'a>>,
}

/// What belongs to an attack on a number.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    /// The bands.
    pub view: &'a Banded<'a>,
    /// Unit of the label, as declared.
    pub unit: Option<&'a str>,
}

/// Report, figures and rows.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The wire report.
    pub report: AttackReport,
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// Rows with their witnesses.
    pub records: Vec<RowRecord>,
    /// Groups without figures.
    pub refused: Vec<Refused>,
}

/// Attacks every row and concludes.
///
/// # Errors
/// See [`HarnessError`].
pub fn assess(
    request: &Request<'_>,
    done: &Done,
    ctx: &Ctx<'_>,
    on_row: &mut dyn FnMut(&RowRecord),
) -> Result<Assessment, HarnessError> {
    let rows: Vec<usize> = (0..request.case.oracle.rows()).collect();
    let records = harness::run(request.case, request.suite, request.eps, &rows, done, ctx, on_row)?;
    conclude(request, records, ctx)
}

/// Gates, figures and report from row records: also after shards were merged.
///
/// # Errors
/// See [`HarnessError`].
pub fn conclude(
    request: &Request<'_>,
    records: Vec<RowRecord>,
    ctx: &Ctx<'_>,
) -> Result<Assessment, HarnessError> {
    let Request { case, suite, eps, .. } = *request;
    let mut records = records;
    let shifts = match &request.numbers {
        Some(numbers) => {
            let shifts = tolerance::shifts(case, numbers.view, suite, eps, &records, ctx)?;
            shifts.note(&mut records);
            Some(shifts)
        }
        None => None,
    };
    let trial = Trial { case, suite, budgets: eps, records: &records, ctx };
    let mut validity = request.setup.to_vec();
    validity.extend(validity::examine_attack(&trial)?);
    let report = report(request, &records, validity.clone());
    let (large, refused) = large_enough(request.groups);
    let mut measurements = figures(request, &records, &validity, None);
    if let (Some(numbers), Some(shifts)) = (&request.numbers, &shifts) {
        measurements.extend(shifted(request, numbers, shifts, &validity));
    }
    for group in large {
        let rows: Vec<RowRecord> = group
            .rows
            .iter()
            .filter_map(|&row| {
                let found = records.binary_search_by_key(&(row as u64), |r| r.point.index);
                found.ok().map(|at| records[at].clone())
            })
            .collect();
        measurements.extend(figures(request, &rows, &validity, Some(group)));
    }
    Ok(Assessment { report, measurements, records, refused })
}

/// Figures per budget of some rows.
fn figures(
    request: &Request<'_>,
    records: &[RowRecord],
    validity: &[Validity],
    group: Option<&Group>,
) -> Vec<Measurement> {
    let facts = request.facts;
    let threat = request.threat.unwrap_or(AD_HOC);
    let probe =
        Method { id: format!("suite/{}", request.suite.id()), edition: request.suite.edition() };
    let mut out = Vec::new();
    for &eps in request.eps {
        let about = About { threat: Some(threat), eps: Some(eps), group, ..About::default() };
        let mut add = |metric: &str, unit: &str, about, quantity| {
            out.push(facts.measurement(metric, unit, about, quantity, &probe, validity));
        };
        let robust = |wanted: &dyn Fn(&RowRecord) -> bool| -> (u64, u64) {
            let of = records.iter().filter(|r| wanted(r));
            of.fold((0, 0), |(k, n), r| (k + u64::from(r.robust_at(eps)), n + 1))
        };
        let bracket = |wanted: &dyn Fn(&RowRecord) -> bool| -> (Quantity, u64) {
            let (k, n) = robust(wanted);
            let of = records.iter().filter(|r| wanted(r)).map(|r| &r.point);
            (proved(facts.bracket(k, n), &of.collect::<Vec<_>>(), eps), n)
        };
        add("robust_accuracy", "proportion", about, bracket(&|_| true).0);
        if let Criterion::Goal { from, .. } = request.case.criterion {
            let (recall, n) = bracket(&|r| r.point.label == from);
            if n >= GROUP_MIN as u64 || (group.is_none() && n > 0) {
                add("robust_recall", "proportion", about, recall);
            }
        }
        let (k, n) = robust(&RowRecord::attacked);
        if n >= GROUP_MIN as u64 || (group.is_none() && n > 0) {
            add("attack_success", "proportion", about, facts.share(n - k, n));
        }
        // Inside or beyond a tolerance is no class of the data.
        if group.is_some() || request.numbers.is_some() {
            continue;
        }
        for class in 0..facts.classes.len() {
            let (share, n) = bracket(&|r| r.point.label == class);
            if n > 0 {
                let about = About { class: Some(class), ..about };
                add("robust_accuracy", "proportion", about, share);
            }
        }
    }
    if group.is_none() {
        out.extend(distances(request, records, &probe, validity));
        out.extend(effort(request, records, &probe, validity));
    }
    out
}

/// A bracket with what is proved of its rows, where anything is.
fn proved(bracket: Quantity, points: &[&Point], eps: f64) -> Quantity {
    match bracket {
        Quantity::Bracket { attacked, lower, upper, confidence, k, n, .. } => {
            let proved = profile::proved(points, eps);
            Quantity::Bracket { proved, attacked, lower, upper, confidence, k, n }
        }
        other => other,
    }
}

/// Quantiles and the largest of the shifts found.
fn shifted(
    request: &Request<'_>,
    numbers: &Numbers<'_>,
    shifts: &Shifts,
    validity: &[Validity],
) -> Vec<Measurement> {
    let probe = Method { id: "shift".into(), edition: 1 };
    let unit = numbers.unit.unwrap_or(crate::regression::UNIT);
    let mut out = Vec::new();
    for (&eps, found) in request.eps.iter().zip(&shifts.found) {
        for (metric, p) in [("shift_p50", 0.5), ("shift_p90", 0.9), ("shift_max", 1.0)] {
            let Some(value) = quantile(found, p) else { continue };
            let quantity = Quantity::Exact {
                value,
                domain: format!(
                    "largest shift found of {} attacked rows: a lower bound of the worst case",
                    found.len()
                ),
                arithmetic: "f64 of f32 answers".into(),
            };
            let threat = Some(request.threat.unwrap_or(AD_HOC));
            let about = About { threat, eps: Some(eps), ..About::default() };
            let facts = request.facts;
            out.push(facts.measurement(metric, unit, about, quantity, &probe, validity));
        }
    }
    out
}

/// Accuracy on the attacked rows without attack, who found what, and what it cost.
fn effort(
    request: &Request<'_>,
    records: &[RowRecord],
    probe: &Method,
    validity: &[Validity],
) -> Vec<Measurement> {
    let facts = request.facts;
    let about = About { threat: Some(request.threat.unwrap_or(AD_HOC)), ..About::default() };
    let make = |metric: &str, unit: &str, about, quantity| {
        facts.measurement(metric, unit, about, quantity, probe, validity)
    };
    let n = records.len() as u64;
    let right = records.iter().filter(|r| r.point.outcome != Outcome::Wrong).count() as u64;
    let mut out = vec![make("clean_accuracy", "proportion", about, facts.share(right, n))];
    for &eps in request.eps {
        let about = About { eps: Some(eps), ..about };
        for attack in request.suite.attacks() {
            let by = |r: &&RowRecord| {
                let run = r.point.runs.iter().find(|run| run.eps == eps);
                run.is_some_and(|run| run.found_by.as_deref() == Some(attack.id()))
            };
            let found = records.iter().filter(by).count() as u64;
            if found > 0 {
                let quantity = count(found, "rows that this attack turned first at this budget");
                out.push(tagged(make("found_by", "count", about, quantity), attack.id()));
            }
        }
    }
    let attacked: Vec<&RowRecord> = records.iter().filter(|r| r.attacked()).collect();
    let queries: u64 = attacked.iter().map(|r| r.point.queries).sum();
    let gradients: u64 = attacked.iter().map(|r| r.point.gradients).sum();
    let totals = [("queries_mean", queries), ("gradients_mean", gradients)];
    for (metric, total) in totals.into_iter().filter(|_| !attacked.is_empty()) {
        let quantity = Quantity::Exact {
            value: total as f64 / attacked.len() as f64,
            domain: format!("{} attacked rows, all budgets together", attacked.len()),
            arithmetic: "counts".into(),
        };
        out.push(make(metric, "count", about, quantity));
    }
    out
}

/// Quantiles of the nearest witness over the attacked rows; rows without one count as
/// infinitely far, and a quantile that falls among them is not given.
fn distances(
    request: &Request<'_>,
    records: &[RowRecord],
    probe: &Method,
    validity: &[Validity],
) -> Vec<Measurement> {
    let each = records.iter().filter(|r| r.attacked());
    let each: Vec<f64> = each.map(|r| r.point.distance.upper.unwrap_or(f64::INFINITY)).collect();
    let threat = request.threat.unwrap_or(AD_HOC);
    let largest = request.eps.last().copied().unwrap_or(0.0);
    let quantiles = [("distance_p10", 0.1), ("distance_p50", 0.5), ("distance_p90", 0.9)];
    let found = quantiles.into_iter().filter_map(|(metric, p)| {
        let value = quantile(&each, p).filter(|v| v.is_finite())?;
        let quantity = Quantity::Exact {
            value,
            domain: format!("nearest witness found of {} attacked rows: upper bound", each.len()),
            arithmetic: "f64".into(),
        };
        let about = About { threat: Some(threat), eps: Some(largest), ..About::default() };
        Some(request.facts.measurement(
            metric,
            unit(request.scale),
            about,
            quantity,
            probe,
            validity,
        ))
    });
    found.collect()
}

/// The report of row records with these checks, without figures.
pub fn report(
    request: &Request<'_>,
    records: &[RowRecord],
    validity: Vec<Validity>,
) -> AttackReport {
    let Request { facts, case, suite, .. } = *request;
    let n = records.len() as u64;
    let count = |wanted: &dyn Fn(&RowRecord) -> bool| -> u64 {
        records.iter().filter(|r| wanted(r)).count() as u64
    };
    let points: Vec<Point> = records.iter().map(|r| r.point.clone()).collect();
    let all: Vec<&Point> = points.iter().collect();
    let robust = request.eps.iter();
    let robust = robust.map(|&eps| profile::robust_at(&all, case.norm, eps, facts.confidence));
    let attacks = suite.attacks().iter().map(|attack| AttackUse {
        id: attack.id().to_string(),
        edition: attack.edition(),
        settings: attack.settings(),
        skipped: case.admits(attack.as_ref()).err(),
    });
    AttackReport {
        format: FORMAT.to_string(),
        complete: n as usize == case.oracle.rows(),
        model: facts.model.clone(),
        data: facts.data.clone(),
        threat: request.threat.map(str::to_string),
        classes: match request.numbers {
            Some(_) => tolerance::SIDES.map(str::to_string).to_vec(),
            None => facts.classes.clone(),
        },
        decision: match &request.numbers {
            Some(numbers) => numbers.view.bands().describe(numbers.unit),
            None => case.decision.describe(&facts.classes),
        },
        goal: match case.criterion {
            Criterion::Leave => None,
            Criterion::Goal { from, to } => Some(GoalIndex { from, to }),
        },
        norm: case.norm,
        scale: request.scale,
        queries_limit: case.queries_limit,
        suite: Method { id: suite.id().to_string(), edition: suite.edition() },
        attacks: attacks.collect(),
        n,
        correct: count(&|r| r.point.outcome != Outcome::Wrong),
        attackable: count(&RowRecord::attacked),
        robust: robust.collect(),
        profile: Some(profiled(request, &points)),
        exact: None,
        proved: None,
        points,
        validity,
        engine: facts.engine.clone(),
        cpu: facts.engine.cpu.clone(),
        seed: facts.seed,
        digests: facts.assets.clone(),
        comparisons: Vec::new(),
    }
}

/// What the rows of a report add up to.
pub fn profiled(request: &Request<'_>, points: &[Point]) -> Profile {
    // Inside or beyond a tolerance is no class of the data.
    let classes: &[String] = if request.numbers.is_some() { &[] } else { &request.facts.classes };
    let (groups, _) = large_enough(request.groups);
    let attacks: Vec<&str> = request.suite.attacks().iter().map(|a| a.id()).collect();
    profile::of(&profile::Rows {
        points,
        eps: request.eps,
        norm: request.case.norm,
        classes,
        groups: &groups,
        attacks: &attacks,
        confidence: request.facts.confidence,
    })
}

/// Unit of a distance.
fn unit(scale: Scale) -> &'static str {
    match scale {
        Scale::Raw => "raw",
        Scale::Bounds => "share of bounds",
        Scale::Std => "standard deviations",
        Scale::U8 => "1/255",
    }
}

/// Stands for the threat's name in the ids of an ad-hoc attack.
const AD_HOC: &str = "ad-hoc";

#[cfg(test)]
pub(super) mod tests;
