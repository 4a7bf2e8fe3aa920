//! Faults of tables: what goes wrong in forms, feeds and joins.
//!
//! Owns which cells are hit and the registry of kinds. A cell is hit where a uniform draw of its
//! row and column lies below the share of the severity: the draw does not depend on the severity,
//! so what a severity hits a stronger one hits as well. Must never look at labels or at the model.
//! Called by `assess`'s runner and by `attack`.

mod beyond;
mod category_swap;
mod extreme;
mod missing;
mod noise;
mod stale;
mod unit_swap;
mod unknown_category;

use std::collections::BTreeMap;
use std::sync::Arc;

use proofmark_dataset::table::{Cells, Column, Table};
use proofmark_schema::system::{Feature, FeatureKind};

use super::Level;
use crate::stream::Stream;

/// A kind of fault.
pub trait TableFault: Sync {
    /// Name in declarations.
    fn id(&self) -> &'static str;
    /// What happens, in one sentence.
    fn means(&self) -> &'static str;
    /// Raised when the same severity sets something else than before.
    fn edition(&self) -> u32 {
        1
    }
    /// Whether it is set on single cells or on whole rows (all chosen columns of a row at once).
    fn scope(&self) -> Scope {
        Scope::Cell
    }
    /// Severity 1 to 5, ascending.
    fn level(&self, severity: u8, factor: f64) -> Level;
    /// Whether cells of this column can be hit.
    fn fits(&self, feature: &Feature) -> bool;
    /// The cell after the fault; `None` where it stays as it is.
    fn cell(&self, spot: &Spot<'_>, stream: &mut Stream) -> Option<Cell>;
}

/// What is hit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each cell by its own draw.
    Cell,
    /// All chosen cells of a row by one draw.
    Row,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number; NaN where missing.
    Number(f64),
    /// A text; `None` where missing.
    Text(Option<String>),
}

/// Where a fault is set.
pub struct Spot<'a> {
    /// The declared feature.
    pub feature: &'a Feature,
    /// The cell as read.
    pub cell: Cell,
    /// The same cell of the row before; `None` in the first row.
    pub before: Option<Cell>,
    /// Strength of the severity.
    pub strength: f64,
    /// Standard deviation of the column, in the unit of the file; 0 where it has none.
    pub deviation: f64,
    /// Lowest and highest value: the declared bounds, else what was seen.
    pub range: [f64; 2],
}

/// A fault on a table, ready to be set.
pub struct Setting<'a> {
    /// Kind.
    pub fault: &'static dyn TableFault,
    /// The clean table.
    pub table: &'a Table,
    /// Declared features.
    pub features: &'a [Feature],
    /// Columns that are hit, by name.
    pub columns: Vec<String>,
    /// Standard deviation and seen range per numeric column.
    pub spreads: Arc<BTreeMap<String, Spread>>,
    /// Factor of a swapped unit.
    pub factor: f64,
    /// Seed of the run.
    pub seed: u64,
    /// Probe, keys the draws.
    pub probe: &'a str,
}

/// Spread of a numeric column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Standard deviation.
    pub deviation: f64,
    /// Lowest value seen.
    pub lowest: f64,
    /// Highest value seen.
    pub highest: f64,
}

/// A table after a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Faulted {
    /// The table; rows in the order of the clean one.
    pub table: Table,
    /// Whether any cell of the row differs from the clean one.
    pub changed: Vec<bool>,
}

