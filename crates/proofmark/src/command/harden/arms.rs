//! The arms: the system with every set of measures that the table shows, each attacked anew.
//!
//! Owns which measures are on in which arm and how they are put around the models. Every arm is a
//! target of its own for the harness; the attack knows what is on, holds the witnesses found
//! against the arms before it, and is judged by the same harness. Must never judge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use proofmark_lab::accuracy;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::decision::Decision;
use proofmark_lab::evasion::assessment::{self as evasion, Request};
use proofmark_lab::evasion::suite::{STANDARD, Suite, attack};
use proofmark_lab::facts::{About, Facts};
use proofmark_lab::harness::{Case, Clean, HarnessError, RowRecord};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::space::Space;
use proofmark_lab::target::Target;
use proofmark_lab::treatment::{Limited, Limits, Outcomes, Rounded, Starts, Transfer};
use proofmark_schema::measurement::{CheckState, Measurement, Method, Validity};
use proofmark_schema::plan::{Probe, ProbeKind};
use proofmark_schema::system::{Access, FeatureKind};

use super::scene::Scene;
use super::{MeasureName, bug, latency, limits, votes};
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;
use crate::progress::Bars;
use crate::runner::progress_rows::Kept;
use crate::subject::Subject;

/// What a run stands on.
pub struct Ground<'a> {
    pub bars: &'a Bars,
    pub cancel: &'a AtomicBool,
    pub quiet: bool,
    /// Where rows of an unfinished run are kept.
    pub runs: PathBuf,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct System {
    /// Who answers alone, or first.
    pub who: Who,
    /// With the stand-in as second voter: the declared backup, or the smaller one.
    pub vote: Option<Second>,
    /// Behind the input schema.
    pub schema: bool,
    /// Released scores rounded.
    pub rounding: bool,
    /// What the attacker sees.
    pub seen: Seen,
}

/// The model that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Primary,
    Retrained,
    Backup,
    Small,
}

/// The second voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Second {
    Backup,
    Small,
}

/// What the attacker sees of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// As the threat declares.
    AsDeclared,
    /// Released scores only.
    Scores,
    /// Decisions only.
    Decisions,
}

/// A named arm of the table.
pub struct Arm {
    pub name: String,
    pub on: Vec<MeasureName>,
    pub system: System,
}

/// One system, measured.
pub struct Measured {
    pub outcomes: Outcomes,
    pub measurements: Vec<Measurement>,
}

/// All arms, measured.
pub struct Bench {
    pub arms: Vec<Arm>,
    pub measured: BTreeMap<System, Measured>,
}

impl System {
    /// The primary model alone.
    pub const PLAIN: Self = Self {
        who: Who::Primary,
        vote: None,
        schema: false,
        rounding: false,
        seen: Seen::AsDeclared,
    };

    /// A model alone.
    pub fn alone(who: Who) -> Self {
        Self { who, ..Self::PLAIN }
    }

    /// The system with these measures on.
    fn with(scene: &Scene<'_>, on: &[MeasureName]) -> Self {
        let is = |name| on.contains(&name);
        let second = match is(MeasureName::BackupTree) && scene.small.is_some() {
            true => Second::Small,
            false => Second::Backup,
        };
        Self {
            who: match is(MeasureName::AdversarialRows) {
                true => Who::Retrained,
                false => Who::Primary,
            },
            vote: is(MeasureName::Vote).then_some(second),
            schema: is(MeasureName::InputSchema),
            rounding: is(MeasureName::Rounding),
            seen: Seen::AsDeclared,
        }
    }

    /// In words.
    pub fn words(self, scene: &Scene<'_>) -> String {
        let name = |who| subject(scene, who).map_or("?".into(), |s| s.facts(0).model);
        let mut words = format!("models.{}", name(self.who));
        if let Some(second) = self.vote {
            words.push_str(&format!(" and models.{} vote", name(second.who())));
        }
        if self.schema {
            words.push_str(", behind the input schema");
        }
        if self.rounding {
            words.push_str(", scores rounded");
        }
        match self.seen {
            Seen::AsDeclared => {}
            Seen::Scores => words.push_str("; the attacker sees released scores only"),
            Seen::Decisions => words.push_str("; the attacker sees decisions only"),
        }
        words
    }

    fn key(self) -> String {
        format!("{self:?}")
    }
}

impl Second {
    fn who(self) -> Who {
        match self {
            Self::Backup => Who::Backup,
            Self::Small => Who::Small,
        }
    }
}

/// The subject of a model.
pub fn subject<'s>(scene: &'s Scene<'_>, who: Who) -> Option<&'s Subject> {
    match who {
        Who::Primary => Some(&scene.primary),
        Who::Retrained => scene.retrained.as_ref().map(|s| &s.subject),
        Who::Backup => scene.backup.as_ref().map(|s| &s.subject),
        Who::Small => scene.small.as_ref().map(|s| &s.subject),
    }
}

