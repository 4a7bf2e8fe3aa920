//! What the rows of an attack add up to beside the shares at the budgets.
//!
//! Owns distance quantiles, the curve of minimal distances, who found what, and slices by class
//! and group. Must never count a row as robust beyond what its witnesses leave: every share here
//! is an upper bound unless it says proved. Called by the assessment and by `attack`.

use proofmark_schema::attack::{
    Bracket, CurvePoint, DistanceQuantile, FoundBy, Outcome, Point, Profile, RobustAt, Slice,
};
use proofmark_schema::system::Norm;

use crate::facts::Group;
use crate::stats::{clopper_pearson, quantile};

/// What a profile is made of.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Every asked row, ascending by index.
    pub points: &'a [Point],
    /// Budgets, ascending; may be empty.
    pub eps: &'a [f64],
    /// Distance.
    pub norm: Norm,
    /// Class names; empty where the label is no class.
    pub classes: &'a [String],
    /// Groups that get figures.
    pub groups: &'a [&'a Group],
    /// Ids of the attacks, in the order they ran.
    pub attacks: &'a [&'a str],
    /// Confidence of two-sided intervals.
    pub confidence: f64,
}

/// The profile of these rows.
#[must_use]
pub fn of(rows: &Rows<'_>) -> Profile {
    let attacked: Vec<&Point> = rows.points.iter().filter(|p| is_attacked(p)).collect();
    let upper = |p: &&Point| p.distance.upper.unwrap_or(f64::INFINITY);
    let nearest: Vec<f64> = attacked.iter().map(upper).collect();
    let quantiles = QUANTILES.iter().filter_map(|&p| {
        let distance = quantile(&nearest, p).filter(|d| d.is_finite())?;
        Some(DistanceQuantile { p, distance })
    });
    let found_by = rows.attacks.iter().map(|&id| FoundBy {
        attack: id.to_string(),
        rows: attacked
            .iter()
            .filter(|p| p.outcome == Outcome::Broken && p.found_by.as_deref() == Some(id))
            .count() as u64,
    });
    let all: Vec<&Point> = rows.points.iter().collect();
    let of_class = |class: usize| all.iter().copied().filter(move |p| p.label == class).collect();
    let classes = rows.classes.iter().enumerate().map(|(class, name)| {
        let points: Vec<&Point> = of_class(class);
        slice(rows, None, name, &points)
    });
    let groups = rows.groups.iter().map(|group| {
        let place = |&row: &usize| {
            rows.points.binary_search_by_key(&(row as u64), |p| p.index).ok().map(|at| all[at])
        };
        let points: Vec<&Point> = group.rows.iter().filter_map(place).collect();
        slice(rows, Some(&group.feature), &group.value, &points)
    });
    Profile {
        found: nearest.iter().filter(|d| d.is_finite()).count() as u64,
        distances: quantiles.collect(),
        curve: curve(&all, rows.confidence),
        found_by: found_by.collect(),
        queries: rows.points.iter().map(|p| p.queries).sum(),
        gradients: rows.points.iter().map(|p| p.gradients).sum(),
        classes: classes.filter(|s| s.n > 0).collect(),
        groups: groups.filter(|s| s.n > 0).collect(),
    }
}

/// Robust accuracy of these rows at one budget.
#[must_use]
pub fn robust_at(points: &[&Point], norm: Norm, eps: f64, confidence: f64) -> RobustAt {
    let n = points.len() as u64;
    let k_robust = points.iter().filter(|p| stands(p, eps)).count() as u64;
    let interval = clopper_pearson(k_robust, n, confidence);
    let estimate = share(k_robust, n);
    let proved = proved(points, eps);
    let bracket = Bracket { proved, attacked: estimate };
    let (lower, upper) = (interval.lower, interval.upper);
    RobustAt { norm, eps, k_robust, estimate, lower, upper, confidence, bracket }
}

/// Share of these rows that is proved robust within `eps`; `None` where nothing was proved at all.
#[must_use]
pub fn proved(points: &[&Point], eps: f64) -> Option<f64> {
    points.iter().any(|p| p.distance.lower.is_some()).then(|| {
        let holds = |p: &&&Point| match p.outcome {
            Outcome::Wrong => false,
            Outcome::NotAttackable => true,
            Outcome::Broken | Outcome::Survived => p.distance.lower.is_some_and(|l| l > eps),
        };
        share(points.iter().filter(holds).count() as u64, points.len() as u64)
    })
}

/// Whether a row is correct and has no witness within `eps`.
fn stands(point: &Point, eps: f64) -> bool {
    point.outcome != Outcome::Wrong && point.distance.upper.is_none_or(|d| d > eps)
}

fn is_attacked(point: &Point) -> bool {
    matches!(point.outcome, Outcome::Broken | Outcome::Survived)
}

fn slice(rows: &Rows<'_>, feature: Option<&str>, value: &str, points: &[&Point]) -> Slice {
    let at = rows.eps.iter().map(|&eps| robust_at(points, rows.norm, eps, rows.confidence));
    Slice {
        feature: feature.map(str::to_string),
        value: value.to_string(),
        n: points.len() as u64,
        correct: points.iter().filter(|p| p.outcome != Outcome::Wrong).count() as u64,
        robust: at.collect(),
    }
}

