//! The table of criteria and verdicts.

use proofmark_schema::system::{Bound, Criterion};

use super::figures::{Located, located, threshold_form, title, value_form};
use super::{Cell, Piece, VerdictRow, quoted, reasons, words};
use crate::assessment::Assessment;
use crate::facts::{At, Fact, FactBook, FactError, Form};
use crate::judge::Verdict;

pub(crate) fn rows(
    assessment: &Assessment,
    book: &mut FactBook,
) -> Result<Vec<VerdictRow>, FactError> {
    let all = located(assessment);
    let mut rows = Vec::new();
    for (index, verdict) in assessment.verdicts.iter().enumerate() {
        rows.push(row(assessment, &all, index, verdict, book)?);
    }
    Ok(rows)
}

fn row(
    assessment: &Assessment,
    all: &[Located<'_>],
    index: usize,
    verdict: &Verdict,
    book: &mut FactBook,
) -> Result<VerdictRow, FactError> {
    let criterion = &verdict.criterion;
    let found = all.iter().find(|l| verdict.measurement.as_deref() == Some(l.m.id.as_str()));
    let figure = match found {
        Some(located) => located.cell(book)?,
        None => vec![words("not measured")],
    };
    let mut facts = Facts { assessment, index, name: &criterion.name, book };
    let mut reason = facts.words("reason", &verdict.reason)?;
    if !verdict.fix.is_empty() {
        reason.extend([Piece::Break, words("next: ")]);
        reason.extend(facts.words("fix", &verdict.fix)?);
    }
    if let Some(rows) = facts.said_if_any("rows_to_decide", Form::Plain)? {
        let after = " rows would decide if the share stayed as it is";
        reason.extend([Piece::Break, rows, words(after)]);
    }
    Ok(VerdictRow {
        name: criterion.name.clone(),
        subject: subject(criterion, &mut facts)?,
        threshold: threshold(criterion, &mut facts)?,
        bounds: bounds(criterion, &mut facts)?,
        figure,
        state: verdict.state,
        reason,
        approval: vec![
            Piece::Declared(criterion.rationale.clone()),
            Piece::Break,
            words("approved by "),
            Piece::Declared(criterion.approver.clone()),
        ],
        registered: assessment.record.registered.clone(),
        exploratory: reasons(
            assessment,
            &format!("verdict/{}/exploratory", criterion.name),
            &format!("/predicate/verdicts/{index}/exploratory"),
            verdict.exploratory.len(),
            book,
        )?,
    })
}

/// Facts of one verdict: what was said about it, and what was planned.
struct Facts<'a, 'b> {
    assessment: &'a Assessment,
    index: usize,
    name: &'a str,
    book: &'b mut FactBook,
}

impl Facts<'_, '_> {
    fn said(&mut self, field: &str, form: Form) -> Result<Cell, FactError> {
        Ok(self.said_if_any(field, form)?.into_iter().collect())
    }

    fn said_if_any(&mut self, field: &str, form: Form) -> Result<Option<Piece>, FactError> {
        let statement = self.assessment.verdict_statement.statement.hex();
        let pointer = format!("/predicate/verdicts/{}/{field}", self.index);
        let id = format!("verdict/{}/{field}", self.name);
        let fact = self.book.fact_if_any(&id, &At::new(&statement, pointer), form)?;
        Ok(fact.map(Piece::Fact))
    }

    fn words(&mut self, field: &str, said: &str) -> Result<Cell, FactError> {
        if said.is_empty() {
            return Ok(Vec::new());
        }
        let statement = self.assessment.verdict_statement.statement.hex();
        let pointer = format!("/predicate/verdicts/{}/{field}", self.index);
        let id = format!("verdict/{}/{field}", self.name);
        Ok(quoted(self.book.words(&id, &At::new(&statement, pointer))?))
    }

    fn planned(&mut self, field: &str, form: Form) -> Result<Fact, FactError> {
        let statement = self.assessment.record.plan.statement.hex();
        let pointer = format!("/predicate/plan/criteria/{}/{field}", self.index);
        let id = format!("criterion/{}/{field}", self.name);
        self.book.fact(&id, &At::new(&statement, pointer), form)
    }
}

fn subject(criterion: &Criterion, facts: &mut Facts<'_, '_>) -> Result<Cell, FactError> {
    let mut cell = vec![title(&criterion.metric)];
    if criterion.quantile.is_some() {
        let quantile = facts.planned("quantile", Form::Plain)?;
        cell.extend([words(" "), Piece::Fact(quantile)]);
    }
    cell.extend([
        words(" of "),
        Piece::Declared(criterion.model.clone()),
        words(" on "),
        Piece::Declared(criterion.data.clone()),
    ]);
    if let Some(threat) = &criterion.threat {
        cell.extend([words(" under "), Piece::Declared(threat.clone())]);
    }
    if criterion.eps.is_some() {
        cell.extend([words(" at budget "), Piece::Fact(facts.planned("eps", Form::Plain)?)]);
    }
    if let Some(fault) = &criterion.fault {
        cell.extend([words(" under the fault "), Piece::Declared(fault.clone())]);
    }
    if criterion.severity.is_some() {
        let severity = facts.planned("severity", Form::Plain)?;
        cell.extend([words(" at severity "), Piece::Fact(severity)]);
    }
    if let Some((feature, value)) = &criterion.group {
        cell.extend([words(", group "), Piece::Declared(format!("{feature} = {value}"))]);
    }
    Ok(cell)
}

fn threshold(criterion: &Criterion, facts: &mut Facts<'_, '_>) -> Result<Cell, FactError> {
    let form = threshold_form(&criterion.metric);
    let (side, field) = match criterion.bound {
        Bound::AtLeast(_) => ("at least ", "bound/at_least"),
        Bound::AtMost(_) => ("at most ", "bound/at_most"),
    };
    Ok(vec![
        words(side),
        Piece::Fact(facts.planned(field, form)?),
        Piece::Break,
        words("confidence "),
        Piece::Fact(facts.planned("confidence", Form::PlainPercent)?),
    ])
}

fn bounds(criterion: &Criterion, facts: &mut Facts<'_, '_>) -> Result<Cell, FactError> {
    let form = value_form(&criterion.metric);
    let (lower, upper) = (facts.said("lower", form)?, facts.said("upper", form)?);
    if lower.is_empty() || upper.is_empty() {
        return Ok(vec![words("none")]);
    }
    let mut cell = vec![words("above ")];
    cell.extend(lower);
    cell.extend([Piece::Break, words("below ")]);
    cell.extend(upper);
    Ok(cell)
}
