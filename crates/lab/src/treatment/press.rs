//! The worst point of a row inside a budget: what adversarial training trains on.
//!
//! # Threat
//! As the declared one; but where other attacks stop at the first success, this one goes on until
//! no single change makes the row look better to the attacker.
//!
//! # Method
//! Coordinate descent on the margin over deployed values: every rung of every coordinate is asked
//! for its scores, the lowest margin is taken, until none is lower. The point it ends at is
//! proposed, so that the harness judges whether it is a witness, and is kept in any case.
//!
//! # Limits
//! A local minimum of single changes. Needs scores. Not run beyond 64 free coordinates.
//!
//! # Source
//! The inner maximisation of Madry et al. 2018, "Towards deep learning models resistant to
//! adversarial attacks", over deployed values instead of gradient steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proofmark_schema::system::Norm;

use crate::decision::Decision;
use crate::evasion::{Attack, Needs, Rank};
use crate::harness::{Arena, ArenaError, Reach};
use crate::space::Space;

/// The points it ended at, by data row.
pub type Pressed = BTreeMap<usize, Vec<f32>>;

/// The attack.
#[derive(Debug)]
pub struct Press {
    decision: Decision,
    found: Arc<Mutex<Pressed>>,
}

impl Press {
    /// Margins are read by `decision`; points are left in `found`.
    pub fn new(decision: Decision, found: Arc<Mutex<Pressed>>) -> Self {
        Self { decision, found }
    }
}

impl Attack for Press {
    fn id(&self) -> &'static str {
        "press"
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
        format!("at most {ROUNDS} rounds of {RUNGS} values a coordinate")
    }
    fn fits(&self, space: &Space) -> Result<(), String> {
        if space.dims() > DIMS_MAX {
            return Err(format!("{} free coordinates, at most {DIMS_MAX}", space.dims()));
        }
        Ok(())
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        for seat in arena.open() {
            let x = self.descend(arena, seat)?;
            arena.ask(&[seat], &x, Reach::Ball)?;
            // A poisoned lock only means that another run panicked; its points are whole.
            let mut found = self.found.lock().unwrap_or_else(|e| e.into_inner());
            found.insert(arena.row(seat), x);
        }
        Ok(())
    }
}

impl Press {
    fn descend(&self, arena: &mut Arena<'_>, seat: usize) -> Result<Vec<f32>, ArenaError> {
        let clean = arena.clean(seat);
        let mut x = clean.to_vec();
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let mut points: Vec<Vec<f32>> = vec![x.clone()];
            for i in 0..x.len() {
                for rung in arena.space().ladder(i, clean[i], arena.eps(), RUNGS) {
                    let mut wished: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                    wished[i] = f64::from(rung);
                    points.push(arena.deployed(seat, &wished, Reach::Ball));
                }
            }
            points.retain(|x| arena.valid(seat, x));
            points.truncate(usize::try_from(arena.left(seat)).unwrap_or(usize::MAX));
            if points.is_empty() {
                break;
            }
            let flat: Vec<f32> = points.iter().flatten().copied().collect();
            let scores = arena.scores(&vec![seat; points.len()], &flat)?;
            let label = arena.label(seat);
            let margins = scores.chunks(arena.classes()).map(|s| self.decision.margin(s, label));
            let best = margins.enumerate().filter(|(_, m)| !m.is_nan());
            let Some((at, margin)) = best.min_by(|a, b| a.1.total_cmp(&b.1)) else { break };
            if margin >= least {
                break;
            }
            least = margin;
            x = points.swap_remove(at);
        }
        Ok(x)
    }
}

/// Rounds after which the descent stops: few coordinates are settled long before.
const ROUNDS: usize = 12;
/// Values per coordinate and round.
const RUNGS: usize = 33;
/// Beyond this a round costs more than gradients do.
const DIMS_MAX: usize = 64;
