//! Images with labels, from arrays to channels-first floats in the unit of the file.
//!
//! Owns axis order and label mapping. Must never rescale: [`crate::bind`] does, as declared.
//! Called by `proofmark`.

use proofmark_formats::gzip::INFLATED_BYTES_MAX;
use proofmark_formats::npy::{NpyArray, NpyData, NpyError};
use proofmark_formats::npz::{Npz, NpzError};
use proofmark_formats::{idx, npy};
use proofmark_schema::system::{DataAsset, Feature};

use crate::table::{ClassCount, DomainViolation, count_classes};

/// Images of one shape with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Images.
    pub n: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Pixels in the unit of the file, `(n, channels, height, width)`; all finite.
    pub data: Vec<f32>,
    /// Class index per image, in the order of `classes` of the data set.
    pub labels: Vec<usize>,
    /// Regression: the label of each image, finite; empty for classes. `labels` are then all 0.
    pub targets: Vec<f64>,
    /// Images per class; a class without images is kept with 0.
    pub classes: Vec<ClassCount>,
    /// Whether the file stores whole numbers.
    pub whole: bool,
    /// Images with pixels outside the declared bounds; lines of examples are image numbers.
    pub violations: Vec<DomainViolation>,
}

/// Why images could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ImagesError {
    /// Not a readable NPY file.
    #[error("the {which} file: {source}")]
    Npy {
        /// Images or labels.
        which: &'static str,
        /// Reason.
        source: NpyError,
    },
    /// Not a readable NPZ file.
    #[error("the {which} file: {source}")]
    Npz {
        /// Images or labels.
        which: &'static str,
        /// Reason.
        source: NpzError,
    },
    /// Not a readable IDX file.
    #[error("the {which} file: {source}")]
    Idx {
        /// Images or labels.
        which: &'static str,
        /// Reason.
        source: idx::IdxError,
    },
    /// Which array of an archive is meant is not clear.
    #[error("the {which} file holds the arrays {held}; name one of them `{wanted}`")]
    Member {
        /// Images or labels.
        which: &'static str,
        /// Arrays of the file.
        held: String,
        /// A name that is found.
        wanted: &'static str,
    },
    /// The feature declares no shape: it is no image.
    #[error("feature `{feature}` declares no `shape`, so it is no image")]
    NoShape {
        /// Feature.
        feature: String,
    },
    /// An array of another shape.
    #[error(
        "the images have shape {found}, `shape = [{}, {}, {}]` gives (n, {}, {}, {}) or \
         (n, {}, {}, {}); correct `shape`",
        .shape[0], .shape[1], .shape[2], .shape[0], .shape[1], .shape[2], .shape[1], .shape[2],
        .shape[0]
    )]
    Shape {
        /// Shape of the file.
        found: String,
        /// Declared shape.
        shape: [usize; 3],
    },
    /// An array that holds no images.
    #[error(
        "the images have {found} dimensions; (n, h, w), (n, c, h, w), (n, h, w, c) or, for \
         vectors, (n, k) are read"
    )]
    Rank {
        /// Dimensions.
        found: usize,
    },
    /// No image.
    #[error("the images file holds no image")]
    Empty,
    /// Labels that are no list.
    #[error("the labels have shape {found}, a list of one label per image is needed")]
    LabelShape {
        /// Shape of the file.
        found: String,
    },
    /// Counts differ.
    #[error("there are {images} images but {labels} labels; do both files belong together?")]
    Count {
        /// Images.
        images: usize,
        /// Labels.
        labels: usize,
    },
    /// A label that no class has.
    #[error("image {row}: label `{text}` is no class; known: {known}")]
    Label {
        /// Image, from 0.
        row: usize,
        /// Label.
        text: String,
        /// Known values, with their classes.
        known: String,
    },
    /// A label of a regression that is no number.
    #[error("row {row}: the label `{text}` is not a finite number, as a regression needs it")]
    Target {
        /// Row, from 0.
        row: usize,
        /// Label.
        text: String,
    },
    /// A pixel that is no number.
    #[error("image {row} holds a pixel that is not finite")]
    NotFinite {
        /// Image, from 0.
        row: usize,
    },
}

