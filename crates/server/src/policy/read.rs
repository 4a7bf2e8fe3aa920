//! From the text of `guard.toml` to a [`Policy`]: every problem at once, with its place.
//!
//! Owns keys, ranges and what may not go together. Must never open a file or resolve a name of
//! the network. Called by the command line and the fuzz target.

use std::net::SocketAddr;

use proofmark_schema::system::reader::{Reader, Section};
use proofmark_schema::system::{Diagnostic, System, nearest};
use toml_edit::Document;

use super::{
    Breaking, FORMAT, KnownAnswers, Limits, Listen, Mode, Policy, Protocol, Range, Release,
    SafeOutput, Source, TlsFiles, Upstream, UpstreamProtocol,
};

/// Parses a policy; with `system` the names of models and features are resolved as well.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse(text: &str, system: Option<&System>) -> Result<Policy, Vec<Diagnostic>> {
    if text.len() > BYTES_MAX {
        let message = format!("the policy has {} bytes, at most {BYTES_MAX}", text.len());
        let help = "a policy is written by hand; is this the right file?";
        return Err(vec![Diagnostic::new("too-long", 0..0, message, "starts here", help)]);
    }
    let document = Document::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let span = span.start.min(text.len())..span.end.min(text.len());
        let message = format!("the policy is not TOML: {}", error.message().replace('\n', "; "));
        let help = "texts stand in double quotes, sections begin with `[name]`";
        vec![Diagnostic::new("toml-syntax", span, message, "here", help)]
    })?;
    let reader = Reader::of("the policy");
    let root = Section::root(&reader, document.as_table());
    let policy = read(&root);
    if let Some(system) = system {
        resolve(&root, &policy, system);
    }
    let (problems, _) = reader.finish();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

fn read(root: &Section<'_>) -> Policy {
    root.only(&[
        "format",
        "system",
        "mode",
        "listen",
        "primary",
        "backup",
        "protocol",
        "limits",
        "breaker",
        "safe",
        "release",
        "record",
        "known_answers",
    ]);
    root.need("format", "format = \"proofmark.guard/1\"");
    if let Some(format) = root.text("format").filter(|f| f != FORMAT) {
        let message = format!("`{format}` is not a format that is read here");
        root.refuse("unknown-format", "format", message, "not known", format!("write `{FORMAT}`"));
    }
    root.need("primary", "[primary]");
    let modes = [("guard", Mode::Guard), ("pass-through", Mode::PassThrough)];
    let none = Source { model: String::new(), upstream: None };
    let policy = Policy {
        system: root.text("system").unwrap_or_else(|| ".".into()),
        mode: root.choice("mode", &modes).unwrap_or(Mode::Guard),
        listen: root.section("listen").map_or_else(Listen::default, |s| listen(&s)),
        primary: root.section("primary").map_or(none, |s| source(&s)),
        backup: root.section("backup").map(|s| source(&s)),
        protocol: root.section("protocol").map_or_else(Protocol::default, |s| protocol(&s)),
        limits: root.section("limits").map_or_else(Limits::default, |s| limits(&s)),
        breaker: root.section("breaker").map_or_else(Breaking::default, |s| breaker(&s)),
        safe: root.section("safe").map_or_else(SafeOutput::default, |s| safe(&s)),
        release: root.section("release").map_or_else(Release::default, |s| release(&s)),
        record_fields: root.section("record").map_or_else(Vec::new, |s| {
            s.only(&["fields"]);
            s.texts("fields").unwrap_or_default()
        }),
        known_answers: root
            .section("known_answers")
            .map_or_else(KnownAnswers::default, |s| known_answers(&s)),
    };
    together(root, &policy);
    policy
}

/// What may not go together.
fn together(root: &Section<'_>, policy: &Policy) {
    if policy.release.vote && policy.backup.is_none() {
        let message = "`vote = true` needs a `[backup]` to vote with";
        root.refuse("vote-alone", "release", message, "no second voice", "declare `[backup]`");
    }
    if policy.mode == Mode::PassThrough && policy.primary.upstream.is_none() {
        let message = "`mode = \"pass-through\"` needs an upstream to pass requests to";
        let help = "name `upstream` in `[primary]`, or leave `mode` out";
        root.refuse("nothing-behind", "mode", message, "nothing behind", help);
    }
    if !policy.protocol.oip && policy.protocol.json.is_none() {
        let message = "the policy speaks no protocol";
        let help = "set `oip = true` or a `json` path";
        root.refuse("no-protocol", "protocol", message, "all is switched off", help);
    }
}

