//! The numeric operators of `ai.onnx.ml`, and `CDist` of `com.microsoft`, in plain ONNX.
//!
//! Owns one rewrite per operator, each exact; what it cannot prove to be exact stays. Called by
//! `lower`.

use super::{Known, known, plain};
use crate::graph::{Attribute, Graph, ML, Node};
use crate::reference::MICROSOFT;
use crate::value::{DType, Tensor, Value};

pub(crate) mod svm;

/// ONNX codes of element types, for `Cast`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;
/// The opset that brought `Where` and comparisons of every number.
const OPSET_WHERE: i64 = 9;
/// The opset since which comparisons take every number.
const OPSET_EQUAL: i64 = 11;

/// What is rewritten, and the first opset of `ai.onnx` that has the operators it takes.
pub(super) const REWRITTEN: &[(&str, i64)] = &[
    ("ArrayFeatureExtractor", 1),
    ("Binarizer", OPSET_WHERE),
    ("CDist", OPSET_WHERE),
    ("Imputer", OPSET_EQUAL),
    ("LinearClassifier", OPSET_EQUAL),
    ("LinearRegressor", 1),
    ("Normalizer", OPSET_EQUAL),
    ("OneHotEncoder", OPSET_WHERE),
    ("SVMClassifier", OPSET_WHERE),
    ("SVMRegressor", OPSET_WHERE),
    ("Scaler", 1),
];

/// Rewrites what can be rewritten.
pub(super) fn lower(graph: &mut Graph) {
    let known = known(graph);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let x = node.inputs.first().and_then(|n| known.get(n)).copied().unwrap_or_default();
        let mut rewrite = Rewrite { graph, node: &node, nodes: Vec::new() };
        let ours = match node.op.as_str() {
            "CDist" => node.domain == MICROSOFT,
            _ => node.domain == ML,
        };
        let done = ours && rewrite.node(x).is_some();
        let made = rewrite.nodes;
        if done { nodes.extend(made) } else { nodes.push(node) }
    }
    graph.nodes = nodes;
}

/// One node being rewritten; names of new values begin with its output's name.
struct Rewrite<'a> {
    graph: &'a mut Graph,
    node: &'a Node,
    nodes: Vec<Node>,
}

