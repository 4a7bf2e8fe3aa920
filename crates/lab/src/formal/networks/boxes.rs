//! Branch and bound on the inputs: for networks with few of them.
//!
//! Owns the queue of boxes. Bounds of every layer are found anew for each box, so they become
//! exact as boxes shrink. Must never drop a box that is not proved.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::crown::{Frame, Scene};
use super::interval::{self, Pains};
use super::net::{Matrix, Net};
use super::region::Region;
use super::search::Round;
use super::tune::Effort;
use super::work;

struct Cell {
    region: usize,
    low: Vec<f64>,
    high: Vec<f64>,
    /// Bound for real arithmetic and for any evaluation in 32 bits.
    lower: f64,
    /// Bound for real arithmetic.
    real: f64,
}

/// The search over the regions of one box.
pub(crate) struct Boxes<'a> {
    net: &'a Net,
    frame: &'a Frame,
    regions: &'a [Region],
    queue: BinaryHeap<Cell>,
    /// Boxes that are proved in real arithmetic alone.
    aside: BinaryHeap<Cell>,
    threads: usize,
    /// Boxes looked at.
    pub visited: u64,
    /// The least bound of what was proved.
    pub margin: f64,
    /// Boxes that cannot be split further and are not proved.
    pub stuck: u64,
    /// Boxes that cannot be split further and are proved in real arithmetic alone.
    pub real: u64,
}

/// A bounded cell: with its lower bound, the point where the bound is least, and how much each
/// input weighs.
struct Bounded {
    lower: f64,
    real: f64,
    point: Vec<f64>,
    weight: Vec<f64>,
}

impl<'a> Boxes<'a> {
    pub(crate) fn begin(
        scene: Scene<'a>,
        regions: &'a [Region],
        list: &[usize],
        threads: usize,
    ) -> Self {
        let whole = |&region: &usize| {
            let (low, high) = regions[region].outer();
            let (low, high) = (low.into_iter().collect(), high.into_iter().collect());
            Cell { region, low, high, lower: f64::NEG_INFINITY, real: f64::NEG_INFINITY }
        };
        Self {
            net: scene.net,
            frame: scene.frame,
            regions,
            queue: list.iter().map(whole).collect(),
            aside: BinaryHeap::new(),
            threads,
            visited: 0,
            margin: f64::INFINITY,
            stuck: 0,
            real: 0,
        }
    }

    /// Boxes that are not proved.
    pub(crate) fn open_parts(&self) -> usize {
        self.queue.len()
    }

    /// Boxes that are proved in real arithmetic alone.
    pub(crate) fn aside_parts(&self) -> usize {
        self.aside.len()
    }

    /// Memory of one waiting box, about.
    pub(crate) fn part_bytes(&self) -> u64 {
        (size_of::<Cell>() + 16 * self.net.inputs() + 64) as u64
    }

    /// The least bound of what is open.
    pub(crate) fn lower(&self) -> f64 {
        self.queue.peek().map_or(f64::INFINITY, |cell| cell.lower)
    }

    /// Bounds the worst boxes and halves those that are not proved; `None` when none is open.
    pub(crate) fn round(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Round> {
        let most = CELLS * work::PIECES;
        let mut cells = Vec::with_capacity(most);
        let source = if self.queue.is_empty() { &mut self.aside } else { &mut self.queue };
        while cells.len() < most
            && let Some(cell) = source.pop()
        {
            cells.push(cell);
        }
        if cells.is_empty() {
            return None;
        }
        let done =
            work::shared(self.threads, &work::pieces(&cells), &|some| self.bound(some, stop));
        self.visited += cells.len() as u64;
        let mut points = Matrix::zeros((cells.len(), self.net.inputs()));
        let regions = cells.iter().map(|cell| cell.region).collect();
        for (r, (cell, bounded)) in cells.into_iter().zip(done.into_iter().flatten()).enumerate() {
            points.row_mut(r).iter_mut().zip(&bounded.point).for_each(|(p, v)| *p = *v);
            let lower = (cell.lower.max(bounded.lower), cell.real.max(bounded.real));
            if lower.0 > 0.0 {
                self.margin = self.margin.min(lower.0);
                continue;
            }
            match (halves(cell, lower, &bounded.weight), lower.1 > 0.0) {
                (Some(both), false) => self.queue.extend(both),
                (Some(both), true) => self.aside.extend(both),
                (None, false) => self.stuck += 1,
                (None, true) => self.real += 1,
            }
        }
        Some(Round { points, regions })
    }

    fn bound(&self, cells: &[Cell], stop: &(dyn Fn() -> bool + Sync)) -> Vec<Bounded> {
        let of = |side: fn(&Cell) -> &Vec<f64>| {
            Matrix::from_shape_fn((cells.len(), self.net.inputs()), |(r, i)| side(&cells[r])[i])
        };
        let corners = (of(|c| &c.low), of(|c| &c.high));
        let pains = Pains { effort: Some(PLAIN), threads: 1 };
        let (domains, _) = interval::bounds(self.net, corners, Some(self.frame), pains, stop);
        let each = cells.iter().enumerate().flat_map(|(d, cell)| {
            self.regions[cell.region].limits.iter().map(move |limit| (limit, d))
        });
        let rows = Region::rows(self.net, each);
        let scene = Scene { net: self.net, frame: self.frame };
        let pass = scene.backward(&domains, &rows, None);
        let mut best: Vec<Option<usize>> = vec![None; cells.len()];
        for (r, &d) in rows.domain.iter().enumerate() {
            if best[d].is_none_or(|held| pass.lower[r] > pass.lower[held]) {
                best[d] = Some(r);
            }
        }
        let bounded = cells.iter().zip(best).map(|(cell, best)| {
            let ends = || cell.low.iter().zip(&cell.high);
            let Some(r) = best else {
                let point = cell.low.clone();
                let (lower, real) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
                return Bounded { lower, real, point, weight: vec![0.0; cell.low.len()] };
            };
            let a = pass.input.row(r);
            let least = |(a, (l, h)): (&f64, (&f64, &f64))| if *a > 0.0 { *l } else { *h };
            Bounded {
                lower: pass.lower[r],
                real: pass.real[r],
                point: a.iter().zip(ends()).map(least).collect(),
                weight: a.iter().zip(ends()).map(|(a, (l, h))| a.abs() * (h - l)).collect(),
            }
        });
        bounded.collect()
    }
}

/// The halves of a box across the input that weighs most; `None` where no double lies between.
fn halves(cell: Cell, (lower, real): (f64, f64), weight: &[f64]) -> Option<[Cell; 2]> {
    let middle = |i: usize| 0.5 * (cell.low[i] + cell.high[i]);
    let wide = |&i: &usize| middle(i) > cell.low[i] && middle(i) < cell.high[i];
    let at = (0..weight.len()).filter(wide).max_by(|&a, &b| weight[a].total_cmp(&weight[b]))?;
    let cut = middle(at);
    let (mut left, mut right) = (cell.high.clone(), cell.low.clone());
    left[at] = cut;
    right[at] = cut;
    let region = cell.region;
    let low = Cell { region, low: cell.low, high: left, lower, real };
    let high = Cell { region, low: right, high: cell.high, lower, real };
    Some([low, high])
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Cell {}
impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Cell {
    /// The worst bound comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.lower.total_cmp(&self.lower)
    }
}

/// Boxes that are bounded together.
const CELLS: usize = 32;
/// Plain CROWN.
const PLAIN: Effort = Effort { steps: 0, rate: 0.0, rate_beta: 0.0, decay: 1.0 };
