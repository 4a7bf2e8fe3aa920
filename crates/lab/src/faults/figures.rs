//! From decisions with and without a fault to figures.
//!
//! Owns what is told of each severity: accuracy, changed decisions, the drop row by row, the error
//! relative to the clean one, the class and the group hit worst. Every comparison is with the same
//! model on the same rows: no other model's error is a yardstick. A row without a decision (NaN)
//! counts as wrong. Must never set a fault. Called by `assess`'s runner and by `attack`.

use proofmark_schema::faults::{
    FORMAT, FaultReport, Member, PartDrop, Pooled, Ranged, SeverityFigures,
};
use proofmark_schema::measurement::{Measurement, Method, Quantity, Validity};

use crate::facts::{About, Facts, GROUP_MIN, Group};
use crate::harness::Clean;
use crate::stats::{
    Interval, Paired, bounded_mean, clopper_pearson, mcnemar, paired_ratio, quantile,
};
use crate::stream::Stream;

/// What a fault is set on, and what the model decides without it.
pub struct Sheet<'a> {
    /// Shared facts.
    pub facts: &'a Facts,
    /// Clean answers.
    pub clean: &'a Clean,
    /// Class index per row.
    pub labels: &'a [usize],
    /// Groups of the rows.
    pub groups: &'a [Group],
    /// Checks of the set-up.
    pub validity: &'a [Validity],
    /// Name in the declaration, or the kind.
    pub fault: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Edition of the kind.
    pub edition: u32,
}

/// One member (corruption, column, or the fault itself) under all severities.
pub struct Series {
    /// Corruption or column.
    pub name: Option<String>,
    /// What it does.
    pub means: String,
    /// By severity, ascending.
    pub outcomes: Vec<Outcome>,
}

/// What the model decided under one severity.
pub struct Outcome {
    /// 1 to 5.
    pub severity: u8,
    /// How strong, in words.
    pub strength: String,
    /// Rows that the fault changed.
    pub changed: Vec<bool>,
    /// Rows that the declared form refuses; tables only.
    pub refused: Option<Vec<bool>>,
    /// Decision per row.
    pub decisions: Vec<Option<usize>>,
}

/// Figures and the report behind them.
pub struct Figures {
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// The report.
    pub report: FaultReport,
}

/// All figures of one fault.
pub fn measure(sheet: &Sheet<'_>, series: &[Series]) -> Figures {
    let mut measurements = Vec::new();
    for one in series {
        sheet.of_member(one, series.len() > 1, &mut measurements);
    }
    let pooled = if series.len() > 1 { sheet.pooled(series) } else { Vec::new() };
    for at in &pooled {
        sheet.of_pooled(at, &mut measurements);
    }
    let corruption_error = sheet.corruption_error(series);
    if let Some(error) = corruption_error {
        let quantity = sheet.ranged(error, BOOTSTRAP, sheet.n());
        measurements.push(sheet.figure("corruption_error", "ratio", sheet.fault, None, quantity));
    }
    let mut report = sheet.report();
    report.members = series.iter().map(|one| sheet.member(one)).collect();
    report.pooled = pooled;
    report.corruption_error = corruption_error;
    Figures { measurements, report }
}

/// Id and edition of the method.
pub fn method(kind: &str, edition: u32) -> Method {
    Method { id: format!("fault/{kind}"), edition }
}

