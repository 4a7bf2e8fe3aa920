//! The boundary attack: a random walk along the boundary, ever nearer, from decisions alone.
//!
//! # Threat
//! An attacker behind an interface that answers with a decision.
//!
//! # Method
//! Starts where HopSkipJump does and bisects to the boundary. Then, round by round, some points on
//! the sphere around the clean row at a random angle, half of them drawn in a little: any success
//! nearer than before is the next place. The angle is turned up or down so that about half of
//! the points on the sphere succeed, the step inward likewise.
//!
//! # Limits
//! Needs more queries than HopSkipJump for the same distance; it is the plainest attack that works
//! where a normal cannot be estimated. L2.
//!
//! # Source
//! Brendel, Rauber, Bethge, "Decision-based adversarial attacks" (ICLR 2018), section 2; the rules
//! for the two step sizes after section 2.3.

use proofmark_schema::system::Norm;

use super::walk::{Walk, length};
use super::{Attack, Family, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError};

/// The attack with a limit of queries per row.
pub(super) struct Boundary {
    queries: usize,
}

impl Boundary {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
    }
}

impl Attack for Boundary {
    fn id(&self) -> &'static str {
        "boundary"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::L2]
    }
    fn family(&self) -> Family {
        Family::MinDistance
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        format!("at most {} queries a row", self.queries)
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut walk = Walk::begin(arena, self.queries, 0)?;
        let all = walk.all();
        walk.bisect(&all)?;
        let mut steps = vec![Steps { around: AROUND, inward: INWARD }; all.len()];
        for _ in 0..ROUNDS_MAX {
            let open: Vec<usize> =
                walk.open(usize::MAX).into_iter().filter(|&h| steps[h].inward > LEAST).collect();
            if open.is_empty() {
                break;
            }
            let mut asks = Vec::new();
            for &h in &open {
                for turn in 0..2 * POINTS {
                    let inward = if turn < POINTS { 0.0 } else { steps[h].inward };
                    asks.push((h, step(&mut walk, h, steps[h].around, inward)));
                }
            }
            let mut hits: Vec<[f64; 2]> = vec![[0.0; 2]; all.len()];
            for (at, answer) in walk.ask(asks)?.into_iter().enumerate() {
                let half = usize::from(at % (2 * POINTS) >= POINTS);
                hits[answer.hopper][half] += f64::from(u8::from(answer.hit == Some(true)));
            }
            for &h in &open {
                steps[h].adapt(hits[h].map(|k| k / POINTS as f64));
            }
        }
        Ok(())
    }
}

/// Sizes of the two steps, as shares of the distance.
#[derive(Clone, Copy)]
struct Steps {
    around: f64,
    inward: f64,
}

impl Steps {
    /// By the shares of successes on the sphere and further in.
    fn adapt(&mut self, [on, inside]: [f64; 2]) {
        if on > 0.5 {
            self.around = (self.around * GROW).min(1.0);
        } else if on < 0.2 {
            self.around /= GROW;
        }
        if inside > 0.5 {
            self.inward = (self.inward * GROW).min(0.5);
        } else if inside < 0.2 {
            self.inward /= GROW;
        }
    }
}

/// A point at a random angle on the sphere through the row's place, drawn in by a share.
fn step(walk: &mut Walk<'_, '_>, hopper: usize, around: f64, inward: f64) -> Vec<f64> {
    let far = walk.length(hopper);
    let hopper = &mut walk.hoppers[hopper];
    let mut raw: Vec<f64> = hopper.moved.iter().map(|_| hopper.stream.normal()).collect();
    // Only what is at right angles to the way home.
    let along: f64 = raw.iter().zip(&hopper.moved).map(|(r, m)| r * m).sum();
    let square = (far * far).max(f64::MIN_POSITIVE);
    raw.iter_mut().zip(&hopper.moved).for_each(|(r, m)| *r -= along / square * m);
    let size = length(&raw, Norm::L2).max(f64::MIN_POSITIVE);
    let point: Vec<f64> =
        hopper.moved.iter().zip(&raw).map(|(m, r)| m + around * far * r / size).collect();
    let long = length(&point, Norm::L2).max(f64::MIN_POSITIVE);
    point.iter().map(|p| p * far * (1.0 - inward) / long).collect()
}

/// First step around, as a share of the distance.
const AROUND: f64 = 0.3;
/// First step inward.
const INWARD: f64 = 0.1;
/// Factor by which steps grow and shrink.
const GROW: f64 = 1.5;
/// A row ends when its step inward is below this share.
const LEAST: f64 = 1e-4;
/// Points on the sphere, and as many further in, per round.
const POINTS: usize = 5;
/// A row's own limit of queries ends the walk long before.
const ROUNDS_MAX: usize = 100_000;
