//! The check of a pack, offline, by someone who trusts nothing in it.
//!
//! Owns [`verify_pack`] and its report. Must never stop at the first fault, print, or call a pack
//! authentic because it agrees with a key that lies in it. Called by the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::order::Ledger;
use super::{
    BUNDLE_SUFFIX, FACTS_SUFFIX, LOG_KEY, LOG_VKEY, MANIFEST, MANIFEST_BUNDLE, PACK_PREDICATE,
    PAPERS, PROOF_SUFFIX, REPORT, STATEMENT_KEY, facts, manifest,
};
use crate::anchor::Anchor;
use crate::digest::Digest;
use crate::dsse::Bundle;
use crate::durable;
use crate::entry::{Entry, EntryKind};
use crate::keys::{LogPublicKey, StatementPublicKey};
use crate::log::{Log, Proof, fsck};
use crate::note::{Checkpoint, Verifier};
use crate::store::Erasure;

/// What the check of a pack found.
#[derive(Clone, Debug, Default)]
pub struct PackReport {
    /// Every check that was made, in order.
    pub checks: Vec<Check>,
    /// Fingerprint of the key that signed the pack; `None` if no key could be read.
    pub signer: Option<Digest>,
    /// Whether all checks passed and the signer is the expected one.
    pub authenticated: bool,
    /// Whether the pack says that its key is a throw-away one.
    pub demo: bool,
    /// Artefacts the log says were erased.
    pub erased: Vec<Erasure>,
    /// Anchors whose checkpoint the log extends.
    pub anchors: Vec<AnchorNote>,
    /// Whether, for every cited run, an anchor covers the plan but not yet the start of the run.
    /// Otherwise their order is attested by the provider's own key only.
    pub order_anchored: bool,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked, e.g. `manifest` or `attestation plan`.
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// An anchor in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorNote {
    /// Its name.
    pub name: String,
    /// Entries of the anchored checkpoint.
    pub size: u64,
    /// What it is and what of it was not verified.
    pub description: String,
}

impl PackReport {
    /// Whether every check passed.
    pub fn is_consistent(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    /// The verdict in words.
    pub fn verdict(&self) -> String {
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        match (self.is_consistent(), self.authenticated, self.signer) {
            (true, true, Some(signer)) => format!("consistent; signed by {signer}"),
            (true, ..) => "consistent; signer not authenticated".to_owned(),
            _ => format!("not consistent: {failed} of {} checks failed", self.checks.len()),
        }
    }

    fn add(&mut self, name: impl Into<String>, outcome: Result<String, String>) -> bool {
        let (ok, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.checks.push(Check { name: name.into(), ok, detail });
        ok
    }
}

/// Checks the pack in `dir`. With `expected_signer` (a fingerprint that came by another road) a
/// pack signed by any other key fails; without it, the best verdict is
/// "consistent; signer not authenticated".
pub fn verify_pack(dir: &Path, expected_signer: Option<&Digest>) -> PackReport {
    let mut report = PackReport::default();
    let pack = Pack { dir };
    if !pack.check_manifest(&mut report) {
        return report;
    }
    let keys = pack.keys();
    let Some((key, verifier)) = keys.as_ref().ok() else {
        report.add("keys", keys.map(|_| String::new()));
        return report;
    };
    report.add("keys", Ok(format!("log key {}", verifier.vkey())));
    pack.check_signer(key, expected_signer, &mut report);
    pack.check_seal(key, &mut report);
    let attested = pack.check_attestations(key, &mut report);
    let log = pack.check_log(verifier, &mut report);
    let checkpoint = log.as_ref().map(|log| log.checkpoint_text().to_owned());
    pack.check_proofs(verifier, checkpoint.as_deref(), &attested, &mut report);
    if let Some(log) = &log {
        let ledger = pack.check_entries(log, &attested, &mut report);
        pack.check_anchors(log, verifier, &mut report);
        let sizes: Vec<u64> = report.anchors.iter().map(|anchor| anchor.size).collect();
        report.order_anchored = ledger.is_order_anchored(&digests(&attested), &sizes);
    }
    pack.check_facts(&attested, &mut report);
    pack.check_artefacts(&mut report);
    report.authenticated =
        report.is_consistent() && expected_signer.is_some() && report.signer.is_some();
    report
}

struct Pack<'a> {
    dir: &'a Path,
}

// Verified statements: by name, the digest of the payload and the payload as JSON.
type Attested = BTreeMap<String, (Digest, Value)>;

impl Pack<'_> {
    // Returns whether the folder is a plain tree of files, so that the rest may read it.
    fn check_manifest(&self, report: &mut PackReport) -> bool {
        if let Err(error) = manifest::survey(self.dir) {
            report.add("manifest", Err(error.to_string()));
            return false;
        }
        let outcome =
            self.text(MANIFEST).and_then(|text| manifest::parse(&text)).and_then(|listed| {
                match manifest::compare(self.dir, &listed) {
                    faults if faults.is_empty() => Ok(format!("{} files", listed.len())),
                    faults => Err(summary(&faults)),
                }
            });
        report.add("manifest", outcome);
        true
    }

