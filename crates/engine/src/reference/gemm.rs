//! Matrix products: the blocked kernel, `Gemm` and `MatMul`.
//!
//! Owns the order of summation: within a block of [`DEPTH`] terms one after the other, then
//! block after block, the same for every element wherever it lies, so that a row's bits do
//! not depend on the rows beside it. Called by the registry, convolutions and linear models.

use super::broadcast;
use super::float::Float;
use super::op::{Args, Kernel, OpError, Spec, float_dispatch, misshapen, mistyped, tensor, volume};
use crate::value::{Tensor, Value};

/// A matrix in memory: `data[row * strides.0 + column * strides.1]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    /// Elements.
    pub data: &'a [T],
    /// Distance between rows and between columns.
    pub strides: (usize, usize),
}

/// Rows of a tile.
const ROWS: usize = 4;
/// Columns of a tile: with [`ROWS`], what fits the sixteen vector registers of x86-64.
const COLUMNS: usize = 8;
/// Terms summed before they are added to the result; a panel of it stays in the first cache.
pub const DEPTH: usize = 256;

/// `out (m, n) += a (m, k) · b (k, n)`, row-major.
pub fn multiply<T: Float>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<T>,
    b: Matrix<T>,
    out: &mut [T],
) {
    let mut panel = [[T::ZERO; COLUMNS]; DEPTH];
    for start in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - start);
        for left in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - left);
            for (p, row) in panel[..depth].iter_mut().enumerate() {
                let at = (start + p) * b.strides.0 + left * b.strides.1;
                for (c, x) in row[..width].iter_mut().enumerate() {
                    *x = b.data[at + c * b.strides.1];
                }
            }
            for top in (0..m).step_by(ROWS) {
                let height = ROWS.min(m - top);
                let rows = std::array::from_fn(|r| {
                    let r = r.min(height - 1);
                    (top + r) * a.strides.0 + start * a.strides.1
                });
                let tile = tile(a.data, rows, a.strides.1, &panel[..depth]);
                for (r, sums) in tile.iter().enumerate().take(height) {
                    let at = (top + r) * n + left;
                    for (o, &s) in out[at..at + width].iter_mut().zip(sums) {
                        *o += s;
                    }
                }
            }
        }
    }
}

/// Sums of products of four rows with a panel.
fn tile<T: Float>(
    a: &[T],
    rows: [usize; ROWS],
    step: usize,
    panel: &[[T; COLUMNS]],
) -> [[T; COLUMNS]; ROWS] {
    let mut sums = [[T::ZERO; COLUMNS]; ROWS];
    for (p, b) in panel.iter().enumerate() {
        for (row, sum) in rows.iter().zip(&mut sums) {
            let x = a[row + p * step];
            for (s, &y) in sum.iter_mut().zip(b) {
                *s += x * y;
            }
        }
    }
    sums
}

/// `Gemm`: alpha · op(A) · op(B) + beta · C.
pub fn gemm(spec: &Spec) -> Result<Kernel, OpError> {
    let scales = (spec.float_or("alpha", 1.0)?, spec.float_or("beta", 1.0)?);
    let transposed = (spec.flag("transA", false)?, spec.flag("transB", false)?);
    Ok(Box::new(move |args| {
        let a = args.required(0)?;
        float_dispatch!(0, a, a => gemm_of(a, args, scales, transposed))
    }))
}

fn gemm_of<T: Float>(
    a: &Tensor<T>,
    args: &Args,
    (alpha, beta): (f32, f32),
    (ta, tb): (bool, bool),
) -> Result<Vec<Value>, OpError> {
    let b = args.float::<T>(1)?;
    let (&[a0, a1], &[b0, b1]) = (a.shape(), b.shape()) else {
        let (x, y) = (a.shape(), b.shape());
        return Err(misshapen(format!("expected two matrices, given shapes {x:?} and {y:?}")));
    };
    let (m, k) = if ta { (a1, a0) } else { (a0, a1) };
    let (kb, n) = if tb { (b1, b0) } else { (b0, b1) };
    if k != kb {
        return Err(misshapen(format!("inner sizes {k} and {kb} differ")));
    }
    let mut out = vec![T::ZERO; volume(&[m, n])?];
    let sa = if ta { (1, a1) } else { (a1, 1) };
    let sb = if tb { (1, b1) } else { (b1, 1) };
    let left = Matrix { data: a.data(), strides: sa };
    multiply((m, k, n), left, Matrix { data: b.data(), strides: sb }, &mut out);
    if alpha != 1.0 {
        let alpha = T::from_f32(alpha);
        out.iter_mut().for_each(|v| *v *= alpha);
    }
    if let Some(c) = args.float_optional::<T>(2)? {
        let c = broadcast::expand(c, &[m, n])?;
        let beta = T::from_f32(beta);
        for (o, &c) in out.iter_mut().zip(c.data()) {
            *o += beta * c;
        }
    }
    Ok(vec![T::wrap(tensor(vec![m, n], out)?)])
}

