//! Refusals: status, short code and plain words.
//!
//! Owns what a caller is told. Must never tell more than the declaration and the policy say: a
//! refusal is no measuring instrument for an attacker.

use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use super::{JSON, Reply, respond};
use crate::keys::Denied;
use crate::recorder::RecordError;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Status.
    pub(super) status: StatusCode,
    /// Short code, also in record and metrics.
    pub(super) code: &'static str,
    words: String,
    message: Option<String>,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    close: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, words: impl Into<String>) -> Self {
        let words = words.into();
        Self { status, code, words, message: None, retry_after: None, allow: None, close: false }
    }

    /// The rest of the message is not worth reading.
    fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "path", "there is nothing here").closing()
    }
    pub(super) fn method(post: bool) -> Self {
        let allow = if post { "POST" } else { "GET" };
        let words = format!("use {allow}");
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", words).closing();
        Self { allow: Some(allow), ..refusal }
    }
    pub(super) fn framing() -> Self {
        let words = "say the length of the body once, as Content-Length, without Transfer-Encoding";
        Self::new(StatusCode::BAD_REQUEST, "framing", words).closing()
    }
    pub(super) fn no_length() -> Self {
        let words = "say the length of the body as Content-Length";
        Self::new(StatusCode::LENGTH_REQUIRED, "length", words).closing()
    }
    pub(super) fn encoded() -> Self {
        let words = "send the body as it is, without Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", words).closing()
    }
    pub(super) fn key(denied: Denied) -> Self {
        let (status, code, words) = match denied {
            Denied::Absent => {
                (StatusCode::UNAUTHORIZED, "no-key", "a key is needed: Authorization: Bearer pmk_…")
            }
            Denied::Unknown => (StatusCode::UNAUTHORIZED, "unknown-key", "the key opens nothing"),
            Denied::Expired => (StatusCode::UNAUTHORIZED, "expired-key", "the key has expired"),
            Denied::Scope => (StatusCode::FORBIDDEN, "scope", "the key does not open this"),
        };
        Self::new(status, code, words).closing()
    }
    pub(super) fn rate(wait_nanos: u64) -> Self {
        let words = "too many rows for this key; try again later";
        let seconds = wait_nanos.div_ceil(1_000_000_000).max(1);
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, RATE, words);
        Self { retry_after: Some(seconds), ..refusal }
    }
    pub(super) fn too_large(found: u64, most: usize) -> Self {
        let words = format!("a body of {found} bytes; at most {most} are read");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", words).closing()
    }
    pub(super) fn slow() -> Self {
        let words = "the body did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow", words).closing()
    }
    pub(super) fn cut_off() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "cut-off", "the body ended too early").closing()
    }
    pub(super) fn unreadable(words: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "syntax", words)
    }
    pub(super) fn invalid(words: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", words)
    }
    pub(super) fn of_model(words: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "model-refused", words)
    }
    pub(super) fn stopped(message: &str) -> Self {
        let words = "the guard is stopped; nothing is decided here";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", words);
        Self { message: Some(message.to_owned()), ..refusal }
    }
    pub(super) fn unrecorded(error: &RecordError) -> Self {
        // What failed inside is for the operator's metrics, not for callers.
        let words = match error {
            RecordError::Overloaded => "the record does not keep up; try again later",
            _ => "the record cannot be written; nothing is answered without it",
        };
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, RECORD, words);
        Self { retry_after: Some(1), ..refusal }
    }
    pub(super) fn not_ready() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "not ready")
    }
    pub(super) fn upstream(words: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream", words)
    }

    /// The response: `{"error": …, "code": …}`.
    pub(super) fn reply(&self) -> Reply {
        let mut body = json!({"error": self.words, "code": self.code});
        if let (Some(map), Some(message)) = (body.as_object_mut(), &self.message) {
            map.insert("message".into(), json!(message));
        }
        let mut reply = respond(self.status, JSON, body.to_string().into_bytes());
        let headers = reply.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

/// Code of a request above its key's rate.
pub(super) const RATE: &str = "rate";
/// Code of an answer that could not be recorded.
pub(super) const RECORD: &str = "record";
