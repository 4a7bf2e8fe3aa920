//! Support vector machines and distances in plain ONNX.
//!
//! Owns the unrolled coupling of two probabilities. Every rewrite takes the terms in the order
//! of [`crate::reference`], so the bits are the same; with more than two classes the coupling
//! has no fixed number of steps and the operator stays. Called by the table in [`super`].

use super::{Known, Rewrite};
use crate::graph::{Attribute, Node};
use crate::reference::svm::{
    COUPLED, Classifier, Machine, PAIR_HIGH, PAIR_LOW, Read, Similarity, pairs, read_regressor,
};
use crate::reference::{OpError, wrong};
use crate::value::{DType, Tensor, Value};

/// Differences between one row and all vectors: a batch of 32 then takes at most 128 MiB.
const DIFFERENCES_MAX: usize = 1 << 20;
/// Steps after which the coupling of two probabilities has ended, wherever it began: one
/// brings the error below its bound for most scores, two for all; a test of the reference asks.
pub(crate) const SWEEPS: usize = 2;

/// The attributes of a node as the reference reads them.
struct Attributes<'a>(&'a Node);

impl Read for Attributes<'_> {
    fn floats_of(&self, name: &str) -> Result<Vec<f32>, OpError> {
        match self.0.attributes.get(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Floats(v)) => Ok(v.clone()),
            Some(Attribute::Ints(v)) if v.is_empty() => Ok(Vec::new()),
            Some(_) => Err(wrong(name, "is not a list of floats")),
        }
    }
    fn ints_of(&self, name: &str) -> Result<Vec<i64>, OpError> {
        match self.0.attributes.get(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Ints(v)) => Ok(v.clone()),
            Some(_) => Err(wrong(name, "is not a list of integers")),
        }
    }
    fn int_of(&self, name: &str) -> Result<i64, OpError> {
        match self.0.attributes.get(name) {
            None => Ok(0),
            Some(Attribute::Int(v)) => Ok(*v),
            Some(_) => Err(wrong(name, "is not an integer")),
        }
    }
    fn text_of(&self, name: &str, default: &'static str) -> Result<String, OpError> {
        match self.0.attributes.get(name) {
            None => Ok(default.to_string()),
            Some(Attribute::Text(v)) => Ok(v.clone()),
            Some(_) => Err(wrong(name, "is not text")),
        }
    }
}

