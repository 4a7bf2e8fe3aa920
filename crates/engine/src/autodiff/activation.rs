//! Rules of the elementwise functions of one argument.
//!
//! Owns the derivative of each; kinks follow PyTorch (`relu'(0) = 0`). Called by the table in
//! [`super`].

use super::builder::{float, text};
use super::{AutodiffError, Tape};
use crate::graph::Node;

type Done = Result<(), AutodiffError>;

/// The node's input, output and cotangent, when the input wants one.
fn parts(t: &Tape, node: &Node, grads: &[Option<String>]) -> Option<(String, String, String)> {
    let g = grads.first()?.clone()?;
    let x = node.inputs.first()?.clone();
    let y = node.outputs.first()?.clone();
    t.is_live(&x).then_some((x, y, g))
}

/// Defines a rule from an expression for the cotangent of `x`.
macro_rules! unary {
    (
        $(#[$doc:meta])*
        $name:ident, |$t:ident, $node:ident, $x:ident, $y:ident, $g:ident| $e:expr
    ) => {
        $(#[$doc])*
        pub(super) fn $name($t: &mut Tape, $node: &Node, grads: &[Option<String>]) -> Done {
            if let Some(($x, $y, $g)) = parts($t, $node, grads) {
                let _ = (&$y, $node);
                let dx = $e;
                $t.add(&$x, dx);
            }
            Ok(())
        }
    };
}

unary!(neg, |t, node, x, y, g| t.op("Neg", &[&g]));
unary!(
    /// `x > 0`; read from the output, so that the input need not be kept.
    relu, |t, node, x, y, g| {
        let zero = t.scalar(0.0);
        let on = t.op("Greater", &[&y, &zero]);
        t.keep(&on, &g)
    }
);
unary!(leaky_relu, |t, node, x, y, g| {
    let slope = float(node, "alpha", 0.01);
    let low = t.scale(&g, slope);
    branch(t, &x, 0.0, &g, &low)
});
unary!(thresholded_relu, |t, node, x, y, g| {
    let alpha = t.scalar(float(node, "alpha", 1.0));
    let on = t.op("Greater", &[&x, &alpha]);
    t.keep(&on, &g)
});
unary!(
    /// Below zero `y = alpha (e^x - 1)`, so the derivative is `y + alpha`.
    elu, |t, node, x, y, g| {
        let low = shifted(t, &y, float(node, "alpha", 1.0));
        let low = t.op("Mul", &[&g, &low]);
        branch(t, &x, 0.0, &g, &low)
    }
);
unary!(celu, |t, node, x, y, g| {
    let alpha = float(node, "alpha", 1.0);
    let scaled = t.scale(&y, 1.0 / alpha);
    let low = shifted(t, &scaled, 1.0);
    let low = t.op("Mul", &[&g, &low]);
    branch(t, &x, 0.0, &g, &low)
});
unary!(selu, |t, node, x, y, g| {
    let alpha = float(node, "alpha", 1.673_263_192_176_818_8);
    let gamma = float(node, "gamma", 1.050_701_022_148_132_3);
    let low = shifted(t, &y, gamma * alpha);
    let low = t.op("Mul", &[&g, &low]);
    let high = t.scale(&g, gamma);
    branch(t, &x, 0.0, &high, &low)
});
unary!(softplus, |t, node, x, y, g| {
    let s = t.op("Sigmoid", &[&x]);
    t.op("Mul", &[&g, &s])
});
unary!(
    /// `1 / (1 + |x|)^2`
    softsign, |t, node, x, y, g| {
        let a = t.op("Abs", &[&x]);
        let d = shifted(t, &a, 1.0);
        let d = t.op("Mul", &[&d, &d]);
        t.op("Div", &[&g, &d])
    }
);
unary!(hard_sigmoid, |t, node, x, y, g| {
    let (zero, one) = (t.scalar(0.0), t.scalar(1.0));
    let above = t.op("Greater", &[&y, &zero]);
    let below = t.op("Less", &[&y, &one]);
    let inside = t.op("And", &[&above, &below]);
    let scaled = t.scale(&g, float(node, "alpha", 0.2));
    t.keep(&inside, &scaled)
});
unary!(
    /// 0 below -3, `x/3 + 1/2` up to 3, then 1.
    hard_swish, |t, node, x, y, g| {
        let third = t.scale(&x, 1.0 / 3.0);
        let slope = shifted(t, &third, 0.5);
        let middle = t.op("Mul", &[&g, &slope]);
        let upper = branch(t, &x, 3.0, &g, &middle);
        let low = t.scalar(-3.0);
        let on = t.op("Greater", &[&x, &low]);
        t.keep(&on, &upper)
    }
);
unary!(
    /// `y (1 - y)`
    sigmoid, |t, node, x, y, g| {
        let one = t.scalar(1.0);
        let rest = t.op("Sub", &[&one, &y]);
        let d = t.op("Mul", &[&y, &rest]);
        t.op("Mul", &[&g, &d])
    }
);
unary!(
    /// `1 - y^2`
    tanh, |t, node, x, y, g| {
        let one = t.scalar(1.0);
        let square = t.op("Mul", &[&y, &y]);
        let d = t.op("Sub", &[&one, &square]);
        t.op("Mul", &[&g, &d])
    }
);
unary!(
    /// `x tanh(softplus(x))`
    mish, |t, node, x, y, g| {
        let sp = t.op("Softplus", &[&x]);
        let th = t.op("Tanh", &[&sp]);
        let s = t.op("Sigmoid", &[&x]);
        let one = t.scalar(1.0);
        let square = t.op("Mul", &[&th, &th]);
        let rest = t.op("Sub", &[&one, &square]);
        let rest = t.op("Mul", &[&rest, &s]);
        let rest = t.op("Mul", &[&rest, &x]);
        let d = t.op("Add", &[&th, &rest]);
        t.op("Mul", &[&g, &d])
    }
);
unary!(
    /// `2/sqrt(pi) e^(-x^2)`
    erf, |t, node, x, y, g| {
        let bell = bell(t, &x, -1.0);
        let d = t.scale(&bell, std::f64::consts::FRAC_2_SQRT_PI);
        t.op("Mul", &[&g, &d])
    }
);
unary!(gelu, |t, node, x, y, g| {
    let d = if text(node, "approximate", "none") == "tanh" {
        gelu_tanh(t, &x)
    } else {
        gelu_exact(t, &x)
    };
    t.op("Mul", &[&g, &d])
});
unary!(exp, |t, node, x, y, g| t.op("Mul", &[&g, &y]));
unary!(log, |t, node, x, y, g| t.op("Div", &[&g, &x]));
unary!(sqrt, |t, node, x, y, g| {
    let half = t.scale(&g, 0.5);
    t.op("Div", &[&half, &y])
});
unary!(reciprocal, |t, node, x, y, g| {
    let square = t.op("Mul", &[&y, &y]);
    let d = t.op("Mul", &[&g, &square]);
    t.op("Neg", &[&d])
});
unary!(sin, |t, node, x, y, g| {
    let c = t.op("Cos", &[&x]);
    t.op("Mul", &[&g, &c])
});
unary!(cos, |t, node, x, y, g| {
    let s = t.op("Sin", &[&x]);
    let d = t.op("Mul", &[&g, &s]);
    t.op("Neg", &[&d])
});
unary!(
    /// Written without `Sign`: rten 0.27 gives `Sign(0) = 1`.
    abs, |t, node, x, y, g| times_sign(t, &g, &x)
);

unary!(
    /// `1 + y^2`
    tan, |t, node, x, y, g| {
        let square = t.op("Mul", &[&y, &y]);
        let d = shifted(t, &square, 1.0);
        t.op("Mul", &[&g, &d])
    }
);
unary!(
    /// `1 / sqrt(1 - x^2)`
    asin, |t, node, x, y, g| over_root(t, &g, &x, -1.0, 1.0)
);
unary!(acos, |t, node, x, y, g| {
    let d = over_root(t, &g, &x, -1.0, 1.0);
    t.op("Neg", &[&d])
});
unary!(
    /// `1 / (1 + x^2)`
    atan, |t, node, x, y, g| {
        let square = t.op("Mul", &[&x, &x]);
        let d = shifted(t, &square, 1.0);
        t.op("Div", &[&g, &d])
    }
);
unary!(sinh, |t, node, x, y, g| {
    let [up, down] = exponentials(t, &x);
    let d = t.op("Add", &[&up, &down]);
    t.op("Mul", &[&g, &d])
});
unary!(cosh, |t, node, x, y, g| {
    let [up, down] = exponentials(t, &x);
    let d = t.op("Sub", &[&up, &down]);
    t.op("Mul", &[&g, &d])
});
unary!(
    /// `1 / sqrt(x^2 + 1)`
    asinh, |t, node, x, y, g| over_root(t, &g, &x, 1.0, 1.0)
);
unary!(
    /// `1 / sqrt(x^2 - 1)`
    acosh, |t, node, x, y, g| over_root(t, &g, &x, 1.0, -1.0)
);
unary!(
    /// `1 / (1 - x^2)`
    atanh, |t, node, x, y, g| {
        let square = t.op("Mul", &[&x, &x]);
        let minus = t.op("Neg", &[&square]);
        let d = shifted(t, &minus, 1.0);
        t.op("Div", &[&g, &d])
    }
);

/// `g / sqrt(factor x^2 + by)`
fn over_root(t: &mut Tape, g: &str, x: &str, factor: f64, by: f64) -> String {
    let square = t.op("Mul", &[x, x]);
    let scaled = t.scale(&square, factor);
    let inner = shifted(t, &scaled, by);
    let root = t.op("Sqrt", &[&inner]);
    t.op("Div", &[g, &root])
}

/// `e^x / 2` and `e^-x / 2`
fn exponentials(t: &mut Tape, x: &str) -> [String; 2] {
    let minus = t.op("Neg", &[x]);
    let (up, down) = (t.op("Exp", &[x]), t.op("Exp", &[&minus]));
    [t.scale(&up, 0.5), t.scale(&down, 0.5)]
}

/// `x > 0` passes, else `slope * x`; the slope may want a cotangent too.
pub(super) fn prelu(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, slope, ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let shape = t.shape(x)?;
    if t.is_live(x) {
        let low = t.op("Mul", &[g, slope]);
        let dx = branch(t, x, 0.0, g, &low);
        t.add(x, dx);
    }
    if t.is_live(slope) {
        let zero = t.scalar(0.0);
        let low = t.op("Min", &[x, &zero]);
        let d = t.op("Mul", &[g, &low]);
        t.add_broadcast(slope, d, &shape)?;
    }
    Ok(())
}

/// `g` times the sign of `x`, 0 at 0.
pub(super) fn times_sign(t: &mut Tape, g: &str, x: &str) -> String {
    let zero = t.scalar(0.0);
    let minus = t.op("Neg", &[g]);
    let below = t.op("Less", &[x, &zero]);
    let lower = t.keep(&below, &minus);
    let above = t.op("Greater", &[x, &zero]);
    t.op("Where", &[&above, g, &lower])
}

/// `high` where `x > at`, else `low`.
fn branch(t: &mut Tape, x: &str, at: f64, high: &str, low: &str) -> String {
    let at = t.scalar(at);
    let above = t.op("Greater", &[x, &at]);
    t.op("Where", &[&above, high, low])
}

fn shifted(t: &mut Tape, x: &str, by: f64) -> String {
    let by = t.scalar(by);
    t.op("Add", &[x, &by])
}

/// `e^(factor x^2)`
fn bell(t: &mut Tape, x: &str, factor: f64) -> String {
    let square = t.op("Mul", &[x, x]);
    let scaled = t.scale(&square, factor);
    t.op("Exp", &[&scaled])
}

/// `Phi(x) + x phi(x)`
fn gelu_exact(t: &mut Tape, x: &str) -> String {
    let arg = t.scale(x, std::f64::consts::FRAC_1_SQRT_2);
    let erf = t.op("Erf", &[&arg]);
    let half = t.scale(&erf, 0.5);
    let cdf = shifted(t, &half, 0.5);
    let bell = bell(t, x, -0.5);
    let pdf = t.scale(&bell, 1.0 / (2.0 * std::f64::consts::PI).sqrt());
    let rest = t.op("Mul", &[x, &pdf]);
    t.op("Add", &[&cdf, &rest])
}

/// Derivative of `x/2 (1 + tanh(k (x + 0.044715 x^3)))` with `k = sqrt(2/pi)`.
fn gelu_tanh(t: &mut Tape, x: &str) -> String {
    const CUBIC: f64 = 0.044_715;
    let k = (2.0 / std::f64::consts::PI).sqrt();
    let square = t.op("Mul", &[x, x]);
    let inner = t.scale(&square, k * CUBIC);
    let inner = shifted(t, &inner, k);
    let arg = t.op("Mul", &[x, &inner]);
    let th = t.op("Tanh", &[&arg]);
    let half = t.scale(&th, 0.5);
    let half = shifted(t, &half, 0.5);
    let one = t.scalar(1.0);
    let th2 = t.op("Mul", &[&th, &th]);
    let sech2 = t.op("Sub", &[&one, &th2]);
    let slope = t.scale(&square, 3.0 * k * CUBIC);
    let slope = shifted(t, &slope, k);
    let rest = t.op("Mul", &[&sech2, &slope]);
    let rest = t.op("Mul", &[&rest, x]);
    let rest = t.scale(&rest, 0.5);
    t.op("Add", &[&half, &rest])
}
