//! Rules of the normalisations.
//!
//! Owns the derivative of `BatchNormalization` (inference), `InstanceNormalization` and
//! `LayerNormalization`. Called by the table in [`super`].

use super::builder::{axis_of, float, int};
use super::{AutodiffError, Tape};
use crate::graph::Node;

type Done = Result<(), AutodiffError>;

/// `g scale / sqrt(var + eps)` per channel; the factor is computed while the graph is built.
pub(super) fn batch(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, scale, _, _, var, ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    if int(node, "training_mode", 0) != 0 {
        return Err(t.unsupported(node, "training mode mixes the rows of a batch"));
    }
    let (Some(scale), Some(var)) = (t.constant_floats(scale), t.constant_floats(var)) else {
        return Err(t.unsupported(node, "scale or variance is not a constant"));
    };
    let eps = float(node, "epsilon", 1e-5);
    let factor = scale.iter().zip(&var).map(|(s, v)| (s / (v + eps).sqrt()) as f32).collect();
    let mut shape = vec![1; t.shape(x)?.len()];
    if let Some(channels) = shape.get_mut(1) {
        *channels = scale.len();
    }
    let factor = t.floats(&shape, factor);
    let d = t.op("Mul", &[g, &factor]);
    t.add(x, d);
    Ok(())
}

/// Over the axes from `axis` on; the weight has their shape.
pub(super) fn layer(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, scale, ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    if grads.iter().skip(1).any(Option::is_some) {
        return Err(t.unsupported(node, "its mean or deviation is used"));
    }
    let rank = t.shape(x)?.len();
    let axes: Vec<usize> = (axis_of(int(node, "axis", -1), rank)..rank).collect();
    let g = t.op("Mul", &[g, scale]);
    let d = centred(t, x, &g, &axes, float(node, "epsilon", 1e-5));
    t.add(x, d);
    Ok(())
}

/// Over the spatial axes; the weight is per channel.
pub(super) fn instance(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, scale, ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    let shape = t.shape(x)?;
    let channels = t.shape(scale)?;
    let mut per_channel = vec![1; shape.len() - 1];
    per_channel[0] = shape[1];
    let scale = t.reshape(scale, &channels, &per_channel);
    let g = t.op("Mul", &[g, &scale]);
    let axes: Vec<usize> = (2..shape.len()).collect();
    let d = centred(t, x, &g, &axes, float(node, "epsilon", 1e-5));
    t.add(x, d);
    Ok(())
}

/// `r (g - mean(g) - h mean(g h))` with `h = (x - mean(x)) r`, `r = 1/sqrt(var + eps)`
/// (Ba, Kiros, Hinton: Layer Normalization, 2016, differentiated).
fn centred(t: &mut Tape, x: &str, g: &str, axes: &[usize], eps: f64) -> String {
    let mean = t.reduce("ReduceMean", x, axes);
    let diff = t.op("Sub", &[x, &mean]);
    let square = t.op("Mul", &[&diff, &diff]);
    let var = t.reduce("ReduceMean", &square, axes);
    let eps = t.scalar(eps);
    let var = t.op("Add", &[&var, &eps]);
    let deviation = t.op("Sqrt", &[&var]);
    let h = t.op("Div", &[&diff, &deviation]);
    let g_mean = t.reduce("ReduceMean", g, axes);
    let gh = t.op("Mul", &[g, &h]);
    let gh_mean = t.reduce("ReduceMean", &gh, axes);
    let rest = t.op("Mul", &[&h, &gh_mean]);
    let d = t.op("Sub", &[g, &g_mean]);
    let d = t.op("Sub", &[&d, &rest]);
    t.op("Div", &[&d, &deviation])
}
