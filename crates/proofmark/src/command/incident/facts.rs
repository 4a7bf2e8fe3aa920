//! What is known about an event, as arguments or as a file.
//!
//! Owns the arguments and their merging into facts. Must never judge them: `assess` does.

use std::path::PathBuf;

use proofmark_schema::incident::{
    Awareness, CausalLink, Controller, Finder, Ground, Harm, IncidentFacts, Known, Party, Request,
    Suspicion,
};
use serde::de::DeserializeOwned;

use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};

/// What is known. What is left out stays as it was. Times take a zone and are kept in UTC.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Facts")]
pub struct FactArgs {
    /// All facts as JSON, as `incident show --format json` prints them under `facts`; other
    /// arguments are added to them.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What happened; no names of people affected.
    #[arg(long)]
    what: Option<String>,
    /// Where it was found.
    #[arg(long = "where", value_name = "WHERE")]
    found_where: Option<String>,
    /// By whom: lab, monitoring, deployer, affected, third-party or authority.
    #[arg(long, value_parser = word::<Finder>)]
    found_by: Option<Finder>,
    /// When it happened.
    #[arg(long, value_name = "TIME", value_parser = time)]
    occurred: Option<String>,
    /// When it was first noticed.
    #[arg(long, value_name = "TIME", value_parser = time)]
    detected: Option<String>,
    /// When the provider became aware; now, when a case is opened without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    aware: Option<String>,
    /// When the deployer became aware; the earliest awareness counts.
    #[arg(long, value_name = "TIME", value_parser = time)]
    deployer_aware: Option<String>,
    /// When the system was back as it should be.
    #[arg(long, value_name = "TIME", value_parser = time)]
    recovered: Option<String>,
    /// Member State in which it happened, two letters; may be repeated.
    #[arg(long, value_name = "XX")]
    member_state: Vec<String>,
    /// Harm: health, infrastructure, rights or property; may be repeated.
    #[arg(long, value_parser = word::<Harm>)]
    harm: Vec<Harm>,
    /// A person died.
    #[arg(long)]
    death: bool,
    /// It is a widespread infringement.
    #[arg(long)]
    widespread: bool,
    /// Who was harmed, how many and how.
    #[arg(long)]
    people: Option<String>,
    /// Causal link: established, likely or open.
    #[arg(long, value_parser = word::<CausalLink>)]
    link: Option<CausalLink>,
    /// Since when the link is likely or established.
    #[arg(long, value_name = "TIME", value_parser = time)]
    link_since: Option<String>,
    /// Suspected unlawful or malicious act: yes, no or open.
    #[arg(long, value_parser = word::<Suspicion>)]
    malicious: Option<Suspicion>,
    /// Breach of personal data: yes, no or open.
    #[arg(long, value_parser = word::<Suspicion>)]
    personal_data: Option<Suspicion>,
    /// Controller of those data: provider, deployer or open.
    #[arg(long, value_parser = word::<Controller>)]
    controller: Option<Controller>,
    /// Categories and numbers of people and records, and likely consequences.
    #[arg(long)]
    records: Option<String>,
    /// The system is a product with digital elements.
    #[arg(long)]
    product: bool,
    /// Reliable evidence that a vulnerability is exploited by someone; a lab finding is none.
    #[arg(long, value_name = "EVIDENCE")]
    exploited: Option<String>,
    /// When the provider knew of the exploitation; its awareness by default.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "exploited")]
    exploited_known: Option<String>,
    /// What makes it a severe incident for the security of the product.
    #[arg(long, value_name = "EVIDENCE")]
    severe: Option<String>,
    /// When the provider knew of the severe incident; its awareness by default.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "severe")]
    severe_known: Option<String>,
    /// When a fix or mitigation became available.
    #[arg(long, value_name = "TIME", value_parser = time)]
    fix_available: Option<String>,
    /// A CSIRT asked for an interim report at this time.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = time,
        requires_all = ["request_due", "request_by"],
    )]
    requested: Option<String>,
    /// By when it wants the report.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "requested")]
    request_due: Option<String>,
    /// Which CSIRT.
    #[arg(long, requires = "requested")]
    request_by: Option<String>,
    /// Why the system is high-risk: annex-iii, annex-i, none or open.
    #[arg(long, value_parser = word::<Ground>)]
    ground: Option<Ground>,
    /// The provider reports under a law with equivalent duties.
    #[arg(long)]
    equivalent_reporting: bool,
    /// The AI Office is the authority.
    #[arg(long)]
    ai_office: bool,
    /// Name, function and address of the person who reports.
    #[arg(long)]
    reporter: Option<String>,
    /// Contact of the data-protection officer.
    #[arg(long)]
    data_protection: Option<String>,
    /// Registration number in the EU database.
    #[arg(long)]
    registration: Option<String>,
    /// Kind of incident or exploit.
    #[arg(long)]
    nature: Option<String>,
    /// Severity and impact.
    #[arg(long)]
    impact: Option<String>,
    /// Attack technique, actor, indicators of compromise.
    #[arg(long)]
    technique: Option<String>,
    /// Root cause or kind of threat.
    #[arg(long)]
    cause: Option<String>,
    /// Measures taken.
    #[arg(long)]
    taken: Option<String>,
    /// Measures planned.
    #[arg(long)]
    planned: Option<String>,
    /// What users can do.
    #[arg(long)]
    user_measures: Option<String>,
    /// Fix or update.
    #[arg(long)]
    fix: Option<String>,
    /// How sensitive the information is.
    #[arg(long)]
    sensitivity: Option<String>,
    /// Other authorities that were told.
    #[arg(long)]
    other_authorities: Option<String>,
    /// Risk of the register it belongs to; may be repeated.
    #[arg(long)]
    risk: Vec<String>,
    /// Run that shows it or tests it again; may be repeated.
    #[arg(long)]
    run: Vec<String>,
}