impl Images {
    /// Reads images and labels, each NPY, NPZ or IDX (gzip allowed for IDX) by content.
    ///
    /// Arrays are `(n, h, w)` for one channel, `(n, c, h, w)` or `(n, h, w, c)`, channels first
    /// where both fit, or `(n, c * h * w)` with channels first.
    ///
    /// # Errors
    /// See [`ImagesError`].
    pub fn read(
        images: &[u8],
        labels: &[u8],
        asset: &DataAsset,
        feature: &Feature,
    ) -> Result<Self, ImagesError> {
        let no_shape = || ImagesError::NoShape { feature: feature.name.clone() };
        let shape = feature.shape.ok_or_else(no_shape)?;
        let array = load(images, "images", &IMAGE_NAMES)?;
        let order = order_of(array.shape(), shape)?;
        let n = array.shape().first().copied().unwrap_or_default();
        if n == 0 {
            return Err(ImagesError::Empty);
        }
        let texts = label_texts(&load(labels, "labels", &LABEL_NAMES)?)?;
        if texts.len() != n {
            return Err(ImagesError::Count { images: n, labels: texts.len() });
        }
        let n = asset.limit.map_or(n, |limit| n.min(limit));
        let whole = is_whole(array.data());
        let kind = |source| ImagesError::Npy { which: "images", source };
        let mut data = array.data().to_f32().map_err(kind)?;
        drop(array);
        let size = shape.iter().product::<usize>().max(1);
        data.truncate(n * size);
        if let Some(at) = data.iter().position(|v| !v.is_finite()) {
            return Err(ImagesError::NotFinite { row: at / size });
        }
        if order == Order::ChannelsLast {
            data = channels_first(&data, shape);
        }
        let (labels, targets) = read_labels(&texts, n, asset)?;
        let violations = outside(&data, size, feature).into_iter().collect();
        let classes = count_classes(&asset.classes, &labels);
        Ok(Self { n, shape, data, labels, targets, classes, whole, violations })
    }