    fn keys(&self) -> Result<(StatementPublicKey, Verifier), String> {
        let show = |e: &dyn std::fmt::Display| e.to_string();
        let key = StatementPublicKey::from_pem(&self.text(STATEMENT_KEY)?).map_err(|e| show(&e))?;
        let log_key = LogPublicKey::from_pem(&self.text(LOG_KEY)?).map_err(|e| show(&e))?;
        let verifier = Verifier::parse(&self.text(LOG_VKEY)?).map_err(|e| show(&e))?;
        if *verifier.key() != log_key {
            return Err("log.vkey and log.pub.pem hold different keys".to_owned());
        }
        Ok((key, verifier))
    }

    fn check_signer(
        &self,
        key: &StatementPublicKey,
        expected: Option<&Digest>,
        report: &mut PackReport,
    ) {
        let found = key.fingerprint();
        report.signer = Some(found);
        let outcome = match expected {
            Some(expected) if *expected == found => Ok(format!("{found}, as expected")),
            Some(expected) => Err(format!("signed by {found}, expected {expected}")),
            None => Ok(format!("{found}, not authenticated (no fingerprint given)")),
        };
        report.add("signer", outcome);
    }

    fn check_seal(&self, key: &StatementPublicKey, report: &mut PackReport) {
        let outcome = self.bundle(MANIFEST_BUNDLE, key).and_then(|(_, payload)| {
            let manifest = Digest::of(self.text(MANIFEST)?.as_bytes()).hex();
            let subject = payload.pointer("/subject").and_then(Value::as_array);
            let named = subject.is_some_and(|subjects| subjects.len() == 1)
                && payload.pointer("/subject/0/name") == Some(&Value::from(MANIFEST))
                && payload.pointer("/subject/0/digest/sha256") == Some(&Value::from(manifest))
                && payload.pointer("/predicateType") == Some(&Value::from(PACK_PREDICATE));
            if !named {
                return Err("the signed statement is not about this MANIFEST".to_owned());
            }
            let flag = payload.pointer("/predicate/demo").and_then(Value::as_bool);
            report.demo = flag.unwrap_or(false);
            Ok("signed".to_owned())
        });
        report.add("manifest signature", outcome);
    }

    fn check_attestations(&self, key: &StatementPublicKey, report: &mut PackReport) -> Attested {
        let mut attested = Attested::new();
        for name in self.names("attestations", BUNDLE_SUFFIX, report) {
            let path = format!("attestations/{name}{BUNDLE_SUFFIX}");
            let outcome = self.bundle(&path, key).map(|(digest, payload)| {
                attested.insert(name.clone(), (digest, payload));
                format!("signed, statement {digest}")
            });
            report.add(format!("attestation {name}"), outcome);
        }
        attested
    }

    fn check_log(&self, verifier: &Verifier, report: &mut PackReport) -> Option<Log> {
        let dir = self.dir.join("log");
        let found = fsck(&dir, verifier, None);
        let faults: Vec<String> = found.problems.iter().chain(&found.notes).cloned().collect();
        let sound = report.add(
            "log",
            if faults.is_empty() {
                Ok(format!("{} entries of `{}`, recomputed", found.size, verifier.name()))
            } else {
                Err(summary(&faults))
            },
        );
        if sound { Log::open(&dir).ok() } else { None }
    }

    fn check_proofs(
        &self,
        verifier: &Verifier,
        checkpoint: Option<&str>,
        attested: &Attested,
        report: &mut PackReport,
    ) {
        let names: BTreeSet<String> =
            self.names("proofs", PROOF_SUFFIX, report).into_iter().collect();
        for name in &names {
            let statement = attested.get(name).map(|(digest, _)| *digest);
            let outcome = self.proof(name, verifier, checkpoint, statement);
            report.add(format!("proof {name}"), outcome);
        }
        for name in attested.keys().filter(|name| !names.contains(*name)) {
            report.add(format!("proof {name}"), Err("missing".to_owned()));
        }
    }

