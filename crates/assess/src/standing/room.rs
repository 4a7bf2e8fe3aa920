//! A register on a disk with people, harms and a threat that is measured, for tests.

use proofmark_schema::measurement::{AssetDigest, Measurement, Quantity};
use proofmark_schema::plan::{Plan, Probe, ProbeKind};
use proofmark_schema::risk::{Basis, Rating, seeds as seed_data};
use proofmark_schema::system::{Bound, Harm, HarmClass, Misuse, Person, System};

use super::{Overview, Present, World, overview};
use crate::fixture::{Desk, FakeRunner, assets, robust, system};
use crate::gate::{Decision, decide};
use crate::matrix::{Matrix, live::live};
use crate::plan::plan;
use crate::predicate::Tool;
use crate::register::Register;
use crate::risk::{Act, Covered, OVERALL, RiskPredicate, SayError, Side, Waived, Who, likelihood};
use crate::risk::{person, say, seed};
use crate::runner::{ProbeOutcome, Runner, RunnerError};

pub struct Room {
    pub desk: Desk,
    pub system: System,
    pub assets: Vec<AssetDigest>,
    pub now: String,
    pub extra: Box<dyn Fn(&mut World)>,
}

impl Room {
    pub fn new() -> Self {
        let mut system = system();
        let person =
            |id: &str, name: &str| Person { id: id.into(), name: name.into(), role: "role".into() };
        system.people = vec![
            person("owner", "Olive Owner"),
            person("boss", "Bo Boss"),
            // The same human being under a second id.
            person("owner2", " olive  OWNER "),
        ];
        system.harms = vec![Harm {
            name: "loss".into(),
            class: HarmClass::Property,
            severity: 3,
            people: "applicants".into(),
            vulnerable: Some("the poor".into()),
            rationale: "r".into(),
        }];
        system.misuse = vec![Misuse {
            name: "hiring".into(),
            what: "used for hiring".into(),
            harm: "loss".into(),
            likelihood: 2,
            reason: "unlikely".into(),
        }];
        system.upkeep.retest_days = Some(90);
        system.upkeep.risk_owner = Some("owner".into());
        system.upkeep.approver = Some("boss".into());
        let threat = &mut system.threats[0];
        threat.harm = Some("loss".into());
        threat.attempts_per_year = Some([10.0, 100.0]);
        threat.attempts_reason = Some("counted".into());
        // Both criteria of the fixture are reached unless a test says otherwise.
        system.criteria[1].bound = Bound::AtLeast(0.3);
        Self {
            desk: Desk::new(),
            system,
            assets: assets(),
            now: START.into(),
            extra: Box::new(|_| {}),
        }
    }

    /// A run in which so large a share of the bad risks stays refused under attack.
    pub fn assess(&mut self, recall: f64) {
        let plan = plan(&self.system, &self.assets, &|_| Some(3)).unwrap();
        let mut runner = Recalling { inner: FakeRunner::default(), recall };
        let now = self.now.clone();
        let clock = move || now.clone();
        let mut register = self.desk.register(&clock);
        crate::assessment::assess(&mut register, &self.system, &plan, &mut runner, &mut |_| {})
            .unwrap();
    }

    pub fn say_as(&mut self, who: &str, risk: &str, said: Act) -> Result<u64, SayError> {
        let by = Who::of(person(&self.system, who).unwrap());
        let tool = Tool { name: "proofmark".into(), version: "0".into() };
        let predicate = RiskPredicate {
            risk: risk.into(),
            system: "credit".into(),
            version: "1.0.0".into(),
            tool: tool.clone(),
            by,
            said,
            assets: self.assets.clone(),
        };
        let now = self.now.clone();
        let clock = move || now.clone();
        let Desk { log, store, key, .. } = &mut self.desk;
        let mut register = Register { log, store, key, now: &clock, tool };
        say(&mut register, &predicate).map(|logged| logged.index)
    }

    pub fn seed(&mut self) -> Vec<String> {
        let known = self.world().risks;
        let missing = seed::missing(&self.system, &known, "owner");
        let ids: Vec<String> = missing.iter().map(|s| s.id.clone()).collect();
        for seed in missing {
            let edition = Some(seed_data().edition);
            let act = Act::Enter { scenario: seed.scenario, seed: edition };
            self.say_as("owner", &seed.id, act).unwrap();
        }
        ids
    }

    /// A rating that a person enters, with the harm of the room.
    pub fn rate(&mut self, risk: &str, side: Side, level: u8) -> Result<u64, SayError> {
        let harm = self.system.harm_named("loss").map(seed::harm);
        let act = Act::Rate { side, rating: entered(level, 3), harm, reason: "seen".into() };
        self.say_as("owner", risk, act)
    }

    /// The inherent rating that the last run gives.
    pub fn rate_measured(&mut self, risk: &str) {
        let world = self.world();
        let last = world.last.as_ref().unwrap();
        let (level, figures) = likelihood::measured(&self.system, last, "applicant").unwrap();
        let rating = likelihood::rating(level, Basis::Measured(figures), 3).unwrap();
        let act = Act::Rate { side: Side::Inherent, rating, harm: None, reason: "measured".into() };
        self.say_as("owner", risk, act).unwrap();
    }

