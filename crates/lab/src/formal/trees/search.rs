//! The search: best first over boxes of cells, each judged by what its leaves could add at most.
//!
//! Owns soundness. A box is worth the least radius at which the trees, each on its own, could
//! reach the change; no row of the box that changes the decision is nearer. Boxes are split
//! where the leaves that the trees want exclude each other, so what the parent hoped for dies in
//! both halves. The first box whose wish can be granted at its own worth is the nearest change.
//! Stopped early, the least worth of an open box is a lower bound all the same.
//!
//! Sources: Kantchelian et al. 2016 (the problem), Chen et al. 2019 (bounds from leaf boxes),
//! Devos et al. 2021 (best-first search with bounds at any time). Leaves are added as 64-bit
//! integers of a common unit, so that no bound depends on the order of addition.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::boxes::Side;
use super::row::Row;
use crate::formal::reading::Aim;

mod wish;

/// How far the search may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Boxes judged per row.
    pub boxes: u64,
}

/// What the search found for one row. Distances are those of [`Row`]'s norm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// No change is nearer; infinite where there is none at all.
    pub lower: f64,
    /// Distance of the nearest change found; infinite where none was.
    pub upper: f64,
    /// Cells of that change, by column; columns that may stand still are not listed.
    pub nearest: Vec<(u32, u32, u32)>,
    /// Boxes judged.
    pub judged: u64,
    /// Whether the search was stopped by someone.
    pub stopped: bool,
}

/// Whether a wish that can be granted by the trees is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Yes,
    /// No row of these cells is: what was wished for is only part of what is needed.
    No,
    /// It could not be settled: a row of these cells may be, but none was found.
    Unknown,
}

/// What judges a wish: the cells by column, and the leaf box of each tree.
pub(super) type Judge<'a> = dyn FnMut(&[Range], &[u32]) -> Verdict + 'a;

/// Cells of one column: its place, the first and the last.
pub(super) type Range = (u32, u32, u32);

/// Searches one row.
pub(super) fn search(
    row: &Row<'_>,
    aims: &[Aim],
    budget: Budget,
    judge: &mut Judge<'_>,
    stop: &dyn Fn() -> bool,
) -> Found {
    Work::new(row, aims).run(budget, judge, stop)
}

/// A leaf box that the row can reach.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    start: u32,
    end: u32,
    id: u32,
}

/// One aim in integers.
#[derive(Clone, Debug)]
struct Sum {
    /// What each reachable leaf adds.
    gains: Vec<i64>,
    /// The aim is reached when the sum is at least this.
    need: i64,
}

/// A box: its parent's, one column narrower; and where it is to be split.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    range: Range,
    aim: u32,
    split: Split,
}

/// Cells of `column` below `at`, and from it on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Split {
    column: u32,
    at: u32,
}

/// An open box in the heap: the least worth first, then the deepest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    worth: f64,
    depth: u32,
    node: u32,
}

impl Eq for Open {}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        let worth = other.worth.total_cmp(&self.worth);
        worth.then(self.depth.cmp(&other.depth)).then(self.node.cmp(&other.node))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Work<'a> {
    row: &'a Row<'a>,
    sums: Vec<Sum>,
    leaves: Vec<Leaf>,
    sides: Vec<Side>,
    /// Where the leaves of each tree begin, and the end.
    trees: Vec<u32>,
    nodes: Vec<Node>,
    heap: BinaryHeap<Open>,
    upper: f64,
    nearest: Vec<Range>,
    /// Least distance of a wish that could not be settled.
    unsettled: f64,
    judged: u64,
    hull: Hull,
    wish: Wish,
    joint: Joint,
    bounds: Vec<Bound>,
}

/// Ranges of a box by column, with each column's share of the distance.
struct Hull {
    low: Vec<u32>,
    high: Vec<u32>,
    toll: Vec<f64>,
    narrowed: Vec<u32>,
}

/// What each tree, on its own, would like best within the worth of a box.
#[derive(Default)]
struct Wish {
    best: Vec<i64>,
    chosen: Vec<u32>,
    /// How much a tree has to lose.
    spread: Vec<i64>,
    dist: Vec<f64>,
    later: Vec<(f64, u32, u32)>,
    order: Vec<u32>,
    worth: f64,
}

/// Ranges that several leaves share.
struct Joint {
    low: Vec<u32>,
    high: Vec<u32>,
    toll: Vec<f64>,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    leaves: Vec<u32>,
}

/// An end of a wished leaf inside the box: cells from `at` on (`low`), or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    column: u32,
    at: u32,
    low: bool,
    weight: i64,
}

