//! Risks as plain data: scenarios, ratings, scales, seeds and the bundled techniques.
//!
//! Owns the types of what a person says about a risk and of the files `data/risk-*.json` and
//! `data/techniques.json`. Must never rate: `assess` does. Called by `assess` and the command line.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::system::{Access, HarmClass};
use crate::taxonomy::ThreatClass;

/// What can go wrong, for whom, and through what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// In one line.
    pub title: String,
    /// Attack, failure or misuse.
    pub kind: ScenarioKind,
    /// Row of the matrix, when it stands in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<ThreatClass>,
    /// Who or what brings it about.
    pub actor: String,
    /// What it touches: `model/mlp`, `data/train`, or `model`, `data`, `system` for all of them.
    pub assets: Vec<String>,
    /// Ids of the bundled techniques; never empty for an attack.
    pub techniques: Vec<String>,
    /// What it does to the system.
    pub effect: Effect,
    /// What it does to people; `None` until a person says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<ScenarioHarm>,
    /// What it belongs to.
    pub links: Links,
    /// Who answers for it (`people.<id>`).
    pub owner: String,
}

/// Kind of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScenarioKind {
    /// Somebody means it.
    Attack,
    /// Nobody means it.
    Failure,
    /// Use against the purpose that can be foreseen (Art. 9(2)(b)).
    Misuse,
}

/// What a scenario does to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Something becomes known.
    Confidentiality,
    /// Something becomes wrong.
    Integrity,
    /// Something is not there when it is needed.
    Availability,
    /// It is used against its purpose.
    Misuse,
}

/// A harm as it was declared when the scenario was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioHarm {
    /// Name in the declaration (`harms.<name>`).
    pub name: String,
    /// Class.
    pub class: HarmClass,
    /// Severity, 1 (negligible) to 5 (catastrophic).
    pub severity: u8,
    /// Who is harmed.
    pub people: String,
    /// What it means for minors and vulnerable groups; `None` is a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerable: Option<String>,
}

/// What a scenario belongs to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Threat of the declaration whose attacks measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat: Option<String>,
    /// Misuse of the declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misuse: Option<String>,
    /// Criteria that tell whether it is in check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<String>,
    /// Cells of the matrix, e.g. `evasion/control`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<String>,
    /// Duties, e.g. `AIA-15-5-e`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<String>,
    /// Risks that it can follow from. Never a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// How likely, how bad, and the level the table gives for the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// Likelihood, 1 to 5.
    pub likelihood: u8,
    /// Where the likelihood comes from.
    pub basis: Basis,
    /// Severity, 1 to 5.
    pub severity: u8,
    /// Level of the two by the table.
    pub level: Level,
    /// Edition of the scales.
    pub scales: u32,
}

/// Where a likelihood comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Basis {
    /// From a signed measurement and the declared exposure.
    Measured(MeasuredLikelihood),
    /// By a person.
    Entered {
        /// Why.
        reason: String,
    },
}

/// Expected successes a year, from a signed measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredLikelihood {
    /// Run.
    pub run: String,
    /// Digest of the measurement statement.
    pub statement: String,
    /// Id of the measurement.
    pub measurement: String,
    /// Metric it is read from.
    pub metric: String,
    /// Model.
    pub model: String,
    /// Budget.
    pub eps: Option<f64>,
    /// Confidence of the two-sided interval.
    pub confidence: f64,
    /// Share of attempts that succeed: lower and upper end.
    pub success: [f64; 2],
    /// Attempts in a year, as declared: lowest and highest.
    pub attempts_per_year: [f64; 2],
    /// Expected successes in a year: products of the lower and of the upper ends.
    pub successes_per_year: [f64; 2],
    /// Likelihood of the lower end; the rating takes that of the upper end.
    pub likelihood_lower: u8,
}

/// Level of a risk, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Very high.
    VeryHigh,
}

impl Level {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::VeryHigh => "very high",
        }
    }
}

/// The scales of likelihood and severity and the table of levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scales {
    /// `proofmark.risk-scales/1`.
    pub format: String,
    /// Edition.
    pub edition: u32,
    /// How the levels are meant.
    pub why: String,
    /// Five bands of expected successes a year, ascending.
    pub likelihood: Vec<Band>,
    /// Five severities, ascending.
    pub severity: Vec<Severity>,
    /// Levels: one row per likelihood, one column per severity.
    pub levels: Vec<Vec<Level>>,
    /// Periods where the declaration names none.
    pub periods: Periods,
}

