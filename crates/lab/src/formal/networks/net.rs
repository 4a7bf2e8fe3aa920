//! A network as linear maps and ReLU, in doubles.
//!
//! Owns the form that is bounded and how it is computed and transposed, for many rows at once
//! (matrices are `(rows, elements)`). Weights are the file's, widened without loss; the few that
//! are computed (batch normalisation, averages) are off by a few units in the last place of a
//! double, which [`crate::formal::networks`] counts. Must never bound anything itself.

use ndarray::{Array2, ArrayView2, Axis, linalg::general_mat_mul};

use super::conv::Conv;

/// `(rows, elements)`.
pub(crate) type Matrix = Array2<f64>;

/// A network in topological order; node 0 is the input.
#[derive(Clone, Debug)]
pub struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) output: usize,
    /// What the model applies to the output at the very end, and this form leaves out.
    pub(crate) head: Head,
}

/// A monotone end of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing.
    None,
    /// Softmax over all outputs: keeps their order.
    Softmax,
    /// Sigmoid of each output: keeps their order.
    Sigmoid,
}

/// A value of the network.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub len: usize,
    pub op: Op,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a net has a few dozen of them, most are linear")]
pub(crate) enum Op {
    Input,
    /// `map(from) + bias`
    Linear {
        from: usize,
        map: Map,
        magnitude: Map,
        bias: Vec<f64>,
    },
    /// Sum of values of the same length.
    Sum {
        from: Vec<usize>,
    },
    /// Element `i` is element `places[i].1` of `from[places[i].0]`.
    Pick {
        from: Vec<usize>,
        places: Vec<(u32, u32)>,
    },
    /// `max(0, from)`
    Relu {
        from: usize,
    },
}

/// A linear map.
#[derive(Clone, Debug)]
pub(crate) enum Map {
    /// `(out, in)`
    Dense(Matrix),
    Diagonal(Vec<f64>),
    Sparse(Sparse),
    Conv(Conv),
}

/// Compressed rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    pub columns: usize,
    pub starts: Vec<usize>,
    pub places: Vec<u32>,
    pub weights: Vec<f64>,
}

impl Net {
    /// Elements of the input.
    pub fn inputs(&self) -> usize {
        self.nodes[0].len
    }
    /// Elements of the output.
    pub fn outputs(&self) -> usize {
        self.nodes[self.output].len
    }
    /// What is left out at the end.
    pub fn head(&self) -> Head {
        self.head
    }
    /// Number of ReLU neurons.
    pub fn neurons(&self) -> usize {
        self.relus().map(|k| self.nodes[k].len).sum()
    }
    /// The ReLU nodes, ascending.
    pub(crate) fn relus(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&k| matches!(self.nodes[k].op, Op::Relu { .. }))
    }

    /// Scalar operations on the longest way through the net, at most: the `n` of Higham's
    /// `gamma_n` for everything that is summed here, with room for weights that are off by a few
    /// units in the last place.
    pub(crate) fn operations(&self) -> usize {
        let one = |node: &Node| match &node.op {
            Op::Linear { map, .. } => 3 * node.len + 3 * map.columns() + 64,
            Op::Sum { from } => node.len + 8 * from.len() + 8,
            _ => 4 * node.len + 8,
        };
        self.nodes.iter().map(one).sum::<usize>() + 64
    }

    /// Values of every node, for inputs `(rows, inputs)`.
    pub(crate) fn values(&self, x: &Matrix) -> Vec<Matrix> {
        let mut values: Vec<Matrix> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let value = match &node.op {
                Op::Relu { from } => values[*from].mapv(|v| v.max(0.0)),
                _ => self.linear(node, &values, x),
            };
            values.push(value);
        }
        values
    }

    /// The output for inputs `(rows, inputs)`.
    pub fn run(&self, x: &Array2<f64>) -> Array2<f64> {
        self.values(x).swap_remove(self.output)
    }

    /// The value of a node that is no ReLU.
    pub(crate) fn linear(&self, node: &Node, values: &[Matrix], x: &Matrix) -> Matrix {
        match &node.op {
            Op::Input => x.clone(),
            Op::Linear { from, map, bias, .. } => {
                let mut y = map.forward(&values[*from]);
                for mut row in y.axis_iter_mut(Axis(0)) {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
                y
            }
            Op::Sum { from } => {
                let mut y = values[from[0]].clone();
                from[1..].iter().for_each(|&k| y += &values[k]);
                y
            }
            Op::Pick { from, places } => {
                let mut y = Matrix::zeros((x.nrows(), places.len()));
                for (r, mut row) in y.axis_iter_mut(Axis(0)).enumerate() {
                    for (y, &(source, place)) in row.iter_mut().zip(places) {
                        *y = values[from[source as usize]][[r, place as usize]];
                    }
                }
                y
            }
            Op::Relu { from } => values[*from].mapv(|v| v.max(0.0)),
        }
    }
}

