//! Runs that are stopped: Ctrl-C leaves a run unended and whole, a kill loses nothing that was
//! acknowledged, and the next call goes on.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Scratch;

#[test]
fn a_stopped_run_is_whole_stays_visible_and_is_resumed() {
    for signal in ["INT", "KILL"] {
        let untouched = Scratch::credit(ROWS);
        let (_, whole) = untouched.json(&["assess"]);
        let scratch = stopped(signal);
        assert_eq!(scratch.run(&["log", "fsck"]).code, 0, "{signal}");
        let kinds = kinds(&scratch);
        assert!(kinds.contains(&"run-start".to_owned()), "{signal}: {kinds:?}");
        assert!(!kinds.contains(&"run-end".to_owned()), "{signal}: {kinds:?}");

        let (code, resumed) = scratch.json(&["assess"]);
        assert!(code <= 1, "{signal}: {resumed:#}");
        assert_eq!(resumed["complete"], true, "{signal}");
        assert_eq!(resumed["measurements"], whole["measurements"], "{signal}");
        let kinds = self::kinds(&scratch);
        let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
        assert_eq!((count("run-start"), count("run-resume"), count("run-end")), (1, 1, 1));
        assert_eq!(scratch.run(&["log", "fsck"]).code, 0, "{signal}");
    }
}

/// A copy whose run got a signal right after it started. A machine that stalls may let the run
/// end first; then it is tried again.
fn stopped(signal: &str) -> Scratch {
    for _ in 0..TRIES {
        let scratch = Scratch::credit(ROWS);
        let mut child = Command::new(env!("CARGO_BIN_EXE_proofmark"))
            .env("PROOFMARK_ONNXRUNTIME", "off")
            .args(["assess", "--threads", "1", "-C"])
            .arg(scratch.dir())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        wait_for_start(&scratch, &mut child);
        let sent = Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status()
            .expect("kill");
        let output = child.wait_with_output().expect("the end");
        if !sent.success() || kinds(&scratch).contains(&"run-end".to_owned()) {
            continue;
        }
        if signal == "INT" {
            assert_eq!(output.status.code(), Some(2));
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("resume"), "{text}");
        }
        return scratch;
    }
    panic!("the run always ended before the signal");
}

fn wait_for_start(scratch: &Scratch, child: &mut Child) {
    let begun = Instant::now();
    let checkpoint = scratch.path(".proofmark/log/checkpoint");
    loop {
        let size = std::fs::read_to_string(&checkpoint)
            .ok()
            .and_then(|text| text.lines().nth(1)?.parse::<u64>().ok());
        if size.is_some_and(|n| n >= 2) || child.try_wait().expect("state").is_some() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the run never started");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kinds(scratch: &Scratch) -> Vec<String> {
    let (_, log) = scratch.json(&["log", "list"]);
    let entries = log["entries"].as_array().expect("entries");
    entries.iter().filter_map(|e: &Value| e["kind"].as_str().map(str::to_owned)).collect()
}

/// Rows enough that attacking them takes longer than sending a signal.
const ROWS: usize = 150;
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
