//! The loss and its gradient as one graph with the forward pass.
//!
//! Owns where the loss is attached (the logit tap) and the losses. Where the declared
//! output is a softmax or a sigmoid of a value, that value is differentiated: behind a saturated
//! probability the gradient would vanish in `f32` and a robust figure would be an illusion
//! (Carlini, Wagner: Towards Evaluating the Robustness of Neural Networks, 2017). Must never
//! run a model except to probe shapes. Called by [`crate::pipeline`].

use crate::autodiff::{self, AutodiffError, Builder, Shapes};
use crate::graph::{Attribute, Dim, Graph, Node, ValueInfo};
use crate::pipeline::{Answer, LossKind};
use crate::reference::RunError;
use crate::value::{DType, Inputs};

mod ratio;
mod single;

/// Name of the input that holds the labels, `(rows, classes)`, one 1 per row.
pub const ONEHOT: &str = "proofmark:onehot";
/// Name of the input that holds the classes to be reached, like [`ONEHOT`].
pub const TARGET: &str = "proofmark:target";
/// Name of the output that holds the loss per row.
pub const LOSS: &str = "proofmark:loss";

/// Where a loss is attached.
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    /// The value that is differentiated.
    pub value: String,
    /// How it becomes logits.
    pub form: Form,
    /// The choice in words, when the value is not the declared output as it is.
    pub words: Option<String>,
}

/// How a value becomes logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Logits as they are; one column `z` is `[0, z]`.
    Logits,
    /// One column `z`, the logit of class 0: `[z, 0]`.
    Reversed,
    /// Independent sigmoids: their logarithms, so that normalising them is a softmax.
    LogSigmoid,
    /// Probabilities without a tap: their logarithms, clipped at [`PROBABILITY_MIN`].
    LogProbability,
}

/// What a gradient graph is built for.
pub(crate) struct Spec<'a> {
    pub tap: &'a Tap,
    pub classes: usize,
    pub width: usize,
    pub kind: LossKind,
    /// Offset of the margin per class.
    pub offsets: &'a [f64],
    /// Whether the engine repeats values over windows (`Resize`) faster than it moves axes:
    /// ONNX Runtime does by far, rten does not.
    pub stretch: bool,
}

