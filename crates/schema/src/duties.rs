//! The catalogue: duties of the law, rules of the matrix, and what each metric means.
//!
//! Owns the types of the files in `data/` and their reading. Must never decide whether a duty
//! is met: `assess` does. Called by `assess` and the command line.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::clock::InForce;
use crate::taxonomy::{Coverage, ThreatClass, Verb};

/// The duties, with the law and its version they rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duties {
    /// `proofmark.duties/1`.
    pub format: String,
    /// Edition of this catalogue.
    pub edition: u32,
    /// Day the law was read.
    pub as_of: String,
    /// Acts, with the acts that amend them.
    pub legal_base: Vec<LegalBase>,
    /// When groups of duties apply.
    pub calendars: Vec<Calendar>,
    /// Duties.
    pub duties: Vec<Duty>,
}

/// An act and its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegalBase {
    /// Short id.
    pub id: String,
    /// Number and short name.
    pub title: String,
    /// Which version of it: amending acts and dates.
    pub version: String,
}

/// One duty, in our own words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// Id, e.g. `AIA-15-5-e`.
    pub id: String,
    /// Id of the act.
    pub base: String,
    /// Provision, e.g. `Art. 15(5)`.
    pub provision: String,
    /// A few words.
    pub title: String,
    /// What is asked.
    pub duty: String,
    /// Id of the calendar that says since when it applies.
    pub calendar: String,
    /// Duties that belong to it.
    pub see: Vec<String>,
    /// What it takes; it is covered as well as its weakest part.
    pub parts: Vec<Part>,
}

/// When a group of duties applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Id.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Dates, per reading and ground.
    pub in_force: Vec<InForce>,
}

/// A part of a duty; the best of its evidence counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What must be shown.
    pub what: String,
    /// Kinds of evidence that show it.
    pub by: Vec<EvidenceRule>,
}

/// A kind of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRule {
    /// Kind.
    pub kind: EvidenceKind,
    /// Which: metrics, cells (`*` for every threat or verb), faults of a drill, texts, fields of
    /// the declaration; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

/// Kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// A signed figure of the last run.
    Metric,
    /// The same per group.
    GroupMetric,
    /// Cells of the matrix, all of them, each as it is covered there.
    Cell,
    /// A plan that was registered before its run.
    Plan,
    /// A signed comparison of measures.
    Treatment,
    /// The journal of a drill.
    Drill,
    /// A checkpoint of the guard's record in the log.
    GuardLog,
    /// A receipt of an authority.
    Receipt,
    /// The signature of a person.
    Signature,
    /// Entries of the register of risks.
    Risk,
    /// Cases of incidents.
    Incident,
    /// A paper that was written from the evidence.
    Paper,
    /// A field of the declaration.
    Declaration,
    /// A text of the papers, `[papers."<id>"]`.
    Text,
}

impl EvidenceKind {
    /// The most that this kind can give. Only what was measured gives measured.
    pub fn at_most(self) -> Coverage {
        match self {
            Self::Metric
            | Self::GroupMetric
            | Self::Cell
            | Self::Plan
            | Self::Treatment
            | Self::Drill
            | Self::GuardLog => Coverage::Measured,
            Self::Receipt | Self::Signature => Coverage::Imported,
            Self::Risk | Self::Incident | Self::Paper | Self::Declaration | Self::Text => {
                Coverage::Declared
            }
        }
    }
}

/// Which signed figures count for which cell of the matrix, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRules {
    /// `proofmark.matrix-rules/1`.
    pub format: String,
    /// Edition of the rules.
    pub edition: u32,
    /// Duty of each row.
    pub rows: Vec<MatrixRow>,
    /// Cells that a figure can cover; a cell without a rule cannot be measured yet.
    pub rules: Vec<MatrixRule>,
    /// Cells that what happens between assessments can cover: measures, drills, the guard.
    #[serde(default)]
    pub live: Vec<LiveRule>,
}

/// What counts for a cell beside the figures of an assessment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveRule {
    /// `<threat class id>/<verb id>`.
    pub cell: String,
    /// Where the evidence comes from.
    pub from: LiveSource,
    /// For measures: figures whose change counts; the first that was compared decides.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// For drills: every one of these faults must have gone as it should.
    #[serde(default)]
    pub faults: Vec<String>,
    /// For drills: whether coming back must have been measured as well.
    #[serde(default)]
    pub recovers: bool,
    /// Why it counts for this verb.
    pub why: String,
    /// Next command while it does not.
    pub next: String,
}

