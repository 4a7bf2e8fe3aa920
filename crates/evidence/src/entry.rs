//! The leaves of the log: small canonical JSON objects that name statements by digest.
//!
//! Owns the wire type `proofmark.entry/1`. Must never hold personal data or content: digests,
//! counts and times only. Called by `assess`, the pack and the command line.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::time::{self, TimeError};

/// The format tag.
pub const FORMAT: &str = "proofmark.entry/1";

/// Key in [`Entry::extra`] under which a run-start names the plan it follows (statement digest).
pub const PLAN_KEY: &str = "plan";

/// One leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    format: String,
    /// What happened.
    pub kind: EntryKind,
    /// When, by the provider's clock: RFC 3339 in UTC.
    pub time: String,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// SHA-256 of the payload of the signed statement it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// Further fields; names must not collide with those above.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a leaf records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum EntryKind {
    /// A plan was registered.
    Plan,
    /// A run began.
    RunStart,
    /// A result was signed.
    Result,
    /// A verdict was signed.
    Verdict,
    /// A run ended.
    RunEnd,
    /// An evidence pack was sealed.
    Pack,
    /// An artefact was erased.
    Tombstone,
    /// A checkpoint was anchored outside.
    Anchor,
    /// A risk was entered, rated, treated, accepted or reviewed.
    Risk,
    /// Something about an incident was recorded.
    Incident,
    /// The journal of a drill.
    Drill,
    /// The measured effect of measures.
    Treatment,
    /// A checkpoint of the guard's own log, or its effective policy.
    Guard,
    /// A release was granted or refused.
    Gate,
    /// A paper was written.
    Paper,
    /// A person's signature on a paper was imported.
    Signature,
    /// A kind this version does not know.
    Other(String),
}

impl EntryKind {
    /// Its name in the log.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plan => "plan",
            Self::RunStart => "run-start",
            Self::Result => "result",
            Self::Verdict => "verdict",
            Self::RunEnd => "run-end",
            Self::Pack => "pack",
            Self::Tombstone => "tombstone",
            Self::Anchor => "anchor",
            Self::Risk => "risk",
            Self::Incident => "incident",
            Self::Drill => "drill",
            Self::Treatment => "treatment",
            Self::Guard => "guard",
            Self::Gate => "gate",
            Self::Paper => "paper",
            Self::Signature => "signature",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for EntryKind {
    fn from(name: String) -> Self {
        match name.as_str() {
            "plan" => Self::Plan,
            "run-start" => Self::RunStart,
            "result" => Self::Result,
            "verdict" => Self::Verdict,
            "run-end" => Self::RunEnd,
            "pack" => Self::Pack,
            "tombstone" => Self::Tombstone,
            "anchor" => Self::Anchor,
            "risk" => Self::Risk,
            "incident" => Self::Incident,
            "drill" => Self::Drill,
            "treatment" => Self::Treatment,
            "guard" => Self::Guard,
            "gate" => Self::Gate,
            "paper" => Self::Paper,
            "signature" => Self::Signature,
            _ => Self::Other(name),
        }
    }
}

impl From<EntryKind> for String {
    fn from(kind: EntryKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Entry {
    /// An entry of `kind` at `time`.
    pub fn new(kind: EntryKind, time: impl Into<String>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            kind,
            time: time.into(),
            run: None,
            statement: None,
            extra: Map::new(),
        }
    }

    /// Names the run.
    #[must_use]
    pub fn run(mut self, run: impl Into<String>) -> Self {
        self.run = Some(run.into());
        self
    }

    /// Names the signed statement.
    #[must_use]
    pub fn statement(mut self, digest: Digest) -> Self {
        self.statement = Some(digest);
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// For a run-start: the statement digest of the plan it follows.
    pub fn plan(&self) -> Option<Digest> {
        self.extra.get(PLAN_KEY)?.as_str()?.parse().ok()
    }

    /// The leaf's bytes: canonical JSON.
    ///
    /// # Errors
    /// [`EntryError`] if the time is malformed, a field collides or the entry is too long.
    pub fn to_leaf(&self) -> Result<Vec<u8>, EntryError> {
        time::check(&self.time)?;
        if let Some(key) = self.extra.keys().find(|key| OWN_KEYS.contains(&key.as_str())) {
            return Err(EntryError::Collision(key.clone()));
        }
        self.check_names()?;
        let leaf = canonical::to_vec(self)?;
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(EntryError::TooLong(leaf.len()));
        }
        Ok(leaf)
    }

    /// Reads a leaf, which must be canonical and of this format.
    ///
    /// # Errors
    /// [`EntryError`] if it is something else.
    pub fn parse(leaf: &[u8]) -> Result<Self, EntryError> {
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(EntryError::TooLong(leaf.len()));
        }
        let entry: Self = serde_json::from_value(canonical::parse(leaf)?)
            .map_err(|e| EntryError::Shape(e.to_string()))?;
        if entry.format != FORMAT {
            return Err(EntryError::Format(entry.format));
        }
        time::check(&entry.time)?;
        entry.check_names()?;
        Ok(entry)
    }

