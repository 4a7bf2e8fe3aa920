//! Other ways in which the same data could have been meant, for gate 1.
//!
//! Owns the list of usual mistakes: axes, value ranges, normalisation, column order. Must never
//! be used to measure: a reading that fits better is named, and the verdict refused.

use proofmark_dataset::bind::{Binding, BoundData, BoundInput, Free, FreeImage};
use proofmark_schema::system::{Layout, ModelAsset, Series};

mod series;

/// The data read in another way.
pub struct Reading {
    /// The way, in words.
    pub name: String,
    /// What to declare if it fits.
    pub fix: String,
    /// The data under it; nothing in it is for an attacker.
    pub binding: Binding,
}

/// Readings that differ from the declared one; `series` as declared, where the data are series.
pub fn readings(binding: &Binding, asset: &ModelAsset, series: Option<&Series>) -> Vec<Reading> {
    let [input] = binding.inputs.as_slice() else { return Vec::new() };
    let BoundData::F32(data) = &input.data else { return Vec::new() };
    let all = match (&binding.free, series) {
        (_, Some(series)) => series::windows(input, data, asset, series),
        (Free::Image(image), None) => images(input, data, image, asset),
        (Free::Columns(_), None) if input.shape.len() == 4 => images_by_shape(input, data, asset),
        (Free::Columns(_), None) => columns(input, data, asset),
    };
    let changed = all.into_iter().filter(|(_, _, values)| values != data);
    changed
        .map(|(name, fix, values)| {
            let mut other = binding.clone();
            other.inputs[0].data = BoundData::F32(values);
            Reading { name, fix, binding: other }
        })
        .collect()
}

type Other = (String, String, Vec<f32>);

fn images_by_shape(input: &BoundInput, data: &[f32], asset: &ModelAsset) -> Vec<Other> {
    let (a, b, c) = (input.shape[1], input.shape[2], input.shape[3]);
    let shape = match asset.input.layout {
        Layout::Nchw => [a, b, c],
        Layout::Nhwc => [c, a, b],
    };
    images_of(shape, asset.input.layout, range_of(data), data)
}

fn images(input: &BoundInput, data: &[f32], image: &FreeImage, asset: &ModelAsset) -> Vec<Other> {
    debug_assert_eq!(input.shape.len(), 4, "images are bound with four axes");
    let low = image.lower.iter().copied().fold(f64::INFINITY, f64::min);
    let high = image.upper.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    images_of(image.shape, asset.input.layout, [low, high], data)
}

fn images_of([c, h, w]: [usize; 3], layout: Layout, range: [f64; 2], data: &[f32]) -> Vec<Other> {
    let at = |channel: usize, y: usize, x: usize| match layout {
        Layout::Nchw => (channel * h + y) * w + x,
        Layout::Nhwc => (y * w + x) * c + channel,
    };
    let mut all: Vec<Other> = Vec::new();
    if h == w {
        let moved = each_row(data, c * h * w, |row, out| {
            for channel in 0..c {
                for y in 0..h {
                    for x in 0..w {
                        out[at(channel, y, x)] = row[at(channel, x, y)];
                    }
                }
            }
        });
        let fix = "store the images with height before width (they are transposed)";
        all.push(("height and width swapped".into(), fix.into(), moved));
    }
    if c > 1 {
        let other = |channel: usize, y: usize, x: usize| match layout {
            Layout::Nchw => (y * w + x) * c + channel,
            Layout::Nhwc => (channel * h + y) * w + x,
        };
        let moved = each_row(data, c * h * w, |row, out| {
            for channel in 0..c {
                for y in 0..h {
                    for x in 0..w {
                        out[at(channel, y, x)] = row[other(channel, y, x)];
                    }
                }
            }
        });
        let fix = "check `shape` and the axis order of the image file";
        all.push(("channels last in the file".into(), fix.into(), moved));
        let reversed = each_row(data, c * h * w, |row, out| {
            for channel in 0..c {
                for y in 0..h {
                    for x in 0..w {
                        out[at(channel, y, x)] = row[at(c - 1 - channel, y, x)];
                    }
                }
            }
        });
        let fix = "store the channels in the order of the training code (RGB, BGR)";
        all.push(("channels reversed".into(), fix.into(), reversed));
    }
    all.extend(ranges(range, data));
    all
}

