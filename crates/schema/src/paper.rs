//! Papers (`proofmark.paper/1`): one paper as chapters, tables and figures, before any layout.
//!
//! Owns the wire type that both layouts (page and PDF) are made from, and its limits. Must never
//! hold a figure outside [`Fact`], nor decide what a paper says: `assess::papers` does. Written by
//! `assess`, read by the worker that sets a PDF.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::measurement::AssetDigest;
use crate::taxonomy::Coverage;

/// The format tag.
pub const FORMAT: &str = "proofmark.paper/1";

/// A paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// [`FORMAT`].
    pub format: String,
    /// Id, e.g. `annex-iv`; also the name of its files.
    pub id: String,
    /// Title.
    pub title: String,
    /// Language of the words, e.g. `en`.
    pub language: String,
    /// What stands in the head and on every page.
    pub head: Head,
    /// Acts and versions that the paper rests on.
    pub legal_base: Vec<String>,
    /// Remarks before the first chapter.
    pub front: Vec<Block>,
    /// Chapters in order; the first is of level 1.
    pub chapters: Vec<Chapter>,
    /// Statements that figures were taken from.
    pub sources: Vec<Source>,
    /// Files that go into the PDF.
    pub attachments: Vec<Attachment>,
}

/// Head of a paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Provider.
    pub provider: String,
    /// Intended purpose.
    pub purpose: String,
    /// Run the figures come from.
    pub run: String,
    /// Time of what the paper rests on, RFC 3339 in UTC; also the date in the PDF.
    pub time: String,
    /// Digest of the plan statement.
    pub plan: String,
    /// Origin of the log.
    pub log: String,
    /// Fingerprint of the signing key.
    pub signer: String,
    /// Program and version.
    pub tool: String,
    /// Signed with a throw-away key.
    pub demo: bool,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// Anchor: letters, digits, `-`; unique in the paper.
    pub id: String,
    /// Level, 1 or 2.
    pub level: u8,
    /// Mark in front of the title, e.g. `2(g)`; may be empty.
    pub mark: String,
    /// Title.
    pub title: String,
    /// Provision it answers, e.g. `Annex IV, point 2(g)`; may be empty.
    pub provision: String,
    /// How it is covered; `None` for chapters that answer no point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Coverage>,
    /// Files whose digests its figures cite.
    pub cites: Vec<AssetDigest>,
    /// Cited files that are no longer what was cited; empty means current.
    pub stale: Vec<Change>,
    /// Content.
    pub blocks: Vec<Block>,
}

/// A cited file that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Name, e.g. `model/mlp`.
    pub name: String,
    /// Digest as cited.
    pub cited: String,
    /// Digest now; `None` when the file is not there any more.
    pub now: Option<String>,
}

/// A block of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case", deny_unknown_fields)]
pub enum Block {
    /// A paragraph.
    Para {
        /// Content.
        content: Inline,
    },
    /// A list.
    List {
        /// Items.
        items: Vec<Inline>,
    },
    /// Terms and what they are.
    Terms {
        /// Term and content.
        items: Vec<Term>,
    },
    /// A table.
    Table(Table),
    /// A plot; the table that says the same follows it.
    Plot {
        /// One `<svg>` element.
        svg: String,
        /// What a reader who cannot see it should know.
        alt: String,
        /// Words under it.
        caption: String,
    },
    /// A remark that must not be missed.
    Note {
        /// Whether it is about something wrong.
        bad: bool,
        /// Content.
        content: Inline,
    },
    /// Words that a person wrote and answers for.
    Authored {
        /// Words; lines are kept.
        text: String,
        /// Person, with the function.
        owner: String,
    },
    /// Something that is missing.
    Gap {
        /// What.
        what: Inline,
        /// What to do next.
        next: Inline,
    },
}

/// A term and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Term, without figures.
    pub term: String,
    /// What it is.
    pub content: Inline,
}

/// A table; the first cell of a row is its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Caption.
    pub caption: Inline,
    /// Heads of the columns.
    pub head: Vec<Inline>,
    /// Relative widths of the columns in print, one per column.
    pub widths: Vec<u8>,
    /// Rows, as wide as the head.
    pub rows: Vec<Vec<Inline>>,
}

/// Inline content.
pub type Inline = Vec<Piece>;

/// A piece of inline content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Piece {
    /// Our words, without digits.
    Text {
        /// Words.
        text: String,
    },
    /// Words of the declaration or of a person.
    Declared {
        /// Words.
        text: String,
    },
    /// Identifiers, digests, commands.
    Code {
        /// Characters.
        text: String,
    },
    /// A time, RFC 3339.
    Time {
        /// Time.
        text: String,
    },
    /// A reference to the law or a standard.
    Law {
        /// Reference.
        text: String,
    },
    /// A figure or quotation.
    Fact(Fact),
    /// A figure with its interval and counts.
    Figure(Box<Figure>),
    /// State of a verdict: `pass`, `fail`, `inconclusive`, `refused` or `missing`.
    Verdict {
        /// State.
        state: String,
    },
    /// How something is covered.
    Coverage {
        /// Coverage.
        state: Coverage,
    },
    /// A link to a chapter.
    Link {
        /// Anchor of the chapter.
        to: String,
        /// Words.
        words: Inline,
    },
    /// A new line.
    Break,
}

