//! Reports of randomised smoothing (`proofmark.smoothing/1`): certificates of a smoothed
//! classifier, row by row.
//!
//! Owns the wire types; the committed JSON Schema is `schemas/smoothing.1.json`. Must never say
//! anything of the model itself: a certificate is about the vote over its noisy answers.

use serde::{Deserialize, Serialize};

use crate::measurement::{AssetDigest, EngineUse, Validity};
use crate::system::{Norm, Scale};

/// The format tag.
pub const FORMAT: &str = "proofmark.smoothing/1";

/// Certificates of one smoothed classifier on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothingReport {
    /// [`FORMAT`].
    pub format: String,
    /// What the figures are about, in words.
    pub about: String,
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
    /// Class names, in the order of the class indices below.
    pub classes: Vec<String>,
    /// The declared decision that votes, in words.
    pub decision: String,
    /// Distance of the radii; always L2.
    pub norm: Norm,
    /// Unit of noise and radii.
    pub scale: Scale,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// Noisy answers that choose the class.
    pub samples_choose: u64,
    /// Noisy answers that certify it.
    pub samples: u64,
    /// Largest probability that the certificate of a row is wrong.
    pub alpha: f64,
    /// Rows.
    pub n: u64,
    /// Rows that the model itself decides rightly, without noise.
    pub base_correct: u64,
    /// Rows that the smoothed classifier decides rightly.
    pub correct: u64,
    /// Rows on which it abstains.
    pub abstained: u64,
    /// Share certified right at each radius, ascending.
    pub curve: Vec<Certified>,
    /// One entry per row, ascending by index.
    pub points: Vec<SmoothedPoint>,
    /// Forward passes asked.
    pub queries: u64,
    /// Checks of the set-up.
    pub validity: Vec<Validity>,
    /// Engine that answered.
    pub engine: EngineUse,
    /// Seed of the noise.
    pub seed: u64,
    /// Digests of the model and data files.
    pub digests: Vec<AssetDigest>,
}

/// Certified accuracy at one radius.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// Radius.
    pub radius: f64,
    /// Rows decided rightly with a certificate of at least this radius.
    pub k: u64,
    /// `k / n`.
    pub estimate: f64,
    /// Lower end of the two-sided sampling interval over rows.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// Confidence of the interval.
    pub confidence: f64,
}

/// The certificate of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothedPoint {
    /// Row of the data, from 0.
    pub index: u64,
    /// Class index of the label.
    pub label: usize,
    /// Class that the model itself decides without noise.
    pub decision_base: Option<usize>,
    /// Class that the smoothed classifier decides; `None`: it abstains.
    pub class: Option<usize>,
    /// Radius of the certificate; 0 where it abstains.
    pub radius: f64,
    /// Noisy answers for the chosen class.
    pub count: u64,
    /// Lower bound of the chosen class's probability under noise.
    pub p_lower: f64,
}
