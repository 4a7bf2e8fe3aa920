//! The matrix of the law: seven threats by five verbs, and what covers each cell.
//!
//! Owns the rule that a cell is measured only by signed figures of this assessment, for every
//! model in use, that no check refused; which figures count is data (`schema/data/matrix.json`).
//! Text gives "declared" at most. Must never call a cell covered because a verdict passed, or
//! uncovered because it failed: coverage and verdict are two columns. Called by `assessment`.

pub mod live;

use proofmark_schema::duties::{MatrixRule, cell_id, matrix_rules};
use proofmark_schema::measurement::CheckState;
use proofmark_schema::system::{Declared, ModelRole, System};
use proofmark_schema::taxonomy::{Coverage, ThreatClass, Verb};
use serde::{Deserialize, Serialize};

use crate::judge::{Evidence, Judged, Verdict, VerdictState};
use crate::plan::{is_fault, is_robust};

/// The matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Edition of the rules that say which figure counts where.
    pub edition: u32,
    /// Rows in the order of the law.
    pub rows: Vec<Row>,
}

/// A threat and its five cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Threat.
    pub threat: ThreatClass,
    /// Id of the duty behind it.
    pub duty: String,
    /// One cell per verb, in order.
    pub cells: Vec<Cell>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Verb.
    pub verb: Verb,
    /// What covers it.
    pub coverage: Coverage,
    /// The measure, in the words of the declaration; empty when none is declared.
    pub measure: String,
    /// Who answers for the measure; empty when none is declared.
    pub owner: String,
    /// Ids of the measurements that cover it.
    pub evidence: Vec<String>,
    /// Criteria judged on that evidence, with their state.
    pub verdicts: Vec<(String, VerdictState)>,
    /// Why it counts, why it is waived, or why figures do not count.
    pub note: String,
    /// Next command, or what to declare.
    pub next: String,
}

/// The matrix of `system` after an assessment.
pub fn matrix(system: &System, evidence: &Evidence<'_>, verdicts: &[Verdict]) -> Matrix {
    let rules = matrix_rules();
    let row = |threat| Row {
        threat,
        duty: rules.duty(threat).unwrap_or_default().to_owned(),
        cells: Verb::ALL
            .into_iter()
            .map(|verb| cell(system, evidence, verdicts, threat, verb))
            .collect(),
    };
    Matrix { edition: rules.edition, rows: ThreatClass::ALL.into_iter().map(row).collect() }
}

impl Matrix {
    /// Number of cells with that coverage.
    pub fn count(&self, coverage: Coverage) -> usize {
        self.rows.iter().flat_map(|r| &r.cells).filter(|c| c.coverage == coverage).count()
    }
}

fn cell(
    system: &System,
    evidence: &Evidence<'_>,
    verdicts: &[Verdict],
    threat: ThreatClass,
    verb: Verb,
) -> Cell {
    let id = cell_id(threat, verb);
    let declared = system.declared.get(&id);
    let rule = matrix_rules().rule(threat, verb);
    let proof = rule.map(|rule| proof(system, evidence, rule)).unwrap_or_default();
    let coverage = match declared {
        _ if proof.covers => Coverage::Measured,
        Some(Declared { waived: Some(_), .. }) => Coverage::Waived,
        Some(_) => Coverage::Declared,
        None => Coverage::Missing,
    };
    let verdicts: Vec<(String, VerdictState)> = verdicts
        .iter()
        .filter(|v| v.measurement.as_ref().is_some_and(|m| proof.seen.contains(m)))
        .map(|v| (v.criterion.name.clone(), v.state))
        .collect();
    let note = match (coverage, rule, declared) {
        (Coverage::Measured, Some(rule), _) => rule.why.clone(),
        (Coverage::Waived, _, Some(Declared { waived: Some(reason), .. })) => reason.clone(),
        _ => proof.hindrance.clone(),
    };
    Cell {
        verb,
        coverage,
        measure: declared.map(|d| d.measure.clone()).unwrap_or_default(),
        owner: declared.map(|d| d.owner.clone()).unwrap_or_default(),
        evidence: if proof.covers { proof.counted } else { Vec::new() },
        next: next(&id, coverage, rule, system, &verdicts, &proof.hindrance),
        verdicts,
        note,
    }
}

