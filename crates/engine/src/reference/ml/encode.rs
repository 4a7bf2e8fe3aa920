//! Categories: `OneHotEncoder`, `LabelEncoder`, `CategoryMapper`, `DictVectorizer`, `ZipMap`.
//!
//! Owns the dictionaries, built once. Called by the registry.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::scores::Labels;
use super::{Floats, floats, given, rows};
use crate::reference::Precision;
use crate::reference::op::{Kernel, OpError, Spec, misshapen, mistyped, tensor, volume, wrong};
use crate::value::{Tensor, Value};

/// `OneHotEncoder`: shape `(…)` becomes `(…, categories)`.
pub fn one_hot(spec: &Spec) -> Result<Kernel, OpError> {
    let zeros = spec.flag("zeros", true)?;
    let precision = spec.precision;
    let texts = spec.texts("cats_strings")?.unwrap_or(&[]);
    let ints = spec.ints("cats_int64s")?.unwrap_or(&[]);
    // A category that is listed twice keeps its last place, and both columns stay.
    let count = texts.len().max(ints.len());
    let texts: HashMap<String, usize> = texts.iter().cloned().zip(0..).collect();
    let ints: HashMap<i64, usize> = ints.iter().copied().zip(0..).collect();
    if count == 0 {
        return Err(wrong("cats_int64s", "and `cats_strings` are both missing"));
    }
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let at: Vec<Option<usize>> = match x {
            Value::Str(t) => t.data().iter().map(|v| texts.get(v).copied()).collect(),
            other => {
                let data = other.to_f64s().ok_or_else(|| mistyped(0, other, "a number or text"))?;
                data.iter().map(|&v| ints.get(&(v as i64)).copied()).collect()
            }
        };
        if !zeros && at.contains(&None) {
            return Err(OpError::Value("an unknown category, and `zeros` is 0".to_string()));
        }
        let mut shape = x.shape();
        shape.push(count);
        let mut out = vec![0.0f32; volume(&shape)?];
        for (row, i) in out.chunks_mut(count).zip(at) {
            if let Some(i) = i {
                row[i] = 1.0;
            }
        }
        Ok(vec![given(tensor(shape, out)?, precision)])
    }))
}

/// A float as a key: zeros are one, and so are all that are not a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FloatKey(u64);

impl FloatKey {
    fn new(v: f64) -> Self {
        Self(if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() })
    }
}

/// Keys of a `LabelEncoder`, to their place.
enum Keys {
    Ints(HashMap<i64, usize>),
    Floats(HashMap<FloatKey, usize>),
    Texts(HashMap<String, usize>),
}

/// Values of a `LabelEncoder` with the default behind them.
enum Values {
    Ints(Vec<i64>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Texts(Vec<String>),
}

/// The first of equal keys wins.
fn places<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut map = HashMap::new();
    for (i, k) in keys.enumerate() {
        map.entry(k).or_insert(i);
    }
    map
}

/// `LabelEncoder`: a dictionary; unknown keys give the default.
pub fn label_encoder(spec: &Spec) -> Result<Kernel, OpError> {
    if spec.opset < 2 {
        return first_label_encoder(spec);
    }
    let (keys, n) = keys(spec)?;
    let values = values(spec, n)?;
    let precision = spec.precision;
    // Before opset 4 what is not a number is no key, as ONNX Runtime has it.
    let nan_found = spec.opset >= 4;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let unknown = n;
        let at: Vec<usize> = match (x, &keys) {
            (Value::Str(t), Keys::Texts(map)) => {
                t.data().iter().map(|v| map.get(v).copied().unwrap_or(unknown)).collect()
            }
            (Value::I64(_) | Value::I32(_), Keys::Ints(map)) => {
                let data = x.to_i64s().unwrap_or_default();
                data.iter().map(|v| map.get(v).copied().unwrap_or(unknown)).collect()
            }
            (Value::F32(_) | Value::F64(_), Keys::Floats(map)) => {
                let data = x.to_f64s().unwrap_or_default();
                let place = |&v: &f64| match map.get(&FloatKey::new(v)) {
                    Some(&i) if nan_found || !v.is_nan() => i,
                    _ => unknown,
                };
                data.iter().map(place).collect()
            }
            (x, _) => return Err(mistyped(0, x, "the type of the keys")),
        };
        Ok(vec![looked_up(&values, &at, x.shape(), precision)?])
    }))
}

