//! Was it promised before it was seen? The rule on thresholds that change after a result.
//!
//! Owns one rule: the terms under which a figure of a model was first seen are binding for that
//! model, byte for byte. A plan whose threshold, confidence, seed, budget, test set or decision
//! differs from them is exploratory for that figure: it may be run, it is unfit for declaration.
//! Running the same terms again is fine, and so is a new model. Must never read the log itself:
//! [`crate::history`] folds it into [`Seen`]. Called by `assessment`.

use proofmark_schema::plan::{Plan, ProbeKind};
use proofmark_schema::system::{
    Criterion, DataAsset, Decision, DumpSpec, Fault, Feature, InputSpec,
};
use proofmark_schema::system::{ModelAsset, OutputSpec, System, Threat};

use crate::plan::{data_asset, is_robust, model_asset};

/// A plan with the declaration it was made from: the terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Plan.
    pub plan: Plan,
    /// Declaration.
    pub system: System,
}

/// A result in the log: which figures of which models a run showed, and under which terms.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Run that showed them.
    pub run: &'a str,
    /// Terms of that run.
    pub terms: &'a Terms,
    /// Figures: (metric, model name in that plan).
    pub figures: Vec<(String, String)>,
}

/// What is exploratory about a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Reasons per criterion, in the order of the plan; empty means fit for declaration.
    pub criteria: Vec<Vec<String>>,
    /// All reasons, each once, with those that belong to no criterion of the plan.
    pub reasons: Vec<String>,
}

/// How `terms` stand against what was `seen` before, in log order.
pub fn standing(terms: &Terms, seen: &[Seen<'_>]) -> Standing {
    let mut standing = Standing::default();
    for criterion in &terms.plan.criteria {
        let mut reasons = Vec::new();
        if let Some(first) = first_seen(criterion, terms, seen) {
            compare(criterion, terms, &first, &mut reasons);
        }
        for reason in &reasons {
            push_once(&mut standing.reasons, reason);
        }
        standing.criteria.push(reasons);
    }
    for reason in dropped(terms, seen) {
        push_once(&mut standing.reasons, &reason);
    }
    standing
}

/// The first result that showed the metric of `criterion` for the same model bytes.
struct First<'a> {
    run: &'a str,
    terms: &'a Terms,
    /// Name the model had there.
    model: &'a str,
}

