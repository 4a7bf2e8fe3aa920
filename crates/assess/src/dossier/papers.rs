//! The papers of a dossier: written, set, logged, and put into the pack.
//!
//! Owns which statements of the log the papers may quote, the order "written, then logged, then
//! packed", and that a paper without PDF says why. Must never keep a PDF that was not made from
//! the page's own model. Called by `dossier`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::entry::{Entry, EntryKind};
use proofmark_evidence::pack::PackWriter;
use proofmark_evidence::pack::facts;
use proofmark_evidence::statement::Statement;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::paper::{Attachment, Paper, Source};

use super::{Attested, DossierError, attested};
use crate::assessment::Assessment;
use crate::currency::{AssetChange, changed};
use crate::events;
use crate::history;
use crate::papers::guard_policy;
use crate::papers::written::{PAPER, PaperRecord, PapersPredicate, content};
use crate::papers::{self as paper, PAPERS, Sources, Written};
use crate::register::{self, Register, RegisterError, stored_of};
use crate::signature::{Signed, signatures};
use crate::standing::{Present, World, overview};

/// What papers are made with.
#[derive(Clone, Copy)]
pub struct PapersWith<'a> {
    /// The log and all that lies beside it, folded.
    pub world: &'a World,
    /// What lies there now.
    pub present: Present<'a>,
    /// Sets papers as PDF; `Err` says why there are pages only.
    pub press: Result<&'a dyn Press, &'a str>,
}

/// Sets a paper as PDF.
pub trait Press {
    /// The bytes of the PDF.
    ///
    /// # Errors
    /// In words, why there is none.
    fn set(&self, paper: &Paper) -> Result<Vec<u8>, String>;
}

/// What became of one paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaperReport {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Gaps that it shows.
    pub gaps: usize,
    /// Chapters whose cited files changed.
    pub stale: Vec<String>,
    /// Figures and quotations tied to a statement.
    pub facts: usize,
    /// SHA-256 of the PDF, or why there is none.
    pub pdf: Result<Digest, String>,
}

/// Papers with their files.
#[derive(Default)]
pub(super) struct Bundle {
    pub reports: Vec<PaperReport>,
    files: Vec<(String, Vec<u8>)>,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Bundle {
    /// Puts every file into the pack.
    pub fn put(&self, writer: &PackWriter) -> Result<(), DossierError> {
        for (name, bytes) in &self.files {
            writer.paper(name, bytes)?;
        }
        for (name, bytes) in &self.signatures {
            writer.signature(name, bytes)?;
        }
        Ok(())
    }
}

impl fmt::Debug for PapersWith<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PapersWith").field("present", &self.present).finish_non_exhaustive()
    }
}

/// Writes, sets and logs every paper; `statements` grows by those that papers may quote.
pub(super) fn write(
    register: &mut Register<'_>,
    assessment: &Assessment,
    with: &PapersWith<'_>,
    statements: &mut Vec<Attested>,
) -> Result<Bundle, DossierError> {
    let guard = guard_policy::record(register, with.world)?;
    statements.extend(further(register)?);
    let quoted = statements
        .iter()
        .map(|s| register::statement(register.store, s.stored))
        .collect::<Result<Vec<Statement>, _>>()?;
    let plan_changes = plan_changes(register, with.world)?;
    let (overview, time) = (overview(with.world, &with.present), newest(statements));
    let listed: Vec<Source> = statements.iter().map(source).collect();
    let signer = register.key.public().fingerprint();
    let mut sources = Sources {
        assessment,
        world: with.world,
        overview: &overview,
        present: with.present,
        plan_changes: &plan_changes,
        guard: guard.as_ref(),
        signatures: &[],
        origin: register.log.origin(),
        signer,
        demo: register.key.is_demo(),
        tool: &register.tool,
        statements: &listed,
        time: &time,
    };
    // What a person signed is held against what the paper says without any signature.
    let mut contents = BTreeMap::new();
    for kind in &PAPERS {
        let bare = paper::write(kind, &sources, &quoted)?;
        contents.insert(kind.id, content(&bare.paper).ok_or(DossierError::Bug)?.hex());
    }
    let said = |id: &str| contents.get(id).cloned();
    let signed = signatures(register.log, register.store, &said)?;
    sources.signatures = &signed;
    let mut bundle =
        Bundle { signatures: signature_files(register, &signed)?, ..Bundle::default() };
    let mut records = Vec::new();
    for kind in &PAPERS {
        let written = paper::write(kind, &sources, &quoted)?;
        let content = contents.get(kind.id).cloned().unwrap_or_default();
        records.push(one(&written, content, with, statements, &mut bundle)?);
    }
    let predicate = PapersPredicate {
        system: assessment.plan.system.clone(),
        version: assessment.plan.version.clone(),
        tool: register.tool.clone(),
        run: assessment.record.run.clone(),
        papers: records,
    };
    let logged = events::record(register, EntryKind::Paper, PAPER, &predicate, &subjects(&bundle))?;
    let named = ("papers".to_owned(), "papers that were written".to_owned(), logged.time.clone());
    statements.push(attested(register.store, named, logged.stored, logged.index)?);
    Ok(bundle)
}

