//! An attack's report with what the search settled.
//!
//! Owns the lower ends of distances and the counts beside. Must never raise a witness's distance
//! nor call a row proved beyond its lower bound. Called by `attack` and by `assess`'s runner.

use std::collections::BTreeMap;

use proofmark_schema::attack::{
    AttackReport, DeployedBeside, ExactAt, ExactSearch, Outcome, Point, RobustAt,
};

use super::Nearest;
use crate::evasion::profile;
use crate::formal::proposals::TREES;

/// One row, searched.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    /// The class that the arithmetic of the search decides on the row as it is.
    pub decided: usize,
    /// What the search found; `None` for rows that are not attacked.
    pub nearest: Option<Nearest>,
    /// Distance of the witness from the row as the search reads it, where there is one.
    pub witness: Option<f64>,
}

/// Writes the bounds of `rows` (by row of the data) into a report of the deployed engine.
/// `about` holds what is said of the search; its counts are filled in here.
pub fn told(
    report: &mut AttackReport,
    rows: &BTreeMap<u64, Searched>,
    attackable: &dyn Fn(usize, usize) -> bool,
    mut about: ExactSearch,
) {
    about.deployed = DeployedBeside {
        correct: report.correct,
        robust: report.robust.iter().map(|at| at.k_robust).collect(),
        differs: Vec::new(),
    };
    for point in &mut report.points {
        let Some(row) = rows.get(&point.index) else { continue };
        if point.decision_clean != Some(row.decided) {
            about.deployed.differs.push(point.index);
        }
        settle(point, row, attackable, &mut about);
    }
    let points: Vec<&Point> = report.points.iter().collect();
    report.correct = points.iter().filter(|p| p.outcome != Outcome::Wrong).count() as u64;
    report.attackable =
        points.iter().filter(|p| matches!(p.outcome, Outcome::Broken | Outcome::Survived)).count()
            as u64;
    let again = |at: &RobustAt| profile::robust_at(&points, at.norm, at.eps, at.confidence);
    let robust: Vec<RobustAt> = report.robust.iter().map(again).collect();
    about.robust = robust.iter().map(|at| exact_at(&points, at.eps, &about.open)).collect();
    about.mean_distance = mean(&points, &about);
    report.robust = robust;
    report.exact = Some(about);
}

/// The bounds of one row; where the arithmetic of the search decides otherwise than the deployed
/// engine on the row as it is, the search's word counts and the witness is marked as disputed.
fn settle(
    point: &mut Point,
    row: &Searched,
    attackable: &dyn Fn(usize, usize) -> bool,
    about: &mut ExactSearch,
) {
    let differs = point.decision_clean != Some(row.decided);
    if differs {
        point.decision_clean = Some(row.decided);
        point.outcome = match (row.decided == point.label, attackable(point.label, row.decided)) {
            (false, _) => Outcome::Wrong,
            (true, false) => Outcome::NotAttackable,
            (true, true) => Outcome::Survived,
        };
        point.distance.upper = (point.outcome == Outcome::Wrong).then_some(0.0);
        point.found_by = None;
        point.decision_witness = None;
    }
    let Some(nearest) = &row.nearest else { return };
    about.searched += 1;
    about.boxes += nearest.judged;
    point.distance.lower = Some(nearest.lower);
    if differs {
        // Asked as it is, the deployed engine is across already: no witness is needed to see it.
        point.disputed = true;
        point.distance.upper = nearest.upper;
        if nearest.upper.is_some() {
            point.outcome = Outcome::Broken;
            point.found_by = Some(TREES.id.into());
        }
    } else if point.distance.upper.is_some() {
        point.distance.upper = row.witness;
    }
    match (nearest.settled(), nearest.upper) {
        (false, _) => about.open.push(point.index),
        (true, None) => {
            about.settled += 1;
            about.unchangeable.push(point.index);
        }
        (true, Some(_)) => {
            about.settled += 1;
            if point.distance.upper.is_none() {
                about.unconfirmed.push(point.index);
            }
        }
    }
}

fn exact_at(points: &[&Point], eps: f64, unsettled: &[u64]) -> ExactAt {
    let right = points.iter().filter(|p| p.outcome != Outcome::Wrong);
    let (mut proved, mut open) = (0, 0);
    for point in right {
        if point.outcome == Outcome::NotAttackable {
            proved += 1;
            continue;
        }
        let lower = point.distance.lower.unwrap_or(0.0);
        if lower >= eps {
            proved += 1;
        } else if unsettled.contains(&point.index)
            && point.distance.upper.is_none_or(|upper| upper >= eps)
        {
            open += 1;
        }
    }
    ExactAt { eps, proved, open }
}

/// Mean of the exact distances of the searched rows, where each has one.
fn mean(points: &[&Point], about: &ExactSearch) -> Option<f64> {
    let exact = about.open.is_empty() && about.unchangeable.is_empty() && about.searched > 0;
    let lower = points.iter().filter_map(|p| p.distance.lower);
    exact.then(|| lower.sum::<f64>() / about.searched as f64)
}
