//! ONNX Runtime from outside: named, switched off, missing, recorded and asked for again.

use std::fs;

use serde_json::Value;

use crate::support::{Ran, Scratch, proofmark_with};

#[test]
fn a_pinned_engine_that_is_not_here_is_refused() {
    let scratch = Scratch::credit(8);
    let text = scratch.path("libonnxruntime.so.1.31.0");
    fs::write(&text, "no library at all").unwrap();
    let (text, folder) = (text.display().to_string(), scratch.dir().display().to_string());
    for (variable, said) in [
        ("off", "switched off by PROOFMARK_ONNXRUNTIME"),
        ("libonnxruntime.so", "no absolute path"),
        ("/nowhere/libonnxruntime.so", "no library lies there"),
        (text.as_str(), "no shared library"),
        (folder.as_str(), "no shared library"),
    ] {
        let ran = assess(&scratch, &["--engine", "onnxruntime"], variable);
        assert_eq!(ran.code, 2, "{variable}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{variable}: {}", ran.stderr);
        assert!(ran.stderr.contains("help: "), "{variable}: {}", ran.stderr);
    }
    // What the user named must work, even where `auto` could do without.
    let ran = assess(&scratch, &[], &text);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = assess(&scratch, &["--onnxruntime", "off"], &text);
    assert_ne!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn engine_list_says_what_is_here_and_why_not() {
    let ran = proofmark_with(&["engine", "list", "--format", "json"], &[]);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["off"], "variable");
    let of = |list: &Value, name: &str| {
        let engines = list["engines"].as_array().unwrap();
        engines.iter().find(|e| e["name"] == name).cloned().unwrap()
    };
    assert_eq!(of(&list, "onnxruntime")["available"], false);
    assert_eq!(of(&list, "rten")["auto"], true);
    let Some(library) = library() else { return };
    let variables = [("PROOFMARK_ONNXRUNTIME", library.as_str())];
    let ran = proofmark_with(&["engine", "list", "--format", "json"], &variables);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    let engine = of(&list, "onnxruntime");
    assert_eq!((&engine["available"], &engine["auto"]), (&true.into(), &true.into()), "{list:#}");
    assert!(engine["version"].as_str().unwrap().starts_with("1."));
    assert_eq!(list["searched"][0]["loaded"], true);
}

/// The library reports home unless a variable stops it; the program sets that itself.
#[cfg(unix)]
#[test]
fn a_loaded_library_leaves_no_trace_of_its_own() {
    let Some(library) = library() else { return };
    let scratch = Scratch::credit(8);
    let home = scratch.path("home").display().to_string();
    fs::create_dir(&home).unwrap();
    let variables = [
        ("PROOFMARK_ONNXRUNTIME", library.as_str()),
        ("ORT_DISABLE_TELEMETRY", "0"),
        ("HOME", &home),
        ("XDG_CACHE_HOME", &home),
    ];
    let ran = proofmark_with(&["engine", "list", "--format", "json"], &variables);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["searched"][0]["loaded"], true, "{list:#}");
    let left: Vec<_> = fs::read_dir(&home).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn figures_name_the_engine_and_replay_asks_for_the_same() {
    let Some(library) = library() else { return };
    let (found, without) = (Scratch::credit(24), Scratch::credit(24));
    let (a, b) = (
        json(&assess(&found, &["--format", "json"], &library)),
        json(&assess(&without, &["--format", "json"], "off")),
    );
    let verdicts = |v: &Value| {
        let list = v["verdicts"].as_array().unwrap();
        list.iter().map(|v| (v["criterion"].clone(), v["state"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&a), verdicts(&b));
    assert!(engines(&a).contains(&"onnxruntime".to_string()), "{:?}", engines(&a));
    assert!(!engines(&b).contains(&"onnxruntime".to_string()));
    let dir = found.dir().display().to_string();
    let replay = |more: &[&str], variable: &str| {
        let args = [&["replay", "-C", &dir, "--format", "json"], more].concat();
        proofmark_with(&args, &[("PROOFMARK_ONNXRUNTIME", variable)])
    };
    let again = json(&replay(&["--full"], &library));
    assert_eq!((&again["identical"], &again["same_environment"]), (&true.into(), &true.into()));
    let refused = replay(&[], "off");
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(
        refused.stderr.contains("the run was computed on onnxruntime 1."),
        "{}",
        refused.stderr
    );
    let elsewhere = json(&replay(&["--engine", "rten"], "off"));
    assert_eq!(elsewhere["same_environment"], false, "{elsewhere:#}");
    // A run on rten stays on rten where ONNX Runtime is found.
    let dir = without.dir().display().to_string();
    let args = ["replay", "-C", &dir, "--format", "json"];
    let ran = proofmark_with(&args, &[("PROOFMARK_ONNXRUNTIME", &library)]);
    let again = json(&ran);
    assert_eq!((&again["identical"], &again["same_environment"]), (&true.into(), &true.into()));
}

fn assess(scratch: &Scratch, more: &[&str], variable: &str) -> Ran {
    let dir = scratch.dir().display().to_string();
    let args = [&["assess", "-C", &dir], more].concat();
    proofmark_with(&args, &[("PROOFMARK_ONNXRUNTIME", variable)])
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", ran.stdout, ran.stderr))
}

/// Names of the engines that figures were made on.
fn engines(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(map) => {
            found.extend(map.get("engine").and_then(|e| e["name"].as_str()).map(str::to_string));
            found.extend(map.values().flat_map(engines));
        }
        Value::Array(list) => found.extend(list.iter().flat_map(engines)),
        _ => {}
    }
    found
}

/// The library that the caller names; without one the test is skipped aloud.
#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
pub fn library() -> Option<String> {
    let path = std::env::var("PROOFMARK_ONNXRUNTIME").ok().filter(|path| path != "off");
    if path.is_none() {
        let required = std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_some();
        assert!(!required, "PROOFMARK_ONNXRUNTIME names no library");
        eprintln!("SKIPPED: PROOFMARK_ONNXRUNTIME names no library of ONNX Runtime");
    }
    path
}
