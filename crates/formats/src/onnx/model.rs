//! The ONNX messages as plain data.
//!
//! Owns names and shapes of the messages; field names follow the specification. Payloads borrow
//! from the file, so that a large model is held once. Filled by `decode`, read by `encode`.

use std::borrow::Cow;

/// A model file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelProto<'a> {
    /// Version of the file format itself.
    pub ir_version: i64,
    /// Operator sets that the nodes refer to.
    pub opset_import: Vec<OperatorSetId>,
    /// Tool that wrote the file.
    pub producer_name: String,
    /// Its version.
    pub producer_version: String,
    /// Namespace of the model.
    pub domain: String,
    /// Version of the model.
    pub model_version: i64,
    /// The graph.
    pub graph: GraphProto<'a>,
    /// Key and value pairs, in file order; keys may repeat.
    pub metadata_props: Vec<(String, String)>,
    /// Functions that the model defines for itself.
    pub functions: Vec<FunctionProto<'a>>,
    /// Number of training graphs in the file; they are not decoded.
    pub training_info: usize,
}

/// An operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorSetId {
    /// Domain; empty for `ai.onnx`.
    pub domain: String,
    /// Version.
    pub version: i64,
}

/// A function: an operator defined by nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionProto<'a> {
    /// Name.
    pub name: String,
    /// Domain.
    pub domain: String,
    /// Distinguishes functions of one name and domain.
    pub overload: String,
    /// Names of the formal inputs.
    pub inputs: Vec<String>,
    /// Names of the formal outputs.
    pub outputs: Vec<String>,
    /// Names of attributes without default.
    pub attributes: Vec<String>,
    /// Attributes with default.
    pub attribute_defaults: Vec<AttributeProto<'a>>,
    /// Body.
    pub nodes: Vec<NodeProto<'a>>,
    /// Operator sets of the body.
    pub opset_import: Vec<OperatorSetId>,
}

/// A graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphProto<'a> {
    /// Name.
    pub name: String,
    /// Nodes in file order, which the specification wants topological.
    pub nodes: Vec<NodeProto<'a>>,
    /// Constants by name.
    pub initializers: Vec<TensorProto<'a>>,
    /// Number of sparse initialisers; they are not decoded, and never written.
    pub sparse_initializers: usize,
    /// Inputs; old files list the initialisers here too.
    pub inputs: Vec<ValueInfoProto>,
    /// Outputs.
    pub outputs: Vec<ValueInfoProto>,
    /// Types of values in between.
    pub value_info: Vec<ValueInfoProto>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeProto<'a> {
    /// Name, for messages; may be empty.
    pub name: String,
    /// Operator, e.g. `Gemm`.
    pub op_type: String,
    /// Domain of the operator; empty for `ai.onnx`.
    pub domain: String,
    /// Overload of the function that is called.
    pub overload: String,
    /// Input value names; empty text for an omitted optional input.
    pub inputs: Vec<String>,
    /// Output value names; empty text for an unused output.
    pub outputs: Vec<String>,
    /// Attributes in file order.
    pub attributes: Vec<AttributeProto<'a>>,
    /// Offset of the message in the file it was decoded from, in bytes; 0 when made in memory.
    pub offset: u64,
}

impl<'a> NodeProto<'a> {
    /// The value of the attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue<'a>> {
        self.attributes.iter().find(|a| a.name == name).map(|a| &a.value)
    }
}

