//! A program at the full batch width and, once that pays, one at a quarter of it.
//!
//! Owns the choice of widths. Rows leave an attack one by one, and a full batch for a few of
//! them computes padding. A second width is used only after it gave, on the same rows, the very
//! bits of the first in every output, so that a row's answer never depends on the width it lands
//! in; where an engine answers otherwise there is one width. Must never know what an output
//! means. Called by [`super`].

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::apart::bits;
use super::batch::Bound;
use super::rows::pick_rows;
use crate::engine::Program;
use crate::graph::{Dim, Graph};
use crate::value::Inputs;

/// The programs of one graph.
pub(super) struct Ladder {
    width: usize,
    wide: Box<dyn Program>,
    /// The narrow width, where the graph may have one.
    quarter: Option<usize>,
    /// Whether a single batch is work enough to be shared by threads.
    heavy: bool,
    narrow: OnceLock<Option<Box<dyn Program>>>,
    /// Rows of padding that the narrow width would have spared so far.
    spared: AtomicUsize,
}

/// Rows that are computed together, at a width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub range: Range<usize>,
    pub width: usize,
}

impl Ladder {
    /// `core` is looked at for its size only.
    pub fn new(wide: Box<dyn Program>, width: usize, fixed: bool, core: &Graph) -> Self {
        let bytes: usize = core.constants.values().map(|v| v.len() * CELL_BYTES).sum();
        let quarter = width / 4;
        let quarter = (!fixed && quarter >= WIDTH_MIN && bytes <= CONSTANTS_MAX).then_some(quarter);
        let heavy = bytes > LIGHT_MAX || core.nodes.iter().any(|n| HEAVY.contains(&n.op.as_str()));
        let (narrow, spared) = (OnceLock::new(), AtomicUsize::new(0));
        Self { width, wide, quarter, heavy, narrow, spared }
    }

    /// The program of a width that [`Ladder::plan`] gave.
    pub fn at(&self, width: usize) -> &dyn Program {
        let narrow = self.narrow.get().and_then(Option::as_ref);
        match narrow.filter(|_| width != self.width) {
            Some(narrow) => narrow.as_ref(),
            None => self.wide.as_ref(),
        }
    }

    /// Cuts rows into pieces; `build` gives the narrow program and is called at most once, when
    /// enough padding would have been spared to pay for it.
    pub fn plan(
        &self,
        rows: usize,
        threads: usize,
        build: impl FnOnce(&dyn Program, usize) -> Option<Box<dyn Program>>,
    ) -> Vec<Piece> {
        let threads = if self.heavy { threads } else { 1 };
        let alone = pieces(rows, self.width, None, threads);
        let Some(quarter) = self.quarter else { return alone };
        let both = pieces(rows, self.width, Some(quarter), threads);
        if both == alone {
            return alone;
        }
        if self.narrow.get().is_none() {
            let idle = rows.div_ceil(self.width).next_multiple_of(threads.max(1)) * self.width;
            let now = idle.saturating_sub(rows);
            if self.spared.fetch_add(now, Ordering::Relaxed) + now < SPARED_MIN {
                return alone;
            }
        }
        let narrow = self.narrow.get_or_init(|| build(self.wide.as_ref(), quarter));
        if narrow.is_some() { both } else { alone }
    }
}

/// The graph for batches of another width.
pub(super) fn at_width(core: &Graph, width: usize) -> Graph {
    let mut core = core.clone();
    for input in &mut core.inputs {
        if let Some(first) = input.shape.as_mut().and_then(|s| s.first_mut()) {
            *first = Dim::Fixed(width);
        }
    }
    core
}

