//! Lower bounds of linear functions of a network's values, by going backward through it.
//!
//! Owns the backward pass with linear relaxations of ReLU (CROWN: Zhang et al. 2018, theorem
//! 3.2), the optimised lower slopes (alpha-CROWN: Xu et al. 2021, section 3.1), the multipliers of
//! split neurons (beta-CROWN: Wang et al. 2021, equation 8) and the gradient of the bound in both.
//! Any slopes in 0..1 and any multipliers from nought give a valid bound, so the optimiser can do
//! no harm. Must never claim a bound that rounding could break: see [`crate::formal::networks`].

use ndarray::Axis;

use super::net::{Matrix, Net, Op};

/// What is known of every value of the net over the whole box, for the rounding errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Largest magnitude of each element, by node.
    pub magnitude: Vec<Vec<f64>>,
    /// `|W| magnitude + |b|` of linear nodes, else empty.
    pub flow: Vec<Vec<f64>>,
    /// Share of the flow (of the magnitude, for sums) that rounding in 32 bits adds, by node.
    pub single: Vec<f64>,
}

/// Sub-problems: boxes and bounds before each ReLU, a row each.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    pub low: Matrix,
    pub high: Matrix,
    /// By node; `None` but for ReLU.
    pub layers: Vec<Option<Layer>>,
}

/// The relaxation of one ReLU node.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub low: Matrix,
    pub high: Matrix,
    /// `max(0, z) <= slope z + intercept` on `low..high`.
    pub slope: Matrix,
    pub intercept: Matrix,
    /// `max(0, z) >= start z`: the slope that CROWN takes.
    pub start: Matrix,
}

/// A neuron whose sign is fixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Split {
    /// The ReLU node.
    pub node: u32,
    pub neuron: u32,
    pub positive: bool,
}

/// Linear functions whose lower bound is wanted, a row each.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub node: usize,
    /// Coefficients of the node's elements.
    pub coefficients: Matrix,
    /// Coefficients of the inputs, if any.
    pub input: Option<Matrix>,
    pub constant: Vec<f64>,
    /// The sub-problem of each row.
    pub domain: Vec<usize>,
    /// Signs that hold in each row.
    pub splits: Vec<Vec<Split>>,
}

/// Slopes per row and node, and multipliers per row and split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duals {
    pub alpha: Vec<Option<Matrix>>,
    pub beta: Vec<Vec<f64>>,
}

/// What a backward pass gives.
pub(crate) struct Pass {
    /// Lower bounds for real arithmetic and for any evaluation in 32 bits.
    pub lower: Vec<f64>,
    /// Lower bounds for real arithmetic.
    pub real: Vec<f64>,
    /// Coefficients of the results of each ReLU node.
    pub at: Vec<Option<Matrix>>,
    /// Coefficients of the inputs.
    pub input: Matrix,
}

impl Layer {
    /// The relaxation between bounds `(sub-problems, neurons)`.
    pub(crate) fn between(low: Matrix, high: Matrix) -> Layer {
        let mut slope = Matrix::zeros(low.dim());
        let (mut intercept, mut start) = (slope.clone(), slope.clone());
        let cells = slope.iter_mut().zip(intercept.iter_mut()).zip(start.iter_mut());
        for (((slope, intercept), start), (&l, &u)) in cells.zip(low.iter().zip(high.iter())) {
            (*slope, *intercept, *start) = line(l, u);
        }
        Layer { low, high, slope, intercept, start }
    }

    /// Sets the bounds of one neuron.
    pub(crate) fn set(&mut self, at: [usize; 2], low: f64, high: f64) {
        self.low[at] = low;
        self.high[at] = high;
        (self.slope[at], self.intercept[at], self.start[at]) = line(low, high);
    }
}

/// Upper slope, upper intercept and lower slope of ReLU on `l..u`.
///
/// Whatever the rounding of the slope, the intercept is `max(-slope l, u - slope u)` rounded up,
/// the least that keeps the line above ReLU at both ends and, the line being convex, between.
pub(crate) fn line(l: f64, u: f64) -> (f64, f64, f64) {
    if l >= 0.0 {
        return (1.0, 0.0, 1.0);
    }
    if u <= 0.0 {
        return (0.0, 0.0, 0.0);
    }
    let slope = (u / (u - l)).clamp(0.0, 1.0);
    let left = (-slope * l).next_up();
    let right = (u - (slope * u).next_down()).next_up();
    (slope, left.max(right).max(0.0), if u > -l { 1.0 } else { 0.0 })
}

/// A net with what is known over the whole box.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub net: &'a Net,
    pub frame: &'a Frame,
}

