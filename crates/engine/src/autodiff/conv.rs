//! Rules of the convolutions.
//!
//! Owns the derivative of `Conv` and `ConvTranspose` with respect to their input. A stride-1
//! convolution goes back as a convolution with flipped weights, which are laid out while the
//! graph is built; a strided one, and one from very few channels (a first layer), as a
//! transposed convolution. Called by the table in [`super`].

use super::builder::{flip_value, int, int_list, permute_value, reshape_value, text, value_shape};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};

type Done = Result<(), AutodiffError>;

/// The geometry of a convolution whose input has shape `x` and output `y`.
struct Geometry {
    strides: Vec<usize>,
    dilations: Vec<usize>,
    kernel: Vec<usize>,
    group: usize,
    /// Padding before each spatial axis.
    before: Vec<usize>,
}

impl Geometry {
    fn of(node: &Node, x: &[usize], w: &[usize], y: &[usize]) -> Self {
        let rank = w.len() - 2;
        let sizes = |name: &str| match int_list(node, name) {
            Some(v) => v.iter().map(|&v| v.max(1) as usize).collect(),
            None => vec![1; rank],
        };
        let (strides, dilations): (Vec<usize>, Vec<usize>) = (sizes("strides"), sizes("dilations"));
        let kernel = w[2..].to_vec();
        let lower = text(node, "auto_pad", "NOTSET") == "SAME_LOWER";
        let same = text(node, "auto_pad", "NOTSET").starts_with("SAME");
        let pads = int_list(node, "pads").unwrap_or_else(|| vec![0; 2 * rank]);
        let before = (0..rank)
            .map(|i| {
                if !same {
                    return pads[i].max(0) as usize;
                }
                let span = (y[i + 2] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1;
                (span.saturating_sub(x[i + 2]) + usize::from(lower)) / 2
            })
            .collect();
        let group = int(node, "group", 1).max(1) as usize;
        Self { strides, dilations, kernel, group, before }
    }

    /// Cells that the dilated kernel covers on an axis.
    fn reach(&self, i: usize) -> usize {
        self.dilations[i] * (self.kernel[i] - 1) + 1
    }

    fn attributes(&self, strides: &[usize], pads: Vec<i64>) -> Vec<(&'static str, Attribute)> {
        let ints = |v: &[usize]| Attribute::Ints(super::builder::signed(v));
        vec![
            ("kernel_shape", ints(&self.kernel)),
            ("strides", ints(strides)),
            ("dilations", ints(&self.dilations)),
            ("group", Attribute::Int(self.group as i64)),
            ("pads", Attribute::Ints(pads)),
        ]
    }
}

/// `Conv`
pub(super) fn conv(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, w, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    refuse_live_weights(t, node, w, rest)?;
    let (xs, ws, ys) = (t.shape(x)?, t.shape(w)?, t.shape(&node.outputs[0])?);
    let geometry = Geometry::of(node, &xs, &ws, &ys);
    let unit = geometry.strides.iter().all(|&s| s == 1);
    let fits = (0..ws.len() - 2).all(|i| geometry.reach(i) > geometry.before[i]);
    let wide = ws[1] * geometry.group * FEW_CHANNELS > ws[0];
    let turned = if unit && fits && wide { turned_weights(t, w, &geometry) } else { None };
    let d = match turned {
        Some(turned) => backward_conv(t, g, &turned, &geometry, &xs, &ys),
        None => backward_transposed(t, g, w, &geometry, &xs, &ys),
    };
    match d {
        Some(d) => t.add(x, d),
        None => return Err(t.unsupported(node, "padding beyond the kernel's reach")),
    }
    Ok(())
}

/// `ConvTranspose`: its derivative is the convolution with the same weights.
pub(super) fn conv_transpose(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), [x, w, rest @ ..]) = (grads.first(), node.inputs.as_slice()) else {
        return Ok(());
    };
    refuse_live_weights(t, node, w, rest)?;
    let (xs, ws, ys) = (t.shape(x)?, t.shape(w)?, t.shape(&node.outputs[0])?);
    let mut geometry = Geometry::of(node, &ys, &ws, &xs);
    let rank = ws.len() - 2;
    let auto = text(node, "auto_pad", "NOTSET");
    if auto.starts_with("SAME") || int_list(node, "output_shape").is_some() {
        let extra = int_list(node, "output_padding").unwrap_or_else(|| vec![0; rank]);
        for i in 0..rank {
            let extra = extra.get(i).copied().unwrap_or(0).max(0) as usize;
            let full = (xs[i + 2] - 1) * geometry.strides[i] + geometry.reach(i) + extra;
            let total = full.saturating_sub(ys[i + 2]);
            geometry.before[i] = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
        }
    }
    let mut pads = super::builder::signed(&geometry.before);
    let mut ends = ys.clone();
    for i in 0..rank {
        // Pad or crop the far side so that exactly the input's extent comes out.
        let span = (xs[i + 2] - 1) * geometry.strides[i] + geometry.reach(i);
        let after = span as i64 - ys[i + 2] as i64 - geometry.before[i] as i64;
        pads.push(after.max(0));
        ends[i + 2] = (ys[i + 2] as i64 + after.min(0)) as usize;
    }
    let g = t.crop(g, &ys, &vec![0; ys.len()], &ends);
    let attributes = geometry.attributes(&geometry.strides, pads);
    let d = t.op_with("Conv", &[&g, w], attributes);
    t.add(x, d);
    Ok(())
}