fn listen(s: &Section<'_>) -> Listen {
    s.only(&["address", "tls", "admin"]);
    let default = Listen::default();
    let tls = s.section("tls").and_then(|t| {
        t.only(&["certificate", "key"]);
        t.need("certificate", "certificate = \"cert.pem\"");
        t.need("key", "key = \"key.pem\"");
        Some(TlsFiles { certificate: file(&t, "certificate")?, key: file(&t, "key")? })
    });
    let asked_tls = s.has("tls");
    let address = socket(s, "address").unwrap_or(default.address);
    if !address.ip().is_loopback() && !asked_tls {
        let message = format!("`{address}` can be reached from other machines without TLS");
        let help = "listen on 127.0.0.1, or give `tls = { certificate = …, key = … }`";
        s.refuse("no-tls", "address", message, "not loopback", help);
    }
    let admin = socket(s, "admin").unwrap_or(default.admin);
    if !admin.ip().is_loopback() {
        let message = format!("the admin address `{admin}` can be reached from other machines");
        let help = "listen on 127.0.0.1 or [::1]; carry it further by a tunnel of your own";
        s.refuse("admin-open", "admin", message, "not loopback", help);
    }
    if admin == address && admin.port() != 0 {
        let message = "data and admin share one address";
        s.refuse("one-address", "admin", message, "the same", "give admin its own port");
    }
    Listen { address, tls, admin }
}

fn socket(s: &Section<'_>, key: &str) -> Option<SocketAddr> {
    let text = s.text(key)?;
    let parsed = text.parse::<SocketAddr>();
    if parsed.is_err() {
        let message = format!("`{text}` is no address");
        let help = "write IP and port, e.g. `127.0.0.1:8080` or `[::1]:8080`";
        s.refuse("bad-address", key, message, "not an address", help);
    }
    parsed.ok()
}

fn source(s: &Section<'_>) -> Source {
    s.only(&[
        "model",
        "upstream",
        "upstream_protocol",
        "upstream_path",
        "upstream_rows",
        "upstream_scores",
    ]);
    s.need("model", "model = \"…\"  # a model of the declaration");
    let model = s.text("model").unwrap_or_default();
    let upstream = s.text("upstream").and_then(|url| upstream(s, &url, &model));
    if !s.has("upstream") {
        for key in ["upstream_protocol", "upstream_path", "upstream_rows", "upstream_scores"] {
            if s.has(key) {
                let message = format!("`{key}` is set, but there is no `upstream`");
                let help = "name the server: `upstream = \"http://127.0.0.1:9000\"`";
                s.refuse("no-upstream", key, message, "of nothing", help);
            }
        }
    }
    Source { model, upstream }
}

fn upstream(s: &Section<'_>, url: &str, model: &str) -> Option<Upstream> {
    let words = [("oip", UpstreamProtocol::Oip), ("json", UpstreamProtocol::Json)];
    let protocol = s.choice("upstream_protocol", &words).unwrap_or(UpstreamProtocol::Oip);
    let path = match protocol {
        _ if s.has("upstream_path") => path(s, "upstream_path").unwrap_or_default(),
        UpstreamProtocol::Oip => format!("/v2/models/{model}/infer"),
        UpstreamProtocol::Json => super::SCORE_PATH.into(),
    };
    let rows = s.text("upstream_rows").unwrap_or_else(|| "rows".into());
    let scores = s.text("upstream_scores").unwrap_or_else(|| "/scores".into());
    if !scores.starts_with('/') {
        let message = format!("`{scores}` is no JSON pointer");
        let help = "write e.g. `/scores` or `/result/probabilities`";
        s.refuse("bad-pointer", "upstream_scores", message, "no pointer", help);
    }
    let authority = url.strip_prefix("http://").map(|a| a.strip_suffix('/').unwrap_or(a));
    match authority {
        Some(a) if is_authority(a) => {
            Some(Upstream { authority: a.into(), protocol, path, rows, scores })
        }
        _ => {
            let message = format!("`{url}` is no upstream that can be asked");
            let help = "write `http://host:port`; TLS to an upstream is not in this build, so put \
                        the guard beside its model server";
            s.refuse("bad-upstream", "upstream", message, "not understood", help);
            None
        }
    }
}

/// `host:port` without user, path, query or blanks.
fn is_authority(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    !host.is_empty()
        && host.chars().all(fits)
        && port.chars().all(|c| c.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|p| p != 0)
}

