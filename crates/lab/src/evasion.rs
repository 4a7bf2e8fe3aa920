//! Evasion: attacks that change an input so that the decision changes.
//!
//! Owns the trait of an attack and the one list of attacks. Must never judge: the harness does.
//! Called by the harness (through a suite), by the assessment and by the validity gates.
//! A new attack is one file here and one line in [`REGISTRY`].

use proofmark_schema::system::Norm;

use crate::harness::{Arena, ArenaError};
use crate::oracle::Loss;
use crate::space::Space;

mod apgd;
pub mod assessment;
mod boundary;
mod capgd;
pub mod comparison;
mod coordinate;
mod deepfool;
mod fab;
mod fgsm;
mod hopskipjump;
mod moeva;
mod noise;
pub mod profile;
mod simba;
mod square;
pub mod suite;
mod transfer;
mod walk;

/// What an attack must be able to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Gradients.
    Gradient,
    /// Scores.
    Scores,
    /// Decisions.
    Decision,
}

/// How an attack uses the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Searches inside a given budget.
    FixedBudget,
    /// Looks for the nearest success, whatever the budget.
    MinDistance,
}

/// Place in the order that gate 13 expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Random.
    Noise,
    /// One gradient step.
    OneStep,
    /// Many gradient steps.
    Iterative,
    /// Without gradients.
    BlackBox,
}

/// An attack on one row at a time, worked in batches.
///
/// What it does to a row must depend on the row, its stream and the answers it got for that row
/// alone.
pub trait Attack: Send + Sync {
    /// Id, e.g. `apgd-ce`.
    fn id(&self) -> &'static str;
    /// Edition: raised whenever a figure can change.
    fn edition(&self) -> u32;
    /// What it asks for.
    fn needs(&self) -> Needs;
    /// Distances it is defined for.
    fn norms(&self) -> &'static [Norm];
    /// How it uses the budget.
    fn family(&self) -> Family {
        Family::FixedBudget
    }
    /// The loss it climbs, for gradient attacks: not every target has it.
    fn loss(&self) -> Option<Loss> {
        None
    }
    /// Place in the order of strength.
    fn rank(&self) -> Rank;
    /// Settings in words.
    fn settings(&self) -> String;
    /// Whether it makes sense in this space, else why not.
    ///
    /// # Errors
    /// The reason, in words for the report.
    fn fits(&self, _space: &Space) -> Result<(), String> {
        Ok(())
    }
    /// The same attack with steps and restarts doubled; `None` for attacks without either.
    fn harder(&self) -> Option<Box<dyn Attack>> {
        None
    }
    /// Share of the rows of a linear model, of those that a perturbation of 0.8 times the budget
    /// turns, that it turns at the least: what its kind promises. The conformance suite holds it
    /// to that.
    fn promise(&self) -> f64 {
        match self.rank() {
            Rank::Noise => 0.0,
            Rank::OneStep | Rank::Iterative => 1.0,
            Rank::BlackBox => 0.8,
        }
    }
    /// Proposes candidates for every open seat.
    ///
    /// # Errors
    /// What the arena answers with.
    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError>;
}

/// Settings that a suite or a user may choose; what an attack does not know it ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Random tries per row.
    pub tries: usize,
    /// Gradient steps per restart.
    pub steps: usize,
    /// Restarts.
    pub restarts: usize,
    /// Largest number of queries per row of a black-box attack.
    pub queries: usize,
    /// Other classes that a targeted attack tries, the greatest clean scores first.
    pub targets: usize,
}

/// An attack by name.
pub struct Entry {
    /// Id.
    pub id: &'static str,
    /// Builds it.
    pub build: fn(Settings) -> Box<dyn Attack>,
}

/// Every attack there is.
pub const REGISTRY: &[Entry] = &[
    Entry { id: "noise", build: |s| Box::new(noise::Noise::new(s)) },
    Entry { id: "fgsm", build: |_| Box::new(fgsm::Fgsm::on(Loss::CrossEntropy)) },
    Entry { id: "fgsm-up", build: |_| Box::new(fgsm::Fgsm::on(Loss::Up)) },
    Entry { id: "fgsm-down", build: |_| Box::new(fgsm::Fgsm::on(Loss::Down)) },
    Entry { id: "apgd-ce", build: |s| Box::new(apgd::Apgd::cross_entropy(s)) },
    Entry { id: "apgd-margin", build: |s| Box::new(apgd::Apgd::margin(s)) },
    Entry { id: "apgd-dlr", build: |s| Box::new(apgd::Apgd::ratio(s)) },
    Entry { id: "apgd-t", build: |s| Box::new(apgd::Apgd::targeted(s)) },
    Entry { id: "deepfool", build: |s| Box::new(deepfool::DeepFool::new(s)) },
    Entry { id: "fab", build: |s| Box::new(fab::Fab::untargeted(s)) },
    Entry { id: "fab-t", build: |s| Box::new(fab::Fab::targeted(s)) },
    Entry { id: "square", build: |s| Box::new(square::Square::new(s)) },
    Entry { id: "apgd-up", build: |s| Box::new(apgd::Apgd::push(Loss::Up, s)) },
    Entry { id: "apgd-down", build: |s| Box::new(apgd::Apgd::push(Loss::Down, s)) },
    Entry { id: "coordinate", build: |s| Box::new(coordinate::Coordinate::new(s)) },
    Entry { id: "boundary", build: |s| Box::new(boundary::Boundary::new(s)) },
    Entry { id: "simba", build: |s| Box::new(simba::Simba::new(s)) },
    Entry { id: "transfer", build: |s| Box::new(transfer::Transfer::new(s)) },
    Entry { id: "hopskipjump", build: |s| Box::new(hopskipjump::HopSkipJump::new(s)) },
    Entry { id: "capgd", build: |s| Box::new(capgd::Capgd::new(s)) },
    Entry { id: "moeva", build: |s| Box::new(moeva::Moeva::new(s)) },
];

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
