//! The slope of the relative violation, by the chain rule.
//!
//! Owns the derivative of each operator. Where a formula takes the least of several parts, the
//! slope is that of the least; where a measure is 0, so is its slope. `floor` and `ceil` count as
//! the identity ("straight-through"): their true slope of 0 would show no way.

use proofmark_schema::relation::{Comparison, Function, Operator};

use super::measure::{greatest, opposite};
use super::{At, Expr, Truth};

/// Adds the slope of all that is broken.
pub(super) fn add(at: &At<'_>, out: &mut [f64]) {
    let all = at.all;
    for rule in &all.rules {
        if !rule.unexamined[at.row] {
            truth(at, &rule.truth, true, out);
        }
    }
    for group in &all.groups {
        let top = greatest(&group.coordinates, at.x);
        for &i in &group.coordinates {
            let wanted = if i == top { 1.0 } else { 0.0 };
            out[i] += sign(at.x[i] - wanted);
        }
    }
    let Some(limit) = all.cost_limit else { return };
    if all.spent(at.row, at.x) > limit {
        for (i, price) in all.prices.iter().enumerate() {
            let moved = at.x[i] - all.raw[at.row * all.dims + i];
            out[i] += price * sign(moved) / limit.max(1.0);
        }
    }
}

fn sign(v: f64) -> f64 {
    if v > 0.0 {
        1.0
    } else if v < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn truth(at: &At<'_>, formula: &Truth, wanted: bool, out: &mut [f64]) {
    let of = |formula: &Truth, wanted: bool| at.measure(formula, wanted, true);
    match formula {
        Truth::Compare(how, left, right) => {
            let how = if wanted { *how } else { opposite(*how) };
            compare(at, how, left, right, out);
        }
        Truth::Settled(_) => {}
        Truth::Not(inner) => truth(at, inner, !wanted, out),
        Truth::And(parts) if wanted => parts.iter().for_each(|p| truth(at, p, true, out)),
        Truth::Or(parts) if !wanted => parts.iter().for_each(|p| truth(at, p, false, out)),
        Truth::And(parts) | Truth::Or(parts) => {
            let mut nearest: Option<(f64, &Truth)> = None;
            for part in parts {
                let violation = of(part, wanted);
                if nearest.is_none_or(|(least, _)| violation < least) {
                    nearest = Some((violation, part));
                }
            }
            if let Some((_, part)) = nearest {
                truth(at, part, wanted, out);
            }
        }
        Truth::If(when, then, otherwise) if wanted => {
            either(at, (when, false), (then, true), out);
            if let Some(otherwise) = otherwise {
                either(at, (when, true), (otherwise, true), out);
            }
        }
        Truth::If(when, then, otherwise) => {
            let first = of(when, true) + of(then, false);
            let second = otherwise.as_ref().map(|o| of(when, false) + of(o, false));
            match otherwise.as_ref().filter(|_| second.is_some_and(|s| s < first)) {
                Some(otherwise) => {
                    truth(at, when, false, out);
                    truth(at, otherwise, false, out);
                }
                None => {
                    truth(at, when, true, out);
                    truth(at, then, false, out);
                }
            }
        }
    }
}

/// The slope of the lesser of two measures.
fn either(at: &At<'_>, a: (&Truth, bool), b: (&Truth, bool), out: &mut [f64]) {
    let of = |part: (&Truth, bool)| at.measure(part.0, part.1, true);
    let (formula, wanted) = if of(a) <= of(b) { a } else { b };
    truth(at, formula, wanted, out);
}

fn compare(at: &At<'_>, how: Comparison, left: &Expr, right: &Expr, out: &mut [f64]) {
    let (l, r) = (at.value(left), at.value(right));
    if !(l.is_finite() && r.is_finite()) {
        return;
    }
    let scale = l.abs().max(r.abs()).max(1.0);
    let slack = at.all.tolerance * scale;
    let gap = l - r;
    // How the violation changes with `l - r`.
    let side = match how {
        Comparison::Equal if gap.abs() > slack => sign(gap),
        Comparison::AtMost if gap > slack => 1.0,
        Comparison::AtLeast if -gap > slack => -1.0,
        Comparison::NotEqual if gap.abs() <= slack => -sign(gap),
        Comparison::Less if gap + slack >= 0.0 => 1.0,
        Comparison::Greater if slack - gap >= 0.0 => -1.0,
        _ => return,
    };
    expr(at, left, side / scale, out);
    expr(at, right, -side / scale, out);
}

/// Adds `weight` times the slope of an expression.
fn expr(at: &At<'_>, of: &Expr, weight: f64, out: &mut [f64]) {
    if weight == 0.0 || !weight.is_finite() {
        return;
    }
    match of {
        Expr::Number(_) | Expr::Fixed(_) => {}
        Expr::Free(i) => out[*i] += weight,
        Expr::Minus(inner) => expr(at, inner, -weight, out),
        Expr::Binary(operator, left, right) => {
            let (l, r) = (at.value(left), at.value(right));
            let (to_left, to_right) = match operator {
                Operator::Add => (1.0, 1.0),
                Operator::Subtract => (1.0, -1.0),
                Operator::Multiply => (r, l),
                Operator::Divide => (1.0 / r, -l / (r * r)),
                Operator::Power => {
                    let power = if l > 0.0 { l.powf(r) * l.ln() } else { 0.0 };
                    (if r == 0.0 { 0.0 } else { r * l.powf(r - 1.0) }, power)
                }
            };
            expr(at, left, weight * to_left, out);
            expr(at, right, weight * to_right, out);
        }
        Expr::Call(function, arguments) => call(at, *function, arguments, weight, out),
    }
}

fn call(at: &At<'_>, function: Function, arguments: &[Expr], weight: f64, out: &mut [f64]) {
    let values: Vec<f64> = arguments.iter().map(|a| at.value(a)).collect();
    let mut chosen = 0;
    for (i, v) in values.iter().enumerate() {
        let better = match function {
            Function::Min => *v < values[chosen],
            Function::Max => *v > values[chosen],
            _ => false,
        };
        if better {
            chosen = i;
        }
    }
    let v = values[chosen];
    let own = match function {
        Function::Min | Function::Max | Function::Floor | Function::Ceil => 1.0,
        Function::Abs => sign(v),
        Function::Sqrt => 0.5 / v.sqrt(),
        Function::Log => 1.0 / v,
        Function::Exp => v.exp(),
    };
    expr(at, &arguments[chosen], weight * own, out);
}