    fn proof(
        &self,
        name: &str,
        verifier: &Verifier,
        checkpoint: Option<&str>,
        statement: Option<Digest>,
    ) -> Result<String, String> {
        let text = self.text(&format!("proofs/{name}{PROOF_SUFFIX}"))?;
        let proof = Proof::parse(&text).map_err(|e| e.to_string())?;
        let size = proof.verify(verifier).map_err(|e| e.to_string())?.size;
        if Some(proof.checkpoint.as_str()) != checkpoint {
            return Err("its checkpoint is not that of the log in the pack".to_owned());
        }
        let entry = Entry::parse(&proof.leaf).map_err(|e| e.to_string())?;
        match (entry.statement, statement) {
            (found, wanted) if found == wanted => {
                Ok(format!("{} at {} of {size}", entry.kind, proof.index))
            }
            (Some(_), None) => Err("it names a statement that is not in the pack".to_owned()),
            _ => Err("the entry is about another statement".to_owned()),
        }
    }

    fn check_entries(&self, log: &Log, attested: &Attested, report: &mut PackReport) -> Ledger {
        let digests = digests(attested);
        let mut ledger = Ledger::default();
        let mut faults = Vec::new();
        let mut erased = Vec::new();
        let visited = log.for_each_leaf(|index, leaf| {
            match Entry::parse(leaf) {
                Ok(entry) => {
                    ledger.add(index, &entry);
                    match Erasure::from_entry(&entry) {
                        Some(erasure) => erased.push(erasure),
                        None if entry.kind == EntryKind::Tombstone => {
                            faults.push(format!("entry {index} is a malformed tombstone"));
                        }
                        None => {}
                    }
                }
                Err(error) => faults.push(format!("entry {index}: {error}")),
            }
            Ok(())
        });
        faults.extend(visited.err().map(|e| e.to_string()));
        report.add("entries", list(faults, || ledger.summary(&digests)));
        let order = || "plan, then run start, then results, by index".to_owned();
        report.add("order", list(ledger.faults(&digests), order));
        report.erased = erased;
        ledger
    }

    fn check_anchors(&self, log: &Log, verifier: &Verifier, report: &mut PackReport) {
        let anchors = match Anchor::load_all(&self.dir.join("anchors")) {
            Ok(anchors) => anchors,
            Err(error) => {
                report.add("anchors", Err(error.to_string()));
                return;
            }
        };
        if anchors.is_empty() {
            let alone = "none: the order of plan and run is attested by the provider's key only";
            report.add("anchors", Ok(alone.to_owned()));
        }
        for anchor in anchors {
            let outcome = Checkpoint::open(anchor.checkpoint(), verifier)
                .map_err(|e| e.to_string())
                .and_then(|checkpoint| {
                    if log.root_at(checkpoint.size) != Some(checkpoint.root) {
                        return Err("the log does not extend the anchored checkpoint".to_owned());
                    }
                    let note = AnchorNote {
                        name: anchor.name().to_owned(),
                        size: checkpoint.size,
                        description: anchor.describe(),
                    };
                    let detail = format!("{} entries; {}", note.size, note.description);
                    report.anchors.push(note);
                    Ok(detail)
                });
            report.add(format!("anchor {}", anchor.name()), outcome);
        }
    }

    fn check_facts(&self, attested: &Attested, report: &mut PackReport) {
        self.check_page("facts", "report", ("data/facts.json", REPORT), attested, report);
        let papers = self.names(PAPERS, "", report);
        let pages = papers.iter().filter_map(|name| name.strip_suffix(PAGE_SUFFIX));
        for id in pages.clone() {
            let facts = format!("{PAPERS}/{id}{FACTS_SUFFIX}");
            let page = format!("{PAPERS}/{id}{PAGE_SUFFIX}");
            let names = (format!("facts of {id}"), format!("paper {id}"));
            self.check_page(&names.0, &names.1, (&facts, &page), attested, report);
        }
        // A PDF without its page, whose figures are held against facts, would go unchecked.
        let known: BTreeSet<&str> = pages.collect();
        for name in &papers {
            let mut stem = [PAGE_SUFFIX, FACTS_SUFFIX, PDF_SUFFIX].iter();
            let stem = stem.find_map(|suffix| name.strip_suffix(suffix));
            if !stem.is_some_and(|stem| known.contains(stem)) {
                report.add(PAPERS, Err(format!("`{name}` belongs to no page")));
            }
        }
    }

