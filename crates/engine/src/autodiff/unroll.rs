//! Recurrent layers step by step.
//!
//! Owns the writing of `RNN`, `GRU` and `LSTM` as plain nodes for a known number of steps, so
//! that the ordinary rules differentiate them (backpropagation through time). The products with
//! the input are one product over all steps. Must keep the names of the outputs. Called by
//! [`super::settle`].

use super::builder::{Builder, float, int, text};
use super::{Shapes, is_default};
use crate::graph::{Attribute, Graph, Node};
use crate::value::{Tensor, Value};

/// Whether the operator is a recurrent layer.
pub(super) fn is_recurrent(node: &Node) -> bool {
    is_default(&node.domain) && matches!(node.op.as_str(), "RNN" | "GRU" | "LSTM")
}

/// The graph with its recurrent layers written out; those that cannot be stay.
pub(super) fn unroll(graph: Graph, shapes: &mut Shapes) -> Graph {
    if !graph.nodes.iter().any(is_recurrent) {
        return graph;
    }
    let nodes = graph.nodes.clone();
    let mut b = Builder::named(graph, shapes.clone(), "step");
    b.clear();
    for node in nodes {
        let written = is_recurrent(&node).then(|| Layer::read(&b, &node)).flatten();
        match written {
            Some(layer) => layer.write(&mut b),
            None => b.push(node),
        }
    }
    let (graph, known) = b.into_parts();
    *shapes = known;
    graph
}

struct Layer {
    node: Node,
    gates: usize,
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    backwards: Vec<bool>,
    batch_first: bool,
    w: Vec<f32>,
    r: Vec<f32>,
    b: Option<Vec<f32>>,
    p: Option<Vec<f32>>,
    clip: f64,
    activations: Vec<Activation>,
}

#[derive(Clone)]
struct Activation {
    name: String,
    alpha: f64,
    beta: f64,
}

impl Layer {
    /// What a node asks for; `None` when a part of it is computed or has lengths.
    fn read(b: &Builder, node: &Node) -> Option<Layer> {
        let given = |i: usize| node.inputs.get(i).filter(|n| !n.is_empty());
        let gates = match node.op.as_str() {
            "RNN" => 1,
            "GRU" => 3,
            _ => 4,
        };
        let backwards = match text(node, "direction", "forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            _ => vec![false, true],
        };
        let batch_first = int(node, "layout", 0) != 0;
        let x = b.shape(given(0)?).ok()?;
        let &[first, second, input] = x.as_slice() else { return None };
        let (steps, batch) = if batch_first { (second, first) } else { (first, second) };
        let hidden = *b.shape(given(2)?).ok()?.get(2)?;
        if let Some(lengths) = given(4) {
            let lengths = b.constant_ints(lengths)?;
            if lengths.iter().any(|&l| l != steps as i64) {
                return None;
            }
        }
        let floats = |i: usize| -> Option<Vec<f32>> {
            b.constant_floats(given(i)?).map(|v| v.iter().map(|&v| v as f32).collect())
        };
        let optional = |i: usize| match given(i) {
            None => Some(None),
            Some(_) => floats(i).map(Some),
        };
        if steps * backwards.len() > STEPS_MAX || int(node, "input_forget", 0) != 0 {
            return None;
        }
        Some(Layer {
            gates,
            steps,
            batch,
            input,
            hidden,
            batch_first,
            w: floats(1)?,
            r: floats(2)?,
            b: optional(3)?,
            p: if node.op == "LSTM" { optional(7)? } else { None },
            clip: float(node, "clip", 0.0),
            activations: activations(node, backwards.len())?,
            backwards,
            node: node.clone(),
        })
    }

