//! From a draft to the wire form that both layouts are made from.
//!
//! Owns the overview, the list of gaps, what each chapter cites and whether that still lies there.
//! Must never change a figure. Called by `papers`.

use std::collections::BTreeSet;

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::paper::{self as wire, Block, Inline};
use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Draft, Part};
use super::{Kind, Sources};
use crate::document::{Cell, Figure, Piece, Table};
use crate::facts::{Fact, FactBook};

/// The paper on the wire, without attachments.
pub(super) fn paper(
    kind: &Kind,
    draft: &Draft,
    sources: &Sources<'_>,
    book: &FactBook,
) -> wire::Paper {
    let context = Context { book, present: sources.present.assets };
    let mut chapters: Vec<wire::Chapter> =
        draft.chapters.iter().map(|c| context.chapter(c)).collect();
    let gaps = gaps(&chapters);
    let lead = [overview(&chapters), gaps];
    chapters.splice(0..0, lead.into_iter().flatten());
    let mut front: Vec<Block> = draft.front.iter().flat_map(|p| context.part(p)).collect();
    front.extend(stale_note(&chapters));
    wire::Paper {
        format: wire::FORMAT.to_owned(),
        id: kind.id.to_owned(),
        title: kind.title.to_owned(),
        language: "en".to_owned(),
        head: super::head(sources),
        legal_base: super::legal_base(),
        sources: cited(&chapters, sources),
        front,
        chapters,
        attachments: Vec::new(),
    }
}

/// Files with the digests a chapter cites that differ from what lies there now.
fn stale(cites: &[AssetDigest], present: &[AssetDigest]) -> Vec<wire::Change> {
    let change = |cited: &AssetDigest| {
        let now = present.iter().find(|a| a.name == cited.name).map(|a| a.sha256.clone());
        let same = now.as_deref() == Some(cited.sha256.as_str());
        (!same).then(|| wire::Change { name: cited.name.clone(), cited: cited.sha256.clone(), now })
    };
    cites.iter().filter_map(change).collect()
}

struct Context<'a> {
    book: &'a FactBook,
    present: &'a [AssetDigest],
}

impl Context<'_> {
    fn chapter(&self, chapter: &Chapter) -> wire::Chapter {
        let mut blocks = Vec::new();
        // What is missing stands in boxes of its own.
        let there = chapter.items.iter().filter(|(_, state)| *state != Coverage::Missing);
        if chapter.items.len() > 1 && there.clone().next().is_some() {
            let item = |(what, state): &(Cell, Coverage)| {
                let mut item = vec![wire::Piece::Coverage { state: *state }, text(" ")];
                item.extend(self.cell(what));
                item
            };
            blocks.push(Block::List { items: there.map(item).collect() });
        }
        blocks.extend(chapter.parts.iter().flat_map(|p| self.part(p)));
        let mut cites: BTreeSet<AssetDigest> = chapter.cites.iter().cloned().collect();
        for fact in blocks.iter().flat_map(facts) {
            cites.extend(self.book.files(&fact.statement).iter().cloned());
        }
        let cites: Vec<AssetDigest> = cites.into_iter().collect();
        wire::Chapter {
            id: chapter.id.clone(),
            level: chapter.level,
            mark: chapter.mark.clone(),
            title: chapter.title.clone(),
            provision: chapter.provision.clone(),
            state: chapter.state(),
            stale: stale(&cites, self.present),
            cites,
            blocks,
        }
    }

    fn part(&self, part: &Part) -> Vec<Block> {
        match part {
            Part::Para(content) => vec![Block::Para { content: self.cell(content) }],
            Part::List(items) => {
                vec![Block::List { items: items.iter().map(|i| self.cell(i)).collect() }]
            }
            Part::Terms(items) => {
                let term = |(term, content): &(&'static str, Cell)| wire::Term {
                    term: (*term).to_owned(),
                    content: self.cell(content),
                };
                vec![Block::Terms { items: items.iter().map(term).collect() }]
            }
            Part::Table(table) => self.tables(table),
            Part::Plot { plot, alt, caption } => {
                let (svg, caption) = (plot.svg.clone(), (*caption).to_owned());
                let mut blocks = vec![Block::Plot { svg, alt: alt.clone(), caption }];
                blocks.extend(self.tables(&plot.table));
                blocks
            }
            Part::Note { bad, content } => {
                vec![Block::Note { bad: *bad, content: self.cell(content) }]
            }
            Part::Authored { text, owner } => {
                vec![Block::Authored { text: text.clone(), owner: owner.clone() }]
            }
            Part::Gap { what, next } => {
                vec![Block::Gap { what: self.cell(what), next: self.cell(next) }]
            }
        }
    }

    /// A table as wide as a page takes; a wider one becomes several with the same first column.
    fn tables(&self, table: &Table) -> Vec<Block> {
        let columns = table.head.len();
        let mut blocks = Vec::new();
        let mut from = 1;
        while from < columns || (columns == 1 && blocks.is_empty()) {
            let to = columns.min(from + COLUMNS_BESIDE_HEAD);
            let pick = |row: &Vec<Cell>| -> Vec<Inline> {
                let first = row.first().into_iter();
                let rest = row.get(from..to).unwrap_or_default().iter();
                first.chain(rest).map(|c| self.cell(c)).collect()
            };
            let head = pick(&table.head);
            let rows: Vec<Vec<Inline>> = table.rows.iter().map(pick).collect();
            let widths = widths(&head, &rows);
            let caption = self.cell(&table.caption);
            blocks.push(Block::Table(wire::Table { caption, head, widths, rows }));
            from = to.max(from + 1);
        }
        blocks
    }

    fn cell(&self, cell: &Cell) -> Inline {
        cell.iter().map(|p| self.piece(p)).collect()
    }

    fn piece(&self, piece: &Piece) -> wire::Piece {
        match piece {
            Piece::Text(text) => wire::Piece::Text { text: text.clone() },
            Piece::Declared(text) => wire::Piece::Declared { text: text.clone() },
            Piece::Code(text) => wire::Piece::Code { text: text.clone() },
            Piece::Time(text) => wire::Piece::Time { text: text.clone() },
            Piece::Law(text) => wire::Piece::Law { text: text.clone() },
            Piece::Fact(fact) => wire::Piece::Fact(self.fact(fact)),
            Piece::Figure(figure) => wire::Piece::Figure(Box::new(self.figure(figure))),
            Piece::State(state) => wire::Piece::Verdict { state: state.to_string() },
            Piece::Coverage(state) => wire::Piece::Coverage { state: *state },
            Piece::Link { to, words } => {
                wire::Piece::Link { to: to.clone(), words: vec![text(words)] }
            }
            Piece::Break => wire::Piece::Break,
        }
    }

    fn fact(&self, fact: &Fact) -> wire::Fact {
        wire::Fact {
            id: fact.id().to_owned(),
            text: fact.text().to_owned(),
            statement: self.book.statement_of(fact).map(|d| d.hex()).unwrap_or_default(),
        }
    }

    fn figure(&self, figure: &Figure) -> wire::Figure {
        let pair =
            |pair: &Option<(Fact, Fact)>| pair.as_ref().map(|(a, b)| (self.fact(a), self.fact(b)));
        wire::Figure {
            value: self.fact(&figure.value),
            interval: pair(&figure.interval),
            count: pair(&figure.count),
            proved: figure.proved.as_ref().map(|f| self.fact(f)),
            rows: figure.rows.as_ref().map(|f| self.fact(f)),
        }
    }
}