    pub fn accept(&mut self, risk: &str, waives: &[&str]) -> Result<u64, SayError> {
        let (overview, world) = (self.overview(), self.world());
        let verdicts = world.last.as_ref().map(|l| l.verdicts.as_slice()).unwrap_or_default();
        let named = verdicts.iter().filter(|v| waives.contains(&v.criterion.name.as_str()));
        let waived = |v: &crate::judge::Verdict| Waived {
            criterion: v.criterion.name.clone(),
            state: v.state,
            lower: v.lower,
            upper: v.upper,
        };
        let act = Act::Accept {
            reason: "tolerable".into(),
            expires: EXPIRES.into(),
            residual: overview.named(risk).unwrap().residual.rating.clone().unwrap(),
            run: overview.run.as_ref().map(|r| r.run.clone()),
            waives: named.map(waived).collect(),
        };
        self.say_as("boss", risk, act)
    }

    pub fn exclude(&mut self, risk: &str) -> Result<u64, SayError> {
        let act = Act::Exclude { reason: "no such thing here".into(), expires: EXPIRES.into() };
        self.say_as("boss", risk, act)
    }

    pub fn overall(&mut self) -> Result<u64, SayError> {
        let overview = self.overview();
        let covered = |r: &super::RiskStanding| {
            Some(Covered { risk: r.risk.id.clone(), index: r.risk.settled()? })
        };
        let act = Act::Overall {
            reason: "all in all".into(),
            expires: EXPIRES.into(),
            run: None,
            risks: overview.risks.iter().filter_map(covered).collect(),
        };
        self.say_as("boss", OVERALL, act)
    }

    /// Everything settled: measured, rated, accepted, excluded, all together accepted.
    pub fn settled(recall: f64) -> Self {
        let mut room = Self::new();
        room.assess(recall);
        room.seed();
        room.rate_measured(THREAT);
        room.accept(THREAT, &[]).unwrap();
        let ids: Vec<String> = room.world().risks.risks.iter().map(|r| r.id.clone()).collect();
        for id in ids.iter().filter(|id| *id != THREAT) {
            if id.starts_with("row-") {
                room.exclude(id).unwrap();
            } else {
                room.rate(id, Side::Inherent, 2).unwrap();
                room.accept(id, &[]).unwrap();
            }
        }
        room.overall().unwrap();
        room
    }

    pub fn world(&self) -> World {
        let mut world = World::read(&self.desk.log, &self.desk.store).unwrap();
        (self.extra)(&mut world);
        world
    }

    pub fn present(&self) -> Present<'_> {
        Present { system: &self.system, assets: &self.assets, now: &self.now }
    }

    pub fn overview(&self) -> Overview {
        overview(&self.world(), &self.present())
    }

    pub fn gate(&self) -> Decision {
        decide(&self.world(), &self.present(), &self.overview())
    }

    pub fn matrix(&self) -> Matrix {
        live(&self.world(), &self.present(), &self.overview())
    }

    pub fn change(&mut self, asset: &str) {
        let found = self.assets.iter_mut().find(|a| a.name == asset).unwrap();
        found.sha256 = "9".repeat(64);
    }
}

/// A rating that was entered.
pub fn entered(likelihood: u8, severity: u8) -> Rating {
    let basis = Basis::Entered { reason: "by hand".into() };
    likelihood::rating(likelihood, basis, severity).unwrap()
}

/// A share of the class the attacker starts from that stays, of a thousand rows.
pub fn recall(eps: f64, value: f64) -> Measurement {
    let mut figure = robust(eps, value);
    figure.metric = "robust_recall".into();
    figure.id = format!("mlp/test/robust_recall/applicant/{eps}");
    figure
}

struct Recalling {
    inner: FakeRunner,
    recall: f64,
}

impl Runner for Recalling {
    fn run(&mut self, probe: &Probe, plan: &Plan) -> Result<ProbeOutcome, RunnerError> {
        let mut outcome = self.inner.run(probe, plan)?;
        if let ProbeKind::Evasion { eps, .. } = &probe.kind {
            outcome.measurements.extend(eps.iter().map(|eps| recall(*eps, self.recall)));
        }
        Ok(outcome)
    }
    fn bounds(&self, quantity: &Quantity, confidence: f64) -> Option<(f64, f64)> {
        self.inner.bounds(quantity, confidence)
    }
    fn rows_to_decide(&self, quantity: &Quantity, bound: Bound, at: f64) -> Option<u64> {
        self.inner.rows_to_decide(quantity, bound, at)
    }
}

/// The measured risk.
pub const THREAT: &str = "threat-applicant";
/// When it all begins.
pub const START: &str = "2026-11-22T15:00:00Z";
/// Until when everything is accepted.
pub const EXPIRES: &str = "2027-06-30T23:59:59Z";
