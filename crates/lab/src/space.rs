//! The space an attacker moves in: box, unit of the budget, and the deployed type.
//!
//! Owns distances, projection into the budget and rounding to the deployed type. What it
//! returns lies inside budget and box exactly: rounding goes toward the clean point whenever
//! rounding outward would leave. Must never know what a model answers. Called by the harness,
//! the attacks and the validity gates.
//!
//! All arithmetic is f64; candidates are f32 in the unit of the model input. A clean value that
//! is NaN (missing) is never changed and adds no distance.

use proofmark_schema::system::{Norm, Scale, Way};

mod ball;
mod cell;

pub use cell::Cell;

/// What the deployed system can hold in one coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployed {
    /// Any f32.
    Real,
    /// Whole numbers, in the unit of the model input.
    Integer,
    /// So many equal steps from the lowest to the highest value of the box: 255 for 8-bit pixels.
    Levels(u32),
}

/// One free coordinate as it is declared, in the unit of the model input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Lowest allowed value; may be infinite where no bounds are declared.
    pub lower: f64,
    /// Highest allowed value; may be infinite.
    pub upper: f64,
    /// Standard deviation over the training data; only read by [`Scale::Std`].
    pub std: f64,
    /// Deployed type.
    pub deployed: Deployed,
}

/// Why there is no such space.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SpaceError {
    /// Bounds reversed or not a number.
    #[error("coordinate {index}: bounds [{lower}, {upper}] hold no value; declare them in order")]
    Bounds {
        /// Coordinate.
        index: usize,
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// The scale has no finite positive unit here.
    #[error("coordinate {index} has no unit on scale `{scale}`: {reason}")]
    Unit {
        /// Coordinate.
        index: usize,
        /// Scale.
        scale: &'static str,
        /// Reason and next step.
        reason: &'static str,
    },
    /// Nothing to move.
    #[error("the attacker has no free coordinate; declare at least one mutable feature")]
    Empty,
}

/// The space of one threat on one data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    axes: Vec<Axis>,
}

/// A number of the form `num / den`: kept apart so that steps of 1/255 add up exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    num: f64,
    den: f64,
}

/// Allowed values of a rounded coordinate: `origin + k * step`, `k` in `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    origin: f64,
    step: Ratio,
    /// One step in the unit of the budget.
    scaled: Ratio,
    first: i64,
    last: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    lower: f64,
    upper: f64,
    /// Model units per 1 of the budget's scale.
    unit: f64,
    grid: Option<Grid>,
    /// The only way from the clean value that is open.
    way: Option<Way>,
}

impl Space {
    /// The space of these coordinates under a scale.
    ///
    /// # Errors
    /// No coordinate, reversed bounds, or a scale without a unit in some coordinate.
    pub fn new(columns: &[Column], scale: Scale) -> Result<Self, SpaceError> {
        if columns.is_empty() {
            return Err(SpaceError::Empty);
        }
        let axes = columns.iter().enumerate().map(|(i, c)| Axis::new(i, c, scale));
        Ok(Self { axes: axes.collect::<Result<_, _>>()? })
    }

    /// The same column in every coordinate.
    ///
    /// # Errors
    /// As [`Space::new`].
    pub fn uniform(dims: usize, column: Column, scale: Scale) -> Result<Self, SpaceError> {
        Self::new(&vec![column; dims], scale)
    }

    /// The same space with a narrower box; unit and deployed type stay, so budgets mean the same.
    ///
    /// # Errors
    /// [`SpaceError::Bounds`] where the limits leave no value of the box.
    pub fn within(&self, limits: &[(f64, f64)]) -> Result<Self, SpaceError> {
        let mut narrow = self.clone();
        for (index, (axis, &(low, high))) in narrow.axes.iter_mut().zip(limits).enumerate() {
            let (lower, upper) = (axis.lower.max(low), axis.upper.min(high));
            if lower.is_nan() || upper.is_nan() || lower > upper {
                return Err(SpaceError::Bounds { index, lower, upper });
            }
            (axis.lower, axis.upper) = (lower, upper);
            if let Some(grid) = &mut axis.grid {
                grid.limit(lower, upper);
            }
        }
        Ok(narrow)
    }

    /// The same space in which coordinates leave their clean value one way only; coordinates
    /// beyond the list stay as they are.
    pub fn directed(&self, ways: &[Option<Way>]) -> Self {
        let mut directed = self.clone();
        for (axis, way) in directed.axes.iter_mut().zip(ways) {
            axis.way = *way;
        }
        directed
    }