/// `MatMul`, batched and broadcast as in numpy.
pub fn matmul(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| match args.required(0)? {
        Value::F32(a) => matmul_of(a, args.float(1)?).map(|t| vec![Value::F32(t)]),
        Value::F64(a) => matmul_of(a, args.float(1)?).map(|t| vec![Value::F64(t)]),
        other => Err(mistyped(0, other, "a float type")),
    }))
}

/// The product of two tensors over their last dimensions.
pub fn matmul_of<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> Result<Tensor<T>, OpError> {
    let mismatch =
        || misshapen(format!("shapes {:?} and {:?} do not multiply", a.shape(), b.shape()));
    let (mut sa, mut sb) = (a.shape().to_vec(), b.shape().to_vec());
    if sa.is_empty() || sb.is_empty() {
        return Err(mismatch());
    }
    let (vector_a, vector_b) = (sa.len() == 1, sb.len() == 1);
    if vector_a {
        sa.insert(0, 1);
    }
    if vector_b {
        sb.push(1);
    }
    let (m, k) = (sa[sa.len() - 2], sa[sa.len() - 1]);
    let (kb, n) = (sb[sb.len() - 2], sb[sb.len() - 1]);
    if k != kb {
        return Err(mismatch());
    }
    let (la, lb) = (&sa[..sa.len() - 2], &sb[..sb.len() - 2]);
    let batch = broadcast::shape(la, lb)?;
    let mut shape = batch.clone();
    shape.extend([m, n]);
    let mut out = vec![T::ZERO; volume(&shape)?];
    let (xa, xb) = (broadcast::strides_to(la, &batch), broadcast::strides_to(lb, &batch));
    let mut chunks = out.chunks_mut((m * n).max(1));
    if lb.iter().all(|&d| d == 1) && batch == la {
        // One matrix on the right: the batch is just more rows.
        let rows = sa[..sa.len() - 1].iter().product();
        let (x, y) = (rows_of(a.data(), 0, k), rows_of(b.data(), 0, n));
        multiply((rows, k, n), x, y, &mut out);
    } else {
        broadcast::walk(&batch, [&xa, &xb], |[i, j]| {
            let (x, y) = (rows_of(a.data(), i * m * k, k), rows_of(b.data(), j * k * n, n));
            if let Some(chunk) = chunks.next() {
                multiply((m, k, n), x, y, chunk);
            }
        });
    }
    if vector_b {
        shape.pop();
    }
    if vector_a {
        let at = shape.len() - if vector_b { 1 } else { 2 };
        shape.remove(at);
    }
    tensor(shape, out)
}

fn rows_of<T>(data: &[T], from: usize, width: usize) -> Matrix<'_, T> {
    Matrix { data: data.get(from..).unwrap_or(&[]), strides: (width, 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A row's bits are its own: alone, in a batch, or at another place in it.
        #[test]
        fn rows_do_not_depend_on_their_batch(m in 1usize..9, k in 1usize..600, n in 1usize..20) {
            let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 503.0 - 1.0;
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let right = Matrix { data: &b, strides: (n, 1) };
            let mut whole = vec![0.0; m * n];
            multiply((m, k, n), Matrix { data: &a, strides: (k, 1) }, right, &mut whole);
            for r in 0..m {
                let mut row = vec![0.0; n];
                let left = Matrix { data: &a[r * k..], strides: (k, 1) };
                multiply((1, k, n), left, right, &mut row);
                prop_assert_eq!(&row, &whole[r * n..(r + 1) * n]);
                let exact = (0..k).map(|p| f64::from(a[r * k + p]) * f64::from(b[p * n]));
                prop_assert!((exact.sum::<f64>() - f64::from(row[0])).abs() < 1e-4);
            }
        }
    }
}
