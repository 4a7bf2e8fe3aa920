//! Two models under the same attack on the same rows: who stands where the other falls.
//!
//! Owns the pairing of two reports. Must never compare shares of different rows: two intervals
//! side by side say less than the pairs do. Called by `attack`.

use proofmark_schema::attack::{AttackReport, Comparison, Outcome, Point};

use crate::stats::{Paired, mcnemar};
use crate::tolerance::SIDES;

/// Why two reports are not compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the reports do not compare: {what} differs, here `{here}`, there `{there}`")]
pub struct Unlike {
    what: &'static str,
    here: String,
    there: String,
}

/// Pairs `here` with `there` at every budget of both: robust or not, row by row. Figures of
/// several budgets are not corrected for their number.
///
/// # Errors
/// [`Unlike`] where data, distance, unit, goal, suite or rows are not the same.
pub fn compare(here: &AttackReport, there: &AttackReport) -> Result<Vec<Comparison>, Unlike> {
    alike(here, there)?;
    let confidence = here.robust.first().map_or(CONFIDENCE, |at| at.confidence);
    let both = here.robust.iter().filter(|a| there.robust.iter().any(|b| b.eps == a.eps));
    let compared: Vec<Comparison> = both
        .map(|at| {
            let pairs = here.points.iter().zip(&there.points);
            let pairs = Paired::of(pairs.map(|(a, b)| (stands(a, at.eps), stands(b, at.eps))));
            let interval = pairs.newcombe(confidence);
            Comparison {
                with: model_digest(there),
                eps: at.eps,
                both: pairs.both,
                here: pairs.first,
                there: pairs.second,
                neither: pairs.neither,
                difference: pairs.difference(),
                lower: interval.lower,
                upper: interval.upper,
                confidence,
                p: mcnemar(pairs.first, pairs.second),
            }
        })
        .collect();
    match compared.is_empty() {
        false => Ok(compared),
        true => Err(unlike("every budget", budgets(here), budgets(there))),
    }
}

fn alike(here: &AttackReport, there: &AttackReport) -> Result<(), Unlike> {
    let rows = |r: &AttackReport| format!("{} rows", r.points.len());
    let labels = |r: &AttackReport| -> Vec<(u64, usize)> {
        r.points.iter().map(|p| (p.index, p.label)).collect()
    };
    let texts = [
        ("the data", data_digest(here), data_digest(there)),
        ("the distance", format!("{:?}", here.norm), format!("{:?}", there.norm)),
        ("the unit", format!("{:?}", here.scale), format!("{:?}", there.scale)),
        ("the goal", format!("{:?}", here.goal), format!("{:?}", there.goal)),
        ("the classes", here.classes.join(","), there.classes.join(",")),
        ("the suite", suite(here), suite(there)),
        ("the limit of queries", limit(here), limit(there)),
        ("the attacks that ran", attacks(here), attacks(there)),
        ("the tolerance", tolerance(here), tolerance(there)),
        ("the number of rows", rows(here), rows(there)),
    ];
    if let Some((what, here, there)) = texts.into_iter().find(|(_, a, b)| a != b) {
        return Err(unlike(what, here, there));
    }
    if labels(here) != labels(there) {
        return Err(unlike("a row or its label", rows(here), rows(there)));
    }
    Ok(())
}

fn unlike(what: &'static str, here: String, there: String) -> Unlike {
    Unlike { what, here, there }
}

fn stands(point: &Point, eps: f64) -> bool {
    point.outcome != Outcome::Wrong && point.distance.upper.is_none_or(|d| d > eps)
}

fn suite(report: &AttackReport) -> String {
    format!("{} edition {}", report.suite.id, report.suite.edition)
}

fn limit(report: &AttackReport) -> String {
    report.queries_limit.map_or("none".to_owned(), |most| most.to_string())
}

/// What ran with which settings: another suite in all but name is no common yardstick.
fn attacks(report: &AttackReport) -> String {
    let ran = report.attacks.iter().filter(|a| a.skipped.is_none());
    let each: Vec<String> =
        ran.map(|a| format!("{} {} ({})", a.id, a.edition, a.settings)).collect();
    each.join(", ")
}

/// Two models may decide differently; the tolerance of a regression is part of the question.
fn tolerance(report: &AttackReport) -> String {
    if report.classes.iter().eq(SIDES.iter()) { report.decision.clone() } else { String::new() }
}

fn budgets(report: &AttackReport) -> String {
    let each: Vec<String> = report.robust.iter().map(|at| at.eps.to_string()).collect();
    each.join(", ")
}

/// Digests of everything that is no model: rows and labels.
fn data_digest(report: &AttackReport) -> String {
    let rows = report.digests.iter().filter(|d| !d.name.starts_with(MODELS));
    rows.map(|d| d.sha256.as_str()).collect::<Vec<_>>().join(" ")
}

fn model_digest(report: &AttackReport) -> String {
    let model = report.digests.iter().find(|d| d.name.starts_with(MODELS));
    model.map(|d| d.sha256.clone()).unwrap_or_default()
}

/// How the digest of a model is named in a report.
const MODELS: &str = "model/";
/// Confidence of the interval where a report states none.
const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use proofmark_schema::measurement::AssetDigest;
    use proofmark_schema::system::Norm;

    use super::*;
    use crate::evasion::assessment::tests::report_of;

    fn falls_at(distances: &[Option<f64>], model: &str) -> AttackReport {
        let digest = |name: &str, sha256: &str| AssetDigest {
            name: name.to_string(),
            sha256: sha256.to_string(),
        };
        report_of(distances, Norm::L2, vec![digest("data/data", "d"), digest("model/m", model)])
    }

    #[test]
    fn rows_are_paired_by_who_stands_at_each_budget() {
        let here = falls_at(&[None, Some(0.3), Some(0.05), Some(0.3)], "a");
        let there = falls_at(&[Some(0.05), Some(0.05), Some(0.05), None], "b");
        let compared = compare(&here, &there).unwrap();
        let counts: Vec<[u64; 4]> =
            compared.iter().map(|c| [c.both, c.here, c.there, c.neither]).collect();
        // Budgets 0.1 and 0.4.
        assert_eq!(counts, [[1, 2, 0, 1], [0, 1, 1, 2]]);
        assert_eq!((compared[0].with.as_str(), compared[0].difference), ("b", 0.5));
        // Two of two discordant rows on one side: p = 2 · (1/2)^2.
        assert!((compared[0].p - 0.5).abs() < 1e-12 && compared[1].p == 1.0);
        assert!(compared[0].lower <= 0.5 && compared[0].upper >= 0.5);
        let mirrored = compare(&there, &here).unwrap();
        assert_eq!((mirrored[0].here, mirrored[0].there), (0, 2));
    }

    #[test]
    fn what_is_not_the_same_is_not_compared() {
        let base = falls_at(&[None, Some(0.3)], "a");
        let cases: [(&str, AttackReport); 4] = [
            ("the data", AttackReport { digests: Vec::new(), ..base.clone() }),
            ("the distance", AttackReport { norm: Norm::L1, ..base.clone() }),
            ("the number of rows", falls_at(&[None], "b")),
            ("every budget", AttackReport { robust: Vec::new(), ..base.clone() }),
        ];
        for (what, other) in cases {
            let error = compare(&base, &other).unwrap_err();
            assert!(error.to_string().contains(what), "{what}: {error}");
        }
        assert!(compare(&base, &base.clone()).is_ok());
    }
}
