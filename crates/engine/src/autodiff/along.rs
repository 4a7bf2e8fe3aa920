//! Rules of the operators that mix cells along an axis: resampling, sums that run, local
//! response, padding by copies.
//!
//! Owns the contraction with a constant matrix, which is how all of them go back. Called by the
//! table in [`super`].

use super::builder::{axis_of, float, int, signed};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};
use crate::reference::Precision;
use crate::reference::op::Spec;
use crate::reference::resize::{Axis, Sampling, Wanted};

type Done = Result<(), AutodiffError>;

/// `Resize`: the transposed weights, axis by axis, in reverse.
pub(super) fn resize(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, mut shape) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let plan = plan(t, node, &xs).map_err(|why| t.unsupported(node, &why))?;
    let mut d = g.clone();
    for (axis, weights) in plan.iter().enumerate() {
        let Some(weights) = weights else { continue };
        d = match copies(weights) {
            Some(times) => sum_copies(t, &d, &mut shape, axis, times),
            None => {
                let cells = shape[axis] * weights.input;
                if cells > MATRIX_MAX {
                    return Err(t.unsupported(node, "the weights of one axis are too many"));
                }
                contract(t, &d, &mut shape, axis, &matrix(weights), weights.input)
            }
        };
    }
    t.add(x, d);
    Ok(())
}

fn plan(t: &Tape, node: &Node, xs: &[usize]) -> Result<Vec<Option<Axis>>, String> {
    let spec = Spec { node, opset: t.graph().opset(""), precision: Precision::F64 };
    let sampling = Sampling::read(&spec).map_err(|e| e.to_string())?;
    let given = |i: usize| node.inputs.get(i).filter(|n| !n.is_empty());
    let missing = || "its factors or sizes are computed".to_string();
    let floats = |i: usize| match given(i) {
        None => Ok(Vec::new()),
        Some(name) => t.constant_floats(name).ok_or_else(missing),
    };
    let scales = Some(floats(2)?).filter(|s| !s.is_empty());
    let sizes = match given(3) {
        None => None,
        Some(name) => Some(t.constant_ints(name).ok_or_else(missing)?).filter(|s| !s.is_empty()),
    };
    let wanted = Wanted { roi: floats(1)?, scales, sizes };
    sampling.plan(xs, &wanted).map_err(|e| e.to_string())
}

/// How often each place is copied, when all are, in order.
fn copies(axis: &Axis) -> Option<usize> {
    let times = axis.rows.len() / axis.input.max(1);
    let whole = times * axis.input == axis.rows.len() && times > 0;
    let plain = |(o, row): (usize, &Vec<(usize, f64)>)| row.as_slice() == [(o / times, 1.0)];
    (whole && axis.rows.iter().enumerate().all(plain)).then_some(times)
}

fn sum_copies(t: &mut Tape, g: &str, shape: &mut [usize], axis: usize, times: usize) -> String {
    let from = shape.to_vec();
    let mut split = from.clone();
    split[axis] /= times;
    split.insert(axis + 1, times);
    let g = t.reshape(g, &from, &split);
    let sum = t.reduce("ReduceSum", &g, &[axis + 1]);
    shape[axis] /= times;
    split[axis + 1] = 1;
    t.reshape(&sum, &split, shape)
}

fn matrix(axis: &Axis) -> Vec<f64> {
    let mut cells = vec![0.0; axis.rows.len() * axis.input];
    for (o, row) in axis.rows.iter().enumerate() {
        for &(i, w) in row {
            cells[o * axis.input + i] += w;
        }
    }
    cells
}

/// `g` with its cells along `axis` mixed by a matrix `(cells of g, to)`.
pub(super) fn contract(
    t: &mut Tape,
    g: &str,
    shape: &mut [usize],
    axis: usize,
    weights: &[f64],
    to: usize,
) -> String {
    let (from, rank) = (shape[axis], shape.len());
    let single = |v: &f64| *v as f32;
    if axis + 2 == rank {
        let turned = (0..to * from).map(|k| single(&weights[k % from * to + k / from])).collect();
        let left = t.floats(&[to, from], turned);
        shape[axis] = to;
        return t.op("MatMul", &[&left, g]);
    }
    let right = t.floats(&[from, to], weights.iter().map(single).collect());
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 1);
    let g = t.transpose(g, &perm);
    let mixed = t.op("MatMul", &[&g, &right]);
    shape[axis] = to;
    t.transpose(&mixed, &perm)
}

