//! From figures to verdicts.
//!
//! Owns the rule: pass when the one-sided lower bound reaches the threshold, fail when the upper
//! bound is below it, else inconclusive with the rows that would decide; refused when a check of
//! the set-up failed, or when a pass would rest on an attack that its own checks call weak. Must
//! never compute a bound itself or round one. Called by `assessment`.

use std::fmt;

use proofmark_schema::measurement::{CheckState, Measurement, Quantity, Validity};
use proofmark_schema::system::{Bound, Criterion};
use serde::{Deserialize, Serialize};

use crate::runner::Runner;

/// State of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictState {
    /// The bound on the safe side reaches the threshold.
    Pass,
    /// The bound on the other side does not.
    Fail,
    /// The interval holds the threshold.
    Inconclusive,
    /// The set-up is broken: no figure deserves a verdict.
    Refused,
    /// Nothing was measured.
    Missing,
}

/// Verdict on one criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The criterion as registered.
    pub criterion: Criterion,
    /// State.
    pub state: VerdictState,
    /// Id of the measurement it rests on.
    pub measurement: Option<String>,
    /// One-sided lower bound at the criterion's confidence.
    pub lower: Option<f64>,
    /// One-sided upper bound at the criterion's confidence.
    pub upper: Option<f64>,
    /// The figure.
    pub value: Option<f64>,
    /// Why, in words.
    pub reason: String,
    /// What to do next; empty after a pass.
    pub fix: String,
    /// Rows that would decide an inconclusive verdict if the share stayed as it is.
    pub rows_to_decide: Option<u64>,
    /// Why the verdict is unfit for declaration; empty when it was promised beforehand.
    pub exploratory: Vec<String>,
}

/// A measurement with the checks of its probe.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The figure.
    pub measurement: &'a Measurement,
    /// Checks of the probe that made it.
    pub probe_validity: &'a [Validity],
}

/// What was measured and what failed.
#[derive(Clone, Debug, Default)]
pub struct Evidence<'a> {
    /// Figures of this assessment.
    pub figures: Vec<Judged<'a>>,
    /// Probes that failed.
    pub failures: Vec<Failure<'a>>,
}

/// A probe that gave nothing.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// Model.
    pub model: &'a str,
    /// Data set.
    pub data: &'a str,
    /// Threat, for attacks.
    pub threat: Option<&'a str>,
    /// Fault, for faults set on purpose.
    pub fault: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// What to do next.
    pub fix: &'a str,
}

/// The verdict on `criterion`. `exploratory` says why it is unfit for declaration, if it is.
pub fn judge(
    criterion: &Criterion,
    evidence: &Evidence<'_>,
    runner: &dyn Runner,
    exploratory: Vec<String>,
) -> Verdict {
    let mut verdict = Verdict {
        criterion: criterion.clone(),
        state: VerdictState::Missing,
        measurement: None,
        lower: None,
        upper: None,
        value: None,
        reason: String::new(),
        fix: String::new(),
        rows_to_decide: None,
        exploratory,
    };
    let matching = |j: &&Judged<'_>| answers(criterion, j.measurement);
    let Some(judged) = evidence.figures.iter().find(matching) else {
        missing(&mut verdict, evidence);
        return verdict;
    };
    let figure = judged.measurement;
    verdict.measurement = Some(figure.id.clone());
    verdict.value = Some(figure.quantity.value());
    let mut checks = figure.validity.iter().chain(judged.probe_validity);
    if let Some(broken) = checks.find(|v| v.state == CheckState::Refuse) {
        verdict.state = VerdictState::Refused;
        verdict.reason = format!("{} ({})", broken.reason, broken.check);
        verdict.fix.clone_from(&broken.fix);
        return verdict;
    }
    match runner.bounds(&figure.quantity, criterion.confidence) {
        Some((lower, upper)) if lower.is_finite() && upper.is_finite() && lower <= upper => {
            (verdict.lower, verdict.upper) = (Some(lower), Some(upper));
            weigh(&mut verdict, lower, upper);
        }
        _ => {
            verdict.state = VerdictState::Refused;
            verdict.reason = "the figure has no one-sided bounds at this confidence".to_owned();
            verdict.fix = "choose a metric with an interval for this criterion".to_owned();
        }
    }
    if verdict.state == VerdictState::Inconclusive {
        verdict.rows_to_decide =
            runner.rows_to_decide(&figure.quantity, criterion.bound, criterion.confidence);
        verdict.fix = match verdict.rows_to_decide {
            Some(_) => "measure on more rows",
            None => "measure on more rows; how many cannot be told from this figure",
        }
        .to_owned();
    }
    if verdict.state == VerdictState::Pass && is_bracket(&figure.quantity) {
        verdict.reason.push_str(NOT_A_PROOF);
        let mut checks = figure.validity.iter().chain(judged.probe_validity);
        if let Some(weak) = checks.find(|v| says_weak(v))
            && matches!(criterion.bound, Bound::AtLeast(_))
        {
            verdict.state = VerdictState::Refused;
            verdict.reason = format!("{TOO_WEAK}: {} ({})", weak.reason, weak.check);
            verdict.fix.clone_from(&weak.fix);
        }
    }
    verdict
}

