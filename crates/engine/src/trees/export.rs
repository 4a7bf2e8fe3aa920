//! Ensembles of their own files as operators of ONNX.
//!
//! Owns the translation, each part exact or refused by name: `TreeEnsemble` of `ai.onnx.ml` 5 for
//! the trees, plain operators for base, link and labels. Called when a graph is written.

use std::collections::BTreeMap;

use super::link::Kind;
use super::{Arithmetic, Branch, Codes, Ensemble, Join, Labels, Link, Missing, Output};
use super::{Place, Test, Tree};
use crate::graph::{Attribute, Graph, ML, Node, OWN, TREES};
use crate::value::{DType, Tensor, Value};

/// The opset whose `TreeEnsemble` holds sets and doubles.
const OPSET_TREES: i64 = 5;
/// Nodes of a written ensemble: a leaf of several values is written once per value.
const NODES_WRITTEN_MAX: usize = 1 << 24;

/// The graph without nodes of our own domain; the name of a node and the reason where one has no
/// exact form.
pub(crate) fn exported(graph: &Graph) -> Result<Graph, (String, String)> {
    let mut out = Graph { nodes: Vec::new(), ..graph.clone() };
    for node in &graph.nodes {
        if node.domain != OWN {
            out.nodes.push(node.clone());
            continue;
        }
        let fail = |reason: String| (node.name.clone(), reason);
        let Some(Attribute::Trees(e)) = node.attributes.get(TREES) else {
            return Err(fail(format!("`{}` hashes texts, which no operator does", node.op)));
        };
        let mut export = Export { graph: &mut out, node, dtype: dtype(e) };
        export.ensemble(e).map_err(fail)?;
        out.opsets.insert(ML.to_string(), OPSET_TREES);
    }
    out.opsets.remove(OWN);
    Ok(out)
}

fn dtype(e: &Ensemble) -> DType {
    if e.arithmetic == Arithmetic::F32 { DType::F32 } else { DType::F64 }
}

struct Export<'a> {
    graph: &'a mut Graph,
    node: &'a Node,
    dtype: DType,
}