/// A figure or quotation, tied to its place in a signed statement by `facts.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Key in `facts.json`.
    pub id: String,
    /// Text.
    pub text: String,
    /// Digest of the statement it stands in.
    pub statement: String,
}

/// A figure with its interval and counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The figure.
    pub value: Fact,
    /// Ends of the two-sided interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(Fact, Fact)>,
    /// Successes and rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<(Fact, Fact)>,
    /// What was proved from below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Fact>,
    /// Rows, where there are no successes to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Fact>,
}

/// A signed statement that figures were taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Digest of its payload.
    pub statement: String,
    /// What it says, in words.
    pub what: String,
    /// When it was logged, RFC 3339 in UTC.
    pub time: String,
    /// File in the pack.
    pub file: String,
}

/// A file that goes into the PDF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// File name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// What it is.
    pub description: String,
    /// Content, base64.
    pub base64: String,
}

/// Why a paper cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaperError {
    /// Another format.
    #[error("the paper is a `{0}`, not a `{FORMAT}`")]
    Format(String),
    /// Something is of the wrong form.
    #[error("the paper: {what} `{name}` {why}")]
    Form {
        /// Kind of thing.
        what: &'static str,
        /// Its name, cut.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Too much of something.
    #[error("the paper has more than {limit} {what}")]
    Many {
        /// Kind of thing.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

impl Paper {
    /// Checks what both layouts rely on: limits, anchors, links, row widths.
    ///
    /// # Errors
    /// [`PaperError`] with the first fault.
    pub fn check(&self) -> Result<(), PaperError> {
        if self.format != FORMAT {
            return Err(PaperError::Format(cut(&self.format)));
        }
        plain("paper", &self.id)?;
        at_most("chapters", self.chapters.len(), CHAPTERS_MAX)?;
        at_most("attachments", self.attachments.len(), ATTACHMENTS_MAX)?;
        at_most("sources", self.sources.len(), SOURCES_MAX)?;
        let anchors = self.anchors()?;
        let mut size = Size::default();
        self.front.iter().try_for_each(|b| block(b, &anchors, &mut size))?;
        for chapter in &self.chapters {
            chapter.blocks.iter().try_for_each(|b| block(b, &anchors, &mut size))?;
        }
        let mut names = BTreeSet::new();
        for attachment in &self.attachments {
            plain("attachment", &attachment.name)?;
            if !names.insert(&attachment.name) {
                return Err(form("attachment", &attachment.name, "is there twice"));
            }
        }
        Ok(())
    }

    fn anchors(&self) -> Result<BTreeSet<&str>, PaperError> {
        let mut anchors = BTreeSet::new();
        let mut level = 0;
        for chapter in &self.chapters {
            plain("chapter", &chapter.id)?;
            if !(1..=LEVEL_MAX).contains(&chapter.level) || chapter.level > level + 1 {
                return Err(form("chapter", &chapter.id, "skips a level"));
            }
            level = chapter.level;
            if !anchors.insert(chapter.id.as_str()) {
                return Err(form("chapter", &chapter.id, "is there twice"));
            }
        }
        Ok(anchors)
    }
}

/// What was counted so far.
#[derive(Default)]
struct Size {
    cells: usize,
    blocks: usize,
}

fn block(block: &Block, anchors: &BTreeSet<&str>, size: &mut Size) -> Result<(), PaperError> {
    size.blocks += 1;
    at_most("blocks", size.blocks, BLOCKS_MAX)?;
    let mut inline = |content: &Inline| {
        size.cells += 1;
        at_most("cells and paragraphs", size.cells, CELLS_MAX)?;
        at_most("pieces in a row", content.len(), PIECES_MAX)?;
        content.iter().try_for_each(|p| link(p, anchors))
    };
    match block {
        Block::Para { content } | Block::Note { content, .. } => inline(content),
        Block::List { items } => items.iter().try_for_each(inline),
        Block::Terms { items } => items.iter().try_for_each(|t| inline(&t.content)),
        Block::Gap { what, next } => inline(what).and_then(|()| inline(next)),
        Block::Plot { .. } | Block::Authored { .. } => Ok(()),
        Block::Table(table) => {
            let columns = table.head.len();
            at_most("columns", columns, COLUMNS_MAX)?;
            let fits = columns > 0
                && table.widths.len() == columns
                && table.widths.iter().all(|w| *w > 0)
                && table.rows.iter().all(|r| r.len() == columns);
            if !fits {
                return Err(form("table", &text(&table.caption), "has rows of another width"));
            }
            table.head.iter().chain(table.rows.iter().flatten()).try_for_each(inline)
        }
    }
}

fn link(piece: &Piece, anchors: &BTreeSet<&str>) -> Result<(), PaperError> {
    match piece {
        Piece::Link { to, .. } if !anchors.contains(to.as_str()) => {
            Err(form("link", to, "leads nowhere"))
        }
        _ => Ok(()),
    }
}

fn text(inline: &Inline) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text { text } => Some(text.clone()),
        _ => None,
    };
    inline.iter().filter_map(text).collect()
}

