//! Digital corruptions: brightness, contrast, elastic shifts, large pixels, JPEG.
//!
//! Owns their parameters. What JPEG loses is in [`jpeg`].

use super::frame::Border;
use super::{Corruption, Frame, Parameters, Strength, jpeg};
use crate::stream::Stream;

/// More light.
pub struct Brightness;
/// Less contrast.
pub struct Contrast;
/// Stretched and shifted by place.
pub struct ElasticTransform;
/// Few large pixels.
pub struct Pixelate;
/// Compressed as JPEG.
pub struct JpegCompression;

impl Corruption for Brightness {
    fn id(&self) -> &'static str {
        "brightness"
    }
    fn means(&self) -> &'static str {
        "more light"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let more: f32 = at.pick([0.05, 0.1, 0.15, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5]);
        if image.channels != 3 {
            image.data.iter_mut().for_each(|v| *v += more);
            return;
        }
        // The value of HSV is the greatest channel; hue and saturation stay.
        let before = image.clone();
        *image = before.mapped(|channel, row, column| {
            let value = (0..3).map(|c| before.at(c, row, column)).fold(0.0, f32::max);
            let lit = (value + more).min(1.0);
            if value > 0.0 { before.at(channel, row, column) * lit / value } else { lit }
        });
    }
}

impl Corruption for Contrast {
    fn id(&self) -> &'static str {
        "contrast"
    }
    fn means(&self) -> &'static str {
        "less contrast, around the mean of each channel"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let left: f64 = at.pick([0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05]);
        let pixels = image.height * image.width;
        for channel in image.data.chunks_mut(pixels.max(1)) {
            let mean = channel.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels as f64;
            channel.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * left + mean) as f32);
        }
    }
}

impl Corruption for ElasticTransform {
    fn id(&self) -> &'static str {
        "elastic_transform"
    }
    fn means(&self) -> &'static str {
        "parts of the image shifted and stretched"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        match at.table {
            Parameters::Small => elastic_small(image, at, stream),
            Parameters::Large => elastic_large(image, at, stream),
        }
    }
}

