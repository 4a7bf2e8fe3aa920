//! Writes a graph as an ONNX file.
//!
//! Owns the translation from our graph to the messages of `formats::onnx`. Must never change
//! what a graph means. Called by the engines that load files and by whoever exports a gradient.

use std::borrow::Cow;
use std::collections::BTreeSet;

use proofmark_formats::onnx::{
    AttributeProto, AttributeValue, DataType, Dimension, Elements, GraphProto, ModelProto,
    NodeProto, OperatorSetId, TensorProto, TypeProto, ValueInfoProto, encode,
};

use crate::graph::{Attribute, Dim, Graph, Node, OWN, ValueInfo};
use crate::trees::exported;
use crate::value::{DType, Value};

/// Why a graph cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A constant that is no tensor.
    #[error("the constant `{0}` is a list of maps, which ONNX cannot hold as a constant")]
    Maps(String),
    /// An ensemble that ONNX cannot say.
    #[error("the tree ensemble `{node}` cannot be written as ONNX: {reason}")]
    Trees {
        /// Node.
        node: String,
        /// Reason.
        reason: String,
    },
}

/// The graph as the bytes of an ONNX model.
///
/// # Errors
/// [`WriteError`] for a constant that no file can hold.
pub fn to_onnx(graph: &Graph) -> Result<Vec<u8>, WriteError> {
    let plain = match graph.nodes.iter().any(|n| n.domain == OWN) {
        false => Cow::Borrowed(graph),
        true => Cow::Owned(
            exported(graph).map_err(|(node, reason)| WriteError::Trees { node, reason })?,
        ),
    };
    let graph = plain.as_ref();
    let mut nodes = graph.nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
    tell_apart(&mut nodes);
    let initializers = graph
        .constants
        .iter()
        .map(|(name, value)| tensor(name, value))
        .collect::<Result<_, _>>()?;
    let mut opset_import: Vec<OperatorSetId> = graph
        .opsets
        .iter()
        .map(|(domain, &version)| OperatorSetId { domain: domain.clone(), version })
        .collect();
    if !graph.opsets.contains_key("") {
        opset_import.push(OperatorSetId { domain: String::new(), version: graph.opset("") });
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import,
        producer_name: "proofmark".to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        graph: GraphProto {
            name: "graph".to_string(),
            nodes,
            initializers,
            inputs: graph.inputs.iter().map(info).collect(),
            outputs: graph.outputs.iter().map(info).collect(),
            ..GraphProto::default()
        },
        ..ModelProto::default()
    };
    Ok(encode(&model))
}

/// ONNX Runtime refuses two nodes of one name, which the format allows and files hold.
fn tell_apart(nodes: &mut [NodeProto]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (i, node) in nodes.iter_mut().enumerate() {
        if !node.name.is_empty() && !taken.insert(node.name.clone()) {
            // Places differ, so that this name is free but for one that was written to look so.
            node.name = format!("{}#{i}", node.name);
            if !taken.insert(node.name.clone()) {
                node.name.clear();
            }
        }
    }
}

fn node(node: &Node) -> Result<NodeProto<'static>, WriteError> {
    let attributes = node
        .attributes
        .iter()
        .map(|(name, value)| {
            let value = attribute(name, value)?;
            Ok(AttributeProto { name: name.clone(), value, ..AttributeProto::default() })
        })
        .collect::<Result<_, _>>()?;
    Ok(NodeProto {
        name: node.name.clone(),
        op_type: node.op.clone(),
        domain: node.domain.clone(),
        inputs: node.inputs.clone(),
        outputs: node.outputs.clone(),
        attributes,
        ..NodeProto::default()
    })
}

fn attribute(name: &str, value: &Attribute) -> Result<AttributeValue<'static>, WriteError> {
    let bytes = |text: &String| text.clone().into_bytes().into();
    Ok(match value {
        Attribute::Int(v) => AttributeValue::Int(*v),
        Attribute::Float(v) => AttributeValue::Float(*v),
        Attribute::Text(v) => AttributeValue::Bytes(bytes(v)),
        Attribute::Tensor(v) => AttributeValue::Tensor(Box::new(tensor(name, v)?)),
        Attribute::Ints(v) => AttributeValue::Ints(v.clone()),
        Attribute::Floats(v) => AttributeValue::Floats(v.clone()),
        Attribute::Texts(v) => AttributeValue::Strings(v.iter().map(bytes).collect()),
        Attribute::Trees(_) => {
            let reason = "it was not turned into operators of ONNX".to_string();
            return Err(WriteError::Trees { node: name.to_string(), reason });
        }
    })
}

