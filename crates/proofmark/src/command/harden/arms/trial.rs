//! One system under attack: the models, what is put around them, the attack that knows of it.
//!
//! Owns the nesting (vote, then schema, then rounding) and the figures of an arm. Must never judge:
//! the harness does.

use proofmark_lab::accuracy;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::decision::Decision;
use proofmark_lab::evasion::assessment::{self as evasion, Request};
use proofmark_lab::evasion::suite::{STANDARD, Suite, attack};
use proofmark_lab::facts::{About, Facts};
use proofmark_lab::harness::{Case, Clean};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::space::Space;
use proofmark_lab::target::Target;
use proofmark_lab::treatment::{Limited, Limits, Outcomes, Rounded, Starts, Transfer};
use proofmark_schema::measurement::{CheckState, Measurement, Method, Validity};
use proofmark_schema::plan::{Probe, ProbeKind};
use proofmark_schema::system::{Access, FeatureKind};

use super::{Ground, Measured, Seen, System, failed, subject};
use crate::command::harden::scene::Scene;
use crate::command::harden::{latency, limits, votes};
use crate::failure::{Failure, OrFail, Outcome};
use crate::runner::progress_rows::Kept;
use crate::subject::Subject;

/// One system under attack.
pub struct Trial<'t, 'a> {
    pub scene: &'t Scene<'a>,
    pub ground: &'t Ground<'t>,
    pub system: System,
}

impl Trial<'_, '_> {
    /// Attacks it, with `starts` tried first.
    pub fn run(&self, starts: &Starts) -> Outcome<Measured> {
        let first = self.subject()?;
        let space = self.space(first)?;
        match self.system.vote {
            None => {
                let second = first.second().map(|t| t as &dyn Oracle);
                self.guarded(&first.target, second, first.decision, &space, starts)
            }
            Some(other) => {
                let other = subject(self.scene, other.who()).ok_or_else(absent)?;
                let rule = votes::rule(self.scene);
                let ballot = votes::ballot(first, other, rule)?;
                let again = votes::second_ballot(first, other, rule);
                let again = again.as_ref().map(|v| v as &dyn Oracle);
                self.guarded(&ballot, again, ballot.decision(), &space, starts)
            }
        }
    }

    fn subject(&self) -> Outcome<&Subject> {
        subject(self.scene, self.system.who).ok_or_else(absent)
    }

    /// The attacker's space: with the schema on only what it still admits.
    fn space(&self, subject: &Subject) -> Outcome<Space> {
        let space = subject.space(self.scene.threat.scale)?;
        if !self.system.schema {
            return Ok(space);
        }
        let narrow: Vec<(f64, f64)> =
            self.limits(&subject.target).iter().map(|l| (l.lower, l.upper)).collect();
        space.within(&narrow).or_fail("input-schema", "the schema leaves no value to move to")
    }

    fn limits(&self, target: &Target) -> Vec<Limits> {
        let image = self.scene.project.system.features.iter().any(|f| f.kind == FeatureKind::Image);
        let schema = self.scene.schema.as_ref();
        let of = |(schema, _): &(_, _)| limits::of_coordinates(schema, target.coordinates(), image);
        schema.map(of).unwrap_or_default()
    }

    /// Puts schema and rounding around the models, and attacks.
    fn guarded(
        &self,
        oracle: &dyn Oracle,
        second: Option<&dyn Oracle>,
        decision: Decision,
        space: &Space,
        starts: &Starts,
    ) -> Outcome<Measured> {
        let limits = self.limits(&self.subject()?.target);
        let admitted = self.scene.schema.as_ref().map(|(_, a)| a.rows.as_slice());
        let admitted = admitted.filter(|_| self.system.schema);
        let limited = admitted.map(|rows| Limited::new(oracle, rows, &limits));
        let oracle = limited.as_ref().map_or(oracle, |l| l as &dyn Oracle);
        let second_limited =
            admitted.zip(second).map(|(rows, second)| Limited::new(second, rows, &limits));
        let second = second_limited.as_ref().map(|l| l as &dyn Oracle).or(second);
        let decimals = self.scene.decimals;
        let rounded = self.system.rounding.then(|| Rounded::new(oracle, decision, decimals));
        let oracle = rounded.as_ref().map_or(oracle, |r| r as &dyn Oracle);
        self.attacked(oracle, second, decision, space, starts)
    }

