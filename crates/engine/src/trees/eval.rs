//! Runs an ensemble over rows.
//!
//! Owns [`Forest`], what a checked ensemble compiles to. Rows are taken in blocks: a block is
//! turned into ranks once, then the trees pass over it one after another, so that a tree stays in
//! the cache while several rows descend side by side. Leaves are added tree after tree, so a row's
//! bits depend neither on its block nor on threads. Called by the operators and by whoever holds
//! an ensemble.

use super::check::{TreeError, check};
use super::key::Feature;
use super::plan::{Adds, Plan, Root};
use super::{Arithmetic, Ensemble, Join, rank};
use crate::reference::Float;

/// A checked ensemble, ready to run from any thread.
#[derive(Debug)]
pub struct Forest {
    outputs: usize,
    columns: usize,
    join: Join,
    base: Vec<f64>,
    base_last: bool,
    scale: f64,
    depths: Vec<usize>,
    /// Outputs that every row has a value for; empty where that depends on the row.
    present: Vec<bool>,
    how: How,
}

#[derive(Debug)]
enum How {
    F32(Plan<f32, f32>),
    F64(Plan<f64, f64>),
    Mixed(Plan<f32, f64>),
    /// Too many different questions for a plan.
    Walk(Box<Ensemble>),
}

/// Rows of a table, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    columns: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Rows of `columns` values each; `None` when `data` holds no whole number of rows.
    pub fn new(data: &'a [T], columns: usize) -> Option<Self> {
        let whole = columns > 0 && data.len().is_multiple_of(columns);
        whole.then_some(Self { data, columns })
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.columns
    }
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
    /// The rows, `n` at a time.
    pub(super) fn tiles(self, n: usize) -> impl Iterator<Item = Rows<'a, T>> {
        let columns = self.columns;
        self.data.chunks(n * columns).map(move |data| Rows { data, columns })
    }
}

impl<T: Copy> Rows<'_, T> {
    /// The values of one column.
    pub(super) fn column(&self, c: usize) -> impl Iterator<Item = T> {
        self.data.chunks_exact(self.columns).map(move |row| row[c])
    }
}

/// Numbers in the type that the ensemble adds in.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// [`Arithmetic::F32`]
    F32(Vec<f32>),
    /// The others.
    F64(Vec<f64>),
}

