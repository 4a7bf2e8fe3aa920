//! One flat list of nodes from a file that nests them.
//!
//! Owns the inlining of the functions a model defines for itself, and of the branch of an `If`
//! whose condition the file fixes. Names inside get a prefix, so that nothing clashes. Must never
//! grow beyond what the decoder lets a file hold. Called by [`super`].

use std::collections::{BTreeMap, BTreeSet};

use proofmark_formats::onnx::{
    AttributeProto, AttributeValue, Elements, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorProto,
};

use super::{LoadError, canonical};

/// The nodes of a model without functions and fixed branches.
pub(super) struct Flat<'a> {
    /// Nodes, in the order in which they were written.
    pub nodes: Vec<NodeProto<'a>>,
    /// Constants of the branches that were inlined, under their new names.
    pub constants: Vec<(String, TensorProto<'a>)>,
    /// Operator sets that only functions import.
    pub opsets: Vec<OperatorSetId>,
}

/// Flattens the graph of a model.
///
/// # Errors
/// Functions that call themselves, grow beyond [`NODES_MAX`], or are written for another
/// version of an operator set than the model.
pub(super) fn flat<'a>(proto: &ModelProto<'a>) -> Result<Flat<'a>, LoadError> {
    let mut walk = Walk {
        proto,
        out: Flat { nodes: Vec::new(), constants: Vec::new(), opsets: Vec::new() },
        known: BTreeMap::new(),
        calls: 0,
    };
    for t in &proto.graph.initializers {
        walk.learn(&t.name, t);
    }
    let top = Scope::top();
    for node in &proto.graph.nodes {
        walk.node(node, &top, 0)?;
    }
    Ok(walk.out)
}

struct Walk<'p, 'a> {
    proto: &'p ModelProto<'a>,
    out: Flat<'a>,
    /// Booleans that the file fixes, by their final name.
    known: BTreeMap<String, bool>,
    calls: usize,
}

/// How names and attributes inside a body read outside.
struct Scope<'s, 'a> {
    parent: Option<&'s Scope<'s, 'a>>,
    names: BTreeMap<String, String>,
    /// Prefix of every other name (a function sees nothing outside), or of `own` (a branch).
    prefix: String,
    own: Option<BTreeSet<String>>,
    attributes: Option<BTreeMap<String, AttributeValue<'a>>>,
}

impl<'a> Scope<'_, 'a> {
    fn top() -> Self {
        Scope {
            parent: None,
            names: BTreeMap::new(),
            prefix: String::new(),
            own: Some(BTreeSet::new()),
            attributes: None,
        }
    }

    fn name(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        if let Some(outside) = self.names.get(name) {
            return outside.clone();
        }
        match (&self.own, self.parent) {
            (Some(own), parent) if !own.contains(name) => {
                parent.map_or_else(|| name.to_string(), |p| p.name(name))
            }
            _ => format!("{}{name}", self.prefix),
        }
    }

    /// The value of an attribute of the function that is being called.
    fn attribute(&self, name: &str) -> Option<AttributeValue<'a>> {
        match (&self.attributes, self.parent) {
            (Some(attributes), _) => attributes.get(name).cloned(),
            (None, Some(parent)) => parent.attribute(name),
            (None, None) => None,
        }
    }
}

impl<'p, 'a> Walk<'p, 'a> {
    fn node(
        &mut self,
        node: &NodeProto<'a>,
        scope: &Scope<'_, 'a>,
        depth: usize,
    ) -> Result<(), LoadError> {
        if self.out.nodes.len() >= NODES_MAX || depth > DEPTH_MAX {
            return Err(LoadError::Nested { node: node.name.clone() });
        }
        let renamed = self.renamed(node, scope);
        let function = self.proto.functions.iter().find(|f| {
            f.name == node.op_type
                && canonical(&f.domain) == canonical(&node.domain)
                && f.overload == node.overload
        });
        if let Some(function) = function {
            return self.call(&renamed, function, depth);
        }
        if node.op_type == "If"
            && canonical(&node.domain).is_empty()
            && let Some(taken) = renamed.inputs.first().and_then(|c| self.known.get(c)).copied()
        {
            let name = if taken { "then_branch" } else { "else_branch" };
            if let Some(AttributeValue::Graph(branch)) = node.attribute(name) {
                return self.branch(&renamed, branch, scope, depth);
            }
        }
        self.follow(&renamed);
        self.out.nodes.push(renamed);
        Ok(())
    }

    /// The node under its outer names, references to attributes replaced.
    fn renamed(&self, node: &NodeProto<'a>, scope: &Scope<'_, 'a>) -> NodeProto<'a> {
        if scope.parent.is_none() && scope.attributes.is_none() && scope.prefix.is_empty() {
            return node.clone();
        }
        let value = |a: &AttributeProto<'a>| {
            if a.ref_attr_name.is_empty() {
                return Some(a.clone());
            }
            // An attribute without a value is left out, so that its default holds.
            let value = scope.attribute(&a.ref_attr_name)?;
            Some(AttributeProto { name: a.name.clone(), ref_attr_name: String::new(), value })
        };
        NodeProto {
            name: format!("{}{}", scope.prefix, node.name),
            inputs: node.inputs.iter().map(|n| scope.name(n)).collect(),
            outputs: node.outputs.iter().map(|n| scope.name(n)).collect(),
            attributes: node.attributes.iter().filter_map(value).collect(),
            ..node.clone()
        }
    }

