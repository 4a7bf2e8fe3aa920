//! A conservative vote of two models with two classes, as one graph.
//!
//! Owns the arithmetic of the vote. For each model a value `h` is formed that is at least 0
//! exactly when the model decides the adverse class; the vote is the greater of the two, so the
//! adverse class stays unless both models leave it. Cut-offs on probabilities and scores are
//! moved to the neighbouring `f32`, so that no decision is tipped by the subtraction; those on
//! logits are exact up to its rounding. Where an arg-max ties, the adverse class is taken.

use std::collections::BTreeMap;

use super::ComposeError;
use crate::autodiff::upgrade;
use crate::graph::{Attribute, Dim, Graph, ML, Node, ValueInfo, shape_text};
use crate::pipeline::Answer;
use crate::split::needed;
use crate::value::{DType, Tensor, Value};

/// Name of the output: `(n, 2)` scores, the adverse class is decided when its own is at least 0.
pub const VOTE: &str = "vote";

/// How a model decides between the adverse class and the other one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// The adverse class, when its value is at least this (for logits: its probability).
    Adverse(f64),
    /// The other class, when its value is at least this.
    Other(f64),
    /// The greater value.
    Argmax,
}

/// One model of a vote.
#[derive(Clone, Copy, Debug)]
pub struct Voter<'a> {
    /// Graph.
    pub graph: &'a Graph,
    /// Declared output; `None` for the first one.
    pub output: Option<&'a str>,
    /// What it holds.
    pub answer: Answer,
    /// Output column of the adverse class, 0 or 1.
    pub adverse: usize,
    /// How it decides.
    pub cut: Cut,
}

/// The vote of two models. `adverse` is the column of the adverse class in the output [`VOTE`].
///
/// # Errors
/// See [`ComposeError`].
pub fn vote(first: &Voter, second: &Voter, adverse: usize) -> Result<Graph, ComposeError> {
    let mix = same_forms(first.graph, second.graph);
    let (a, b) = if mix {
        (first.graph.clone(), second.graph.clone())
    } else {
        (upgrade(first.graph), upgrade(second.graph))
    };
    let mut joined = Joined { graph: Graph { opsets: opsets(&a, &b)?, ..Graph::default() } };
    let one = joined.take(&Voter { graph: &a, ..*first }, "primary")?;
    let two = joined.take(&Voter { graph: &b, ..*second }, "backup")?;
    joined.node("Max", &[&one, &two], "vote/adverse", &[]);
    joined.node("Neg", &["vote/adverse"], "vote/other", &[]);
    let columns = match adverse {
        0 => ["vote/adverse", "vote/other"],
        _ => ["vote/other", "vote/adverse"],
    };
    joined.node("Concat", &columns, VOTE, &[("axis", Attribute::Int(1))]);
    let mut graph = joined.graph;
    graph.outputs = vec![ValueInfo {
        name: VOTE.to_string(),
        dtype: Some(DType::F32),
        shape: Some(vec![Dim::Dynamic("n".to_string()), Dim::Fixed(2)]),
    }];
    Ok(graph)
}

fn same_forms(a: &Graph, b: &Graph) -> bool {
    a.opset("") == b.opset("")
}

/// One import per domain. `ai.onnx.ml` 2 to 4 only add forms to 1, but for `LabelEncoder`, which
/// 2 wrote anew, and 5, which replaced the tree ensembles.
fn opsets(a: &Graph, b: &Graph) -> Result<BTreeMap<String, i64>, ComposeError> {
    let mut opsets = BTreeMap::new();
    for domain in a.opsets.keys().chain(b.opsets.keys()).map(String::as_str).chain([""]) {
        let used = |g: &Graph| {
            let any = domain.is_empty() || g.nodes.iter().any(|n| n.domain == domain);
            any.then(|| g.opset(domain))
        };
        let version = match (used(a), used(b)) {
            (Some(x), Some(y)) if x == y => x,
            (Some(x), Some(y)) if domain == ML && mixes(a, b, x, y) => x.max(y),
            (Some(first), Some(second)) => {
                let domain = if domain.is_empty() { "ai.onnx" } else { domain }.to_string();
                return Err(ComposeError::Opset { domain, first, second });
            }
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => continue,
        };
        opsets.insert(domain.to_string(), version);
    }
    Ok(opsets)
}

