//! Points that a search or a prover found, proposed to the harness like any attack's.
//!
//! Owns nothing but the order of asking: the nearest first, deeper ones where rounding kept the
//! deployed engine at its decision. Called by the harness, through a suite.

use std::collections::BTreeMap;

use proofmark_schema::system::Norm;

use crate::evasion::{Attack, Family, Needs, Rank};
use crate::harness::{Arena, ArenaError, Reach};

/// Candidates by row, each a full list of free coordinates.
#[derive(Clone, Debug)]
pub struct Proposals {
    source: Source,
    by_row: BTreeMap<usize, Vec<Vec<f32>>>,
    settings: String,
}

impl Proposals {
    /// Candidates by row of the data, the nearest first; `settings` in words.
    pub fn new(source: Source, by_row: BTreeMap<usize, Vec<Vec<f32>>>, settings: String) -> Self {
        Self { source, by_row, settings }
    }
}

/// Who found the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Id.
    pub id: &'static str,
    /// Edition: raised whenever a figure can change.
    pub edition: u32,
}

/// The exact search over the leaf boxes of trees.
pub const TREES: Source = Source { id: "exact-trees", edition: 1 };

/// The prover of networks.
pub const NETWORKS: Source = Source { id: "network-proof", edition: 1 };

impl Attack for Proposals {
    fn id(&self) -> &'static str {
        self.source.id
    }
    fn edition(&self) -> u32 {
        self.source.edition
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