    /// Number of coordinates.
    pub fn dims(&self) -> usize {
        self.axes.len()
    }

    /// Model units per 1 of the budget's scale.
    pub fn unit(&self, index: usize) -> f64 {
        self.axes[index].unit
    }

    /// Box of a coordinate, in the unit of the model input.
    pub fn limits(&self, index: usize) -> (f64, f64) {
        (self.axes[index].lower, self.axes[index].upper)
    }

    /// Size of one step of the deployed type in the unit of the budget; `None` for reals.
    pub fn step(&self, index: usize) -> Option<f64> {
        self.axes[index].grid.map(|g| g.scaled.times(1.0))
    }

    /// The only way from the clean value that is open in a coordinate.
    pub fn way(&self, index: usize) -> Option<Way> {
        self.axes[index].way
    }

    /// Deployed values of a rounded coordinate, in the unit of the model input: one of them, and
    /// the step from one to the next; `None` for reals.
    pub fn grid(&self, index: usize) -> Option<(f64, f64)> {
        self.axes[index].grid.map(|g| (g.origin, g.step.times(1.0)))
    }

    /// Whether any coordinate is rounded.
    pub fn rounded(&self) -> bool {
        self.axes.iter().any(|a| a.grid.is_some())
    }

    /// The longest possible distance inside the box, in the unit of the budget; infinite when
    /// the box is.
    pub fn diameter(&self, norm: Norm) -> f64 {
        fold(norm, self.axes.iter().map(|a| (a.upper - a.lower) / a.unit))
    }

    /// Distance in the unit of the budget. A changed NaN or a non-finite value is infinitely far.
    pub fn distance(&self, clean: &[f32], x: &[f32], norm: Norm) -> f64 {
        let each = self.axes.iter().zip(clean.iter().zip(x));
        fold(norm, each.map(|(axis, (&c, &x))| axis.distance(c, x)))
    }

    /// Whether `x` is inside the box, or where it stands still at a clean value outside of it.
    pub fn in_box(&self, clean: &[f32], x: &[f32]) -> bool {
        self.axes.iter().zip(clean.iter().zip(x)).all(|(axis, (&c, &x))| {
            x.to_bits() == c.to_bits()
                || (f64::from(x) >= axis.lower_edge(c) && f64::from(x) <= axis.upper_edge(c))
        })
    }

    /// Where a coordinate can go from its clean value: bounds, and the direction that is allowed.
    pub fn edges(&self, index: usize, clean: f32) -> (f64, f64) {
        let axis = &self.axes[index];
        (axis.lower_edge(clean), axis.upper_edge(clean))
    }

    /// First coordinate of a clean row that violates its own box or deployed type: index and
    /// reason. NaN is a missing value and passes.
    pub fn fault(&self, clean: &[f32]) -> Option<(usize, String)> {
        self.axes
            .iter()
            .zip(clean)
            .enumerate()
            .find_map(|(index, (axis, &value))| axis.fault(value).map(|reason| (index, reason)))
    }

    /// The nearest point (Euclidean in the unit of the budget) of ball and box, as f32 inside
    /// both, without rounding to the deployed type. `eps` may be infinite: the box alone.
    ///
    /// L-inf is a clamp; L2 and L1 solve the optimality conditions of the projection onto the
    /// intersection of ball and box by bisection on the multiplier of the ball (for L1 the set
    /// of Croce and Hein 2021, "Mind the box", which they solve by sorting).
    pub fn project(&self, clean: &[f32], x: &[f64], eps: f64, norm: Norm) -> Vec<f32> {
        let point = ball::project(self, clean, x, eps, norm);
        self.settle(clean, &point, eps, norm, false)
    }

    /// As [`Space::project`], then rounded to the deployed type, still inside ball and box.
    pub fn deploy(&self, clean: &[f32], x: &[f64], eps: f64, norm: Norm) -> Vec<f32> {
        let point = ball::project(self, clean, x, eps, norm);
        self.settle(clean, &point, eps, norm, true)
    }

