//! Crossover and mutation of real-coded rows inside of limits.
//!
//! Simulated binary crossover (Deb and Agrawal 1995) and polynomial mutation (Deb and Goyal
//! 1996), both in their bounded form as given by Deb, "An efficient constraint handling method for
//! genetic algorithms" (2000), appendix A.

use crate::stream::Stream;

/// Two children of two parents.
pub(super) fn cross(
    a: &[f32],
    b: &[f32],
    limits: &[(f64, f64)],
    stream: &mut Stream,
) -> (Vec<f64>, Vec<f64>) {
    let mut first: Vec<f64> = a.iter().map(|&v| f64::from(v)).collect();
    let mut second: Vec<f64> = b.iter().map(|&v| f64::from(v)).collect();
    if stream.unit() >= CROSS_SHARE {
        return (first, second);
    }
    for ((x, y), &(low, high)) in first.iter_mut().zip(&mut second).zip(limits) {
        if stream.unit() >= 0.5 || (*x - *y).abs() <= SAME || high <= low {
            continue;
        }
        let (least, most) = (x.min(*y), x.max(*y));
        let u = stream.unit();
        let near = child(least, most, least - low, u);
        let far = child(least, most, high - most, u);
        let middle = 0.5 * (least + most);
        let below = (middle - 0.5 * near * (most - least)).clamp(low, high);
        let above = (middle + 0.5 * far * (most - least)).clamp(low, high);
        (*x, *y) = if stream.unit() < 0.5 { (above, below) } else { (below, above) };
    }
    (first, second)
}

/// Spread of a child, with `room` between the parents and the limit on its side.
fn child(least: f64, most: f64, room: f64, u: f64) -> f64 {
    let beta = 1.0 + 2.0 * room / (most - least);
    let alpha = 2.0 - beta.powf(-(CROSS_ETA + 1.0));
    let power = 1.0 / (CROSS_ETA + 1.0);
    if u <= 1.0 / alpha { (u * alpha).powf(power) } else { (1.0 / (2.0 - u * alpha)).powf(power) }
}

/// Moves about one coordinate of a row.
pub(super) fn mutate(x: &mut [f64], limits: &[(f64, f64)], stream: &mut Stream) {
    let share = 1.0 / x.len().max(1) as f64;
    for (x, &(low, high)) in x.iter_mut().zip(limits) {
        if stream.unit() >= share || high <= low || !x.is_finite() {
            continue;
        }
        let span = high - low;
        let (below, above) = ((*x - low) / span, (high - *x) / span);
        let (u, power) = (stream.unit(), 1.0 / (MUTATE_ETA + 1.0));
        let moved = if u < 0.5 {
            let inner = 2.0 * u + (1.0 - 2.0 * u) * (1.0 - below).powf(MUTATE_ETA + 1.0);
            inner.powf(power) - 1.0
        } else {
            let inner = 2.0 * (1.0 - u) + (2.0 * u - 1.0) * (1.0 - above).powf(MUTATE_ETA + 1.0);
            1.0 - inner.powf(power)
        };
        *x = (*x + moved * span).clamp(low, high);
    }
}

/// Share of pairs that are crossed.
const CROSS_SHARE: f64 = 0.9;
/// Distribution index of the crossover: the usual one.
const CROSS_ETA: f64 = 15.0;
/// Distribution index of the mutation: the usual one.
const MUTATE_ETA: f64 = 20.0;
/// Parents nearer than this in a coordinate have nothing to cross there.
const SAME: f64 = 1e-14;