/// What the figures say about one cell.
#[derive(Default)]
struct Proof {
    /// Figures that count.
    counted: Vec<String>,
    /// Figures of the rule's metrics, refused ones included.
    seen: Vec<String>,
    /// Whether every model in use has a figure that counts.
    covers: bool,
    /// Why it does not cover, when there are figures.
    hindrance: String,
}

fn proof(system: &System, evidence: &Evidence<'_>, rule: &MatrixRule) -> Proof {
    let of_rule: Vec<&Judged<'_>> =
        evidence.figures.iter().filter(|j| rule.metrics.contains(&j.measurement.metric)).collect();
    let counts = |j: &&&Judged<'_>| !refused(j);
    let counted: Vec<&&Judged<'_>> = of_rule.iter().filter(counts).collect();
    let in_use = system.models.iter().filter(|m| m.role != ModelRole::Candidate);
    let uncovered: Vec<&str> = in_use
        .map(|m| m.name.as_str())
        .filter(|name| !counted.iter().any(|j| j.measurement.subject.model == *name))
        .collect();
    let any_refused = of_rule.len() > counted.len();
    let hindrance = match (of_rule.is_empty(), uncovered.as_slice()) {
        (true, _) | (_, []) => String::new(),
        (false, names) if any_refused => {
            format!("figures for {} were refused by a check of the set-up", names.join(", "))
        }
        (false, names) => format!("no figure for {}", names.join(", ")),
    };
    Proof {
        covers: !counted.is_empty() && uncovered.is_empty(),
        counted: counted.iter().map(|j| j.measurement.id.clone()).collect(),
        seen: of_rule.iter().map(|j| j.measurement.id.clone()).collect(),
        hindrance,
    }
}

fn refused(judged: &Judged<'_>) -> bool {
    let mut checks = judged.measurement.validity.iter().chain(judged.probe_validity);
    checks.any(|v| v.state == CheckState::Refuse)
}

fn next(
    id: &str,
    coverage: Coverage,
    rule: Option<&MatrixRule>,
    system: &System,
    verdicts: &[(String, VerdictState)],
    hindrance: &str,
) -> String {
    let unmet = |s: &VerdictState| *s != VerdictState::Pass;
    match (coverage, rule) {
        (Coverage::Measured, _) if verdicts.is_empty() => {
            "set a threshold, `[criteria.…]`, before the next `proofmark assess`".to_owned()
        }
        (Coverage::Measured, _) if verdicts.iter().any(|(_, state)| unmet(state)) => {
            "change the model, then `proofmark assess`".to_owned()
        }
        (Coverage::Measured, _) => "`proofmark dossier --out DIR`".to_owned(),
        (_, Some(_)) if !hindrance.is_empty() => {
            "`proofmark check`, mend what it says, then `proofmark assess`".to_owned()
        }
        (_, Some(rule)) if needs_threat(rule) && system.threats.is_empty() => {
            "declare an attacker, `[threats.…]`, then `proofmark assess`".to_owned()
        }
        (_, Some(rule)) if needs_fault(rule) && system.faults.is_empty() => {
            "declare a fault, `[faults.…]`, then `proofmark assess`".to_owned()
        }
        (_, Some(_)) => "`proofmark assess`".to_owned(),
        (Coverage::Waived, None) => "none while the reason holds".to_owned(),
        (Coverage::Declared, None) => "none: this release cannot measure it".to_owned(),
        (_, None) => format!("declare it: `[declared.\"{id}\"]`"),
    }
}