fn first_seen<'a>(criterion: &Criterion, terms: &Terms, seen: &'a [Seen<'_>]) -> Option<First<'a>> {
    let digest = digest_of(&terms.plan, &model_asset(&criterion.model))?;
    seen.iter().find_map(|earlier| {
        let (_, model) = earlier.figures.iter().find(|(metric, model)| {
            *metric == criterion.metric
                && digest_of(&earlier.terms.plan, &model_asset(model)) == Some(digest)
        })?;
        Some(First { run: earlier.run, terms: earlier.terms, model })
    })
}

fn compare(criterion: &Criterion, now: &Terms, first: &First<'_>, reasons: &mut Vec<String>) {
    let then = first.terms;
    let mut say = |what: &str| {
        reasons.push(format!("{what} after `{}` was seen in {}", criterion.metric, first.run));
    };
    let same_question = then.plan.criteria.iter().find(|earlier| {
        earlier.metric == criterion.metric
            && earlier.model == first.model
            && earlier.group == criterion.group
            && earlier.quantile == criterion.quantile
            && earlier.eps == criterion.eps
            && test_set(earlier, then) == test_set(criterion, now)
            && threat_terms(earlier, then) == threat_terms(criterion, now)
            && earlier.severity == criterion.severity
            && fault_terms(earlier, then) == fault_terms(criterion, now)
    });
    match same_question {
        None => say("the criterion was registered"),
        Some(earlier) => {
            if earlier.bound != criterion.bound {
                say("the threshold was changed");
            }
            if earlier.confidence != criterion.confidence {
                say("the confidence was changed");
            }
        }
    }
    if then.plan.seed != now.plan.seed {
        say("the seed was changed");
    }
    if !known_test_set(criterion, now, then) {
        say("the test set was changed");
    }
    if is_robust(&criterion.metric) && !known_budget(criterion, now, then) {
        say("the budget of the threat was changed");
    }
    if is_robust(&criterion.metric) && then.system.constraints != now.system.constraints {
        say("constraints between the columns were changed");
    }
    let known_fault = || {
        let wanted = fault_terms(criterion, now).map(|(fault, _)| fault);
        then.system.faults.iter().any(|fault| Some(unnamed(fault)) == wanted)
    };
    if criterion.fault.is_some() && !known_fault() {
        say("the fault was changed");
    }
    let bounded = is_robust(&criterion.metric) || criterion.fault.is_some();
    if bounded && features(&then.system) != features(&now.system) {
        say("bounds or mutability of the features were changed");
    }
    if decision(&then.system, first.model) != decision(&now.system, &criterion.model) {
        say("the decision or the reading of the output was changed");
    }
    if weaker_suite(criterion, now, then) {
        say("an older edition of the suite was used");
    }
}

/// Criteria that were registered when a figure was first seen and are gone now.
fn dropped(now: &Terms, seen: &[Seen<'_>]) -> Vec<String> {
    let mut reasons = Vec::new();
    for earlier in seen {
        for criterion in &earlier.terms.plan.criteria {
            let shown = earlier
                .figures
                .iter()
                .any(|(metric, model)| *metric == criterion.metric && *model == criterion.model);
            let still_here = now.plan.criteria.iter().any(|c| {
                c.metric == criterion.metric
                    && c.group == criterion.group
                    && c.quantile == criterion.quantile
                    && digest_of(&now.plan, &model_asset(&c.model))
                        == digest_of(&earlier.terms.plan, &model_asset(&criterion.model))
            });
            let digest = digest_of(&earlier.terms.plan, &model_asset(&criterion.model));
            let model_here = now
                .plan
                .probes
                .iter()
                .any(|probe| digest_of(&now.plan, &model_asset(&probe.model)) == digest);
            if shown && model_here && !still_here {
                reasons.push(format!(
                    "criterion `{}` of {} was dropped after its figure was seen",
                    criterion.name, earlier.run
                ));
            }
        }
    }
    reasons
}

/// Everything that fixes which rows are measured, without the name of the data set.
type TestSet<'a> = (&'a str, Option<&'a str>, DataAsset);

fn test_set<'a>(criterion: &Criterion, terms: &'a Terms) -> Option<TestSet<'a>> {
    test_set_named(&criterion.data, terms)
}

fn test_set_named<'a>(name: &str, terms: &'a Terms) -> Option<TestSet<'a>> {
    let mut data = terms.system.data_named(name)?.clone();
    let digest = digest_of(&terms.plan, &data_asset(name))?;
    let labels = digest_of(&terms.plan, &format!("{}/labels", data_asset(name)));
    data.name.clear();
    data.path.clear();
    data.labels = None;
    Some((digest, labels, data))
}

fn known_test_set(criterion: &Criterion, now: &Terms, then: &Terms) -> bool {
    let wanted = test_set(criterion, now);
    then.plan.probes.iter().any(|probe| test_set_named(&probe.data, then) == wanted)
}

/// A threat without its name and without the list of models it is aimed at.
fn threat_terms(criterion: &Criterion, terms: &Terms) -> Option<Threat> {
    let threat = terms.system.threat_named(criterion.threat.as_deref()?)?;
    Some(bare(threat))
}

/// A fault without its name, and the member of it that the criterion is about.
fn fault_terms<'a>(criterion: &'a Criterion, terms: &Terms) -> Option<(Fault, Option<&'a str>)> {
    let (name, member) = match criterion.fault.as_deref()?.split_once('/') {
        Some((name, member)) => (name, Some(member)),
        None => (criterion.fault.as_deref()?, None),
    };
    terms.system.fault_named(name).map(|fault| (unnamed(fault), member))
}

