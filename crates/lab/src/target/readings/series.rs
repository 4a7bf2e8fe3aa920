//! Other ways in which windows of a series could have been meant: axes, order of steps and
//! channels, scale of each channel.
//!
//! Owns the list. Called by `readings`.

use proofmark_dataset::bind::BoundInput;
use proofmark_schema::system::{ModelAsset, Series, SeriesLayout};

use super::{Other, each_row};

/// Readings of windows that are bound as `[n, steps, channels]` or `[n, channels, steps]`.
pub(super) fn windows(
    input: &BoundInput,
    data: &[f32],
    asset: &ModelAsset,
    series: &Series,
) -> Vec<Other> {
    let (steps, width) = (series.steps, series.channels.len());
    let [_, a, b] = input.shape[..] else { return Vec::new() };
    let layout = match asset.input.series {
        Some(layout) => layout,
        None if steps == width => series.layout,
        None if (a, b) == (steps, width) => SeriesLayout::StepsChannels,
        None => SeriesLayout::ChannelsSteps,
    };
    let windows = Windows { data, layout, steps, width };
    let mut all = windows.orders();
    all.extend(windows.scales(asset));
    all
}

struct Windows<'a> {
    data: &'a [f32],
    layout: SeriesLayout,
    steps: usize,
    width: usize,
}

impl Windows<'_> {
    /// Place of a value within a flattened window.
    fn at(&self, step: usize, channel: usize) -> usize {
        match self.layout {
            SeriesLayout::StepsChannels => step * self.width + channel,
            SeriesLayout::ChannelsSteps => channel * self.steps + step,
        }
    }

    /// Every window with the value at (step, channel) taken from another place.
    fn moved(&self, from: impl Fn(usize, usize) -> usize) -> Vec<f32> {
        each_row(self.data, (self.steps * self.width).max(1), |row, out| {
            for step in 0..self.steps {
                for channel in 0..self.width {
                    out[self.at(step, channel)] = row[from(step, channel)];
                }
            }
        })
    }

    fn orders(&self) -> Vec<Other> {
        let (steps, width) = (self.steps, self.width);
        let mut all: Vec<Other> = Vec::new();
        if steps == width && steps > 1 {
            let fix = "declare the other `layout` of the series, or store it with the axes swapped";
            let swapped = self.moved(|step, channel| self.at(channel, step));
            all.push(("steps and channels swapped".into(), fix.into(), swapped));
        }
        if steps > 1 {
            let fix = "store each window oldest step first, as the training code read it";
            let back = self.moved(|step, channel| self.at(steps - 1 - step, channel));
            all.push(("steps in the reverse order".into(), fix.into(), back));
        }
        if width > 1 {
            let fix = "declare and store the channels in the order of the training code";
            let turned =
                |by: usize| self.moved(move |step, channel| self.at(step, (channel + by) % width));
            let back = self.moved(|step, channel| self.at(step, width - 1 - channel));
            all.push(("channels reversed".into(), fix.into(), back));
            all.push(("the first channel last".into(), fix.into(), turned(1)));
            if width > 2 {
                all.push(("the last channel first".into(), fix.into(), turned(width - 1)));
            }
        }
        all
    }

    fn scales(&self, asset: &ModelAsset) -> Vec<Other> {
        let mut all: Vec<Other> = Vec::new();
        let (mean, std) = (&asset.input.mean, &asset.input.std);
        if !mean.is_empty() || !std.is_empty() {
            let plain = |channel: usize, v: f64| {
                let std = std.get(channel).copied().unwrap_or(1.0);
                v * std + mean.get(channel).copied().unwrap_or(0.0)
            };
            let fix = "remove `mean` and `std` from `input`: the model normalises by itself";
            all.push(("values as they stand in the file".into(), fix.into(), self.scaled(plain)));
        }
        let spread: Vec<(f64, f64)> = (0..self.width).map(|c| self.spread(c)).collect();
        let normal = |channel: usize, v: f64| {
            let (mean, std) = spread.get(channel).copied().unwrap_or((0.0, 1.0));
            (v - mean) / std
        };
        let fix = "declare `input = { mean = [...], std = [...] }` with the values of the training \
                   code, one per channel in the order of the channels";
        all.push(("each channel standardised".into(), fix.into(), self.scaled(normal)));
        all
    }

    fn scaled(&self, map: impl Fn(usize, f64) -> f64) -> Vec<f32> {
        each_row(self.data, (self.steps * self.width).max(1), |row, out| {
            for step in 0..self.steps {
                for channel in 0..self.width {
                    let at = self.at(step, channel);
                    out[at] = map(channel, f64::from(row[at])) as f32;
                }
            }
        })
    }

    /// Mean and standard deviation of a channel over all windows; 1 where it stands still.
    fn spread(&self, channel: usize) -> (f64, f64) {
        let size = (self.steps * self.width).max(1);
        let each = || {
            let of =
                move |row| (0..self.steps).map(move |s| f64::from(self.value(row, s, channel)));
            self.data.chunks_exact(size).flat_map(of)
        };
        let n = each().count().max(1) as f64;
        let mean = each().sum::<f64>() / n;
        let std = (each().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        (mean, if std > 0.0 { std } else { 1.0 })
    }

    fn value(&self, row: &[f32], step: usize, channel: usize) -> f32 {
        row[self.at(step, channel)]
    }
}

