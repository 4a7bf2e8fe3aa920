//! A model as loaded from ONNX: its graph, its digests, who wrote it.
//!
//! Owns what is refused at the door: opsets out of range, duplicate names, cycles, control
//! flow, functions, external data outside the model's folder. Must never read a file; bytes are
//! handed in. Called by the command line, the lab's set-up and tests.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_formats::onnx::{
    self, AttributeValue, DataType, Dimension, Elements, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorError, TensorProto, TypeProto, ValueInfoProto,
};
use proofmark_formats::protobuf::WireError;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::graph::{Attribute, Dim, Graph, ML, Node, ValueInfo};
use crate::reference;
use crate::trees::TreeError;
use crate::trees::import::ImportError;
use crate::value::{DType, Tensor, Value};

mod flat;
mod open;

pub use open::Hints;

use flat::Flat;

/// Opsets of `ai.onnx` whose meaning the kernels know.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// Opsets of `ai.onnx.ml`.
pub const OPSETS_ML: std::ops::RangeInclusive<i64> = 1..=5;

/// Elements of all initialisers together, 4 GiB of `f32`: many of them may lie in the same bytes
/// of one external file, so the size of the files is no bound.
pub const CONSTANTS_MAX: usize = 1 << 30;

/// A loaded model.
#[derive(Clone, Debug)]
pub struct Model {
    graph: Graph,
    sha256: String,
    externals: BTreeMap<String, String>,
    producer: String,
    ir_version: i64,
}

/// Why a file is not loaded.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum LoadError {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Trees(#[from] TreeError),
    #[error(
        "base margin, objective and classes are said of dumps of trees only; this file \
         holds them itself"
    )]
    Hints,
    #[error("the file is not an ONNX model: {0}; export it again or check the download")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Tensor(#[from] TensorError),
    #[error(
        "the model imports opset {version} of `{domain}`, versions {low} to {high} are read; \
         export it again with one of them"
    )]
    Opset { domain: String, version: i64, low: i64, high: i64 },
    #[error("node `{node}` uses the domain `{domain}`, which the model does not import")]
    NotImported { node: String, domain: String },
    #[error("the name `{name}` is given to two {what}")]
    Duplicate { name: String, what: &'static str },
    #[error("node `{node}` reads `{value}`, which no input, constant or node gives")]
    Undefined { node: String, value: String },
    #[error("the output `{0}` is not computed by any node")]
    OutputUndefined(String),
    #[error("the nodes {} depend on one another in a circle", listed(.0))]
    Cycle(Vec<String>),
    #[error(
        "node `{node}` ({op}) holds a graph of its own; control flow that depends on the input is \
         not supported, export the model without it"
    )]
    Subgraph { node: String, op: String },
    #[error(
        "the functions that the model defines call one another too deeply or grow too large \
         (node `{node}`)"
    )]
    Nested { node: String },
    #[error(
        "node `{node}` calls the function `{function}`, written for opset {version} where the \
         model imports {model}; inline it before export (onnx.inliner does it)"
    )]
    FunctionOpset { node: String, function: String, version: i64, model: i64 },
    #[error("the model holds {0} sparse initialisers, which are not read; store them densely")]
    Sparse(usize),
    #[error("attribute `{attribute}` of node `{node}` is {kind}, which is not read")]
    Attribute { node: String, attribute: String, kind: String },
    #[error("tensor `{tensor}` holds a value that does not fit into {into}")]
    Range { tensor: String, into: DType },
    #[error("`{name}` has element type {type_name}, which is not read")]
    ElementType { name: String, type_name: String },
    #[error("input `{0}` is not a tensor")]
    InputType(String),
    #[error("`{name}` declares the impossible size {size}")]
    Size { name: String, size: i64 },
    #[error(
        "tensor `{tensor}` keeps its data at `{location}`, which is not a plain path below the \
         model's folder"
    )]
    ExternalOutside { tensor: String, location: String },
    #[error("the initialisers hold more than {CONSTANTS_MAX} elements together")]
    Constants,
    #[error("the external data `{location}` of tensor `{tensor}` cannot be read: {reason}")]
    External { tensor: String, location: String, reason: String },
    #[error("node `{node}`: {reason}")]
    Constant { node: String, reason: String },
}

