//! What machines read, against the committed JSON Schemas: every document that a verb prints, that
//! a pack holds, that the log holds. A format without a schema fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use proofmark_evidence::keys::LogKey;
use proofmark_evidence::log::Log;
use proofmark_evidence::note::{Checkpoint, Verifier, sign_line};
use serde_json::Value;

use crate::support::{Scratch, proofmark, proofmark_with};

#[path = "../../../schema/tests/support/json_schema.rs"]
pub mod json_schema;

pub use json_schema::{Schemas, id_of};

#[test]
fn what_every_verb_prints_holds_to_its_schema() {
    let mut seen = Seen::new();
    let scratch = Scratch::credit(ROWS);
    let pack = scratch.path("pack").display().to_string();
    let (_, assessed) = print(&mut seen, &scratch, &["assess"]);
    assert_eq!(assessed["complete"], true, "{assessed:#}");
    print(&mut seen, &scratch, &["check"]);
    print(&mut seen, &scratch, &["replay"]);
    anchored(&mut seen, &scratch);
    let (_, log) = print(&mut seen, &scratch, &["log", "list"]);
    let personal = personal_artefact(&scratch, &log);
    print(&mut seen, &scratch, &["artefact", "erase", &personal, "--reason", "request 17"]);
    print(&mut seen, &scratch, &["replay"]);
    print(&mut seen, &scratch, &["log", "list"]);
    print(&mut seen, &scratch, &["log", "fsck"]);
    print(&mut seen, &scratch, &["dossier", "--out", &pack]);
    let (_, error) = print(&mut seen, &scratch, &["replay", "run-9-00000000"]);
    assert_eq!(error["format"], "proofmark.error/1");
    risks(&mut seen, &scratch);
    incidents(&mut seen, &scratch);
    stands_alone(&mut seen, &["verify", &pack]);
    stands_alone(&mut seen, &["engine", "list"]);
    stands_alone(&mut seen, &["engine", "fetch", "--dry-run"]);
    let model = scratch.path("gbm.onnx").display().to_string();
    stands_alone(&mut seen, &["model", "inspect", &model]);
    let (table, out) = (scratch.path("test.csv"), scratch.path("answers.csv"));
    let (table, out) = (table.display().to_string(), out.display().to_string());
    stands_alone(&mut seen, &["model", "run", &model, "--input", &table, "--output", &out]);
    outside_the_domain(&mut seen);
    begun(&mut seen);
    attacked(&mut seen);
    keys(&mut seen, &scratch);
    hardened(&mut seen);
    drilled(&mut seen, &scratch);
    let printed: BTreeSet<&str> = seen.formats.iter().map(String::as_str).collect();
    let lists: [&[&str]; 3] = [&HELD, &GUARDED, &ELSEWHERE];
    let kinds = tags().into_iter().filter(|tag| !lists.iter().any(|l| l.contains(&tag.as_str())));
    let unseen: Vec<String> = kinds.filter(|tag| !printed.contains(tag.as_str())).collect();
    assert_eq!(unseen, [""; 0], "no document of this format was printed above");
}

#[test]
fn what_a_pack_and_the_log_hold_holds_to_its_schema() {
    let mut seen = Seen::new();
    let scratch = Scratch::credit(ROWS);
    scratch.json(&["assess"]);
    let pack = scratch.path("pack");
    let (code, _) = scratch.json(&["dossier", "--out", &pack.display().to_string()]);
    assert_eq!(code, 0);
    let (_, log) = scratch.json(&["log", "list"]);
    let entries = log["entries"].as_array().expect("entries");
    assert!(entries.len() > 6, "{log:#}");
    entries.iter().for_each(|entry| seen.tagged("log entry", entry));

    let mut predicates = BTreeSet::new();
    for (name, bytes) in files(&pack.join("attestations")) {
        predicates.insert(signed(&seen, &name, &bytes));
    }
    let manifest = fs::read(pack.join("MANIFEST.sigstore.json")).expect("manifest");
    predicates.insert(signed(&seen, "MANIFEST", &manifest));
    let kinds: Vec<&str> =
        predicates.iter().filter_map(|p| p.strip_prefix("urn:proofmark:predicate:")).collect();
    assert_eq!(kinds, ["measurements:v1", "pack:v1", "paper:v1", "plan:v1", "verdicts:v1"]);

    for (name, bytes) in files(&pack.join("artefacts")) {
        if let Ok(document) = serde_json::from_slice::<Value>(&bytes) {
            seen.tagged(&name, &document);
        }
    }
    let data = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(pack.join("data").join(name)).expect(name)).expect(name)
    };
    seen.tagged("plan.json", &data("plan.json"));
    seen.fits("facts.json", "urn:proofmark:schema:facts:1", &data("facts.json"));
    let system = "urn:proofmark:predicate:plan:v1#/$defs/system";
    seen.fits("system.json", system, &data("system.json"));
    for outcome in data("measurements.json").as_array().expect("outcomes") {
        let measurements = outcome["measurements"].as_array().expect("measurements");
        measurements.iter().for_each(|m| seen.tagged("measurement", m));
        seen.fits("measurements.json", "urn:proofmark:predicate:measurements:v1", outcome);
    }
    let unseen: Vec<&&str> = HELD.iter().filter(|tag| !seen.formats.contains(**tag)).collect();
    assert!(unseen.is_empty(), "not in the pack: {unseen:?}");
}

