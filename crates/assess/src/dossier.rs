//! The dossier: the report and everything that proves it, as a pack in one folder.
//!
//! Owns what goes into the pack, and that a folder is either the old dossier or the new one,
//! never half of each. Must never overwrite a folder that is no pack of ours, hand out rows that
//! were not asked for, or publish a pack that does not verify. Called by the command line.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::durable::{Fs, OsFs};
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::keys::LogPublicKey;
use proofmark_evidence::note::{Checkpoint, NoteError, Verifier};
use proofmark_evidence::pack::facts::Facts;
use proofmark_evidence::pack::{PackError, PackWriter, Sealed, verify_pack};
use proofmark_evidence::store::{Store, StoreError};
use proofmark_schema::system::System;
use serde::Serialize;
use serde_json::json;

use crate::assessment::{AssessError, Assessment};
use crate::document::{self, Piece, Sources};
use crate::facts::{FactBook, FactError};
use crate::history::{self, HistoryError, RunRecord};
use crate::html::{self, HtmlError};
use crate::register::{self, Register, RegisterError, Stored};

mod papers;

pub use papers::{PaperReport, PapersWith, Press};

/// What a dossier is made with.
#[derive(Debug)]
pub struct DossierOptions<'a> {
    /// Put rows and witnesses into the pack as well.
    pub with_rows: bool,
    /// Public half of the log's key.
    pub log_key: LogPublicKey,
    /// Anchors that second parties gave.
    pub anchors: Vec<Anchor>,
    /// What the papers are made with; `None` writes the report alone.
    pub papers: Option<PapersWith<'a>>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DossierReport {
    /// The folder.
    pub dir: PathBuf,
    /// Run it is about.
    pub run: String,
    /// Number of figures and quotations tied to a statement.
    pub facts: usize,
    /// Files of the artefact store that are in the pack.
    pub artefacts: usize,
    /// Files with rows or witnesses that were left out.
    pub withheld: usize,
    /// Files that were erased before.
    pub erased: usize,
    /// SHA-256 of MANIFEST.
    pub manifest: Digest,
    /// Fingerprint of the signing key.
    pub signer: Digest,
    /// Whether a former dossier in the folder was replaced.
    pub replaced: bool,
    /// Papers that were written.
    pub papers: Vec<PaperReport>,
}

/// Writes the dossier of `assessment` into the folder `out`. `system` is the declaration as it is
/// now; the report shows it as registered and says so where the two differ.
///
/// # Errors
/// [`DossierError`]; the folder `out` is then as it was before.
pub fn dossier(
    register: &mut Register<'_>,
    system: &System,
    assessment: &Assessment,
    out: &Path,
    options: &DossierOptions<'_>,
) -> Result<DossierReport, DossierError> {
    let places = Places::of(out)?;
    let runs = history::history(register.log, register.store)?;
    let verifier = Verifier::new(register.log.origin(), options.log_key)?;
    let mut statements = statements(register.store, assessment)?;
    let (page, facts) = render(register, system, assessment, &runs, options, &statements)?;
    // Papers are logged before anything is written: every proof is made at one size of the log.
    let papers = match &options.papers {
        Some(with) => papers::write(register, assessment, with, &mut statements)?,
        None => papers::Bundle::default(),
    };
    places.restore()?;
    places.clear_partial()?;
    let writer = PackWriter::create(&places.partial)?;
    writer.report(&page)?;
    writer.facts(&facts)?;
    data(&writer, assessment, &runs)?;
    papers.put(&writer)?;
    for statement in &statements {
        writer.attestation(&statement.name, &statement.bundle, register.log, statement.index)?;
    }
    let record = &assessment.record;
    writer.proof("run-start", register.log, record.start_index)?;
    if let Some(index) = record.end_index {
        writer.proof("run-end", register.log, index)?;
    }
    options.anchors.iter().try_for_each(|anchor| writer.anchor(anchor))?;
    let kept = artefacts(&writer, register.store, assessment, options.with_rows)?;
    writer.log(register.log)?;
    let sealed = writer.seal(register.key, &verifier, about(register, assessment, options))?;
    let signer = register.key.public().fingerprint();
    let check = verify_pack(&places.partial, Some(&signer));
    if !check.authenticated {
        let failed = check.checks.iter().filter(|c| !c.ok);
        let faults: Vec<String> = failed.map(|c| format!("{}: {}", c.name, c.detail)).collect();
        places.clear_partial()?;
        return Err(DossierError::Unsound(faults.join("; ")));
    }
    log_pack(register, &record.run, &sealed)?;
    let replaced = places.publish()?;
    Ok(DossierReport {
        dir: out.to_owned(),
        run: record.run.clone(),
        facts: facts.len(),
        artefacts: kept.written,
        withheld: kept.withheld,
        erased: kept.erased,
        manifest: sealed.manifest,
        signer,
        replaced,
        papers: papers.reports,
    })
}

