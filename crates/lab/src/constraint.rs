//! What holds between the columns of every valid row, evaluated.
//!
//! Owns the binding of declared relations, one-hot groups and costs to the coordinates that an
//! attacker moves, the measure of how far a row breaks them, its slope, and the repair of a
//! candidate. Must never know what a model answers. Called by the harness, which counts no
//! invalid row as a success, by the attacks that aim at valid rows, and for the check of the data.
//!
//! The measure is that of the literature on constrained attacks (Simonetto et al., "A unified
//! framework for adversarial attack and defense in constrained feature space", IJCAI 2022):
//! `|l - r|` for `l = r`, `max(0, l - r)` for `l <= r`, the sum over `and`, the least over `or`.
//! `not` is carried to the comparisons. All in f64, in the unit of the data file.
//!
//! Two sides count as equal when they differ by at most the tolerance times the greatest of 1 and
//! both; `<` and `>` ask for more than that, so that a comparison and its opposite never hold
//! both. A relation about a missing cell is not examined in that row. A side that is no finite
//! number, such as `1 / 0`, breaks the relation.

use proofmark_dataset::table::{Cells, Table};
use proofmark_schema::relation::{Comparison, Function, Operator};
use proofmark_schema::system;

mod bind;
mod measure;
mod repair;
mod slope;

/// The constraints of one threat on one data set, bound to its rows and free coordinates.
#[derive(Clone, Debug)]
pub struct Constraints {
    dims: usize,
    rows: usize,
    rules: Vec<Rule>,
    groups: Vec<Group>,
    definitions: Vec<Definition>,
    tolerance: f64,
    /// Cost per unit of the file, per coordinate.
    prices: Vec<f64>,
    cost_limit: Option<f64>,
    /// Cells of the free coordinates as the file holds them, `rows x dims`.
    raw: Vec<f64>,
    /// Cells of numeric columns that nobody moves, a list each.
    fixed: Vec<Vec<f64>>,
    /// Comparisons of texts, which nobody moves: truth per row, `None` where a cell is missing.
    settled: Vec<Vec<Option<bool>>>,
}

/// A free coordinate, as constraints see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinate {
    /// Feature.
    pub name: String,
    /// Cost per unit of the file; 0 without.
    pub price: f64,
}

/// What constraints are bound to.
pub struct Ground<'a> {
    /// Free coordinates, in order.
    pub coordinates: &'a [Coordinate],
    /// Number of rows.
    pub rows: usize,
    /// Cells of a column by name.
    pub cells: &'a dyn Fn(&str) -> Option<&'a Cells>,
    /// Most that all changes of a row may cost.
    pub cost_limit: Option<f64>,
}

/// Why constraints cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// A column that the table does not hold.
    #[error("relation `{relation}`: the table has no column `{column}`")]
    NoColumn {
        /// Relation.
        relation: String,
        /// Column.
        column: String,
    },
    /// Cells of another type than declared.
    #[error("relation `{relation}`: column `{column}` holds no {wanted}")]
    Type {
        /// Relation.
        relation: String,
        /// Column.
        column: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A feature that several inputs of the model read.
    #[error("`{column}` is read by several inputs of the model, which would move apart")]
    Twice {
        /// Column.
        column: String,
    },
    /// A one-hot group of which a part is free.
    #[error("one-hot group `{group}`: `{column}` cannot be moved, the rest can")]
    Part {
        /// Group.
        group: String,
        /// Column.
        column: String,
    },
}

/// A rule that a row breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The relation or group, as declared.
    pub rule: String,
    /// What was found instead, e.g. `520 <= 500`.
    pub found: String,
    /// How far, by the measure.
    pub violation: f64,
}

#[derive(Clone, Debug)]
struct Rule {
    text: String,
    truth: Truth,
    /// Rows in which a cell that it reads is missing.
    unexamined: Vec<bool>,
}

#[derive(Clone, Debug)]
struct Group {
    name: String,
    coordinates: Vec<usize>,
}

/// `x[coordinate] = value` wherever `when` holds.
#[derive(Clone, Debug)]
struct Definition {
    rule: usize,
    coordinate: usize,
    when: Option<Truth>,
    value: Expr,
}

#[derive(Clone, Debug)]
enum Truth {
    Compare(Comparison, Expr, Expr),
    /// Index into `settled`.
    Settled(usize),
    And(Vec<Truth>),
    Or(Vec<Truth>),
    Not(Box<Truth>),
    If(Box<Truth>, Box<Truth>, Option<Box<Truth>>),
}

#[derive(Clone, Debug)]
enum Expr {
    Number(f64),
    Free(usize),
    /// Index into `fixed`.
    Fixed(usize),
    Minus(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
}

/// A row with the free coordinates of a candidate, in the unit of the file.
#[derive(Clone, Copy)]
struct At<'a> {
    all: &'a Constraints,
    row: usize,
    x: &'a [f64],
}

impl Constraints {
    /// Binds declared constraints.
    ///
    /// # Errors
    /// See [`ConstraintError`].
    pub fn bind(
        declared: &system::Constraints,
        ground: &Ground<'_>,
    ) -> Result<Self, ConstraintError> {
        bind::bind(declared, ground)
    }

