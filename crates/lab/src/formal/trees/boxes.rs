//! An ensemble as leaf boxes: for each tree, boxes of cells that do not overlap, each with what
//! its leaf adds to the margins.
//!
//! Owns the form and its limits. What the boxes say is what the trees say: nothing is rounded or
//! dropped but leaves that no row can reach. Must never take an ensemble whose leaves do not add
//! up: those are refused by name. Called by [`super`].

use proofmark_engine::trees::{Ensemble, Join, Missing, Output, Place, Tree};

use super::TreesError;
use super::cells::{self, Column, Run, meet};

/// The leaf boxes of an ensemble.
#[derive(Clone, Debug)]
pub struct Boxes {
    /// Columns asked about, ascending.
    pub(super) columns: Vec<Column>,
    /// Where the boxes of each tree begin, and the end.
    pub(super) trees: Vec<u32>,
    /// Where the sides of each box begin, and the end.
    pub(super) starts: Vec<u32>,
    pub(super) sides: Vec<Side>,
    /// What each box adds, `outputs` long each.
    pub(super) values: Vec<f64>,
    /// Margins of a row that no tree adds to.
    pub(super) base: Vec<f64>,
    pub(super) outputs: usize,
    /// Leaves, each counted once.
    leaves: usize,
}

/// What a box asks of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Side {
    /// Place in [`Boxes::columns`].
    pub column: u32,
    /// First cell; above `high` where only a missing value leads here.
    pub low: u32,
    /// Last cell.
    pub high: u32,
    /// Whether a missing value leads here.
    pub missing: bool,
}

/// A column on the way to a leaf.
#[derive(Clone, Debug)]
struct Step {
    column: u32,
    runs: Vec<Run>,
    missing: bool,
}

impl Boxes {
    /// The boxes of a checked ensemble.
    ///
    /// # Errors
    /// An ensemble that fails its checks, that joins leaves otherwise than by adding, or whose
    /// boxes exceed [`BOXES_MAX`].
    pub fn new(ensemble: &Ensemble) -> Result<Self, TreesError> {
        ensemble.compile().map_err(|e| TreesError::Broken { reason: e.to_string() })?;
        let share = match ensemble.join {
            Join::Sum => 1.0,
            Join::Average(n) => f64::from(n),
            Join::Min | Join::Max => {
                let what = "the least or greatest of its leaves".to_string();
                return Err(TreesError::Join { what });
            }
        };
        let outputs = ensemble.outputs;
        let base = (0..outputs).map(|k| {
            let base = ensemble.base.get(k).copied().unwrap_or(0.0);
            if ensemble.base_last { base } else { base / share * ensemble.scale }
        });
        let mut boxes = Self {
            columns: cells::columns(ensemble),
            trees: vec![0],
            starts: vec![0],
            sides: Vec::new(),
            values: Vec::new(),
            base: base.collect(),
            outputs,
            leaves: ensemble.trees.iter().map(|t| t.leaf_count(outputs)).sum(),
        };
        for tree in &ensemble.trees {
            boxes.grow(ensemble, tree, ensemble.scale / share)?;
        }
        if boxes.values.iter().chain(&boxes.base).any(|v| !v.is_finite()) {
            return Err(TreesError::Infinite);
        }
        Ok(boxes)
    }

    /// Trees.
    pub fn trees(&self) -> usize {
        self.trees.len() - 1
    }

