//! Projection onto a plane inside the box.
//!
//! Owns the smallest change, by a distance in the unit of the budget, that brings a point of the
//! box onto a plane, or as near as the box lets it. Must never leave the box. Called by the fast
//! adaptive boundary attack.

use proofmark_schema::system::Norm;

use crate::space::Space;

/// A plane, the box round one clean row, and the two projections last asked for.
///
/// All in the unit of the budget; a coordinate that cannot move has slope 0.
pub(super) struct Plane {
    slopes: Vec<f64>,
    units: Vec<f64>,
    limits: Vec<(f64, f64)>,
    here: Vec<f64>,
    home: Vec<f64>,
    order: Vec<usize>,
}

/// Distance to the plane without the box; infinite where the slope is zero or not finite.
pub(super) fn gap(space: &Space, loss: f64, grad: &[f32], norm: Norm) -> f64 {
    let each = grad.iter().enumerate().map(|(i, &g)| (f64::from(g) * space.unit(i)).abs());
    let dual = match norm {
        Norm::Linf => each.sum(),
        Norm::L2 => each.map(|s| s * s).sum::<f64>().sqrt(),
        Norm::L1 => each.fold(0.0, f64::max),
    };
    if dual > 0.0 && dual.is_finite() { loss.abs() / dual } else { f64::INFINITY }
}

impl Plane {
    pub(super) fn new(dims: usize) -> Self {
        let zeros = || vec![0.0; dims];
        let (slopes, units, here, home) = (zeros(), zeros(), zeros(), zeros());
        let order = (0..dims).collect();
        Self { slopes, units, limits: vec![(0.0, 0.0); dims], here, home, order }
    }

    /// The plane with these slopes in the box round a clean row.
    pub(super) fn set(&mut self, space: &Space, clean: &[f32], grad: &[f32]) {
        for (i, (&c, &g)) in clean.iter().zip(grad).enumerate() {
            let (low, high) = space.edges(i, c);
            let (c, unit) = (f64::from(c), space.unit(i));
            let slope = f64::from(g) * unit;
            self.units[i] = unit;
            self.limits[i] = (low.min(c), high.max(c));
            self.slopes[i] = if c.is_finite() && slope.is_finite() { slope } else { 0.0 };
        }
    }

    /// Moves `x`, where the plane's value is `value`, onto the plane; the length of the change.
    pub(super) fn onto(&mut self, x: &[f32], value: f64, norm: Norm) -> f64 {
        let mut moved = std::mem::take(&mut self.here);
        let length = self.project(x, value, norm, &mut moved);
        self.here = moved;
        length
    }

    /// The same for the clean point.
    pub(super) fn home(&mut self, clean: &[f32], value: f64, norm: Norm) -> f64 {
        let mut moved = std::mem::take(&mut self.home);
        let length = self.project(clean, value, norm, &mut moved);
        self.home = moved;
        length
    }

    /// How much the plane's value grows from one point to another.
    pub(super) fn change(&self, from: &[f32], to: &[f32]) -> f64 {
        let each = self.slopes.iter().zip(&self.units).zip(from.iter().zip(to));
        each.filter(|((slope, _), _)| **slope != 0.0)
            .map(|((slope, unit), (&a, &b))| slope * (f64::from(b) - f64::from(a)) / unit)
            .sum()
    }

    /// Both projections overshot, and `share` of the clean one's.
    pub(super) fn mix(&self, x: &mut [f32], clean: &[f32], share: f64, overshoot: f64) {
        for (i, (x, &c)) in x.iter_mut().zip(clean).enumerate() {
            let (here, home) = (self.here[i], self.home[i]);
            if self.slopes[i] == 0.0 && x.to_bits() == c.to_bits() {
                continue;
            }
            let near = f64::from(*x) + overshoot * here * self.units[i];
            let far = f64::from(c) + overshoot * home * self.units[i];
            let (low, high) = self.limits[i];
            *x = (near * (1.0 - share) + far * share).clamp(low, high) as f32;
        }
    }

    /// Fills `moved` with the change; its length.
    fn project(&mut self, x: &[f32], value: f64, norm: Norm, moved: &mut [f64]) -> f64 {
        // What the slopes have to add up to, and which way each coordinate goes for that.
        let (need, side) = (value.abs(), if value < 0.0 { 1.0 } else { -1.0 });
        for (i, &x) in x.iter().enumerate() {
            let (low, high) = self.limits[i];
            let slope = side * self.slopes[i];
            let x = f64::from(x);
            let room =
                if slope > 0.0 { (high - x) / self.units[i] } else { (x - low) / self.units[i] };
            moved[i] = if slope == 0.0 { 0.0 } else { room.max(0.0) };
        }
        match norm {
            Norm::L1 => self.greedy(need, moved),
            _ => self.even(need, norm, moved),
        }
        let mut length = 0.0_f64;
        for (moved, slope) in moved.iter_mut().zip(&self.slopes) {
            length = match norm {
                Norm::Linf => length.max(*moved),
                Norm::L2 => length + *moved * *moved,
                Norm::L1 => length + *moved,
            };
            *moved *= side * slope.signum();
        }
        let length = if norm == Norm::L2 { length.sqrt() } else { length };
        length.max(LENGTH_MIN)
    }

