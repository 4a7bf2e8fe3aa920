//! ONNX messages to bytes.
//!
//! Owns the order of fields, by number, so that equal models give equal bytes; lists are packed
//! exactly where the ONNX schema says so, because some readers take no other form. Never writes
//! what `decode` only counts: sparse initialisers, training graphs, and the mark of a segment.
//! Called by `engine`, to hand a gradient graph to an engine.

use super::model::{
    AttributeProto, AttributeValue, Dimension, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorData, TensorProto, TypeProto, ValueInfoProto,
};
use crate::protobuf::Writer;

/// Encodes a model; the same model always gives the same bytes.
pub fn encode(model: &ModelProto<'_>) -> Vec<u8> {
    let mut w = Writer::new();
    int(&mut w, 1, model.ir_version);
    w.text(2, &model.producer_name);
    w.text(3, &model.producer_version);
    w.text(4, &model.domain);
    int(&mut w, 5, model.model_version);
    w.message(7, |w| graph(w, &model.graph));
    model.opset_import.iter().for_each(|id| w.message(8, |w| opset(w, id)));
    model.metadata_props.iter().for_each(|p| w.message(14, |w| pair(w, p)));
    model.functions.iter().for_each(|f| w.message(25, |w| function(w, f)));
    w.into_bytes()
}

fn graph(w: &mut Writer, graph: &GraphProto<'_>) {
    graph.nodes.iter().for_each(|n| w.message(1, |w| node(w, n)));
    w.text(2, &graph.name);
    graph.initializers.iter().for_each(|t| w.message(5, |w| tensor(w, t)));
    graph.inputs.iter().for_each(|v| w.message(11, |w| value_info(w, v)));
    graph.outputs.iter().for_each(|v| w.message(12, |w| value_info(w, v)));
    graph.value_info.iter().for_each(|v| w.message(13, |w| value_info(w, v)));
}

fn function(w: &mut Writer, function: &FunctionProto<'_>) {
    w.text(1, &function.name);
    function.inputs.iter().for_each(|name| w.bytes(4, name.as_bytes()));
    function.outputs.iter().for_each(|name| w.bytes(5, name.as_bytes()));
    function.attributes.iter().for_each(|name| w.bytes(6, name.as_bytes()));
    function.nodes.iter().for_each(|n| w.message(7, |w| node(w, n)));
    function.opset_import.iter().for_each(|id| w.message(9, |w| opset(w, id)));
    w.text(10, &function.domain);
    function.attribute_defaults.iter().for_each(|a| w.message(11, |w| attribute(w, a)));
    w.text(13, &function.overload);
}

fn node(w: &mut Writer, node: &NodeProto<'_>) {
    node.inputs.iter().for_each(|name| w.bytes(1, name.as_bytes()));
    node.outputs.iter().for_each(|name| w.bytes(2, name.as_bytes()));
    w.text(3, &node.name);
    w.text(4, &node.op_type);
    node.attributes.iter().for_each(|a| w.message(5, |w| attribute(w, a)));
    w.text(7, &node.domain);
    w.text(8, &node.overload);
}

fn attribute(w: &mut Writer, attribute: &AttributeProto<'_>) {
    use AttributeValue as V;
    w.text(1, &attribute.name);
    match &attribute.value {
        V::Float(value) => w.float(2, *value),
        V::Int(value) => w.int64(3, *value),
        V::Bytes(bytes) => w.bytes(4, bytes),
        V::Tensor(value) => w.message(5, |w| tensor(w, value)),
        V::Graph(value) => w.message(6, |w| graph(w, value)),
        V::Floats(list) => list.iter().for_each(|&v| w.float(7, v)),
        V::Ints(list) => list.iter().for_each(|&v| w.int64(8, v)),
        V::Strings(list) => list.iter().for_each(|bytes| w.bytes(9, bytes)),
        V::Tensors(list) => list.iter().for_each(|t| w.message(10, |w| tensor(w, t))),
        V::Graphs(list) => list.iter().for_each(|g| w.message(11, |w| graph(w, g))),
        V::Other { .. } => {}
    }
    int(w, 20, i64::from(attribute.value.code()));
    w.text(21, &attribute.ref_attr_name);
}

fn tensor(w: &mut Writer, tensor: &TensorProto<'_>) {
    tensor.dims.iter().for_each(|&d| w.int64(1, d));
    int(w, 2, i64::from(tensor.data_type));
    match &tensor.data {
        TensorData::Absent => {}
        TensorData::Float(list) => w.packed_fixed(4, list.iter().map(|v| v.to_le_bytes())),
        TensorData::Int32(list) => {
            w.packed_varints(5, list.iter().map(|&v| i64::from(v).cast_unsigned()));
        }
        TensorData::String(list) => list.iter().for_each(|bytes| w.bytes(6, bytes)),
        TensorData::Int64(list) => w.packed_varints(7, list.iter().map(|v| v.cast_unsigned())),
        TensorData::Raw(_) | TensorData::Double(_) | TensorData::Uint64(_) => {}
    }
    w.text(8, &tensor.name);
    match &tensor.data {
        TensorData::Raw(bytes) => w.bytes(9, bytes),
        TensorData::Double(list) => w.packed_fixed(10, list.iter().map(|v| v.to_le_bytes())),
        TensorData::Uint64(list) => w.packed_varints(11, list.iter().copied()),
        _ => {}
    }
    tensor.external_data.iter().for_each(|p| w.message(13, |w| pair(w, p)));
    int(w, 14, i64::from(tensor.data_location));
}

fn value_info(w: &mut Writer, info: &ValueInfoProto) {
    w.text(1, &info.name);
    if info.value_type != TypeProto::Unknown {
        w.message(2, |w| value_type(w, &info.value_type));
    }
}

fn value_type(w: &mut Writer, value: &TypeProto) {
    match value {
        TypeProto::Unknown => {}
        TypeProto::Tensor { elem_type, shape } => {
            w.message(1, |w| tensor_type(w, *elem_type, shape.as_deref()));
        }
        TypeProto::SparseTensor { elem_type, shape } => {
            w.message(8, |w| tensor_type(w, *elem_type, shape.as_deref()));
        }
        TypeProto::Sequence(inner) => {
            w.message(4, |w| w.message(1, |w| value_type(w, inner)));
        }
        TypeProto::Map { key_type, value_type: inner } => w.message(5, |w| {
            int(w, 1, i64::from(*key_type));
            w.message(2, |w| value_type(w, inner));
        }),
        TypeProto::Optional(inner) => {
            w.message(9, |w| w.message(1, |w| value_type(w, inner)));
        }
        TypeProto::Opaque => w.message(7, |_| {}),
    }
}

fn tensor_type(w: &mut Writer, elem_type: i32, shape: Option<&[Dimension]>) {
    int(w, 1, i64::from(elem_type));
    let Some(shape) = shape else { return };
    w.message(2, |w| {
        for dimension in shape {
            w.message(1, |w| match dimension {
                Dimension::Value(value) => w.int64(1, *value),
                Dimension::Param(name) => w.bytes(2, name.as_bytes()),
                Dimension::Unknown => {}
            });
        }
    });
}

fn opset(w: &mut Writer, id: &OperatorSetId) {
    w.text(1, &id.domain);
    w.int64(2, id.version);
}

fn pair(w: &mut Writer, pair: &(String, String)) {
    w.text(1, &pair.0);
    w.text(2, &pair.1);
}

/// An integer, left out when zero: the default of both proto2 and proto3.
fn int(w: &mut Writer, number: u32, value: i64) {
    if value != 0 {
        w.int64(number, value);
    }
}