    fn write(&self, b: &mut Builder) {
        let mut x = self.node.inputs[0].clone();
        let time_first = [self.steps, self.batch, self.input];
        if self.batch_first {
            x = b.transpose(&x, &[1, 0, 2]);
            b.note(&x, &time_first);
        }
        let (mut all, mut last, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for d in 0..self.backwards.len() {
            let run = self.direction(b, &x, d);
            let parts: Vec<&str> = run.h.iter().map(String::as_str).collect();
            let shape = [self.steps, self.batch, self.hidden];
            let joined = join(b, &parts, 0, &shape);
            let spread = [self.steps, 1, self.batch, self.hidden];
            let y = b.reshape(&joined, &shape, &spread);
            b.note(&y, &spread);
            all.push(y);
            let end = if self.backwards[d] { run.h.first() } else { run.h.last() };
            last.extend(end.cloned());
            cells.extend(run.c);
        }
        let directions = self.backwards.len();
        let whole = [self.steps, directions, self.batch, self.hidden];
        let state = [directions, self.batch, self.hidden];
        self.give(b, 0, &all, 1, &whole, &[2, 0, 1, 3]);
        self.give(b, 1, &last, 0, &state, &[1, 0, 2]);
        if !cells.is_empty() {
            self.give(b, 2, &cells, 0, &state, &[1, 0, 2]);
        }
    }

    /// Joins the directions under the name of output `i`.
    fn give(
        &self,
        b: &mut Builder,
        i: usize,
        parts: &[String],
        axis: usize,
        shape: &[usize],
        batch_first: &[usize],
    ) {
        let Some(name) = self.node.outputs.get(i).filter(|n| !n.is_empty()).cloned() else {
            return;
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut y = join(b, &parts, axis, shape);
        if self.batch_first {
            y = b.transpose(&y, batch_first);
            let moved: Vec<usize> = batch_first.iter().map(|&p| shape[p]).collect();
            b.note(&y, &moved);
        }
        b.push(Node {
            name: name.clone(),
            op: "Identity".to_string(),
            domain: String::new(),
            inputs: vec![y],
            outputs: vec![name],
            attributes: Default::default(),
        });
    }

    fn direction(&self, b: &mut Builder, x: &str, d: usize) -> Run {
        let (n, u, wide) = (self.batch, self.hidden, self.gates * self.hidden);
        let w = turned(b, &self.w[d * wide * self.input..(d + 1) * wide * self.input], self.input);
        let own = &self.r[d * wide * u..(d + 1) * wide * u];
        let biases = self.b.as_ref().map(|v| &v[d * 2 * wide..(d + 1) * 2 * wide]);
        let apart = self.node.op == "GRU";
        let bias: Vec<f32> = (0..wide)
            .map(|i| match biases {
                None => 0.0,
                // The bias behind the reset gate is not one with the other.
                Some(v) if apart && i >= 2 * u => v[i],
                Some(v) => v[i] + v[wide + i],
            })
            .collect();
        let all = [self.steps, n, wide];
        let mut xw = b.op("MatMul", &[x, &w]);
        b.note(&xw, &all);
        if biases.is_some() {
            let bias = b.floats(&[wide], bias);
            xw = b.op("Add", &[&xw, &bias]);
            b.note(&xw, &all);
        }
        let steps = pieces(b, &xw, 0, self.steps, &[1, n, wide]);
        let cell = Cell {
            layer: self,
            d,
            r: if apart {
                vec![turned(b, &own[..2 * u * u], u), turned(b, &own[2 * u * u..], u)]
            } else {
                vec![turned(b, own, u)]
            },
            late: biases.filter(|_| apart).map(|v| b.floats(&[u], v[wide + 2 * u..].to_vec())),
            peep: self.p.as_ref().map(|p| {
                let own = &p[d * 3 * u..(d + 1) * 3 * u];
                [0, 1, 2].map(|k| b.floats(&[u], own[k * u..(k + 1) * u].to_vec()))
            }),
        };
        let mut h = self.initial(b, 5, d);
        let mut c = if self.node.op == "LSTM" { self.initial(b, 6, d) } else { None };
        let mut out = vec![String::new(); self.steps];
        for k in 0..self.steps {
            let t = if self.backwards[d] { self.steps - 1 - k } else { k };
            let (next, state) = cell.step(b, &steps[t], h.as_deref(), c.as_deref());
            out[t].clone_from(&next);
            h = Some(next);
            c = state;
        }
        Run { h: out, c }
    }

    /// The initial state of a direction as `(1, batch, hidden)`; `None` for zeros.
    fn initial(&self, b: &mut Builder, at: usize, d: usize) -> Option<String> {
        let name = self.node.inputs.get(at).filter(|n| !n.is_empty())?.clone();
        let shape = [1, self.batch, self.hidden];
        let directions = self.backwards.len();
        let whole = [directions, self.batch, self.hidden];
        let turned = match self.batch_first {
            true => {
                let t = b.transpose(&name, &[1, 0, 2]);
                b.note(&t, &whole);
                t
            }
            false => name,
        };
        if directions == 1 {
            return Some(turned);
        }
        let part = b.crop(&turned, &whole, &[d, 0, 0], &[d + 1, self.batch, self.hidden]);
        b.note(&part, &shape);
        Some(part)
    }
}

/// The states of one direction.
struct Run {
    /// Per step, in the order of time.
    h: Vec<String>,
    /// The last cell state, of an `LSTM`.
    c: Option<String>,
}

/// One direction's constants.
struct Cell<'a> {
    layer: &'a Layer,
    d: usize,
    r: Vec<String>,
    late: Option<String>,
    peep: Option<[String; 3]>,
}

impl Cell<'_> {
    /// One step: the new output, and the new cell state of an `LSTM`.
    fn step(
        &self,
        b: &mut Builder,
        x: &str,
        h: Option<&str>,
        c: Option<&str>,
    ) -> (String, Option<String>) {
        match self.layer.node.op.as_str() {
            "RNN" => {
                let pre = self.mixed(b, x, h, &self.r[0], self.layer.hidden);
                (self.act(b, 0, &pre), None)
            }
            "GRU" => (self.gru(b, x, h), None),
            _ => {
                let (h, c) = self.lstm(b, x, h, c);
                (h, Some(c))
            }
        }
    }

