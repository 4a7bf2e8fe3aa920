//! Rules of the pooling operators.
//!
//! Owns the derivative of each. `MaxPool` needs no `Indices` output (rten has none): masks over
//! the shifted windows find the maximum, and of equal cells the first in scan order gets the
//! whole cotangent, as in PyTorch. (After a ReLU, windows of equal zeros are common.) Called by
//! the table in [`super`].

use super::builder::{FLOAT, int, int_list, signed, text, walk};
use super::conv::fit;
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};

type Done = Result<(), AutodiffError>;

/// A window sliding over the spatial axes of `x`.
struct Window {
    x: Vec<usize>,
    y: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    before: Vec<usize>,
}

impl Window {
    fn of(t: &Tape, node: &Node) -> Result<Self, AutodiffError> {
        let (x, y) = (t.shape(&node.inputs[0])?, t.shape(&node.outputs[0])?);
        let Some(kernel) = int_list(node, "kernel_shape") else {
            return Err(t.unsupported(node, "no `kernel_shape`"));
        };
        let rank = x.len() - 2;
        let sizes = |v: &[i64]| v.iter().map(|&v| v.max(1) as usize).collect::<Vec<_>>();
        let or_ones = |name: &str| int_list(node, name).unwrap_or_else(|| vec![1; rank]);
        let kernel = sizes(&kernel);
        let (strides, dilations) = (sizes(&or_ones("strides")), sizes(&or_ones("dilations")));
        let auto = text(node, "auto_pad", "NOTSET");
        let pads = int_list(node, "pads").unwrap_or_else(|| vec![0; 2 * rank]);
        let before = (0..rank)
            .map(|i| {
                if !auto.starts_with("SAME") {
                    return pads[i].max(0) as usize;
                }
                let span = (y[i + 2] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1;
                (span.saturating_sub(x[i + 2]) + usize::from(auto == "SAME_LOWER")) / 2
            })
            .collect();
        Ok(Self { x, y, kernel, strides, dilations, before })
    }

    fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Extent of the padded input that the windows cover.
    fn span(&self, i: usize) -> usize {
        (self.y[i + 2] - 1) * self.strides[i] + self.dilations[i] * (self.kernel[i] - 1) + 1
    }

    /// Whether the windows neither overlap nor leave gaps.
    fn tiles(&self) -> bool {
        self.strides == self.kernel && self.dilations.iter().all(|&d| d == 1)
    }

    /// Whether they tile the whole input, without padding or a rest.
    fn fills(&self) -> bool {
        let whole = |i: usize| self.before[i] == 0 && self.span(i) == self.x[i + 2];
        self.tiles() && (0..self.rank()).all(whole)
    }

    fn cells(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// `MaxPool`
pub(super) fn max(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let window = Window::of(t, node)?;
    let mut y = node.outputs[0].clone();
    let mut x_float = x.clone();
    if !t.is_float(x) {
        let cast = vec![("to", Attribute::Int(FLOAT))];
        x_float = t.op_with("Cast", &[x], cast.clone());
        y = t.op_with("Cast", &[&y], cast);
    }
    if t.stretch && window.fills() {
        let d = tiled(t, &x_float, &y, g, &window);
        t.add(x, d);
        return Ok(());
    }
    let padded = padded_input(t, &x_float, &window);
    let mut seen: Option<String> = None;
    let mut parts = Vec::with_capacity(window.cells());
    let offsets = walk(&window.kernel, <[usize]>::to_vec);
    let last = offsets.len() - 1;
    for (n, offset) in offsets.iter().enumerate() {
        let slice = shifted(t, &padded, &window, offset);
        let hit = t.op("Equal", &[&slice, &y]);
        let first = match &seen {
            Some(seen) => {
                let unseen = t.op("Not", &[seen]);
                t.op("And", &[&hit, &unseen])
            }
            None => hit.clone(),
        };
        if n < last {
            seen = Some(match seen {
                Some(seen) => t.op("Or", &[&seen, &hit]),
                None => hit,
            });
        }
        parts.push(t.keep(&first, g));
    }
    let d =
        if window.tiles() { interleave(t, &parts, &window) } else { scatter(t, &parts, &window) };
    let shape: Vec<usize> = spanned(&window);
    let d = fit(t, &d, &shape, &window.before, &window.x);
    t.add(x, d);
    Ok(())
}

/// `AveragePool`; cells of the padding count or not, as the attribute says.
pub(super) fn average(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let window = Window::of(t, node)?;
    let counts = cell_counts(node, &window);
    let even = counts.iter().all(|&c| c == counts[0]);
    let g = if even {
        t.scale(g, 1.0 / f64::from(counts[0]))
    } else {
        let shape = [&[1, 1], &window.y[2..]].concat();
        let inverse = counts.iter().map(|&c| 1.0 / c).collect();
        let inverse = t.floats(&shape, inverse);
        t.op("Mul", &[g, &inverse])
    };
    let planes = window.x[0] * window.x[1];
    let single = [&[planes, 1], &window.y[2..]].concat();
    let g = t.reshape(&g, &window.y, &single);
    let weight = t.floats(&[&[1, 1], &window.kernel[..]].concat(), vec![1.0; window.cells()]);
    let full = t.op_with("ConvTranspose", &[&g, &weight], geometry(&window));
    let shape = spanned(&window);
    let d = t.reshape(&full, &[&[planes, 1], &shape[2..]].concat(), &shape);
    let d = fit(t, &d, &shape, &window.before, &window.x);
    t.add(x, d);
    Ok(())
}

/// `GlobalAveragePool`
pub(super) fn global_average(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let cells: usize = xs[2..].iter().product();
    let g = t.scale(g, 1.0 / cells as f64);
    let d = t.expand(&g, &ys, &xs);
    t.add(x, d);
    Ok(())
}

/// `GlobalMaxPool`: the first maximum in scan order.
pub(super) fn global_max(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let (Some(Some(g)), Some(x)) = (grads.first(), node.inputs.first()) else { return Ok(()) };
    let (xs, ys) = (t.shape(x)?, t.shape(&node.outputs[0])?);
    let cells: usize = xs[2..].iter().product();
    let flat = vec![xs[0], xs[1], cells];
    let single = vec![xs[0], xs[1], 1];
    let x_flat = t.reshape(x, &xs, &flat);
    let y_flat = t.reshape(&node.outputs[0], &ys, &single);
    let g_flat = t.reshape(g, &ys, &single);
    let hit = t.op("Equal", &[&x_flat, &y_flat]);
    let first = first_of(t, &hit, cells, 2);
    let d = t.op("Mul", &[&first, &g_flat]);
    let d = t.reshape(&d, &flat, &xs);
    t.add(x, d);
    Ok(())
}

/// 1 at the first true cell on the last axis (of `cells`), else 0, as floats.
pub(crate) fn first_of(b: &mut super::Builder, hit: &str, cells: usize, axis: usize) -> String {
    let cast = |b: &mut super::Builder, x: &str| {
        b.op_with("Cast", &[x], vec![("to", Attribute::Int(FLOAT))])
    };
    let hit = cast(b, hit);
    // Earlier cells weigh more, and the largest weight marks one cell only.
    let rank: Vec<f32> = (0..cells).map(|i| (cells - i) as f32).collect();
    let rank = b.floats(&[cells], rank);
    let weighed = b.op("Mul", &[&hit, &rank]);
    let top = b.reduce("ReduceMax", &weighed, &[axis]);
    let first = b.op("Equal", &[&weighed, &top]);
    let first = cast(b, &first);
    b.op("Mul", &[&first, &hit])
}

/// The input with its padding, at least as large as the windows' span.
fn padded_input(t: &mut Tape, x: &str, window: &Window) -> String {
    let rank = window.rank();
    let mut pads = vec![0i64; 2 * (rank + 2)];
    let mut any = false;
    for i in 0..rank {
        let after = window.span(i).saturating_sub(window.x[i + 2] + window.before[i]);
        pads[i + 2] = window.before[i] as i64;
        pads[rank + 4 + i] = after as i64;
        any |= window.before[i] + after > 0;
    }
    if !any {
        return x.to_string();
    }
    let pads = t.ints(&pads);
    let lowest = t.scalar(f64::NEG_INFINITY);
    t.op("Pad", &[x, &pads, &lowest])
}

/// The cells at one offset of every window.
fn shifted(t: &mut Tape, x: &str, window: &Window, offset: &[usize]) -> String {
    let rank = window.rank();
    let starts: Vec<i64> = (0..rank).map(|i| (offset[i] * window.dilations[i]) as i64).collect();
    let ends: Vec<i64> = (0..rank)
        .map(|i| starts[i] + ((window.y[i + 2] - 1) * window.strides[i]) as i64 + 1)
        .collect();
    let axes: Vec<i64> = (0..rank).map(|i| i as i64 + 2).collect();
    let (starts, ends) = (t.ints(&starts), t.ints(&ends));
    let (axes, steps) = (t.ints(&axes), t.ints(&signed(&window.strides)));
    t.op("Slice", &[x, &starts, &ends, &axes, &steps])
}

/// Windows that fill the input: maxima and cotangents are stretched over their windows, so that
/// all is done in the layout of the input. Cells that reach the maximum are weighed by their
/// place, and the heaviest of a window is the first.
fn tiled(t: &mut Tape, x: &str, y: &str, g: &str, window: &Window) -> String {
    let rank = window.rank();
    let maxima = stretched(t, y, window);
    let hit = t.op("Equal", &[x, &maxima]);
    let hit = t.op_with("Cast", &[&hit], vec![("to", Attribute::Int(FLOAT))]);
    let shape = [&[1, 1], &window.x[2..]].concat();
    let place = |at: &[usize]| {
        let scan = (0..rank).fold(0, |n, i| n * window.kernel[i] + at[i] % window.kernel[i]);
        (window.cells() - scan) as f32
    };
    let places = walk(&window.x[2..], place);
    let places = t.floats(&shape, places);
    let weighed = t.op("Mul", &[&hit, &places]);
    let ints = |v: &[usize]| Attribute::Ints(signed(v));
    let window_of =
        vec![("kernel_shape", ints(&window.kernel)), ("strides", ints(&window.strides))];
    let top = t.op_with("MaxPool", &[&weighed], window_of);
    // A window without a hit (it holds NaN) gets nothing: no weight is as low as this.
    let least = t.scalar(1.0);
    let top = t.op("Max", &[&top, &least]);
    let top = stretched(t, &top, window);
    let first = t.op("Equal", &[&weighed, &top]);
    let g = stretched(t, g, window);
    t.keep(&first, &g)
}

/// One value per window, repeated over its cells.
fn stretched(t: &mut Tape, y: &str, window: &Window) -> String {
    let factors = window.kernel.iter().map(|&k| k as f32);
    let factors: Vec<f32> = [1.0, 1.0].into_iter().chain(factors).collect();
    let scales = t.floats(&[factors.len()], factors);
    let words = |v: &str| Attribute::Text(v.to_string());
    let attributes = vec![
        ("mode", words("nearest")),
        ("coordinate_transformation_mode", words("asymmetric")),
        ("nearest_mode", words("floor")),
    ];
    t.op_with("Resize", &[y, "", &scales], attributes)
}

/// Windows that tile the input: the parts are laid side by side.
fn interleave(t: &mut Tape, parts: &[String], window: &Window) -> String {
    let rank = window.rank();
    let planes = window.x[0] * window.x[1];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let stacked = t.op_with("Concat", &parts, vec![("axis", Attribute::Int(1))]);
    // (N, k.., C, y..) -> (N, C, y0, k0, y1, k1, ..)
    let [n, c] = [window.x[0], window.x[1]];
    let cells = [&[n], &window.kernel[..], &[c], &window.y[2..]].concat();
    let flat = [&[n, window.cells() * c], &window.y[2..]].concat();
    let split = t.reshape(&stacked, &flat, &cells);
    let mut perm = vec![0, rank + 1];
    for i in 0..rank {
        perm.extend([rank + 2 + i, 1 + i]);
    }
    let mixed = t.transpose(&split, &perm);
    let from: Vec<usize> = perm.iter().map(|&p| cells[p]).collect();
    debug_assert_eq!(from.iter().product::<usize>() % planes, 0);
    t.reshape(&mixed, &from, &spanned(window))
}

/// Windows that overlap: a transposed convolution whose kernel puts each part in its place.
fn scatter(t: &mut Tape, parts: &[String], window: &Window) -> String {
    let cells = window.cells();
    let planes = window.x[0] * window.x[1];
    let single = [&[planes, 1], &window.y[2..]].concat();
    let parts: Vec<String> = parts.iter().map(|part| t.reshape(part, &window.y, &single)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let stacked = t.op_with("Concat", &parts, vec![("axis", Attribute::Int(1))]);
    let shape = [&[cells, 1], &window.kernel[..]].concat();
    let places = (0..cells * cells).map(|i| f32::from(i / cells == i % cells)).collect();
    let weight = t.floats(&shape, places);
    let full = t.op_with("ConvTranspose", &[&stacked, &weight], geometry(window));
    let spanned = spanned(window);
    t.reshape(&full, &[&[planes, 1], &spanned[2..]].concat(), &spanned)
}

fn geometry(window: &Window) -> Vec<(&'static str, Attribute)> {
    let ints = |v: &[usize]| Attribute::Ints(signed(v));
    vec![
        ("kernel_shape", ints(&window.kernel)),
        ("strides", ints(&window.strides)),
        ("dilations", ints(&window.dilations)),
        ("pads", Attribute::Ints(vec![0; 2 * window.rank()])),
    ]
}

/// Batch, channels and the spans of the windows.
fn spanned(window: &Window) -> Vec<usize> {
    let mut shape = window.x.clone();
    for i in 0..window.rank() {
        shape[i + 2] = window.span(i);
    }
    shape
}

/// How many cells each average is over, per output position.
fn cell_counts(node: &Node, window: &Window) -> Vec<f32> {
    let rank = window.rank();
    let include = int(node, "count_include_pad", 0) != 0;
    let pads = int_list(node, "pads").unwrap_or_else(|| vec![0; 2 * rank]);
    walk(&window.y[2..], |at| {
        let mut count = 1;
        for i in 0..rank {
            // With padding counted, the limit is the padded input; what `ceil_mode` adds
            // beyond it never counts.
            let (low, high) = if include {
                let after = if text(node, "auto_pad", "NOTSET").starts_with("SAME") {
                    window.span(i).saturating_sub(window.x[i + 2] + window.before[i])
                } else {
                    pads[rank + i].max(0) as usize
                };
                (0, window.before[i] + window.x[i + 2] + after)
            } else {
                (window.before[i], window.before[i] + window.x[i + 2])
            };
            let start = at[i] * window.strides[i];
            let inside = (0..window.kernel[i])
                .map(|k| start + k * window.dilations[i])
                .filter(|&c| c >= low && c < high)
                .count();
            count *= inside;
        }
        count.max(1) as f32
    })
}
