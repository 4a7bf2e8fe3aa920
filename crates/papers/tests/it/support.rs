//! Papers to set, and the worker as a child.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A statement digest.
pub const STATEMENT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Runs the worker on `input`.
pub fn worker(input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proofmark-papers"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The worker may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The PDF of `paper`.
pub fn pdf(paper: &Value) -> Vec<u8> {
    let output = worker(paper.to_string().as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(output.stdout.starts_with(b"%PDF-1.7"));
    output.stdout
}

/// A tool of the machine, or `None`, said aloud; required in CI.
#[expect(clippy::print_stderr, reason = "a skipped test is said aloud")]
pub fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").output().is_ok()
        || Command::new(name).arg("-v").output().is_ok();
    if !found {
        assert!(std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_none(), "{name} is missing");
        eprintln!("skipped: {name} is not here");
    }
    found.then(|| Command::new(name))
}

/// A paper with everything that a paper can hold.
pub fn paper(words: &str) -> Value {
    let text = |t: &str| json!({"is": "text", "text": t});
    let fact =
        |id: &str, t: &str| json!({"is": "fact", "id": id, "text": t, "statement": STATEMENT});
    let part = |id: &str, t: &str| json!({"id": id, "text": t, "statement": STATEMENT});
    let figure = json!({
        "is": "figure", "value": part("v", "61.2 %"),
        "interval": [part("l", "58.1 %"), part("u", "64.3 %")],
        "count": [part("k", "612"), part("n", "1000")], "proved": part("p", "12.0 %"),
    });
    let svg = "<svg class=\"plot\" viewBox=\"0 0 480 300\" role=\"img\"><title>t</title>\
               <path class=\"axis\" d=\"M84 16V244H452\"/><text x=\"9\" y=\"9\">words</text></svg>";
    let row = json!([[text("row")], [figure], [{"is": "declared", "text": words}]]);
    json!({
        "format": "proofmark.paper/1", "id": "test", "title": "Paper", "language": "en",
        "head": {
            "system": "credit", "version": "1.0.0", "provider": words, "purpose": words,
            "run": "run-0-a", "time": "2026-11-22T15:00:00Z", "plan": STATEMENT,
            "log": "proofmark/DEMO/credit", "signer": STATEMENT, "tool": "proofmark 0.1.0",
            "demo": true,
        },
        "legal_base": ["Regulation (EU) 2024/1689 (AI Act)"],
        "front": [{"block": "note", "bad": true, "content": [text("not complete")]}],
        "chapters": [
            {"id": "one", "level": 1, "mark": "1(a)", "title": words, "provision": "Annex IV",
             "state": "measured", "cites": [{"name": "model/mlp", "sha256": STATEMENT}],
             "stale": [{"name": "model/mlp", "cited": STATEMENT, "now": null}],
             "blocks": [
                {"block": "para", "content": [text("words "), fact("f", "7"), {"is": "break"},
                    {"is": "code", "text": words}, {"is": "time", "text": words},
                    {"is": "law", "text": words}, {"is": "verdict", "state": "fail"},
                    {"is": "coverage", "state": "declared"},
                    {"is": "link", "to": "two", "words": [text("link")]}]},
                {"block": "list", "items": [[text("a")], [text("b")]]},
                {"block": "terms", "items": [{"term": words, "content": [text("c")]}]},
                {"block": "plot", "svg": svg, "alt": words, "caption": words},
                {"block": "gap", "what": [text("no drill")], "next": [text("run one")]},
                {"block": "authored", "text": words, "owner": words},
                {"block": "table", "caption": [text("t")], "widths": [1, 2, 3],
                 "head": [[text("a")], [text("b")], [text("c")]], "rows": vec![row; 40]},
             ]},
            {"id": "two", "level": 2, "mark": "", "title": "Second", "provision": "",
             "cites": [], "stale": [], "blocks": []},
        ],
        "sources": [{"statement": STATEMENT, "what": "a result", "time": "2026-11-22T15:00:00Z",
                     "file": "attestations/result.sigstore.json"}],
        "attachments": [{"name": "facts.json", "media_type": "application/json",
                         "description": "Figures", "base64": "e30="}],
    })
}
