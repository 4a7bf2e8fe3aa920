//! An incident from opening to closing, and the duties, as a user meets them.

use std::fs;

use proofmark_schema::duties::{EvidenceKind, duties};
use serde_json::Value;

use crate::support::{Scratch, proofmark};

const OPEN: [&str; 10] = [
    "incident",
    "open",
    "--by",
    "quality",
    "--what",
    "applicants of one branch were refused",
    "--harm",
    "rights",
    "--member-state",
    "DE",
];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

/// The verb, the case, and who speaks.
fn deed<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    with(&["incident", verb, "inc-1", "--by", "quality"], more)
}

fn clock(document: &Value, id: &str) -> Value {
    let clocks = document["clocks"].as_array().expect("clocks");
    clocks.iter().find(|c| c["rule"] == id).unwrap_or_else(|| panic!("{id}")).clone()
}

fn ok(scratch: &Scratch, args: &[&str]) -> Value {
    let (code, document) = scratch.json(args);
    assert_eq!(code, 0, "{args:?}: {document:#}");
    document
}

#[test]
fn only_a_receipt_stops_the_clock_and_only_then_the_hold_is_lifted() {
    let scratch = Scratch::copy_of("credit");
    let open = ok(&scratch, &with(&OPEN, &["--link", "likely", "--personal-data", "no"]));
    assert_eq!((&open["severity"], &open["holds"]), (&"serious".into(), &true.into()));
    assert_eq!(clock(&open, "CK-1")["state"], "running");
    assert_eq!(clock(&open, "CK-1")["at_once"], true);
    let hold: Value =
        serde_json::from_slice(&fs::read(scratch.path(".proofmark/hold.json")).expect("hold"))
            .expect("json");
    assert_eq!((&hold["format"], &hold["incident"]), (&"proofmark.hold/1".into(), &"inc-1".into()));
    let frozen = hold["frozen"]["models"].as_array().expect("models");
    assert!(frozen.iter().any(|m| m["name"] == "mlp"), "{frozen:?}");

    let out = scratch.path("reports").display().to_string();
    let report = ok(&scratch, &deed("report", &["--out", &out]));
    assert_eq!(report["form"], "aia-73");
    let gaps = report["gaps"].as_array().expect("gaps");
    assert!(gaps.contains(&"times".into()), "{gaps:?}");
    let page = fs::read_to_string(scratch.path("reports/inc-1-r1.html")).expect("page");
    assert!(page.contains("GAP") && page.contains("DEMO"), "{page}");
    assert!(scratch.path("reports/inc-1-r1.json").is_file());
    assert_eq!(clock(&ok(&scratch, &["incident", "show", "inc-1"]), "CK-1")["state"], "running");

    let refused = scratch.run(&deed("change", &["--what", "a new model"]));
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--notice"), "{}", refused.stderr);
    ok(&scratch, &deed("contain", &["--action", "stop", "--what", "the guard was stopped"]));
    let refused = scratch.run(&deed("release", &["--receipt", "inc-1-q1"]));
    assert!(refused.stderr.contains("no receipt"), "{}", refused.stderr);
    let kept = scratch.path("receipt.txt");
    fs::write(&kept, "received with thanks").expect("write");
    let kept = kept.display().to_string();
    let what = ["--report", "inc-1-r1", "--authority", "market surveillance", "--channel", "mail"];
    let when = ["--reference", "MS-1", "--at", "now", "--file", &kept];
    let stopped = ok(&scratch, &deed("receipt", &with(&what, &when)));
    assert_eq!(clock(&stopped, "CK-1")["state"], "met");
    assert_eq!(stopped["receipts"][0]["said"]["file"]["personal"], true);
    ok(&scratch, &deed("release", &["--receipt", "inc-1-q1"]));
    assert!(!scratch.path(".proofmark/hold.json").exists());
    let closed = ok(&scratch, &deed("close", &["--because", "the feed was mended"]));
    assert_eq!(
        (&closed["open"], closed["deeds"].as_array().map(Vec::len)),
        (&false.into(), Some(6))
    );
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0);
}

