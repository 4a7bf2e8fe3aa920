//! Events of the guard (`proofmark.guard-event/1`): the leaves of its log.
//!
//! Owns the wire types and their one spelling. Must never hold a row, a key or an address in
//! clear: inputs and outputs are keyed digests, fields only those the policy names. Called by the
//! server, which writes them, and by `assess`, which folds them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Format and version of a leaf of the guard's log.
pub const FORMAT: &str = "proofmark.guard-event/1";

/// What happened. Every event carries its `time`, RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum GuardEvent {
    /// The guard began to serve.
    Start(StartEvent),
    /// A request was decided; boxed since it is by far the largest.
    Request(Box<RequestEvent>),
    /// The state changed.
    State(StateEvent),
    /// A person or the guard itself took hold of the controls.
    Control(ControlEvent),
    /// Records or requests were lost, counted.
    Shed(ShedEvent),
    /// The log goes on in a new volume.
    Continue(ContinueEvent),
    /// The guard ended in order.
    End(EndEvent),
}

/// The guard began to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEvent {
    /// Time.
    pub time: String,
    /// SHA-256 of the effective policy.
    pub policy: String,
    /// Program and version.
    pub program: String,
    /// What is served.
    pub models: Vec<ServedModel>,
    /// State that was resumed.
    pub resumed_state: GuardState,
    /// Weak points of the policy that were accepted, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_points: Vec<String>,
}

/// A model that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedModel {
    /// Name in the declaration.
    pub name: String,
    /// `primary` or `backup`.
    pub role: Responder,
    /// Digest of the file as assessed; `None` for an upstream that shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Who gave the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Responder {
    /// The primary model.
    Primary,
    /// The backup model; the answer is marked.
    Backup,
    /// Nobody decided: the declared safe output.
    Safe,
    /// There was no answer but a refusal.
    None,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardVerdict {
    /// Answered by the primary model.
    Answered,
    /// Answered by the backup model, marked.
    Degraded,
    /// The declared safe output.
    Safe,
    /// Refused with a reason.
    Refused,
}

/// State of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GuardState {
    /// The primary answers.
    Normal,
    /// The backup answers, marked.
    Degraded,
    /// Nobody decides: every answer is the declared safe output.
    Safe,
    /// Nothing is released until a person with authority restarts.
    Stopped,
}

impl GuardState {
    /// The four, from the best to the worst.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Degraded, Self::Safe, Self::Stopped];

    /// Name as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Degraded => "DEGRADED",
            Self::Safe => "SAFE",
            Self::Stopped => "STOPPED",
        }
    }
}

impl std::fmt::Display for GuardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestEvent {
    /// Time.
    pub time: String,
    /// Id of the answer: 128 bits in hexadecimal.
    pub id: String,
    /// Id of the API key (never the key); `None` when there was none that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Route: `oip`, `json`, `raw`.
    pub route: String,
    /// Model that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who answered.
    pub by: Responder,
    /// How it ended.
    pub verdict: GuardVerdict,
    /// Why it was refused, degraded or safe: a short id, e.g. `rate`, `range`, `breaker-open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rows asked for; 0 when the body was not read.
    pub rows: u32,
    /// Keyed digest (HMAC-SHA-256) of the canonical rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Keyed digest of the answer's scores or safe output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Decision per row, by class name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<String>,
    /// Declared fields that the policy keeps in clear.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// From the first byte of the request to this record, microseconds.
    pub latency_us: u64,
}

/// The state changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEvent {
    /// Time of the change.
    pub time: String,
    /// Before.
    pub from: GuardState,
    /// After.
    pub to: GuardState,
    /// Why: a sentence.
    pub cause: String,
}

/// Someone took hold of the controls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlEvent {
    /// Time.
    pub time: String,
    /// What was done.
    pub action: ControlAction,
    /// Person, or `guard` when it acted by itself.
    pub by: String,
    /// Why.
    pub reason: String,
    /// For a stop: its id, which a restart order must name. For a restart: id of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What can be done by the controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlAction {
    /// Everything is held back from now on.
    Stop,
    /// Held back no longer, by a signed order.
    Restart,
    /// A restart was asked for without a valid order.
    RefusedRestart,
    /// A key was blocked.
    BlockKey,
    /// The policy was read again.
    Reload,
    /// Limits were made tighter.
    Tighten,
    /// A change was refused, e.g. during the hold of an incident.
    RefusedChange,
}