fn mixes(a: &Graph, b: &Graph, x: i64, y: i64) -> bool {
    let encodes = |g: &Graph| g.nodes.iter().any(|n| n.op == "LabelEncoder");
    let low = x.min(y);
    x.max(y) < 5 && (low > 1 || !(encodes(a) || encodes(b)))
}

/// The graph under construction.
struct Joined {
    graph: Graph,
}

impl Joined {
    /// Takes a model over and gives the name of its `h`.
    fn take(&mut self, voter: &Voter, prefix: &str) -> Result<String, ComposeError> {
        let output = output_of(voter)?;
        let graph = voter.graph;
        let wanted = [output.name.clone()];
        let kept: Vec<&Node> = graph
            .nodes
            .iter()
            .zip(needed(graph, &wanted))
            .filter_map(|(node, needed)| needed.then_some(node))
            .collect();
        for input in &graph.inputs {
            if kept.iter().any(|n| n.inputs.contains(&input.name)) {
                self.input(input)?;
            }
        }
        let inputs: Vec<&str> = graph.inputs.iter().map(|i| i.name.as_str()).collect();
        let named = |name: &String| match name.as_str() {
            "" => String::new(),
            name if inputs.contains(&name) => name.to_string(),
            name => format!("{prefix}/{name}"),
        };
        for node in kept {
            let mut node = node.clone();
            node.inputs = node.inputs.iter().map(named).collect();
            node.outputs = node.outputs.iter().map(named).collect();
            node.name = format!("{prefix}/{}", node.name);
            for input in &node.inputs {
                let own = input.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
                if let Some(value) = own.and_then(|own| graph.constants.get(own)) {
                    self.graph.constants.insert(input.clone(), value.clone());
                }
            }
            self.graph.nodes.push(node);
        }
        Ok(self.margin(voter, prefix, &named(&output.name), output.columns))
    }

    fn input(&mut self, input: &ValueInfo) -> Result<(), ComposeError> {
        let Some(known) = self.graph.inputs.iter().find(|i| i.name == input.name) else {
            self.graph.inputs.push(input.clone());
            return Ok(());
        };
        let rest = |i: &ValueInfo| i.shape.as_ref().map(|s| s.iter().skip(1).cloned().collect());
        let rest: [Option<Vec<Dim>>; 2] = [rest(known), rest(input)];
        if known.dtype == input.dtype && rest[0] == rest[1] {
            return Ok(());
        }
        let words = |i: &ValueInfo| {
            let dtype = i.dtype.map_or_else(|| "?".to_string(), |d| d.to_string());
            format!("{dtype} {}", i.shape.as_deref().map(shape_text).unwrap_or_default())
        };
        let (first, second) = (words(known), words(input));
        Err(ComposeError::Input { input: input.name.clone(), first, second })
    }

    /// `(n, 1)`, at least 0 exactly when the model decides the adverse class.
    fn margin(&mut self, voter: &Voter, prefix: &str, value: &str, columns: usize) -> String {
        let name = |part: &str| format!("vote/{prefix}/{part}");
        let (float, flat, h) = (name("float"), name("flat"), name("h"));
        self.node("Cast", &[value], &float, &[("to", Attribute::Int(FLOAT))]);
        let shape =
            self.constant(&name("shape"), Value::I64(Tensor::vector(vec![-1, columns as i64])));
        self.node("Reshape", &[&float, &shape], &flat, &[]);
        let adverse = self.column(voter, prefix, &flat, columns, voter.adverse);
        let other = self.column(voter, prefix, &flat, columns, 1 - voter.adverse);
        let difference = matches!(voter.cut, Cut::Argmax) || voter.answer == Answer::Logit;
        let (left, right) = if difference {
            let gap = name("gap");
            self.node("Sub", &[&adverse, &other], &gap, &[]);
            let at = match voter.cut {
                Cut::Adverse(t) => (t / (1.0 - t)).ln(),
                Cut::Other(t) => -(t / (1.0 - t)).ln(),
                Cut::Argmax => 0.0,
            };
            (gap, self.constant(&name("at"), scalar(at as f32)))
        } else {
            match voter.cut {
                Cut::Other(t) => {
                    let below = least_at(t).next_down();
                    (self.constant(&name("at"), scalar(below)), other)
                }
                Cut::Adverse(t) => (adverse, self.constant(&name("at"), scalar(least_at(t)))),
                Cut::Argmax => (adverse, other),
            }
        };
        self.node("Sub", &[&left, &right], &h, &[]);
        h
    }