impl Scene<'_> {
    /// Lower bounds; with `duals` given their slopes and multipliers, else CROWN's own slopes.
    pub(crate) fn backward(&self, domains: &Domains, rows: &Rows, duals: Option<&Duals>) -> Pass {
        let count = rows.constant.len();
        let mut live: Vec<Option<Matrix>> = vec![None; rows.node + 1];
        let mut at: Vec<Option<Matrix>> = vec![None; rows.node + 1];
        let mut sums = Sums {
            constant: rows.constant.clone(),
            load: rows.constant.iter().map(|c| c.abs()).collect(),
            single: vec![0.0; count],
        };
        sums.load(&rows.coefficients, &self.frame.magnitude[rows.node], 0.0);
        live[rows.node] = Some(rows.coefficients.clone());
        let inputs = (count, self.net.inputs());
        let mut input = rows.input.clone().unwrap_or_else(|| Matrix::zeros(inputs));
        for k in (0..=rows.node).rev() {
            let Some(a) = live[k].take() else { continue };
            match &self.net.nodes[k].op {
                Op::Input => input += &a,
                Op::Linear { from, map, bias, .. } => {
                    sums.constant(&a, bias);
                    sums.load(&a, &self.frame.flow[k], self.frame.single[k]);
                    add(&mut live[*from], map.backward(&a));
                }
                Op::Sum { from } => {
                    sums.load(&a, &self.frame.flow[k], self.frame.single[k]);
                    from.iter().for_each(|&f| add(&mut live[f], a.clone()));
                }
                Op::Pick { from, places } => {
                    let lens: Vec<usize> = from.iter().map(|&f| self.net.nodes[f].len).collect();
                    let back = unpick(&a, places, &lens);
                    from.iter().zip(back).for_each(|(&f, b)| add(&mut live[f], b));
                }
                Op::Relu { from } => {
                    if let Some(layer) = &domains.layers[k] {
                        let magnitude = &self.frame.magnitude[*from];
                        let through = sums.relu(&a, layer, rows, duals, k, magnitude);
                        add(&mut live[*from], through);
                    }
                    at[k] = Some(a);
                }
            }
        }
        sums.load(&input, &self.frame.magnitude[0], 0.0);
        let real = self.least(&input, domains, rows, &sums);
        let lower = real.iter().zip(&sums.single).map(|(r, s)| r - s * ROUNDED_UP).collect();
        Pass { lower, real, at, input }
    }

    /// The least value over each row's box, with the rounding errors taken off.
    fn least(&self, input: &Matrix, domains: &Domains, rows: &Rows, sums: &Sums) -> Vec<f64> {
        let unit = self.net.operations() as f64 * f64::EPSILON;
        let of = |r: usize| {
            let (low, high) = (domains.low.row(rows.domain[r]), domains.high.row(rows.domain[r]));
            let terms = input.row(r);
            let ends = terms.iter().zip(low.iter().zip(high.iter()));
            let least: f64 = ends.map(|(&a, (&l, &h))| if a > 0.0 { a * l } else { a * h }).sum();
            sums.constant[r] + least - sums.load[r] * unit - TINY
        };
        (0..sums.constant.len()).map(of).collect()
    }

    /// The point at which each row's relaxed net is least, and the relaxed values there; the
    /// gradient of the bound follows from them (Danskin). `through` is the last node computed.
    pub(crate) fn relaxed(
        &self,
        domains: &Domains,
        rows: &Rows,
        duals: Option<&Duals>,
        pass: &Pass,
        through: usize,
    ) -> Vec<Matrix> {
        let mut x = pass.input.clone();
        for (r, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
            let (low, high) = (domains.low.row(rows.domain[r]), domains.high.row(rows.domain[r]));
            row.iter_mut().zip(low.iter().zip(high.iter())).for_each(|(x, (&l, &h))| {
                *x = if *x > 0.0 { l } else { h };
            });
        }
        let mut values: Vec<Matrix> = Vec::with_capacity(through + 1);
        for (k, node) in self.net.nodes[..=through].iter().enumerate() {
            let value = match (&node.op, &domains.layers[k], &pass.at[k]) {
                (Op::Relu { from }, Some(layer), Some(a)) => {
                    bent(&values[*from], a, layer, rows, duals, k)
                }
                _ => self.net.linear(node, &values, &x),
            };
            values.push(value);
        }
        values
    }
}

/// Relaxed ReLU at given values.
fn bent(
    z: &Matrix,
    a: &Matrix,
    layer: &Layer,
    rows: &Rows,
    duals: Option<&Duals>,
    k: usize,
) -> Matrix {
    let mut y = z.clone();
    for (r, mut row) in y.axis_iter_mut(Axis(0)).enumerate() {
        let d = rows.domain[r];
        let (slope, intercept) = (layer.slope.row(d), layer.intercept.row(d));
        let (slope, intercept) = (slice(&slope), slice(&intercept));
        let alpha = alphas(duals, layer, k, r, d);
        let a = a.row(r);
        let a = slice(&a);
        let Some(row) = row.as_slice_mut() else { continue };
        let lines = slope.iter().zip(intercept);
        for (((z, &a), &alpha), (&s, &t)) in row.iter_mut().zip(a).zip(alpha).zip(lines) {
            *z = if a >= 0.0 { alpha * *z } else { s * *z + t };
        }
    }
    y
}

fn alphas<'a>(
    duals: Option<&'a Duals>,
    layer: &'a Layer,
    k: usize,
    r: usize,
    d: usize,
) -> &'a [f64] {
    let own = duals.and_then(|duals| duals.alpha[k].as_ref());
    let (matrix, row) = own.map_or((&layer.start, d), |alpha| (alpha, r));
    let width = matrix.ncols();
    matrix.as_slice().map_or(&[], |all| &all[row * width..(row + 1) * width])
}

