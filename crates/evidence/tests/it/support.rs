//! What the tests share: a complete pack, and running tools that may not be installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proofmark_evidence::VERIFY_SH;
use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::entry::{Entry, EntryKind, PLAN_KEY};
use proofmark_evidence::keys::{LogKey, StatementKey};
use proofmark_evidence::log::Log;
use proofmark_evidence::note::{Verifier, sign_line};
use proofmark_evidence::pack::facts::Facts;
use proofmark_evidence::pack::{Fact, PackWriter, Sealed};
use proofmark_evidence::statement::Statement;
use proofmark_evidence::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const ORIGIN: &str = "example.invalid/log";
pub const TIME: &str = "2026-11-22T15:00:00Z";

/// What a test may vary about a pack.
#[derive(Clone, Copy)]
pub struct Recipe {
    /// Log entries by name, in order; `result` and `plan` name their statements.
    pub order: &'static [&'static str],
    /// Text of the report for the fact `accuracy`.
    pub shown: &'static str,
    /// Value of the fact `accuracy`; the statement says 0.75.
    pub value: f64,
    /// Whether to add a co-signed anchor over the checkpoint after the plan.
    pub anchored: bool,
    /// Filler entries, so that proofs and tiles have some size.
    pub filler: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            order: &["plan", "start", "result", "end"],
            shown: "75.0 %",
            value: 0.75,
            anchored: true,
            filler: 5,
        }
    }
}

pub struct Built {
    pub work: TempDir,
    pub dir: PathBuf,
    pub key: StatementKey,
    pub sealed: Sealed,
    pub early_checkpoint: String,
}

impl Built {
    pub fn fingerprint(&self) -> Digest {
        self.key.public().fingerprint()
    }
}

