//! Transfer: a surrogate is trained on the target's answers and climbed in its stead.
//!
//! # Threat
//! An attacker behind an interface who builds a copy of the model and attacks the copy.
//!
//! # Method
//! Each row has a surrogate of its own, a small network trained on that row's own queries alone:
//! what it pays for is counted with it, and its result depends on no other row. Questions are
//! random points of the budget first; then, round by round, the surrogate is trained on all
//! answers so far and climbed by projected gradients from several starts; what it proposes is
//! asked, judged, and learned from. With scores it learns the margin, with decisions the side.
//!
//! # Limits
//! A local copy: it knows the model around one row only. With decisions it learns nothing while
//! every answer is the same. Not run beyond 256 free coordinates.
//!
//! # Source
//! Papernot et al., "Practical black-box attacks against machine learning" (AsiaCCS 2017): train on
//! the target's answers, ask where the copy points; the per-row copy is our own.

use proofmark_schema::system::Norm;

use super::walk::length;
use super::{Attack, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach, Reply};
use crate::space::Space;
use crate::stream::Stream;
use crate::surrogate::{Surrogate, Told};

/// The attack with a limit of queries per row.
pub(super) struct Transfer {
    queries: usize,
}

impl Transfer {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
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
        let most = self.queries.min(FIRST + ROUNDS * PROPOSALS);
        format!(
            "at most {most} queries a row, {} of them to train a surrogate of the row before it \
             proposes",
            FIRST.min(self.queries)
        )
    }
    fn fits(&self, space: &Space) -> Result<(), String> {
        if space.dims() > DIMS_MAX {
            return Err(format!("{} free coordinates, at most {DIMS_MAX}", space.dims()));
        }
        Ok(())
    }

    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        let mut pupils: Vec<Pupil> =
            arena.open().into_iter().map(|seat| Pupil::new(arena, seat)).collect();
        for round in 0..=ROUNDS {
            pupils.retain(|p| arena.is_open(p.seat) && p.spent < self.queries);
            if pupils.is_empty() {
                break;
            }
            let (mut seats, mut points, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            for pupil in &mut pupils {
                let mut wishes = match round {
                    0 => pupil.questions(arena),
                    _ => pupil.proposals(arena),
                };
                wishes.truncate(self.queries - pupil.spent);
                counts.push(wishes.len());
                seats.extend(wishes.iter().map(|_| pupil.seat));
                points.extend(wishes.iter().flat_map(|w| pupil.point(arena, w)));
            }
            let replies = arena.ask(&seats, &points, Reach::Ball)?;
            let dims = arena.dims();
            let mut first = 0;
            for (pupil, count) in pupils.iter_mut().zip(counts) {
                let asked = points[first * dims..(first + count) * dims].chunks(dims);
                for (point, reply) in asked.zip(&replies[first..first + count]) {
                    pupil.learn(arena, point, *reply);
                }
                first += count;
            }
        }
        Ok(())
    }
}

/// One row with its surrogate; displacements are shares of the reach.
struct Pupil {
    seat: usize,
    stream: Stream,
    net: Surrogate,
    seen: Vec<(Vec<f64>, Told)>,
    /// Largest margin seen: the unit that margins are learned in.
    largest: f64,
    reach: f64,
    spent: usize,
}

impl Pupil {
    fn new(arena: &Arena<'_>, seat: usize) -> Self {
        let mut stream = arena.stream(seat);
        let net = Surrogate::new(arena.dims(), HIDDEN, &mut stream);
        let reach = match arena.eps() {
            eps if eps.is_finite() => eps,
            _ => arena.space().diameter(arena.norm()).min(REACH_MAX),
        };
        let seen = vec![(vec![0.0; arena.dims()], Told::Side(false))];
        Self { seat, stream, net, seen, largest: 0.0, reach, spent: 0 }
    }

    /// Random points of the budget, most of them at its edge.
    fn questions(&mut self, arena: &Arena<'_>) -> Vec<Vec<f64>> {
        let norm = arena.norm();
        (0..FIRST)
            .map(|at| {
                let raw: Vec<f64> = (0..arena.dims()).map(|_| self.draw(norm)).collect();
                let share = if at % 4 == 3 { self.stream.unit() } else { 1.0 };
                let size = if norm == Norm::Linf { 1.0 } else { length(&raw, norm).max(1e-12) };
                raw.iter().map(|r| share * r / size).collect()
            })
            .collect()
    }

