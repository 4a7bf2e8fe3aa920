//! What the log says about papers that were written.
//!
//! Owns the predicate that names every paper, its files and what each chapter cites, and the
//! digest of a paper's content without its signatures, by which a later paper is told to be the
//! same. Must never hold a figure. Called by `dossier` and `signature`.

use proofmark_evidence::canonical;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::paper::Paper;
use proofmark_schema::taxonomy::Coverage;
use serde::{Deserialize, Serialize};

use super::Written;
use super::test_report::SIGNATURES;
use crate::events::{self, Logged};
use crate::predicate::Tool;
use crate::register::RegisterError;

/// Predicate type of papers that were written.
pub const PAPER: &str = "urn:proofmark:predicate:paper:v1";

/// Papers that were written together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PapersPredicate {
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program.
    pub tool: Tool,
    /// Run the figures come from.
    pub run: String,
    /// Papers.
    pub papers: Vec<PaperRecord>,
}

/// One paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRecord {
    /// Id.
    pub id: String,
    /// SHA-256 of its content without signatures, hex.
    pub content: String,
    /// SHA-256 of the page, hex.
    pub html: String,
    /// SHA-256 of the PDF, hex; `None` when none was set.
    pub pdf: Option<String>,
    /// SHA-256 of its facts, hex.
    pub facts: String,
    /// Chapters that answer a point or cite files.
    pub chapters: Vec<ChapterRecord>,
}

/// One chapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChapterRecord {
    /// Anchor.
    pub id: String,
    /// State.
    pub state: Option<Coverage>,
    /// Files it cites.
    pub cites: Vec<AssetDigest>,
    /// Names of cited files that had changed when it was written.
    pub stale: Vec<String>,
}

impl PaperRecord {
    /// The record of a paper and its files; `content` is that of the paper without signatures.
    pub fn of(
        written: &Written,
        content: String,
        html: &[u8],
        pdf: Option<&[u8]>,
        facts: &[u8],
    ) -> Self {
        let paper = &written.paper;
        let told = paper.chapters.iter().filter(|c| c.state.is_some() || !c.cites.is_empty());
        let chapters = told.map(|c| ChapterRecord {
            id: c.id.clone(),
            state: c.state,
            cites: c.cites.clone(),
            stale: c.stale.iter().map(|s| s.name.clone()).collect(),
        });
        Self {
            id: paper.id.clone(),
            content,
            html: Digest::of(html).hex(),
            pdf: pdf.map(|bytes| Digest::of(bytes).hex()),
            facts: Digest::of(facts).hex(),
            chapters: chapters.collect(),
        }
    }
}

/// Digest of what a paper says: without signatures, what follows from them, and the time.
pub fn content(paper: &Paper) -> Option<Digest> {
    let mut bare = paper.clone();
    bare.attachments.clear();
    bare.chapters.retain(|c| !DERIVED.contains(&c.id.as_str()));
    bare.head.time.clear();
    let bytes = canonical::to_vec(&bare).ok()?;
    Some(Digest::of(&bytes))
}

/// Every time papers were written, in log order.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn papers(log: &Log, store: &Store) -> Result<Vec<Logged<PapersPredicate>>, RegisterError> {
    events::logged(log, store, &EntryKind::Paper, PAPER)
}

/// Chapters that change when a signature is added.
const DERIVED: [&str; 3] = [SIGNATURES, "overview", "gaps"];
