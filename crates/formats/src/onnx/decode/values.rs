//! Attributes and tensors.
//!
//! Owns which field carries which kind of value, and that only one does. Called by
//! [`super::Decoder`] for nodes, functions and graphs.

use std::borrow::Cow;

use super::{Decoder, RANK_MAX, Result, once, text, within};
use crate::onnx::model::{AttributeProto, AttributeValue, TensorData, TensorProto};
use crate::protobuf::{Budget, Field, Problem, Reader, WireError};

impl Decoder {
    pub(super) fn attribute<'a>(
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

    pub(super) fn tensor<'a>(
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
