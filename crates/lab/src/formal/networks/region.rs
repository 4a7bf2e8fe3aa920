//! What is asked of a network: boxes and linear conditions on inputs and outputs.
//!
//! Owns the condition as rows for the bounds, its value at a point, and the 32-bit inputs that
//! lie in a box. Must never round a box inward for a proof or outward for a witness.

use super::crown::Rows;
use super::net::{Matrix, Net};

/// A bound of an input, as the two doubles that enclose it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Not above the bound.
    pub below: f64,
    /// Not below the bound.
    pub above: f64,
}

/// A box and conditions: a point of the box where all hold violates what is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Lower bound of each input.
    pub lower: Vec<Edge>,
    /// Upper bound of each input.
    pub upper: Vec<Edge>,
    /// All hold.
    pub limits: Vec<Limit>,
}

/// `inputs . x + outputs . y + constant <= 0`. Factors are right to one unit in the last place,
/// the constant is not above its exact value.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Factors of inputs.
    pub inputs: Vec<(usize, f64)>,
    /// Factors of outputs.
    pub outputs: Vec<(usize, f64)>,
    /// Constant.
    pub constant: f64,
}

impl Edge {
    /// A bound that is a double.
    pub fn exact(value: f64) -> Self {
        Self { below: value, above: value }
    }
}

impl Limit {
    /// Its left side at points `x` with outputs `y`, in doubles.
    pub(crate) fn at(&self, x: impl Fn(usize) -> f64, y: impl Fn(usize) -> f64) -> f64 {
        let inputs: f64 = self.inputs.iter().map(|&(i, f)| f * x(i)).sum();
        let outputs: f64 = self.outputs.iter().map(|&(j, f)| f * y(j)).sum();
        inputs + outputs + self.constant
    }

    /// Whether it compares two outputs, and nothing else: then a monotone end changes nothing.
    pub fn is_order(&self) -> bool {
        let opposed = matches!(self.outputs[..], [(_, a), (_, b)] if a == -b);
        self.inputs.is_empty() && self.constant == 0.0 && opposed
    }
}

impl Region {
    /// The box that encloses it, `(1, inputs)`.
    pub(crate) fn outer(&self) -> (Matrix, Matrix) {
        let row = |values: Vec<f64>| {
            let len = values.len();
            Matrix::from_shape_vec((1, len), values).unwrap_or_default()
        };
        let low = self.lower.iter().map(|e| e.below).collect();
        // a box is kept as such where decimals cross by less than a step of a double
        let high = self.upper.iter().zip(&self.lower).map(|(u, l)| u.above.max(l.below)).collect();
        (row(low), row(high))
    }

    /// Lowest and highest 32-bit number of each input inside; `None` where there is none.
    pub fn inner(&self) -> Option<Vec<(f32, f32)>> {
        let ends = self.lower.iter().zip(&self.upper).map(|(low, high)| {
            let (mut l, mut h) = (low.above as f32, high.below as f32);
            if f64::from(l) < low.above {
                l = l.next_up();
            }
            if f64::from(h) > high.below {
                h = h.next_down();
            }
            (l <= h && l.is_finite() && h.is_finite()).then_some((l, h))
        });
        ends.collect()
    }

    /// A row for each limit, for the box `domain`.
    pub(crate) fn rows<'a>(net: &Net, each: impl Iterator<Item = (&'a Limit, usize)>) -> Rows {
        let all: Vec<_> = each.collect();
        let mut coefficients = Matrix::zeros((all.len(), net.outputs()));
        let mut input = Matrix::zeros((all.len(), net.inputs()));
        for (r, (limit, _)) in all.iter().enumerate() {
            limit.outputs.iter().for_each(|&(j, f)| coefficients[[r, j]] += f);
            limit.inputs.iter().for_each(|&(i, f)| input[[r, i]] += f);
        }
        let plain = all.iter().all(|(limit, _)| limit.inputs.is_empty());
        Rows {
            node: net.output,
            coefficients,
            input: (!plain).then_some(input),
            constant: all.iter().map(|(limit, _)| limit.constant).collect(),
            domain: all.iter().map(|(_, domain)| *domain).collect(),
            splits: vec![Vec::new(); all.len()],
        }
    }
}