    fn call(
        &mut self,
        node: &NodeProto<'a>,
        function: &FunctionProto<'a>,
        depth: usize,
    ) -> Result<(), LoadError> {
        self.imports(node, function)?;
        let prefix = self.prefix(node, &function.name);
        let mut names = BTreeMap::new();
        for (i, formal) in function.inputs.iter().enumerate() {
            names.insert(formal.clone(), node.inputs.get(i).cloned().unwrap_or_default());
        }
        let made = |name: &String| function.nodes.iter().any(|n| n.outputs.contains(name));
        let copies = wire(&mut names, &function.outputs, &node.outputs, made);
        let mut attributes: BTreeMap<String, AttributeValue> =
            function.attribute_defaults.iter().map(|a| (a.name.clone(), a.value.clone())).collect();
        attributes.extend(node.attributes.iter().map(|a| (a.name.clone(), a.value.clone())));
        let scope = Scope { parent: None, names, prefix, own: None, attributes: Some(attributes) };
        for inner in &function.nodes {
            self.node(inner, &scope, depth + 1)?;
        }
        self.copy(copies, &scope);
        Ok(())
    }

    fn branch(
        &mut self,
        node: &NodeProto<'a>,
        branch: &GraphProto<'a>,
        outer: &Scope<'_, 'a>,
        depth: usize,
    ) -> Result<(), LoadError> {
        let prefix = self.prefix(node, &branch.name);
        let own: BTreeSet<String> = branch
            .nodes
            .iter()
            .flat_map(|n| &n.outputs)
            .chain(branch.initializers.iter().map(|t| &t.name))
            .cloned()
            .collect();
        let mut names = BTreeMap::new();
        let given: Vec<String> = branch.outputs.iter().map(|o| o.name.clone()).collect();
        let made = |name: &String| branch.nodes.iter().any(|n| n.outputs.contains(name));
        let copies = wire(&mut names, &given, &node.outputs, made);
        let scope = Scope { parent: Some(outer), names, prefix, own: Some(own), attributes: None };
        for t in &branch.initializers {
            let name = scope.name(&t.name);
            self.learn(&name, t);
            self.out.constants.push((name, t.clone()));
        }
        for inner in &branch.nodes {
            self.node(inner, &scope, depth + 1)?;
        }
        self.copy(copies, &scope);
        Ok(())
    }

    fn copy(&mut self, copies: Vec<(String, String)>, scope: &Scope<'_, 'a>) {
        for (from, to) in copies {
            self.out.nodes.push(NodeProto {
                name: to.clone(),
                op_type: "Identity".to_string(),
                inputs: vec![scope.name(&from)],
                outputs: vec![to],
                ..NodeProto::default()
            });
        }
    }

    fn prefix(&mut self, node: &NodeProto, what: &str) -> String {
        self.calls += 1;
        let label = if node.name.is_empty() { what } else { &node.name };
        format!("{label}#{}/", self.calls)
    }

    /// A function must mean by an operator what the model means by it.
    fn imports(&mut self, node: &NodeProto, function: &FunctionProto) -> Result<(), LoadError> {
        for import in &function.opset_import {
            let domain = canonical(&import.domain);
            let known = self.proto.opset_import.iter().chain(&self.out.opsets);
            let known = known.into_iter().find(|o| canonical(&o.domain) == domain);
            match known {
                Some(o) if o.version != import.version => {
                    return Err(LoadError::FunctionOpset {
                        node: node.name.clone(),
                        function: function.name.clone(),
                        version: import.version,
                        model: o.version,
                    });
                }
                Some(_) => {}
                None => self.out.opsets.push(import.clone()),
            }
        }
        Ok(())
    }

    /// Remembers a tensor that is one boolean.
    fn learn(&mut self, name: &str, t: &TensorProto) {
        let small = t.dims.iter().all(|&d| d == 1) && t.data_location == 0;
        if small
            && let Ok(Elements::Bool(v)) = t.elements()
            && let [v] = v.as_slice()
        {
            self.known.insert(name.to_string(), *v);
        }
    }

    /// What a node makes of known booleans.
    fn follow(&mut self, node: &NodeProto) {
        let Some(output) = node.outputs.first() else { return };
        let input = node.inputs.first().and_then(|i| self.known.get(i)).copied();
        let value = match (node.op_type.as_str(), node.attribute("value")) {
            ("Constant", Some(AttributeValue::Tensor(t))) => {
                self.learn(output, t);
                return;
            }
            ("Identity" | "Squeeze" | "Unsqueeze" | "Reshape", _) => input,
            ("Cast", _) if matches!(node.attribute("to"), Some(AttributeValue::Int(9))) => input,
            ("Not", _) => input.map(|v| !v),
            _ => None,
        };
        if let Some(value) = value {
            self.known.insert(output.clone(), value);
        }
    }
}

/// Lets the values that leave a body carry their outer names at once; what cannot (an input
/// handed through, a value given twice) is returned to be copied.
fn wire(
    names: &mut BTreeMap<String, String>,
    inner: &[String],
    outer: &[String],
    made: impl Fn(&String) -> bool,
) -> Vec<(String, String)> {
    let mut copies = Vec::new();
    for (from, to) in inner.iter().zip(outer).filter(|(_, to)| !to.is_empty()) {
        if made(from) && !names.contains_key(from) {
            names.insert(from.clone(), to.clone());
        } else {
            copies.push((from.clone(), to.clone()));
        }
    }
    copies
}

/// Nodes after inlining: as many as the decoder lets a file hold, so that functions that call
/// functions cannot multiply beyond it.
const NODES_MAX: usize = 250_000;
/// Calls within calls: exporters nest a few modules deep.
const DEPTH_MAX: usize = 64;