impl Export<'_> {
    fn ensemble(&mut self, e: &Ensemble) -> Result<(), String> {
        let mut x = self.node.inputs.first().cloned().unwrap_or_default();
        if e.arithmetic == Arithmetic::Mixed {
            x = self.emit("Cast", &[&x], "wide", &[("to", self.code())]);
        }
        let sums = self.trees(e, &x)?;
        let margin = self.based(e, sums);
        let (answers, labels) = match &self.node.outputs[..] {
            [label, answers, _] => (answers.clone(), Some(label.clone())),
            [answers, _] => (answers.clone(), None),
            _ => return Err("it has outputs of an unknown form".to_string()),
        };
        let given = self.answers(e, &margin);
        self.rename(&given, &answers);
        if let Some(out) = self.node.outputs.last().cloned() {
            self.rename(&margin, &out);
        }
        if let (Some(name), Some(labels)) = (labels, &e.labels) {
            let first = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))];
            let class = self.emit("ArgMax", &[&answers], "class", &first);
            let labels = match labels {
                Labels::Ints(v) => Value::I64(Tensor::vector(v.clone())),
                Labels::Texts(v) => Value::Str(Tensor::vector(v.clone())),
            };
            let labels = self.constant("labels", labels);
            let chosen = self.emit("Gather", &[&labels, &class], "chosen", &[]);
            self.rename(&chosen, &name);
        }
        Ok(())
    }

    /// The node that joins the trees; the name of its output.
    fn trees(&mut self, e: &Ensemble, x: &str) -> Result<String, String> {
        let mut lists = Lists::new(e)?;
        if !e.base_last {
            for (k, &base) in e.base.iter().enumerate().filter(|(_, b)| **b != 0.0) {
                lists.single(k as u32, base)?;
            }
        }
        for tree in &e.trees {
            lists.tree(tree)?;
        }
        let aggregate = match e.join {
            Join::Sum => 1,
            Join::Min => 2,
            Join::Max => 3,
            Join::Average(n) if n as usize == lists.roots.len() => 0,
            Join::Average(n) => {
                let trees = lists.roots.len();
                return Err(format!("{trees} trees are averaged over {n}"));
            }
        };
        let mut attributes = lists.attributes(self.dtype);
        attributes.insert("aggregate_function".into(), Attribute::Int(aggregate));
        attributes.insert("n_targets".into(), Attribute::Int(e.outputs as i64));
        let output = self.fresh("sums");
        self.graph.nodes.push(Node {
            name: format!("{}/trees", self.node.name),
            op: "TreeEnsemble".into(),
            domain: ML.into(),
            inputs: vec![x.to_string()],
            outputs: vec![output.clone()],
            attributes,
        });
        Ok(output)
    }

    fn based(&mut self, e: &Ensemble, mut sums: String) -> String {
        if e.scale != 1.0 {
            let scale = self.row("scale", &[e.scale]);
            sums = self.emit("Mul", &[&sums, &scale], "scaled", &[]);
        }
        let late = e.base_last || matches!(e.join, Join::Min | Join::Max);
        if late && e.base.iter().any(|b| *b != 0.0) {
            let base = self.row("base", &e.base);
            sums = self.emit("Add", &[&sums, &base], "based", &[]);
        }
        sums
    }

    fn answers(&mut self, e: &Ensemble, margin: &str) -> String {
        let last = [("axis", Attribute::Int(1))];
        let only = match e.link {
            Link::Identity => self.emit("Identity", &[margin], "same", &[]),
            Link::Softmax => self.emit("Softmax", &[margin], "shares", &last),
            Link::Logistic { scale } | Link::LogisticEach { scale, .. } => {
                let mut scaled = margin.to_string();
                if scale != 1.0 {
                    let scale = self.row("steepness", &[scale]);
                    scaled = self.emit("Mul", &[margin, &scale], "steep", &[]);
                }
                let each = self.emit("Sigmoid", &[&scaled], "each", &[]);
                if matches!(e.link, Link::LogisticEach { normalised: true, .. }) {
                    let axes = self.constant("axes", Value::I64(Tensor::vector(vec![1])));
                    let total = self.emit("ReduceSum", &[&each, &axes], "total", &[]);
                    self.emit("Div", &[&each, &total], "normal", &[])
                } else {
                    each
                }
            }
            Link::Exp => self.emit("Exp", &[margin], "exp", &[]),
            Link::LogOnePlusExp => self.emit("Softplus", &[margin], "softplus", &[]),
            Link::SignedSquare => {
                let size = self.emit("Abs", &[margin], "size", &[]);
                self.emit("Mul", &[margin, &size], "square", &[])
            }
            Link::Step => {
                let zero = self.row("zero", &[0.0]);
                let above = self.emit("Greater", &[margin, &zero], "above", &[]);
                self.emit("Cast", &[&above], "step", &[("to", self.code())])
            }
        };
        if e.width() == e.outputs {
            return only;
        }
        let rest = if e.kind() == Kind::Probabilities {
            let one = self.row("one", &[1.0]);
            self.emit("Sub", &[&one, &only], "rest", &[])
        } else {
            self.emit("Neg", &[&only], "rest", &[])
        };
        self.emit("Concat", &[&rest, &only], "both", &last)
    }

    fn fresh(&self, part: &str) -> String {
        let base = self.node.outputs.last().map_or("trees", String::as_str);
        format!("{base}/{part}")
    }
    fn code(&self) -> Attribute {
        Attribute::Int(i64::from(crate::write::code(self.dtype)))
    }
    fn row(&mut self, part: &str, values: &[f64]) -> String {
        let wide = Tensor::vector(values.to_vec());
        let value = match self.dtype {
            DType::F32 => Value::F32(wide.map(|&v| v as f32)),
            _ => Value::F64(wide),
        };
        self.constant(part, value)
    }
    fn constant(&mut self, part: &str, value: Value) -> String {
        let name = self.fresh(part);
        self.graph.constants.insert(name.clone(), value);
        name
    }
    fn emit(
        &mut self,
        op: &str,
        inputs: &[&str],
        part: &str,
        with: &[(&str, Attribute)],
    ) -> String {
        let output = self.fresh(part);
        self.graph.nodes.push(Node {
            name: format!("{}/{part}", self.node.name),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|i| i.to_string()).collect(),
            outputs: vec![output.clone()],
            attributes: with.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        });
        output
    }
    /// Gives a value the name of an output.
    fn rename(&mut self, value: &str, name: &str) {
        self.emit("Identity", &[value], "named", &[]);
        if let Some(node) = self.graph.nodes.last_mut() {
            node.outputs = vec![name.to_string()];
            node.name = format!("{name}/named");
        }
    }
}