/// Loss, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShedEvent {
    /// Time of this record.
    pub time: String,
    /// How many were refused unrecorded.
    pub count: u64,
    /// Since when.
    pub since: String,
}

/// The log goes on in a new volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinueEvent {
    /// Time.
    pub time: String,
    /// Origin of the volume before.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
}

/// The guard ended in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndEvent {
    /// Time.
    pub time: String,
    /// State at the end.
    pub state: GuardState,
    /// Why.
    pub reason: String,
}

impl GuardEvent {
    /// When it happened.
    pub fn time(&self) -> &str {
        match self {
            Self::Start(e) => &e.time,
            Self::Request(e) => &e.time,
            Self::State(e) => &e.time,
            Self::Control(e) => &e.time,
            Self::Shed(e) => &e.time,
            Self::Continue(e) => &e.time,
            Self::End(e) => &e.time,
        }
    }

    /// The leaf: JSON with the format first, fields in the order of the types.
    ///
    /// # Errors
    /// [`GuardEventError`], which would be a fault of ours.
    pub fn to_leaf(&self) -> Result<Vec<u8>, GuardEventError> {
        let mut leaf = Vec::with_capacity(LEAF_BYTES_TYPICAL);
        leaf.extend_from_slice(b"{\"format\":\"");
        leaf.extend_from_slice(FORMAT.as_bytes());
        leaf.extend_from_slice(b"\",");
        let body = leaf.len();
        serde_json::to_writer(&mut leaf, self)
            .map_err(|e| GuardEventError::Shape(e.to_string()))?;
        // The event is an object of its own: its opening brace is already there.
        leaf.remove(body);
        Ok(leaf)
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`GuardEventError`] if it is another format or not such an event.
    pub fn parse(leaf: &[u8]) -> Result<Self, GuardEventError> {
        let shape = |e: serde_json::Error| GuardEventError::Shape(e.to_string());
        let mut value: Value = serde_json::from_slice(leaf).map_err(shape)?;
        let format = value.as_object_mut().and_then(|o| o.remove("format"));
        match format.as_ref().and_then(Value::as_str) {
            Some(FORMAT) => serde_json::from_value(value).map_err(shape),
            other => {
                Err(GuardEventError::Format(other.unwrap_or("none").chars().take(80).collect()))
            }
        }
    }
}

/// What is wrong with a leaf of the guard's log.
#[derive(Debug)]
pub enum GuardEventError {
    /// Not such an event.
    Shape(String),
    /// Another format or version.
    Format(String),
}

impl std::fmt::Display for GuardEventError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(why) => write!(f, "not an event of the guard: {why}"),
            Self::Format(found) => {
                write!(f, "an event of format `{found}`, this version reads `{FORMAT}`")
            }
        }
    }
}

impl std::error::Error for GuardEventError {}

/// A record of a request takes about this much: one allocation is enough.
const LEAF_BYTES_TYPICAL: usize = 640;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_leaf_and_refusals() {
        let event = GuardEvent::State(StateEvent {
            time: "2026-11-22T18:00:00.25Z".into(),
            from: GuardState::Normal,
            to: GuardState::Degraded,
            cause: "5 failures in a row".into(),
        });
        let leaf = event.to_leaf().unwrap();
        let text = String::from_utf8(leaf.clone()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"format":"proofmark.guard-event/1","event":"state","#,
                r#""time":"2026-11-22T18:00:00.25Z","from":"NORMAL","to":"DEGRADED","#,
                r#""cause":"5 failures in a row"}"#
            )
        );
        assert_eq!(GuardEvent::parse(&leaf).unwrap(), event);
        for bad in [
            text.replace("event/1", "event/2"),
            text.replace("NORMAL", "FINE"),
            text.replace("\"state\"", "\"moon\""),
            text.replace("from", "fron"),
            "{}".into(),
            "".into(),
        ] {
            assert!(GuardEvent::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