impl Sheet<'_> {
    /// A report without figures.
    pub fn report(&self) -> FaultReport {
        FaultReport {
            format: FORMAT.to_owned(),
            fault: self.fault.to_owned(),
            kind: self.kind.to_owned(),
            edition: self.edition,
            model: self.facts.model.clone(),
            data: self.facts.data.clone(),
            n: self.n(),
            correct: self.clean.correct(self.labels) as u64,
            confidence: self.facts.confidence,
            seed: self.facts.seed,
            engine: self.facts.engine.clone(),
            assets: self.facts.assets.clone(),
            members: Vec::new(),
            pooled: Vec::new(),
            corruption_error: None,
            bits: Vec::new(),
            availability: None,
            validity: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A figure about `fault`, or a member of it.
    pub fn figure(
        &self,
        metric: &str,
        unit: &str,
        fault: &str,
        severity: Option<u8>,
        quantity: Quantity,
    ) -> Measurement {
        let about = About { fault: Some(fault), severity, ..About::default() };
        self.about(metric, unit, about, quantity)
    }

    fn about(&self, metric: &str, unit: &str, about: About<'_>, quantity: Quantity) -> Measurement {
        let method = method(self.kind, self.edition);
        self.facts.measurement(metric, unit, about, quantity, &method, self.validity)
    }

    fn n(&self) -> u64 {
        self.labels.len() as u64
    }

    fn right(&self, row: usize) -> bool {
        self.clean.decision(row) == Some(self.labels[row])
    }

    fn right_under(&self, outcome: &Outcome, row: usize) -> bool {
        outcome.decisions[row] == Some(self.labels[row])
    }

    fn flipped(&self, outcome: &Outcome, row: usize) -> bool {
        outcome.decisions[row] != self.clean.decision(row)
    }

    fn count(&self, mut wanted: impl FnMut(usize) -> bool) -> u64 {
        (0..self.labels.len()).filter(|&row| wanted(row)).count() as u64
    }

    /// Rows by right without and under the fault.
    fn paired(&self, outcome: &Outcome, rows: impl Iterator<Item = usize>) -> Paired {
        Paired::of(rows.map(|row| (self.right(row), self.right_under(outcome, row))))
    }

    /// Rows by wrong without and under the fault.
    fn errors(&self, outcome: &Outcome) -> Paired {
        let all = 0..self.labels.len();
        Paired::of(all.map(|row| (!self.right(row), !self.right_under(outcome, row))))
    }

    fn member(&self, one: &Series) -> Member {
        let levels = one.outcomes.iter().map(|outcome| self.level(outcome)).collect();
        Member { name: one.name.clone(), means: one.means.clone(), levels }
    }

    fn level(&self, outcome: &Outcome) -> SeverityFigures {
        let confidence = self.facts.confidence;
        let all = self.paired(outcome, 0..self.labels.len());
        let correct = all.both + all.second;
        let caught = |refused: &Vec<bool>| self.count(|r| outcome.changed[r] && refused[r]);
        SeverityFigures {
            severity: outcome.severity,
            strength: outcome.strength.clone(),
            changed: self.count(|row| outcome.changed[row]),
            caught: outcome.refused.as_ref().map(caught),
            correct,
            flipped: self.count(|row| self.flipped(outcome, row)),
            undecided: self.count(|row| outcome.decisions[row].is_none()),
            accuracy: share(correct, self.n(), confidence),
            drop: with(all.difference(), all.newcombe(confidence)),
            mcnemar: mcnemar(all.first, all.second),
            relative_error: paired_ratio(&self.errors(outcome), confidence)
                .map(|(value, interval)| with(value, interval))
                .filter(|ratio| ratio.upper.is_finite()),
            worst_class: worst(self.classes(), |rows| self.part(outcome, rows)),
            worst_group: worst(self.large_groups(), |rows| self.part(outcome, rows)),
        }
    }

    fn classes(&self) -> Vec<(String, Vec<usize>)> {
        let of = |class: usize| {
            (0..self.labels.len()).filter(|&row| self.labels[row] == class).collect::<Vec<_>>()
        };
        let each = self.facts.classes.iter().enumerate().map(|(at, name)| (name.clone(), of(at)));
        each.filter(|(_, rows)| rows.len() >= GROUP_MIN).collect()
    }

    fn large_groups(&self) -> Vec<(String, Vec<usize>)> {
        let large = self.groups.iter().filter(|g| g.rows.len() >= GROUP_MIN);
        large.map(|g| (format!("{}={}", g.feature, g.value), g.rows.clone())).collect()
    }

    fn part(&self, outcome: &Outcome, rows: &[usize]) -> PartDrop {
        let counts = self.paired(outcome, rows.iter().copied());
        let n = counts.n().max(1) as f64;
        PartDrop {
            part: String::new(),
            n: counts.n(),
            clean: (counts.both + counts.first) as f64 / n,
            faulted: (counts.both + counts.second) as f64 / n,
            drop: with(counts.difference(), counts.newcombe(self.facts.confidence)),
        }
    }

    /// Measurements of one member; of many only what a criterion asks for.
    fn of_member(&self, one: &Series, many: bool, out: &mut Vec<Measurement>) {
        let name = match &one.name {
            Some(name) => format!("{}/{name}", self.fault),
            None => self.fault.to_owned(),
        };
        let last = one.outcomes.len().saturating_sub(1);
        for (at, outcome) in one.outcomes.iter().enumerate() {
            let level = self.level(outcome);
            let severity = Some(level.severity);
            let mut add = |metric: &str, unit: &str, quantity: Quantity| {
                out.push(self.figure(metric, unit, &name, severity, quantity));
            };
            let n = self.n();
            add("accuracy_under_fault", "proportion", self.facts.share(level.correct, n));
            if many {
                continue;
            }
            add("decision_flips_under_fault", "proportion", self.facts.share(level.flipped, n));
            let drop = self.ranged(level.drop, "newcombe-paired", n);
            add("accuracy_drop_under_fault", "proportion", drop);
            if let Some(error) = level.relative_error {
                let ratio = self.ranged(error, "bonett-price-paired", n);
                add("relative_error_under_fault", "ratio", ratio);
            }
            if let Some(caught) = level.caught.filter(|_| level.changed > 0) {
                let silent = self.facts.share(level.changed - caught, level.changed);
                add("fault_passes_form", "proportion", silent);
            }
            if level.undecided > 0 {
                let undecided = self.facts.share(level.undecided, n);
                add("undecided_under_fault", "proportion", undecided);
            }
            if at == last {
                self.of_parts(&name, outcome, out);
            }
        }
    }

    /// Per class and per group at the strongest severity.
    fn of_parts(&self, name: &str, outcome: &Outcome, out: &mut Vec<Measurement>) {
        let severity = Some(outcome.severity);
        let about = About { fault: Some(name), severity, ..About::default() };
        let mut add = |about: About<'_>, rows: &[usize]| {
            let right = rows.iter().filter(|&&r| self.right_under(outcome, r)).count() as u64;
            let quantity = self.facts.share(right, rows.len() as u64);
            out.push(self.about("accuracy_under_fault", "proportion", about, quantity));
        };
        for class in 0..self.facts.classes.len() {
            let rows: Vec<usize> =
                (0..self.labels.len()).filter(|&r| self.labels[r] == class).collect();
            if rows.len() >= GROUP_MIN {
                add(About { class: Some(class), ..about }, &rows);
            }
        }
        for group in self.groups.iter().filter(|g| g.rows.len() >= GROUP_MIN) {
            add(About { group: Some(group), ..about }, &group.rows);
        }
    }

    fn pooled(&self, series: &[Series]) -> Vec<Pooled> {
        let severities = series.first().map_or(0, |one| one.outcomes.len());
        (0..severities).filter_map(|at| self.pooled_at(series, at)).collect()
    }

    fn pooled_at(&self, series: &[Series], at: usize) -> Option<Pooled> {
        let outcomes: Vec<&Outcome> = series.iter().filter_map(|s| s.outcomes.get(at)).collect();
        let mean = |wanted: &dyn Fn(&Outcome, usize) -> bool| -> Vec<f64> {
            let of = |row: usize| outcomes.iter().filter(|o| wanted(o, row)).count() as f64;
            (0..self.labels.len()).map(|row| of(row) / outcomes.len() as f64).collect()
        };
        let confidence = self.facts.confidence;
        let right = mean(&|outcome, row| self.right_under(outcome, row));
        let (accuracy, bounds) = bounded_mean(&right, 1.0, confidence)?;
        let (flips, of_flips) = bounded_mean(&mean(&|o, r| self.flipped(o, r)), 1.0, confidence)?;
        let severity = outcomes.first()?.severity;
        let wrong: Vec<f64> = right.iter().map(|share| 1.0 - share).collect();
        let relative_error = self.over_clean(&wrong, &format!("severity {severity}"));
        let (accuracy, flipped) = (with(accuracy, bounds), with(flips, of_flips));
        Some(Pooled { severity, accuracy, flipped, relative_error })
    }

    fn of_pooled(&self, at: &Pooled, out: &mut Vec<Measurement>) {
        let severity = Some(at.severity);
        for (metric, ranged) in
            [("accuracy_under_fault", at.accuracy), ("decision_flips_under_fault", at.flipped)]
        {
            let quantity = self.ranged(ranged, ROW_MEANS, self.n());
            out.push(self.figure(metric, "proportion", self.fault, severity, quantity));
        }
        if let Some(error) = at.relative_error {
            let quantity = self.ranged(error, BOOTSTRAP, self.n());
            let metric = "relative_error_under_fault";
            out.push(self.figure(metric, "ratio", self.fault, severity, quantity));
        }
    }

    /// Mean error over members and severities, relative to the clean error.
    fn corruption_error(&self, series: &[Series]) -> Option<Ranged> {
        let all: Vec<&Outcome> = series.iter().flat_map(|one| &one.outcomes).collect();
        if all.is_empty() {
            return None;
        }
        let wrong = |row: usize| all.iter().filter(|o| !self.right_under(o, row)).count() as f64;
        let rows: Vec<f64> = (0..self.labels.len()).map(|r| wrong(r) / all.len() as f64).collect();
        self.over_clean(&rows, "corruption error")
    }

    /// Mean of `wrong` over the clean error, with a percentile interval over resampled rows.
    fn over_clean(&self, wrong: &[f64], part: &str) -> Option<Ranged> {
        let clean: Vec<f64> =
            (0..wrong.len()).map(|r| if self.right(r) { 0.0 } else { 1.0 }).collect();
        let errors: f64 = clean.iter().sum();
        if errors == 0.0 {
            return None;
        }
        let value = wrong.iter().sum::<f64>() / errors;
        let mut ratios = Vec::with_capacity(RESAMPLES);
        for draw in 0..RESAMPLES {
            let mut stream = Stream::new(self.facts.seed, self.fault, part, 0, draw as u64);
            let (mut above, mut below) = (0.0, 0.0);
            for _ in 0..wrong.len() {
                let row = stream.below(wrong.len());
                above += wrong[row];
                below += clean[row];
            }
            ratios.push(if below > 0.0 { above / below } else { f64::INFINITY });
        }
        let tail = 0.5 * (1.0 - self.facts.confidence);
        let (lower, upper) = (quantile(&ratios, tail)?, quantile(&ratios, 1.0 - tail)?);
        upper.is_finite().then_some(Ranged { value, lower, upper })
    }

    /// A figure with an interval that is no exact one of a share.
    pub fn ranged(&self, figure: Ranged, method: &str, n: u64) -> Quantity {
        Quantity::Estimate {
            value: figure.value,
            lower: figure.lower,
            upper: figure.upper,
            confidence: self.facts.confidence,
            method: method.to_owned(),
            k: None,
            n,
            one_sided: Vec::new(),
        }
    }
}

/// A share with its exact interval.
pub(super) fn share(k: u64, n: u64, confidence: f64) -> Ranged {
    let value = if n == 0 { 0.0 } else { k as f64 / n as f64 };
    with(value, clopper_pearson(k, n, confidence))
}

fn with(value: f64, interval: Interval) -> Ranged {
    Ranged { value, lower: interval.lower, upper: interval.upper }
}

/// The part with the greatest drop; the first of equal ones.
fn worst(
    parts: Vec<(String, Vec<usize>)>,
    figures: impl Fn(&[usize]) -> PartDrop,
) -> Option<PartDrop> {
    let drops = parts.into_iter().map(|(part, rows)| PartDrop { part, ..figures(&rows) });
    drops.reduce(|a, b| if b.drop.value > a.drop.value { b } else { a })
}

/// Resampled sets of rows behind an interval of a ratio of means (Efron and Tibshirani 1993).
const RESAMPLES: usize = 1000;
const BOOTSTRAP: &str = "bootstrap-rows";
const ROW_MEANS: &str = "normal-of-row-means";