/// `CumSum`, run the other way.
pub(super) fn cum_sum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, axis]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let attributes = vec![
        ("exclusive", Attribute::Int(int(node, "exclusive", 0))),
        ("reverse", Attribute::Int(i64::from(int(node, "reverse", 0) == 0))),
    ];
    let d = t.op_with("CumSum", &[g, axis], attributes);
    t.add(x, d);
    Ok(())
}

/// `LRN`: with `b = bias + alpha/size sum(x^2)` over neighbours,
/// `g b^-beta - 2 alpha beta / size x sum'(g x b^(-beta-1))` (Krizhevsky, Sutskever, Hinton 2012,
/// section 3.3, differentiated); `sum'` runs over the channels that have this one as neighbour.
pub(super) fn local_response(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let shape = t.shape(x)?;
    let size = int(node, "size", 1).max(1) as usize;
    let (alpha, beta) = (float(node, "alpha", 1e-4), float(node, "beta", 0.75));
    let channels = shape[1];
    let sees = |c: usize, k: usize| {
        k + (size - 1) / 2 >= c && k <= (c + size / 2).min(channels.saturating_sub(1))
    };
    let cells = |f: &dyn Fn(usize, usize) -> bool| -> Vec<f64> {
        (0..channels * channels).map(|i| f64::from(f(i / channels, i % channels))).collect()
    };
    // As (N, C, rest), so that the channels are next to last.
    let flat = [shape[0], channels, shape[2..].iter().product()];
    let (xf, gf) = (t.reshape(x, &shape, &flat), t.reshape(g, &shape, &flat));
    let square = t.op("Mul", &[&xf, &xf]);
    let near = cells(&|k, c| sees(c, k));
    let sums = contract(t, &square, &mut flat.clone(), 1, &near, channels);
    let sums = t.scale(&sums, alpha / size as f64);
    let bias = t.scalar(float(node, "bias", 1.0));
    let base = t.op("Add", &[&sums, &bias]);
    let power = t.scalar(-beta);
    let factor = t.op("Pow", &[&base, &power]);
    let direct = t.op("Mul", &[&gf, &factor]);
    let part = t.op("Mul", &[&direct, &xf]);
    let part = t.op("Div", &[&part, &base]);
    let back = contract(t, &part, &mut flat.clone(), 1, &cells(&sees), channels);
    let back = t.op("Mul", &[&back, &xf]);
    let back = t.scale(&back, 2.0 * alpha * beta / size as f64);
    let d = t.op("Sub", &[&direct, &back]);
    let d = t.reshape(&d, &flat, &shape);
    t.add(x, d);
    Ok(())
}

/// `Trilu`: the same triangle.
pub(super) fn trilu(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let mut inputs = vec![g.as_str()];
    inputs.extend(rest.iter().map(String::as_str));
    let upper = vec![("upper", Attribute::Int(int(node, "upper", 1)))];
    let d = t.op_with("Trilu", &inputs, upper);
    t.add(x, d);
    Ok(())
}

/// `ReverseSequence`: its own inverse.
pub(super) fn reverse_sequence(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, lengths]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let attributes = vec![
        ("batch_axis", Attribute::Int(int(node, "batch_axis", 1))),
        ("time_axis", Attribute::Int(int(node, "time_axis", 0))),
    ];
    let d = t.op_with("ReverseSequence", &[g, lengths], attributes);
    t.add(x, d);
    Ok(())
}

/// Channels and blocks of cells, moved back.
pub(super) fn depth_to_space(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let crd = super::builder::text(node, "mode", "DCR") == "CRD";
    blocks(t, node, grads, |x, b| {
        let c = x[1] / (b * b);
        let spread = vec![x[0], c, x[2], b, x[3], b];
        let perm = if crd { [0, 1, 3, 5, 2, 4] } else { [0, 3, 5, 1, 2, 4] };
        (spread, perm)
    })
}

/// `SpaceToDepth`
pub(super) fn space_to_depth(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    blocks(t, node, grads, |x, b| (vec![x[0], b, b, x[1], x[2] / b, x[3] / b], [0, 3, 4, 1, 5, 2]))
}

fn blocks(
    t: &mut Tape,
    node: &Node,
    grads: &[Option<String>],
    layout: impl Fn(&[usize], usize) -> (Vec<usize>, [usize; 6]),
) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let size = int(node, "blocksize", 1).max(1) as usize;
    let (spread, perm) = layout(&xs, size);
    let g = t.reshape(g, &ys, &spread);
    let d = t.transpose(&g, &perm);
    let moved: Vec<usize> = perm.iter().map(|&p| spread[p]).collect();
    let d = t.reshape(&d, &moved, &xs);
    t.add(x, d);
    Ok(())
}

