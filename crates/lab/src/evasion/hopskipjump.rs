//! HopSkipJump: a minimum-distance attack from decisions alone.
//!
//! # Threat
//! An attacker behind an interface that answers with a decision.
//!
//! # Method
//! Starts at a data row that is already decided as wanted (the nearest few are tried), else at
//! noise in the box; bisects to the boundary; estimates its normal from the decisions at random
//! points around; steps along it and bisects again. Works in the unit of the budget. Every
//! query is asked at a deployed point and is itself a candidate witness; where the deployed
//! type is rounded, the probing radius covers at least a step of the grid.
//!
//! # Limits
//! Minimises a distance with few queries: an upper bound that white-box attacks usually lower.
//! L-inf and L2.
//!
//! # Source
//! Chen, Jordan, Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack"
//! (S&P 2020), algorithm 2; batch sizes after section IV with a smaller first batch in few
//! dimensions.

use proofmark_schema::system::Norm;

use super::{Attack, Family, Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, Reach};
use crate::stream::Stream;

/// The attack with a limit of queries per row.
pub(super) struct HopSkipJump {
    queries: usize,
}

impl HopSkipJump {
    pub(super) fn new(settings: Settings) -> Self {
        Self { queries: settings.queries }
    }

    fn retain(&self, arena: &Arena<'_>, hoppers: &mut Vec<Hopper>) {
        hoppers.retain(|h| arena.is_open(h.seat) && h.spent < self.queries);
    }
}

impl Attack for HopSkipJump {
    fn id(&self) -> &'static str {
        "hopskipjump"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Decision
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf, Norm::L2]
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
        let mut hoppers = begin(arena)?;
        bisect(arena, &mut hoppers)?;
        for round in 1..=ROUNDS_MAX {
            self.retain(arena, &mut hoppers);
            if hoppers.is_empty() {
                break;
            }
            // Rows are taken in groups only to bound memory: a group's random points are held.
            let dims = arena.dims();
            let group = (POINTS_MAX / (dims * batch(dims, round))).max(1);
            for some in hoppers.chunks_mut(group) {
                let left = self.queries;
                estimate(arena, some, round, left)?;
            }
            self.retain(arena, &mut hoppers);
            jump(arena, &mut hoppers, round)?;
            bisect(arena, &mut hoppers)?;
        }
        Ok(())
    }
}

/// State of one row: `moved` is the displacement in the unit of the budget, a success.
struct Hopper {
    seat: usize,
    moved: Vec<f64>,
    normal: Vec<f64>,
    stream: Stream,
    spent: usize,
}

impl Hopper {
    fn point(&self, arena: &Arena<'_>, moved: &[f64]) -> Vec<f32> {
        let each = arena.clean(self.seat).iter().zip(moved).enumerate();
        each.map(|(i, (&c, m))| (f64::from(c) + m * arena.space().unit(i)) as f32).collect()
    }

    fn length(&self, norm: Norm) -> f64 {
        length(&self.moved, norm)
    }

    /// `moved` drawn in toward the clean point: scaled (L2) or clipped (L-inf) to `share` of
    /// its length.
    fn drawn_in(&self, share: f64, norm: Norm) -> Vec<f64> {
        match norm {
            Norm::Linf => {
                let edge = share * self.length(norm);
                self.moved.iter().map(|m| m.clamp(-edge, edge)).collect()
            }
            _ => self.moved.iter().map(|m| m * share).collect(),
        }
    }
}

fn length(moved: &[f64], norm: Norm) -> f64 {
    match norm {
        Norm::Linf => moved.iter().fold(0.0, |m, v| m.max(v.abs())),
        _ => moved.iter().map(|v| v * v).sum::<f64>().sqrt(),
    }
}

/// Finds a first success per row: the nearest rows of the wanted decision, then rows ever
/// farther away, then random points and corners of the box.
fn begin(arena: &mut Arena<'_>) -> Result<Vec<Hopper>, ArenaError> {
    let open = arena.open();
    let mut streams: Vec<(usize, Stream)> = open.iter().map(|&s| (s, arena.stream(s))).collect();
    let mut spent = vec![0; arena.len()];
    for far in [false, true] {
        let (mut seats, mut points) = (Vec::new(), Vec::new());
        for &seat in open.iter().filter(|&&s| arena.nearest(s).is_none()) {
            for start in starts(arena, seat, far) {
                seats.push(seat);
                points.extend(start);
                spent[seat] += 1;
            }
        }
        arena.ask(&seats, &points, Reach::Box)?;
    }
    let (mut seats, mut points) = (Vec::new(), Vec::new());
    for (seat, stream) in &mut streams {
        if arena.nearest(*seat).is_none() {
            for at in 0..NOISE_TRIES {
                seats.push(*seat);
                points.extend(anywhere(arena, *seat, stream, at % 2 == 1));
                spent[*seat] += 1;
            }
        }
    }
    arena.ask(&seats, &points, Reach::Box)?;
    let found = streams.into_iter().filter_map(|(seat, stream)| {
        let (_, x) = arena.nearest(seat)?;
        let each = arena.clean(seat).iter().zip(x).enumerate();
        let moved = each
            .map(|(i, (&c, &x))| (f64::from(x) - f64::from(c)) / arena.space().unit(i))
            .map(|m| if m.is_nan() { 0.0 } else { m })
            .collect();
        Some(Hopper { seat, moved, normal: Vec::new(), stream, spent: spent[seat] })
    });
    Ok(found.collect())
}

