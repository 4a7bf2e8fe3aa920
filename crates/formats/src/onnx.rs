//! ONNX models: the messages, decoded within limits, and encoded again.
//!
//! Owns what an ONNX file says. Must never run, resolve or judge anything: unknown operators,
//! functions, sparse tensors and external data are facts for the caller. Called by `engine`
//! (which also writes gradient graphs with [`encode()`]) and by [`crate::sniff`].

mod decode;
mod encode;
mod look;
mod model;
mod tensor;

pub use decode::{
    ATTRIBUTES_MAX, GRAPH_DEPTH_MAX, NODES_MAX, PACKED_ELEMENTS_MAX, RANK_MAX, STRINGS_MAX,
    TENSORS_MAX, TEXT_BYTES_MAX, TYPE_DEPTH_MAX, VALUES_MAX, decode,
};
pub use encode::encode;
pub(crate) use look::looks_like_model;
pub use model::{
    AttributeProto, AttributeValue, Dimension, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorData, TensorProto, TypeProto, ValueInfoProto,
};
pub use tensor::{
    DataType, Elements, ExternalData, TENSOR_ELEMENTS_MAX, TensorError, external_range,
    location_is_confined,
};
