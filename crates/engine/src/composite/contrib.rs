//! What ONNX Runtime's optimiser fuses, unfused.
//!
//! Owns the definitions of those operators of `com.microsoft` that files hold often; others are
//! refused by name. Called by the table in [`super`].

use super::bend::gate;
use super::{Attributes, Emit};
use crate::graph::{Attribute, Node};
use crate::reference::OpError;
use crate::reference::op::wrong;

type Done = Result<(), OpError>;

/// An operator that `ai.onnx` has by the same name and meaning.
pub(super) fn same(e: &mut Emit) -> Done {
    let node = Node { domain: String::new(), ..e.node.clone() };
    e.nodes.push(node);
    Ok(())
}

/// `Gelu`, by the error function.
pub(super) fn gelu(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let y = exact_gelu(e, &x);
    e.give(0, "Identity", &[&y])
}

/// `BiasGelu`
pub(super) fn bias_gelu(e: &mut Emit) -> Done {
    let (x, b) = (e.input(0)?, e.input(1)?);
    let x = e.op("Add", &[&x, &b]);
    let y = exact_gelu(e, &x);
    e.give(0, "Identity", &[&y])
}

fn exact_gelu(e: &mut Emit, x: &str) -> String {
    let root = e.scalar(std::f32::consts::FRAC_1_SQRT_2);
    let arg = e.op("Mul", &[x, &root]);
    let erf = e.op("Erf", &[&arg]);
    let (one, half) = (e.scalar(1.0), e.scalar(0.5));
    let sum = e.op("Add", &[&erf, &one]);
    let product = e.op("Mul", &[x, &sum]);
    e.op("Mul", &[&product, &half])
}

/// `FastGelu`, by the hyperbolic tangent, with an optional bias.
pub(super) fn fast_gelu(e: &mut Emit) -> Done {
    let mut x = e.input(0)?;
    if let Some(b) = e.optional(1) {
        x = e.op("Add", &[&x, &b]);
    }
    let square = e.op("Mul", &[&x, &x]);
    let (cubic, linear) = (e.scalar(0.035_677_41), e.scalar(0.797_884_6));
    let inner = e.op("Mul", &[&square, &cubic]);
    let inner = e.op("Add", &[&inner, &linear]);
    let arg = e.op("Mul", &[&x, &inner]);
    let th = e.op("Tanh", &[&arg]);
    let (one, half) = (e.scalar(1.0), e.scalar(0.5));
    let sum = e.op("Add", &[&th, &one]);
    let product = e.op("Mul", &[&x, &sum]);
    e.give(0, "Mul", &[&product, &half])
}

/// `QuickGelu`: `x sigmoid(alpha x)`.
pub(super) fn quick_gelu(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let alpha = e.float("alpha", 1.702)?;
    let gate = gate(e, &x, alpha);
    e.give(0, "Mul", &[&x, &gate])
}

/// `SimplifiedLayerNormalization`: by the root mean square.
pub(super) fn simplified_norm(e: &mut Emit) -> Done {
    if e.int("axis", -1)? != -1 {
        return Err(e.refuse("another axis than the last"));
    }
    let (x, scale) = (e.input(0)?, e.input(1)?);
    let eps = e.float("epsilon", 1e-5)?;
    let normal = e.normalised(&x, &[-1], eps, false);
    e.give(0, "Mul", &[&normal, &scale])
}

/// `SkipLayerNormalization`: of the sum of two inputs and a bias.
pub(super) fn skip_norm(e: &mut Emit) -> Done {
    let sum = skip_sum(e, 4)?;
    let (gamma, beta) = (e.input(2)?, e.optional(3));
    let eps = e.float("epsilon", 1e-12)?;
    let normal = e.normalised(&sum, &[-1], eps, true);
    match beta {
        Some(beta) => {
            let scaled = e.op("Mul", &[&normal, &gamma]);
            e.give(0, "Add", &[&scaled, &beta])
        }
        None => e.give(0, "Mul", &[&normal, &gamma]),
    }
}

/// `SkipSimplifiedLayerNormalization`
pub(super) fn skip_simplified_norm(e: &mut Emit) -> Done {
    let sum = skip_sum(e, 3)?;
    let gamma = e.input(2)?;
    let eps = e.float("epsilon", 1e-12)?;
    let normal = e.normalised(&sum, &[-1], eps, false);
    e.give(0, "Mul", &[&normal, &gamma])
}

