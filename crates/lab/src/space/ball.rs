//! Euclidean projection onto the intersection of a norm ball and the box.
//!
//! Owns the bisection. Must never round to f32: the caller does. Called by [`super::Space`].

use proofmark_schema::system::Norm;

use super::Space;

/// The nearest point, in the unit of the budget, of ball and box. Non-finite coordinates of `x`
/// fall back to the clean value.
pub(super) fn project(space: &Space, clean: &[f32], x: &[f64], eps: f64, norm: Norm) -> Vec<f64> {
    let boxed: Vec<f64> = space.axes.iter().zip(clean.iter().zip(x)).map(clip_to_box).collect();
    if norm == Norm::Linf || !eps.is_finite() || length(space, clean, &boxed, norm) <= eps {
        return boxed;
    }
    // INVARIANT: the length of `at(multiplier)` falls from above eps to 0 as it grows.
    let at = |multiplier: f64| -> Vec<f64> {
        let each = space.axes.iter().zip(clean.iter().zip(x));
        each.map(|(axis, (&c, &x))| {
            let moved = if x.is_finite() { (x - f64::from(c)) / axis.unit } else { 0.0 };
            let kept = match norm {
                Norm::L1 => moved.signum() * (moved.abs() - multiplier).max(0.0),
                _ => moved / (1.0 + multiplier),
            };
            clip_to_box((axis, (&c, &(f64::from(c) + kept * axis.unit))))
        })
        .collect()
    };
    let (mut low, mut high) = (0.0, 1.0);
    let mut best = at(high);
    while length(space, clean, &best, norm) > eps && high < MULTIPLIER_MAX {
        low = high;
        high *= 4.0;
        best = at(high);
    }
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        let point = at(middle);
        if length(space, clean, &point, norm) > eps {
            low = middle;
        } else {
            high = middle;
            best = point;
        }
        if high - low <= PRECISION * high {
            break;
        }
    }
    best
}

fn clip_to_box((axis, (&c, &x)): (&super::Axis, (&f32, &f64))) -> f64 {
    if !c.is_finite() || x.is_nan() {
        return f64::from(c);
    }
    x.clamp(axis.lower_edge(c), axis.upper_edge(c))
}

fn length(space: &Space, clean: &[f32], x: &[f64], norm: Norm) -> f64 {
    let each = space.axes.iter().zip(clean.iter().zip(x));
    super::fold(
        norm,
        each.map(
            |(axis, (&c, &x))| {
                if c.is_finite() { (x - f64::from(c)).abs() / axis.unit } else { 0.0 }
            },
        ),
    )
}

/// Halvings of an f64 interval until nothing changes any more.
const BISECTIONS: usize = 100;

/// Relative width at which the bisection stops: well under the f32 step of any coordinate.
const PRECISION: f64 = 1e-11;

/// Beyond this multiplier every displacement is below f64 resolution.
const MULTIPLIER_MAX: f64 = 1e300;
