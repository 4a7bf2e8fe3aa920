//! Clean figures of a regression, with what must stand beside them.
//!
//! Owns the list: mean absolute error, root of the mean squared error, declared quantiles of the
//! absolute error, mean signed error, share of the variance explained, and the errors of a
//! constant answer; overall and per group. Must never judge. Called by `assess`'s runner.

use proofmark_schema::measurement::{Measurement, Method, OneSided, Quantity, Validity};

use crate::facts::{About, Facts, Group, Refused, large_enough};
use crate::harness::Clean;
use crate::stats::{Measured, mae, mean_error, quantile, quantile_error, r_squared, rmse};

/// What a regression is judged on.
#[derive(Clone, Copy)]
pub struct Sheet<'a> {
    /// Shared facts.
    pub facts: &'a Facts,
    /// Clean answers, one column.
    pub clean: &'a Clean,
    /// Labels.
    pub targets: &'a [f64],
    /// Unit of the label, as declared.
    pub unit: Option<&'a str>,
    /// Quantiles of the absolute error.
    pub quantiles: &'a [f64],
    /// Confidences at which verdicts ask for one-sided bounds.
    pub confidences: &'a [f64],
    /// Checks of the set-up.
    pub validity: &'a [Validity],
}

/// Figures, and the groups that are too small for them.
#[derive(Clone, Debug, PartialEq)]
pub struct RegressionReport {
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// Groups without figures.
    pub refused: Vec<Refused>,
}

/// Id and edition of the method.
pub fn method() -> Method {
    Method { id: "regression".into(), edition: 1 }
}

/// All clean figures of one model on one data set.
pub fn measure(sheet: &Sheet<'_>, groups: &[Group]) -> RegressionReport {
    let all: Vec<usize> = (0..sheet.clean.rows()).collect();
    let (large, refused) = large_enough(groups);
    let mut measurements = sheet.figures(&all, None);
    for group in large {
        measurements.extend(sheet.figures(&group.rows, Some(group)));
    }
    RegressionReport { measurements, refused }
}

/// Unit of a label that declares none.
pub const UNIT: &str = "unit of the label";

impl Sheet<'_> {
    fn figures(&self, rows: &[usize], group: Option<&Group>) -> Vec<Measurement> {
        let errors: Vec<f64> = rows.iter().map(|&row| self.error(row)).collect();
        let targets: Vec<f64> = rows.iter().map(|&row| self.targets[row]).collect();
        if errors.is_empty() || errors.iter().any(|e| !e.is_finite()) {
            // Gate 3 refuses such a model; a mean over the rest would flatter it.
            return Vec::new();
        }
        let unit = self.unit.unwrap_or(UNIT);
        let about = About { group, ..About::default() };
        let n = errors.len() as u64;
        let mut out = Vec::new();
        let mut add = |metric: &str, unit: &str, about: About<'_>, quantity: Quantity| {
            let (probe, validity) = (method(), self.validity);
            out.push(self.facts.measurement(metric, unit, about, quantity, &probe, validity));
        };
        let absolute = errors.iter().map(|e| e.abs()).sum::<f64>() / n as f64;
        let squared = (errors.iter().map(|e| e * e).sum::<f64>() / n as f64).sqrt();
        let signed = errors.iter().sum::<f64>() / n as f64;
        type Mean = fn(&[f64], f64) -> Option<Measured>;
        for (metric, mean, value) in [
            ("mae", mae as Mean, absolute),
            ("rmse", rmse, squared),
            ("mean_error", mean_error, signed),
        ] {
            let figure = |confidence: f64| mean(&errors, confidence);
            add(metric, unit, about, self.quantity(&figure, value, SKEWED, n));
        }
        for &p in self.quantiles {
            let figure = |confidence: f64| quantile_error(&errors, p, confidence);
            let Some(Measured { value, .. }) = figure(self.facts.confidence) else { continue };
            let about = About { quantile: Some(p), ..about };
            add("quantile_error", unit, about, self.quantity(&figure, value, ORDER, n));
        }
        let exact = |value: f64, of: &str| Quantity::Exact {
            value,
            domain: format!("the {n} rows; {of}"),
            arithmetic: "f64".into(),
        };
        if let Some(value) = r_squared(&errors, &targets) {
            add("r_squared", "1", about, exact(value, "against the mean of their labels"));
        }
        let median = quantile(&targets, 0.5).unwrap_or(f64::NAN);
        let mean = targets.iter().sum::<f64>() / n as f64;
        let of = |from: f64, power: i32| {
            targets.iter().map(|t| (t - from).abs().powi(power)).sum::<f64>() / n as f64
        };
        add("mae_baseline", unit, about, exact(of(median, 1), "always their median label"));
        add("rmse_baseline", unit, about, exact(of(mean, 2).sqrt(), "always their mean label"));
        out
    }

    /// Answer less label.
    fn error(&self, row: usize) -> f64 {
        let answer = self.clean.scores(row).first().map_or(f64::NAN, |&v| f64::from(v));
        answer - self.targets[row]
    }

    /// An estimate, or the bare value where the rows give no finite interval with a width.
    /// `figure` is asked for its two-sided interval at a confidence.
    fn quantity(
        &self,
        figure: &dyn Fn(f64) -> Option<Measured>,
        value: f64,
        method: &str,
        n: u64,
    ) -> Quantity {
        let finite = |confidence: f64| {
            let ends = |m: &Measured| m.interval.lower.is_finite() && m.interval.upper.is_finite();
            figure(confidence).filter(ends)
        };
        // Each end of a two-sided interval at 2c - 1 is a one-sided bound at c: the methods here
        // leave the same share out at either end.
        let bounds = |&confidence: &f64| {
            let Measured { interval, .. } = finite(2.0 * confidence - 1.0)?;
            Some(OneSided { confidence, lower: interval.lower, upper: interval.upper })
        };
        match finite(self.facts.confidence) {
            Some(Measured { value, interval }) => Quantity::Estimate {
                value,
                lower: interval.lower,
                upper: interval.upper,
                confidence: self.facts.confidence,
                method: method.into(),
                k: None,
                n,
                one_sided: self.confidences.iter().filter_map(bounds).collect(),
            },
            None => Quantity::Exact {
                value,
                domain: format!("the {n} rows; too few, or too alike, for an interval"),
                arithmetic: "f64".into(),
            },
        }
    }
}

