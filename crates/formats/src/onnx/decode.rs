//! Bytes to ONNX messages.
//!
//! Owns the limits. Unknown fields are skipped, as the format demands; known fields of the wrong
//! wire type and singular fields written twice are refused, since readers differ on them.
//! Called by `super::decode`'s callers only.

use std::borrow::Cow;

use super::model::{
    AttributeProto, AttributeValue, Dimension, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorData, TensorProto, TypeProto, ValueInfoProto,
};
use crate::protobuf::{Budget, Field, Problem, Reader, WireError};

/// Nodes in all graphs and functions: large language models export some ten thousand.
pub const NODES_MAX: u64 = 250_000;
/// Attributes of all nodes: four for each node, on average.
pub const ATTRIBUTES_MAX: u64 = 1_000_000;
/// Tensors in initialisers and attributes: one for each node, on average.
pub const TENSORS_MAX: u64 = 250_000;
/// Input, output and inner value types, and pairs of metadata.
pub const VALUES_MAX: u64 = 500_000;
/// Names in lists, strings in tensors and attributes, and dimensions of types.
pub const STRINGS_MAX: u64 = 2_000_000;
/// Elements written as varints, which grow up to eightfold: 512 MiB once decoded.
pub const PACKED_ELEMENTS_MAX: u64 = 64 * 1024 * 1024;
/// Dimensions of one tensor: engines stop far below.
pub const RANK_MAX: u64 = 64;
/// Graphs within graphs, by attributes of `If`, `Loop` and `Scan`.
pub const GRAPH_DEPTH_MAX: u32 = 16;
/// Types within types: a sequence of maps needs three.
pub const TYPE_DEPTH_MAX: u32 = 16;
/// Bytes of one name or one metadata value: exporters put whole tables of settings there.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Decodes a model; payloads borrow from `bytes`.
///
/// # Errors
/// Anything that is not a well-formed model within the limits, with offset and path.
pub fn decode(bytes: &[u8]) -> Result<ModelProto<'_>, WireError> {
    Decoder::new().model(Reader::new(bytes)?)
}

/// Budgets for one file.
struct Decoder {
    nodes: Budget,
    attributes: Budget,
    tensors: Budget,
    values: Budget,
    strings: Budget,
    varints: Budget,
    floats: Budget,
    graph_depth: u32,
    type_depth: u32,
}

type Result<T, E = WireError> = std::result::Result<T, E>;

impl Decoder {
    fn new() -> Self {
        Self {
            nodes: Budget::new("nodes", NODES_MAX),
            attributes: Budget::new("attributes", ATTRIBUTES_MAX),
            tensors: Budget::new("tensors", TENSORS_MAX),
            values: Budget::new("values and pairs", VALUES_MAX),
            strings: Budget::new("names, strings and dimensions", STRINGS_MAX),
            varints: Budget::new("integers in lists", PACKED_ELEMENTS_MAX),
            // fixed-size elements never grow, so the size of the file is their limit
            floats: Budget::new("floats in lists", u64::MAX),
            graph_depth: 0,
            type_depth: 0,
        }
    }