fn protocol(s: &Section<'_>) -> Protocol {
    s.only(&["oip", "json"]);
    let json = if s.has("json") { path(s, "json") } else { Some(super::SCORE_PATH.into()) };
    let json = json.filter(|p| {
        let clashes = p.starts_with("/v2");
        if clashes {
            let message = format!("`{p}` lies in the paths of the Open Inference Protocol");
            s.refuse("path-taken", "json", message, "taken", "write e.g. `/score`");
        }
        !clashes
    });
    Protocol { oip: s.flag("oip").unwrap_or(true), json }
}

/// A path of a URL: plain characters only, so that no two spellings mean the same.
fn path(s: &Section<'_>, key: &str) -> Option<String> {
    let text = s.text(key)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let dotted = text.split('/').any(|part| part == "." || part == "..");
    if text.starts_with('/') && text.len() > 1 && text.chars().all(plain) && !dotted {
        return Some(text);
    }
    let message = format!("`{text}` is no plain path");
    let help = "begin with `/`; letters, digits, `-`, `_` and `.` only, e.g. `/score`";
    s.refuse("bad-path", key, message, "not plain", help);
    None
}

/// A file relative to the policy.
fn file(s: &Section<'_>, key: &str) -> Option<String> {
    let text = s.text(key)?;
    if text.contains(char::is_control) {
        let message = format!("`{key}` holds control characters");
        s.refuse("bad-file", key, message, "no file name", "name a file");
        return None;
    }
    Some(text)
}

fn limits(s: &Section<'_>) -> Limits {
    s.only(&[
        "body_bytes",
        "json_depth",
        "rows",
        "header_ms",
        "body_ms",
        "deadline_ms",
        "requests_per_second",
        "burst",
        "connections",
        "range",
        "missing",
    ]);
    let d = Limits::default();
    let limits = Limits {
        body_bytes: ranged(s, "body_bytes", d.body_bytes as u64, 64, BODY_BYTES_MAX) as usize,
        json_depth: ranged(s, "json_depth", d.json_depth as u64, 3, JSON_DEPTH_MAX) as usize,
        rows: ranged(s, "rows", d.rows as u64, 1, ROWS_MAX) as usize,
        header_ms: ranged(s, "header_ms", d.header_ms, 100, MS_MAX),
        body_ms: ranged(s, "body_ms", d.body_ms, 100, MS_MAX),
        deadline_ms: ranged(s, "deadline_ms", d.deadline_ms, 5, MS_MAX),
        requests_per_second: whole32(s, "requests_per_second", d.requests_per_second),
        burst: whole32(s, "burst", d.burst),
        connections: ranged(s, "connections", d.connections as u64, 1, CONNECTIONS_MAX) as usize,
        range: match s.text("range").as_deref() {
            None | Some("declared") => Range::Declared,
            Some(path) => Range::Schema(path.to_owned()),
        },
        missing: s.flag("missing").unwrap_or(d.missing),
    };
    if (limits.burst as usize) < limits.rows {
        let message =
            format!("a request of {} rows never fits a burst of {}", limits.rows, limits.burst);
        let key = if s.has("burst") { "burst" } else { "rows" };
        s.refuse("burst-too-small", key, message, "too small", "raise `burst` or lower `rows`");
    }
    limits
}

fn whole32(s: &Section<'_>, key: &str, default: u32) -> u32 {
    u32::try_from(ranged(s, key, u64::from(default), 1, RATE_MAX)).unwrap_or(default)
}

fn ranged(s: &Section<'_>, key: &str, default: u64, low: u64, high: u64) -> u64 {
    let Some(value) = s.whole(key) else { return default };
    if (low..=high).contains(&value) {
        return value;
    }
    let message = format!("`{key} = {value}` is outside {low} to {high}");
    s.refuse("limit-range", key, message, "out of range", format!("the default is {default}"));
    default
}

fn breaker(s: &Section<'_>) -> Breaking {
    s.only(&["failures", "open_ms", "probes"]);
    let d = Breaking::default();
    Breaking {
        failures: ranged(s, "failures", u64::from(d.failures), 1, 1_000) as u32,
        open_ms: ranged(s, "open_ms", d.open_ms, 10, MS_MAX),
        probes: ranged(s, "probes", u64::from(d.probes), 1, 100) as u32,
    }
}

