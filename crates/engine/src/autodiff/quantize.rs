//! Straight-through rules of quantised arithmetic.
//!
//! Rounding has a derivative of 0 wherever it has one, so the true gradient says nothing. These
//! rules take rounding for the identity and keep saturation (Bengio, Leonard, Courville:
//! Estimating or Propagating Gradients Through Stochastic Neurons, 2013): an ESTIMATE, which
//! [`super::estimated`] puts into words for the report. The cotangent of an integer is per unit of
//! that integer. Called by the table in [`super`].

use super::builder::{FLOAT, axis_of, int};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};
use crate::value::{DType, Tensor, Value};

type Done = Result<(), AutodiffError>;

/// `g / scale` where `x` is not saturated.
pub(super) fn quantize(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, scale, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let signed = t.dtype(&node.outputs[0]) == Some(DType::I8);
    let (low, high) = if signed { (-128.0, 127.0) } else { (0.0, 255.0) };
    let scale = parameter(t, node, scale, x)?;
    let zero = match rest.first().filter(|z| !z.is_empty()) {
        Some(zero) => parameter(t, node, zero, x)?,
        None => t.scalar(0.0),
    };
    let q = t.op("Div", &[x, &scale]);
    let q = t.op("Add", &[&q, &zero]);
    // What rounds to the last level is not saturated.
    let (low, high) = (t.scalar(low - 0.5), t.scalar(high + 0.5));
    let above = t.op("GreaterOrEqual", &[&q, &low]);
    let below = t.op("LessOrEqual", &[&q, &high]);
    let inside = t.op("And", &[&above, &below]);
    let d = t.op("Div", &[g, &scale]);
    let d = t.keep(&inside, &d);
    t.add(x, d);
    Ok(())
}

/// `g scale`
pub(super) fn dequantize(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, scale, ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    if t.is_live(x) {
        let scale = parameter(t, node, scale, x)?;
        let d = t.op("Mul", &[g, &scale]);
        t.add(x, d);
    }
    Ok(())
}

/// `g / scale`; the scale itself, which follows the data's range, is held.
pub(super) fn dynamic(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let scale = node.outputs.get(1).filter(|s| !s.is_empty());
    let Some(scale) = scale else { return Err(t.unsupported(node, "its scale has no name")) };
    let d = t.op("Div", &[g, scale]);
    t.add(x, d);
    Ok(())
}

/// `MatMulInteger`: the product of what lies above the zero points.
pub(super) fn matmul_integer(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [a, b, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let b = weights(t, node, b, rest.get(1), false)?;
    product(t, node, (a, &b), g)
}

/// `ConvInteger`
pub(super) fn conv_integer(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, w, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let w = weights(t, node, w, rest.get(1), true)?;
    convolution(t, node, (x, &w), g)
}

/// `QLinearMatMul`: scaled, and nothing through what is saturated.
pub(super) fn qlinear_matmul(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [a, sa, _, b, sb, zb, sy, ..]) = (grads.first(), node.inputs.as_slice())
    else {
        return Ok(());
    };
    let g = unsaturated(t, node, g);
    let g = rescaled(t, node, &g, (sa, sb, sy), None)?;
    let b = weights(t, node, b, Some(zb), false)?;
    product(t, node, (a, &b), &g)
}

/// `QLinearConv`
pub(super) fn qlinear_conv(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, sx, _, w, sw, zw, sy, ..]) = (grads.first(), node.inputs.as_slice())
    else {
        return Ok(());
    };
    let rank = t.shape(&node.outputs[0])?.len();
    let g = unsaturated(t, node, g);
    let g = rescaled(t, node, &g, (sx, sw, sy), Some(rank))?;
    let w = weights(t, node, w, Some(zw), true)?;
    convolution(t, node, (x, &w), &g)
}

/// A scale or zero point as a float that broadcasts against `x`.
fn parameter(t: &mut Tape, node: &Node, name: &str, x: &str) -> Result<String, AutodiffError> {
    let (own, shape) = (t.shape(name)?, t.shape(x)?);
    if int(node, "block_size", 0) != 0 {
        return Err(t.unsupported(node, "scales per block"));
    }
    let mut to = vec![];
    if own.iter().product::<usize>() != 1 {
        to = vec![1; shape.len()];
        let axis = axis_of(int(node, "axis", 1), shape.len());
        if let Some(size) = to.get_mut(axis) {
            *size = own[0];
        }
    }
    let value = match t.constant_floats_of_any(name) {
        Some(v) => t.floats(&to, v.iter().map(|&v| v as f32).collect()),
        None => {
            let float = t.op_with("Cast", &[name], vec![("to", Attribute::Int(FLOAT))]);
            t.reshape(&float, &own, &to)
        }
    };
    Ok(value)
}

