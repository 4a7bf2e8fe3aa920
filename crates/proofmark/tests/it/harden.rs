//! `harden` as a user meets it: what it builds, what it signs, what it refuses.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proofmark_formats::onnx;
use serde_json::Value;

use crate::support::{Scratch, proofmark};

#[test]
fn every_measure_is_built_attacked_again_and_signed() {
    let scratch = Scratch::credit(ROWS);
    let out = scratch.path("hardened");
    let (code, said) = harden(&scratch, &["--retrained", "mlp-hardened"]);
    assert_eq!((code, &said["complete"]), (0, &true.into()), "{said:#}");
    let treatments = &said["treatments"];
    let arms: Vec<&str> = list(&treatments["arms"]).iter().map(|a| text(&a["name"])).collect();
    let mut wanted = vec!["none".to_owned(), "all".to_owned()];
    wanted.extend(MEASURES.iter().map(|m| format!("without {m}")));
    wanted.extend(MEASURES.iter().map(|m| format!("only {m}")));
    assert_eq!(arms, wanted);
    for measure in list(&treatments["measures"]) {
        assert_eq!(measure["not_measured"], Value::Null, "{measure:#}");
    }
    effects_say_what_their_intervals_say(treatments);
    // Rounding changes no decision, and is said to do nothing.
    for effect in list(&treatments["effects"]).iter().filter(|e| e["with"] == "only rounding") {
        assert_eq!((&effect["gained"], &effect["lost"]), (&0.into(), &0.into()), "{effect:#}");
        assert_eq!(effect["says"], "no-measured-effect", "{effect:#}");
    }
    for file in list(&said["files"]) {
        let bytes = fs::read(out.join(text(&file["name"]))).expect("file");
        assert!(!bytes.is_empty(), "{file:#}");
        let rows = text(&file["name"]).starts_with("adversarial");
        assert_eq!(file["personal"], rows, "{file:#}");
    }
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0);
    assert_eq!(treatments_logged(&scratch), 1);
    the_rows_are_training_rows_moved_in_what_may_move(&scratch);
    composed_models_are_assessed_as_the_arms_said(&scratch, treatments);
}

/// Difference, counts, interval and verdict belong together.
fn effects_say_what_their_intervals_say(treatments: &Value) {
    let effects = list(&treatments["effects"]);
    assert!(effects.len() > 40, "{}", effects.len());
    for effect in effects {
        let f = |name: &str| effect[name].as_f64().expect("number");
        assert!(f("lower") <= f("difference") && f("difference") <= f("upper"), "{effect:#}");
        let counted = (f("gained") - f("lost")) / f("n");
        assert!((counted - f("difference")).abs() < 1e-12, "{effect:#}");
        let says = match (f("lower") > 0.0, f("upper") < 0.0) {
            (true, _) => "better",
            (_, true) => "worse",
            _ => "no-measured-effect",
        };
        assert_eq!(effect["says"], says, "{effect:#}");
    }
}

fn the_rows_are_training_rows_moved_in_what_may_move(scratch: &Scratch) {
    let read = |path: &std::path::Path| -> Vec<Vec<String>> {
        let text = fs::read_to_string(path).expect("table");
        text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect()
    };
    let train = read(&scratch.path("train.csv"));
    let moved = read(&scratch.path("hardened/adversarial-rows.csv"));
    assert_eq!(moved[0], train[0], "the same columns");
    assert!(moved.len() > 50, "{} rows", moved.len());
    let free = ["duration", "amount", "installment_rate", "residence_since"];
    for row in &moved[1..] {
        let source = train.iter().find(|t| t[0] == row[0]).expect("a training row of that id");
        let mut changed = 0;
        for (column, (a, b)) in train[0].iter().zip(source.iter().zip(row)) {
            assert!(a == b || free.contains(&column.as_str()), "{column}: {a} became {b}");
            changed += usize::from(a != b);
        }
        assert!(changed > 0, "row {} did not move", row[0]);
        let amount = |r: &[String]| r[5].parse::<f64>().expect("amount");
        assert_eq!(train[0][5], "amount");
        assert!((amount(source) - amount(row)).abs() <= 0.1 * 19_750.0, "inside the budget");
    }
}

