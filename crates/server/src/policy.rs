//! The policy of the guard (`proofmark.guard/1`): what it listens on, serves, allows and records.
//!
//! Owns the validated settings and their defaults. A held [`Policy`] is a proof that every limit
//! lies in its range and that nothing but loopback is served without TLS. Must never open a file
//! that the policy names. Read by [`read`], explained by [`effective`].

pub mod effective;
mod read;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use read::parse;

/// The validated policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Folder of the declaration, relative to the policy.
    pub system: String,
    /// Whether requests are guarded at all.
    pub mode: Mode,
    /// Where it listens.
    pub listen: Listen,
    /// The model that decides.
    pub primary: Source,
    /// The model that takes over.
    pub backup: Option<Source>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Limits of a request.
    pub limits: Limits,
    /// When a model is left alone, and when it is tried again.
    pub breaker: Breaking,
    /// What is answered when no model may.
    pub safe: SafeOutput,
    /// What of an answer is released.
    pub release: Release,
    /// Declared features kept in clear in the record; none by default.
    pub record_fields: Vec<String>,
    /// How an upstream is compared with the declared model.
    pub known_answers: KnownAnswers,
}

/// Whether requests are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Keys, limits, validation, record, fall-back: everything.
    Guard,
    /// Bytes go through on the allowed paths, unread and unrecorded. For measuring only.
    PassThrough,
}

/// Where the guard listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Address of the data listener.
    pub address: SocketAddr,
    /// Certificate and key; without them only loopback is served.
    pub tls: Option<TlsFiles>,
    /// Address of health, metrics, state and stop: loopback.
    pub admin: SocketAddr,
}

/// PEM files, relative to the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

/// A model and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name in the declaration.
    pub model: String,
    /// Server that runs it; `None`: this process does.
    pub upstream: Option<Upstream>,
}

/// A server in front of which the guard stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Host and port.
    pub authority: String,
    /// What it speaks.
    pub protocol: UpstreamProtocol,
    /// Path that is asked.
    pub path: String,
    /// JSON scorer: key of the request under which the rows lie.
    pub rows: String,
    /// JSON scorer: JSON pointer (RFC 6901) to the scores in the answer.
    pub scores: String,
}

/// Protocol of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// Open Inference Protocol v2, REST.
    Oip,
    /// A scorer with rows of named features.
    Json,
}

/// What the data listener speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Open Inference Protocol v2, REST, for the primary model.
    pub oip: bool,
    /// Path of the JSON scorer.
    pub json: Option<String>,
}

/// Limits of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Depth of JSON.
    pub json_depth: usize,
    /// Rows of a request.
    pub rows: usize,
    /// Milliseconds for a whole header, and for an idle connection.
    pub header_ms: u64,
    /// Milliseconds for a whole body.
    pub body_ms: u64,
    /// Milliseconds from the last byte of a request to its answer.
    pub deadline_ms: u64,
    /// Rows a second and key.
    pub requests_per_second: u32,
    /// Rows that may come at once per key.
    pub burst: u32,
    /// Open connections.
    pub connections: usize,
    /// Where the ranges of numbers come from.
    pub range: Range,
    /// Whether a feature may be left out or null.
    pub missing: bool,
}

/// Where ranges come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Range {
    /// The bounds and values of the declaration.
    Declared,
    /// An input schema, relative to the policy; what it leaves open the declaration says.
    Schema(String),
}

/// The circuit breaker of each model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaking {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Milliseconds until it is tried again.
    pub open_ms: u64,
    /// Good probes that close it.
    pub probes: u32,
}

/// The declared safe output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafeOutput {
    /// Word in the place of a class.
    pub decision: String,
    /// What it means, for people.
    pub message: String,
}

/// What of an answer is released.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Decimals of a released score.
    pub decimals: u8,
    /// Distance that released probabilities keep from 0 and 1.
    pub clip: f64,
    /// Whether scores leave at all; the decision always does.
    pub scores: bool,
    /// Whether primary and backup must agree; if not, the safe output leaves.
    pub vote: bool,
}

/// The known-answer check of upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownAnswers {
    /// Milliseconds between checks.
    pub every_ms: u64,
    /// Rows per check; 0 switches it off, which is a weak point.
    pub rows: usize,
    /// Largest difference of a score.
    pub tolerance: f64,
}

/// Format tag.
pub const FORMAT: &str = "proofmark.guard/1";

impl Policy {
    /// The models it names, primary first.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.primary).chain(&self.backup)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            json_depth: 8,
            rows: 64,
            header_ms: 2_000,
            body_ms: 5_000,
            deadline_ms: 250,
            requests_per_second: 50,
            burst: 100,
            connections: 256,
            range: Range::Declared,
            missing: false,
        }
    }
}

impl Default for Breaking {
    fn default() -> Self {
        Self { failures: 5, open_ms: 2_000, probes: 2 }
    }
}

impl Default for SafeOutput {
    fn default() -> Self {
        Self {
            decision: "refer".into(),
            message: "No automatic decision was made; a person will decide.".into(),
        }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self { decimals: 2, clip: 0.0, scores: true, vote: false }
    }
}

impl Default for KnownAnswers {
    fn default() -> Self {
        Self { every_ms: 30_000, rows: 8, tolerance: 1e-4 }
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self { oip: true, json: Some(SCORE_PATH.into()) }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { address: local(PORT), tls: None, admin: local(PORT_ADMIN) }
    }
}

/// Path of the JSON scorer unless told otherwise.
pub(crate) const SCORE_PATH: &str = "/score";
/// Port of the data listener unless told otherwise.
const PORT: u16 = 8080;
/// Port of the admin listener unless told otherwise.
const PORT_ADMIN: u16 = 8081;
