//! What baseline JPEG does to pixels: all that is lost between writing and reading a file.
//!
//! Owns colour conversion, halved colour planes, the discrete cosine transform and its quantisation
//! (ITU-T T.81, tables of annex K, quality scaled as the reference library does). The coding of
//! the quantised numbers loses nothing, so no file is made. Colours are halved in both directions
//! and smoothed when they are doubled again, as that library does by default. Never panics: any
//! size is padded to whole blocks.

use super::Frame;

/// The image after a round trip at `quality` (1 to 100). Three channels are RGB; of any other
/// number each is grey.
pub(super) fn through(image: &mut Frame, quality: u32) {
    let (height, width, pixels) = (image.height, image.width, image.height * image.width);
    let plane = |channel: usize| -> Plane {
        let own = &image.data[channel * pixels..(channel + 1) * pixels];
        let steps = own.iter().map(|v| f64::from((v.clamp(0.0, 1.0) * 255.0).round()));
        Plane { height, width, data: steps.collect() }
    };
    let planes: Vec<Plane> = (0..image.channels).map(plane).collect();
    let done = match <[Plane; 3]>::try_from(planes) {
        Ok(colours) => colour(&colours, quality),
        Err(grey) => grey.iter().map(|p| p.coded(&table(&LUMINANCE, quality))).collect(),
    };
    let values = done.into_iter().flat_map(|p| p.data);
    image.data = values.map(|v| (v.round().clamp(0.0, 255.0) / 255.0) as f32).collect();
}

/// Values from 0 to 255.
#[derive(Clone)]
struct Plane {
    height: usize,
    width: usize,
    data: Vec<f64>,
}

fn colour(planes: &[Plane; 3], quality: u32) -> Vec<Plane> {
    let [red, green, blue] = planes;
    let mix = |weights: [f64; 3], offset: f64| {
        let of = |i: usize| {
            let [r, g, b] = weights;
            let sum = r * red.data[i] + g * green.data[i] + b * blue.data[i] + offset;
            sum.round().clamp(0.0, 255.0)
        };
        Plane { data: (0..red.data.len()).map(of).collect(), ..red.clone() }
    };
    let luma = mix([0.299, 0.587, 0.114], 0.0).coded(&table(&LUMINANCE, quality));
    let chroma = |weights: [f64; 3]| {
        mix(weights, 128.0).halved().coded(&table(&CHROMINANCE, quality)).doubled(red)
    };
    let (cb, cr) = (chroma([-0.168_736, -0.331_264, 0.5]), chroma([0.5, -0.418_688, -0.081_312]));
    let back = |of_cb: f64, of_cr: f64| {
        let at =
            |i: usize| luma.data[i] + of_cb * (cb.data[i] - 128.0) + of_cr * (cr.data[i] - 128.0);
        Plane { data: (0..luma.data.len()).map(at).collect(), ..luma.clone() }
    };
    vec![back(0.0, 1.402), back(-0.344_136, -0.714_136), back(1.772, 0.0)]
}

impl Plane {
    /// A value, with the last row and column going on beyond the border.
    fn at(&self, row: usize, column: usize) -> f64 {
        self.data[row.min(self.height - 1) * self.width + column.min(self.width - 1)]
    }

