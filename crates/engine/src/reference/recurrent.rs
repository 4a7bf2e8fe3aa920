//! Recurrent layers: `RNN`, `GRU` and `LSTM`.
//!
//! Owns directions, layouts, lengths, initial states and the cells. Called by the registry.

use super::float::Float;
use super::gemm::{Matrix, multiply};
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, misshapen, tensor, volume, wrong};
use super::unary::logistic;
use crate::value::{Tensor, Value};

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Rnn,
    Gru,
    Lstm,
}

/// `RNN`
pub fn rnn(spec: &Spec) -> Result<Kernel, OpError> {
    build(spec, Cell::Rnn)
}
/// `GRU`
pub fn gru(spec: &Spec) -> Result<Kernel, OpError> {
    build(spec, Cell::Gru)
}
/// `LSTM`
pub fn lstm(spec: &Spec) -> Result<Kernel, OpError> {
    build(spec, Cell::Lstm)
}

/// The attributes of a layer.
struct Layer {
    cell: Cell,
    /// For each direction, whether time runs backwards.
    backwards: Vec<bool>,
    /// Activations, `per_direction` for each direction.
    activations: Vec<Activation>,
    clip: Option<f32>,
    hidden: Option<usize>,
    batch_first: bool,
    linear_before_reset: bool,
    input_forget: bool,
}

/// An activation with its parameters.
#[derive(Clone, Copy, Debug)]
struct Activation {
    kind: Kind,
    alpha: f32,
    beta: f32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Relu,
    Tanh,
    Sigmoid,
    Affine,
    LeakyRelu,
    ThresholdedRelu,
    ScaledTanh,
    HardSigmoid,
    Elu,
    Softsign,
    Softplus,
}