fn looked_up(
    values: &Values,
    at: &[usize],
    shape: Vec<usize>,
    precision: Precision,
) -> Result<Value, OpError> {
    fn pick<T: Clone>(v: &[T], at: &[usize], shape: Vec<usize>) -> Result<Tensor<T>, OpError> {
        tensor(shape, at.iter().map(|&i| v[i].clone()).collect())
    }
    Ok(match values {
        Values::Ints(v) => Value::I64(pick(v, at, shape)?),
        Values::I32(v) => Value::I32(pick(v, at, shape)?),
        Values::F32(v) => given(pick(v, at, shape)?, precision),
        Values::F64(v) => Value::F64(pick(v, at, shape)?),
        Values::Texts(v) => Value::Str(pick(v, at, shape)?),
    })
}

fn keys(spec: &Spec) -> Result<(Keys, usize), OpError> {
    let floats = |v: Vec<f64>| {
        let n = v.len();
        (Keys::Floats(places(v.into_iter().map(FloatKey::new))), n)
    };
    if let Some(v) = spec.texts("keys_strings")? {
        return Ok((Keys::Texts(places(v.iter().cloned())), v.len()));
    }
    if let Some(v) = spec.ints("keys_int64s")? {
        return Ok((Keys::Ints(places(v.iter().copied())), v.len()));
    }
    if let Some(v) = spec.floats("keys_floats")? {
        return Ok(floats(v.iter().map(|&x| f64::from(x)).collect()));
    }
    match spec.tensor("keys_tensor")? {
        None => Err(wrong("keys_tensor", "and all other keys are missing")),
        Some(Value::Str(t)) => Ok((Keys::Texts(places(t.data().iter().cloned())), t.len())),
        Some(v @ (Value::I64(_) | Value::I32(_))) => {
            let data = v.to_i64s().unwrap_or_default();
            let n = data.len();
            Ok((Keys::Ints(places(data.into_iter())), n))
        }
        Some(v) => {
            let data = v.to_f64s().ok_or_else(|| wrong("keys_tensor", "is not readable"))?;
            Ok(floats(data))
        }
    }
}

fn values(spec: &Spec, n: usize) -> Result<Values, OpError> {
    fn with<T: Clone>(v: &[T], default: T, n: usize) -> Result<Vec<T>, OpError> {
        if v.len() != n {
            return Err(wrong("values", format!("has {} entries for {n} keys", v.len())));
        }
        let mut all = v.to_vec();
        all.push(default);
        Ok(all)
    }
    let text = || spec.text_or("default_string", "_Unused").map(str::to_string);
    if let Some(v) = spec.texts("values_strings")? {
        return Ok(Values::Texts(with(v, text()?, n)?));
    }
    if let Some(v) = spec.ints("values_int64s")? {
        return Ok(Values::Ints(with(v, spec.int_or("default_int64", -1)?, n)?));
    }
    if let Some(v) = spec.floats("values_floats")? {
        return Ok(Values::F32(with(v, spec.float_or("default_float", -0.0)?, n)?));
    }
    let default = spec.tensor("default_tensor")?;
    macro_rules! first {
        ($variant:ident, $otherwise:expr) => {
            match default {
                Some(Value::$variant(t)) => {
                    t.data().first().cloned().ok_or_else(|| wrong("default_tensor", "is empty"))?
                }
                Some(_) => return Err(wrong("default_tensor", "has another type than the values")),
                None => $otherwise,
            }
        };
    }
    Ok(match spec.tensor("values_tensor")? {
        Some(Value::Str(t)) => Values::Texts(with(t.data(), first!(Str, text()?), n)?),
        Some(Value::I64(t)) => Values::Ints(with(t.data(), first!(I64, -1), n)?),
        Some(Value::I32(t)) => Values::I32(with(t.data(), first!(I32, -1), n)?),
        Some(Value::F32(t)) => Values::F32(with(t.data(), first!(F32, -0.0), n)?),
        Some(Value::F64(t)) => Values::F64(with(t.data(), first!(F64, -0.0), n)?),
        _ => return Err(wrong("values_tensor", "and all other values are missing")),
    })
}