/// `TopK`: the cotangent of each value goes to where it was.
pub(super) fn top_k(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let Some(places) = node.outputs.get(1).filter(|n| !n.is_empty()) else {
        return Err(t.unsupported(node, "its indices have no name"));
    };
    let shape = t.shape(x)?;
    let axis = axis_of(int(node, "axis", -1), shape.len());
    let d = scatter_add(t, &shape, places, g, axis);
    t.add(x, d);
    Ok(())
}

/// Zeros of a shape with `g` added at `indices` along an axis.
pub(super) fn scatter_add(
    t: &mut Tape,
    shape: &[usize],
    indices: &str,
    g: &str,
    axis: usize,
) -> String {
    let zeros = t.zeros(shape);
    let attributes = vec![
        ("axis", Attribute::Int(axis as i64)),
        ("reduction", Attribute::Text("add".to_string())),
    ];
    t.op_with("ScatterElements", &[&zeros, indices, g], attributes)
}

/// `GatherElements`
pub(super) fn gather_elements(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, indices]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let shape = t.shape(x)?;
    let axis = axis_of(int(node, "axis", 0), shape.len());
    let d = scatter_add(t, &shape, indices, g, axis);
    t.add(x, d);
    Ok(())
}

/// `ScatterElements` that replaces or adds.
pub(super) fn scatter_elements(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, indices, updates]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let axis = ("axis", Attribute::Int(int(node, "axis", 0)));
    let adds = joins(t, node)?;
    if t.is_live(x) {
        let d = if adds {
            g.clone()
        } else {
            let shape = t.shape(updates)?;
            let zeros = t.zeros(&shape);
            t.op_with("ScatterElements", &[g, indices, &zeros], vec![axis.clone()])
        };
        t.add(x, d);
    }
    if t.is_live(updates) {
        let d = t.op_with("GatherElements", &[g, indices], vec![axis]);
        t.add(updates, d);
    }
    Ok(())
}

/// `GatherND` without batch dimensions.
pub(super) fn gather_nd(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, indices]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    if int(node, "batch_dims", 0) != 0 {
        return Err(t.unsupported(node, "batch dimensions"));
    }
    let shape = t.shape(x)?;
    let zeros = t.zeros(&shape);
    let add = vec![("reduction", Attribute::Text("add".to_string()))];
    let d = t.op_with("ScatterND", &[&zeros, indices, g], add);
    t.add(x, d);
    Ok(())
}

/// `ScatterND` that replaces or adds.
pub(super) fn scatter_nd(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, indices, updates]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let adds = joins(t, node)?;
    if t.is_live(x) {
        let d = if adds {
            g.clone()
        } else {
            let shape = t.shape(updates)?;
            let zeros = t.zeros(&shape);
            t.op("ScatterND", &[g, indices, &zeros])
        };
        t.add(x, d);
    }
    if t.is_live(updates) {
        let d = t.op("GatherND", &[g, indices]);
        t.add(updates, d);
    }
    Ok(())
}

/// Whether a scatter adds; false when it replaces.
fn joins(t: &Tape, node: &Node) -> Result<bool, AutodiffError> {
    match super::builder::text(node, "reduction", "none") {
        "none" => Ok(false),
        "add" => Ok(true),
        _ => Err(t.unsupported(node, "a reduction by product, maximum or minimum")),
    }
}

/// `Gather` with computed indices: added where they point to, the axis moved to the front.
pub(super) fn gather_computed(
    t: &mut Tape,
    g: &str,
    (x, indices): (&str, &str),
    axis: usize,
) -> Result<String, AutodiffError> {
    let (xs, is) = (t.shape(x)?, t.shape(indices)?);
    let picks: usize = is.iter().product();
    let before: usize = xs[..axis].iter().product();
    let after: usize = xs[axis + 1..].iter().product();
    let out = [&xs[..axis], &is[..], &xs[axis + 1..]].concat();
    let g = t.reshape(g, &out, &[before, picks, after]);
    let g = t.transpose(&g, &[1, 0, 2]);
    let tuples = t.ints(&signed(&[picks, 1]));
    let tuples = t.op("Reshape", &[indices, &tuples]);
    let zeros = t.zeros(&[xs[axis], before, after]);
    let add = vec![("reduction", Attribute::Text("add".to_string()))];
    let d = t.op_with("ScatterND", &[&zeros, &tuples, &g], add);
    let d = t.transpose(&d, &[1, 0, 2]);
    Ok(t.reshape(&d, &[before, xs[axis], after], &xs))
}

/// Cells of one constant matrix: 16 Mi would take as long as the network.
const MATRIX_MAX: usize = 1 << 24;
