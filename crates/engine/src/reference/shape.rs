//! Operators that only move elements: reshaping, transposing, joining, cutting, padding.
//!
//! Owns layout; an element is never changed. Called by the registry.

use super::Precision;
use super::broadcast;
use super::op::{
    Args, Kernel, OpError, Spec, around, axes_mask, axis_of, misshapen, mistyped, strides, tensor,
    volume, volume_of, wrong,
};
use crate::graph::Node;
use crate::value::{Tensor, Value};

/// Applies `$body` to the tensor inside and wraps the result in the same variant.
macro_rules! same_type {
    ($value:expr, $t:ident => $body:expr) => {
        match $value {
            Value::F32($t) => Ok(Value::F32($body?)),
            Value::F64($t) => Ok(Value::F64($body?)),
            Value::I64($t) => Ok(Value::I64($body?)),
            Value::I32($t) => Ok(Value::I32($body?)),
            Value::U8($t) => Ok(Value::U8($body?)),
            Value::I8($t) => Ok(Value::I8($body?)),
            Value::Bool($t) => Ok(Value::Bool($body?)),
            Value::Str($t) => Ok(Value::Str($body?)),
            Value::Maps(_) => Err($crate::reference::op::mistyped(0, $value, "a tensor")),
        }
    };
}
pub(crate) use same_type;

fn reshape_to(x: &Value, shape: Vec<usize>) -> Result<Vec<Value>, OpError> {
    let from = x.shape();
    volume(&shape)?;
    match x.clone().reshaped(shape.clone()) {
        Some(v) => Ok(vec![v]),
        None => Err(misshapen(format!("shape {from:?} does not reshape to {shape:?}"))),
    }
}

/// `Identity`
pub fn identity(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| Ok(vec![args.required(0)?.clone()])))
}

/// `Dropout` at inference: the input, and a mask of ones.
pub fn dropout(spec: &Spec) -> Result<Kernel, OpError> {
    let masked = spec.wants(1);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        if let Some(Value::Bool(t)) = args.optional(2)
            && t.data().contains(&true)
        {
            return Err(OpError::Unsupported("dropout in training mode".to_string()));
        }
        let mut out = vec![x.clone()];
        if masked {
            out.push(Value::Bool(tensor(x.shape(), vec![true; x.len()])?));
        }
        Ok(out)
    }))
}

/// `Flatten`
pub fn flatten(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 1)?;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let rank = shape.len();
        let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
        reshape_to(x, vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
    }))
}

/// `Reshape`: 0 copies a size unless `allowzero`, -1 is what is left.
pub fn reshape(spec: &Spec) -> Result<Kernel, OpError> {
    let literal = spec.flag("allowzero", false)?;
    let fixed = spec.ints("shape")?.map(<[i64]>::to_vec);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let wanted = match &fixed {
            Some(s) => s.clone(),
            None => args.ints(1)?,
        };
        reshape_to(x, resolve(&x.shape(), &wanted, literal)?)
    }))
}

fn resolve(from: &[usize], wanted: &[i64], literal: bool) -> Result<Vec<usize>, OpError> {
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &d) in wanted.iter().enumerate() {
        shape.push(match d {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 if !literal => *from
                .get(i)
                .ok_or_else(|| misshapen(format!("size {i} of {from:?} cannot be copied")))?,
            d => usize::try_from(d).map_err(|_| misshapen(format!("{wanted:?} is not a shape")))?,
        });
    }
    if let Some(i) = open {
        let (have, rest) = (from.iter().product::<usize>(), volume(&shape)?);
        if rest == 0 || have % rest != 0 {
            return Err(misshapen(format!("shape {from:?} does not reshape to {wanted:?}")));
        }
        shape[i] = have / rest;
    }
    Ok(shape)
}

/// `Transpose`
pub fn transpose(spec: &Spec) -> Result<Kernel, OpError> {
    let order = spec.ints("perm")?.map(<[i64]>::to_vec);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let rank = x.shape().len();
        let order: Vec<usize> = match &order {
            None => (0..rank).rev().collect(),
            Some(p) => {
                if p.len() != rank || !axes_mask(p, rank)?.iter().all(|&m| m) {
                    return Err(wrong("perm", format!("{p:?} does not permute rank {rank}")));
                }
                p.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?
            }
        };
        Ok(vec![same_type!(x, t => permuted(t, &order))?])
    }))
}