impl VerdictState {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for VerdictState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether `measurement` is the figure that `criterion` is about.
pub fn answers(criterion: &Criterion, measurement: &Measurement) -> bool {
    let subject = &measurement.subject;
    criterion.metric == measurement.metric
        && criterion.model == subject.model
        && criterion.data == subject.data
        && criterion.threat == subject.threat
        && criterion.eps == subject.eps
        && criterion.fault == subject.fault
        && criterion.severity == subject.severity
        && criterion.group == subject.group
        && criterion.quantile == subject.quantile
        && subject.class.is_none()
}

fn weigh(verdict: &mut Verdict, lower: f64, upper: f64) {
    let (state, reason) = match verdict.criterion.bound {
        Bound::AtLeast(t) if lower >= t => (VerdictState::Pass, LOWER_REACHES),
        Bound::AtLeast(t) if upper < t => (VerdictState::Fail, UPPER_BELOW),
        Bound::AtMost(t) if upper <= t => (VerdictState::Pass, UPPER_WITHIN),
        Bound::AtMost(t) if lower > t => (VerdictState::Fail, LOWER_ABOVE),
        Bound::AtLeast(_) | Bound::AtMost(_) => (VerdictState::Inconclusive, STRADDLES),
    };
    verdict.state = state;
    verdict.reason = reason.to_owned();
    if state == VerdictState::Fail {
        verdict.fix = "change the model or its use, then assess again".to_owned();
    }
}

fn missing(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let criterion = &verdict.criterion;
    let failed = evidence.failures.iter().find(|f| {
        f.model == criterion.model
            && f.data == criterion.data
            && f.threat == criterion.threat.as_deref()
            && f.fault == criterion.fault.as_deref().and_then(|name| name.split('/').next())
    });
    match failed {
        Some(failure) => {
            verdict.reason = format!("the probe failed: {}", failure.reason);
            verdict.fix = failure.fix.to_owned();
        }
        None => {
            verdict.reason = "no probe of this run gave this figure".to_owned();
            verdict.fix =
                "check metric and group of the criterion; a group with too few rows gets \
                           no figures (see the remarks of the probe)"
                    .to_owned();
        }
    }
}

/// Whether a check says that the attack was weaker than it should be: what survived it then says
/// little. What it turned stays turned, so a failed criterion stands.
pub fn says_weak(check: &Validity) -> bool {
    check.state == CheckState::Warn
        && ATTACK_STRENGTH.iter().any(|prefix| check.check.starts_with(prefix))
}

fn is_bracket(quantity: &Quantity) -> bool {
    matches!(quantity, Quantity::Bracket { .. })
}

const LOWER_REACHES: &str = "the lower bound reaches the threshold";
const UPPER_BELOW: &str = "the upper bound is below the threshold";
const UPPER_WITHIN: &str = "the upper bound does not exceed the threshold";
const LOWER_ABOVE: &str = "the lower bound is above the threshold";
const STRADDLES: &str = "the threshold lies inside the interval";
const TOO_WEAK: &str =
    "the lower bound would reach the threshold, but the attack was too weak to rest on";
/// Checks of an attack's strength: masked gradients, unfinished optimisation, successes lost, more
/// effort that helps, certain successes missed, budgets unused, weaker attacks that win, witnesses
/// that transfer from elsewhere, random squares where gradients fail.
const ATTACK_STRENGTH: [&str; 9] = [
    "gate-07-", "gate-08-", "gate-09-", "gate-10-", "gate-11-", "gate-12-", "gate-13-", "gate-14-",
    "gate-15-",
];
/// Invariant 6: what survived the attacks of a suite is an upper bound of what is robust.
const NOT_A_PROOF: &str =
    ", against the attacks of this suite at this budget; a stronger attack may find more";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{criterion, figure, refuse, robust};
    use crate::runner::{ProbeOutcome, RunnerError};
    use proofmark_schema::plan::{Plan, Probe};

