//! What is refused, before and after the key, and that nothing of it reaches a model.

use std::io::Write;
use std::net::TcpStream;

use proofmark_schema::guard::{GuardEvent, GuardVerdict};
use proofmark_server::keys::{KeyFile, Scope};
use serde_json::{Value, json};

use crate::support::{
    Bench, LOCAL, PATIENCE, Upstream, add_key, features, policy, probabilities, read_response,
    requests, tensors,
};

#[test]
fn nothing_unknown_unkeyed_or_misframed_reaches_an_upstream() {
    let upstream = Upstream::start(probabilities(0.5, 0.5));
    let bench = Bench::start(&upstream.policy(""));
    let before = upstream.count();
    let key = format!("authorization: Bearer {}\r\n", bench.key);
    let meta = add_key(bench.dir.path(), &[Scope::Metadata], "2027-01-01T00:00:00Z");
    let ended = add_key(bench.dir.path(), &[Scope::Score], "2026-01-01T00:00:00Z");
    wait_for_keys();
    let meta = format!("authorization: Bearer {meta}\r\n");
    let ended = format!("authorization: Bearer {ended}\r\n");
    let two = format!("{key}{key}");
    let len = "content-length: 2\r\n";
    for (name, line, headers, want, code) in [
        ("unknown path", "POST /admin", format!("{key}{len}"), 404, "path"),
        ("repository of a server", "POST /v2/repository/index", format!("{key}{len}"), 404, "path"),
        ("shared memory", "GET /v2/systemsharedmemory/status", key.clone(), 404, "path"),
        ("other model", "POST /v2/models/gbm/infer", format!("{key}{len}"), 404, "path"),
        ("prefix of a path", "POST /score/x", format!("{key}{len}"), 404, "path"),
        ("dotted path", "POST /x/../score", format!("{key}{len}"), 404, "path"),
        ("encoded path", "POST /%73core", format!("{key}{len}"), 404, "path"),
        ("query", "POST /score?x=1", format!("{key}{len}"), 404, "path"),
        ("open proxy", "POST http://a.example/score", format!("{key}{len}"), 404, "path"),
        ("wrong method", "GET /score", key.clone(), 405, "method"),
        ("no key", "POST /score", len.to_owned(), 401, "no-key"),
        ("no key, metadata", "GET /v2/models/mlp", String::new(), 401, "no-key"),
        ("not bearer", "POST /score", format!("authorization: Basic eA==\r\n{len}"), 401, "no-key"),
        (
            "foreign key",
            "POST /score",
            format!("authorization: Bearer pmk_0_1\r\n{len}"),
            401,
            "unknown-key",
        ),
        ("two keys", "POST /score", format!("{two}{len}"), 401, "unknown-key"),
        ("wrong scope", "POST /score", format!("{meta}{len}"), 403, "scope"),
        ("ended key", "POST /score", format!("{ended}{len}"), 401, "expired-key"),
        ("no length", "POST /score", key.clone(), 411, "length"),
        ("chunked", "POST /score", format!("{key}transfer-encoding: chunked\r\n"), 400, "framing"),
        (
            "length, then chunked",
            "POST /score",
            format!("{key}{len}transfer-encoding: chunked\r\n"),
            400,
            "framing",
        ),
        (
            "chunked, then length",
            "POST /score",
            format!("{key}transfer-encoding: chunked\r\n{len}"),
            400,
            "framing",
        ),
        (
            "compressed",
            "POST /score",
            format!("{key}{len}content-encoding: gzip\r\n"),
            415,
            "encoding",
        ),
        ("too large", "POST /score", format!("{key}content-length: 1048577\r\n"), 413, "too-large"),
        (
            "far too large",
            "POST /score",
            format!("{key}content-length: 999999999999999\r\n"),
            413,
            "too-large",
        ),
        (
            "bad header length",
            "POST /v2/models/mlp/infer",
            format!("{key}{len}inference-header-content-length: -1\r\n"),
            400,
            "framing",
        ),
    ] {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // Of the large bodies not one byte is sent: the answer must come all the same.
        let got = bench.raw(head.as_bytes());
        assert_eq!(got.status, want, "{name}: {got:?}");
        assert_eq!(got.json()["code"], code, "{name}");
        assert!(got.header("proofmark-answer-id").is_none(), "{name}");
    }
    for (name, headers) in [
        ("two lengths", "content-length: 2\r\ncontent-length: 3\r\n"),
        ("signed length", "content-length: +2\r\n"),
        ("folded chunked", "transfer-encoding: xchunked\r\n"),
        ("http/1.0 chunked is no way round", "transfer-encoding: chunked, identity\r\n"),
    ] {
        let got = bench
            .raw(format!("POST /score HTTP/1.1\r\nhost: x\r\n{key}{headers}\r\n{{}}").as_bytes());
        assert_eq!(got.status, 400, "{name}: {got:?}");
    }
    assert_eq!(upstream.count(), before, "something reached the upstream");
    let events = bench.end();
    // Refusals without a key are one number; those of a known key are records.
    let shed: u64 =
        events.iter().map(|e| if let GuardEvent::Shed(s) = e { s.count } else { 0 }).sum();
    assert!(shed >= 18, "{shed}");
    let codes: Vec<_> = requests(&events).iter().filter_map(|r| r.reason.clone()).collect();
    assert_eq!(codes, ["length", "too-large", "too-large"]);
}

