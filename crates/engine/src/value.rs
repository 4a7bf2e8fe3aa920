//! Values that flow through a graph: dense row-major tensors and the maps of `ZipMap`.
//!
//! Owns shapes and element types. A [`Tensor`] always holds `shape.product()` elements.

use std::collections::BTreeMap;

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

/// Named inputs of a model.
pub type Inputs = BTreeMap<String, Value>;
