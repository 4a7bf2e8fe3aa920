//! Incidents as plain data: what is known about one event, and what is held while it is looked at.
//!
//! Owns the wire types `proofmark.hold/1` and the facts of a case; the forms of the authorities
//! are in [`forms`]. Must never decide whether an event must be reported nor when: `assess` does.
//! Called by `assess`, the guard (which reads the hold) and the command line.

pub mod forms;

use serde::{Deserialize, Serialize};

/// What is frozen while an incident is looked at: `<system>/.proofmark/hold.json`.
///
/// The file is a cache of the log. While it is there the guard serves only what it permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// [`HOLD_FORMAT`].
    pub format: String,
    /// Incident that began the hold.
    pub incident: String,
    /// Further incidents that hold the system as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// What was frozen.
    pub frozen: Frozen,
    /// Changes that authorities were told about beforehand; they are permitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PermittedChange>,
    /// Digest of the signed statement that froze it, hex.
    pub statement: String,
}

/// Digests of a system at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Model files: name in the declaration and SHA-256 of the file, hex.
    pub models: Vec<FrozenFile>,
    /// SHA-256 of `proofmark.toml`, hex.
    pub declaration: String,
    /// SHA-256 of the bytes of the guard's policy file, hex; `None` when there is none.
    pub guard_policy: Option<String>,
    /// Last checkpoint of the guard's log (a signed note); `None` when it has no log yet.
    pub guard_checkpoint: Option<String>,
    /// Last checkpoint of the system's log (a signed note).
    pub log_checkpoint: String,
}

/// A file by name and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenFile {
    /// Name in the declaration (`models.<name>`).
    pub name: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
}

/// A change during a hold that an authority was told about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermittedChange {
    /// Reference of the notice or receipt.
    pub notice: String,
    /// Model files it brings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<FrozenFile>,
    /// SHA-256 of the policy file it brings, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_policy: Option<String>,
}

impl Hold {
    /// Whether a model file with that digest may be served: it is the frozen one, or an authority
    /// was told about it beforehand.
    pub fn permits_model(&self, name: &str, sha256: &str) -> bool {
        let changed = self.changes.iter().flat_map(|c| &c.models);
        self.frozen.models.iter().chain(changed).any(|m| m.name == name && m.sha256 == sha256)
    }

    /// Whether a policy file with that digest may be loaded.
    pub fn permits_policy(&self, sha256: &str) -> bool {
        let changed = self.changes.iter().map(|c| &c.guard_policy);
        std::iter::once(&self.frozen.guard_policy)
            .chain(changed)
            .any(|policy| policy.as_deref() == Some(sha256))
    }
}

/// What is known about one event. Every list may grow; what is not known yet is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentFacts {
    /// What happened, in a few sentences without names of the people affected.
    pub what: String,
    /// Where it was found, e.g. a branch, an interface, a region.
    pub found_where: String,
    /// By whom.
    pub found_by: Option<Finder>,
    /// When it happened, RFC 3339 in UTC.
    pub occurred: Option<String>,
    /// When it was first noticed by anyone or anything.
    pub detected: Option<String>,
    /// Who became aware of it when; the earliest counts.
    pub aware: Vec<Awareness>,
    /// When the system was back as it should be.
    pub recovered: Option<String>,
    /// Member States in which it happened: two capital letters each.
    pub member_states: Vec<String>,
    /// Harm categories of Art. 3(49).
    pub harm: Vec<Harm>,
    /// Whether a person died.
    pub death: bool,
    /// Whether it is a widespread infringement (Art. 3(61)).
    pub widespread: bool,
    /// Who was harmed, how many and how.
    pub people: String,
    /// Causal link between the system and the harm.
    pub causal_link: CausalLink,
    /// Since when the link is likely or established.
    pub causal_link_since: Option<String>,
    /// Whether an unlawful or malicious act is suspected.
    pub malicious: Suspicion,
    /// Whether personal data were breached.
    pub personal_data: Suspicion,
    /// Who decides why and how those data are processed.
    pub controller: Controller,
    /// Categories and numbers of people and records, and what is likely to follow for them.
    pub records: String,
    /// Whether the system is a product with digital elements (Cyber Resilience Act).
    pub product: bool,
    /// Reliable evidence that a vulnerability of the product is exploited by someone.
    pub exploited: Option<Known>,
    /// A severe incident that hits the security of the product.
    pub severe: Option<Known>,
    /// When a fix or mitigation became available.
    pub fix_available: Option<String>,
    /// Interim reports that a CSIRT asked for.
    pub requests: Vec<Request>,
    /// Why the system is high-risk.
    pub ground: Ground,
    /// Whether the provider reports under a law with equivalent duties (Art. 73(9), (10)).
    pub equivalent_reporting: bool,
    /// Whether the AI Office is the authority (Art. 75).
    pub ai_office: bool,
    /// Name, function, address of the person who reports.
    pub reporter: String,
    /// Contact of the data-protection officer.
    pub data_protection: String,
    /// Registration number of the system in the EU database.
    pub registration: String,
    /// Kind of incident or exploit.
    pub nature: String,
    /// How bad it is and what it does.
    pub impact: String,
    /// Attack technique, indicators of compromise.
    pub technique: String,
    /// Root cause or kind of threat.
    pub cause: String,
    /// What was done.
    pub measures_taken: String,
    /// What will be done.
    pub measures_planned: String,
    /// What users can do.
    pub user_measures: String,
    /// Fix or update.
    pub fix: String,
    /// How sensitive the information is.
    pub sensitivity: String,
    /// Other authorities that were told.
    pub other_authorities: String,
    /// Risks of the register it belongs to.
    pub risks: Vec<String>,
    /// Runs that show it, or that test it again.
    pub runs: Vec<String>,
}