fn unnamed(fault: &Fault) -> Fault {
    Fault { name: String::new(), models: Vec::new(), ..fault.clone() }
}

/// What an attack is held to: neither names nor what a success would do to people.
fn bare(threat: &Threat) -> Threat {
    Threat {
        name: String::new(),
        models: Vec::new(),
        actor: None,
        harm: None,
        attempts_per_year: None,
        attempts_reason: None,
        ..threat.clone()
    }
}

fn known_budget(criterion: &Criterion, now: &Terms, then: &Terms) -> bool {
    let wanted = threat_terms(criterion, now);
    then.system.threats.iter().any(|threat| Some(bare(threat)) == wanted)
}

/// A newer edition of a suite is never a smaller budget; an older one could be picked.
fn weaker_suite(criterion: &Criterion, now: &Terms, then: &Terms) -> bool {
    let Some(wanted) = criterion.threat.as_deref().filter(|_| is_robust(&criterion.metric)) else {
        return false;
    };
    let edition = |terms: &Terms, suite: Option<&str>, threat: Option<&str>| {
        terms.plan.probes.iter().find_map(|probe| match &probe.kind {
            ProbeKind::Evasion { threat: t, suite: s, edition, .. }
                if suite.is_none_or(|x| x == s) && threat.is_none_or(|x| x == t) =>
            {
                Some((s.clone(), *edition))
            }
            _ => None,
        })
    };
    let Some((suite, newest)) = edition(now, None, Some(wanted)) else { return false };
    edition(then, Some(&suite), None).is_some_and(|(_, before)| newest < before)
}

fn features(system: &System) -> &[Feature] {
    &system.features
}

fn decision<'a>(
    system: &'a System,
    model: &str,
) -> Option<(&'a OutputSpec, &'a Decision, &'a InputSpec, &'a DumpSpec)> {
    let ModelAsset { output, decision, input, dump, .. } = system.model_named(model)?;
    Some((output, decision, input, dump))
}

fn digest_of<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    plan.assets.iter().find(|a| a.name == name).map(|a| a.sha256.as_str())
}