    fn model<'a>(&mut self, mut reader: Reader<'a>) -> Result<ModelProto<'a>> {
        let mut model = ModelProto::default();
        let (mut ir_version, mut model_version, mut graph) = (None, None, None);
        let (mut producer_name, mut producer_version, mut domain) = (None, None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => once(&mut ir_version, &field, "ir_version", field.int64()?)?,
                2 => once(&mut producer_name, &field, "producer_name", text(&field)?)?,
                3 => once(&mut producer_version, &field, "producer_version", text(&field)?)?,
                4 => once(&mut domain, &field, "domain", text(&field)?)?,
                5 => once(&mut model_version, &field, "model_version", field.int64()?)?,
                7 => {
                    let value = within(&field, "graph", None, |r| self.graph(r))?;
                    once(&mut graph, &field, "graph", value)?;
                }
                8 => self.opset(&field, &mut model.opset_import)?,
                14 => self.pair(&field, "metadata_props", &mut model.metadata_props)?,
                20 => {
                    field.bytes()?;
                    model.training_info += 1;
                }
                25 => {
                    self.values.spend(1, field.offset)?;
                    let index = Some(model.functions.len());
                    let value = within(&field, "functions", index, |r| self.function(r))?;
                    model.functions.push(value);
                }
                _ => {}
            }
        }
        let missing = WireError::new(reader.offset(), Problem::Missing { field: "graph" });
        model.graph = graph.ok_or(missing)?;
        model.ir_version = ir_version.unwrap_or_default();
        model.model_version = model_version.unwrap_or_default();
        model.producer_name = producer_name.unwrap_or_default();
        model.producer_version = producer_version.unwrap_or_default();
        model.domain = domain.unwrap_or_default();
        Ok(model)
    }

    fn graph<'a>(&mut self, mut reader: Reader<'a>) -> Result<GraphProto<'a>> {
        if self.graph_depth >= GRAPH_DEPTH_MAX {
            let problem = Problem::TooDeep { limit: GRAPH_DEPTH_MAX };
            return Err(WireError::new(reader.offset(), problem));
        }
        self.graph_depth += 1;
        let mut graph = GraphProto::default();
        let mut name = None;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.node(&field, "node", &mut graph.nodes)?,
                2 => once(&mut name, &field, "name", text(&field)?)?,
                5 => self.tensor(&field, "initializer", &mut graph.initializers)?,
                11 => self.value_info(&field, "input", &mut graph.inputs)?,
                12 => self.value_info(&field, "output", &mut graph.outputs)?,
                13 => self.value_info(&field, "value_info", &mut graph.value_info)?,
                15 => {
                    field.bytes()?;
                    graph.sparse_initializers += 1;
                }
                _ => {}
            }
        }
        graph.name = name.unwrap_or_default();
        self.graph_depth -= 1;
        Ok(graph)
    }

    fn function<'a>(&mut self, mut reader: Reader<'a>) -> Result<FunctionProto<'a>> {
        let mut function = FunctionProto::default();
        let (mut name, mut domain, mut overload) = (None, None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => once(&mut name, &field, "name", text(&field)?)?,
                4 => self.name(&field, &mut function.inputs)?,
                5 => self.name(&field, &mut function.outputs)?,
                6 => self.name(&field, &mut function.attributes)?,
                7 => self.node(&field, "node", &mut function.nodes)?,
                9 => self.opset(&field, &mut function.opset_import)?,
                10 => once(&mut domain, &field, "domain", text(&field)?)?,
                11 => {
                    self.attribute(&field, "attribute_proto", &mut function.attribute_defaults)?
                }
                13 => once(&mut overload, &field, "overload", text(&field)?)?,
                _ => {}
            }
        }
        function.name = name.unwrap_or_default();
        function.domain = domain.unwrap_or_default();
        function.overload = overload.unwrap_or_default();
        Ok(function)
    }

    fn node<'a>(
        &mut self,
        field: &Field<'a>,
        place: &str,
        into: &mut Vec<NodeProto<'a>>,
    ) -> Result<()> {
        self.nodes.spend(1, field.offset)?;
        into.push(within(field, place, Some(into.len()), |r| self.node_body(r))?);
        Ok(())
    }

    fn node_body<'a>(&mut self, mut reader: Reader<'a>) -> Result<NodeProto<'a>> {
        let mut node = NodeProto { offset: reader.offset(), ..NodeProto::default() };
        let (mut name, mut op_type, mut domain, mut overload) = (None, None, None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.name(&field, &mut node.inputs)?,
                2 => self.name(&field, &mut node.outputs)?,
                3 => once(&mut name, &field, "name", text(&field)?)?,
                4 => once(&mut op_type, &field, "op_type", text(&field)?)?,
                5 => self.attribute(&field, "attribute", &mut node.attributes)?,
                7 => once(&mut domain, &field, "domain", text(&field)?)?,
                8 => once(&mut overload, &field, "overload", text(&field)?)?,
                _ => {}
            }
        }
        node.name = name.unwrap_or_default();
        node.op_type = op_type.unwrap_or_default();
        node.domain = domain.unwrap_or_default();
        node.overload = overload.unwrap_or_default();
        Ok(node)
    }

    fn attribute<'a>(
        &mut self,
        field: &Field<'a>,
        place: &str,
        into: &mut Vec<AttributeProto<'a>>,
    ) -> Result<()> {
        self.attributes.spend(1, field.offset)?;
        into.push(within(field, place, Some(into.len()), |r| self.attribute_body(r))?);
        Ok(())
    }

    fn attribute_body<'a>(&mut self, mut reader: Reader<'a>) -> Result<AttributeProto<'a>> {
        let start = reader.offset();
        let (mut name, mut ref_attr_name, mut code) = (None, None, None);
        let mut value = None;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => once(&mut name, &field, "name", text(&field)?)?,
                20 => once(&mut code, &field, "type", field.int32()?)?,
                21 => once(&mut ref_attr_name, &field, "ref_attr_name", text(&field)?)?,
                2..=11 => self.attribute_value(&field, &mut value)?,
                _ => {}
            }
        }
        let value = match (value, code.unwrap_or(0)) {
            (Some(value), 0) => value,
            (Some(value), code) if value.code() == code => value,
            (Some(value), code) => {
                let problem =
                    Problem::Both { first: value.kind(), second: AttributeValue::of(code).kind() };
                return Err(WireError::new(start, problem));
            }
            (None, code) => AttributeValue::of(code),
        };
        Ok(AttributeProto {
            name: name.unwrap_or_default(),
            ref_attr_name: ref_attr_name.unwrap_or_default(),
            value,
        })
    }

    fn attribute_value<'a>(
        &mut self,
        field: &Field<'a>,
        slot: &mut Option<AttributeValue<'a>>,
    ) -> Result<()> {
        use AttributeValue as V;
        match field.number {
            2 => return single(slot, field, V::Float(field.float()?)),
            3 => return single(slot, field, V::Int(field.int64()?)),
            4 => return single(slot, field, V::Bytes(Cow::Borrowed(field.bytes()?))),
            5 => {
                self.tensors.spend(1, field.offset)?;
                let value = within(field, "t", None, |r| self.tensor_body(r))?;
                return single(slot, field, V::Tensor(Box::new(value)));
            }
            6 => {
                let value = within(field, "g", None, |r| self.graph(r))?;
                return single(slot, field, V::Graph(Box::new(value)));
            }
            _ => {}
        }
        let Some(empty) = empty_list(field.number) else { return Ok(()) };
        match (slot.get_or_insert(empty), field.number) {
            (V::Floats(list), 7) => field.floats(list, &mut self.floats),
            (V::Ints(list), 8) => {
                field.varints(list, &mut self.varints, "int64", |v| Some(v.cast_signed()))
            }
            (V::Strings(list), 9) => {
                self.strings.spend(1, field.offset)?;
                list.push(Cow::Borrowed(field.bytes()?));
                Ok(())
            }
            (V::Tensors(list), 10) => self.tensor(field, "tensors", list),
            (V::Graphs(list), 11) => {
                let index = Some(list.len());
                // an empty graph is two bytes; the budget of nodes bounds them as well
                self.nodes.spend(1, field.offset)?;
                list.push(within(field, "graphs", index, |r| self.graph(r))?);
                Ok(())
            }
            (other, _) => {
                let second = empty_list(field.number).unwrap_or_default().kind();
                Err(field.error(Problem::Both { first: other.kind(), second }))
            }
        }
    }

    fn tensor<'a>(
        &mut self,
        field: &Field<'a>,
        place: &str,
        into: &mut Vec<TensorProto<'a>>,
    ) -> Result<()> {
        self.tensors.spend(1, field.offset)?;
        into.push(within(field, place, Some(into.len()), |r| self.tensor_body(r))?);
        Ok(())
    }

    fn tensor_body<'a>(&mut self, mut reader: Reader<'a>) -> Result<TensorProto<'a>> {
        let mut tensor = TensorProto { offset: reader.offset(), ..TensorProto::default() };
        let mut rank = Budget::new("dimensions in one tensor", RANK_MAX);
        let (mut name, mut data_type, mut location) = (None, None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => field
                    .varints(&mut tensor.dims, &mut rank, "int64", |v| Some(v.cast_signed()))?,
                2 => once(&mut data_type, &field, "data_type", field.int32()?)?,
                3 => {
                    field.bytes()?;
                    tensor.segmented = true;
                }
                8 => once(&mut name, &field, "name", text(&field)?)?,
                13 => self.pair(&field, "external_data", &mut tensor.external_data)?,
                14 => once(&mut location, &field, "data_location", field.int32()?)?,
                4..=7 | 9..=11 => self.tensor_data(&field, &mut tensor.data)?,
                _ => {}
            }
        }
        tensor.name = name.unwrap_or_default();
        tensor.data_type = data_type.unwrap_or_default();
        tensor.data_location = location.unwrap_or_default();
        Ok(tensor)
    }

    fn tensor_data<'a>(&mut self, field: &Field<'a>, data: &mut TensorData<'a>) -> Result<()> {
        use TensorData as D;
        if field.bytes().is_ok_and(<[u8]>::is_empty) && !matches!(field.number, 6 | 9) {
            return Ok(()); // an empty packed list says no more than an absent one
        }
        if matches!(data, D::Absent) {
            *data = match field.number {
                4 => D::Float(Vec::new()),
                5 => D::Int32(Vec::new()),
                6 => D::String(Vec::new()),
                7 => D::Int64(Vec::new()),
                9 => {
                    *data = D::Raw(Cow::Borrowed(field.bytes()?));
                    return Ok(());
                }
                10 => D::Double(Vec::new()),
                _ => D::Uint64(Vec::new()),
            };
        }
        let budget = &mut self.varints;
        match (&mut *data, field.number) {
            (D::Float(list), 4) => field.floats(list, &mut self.floats),
            (D::Int32(list), 5) => {
                field.varints(list, budget, "int32", |v| i32::try_from(v.cast_signed()).ok())
            }
            (D::String(list), 6) => {
                self.strings.spend(1, field.offset)?;
                list.push(Cow::Borrowed(field.bytes()?));
                Ok(())
            }
            (D::Int64(list), 7) => field.varints(list, budget, "int64", |v| Some(v.cast_signed())),
            (D::Double(list), 10) => field.doubles(list, &mut self.floats),
            (D::Uint64(list), 11) => field.varints(list, budget, "uint64", Some),
            (D::Raw(_), 9) => Err(field.error(Problem::Twice { field: "raw_data" })),
            (other, number) => {
                let (first, second) = (other.field(), data_field(number));
                Err(field.error(Problem::Both { first, second }))
            }
        }
    }

    fn value_info(
        &mut self,
        field: &Field<'_>,
        place: &str,
        into: &mut Vec<ValueInfoProto>,
    ) -> Result<()> {
        self.values.spend(1, field.offset)?;
        let index = Some(into.len());
        let value = within(field, place, index, |mut reader| {
            let (mut name, mut value_type) = (None, None);
            while let Some(field) = reader.next_field()? {
                match field.number {
                    1 => once(&mut name, &field, "name", text(&field)?)?,
                    2 => {
                        let value = within(&field, "type", None, |r| self.value_type(r))?;
                        once(&mut value_type, &field, "type", value)?;
                    }
                    _ => {}
                }
            }
            Ok(ValueInfoProto {
                name: name.unwrap_or_default(),
                value_type: value_type.unwrap_or_default(),
            })
        })?;
        into.push(value);
        Ok(())
    }

    fn value_type(&mut self, mut reader: Reader<'_>) -> Result<TypeProto> {
        if self.type_depth >= TYPE_DEPTH_MAX {
            let problem = Problem::TooDeep { limit: TYPE_DEPTH_MAX };
            return Err(WireError::new(reader.offset(), problem));
        }
        self.type_depth += 1;
        let mut found = None;
        while let Some(field) = reader.next_field()? {
            let value = match field.number {
                1 | 8 => {
                    let place =
                        if field.number == 1 { "tensor_type" } else { "sparse_tensor_type" };
                    let (elem_type, shape) = within(&field, place, None, |r| self.tensor_type(r))?;
                    match field.number {
                        1 => TypeProto::Tensor { elem_type, shape },
                        _ => TypeProto::SparseTensor { elem_type, shape },
                    }
                }
                4 => {
                    let (_, inner) =
                        within(&field, "sequence_type", None, |r| self.inner(r, 0, 1))?;
                    TypeProto::Sequence(Box::new(inner))
                }
                5 => {
                    let (key, inner) = within(&field, "map_type", None, |r| self.inner(r, 1, 2))?;
                    TypeProto::Map { key_type: key, value_type: Box::new(inner) }
                }
                9 => {
                    let (_, inner) =
                        within(&field, "optional_type", None, |r| self.inner(r, 0, 1))?;
                    TypeProto::Optional(Box::new(inner))
                }
                7 => TypeProto::Opaque,
                _ => continue,
            };
            once(&mut found, &field, "type", value)?;
        }
        self.type_depth -= 1;
        Ok(found.unwrap_or_default())
    }

    /// The key and element types of a container whose fields have the given numbers.
    fn inner(&mut self, mut reader: Reader<'_>, key: u32, elem: u32) -> Result<(i32, TypeProto)> {
        let (mut key_type, mut inner) = (None, None);
        while let Some(field) = reader.next_field()? {
            if field.number == key {
                once(&mut key_type, &field, "key_type", field.int32()?)?;
            } else if field.number == elem {
                let value = within(&field, "elem_type", None, |r| self.value_type(r))?;
                once(&mut inner, &field, "elem_type", value)?;
            }
        }
        Ok((key_type.unwrap_or_default(), inner.unwrap_or_default()))
    }

    fn tensor_type(&mut self, mut reader: Reader<'_>) -> Result<(i32, Option<Vec<Dimension>>)> {
        let (mut elem_type, mut shape) = (None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => once(&mut elem_type, &field, "elem_type", field.int32()?)?,
                2 => {
                    let value = within(&field, "shape", None, |r| self.shape(r))?;
                    once(&mut shape, &field, "shape", value)?;
                }
                _ => {}
            }
        }
        Ok((elem_type.unwrap_or_default(), shape))
    }

    fn shape(&mut self, mut reader: Reader<'_>) -> Result<Vec<Dimension>> {
        let mut shape = Vec::new();
        let mut rank = Budget::new("dimensions in one shape", RANK_MAX);
        while let Some(field) = reader.next_field()? {
            if field.number != 1 {
                continue;
            }
            rank.spend(1, field.offset)?;
            self.strings.spend(1, field.offset)?;
            let index = Some(shape.len());
            shape.push(within(&field, "dim", index, dimension)?);
        }
        Ok(shape)
    }

    fn opset(&mut self, field: &Field<'_>, into: &mut Vec<OperatorSetId>) -> Result<()> {
        self.values.spend(1, field.offset)?;
        let value = within(field, "opset_import", Some(into.len()), |mut reader| {
            let (mut domain, mut version) = (None, None);
            while let Some(field) = reader.next_field()? {
                match field.number {
                    1 => once(&mut domain, &field, "domain", text(&field)?)?,
                    2 => once(&mut version, &field, "version", field.int64()?)?,
                    _ => {}
                }
            }
            Ok(OperatorSetId {
                domain: domain.unwrap_or_default(),
                version: version.unwrap_or_default(),
            })
        })?;
        into.push(value);
        Ok(())
    }

    fn pair(
        &mut self,
        field: &Field<'_>,
        place: &str,
        into: &mut Vec<(String, String)>,
    ) -> Result<()> {
        self.values.spend(1, field.offset)?;
        let pair = within(field, place, Some(into.len()), |mut reader| {
            let (mut key, mut value) = (None, None);
            while let Some(field) = reader.next_field()? {
                match field.number {
                    1 => once(&mut key, &field, "key", text(&field)?)?,
                    2 => once(&mut value, &field, "value", text(&field)?)?,
                    _ => {}
                }
            }
            Ok((key.unwrap_or_default(), value.unwrap_or_default()))
        })?;
        into.push(pair);
        Ok(())
    }

    fn name(&mut self, field: &Field<'_>, into: &mut Vec<String>) -> Result<()> {
        self.strings.spend(1, field.offset)?;
        into.push(text(field)?);
        Ok(())
    }
}