    /// Bounds as given; decides after as many rows as given.
    struct Fixed(Option<(f64, f64)>, Option<u64>);

    impl Runner for Fixed {
        fn run(&mut self, _: &Probe, _: &Plan) -> Result<ProbeOutcome, RunnerError> {
            Err(RunnerError::Cancelled)
        }
        fn bounds(&self, _: &Quantity, _: f64) -> Option<(f64, f64)> {
            self.0
        }
        fn rows_to_decide(&self, _: &Quantity, _: Bound, _: f64) -> Option<u64> {
            self.1
        }
    }

    fn verdict(bound: Bound, bounds: Option<(f64, f64)>) -> Verdict {
        let figure = figure("accuracy", "mlp", 0.7);
        let evidence = Evidence {
            figures: vec![Judged { measurement: &figure, probe_validity: &[] }],
            failures: vec![],
        };
        let criterion = criterion("c", "accuracy", bound);
        judge(&criterion, &evidence, &Fixed(bounds, Some(4000)), vec![])
    }

    #[test]
    fn the_table_with_its_borders() {
        use VerdictState::{Fail, Inconclusive, Pass, Refused};
        let (least, most) = (Bound::AtLeast, Bound::AtMost);
        let cases = [
            ("lower bound above", least(0.6), Some((0.65, 0.75)), Pass),
            ("lower bound exactly there", least(0.65), Some((0.65, 0.75)), Pass),
            ("lower bound just short", least(0.65 + 1e-15), Some((0.65, 0.75)), Inconclusive),
            ("threshold inside", least(0.7), Some((0.65, 0.75)), Inconclusive),
            ("upper bound exactly there", least(0.75), Some((0.65, 0.75)), Inconclusive),
            ("upper bound below", least(0.76), Some((0.65, 0.75)), Fail),
            ("at most: upper bound below", most(0.8), Some((0.65, 0.75)), Pass),
            ("at most: upper bound exactly there", most(0.75), Some((0.65, 0.75)), Pass),
            ("at most: threshold inside", most(0.7), Some((0.65, 0.75)), Inconclusive),
            ("at most: lower bound exactly there", most(0.65), Some((0.65, 0.75)), Inconclusive),
            ("at most: lower bound above", most(0.6), Some((0.65, 0.75)), Fail),
            ("an exact figure at the threshold", least(0.7), Some((0.7, 0.7)), Pass),
            ("no bounds", least(0.6), None, Refused),
            ("bounds that are not numbers", least(0.6), Some((f64::NAN, 0.7)), Refused),
            ("bounds the wrong way round", least(0.6), Some((0.8, 0.7)), Refused),
        ];
        for (name, bound, bounds, wanted) in cases {
            assert_eq!(verdict(bound, bounds).state, wanted, "{name}");
        }
    }

    #[test]
    fn an_inconclusive_verdict_says_how_many_rows_decide() {
        let inconclusive = verdict(Bound::AtLeast(0.7), Some((0.65, 0.75)));
        assert_eq!(inconclusive.rows_to_decide, Some(4000));
        assert_eq!(verdict(Bound::AtLeast(0.6), Some((0.65, 0.75))).rows_to_decide, None);
    }

    #[test]
    fn a_broken_set_up_refuses_whatever_the_figure_says() {
        let mut broken = figure("accuracy", "mlp", 0.99);
        let criterion = criterion("c", "accuracy", Bound::AtLeast(0.6));
        let fixed = Fixed(Some((0.98, 1.0)), None);
        let probe_validity = [refuse()];
        let evidence = Evidence {
            figures: vec![Judged { measurement: &broken, probe_validity: &probe_validity }],
            failures: vec![],
        };
        let refused = judge(&criterion, &evidence, &fixed, vec![]);
        assert_eq!(refused.state, VerdictState::Refused);
        assert!(refused.reason.contains("gate-11-unconstrained"), "{}", refused.reason);
        assert_eq!(refused.fix, "check the layout of the input");
        broken.validity.push(refuse());
        let evidence = Evidence {
            figures: vec![Judged { measurement: &broken, probe_validity: &[] }],
            failures: vec![],
        };
        assert_eq!(judge(&criterion, &evidence, &fixed, vec![]).state, VerdictState::Refused);
    }