    /// Deployed values of a coordinate within `eps` of the clean value, ascending, the clean one
    /// included: all of them if the type has at most `most`, else `most` evenly spaced ones.
    pub fn ladder(&self, index: usize, clean: f32, eps: f64, most: usize) -> Vec<f32> {
        let axis = &self.axes[index];
        if !clean.is_finite() || most < 2 {
            return vec![clean];
        }
        let c = f64::from(clean);
        let low = axis.lower_edge(clean).max(c - eps * axis.unit);
        let high = axis.upper_edge(clean).min(c + eps * axis.unit);
        if !(low.is_finite() && high.is_finite()) {
            return vec![clean];
        }
        let steps = axis.grid.map_or(f64::INFINITY, |g| ((high - low) / g.step.times(1.0)).ceil());
        let count = if steps < most as f64 { steps as usize + 1 } else { most };
        let mut values: Vec<f32> = (0..count)
            .map(|i| low + (high - low) * i as f64 / (count.max(2) - 1) as f64)
            .map(|v| axis.deploy(clean, v, eps))
            .chain([clean])
            .collect();
        values.sort_by(f32::total_cmp);
        values.dedup_by(|a, b| a.to_bits() == b.to_bits());
        values
    }

    /// Rounds each coordinate and repairs what rounding pushed out of the ball.
    fn settle(&self, clean: &[f32], p: &[f64], eps: f64, norm: Norm, deploy: bool) -> Vec<f32> {
        let round = |i: usize, v: f64| {
            let axis = &self.axes[i];
            if deploy { axis.deploy(clean[i], v, eps) } else { axis.inward(clean[i], v, eps) }
        };
        let mut x: Vec<f32> = p.iter().enumerate().map(|(i, &v)| round(i, v)).collect();
        if norm == Norm::Linf || self.distance(clean, &x, norm) <= eps {
            return x;
        }
        if deploy {
            self.pull_back(clean, p, &mut x, eps, norm);
        }
        // What is left is the rounding of sums of f32 displacements: shrink until inside.
        let mut shrink = 1e-7;
        while self.distance(clean, &x, norm) > eps {
            if shrink >= 1.0 {
                return clean.to_vec();
            }
            for (i, (value, &c)) in x.iter_mut().zip(clean).enumerate() {
                let moved = f64::from(*value) - f64::from(c);
                if moved != 0.0 && moved.is_finite() {
                    let axis = &self.axes[i];
                    let nearer = f64::from(c) + moved * (1.0 - shrink);
                    *value = match axis.grid {
                        Some(_) if deploy => axis.deploy_toward(c, nearer, eps),
                        _ => axis.inward(c, nearer, eps),
                    };
                }
            }
            shrink *= 2.0;
        }
        x
    }

    /// Takes back the coordinates that were rounded outward, the greatest excess first, one
    /// step each, until the point is inside the ball or none is left.
    fn pull_back(&self, clean: &[f32], p: &[f64], x: &mut [f32], eps: f64, norm: Norm) {
        let mut outward: Vec<(f64, usize)> = (0..x.len())
            .filter(|&i| self.axes[i].grid.is_some())
            .map(|i| {
                let c = f64::from(clean[i]);
                let excess = (f64::from(x[i]) - c).abs() - (p[i] - c).abs();
                (excess / self.axes[i].unit, i)
            })
            .filter(|&(excess, _)| excess > 0.0)
            .collect();
        outward.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, i) in outward {
            x[i] = self.axes[i].deploy_toward(clean[i], p[i], eps);
            if self.distance(clean, x, norm) <= eps {
                return;
            }
        }
    }
}

impl Axis {
    fn new(index: usize, column: &Column, scale: Scale) -> Result<Self, SpaceError> {
        let Column { lower, upper, std, deployed } = *column;
        if lower.is_nan() || upper.is_nan() || lower > upper {
            return Err(SpaceError::Bounds { index, lower, upper });
        }
        let span = upper - lower;
        let no_unit = |scale, reason| Err(SpaceError::Unit { index, scale, reason });
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let unit = match scale {
            Scale::Raw => Ratio { num: 1.0, den: 1.0 },
            Scale::Bounds if positive(span) => Ratio { num: span, den: 1.0 },
            Scale::Bounds => return no_unit("bounds", "its bounds are infinite or a single value"),
            Scale::Std if positive(std) => Ratio { num: std, den: 1.0 },
            Scale::Std => return no_unit("std", "it does not vary in the training data"),
            Scale::U8 if positive(span) => Ratio { num: span, den: BYTE_STEPS },
            Scale::U8 => return no_unit("0-255", "its range is infinite or a single value"),
        };
        if matches!(deployed, Deployed::Levels(_)) && !positive(span) {
            return no_unit("levels", "its range is infinite or a single value");
        }
        Ok(Self { lower, upper, unit: unit.times(1.0), grid: Grid::new(column, unit), way: None })
    }