/// Where evidence comes from between assessments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveSource {
    /// A measure in force whose effect was measured.
    Treatment,
    /// A drill whose experiments did not deviate.
    Drill,
    /// The policy that the guard recorded: a statement, never a measurement.
    Guard,
}

/// Duty behind a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRow {
    /// Row.
    pub threat: ThreatClass,
    /// Id of the duty.
    pub duty: String,
}

/// Which metrics count for a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRule {
    /// `<threat class id>/<verb id>`.
    pub cell: String,
    /// Any of these metrics counts.
    pub metrics: Vec<String>,
    /// Why they count for this verb.
    pub why: String,
}

/// Metrics by name, with words for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// `proofmark.metrics/1`.
    pub format: String,
    /// Edition.
    pub edition: u32,
    /// Metrics, in the order in which reports show them.
    pub metrics: Vec<Metric>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name in measurements and criteria.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// How its values are printed.
    pub shown_as: ShownAs,
    /// Part of the report: `accuracy`, `class`, `confusion`, `calibration`, `parity`,
    /// `robustness`, `found_by`, `distance` or `cost`.
    pub part: String,
    /// What it means, in one sentence without figures.
    pub means: String,
}

/// How values of a metric are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownAs {
    /// A share, as percent with one decimal.
    Percent,
    /// A plain number.
    Number,
    /// A whole number.
    Count,
}

impl Duties {
    /// The duty of that id.
    pub fn named(&self, id: &str) -> Option<&Duty> {
        self.duties.iter().find(|d| d.id == id)
    }
    /// The calendar of a duty.
    pub fn calendar(&self, duty: &Duty) -> Option<&Calendar> {
        self.calendars.iter().find(|c| c.id == duty.calendar)
    }
}

impl MatrixRules {
    /// Duty behind a row.
    pub fn duty(&self, threat: ThreatClass) -> Option<&str> {
        self.rows.iter().find(|r| r.threat == threat).map(|r| r.duty.as_str())
    }
    /// The rule of a cell, if figures can cover it.
    pub fn rule(&self, threat: ThreatClass, verb: Verb) -> Option<&MatrixRule> {
        let cell = cell_id(threat, verb);
        self.rules.iter().find(|r| r.cell == cell)
    }
}

impl Metrics {
    /// The metric of that name.
    pub fn named(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.id == id)
    }
}

/// The id of a cell, as in `[declared."evasion/prevent"]`.
pub fn cell_id(threat: ThreatClass, verb: Verb) -> String {
    format!("{}/{}", threat.id(), verb.id())
}

/// The bundled duties.
pub fn duties() -> &'static Duties {
    &DUTIES
}

/// The bundled rules of the matrix.
pub fn matrix_rules() -> &'static MatrixRules {
    &MATRIX
}

/// The bundled metrics.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