    fn attacked(
        &self,
        oracle: &dyn Oracle,
        second: Option<&dyn Oracle>,
        decision: Decision,
        space: &Space,
        starts: &Starts,
    ) -> Outcome<Measured> {
        let (scene, subject) = (self.scene, self.subject()?);
        let threat = &scene.threat;
        let probe = self.probe();
        let access = match self.system.seen {
            Seen::AsDeclared => threat.access,
            Seen::Scores => Access::Score,
            Seen::Decisions => Access::Decision,
        };
        let constraints = subject.constraints(threat.cost_limit)?;
        let case = Case {
            oracle,
            second,
            space,
            labels: subject.labels(),
            decision,
            criterion: scene.criterion,
            norm: threat.norm,
            access,
            queries_limit: threat.queries,
            constraints: constraints.as_ref(),
            probe: &probe.id,
        };
        let suite = self.suite(&case, starts)?;
        let facts = subject.facts(scene.project.system.seed);
        let request = Request {
            numbers: None,
            facts: &facts,
            case: &case,
            suite: &suite,
            threat: Some(&threat.name),
            scale: threat.scale,
            eps: &threat.eps,
            groups: &subject.groups,
            setup: &subject.setup,
        };
        let mut kept = Kept::open(Some(&self.ground.runs), &scene.plan, &probe, &facts.engine);
        let done = kept.take();
        let ctx = Ctx {
            seed: scene.project.system.seed,
            progress: self.ground.bars,
            cancel: self.ground.cancel,
        };
        let assessed =
            evasion::assess(&request, &done, &ctx, &mut |row| kept.add(row)).map_err(failed)?;
        kept.remove();
        let clean = Clean::ask(oracle, &decision).or_fail("target", "")?;
        let refused = clean.decisions().iter().filter(|d| d.is_none()).count() as u64;
        let mut measurements = self.clean_figures(&facts, &clean, decision, subject);
        measurements.push(self.refused(&facts, refused, clean.rows() as u64));
        measurements.extend(latency::measure(oracle, &facts)?);
        measurements.extend(assessed.measurements.into_iter().filter(|m| is_shown(m, scene)));
        let outcomes = Outcomes { clean, records: assessed.records };
        let measurements = measurements.into_iter().map(only_what_is_wrong).collect();
        Ok(Measured { outcomes, measurements })
    }

    /// The plain system is attacked as `assess` attacks it, with the same random streams.
    fn probe(&self) -> Probe {
        let scene = self.scene;
        let threat = &scene.threat;
        let planned = |p: &&Probe| {
            p.model == scene.primary_asset.name
                && p.data == scene.data.name
                && matches!(&p.kind, ProbeKind::Evasion { threat: t, .. } if *t == threat.name)
        };
        let found = scene.plan.probes.iter().find(planned);
        if let Some(planned) =
            found.filter(|_| self.system == System::PLAIN && scene.limit.is_none())
        {
            return planned.clone();
        }
        let limit = scene.limit.map_or(String::new(), |n| format!("/{n}"));
        let decimals = scene.decimals;
        let id = found.filter(|_| self.system == System::PLAIN).map_or_else(
            || {
                format!(
                    "harden/{}/{}/{}/{decimals}",
                    scene.data.name,
                    threat.name,
                    self.system.key()
                )
            },
            |planned| planned.id.clone(),
        );
        Probe {
            id: format!("{id}{limit}"),
            kind: ProbeKind::Evasion {
                threat: threat.name.clone(),
                suite: threat.suite.clone(),
                edition: Suite::edition_of(&threat.suite).unwrap_or(0),
                eps: threat.eps.clone(),
            },
            model: scene.primary_asset.name.clone(),
            data: scene.data.name.clone(),
        }
    }

    /// The declared suite, led by the witnesses against simpler systems; where models vote, a
    /// longer search over deployed values follows, since one of them may have no slope.
    fn suite(&self, case: &Case<'_>, starts: &Starts) -> Outcome<Suite> {
        let suite = Suite::named(&self.scene.threat.suite, case, None)
            .or_fail("suite", "choose another suite or access for this threat")?;
        if self.system == System::PLAIN || self.system.seen != Seen::AsDeclared {
            return Ok(suite);
        }
        let long = proofmark_lab::evasion::Settings { queries: LONG_SEARCH, ..STANDARD };
        let suite = suite.led_by(Box::new(Transfer::new(starts.clone())));
        Ok(match self.system.vote.and_then(|_| attack("coordinate", long)) {
            Some(search) => suite.followed_by(search),
            None => suite,
        })
    }

    fn clean_figures(
        &self,
        facts: &Facts,
        clean: &Clean,
        decision: Decision,
        subject: &Subject,
    ) -> Vec<Measurement> {
        let groups = &subject.groups;
        let report =
            accuracy::measure(facts, clean, subject.labels(), &decision, groups, &subject.setup);
        // Rows without a decision have no score, so figures over scores would leave people out.
        let scored = clean.all_scores().iter().all(|s| !s.is_nan());
        let shown = |m: &Measurement| match m.metric.as_str() {
            "accuracy" => true,
            "balanced_accuracy" | "decision_rate" => m.subject.group.is_none(),
            "auc" | "brier" | "calibration_error" => scored,
            _ => false,
        };
        report.measurements.into_iter().filter(shown).collect()
    }

    fn refused(&self, facts: &Facts, refused: u64, rows: u64) -> Measurement {
        let method = Method { id: "harden".into(), edition: 1 };
        let share = facts.share(refused, rows);
        facts.measurement("refused_share", "proportion", About::default(), share, &method, &[])
    }
}

/// Figures of the attack that the table and the papers show: overall at every budget, per group at
/// the budget of the table.
fn is_shown(m: &Measurement, scene: &Scene<'_>) -> bool {
    let wanted = ["robust_accuracy", "robust_recall", "attack_success"];
    let overall = m.subject.group.is_none() && m.subject.class.is_none();
    let at_table = m.subject.class.is_none() && m.subject.eps == Some(scene.table_eps());
    wanted.contains(&m.metric.as_str()) && (overall || (at_table && m.metric != "attack_success"))
}

/// Checks that hold are many and the same on every figure: those that do not are kept.
fn only_what_is_wrong(mut m: Measurement) -> Measurement {
    m.validity.retain(|v: &Validity| v.state != CheckState::Ok);
    m
}

fn absent() -> Failure {
    Failure::new("bug", "an arm names a model that is not there", "please report this")
}

/// Queries of the search that follows where models vote: as many as `margin` gives it.
const LONG_SEARCH: usize = 2_000;