#[test]
fn every_format_in_the_sources_has_a_schema() {
    let schemas = Schemas::committed();
    let tags = tags();
    assert!(tags.len() > 15, "{tags:?}");
    for tag in tags {
        // Panics when there is none; no document is empty.
        let id = id_of(&tag).expect("a format");
        let faults = schemas.faults(&id, &Value::Object(serde_json::Map::new()));
        assert!(faults.contains(&"$: no `format`".to_owned()), "{tag}: {faults:?}");
    }
    let unknown = std::panic::catch_unwind(|| {
        Seen::new().tagged("test", &serde_json::json!({"format": "proofmark.moon-phase/1"}));
    });
    assert!(unknown.is_err(), "a format without a schema passed");
}

/// The schemas and what was held against them.
struct Seen {
    schemas: Schemas,
    formats: BTreeSet<String>,
}

impl Seen {
    fn new() -> Self {
        Self { schemas: Schemas::committed(), formats: BTreeSet::new() }
    }

    /// A document that names its format.
    fn tagged(&mut self, what: &str, document: &Value) {
        let format = document["format"].as_str().unwrap_or_else(|| panic!("{what}: no format"));
        let id = id_of(format).unwrap_or_else(|| panic!("{what}: `{format}` is no format of ours"));
        self.fits(what, &id, document);
        let mut other = document.clone();
        other["format"] = "proofmark.other/1".into();
        assert!(!self.schemas.faults(&id, &other).is_empty(), "{what}: any format passes");
        self.formats.insert(format.to_owned());
    }

    /// A document under a known schema; one that lacks a field, or has one more, must not fit.
    fn fits(&self, what: &str, id: &str, document: &Value) {
        let faults = self.schemas.faults(id, document);
        assert_eq!(faults, [""; 0], "{what} under {id}");
        let mut more = document.clone();
        more["surplus"] = 1.into();
        let open = id == "urn:proofmark:schema:entry:1";
        assert_eq!(self.schemas.faults(id, &more).is_empty(), open, "{what}: a surplus field");
        if id != "urn:proofmark:schema:facts:1" {
            let mut less = document.clone();
            let fields = less.as_object_mut().expect("fields");
            *fields = fields.iter().take(1).map(|(k, v)| (k.clone(), v.clone())).collect();
            assert!(!self.schemas.faults(id, &less).is_empty(), "{what}: one field is enough");
        }
    }
}

fn print(seen: &mut Seen, scratch: &Scratch, args: &[&str]) -> (i32, Value) {
    let (code, document) = scratch.json(args);
    seen.tagged(&args.join(" "), &document);
    (code, document)
}

fn stands_alone(seen: &mut Seen, args: &[&str]) {
    let ran = proofmark(&[args, &["--format", "json"]].concat());
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    seen.tagged(&args.join(" "), &serde_json::from_str(&ran.stdout).expect("json"));
}

/// A drill, and what a guard keeps: its state and the events of its log.
fn drilled(seen: &mut Seen, scratch: &Scratch) {
    stands_alone(seen, &["drill", "list"]);
    let by = ["--by", "tester"];
    let args = [&["drill", "--fault", "corrupted-model"][..], &by].concat();
    let (_, drill) = print(seen, scratch, &args);
    assert_eq!(drill["journal"]["operator"], "tester", "{drill:#}");
    seen.fits("journal", "urn:proofmark:predicate:drill:v1", &drill["journal"]);
    let stop = [&["guard", "stop", "--reason", "trial"][..], &by].concat();
    let (code, stopped) = scratch.json(&stop);
    assert_eq!(code, 0, "{stopped:#}");
    let guard = scratch.path(".proofmark/guard");
    let state = fs::read(guard.join("state.json")).expect("state");
    seen.tagged("state", &serde_json::from_slice(&state).expect("json"));
    let log = Log::open(&guard.join("log")).expect("log of the guard");
    let mut events = 0;
    log.for_each_leaf(|_, leaf| {
        seen.tagged("event", &serde_json::from_slice(leaf).expect("json"));
        events += 1;
        Ok(())
    })
    .expect("leaves");
    assert_eq!(events, 2, "the act and the change of state");
}

