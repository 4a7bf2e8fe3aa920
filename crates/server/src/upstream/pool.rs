//! Connections to one upstream, kept open between requests.
//!
//! Owns opening, keeping and reusing them; each carries one request at a time and is driven by the
//! task that asks, so nothing runs beside it. Must never reuse a connection whose answer was not
//! read to its end. Called by the upstream scorer and the pass-through.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::scorer::ScoreError;

/// Connections to one upstream.
pub struct Pool {
    address: SocketAddr,
    host: HeaderValue,
    idle: Mutex<Vec<Wire>>,
}

/// A request to the upstream.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    /// Path.
    pub path: &'a str,
    /// Body, JSON.
    pub body: Bytes,
    /// Bytes of an answer.
    pub most: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// An open connection.
struct Wire {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

/// Why an exchange failed.
enum Fault {
    /// The connection ended before a whole answer: another may do.
    Gone,
    /// The answer is too long.
    TooLong,
}

impl Pool {
    /// No connection yet; `authority` goes into the `Host` header.
    pub fn new(address: SocketAddr, authority: &str) -> Self {
        let host = HeaderValue::from_str(authority);
        let host = host.unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self { address, host, idle: Mutex::default() }
    }

    /// Posts and reads the whole answer. A kept connection that turns out to be closed is
    /// replaced once: inference changes nothing, so asking again is safe.
    ///
    /// # Errors
    /// [`ScoreError::Deadline`], [`ScoreError::Unreachable`] or, when the answer is cut or too
    /// long, [`ScoreError::Broken`].
    pub async fn post(
        &self,
        exchange: Exchange<'_>,
        deadline: Instant,
    ) -> Result<Answer, ScoreError> {
        let all = self.try_post(&exchange);
        match tokio::time::timeout_at(deadline.into(), all).await {
            Ok(result) => result,
            Err(_) => Err(ScoreError::Deadline),
        }
    }

    async fn try_post(&self, exchange: &Exchange<'_>) -> Result<Answer, ScoreError> {
        loop {
            let (wire, kept) = match self.take() {
                Some(wire) => (wire, true),
                None => (self.open().await?, false),
            };
            match wire.exchange(exchange, &self.host).await {
                Ok((answer, wire)) => {
                    if let Some(wire) = wire {
                        self.keep(wire);
                    }
                    return Ok(answer);
                }
                Err(Fault::TooLong) => {
                    return Err(ScoreError::Broken("its answer is too long".into()));
                }
                Err(Fault::Gone) if kept => {}
                Err(Fault::Gone) => {
                    return Err(ScoreError::Broken("it closed the connection".into()));
                }
            }
        }
    }

    async fn open(&self) -> Result<Wire, ScoreError> {
        let stream = TcpStream::connect(self.address).await.map_err(|_| ScoreError::Unreachable)?;
        // Small requests must not wait for the acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let (sender, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|_| ScoreError::Unreachable)?;
        Ok(Wire { sender, driver: Box::pin(driver) })
    }

    fn take(&self) -> Option<Wire> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(wire);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Wire {
    /// One request and its answer; the connection comes back when it can be used again.
    async fn exchange(
        mut self,
        exchange: &Exchange<'_>,
        host: &HeaderValue,
    ) -> Result<(Answer, Option<Self>), Fault> {
        let uri: Uri = exchange.path.parse().map_err(|_| Fault::Gone)?;
        let mut request = Request::new(Full::new(exchange.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let most = exchange.most;
        let (sender, driver) = (&mut self.sender, &mut self.driver);
        let (answer, open) = {
            let mut work = std::pin::pin!(async move {
                sender.ready().await.map_err(|_| Fault::Gone)?;
                let response = sender.send_request(request).await.map_err(|_| Fault::Gone)?;
                read(response, most).await
            });
            tokio::select! {
                biased;
                answer = &mut work => (answer?, true),
                // The driver ends when the connection does; what it read until then may still be
                // a whole answer.
                _ = driver => (work.await?, false),
            }
        };
        Ok((answer, open.then_some(self)))
    }
}

async fn read(response: hyper::Response<Incoming>, most: usize) -> Result<Answer, Fault> {
    let (head, mut body) = response.into_parts();
    if body.size_hint().lower() > most as u64 {
        return Err(Fault::TooLong);
    }
    let mut whole: Option<Bytes> = None;
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::Gone)?.into_data() else { continue };
        if whole.as_ref().map_or(0, Bytes::len) + more.len() + data.len() > most {
            return Err(Fault::TooLong);
        }
        match whole.take() {
            None if more.is_empty() => whole = Some(data),
            first => {
                more.extend_from_slice(first.as_deref().unwrap_or_default());
                more.extend_from_slice(&data);
            }
        }
    }
    let body = whole.unwrap_or_else(|| more.freeze());
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Connections kept open; more than the guard's own callers ever ask at once is of no use.
const IDLE_MAX: usize = 256;
