//! SimBA: one coordinate at a time, kept when the score falls.
//!
//! # Threat
//! An attacker behind an interface that answers with scores, and who knows nothing else.
//!
//! # Method
//! Coordinates in a random order, each moved up and, where that does not help, down; a move that
//! lowers the margin is kept. The first pass moves by the whole budget, so that a corner of an
//! L-inf ball is reached in two queries per coordinate; later passes halve the step. Every query is
//! asked at a deployed point inside the budget and is itself a candidate witness.
//!
//! # Limits
//! Greedy, and slow in many dimensions: a pass costs up to two queries per coordinate. On step
//! functions most moves change nothing and are not kept.
//!
//! # Source
//! Guo, Gardner, You, Wilson, Weinberger, "Simple black-box adversarial attacks" (ICML 2019),
//! algorithm 1 with the standard basis; the halving of the step is our own.

use proofmark_schema::system::Norm;

use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach, Reply};
use crate::stream::Stream;

/// The attack with a limit of queries per row.
pub(super) struct Simba {
    queries: usize,
}

impl Simba {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
    }
}

impl Attack for Simba {
    fn id(&self) -> &'static str {
        "simba"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Scores
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

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut walkers: Vec<Walker> =
            arena.open().into_iter().map(|seat| Walker::start(arena, seat)).collect();
        loop {
            walkers.retain(|w| arena.is_open(w.seat) && w.spent < self.queries && !w.ended());
            if walkers.is_empty() {
                return Ok(());
            }
            let seats: Vec<usize> = walkers.iter().map(|w| w.seat).collect();
            let points: Vec<Vec<f32>> = walkers.iter().map(|w| w.candidate(arena)).collect();
            let replies = arena.ask(&seats, &points.concat(), Reach::Ball)?;
            for ((walker, reply), point) in walkers.iter_mut().zip(replies).zip(points) {
                walker.take(reply, point);
            }
        }
    }
}

struct Walker {
    seat: usize,
    stream: Stream,
    x: Vec<f32>,
    /// Margin at `x`; `None` before the clean point was asked.
    margin: Option<f64>,
    /// Coordinates in the order of this pass.
    order: Vec<usize>,
    at: usize,
    down: bool,
    step: f64,
    least: f64,
    spent: usize,
}

impl Walker {
    fn start(arena: &Arena<'_>, seat: usize) -> Self {
        let reach = match arena.eps() {
            eps if eps.is_finite() => eps,
            _ => arena.space().diameter(arena.norm()).min(REACH_MAX),
        };
        let mut walker = Self {
            seat,
            stream: arena.stream(seat),
            x: arena.clean(seat).to_vec(),
            margin: None,
            order: (0..arena.dims()).collect(),
            at: 0,
            down: false,
            step: reach,
            least: reach / LEAST_PARTS,
            spent: 0,
        };
        walker.shuffle();
        walker
    }

    fn shuffle(&mut self) {
        for i in (1..self.order.len()).rev() {
            self.order.swap(i, self.stream.below(i + 1));
        }
    }

    fn candidate(&self, arena: &Arena<'_>) -> Vec<f32> {
        let mut wished: Vec<f64> = self.x.iter().map(|&v| f64::from(v)).collect();
        if self.margin.is_some() {
            let field = self.order[self.at];
            let step = if self.down { -self.step } else { self.step };
            wished[field] += step * arena.space().unit(field);
        }
        arena.deployed(self.seat, &wished, Reach::Ball)
    }

    fn take(&mut self, reply: Reply, point: Vec<f32>) {
        self.spent += 1;
        let Reply::Standing { margin: Some(margin) } = reply else {
            // NaN, or a success outside of the budget cannot be: nothing to climb by.
            self.next();
            return;
        };
        match self.margin {
            None => self.margin = Some(margin),
            Some(best) if margin < best => {
                self.margin = Some(margin);
                self.x = point;
                self.next();
            }
            Some(_) if !self.down => self.down = true,
            Some(_) => self.next(),
        }
    }

    fn next(&mut self) {
        self.down = false;
        self.at += 1;
        if self.at >= self.order.len() {
            self.at = 0;
            self.step /= 2.0;
            self.shuffle();
        }
    }

    fn ended(&self) -> bool {
        self.step < self.least || self.order.is_empty()
    }
}

/// The step is halved down to this part of the budget.
const LEAST_PARTS: f64 = 256.0;
/// Stands for the size of a box without bounds.
const REACH_MAX: f64 = 1e6;