    /// Leaves of the file.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// Columns of the ensemble that any tree asks about.
    pub fn asked(&self) -> impl Iterator<Item = u32> + '_ {
        self.columns.iter().map(|c| c.feature)
    }

    /// Whether a column is asked for category codes.
    pub fn coded(&self, feature: u32) -> bool {
        self.columns.iter().any(|c| c.feature == feature && c.coded)
    }

    /// Margins of a row (as many values as the ensemble has columns; NaN is missing), added in
    /// `f64` in the order of the trees.
    pub fn margins(&self, row: &[f64]) -> Vec<f64> {
        let cells: Vec<Option<u32>> = self
            .columns
            .iter()
            .map(|c| row.get(c.feature as usize).filter(|v| !v.is_nan()).map(|&v| c.cell(v)))
            .collect();
        let mut sums = self.base.clone();
        for tree in self.trees.windows(2) {
            let holds = |leaf: &u32| {
                self.sides_of(*leaf).iter().all(|s| match cells[s.column as usize] {
                    None => s.missing,
                    Some(cell) => s.low <= cell && cell <= s.high,
                })
            };
            if let Some(leaf) = (tree[0]..tree[1]).find(holds) {
                let adds = self.adds(leaf);
                sums.iter_mut().zip(adds).for_each(|(sum, v)| *sum += v);
            }
        }
        sums
    }

    /// How far a difference of two margins, added up in `f32` (`single`) or `f64` in any order,
    /// can lie from the exact one: `n` additions of at most `S` in all err by at most
    /// `n u S / (1 - n u)` (Higham 2002, eq. 4.4), and a product each by `u S`.
    pub fn rounding(&self, single: bool) -> f64 {
        let unit = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let magnitude = |adds: &[f64]| adds.iter().map(|v| v.abs()).fold(0.0, f64::max);
        let most = |t: &[u32]| (t[0]..t[1]).map(|l| magnitude(self.adds(l))).fold(0.0, f64::max);
        let sum: f64 = self.trees.windows(2).map(most).sum::<f64>() + magnitude(&self.base);
        let operations = (self.trees() + ROUNDED_BESIDE) as f64;
        2.0 * operations * unit * sum / (1.0 - operations * unit).max(0.5)
    }

    /// What a box asks.
    pub(super) fn sides_of(&self, leaf: u32) -> &[Side] {
        let at = leaf as usize;
        &self.sides[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// What a box adds.
    pub(super) fn adds(&self, leaf: u32) -> &[f64] {
        &self.values[leaf as usize * self.outputs..][..self.outputs]
    }

    fn grow(&mut self, e: &Ensemble, tree: &Tree, factor: f64) -> Result<(), TreesError> {
        let mut open: Vec<(_, Vec<Step>)> = vec![(tree.root, Vec::new())];
        while let Some((at, path)) = open.pop() {
            let branch = match at.place() {
                Place::Leaf(i) => {
                    let adds = adds(tree, i, self.outputs, tree.weight * factor);
                    self.plant(&path, &adds)?;
                    continue;
                }
                Place::Branch(i) => &tree.branches[i],
            };
            let found = self.columns.binary_search_by_key(&branch.feature, |c| c.feature);
            // Every feature that is asked has its column.
            let Ok(column) = found else { continue };
            let yes = self.columns[column].yes(branch, e.codes);
            let no = self.columns[column].others(&yes);
            let missing_yes = match branch.missing {
                Missing::Yes => true,
                Missing::No => false,
                Missing::ZeroIs { to_yes } => to_yes,
                Missing::Compare => {
                    matches!(branch.test, proofmark_engine::trees::Test::Unequal(_))
                }
            };
            let full = vec![(0, self.columns[column].last())];
            for (child, runs, missing) in
                [(branch.no, no, !missing_yes), (branch.yes, yes, missing_yes)]
            {
                if let Some(path) = stepped(&path, column as u32, &full, &runs, missing) {
                    open.push((child, path));
                }
            }
        }
        self.trees.push(self.starts.len() as u32 - 1);
        Ok(())
    }

    /// Adds the boxes of a leaf: one for each choice of runs.
    fn plant(&mut self, path: &[Step], adds: &[f64]) -> Result<(), TreesError> {
        let each = path.iter().map(|s| s.runs.len().max(1));
        let count = each.fold(1_usize, usize::saturating_mul);
        if count.saturating_add(self.starts.len()) > BOXES_MAX
            || count.saturating_mul(path.len()).saturating_add(self.sides.len()) > SIDES_MAX
        {
            return Err(TreesError::Large);
        }
        for mut choice in 0..count {
            for step in path {
                let runs = step.runs.len().max(1);
                // Only a missing value leads here where no cell does.
                let (low, high) = step.runs.get(choice % runs).copied().unwrap_or((1, 0));
                choice /= runs;
                let (column, missing) = (step.column, step.missing);
                self.sides.push(Side { column, low, high, missing });
            }
            self.starts.push(self.sides.len() as u32);
            self.values.extend(adds);
        }
        Ok(())
    }
}

/// The path with one more question answered; `None` where no row goes.
fn stepped(
    path: &[Step],
    column: u32,
    full: &[Run],
    runs: &[Run],
    missing: bool,
) -> Option<Vec<Step>> {
    let mut path = path.to_vec();
    let at = path.iter().position(|s| s.column == column).unwrap_or_else(|| {
        path.push(Step { column, runs: full.to_vec(), missing: true });
        path.len() - 1
    });
    let step = &mut path[at];
    step.runs = meet(&step.runs, runs);
    step.missing &= missing;
    (!step.runs.is_empty() || step.missing).then_some(path)
}

/// What a leaf adds to each output.
fn adds(tree: &Tree, leaf: usize, outputs: usize, factor: f64) -> Vec<f64> {
    let mut adds = vec![0.0; outputs];
    match &tree.output {
        Output::One(k) => adds[*k as usize] = tree.leaves[leaf] * factor,
        Output::Vector => {
            let values = &tree.leaves[leaf * outputs..][..outputs];
            adds.iter_mut().zip(values).for_each(|(a, v)| *a = v * factor);
        }
        Output::Listed { starts, targets } => {
            for at in starts[leaf] as usize..starts[leaf + 1] as usize {
                adds[targets[at] as usize] += tree.leaves[at] * factor;
            }
        }
    }
    adds
}

/// Roundings beside the additions: weight, scale, division and base, twice over.
const ROUNDED_BESIDE: usize = 8;

/// Boxes of an ensemble: above the largest that are deployed (thousands of trees of thousands of
/// leaves), and it bounds the memory that a hostile file can ask for.
pub const BOXES_MAX: usize = 1 << 22;

/// Sides of all boxes together: 16 bytes each.
const SIDES_MAX: usize = 1 << 25;