fn push_once(reasons: &mut Vec<String>, reason: &str) {
    if !reasons.iter().any(|r| r == reason) {
        reasons.push(reason.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{assets, system};
    use proofmark_schema::measurement::AssetDigest;
    use proofmark_schema::system::Bound;

    fn terms(change: &dyn Fn(&mut System, &mut Vec<AssetDigest>)) -> Terms {
        let (mut system, mut assets) = (system(), assets());
        change(&mut system, &mut assets);
        let plan = crate::plan::plan(&system, &assets, &|_| Some(3)).unwrap();
        Terms { plan, system }
    }

    fn seen(terms: &Terms) -> Seen<'_> {
        let figures = [("accuracy", "mlp"), ("brier", "mlp"), ("robust_accuracy", "mlp")];
        let figures = figures.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        Seen { run: "run-1", terms, figures }
    }

    fn reasons(change: &dyn Fn(&mut System, &mut Vec<AssetDigest>)) -> Vec<String> {
        let first = terms(&|_, _| {});
        standing(&terms(change), &[seen(&first)]).reasons
    }

    #[test]
    fn nothing_seen_nothing_exploratory() {
        assert_eq!(standing(&terms(&|_, _| {}), &[]).reasons, Vec::<String>::new());
    }

    #[test]
    fn the_same_terms_may_be_run_again() {
        assert_eq!(reasons(&|_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn words_that_change_no_term_are_free() {
        let changed = reasons(&|s, _| {
            s.purpose = "other words".into();
            s.criteria[0].rationale = "better said".into();
            s.criteria[0].name = "renamed".into();
            s.version = "1.0.1".into();
        });
        assert_eq!(changed, Vec::<String>::new());
    }

    #[test]
    fn a_new_model_starts_anew() {
        let changed = reasons(&|s, assets| {
            s.criteria[0].bound = Bound::AtLeast(0.1);
            s.seed = 9;
            for asset in assets.iter_mut().filter(|a| a.name == "model/mlp") {
                asset.sha256 = "e".repeat(64);
            }
        });
        assert_eq!(changed, Vec::<String>::new());
    }

    #[test]
    fn what_changed_after_a_result_was_seen_is_said() {
        let check = |change: &dyn Fn(&mut System, &mut Vec<AssetDigest>), wanted: &str| {
            let found = reasons(change);
            assert!(found.iter().any(|r| r.contains(wanted)), "{found:?} lacks `{wanted}`");
        };
        check(&|s, _| s.criteria[0].bound = Bound::AtLeast(0.1), "threshold was changed");
        check(&|s, _| s.criteria[0].bound = Bound::AtMost(0.7), "threshold was changed");
        check(&|s, _| s.criteria[0].confidence = 0.9, "confidence was changed");
        check(&|s, _| s.seed = 9, "seed was changed");
        check(&|s, _| s.threats[0].eps = vec![0.05], "budget of the threat was changed");
        check(&|s, _| s.threats[0].queries = Some(10), "budget of the threat was changed");
        check(&|s, _| s.threats[0].goal = None, "budget of the threat was changed");
        check(&|s, _| s.criteria[1].eps = Some(0.02), "criterion was registered after");
        check(&|s, _| s.data[0].limit = Some(10), "test set was changed");
        check(&|_, a| a[0].sha256 = "f".repeat(64), "test set was changed");
        check(&|s, _| s.features[0].mutable = false, "bounds or mutability");
        check(
            &|s, _| s.models[0].decision = Decision::Cutoff { class: "bad".into(), at: 0.5 },
            "decision or the reading of the output",
        );
        check(&|s, _| s.criteria.truncate(1), "criterion `c2` of run-1 was dropped");
        let extra = |s: &mut System, _: &mut Vec<AssetDigest>| {
            let mut criterion = s.criteria[0].clone();
            (criterion.name, criterion.metric) = ("late".into(), "brier".into());
            s.criteria.push(criterion);
        };
        check(&extra, "criterion was registered after `brier` was seen");
    }

    #[test]
    fn a_renamed_model_file_is_still_the_same_model() {
        let changed = reasons(&|s, assets| {
            for asset in assets.iter_mut().filter(|a| a.name == "model/mlp") {
                asset.name = "model/net".into();
            }
            s.models[0].name = "net".into();
            s.threats[0].models = vec!["net".into()];
            s.criteria[0].model = "net".into();
            s.criteria[1].model = "net".into();
            s.criteria[0].bound = Bound::AtLeast(0.1);
        });
        assert!(changed[0].contains("threshold was changed"), "{changed:?}");
    }

    #[test]
    fn a_plan_registered_early_but_run_late_does_not_slip_through() {
        let (first, other) = (terms(&|_, _| {}), terms(&|s, _| s.seed = 9));
        let log = [seen(&first), seen(&other)];
        assert!(!standing(&other, &log).reasons.is_empty());
        assert_eq!(standing(&first, &log).reasons, Vec::<String>::new());
    }

    #[test]
    fn only_an_older_suite_counts_as_weaker() {
        let first = terms(&|_, _| {});
        let with_edition = |edition: u32| {
            let plan = crate::plan::plan(&system(), &assets(), &|_| Some(edition)).unwrap();
            standing(&Terms { plan, system: system() }, &[seen(&first)]).reasons
        };
        assert_eq!(with_edition(4), Vec::<String>::new());
        assert!(with_edition(2)[0].contains("older edition"));
    }

    #[test]
    fn reasons_belong_to_their_criterion() {
        let first = terms(&|_, _| {});
        let changed = terms(&|s, _| s.threats[0].eps = vec![0.05]);
        let standing = standing(&changed, &[seen(&first)]);
        assert!(standing.criteria[0].is_empty());
        assert!(!standing.criteria[1].is_empty());
    }
}