/// The files go through `assess` like any model and give the figures of the arms.
fn composed_models_are_assessed_as_the_arms_said(scratch: &Scratch, treatments: &Value) {
    for file in ["vote.onnx", "gbm-small.onnx"] {
        fs::copy(scratch.path("hardened").join(file), scratch.path(file)).expect("copy");
    }
    let tables = fs::read_to_string(scratch.path("hardened/declaration.toml")).expect("tables");
    scratch.edit("proofmark.toml", |text| format!("{text}\n{tables}"));
    let (code, assessed) = scratch.json(&["assess"]);
    assert!(code < 2, "{assessed:#}");
    let measured = |id: &str| -> f64 {
        let found = list(&assessed["measurements"]).iter().find(|m| m["id"] == id);
        found.unwrap_or_else(|| panic!("no `{id}`"))["quantity"]["value"].as_f64().expect("value")
    };
    let arm = |name: &str| {
        list(&treatments["arms"]).iter().find(|a| a["name"] == name).expect("arm").clone()
    };
    let only_vote = arm("only vote");
    let value = |list_of: &Value, id: &str| -> f64 {
        let found = list(list_of).iter().find(|m| m["id"] == id);
        let quantity = &found.unwrap_or_else(|| panic!("no `{id}`"))["quantity"];
        quantity["value"].as_f64().or(quantity["attacked"].as_f64()).expect("value")
    };
    let vote = value(&only_vote["measurements"], "harden/only-vote/mlp/test/accuracy");
    assert_eq!(measured("vote/test/accuracy"), vote);
    let small = value(&treatments["figures"], "harden/stand-in/gbm-small/test/accuracy");
    assert_eq!(measured("gbm-small/test/accuracy"), small);
    // The arm without measures is the assessment's own attack, row for row.
    let none = arm("none");
    for eps in ["0.02", "0.05", "0.1"] {
        let id = format!("mlp/test/robust_recall/applicant/{eps}");
        let found = list(&assessed["measurements"]).iter().find(|m| m["id"] == id.as_str());
        let attacked = found.expect("figure")["quantity"]["attacked"].as_f64().expect("value");
        assert_eq!(value(&none["measurements"], &format!("harden/none/{id}")), attacked, "{id}");
    }
}

