//! Every corruption changes images, more with severity, and severity 0 not at all.

use super::*;

fn picture(channels: usize, side: usize, row: usize) -> Frame {
    let mut frame = Frame::filled(channels, side, side, 0.0);
    for channel in 0..channels {
        for y in 0..side {
            for x in 0..side {
                // Shapes with edges and a slope, on the steps of 8 bits.
                let inside = (y as f64 - side as f64 / 2.0).hypot(x as f64 - side as f64 / 2.2);
                let disk = if inside < side as f64 / 3.2 { 0.55 } else { 0.1 };
                let wave = 0.2 * ((x + 3 * channel + row) as f64 * 0.9).sin();
                let value = disk + wave + 0.15 * y as f64 / side as f64;
                frame.set(channel, y, x, (value.clamp(0.0, 1.0) * 255.0).round() as f32 / 255.0);
            }
        }
    }
    frame
}

fn change(corruption: &dyn Corruption, channels: usize, side: usize, severity: u8) -> f64 {
    let mut total = 0.0;
    for row in 0..6 {
        let clean = picture(channels, side, row);
        let mut image = clean.clone();
        corrupt(corruption, &mut image, severity, (11, "p"), row as u64);
        assert!(image.data.iter().all(|v| (0.0..=1.0).contains(v)), "{}", corruption.id());
        let off = image.data.iter().zip(&clean.data).map(|(a, b)| f64::from((a - b).abs()));
        total += off.sum::<f64>() / clean.data.len() as f64;
    }
    total / 6.0
}

#[test]
fn severity_nought_leaves_every_bit() {
    for corruption in REGISTRY {
        assert_eq!(change(corruption, 3, 32, 0), 0.0, "{}", corruption.id());
    }
}

#[test]
fn corruptions_change_images_and_more_so_at_the_strongest_severity() {
    for corruption in REGISTRY {
        for (channels, side) in [(1, 28), (3, 32), (3, 64)] {
            let by: Vec<f64> = (1..=5).map(|s| change(corruption, channels, side, s)).collect();
            let told = format!("{} {channels}x{side}: {by:?}", corruption.id());
            assert!(by.iter().all(|d| *d > 0.0) || by[4] > 0.0, "{told}");
            assert!(by[4] > by[0], "{told}");
            // The published parameters are not ascending everywhere; a step down is small.
            let few =
                ["glass_blur", "elastic_transform", "snow", "frost", "motion_blur", "pixelate"];
            let slack = if few.contains(&corruption.id()) { 0.75 } else { 0.999 };
            assert!(by.windows(2).all(|pair| pair[1] >= slack * pair[0]), "{told}");
        }
    }
}

#[test]
fn a_row_has_its_own_draws_and_the_same_ones_again() {
    for corruption in REGISTRY {
        let corrupted = |row: u64| {
            let mut image = picture(3, 32, 0);
            corrupt(corruption, &mut image, 5, (11, "p"), row);
            image
        };
        assert_eq!(corrupted(1), corrupted(1), "{}", corruption.id());
    }
    let noise = named("gaussian_noise").unwrap();
    let (mut one, mut other) = (picture(1, 28, 0), picture(1, 28, 0));
    corrupt(noise, &mut one, 3, (11, "p"), 0);
    corrupt(noise, &mut other, 3, (11, "p"), 1);
    assert_ne!(one, other);
}

#[test]
fn the_size_chooses_the_parameters() {
    assert_eq!(Parameters::of(28, 28), Parameters::Small);
    assert_eq!(Parameters::of(32, 32), Parameters::Small);
    assert_eq!(Parameters::of(64, 32), Parameters::Large);
    assert_eq!(Parameters::of(224, 224).words(), "ImageNet-C");
}
