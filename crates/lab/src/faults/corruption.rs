//! The fifteen common corruptions of images, at five severities.
//!
//! Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
//! Perturbations": parameters of CIFAR-10-C for small images, of ImageNet-C for larger ones. Owns
//! the registry, the choice of parameters and the tools that several corruptions share. Must never
//! look at a label or a model, and never draw but from the stream of its row. Figures are not those
//! of the published image files: those were drawn once, by other code. Called by `assess`'s runner
//! and by `attack`.

mod blur;
mod digital;
mod field;
mod frame;
mod jpeg;
mod noise;
mod weather;

pub use frame::Frame;

use crate::stream::Stream;

/// A corruption.
pub trait Corruption: Sync {
    /// Name in declarations and figures.
    fn id(&self) -> &'static str;
    /// What it does, in one sentence.
    fn means(&self) -> &'static str;
    /// Raised when the same severity gives other images than before.
    fn edition(&self) -> u32 {
        1
    }
    /// Corrupts an image of values in `[0, 1]`; `severity` is 1 to 5.
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream);
}

/// Which parameters, and which of the five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength {
    /// Parameters.
    pub table: Parameters,
    /// 1 to 5.
    pub severity: u8,
}

/// The published set of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// CIFAR-10-C.
    Small,
    /// ImageNet-C.
    Large,
}

impl Parameters {
    /// Those for images of this size.
    pub fn of(height: usize, width: usize) -> Self {
        if height.max(width) <= SMALL_MAX { Self::Small } else { Self::Large }
    }
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Small => "CIFAR-10-C",
            Self::Large => "ImageNet-C",
        }
    }
}

impl Strength {
    /// The parameter of this severity.
    fn pick<T: Copy>(self, small: [T; 5], large: [T; 5]) -> T {
        let at = usize::from(self.severity.clamp(1, 5)) - 1;
        match self.table {
            Parameters::Small => small[at],
            Parameters::Large => large[at],
        }
    }
}

/// One image, corrupted: values stay in `[0, 1]`. Severity 0 leaves every bit as it is. A row's
/// draws depend on `(seed, probe, corruption, row)`, so that severities differ by strength alone.
pub fn corrupt(
    corruption: &dyn Corruption,
    image: &mut Frame,
    severity: u8,
    key: (u64, &str),
    row: u64,
) {
    if severity == 0 {
        return;
    }
    let part = format!("corruption/{}", corruption.id());
    let mut stream = Stream::new(key.0, key.1, &part, 0, row);
    let strength = Strength { table: Parameters::of(image.height, image.width), severity };
    corruption.apply(image, strength, &mut stream);
    image.clip();
}

/// The corruption of that name.
pub fn named(id: &str) -> Option<&'static dyn Corruption> {
    REGISTRY.iter().copied().find(|one| one.id() == id)
}

/// Longest side in pixels that takes the parameters made for 32 pixels.
const SMALL_MAX: usize = 48;

/// All fifteen, in the order of the paper.
pub static REGISTRY: [&dyn Corruption; 15] = [
    &noise::GaussianNoise,
    &noise::ShotNoise,
    &noise::ImpulseNoise,
    &blur::DefocusBlur,
    &blur::GlassBlur,
    &blur::MotionBlur,
    &blur::ZoomBlur,
    &weather::Snow,
    &weather::Frost,
    &weather::Fog,
    &digital::Brightness,
    &digital::Contrast,
    &digital::ElasticTransform,
    &digital::Pixelate,
    &digital::JpegCompression,
];

#[cfg(test)]
mod tests;