fn build(spec: &Spec, cell: Cell) -> Result<Kernel, OpError> {
    let layer = Layer::read(spec, cell)?;
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => layer.run(x, args))))
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    fn default_activations(self) -> &'static [&'static str] {
        match self {
            Cell::Rnn => &["Tanh"],
            Cell::Gru => &["Sigmoid", "Tanh"],
            Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

impl Layer {
    fn read(spec: &Spec, cell: Cell) -> Result<Self, OpError> {
        let backwards = match spec.text_or("direction", "forward")? {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(wrong("direction", format!("has the unknown value `{other}`"))),
        };
        let hidden = match spec.int("hidden_size")? {
            None => None,
            Some(h) => Some(
                usize::try_from(h)
                    .ok()
                    .filter(|&h| h > 0)
                    .ok_or_else(|| wrong("hidden_size", "is not positive"))?,
            ),
        };
        Ok(Self {
            activations: activations(spec, cell, backwards.len())?,
            cell,
            backwards,
            clip: spec.float("clip")?.filter(|&c| c > 0.0),
            hidden,
            batch_first: spec.flag("layout", false)?,
            linear_before_reset: spec.flag("linear_before_reset", false)?,
            input_forget: spec.flag("input_forget", false)?,
        })
    }

    fn run<T: Float>(&self, x: &Tensor<T>, args: &Args) -> Result<Vec<Value>, OpError> {
        let sizes = self.sizes(x, args)?;
        let Sizes { steps, batch, hidden, .. } = sizes;
        let directions = self.backwards.len();
        let mut y = vec![T::ZERO; volume(&[steps, directions, batch, hidden])?];
        let (mut last_h, mut last_c) = (Vec::new(), Vec::new());
        for d in 0..directions {
            let state = self.direction(x, args, &sizes, d, &mut y)?;
            last_h.extend(state.h);
            last_c.extend(state.c);
        }
        let y = tensor(vec![steps, directions, batch, hidden], y)?;
        let flat = vec![directions, batch, hidden];
        let (h, c) = (tensor(flat.clone(), last_h)?, last_c);
        let mut out = if self.batch_first {
            vec![T::wrap(permuted(&y, &[2, 0, 1, 3])?), T::wrap(permuted(&h, &[1, 0, 2])?)]
        } else {
            vec![T::wrap(y), T::wrap(h)]
        };
        if self.cell == Cell::Lstm {
            let c = tensor(flat, c)?;
            let c = if self.batch_first { permuted(&c, &[1, 0, 2])? } else { c };
            out.push(T::wrap(c));
        }
        Ok(out)
    }

    fn sizes<T: Float>(&self, x: &Tensor<T>, args: &Args) -> Result<Sizes, OpError> {
        let [a, b, input] = *x.shape() else {
            return Err(misshapen(format!("expected three dimensions, given {:?}", x.shape())));
        };
        let (steps, batch) = if self.batch_first { (b, a) } else { (a, b) };
        let (w, r) = (args.float::<T>(1)?, args.float::<T>(2)?);
        let (d, gates) = (self.backwards.len(), self.cell.gates());
        let hidden = self.hidden.or(r.shape().get(2).copied()).unwrap_or(0);
        let fits =
            w.shape() == [d, gates * hidden, input] && r.shape() == [d, gates * hidden, hidden];
        if !fits || hidden == 0 {
            return Err(misshapen(format!(
                "weights {:?} and {:?} do not fit input {:?}",
                w.shape(),
                r.shape(),
                x.shape()
            )));
        }
        let lengths = match args.ints_optional(4)? {
            None => vec![steps; batch],
            Some(l) if l.len() == batch => l
                .iter()
                .map(|&l| usize::try_from(l).ok().filter(|&l| l <= steps))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| OpError::Value("a length outside the sequence".to_string()))?,
            Some(l) => return Err(misshapen(format!("{} lengths for {batch} rows", l.len()))),
        };
        Ok(Sizes { steps, batch, input, hidden, lengths })
    }

    fn direction<T: Float>(
        &self,
        x: &Tensor<T>,
        args: &Args,
        sizes: &Sizes,
        d: usize,
        y: &mut [T],
    ) -> Result<State<T>, OpError> {
        let Sizes { steps, batch, input, hidden, lengths } = sizes;
        let (steps, batch, input, hidden) = (*steps, *batch, *input, *hidden);
        let width = self.cell.gates() * hidden;
        let weights = self.weights(args, d, input, hidden)?;
        let mut state = State {
            h: self.initial(args, 5, d, batch, hidden)?,
            c: match self.cell {
                Cell::Lstm => self.initial(args, 6, d, batch, hidden)?,
                _ => Vec::new(),
            },
        };
        let (mut xg, mut hg) = (vec![T::ZERO; width], vec![T::ZERO; width]);
        for (n, &length) in lengths.iter().enumerate() {
            for k in 0..length {
                let t = if self.backwards[d] { length - 1 - k } else { k };
                let at = if self.batch_first { n * steps + t } else { t * batch + n };
                xg.fill(T::ZERO);
                hg.fill(T::ZERO);
                product(&x.data()[at * input..][..input], weights.w, &mut xg);
                let h = state.h[n * hidden..][..hidden].to_vec();
                if self.cell != Cell::Gru || self.linear_before_reset {
                    product(&h, weights.r, &mut hg);
                } else {
                    product(&h, &weights.r[..2 * hidden * hidden], &mut hg[..2 * hidden]);
                }
                self.step(&weights, (&xg, &hg), &h, &mut state, (n, d, hidden));
                let to = ((t * self.backwards.len() + d) * batch + n) * hidden;
                y[to..to + hidden].copy_from_slice(&state.h[n * hidden..][..hidden]);
            }
        }
        Ok(state)
    }

    /// One row, one step; equations as in the ONNX operator specification.
    fn step<T: Float>(
        &self,
        w: &Weights<T>,
        (xg, hg): (&[T], &[T]),
        h: &[T],
        state: &mut State<T>,
        (n, d, hidden): (usize, usize, usize),
    ) {
        let f = |k: usize, v: T| {
            let v = match self.clip {
                Some(c) => bounded(v, T::from_f32(c)),
                None => v,
            };
            let per = self.activations.len() / self.backwards.len();
            self.activations[d * per + k].of(v)
        };
        let width = self.cell.gates() * hidden;
        let bias = |i: usize| w.b.map_or(T::ZERO, |b| b[i] + b[width + i]);
        let pre =
            |g: usize, j: usize| xg[g * hidden + j] + hg[g * hidden + j] + bias(g * hidden + j);
        let row = n * hidden;
        match self.cell {
            Cell::Rnn => {
                for j in 0..hidden {
                    state.h[row + j] = f(0, pre(0, j));
                }
            }
            Cell::Lstm => {
                let peep =
                    |g: usize, j: usize, c: T| w.p.map_or(T::ZERO, |p| p[g * hidden + j] * c);
                for j in 0..hidden {
                    let c = state.c[row + j];
                    let i = f(0, pre(0, j) + peep(0, j, c));
                    let forget = match self.input_forget {
                        true => T::ONE - i,
                        false => f(0, pre(2, j) + peep(2, j, c)),
                    };
                    let c = forget * c + i * f(1, pre(3, j));
                    let o = f(0, pre(1, j) + peep(1, j, c));
                    state.c[row + j] = c;
                    state.h[row + j] = o * self.activations[d * 3 + 2].of(c);
                }
            }
            Cell::Gru => {
                let z: Vec<T> = (0..hidden).map(|j| f(0, pre(0, j))).collect();
                let r: Vec<T> = (0..hidden).map(|j| f(0, pre(1, j))).collect();
                let own = |i: usize| w.b.map_or(T::ZERO, |b| b[2 * hidden + i]);
                let back = |i: usize| w.b.map_or(T::ZERO, |b| b[width + 2 * hidden + i]);
                let inner: Vec<T> = if self.linear_before_reset {
                    (0..hidden).map(|j| r[j] * (hg[2 * hidden + j] + back(j))).collect()
                } else {
                    let reset: Vec<T> = h.iter().zip(&r).map(|(&h, &r)| h * r).collect();
                    let mut out = vec![T::ZERO; hidden];
                    product(&reset, &w.r[2 * hidden * hidden..], &mut out);
                    (0..hidden).map(|j| out[j] + back(j)).collect()
                };
                for j in 0..hidden {
                    let new = f(1, xg[2 * hidden + j] + own(j) + inner[j]);
                    state.h[row + j] = (T::ONE - z[j]) * new + z[j] * h[j];
                }
            }
        }
    }

    fn weights<'a, T: Float>(
        &self,
        args: &Args<'a>,
        d: usize,
        input: usize,
        hidden: usize,
    ) -> Result<Weights<'a, T>, OpError> {
        let width = self.cell.gates() * hidden;
        let part = |t: &'a Tensor<T>, size: usize| -> Result<&'a [T], OpError> {
            let bad = || misshapen(format!("parameters of shape {:?} do not fit", t.shape()));
            if t.len() != size * self.backwards.len() {
                return Err(bad());
            }
            t.data().get(d * size..(d + 1) * size).ok_or_else(bad)
        };
        let b = args.float_optional::<T>(3)?.map(|b| part(b, 2 * width)).transpose()?;
        let p = match self.cell {
            Cell::Lstm => args.float_optional::<T>(7)?.map(|p| part(p, 3 * hidden)).transpose()?,
            _ => None,
        };
        Ok(Weights {
            w: part(args.float(1)?, width * input)?,
            r: part(args.float(2)?, width * hidden)?,
            b,
            p,
        })
    }

    fn initial<T: Float>(
        &self,
        args: &Args,
        at: usize,
        d: usize,
        batch: usize,
        hidden: usize,
    ) -> Result<Vec<T>, OpError> {
        let Some(t) = args.float_optional::<T>(at)? else {
            return Ok(vec![T::ZERO; batch * hidden]);
        };
        let directions = self.backwards.len();
        let (wanted, t) = if self.batch_first {
            ([batch, directions, hidden], permuted_checked(t, &[1, 0, 2])?)
        } else {
            ([directions, batch, hidden], t.clone())
        };
        let back = if self.batch_first { [wanted[1], wanted[0], wanted[2]] } else { wanted };
        if t.shape() != back {
            return Err(misshapen(format!("an initial state of shape {:?}", t.shape())));
        }
        Ok(t.data()[d * batch * hidden..(d + 1) * batch * hidden].to_vec())
    }
}

