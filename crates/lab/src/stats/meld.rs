//! Intervals of figures made of several recalls.
//!
//! Owns the draws. Must never mix labels: class sizes are part of the design. Must never give
//! an interval without width: a class without an error says "few", not "none".

use super::binomial::Interval;
use super::confusion::Confusion;
use super::quantile::quantile;
use crate::stream::Stream;

/// Interval of a figure that grows with every class's recall, by melding exact intervals (Fay,
/// Proschan and Brittain 2015, "Combining one-sample confidence procedures for inference in the
/// two-sample case"): the lower end is a quantile over draws of each recall's lower confidence
/// distribution `Beta(k, n - k + 1)`, the upper end over `Beta(k + 1, n - k)`. For one class
/// this is Clopper and Pearson's interval. Rows decided otherwise keep their shares.
pub fn melded(
    confusion: &Confusion,
    confidence: f64,
    stream: &mut Stream,
    figure: impl Fn(&Confusion) -> Option<f64>,
) -> Option<Interval> {
    let (mut lows, mut highs) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    for _ in 0..DRAWS {
        lows.push(figure(&drawn(confusion, stream, 0))?);
        highs.push(figure(&drawn(confusion, stream, 1))?);
    }
    let tail = 0.5 * (1.0 - confidence);
    let (lower, upper) = (quantile(&lows, tail)?, quantile(&highs, 1.0 - tail)?);
    Some(Interval { lower, upper })
}

/// A confusion matrix with drawn recalls, `more` being 0 for the lower and 1 for the upper end.
/// Counts are scaled up, so that rounding them does not show: only their ratios matter.
fn drawn(confusion: &Confusion, stream: &mut Stream, more: u64) -> Confusion {
    let classes = confusion.counts.len();
    let mut next =
        Confusion { counts: vec![vec![0; classes]; classes], undecided: vec![0; classes] };
    for class in 0..classes {
        let n = confusion.labelled(class);
        if n == 0 {
            continue;
        }
        let hits = confusion.counts[class][class];
        let recall = beta(hits + more, n - hits + 1 - more, stream);
        let all = n as f64 * SCALE;
        let missed = all * (1.0 - recall);
        let errors = n - hits;
        for decision in (0..classes).filter(|&d| d != class) {
            // Without an error seen, the unseen ones go anywhere alike.
            let share = match errors {
                0 => 1.0 / (classes - 1) as f64,
                _ => confusion.counts[class][decision] as f64 / errors as f64,
            };
            next.counts[class][decision] = (missed * share).round() as u64;
        }
        if errors > 0 {
            let share = confusion.undecided[class] as f64 / errors as f64;
            next.undecided[class] = (missed * share).round() as u64;
        }
        next.counts[class][class] = (all * recall).round() as u64;
    }
    next
}

/// A draw of `Beta(a, b)` for whole numbers; with `a = 0` all mass is at 0, with `b = 0` at 1.
fn beta(a: u64, b: u64, stream: &mut Stream) -> f64 {
    match (a, b) {
        (0, _) => 0.0,
        (_, 0) => 1.0,
        _ => {
            let (x, y) = (gamma(a as f64, stream), gamma(b as f64, stream));
            x / (x + y)
        }
    }
}

/// A draw of the gamma distribution of shape at least 1 (Marsaglia and Tsang 2000).
fn gamma(shape: f64, stream: &mut Stream) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = stream.normal();
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - stream.unit();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Draws: percentile ends at 95 % then vary by about a tenth of a standard error.
pub const DRAWS: usize = 2_000;

/// Counts per row: rounding then moves a share by less than one in a million.
const SCALE: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_the_beta_distribution() {
        let mut stream = Stream::new(1, "t", "", 0, 0);
        for (a, b) in [(1, 1), (1, 30), (28, 3), (500, 200)] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(a, b, &mut stream)).collect();
            let (a, b) = (a as f64, b as f64);
            let (mean, variance) = (a / (a + b), a * b / (a + b).powi(2) / (a + b + 1.0));
            let n = draws.len() as f64;
            let got = draws.iter().sum::<f64>() / n;
            let spread = draws.iter().map(|v| (v - got).powi(2)).sum::<f64>() / n;
            assert!((got - mean).abs() < 5.0 * (variance / n).sqrt(), "{a} {b}: {got}");
            assert!((spread / variance - 1.0).abs() < 0.06, "{a} {b}: {spread} {variance}");
        }
        assert_eq!((beta(0, 5, &mut stream), beta(5, 0, &mut stream)), (0.0, 1.0));
    }
}