/// Who found an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finder {
    /// A test or attack of our own.
    Lab,
    /// The guard or other monitoring.
    Monitoring,
    /// The deployer.
    Deployer,
    /// Someone affected.
    Affected,
    /// Someone else: researcher, press, customer.
    ThirdParty,
    /// An authority.
    Authority,
}

/// When a party became aware.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awareness {
    /// RFC 3339 in UTC.
    pub at: String,
    /// Who.
    pub who: Party,
}

/// A party with duties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// Provider, and manufacturer of the product.
    Provider,
    /// Deployer.
    Deployer,
}

/// Harm of a serious incident (AI Act Art. 3(49)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// (a) death of a person or serious harm to health.
    Health,
    /// (b) serious and irreversible disruption of critical infrastructure.
    Infrastructure,
    /// (c) breach of duties that protect fundamental rights.
    Rights,
    /// (d) serious harm to property or the environment.
    Property,
}

/// How sure the causal link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CausalLink {
    /// Established.
    Established,
    /// Reasonably likely, or suspected.
    Likely,
    /// Not known yet.
    #[default]
    Open,
}

/// A yes, a no, or not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspicion {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Not known yet.
    #[default]
    Open,
}

/// The controller of personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// The provider.
    Provider,
    /// The deployer; the provider is its processor.
    Deployer,
    /// Not known yet, or both: the earliest awareness counts.
    #[default]
    Open,
}

/// Why a system is high-risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// A use of Annex III.
    AnnexIii,
    /// A product of Annex I.
    AnnexI,
    /// It is not high-risk.
    None,
    /// Not classified yet: it is treated as high-risk.
    #[default]
    Open,
}

/// A fact with the time at which the provider knew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// RFC 3339 in UTC.
    pub at: String,
    /// What it rests on.
    pub evidence: String,
}

/// An interim report that a CSIRT asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// When it asked.
    pub at: String,
    /// By when it wants the report.
    pub due: String,
    /// Who asked.
    pub by: String,
}

impl IncidentFacts {
    /// Whether it is a serious incident (Art. 3(49)) or a widespread infringement.
    pub fn is_serious(&self) -> bool {
        self.death || self.widespread || !self.harm.is_empty()
    }
}

impl Harm {
    /// All categories, in the order of the law.
    pub const ALL: [Self; 4] = [Self::Health, Self::Infrastructure, Self::Rights, Self::Property];

    /// Words for people, in our own words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Health => "death of a person or serious harm to health, Art. 3(49)(a)",
            Self::Infrastructure => {
                "serious, irreversible disruption of critical infrastructure, Art. 3(49)(b)"
            }
            Self::Rights => "breach of duties that protect fundamental rights, Art. 3(49)(c)",
            Self::Property => "serious harm to property or the environment, Art. 3(49)(d)",
        }
    }
}

/// Format of [`Hold`].
pub const HOLD_FORMAT: &str = "proofmark.hold/1";
/// Name of the file of [`Hold`] in the folder `.proofmark` of a system.
pub const HOLD_FILE: &str = "hold.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold {
            format: HOLD_FORMAT.into(),
            incident: "inc-1".into(),
            also: vec![],
            since: "2026-11-22T15:00:00Z".into(),
            system: "credit".into(),
            version: "1.0.0".into(),
            frozen: Frozen {
                models: vec![FrozenFile { name: "mlp".into(), sha256: "a".repeat(64) }],
                declaration: "b".repeat(64),
                guard_policy: None,
                guard_checkpoint: None,
                log_checkpoint: "note".into(),
            },
            changes: vec![],
            statement: "c".repeat(64),
        }
    }

    #[test]
    fn a_hold_permits_what_was_frozen_and_what_was_notified() {
        let mut hold = hold();
        assert!(hold.permits_model("mlp", &"a".repeat(64)));
        for (name, digest) in [("mlp", "d"), ("gbm", "a")] {
            assert!(!hold.permits_model(name, &digest.repeat(64)), "{name} {digest}");
        }
        assert!(!hold.permits_policy(&"e".repeat(64)), "there was no policy");
        hold.changes.push(PermittedChange {
            notice: "N-1".into(),
            models: vec![FrozenFile { name: "mlp".into(), sha256: "d".repeat(64) }],
            guard_policy: Some("e".repeat(64)),
        });
        assert!(hold.permits_model("mlp", &"d".repeat(64)));
        assert!(hold.permits_model("mlp", &"a".repeat(64)), "going back is no new change");
        assert!(hold.permits_policy(&"e".repeat(64)));
    }

    #[test]
    fn a_hold_reads_back_and_refuses_what_it_does_not_know() {
        let text = serde_json::to_string(&hold()).unwrap();
        assert_eq!(serde_json::from_str::<Hold>(&text).unwrap(), hold());
        let more = text.replacen("{", "{\"surplus\":1,", 1);
        assert!(serde_json::from_str::<Hold>(&more).is_err());
    }

    #[test]
    fn facts_need_nothing_but_take_no_unknown_field() {
        let facts: IncidentFacts = serde_json::from_str("{}").unwrap();
        assert_eq!(facts, IncidentFacts::default());
        assert!(!facts.is_serious());
        assert!(serde_json::from_str::<IncidentFacts>("{\"awarre\": []}").is_err());
    }
}
