//! Images to the one float input of a model: range, mean, standard deviation, axis order.

use proofmark_schema::system::{Feature, Layout, ModelAsset};

use super::{
    BindError, Binding, BoundData, BoundInput, Free, FreeImage, InputType, ModelInput, shape_text,
};
use crate::images::Images;

/// Binds images: pixels are mapped from `bounds` onto `input.range`, then `(x - mean) / std` per
/// channel, computed in f64 and rounded once to the type of the input.
///
/// # Errors
/// See [`BindError`].
pub fn images(
    images: &Images,
    feature: &Feature,
    model: &ModelAsset,
    inputs: &[ModelInput],
) -> Result<Binding, BindError> {
    let input = match inputs {
        [input] if matches!(input.dtype, InputType::F32 | InputType::F64) => input,
        [] => return Err(BindError::NoInput),
        [input] => return Err(BindError::ImageInputs { found: input.dtype.name().to_owned() }),
        many => return Err(BindError::ImageInputs { found: format!("{} inputs", many.len()) }),
    };
    let unbounded = || BindError::Unbounded { feature: feature.name.clone() };
    let bounds = feature.bounds.ok_or_else(unbounded)?;
    let [c, h, w] = images.shape;
    let maps: Vec<Affine> = (0..c).map(|channel| Affine::new(bounds, model, channel)).collect();
    let dims = match model.input.layout {
        Layout::Nchw => [c, h, w],
        Layout::Nhwc => [h, w, c],
    };
    let shape = shape_of(input, images.n, dims)?;
    let data = match input.dtype {
        InputType::F64 => BoundData::F64(map_pixels(images, model, &maps, |v| v)),
        _ => BoundData::F32(map_pixels(images, model, &maps, |v| v as f32)),
    };
    let free = if feature.mutable {
        Free::Image(free(images, feature, model, input, &maps, bounds))
    } else {
        Free::Columns(Vec::new())
    };
    let inputs = vec![BoundInput { name: input.name.clone(), shape, data }];
    Ok(Binding { n: images.n, inputs, free, unread: Vec::new() })
}

/// Every pixel in the axis order of the model.
fn map_pixels<T>(
    images: &Images,
    model: &ModelAsset,
    maps: &[Affine],
    cast: impl Fn(f64) -> T,
) -> Vec<T> {
    let [c, h, w] = images.shape;
    let row = c * h * w;
    let mut values = Vec::with_capacity(images.data.len());
    for image in images.data.chunks_exact(row.max(1)) {
        for at in 0..row {
            let (channel, from) = match model.input.layout {
                Layout::Nchw => (at / (h * w), at),
                Layout::Nhwc => (at % c, (at % c) * h * w + at / c),
            };
            let map = maps.get(channel).copied().unwrap_or_default();
            let pixel = image.get(from).copied().unwrap_or(f32::NAN);
            values.push(cast(map.apply(f64::from(pixel))));
        }
    }
    values
}

/// The map of one channel from stored pixels to the unit of the model.
#[derive(Clone, Copy, Default)]
struct Affine {
    bounds: [f64; 2],
    range: [f64; 2],
    mean: f64,
    std: f64,
}

impl Affine {
    fn new(bounds: [f64; 2], model: &ModelAsset, channel: usize) -> Self {
        let range = model.input.range.unwrap_or(bounds);
        let mean = model.input.mean.get(channel).copied().unwrap_or(0.0);
        let std = model.input.std.get(channel).copied().unwrap_or(1.0);
        Self { bounds, range, mean, std }
    }

    fn apply(self, pixel: f64) -> f64 {
        let [b0, b1] = self.bounds;
        let [r0, r1] = self.range;
        let mapped = if self.bounds == self.range {
            pixel
        } else {
            r0 + (pixel - b0) / (b1 - b0) * (r1 - r0)
        };
        (mapped - self.mean) / self.std
    }

    fn unit(self) -> f64 {
        let [b0, b1] = self.bounds;
        let [r0, r1] = self.range;
        (r1 - r0) / (b1 - b0) / self.std
    }
}

/// Shape of the bound input: four axes, or the flattened image where the model reads `[n, k]`.
fn shape_of(input: &ModelInput, n: usize, dims: [usize; 3]) -> Result<Vec<usize>, BindError> {
    let [d0, d1, d2] = dims;
    let wanted = input.shape.get(1..).unwrap_or_default();
    let fits = wanted.len() == 3 && wanted.iter().zip(dims).all(|(w, d)| w.is_none_or(|w| w == d));
    if fits {
        return Ok(vec![n, d0, d1, d2]);
    }
    let size = d0 * d1 * d2;
    if let [k] = wanted
        && k.is_none_or(|k| k == size)
    {
        return Ok(vec![n, size]);
    }
    let swapped = |order: [usize; 3]| {
        wanted.len() == 3
            && wanted
                .iter()
                .zip(order)
                .all(|(w, i)| w.is_none_or(|w| dims.get(i).is_some_and(|d| *d == w)))
    };
    let hint = if swapped([2, 0, 1]) {
        "channels come first here: `input = { layout = \"nchw\" }`"
    } else if swapped([1, 2, 0]) {
        "channels come last here: `input = { layout = \"nhwc\" }`"
    } else {
        "check `shape` of the image feature and which model this is"
    };
    Err(BindError::Shape {
        input: input.name.clone(),
        shape: shape_text(&input.shape),
        expected: format!("[n, {}, {}, {}]", dims[0], dims[1], dims[2]),
        hint,
    })
}

fn free(
    images: &Images,
    feature: &Feature,
    model: &ModelAsset,
    input: &ModelInput,
    maps: &[Affine],
    [lower, upper]: [f64; 2],
) -> FreeImage {
    let steps = upper - lower;
    let whole = images.whole && steps.fract() == 0.0 && lower.fract() == 0.0;
    FreeImage {
        feature: feature.name.clone(),
        input: input.name.clone(),
        count: images.shape.iter().product(),
        shape: images.shape,
        layout: model.input.layout,
        lower: maps.iter().map(|m| m.apply(lower)).collect(),
        upper: maps.iter().map(|m| m.apply(upper)).collect(),
        unit_raw: maps.iter().map(|m| m.unit()).collect(),
        levels: (whole && steps <= f64::from(u32::MAX)).then_some(steps as u32),
    }
}