/// The tensor with its dimensions in another order.
pub fn permuted<T: Clone>(t: &Tensor<T>, order: &[usize]) -> Result<Tensor<T>, OpError> {
    let own = strides(t.shape());
    let shape: Vec<usize> = order.iter().map(|&a| t.shape()[a]).collect();
    let steps: Vec<usize> = order.iter().map(|&a| own[a]).collect();
    let mut data = Vec::with_capacity(t.len());
    broadcast::walk(&shape, [&steps], |[i]| data.push(t.data()[i].clone()));
    tensor(shape, data)
}

/// `Concat`
pub fn concat(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int("axis")?.ok_or_else(|| wrong("axis", "is missing"))?;
    macro_rules! joined {
        ($args:expr, $variant:ident) => {{
            let parts = (0..$args.count())
                .map(|i| match $args.required(i)? {
                    Value::$variant(t) => Ok(t),
                    other => Err(mistyped(i, other, "the type of input 0")),
                })
                .collect::<Result<Vec<_>, OpError>>()?;
            Value::$variant(join(&parts, axis)?)
        }};
    }
    Ok(Box::new(move |args| {
        Ok(vec![match args.required(0)? {
            Value::F32(_) => joined!(args, F32),
            Value::F64(_) => joined!(args, F64),
            Value::I64(_) => joined!(args, I64),
            Value::I32(_) => joined!(args, I32),
            Value::U8(_) => joined!(args, U8),
            Value::I8(_) => joined!(args, I8),
            Value::Bool(_) => joined!(args, Bool),
            Value::Str(_) => joined!(args, Str),
            other => return Err(mistyped(0, other, "a tensor")),
        }])
    }))
}

fn join<T: Clone>(parts: &[&Tensor<T>], axis: i64) -> Result<Tensor<T>, OpError> {
    let mut shape = parts[0].shape().to_vec();
    let axis = axis_of(axis, shape.len())?;
    for p in &parts[1..] {
        let s = p.shape();
        let fits = s.len() == shape.len() && (0..s.len()).all(|i| i == axis || s[i] == shape[i]);
        if !fits {
            return Err(misshapen(format!("shapes {shape:?} and {s:?} do not join at {axis}")));
        }
        shape[axis] += s[axis];
    }
    let mut data = Vec::with_capacity(volume_of::<T>(&shape)?);
    let before: usize = shape[..axis].iter().product();
    for b in 0..before {
        for p in parts {
            let run: usize = p.shape()[axis..].iter().product();
            data.extend_from_slice(&p.data()[b * run..(b + 1) * run]);
        }
    }
    tensor(shape, data)
}

/// `Split`: sizes as attribute before opset 13, as input since, or equal parts.
pub fn split(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", 0)?;
    let fixed = spec.ints("split")?.map(<[i64]>::to_vec);
    let count = spec.int("num_outputs")?.map_or(spec.node.outputs.len(), |n| n.max(0) as usize);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let at = axis_of(axis, shape.len())?;
        let sizes = match args.ints_optional(1)?.or_else(|| fixed.clone()) {
            Some(s) => s,
            None => {
                let size = shape[at].div_ceil(count.max(1));
                (0..count).map(|i| shape[at].saturating_sub(i * size).min(size) as i64).collect()
            }
        };
        let mut from = 0usize;
        let mut out = Vec::with_capacity(sizes.len());
        for &s in &sizes {
            let size = usize::try_from(s).map_err(|_| wrong("split", "holds a negative size"))?;
            let end = from.checked_add(size).filter(|&e| e <= shape[at]);
            let end = end.ok_or_else(|| misshapen(format!("{sizes:?} do not split {shape:?}")))?;
            out.push(same_type!(x, t => part(t, at, from, end))?);
            from = end;
        }
        if from != shape[at] {
            return Err(misshapen(format!("sizes {sizes:?} do not fill axis {at} of {shape:?}")));
        }
        Ok(out)
    }))
}

fn part<T: Clone>(
    t: &Tensor<T>,
    axis: usize,
    from: usize,
    to: usize,
) -> Result<Tensor<T>, OpError> {
    let (before, along, after) = around(t.shape(), axis);
    let mut shape = t.shape().to_vec();
    shape[axis] = to - from;
    let mut data = Vec::with_capacity(before * (to - from) * after);
    for b in 0..before {
        let row = b * along;
        data.extend_from_slice(&t.data()[(row + from) * after..(row + to) * after]);
    }
    tensor(shape, data)
}

