//! The socket to an endpoint: one request after the other, no faster than allowed.
//!
//! Owns the agent, headers, rate and patience. Must never print or keep a header's value, nor
//! follow an answer to another host.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proofmark_lab::endpoint::{Reply, Silence, Transport};

use super::EndpointArgs;
use crate::failure::{Failure, OrFail, Outcome};
use crate::interrupt;

/// A way to one URL.
pub struct Wire {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
    every: Duration,
    next: Mutex<Option<Instant>>,
}

impl Wire {
    /// Opens nothing yet: reads the headers out of the environment.
    pub fn open(url: &str, args: &EndpointArgs) -> Outcome<Self> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let words = format!("`{}` is no URL of HTTP", shown(url));
            return Err(Failure::new("endpoint", words, "e.g. http://127.0.0.1:8080/score"));
        }
        let mut headers = Vec::new();
        for pair in &args.header_env {
            let Some((name, variable)) = pair.split_once('=') else {
                let words = "`--header-env` takes NAME=VARIABLE";
                return Err(Failure::new("header", words, "e.g. authorization=API_KEY"));
            };
            let value = std::env::var(variable).map_err(|_| {
                let words = format!("the environment variable `{variable}` is not set");
                Failure::new("header", words, "set it to the whole value of the header")
            })?;
            headers.push((name.to_owned(), value));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(args.answer_within.min(PATIENCE_MAX))))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let every = args
            .rate
            .map_or(Duration::ZERO, |r| Duration::from_secs_f64((1.0 / r).min(PATIENCE_MAX)));
        let (url, next) = (url.to_owned(), Mutex::new(None));
        Ok(Self { agent: config.into(), url, headers, every, next })
    }

    /// What the Open Inference Protocol says of the model: the URL without `/infer`.
    pub fn metadata(&self) -> Outcome<Vec<u8>> {
        let url = self.url.trim_end_matches('/');
        let url = url.strip_suffix("/infer").unwrap_or(url);
        let mut request = self.agent.get(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let help = "the URL is that of the model, e.g. http://host/v2/models/NAME/infer";
        let mut reply = request.call().or_fail("endpoint", help)?;
        let status = reply.status().as_u16();
        let body = body_of(&mut reply).or_fail("endpoint", help)?;
        if status != 200 {
            let words = format!("`{}` answers with status {status}", shown(url));
            return Err(Failure::new("endpoint", words, help));
        }
        Ok(body)
    }

    /// A text without the values of the headers, nor what follows their scheme.
    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (_, value) in &self.headers {
            let token = value.split_whitespace().last().unwrap_or_default();
            for secret in [value.as_str(), token] {
                if !secret.is_empty() {
                    text = text.replace(secret, "***");
                }
            }
        }
        text
    }

    /// Waits for its turn.
    fn turn(&self) -> Result<(), Silence> {
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let due = next.map_or(now, |next| next.max(now));
            *next = Some(due + self.every);
            due
        };
        wait(due.saturating_duration_since(Instant::now()))
    }
}

impl Transport for Wire {
    fn send(&self, body: &[u8]) -> Result<Reply, Silence> {
        self.turn()?;
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut reply =
            request.send(body).map_err(|e| silence(e, |text| self.without_secrets(text)))?;
        let status = reply.status().as_u16();
        let seconds = reply.headers().get("retry-after").and_then(|v| v.to_str().ok());
        let retry_after = seconds.and_then(|s| s.trim().parse().ok()).map(Duration::from_secs);
        let mut body = body_of(&mut reply).map_err(|e| Silence::Lost(e.to_string()))?;
        if status != 200 {
            // Some services repeat the key that they refuse.
            body = self.without_secrets(&String::from_utf8_lossy(&body)).into_bytes();
        }
        Ok(Reply { status, body, retry_after })
    }

    fn pause(&self, time: Duration) -> Result<(), Silence> {
        wait(time)
    }
}

/// A URL without user, password and query: they may hold secrets.
pub fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => plain.to_owned(),
    }
}

fn body_of(reply: &mut ureq::http::Response<ureq::Body>) -> Result<Vec<u8>, ureq::Error> {
    reply.body_mut().with_config().limit(ANSWER_MAX).read_to_vec()
}

/// Whether the request can have been worked on: only where no connection was made it cannot.
fn silence(error: ureq::Error, told: impl Fn(&str) -> String) -> Silence {
    use ureq::Timeout::{Connect, Resolve};
    let words = told(&error.to_string());
    match error {
        ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::Http(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::Timeout(Connect | Resolve) => Silence::NotSent(words),
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            Silence::NotSent(words)
        }
        _ => Silence::Lost(words),
    }
}

fn wait(time: Duration) -> Result<(), Silence> {
    let until = Instant::now() + time;
    loop {
        if interrupt::flag().load(Ordering::Relaxed) {
            return Err(Silence::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(NAP));
    }
}

/// Largest body of an answer: a batch of scores is far smaller, and text takes many times its
/// length once it is parsed.
const ANSWER_MAX: u64 = 8 << 20;
/// Longest that an answer is waited for, in seconds.
const PATIENCE_MAX: f64 = 3600.0;
/// A stop is noticed within this.
const NAP: Duration = Duration::from_millis(50);