#[test]
fn rows_that_the_declaration_does_not_allow_are_refused_with_the_reason() {
    let bench = Bench::start(&policy(LOCAL));
    let with = |name: &str, value: Value| {
        let mut row = features();
        row[name] = value;
        json!({"features": row}).to_string()
    };
    let without = |name: &str| {
        let mut row = features();
        row.as_object_mut().unwrap().remove(name);
        json!({"features": row}).to_string()
    };
    let good = json!({"features": features()}).to_string();
    let rows = |n: usize| json!({"rows": vec![features(); n]}).to_string();
    for (name, body, want, words) in [
        ("too high", with("amount", json!(20_001)), 422, "`amount` must lie in 250 to 20000"),
        ("too low", with("amount", json!(-1)), 422, "`amount` must lie in 250 to 20000"),
        ("no whole number", with("duration", json!(24.5)), 422, "`duration` must be a whole"),
        (
            "text for a number",
            with("amount", json!("3000")),
            422,
            "`amount` must be a whole number",
        ),
        ("number for a text", with("job", json!(3)), 422, "`job` must be a declared text"),
        ("list for a number", with("amount", json!([3000])), 422, "`amount` must be"),
        ("object for a text", with("job", json!({})), 422, "`job` must be"),
        ("no category", with("job", json!("SKILLED")), 422, "`job` must be one of"),
        ("null", with("amount", Value::Null), 422, "`amount` is missing"),
        ("left out", without("amount"), 422, "`amount` is missing"),
        ("not read here", with("sex", json!("male")), 422, "`sex` is read by no model"),
        ("unknown", with("amuont", json!(1)), 422, "did you mean `amount`"),
        ("NaN", good.replace("3000", "NaN"), 422, "NaN and Infinity"),
        ("infinite", good.replace("3000", "1e999"), 400, "number out of range"),
        ("twice", good.replace("\"amount\":3000", "\"amount\":3000,\"amount\":300"), 422, "twice"),
        ("both forms", good.replace("{\"features\"", "{\"rows\":[],\"features\""), 422, "once"),
        ("no rows", json!({"rows": []}).to_string(), 422, "no rows"),
        ("too many rows", rows(65), 422, "more than 64 rows"),
        ("neither form", json!({}).to_string(), 422, "neither"),
        ("a list", "[]".into(), 422, "an object with"),
        ("unknown key", good.replacen('{', "{\"model\":\"x\",", 1), 422, "unknown key `model`"),
        ("bad id", good.replacen('{', "{\"id\":\"a b\",", 1), 422, "`id` is"),
        ("cut off", good[..good.len() - 3].into(), 400, "not readable"),
        ("more behind", format!("{good} {good}"), 400, "not readable"),
        ("empty", String::new(), 400, "not readable"),
        ("deep", format!("{}{}", "[".repeat(9), "]".repeat(9)), 422, "deeper than 8"),
        ("very deep", "[".repeat(100_000), 422, "deeper than 8"),
        (
            "deep in a text is no depth",
            with("job", json!("[".repeat(50))),
            422,
            "`job` must be one",
        ),
        ("not UTF-8", "\u{0}".into(), 400, "not readable"),
    ] {
        let got = bench.post_with("/score", body.as_bytes(), "");
        assert_eq!(got.status, want, "{name}: {got:?}");
        let said = got.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(bench.score().status, 200, "the good twin");
    assert_eq!(bench.post("/score", &serde_json::from_str(&rows(64)).unwrap()).status, 200);
    let events = bench.end();
    let all = requests(&events);
    assert_eq!(all.len(), 31);
    assert!(all.iter().take(29).all(|r| r.verdict == GuardVerdict::Refused && r.output.is_none()));
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let bench = Bench::start(&policy(LOCAL));
    let ask = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut inputs = tensors();
        edit(&mut inputs);
        json!({"inputs": inputs}).to_string()
    };
    let amount = 4;
    let set = |key: &'static str, value: Value| {
        ask(&move |i: &mut Vec<Value>| i[amount][key] = value.clone())
    };
    for (name, body, words) in [
        ("type", set("datatype", json!("FP64")), "`amount` must be FP32"),
        ("shape", set("shape", json!([1, 2])), "`amount` must have shape [1, 1]"),
        ("huge shape", set("shape", json!([1, 1u64 << 60])), "`amount` must have shape"),
        ("huge batch", ask(&|i| i[0]["shape"] = json!([u64::MAX, 1])), "1 to 64"),
        ("negative batch", ask(&|i| i[0]["shape"] = json!([-1, 1])), "invalid value"),
        ("no batch", ask(&|i| i[0]["shape"] = json!([])), "0 rows"),
        ("too few values", set("data", json!([])), "has 0 values"),
        ("too many values", set("data", json!([1, 2])), "more than 1 values"),
        ("text", set("data", json!(["3000"])), "`amount`: invalid type"),
        ("out of range", set("data", json!([1e9])), "`amount` must lie in"),
        ("left out", ask(&|i| drop(i.remove(3))), "is missing"),
        ("twice", ask(&|i| i[3] = i[4].clone()), "is missing"),
        ("unknown", ask(&|i| i[3]["name"] = json!("purpsoe")), "is missing"),
        ("shared memory", set("parameters", json!({"shared_memory_region": "x"})), "unknown field"),
        (
            "bytes that are not there",
            ask(&|i| {
                i[amount].as_object_mut().unwrap().remove("data");
                i[amount]["parameters"] = json!({"binary_data_size": 4});
            }),
            "claims 4 bytes",
        ),
        (
            "classification",
            json!({"inputs": tensors(), "outputs": [
            {"name": "probabilities", "parameters": {"classification": 2}}]})
            .to_string(),
            "unknown field",
        ),
        (
            "another output",
            json!({"inputs": tensors(), "outputs": [{"name": "logits"}]}).to_string(),
            "no output `logits`",
        ),
        (
            "sequence",
            json!({"inputs": tensors(), "parameters": {"sequence_id": 1}}).to_string(),
            "unknown field",
        ),
    ] {
        let got = bench.post_with("/v2/models/mlp/infer", body.as_bytes(), "");
        assert!(matches!(got.status, 400 | 422), "{name}: {got:?}");
        let said = got.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(words), "{name}: {said}");
    }
    let good = json!({"inputs": tensors()});
    assert_eq!(bench.post("/v2/models/mlp/infer", &good).status, 200, "the good twin");
}