/// The lists of `TreeEnsemble`.
struct Lists {
    codes: Codes,
    outputs: usize,
    single: bool,
    roots: Vec<i64>,
    features: Vec<i64>,
    splits: Vec<f64>,
    modes: Vec<u8>,
    missing: Vec<i64>,
    /// Children of each node, yes first: place, and whether it is a leaf.
    children: Vec<[(i64, i64); 2]>,
    weights: Vec<f64>,
    targets: Vec<i64>,
    members: Vec<f64>,
}

impl Lists {
    fn new(e: &Ensemble) -> Result<Self, String> {
        if e.columns == 0 {
            return Err("it asks for no column".to_string());
        }
        Ok(Self {
            codes: e.codes,
            outputs: e.outputs,
            single: e.arithmetic == Arithmetic::F32,
            roots: Vec::new(),
            features: Vec::new(),
            splits: Vec::new(),
            modes: Vec::new(),
            missing: Vec::new(),
            children: Vec::new(),
            weights: Vec::new(),
            targets: Vec::new(),
            members: Vec::new(),
        })
    }

    /// A tree of one leaf: a branch whose children are that leaf.
    fn single(&mut self, target: u32, value: f64) -> Result<(), String> {
        self.roots.push(self.modes.len() as i64);
        let leaf = (self.leaf(target, value), 1);
        self.node(0, 0, 0.0, 0)?;
        self.children.push([leaf, leaf]);
        Ok(())
    }

    fn leaf(&mut self, target: u32, value: f64) -> i64 {
        self.weights.push(value);
        self.targets.push(i64::from(target));
        self.weights.len() as i64 - 1
    }

    fn node(&mut self, feature: u32, mode: u8, split: f64, missing: i64) -> Result<(), String> {
        if self.modes.len() >= NODES_WRITTEN_MAX {
            return Err(format!("it would take more than {NODES_WRITTEN_MAX} nodes"));
        }
        if self.single && f64::from(split as f32) != split {
            return Err(format!("the threshold {split} is no `f32`"));
        }
        self.features.push(i64::from(feature));
        self.modes.push(mode);
        self.splits.push(split);
        self.missing.push(missing);
        Ok(())
    }

    fn tree(&mut self, tree: &Tree) -> Result<(), String> {
        match &tree.output {
            Output::One(k) => self.copy(tree, *k, |i| tree.leaves[i]),
            Output::Vector => {
                let n = self.outputs;
                (0..n).try_for_each(|k| self.copy(tree, k as u32, |i| tree.leaves[i * n + k]))
            }
            Output::Listed { .. } => Err("its leaves hold lists of unequal form".to_string()),
        }
    }

