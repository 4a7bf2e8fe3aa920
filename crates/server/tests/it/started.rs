//! How a guard starts and ends: digests, TLS, state that outlives it, answers under way.

use std::io::{Read, Write};
use std::sync::Arc;

use proofmark_evidence::keys::StatementKey;
use proofmark_schema::guard::GuardEvent;
use proofmark_server::guard::{Guard, GuardError};
use serde_json::json;

use crate::support::{
    Bench, LOCAL, Upstream, add_key, features, parts, policy, probabilities, read_response,
};

#[test]
fn a_model_that_was_not_assessed_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = policy(LOCAL);
    plan.assessed = Some("f".repeat(64));
    let opened = Guard::open(parts(&plan, dir.path(), &StatementKey::generate().unwrap()));
    let error = opened.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("models.mlp has the digest"), "{error}");
}

#[test]
fn one_state_folder_serves_one_guard() {
    let bench = Bench::start(&policy(LOCAL));
    let again = Guard::open(parts(&policy(LOCAL), bench.dir.path(), &bench.authority));
    assert!(matches!(again, Err(GuardError::Record(_))), "{again:?}");
}

#[test]
fn start_and_end_are_on_record() {
    let bench = Bench::start(&policy(LOCAL));
    bench.score();
    let events = bench.end();
    assert!(matches!(events.first(), Some(GuardEvent::Start(s)) if s.models.len() == 2
        && s.models.iter().all(|m| m.sha256.is_some())));
    assert!(matches!(events.last(), Some(GuardEvent::End(_))));
}

#[test]
fn an_answer_under_way_is_finished() {
    let upstream = Upstream::start(crate::support::Manner::Hangs);
    let bench = Bench::start(&upstream.policy(""));
    let (address, key) = (bench.data, bench.key.clone());
    let asking = std::thread::spawn(move || {
        let body = json!({"features": features()}).to_string();
        let head = format!(
            "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        crate::support::raw(address, head.as_bytes())
    });
    std::thread::sleep(std::time::Duration::from_millis(150));
    bench.end();
    let got = asking.join().unwrap();
    assert_eq!(got.json()["answered_by"], "backup", "{got:?}");
}

#[test]
fn tls_is_spoken_and_a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls =
        format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let mut plan = policy(LOCAL);
    plan.policy = plan.policy.replace("[listen]\n", &format!("[listen]\n{tls}\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |m| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(m)).unwrap();
        mode(0o644);
        let other = tempfile::tempdir().unwrap();
        let opened = Guard::open(parts(&plan, other.path(), &StatementKey::generate().unwrap()));
        assert!(matches!(opened, Err(GuardError::Tls(_))), "{opened:?}");
        mode(0o600);
    }
    let bench = Bench::start(&plan);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(bench.data).unwrap();
    let mut stream = rustls::StreamOwned::new(client, socket);
    let body = json!({"features": features()}).to_string();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\n\r\n{body}",
        bench.key,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut stream).status, 200);
    let mut plain = std::net::TcpStream::connect(bench.data).unwrap();
    plain.write_all(head.as_bytes()).unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 200"), "plain HTTP on a TLS port");
}

#[test]
fn pass_through_passes_allowed_paths_only() {
    let upstream = Upstream::start(probabilities(0.5, 0.5));
    let mut plan = upstream.policy("");
    plan.policy = plan.policy.replacen("\n", "\nmode = \"pass-through\"\n", 1);
    let bench = Bench::start(&plan);
    let before = upstream.count();
    let post = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
        bench.raw(head.as_bytes())
    };
    let got = post("/v2/models/mlp/infer");
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.json()["outputs"][0]["name"], "probabilities");
    assert_eq!(post("/v2/repository/index").status, 404);
    assert_eq!(upstream.count(), before + 1);
}

#[test]
fn the_connection_is_kept_and_pipelined_requests_stay_in_order() {
    let bench = Bench::start(&policy(LOCAL));
    let other = add_key(bench.dir.path(), &[], "2027-01-01T00:00:00Z");
    let mut stream = std::net::TcpStream::connect(bench.data).unwrap();
    let ask = |id: &str, key: &str| {
        let body = json!({"id": id, "features": features()}).to_string();
        format!(
            "POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    drop(other);
    for id in ["a", "b", "c"] {
        stream.write_all(ask(id, &bench.key).as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).json()["request"], id);
    }
}