    /// Transformed, quantised and back, block by block, in whole steps.
    fn coded(&self, table: &[f64; 64]) -> Plane {
        let mut out = self.clone();
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let mut block = [0.0; 64];
                for (i, value) in block.iter_mut().enumerate() {
                    *value = self.at(top + i / 8, left + i % 8) - 128.0;
                }
                let mut numbers = transformed(&block, false);
                for (number, step) in numbers.iter_mut().zip(table) {
                    *number = (*number / step).round() * step;
                }
                for (i, value) in transformed(&numbers, true).into_iter().enumerate() {
                    let (row, column) = (top + i / 8, left + i % 8);
                    if row < self.height && column < self.width {
                        out.data[row * self.width + column] =
                            (value + 128.0).round().clamp(0.0, 255.0);
                    }
                }
            }
        }
        out
    }

    /// Half the rows and columns: means of four, rounded up and down in turns.
    fn halved(&self) -> Plane {
        let (height, width) = (self.height.div_ceil(2), self.width.div_ceil(2));
        let of = |i: usize| {
            let (row, column) = (2 * (i / width), 2 * (i % width));
            let sum = self.at(row, column)
                + self.at(row, column + 1)
                + self.at(row + 1, column)
                + self.at(row + 1, column + 1);
            let turn = if (i % width).is_multiple_of(2) { 1.0 } else { 2.0 };
            ((sum + turn) / 4.0).floor()
        };
        Plane { height, width, data: (0..height * width).map(of).collect() }
    }

    /// Back to the size of `like`: three parts of the near value, one of the next, both ways.
    fn doubled(&self, like: &Plane) -> Plane {
        let near = |at: usize| {
            let other = if at.is_multiple_of(2) { (at / 2).saturating_sub(1) } else { at / 2 + 1 };
            (at / 2, other)
        };
        let of = |i: usize| {
            let ((row, next_row), (column, next_column)) =
                (near(i / like.width), near(i % like.width));
            let line = |c: usize| 3.0 * self.at(row, c) + self.at(next_row, c);
            let turn = if (i % like.width).is_multiple_of(2) { 8.0 } else { 7.0 };
            ((3.0 * line(column) + line(next_column) + turn) / 16.0).floor()
        };
        Plane { data: (0..like.data.len()).map(of).collect(), ..like.clone() }
    }
}

/// The two-dimensional cosine transform of 8 by 8 values, or its inverse.
fn transformed(block: &[f64; 64], inverse: bool) -> [f64; 64] {
    let scale = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let wave = |x: usize, k: usize| {
        let angle = (2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0;
        0.5 * scale(k) * angle.cos()
    };
    let mut waves = [0.0; 64];
    for (i, value) in waves.iter_mut().enumerate() {
        *value = if inverse { wave(i / 8, i % 8) } else { wave(i % 8, i / 8) };
    }
    let mut half = [0.0; 64];
    let mut done = [0.0; 64];
    for (i, value) in half.iter_mut().enumerate() {
        *value = (0..8).map(|x| waves[(i % 8) * 8 + x] * block[(i / 8) * 8 + x]).sum();
    }
    for (i, value) in done.iter_mut().enumerate() {
        *value = (0..8).map(|y| waves[(i / 8) * 8 + y] * half[y * 8 + i % 8]).sum();
    }
    done
}

/// A table of annex K at a quality, baseline.
fn table(base: &[u16; 64], quality: u32) -> [f64; 64] {
    let quality = quality.clamp(1, 100);
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    base.map(|step| f64::from(((u32::from(step) * scale + 50) / 100).clamp(1, 255)))
}

/// Annex K.1, row by row.
const LUMINANCE: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
/// Annex K.2, row by row.
const CHROMINANCE: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_undone_by_its_inverse() {
        let mut block = [0.0; 64];
        for (i, value) in block.iter_mut().enumerate() {
            *value = ((i * 37) % 101) as f64 - 50.0;
        }
        let back = transformed(&transformed(&block, false), true);
        assert!(back.iter().zip(&block).all(|(a, b)| (a - b).abs() < 1e-9));
        let flat = transformed(&[3.0; 64], false);
        assert!((flat[0] - 24.0).abs() < 1e-9 && flat[1..].iter().all(|v| v.abs() < 1e-9));
    }

    #[test]
    fn any_size_comes_back_as_it_was() {
        for (channels, height, width) in [(1, 1, 1), (3, 7, 9), (3, 17, 16), (2, 28, 28)] {
            let mut image = Frame::filled(channels, height, width, 0.4);
            through(&mut image, 90);
            assert!(image.data.iter().all(|v| (v - 0.4).abs() < 0.02), "{channels}x{height}");
        }
    }
}
