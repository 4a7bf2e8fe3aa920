//! One row seen from its own cells: how far each cell is, and where in it to stand.
//!
//! Owns what an attacker can do in each column. Distances are infima: the open side of a cell
//! counts as its closure. Must never know what the trees answer. Called by [`super::search`].

use proofmark_schema::system::Norm;

use super::boxes::Boxes;
use super::cells::{Column, Cut};

/// What an attacker can do with one column of the ensemble.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Lowest value; may be infinite.
    pub lower: f64,
    /// Highest value; may be infinite.
    pub upper: f64,
    /// Units of the column per 1 of the budget's scale.
    pub unit: f64,
    /// Allowed values are `origin + k * step`; `None` for every real.
    pub grid: Option<Grid>,
    /// Whether the value may grow.
    pub up: bool,
    /// Whether the value may fall.
    pub down: bool,
}

/// Evenly spaced values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// One of them.
    pub origin: f64,
    /// From one to the next, positive.
    pub step: f64,
}

impl Axis {
    /// Any real number, in its own unit.
    pub const FREE: Self = Self {
        lower: f64::NEG_INFINITY,
        upper: f64::INFINITY,
        unit: 1.0,
        grid: None,
        up: true,
        down: true,
    };
    /// A column that the attacker cannot touch.
    pub const FIXED: Self = Self { up: false, down: false, ..Self::FREE };
}

/// A row as the search sees it.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub boxes: &'a Boxes,
    axes: Vec<Axis>,
    /// Value of each asked column; NaN is missing.
    pub values: Vec<f64>,
    /// Its cell; 0 where the value is missing.
    pub own: Vec<u32>,
    /// Where the cells of a column begin in `reach` and `toll`.
    at: Vec<usize>,
    /// The cell that is really entered on the way to a cell: the first that holds a value.
    reach: Vec<u32>,
    /// Distance to it, along its column; infinite where there is none.
    toll: Vec<f64>,
    norm: Norm,
}

impl<'a> Row<'a> {
    /// `row` and `axes` by column of the ensemble.
    pub fn new(boxes: &'a Boxes, row: &[f64], axes: &[Axis], norm: Norm) -> Self {
        let pick = |c: &Column| c.feature as usize;
        let values: Vec<f64> =
            boxes.columns.iter().map(|c| row.get(pick(c)).copied().unwrap_or(f64::NAN)).collect();
        let axes: Vec<Axis> = boxes
            .columns
            .iter()
            .map(|c| axes.get(pick(c)).copied().unwrap_or(Axis::FIXED))
            .collect();
        let cells: usize = boxes.columns.iter().map(|c| c.cuts.len() + 1).sum();
        let mut this = Self {
            boxes,
            own: Vec::with_capacity(axes.len()),
            at: Vec::with_capacity(axes.len()),
            reach: Vec::with_capacity(cells),
            toll: Vec::with_capacity(cells),
            axes,
            values,
            norm,
        };
        for (place, column) in boxes.columns.iter().enumerate() {
            this.measure(place, column);
        }
        this
    }

    /// Distances to the cells of one column.
    fn measure(&mut self, place: usize, column: &Column) {
        let (x, axis) = (self.values[place], self.axes[place]);
        let own = if x.is_nan() { 0 } else { column.cell(x) };
        let at = self.reach.len();
        self.own.push(own);
        self.at.push(at);
        self.reach.resize(at + column.cuts.len() + 1, u32::MAX);
        self.toll.resize(at + column.cuts.len() + 1, f64::INFINITY);
        self.reach[at + own as usize] = own;
        self.toll[at + own as usize] = 0.0;
        if !x.is_finite() {
            return;
        }
        let mut set = |cell: usize, entered: Option<(u32, f64)>| {
            if let Some((reach, toll)) = entered {
                self.reach[at + cell] = reach;
                self.toll[at + cell] = toll;
            }
        };
        if axis.up {
            for (i, cut) in column.cuts.iter().enumerate().skip(own as usize) {
                set(i + 1, axis.above(x, *cut, i as u32 + 1, column));
            }
        }
        if axis.down {
            for (i, cut) in column.cuts.iter().enumerate().take(own as usize) {
                set(i, axis.below(x, *cut, i as u32, column));
            }
        }
    }

    /// Distance along a column to a run of cells; infinite where no allowed value lies in it.
    #[inline]
    pub fn toll(&self, column: usize, low: u32, high: u32) -> f64 {
        let (own, at) = (self.own[column], self.at[column]);
        if low > own {
            let cell = at + low as usize;
            if self.reach[cell] <= high { self.toll[cell] } else { f64::INFINITY }
        } else if high < own {
            let cell = at + high as usize;
            // Unreached cells have the greatest number, so they need a look of their own.
            let reach = self.reach[cell];
            if reach >= low && reach != u32::MAX { self.toll[cell] } else { f64::INFINITY }
        } else {
            0.0
        }
    }

    /// One column's share of a distance, as it is added up.
    #[inline]
    pub fn powered(&self, toll: f64) -> f64 {
        if self.norm == Norm::L2 { toll * toll } else { toll }
    }

    /// Adds a share to a distance.
    #[inline]
    pub fn joined(&self, sum: f64, share: f64) -> f64 {
        if self.norm == Norm::Linf { sum.max(share) } else { sum + share }
    }

