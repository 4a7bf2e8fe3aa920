//! Random noise inside the budget.
//!
//! # Threat
//! An attacker without knowledge, or bad luck: any random change within the budget.
//!
//! # Method
//! Even tries draw uniformly from the ball, odd ones from its extreme points: corners (L-inf),
//! the sphere (L2), the vertices (L1). Needs decisions only.
//!
//! # Limits
//! In many dimensions almost never finds what a gradient finds: a baseline and a sanity check,
//! not evidence of robustness.
//!
//! # Source
//! Uniform points of L2 and L1 balls as in Barthe et al., "A probabilistic approach to the
//! geometry of the l_p^n ball" (2005).

use proofmark_schema::system::Norm;

use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::stream::Stream;

/// Noise with a number of tries per row.
pub(super) struct Noise {
    tries: usize,
}

impl Noise {
    pub(super) fn new(settings: Settings) -> Self {
        Self { tries: settings.tries }
    }
}

impl Attack for Noise {
    fn id(&self) -> &'static str {
        "noise"
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
        Rank::Noise
    }
    fn settings(&self) -> String {
        format!("{} tries", self.tries)
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut streams: Vec<Stream> = (0..arena.len()).map(|s| arena.stream(s)).collect();
        let mut tried = 0;
        while tried < self.tries {
            let open = arena.open();
            if open.is_empty() {
                break;
            }
            let block = BLOCK.min(self.tries - tried);
            let (mut seats, mut points) = (Vec::new(), Vec::new());
            for seat in open {
                for at in 0..block {
                    seats.push(seat);
                    let extreme = (tried + at) % 2 == 1;
                    points.extend(candidate(arena, seat, &mut streams[seat], extreme));
                }
            }
            arena.ask(&seats, &points, Reach::Ball)?;
            tried += block;
        }
        Ok(())
    }
}

/// Clean point plus a random displacement of the ball.
fn candidate(arena: &Arena<'_>, seat: usize, stream: &mut Stream, extreme: bool) -> Vec<f32> {
    let moved = displacement(arena.dims(), arena.eps(), arena.norm(), stream, extreme);
    let each = arena.clean(seat).iter().zip(moved).enumerate();
    each.map(|(i, (&c, d))| (f64::from(c) + d * arena.space().unit(i)) as f32).collect()
}

/// A random displacement in the unit of the budget.
pub(super) fn displacement(
    dims: usize,
    eps: f64,
    norm: Norm,
    stream: &mut Stream,
    extreme: bool,
) -> Vec<f64> {
    match norm {
        Norm::Linf if extreme => (0..dims).map(|_| eps * stream.sign()).collect(),
        Norm::Linf => (0..dims).map(|_| eps * stream.symmetric()).collect(),
        Norm::L1 if extreme => {
            let mut moved = vec![0.0; dims];
            moved[stream.below(dims)] = eps * stream.sign();
            moved
        }
        Norm::L2 | Norm::L1 => {
            let raw: Vec<f64> = (0..dims)
                .map(|_| match norm {
                    Norm::L2 => stream.normal(),
                    _ => -(1.0 - stream.unit()).ln() * stream.sign(),
                })
                .collect();
            let length = match norm {
                Norm::L2 => raw.iter().map(|v| v * v).sum::<f64>().sqrt(),
                _ => raw.iter().map(|v| v.abs()).sum(),
            };
            let radius = if extreme { eps } else { eps * stream.unit().powf(1.0 / dims as f64) };
            let factor = if length > 0.0 { radius / length } else { 0.0 };
            raw.into_iter().map(|v| v * factor).collect()
        }
    }
}

/// Tries per row and call: rows leave between calls, the target is asked in large batches.
const BLOCK: usize = 10;
