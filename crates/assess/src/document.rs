//! The report as a typed model, before any layout.
//!
//! Owns which figures a report shows, in which tables, in which words. Every figure is a
//! [`Fact`]; words hold no digits (a test reads the page and looks for them). Must never format
//! HTML (see `html`) or take a figure from anywhere but a signed statement. Called by `pack`.

use proofmark_evidence::digest::Digest;
use proofmark_schema::duties::duties;
use proofmark_schema::system::Scale;
use proofmark_schema::taxonomy::Coverage;

use crate::assessment::Assessment;
use crate::facts::{At, Fact, FactBook, FactError};
use crate::history::RunRecord;
use crate::judge::VerdictState;

mod coverage;
mod figures;
mod glossary;
mod models;
mod threats;
mod verdicts;

pub(crate) use coverage::{verbs as matrix_verbs, word as coverage_word};
pub use figures::Figure;
pub(crate) use figures::{Located, located, title as metric_title};
pub(crate) use models::part as model_part;
pub(crate) use verdicts::rows as verdict_rows;

/// A report.
#[derive(Clone, Debug)]
pub struct Document {
    /// Head of the report.
    pub header: Header,
    /// Criteria and verdicts.
    pub verdicts: Vec<VerdictRow>,
    /// One part per model.
    pub models: Vec<ModelPart>,
    /// The matrix, compact.
    pub matrix: Vec<MatrixRow>,
    /// Every cell in full.
    pub cells: Table,
    /// Number of cells per coverage is told by the table; these are the words of the legend.
    pub legend: Vec<(Coverage, String)>,
    /// Provisions of the law and where the report serves them.
    pub duties: Table,
    /// Acts and versions the duties rest on.
    pub legal_base: Vec<Cell>,
    /// Every run in the log.
    pub runs: Table,
    /// Files that were measured.
    pub assets: Table,
    /// Commands that check the pack.
    pub checks: Vec<Check>,
    /// Words and what they mean.
    pub glossary: Vec<(String, String)>,
}

/// Head of a report.
#[derive(Clone, Debug)]
pub struct Header {
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Provider.
    pub provider: String,
    /// Intended purpose.
    pub purpose: String,
    /// Run.
    pub run: String,
    /// Digest of the plan statement.
    pub plan: String,
    /// When the plan was registered.
    pub registered: String,
    /// When the run started.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// Program and version.
    pub tool: String,
    /// Origin of the log.
    pub log: String,
    /// Fingerprint of the signing key.
    pub signer: String,
    /// Signed with a throw-away key.
    pub demo: bool,
    /// Outside anchors of the log; empty when there are none.
    pub anchors: Vec<Cell>,
    /// Whether an anchor attests that the plan came before the run.
    pub order_anchored: bool,
    /// The declaration was changed after the run.
    pub changed_since: bool,
    /// Whether every probe gave its figures.
    pub complete: bool,
    /// Why figures are unfit for declaration.
    pub exploratory: Vec<Cell>,
}

/// A criterion and its verdict.
#[derive(Clone, Debug)]
pub struct VerdictRow {
    /// Name of the criterion.
    pub name: String,
    /// What is asked, about what.
    pub subject: Cell,
    /// Threshold with its confidence.
    pub threshold: Cell,
    /// Figure with its two-sided interval.
    pub figure: Cell,
    /// One-sided bounds at the criterion's confidence.
    pub bounds: Cell,
    /// State.
    pub state: VerdictState,
    /// Why, and what to do next.
    pub reason: Cell,
    /// Why the threshold fits, and who approved it.
    pub approval: Cell,
    /// When the plan was registered.
    pub registered: String,
    /// Why it is unfit for declaration.
    pub exploratory: Vec<Cell>,
}

/// Figures of one model.
#[derive(Clone, Debug)]
pub struct ModelPart {
    /// Anchor in the page.
    pub anchor: String,
    /// Model name.
    pub name: String,
    /// Role, decision, file and engine.
    pub words: Vec<Cell>,
    /// Tables of accuracy: overall, parity, per class, per group.
    pub tables: Vec<Table>,
    /// Calibration plot with its table.
    pub calibration: Option<Plot>,
    /// Confusion matrix.
    pub confusion: Option<Table>,
    /// Figures under attack.
    pub threats: Vec<ThreatPart>,
    /// Checks that did not hold, and probes that failed.
    pub checks: Option<Table>,
    /// Remarks of the probes.
    pub notes: Vec<Cell>,
    /// Figures that have no place above.
    pub further: Option<Table>,
}

