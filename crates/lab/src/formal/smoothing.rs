//! Randomised smoothing: certificates for the vote of a black box over its noisy answers.
//!
//! Owns the sampling, the bound and the radius. Every figure is about the *smoothed* classifier:
//! the class that the model decides most often when Gaussian noise is added to the row. Must
//! never be told as a figure of the model itself, which may turn at any distance.
//!
//! Cohen, Rosenfeld and Kolter 2019, "Certified Adversarial Robustness via Randomized Smoothing",
//! algorithm CERTIFY and theorem 1: a few samples choose the class, many others bound its
//! probability from below (Clopper-Pearson, one-sided, at `1 - alpha`); where the bound `p`
//! exceeds 1/2 the vote stays within an L2 distance of `sigma * quantile(p)`, else it abstains.
//!
//! Noise is added in the unit of the scale. What leaves the declared bounds or lies between
//! deployed values is moved to the nearest allowed value before the model is asked; since that
//! map is the same for every row, it is part of the classifier that is smoothed. Relations
//! between columns and directions are not asked for: a certificate covers invalid rows too.

use proofmark_schema::smoothing::{Certified, FORMAT, SmoothedPoint, SmoothingReport};
use proofmark_schema::system::{Norm, Scale};

use crate::ctx::Ctx;
use crate::facts::Facts;
use crate::harness::Case;
use crate::oracle::OracleError;
use crate::stats::{clopper_pearson, normal_quantile, one_sided_lower};
use crate::stream::Stream;

/// How rows are smoothed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// Standard deviation of the noise, in the unit of the scale; positive.
    pub sigma: f64,
    /// Noisy answers that choose the class.
    pub samples_choose: u64,
    /// Noisy answers that certify it.
    pub samples: u64,
    /// Largest probability that a row's certificate is wrong, in `(0, 1)`.
    pub alpha: f64,
}

/// Why nothing was certified.
#[derive(Debug, thiserror::Error)]
pub enum SmoothingError {
    /// The target failed.
    #[error(transparent)]
    Target(#[from] OracleError),
    /// The user stopped the run.
    #[error("stopped on request; nothing was certified")]
    Cancelled,
    /// Settings that certify nothing.
    #[error("{0}")]
    Settings(String),
    /// The limit of queries is below what a certificate takes.
    #[error("a certificate takes {needed} queries per row, {limit} are allowed")]
    Limit {
        /// Queries of one row.
        needed: u64,
        /// Queries allowed.
        limit: u64,
    },
    /// The distance is not the one that Gaussian noise certifies.
    #[error("Gaussian noise certifies an L2 distance, not {0}; ask for the norm l2")]
    Norm(&'static str),
}

impl Smoothing {
    /// The greatest radius that these settings can certify: every sample for one class.
    pub fn radius_max(&self) -> f64 {
        self.radius(self.samples).1
    }

    /// Lower bound of the probability, and radius, where `count` of the samples are for the
    /// class; the radius is 0 where it abstains.
    pub fn radius(&self, count: u64) -> (f64, f64) {
        let p = one_sided_lower(count, self.samples, 1.0 - self.alpha);
        (p, if p > 0.5 { self.sigma * normal_quantile(p) } else { 0.0 })
    }

    fn check(&self, case: &Case<'_>) -> Result<(), SmoothingError> {
        if case.norm != Norm::L2 {
            return Err(SmoothingError::Norm(crate::harness::norm_name(case.norm)));
        }
        if !(self.sigma.is_finite() && self.sigma > 0.0) {
            return Err(SmoothingError::Settings(format!("sigma {} is not positive", self.sigma)));
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            let words = format!("alpha {} is not between 0 and 1", self.alpha);
            return Err(SmoothingError::Settings(words));
        }
        if self.samples_choose == 0 || self.radius_max() <= 0.0 {
            let words = format!("{} samples at alpha {} certify nothing", self.samples, self.alpha);
            return Err(SmoothingError::Settings(words));
        }
        // The row as it is is asked as well.
        let needed = self.samples_choose.saturating_add(self.samples).saturating_add(1);
        match case.queries_limit {
            Some(limit) if limit < needed => Err(SmoothingError::Limit { needed, limit }),
            _ => Ok(()),
        }
    }
}

/// Certifies every row. A row's certificate depends on the row, the seed and the settings alone.
///
/// # Errors
/// See [`SmoothingError`].
pub fn certify(
    case: &Case<'_>,
    smoothing: &Smoothing,
    ctx: &Ctx<'_>,
) -> Result<Vec<SmoothedPoint>, SmoothingError> {
    smoothing.check(case)?;
    let rows = case.oracle.rows();
    let mut points = Vec::with_capacity(rows);
    for row in 0..rows {
        points.push(one(case, smoothing, row, ctx)?);
        ctx.progress.step("rows", row as u64 + 1, rows as u64);
    }
    Ok(points)
}

fn one(
    case: &Case<'_>,
    smoothing: &Smoothing,
    row: usize,
    ctx: &Ctx<'_>,
) -> Result<SmoothedPoint, SmoothingError> {
    let clean = case.oracle.clean(row);
    let base = case.decision.decide(&case.oracle.scores(&[row], clean)?);
    let chosen = counts(case, smoothing, row, smoothing.samples_choose, "choose", ctx)?;
    let most = chosen.iter().copied().max().unwrap_or(0);
    let class = chosen.iter().position(|&count| count == most && most > 0);
    let certified = counts(case, smoothing, row, smoothing.samples, "certify", ctx)?;
    let count = class.map_or(0, |class| certified[class]);
    let (p_lower, radius) = smoothing.radius(count);
    Ok(SmoothedPoint {
        index: row as u64,
        label: case.labels[row],
        decision_base: base,
        class: class.filter(|_| radius > 0.0),
        radius,
        count,
        p_lower,
    })
}

/// How often each class is decided under noise; answers without a decision count for none.
fn counts(
    case: &Case<'_>,
    smoothing: &Smoothing,
    row: usize,
    samples: u64,
    part: &str,
    ctx: &Ctx<'_>,
) -> Result<Vec<u64>, SmoothingError> {
    let mut counts = vec![0; case.oracle.classes()];
    let mut stream = Stream::new(ctx.seed, case.probe, &format!("smoothing-{part}"), 0, row as u64);
    let clean = case.oracle.clean(row);
    let mut left = samples;
    while left > 0 {
        if ctx.cancelled() {
            return Err(SmoothingError::Cancelled);
        }
        let width = left.min(ASK_CHUNK) as usize;
        let mut x = Vec::with_capacity(width * clean.len());
        for _ in 0..width {
            x.extend(noisy(case, clean, smoothing.sigma, &mut stream));
        }
        let scores = case.oracle.scores(&vec![row; width], &x)?;
        for scores in scores.chunks(case.oracle.classes()) {
            if let Some(class) = case.decision.decide(scores) {
                counts[class] += 1;
            }
        }
        left -= width as u64;
    }
    Ok(counts)
}

/// A noisy row, as it can be asked: nothing of the map depends on the row.
fn noisy<'a>(
    case: &'a Case<'_>,
    clean: &'a [f32],
    sigma: f64,
    stream: &'a mut Stream,
) -> impl Iterator<Item = f32> + 'a {
    clean.iter().enumerate().map(move |(at, &value)| {
        let noise = stream.normal();
        if !value.is_finite() {
            return value;
        }
        let (lower, upper) = case.space.limits(at);
        let moved = f64::from(value) + sigma * case.space.unit(at) * noise;
        let inside = moved.clamp(lower, upper);
        let deployed = match case.space.grid(at) {
            None => inside,
            Some((origin, step)) => {
                let nearest = origin + ((inside - origin) / step).round() * step;
                // Bounds need not lie on the grid.
                match (nearest > upper, nearest < lower) {
                    (true, _) => nearest - step,
                    (_, true) => nearest + step,
                    _ => nearest,
                }
            }
        };
        deployed as f32
    })
}

