//! Greedy search, one coordinate at a time, over deployed values.
//!
//! # Threat
//! An attacker who tries other values of one field after the other: the way people probe a
//! credit form.
//!
//! # Method
//! For every coordinate a ladder of deployed values within the budget (all of them when there
//! are few, else evenly spaced). Each round asks every single change of the current point and
//! takes the one that lowers the margin most; where none does, the search starts again from
//! random rungs. With decisions only, every round starts from random rungs.
//!
//! # Limits
//! Greedy: a decision that only falls when several fields change together can be missed. Not
//! run beyond 64 free coordinates. A step function is met only where a rung falls on its step.
//!
//! # Source
//! Coordinate descent; on trees compare Papernot et al. 2016 ("Transferability in machine
//! learning", section 3.4). The ladder over deployed values is our own.

use proofmark_schema::system::Norm;

use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach, Reply};
use crate::space::Space;
use crate::stream::Stream;

/// The search with a limit of queries per row.
pub(super) struct Coordinate {
    queries: usize,
}

impl Coordinate {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
    }
}

impl Attack for Coordinate {
    fn id(&self) -> &'static str {
        "coordinate"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2, Norm::L1]
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        format!("at most {} queries a row", self.queries)
    }
    fn fits(&self, space: &Space) -> Result<(), String> {
        if space.dims() > DIMS_MAX {
            return Err(format!("{} free coordinates, at most {DIMS_MAX}", space.dims()));
        }
        Ok(())
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let rungs = (CANDIDATES / arena.dims().max(1)).clamp(3, 65);
        let mut walkers: Vec<Walker> =
            arena.open().into_iter().map(|s| Walker::start(arena, s, rungs)).collect();
        loop {
            walkers.retain(|w| arena.is_open(w.seat) && w.spent < self.queries);
            if walkers.is_empty() {
                return Ok(());
            }
            let (mut seats, mut points, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            for walker in &walkers {
                let candidates = walker.candidates(arena, self.queries - walker.spent);
                counts.push(candidates.len());
                seats.extend(candidates.iter().map(|_| walker.seat));
                points.extend(candidates.into_iter().flatten());
            }
            let replies = arena.ask(&seats, &points, Reach::Ball)?;
            let mut first = 0;
            for (walker, count) in walkers.iter_mut().zip(counts) {
                let dims = arena.dims();
                let range = first..first + count;
                first += count;
                let points = &points[range.start * dims..range.end * dims];
                walker.take(&replies[range], points, dims);
            }
            walkers.retain(|w| !w.exhausted());
        }
    }
}

struct Walker {
    seat: usize,
    ladders: Vec<Vec<f32>>,
    x: Vec<f32>,
    margin: f64,
    spent: usize,
    stream: Stream,
    fresh: bool,
}

impl Walker {
    fn start(arena: &Arena<'_>, seat: usize, rungs: usize) -> Self {
        let clean = arena.clean(seat);
        let each = clean.iter().enumerate();
        let ladders = each.map(|(i, &c)| arena.space().ladder(i, c, arena.eps(), rungs)).collect();
        let (x, stream) = (clean.to_vec(), arena.stream(seat));
        Self { seat, ladders, x, margin: f64::INFINITY, spent: 0, stream, fresh: true }
    }

    /// Every single change of the current point as it would be deployed, at most `left`.
    fn candidates(&self, arena: &Arena<'_>, left: usize) -> Vec<Vec<f32>> {
        let mut all = Vec::new();
        if !self.fresh {
            all.push(self.x.clone());
        }
        for (i, ladder) in self.ladders.iter().enumerate() {
            for &rung in ladder.iter().filter(|r| r.to_bits() != self.x[i].to_bits()) {
                let mut wished: Vec<f64> = self.x.iter().map(|&v| f64::from(v)).collect();
                wished[i] = f64::from(rung);
                all.push(arena.deployed(self.seat, &wished, Reach::Ball));
            }
        }
        all.truncate(left);
        all
    }

    fn take(&mut self, replies: &[Reply], points: &[f32], dims: usize) {
        self.spent += replies.len();
        let mut best: Option<(f64, usize)> = None;
        for (at, reply) in replies.iter().enumerate() {
            if let Reply::Standing { margin: Some(margin) } = *reply
                && best.is_none_or(|(least, _)| margin < least)
            {
                best = Some((margin, at));
            }
        }
        match best {
            Some((margin, at)) if margin < self.margin => {
                self.margin = margin;
                self.x = points[at * dims..(at + 1) * dims].to_vec();
                self.fresh = true;
            }
            _ => self.restart(),
        }
    }

    /// A random rung in every coordinate; the harness projects where the norm asks for it.
    fn restart(&mut self) {
        for (value, ladder) in self.x.iter_mut().zip(&self.ladders) {
            *value = ladder[self.stream.below(ladder.len())];
        }
        self.margin = f64::INFINITY;
        self.fresh = false;
    }

    /// Nothing can be changed at all.
    fn exhausted(&self) -> bool {
        self.ladders.iter().all(|l| l.len() < 2)
    }
}

/// Beyond this many coordinates a round would cost more than gradient-free attacks on images.
const DIMS_MAX: usize = 64;

/// Candidates per round that the ladders are cut to.
const CANDIDATES: usize = 256;