    fn lstm(&self, b: &mut Builder, x: &str, h: Option<&str>, c: Option<&str>) -> (String, String) {
        let pre = self.mixed(b, x, h, &self.r[0], 4 * self.layer.hidden);
        let gates = pieces(b, &pre, 2, 4, &self.one());
        let [i, o, f, new] = [&gates[0], &gates[1], &gates[2], &gates[3]];
        let i = self.peeped(b, 0, i, c);
        let i = self.act(b, 0, &i);
        let new = self.act(b, 1, new);
        let added = self.two(b, "Mul", &i, &new);
        let next = match c {
            Some(old) => {
                let f = self.peeped(b, 2, f, c);
                let f = self.act(b, 0, &f);
                let held = self.two(b, "Mul", &f, old);
                self.two(b, "Add", &held, &added)
            }
            None => added,
        };
        let o = self.peeped(b, 1, o, Some(&next));
        let o = self.act(b, 0, &o);
        let shown = self.plain(b, 2, &next);
        (self.two(b, "Mul", &o, &shown), next)
    }

    fn gru(&self, b: &mut Builder, x: &str, h: Option<&str>) -> String {
        let u = self.layer.hidden;
        let parts = pieces(b, x, 2, 3, &self.one());
        let mut gates = [parts[0].clone(), parts[1].clone()];
        if let Some(h) = h {
            let back = self.named(b, "MatMul", &[h, &self.r[0]], 2 * u);
            let back = pieces(b, &back, 2, 2, &self.one());
            for (gate, back) in gates.iter_mut().zip(&back) {
                *gate = self.two(b, "Add", gate, back);
            }
        }
        let [z, r] = [self.act(b, 0, &gates[0]), self.act(b, 0, &gates[1])];
        let late = int(&self.layer.node, "linear_before_reset", 0) != 0;
        let mut inner = parts[2].clone();
        let back = match h {
            None => self.late.clone(),
            Some(h) if late => {
                let back = self.named(b, "MatMul", &[h, &self.r[1]], u);
                Some(self.moved(b, back))
            }
            Some(h) => {
                let reset = self.two(b, "Mul", &r, h);
                let back = self.named(b, "MatMul", &[&reset, &self.r[1]], u);
                Some(self.moved(b, back))
            }
        };
        if let Some(mut back) = back {
            if late {
                back = self.two(b, "Mul", &r, &back);
            }
            inner = self.two(b, "Add", &inner, &back);
        }
        let new = self.act(b, 1, &inner);
        // (1 - z) new + z h
        let kept = self.two(b, "Mul", &z, &new);
        let fresh = self.two(b, "Sub", &new, &kept);
        match h {
            None => fresh,
            Some(h) => {
                let held = self.two(b, "Mul", &z, h);
                self.two(b, "Add", &fresh, &held)
            }
        }
    }