    /// One class of the flattened output, `(n, 1)`; the only column is that of class 1.
    fn column(
        &mut self,
        voter: &Voter,
        prefix: &str,
        flat: &str,
        columns: usize,
        class: usize,
    ) -> String {
        let out = format!("vote/{prefix}/class-{class}");
        if columns == 2 {
            let index = Value::I64(Tensor::vector(vec![class as i64]));
            let index = self.constant(&format!("{out}/index"), index);
            self.node("Gather", &[flat, &index], &out, &[("axis", Attribute::Int(1))]);
        } else if class == 1 {
            self.node("Identity", &[flat], &out, &[]);
        } else {
            let from = if voter.answer == Answer::Probability { 1.0 } else { 0.0 };
            let from = self.constant(&format!("{out}/from"), scalar(from));
            let op = if voter.answer == Answer::Probability { "Sub" } else { "Mul" };
            let inputs = [from.as_str(), flat];
            self.node(op, &inputs, &out, &[]);
        }
        out
    }

    fn constant(&mut self, name: &str, value: Value) -> String {
        self.graph.constants.insert(name.to_string(), value);
        name.to_string()
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, with: &[(&str, Attribute)]) {
        self.graph.nodes.push(Node {
            name: output.to_string(),
            op: op.to_string(),
            domain: String::new(),
            inputs: inputs.iter().map(|i| (*i).to_string()).collect(),
            outputs: vec![output.to_string()],
            attributes: with.iter().map(|(n, a)| ((*n).to_string(), a.clone())).collect(),
        });
    }
}

struct Output {
    name: String,
    columns: usize,
}

fn output_of(voter: &Voter) -> Result<Output, ComposeError> {
    let graph = voter.graph;
    let found = match voter.output {
        Some(name) => graph.outputs.iter().find(|o| o.name == name),
        None => graph.outputs.first(),
    };
    let named = voter.output.unwrap_or_default().to_string();
    let refuse = |output: &str, reason| ComposeError::Output { output: output.into(), reason };
    let info = found.ok_or_else(|| refuse(&named, "the model does not have it"))?;
    if voter.answer == Answer::Label {
        return Err(refuse(&info.name, "a label has no value that two models could share"));
    }
    // A `ZipMap` only names the columns of what it reads.
    if let Some(map) = graph.nodes.iter().find(|n| n.outputs.contains(&info.name))
        && map.op == "ZipMap"
        && let Some(name) = map.inputs.first()
    {
        return Ok(Output { name: name.clone(), columns: 2 });
    }
    let columns = match info.shape.as_deref() {
        Some([_]) => 1,
        Some([_, Dim::Fixed(n @ (1 | 2))]) => *n,
        Some([_, Dim::Fixed(_)]) => {
            return Err(refuse(&info.name, "only two classes are composed into one file"));
        }
        _ => return Err(refuse(&info.name, "the file does not say how many columns it has")),
    };
    Ok(Output { name: info.name.clone(), columns })
}

/// The least `f32` that is at least `t`.
fn least_at(t: f64) -> f32 {
    let near = t as f32;
    if f64::from(near) >= t { near } else { near.next_up() }
}

fn scalar(value: f32) -> Value {
    Value::F32(Tensor::vector(vec![value]))
}

/// ONNX code of `float`, for `Cast`.
const FLOAT: i64 = 1;