impl<'a> Work<'a> {
    fn new(row: &'a Row<'a>, aims: &[Aim]) -> Self {
        let boxes = row.boxes;
        let (mut leaves, mut sides, mut trees) = (Vec::new(), Vec::new(), vec![0]);
        for tree in boxes.trees.windows(2) {
            for id in tree[0]..tree[1] {
                let start = sides.len() as u32;
                if reachable(row, boxes.sides_of(id), &mut sides) {
                    leaves.push(Leaf { start, end: sides.len() as u32, id });
                } else {
                    sides.truncate(start as usize);
                }
            }
            trees.push(leaves.len() as u32);
        }
        let columns = boxes.columns.len();
        let last: Vec<u32> = boxes.columns.iter().map(super::cells::Column::last).collect();
        let hull =
            Hull { low: vec![0; columns], high: last, toll: vec![0.0; columns], narrowed: vec![] };
        let joint = Joint {
            low: vec![0; columns],
            high: vec![0; columns],
            toll: vec![0.0; columns],
            touched: Vec::new(),
            is_touched: vec![false; columns],
            leaves: Vec::new(),
        };
        let mut work = Self {
            row,
            sums: Vec::new(),
            leaves,
            sides,
            trees,
            nodes: Vec::new(),
            heap: BinaryHeap::new(),
            upper: f64::INFINITY,
            nearest: Vec::new(),
            unsettled: f64::INFINITY,
            judged: 0,
            hull,
            wish: Wish::default(),
            joint,
            bounds: Vec::new(),
        };
        work.sums = aims.iter().map(|aim| work.sum(aim)).collect();
        work
    }

    /// An aim in integers: the unit is the smallest that no sum can overflow.
    fn sum(&self, aim: &Aim) -> Sum {
        let boxes = self.row.boxes;
        let part =
            |adds: &[f64]| aim.up.map_or(0.0, |k| adds[k]) - aim.down.map_or(0.0, |k| adds[k]);
        let gaps: Vec<f64> = self.leaves.iter().map(|leaf| part(boxes.adds(leaf.id))).collect();
        let most = |t: &[u32]| {
            gaps[t[0] as usize..t[1] as usize].iter().fold(0.0_f64, |a, g| a.max(g.abs()))
        };
        let need = aim.threshold - part(&boxes.base);
        let total: f64 = self.trees.windows(2).map(most).sum::<f64>() + need.abs();
        // A power of two, so that scaling rounds nothing but what lies below the unit.
        let scale = (SUM_BITS - total.log2().ceil().clamp(-SUM_BITS_MAX, SUM_BITS_MAX)).exp2();
        let whole = |v: f64| (v * scale).round() as i64;
        let gains = gaps.iter().map(|&g| whole(g)).collect();
        Sum { gains, need: whole(need) + i64::from(!aim.closed) }
    }

    fn run(&mut self, budget: Budget, judge: &mut Judge<'_>, stop: &dyn Fn() -> bool) -> Found {
        let whole = (0, 0, WHOLE);
        for aim in 0..self.sums.len() {
            self.open(ROOT, 0, whole, aim as u32, judge);
        }
        let (mut stopped, mut lower) = (false, f64::INFINITY);
        while let Some(open) = self.heap.pop() {
            if open.worth >= self.upper {
                break;
            }
            let spent = self.judged >= budget.boxes;
            stopped = !spent && self.judged % LOOK_EVERY < 2 && stop();
            if spent || stopped {
                lower = open.worth;
                break;
            }
            let Node { aim, split: Split { column, at }, .. } = self.nodes[open.node as usize];
            let (low, high) = self.range(open.node, column);
            for half in [(column, low, at - 1), (column, at, high)] {
                self.open(open.node, open.depth + 1, half, aim, judge);
            }
        }
        let lower = lower.min(self.upper).min(self.unsettled);
        Found {
            lower: self.row.rooted(lower),
            upper: self.row.rooted(self.upper),
            nearest: std::mem::take(&mut self.nearest),
            judged: self.judged,
            stopped,
        }
    }

    /// Cells of a column in a box.
    fn range(&self, node: u32, column: u32) -> (u32, u32) {
        let mut at = node;
        while at != ROOT {
            let Node { parent, range, .. } = self.nodes[at as usize];
            if range.0 == column && range.2 != WHOLE {
                return (range.1, range.2);
            }
            at = parent;
        }
        (0, self.row.boxes.columns[column as usize].last())
    }

