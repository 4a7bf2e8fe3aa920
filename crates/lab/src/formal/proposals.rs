//! The nearest changes that a search found, proposed to the harness like any attack's.
//!
//! Owns nothing but the order of asking: the nearest first, deeper ones where rounding kept the
//! deployed engine at its decision. Called by the harness, through a suite.

use std::collections::BTreeMap;

use proofmark_schema::system::Norm;

use crate::evasion::{Attack, Family, Needs, Rank};
use crate::harness::{Arena, ArenaError, Reach};

/// Candidates by row, each a full list of free coordinates.
#[derive(Clone, Debug, Default)]
pub struct Proposals {
    by_row: BTreeMap<usize, Vec<Vec<f32>>>,
    settings: String,
}

impl Proposals {
    /// Candidates by row of the data, the nearest first; `settings` in words.
    pub fn new(by_row: BTreeMap<usize, Vec<Vec<f32>>>, settings: String) -> Self {
        Self { by_row, settings }
    }

    /// Id of the attack that proposes them.
    pub const ID: &'static str = "exact-trees";

    /// Edition: raised whenever a figure can change.
    pub const EDITION: u32 = 1;
}

impl Attack for Proposals {
    fn id(&self) -> &'static str {
        Self::ID
    }
    fn edition(&self) -> u32 {
        Self::EDITION
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2, Norm::L1]
    }
    fn family(&self) -> Family {
        Family::MinDistance
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        self.settings.clone()
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let none = Vec::new();
        let mut open = arena.open();
        for turn in 0.. {
            let of = |seat: &usize| {
                self.by_row.get(&arena.row(*seat)).unwrap_or(&none).get(turn).cloned()
            };
            let asked: Vec<(usize, Vec<f32>)> =
                open.iter().filter_map(|seat| Some((*seat, of(seat)?))).collect();
            if asked.is_empty() {
                return Ok(());
            }
            let (seats, points): (Vec<usize>, Vec<Vec<f32>>) = asked.into_iter().unzip();
            let replies = arena.ask(&seats, &points.concat(), Reach::Box)?;
            let standing = seats.iter().zip(&replies).filter(|(_, reply)| !reply.success());
            open = standing.map(|(seat, _)| *seat).collect();
        }
        Ok(())
    }
}