/// A random affine map, then a smooth field of shifts (CIFAR-10-C), in shares of the side.
fn elastic_small(image: &mut Frame, at: Strength, stream: &mut Stream) {
    let none = [(0.0, 0.0, 0.0); 5];
    let (alpha, sigma, corner) = at.pick(
        [
            (0.0, 0.0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ],
        none,
    );
    let side = image.height.min(image.width) as f64;
    let (middle_y, middle_x) = ((image.height / 2) as f64, (image.width / 2) as f64);
    let square = (image.height.min(image.width) / 3) as f64;
    let before = [
        [middle_x + square, middle_y + square],
        [middle_x + square, middle_y - square],
        [middle_x - square, middle_y - square],
    ];
    let mut after = before;
    for place in after.iter_mut().flatten() {
        *place += corner * side * stream.symmetric();
    }
    if let Some(map) = affine(&after, &before) {
        let straight = image.clone();
        *image = straight.mapped(|channel, row, column| {
            let (x, y) = (column as f64, row as f64);
            let from_x = map[0][0] * x + map[0][1] * y + map[0][2];
            let from_y = map[1][0] * x + map[1][1] * y + map[1][2];
            straight.between(channel, from_y, from_x, Border::Mirror101)
        });
    }
    shifted(image, 1.0, sigma * side, alpha * side, stream);
}

/// A smooth field of shifts alone, as the package `imagecorruptions` sets it.
fn elastic_large(image: &mut Frame, at: Strength, stream: &mut Stream) {
    let none = [0.0; 5];
    let alpha = at.pick(none, [12.5, 16.25, 21.25, 25.0, 30.0]);
    let most = image.height as f64 * 0.005;
    let sigma = image.height.max(image.width) as f64 * 0.01;
    shifted(image, most, sigma, alpha, stream);
}

/// Shifts drawn uniformly in `[-most, most]`, smoothed by `sigma`, times `alpha`.
fn shifted(image: &mut Frame, most: f64, sigma: f64, alpha: f64, stream: &mut Stream) {
    let field = |stream: &mut Stream| {
        let mut frame = Frame::filled(1, image.height, image.width, 0.0);
        frame.data.iter_mut().for_each(|v| *v = (most * stream.symmetric()) as f32);
        frame.blurred(sigma, 3.0, Border::Mirror)
    };
    let (dx, dy) = (field(stream), field(stream));
    if alpha == 0.0 {
        return;
    }
    let straight = image.clone();
    *image = straight.mapped(|channel, row, column| {
        let y = row as f64 + alpha * f64::from(dy.at(0, row, column));
        let x = column as f64 + alpha * f64::from(dx.at(0, row, column));
        straight.between(channel, y, x, Border::Mirror)
    });
}

/// The affine map that takes three points to three others; `None` when they lie on a line.
fn affine(from: &[[f64; 2]; 3], to: &[[f64; 2]; 3]) -> Option<[[f64; 3]; 2]> {
    let [a, b, c] = from;
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    if area.abs() < 1e-9 {
        return None;
    }
    let solve = |axis: usize| {
        let (u, v) = (to[1][axis] - to[0][axis], to[2][axis] - to[0][axis]);
        let p = (u * (c[1] - a[1]) - v * (b[1] - a[1])) / area;
        let q = (v * (b[0] - a[0]) - u * (c[0] - a[0])) / area;
        [p, q, to[0][axis] - p * a[0] - q * a[1]]
    };
    Some([solve(0), solve(1)])
}

impl Corruption for Pixelate {
    fn id(&self) -> &'static str {
        "pixelate"
    }
    fn means(&self) -> &'static str {
        "few large pixels"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let share: f64 = at.pick([0.95, 0.9, 0.85, 0.75, 0.65], [0.6, 0.5, 0.4, 0.3, 0.25]);
        let few = |length: usize| ((length as f64 * share) as usize).max(1);
        let (rows, columns) = (few(image.height), few(image.width));
        let mut small = boxed(image, rows, columns);
        small.round_to_steps();
        *image = boxed(&small, image.height, image.width);
    }
}

/// Resized by the box filter: every source pixel whose centre lies under the target one.
fn boxed(image: &Frame, rows: usize, columns: usize) -> Frame {
    let (down, along) = (boxes(image.height, rows), boxes(image.width, columns));
    Frame::filled(image.channels, rows, columns, 0.0).mapped(|channel, row, column| {
        let (mut sum, mut count) = (0.0_f64, 0.0);
        for y in down[row].clone() {
            for x in along[column].clone() {
                sum += f64::from(image.at(channel, y, x));
                count += 1.0;
            }
        }
        (sum / count) as f32
    })
}

/// Per target pixel the source pixels under it, at least one.
fn boxes(source: usize, target: usize) -> Vec<std::ops::Range<usize>> {
    let scale = source as f64 / target as f64;
    let reach = 0.5 * scale.max(1.0);
    let of = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        let first = ((centre - reach + 0.5).max(0.0) as usize).min(source - 1);
        let end = ((centre + reach + 0.5) as usize).min(source).max(first + 1);
        // The filter is open at its left end and closed at its right one.
        let under = |x: usize| {
            let off = (x as f64 - centre + 0.5) / scale.max(1.0);
            off > -0.5 && off <= 0.5
        };
        let held: Vec<usize> = (first..end).filter(|&x| under(x)).collect();
        match (held.first(), held.last()) {
            (Some(&first), Some(&last)) => first..last + 1,
            _ => first..first + 1,
        }
    };
    (0..target).map(of).collect()
}

impl Corruption for JpegCompression {
    fn id(&self) -> &'static str {
        "jpeg_compression"
    }
    fn means(&self) -> &'static str {
        "compressed as JPEG and read again"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let quality = at.pick([80, 65, 58, 50, 40], [25, 18, 15, 10, 7]);
        jpeg::through(image, quality);
    }
}