impl FactArgs {
    /// The facts `before`, with what the arguments say.
    pub fn onto(&self, before: &IncidentFacts, now: &str) -> Outcome<IncidentFacts> {
        let mut facts = match &self.from {
            Some(path) => {
                let bytes = assets::read_limited(path, FACTS_BYTES_MAX)?;
                serde_json::from_slice(&bytes).or_fail(
                    "facts",
                    "the file holds one JSON object, as `incident show ID --format json` prints \
                     it under `facts`",
                )?
            }
            None => before.clone(),
        };
        self.texts(&mut facts);
        self.times(&mut facts, now);
        self.lists(&mut facts);
        facts.found_by = self.found_by.or(facts.found_by);
        facts.causal_link = self.link.unwrap_or(facts.causal_link);
        facts.malicious = self.malicious.unwrap_or(facts.malicious);
        facts.personal_data = self.personal_data.unwrap_or(facts.personal_data);
        facts.controller = self.controller.unwrap_or(facts.controller);
        facts.ground = self.ground.unwrap_or(facts.ground);
        facts.death |= self.death;
        facts.widespread |= self.widespread;
        facts.product |= self.product;
        facts.equivalent_reporting |= self.equivalent_reporting;
        facts.ai_office |= self.ai_office;
        Ok(facts)
    }

    fn texts(&self, facts: &mut IncidentFacts) {
        for (given, kept) in [
            (&self.what, &mut facts.what),
            (&self.found_where, &mut facts.found_where),
            (&self.people, &mut facts.people),
            (&self.records, &mut facts.records),
            (&self.reporter, &mut facts.reporter),
            (&self.data_protection, &mut facts.data_protection),
            (&self.registration, &mut facts.registration),
            (&self.nature, &mut facts.nature),
            (&self.impact, &mut facts.impact),
            (&self.technique, &mut facts.technique),
            (&self.cause, &mut facts.cause),
            (&self.taken, &mut facts.measures_taken),
            (&self.planned, &mut facts.measures_planned),
            (&self.user_measures, &mut facts.user_measures),
            (&self.fix, &mut facts.fix),
            (&self.sensitivity, &mut facts.sensitivity),
            (&self.other_authorities, &mut facts.other_authorities),
        ] {
            if let Some(text) = given {
                kept.clone_from(text);
            }
        }
    }

