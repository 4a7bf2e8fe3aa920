//! Numeric preparation: `Scaler`, `Imputer`, `Normalizer`, `Binarizer`, `FeatureVectorizer`,
//! `ArrayFeatureExtractor`.
//!
//! Owns the column-wise walks. Called by the registry.

use super::{Floats, floats, given, rows};
use crate::reference::float::Float;
use crate::reference::index::picked;
use crate::reference::op::{
    Kernel, OpError, Spec, float_dispatch, misshapen, mistyped, tensor, volume, wrong,
};
use crate::reference::reduce::blocked;
use crate::reference::shape::same_type;
use crate::value::{DType, Tensor, Value};

/// The parameter of a column: one for all, or one each.
fn column<T: Copy>(v: &[T], c: usize) -> T {
    if v.len() == 1 { v[0] } else { v[c] }
}

/// `Scaler`: (x - offset) · scale, per column.
pub fn scaler(spec: &Spec) -> Result<Kernel, OpError> {
    let read = |name: &str| {
        let v = spec.floats(name)?.unwrap_or(&[]).to_vec();
        if v.is_empty() { Err(wrong(name, "is missing or empty")) } else { Ok(v) }
    };
    let (offset, scale) = (read("offset")?, read("scale")?);
    let precision = spec.precision;
    fn of<T: Float>(x: Tensor<T>, offset: &[f32], scale: &[f32]) -> Result<Tensor<T>, OpError> {
        let columns = x.shape().last().copied().unwrap_or(1);
        if [offset, scale].iter().any(|v| v.len() != 1 && v.len() != columns) {
            let (a, b) = (offset.len(), scale.len());
            return Err(misshapen(format!("{a} offsets and {b} scales for {columns} columns")));
        }
        let (shape, mut data) = x.into_parts();
        for (i, v) in data.iter_mut().enumerate() {
            let c = i % columns;
            *v = (*v - T::from_f32(column(offset, c))) * T::from_f32(column(scale, c));
        }
        tensor(shape, data)
    }
    Ok(Box::new(move |args| {
        Ok(vec![match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => given(of(x, &offset, &scale)?, precision),
            Floats::F64(x) => given(of(x, &offset, &scale)?, precision),
        }])
    }))
}

/// `Imputer`: replaces the sentinel (often not a number) by the column's value.
pub fn imputer(spec: &Spec) -> Result<Kernel, OpError> {
    let values = spec.floats("imputed_value_floats")?.unwrap_or(&[]).to_vec();
    let whole = spec.ints("imputed_value_int64s")?.unwrap_or(&[]).to_vec();
    let sentinel = spec.float_or("replaced_value_float", 0.0)?;
    let whole_sentinel = spec.int_or("replaced_value_int64", 0)?;
    fn of<T: Copy, V: Copy>(
        x: &Tensor<T>,
        values: &[V],
        hit: impl Fn(T) -> bool,
        make: impl Fn(V) -> T,
    ) -> Result<Tensor<T>, OpError> {
        let columns = x.shape().last().copied().unwrap_or(1);
        if values.len() != 1 && values.len() != columns {
            let n = values.len();
            return Err(misshapen(format!("{n} imputed values for {columns} columns")));
        }
        let put = |(i, &v)| if hit(v) { make(column(values, i % columns)) } else { v };
        tensor(x.shape().to_vec(), x.data().iter().enumerate().map(put).collect())
    }
    fn float<T: Float>(
        x: &Tensor<T>,
        values: &[f32],
        sentinel: f32,
    ) -> Result<Vec<Value>, OpError> {
        let missing = T::from_f32(sentinel);
        let hit = |v: T| if sentinel.is_nan() { v.is_nan() } else { v == missing };
        Ok(vec![T::wrap(of(x, values, hit, T::from_f32)?)])
    }
    Ok(Box::new(move |args| match args.required(0)? {
        Value::I64(x) => Ok(vec![Value::I64(of(x, &whole, |v| v == whole_sentinel, |v| v)?)]),
        other => float_dispatch!(0, other, x => float(x, &values, sentinel)),
    }))
}