/// The first edition: a list of texts, mapped to and from their places.
fn first_label_encoder(spec: &Spec) -> Result<Kernel, OpError> {
    let classes = spec.texts("classes_strings")?.unwrap_or(&[]).to_vec();
    let number = spec.int_or("default_int64", -1)?;
    let text = spec.text_or("default_string", "_Unused")?.to_string();
    let map = places(classes.iter().cloned());
    Ok(Box::new(move |args| {
        Ok(vec![match args.required(0)? {
            Value::Str(t) => Value::I64(t.map(|v| map.get(v).map_or(number, |&i| i as i64))),
            Value::I64(t) => Value::Str(t.map(|&i| {
                let class = usize::try_from(i).ok().and_then(|i| classes.get(i));
                class.unwrap_or(&text).clone()
            })),
            other => return Err(mistyped(0, other, "text or i64")),
        }])
    }))
}

/// `CategoryMapper`
pub fn category_mapper(spec: &Spec) -> Result<Kernel, OpError> {
    let ints = spec.ints("cats_int64s")?.unwrap_or(&[]).to_vec();
    let texts = spec.texts("cats_strings")?.unwrap_or(&[]).to_vec();
    if ints.len() != texts.len() {
        return Err(wrong("cats_strings", "and `cats_int64s` differ in length"));
    }
    let number = spec.int_or("default_int64", -1)?;
    let text = spec.text_or("default_string", "_Unused")?.to_string();
    let (by_text, by_int) = (places(texts.iter().cloned()), places(ints.iter().copied()));
    Ok(Box::new(move |args| {
        Ok(vec![match args.required(0)? {
            Value::Str(t) => Value::I64(t.map(|v| by_text.get(v).map_or(number, |&i| ints[i]))),
            Value::I64(t) => Value::Str(
                t.map(|v| by_int.get(v).map_or_else(|| text.clone(), |&i| texts[i].clone())),
            ),
            other => return Err(mistyped(0, other, "text or i64")),
        }])
    }))
}

/// `ZipMap`: each row of scores as a map by class label.
pub fn zip_map(spec: &Spec) -> Result<Kernel, OpError> {
    let names = match Labels::read(spec, "classlabels_int64s", "classlabels_strings")? {
        Labels::Ints(v) => v.iter().map(i64::to_string).collect::<Vec<_>>(),
        Labels::Texts(v) => v,
    };
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let (_, columns) = rows(&x.shape())?;
        if columns != names.len() {
            let n = names.len();
            return Err(misshapen(format!("{columns} columns for {n} class labels")));
        }
        let data = match floats(x, 0, precision)? {
            Floats::F32(t) => t.into_parts().1,
            Floats::F64(t) => t.data().iter().map(|&v| v as f32).collect(),
        };
        let map = |row: &[f32]| -> BTreeMap<String, f32> {
            names.iter().cloned().zip(row.iter().copied()).collect()
        };
        Ok(vec![Value::Maps(data.chunks(columns).map(map).collect())])
    }))
}

/// `DictVectorizer`: the values of each map in the order of the vocabulary, 0 where a key is
/// missing.
pub fn dict_vectorizer(spec: &Spec) -> Result<Kernel, OpError> {
    let texts = spec.texts("string_vocabulary")?.unwrap_or(&[]).to_vec();
    let ints = spec.ints("int64_vocabulary")?.unwrap_or(&[]);
    let keys = if texts.is_empty() { ints.iter().map(i64::to_string).collect() } else { texts };
    if keys.is_empty() {
        return Err(wrong("string_vocabulary", "and `int64_vocabulary` are both missing"));
    }
    let precision = spec.precision;
    Ok(Box::new(move |args| match args.required(0)? {
        Value::Maps(maps) => {
            let mut out = Vec::with_capacity(volume(&[maps.len(), keys.len()])?);
            for map in maps {
                out.extend(keys.iter().map(|k| map.get(k).copied().unwrap_or(0.0)));
            }
            Ok(vec![given(tensor(vec![maps.len(), keys.len()], out)?, precision)])
        }
        other => Err(mistyped(0, other, "maps")),
    }))
}
