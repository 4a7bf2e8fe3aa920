//! Numpy-style broadcasting.
//!
//! Owns shapes and the walk over them. Must never know an operator. Called by element-wise
//! kernels, `Where`, `Expand` and batched `MatMul`.

use super::op::{OpError, misshapen, strides, tensor, volume, volume_of};
use crate::value::Tensor;

/// The shape two shapes broadcast to.
pub fn shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, OpError> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |k| s[k]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(misshapen(format!("shapes {a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// Strides of `from` seen through the shape `to`; 0 along broadcast dimensions.
pub fn strides_to(from: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(from);
    let skip = to.len() - from.len();
    (0..to.len())
        .map(|i| match i.checked_sub(skip) {
            Some(k) if from[k] != 1 => own[k],
            _ => 0,
        })
        .collect()
}

/// Calls `f` with the offset of each element of `shape` under every stride list, row-major.
pub fn walk<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut f: impl FnMut([usize; N]),
) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0usize; shape.len()];
    let mut at = [0usize; N];
    loop {
        f(at);
        let mut d = shape.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            for k in 0..N {
                at[k] += strides[k][d];
            }
            if index[d] < shape[d] {
                break;
            }
            for k in 0..N {
                at[k] -= strides[k][d] * shape[d];
            }
            index[d] = 0;
        }
    }
}

/// `f` over two broadcast tensors.
pub fn zip<A: Clone, B: Clone, C>(
    a: &Tensor<A>,
    b: &Tensor<B>,
    mut f: impl FnMut(&A, &B) -> C,
) -> Result<Tensor<C>, OpError> {
    let (x, y) = (a.data(), b.data());
    if a.shape() == b.shape() {
        let data = x.iter().zip(y).map(|(p, q)| f(p, q)).collect();
        return tensor(a.shape().to_vec(), data);
    }
    let to = shape(a.shape(), b.shape())?;
    let n = volume(&to)?;
    if n == a.len() && b.len() == 1 {
        return tensor(to, x.iter().map(|p| f(p, &y[0])).collect());
    }
    if n == b.len() && a.len() == 1 {
        return tensor(to, y.iter().map(|q| f(&x[0], q)).collect());
    }
    let (sa, sb) = (strides_to(a.shape(), &to), strides_to(b.shape(), &to));
    let mut data = Vec::with_capacity(n);
    walk(&to, [&sa, &sb], |[i, j]| data.push(f(&x[i], &y[j])));
    tensor(to, data)
}

/// A tensor repeated to a shape it broadcasts to.
pub fn expand<T: Clone>(t: &Tensor<T>, to: &[usize]) -> Result<Tensor<T>, OpError> {
    if shape(t.shape(), to)? != to {
        return Err(misshapen(format!("shape {:?} does not expand to {to:?}", t.shape())));
    }
    let s = strides_to(t.shape(), to);
    let mut data = Vec::with_capacity(volume_of::<T>(to)?);
    walk(to, [&s], |[i]| data.push(t.data()[i].clone()));
    tensor(to.to_vec(), data)
}
