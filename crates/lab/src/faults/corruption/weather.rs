//! Weather: snow, frost, fog.
//!
//! Owns their parameters. The published frost lays photographs over the image, which are not ours
//! to hand out: this frost is procedural, of ridges in a random field, and its figures are not
//! comparable with published ones.

use super::field::clouds;
use super::{Corruption, Frame, Strength};
use crate::stream::Stream;

/// Falling snow.
pub struct Snow;
/// Frost on the lens, procedural.
pub struct Frost;
/// Fog.
pub struct Fog;

/// Mean and deviation of the flakes, their size, the cut below which there is none, radius and
/// sigma of their fall, and what is left of the image.
type Flakes = (f64, f64, f64, f64, usize, f64, f64);

impl Corruption for Snow {
    fn id(&self) -> &'static str {
        "snow"
    }
    fn means(&self) -> &'static str {
        "falling snow before a whitened image"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let (mean, deviation, zoom, cut, radius, sigma, left): Flakes = at.pick(
            [
                (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
                (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
            ],
            [
                (0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
                (0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
                (0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
            ],
        );
        let angle = -90.0 + 45.0 * stream.symmetric();
        let mut flakes = Frame::filled(1, image.height, image.width, 0.0);
        flakes.data.iter_mut().for_each(|v| *v = (mean + deviation * stream.normal()) as f32);
        let mut flakes = flakes.zoomed(zoom);
        let cut = cut as f32;
        flakes.data.iter_mut().for_each(|v| *v = if *v < cut { 0.0 } else { v.min(1.0) });
        let mut fallen = flakes.smeared(radius, sigma, angle);
        fallen.round_to_steps();
        let (turned, grey, left) = (fallen.upside_down(), image.grey(), left as f32);
        *image = image.mapped(|channel, row, column| {
            let value = image.at(channel, row, column);
            let whitened = value.max(grey.at(0, row, column) * 1.5 + 0.5);
            let snow = fallen.at(0, row, column) + turned.at(0, row, column);
            left * value + (1.0 - left) * whitened + snow
        });
    }
}

impl Corruption for Frost {
    fn id(&self) -> &'static str {
        "frost"
    }
    fn means(&self) -> &'static str {
        "frost on the lens (procedural; not the published textures)"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let (left, ice) = at.pick(
            [(1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
            [(1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
        );
        let side = side_of(image);
        let (ground, needles) = (clouds(side, 2.0, stream), clouds(side, 1.4, stream));
        let tint: &[f32] = if image.channels == 3 { &[0.88, 0.95, 1.0] } else { &[0.95] };
        *image = image.mapped(|channel, row, column| {
            let place = row * side + column;
            // A ridge where the field crosses its middle: bright veins on a dull ground.
            let ridge = 1.0 - (2.0 * needles[place] - 1.0).abs();
            let crystal = (0.25 + 0.35 * ground[place] + 0.4 * ridge.powi(4)) as f32;
            let tint = tint.get(channel).or(tint.first()).copied().unwrap_or(1.0);
            left * image.at(channel, row, column) + ice * crystal * tint
        });
    }
}

impl Corruption for Fog {
    fn id(&self) -> &'static str {
        "fog"
    }
    fn means(&self) -> &'static str {
        "fog of uneven density"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let (density, decay): (f32, f64) = at.pick(
            [(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)],
            [(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)],
        );
        let side = side_of(image);
        let map = clouds(side, decay, stream);
        let most = image.data.iter().copied().fold(0.0, f32::max);
        *image = image.mapped(|channel, row, column| {
            let foggy = image.at(channel, row, column) + density * map[row * side + column] as f32;
            foggy * most / (most + density)
        });
    }
}

/// Side of a map that covers the image: the next power of two.
fn side_of(image: &Frame) -> usize {
    image.height.max(image.width).next_power_of_two().max(2)
}
