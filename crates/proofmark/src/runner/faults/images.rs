//! Images under a corruption, in the unit of their file.
//!
//! Owns the way from stored pixels to values in `[0, 1]` and back: whole numbers are rounded to
//! the nearest step, so that what is measured is what a file would hold.

use proofmark_dataset::images::Images;
use proofmark_lab::faults::CORRUPTIONS;
use proofmark_lab::faults::corruption::{self, Corruption, Frame, Parameters};
use proofmark_schema::system::FeatureKind;

use super::rows::{Hit, unfit};
use super::{Done, Failure, Rows, Scene};
use crate::loader::LoadedData;

/// A corruption of images.
pub struct OnImages<'a> {
    scene: &'a Scene<'a>,
    corruption: &'static dyn Corruption,
    /// Whether it is one of several.
    of_many: bool,
    images: &'a Images,
    bounds: [f64; 2],
    seed: u64,
}

/// The corruptions of the fault of a scene.
pub fn members<'a>(
    scene: &'a Scene<'a>,
    images: &'a Images,
    seed: u64,
    notes: &mut Vec<String>,
) -> Done<Vec<OnImages<'a>>> {
    let kind = &scene.fault.kind;
    let chosen: Vec<&'static dyn Corruption> = match corruption::named(kind) {
        Some(one) => vec![one],
        None if kind == CORRUPTIONS => corruption::REGISTRY.to_vec(),
        None => return Err(unfit(kind, "images")),
    };
    let features = &scene.project.system.features;
    let feature = features.iter().find(|f| f.kind == FeatureKind::Image);
    let bounds = feature.and_then(|f| f.bounds).ok_or_else(|| {
        let message = "the images declare no bounds, so their brightest pixel is not known";
        Failure::new("fault", message, "declare `bounds`, e.g. [0, 255]")
    })?;
    let [_, height, width] = images.shape;
    if height < 2 || width < 2 {
        return Err(unfit(kind, "rows of values that are no pictures"));
    }
    notes.push(format!(
        "corruptions with the parameters of {}, for images of {height} x {width} pixels; drawn \
         here, not the published files",
        Parameters::of(height, width).words()
    ));
    if chosen.iter().any(|one| one.id() == "frost") {
        notes.push("frost is procedural: not comparable with the published textures".into());
    }
    let of_many = chosen.len() > 1;
    let member = |corruption| OnImages { scene, corruption, of_many, images, bounds, seed };
    Ok(chosen.into_iter().map(member).collect())
}

impl OnImages<'_> {
    /// Name among several.
    pub fn name(&self) -> Option<String> {
        self.of_many.then(|| self.corruption.id().to_owned())
    }

    /// What it does.
    pub fn means(&self) -> String {
        self.corruption.means().to_owned()
    }

    /// The images at that severity.
    pub fn at(&self, severity: u8) -> Hit {
        let size = self.images.shape.iter().product::<usize>().max(1);
        let mut data = self.images.data.clone();
        let share = self.images.n.div_ceil(self.scene.settings.threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for (at, chunk) in data.chunks_mut(share * size).enumerate() {
                scope.spawn(move || {
                    for (i, pixels) in chunk.chunks_mut(size).enumerate() {
                        self.corrupt(pixels, severity, (at * share + i) as u64);
                    }
                });
            }
        });
        let rows = data.chunks(size).zip(self.images.data.chunks(size));
        let changed: Vec<bool> = rows.map(|(now, before)| now != before).collect();
        let clean = self.scene.subject.data();
        let unanswered = vec![false; changed.len()];
        Hit {
            data: LoadedData {
                asset: clean.asset.clone(),
                rows: Rows::Images(Images { data, ..self.images.clone() }),
                digests: Vec::new(),
                notes: Vec::new(),
            },
            strength: format!("severity {severity}"),
            changed,
            refused: None,
            unanswered,
        }
    }

    fn corrupt(&self, pixels: &mut [f32], severity: u8, row: u64) {
        if severity == 0 {
            return;
        }
        let [lowest, highest] = self.bounds;
        let range = highest - lowest;
        let [channels, height, width] = self.images.shape;
        let unit = |v: &f32| ((f64::from(*v) - lowest) / range) as f32;
        let data = pixels.iter().map(unit).collect();
        let mut frame = Frame { channels, height, width, data };
        let key = (self.seed, self.scene.probe);
        corruption::corrupt(self.corruption, &mut frame, severity, key, row);
        for (pixel, value) in pixels.iter_mut().zip(frame.data) {
            let stored = lowest + f64::from(value) * range;
            *pixel = if self.images.whole { stored.round_ties_even() } else { stored } as f32;
        }
    }
}
