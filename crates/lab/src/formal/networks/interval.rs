//! Bounds of every value: intervals forward, CROWN before each ReLU.
//!
//! Owns the order of work (each layer's bounds come from those before it) and interval arithmetic
//! rounded outward. Must never give a bound that some input of the box breaks.

use ndarray::Axis;

use super::crown::{Domains, Frame, Layer, Rows, Scene};
use super::net::{Map, Matrix, Net, Node, Op};
use super::tune::{self, Effort};
use super::work;

/// How bounds before ReLU are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pains {
    /// For each bound by itself; `None` for intervals alone.
    pub effort: Option<Effort>,
    /// Threads.
    pub threads: usize,
}

/// Lowest and highest value of each element of each node, a row for each sub-problem.
struct Span {
    low: Matrix,
    high: Matrix,
}

/// Bounds before each ReLU on boxes `(sub-problems, inputs)`.
///
/// Without a frame the boxes are one, and its frame is made; with one, the boxes lie inside the
/// box that the frame belongs to.
pub(crate) fn bounds(
    net: &Net,
    (low, high): (Matrix, Matrix),
    frame: Option<&Frame>,
    pains: Pains,
    stop: &(dyn Fn() -> bool + Sync),
) -> (Domains, Frame) {
    let mut made = frame.cloned().unwrap_or_default();
    let mut domains = Domains { low, high, layers: vec![None; net.nodes.len()] };
    let mut spans: Vec<Span> = Vec::with_capacity(net.nodes.len());
    for (k, node) in net.nodes.iter().enumerate() {
        if let Op::Relu { from } = node.op {
            let (low, high) = (spans[from].low.clone(), spans[from].high.clone());
            let mut layer = Layer::between(low, high);
            if let (Some(effort), true) = (pains.effort, deep(net, from)) {
                tighten(net, &made, &domains, (from, &mut layer), (effort, pains.threads), stop);
                spans[from] = Span { low: layer.low.clone(), high: layer.high.clone() };
                if frame.is_none() {
                    made.magnitude[from] = magnitude(&spans[from]);
                }
            }
            domains.layers[k] = Some(layer);
        }
        let mut span = forward(net, node, &spans, &domains);
        widen(net, node, &mut span, &spans);
        if frame.is_none() {
            made.magnitude.push(magnitude(&span));
            made.flow.push(flow(node, &made));
            made.single.push(single(net, node));
        }
        spans.push(span);
    }
    (domains, made)
}

/// Interval of the output, from the bounds before each ReLU.
pub(crate) fn ends(net: &Net, domains: &Domains) -> (Matrix, Matrix) {
    let mut spans: Vec<Span> = Vec::with_capacity(net.nodes.len());
    for (k, node) in net.nodes.iter().enumerate() {
        if let (Op::Relu { from }, Some(layer)) = (&node.op, &domains.layers[k]) {
            spans[*from] = Span { low: layer.low.clone(), high: layer.high.clone() };
        }
        let mut span = forward(net, node, &spans, domains);
        widen(net, node, &mut span, &spans);
        spans.push(span);
    }
    let last = spans.swap_remove(net.output);
    (last.low, last.high)
}

/// Whether intervals lose anything: not where a value is one linear map of the input.
fn deep(net: &Net, node: usize) -> bool {
    match &net.nodes[node].op {
        Op::Input => false,
        Op::Linear { from, .. } => *from != 0,
        _ => true,
    }
}

fn magnitude(span: &Span) -> Vec<f64> {
    let mut most = vec![0.0_f64; span.low.ncols()];
    for (low, high) in span.low.axis_iter(Axis(0)).zip(span.high.axis_iter(Axis(0))) {
        for (most, (l, h)) in most.iter_mut().zip(low.iter().zip(high)) {
            *most = most.max(l.abs()).max(h.abs());
        }
    }
    most
}

