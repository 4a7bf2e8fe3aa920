//! Windows of time series: arrays of steps by channels with their labels.
//!
//! Owns the typing of the arrays and what lies outside the declared domain of a channel. Must
//! never clip, fill or drop. Called by `proofmark`.

use proofmark_schema::system::{DataAsset, Feature, SeriesLayout};

use crate::images::{IMAGE_NAMES, ImagesError, LABEL_NAMES, label_texts, load, read_labels};
use crate::table::DomainViolation;

/// Windows of one shape with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSet {
    /// Windows.
    pub n: usize,
    /// Steps of a window.
    pub steps: usize,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Values in the unit of the file, `(n, steps, channels)`; all finite.
    pub data: Vec<f32>,
    /// Class index per window; all 0 for a regression.
    pub labels: Vec<usize>,
    /// Regression: the label of each window, finite; empty for classes.
    pub targets: Vec<f64>,
    /// Windows with values outside the bounds of a channel; lines of examples are window numbers.
    pub violations: Vec<DomainViolation>,
}

/// Windows that are cut from one series so that neighbours share steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Windows that share steps with the one before.
    pub windows: usize,
    /// Most steps that two neighbours share.
    pub steps: usize,
    /// Windows that are left when none shares a step with another.
    pub apart: usize,
}

/// Why series could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// The arrays or labels are not readable.
    #[error(transparent)]
    Array(#[from] ImagesError),
    /// The feature is no series.
    #[error("feature `{feature}` is no series: it declares no `steps` and `channels`")]
    NoSeries {
        /// Feature.
        feature: String,
    },
    /// An array of another shape.
    #[error(
        "the series have shape {found:?}, declared is (n, {}, {}); correct `steps`, `channels` \
         or `layout`", .wanted[0], .wanted[1]
    )]
    Shape {
        /// Shape of the file.
        found: Vec<usize>,
        /// Declared shape without the rows.
        wanted: [usize; 2],
    },
    /// A value that is no number.
    #[error("window {row}: channel `{channel}` holds a value that is not finite")]
    NotFinite {
        /// Window, from 0.
        row: usize,
        /// Channel.
        channel: String,
    },
}

impl SeriesSet {
    /// Reads windows and labels, each NPY or NPZ. Arrays are `(n, steps, channels)` or, declared,
    /// `(n, channels, steps)`; `(n, steps)` for one channel.
    ///
    /// # Errors
    /// See [`SeriesError`].
    pub fn read(
        windows: &[u8],
        labels: &[u8],
        asset: &DataAsset,
        feature: &Feature,
    ) -> Result<Self, SeriesError> {
        let none = || SeriesError::NoSeries { feature: feature.name.clone() };
        let spec = feature.series.as_ref().ok_or_else(none)?;
        let (steps, width) = (spec.steps, spec.channels.len());
        let array = load(windows, "series", &IMAGE_NAMES)?;
        let wanted = match spec.layout {
            SeriesLayout::StepsChannels => [steps, width],
            SeriesLayout::ChannelsSteps => [width, steps],
        };
        let fits = match array.shape() {
            [_, a, b] => [*a, *b] == wanted,
            [_, a] => width == 1 && *a == steps,
            _ => false,
        };
        if !fits {
            return Err(SeriesError::Shape { found: array.shape().to_vec(), wanted });
        }
        let n = array.shape().first().copied().unwrap_or_default();
        let texts = label_texts(&load(labels, "labels", &LABEL_NAMES)?)?;
        if n == 0 {
            return Err(ImagesError::Empty.into());
        }
        if texts.len() != n {
            return Err(ImagesError::Count { images: n, labels: texts.len() }.into());
        }
        let n = asset.limit.map_or(n, |limit| n.min(limit));
        let npy = |source| ImagesError::Npy { which: "series", source };
        let mut data = array.data().to_f32().map_err(npy)?;
        data.truncate(n.saturating_mul(steps).saturating_mul(width));
        if spec.layout == SeriesLayout::ChannelsSteps {
            data = steps_first(&data, steps, width);
        }
        let channels: Vec<String> = spec.channels.iter().map(|c| c.name.clone()).collect();
        if let Some(at) = data.iter().position(|v| !v.is_finite()) {
            let channel = channels.get(at % width.max(1)).cloned().unwrap_or_default();
            return Err(SeriesError::NotFinite { row: at / (steps * width).max(1), channel });
        }
        let (labels, targets) = read_labels(&texts, n, asset)?;
        let violations = outside(&data, steps, feature);
        Ok(Self { n, steps, channels, data, labels, targets, violations })
    }

    /// Values of one window, `(steps, channels)`; empty past the end.
    pub fn window(&self, row: usize) -> &[f32] {
        let size = self.steps * self.channels.len();
        let start = row.saturating_mul(size);
        self.data.get(start..start.saturating_add(size)).unwrap_or_default()
    }