/// Free values of data rows decided as wanted, missing ones filled from the clean row: the
/// [`STARTS`] nearest, or [`FAR_STARTS`] evenly spaced among the others.
fn starts(arena: &Arena<'_>, seat: usize, far: bool) -> Vec<Vec<f32>> {
    let clean = arena.clean(seat);
    let mut all: Vec<(f64, Vec<f32>)> = arena
        .starts(seat)
        .into_iter()
        .map(|row| {
            let filled = row.iter().zip(clean).map(|(r, c)| if r.is_nan() { *c } else { *r });
            let filled: Vec<f32> = filled.collect();
            (arena.space().distance(clean, &filled, arena.norm()), filled)
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    if !far {
        return all.into_iter().take(STARTS).map(|(_, x)| x).collect();
    }
    let rest: Vec<Vec<f32>> = all.into_iter().skip(STARTS).map(|(_, x)| x).collect();
    let taken = rest.len().min(FAR_STARTS);
    (0..taken).map(|i| rest[i * rest.len() / taken].clone()).collect()
}

/// A uniform point or a corner of the box; infinite sides stay at the clean value.
fn anywhere(arena: &Arena<'_>, seat: usize, stream: &mut Stream, corner: bool) -> Vec<f32> {
    let clean = arena.clean(seat).iter().enumerate();
    clean
        .map(|(i, &c)| {
            let (low, high) = arena.space().limits(i);
            let draw = stream.unit();
            let draw = if corner { draw.round() } else { draw };
            if (high - low).is_finite() { (low + (high - low) * draw) as f32 } else { c }
        })
        .collect()
}

/// Draws every row in to the boundary by bisection of its length.
fn bisect(arena: &mut Arena<'_>, hoppers: &mut [Hopper]) -> Result<(), ArenaError> {
    let norm = arena.norm();
    let mut ranges = vec![(0.0, 1.0); hoppers.len()];
    for _ in 0..BISECTIONS {
        let (mut at, mut seats, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for (i, hopper) in hoppers.iter().enumerate() {
            let (low, high): (f64, f64) = ranges[i];
            if arena.is_open(hopper.seat) && high - low > BISECTION_SHARE {
                at.push(i);
                seats.push(hopper.seat);
                let moved = hopper.drawn_in(0.5 * (low + high), norm);
                points.extend(hopper.point(arena, &moved));
            }
        }
        if at.is_empty() {
            break;
        }
        for (i, reply) in at.into_iter().zip(arena.ask(&seats, &points, Reach::Box)?) {
            hoppers[i].spent += 1;
            let (low, high) = &mut ranges[i];
            let middle = 0.5 * (*low + *high);
            if reply.success() { *high = middle } else { *low = middle }
        }
    }
    for (hopper, (_, share)) in hoppers.iter_mut().zip(ranges) {
        hopper.moved = hopper.drawn_in(share, norm);
    }
    Ok(())
}

/// Monte-Carlo estimate of the boundary's normal, with the mean answer as baseline.
fn estimate(
    arena: &mut Arena<'_>,
    hoppers: &mut [Hopper],
    round: usize,
    queries: usize,
) -> Result<(), ArenaError> {
    let dims = arena.dims();
    let (mut seats, mut points, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let mut draws: Vec<f64> = Vec::new();
    for hopper in hoppers.iter_mut() {
        let count = batch(dims, round).min(queries.saturating_sub(hopper.spent));
        counts.push(count);
        let radius = radius(arena, hopper, round);
        for _ in 0..count {
            let raw: Vec<f64> = (0..dims).map(|_| draw(&mut hopper.stream, arena.norm())).collect();
            let norm = length(&raw, Norm::L2).max(f64::MIN_POSITIVE);
            let moved: Vec<f64> =
                hopper.moved.iter().zip(&raw).map(|(m, r)| m + radius * r / norm).collect();
            let wide: Vec<f64> =
                hopper.point(arena, &moved).iter().map(|&v| f64::from(v)).collect();
            let x = arena.deployed(hopper.seat, &wide, Reach::Box);
            draws.extend(x.iter().enumerate().map(|(i, &x)| {
                let c = f64::from(arena.clean(hopper.seat)[i]);
                let there = (f64::from(x) - c) / arena.space().unit(i);
                if there.is_nan() { 0.0 } else { (there - hopper.moved[i]) / radius }
            }));
            seats.push(hopper.seat);
            points.extend(x);
        }
        hopper.spent += count;
    }
    let replies = arena.ask(&seats, &points, Reach::Box)?;
    let mut first = 0;
    for (hopper, count) in hoppers.iter_mut().zip(counts) {
        let signs: Vec<f64> = replies[first..first + count]
            .iter()
            .map(|r| if r.success() { 1.0 } else { -1.0 })
            .collect();
        hopper.normal = normal(&signs, &draws[first * dims..(first + count) * dims], dims);
        first += count;
    }
    Ok(())
}

fn draw(stream: &mut Stream, norm: Norm) -> f64 {
    if norm == Norm::Linf { stream.symmetric() } else { stream.normal() }
}

/// Mean of the directions weighted by their answers less the mean answer (equation 16).
fn normal(signs: &[f64], draws: &[f64], dims: usize) -> Vec<f64> {
    let mean = signs.iter().sum::<f64>() / (signs.len().max(1)) as f64;
    let one_sided = mean.abs() == 1.0;
    let mut normal = vec![0.0; dims];
    for (sign, draw) in signs.iter().zip(draws.chunks(dims)) {
        let weight = if one_sided { *sign } else { sign - mean };
        for (n, d) in normal.iter_mut().zip(draw) {
            *n += weight * d;
        }
    }
    let size = length(&normal, Norm::L2);
    if size > 0.0 {
        normal.iter_mut().for_each(|n| *n /= size);
    }
    normal
}

/// Steps along the normal, halving until the point is a success.
fn jump(arena: &mut Arena<'_>, hoppers: &mut [Hopper], round: usize) -> Result<(), ArenaError> {
    let norm = arena.norm();
    let mut sizes: Vec<f64> =
        hoppers.iter().map(|h| h.length(norm) / (round as f64).sqrt()).collect();
    let mut landed = vec![false; hoppers.len()];
    for _ in 0..HALVINGS {
        let (mut at, mut seats, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for (i, hopper) in hoppers.iter().enumerate() {
            if !landed[i] && arena.is_open(hopper.seat) {
                at.push(i);
                seats.push(hopper.seat);
                points.extend(hopper.point(arena, &stepped(hopper, sizes[i], norm)));
            }
        }
        if at.is_empty() {
            break;
        }
        for (i, reply) in at.into_iter().zip(arena.ask(&seats, &points, Reach::Box)?) {
            hoppers[i].spent += 1;
            if reply.success() {
                hoppers[i].moved = stepped(&hoppers[i], sizes[i], norm);
                landed[i] = true;
            } else {
                sizes[i] /= 2.0;
            }
        }
    }
    Ok(())
}

fn stepped(hopper: &Hopper, size: f64, norm: Norm) -> Vec<f64> {
    let each = hopper.moved.iter().zip(&hopper.normal);
    each.map(|(m, n)| {
        let direction = if norm != Norm::Linf {
            *n
        } else if *n == 0.0 {
            0.0
        } else {
            n.signum()
        };
        m + size * direction
    })
    .collect()
}

/// Probing radius: a tenth of the way at first, then the way over the dimension (section
/// III-C), never within the bisection's own error, never so small that rounding hides it.
fn radius(arena: &Arena<'_>, hopper: &Hopper, round: usize) -> f64 {
    let dims = arena.dims() as f64;
    let far = hopper.length(arena.norm()).max(f64::MIN_POSITIVE);
    let share = if round == 1 { 0.1 } else { (1.0 / dims).max(10.0 * BISECTION_SHARE) };
    let fine = share * far;
    let coarsest = (0..arena.dims()).filter_map(|i| arena.space().step(i)).fold(0.0, f64::max);
    // Short of the whole way, or the clean point itself would be probed.
    fine.max(coarsest * dims.sqrt()).min(far.max(coarsest))
}

/// Queries for one estimate: grows with the square root of the round.
fn batch(dims: usize, round: usize) -> usize {
    let first = if dims >= 25 { 100 } else { (4 * dims).max(16) };
    (first as f64 * (round as f64).sqrt()) as usize
}

/// Nearest rows of the wanted decision that are tried as a start.
const STARTS: usize = 5;
/// Rows tried when none of the nearest works: what the attacker may not touch can differ.
const FAR_STARTS: usize = 40;
/// Random points and corners tried when no row works.
const NOISE_TRIES: usize = 60;
/// Queries per bisection at most.
const BISECTIONS: usize = 12;
/// Share of the length at which a bisection stops.
const BISECTION_SHARE: f64 = 1e-3;
/// Halvings of a jump at most.
const HALVINGS: usize = 10;
/// A row's own limit of queries ends the search long before.
const ROUNDS_MAX: usize = 64;
/// Coordinates held at once by an estimate: 32 MiB of f32 and twice that of f64.
const POINTS_MAX: usize = 8 << 20;
