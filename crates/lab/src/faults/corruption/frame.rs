//! An image while it is corrupted: channels first, values in `[0, 1]`.
//!
//! Owns filters, sampling and the rules at borders. Must never draw.

/// An image of one or more channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values, `(channels, height, width)`.
    pub data: Vec<f32>,
}

/// What lies beyond the border.
#[derive(Clone, Copy, Debug)]
pub(super) enum Border {
    /// The last pixel goes on.
    Nearest,
    /// Mirrored, the last pixel twice.
    Mirror,
    /// Mirrored at the centre of the last pixel.
    Mirror101,
}

impl Frame {
    /// An image of one value.
    pub fn filled(channels: usize, height: usize, width: usize, value: f32) -> Self {
        Self { channels, height, width, data: vec![value; channels * height * width] }
    }

    /// Value of a pixel.
    pub fn at(&self, channel: usize, row: usize, column: usize) -> f32 {
        self.data[(channel * self.height + row) * self.width + column]
    }

    /// Sets a pixel.
    pub fn set(&mut self, channel: usize, row: usize, column: usize, value: f32) {
        self.data[(channel * self.height + row) * self.width + column] = value;
    }

    /// Values into `[0, 1]`.
    pub fn clip(&mut self) {
        self.data.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    }

    /// To whole steps of 255, as an 8-bit file holds them.
    pub(super) fn round_to_steps(&mut self) {
        self.data.iter_mut().for_each(|v| *v = (v.clamp(0.0, 1.0) * 255.0).round() / 255.0);
    }

    /// The same function of place for every channel.
    pub(super) fn mapped(&self, value: impl Fn(usize, usize, usize) -> f32) -> Self {
        let mut out = self.clone();
        for channel in 0..self.channels {
            for row in 0..self.height {
                for column in 0..self.width {
                    out.set(channel, row, column, value(channel, row, column));
                }
            }
        }
        out
    }

    /// A pixel that may lie outside.
    pub(super) fn beyond(&self, channel: usize, row: isize, column: isize, border: Border) -> f32 {
        let row = inside(row, self.height, border);
        let column = inside(column, self.width, border);
        self.at(channel, row, column)
    }

    /// Bilinear between pixels, as of order 1.
    pub(super) fn between(&self, channel: usize, row: f64, column: f64, border: Border) -> f32 {
        let (top, left) = (row.floor(), column.floor());
        let (down, right) = (row - top, column - left);
        let (top, left) = (top as isize, left as isize);
        let pixel = |r: isize, c: isize| f64::from(self.beyond(channel, r, c, border));
        let upper = pixel(top, left) * (1.0 - right) + pixel(top, left + 1) * right;
        let lower = pixel(top + 1, left) * (1.0 - right) + pixel(top + 1, left + 1) * right;
        (upper * (1.0 - down) + lower * down) as f32
    }

