//! Validity: whether a figure means what it says.
//!
//! Owns the gates and the two lists of them. Before attacking, a broken set-up **refuses** the
//! verdict; afterwards a suspicious attack **warns** that the figure is not reliable. Each gate
//! gives its reason and the likely fix. Must never change a figure. Called by the assessment
//! and by `assess`'s runner. A new gate is one file here and one line in a list.
//!
//! Numbers follow the checklist of the field notes: Carlini et al. 2019, "On evaluating
//! adversarial robustness"; Athalye et al. 2018; Tramer et al. 2020; Pintor et al. 2022,
//! "Indicators of attack failure". Gate 6, rows shared with the training data, is a note of who
//! loads the data. Of AutoAttack's flags the fifth, a model that optimises while it answers, cannot
//! occur: a model file is a graph that is evaluated once.

use proofmark_schema::measurement::{CheckState, Validity};

use crate::ctx::Ctx;
use crate::decision::Decision;
use crate::evasion::Attack;
use crate::evasion::suite::Suite;
use crate::harness::{self, Case, Clean, Done, HarnessError, RowRecord};
use crate::oracle::{Oracle, OracleError};
use crate::space::Space;

mod clean_accuracy;
mod degenerate;
mod determinism;
mod domain;
mod doubled;
mod gradients;
mod late_loss;
mod monotone;
mod numbers;
mod order;
mod output_kind;
mod silent_success;
mod square;
mod transfer;
mod two_engines;
mod unconstrained;

/// What is known before attacking.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The deployed target.
    pub oracle: &'a dyn Oracle,
    /// A second engine.
    pub second: Option<&'a dyn Oracle>,
    /// Class index per row.
    pub labels: &'a [usize],
    /// Regression: the label of each row.
    pub targets: Option<&'a [f64]>,
    /// The declared decision.
    pub decision: Decision,
    /// Clean answers.
    pub clean: &'a Clean,
    /// Class names.
    pub classes: &'a [String],
    /// The attacker's space; `None` where no threat applies.
    pub space: Option<&'a Space>,
    /// Violations of declared types and bounds that the data reader found.
    pub domain: &'a [String],
    /// Other ways to read the data: layouts, ranges, column orders.
    pub alternatives: &'a [Alternative<'a>],
    /// Scores of the training framework for the same rows, `rows x classes`.
    pub expected: Option<&'a [f32]>,
}

/// The same data read in another way.
pub struct Alternative<'a> {
    /// The way, e.g. `height and width swapped`.
    pub name: String,
    /// What to declare if it fits.
    pub fix: String,
    /// The target under it.
    pub oracle: &'a dyn Oracle,
}

/// An attack that has ended.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// What was attacked.
    pub case: &'a Case<'a>,
    /// With what.
    pub suite: &'a Suite,
    /// Budgets, ascending.
    pub budgets: &'a [f64],
    /// Rows.
    pub records: &'a [RowRecord],
    /// Seed and cancel.
    pub ctx: &'a Ctx<'a>,
}

/// A gate before attacking.
pub struct SetupGate {
    /// Check id.
    pub id: &'static str,
    /// Examines the set-up.
    pub examine: fn(&Setup<'_>) -> Result<Finding, OracleError>,
}

/// A gate after attacking.
pub struct AttackGate {
    /// Check id.
    pub id: &'static str,
    /// Examines the attack.
    pub examine: fn(&Trial<'_>) -> Result<Finding, HarnessError>,
}

/// The set-up gates, in order.
pub const SETUP: &[SetupGate] = &[
    SetupGate { id: "gate-01-clean-accuracy", examine: clean_accuracy::examine },
    SetupGate { id: "gate-02-determinism", examine: determinism::examine },
    SetupGate { id: "gate-03-output-kind", examine: output_kind::examine },
    SetupGate { id: "gate-04-two-engines", examine: two_engines::examine },
    SetupGate { id: "gate-05-domain", examine: domain::examine },
    SetupGate { id: "gate-16-degenerate", examine: degenerate::examine },
];

/// The attack gates, in order.
pub const ATTACK: &[AttackGate] = &[
    AttackGate { id: "gate-04-witnesses", examine: two_engines::examine_witnesses },
    AttackGate { id: "gate-07-gradients", examine: gradients::examine },
    AttackGate { id: "gate-08-late-loss", examine: late_loss::examine },
    AttackGate { id: "gate-09-silent-success", examine: silent_success::examine },
    AttackGate { id: "gate-10-doubled", examine: doubled::examine },
    AttackGate { id: "gate-11-unconstrained", examine: unconstrained::examine },
    AttackGate { id: "gate-12-monotone", examine: monotone::examine },
    AttackGate { id: "gate-13-order", examine: order::examine },
    AttackGate { id: "gate-14-transfer", examine: transfer::examine },
    AttackGate { id: "gate-15-square", examine: square::examine },
];

/// What a gate found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    state: CheckState,
    reason: String,
    fix: String,
}

impl Finding {
    fn ok(reason: impl Into<String>) -> Self {
        Self { state: CheckState::Ok, reason: reason.into(), fix: String::new() }
    }

