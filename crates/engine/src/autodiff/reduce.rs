//! Rules of the reductions.
//!
//! Owns the derivative of each; `ReduceMax` and `ReduceMin` share ties evenly, as PyTorch's
//! `amax` does. Called by the table in [`super`].

use super::activation::times_sign;
use super::builder::{FLOAT, axis_of, int};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};

type Done = Result<(), AutodiffError>;

/// What every rule here needs.
struct Reduced {
    x: String,
    /// Shape of `x`.
    shape: Vec<usize>,
    axes: Vec<usize>,
    /// Shape of the result with the axes kept as 1.
    kept: Vec<usize>,
    /// Cotangent in the shape `kept`.
    g: String,
    /// Result in the shape `kept`.
    y: String,
}

impl Reduced {
    /// Number of elements behind each result.
    fn count(&self) -> f64 {
        self.axes.iter().map(|&a| self.shape[a]).product::<usize>() as f64
    }
}

fn parts(
    t: &mut Tape,
    node: &Node,
    grads: &[Option<String>],
) -> Result<Option<Reduced>, AutodiffError> {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else {
        return Ok(None);
    };
    let shape = t.shape(x)?;
    let axes = match node.inputs.get(1).filter(|name| !name.is_empty()) {
        Some(name) => {
            let axes = t.constant_ints(name);
            axes.ok_or_else(|| t.unsupported(node, "the axes are computed"))?
        }
        None => Vec::new(),
    };
    let mut axes: Vec<usize> = axes.iter().map(|&a| axis_of(a, shape.len())).collect();
    if axes.is_empty() {
        // Over no axes each cell is a sum of its own.
        if int(node, "noop_with_empty_axes", 0) == 0 {
            axes = (0..shape.len()).collect();
        }
    }
    let kept: Vec<usize> =
        (0..shape.len()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
    let out = t.shape(&node.outputs[0])?;
    let g = t.reshape(g, &out, &kept);
    let y = t.reshape(&node.outputs[0], &out, &kept);
    Ok(Some(Reduced { x: x.clone(), shape, axes, kept, g, y }))
}

pub(super) fn sum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let d = t.expand(&r.g, &r.kept, &r.shape);
    t.add(&r.x, d);
    Ok(())
}

pub(super) fn mean(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let g = t.scale(&r.g, 1.0 / r.count());
    let d = t.expand(&g, &r.kept, &r.shape);
    t.add(&r.x, d);
    Ok(())
}

/// `2 x g`
pub(super) fn sum_square(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let g = t.scale(&r.g, 2.0);
    let d = t.op("Mul", &[&r.x, &g]);
    t.add(&r.x, d);
    Ok(())
}

/// `sign(x) g`
pub(super) fn l1(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let g = t.expand(&r.g, &r.kept, &r.shape);
    let d = times_sign(t, &g, &r.x);
    t.add(&r.x, d);
    Ok(())
}

/// `x g / y`, 0 where the norm is 0.
pub(super) fn l2(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let (zero, one) = (t.scalar(0.0), t.scalar(1.0));
    let positive = t.op("Greater", &[&r.y, &zero]);
    let safe = t.op("Where", &[&positive, &r.y, &one]);
    let g = t.op("Div", &[&r.g, &safe]);
    let d = t.op("Mul", &[&r.x, &g]);
    t.add(&r.x, d);
    Ok(())
}

/// `g / sum(x)`, from the result: `g e^-y`.
pub(super) fn log_sum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let minus = t.op("Neg", &[&r.y]);
    let inverse = t.op("Exp", &[&minus]);
    let g = t.op("Mul", &[&r.g, &inverse]);
    let d = t.expand(&g, &r.kept, &r.shape);
    t.add(&r.x, d);
    Ok(())
}

/// `g e^(x - y)`
pub(super) fn log_sum_exp(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let shifted = t.op("Sub", &[&r.x, &r.y]);
    let p = t.op("Exp", &[&shifted]);
    let d = t.op("Mul", &[&p, &r.g]);
    t.add(&r.x, d);
    Ok(())
}

/// `ReduceMax` and `ReduceMin`.
pub(super) fn extremum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    let hit = t.op("Equal", &[&r.x, &r.y]);
    let one = t.op_with("Cast", &[&hit], vec![("to", Attribute::Int(FLOAT))]);
    if r.axes.is_empty() {
        t.add(&r.x, r.g);
        return Ok(());
    }
    let count = t.reduce("ReduceSum", &one, &r.axes);
    let share = t.op("Div", &[&r.g, &count]);
    let d = t.op("Mul", &[&one, &share]);
    t.add(&r.x, d);
    Ok(())
}

/// The product of the others: `y / x`, but with one zero the product of the rest at its place,
/// and 0 with more.
pub(super) fn prod(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(r) = parts(t, node, grads)? else { return Ok(()) };
    if r.axes.is_empty() {
        t.add(&r.x, r.g);
        return Ok(());
    }
    let (zero, one) = (t.scalar(0.0), t.scalar(1.0));
    let empty = t.op("Equal", &[&r.x, &zero]);
    let safe = t.op("Where", &[&empty, &one, &r.x]);
    let rest = t.reduce("ReduceProd", &safe, &r.axes);
    let hit = t.op_with("Cast", &[&empty], vec![("to", Attribute::Int(FLOAT))]);
    let zeros = t.reduce("ReduceSum", &hit, &r.axes);
    // Zeros among the others: all of them less the own one.
    let others = t.op("Sub", &[&zeros, &hit]);
    let none = t.op("Less", &[&others, &one]);
    let g = t.op("Mul", &[&r.g, &rest]);
    let d = t.op("Div", &[&g, &safe]);
    let d = t.keep(&none, &d);
    t.add(&r.x, d);
    Ok(())
}