/// A co-signature of the checkpoint by a second party, imported.
fn anchored(seen: &mut Seen, scratch: &Scratch) {
    let note = fs::read_to_string(scratch.path(".proofmark/log/checkpoint")).expect("checkpoint");
    let text = Checkpoint::parse_unverified(&note).expect("checkpoint").text();
    let key = LogKey::generate().expect("key");
    let line = sign_line("witness.invalid", &key, &text).expect("line");
    let vkey = Verifier::new("witness.invalid", key.public()).expect("name").vkey();
    let file = scratch.path("cosignature");
    fs::write(&file, line).expect("write");
    let file = file.display().to_string();
    let args = ["log", "anchor", "--cosignature", &file, "--vkey", &vkey];
    let (code, made) = print(seen, scratch, &args);
    assert_eq!((code, &made["format"]), (0, &"proofmark.anchor/1".into()), "{made:#}");
}

/// The register of risks: what every verb of it prints, and what it signs.
fn risks(seen: &mut Seen, scratch: &Scratch) {
    print(seen, scratch, &["risk", "seed"]);
    print(seen, scratch, &["risk", "list"]);
    let (id, until) = ("misuse-hiring", "2027-06-30");
    let treat = ["risk", "treat", id, "--order", "design", "--what", "asked for", "--cell"];
    print(seen, scratch, &[&treat[..], &["model-flaws/prevent"]].concat());
    let rate = ["risk", "rate", id, "--residual", "--likelihood", "1", "--reason", "asked"];
    print(seen, scratch, &rate);
    for verb in ["accept", "exclude"] {
        print(seen, scratch, &["risk", verb, id, "--reason", "so", "--expires", until]);
    }
    print(seen, scratch, &["risk", "reopen", id, "--reason", "a hint"]);
    print(seen, scratch, &["risk", "review", id, "--reason", "seen", "--next", until]);
    print(seen, scratch, &["risk", "show", id, "--history"]);
    print(seen, scratch, &["risk", "show", "threat-applicant", "--history"]);
    print(seen, scratch, &["risk", "matrix"]);
    print(seen, scratch, &["due"]);
    print(seen, scratch, &["gate", "--record"]);
    let (_, log) = scratch.json(&["log", "list"]);
    let entries = log["entries"].as_array().expect("entries");
    let wanted = |e: &&Value| e["kind"] == "risk" || e["kind"] == "gate";
    for entry in entries.iter().filter(wanted) {
        let bundle = entry["bundle"].as_str().expect("bundle");
        let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
        signed(seen, bundle, &fs::read(path).expect("bundle"));
    }
}

/// Cases of incidents and the coverage of duties: what is printed, and what is signed.
fn incidents(seen: &mut Seen, scratch: &Scratch) {
    print(seen, scratch, &["incident", "list"]);
    stands_alone(seen, &["incident", "rules"]);
    let by = ["--by", "quality"];
    let said = ["--what", "people were refused", "--harm", "rights", "--member-state", "DE"];
    print(seen, scratch, &[&["incident", "open"][..], &by, &said].concat());
    print(seen, scratch, &[&["incident", "update", "inc-1"][..], &by, &["--impact", "x"]].concat());
    print(seen, scratch, &["incident", "hold"]);
    let out = scratch.path("reports").display().to_string();
    print(seen, scratch, &[&["incident", "report", "inc-1"][..], &by, &["--out", &out]].concat());
    let model = format!("mlp={}", scratch.path("mlp.onnx").display());
    let change = ["--what", "x", "--notice", "n", "--authority", "a", "--model", &model];
    print(seen, scratch, &[&["incident", "change", "inc-1"][..], &by, &change].concat());
    print(seen, scratch, &["incident", "hold"]);
    let contain = ["--action", "warn-users", "--what", "x"];
    print(seen, scratch, &[&["incident", "contain", "inc-1"][..], &by, &contain].concat());
    let report = ["--report", "inc-1-r1", "--authority", "a", "--channel", "mail"];
    let receipt = [
        "--reference",
        "r",
        "--at",
        "now",
        "--file",
        &scratch.path("README.md").display().to_string(),
    ]
    .map(str::to_owned);
    let receipt: Vec<&str> = receipt.iter().map(String::as_str).collect();
    print(seen, scratch, &[&["incident", "receipt", "inc-1"][..], &by, &report, &receipt].concat());
    let receipt = ["--receipt", "inc-1-q1"];
    print(seen, scratch, &[&["incident", "release", "inc-1"][..], &by, &receipt].concat());
    print(seen, scratch, &[&["incident", "close", "inc-1"][..], &by, &["--because", "x"]].concat());
    print(seen, scratch, &["incident", "show", "inc-1"]);
    print(seen, scratch, &["incident", "list"]);
    print(seen, scratch, &["duties", "list"]);
    print(seen, scratch, &["duties", "check", "AIA-73"]);
    let (_, log) = scratch.json(&["log", "list"]);
    let entries = log["entries"].as_array().expect("entries");
    let deeds: Vec<&Value> = entries.iter().filter(|e| e["kind"] == "incident").collect();
    assert_eq!(deeds.len(), 8);
    for entry in deeds {
        let bundle = entry["bundle"].as_str().expect("bundle");
        let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
        signed(seen, bundle, &fs::read(path).expect("bundle"));
    }
}