fn plain(what: &'static str, name: &str) -> Result<(), PaperError> {
    let ours = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(ours);
    if good { Ok(()) } else { Err(form(what, name, "is no plain name")) }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), PaperError> {
    if count > limit { Err(PaperError::Many { what, limit }) } else { Ok(()) }
}

fn form(what: &'static str, name: &str, why: &'static str) -> PaperError {
    PaperError::Form { what, name: cut(name), why }
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Bytes of a paper on the wire: thousands of figures with their attachments.
pub const PAPER_BYTES_MAX: usize = 64 << 20;
/// A paper of more chapters is several papers.
const CHAPTERS_MAX: usize = 400;
/// Layout takes about a millisecond a block.
const BLOCKS_MAX: usize = 10_000;
/// Layout takes about a tenth of a millisecond a cell.
const CELLS_MAX: usize = 60_000;
/// More pieces in one cell are no cell.
const PIECES_MAX: usize = 2_000;
/// More columns do not fit on a page.
const COLUMNS_MAX: usize = 12;
/// One file per statement.
const ATTACHMENTS_MAX: usize = 2_000;
/// As many as attachments.
const SOURCES_MAX: usize = 2_000;
/// As long as a file name in a pack.
const NAME_BYTES_MAX: usize = 120;
/// Headings of two levels.
const LEVEL_MAX: u8 = 2;
/// Enough of a name to recognise it.
const SHOWN_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn paper() -> Paper {
        let head = Head {
            system: "credit".into(),
            version: "1".into(),
            provider: "P".into(),
            purpose: "lends".into(),
            run: "run-1".into(),
            time: "2026-11-22T15:00:00Z".into(),
            plan: "p".into(),
            log: "l".into(),
            signer: "s".into(),
            tool: "t".into(),
            demo: true,
        };
        Paper {
            format: FORMAT.into(),
            id: "annex-iv".into(),
            title: "T".into(),
            language: "en".into(),
            head,
            legal_base: vec![],
            front: vec![],
            chapters: vec![chapter("a", 1), chapter("b", 2)],
            sources: vec![],
            attachments: vec![],
        }
    }

    fn chapter(id: &str, level: u8) -> Chapter {
        Chapter {
            id: id.into(),
            level,
            mark: String::new(),
            title: "C".into(),
            provision: String::new(),
            state: None,
            cites: vec![],
            stale: vec![],
            blocks: vec![],
        }
    }

    fn table(columns: usize, widths: usize, row: usize) -> Block {
        Block::Table(Table {
            caption: vec![],
            head: vec![vec![]; columns],
            widths: vec![1; widths],
            rows: vec![vec![vec![]; row]],
        })
    }

    #[test]
    fn a_paper_reads_back() {
        let mut paper = paper();
        paper.front.push(Block::Note { bad: true, content: vec![Piece::Break] });
        paper.front.push(table(2, 2, 2));
        let text = serde_json::to_string(&paper).unwrap();
        let read: Paper = serde_json::from_str(&text).unwrap();
        assert_eq!(read, paper);
        read.check().unwrap();
        let surplus = text.replacen('{', "{\"more\":1,", 1);
        assert!(serde_json::from_str::<Paper>(&surplus).is_err());
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        type Spoil = fn(&mut Paper);
        let cases: [(&str, Spoil, &str); 9] = [
            ("format", |p| p.format = "x".into(), "not a"),
            ("id", |p| p.id = "../x".into(), "no plain name"),
            ("level", |p| p.chapters[0].level = 2, "skips"),
            ("deep", |p| p.chapters[1].level = 3, "skips"),
            ("twice", |p| p.chapters[1].id = "a".into(), "twice"),
            ("row", |p| p.front.push(table(2, 2, 3)), "width"),
            ("widths", |p| p.front.push(table(2, 1, 2)), "width"),
            ("columns", |p| p.front.push(table(13, 13, 13)), "columns"),
            (
                "link",
                |p| {
                    let link = Piece::Link { to: "z".into(), words: vec![] };
                    p.front.push(Block::Para { content: vec![link] });
                },
                "nowhere",
            ),
        ];
        for (name, spoil, wanted) in cases {
            let mut paper = paper();
            spoil(&mut paper);
            let error = paper.check().unwrap_err().to_string();
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }
}
