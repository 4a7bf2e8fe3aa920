//! Activations that others define.
//!
//! Called by the table in [`super`] and by [`super::contrib`].

use super::Emit;
use crate::graph::Attribute;
use crate::reference::OpError;

type Done = Result<(), OpError>;

/// `Celu`: `alpha (e^(x / alpha) - 1)` below 0.
pub(super) fn celu(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let alpha = e.float("alpha", 1.0)?;
    let (alpha, zero) = (e.scalar(alpha), e.scalar(0.0));
    let inner = e.op("Div", &[&x, &alpha]);
    let bent = e.op("Elu", &[&inner]);
    let low = e.op("Mul", &[&bent, &alpha]);
    let below = e.op("Less", &[&x, &zero]);
    e.give(0, "Where", &[&below, &low, &x])
}

/// `Selu`: `gamma` times `Elu`.
pub(super) fn selu(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let alpha = Attribute::Float(e.float("alpha", 1.673_263_2)?);
    let gamma = e.float("gamma", 1.050_701)?;
    let bent = e.op_with("Elu", &[&x], vec![("alpha", alpha)]);
    let gamma = e.scalar(gamma);
    e.give(0, "Mul", &[&bent, &gamma])
}

/// `Mish`: `x tanh(ln(1 + e^x))`.
pub(super) fn mish(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let soft = e.op("Softplus", &[&x]);
    let gate = e.op("Tanh", &[&soft]);
    e.give(0, "Mul", &[&x, &gate])
}

/// `ThresholdedRelu`: nothing up to `alpha`.
pub(super) fn thresholded_relu(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let alpha = e.float("alpha", 1.0)?;
    let (alpha, zero) = (e.scalar(alpha), e.scalar(0.0));
    let above = e.op("Greater", &[&x, &alpha]);
    e.give(0, "Where", &[&above, &x, &zero])
}

/// `Shrink`: nothing within `lambd` of 0, moved by `bias` towards 0 beyond.
pub(super) fn shrink(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let (lambd, bias) = (e.float("lambd", 0.5)?, e.float("bias", 0.0)?);
    let (low, high) = (e.scalar(-lambd), e.scalar(lambd));
    let (bias, zero) = (e.scalar(bias), e.scalar(0.0));
    let up = e.op("Add", &[&x, &bias]);
    let down = e.op("Sub", &[&x, &bias]);
    let below = e.op("Less", &[&x, &low]);
    let above = e.op("Greater", &[&x, &high]);
    let upper = e.op("Where", &[&above, &down, &zero]);
    e.give(0, "Where", &[&below, &up, &upper])
}

/// `Swish`: `x sigmoid(alpha x)`.
pub(super) fn swish(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let alpha = e.float("alpha", 1.0)?;
    let gate = gate(e, &x, alpha);
    e.give(0, "Mul", &[&x, &gate])
}

/// `sigmoid(alpha x)`
pub(super) fn gate(e: &mut Emit, x: &str, alpha: f32) -> String {
    if alpha == 1.0 {
        return e.op("Sigmoid", &[x]);
    }
    let alpha = e.scalar(alpha);
    let scaled = e.op("Mul", &[x, &alpha]);
    e.op("Sigmoid", &[&scaled])
}
