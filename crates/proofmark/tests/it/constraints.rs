//! `attack --constraints`: witnesses are valid rows, told as what to change; data that break their
//! own constraints are told before; a bad file is shown where it is bad.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::schemas::Schemas;
use crate::support::{Ran, Scratch, proofmark};

const ATTACK: &str = "urn:proofmark:schema:attack:1";

const GOOD: &str = r#"
[constraints]
relations = ["amount >= 20 * duration", "if purpose = 'new car' then amount >= 250"]

[features.amount]
direction = "decrease"
cost = 0.01

[features.duration]
cost = 2.0
"#;

fn attack(scratch: &Scratch, rules: &str, more: &[&str]) -> Ran {
    fs::write(scratch.path("rules.toml"), rules).unwrap();
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data, rules) = (path("gbm.onnx"), path("test.csv"), path("rules.toml"));
    let base = ["attack", "--model", &model, "--data", &data, "--label", "class"];
    let threat = ["--norm", "linf", "--eps", "0.15", "--scale", "bounds", "--goal", "2:1"];
    let decision = ["--decision", "2@0.3"];
    let rest = ["--suite", "caa", "--steps", "12", "--mutable", "duration,amount"];
    let rules = ["--constraints", &rules];
    proofmark(&[&base[..], &threat, &decision, &rest, &rules, more].concat())
}

