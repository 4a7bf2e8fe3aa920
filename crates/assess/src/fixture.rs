//! A small system and figures for the tests of this crate.

use std::collections::BTreeMap;

use proofmark_evidence::keys::{LogKey, LogPublicKey, StatementKey};
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::{
    AssetDigest, CheckState, EngineUse, FORMAT, Measurement, Method, Quantity, Subject, Validity,
};
use proofmark_schema::plan::{Plan, Probe, ProbeKind};
use proofmark_schema::system::{
    Access, Bound, Criterion, DataAsset, DataRole, Decision, Declared, DialectPins, Feature,
    FeatureKind, Goal, InputSpec, ModelAsset, ModelRole, Norm, OutputKind, OutputSpec, Scale,
    System, Threat,
};

use crate::assessment::{AssessError, Assessment, Event, assess};
use crate::plan::plan;
use crate::predicate::Tool;
use crate::register::Register;
use crate::runner::{Artefact, ProbeOutcome, Runner, RunnerError};

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
        faults: Vec::new(),
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
        people: Vec::new(),
        harms: Vec::new(),
        misuse: Vec::new(),
        upkeep: Default::default(),
        papers: Vec::new(),
        constraints: Default::default(),
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
        limit: Some(1000),
        task: Default::default(),
        unit: None,
        quantiles: vec![],
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
        series: None,
        direction: None,
        cost: None,
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
            column: None,
        },
        decision: Decision::Cutoff { class: "bad".into(), at: 0.3 },
        expected: (name == "mlp").then(|| "expected.npy".into()),
        expected_data: None,
        input: InputSpec::default(),
        dump: Default::default(),
    }
}