/// A complete pack of one run, made with new keys.
pub fn build(recipe: &Recipe) -> Built {
    let work = tempfile::tempdir().unwrap();
    let key = StatementKey::generate().unwrap();
    let log_key = LogKey::generate().unwrap();
    let verifier = Verifier::new(ORIGIN, log_key.public()).unwrap();
    let store = Store::new(&work.path().join("artefacts"));
    let mut log = Log::create(&work.path().join("log"), ORIGIN, log_key).unwrap();

    let sign = |name: &str, predicate: Value| {
        let kind = format!("urn:example:predicate:{name}");
        let statement = Statement::new(kind, predicate).subject("model", Digest::of(b"model"));
        Bundle::sign(&statement, &key).unwrap()
    };
    let plan = sign("plan", json!({"threshold": 0.7, "seed": 7}));
    let figures = json!({"accuracy": {"value": 0.75, "interval": [0.7, 0.8]}, "a/b": [1, 2.5e-7]});
    let result = sign("result", figures);
    let plan_digest = plan.statement_digest().unwrap();
    let result_digest = result.statement_digest().unwrap();
    let entry = |name: &str| match name {
        "plan" => Entry::new(EntryKind::Plan, TIME).statement(plan_digest),
        "start" => {
            Entry::new(EntryKind::RunStart, TIME).run("r1").with(PLAN_KEY, plan_digest.hex())
        }
        "start-without-plan" => Entry::new(EntryKind::RunStart, TIME).run("r1"),
        "result" => Entry::new(EntryKind::Result, TIME).run("r1").statement(result_digest),
        "end" => Entry::new(EntryKind::RunEnd, TIME).run("r1"),
        other => Entry::new(EntryKind::Other(other.to_owned()), TIME).with("text", "ä – 1 %"),
    };
    let mut places = BTreeMap::new();
    let mut early_checkpoint = String::new();
    for name in recipe.order {
        let leaf = entry(name).to_leaf().unwrap();
        places.insert(*name, log.append(&[leaf]).unwrap().first_index);
        if early_checkpoint.is_empty() {
            early_checkpoint = log.checkpoint_text().to_owned();
        }
    }
    let erased = store.put(b"a row of a person").unwrap();
    let tombstone = store.erase(&erased, "asked for").unwrap().entry(TIME);
    let filler = (0..recipe.filler).map(|i| entry(&format!("filler-{i}")).to_leaf().unwrap());
    let leaves: Vec<_> = [tombstone.to_leaf().unwrap()].into_iter().chain(filler).collect();
    log.append(&leaves).unwrap();

    let dir = work.path().join("pack");
    let pack = PackWriter::create(&dir).unwrap();
    pack.report(&html(recipe)).unwrap();
    pack.facts(&facts(recipe, result_digest)).unwrap();
    pack.data("plan.json", br#"{"threshold":0.7}"#).unwrap();
    if let Some(index) = places.get("plan") {
        pack.attestation("plan", &plan, &log, *index).unwrap();
    }
    if let Some(index) = places.get("result") {
        pack.attestation("result", &result, &log, *index).unwrap();
    }
    if let Some(index) = places.get("start") {
        pack.proof("run-start", &log, *index).unwrap();
    }
    pack.log(&log).unwrap();
    pack.artefact(b"a trace").unwrap();
    if recipe.anchored {
        pack.anchor(&witnessed(&early_checkpoint)).unwrap();
    }
    let sealed = pack.seal(&key, &verifier, json!({"system": "demo", "time": TIME})).unwrap();
    Built { work, dir, key, sealed, early_checkpoint }
}

fn html(recipe: &Recipe) -> String {
    format!(
        "<!doctype html><title>Report</title><style>[data-fact] {{ font-weight: bold }}</style>\n\
         <p>Accuracy <span data-fact=\"accuracy\">{}</span>, tiny \
         <span data-fact=\"tiny\">2.5e-7</span>.</p>\n",
        recipe.shown
    )
}

fn facts(recipe: &Recipe, statement: Digest) -> Facts {
    let fact = |pointer: &str, value: Value, text: &str| Fact {
        statement,
        pointer: pointer.to_owned(),
        value,
        text: text.to_owned(),
    };
    let accuracy = fact("/predicate/accuracy/value", json!(recipe.value), "75.0 %");
    let tiny = fact("/predicate/a~1b/1", json!(2.5e-7), "2.5e-7");
    BTreeMap::from([("accuracy".to_owned(), accuracy), ("tiny".to_owned(), tiny)])
}

fn witnessed(checkpoint: &str) -> Anchor {
    let witness = LogKey::generate().unwrap();
    let verifier = Verifier::new("witness.invalid", witness.public()).unwrap();
    let text = checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let line = sign_line("witness.invalid", &witness, &text).unwrap();
    Anchor::cosignature("w1", checkpoint, &line, &verifier.vkey()).unwrap()
}

/// Every file below `dir`, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        if item.file_type().unwrap().is_dir() {
            found.extend(files(&item.path()));
        } else {
            found.push(item.path());
        }
    }
    found.sort();
    found
}

/// Whether all tools are installed; says so aloud if not.
pub fn have(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = tools
        .iter()
        .filter(|tool| !std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
        .collect();
    if !missing.is_empty() {
        #[expect(clippy::print_stderr, reason = "a skipped check must be heard")]
        {
            eprintln!(
                "SKIPPED: {missing:?} not installed, the check by independent tools is left out"
            );
        }
    }
    missing.is_empty()
}

/// The shell and tools of the shell verifier.
pub const SHELL_TOOLS: [&str; 6] = ["dash", "openssl", "jq", "xxd", "mktemp", "rm"];

/// Runs the trusted copy of `verify.sh` under dash, with nothing but its own tools on the path.
pub fn verify_sh(pack: &Path, arguments: &[&str]) -> Output {
    let tools = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    #[cfg(unix)]
    for tool in SHELL_TOOLS {
        let found = std::env::split_paths(&path).map(|dir| dir.join(tool)).find(|p| p.is_file());
        std::os::unix::fs::symlink(found.unwrap(), tools.path().join(tool)).unwrap();
    }
    let script = tools.path().join("verify.sh");
    std::fs::write(&script, VERIFY_SH).unwrap();
    Command::new(tools.path().join("dash"))
        .env("PATH", tools.path())
        .arg(script)
        .args(arguments)
        .arg(pack)
        .output()
        .unwrap()
}