/// Why a gradient graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// The model cannot be differentiated.
    #[error(transparent)]
    Autodiff(#[from] AutodiffError),
    /// The shapes cannot be found.
    #[error("the shapes of the model cannot be found: {0}")]
    Probe(#[from] RunError),
}

/// Finds where to attach the loss.
///
/// # Errors
/// Labels, which have no gradient, in words.
pub fn tap(graph: &Graph, output: &str, answer: Answer, columns: usize) -> Result<Tap, String> {
    let mut tap = place(graph, output, answer, columns)?;
    // A gradient that is an estimate is called one wherever the gradient is spoken of.
    if let Some(estimate) = autodiff::estimated(graph) {
        tap.words = Some(match tap.words {
            Some(words) => format!("{words}; {estimate}"),
            None => estimate,
        });
    }
    Ok(tap)
}

fn place(graph: &Graph, output: &str, answer: Answer, columns: usize) -> Result<Tap, String> {
    if answer == Answer::Label {
        return Err(format!("the output `{output}` is a label, which has no gradient"));
    }
    let plain = |form, words| Tap { value: output.to_string(), form, words };
    let found = search(graph, output, answer, columns);
    if let Some(tap) = found {
        return Ok(tap);
    }
    if answer != Answer::Probability {
        return Ok(plain(Form::Logits, None));
    }
    let words = format!(
        "no logits found behind the probabilities `{output}`: differentiated the logarithm of \
         the probabilities, clipped at {PROBABILITY_MIN:e}"
    );
    Ok(plain(Form::LogProbability, Some(words)))
}

/// Offsets of the margin per label for a cut-off on one of two classes.
///
/// # Errors
/// A cut-off that is no probability between 0 and 1, or more than two classes.
pub fn offsets(classes: usize, cutoff: Option<(usize, f64)>) -> Result<Vec<f64>, String> {
    let mut offsets = vec![0.0; classes];
    let Some((class, t)) = cutoff else { return Ok(offsets) };
    if classes != 2 || class > 1 {
        return Err(format!("a cut-off needs two classes, the model has {classes}"));
    }
    if !(t > 0.0 && t < 1.0) {
        return Err(format!("the cut-off {t} lies not between 0 and 1"));
    }
    let threshold = (t / (1.0 - t)).ln();
    offsets[class] = -threshold;
    offsets[1 - class] = threshold;
    Ok(offsets)
}

/// The forward graph with the loss per row and the gradient of each of `wrt`.
///
/// Outputs: the declared output, [`LOSS`], `grad:<wrt>`. The graph is specialised to the shapes
/// of `inputs`.
pub(crate) fn fused(
    core: &Graph,
    inputs: &Inputs,
    spec: &Spec,
    wrt: &[String],
) -> Result<Graph, LossError> {
    let mut shapes: Shapes = autodiff::probe(core, inputs)?;
    let mut graph = autodiff::settle(core, &mut shapes);
    let (width, classes) = (spec.width, spec.classes);
    let chosen = [Some(ONEHOT), spec.kind.toward().then_some(TARGET)];
    graph.inputs.extend(chosen.into_iter().flatten().map(|name| ValueInfo {
        name: name.to_string(),
        dtype: Some(DType::F32),
        shape: Some(vec![Dim::Fixed(width), Dim::Fixed(classes)]),
    }));
    let mut b = Builder::new(graph, shapes);
    b.stretch = spec.stretch;
    let logits = Logits { b: &mut b, width, classes }.of(spec.tap)?;
    let (loss, cotangent) = match spec.kind {
        LossKind::CrossEntropy => entropy(&mut b, &logits),
        LossKind::Margin => margin(&mut b, &logits, spec),
        LossKind::Logit => (own_logit(&mut b, &logits), ONEHOT.to_string()),
        LossKind::Toward => ratio::toward(&mut b, &logits),
        LossKind::Ratio => ratio::away(&mut b, &logits, spec),
        LossKind::RatioToward => ratio::ratio_toward(&mut b, &logits, spec),
    };
    b.reserve(&cotangent);
    b.output(LOSS, &loss, DType::F32, &[width]);
    Ok(autodiff::extend(b, &[(logits, cotangent)], wrt)?)
}

/// Appends what turns the tapped value into logits `(width, classes)`.
struct Logits<'a> {
    b: &'a mut Builder,
    width: usize,
    classes: usize,
}

impl Logits<'_> {
    fn of(&mut self, tap: &Tap) -> Result<String, AutodiffError> {
        let shape = self.b.shape(&tap.value)?;
        let columns = shape.iter().product::<usize>() / self.width.max(1);
        let flat = [self.width, columns];
        let z = self.b.reshape(&tap.value, &shape, &flat);
        self.b.note(&z, &flat);
        Ok(match tap.form {
            Form::Logits if columns == self.classes => z,
            Form::Logits => self.beside_zero(&z, false, self.width, 1),
            Form::Reversed => self.beside_zero(&z, true, self.width, 1),
            Form::LogSigmoid => self.log_sigmoid(&z, columns),
            Form::LogProbability => self.log_probability(&z, columns),
        })
    }

    /// `[0, z]`, or `[z, 0]` when reversed, on a new last axis of `(rows, columns)`.
    fn beside_zero(&mut self, z: &str, reversed: bool, rows: usize, columns: usize) -> String {
        let zero = self.b.zeros(&[rows, columns]);
        let parts = if reversed { [z, &zero] } else { [&zero, z] };
        let pair = self.b.op_with("Concat", &parts, vec![("axis", Attribute::Int(1))]);
        self.b.note(&pair, &[rows, 2 * columns]);
        pair
    }

    /// `log sigmoid(z)` as the second log-softmax of `[0, z]`, which is stable on both sides.
    fn log_sigmoid(&mut self, z: &str, columns: usize) -> String {
        let cells = self.width * columns;
        let flat = self.b.reshape(z, &[self.width, columns], &[cells, 1]);
        self.b.note(&flat, &[cells, 1]);
        let pair = self.beside_zero(&flat, false, cells, 1);
        let log = self.b.op_with("LogSoftmax", &[&pair], vec![("axis", Attribute::Int(-1))]);
        self.b.note(&log, &[cells, 2]);
        let second = self.b.crop(&log, &[cells, 2], &[0, 1], &[cells, 2]);
        self.b.note(&second, &[cells, 1]);
        let back = self.b.reshape(&second, &[cells, 1], &[self.width, columns]);
        self.b.note(&back, &[self.width, columns]);
        back
    }

    fn log_probability(&mut self, p: &str, columns: usize) -> String {
        let (low, high) = (self.b.scalar(PROBABILITY_MIN), self.b.scalar(1.0));
        let mut p = p.to_string();
        if columns == 1 && self.classes == 2 {
            let rest = self.b.op("Sub", &[&high, &p]);
            self.b.note(&rest, &[self.width, 1]);
            let attributes = vec![("axis", Attribute::Int(1))];
            p = self.b.op_with("Concat", &[&rest, &p], attributes);
            self.b.note(&p, &[self.width, 2]);
        }
        let clipped = self.b.op("Clip", &[&p, &low, &high]);
        self.b.note(&clipped, &[self.width, self.classes]);
        let log = self.b.op("Log", &[&clipped]);
        self.b.note(&log, &[self.width, self.classes]);
        log
    }
}