/// Every point with its state, and whether its figures are about what lies there.
fn overview(chapters: &[wire::Chapter]) -> Option<wire::Chapter> {
    let points = || chapters.iter().filter(|c| c.state.is_some() || !c.cites.is_empty());
    let head: Vec<Inline> = ["point", "state", "figures"].iter().map(|h| vec![text(h)]).collect();
    let row = |c: &wire::Chapter| {
        let title = match c.mark.is_empty() {
            true => vec![text(&c.title)],
            false => vec![law(&c.mark), text(" "), text(&c.title)],
        };
        let currency = match (c.cites.is_empty(), c.stale.is_empty()) {
            (true, _) => "cites no file",
            (false, true) => "current",
            (false, false) => "STALE",
        };
        let state = match c.state {
            Some(state) => vec![wire::Piece::Coverage { state }],
            None => vec![text("answers no point")],
        };
        vec![
            vec![wire::Piece::Link { to: c.id.clone(), words: title }],
            state,
            vec![text(currency)],
        ]
    };
    let rows: Vec<Vec<Inline>> = points().map(row).collect();
    if rows.is_empty() {
        return None;
    }
    let caption =
        vec![text("What this paper must hold: covered by what, and about the files of now or not")];
    let table = wire::Table { caption, head, widths: vec![6, 2, 2], rows };
    Some(own("overview", "Overview", vec![Block::Table(table)]))
}

/// Every gap with the next command.
fn gaps(chapters: &[wire::Chapter]) -> Option<wire::Chapter> {
    let mut rows = Vec::new();
    for chapter in chapters {
        for block in &chapter.blocks {
            if let Block::Gap { what, next } = block {
                let mark = if chapter.mark.is_empty() {
                    vec![text(&chapter.title)]
                } else {
                    vec![law(&chapter.mark)]
                };
                let link = wire::Piece::Link { to: chapter.id.clone(), words: mark };
                rows.push(vec![vec![link], what.clone(), next.clone()]);
            }
        }
    }
    let blocks = if rows.is_empty() {
        vec![Block::Para { content: vec![text("Nothing is missing.")] }]
    } else {
        let head = ["where", "what is missing", "next"].iter().map(|h| vec![text(h)]).collect();
        let caption = vec![text("Everything that is missing, and what to do next")];
        vec![Block::Table(wire::Table { caption, head, widths: vec![2, 5, 5], rows })]
    };
    Some(own("gaps", "Gaps", blocks))
}

fn stale_note(chapters: &[wire::Chapter]) -> Option<Block> {
    let any = chapters.iter().any(|c| !c.stale.is_empty());
    let content = vec![text(
        "Stale: files that were measured are no longer what lies there. The chapters that cite \
         them are marked; measure again before this paper is used.",
    )];
    any.then_some(Block::Note { bad: true, content })
}