/// An attribute of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeProto<'a> {
    /// Name.
    pub name: String,
    /// Attribute of the enclosing function whose value is used; empty outside functions.
    pub ref_attr_name: String,
    /// Value.
    pub value: AttributeValue<'a>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    /// Text in nearly all cases, but the format says bytes.
    Bytes(Cow<'a, [u8]>),
    Tensor(Box<TensorProto<'a>>),
    Graph(Box<GraphProto<'a>>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<Cow<'a, [u8]>>),
    Tensors(Vec<TensorProto<'a>>),
    Graphs(Vec<GraphProto<'a>>),
    /// No value that is decoded: a reference to an attribute of the function, a sparse tensor, a
    /// type, or a kind that the specification does not know.
    Other {
        /// `AttributeProto.AttributeType` as written; 0 when absent.
        code: i32,
    },
}

impl Default for AttributeValue<'_> {
    fn default() -> Self {
        Self::Other { code: 0 }
    }
}

impl<'a> AttributeValue<'a> {
    /// The `AttributeProto.AttributeType` of the value.
    pub fn code(&self) -> i32 {
        match self {
            Self::Float(_) => 1,
            Self::Int(_) => 2,
            Self::Bytes(_) => 3,
            Self::Tensor(_) => 4,
            Self::Graph(_) => 5,
            Self::Floats(_) => 6,
            Self::Ints(_) => 7,
            Self::Strings(_) => 8,
            Self::Tensors(_) => 9,
            Self::Graphs(_) => 10,
            Self::Other { code } => *code,
        }
    }

    /// What the value is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.code() {
            1 => "a float",
            2 => "an integer",
            3 => "a string",
            4 => "a tensor",
            5 => "a graph",
            6 => "floats",
            7 => "integers",
            8 => "strings",
            9 => "tensors",
            10 => "graphs",
            11 => "a sparse tensor",
            12 => "sparse tensors",
            13 => "a type",
            14 => "types",
            _ => "a value of unknown kind",
        }
    }

    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// A tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorProto<'a> {
    /// Name; empty for attributes.
    pub name: String,
    /// Shape as written; may be negative in a bad file.
    pub dims: Vec<i64>,
    /// `TensorProto.DataType` as written; see [`super::DataType`].
    pub data_type: i32,
    /// Elements as written.
    pub data: TensorData<'a>,
    /// Key and value pairs that say where external data lies.
    pub external_data: Vec<(String, String)>,
    /// `TensorProto.DataLocation` as written: 0 here, 1 external.
    pub data_location: i32,
    /// Whether the tensor says that it is one segment of a larger one; never written.
    pub segmented: bool,
    /// Offset of the message in the file it was decoded from, in bytes; 0 when made in memory.
    pub offset: u64,
}

/// The elements of a tensor as the file writes them.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // named after the fields of the specification
pub enum TensorData<'a> {
    /// No elements in the message.
    #[default]
    Absent,
    /// `raw_data`: little-endian elements, row-major.
    Raw(Cow<'a, [u8]>),
    Float(Vec<f32>),
    /// Also 16-bit floats (their bits), booleans and smaller integers.
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    /// Also 32-bit unsigned integers.
    Uint64(Vec<u64>),
    String(Vec<Cow<'a, [u8]>>),
}

impl TensorData<'_> {
    /// Name of the field that carries the elements.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Absent => "no data",
            Self::Raw(_) => "raw_data",
            Self::Float(_) => "float_data",
            Self::Int32(_) => "int32_data",
            Self::Int64(_) => "int64_data",
            Self::Double(_) => "double_data",
            Self::Uint64(_) => "uint64_data",
            Self::String(_) => "string_data",
        }
    }
}

/// Name and type of an input, output or value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueInfoProto {
    /// Name.
    pub name: String,
    /// Type.
    pub value_type: TypeProto,
}

/// The type of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum TypeProto {
    /// The file says nothing.
    #[default]
    Unknown,
    Tensor {
        /// `TensorProto.DataType`.
        elem_type: i32,
        /// `None` when even the rank is open.
        shape: Option<Vec<Dimension>>,
    },
    SparseTensor {
        /// `TensorProto.DataType`.
        elem_type: i32,
        /// `None` when even the rank is open.
        shape: Option<Vec<Dimension>>,
    },
    Sequence(Box<TypeProto>),
    Map {
        /// `TensorProto.DataType` of the keys.
        key_type: i32,
        value_type: Box<TypeProto>,
    },
    Optional(Box<TypeProto>),
    Opaque,
}

/// A dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dimension {
    /// Fixed; may be negative in a bad file.
    Value(i64),
    /// Named.
    Param(String),
    /// Open.
    #[default]
    Unknown,
}