impl Setting<'_> {
    /// The table at `severity`; severity 0 gives the clean one.
    pub fn at(&self, severity: u8) -> Faulted {
        let mut table = self.table.clone();
        let mut changed = vec![false; table.n];
        if severity == 0 {
            return Faulted { table, changed };
        }
        let level = self.fault.level(severity, self.factor);
        for (clean, column) in self.table.columns.iter().zip(&mut table.columns) {
            let Some(feature) = self.features.iter().find(|f| f.name == clean.name) else {
                continue;
            };
            if !self.columns.contains(&clean.name) || !self.fault.fits(feature) {
                continue;
            }
            for (row, hit) in changed.iter_mut().enumerate() {
                *hit |= self.hit(clean, column, feature, row, &level);
            }
        }
        Faulted { table, changed }
    }

    /// Sets the fault on one cell; whether that changed it.
    fn hit(
        &self,
        clean: &Column,
        column: &mut Column,
        feature: &Feature,
        row: usize,
        level: &Level,
    ) -> bool {
        let part = match self.fault.scope() {
            Scope::Cell => format!("fault/{}/{}", self.fault.id(), clean.name),
            Scope::Row => format!("fault/{}", self.fault.id()),
        };
        let mut stream = Stream::new(self.seed, self.probe, &part, 0, row as u64);
        if stream.unit() >= level.share {
            return false;
        }
        let spread = self.spreads.get(&clean.name).copied().unwrap_or_default();
        let cell = cell_of(clean, row);
        let spot = Spot {
            feature,
            cell: cell.clone(),
            before: row.checked_sub(1).map(|before| cell_of(clean, before)),
            strength: level.strength,
            deviation: spread.deviation,
            range: feature.bounds.unwrap_or([spread.lowest, spread.highest]),
        };
        match self.fault.cell(&spot, &mut stream) {
            Some(new) if !same(&new, &cell) => {
                put(column, row, new);
                true
            }
            _ => false,
        }
    }
}

/// The kind of that name.
pub fn named(kind: &str) -> Option<&'static dyn TableFault> {
    REGISTRY.iter().copied().find(|fault| fault.id() == kind)
}

/// Names of the columns a fault hits: those asked for, else every input column that it fits.
pub fn columns(fault: &dyn TableFault, features: &[Feature], asked: &[String]) -> Vec<String> {
    let chosen = features.iter().filter(|f| f.input && fault.fits(f));
    let chosen = chosen.filter(|f| asked.is_empty() || asked.contains(&f.name));
    chosen.map(|f| f.name.clone()).collect()
}

fn cell_of(column: &Column, row: usize) -> Cell {
    match &column.cells {
        Cells::Numbers(numbers) => Cell::Number(numbers[row]),
        Cells::Texts(texts) => Cell::Text(texts[row].clone()),
    }
}

fn put(column: &mut Column, row: usize, cell: Cell) {
    match (&mut column.cells, cell) {
        (Cells::Numbers(numbers), Cell::Number(number)) => numbers[row] = number,
        (Cells::Texts(texts), Cell::Text(text)) => texts[row] = text,
        // A fault answers in the type it was asked in.
        _ => {}
    }
}

fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}

/// A number as its feature stores it: whole where the feature is.
fn stored(feature: &Feature, value: f64) -> f64 {
    if feature.kind == FeatureKind::Integer { value.round_ties_even() } else { value }
}

fn is_number(feature: &Feature) -> bool {
    matches!(feature.kind, FeatureKind::Number | FeatureKind::Integer)
}

fn is_category(feature: &Feature) -> bool {
    let kind =
        matches!(feature.kind, FeatureKind::Category | FeatureKind::Ordinal | FeatureKind::Boolean);
    kind && feature.values.len() > 1
}

/// A severity that is a share of the cells (or rows) hit.
fn by_share(severity: u8, strength: f64, what: &str) -> Level {
    let share = SHARES[usize::from(severity.clamp(1, 5)) - 1];
    Level { share, strength, words: format!("{} % of the {what}", share * 100.0) }
}

/// Shares hit by severity: from what a bad week brings to half of all.
const SHARES: [f64; 5] = [0.05, 0.1, 0.2, 0.35, 0.5];

/// Every kind, in the order of the docs.
pub static REGISTRY: [&dyn TableFault; 8] = [
    &noise::Noise,
    &missing::Missing,
    &extreme::Extreme,
    &beyond::Beyond,
    &unit_swap::UnitSwap,
    &stale::Stale,
    &category_swap::CategorySwap,
    &unknown_category::UnknownCategory,
];

#[cfg(test)]
mod tests;