pub(crate) fn slice<'a>(row: &'a ndarray::ArrayView1<'_, f64>) -> &'a [f64] {
    row.as_slice().unwrap_or_default()
}

/// What adds up along the way of each row.
struct Sums {
    constant: Vec<f64>,
    /// Sum of magnitudes of everything that was added: rounding is a tiny share of it.
    load: Vec<f64>,
    /// What rounding in 32 bits can take off.
    single: Vec<f64>,
}

impl Sums {
    fn constant(&mut self, a: &Matrix, bias: &[f64]) {
        for (sum, row) in self.constant.iter_mut().zip(a.axis_iter(Axis(0))) {
            *sum += dot(slice(&row), bias);
        }
    }

    fn load(&mut self, a: &Matrix, magnitude: &[f64], single: f64) {
        for (r, row) in a.axis_iter(Axis(0)).enumerate() {
            let load = dot_abs(slice(&row), magnitude);
            self.load[r] += load;
            self.single[r] += single * load;
        }
    }

    /// Through ReLU: coefficients of its results become coefficients of its arguments.
    fn relu(
        &mut self,
        a: &Matrix,
        layer: &Layer,
        rows: &Rows,
        duals: Option<&Duals>,
        k: usize,
        magnitude: &[f64],
    ) -> Matrix {
        let mut through = a.clone();
        for (r, mut row) in through.axis_iter_mut(Axis(0)).enumerate() {
            let d = rows.domain[r];
            let (slope, intercept) = (layer.slope.row(d), layer.intercept.row(d));
            let (slope, intercept) = (slice(&slope), slice(&intercept));
            let alpha = alphas(duals, layer, k, r, d);
            let Some(row) = row.as_slice_mut() else { continue };
            let (constant, load) = bend(row, alpha, slope, intercept, magnitude);
            self.constant[r] += constant;
            self.load[r] += load;
            let Some(duals) = duals else { continue };
            for (split, beta) in rows.splits[r].iter().zip(&duals.beta[r]) {
                if split.node as usize == k {
                    let j = split.neuron as usize;
                    row[j] -= if split.positive { *beta } else { -beta };
                    self.load[r] += beta * magnitude[j];
                }
            }
        }
        through
    }
}

/// Multiplies coefficients by the slope of their side; gives what the intercepts add, and the
/// load. Eight sums at a time, so that the compiler can use vectors.
#[allow(clippy::needless_range_loop, reason = "several arrays run in step")]
fn bend(
    row: &mut [f64],
    alpha: &[f64],
    slope: &[f64],
    intercept: &[f64],
    magnitude: &[f64],
) -> (f64, f64) {
    let n = row.len();
    let (alpha, slope) = (&alpha[..n], &slope[..n]);
    let (intercept, magnitude) = (&intercept[..n], &magnitude[..n]);
    let (mut constant, mut load) = ([0.0; LANES], [0.0; LANES]);
    let mut j = 0;
    while j + LANES <= n {
        for lane in 0..LANES {
            let i = j + lane;
            let (p, q) = (row[i].max(0.0), row[i].min(0.0));
            row[i] = p * alpha[i] + q * slope[i];
            constant[lane] += q * intercept[i];
            load[lane] += (p - q) * magnitude[i];
        }
        j += LANES;
    }
    for i in j..n {
        let (p, q) = (row[i].max(0.0), row[i].min(0.0));
        row[i] = p * alpha[i] + q * slope[i];
        constant[0] += q * intercept[i];
        load[0] += (p - q) * magnitude[i];
    }
    (constant.iter().sum(), load.iter().sum())
}

/// Sum of products, in lanes.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        (0..LANES).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    sums.iter().sum::<f64>() + rest
}

fn dot_abs(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a.abs() * b).sum();
    for (a, b) in a.zip(b) {
        (0..LANES).for_each(|lane| sums[lane] += a[lane].abs() * b[lane]);
    }
    sums.iter().sum::<f64>() + rest
}

fn add(to: &mut Option<Matrix>, part: Matrix) {
    match to {
        Some(sum) => *sum += &part,
        None => *to = Some(part),
    }
}

/// Coefficients of picked elements back to where they were picked from.
fn unpick(a: &Matrix, places: &[(u32, u32)], lens: &[usize]) -> Vec<Matrix> {
    let mut back: Vec<Matrix> = lens.iter().map(|&n| Matrix::zeros((a.nrows(), n))).collect();
    for (r, row) in a.axis_iter(Axis(0)).enumerate() {
        for (&a, &(source, place)) in row.iter().zip(places) {
            back[source as usize][[r, place as usize]] += a;
        }
    }
    back
}

/// Sums that run beside one another.
const LANES: usize = 8;
/// More than the rounding of a sum of non-negative terms takes off.
const ROUNDED_UP: f64 = 1.0 + 1e-6;
/// Covers what underflows, far below any weight.
const TINY: f64 = 1e-280;
