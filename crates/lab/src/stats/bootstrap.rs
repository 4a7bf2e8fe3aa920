//! Seeded bootstrap, stratified by label.
//!
//! Owns the resampling. Must never resample across labels: class sizes are part of the design.

use super::binomial::Interval;
use super::confusion::Confusion;
use super::quantile::quantile;
use crate::stream::Stream;

/// Percentile interval of a figure of the confusion matrix (Efron and Tibshirani 1993, chapter
/// 13): per label, decisions are drawn again from that label's, [`RESAMPLES`] times.
pub fn stratified(
    confusion: &Confusion,
    confidence: f64,
    stream: &mut Stream,
    figure: impl Fn(&Confusion) -> Option<f64>,
) -> Option<Interval> {
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        values.push(figure(&resampled(confusion, stream))?);
    }
    let tail = 0.5 * (1.0 - confidence);
    let (lower, upper) = (quantile(&values, tail)?, quantile(&values, 1.0 - tail)?);
    Some(Interval { lower, upper })
}

fn resampled(confusion: &Confusion, stream: &mut Stream) -> Confusion {
    let classes = confusion.counts.len();
    let mut next =
        Confusion { counts: vec![vec![0; classes]; classes], undecided: vec![0; classes] };
    for class in 0..classes {
        let n = confusion.labelled(class);
        for _ in 0..n {
            let mut draw = stream.below(n as usize) as u64;
            let hit = confusion.counts[class].iter().position(|&count| {
                let here = draw < count;
                draw = draw.saturating_sub(if here { 0 } else { count });
                here
            });
            match hit {
                Some(decision) => next.counts[class][decision] += 1,
                None => next.undecided[class] += 1,
            }
        }
    }
    next
}

/// Resamples: percentile ends at 95 % then vary by about a tenth of a standard error.
pub const RESAMPLES: usize = 2_000;