#[test]
fn what_cannot_be_is_refused_and_leaves_no_trace() {
    let scratch = Scratch::copy_of("credit");
    let huge = scratch.path("huge.json");
    fs::write(&huge, format!("{{\"what\": \"{}\"}}", "x".repeat(10 << 20))).expect("write");
    let long = scratch.path("long.json");
    fs::write(&long, format!("{{\"what\": \"{}\"}}", "x".repeat(500_000))).expect("write");
    let odd = scratch.path("odd.json");
    fs::write(&odd, "{\"awarre\": 1}").expect("write");
    let [huge, long, odd] = [huge, long, odd].map(|p| p.display().to_string());
    let cases: &[(&str, &[&str], &str)] = &[
        ("aware in the future", &["--aware", "2099-01-01T00:00:00Z"], "in the future"),
        ("no zone", &["--aware", "2026-11-22T15:00:00"], "zone"),
        ("a terminal escape", &["--people", "x\u{1b}[2J"], "control characters"),
        ("no such state", &["--member-state", "ZZ"], "no Member State"),
        ("no such harm", &["--harm", "money"], "infrastructure"),
        ("ten megabytes", &["--from", &huge], "larger than 1 MiB"),
        ("half a megabyte", &["--from", &long, "--people", "some"], "`what`"),
        ("an unknown fact", &["--from", &odd], "awarre"),
        ("an exploit of no product", &["--exploited", "logs"], "digital elements"),
    ];
    for (name, more, words) in cases {
        let base: &[&str] = if *name == "half a megabyte" { &OPEN[..4] } else { &OPEN };
        let ran = scratch.run(&with(base, more));
        assert_eq!(ran.code, 2, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
        assert!(ran.stderr.len() < 4000, "{name}: an error repeats hostile input");
    }
    assert!(!scratch.path(".proofmark/hold.json").exists());
    let none = scratch.run(&["incident", "show", "inc-7"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("no incident `inc-7`"), "{}", none.stderr);
    let list = scratch.run(&["incident", "list"]);
    assert_eq!((list.code, list.stdout.contains("no incident is recorded")), (0, true));
}

#[test]
fn a_clock_that_ran_out_makes_list_and_show_exit_with_one() {
    let scratch = Scratch::copy_of("credit");
    ok(&scratch, &with(&OPEN, &["--aware", "2026-10-01T10:00:00+02:00", "--personal-data", "no"]));
    for args in [&["incident", "list"][..], &["incident", "show", "inc-1"]] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, 1, "{}", ran.stdout);
    }
    let (_, shown) = scratch.json(&["incident", "show", "inc-1"]);
    let late = clock(&shown, "CK-1");
    assert_eq!((&late["state"], &late["due"]), (&"late".into(), &"2026-10-16T08:00:00Z".into()));
}

#[test]
fn a_lost_hold_file_is_told_and_made_anew() {
    let scratch = Scratch::copy_of("credit");
    ok(&scratch, &OPEN);
    let path = scratch.path(".proofmark/hold.json");
    let before = fs::read(&path).expect("hold");
    fs::remove_file(&path).expect("rm");
    assert_eq!(ok(&scratch, &["incident", "list"])["hold_file_in_step"], false);
    let hold = ok(&scratch, &["incident", "hold"]);
    assert_eq!(hold["format"], "proofmark.hold/1");
    assert_eq!(fs::read(&path).expect("hold"), before, "the file is what the log says");
}

#[test]
fn a_damaged_statement_is_told_by_every_verb() {
    let scratch = Scratch::copy_of("credit");
    ok(&scratch, &OPEN);
    let (_, log) = scratch.json(&["log", "list"]);
    let bundle = log["entries"][0]["bundle"].as_str().expect("bundle");
    let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
    let mut bytes = fs::read(&path).expect("bundle");
    bytes[200] ^= 1;
    fs::write(&path, bytes).expect("write");
    for args in [&["incident", "list"][..], &["incident", "hold"], &["duties", "check"]] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains("fsck"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn duties_are_listed_shown_and_checked() {
    let scratch = Scratch::copy_of("credit");
    let (code, all) = scratch.json(&["duties", "check"]);
    assert_eq!(code, 1);
    assert_eq!(all["counts"]["measured"], 0, "nothing was measured yet");
    let (code, some) = scratch.json(&["duties", "check", "AIA-13-3-b-i"]);
    assert_eq!((code, some["duties"].as_array().map(Vec::len)), (0, Some(1)), "{some:#}");
    assert_eq!(some["duties"][0]["state"], "declared");
    let shown = scratch.run(&["duties", "show", "AIA-15-4-b", "--now", "2026-11-22T12:00:00Z"]);
    insta::assert_snapshot!(shown.stdout);
    for bad in [["duties", "show", "XYZ-99"], ["duties", "list", "XYZ"]] {
        let ran = scratch.run(&bad);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains("no duty"), "{}", ran.stderr);
    }
}

#[test]
fn every_drill_that_a_duty_names_can_be_run() {
    let ran = proofmark(&["drill", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for rule in duties().duties.iter().flat_map(|d| &d.parts).flat_map(|p| &p.by) {
        for fault in rule.ids.iter().filter(|_| rule.kind == EvidenceKind::Drill) {
            assert!(ran.stdout.contains(fault.as_str()), "no drill of `{fault}`");
        }
    }
}

#[test]
fn the_rules_as_a_person_reads_them() {
    insta::assert_snapshot!(proofmark(&["incident", "rules"]).stdout);
}

#[test]
fn a_case_as_a_person_reads_it() {
    let scratch = Scratch::copy_of("credit");
    let told = ["--personal-data", "open", "--link", "likely"];
    let opened = scratch.run(&with(&OPEN, &told));
    insta::assert_snapshot!(masked(&opened.stdout));
}

/// The text without times, what is left until then, and digests.
fn masked(text: &str) -> String {
    let mask = |word: &str| {
        let bare = word.trim_matches(|c: char| "():,".contains(c));
        let time = bare.len() == 20 && bare.ends_with('Z') && bare.contains('T');
        let digest = bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        match (time, digest) {
            (true, _) => word.replace(bare, "[time]"),
            (_, true) => "[digest]".to_owned(),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(mask).collect();
        words.join(" ").replace("14 d 23 h", "[left]").replace("15 d 00 h", "[left]")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
