//! Arrays in memory: row-major elements of one type, and their conversions.
//!
//! Owns the rule that elements fill the shape. Called by [`crate::npy`], [`crate::npz`] and
//! [`crate::idx`], whose arrays are of the same kind.

use super::{NpyError, RANK_MAX};

/// An array in C order; its elements always fill its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyArray {
    shape: Vec<usize>,
    data: NpyData,
}

/// Elements in C order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum NpyData {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    /// Also of 2-byte floats, which widen exactly.
    F32(Vec<f32>),
    F64(Vec<f64>),
    Str(Vec<String>),
}

impl NpyArray {
    /// An array of that shape.
    ///
    /// # Errors
    /// [`NpyError::Count`]: the elements do not fill the shape, or it has over [`RANK_MAX`]
    /// dimensions.
    pub fn new(shape: Vec<usize>, data: NpyData) -> Result<Self, NpyError> {
        let count = data.len();
        if shape.len() > RANK_MAX || count_of(&shape) != Some(count) {
            return Err(NpyError::Count { shape, count });
        }
        Ok(Self { shape, data })
    }

    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements.
    pub fn data(&self) -> &NpyData {
        &self.data
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, NpyData) {
        (self.shape, self.data)
    }
}

/// Applies a body to the elements of any numeric variant.
macro_rules! each_number {
    ($data:expr, $list:ident => $body:expr, $text:pat => $else:expr) => {
        match $data {
            NpyData::Bool(list) => {
                let $list = list.iter().map(|&b| u8::from(b)).collect::<Vec<_>>();
                $body
            }
            NpyData::I8($list) => $body,
            NpyData::I16($list) => $body,
            NpyData::I32($list) => $body,
            NpyData::I64($list) => $body,
            NpyData::U8($list) => $body,
            NpyData::U16($list) => $body,
            NpyData::U32($list) => $body,
            NpyData::U64($list) => $body,
            NpyData::F32($list) => $body,
            NpyData::F64($list) => $body,
            $text => $else,
        }
    };
}