static DUTIES: LazyLock<Duties> = LazyLock::new(|| read(include_str!("../data/duties.json")));
static MATRIX: LazyLock<MatrixRules> = LazyLock::new(|| read(include_str!("../data/matrix.json")));
static METRICS: LazyLock<Metrics> = LazyLock::new(|| read(include_str!("../data/metrics.json")));

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

    #[test]
    fn every_catalogue_parses_and_ids_are_unique() {
        let ids: BTreeSet<_> = duties().duties.iter().map(|d| &d.id).collect();
        assert_eq!(ids.len(), duties().duties.len());
        let ids: BTreeSet<_> = metrics().metrics.iter().map(|m| &m.id).collect();
        assert_eq!(ids.len(), metrics().metrics.len());
        let cells: BTreeSet<_> = matrix_rules().rules.iter().map(|r| &r.cell).collect();
        assert_eq!(cells.len(), matrix_rules().rules.len());
    }

    #[test]
    fn every_duty_names_an_act_whose_version_is_stated() {
        for duty in &duties().duties {
            let base = duties().legal_base.iter().find(|b| b.id == duty.base);
            let base = base.unwrap_or_else(|| panic!("{} names no act", duty.id));
            let version = match base.id.as_str() {
                "AIA" => ["2024/1689", "2026/1744"],
                "CRA" => ["2024/2847", "2027"],
                _ => ["2016/679", "2018"],
            };
            let text = format!("{}, {}", base.title, base.version);
            assert!(version.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn every_row_of_the_matrix_has_a_duty_of_the_catalogue() {
        for threat in ThreatClass::ALL {
            let id = matrix_rules().duty(threat).unwrap_or_else(|| panic!("{}", threat.id()));
            assert!(duties().named(id).is_some(), "{id}");
        }
    }

    #[test]
    fn every_rule_names_a_real_cell_and_known_metrics() {
        let cells: BTreeSet<String> = ThreatClass::ALL
            .into_iter()
            .flat_map(|t| Verb::ALL.into_iter().map(move |v| cell_id(t, v)))
            .collect();
        for rule in &matrix_rules().rules {
            assert!(cells.contains(&rule.cell), "{}", rule.cell);
            assert!(!rule.metrics.is_empty() && !rule.why.is_empty(), "{}", rule.cell);
            for metric in &rule.metrics {
                assert!(metrics().named(metric).is_some(), "{metric}");
            }
        }
    }

    #[test]
    fn every_duty_has_a_calendar_and_parts_whose_evidence_is_known() {
        for duty in &duties().duties {
            assert!(duties().calendar(duty).is_some(), "{}: {}", duty.id, duty.calendar);
            assert!(!duty.parts.is_empty(), "{}", duty.id);
            for part in &duty.parts {
                assert!(!part.what.is_empty() && !part.by.is_empty(), "{}", duty.id);
                part.by.iter().for_each(|rule| known_evidence(&duty.id, rule));
            }
        }
        for calendar in &duties().calendars {
            let used = duties().duties.iter().any(|d| d.calendar == calendar.id);
            assert!(used && !calendar.in_force.is_empty(), "{}", calendar.id);
        }
    }

    fn known_evidence(duty: &str, rule: &EvidenceRule) {
        for id in &rule.ids {
            let known = match rule.kind {
                EvidenceKind::Metric | EvidenceKind::GroupMetric => metrics().named(id).is_some(),
                EvidenceKind::Cell => id.split_once('/').is_some_and(|(threat, verb)| {
                    let threat = threat == "*" || ThreatClass::ALL.iter().any(|t| t.id() == threat);
                    threat && (verb == "*" || Verb::ALL.iter().any(|v| v.id() == verb))
                }),
                EvidenceKind::Text => duties().named(id).is_some(),
                EvidenceKind::Drill | EvidenceKind::Declaration => !id.is_empty(),
                _ => false,
            };
            assert!(known, "{duty}: {:?} `{id}`", rule.kind);
        }
        let named = matches!(
            rule.kind,
            EvidenceKind::Metric
                | EvidenceKind::GroupMetric
                | EvidenceKind::Cell
                | EvidenceKind::Text
                | EvidenceKind::Declaration
        );
        assert!(!named || !rule.ids.is_empty(), "{duty}: {:?} of what?", rule.kind);
    }

    #[test]
    fn every_live_rule_names_a_real_cell_and_what_counts() {
        for rule in &matrix_rules().live {
            let known = ThreatClass::ALL
                .into_iter()
                .any(|t| Verb::ALL.into_iter().any(|v| cell_id(t, v) == rule.cell));
            assert!(known && !rule.why.is_empty(), "{}", rule.cell);
            assert!(rule.next.starts_with("`proofmark "), "{}", rule.next);
            let fits = match rule.from {
                LiveSource::Treatment => !rule.metrics.is_empty() && rule.faults.is_empty(),
                LiveSource::Drill => !rule.faults.is_empty() && rule.metrics.is_empty(),
                LiveSource::Guard => rule.faults.is_empty() && rule.metrics.is_empty(),
            };
            assert!(fits, "{}", rule.cell);
        }
    }

    #[test]
    fn the_meaning_of_a_metric_holds_no_figure() {
        for metric in &metrics().metrics {
            assert!(!metric.means.chars().any(|c| c.is_ascii_digit()), "{}", metric.id);
        }
    }
}
