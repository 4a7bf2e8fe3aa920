//! Measures: what was measured about them, and whether they are in force.
//!
//! Owns the rule that a measured effect counts only where the measure is taken: a file of it is
//! among the current files, or its setting is on in the guard's policy. Must never count an effect
//! whose interval holds zero. Called by `overview`, the matrix and the papers.

use std::collections::BTreeMap;

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::ModelRole;

use super::{Present, World};
use crate::events::Logged;
use crate::risk::Treatment;
use crate::treatment::{Effect, Measure, Says, TreatmentsPredicate};

/// A measure of the last `harden` that knew it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Measure.
    pub measure: Measure,
    /// What it changed.
    pub effects: Vec<Effect>,
    /// Digest of the statement, hex.
    pub statement: String,
    /// Id of the statement's predicate.
    pub id: String,
    /// When it was logged.
    pub time: String,
    /// Whether it is in force, and how, or why not.
    pub force: Force,
}

/// Whether a measure is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Force {
    /// In force: by which file or setting.
    On(String),
    /// Not in force, or measured on other files: why.
    Off(String),
}

/// A treatment of a risk with what was measured about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// As it was chosen.
    pub treatment: Treatment,
    /// What was measured; `None` when it names no measure, or one that was never measured.
    pub measured: Option<Measured>,
}

/// Every measure, each as last measured, in the order they were first measured. A trial on the
/// first rows stands only for measures that were never measured on all.
pub fn measures(world: &World, present: &Present<'_>) -> Vec<Measured> {
    let mut found: Vec<Measured> = Vec::new();
    let trials = world.treatments.iter().filter(|t| t.said.limit.is_some());
    let whole = world.treatments.iter().filter(|t| t.said.limit.is_none());
    for logged in trials.chain(whole) {
        for measure in &logged.said.measures {
            let measured = measured(logged, measure, world, present);
            match found.iter_mut().find(|m| m.measure.id == measure.id) {
                Some(older) => *older = measured,
                None => found.push(measured),
            }
        }
    }
    found
}

/// A treatment with what was measured about it.
pub fn taken(world: &World, present: &Present<'_>, treatment: &Treatment) -> Taken {
    let wanted = treatment.measure.as_deref();
    let all = measures(world, present);
    let measured = wanted.and_then(|id| all.into_iter().find(|m| m.measure.id == id));
    Taken { treatment: treatment.clone(), measured }
}

impl Force {
    /// Whether it is in force.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// How, or why not.
    pub fn words(&self) -> &str {
        match self {
            Self::On(words) | Self::Off(words) => words,
        }
    }
}

impl Measured {
    /// What was measured on these figures (all of them when none is named), in one sentence:
    /// every comparison that is better or worse, and how many showed nothing.
    pub fn summary(&self, metrics: &[String]) -> String {
        if let Some(why) = &self.measure.not_measured {
            return format!("not measured: {why}");
        }
        let about = |e: &&Effect| metrics.is_empty() || metrics.contains(&e.metric);
        let all: Vec<&Effect> = self.effects.iter().filter(about).collect();
        let mut told: Vec<String> =
            all.iter().filter(|e| e.says != Says::NoMeasuredEffect).map(|e| line(e)).collect();
        let nothing = all.len() - told.len();
        match (all.len(), nothing) {
            (0, _) => return "no figure of it".to_owned(),
            (_, 0) => {}
            (1, 1) => told.push(all.iter().map(|e| line(e)).collect()),
            (n, m) if n == m => told.push(format!("no measured effect in {n} comparisons")),
            (_, m) => told.push(format!("no measured effect in {m} further comparisons")),
        }
        told.join(", ")
    }

    /// Better effects on the figure that decides: the first of `metrics` that was compared. None
    /// when it is worse at another budget: nobody may pick the one that suits. Only comparisons of
    /// the system with and without the measure count, not those of its parts.
    pub fn better(&self, metrics: &[String]) -> Vec<&Effect> {
        let of = |metric: &String| {
            let counts = |e: &Effect| e.metric == *metric && is_of_the_system(e);
            self.effects.iter().any(counts)
        };
        let Some(decides) = metrics.iter().find(|m| of(m)) else { return Vec::new() };
        let on = || {
            let counts = |e: &&Effect| e.metric == *decides && is_of_the_system(e);
            self.effects.iter().filter(counts)
        };
        if on().any(|e| e.says == Says::Worse) {
            return Vec::new();
        }
        on().filter(|e| e.says == Says::Better).collect()
    }
}

