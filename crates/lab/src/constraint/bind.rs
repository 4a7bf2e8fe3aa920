//! From declared names to coordinates and cells.
//!
//! Owns the binding. Must never evaluate anything but comparisons of texts, which no attack moves.

use std::collections::BTreeMap;

use proofmark_dataset::table::Cells;
use proofmark_schema::relation::{Comparison, Formula, Operator, Term};
use proofmark_schema::system;

use super::{ConstraintError, Constraints, Definition, Expr, Ground, Group, Rule, Truth};

pub(super) fn bind(
    declared: &system::Constraints,
    ground: &Ground<'_>,
) -> Result<Constraints, ConstraintError> {
    let mut binder = Binder {
        ground,
        relation: String::new(),
        fixed: Vec::new(),
        places: BTreeMap::new(),
        settled: Vec::new(),
        missing: Vec::new(),
    };
    let mut rules = Vec::new();
    for relation in &declared.relations {
        binder.relation = relation.text().to_owned();
        binder.missing = vec![false; ground.rows];
        let truth = binder.truth(relation.formula())?;
        let unexamined = std::mem::take(&mut binder.missing);
        rules.push(Rule { text: relation.text().to_owned(), truth, unexamined });
    }
    let mut groups = Vec::new();
    for group in &declared.one_hot {
        match binder.group(group)? {
            Some(group) => groups.push(group),
            None => rules.push(binder.held_group(group)?),
        }
    }
    let dims = ground.coordinates.len();
    let mut raw = vec![f64::NAN; ground.rows * dims];
    for (at, coordinate) in ground.coordinates.iter().enumerate() {
        if let Some(Cells::Numbers(cells)) = (ground.cells)(&coordinate.name) {
            for (row, &cell) in cells.iter().enumerate().take(ground.rows) {
                raw[row * dims + at] = cell;
            }
        }
    }
    let mut definitions = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        define(index, &rule.truth, None, &mut definitions);
    }
    Ok(Constraints {
        dims,
        rows: ground.rows,
        rules,
        groups,
        definitions,
        tolerance: declared.tolerance,
        prices: ground.coordinates.iter().map(|c| c.price).collect(),
        cost_limit: ground.cost_limit,
        raw,
        fixed: binder.fixed,
        settled: binder.settled,
    })
}

/// Equalities that say what a free coordinate must be.
fn define(rule: usize, truth: &Truth, when: Option<&Truth>, out: &mut Vec<Definition>) {
    match truth {
        Truth::And(parts) => parts.iter().for_each(|part| define(rule, part, when, out)),
        Truth::If(condition, then, otherwise) if when.is_none() => {
            define(rule, then, Some(condition), out);
            if let Some(otherwise) = otherwise {
                let not = Truth::Not(condition.clone());
                define(rule, otherwise, Some(&not), out);
            }
        }
        Truth::Compare(Comparison::Equal, left, right) => {
            for (target, value) in [(left, right), (right, left)] {
                let Expr::Free(coordinate) = *target else { continue };
                // A column has one definition: the first.
                let taken = out.iter().any(|d| d.coordinate == coordinate && d.when.is_none());
                if !value.reads(coordinate) && !taken {
                    let (when, value) = (when.cloned(), value.clone());
                    out.push(Definition { rule, coordinate, when, value });
                    return;
                }
            }
        }
        _ => {}
    }
}

impl Expr {
    fn reads(&self, coordinate: usize) -> bool {
        match self {
            Self::Number(_) | Self::Fixed(_) => false,
            Self::Free(at) => *at == coordinate,
            Self::Minus(inner) => inner.reads(coordinate),
            Self::Binary(_, left, right) => left.reads(coordinate) || right.reads(coordinate),
            Self::Call(_, arguments) => arguments.iter().any(|a| a.reads(coordinate)),
        }
    }
}

struct Binder<'g, 'a> {
    ground: &'g Ground<'a>,
    relation: String,
    fixed: Vec<Vec<f64>>,
    /// Where a column lies in `fixed`.
    places: BTreeMap<String, usize>,
    settled: Vec<Vec<Option<bool>>>,
    /// Rows of the relation at hand in which a cell is missing.
    missing: Vec<bool>,
}

