//! `--report`: the page of an attack, with pictures of witnesses or tables of changed fields.
//!
//! Owns which witnesses are shown and how pixels become pictures. Must never show a witness that
//! the harness did not judge. Called by [`super`].

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_assess::attack_page::{self, Grid, Picture};
use proofmark_dataset::bind::{Free, FreeImage};
use proofmark_lab::evasion::assessment::Assessment;
use proofmark_lab::harness::RowRecord;
use proofmark_lab::oracle::Oracle;
use proofmark_schema::system::Layout;

use crate::arrays;
use crate::failure::{OrFail, Outcome};
use crate::subject::Subject;

/// Writes the page.
///
/// # Errors
/// The file cannot be written.
pub fn write(
    path: &Path,
    model: &Path,
    subject: &Subject,
    assessed: &Assessment,
    changes: Vec<Grid>,
) -> Outcome<()> {
    let pictures = match &subject.binding().free {
        Free::Image(image) if is_picture(image) => pictures(image, subject, assessed)?,
        _ => Vec::new(),
    };
    let title = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
    let page = attack_page::page(&title, &assessed.report, pictures, changes);
    arrays::write_file(path, page.or_fail("report", "")?.as_bytes())
}

/// Grey or coloured, and more than a row of values.
fn is_picture(image: &FreeImage) -> bool {
    let [channels, height, width] = image.shape;
    matches!(channels, 1 | 3) && height > 1 && width > 1 && height.max(width) <= SIDE_MAX
}

fn pictures(image: &FreeImage, subject: &Subject, assessed: &Assessment) -> Outcome<Vec<Picture>> {
    let classes = &assessed.report.classes;
    let name = |class: Option<usize>| {
        class.and_then(|c| classes.get(c)).map_or("nothing", String::as_str).to_owned()
    };
    shown(&assessed.records)
        .into_iter()
        .filter_map(|record| Some((record, record.witness.as_ref()?)))
        .map(|(record, x)| {
            let point = &record.point;
            let clean = subject.target.clean(point.index as usize);
            let (before, after) = (shares(image, clean), shares(image, x));
            let caption = format!(
                "Row {}: {} becomes {}, distance {:.4}, by {}",
                point.index,
                name(point.decision_clean),
                name(point.decision_witness),
                point.distance.upper.unwrap_or(f64::NAN),
                point.found_by.as_deref().unwrap_or("an attack"),
            );
            Ok(Picture {
                row: point.index,
                original: encoded(image, &before)?,
                witness: encoded(image, &after)?,
                difference: encoded(image, &stretched(&before, &after))?,
                caption,
            })
        })
        .collect()
}

/// Broken rows from the nearest witness to the farthest, evenly spaced.
pub fn shown(records: &[RowRecord]) -> Vec<&RowRecord> {
    let mut found: Vec<&RowRecord> =
        records.iter().filter(|r| r.witness.is_some() && r.attacked()).collect();
    let far = |r: &RowRecord| r.point.distance.upper.unwrap_or(f64::INFINITY);
    found.sort_by(|a, b| far(a).total_cmp(&far(b)).then(a.point.index.cmp(&b.point.index)));
    let count = found.len().min(SHOWN_MAX);
    (0..count).map(|i| found[i * (found.len() - 1) / (count - 1).max(1)]).collect()
}

/// Coordinates as shares of their box, by pixel and channel, whatever the layout.
fn shares(image: &FreeImage, x: &[f32]) -> Vec<f64> {
    let [channels, height, width] = image.shape;
    let pixels = height * width;
    let place = |pixel: usize, channel: usize| match image.layout {
        Layout::Nchw => channel * pixels + pixel,
        Layout::Nhwc => pixel * channels + channel,
    };
    let each = (0..pixels).flat_map(|pixel| (0..channels).map(move |channel| (pixel, channel)));
    each.map(|(pixel, channel)| {
        let (low, high) = (image.lower[channel], image.upper[channel]);
        let value = x.get(place(pixel, channel)).map_or(low, |&v| f64::from(v));
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    })
    .collect()
}

/// The difference around mid-grey, its largest value black or white.
fn stretched(before: &[f64], after: &[f64]) -> Vec<f64> {
    let top = before.iter().zip(after).map(|(a, b)| (b - a).abs()).fold(0.0, f64::max);
    let each = before.iter().zip(after);
    each.map(|(a, b)| if top > 0.0 { 0.5 + 0.5 * (b - a) / top } else { 0.5 }).collect()
}

fn encoded(image: &FreeImage, shares: &[f64]) -> Outcome<String> {
    let [channels, height, width] = image.shape;
    let bytes: Vec<u8> = shares.iter().map(|s| (255.0 * s).round() as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    let grey = channels == 1;
    encoder.set_color(if grey { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().or_fail("report", "")?;
    writer.write_image_data(&bytes).or_fail("report", "")?;
    writer.finish().or_fail("report", "")?;
    Ok(STANDARD.encode(file))
}

/// Witnesses on a page: enough to see what the attack does.
const SHOWN_MAX: usize = 12;
/// Larger images would make a page of many megabytes.
const SIDE_MAX: usize = 512;