    /// L-inf: all coordinates go equally far; L2: each in proportion to its slope; each until it
    /// meets the box. `rooms` becomes how far each goes.
    ///
    /// The multiplier is raised until no further coordinate meets the box: those that do so at
    /// some multiplier do so at every greater one, so it takes few rounds.
    fn even(&self, need: f64, norm: Norm, rooms: &mut [f64]) {
        let weight = |slope: f64| if norm == Norm::Linf { 1.0 } else { slope.abs() };
        let mut multiplier = 0.0;
        loop {
            let (mut full, mut free) = (0.0, 0.0);
            for (slope, room) in self.slopes.iter().zip(&*rooms) {
                let (gain, pace) = (slope.abs(), weight(*slope));
                if *room <= multiplier * pace {
                    full += gain * room;
                } else {
                    free += gain * pace;
                }
            }
            let next = if free > 0.0 { (need - full) / free } else { f64::INFINITY };
            // Rounding aside it only grows; the box may hold it back for ever.
            if next.is_infinite() || next <= multiplier {
                multiplier = multiplier.max(next);
                break;
            }
            multiplier = next;
        }
        for (slope, room) in self.slopes.iter().zip(rooms) {
            *room = room.min(multiplier * weight(*slope));
        }
    }

    /// L1: one coordinate after the other, the steepest first, each up to the box.
    fn greedy(&mut self, need: f64, rooms: &mut [f64]) {
        let slopes = &self.slopes;
        self.order.sort_by(|&a, &b| slopes[b].abs().total_cmp(&slopes[a].abs()).then(a.cmp(&b)));
        let mut left = need;
        for &i in &self.order {
            let gain = self.slopes[i].abs();
            let goes = if gain > 0.0 { rooms[i].min(left.max(0.0) / gain) } else { 0.0 };
            rooms[i] = goes;
            left -= goes * gain;
        }
    }
}

/// Keeps the mix defined where both points lie on the plane.
const LENGTH_MIN: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Deployed;
    use crate::stream::Stream;
    use crate::toys;

    /// No admissible change that reaches the plane is shorter: compared with many random ones
    /// and, without a box, with the dual norm.
    #[test]
    fn a_projection_reaches_the_plane_and_none_is_shorter() {
        let dims = 6;
        for (high, boxed) in [(50.0, false), (0.6, true)] {
            let space = toys::space(dims, -high, high, Deployed::Real);
            let mut stream = Stream::new(3, "plane", "test", 0, u64::from(boxed));
            let mut reached = 0;
            for _ in 0..200 {
                let x: Vec<f32> = (0..dims).map(|_| 0.5 * stream.symmetric() as f32).collect();
                let grad: Vec<f32> = (0..dims).map(|_| stream.normal() as f32).collect();
                let value = 2.0 * stream.symmetric();
                for norm in [Norm::Linf, Norm::L2, Norm::L1] {
                    let mut plane = Plane::new(dims);
                    plane.set(&space, &x, &grad);
                    let length = plane.onto(&x, value, norm);
                    let end: Vec<f64> =
                        x.iter().zip(&plane.here).map(|(&x, d)| f64::from(x) + d).collect();
                    assert!(end.iter().all(|v| v.abs() <= high + 1e-9), "{norm:?} {end:?}");
                    let at = |moved: &[f64]| -> f64 {
                        value + grad.iter().zip(moved).map(|(&g, d)| f64::from(g) * d).sum::<f64>()
                    };
                    let left = at(&plane.here);
                    if !boxed {
                        let expected = gap(&space, value, &grad, norm);
                        assert!((length - expected).abs() < 1e-9, "{norm:?} {length} {expected}");
                    }
                    if left.abs() > 1e-9 {
                        // Out of reach: every coordinate has met the box.
                        let met = end.iter().all(|v| (v.abs() - high).abs() < 1e-9);
                        assert!(boxed && met, "{norm:?} stops at {left}");
                        continue;
                    }
                    reached += 1;
                    for _ in 0..30 {
                        // A random change of the plane from here: never shorter inside the box.
                        let mut other: Vec<f64> =
                            plane.here.iter().map(|d| d + 0.2 * stream.normal()).collect();
                        let i = stream.below(dims);
                        other[i] -= at(&other) / f64::from(grad[i]);
                        let inside =
                            x.iter().zip(&other).all(|(&x, d)| (f64::from(x) + d).abs() <= high);
                        let size = match norm {
                            Norm::Linf => other.iter().fold(0.0_f64, |m, d| m.max(d.abs())),
                            Norm::L2 => other.iter().map(|d| d * d).sum::<f64>().sqrt(),
                            Norm::L1 => other.iter().map(|d| d.abs()).sum(),
                        };
                        assert!(!inside || size >= length - 1e-9, "{norm:?} {size} {length}");
                    }
                }
            }
            assert!(reached > 300, "{reached}");
        }
    }
}
