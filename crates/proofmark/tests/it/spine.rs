//! The road from the declaration to a sealed pack, and what breaks it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, Scratch, proofmark, tools};

const ROWS: usize = 60;

#[test]
fn an_assessment_is_judged_sealed_documented_and_verified() {
    let scratch = Scratch::credit(ROWS);
    let (code, first) = scratch.json(&["assess"]);
    assert!(code <= 1, "assess: exit {code}");
    assert_eq!(first["format"], "proofmark.assessment/1");
    assert_eq!(first["complete"], true, "{first:#}");
    let metrics: Vec<&str> =
        list(&first, "measurements").iter().filter_map(|m| m["metric"].as_str()).collect();
    for wanted in
        ["accuracy", "balanced_accuracy", "auc", "brier", "robust_accuracy", "robust_recall"]
    {
        assert!(metrics.contains(&wanted), "{wanted} is not measured");
    }
    assert_eq!(list(&first, "verdicts").len(), 3);
    assert_eq!(list(&first["matrix"], "rows").len(), 7);

    let pack = scratch.path("pack");
    dossier(&scratch, &pack);
    let (verified, report) = verify(&pack, &[]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    assert!(verified.stdout.contains("signer not authenticated"), "{}", verified.stdout);
    let signer = report["signer"].as_str().expect("fingerprint").to_owned();
    assert_eq!(verify(&pack, &["--signer", &signer]).0.code, 0);
    assert_eq!(verify(&pack, &["--signer", &"0".repeat(64)]).0.code, 1);

    let run = first["run"].as_str().expect("run").to_owned();
    let (replayed, again) = scratch.json(&["replay", &run]);
    assert_eq!(replayed, 0, "{again:#}");
    assert_eq!(again["same_environment"], true);
    assert_eq!(again["identical"], true, "{again:#}");
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0);
}

#[test]
fn the_same_plan_gives_the_same_figures() {
    let scratch = Scratch::credit(ROWS);
    let (_, first) = scratch.json(&["assess", "--threads", "1"]);
    let (_, second) = scratch.json(&["assess", "--threads", "2"]);
    assert_eq!(first["measurements"], second["measurements"]);
    assert_eq!(first["plan"], second["plan"]);
    assert_ne!(first["run"], second["run"], "each run has its own place in the log");
    assert!(list(&second, "exploratory").is_empty(), "{second:#}");
}

#[test]
fn a_threshold_changed_after_a_result_was_seen_makes_the_run_exploratory() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    scratch.edit("proofmark.toml", |t| t.replacen("at_least = 0.60", "at_least = 0.10", 1));
    let (_, second) = scratch.json(&["assess"]);
    let changed = &list(&second, "verdicts")[0];
    assert!(!list(changed, "exploratory").is_empty(), "{changed:#}");
}

#[test]
fn one_changed_byte_anywhere_in_the_pack_is_found() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let pack = scratch.path("pack");
    dossier(&scratch, &pack);
    let shell = tools(&["sh", "openssl", "jq", "xxd"]);
    if shell {
        assert!(shell_verifies(&pack), "verify.sh refuses a good pack");
    }
    let mut files = Vec::new();
    walk(&pack, &mut files);
    assert!(files.len() > 20, "only {} files", files.len());
    for file in files {
        let old = fs::read(&file).expect("read");
        let mut new = old.clone();
        let place = new.len() / 2;
        new[place] ^= 1;
        fs::write(&file, &new).expect("write");
        assert_ne!(verify(&pack, &[]).0.code, 0, "verify misses {}", file.display());
        // A changed script no longer answers for itself.
        if shell && !file.ends_with("verify.sh") && sampled(&file) {
            assert!(!shell_verifies(&pack), "verify.sh misses {}", file.display());
        }
        fs::write(&file, &old).expect("write");
    }
    assert_eq!(verify(&pack, &[]).0.code, 0);
}

#[test]
fn a_log_rebuilt_after_the_run_fails_against_an_older_checkpoint() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let older = scratch.path("kept-checkpoint");
    fs::copy(scratch.path(".proofmark/log/checkpoint"), &older).expect("copy");
    let older = older.display().to_string();
    assert_eq!(scratch.run(&["log", "fsck", "--older", &older]).code, 0);
    fs::remove_dir_all(scratch.path(".proofmark/log")).expect("rm");
    scratch.edit("proofmark.toml", |t| t.replacen("at_least = 0.60", "at_least = 0.10", 1));
    scratch.json(&["assess"]);
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0, "the rebuilt log is sound by itself");
    let ran = scratch.run(&["log", "fsck", "--older", &older]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}

