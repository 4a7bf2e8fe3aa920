//! Blur: out of focus, frosted glass, motion, zoom.
//!
//! Owns their parameters. Motion is the half-Gaussian line of the Python package
//! `imagecorruptions` for both sets of parameters; the published files used another library.

use super::frame::Border;
use super::{Corruption, Frame, Strength};
use crate::stream::Stream;

/// A lens out of focus.
pub struct DefocusBlur;
/// Seen through frosted glass.
pub struct GlassBlur;
/// A camera in motion.
pub struct MotionBlur;
/// A camera that moves towards its object.
pub struct ZoomBlur;

impl Corruption for DefocusBlur {
    fn id(&self) -> &'static str {
        "defocus_blur"
    }
    fn means(&self) -> &'static str {
        "a lens out of focus"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let (radius, soft) = at.pick(
            [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)],
            [(3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)],
        );
        *image = image.filtered(&disk(radius, soft), Border::Mirror101);
    }
}

/// A disk of ones on a grid of 17 (or 21) pixels, softened by a small Gaussian.
fn disk(radius: f64, soft: f64) -> Vec<f64> {
    let (reach, softening) = if radius <= 8.0 { (8_isize, 1_isize) } else { (radius as isize, 2) };
    let side = 2 * reach + 1;
    let inside = |at: isize| {
        let (y, x) = ((at / side - reach) as f64, (at % side - reach) as f64);
        f64::from(u8::from(y * y + x * x <= radius * radius))
    };
    let ones: Vec<f64> = (0..side * side).map(inside).collect();
    let total: f64 = ones.iter().sum();
    let frame = Frame {
        channels: 1,
        height: side as usize,
        width: side as usize,
        data: ones.iter().map(|v| (v / total) as f32).collect(),
    };
    let weight = |d: isize| (-0.5 * (d as f64 / soft).powi(2)).exp();
    let sum: f64 = (-softening..=softening).map(weight).sum();
    let line: Vec<f64> = (-softening..=softening).map(|d| weight(d) / sum).collect();
    let square: Vec<f64> = line.iter().flat_map(|a| line.iter().map(move |b| a * b)).collect();
    frame.filtered(&square, Border::Mirror101).data.iter().map(|&v| f64::from(v)).collect()
}

impl Corruption for GlassBlur {
    fn id(&self) -> &'static str {
        "glass_blur"
    }
    fn means(&self) -> &'static str {
        "pixels changed places with near ones, as behind frosted glass"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let (sigma, reach, rounds) = at.pick(
            [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
            [(0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
        );
        let mut glass = image.blurred(sigma, TRUNCATE, Border::Nearest);
        for _ in 0..rounds {
            shuffle(&mut glass, reach, stream);
        }
        *image = glass.blurred(sigma, TRUNCATE, Border::Nearest);
    }
}

/// Every pixel changes places with one at most `reach` away, from the last to the first.
fn shuffle(image: &mut Frame, reach: usize, stream: &mut Stream) {
    let step = |stream: &mut Stream| stream.below(2 * reach) as isize - reach as isize;
    for row in (reach + 1..=image.height.saturating_sub(reach)).rev() {
        for column in (reach + 1..=image.width.saturating_sub(reach)).rev() {
            let (dx, dy) = (step(stream), step(stream));
            let (y, x) = (row as isize + dy, column as isize + dx);
            let (y, x) = (y as usize, x as usize);
            if row >= image.height || column >= image.width {
                continue;
            }
            for channel in 0..image.channels {
                let (here, there) = (image.at(channel, row, column), image.at(channel, y, x));
                image.set(channel, row, column, there);
                image.set(channel, y, x, here);
            }
        }
    }
}

impl Corruption for MotionBlur {
    fn id(&self) -> &'static str {
        "motion_blur"
    }
    fn means(&self) -> &'static str {
        "a camera in motion, up to 45 degrees off the horizontal"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let (radius, sigma) = at.pick(
            [(6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)],
            [(10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)],
        );
        *image = image.smeared(radius, sigma, 45.0 * stream.symmetric());
    }
}

impl Corruption for ZoomBlur {
    fn id(&self) -> &'static str {
        "zoom_blur"
    }
    fn means(&self) -> &'static str {
        "a camera that moves towards its object"
    }
    fn apply(&self, image: &mut Frame, at: Strength, _stream: &mut Stream) {
        let (count, step) = at.pick(
            [(7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)],
            [(12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)],
        );
        let mut sums = image.data.clone();
        for i in 0..count {
            let near = image.zoomed(1.0 + step * f64::from(i));
            sums.iter_mut().zip(near.data).for_each(|(sum, v)| *sum += v);
        }
        let parts = (count + 1) as f32;
        image.data = sums.into_iter().map(|v| v / parts).collect();
    }
}

/// Standard deviations after which a Gaussian is cut off.
const TRUNCATE: f64 = 4.0;