/// The report of certified rows; `radii` are those of the curve, ascending.
pub fn report(
    case: &Case<'_>,
    smoothing: &Smoothing,
    facts: &Facts,
    scale: Scale,
    radii: &[f64],
    points: Vec<SmoothedPoint>,
) -> SmoothingReport {
    let n = points.len() as u64;
    let count = |wanted: &dyn Fn(&SmoothedPoint) -> bool| {
        points.iter().filter(|p| wanted(p)).count() as u64
    };
    let right = |p: &SmoothedPoint| p.class == Some(p.label);
    let curve = radii.iter().map(|&radius| {
        let k = count(&|p| right(p) && p.radius >= radius);
        let interval = clopper_pearson(k, n, facts.confidence);
        let estimate = if n == 0 { 0.0 } else { k as f64 / n as f64 };
        let (lower, upper, confidence) = (interval.lower, interval.upper, facts.confidence);
        Certified { radius, k, estimate, lower, upper, confidence }
    });
    SmoothingReport {
        format: FORMAT.into(),
        about: ABOUT.into(),
        model: facts.model.clone(),
        data: facts.data.clone(),
        classes: facts.classes.clone(),
        decision: case.decision.describe(&facts.classes),
        norm: case.norm,
        scale,
        sigma: smoothing.sigma,
        samples_choose: smoothing.samples_choose,
        samples: smoothing.samples,
        alpha: smoothing.alpha,
        n,
        base_correct: count(&|p| p.decision_base == Some(p.label)),
        correct: count(&right),
        abstained: count(&|p| p.class.is_none()),
        curve: curve.collect(),
        queries: n * (1 + smoothing.samples_choose + smoothing.samples),
        points,
        validity: Vec::new(),
        engine: facts.engine.clone(),
        seed: facts.seed,
        digests: facts.assets.clone(),
    }
}

/// Radii of a curve where none are asked for: steps of half a deviation up to the greatest.
pub fn radii(smoothing: &Smoothing) -> Vec<f64> {
    let most = smoothing.radius_max();
    let each = (0..STEPS_MAX).map(|step| 0.5 * smoothing.sigma * step as f64);
    each.take_while(|&radius| radius <= most).collect()
}

/// What a report says first.
pub const ABOUT: &str = "the smoothed classifier: the class that the model decides most often \
     when Gaussian noise is added to the row; nothing is proved of the model's single answers";

/// Noisy rows per call of the target: bounds memory; no result depends on it.
const ASK_CHUNK: u64 = 1024;

/// Radii of a curve at most: a certificate of 100,000 samples ends below four deviations.
const STEPS_MAX: usize = 64;

#[cfg(test)]
mod tests;