    fn check_page(
        &self,
        facts_name: &str,
        page_name: &str,
        (facts_path, page_path): (&str, &str),
        attested: &Attested,
        report: &mut PackReport,
    ) {
        let facts = self
            .bytes(facts_path, FACTS_BYTES_MAX)
            .and_then(|bytes| facts::parse(&bytes).map_err(|e| e.to_string()));
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                report.add(facts_name, Err(error));
                return;
            }
        };
        let payloads: BTreeMap<Digest, &Value> =
            attested.values().map(|(digest, payload)| (*digest, payload)).collect();
        let mut faults = Vec::new();
        for (id, fact) in &facts {
            match payloads.get(&fact.statement) {
                None => faults.push(format!("`{id}` names a statement that is not in the pack")),
                Some(payload) if !facts::resolves(fact, payload) => {
                    faults.push(format!("`{id}` differs from its statement"));
                }
                Some(_) => {}
            }
        }
        report.add(facts_name, list(faults, || format!("{} facts resolve", facts.len())));
        let outcome = self
            .bytes(page_path, REPORT_BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()))
            .and_then(|html| {
                let shown = || "every figure is its fact".to_owned();
                list(facts::scan_report(&html, &facts), shown)
            });
        report.add(page_name, outcome);
    }

    fn check_artefacts(&self, report: &mut PackReport) {
        let mut faults = Vec::new();
        let mut count = 0;
        for name in self.names("artefacts", "", report) {
            count += 1;
            let path = format!("artefacts/{name}");
            match std::fs::File::open(self.dir.join(&path)) {
                Err(e) => faults.push(format!("`{path}`: {e}")),
                Ok(mut file) => match Digest::of_reader(&mut file) {
                    Ok((digest, _)) if digest.hex() == name => {}
                    _ => faults.push(format!("`{path}` does not have the digest in its name")),
                },
            }
            if report.erased.iter().any(|erasure| erasure.artefact.hex() == name) {
                faults.push(format!("`{path}` was erased according to the log, yet is here"));
            }
        }
        let erased = report.erased.len();
        report.add("artefacts", list(faults, || format!("{count} present, {erased} erased")));
    }

    fn bundle(&self, path: &str, key: &StatementPublicKey) -> Result<(Digest, Value), String> {
        let bytes = self.bytes(path, BUNDLE_BYTES_MAX)?;
        let bundle = Bundle::parse(&bytes).map_err(|e| e.to_string())?;
        bundle.verify(key).map_err(|e| e.to_string())?;
        let payload = bundle.payload().map_err(|e| e.to_string())?;
        let value = serde_json::from_slice(&payload).map_err(|e| e.to_string())?;
        Ok((Digest::of(&payload), value))
    }

    // Names without suffix of the files in a folder of the pack, sorted; others are faults.
    fn names(&self, folder: &str, suffix: &str, report: &mut PackReport) -> Vec<String> {
        let listing = match std::fs::read_dir(self.dir.join(folder)) {
            Ok(listing) => listing,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                report.add(folder, Err(e.to_string()));
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for item in listing.take(ITEMS_MAX + 1) {
            let file = match item {
                Ok(item) => item.file_name().to_string_lossy().into_owned(),
                Err(e) => {
                    report.add(folder, Err(e.to_string()));
                    continue;
                }
            };
            match file.strip_suffix(suffix) {
                Some(name) => names.push(name.to_owned()),
                None => {
                    report.add(folder, Err(format!("`{file}` does not belong here")));
                }
            }
        }
        if names.len() > ITEMS_MAX {
            report.add(folder, Err(format!("more than {ITEMS_MAX} files")));
            return Vec::new();
        }
        names.sort();
        names
    }

    fn text(&self, path: &str) -> Result<String, String> {
        let bytes = self.bytes(path, TEXT_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|_| format!("`{path}` is not text"))
    }

    fn bytes(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        let full = self.dir.join(path);
        match std::fs::symlink_metadata(&full) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Err(format!("`{path}` is a link or not a file")),
            Err(_) => return Err(format!("`{path}` is missing")),
        }
        durable::read_bounded(&full, bytes_max).map_err(|e| e.to_string())
    }
}

fn digests(attested: &Attested) -> BTreeSet<Digest> {
    attested.values().map(|(digest, _)| *digest).collect()
}

fn list(faults: Vec<String>, good: impl FnOnce() -> String) -> Result<String, String> {
    if faults.is_empty() { Ok(good()) } else { Err(summary(&faults)) }
}

fn summary(faults: &[String]) -> String {
    let mut text = faults.iter().take(FAULTS_SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if faults.len() > FAULTS_SHOWN {
        text.push_str(&format!("; and {} more", faults.len() - FAULTS_SHOWN));
    }
    text
}

/// Faults a person still reads; the count follows.
const FAULTS_SHOWN: usize = 5;
/// MANIFEST of the most files, keys and proofs stay below.
const TEXT_BYTES_MAX: u64 = 32 << 20;
/// Statement payload limit in base64.
const BUNDLE_BYTES_MAX: u64 = 64 << 20;
/// Some ten thousand figures.
const FACTS_BYTES_MAX: u64 = 32 << 20;
/// A report with its plots inside.
const PAGE_SUFFIX: &str = ".html";
const PDF_SUFFIX: &str = ".pdf";
const REPORT_BYTES_MAX: u64 = 128 << 20;
/// Attestations, proofs or artefacts in one pack.
const ITEMS_MAX: usize = 20_000;
