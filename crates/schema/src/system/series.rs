//! Reads the keys of `[features.<name>]` with `type = "series"`.
//!
//! Owns steps, channels, axis order and the steps that can be changed. What holds for every
//! feature is in `features`.

use super::reader::Section;
use super::{Channel, Series, SeriesLayout};

/// Reads the series; refuses its keys on a feature of another type.
pub(super) fn read(section: &Section<'_>, is_series: bool) -> Option<Series> {
    if !is_series {
        for key in KEYS.iter().filter(|key| section.has(key)) {
            let message = format!("`{key}` is about series, and `{}` is none", section.title());
            section.refuse("key-of-series", key, message, "not for this type", "remove it");
        }
        return None;
    }
    section.need("steps", "steps = 24");
    section.need("channels", "channels = { load = { bounds = [0, 100] } }");
    let mutable = section.flag("mutable").unwrap_or(false);
    let channels: Vec<Channel> =
        section.sections("channels").iter().map(|s| read_channel(s, mutable)).collect();
    let steps = section.whole("steps").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let values = steps.checked_mul(channels.len());
    if section.has("steps") && !values.is_some_and(|n| n <= VALUES_MAX && steps > 0) {
        let message = format!("a window has at least one step and at most {VALUES_MAX} values");
        section.refuse("bad-steps", "steps", message, "no window", "e.g. `steps = 24`");
    }
    if section.count("channels") == Some(0) {
        let message = "a series has at least one channel";
        section.refuse("bad-channels", "channels", message, "no channel", "name each channel");
    }
    if mutable && !channels.is_empty() && channels.iter().all(|c| !c.mutable) {
        let message = "the series is mutable, but none of its channels is";
        let help = "write `mutable = false`, or let a channel be changed";
        section.refuse("nothing-mutable", "mutable", message, "nothing moves", help);
    }
    let last = section.whole("last").and_then(|n| usize::try_from(n).ok());
    if last.is_some_and(|last| last == 0 || last > steps) {
        let message = format!("`last` names the last of {steps} steps that can be changed");
        section.refuse("bad-last", "last", message, "outside the window", "e.g. `last = 6`");
    }
    let layout = section.choice("layout", &LAYOUTS).unwrap_or_default();
    Some(Series { steps, channels, layout, last })
}

fn read_channel(section: &Section<'_>, mutable: bool) -> Channel {
    section.only(&["bounds", "mutable", "integer"]);
    let channel = Channel {
        name: section.name().to_owned(),
        bounds: section.pair("bounds"),
        mutable: section.flag("mutable").unwrap_or(mutable),
        integer: section.flag("integer").unwrap_or(false),
    };
    if channel.mutable && !section.has("bounds") {
        let message = format!("`{}` can be attacked but has no bounds", section.title());
        let help = "write `bounds = [lowest, highest]` as they can occur in use";
        section.refuse_name("bounds-missing", message, "mutable, without bounds", help);
    }
    if let Some([lower, upper]) = channel.bounds
        && lower >= upper
    {
        let message = format!("the bounds of `{}` are not lowest, highest", section.title());
        let help = "write the lower one first, with room between them";
        section.refuse("bounds-reversed", "bounds", message, "not ascending", help);
    }
    channel
}

const LAYOUTS: [(&str, SeriesLayout); 2] = [
    ("steps-channels", SeriesLayout::StepsChannels),
    ("channels-steps", SeriesLayout::ChannelsSteps),
];
const KEYS: [&str; 4] = ["steps", "channels", "layout", "last"];
/// Values of one window; a batch of 32 still fits in memory.
const VALUES_MAX: usize = 1 << 22;