/// Integer weights less their zero points, as a float constant.
fn weights(
    t: &mut Tape,
    node: &Node,
    name: &str,
    zero: Option<&String>,
    leading: bool,
) -> Result<String, AutodiffError> {
    if t.is_live(name) {
        return Err(t.unsupported(node, "both operands depend on the inputs"));
    }
    let shape = t.shape(name)?;
    let Some(data) = t.constant_floats_of_any(name) else {
        return Err(t.unsupported(node, "its weights are computed"));
    };
    let zero = match zero.filter(|z| !z.is_empty()) {
        None => vec![0.0],
        Some(z) => match t.constant_floats_of_any(z) {
            Some(z) => z,
            None => return Err(t.unsupported(node, "its zero point is computed")),
        },
    };
    let last = shape.last().copied().unwrap_or(1).max(1);
    let after: usize = shape.iter().skip(1).product::<usize>().max(1);
    let place = |i: usize| match (zero.len(), leading) {
        (1, _) => 0,
        (_, true) => i / after,
        (_, false) => i % last,
    };
    let zero_of = |i: usize| zero.get(place(i)).copied().unwrap_or(0.0);
    let data = data.iter().enumerate().map(|(i, v)| (v - zero_of(i)) as f32).collect();
    let value = Tensor::new(shape, data).map(Value::F32);
    let value = value.ok_or_else(|| t.unsupported(node, "weights that do not fill their shape"))?;
    Ok(t.constant(value))
}

/// `g` where the result is neither the lowest nor the highest integer.
fn unsaturated(t: &mut Tape, node: &Node, g: &str) -> String {
    let y = &node.outputs[0];
    let (low, high) = if t.dtype(y) == Some(DType::I8) { (-128.0, 127.0) } else { (0.0, 255.0) };
    let y = t.op_with("Cast", &[y], vec![("to", Attribute::Int(FLOAT))]);
    let (low, high) = (t.scalar(low), t.scalar(high));
    let above = t.op("Greater", &[&y, &low]);
    let below = t.op("Less", &[&y, &high]);
    let inside = t.op("And", &[&above, &below]);
    t.keep(&inside, g)
}

/// `g a b / y`, `b` per column, or per channel of a tensor of that rank.
fn rescaled(
    t: &mut Tape,
    node: &Node,
    g: &str,
    (a, b, y): (&str, &str, &str),
    channels_of: Option<usize>,
) -> Result<String, AutodiffError> {
    let floats = |name: &str| t.constant_floats_of_any(name);
    let (Some(a), Some(b), Some(y)) = (floats(a), floats(b), floats(y)) else {
        return Err(t.unsupported(node, "its scales are computed"));
    };
    let (Some(a), Some(y)) = (a.first(), y.first()) else { return Ok(g.to_string()) };
    let factors: Vec<f32> = b.iter().map(|b| (a * b / y) as f32).collect();
    let shape = match (factors.len(), channels_of) {
        (1, _) => vec![],
        (n, None) => vec![n],
        (n, Some(rank)) => {
            let mut shape = vec![1; rank];
            if let Some(size) = shape.get_mut(1) {
                *size = n;
            }
            shape
        }
    };
    let factors = t.floats(&shape, factors);
    Ok(t.op("Mul", &[g, &factors]))
}

fn product(t: &mut Tape, node: &Node, (a, b): (&str, &str), g: &str) -> Done {
    let plain = plain(node, "MatMul", (a, b));
    super::linear::matmul(t, &plain, &[Some(g.to_string())])
}

fn convolution(t: &mut Tape, node: &Node, (x, w): (&str, &str), g: &str) -> Done {
    let plain = plain(node, "Conv", (x, w));
    super::conv::conv(t, &plain, &[Some(g.to_string())])
}

/// The float operator behind a quantised one.
fn plain(node: &Node, op: &str, (a, b): (&str, &str)) -> Node {
    Node { op: op.to_string(), inputs: vec![a.to_string(), b.to_string()], ..node.clone() }
}
