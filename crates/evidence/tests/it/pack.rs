//! Packs, judged by this crate and by the shell verifier alike.

use std::fs;
use std::path::Path;

use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::keys::StatementKey;
use proofmark_evidence::pack::{PACK_PREDICATE, PackReport, verify_pack};
use proofmark_evidence::statement::Statement;
use serde_json::json;

use crate::support::{Built, Recipe, SHELL_TOOLS, build, files, have, verify_sh};

fn failed(report: &PackReport) -> Vec<&str> {
    report.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect()
}

/// Both verifiers' verdicts; the shell's is `None` where its tools are missing.
fn judge(dir: &Path, signer: Option<&Digest>) -> (PackReport, Option<bool>) {
    let report = verify_pack(dir, signer);
    let shell = have(&SHELL_TOOLS).then(|| {
        let hex = signer.map(Digest::hex).unwrap_or_default();
        let arguments = ["--signer", hex.as_str()];
        let output = verify_sh(dir, if signer.is_some() { &arguments } else { &[] });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{text}{errors}");
        let good = output.status.success();
        assert_eq!(good, !text.contains("FAIL"), "{text}{errors}");
        assert!(!good || errors.is_empty(), "{errors}");
        good
    });
    (report, shell)
}

/// Rewrites MANIFEST and signs it with `key`, as someone who holds a key could.
fn reseal(built: &Built, key: &StatementKey) {
    let manifest = built.dir.join("MANIFEST");
    let mut text = String::new();
    for path in files(&built.dir) {
        let name = path.strip_prefix(&built.dir).unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("MANIFEST") {
            text.push_str(&format!("{}  {name}\n", Digest::of(&fs::read(&path).unwrap())));
        }
    }
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_by_key(|line| &line[66..]);
    let text = lines.join("\n") + "\n";
    fs::write(&manifest, &text).unwrap();
    let statement = Statement::new(PACK_PREDICATE, json!({"demo": false}))
        .subject("MANIFEST", Digest::of(text.as_bytes()));
    let bundle = Bundle::sign(&statement, key).unwrap().to_json().unwrap();
    fs::write(built.dir.join("MANIFEST.sigstore.json"), bundle).unwrap();
}

#[test]
fn a_good_pack_passes_both_verifiers() {
    for recipe in [
        Recipe::default(),
        Recipe { anchored: false, filler: 0, ..Recipe::default() },
        Recipe { filler: 260, ..Recipe::default() },
    ] {
        let built = build(&recipe);
        let (report, shell) = judge(&built.dir, None);
        assert!(report.is_consistent(), "{:#?}", report.checks);
        assert_eq!(report.verdict(), "consistent; signer not authenticated");
        assert!(!report.authenticated);
        assert_ne!(shell, Some(false));
        assert_eq!(report.erased.len(), 1);
        assert_eq!(report.anchors.len(), usize::from(recipe.anchored));
        assert_eq!(report.order_anchored, recipe.anchored);
        let (report, shell) = judge(&built.dir, Some(&built.fingerprint()));
        assert!(report.authenticated);
        assert!(report.verdict().starts_with("consistent; signed by"), "{}", report.verdict());
        assert_ne!(shell, Some(false));
    }
}

#[test]
fn one_changed_byte_in_any_file_is_found_by_both() {
    let built = build(&Recipe { filler: 0, ..Recipe::default() });
    let all = files(&built.dir);
    assert!(all.len() > 20, "{all:?}");
    for path in all {
        let bytes = fs::read(&path).unwrap();
        for place in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(!verify_pack(&built.dir, None).is_consistent(), "{path:?} {place}");
        }
        let (_, shell) = judge(&built.dir, None);
        assert_ne!(shell, Some(true), "{path:?}");
        fs::write(&path, &bytes).unwrap();
    }
    assert!(verify_pack(&built.dir, None).is_consistent());
}

#[test]
fn added_missing_and_linked_files_are_found() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("added", |dir| fs::write(dir.join("data/extra.json"), "{}").unwrap()),
        ("added at the top", |dir| fs::write(dir.join("notes.txt"), "x").unwrap()),
        ("hidden", |dir| fs::write(dir.join(".hidden"), "x").unwrap()),
        ("missing", |dir| fs::remove_file(dir.join("data/plan.json")).unwrap()),
        ("no proof", |dir| fs::remove_file(dir.join("proofs/result.tlog-proof")).unwrap()),
        #[cfg(unix)]
        ("link", |dir| {
            let path = dir.join("data/plan.json");
            fs::rename(&path, dir.parent().unwrap().join("plan.json")).unwrap();
            std::os::unix::fs::symlink(dir.parent().unwrap().join("plan.json"), path).unwrap();
        }),
    ];
    for (name, change) in changes {
        let built = build(&Recipe { filler: 0, ..Recipe::default() });
        change(&built.dir);
        let (report, shell) = judge(&built.dir, None);
        assert!(failed(&report).contains(&"manifest"), "{name}: {:?}", failed(&report));
        assert_ne!(shell, Some(true), "{name}");
    }
}