/// A band of the likelihood scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// 1 to 5.
    pub level: u8,
    /// Word.
    pub title: String,
    /// Expected successes a year below this; `None` for the last band.
    pub below: Option<f64>,
    /// In words.
    pub means: String,
}

/// A step of the severity scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Severity {
    /// 1 to 5.
    pub level: u8,
    /// Word.
    pub title: String,
    /// In words.
    pub means: String,
}

/// Periods, in days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Periods {
    /// A risk is looked at again after.
    pub review_days: u32,
    /// A drill is repeated after.
    pub drill_days: u32,
    /// An acceptance lasts at most.
    pub acceptance_days_max: u32,
    /// What is due within is called soon.
    pub soon_days: u32,
    /// Why these.
    pub why: String,
}

/// What `risk seed` writes when the declaration has nothing better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// `proofmark.risk-seeds/1`.
    pub format: String,
    /// Edition.
    pub edition: u32,
    /// One scenario per row of the matrix.
    pub rows: Vec<RowSeed>,
    /// Techniques of a declared threat, by access.
    pub threats: Vec<ThreatSeed>,
    /// Rows whose risks a fall of the guard to SAFE or STOPPED re-opens.
    pub touched_by_guard: Vec<ThreatClass>,
}

/// The scenario of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowSeed {
    /// Row.
    pub row: ThreatClass,
    /// Id of the risk.
    pub id: String,
    /// Kind.
    pub kind: ScenarioKind,
    /// In one line.
    pub title: String,
    /// Who or what.
    pub actor: String,
    /// Techniques.
    pub techniques: Vec<String>,
    /// Effect.
    pub effect: Effect,
    /// `model`, `data` or `system`.
    pub asset: String,
}

/// Techniques of an access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreatSeed {
    /// Access.
    pub access: Access,
    /// Techniques.
    pub techniques: Vec<String>,
}

/// Techniques of the field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Techniques {
    /// `proofmark.techniques/1`.
    pub format: String,
    /// Edition of the table.
    pub edition: u32,
    /// Taxonomies.
    pub sources: Vec<TechniqueSource>,
    /// Techniques.
    pub techniques: Vec<Technique>,
}

/// A taxonomy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TechniqueSource {
    /// Prefix of its ids.
    pub id: String,
    /// Name and edition.
    pub title: String,
    /// Remark.
    pub note: String,
}

/// A technique.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Technique {
    /// Id, e.g. `AML.T0043.000` or `NISTAML.022`.
    pub id: String,
    /// A few words of ours.
    pub title: String,
    /// Rows of the matrix it belongs to.
    pub rows: Vec<ThreatClass>,
}

impl Techniques {
    /// The technique of that id.
    pub fn named(&self, id: &str) -> Option<&Technique> {
        self.techniques.iter().find(|t| t.id == id)
    }
}

impl Scales {
    /// The level of a likelihood and a severity, each 1 to 5.
    pub fn level(&self, likelihood: u8, severity: u8) -> Option<Level> {
        let at = |level: u8| usize::from(level).checked_sub(1);
        self.levels.get(at(likelihood)?)?.get(at(severity)?).copied()
    }

    /// The likelihood of so many expected successes a year; `None` when it is no number.
    pub fn likelihood_of(&self, successes_per_year: f64) -> Option<u8> {
        let inside = |b: &&Band| b.below.is_none_or(|below| successes_per_year < below);
        let number = !successes_per_year.is_nan() && successes_per_year >= 0.0;
        self.likelihood.iter().find(inside).filter(|_| number).map(|b| b.level)
    }

    /// The word for a likelihood.
    pub fn likelihood_word(&self, level: u8) -> &str {
        self.likelihood.iter().find(|b| b.level == level).map_or("", |b| b.title.as_str())
    }

    /// The word for a severity.
    pub fn severity_word(&self, level: u8) -> &str {
        self.severity.iter().find(|s| s.level == level).map_or("", |s| s.title.as_str())
    }
}

