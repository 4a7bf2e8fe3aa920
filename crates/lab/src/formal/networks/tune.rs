//! Slopes and multipliers climbed by gradient steps.
//!
//! Owns the optimiser (Adam, Kingma and Ba 2015) and its settings. The best bound of all steps
//! counts. Must never decide anything: any outcome is a valid bound.

use super::crown::{Domains, Duals, Pass, Rows, Scene, slice};
use super::net::{Matrix, Op};

/// How much is spent on a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Gradient steps; 0 for plain CROWN.
    pub steps: usize,
    /// Step of slopes.
    pub rate: f64,
    /// Step of multipliers, as a share of the coefficients of their layer.
    pub rate_beta: f64,
    /// Factor of both after each step.
    pub decay: f64,
}

/// The outcome.
pub(crate) struct Tuned {
    /// Best lower bound of each row, for real arithmetic and for any evaluation in 32 bits.
    pub lower: Vec<f64>,
    /// The same, for real arithmetic.
    pub real: Vec<f64>,
    /// Slopes and multipliers of the last step.
    pub duals: Duals,
    /// Relaxed values at the last pass.
    pub values: Vec<Matrix>,
}

struct Moments {
    first: Matrix,
    second: Matrix,
}

/// Slopes that CROWN starts from, a row each, and multipliers of nought.
pub(crate) fn start(domains: &Domains, rows: &Rows) -> Duals {
    let alpha = domains.layers.iter().map(|layer| {
        let layer = layer.as_ref()?;
        Some(layer.start.select(ndarray::Axis(0), &rows.domain))
    });
    let beta = rows.splits.iter().map(|splits| vec![0.0; splits.len()]).collect();
    Duals { alpha: alpha.take(rows.node + 1).collect(), beta }
}

impl Scene<'_> {
    /// Climbs; stops early when every row is above nought, or when told to.
    pub(crate) fn tune(
        &self,
        domains: &Domains,
        rows: &Rows,
        mut duals: Duals,
        effort: Effort,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Tuned {
        let through = self.last(rows.node);
        let mut moments: Vec<Option<Moments>> = duals
            .alpha
            .iter()
            .map(|alpha| {
                let dim = alpha.as_ref()?.dim();
                Some(Moments { first: Matrix::zeros(dim), second: Matrix::zeros(dim) })
            })
            .collect();
        let mut beta_moments: Vec<Vec<[f64; 2]>> =
            duals.beta.iter().map(|beta| vec![[0.0; 2]; beta.len()]).collect();
        let mut best = vec![f64::NEG_INFINITY; rows.constant.len()];
        let mut real = best.clone();
        let mut rate = 1.0;
        for step in 0..=effort.steps {
            let pass = self.backward(domains, rows, Some(&duals));
            best.iter_mut().zip(&pass.lower).for_each(|(best, lower)| *best = best.max(*lower));
            real.iter_mut().zip(&pass.real).for_each(|(best, lower)| *best = best.max(*lower));
            let values = self.relaxed(domains, rows, Some(&duals), &pass, through);
            if step == effort.steps || stop() || best.iter().all(|&b| b > 0.0) {
                return Tuned { lower: best, real, duals, values };
            }
            let time = step as i32 + 1;
            for (k, moment) in moments.iter_mut().enumerate() {
                let (Some(moment), Some(a)) = (moment, &pass.at[k]) else { continue };
                let (Op::Relu { from }, Some(layer), Some(alpha)) =
                    (&self.net.nodes[k].op, &domains.layers[k], &mut duals.alpha[k])
                else {
                    continue;
                };
                let z = &values[*from];
                for (r, &d) in rows.domain.iter().enumerate() {
                    let (low, high) = (layer.low.row(d), layer.high.row(d));
                    let range = (slice(&low), slice(&high));
                    let (a, z) = (a.row(r), z.row(r));
                    let mut cells = Cells::of(alpha, moment, r);
                    cells.climb((slice(&a), slice(&z)), range, effort.rate * rate, time);
                }
            }
            self.climb_beta(
                rows,
                &mut duals,
                &mut beta_moments,
                &pass,
                &values,
                (effort.rate_beta * rate, time),
            );
            rate *= effort.decay;
        }
        unreachable!("the last step returns")
    }

    /// The last node whose relaxed value a gradient needs: the argument of the last ReLU.
    fn last(&self, node: usize) -> usize {
        let before = |k: &usize| matches!(self.net.nodes[*k].op, Op::Relu { .. });
        (0..=node).rev().find(before).unwrap_or(0)
    }

    fn climb_beta(
        &self,
        rows: &Rows,
        duals: &mut Duals,
        moments: &mut [Vec<[f64; 2]>],
        pass: &Pass,
        values: &[Matrix],
        (rate, time): (f64, i32),
    ) {
        for (r, splits) in rows.splits.iter().enumerate() {
            for (s, split) in splits.iter().enumerate() {
                let (k, j) = (split.node as usize, split.neuron as usize);
                let (Op::Relu { from }, Some(a)) = (&self.net.nodes[k].op, &pass.at[k]) else {
                    continue;
                };
                let z = values[*from][[r, j]];
                let gradient = if split.positive { -z } else { z };
                let row = a.row(r);
                let scale = (row.dot(&row) / row.len() as f64).sqrt();
                let step = adam(&mut moments[r][s], gradient, time);
                let beta = &mut duals.beta[r][s];
                *beta = (*beta + rate * scale * step).max(0.0);
            }
        }
    }
}