impl Model {
    /// Loads a model; `externals` gives the bytes of a file below the model's folder.
    ///
    /// Element types without a [`Value`] of their own are widened: 16-bit floats to `f32`,
    /// 16-bit integers to `i32`, unsigned 32- and 64-bit ones to `i64`, where they must fit.
    ///
    /// # Errors
    /// Bytes that are no ONNX model, and everything this module refuses.
    pub fn from_onnx(
        bytes: &[u8],
        externals: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Model, LoadError> {
        let proto = onnx::decode(bytes)?;
        let mut files = Files { resolve: externals, read: BTreeMap::new() };
        let flat = flat::flat(&proto)?;
        let opsets = opsets(proto.opset_import.iter().chain(&flat.opsets))?;
        let graph = graph(&proto, &flat, opsets, &mut files)?;
        let externals = files.read.iter().map(|(k, v)| (k.clone(), digest(v))).collect();
        Ok(Model {
            graph,
            sha256: digest(bytes),
            externals,
            producer: format!("{} {}", proto.producer_name, proto.producer_version)
                .trim()
                .to_string(),
            ir_version: proto.ir_version,
        })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// SHA-256 of the main file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
    /// SHA-256 of every external data file by its location.
    pub fn externals(&self) -> &BTreeMap<String, String> {
        &self.externals
    }
    /// A digest of everything the model consists of: [`Model::sha256`] when it is one file,
    /// else SHA-256 over lines `digest  location`, the main file first without a location.
    pub fn digest(&self) -> String {
        if self.externals.is_empty() {
            return self.sha256.clone();
        }
        let mut text = format!("{}  \n", self.sha256);
        for (location, sha256) in &self.externals {
            text.push_str(&format!("{sha256}  {location}\n"));
        }
        digest(text.as_bytes())
    }
    /// Tool that wrote the file, with its version.
    pub fn producer(&self) -> &str {
        &self.producer
    }
    /// Version of the ONNX file format; 0 for a file of another kind.
    pub fn ir_version(&self) -> i64 {
        self.ir_version
    }

    /// A copy with another graph, for faults that are set on purpose. Its digests stay those of
    /// the file: nothing that is measured on it may be told as a figure of that file alone.
    pub fn altered(&self, graph: Graph) -> Model {
        Model { graph, ..self.clone() }
    }

    /// Names of the constants, and `node.attribute` of the attributes, that hold values that
    /// are infinite or not a number.
    ///
    /// Bounds of `Clip` and fills of `Where`, which exporters write as infinities on purpose,
    /// are named as well: the caller decides.
    pub fn non_finite_weights(&self) -> Vec<String> {
        let tensor = |v: &Value| match v {
            Value::F32(t) => t.data().iter().any(|x| !x.is_finite()),
            Value::F64(t) => t.data().iter().any(|x| !x.is_finite()),
            _ => false,
        };
        let constants =
            self.graph.constants.iter().filter(|(_, v)| tensor(v)).map(|(name, _)| name.clone());
        let attributes = self.graph.nodes.iter().flat_map(|n| {
            let bad = n.attributes.iter().filter(|(name, a)| match a {
                // The placeholder for a missing value is meant to be not a number.
                _ if name.starts_with("replaced_value") || name.starts_with("default_") => false,
                Attribute::Floats(v) => v.iter().any(|x| !x.is_finite()),
                Attribute::Tensor(v) => tensor(v),
                _ => false,
            });
            bad.map(|(name, _)| format!("{}.{name}", label(n))).collect::<Vec<_>>()
        });
        constants.chain(attributes).collect()
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// External files, each read once.
struct Files<'a> {
    resolve: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    read: BTreeMap<String, Vec<u8>>,
}

impl Files<'_> {
    fn elements(&mut self, t: &TensorProto) -> Result<Elements, LoadError> {
        let Some(facts) = t.external()? else { return Ok(t.elements()?) };
        let (tensor, location) = (t.name.clone(), facts.location.clone());
        if !onnx::location_is_confined(&location) {
            return Err(LoadError::ExternalOutside { tensor, location });
        }
        if !self.read.contains_key(&location) {
            let bytes = (self.resolve)(&location).map_err(|reason| LoadError::External {
                tensor: tensor.clone(),
                location: location.clone(),
                reason,
            })?;
            self.read.insert(location.clone(), bytes);
        }
        let bytes = self.read.get(&location).map_or(&[][..], Vec::as_slice);
        let bytes = onnx::external_range(bytes, facts.offset, facts.length)
            .map_err(|e| LoadError::External { tensor, location, reason: e.to_string() })?;
        Ok(t.elements_from(bytes)?)
    }
}

fn opsets<'a>(
    imports: impl Iterator<Item = &'a OperatorSetId>,
) -> Result<BTreeMap<String, i64>, LoadError> {
    let mut opsets = BTreeMap::new();
    for import in imports {
        let domain = canonical(&import.domain);
        let range = match domain {
            "" => Some(OPSETS),
            ML => Some(OPSETS_ML),
            _ => None,
        };
        if let Some(range) = range
            && !range.contains(&import.version)
        {
            return Err(LoadError::Opset {
                domain: if domain.is_empty() { "ai.onnx" } else { domain }.to_string(),
                version: import.version,
                low: *range.start(),
                high: *range.end(),
            });
        }
        let known = opsets.insert(domain.to_string(), import.version);
        if known.is_some_and(|v| v != import.version) {
            let name = import.domain.clone();
            return Err(LoadError::Duplicate { name, what: "opset imports" });
        }
    }
    Ok(opsets)
}

/// `ai.onnx` is another spelling of the empty domain.
fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn graph(
    proto: &ModelProto,
    flat: &Flat,
    opsets: BTreeMap<String, i64>,
    files: &mut Files,
) -> Result<Graph, LoadError> {
    let source = &proto.graph;
    if source.sparse_initializers > 0 {
        return Err(LoadError::Sparse(source.sparse_initializers));
    }
    let mut constants = BTreeMap::new();
    let own = source.initializers.iter().map(|t| (&t.name, t));
    let all = own.chain(flat.constants.iter().map(|(name, t)| (name, t)));
    let mut elements = 0usize;
    for (_, t) in all.clone() {
        elements = elements.saturating_add(t.shape()?.1);
        if elements > CONSTANTS_MAX {
            return Err(LoadError::Constants);
        }
    }
    for (name, t) in all {
        let value = value(t, files)?;
        if constants.insert(name.clone(), value).is_some() {
            return Err(LoadError::Duplicate { name: name.clone(), what: "initialisers" });
        }
    }
    let mut inputs: Vec<ValueInfo> = Vec::new();
    for i in source.inputs.iter().filter(|i| !constants.contains_key(&i.name)) {
        if inputs.iter().any(|known| known.name == i.name) {
            return Err(LoadError::Duplicate { name: i.name.clone(), what: "inputs" });
        }
        if !matches!(i.value_type, TypeProto::Tensor { .. }) {
            return Err(LoadError::InputType(i.name.clone()));
        }
        inputs.push(info(i)?);
    }
    let mut nodes = Vec::with_capacity(flat.nodes.len());
    for n in &flat.nodes {
        let node = node(n, &opsets, files)?;
        if node.op == "Constant" && node.domain.is_empty() {
            let (name, value) = constant(&node)?;
            if constants.insert(name.clone(), value).is_some() {
                return Err(LoadError::Duplicate { name, what: "values" });
            }
        } else {
            nodes.push(node);
        }
    }
    let outputs = outputs(source)?;
    let mut graph = Graph { inputs, outputs, nodes, constants, opsets };
    unique(&graph)?;
    sort(&mut graph)?;
    let names = graph.names();
    if let Some(o) = graph.outputs.iter().find(|o| !names.contains(o.name.as_str())) {
        return Err(LoadError::OutputUndefined(o.name.clone()));
    }
    Ok(graph)
}

fn outputs(source: &GraphProto) -> Result<Vec<ValueInfo>, LoadError> {
    let mut seen = BTreeSet::new();
    source
        .outputs
        .iter()
        .map(|o| {
            if !seen.insert(&o.name) {
                return Err(LoadError::Duplicate { name: o.name.clone(), what: "outputs" });
            }
            info(o)
        })
        .collect()
}

/// Every value has one origin.
fn unique(graph: &Graph) -> Result<(), LoadError> {
    let inputs = graph.inputs.iter().map(|i| i.name.as_str());
    let mut seen: BTreeSet<&str> =
        inputs.chain(graph.constants.keys().map(String::as_str)).collect();
    for name in graph.nodes.iter().flat_map(|n| &n.outputs).filter(|n| !n.is_empty()) {
        if !seen.insert(name) {
            return Err(LoadError::Duplicate { name: name.clone(), what: "values" });
        }
    }
    Ok(())
}

/// Puts the nodes into topological order, keeping the file's order where it can stay.
fn sort(graph: &mut Graph) -> Result<(), LoadError> {
    let all: BTreeSet<String> = graph.names().into_iter().map(str::to_string).collect();
    for node in &graph.nodes {
        if let Some(v) = node.inputs.iter().find(|v| !v.is_empty() && !all.contains(*v)) {
            return Err(LoadError::Undefined { node: label(node), value: v.clone() });
        }
    }
    let mut maker = BTreeMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        maker.extend(node.outputs.iter().filter(|o| !o.is_empty()).map(|o| (o.as_str(), i)));
    }
    let mut waits = vec![0usize; graph.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        for &m in node.inputs.iter().filter_map(|v| maker.get(v.as_str())) {
            waits[i] += 1;
            readers[m].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|&i| waits[i] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &r in &readers[i] {
            waits[r] -= 1;
            if waits[r] == 0 {
                ready.insert(r);
            }
        }
    }
    if order.len() < graph.nodes.len() {
        let stuck = (0..waits.len()).filter(|&i| waits[i] > 0).map(|i| label(&graph.nodes[i]));
        return Err(LoadError::Cycle(stuck.take(CYCLE_NAMES_MAX).collect()));
    }
    let mut nodes: Vec<Option<Node>> =
        std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    graph.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}

/// Nodes named in a cycle's error: enough to find it, short enough to read.
const CYCLE_NAMES_MAX: usize = 8;

fn node(
    n: &NodeProto,
    opsets: &BTreeMap<String, i64>,
    files: &mut Files,
) -> Result<Node, LoadError> {
    let mut node = Node {
        name: n.name.clone(),
        op: n.op_type.clone(),
        domain: canonical(&n.domain).to_string(),
        inputs: n.inputs.clone(),
        outputs: n.outputs.clone(),
        attributes: BTreeMap::new(),
    };
    let name = label(&node);
    if !opsets.contains_key(&node.domain) {
        let domain = if node.domain.is_empty() { "ai.onnx".into() } else { node.domain };
        return Err(LoadError::NotImported { node: name, domain });
    }
    for a in &n.attributes {
        let unread = |kind: &str| LoadError::Attribute {
            node: name.clone(),
            attribute: a.name.clone(),
            kind: kind.to_string(),
        };
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map_err(|_| unread("text that is not UTF-8"));
            text.map(str::to_string)
        };
        if !a.ref_attr_name.is_empty() {
            return Err(unread("a reference to an attribute of a function"));
        }
        let value = match &a.value {
            AttributeValue::Float(v) => Attribute::Float(*v),
            AttributeValue::Int(v) => Attribute::Int(*v),
            AttributeValue::Bytes(v) => Attribute::Text(text(v)?),
            AttributeValue::Tensor(t) => Attribute::Tensor(value(t, files)?),
            AttributeValue::Floats(v) => Attribute::Floats(v.clone()),
            AttributeValue::Ints(v) => Attribute::Ints(v.clone()),
            AttributeValue::Strings(v) => {
                Attribute::Texts(v.iter().map(|s| text(s)).collect::<Result<_, _>>()?)
            }
            AttributeValue::Graph(_) | AttributeValue::Graphs(_) => {
                return Err(LoadError::Subgraph { node: name, op: node.op });
            }
            other => return Err(unread(other.kind())),
        };
        if node.attributes.insert(a.name.clone(), value).is_some() {
            return Err(LoadError::Duplicate { name: a.name.clone(), what: "attributes" });
        }
    }
    widen(&mut node);
    Ok(node)
}