/// `Squeeze`: axes as attribute before opset 13, as input since, or every size 1.
pub fn squeeze(spec: &Spec) -> Result<Kernel, OpError> {
    let fixed = spec.ints("axes")?.map(<[i64]>::to_vec);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let mask = match args.ints_optional(1)?.or_else(|| fixed.clone()) {
            Some(axes) => axes_mask(&axes, shape.len())?,
            None => shape.iter().map(|&d| d == 1).collect(),
        };
        if shape.iter().zip(&mask).any(|(&d, &m)| m && d != 1) {
            return Err(misshapen(format!("an axis of {shape:?} to remove is not of size 1")));
        }
        let kept = shape.iter().zip(&mask).filter(|(_, m)| !**m).map(|(&d, _)| d).collect();
        reshape_to(x, kept)
    }))
}

/// `Unsqueeze`
pub fn unsqueeze(spec: &Spec) -> Result<Kernel, OpError> {
    let fixed = spec.ints("axes")?.map(<[i64]>::to_vec);
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let axes = match &fixed {
            Some(a) => a.clone(),
            None => args.ints(1)?,
        };
        let shape = x.shape();
        let mask = axes_mask(&axes, shape.len() + axes.len())?;
        let mut own = shape.iter().copied();
        let wide = mask.iter().map(|&m| if m { 1 } else { own.next().unwrap_or(1) }).collect();
        reshape_to(x, wide)
    }))
}

/// `Expand`
pub fn expand(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let x = args.required(0)?;
        let to = broadcast::shape(&x.shape(), &dims(&args.ints(1)?)?)?;
        Ok(vec![same_type!(x, t => broadcast::expand(t, &to))?])
    }))
}

/// Non-negative sizes.
pub fn dims(v: &[i64]) -> Result<Vec<usize>, OpError> {
    v.iter()
        .map(|&d| usize::try_from(d).map_err(|_| misshapen(format!("{v:?} is not a shape"))))
        .collect()
}

/// `Tile`
pub fn tile(_: &Spec) -> Result<Kernel, OpError> {
    fn of<T: Clone>(t: &Tensor<T>, repeats: &[usize]) -> Result<Tensor<T>, OpError> {
        if repeats.len() != t.rank() {
            return Err(misshapen(format!("{repeats:?} does not tile shape {:?}", t.shape())));
        }
        // Every dimension becomes (repeats, size); the first is broadcast.
        let own = strides(t.shape());
        let (mut shape, mut steps, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for (i, &r) in repeats.iter().enumerate() {
            shape.extend([r, t.shape()[i]]);
            steps.extend([0, own[i]]);
            out.push(r.checked_mul(t.shape()[i]).ok_or_else(|| OpError::TooLarge(shape.clone()))?);
        }
        let mut data = Vec::with_capacity(volume_of::<T>(&out)?);
        broadcast::walk(&shape, [&steps], |[i]| data.push(t.data()[i].clone()));
        tensor(out, data)
    }
    Ok(Box::new(|args| {
        let repeats = dims(&args.ints(1)?)?;
        let x = args.required(0)?;
        Ok(vec![same_type!(x, t => of(t, &repeats))?])
    }))
}

/// `Shape`, with `start` and `end` since opset 15.
pub fn shape(spec: &Spec) -> Result<Kernel, OpError> {
    let (start, end) = (spec.int_or("start", 0)?, spec.int("end")?);
    Ok(Box::new(move |args| {
        let s: Vec<i64> = args.required(0)?.shape().iter().map(|&d| d as i64).collect();
        let rank = s.len() as i64;
        let clamp = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank);
        let (a, b) = (clamp(start), clamp(end.unwrap_or(rank)));
        let cut = if a < b { s[a as usize..b as usize].to_vec() } else { Vec::new() };
        Ok(vec![Value::I64(Tensor::vector(cut))])
    }))
}

/// `Size`
pub fn size(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| Ok(vec![Value::I64(Tensor::scalar(args.required(0)?.len() as i64))])))
}