/// One row of slopes and its moments.
struct Cells<'a> {
    alpha: &'a mut [f64],
    first: &'a mut [f64],
    second: &'a mut [f64],
}

impl<'a> Cells<'a> {
    fn of(alpha: &'a mut Matrix, moments: &'a mut Moments, r: usize) -> Self {
        let width = alpha.ncols();
        let range = r * width..(r + 1) * width;
        let cut = |matrix: &'a mut Matrix| match matrix.as_slice_mut() {
            Some(all) => &mut all[range.clone()],
            None => &mut [],
        };
        Self { alpha: cut(alpha), first: cut(&mut moments.first), second: cut(&mut moments.second) }
    }

    /// A step upward; slopes of stable neurons stay.
    #[allow(clippy::needless_range_loop, reason = "several arrays run in step")]
    fn climb(
        &mut self,
        (a, z): (&[f64], &[f64]),
        (low, high): (&[f64], &[f64]),
        rate: f64,
        time: i32,
    ) {
        let n = self.alpha.len();
        let (a, z, low, high) = (&a[..n], &z[..n], &low[..n], &high[..n]);
        let (first, second) = (&mut self.first[..n], &mut self.second[..n]);
        let scale = rate / (1.0 - FIRST.powi(time));
        let scale2 = 1.0 / (1.0 - SECOND.powi(time));
        for j in 0..n {
            let gradient = a[j].max(0.0) * z[j];
            first[j] = FIRST * first[j] + (1.0 - FIRST) * gradient;
            second[j] = SECOND * second[j] + (1.0 - SECOND) * gradient * gradient;
            let moved = self.alpha[j] + scale * first[j] / ((second[j] * scale2).sqrt() + SMALL);
            let free = low[j] < 0.0 && high[j] > 0.0;
            self.alpha[j] = if free { moved.clamp(0.0, 1.0) } else { self.alpha[j] };
        }
    }
}

fn adam([first, second]: &mut [f64; 2], gradient: f64, time: i32) -> f64 {
    *first = FIRST * *first + (1.0 - FIRST) * gradient;
    *second = SECOND * *second + (1.0 - SECOND) * gradient * gradient;
    let first = *first / (1.0 - FIRST.powi(time));
    let second = *second / (1.0 - SECOND.powi(time));
    first / (second.sqrt() + SMALL)
}

/// Decay of the mean of gradients.
const FIRST: f64 = 0.9;
/// Decay of the mean of their squares.
const SECOND: f64 = 0.999;
/// Keeps a division finite; gradients are far larger.
const SMALL: f64 = 1e-12;