    /// With the bias behind the reset gate.
    fn moved(&self, b: &mut Builder, x: String) -> String {
        match &self.late {
            Some(late) => self.two(b, "Add", &x, late),
            None => x,
        }
    }

    fn mixed(&self, b: &mut Builder, x: &str, h: Option<&str>, r: &str, wide: usize) -> String {
        let Some(h) = h else { return x.to_string() };
        let back = self.named(b, "MatMul", &[h, r], wide);
        self.named(b, "Add", &[x, &back], wide)
    }

    fn peeped(&self, b: &mut Builder, k: usize, x: &str, c: Option<&str>) -> String {
        match (&self.peep, c) {
            (Some(p), Some(c)) => {
                let part = self.two(b, "Mul", &p[k], c);
                self.two(b, "Add", x, &part)
            }
            _ => x.to_string(),
        }
    }

    /// Activation `k` of what was clipped.
    fn act(&self, b: &mut Builder, k: usize, x: &str) -> String {
        let clip = self.layer.clip;
        if clip <= 0.0 {
            return self.plain(b, k, x);
        }
        let (low, high) = (b.scalar(-clip), b.scalar(clip));
        let x = self.named(b, "Clip", &[x, &low, &high], self.layer.hidden);
        self.plain(b, k, &x)
    }

    fn plain(&self, b: &mut Builder, k: usize, x: &str) -> String {
        let per = self.layer.activations.len() / self.layer.backwards.len();
        let a = &self.layer.activations[self.d * per + k];
        let alpha = ("alpha", Attribute::Float(a.alpha as f32));
        let with = match a.name.as_str() {
            "Affine" | "ScaledTanh" => return self.affine(b, a, x),
            "LeakyRelu" | "ThresholdedRelu" | "Elu" => vec![alpha],
            "HardSigmoid" => vec![alpha, ("beta", Attribute::Float(a.beta as f32))],
            _ => vec![],
        };
        let y = b.op_with(&a.name, &[x], with);
        b.note(&y, &self.one());
        y
    }

    fn affine(&self, b: &mut Builder, a: &Activation, x: &str) -> String {
        let (alpha, beta) = (b.scalar(a.alpha), b.scalar(a.beta));
        if a.name == "Affine" {
            let scaled = self.two(b, "Mul", x, &alpha);
            return self.two(b, "Add", &scaled, &beta);
        }
        let scaled = self.two(b, "Mul", x, &beta);
        let bent = self.named(b, "Tanh", &[&scaled], self.layer.hidden);
        self.two(b, "Mul", &bent, &alpha)
    }

    fn one(&self) -> [usize; 3] {
        [1, self.layer.batch, self.layer.hidden]
    }

    fn two(&self, b: &mut Builder, op: &str, x: &str, y: &str) -> String {
        self.named(b, op, &[x, y], self.layer.hidden)
    }

