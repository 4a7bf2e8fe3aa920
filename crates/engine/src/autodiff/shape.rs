//! Rules of the operators that move data.
//!
//! Owns the derivative of each. Where an operator picks elements, its derivative puts them
//! back: padding for a plain slice, a gather from a row of zeros otherwise. Called by the table
//! in [`super`].

use super::builder::{FLOAT, axis_of, int, int_list, text};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};
use crate::value::DType;

type Done = Result<(), AutodiffError>;

/// Passes the cotangent unchanged.
pub(super) fn identity(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    if let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) {
        t.add(x, g.clone());
    }
    Ok(())
}

/// Between float types; casts from and to others never get here.
pub(super) fn cast(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (from, to) = (t.dtype(x), t.dtype(&node.outputs[0]));
    let d = match (from, to) {
        (Some(a), Some(b)) if a != b => {
            let number = if a == DType::F64 { DOUBLE } else { FLOAT };
            t.op_with("Cast", &[g], vec![("to", Attribute::Int(number))])
        }
        _ => g.clone(),
    };
    t.add(x, d);
    Ok(())
}

/// `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`: back to the shape of the input.
pub(super) fn reshape(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (from, to) = (t.shape(&node.outputs[0])?, t.shape(x)?);
    let d = t.reshape(g, &from, &to);
    t.add(x, d);
    Ok(())
}

pub(super) fn transpose(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let rank = t.shape(x)?.len();
    let perm: Vec<usize> = match int_list(node, "perm") {
        Some(perm) => perm.iter().map(|&p| axis_of(p, rank)).collect(),
        None => (0..rank).rev().collect(),
    };
    let mut inverse = vec![0; rank];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p] = i;
    }
    let d = t.transpose(g, &inverse);
    t.add(x, d);
    Ok(())
}

pub(super) fn concat(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(Some(g)) = grads.first() else { return Ok(()) };
    let shape = t.shape(&node.outputs[0])?;
    let axis = axis_of(int(node, "axis", 0), shape.len());
    let mut at = 0;
    for input in &node.inputs {
        let extent = t.shape(input)?[axis];
        if t.is_live(input) {
            let (mut starts, mut ends) = (vec![0; shape.len()], shape.clone());
            starts[axis] = at;
            ends[axis] = at + extent;
            let d = t.crop(g, &shape, &starts, &ends);
            t.add(input, d);
        }
        at += extent;
    }
    Ok(())
}

pub(super) fn split(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(x) = node.inputs.first() else { return Ok(()) };
    let rank = t.shape(x)?.len();
    let axis = axis_of(int(node, "axis", 0), rank);
    let mut parts = Vec::new();
    for (output, grad) in node.outputs.iter().zip(grads) {
        let shape = t.shape(output)?;
        parts.push(match grad {
            Some(grad) => grad.clone(),
            None => t.zeros(&shape),
        });
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let d = t.op_with("Concat", &parts, vec![("axis", Attribute::Int(axis as i64))]);
    t.add(x, d);
    Ok(())
}

pub(super) fn expand(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let shape = t.shape(&node.outputs[0])?;
    t.add_broadcast(x, g.clone(), &shape)
}

/// Sums over the copies.
pub(super) fn tile(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let mut split = Vec::new();
    for (x, y) in xs.iter().zip(&ys) {
        split.extend([y / (*x).max(1), *x]);
    }
    let copies: Vec<usize> = (0..xs.len()).map(|i| 2 * i).collect();
    let g = t.reshape(g, &ys, &split);
    let summed = t.reduce("ReduceSum", &g, &copies);
    for &axis in &copies {
        split[axis] = 1;
    }
    let d = t.reshape(&summed, &split, &xs);
    t.add(x, d);
    Ok(())
}

/// Constant padding goes back as a slice; negative padding as padding.
pub(super) fn pad(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let Some(pads) = node.inputs.get(1).and_then(|name| t.constant_ints(name)) else {
        return Err(t.unsupported(node, "the padding is computed"));
    };
    let rank = xs.len();
    let axes: Vec<usize> = match node.inputs.get(3).filter(|name| !name.is_empty()) {
        Some(name) => match t.constant_ints(name) {
            Some(axes) => axes.iter().map(|&a| axis_of(a, rank)).collect(),
            None => return Err(t.unsupported(node, "the axes are computed")),
        },
        None => (0..rank).collect(),
    };
    let mut low = vec![0i64; rank];
    for (i, &axis) in axes.iter().enumerate() {
        low[axis] = pads[i];
    }
    let mode = text(node, "mode", "constant").to_string();
    if mode != "constant" {
        return pad_by_copies(t, g, x, (&xs, &ys), &low, &mode);
    }
    let (mut starts, mut ends) = (vec![0; rank], ys.clone());
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for i in 0..rank {
        starts[i] = low[i].max(0) as usize;
        before[i] = (-low[i]).max(0) as usize;
        let kept = (xs[i] - before[i]).min(ys[i] - starts[i]);
        ends[i] = starts[i] + kept;
        after[i] = xs[i] - before[i] - kept;
    }
    let cut = t.crop(g, &ys, &starts, &ends);
    let d = t.pad(&cut, &before, &after);
    t.add(x, d);
    Ok(())
}

/// Padding that repeats the input: every copy adds to its original.
fn pad_by_copies(
    t: &mut Tape,
    g: &str,
    x: &str,
    (xs, ys): (&[usize], &[usize]),
    low: &[i64],
    mode: &str,
) -> Done {
    let mut d = g.to_string();
    let mut shape = ys.to_vec();
    for axis in 0..xs.len() {
        let n = xs[axis] as i64;
        if xs[axis] == ys[axis] && low[axis] == 0 {
            continue;
        }
        let place = |o: usize| {
            let i = o as i64 - low[axis];
            let at = match mode {
                "edge" => i.clamp(0, n - 1),
                "wrap" => i.rem_euclid(n),
                _ if n == 1 => 0,
                _ => {
                    let off = i.rem_euclid(2 * (n - 1));
                    if off < n { off } else { 2 * (n - 1) - off }
                }
            };
            at as usize
        };
        let picked: Vec<usize> = (0..ys[axis]).map(place).collect();
        d = put_back(t, &d, &mut shape, axis, &picked, xs[axis]);
    }
    t.add(x, d);
    Ok(())
}

/// A recurrent layer that could not be written out step by step.
pub(super) fn not_unrolled(t: &mut Tape, node: &Node, _: &[Option<String>]) -> Done {
    Err(t.unsupported(node, "its weights or lengths are computed, or its steps are too many"))
}

pub(super) fn slice(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let given = |i: usize| rest.get(i).filter(|name| !name.is_empty());
    let ints = |i: usize| match given(i) {
        Some(name) => match t.constant_ints(name) {
            Some(ints) => Ok(Some(ints)),
            None => Err(t.unsupported(node, "its bounds are computed")),
        },
        None => Ok(None),
    };
    let starts = ints(0)?.unwrap_or_default();
    let axes = ints(2)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = ints(3)?.unwrap_or_else(|| vec![1; starts.len()]);
    let (mut before, mut after) = (vec![0; xs.len()], vec![0; xs.len()]);
    let mut d = g.clone();
    let mut shape = ys.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let axis = axis_of(axis, xs.len());
        let extent = xs[axis] as i64;
        let start = if starts[i] < 0 { starts[i] + extent } else { starts[i] };
        let step = steps[i];
        let start = start.clamp(0, if step < 0 { extent - 1 } else { extent });
        if step == 1 {
            before[axis] = start as usize;
            after[axis] = xs[axis] - before[axis] - ys[axis];
            continue;
        }
        let picked: Vec<usize> =
            (0..ys[axis] as i64).map(|k| (start + k * step) as usize).collect();
        d = put_back(t, &d, &mut shape, axis, &picked, xs[axis]);
    }
    let d = t.pad(&d, &before, &after);
    t.add(x, d);
    Ok(())
}

