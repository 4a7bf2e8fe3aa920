//! The papers of a system: Annex IV, instructions for use, risk file, test report, fail-safe plan.
//!
//! Owns the list of papers, what they are made from and that each goes through one model into both
//! layouts. Must never print a figure that is no fact of a signed statement, call a point covered
//! by text, or fill a gap with a default. Adding a paper is one file here and one line in
//! [`PAPERS`]. Called by `dossier`.

use std::collections::BTreeSet;

use proofmark_evidence::digest::Digest;
use proofmark_evidence::pack::facts::Facts;
use proofmark_evidence::statement::Statement;
use proofmark_schema::duties::duties;
use proofmark_schema::paper::{Block, Head, Paper, Source};

use crate::assessment::Assessment;
use crate::currency::AssetChange;
use crate::events::Logged;
use crate::facts::{FactBook, FactError};
use crate::predicate::Tool;
use crate::signature::Signed;
use crate::standing::{Overview, Present, World};

mod annex_iv;
mod draft;
mod failsafe;
pub mod guard_policy;
pub mod html;
mod instructions;
mod parts;
mod points;
mod risk_file;
mod test_report;
mod wire;
pub mod written;

use draft::Draft;
use guard_policy::GuardPolicyPredicate;

/// A paper that can be written.
pub struct Kind {
    /// Id, also the name of its files.
    pub id: &'static str,
    /// Title.
    pub title: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    write: fn(&Sources<'_>, &mut FactBook) -> Result<Draft, FactError>,
}

/// Every paper, in the order in which they are written.
pub static PAPERS: [Kind; 5] =
    [annex_iv::KIND, instructions::KIND, risk_file::KIND, test_report::KIND, failsafe::KIND];

/// The paper of that id.
pub fn named(id: &str) -> Option<&'static Kind> {
    PAPERS.iter().find(|k| k.id == id)
}

/// What papers are made from.
pub struct Sources<'a> {
    /// The run.
    pub assessment: &'a Assessment,
    /// The log, folded.
    pub world: &'a World,
    /// Where the system stands.
    pub overview: &'a Overview,
    /// What lies there now.
    pub present: Present<'a>,
    /// Files that differ between a run's plan and the one before, by run.
    pub plan_changes: &'a [(String, Vec<AssetChange>)],
    /// The guard's policy as last recorded in the system's log.
    pub guard: Option<&'a Logged<GuardPolicyPredicate>>,
    /// Signatures of persons, with what became of the papers since.
    pub signatures: &'a [Signed],
    /// Origin of the log.
    pub origin: &'a str,
    /// Fingerprint of the signing key.
    pub signer: Digest,
    /// Signed with a throw-away key.
    pub demo: bool,
    /// The program.
    pub tool: &'a Tool,
    /// Statements that can be quoted, in the order of the pack.
    pub statements: &'a [Source],
    /// Time of the newest of them.
    pub time: &'a str,
}

/// A paper and its figures.
#[derive(Clone, Debug)]
pub struct Written {
    /// The paper, without attachments.
    pub paper: Paper,
    /// Its figures, for `facts.json`.
    pub facts: Facts,
}

/// Writes one paper. `statements` are those that `sources.statements` names.
///
/// # Errors
/// [`FactError`] if a figure cannot be tied to a statement.
pub fn write(
    kind: &Kind,
    sources: &Sources<'_>,
    statements: &[Statement],
) -> Result<Written, FactError> {
    let mut book = FactBook::default();
    for statement in statements {
        book.source(statement)?;
    }
    let draft = (kind.write)(sources, &mut book)?;
    let paper = wire::paper(kind, &draft, sources, &book);
    // Parts that several papers share make more facts than one of them shows.
    let blocks = paper.front.iter().chain(paper.chapters.iter().flat_map(|c| &c.blocks));
    let shown: BTreeSet<&str> = blocks.flat_map(wire::facts).map(|f| f.id.as_str()).collect();
    let facts = book.finish().into_iter().filter(|(id, _)| shown.contains(id.as_str())).collect();
    Ok(Written { paper, facts })
}

impl Written {
    /// Number of gaps.
    pub fn gaps(&self) -> usize {
        let blocks = self.paper.chapters.iter().flat_map(|c| &c.blocks);
        blocks.filter(|b| matches!(b, Block::Gap { .. })).count()
    }

    /// Chapters whose cited files changed.
    pub fn stale(&self) -> Vec<&str> {
        let stale = self.paper.chapters.iter().filter(|c| !c.stale.is_empty());
        stale.map(|c| c.id.as_str()).collect()
    }
}

fn head(sources: &Sources<'_>) -> Head {
    let Assessment { system, record, .. } = sources.assessment;
    Head {
        system: system.name.clone(),
        version: system.version.clone(),
        provider: system.provider.clone(),
        purpose: system.purpose.clone(),
        run: record.run.clone(),
        time: sources.time.to_owned(),
        plan: record.plan.statement.hex(),
        log: sources.origin.to_owned(),
        signer: sources.signer.hex(),
        tool: format!("{} {}", sources.tool.name, sources.tool.version),
        demo: sources.demo,
    }
}

fn legal_base() -> Vec<String> {
    let duties = duties();
    let act = |b: &proofmark_schema::duties::LegalBase| format!("{}, {}", b.title, b.version);
    let mut acts: Vec<String> = duties.legal_base.iter().filter(|b| b.id == ACT).map(act).collect();
    acts.push(format!("read on {}, catalogue edition {}", duties.as_of, duties.edition));
    acts
}

/// The act that asks for these papers.
const ACT: &str = "AIA";

#[cfg(test)]
mod tests;
