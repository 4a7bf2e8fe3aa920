//! Normalisations and pools that sums and roots define.
//!
//! Called by the table in [`super`].

use super::Emit;
use crate::graph::Attribute;
use crate::reference::OpError;
use crate::reference::op::wrong;

type Done = Result<(), OpError>;

/// `GroupNormalization`: statistics per row and group; the scale is per group before opset 21.
pub(super) fn group(e: &mut Emit) -> Done {
    let (x, scale, bias) = (e.input(0)?, e.input(1)?, e.input(2)?);
    let groups = e.int("num_groups", 0)?;
    if groups <= 0 {
        return Err(wrong("num_groups", "is missing or not positive"));
    }
    let eps = e.float("epsilon", 1e-5)?;
    let shape = e.op("Shape", &[&x]);
    let grouped = e.reshape(&x, &[0, groups, -1]);
    let normal = e.normalised(&grouped, &[2], eps, true);
    if e.opset() < 21 {
        let (s, b) = (e.reshape(&scale, &[1, groups, 1]), e.reshape(&bias, &[1, groups, 1]));
        let scaled = e.op("Mul", &[&normal, &s]);
        let moved = e.op("Add", &[&scaled, &b]);
        return e.give(0, "Reshape", &[&moved, &shape]);
    }
    // (N, C, rest): the parameters are per channel.
    let channels = e.op("Shape", &[&scale]);
    let (lead, rest) = (e.vector(&[0]), e.vector(&[-1]));
    let flat = e.op_with("Concat", &[&lead, &channels, &rest], vec![("axis", Attribute::Int(0))]);
    let flat = e.op("Reshape", &[&normal, &flat]);
    let (s, b) = (e.reshape(&scale, &[1, -1, 1]), e.reshape(&bias, &[1, -1, 1]));
    let scaled = e.op("Mul", &[&flat, &s]);
    let moved = e.op("Add", &[&scaled, &b]);
    e.give(0, "Reshape", &[&moved, &shape])
}

/// `MeanVarianceNormalization`: `(x - mean) / (deviation + 1e-9)`.
pub(super) fn mean_variance(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let axes = e.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let mean = e.reduce("ReduceMean", &x, &axes);
    let off = e.op("Sub", &[&x, &mean]);
    let square = e.op("Mul", &[&off, &off]);
    let variance = e.reduce("ReduceMean", &square, &axes);
    let deviation = e.op("Sqrt", &[&variance]);
    let small = e.scalar(1e-9);
    let deviation = e.op("Add", &[&deviation, &small]);
    e.give(0, "Div", &[&off, &deviation])
}

/// `RMSNormalization`, over all axes from `axis` on.
pub(super) fn root_mean_square(e: &mut Emit) -> Done {
    let (x, scale) = (e.input(0)?, e.input(1)?);
    let axis = e.int("axis", -1)?;
    let axes = match axis {
        ..0 => (axis..0).collect::<Vec<_>>(),
        _ => {
            let rank = e.rank(&x).or_else(|| e.rank(&scale).map(|r| r + axis as usize));
            let rank = rank.ok_or_else(|| e.refuse("an axis counted from the front"))?;
            (axis..rank as i64).collect()
        }
    };
    let eps = e.float("epsilon", 1e-5)?;
    let normal = e.normalised(&x, &axes, eps, false);
    e.give(0, "Mul", &[&normal, &scale])
}

/// `LpNormalization`: `x / ||x||_p`, 0 where the norm is 0.
pub(super) fn lp(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let (axis, p) = (e.int("axis", -1)?, e.int("p", 2)?);
    let op = match p {
        1 => "ReduceL1",
        2 => "ReduceL2",
        _ => return Err(wrong("p", "is neither 1 nor 2")),
    };
    let norm = e.reduce(op, &x, &[axis]);
    let (zero, one) = (e.scalar(0.0), e.scalar(1.0));
    let empty = e.op("Equal", &[&norm, &zero]);
    let safe = e.op("Where", &[&empty, &one, &norm]);
    e.give(0, "Div", &[&x, &safe])
}

/// `GlobalLpPool`
pub(super) fn global_lp_pool(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let p = e.int("p", 2)?;
    // All spatial axes at once, whatever their number.
    let flat = e.reshape(&x, &[0, 0, -1]);
    let powers = powers(e, &flat, p)?;
    let sum = e.reduce("ReduceSum", &powers, &[2]);
    let root = root(e, &sum, p);
    let rank = e.rank(&x).unwrap_or(4);
    let mut shape = vec![0, 0];
    shape.extend(std::iter::repeat_n(1, rank.saturating_sub(2)));
    let shape = e.vector(&shape);
    e.give(0, "Reshape", &[&root, &shape])
}

/// `LpPool`: an average over the padded window times its cells.
pub(super) fn lp_pool(e: &mut Emit) -> Done {
    let x = e.input(0)?;
    let p = e.int("p", 2)?;
    if e.int("ceil_mode", 0)? != 0 {
        return Err(e.refuse("`ceil_mode`"));
    }
    if e.ints("dilations")?.is_some_and(|d| d.iter().any(|&d| d != 1)) {
        return Err(e.refuse("a dilated window"));
    }
    let kernel = e.ints("kernel_shape")?.ok_or_else(|| wrong("kernel_shape", "is missing"))?;
    let cells: f32 = kernel.iter().map(|&k| k as f32).product();
    let powers = powers(e, &x, p)?;
    let mut with = e.attributes(&["kernel_shape", "strides", "pads", "auto_pad"]);
    with.push(("count_include_pad", Attribute::Int(1)));
    let mean = e.op_with("AveragePool", &[&powers], with);
    let cells = e.scalar(cells);
    let sum = e.op("Mul", &[&mean, &cells]);
    let root = root(e, &sum, p);
    e.give(0, "Identity", &[&root])
}

/// `|x|^p`
fn powers(e: &mut Emit, x: &str, p: i64) -> Result<String, OpError> {
    match p {
        1 => Ok(e.op("Abs", &[x])),
        2 => Ok(e.op("Mul", &[x, x])),
        3..=16 => {
            let (abs, p) = (e.op("Abs", &[x]), e.scalar(p as f32));
            Ok(e.op("Pow", &[&abs, &p]))
        }
        _ => Err(wrong("p", "is not between 1 and 16")),
    }
}

fn root(e: &mut Emit, x: &str, p: i64) -> String {
    match p {
        1 => x.to_string(),
        2 => e.op("Sqrt", &[x]),
        _ => {
            let inverse = e.scalar(1.0 / p as f32);
            e.op("Pow", &[x, &inverse])
        }
    }
}
