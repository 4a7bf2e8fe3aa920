//! Figures and report of an attack against counts made by hand.

use proofmark_schema::measurement::{CheckState, EngineUse};
use proofmark_schema::system::Norm;

use super::*;
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

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
    let schema = include_str!("../../../../schema/schemas/attack.1.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let report = serde_json::to_value(example().report).unwrap();
    check(&schema, &schema, &report, "$");
    let mut broken = report.clone();
    broken["points"][0]["outcome"] = "robust".into();
    let caught = std::panic::catch_unwind(|| check(&schema, &schema, &broken, "$"));
    assert!(caught.is_err(), "an unknown outcome must not pass");
    let read: AttackReport = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), report);
}

/// The part of JSON Schema that the committed file uses.
fn check(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/$defs/").unwrap();
        return check(root, &root["$defs"][name], value, at);
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(constant, value, "{at}");
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is none of {allowed:?}");
    }
    let name = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(n) if n.is_u64() => "integer",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    };
    let fits = |wanted: &str| wanted == name || (wanted == "number" && name == "integer");
    match &schema["type"] {
        serde_json::Value::String(wanted) => assert!(fits(wanted), "{at}: {name}, not {wanted}"),
        serde_json::Value::Array(some) => {
            assert!(some.iter().any(|w| fits(w.as_str().unwrap())), "{at}: {name}");
        }
        _ => {}
    }
    if let Some(items) = value.as_array() {
        for (i, item) in items.iter().enumerate() {
            check(root, &schema["items"], item, &format!("{at}[{i}]"));
        }
    }
    if let Some(fields) = value.as_object() {
        for needed in schema["required"].as_array().into_iter().flatten() {
            let needed = needed.as_str().unwrap();
            assert!(fields.contains_key(needed), "{at}: no `{needed}`");
        }
        for (key, field) in fields {
            let inner = &schema["properties"][key];
            assert!(inner.is_object(), "{at}: `{key}` is not in the schema");
            check(root, inner, field, &format!("{at}.{key}"));
        }
    }
}
