//! Shapes of the results of each operator.
//!
//! Owns one rule per operator; an operator without a rule, and inputs that do not fit, have no
//! answer. Must never allocate by what a file says. Called by [`super`].

use super::{Fact, int, volume};
use crate::graph::{Attribute, Node};
use crate::reference::{Precision, Spec, einsum, resize, window};
use crate::value::{Tensor, Value};

/// Shapes of a node's results in order; `None` where they are not known.
pub(super) fn results(
    node: &Node,
    opset: i64,
    inputs: &[Option<&Fact>],
) -> Option<Vec<Vec<usize>>> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return None;
    }
    let of = Of { node, opset, inputs };
    let op = node.op.as_str();
    if op == "LayerNormalization" && node.outputs.len() > 1 {
        return None;
    }
    if SAME.contains(&op) {
        return Some(vec![of.shape(0)?; node.outputs.len()]);
    }
    if BROADCAST.contains(&op) {
        let shapes = (0..inputs.len()).map(|i| of.shape(i));
        return shapes.reduce(|a, b| broadcast(&a?, &b?)).flatten().map(|s| vec![s]);
    }
    if op.starts_with("Reduce") {
        return of.reduced().map(|s| vec![s]);
    }
    match op {
        "Split" => return of.split(),
        "RNN" | "GRU" | "LSTM" => return of.recurrent(),
        "MaxPool" | "TopK" => {
            let shape = if op == "TopK" { of.top()? } else { of.window(None)? };
            return Some(vec![shape; node.outputs.len()]);
        }
        "DynamicQuantizeLinear" => return Some(vec![of.shape(0)?, Vec::new(), Vec::new()]),
        _ => {}
    }
    of.one().map(|s| vec![s])
}

/// The value that `Shape` or `Size` gives.
pub(super) fn told(node: &Node, input: &Fact) -> Option<Fact> {
    let shape = input.shape();
    if node.op == "Size" {
        return Some(Fact::Known(Value::I64(Tensor::scalar(volume(&shape)? as i64))));
    }
    let rank = shape.len() as i64;
    let place = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (from, to) = (place(int(node, "start", 0)?), place(int(node, "end", rank)?));
    let dims = shape.get(from..to.max(from))?.iter().map(|&d| d as i64).collect();
    Some(Fact::Known(Value::I64(Tensor::vector(dims))))
}

/// A node and what is known of its inputs.
struct Of<'a> {
    node: &'a Node,
    opset: i64,
    inputs: &'a [Option<&'a Fact>],
}