impl NpyData {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::Str(v) => v.len(),
            other => each_number!(other, v => v.len(), Self::Str(_) => 0),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the elements are, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "booleans",
            Self::F32(_) | Self::F64(_) => "floats",
            Self::Str(_) => "text",
            _ => "integers",
        }
    }

    /// All numbers as `f32`, rounded to nearest; booleans as 0 and 1.
    ///
    /// # Errors
    /// [`NpyError::Kind`] for text.
    #[allow(clippy::unnecessary_cast)] // one body for all types
    pub fn to_f32(&self) -> Result<Vec<f32>, NpyError> {
        let refuse = || NpyError::Kind { found: self.kind(), wanted: "numbers" };
        each_number!(self, v => Ok(v.iter().map(|&x| x as f32).collect()),
            Self::Str(_) => Err(refuse()))
    }

    /// All numbers as `f64`, rounded to nearest (only integers past 2^53 are); booleans as 0 and 1.
    ///
    /// # Errors
    /// [`NpyError::Kind`] for text.
    #[allow(clippy::unnecessary_cast)] // one body for all types
    pub fn to_f64(&self) -> Result<Vec<f64>, NpyError> {
        let refuse = || NpyError::Kind { found: self.kind(), wanted: "numbers" };
        each_number!(self, v => Ok(v.iter().map(|&x| x as f64).collect()),
            Self::Str(_) => Err(refuse()))
    }

    /// All numbers as `i64`, exactly; booleans as 0 and 1.
    ///
    /// # Errors
    /// [`NpyError::Kind`] for text; [`NpyError::NotWhole`] for fractions, NaN, infinities and
    /// numbers past 64 bits.
    pub fn to_i64(&self) -> Result<Vec<i64>, NpyError> {
        match self {
            Self::Str(_) => Err(NpyError::Kind { found: self.kind(), wanted: "whole numbers" }),
            Self::I64(v) => Ok(v.clone()),
            Self::Bool(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::I8(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::I16(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::I32(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::U8(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::U16(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::U32(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            Self::U64(v) => whole(v, |&x| i64::try_from(x).ok()),
            Self::F32(v) => whole(v, |&x| whole_float(f64::from(x))),
            Self::F64(v) => whole(v, |&x| whole_float(x)),
        }
    }

    /// All elements as text: integers in decimal, booleans as `true` and `false`, floats in the
    /// fewest digits that read back (so `1.0` is `1`).
    pub fn to_strings(&self) -> Vec<String> {
        match self {
            Self::Bool(v) => v.iter().map(bool::to_string).collect(),
            Self::Str(v) => v.clone(),
            other => each_number!(other, v => v.iter().map(|x| x.to_string()).collect(),
                Self::Str(_) => Vec::new()),
        }
    }

    /// Element type and little-endian bytes.
    pub(super) fn encode(&self) -> (String, Vec<u8>) {
        let descr = match self {
            Self::Bool(_) => "|b1",
            Self::I8(_) => "|i1",
            Self::I16(_) => "<i2",
            Self::I32(_) => "<i4",
            Self::I64(_) => "<i8",
            Self::U8(_) => "|u1",
            Self::U16(_) => "<u2",
            Self::U32(_) => "<u4",
            Self::U64(_) => "<u8",
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
            Self::Str(list) => return encode_text(list),
        };
        let body = each_number!(self, v => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Str(_) => Vec::new());
        (descr.to_owned(), body)
    }
}

fn encode_text(list: &[String]) -> (String, Vec<u8>) {
    // NumPy has no text of width zero
    let width = list.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(1);
    let padded = |s: &String| {
        let points = s.chars().map(u32::from).collect::<Vec<_>>();
        points.into_iter().chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>()
    };
    let body = list.iter().flat_map(padded).flat_map(u32::to_le_bytes).collect();
    (format!("<U{width}"), body)
}

/// Number of elements of a shape; `None` when the product of its dimensions does not fit, zeros
/// left out, so that callers may multiply them in any order.
pub(crate) fn count_of(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |count, &d| count.checked_mul(d.max(1)))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// Elements in which the first index varies fastest, rearranged so that the last one does.
pub(super) fn to_c_order(shape: &[usize], data: NpyData) -> NpyData {
    macro_rules! each {
        ($($variant:ident),*) => {
            match data {
                $(NpyData::$variant(v) => NpyData::$variant(reorder(shape, &v)),)*
            }
        };
    }
    each!(Bool, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, Str)
}

fn reorder<T: Clone>(shape: &[usize], source: &[T]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1usize;
    for &dim in shape {
        strides.push(stride);
        stride = stride.saturating_mul(dim);
    }
    let mut index = vec![0usize; shape.len()];
    let mut from = 0usize;
    let mut out = Vec::with_capacity(source.len());
    for _ in 0..source.len() {
        out.extend(source.get(from).cloned());
        // count up like an odometer, last index first
        for ((i, &dim), &stride) in index.iter_mut().zip(shape).zip(&strides).rev() {
            *i += 1;
            from += stride;
            if *i < dim {
                break;
            }
            from -= stride * dim;
            *i = 0;
        }
    }
    out
}

fn whole<T: ToString>(
    list: &[T],
    convert: impl Fn(&T) -> Option<i64>,
) -> Result<Vec<i64>, NpyError> {
    let refuse = |index, value: &T| NpyError::NotWhole { index, value: value.to_string() };
    list.iter().enumerate().map(|(i, x)| convert(x).ok_or_else(|| refuse(i, x))).collect()
}

fn whole_float(value: f64) -> Option<i64> {
    // 2^63 itself is out; both bounds are exact as f64
    let inside = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    (inside && value.fract() == 0.0).then_some(value as i64)
}