    /// The tree with one value per leaf.
    fn copy(&mut self, tree: &Tree, k: u32, value: impl Fn(usize) -> f64) -> Result<(), String> {
        // Weights are applied in the type of the sums.
        let single = self.single;
        let weighted = |i: usize| match single {
            true => f64::from(value(i) as f32 * tree.weight as f32),
            false => value(i) * tree.weight,
        };
        let mut open = vec![match tree.root.place() {
            Place::Leaf(i) => return self.single(k, weighted(i)),
            Place::Branch(i) => i,
        }];
        self.roots.push(self.modes.len() as i64);
        let first = self.modes.len();
        let mut next = 0;
        while let Some(&i) = open.get(next) {
            next += 1;
            let b = &tree.branches[i];
            let (mode, split, flip) = self.question(b)?;
            let (yes, no) = if flip { (b.no, b.yes) } else { (b.yes, b.no) };
            let to_yes = matches!(b.missing, Missing::Yes) != flip;
            let compared = b.missing == Missing::Compare;
            self.node(b.feature, mode, split, i64::from(to_yes && !compared))?;
            let mut pair = [(0, 0); 2];
            for (slot, child) in pair.iter_mut().zip([yes, no]) {
                *slot = match child.place() {
                    Place::Leaf(i) => (self.leaf(k, weighted(i)), 1),
                    Place::Branch(i) => {
                        open.push(i);
                        ((first + open.len() - 1) as i64, 0)
                    }
                };
            }
            self.children.push(pair);
        }
        Ok(())
    }

    /// Mode and threshold; `true` where the children change places.
    fn question(&mut self, b: &Branch) -> Result<(u8, f64, bool), String> {
        if matches!(b.missing, Missing::ZeroIs { .. }) {
            return Err("it takes values near zero for missing".to_string());
        }
        Ok(match &b.test {
            Test::AtMost(t) => (0, *t, false),
            Test::Below(t) => (1, *t, false),
            Test::AtLeast(t) => (2, *t, false),
            Test::Above(t) => (3, *t, false),
            Test::Equal(t) => (4, *t, false),
            // What is missing is unequal to everything in ONNX.
            Test::Unequal(t) if b.missing == Missing::No => (4, *t, true),
            Test::Unequal(t) => (5, *t, false),
            Test::OneOf(codes) if self.codes == Codes::Whole => {
                let exact = |c: &&u32| f64::from(**c as f32) == f64::from(**c) || !self.single;
                if let Some(c) = codes.iter().find(|c| !exact(c)) {
                    return Err(format!("the category code {c} is no `f32`"));
                }
                self.members.extend(codes.iter().map(|&c| f64::from(c)));
                self.members.push(f64::NAN);
                (6, 0.0, false)
            }
            Test::OneOf(_) => {
                return Err("it cuts numbers to category codes as its library does".to_string());
            }
        })
    }

    fn attributes(self, dtype: DType) -> BTreeMap<String, Attribute> {
        let floats = |v: Vec<f64>| match dtype {
            DType::F32 => Attribute::Tensor(Value::F32(Tensor::vector(v).map(|&x| x as f32))),
            _ => Attribute::Tensor(Value::F64(Tensor::vector(v))),
        };
        let side = |i: usize, part: fn(&(i64, i64)) -> i64| {
            Attribute::Ints(self.children.iter().map(|pair| part(&pair[i])).collect())
        };
        let mut all = vec![
            ("nodes_truenodeids", side(0, |c| c.0)),
            ("nodes_trueleafs", side(0, |c| c.1)),
            ("nodes_falsenodeids", side(1, |c| c.0)),
            ("nodes_falseleafs", side(1, |c| c.1)),
            ("tree_roots", Attribute::Ints(self.roots)),
            ("nodes_featureids", Attribute::Ints(self.features)),
            ("nodes_modes", Attribute::Tensor(Value::U8(Tensor::vector(self.modes)))),
            ("nodes_splits", floats(self.splits)),
            ("nodes_missing_value_tracks_true", Attribute::Ints(self.missing)),
            ("leaf_weights", floats(self.weights)),
            ("leaf_targetids", Attribute::Ints(self.targets)),
        ];
        if !self.members.is_empty() {
            all.push(("membership_values", floats(self.members)));
        }
        all.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
    }
}