impl Bench {
    /// Measures every arm, the stand-ins and the score-only attacker of `rounding`.
    pub fn measure(scene: &Scene<'_>, ground: &Ground<'_>) -> Outcome<Self> {
        let arms = table(scene);
        let mut bench = Self { arms, measured: BTreeMap::new() };
        let mut wanted: Vec<System> = bench.arms.iter().map(|a| a.system).collect();
        wanted.extend(besides(scene));
        // Plain systems first: what breaks them is tried on the others.
        wanted.sort_by_key(|s| (s.size(), *s));
        wanted.dedup();
        let total = wanted.len();
        let mut starts = Starts::default();
        for (at, system) in wanted.into_iter().enumerate() {
            let words = system.words(scene);
            output::note(ground.quiet, &format!("[{}/{total}] {words}", at + 1));
            ground.bars.begin(&words);
            let made = Trial { scene, ground, system }.run(&starts);
            ground.bars.end();
            let made = made?;
            if system.seen == Seen::AsDeclared {
                starts.add(&made.outcomes.records);
            }
            bench.measured.insert(system, made);
        }
        Ok(bench)
    }

    /// What was measured of an arm.
    pub fn of(&self, arm: &Arm) -> Option<&Measured> {
        self.measured.get(&arm.system)
    }

    /// The arm of that name.
    pub fn named(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|a| a.name == name)
    }
}

impl System {
    /// Number of parts: systems of fewer parts are measured first.
    fn size(self) -> usize {
        usize::from(self.vote.is_some()) * 4
            + usize::from(self.schema)
            + usize::from(self.rounding)
            + usize::from(self.seen != Seen::AsDeclared)
    }
}

/// `none`, `all`, `without <measure>`, `only <measure>`.
fn table(scene: &Scene<'_>) -> Vec<Arm> {
    let all = scene.measured();
    let arm = |name: String, on: Vec<MeasureName>| {
        let system = System::with(scene, &on);
        Arm { name, on, system }
    };
    let mut arms = vec![arm("none".into(), Vec::new()), arm("all".into(), all.clone())];
    for &left in &all {
        let on = all.iter().copied().filter(|m| *m != left).collect();
        arms.push(arm(format!("without {}", left.id()), on));
    }
    arms.extend(all.iter().map(|&only| arm(format!("only {}", only.id()), vec![only])));
    arms
}

/// Systems that stand beside the table.
fn besides(scene: &Scene<'_>) -> Vec<System> {
    let measured = scene.measured();
    let mut all = Vec::new();
    if scene.backup.is_some() {
        all.push(System::alone(Who::Backup));
    }
    if scene.small.is_some() {
        all.push(System::alone(Who::Small));
    }
    if measured.contains(&MeasureName::Rounding) {
        all.push(System { seen: Seen::Scores, ..System::PLAIN });
        all.push(System { seen: Seen::Scores, rounding: true, ..System::PLAIN });
        all.push(System { seen: Seen::Decisions, ..System::PLAIN });
    }
    all
}

/// One system under attack.
struct Trial<'t, 'a> {
    scene: &'t Scene<'a>,
    ground: &'t Ground<'t>,
    system: System,
}

impl Trial<'_, '_> {
    fn run(&self, starts: &Starts) -> Outcome<Measured> {
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
            probe: &probe.id,
        };
        let suite = self.suite(&case, starts)?;
        let facts = subject.facts(scene.project.system.seed);
        let request = Request {
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

pub fn failed(error: HarnessError) -> Failure {
    match error {
        HarnessError::Cancelled => Failure::new(
            "interrupted",
            "stopped on request; nothing was written or logged",
            "rows decided so far are kept: run the same command again and it goes on",
        ),
        other => Failure::new("attack", other, "see `proofmark check`"),
    }
}

/// Witnesses of a system, for the artefact store.
pub fn witnesses(records: &[RowRecord], dims: usize) -> Outcome<Vec<u8>> {
    use proofmark_formats::npy::{NpyArray, NpyData};
    let found: Vec<&RowRecord> = records.iter().filter(|r| r.witness.is_some()).collect();
    let n = found.len();
    let rows: Vec<i64> = found.iter().map(|r| r.point.index as i64).collect();
    let decided: Vec<i64> =
        found.iter().map(|r| crate::runner::index_or_none(r.point.decision_witness)).collect();
    let x: Vec<f32> = found.iter().filter_map(|r| r.witness.clone()).flatten().collect();
    let rows = bug(NpyArray::new(vec![n], NpyData::I64(rows)))?;
    let decided = bug(NpyArray::new(vec![n], NpyData::I64(decided)))?;
    let x = bug(NpyArray::new(vec![n, dims], NpyData::F32(x)))?;
    bug(proofmark_formats::npz::write([("rows", &rows), ("x", &x), ("decisions", &decided)]))
}

/// Queries of the search that follows where models vote: as many as `margin` gives it.
const LONG_SEARCH: usize = 2_000;
