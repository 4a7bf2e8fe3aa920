//! From a declaration to a plan: which probes run, in which order, on which bytes.
//!
//! Owns the order of probes and the check that every criterion will be answered. Must never
//! measure, or read a file. Called by the command line before anything is registered.

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::plan::{FORMAT, Plan, Probe, ProbeKind};
use proofmark_schema::system::{Criterion, DataAsset, DataRole, ModelAsset, System};

/// The plan of `system` over the files named by `assets` (`model/<name>`, `data/<name>` ...).
///
/// Probes follow the declaration: per model parity (where scores of the training framework are
/// declared), accuracy on every test set, then every threat aimed at the model on every test set,
/// then every fault set on it. `suites` gives the edition of a suite of attacks, or, by
/// [`fault_kind`], of a kind of fault; `None` for an unknown one.
///
/// # Errors
/// [`PlanError`] names what the declaration or the caller left out.
pub fn plan(
    system: &System,
    assets: &[AssetDigest],
    suites: &dyn Fn(&str) -> Option<u32>,
) -> Result<Plan, PlanError> {
    if system.seed > SEED_MAX {
        return Err(PlanError::Seed(system.seed));
    }
    let tests: Vec<&DataAsset> = system.data.iter().filter(|d| d.role == DataRole::Test).collect();
    if tests.is_empty() {
        return Err(PlanError::NoTestData);
    }
    let mut probes = Vec::new();
    for model in &system.models {
        parity(model, &tests, &mut probes);
        for data in &tests {
            probes.push(probe(model, &data.name, "accuracy", ProbeKind::Accuracy));
        }
        evasion(system, model, &tests, suites, &mut probes)?;
        faults(system, model, &tests, suites, &mut probes)?;
    }
    for criterion in &system.criteria {
        answered(system, criterion)?;
    }
    Ok(Plan {
        format: FORMAT.to_owned(),
        system: system.name.clone(),
        version: system.version.clone(),
        assets: named(system, assets)?,
        probes,
        criteria: system.criteria.clone(),
        seed: system.seed,
    })
}

/// Name of a model's digest in a plan.
pub fn model_asset(name: &str) -> String {
    format!("model/{name}")
}

/// Name of a data set's digest in a plan.
pub fn data_asset(name: &str) -> String {
    format!("data/{name}")
}

/// What the edition of a kind of fault is asked by.
pub fn fault_kind(kind: &str) -> String {
    format!("fault/{kind}")
}

/// Whether a metric is measured under attack, so that a threat and a budget belong to it.
pub fn is_robust(metric: &str) -> bool {
    metric.starts_with("robust_") || metric == "attack_success"
}

/// Whether a metric is measured under faults that are set on purpose.
pub fn is_fault(metric: &str) -> bool {
    metric.ends_with("_under_fault")
        || ["fault_passes_form", "corruption_error", "silent_corruption", "latency_ratio"]
            .contains(&metric)
}

/// Why there is no plan.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// No test set.
    #[error("no data set has the role test; declared figures come from test data only")]
    NoTestData,
    /// A digest is missing.
    #[error("no digest for `{0}`; digest every declared file before planning")]
    MissingAsset(String),
    /// A digest is given twice.
    #[error("two digests for `{0}`; give each file one name")]
    DuplicateAsset(String),
    /// Not a suite of this build.
    #[error("threat `{threat}` asks for the suite `{suite}`, which this build does not have")]
    UnknownSuite {
        /// Threat.
        threat: String,
        /// Suite.
        suite: String,
    },
    /// Not a kind of fault of this build.
    #[error(
        "fault `{fault}` is of the kind `{kind}`, which this build does not have; docs/faults.md \
         lists them"
    )]
    UnknownFault {
        /// Fault.
        fault: String,
        /// Kind.
        kind: String,
    },
    /// A criterion that no probe answers.
    #[error("criterion `{name}` can never be answered: {reason}")]
    Unanswered {
        /// Criterion.
        name: String,
        /// Why.
        reason: String,
    },
    /// A seed that JSON numbers cannot carry.
    #[error("seed {0} is too large; choose one up to {SEED_MAX}")]
    Seed(u64),
}

