//! Facts that a rule asks for.
//!
//! Owns which fact holds and the words for one that does not. Must never look at a time. Called by
//! the engine alone.

use proofmark_schema::clock::Condition;
use proofmark_schema::incident::{Ground, Harm, IncidentFacts, Suspicion};

use super::ClockState;

/// Whether the fact holds.
pub(super) fn holds(facts: &IncidentFacts, condition: Condition) -> bool {
    match condition {
        Condition::HighRisk => facts.ground != Ground::None,
        Condition::SeriousIncident => facts.is_serious(),
        Condition::Death => facts.death,
        Condition::CriticalInfrastructure => facts.harm.contains(&Harm::Infrastructure),
        Condition::WidespreadInfringement => facts.widespread,
        Condition::Product => facts.product,
        Condition::ActivelyExploited => facts.exploited.is_some(),
        Condition::SevereIncident => facts.severe.is_some(),
        Condition::PersonalDataBreach => facts.personal_data == Suspicion::Yes,
    }
}

/// State and words for a rule whose fact does not hold.
pub(super) fn unmet(facts: &IncidentFacts, condition: Condition) -> (ClockState, String) {
    let never = |words: &str| (ClockState::NotApplicable, words.to_owned());
    let not_yet = |words: &str| (ClockState::NotStarted, words.to_owned());
    match condition {
        Condition::HighRisk => never("the system is recorded as not high-risk"),
        Condition::SeriousIncident if facts.equivalent_reporting => {
            never("under equivalent reporting law only breaches of rights are reported here")
        }
        Condition::SeriousIncident => never("no harm of Art. 3(49) is recorded"),
        Condition::Death => never("no death is recorded"),
        Condition::CriticalInfrastructure => never("no critical infrastructure is recorded"),
        Condition::WidespreadInfringement => never("no widespread infringement is recorded"),
        Condition::Product => never("not recorded as a product with digital elements"),
        Condition::ActivelyExploited => {
            not_yet("no reliable evidence of exploitation is recorded; a lab finding is none")
        }
        Condition::SevereIncident => not_yet("no severe incident is recorded"),
        Condition::PersonalDataBreach if facts.personal_data == Suspicion::Open => {
            not_yet("whether personal data were breached is open; if they were, this is the limit")
        }
        Condition::PersonalDataBreach => never("no personal data were breached"),
    }
}

/// The fact as a noun.
pub(super) fn noun(condition: Condition) -> &'static str {
    match condition {
        Condition::HighRisk => "high-risk",
        Condition::SeriousIncident => "a serious incident",
        Condition::Death => "a death",
        Condition::CriticalInfrastructure => "a disruption of critical infrastructure",
        Condition::WidespreadInfringement => "a widespread infringement",
        Condition::Product => "a product with digital elements",
        Condition::ActivelyExploited => "an exploited vulnerability",
        Condition::SevereIncident => "a severe incident",
        Condition::PersonalDataBreach => "a breach of personal data",
    }
}
