//! The register of risks, the gate and what is due, by the real binary on the credit example.

use std::fs;

use serde_json::Value;

use crate::support::{Ran, Scratch};

const ROWS: usize = 60;
const UNTIL: &str = "2027-06-30";

/// The credit example, assessed and seeded.
fn seeded() -> Scratch {
    let scratch = Scratch::credit(ROWS);
    // Too few rows to judge it, and a risk that is excluded cannot waive it.
    scratch.edit("proofmark.toml", |text| {
        let from = text.find("[criteria.typing-errors]").expect("the criterion");
        let rest = &text[from + 1..];
        let end = rest.find("\n[").map_or(text.len(), |at| from + 1 + at);
        format!("{}{}", &text[..from], &text[end..])
    });
    let (code, assessed) = scratch.json(&["assess"]);
    assert!(code <= 1, "{assessed:#}");
    let (code, seeded) = scratch.json(&["risk", "seed"]);
    assert_eq!(code, 0, "{seeded:#}");
    assert_eq!(list(&seeded, "entered").len(), 9);
    scratch
}

/// Everything accepted or excluded, all together accepted.
fn settle(scratch: &Scratch) {
    let (_, gate) = scratch.json(&["gate"]);
    let unmet: Vec<String> = of_code(&gate, "criterion-unmet", "about");
    let (_, listed) = scratch.json(&["risk", "list"]);
    for risk in list(&listed, "risks") {
        let id = risk["id"].as_str().expect("id");
        let mut args = vec!["risk"];
        let criteria = risk["scenario"]["links"]["criteria"].as_array();
        let waives: Vec<&str> = criteria
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|c| unmet.iter().any(|u| u == c))
            .collect();
        let verb = if risk["inherent"].is_null() { "exclude" } else { "accept" };
        args.extend([verb, id, "--reason", "in the example", "--expires", UNTIL]);
        waives.iter().for_each(|c| args.extend(["--waive", c]));
        let ran = scratch.run(&args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    }
    let args = ["risk", "overall", "--reason", "in the example", "--expires", UNTIL];
    let ran = scratch.run(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn the_gate_opens_on_a_settled_register_and_one_changed_weight_closes_it() {
    let scratch = seeded();
    let (code, closed) = scratch.json(&["gate"]);
    assert_eq!((code, &closed["open"]), (1, &Value::Bool(false)));
    for wanted in ["unaccepted", "unrated", "overall-missing", "criterion-unmet"] {
        assert!(!of_code(&closed, wanted, "next").is_empty(), "no {wanted}: {closed:#}");
    }
    settle(&scratch);
    let ran = scratch.run(&["gate"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("gate OPEN: credit 1.0.0"), "{}", ran.stdout);
    assert!(ran.stdout.contains("accepted as it stands in `threat-applicant`"), "{}", ran.stdout);
    let (code, open) = scratch.json(&["gate", "--record", "--release", "2.1"]);
    assert_eq!((code, &open["release"]), (0, &"2.1".into()));
    assert!(open["recorded"].is_u64(), "{open:#}");
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0);

    // The lowest bit of one weight.
    change_one_weight(&scratch, "mlp.onnx");
    let (code, closed) = scratch.json(&["gate", "--record"]);
    assert_eq!(code, 1, "{closed:#}");
    let assets: Vec<String> = of_code(&closed, "asset-changed", "about");
    assert!(assets.contains(&"model/mlp".to_owned()), "{closed:#}");
    assert!(!assets.contains(&"model/gbm".to_owned()));
    // The other model was not touched, so its risk stands.
    assert!(!assets.contains(&"threat-enquirer".to_owned()), "{assets:?}");
    let ran = scratch.run(&["risk", "matrix"]);
    assert!(ran.stdout.contains("changed since: model/mlp"), "{}", ran.stdout);
}

#[test]
fn time_closes_the_gate_and_is_told_by_due() {
    let scratch = seeded();
    settle(&scratch);
    let (code, due) = scratch.json(&["due"]);
    assert_eq!((code, &due["overdue"]), (0, &0.into()), "{due:#}");
    let kinds: Vec<&str> = list(&due, "due").iter().filter_map(|d| d["kind"].as_str()).collect();
    for wanted in ["run", "acceptance", "exclusion", "review", "overall"] {
        assert!(kinds.contains(&wanted), "{wanted}: {kinds:?}");
    }
    let times: Vec<&str> = list(&due, "due").iter().filter_map(|d| d["at"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let ran = scratch.run(&["due", "--now", "2028-01-01T00:00:00Z"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("as of 2028-01-01T00:00:00Z (--now)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("OVERDUE"), "{}", ran.stdout);
    let (code, gate) = scratch.json(&["gate", "--now", "2028-01-01"]);
    assert_eq!(code, 1);
    assert_eq!(gate["overridden"], true);
    for wanted in ["run-expired", "expired", "overall-expired"] {
        assert!(!of_code(&gate, wanted, "what").is_empty(), "{wanted}");
    }
    let ran = scratch.run(&["gate", "--record", "--now", "2026-12-01"]);
    assert_eq!(ran.code, 2, "a given time cannot be signed");
}

#[test]
fn seeding_twice_gives_nothing_and_the_history_is_the_log() {
    let scratch = seeded();
    let entries = |s: &Scratch| list(&s.json(&["log", "list"]).1, "entries").len();
    let before = entries(&scratch);
    let (_, again) = scratch.json(&["risk", "seed"]);
    assert!(list(&again, "entered").is_empty() && list(&again, "rated").is_empty());
    assert_eq!(entries(&scratch), before);
    let (_, shown) = scratch.json(&["risk", "show", "threat-applicant", "--history"]);
    let history = list(&shown, "history");
    assert_eq!(history.len(), 2, "{shown:#}");
    assert_eq!(history[0]["said"]["act"], "enter");
    let basis = &history[1]["said"]["rating"]["basis"];
    assert_eq!(basis["basis"], "measured");
    let pair =
        |name: &str| -> Vec<f64> { list(basis, name).iter().filter_map(Value::as_f64).collect() };
    let (success, attempts, wanted) =
        (pair("success"), pair("attempts_per_year"), pair("successes_per_year"));
    assert_eq!(wanted, [success[0] * attempts[0], success[1] * attempts[1]]);
    let text = scratch.run(&["risk", "show", "threat-applicant"]).stdout;
    assert!(text.contains("the upper end counts"), "{text}");
}

#[test]
fn what_may_not_be_said_is_refused_with_exit_code_two() {
    let scratch = seeded();
    let entries = |s: &Scratch| list(&s.json(&["log", "list"]).1, "entries").len();
    let before = entries(&scratch);
    let id = "misuse-hiring";
    let accept = ["risk", "accept", id, "--expires", UNTIL];
    let add = ["risk", "add", "x", "--title", "t", "--actor", "a", "--effect", "integrity"];
    let treat = ["risk", "treat", id, "--what", "w", "--order"];
    let cases: Vec<(Vec<&str>, &str)> = vec![
        ([&accept[..], &["--reason", "r", "--by", "model-owner"]].concat(), "cannot also accept"),
        (
            [&accept[..], &["--reason", "r", "--by", "  ALEX example (demo)"]].concat(),
            "cannot also accept",
        ),
        ([&accept[..], &["--reason", "r", "--by", "nobody"]].concat(), "nobody is declared"),
        ([&accept[..], &["--reason", " "]].concat(), "is empty"),
        (vec!["risk", "accept", id, "--reason", "r", "--expires", "2020-01-01"], "later day"),
        (vec!["risk", "accept", id, "--reason", "r", "--expires", "2099-01-01"], "too far"),
        (vec!["risk", "accept", id, "--reason", "r", "--expires", "31.12.2027"], "not a time"),
        (vec!["risk", "accept", "nope", "--reason", "r", "--expires", UNTIL], "no risk `nope`"),
        ([&add[..], &["--technique", "AML.T9999"]].concat(), "no bundled taxonomy"),
        (add.to_vec(), "at least one technique"),
        ([&add[..], &["--technique", "AML.T0015", "--after", "x"]].concat(), "follow from itself"),
        ([&add[..], &["--technique", "AML.T0015", "--cell", "evasion/x"]].concat(), "no cell"),
        ([&treat[..], &["control"]].concat(), "why design is not enough"),
        (
            vec![
                "risk",
                "rate",
                "threat-applicant",
                "--likelihood",
                "1",
                "--reason",
                "we feel safe",
            ],
            "would hide it",
        ),
        (vec!["risk", "rate", "row-model-flaws", "--reason", "r"], "no harm"),
        (
            vec!["risk", "rate", "row-model-flaws", "--reason", "r", "--harm", "told-on"],
            "nothing measures",
        ),
        (vec!["risk", "overall", "--reason", "r", "--expires", UNTIL], "cannot be accepted"),
    ];
    for (args, wanted) in cases {
        let Ran { code, stderr, .. } = scratch.run(&args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
    assert_eq!(entries(&scratch), before, "something was logged");
    // A missing reason is refused by the arguments already.
    assert_eq!(scratch.run(&["risk", "reopen", id]).code, 2);
}

#[test]
fn a_damaged_log_stops_every_verb() {
    let scratch = seeded();
    // The newest tile is the one that counts; shorter ones are left from before.
    let tiles = fs::read_dir(scratch.path(".proofmark/log/tile/entries/000.p")).expect("tiles");
    let paths = tiles.map(|tile| tile.expect("tile").path());
    let tile = paths.max_by_key(|path| fs::metadata(path).expect("size").len()).expect("tile");
    let mut bytes = fs::read(&tile).expect("tile");
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&tile, bytes).expect("write");
    for args in [&["risk", "list"][..], &["gate"], &["due"], &["risk", "matrix"]] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains("fsck"), "{}", ran.stderr);
    }
}

#[test]
fn without_evidence_the_gate_is_closed_and_says_what_comes_first() {
    let scratch = Scratch::credit(ROWS);
    let (code, gate) = scratch.json(&["gate"]);
    assert_eq!(code, 1);
    assert_eq!(of_code(&gate, "no-assessment", "next"), ["proofmark assess"]);
    assert_eq!(scratch.run(&["due"]).code, 1, "a first run is due");
    assert_eq!(scratch.run(&["risk", "list"]).code, 0);
    assert!(!scratch.path(".proofmark/log").exists(), "reading made a log");
}

fn change_one_weight(scratch: &Scratch, model: &str) {
    let path = scratch.path(model);
    let mut bytes = fs::read(&path).expect("model");
    // Inside the raw data of the largest initializer: the lowest bit of some mantissa.
    let place = bytes.len() / 2;
    let place = place - place % 4;
    bytes[place] ^= 1;
    fs::write(&path, bytes).expect("write");
}

/// A field of every reason with that code.
fn of_code(gate: &Value, code: &str, field: &str) -> Vec<String> {
    let reasons = list(gate, "reasons").iter().filter(|r| r["code"] == code);
    reasons.filter_map(|r| r[field].as_str().map(str::to_owned)).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value:#}"))
}