    /// Correlation with a square kernel of odd side.
    pub(super) fn filtered(&self, kernel: &[f64], border: Border) -> Self {
        let side = (kernel.len() as f64).sqrt() as usize;
        let reach = (side / 2) as isize;
        self.mapped(|channel, row, column| {
            let mut sum = 0.0;
            for (at, weight) in kernel.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                let (dy, dx) = ((at / side) as isize - reach, (at % side) as isize - reach);
                let (y, x) = (row as isize + dy, column as isize + dx);
                sum += weight * f64::from(self.beyond(channel, y, x, border));
            }
            sum as f32
        })
    }

    /// Gaussian filter, separable, cut off at `truncate` standard deviations.
    pub(super) fn blurred(&self, sigma: f64, truncate: f64, border: Border) -> Self {
        let reach = (truncate * sigma + 0.5) as isize;
        if reach == 0 {
            return self.clone();
        }
        let weight = |d: isize| (-0.5 * (d as f64 / sigma).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(weight).sum();
        let weights: Vec<f64> = (-reach..=reach).map(|d| weight(d) / total).collect();
        let along = |image: &Self, down: bool| {
            image.mapped(|channel, row, column| {
                let step = |(at, weight): (usize, &f64)| {
                    let off = at as isize - reach;
                    let (dy, dx) = if down { (off, 0) } else { (0, off) };
                    let (y, x) = (row as isize + dy, column as isize + dx);
                    weight * f64::from(image.beyond(channel, y, x, border))
                };
                weights.iter().enumerate().map(step).sum::<f64>() as f32
            })
        };
        along(&along(self, true), false)
    }

    /// Enlarged from its centre by `factor >= 1`, cut back to its size.
    ///
    /// Order 1 on a grid whose ends stay ends, as in `scipy.ndimage.zoom`.
    pub(super) fn zoomed(&self, factor: f64) -> Self {
        let axis = |length: usize| {
            let kept = ((length as f64 / factor).ceil() as usize).clamp(1, length);
            let grown = ((kept as f64 * factor).round_ties_even() as usize).max(length);
            let scale = if grown > 1 { (kept - 1) as f64 / (grown - 1) as f64 } else { 0.0 };
            ((length - kept) / 2, (grown - length) / 2, scale, kept)
        };
        let ((top, cut_y, scale_y, rows), (left, cut_x, scale_x, columns)) =
            (axis(self.height), axis(self.width));
        self.mapped(|channel, row, column| {
            let y = ((row + cut_y) as f64 * scale_y).min((rows - 1) as f64);
            let x = ((column + cut_x) as f64 * scale_x).min((columns - 1) as f64);
            self.between(channel, top as f64 + y, left as f64 + x, Border::Nearest)
        })
    }

    /// Smeared along a line: weights fall as half a Gaussian from the pixel on.
    ///
    /// `angle` in degrees; the border pixel goes on where the image ends.
    pub(super) fn smeared(&self, radius: usize, sigma: f64, angle: f64) -> Self {
        let width = 2 * radius + 1;
        let weight = |i: usize| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp();
        let total: f64 = (0..width).map(weight).sum();
        let (sine, cosine) = (angle.to_radians().sin(), angle.to_radians().cos());
        let mut sums = vec![0.0_f64; self.data.len()];
        for i in 0..width {
            let step = |part: f64| -((i as f64 * part - 0.5).ceil()) as isize;
            let (dy, dx) = (step(sine), step(cosine));
            if dy.unsigned_abs() >= self.height || dx.unsigned_abs() >= self.width {
                break;
            }
            let weight = weight(i) / total;
            let mut at = 0;
            for channel in 0..self.channels {
                for row in 0..self.height as isize {
                    for column in 0..self.width as isize {
                        let pixel = self.beyond(channel, row - dy, column - dx, Border::Nearest);
                        sums[at] += weight * f64::from(pixel);
                        at += 1;
                    }
                }
            }
        }
        Self { data: sums.into_iter().map(|v| v as f32).collect(), ..self.clone() }
    }

    /// Turned by half a turn.
    pub(super) fn upside_down(&self) -> Self {
        let (last_row, last_column) = (self.height - 1, self.width - 1);
        self.mapped(|c, row, column| self.at(c, last_row - row, last_column - column))
    }

    /// Brightness by place: luma of three channels (BT.601), the mean of any other number.
    pub(super) fn grey(&self) -> Self {
        let weights = match self.channels {
            3 => vec![0.299, 0.587, 0.114],
            n => vec![1.0 / n as f32; n],
        };
        let one = Self::filled(1, self.height, self.width, 0.0);
        one.mapped(|_, row, column| {
            weights.iter().enumerate().map(|(c, w)| w * self.at(c, row, column)).sum()
        })
    }
}

fn inside(at: isize, length: usize, border: Border) -> usize {
    let n = length as isize;
    if n <= 1 {
        return 0;
    }
    let at = match border {
        Border::Nearest => at.clamp(0, n - 1),
        Border::Mirror => {
            let turned = at.rem_euclid(2 * n);
            if turned < n { turned } else { 2 * n - 1 - turned }
        }
        Border::Mirror101 => {
            let turned = at.rem_euclid(2 * n - 2);
            if turned < n { turned } else { 2 * n - 2 - turned }
        }
    };
    at as usize
}