/// Sizes of a run.
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    lengths: Vec<usize>,
}

/// Parameters of one direction, in the order of the specification.
struct Weights<'a, T> {
    w: &'a [T],
    r: &'a [T],
    b: Option<&'a [T]>,
    p: Option<&'a [T]>,
}

/// What is carried from step to step, `(batch, hidden)`.
struct State<T> {
    h: Vec<T>,
    c: Vec<T>,
}

/// `out = W x`, `W` row-major with one row per entry of `out`.
fn product<T: Float>(x: &[T], w: &[T], out: &mut [T]) {
    let (rows, depth) = (out.len(), x.len());
    let left = Matrix { data: x, strides: (depth, 1) };
    multiply((1, depth, rows), left, Matrix { data: w, strides: (1, depth) }, out);
}

fn bounded<T: Float>(v: T, by: T) -> T {
    if v > by {
        by
    } else if v < -by {
        -by
    } else {
        v
    }
}

impl Activation {
    fn of<T: Float>(&self, x: T) -> T {
        let (a, b) = (T::from_f32(self.alpha), T::from_f32(self.beta));
        match self.kind {
            Kind::Relu if x < T::ZERO => T::ZERO,
            Kind::Relu => x,
            Kind::Tanh => x.tanh(),
            Kind::Sigmoid => logistic(x),
            Kind::Affine => a * x + b,
            Kind::LeakyRelu if x < T::ZERO => a * x,
            Kind::LeakyRelu => x,
            Kind::ThresholdedRelu if x < a => T::ZERO,
            Kind::ThresholdedRelu => x,
            Kind::ScaledTanh => a * (b * x).tanh(),
            Kind::HardSigmoid => {
                let y = a * x + b;
                if y < T::ZERO {
                    T::ZERO
                } else if y > T::ONE {
                    T::ONE
                } else {
                    y
                }
            }
            Kind::Elu if x < T::ZERO => a * x.exp_m1(),
            Kind::Elu => x,
            Kind::Softsign => x / (T::ONE + x.abs()),
            Kind::Softplus if x > T::ZERO => x + (-x).exp().ln_1p(),
            Kind::Softplus => x.exp().ln_1p(),
        }
    }
}

