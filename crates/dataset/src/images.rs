//! Images with labels, from arrays to channels-first floats in the unit of the file.
//!
//! Owns axis order and label mapping. Must never rescale: [`crate::bind`] does, as declared.

use crate::table::ClassCount;

/// Images of one shape with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Images.
    pub n: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Pixels in the unit of the file, `(n, channels, height, width)`.
    pub data: Vec<f32>,
    /// Class index per image, in the order of `classes` of the data set.
    pub labels: Vec<usize>,
    /// Images per class; a class without images is kept with 0.
    pub classes: Vec<ClassCount>,
    /// Whether the file stores whole numbers.
    pub whole: bool,
    /// Pixels outside the declared bounds.
    pub violations: usize,
}
