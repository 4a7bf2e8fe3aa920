//! OpenSSL as an independent judge of key files, signatures and time stamps.

use std::fs;
use std::path::Path;
use std::process::Command;

use proofmark_evidence::anchor::{Anchor, Witness};
use proofmark_evidence::durable::OsFs;
use proofmark_evidence::keys::{
    LogKey, LogPublicKey, Protection, StatementKey, StatementPublicKey,
};
use proofmark_evidence::note::Checkpoint;

use crate::support::{Recipe, SHELL_TOOLS, build, have, verify_sh};

fn openssl(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").current_dir(dir).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn must(dir: &Path, arguments: &[&str]) -> String {
    let (ok, text) = openssl(dir, arguments);
    assert!(ok, "openssl {arguments:?}: {text}");
    text
}

#[test]
fn openssl_reads_our_encrypted_keys_and_verifies_our_signatures() {
    if !have(&["openssl"]) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    let statement = StatementKey::generate().unwrap();
    let log = LogKey::generate().unwrap();
    statement.save(&OsFs, &dir.join("s.pem"), Protection::Passphrase("pässword")).unwrap();
    log.save(&OsFs, &dir.join("l.pem"), Protection::Passphrase("pässword")).unwrap();
    for (name, pem) in
        [("s", statement.public().to_pem().unwrap()), ("l", log.public().to_pem().unwrap())]
    {
        let key = format!("{name}.pem");
        let read = must(dir, &["pkey", "-in", &key, "-passin", "pass:pässword", "-pubout"]);
        assert_eq!(read, pem);
        let (ok, _) = openssl(dir, &["pkey", "-in", &key, "-passin", "pass:other", "-noout"]);
        assert!(!ok, "a wrong passphrase");
        fs::write(dir.join(format!("{name}.pub")), pem).unwrap();
    }
    fs::write(dir.join("m"), b"message").unwrap();
    fs::write(dir.join("s.sig"), statement.sign(b"message")).unwrap();
    fs::write(dir.join("l.sig"), log.sign(b"message")).unwrap();
    must(dir, &["dgst", "-sha256", "-verify", "s.pub", "-signature", "s.sig", "m"]);
    let verify = ["-verify", "-rawin", "-pubin", "-inkey", "l.pub", "-in", "m"];
    must(dir, &[&["pkeyutl"][..], &verify, &["-sigfile", "l.sig"]].concat());
}

#[test]
fn we_read_keys_and_signatures_made_by_openssl() {
    if !have(&["openssl"]) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let seal = ["-aes256", "-pass", "pass:secret"];
    must(dir, &[&["genpkey"][..], &curve, &seal, &["-out", "s.pem"]].concat());
    must(dir, &["genpkey", "-algorithm", "ed25519", "-out", "l.DEMO.pem"]);
    let statement = StatementKey::load(&dir.join("s.pem"), Some("secret")).unwrap();
    let log = LogKey::load(&dir.join("l.DEMO.pem"), None).unwrap();
    let public =
        |name: &str| must(dir, &["pkey", "-in", name, "-passin", "pass:secret", "-pubout"]);
    let theirs = StatementPublicKey::from_pem(&public("s.pem")).unwrap();
    assert_eq!(theirs, statement.public());
    assert_eq!(LogPublicKey::from_pem(&public("l.DEMO.pem")).unwrap(), log.public());
    fs::write(dir.join("m"), b"message").unwrap();
    let sign = ["dgst", "-sha256", "-sign", "s.pem", "-passin", "pass:secret", "-out", "sig", "m"];
    must(dir, &sign);
    assert!(theirs.verify(b"message", &fs::read(dir.join("sig")).unwrap()));
}

#[test]
fn a_local_authority_stamps_a_checkpoint() {
    if !have(&["openssl", "sh"]) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    let key = LogKey::generate().unwrap();
    let checkpoint = Checkpoint { origin: "example.invalid/x".into(), size: 9, root: [3; 32] };
    let note = checkpoint.sign(&key).unwrap();
    fs::write(dir.join("checkpoint"), &note).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/anchor/make.sh");
    let made = Command::new("sh").arg(script).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let response = fs::read(dir.join("checkpoint.tsr")).unwrap();
    let anchor = Anchor::time_stamp("today", &note, &response).unwrap();
    let Witness::TimeStamp { stamp, .. } = anchor.witness() else { panic!("a stamp") };
    let text = must(dir, &["ts", "-reply", "-in", "checkpoint.tsr", "-text"]);
    assert!(text.contains(&format!("0x{}", stamp.serial.to_uppercase())), "{text}");
    assert!(text.contains(&stamp.policy), "{text}");
    assert!(Anchor::time_stamp("today", &note.replace('9', "8"), &response).is_err());
}

#[test]
fn the_shell_verifier_checks_a_stamp_with_the_authoritys_certificate() {
    if !have(&SHELL_TOOLS) || !have(&["sh"]) {
        return;
    }
    let built = build(&Recipe { anchored: false, ..Recipe::default() });
    let anchors = built.dir.join("anchors");
    fs::create_dir(&anchors).unwrap();
    let work = built.work.path();
    fs::write(work.join("checkpoint"), &built.early_checkpoint).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/anchor/make.sh");
    assert!(Command::new("sh").arg(script).current_dir(work).status().unwrap().success());
    fs::copy(work.join("checkpoint"), anchors.join("d.checkpoint")).unwrap();
    fs::copy(work.join("checkpoint.tsr"), anchors.join("d.tsr")).unwrap();
    let ca = work.join("ca.pem");
    let said = |arguments: &[&str]| {
        let output = verify_sh(&built.dir, arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // The anchor was added after sealing, so the manifest fails; the anchor lines still speak.
    assert!(said(&[]).contains("ok   anchor d: time stamp over this checkpoint"), "{}", said(&[]));
    let verified = said(&["--tsa-ca", ca.to_str().unwrap()]);
    assert!(verified.contains("ok   anchor d: time stamp over 1 entries verified"), "{verified}");
    let text = fs::read_to_string(built.dir.join("log/checkpoint")).unwrap();
    fs::write(anchors.join("d.checkpoint"), text).unwrap();
    let other = said(&["--tsa-ca", ca.to_str().unwrap()]);
    assert!(other.contains("FAIL anchor d: time stamp"), "{other}");
}
