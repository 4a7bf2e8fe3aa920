//! Signatures made by openssl, and what is refused.

use std::path::Path;
use std::process::Command;

use proofmark_evidence::durable::OsFs;
use proofmark_evidence::keys::Protection;
use proofmark_schema::system::Person;

use super::*;
use crate::fixture::{Desk, system};
use crate::papers::written::{PAPER, PaperRecord, PapersPredicate};

const PDF: &[u8] = b"%PDF-1.7 a paper";

/// Whether openssl is here; said aloud when it is not, required in CI.
#[expect(clippy::print_stderr, reason = "a skipped test is said aloud")]
fn openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        assert!(std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_none(), "openssl is missing");
        eprintln!("skipped: openssl is not here");
    }
    found
}

fn run(dir: &Path, args: &str) {
    let args: Vec<String> = args.split_whitespace().map(|a| a.replace('~', " ")).collect();
    let out = Command::new("openssl").args(&args).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

/// An authority, a person it vouches for, a second person of their own, and a signed paper.
fn workshop(kind: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("paper.pdf"), PDF).unwrap();
    let new = match kind {
        "rsa" => "-newkey rsa:2048",
        _ => "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
    };
    let own = "-x509 -nodes -days 30 -addext basicConstraints=critical,CA:TRUE";
    run(at, &format!("req {own} {new} -keyout ca.key -out ca.pem -subj /CN=Test~Authority"));
    run(at, &format!("req -nodes {new} -keyout p.key -out p.csr -subj /CN=Q.~Manager/O=Bank"));
    run(at, "x509 -req -in p.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -out p.pem");
    run(at, &format!("req -x509 -nodes -days 30 {new} -keyout o.key -out o.pem -subj /CN=Other"));
    run(at, "cms -sign -binary -in paper.pdf -signer p.pem -inkey p.key -outform DER -out s.p7s");
    run(at, "cms -sign -binary -in paper.pdf -signer p.pem -inkey p.key -outform PEM -out s.pem");
    run(
        at,
        "cms -sign -binary -nodetach -in paper.pdf -signer p.pem -inkey p.key -outform DER \
         -out in.p7s",
    );
    run(at, "dgst -sha256 -sign p.key -out s.sig paper.pdf");
    dir
}

/// A desk whose log knows the paper.
fn desk() -> Desk {
    let mut desk = Desk::new();
    let record = PaperRecord {
        id: "test-report".into(),
        content: Digest::of(b"content").hex(),
        html: Digest::of(b"page").hex(),
        pdf: Some(Digest::of(PDF).hex()),
        facts: Digest::of(b"{}").hex(),
        chapters: vec![],
    };
    let tool = Tool { name: "proofmark".into(), version: "0.1.0".into() };
    let papers = PapersPredicate {
        system: "credit".into(),
        version: "1.0.0".into(),
        tool,
        run: "run-1".into(),
        papers: vec![record],
    };
    let subject =
        AssetDigest { name: "papers/test-report.pdf".into(), sha256: Digest::of(PDF).hex() };
    let now = now();
    let clock = || now.clone();
    let mut register = desk.register(&clock);
    events::record(&mut register, EntryKind::Paper, PAPER, &papers, &[subject]).unwrap();
    desk
}

/// The time of the certificates that openssl makes: that of the machine.
fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn people() -> System {
    let mut system = system();
    let person = Person { id: "quality".into(), name: "Q. Manager".into(), role: "quality".into() };
    system.people.push(person);
    system
}

fn take<'a>(
    desk: &mut Desk,
    change: impl FnOnce(&mut Import<'a>),
    (certificate, signature): (&'a [u8], &'a [u8]),
) -> Result<Logged<SignaturePredicate>, SignatureError> {
    let mut request = Import {
        paper: "test-report",
        file: PDF,
        person: "quality",
        certificate,
        signature,
        authorities: None,
    };
    change(&mut request);
    let now = now();
    let clock = || now.clone();
    import(&mut desk.register(&clock), &people(), &request)
}

