//! What is deployed lies inside ball, box and type.

use proptest::prelude::*;

use super::*;

fn column(lower: f64, upper: f64, deployed: Deployed) -> Column {
    Column { lower, upper, std: 2.0, deployed }
}

fn mixed(scale: Scale) -> Space {
    let columns = [
        column(250.0, 20000.0, Deployed::Integer),
        column(0.0, 1.0, Deployed::Real),
        column(-0.42, 2.82, Deployed::Levels(255)),
        column(18.0, 75.0, Deployed::Integer),
    ];
    Space::new(&columns, scale).unwrap()
}

#[test]
fn units_follow_the_scale() {
    let cases = [
        (Scale::Raw, [1.0, 1.0, 1.0, 1.0]),
        (Scale::Bounds, [19750.0, 1.0, 3.24, 57.0]),
        (Scale::Std, [2.0; 4]),
        (Scale::U8, [19750.0 / 255.0, 1.0 / 255.0, 3.24 / 255.0, 57.0 / 255.0]),
    ];
    for (scale, expected) in cases {
        let space = mixed(scale);
        for (i, unit) in expected.into_iter().enumerate() {
            assert!((space.unit(i) - unit).abs() < 1e-12 * unit, "{scale:?} {i}");
        }
    }
}

#[test]
fn spaces_without_a_unit_or_a_value_are_refused() {
    let real = |lower, upper| Column { lower, upper, std: 0.0, deployed: Deployed::Real };
    assert_eq!(Space::new(&[], Scale::Raw), Err(SpaceError::Empty));
    let cases = [
        (real(1.0, 0.0), Scale::Raw),
        (real(f64::NAN, 0.0), Scale::Raw),
        (real(0.0, f64::INFINITY), Scale::Bounds),
        (real(3.0, 3.0), Scale::Bounds),
        (real(0.0, 1.0), Scale::Std),
        (real(0.0, f64::INFINITY), Scale::U8),
    ];
    for (column, scale) in cases {
        assert!(Space::new(&[column], scale).is_err(), "{column:?} {scale:?}");
    }
    let infinite = real(f64::NEG_INFINITY, f64::INFINITY);
    assert_eq!(Space::new(&[infinite], Scale::Raw).unwrap().diameter(Norm::Linf), f64::INFINITY);
}

#[test]
fn pixel_steps_count_exactly() {
    let pixel = column(0.0, 1.0, Deployed::Levels(255));
    let clean = [(17.0_f64 / 255.0) as f32];
    for steps in 1..=200_u32 {
        let raw = Space::new(&[pixel], Scale::Raw).unwrap();
        let eps = f64::from(steps) / 255.0;
        let up = raw.deploy(&clean, &[9.0], eps, Norm::Linf);
        assert_eq!(up[0], (f64::from(17 + steps) / 255.0) as f32, "{steps}");
        assert_eq!(raw.distance(&clean, &up, Norm::Linf), eps);
        // One part in 10^12 less and the last step is out of reach.
        let less = raw.deploy(&clean, &[9.0], eps * (1.0 - 1e-12), Norm::Linf);
        assert_eq!(less[0], (f64::from(16 + steps) / 255.0) as f32, "{steps}");
        let bytes = Space::new(&[pixel], Scale::U8).unwrap();
        let up = bytes.deploy(&clean, &[9.0], f64::from(steps), Norm::Linf);
        assert_eq!(bytes.distance(&clean, &up, Norm::Linf), f64::from(steps));
    }
}

#[test]
fn rounding_goes_toward_the_clean_point_when_outward_would_leave() {
    let years = Space::new(&[column(18.0, 75.0, Deployed::Integer)], Scale::Raw).unwrap();
    // (clean, wished, eps, deployed)
    let cases = [
        (40.0, 42.6, 2.7, 42.0),
        (40.0, 42.6, 3.0, 43.0),
        (40.0, 37.4, 2.7, 38.0),
        (40.0, 40.4, 2.0, 40.0),
        (40.0, 99.0, f64::INFINITY, 75.0),
        (19.0, -5.0, 30.0, 18.0),
        (40.5, 42.0, 1.2, 41.0),
        (40.5, 39.0, 0.2, 40.5),
        (80.0, 90.0, 5.0, 80.0),
        (80.0, 60.0, 5.0, 75.0),
        (80.0, 90.0, 2.0, 80.0),
    ];
    for (clean, wished, eps, expected) in cases {
        let x = years.deploy(&[clean], &[wished], eps, Norm::Linf);
        assert_eq!(x[0], expected, "{clean} {wished} {eps}");
    }
}