fn one(
    written: &Written,
    content: String,
    with: &PapersWith<'_>,
    statements: &[Attested],
    bundle: &mut Bundle,
) -> Result<PaperRecord, DossierError> {
    let id = &written.paper.id;
    let html = paper::html::page(&written.paper)?.into_bytes();
    let json = facts::to_json(&written.facts).map_err(proofmark_evidence::pack::PackError::from)?;
    let mut set = written.paper.clone();
    set.attachments = attachments(&set, &json, statements)?;
    let pdf = match with.press {
        Ok(press) => press.set(&set),
        Err(why) => Err(why.to_owned()),
    };
    let record = PaperRecord::of(written, content, &html, pdf.as_deref().ok(), &json);
    bundle.reports.push(PaperReport {
        id: id.clone(),
        title: written.paper.title.clone(),
        gaps: written.gaps(),
        stale: written.stale().into_iter().map(str::to_owned).collect(),
        facts: written.facts.len(),
        pdf: pdf.as_ref().map(|bytes| Digest::of(bytes)).map_err(Clone::clone),
    });
    bundle.files.push((format!("{id}.html"), html));
    bundle.files.push((format!("{id}.facts.json"), json));
    bundle.files.extend(pdf.ok().map(|bytes| (format!("{id}.pdf"), bytes)));
    Ok(record)
}

/// Facts and the signed statements behind them, for the PDF.
fn attachments(
    paper: &Paper,
    facts: &[u8],
    statements: &[Attested],
) -> Result<Vec<Attachment>, DossierError> {
    let mut all = vec![Attachment {
        name: "facts.json".to_owned(),
        media_type: JSON.to_owned(),
        description: "Every figure of this paper and its place in a signed statement".to_owned(),
        base64: STANDARD.encode(facts),
    }];
    for statement in statements {
        let digest = statement.stored.statement.hex();
        if !paper.sources.iter().any(|s| s.statement == digest) {
            continue;
        }
        let bytes = statement.bundle.to_json().map_err(RegisterError::from)?;
        all.push(Attachment {
            name: format!("{}.sigstore.json", statement.name),
            media_type: JSON.to_owned(),
            description: format!("Signed statement: {}", statement.what),
            base64: STANDARD.encode(bytes),
        });
    }
    Ok(all)
}

/// Statements beside those of the run, in log order.
fn further(register: &Register<'_>) -> Result<Vec<Attested>, DossierError> {
    let mut entries = Vec::new();
    let mut fault = None;
    let read = register.log.for_each_leaf(|index, leaf| {
        match Entry::parse(leaf) {
            Ok(entry) if QUOTED.iter().any(|(kind, _)| *kind == entry.kind) => {
                entries.push((index, entry));
            }
            Ok(_) => {}
            Err(error) => fault = fault.take().or(Some(error)),
        }
        Ok(())
    });
    read.map_err(RegisterError::from)?;
    if let Some(error) = fault {
        return Err(RegisterError::from(error).into());
    }
    let mut statements = Vec::new();
    for (index, entry) in entries {
        let Some(stored) = stored_of(&entry) else { continue };
        let words = QUOTED.iter().find(|(kind, _)| *kind == entry.kind).map(|(_, w)| *w);
        let name = format!("{}-{index:06}", entry.kind);
        let named = (name, words.unwrap_or_default().to_owned(), entry.time.clone());
        statements.push(attested(register.store, named, stored, index)?);
    }
    Ok(statements)
}

fn source(attested: &Attested) -> Source {
    Source {
        statement: attested.stored.statement.hex(),
        what: attested.what.clone(),
        time: attested.time.clone(),
        file: format!("attestations/{}.sigstore.json", attested.name),
    }
}

fn newest(statements: &[Attested]) -> String {
    statements.iter().map(|s| s.time.as_str()).max().unwrap_or_default().to_owned()
}

/// Files that differ between the plan of each run and that of the run before.
fn plan_changes(
    register: &Register<'_>,
    world: &World,
) -> Result<Vec<(String, Vec<AssetChange>)>, DossierError> {
    let mut changes = Vec::new();
    let mut before: Option<(Digest, Vec<AssetDigest>)> = None;
    for run in &world.runs {
        if before.as_ref().is_some_and(|(plan, _)| *plan == run.plan.statement) {
            continue;
        }
        let assets = history::plan_statement(register.store, run.plan)?.plan.assets;
        if let Some((_, then)) = &before {
            let changed = changed(then, &assets);
            if !changed.is_empty() {
                changes.push((run.run.clone(), changed));
            }
        }
        before = Some((run.plan.statement, assets));
    }
    Ok(changes)
}

/// What was signed, the signature and the certificate of every signature.
fn signature_files(
    register: &Register<'_>,
    signed: &[Signed],
) -> Result<Vec<(String, Vec<u8>)>, DossierError> {
    let mut files = BTreeMap::new();
    for signed in signed {
        let said = &signed.said;
        let stem = format!("{}-{:06}", said.paper, signed.index);
        for (digest, ending) in [(&said.file, "pdf"), (&said.signature, "sig")] {
            let digest = digest.parse().map_err(|_| DossierError::Bug)?;
            files.insert(format!("{stem}.{ending}"), register.store.open(&digest)?);
        }
        let certificate = said.certificate_file.parse().map_err(|_| DossierError::Bug)?;
        files.insert(format!("{stem}.cert"), register.store.open(&certificate)?);
    }
    Ok(files.into_iter().collect())
}

fn subjects(bundle: &Bundle) -> Vec<AssetDigest> {
    let subject = |(name, bytes): &(String, Vec<u8>)| AssetDigest {
        name: format!("papers/{name}"),
        sha256: Digest::of(bytes).hex(),
    };
    bundle.files.iter().map(subject).collect()
}

const JSON: &str = "application/json";
/// Kinds of entries whose statements papers quote, in words.
const QUOTED: [(EntryKind, &str); 7] = [
    (EntryKind::Risk, "statement of the register of risks"),
    (EntryKind::Drill, "journal of a drill"),
    (EntryKind::Treatment, "measured effect of measures"),
    (EntryKind::Incident, "statement about an incident"),
    (EntryKind::Guard, "policy of the guard, or an order to it"),
    (EntryKind::Gate, "decision of the gate"),
    (EntryKind::Signature, "signature of a person"),
];
