//! The data listener: connections, their limits, and the end in order.
//!
//! Owns accepting, TLS, header and idle time-outs, the cap on connections. Must never hold a
//! connection without a limit in time, or cut one that is answering. Called by the guard.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::gate::Reply;
use crate::metrics::Metrics;

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// For a whole header, a TLS handshake, and between two requests.
    pub header: Duration,
    /// Open at once; more wait to be accepted.
    pub most: usize,
}

/// Serves `listener` until `end` turns true; answers under way are finished.
pub async fn serve<F, A>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: Connections,
    metrics: Arc<Metrics>,
    mut end: watch::Receiver<bool>,
    handle: F,
) where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.most));
    loop {
        let accepted = tokio::select! {
            _ = end.wait_for(|end| *end) => break,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        // An answer is small and complete: it must not wait for the next packet.
        let _ = stream.set_nodelay(true);
        let (tls, end, handle) = (tls.clone(), end.clone(), handle.clone());
        let metrics = metrics.clone();
        tokio::spawn(async move {
            metrics.connections.inc();
            match tls {
                None => talk(stream, limits, end, handle).await,
                Some(tls) => {
                    let shaken = tokio::time::timeout(limits.header, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        talk(stream, limits, end, handle).await;
                    }
                }
            }
            metrics.connections.dec();
            drop(place);
        });
    }
    let most = u32::try_from(limits.most).unwrap_or(u32::MAX);
    // Whoever does not finish in this time is cut.
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(most)).await;
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // Never closed, so this cannot fail.
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            // Out of descriptors, most likely: a pause lets some be closed.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn talk<S, F, A>(stream: S, limits: Connections, mut end: watch::Receiver<bool>, handle: F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Reply>,
{
    let service = service_fn(|request| {
        let reply = handle(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = async {
        tokio::select! {
            _ = end.wait_for(|end| *end) => {}
            () = tokio::time::sleep(CONNECTION_MAX) => {}
        }
    };
    tokio::select! {
        // Errors here are the peer's: it broke the protocol, was too slow, or went away.
        _ = &mut connection => return,
        () = ended => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(DRAIN, connection).await;
}

/// Headers of a request; more is no client of ours.
const HEADERS_MAX: usize = 64;
/// Buffer of a connection, which also limits the header as a whole.
const BUFFER_BYTES: usize = 64 << 10;
/// A connection is closed in order after this, so that none can be held for ever.
const CONNECTION_MAX: Duration = Duration::from_secs(3_600);
/// For answers under way when the guard ends.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
