//! Types of inputs, outputs and values.
//!
//! Owns their nesting. Called by [`super::Decoder`] for graphs.

use super::{Decoder, RANK_MAX, Result, TYPE_DEPTH_MAX, once, text, within};
use crate::onnx::model::{Dimension, TypeProto, ValueInfoProto};
use crate::protobuf::{Budget, Field, Problem, Reader, WireError};

impl Decoder {
    pub(super) fn value_info(
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
