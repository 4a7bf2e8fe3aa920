//! Linear operators: products with constants, sums, scales, batch normalisation.

use super::*;

impl Builder<'_> {
    pub(super) fn gemm(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let flag = |name: &str| matches!(node.attributes.get(name), Some(Attribute::Int(1)));
        let float = |name: &str| match node.attributes.get(name) {
            Some(Attribute::Float(v)) => f64::from(*v),
            _ => 1.0,
        };
        let b = self.wanted(node, 1)?;
        let (&[rows, inner], &[p, q]) = (held.shape.as_slice(), b.shape()) else {
            return refuse(node, "it is not a product of matrices");
        };
        if flag("transA") && rows != 1 {
            return refuse(node, "`transA` on several rows");
        }
        let (rows, inner) = if flag("transA") { (inner, rows) } else { (rows, inner) };
        let (k, n) = if flag("transB") { (q, p) } else { (p, q) };
        if k != inner {
            return refuse(node, "its shapes do not fit together");
        }
        let transposed = flag("transB");
        let alpha = float("alpha");
        let weight =
            |j: usize, i: usize| alpha * b.data()[if transposed { j * k + i } else { i * n + j }];
        let shape = vec![rows, n];
        let bias = match self.floats(node, 2)? {
            Some(c) => spread(&c, &shape).ok_or_else(|| refusal(node, "`C` does not fit"))?,
            None => vec![0.0; rows * n],
        };
        let beta = float("beta");
        let bias = bias.iter().map(|c| beta * c).collect();
        let map = by_rows(node, rows, (k, n), &weight)?;
        let at = self.linear(held.node, map, bias)?;
        self.give(node, at, shape)
    }

    pub(super) fn matmul(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let b = self.wanted(node, 1)?;
        let (Some(&inner), &[k, n]) = (held.shape.last(), b.shape()) else {
            return refuse(node, "only a value times a constant matrix is bounded");
        };
        if k != inner {
            return refuse(node, "its shapes do not fit together");
        }
        let rows = self.nodes[held.node].len / k;
        let map = by_rows(node, rows, (k, n), &|j, i| b.data()[i * n + j])?;
        let at = self.linear(held.node, map, vec![0.0; rows * n])?;
        let mut shape = held.shape;
        if let Some(last) = shape.last_mut() {
            *last = n;
        }
        self.give(node, at, shape)
    }

    /// Sums and differences, of values and constants.
    pub(super) fn add(&mut self, node: &GraphNode) -> Lowered<()> {
        let minus = node.op == "Sub";
        let live = |i: usize| node.inputs.get(i).is_some_and(|n| self.values.contains_key(n));
        match (live(0), live(1)) {
            (true, true) => {
                let (a, b) = (self.held(node, 0)?, self.held(node, 1)?);
                if self.nodes[a.node].len != self.nodes[b.node].len || trim(&a) != trim(&b) {
                    return refuse(node, "sums that repeat a value are not bounded");
                }
                let second = if minus { self.negative(b.node)? } else { b.node };
                let from = vec![a.node, second];
                let at = self.push(self.nodes[a.node].len, Op::Sum { from });
                let shape = if a.shape.len() >= b.shape.len() { a.shape } else { b.shape };
                self.give(node, at, shape)
            }
            (first, _) => {
                let (value, other) = if first { (0, 1) } else { (1, 0) };
                let held = self.held(node, value)?;
                let constant = self.spread(node, other, &held)?;
                let of = |on: bool| if on { -1.0 } else { 1.0 };
                let factor = vec![of(minus && !first); constant.len()];
                let bias = constant.iter().map(|c| c * of(minus && first)).collect();
                let at = self.linear(held.node, Map::Diagonal(factor), bias)?;
                self.give(node, at, held.shape)
            }
        }
    }

    pub(super) fn sum(&mut self, node: &GraphNode) -> Lowered<()> {
        let mut from = Vec::new();
        let first = self.held(node, 0)?;
        for i in 0..node.inputs.len() {
            let held = self.held(node, i)?;
            if held.shape != first.shape {
                return refuse(node, "sums that repeat a value are not bounded");
            }
            from.push(held.node);
        }
        let at = self.push(self.nodes[first.node].len, Op::Sum { from });
        self.give(node, at, first.shape)
    }

    /// Products with and quotients by constants.
    pub(super) fn scale(&mut self, node: &GraphNode) -> Lowered<()> {
        let divides = node.op == "Div";
        let first = node.inputs.first().is_some_and(|n| self.values.contains_key(n));
        if divides && !first {
            return refuse(node, "a quotient by a value is not linear");
        }
        let (value, other) = if first { (0, 1) } else { (1, 0) };
        let held = self.held(node, value)?;
        let mut factor = self.spread(node, other, &held)?;
        if divides {
            if factor.contains(&0.0) {
                return refuse(node, "it divides by nought");
            }
            factor.iter_mut().for_each(|f| *f = 1.0 / *f);
        }
        let bias = vec![0.0; factor.len()];
        let at = self.linear(held.node, Map::Diagonal(factor), bias)?;
        self.give(node, at, held.shape)
    }

    pub(super) fn negate(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let at = self.negative(held.node)?;
        self.give(node, at, held.shape)
    }

    pub(super) fn negative(&mut self, at: usize) -> Lowered<usize> {
        let len = self.nodes[at].len;
        self.linear(at, Map::Diagonal(vec![-1.0; len]), vec![0.0; len])
    }

    fn spread(&self, node: &GraphNode, i: usize, held: &Held) -> Lowered<Vec<f64>> {
        let constant = self.wanted(node, i)?;
        if constant.rank() > held.shape.len() {
            return refuse(node, "a constant of more dimensions than the value is not bounded");
        }
        let spread = spread(&constant, &held.shape);
        spread.ok_or_else(|| refusal(node, "a constant that enlarges a value is not bounded"))
    }

    /// In inference: a scale and a shift per channel, computed in doubles.
    pub(super) fn batch_norm(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let epsilon = match node.attributes.get("epsilon") {
            Some(Attribute::Float(v)) => f64::from(*v),
            _ => f64::from(1e-5_f32),
        };
        if matches!(node.attributes.get("training_mode"), Some(Attribute::Int(1))) {
            return refuse(node, "batch normalisation in training mode");
        }
        let (scale, shift) = (self.wanted(node, 1)?, self.wanted(node, 2)?);
        let (mean, variance) = (self.wanted(node, 3)?, self.wanted(node, 4)?);
        let channels = held.shape.get(1).copied().unwrap_or(1);
        let lens = [&scale, &shift, &mean, &variance].map(Tensor::len);
        if lens != [channels; 4] || held.shape.len() < 2 {
            return refuse(node, "its shapes do not fit together");
        }
        let inner: usize = held.shape[2..].iter().product();
        let len = self.nodes[held.node].len;
        let (mut factor, mut bias) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for i in 0..len {
            let c = i / inner % channels;
            let f = scale.data()[c] / (variance.data()[c] + epsilon).sqrt();
            factor.push(f);
            bias.push((-mean.data()[c]).mul_add(f, shift.data()[c]));
        }
        if !factor.iter().chain(&bias).all(|v| v.is_finite()) {
            return refuse(node, "its variance is not positive");
        }
        // `shift - mean * factor` may cancel: its error is a share of the terms, not of the result
        let centred: Vec<f64> = (0..len).map(|i| -mean.data()[i / inner % channels]).collect();
        let at = self.linear(held.node, Map::Diagonal(vec![1.0; len]), centred)?;
        let shifts = (0..len).map(|i| shift.data()[i / inner % channels]).collect();
        let at = self.linear(at, Map::Diagonal(factor), shifts)?;
        self.give(node, at, held.shape)
    }
}

/// A matrix product applied to each of `rows`.
fn by_rows(
    node: &GraphNode,
    rows: usize,
    (k, n): (usize, usize),
    weight: &dyn Fn(usize, usize) -> f64,
) -> Lowered<Map> {
    if k.saturating_mul(n).saturating_mul(rows) > WEIGHTS_MAX {
        return refuse(node, "its weights are too many");
    }
    if rows == 1 {
        return Ok(Map::Dense(Matrix::from_shape_fn((n, k), |(j, i)| weight(j, i))));
    }
    let mut map = Sparse { columns: rows * k, ..Sparse::default() };
    for r in 0..rows {
        for j in 0..n {
            map.push((0..k).map(|i| (r * k + i, weight(j, i))));
        }
    }
    Ok(Map::Sparse(map))
}

/// A shape without leading ones.
fn trim(held: &Held) -> &[usize] {
    let lead = held.shape.iter().take_while(|&&d| d == 1).count();
    &held.shape[lead..]
}
