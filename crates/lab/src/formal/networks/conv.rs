//! Convolution as a linear map: patches times weights, and back.
//!
//! Owns the geometry of a window in two dimensions (one dimension is a height of one), groups,
//! strides, padding with noughts and dilation. Layout is channels, height, width.

use ndarray::{ArrayView2, ArrayViewMut2, Axis, linalg::general_mat_mul, s};

use super::net::Matrix;

/// A convolution.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    /// `(out channels, in channels of a group * kernel height * kernel width)`
    pub weight: Matrix,
    pub groups: usize,
    pub channels: usize,
    /// Height and width of the argument.
    pub size: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Padding at the top and left.
    pub pad: [usize; 2],
    pub dilation: [usize; 2],
    /// Height and width of the result.
    pub out: [usize; 2],
}

impl Conv {
    pub(crate) fn inputs(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    pub(crate) fn magnitude(&self) -> Conv {
        Conv { weight: self.weight.mapv(f64::abs), ..self.clone() }
    }

    fn positions(&self) -> usize {
        self.out[0] * self.out[1]
    }

    fn outputs(&self) -> usize {
        self.weight.nrows() * self.positions()
    }

    pub(crate) fn forward(&self, x: &Matrix) -> Matrix {
        let mut y = Matrix::zeros((x.nrows(), self.outputs()));
        let (rows, positions) = (self.weight.nrows() / self.groups, self.positions());
        let mut patches = Matrix::zeros((self.weight.ncols(), positions));
        for (x, mut y) in x.axis_iter(Axis(0)).zip(y.axis_iter_mut(Axis(0))) {
            let (Some(x), Some(y)) = (x.as_slice(), y.as_slice_mut()) else { continue };
            for (group, y) in y.chunks_mut(rows * positions).enumerate() {
                self.gather(x, group, &mut patches);
                let weight = self.weight.slice(s![group * rows..(group + 1) * rows, ..]);
                if let Ok(mut y) = ArrayViewMut2::from_shape((rows, positions), y) {
                    general_mat_mul(1.0, &weight, &patches, 0.0, &mut y);
                }
            }
        }
        y
    }

    pub(crate) fn backward(&self, a: &Matrix) -> Matrix {
        let mut b = Matrix::zeros((a.nrows(), self.inputs()));
        let (rows, positions) = (self.weight.nrows() / self.groups, self.positions());
        let mut patches = Matrix::zeros((self.weight.ncols(), positions));
        for (a, mut b) in a.axis_iter(Axis(0)).zip(b.axis_iter_mut(Axis(0))) {
            let (Some(a), Some(b)) = (a.as_slice(), b.as_slice_mut()) else { continue };
            for (group, a) in a.chunks(rows * positions).enumerate() {
                let weight = self.weight.slice(s![group * rows..(group + 1) * rows, ..]);
                if let Ok(a) = ArrayView2::from_shape((rows, positions), a) {
                    general_mat_mul(1.0, &weight.t(), &a, 0.0, &mut patches);
                    self.scatter(&patches, group, b);
                }
            }
        }
        b
    }

    /// Fills patches `(kernel place, position)` from the channels of a group.
    fn gather(&self, x: &[f64], group: usize, patches: &mut Matrix) {
        for (row, mut patch) in patches.axis_iter_mut(Axis(0)).enumerate() {
            let Some(patch) = patch.as_slice_mut() else { continue };
            patch.fill(0.0);
            self.walk(row, group, |position, place| patch[position] = x[place]);
        }
    }

    /// Adds patches back to where they came from.
    fn scatter(&self, patches: &Matrix, group: usize, b: &mut [f64]) {
        for (row, patch) in patches.axis_iter(Axis(0)).enumerate() {
            let Some(patch) = patch.as_slice() else { continue };
            self.walk(row, group, |position, place| b[place] += patch[position]);
        }
    }

    /// Every `(position, place in the argument)` of a row of patches that is not padding.
    fn walk(&self, row: usize, group: usize, mut visit: impl FnMut(usize, usize)) {
        let area = self.kernel[0] * self.kernel[1];
        let channel = group * (self.channels / self.groups) + row / area;
        let offset = [row % area / self.kernel[1], row % self.kernel[1]];
        for i in 0..self.out[0] {
            let Some(y) = self.source(0, i, offset[0]) else { continue };
            let base = (channel * self.size[0] + y) * self.size[1];
            for j in 0..self.out[1] {
                if let Some(x) = self.source(1, j, offset[1]) {
                    visit(i * self.out[1] + j, base + x);
                }
            }
        }
    }

    fn source(&self, axis: usize, out: usize, offset: usize) -> Option<usize> {
        let at = out * self.stride[axis] + offset * self.dilation[axis];
        at.checked_sub(self.pad[axis]).filter(|&at| at < self.size[axis])
    }
}
