//! What a kernel sees: its attributes when it is prepared, its inputs when it runs.
//!
//! Owns argument checking and its errors. Must never compute. Called by every kernel.

use thiserror::Error;

use super::Precision;
use super::float::Float;
use crate::graph::{Attribute, Node};
use crate::value::{DType, Tensor, Value};

/// The most elements a kernel may produce: 1 GiB of `f32`, so that a shape computed from
/// hostile data is an error and not an exhausted machine. The fuzzer keeps to less: it asks
/// whether limits hold, not how long a gigabyte takes.
pub const ELEMENTS_MAX: usize = if cfg!(fuzzing) { 1 << 16 } else { 1 << 28 };

/// What the values of a run may take together, in cells of four bytes (8 GiB): each may be within
/// its limit and all of them too much. The activations of large networks at a full batch stay far
/// below.
pub const LIVE_CELLS_MAX: usize = if cfg!(fuzzing) { 1 << 22 } else { 1 << 31 };

/// What is wrong with a node or with what reached it.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OpError {
    /// A required input was omitted.
    #[error("input {0} is missing")]
    Missing(usize),
    /// An input of an element type the operator does not take.
    #[error("input {index} has element type {given}, expected {expected}")]
    Type {
        /// Input, from 0.
        index: usize,
        /// Given.
        given: String,
        /// Expected.
        expected: &'static str,
    },
    /// Shapes that do not fit.
    #[error("{0}")]
    Shape(String),
    /// A value out of range.
    #[error("{0}")]
    Value(String),
    /// A missing or malformed attribute.
    #[error("attribute `{name}` {problem}")]
    Attribute {
        /// Name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A form of the operator that is not computed.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// More than [`ELEMENTS_MAX`] elements.
    #[error("a result of shape {0:?} exceeds the limit of {ELEMENTS_MAX} elements")]
    TooLarge(Vec<usize>),
    /// More than [`LIVE_CELLS_MAX`] cells at once.
    #[error("the values that are held together with its result exceed the limit of {} GiB",
        LIVE_CELLS_MAX >> 28)]
    TooMany,
}

/// A prepared kernel.
pub type Kernel = Box<dyn Fn(&Args) -> Result<Vec<Value>, OpError> + Send + Sync>;
/// Makes a kernel from a node, once per program.
pub type Build = fn(&Spec) -> Result<Kernel, OpError>;

/// A node being prepared.
pub struct Spec<'a> {
    /// The node.
    pub node: &'a Node,
    /// Opset of its domain.
    pub opset: i64,
    /// Precision of the program.
    pub precision: Precision,
}

impl Spec<'_> {
    /// The attribute, if set.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attributes.get(name)
    }
    /// Integer attribute.
    pub fn int(&self, name: &str) -> Result<Option<i64>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Int(v)) => Ok(Some(*v)),
            Some(_) => Err(wrong(name, "is not an integer")),
        }
    }
    /// Integer attribute or its default.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.int(name)?.unwrap_or(default))
    }
    /// Integer attribute as a flag.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, OpError> {
        Ok(self.int(name)?.map_or(default, |v| v != 0))
    }
    /// Float attribute.
    pub fn float(&self, name: &str) -> Result<Option<f32>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(v)) => Ok(Some(*v)),
            Some(_) => Err(wrong(name, "is not a float")),
        }
    }
    /// Float attribute or its default.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, OpError> {
        Ok(self.float(name)?.unwrap_or(default))
    }
    /// Text attribute.
    pub fn text(&self, name: &str) -> Result<Option<&str>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Text(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "is not text")),
        }
    }
    /// Text attribute or its default.
    pub fn text_or<'b>(&'b self, name: &str, default: &'b str) -> Result<&'b str, OpError> {
        Ok(self.text(name)?.unwrap_or(default))
    }
    /// List of integers.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "is not a list of integers")),
        }
    }
    /// List of floats.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(v)) => Ok(Some(v)),
            // An empty list carries no type in some writers.
            Some(Attribute::Ints(v)) if v.is_empty() => Ok(Some(&[])),
            Some(_) => Err(wrong(name, "is not a list of floats")),
        }
    }
    /// List of texts.
    pub fn texts(&self, name: &str) -> Result<Option<&[String]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Texts(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "is not a list of texts")),
        }
    }
    /// Tensor attribute.
    pub fn tensor(&self, name: &str) -> Result<Option<&Value>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "is not a tensor")),
        }
    }
    /// Sizes: non-negative integers.
    pub fn sizes(&self, name: &str) -> Result<Option<Vec<usize>>, OpError> {
        let Some(v) = self.ints(name)? else { return Ok(None) };
        v.iter()
            .map(|&d| usize::try_from(d).map_err(|_| wrong(name, "holds a negative size")))
            .collect::<Result<_, _>>()
            .map(Some)
    }
    /// Whether output `i` is wanted.
    pub fn wants(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(|o| !o.is_empty())
    }
}

/// The inputs of one evaluation.
pub struct Args<'a> {
    values: &'a [Option<&'a Value>],
}

