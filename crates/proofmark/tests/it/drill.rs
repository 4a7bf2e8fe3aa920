//! The drill as a user meets it: real processes, real sockets, real signals.
//!
//! Times are not asserted, machines are shared; what must hold on any of them is.

use serde_json::Value;

use crate::support::Scratch;

#[test]
fn a_killed_and_a_held_primary_are_taken_over_and_come_back() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let (code, drill) = scratch.json(&[
        "drill",
        "--fault",
        "kill-primary",
        "--fault",
        "hang-primary",
        "--by",
        "tester",
    ]);
    let experiments = drill["journal"]["experiments"].as_array().expect("experiments");
    assert_eq!(experiments.len(), 2, "{drill:#}");
    for experiment in experiments {
        let number = |path: &str| experiment.pointer(path).and_then(Value::as_u64).expect("count");
        assert!(number("/before/primary") > 0, "{experiment:#}");
        assert!(number("/during/backup") > 0, "the backup took over: {experiment:#}");
        assert!(number("/after/primary") > 0, "the primary came back: {experiment:#}");
        for phase in ["before", "during", "after"] {
            assert_eq!(number(&format!("/{phase}/wrong")), 0, "{experiment:#}");
        }
        let reason = experiment["reason"].as_str().unwrap_or_default();
        assert!(!reason.contains("guard's log"), "an answer without a record: {reason}");
        let reached = experiment["states"].as_array().expect("states");
        assert!(reached.iter().any(|s| s[1] == "DEGRADED"), "{experiment:#}");
        // Told honestly: deviated exactly when there is a reason.
        assert_eq!(experiment["deviated"], !experiment["reason"].is_null(), "{experiment:#}");
    }
    let deviated = experiments.iter().any(|e| e["deviated"] == true);
    assert_eq!(code, i32::from(deviated));
    // The journal is in the system's log; the folder has no other trace of the drill.
    let (_, log) = scratch.json(&["log", "list"]);
    let entries = log["entries"].as_array().expect("entries");
    let last = entries.last().expect("entry");
    assert_eq!(last["kind"], "drill", "{last:#}");
    assert_eq!(last["statement"], drill["statement"]);
    assert!(!scratch.path(".proofmark/guard/log").exists());
    let note = drill["journal"]["guard_checkpoint"].as_str().expect("note");
    assert!(note.starts_with("proofmark/DEMO/credit/guard\n"), "{note}");
}

#[test]
fn what_cannot_be_drilled_is_refused_with_the_next_step() {
    let scratch = Scratch::credit(ROWS);
    for (args, code, words) in [
        (&["drill", "--fault", "moon"][..], "no-such-fault", "drill list"),
        (&["drill", "--config", "absent.toml"][..], "no-policy", "--config"),
        // Nothing was assessed here, so no file can be told from another.
        (&["drill", "--fault", "corrupted-model"][..], "drill-absent", "proofmark assess"),
    ] {
        let (exit, error) = scratch.json(args);
        assert_eq!((exit, error["code"].as_str()), (2, Some(code)), "{args:?}: {error:#}");
        assert!(error["help"].as_str().expect("help").contains(words), "{args:?}: {error:#}");
    }
}

const ROWS: usize = 40;