impl Of<'_> {
    fn shape(&self, i: usize) -> Option<Vec<usize>> {
        Some(self.fact(i)?.shape())
    }

    fn fact(&self, i: usize) -> Option<&Fact> {
        self.inputs.get(i).copied().flatten()
    }

    fn value(&self, i: usize) -> Option<&Value> {
        match self.fact(i)? {
            Fact::Known(value) => Some(value),
            Fact::Shaped(_) => None,
        }
    }

    /// Integers that are an attribute, or an input since some opset; `Some(None)` when neither
    /// is there.
    fn ints(&self, name: &str, i: usize) -> Option<Option<Vec<i64>>> {
        match self.node.attributes.get(name) {
            Some(Attribute::Ints(v)) => Some(Some(v.clone())),
            Some(Attribute::Int(v)) => Some(Some(vec![*v])),
            Some(_) => None,
            None if self.fact(i).is_none() => Some(None),
            None => self.value(i)?.to_i64s().map(Some),
        }
    }

    fn spec(&self) -> Spec<'_> {
        Spec { node: self.node, opset: self.opset, precision: Precision::F32 }
    }

    fn int(&self, name: &str, default: i64) -> Option<i64> {
        int(self.node, name, default)
    }

    fn one(&self) -> Option<Vec<usize>> {
        match self.node.op.as_str() {
            "Constant" => match self.node.attributes.values().next()? {
                Attribute::Tensor(v) => Some(v.shape()),
                Attribute::Ints(v) => Some(vec![v.len()]),
                Attribute::Floats(v) => Some(vec![v.len()]),
                Attribute::Texts(v) => Some(vec![v.len()]),
                _ => Some(Vec::new()),
            },
            "MatMul" | "MatMulInteger" => product(&self.shape(0)?, &self.shape(1)?),
            "QLinearMatMul" => product(&self.shape(0)?, &self.shape(3)?),
            "Gemm" => self.gemm(),
            "Conv" | "ConvInteger" => self.window(Some(1)),
            "QLinearConv" => self.window(Some(3)),
            "AveragePool" => self.window(None),
            "ConvTranspose" => self.transposed(),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let shape = self.shape(0)?;
                Some(shape.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect())
            }
            "ArgMax" | "ArgMin" => {
                let mut shape = self.shape(0)?;
                let axis = axis(self.int("axis", 0)?, shape.len())?;
                match self.int("keepdims", 1)? {
                    0 => drop(shape.remove(axis)),
                    _ => shape[axis] = 1,
                }
                Some(shape)
            }
            "Transpose" => {
                let shape = self.shape(0)?;
                let Some(Attribute::Ints(order)) = self.node.attributes.get("perm") else {
                    return Some(shape.into_iter().rev().collect());
                };
                let at = |&a: &i64| shape.get(axis(a, shape.len())?).copied();
                (order.len() == shape.len()).then(|| order.iter().map(at).collect())?
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshaped(),
            "Shape" | "Size" => None,
            _ => self.moved().or_else(|| self.grown()),
        }
    }

    fn reshaped(&self) -> Option<Vec<usize>> {
        let shape = self.shape(0)?;
        let rank = shape.len();
        match self.node.op.as_str() {
            "Flatten" => {
                let at = match self.int("axis", 1)? {
                    a if a == rank as i64 => rank,
                    a => axis(a, rank)?,
                };
                Some(vec![shape[..at].iter().product(), shape[at..].iter().product()])
            }
            "Reshape" => {
                let wanted = self.ints("shape", 1)??;
                let literal = self.int("allowzero", 0)? != 0;
                let mut out = Vec::with_capacity(wanted.len());
                for (i, &d) in wanted.iter().enumerate() {
                    out.push(match d {
                        -1 => 1,
                        0 if !literal => *shape.get(i)?,
                        d => usize::try_from(d).ok()?,
                    });
                }
                if let Some(open) = wanted.iter().position(|&d| d == -1) {
                    out[open] = volume(&shape)?.checked_div(volume(&out)?)?;
                }
                (volume(&out)? == volume(&shape)?).then_some(out)
            }
            "Squeeze" => {
                let gone: Vec<bool> = match self.ints("axes", 1)? {
                    Some(axes) => mask(&axes, rank)?,
                    None => shape.iter().map(|&d| d == 1).collect(),
                };
                let kept = shape.iter().zip(gone).filter(|(_, gone)| !gone).map(|(&d, _)| d);
                Some(kept.collect())
            }
            _ => {
                let axes = self.ints("axes", 1)??;
                let new = mask(&axes, rank.checked_add(axes.len())?)?;
                let mut own = shape.into_iter();
                new.into_iter().map(|n| if n { Some(1) } else { own.next() }).collect()
            }
        }
    }

    /// What moves elements, or picks some.
    fn moved(&self) -> Option<Vec<usize>> {
        let mut shape = self.shape(0)?;
        let rank = shape.len();
        let block = || usize::try_from(self.int("blocksize", 0)?).ok().filter(|&b| b > 0);
        match self.node.op.as_str() {
            "Concat" => {
                let at = axis(self.int("axis", 0)?, rank)?;
                for i in 1..self.inputs.len() {
                    let next = self.shape(i).filter(|s| s.len() == rank)?;
                    shape[at] = shape[at].checked_add(next[at])?;
                }
                Some(shape)
            }
            "Gather" => {
                let at = axis(self.int("axis", 0)?, rank)?;
                let indices = self.shape(1)?;
                Some([&shape[..at], &indices, &shape[at + 1..]].concat())
            }
            "GatherElements" => self.shape(1),
            "GatherND" => {
                let lead = usize::try_from(self.int("batch_dims", 0)?).ok()?;
                let indices = self.shape(1)?;
                let (&depth, outer) = indices.split_last()?;
                let rest = shape.get(lead.checked_add(depth)?..)?;
                Some([outer, rest].concat())
            }
            "Slice" => self.sliced(),
            "DepthToSpace" => {
                let (b, &[n, c, h, w]) = (block()?, shape.as_slice()) else { return None };
                let cells = b.checked_mul(b)?;
                Some(vec![n, c / cells, h.checked_mul(b)?, w.checked_mul(b)?])
            }
            "SpaceToDepth" => {
                let (b, &[n, c, h, w]) = (block()?, shape.as_slice()) else { return None };
                Some(vec![n, c.checked_mul(b.checked_mul(b)?)?, h / b, w / b])
            }
            "GridSample" => {
                let grid = self.shape(1)?;
                Some([shape.get(..2)?, grid.get(1..grid.len().checked_sub(1)?)?].concat())
            }
            _ => None,
        }
    }

    fn sliced(&self) -> Option<Vec<usize>> {
        let mut shape = self.shape(0)?;
        let starts = self.ints("starts", 1)??;
        let ends = self.ints("ends", 2)??;
        let axes = self.ints("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return None;
        }
        for i in 0..starts.len() {
            let at = axis(axes[i], shape.len())?;
            let n = i64::try_from(shape[at]).ok()?;
            let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
            let step = steps[i];
            let span = match step {
                0 => return None,
                1.. => wrap(ends[i]).clamp(0, n) - wrap(starts[i]).clamp(0, n),
                _ => wrap(starts[i]).clamp(-1, n - 1) - wrap(ends[i]).clamp(-1, n - 1),
            };
            let span = usize::try_from(span).unwrap_or(0);
            shape[at] = span.div_ceil(usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX));
        }
        Some(shape)
    }

    /// What may give more elements than it reads.
    fn grown(&self) -> Option<Vec<usize>> {
        match self.node.op.as_str() {
            "Expand" => broadcast(&self.shape(0)?, &sizes(&self.ints("shape", 1)??)?),
            "Tile" => {
                let (shape, repeats) = (self.shape(0)?, sizes(&self.ints("repeats", 1)??)?);
                let times = |(&d, &r): (&usize, &usize)| Some(d.saturating_mul(r));
                (shape.len() == repeats.len())
                    .then(|| shape.iter().zip(&repeats).map(times).collect())?
            }
            "ConstantOfShape" => sizes(&self.ints("shape", 0)??),
            "Range" => {
                let at = |i| self.value(i)?.to_f64s()?.first().copied();
                let count = ((at(1)? - at(0)?) / at(2)?).ceil().max(0.0);
                // A count beyond what fits saturates, which is beyond the limit, too.
                count.is_finite().then(|| vec![count as usize])
            }
            "Pad" => {
                let mut shape = self.shape(0)?;
                let pads = self.ints("pads", 1)??;
                let all = || (0..shape.len() as i64).collect();
                let axes: Vec<i64> = self.ints("axes", 3)?.unwrap_or_else(all);
                (pads.len() == 2 * axes.len()).then_some(())?;
                for (i, &a) in axes.iter().enumerate() {
                    let at = axis(a, shape.len())?;
                    let wide = i64::try_from(shape[at]).ok()?.saturating_add(pads[i]);
                    shape[at] = usize::try_from(wide.saturating_add(pads[i + axes.len()])).ok()?;
                }
                Some(shape)
            }
            "OneHot" => {
                let mut shape = self.shape(0)?;
                let depth = *self.value(1)?.to_f64s()?.first()?;
                let at = axis(self.int("axis", -1)?, shape.len() + 1)?;
                shape.insert(at, if depth >= 1.0 { depth as usize } else { return None });
                Some(shape)
            }
            "Resize" | "Upsample" => self.resized(),
            "Einsum" => {
                let equation = self.spec().text("equation").ok()??.to_string();
                let shapes: Vec<Vec<usize>> =
                    (0..self.inputs.len()).map(|i| self.shape(i)).collect::<Option<_>>()?;
                einsum::result(&equation, &shapes).ok()
            }
            _ => None,
        }
    }

    fn resized(&self) -> Option<Vec<usize>> {
        let values: Vec<Option<&Value>> = self.inputs.iter().map(|i| known(*i)).collect();
        let lost = self.inputs.iter().zip(&values).skip(1).any(|(i, v)| i.is_some() && v.is_none());
        if lost {
            return None;
        }
        resize::sizes(&self.spec(), &self.shape(0)?, &values).ok()
    }

    fn gemm(&self) -> Option<Vec<usize>> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        let (&[m, k], &[l, n]) = (a.as_slice(), b.as_slice()) else { return None };
        let rows = if self.int("transA", 0)? == 0 { m } else { k };
        Some(vec![rows, if self.int("transB", 0)? == 0 { n } else { l }])
    }

    /// Convolutions (with the input that holds the weights) and pooling.
    fn window(&self, weights: Option<usize>) -> Option<Vec<usize>> {
        let shape = self.shape(0)?;
        let weights = match weights {
            Some(i) => Some(self.shape(i)?),
            None => None,
        };
        let read = window::Window::read(&self.spec()).ok()?;
        let taps = match &weights {
            Some(w) => Some(w.get(2..)?),
            None => None,
        };
        let geometry = read.over(&shape, taps).ok()?;
        let channels = weights.as_ref().map_or(shape[1], |w| w[0]);
        Some(geometry.shape(shape[0], channels, &geometry.output))
    }

    fn transposed(&self) -> Option<Vec<usize>> {
        let (shape, weights) = (self.shape(0)?, self.shape(1)?);
        let spec = self.spec();
        let extra = spec.sizes("output_padding").ok()?.unwrap_or_default();
        let wanted = spec.sizes("output_shape").ok()?;
        let wanted = wanted.as_ref().map(|w| &w[(w.len() + 2).saturating_sub(shape.len())..]);
        let read = window::Window::read(&spec).ok()?;
        let geometry = read.transposed(&shape, weights.get(2..)?, &extra, wanted).ok()?;
        let groups = usize::try_from(self.int("group", 1)?).ok()?;
        // The reference holds a column per place before it adds them up.
        let columns = [weights[1], geometry.taps(), geometry.outputs()];
        volume(&columns)?;
        Some(geometry.shape(shape[0], weights[1].checked_mul(groups)?, &geometry.input))
    }

    fn reduced(&self) -> Option<Vec<usize>> {
        let shape = self.shape(0)?;
        let axes = self.ints("axes", 1)?.unwrap_or_default();
        if axes.is_empty() && self.int("noop_with_empty_axes", 0)? != 0 {
            return Some(shape);
        }
        let gone = match axes.is_empty() {
            true => vec![true; shape.len()],
            false => mask(&axes, shape.len())?,
        };
        let keep = self.int("keepdims", 1)? != 0;
        let kept = shape.iter().zip(gone).filter(|(_, gone)| keep || !gone);
        Some(kept.map(|(&d, gone)| if gone { 1 } else { d }).collect())
    }

    fn split(&self) -> Option<Vec<Vec<usize>>> {
        let shape = self.shape(0)?;
        let at = axis(self.int("axis", 0)?, shape.len())?;
        let count =
            usize::try_from(self.int("num_outputs", self.node.outputs.len() as i64)?).ok()?;
        if count > self.node.outputs.len() {
            return None;
        }
        let parts = match self.ints("split", 1)? {
            Some(parts) => sizes(&parts)?,
            None => {
                let size = shape[at].div_ceil(count.max(1));
                (0..count).map(|i| shape[at].saturating_sub(i * size).min(size)).collect()
            }
        };
        let part = |&size: &usize| {
            let mut shape = shape.clone();
            shape[at] = size;
            shape
        };
        Some(parts.iter().map(part).collect())
    }

    fn top(&self) -> Option<Vec<usize>> {
        let mut shape = self.shape(0)?;
        let at = axis(self.int("axis", -1)?, shape.len())?;
        let k = usize::try_from(*self.ints("k", 1)??.first()?).ok()?;
        shape[at] = (k <= shape[at]).then_some(k)?;
        Some(shape)
    }

    /// All steps and the last states.
    fn recurrent(&self) -> Option<Vec<Vec<usize>>> {
        let (shape, states) = (self.shape(0)?, self.shape(2)?);
        let (&[a, b, _], &[directions, _, hidden]) = (shape.as_slice(), states.as_slice()) else {
            return None;
        };
        let (all, last) = match self.int("layout", 0)? {
            0 => (vec![a, directions, b, hidden], vec![directions, b, hidden]),
            _ => (vec![a, b, directions, hidden], vec![a, directions, hidden]),
        };
        Some(vec![all, last.clone(), last])
    }
}

