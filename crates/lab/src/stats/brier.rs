//! Brier score.
//!
//! Owns the per-row values, so that the interval can be made from them.

/// Brier score of each row: for two classes the squared error of the probability of class 1,
/// for more the sum of squared errors over the classes (Brier 1950). `probabilities` is
/// `rows x classes`.
pub fn brier_rows(probabilities: &[f64], classes: usize, labels: &[usize]) -> Vec<f64> {
    let rows = probabilities.chunks(classes.max(1)).zip(labels);
    rows.map(|(p, &label)| {
        let error = |c: usize| (p[c] - if c == label { 1.0 } else { 0.0 }).powi(2);
        if classes == 2 { error(1) } else { (0..classes).map(error).sum() }
    })
    .collect()
}

/// Mean of [`brier_rows`]; `None` without rows.
pub fn brier(probabilities: &[f64], classes: usize, labels: &[usize]) -> Option<f64> {
    let rows = brier_rows(probabilities, classes, labels);
    (!rows.is_empty()).then(|| rows.iter().sum::<f64>() / rows.len() as f64)
}
