//! Multi-objective genetic search over valid rows.
//!
//! # Threat
//! An attacker who sees scores and knows which rows are valid: whoever fills in a form over and
//! over, changing several fields at once.
//!
//! # Method
//! A population round each clean row, bred by simulated binary crossover and polynomial mutation,
//! repaired and rounded to the deployed type. Three objectives are lowered together: the margin of
//! the decision, the distance in shares of the budget, and the violation of the declared
//! constraints. The next population is chosen from parents and children by fronts of
//! non-dominated points, within the last front by crowding distance (NSGA-II). A child that
//! crosses the decision is proposed at once. No point is asked twice.
//!
//! # Limits
//! An upper bound: a random search can miss. Needs scores, no gradients, so it runs on trees too.
//! Not run beyond 512 free coordinates.
//!
//! # Source
//! Simonetto et al., "A unified framework for adversarial attack and defense in constrained
//! feature space" (IJCAI 2022), section 4.2 (MoEvA2; there with R-NSGA-III); Deb et al., "A fast
//! and elitist multiobjective genetic algorithm: NSGA-II" (2002); Deb and Agrawal, "Simulated
//! binary crossover" (1995); Deb and Goyal, "A combined genetic adaptive search" (1996).

use std::collections::BTreeSet;

use proofmark_schema::system::Norm;

use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::space::Space;
use crate::stream::Stream;

mod breed;
mod fronts;

use fronts::Standing;

/// The search with a number of generations.
pub(super) struct Moeva {
    generations: usize,
}

impl Moeva {
    /// One generation per step.
    pub(super) fn new(settings: Settings) -> Self {
        Self { generations: settings.steps }
    }
}

impl Attack for Moeva {
    fn id(&self) -> &'static str {
        "moeva"
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
        format!("{} generations of {OFFSPRING}, population {POPULATION}", self.generations)
    }
    fn fits(&self, space: &Space) -> Result<(), String> {
        if space.dims() > DIMS_MAX {
            return Err(format!("{} free coordinates, at most {DIMS_MAX}", space.dims()));
        }
        Ok(())
    }
    fn harder(&self) -> Option<Box<dyn Attack>> {
        Some(Box::new(Self { generations: self.generations * 2 }))
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut herds: Vec<Herd> =
            arena.open().into_iter().map(|seat| Herd::start(arena, seat)).collect();
        for generation in 0..=self.generations {
            herds.retain(|herd| arena.is_open(herd.seat));
            if herds.is_empty() {
                break;
            }
            for herd in &mut herds {
                if generation == 0 {
                    herd.found(arena);
                } else {
                    herd.breed(arena);
                }
            }
            // A herd without a new point has seen all there is.
            herds.retain(|herd| !herd.young.is_empty());
            ask(arena, &mut herds)?;
            herds.iter_mut().for_each(Herd::select);
        }
        Ok(())
    }
}

/// Scores of all young of all herds in one call; what crosses is proposed.
fn ask(arena: &mut Arena<'_>, herds: &mut [Herd]) -> Result<(), ArenaError> {
    let (mut seats, mut points) = (Vec::new(), Vec::new());
    for herd in herds.iter() {
        for young in &herd.young {
            seats.push(herd.seat);
            points.extend_from_slice(&young.x);
        }
    }
    if seats.is_empty() {
        return Ok(());
    }
    let scores = arena.scores(&seats, &points)?;
    let mut each = scores.chunks(arena.classes());
    let (mut crossed, mut proposals) = (Vec::new(), Vec::new());
    for herd in herds {
        let seat = herd.seat;
        for (young, scores) in herd.young.iter_mut().zip(&mut each) {
            let margin = arena.margin_of(seat, scores).filter(|m| !m.is_nan());
            young.goals[0] = margin.unwrap_or(f64::INFINITY);
        }
        for young in herd.worth_proposing() {
            crossed.push(seat);
            proposals.extend_from_slice(&young.x);
        }
    }
    if !crossed.is_empty() {
        arena.ask(&crossed, &proposals, Reach::Ball)?;
    }
    Ok(())
}

/// A deployed point and its objectives, all to be lowered: margin, distance, violation.
#[derive(Clone, Debug)]
struct Animal {
    x: Vec<f32>,
    goals: [f64; 3],
    standing: Standing,
}

/// The search round one row.
struct Herd {
    seat: usize,
    stream: Stream,
    /// What ball and box leave of each coordinate.
    limits: Vec<(f64, f64)>,
    herd: Vec<Animal>,
    young: Vec<Animal>,
    /// Keys of all points asked so far.
    seen: BTreeSet<u64>,
}