impl AttributeValue<'_> {
    /// The value that a writer leaves out because it is the default of its type.
    fn of(code: i32) -> Self {
        match code {
            1 => Self::Float(0.0),
            2 => Self::Int(0),
            3 => Self::Bytes(Cow::Borrowed(&[])),
            6 => Self::Floats(Vec::new()),
            7 => Self::Ints(Vec::new()),
            8 => Self::Strings(Vec::new()),
            9 => Self::Tensors(Vec::new()),
            10 => Self::Graphs(Vec::new()),
            code => Self::Other { code },
        }
    }
}

fn empty_list(number: u32) -> Option<AttributeValue<'static>> {
    (7..=11).contains(&number).then(|| AttributeValue::of((number - 1).cast_signed()))
}

fn data_field(number: u32) -> &'static str {
    match number {
        4 => "float_data",
        5 => "int32_data",
        6 => "string_data",
        7 => "int64_data",
        9 => "raw_data",
        10 => "double_data",
        _ => "uint64_data",
    }
}

fn dimension(mut reader: Reader<'_>) -> Result<Dimension> {
    let mut found = None;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => once(&mut found, &field, "dim", Dimension::Value(field.int64()?))?,
            2 => once(&mut found, &field, "dim", Dimension::Param(text(&field)?))?,
            _ => {}
        }
    }
    Ok(found.unwrap_or_default())
}

fn text(field: &Field<'_>) -> Result<String> {
    Ok(field.text(TEXT_BYTES_MAX)?.to_owned())
}

fn once<T>(slot: &mut Option<T>, field: &Field<'_>, name: &'static str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(field.error(Problem::Twice { field: name })),
    }
}

fn single<'a>(
    slot: &mut Option<AttributeValue<'a>>,
    field: &Field<'a>,
    value: AttributeValue<'a>,
) -> Result<()> {
    let second = value.kind();
    match slot.replace(value) {
        None => Ok(()),
        Some(first) => Err(field.error(Problem::Both { first: first.kind(), second })),
    }
}

fn within<'a, T>(
    field: &Field<'a>,
    place: &str,
    index: Option<usize>,
    read: impl FnOnce(Reader<'a>) -> Result<T>,
) -> Result<T> {
    field.message().and_then(read).map_err(|error| error.within(place, index))
}