    fn named(&self, b: &mut Builder, op: &str, inputs: &[&str], wide: usize) -> String {
        let y = b.op(op, inputs);
        b.note(&y, &[1, self.layer.batch, wide]);
        y
    }
}

/// `(rows, depth)` weights as a constant `(depth, rows)`.
fn turned(b: &mut Builder, w: &[f32], depth: usize) -> String {
    let rows = w.len() / depth.max(1);
    let data = (0..w.len()).map(|i| w[i % rows * depth + i / rows]).collect();
    let value = Tensor::new(vec![depth, rows], data).map(Value::F32);
    b.constant(value.unwrap_or_else(|| Value::F32(Tensor::scalar(0.0))))
}

/// `count` equal parts of a value along an axis, each of `shape`.
fn pieces(b: &mut Builder, x: &str, axis: usize, count: usize, shape: &[usize]) -> Vec<String> {
    if count == 1 {
        return vec![x.to_string()];
    }
    let sizes = b.ints(&vec![shape[axis] as i64; count]);
    let with = vec![("axis", Attribute::Int(axis as i64))];
    let parts = b.op_many("Split", &[x, &sizes], count, with);
    for part in &parts {
        b.note(part, shape);
    }
    parts
}

fn join(b: &mut Builder, parts: &[&str], axis: usize, shape: &[usize]) -> String {
    if let [one] = parts {
        return one.to_string();
    }
    let y = b.op_with("Concat", parts, vec![("axis", Attribute::Int(axis as i64))]);
    b.note(&y, shape);
    y
}

fn activations(node: &Node, directions: usize) -> Option<Vec<Activation>> {
    let defaults: &[&str] = match node.op.as_str() {
        "RNN" => &["Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Sigmoid", "Tanh", "Tanh"],
    };
    let names: Vec<String> = match node.attributes.get("activations") {
        Some(Attribute::Texts(names)) => names.clone(),
        _ => (0..directions).flat_map(|_| defaults.iter().map(|n| n.to_string())).collect(),
    };
    let list = |name: &str| match node.attributes.get(name) {
        Some(Attribute::Floats(v)) => v.clone(),
        _ => Vec::new(),
    };
    let (alphas, betas) = (list("activation_alpha"), list("activation_beta"));
    let (mut alphas, mut betas) = (alphas.into_iter(), betas.into_iter());
    if names.len() != defaults.len() * directions {
        return None;
    }
    let read = |name: &String| {
        let (_, known, alpha, beta) = ACTIVATIONS.iter().find(|a| a.0 == name.to_lowercase())?;
        let next = |v: &Option<f64>, given: &mut std::vec::IntoIter<f32>| {
            v.map_or(0.0, |default| given.next().map_or(default, f64::from))
        };
        let alpha = next(alpha, &mut alphas);
        let beta = next(beta, &mut betas);
        Some(Activation { name: known.to_string(), alpha, beta })
    };
    names.iter().map(read).collect()
}

/// What the layers call an activation, its operator, and the defaults of its parameters.
type Known = (&'static str, &'static str, Option<f64>, Option<f64>);
const ACTIVATIONS: &[Known] = &[
    ("relu", "Relu", None, None),
    ("tanh", "Tanh", None, None),
    ("sigmoid", "Sigmoid", None, None),
    ("softsign", "Softsign", None, None),
    ("softplus", "Softplus", None, None),
    ("affine", "Affine", Some(1.0), Some(0.0)),
    ("leakyrelu", "LeakyRelu", Some(0.01), None),
    ("thresholdedrelu", "ThresholdedRelu", Some(1.0), None),
    ("scaledtanh", "ScaledTanh", Some(1.0), Some(1.0)),
    ("hardsigmoid", "HardSigmoid", Some(0.2), Some(0.5)),
    ("elu", "Elu", Some(1.0), None),
];

/// Steps of one layer, both directions together: a graph of some fifty thousand nodes, beyond
/// which building it takes longer than it is worth.
const STEPS_MAX: usize = 2048;
