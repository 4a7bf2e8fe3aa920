//! Papers of a dossier: without the worker, with one, stale after a change, signed by a person.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::schemas::{Schemas, id_of};
use crate::support::{Ran, Scratch, proofmark, proofmark_with, tools};

/// A worker that writes the digest of what it is given, and no more: the PDF has its own tests.
const WORKER: &str = "#!/bin/sh\nprintf '%%PDF-1.7 '\nexec /usr/bin/env sha256sum\n";

fn assessed() -> Scratch {
    let scratch = Scratch::credit(40);
    scratch.json(&["assess"]);
    scratch
}

fn dossier(scratch: &Scratch, worker: &str) -> (Ran, Value) {
    let (dir, pack) = (scratch.dir().display().to_string(), pack(scratch));
    let args = ["dossier", "-C", &dir, "--out", &pack, "--format", "json"];
    let ran = proofmark_with(&args, &[("PROOFMARK_PAPERS", worker), ("PATH", "/usr/bin:/bin")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let document = serde_json::from_str(&ran.stdout).expect("json");
    (ran, document)
}

fn pack(scratch: &Scratch) -> String {
    scratch.path("pack").display().to_string()
}

fn stale(document: &Value, paper: &str) -> Vec<String> {
    let papers = document["papers"].as_array().expect("papers");
    let paper = papers.iter().find(|p| p["id"] == paper).expect("paper");
    let stale = paper["stale"].as_array().expect("stale");
    stale.iter().map(|s| s.as_str().expect("id").to_owned()).collect()
}

#[test]
fn without_the_worker_there_are_pages_and_it_is_said_aloud() {
    let scratch = assessed();
    let (_, document) = dossier(&scratch, "/nowhere/worker");
    for paper in document["papers"].as_array().expect("papers") {
        assert_eq!(paper["pdf"], Value::Null);
        let why = paper["no_pdf"].as_str().expect("why");
        assert!(why.contains("PROOFMARK_PAPERS"), "{why}");
        let id = paper["id"].as_str().expect("id");
        assert!(scratch.path(&format!("pack/papers/{id}.html")).is_file());
    }
    assert_eq!(proofmark(&["verify", &pack(&scratch)]).code, 0);
}

#[cfg(unix)]
fn worker(scratch: &Scratch, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = scratch.path("worker.sh");
    fs::write(&path, script).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    path.display().to_string()
}

#[cfg(unix)]
#[test]
fn a_worker_that_fails_or_writes_no_pdf_leaves_pages() {
    let scratch = assessed();
    for (script, wanted) in [
        ("#!/bin/sh\necho 'no ink' >&2\nexit 2\n", "no ink"),
        ("#!/bin/sh\nexec cat >/dev/null\n", "wrote no PDF"),
        ("#!/bin/sh\nexit 0\n", "wrote no PDF"),
    ] {
        let (_, document) = dossier(&scratch, &worker(&scratch, script));
        let why = document["papers"][0]["no_pdf"].as_str().expect("why");
        assert!(why.contains(wanted), "{why}");
        assert_eq!(proofmark(&["verify", &pack(&scratch)]).code, 0);
    }
}

#[cfg(unix)]
#[test]
fn changing_one_weight_makes_the_citing_chapters_stale() {
    let scratch = assessed();
    let worker = worker(&scratch, WORKER);
    let (_, before) = dossier(&scratch, &worker);
    for paper in before["papers"].as_array().expect("papers") {
        assert_eq!(paper["stale"], Value::Array(vec![]), "{paper}");
    }
    let model = scratch.path("mlp.onnx");
    let mut bytes = fs::read(&model).expect("model");
    let weight = weights(&bytes);
    bytes[weight] ^= 1;
    fs::write(&model, bytes).expect("write");
    let (_, after) = dossier(&scratch, &worker);
    let annex = stale(&after, "annex-iv");
    assert!(annex.contains(&"AIA-IV-2g".to_owned()), "{annex:?}");
    assert!(!annex.contains(&"AIA-IV-2d".to_owned()), "data sheets cite data only: {annex:?}");
    assert_eq!(stale(&after, "risk-file"), [""; 0]);
    let report = stale(&after, "test-report");
    assert!(report.contains(&"model-mlp".to_owned()), "{report:?}");
    assert!(!report.contains(&"model-gbm".to_owned()), "{report:?}");
}

/// A place inside the largest run of weights: the middle of the file is one of them.
#[cfg(unix)]
fn weights(bytes: &[u8]) -> usize {
    bytes.len() / 2
}

#[cfg(unix)]
#[test]
fn a_person_signs_and_the_next_dossier_shows_it() {
    if !tools(&["openssl"]) {
        return;
    }
    let scratch = assessed();
    let worker = worker(&scratch, WORKER);
    dossier(&scratch, &worker);
    let openssl = |args: &str| {
        let args: Vec<&str> = args.split_whitespace().collect();
        let out = Command::new("openssl").args(args).current_dir(scratch.dir()).output();
        assert!(out.expect("openssl").status.success());
    };
    openssl(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 9 -keyout k.pem \
         -out c.pem -subj /CN=Kim",
    );
    openssl(
        "cms -sign -binary -in pack/papers/test-report.pdf -signer c.pem -inkey k.pem \
         -outform DER -out s.p7s",
    );
    let path = |name: &str| scratch.path(name).display().to_string();
    let (pack, certificate, signature) = (pack(&scratch), path("c.pem"), path("s.p7s"));
    let sign = |paper: &str, person: &str| {
        scratch.json(&[
            "dossier",
            "sign",
            "--pack",
            &pack,
            "--paper",
            paper,
            "--person",
            person,
            "--certificate",
            &certificate,
            "--signature",
            &signature,
        ])
    };
    for (paper, person, wanted) in [
        ("test-report", "nobody", "no declared person"),
        ("annex-iv", "quality", "another file"),
        ("poem", "quality", "no paper"),
    ] {
        let (code, refused) = sign(paper, person);
        assert_eq!(code, 2, "{refused:#}");
        assert!(refused.to_string().contains(wanted), "{refused:#}");
    }
    let (code, signed) = sign("test-report", "quality");
    assert_eq!((code, &signed["algorithm"]), (0, &"ecdsa-p256-sha256".into()), "{signed:#}");
    let id = id_of("proofmark.signature/1").expect("format");
    assert_eq!(Schemas::committed().faults(&id, &signed), [""; 0]);
    dossier(&scratch, &worker);
    assert_eq!(proofmark(&["verify", &pack]).code, 0);
    let page = fs::read_to_string(scratch.path("pack/papers/test-report.html")).expect("page");
    assert!(page.contains("CN=Kim") && page.contains("this report"), "signed");
    assert!(page.contains("was not checked"), "what was not checked is said");
    let folder = scratch.path("pack/signatures");
    let kept = fs::read_dir(Path::new(&folder)).expect("signatures").count();
    assert_eq!(kept, 3, "file, signature, certificate");
    // Another run says other things: the signature is shown as one on an earlier report.
    scratch.edit("proofmark.toml", |t| t.replacen("at_least = 0.60", "at_least = 0.61", 1));
    scratch.json(&["assess"]);
    dossier(&scratch, &worker);
    let page = fs::read_to_string(scratch.path("pack/papers/test-report.html")).expect("page");
    assert!(page.contains("an EARLIER report"), "outdated");
}