/// `Gather`; constant indices are put back by a gather, computed ones scattered.
pub(super) fn gather(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, indices]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let axis = axis_of(int(node, "axis", 0), xs.len());
    let Some(picked) = t.constant_ints(indices) else {
        let d = super::along::gather_computed(t, g, (x, indices), axis)?;
        t.add(x, d);
        return Ok(());
    };
    let picked: Vec<usize> = picked.iter().map(|&i| axis_of(i, xs[axis])).collect();
    let mut flat = xs.clone();
    flat[axis] = picked.len();
    let g = t.reshape(g, &ys, &flat);
    let d = put_back(t, &g, &mut flat, axis, &picked, xs[axis]);
    t.add(x, d);
    Ok(())
}

/// The derivative of picking `picked` of `extent` cells on an axis: each cell of the result is
/// gathered from its place in `g`, or from a cell of zeros. Repeats are summed.
fn put_back(
    t: &mut Tape,
    g: &str,
    shape: &mut [usize],
    axis: usize,
    picked: &[usize],
    extent: usize,
) -> String {
    let mut after = vec![0; shape.len()];
    after[axis] = 1;
    let mut places: Vec<Vec<i64>> = vec![Vec::new(); extent];
    for (place, &cell) in picked.iter().enumerate() {
        places[cell].push(place as i64);
    }
    let rounds = places.iter().map(Vec::len).max().unwrap_or(0).max(1);
    if rounds > ROUNDS_MAX {
        let mut cells = vec![0.0; picked.len() * extent];
        picked.iter().enumerate().for_each(|(place, cell)| cells[place * extent + cell] = 1.0);
        return super::along::contract(t, g, shape, axis, &cells, extent);
    }
    let padded = t.pad(g, &vec![0; shape.len()], &after);
    let mut total: Option<String> = None;
    for round in 0..rounds {
        let nowhere = picked.len() as i64;
        let index: Vec<i64> =
            places.iter().map(|p| p.get(round).copied().unwrap_or(nowhere)).collect();
        let index = t.ints(&index);
        let attributes = vec![("axis", Attribute::Int(axis as i64))];
        let part = t.op_with("Gather", &[&padded, &index], attributes);
        total = Some(match total {
            Some(total) => t.op("Add", &[&total, &part]),
            None => part,
        });
    }
    shape[axis] = extent;
    total.unwrap_or(padded)
}

/// Copies of one cell up to which gathers are added; more are one product.
const ROUNDS_MAX: usize = 8;
/// ONNX's number for `double`.
const DOUBLE: i64 = 11;