    /// Binds what is declared to a table and to the free coordinates of a model; `None` where
    /// nothing is declared.
    ///
    /// # Errors
    /// See [`ConstraintError`].
    pub fn of_table(
        declared: &system::Constraints,
        features: &[system::Feature],
        coordinates: &[String],
        table: &Table,
        cost_limit: Option<f64>,
    ) -> Result<Option<Self>, ConstraintError> {
        let price = |name: &str| features.iter().find(|f| f.name == name)?.cost;
        let each = coordinates
            .iter()
            .map(|name| Coordinate { name: name.clone(), price: price(name).unwrap_or(0.0) });
        let coordinates: Vec<Coordinate> = each.collect();
        let cells = |name: &str| table.column(name).map(|column| &column.cells);
        let ground = Ground { coordinates: &coordinates, rows: table.n, cells: &cells, cost_limit };
        let bound = Self::bind(declared, &ground)?;
        Ok(Some(bound).filter(|bound| !bound.is_empty() || bound.has_prices()))
    }

    /// Whether there is nothing that a candidate could break.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.groups.is_empty() && self.cost_limit.is_none()
    }

    /// Whether a candidate is a valid row: its violation is 0.
    pub fn valid(&self, row: usize, x: &[f32]) -> bool {
        self.violation(row, x) == 0.0
    }

    /// How far a candidate breaks relations, groups and the limit of costs together, each in its
    /// own unit; 0 exactly where it breaks none. Never NaN.
    pub fn violation(&self, row: usize, x: &[f32]) -> f64 {
        self.total(row, &self.values(row, x), false)
    }

    /// As [`Constraints::violation`], with every comparison divided by the greatest of 1 and its
    /// sides, so that columns of large numbers do not drown the others: what a search lowers.
    pub fn violation_relative(&self, row: usize, x: &[f32]) -> f64 {
        self.total(row, &self.values(row, x), true)
    }

    /// Violation of one relation by its index, in its own unit.
    pub fn violation_of(&self, relation: usize, row: usize, x: &[f32]) -> f64 {
        let values = self.values(row, x);
        self.rules.get(relation).map_or(0.0, |rule| self.rule(rule, row, &values, false))
    }

    /// Adds the slope of [`Constraints::violation_relative`] to `out`, per coordinate. Rounding
    /// functions count as the identity, so that they still show a way.
    pub fn slope(&self, row: usize, x: &[f32], out: &mut [f64]) {
        let values = self.values(row, x);
        slope::add(&At { all: self, row, x: &values }, out);
    }

    /// What the changes of a candidate cost.
    pub fn cost(&self, row: usize, x: &[f32]) -> f64 {
        self.spent(row, &self.values(row, x))
    }

    /// Cost of one unit of the file in a coordinate.
    pub fn price(&self, coordinate: usize) -> f64 {
        self.prices.get(coordinate).copied().unwrap_or(0.0)
    }

    /// Whether any coordinate has a cost.
    pub fn has_prices(&self) -> bool {
        self.prices.iter().any(|price| *price > 0.0)
    }

    /// The cell of a free coordinate as the file holds it; NaN where missing.
    pub fn cell(&self, row: usize, coordinate: usize) -> f64 {
        self.raw.get(row * self.dims + coordinate).copied().unwrap_or(f64::NAN)
    }

    /// One-hot groups: name and coordinates.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.groups.iter().map(|g| (g.name.as_str(), g.coordinates.as_slice()))
    }

    /// Number of rows bound.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What a row of the data breaks as it stands, in the order of the declaration.
    pub fn breaches(&self, row: usize) -> Vec<Breach> {
        measure::breaches(self, row)
    }

    /// Rows in which a relation is not examined since a cell is missing.
    pub fn unexamined(&self) -> usize {
        (0..self.rows).filter(|&row| self.rules.iter().any(|r| r.unexamined[row])).count()
    }

    /// Moves wished values onto what the constraints leave: one-hot groups get their greatest
    /// member, `column = formula` is computed, in the order in which they build on each other.
    pub fn repair(&self, row: usize, x: &mut [f64]) {
        repair::repair(self, row, x);
    }

    /// The part of [`Constraints::repair`] that leaves one-hot groups alone: for steps between
    /// rows that are not rounded yet.
    pub fn define(&self, row: usize, x: &mut [f64]) {
        repair::define(self, row, x);
    }

    /// Whether [`Constraints::define`] can change anything.
    pub fn defines(&self) -> bool {
        !self.definitions.is_empty()
    }

    /// Whether [`Constraints::repair`] can change anything.
    pub fn repairs(&self) -> bool {
        !self.definitions.is_empty() || !self.groups.is_empty()
    }

    /// Values in the unit of the file: where a candidate stands still, the cell itself, which
    /// holds more digits than the f32 of the model input.
    fn values(&self, row: usize, x: &[f32]) -> Vec<f64> {
        let cells = &self.raw[row * self.dims..(row + 1) * self.dims];
        let each = x.iter().zip(cells);
        each.map(|(&x, &cell)| if x == cell as f32 { cell } else { f64::from(x) }).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
