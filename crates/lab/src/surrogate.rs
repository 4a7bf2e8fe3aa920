//! A small network trained on a target's answers, to be climbed in its stead.
//!
//! Owns the network (one hidden layer of tanh), its training and its slope. Plain loops in f64: the
//! same points, answers and stream give the same network on every machine. Must never ask anything
//! itself. Called by the attack `transfer`.
//!
//! Training is Adam (Kingma and Ba 2015, algorithm 1, its published settings) on small batches.

use crate::stream::Stream;

/// The network: `score = w2 . tanh(W1 x + b1) + b2 + v . x`.
#[derive(Clone, Debug)]
pub struct Surrogate {
    dims: usize,
    hidden: usize,
    /// `W1`, `b1`, `w2`, `v`, `b2`, one after the other.
    weights: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: i32,
}

/// What an answer says about a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// Which side of the decision.
    Side(bool),
    /// How far on that side, in any fixed unit.
    Margin(f64),
}

impl Surrogate {
    /// An untrained network.
    pub fn new(dims: usize, hidden: usize, stream: &mut Stream) -> Self {
        let count = hidden * dims + hidden + hidden + dims + 1;
        let scale = 1.0 / (dims.max(1) as f64).sqrt();
        let mut weights = vec![0.0; count];
        let drawn = weights.iter_mut().take(hidden * dims + 2 * hidden);
        drawn.for_each(|w| *w = scale * stream.normal());
        Self { dims, hidden, weights, mean: vec![0.0; count], square: vec![0.0; count], steps: 0 }
    }

    /// Score of a point: positive on the side that is wanted.
    pub fn score(&self, x: &[f64]) -> f64 {
        let hidden = self.activations(x);
        let (w2, v, b2) = self.top();
        let through: f64 = hidden.iter().zip(w2).map(|(h, w)| h * w).sum();
        through + v.iter().zip(x).map(|(v, x)| v * x).sum::<f64>() + b2
    }

    /// Slope of the score.
    pub fn slope(&self, x: &[f64]) -> Vec<f64> {
        let hidden = self.activations(x);
        let (w2, v, _) = self.top();
        let mut slope = v.to_vec();
        for (k, (h, w)) in hidden.iter().zip(w2).enumerate() {
            let back = w * (1.0 - h * h);
            let row = &self.weights[k * self.dims..(k + 1) * self.dims];
            slope.iter_mut().zip(row).for_each(|(s, w)| *s += back * w);
        }
        slope
    }

    /// Goes over the points `epochs` times, in an order of the stream's.
    pub fn train(&mut self, points: &[(Vec<f64>, Told)], epochs: usize, stream: &mut Stream) {
        let mut order: Vec<usize> = (0..points.len()).collect();
        for _ in 0..epochs {
            for i in (1..order.len()).rev() {
                order.swap(i, stream.below(i + 1));
            }
            for batch in order.chunks(BATCH) {
                let mut grad = vec![0.0; self.weights.len()];
                for &at in batch {
                    let (x, told) = &points[at];
                    self.add_grad(x, *told, 1.0 / batch.len() as f64, &mut grad);
                }
                self.step(&grad);
            }
        }
    }

    fn top(&self) -> (&[f64], &[f64], f64) {
        let from = self.hidden * self.dims + self.hidden;
        let w2 = &self.weights[from..from + self.hidden];
        let v = &self.weights[from + self.hidden..from + self.hidden + self.dims];
        (w2, v, self.weights[self.weights.len() - 1])
    }

    fn activations(&self, x: &[f64]) -> Vec<f64> {
        let bias = self.hidden * self.dims;
        (0..self.hidden)
            .map(|k| {
                let row = &self.weights[k * self.dims..(k + 1) * self.dims];
                let sum: f64 = row.iter().zip(x).map(|(w, x)| w * x).sum();
                (sum + self.weights[bias + k]).tanh()
            })
            .collect()
    }

    /// Adds the weighted gradient of the loss at one point: logistic for sides, squared for
    /// margins.
    fn add_grad(&self, x: &[f64], told: Told, weight: f64, grad: &mut [f64]) {
        let score = self.score(x);
        let out = weight
            * match told {
                Told::Side(wanted) => {
                    let sign = if wanted { 1.0 } else { -1.0 };
                    -sign / (1.0 + (sign * score).exp())
                }
                Told::Margin(margin) => 2.0 * (score - margin),
            };
        let hidden = self.activations(x);
        let (w2, _, _) = self.top();
        let (bias, from) = (self.hidden * self.dims, self.hidden * self.dims + self.hidden);
        for (k, (h, w)) in hidden.iter().zip(w2).enumerate() {
            let back = out * w * (1.0 - h * h);
            for (g, x) in grad[k * self.dims..].iter_mut().zip(x) {
                *g += back * x;
            }
            grad[bias + k] += back;
            grad[from + k] += out * h;
        }
        for (g, x) in grad[from + self.hidden..].iter_mut().zip(x) {
            *g += out * x;
        }
        let last = grad.len() - 1;
        grad[last] += out;
    }

    fn step(&mut self, grad: &[f64]) {
        self.steps += 1;
        let (first, second) = (1.0 - BETA1.powi(self.steps), 1.0 - BETA2.powi(self.steps));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((w, g), (m, s)) in self.weights.iter_mut().zip(grad).zip(moments) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *s = BETA2 * *s + (1.0 - BETA2) * g * g;
            *w -= RATE * (*m / first) / ((*s / second).sqrt() + 1e-8);
        }
    }
}

const BATCH: usize = 16;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const RATE: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn points(told: impl Fn(&[f64]) -> Told) -> Vec<(Vec<f64>, Told)> {
        let mut stream = Stream::new(3, "surrogate", "points", 0, 0);
        let draw = |stream: &mut Stream| (0..3).map(|_| stream.symmetric()).collect::<Vec<f64>>();
        (0..200).map(|_| draw(&mut stream)).map(|x| (x.clone(), told(&x))).collect()
    }

    #[test]
    fn it_learns_a_plane_from_sides_and_a_curve_from_margins_the_same_every_time() {
        let plane = |x: &[f64]| 2.0 * x[0] - x[1] + 0.3;
        let curve = |x: &[f64]| x[0] * x[0] + x[1] - 0.4 * x[2];
        let trained = |points: &[(Vec<f64>, Told)]| {
            let mut stream = Stream::new(1, "surrogate", "train", 0, 0);
            let mut net = Surrogate::new(3, 12, &mut stream);
            net.train(points, 60, &mut stream);
            net
        };
        let sides = points(|x| Told::Side(plane(x) > 0.0));
        let net = trained(&sides);
        let right = sides.iter().filter(|(x, t)| Told::Side(net.score(x) > 0.0) == *t).count();
        assert!(right >= 190, "{right} of 200 sides");
        assert_eq!(net.weights, trained(&sides).weights);
        let margins = points(|x| Told::Margin(curve(x)));
        let net = trained(&margins);
        let worst =
            margins.iter().map(|(x, _)| (net.score(x) - curve(x)).abs()).fold(0.0, f64::max);
        assert!(worst < 0.3, "off by {worst}");
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let mut stream = Stream::new(5, "surrogate", "slope", 0, 0);
        let net = Surrogate::new(4, 8, &mut stream);
        let x: Vec<f64> = (0..4).map(|_| stream.symmetric()).collect();
        for (i, slope) in net.slope(&x).into_iter().enumerate() {
            let at = |d: f64| {
                let mut x = x.clone();
                x[i] += d;
                net.score(&x)
            };
            let found = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((found - slope).abs() < 1e-6, "{i}: {found} {slope}");
        }
    }
}