#[test]
fn a_rate_is_kept_per_key_and_not_recorded_one_by_one() {
    let limits = LOCAL.replace(
        "requests_per_second = 100000\nburst = 100000",
        "requests_per_second = 1\nburst = 4\nrows = 4",
    );
    let bench = Bench::start(&policy(&limits));
    let four = json!({"rows": vec![features(); 4]});
    assert_eq!(bench.post("/score", &four).status, 200);
    let got = bench.score();
    assert_eq!((got.status, got.json()["code"].as_str()), (429, Some("rate")));
    assert!(got.header("retry-after").is_some());
    let other = add_key(bench.dir.path(), &[Scope::Score], "2027-01-01T00:00:00Z");
    wait_for_keys();
    let body = four.to_string();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {other}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(bench.raw(head.as_bytes()).status, 200, "another key has its own rate");
    let events = bench.end();
    assert_eq!(requests(&events).len(), 2);
    assert!(events.iter().any(|e| matches!(e, GuardEvent::Shed(s) if s.count == 1)));
}

#[test]
fn a_revoked_key_opens_nothing_any_more() {
    let bench = Bench::start(&policy(LOCAL));
    assert_eq!(bench.score().status, 200);
    let path = bench.dir.path().join("guard/keys.json");
    let mut file = KeyFile::load(&path).unwrap();
    file.keys[0].revoked = Some("2026-11-22T18:00:00Z".into());
    file.save(&proofmark_evidence::durable::OsFs, &path).unwrap();
    wait_for_keys();
    assert_eq!(bench.score().json()["code"], "unknown-key");
    let events = bench.end();
    assert!(events.iter().any(|e| matches!(e, GuardEvent::Control(c)
        if c.action == proofmark_schema::guard::ControlAction::BlockKey)));
}

#[test]
fn slow_senders_are_cut() {
    let limits = LOCAL.replace("[limits]", "[limits]\nheader_ms = 300\nbody_ms = 300");
    let bench = Bench::start(&policy(&limits));
    let open = || {
        let stream = TcpStream::connect(bench.data).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut header = open();
    header.write_all(b"POST /score HTTP/1.1\r\nhost: x\r\n").unwrap();
    let got = read_response(&mut header);
    assert!(matches!(got.status, 0 | 408), "a header that never ends: {got:?}");
    let mut idle = open();
    let got = read_response(&mut idle);
    assert!(matches!(got.status, 0 | 408), "a connection without a request: {got:?}");
    let mut body = open();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 100\r\n\r\n{{",
        bench.key
    );
    body.write_all(head.as_bytes()).unwrap();
    let got = read_response(&mut body);
    assert_eq!((got.status, got.json()["code"].as_str()), (408, Some("slow")));
    assert_eq!(bench.score().status, 200, "others are served meanwhile");
}

/// The key file is looked at twice a second.
fn wait_for_keys() {
    std::thread::sleep(std::time::Duration::from_millis(1_500));
}