fn known(fact: Option<&Fact>) -> Option<&Value> {
    match fact? {
        Fact::Known(value) => Some(value),
        Fact::Shaped(_) => None,
    }
}

fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |k| s[k]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Some(x),
            (1, y) => Some(y),
            _ => None,
        })
        .collect()
}

fn product(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let (lead_a, m) = match a {
        [] => return None,
        [_] => (&[][..], None),
        [lead @ .., m, _] => (lead, Some(*m)),
    };
    let (lead_b, n) = match b {
        [] => return None,
        [_] => (&[][..], None),
        [lead @ .., _, n] => (lead, Some(*n)),
    };
    let mut shape = broadcast(lead_a, lead_b)?;
    shape.extend(m);
    shape.extend(n);
    Some(shape)
}

fn axis(a: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let at = if a < 0 { a.checked_add(rank)? } else { a };
    (0..rank).contains(&at).then_some(at as usize)
}

fn mask(axes: &[i64], rank: usize) -> Option<Vec<bool>> {
    // Axes are distinct, so a rank beyond what a list of them can hold has no answer.
    let mut mask = vec![false; rank];
    for &a in axes {
        mask[axis(a, rank)?] = true;
    }
    Some(mask)
}

fn sizes(v: &[i64]) -> Option<Vec<usize>> {
    v.iter().map(|&d| usize::try_from(d).ok()).collect()
}

/// Operators whose results have the shape of their first input.
#[rustfmt::skip]
const SAME: &[&str] = &[
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "Cast",
    "CastLike", "Ceil", "Clip", "Cos", "Cosh", "CumSum", "DequantizeLinear", "Dropout", "Elu",
    "Erf", "Exp", "EyeLike", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization", "LeakyRelu", "Log",
    "LogSoftmax", "Neg", "Not", "PRelu", "QuantizeLinear", "Reciprocal", "Relu",
    "ReverseSequence", "Round", "Scatter", "ScatterElements", "ScatterND", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "Trilu",
];

/// Operators that broadcast all their inputs.
#[rustfmt::skip]
const BROADCAST: &[&str] = &[
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
    "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
];