/// Figures of one model under one threat.
#[derive(Clone, Debug)]
pub struct ThreatPart {
    /// Anchor in the page.
    pub anchor: String,
    /// Threat name.
    pub name: String,
    /// The attacker, in words.
    pub words: Vec<Cell>,
    /// The curve with its table.
    pub curve: Plot,
    /// Sentences that must stand beside the figures.
    pub cautions: Vec<Cell>,
    /// Per class, per group, distances, cost.
    pub tables: Vec<Table>,
}

/// A plot and the table that says the same.
#[derive(Clone, Debug)]
pub struct Plot {
    /// SVG, ready to embed.
    pub svg: String,
    /// The same figures.
    pub table: Table,
}

/// A row of the compact matrix.
#[derive(Clone, Debug)]
pub struct MatrixRow {
    /// Threat.
    pub threat: String,
    /// Duty.
    pub duty: String,
    /// Coverage per verb, with the states of criteria judged there.
    pub cells: Vec<(Coverage, Vec<VerdictState>)>,
}

/// A command that checks something.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it shows.
    pub shows: String,
    /// Command.
    pub command: String,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Caption.
    pub caption: Cell,
    /// Heads of the columns.
    pub head: Vec<Cell>,
    /// Rows; the first cell is the head of the row.
    pub rows: Vec<Vec<Cell>>,
}

/// Inline content.
pub type Cell = Vec<Piece>;

/// A piece of inline content.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Our words, without digits.
    Text(String),
    /// Words of the declaration.
    Declared(String),
    /// Identifiers, digests, commands.
    Code(String),
    /// A time, RFC 3339.
    Time(String),
    /// A reference to the law.
    Law(String),
    /// A figure.
    Fact(Fact),
    /// A figure with its interval and count.
    Figure(Box<Figure>),
    /// State of a verdict.
    State(VerdictState),
    /// Coverage of a cell.
    Coverage(Coverage),
    /// A link inside the page.
    Link {
        /// Anchor, without `#`.
        to: String,
        /// Words.
        words: String,
    },
    /// A new line.
    Break,
}

/// What a document is made from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The run.
    pub assessment: &'a Assessment,
    /// Every run in the log.
    pub runs: &'a [RunRecord],
    /// Origin of the log.
    pub origin: &'a str,
    /// Fingerprint of the signing key.
    pub signer: Digest,
    /// Signed with a throw-away key.
    pub demo: bool,
    /// Outside anchors in words; true where one attests that the plan came before the run.
    pub anchors: Vec<(bool, Cell)>,
    /// The declaration was changed after the run.
    pub changed_since: bool,
}

/// The report of an assessment. `book` must hold the statements of plan, results and verdicts.
///
/// # Errors
/// [`FactError`] if a figure cannot be tied to a statement.
pub fn build(sources: &Sources<'_>, book: &mut FactBook) -> Result<Document, FactError> {
    let assessment = sources.assessment;
    let mut models = Vec::new();
    for model in &assessment.system.models {
        models.push(models::part(assessment, model, book)?);
    }
    Ok(Document {
        header: header(sources, book)?,
        verdicts: verdicts::rows(assessment, book)?,
        models,
        matrix: coverage::compact(&assessment.matrix),
        cells: coverage::cells(&assessment.matrix),
        legend: coverage::legend(),
        duties: coverage::duties_table(),
        legal_base: duties()
            .legal_base
            .iter()
            .map(|b| vec![Piece::Law(format!("{}, {}", b.title, b.version))])
            .collect(),
        runs: runs(sources),
        assets: assets(assessment),
        checks: checks(sources),
        glossary: glossary::entries(assessment),
    })
}

fn header(sources: &Sources<'_>, book: &mut FactBook) -> Result<Header, FactError> {
    let Assessment { system, record, results, exploratory, complete, .. } = sources.assessment;
    let tool = results.first().map(|r| &r.said.tool);
    Ok(Header {
        system: system.name.clone(),
        version: system.version.clone(),
        provider: system.provider.clone(),
        purpose: system.purpose.clone(),
        run: record.run.clone(),
        plan: record.plan.statement.hex(),
        registered: record.registered.clone(),
        started: record.started.clone(),
        ended: record.ended.clone().unwrap_or_default(),
        tool: tool.map(|t| format!("{} {}", t.name, t.version)).unwrap_or_default(),
        log: sources.origin.to_owned(),
        signer: sources.signer.hex(),
        demo: sources.demo,
        anchors: sources.anchors.iter().map(|(_, words)| words.clone()).collect(),
        order_anchored: sources.anchors.iter().any(|(order, _)| *order),
        changed_since: sources.changed_since,
        complete: *complete,
        exploratory: reasons(
            sources.assessment,
            "exploratory",
            "/predicate/exploratory",
            exploratory.len(),
            book,
        )?,
    })
}