fn flow(node: &Node, frame: &Frame) -> Vec<f64> {
    match &node.op {
        Op::Linear { from, magnitude, bias, .. } => {
            let through = magnitude.apply(&frame.magnitude[*from]);
            through.iter().zip(bias).map(|(m, b)| (m + b.abs()) * ROUNDED_UP).collect()
        }
        Op::Sum { from } => {
            let each = |i| from.iter().map(|&f| frame.magnitude[f][i]).sum::<f64>() * ROUNDED_UP;
            (0..node.len).map(each).collect()
        }
        _ => Vec::new(),
    }
}

/// The share that rounding in 32 bits adds to a node: `gamma_n` of its terms. Relaying and
/// comparing round nothing. Eight more cover scales that are folded or applied one by one.
fn single(net: &Net, node: &Node) -> f64 {
    let terms = terms(net, node);
    if terms == 0 {
        return 0.0;
    }
    let n = terms as f64 * f64::from(f32::EPSILON / 2.0);
    if n < 0.5 { n / (1.0 - n) } else { f64::INFINITY }
}

/// Terms that are added up in one go. What is added to a product may be what its sum begins with,
/// and is then rounded as often as the sum is long.
fn terms(net: &Net, node: &Node) -> usize {
    let before = |from: usize| match &net.nodes[from].op {
        Op::Linear { .. } => terms(net, &net.nodes[from]),
        _ => 0,
    };
    match &node.op {
        Op::Linear { from, map: map @ Map::Diagonal(_), .. } => map.terms() + 8 + before(*from),
        Op::Linear { map, .. } => map.terms() + 8,
        Op::Sum { from } => {
            from.len() + 8 + from.iter().map(|&f| before(f)).max().unwrap_or_default()
        }
        _ => 0,
    }
}

/// Room for evaluation in 32 bits.
fn widen(net: &Net, node: &Node, span: &mut Span, spans: &[Span]) {
    let share = single(net, node);
    let room = match &node.op {
        Op::Linear { from, magnitude, bias, .. } => {
            let from = &spans[*from];
            let mut most = from.low.mapv(f64::abs);
            most.zip_mut_with(&from.high, |m, h| *m = m.max(h.abs()));
            let mut room = magnitude.forward(&most);
            for mut row in room.axis_iter_mut(Axis(0)) {
                row.iter_mut().zip(bias).for_each(|(r, b)| *r += b.abs());
            }
            room
        }
        Op::Sum { from } => {
            let mut room = Matrix::zeros(span.low.dim());
            for &k in from {
                room.zip_mut_with(&spans[k].low, |r, l| *r += l.abs());
                let both = ndarray::Zip::from(&mut room).and(&spans[k].low).and(&spans[k].high);
                both.for_each(|r, l, h| *r += (h.abs() - l.abs()).max(0.0));
            }
            room
        }
        _ => return,
    };
    let extra = |r: f64| share * r * ROUNDED_UP + UNDERFLOW;
    span.low.zip_mut_with(&room, |v, r| *v = (*v - extra(*r)).next_down());
    span.high.zip_mut_with(&room, |v, r| *v = (*v + extra(*r)).next_up());
}

/// Interval arithmetic through one node, in real arithmetic.
fn forward(net: &Net, node: &Node, spans: &[Span], domains: &Domains) -> Span {
    match &node.op {
        Op::Input => Span { low: domains.low.clone(), high: domains.high.clone() },
        Op::Relu { from } => {
            let from = &spans[*from];
            Span { low: from.low.mapv(|v| v.max(0.0)), high: from.high.mapv(|v| v.max(0.0)) }
        }
        Op::Linear { from, map, magnitude, bias } => {
            // centre and radius; any centre will do, as long as the radius reaches both ends
            let from = &spans[*from];
            let centre = (&from.low + &from.high).mapv(|v| 0.5 * v);
            let mut radius = &from.high - &centre;
            let other = &centre - &from.low;
            radius.zip_mut_with(&other, |r, o| *r = r.max(*o).next_up().max(0.0));
            let most = centre.mapv(f64::abs) + &radius;
            let unit = net.operations() as f64 * f64::EPSILON;
            let mut low = map.forward(&centre);
            let spread = magnitude.forward(&radius) + magnitude.forward(&most).mapv(|v| unit * v);
            let mut high = low.clone();
            for mut row in low.axis_iter_mut(Axis(0)).chain(high.axis_iter_mut(Axis(0))) {
                row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
            }
            let slack = |v: f64, s: f64| s * ROUNDED_UP + unit * v.abs() + f64::MIN_POSITIVE;
            low.zip_mut_with(&spread, |v, s| *v -= slack(*v, *s));
            high.zip_mut_with(&spread, |v, s| *v += slack(*v, *s));
            Span { low, high }
        }
        Op::Sum { from } => {
            let (mut low, mut high) = (spans[from[0]].low.clone(), spans[from[0]].high.clone());
            for &k in &from[1..] {
                low.zip_mut_with(&spans[k].low, |a, b| *a = (*a + b).next_down());
                high.zip_mut_with(&spans[k].high, |a, b| *a = (*a + b).next_up());
            }
            Span { low, high }
        }
        Op::Pick { from, places } => {
            let rows = domains.low.nrows();
            let of = |side: fn(&Span) -> &Matrix| {
                Matrix::from_shape_fn((rows, places.len()), |(r, i)| {
                    let (source, place) = places[i];
                    side(&spans[from[source as usize]])[[r, place as usize]]
                })
            };
            Span { low: of(|s| &s.low), high: of(|s| &s.high) }
        }
    }
}

