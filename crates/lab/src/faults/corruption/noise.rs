//! Noise: Gaussian, shot, impulse.
//!
//! Owns their parameters and the draw of a Poisson number. Every channel is drawn on its own.

use super::{Corruption, Frame, Strength};
use crate::stream::Stream;

/// Additive normal noise.
pub struct GaussianNoise;
/// Poisson noise of few photons.
pub struct ShotNoise;
/// Salt and pepper.
pub struct ImpulseNoise;

impl Corruption for GaussianNoise {
    fn id(&self) -> &'static str {
        "gaussian_noise"
    }
    fn means(&self) -> &'static str {
        "normal noise on every value, as of a sensor in little light"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let deviation: f64 =
            at.pick([0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38]);
        for value in &mut image.data {
            *value += (deviation * stream.normal()) as f32;
        }
    }
}

impl Corruption for ShotNoise {
    fn id(&self) -> &'static str {
        "shot_noise"
    }
    fn means(&self) -> &'static str {
        "Poisson noise of few photons"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let photons: f64 = at.pick([500.0, 250.0, 100.0, 75.0, 50.0], [60.0, 25.0, 12.0, 5.0, 3.0]);
        for value in &mut image.data {
            let mean = f64::from(value.clamp(0.0, 1.0)) * photons;
            *value = (poisson(mean, stream.unit()) / photons) as f32;
        }
    }
}

impl Corruption for ImpulseNoise {
    fn id(&self) -> &'static str {
        "impulse_noise"
    }
    fn means(&self) -> &'static str {
        "single values at their lowest or highest (salt and pepper)"
    }
    fn apply(&self, image: &mut Frame, at: Strength, stream: &mut Stream) {
        let share: f64 = at.pick([0.01, 0.02, 0.03, 0.05, 0.07], [0.03, 0.06, 0.09, 0.17, 0.27]);
        for value in &mut image.data {
            let (hit, salt) = (stream.unit() < share, stream.sign() > 0.0);
            if hit {
                *value = if salt { 1.0 } else { 0.0 };
            }
        }
    }
}

/// A Poisson number by inversion: one uniform draw, so that a row's draws keep their places.
///
/// `mean` is at most 500, where `exp(-mean)` is still a normal number.
fn poisson(mean: f64, unit: f64) -> f64 {
    let most = mean + 20.0 * mean.sqrt() + 30.0;
    let mut probability = (-mean).exp();
    let (mut below, mut count) = (probability, 0.0);
    while unit > below && count < most {
        count += 1.0;
        probability *= mean / count;
        below += probability;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_numbers_have_their_mean_and_variance() {
        for mean in [0.0, 0.4, 3.0, 60.0, 500.0] {
            let mut stream = Stream::new(1, "poisson", "", 0, 0);
            let drawn: Vec<f64> = (0..4000).map(|_| poisson(mean, stream.unit())).collect();
            let average = drawn.iter().sum::<f64>() / 4000.0;
            let spread = drawn.iter().map(|d| (d - average).powi(2)).sum::<f64>() / 4000.0;
            let slack = 5.0 * (mean / 4000.0_f64).sqrt() + 1e-12;
            assert!((average - mean).abs() <= slack, "{mean}: {average}");
            assert!((spread - mean).abs() <= 0.12 * mean + 1e-12, "{mean}: variance {spread}");
        }
    }
}
