//! Measurements of a run, found by what they are about, and turned into facts.
//!
//! Owns the ids of facts and the pointers behind them.

use std::collections::BTreeSet;

use proofmark_schema::duties::{Metric, ShownAs, metrics};
use proofmark_schema::measurement::{Measurement, Quantity};

use super::{Cell, Piece, short, words};
use crate::assessment::Assessment;
use crate::facts::{At, Fact, FactBook, FactError, Form, fact_id};

/// A figure with its interval and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The figure.
    pub value: Fact,
    /// Ends of the two-sided interval.
    pub interval: Option<(Fact, Fact)>,
    /// Successes and rows.
    pub count: Option<(Fact, Fact)>,
    /// What was proved from below.
    pub proved: Option<Fact>,
    /// Rows, where there are no successes to count.
    pub rows: Option<Fact>,
}

/// A measurement and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Located<'a> {
    /// The measurement.
    pub m: &'a Measurement,
    /// Statement digest, hex.
    pub statement: String,
    /// Place in `/predicate/measurements`.
    pub place: usize,
    /// Fact id.
    pub id: String,
}

/// All measurements of a run, in the order of the plan.
pub(crate) fn located(assessment: &Assessment) -> Vec<Located<'_>> {
    let mut all = Vec::new();
    let mut taken = BTreeSet::new();
    for result in &assessment.results {
        for (place, m) in result.said.measurements.iter().enumerate() {
            let statement = result.stored.statement.hex();
            let mut id = m.id.clone();
            if !taken.insert(fact_id(&id)) {
                id = format!("{}/{place}", short(&statement));
            }
            all.push(Located { m, statement, place, id });
        }
    }
    all
}

impl Located<'_> {
    /// A place inside this measurement.
    pub fn at(&self, rest: &str) -> At<'_> {
        At::new(&self.statement, format_args!("/predicate/measurements/{}/{rest}", self.place))
    }

    /// The figure as facts.
    pub fn figure(&self, book: &mut FactBook) -> Result<Figure, FactError> {
        let form = form_of(self.m);
        let (value, has_interval) = match &self.m.quantity {
            Quantity::Estimate { .. } => ("quantity/value", true),
            Quantity::Bracket { .. } => ("quantity/attacked", true),
            Quantity::Exact { .. } => ("quantity/value", false),
            Quantity::Screen { .. } => ("quantity/found", false),
        };
        let mut part = |name: &str, form| {
            let id = format!("{}#{name}", self.id);
            book.fact_if_any(&id, &self.at(&format!("quantity/{name}")), form)
        };
        let (lower, upper) = match has_interval {
            true => (part("lower", form)?, part("upper", form)?),
            false => (None, None),
        };
        let proved = part("proved", form)?;
        let (k, n) = (part("k", Form::Plain)?, part("n", Form::Plain)?);
        let (count, rows) = match (k, n) {
            (Some(k), Some(n)) => (Some((k, n)), None),
            (_, n) => (None, n),
        };
        Ok(Figure {
            value: book.fact(&self.id, &self.at(value), form)?,
            interval: lower.zip(upper),
            proved,
            count,
            rows,
        })
    }

    /// The figure as a cell.
    pub fn cell(&self, book: &mut FactBook) -> Result<Cell, FactError> {
        Ok(vec![Piece::Figure(Box::new(self.figure(book)?))])
    }

    /// The value and the ends of its interval, for a plot.
    pub fn drawn(&self) -> (f64, f64, f64) {
        match &self.m.quantity {
            Quantity::Estimate { value, lower, upper, .. } => (*value, *lower, *upper),
            Quantity::Bracket { attacked, lower, upper, .. } => (*attacked, *lower, *upper),
            other => (other.value(), other.value(), other.value()),
        }
    }

    /// The part of the report it belongs to; empty for a metric we do not know.
    pub fn part(&self) -> &'static str {
        metrics().named(&self.m.metric).map(|m| m.part.as_str()).unwrap_or_default()
    }
}

/// Name of a figure for people: its metric, the quantile, and the unit where it has one of its
/// own.
pub(crate) fn named(located: &Located<'_>, book: &mut FactBook) -> Result<Cell, FactError> {
    let m = located.m;
    let mut cell = vec![title(&m.metric)];
    if m.subject.quantile.is_some() {
        let id = format!("{}#quantile", located.id);
        let quantile = book.fact(&id, &located.at("subject/quantile"), Form::Plain)?;
        cell.extend([words(" "), Piece::Fact(quantile)]);
    }
    if in_label_unit(&m.metric) {
        cell.extend([words(", "), Piece::Declared(m.unit.clone())]);
    }
    Ok(cell)
}

/// Whether a metric is in the unit of the label.
fn in_label_unit(metric: &str) -> bool {
    ["mae", "rmse", "quantile_error", "mean_error", "mae_baseline", "rmse_baseline"]
        .contains(&metric)
}

/// Name of a metric for people.
pub(crate) fn title(metric: &str) -> Piece {
    match metrics().named(metric) {
        Some(Metric { title, .. }) => words(title),
        None => Piece::Code(metric.to_owned()),
    }
}

/// Place of a metric in reports; unknown ones last.
pub(super) fn order(metric: &str) -> usize {
    metrics().metrics.iter().position(|m| m.id == metric).unwrap_or(usize::MAX)
}

/// How a metric's thresholds are printed.
pub(super) fn threshold_form(metric: &str) -> Form {
    match metrics().named(metric).map(|m| m.shown_as) {
        Some(ShownAs::Percent) => Form::PlainPercent,
        _ => Form::Plain,
    }
}

/// How a metric's bounds are printed.
pub(super) fn value_form(metric: &str) -> Form {
    match metrics().named(metric).map(|m| m.shown_as) {
        Some(ShownAs::Percent) => Form::Percent,
        Some(ShownAs::Count) => Form::Plain,
        _ => Form::Number,
    }
}

fn form_of(measurement: &Measurement) -> Form {
    match (metrics().named(&measurement.metric), measurement.unit.as_str()) {
        (Some(_), _) => value_form(&measurement.metric),
        (None, "proportion") => Form::Percent,
        (None, "count") => Form::Plain,
        (None, _) => Form::Number,
    }
}