fn activations(spec: &Spec, cell: Cell, directions: usize) -> Result<Vec<Activation>, OpError> {
    let defaults = cell.default_activations();
    let names: Vec<String> = match spec.texts("activations")? {
        Some(names) => names.to_vec(),
        None => (0..directions).flat_map(|_| defaults.iter().map(|n| n.to_string())).collect(),
    };
    if names.len() != defaults.len() * directions {
        return Err(wrong("activations", format!("has {} entries", names.len())));
    }
    let (alphas, betas) = (spec.floats("activation_alpha")?, spec.floats("activation_beta")?);
    let mut alphas = alphas.unwrap_or_default().iter().copied();
    let mut betas = betas.unwrap_or_default().iter().copied();
    names
        .iter()
        .map(|name| {
            // Names are read without regard to case, as ONNX Runtime does.
            let (kind, alpha, beta) = match name.to_lowercase().as_str() {
                "relu" => (Kind::Relu, None, None),
                "tanh" => (Kind::Tanh, None, None),
                "sigmoid" => (Kind::Sigmoid, None, None),
                "softsign" => (Kind::Softsign, None, None),
                "softplus" => (Kind::Softplus, None, None),
                "affine" => (Kind::Affine, Some(1.0), Some(0.0)),
                "leakyrelu" => (Kind::LeakyRelu, Some(0.01), None),
                "thresholdedrelu" => (Kind::ThresholdedRelu, Some(1.0), None),
                "scaledtanh" => (Kind::ScaledTanh, Some(1.0), Some(1.0)),
                "hardsigmoid" => (Kind::HardSigmoid, Some(0.2), Some(0.5)),
                "elu" => (Kind::Elu, Some(1.0), None),
                other => return Err(wrong("activations", format!("names the unknown `{other}`"))),
            };
            // Parameters are listed for those activations only that take them.
            let alpha = alpha.map_or(0.0, |d| alphas.next().unwrap_or(d));
            let beta = beta.map_or(0.0, |d| betas.next().unwrap_or(d));
            Ok(Activation { kind, alpha, beta })
        })
        .collect()
}

fn permuted_checked<T: Float>(t: &Tensor<T>, perm: &[usize]) -> Result<Tensor<T>, OpError> {
    if t.rank() != perm.len() {
        return Err(misshapen(format!("an initial state of shape {:?}", t.shape())));
    }
    permuted(t, perm)
}

fn permuted<T: Float>(t: &Tensor<T>, perm: &[usize]) -> Result<Tensor<T>, OpError> {
    let own = super::op::strides(t.shape());
    let shape: Vec<usize> = perm.iter().map(|&p| t.shape()[p]).collect();
    let steps: Vec<usize> = perm.iter().map(|&p| own[p]).collect();
    let mut data = Vec::with_capacity(t.len());
    super::broadcast::walk(&shape, [&steps], |[i]| data.push(t.data()[i]));
    tensor(shape, data)
}
