//! The door: path allow-list, framing, key. Nothing of a body is read here.
//!
//! Owns which paths exist and how a key is presented. Must never let two readings of a message's
//! length stand: `Transfer-Encoding` is refused altogether.

use std::sync::Arc;

use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING,
};
use hyper::{Method, Request};

use super::{Gate, JSON_LENGTH, Refusal};
use crate::keys::{Denied, Holder, Scope};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The JSON scorer.
    Score,
    /// Inference of the Open Inference Protocol.
    Infer,
    /// Metadata of the server.
    Server,
    /// Metadata of the model.
    Model,
    /// Liveness.
    Live,
    /// Readiness of server and model.
    Ready,
}

impl Route {
    /// Whether it asks for scores.
    pub(super) fn scores(self) -> bool {
        matches!(self, Self::Score | Self::Infer)
    }

    /// Name in the record.
    pub(super) fn name(self) -> &'static str {
        if self == Self::Score { "json" } else { "oip" }
    }

    fn method(self) -> Method {
        if self.scores() { Method::POST } else { Method::GET }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where to.
    pub(super) route: Route,
    /// Bytes of the body.
    pub(super) length: Option<u64>,
    /// Bytes of the JSON before binary tensors.
    pub(super) json_length: Option<usize>,
}

impl Gate {
    /// Checks path, method and framing.
    pub(super) fn enter<B>(&self, request: &Request<B>) -> Result<Entry, Refusal> {
        let uri = request.uri();
        // A request that names a host in its first line takes this for an open proxy.
        let plain = uri.query().is_none() && uri.authority().is_none();
        let route = self.route(uri.path()).filter(|_| plain).ok_or_else(Refusal::unknown_path)?;
        if request.method() != route.method() {
            return Err(Refusal::method(route.scores()));
        }
        let headers = request.headers();
        if headers.contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::framing());
        }
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Refusal::encoded());
        }
        let number = |name| match one(headers, &name) {
            Ok(None) => Ok(None),
            Ok(Some(text)) => text.parse::<u64>().map(Some).map_err(|_| Refusal::framing()),
            Err(()) => Err(Refusal::framing()),
        };
        let json_length = number(JSON_LENGTH)?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Entry { route, length: number(CONTENT_LENGTH)?, json_length })
    }

    fn route(&self, path: &str) -> Option<Route> {
        if self.policy.protocol.json.as_deref() == Some(path) {
            return Some(Route::Score);
        }
        let oip = path.strip_prefix("/v2").filter(|_| self.policy.protocol.oip)?;
        let model = oip.strip_prefix("/models/");
        let Some(model) = model.and_then(|m| m.strip_prefix(self.policy.primary.model.as_str()))
        else {
            return match oip {
                "" => Some(Route::Server),
                "/health/live" => Some(Route::Live),
                "/health/ready" => Some(Route::Ready),
                _ => None,
            };
        };
        match model {
            "" => Some(Route::Model),
            "/ready" => Some(Route::Ready),
            "/infer" => Some(Route::Infer),
            _ => None,
        }
    }

    /// Who asks.
    pub(super) fn holder(&self, headers: &HeaderMap, scope: Scope) -> Result<Arc<Holder>, Refusal> {
        let presented = one(headers, &AUTHORIZATION).map_err(|()| Refusal::key(Denied::Unknown))?;
        let key = presented.and_then(|text| {
            let (scheme, key) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let key = key.ok_or_else(|| Refusal::key(Denied::Absent))?;
        let now = (self.clock)();
        self.keyring.load().check(key, scope, &now).map_err(Refusal::key)
    }
}

/// The one value of a header; two are an error, as two readers might take either.
fn one<'h>(
    headers: &'h HeaderMap,
    name: &hyper::header::HeaderName,
) -> Result<Option<&'h str>, ()> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    if all.next().is_some() {
        return Err(());
    }
    first.map(|value| value.to_str().map_err(|_| ())).transpose()
}