    fn draw(&mut self, norm: Norm) -> f64 {
        if norm == Norm::Linf { self.stream.symmetric() } else { self.stream.normal() }
    }

    /// Trains on what was seen and climbs from the clean point and from random ones.
    fn proposals(&mut self, arena: &Arena<'_>) -> Vec<Vec<f64>> {
        let unit = self.largest.max(f64::MIN_POSITIVE);
        let lesson: Vec<(Vec<f64>, Told)> = self
            .seen
            .iter()
            .map(|(x, told)| match told {
                Told::Margin(margin) => (x.clone(), Told::Margin(margin / unit)),
                side => (x.clone(), *side),
            })
            .collect();
        // Of scores, the clean point's side says less than the margins do.
        let scored = lesson.iter().any(|(_, told)| matches!(told, Told::Margin(_)));
        let lesson: Vec<(Vec<f64>, Told)> =
            lesson.into_iter().filter(|(_, t)| !scored || matches!(t, Told::Margin(_))).collect();
        let mut stream = std::mem::replace(&mut self.stream, Stream::new(0, "", "", 0, 0));
        self.net.train(&lesson, EPOCHS, &mut stream);
        self.stream = stream;
        let norm = arena.norm();
        (0..PROPOSALS)
            .map(|at| {
                let scale = if at == 0 { 0.0 } else { 0.5 };
                let raw: Vec<f64> = (0..arena.dims()).map(|_| scale * self.draw(norm)).collect();
                self.climbed(inside(raw, norm), norm)
            })
            .collect()
    }

    fn climbed(&self, mut x: Vec<f64>, norm: Norm) -> Vec<f64> {
        for step in 0..STEPS {
            let slope = self.net.slope(&x);
            let size = 2.0 / (1.0 + step as f64);
            let steepest = slope.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
            let long = length(&slope, Norm::L2).max(f64::MIN_POSITIVE);
            for (x, s) in x.iter_mut().zip(&slope) {
                *x += match norm {
                    Norm::Linf if *s == 0.0 => 0.0,
                    Norm::Linf => size * s.signum(),
                    Norm::L2 => size * s / long,
                    Norm::L1 if s.abs() == steepest && steepest > 0.0 => size * s.signum(),
                    Norm::L1 => 0.0,
                };
            }
            x = inside(x, norm);
        }
        x
    }

    fn point(&self, arena: &Arena<'_>, wish: &[f64]) -> Vec<f32> {
        let each = arena.clean(self.seat).iter().zip(wish).enumerate();
        let wide: Vec<f64> = each
            .map(|(i, (&c, w))| f64::from(c) + w * self.reach * arena.space().unit(i))
            .collect();
        arena.deployed(self.seat, &wide, Reach::Ball)
    }

    fn learn(&mut self, arena: &Arena<'_>, point: &[f32], reply: Reply) {
        self.spent += 1;
        let told = match reply {
            Reply::Success { .. } => Told::Side(true),
            Reply::Standing { margin: Some(margin) } if margin.is_finite() => {
                self.largest = self.largest.max(margin.abs());
                Told::Margin(-margin)
            }
            Reply::Standing { .. } => Told::Side(false),
            Reply::Refused => return,
        };
        let each = arena.clean(self.seat).iter().zip(point).enumerate();
        let moved = each.map(|(i, (&c, &x))| {
            let moved = (f64::from(x) - f64::from(c)) / (arena.space().unit(i) * self.reach);
            if moved.is_finite() { moved } else { 0.0 }
        });
        self.seen.push((moved.collect(), told));
    }
}

/// Into the unit ball: clipped (L-inf) or scaled.
fn inside(mut x: Vec<f64>, norm: Norm) -> Vec<f64> {
    if norm == Norm::Linf {
        x.iter_mut().for_each(|v| *v = v.clamp(-1.0, 1.0));
        return x;
    }
    let long = length(&x, norm);
    if long > 1.0 {
        x.iter_mut().for_each(|v| *v /= long);
    }
    x
}

/// Hidden units of a surrogate.
const HIDDEN: usize = 12;
/// Random questions before the first proposal.
const FIRST: usize = 60;
/// Rounds of training and proposing.
const ROUNDS: usize = 12;
/// Proposals per round.
const PROPOSALS: usize = 8;
/// Passes over all answers per round.
const EPOCHS: usize = 15;
/// Steps of a climb.
const STEPS: usize = 20;
/// Beyond this a network of one row's answers says nothing.
const DIMS_MAX: usize = 256;
/// Stands for the size of a box without bounds.
const REACH_MAX: f64 = 1e6;
