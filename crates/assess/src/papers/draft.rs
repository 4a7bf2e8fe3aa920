//! A paper while it is written: chapters of parts whose figures are facts.
//!
//! Owns the state of a chapter, which is that of its weakest item, so that nothing turns green
//! from text beside it. Must never hold a figure that is no [`Piece::Fact`]. Called by every paper.

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::taxonomy::Coverage;

use crate::document::{Cell, Piece, Plot, Table};

/// A paper before it is laid out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// Remarks before the first chapter.
    pub front: Vec<Part>,
    /// Chapters.
    pub chapters: Vec<Chapter>,
}

/// A chapter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chapter {
    /// Anchor.
    pub id: String,
    /// 1 or 2.
    pub level: u8,
    /// Mark before the title.
    pub mark: String,
    /// Title, without digits.
    pub title: String,
    /// Provision.
    pub provision: String,
    /// What the chapter must hold, and how each is covered.
    pub items: Vec<(Cell, Coverage)>,
    /// Files it rests on beside those of its facts.
    pub cites: Vec<AssetDigest>,
    /// Content.
    pub parts: Vec<Part>,
}

/// Content.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A paragraph.
    Para(Cell),
    /// A list.
    List(Vec<Cell>),
    /// Terms and what they are.
    Terms(Vec<(&'static str, Cell)>),
    /// A table.
    Table(Table),
    /// A plot with its table.
    Plot { plot: Plot, alt: String, caption: &'static str },
    /// A remark.
    Note { bad: bool, content: Cell },
    /// Words of a person.
    Authored { text: String, owner: String },
    /// Something missing.
    Gap { what: Cell, next: Cell },
}

impl Chapter {
    /// A chapter that answers no point.
    pub fn plain(id: &str, level: u8, title: &str) -> Self {
        Self { id: id.to_owned(), level, title: title.to_owned(), ..Self::default() }
    }

    /// A chapter that answers a point.
    pub fn point(id: &str, mark: &str, title: &str, provision: &str) -> Self {
        Self { mark: mark.to_owned(), provision: provision.to_owned(), ..Self::plain(id, 2, title) }
    }

    /// State of its weakest item.
    pub fn state(&self) -> Option<Coverage> {
        self.items.iter().map(|(_, state)| *state).max_by_key(|state| weakness(*state))
    }

    /// Something it must hold is there, in this state.
    pub fn holds(&mut self, what: &str, state: Coverage) {
        self.items.push((cell(what), state));
    }

    /// Something it must hold is missing.
    pub fn lacks(&mut self, what: Cell, next: Cell) {
        self.items.push((what.clone(), Coverage::Missing));
        self.parts.push(Part::Gap { what, next });
    }

    /// Adds content.
    pub fn push(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// A paragraph of our words.
    pub fn say(&mut self, text: &str) {
        self.parts.push(Part::Para(vec![words(text)]));
    }
}

fn weakness(state: Coverage) -> u8 {
    match state {
        Coverage::Measured => 0,
        Coverage::Imported => 1,
        Coverage::Waived => 2,
        Coverage::Declared => 3,
        Coverage::Missing => 4,
    }
}

/// Our words.
pub(crate) fn words(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

/// An identifier, a digest or a command.
pub(crate) fn code(text: impl Into<String>) -> Piece {
    Piece::Code(text.into())
}

/// Words of the declaration or of a person.
pub(crate) fn declared(text: impl Into<String>) -> Piece {
    Piece::Declared(text.into())
}

/// A cell of our words.
pub(crate) fn cell(text: &str) -> Cell {
    vec![words(text)]
}

/// Heads of columns.
pub(crate) fn heads(texts: &[&str]) -> Vec<Cell> {
    texts.iter().map(|t| cell(t)).collect()
}

/// A table, or nothing when it has no rows.
pub(crate) fn table(caption: &str, head: &[&str], rows: Vec<Vec<Cell>>) -> Option<Part> {
    let table = Table { caption: cell(caption), head: heads(head), rows };
    (!table.rows.is_empty()).then_some(Part::Table(table))
}

/// Enough of a digest to tell it from others by eye.
pub(crate) fn short(digest: &str) -> Piece {
    Piece::Code(digest.chars().take(SHORT_DIGITS).collect())
}

/// An anchor made of names.
pub(crate) fn anchor(parts: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    parts.join("-").chars().map(plain).take(ANCHOR_CHARS).collect()
}

const SHORT_DIGITS: usize = 12;
/// As long as the wire allows, with room to spare.
const ANCHOR_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_is_as_well_covered_as_its_weakest_item() {
        let mut chapter = Chapter::plain("a", 1, "A");
        assert_eq!(chapter.state(), None);
        for (state, wanted) in [
            (Coverage::Measured, Coverage::Measured),
            (Coverage::Imported, Coverage::Imported),
            (Coverage::Waived, Coverage::Waived),
            (Coverage::Measured, Coverage::Waived),
            (Coverage::Declared, Coverage::Declared),
        ] {
            chapter.holds("x", state);
            assert_eq!(chapter.state(), Some(wanted));
        }
        chapter.lacks(cell("y"), cell("z"));
        assert_eq!(chapter.state(), Some(Coverage::Missing));
        assert!(matches!(chapter.parts.last(), Some(Part::Gap { .. })));
    }
}
