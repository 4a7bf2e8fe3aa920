//! The square attack's proposals where the budget is a sum: L2 and L1.
//!
//! Owns the bump that a window is filled with, the grid of bumps at the start and the move of mass
//! from one window to another. Must never ask the target. Called by the square attack.
//!
//! Algorithm 3 of Andriushchenko et al. 2020; for L1 lengths are sums of magnitudes.

use proofmark_schema::system::Norm;

use super::{Shape, Window};
use crate::harness::Arena;
use crate::oracle::Picture;
use crate::stream::Stream;

/// A grid of bumps with the length of the budget.
pub(super) fn start(
    arena: &Arena<'_>,
    seat: usize,
    shape: &Shape,
    norm: Norm,
    stream: &mut Stream,
) -> Vec<f32> {
    let Picture { channels, height, width, .. } = shape.picture;
    let side = (height.min(width) / TILES).max(1);
    let (tall, wide) = if shape.flat { (1, (width / TILES).max(1)) } else { (side, side) };
    let mut moved = vec![0.0; arena.dims()];
    for y in (0..=height - tall).step_by(tall) {
        for x in (0..=width - wide).step_by(wide) {
            let window = Window { y, x, height: tall, width: wide };
            let bump = bump(tall, wide, norm, stream);
            for channel in 0..channels {
                let sign = stream.sign();
                let cells = shape.cells(channel, window).zip(&bump);
                cells.for_each(|(i, b)| moved[i] += sign * b);
            }
        }
    }
    placed(arena, seat, &moved)
}

/// A proposal from the best point so far.
pub(super) fn step(
    arena: &Arena<'_>,
    seat: usize,
    best: &[f32],
    shape: &Shape,
    share: f64,
    stream: &mut Stream,
) -> Vec<f32> {
    let (clean, space, norm) = (arena.clean(seat), arena.space(), arena.norm());
    let each = best.iter().zip(clean).enumerate();
    let mut moved: Vec<f64> = each
        .map(|(i, (&x, &c))| {
            let d = (f64::from(x) - f64::from(c)) / space.unit(i);
            if d.is_finite() { d } else { 0.0 }
        })
        .collect();
    let sides = odd(shape.sides(share, SIDE_MIN));
    let (to, from) = (shape.place(sides, stream), shape.place(sides, stream));
    let bump = bump(sides.0, sides.1, norm, stream);
    let channels = shape.picture.channels;
    let whole = length(norm, moved.iter().copied());
    let unused = (power(norm, arena.eps()) - power(norm, whole)).max(0.0);
    let inside = windows(shape, &moved, [to, from], norm);
    let new: Vec<Vec<f64>> = (0..channels)
        .map(|channel| {
            let sign = stream.sign();
            let old = length(norm, shape.cells(channel, to).map(|i| moved[i]));
            let cells = shape.cells(channel, to).zip(&bump);
            let mixed: Vec<f64> = cells.map(|(i, b)| sign * b + moved[i] / (TINY + old)).collect();
            let goal = root(norm, unused / channels as f64 + power(norm, inside));
            let goal = if norm == Norm::L1 { goal * channels as f64 } else { goal };
            let size = TINY + length(norm, mixed.iter().copied());
            mixed.into_iter().map(|v| v / size * goal).collect()
        })
        .collect();
    for (channel, new) in new.iter().enumerate() {
        shape.cells(channel, from).for_each(|i| moved[i] = 0.0);
        shape.cells(channel, to).zip(new).for_each(|(i, &v)| moved[i] = v);
    }
    placed(arena, seat, &moved)
}

/// The clean point moved, brought to the budget: L2 by scaling, L1 by projection, as published.
fn placed(arena: &Arena<'_>, seat: usize, moved: &[f64]) -> Vec<f32> {
    let (clean, space, norm, eps) = (arena.clean(seat), arena.space(), arena.norm(), arena.eps());
    let size = length(norm, moved.iter().copied());
    let scale = match norm {
        Norm::L2 if size > 0.0 && eps.is_finite() => (1.0 - HAIR) * eps / size,
        _ => 1.0,
    };
    let each = clean.iter().zip(moved).enumerate();
    let wished: Vec<f64> =
        each.map(|(i, (&c, d))| f64::from(c) + d * scale * space.unit(i)).collect();
    match norm {
        // Inside the box nothing is longer than before: no search for a multiplier is needed.
        Norm::L2 => {
            let boxed: Vec<f64> = wished
                .iter()
                .enumerate()
                .map(|(i, &v)| {
                    let (low, high) = space.limits(i);
                    let c = f64::from(clean[i]);
                    if c.is_finite() { v.clamp(low.min(c), high.max(c)) } else { c }
                })
                .collect();
            arena.deployed(seat, &boxed, crate::harness::Reach::Ball)
        }
        _ => arena.deployed(seat, &wished, crate::harness::Reach::Ball),
    }
}