/// `DepthToSpace`
pub fn depth_to_space(spec: &Spec) -> Result<Kernel, OpError> {
    let b = block(spec)?;
    let columns_first = match spec.text_or("mode", "DCR")? {
        "DCR" => false,
        "CRD" => true,
        other => return Err(wrong("mode", format!("has the unknown value `{other}`"))),
    };
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let &[n, c, h, w] = x.shape().as_slice() else {
            return Err(misshapen("expected four dimensions"));
        };
        if c % (b * b) != 0 {
            return Err(misshapen(format!("{c} channels do not divide into blocks of {b}")));
        }
        let d = c / (b * b);
        let (split, order) = match columns_first {
            true => (vec![n, d, b, b, h, w], [0, 1, 4, 2, 5, 3]),
            false => (vec![n, b, b, d, h, w], [0, 3, 4, 1, 5, 2]),
        };
        let six = reshape_to(x, split)?.remove(0);
        let mixed = same_type!(&six, t => permuted(t, &order))?;
        reshape_to(&mixed, vec![n, d, h * b, w * b])
    }))
}

/// `SpaceToDepth`
pub fn space_to_depth(spec: &Spec) -> Result<Kernel, OpError> {
    let b = block(spec)?;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let &[n, c, h, w] = x.shape().as_slice() else {
            return Err(misshapen("expected four dimensions"));
        };
        if h % b != 0 || w % b != 0 {
            return Err(misshapen(format!("{h} x {w} does not divide into blocks of {b}")));
        }
        let six = reshape_to(x, vec![n, c, h / b, b, w / b, b])?.remove(0);
        let mixed = same_type!(&six, t => permuted(t, &[0, 3, 5, 1, 2, 4]))?;
        reshape_to(&mixed, vec![n, c * b * b, h / b, w / b])
    }))
}

fn block(spec: &Spec) -> Result<usize, OpError> {
    match spec.int("blocksize")?.and_then(|b| usize::try_from(b).ok()) {
        Some(b) if b > 0 => Ok(b),
        _ => Err(wrong("blocksize", "is missing or not positive")),
    }
}

/// `Constant`
pub fn constant(spec: &Spec) -> Result<Kernel, OpError> {
    let value = constant_value(spec.node)?;
    let value = if spec.precision == Precision::F64 { value.widened() } else { value };
    Ok(Box::new(move |_: &Args| Ok(vec![value.clone()])))
}

/// The value a `Constant` node holds.
///
/// # Errors
/// None, several, or other attributes than a value.
pub fn constant_value(node: &Node) -> Result<Value, OpError> {
    use crate::graph::Attribute as A;
    let mut set = node.attributes.iter();
    let (Some((name, a)), None) = (set.next(), set.next()) else {
        return Err(wrong("value", "is not the only attribute"));
    };
    Ok(match (name.as_str(), a) {
        ("value", A::Tensor(v)) => v.clone(),
        ("value_float", A::Float(v)) => Value::F32(Tensor::scalar(*v)),
        ("value_floats", A::Floats(v)) => Value::F32(Tensor::vector(v.clone())),
        ("value_int", A::Int(v)) => Value::I64(Tensor::scalar(*v)),
        ("value_ints", A::Ints(v)) => Value::I64(Tensor::vector(v.clone())),
        ("value_string", A::Text(v)) => Value::Str(Tensor::scalar(v.clone())),
        ("value_strings", A::Texts(v)) => Value::Str(Tensor::vector(v.clone())),
        _ => return Err(wrong(name, "is not a value of a constant")),
    })
}

/// `ConstantOfShape`
pub fn constant_of_shape(spec: &Spec) -> Result<Kernel, OpError> {
    let zero = Value::F32(Tensor::scalar(0.0));
    let value = spec.tensor("value")?.unwrap_or(&zero).clone();
    let value = if spec.precision == Precision::F64 { value.widened() } else { value };
    fn of<T: Clone>(t: &Tensor<T>, shape: &[usize]) -> Result<Tensor<T>, OpError> {
        match t.data() {
            [v] => tensor(shape.to_vec(), vec![v.clone(); volume(shape)?]),
            _ => Err(wrong("value", "does not hold one element")),
        }
    }
    Ok(Box::new(move |args| {
        let shape = dims(&args.ints(0)?)?;
        Ok(vec![same_type!(&value, t => of(t, &shape))?])
    }))
}
