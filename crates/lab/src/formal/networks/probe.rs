//! Search for points that violate: projected gradient steps on the property's own loss.
//!
//! Owns starts, steps and restarts (PGD: Madry et al. 2018, with a step that decays). Must never
//! call a point a witness: who asks judges each on the deployed engine.

use ndarray::Axis;

use super::net::{Matrix, Net, Op};
use super::region::Region;
use crate::stream::Stream;

/// Proposes points of regions.
pub(crate) struct Probe<'a> {
    pub net: &'a Net,
    pub regions: &'a [Region],
    /// 32-bit ends of each region; `None` where no 32-bit input lies in it.
    pub inner: Vec<Option<Vec<(f32, f32)>>>,
    pub seed: u64,
}

/// A point and its region.
pub(crate) type Found = (usize, Vec<f32>);

impl<'a> Probe<'a> {
    pub(crate) fn new(net: &'a Net, regions: &'a [Region], seed: u64) -> Self {
        Self { net, regions, inner: regions.iter().map(Region::inner).collect(), seed }
    }

    /// One round of random starts in every listed region; points that violate in doubles.
    pub(crate) fn round(
        &self,
        list: &[usize],
        round: u64,
        steps: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Found> {
        let list: Vec<usize> = list.iter().copied().filter(|&i| self.inner[i].is_some()).collect();
        let mut found = Vec::new();
        for chunk in list.chunks(REGIONS_AT_ONCE) {
            let starts: Vec<(usize, u64)> =
                chunk.iter().flat_map(|&i| (0..RESTARTS).map(move |s| (i, s))).collect();
            let mut x = Matrix::zeros((starts.len(), self.net.inputs()));
            for (mut row, &(region, start)) in x.axis_iter_mut(Axis(0)).zip(&starts) {
                self.begin(region, round, start, |i, v| row[i] = v);
            }
            let owner: Vec<usize> = starts.iter().map(|&(region, _)| region).collect();
            found.extend(self.climb(x, &owner, steps, stop));
            if !found.is_empty() || stop() {
                break;
            }
        }
        found
    }

    /// The centre first, then corners and inner points in turn.
    fn begin(&self, region: usize, round: u64, start: u64, mut set: impl FnMut(usize, f64)) {
        let Some(ends) = &self.inner[region] else { return };
        let row = region as u64 * RESTARTS + start;
        let mut stream = Stream::new(self.seed, "property", "pgd", round, row);
        for (i, &(low, high)) in ends.iter().enumerate() {
            let share = match (round, start) {
                (0, 0) => 0.5,
                (_, s) if s % 2 == 1 => 0.5 + 0.5 * stream.sign(),
                _ => stream.unit(),
            };
            set(i, f64::from(low) + share * (f64::from(high) - f64::from(low)));
        }
    }

    /// Gradient steps from given points; those that violate in doubles, rounded to 32 bits.
    pub(crate) fn climb(
        &self,
        mut x: Matrix,
        owner: &[usize],
        steps: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Found> {
        for step in 0..=steps {
            self.round_in(&mut x, owner);
            let values = self.net.values(&x);
            let (worst, which) = self.losses(&x, &values, owner);
            let bad: Vec<usize> = (0..owner.len()).filter(|&r| worst[r] <= 0.0).collect();
            if !bad.is_empty() {
                let point = |&r: &usize| (owner[r], x.row(r).iter().map(|&v| v as f32).collect());
                return bad.iter().map(point).collect();
            }
            if step == steps || stop() {
                break;
            }
            let gradient = self.gradient(&x, &values, owner, &which);
            let size = FIRST_STEP * (1.0 - step as f64 / steps as f64).max(LAST_STEP);
            for (r, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
                let Some(ends) = &self.inner[owner[r]] else { continue };
                for (i, v) in row.iter_mut().enumerate() {
                    let (low, high) = (f64::from(ends[i].0), f64::from(ends[i].1));
                    let g = gradient[[r, i]];
                    let turn = if g == 0.0 { 0.0 } else { g.signum() };
                    *v = (*v - size * (high - low) * turn).clamp(low, high);
                }
            }
        }
        Vec::new()
    }

    /// Onto 32-bit points of the region.
    fn round_in(&self, x: &mut Matrix, owner: &[usize]) {
        for (r, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
            let Some(ends) = &self.inner[owner[r]] else { continue };
            for (v, &(low, high)) in row.iter_mut().zip(ends) {
                *v = f64::from((*v as f32).clamp(low, high));
            }
        }
    }

    /// The greatest left side of each row's limits, and which limit it is.
    fn losses(&self, x: &Matrix, values: &[Matrix], owner: &[usize]) -> (Vec<f64>, Vec<usize>) {
        let y = &values[self.net.output];
        let of = |r: usize| {
            let limits = self.regions[owner[r]].limits.iter().enumerate();
            let sides = limits.map(|(i, limit)| (limit.at(|i| x[[r, i]], |j| y[[r, j]]), i));
            sides.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::NEG_INFINITY, 0))
        };
        (0..owner.len()).map(of).unzip()
    }

    /// The gradient of the chosen limits in the inputs.
    fn gradient(&self, x: &Matrix, values: &[Matrix], owner: &[usize], which: &[usize]) -> Matrix {
        let limits = owner.iter().zip(which).map(|(&o, &w)| (&self.regions[o].limits[w], 0));
        let rows = Region::rows(self.net, limits);
        let mut live: Vec<Option<Matrix>> = vec![None; self.net.nodes.len()];
        live[self.net.output] = Some(rows.coefficients);
        let mut input = rows.input.unwrap_or_else(|| Matrix::zeros(x.dim()));
        let add = |to: &mut Option<Matrix>, part: Matrix| match to {
            Some(sum) => *sum += &part,
            None => *to = Some(part),
        };
        for k in (0..=self.net.output).rev() {
            let Some(mut a) = live[k].take() else { continue };
            match &self.net.nodes[k].op {
                Op::Input => input += &a,
                Op::Linear { from, map, .. } => add(&mut live[*from], map.backward(&a)),
                Op::Sum { from } => from.iter().for_each(|&f| add(&mut live[f], a.clone())),
                Op::Pick { from, places } => {
                    for (source, &f) in from.iter().enumerate() {
                        let mut back = Matrix::zeros((a.nrows(), self.net.nodes[f].len));
                        let own = places.iter().enumerate().filter(|(_, p)| p.0 as usize == source);
                        for (i, &(_, place)) in own {
                            for r in 0..a.nrows() {
                                back[[r, place as usize]] += a[[r, i]];
                            }
                        }
                        add(&mut live[f], back);
                    }
                }
                Op::Relu { from } => {
                    a.zip_mut_with(&values[*from], |a, z| *a = if *z > 0.0 { *a } else { 0.0 });
                    add(&mut live[*from], a);
                }
            }
        }
        input
    }
}

/// Starts per region and round.
pub(crate) const RESTARTS: u64 = 8;
/// Regions whose points are moved together.
const REGIONS_AT_ONCE: usize = 32;
/// First step, as a share of the width of the box.
const FIRST_STEP: f64 = 0.25;
/// Least share of the first step.
const LAST_STEP: f64 = 0.02;
