//! in-toto Statement v1: what is claimed about which bytes.
//!
//! Owns the wire type and its canonical payload. Must never sign (see [`crate::dsse`]) or know what
//! a predicate means. Called by `assess` for plans, results and verdicts, and by the pack.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;

/// The type of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement about subjects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What it is about; at least one.
    pub subject: Vec<Subject>,
    /// A URI that says how to read the predicate.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The claim.
    pub predicate: Value,
}

/// One thing a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name in the context of the statement.
    pub name: String,
    /// Its digest.
    pub digest: SubjectDigest,
}

/// The digest of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256.
    pub sha256: Digest,
}

impl Statement {
    /// A statement of `predicate_type` without subjects yet.
    pub fn new(predicate_type: impl Into<String>, predicate: Value) -> Self {
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: Vec::new(),
            predicate_type: predicate_type.into(),
            predicate,
        }
    }

    /// Adds a subject.
    #[must_use]
    pub fn subject(mut self, name: impl Into<String>, sha256: Digest) -> Self {
        self.subject.push(Subject { name: name.into(), digest: SubjectDigest { sha256 } });
        self
    }

    /// The bytes to sign: canonical JSON.
    ///
    /// # Errors
    /// [`StatementError`] if it has no subject, an empty type, or no canonical form.
    pub fn payload(&self) -> Result<Vec<u8>, StatementError> {
        self.check()?;
        Ok(canonical::to_vec(self)?)
    }

    /// Reads a payload, which must be canonical.
    ///
    /// # Errors
    /// [`StatementError`] if it is not a statement in canonical form.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(StatementError::TooLong(payload.len()));
        }
        let statement: Self = serde_json::from_value(canonical::parse(payload)?)
            .map_err(|e| StatementError::Shape(e.to_string()))?;
        statement.check()?;
        Ok(statement)
    }

    fn check(&self) -> Result<(), StatementError> {
        let fault = if self.statement_type != STATEMENT_TYPE {
            "its type is not in-toto Statement v1"
        } else if self.subject.is_empty() {
            "it has no subject"
        } else if self.predicate_type.is_empty() {
            "it has no predicate type"
        } else {
            return Ok(());
        };
        Err(StatementError::Shape(fault.to_owned()))
    }
}

/// What is wrong with a statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not canonical JSON.
    #[error("statement: {0}")]
    Canonical(#[from] CanonicalError),
    /// JSON, but not a statement.
    #[error("not a statement: {0}")]
    Shape(String),
    /// Beyond the limit.
    #[error("a statement of {0} bytes is longer than {PAYLOAD_BYTES_MAX}")]
    TooLong(usize),
}

/// Largest payload: a result with thousands of figures takes a few megabytes; rows and traces
/// belong into the artefact store.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn golden_payload_and_refusals() {
        let statement = Statement::new("https://example.invalid/p/1", json!({"b": 1, "a": 0.5}))
            .subject("model", Digest::of(b""));
        let payload = statement.payload().unwrap();
        assert_eq!(
            String::from_utf8(payload.clone()).unwrap(),
            concat!(
                r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"a":0.5,"b":1},"#,
                r#""predicateType":"https://example.invalid/p/1","subject":[{"digest":{"sha256":"#,
                r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"#,
                r#""name":"model"}]}"#
            )
        );
        assert_eq!(Statement::parse(&payload).unwrap(), statement);
        let text = String::from_utf8(payload).unwrap();
        for bad in [
            text.replace("Statement/v1", "Statement/v0"),
            text.replace(r#""name""#, r#""nam""#),
            text.replace("e3b0", "E3B0"),
            format!("{text}\n"),
        ] {
            assert!(Statement::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Statement::new("t", json!({})).payload().is_err(), "no subject");
    }
}
