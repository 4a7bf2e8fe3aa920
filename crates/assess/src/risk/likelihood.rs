//! Likelihood from measurement: attack success, with its interval, times the declared exposure.
//!
//! Owns which signed figure stands for a threat: the worst model in use, at the largest budget
//! that a criterion names (the largest of the threat when none does). Level by the upper end of
//! the expected successes a year, so that doubt counts against the system. Must never use a figure
//! that a check refused, nor one from an attack that its own checks call weak.
//!
//! Method: a share of successes p in `[a, b]` and n attempts a year in `[l, h]` give between
//! `a * l` and `b * h` expected successes a year (interval product of non-negative ranges). The
//! interval of p keeps its confidence; that of n is a declared range, so the product is a range
//! of expectations and not a confidence interval.

use proofmark_schema::measurement::{CheckState, Measurement, Quantity};
use proofmark_schema::risk::{Basis, MeasuredLikelihood, Rating, scales};
use proofmark_schema::system::{ModelRole, System, Threat};

use crate::assessment::{Assessment, ProbeRecord};
use crate::judge::says_weak;

/// The likelihood that the figures of `assessment` give for the threat of that name.
///
/// # Errors
/// [`Unmeasured`] says what is missing; the likelihood is then entered by a person.
pub fn measured(
    system: &System,
    assessment: &Assessment,
    threat: &str,
) -> Result<(u8, MeasuredLikelihood), Unmeasured> {
    let threat = system.threat_named(threat).ok_or_else(|| Unmeasured::Threat(threat.into()))?;
    let attempts =
        threat.attempts_per_year.ok_or_else(|| Unmeasured::Exposure(threat.name.clone()))?;
    let mut worst: Option<MeasuredLikelihood> = None;
    for model in models(system, threat) {
        let found = of_model(system, assessment, threat, model, attempts)?;
        let known = worst.as_ref().map_or(-1.0, |w| upper(&w.success));
        if upper(&found.success) > known {
            worst = Some(found);
        }
    }
    let found = worst.ok_or_else(|| Unmeasured::Figure(threat.name.clone(), String::new()))?;
    let level = scales()
        .likelihood_of(upper(&found.successes_per_year))
        .ok_or_else(|| Unmeasured::Figure(threat.name.clone(), found.model.clone()))?;
    Ok((level, found))
}

/// A rating from a likelihood and a severity; `None` when a level is not on the scale.
pub fn rating(likelihood: u8, basis: Basis, severity: u8) -> Option<Rating> {
    let level = scales().level(likelihood, severity)?;
    Some(Rating { likelihood, basis, severity, level, scales: scales().edition })
}

/// Why there is no measured likelihood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// Not declared.
    #[error("no threat is named `{0}`")]
    Threat(String),
    /// No exposure.
    #[error("`threats.{0}` declares no `attempts_per_year`")]
    Exposure(String),
    /// No figure.
    #[error("the run has no figure for threat `{0}` on model `{1}`")]
    Figure(String, String),
    /// Refused.
    #[error("the figure `{figure}` was refused by a check: {reason}")]
    Refused {
        /// Measurement.
        figure: String,
        /// Why.
        reason: String,
    },
    /// A weak attack: what succeeded is a lower bound only.
    #[error("the figure `{figure}` rests on a weak attack, so more may succeed: {reason}")]
    Weak {
        /// Measurement.
        figure: String,
        /// Why.
        reason: String,
        /// Likelihood that even this attack shows; a person may not enter less.
        at_least: u8,
    },
}

fn models<'a>(system: &'a System, threat: &Threat) -> Vec<&'a str> {
    let aimed = |name: &str| threat.models.is_empty() || threat.models.iter().any(|m| m == name);
    let all = || system.models.iter().filter(|m| aimed(&m.name));
    let in_use: Vec<&str> =
        all().filter(|m| m.role != ModelRole::Candidate).map(|m| m.name.as_str()).collect();
    // A threat that is aimed at candidates only still says what they would do in use.
    if in_use.is_empty() { all().map(|m| m.name.as_str()).collect() } else { in_use }
}

