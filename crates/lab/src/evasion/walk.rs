//! Rows that walk in from a success toward their clean point, from decisions alone.
//!
//! Owns the start, the bisection, the drawing in of single fields and the count of what a row has
//! spent: no row asks beyond its own limit. Must never judge. Called by the decision-based
//! attacks; works in the unit of the budget.

use proofmark_schema::system::Norm;

use crate::harness::{Arena, ArenaError, Reach};
use crate::stream::Stream;

/// The rows of one run.
pub(super) struct Walk<'w, 'a> {
    arena: &'w mut Arena<'a>,
    /// Rows that found a start.
    pub hoppers: Vec<Hopper>,
    queries: usize,
}

/// State of one row.
pub(super) struct Hopper {
    pub seat: usize,
    /// Displacement of the nearest success.
    pub moved: Vec<f64>,
    /// Where the next bisection starts instead, a success too.
    pub from: Option<Vec<f64>>,
    pub normal: Vec<f64>,
    pub stream: Stream,
    pub spent: usize,
    /// Rounds in a row that brought nothing.
    pub idle: usize,
    /// Starts for later, by distance.
    starts: Vec<Vec<f64>>,
    /// What fields looked like when they were last drawn in.
    drawn: Vec<f64>,
}

/// Answer to one question.
pub(super) struct Answer {
    pub hopper: usize,
    /// Displacement of the point as deployed.
    pub moved: Vec<f64>,
    /// Whether it was a success; `None` when the row had no query left.
    pub hit: Option<bool>,
}

impl<'w, 'a> Walk<'w, 'a> {
    /// Finds a first success per row: the nearest rows of the wanted decision, then rows ever
    /// farther away, then random points and corners of the box. A row keeps `kept` more starts.
    pub fn begin(
        arena: &'w mut Arena<'a>,
        queries: usize,
        kept: usize,
    ) -> Result<Self, ArenaError> {
        let open = arena.open();
        let mut hoppers: Vec<Hopper> = open.iter().map(|&s| Hopper::new(arena, s)).collect();
        for stage in [Stage::Near, Stage::Far, Stage::Anywhere] {
            let (mut seats, mut points) = (Vec::new(), Vec::new());
            for hopper in hoppers.iter_mut().filter(|h| arena.nearest(h.seat).is_none()) {
                let mut tries = match stage {
                    Stage::Near => {
                        let mut near = starts(arena, hopper.seat, STARTS + kept);
                        let later = near.split_off(STARTS.min(near.len()));
                        let seat = hopper.seat;
                        hopper.starts =
                            later.iter().map(|x| displacement(arena, seat, x)).collect();
                        near
                    }
                    Stage::Far => far_starts(arena, hopper.seat),
                    Stage::Anywhere => (0..NOISE_TRIES)
                        .map(|at| anywhere(arena, hopper.seat, &mut hopper.stream, at % 2 == 1))
                        .collect(),
                };
                tries.truncate(queries.saturating_sub(hopper.spent));
                hopper.spent += tries.len();
                seats.extend(tries.iter().map(|_| hopper.seat));
                points.extend(tries.into_iter().flatten());
            }
            if !seats.is_empty() {
                arena.ask(&seats, &points, Reach::Box)?;
            }
        }
        hoppers.retain_mut(|hopper| match arena.nearest(hopper.seat) {
            Some((_, x)) => {
                hopper.moved = displacement(arena, hopper.seat, x);
                true
            }
            None => false,
        });
        Ok(Self { arena, hoppers, queries })
    }

    pub fn all(&self) -> Vec<usize> {
        (0..self.hoppers.len()).collect()
    }

    pub fn dims(&self) -> usize {
        self.arena.dims()
    }

    pub fn norm(&self) -> Norm {
        self.arena.norm()
    }

    /// One step of the deployed type in the unit of the budget, 0 for reals.
    pub fn step(&self, field: usize) -> f64 {
        self.arena.space().step(field).unwrap_or(0.0)
    }

    /// Distance of a row's nearest success.
    pub fn length(&self, hopper: usize) -> f64 {
        length(&self.hoppers[hopper].moved, self.norm())
    }

    /// Rows with queries left that were idle for less than `idle` rounds.
    pub fn open(&self, idle: usize) -> Vec<usize> {
        let open = self.hoppers.iter().enumerate();
        open.filter(|(_, h)| h.idle < idle && self.left(h) > 0).map(|(i, _)| i).collect()
    }