/// Types that an operator names are those that values are held in: a cast to a 16-bit float is
/// one to `f32`, on every engine.
fn widen(node: &mut Node) {
    for name in ["to", "dtype", "output_dtype"] {
        if name == "output_dtype" && node.op == "QuantizeLinear" {
            continue;
        }
        if let Some(Attribute::Int(code)) = node.attributes.get_mut(name)
            && let Some(held) = i32::try_from(*code).ok().and_then(held_as)
        {
            *code = i64::from(crate::write::code(held));
        }
    }
}

fn constant(node: &Node) -> Result<(String, Value), LoadError> {
    let fail = |reason: String| LoadError::Constant { node: label(node), reason };
    let value = reference::constant_value(node).map_err(|e| fail(e.to_string()))?;
    match node.outputs.as_slice() {
        [name] if !name.is_empty() => Ok((name.clone(), value)),
        _ => Err(fail("a constant must have one output".to_string())),
    }
}

fn label(node: &Node) -> String {
    if node.name.is_empty() {
        node.outputs.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default()
    } else {
        node.name.clone()
    }
}

fn value(t: &TensorProto, files: &mut Files) -> Result<Value, LoadError> {
    let (shape, _) = t.shape()?;
    fn of<T>(t: &TensorProto, shape: Vec<usize>, data: Vec<T>) -> Result<Tensor<T>, LoadError> {
        Tensor::new(shape, data)
            .ok_or_else(|| TensorError::Shape { name: t.name.clone(), dims: t.dims.clone() }.into())
    }
    Ok(match files.elements(t)? {
        Elements::F32(v) => Value::F32(of(t, shape, v)?),
        Elements::F64(v) => Value::F64(of(t, shape, v)?),
        Elements::I64(v) => Value::I64(of(t, shape, v)?),
        Elements::I32(v) => Value::I32(of(t, shape, v)?),
        Elements::I16(v) => Value::I32(of(t, shape, v.into_iter().map(i32::from).collect())?),
        Elements::U16(v) => Value::I32(of(t, shape, v.into_iter().map(i32::from).collect())?),
        Elements::U32(v) => Value::I64(of(t, shape, v.into_iter().map(i64::from).collect())?),
        Elements::U64(v) => {
            let narrow = v.into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>();
            let v = narrow
                .map_err(|_| LoadError::Range { tensor: t.name.clone(), into: DType::I64 })?;
            Value::I64(of(t, shape, v)?)
        }
        Elements::I8(v) => Value::I8(of(t, shape, v)?),
        Elements::U8(v) => Value::U8(of(t, shape, v)?),
        Elements::Bool(v) => Value::Bool(of(t, shape, v)?),
        Elements::Str(v) => Value::Str(of(t, shape, v)?),
    })
}

