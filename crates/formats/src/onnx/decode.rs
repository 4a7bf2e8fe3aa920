//! Bytes to ONNX messages.
//!
//! Owns the limits. Unknown fields are skipped, as the format demands; known fields of the wrong
//! wire type and singular fields written twice are refused, since readers differ on them.
//! Called by `super::decode`'s callers only.

mod types;
mod values;

use super::model::{FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetId};
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

fn text(field: &Field<'_>) -> Result<String> {
    Ok(field.text(TEXT_BYTES_MAX)?.to_owned())
}

fn once<T>(slot: &mut Option<T>, field: &Field<'_>, name: &'static str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(field.error(Problem::Twice { field: name })),
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
