//! Piecewise linear operators, written with ReLU without loss.

use super::*;

impl Builder<'_> {
    pub(super) fn relu(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let at = self.bend(held.node);
        self.give(node, at, held.shape)
    }

    fn bend(&mut self, from: usize) -> usize {
        self.push(self.nodes[from].len, Op::Relu { from })
    }

    /// `factor * value + shift`, element by element.
    fn affine(&mut self, from: usize, factor: Vec<f64>, shift: f64) -> Lowered<usize> {
        let bias = vec![shift; factor.len()];
        self.linear(from, Map::Diagonal(factor), bias)
    }

    pub(super) fn bent(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let len = self.nodes[held.node].len;
        let float = |name: &str, default: f32| match node.attributes.get(name) {
            Some(Attribute::Float(v)) => f64::from(*v),
            _ => f64::from(default),
        };
        let at = match node.op.as_str() {
            "LeakyRelu" => self.sloped(held.node, vec![float("alpha", 0.01); len])?,
            "PRelu" => {
                let slope = self.wanted(node, 1)?;
                let slope = spread(&slope, &held.shape)
                    .ok_or_else(|| refusal(node, "the slope does not fit"))?;
                self.sloped(held.node, slope)?
            }
            "Abs" => self.sloped(held.node, vec![-1.0; len])?,
            "HardSigmoid" => {
                let inner =
                    self.affine(held.node, vec![float("alpha", 0.2); len], float("beta", 0.5))?;
                self.clipped(inner, Some(0.0), Some(1.0))?
            }
            _ => {
                let (low, high) = self.limits(node)?;
                if low.zip(high).is_some_and(|(low, high)| low > high) {
                    return refuse(node, "its lower limit is above its upper one");
                }
                self.clipped(held.node, low, high)?
            }
        };
        self.give(node, at, held.shape)
    }

    /// `s x + (1 - s) relu(x)`: slope `s` below nought.
    fn sloped(&mut self, from: usize, slope: Vec<f64>) -> Lowered<usize> {
        let len = slope.len();
        let bent = self.bend(from);
        let rest = slope.iter().map(|s| 1.0 - s).collect();
        let left = self.affine(from, slope, 0.0)?;
        let right = self.affine(bent, rest, 0.0)?;
        Ok(self.push(len, Op::Sum { from: vec![left, right] }))
    }

    /// `low + relu(x - low) - relu(x - high)`.
    fn clipped(&mut self, from: usize, low: Option<f64>, high: Option<f64>) -> Lowered<usize> {
        let len = self.nodes[from].len;
        let plus = || vec![1.0; len];
        let lower = match low {
            Some(low) => {
                let moved = self.affine(from, plus(), -low)?;
                let bent = self.bend(moved);
                self.affine(bent, plus(), low)?
            }
            None => from,
        };
        let Some(high) = high else { return Ok(lower) };
        let moved = self.affine(from, plus(), -high)?;
        let bent = self.bend(moved);
        let over = self.negative(bent)?;
        Ok(self.push(len, Op::Sum { from: vec![lower, over] }))
    }

    /// Limits of `Clip`: attributes before opset 11, inputs since; infinite ones are none.
    fn limits(&self, node: &GraphNode) -> Lowered<(Option<f64>, Option<f64>)> {
        let attribute = |name: &str| match node.attributes.get(name) {
            Some(Attribute::Float(v)) => Some(f64::from(*v)),
            _ => None,
        };
        let input = |i: usize| -> Lowered<Option<f64>> {
            let value = self.constant(node, i)?.and_then(Value::to_f64s);
            Ok(value.and_then(|v| v.first().copied()))
        };
        let low = input(1)?.or(attribute("min")).filter(|v| *v > f64::from(f32::MIN));
        let high = input(2)?.or(attribute("max")).filter(|v| *v < f64::from(f32::MAX));
        if low.into_iter().chain(high).any(|v| !v.is_finite()) {
            return refuse(node, "a limit is not a number");
        }
        Ok((low, high))
    }

    /// `Max` and `Min` of values of one shape.
    pub(super) fn extreme(&mut self, node: &GraphNode) -> Lowered<()> {
        let first = self.held(node, 0)?;
        let mut all = Vec::new();
        for i in 0..node.inputs.len() {
            let held = self.held(node, i)?;
            if held.shape != first.shape {
                return refuse(node, "its values have different shapes");
            }
            all.push(if node.op == "Min" { self.negative(held.node)? } else { held.node });
        }
        let mut at = self.greatest(all)?;
        if node.op == "Min" {
            at = self.negative(at)?;
        }
        self.give(node, at, first.shape)
    }

    /// The greatest of values of one length, pair by pair: `b + relu(a - b)`.
    pub(super) fn greatest(&mut self, mut all: Vec<usize>) -> Lowered<usize> {
        while all.len() > 1 {
            let mut next = Vec::with_capacity(all.len().div_ceil(2));
            for pair in all.chunks(2) {
                next.push(match *pair {
                    [a, b] => {
                        let len = self.nodes[a].len;
                        let minus = self.negative(b)?;
                        let gap = self.push(len, Op::Sum { from: vec![a, minus] });
                        let bent = self.bend(gap);
                        self.push(len, Op::Sum { from: vec![b, bent] })
                    }
                    _ => pair[0],
                });
            }
            all = next;
        }
        Ok(all[0])
    }
}