// What the manifest says about the pack.
fn about(
    register: &Register<'_>,
    assessment: &Assessment,
    options: &DossierOptions<'_>,
) -> serde_json::Value {
    json!({
        "system": assessment.plan.system,
        "version": assessment.plan.version,
        "provider": assessment.system.provider,
        "run": assessment.record.run,
        "plan": assessment.record.plan.statement.hex(),
        "tool": register.tool,
        "time": (register.now)(),
        "complete": assessment.complete,
        "exploratory": !assessment.exploratory.is_empty(),
        "with_rows": options.with_rows,
    })
}

/// Why there is no dossier.
#[derive(Debug, thiserror::Error)]
pub enum DossierError {
    /// Something else is in the folder.
    #[error("`{}` holds something else than a dossier; name another folder", .0.display())]
    NotOurs(PathBuf),
    /// The folder cannot be named.
    #[error("`{}` cannot be the folder of a dossier; name a new folder", .0.display())]
    Unnamed(PathBuf),
    /// The pack does not pass its own check.
    #[error("the dossier does not verify and was not published: {0}")]
    Unsound(String),
    /// A figure.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// The page.
    #[error(transparent)]
    Html(#[from] HtmlError),
    /// The log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The pack.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name of the log or an anchored checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A folder could not be moved or removed.
    #[error("cannot {operation} `{}`: {source}", .dir.display())]
    Folder {
        /// What was tried.
        operation: &'static str,
        /// Folder.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Where the system stands.
    #[error(transparent)]
    Assess(#[from] AssessError),
    /// Cannot happen.
    #[error("data of the dossier does not serialise; please report this as a bug")]
    Bug,
}

/// A statement of the pack.
struct Attested {
    name: String,
    /// In words.
    what: String,
    /// When it was logged or ended.
    time: String,
    bundle: Bundle,
    index: u64,
    stored: Stored,
}

fn statements(store: &Store, assessment: &Assessment) -> Result<Vec<Attested>, DossierError> {
    let record = &assessment.record;
    let plan = ("plan".to_owned(), "plan of the run".to_owned(), record.registered.clone());
    let mut statements = vec![attested(store, plan, record.plan, record.plan_index)?];
    for (place, result) in assessment.results.iter().enumerate() {
        let name = format!("result-{place:03}-{}", file_name(&result.said.probe.id));
        let what = format!("result of {}", result.said.probe.id);
        let named = (name, what, result.said.ended.clone());
        statements.push(attested(store, named, result.stored, result.index)?);
    }
    if let Some((stored, index)) = record.verdict {
        let time = record.ended.clone().unwrap_or_default();
        let named = ("verdicts".to_owned(), "verdicts of the run".to_owned(), time);
        statements.push(attested(store, named, stored, index)?);
    }
    Ok(statements)
}

/// A statement of the store by name, words and time.
fn attested(
    store: &Store,
    (name, what, time): (String, String, String),
    stored: Stored,
    index: u64,
) -> Result<Attested, DossierError> {
    let bytes = store.open(&stored.bundle)?;
    let bundle = Bundle::parse(&bytes).map_err(RegisterError::from)?;
    Ok(Attested { name, what, time, bundle, index, stored })
}

fn render(
    register: &Register<'_>,
    system: &System,
    assessment: &Assessment,
    runs: &[RunRecord],
    options: &DossierOptions<'_>,
    statements: &[Attested],
) -> Result<(String, Facts), DossierError> {
    let mut book = FactBook::default();
    for statement in statements {
        book.source(&register::statement(register.store, statement.stored)?)?;
    }
    let sources = Sources {
        assessment,
        runs,
        origin: register.log.origin(),
        signer: register.key.public().fingerprint(),
        demo: register.key.is_demo(),
        anchors: anchored(assessment, &options.anchors)?,
        changed_since: *system != assessment.system,
    };
    let document = document::build(&sources, &mut book)?;
    Ok((html::page(&document)?, book.finish()))
}

/// What each anchor says about the order of plan and run.
fn anchored(
    assessment: &Assessment,
    anchors: &[Anchor],
) -> Result<Vec<(bool, document::Cell)>, DossierError> {
    let record = &assessment.record;
    let mut lines = Vec::new();
    for anchor in anchors {
        let size = Checkpoint::parse_unverified(anchor.checkpoint())?.size;
        let (order, words) = if size <= record.plan_index {
            (false, "made before the plan was registered; says nothing about this run: ")
        } else if size <= record.start_index {
            (true, "made after the plan was registered and before the run started: ")
        } else {
            (false, "made after the run started; what it covers was not changed since: ")
        };
        let words = Piece::Text(words.to_owned());
        lines.push((order, vec![words, Piece::Declared(anchor.describe())]));
    }
    Ok(lines)
}

fn data(
    writer: &PackWriter,
    assessment: &Assessment,
    runs: &[RunRecord],
) -> Result<(), DossierError> {
    let said: Vec<_> = assessment.results.iter().map(|r| &r.said).collect();
    writer.data("plan.json", &pretty(&assessment.plan)?)?;
    writer.data("system.json", &pretty(&assessment.system)?)?;
    writer.data("measurements.json", &pretty(&said)?)?;
    let verdicts = json!({ "verdicts": assessment.verdicts, "matrix": assessment.matrix });
    writer.data("verdicts.json", &pretty(&verdicts)?)?;
    let run = |r: &RunRecord| {
        json!({
            "run": r.run,
            "plan": r.plan.statement.hex(),
            "registered": r.registered,
            "started": r.started,
            "resumed": r.resumed,
            "ended": r.ended,
            "complete": r.complete,
            "verdicts": r.states,
            "probes": r.probes,
            "results": r.results.len(),
        })
    };
    let runs: Vec<_> = runs.iter().map(run).collect();
    Ok(writer.data("runs.json", &pretty(&runs)?)?)
}

fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, DossierError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|_| DossierError::Bug)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// How many artefacts went where.
#[derive(Default)]
struct Kept {
    written: usize,
    withheld: usize,
    erased: usize,
}

fn artefacts(
    writer: &PackWriter,
    store: &Store,
    assessment: &Assessment,
    with_rows: bool,
) -> Result<Kept, DossierError> {
    let mut kept = Kept::default();
    let mut done = BTreeSet::new();
    // The same bytes may be kept under two names: personal under one is personal under all.
    let all = || assessment.results.iter().flat_map(|r| &r.said.artefacts);
    let personal: BTreeSet<&str> =
        all().filter(|a| a.personal).map(|a| a.sha256.as_str()).collect();
    for artefact in all() {
        if !done.insert(&artefact.sha256) {
            continue;
        }
        if personal.contains(artefact.sha256.as_str()) && !with_rows {
            kept.withheld += 1;
            continue;
        }
        let digest = artefact
            .sha256
            .parse()
            .map_err(|_| RegisterError::AssetDigest(artefact.name.clone()))?;
        match store.open(&digest) {
            Ok(bytes) => {
                writer.artefact(&bytes)?;
                kept.written += 1;
            }
            Err(StoreError::Erased(_)) => kept.erased += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(kept)
}

fn log_pack(register: &mut Register<'_>, run: &str, sealed: &Sealed) -> Result<(), DossierError> {
    let bytes = sealed.bundle.to_json().map_err(RegisterError::from)?;
    let stored = Stored { statement: sealed.statement, bundle: register.store.put(&bytes)? };
    let entry = register.entry(EntryKind::Pack).run(run);
    let entry = stored.named_in(entry).with("manifest", sealed.manifest.hex());
    register.log(&[entry])?;
    Ok(())
}

/// Where the pack is built and where it goes.
struct Places {
    out: PathBuf,
    parent: PathBuf,
    partial: PathBuf,
    former: PathBuf,
}

impl Places {
    fn of(out: &Path) -> Result<Self, DossierError> {
        let name = out.file_name().and_then(|n| n.to_str());
        let name = name.ok_or_else(|| DossierError::Unnamed(out.to_owned()))?;
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let places = Self {
            out: out.to_owned(),
            partial: parent.join(format!(".{name}.proofmark-partial")),
            former: parent.join(format!(".{name}.proofmark-former")),
            parent,
        };
        if places.out.exists() && !is_empty(&places.out) && !is_pack(&places.out) {
            return Err(DossierError::NotOurs(out.to_owned()));
        }
        Ok(places)
    }

    /// Removes what an earlier attempt left behind.
    fn clear_partial(&self) -> Result<(), DossierError> {
        remove_tree(&self.partial)
    }

    /// Puts a former pack back that a crash left under its temporary name.
    fn restore(&self) -> Result<(), DossierError> {
        if !self.out.exists() && is_pack(&self.former) {
            self.rename(&self.former, &self.out)?;
        }
        Ok(())
    }

    /// Puts the finished pack in place; true when it replaced a former one.
    fn publish(&self) -> Result<bool, DossierError> {
        let replaces = self.out.exists();
        if replaces {
            remove_tree(&self.former)?;
            self.rename(&self.out, &self.former)?;
        }
        if let Err(error) = self.rename(&self.partial, &self.out) {
            if replaces {
                self.rename(&self.former, &self.out)?;
            }
            return Err(error);
        }
        let was_pack = replaces && is_pack(&self.former);
        remove_tree(&self.former)?;
        Ok(was_pack)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DossierError> {
        OsFs.rename(from, to).map_err(folder("rename", from))?;
        OsFs.sync_dir(&self.parent).map_err(folder("flush", &self.parent))
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut items| items.next().is_none())
}

/// A pack has these files; a folder that merely has one of them is someone's own.
fn is_pack(dir: &Path) -> bool {
    ["MANIFEST", "MANIFEST.sigstore.json", "report.html", "verify.sh", "data/facts.json"]
        .iter()
        .all(|name| dir.join(name).is_file())
}

fn remove_tree(dir: &Path) -> Result<(), DossierError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(folder("remove", dir)(e)),
        _ => Ok(()),
    }
}

fn folder(operation: &'static str, dir: &Path) -> impl FnOnce(io::Error) -> DossierError {
    let dir = dir.to_owned();
    move |source| DossierError::Folder { operation, dir, source }
}

/// A probe id as part of a file name.
fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    id.chars().take(FILE_NAME_CHARS).map(plain).collect()
}

/// Enough to recognise a probe; the number in front makes the name unique.
const FILE_NAME_CHARS: usize = 80;

#[cfg(test)]
mod tests;