#[test]
fn an_erased_artefact_is_told_and_the_figures_stand() {
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let rows = personal_artefact(&scratch);
    let ran = scratch.run(&["artefact", "erase", &rows, "--reason", "erasure request 17"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let pack = scratch.path("pack");
    dossier(&scratch, &pack);
    let (verified, _) = verify(&pack, &[]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    assert!(verified.stdout.contains("erased"), "{}", verified.stdout);
    assert_eq!(scratch.run(&["log", "fsck"]).code, 0);
}

#[test]
fn permuted_columns_are_refused_by_parity() {
    let scratch = Scratch::copy_of("credit");
    scratch.edit("test.csv", |text| {
        text.lines().map(swap_amount_and_duration).collect::<Vec<_>>().join("\n") + "\n"
    });
    scratch.edit("proofmark.toml", |t| t.replacen("queries = 2000", "queries = 50", 1));
    let (code, value) = scratch.json(&["assess"]);
    assert_ne!(code, 0);
    let states: Vec<&str> =
        list(&value, "verdicts").iter().filter_map(|v| v["state"].as_str()).collect();
    assert!(states.iter().all(|s| *s == "refused" || *s == "missing"), "{states:?}");
}

/// Swaps the values, not the names: what a wrong export does.
fn swap_amount_and_duration(line: &str) -> String {
    let mut cells: Vec<&str> = line.split(',').collect();
    if cells.contains(&"duration") {
        return line.to_owned();
    }
    cells.swap(2, 5);
    cells.join(",")
}

fn dossier(scratch: &Scratch, pack: &Path) {
    let ran = scratch.run(&["dossier", "--out", &pack.display().to_string()]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

fn verify(pack: &Path, more: &[&str]) -> (Ran, Value) {
    let path = pack.display().to_string();
    let text = proofmark(&[&["verify", &path], more].concat());
    let json = proofmark(&[&["verify", &path, "--format", "json"], more].concat());
    (text, serde_json::from_str(&json.stdout).unwrap_or(Value::Null))
}

fn shell_verifies(pack: &Path) -> bool {
    Command::new("sh").arg(pack.join("verify.sh")).output().is_ok_and(|o| o.status.success())
}

/// The shell verifier takes a second or two; one file of each kind is enough here, the evidence
/// crate tries them all.
fn sampled(file: &Path) -> bool {
    let text = file.display().to_string();
    ["report.html", "facts.json", "MANIFEST", "checkpoint", "log.pub.pem"]
        .iter()
        .any(|end| text.ends_with(end))
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("`{key}` is no list in {value:#}"))
}

/// Digest of one stored file that holds rows.
fn personal_artefact(scratch: &Scratch) -> String {
    let (_, log) = scratch.json(&["log", "list"]);
    for entry in list(&log, "entries").iter().filter(|e| e["kind"] == "result") {
        let bundle = entry["bundle"].as_str().expect("bundle");
        let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
        let bundle: Value = serde_json::from_slice(&fs::read(path).expect("bundle")).expect("json");
        let payload = bundle["dsseEnvelope"]["payload"].as_str().expect("payload");
        let payload: Value = serde_json::from_slice(&decode(payload)).expect("json");
        for artefact in list(&payload["predicate"], "artefacts") {
            if artefact["personal"] == true {
                return artefact["sha256"].as_str().expect("digest").to_owned();
            }
        }
    }
    panic!("no personal artefact");
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

/// `benches/python/credit_exhaustive.py` tries every deployable point with ONNX Runtime: a row that
/// it does not list cannot be broken, and the attacks should miss next to none that it lists.
#[test]
fn the_attacks_find_what_exhaustive_search_finds_and_nothing_else() {
    let scratch = Scratch::copy_of("credit");
    let (code, _) = scratch.json(&["assess"]);
    assert_eq!(code, 1, "one criterion is set to fail");
    let pack = scratch.path("pack");
    dossier(&scratch, &pack);
    let truth =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/python/credit_exhaustive.json");
    let truth: Value =
        serde_json::from_slice(&fs::read(truth).expect("golden file")).expect("json");
    let ids = column(&scratch, "id");
    let reports = attack_reports(&pack);
    assert_eq!(reports.len(), 2);
    for report in reports {
        let model = report["model"].as_str().expect("model");
        for budget in list(&truth["models"][model], "budgets") {
            let eps = budget["eps"].as_f64().expect("eps");
            let listed = budget["broken"].as_object().expect("rows");
            let mut found = 0;
            for point in list(&report, "points") {
                let distance = point["distance"]["upper"].as_f64();
                if point["outcome"] != "broken" || distance.is_none_or(|d| d > eps) {
                    continue;
                }
                let row = point["index"].as_u64().expect("index") as usize;
                let least = listed.get(&ids[row]).and_then(Value::as_f64);
                let least =
                    least.unwrap_or_else(|| panic!("{model}, {eps}: row {row} cannot fall"));
                assert!(distance.expect("distance") >= least - 1e-6, "{model}, row {row}");
                found += 1;
            }
            assert!(found + 1 >= listed.len(), "{model}, {eps}: {found} of {}", listed.len());
        }
    }
}

/// The attack reports among the artefacts of a pack.
fn attack_reports(pack: &Path) -> Vec<Value> {
    let mut files = Vec::new();
    walk(&pack.join("artefacts"), &mut files);
    files
        .iter()
        .filter_map(|f| serde_json::from_slice::<Value>(&fs::read(f).ok()?).ok())
        .filter(|v| v["format"] == "proofmark.attack/1")
        .collect()
}

/// A column of the test set; its fields hold no quotes before that column.
fn column(scratch: &Scratch, name: &str) -> Vec<String> {
    let text = fs::read_to_string(scratch.path("test.csv")).expect("csv");
    let mut lines = text.lines();
    let header = lines.next().expect("header");
    let at = header.split(',').position(|c| c == name).expect("column");
    lines.map(|l| l.split(',').nth(at).expect("field").to_owned()).collect()
}
