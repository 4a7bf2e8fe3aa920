//! Normalisations: batch (at inference), layer, instance, local response.
//!
//! Owns the statistics and how they are applied. Called by the registry.

use super::float::Float;
use super::op::{Args, Kernel, OpError, Spec, axis_of, float_dispatch, misshapen, tensor};
use super::reduce::blocked;
use crate::value::{Tensor, Value};

/// `BatchNormalization` at inference, per channel:
/// scale · (x - mean) / sqrt(variance + epsilon) + bias.
pub fn batch(spec: &Spec) -> Result<Kernel, OpError> {
    if spec.flag("training_mode", false)? {
        return Err(OpError::Unsupported("batch normalisation in training mode".to_string()));
    }
    if spec.opset < 9 && spec.int_or("spatial", 1)? == 0 {
        return Err(OpError::Unsupported("batch normalisation per activation".to_string()));
    }
    let epsilon = spec.float_or("epsilon", 1e-5)?;
    fn of<T: Float>(x: &Tensor<T>, args: &Args, epsilon: f32) -> Result<Vec<Value>, OpError> {
        let channels = x.shape().get(1).copied().unwrap_or(1);
        let mut read = [x; 4];
        for (i, p) in read.iter_mut().enumerate() {
            *p = args.float::<T>(i + 1)?;
            if p.len() != channels {
                let (n, s) = (p.len(), x.shape());
                return Err(misshapen(format!("{n} parameters do not fit shape {s:?}")));
            }
        }
        let [scale, bias, mean, variance] = read.map(Tensor::data);
        let after: usize = x.shape().iter().skip(2).product();
        let mut out = x.data().to_vec();
        for (i, plane) in out.chunks_mut(after.max(1)).enumerate() {
            let c = i % channels;
            let factor = scale[c] / (variance[c] + T::from_f32(epsilon)).sqrt();
            let (m, b) = (mean[c], bias[c]);
            plane.iter_mut().for_each(|v| *v = (*v - m) * factor + b);
        }
        Ok(vec![T::wrap(tensor(x.shape().to_vec(), out)?)])
    }
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => of(x, args, epsilon))))
}

/// `InstanceNormalization`: as batch normalisation with the statistics of each plane.
pub fn instance(spec: &Spec) -> Result<Kernel, OpError> {
    let epsilon = spec.float_or("epsilon", 1e-5)?;
    fn of<T: Float>(x: &Tensor<T>, args: &Args, epsilon: f32) -> Result<Vec<Value>, OpError> {
        let (scale, bias) = (args.float::<T>(1)?, args.float::<T>(2)?);
        let channels = x.shape().get(1).copied().unwrap_or(0);
        if scale.len() != channels || bias.len() != channels {
            return Err(misshapen(format!("parameters do not fit shape {:?}", x.shape())));
        }
        let after: usize = x.shape().iter().skip(2).product();
        let mut out = x.data().to_vec();
        for (i, plane) in out.chunks_mut(after.max(1)).enumerate() {
            let (mean, inverse) = statistics(plane, epsilon);
            let (s, b) = (scale.data()[i % channels], bias.data()[i % channels]);
            plane.iter_mut().for_each(|v| *v = s * ((*v - mean) * inverse) + b);
        }
        Ok(vec![T::wrap(tensor(x.shape().to_vec(), out)?)])
    }
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => of(x, args, epsilon))))
}

/// Mean and 1 / sqrt(variance + epsilon).
fn statistics<T: Float>(v: &[T], epsilon: f32) -> (T, T) {
    let n = T::from_f64(v.len() as f64);
    let mean = blocked(v.iter().copied()) / n;
    let variance = blocked(v.iter().map(|&x| (x - mean) * (x - mean))) / n;
    (mean, T::ONE / (variance + T::from_f32(epsilon)).sqrt())
}

/// `LayerNormalization`, over all axes from `axis` on.
pub fn layer(spec: &Spec) -> Result<Kernel, OpError> {
    let axis = spec.int_or("axis", -1)?;
    let epsilon = spec.float_or("epsilon", 1e-5)?;
    fn of<T: Float>(
        x: &Tensor<T>,
        args: &Args,
        (axis, epsilon): (i64, f32),
    ) -> Result<Vec<Value>, OpError> {
        let shape = x.shape().to_vec();
        let axis = axis_of(axis, shape.len())?;
        let width: usize = shape[axis..].iter().product();
        let fit = |t: &Tensor<T>| -> Result<Tensor<T>, OpError> {
            super::broadcast::expand(t, &shape[axis..])
        };
        let scale = fit(args.float::<T>(1)?)?;
        let bias = args.float_optional::<T>(2)?.map(fit).transpose()?;
        let (mut means, mut inverses) = (Vec::new(), Vec::new());
        let mut out = x.data().to_vec();
        for row in out.chunks_mut(width.max(1)) {
            let (mean, inverse) = statistics(row, epsilon);
            for (i, v) in row.iter_mut().enumerate() {
                let y = (*v - mean) * inverse * scale.data()[i];
                *v = bias.as_ref().map_or(y, |b| y + b.data()[i]);
            }
            means.push(mean);
            inverses.push(inverse);
        }
        let mut kept = shape.clone();
        kept[axis..].fill(1);
        Ok(vec![
            T::wrap(tensor(shape, out)?),
            T::wrap(tensor(kept.clone(), means)?),
            T::wrap(tensor(kept, inverses)?),
        ])
    }
    Ok(Box::new(
        move |args| float_dispatch!(0, args.required(0)?, x => of(x, args, (axis, epsilon))),
    ))
}

/// `LRN`: x / (bias + alpha / size · sum of squares over neighbouring channels)^beta.
pub fn local_response(spec: &Spec) -> Result<Kernel, OpError> {
    let (alpha, beta) = (spec.float_or("alpha", 1e-4)?, spec.float_or("beta", 0.75)?);
    let bias = spec.float_or("bias", 1.0)?;
    let size = usize::try_from(spec.int_or("size", 0)?).unwrap_or(0);
    if size == 0 {
        return Err(super::op::wrong("size", "is missing or not positive"));
    }
    fn of<T: Float>(
        x: &Tensor<T>,
        (alpha, beta, bias): (f32, f32, f32),
        size: usize,
    ) -> Result<Vec<Value>, OpError> {
        if x.rank() < 2 {
            return Err(misshapen(format!("expected channels, given shape {:?}", x.shape())));
        }
        let (batch, channels, after) = super::op::around(x.shape(), 1);
        let share = T::from_f64(f64::from(alpha) / size as f64);
        let mut out = Vec::with_capacity(x.len());
        for n in 0..batch {
            for c in 0..channels {
                let low = c.saturating_sub((size - 1) / 2);
                let high = (c + size / 2).min(channels - 1);
                for i in 0..after {
                    let at = |k: usize| x.data()[(n * channels + k) * after + i];
                    let squares = (low..=high).map(|k| at(k) * at(k)).sum::<T>();
                    let base = T::from_f32(bias) + share * squares;
                    out.push(at(c) / base.powf(T::from_f32(beta)));
                }
            }
        }
        Ok(vec![T::wrap(tensor(x.shape().to_vec(), out)?)])
    }
    let parameters = (alpha, beta, bias);
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => of(x, parameters, size))))
}
