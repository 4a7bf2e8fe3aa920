//! A program at the full batch width and, once that pays, others beside it: narrower ones, and
//! one that shares a batch between threads of the engine's own.
//!
//! Owns the choice of widths and threads. Rows leave an attack one by one, and a full batch for a
//! few of them computes padding; a batch alone is computed by one thread, where its parts keep
//! several busy. Another program is used only after it gave, on the same rows, the very bits of
//! the full one in every output, so that a row's answer never depends on where it lands; where an
//! engine answers otherwise there is one program less. Must never know what an output means.
//! Called by [`super`].

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
    work: Work,
    /// Narrower programs that the graph may have, widest first.
    narrow: Vec<Rung>,
    /// The full width on as many threads of the engine's own as were asked for first.
    shared: OnceLock<Rung>,
    /// Rows of padding that other programs would have spared so far.
    spared: AtomicUsize,
}

/// A program that may stand beside the full one.
struct Rung {
    width: usize,
    threads: usize,
    /// Empty until it is built; `None` where it answers otherwise than the full one.
    program: OnceLock<Option<Box<dyn Program>>>,
}

impl Rung {
    fn new(width: usize, threads: usize) -> Self {
        Self { width, threads, program: OnceLock::new() }
    }

    fn open(&self) -> bool {
        self.program.get().is_none()
    }

    fn usable(&self) -> bool {
        matches!(self.program.get(), Some(Some(_)))
    }

    fn refused(&self) -> bool {
        matches!(self.program.get(), Some(None))
    }
}

/// How a batch alone is shared by threads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Not at all: it takes less time than to start a thread.
    Light,
    /// By the engine, whose threads wait for work and start at once.
    Even,
    /// By rows, on threads that are started for it.
    Heavy,
}

/// Rows that are computed together: at a width, on threads of the engine's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub range: Range<usize>,
    pub width: usize,
    pub threads: usize,
}

impl Ladder {
    /// `core` is looked at for its size only; `waits` is for an engine whose threads wait.
    pub fn new(
        wide: Box<dyn Program>,
        (width, fixed): (usize, bool),
        core: &Graph,
        waits: bool,
    ) -> Self {
        let bytes: usize = core.constants.values().map(|v| v.len() * CELL_BYTES).sum();
        let may = |w: &usize| !fixed && *w >= WIDTH_MIN && bytes <= CONSTANTS_MAX;
        let half = (bytes > CACHED_MAX).then_some(width / 2);
        let narrow = half.into_iter().chain([width / 4]).filter(may);
        let narrow = narrow.map(|width| Rung::new(width, 1)).collect();
        let heavy = bytes > EVEN_MAX || core.nodes.iter().any(|n| HEAVY.contains(&n.op.as_str()));
        let work = match heavy {
            true => Work::Heavy,
            false if waits && bytes > LIGHT_MAX => Work::Even,
            false => Work::Light,
        };
        Self { width, wide, work, narrow, shared: OnceLock::new(), spared: AtomicUsize::new(0) }
    }

    /// The program of a piece that [`Ladder::plan`] gave.
    pub fn at(&self, piece: &Piece) -> &dyn Program {
        let same = |rung: &&Rung| (rung.width, rung.threads) == (piece.width, piece.threads);
        let rung = self.narrow.iter().chain(self.shared.get()).find(same);
        let program = rung.and_then(|rung| rung.program.get()).and_then(Option::as_ref);
        program.map_or(self.wide.as_ref(), AsRef::as_ref)
    }

    /// Cuts rows into pieces; `build` gives a program of another width or number of threads,
    /// compared with the full one. It is called at most once for each, when enough padding would
    /// have been spared to pay for it.
    pub fn plan(
        &self,
        rows: usize,
        threads: usize,
        build: impl Fn(&dyn Program, usize, usize) -> Option<Box<dyn Program>>,
    ) -> Vec<Piece> {
        let build = |rung: &Rung| {
            rung.program.get_or_init(|| build(self.wide.as_ref(), rung.width, rung.threads));
        };
        if let Some(piece) = self.together(rows, threads, build) {
            return vec![piece];
        }
        let threads = if self.work == Work::Heavy { threads.max(1) } else { 1 };
        loop {
            let rungs = || self.narrow.iter().filter(|rung| !rung.refused());
            let found = pieces(rows, &self.widths(rungs()), threads);
            let asked = |rung: &&Rung| found.iter().any(|piece| piece.width == rung.width);
            let Some(next) = rungs().filter(|rung| rung.open()).find(asked) else { return found };
            let idle = rows.div_ceil(self.width).next_multiple_of(threads) * self.width;
            if !self.pays(idle.saturating_sub(rows)) {
                return pieces(rows, &self.widths(rungs().filter(|rung| rung.usable())), threads);
            }
            build(next);
        }
    }

