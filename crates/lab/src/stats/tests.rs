//! Against scipy and scikit-learn: `tests/golden/make.py` wrote `tests/golden/stats.json`.

use serde_json::Value;

use super::*;
use crate::stream::Stream;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/stats.json")).unwrap()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// Within 1e-10 absolutely; and relatively, so that small limits are held too.
fn close(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= 1e-10, "{what}: {got} against {want}");
    assert!((got - want).abs() <= 1e-8 * want.abs() + 1e-14, "{what}: {got} against {want}");
}

#[test]
fn special_functions_match_scipy() {
    let golden = golden();
    for case in golden["beta_inc"].as_array().unwrap() {
        let (a, b, x) = (number(case, "a"), number(case, "b"), number(case, "x"));
        let (got, want) = (beta_inc(a, b, x), number(case, "value"));
        assert!((got - want).abs() <= 1e-11, "I_{x}({a}, {b}): {got} against {want}");
    }
    for case in golden["normal"].as_array().unwrap() {
        let z = number(case, "z");
        close(normal_cdf(z), number(case, "cdf"), &format!("cdf({z})"));
    }
    for case in golden["normal_quantile"].as_array().unwrap() {
        let p = number(case, "p");
        close(normal_quantile(p), number(case, "z"), &format!("quantile({p})"));
    }
}

#[test]
fn intervals_of_shares_match_scipy() {
    for case in golden()["shares"].as_array().unwrap() {
        let (k, n) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap());
        let confidence = number(case, "confidence");
        let name = format!("{k}/{n} at {confidence}");
        let exact = clopper_pearson(k, n, confidence);
        let score = wilson(k, n, confidence);
        let expected =
            [floats(&case["exact"]), floats(&case["wilson"]), floats(&case["one_sided"])];
        close(exact.lower, expected[0][0], &name);
        close(exact.upper, expected[0][1], &name);
        close(score.lower, expected[1][0], &name);
        close(score.upper, expected[1][1], &name);
        close(one_sided_lower(k, n, confidence), expected[2][0], &name);
        close(one_sided_upper(k, n, confidence), expected[2][1], &name);
    }
}

#[test]
fn paired_comparison_matches_scipy() {
    for case in golden()["mcnemar"].as_array().unwrap() {
        let (b, c) = (case["b"].as_u64().unwrap(), case["c"].as_u64().unwrap());
        close(mcnemar(b, c), number(case, "p"), &format!("mcnemar({b}, {c})"));
    }
    assert_eq!(mcnemar(0, 0), 1.0);
}

#[test]
fn differences_of_paired_shares_match_an_independent_reading_of_the_paper() {
    let golden: Value =
        serde_json::from_str(include_str!("../../tests/golden/paired.json")).unwrap();
    for case in golden["newcombe"].as_array().unwrap() {
        let count = |name: &str| case[name].as_u64().unwrap();
        let paired = Paired {
            both: count("both"),
            first: count("first"),
            second: count("second"),
            neither: count("neither"),
        };
        let interval = paired.newcombe(number(case, "confidence"));
        close(interval.lower, number(case, "lower"), &format!("{paired:?}"));
        close(interval.upper, number(case, "upper"), &format!("{paired:?}"));
    }
}

#[test]
fn the_area_under_the_curve_matches_scikit_learn_and_the_definition_of_its_variance() {
    for case in golden()["auc"].as_array().unwrap() {
        let positive: Vec<bool> = indices(&case["labels"]).iter().map(|&l| l == 1).collect();
        let auc = delong(&floats(&case["scores"]), &positive, 0.95).unwrap();
        close(auc.value, number(case, "auc"), "auc");
        close(auc.variance, number(case, "variance"), "variance");
        assert!(auc.interval.lower < auc.value && auc.value < auc.interval.upper);
    }
    assert_eq!(delong(&[0.1, 0.2], &[true, true], 0.95), None);
    assert_eq!(delong(&[0.1, f64::NAN], &[true, false], 0.95), None);
}

#[test]
fn a_perfect_order_of_few_rows_is_no_certainty() {
    for (m, n) in [(1, 1), (5, 5), (3, 500), (1000, 1000)] {
        let truth: Vec<bool> = (0..m + n).map(|i| i < m).collect();
        let scores: Vec<f64> = truth.iter().map(|t| f64::from(u8::from(*t))).collect();
        let up = delong(&scores, &truth, 0.95).unwrap();
        // Wilson's lower end for a share of 1: n / (n + z^2).
        let (size, z) = (m.min(n) as f64, 1.959_963_984_540_054_f64);
        close(up.interval.lower, size / (size + z * z), &format!("{m} against {n}"));
        assert_eq!((up.value, up.interval.upper), (1.0, 1.0));
        let down: Vec<f64> = scores.iter().map(|s| -s).collect();
        let down = delong(&down, &truth, 0.95).unwrap();
        close(down.interval.upper, 1.0 - up.interval.lower, "the other way round");
    }
}