/// The largest budget that a criterion on this threat and model names, else the largest of all.
fn budget(system: &System, threat: &Threat, model: &str) -> Option<f64> {
    let named = system.criteria.iter().filter(|c| {
        c.model == model && c.threat.as_deref() == Some(threat.name.as_str()) && c.group.is_none()
    });
    let largest = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
    largest(&mut named.filter_map(|c| c.eps)).or(largest(&mut threat.eps.iter().copied()))
}

fn of_model(
    system: &System,
    assessment: &Assessment,
    threat: &Threat,
    model: &str,
    attempts: [f64; 2],
) -> Result<MeasuredLikelihood, Unmeasured> {
    let eps = budget(system, threat, model);
    let nothing = || Unmeasured::Figure(threat.name.clone(), model.to_owned());
    // With a goal: of all rows the attacker starts from. Without: of the rows decided rightly.
    let metrics: &[&str] = match threat.goal {
        Some(_) => &["robust_recall"],
        None => &["attack_success", "robust_accuracy"],
    };
    let (record, figure) = metrics
        .iter()
        .find_map(|metric| find(assessment, threat, model, metric, eps))
        .ok_or_else(nothing)?;
    let (confidence, success) = success(figure).ok_or_else(nothing)?;
    let [lower, upper] = success;
    let [least, most] = attempts;
    let successes_per_year = [lower * least, upper * most];
    let likelihood_lower = scales().likelihood_of(lower * least).ok_or_else(nothing)?;
    sound(record, figure, scales().likelihood_of(upper * most).ok_or_else(nothing)?)?;
    Ok(MeasuredLikelihood {
        run: assessment.record.run.clone(),
        statement: record.stored.statement.hex(),
        measurement: figure.id.clone(),
        metric: figure.metric.clone(),
        model: model.to_owned(),
        eps: figure.subject.eps,
        confidence,
        success,
        attempts_per_year: attempts,
        successes_per_year,
        likelihood_lower,
    })
}

fn find<'a>(
    assessment: &'a Assessment,
    threat: &Threat,
    model: &str,
    metric: &str,
    eps: Option<f64>,
) -> Option<(&'a ProbeRecord, &'a Measurement)> {
    assessment.results.iter().find_map(|record| {
        let figure = record.said.measurements.iter().find(|m| {
            let about = &m.subject;
            m.metric == metric
                && about.model == model
                && about.threat.as_deref() == Some(threat.name.as_str())
                && about.eps == eps
                && about.group.is_none()
                && about.class.is_none()
        })?;
        Some((record, figure))
    })
}

/// Share of attempts that succeed, with the confidence of its interval.
fn success(figure: &Measurement) -> Option<(f64, [f64; 2])> {
    let (lower, upper, confidence) = match &figure.quantity {
        Quantity::Estimate { lower, upper, confidence, .. }
        | Quantity::Bracket { lower, upper, confidence, .. } => (*lower, *upper, *confidence),
        Quantity::Exact { .. } | Quantity::Screen { .. } => return None,
    };
    let success =
        if figure.metric == "attack_success" { [lower, upper] } else { [1.0 - upper, 1.0 - lower] };
    Some((confidence, success.map(|share| share.clamp(0.0, 1.0))))
}

fn sound(record: &ProbeRecord, figure: &Measurement, at_least: u8) -> Result<(), Unmeasured> {
    let mut checks = figure.validity.iter().chain(&record.said.validity);
    if let Some(broken) = checks.find(|c| c.state == CheckState::Refuse) {
        let (figure, reason) = (figure.id.clone(), broken.reason.clone());
        return Err(Unmeasured::Refused { figure, reason });
    }
    let mut checks = figure.validity.iter().chain(&record.said.validity);
    match checks.find(|c| says_weak(c)) {
        Some(weak) => {
            let (figure, reason) = (figure.id.clone(), weak.reason.clone());
            Err(Unmeasured::Weak { figure, reason, at_least })
        }
        None => Ok(()),
    }
}

fn upper(range: &[f64; 2]) -> f64 {
    let [_, upper] = range;
    *upper
}

#[cfg(test)]
mod tests;