    // Kind and run are shown to people, on terminals too.
    fn check_names(&self) -> Result<(), EntryError> {
        let bad = |name: &str| {
            name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control)
        };
        if bad(self.kind.as_str()) || self.run.as_deref().is_some_and(bad) {
            let fault = "its kind or run is empty, too long or holds control characters";
            return Err(EntryError::Shape(fault.to_owned()));
        }
        Ok(())
    }
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not canonical JSON.
    #[error("log entry: {0}")]
    Canonical(#[from] CanonicalError),
    /// JSON, but not an entry.
    #[error("not a log entry: {0}")]
    Shape(String),
    /// Another format or version.
    #[error("log entry of format `{0}`, this version reads `{FORMAT}`")]
    Format(String),
    /// A malformed time.
    #[error("log entry: {0}")]
    Time(#[from] TimeError),
    /// An extra field with the name of a fixed one.
    #[error("log entry: the extra field `{0}` has the name of a fixed one")]
    Collision(String),
    /// Beyond the limit.
    #[error("log entry of {0} bytes; at most {LEAF_BYTES_MAX}, name content by its digest instead")]
    TooLong(usize),
}

/// Entry bundles carry a 16-bit length (C2SP tlog-tiles, "Log entries").
pub const LEAF_BYTES_MAX: usize = u16::MAX as usize;

/// Names are shown in one line.
const NAME_BYTES_MAX: usize = 200;
const OWN_KEYS: [&str; 5] = ["format", "kind", "time", "run", "statement"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_leaf_and_refusals() {
        let entry = Entry::new(EntryKind::RunStart, "2026-11-22T15:00:00Z")
            .run("r1")
            .with(PLAN_KEY, Digest::of(b"").hex())
            .with("attempt", 1);
        let leaf = entry.to_leaf().unwrap();
        let text = String::from_utf8(leaf.clone()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"attempt":1,"format":"proofmark.entry/1","kind":"run-start","plan":"#,
                r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","#,
                r#""run":"r1","time":"2026-11-22T15:00:00Z"}"#
            )
        );
        assert_eq!(Entry::parse(&leaf).unwrap(), entry);
        assert_eq!(entry.plan(), Some(Digest::of(b"")));
        for bad in [
            text.replace("entry/1", "entry/2"),
            text.replace("00Z", "00"),
            text.replace(r#""run":"r1","#, r#""run":1,"#),
            text.replace("\"run\"", " \"run\""),
        ] {
            assert!(Entry::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(entry.clone().with("kind", "x").to_leaf().is_err(), "collision");
        for run in ["", "a\u{1b}[2J", &"r".repeat(201)] {
            assert!(entry.clone().run(run).to_leaf().is_err(), "{run:?}");
        }
        assert!(entry.clone().with("x", "y".repeat(70_000)).to_leaf().is_err(), "too long");
        let unknown = text.replace("run-start", "moon-phase");
        let kept = Entry::parse(unknown.as_bytes()).unwrap();
        assert_eq!(kept.to_leaf().unwrap(), unknown.as_bytes());
    }
}