/// How intervals of means are made.
pub const SKEWED: &str = "skewness-corrected t (Hall 1992)";
/// How intervals of quantiles are made.
pub const ORDER: &str = "order statistics, exact";

#[cfg(test)]
mod tests {
    use proofmark_schema::measurement::EngineUse;
    use proofmark_schema::system::OutputKind;

    use super::*;
    use crate::decision::{Decision, Rule};

    #[test]
    fn figures_stand_beside_a_constant_answer_and_per_group() {
        let targets: Vec<f64> = (0..100).map(f64::from).collect();
        // Off by 1 in the first half, by -3 in the second, once by 20.
        let answer = |i: usize| {
            if i == 99 {
                119.0
            } else if i < 50 {
                i as f32 + 1.0
            } else {
                i as f32 - 3.0
            }
        };
        let scores: Vec<f32> = (0..100).map(answer).collect();
        let decision = Decision { kind: OutputKind::Value, rule: Rule::Value };
        let clean = Clean::from_scores(scores, 1, &decision);
        let facts = Facts {
            model: "m".into(),
            data: "test".into(),
            classes: Vec::new(),
            assets: Vec::new(),
            engine: EngineUse::default(),
            seed: 3,
            confidence: 0.95,
        };
        let group = |value: &str, rows: std::ops::Range<usize>| Group {
            feature: "sex".into(),
            value: value.into(),
            rows: rows.collect(),
        };
        let groups = [group("a", 0..50), group("b", 50..90), group("c", 90..100)];
        let sheet = Sheet {
            facts: &facts,
            clean: &clean,
            targets: &targets,
            unit: Some("EUR"),
            quantiles: &[0.5, 0.99],
            confidences: &[0.95, 0.99],
            validity: &[],
        };
        let report = measure(&sheet, &groups);
        let found = |id: &str| {
            let found = report.measurements.iter().find(|m| m.id == id);
            found.unwrap_or_else(|| panic!("no `{id}`"))
        };
        let mae = found("m/test/mae");
        assert_eq!(mae.unit, "EUR");
        assert!((mae.quantity.value() - (50.0 + 49.0 * 3.0 + 20.0) / 100.0).abs() < 1e-9);
        // A one-sided bound at 95 % promises less than an end of the two-sided interval, so it
        // lies nearer; one at 99 % promises more.
        let Quantity::Estimate { lower, upper, one_sided, .. } = &mae.quantity else {
            panic!("no estimate: {:?}", mae.quantity);
        };
        let [at95, at99] = one_sided[..] else { panic!("two confidences: {one_sided:?}") };
        assert!(at99.lower < *lower && *lower < at95.lower, "{lower} {one_sided:?}");
        assert!(at95.upper < *upper && *upper < at99.upper, "{upper} {one_sided:?}");
        assert_eq!(found("m/test/mean_error").quantity.value(), (50.0 - 147.0 + 20.0) / 100.0);
        assert_eq!(found("m/test/quantile_error/q0.5").quantity.value(), 1.0);
        // A hundred rows do not bound their 99 % quantile from above: no interval, no verdict.
        let extreme = &found("m/test/quantile_error/q0.99").quantity;
        assert!(matches!(extreme, Quantity::Exact { value: 3.0, .. }), "{extreme:?}");
        assert_eq!(found("m/test/mae_baseline").quantity.value(), 25.0);
        // All errors alike: a value without an interval.
        let alike = &found("m/test/mae/group:sex=a").quantity;
        assert!(matches!(alike, Quantity::Exact { value: 1.0, .. }), "{alike:?}");
        assert_eq!(report.refused.len(), 1);
    }
}