/// Cells of the data by column, row by row.
fn cells(scratch: &Scratch) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(scratch.path("test.csv")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let pairs = head.iter().zip(line.split(','));
        pairs.map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

#[test]
fn witnesses_are_valid_rows_and_told_as_what_to_change() {
    let scratch = Scratch::copy_of("credit");
    let ran = attack(&scratch, GOOD, &["--explain", "50", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(Schemas::committed().faults(ATTACK, &report), [""; 0]);
    let told = report["changes"].as_array().unwrap();
    assert!(told.len() >= 3, "{} rows told: says nothing", told.len());
    let data = cells(&scratch);
    for row in told {
        let cells = &data[row["row"].as_u64().unwrap() as usize];
        let number = |name: &str| cells[name].parse::<f64>().unwrap();
        let (mut amount, mut duration, mut cost) = (number("amount"), number("duration"), 0.0);
        for change in row["changes"].as_array().unwrap() {
            let (from, to) = (change["from"].as_f64().unwrap(), change["to"].as_f64().unwrap());
            assert_eq!(change["difference"].as_f64(), Some(to - from), "{row}");
            match change["feature"].as_str().unwrap() {
                "amount" => {
                    assert_eq!(from, amount, "{row}");
                    assert!(to < from, "only downwards: {row}");
                    (amount, cost) = (to, cost + 0.01 * (from - to));
                }
                "duration" => {
                    assert_eq!(from, duration, "{row}");
                    (duration, cost) = (to, cost + 2.0 * (to - from).abs());
                }
                other => panic!("`{other}` was not to be moved: {row}"),
            }
        }
        assert!(amount.fract() == 0.0 && duration.fract() == 0.0, "{row}");
        assert!(amount >= 20.0 * duration, "{row}");
        assert!((row["cost"].as_f64().unwrap() - cost).abs() < 1e-9, "{row}: {cost}");
    }
    // The same for people, with a limit that some changes exceed.
    let ran = attack(&scratch, GOOD, &["--explain", "2", "--cost-limit", "6"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("2 relations, 0 one-hot groups"), "{}", ran.stderr);
    assert!(ran.stderr.contains("amount (down only)"), "{}", ran.stderr);
    assert!(ran.stdout.contains("difference"), "{}", ran.stdout);
}

#[test]
fn data_that_break_their_own_constraints_refuse_the_verdict() {
    let scratch = Scratch::copy_of("credit");
    let strict = GOOD.replace("20 * duration", "45 * duration");
    let ran = attack(&scratch, &strict, &[]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let said: String = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("rows break `amount >= 45 * duration`, first row"), "{said}");
    assert!(said.contains("(line ") && said.contains(" >= "), "{said}");
}

#[test]
fn a_bad_file_is_shown_where_it_is_bad() {
    let scratch = Scratch::copy_of("credit");
    // (what stands instead, words of the message)
    for (from, to, words) in [
        ("20 * duration", "20 * durration", "did you mean `duration`?"),
        ("20 * duration", "20 * (duration", "a `)` is missing"),
        ("'new car'", "3", "a text is compared with a number"),
        ("\"decrease\"", "\"down\"", "known: `increase`, `decrease`"),
        ("[features.duration]", "[features.durration]", "no column `durration`"),
        ("relations =", "relation =", "did you mean `relations`?"),
        ("cost = 2.0", "cost = -2.0", "negative"),
    ] {
        let ran = attack(&scratch, &GOOD.replace(from, to), &[]);
        assert_eq!(ran.code, 2, "{to}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{to}: {}", ran.stderr);
        assert!(ran.stderr.contains("rules.toml"), "{to}: {}", ran.stderr);
    }
    let ran = attack(&scratch, "[constraints]\nrelations = []\n", &["--cost-limit", "3"]);
    assert!(ran.code == 2 && ran.stderr.contains("limits nothing"), "{}", ran.stderr);
}

#[test]
fn the_exact_search_counts_valid_changes_alone() {
    let scratch = Scratch::copy_of("credit");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data, rules) = (path("gbm.onnx"), path("test.csv"), path("rules.toml"));
    fs::write(&rules, GOOD.replace("cost = 2.0", "direction = \"increase\"")).unwrap();
    let asked = |more: &[&str]| {
        let base = ["attack", "--model", &model, "--data", &data, "--label", "class"];
        let threat = ["--norm", "linf", "--scale", "bounds", "--goal", "2:1"];
        let decision = ["--decision", "2@0.3", "--mutable", "duration,amount", "--limit", "60"];
        let rest = ["--suite", "exact", "--eps", "0.05,0.15", "--format", "json"];
        let ran = proofmark(&[&base[..], &threat, &decision, &rest, more].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    let plain = asked(&[]);
    let held = asked(&["--constraints", &rules, "--explain", "100"]);
    assert_eq!(Schemas::committed().faults(ATTACK, &held), [""; 0]);
    assert!(held["exact"]["arithmetic"].as_str().unwrap().contains("declared constraints"));
    let told = held["changes"].as_array().unwrap();
    assert!(!told.is_empty());
    let data = cells(&scratch);
    for row in told {
        let mut cells = data[row["row"].as_u64().unwrap() as usize].clone();
        for change in row["changes"].as_array().unwrap() {
            let name = change["feature"].as_str().unwrap();
            if name == "amount" {
                assert!(change["difference"].as_f64().unwrap() <= 0.0, "{row:#}");
            }
            cells.insert(name.to_owned(), change["to"].to_string());
        }
        let number = |name: &str| cells[name].trim_matches('"').parse::<f64>().unwrap();
        assert!(number("amount") >= 20.0 * number("duration") - 1e-6, "{row:#}");
    }
    // fewer changes are valid: no row falls nearer than without constraints
    let pairs = held["points"].as_array().unwrap().iter().zip(plain["points"].as_array().unwrap());
    let mut farther = 0;
    for (valid, any) in pairs {
        let of = |p: &Value| p["distance"]["upper"].as_f64().unwrap_or(f64::INFINITY);
        assert!(of(valid) >= of(any) - 1e-9, "{valid:#} {any:#}");
        farther += usize::from(of(valid) > of(any) + 1e-9);
        let (lower, upper) = (&valid["distance"]["lower"], &valid["distance"]["upper"]);
        if let Some((lower, upper)) = lower.as_f64().zip(upper.as_f64()) {
            assert!(lower <= upper + 1e-6, "{valid:#}");
        }
    }
    assert!(farther > 0, "the constraints change nothing: says nothing");
}