/// The element type that values of an ONNX type are held in.
pub fn held_as(code: i32) -> Option<DType> {
    Some(match DataType::from_code(code)? {
        DataType::Float | DataType::Float16 | DataType::Bfloat16 => DType::F32,
        DataType::Double => DType::F64,
        DataType::Int64 | DataType::Uint32 | DataType::Uint64 => DType::I64,
        DataType::Int32 | DataType::Int16 | DataType::Uint16 => DType::I32,
        DataType::Uint8 => DType::U8,
        DataType::Int8 => DType::I8,
        DataType::Bool => DType::Bool,
        DataType::String => DType::Str,
    })
}

fn info(v: &ValueInfoProto) -> Result<ValueInfo, LoadError> {
    let TypeProto::Tensor { elem_type, shape } = &v.value_type else {
        return Ok(ValueInfo { name: v.name.clone(), dtype: None, shape: None });
    };
    // Some writers leave the type of an output out.
    let dtype = match *elem_type {
        0 => None,
        code => Some(held_as(code).ok_or_else(|| LoadError::ElementType {
            name: v.name.clone(),
            type_name: DataType::name_of(code).to_string(),
        })?),
    };
    let dim = |d: &Dimension| match d {
        Dimension::Value(n) => usize::try_from(*n).map(Dim::Fixed).or_else(|_| match n {
            // Old exporters write -1 for an open size.
            -1 => Ok(Dim::Dynamic(String::new())),
            _ => Err(LoadError::Size { name: v.name.clone(), size: *n }),
        }),
        Dimension::Param(name) => Ok(Dim::Dynamic(name.clone())),
        Dimension::Unknown => Ok(Dim::Dynamic(String::new())),
    };
    let shape = shape.as_ref().map(|s| s.iter().map(dim).collect()).transpose()?;
    Ok(ValueInfo { name: v.name.clone(), dtype, shape })
}
