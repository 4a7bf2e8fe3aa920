//! Accuracy at the declared decision, with what must stand beside it.
//!
//! Owns the list of clean figures: accuracy, balanced accuracy, MCC, AUC and Gini, Brier,
//! calibration error, share decided per class, majority baseline; overall, per class, per
//! group. Must never decide at arg-max when a cut-off is declared. Called by `assess`'s runner.

use proofmark_schema::measurement::{Measurement, Method, Quantity, Validity};
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Rule};
use crate::facts::{About, Facts, GROUP_MIN, Group, Refused, count, large_enough, tagged};
use crate::harness::Clean;
use crate::stats::{
    Calibration, Confusion, DRAWS, Interval, bounded_mean, brier_rows, delong, melded,
};
use crate::stream::Stream;

/// Figures and the material of the plots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyReport {
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// By label, then decision.
    pub confusion: Confusion,
    /// Calibration of the probability of `positive` (two classes) or of the decided class.
    pub calibration: Option<Calibration>,
    /// Two classes: index of the class whose score orders the rows.
    pub positive: Option<usize>,
    /// Groups without figures.
    pub refused: Vec<Refused>,
}

/// Id and edition of the method.
pub fn method() -> Method {
    Method { id: "accuracy".into(), edition: 1 }
}

/// All clean figures of one model on one data set.
pub fn measure(
    facts: &Facts,
    clean: &Clean,
    labels: &[usize],
    decision: &Decision,
    groups: &[Group],
    validity: &[Validity],
) -> AccuracyReport {
    let sheet = Sheet { facts, clean, labels, decision, validity };
    let all: Vec<usize> = (0..clean.rows()).collect();
    let positive = sheet.positive();
    let mut measurements = sheet.counted(&all, None);
    measurements.extend(sheet.scored(&all));
    measurements.extend(sheet.confused(&all));
    measurements.extend(sheet.calibrated(&all));
    let (large, refused) = large_enough(groups);
    for group in large {
        measurements.extend(sheet.counted(&group.rows, Some(group)));
    }
    AccuracyReport {
        measurements,
        confusion: sheet.confusion(&all),
        calibration: sheet.calibration(&all),
        positive,
        refused,
    }
}

struct Sheet<'a> {
    facts: &'a Facts,
    clean: &'a Clean,
    labels: &'a [usize],
    decision: &'a Decision,
    validity: &'a [Validity],
}