/// A declaration made from found files.
fn begun(seen: &mut Seen) {
    let scratch = Scratch::copy_of("credit");
    fs::remove_file(scratch.path("proofmark.toml")).expect("rm");
    let dir = scratch.dir().display().to_string();
    stands_alone(seen, &["init", &dir]);
}

/// A check that finds values outside the declared domain.
fn outside_the_domain(seen: &mut Seen) {
    let scratch = Scratch::credit(ROWS);
    scratch.edit("proofmark.toml", |text| {
        let lines = text.lines().map(|line| match line.contains("bounds = [") {
            true => line.replace("bounds = [", "bounds = [-1e9, -1e8] # ["),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let (code, found) = print(seen, &scratch, &["check"]);
    assert_eq!((code, &found["format"]), (1, &"proofmark.check/1".into()), "{found:#}");
}

/// One model file under attack, without a declaration.
fn attacked(seen: &mut Seen) {
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path("cnn.onnx"), path("test-images.idx.gz"));
    let label = path("test-labels.idx.gz");
    let base = ["attack", "--model", &model, "--data", &data, "--label", &label];
    let more = ["--norm", "linf", "--eps", "8", "--scale", "0-255", "--suite", "fgsm"];
    stands_alone(seen, &[&base[..], &more, &["--limit", "4"]].concat());
    let vote = ["--norm", "l2", "--suite", "smoothing", "--scale", "bounds", "--sigma", "0.5"];
    let few = ["--samples", "60", "--samples-choose", "10", "--limit", "2"];
    stands_alone(seen, &[&base[..], &vote, &few].concat());
    // The exact search writes parts of the report that no other suite does.
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/tests/golden/trees_");
    let (trees, rows) = (format!("{golden}model.json"), format!("{golden}rows.libsvm"));
    let exact = ["attack", "--model", &trees, "--data", &rows, "--libsvm-index", "0"];
    let more = ["--norm", "linf", "--suite", "exact", "--eps", "0.1,0.5"];
    stands_alone(seen, &[&exact[..], &more].concat());
    let property = path("p.vnnlib");
    let ask = ["attack", "--model", &model, "--property", &property, "--timeout", "1"];
    for conditions in ["(<= Y_0 1000000)", "(<= Y_0 Y_1) (>= Y_0 Y_1)"] {
        fs::write(&property, super::proofs::images(28 * 28, 10, 1.0, conditions)).expect("write");
        stands_alone(seen, &ask);
    }
    for suite in ["pixelate", "weight-bits", "availability"] {
        let few = ["--suite", suite, "--limit", "4", "--trials", "4", "--severities", "2"];
        stands_alone(seen, &[&base[..], &few].concat());
    }
}

/// Measures with their files and the statement about them.
fn hardened(seen: &mut Seen) {
    let scratch = Scratch::credit(ROWS);
    let out = scratch.path("hardened");
    let args = ["harden", "--out", &out.display().to_string(), "--limit", "12"];
    let (code, document) = print(seen, &scratch, &args);
    assert_eq!(code, 0, "{document:#}");
    let treatments = "urn:proofmark:predicate:treatments:v1";
    seen.fits("treatments", treatments, &document["treatments"]);
    for name in ["input-schema.json", "adversarial-rows.json"] {
        let bytes = fs::read(out.join(name)).expect(name);
        seen.tagged(name, &serde_json::from_slice(&bytes).expect("json"));
    }
}

fn keys(seen: &mut Seen, scratch: &Scratch) {
    let folder = scratch.dir().display().to_string();
    let secret = ("PROOFMARK_PASSPHRASE", "long enough for a test");
    for verb in ["new", "show"] {
        let variables = [("XDG_CONFIG_HOME", folder.as_str()), secret];
        let ran = proofmark_with(&["key", verb, "--format", "json"], &variables);
        assert_eq!(ran.code, 0, "key {verb}: {}", ran.stderr);
        seen.tagged(verb, &serde_json::from_str(&ran.stdout).expect("json"));
    }
}

/// The digest of stored rows, as the first result in the log names them.
fn personal_artefact(scratch: &Scratch, log: &Value) -> String {
    let entries = log["entries"].as_array().expect("entries");
    let result = entries.iter().find(|e| e["kind"] == "result").expect("result");
    let bundle = result["bundle"].as_str().expect("bundle");
    let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &bundle[..2], &bundle[2..]));
    let said = payload(&fs::read(path).expect("bundle"));
    let artefacts = said["predicate"]["artefacts"].as_array().expect("artefacts");
    let personal = artefacts.iter().find(|a| a["personal"] == true).expect("rows");
    personal["sha256"].as_str().expect("digest").to_owned()
}

/// Holds the predicate of a signed statement against the schema that its type names.
fn signed(seen: &Seen, name: &str, bundle: &[u8]) -> String {
    let statement = payload(bundle);
    let predicate = statement["predicateType"].as_str().expect("type").to_owned();
    seen.fits(name, &predicate, &statement["predicate"]);
    predicate
}

/// The statement in a bundle.
fn payload(bundle: &[u8]) -> Value {
    let bundle: Value = serde_json::from_slice(bundle).expect("bundle");
    let text = bundle["dsseEnvelope"]["payload"].as_str().expect("payload");
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    serde_json::from_slice(&bytes).expect("statement")
}

/// Names and contents of the files in a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = listing.map(|item| item.expect("file").path());
    paths.map(|p| (p.display().to_string(), fs::read(&p).expect("read"))).collect()
}