    /// Distance of one coordinate in the unit of the budget.
    fn distance(&self, clean: f32, x: f32) -> f64 {
        if clean.to_bits() == x.to_bits() {
            return 0.0;
        }
        if !clean.is_finite() || !x.is_finite() {
            return f64::INFINITY;
        }
        if let Some(grid) = &self.grid
            && let (Some(a), Some(b)) = (grid.index(clean), grid.index(x))
        {
            return grid.scaled.times((a - b).abs() as f64);
        }
        (f64::from(x) - f64::from(clean)).abs() / self.unit
    }

    /// The box, widened to a clean value that lies outside of it, and cut at the clean value
    /// where only one way is open.
    fn lower_edge(&self, clean: f32) -> f64 {
        match self.way {
            Some(Way::Increase) => f64::from(clean),
            _ => self.lower.min(f64::from(clean)),
        }
    }

    fn upper_edge(&self, clean: f32) -> f64 {
        match self.way {
            Some(Way::Decrease) => f64::from(clean),
            _ => self.upper.max(f64::from(clean)),
        }
    }

    fn fault(&self, value: f32) -> Option<String> {
        let v = f64::from(value);
        let slack = BOX_SLACK * (self.upper - self.lower).min(1.0).max(v.abs() * 1e-2);
        if value.is_nan() {
            None
        } else if v < self.lower - slack || v > self.upper + slack {
            Some(format!("{v} lies outside [{}, {}]", self.lower, self.upper))
        } else if let Some(grid) = &self.grid
            && grid.index(value).is_none()
        {
            Some(format!("{v} is not a value of the deployed type"))
        } else {
            None
        }
    }

    /// Nearest f32 toward the clean value that is within `eps` and the box; on a grid also
    /// within the deployed values that `eps` reaches, so that an attack does not spend itself
    /// on a coordinate that cannot move.
    fn inward(&self, clean: f32, v: f64, eps: f64) -> f32 {
        if !clean.is_finite() || v.is_nan() {
            return clean;
        }
        let c = f64::from(clean);
        let v = v.clamp(self.lower_edge(clean), self.upper_edge(clean));
        let v = match &self.grid {
            Some(grid) => grid.hull(clean, v, eps),
            None => v,
        };
        let v = if eps.is_finite() { v.clamp(c - eps * self.unit, c + eps * self.unit) } else { v };
        let mut x = v as f32;
        if (x > clean && f64::from(x) > v) || (x < clean && f64::from(x) < v) {
            x = toward(x, clean);
        }
        while x != clean && (f64::from(x) - c).abs() / self.unit > eps {
            x = toward(x, clean);
        }
        if x == clean { clean } else { x }
    }

    /// Nearest deployed value within `eps` and the box.
    fn deploy(&self, clean: f32, v: f64, eps: f64) -> f32 {
        self.on_grid(clean, v, eps, f64::round)
    }

    /// The deployed value next to `v` on the side of the clean one.
    fn deploy_toward(&self, clean: f32, v: f64, eps: f64) -> f32 {
        let up = v < f64::from(clean);
        // A hair of slack, so that a value on the grid is not taken for the next one.
        let side = |k: f64| if up { (k - 1e-6).ceil() } else { (k + 1e-6).floor() };
        self.on_grid(clean, v, eps, side)
    }

    fn on_grid(&self, clean: f32, v: f64, eps: f64, side: impl Fn(f64) -> f64) -> f32 {
        let Some(grid) = &self.grid else { return self.inward(clean, v, eps) };
        if !clean.is_finite() || v.is_nan() {
            return clean;
        }
        let v = match self.way {
            None => v,
            Some(_) => v.clamp(self.lower_edge(clean), self.upper_edge(clean)),
        };
        let wished = side(grid.coordinate(v)).clamp(-K_MAX, K_MAX) as i64;
        match grid.index(clean) {
            Some(home) => {
                let wished = wished.clamp(grid.first.min(home), grid.last.max(home));
                let reach = grid.reach(eps);
                let (low, high) = (home.saturating_sub(reach), home.saturating_add(reach));
                let k = wished.clamp(low, high);
                if k == home { clean } else { grid.value(k) }
            }
            None => {
                let mut k = wished.clamp(grid.first, grid.last);
                let c = grid.coordinate(f64::from(clean));
                while self.distance(clean, grid.value(k)) > eps {
                    let next = if (k as f64) > c { k - 1 } else { k + 1 };
                    if (k as f64 > c) != (next as f64 > c) || next < grid.first || next > grid.last
                    {
                        return clean;
                    }
                    k = next;
                }
                // Rounding can lead past a clean value that is itself not on the grid.
                let (k, value) = (k as f64, grid.value(k));
                match self.way {
                    Some(Way::Increase) if k < c => clean,
                    Some(Way::Decrease) if k > c => clean,
                    _ => value,
                }
            }
        }
    }
}