impl Sheet<'_> {
    /// Two classes: the class of the cut-off, or the last one.
    fn positive(&self) -> Option<usize> {
        match self.decision.rule {
            Rule::Cutoff { class, .. } => Some(class),
            Rule::Value | Rule::Within => None,
            Rule::Argmax => (self.clean.classes() == 2).then_some(1),
        }
    }

    fn confusion(&self, rows: &[usize]) -> Confusion {
        let labels: Vec<usize> = rows.iter().map(|&r| self.labels[r]).collect();
        let decisions: Vec<Option<usize>> = rows.iter().map(|&r| self.clean.decision(r)).collect();
        Confusion::of(self.clean.classes(), &labels, &decisions)
    }

    fn make(&self, metric: &str, unit: &str, about: About<'_>, quantity: Quantity) -> Measurement {
        self.facts.measurement(metric, unit, about, quantity, &method(), self.validity)
    }

    /// Figures of the confusion matrix.
    fn counted(&self, rows: &[usize], group: Option<&Group>) -> Vec<Measurement> {
        let confusion = self.confusion(rows);
        let n = confusion.n();
        let about = About { group, ..About::default() };
        let mut out = vec![self.make(
            "accuracy",
            "proportion",
            about,
            self.facts.share(confusion.correct(), n),
        )];
        let key = group.map_or(String::new(), |g| format!("{}={}", g.feature, g.value));
        type Figure = fn(&Confusion) -> Option<f64>;
        let resampled: [(&str, &str, Figure); 2] = [
            ("balanced_accuracy", "proportion", |c| c.balanced_accuracy()),
            ("mcc", "1", |c| Some(c.mcc())),
        ];
        for (metric, unit, figure) in resampled {
            let probe = format!("{}/{}/{metric}/{key}", self.facts.model, self.facts.data);
            let mut stream = Stream::new(self.facts.seed, &probe, "meld", 0, 0);
            let interval = melded(&confusion, self.facts.confidence, &mut stream, figure);
            if let (Some(value), Some(interval)) = (figure(&confusion), interval) {
                let method = format!("melded clopper-pearson, {DRAWS} draws");
                let quantity = self.estimate(value, interval, &method, n);
                out.push(self.make(metric, unit, about, quantity));
            }
        }
        let (_, majority) = confusion.majority();
        let baseline = Quantity::Exact {
            value: if n == 0 { 0.0 } else { majority as f64 / n as f64 },
            domain: format!("the {n} rows"),
            arithmetic: "counts".into(),
        };
        out.push(self.make("majority_baseline", "proportion", about, baseline));
        for class in 0..self.clean.classes() {
            let about = About { class: Some(class), ..about };
            let decided = self.facts.share(confusion.decided(class), n);
            out.push(self.make("decision_rate", "proportion", about, decided));
            let labelled = confusion.labelled(class);
            if labelled >= GROUP_MIN as u64 || (group.is_none() && labelled > 0) {
                let recall = self.facts.share(confusion.counts[class][class], labelled);
                out.push(self.make("accuracy", "proportion", about, recall));
            }
        }
        out
    }

    /// Figures that need scores or probabilities.
    fn scored(&self, rows: &[usize]) -> Vec<Measurement> {
        let mut out = Vec::new();
        let n = rows.len() as u64;
        let about = About::default();
        if let Some(positive) = self.positive() {
            let scores: Vec<f64> =
                rows.iter().map(|&r| ranking_score(self.clean.scores(r), positive)).collect();
            let truth: Vec<bool> = rows.iter().map(|&r| self.labels[r] == positive).collect();
            if let Some(auc) = delong(&scores, &truth, self.facts.confidence) {
                let quantity = self.estimate(auc.value, auc.interval, auc.method, n);
                out.push(self.make("auc", "proportion", about, quantity));
                let twice = |v: f64| 2.0 * v - 1.0;
                let interval =
                    Interval { lower: twice(auc.interval.lower), upper: twice(auc.interval.upper) };
                let quantity = self.estimate(auc.gini(), interval, auc.method, n);
                out.push(self.make("gini", "1", about, quantity));
            }
        }
        if let Some(probabilities) = self.probabilities(rows) {
            let labels: Vec<usize> = rows.iter().map(|&r| self.labels[r]).collect();
            let values = brier_rows(&probabilities, self.clean.classes(), &labels);
            // Per row at most 1 for two classes, 2 for more.
            let top = if self.clean.classes() == 2 { 1.0 } else { 2.0 };
            if let Some((mean, interval)) = bounded_mean(&values, top, self.facts.confidence) {
                let quantity = self.estimate(mean, interval, "agresti-coull, per-row values", n);
                out.push(self.make("brier", "1", about, quantity));
            }
        }
        if let Some(calibration) = self.calibration(rows) {
            let quantity = Quantity::Exact {
                value: calibration.ece,
                domain: format!("the {n} rows, 10 bins of equal width"),
                arithmetic: "f64".into(),
            };
            out.push(self.make("calibration_error", "proportion", about, quantity));
        }
        out
    }

    /// The cells of the confusion matrix, tagged `label:decision`.
    fn confused(&self, rows: &[usize]) -> Vec<Measurement> {
        let confusion = self.confusion(rows);
        let classes = &self.facts.classes;
        let mut out = Vec::new();
        for (label, counts) in classes.iter().zip(&confusion.counts) {
            for (decision, &k) in classes.iter().zip(counts) {
                let quantity = count(k, "rows of the label that get the decision");
                let made = self.make("confusion", "count", About::default(), quantity);
                out.push(tagged(made, &format!("{label}:{decision}")));
            }
        }
        out
    }

    /// The points of the calibration plot, tagged by bin; empty bins are left out.
    fn calibrated(&self, rows: &[usize]) -> Vec<Measurement> {
        let Some(calibration) = self.calibration(rows) else { return Vec::new() };
        let mut out = Vec::new();
        for bin in calibration.bins.iter().filter(|b| b.n > 0) {
            let tag = format!("{:.1}-{:.1}", bin.from, bin.to);
            let stated = Quantity::Exact {
                value: bin.stated,
                domain: format!("the {} rows of the bin", bin.n),
                arithmetic: "f64".into(),
            };
            let came_true = (bin.observed * bin.n as f64).round() as u64;
            let observed = self.facts.share(came_true, bin.n);
            let pair = [("calibration_predicted", stated), ("calibration_observed", observed)];
            for (metric, quantity) in pair {
                let made = self.make(metric, "proportion", About::default(), quantity);
                out.push(tagged(made, &tag));
            }
        }
        out
    }

    /// `rows x classes`; `None` without a probability meaning or with NaN.
    fn probabilities(&self, rows: &[usize]) -> Option<Vec<f64>> {
        let each = rows.iter().map(|&r| self.decision.probabilities(self.clean.scores(r)));
        let all: Vec<f64> = each.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
        all.iter().all(|p| p.is_finite()).then_some(all)
    }

    fn calibration(&self, rows: &[usize]) -> Option<Calibration> {
        let probabilities = self.probabilities(rows)?;
        let each = probabilities.chunks(self.clean.classes()).zip(rows);
        let (stated, came_true): (Vec<f64>, Vec<bool>) = each
            .map(|(p, &row)| {
                let class = match self.positive() {
                    Some(positive) => positive,
                    None => (1..p.len()).fold(0, |b, c| if p[c] > p[b] { c } else { b }),
                };
                (p[class], self.labels[row] == class)
            })
            .unzip();
        (!stated.is_empty()).then(|| Calibration::of(&stated, &came_true))
    }

    fn estimate(&self, value: f64, interval: Interval, method: &str, n: u64) -> Quantity {
        Quantity::Estimate {
            value,
            lower: interval.lower,
            upper: interval.upper,
            confidence: self.facts.confidence,
            method: method.into(),
            k: None,
            n,
            one_sided: Vec::new(),
        }
    }
}

