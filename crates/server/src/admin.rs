//! The admin listener: health, metrics, state; stop and restart by whoever holds its token.
//!
//! Owns these paths. Must never serve anything but loopback, answer a page of a browser that was
//! talked into asking, or restart without a signed order. Called by the guard on its own listener.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use proofmark_schema::guard::GuardState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::gate::{Gate, JSON, Reply, respond};
use crate::state::StateError;

/// Format of what `/state` says.
pub const STATUS_FORMAT: &str = "proofmark.guard-status/1";

/// The admin side of a guard.
#[derive(Clone)]
pub struct Admin {
    gate: Arc<Gate>,
    token: Arc<str>,
}

/// What is asked of `/stop`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Person who stops.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin(..)")
    }
}

impl Admin {
    /// The admin side of `gate`; `token` opens what changes something.
    pub fn new(gate: Arc<Gate>, token: String) -> Self {
        Self { gate, token: token.into() }
    }

    /// Answers one request.
    pub async fn serve(self, request: Request<Incoming>) -> Reply {
        if !at_home(&request) {
            return say(StatusCode::FORBIDDEN, &json!({"error": "ask by a loopback address"}));
        }
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/healthz/live") => say(StatusCode::OK, &json!({"live": true})),
            (&Method::GET, "/healthz/ready") => self.ready(),
            (&Method::GET, "/healthz/safe") => self.safe(),
            (&Method::GET, "/state") => say(StatusCode::OK, &self.status()),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::POST, "/stop") => self.stop(request).await,
            (&Method::POST, "/restart") => self.restart(request).await,
            _ => say(StatusCode::NOT_FOUND, &json!({"error": "there is nothing here"})),
        }
    }

    fn ready(&self) -> Reply {
        let ready = self.gate.state.releases() && self.gate.recorder.healthy();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        say(status, &json!({"ready": ready}))
    }

    /// Whether a model decides at all.
    fn safe(&self) -> Reply {
        let decides = matches!(self.gate.state.state(), GuardState::Normal | GuardState::Degraded);
        let status = if decides { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        say(status, &self.status())
    }

    fn status(&self) -> Value {
        let gate = &self.gate;
        let (kept, stats) = (gate.state.kept(), gate.recorder.stats());
        let lane = |lane: &crate::router::Lane| {
            json!({
                "model": lane.scorer.name(),
                "breaker": format!("{:?}", lane.breaker().state()).to_lowercase(),
                "trusted": lane.trusted(),
            })
        };
        json!({
            "format": STATUS_FORMAT,
            "running": true,
            "state": gate.state.state(),
            "since": kept.since,
            "cause": kept.cause,
            "stop": kept.stop,
            "primary": lane(&gate.router.primary),
            "backup": gate.router.backup.as_ref().map(lane),
            "record": {
                "healthy": gate.recorder.healthy(),
                "records": stats.records,
                "shed": stats.shed,
                "failed": stats.failed,
            },
        })
    }

    fn metrics(&self) -> Reply {
        let router = &self.gate.router;
        let mut breakers = vec![("primary", router.primary.breaker().state())];
        breakers.extend(router.backup.as_ref().map(|b| ("backup", b.breaker().state())));
        let (state, stats) = (self.gate.state.state(), self.gate.recorder.stats());
        let text = self.gate.metrics.text(state, &breakers, stats);
        respond(StatusCode::OK, METRICS, text.into_bytes())
    }

    async fn stop(&self, request: Request<Incoming>) -> Reply {
        let body = match self.admitted(request).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let Ok(stop) = serde_json::from_slice::<StopRequest>(&body) else {
            return say(StatusCode::BAD_REQUEST, &json!({"error": "send `by` and `reason`"}));
        };
        let state = self.gate.state.clone();
        let stopping = move || state.stop(&stop.by, &stop.reason);
        match tokio::task::spawn_blocking(stopping).await {
            Ok(Ok(id)) => say(StatusCode::OK, &json!({"state": "STOPPED", "stop": id})),
            Ok(Err(error)) => {
                // Nothing is released any more; only the keeping of it failed.
                let words = json!({"state": "STOPPED", "error": error.to_string()});
                say(StatusCode::INTERNAL_SERVER_ERROR, &words)
            }
            Err(_) => say(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "no thread"})),
        }
    }

    async fn restart(&self, request: Request<Incoming>) -> Reply {
        let bundle = match self.admitted(request).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let state = self.gate.state.clone();
        let restarting = move || state.restart(&bundle);
        match tokio::task::spawn_blocking(restarting).await {
            Ok(Ok(order)) => {
                let state = self.gate.state.state();
                say(StatusCode::OK, &json!({"state": state, "order": order.id}))
            }
            Ok(Err(error)) => {
                let status = match error {
                    StateError::NotStopped => StatusCode::CONFLICT,
                    StateError::NoAuthority | StateError::Order(_) => StatusCode::FORBIDDEN,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                say(status, &json!({"error": error.to_string()}))
            }
            Err(_) => say(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "no thread"})),
        }
    }

    /// The body of a request whose token fits.
    async fn admitted(&self, request: Request<Incoming>) -> Result<Bytes, Reply> {
        let header = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = header.and_then(|h| h.strip_prefix("Bearer ")).unwrap_or_default();
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return Err(say(
                StatusCode::UNAUTHORIZED,
                &json!({"error": "the token opens nothing"}),
            ));
        }
        let body = Limited::new(request.into_body(), ORDER_BYTES_MAX).collect();
        match tokio::time::timeout(BODY_WAIT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            _ => Err(say(StatusCode::BAD_REQUEST, &json!({"error": "the body does not read"}))),
        }
    }
}

/// Whether the request names this machine: a page elsewhere could make a browser ask otherwise.
fn at_home(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn say(status: StatusCode, value: &Value) -> Reply {
    respond(status, JSON, value.to_string().into_bytes())
}

const METRICS: &str = "text/plain; version=1.0.0; charset=utf-8";
/// Bytes of a signed order.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// For the body of an order.
const BODY_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
