//! Rules of the elementwise operators of several arguments, with broadcasting.
//!
//! Owns the derivative of each. Ties of `Max` and `Min` share the cotangent evenly, as
//! PyTorch's `maximum` does. `Clip` passes it at both bounds, where PyTorch 2.15 passes nothing:
//! clean pixels often lie on a bound and would seem immovable. Called by the table in [`super`].

use super::builder::FLOAT;
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};

type Done = Result<(), AutodiffError>;
/// Both inputs, the output's shape and the cotangent.
type Binary<'a> = (&'a str, &'a str, Vec<usize>, String);

/// What the rules of two inputs need; none without a cotangent.
fn binary<'a>(
    t: &Tape,
    node: &'a Node,
    grads: &[Option<String>],
) -> Result<Option<Binary<'a>>, AutodiffError> {
    let (Some(Some(g)), [a, b], Some(y)) =
        (grads.first(), node.inputs.as_slice(), node.outputs.first())
    else {
        return Ok(None);
    };
    Ok(Some((a, b, t.shape(y)?, g.clone())))
}

pub(super) fn add(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((a, b, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    t.add_broadcast(a, g.clone(), &shape)?;
    t.add_broadcast(b, g, &shape)
}

pub(super) fn sub(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((a, b, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    t.add_broadcast(a, g.clone(), &shape)?;
    if t.is_live(b) {
        let minus = t.op("Neg", &[&g]);
        t.add_broadcast(b, minus, &shape)?;
    }
    Ok(())
}

pub(super) fn mul(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((a, b, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    for (x, other) in [(a, b), (b, a)] {
        if t.is_live(x) {
            let d = t.op("Mul", &[&g, other]);
            t.add_broadcast(x, d, &shape)?;
        }
    }
    Ok(())
}

pub(super) fn div(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((a, b, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    let d = t.op("Div", &[&g, b]);
    t.add_broadcast(a, d.clone(), &shape)?;
    if t.is_live(b) {
        let d = t.op("Mul", &[&d, &node.outputs[0]]);
        let d = t.op("Neg", &[&d]);
        t.add_broadcast(b, d, &shape)?;
    }
    Ok(())
}

/// `e x^(e-1)`, and for an exponent that moves `y ln x` where `x` is positive.
pub(super) fn pow(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((x, p, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    if t.is_live(p) {
        let (zero, one) = (t.scalar(0.0), t.scalar(1.0));
        let positive = t.op("Greater", &[x, &zero]);
        let safe = t.op("Where", &[&positive, x, &one]);
        let log = t.op("Log", &[&safe]);
        let d = t.op("Mul", &[&log, &node.outputs[0]]);
        let d = t.op("Mul", &[&d, &g]);
        t.add_broadcast(p, d, &shape)?;
    }
    if !t.is_live(x) {
        return Ok(());
    }
    let exponents = t.constant_floats(p);
    let single = exponents.as_ref().filter(|e| e.len() == 1).map(|e| e[0]);
    let d = match single {
        Some(2.0) => {
            let double = t.scale(x, 2.0);
            t.op("Mul", &[&g, &double])
        }
        Some(0.0) => return Ok(()),
        Some(e) => {
            let less = t.scalar(e - 1.0);
            let power = t.op("Pow", &[x, &less]);
            let power = t.scale(&power, e);
            t.op("Mul", &[&g, &power])
        }
        None => {
            let one = t.scalar(1.0);
            let p = t.op_with("Cast", &[p], vec![("to", Attribute::Int(FLOAT))]);
            let less = t.op("Sub", &[&p, &one]);
            let power = t.op("Pow", &[x, &less]);
            let power = t.op("Mul", &[&power, &p]);
            t.op("Mul", &[&g, &power])
        }
    };
    t.add_broadcast(x, d, &shape)
}

/// `Mod`: one for the dividend; the divisor must be fixed.
pub(super) fn modulo(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some((a, b, shape, g)) = binary(t, node, grads)? else { return Ok(()) };
    if t.is_live(b) {
        return Err(t.unsupported(node, "the divisor depends on the inputs"));
    }
    t.add_broadcast(a, g, &shape)
}

pub(super) fn sum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    spread(t, node, grads, 1.0)
}

pub(super) fn mean(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    spread(t, node, grads, 1.0 / node.inputs.len().max(1) as f64)
}

fn spread(t: &mut Tape, node: &Node, grads: &[Option<String>], factor: f64) -> Done {
    let Some(Some(g)) = grads.first() else { return Ok(()) };
    let shape = t.shape(&node.outputs[0])?;
    let g = t.scale(g, factor);
    for input in &node.inputs {
        t.add_broadcast(input, g.clone(), &shape)?;
    }
    Ok(())
}

/// `Max` and `Min`: the cotangent goes to the arguments equal to the result, in equal parts.
pub(super) fn extremum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(Some(g)) = grads.first() else { return Ok(()) };
    let y = &node.outputs[0];
    if let [x] = node.inputs.as_slice() {
        t.add(x, g.clone());
        return Ok(());
    }
    let shape = t.shape(y)?;
    let mut hits = Vec::new();
    let mut count: Option<String> = None;
    for input in &node.inputs {
        let hit = t.op("Equal", &[input, y]);
        let one = t.op_with("Cast", &[&hit], vec![("to", Attribute::Int(FLOAT))]);
        count = Some(match count {
            Some(sum) => t.op("Add", &[&sum, &one]),
            None => one,
        });
        hits.push(hit);
    }
    let Some(count) = count else { return Ok(()) };
    let share = t.op("Div", &[g, &count]);
    for (input, hit) in node.inputs.iter().zip(hits) {
        if t.is_live(input) {
            let d = t.keep(&hit, &share);
            t.add_broadcast(input, d, &shape)?;
        }
    }
    Ok(())
}

/// Passes inside the bounds, both included.
pub(super) fn clip(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    if !t.is_live(x) {
        return Ok(());
    }
    let bound = |i: usize| node.inputs.get(i).filter(|name| !name.is_empty());
    let low = bound(1).map(|b| t.op("GreaterOrEqual", &[x, b]));
    let high = bound(2).map(|b| t.op("LessOrEqual", &[x, b]));
    let inside = match (low, high) {
        (Some(low), Some(high)) => t.op("And", &[&low, &high]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            t.add(x, g.clone());
            return Ok(());
        }
    };
    let d = t.keep(&inside, g);
    t.add(x, d);
    Ok(())
}

/// `Where`
pub(super) fn select(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [c, a, b]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let shape = t.shape(&node.outputs[0])?;
    let zero = t.scalar(0.0);
    if t.is_live(a) {
        let d = t.op("Where", &[c, g, &zero]);
        t.add_broadcast(a, d, &shape)?;
    }
    if t.is_live(b) {
        let d = t.op("Where", &[c, &zero, g]);
        t.add_broadcast(b, d, &shape)?;
    }
    Ok(())
}