impl Numbers {
    /// As `f64`, exactly.
    pub fn to_f64s(&self) -> Vec<f64> {
        match self {
            Self::F32(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Self::F64(v) => v.clone(),
        }
    }
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sums of leaves before base and scale, and which of them any leaf had a value for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sums<S> {
    pub values: Vec<S>,
    /// `outputs` long, or as long as `values` where it differs between rows.
    pub present: Vec<bool>,
}

impl Ensemble {
    /// Checks the ensemble and lays it out.
    ///
    /// # Errors
    /// Sizes out of range, indices out of range, trees that are none, numbers that are none.
    pub fn compile(&self) -> Result<Forest, TreeError> {
        self.compile_as(self.arithmetic)
    }

    /// As [`Ensemble::compile`], computing in other types than the library does.
    ///
    /// # Errors
    /// As [`Ensemble::compile`].
    pub fn compile_as(&self, arithmetic: Arithmetic) -> Result<Forest, TreeError> {
        let depths = check(self)?;
        let plan = match arithmetic {
            Arithmetic::F32 => Plan::new(self, &depths).map(How::F32),
            Arithmetic::F64 => Plan::new(self, &depths).map(How::F64),
            Arithmetic::Mixed => Plan::new(self, &depths).map(How::Mixed),
        };
        let how = plan.unwrap_or_else(|| self.slow(arithmetic));
        Ok(self.forest(depths, how))
    }

    /// As it is compiled when it asks too many different questions.
    #[cfg(test)]
    pub(super) fn compile_slow(&self) -> Result<Forest, TreeError> {
        Ok(self.forest(check(self)?, self.slow(self.arithmetic)))
    }

    fn slow(&self, arithmetic: Arithmetic) -> How {
        How::Walk(Box::new(Ensemble { arithmetic, ..self.clone() }))
    }

    fn forest(&self, depths: Vec<usize>, how: How) -> Forest {
        Forest {
            outputs: self.outputs,
            columns: self.columns,
            join: self.join,
            base: self.base.clone(),
            base_last: self.base_last,
            scale: self.scale,
            depths,
            present: self.present(),
            how,
        }
    }

    /// Outputs that some leaf of every row has a value for; empty where it depends on the row.
    fn present(&self) -> Vec<bool> {
        let mut present = vec![false; self.outputs];
        for tree in &self.trees {
            match &tree.output {
                super::Output::One(k) => present[*k as usize] = true,
                super::Output::Vector => present.fill(true),
                super::Output::Listed { .. } => return Vec::new(),
            }
        }
        present
    }
}

impl Forest {
    /// Margins per row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
    /// Columns that a row needs at least.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// The depth of each tree; 0 for a single leaf.
    pub fn depths(&self) -> &[usize] {
        &self.depths
    }

    /// The margins `(rows, outputs)`, with base and scale, in the library's order and type.
    ///
    /// # Errors
    /// [`TreeError::Size`] for rows that are too short.
    pub fn margins<T: Float>(&self, rows: Rows<T>, threads: usize) -> Result<Numbers, TreeError> {
        self.fits(rows.columns)?;
        Ok(match &self.how {
            How::F32(p) => Numbers::F32(self.full(self.sums_of(rows, threads, p))),
            How::F64(p) => Numbers::F64(self.full(self.sums_of(rows, threads, p))),
            How::Mixed(p) => Numbers::F64(self.full(self.sums_of(rows, threads, p))),
            How::Walk(e) if e.arithmetic == Arithmetic::F32 => {
                Numbers::F32(self.full(self.sums_of(rows, threads, e.as_ref())))
            }
            How::Walk(e) => Numbers::F64(self.full(self.sums_of(rows, threads, e.as_ref()))),
        })
    }

    /// The joined leaves alone, as `f64`.
    pub(crate) fn sums<T: Float>(&self, rows: Rows<T>) -> Result<Sums<f64>, TreeError> {
        self.fits(rows.columns)?;
        Ok(match &self.how {
            How::F32(p) => self.sums_of::<T, f32>(rows, 1, p).widened(),
            How::F64(p) => self.sums_of(rows, 1, p),
            How::Mixed(p) => self.sums_of(rows, 1, p),
            How::Walk(e) if e.arithmetic == Arithmetic::F32 => {
                self.sums_of::<T, f32>(rows, 1, e.as_ref()).widened()
            }
            How::Walk(e) => self.sums_of(rows, 1, e.as_ref()),
        })
    }

    fn fits(&self, columns: usize) -> Result<(), TreeError> {
        if columns >= self.columns {
            return Ok(());
        }
        let what = format!("trees ask for {} columns, given {columns}", self.columns);
        Err(TreeError::Size { what })
    }

    /// Where sums begin.
    fn start<S: Float>(&self, k: usize) -> S {
        match self.join {
            Join::Min => -S::LOWEST,
            Join::Max => S::LOWEST,
            _ if self.base_last => S::ZERO,
            _ => S::from_f64(self.base.get(k).copied().unwrap_or(0.0)),
        }
    }

    fn sums_of<T: Float, S: Float>(
        &self,
        rows: Rows<T>,
        threads: usize,
        runner: &(impl Runner<S> + Sync),
    ) -> Sums<S> {
        let k = self.outputs;
        let start: Vec<S> = (0..k).map(|k| self.start(k)).collect();
        let mut values: Vec<S> = Vec::with_capacity(rows.len() * k);
        (0..rows.len()).for_each(|_| values.extend(&start));
        let each = self.present.is_empty();
        let mut present = if each { vec![false; rows.len() * k] } else { self.present.clone() };
        let share = rows.len().div_ceil(threads.max(1)).max(ROWS_PER_THREAD_MIN);
        if share >= rows.len() {
            let flags = if each { &mut present[..] } else { &mut [] };
            runner.run(rows, self.join, &mut values, flags);
        } else {
            let mut flags = if each { &mut present[..] } else { &mut [] };
            std::thread::scope(|scope| {
                let parts = rows.data.chunks(share * rows.columns);
                for (data, out) in parts.zip(values.chunks_mut(share * k)) {
                    let n = if each { out.len() } else { 0 };
                    let (mine, rest) = std::mem::take(&mut flags).split_at_mut(n);
                    flags = rest;
                    let part = Rows { data, columns: rows.columns };
                    scope.spawn(move || runner.run(part, self.join, out, mine));
                }
            });
        }
        self.settle(&mut values, &present);
        Sums { values, present }
    }

    /// Averages, and gives outputs without a value 0.
    fn settle<S: Float>(&self, values: &mut [S], present: &[bool]) {
        if let Join::Average(n) = self.join {
            let n = S::from_f64(f64::from(n));
            values.iter_mut().for_each(|v| *v = *v / n);
        }
        if matches!(self.join, Join::Min | Join::Max) {
            let seen = present.iter().cycle();
            values.iter_mut().zip(seen).filter(|(_, seen)| !**seen).for_each(|(v, _)| *v = S::ZERO);
        }
    }

    fn full<S: Float>(&self, sums: Sums<S>) -> Vec<S> {
        let mut values = sums.values;
        let scale = S::from_f64(self.scale);
        if self.scale != 1.0 {
            values.iter_mut().for_each(|v| *v *= scale);
        }
        let late = self.base_last || matches!(self.join, Join::Min | Join::Max);
        if late && !self.base.is_empty() {
            let base: Vec<S> = self.base.iter().map(|&b| S::from_f64(b)).collect();
            values.iter_mut().zip(base.iter().cycle()).for_each(|(v, &b)| *v += b);
        }
        values
    }
}

impl Sums<f32> {
    fn widened(self) -> Sums<f64> {
        let values = self.values.into_iter().map(f64::from).collect();
        Sums { values, present: self.present }
    }
}

/// What joins the leaves of rows into their sums.
trait Runner<S> {
    /// `present` is empty, or as long as `sums`.
    fn run<T: Float>(&self, rows: Rows<T>, join: Join, sums: &mut [S], present: &mut [bool]);
}

impl<S: Float> Runner<S> for Ensemble {
    fn run<T: Float>(&self, rows: Rows<T>, _: Join, sums: &mut [S], present: &mut [bool]) {
        let k = self.outputs;
        for (r, row) in rows.data.chunks(rows.columns).enumerate() {
            let mut seen = vec![false; k];
            self.walk(|c| row[c].to_f64(), &mut sums[r * k..][..k], &mut seen);
            if !present.is_empty() {
                present[r * k..][..k].copy_from_slice(&seen);
            }
        }
    }
}

impl<F: Feature, S: Float> Runner<S> for Plan<F, S> {
    fn run<T: Float>(&self, rows: Rows<T>, join: Join, sums: &mut [S], present: &mut [bool]) {
        let k = sums.len() / rows.len().max(1);
        let block = self.block();
        let mut ranks = vec![0; block * self.width];
        let mut leaves = vec![0; block];
        for (b, data) in rows.data.chunks(block * rows.columns).enumerate() {
            let part = Rows { data, columns: rows.columns };
            let n = part.len();
            rank::ranks(self, part, &mut ranks);
            let sums = &mut sums[b * block * k..][..n * k];
            let flags = match present.is_empty() {
                true => &mut [][..],
                false => &mut present[b * block * k..][..n * k],
            };
            for root in &self.roots {
                self.descend(*root, &ranks[..n * self.width], &mut leaves[..n]);
                self.add((root.adds, join), &leaves[..n], sums, flags);
            }
        }
    }
}

impl<F: Feature, S: Float> Plan<F, S> {
    /// Rows that pass each tree together.
    fn block(&self) -> usize {
        let small = size_of_val(&self.nodes[..]) <= NODES_SMALL;
        let bytes = if small { BLOCK_BYTES } else { BLOCK_BYTES_LARGE };
        let rows = (bytes / (2 * self.width.max(1))).clamp(LANES, BLOCK_ROWS_MAX);
        rows - rows % LANES
    }

    /// Brings every row of a block to its leaf, several at a time.
    fn descend(&self, root: Root, ranks: &[u16], leaves: &mut [u32]) {
        let (nodes, width) = (&self.nodes[..], self.width);
        let step = |at: u32, rows: &[u16], from: usize| {
            let node = nodes[at as usize];
            node.left + u32::from(rows[from + node.column as usize] > node.cut)
        };
        let whole = if width == 0 { 0 } else { leaves.len() - leaves.len() % LANES };
        let (grouped, single) = leaves.split_at_mut(whole);
        for (g, leaves) in grouped.chunks_exact_mut(LANES).enumerate() {
            let rows = &ranks[g * LANES * width..][..LANES * width];
            let mut at = [root.at; LANES];
            let mut left = root.depth;
            while left > 0 {
                let steps = left.min(STEPS);
                let before = at;
                for _ in 0..steps {
                    for (lane, at) in at.iter_mut().enumerate() {
                        *at = step(*at, rows, lane * width);
                    }
                }
                left -= steps;
                if left > 0 && at == before {
                    break;
                }
            }
            leaves.copy_from_slice(&at);
        }
        for (i, leaf) in single.iter_mut().enumerate() {
            let rank = &ranks[(whole + i) * width..][..width];
            *leaf = (0..root.depth).fold(root.at, |at, _| step(at, rank, 0));
        }
    }

    /// Joins the rows' leaves of one tree into their sums; `seen` is empty or as long as `sums`.
    fn add(&self, (adds, join): (Adds, Join), leaves: &[u32], sums: &mut [S], seen: &mut [bool]) {
        let k = sums.len() / leaves.len().max(1);
        let rows = sums.chunks_exact_mut(k.max(1)).zip(leaves.iter().map(|&leaf| leaf as usize));
        match adds {
            Adds::One(to) if self.starts.is_empty() => {
                rows.for_each(|(sums, leaf)| put(join, &mut sums[to as usize], self.values[leaf]));
            }
            Adds::One(to) => rows.for_each(|(sums, leaf)| {
                let from = self.starts[leaf].0 as usize;
                put(join, &mut sums[to as usize], self.values[from]);
            }),
            Adds::Vector => rows.for_each(|(sums, leaf)| {
                let values = &self.values[self.starts[leaf].0 as usize..][..k];
                sums.iter_mut().zip(values).for_each(|(slot, &v)| put(join, slot, v));
            }),
            Adds::Listed => {
                for ((sums, leaf), seen) in rows.zip(seen.chunks_exact_mut(k.max(1))) {
                    let (from, to) = self.starts[leaf];
                    for i in from as usize..to as usize {
                        let k = self.targets[i] as usize;
                        put(join, &mut sums[k], self.values[i]);
                        seen[k] = true;
                    }
                }
                return;
            }
        }
        match adds {
            Adds::One(to) => seen.iter_mut().skip(to as usize).step_by(k).for_each(|s| *s = true),
            _ => seen.fill(true),
        }
    }
}

#[inline]
fn put<S: Float>(join: Join, slot: &mut S, v: S) {
    *slot = joined(join, *slot, v);
}

#[inline]
fn joined<S: Float>(join: Join, sum: S, v: S) -> S {
    match join {
        Join::Sum | Join::Average(_) => sum + v,
        Join::Min => {
            if v < sum {
                v
            } else {
                sum
            }
        }
        Join::Max => {
            if v > sum {
                v
            } else {
                sum
            }
        }
    }
}

/// Rows that descend side by side: enough to hide the wait for memory, few enough for registers.
const LANES: usize = 8;
/// Steps between two looks at whether all rows of a group have arrived.
const STEPS: u32 = 6;
/// Ranks of a block of few nodes: they stay in the first-level cache beside a tree.
const BLOCK_BYTES: usize = 32 << 10;
/// Ranks of a block of many: a tree fetched from afar serves more rows, in the second-level cache.
const BLOCK_BYTES_LARGE: usize = 192 << 10;
/// Nodes that stay in the second-level cache all together.
const NODES_SMALL: usize = 512 << 10;
/// Beyond it larger blocks gain nothing.
const BLOCK_ROWS_MAX: usize = 4096;
/// A thread costs more than fewer rows than these do.
const ROWS_PER_THREAD_MIN: usize = 256;