fn tensor(name: &str, value: &Value) -> Result<TensorProto<'static>, WriteError> {
    let elements = match value {
        Value::F32(t) => Elements::F32(t.data().to_vec()),
        Value::F64(t) => Elements::F64(t.data().to_vec()),
        Value::I64(t) => Elements::I64(t.data().to_vec()),
        Value::I32(t) => Elements::I32(t.data().to_vec()),
        Value::U8(t) => Elements::U8(t.data().to_vec()),
        Value::I8(t) => Elements::I8(t.data().to_vec()),
        Value::Bool(t) => Elements::Bool(t.data().to_vec()),
        Value::Str(t) => Elements::Str(t.data().to_vec()),
        Value::Maps(_) => return Err(WriteError::Maps(name.to_string())),
    };
    let dims: Vec<i64> = value.shape().iter().map(|&d| d as i64).collect();
    Ok(TensorProto::from_elements(name, &dims, &elements))
}

fn info(info: &ValueInfo) -> ValueInfoProto {
    let value_type = match info.dtype {
        None => TypeProto::Unknown,
        Some(dtype) => TypeProto::Tensor {
            elem_type: code(dtype),
            shape: info.shape.as_ref().map(|dims| dims.iter().map(dimension).collect()),
        },
    };
    ValueInfoProto { name: info.name.clone(), value_type }
}

fn dimension(dim: &Dim) -> Dimension {
    match dim {
        Dim::Fixed(n) => Dimension::Value(*n as i64),
        Dim::Dynamic(name) if name.is_empty() => Dimension::Unknown,
        Dim::Dynamic(name) => Dimension::Param(name.clone()),
    }
}

/// `TensorProto.DataType` of an element type.
pub(crate) fn code(dtype: DType) -> i32 {
    let data_type = match dtype {
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
        DType::I64 => DataType::Int64,
        DType::I32 => DataType::Int32,
        DType::U8 => DataType::Uint8,
        DType::I8 => DataType::Int8,
        DType::Bool => DataType::Bool,
        DType::Str => DataType::String,
    };
    data_type.code()
}

/// Version of the file format: the first that knows opset 18.
const IR_VERSION: i64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Tensor;

    #[test]
    fn what_is_written_decodes_to_the_same_names_and_numbers() {
        let mut graph = Graph::default();
        let vector = Tensor::vector(vec![1.5f32, -2.0]);
        graph.constants.insert("w".into(), Value::F32(vector.clone()));
        graph.inputs.push(ValueInfo {
            name: "x".into(),
            dtype: Some(DType::F32),
            shape: Some(vec![Dim::Dynamic("n".into()), Dim::Fixed(2)]),
        });
        graph.nodes.push(Node {
            name: "add".into(),
            op: "Add".into(),
            domain: String::new(),
            inputs: vec!["x".into(), "w".into()],
            outputs: vec!["y".into()],
            attributes: [("k".to_string(), Attribute::Texts(vec!["a".into()]))].into(),
        });
        let bytes = to_onnx(&graph).unwrap();
        let model = proofmark_formats::onnx::decode(&bytes).unwrap();
        assert_eq!(model.opset_import[0].version, 18);
        assert_eq!(model.graph.nodes[0].inputs, ["x", "w"]);
        assert_eq!(model.graph.nodes[0].attributes[0].name, "k");
        let elements = model.graph.initializers[0].elements().unwrap();
        assert_eq!(elements, Elements::F32(vector.data().to_vec()));
        assert_eq!(model.graph.inputs[0], info(&graph.inputs[0]));
    }

    #[test]
    fn nodes_of_one_name_are_told_apart() {
        let node = |name: &str, output: &str| Node {
            name: name.into(),
            op: "Exp".into(),
            domain: String::new(),
            inputs: vec!["x".into()],
            outputs: vec![output.into()],
            attributes: Default::default(),
        };
        let nodes = vec![node("a", "p"), node("a", "q"), node("", "r"), node("", "s")];
        let bytes = to_onnx(&Graph { nodes, ..Graph::default() }).unwrap();
        let model = proofmark_formats::onnx::decode(&bytes).unwrap();
        let names: Vec<&str> = model.graph.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["a", "a#1", "", ""]);
    }

    #[test]
    fn maps_are_refused() {
        let mut graph = Graph::default();
        graph.constants.insert("m".into(), Value::Maps(vec![]));
        assert_eq!(to_onnx(&graph), Err(WriteError::Maps("m".into())));
    }
}