#[cfg(test)]
mod tests {
    use proofmark_dataset::bind::{Binding, BoundData, Free};
    use proofmark_schema::system::{Channel, InputSpec, OutputKind, OutputSpec};

    use super::super::readings;
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel { name: name.into(), bounds: None, mutable: false, integer: false }
    }

    fn asset(input: InputSpec) -> ModelAsset {
        ModelAsset {
            name: "m".into(),
            path: "m.onnx".into(),
            role: proofmark_schema::system::ModelRole::Primary,
            output: OutputSpec {
                name: None,
                kind: OutputKind::Logit,
                classes: Vec::new(),
                column: None,
            },
            decision: proofmark_schema::system::Decision::Argmax,
            expected: None,
            expected_data: None,
            input,
            dump: Default::default(),
        }
    }

    /// Two windows of three steps and two channels, steps first: channel 1 is ten times 0.
    fn read(
        shape: Vec<usize>,
        data: Vec<f32>,
        asset: &ModelAsset,
        file: SeriesLayout,
    ) -> Vec<Other> {
        let input = BoundInput { name: "x".into(), shape, data: BoundData::F32(data) };
        let free = Free::Columns(Vec::new());
        let binding = Binding { n: 2, inputs: vec![input], free, unread: Vec::new() };
        let channels = vec![channel("a"), channel("b")];
        let series = Series { steps: 3, channels, layout: file, last: None };
        let found = readings(&binding, asset, Some(&series)).into_iter().map(|r| {
            let BoundData::F32(values) = &r.binding.inputs[0].data else { panic!("f32") };
            (r.name.clone(), r.fix.clone(), values.clone())
        });
        found.collect()
    }

    #[test]
    fn both_layouts_give_the_same_readings_in_their_own_order() {
        let steps = vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0, 5.0, 50.0, 6.0, 60.0];
        let first = vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 4.0, 5.0, 6.0, 40.0, 50.0, 60.0];
        let input = InputSpec { mean: vec![1.0, 2.0], std: vec![2.0, 3.0], ..InputSpec::default() };
        let asset = asset(input);
        let a = read(vec![2, 3, 2], steps, &asset, SeriesLayout::StepsChannels);
        let b = read(vec![2, 2, 3], first, &asset, SeriesLayout::StepsChannels);
        let names = |list: &[Other]| list.iter().map(|o| o.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&a), names(&b));
        let of = |list: &[Other], name: &str| {
            list.iter().find(|o| o.0 == name).unwrap_or_else(|| panic!("no {name}")).2.clone()
        };
        let cases: [(&str, [f32; 6], [f32; 6]); 3] = [
            (
                "steps in the reverse order",
                [3.0, 30.0, 2.0, 20.0, 1.0, 10.0],
                [3.0, 2.0, 1.0, 30.0, 20.0, 10.0],
            ),
            (
                "channels reversed",
                [10.0, 1.0, 20.0, 2.0, 30.0, 3.0],
                [10.0, 20.0, 30.0, 1.0, 2.0, 3.0],
            ),
            (
                "values as they stand in the file",
                [3.0, 32.0, 5.0, 62.0, 7.0, 92.0],
                [3.0, 5.0, 7.0, 32.0, 62.0, 92.0],
            ),
        ];
        for (name, steps, first) in cases {
            assert_eq!(of(&a, name)[..6], steps, "{name}");
            assert_eq!(of(&b, name)[..6], first, "{name}");
        }
        // Standardised, the two channels are the same numbers.
        let normal = of(&b, "each channel standardised");
        assert_eq!(normal[..3], normal[3..6]);
        assert!((f64::from(normal[..3].iter().sum::<f32>()) + 2.6).abs() < 0.1, "{normal:?}");
    }

    #[test]
    fn only_a_square_window_can_have_its_axes_swapped() {
        let input = BoundInput {
            name: "x".into(),
            shape: vec![1, 2, 2],
            data: BoundData::F32(vec![1.0, 2.0, 3.0, 4.0]),
        };
        let channels = vec![channel("a"), channel("b")];
        let series = Series { steps: 2, channels, layout: SeriesLayout::ChannelsSteps, last: None };
        let asset = asset(InputSpec::default());
        let BoundData::F32(data) = &input.data else { panic!("f32") };
        let all = windows(&input, data, &asset, &series);
        assert_eq!(all[0].0, "steps and channels swapped");
        assert_eq!(all[0].2, [1.0, 3.0, 2.0, 4.0]);
        // Channels first: the reverse order of steps is within each channel.
        assert_eq!(all[1].2, [2.0, 1.0, 4.0, 3.0]);
    }
}