impl Grid {
    fn new(column: &Column, unit: Ratio) -> Option<Self> {
        let span = column.upper - column.lower;
        let (origin, step) = match column.deployed {
            Deployed::Real => return None,
            Deployed::Integer => (0.0, Ratio { num: 1.0, den: 1.0 }),
            Deployed::Levels(steps) => {
                (column.lower, Ratio { num: span, den: f64::from(steps.max(1)) })
            }
        };
        // step / unit, with what cancels left out, so that the usual scales stay exact.
        let scaled = if step == unit {
            Ratio { num: 1.0, den: 1.0 }
        } else if step.num == unit.num {
            Ratio { num: unit.den, den: step.den }
        } else {
            Ratio { num: step.num * unit.den, den: step.den * unit.num }
        };
        let mut grid = Self { origin, step, scaled, first: 0, last: 0 };
        grid.limit(column.lower, column.upper);
        Some(grid)
    }

    /// Keeps the values between two limits.
    fn limit(&mut self, lower: f64, upper: f64) {
        self.first = (self.coordinate(lower) - 1e-6).ceil().clamp(-K_MAX, K_MAX) as i64;
        self.last = (self.coordinate(upper) + 1e-6).floor().clamp(-K_MAX, K_MAX) as i64;
    }

    fn coordinate(&self, v: f64) -> f64 {
        (v - self.origin) * self.step.den / self.step.num
    }

    fn value(&self, k: i64) -> f32 {
        (self.origin + self.step.times(k as f64)) as f32
    }

    /// Index of a value; `None` when it is not on the grid up to f32 rounding.
    fn index(&self, value: f32) -> Option<i64> {
        let k = self.coordinate(f64::from(value));
        let near = k.round();
        let slack = GRID_SLACK.max(k.abs() * 4.0 * f64::from(f32::EPSILON));
        ((k - near).abs() <= slack && near.abs() < K_MAX).then_some(near as i64)
    }

    /// `v` clamped to the deployed values within `eps` of a clean value on the grid.
    fn hull(&self, clean: f32, v: f64, eps: f64) -> f64 {
        let Some(home) = self.index(clean) else { return v };
        let reach = self.reach(eps);
        if reach == 0 {
            return f64::from(clean);
        }
        let end = |k: i64| self.origin + self.step.times(k as f64);
        v.clamp(end(home.saturating_sub(reach)), end(home.saturating_add(reach)))
    }

    /// Greatest number of steps whose distance is at most `eps`.
    fn reach(&self, eps: f64) -> i64 {
        let guess = (eps * self.scaled.den / self.scaled.num).floor();
        if guess.is_nan() || guess >= K_MAX {
            return K_MAX as i64;
        }
        let mut k = guess as i64;
        while self.scaled.times((k + 1) as f64) <= eps {
            k += 1;
        }
        while k > 0 && self.scaled.times(k as f64) > eps {
            k -= 1;
        }
        k
    }
}

impl Ratio {
    fn times(self, k: f64) -> f64 {
        k * self.num / self.den
    }
}

/// The next f32 from `x` in the direction of `goal`.
fn toward(x: f32, goal: f32) -> f32 {
    if x < goal { x.next_up() } else { x.next_down() }
}

/// Folds per-coordinate distances, in order, in f64.
fn fold(norm: Norm, each: impl Iterator<Item = f64>) -> f64 {
    match norm {
        Norm::Linf => each.fold(0.0, f64::max),
        Norm::L2 => each.map(|d| d * d).sum::<f64>().sqrt(),
        Norm::L1 => each.sum(),
    }
}

/// Steps of an 8-bit pixel.
const BYTE_STEPS: f64 = 255.0;

/// Share of a grid step by which an f32 may miss its grid point: f32 arithmetic of a pixel
/// normalisation errs by far less, half a step would be another value.
const GRID_SLACK: f64 = 1e-3;

/// Relative slack of the box for clean values, which carry f32 rounding of the preprocessing.
const BOX_SLACK: f64 = 1e-5;

/// Grid indices stay below this, so that they are exact in f64 and never overflow.
const K_MAX: f64 = 4.0e15;

#[cfg(test)]
mod tests;
