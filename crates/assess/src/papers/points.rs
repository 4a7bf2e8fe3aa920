//! Points of the law that a person answers in words: text, waiver, or a gap.
//!
//! Owns the rule that text makes a point "declared" at most, with the person who answers for it.
//! Must never make words up. Called by every paper.

use proofmark_schema::system::System;
use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Part, code, words};
use crate::document::{Cell, Piece};

/// A point of a paper.
pub(super) struct Point {
    /// Id, also in the declaration: `[papers."AIA-IV-1b"]`.
    pub id: &'static str,
    /// Mark, e.g. `1(b)`.
    pub mark: &'static str,
    /// Provision.
    pub provision: &'static str,
    /// Title, without digits.
    pub title: &'static str,
    /// What the text must say, in our words, without digits.
    pub asks: &'static str,
}

impl Point {
    /// Its chapter, without anything in it.
    pub fn empty(&self) -> Chapter {
        Chapter::point(&super::draft::anchor(&[self.id]), self.mark, self.title, self.provision)
    }

    /// Adds what a person wrote, or the gap.
    pub fn answer(&self, system: &System, chapter: &mut Chapter) {
        let Some(said) = system.authored(self.id) else {
            let mut what = vec![words("text by a person: ")];
            what.push(words(self.asks));
            chapter.lacks(what, self.next());
            return;
        };
        let person = system.person(&said.owner);
        let owner = match person {
            Some(person) => format!("{}, {}", person.name, person.role),
            None => said.owner.clone(),
        };
        match &said.not_applicable {
            Some(reason) => {
                chapter.holds("does not apply, with a reason", Coverage::Waived);
                chapter.push(Part::Para(vec![words("Does not apply, because:")]));
                chapter.push(Part::Authored { text: reason.trim().to_owned(), owner });
            }
            None => {
                chapter.holds("text by a person", Coverage::Declared);
                chapter.push(Part::Authored { text: said.text.trim().to_owned(), owner });
            }
        }
    }

    fn next(&self) -> Cell {
        vec![
            words("declare "),
            code(format!("[papers.\"{}\"]", self.id)),
            words(" with "),
            code("text"),
            words(" or "),
            code("not_applicable"),
            words(", and "),
            code("owner"),
        ]
    }
}

/// A command between back-ticks, or words.
pub(super) fn next(text: &str) -> Cell {
    let piece = |(place, part): (usize, &str)| match place % 2 {
        0 => words(part),
        _ => Piece::Code(part.to_owned()),
    };
    text.split('`').enumerate().filter(|(_, p)| !p.is_empty()).map(piece).collect()
}

/// A command.
pub(super) fn command(text: &str) -> Cell {
    vec![code(text)]
}
