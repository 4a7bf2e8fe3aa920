//! Picks and joins rows (the leading dimension) of values.
//!
//! Owns nothing but the copying. Called by the pipeline and by the shape probe.

use crate::value::{Tensor, Value};

/// The rows of those indices, in that order; `None` when an index or the rank does not fit.
pub(crate) fn pick_rows(value: &Value, rows: &[usize]) -> Option<Value> {
    Some(match value {
        Value::F32(t) => Value::F32(pick(t, rows)?),
        Value::F64(t) => Value::F64(pick(t, rows)?),
        Value::I64(t) => Value::I64(pick(t, rows)?),
        Value::I32(t) => Value::I32(pick(t, rows)?),
        Value::U8(t) => Value::U8(pick(t, rows)?),
        Value::I8(t) => Value::I8(pick(t, rows)?),
        Value::Bool(t) => Value::Bool(pick(t, rows)?),
        Value::Str(t) => Value::Str(pick(t, rows)?),
        Value::Maps(m) => {
            Value::Maps(rows.iter().map(|&r| m.get(r).cloned()).collect::<Option<_>>()?)
        }
    })
}

/// The rows of that range; `None` past the end, or where there are no rows.
pub fn rows_of(value: &Value, range: std::ops::Range<usize>) -> Option<Value> {
    pick_rows(value, &range.collect::<Vec<_>>())
}

/// Values one below the other; `None` when types or row shapes differ.
pub(crate) fn join_rows(parts: Vec<Value>) -> Option<Value> {
    macro_rules! join {
        ($kind:ident) => {{
            let mut tensors = Vec::with_capacity(parts.len());
            for part in parts {
                let Value::$kind(t) = part else { return None };
                tensors.push(t);
            }
            Value::$kind(join(tensors)?)
        }};
    }
    Some(match parts.first()? {
        Value::F32(_) => join!(F32),
        Value::F64(_) => join!(F64),
        Value::I64(_) => join!(I64),
        Value::I32(_) => join!(I32),
        Value::U8(_) => join!(U8),
        Value::I8(_) => join!(I8),
        Value::Bool(_) => join!(Bool),
        Value::Str(_) => join!(Str),
        Value::Maps(_) => {
            let mut all = Vec::new();
            for part in parts {
                let Value::Maps(maps) = part else { return None };
                all.extend(maps);
            }
            Value::Maps(all)
        }
    })
}

/// Row indices of a chunk filled up to `width` by repeating the last.
pub(crate) fn padded(rows: &[usize], width: usize) -> Vec<usize> {
    let last = rows.last().copied().unwrap_or(0);
    let fill = std::iter::repeat_n(last, width.saturating_sub(rows.len()));
    rows.iter().copied().chain(fill).collect()
}

fn pick<T: Clone>(t: &Tensor<T>, rows: &[usize]) -> Option<Tensor<T>> {
    let (&all, rest) = t.shape().split_first()?;
    let size: usize = rest.iter().product();
    let mut data = Vec::with_capacity(rows.len() * size);
    for &row in rows {
        if row >= all {
            return None;
        }
        data.extend_from_slice(&t.data()[row * size..(row + 1) * size]);
    }
    Tensor::new([&[rows.len()], rest].concat(), data)
}

fn join<T>(tensors: Vec<Tensor<T>>) -> Option<Tensor<T>> {
    let rest = tensors.first()?.shape().get(1..)?.to_vec();
    let (mut rows, mut data) = (0, Vec::new());
    for tensor in tensors {
        let (shape, part) = tensor.into_parts();
        if shape.get(1..)? != rest {
            return None;
        }
        rows += shape[0];
        data.extend(part);
    }
    Tensor::new([&[rows], &rest[..]].concat(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_picked_and_joined() {
        let t = Tensor::new(vec![3, 2], vec![1, 2, 3, 4, 5, 6]).unwrap();
        let picked = pick_rows(&Value::I64(t.clone()), &[2, 0, 0]).unwrap();
        let wanted = Tensor::new(vec![3, 2], vec![5, 6, 1, 2, 1, 2]).unwrap();
        assert_eq!(picked, Value::I64(wanted));
        assert_eq!(pick_rows(&Value::I64(t.clone()), &[3]), None);
        let first = pick_rows(&Value::I64(t.clone()), &[0]).unwrap();
        let rest = pick_rows(&Value::I64(t.clone()), &[1, 2]).unwrap();
        assert_eq!(join_rows(vec![first.clone(), rest]), Some(Value::I64(t)));
        let other = Value::F32(Tensor::new(vec![1, 2], vec![0.0; 2]).unwrap());
        assert_eq!(join_rows(vec![first, other]), None);
    }

    #[test]
    fn short_chunks_repeat_their_last_row() {
        assert_eq!(padded(&[7, 3], 4), [7, 3, 3, 3]);
        assert_eq!(padded(&[1, 2], 2), [1, 2]);
    }
}