    /// What neighbouring windows share: the last steps of one are, to the bit, the first of the
    /// next. `None` where none do, or where finding out would take too long
    /// ([`COMPARED_MAX`]). Rows that share steps are not independent, which every interval
    /// takes them to be.
    pub fn overlap(&self) -> Option<Overlap> {
        let mut left = COMPARED_MAX;
        let mut found = Overlap { windows: 0, steps: 0, apart: 1 };
        let mut since = 0_usize;
        for row in 1..self.n {
            let shift = self.shift(row, &mut left)?;
            since = shift.map_or(self.steps, |shift| since.saturating_add(shift));
            if since >= self.steps {
                (found.apart, since) = (found.apart + 1, 0);
            }
            if let Some(shift) = shift {
                found.windows += 1;
                found.steps = found.steps.max(self.steps - shift);
            }
        }
        (found.windows > 0).then_some(found)
    }

    /// By how many steps a window follows the one before, where they share enough to tell;
    /// outer `None` when the work is used up.
    fn shift(&self, row: usize, left: &mut usize) -> Option<Option<usize>> {
        let width = self.channels.len();
        let (before, now) = (self.window(row - 1), self.window(row));
        let least = (self.steps / 4).max(2);
        for shift in 1..=self.steps.saturating_sub(least) {
            let old = before.get(shift * width..).unwrap_or_default();
            let same = old.iter().zip(now).take_while(|(a, b)| a.to_bits() == b.to_bits()).count();
            *left = left.checked_sub(same + 1)?;
            // A stretch that stands still is the same at any shift.
            if same == old.len() && !stands_still(old, width) {
                return Some(Some(shift));
            }
        }
        Some(None)
    }

    /// Values of one channel over all windows and steps.
    pub fn channel(&self, channel: usize) -> impl Iterator<Item = f32> + '_ {
        self.data.iter().skip(channel).step_by(self.channels.len().max(1)).copied()
    }
}

/// `(n, channels, steps)` as `(n, steps, channels)`.
fn steps_first(data: &[f32], steps: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for window in data.chunks_exact((steps * width).max(1)) {
        for step in 0..steps {
            out.extend(window.iter().skip(step).step_by(steps.max(1)));
        }
    }
    out
}

fn stands_still(steps: &[f32], width: usize) -> bool {
    let first = steps.get(..width).unwrap_or_default();
    steps.chunks_exact(width.max(1)).all(|step| step == first)
}

fn outside(data: &[f32], steps: usize, feature: &Feature) -> Vec<DomainViolation> {
    let channels = feature.series.iter().flat_map(|s| &s.channels);
    let width = channels.clone().count().max(1);
    let mut found = Vec::new();
    for (at, channel) in channels.enumerate() {
        let Some([lower, upper]) = channel.bounds else { continue };
        let out = |v: &&f32| f64::from(**v) < lower || f64::from(**v) > upper;
        let (mut rows, mut examples) = (Vec::new(), Vec::new());
        for (row, window) in data.chunks_exact((steps * width).max(1)).enumerate() {
            let Some(first) = window.iter().skip(at).step_by(width).find(out) else { continue };
            if examples.len() < EXAMPLES_MAX {
                examples.push((row as u64, first.to_string()));
            }
            rows.push(row);
        }
        if !rows.is_empty() {
            let column = format!("{}.{}", feature.name, channel.name);
            let expected = format!("{lower} to {upper}");
            found.push(DomainViolation { column, expected, rows, examples });
        }
    }
    found
}

/// Values compared in looking for shared steps: a second or so. Windows that were cut by a fixed
/// stride need a few per window.
const COMPARED_MAX: usize = 1 << 28;
/// Examples kept of the windows outside the bounds.
const EXAMPLES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of so many steps of a series of two channels, each so many steps after the last.
    fn cut(values: &[f32], steps: usize, stride: usize) -> SeriesSet {
        let starts = (0..).map(|i| i * stride).take_while(|s| s + steps <= values.len());
        let each = starts.flat_map(|s| values[s..s + steps].iter().flat_map(|&v| [v, -2.0 * v]));
        let data: Vec<f32> = each.collect();
        SeriesSet {
            n: data.len() / (2 * steps),
            steps,
            channels: vec!["a".into(), "b".into()],
            data,
            labels: Vec::new(),
            targets: Vec::new(),
            violations: Vec::new(),
        }
    }

    #[test]
    fn shared_steps_are_found_and_nothing_else() {
        // No two stretches of it are alike.
        let values: Vec<f32> = (0..41).map(|i| (i * i % 101) as f32).collect();
        let still = [5.0_f32; 41];
        let found = |windows, steps, apart| Some(Overlap { windows, steps, apart });
        let cases = [
            ("by one step", cut(&values, 8, 1), found(33, 7, 5)),
            ("by half a window", cut(&values, 8, 4), found(8, 4, 5)),
            ("so little that it could be chance", cut(&values, 8, 7), None),
            ("end to end", cut(&values, 8, 8), None),
            ("nothing moves", cut(&still, 8, 1), None),
            ("a single window", cut(&values[..8], 8, 1), None),
            ("windows of one step", cut(&values, 1, 1), None),
        ];
        for (name, set, wanted) in cases {
            assert_eq!(set.overlap(), wanted, "{name}: {} windows", set.n);
        }
    }
}