    /// The distance from what was added up.
    pub fn rooted(&self, sum: f64) -> f64 {
        if self.norm == Norm::L2 { sum.sqrt() } else { sum }
    }

    /// Whether shares are added.
    pub fn adds(&self) -> bool {
        self.norm != Norm::Linf
    }

    /// The nearest value of a run of cells that a row of type `f32` can hold, `steps` of that
    /// type (or of the grid) beyond the first such value; `None` where there is none. `clean` is
    /// what the deployed row holds.
    pub fn stand(
        &self,
        place: usize,
        (low, high): (u32, u32),
        clean: f32,
        steps: u32,
    ) -> Option<f32> {
        let (column, axis) = (&self.boxes.columns[place], self.axes[place]);
        let x = f64::from(clean);
        let inside = |v: f32| {
            let cell = column.cell(f64::from(v));
            low <= cell && cell <= high
        };
        if inside(clean) && self.toll(place, low, high) == 0.0 {
            // Next to a cut, rounding of the threshold can put the deployed row across it.
            let away = match (inside(clean.next_down()), inside(clean.next_up())) {
                (true, false) if axis.down => f32::next_down,
                (false, true) if axis.up => f32::next_up,
                _ => return Some(clean),
            };
            let moved = (0..steps).fold(clean, |v, _| away(v));
            return Some(if axis.grid.is_none() && inside(moved) { moved } else { clean });
        }
        let from_below = low > 0 && !column.cuts[low as usize - 1].passed_by(x);
        let cut = if from_below { low.checked_sub(1) } else { Some(high) };
        let cut = column.cuts.get(cut? as usize)?;
        let value = match axis.grid {
            Some(grid) => {
                let first = if from_below { grid.above(*cut) } else { grid.below(*cut) };
                let sign = if from_below { 1.0 } else { -1.0 };
                (first + sign * grid.step * f64::from(steps)) as f32
            }
            None => {
                let mut v = cut.at as f32;
                let step = if from_below { f32::next_up } else { f32::next_down };
                // One step to make up for rounding, one for the open side.
                for _ in 0..2 {
                    if !inside(v) {
                        v = step(v);
                    }
                }
                let last = v;
                for _ in 0..steps {
                    v = step(v);
                }
                if inside(v) { v } else { last }
            }
        };
        let within = f64::from(value) >= axis.lower.min(x) && f64::from(value) <= axis.upper.max(x);
        (inside(value) && within).then_some(value)
    }
}

impl Axis {
    /// The first cell from `cell` on that holds an allowed value above `cut`, and how far it is.
    fn above(&self, x: f64, cut: Cut, cell: u32, column: &Column) -> Option<(u32, f64)> {
        let upper = self.upper.max(x);
        let Some(grid) = self.grid else {
            let open = if cut.above { cut.at < upper } else { cut.at <= upper };
            return (open && cut.at < f64::INFINITY)
                .then(|| (cell, (cut.at - x).max(0.0) / self.unit));
        };
        let v = grid.above(cut);
        // The last value of a grid may lie past its bound by a rounding.
        let within = v <= upper + GRID_EDGE * grid.step;
        within.then(|| (column.cell(v).max(cell), (grid.toll(v, x) / self.unit).max(0.0)))
    }

    /// The same downwards: below `cut`, from `cell` down.
    fn below(&self, x: f64, cut: Cut, cell: u32, column: &Column) -> Option<(u32, f64)> {
        let lower = self.lower.min(x);
        let Some(grid) = self.grid else {
            let open = if cut.above { cut.at >= lower } else { cut.at > lower };
            let finite = cut.at > f64::NEG_INFINITY;
            return (open && finite).then(|| (cell, (x - cut.at).max(0.0) / self.unit));
        };
        let v = grid.below(cut);
        let within = v >= lower - GRID_EDGE * grid.step;
        within.then(|| (column.cell(v).min(cell), (grid.toll(v, x) / self.unit).max(0.0)))
    }
}

impl Grid {
    /// A value as it is deployed: in `f32`, which may lie on the other side of a threshold.
    fn value(&self, k: f64) -> f64 {
        f64::from((self.origin + k * self.step) as f32)
    }
    /// From one value to another by whole steps, not by what rounding made of them; a bound for a
    /// value beside the grid.
    fn toll(&self, v: f64, x: f64) -> f64 {
        let steps = ((v - x) / self.step).abs();
        match (steps - steps.round()).abs() < GRID_EDGE {
            true => steps.round() * self.step,
            false => (v - x).abs(),
        }
    }
    /// The least value right of a cut.
    fn above(&self, cut: Cut) -> f64 {
        let mut k = ((cut.at - self.origin) / self.step).floor() - 1.0;
        // A few steps make up for the rounding of the division.
        for _ in 0..4 {
            if !cut.passed_by(self.value(k)) {
                k += 1.0;
            }
        }
        self.value(k)
    }
    /// The greatest value left of a cut.
    fn below(&self, cut: Cut) -> f64 {
        let mut k = ((cut.at - self.origin) / self.step).ceil() + 1.0;
        for _ in 0..4 {
            if cut.passed_by(self.value(k)) {
                k -= 1.0;
            }
        }
        self.value(k)
    }
}

/// How far off its grid a value may be, in steps, and still count as on it.
const GRID_EDGE: f64 = 1e-3;
