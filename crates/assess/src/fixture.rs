//! A small system and figures for the tests of this crate.

use std::collections::BTreeMap;

use proofmark_schema::measurement::{
    AssetDigest, CheckState, EngineUse, FORMAT, Measurement, Method, Quantity, Subject, Validity,
};
use proofmark_schema::system::{
    Access, Bound, Criterion, DataAsset, DataRole, Decision, Declared, DialectPins, Feature,
    FeatureKind, Goal, InputSpec, ModelAsset, ModelRole, Norm, OutputKind, OutputSpec, Scale,
    System, Threat,
};

/// Two models on one test set; the first is attacked.
pub fn system() -> System {
    System {
        name: "credit".into(),
        version: "1.0.0".into(),
        provider: "Example Bank".into(),
        purpose: "decides on small loans".into(),
        demo: true,
        seed: 7,
        data: vec![data()],
        features: vec![feature("amount", true, false), feature("sex", false, true)],
        models: vec![model("mlp", ModelRole::Primary), model("trees", ModelRole::Candidate)],
        threats: vec![threat()],
        criteria: vec![
            criterion("c1", "accuracy", Bound::AtLeast(0.7)),
            Criterion {
                threat: Some("applicant".into()),
                eps: Some(0.05),
                ..criterion("c2", "robust_accuracy", Bound::AtLeast(0.6))
            },
        ],
        declared: BTreeMap::from([
            (
                "data-poisoning/prevent".to_owned(),
                Declared {
                    measure: "intake is signed".into(),
                    owner: "data office".into(),
                    waived: None,
                },
            ),
            (
                "confidentiality/respond".to_owned(),
                Declared {
                    measure: String::new(),
                    owner: "security".into(),
                    waived: Some("the model is public".into()),
                },
            ),
        ]),
    }
}

fn data() -> DataAsset {
    DataAsset {
        name: "test".into(),
        path: "test.csv".into(),
        role: DataRole::Test,
        label: Some("class".into()),
        labels: None,
        classes: vec![("good".into(), "1".into()), ("bad".into(), "2".into())],
        ignore: vec![],
        missing: vec![],
        dialect: DialectPins::default(),
        limit: None,
    }
}

fn feature(name: &str, mutable: bool, group: bool) -> Feature {
    Feature {
        name: name.into(),
        kind: if mutable { FeatureKind::Integer } else { FeatureKind::Category },
        bounds: mutable.then_some([250.0, 20000.0]),
        values: vec![],
        mutable,
        group,
        group_edges: vec![],
        input: !group,
        shape: None,
    }
}

fn model(name: &str, role: ModelRole) -> ModelAsset {
    ModelAsset {
        name: name.into(),
        path: format!("{name}.onnx"),
        role,
        output: OutputSpec {
            name: None,
            kind: OutputKind::Probability,
            classes: vec!["good".into(), "bad".into()],
        },
        decision: Decision::Cutoff { class: "bad".into(), at: 0.3 },
        expected: (name == "mlp").then(|| "expected.npy".into()),
        expected_data: None,
        input: InputSpec::default(),
    }
}

fn threat() -> Threat {
    Threat {
        name: "applicant".into(),
        norm: Norm::Linf,
        eps: vec![0.02, 0.05],
        scale: Scale::Bounds,
        goal: Some(Goal { from: "bad".into(), to: "good".into() }),
        access: Access::WhiteBox,
        suite: "quick".into(),
        models: vec!["mlp".into()],
        queries: None,
    }
}

/// A criterion on the model `mlp`.
pub fn criterion(name: &str, metric: &str, bound: Bound) -> Criterion {
    Criterion {
        name: name.into(),
        metric: metric.into(),
        model: "mlp".into(),
        data: "test".into(),
        threat: None,
        eps: None,
        group: None,
        bound,
        confidence: 0.95,
        rationale: "the old score card reached it".into(),
        approver: "A. Approver".into(),
    }
}

/// Digests of the files of [`system`], sorted by name.
pub fn assets() -> Vec<AssetDigest> {
    [("data/test", 'a'), ("declaration", 'b'), ("model/mlp", 'c'), ("model/trees", 'd')]
        .map(|(name, c)| AssetDigest { name: name.into(), sha256: c.to_string().repeat(64) })
        .to_vec()
}

/// A share `value` of 1000 rows with a symmetric interval of two points each way.
pub fn figure(metric: &str, model: &str, value: f64) -> Measurement {
    Measurement {
        format: FORMAT.into(),
        id: format!("{model}/test/{metric}"),
        metric: metric.into(),
        unit: "proportion".into(),
        subject: Subject { model: model.into(), data: "test".into(), ..Subject::default() },
        quantity: Quantity::Estimate {
            value,
            lower: value - 0.02,
            upper: value + 0.02,
            confidence: 0.95,
            method: "clopper-pearson".into(),
            k: Some((value * 1000.0).round() as u64),
            n: 1000,
        },
        probe: Method { id: "accuracy".into(), edition: 1 },
        assets: assets().into_iter().filter(|a| a.name != "declaration").collect(),
        engine: EngineUse { name: "fake".into(), version: "1".into(), cpu: "none".into() },
        seed: 7,
        validity: vec![],
    }
}

/// A robust accuracy of `mlp` under the threat `applicant`.
pub fn robust(eps: f64, value: f64) -> Measurement {
    let mut figure = figure("robust_accuracy", "mlp", value);
    figure.id = format!("mlp/test/robust_accuracy/applicant/{eps}");
    figure.subject.threat = Some("applicant".into());
    figure.subject.eps = Some(eps);
    figure.probe = Method { id: "suite/quick".into(), edition: 3 };
    figure.quantity = Quantity::Bracket {
        proved: None,
        attacked: value,
        lower: value - 0.02,
        upper: value + 0.02,
        confidence: 0.95,
        k: (value * 1000.0).round() as u64,
        n: 1000,
    };
    figure
}

/// A check that refuses.
pub fn refuse() -> Validity {
    Validity {
        check: "gate-11-unconstrained".into(),
        state: CheckState::Refuse,
        reason: "the unconstrained attack left rows standing".into(),
        fix: "check the layout of the input".into(),
    }
}