impl Rewrite<'_> {
    /// A node of two inputs with an output of its own.
    fn both(&mut self, op: &str, a: &str, b: &str) -> String {
        let output = self.numbered();
        self.emit(op, &[a, b], &output, &[]);
        output
    }
    fn single_of(&mut self, op: &str, a: &str) -> String {
        let output = self.numbered();
        self.emit(op, &[a], &output, &[]);
        output
    }
    fn numbered(&self) -> String {
        self.fresh(&format!("svm{}", self.nodes.len()))
    }
    fn number(&mut self, part: &str, v: f32) -> String {
        self.row(part, &[v], DType::F32)
    }
    fn matrix(&mut self, part: &str, shape: [usize; 2], data: Vec<f32>) -> Option<String> {
        let value = Value::F32(Tensor::new(shape.to_vec(), data)?);
        Some(self.constant(part, value))
    }
    /// A node with one axis, as an attribute or, since opset 13, as an input.
    fn along(&mut self, op: &str, input: &str, axis: i64, keep: bool) -> String {
        let output = self.numbered();
        let mut with = Vec::new();
        if op == "ReduceSum" {
            with.push(("keepdims", Attribute::Int(i64::from(keep))));
        }
        if self.graph.opset("") >= 13 {
            let axes = self.constant(
                &format!("axis{}", self.nodes.len()),
                Value::I64(Tensor::vector(vec![axis])),
            );
            self.emit(op, &[input, &axes], &output, &with);
        } else {
            with.push(("axes", Attribute::Ints(vec![axis])));
            self.emit(op, &[input], &output, &with);
        }
        output
    }

    /// Squared distances `(rows, count)` to the rows of a constant.
    fn squares(&mut self, x: &str, vectors: &str) -> String {
        let row = self.along("Unsqueeze", x, 1, true);
        let gap = self.both("Sub", &row, vectors);
        let square = self.both("Mul", &gap, &gap);
        self.along("ReduceSum", &square, 2, false)
    }

    /// Similarities `(rows, count)`.
    fn similarities(&mut self, m: &Machine, x: &str) -> Option<String> {
        let (count, columns) = (m.count, m.columns());
        if let Similarity::Rbf { gamma } = m.similarity {
            if m.vectors.len() > DIFFERENCES_MAX {
                return None;
            }
            let vectors = self.matrix("vectors", [count, columns], m.vectors.clone())?;
            let squares = self.squares(x, &vectors);
            let minus = self.number("gamma", -gamma);
            let scaled = self.both("Mul", &squares, &minus);
            return Some(self.single_of("Exp", &scaled));
        }
        let turned = (0..columns).flat_map(|c| (0..count).map(move |v| v * columns + c));
        let turned = turned.map(|i| m.vectors[i]).collect();
        let vectors = self.matrix("vectors", [columns, count], turned)?;
        let product = self.both("MatMul", x, &vectors);
        let (gamma, coef0) = match m.similarity {
            Similarity::Poly { gamma, coef0, .. } | Similarity::Sigmoid { gamma, coef0 } => {
                (gamma, coef0)
            }
            _ => return Some(product),
        };
        let (gamma, coef0) = (self.number("gamma", gamma), self.number("coef0", coef0));
        let scaled = self.both("Mul", &product, &gamma);
        let moved = self.both("Add", &scaled, &coef0);
        Some(match m.similarity {
            Similarity::Poly { degree, .. } => {
                let degree = self.number("degree", degree);
                self.both("Pow", &moved, &degree)
            }
            _ => self.single_of("Tanh", &moved),
        })
    }

    /// Scores `(rows, scores)`.
    fn machine(&mut self, m: &Machine, x: Known) -> Option<String> {
        x.rank.filter(|&r| r == 2)?;
        let from = self.single(x)?;
        let similarities = self.similarities(m, &from)?;
        let scores = m.offsets.len();
        let weights = self.matrix("weights", [m.count, scores], m.weights.clone())?;
        let offsets = self.row("offsets", &m.offsets, DType::F32);
        let product = self.both("MatMul", &similarities, &weights);
        Some(self.both("Add", &product, &offsets))
    }

    pub(super) fn svm_regressor(&mut self, x: Known) -> Option<()> {
        let attributes = Attributes(self.node);
        let machine = read_regressor(&attributes).ok()?;
        // A sign has no gradient; the operator stays as it is.
        (attributes.int_of("one_class").ok()? == 0).then_some(())?;
        let output = self.output(0)?;
        let scores = self.machine(&machine, x)?;
        self.emit("Identity", &[&scores], &output, &[]);
        Some(())
    }

    pub(super) fn svm_classifier(&mut self, x: Known) -> Option<()> {
        let labels = self.labels()?;
        let c = Classifier::read(&Attributes(self.node), labels.len()).ok()?;
        let transform = self.text("post_transform", "NONE");
        let two = c.classes == 2;
        if !c.pairs || (!c.slopes.is_empty() && !two) || transform == "SOFTMAX_ZERO" {
            return None;
        }
        let scores = self.machine(&c.machine, x)?;
        if let Some(output) = self.output(1) {
            if two && c.slopes.is_empty() {
                self.two_scores(&transform, &scores, &output)?;
            } else {
                let given = match c.slopes.first() {
                    Some(&slope) => self.coupled(&scores, slope),
                    None => scores.clone(),
                };
                let op = match transform.as_str() {
                    "NONE" => "Identity",
                    "LOGISTIC" => "Sigmoid",
                    "SOFTMAX" => "Softmax",
                    _ => return None,
                };
                let axis = [("axis", Attribute::Int(1))];
                self.emit(op, &[&given], &output, if op == "Softmax" { &axis } else { &[] });
            }
        }
        let Some(label) = self.output(0) else { return Some(()) };
        self.voted(&c, &scores, labels, &label)
    }

    /// One score as two.
    fn two_scores(&mut self, transform: &str, scores: &str, output: &str) -> Option<()> {
        let minus = match transform {
            "NONE" | "LOGISTIC" => self.single_of("Neg", scores),
            "SOFTMAX" => {
                let one = self.number("one", 1.0);
                self.both("Sub", &one, scores)
            }
            _ => return None,
        };
        let [mut first, mut second] = [minus, scores.to_string()];
        if transform == "LOGISTIC" {
            (first, second) =
                (self.single_of("Sigmoid", &first), self.single_of("Sigmoid", &second));
        }
        self.emit("Concat", &[&first, &second], output, &[("axis", Attribute::Int(1))]);
        Some(())
    }

    /// The label with most votes.
    fn voted(&mut self, c: &Classifier, scores: &str, labels: Value, label: &str) -> Option<()> {
        let (count, k) = (c.machine.offsets.len(), c.classes);
        let (mut wins, mut losses) = (vec![0.0; count * k], vec![0.0; count * k]);
        for (p, (i, j)) in pairs(k).enumerate() {
            wins[p * k + i] = 1.0;
            losses[p * k + j] = 1.0;
        }
        let (wins, losses) =
            (self.matrix("wins", [count, k], wins)?, self.matrix("losses", [count, k], losses)?);
        let (zero, one) = (self.number("none", 0.0), self.number("all", 1.0));
        let above = self.both("Greater", scores, &zero);
        let won = self.numbered();
        self.emit("Cast", &[&above], &won, &[("to", Attribute::Int(super::FLOAT))]);
        let lost = self.both("Sub", &one, &won);
        let (a, b) = (self.both("MatMul", &won, &wins), self.both("MatMul", &lost, &losses));
        let votes = self.both("Add", &a, &b);
        let class = self.numbered();
        let first = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))];
        self.emit("ArgMax", &[&votes], &class, &first);
        let labels = self.constant("labels", labels);
        self.emit("Gather", &[&labels, &class], label, &[("axis", Attribute::Int(0))]);
        Some(())
    }

    /// Probabilities `(rows, 2)` of two classes from the score of their pair: the coupling of
    /// the reference, unrolled, each sweep kept where the error still asked for it.
    fn coupled(&mut self, score: &str, (a, b): (f32, f32)) -> String {
        let [a, b] = [("slope", a), ("shift", b)].map(|(p, v)| self.number(p, v));
        let [low, high] = [("low", PAIR_LOW), ("high", PAIR_HIGH)].map(|(p, v)| self.number(p, v));
        let [one, half] = [("one", 1.0), ("half", 0.5)].map(|(p, v)| self.number(p, v));
        // At least the bound is above the number before it; `GreaterOrEqual` came later.
        let end = self.number("end", ((COUPLED / 2.0) as f32).next_down());
        let scaled = self.both("Mul", score, &a);
        let moved = self.both("Add", &scaled, &b);
        let minus = self.single_of("Neg", &moved);
        let raw = self.single_of("Sigmoid", &minus);
        let above = self.both("Max", &raw, &low);
        let r01 = self.both("Min", &above, &high);
        let r10 = self.both("Sub", &one, &r01);
        let cross = self.both("Mul", &r10, &r01);
        let cross = self.single_of("Neg", &cross);
        let q =
            [[self.both("Mul", &r10, &r10), cross.clone()], [cross, self.both("Mul", &r01, &r01)]];
        let mut p = [half.clone(), half];
        for _ in 0..SWEEPS {
            p = self.sweep(&q, p, (&one, &end));
        }
        let output = self.numbered();
        self.emit("Concat", &[&p[0], &p[1]], &output, &[("axis", Attribute::Int(1))]);
        output
    }

    fn sweep(
        &mut self,
        q: &[[String; 2]; 2],
        before: [String; 2],
        (one, end): (&str, &str),
    ) -> [String; 2] {
        let mut p = before.clone();
        let mut qp = [0, 1].map(|i| {
            let parts = [0, 1].map(|j: usize| self.both("Mul", &q[i][j], &p[j]));
            self.both("Add", &parts[0], &parts[1])
        });
        let parts = [0, 1].map(|i: usize| self.both("Mul", &p[i], &qp[i]));
        let mut total = self.both("Add", &parts[0], &parts[1]);
        let far = [0, 1].map(|i: usize| {
            let gap = self.both("Sub", &qp[i], &total);
            let gap = self.single_of("Abs", &gap);
            self.both("Greater", &gap, end)
        });
        let go = self.both("Or", &far[0], &far[1]);
        for i in 0..2 {
            let gap = self.both("Sub", &total, &qp[i]);
            let step = self.both("Div", &gap, &q[i][i]);
            let divisor = self.both("Add", one, &step);
            p[i] = self.both("Add", &p[i], &step);
            let product = self.both("Mul", &step, &q[i][i]);
            let twice = self.both("Add", &qp[i], &qp[i]);
            let inner = self.both("Add", &product, &twice);
            let inner = self.both("Mul", &step, &inner);
            total = self.both("Add", &total, &inner);
            total = self.both("Div", &total, &divisor);
            total = self.both("Div", &total, &divisor);
            for j in 0..2 {
                let part = self.both("Mul", &step, &q[i][j]);
                let sum = self.both("Add", &qp[j], &part);
                qp[j] = self.both("Div", &sum, &divisor);
                p[j] = self.both("Div", &p[j], &divisor);
            }
        }
        [0, 1].map(|i: usize| {
            let output = self.numbered();
            self.emit("Where", &[&go, &p[i], &before[i]], &output, &[]);
            output
        })
    }

    /// `CDist` to the rows of a constant.
    pub(super) fn distances(&mut self, x: Known) -> Option<()> {
        x.dtype.filter(|&d| d == DType::F32)?;
        x.rank.filter(|&r| r == 2)?;
        let vectors = self.node.inputs.get(1)?.clone();
        let held = self.graph.constants.get(&vectors)?;
        if held.len() > DIFFERENCES_MAX || held.dtype() != Some(DType::F32) {
            return None;
        }
        let root = match self.text("metric", "sqeuclidean").as_str() {
            "euclidean" => true,
            "sqeuclidean" => false,
            _ => return None,
        };
        let output = self.output(0)?;
        let input = self.input();
        let squares = self.squares(&input, &vectors);
        let op = if root { "Sqrt" } else { "Identity" };
        self.emit(op, &[&squares], &output, &[]);
        Some(())
    }

    /// `Binarizer`: 1 above the threshold.
    pub(super) fn binarizer(&mut self, x: Known) -> Option<()> {
        x.dtype.filter(|&d| d == DType::F32)?;
        let threshold = match self.node.attributes.get("threshold") {
            Some(Attribute::Float(v)) => *v,
            None => 0.0,
            Some(_) => return None,
        };
        let output = self.output(0)?;
        let threshold = self.number("threshold", threshold);
        let input = self.input();
        let above = self.both("Greater", &input, &threshold);
        self.emit("Cast", &[&above], &output, &[("to", Attribute::Int(super::FLOAT))]);
        Some(())
    }
}