#[test]
fn a_report_that_differs_from_its_facts_fails_even_when_signed() {
    for (name, recipe, check) in [
        ("digit", Recipe { shown: "78.0 %", ..Recipe::default() }, "report"),
        ("value", Recipe { value: 0.78, ..Recipe::default() }, "facts"),
    ] {
        let built = build(&recipe);
        let (report, shell) = judge(&built.dir, Some(&built.fingerprint()));
        assert_eq!(failed(&report), [check], "{name}");
        assert_ne!(shell, Some(true), "{name}");
    }
    let built = build(&Recipe::default());
    let path = built.dir.join("report.html");
    let html = fs::read_to_string(&path).unwrap().replace("75.0 %", "95.0 %");
    fs::write(&path, html).unwrap();
    let (report, shell) = judge(&built.dir, None);
    assert_eq!(failed(&report), ["manifest", "report"]);
    assert_ne!(shell, Some(true));
}

#[test]
fn a_wrong_order_fails() {
    for order in [
        &["result", "plan", "start", "end"][..],
        &["start", "plan", "result", "end"],
        &["plan", "result", "start", "end"],
        &["plan", "result", "end"],
        &["start", "result", "end"],
        &["plan", "start-without-plan", "result"],
        &["plan", "start", "end"],
    ] {
        let built = build(&Recipe { order, anchored: false, ..Recipe::default() });
        let (report, shell) = judge(&built.dir, None);
        assert!(failed(&report).contains(&"order"), "{order:?}: {:?}", failed(&report));
        assert_ne!(shell, Some(true), "{order:?}");
    }
}

#[test]
fn a_pack_made_again_with_another_key_fails_with_the_signer_given() {
    let honest = build(&Recipe::default());
    let forged = build(&Recipe::default());
    let (report, shell) = judge(&forged.dir, None);
    assert_eq!(report.verdict(), "consistent; signer not authenticated");
    assert_ne!(shell, Some(false));
    let (report, shell) = judge(&forged.dir, Some(&honest.fingerprint()));
    assert_eq!(failed(&report), ["signer"]);
    assert!(!report.authenticated);
    assert_ne!(shell, Some(true));

    // Only the manifest signed again, with a new key in place of the old one.
    let key = StatementKey::generate().unwrap();
    let pem = key.public().to_pem().unwrap();
    fs::write(honest.dir.join("keys/statement.pub.pem"), pem).unwrap();
    reseal(&honest, &key);
    let (report, shell) = judge(&honest.dir, None);
    assert!(failed(&report).contains(&"attestation result"), "{:?}", failed(&report));
    assert_ne!(shell, Some(true));
}

#[test]
fn changes_that_the_key_holder_signed_are_still_found_inside() {
    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 5] = [
        ("swapped statements", "proof plan", |dir| {
            let (a, b) = (dir.join("attestations/plan.sigstore.json"), "result.sigstore.json");
            let (a_bytes, b) = (fs::read(&a).unwrap(), dir.join("attestations").join(b));
            fs::write(&a, fs::read(&b).unwrap()).unwrap();
            fs::write(&b, a_bytes).unwrap();
        }),
        ("a log entry", "log", |dir| {
            let path = dir.join("log/tile/entries/000.p/5");
            let mut bytes = fs::read(&path).unwrap();
            let place = bytes.windows(4).position(|w| w == b"plan").unwrap();
            bytes[place] = b'P';
            fs::write(&path, bytes).unwrap();
        }),
        ("an erased artefact is back", "artefacts", |dir| {
            let bytes = b"a row of a person";
            fs::write(dir.join(format!("artefacts/{}", Digest::of(bytes))), bytes).unwrap();
        }),
        ("an artefact under another digest", "artefacts", |dir| {
            fs::write(dir.join(format!("artefacts/{}", Digest::of(b"x"))), b"y").unwrap();
        }),
        ("half an anchor", "anchors", |dir| {
            fs::remove_file(dir.join("anchors/w1.cosig")).unwrap();
        }),
    ];
    for (name, check, change) in changes {
        let built = build(&Recipe { filler: 0, ..Recipe::default() });
        change(&built.dir);
        reseal(&built, &built.key);
        let (report, shell) = judge(&built.dir, Some(&built.fingerprint()));
        assert!(failed(&report).contains(&check), "{name}: {:?}", failed(&report));
        assert!(!failed(&report).contains(&"manifest"), "{name}");
        assert_ne!(shell, Some(true), "{name}");
    }
}

#[test]
fn an_empty_or_foreign_folder_fails_without_panic() {
    let dir = tempfile::tempdir().unwrap();
    let report = verify_pack(dir.path(), None);
    assert!(!report.is_consistent());
    assert!(!verify_pack(&dir.path().join("absent"), None).is_consistent());
    let built = build(&Recipe::default());
    for path in files(&built.dir) {
        let bytes = fs::read(&path).unwrap();
        for garbage in [&b""[..], b"\xff\xfe\x00", b"{}", b"\n"] {
            fs::write(&path, garbage).unwrap();
            assert!(!verify_pack(&built.dir, None).is_consistent(), "{path:?}");
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(built.sealed.bundle.key_hint(), built.fingerprint().hex());
}