/// Tightens the bounds of one layer where the sign of a neuron is open.
fn tighten(
    net: &Net,
    frame: &Frame,
    domains: &Domains,
    (from, layer): (usize, &mut Layer),
    (effort, threads): (Effort, usize),
    stop: &(dyn Fn() -> bool + Sync),
) {
    let width = net.nodes[from].len;
    let open: Vec<[usize; 2]> = layer
        .low
        .indexed_iter()
        .filter(|&(at, &low)| low < 0.0 && layer.high[at] > 0.0)
        .map(|((d, j), _)| [d, j])
        .collect();
    let widest = net.nodes.iter().map(|n| n.len).max().unwrap_or(1);
    let size = (CELLS / widest).clamp(1, CHUNK_ROWS).min(open.len().div_ceil(threads).max(1));
    let scene = Scene { net, frame };
    let chunks: Vec<&[[usize; 2]]> = open.chunks(size).collect();
    let found = work::shared(threads, &chunks, &|chunk: &&[[usize; 2]]| {
        let rows = both(chunk, from, width);
        if stop() {
            return vec![f64::NEG_INFINITY; rows.constant.len()];
        }
        if effort.steps == 0 {
            return scene.backward(domains, &rows, None).lower;
        }
        scene.tune(domains, &rows, tune::start(domains, &rows), effort, stop).lower
    });
    for (chunk, lower) in chunks.iter().zip(found) {
        for (i, &at) in chunk.iter().enumerate() {
            let low = layer.low[at].max(lower[2 * i]);
            let high = layer.high[at].min(-lower[2 * i + 1]);
            // a bound that is not a number tightens nothing: `max` and `min` pass it over
            layer.set(at, low, high.max(low));
        }
    }
}

/// Rows for the least and the greatest value of each neuron.
fn both(chunk: &[[usize; 2]], node: usize, width: usize) -> Rows {
    let mut coefficients = Matrix::zeros((2 * chunk.len(), width));
    for (i, &[_, j]) in chunk.iter().enumerate() {
        coefficients[[2 * i, j]] = 1.0;
        coefficients[[2 * i + 1, j]] = -1.0;
    }
    Rows {
        node,
        coefficients,
        input: None,
        constant: vec![0.0; 2 * chunk.len()],
        domain: chunk.iter().flat_map(|&[d, _]| [d, d]).collect(),
        splits: vec![Vec::new(); 2 * chunk.len()],
    }
}

/// More than the rounding of a sum of non-negative terms takes off.
const ROUNDED_UP: f64 = 1.0 + 1e-9;
/// Covers underflow of 32-bit products, far below any weight.
const UNDERFLOW: f64 = 1e-30;
/// Elements of one matrix: a chunk of rows stays within some tens of MiB.
const CELLS: usize = 1 << 20;
/// Rows of a chunk: beyond it blocked products gain nothing.
const CHUNK_ROWS: usize = 256;