fn parity(model: &ModelAsset, tests: &[&DataAsset], probes: &mut Vec<Probe>) {
    if model.expected.is_none() {
        return;
    }
    let data = match (&model.expected_data, tests.first()) {
        (Some(name), _) => name,
        (None, Some(first)) => &first.name,
        (None, None) => return,
    };
    probes.push(probe(model, data, "parity", ProbeKind::Parity));
}

fn evasion(
    system: &System,
    model: &ModelAsset,
    tests: &[&DataAsset],
    suites: &dyn Fn(&str) -> Option<u32>,
    probes: &mut Vec<Probe>,
) -> Result<(), PlanError> {
    let aimed = |models: &[String]| models.is_empty() || models.contains(&model.name);
    for threat in system.threats.iter().filter(|t| aimed(&t.models)) {
        let edition = suites(&threat.suite).ok_or_else(|| PlanError::UnknownSuite {
            threat: threat.name.clone(),
            suite: threat.suite.clone(),
        })?;
        for data in tests {
            let kind = ProbeKind::Evasion {
                threat: threat.name.clone(),
                suite: threat.suite.clone(),
                edition,
                eps: threat.eps.clone(),
            };
            probes.push(probe(model, &data.name, &format!("evasion/{}", threat.name), kind));
        }
    }
    Ok(())
}

fn faults(
    system: &System,
    model: &ModelAsset,
    tests: &[&DataAsset],
    editions: &dyn Fn(&str) -> Option<u32>,
    probes: &mut Vec<Probe>,
) -> Result<(), PlanError> {
    let set_on = |models: &[String]| models.is_empty() || models.contains(&model.name);
    for fault in system.faults.iter().filter(|f| set_on(&f.models)) {
        let edition = editions(&fault_kind(&fault.kind)).ok_or_else(|| {
            PlanError::UnknownFault { fault: fault.name.clone(), kind: fault.kind.clone() }
        })?;
        for data in tests {
            let kind = ProbeKind::Fault {
                fault: fault.name.clone(),
                what: fault.kind.clone(),
                edition,
                severities: fault.severities.clone(),
            };
            probes.push(probe(model, &data.name, &format!("fault/{}", fault.name), kind));
        }
    }
    Ok(())
}

fn probe(model: &ModelAsset, data: &str, what: &str, kind: ProbeKind) -> Probe {
    Probe {
        id: format!("{}/{data}/{what}", model.name),
        kind,
        model: model.name.clone(),
        data: data.to_owned(),
    }
}

/// All digests, sorted by name, with one for every model and test set.
fn named(system: &System, assets: &[AssetDigest]) -> Result<Vec<AssetDigest>, PlanError> {
    let mut sorted = assets.to_vec();
    sorted.sort();
    let twice = sorted.windows(2).find_map(|pair| match pair {
        [a, b] if a.name == b.name => Some(a.name.clone()),
        _ => None,
    });
    if let Some(name) = twice {
        return Err(PlanError::DuplicateAsset(name));
    }
    let tests = system.data.iter().filter(|d| d.role == DataRole::Test);
    let needed = tests
        .map(|d| data_asset(&d.name))
        .chain(system.models.iter().map(|m| model_asset(&m.name)));
    for name in needed {
        if !sorted.iter().any(|a| a.name == name) {
            return Err(PlanError::MissingAsset(name));
        }
    }
    Ok(sorted)
}