/// The sum, which is output 3 too.
fn skip_sum(e: &mut Emit, bias: usize) -> Result<String, OpError> {
    if e.wants(1) || e.wants(2) {
        return Err(e.refuse("giving mean or deviation"));
    }
    let (x, skip) = (e.input(0)?, e.input(1)?);
    let mut sum = e.op("Add", &[&x, &skip]);
    if let Some(b) = e.optional(bias) {
        sum = e.op("Add", &[&sum, &b]);
    }
    if e.wants(3) {
        e.give(3, "Identity", &[&sum])?;
    }
    Ok(sum)
}

/// `FusedMatMul`: with a factor and swapped last axes, for operands of two dimensions or more.
pub(super) fn fused_matmul(e: &mut Emit) -> Done {
    if e.int("transBatchA", 0)? != 0 || e.int("transBatchB", 0)? != 0 {
        return Err(e.refuse("transposed batches"));
    }
    let mut sides = [e.input(0)?, e.input(1)?];
    for (x, name) in sides.iter_mut().zip(["transA", "transB"]) {
        if e.int(name, 0)? != 0 {
            let rank = e.rank(x).ok_or_else(|| e.refuse("swapping axes of an undeclared rank"))?;
            let mut perm: Vec<i64> = (0..rank as i64).collect();
            if rank >= 2 {
                perm.swap(rank - 2, rank - 1);
            }
            *x = e.transpose(x, &perm);
        }
    }
    let alpha = e.float("alpha", 1.0)?;
    let [a, b] = &sides;
    if alpha == 1.0 {
        return e.give(0, "MatMul", &[a, b]);
    }
    let product = e.op("MatMul", &[a, b]);
    let alpha = e.scalar(alpha);
    e.give(0, "Mul", &[&product, &alpha])
}

/// `FusedConv`: a convolution, maybe a sum, and an activation.
pub(super) fn fused_conv(e: &mut Emit) -> Done {
    let with = e.attributes(&["kernel_shape", "strides", "dilations", "pads", "auto_pad", "group"]);
    let mut inputs = vec![e.input(0)?, e.input(1)?];
    inputs.extend(e.optional(2));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let mut y = e.op_with("Conv", &inputs, with);
    if let Some(z) = e.optional(3) {
        y = e.op("Add", &[&y, &z]);
    }
    activated(e, &y, "activation_params")
}

/// `FusedGemm`
pub(super) fn fused_gemm(e: &mut Emit) -> Done {
    let with = e.attributes(&["alpha", "beta", "transA", "transB"]);
    let mut inputs = vec![e.input(0)?, e.input(1)?];
    inputs.extend(e.optional(2));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let y = e.op_with("Gemm", &inputs, with);
    activated(e, &y, "activation_params")
}

fn activated(e: &mut Emit, x: &str, parameters: &str) -> Done {
    let kind = e.text("activation", "")?;
    let given: Vec<f32> = match e.node.attributes.get(parameters) {
        Some(Attribute::Floats(v)) => v.clone(),
        _ => ["alpha", "beta"]
            .iter()
            .filter_map(|n| match e.node.attributes.get(&format!("activation_{n}")) {
                Some(Attribute::Float(v)) => Some(*v),
                _ => None,
            })
            .collect(),
    };
    let at = |i: usize, default: f32| Attribute::Float(given.get(i).copied().unwrap_or(default));
    let (op, with): (&str, Attributes) = match kind.as_str() {
        "" => ("Identity", Attributes::new()),
        "Relu" | "Tanh" | "Sigmoid" => (kind.as_str(), Attributes::new()),
        "LeakyRelu" => ("LeakyRelu", [("alpha".to_string(), at(0, 0.01))].into()),
        "HardSigmoid" => (
            "HardSigmoid",
            [("alpha".to_string(), at(0, 0.2)), ("beta".to_string(), at(1, 0.5))].into(),
        ),
        "Clip" => {
            let bound = |i: usize| given.get(i).copied();
            let (low, high) = (bound(0).unwrap_or(f32::MIN), bound(1).unwrap_or(f32::MAX));
            let (low, high) = (e.scalar(low), e.scalar(high));
            let bounded = e.op("Max", &[x, &low]);
            return e.give(0, "Min", &[&bounded, &high]);
        }
        other => return Err(wrong("activation", format!("names the unknown `{other}`"))),
    };
    let output = e.output(0)?;
    let with = with.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    e.push(op, &[x], &output, with);
    Ok(())
}