fn safe(s: &Section<'_>) -> SafeOutput {
    s.only(&["decision", "message"]);
    let d = SafeOutput::default();
    let short = |key: &str, default: String| {
        let Some(text) = s.text(key) else { return default };
        if text.chars().count() > SAFE_CHARS_MAX || text.contains(char::is_control) {
            let message = format!("`{key}` is longer than {SAFE_CHARS_MAX} plain characters");
            s.refuse("safe-text", key, message, "too long", "say it shorter");
            return default;
        }
        text
    };
    SafeOutput { decision: short("decision", d.decision), message: short("message", d.message) }
}

fn release(s: &Section<'_>) -> Release {
    s.only(&["decimals", "clip", "scores", "vote"]);
    let d = Release::default();
    let clip = s.number("clip").unwrap_or(d.clip);
    if !(0.0..0.5).contains(&clip) {
        let message = format!("`clip = {clip}` is outside 0 to 0.5");
        let help = "0.05 keeps released probabilities between 0.05 and 0.95";
        s.refuse("limit-range", "clip", message, "out of range", help);
    }
    Release {
        decimals: ranged(s, "decimals", u64::from(d.decimals), 0, DECIMALS_MAX) as u8,
        clip,
        scores: s.flag("scores").unwrap_or(d.scores),
        vote: s.flag("vote").unwrap_or(d.vote),
    }
}

fn known_answers(s: &Section<'_>) -> KnownAnswers {
    s.only(&["every_ms", "rows", "tolerance"]);
    let d = KnownAnswers::default();
    let tolerance = s.number("tolerance").unwrap_or(d.tolerance);
    if !(0.0..=TOLERANCE_MAX).contains(&tolerance) {
        let message = format!("`tolerance = {tolerance}` is outside 0 to {TOLERANCE_MAX}");
        let help = "it must only cover rounding of the wire, e.g. 0.0001";
        s.refuse("limit-range", "tolerance", message, "out of range", help);
    }
    KnownAnswers {
        every_ms: ranged(s, "every_ms", d.every_ms, 100, DAY_MS),
        rows: ranged(s, "rows", d.rows as u64, 0, 64) as usize,
        tolerance,
    }
}

/// Names of models and features must resolve.
fn resolve(root: &Section<'_>, policy: &Policy, system: &System) {
    for (key, source) in [("primary", Some(&policy.primary)), ("backup", policy.backup.as_ref())] {
        let (Some(source), Some(section)) = (source, root.section(key)) else { continue };
        if !source.model.is_empty() && system.model_named(&source.model).is_none() {
            let known: Vec<&str> = system.models.iter().map(|m| m.name.as_str()).collect();
            unresolved(&section, "model", "model", &source.model, &known);
        }
    }
    let same = policy.backup.as_ref().is_some_and(|b| *b == policy.primary);
    if same {
        let message = "primary and backup are the same model in the same place";
        let help = "what stops one stops both: name another model, or drop `[backup]`";
        root.refuse("same-twice", "backup", message, "the same again", help);
    }
    let Some(record) = root.section("record") else { return };
    for field in &policy.record_fields {
        if system.feature_named(field).is_none() {
            let known: Vec<&str> = system.features.iter().map(|f| f.name.as_str()).collect();
            unresolved(&record, "fields", "feature", field, &known);
        }
    }
}

fn unresolved(s: &Section<'_>, key: &str, what: &str, name: &str, known: &[&str]) {
    let message = format!("no {what} is called `{name}` in the declaration");
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    s.refuse("unresolved-name", key, message, "not declared", help);
}

/// Bytes of a policy; a written one has a few thousand.
const BYTES_MAX: usize = 256 << 10;
/// Bytes of a body at most: an image of 1,024 x 1,024 x 3 in 32-bit floats fits.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Depth of JSON at most; the reader recurses once per level.
const JSON_DEPTH_MAX: u64 = 64;
/// Rows of a request at most.
const ROWS_MAX: u64 = 4_096;
/// Ten minutes: whoever waits longer waits for ever.
const MS_MAX: u64 = 600_000;
/// A day.
const DAY_MS: u64 = 86_400_000;
/// Rows a second and key at most; beyond, the clock of the limit is too coarse.
const RATE_MAX: u64 = 1_000_000;
/// Open connections at most: one file descriptor each, with room for upstreams.
const CONNECTIONS_MAX: u64 = 65_536;
/// Characters of the safe output.
const SAFE_CHARS_MAX: usize = 500;
/// Decimals of a released score; a 32-bit float holds no more than seven.
const DECIMALS_MAX: u64 = 7;
/// A larger difference would hide another model.
const TOLERANCE_MAX: f64 = 0.01;