#[test]
fn what_cannot_be_measured_is_said_and_what_cannot_be_one_file_still_votes() {
    let scratch = Scratch::credit(ROWS);
    let (_, said) = harden(&scratch, &["--measures", "adversarial-rows,vote", "--limit", "16"]);
    let rows = &said["treatments"]["measures"][0];
    assert!(text(&rows["not_measured"]).contains("retrain with this file"), "{rows:#}");
    let about: Vec<&Value> = list(&said["treatments"]["effects"])
        .iter()
        .filter(|e| e["measure"] == "adversarial-rows")
        .collect();
    assert!(about.is_empty(), "an effect of what was not measured: {about:#?}");

    // A file that does not say how wide its output is cannot be composed; the guard can still
    // let the two vote.
    let path = scratch.path("gbm.onnx");
    let bytes = fs::read(&path).expect("model");
    let mut model = onnx::decode(&bytes).expect("onnx");
    for output in &mut model.graph.outputs {
        if let onnx::TypeProto::Tensor { shape, .. } = &mut output.value_type {
            *shape = None;
        }
    }
    let changed = onnx::encode(&model);
    fs::write(&path, changed).expect("write");
    let (code, said) = harden(&scratch, &["--measures", "vote", "--limit", "16"]);
    assert_eq!(code, 0, "{said:#}");
    let vote = &said["treatments"]["measures"][0];
    assert!(text(&vote["what"]).contains("no single file"), "{vote:#}");
    assert!(!scratch.path("hardened/vote.onnx").exists(), "the older file is gone");
    assert_eq!(list(&said["treatments"]["arms"]).len(), 4);
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    type Change = fn(&Scratch);
    let keep: Change = |_| {};
    let cases: &[(&str, Change, &[&str], &str, &str)] = &[
        (
            "no backup",
            |s| s.edit("proofmark.toml", |t| t.replacen("\"backup\"", "\"candidate\"", 1)),
            &["--measures", "vote"],
            "no-backup",
            "role = \"backup\"",
        ),
        (
            "no threat",
            |s| {
                s.edit("proofmark.toml", |t| {
                    let (before, rest) = t.split_once("[threats.applicant]").expect("threat");
                    let after = rest.find("[threats.enquirer]").expect("threat");
                    let (threat, _) = rest[after..].split_once("[criteria.").expect("criteria");
                    format!("{before}{threat}")
                });
            },
            &[],
            "no-threat",
            "[threats.NAME]",
        ),
        (
            "no training data",
            |s| {
                s.edit("proofmark.toml", |t| {
                    t.replacen("role = \"train\"", "role = \"validation\"", 1)
                })
            },
            &["--measures", "input-schema"],
            "no-training-data",
            "[data.train]",
        ),
        (
            "a folder with other files",
            |s| {
                fs::create_dir(s.path("hardened")).expect("mkdir");
                fs::write(s.path("hardened/thesis.txt"), "mine").expect("write");
            },
            &[],
            "out",
            "thesis.txt",
        ),
        (
            "a file as folder",
            |s| fs::write(s.path("hardened"), "mine").expect("write"),
            &[],
            "out",
            "is a file",
        ),
        ("training data measured", keep, &["--data", "train"], "data", "training data"),
        ("unknown data", keep, &["--data", "moon"], "data", "--data"),
        ("unknown threat", keep, &["--threat", "moon"], "no-threat", "moon"),
        ("a threat to another", keep, &["--threat", "enquirer"], "no-threat", "enquirer"),
        ("unknown model", keep, &["--retrained", "moon"], "retrained", "candidate"),
        ("the primary itself", keep, &["--retrained", "mlp"], "retrained", "primary"),
        ("no such file", keep, &["--retrained", "mlp=moon.onnx"], "unreadable", "moon.onnx"),
    ];
    for (name, change, args, code, words) in cases {
        let scratch = Scratch::credit(16);
        change(&scratch);
        let before = listing(&scratch);
        let ran = run(&scratch, args);
        assert_eq!(ran.code, 2, "{name}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(&format!("error[{code}]")), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("help: "), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{name}: `{words}` is not said\n{}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        assert_eq!(listing(&scratch), before, "{name}: something was written");
        if scratch.path("hardened/thesis.txt").exists() {
            assert_eq!(fs::read(scratch.path("hardened/thesis.txt")).expect("read"), b"mine");
        }
    }
    let scratch = Scratch::credit(16);
    assert_eq!(run(&scratch, &["--measures", "prayer"]).code, 2);
}

#[test]
fn a_stopped_run_leaves_nothing_and_the_next_gives_the_same_effects() {
    let args = ["--measures", "input-schema,vote,rounding", "--threads", "1"];
    let scratch = Scratch::credit(ROWS);
    let out = scratch.path("hardened");
    let dir = scratch.dir().display().to_string();
    for _ in 0..TRIES {
        let _ = fs::remove_dir_all(&out);
        let mut child = Command::new(env!("CARGO_BIN_EXE_proofmark"))
            .env("PROOFMARK_ONNXRUNTIME", "off")
            .args(["harden", "-C", &dir, "--out"])
            .arg(&out)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let begun = Instant::now();
        let runs = scratch.path(".proofmark/runs");
        let at_work = || fs::read_dir(&runs).is_ok_and(|mut d| d.next().is_some());
        while !at_work() && child.try_wait().expect("state").is_none() {
            assert!(begun.elapsed() < PATIENCE, "the run never started");
            std::thread::sleep(Duration::from_millis(1));
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let ended = child.wait_with_output().expect("the end");
        if !sent.is_ok_and(|s| s.success()) || ended.status.code() == Some(0) {
            continue;
        }
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert!(told.contains("error[interrupted]"), "{told}");
        assert!(!out.exists(), "a folder of a stopped run");
        break;
    }
    let before = treatments_logged(&scratch);
    let (code, again) = harden(&scratch, &args);
    assert_eq!(code, 0, "{again:#}");
    assert_eq!(treatments_logged(&scratch), before + 1);
    let fresh = Scratch::credit(ROWS);
    let (_, whole) = harden(&fresh, &args);
    assert_eq!(again["treatments"]["effects"], whole["treatments"]["effects"]);
    // The folder may be written again; what it held of other measures is gone.
    let (code, _) = harden(&scratch, &["--measures", "rounding"]);
    assert_eq!(code, 0);
    assert!(!out.join("vote.onnx").exists() && out.join("harden.json").exists());
}

fn harden(scratch: &Scratch, args: &[&str]) -> (i32, Value) {
    let out = scratch.path("hardened").display().to_string();
    scratch.json(&[&["harden", "--out", &out], args].concat())
}

fn run(scratch: &Scratch, args: &[&str]) -> crate::support::Ran {
    let out = scratch.path("hardened").display().to_string();
    scratch.run(&[&["harden", "--out", &out], args].concat())
}

/// Statements of treatments in the log; 0 without a log.
fn treatments_logged(scratch: &Scratch) -> usize {
    if !scratch.path(".proofmark/log/checkpoint").exists() {
        return 0;
    }
    let (_, log) = scratch.json(&["log", "list"]);
    list(&log["entries"]).iter().filter(|e| e["kind"] == "treatment").count()
}

/// Every path below the folder.
fn listing(scratch: &Scratch) -> Vec<String> {
    let mut open = vec![scratch.dir().to_path_buf()];
    let mut all = Vec::new();
    while let Some(dir) = open.pop() {
        for item in fs::read_dir(dir).expect("listing") {
            let path = item.expect("entry").path();
            all.push(path.display().to_string());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    all.sort();
    all
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value:#}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:#}"))
}

#[test]
fn help_names_every_flag() {
    let ran = proofmark(&["harden", "--help"]);
    assert_eq!(ran.code, 0);
    for flag in ["--out", "--measures", "--retrained", "--limit", "--seed", "--decimals"] {
        assert!(ran.stdout.contains(flag), "{flag}");
    }
    for measure in MEASURES {
        assert!(ran.stdout.contains(measure), "{measure}");
    }
}

const MEASURES: [&str; 5] = ["adversarial-rows", "input-schema", "vote", "rounding", "backup-tree"];
const ROWS: usize = 36;
/// A machine that stalls may let the run end before the signal.
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);
