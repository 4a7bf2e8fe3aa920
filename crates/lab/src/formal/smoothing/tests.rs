//! Certificates against formula, geometry and chance.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::*;
use crate::space::Deployed;
use crate::toys::{self, Toy};

const GOLDEN: &str = include_str!("../../../tests/golden/smoothing.json");

fn settings(sigma: f64, samples: u64) -> Smoothing {
    Smoothing { sigma, samples_choose: 100, samples, alpha: 0.001 }
}

#[test]
fn bound_and_radius_are_those_of_the_published_formula() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let count = case["count"].as_u64().unwrap();
        let smoothing = Smoothing {
            sigma: number("sigma"),
            samples_choose: 100,
            samples: case["n"].as_u64().unwrap(),
            alpha: number("alpha"),
        };
        let (p, radius) = smoothing.radius(count);
        assert!((p - number("p_lower")).abs() < 1e-11, "{case}: {p}");
        // The quantile steepens towards 1, where the last digits of the bound count.
        assert!((radius - number("radius")).abs() < 1e-7, "{case}: {radius}");
    }
}

/// Rows at given distances from the plane `x0 = 0`, in three dimensions.
fn half_space(distances: &[f32]) -> Toy {
    let data = distances.iter().map(|&d| vec![d, 0.3, -0.2]).collect();
    toys::linear(data, &[5.0, 0.0, 0.0], 0.0)
}

#[test]
fn a_half_space_is_certified_up_to_its_distance_and_never_beyond() {
    let distances = [0.05_f32, 0.1, 0.25, -0.4, 0.6];
    let toy = half_space(&distances);
    let labels = toy.labels(0);
    let space = toys::space(3, f64::NEG_INFINITY, f64::INFINITY, Deployed::Real);
    let case = toys::case(&toy, &space, &labels, Norm::L2);
    let points = certify(&case, &settings(0.25, 20_000), &toys::ctx()).unwrap();
    for (point, distance) in points.iter().zip(distances) {
        let distance = f64::from(distance.abs());
        // Smoothed, a half-space stays one: the greatest radius is the distance itself.
        assert!(point.radius <= distance, "{point:?}");
        assert_eq!(point.class, Some(point.label), "{point:?}");
        // Three deviations of the count, and the bound's own slack, below the truth.
        let p = crate::stats::normal_cdf(distance / 0.25);
        let spread = 6.5 * (p * (1.0 - p) / 20_000.0).sqrt();
        let least = 0.25 * normal_quantile(p - spread);
        assert!(point.radius >= least.min(3.0 * 0.25), "{point:?}, at least {least}");
    }
}

#[test]
fn the_edge_abstains_and_a_constant_reaches_the_greatest_radius() {
    let space = toys::space(3, f64::NEG_INFINITY, f64::INFINITY, Deployed::Real);
    let edge = half_space(&[1e-6]);
    let case = toys::case(&edge, &space, &[1], Norm::L2);
    let points = certify(&case, &settings(0.25, 1_000), &toys::ctx()).unwrap();
    assert_eq!((points[0].class, points[0].radius), (None, 0.0));

    let constant = toys::constant(vec![vec![0.0; 3]]);
    let case = toys::case(&constant, &space, &[1], Norm::L2);
    let smoothing = settings(0.5, 1_000);
    let points = certify(&case, &smoothing, &toys::ctx()).unwrap();
    assert_eq!(points[0].radius, smoothing.radius_max());
    assert!((0.5..2.0).contains(&points[0].radius), "{}", points[0].radius);
}

#[test]
fn a_row_is_certified_alike_alone_and_among_others_and_every_answer_is_counted() {
    let space = toys::space(3, -1.0, 1.0, Deployed::Real);
    let many = half_space(&[0.1, 0.2, -0.3]);
    let labels = many.labels(0);
    let case = toys::case(&many, &space, &labels, Norm::L2);
    let smoothing = settings(0.25, 1_500);
    let points = certify(&case, &smoothing, &toys::ctx()).unwrap();
    assert_eq!(many.calls.load(Ordering::Relaxed), 3 * (1 + 100 + 1_500));
    let facts = Facts {
        model: "toy".into(),
        data: "test".into(),
        classes: vec!["no".into(), "yes".into()],
        assets: Vec::new(),
        engine: Default::default(),
        seed: 11,
        confidence: 0.95,
    };
    let radii = radii(&smoothing);
    let told = report(&case, &smoothing, &facts, Scale::Raw, &radii, points.clone());
    assert_eq!(told.queries, 3 * 1_601);
    assert_eq!(told.curve[0].k, told.correct);
    assert!(told.curve.windows(2).all(|w| w[0].k >= w[1].k), "{:?}", told.curve);
    let again = certify(&case, &smoothing, &toys::ctx()).unwrap();
    assert_eq!(points, again);
    // The first row's stream is its own, whatever the others are.
    let alone = half_space(&[0.1]);
    let case = toys::case(&alone, &space, &labels[..1], Norm::L2);
    assert_eq!(certify(&case, &smoothing, &toys::ctx()).unwrap()[0], points[0]);
}

#[test]
fn noise_stays_on_what_can_be_deployed() {
    let space = toys::space(2, 0.0, 255.0, Deployed::Integer);
    let toy = toys::linear(vec![vec![3.0, f32::NAN]], &[1.0, 0.0], 0.0);
    let case = toys::case(&toy, &space, &[1], Norm::L2);
    let mut stream = Stream::new(0, "t", "", 0, 0);
    for _ in 0..200 {
        let x: Vec<f32> = noisy(&case, &[3.0, f32::NAN], 10.0, &mut stream).collect();
        assert!(x[0] >= 0.0 && x[0] <= 255.0 && x[0].fract() == 0.0, "{x:?}");
        assert!(x[1].is_nan(), "what is missing stays missing");
    }
}

#[test]
fn what_certifies_nothing_is_refused() {
    let space = toys::space(3, -1.0, 1.0, Deployed::Real);
    let toy = half_space(&[0.1]);
    let case = toys::case(&toy, &space, &[1], Norm::L2);
    let bad = [
        Smoothing { sigma: 0.0, ..settings(0.25, 100) },
        Smoothing { alpha: 1.0, ..settings(0.25, 100) },
        Smoothing { samples: 5, ..settings(0.25, 100) },
        Smoothing { samples_choose: 0, ..settings(0.25, 100) },
    ];
    for smoothing in bad {
        let refused = certify(&case, &smoothing, &toys::ctx());
        assert!(matches!(refused, Err(SmoothingError::Settings(_))), "{smoothing:?}");
    }
    let limited = Case { queries_limit: Some(500), ..case };
    let refused = certify(&limited, &settings(0.25, 1_000), &toys::ctx());
    assert!(matches!(refused, Err(SmoothingError::Limit { needed: 1_101, limit: 500 })));
    let other = Case { norm: Norm::Linf, ..case };
    let refused = certify(&other, &settings(0.25, 1_000), &toys::ctx());
    assert!(matches!(refused, Err(SmoothingError::Norm(_))));
    assert_eq!(toy.calls.load(Ordering::Relaxed), 0, "nothing was asked");
}