/// Cross-entropy by log-softmax; its cotangent is `softmax - onehot`.
fn entropy(b: &mut Builder, logits: &str) -> (String, String) {
    let axis = || vec![("axis", Attribute::Int(-1))];
    let log = b.op_with("LogSoftmax", &[logits], axis());
    let picked = b.op("Mul", &[&log, ONEHOT]);
    let summed = sum_columns(b, "ReduceSum", &picked);
    let loss = b.op("Neg", &[&summed]);
    let p = b.op_with("Softmax", &[logits], axis());
    let cotangent = b.op("Sub", &[&p, ONEHOT]);
    (loss, cotangent)
}

/// `max_{j != y} z_j - z_y - offset_y`; of equal rivals the first counts.
fn margin(b: &mut Builder, logits: &str, spec: &Spec) -> (String, String) {
    let offsets = spec.offsets.iter().map(|&o| o as f32).collect();
    let offsets = b.floats(&[1, spec.classes], offsets);
    let half = b.scalar(0.5);
    let is_label = b.op("Greater", &[ONEHOT, &half]);
    let lowest = b.scalar(f64::NEG_INFINITY);
    let rivals = b.op("Where", &[&is_label, &lowest, logits]);
    let best = b.reduce("ReduceMax", &rivals, &[1]);
    let hit = b.op("Equal", &[&rivals, &best]);
    let rival = autodiff::first_of(b, &hit, spec.classes, 1);
    let cotangent = b.op("Sub", &[&rival, ONEHOT]);
    let best = b.reshape(&best, &[spec.width, 1], &[spec.width]);
    let own = own_logit(b, logits);
    let offset = b.op("Mul", &[ONEHOT, &offsets]);
    let offset = sum_columns(b, "ReduceSum", &offset);
    let loss = b.op("Sub", &[&best, &own]);
    let loss = b.op("Sub", &[&loss, &offset]);
    (loss, cotangent)
}

/// `z_y`. A product with the labels would turn an infinite rival into not-a-number.
fn own_logit(b: &mut Builder, logits: &str) -> String {
    picked(b, logits, ONEHOT)
}

/// The logit that a one-hot matrix points at, per row.
fn picked(b: &mut Builder, logits: &str, onehot: &str) -> String {
    let (half, zero) = (b.scalar(0.5), b.scalar(0.0));
    let is_it = b.op("Greater", &[onehot, &half]);
    let own = b.op("Where", &[&is_it, logits, &zero]);
    sum_columns(b, "ReduceSum", &own)
}

fn sum_columns(b: &mut Builder, op: &str, x: &str) -> String {
    let axes = b.ints(&[1]);
    b.op_with(op, &[x, &axes], vec![("keepdims", Attribute::Int(0))])
}

