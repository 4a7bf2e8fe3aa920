//! The arms: the system with every set of measures that the table shows, each attacked anew.
//!
//! Owns which measures are on in which arm and how they are put around the models. Every arm is a
//! target of its own for the harness; the attack knows what is on, holds the witnesses found
//! against the arms before it, and is judged by the same harness. Must never judge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use proofmark_lab::harness::{HarnessError, RowRecord};
use proofmark_lab::treatment::{Outcomes, Starts};
use proofmark_schema::measurement::Measurement;

use super::scene::Scene;
use super::{MeasureName, bug};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::Bars;
use crate::subject::Subject;

mod trial;

use trial::Trial;

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

/// A run that the user stopped, or an attack that could not run.
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