/// Length of what lies in either of two windows, over all channels.
fn windows(shape: &Shape, moved: &[f64], both: [Window; 2], norm: Norm) -> f64 {
    let [a, b] = both;
    let in_a = |w: &Window, y: usize, x: usize| {
        (w.y..w.y + w.height).contains(&y) && (w.x..w.x + w.width).contains(&x)
    };
    let mut values = Vec::new();
    for channel in 0..shape.picture.channels {
        values.extend(shape.cells(channel, a).map(|i| moved[i]));
        for y in b.y..b.y + b.height {
            for x in (b.x..b.x + b.width).filter(|&x| !in_a(&a, y, x)) {
                values.push(moved[shape.picture.at(channel, y, x)]);
            }
        }
    }
    length(norm, values.into_iter())
}

/// A bump of unit length: two pyramids side by side, one upward, one downward, lying or standing.
fn bump(height: usize, width: usize, norm: Norm, stream: &mut Stream) -> Vec<f64> {
    let (tall, wide) = if height == 1 { (width, 1) } else { (height, width) };
    let upper = tall / 2;
    let mut cells = pyramid(upper, wide, norm);
    cells.extend(pyramid(tall - upper, wide, norm).into_iter().map(|v| -v));
    let turn = stream.sign() > 0.0 && tall == wide;
    if turn {
        let turned = (0..tall * wide).map(|i| cells[(i % wide) * wide + i / wide]);
        cells = turned.collect();
    }
    scaled(cells, norm)
}

/// Nested rectangles that grow from the middle, the `k`-th `1 / k^2` high.
fn pyramid(height: usize, width: usize, norm: Norm) -> Vec<f64> {
    let mut cells = vec![0.0; height * width];
    let (middle_y, middle_x) = (height / 2, width / 2);
    let rounds = (height / 2 + 1).max(width / 2 + 1);
    for k in 0..rounds {
        let share = 1.0 / ((k + 1) * (k + 1)) as f64;
        for y in middle_y.saturating_sub(k)..(middle_y + k + 1).min(height) {
            for x in middle_x.saturating_sub(k)..(middle_x + k + 1).min(width) {
                cells[y * width + x] += share;
            }
        }
    }
    scaled(cells, norm)
}

fn scaled(mut cells: Vec<f64>, norm: Norm) -> Vec<f64> {
    let size = length(norm, cells.iter().copied());
    if size > 0.0 {
        cells.iter_mut().for_each(|v| *v /= size);
    }
    cells
}

fn length(norm: Norm, values: impl Iterator<Item = f64>) -> f64 {
    match norm {
        Norm::L2 => values.map(|v| v * v).sum::<f64>().sqrt(),
        _ => values.map(f64::abs).sum(),
    }
}

/// What lengths add up by: squares for L2.
fn power(norm: Norm, length: f64) -> f64 {
    if norm == Norm::L2 { length * length } else { length }
}

fn root(norm: Norm, power: f64) -> f64 {
    if norm == Norm::L2 { power.sqrt() } else { power }
}

/// Odd sides, so that a bump has a middle; one less where the picture ends.
fn odd((height, width): (usize, usize)) -> (usize, usize) {
    let odd =
        |side: usize| if side.is_multiple_of(2) { side.saturating_sub(1).max(1) } else { side };
    (odd(height), odd(width))
}

/// Bumps along each side of the picture at the start.
const TILES: usize = 5;

/// Sides are no shorter: two pyramids need room.
const SIDE_MIN: usize = 3;

/// Share of the budget left to the rounding of sums.
const HAIR: f64 = 1e-12;

/// Keeps quotients defined where a window is empty.
const TINY: f64 = 1e-12;
