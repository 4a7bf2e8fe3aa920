//! Points that broke a related system, tried again on this one.
//!
//! # Threat
//! An attacker who holds witnesses against an earlier version, another model of the house or the
//! system without the measure, and sends them unchanged.
//!
//! # Method
//! Every stored point of the row is proposed once; the harness projects it into budget and box.
//!
//! # Limits
//! Finds nothing that was not found before: it stands in front of attacks that search.
//!
//! # Source
//! Papernot et al. 2016, "Transferability in machine learning"; adaptive use as Tramer et al. 2020.

use std::collections::BTreeMap;

use proofmark_schema::system::Norm;

use crate::evasion::{Attack, Needs, Rank};
use crate::harness::{Arena, ArenaError, Reach, RowRecord};

/// Points by data row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Starts {
    by_row: BTreeMap<usize, Vec<Vec<f32>>>,
}

impl Starts {
    /// Takes up the witnesses of a run; points already held are not held twice.
    pub fn add(&mut self, records: &[RowRecord]) {
        for record in records {
            let Some(witness) = &record.witness else { continue };
            let held = self.by_row.entry(record.point.index as usize).or_default();
            if !held.contains(witness) {
                held.push(witness.clone());
            }
        }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by_row.is_empty()
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.by_row.values().map(Vec::len).sum()
    }

    fn of(&self, row: usize) -> &[Vec<f32>] {
        self.by_row.get(&row).map_or(&[], Vec::as_slice)
    }
}

/// The attack.
#[derive(Clone, Debug)]
pub struct Transfer {
    starts: Starts,
}

impl Transfer {
    /// Of these points.
    pub fn new(starts: Starts) -> Self {
        Self { starts }
    }
}

impl Attack for Transfer {
    fn id(&self) -> &'static str {
        "transfer"
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
        format!("{} points that broke related systems", self.starts.len())
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let most = self.starts.by_row.values().map(Vec::len).max().unwrap_or(0);
        for turn in 0..most {
            let (mut seats, mut points) = (Vec::new(), Vec::new());
            for seat in arena.open() {
                if let Some(point) = self.starts.of(arena.row(seat)).get(turn) {
                    seats.push(seat);
                    points.extend(point);
                }
            }
            if !seats.is_empty() {
                arena.ask(&seats, &points, Reach::Ball)?;
            }
        }
        Ok(())
    }
}