fn refuse_live_weights(t: &Tape, node: &Node, w: &str, rest: &[String]) -> Done {
    if t.is_live(w) || rest.iter().any(|b| t.is_live(b)) {
        return Err(t.unsupported(node, "its weights depend on the inputs"));
    }
    Ok(())
}

/// Weights `(M, C/g, k..)` as `(C, M/g, k..)` with the kernel reversed, when constant.
fn turned_weights(t: &mut Tape, w: &str, geometry: &Geometry) -> Option<String> {
    let value = t.constant_value(w)?.clone();
    let shape = value_shape(&value)?;
    let (m, c, group) = (shape[0], shape[1], geometry.group);
    let spatial = &shape[2..];
    let split = [&[group, m / group, c], spatial].concat();
    let mut perm: Vec<usize> = (0..split.len()).collect();
    perm.swap(1, 2);
    let value = permute_value(&reshape_value(value, &split)?, &perm)?;
    let value = reshape_value(value, &[&[group * c, m / group], spatial].concat())?;
    let flip: Vec<usize> = (2..shape.len()).collect();
    let value = flip_value(&value, &flip)?;
    Some(t.constant(value))
}

/// Stride 1: a convolution with padding `reach - 1 - pad`.
fn backward_conv(
    t: &mut Tape,
    g: &str,
    turned: &str,
    geometry: &Geometry,
    xs: &[usize],
    ys: &[usize],
) -> Option<String> {
    let rank = xs.len() - 2;
    let mut pads = Vec::with_capacity(2 * rank);
    for i in 0..rank {
        pads.push((geometry.reach(i) - 1 - geometry.before[i]) as i64);
    }
    let mut ends = ys.to_vec();
    for i in 0..rank {
        // The far side follows from the extents.
        let before = pads[i];
        let after = xs[i + 2] as i64 + geometry.reach(i) as i64 - 1 - ys[i + 2] as i64 - before;
        pads.push(after.max(0));
        ends[i + 2] = (ys[i + 2] as i64 + after.min(0)).max(0) as usize;
    }
    let g = t.crop(g, ys, &vec![0; ys.len()], &ends);
    let attributes = geometry.attributes(&vec![1; rank], pads);
    Some(t.op_with("Conv", &[&g, turned], attributes))
}

/// Any stride: the full transposed convolution, then cut or padded to the input's extent.
///
/// Padding is never left to the operator: engines differ in how they read uneven padding
/// together with `output_padding`.
fn backward_transposed(
    t: &mut Tape,
    g: &str,
    w: &str,
    geometry: &Geometry,
    xs: &[usize],
    ys: &[usize],
) -> Option<String> {
    let rank = xs.len() - 2;
    let attributes = geometry.attributes(&geometry.strides, vec![0; 2 * rank]);
    let full = t.op_with("ConvTranspose", &[g, w], attributes);
    let mut shape = xs.to_vec();
    for i in 0..rank {
        shape[i + 2] = (ys[i + 2] - 1) * geometry.strides[i] + geometry.reach(i);
    }
    Some(fit(t, &full, &shape, &geometry.before, xs))
}

/// Cuts `skip` cells before each spatial axis and cuts or pads (zeros) to the extents of `to`.
pub(super) fn fit(t: &mut Tape, x: &str, shape: &[usize], skip: &[usize], to: &[usize]) -> String {
    let rank = shape.len();
    let (mut starts, mut ends) = (vec![0; rank], shape.to_vec());
    let mut after = vec![0; rank];
    for i in 2..rank {
        starts[i] = skip[i - 2].min(shape[i]);
        ends[i] = shape[i].min(starts[i] + to[i]);
        after[i] = to[i] - (ends[i] - starts[i]);
    }
    let cut = t.crop(x, shape, &starts, &ends);
    t.pad(&cut, &vec![0; rank], &after)
}

/// With this many times fewer input than output channels the transposed form is cheaper: the
/// other would unfold the many channels to compute the few (measured on rten 0.27).
const FEW_CHANNELS: usize = 4;