/// What orders the rows of two classes: the score of the positive class less the other's.
pub(crate) fn ranking_score(scores: &[f32], positive: usize) -> f64 {
    let other = usize::from(positive == 0);
    let at = |c: usize| scores.get(c).map_or(f64::NAN, |&s| f64::from(s));
    at(positive) - at(other)
}

#[cfg(test)]
mod tests {
    use proofmark_schema::measurement::EngineUse;
    use proofmark_schema::system::OutputKind;

    use super::*;

    pub(crate) fn facts() -> Facts {
        Facts {
            model: "m".into(),
            data: "test".into(),
            classes: vec!["good".into(), "bad".into()],
            assets: Vec::new(),
            engine: EngineUse::default(),
            seed: 3,
            confidence: 0.95,
        }
    }

    fn value(report: &AccuracyReport, id: &str) -> f64 {
        let found = report.measurements.iter().find(|m| m.id == id);
        found.unwrap_or_else(|| panic!("no `{id}`")).quantity.value()
    }

    #[test]
    fn figures_are_taken_at_the_declared_cut_off() {
        // 100 rows: probability of bad i/100, bad from 40 on except every fifth.
        let scores: Vec<f32> =
            (0..100).flat_map(|i| [1.0 - i as f32 / 100.0, i as f32 / 100.0]).collect();
        let labels: Vec<usize> = (0..100).map(|i| usize::from(i >= 40 && i % 5 != 0)).collect();
        let decision = Decision::cutoff(OutputKind::Probability, 1, 0.3);
        let clean = Clean::from_scores(scores, 2, &decision);
        let group = |value: &str, rows: std::ops::Range<usize>| Group {
            feature: "sex".into(),
            value: value.into(),
            rows: rows.collect(),
        };
        let groups = [group("female", 0..50), group("male", 50..100), group("other", 0..29)];
        let report = measure(&facts(), &clean, &labels, &decision, &groups, &[]);
        // Bad decided from 0.30 on: 70 rows; bad labelled: 48, all among them.
        assert_eq!(value(&report, "m/test/accuracy"), 0.78);
        assert_eq!(value(&report, "m/test/decision_rate/class:bad"), 0.7);
        assert_eq!(value(&report, "m/test/accuracy/class:bad"), 1.0);
        assert!((value(&report, "m/test/accuracy/class:good") - 30.0 / 52.0).abs() < 1e-12);
        assert_eq!(value(&report, "m/test/majority_baseline"), 0.52);
        assert_eq!(value(&report, "m/test/accuracy/group:sex=female"), (30.0 + 8.0) / 50.0);
        // Pairs won: 40 x 48 against the low rows, 4 x (1 + ... + 12) against the fifths.
        assert!((value(&report, "m/test/auc") - 2232.0 / 2496.0).abs() < 1e-12);
        assert_eq!(report.refused.len(), 1);
        assert!(report.refused[0].reason.contains("29 rows"));
        assert!(!report.measurements.iter().any(|m| m.id.contains("other")));
        for id in ["balanced_accuracy", "mcc", "gini", "brier", "calibration_error"] {
            assert!(value(&report, &format!("m/test/{id}")).is_finite());
        }
        let ids: std::collections::BTreeSet<&str> =
            report.measurements.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids.len(), report.measurements.len(), "ids are unique");
    }

    #[test]
    fn scores_without_a_probability_meaning_give_no_calibration() {
        let decision = Decision::cutoff(OutputKind::Score, 1, 2.0);
        let scores: Vec<f32> = (0..40).flat_map(|i| [0.0, i as f32 / 10.0]).collect();
        let clean = Clean::from_scores(scores, 2, &decision);
        let labels: Vec<usize> = (0..40).map(|i| usize::from(i >= 20)).collect();
        let report = measure(&facts(), &clean, &labels, &decision, &[], &[]);
        assert!(report.calibration.is_none());
        assert_eq!(value(&report, "m/test/auc"), 1.0);
        assert!(!report.measurements.iter().any(|m| m.metric == "brier"));
    }
}