impl<'a> Binder<'_, 'a> {
    fn truth(&mut self, formula: &Formula) -> Result<Truth, ConstraintError> {
        let all = |binder: &mut Self, parts: &[Formula]| -> Result<Vec<Truth>, ConstraintError> {
            parts.iter().map(|part| binder.truth(part)).collect()
        };
        Ok(match formula {
            Formula::And(parts) => Truth::And(all(self, parts)?),
            Formula::Or(parts) => Truth::Or(all(self, parts)?),
            Formula::Not(inner) => Truth::Not(Box::new(self.truth(inner)?)),
            Formula::If { when, then, otherwise } => {
                let (when, then) = (Box::new(self.truth(when)?), Box::new(self.truth(then)?));
                let otherwise = match otherwise {
                    Some(otherwise) => Some(Box::new(self.truth(otherwise)?)),
                    None => None,
                };
                Truth::If(when, then, otherwise)
            }
            Formula::Compare { how, left, right } => {
                if self.is_text(left) || self.is_text(right) {
                    return self.texts(*how, left, right);
                }
                Truth::Compare(*how, self.number(left)?, self.number(right)?)
            }
        })
    }

    fn is_text(&self, term: &Term) -> bool {
        match term {
            Term::Text(_) => true,
            Term::Column(name) => {
                matches!((self.ground.cells)(&name.text), Some(Cells::Texts(_)))
            }
            _ => false,
        }
    }

    fn texts(
        &mut self,
        how: Comparison,
        left: &Term,
        right: &Term,
    ) -> Result<Truth, ConstraintError> {
        let (a, b) = (self.text_cells(left)?, self.text_cells(right)?);
        let mut truths = Vec::with_capacity(self.ground.rows);
        for row in 0..self.ground.rows {
            let truth = match (a.at(row), b.at(row)) {
                (Some(a), Some(b)) => Some((a == b) == (how == Comparison::Equal)),
                _ => None,
            };
            self.missing[row] |= truth.is_none();
            truths.push(truth);
        }
        self.settled.push(truths);
        Ok(Truth::Settled(self.settled.len() - 1))
    }

    fn text_cells<'t>(&self, term: &'t Term) -> Result<Side<'t>, ConstraintError>
    where
        'a: 't,
    {
        match term {
            Term::Text(text) => Ok(Side::Same(text)),
            Term::Column(name) => match self.cells(&name.text)? {
                Cells::Texts(cells) => Ok(Side::Each(cells)),
                Cells::Numbers(_) => Err(self.wrong(&name.text, "texts")),
            },
            _ => Err(self.wrong("", "texts")),
        }
    }

    fn number(&mut self, term: &Term) -> Result<Expr, ConstraintError> {
        Ok(match term {
            Term::Number(number) => Expr::Number(*number),
            Term::Text(text) => return Err(self.wrong(text, "numbers")),
            Term::Column(name) => self.column(&name.text)?,
            Term::Minus(inner) => Expr::Minus(Box::new(self.number(inner)?)),
            Term::Binary(operator, left, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Expr::Binary(*operator, Box::new(left), Box::new(right))
            }
            Term::Call(function, arguments) => {
                let arguments = arguments.iter().map(|a| self.number(a));
                Expr::Call(*function, arguments.collect::<Result<_, _>>()?)
            }
        })
    }

    fn column(&mut self, name: &str) -> Result<Expr, ConstraintError> {
        let Cells::Numbers(cells) = self.cells(name)? else {
            return Err(self.wrong(name, "numbers"));
        };
        for (missing, cell) in self.missing.iter_mut().zip(cells) {
            *missing |= cell.is_nan();
        }
        if let Some(at) = self.coordinate(name)? {
            return Ok(Expr::Free(at));
        }
        if let Some(at) = self.places.get(name) {
            return Ok(Expr::Fixed(*at));
        }
        self.fixed.push(cells.clone());
        self.places.insert(name.to_owned(), self.fixed.len() - 1);
        Ok(Expr::Fixed(self.fixed.len() - 1))
    }

    fn coordinate(&self, name: &str) -> Result<Option<usize>, ConstraintError> {
        let mut found = (0..self.ground.coordinates.len())
            .filter(|&at| self.ground.coordinates[at].name == name);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(ConstraintError::Twice { column: name.to_owned() }),
            (first, _) => Ok(first),
        }
    }

    /// A group that nobody moves, as a relation of the data: its flags add up to 1.
    fn held_group(&mut self, group: &system::OneHot) -> Result<Rule, ConstraintError> {
        self.relation = format!("one_hot.{}", group.name);
        self.missing = vec![false; self.ground.rows];
        let mut sum = Expr::Number(0.0);
        for column in &group.columns {
            let column = self.column(column)?;
            sum = Expr::Binary(Operator::Add, Box::new(sum), Box::new(column));
        }
        let truth = Truth::Compare(Comparison::Equal, sum, Expr::Number(1.0));
        let unexamined = std::mem::take(&mut self.missing);
        Ok(Rule { text: self.relation.clone(), truth, unexamined })
    }

    /// `None` for a group that nobody moves.
    fn group(&self, group: &system::OneHot) -> Result<Option<Group>, ConstraintError> {
        let mut coordinates = Vec::new();
        let mut held = None;
        for column in &group.columns {
            match self.coordinate(column)? {
                Some(at) => coordinates.push(at),
                None => held = Some(column.clone()),
            }
        }
        match held {
            None => Ok(Some(Group { name: group.name.clone(), coordinates })),
            Some(_) if coordinates.is_empty() => Ok(None),
            Some(column) => Err(ConstraintError::Part { group: group.name.clone(), column }),
        }
    }

    fn cells(&self, name: &str) -> Result<&'a Cells, ConstraintError> {
        (self.ground.cells)(name).ok_or_else(|| ConstraintError::NoColumn {
            relation: self.relation.clone(),
            column: name.to_owned(),
        })
    }

    fn wrong(&self, column: &str, wanted: &'static str) -> ConstraintError {
        let (relation, column) = (self.relation.clone(), column.to_owned());
        ConstraintError::Type { relation, column, wanted }
    }
}

/// Texts of a side, the same for all rows or one for each.
enum Side<'a> {
    Same(&'a str),
    Each(&'a [Option<String>]),
}

impl Side<'_> {
    fn at(&self, row: usize) -> Option<&str> {
        match self {
            Self::Same(text) => Some(text),
            Self::Each(cells) => cells.get(row)?.as_deref(),
        }
    }
}