/// Whether two programs of one graph give each row the same bits. `extra` adds to the inputs of
/// some rows what does not come from the data; `None` from it means no.
pub(super) fn same_bits(
    bound: &Bound,
    (wide, width): (&dyn Program, usize),
    (narrow, quarter): (&dyn Program, usize),
    outputs: &[&str],
    extra: impl Fn(&Range<usize>, &mut Inputs) -> Option<()>,
) -> Option<()> {
    let rows: Vec<usize> = (0..width).map(|i| i % bound.rows.max(1)).collect();
    let x: Vec<f32> =
        rows.iter().flat_map(|&r| &bound.clean[r * bound.dims..][..bound.dims]).copied().collect();
    let run = |program: &dyn Program, range: Range<usize>| {
        let cells = range.start * bound.dims..range.end * bound.dims;
        let mut inputs = bound.inputs(&rows[range.clone()], &x[cells], range.len()).ok()?;
        extra(&range, &mut inputs)?;
        program.run(&inputs, outputs).ok()
    };
    let whole = run(wide, 0..width)?;
    for from in (0..width).step_by(quarter) {
        let part = run(narrow, from..from + quarter)?;
        let picked: Vec<usize> = (from..from + quarter).collect();
        for (whole, part) in whole.iter().zip(&part) {
            if whole.shape().first() != Some(&width) || !bits(&pick_rows(whole, &picked)?, part) {
                return None;
            }
        }
    }
    Some(())
}

/// Full batches first; a rest of at most three quarters of one, and what the threads cannot
/// share evenly, in narrow ones.
fn pieces(rows: usize, width: usize, quarter: Option<usize>, threads: usize) -> Vec<Piece> {
    let (mut full, rest) = (rows / width, rows % width);
    let mut small = 0;
    if let Some(quarter) = quarter {
        let uneven = full % threads.max(1);
        full -= uneven;
        small = uneven * width;
        if rest.div_ceil(quarter) * quarter < width || small > 0 {
            small += rest;
        }
    }
    let rest = rows - full * width - small;
    let mut from = 0;
    let mut piece = |n: usize, width: usize| {
        let range = from..from + n;
        from += n;
        Piece { range, width }
    };
    let mut out: Vec<Piece> = (0..full).map(|_| piece(width, width)).collect();
    if rest > 0 {
        out.push(piece(rest, width));
    }
    let quarter = quarter.unwrap_or(width);
    while small > 0 {
        let n = small.min(quarter);
        out.push(piece(n, quarter));
        small -= n;
    }
    out
}

/// Narrow batches are no narrower than this: kernels for one or two rows round otherwise.
const WIDTH_MIN: usize = 4;

/// Bytes of a constant's element, for the estimate of a graph's size.
const CELL_BYTES: usize = 4;

/// Graphs with more constants than this have one width: each program keeps a copy of its own,
/// and with that many weights a batch has rows enough for all cores.
const CONSTANTS_MAX: usize = 96 << 20;

/// Operators of which one is work enough for a batch to be shared by threads.
const HEAVY: &[&str] =
    &["Conv", "ConvTranspose", "LayerNormalization", "LSTM", "GRU", "RNN", "Attention"];

/// Bytes of constants up to which a graph without [`HEAVY`] operators is computed in less time
/// than it takes to start a thread and to cut its batch.
const LIGHT_MAX: usize = 16 << 20;

/// Rows of padding that pay for a narrow program: compiling it and comparing it costs about as
/// much as so many rows.
const SPARED_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_once_and_spare_padding() {
        let widths = |rows, threads| -> Vec<usize> {
            let all = pieces(rows, 32, Some(8), threads);
            let mut next = 0;
            for piece in &all {
                assert_eq!(piece.range.start, next, "{rows} rows");
                assert!(!piece.range.is_empty() && piece.range.len() <= piece.width);
                next = piece.range.end;
            }
            assert_eq!(next, rows);
            all.iter().map(|p| p.width).collect()
        };
        for (rows, threads, wanted) in [
            (0, 1, vec![]),
            (1, 1, vec![8]),
            (8, 1, vec![8]),
            (24, 1, vec![8, 8, 8]),
            (25, 1, vec![32]),
            (32, 1, vec![32]),
            (40, 1, vec![32, 8]),
            (60, 1, vec![32, 32]),
            (32, 2, vec![8, 8, 8, 8]),
            (64, 2, vec![32, 32]),
            (33, 2, vec![8, 8, 8, 8, 8]),
        ] {
            assert_eq!(widths(rows, threads), wanted, "{rows} rows, {threads} threads");
        }
        for rows in 0..200 {
            for threads in 1..5 {
                widths(rows, threads);
            }
        }
        let plain = pieces(70, 32, None, 3);
        assert_eq!(plain.iter().map(|p| p.range.len()).collect::<Vec<_>>(), [32, 32, 6]);
    }
}