/// Every format tag that stands as a literal in the sources.
fn tags() -> Vec<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tags = BTreeSet::new();
    for item in fs::read_dir(crates).expect("crates") {
        collect(&item.expect("crate").path().join("src"), &mut tags);
    }
    tags.into_iter().filter(|tag| tag != DECLARATION && tag != POLICY).collect()
}

fn collect(folder: &Path, tags: &mut BTreeSet<String>) {
    for item in fs::read_dir(folder).expect("sources") {
        let path = item.expect("source").path();
        if path.is_dir() {
            collect(&path, tags);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            // The quotes leave out the domains of digests, which go on after the version.
            for (_, rest) in text.match_indices("\"proofmark.").map(|(at, _)| text.split_at(at)) {
                let literal = rest[1..].split('"').next().unwrap_or_default();
                if is_tag(literal) {
                    tags.insert(literal.to_owned());
                }
            }
        }
    }
}

fn is_tag(literal: &str) -> bool {
    literal.split_once('/').is_some_and(|(_, version)| {
        !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Formats that a pack or the log holds and no verb prints.
const HELD: [&str; 4] =
    ["proofmark.entry/1", "proofmark.measurement/1", "proofmark.plan/1", "proofmark.rows/1"];
/// The declaration is TOML, and its reader gives errors with line and column.
const DECLARATION: &str = "proofmark.system/1";
/// So is the policy of the guard.
const POLICY: &str = "proofmark.guard/1";
/// Formats that are held against their schema where they are made: what the worker of the papers
/// reads (tests of `assess`), an imported signature (tests of the papers).
const ELSEWHERE: [&str; 3] = ["proofmark.endpoint/1", "proofmark.paper/1", "proofmark.signature/1"];
/// What a guard prints, keeps and answers while it runs: held against its schemas in `guard`.
const GUARDED: [&str; 8] = [
    "proofmark.answer/1",
    "proofmark.guard-check/1",
    "proofmark.guard-control/1",
    "proofmark.guard-key/1",
    "proofmark.guard-key-list/1",
    "proofmark.guard-keys/1",
    "proofmark.guard-start/1",
    "proofmark.guard-status/1",
];
const ROWS: usize = 40;
