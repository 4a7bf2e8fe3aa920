//! Residual risk today.
//!
//! Owns the order of sources: the latest current run where a threat is measured, else what a
//! person entered, else the inherent risk. A person may say that it is worse than measured, never
//! that it is better. Called by `overview`.

use proofmark_schema::risk::{Basis, Rating};

use super::{Context, Residual, next_rate};
use crate::risk::{Risk, likelihood};
use likelihood::Unmeasured;

impl Context<'_> {
    /// What the latest current run says about a risk that a threat measures; `None` when no
    /// threat does.
    pub(super) fn measured(&self, risk: &Risk) -> Option<Result<Rating, Unmeasured>> {
        let threat = risk.scenario.links.threat.as_deref()?;
        let severity = severity(risk)?;
        let (last, run) = (self.world.last.as_ref()?, self.run?);
        if !run.speaks_for(self.present.system, threat) {
            return None;
        }
        let found = likelihood::measured(self.present.system, last, threat);
        Some(found.and_then(|(level, figures)| {
            let model = figures.model.clone();
            likelihood::rating(level, Basis::Measured(figures), severity)
                .ok_or_else(|| Unmeasured::Figure(threat.to_owned(), model))
        }))
    }

    pub(super) fn residual(&self, risk: &Risk) -> Residual {
        let Some(inherent) = &risk.inherent else {
            return unknown("not rated yet", next_rate(risk));
        };
        let entered = risk.residual.as_ref().map(|r| &r.said);
        match self.measured(risk) {
            Some(Ok(measured)) => worse_of(measured, entered),
            Some(Err(why)) => not_measured(risk, &inherent.said, entered, &why),
            None if risk.scenario.links.threat.is_some() && is_measured(&inherent.said) => {
                let why = match self.run {
                    None => "no run measures it",
                    Some(_) => "the run that measured it is about other files or terms",
                };
                unknown(why, "proofmark assess".to_owned())
            }
            None => as_said(&inherent.said, entered),
        }
    }
}

/// Severity of the last rating, else of the harm.
fn severity(risk: &Risk) -> Option<u8> {
    let rated = risk.residual.as_ref().or(risk.inherent.as_ref()).map(|r| r.said.severity);
    rated.or(risk.scenario.harm.as_ref().map(|h| h.severity))
}

fn is_measured(rating: &Rating) -> bool {
    matches!(rating.basis, Basis::Measured(_))
}

fn worse_of(measured: Rating, entered: Option<&Rating>) -> Residual {
    match entered.filter(|e| e.likelihood > measured.likelihood) {
        Some(worse) => known(worse.clone(), "entered: worse than the latest run shows"),
        None => {
            let from = match &measured.basis {
                Basis::Measured(m) => format!("measured by {}", m.run),
                Basis::Entered { .. } => "entered".to_owned(),
            };
            known(measured, &from)
        }
    }
}

fn not_measured(
    risk: &Risk,
    inherent: &Rating,
    entered: Option<&Rating>,
    why: &Unmeasured,
) -> Residual {
    let least = match why {
        Unmeasured::Weak { at_least, .. } => *at_least,
        _ => 0,
    };
    match entered.filter(|e| e.likelihood >= least) {
        Some(said) => known(said.clone(), &format!("entered: {why}")),
        None if !is_measured(inherent) && inherent.likelihood >= least => {
            known(inherent.clone(), &format!("as the inherent risk, entered: {why}"))
        }
        None => {
            let id = &risk.id;
            let command =
                format!("proofmark risk rate {id} --residual --likelihood N --reason WHY");
            unknown(&why.to_string(), command)
        }
    }
}

fn as_said(inherent: &Rating, entered: Option<&Rating>) -> Residual {
    match entered {
        Some(said) => known(said.clone(), "entered"),
        None => known(inherent.clone(), "as the inherent risk: nothing says that it is lower"),
    }
}

fn known(rating: Rating, from: &str) -> Residual {
    Residual { rating: Some(rating), from: from.to_owned(), next: String::new() }
}

fn unknown(from: &str, next: String) -> Residual {
    Residual { rating: None, from: from.to_owned(), next }
}
