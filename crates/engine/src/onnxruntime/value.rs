//! Tensors to and from ONNX Runtime.
//!
//! Owns the mapping of element types. Inputs are lent, not copied (text excepted); results are
//! copied once, since the runtime owns their memory. Called by [`super`].

use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};

use crate::value::{Tensor, Value};

/// A value as the runtime reads it.
pub(super) fn give(value: &Value) -> Result<SessionInputValue<'_>, String> {
    match value {
        Value::F32(t) => lend(t),
        Value::F64(t) => lend(t),
        Value::I64(t) => lend(t),
        Value::I32(t) => lend(t),
        Value::U8(t) => lend(t),
        Value::I8(t) => lend(t),
        Value::Bool(t) => lend(t),
        Value::Str(t) => {
            let made = ort::value::Tensor::from_string_array((t.shape().to_vec(), t.data()));
            Ok(made.map_err(|e| e.to_string())?.into())
        }
        Value::Maps(_) => Err("a list of maps is no input".to_string()),
    }
}

/// A result of the runtime.
pub(super) fn take(value: &DynValue) -> Result<Value, String> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err("a result that is no tensor".to_string());
    };
    Ok(match ty {
        TensorElementType::Float32 => Value::F32(copy(value)?),
        TensorElementType::Float64 => Value::F64(copy(value)?),
        TensorElementType::Int64 => Value::I64(copy(value)?),
        TensorElementType::Int32 => Value::I32(copy(value)?),
        TensorElementType::Uint8 => Value::U8(copy(value)?),
        TensorElementType::Int8 => Value::I8(copy(value)?),
        TensorElementType::Bool => Value::Bool(copy(value)?),
        TensorElementType::String => {
            let (shape, data) = value.try_extract_strings().map_err(|e| e.to_string())?;
            Value::Str(tensor(shape, data)?)
        }
        other => return Err(format!("a result of type {other}, which is not supported")),
    })
}

fn lend<T>(tensor: &Tensor<T>) -> Result<SessionInputValue<'_>, String>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    let view = TensorRef::from_array_view((tensor.shape(), tensor.data()));
    Ok(view.map_err(|e| e.to_string())?.into())
}

fn copy<T: PrimitiveTensorElementType + Clone>(value: &DynValue) -> Result<Tensor<T>, String> {
    let (shape, data) = value.try_extract_tensor::<T>().map_err(|e| e.to_string())?;
    tensor(shape, data.to_vec())
}

fn tensor<T>(shape: &[i64], data: Vec<T>) -> Result<Tensor<T>, String> {
    let shape = shape.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>();
    let odd = || "a result whose elements do not fill its shape".to_string();
    shape.and_then(|shape| Tensor::new(shape, data)).ok_or_else(odd)
}