/// Words of the verdict statement, as facts: they may hold names and figures.
fn reasons(
    assessment: &Assessment,
    id: &str,
    pointer: &str,
    count: usize,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let statement = assessment.verdict_statement.statement.hex();
    (0..count)
        .map(|index| {
            let at = At::new(&statement, format_args!("{pointer}/{index}"));
            Ok(quoted(book.words(&format!("{id}#{index}"), &at)?))
        })
        .collect()
}

fn runs(sources: &Sources<'_>) -> Table {
    let cited = &sources.assessment.record.run;
    let row = |run: &RunRecord| {
        let mut times = vec![Piece::Time(run.started.clone())];
        for resumed in &run.resumed {
            times.extend([Piece::Break, words("resumed "), Piece::Time(resumed.clone())]);
        }
        let ended = match &run.ended {
            Some(time) => vec![Piece::Time(time.clone())],
            None => vec![words("never ended")],
        };
        let mut outcome: Cell = Vec::new();
        for state in &run.states {
            outcome.extend([Piece::State(*state), words(" ")]);
        }
        match (&run.ended, run.complete, run.states.is_empty()) {
            (None, ..) => outcome.push(words("no verdict")),
            (Some(_), false, _) => outcome.push(words("not complete: a probe failed")),
            (Some(_), true, true) => outcome.push(words("no criteria")),
            (Some(_), true, false) => {}
        }
        let this = if run.run == *cited { "this report" } else { "not cited here" };
        vec![
            vec![Piece::Code(run.run.clone())],
            vec![Piece::Code(short(&run.plan.statement.hex()))],
            vec![Piece::Time(run.registered.clone())],
            times,
            ended,
            outcome,
            vec![words(this)],
        ]
    };
    Table {
        caption: vec![words(
            "Every run in the log of this system, also those that never ended or are not cited",
        )],
        head: heads(&["run", "plan", "plan registered", "started", "ended", "verdicts", "cited"]),
        rows: sources.runs.iter().map(row).collect(),
    }
}

fn assets(assessment: &Assessment) -> Table {
    let row = |asset: &proofmark_schema::measurement::AssetDigest| {
        vec![vec![Piece::Declared(asset.name.clone())], vec![Piece::Code(asset.sha256.clone())]]
    };
    Table {
        caption: vec![words("Files that were measured, by the digest of their bytes")],
        head: vec![vec![words("file")], vec![Piece::Law("SHA-256".to_owned())]],
        rows: assessment.plan.assets.iter().map(row).collect(),
    }
}

fn checks(sources: &Sources<'_>) -> Vec<Check> {
    let check = |shows: &str, command: String| Check { shows: shows.to_owned(), command };
    vec![
        check(
            "Signatures, inclusion in the log, plan before run, and every figure of this page, \
             against the signer whose fingerprint you got by another road than this pack",
            format!("proofmark verify . --signer {}", sources.signer),
        ),
        check(
            "The same without our program, with sh, openssl, jq and xxd",
            format!("sh verify.sh --signer {} .", sources.signer),
        ),
        check(
            "Answers on clean rows and on stored witnesses, asked again on the files named above; \
             with --full every figure is measured again, attacks included. It needs a pack \
             written with --with-rows",
            format!("proofmark replay {} --pack .", sources.assessment.record.run),
        ),
    ]
}

/// The unit of a budget in words.
pub(crate) fn scale_words(scale: Scale) -> &'static str {
    match scale {
        Scale::Raw => "in the unit of the model input",
        Scale::Bounds => "as a share of each feature's declared range",
        Scale::Std => "in standard deviations of each feature",
        Scale::U8 => "in steps of the eight-bit pixel scale",
    }
}

fn words(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

/// Words of a statement as a cell.
pub(crate) fn quoted(facts: Vec<Fact>) -> Cell {
    let mut cell = Vec::new();
    for fact in facts {
        if !cell.is_empty() {
            cell.push(words(" "));
        }
        cell.push(Piece::Fact(fact));
    }
    cell
}

fn heads(texts: &[&str]) -> Vec<Cell> {
    texts.iter().map(|t| vec![words(t)]).collect()
}

/// Enough of a digest to tell it from others by eye.
fn short(digest: &str) -> String {
    digest.chars().take(SHORT_DIGITS).collect()
}

/// An anchor in the page made of names.
fn anchor(parts: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    parts.join("-").chars().map(plain).collect()
}

const SHORT_DIGITS: usize = 12;