/// `QLinearAdd`: dequantised, added, quantised.
pub(super) fn qlinear_add(e: &mut Emit) -> Done {
    qlinear_pair(e, "Add")
}

/// `QLinearMul`
pub(super) fn qlinear_mul(e: &mut Emit) -> Done {
    qlinear_pair(e, "Mul")
}

fn qlinear_pair(e: &mut Emit, op: &str) -> Done {
    let (a, b) = (dequantized(e, 0)?, dequantized(e, 3)?);
    let y = e.op(op, &[&a, &b]);
    quantized(e, &y, 6)
}

/// `QLinearGlobalAveragePool`, channels first.
pub(super) fn qlinear_global_average(e: &mut Emit) -> Done {
    if e.int("channels_last", 0)? != 0 {
        return Err(e.refuse("channels last"));
    }
    let x = dequantized(e, 0)?;
    let y = e.op("GlobalAveragePool", &[&x]);
    quantized(e, &y, 3)
}

/// Inputs `at..at + 3`: integers, scale and zero point.
fn dequantized(e: &mut Emit, at: usize) -> Result<String, OpError> {
    let mut inputs = vec![e.input(at)?, e.input(at + 1)?];
    inputs.extend(e.optional(at + 2));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    Ok(e.op("DequantizeLinear", &inputs))
}

fn quantized(e: &mut Emit, y: &str, at: usize) -> Done {
    let scale = e.input(at)?;
    let zero = e.optional(at + 1);
    let mut inputs = vec![y, scale.as_str()];
    inputs.extend(zero.as_deref());
    e.give(0, "QuantizeLinear", &inputs)
}

/// `QGemm`: the integer product and bias, scaled, as integers again where a scale is given.
pub(super) fn qgemm(e: &mut Emit) -> Done {
    let (a, sa, b, sb) = (e.input(0)?, e.input(1)?, e.input(3)?, e.input(4)?);
    let mut sides = [a, b];
    for (x, name) in sides.iter_mut().zip(["transA", "transB"]) {
        if e.int(name, 0)? != 0 {
            *x = e.transpose(x, &[1, 0]);
        }
    }
    let (za, zb) = (e.optional(2).unwrap_or_default(), e.optional(5).unwrap_or_default());
    let mut sum = e.op("MatMulInteger", &[&sides[0], &sides[1], &za, &zb]);
    if let Some(c) = e.optional(6) {
        sum = e.op("Add", &[&sum, &c]);
    }
    let sum = e.op_with("Cast", &[&sum], vec![("to", Attribute::Int(1))]);
    let mut scale = e.op("Mul", &[&sa, &sb]);
    let alpha = e.float("alpha", 1.0)?;
    if alpha != 1.0 {
        let alpha = e.scalar(alpha);
        scale = e.op("Mul", &[&scale, &alpha]);
    }
    if e.optional(7).is_none() {
        return e.give(0, "Mul", &[&sum, &scale]);
    }
    let y = e.op("Mul", &[&sum, &scale]);
    quantized(e, &y, 7)
}

/// `QLinearAveragePool`, channels first.
pub(super) fn qlinear_average(e: &mut Emit) -> Done {
    if e.int("channels_last", 0)? != 0 {
        return Err(e.refuse("channels last"));
    }
    let x = dequantized(e, 0)?;
    let with = e.attributes(&[
        "kernel_shape",
        "strides",
        "pads",
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
    ]);
    let y = e.op_with("AveragePool", &[&x], with);
    quantized(e, &y, 3)
}

/// `QLinearSigmoid`
pub(super) fn qlinear_sigmoid(e: &mut Emit) -> Done {
    let x = dequantized(e, 0)?;
    let y = e.op("Sigmoid", &[&x]);
    quantized(e, &y, 3)
}

/// `QLinearLeakyRelu`
pub(super) fn qlinear_leaky(e: &mut Emit) -> Done {
    let x = dequantized(e, 0)?;
    let with = e.attributes(&["alpha"]);
    let y = e.op_with("LeakyRelu", &[&x], with);
    quantized(e, &y, 3)
}