#[test]
fn l2_rounding_gives_back_as_few_steps_as_it_must() {
    let plane = Space::uniform(2, column(-9.0, 9.0, Deployed::Integer), Scale::Raw).unwrap();
    // (2, 2) has length 2.83: the nearest rounding of (1.9, 1.7) leaves a ball of 2.6 and is
    // taken back in the second coordinate only.
    let x = plane.deploy(&[0.0, 0.0], &[1.9, 1.7], 2.6, Norm::L2);
    assert_eq!(x, vec![2.0, 1.0]);
}

#[test]
fn missing_values_stay_and_changed_ones_are_infinitely_far() {
    let space = mixed(Scale::Bounds);
    let clean = [f32::NAN, 0.5, 0.0, 30.0];
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let x = space.deploy(&clean, &[9.0, 0.9, 0.1, 31.0], 0.5, norm);
        assert!(x[0].is_nan());
        assert!(space.distance(&clean, &x, norm) <= 0.5);
        assert_eq!(space.distance(&clean, &[1.0, 0.5, 0.0, 30.0], norm), f64::INFINITY);
    }
    assert!(space.fault(&[f32::NAN, 0.5, -0.42, 30.0]).is_none());
}

#[test]
fn faults_of_clean_rows_name_the_coordinate() {
    let space = mixed(Scale::Bounds);
    let good = [250.0, 1.0, 2.82, 75.0];
    assert_eq!(space.fault(&good), None);
    for (index, value) in [(0, 249.0), (0, 250.5), (1, 1.01), (2, -0.45), (2, 0.123), (3, 17.0)] {
        let mut row = good;
        row[index] = value;
        assert_eq!(space.fault(&row).map(|f| f.0), Some(index), "{value}");
    }
}

#[test]
fn the_l1_projection_matches_the_known_simplex_solution() {
    let real = column(-10.0, 10.0, Deployed::Real);
    let space = Space::uniform(3, real, Scale::Raw).unwrap();
    let x = space.project(&[0.0; 3], &[3.0, -1.0, 0.5], 2.0, Norm::L1);
    // Soft threshold at 1: (2, 0, 0).
    for (a, b) in x.iter().zip([2.0, 0.0, 0.0]) {
        assert!((a - b).abs() < 1e-6, "{x:?}");
    }
    let boxed = Space::uniform(3, column(-10.0, 1.0, Deployed::Real), Scale::Raw).unwrap();
    let x = boxed.project(&[0.0; 3], &[3.0, -1.0, 0.5], 2.0, Norm::L1);
    // The first coordinate stops at the box, so the budget left, 1, goes to the others:
    // threshold 0.25 gives 0.75 and 0.25.
    for (a, b) in x.iter().zip([1.0, -0.75, 0.25]) {
        assert!((a - b).abs() < 1e-6, "{x:?}");
    }
}

#[test]
fn ladders_hold_every_integer_within_reach() {
    let space = mixed(Scale::Bounds);
    let ladder = space.ladder(3, 30.0, 3.0 / 57.0, 16);
    assert_eq!(ladder, vec![27.0, 28.0, 29.0, 30.0, 31.0, 32.0, 33.0]);
    let wide = space.ladder(0, 1000.0, 0.5, 9);
    assert!(wide.len() <= 10 && wide.contains(&1000.0));
    assert!(wide.iter().all(|v| v.fract() == 0.0));
}

fn any_norm() -> impl Strategy<Value = Norm> {
    prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)]
}

fn any_scale() -> impl Strategy<Value = Scale> {
    prop_oneof![Just(Scale::Raw), Just(Scale::Bounds), Just(Scale::Std), Just(Scale::U8)]
}