impl<'a> Args<'a> {
    /// Inputs in order, `None` where omitted.
    pub fn new(values: &'a [Option<&'a Value>]) -> Self {
        Self { values }
    }
    /// Number of inputs.
    pub fn count(&self) -> usize {
        self.values.len()
    }
    /// Optional input.
    pub fn optional(&self, i: usize) -> Option<&'a Value> {
        self.values.get(i).copied().flatten()
    }
    /// Required input.
    pub fn required(&self, i: usize) -> Result<&'a Value, OpError> {
        self.optional(i).ok_or(OpError::Missing(i))
    }
    /// Required float input of the given element type.
    pub fn float<T: Float>(&self, i: usize) -> Result<&'a Tensor<T>, OpError> {
        let v = self.required(i)?;
        T::unwrap_ref(v).ok_or_else(|| mistyped(i, v, "a float like input 0"))
    }
    /// Optional float input.
    pub fn float_optional<T: Float>(&self, i: usize) -> Result<Option<&'a Tensor<T>>, OpError> {
        self.optional(i).map(|_| self.float(i)).transpose()
    }
    /// Integers of an input such as axes or a shape.
    pub fn ints(&self, i: usize) -> Result<Vec<i64>, OpError> {
        let v = self.required(i)?;
        match v.dtype() {
            Some(DType::I64 | DType::I32) => {
                v.to_i64s().ok_or_else(|| mistyped(i, v, "an integer type"))
            }
            _ => Err(mistyped(i, v, "an integer type")),
        }
    }
    /// Integers of an optional input.
    pub fn ints_optional(&self, i: usize) -> Result<Option<Vec<i64>>, OpError> {
        self.optional(i).map(|_| self.ints(i)).transpose()
    }
}

/// A malformed attribute.
pub fn wrong(name: &str, problem: impl Into<String>) -> OpError {
    OpError::Attribute { name: name.to_string(), problem: problem.into() }
}

/// An input of the wrong element type.
pub fn mistyped(index: usize, given: &Value, expected: &'static str) -> OpError {
    let given = given.dtype().map_or_else(|| "maps".to_string(), |d| d.to_string());
    OpError::Type { index, given, expected }
}

/// Shapes that do not fit.
pub fn misshapen(text: impl Into<String>) -> OpError {
    OpError::Shape(text.into())
}

/// Number of elements of a shape within the limit. A dimension of none counts as one, so that no
/// part of a shape is beyond the limit either.
pub fn volume(shape: &[usize]) -> Result<usize, OpError> {
    crate::extent::volume(shape).ok_or_else(|| OpError::TooLarge(shape.to_vec()))
}

/// As [`volume`], for elements of that type: texts take many times a number, so that fewer of
/// them are within what the limit stands for.
pub fn volume_of<T>(shape: &[usize]) -> Result<usize, OpError> {
    let n = volume(shape)?;
    let most = ELEMENTS_MAX / (size_of::<T>() / 8).max(1);
    if n <= most { Ok(n) } else { Err(OpError::TooLarge(shape.to_vec())) }
}

/// A tensor whose shape is known to fit its data.
pub fn tensor<T>(shape: Vec<usize>, data: Vec<T>) -> Result<Tensor<T>, OpError> {
    volume(&shape)?;
    let (have, of) = (data.len(), shape.clone());
    Tensor::new(shape, data)
        .ok_or_else(|| misshapen(format!("{have} elements do not fill a tensor of shape {of:?}")))
}

/// An axis in `-rank..rank` as an index.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize, OpError> {
    let r = rank as i64;
    let a = if axis < 0 { axis + r } else { axis };
    if (0..r).contains(&a) {
        Ok(a as usize)
    } else {
        Err(misshapen(format!("axis {axis} is outside a tensor of rank {rank}")))
    }
}

/// Distinct axes as a mask over the dimensions.
pub fn axes_mask(axes: &[i64], rank: usize) -> Result<Vec<bool>, OpError> {
    let mut mask = vec![false; rank];
    for &a in axes {
        let i = axis_of(a, rank)?;
        if std::mem::replace(&mut mask[i], true) {
            return Err(misshapen(format!("axis {a} is given twice")));
        }
    }
    Ok(mask)
}

/// Row-major strides.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        out[i] = out[i + 1] * shape[i + 1].max(1);
    }
    out
}

/// Elements before, along and after an axis.
pub fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let before = shape[..axis].iter().product();
    let after = shape[axis + 1..].iter().product();
    (before, shape[axis], after)
}

/// Evaluates `$body` with `$t` bound to the float tensor and `$F` its element type.
macro_rules! float_dispatch {
    ($index:expr, $value:expr, $t:ident => $body:expr) => {
        match $value {
            $crate::value::Value::F32($t) => $body,
            $crate::value::Value::F64($t) => $body,
            other => Err($crate::reference::op::mistyped($index, other, "a float type")),
        }
    };
}
pub(crate) use float_dispatch;