/// The steps of robust accuracy over the distance: at 0, and wherever a row falls or a proof
/// ends, thinned evenly to [`STEPS_MAX`].
fn curve(points: &[&Point], confidence: f64) -> Vec<CurvePoint> {
    if points.is_empty() {
        return Vec::new();
    }
    let attacked = points.iter().filter(|p| is_attacked(p));
    let ends = attacked.flat_map(|p| [p.distance.upper, p.distance.lower]).flatten();
    let mut steps: Vec<f64> = ends.filter(|d| d.is_finite()).chain([0.0]).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let kept = steps.len().min(STEPS_MAX);
    let last = steps.len() - 1;
    let at = |i: usize| steps[i * last / (kept - 1).max(1)];
    (0..kept)
        .map(|i| {
            let at = robust_at(points, Norm::Linf, at(i), confidence);
            CurvePoint {
                eps: at.eps,
                k_robust: at.k_robust,
                estimate: at.estimate,
                lower: at.lower,
                upper: at.upper,
                proved: at.bracket.proved,
            }
        })
        .collect()
}

fn share(k: u64, n: u64) -> f64 {
    if n == 0 { 0.0 } else { k as f64 / n as f64 }
}

/// Quantiles that are reported.
const QUANTILES: &[f64] = &[0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];
/// Steps of a curve at most: finer than a plot of 400 pixels shows.
const STEPS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use proofmark_schema::attack::Distance;

    use super::*;

    fn point(index: u64, label: usize, outcome: Outcome, span: [Option<f64>; 2]) -> Point {
        let [lower, upper] = span;
        Point {
            index,
            label,
            decision_clean: Some(label),
            outcome,
            distance: Distance { norm: Norm::L2, lower, upper },
            found_by: upper.map(|_| "a".to_string()),
            decision_witness: None,
            disputed: false,
            shift: None,
            queries: 3,
            gradients: 2,
            runs: Vec::new(),
        }
    }

    fn rows<'a>(points: &'a [Point], classes: &'a [String], groups: &'a [&'a Group]) -> Rows<'a> {
        let (eps, attacks) = (&[0.1, 0.4][..], &["a", "b"][..]);
        Rows { points, eps, norm: Norm::L2, classes, groups, attacks, confidence: 0.95 }
    }

    #[test]
    fn the_curve_steps_where_rows_fall_and_ends_with_those_that_stand() {
        let points = [
            point(0, 0, Outcome::Wrong, [None, Some(0.0)]),
            point(1, 0, Outcome::Broken, [None, Some(0.1)]),
            point(2, 1, Outcome::Broken, [None, Some(0.3)]),
            point(3, 1, Outcome::Survived, [None, Some(0.9)]),
            point(4, 1, Outcome::Survived, [None, None]),
            point(5, 1, Outcome::NotAttackable, [None, None]),
        ];
        let classes = ["x".to_string(), "y".to_string()];
        let group = Group { feature: "f".into(), value: "v".into(), rows: vec![1, 4, 5] };
        let profile = of(&rows(&points, &classes, &[&group]));
        let steps: Vec<(f64, u64)> = profile.curve.iter().map(|p| (p.eps, p.k_robust)).collect();
        assert_eq!(steps, [(0.0, 5), (0.1, 4), (0.3, 3), (0.9, 2)]);
        assert!(profile.curve.iter().all(|p| p.proved.is_none() && p.lower <= p.estimate));
        assert_eq!((profile.found, profile.queries, profile.gradients), (3, 18, 12));
        assert_eq!(profile.found_by[0], FoundBy { attack: "a".into(), rows: 2 });
        assert_eq!(profile.found_by[1].rows, 0);
        // Of four attacked rows, 0.1, 0.3, 0.9 and none: the median lies between 0.3 and 0.9.
        let median = profile.distances.iter().find(|q| q.p == 0.5).unwrap();
        assert!((median.distance - 0.6).abs() < 1e-12);
        assert!(profile.distances.iter().all(|q| q.p < 0.9), "what was not found has no distance");
        let counts: Vec<(u64, u64, u64)> =
            profile.classes.iter().map(|s| (s.n, s.correct, s.robust[1].k_robust)).collect();
        assert_eq!(counts, [(2, 1, 0), (4, 4, 3)]);
        assert_eq!((profile.groups[0].n, profile.groups[0].robust[0].k_robust), (3, 2));
    }

    #[test]
    fn what_is_proved_never_exceeds_what_no_attack_broke() {
        let points = [
            point(0, 0, Outcome::Wrong, [None, Some(0.0)]),
            point(1, 0, Outcome::Broken, [Some(0.2), Some(0.2)]),
            point(2, 0, Outcome::Survived, [Some(0.5), Some(0.7)]),
            point(3, 0, Outcome::Survived, [None, None]),
        ];
        let profile = of(&rows(&points, &[], &[]));
        let proved: Vec<(f64, f64, f64)> =
            profile.curve.iter().map(|p| (p.eps, p.proved.unwrap(), p.estimate)).collect();
        // Robust below its distance, not at it.
        assert_eq!(proved, [(0.0, 0.5, 0.75), (0.2, 0.25, 0.5), (0.5, 0.0, 0.5), (0.7, 0.0, 0.25)]);
        assert!(of(&rows(&[], &[], &[])).curve.is_empty());
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_both_ends() {
        let points: Vec<Point> = (0..1000)
            .map(|i| point(i, 0, Outcome::Broken, [None, Some(0.001 * (i + 1) as f64)]))
            .collect();
        let curve = of(&rows(&points, &[], &[])).curve;
        assert_eq!(curve.len(), STEPS_MAX);
        assert_eq!((curve[0].eps, curve[0].k_robust), (0.0, 1000));
        assert_eq!((curve[STEPS_MAX - 1].eps, curve[STEPS_MAX - 1].k_robust), (1.0, 0));
    }
}
