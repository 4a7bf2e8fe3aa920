//! What a new user does wrong, and what must then be said.

use std::fs;

use crate::support::{Scratch, proofmark};

const ROWS: usize = 40;

#[test]
fn a_pack_is_replayed_although_the_log_holds_earlier_plans() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    scratch.edit("proofmark.toml", |t| format!("{t}\n# a remark is another declaration\n"));
    let (_, second) = scratch.json(&["assess"]);
    let exploratory = second["exploratory"].as_array().expect("list");
    assert!(exploratory.is_empty(), "a remark changes no terms: {second:#}");

    let pack = scratch.path("pack").display().to_string();
    let made = scratch.run(&["dossier", "--out", &pack, "--with-rows"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let (code, again) = scratch.json(&["replay", "--pack", &pack]);
    assert_eq!((code, again["identical"].as_bool()), (0, Some(true)), "{again:#}");
    assert_eq!(again["run"], second["run"]);

    let other = scratch.run(&["replay", "run-1-00000000", "--pack", &pack]);
    assert_eq!(other.code, 2);
    assert!(other.stderr.contains("the pack holds run-"), "{}", other.stderr);
}

#[test]
fn what_check_refuses_assess_refuses_before_anything_is_logged() {
    type Edit = fn(&str) -> String;
    let cases: &[(&str, Edit, &[&str])] = &[
        (
            "an output that is not there",
            |t| t.replacen("name = \"probabilities\"", "name = \"p\"", 1),
            &["has no output `p`", "`probabilities`"],
        ),
        (
            "a column that the model needs is ignored",
            |t| {
                let at = t.find("[features.duration]").expect("feature");
                let end = at + 1 + t[at + 1..].find("\n[").expect("next section");
                let cut = format!("{}{}", &t[..at], &t[end + 1..]);
                cut.replace("ignore = [", "ignore = [\"duration\", ")
            },
            &["`duration`"],
        ),
    ];
    for (name, edit, words) in cases {
        let scratch = Scratch::credit(ROWS);
        scratch.edit("proofmark.toml", edit);
        for verb in ["check", "assess"] {
            let ran = scratch.run(&[verb]);
            assert_eq!(ran.code, 2, "{name}, {verb}: {}", ran.stdout);
            for word in *words {
                assert!(ran.stderr.contains(word), "{name}, {verb}: {}", ran.stderr);
            }
        }
        assert!(!scratch.path(".proofmark").exists(), "{name}: nothing is logged");
    }
}

#[test]
fn a_log_is_not_written_for_another_system_or_with_another_key() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    scratch.edit("proofmark.toml", |t| t.replacen("name = \"credit\"", "name = \"loans\"", 1));
    let renamed = scratch.run(&["assess"]);
    assert_eq!(renamed.code, 2, "{}", renamed.stdout);
    assert!(renamed.stderr.contains("proofmark/DEMO/credit"), "{}", renamed.stderr);
    scratch.edit("proofmark.toml", |t| t.replacen("name = \"loans\"", "name = \"credit\"", 1));

    let keys = scratch.path(".proofmark/keys");
    for name in ["DEMO-statement.pem", "DEMO-log.pem"] {
        fs::remove_file(keys.join(name)).expect("key");
    }
    let other = scratch.run(&["assess"]);
    assert_eq!(other.code, 2, "{}", other.stdout);
    assert!(other.stderr.contains("another signing key"), "{}", other.stderr);
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0, "the log is as sound as before");
}

#[test]
fn a_statement_changed_on_disk_makes_fsck_fail() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let (_, log) = scratch.json(&["log", "list"]);
    let bundle = log["entries"][0]["bundle"].as_str().expect("bundle");
    let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
    let mut bytes = fs::read(&path).expect("bundle");
    bytes[100] ^= 1;
    fs::write(&path, bytes).expect("write");
    let ran = scratch.run(&["log", "fsck"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("entry 0 names a statement"), "{}", ran.stdout);
}

#[test]
fn an_attack_that_would_mean_nothing_is_refused() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("less than a step of a pixel", &["--eps", "0.03", "--scale", "0-255"], "moves nothing"),
        ("deviations of pixels", &["--eps", "0.1", "--scale", "std"], "columns of a table"),
        ("a cut-off for ten", &["--eps", "8", "--scale", "0-255", "--decision", "3@0.5"], "two"),
        ("a share above one", &["--eps", "8", "--scale", "0-255", "--min-robust", "7"], "share"),
        ("no steps", &["--eps", "8", "--scale", "0-255", "--steps", "0"], "from 1"),
        ("falling budgets", &["--eps", "8,4", "--scale", "0-255"], "ascending"),
        ("no such suite", &["--eps", "8", "--scale", "0-255", "--suite", "best"], "`best`"),
    ];
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path("cnn.onnx"), path("test-images.idx.gz"));
    let label = path("test-labels.idx.gz");
    let base = ["attack", "--model", &model, "--data", &data, "--label", &label];
    for (name, args, words) in cases {
        let more = ["--norm", "linf", "--limit", "5"];
        let ran = proofmark(&[&base, &more[..], args].concat());
        assert_eq!(ran.code, 2, "{name}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{name}: no figure is given\n{}", ran.stdout);
    }
}

#[test]
fn a_budget_that_bounds_nothing_is_remarked_on() {
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path("cnn.onnx"), path("test-images.idx.gz"));
    let label = path("test-labels.idx.gz");
    let base = ["attack", "--model", &model, "--data", &data, "--label", &label];
    for (eps, scale, told) in [("8", "bounds", true), ("1", "bounds", true), ("8", "0-255", false)]
    {
        let args = ["--norm", "linf", "--suite", "fgsm", "--limit", "5", "--eps", eps];
        let ran = proofmark(&[&base[..], &args, &["--scale", scale]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let said = ran.stderr.contains("reaches every allowed value");
        assert_eq!(said, told, "{eps} {scale}: {}", ran.stderr);
    }
}

#[test]
fn an_attack_on_a_table_names_the_column_that_is_not_there() {
    let scratch = Scratch::copy_of("credit");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path("mlp.onnx"), path("test.csv"));
    let base = ["attack", "--model", &model, "--data", &data, "--label", "class"];
    for (more, words) in [
        (["--mutable", "amuont", "--scale", "bounds"], "no column `amuont`"),
        (["--mutable", "amount", "--scale", "0-255"], "for images"),
    ] {
        let args = ["--norm", "linf", "--eps", "0.1"];
        let ran = proofmark(&[&base[..], &args, &more].concat());
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}
