//! Scenarios from the declaration: one per threat, one per row of the matrix that no threat
//! stands in, one per declared misuse.
//!
//! Owns the stable ids (`threat-<name>`, `row-<class>`, `misuse-<name>`) and what each scenario
//! says. Must never rate or exclude: a seed is a question to a person. Called by the command line.

use proofmark_schema::duties::{cell_id, matrix_rules};
use proofmark_schema::risk::{
    Basis, Effect, Links, RowSeed, Scenario, ScenarioHarm, ScenarioKind, seeds,
};
use proofmark_schema::system::{Harm, Misuse, System, Threat};
use proofmark_schema::taxonomy::{ThreatClass, Verb};

use super::Risks;

/// A scenario to be entered, with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Id.
    pub id: String,
    /// Scenario.
    pub scenario: Scenario,
}

/// The scenarios of `system` that are not yet `known`, or known from another declaration, in
/// the order of the declaration and the law. The same declaration gives nothing twice. `owner`
/// answers where the declaration names no `[use] risk_owner`.
pub fn missing(system: &System, known: &Risks, owner: &str) -> Vec<Seed> {
    let fresh = |seed: &Seed| match known.named(&seed.id) {
        None => true,
        // What a person entered under this id is theirs.
        Some(risk) => {
            let (scenario, edition) = &risk.entered.said;
            edition.is_some() && *scenario != seed.scenario
        }
    };
    all(system, owner).into_iter().filter(fresh).collect()
}

/// Every scenario of `system`.
pub fn all(system: &System, owner: &str) -> Vec<Seed> {
    let owner = system.upkeep.risk_owner.as_deref().unwrap_or(owner);
    let mut seeds_of: Vec<Seed> = system.threats.iter().map(|t| threat(system, t, owner)).collect();
    for row in &seeds().rows {
        // Every declared threat of this edition is an evasion.
        if row.row != ThreatClass::Evasion || system.threats.is_empty() {
            seeds_of.push(of_row(system, row, owner));
        }
    }
    seeds_of.extend(system.misuse.iter().map(|m| misuse(system, m, owner)));
    seeds_of
}

/// What the declaration itself says about the likelihood of a seeded misuse.
pub fn declared_likelihood(system: &System, scenario: &Scenario) -> Option<(u8, Basis)> {
    let name = scenario.links.misuse.as_deref()?;
    let misuse = system.misuse.iter().find(|m| m.name == name)?;
    Some((misuse.likelihood, Basis::Entered { reason: misuse.reason.clone() }))
}

/// A harm as it is declared.
pub fn harm(harm: &Harm) -> ScenarioHarm {
    ScenarioHarm {
        name: harm.name.clone(),
        class: harm.class,
        severity: harm.severity,
        people: harm.people.clone(),
        vulnerable: harm.vulnerable.clone(),
    }
}

fn threat(system: &System, threat: &Threat, owner: &str) -> Seed {
    let techniques = seeds().threats.iter().find(|s| s.access == threat.access);
    let models = system.models.iter().map(|m| m.name.as_str());
    let aimed = |name: &&str| threat.models.is_empty() || threat.models.iter().any(|m| m == name);
    let goal = match &threat.goal {
        Some(goal) => format!("from `{}` to `{}`", goal.from, goal.to),
        None => "to a wrong one".to_owned(),
    };
    let declared = threat.harm.as_deref().and_then(|name| system.harm_named(name));
    let about = |c: &&proofmark_schema::system::Criterion| {
        c.threat.as_deref() == Some(threat.name.as_str())
    };
    let links = Links {
        threat: Some(threat.name.clone()),
        criteria: system.criteria.iter().filter(about).map(|c| c.name.clone()).collect(),
        cells: cells(ThreatClass::Evasion),
        duties: duty(ThreatClass::Evasion),
        ..Links::default()
    };
    let actor = threat.actor.clone().unwrap_or_else(|| format!("threat `{}`", threat.name));
    let scenario = Scenario {
        title: format!("`{}` crafts inputs that turn a decision {goal}", threat.name),
        kind: ScenarioKind::Attack,
        row: Some(ThreatClass::Evasion),
        actor,
        assets: models.filter(aimed).map(crate::plan::model_asset).collect(),
        techniques: techniques.map(|s| s.techniques.clone()).unwrap_or_default(),
        effect: Effect::Integrity,
        harm: declared.map(harm),
        links,
        owner: owner.to_owned(),
    };
    Seed { id: format!("threat-{}", threat.name), scenario }
}

fn of_row(system: &System, seed: &RowSeed, owner: &str) -> Seed {
    // What is judged without attack and without fault is the model's own; what is judged under a
    // fault belongs to errors and faults.
    let belongs = |c: &&proofmark_schema::system::Criterion| match seed.row {
        ThreatClass::ModelFlaws => c.threat.is_none() && c.fault.is_none(),
        ThreatClass::ErrorsAndFaults => c.fault.is_some(),
        _ => false,
    };
    let criteria = system.criteria.iter().filter(belongs);
    let links = Links {
        criteria: criteria.map(|c| c.name.clone()).collect(),
        cells: cells(seed.row),
        duties: duty(seed.row),
        ..Links::default()
    };
    let scenario = Scenario {
        title: seed.title.clone(),
        kind: seed.kind,
        row: Some(seed.row),
        actor: seed.actor.clone(),
        assets: vec![seed.asset.clone()],
        techniques: seed.techniques.clone(),
        effect: seed.effect,
        harm: None,
        links,
        owner: owner.to_owned(),
    };
    Seed { id: seed.id.clone(), scenario }
}

fn misuse(system: &System, misuse: &Misuse, owner: &str) -> Seed {
    let links = Links { misuse: Some(misuse.name.clone()), ..Links::default() };
    let scenario = Scenario {
        title: misuse.what.clone(),
        kind: ScenarioKind::Misuse,
        row: None,
        actor: "whoever uses the system so".to_owned(),
        assets: vec!["system".to_owned()],
        techniques: Vec::new(),
        effect: Effect::Misuse,
        harm: system.harm_named(&misuse.harm).map(harm),
        links,
        owner: owner.to_owned(),
    };
    Seed { id: format!("misuse-{}", misuse.name), scenario }
}

fn cells(row: ThreatClass) -> Vec<String> {
    Verb::ALL.into_iter().map(|verb| cell_id(row, verb)).collect()
}

fn duty(row: ThreatClass) -> Vec<String> {
    matrix_rules().duty(row).map(str::to_owned).into_iter().collect()
}