fn threat() -> Threat {
    Threat {
        name: "applicant".into(),
        norm: Norm::Linf,
        eps: vec![0.02, 0.05],
        scale: Scale::Bounds,
        goal: Some(Goal { from: "bad".into(), to: "good".into() }),
        tolerance: None,
        direction: None,
        access: Access::WhiteBox,
        suite: "quick".into(),
        models: vec!["mlp".into()],
        queries: Some(2000),
        cost_limit: None,
        actor: None,
        harm: None,
        attempts_per_year: None,
        attempts_reason: None,
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
        fault: None,
        severity: None,
        group: None,
        quantile: None,
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
            one_sided: Vec::new(),
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

/// A log and a store in a scratch folder, with a throw-away key and a clock that stands still.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub log: Log,
    pub store: Store,
    pub key: StatementKey,
    pub log_key: LogPublicKey,
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::generate().unwrap().into_demo();
        let log_key = key.public();
        let log = Log::create(&dir.path().join("log"), "credit-DEMO", key).unwrap();
        let store = Store::new(&dir.path().join("artefacts"));
        let key = StatementKey::generate().unwrap().into_demo();
        Self { dir, log, store, key, log_key }
    }

    pub fn register<'a>(&'a mut self, now: &'a dyn Fn() -> String) -> Register<'a> {
        let tool = Tool { name: "proofmark".into(), version: "0.1.0".into() };
        Register { log: &mut self.log, store: &self.store, key: &self.key, now, tool }
    }

    pub fn assess(
        &mut self,
        system: &System,
        runner: &mut FakeRunner,
    ) -> Result<Assessment, AssessError> {
        self.assess_at(system, runner, &|| NOW.to_owned())
    }

    pub fn assess_at(
        &mut self,
        system: &System,
        runner: &mut FakeRunner,
        now: &dyn Fn() -> String,
    ) -> Result<Assessment, AssessError> {
        let plan = plan(system, &assets(), &|_| Some(3)).unwrap();
        assess(&mut self.register(now), system, &plan, runner, &mut |_| {})
    }

    pub fn assess_with(
        &mut self,
        system: &System,
        plan: &Plan,
        runner: &mut FakeRunner,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Assessment, AssessError> {
        assess(&mut self.register(&|| NOW.to_owned()), system, plan, runner, events)
    }
}

const NOW: &str = "2026-11-22T15:00:00Z";

/// Gives the same figures every time; can fail, stop or spoil a figure.
#[derive(Default)]
pub struct FakeRunner {
    pub ran: Vec<String>,
    pub cancel_at: Option<usize>,
    pub fail: Option<&'static str>,
    pub change: Option<fn(&mut Measurement)>,
    pub harmless: bool,
}

impl Runner for FakeRunner {
    fn run(&mut self, probe: &Probe, _: &Plan) -> Result<ProbeOutcome, RunnerError> {
        if self.cancel_at == Some(self.ran.len()) {
            return Err(RunnerError::Cancelled);
        }
        self.ran.push(probe.id.clone());
        if self.fail == Some(probe.id.as_str()) {
            let reason = "row 3 is ragged".to_owned();
            return Err(RunnerError::Failed { reason, fix: "mend the file".to_owned() });
        }
        let mut outcome = match &probe.kind {
            ProbeKind::Parity => ProbeOutcome {
                measurements: vec![figure("parity_same_decision", &probe.model, 1.0)],
                ..ProbeOutcome::default()
            },
            ProbeKind::Accuracy => accuracy(&probe.model),
            ProbeKind::Evasion { eps, .. } => evasion(eps, self.harmless),
            ProbeKind::Fault { .. } => ProbeOutcome::default(),
        };
        if let (Some(change), ProbeKind::Accuracy) = (self.change, &probe.kind) {
            outcome.measurements.iter_mut().for_each(change);
        }
        Ok(outcome)
    }

    fn bounds(&self, quantity: &Quantity, _: f64) -> Option<(f64, f64)> {
        match quantity {
            Quantity::Estimate { lower, upper, .. } | Quantity::Bracket { lower, upper, .. } => {
                Some((*lower, *upper))
            }
            Quantity::Exact { value, .. } => Some((*value, *value)),
            Quantity::Screen { .. } => None,
        }
    }

    fn rows_to_decide(&self, _: &Quantity, _: Bound, _: f64) -> Option<u64> {
        Some(4321)
    }
}

fn accuracy(model: &str) -> ProbeOutcome {
    let mut measurements = vec![
        figure("accuracy", model, 0.765),
        figure("balanced_accuracy", model, 0.712),
        figure("majority_baseline", model, 0.7),
        number("auc", model, 0.7813),
        number("brier", model, 0.1642),
    ];
    for (class, recall, decided) in [("good", 0.83, 0.703), ("bad", 0.594, 0.297)] {
        for (metric, value) in [("accuracy", recall), ("decision_rate", decided)] {
            measurements.push(with_class(figure(metric, model, value), class));
        }
    }
    for (pair, count) in
        [("good:good", 581.0), ("good:bad", 119.0), ("bad:good", 122.0), ("bad:bad", 178.0)]
    {
        measurements.push(with_class(counted("confusion", model, count), pair));
    }
    for (group, value) in [("female", 0.741), ("< 25 & \"more\"", 0.779)] {
        for class in [None, Some("bad")] {
            let mut figure = figure("accuracy", model, value);
            figure.id = format!("{}/group:sex={group}", figure.id);
            figure.subject.group = Some(("sex".into(), group.into()));
            let figure = match class {
                Some(class) => with_class(figure, class),
                None => figure,
            };
            measurements.push(figure);
        }
    }
    for (bin, predicted, observed) in [("0.0-0.2", 0.11, 0.13), ("0.2-0.6", 0.38, 0.41)] {
        measurements.push(with_class(number("calibration_predicted", model, predicted), bin));
        measurements.push(with_class(figure("calibration_observed", model, observed), bin));
    }
    let warn = Validity {
        check: "gate-1-baseline".into(),
        state: CheckState::Warn,
        reason: "accuracy is only 6.5 points above the majority baseline".into(),
        fix: "look at balanced accuracy as well".into(),
    };
    let notes = vec!["4 rows have a missing value".to_owned()];
    ProbeOutcome { measurements, validity: vec![warn], notes, artefacts: vec![] }
}

fn evasion(eps: &[f64], harmless: bool) -> ProbeOutcome {
    let mut measurements = Vec::new();
    for eps in eps {
        let value = if harmless { 0.765 } else { 0.7 - 6.0 * eps };
        measurements.push(robust(*eps, value));
        let mut success = figure("attack_success", "mlp", 1.0 - value / 0.765);
        success.id = format!("mlp/test/attack_success/applicant/{eps}");
        (success.subject.threat, success.subject.eps) = (Some("applicant".into()), Some(*eps));
        measurements.push(success);
        let mut bad = with_class(robust(*eps, value), "bad");
        bad.quantity = figure("", "", value / 2.0).quantity;
        measurements.push(bad);
        let mut female = robust(*eps, value);
        female.id = format!("{}/group:sex=female", female.id);
        female.subject.group = Some(("sex".into(), "female".into()));
        measurements.push(female);
        for (attack, count) in [("apgd-margin", 80.0), ("fgsm", 12.0)] {
            let mut found = with_class(counted("found_by", "mlp", count), attack);
            found.id = format!("mlp/test/found_by/applicant/{eps}/{attack}");
            (found.subject.threat, found.subject.eps) = (Some("applicant".into()), Some(*eps));
            measurements.push(found);
        }
    }
    for (metric, value) in [("distance_p10", 0.012), ("distance_p50", 0.044)] {
        let mut distance = number(metric, "mlp", value);
        distance.id = format!("mlp/test/{metric}/applicant/0.05");
        (distance.subject.threat, distance.subject.eps) = (Some("applicant".into()), Some(0.05));
        measurements.push(distance);
    }
    let artefacts = vec![
        Artefact {
            name: "attack.json".into(),
            media_type: "application/json".into(),
            bytes: b"{}".to_vec(),
            personal: false,
        },
        Artefact {
            name: "witnesses.npz".into(),
            media_type: "application/zip".into(),
            bytes: b"rows".to_vec(),
            personal: true,
        },
    ];
    ProbeOutcome { measurements, artefacts, notes: vec![], validity: vec![] }
}

fn with_class(mut figure: Measurement, class: &str) -> Measurement {
    figure.id = format!("{}/{class}", figure.id);
    figure.subject.class = Some(class.into());
    figure
}

fn counted(metric: &str, model: &str, value: f64) -> Measurement {
    Measurement { unit: "count".into(), ..number(metric, model, value) }
}

fn number(metric: &str, model: &str, value: f64) -> Measurement {
    let quantity = Quantity::Exact { value, domain: "all rows".into(), arithmetic: "f64".into() };
    Measurement { unit: "1".into(), quantity, ..figure(metric, model, 0.5) }
}