/// Walks back over what does not change the values of a row.
fn search(graph: &Graph, output: &str, answer: Answer, columns: usize) -> Option<Tap> {
    let mut value = output.to_string();
    loop {
        let node = producer(graph, &value)?;
        let input = node.inputs.first()?;
        let probability = answer == Answer::Probability;
        match node.op.as_str() {
            op if PASSING.contains(&op) => value = input.clone(),
            "LogSoftmax" => return Some(before(node, Form::Logits)),
            "Softmax" if probability => return Some(before(node, Form::Logits)),
            "Sigmoid" if probability && columns == 1 => return Some(before(node, Form::Logits)),
            "Sigmoid" if probability => return Some(before(node, Form::LogSigmoid)),
            "Concat" if probability && columns == 2 => {
                return pair(graph, node).or_else(|| single::found(graph, node));
            }
            "Div" if probability => {
                let total = node.inputs.get(1)?;
                if !is_sum_of(graph, total, input) {
                    return None;
                }
                value = input.clone();
            }
            _ => return None,
        }
    }
}

fn before(node: &Node, form: Form) -> Tap {
    let value = node.inputs.first().cloned().unwrap_or_default();
    let name = if node.name.is_empty() { node.outputs.first() } else { Some(&node.name) };
    let name = name.cloned().unwrap_or_default();
    let words = format!("differentiated at `{value}`, before {} `{name}`", node.op);
    Tap { value, form, words: Some(words) }
}

/// `[1 - p, p]` or `[p, 1 - p]` of a sigmoid.
fn pair(graph: &Graph, node: &Node) -> Option<Tap> {
    let [a, b] = node.inputs.as_slice() else { return None };
    for (p, rest, form) in [(b, a, Form::Logits), (a, b, Form::Reversed)] {
        let minus = passed(graph, rest)?;
        if minus.op != "Sub" {
            continue;
        }
        let one = minus.inputs.first().and_then(|n| graph.constants.get(n)?.to_f64s());
        let from_one = one.is_some_and(|v| v == [1.0]);
        if from_one && minus.inputs.get(1).is_some_and(|q| same_value(graph, q, p)) {
            let sigmoid = passed(graph, p)?;
            return (sigmoid.op == "Sigmoid").then(|| before(sigmoid, form));
        }
    }
    None
}

/// The node behind a value, past what changes no numbers.
fn passed<'a>(graph: &'a Graph, value: &str) -> Option<&'a Node> {
    let mut node = producer(graph, value)?;
    while PASSING.contains(&node.op.as_str()) {
        node = producer(graph, node.inputs.first()?)?;
    }
    Some(node)
}

fn same_value(graph: &Graph, a: &str, b: &str) -> bool {
    a == b || matches!((passed(graph, a), passed(graph, b)), (Some(x), Some(y)) if x == y)
}

/// Whether `total` sums `parts` (or their magnitudes) over the columns.
fn is_sum_of(graph: &Graph, total: &str, parts: &str) -> bool {
    let Some(node) = passed(graph, total) else { return false };
    match node.op.as_str() {
        "ReduceSum" | "ReduceL1" => node.inputs.first().is_some_and(|x| {
            same_value(graph, x, parts) || {
                let inner = passed(graph, x).filter(|n| n.op == "Abs");
                inner.is_some_and(|n| n.inputs.first().is_some_and(|x| x == parts))
            }
        }),
        // A guard against division by zero.
        "Max" | "Where" | "Clip" | "Add" => node.inputs.iter().any(|x| is_sum_of(graph, x, parts)),
        _ => false,
    }
}

fn producer<'a>(graph: &'a Graph, value: &str) -> Option<&'a Node> {
    graph.nodes.iter().find(|n| n.outputs.iter().any(|o| o == value))
}

/// Operators that keep the numbers of a row and their order.
const PASSING: &[&str] =
    &["Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"];

/// Below this a probability is taken as this: the smallest with a useful slope in `f32`.
const PROBABILITY_MIN: f64 = 1e-12;