fn answered(system: &System, criterion: &Criterion) -> Result<(), PlanError> {
    let unanswered =
        |reason: String| Err(PlanError::Unanswered { name: criterion.name.clone(), reason });
    if system.model_named(&criterion.model).is_none() {
        return unanswered(format!("no model is named `{}`", criterion.model));
    }
    match system.data_named(&criterion.data) {
        None => return unanswered(format!("no data set is named `{}`", criterion.data)),
        Some(data) if data.role != DataRole::Test => {
            let name = &criterion.data;
            return unanswered(format!("`{name}` is not test data; name a data set of role test"));
        }
        Some(_) => {}
    }
    if let Some(name) = &criterion.fault {
        let own = name.split('/').next().unwrap_or_default();
        let Some(fault) = system.fault_named(own) else {
            return unanswered(format!("no fault is named `{own}`"));
        };
        if !fault.models.is_empty() && !fault.models.contains(&criterion.model) {
            return unanswered(format!("fault `{own}` is not set on `{}`", criterion.model));
        }
    }
    if !is_robust(&criterion.metric) {
        return Ok(());
    }
    let (Some(name), Some(eps)) = (&criterion.threat, criterion.eps) else {
        return unanswered("a robust metric needs a threat and one of its eps".to_owned());
    };
    let Some(threat) = system.threat_named(name) else {
        return unanswered(format!("no threat is named `{name}`"));
    };
    if !threat.models.is_empty() && !threat.models.contains(&criterion.model) {
        return unanswered(format!("threat `{name}` is not aimed at `{}`", criterion.model));
    }
    if !threat.eps.contains(&eps) {
        return unanswered(format!("threat `{name}` has no eps {eps}"));
    }
    Ok(())
}

/// Largest integer that every JSON reader keeps exactly (RFC 7493, section 2.2).
const SEED_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{assets, system};

    fn suites(id: &str) -> Option<u32> {
        (id == "quick").then_some(3)
    }

    #[test]
    fn probes_stand_in_the_order_of_the_declaration() {
        let plan = plan(&system(), &assets(), &suites).unwrap();
        let ids: Vec<&str> = plan.probes.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "mlp/test/parity",
                "mlp/test/accuracy",
                "mlp/test/evasion/applicant",
                "trees/test/accuracy"
            ]
        );
        let ProbeKind::Evasion { edition, eps, suite, .. } = &plan.probes[2].kind else {
            panic!("not an evasion probe")
        };
        assert_eq!((*edition, suite.as_str(), eps.as_slice()), (3, "quick", &[0.02, 0.05][..]));
        assert_eq!(plan.criteria, system().criteria);
    }

    #[test]
    fn the_order_of_assets_does_not_matter() {
        let mut reversed = assets();
        reversed.reverse();
        let one = plan(&system(), &assets(), &suites).unwrap();
        assert_eq!(one, plan(&system(), &reversed, &suites).unwrap());
    }

    #[test]
    fn what_is_left_out_is_named() {
        let check = |change: &dyn Fn(&mut System), wanted: &str| {
            let mut changed = system();
            change(&mut changed);
            let error = plan(&changed, &assets(), &suites).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} does not say {wanted}");
        };
        check(&|s| s.data[0].role = DataRole::Validation, "no data set has the role test");
        check(&|s| s.threats[0].suite = "none".into(), "suite `none`");
        check(&|s| s.criteria[1].eps = Some(0.5), "no eps 0.5");
        check(&|s| s.criteria[1].threat = None, "needs a threat");
        check(&|s| s.criteria[0].data = "train".into(), "no data set is named `train`");
        check(&|s| s.criteria[0].model = "net".into(), "no model is named `net`");
        check(&|s| s.threats[0].models = vec!["trees".into()], "not aimed at `mlp`");
        check(&|s| s.seed = u64::MAX, "too large");
        let few = assets().split_off(1);
        let error = plan(&system(), &few, &suites).unwrap_err().to_string();
        assert!(error.contains("no digest for `data/test`"), "{error}");
        let mut twice = assets();
        twice.push(twice[0].clone());
        let error = plan(&system(), &twice, &suites).unwrap_err().to_string();
        assert!(error.contains("two digests for `data/test`"), "{error}");
    }
}