#[test]
fn what_openssl_signs_is_verified_and_logged() {
    if !openssl() {
        return;
    }
    for (kind, algorithm) in [("ec", "ecdsa-p256-sha256"), ("rsa", "rsa-pkcs1-sha256")] {
        let dir = workshop(kind);
        let at = dir.path();
        let (certificate, ca) = (read(at, "p.pem"), read(at, "ca.pem"));
        for (file, form) in [("s.p7s", "cms"), ("s.pem", "cms"), ("s.sig", "raw")] {
            let mut desk = desk();
            let signature = read(at, file);
            let logged =
                take(&mut desk, |r| r.authorities = Some(&ca), (&certificate, &signature)).unwrap();
            let said = &logged.said;
            assert_eq!((said.form.as_str(), said.algorithm.as_str()), (form, algorithm), "{file}");
            assert_eq!(said.subject, "CN=Q. Manager, O=Bank");
            assert_eq!(said.signing_time.is_some(), form == "cms");
            let verified = Chain::Verified {
                authority: "CN=Test Authority".into(),
                fingerprint: Certificate::read(&ca).unwrap().fingerprint().hex(),
            };
            assert_eq!(said.chain, verified);
            let content = said.content.clone();
            let same = |_: &str| Some(content.clone());
            let all = signatures(&desk.log, &desk.store, &same).unwrap();
            assert_eq!((all.len(), all[0].current), (1, true));
            let other = |_: &str| Some(Digest::of(b"changed").hex());
            assert!(!signatures(&desk.log, &desk.store, &other).unwrap()[0].current);
            for digest in [&said.file, &said.signature, &said.certificate_file] {
                desk.store.open(&digest.parse().unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn what_does_not_hold_is_refused_and_not_logged() {
    if !openssl() {
        return;
    }
    let dir = workshop("ec");
    let at = dir.path();
    let (good, signature) = (read(at, "p.pem"), read(at, "s.p7s"));
    let (other, own) = (read(at, "o.pem"), read(at, "ca.pem"));
    let (bare, inside) = (read(at, "s.sig"), read(at, "in.p7s"));
    let mut flipped = signature.clone();
    *flipped.last_mut().unwrap() ^= 1;
    type Change = fn(&mut Import<'_>);
    let same: Change = |_| {};
    #[expect(clippy::type_complexity, reason = "a table of cases, read once")]
    let cases: [(&str, Change, &[u8], &[u8], &str); 10] = [
        ("nobody", |r| r.person = "somebody", &good, &signature, "no declared person"),
        ("other paper", |r| r.paper = "annex-iv", &good, &signature, "no `annex-iv`"),
        ("changed file", |r| r.file = b"%PDF-1.7 another", &good, &signature, "no `test-report`"),
        ("other certificate", same, &other, &signature, "another certificate"),
        ("other key", same, &other, &bare, "does not verify"),
        ("flipped", same, &good, &flipped, "does not verify"),
        ("attached", same, &good, &inside, "detached"),
        ("no signature", same, &good, b"hello", "does not verify"),
        ("no certificate", same, b"hello", &signature, "certificate does not read"),
        ("cut", same, &good, &signature[..60], "does not verify"),
    ];
    for (name, change, certificate, signature, wanted) in cases {
        let mut desk = desk();
        let before = desk.log.size();
        let error = take(&mut desk, change, (certificate, signature)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{name}: {error}");
        assert_eq!(desk.log.size(), before, "{name}");
    }
    // The authority did not sign the other person, and a person is no authority.
    for authority in [&own, &good] {
        run(
            at,
            "cms -sign -binary -in paper.pdf -signer o.pem -inkey o.key -outform DER -out o.p7s",
        );
        let theirs = read(at, "o.p7s");
        let error = take(&mut desk(), |r| r.authorities = Some(authority), (&other, &theirs));
        assert!(error.unwrap_err().to_string().contains("does not lead"));
    }
}

#[test]
fn the_key_of_the_program_signs_no_paper() {
    if !openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let mut desk = desk();
    desk.key.save(&OsFs, &at.join("key-DEMO.pem"), Protection::Demo).unwrap();
    run(at, "req -x509 -key key-DEMO.pem -days 2 -subj /CN=Tool -out c.pem");
    let certificate = read(at, "c.pem");
    let error = take(&mut desk, |_| {}, (&certificate, b"x")).unwrap_err();
    assert!(matches!(error, SignatureError::OwnKey), "{error}");
}

#[test]
fn hostile_certificates_and_signatures_are_refused_without_a_panic() {
    let bytes: Vec<Vec<u8>> = vec![
        vec![],
        vec![0x30],
        vec![0x30, 0x80],
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        [0x30, 0x82, 0x01, 0x00].repeat(100),
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----".to_vec(),
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----".to_vec(),
        vec![0xff; 100_000],
    ];
    for bytes in &bytes {
        assert!(Certificate::read(bytes).is_err());
    }
}