/// The bundled scales.
pub fn scales() -> &'static Scales {
    &SCALES
}

/// The bundled seeds.
pub fn seeds() -> &'static Seeds {
    &SEEDS
}

/// The bundled techniques.
pub fn techniques() -> &'static Techniques {
    &TECHNIQUES
}

static SCALES: LazyLock<Scales> = LazyLock::new(|| read(include_str!("../data/risk-scales.json")));
static SEEDS: LazyLock<Seeds> = LazyLock::new(|| read(include_str!("../data/risk-seeds.json")));
static TECHNIQUES: LazyLock<Techniques> =
    LazyLock::new(|| read(include_str!("../data/techniques.json")));

#[allow(clippy::panic, reason = "the text is compiled in and the tests below read all of it")]
fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("a bundled catalogue does not parse: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::duties::matrix_rules;

    #[test]
    fn the_table_is_whole_and_never_falls() {
        let scales = scales();
        assert_eq!(
            (scales.likelihood.len(), scales.severity.len(), scales.levels.len()),
            (5, 5, 5)
        );
        for likelihood in 1..=5u8 {
            for severity in 1..=5u8 {
                let here = scales.level(likelihood, severity).unwrap();
                for (l, s) in [(likelihood + 1, severity), (likelihood, severity + 1)] {
                    assert!(scales.level(l, s).is_none_or(|next| next >= here), "{l} {s}");
                }
            }
        }
        assert_eq!(scales.level(1, 1), Some(Level::Low));
        assert_eq!(scales.level(5, 5), Some(Level::VeryHigh));
        for (l, s) in [(0, 1), (1, 0), (6, 1), (1, 6)] {
            assert_eq!(scales.level(l, s), None, "{l} {s}");
        }
    }

    #[test]
    fn bands_are_half_open_and_cover_everything_from_zero() {
        let cases = [
            (0.0, Some(1)),
            (0.0999, Some(1)),
            (0.1, Some(2)),
            (0.999, Some(2)),
            (1.0, Some(3)),
            (11.99, Some(3)),
            (12.0, Some(4)),
            (99.9, Some(4)),
            (100.0, Some(5)),
            (f64::INFINITY, Some(5)),
            (-0.1, None),
            (f64::NAN, None),
        ];
        for (successes, wanted) in cases {
            assert_eq!(scales().likelihood_of(successes), wanted, "{successes}");
        }
        let levels: Vec<u8> = scales().likelihood.iter().map(|b| b.level).collect();
        assert_eq!(levels, [1, 2, 3, 4, 5]);
        assert_eq!(scales().severity.iter().map(|s| s.level).collect::<Vec<_>>(), levels);
    }

    #[test]
    fn every_row_has_one_seed_with_known_techniques_and_a_duty() {
        for row in ThreatClass::ALL {
            let seeds: Vec<_> = seeds().rows.iter().filter(|s| s.row == row).collect();
            assert_eq!(seeds.len(), 1, "{}", row.id());
            assert!(matrix_rules().duty(row).is_some());
        }
        let used = seeds().rows.iter().flat_map(|s| &s.techniques);
        for id in used.chain(seeds().threats.iter().flat_map(|t| &t.techniques)) {
            assert!(techniques().named(id).is_some(), "{id}");
        }
        for seed in &seeds().rows {
            assert!(
                seed.kind != ScenarioKind::Attack || !seed.techniques.is_empty(),
                "{}",
                seed.id
            );
            assert!(["model", "data", "system"].contains(&seed.asset.as_str()), "{}", seed.id);
        }
        for access in [Access::WhiteBox, Access::Score, Access::Decision] {
            assert!(seeds().threats.iter().any(|t| t.access == access), "{access:?}");
        }
    }

    #[test]
    fn techniques_are_unique_and_of_a_named_taxonomy() {
        let ids: BTreeSet<_> = techniques().techniques.iter().map(|t| &t.id).collect();
        assert_eq!(ids.len(), techniques().techniques.len());
        for technique in &techniques().techniques {
            let known = |s: &TechniqueSource| technique.id.starts_with(&format!("{}.", s.id));
            assert!(techniques().sources.iter().any(known), "{}", technique.id);
            assert!(!technique.rows.is_empty() && !technique.title.is_empty());
        }
    }
}
