//! The guard as a user meets it: check, key, run, ask, stop, restart, end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::schemas::json_schema::{Schemas, id_of};
use crate::support::Scratch;

#[test]
fn a_guard_is_checked_keyed_run_asked_stopped_and_restarted() {
    let mut seen = Seen { schemas: Schemas::committed(), formats: BTreeSet::new() };
    let scratch = scratch();
    let (code, check) = scratch.json(&["guard", "check"]);
    assert_eq!(code, 0);
    seen.holds(&check);
    assert!(weak(&check).contains("unassessed") && weak(&check).contains("no-key"));
    assert_eq!(scratch.run(&["guard", "check", "--strict"]).code, 1);
    let refused = scratch.run(&["guard", "run"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("not the assessed model"), "{}", refused.stderr);

    assert_eq!(scratch.json(&["assess"]).1["complete"], true);
    let (_, key) = scratch.json(&["guard", "key", "new", "--label", "test"]);
    seen.holds(&key);
    let secret = key["key"].as_str().expect("key").to_owned();
    let (_, check) = scratch.json(&["guard", "check"]);
    assert!(!weak(&check).contains("unassessed") && !weak(&check).contains("no-key"), "{check:#}");
    let kept = scratch.path(".proofmark/guard/keys.json");
    seen.holds(&serde_json::from_slice(&std::fs::read(kept).expect("keys")).expect("JSON"));

    let (mut guard, start) = start(&scratch);
    seen.holds(&start);
    let address = start["address"].as_str().expect("address");
    let answer = ask(address, &secret);
    assert_eq!(answer.0, 200, "{answer:?}");
    seen.holds(&answer.1);
    assert_eq!(answer.1["answered_by"], "primary");
    // The example has no one port: the policy is told where the admin listener came to lie.
    scratch.edit("guard.toml", |text| {
        text.replace(
            "127.0.0.1:0\"\n\n[primary]",
            &format!("{}\"\n\n[primary]", start["admin"].as_str().expect("admin")),
        )
    });
    let (_, status) = scratch.json(&["guard", "status"]);
    seen.holds(&status);
    assert_eq!(
        (status["running"].as_bool(), status["state"].as_str()),
        (Some(true), Some("NORMAL"))
    );
    let (code, stop) = scratch.json(&["guard", "stop", "--by", "Ada", "--reason", "odd answers"]);
    assert_eq!(code, 0, "{stop:#}");
    seen.holds(&stop);
    assert_eq!(ask(address, &secret).0, 503);
    let (code, restart) =
        scratch.json(&["guard", "restart", "--by", "Ada", "--reason", "cause found"]);
    assert_eq!(code, 0, "{restart:#}");
    seen.holds(&restart);
    assert_eq!(ask(address, &secret).0, 200);
    ends(&mut guard);

    let (_, status) = scratch.json(&["guard", "status"]);
    seen.holds(&status);
    assert_eq!(status["running"], false);
    let (_, log) = scratch.json(&["log", "list"]);
    let kinds = log["entries"].as_array().expect("entries").iter();
    assert_eq!(kinds.filter(|e| e["kind"] == "guard").count(), 1, "the order is in the log");
    let id = key["id"].as_str().expect("id");
    seen.holds(&scratch.json(&["guard", "key", "revoke", id]).1);
    seen.holds(&scratch.json(&["guard", "key", "list"]).1);
    assert_eq!(scratch.run(&["guard", "key", "revoke", "nobody"]).code, 2);
    let all: Vec<&str> = seen.formats.iter().map(String::as_str).collect();
    assert_eq!(all, FORMATS);
}

#[test]
fn a_stop_at_rest_holds_over_the_next_start() {
    let scratch = scratch();
    let (code, _) = scratch.json(&["guard", "stop", "--by", "Ada", "--reason", "audit"]);
    assert_eq!(code, 0);
    let (_, key) = scratch.json(&["guard", "key", "new"]);
    let secret = key["key"].as_str().expect("key");
    let (mut guard, start) = start_with(&scratch, &["--unassessed"]);
    assert_eq!(start["state"], "STOPPED");
    assert_eq!(ask(start["address"].as_str().expect("address"), secret).0, 503);
    ends(&mut guard);
    let (code, _) = scratch.json(&["guard", "restart", "--by", "Ada", "--reason", "done"]);
    assert_eq!(code, 0);
    let (mut guard, start) = start_with(&scratch, &["--unassessed"]);
    assert_eq!(start["state"], "NORMAL");
    ends(&mut guard);
    let again = scratch.run(&["guard", "restart", "--by", "Ada", "--reason", "again"]);
    assert_eq!(again.code, 2, "nothing to restart");
}

#[test]
fn a_changed_model_is_not_served_and_a_hostile_policy_is_refused() {
    let scratch = scratch();
    assert_eq!(scratch.json(&["assess"]).1["complete"], true);
    let other = scratch.path("gbm.onnx").display().to_string();
    let refused = scratch.run(&["guard", "run", "--model", &other]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("error["), "{}", refused.stderr);

    let good = std::fs::read_to_string(scratch.path("guard.toml")).expect("policy");
    for (name, from, to, words) in [
        ("unknown key", "oip = true", "oip = true\nopen = true", "unknown key `open`"),
        ("misspelt", "deadline_ms", "dedline_ms", "did you mean `deadline_ms`"),
        ("open without TLS", "address = \"127.0.0.1:0\"", "address = \"0.0.0.0:0\"", "without TLS"),
        ("open admin", "admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"", "the admin address"),
        ("no model", "model = \"mlp\"", "model = \"mpl\"", "did you mean `mlp`"),
        ("same twice", "model = \"gbm\"", "model = \"mlp\"", "same model in the same place"),
        ("no limit", "rows = 64", "rows = 0", "outside 1 to 4096"),
        ("negative", "rows = 64", "rows = -1", "must be a whole number"),
        ("burst", "burst = 100", "burst = 10", "never fits a burst"),
        ("dotted path", "\"/score\"", "\"/a/../b\"", "no plain path"),
        ("taken path", "\"/score\"", "\"/v2/models\"", "Open Inference Protocol"),
        (
            "upstream elsewhere",
            "model = \"mlp\"",
            "model = \"mlp\"\nupstream = \"file:///etc\"",
            "no upstream that can be asked",
        ),
        (
            "user in upstream",
            "model = \"mlp\"",
            "model = \"mlp\"\nupstream = \"http://a@b:1\"",
            "no upstream that can be asked",
        ),
        (
            "unknown field in the record",
            "[safe]",
            "[record]\nfields = [\"agee\"]\n[safe]",
            "did you mean `age`",
        ),
        (
            "nothing behind",
            "system = \".\"",
            "system = \".\"\nmode = \"pass-through\"",
            "needs an upstream",
        ),
        ("another format", "guard/1", "guard/9", "not a format"),
        ("a number for a text", "decision = \"refer\"", "decision = 1", "must be a text"),
        ("no TOML", "[safe]", "[safe", "not TOML"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{name}");
        std::fs::write(scratch.path("guard.toml"), bad).expect("policy");
        let ran = scratch.run(&["guard", "check"]);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
    }
}

/// The credit example, cut, with a policy on free ports.
fn scratch() -> Scratch {
    let scratch = Scratch::credit(40);
    scratch.edit("guard.toml", |text| text.replace(":8080", ":0").replace(":8081", ":0"));
    scratch
}

fn start(scratch: &Scratch) -> (Child, Value) {
    start_with(scratch, &[])
}

fn start_with(scratch: &Scratch, more: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proofmark"))
        .env("PROOFMARK_ONNXRUNTIME", "off")
        .args(["--format", "json", "--quiet", "guard", "run", "-C"])
        .arg(scratch.dir())
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut text = String::new();
    while serde_json::from_str::<Value>(&text).is_err() {
        text += &lines.next().expect("a start document").expect("text");
    }
    (child, serde_json::from_str(&text).expect("JSON"))
}

/// A signal to end is obeyed in order.
fn ends(child: &mut Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    assert!(sent.success());
    assert_eq!(child.wait().expect("end").code(), Some(0));
}

fn ask(address: &str, key: &str) -> (u16, Value) {
    let body = json!({"features": {
        "checking_status": "below 0 DM", "duration": 24,
        "credit_history": "existing credits paid back so far", "purpose": "new car",
        "amount": 3000, "savings": "below 100 DM", "employment_since": "1 to 3 years",
        "installment_rate": 3, "other_debtors": "none", "residence_since": 2,
        "property": "car or other", "age": 33, "other_installment_plans": "none",
        "housing": "rent", "existing_credits": 1, "job": "skilled", "people_liable": 1,
        "telephone": "no"
    }})
    .to_string();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("the guard listens");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answer");
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("status");
    let body = text.split("\r\n\r\n").nth(1).expect("body");
    (status, serde_json::from_str(body).expect("JSON"))
}

fn weak(check: &Value) -> BTreeSet<&str> {
    let all = check["weak_points"].as_array().expect("weak points").iter();
    all.filter_map(|w| w["id"].as_str()).collect()
}

struct Seen {
    schemas: Schemas,
    formats: BTreeSet<String>,
}

impl Seen {
    fn holds(&mut self, document: &Value) {
        let format = document["format"].as_str().expect("format");
        let faults = self.schemas.faults(&id_of(format).expect("a format"), document);
        assert!(faults.is_empty(), "{format}: {faults:?}\n{document:#}");
        self.formats.insert(format.to_owned());
    }
}

const FORMATS: [&str; 8] = [
    "proofmark.answer/1",
    "proofmark.guard-check/1",
    "proofmark.guard-control/1",
    "proofmark.guard-key-list/1",
    "proofmark.guard-key/1",
    "proofmark.guard-keys/1",
    "proofmark.guard-start/1",
    "proofmark.guard-status/1",
];