#[test]
fn the_confusion_matrix_and_its_figures_match_scikit_learn() {
    for case in golden()["confusion"].as_array().unwrap() {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let decisions: Vec<Option<usize>> =
            indices(&case["decisions"]).into_iter().map(Some).collect();
        let confusion = Confusion::of(classes, &indices(&case["labels"]), &decisions);
        let matrix: Vec<Vec<usize>> =
            case["matrix"].as_array().unwrap().iter().map(indices).collect();
        let counts: Vec<Vec<usize>> =
            confusion.counts.iter().map(|row| row.iter().map(|&c| c as usize).collect()).collect();
        assert_eq!(counts, matrix);
        let balanced = confusion.balanced_accuracy().unwrap();
        close(balanced, number(case, "balanced_accuracy"), "balanced accuracy");
        close(confusion.mcc(), number(case, "mcc"), "mcc");
        let draw = || {
            let mut stream = Stream::new(1, "p", "b", 0, 0);
            melded(&confusion, 0.95, &mut stream, Confusion::balanced_accuracy).unwrap()
        };
        let interval = draw();
        assert_eq!(interval, draw());
        assert!(interval.lower < balanced && balanced < interval.upper);
        // A mean of recalls: its standard error from the binomial variances, about 4 of which
        // the interval spans; exact intervals are somewhat wider, never narrower.
        let error: f64 = (0..classes)
            .map(|c| {
                let n = confusion.labelled(c) as f64;
                let r = confusion.counts[c][c] as f64 / n;
                r * (1.0 - r) / n
            })
            .sum::<f64>()
            .sqrt()
            / classes as f64;
        let width = (interval.upper - interval.lower) / (2.0 * 1.96 * error);
        assert!((1.0..1.2).contains(&width), "width {width} of the expected one");
    }
}

#[test]
fn constant_decisions_have_no_correlation() {
    let confusion = Confusion::of(2, &[0, 0, 1], &[Some(0), Some(0), Some(0)]);
    assert_eq!(confusion.mcc(), 0.0);
    assert_eq!(confusion.balanced_accuracy(), Some(0.5));
    assert_eq!(confusion.majority(), (0, 2));
    let undecided = Confusion::of(2, &[0, 1], &[None, Some(1)]);
    assert_eq!((undecided.n(), undecided.correct(), undecided.labelled(0)), (2, 1, 1));
}

#[test]
fn brier_and_quantiles_match() {
    let golden = golden();
    let stated = floats(&golden["brier"]["stated"]);
    let two: Vec<f64> = stated.iter().flat_map(|p| [1.0 - p, *p]).collect();
    let value = brier(&two, 2, &indices(&golden["brier"]["labels"])).unwrap();
    close(value, number(&golden["brier"], "value"), "brier");
    let values = floats(&golden["quantiles"]["values"]);
    for pair in golden["quantiles"]["at"].as_array().unwrap() {
        let pair = floats(pair);
        close(quantile(&values, pair[0]).unwrap(), pair[1], &format!("quantile {}", pair[0]));
    }
}

#[test]
fn the_mean_of_zeros_and_ones_has_the_interval_of_agresti_and_coull() {
    let z = 1.959_963_984_540_054_f64;
    for (k, n) in [(0_usize, 10_usize), (3, 10), (500, 1000), (10, 10)] {
        let values: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i < k))).collect();
        let (mean, interval) = bounded_mean(&values, 1.0, 0.95).unwrap();
        let wide = n as f64 + z * z;
        let center = (k as f64 + 0.5 * z * z) / wide;
        let half = z * (center * (1.0 - center) / wide).sqrt();
        close(mean, k as f64 / n as f64, "mean");
        close(interval.lower, (center - half).max(0.0), "lower");
        close(interval.upper, (center + half).min(1.0), "upper");
        assert!(interval.lower <= mean && mean <= interval.upper);
    }
    assert_eq!(bounded_mean(&[], 1.0, 0.95), None);
    // Of a scale twice as long everything is twice as long.
    let (_, short) = bounded_mean(&[0.1, 0.4, 0.2], 1.0, 0.95).unwrap();
    let (_, long) = bounded_mean(&[0.2, 0.8, 0.4], 2.0, 0.95).unwrap();
    close(long.upper, 2.0 * short.upper, "scale");
}

#[test]
fn perfect_decisions_on_few_rows_are_no_certainty() {
    let stream = || Stream::new(1, "p", "b", 0, 0);
    let of = |n: u64| Confusion { counts: vec![vec![n, 0], vec![0, n]], undecided: vec![0, 0] };
    for figure in [Confusion::balanced_accuracy as fn(&Confusion) -> Option<f64>, |c| Some(c.mcc())]
    {
        let few = melded(&of(10), 0.95, &mut stream(), figure).unwrap();
        assert!(few.lower < 0.9 && few.upper == 1.0, "{few:?}");
        let many = melded(&of(1000), 0.95, &mut stream(), figure).unwrap();
        assert!(many.lower > 0.98 && many.lower < 1.0, "{many:?}");
    }
    // One class alone: the exact interval of its recall.
    let alone = Confusion { counts: vec![vec![10, 0], vec![0, 0]], undecided: vec![0, 0] };
    let interval = melded(&alone, 0.95, &mut stream(), Confusion::balanced_accuracy).unwrap();
    let exact = clopper_pearson(10, 10, 0.95);
    assert!((interval.lower - exact.lower).abs() < 0.02, "{interval:?} against {exact:?}");
}
