//! The bundled credit models as targets, against the exhaustive answer.

use proofmark_engine::engine::EngineKind;
use proofmark_lab::accuracy;
use proofmark_lab::evasion::assessment::{Request, assess};
use proofmark_lab::evasion::suite::Suite;
use proofmark_lab::facts::Facts;
use proofmark_lab::harness::{Case, Clean, Done};
use proofmark_lab::oracle::{Loss, Oracle};
use proofmark_lab::target;
use proofmark_lab::validity::{Setup, examine_setup, refused};
use proofmark_schema::attack::Outcome;
use proofmark_schema::system::OutputKind;

use crate::world::{Rows, World, ctx, open};

#[test]
fn the_credit_models_are_measured_and_attacked_on_whole_marks_and_months() {
    let world = World::open("credit");
    let (data, rows) = world.data("test", 120);
    let Rows::Table(table) = &rows else { panic!("a table") };
    let groups = target::groups(&proofmark_dataset::groups::groups(table, &world.system.features));
    for (name, threat) in [("mlp", "applicant"), ("gbm", "enquirer")] {
        let (asset, model) = world.model(name);
        let binding = world.bind(&rows, &asset, &model);
        let oracle = open((&asset, &model), &data, &binding, EngineKind::Auto, 2);
        let second = open((&asset, &model), &data, &binding, EngineKind::Reference, 2);
        assert_eq!(
            oracle.coordinates(),
            ["duration", "amount", "installment_rate", "residence_since"]
        );
        let decision = target::decision(&asset, &data.classes).unwrap();
        let clean = Clean::ask(&oracle, &decision).unwrap();
        let names: Vec<String> = data.classes.iter().map(|c| c.0.clone()).collect();
        let threat = world.system.threat_named(threat).unwrap();
        let space = target::space(&binding, threat.scale, &|_| None).unwrap();
        let (expected, width) = world.expected(&asset, oracle.rows());
        let expected = oracle.expected(&expected, width).unwrap();
        let setup = Setup {
            targets: None,
            oracle: &oracle,
            second: Some(&second),
            labels: rows.labels(),
            decision,
            clean: &clean,
            classes: &names,
            space: Some(&space),
            domain: &[],
            alternatives: &[],
            expected: Some(&expected),
        };
        let checks = examine_setup(&setup).unwrap();
        assert!(!refused(&checks), "{name}: {checks:#?}");
        let facts = Facts {
            model: name.into(),
            data: "test".into(),
            classes: names.clone(),
            assets: Vec::new(),
            engine: oracle.engine(),
            seed: ctx().seed,
            confidence: 0.95,
        };
        let report = accuracy::measure(&facts, &clean, rows.labels(), &decision, &groups, &checks);
        let auc = report.measurements.iter().find(|m| m.metric == "auc").unwrap();
        assert!(auc.quantity.value() > 0.65, "{name}: {:?}", auc.quantity);

        let case = Case {
            oracle: &oracle,
            second: Some(&second),
            space: &space,
            labels: rows.labels(),
            decision,
            criterion: target::criterion(threat.goal.as_ref(), &data.classes).unwrap(),
            norm: threat.norm,
            access: threat.access,
            queries_limit: threat.queries,
            constraints: None,
            probe: "credit/test/evasion",
        };
        let suite = Suite::named("quick", &case, Some(20)).unwrap();
        let request = Request {
            numbers: None,
            facts: &facts,
            case: &case,
            suite: &suite,
            threat: Some(&threat.name),
            scale: threat.scale,
            eps: &threat.eps,
            groups: &groups,
            setup: &checks,
        };
        let done = assess(&request, &Done::new(), &ctx(), &mut |_| {}).unwrap();
        assert_eq!(oracle.gradient().is_ok(), name == "mlp", "{:?}", oracle.gradient());
        let broken = done.records.iter().filter(|r| r.point.outcome == Outcome::Broken).count();
        assert!(broken > 0, "{name}");
        for record in done.records.iter().filter(|r| r.witness.is_some()) {
            let witness = record.witness.as_ref().unwrap();
            assert!(witness.iter().all(|v| v.fract() == 0.0), "{name}: {witness:?}");
            assert_eq!(record.point.label, 1, "only bad risks are attacked");
            let limit = threat.queries.unwrap_or(u64::MAX);
            for run in &record.point.runs {
                assert!(run.queries + run.gradients <= limit, "{name}: {}", run.queries);
            }
        }
    }
}

#[test]
fn the_engine_and_the_lab_agree_on_the_sign_of_the_margin() {
    let world = World::open("credit");
    let (data, rows) = world.data("test", 120);
    let (asset, model) = world.model("mlp");
    let binding = world.bind(&rows, &asset, &model);
    let oracle = open((&asset, &model), &data, &binding, EngineKind::Auto, 1);
    let decision = target::decision(&asset, &data.classes).unwrap();
    assert_eq!(decision.kind, OutputKind::Probability);
    let all: Vec<usize> = (0..oracle.rows()).collect();
    let x: Vec<f32> = all.iter().flat_map(|&r| oracle.clean(r)).copied().collect();
    for label in 0..2 {
        let answer = oracle.loss_grad(&all, &x, &vec![label; all.len()], Loss::Margin).unwrap();
        for (row, scores) in answer.scores.chunks(2).enumerate() {
            let margin = decision.margin(scores, label);
            if margin.abs() > 1e-4 {
                assert_eq!(answer.loss[row] > 0.0, margin < 0.0, "row {row}, label {label}");
                assert_eq!(decision.decide(scores) != Some(label), margin < 0.0);
            }
        }
    }
}