impl Herd {
    fn start(arena: &Arena<'_>, seat: usize) -> Self {
        let clean = arena.clean(seat);
        let cell = arena.space().cell(clean, arena.eps());
        let each = clean.iter().enumerate();
        let limits = each.map(|(i, &c)| {
            let low = f64::from(cell.project(i, f64::NEG_INFINITY));
            let high = f64::from(cell.project(i, f64::INFINITY));
            // A coordinate without an end cannot be drawn from; it stays.
            if low.is_finite() && high.is_finite() { (low, high) } else { (c.into(), c.into()) }
        });
        Self {
            seat,
            stream: arena.stream(seat),
            limits: limits.collect(),
            herd: Vec::new(),
            young: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// The first population: the clean row, and rows in which a random share of the coordinates
    /// is drawn anew from what the budget leaves.
    fn found(&mut self, arena: &Arena<'_>) {
        let clean: Vec<f64> = arena.clean(self.seat).iter().map(|&v| f64::from(v)).collect();
        let room = self.room(arena, POPULATION);
        self.admit(arena, &clean, room);
        for _ in 0..room * TRIES {
            if self.young.len() >= room {
                break;
            }
            let share = self.stream.unit();
            let mut x = clean.clone();
            for (x, &(low, high)) in x.iter_mut().zip(&self.limits) {
                if self.stream.unit() < share {
                    *x = low + (high - low) * self.stream.unit();
                }
            }
            self.admit(arena, &x, room);
        }
    }

    fn breed(&mut self, arena: &Arena<'_>) {
        let room = self.room(arena, OFFSPRING);
        let mut tries = 0;
        while self.young.len() < room && tries < room * TRIES {
            tries += 1;
            let (a, b) = (self.tournament(), self.tournament());
            let (mut first, mut second) =
                breed::cross(&self.herd[a].x, &self.herd[b].x, &self.limits, &mut self.stream);
            for child in [&mut first, &mut second] {
                breed::mutate(child, &self.limits, &mut self.stream);
            }
            self.admit(arena, &first, room);
            self.admit(arena, &second, room);
        }
    }

    /// Young that the row's queries still pay for, one kept back for a proposal.
    fn room(&self, arena: &Arena<'_>, wanted: usize) -> usize {
        let left = usize::try_from(arena.left(self.seat)).unwrap_or(usize::MAX);
        wanted.min(left.saturating_sub(1))
    }

    /// Repairs and rounds a wished point; takes it up if it was never seen.
    fn admit(&mut self, arena: &Arena<'_>, wished: &[f64], room: usize) {
        if self.young.len() >= room {
            return;
        }
        let (space, clean, eps, norm) =
            (arena.space(), arena.clean(self.seat), arena.eps(), arena.norm());
        let row = arena.row(self.seat);
        let x = match arena.constraints().filter(|c| c.repairs()) {
            None => space.deploy(clean, wished, eps, norm),
            Some(constraints) => {
                // Rounded first, so that what follows is computed from what is deployed.
                let rounded = space.deploy(clean, wished, eps, norm);
                let mut mended: Vec<f64> = rounded.into_iter().map(f64::from).collect();
                constraints.repair(row, &mut mended);
                space.deploy(clean, &mended, eps, norm)
            }
        };
        if !self.seen.insert(key(&x)) {
            return;
        }
        let far = space.distance(clean, &x, norm);
        let reach = if eps.is_finite() && eps > 0.0 { eps } else { 1.0 };
        let violation = arena.constraints().map_or(0.0, |c| c.violation_relative(row, &x));
        let goals = [f64::INFINITY, far / reach, violation];
        self.young.push(Animal { x, goals, standing: Standing::default() });
    }

    /// Binary tournament: the better front, then the less crowded place.
    fn tournament(&mut self) -> usize {
        let a = self.stream.below(self.herd.len());
        let b = self.stream.below(self.herd.len());
        let (first, second) = (self.herd[a].standing, self.herd[b].standing);
        if second.before(first) { b } else { a }
    }

    /// Valid young across the decision; of invalid ones the least invalid, which the harness draws
    /// back toward the clean row.
    fn worth_proposing(&self) -> Vec<&Animal> {
        let crossed = || self.young.iter().filter(|y| y.goals[0] <= 0.0);
        let valid: Vec<&Animal> = crossed().filter(|y| y.goals[2] == 0.0).collect();
        if !valid.is_empty() {
            return valid;
        }
        let least = crossed().min_by(|a, b| a.goals[2].total_cmp(&b.goals[2]));
        least.into_iter().collect()
    }

    /// The best of parents and young are the next parents.
    fn select(&mut self) {
        self.herd.append(&mut self.young);
        let goals: Vec<[f64; 3]> = self.herd.iter().map(|a| a.goals).collect();
        let chosen = fronts::survivors(&goals, POPULATION);
        let mut old: Vec<Option<Animal>> = self.herd.drain(..).map(Some).collect();
        for (index, standing) in chosen {
            if let Some(mut animal) = old[index].take() {
                animal.standing = standing;
                self.herd.push(animal);
            }
        }
    }
}

/// A key of the bits of a point (FNV-1a); two points of one key cost at most a candidate.
fn key(x: &[f32]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for value in x {
        for byte in value.to_bits().to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// Rows kept from one generation to the next.
const POPULATION: usize = 100;
/// Rows bred per generation, as in the paper.
const OFFSPRING: usize = 100;
/// Draws per wanted row before a herd goes on with fewer: on coarse grids most draws were seen.
const TRIES: usize = 4;
/// Beyond this many coordinates a population of a hundred says little.
const DIMS_MAX: usize = 512;

#[cfg(test)]
mod tests;