proptest! {
    #[test]
    fn what_is_deployed_is_inside_ball_box_and_type(
        norm in any_norm(),
        scale in any_scale(),
        amounts in prop::array::uniform4(0.0_f64..1.0),
        wished in prop::array::uniform4(-3.0_f64..3.0),
        eps in 0.0_f64..3.0,
    ) {
        let space = mixed(scale);
        let clean: Vec<f32> = (0..4)
            .map(|i| {
                let (low, high) = space.limits(i);
                let v = low + (high - low) * amounts[i];
                match i {
                    0 | 3 => v.round() as f32,
                    2 => (low + (high - low) * (amounts[i] * 255.0).round() / 255.0) as f32,
                    _ => v as f32,
                }
            })
            .collect();
        let x: Vec<f64> = (0..4)
            .map(|i| f64::from(clean[i]) + wished[i] * space.unit(i) * eps)
            .collect();
        let deployed = space.deploy(&clean, &x, eps, norm);
        prop_assert!(space.distance(&clean, &deployed, norm) <= eps);
        prop_assert!(space.in_box(&clean, &deployed));
        prop_assert_eq!(space.fault(&deployed), None);
        let continuous = space.project(&clean, &x, eps, norm);
        prop_assert!(space.in_box(&clean, &continuous));
        // Deploying what is deployed changes nothing.
        let again: Vec<f64> = deployed.iter().map(|&v| f64::from(v)).collect();
        let again = space.deploy(&clean, &again, eps, norm);
        prop_assert_eq!(again, deployed);
    }

    #[test]
    fn no_point_of_ball_and_box_is_nearer_than_the_projection(
        norm in any_norm(),
        x in prop::array::uniform3(-2.0_f64..2.0),
        other in prop::array::uniform3(-2.0_f64..2.0),
        eps in 0.05_f64..1.5,
    ) {
        let space = Space::uniform(3, column(-0.4, 0.7, Deployed::Real), Scale::Raw).unwrap();
        let clean = [0.1_f32, -0.2, 0.6];
        let near = space.project(&clean, &x, eps, norm);
        let rival = space.project(&clean, &other, eps, norm);
        let gap = |p: &[f32]| -> f64 {
            p.iter().zip(&x).map(|(&p, &x)| (f64::from(p) - x).powi(2)).sum::<f64>().sqrt()
        };
        prop_assert!(gap(&near) <= gap(&rival) + 1e-5, "{} {}", gap(&near), gap(&rival));
    }
}

proptest! {
    /// The prepared projection gives the bits of the general one.
    #[test]
    fn a_cell_projects_like_the_space(
        scale in any_scale(),
        clean in prop::array::uniform4(-1.0f32..30000.0),
        snapped in any::<bool>(),
        gap in any::<bool>(),
        wished in prop::collection::vec(prop::array::uniform4(-3.0e4f64..3.0e4), 1..8),
        near in -6i32..2,
        eps in prop::sample::select(vec![0.0, 1e-3, 0.02, 1.0, 4.0, 300.0, f64::INFINITY]),
    ) {
        let space = mixed(scale);
        let mut clean = clean.map(|c| if snapped { c.round() } else { c });
        clean[1] /= 30000.0;
        if gap {
            clean[2] = f32::NAN;
        }
        let cell = space.cell(&clean, eps);
        for wished in wished {
            let each = wished.iter().zip(&clean).enumerate();
            // Near the clean point, where roundings matter, and far from it.
            let x: Vec<f64> = each
                .map(|(i, (w, &c))| f64::from(c) + w * 10f64.powi(near - i as i32))
                .collect();
            let wanted = space.project(&clean, &x, eps, Norm::Linf);
            for (i, wanted) in wanted.into_iter().enumerate() {
                let given = cell.project(i, x[i]);
                prop_assert_eq!(given.to_bits(), wanted.to_bits(), "{} {}", i, x[i]);
            }
        }
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0] {
            let wanted = space.project(&clean, &[odd; 4], eps, Norm::Linf);
            for (i, wanted) in wanted.into_iter().enumerate() {
                prop_assert_eq!(cell.project(i, odd).to_bits(), wanted.to_bits(), "{} {}", i, odd);
            }
        }
    }
}