/// Whether an effect compares the system with the measure to the system without it: alone, or
/// beside all others.
fn is_of_the_system(effect: &Effect) -> bool {
    let Effect { with, without, measure, .. } = effect;
    let alone = *with == format!("only {measure}") && without == "none";
    let beside = with == "all" && *without == format!("without {measure}");
    (with.is_empty() && without.is_empty()) || alone || beside
}

/// An effect in words; an interval that holds zero is called no measured effect.
pub fn line(effect: &Effect) -> String {
    let Effect { metric, difference, lower, upper, eps, with, without, .. } = effect;
    let budget = eps.map(|eps| format!(" at {eps}")).unwrap_or_default();
    let arms = match (with.as_str(), without.as_str()) {
        ("", _) | (_, "") => String::new(),
        (with, without) => format!(" ({with} against {without})"),
    };
    let says = match effect.says {
        Says::Better => "better",
        Says::Worse => "WORSE",
        Says::NoMeasuredEffect => "no measured effect",
    };
    format!("{metric}{budget} {difference:+.4} [{lower:+.4}, {upper:+.4}]{arms}: {says}")
}

fn measured(
    logged: &Logged<TreatmentsPredicate>,
    measure: &Measure,
    world: &World,
    present: &Present<'_>,
) -> Measured {
    let said = &logged.said;
    Measured {
        measure: measure.clone(),
        effects: said.effects.iter().filter(|e| e.measure == measure.id).cloned().collect(),
        statement: logged.stored.statement.hex(),
        id: said.id.clone(),
        time: logged.time.clone(),
        force: force(said, measure, world, present),
    }
}

fn force(
    said: &TreatmentsPredicate,
    measure: &Measure,
    world: &World,
    present: &Present<'_>,
) -> Force {
    if let Some(rows) = said.limit {
        return Force::Off(format!(
            "its effect was tried on the first {rows} rows only; `proofmark harden` without \
             --limit measures it"
        ));
    }
    let changed = |kind: &str| other(&said.assets, present.assets, kind);
    if let Some(name) = changed("data/") {
        return Force::Off(format!("its effect was measured on another `{name}`"));
    }
    if let Some(asset) = present.assets.iter().find(|asset| carries(measure, asset, present)) {
        return Force::On(format!("its file is `{}`", asset.name));
    }
    let Some(setting) = &measure.setting else {
        return Force::Off("none of its files is among the declared ones".to_owned());
    };
    if let Some(name) = changed("model/") {
        return Force::Off(format!("its effect was measured on another `{name}`"));
    }
    let Some(guard) = &world.guard else {
        return Force::Off("no guard has recorded its policy".to_owned());
    };
    set(measure, setting, &guard.settings)
}

/// Whether a file of the measure is this asset, and in use: a candidate decides nothing.
fn carries(measure: &Measure, asset: &AssetDigest, present: &Present<'_>) -> bool {
    let mut files = measure.artefacts.iter().map(|file| &file.sha256);
    let mut models = measure.ships.iter().map(|model| &model.sha256);
    let its = files.any(|d| *d == asset.sha256) || models.any(|d| *d == asset.sha256);
    let model = asset.name.strip_prefix("model/").and_then(|m| present.system.model_named(m));
    its && model.is_none_or(|m| m.role != ModelRole::Candidate)
}

/// Whether the guard's settings hold `name`, or `name = value` where the measure names the value.
/// A file that a setting names must be the measured one.
fn set(measure: &Measure, setting: &str, settings: &BTreeMap<String, String>) -> Force {
    let (name, wanted) = match setting.split_once('=') {
        Some((name, wanted)) => (name.trim(), Some(wanted.trim())),
        None => (setting, None),
    };
    let Some(value) = settings.get(name) else {
        return Force::Off(format!("the guard's policy does not set `{name}`"));
    };
    let file = measure.artefacts.iter().any(|a| a.sha256 == *value);
    let on = match wanted {
        Some(wanted) => value == wanted,
        None => file || value == "true",
    };
    if on {
        return Force::On(format!("the guard sets `{name}`"));
    }
    if wanted.is_none() && value != "false" {
        return Force::Off(format!(
            "the guard sets `{name} = {value}`, and nothing says that this is what was measured"
        ));
    }
    Force::Off(format!("the guard sets `{name} = {value}`"))
}

/// The first measured file of that kind that lies there with other bytes. What is not declared
/// was made by `harden` itself.
fn other<'a>(then: &'a [AssetDigest], now: &[AssetDigest], kind: &str) -> Option<&'a str> {
    let differs = |a: &&AssetDigest| now.iter().any(|b| b.name == a.name && b.sha256 != a.sha256);
    let mut of_kind = then.iter().filter(|a| a.name.starts_with(kind));
    of_kind.find(differs).map(|a| a.name.as_str())
}