    fn left(&self, hopper: &Hopper) -> usize {
        let left = if self.arena.is_open(hopper.seat) { self.arena.left(hopper.seat) } else { 0 };
        self.queries.saturating_sub(hopper.spent).min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Asks at displacements, in order; a nearer success becomes the row's place. The clean point
    /// itself is known and costs nothing.
    pub fn ask(&mut self, asks: Vec<(usize, Vec<f64>)>) -> Result<Vec<Answer>, ArenaError> {
        let mut left: Vec<usize> = self.hoppers.iter().map(|h| self.left(h)).collect();
        let mut answers = Vec::with_capacity(asks.len());
        let (mut at, mut seats, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for (h, wish) in asks {
            let hopper = &mut self.hoppers[h];
            let clean = self.arena.clean(hopper.seat);
            let space = self.arena.space();
            let each = clean.iter().zip(&wish).enumerate();
            let wide: Vec<f64> =
                each.map(|(i, (&c, m))| f64::from(c) + m * space.unit(i)).collect();
            let point = self.arena.deployed(hopper.seat, &wide, Reach::Box);
            let moved = displacement(self.arena, hopper.seat, &point);
            let home = moved.iter().all(|m| *m == 0.0);
            if !home && left[h] > 0 {
                left[h] -= 1;
                hopper.spent += 1;
                at.push(answers.len());
                seats.push(hopper.seat);
                points.extend(point);
            }
            answers.push(Answer { hopper: h, moved, hit: home.then_some(false) });
        }
        if seats.is_empty() {
            return Ok(answers);
        }
        let norm = self.norm();
        for (at, reply) in at.into_iter().zip(self.arena.ask(&seats, &points, Reach::Box)?) {
            let answer = &mut answers[at];
            answer.hit = (reply != crate::harness::Reply::Refused).then(|| reply.success());
            let hopper = &mut self.hoppers[answer.hopper];
            if reply.success() && length(&answer.moved, norm) < length(&hopper.moved, norm) {
                hopper.moved.clone_from(&answer.moved);
            }
        }
        Ok(answers)
    }

    /// Draws rows in to the boundary by bisection of their length, from [`Hopper::from`] where
    /// that is set, else from where they stand.
    pub fn bisect(&mut self, rows: &[usize]) -> Result<(), ArenaError> {
        let norm = self.norm();
        let finest = self.finest();
        let mut ranges: Vec<(usize, Vec<f64>, f64, f64)> = rows
            .iter()
            .map(|&h| {
                let hopper = &mut self.hoppers[h];
                let from = hopper.from.take().unwrap_or_else(|| hopper.moved.clone());
                (h, from, 0.0, 1.0)
            })
            .collect();
        for _ in 0..BISECTIONS {
            ranges.retain(|(_, from, low, high)| {
                let gap = high - low;
                gap > BISECTION_SHARE && gap * length(from, norm) > finest
            });
            if ranges.is_empty() {
                break;
            }
            let asks = ranges
                .iter()
                .map(|(h, from, low, high)| (*h, drawn_in(from, 0.5 * (low + high), norm)));
            let answers = self.ask(asks.collect())?;
            for (range, answer) in ranges.iter_mut().zip(answers) {
                let middle = 0.5 * (range.2 + range.3);
                match answer.hit {
                    Some(true) => range.3 = middle,
                    Some(false) => range.2 = middle,
                    None => range.2 = range.3,
                }
            }
        }
        Ok(())
    }

    /// Draws single fields in, the farthest first: to the clean value where that succeeds, else
    /// to the boundary by bisection. Rows that stand where they were last drawn in are left out.
    pub fn draw_in_fields(&mut self, rows: &[usize]) -> Result<(), ArenaError> {
        let rows: Vec<usize> = rows
            .iter()
            .copied()
            .filter(|&h| self.hoppers[h].moved != self.hoppers[h].drawn)
            .collect();
        let orders: Vec<Vec<usize>> = rows.iter().map(|&h| self.farthest(h)).collect();
        for turn in 0..self.dims() {
            let fields: Vec<(usize, usize)> = rows
                .iter()
                .zip(&orders)
                .filter_map(|(&h, order)| order.get(turn).map(|&field| (h, field)))
                .collect();
            if fields.is_empty() {
                break;
            }
            self.draw_in_field(&fields)?;
        }
        for h in rows {
            let hopper = &mut self.hoppers[h];
            hopper.drawn.clone_from(&hopper.moved);
        }
        Ok(())
    }

    /// Fields of a row by how far they moved; those that do not lengthen the way are left out.
    fn farthest(&self, hopper: usize) -> Vec<usize> {
        let moved = &self.hoppers[hopper].moved;
        let least = if self.norm() == Norm::Linf { 0.99 * self.length(hopper) } else { 0.0 };
        let counts = |i: &usize| moved[*i] != 0.0 && moved[*i].abs() >= least;
        let mut order: Vec<usize> = (0..moved.len()).filter(counts).collect();
        order.sort_by(|&a, &b| moved[b].abs().total_cmp(&moved[a].abs()));
        order
    }

    fn draw_in_field(&mut self, fields: &[(usize, usize)]) -> Result<(), ArenaError> {
        // (row, field, home, share that fails, share that succeeds)
        let mut ranges: Vec<(usize, usize, Vec<f64>, f64, f64)> = fields
            .iter()
            .map(|&(h, field)| (h, field, self.hoppers[h].moved.clone(), 0.0, 1.0))
            .collect();
        for turn in 0..=BISECTIONS {
            ranges.retain(|(_, field, home, low, high)| {
                let gap = high - low;
                gap > FIELD_SHARE && gap * home[*field].abs() > self.step(*field) * NEARLY
            });
            if ranges.is_empty() {
                break;
            }
            let share = |low: f64, high: f64| if turn == 0 { 0.0 } else { 0.5 * (low + high) };
            let asks = ranges.iter().map(|(h, field, home, low, high)| {
                let mut wish = home.clone();
                wish[*field] *= share(*low, *high);
                (*h, wish)
            });
            let answers = self.ask(asks.collect())?;
            for (range, answer) in ranges.iter_mut().zip(answers) {
                let asked = share(range.3, range.4);
                match answer.hit {
                    Some(true) => {
                        range.4 = asked;
                        self.hoppers[range.0].moved = answer.moved;
                    }
                    Some(false) => range.3 = asked,
                    None => range.3 = range.4,
                }
            }
        }
        Ok(())
    }

    /// The next `count` starts that a row has kept, by distance, as displacements.
    pub fn next_starts(&mut self, hopper: usize, count: usize) -> Vec<Vec<f64>> {
        let kept = &mut self.hoppers[hopper].starts;
        kept.drain(..count.min(kept.len())).collect()
    }

    /// The smallest step of the deployed type, 0 where any field is a real.
    fn finest(&self) -> f64 {
        (0..self.dims()).map(|i| self.step(i)).fold(f64::INFINITY, f64::min)
    }
}

impl Hopper {
    fn new(arena: &Arena<'_>, seat: usize) -> Self {
        Self {
            seat,
            moved: Vec::new(),
            from: None,
            normal: Vec::new(),
            stream: arena.stream(seat),
            spent: 0,
            idle: 0,
            starts: Vec::new(),
            drawn: Vec::new(),
        }
    }
}

/// Length of a displacement.
pub(super) fn length(moved: &[f64], norm: Norm) -> f64 {
    match norm {
        Norm::Linf => moved.iter().fold(0.0, |m, v| m.max(v.abs())),
        Norm::L2 => moved.iter().map(|v| v * v).sum::<f64>().sqrt(),
        Norm::L1 => moved.iter().map(|v| v.abs()).sum(),
    }
}

/// A displacement drawn in toward the clean point: scaled (L2, L1) or clipped (L-inf) to
/// `share` of its length.
pub(super) fn drawn_in(moved: &[f64], share: f64, norm: Norm) -> Vec<f64> {
    match norm {
        Norm::Linf => {
            let edge = share * length(moved, norm);
            moved.iter().map(|m| m.clamp(-edge, edge)).collect()
        }
        _ => moved.iter().map(|m| m * share).collect(),
    }
}

fn displacement(arena: &Arena<'_>, seat: usize, x: &[f32]) -> Vec<f64> {
    let each = arena.clean(seat).iter().zip(x).enumerate();
    each.map(|(i, (&c, &x))| (f64::from(x) - f64::from(c)) / arena.space().unit(i))
        .map(|m| if m.is_nan() { 0.0 } else { m })
        .collect()
}

/// Where a first success is looked for.
#[derive(Clone, Copy)]
enum Stage {
    Near,
    Far,
    Anywhere,
}

/// Free values of the `count` nearest data rows decided as wanted, missing ones filled from the
/// clean row.
fn starts(arena: &Arena<'_>, seat: usize, count: usize) -> Vec<Vec<f32>> {
    let rows = by_distance(arena, seat);
    rows.into_iter().take(count).map(|row| filled(arena.clean(seat), row)).collect()
}

/// Some evenly spaced among those that are not near.
fn far_starts(arena: &Arena<'_>, seat: usize) -> Vec<Vec<f32>> {
    let rows = by_distance(arena, seat);
    let rest = rows.get(STARTS..).unwrap_or_default();
    let taken = rest.len().min(FAR_STARTS);
    (0..taken).map(|i| filled(arena.clean(seat), rest[i * rest.len() / taken])).collect()
}

fn by_distance<'r>(arena: &Arena<'r>, seat: usize) -> Vec<&'r [f32]> {
    let clean = arena.clean(seat);
    let away = |row: &[f32]| match row.iter().any(|v| v.is_nan()) {
        true => arena.space().distance(clean, &filled(clean, row), arena.norm()),
        false => arena.space().distance(clean, row, arena.norm()),
    };
    let mut all: Vec<(f64, &[f32])> =
        arena.starts(seat).into_iter().map(|row| (away(row), row)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|(_, row)| row).collect()
}

fn filled(clean: &[f32], row: &[f32]) -> Vec<f32> {
    row.iter().zip(clean).map(|(r, c)| if r.is_nan() { *c } else { *r }).collect()
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

/// Nearest rows of the wanted decision that are tried as a start.
const STARTS: usize = 5;
/// Rows tried when none of the nearest works: what the attacker may not touch can differ.
const FAR_STARTS: usize = 40;
/// Random points and corners tried when no row works.
const NOISE_TRIES: usize = 60;
/// Queries per bisection at most.
const BISECTIONS: usize = 12;
/// Share of the length at which a bisection stops.
pub(super) const BISECTION_SHARE: f64 = 1e-3;
/// Share of a field's displacement at which its bisection stops.
const FIELD_SHARE: f64 = 1e-3;
/// Guards a comparison with one whole step against rounding.
const NEARLY: f64 = 1.000_001;