    #[test]
    fn a_warning_does_not_refuse() {
        let mut warned = figure("accuracy", "mlp", 0.99);
        warned.validity.push(Validity { state: CheckState::Warn, ..refuse() });
        let evidence = Evidence {
            figures: vec![Judged { measurement: &warned, probe_validity: &[] }],
            failures: vec![],
        };
        let criterion = criterion("c", "accuracy", Bound::AtLeast(0.6));
        let verdict = judge(&criterion, &evidence, &Fixed(Some((0.98, 1.0)), None), vec![]);
        assert_eq!(verdict.state, VerdictState::Pass);
    }

    #[test]
    fn no_pass_rests_on_an_attack_that_its_own_checks_call_weak() {
        use VerdictState::{Fail, Pass, Refused};
        let cases = [
            ("masked gradients", "gate-07-gradients", CheckState::Warn, 0.6, Refused),
            ("the end of the list", "gate-15-square", CheckState::Warn, 0.6, Refused),
            ("could not be examined", "gate-07-gradients", CheckState::NotExamined, 0.6, Pass),
            (
                "witnesses in dispute count against",
                "gate-04-witnesses",
                CheckState::Warn,
                0.6,
                Pass,
            ),
            ("a failure stands", "gate-07-gradients", CheckState::Warn, 0.8, Fail),
        ];
        for (name, check, state, threshold, wanted) in cases {
            let mut figure = robust(0.05, 0.7);
            figure.validity = vec![Validity { check: check.into(), state, ..refuse() }];
            let evidence = Evidence {
                figures: vec![Judged { measurement: &figure, probe_validity: &[] }],
                failures: vec![],
            };
            let criterion = Criterion {
                threat: Some("applicant".into()),
                eps: Some(0.05),
                ..criterion("c", "robust_accuracy", Bound::AtLeast(threshold))
            };
            let verdict = judge(&criterion, &evidence, &Fixed(Some((0.65, 0.75)), None), vec![]);
            assert_eq!(verdict.state, wanted, "{name}: {}", verdict.reason);
            assert_eq!(verdict.reason.contains("too weak"), wanted == Refused, "{name}");
        }
    }

    #[test]
    fn what_was_not_measured_is_missing_with_the_reason_of_the_probe() {
        let criterion = criterion("c", "accuracy", Bound::AtLeast(0.6));
        let fixed = Fixed(None, None);
        let missing = judge(&criterion, &Evidence::default(), &fixed, vec![]);
        assert_eq!(missing.state, VerdictState::Missing);
        let failure = Failure {
            model: "mlp",
            data: "test",
            threat: None,
            fault: None,
            reason: "the file is truncated",
            fix: "export it again",
        };
        let evidence = Evidence { figures: vec![], failures: vec![failure] };
        let missing = judge(&criterion, &evidence, &fixed, vec![]);
        assert!(missing.reason.contains("the file is truncated"), "{}", missing.reason);
        assert_eq!(missing.fix, "export it again");
    }

    #[test]
    fn a_pass_under_attack_never_reads_as_a_proof() {
        let figure = robust(0.05, 0.7);
        let evidence = Evidence {
            figures: vec![Judged { measurement: &figure, probe_validity: &[] }],
            failures: vec![],
        };
        let criterion = Criterion {
            threat: Some("applicant".into()),
            eps: Some(0.05),
            ..criterion("c", "robust_accuracy", Bound::AtLeast(0.6))
        };
        let verdict = judge(&criterion, &evidence, &Fixed(Some((0.65, 0.75)), None), vec![]);
        assert_eq!(verdict.state, VerdictState::Pass);
        assert!(verdict.reason.contains("a stronger attack may find more"), "{}", verdict.reason);
    }

    #[test]
    fn a_figure_of_another_budget_group_or_class_does_not_answer() {
        let mut criterion = criterion("c", "robust_accuracy", Bound::AtLeast(0.6));
        (criterion.threat, criterion.eps) = (Some("applicant".into()), Some(0.05));
        assert!(answers(&criterion, &robust(0.05, 0.7)));
        assert!(!answers(&criterion, &robust(0.02, 0.7)));
        let mut other = robust(0.05, 0.7);
        other.subject.class = Some("bad".into());
        assert!(!answers(&criterion, &other));
        let mut other = robust(0.05, 0.7);
        other.subject.group = Some(("sex".into(), "female".into()));
        assert!(!answers(&criterion, &other));
    }
}