fn needs_threat(rule: &MatrixRule) -> bool {
    rule.metrics.iter().all(|m| is_robust(m))
}

fn needs_fault(rule: &MatrixRule) -> bool {
    rule.metrics.iter().all(|m| is_fault(m))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{figure, refuse, robust, system};
    use proofmark_schema::measurement::Measurement;
    use std::fmt::Write as _;

    fn built(system: &System, figures: &[Measurement]) -> Matrix {
        let figures =
            figures.iter().map(|measurement| Judged { measurement, probe_validity: &[] }).collect();
        matrix(system, &Evidence { figures, failures: Vec::new() }, &[])
    }

    fn at(matrix: &Matrix, threat: ThreatClass, verb: Verb) -> &Cell {
        let row = matrix.rows.iter().find(|r| r.threat == threat).unwrap();
        row.cells.iter().find(|c| c.verb == verb).unwrap()
    }

    #[test]
    fn the_matrix_of_the_example() {
        let figures =
            [figure("accuracy", "mlp", 0.8), figure("accuracy", "trees", 0.7), robust(0.05, 0.6)];
        let matrix = built(&system(), &figures);
        let mut text = String::new();
        for row in &matrix.rows {
            for cell in &row.cells {
                let id = cell_id(row.threat, cell.verb);
                let coverage = serde_json::to_string(&cell.coverage).unwrap();
                writeln!(
                    text,
                    "{id}: {coverage} | {} | {} | {}",
                    cell.measure, cell.note, cell.next
                )
                .unwrap();
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn text_alone_never_measures() {
        let mut system = system();
        for threat in ThreatClass::ALL {
            for verb in Verb::ALL {
                let declared =
                    Declared { measure: "all is well".into(), owner: "me".into(), waived: None };
                system.declared.insert(cell_id(threat, verb), declared);
            }
        }
        let matrix = built(&system, &[]);
        assert_eq!(matrix.count(Coverage::Measured), 0);
        assert_eq!(matrix.count(Coverage::Declared), 35);
    }

    #[test]
    fn a_refused_figure_covers_nothing_and_says_so() {
        let mut broken = robust(0.05, 0.6);
        broken.validity.push(refuse());
        let matrix = built(&system(), &[broken]);
        let cell = at(&matrix, ThreatClass::Evasion, Verb::Control);
        assert_eq!(cell.coverage, Coverage::Missing);
        assert!(cell.evidence.is_empty());
        assert!(cell.note.contains("refused"), "{}", cell.note);
        assert!(cell.next.contains("proofmark check"), "{}", cell.next);
    }

    #[test]
    fn every_model_in_use_needs_a_figure_but_not_a_candidate() {
        let mut system = system();
        system.models[1].role = ModelRole::Backup;
        let only_mlp = [figure("accuracy", "mlp", 0.8)];
        let matrix = built(&system, &only_mlp);
        let cell = at(&matrix, ThreatClass::ModelFlaws, Verb::Detect);
        assert_eq!((cell.coverage, cell.note.as_str()), (Coverage::Missing, "no figure for trees"));
        system.models[1].role = ModelRole::Candidate;
        let matrix = built(&system, &only_mlp);
        let cell = at(&matrix, ThreatClass::ModelFlaws, Verb::Detect);
        assert_eq!(cell.coverage, Coverage::Measured);
    }

    #[test]
    fn next_commands_exist() {
        let verbs = ["assess", "check", "dossier"];
        let matrices = [built(&system(), &[]), built(&system(), &[robust(0.05, 0.6)])];
        for cell in matrices.iter().flat_map(|m| m.rows.iter().flat_map(|r| &r.cells)) {
            for (at, _) in cell.next.match_indices("`proofmark ") {
                let verb = cell.next[at + 11..].split([' ', '`']).next().unwrap();
                assert!(verbs.contains(&verb), "{}", cell.next);
            }
        }
    }
}
