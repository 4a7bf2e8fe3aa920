//! Values that flow through a graph: dense row-major tensors and the maps of `ZipMap`.
//!
//! Owns shapes and element types. A [`Tensor`] always holds `shape.product()` elements.

use std::collections::BTreeMap;
use std::fmt;

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T> Tensor<T> {
    /// A tensor of that shape, or `None` when the number of elements differs.
    pub fn new(shape: Vec<usize>, data: Vec<T>) -> Option<Self> {
        let n = shape.iter().try_fold(1usize, |a, &d| a.checked_mul(d))?;
        (n == data.len()).then_some(Self { shape, data })
    }
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Elements, row-major.
    pub fn data(&self) -> &[T] {
        &self.data
    }
    /// Elements, row-major, to write.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }
    /// A tensor without dimensions, of one element.
    pub fn scalar(value: T) -> Self {
        Self { shape: Vec::new(), data: vec![value] }
    }
    /// A tensor of one dimension.
    pub fn vector(data: Vec<T>) -> Self {
        Self { shape: vec![data.len()], data }
    }
    /// The same elements in another shape, or `None` when the number of elements differs.
    pub fn reshaped(self, shape: Vec<usize>) -> Option<Self> {
        Self::new(shape, self.data)
    }
    /// The same shape with every element mapped.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Tensor<U> {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(f).collect() }
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, Vec<T>) {
        (self.shape, self.data)
    }
}

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float
    F32,
    /// 64-bit float
    F64,
    /// 64-bit integer
    I64,
    /// 32-bit integer
    I32,
    /// 8-bit unsigned
    U8,
    /// 8-bit signed
    I8,
    /// boolean
    Bool,
    /// UTF-8 text
    Str,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    F32(Tensor<f32>),
    F64(Tensor<f64>),
    I64(Tensor<i64>),
    I32(Tensor<i32>),
    U8(Tensor<u8>),
    I8(Tensor<i8>),
    Bool(Tensor<bool>),
    Str(Tensor<String>),
    /// One map per row, as `ZipMap` writes it; keys are the class labels as text.
    Maps(Vec<BTreeMap<String, f32>>),
}

/// Evaluates `$body` with `$t` bound to the tensor inside, whatever its element type;
/// `$maps` where the value is a list of maps.
macro_rules! any_tensor {
    ($value:expr, $t:ident => $body:expr, $maps:pat => $other:expr) => {
        match $value {
            Value::F32($t) => $body,
            Value::F64($t) => $body,
            Value::I64($t) => $body,
            Value::I32($t) => $body,
            Value::U8($t) => $body,
            Value::I8($t) => $body,
            Value::Bool($t) => $body,
            Value::Str($t) => $body,
            Value::Maps($maps) => $other,
        }
    };
}

impl Value {
    /// Element type; `None` for maps.
    pub fn dtype(&self) -> Option<DType> {
        Some(match self {
            Value::F32(_) => DType::F32,
            Value::F64(_) => DType::F64,
            Value::I64(_) => DType::I64,
            Value::I32(_) => DType::I32,
            Value::U8(_) => DType::U8,
            Value::I8(_) => DType::I8,
            Value::Bool(_) => DType::Bool,
            Value::Str(_) => DType::Str,
            Value::Maps(_) => return None,
        })
    }
    /// Shape; one dimension, the number of rows, for maps.
    pub fn shape(&self) -> Vec<usize> {
        any_tensor!(self, t => t.shape().to_vec(), maps => vec![maps.len()])
    }
    /// Number of elements; of rows for maps.
    pub fn len(&self) -> usize {
        any_tensor!(self, t => t.len(), maps => maps.len())
    }
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The same elements in another shape; `None` when the number differs, or for maps.
    pub fn reshaped(self, shape: Vec<usize>) -> Option<Value> {
        Some(match self {
            Value::F32(t) => Value::F32(t.reshaped(shape)?),
            Value::F64(t) => Value::F64(t.reshaped(shape)?),
            Value::I64(t) => Value::I64(t.reshaped(shape)?),
            Value::I32(t) => Value::I32(t.reshaped(shape)?),
            Value::U8(t) => Value::U8(t.reshaped(shape)?),
            Value::I8(t) => Value::I8(t.reshaped(shape)?),
            Value::Bool(t) => Value::Bool(t.reshaped(shape)?),
            Value::Str(t) => Value::Str(t.reshaped(shape)?),
            Value::Maps(_) => return None,
        })
    }
    /// The elements of a numeric tensor as `f64`, row-major; booleans as 0 and 1; `None` for
    /// text and maps.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        Some(match self {
            Value::F32(t) => t.data().iter().map(|&v| f64::from(v)).collect(),
            Value::F64(t) => t.data().to_vec(),
            Value::I64(t) => t.data().iter().map(|&v| v as f64).collect(),
            Value::I32(t) => t.data().iter().map(|&v| f64::from(v)).collect(),
            Value::U8(t) => t.data().iter().map(|&v| f64::from(v)).collect(),
            Value::I8(t) => t.data().iter().map(|&v| f64::from(v)).collect(),
            Value::Bool(t) => t.data().iter().map(|&v| f64::from(u8::from(v))).collect(),
            Value::Str(_) | Value::Maps(_) => return None,
        })
    }
    /// The elements of an integer or boolean tensor as `i64`; `None` for other types.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        Some(match self {
            Value::I64(t) => t.data().to_vec(),
            Value::I32(t) => t.data().iter().map(|&v| i64::from(v)).collect(),
            Value::U8(t) => t.data().iter().map(|&v| i64::from(v)).collect(),
            Value::I8(t) => t.data().iter().map(|&v| i64::from(v)).collect(),
            Value::Bool(t) => t.data().iter().map(|&v| i64::from(v)).collect(),
            _ => return None,
        })
    }
    /// Elements of an `f32` tensor.
    pub fn as_f32(&self) -> Option<&Tensor<f32>> {
        match self {
            Value::F32(t) => Some(t),
            _ => None,
        }
    }
    /// `f32` tensors widened to `f64`; every other value as it is.
    pub fn widened(self) -> Value {
        match self {
            Value::F32(t) => Value::F64(t.map(|&v| f64::from(v))),
            other => other,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::Bool => "bool",
            DType::Str => "text",
        })
    }
}

/// Named inputs of a model.
pub type Inputs = BTreeMap<String, Value>;