    fn warn(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: CheckState::Warn, reason: reason.into(), fix: fix.into() }
    }

    fn refuse(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: CheckState::Refuse, reason: reason.into(), fix: fix.into() }
    }

    fn not_examined(reason: impl Into<String>) -> Self {
        Self { state: CheckState::NotExamined, reason: reason.into(), fix: String::new() }
    }

    fn named(self, check: &str) -> Validity {
        Validity { check: check.into(), state: self.state, reason: self.reason, fix: self.fix }
    }
}

/// Runs the set-up gates.
///
/// # Errors
/// The target failed.
pub fn examine_setup(setup: &Setup<'_>) -> Result<Vec<Validity>, OracleError> {
    SETUP.iter().map(|gate| Ok((gate.examine)(setup)?.named(gate.id))).collect()
}

/// Runs the attack gates.
///
/// # Errors
/// The target failed or the run was stopped.
pub fn examine_attack(trial: &Trial<'_>) -> Result<Vec<Validity>, HarnessError> {
    let each = ATTACK.iter().map(|gate| {
        let finding = match trial.case.oracle.metered() && !ASK_NOTHING.contains(&gate.id) {
            true => Finding::not_examined(METERED),
            false => (gate.examine)(trial)?,
        };
        Ok(finding.named(gate.id))
    });
    each.collect()
}

/// Check 17, where rows were found to share what they hold: a warning that stands beside every
/// figure of the data. `said` is what is shared, in words.
pub fn dependent_rows(said: &str) -> Validity {
    let reason = format!("{said}: the rows are not independent, so every interval is too narrow");
    let fix = "measure on rows that stand apart, or read the interval with that number of rows";
    Finding::warn(reason, fix).named("gate-17-dependent-rows")
}

/// Whether any check refuses the verdict.
pub fn refused(checks: &[Validity]) -> bool {
    checks.iter().any(|c| c.state == CheckState::Refuse)
}

impl Trial<'_> {
    /// At most `count` evenly spaced rows that `wanted` accepts.
    fn sample(&self, count: usize, wanted: impl Fn(&RowRecord) -> bool) -> Vec<usize> {
        let all: Vec<usize> =
            self.records.iter().filter(|r| wanted(r)).map(|r| r.point.index as usize).collect();
        let taken = all.len().min(count);
        (0..taken).map(|i| all[i * all.len() / taken]).collect()
    }

    /// The budget at which the share broken is nearest one half: where attacks differ most.
    fn telling_budget(&self) -> f64 {
        let attacked = self.records.iter().filter(|r| r.attacked()).count().max(1) as f64;
        let gap = |eps: f64| {
            let robust = self.records.iter().filter(|r| r.attacked() && r.robust_at(eps)).count();
            (robust as f64 / attacked - 0.5).abs()
        };
        let mut best = self.budgets[0];
        for &eps in self.budgets {
            if gap(eps) < gap(best) {
                best = eps;
            }
        }
        best
    }

    /// Rows of `rows` that fall when these attacks run on their own at `eps`, with as many
    /// queries as they like.
    fn fallen(
        &self,
        id: &str,
        attacks: Vec<Box<dyn Attack>>,
        eps: f64,
        rows: &[usize],
    ) -> Result<Vec<usize>, HarnessError> {
        self.fallen_within(None, id, attacks, eps, rows)
    }

    /// As [`Trial::fallen`], with a limit of queries per row.
    fn fallen_within(
        &self,
        queries_limit: Option<u64>,
        id: &str,
        attacks: Vec<Box<dyn Attack>>,
        eps: f64,
        rows: &[usize],
    ) -> Result<Vec<usize>, HarnessError> {
        let suite = Suite::of(id, 1, attacks);
        let case = Case { second: None, queries_limit, ..*self.case };
        let records =
            harness::run(&case, &suite, &[eps], rows, &Done::new(), self.ctx, &mut |_| {})?;
        let broken = records.iter().filter(|r| !r.robust_at(eps));
        Ok(broken.map(|r| r.point.index as usize).collect())
    }
}

/// `3 of 40 rows (rows 2, 5, 9)`: counts with at most five examples.
fn some_of(rows: &[usize], of: usize) -> String {
    let shown: Vec<String> = rows.iter().take(5).map(usize::to_string).collect();
    let more = if rows.len() > 5 { " ..." } else { "" };
    format!("{} of {of} rows ({}{more})", rows.len(), shown.join(", "))
}

/// Gates that look at what was found and ask the target nothing.
const ASK_NOTHING: [&str; 5] = [
    "gate-04-witnesses",
    "gate-07-gradients",
    "gate-08-late-loss",
    "gate-09-silent-success",
    "gate-12-monotone",
];
/// Why the others do not run on a target whose questions cost.
const METERED: &str = "it attacks a sample again, and each question of this target costs";

#[cfg(test)]
mod tests;