    /// Pixels of one image, `(channels, height, width)`; empty past the end.
    pub fn image(&self, row: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        let start = row.saturating_mul(size);
        self.data.get(start..start.saturating_add(size)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    ChannelsFirst,
    ChannelsLast,
}

pub(crate) fn load(
    bytes: &[u8],
    which: &'static str,
    names: &[&'static str],
) -> Result<NpyArray, ImagesError> {
    if bytes.starts_with(b"\x93NUMPY") {
        return npy::read(bytes).map_err(|source| ImagesError::Npy { which, source });
    }
    if !bytes.starts_with(b"PK") {
        let read = idx::read(bytes, INFLATED_BYTES_MAX);
        return read.map_err(|source| ImagesError::Idx { which, source });
    }
    let npz = |source| ImagesError::Npz { which, source };
    let archive = Npz::open(bytes).map_err(npz)?;
    let held: Vec<&str> = archive.names().collect();
    let known = names.iter().copied().find(|n| held.contains(n));
    let only = if held.len() == 1 { held.first().copied() } else { None };
    let Some(name) = known.or(only) else {
        let wanted = names.first().copied().unwrap_or_default();
        return Err(ImagesError::Member { which, held: held.join(", "), wanted });
    };
    archive.array(name).map_err(npz)
}

fn order_of(found: &[usize], shape: [usize; 3]) -> Result<Order, ImagesError> {
    let [c, h, w] = shape;
    match found {
        [_, fh, fw] if c == 1 && (*fh, *fw) == (h, w) => Ok(Order::ChannelsFirst),
        [_, k] if *k == c * h * w => Ok(Order::ChannelsFirst),
        [_, fc, fh, fw] if (*fc, *fh, *fw) == (c, h, w) => Ok(Order::ChannelsFirst),
        [_, fh, fw, fc] if (*fc, *fh, *fw) == (c, h, w) => Ok(Order::ChannelsLast),
        _ => Err(ImagesError::Shape { found: tuple(found), shape }),
    }
}

fn channels_first(data: &[f32], [c, h, w]: [usize; 3]) -> Vec<f32> {
    let plane = h * w;
    let mut out = Vec::with_capacity(data.len());
    for image in data.chunks_exact((c * plane).max(1)) {
        for channel in 0..c {
            out.extend(image.iter().skip(channel).step_by(c.max(1)));
        }
    }
    out
}

pub(crate) fn label_texts(array: &NpyArray) -> Result<Vec<String>, ImagesError> {
    if !matches!(array.shape(), [_] | [_, 1]) {
        return Err(ImagesError::LabelShape { found: tuple(array.shape()) });
    }
    Ok(match array.data() {
        NpyData::Bool(list) => list.iter().map(|b| u8::from(*b).to_string()).collect(),
        other => other.to_strings(),
    })
}

/// Class indices, or zeros with the numbers of a regression.
pub(crate) fn read_labels(
    texts: &[String],
    n: usize,
    asset: &DataAsset,
) -> Result<(Vec<usize>, Vec<f64>), ImagesError> {
    if !asset.task.is_regression() {
        return Ok((map_labels(texts, n, asset)?, Vec::new()));
    }
    let number = |(row, text): (usize, &String)| {
        let found = text.parse::<f64>().ok().filter(|v| v.is_finite());
        found.ok_or_else(|| ImagesError::Target { row, text: text.clone() })
    };
    let targets: Vec<f64> =
        texts.iter().take(n).enumerate().map(number).collect::<Result<_, _>>()?;
    Ok((vec![0; targets.len()], targets))
}

fn map_labels(texts: &[String], n: usize, asset: &DataAsset) -> Result<Vec<usize>, ImagesError> {
    let class = |(row, text): (usize, &String)| {
        let found = asset.classes.iter().position(|(_, value)| value == text);
        found.ok_or_else(|| {
            let known: Vec<String> =
                asset.classes.iter().map(|(name, value)| format!("`{value}` ({name})")).collect();
            ImagesError::Label { row, text: text.clone(), known: known.join(", ") }
        })
    };
    texts.iter().take(n).enumerate().map(class).collect()
}

pub(crate) fn outside(data: &[f32], size: usize, feature: &Feature) -> Option<DomainViolation> {
    let [lower, upper] = feature.bounds?;
    let out = |v: &f32| f64::from(*v) < lower || f64::from(*v) > upper;
    let mut rows = Vec::new();
    let mut examples = Vec::new();
    for (row, image) in data.chunks_exact(size).enumerate() {
        let Some(first) = image.iter().copied().find(out) else { continue };
        if examples.len() < EXAMPLES_MAX {
            examples.push((row as u64, first.to_string()));
        }
        rows.push(row);
    }
    let (column, expected) = (feature.name.clone(), format!("{lower} to {upper}"));
    (!rows.is_empty()).then_some(DomainViolation { column, expected, rows, examples })
}

fn is_whole(data: &NpyData) -> bool {
    !matches!(data, NpyData::F32(_) | NpyData::F64(_) | NpyData::Str(_))
}

fn tuple(shape: &[usize]) -> String {
    let parts: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", parts.join(", "))
}

/// Names of the image array in an archive, as NumPy users write them.
pub(crate) const IMAGE_NAMES: [&str; 6] = ["images", "x", "data", "X", "x_test", "X_test"];
/// Names of the label array in an archive.
pub(crate) const LABEL_NAMES: [&str; 6] = ["labels", "y", "label", "Y", "y_test", "Y_test"];
/// Examples kept of the images outside the bounds.
const EXAMPLES_MAX: usize = 10;