impl Rewrite<'_> {
    fn node(&mut self, x: Known) -> Option<()> {
        let opset = self.graph.opset("");
        let op = self.node.op.as_str();
        REWRITTEN.iter().find(|(name, since)| *name == op && opset >= *since)?;
        match op {
            "Scaler" => self.scaler(x),
            "Imputer" => self.imputer(x),
            "Normalizer" => self.normalizer(x, opset),
            "OneHotEncoder" => self.one_hot(x, opset),
            "ArrayFeatureExtractor" => self.extractor(x),
            "LinearRegressor" => self.regressor(x),
            "LinearClassifier" => self.classifier(x, opset),
            "SVMClassifier" => self.svm_classifier(x),
            "SVMRegressor" => self.svm_regressor(x),
            "CDist" => self.distances(x),
            "Binarizer" => self.binarizer(x),
            _ => None,
        }
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        match self.node.attributes.get(name)? {
            Attribute::Floats(v) if !v.is_empty() => Some(v.clone()),
            _ => None,
        }
    }
    fn text(&self, name: &str, default: &'static str) -> String {
        match self.node.attributes.get(name) {
            Some(Attribute::Text(t)) => t.clone(),
            _ => default.to_string(),
        }
    }
    fn input(&self) -> String {
        self.node.inputs[0].clone()
    }
    fn output(&self, i: usize) -> Option<String> {
        self.node.outputs.get(i).filter(|o| !o.is_empty()).cloned()
    }
    /// A name for a new value.
    fn fresh(&self, part: &str) -> String {
        let base = self.node.outputs.iter().find(|o| !o.is_empty());
        format!("{}/{part}", base.unwrap_or(&self.node.name))
    }
    fn constant(&mut self, part: &str, value: Value) -> String {
        let name = self.fresh(part);
        self.graph.constants.insert(name.clone(), value);
        name
    }
    fn row(&mut self, part: &str, v: &[f32], dtype: DType) -> String {
        let t = Tensor::vector(v.to_vec());
        let value = match dtype {
            DType::F64 => Value::F64(t.map(|&v| f64::from(v))),
            _ => Value::F32(t),
        };
        self.constant(part, value)
    }
    fn emit(&mut self, op: &str, inputs: &[&str], output: &str, with: &[(&str, Attribute)]) {
        self.nodes.push(plain(op, self.node, inputs, output, with));
    }
    /// The input as `f32`, or as it is where it is of that type.
    fn single(&mut self, x: Known) -> Option<String> {
        match x.dtype? {
            DType::F32 => Some(self.input()),
            DType::I64 | DType::I32 => {
                let name = self.fresh("float");
                self.emit("Cast", &[&self.input()], &name, &[("to", Attribute::Int(FLOAT))]);
                Some(name)
            }
            _ => None,
        }
    }

    /// (x - offset) · scale; double inputs are rounded at the end, as the operator does.
    fn scaler(&mut self, x: Known) -> Option<()> {
        let (offset, scale) = (self.floats("offset")?, self.floats("scale")?);
        x.rank.filter(|&r| r > 0)?;
        let output = self.output(0)?;
        let wide = x.dtype == Some(DType::F64);
        let (from, dtype) = match wide {
            true => (self.input(), DType::F64),
            false => (self.single(x)?, DType::F32),
        };
        let (o, s) = (self.row("offset", &offset, dtype), self.row("scale", &scale, dtype));
        let (centred, scaled) = (self.fresh("centred"), self.fresh("scaled"));
        self.emit("Sub", &[&from, &o], &centred, &[]);
        if wide {
            self.emit("Mul", &[&centred, &s], &scaled, &[]);
            self.emit("Cast", &[&scaled], &output, &[("to", Attribute::Int(FLOAT))]);
        } else {
            self.emit("Mul", &[&centred, &s], &output, &[]);
        }
        Some(())
    }

    /// Not a number is what does not equal itself.
    fn imputer(&mut self, x: Known) -> Option<()> {
        let dtype = x.dtype.filter(|d| matches!(d, DType::F32 | DType::F64))?;
        x.rank.filter(|&r| r > 0)?;
        let values = self.floats("imputed_value_floats")?;
        let sentinel = match self.node.attributes.get("replaced_value_float") {
            Some(Attribute::Float(v)) => *v,
            _ => 0.0,
        };
        let (input, output) = (self.input(), self.output(0)?);
        let values = self.row("values", &values, dtype);
        let same = self.fresh("same");
        if sentinel.is_nan() {
            self.emit("Equal", &[&input, &input], &same, &[]);
            self.emit("Where", &[&same, &input, &values], &output, &[]);
        } else {
            let sentinel = self.row("sentinel", &[sentinel], dtype);
            self.emit("Equal", &[&input, &sentinel], &same, &[]);
            self.emit("Where", &[&same, &values, &input], &output, &[]);
        }
        Some(())
    }

    /// x divided by its norm, or by 1 where that is 0.
    fn normalizer(&mut self, x: Known, opset: i64) -> Option<()> {
        x.rank.filter(|r| (1..=2).contains(r))?;
        let op = match self.text("norm", "MAX").as_str() {
            "MAX" => "ReduceMax",
            "L1" => "ReduceL1",
            "L2" => "ReduceL2",
            _ => return None,
        };
        let output = self.output(0)?;
        let from = self.single(x)?;
        let [norm, empty, size] = ["norm", "empty", "size"].map(|p| self.fresh(p));
        if opset >= 18 {
            let axes = self.constant("axes", Value::I64(Tensor::vector(vec![-1])));
            self.emit(op, &[&from, &axes], &norm, &[]);
        } else {
            self.emit(op, &[&from], &norm, &[("axes", Attribute::Ints(vec![-1]))]);
        }
        let (zero, one) =
            (self.row("zero", &[0.0], DType::F32), self.row("one", &[1.0], DType::F32));
        self.emit("Equal", &[&norm, &zero], &empty, &[]);
        self.emit("Where", &[&empty, &one, &norm], &size, &[]);
        self.emit("Div", &[&from, &size], &output, &[]);
        Some(())
    }

    /// Whether the truncated number equals each category.
    fn one_hot(&mut self, x: Known, opset: i64) -> Option<()> {
        let dtype = x.dtype.filter(|&d| d != DType::Str && d != DType::Bool)?;
        let strict = self.node.attributes.get("zeros").is_some_and(|a| *a == Attribute::Int(0));
        let Some(Attribute::Ints(categories)) = self.node.attributes.get("cats_int64s") else {
            return None;
        };
        let mut distinct = categories.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if strict || distinct.len() != categories.len() {
            return None;
        }
        let output = self.output(0)?;
        let categories = Value::I64(Tensor::vector(categories.clone()));
        let categories = self.constant("categories", categories);
        let mut from = self.input();
        if dtype != DType::I64 {
            let whole = self.fresh("whole");
            self.emit("Cast", &[&from], &whole, &[("to", Attribute::Int(INT64))]);
            from = whole;
        }
        let (column, same) = (self.fresh("column"), self.fresh("same"));
        if opset >= 13 {
            let axes = self.constant("axes", Value::I64(Tensor::vector(vec![-1])));
            self.emit("Unsqueeze", &[&from, &axes], &column, &[]);
        } else {
            // Negative axes came later here.
            let axis = i64::try_from(x.rank?).ok()?;
            self.emit("Unsqueeze", &[&from], &column, &[("axes", Attribute::Ints(vec![axis]))]);
        }
        self.emit("Equal", &[&column, &categories], &same, &[]);
        self.emit("Cast", &[&same], &output, &[("to", Attribute::Int(FLOAT))]);
        Some(())
    }

    /// A gather along the last dimension.
    fn extractor(&mut self, x: Known) -> Option<()> {
        x.dtype.filter(|&d| d != DType::Str)?;
        let rank = x.rank.filter(|&r| r >= 2)?;
        let places = self.graph.constants.get(self.node.inputs.get(1)?)?.to_i64s()?;
        // A negative place is an error here, and counts from the end in a gather.
        if places.iter().any(|&p| p < 0) {
            return None;
        }
        let output = self.output(0)?;
        let places = self.constant("places", Value::I64(Tensor::vector(places)));
        let axis = Attribute::Int(i64::try_from(rank - 1).ok()?);
        self.emit("Gather", &[&self.input(), &places], &output, &[("axis", axis)]);
        Some(())
    }

    /// x · coefficients + intercepts into `output`; gives the number of targets.
    fn product(&mut self, x: Known, targets: usize, output: &str) -> Option<()> {
        x.rank.filter(|&r| r == 2)?;
        let coefficients = self.floats("coefficients")?;
        if targets == 0 || coefficients.len() % targets != 0 {
            return None;
        }
        let from = self.single(x)?;
        let columns = coefficients.len() / targets;
        let weights = Value::F32(Tensor::new(vec![targets, columns], coefficients)?);
        let weights = self.constant("weights", weights);
        let bias = self.floats("intercepts").unwrap_or_else(|| vec![0.0; targets]);
        if bias.len() != targets {
            return None;
        }
        let bias = self.row("bias", &bias, DType::F32);
        let attributes = [("transB", Attribute::Int(1))];
        self.emit("Gemm", &[&from, &weights, &bias], output, &attributes);
        Some(())
    }

    fn regressor(&mut self, x: Known) -> Option<()> {
        let targets = match self.node.attributes.get("targets") {
            Some(Attribute::Int(t)) => usize::try_from(*t).ok()?,
            _ => 1,
        };
        (self.text("post_transform", "NONE") == "NONE").then_some(())?;
        let output = self.output(0)?;
        self.product(x, targets, &output)
    }

    /// Class labels of a classifier.
    fn labels(&self) -> Option<Value> {
        match (
            self.node.attributes.get("classlabels_ints"),
            self.node.attributes.get("classlabels_strings"),
        ) {
            (_, Some(Attribute::Texts(t))) if !t.is_empty() => {
                Some(Value::Str(Tensor::vector(t.clone())))
            }
            (Some(Attribute::Ints(i)), _) => Some(Value::I64(Tensor::vector(i.clone()))),
            _ => None,
        }
    }

    fn classifier(&mut self, x: Known, opset: i64) -> Option<()> {
        let targets = self.floats("intercepts")?.len();
        let labels = self.labels()?;
        if labels.len() != targets.max(2) {
            return None;
        }
        let raw = self.fresh("raw");
        self.product(x, targets, &raw)?;
        if let Some(scores) = self.output(1) {
            self.scores(targets, &raw, &scores)?;
        }
        let Some(label) = self.output(0) else { return Some(()) };
        let labels = self.constant("labels", labels);
        let class = self.fresh("class");
        if targets > 1 {
            let first = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))];
            self.emit("ArgMax", &[&raw], &class, &first);
        } else {
            let [above, whole] = ["above", "whole"].map(|p| self.fresh(p));
            let zero = self.row("zero", &[0.0], DType::F32);
            self.emit("Greater", &[&raw, &zero], &above, &[]);
            self.emit("Cast", &[&above], &whole, &[("to", Attribute::Int(INT64))]);
            if opset >= 13 {
                let axes = self.constant("axes", Value::I64(Tensor::vector(vec![1])));
                self.emit("Squeeze", &[&whole, &axes], &class, &[]);
            } else {
                let axes = [("axes", Attribute::Ints(vec![1]))];
                self.emit("Squeeze", &[&whole], &class, &axes);
            }
        }
        self.emit("Gather", &[&labels, &class], &label, &[("axis", Attribute::Int(0))]);
        Some(())
    }

    fn scores(&mut self, targets: usize, raw: &str, output: &str) -> Option<()> {
        let transform = self.text("post_transform", "NONE");
        if targets == 1 {
            // One score for two classes: of the transforms only the logistic is applied.
            (transform != "PROBIT").then_some(())?;
            let one = self.row("one", &[1.0], DType::F32);
            let [first, second] = ["first", "second"].map(|p| self.fresh(p));
            let op = if transform == "LOGISTIC" { "Sigmoid" } else { "Identity" };
            self.emit(op, &[raw], &second, &[]);
            self.emit("Sub", &[&one, &second], &first, &[]);
            self.emit("Concat", &[&first, &second], output, &[("axis", Attribute::Int(1))]);
            return Some(());
        }
        match transform.as_str() {
            "NONE" => self.emit("Identity", &[raw], output, &[]),
            "SOFTMAX" => self.emit("Softmax", &[raw], output, &[("axis", Attribute::Int(1))]),
            "LOGISTIC" => self.emit("Sigmoid", &[raw], output, &[]),
            _ => return None,
        }
        Some(())
    }
}