impl Map {
    /// Elements of the argument.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Dense(w) => w.ncols(),
            Self::Diagonal(w) => w.len(),
            Self::Sparse(w) => w.columns,
            Self::Conv(w) => w.inputs(),
        }
    }

    /// Terms of one sum, at most.
    pub(crate) fn terms(&self) -> usize {
        match self {
            Self::Dense(w) => w.ncols(),
            Self::Diagonal(_) => 1,
            Self::Sparse(w) => w.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0),
            Self::Conv(w) => w.weight.ncols(),
        }
    }

    /// The same map with the magnitudes of its weights.
    pub(crate) fn magnitude(&self) -> Map {
        match self {
            Self::Dense(w) => Self::Dense(w.mapv(f64::abs)),
            Self::Diagonal(w) => Self::Diagonal(w.iter().map(|w| w.abs()).collect()),
            Self::Sparse(w) => {
                let weights = w.weights.iter().map(|w| w.abs()).collect();
                Self::Sparse(Sparse { weights, ..w.clone() })
            }
            Self::Conv(w) => Self::Conv(w.magnitude()),
        }
    }

    /// `x W^T`: the map applied to each row.
    pub(crate) fn forward(&self, x: &Matrix) -> Matrix {
        match self {
            Self::Dense(w) => product(x.view(), w.t()),
            Self::Diagonal(w) => scaled(x, w),
            Self::Sparse(w) => w.forward(x),
            Self::Conv(w) => w.forward(x),
        }
    }

    /// `a W`: coefficients of the result become coefficients of the argument.
    pub(crate) fn backward(&self, a: &Matrix) -> Matrix {
        match self {
            Self::Dense(w) => product(a.view(), w.view()),
            Self::Diagonal(w) => scaled(a, w),
            Self::Sparse(w) => w.backward(a),
            Self::Conv(w) => w.backward(a),
        }
    }

    /// The map of one row.
    pub(crate) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let row = ArrayView2::from_shape((1, x.len()), x).map(|row| row.to_owned());
        row.map(|row| self.forward(&row).into_raw_vec_and_offset().0).unwrap_or_default()
    }
}

/// `a b`, blocked and vectorised by `matrixmultiply`.
pub(crate) fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Matrix {
    let mut c = Matrix::zeros((a.nrows(), b.ncols()));
    general_mat_mul(1.0, &a, &b, 0.0, &mut c);
    c
}

fn scaled(x: &Matrix, w: &[f64]) -> Matrix {
    let mut y = x.clone();
    for mut row in y.axis_iter_mut(Axis(0)) {
        row.iter_mut().zip(w).for_each(|(y, w)| *y *= w);
    }
    y
}

impl Sparse {
    /// Appends a row.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = (usize, f64)>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for (place, weight) in row {
            self.places.push(place as u32);
            self.weights.push(weight);
        }
        self.starts.push(self.places.len());
    }

    fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[i]..self.starts[i + 1];
        self.places[range.clone()]
            .iter()
            .map(|&p| p as usize)
            .zip(self.weights[range].iter().copied())
    }

    fn forward(&self, x: &Matrix) -> Matrix {
        let mut y = Matrix::zeros((x.nrows(), self.rows()));
        for (x, mut y) in x.axis_iter(Axis(0)).zip(y.axis_iter_mut(Axis(0))) {
            for (i, y) in y.iter_mut().enumerate() {
                *y = self.row(i).map(|(place, weight)| weight * x[place]).sum();
            }
        }
        y
    }

    fn backward(&self, a: &Matrix) -> Matrix {
        let mut b = Matrix::zeros((a.nrows(), self.columns));
        for (a, mut b) in a.axis_iter(Axis(0)).zip(b.axis_iter_mut(Axis(0))) {
            for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                self.row(i).for_each(|(place, weight)| b[place] += weight * a);
            }
        }
        b
    }
}