    /// Judges a box and keeps it, unless nothing nearer than the nearest can lie in it.
    fn open(&mut self, parent: u32, depth: u32, range: Range, aim: u32, judge: &mut Judge<'_>) {
        self.enter(parent, range);
        let open = self.judge(aim as usize, judge);
        self.leave();
        self.judged += 1;
        if let Some((worth, split)) = open.filter(|(worth, _)| *worth < self.upper) {
            let node = self.nodes.len() as u32;
            self.nodes.push(Node { parent, range, aim, split });
            self.heap.push(Open { worth, depth, node });
        }
    }

    /// Lays the ranges of a box into the hull.
    fn enter(&mut self, parent: u32, own: Range) {
        let mut next = Some(own);
        let mut at = parent;
        while let Some((column, low, high)) = next {
            let c = column as usize;
            // The deepest range of a column is the narrowest.
            if high != WHOLE && !self.hull.narrowed.contains(&column) {
                self.hull.narrowed.push(column);
                self.hull.low[c] = low;
                self.hull.high[c] = high;
                self.hull.toll[c] = self.row.powered(self.row.toll(c, low, high));
            }
            next = (at != ROOT).then(|| {
                let Node { parent, range, .. } = self.nodes[at as usize];
                at = parent;
                range
            });
        }
    }

    fn leave(&mut self) {
        for &column in &self.hull.narrowed {
            let c = column as usize;
            self.hull.low[c] = 0;
            self.hull.high[c] = self.row.boxes.columns[c].last();
            self.hull.toll[c] = 0.0;
        }
        self.hull.narrowed.clear();
    }

    /// The worth of the box in the hull and where to split it; `None` where nothing that is
    /// left in it is nearer than the nearest.
    fn judge(&mut self, aim: usize, judge: &mut Judge<'_>) -> Option<(f64, Split)> {
        let tolls = self.hull.narrowed.iter().map(|&c| self.hull.toll[c as usize]);
        let whole = tolls.fold(0.0, |a, t| self.row.joined(a, t));
        if whole >= self.upper {
            return None;
        }
        let worth = self.wish(aim, whole)?;
        if let Some(at) = self.all(whole) {
            // Every tree can have its wish at once.
            if self.settle(at, judge) == Verdict::Yes && at <= worth {
                return None;
            }
            return self.loosest().map(|split| (worth, split));
        }
        let far = self.judged > 0 && self.judged.is_multiple_of(REACH_EVERY);
        let tries = if far { REACHES } else { &REACHES[..1] };
        for reach in tries {
            let limit = (worth * reach).min(self.upper);
            if let Some(at) = self.greedy(aim, whole, limit) {
                if self.settle(at, judge) == Verdict::Yes && at <= worth {
                    return None;
                }
                break;
            }
        }
        let split = self.conflict().or_else(|| {
            self.all(whole);
            self.loosest()
        });
        split.map(|split| (worth, split))
    }

    /// Takes a joint box to the judge; the nearest that is accepted is kept.
    fn settle(&mut self, at: f64, judge: &mut Judge<'_>) -> Verdict {
        if at >= self.upper {
            return Verdict::No;
        }
        let joint = &self.joint;
        let columns = self.hull.narrowed.iter().chain(&joint.touched);
        let mut columns: Vec<u32> = columns.copied().collect();
        columns.sort_unstable();
        columns.dedup();
        let range = |column: u32| {
            let c = column as usize;
            let (low, high) = (self.hull.low[c], self.hull.high[c]);
            match joint.is_touched[c] {
                true => (column, joint.low[c], joint.high[c]),
                false => (column, low, high),
            }
        };
        let ranges: Vec<Range> = columns.into_iter().map(range).collect();
        let ids: Vec<u32> = joint.leaves.iter().map(|&l| self.leaves[l as usize].id).collect();
        let verdict = judge(&ranges, &ids);
        match verdict {
            Verdict::Yes => {
                self.upper = at;
                self.nearest = ranges;
            }
            Verdict::Unknown => self.unsettled = self.unsettled.min(at),
            Verdict::No => {}
        }
        verdict
    }

    /// Distance of the part of the box in the hull that lies in a leaf.
    #[inline]
    fn distance(&self, leaf: &Leaf, whole: f64) -> f64 {
        let mut sum = whole;
        for side in &self.sides[leaf.start as usize..leaf.end as usize] {
            let c = side.column as usize;
            let (low, high) = (side.low.max(self.hull.low[c]), side.high.min(self.hull.high[c]));
            if low > high {
                return f64::INFINITY;
            }
            let share = self.row.powered(self.row.toll(c, low, high));
            if self.row.adds() {
                sum += share - self.hull.toll[c];
            } else if share > sum {
                sum = share;
            }
        }
        if sum.is_nan() { f64::INFINITY } else { sum.max(whole) }
    }