    /// All rows as one batch on the engine's own threads.
    fn together(&self, rows: usize, threads: usize, build: impl Fn(&Rung)) -> Option<Piece> {
        let narrow = self.narrow.last().map_or(0, |rung| rung.width);
        if self.work != Work::Even || threads < 2 || rows > self.width || rows <= narrow {
            return None;
        }
        let rung = self.shared.get_or_init(|| Rung::new(self.width, threads));
        if rung.open() && self.pays(self.width) {
            build(rung);
        }
        let fits = rung.threads == threads && rung.usable();
        fits.then_some(Piece { range: 0..rows, width: self.width, threads })
    }

    fn widths<'a>(&'a self, narrow: impl Iterator<Item = &'a Rung>) -> Vec<usize> {
        [self.width].into_iter().chain(narrow.map(|rung| rung.width)).collect()
    }

    /// Whether so many spared rows, with those before, are worth another program.
    fn pays(&self, now: usize) -> bool {
        self.spared.fetch_add(now, Ordering::Relaxed) + now >= SPARED_MIN
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

/// As many full batches as the threads can share evenly, then the next width for what is left,
/// and so on; what fills all but a narrowest batch of a width is padded. `widths` are in
/// descending order, the first is the full one.
fn pieces(rows: usize, widths: &[usize], threads: usize) -> Vec<Piece> {
    let narrowest = widths.last().copied().unwrap_or(1).max(1);
    let mut out = Vec::new();
    let mut from = 0;
    for (i, &width) in widths.iter().enumerate() {
        let left = rows - from;
        let last = i + 1 == widths.len();
        let mut count = left / width;
        if last {
            count = left.div_ceil(width);
        } else {
            count -= count % threads;
            let rest = left - count * width;
            if rest + narrowest > threads * width {
                count += threads;
            }
        }
        for _ in 0..count {
            let n = width.min(rows - from);
            if n > 0 {
                out.push(Piece { range: from..from + n, width, threads: 1 });
            }
            from += n;
        }
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
const EVEN_MAX: usize = 16 << 20;

/// Bytes of constants up to which it is computed in less time than two waiting threads need to
/// agree.
const LIGHT_MAX: usize = 512 << 10;

/// Bytes of constants that stay in a core's cache from batch to batch; beyond them halves of a
/// batch, which read them half as often as quarters do, are the faster parts.
const CACHED_MAX: usize = 32 << 20;

/// Rows of padding that pay for another program: compiling it and comparing it costs about as
/// much as so many rows.
const SPARED_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_once_and_spare_padding() {
        let widths = |rows, threads| -> Vec<usize> {
            let all = pieces(rows, &[32, 16, 8], threads);
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
            (9, 1, vec![16]),
            (16, 1, vec![16]),
            (24, 1, vec![16, 8]),
            (25, 1, vec![32]),
            (32, 1, vec![32]),
            (40, 1, vec![32, 8]),
            (60, 1, vec![32, 32]),
            (16, 2, vec![8, 8]),
            (25, 2, vec![16, 16]),
            (32, 2, vec![16, 16]),
            (33, 2, vec![16, 16, 8]),
            (57, 2, vec![32, 32]),
            (64, 2, vec![32, 32]),
            (32, 4, vec![8, 8, 8, 8]),
        ] {
            assert_eq!(widths(rows, threads), wanted, "{rows} rows, {threads} threads");
        }
        for rows in 0..200 {
            for threads in 1..5 {
                widths(rows, threads);
            }
        }
        let plain = pieces(70, &[32], 3);
        assert_eq!(plain.iter().map(|p| p.range.len()).collect::<Vec<_>>(), [32, 32, 6]);
    }
}