/// `Normalizer`: each row divided by its maximum, L1 or L2 norm; rows of norm 0 stay.
pub fn normalizer(spec: &Spec) -> Result<Kernel, OpError> {
    let norm = spec.text_or("norm", "MAX")?.to_string();
    if !["MAX", "L1", "L2"].contains(&norm.as_str()) {
        return Err(wrong("norm", format!("has the unknown value `{norm}`")));
    }
    let precision = spec.precision;
    fn of<T: Float>(x: Tensor<T>, norm: &str) -> Result<Tensor<T>, OpError> {
        let (_, columns) = rows(x.shape())?;
        let (shape, mut data) = x.into_parts();
        for row in data.chunks_mut(columns.max(1)) {
            let values = row.iter().copied();
            let size = match norm {
                "L1" => blocked(values.map(T::abs)),
                "L2" => blocked(values.map(|v| v * v)).sqrt(),
                _ => values.fold(T::LOWEST, |a, b| if b > a { b } else { a }),
            };
            if size != T::ZERO {
                row.iter_mut().for_each(|v| *v = *v / size);
            }
        }
        tensor(shape, data)
    }
    Ok(Box::new(move |args| {
        Ok(vec![match floats(args.required(0)?, 0, precision)? {
            Floats::F32(x) => given(of(x, &norm)?, precision),
            Floats::F64(x) => given(of(x, &norm)?, precision),
        }])
    }))
}

/// `Binarizer`: 1 above the threshold, else 0.
pub fn binarizer(spec: &Spec) -> Result<Kernel, OpError> {
    let threshold = spec.float_or("threshold", 0.0)?;
    Ok(Box::new(move |args| {
        Ok(vec![match args.required(0)? {
            Value::F32(x) => Value::F32(x.map(|&v| f32::from(u8::from(v > threshold)))),
            Value::F64(x) => Value::F64(x.map(|&v| f64::from(u8::from(v > f64::from(threshold))))),
            Value::I64(x) => Value::I64(x.map(|&v| i64::from(v as f32 > threshold))),
            Value::I32(x) => Value::I32(x.map(|&v| i32::from(v as f32 > threshold))),
            other => return Err(mistyped(0, other, "a number")),
        }])
    }))
}

/// `FeatureVectorizer`: columns of all inputs side by side, cut or filled with 0 to the
/// declared widths.
pub fn feature_vectorizer(spec: &Spec) -> Result<Kernel, OpError> {
    let widths = spec.sizes("inputdimensions")?;
    let widths = widths.ok_or_else(|| wrong("inputdimensions", "is missing"))?;
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        if args.count() != widths.len() {
            let n = args.count();
            return Err(wrong("inputdimensions", format!("does not have {n} entries")));
        }
        let (n, _) = rows(&args.required(0)?.shape())?;
        let total = widths.iter().sum::<usize>();
        let mut out = vec![0.0; volume(&[n, total])?];
        let mut left = 0;
        for (i, &width) in widths.iter().enumerate() {
            let v = args.required(i)?;
            let (m, columns) = rows(&v.shape())?;
            if m != n {
                return Err(misshapen(format!("inputs of {n} and {m} rows")));
            }
            let data = v.to_f64s().ok_or_else(|| mistyped(i, v, "a number"))?;
            for (r, row) in data.chunks(columns.max(1)).enumerate() {
                let to = &mut out[r * total + left..][..width];
                to.iter_mut().zip(row).for_each(|(o, &v)| *o = v);
            }
            left += width;
        }
        Ok(vec![given(tensor(vec![n, total], out)?, precision)])
    }))
}

/// `ArrayFeatureExtractor`: the chosen places of the last dimension.
pub fn array_feature_extractor(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let (x, at) = (args.required(0)?, args.required(1)?);
        let list = match at.dtype() {
            Some(DType::I64 | DType::I32) => at.to_i64s().unwrap_or_default(),
            _ => return Err(mistyped(1, at, "an integer type")),
        };
        let shape = x.shape();
        let Some(&columns) = shape.last() else {
            return Err(misshapen("expected at least one dimension"));
        };
        let places = list
            .iter()
            .map(|&i| usize::try_from(i).ok().filter(|&i| i < columns))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| OpError::Value(format!("{list:?} leave {columns} columns")))?;
        let mut picks: Vec<Vec<usize>> = shape.iter().map(|&d| (0..d).collect()).collect();
        picks[shape.len() - 1] = places;
        if picks.len() == 1 {
            picks.insert(0, vec![0]);
            let row = x.clone().reshaped(vec![1, columns]).unwrap_or_else(|| x.clone());
            return Ok(vec![same_type!(&row, t => picked(t, &picks))?]);
        }
        Ok(vec![same_type!(x, t => picked(t, &picks))?])
    }))
}
