//! Rules of the matrix products.
//!
//! Owns the derivative of `Gemm` and `MatMul`; constant sides are transposed while the graph is
//! built, so that nothing is transposed at run time. Called by the table in [`super`].

use super::builder::{float, int};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};

type Done = Result<(), AutodiffError>;

/// `alpha A' B' + beta C`
pub(super) fn gemm(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [a, b, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
    let (trans_a, trans_b) = (int(node, "transA", 0) != 0, int(node, "transB", 0) != 0);
    let shape = t.shape(&node.outputs[0])?;
    if t.is_live(a) {
        let d = if trans_a {
            product(t, b, trans_b, g, true)
        } else {
            product(t, g, false, b, !trans_b)
        };
        let d = t.scale(&d, alpha);
        t.add(a, d);
    }
    if t.is_live(b) {
        let d = if trans_b {
            product(t, g, true, a, trans_a)
        } else {
            product(t, a, !trans_a, g, false)
        };
        let d = t.scale(&d, alpha);
        t.add(b, d);
    }
    if let Some(c) = rest.first().filter(|c| t.is_live(c)) {
        let d = t.scale(g, beta);
        t.add_broadcast(c, d, &shape)?;
    }
    Ok(())
}

/// Matrix product of any rank, the batch axes broadcast.
pub(super) fn matmul(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [a, b]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let (full_a, full_b) = (t.shape(a)?, t.shape(b)?);
    let out = t.shape(&node.outputs[0])?;
    let (a2, b2) = (as_matrix(&full_a, true), as_matrix(&full_b, false));
    let mut g2 = out.clone();
    if full_a.len() == 1 {
        let at = g2.len() - usize::from(full_b.len() > 1);
        g2.insert(at, 1);
    }
    if full_b.len() == 1 {
        g2.push(1);
    }
    let g = t.reshape(g, &out, &g2);
    let batch = &g2[..g2.len() - 2];
    if t.is_live(a) {
        let other = t.reshape(b, &full_b, &b2);
        let other = swapped(t, &other, b2.len());
        let d = t.op("MatMul", &[&g, &other]);
        let shape = [batch, &a2[a2.len() - 2..]].concat();
        let d = t.sum_to(&d, &shape, &a2);
        let d = t.reshape(&d, &a2, &full_a);
        t.add(a, d);
    }
    if t.is_live(b) {
        let other = t.reshape(a, &full_a, &a2);
        let other = swapped(t, &other, a2.len());
        let d = t.op("MatMul", &[&other, &g]);
        let shape = [batch, &b2[b2.len() - 2..]].concat();
        let d = t.sum_to(&d, &shape, &b2);
        let d = t.reshape(&d, &b2, &full_b);
        t.add(b, d);
    }
    Ok(())
}

/// `X' Y'` of matrices; constants are transposed at once, others by `Gemm`.
fn product(t: &mut Tape, x: &str, trans_x: bool, y: &str, trans_y: bool) -> String {
    let (x, trans_x) = settled(t, x, trans_x);
    let (y, trans_y) = settled(t, y, trans_y);
    if !trans_x && !trans_y {
        return t.op("MatMul", &[&x, &y]);
    }
    let attributes = vec![
        ("transA", Attribute::Int(i64::from(trans_x))),
        ("transB", Attribute::Int(i64::from(trans_y))),
    ];
    t.op_with("Gemm", &[&x, &y], attributes)
}

fn settled(t: &mut Tape, x: &str, trans: bool) -> (String, bool) {
    if trans && t.constant_value(x).is_some() {
        return (t.transpose(x, &[1, 0]), false);
    }
    (x.to_string(), trans)
}

/// A vector as a row (left) or a column (right).
fn as_matrix(shape: &[usize], left: bool) -> Vec<usize> {
    match shape {
        [n] if left => vec![1, *n],
        [n] => vec![*n, 1],
        _ => shape.to_vec(),
    }
}

fn swapped(t: &mut Tape, x: &str, rank: usize) -> String {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    t.transpose(x, &perm)
}