    fn times(&self, facts: &mut IncidentFacts, now: &str) {
        for (given, kept) in [
            (&self.occurred, &mut facts.occurred),
            (&self.detected, &mut facts.detected),
            (&self.recovered, &mut facts.recovered),
            (&self.link_since, &mut facts.causal_link_since),
            (&self.fix_available, &mut facts.fix_available),
        ] {
            if given.is_some() {
                kept.clone_from(given);
            }
        }
        for (given, who) in
            [(&self.aware, Party::Provider), (&self.deployer_aware, Party::Deployer)]
        {
            if let Some(at) = given {
                let one = Awareness { at: at.clone(), who };
                if !facts.aware.contains(&one) {
                    facts.aware.push(one);
                }
            }
        }
        facts.aware.sort();
        let first = |facts: &IncidentFacts| {
            let of = facts.aware.iter().filter(|a| a.who == Party::Provider);
            of.map(|a| a.at.clone()).min().unwrap_or_else(|| now.to_owned())
        };
        let known = |evidence: &Option<String>, at: &Option<String>, facts: &IncidentFacts| {
            evidence.as_ref().map(|evidence| Known {
                at: at.clone().unwrap_or_else(|| first(facts)),
                evidence: evidence.clone(),
            })
        };
        if let Some(known) = known(&self.exploited, &self.exploited_known, facts) {
            facts.exploited = Some(known);
        }
        if let Some(known) = known(&self.severe, &self.severe_known, facts) {
            facts.severe = Some(known);
        }
        if let (Some(at), Some(due), Some(by)) =
            (&self.requested, &self.request_due, &self.request_by)
        {
            let (at, due, by) = (at.clone(), due.clone(), by.clone());
            facts.requests.push(Request { at, due, by });
        }
    }

    fn lists(&self, facts: &mut IncidentFacts) {
        for state in self.member_state.iter().map(|s| s.to_ascii_uppercase()) {
            if !facts.member_states.contains(&state) {
                facts.member_states.push(state);
            }
        }
        for harm in &self.harm {
            if !facts.harm.contains(harm) {
                facts.harm.push(*harm);
            }
        }
        // Death is harm of the first category; nobody should have to say it twice.
        if self.death && !facts.harm.contains(&Harm::Health) {
            facts.harm.push(Harm::Health);
        }
        for (given, kept) in [(&self.risk, &mut facts.risks), (&self.run, &mut facts.runs)] {
            for name in given {
                if !kept.contains(name) {
                    kept.push(name.clone());
                }
            }
        }
    }
}

/// Names of the facts that differ.
pub fn changed(before: &IncidentFacts, after: &IncidentFacts) -> Outcome<Vec<String>> {
    let object = |facts: &IncidentFacts| match serde_json::to_value(facts) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        _ => Err(Failure::new("bug", "facts do not serialise", "please report this as a bug")),
    };
    let (before, after) = (object(before)?, object(after)?);
    Ok(after.into_iter().filter(|(k, v)| before.get(k) != Some(v)).map(|(k, _)| k).collect())
}

/// An instant with a zone, kept in UTC to the second.
pub fn time(text: &str) -> Result<String, String> {
    if text == "now" {
        return Ok(crate::clock::now());
    }
    let instant: jiff::Timestamp = text.parse().map_err(|_| {
        "write the time with its zone, e.g. `2026-11-22T16:05:00+01:00` or in UTC with a `Z`"
            .to_owned()
    })?;
    Ok(instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// One word of a list, as it stands in the data.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// Facts are some pages of text.
const FACTS_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_any_zone_and_are_kept_in_utc() {
        for (text, utc) in [
            ("2026-11-22T15:05:00Z", "2026-11-22T15:05:00Z"),
            ("2026-11-22T16:05:00+01:00", "2026-11-22T15:05:00Z"),
            ("2026-03-29T00:30:00-03:30", "2026-03-29T04:00:00Z"),
            ("2026-11-22T15:05:00.9Z", "2026-11-22T15:05:00Z"),
        ] {
            assert_eq!(time(text).as_deref(), Ok(utc));
        }
        for text in ["2026-11-22", "2026-11-22T15:05:00", "yesterday", "15:05"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_the_data() {
        assert_eq!(word::<Harm>("rights"), Ok(Harm::Rights));
        let error = word::<Harm>("money").unwrap_err();
        assert!(error.contains("infrastructure"), "{error}");
    }
}
