//! Figures and report of an attack against counts made by hand.

use proofmark_schema::measurement::{CheckState, EngineUse};
use proofmark_schema::system::Norm;

use super::*;
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

#[path = "../../../../schema/tests/support/json_schema.rs"]
mod json_schema;

use json_schema::{Schemas, id_of};

fn facts() -> Facts {
    Facts {
        model: "mlp".into(),
        data: "test".into(),
        classes: vec!["good".into(), "bad".into()],
        assets: Vec::new(),
        engine: EngineUse { name: "toy".into(), version: "1".into(), cpu: "any".into() },
        seed: 11,
        confidence: 0.95,
    }
}

fn example() -> Assessment {
    let toy = toys::linear(toys::rows(90, 4, -1.0, 1.0, false), &[1.0, -0.5, 0.7, 0.2], 0.1);
    let space = toys::space(4, -1.0, 1.0, Deployed::Real);
    let labels = toy.labels(9);
    let mut case = case(&toy, &space, &labels, Norm::Linf);
    case.criterion = Criterion::Goal { from: 1, to: 0 };
    case.second = Some(&toy);
    let suite = Suite::named("quick", &case, Some(20)).unwrap();
    let group = |value: &str, rows: std::ops::Range<usize>| Group {
        feature: "sex".into(),
        value: value.into(),
        rows: rows.collect(),
    };
    let groups = [group("female", 0..60), group("male", 60..85), group("x", 85..90)];
    let request = Request {
        numbers: None,
        facts: &facts(),
        case: &case,
        suite: &suite,
        threat: Some("applicant"),
        scale: Scale::Raw,
        eps: &[0.05, 0.2],
        groups: &groups,
        setup: &[],
    };
    assess(&request, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

/// A report over rows of class 0 whose nearest witnesses lie at these distances.
pub(in crate::evasion) fn report_of(
    distances: &[Option<f64>],
    norm: Norm,
    digests: Vec<proofmark_schema::measurement::AssetDigest>,
) -> AttackReport {
    let mut report = example().report;
    let model = report.points[0].clone();
    let points = distances.iter().enumerate().map(|(row, &upper)| Point {
        index: row as u64,
        label: 0,
        outcome: if upper.is_some() { Outcome::Broken } else { Outcome::Survived },
        distance: proofmark_schema::attack::Distance { norm, lower: None, upper },
        ..model.clone()
    });
    let points: Vec<Point> = points.collect();
    let all: Vec<&Point> = points.iter().collect();
    report.robust = [0.1, 0.4].map(|eps| profile::robust_at(&all, norm, eps, 0.95)).to_vec();
    AttackReport { norm, points, digests, ..report }
}

#[test]
fn figures_and_report_agree_and_claim_nothing_proved() {
    let assessment = example();
    let Assessment { report, measurements, records, refused } = &assessment;
    assert_eq!((report.n, report.correct, records.len()), (90, 80, 90));
    assert!(report.complete);
    assert_eq!(refused.len(), 2);
    let find = |id: &str| {
        let found = measurements.iter().find(|m| m.id == id);
        found.unwrap_or_else(|| panic!("no `{id}`")).quantity.clone()
    };
    for at in &report.robust {
        let id = format!("mlp/test/robust_accuracy/applicant/{}", at.eps);
        let Quantity::Bracket { proved, attacked, k, n, lower, upper, .. } = find(&id) else {
            panic!("`{id}` is no bracket");
        };
        assert_eq!((proved, k, n), (None, at.k_robust, 90));
        assert_eq!((attacked, lower, upper), (at.estimate, at.lower, at.upper));
        // Rows of the other class are untouched, so the recall loses what the whole loses.
        let good = find(&format!("{id}/class:good"));
        let recall = find(&format!("mlp/test/robust_recall/applicant/{}", at.eps));
        let (Quantity::Bracket { k: good, .. }, Quantity::Bracket { k: bad, .. }) = (good, recall)
        else {
            panic!("no brackets");
        };
        assert_eq!(good + bad, k);
        find(&format!("mlp/test/attack_success/applicant/{}", at.eps));
        find(&format!("{id}/group:sex=female"));
    }
    assert!(report.robust[0].k_robust > report.robust[1].k_robust);
    assert!(!measurements.iter().any(|m| m.id.contains("sex=x") || m.id.contains("sex=male")));
    let ids: std::collections::BTreeSet<&str> =
        measurements.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids.len(), measurements.len(), "ids are unique");
    assert!(measurements.iter().all(|m| m.validity.len() == validity::ATTACK.len()));
    // A linear model gives no gate a reason to warn.
    for check in &report.validity {
        assert_ne!(check.state, CheckState::Warn, "{check:?}");
    }
}

#[test]
fn the_report_satisfies_its_committed_schema() {
    let schemas = Schemas::committed();
    let report = serde_json::to_value(example().report).unwrap();
    let id = id_of(report["format"].as_str().unwrap()).unwrap();
    assert_eq!(schemas.faults(&id, &report), [""; 0]);
    let mut broken = report.clone();
    broken["points"][0]["outcome"] = "robust".into();
    let faults = schemas.faults(&id, &broken);
    assert_eq!(faults.len(), 1, "an unknown outcome must not pass: {faults:?}");
    let read: AttackReport = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), report);
}