fn range_of(data: &[f32]) -> [f64; 2] {
    let finite = || data.iter().filter(|v| v.is_finite()).map(|&v| f64::from(v));
    [finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max)]
}

/// The same pixels on the usual ranges, and inverted.
fn ranges([low, high]: [f64; 2], data: &[f32]) -> Vec<Other> {
    let span = if high > low { high - low } else { 1.0 };
    let onto = |to: [f64; 2]| -> Vec<f32> {
        let map = |v: &f32| (to[0] + (f64::from(*v) - low) / span * (to[1] - to[0])) as f32;
        data.iter().map(map).collect()
    };
    let mut all: Vec<Other> = Vec::new();
    for to in [[0.0, 1.0], [0.0, 255.0], [-1.0, 1.0]] {
        let name = format!("pixels in [{}, {}]", to[0], to[1]);
        let fix = format!("declare `input = {{ range = [{}, {}] }}`", to[0], to[1]);
        all.push((name, fix, onto(to)));
    }
    let unit = onto([0.0, 1.0]);
    let n = unit.len().max(1) as f64;
    let mean = unit.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let spread = unit.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let std = spread.sqrt().max(1e-6);
    let normal = unit.iter().map(|&v| ((f64::from(v) - mean) / std) as f32).collect();
    let fix = format!(
        "declare `input = {{ range = [0, 1], mean = [{mean:.4}], std = [{std:.4}] }}` with the \
         values of the training code"
    );
    all.push(("pixels normalised by mean and standard deviation".into(), fix, normal));
    let fix = "invert the images (dark on light or light on dark)".to_string();
    all.push(("pixels inverted".into(), fix, onto([high, low])));
    all
}

/// One matrix of columns: other orders, and standardised columns.
fn columns(input: &BoundInput, data: &[f32], asset: &ModelAsset) -> Vec<Other> {
    let [_, k] = input.shape[..] else { return Vec::new() };
    if k < 2 {
        return Vec::new();
    }
    let mut all: Vec<Other> = Vec::new();
    let take = |order: &[usize]| {
        each_row(data, k, |row, out| {
            order.iter().enumerate().for_each(|(to, &from)| out[to] = row[from]);
        })
    };
    let named = &asset.input.columns;
    if named.len() == k {
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&a, &b| named[a].cmp(&named[b]));
        let list: Vec<&str> = order.iter().map(|&i| named[i].as_str()).collect();
        let fix = format!("declare `input = {{ columns = [\"{}\"] }}`", list.join("\", \""));
        all.push(("columns in alphabetical order".into(), fix, take(&order)));
    }
    let shift = |by: usize| -> Vec<usize> { (0..k).map(|i| (i + by) % k).collect() };
    let reversed: Vec<usize> = (0..k).rev().collect();
    let orders = [
        ("columns reversed", reversed),
        ("the last column first", shift(k - 1)),
        ("the first column last", shift(1)),
    ];
    for (name, order) in orders {
        let fix = "list the columns in the order of the training code in `input.columns`";
        all.push((name.into(), fix.into(), take(&order)));
    }
    let fix = "put the scaling of the training code into the model, or scale the columns";
    all.push(("columns standardised".into(), fix.into(), standardised(data, k)));
    all
}

fn standardised(data: &[f32], k: usize) -> Vec<f32> {
    let mut out = data.to_vec();
    for column in 0..k {
        let each = data.iter().skip(column).step_by(k).filter(|v| v.is_finite());
        let values: Vec<f64> = each.map(|&v| f64::from(v)).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let std = if spread > 0.0 { spread.sqrt() } else { 1.0 };
        for value in out.iter_mut().skip(column).step_by(k) {
            *value = ((f64::from(*value) - mean) / std) as f32;
        }
    }
    out
}

fn each_row(data: &[f32], size: usize, f: impl Fn(&[f32], &mut [f32])) -> Vec<f32> {
    let mut out = data.to_vec();
    for (row, out) in data.chunks(size).zip(out.chunks_mut(size)) {
        f(row, out);
    }
    out
}
