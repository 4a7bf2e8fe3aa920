//! `CDist` of the domain `com.microsoft`: distances between all rows of two matrices.
//!
//! Owns the sums of squared differences, taken as they are: ONNX Runtime expands them into
//! products, which loses digits where two rows nearly meet. Called by the registry.

use super::rows;
use crate::reference::float::Float;
use crate::reference::op::{
    Args, Kernel, OpError, Spec, float_dispatch, misshapen, tensor, volume, wrong,
};
use crate::reference::reduce::blocked;
use crate::value::{Tensor, Value};

/// `CDist`
pub fn cdist(spec: &Spec) -> Result<Kernel, OpError> {
    let root = match spec.text_or("metric", "sqeuclidean")? {
        "euclidean" => true,
        "sqeuclidean" => false,
        other => return Err(wrong("metric", format!("has the unknown value `{other}`"))),
    };
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        float_dispatch!(0, x, x => distances(x, args, root))
    }))
}

fn distances<T: Float>(x: &Tensor<T>, args: &Args, root: bool) -> Result<Vec<Value>, OpError> {
    let y = args.float::<T>(1)?;
    let ((n, columns), (m, other)) = (rows(x.shape())?, rows(y.shape())?);
    if columns != other {
        return Err(misshapen(format!("rows of {columns} and of {other} columns")));
    }
    let mut out = Vec::with_capacity(volume(&[n, m])?);
    for i in 0..n {
        let a = &x.data()[i * columns..(i + 1) * columns];
        for j in 0..m {
            let b = &y.data()[j * columns..(j + 1) * columns];
            let square = blocked(a.iter().zip(b).map(|(&a, &b)| (a - b) * (a - b)));
            out.push(if root { square.sqrt() } else { square });
        }
    }
    Ok(vec![T::wrap(tensor(vec![n, m], out)?)])
}
