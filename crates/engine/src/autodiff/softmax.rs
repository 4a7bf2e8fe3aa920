//! Rules of `Softmax` and `LogSoftmax` (opset 13 meaning: one axis).
//!
//! Called by the table in [`super`].

use super::builder::{axis_of, int};
use super::{AutodiffError, Tape};
use crate::graph::Node;

type Done = Result<(), AutodiffError>;

/// `y (g - sum(g y))`
pub(super) fn softmax(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(y)) = (grads.first(), node.outputs.first()) else { return Ok(()) };
    let axis = axis_of(int(node, "axis", -1), t.shape(y)?.len());
    let weighted = t.op("Mul", &[g, y]);
    let total = t.reduce("ReduceSum", &weighted, &[axis]);
    let centred = t.op("Sub", &[g, &total]);
    let d = t.op("Mul", &[y, &centred]);
    t.add(&node.inputs[0], d);
    Ok(())
}

/// `g - e^y sum(g)`
pub(super) fn log_softmax(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(y)) = (grads.first(), node.outputs.first()) else { return Ok(()) };
    let axis = axis_of(int(node, "axis", -1), t.shape(y)?.len());
    let total = t.reduce("ReduceSum", g, &[axis]);
    let p = t.op("Exp", &[y]);
    let p = t.op("Mul", &[&p, &total]);
    let d = t.op("Sub", &[g, &p]);
    t.add(&node.inputs[0], d);
    Ok(())
}