fn own(id: &str, title: &str, blocks: Vec<Block>) -> wire::Chapter {
    wire::Chapter {
        id: id.to_owned(),
        level: 1,
        mark: String::new(),
        title: title.to_owned(),
        provision: String::new(),
        state: None,
        cites: Vec::new(),
        stale: Vec::new(),
        blocks,
    }
}

/// Statements that figures of the paper were taken from, in the order of the pack.
fn cited(chapters: &[wire::Chapter], sources: &Sources<'_>) -> Vec<wire::Source> {
    let used: BTreeSet<&str> = chapters
        .iter()
        .flat_map(|c| &c.blocks)
        .flat_map(facts)
        .map(|f| f.statement.as_str())
        .collect();
    sources.statements.iter().filter(|s| used.contains(s.statement.as_str())).cloned().collect()
}

/// Every fact of a block.
pub(super) fn facts(block: &Block) -> Vec<&wire::Fact> {
    let mut cells: Vec<&Inline> = Vec::new();
    match block {
        Block::Para { content } | Block::Note { content, .. } => cells.push(content),
        Block::List { items } => cells.extend(items),
        Block::Terms { items } => cells.extend(items.iter().map(|t| &t.content)),
        Block::Gap { what, next } => cells.extend([what, next]),
        Block::Table(table) => {
            cells.push(&table.caption);
            cells.extend(table.head.iter().chain(table.rows.iter().flatten()));
        }
        Block::Plot { .. } | Block::Authored { .. } => {}
    }
    cells.into_iter().flatten().flat_map(facts_of).collect()
}

fn facts_of(piece: &wire::Piece) -> Vec<&wire::Fact> {
    match piece {
        wire::Piece::Fact(fact) => vec![fact],
        wire::Piece::Figure(figure) => {
            let pairs = [&figure.interval, &figure.count].into_iter().flatten();
            let ends = pairs.flat_map(|(a, b)| [a, b]);
            let more = [&figure.proved, &figure.rows].into_iter().flatten();
            std::iter::once(&figure.value).chain(ends).chain(more).collect()
        }
        wire::Piece::Link { words, .. } => words.iter().flat_map(facts_of).collect(),
        _ => Vec::new(),
    }
}

/// Relative widths: between the longest word of a column and what its cells hold on average.
fn widths(head: &[Inline], rows: &[Vec<Inline>]) -> Vec<u8> {
    let width = |column: usize| {
        let cells = || rows.iter().filter_map(|r| r.get(column)).chain(head.get(column));
        let lengths: Vec<(usize, usize)> = cells().map(measure).collect();
        let longest = lengths.iter().map(|(_, word)| *word).max().unwrap_or(0).min(WORD_MAX);
        let total: usize = lengths.iter().map(|(all, _)| *all).sum();
        let mean = total / lengths.len().max(1);
        let most = lengths.iter().map(|(all, _)| *all).max().unwrap_or(0).min(CELL_MAX);
        let wanted = (longest + 1).max((mean + most) / 3).clamp(WIDTH_MIN, WIDTH_MAX);
        u8::try_from(wanted).unwrap_or(u8::MAX)
    };
    (0..head.len()).map(width).collect()
}

/// Characters of a cell, and of its longest word.
fn measure(cell: &Inline) -> (usize, usize) {
    let text = cell.iter().map(plain).collect::<String>();
    let word = text.split_whitespace().map(|w| w.chars().count()).max().unwrap_or(0);
    (text.chars().count(), word)
}

/// The characters of a piece as far as they take room.
fn plain(piece: &wire::Piece) -> String {
    match piece {
        wire::Piece::Text { text }
        | wire::Piece::Declared { text }
        | wire::Piece::Time { text }
        | wire::Piece::Law { text } => text.clone(),
        // Code is set in a wider font.
        wire::Piece::Code { text } => format!("{text}{}", "x".repeat(text.chars().count() / 4)),
        wire::Piece::Fact(fact) => fact.text.clone(),
        wire::Piece::Figure(figure) => match &figure.interval {
            Some((a, b)) => format!("{} [{},_{}]", figure.value.text, a.text, b.text),
            None => figure.value.text.clone(),
        },
        wire::Piece::Verdict { .. } | wire::Piece::Coverage { .. } => "inconclusive".to_owned(),
        wire::Piece::Link { words, .. } => words.iter().map(plain).collect(),
        wire::Piece::Break => " ".to_owned(),
    }
}

fn text(words: &str) -> wire::Piece {
    wire::Piece::Text { text: words.to_owned() }
}

fn law(words: &str) -> wire::Piece {
    wire::Piece::Law { text: words.to_owned() }
}

/// With more, a page is too narrow.
const COLUMNS_BESIDE_HEAD: usize = 6;
/// A page holds about a hundred characters: the narrowest column must hold its words.
const WIDTH_MIN: usize = 9;
const WIDTH_MAX: usize = 32;
/// Longer words are broken.
const WORD_MAX: usize = 20;
/// Longer cells wrap.
const CELL_MAX: usize = 120;
