//! Windows of series to the one float input of a model: axis order, mean and deviation per
//! channel, and which values an attacker can move.

use proofmark_schema::system::{Feature, ModelAsset, SeriesLayout};

use super::{
    BindError, Binding, BoundData, BoundInput, Free, FreeCoordinate, InputType, ModelInput,
    shape_text,
};
use crate::series::SeriesSet;

/// Binds series: `(x - mean) / std` per channel where the model declares them, computed in f64
/// and rounded once. Mutable channels can be moved, in the last steps only where so declared.
///
/// # Errors
/// See [`BindError`].
pub fn series(
    set: &SeriesSet,
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
    let unbounded = |name: &str| BindError::Unbounded { feature: name.to_owned() };
    let spec = feature.series.as_ref().ok_or_else(|| unbounded(&feature.name))?;
    let (steps, width) = (set.steps, set.channels.len());
    let layout = layout_of(input, model, spec.layout, steps, width)?;
    let scale = |channel: usize| {
        let mean = model.input.mean.get(channel).copied().unwrap_or(0.0);
        (mean, model.input.std.get(channel).copied().unwrap_or(1.0))
    };
    let mut values = Vec::with_capacity(set.data.len());
    for row in 0..set.n {
        let window = set.window(row);
        for at in 0..steps * width {
            let (step, channel) = place(at, layout, steps, width);
            let (mean, std) = scale(channel);
            let value = window.get(step * width + channel).copied().unwrap_or(f32::NAN);
            values.push((f64::from(value) - mean) / std);
        }
    }
    let mut free = Vec::new();
    let first = steps - spec.last.unwrap_or(steps).min(steps);
    for at in 0..steps * width {
        let (step, channel) = place(at, layout, steps, width);
        let Some(declared) = spec.channels.get(channel) else { continue };
        if !feature.mutable || !declared.mutable || step < first {
            continue;
        }
        let [lower, upper] = declared.bounds.ok_or_else(|| unbounded(&declared.name))?;
        let (mean, std) = scale(channel);
        if declared.integer && (mean != 0.0 || std != 1.0) {
            return Err(BindError::IntegerScaled { channel: declared.name.clone() });
        }
        free.push(FreeCoordinate {
            feature: declared.name.clone(),
            input: input.name.clone(),
            column: at,
            lower: (lower - mean) / std,
            upper: (upper - mean) / std,
            unit_raw: 1.0 / std,
            integer: declared.integer,
        });
    }
    let shape = match layout {
        SeriesLayout::StepsChannels => vec![set.n, steps, width],
        SeriesLayout::ChannelsSteps => vec![set.n, width, steps],
    };
    let data = match input.dtype {
        InputType::F64 => BoundData::F64(values),
        _ => BoundData::F32(values.into_iter().map(|v| v as f32).collect()),
    };
    let inputs = vec![BoundInput { name: input.name.clone(), shape, data }];
    Ok(Binding { n: set.n, inputs, free: Free::Columns(free), unread: Vec::new() })
}

/// Step and channel of a flattened value of the input.
fn place(at: usize, layout: SeriesLayout, steps: usize, width: usize) -> (usize, usize) {
    match layout {
        SeriesLayout::StepsChannels => (at / width.max(1), at % width.max(1)),
        SeriesLayout::ChannelsSteps => (at % steps.max(1), at / steps.max(1)),
    }
}

/// The declared axis order, else that of the file where it fits, else the other where that does.
fn layout_of(
    input: &ModelInput,
    model: &ModelAsset,
    of_file: SeriesLayout,
    steps: usize,
    width: usize,
) -> Result<SeriesLayout, BindError> {
    let fits = |layout: SeriesLayout| {
        let wanted = match layout {
            SeriesLayout::StepsChannels => [steps, width],
            SeriesLayout::ChannelsSteps => [width, steps],
        };
        let held = input.shape.get(1..).unwrap_or_default();
        held.len() == 2 && held.iter().zip(wanted).all(|(h, w)| h.is_none_or(|h| h == w))
    };
    let other = match of_file {
        SeriesLayout::StepsChannels => SeriesLayout::ChannelsSteps,
        SeriesLayout::ChannelsSteps => SeriesLayout::StepsChannels,
    };
    let asked = match model.input.series {
        Some(layout) => vec![layout],
        None => vec![of_file, other],
    };
    asked.into_iter().find(|layout| fits(*layout)).ok_or_else(|| BindError::Shape {
        input: input.name.clone(),
        shape: shape_text(&input.shape),
        expected: format!("[n, {steps}, {width}] or [n, {width}, {steps}]"),
        hint: "check `steps` and `channels`, or declare `input = { layout = \"channels-steps\" }`",
    })
}