    /// Where to split so that leaves that trees wish for die in both halves, as many as can be.
    fn conflict(&mut self) -> Option<Split> {
        let mut bounds = std::mem::take(&mut self.bounds);
        bounds.clear();
        for (t, &leaf) in self.wish.chosen.iter().enumerate() {
            let Leaf { start, end, .. } = self.leaves[leaf as usize];
            let weight = self.wish.spread[t] >> WEIGHT_SHIFT | 1;
            for side in &self.sides[start as usize..end as usize] {
                let (column, c) = (side.column, side.column as usize);
                if side.low > self.hull.low[c] {
                    bounds.push(Bound { column, at: side.low, low: true, weight });
                }
                if side.high < self.hull.high[c] {
                    bounds.push(Bound { column, at: side.high + 1, low: false, weight });
                }
            }
        }
        bounds.sort_unstable();
        let mut best: Option<(i64, i64, Split)> = None;
        for group in bounds.chunk_by(|a, b| a.column == b.column) {
            let mut above: i64 = group.iter().filter(|b| b.low).map(|b| b.weight).sum();
            let mut below = 0;
            for same in group.chunk_by(|a, b| a.at == b.at) {
                below += same.iter().filter(|b| !b.low).map(|b| b.weight).sum::<i64>();
                let (least, both) = (above.min(below), above + below);
                let split = Split { column: same[0].column, at: same[0].at };
                if least > 0 && best.is_none_or(|(l, b, _)| (least, both) > (l, b)) {
                    best = Some((least, both, split));
                }
                above -= same.iter().filter(|b| b.low).map(|b| b.weight).sum::<i64>();
            }
        }
        self.bounds = bounds;
        best.map(|(_, _, split)| split)
    }

    /// Where the joint wish is narrower than the box: the column that costs most.
    fn loosest(&self) -> Option<Split> {
        let joint = &self.joint;
        let mut best: Option<(f64, Split)> = None;
        for &column in &joint.touched {
            let c = column as usize;
            let at = match (joint.low[c] > self.hull.low[c], joint.high[c] < self.hull.high[c]) {
                // Towards the row, where the share grows.
                (true, true) if joint.high[c] < self.row.own[c] => joint.high[c] + 1,
                (true, _) => joint.low[c],
                (false, true) => joint.high[c] + 1,
                (false, false) => continue,
            };
            let costs = joint.toll[c] - self.hull.toll[c];
            let better = best.is_none_or(|(held, split)| {
                costs > held || (costs == held && column < split.column)
            });
            if better {
                best = Some((costs, Split { column, at }));
            }
        }
        best.map(|(_, split)| split)
    }
}

/// Appends the sides of a leaf that bind this row; whether the row can reach it.
fn reachable(row: &Row<'_>, of: &[Side], sides: &mut Vec<Side>) -> bool {
    for side in of {
        let c = side.column as usize;
        if row.values[c].is_nan() {
            if !side.missing {
                return false;
            }
        } else if side.low > side.high || row.toll(c, side.low, side.high) == f64::INFINITY {
            return false;
        } else if side.low > 0 || side.high < row.boxes.columns[c].last() {
            sides.push(*side);
        }
    }
    true
}

/// Keeps of the entries from `first` on those that are wanted.
fn retain_from<T: Copy>(all: &mut Vec<T>, first: usize, wanted: impl Fn(&T) -> bool) {
    let mut kept = first;
    for at in first..all.len() {
        let entry = all[at];
        if wanted(&entry) {
            all[kept] = entry;
            kept += 1;
        }
    }
    all.truncate(kept);
}

/// Stands for no parent.
const ROOT: u32 = u32::MAX;

/// Stands for all cells of a column.
const WHOLE: u32 = u32::MAX;

/// Stands for a tree that no leaf is at hand for yet: below every gain.
const NONE: i64 = i64::MIN;

/// Bits of the greatest sum in integers: below 63, so that a few sums can be added.
const SUM_BITS: f64 = 58.0;

/// Keeps the unit within the exponents of an f64.
const SUM_BITS_MAX: f64 = 900.0;

/// Makes room for the sum of the weights of all bounds.
const WEIGHT_SHIFT: u32 = 20;

/// Boxes between two looks at whether someone stopped the search.
const LOOK_EVERY: u64 = 256;

/// Boxes between two tries to find a change beyond the worth of a box.
const REACH_EVERY: u64 = 64;

/// How far such a try goes, in worths of the box.
const REACHES: &[f64] = &[1.0, 1.1, 1.25, 1.5, 2.0, 4.0, f64::INFINITY];
