//! Words and brackets of an S-expression, with their places.
//!
//! Owns the split of bytes into tokens. Must never hold more than one token.

use super::{Place, VnnlibError};

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// Anything else.
    Word(&'a str),
}

pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1, line_start: 0 }
    }

    pub(super) fn place(&self) -> Place {
        Place { line: self.line, column: self.at - self.line_start + 1 }
    }

    /// Where the next byte is read, for [`Lexer::back`].
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to an earlier place.
    pub(super) fn back(&mut self, at: usize, place: Place) {
        self.at = at;
        self.line = place.line;
        self.line_start = at + 1 - place.column;
    }

    /// The next token and where it begins; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Token<'a>, Place)>, VnnlibError> {
        self.skip();
        let place = self.place();
        let Some(&first) = self.bytes.get(self.at) else { return Ok(None) };
        let start = self.at;
        self.at += 1;
        let token = match first {
            b'(' => Token::Open,
            b')' => Token::Close,
            b'"' | b'|' => return place.error("quoted names and text are not read"),
            _ => {
                while self.bytes.get(self.at).is_some_and(|b| is_word(*b)) {
                    self.at += 1;
                }
                let word = self.bytes.get(start..self.at).unwrap_or_default();
                match std::str::from_utf8(word) {
                    Ok(word) if word.bytes().all(|b| b.is_ascii_graphic()) => Token::Word(word),
                    _ => return place.error("a character that VNN-LIB does not use"),
                }
            }
        };
        Ok(Some((token, place)))
    }

    /// Blanks and comments.
    fn skip(&mut self) {
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'\n' => {
                    self.line += 1;
                    self.line_start = self.at + 1;
                }
                b' ' | b'\t' | b'\r' => {}
                b';' => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    let len = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                    self.at += len;
                    continue;
                }
                _ => return,
            }
            self.at += 1;
        }
    }
}

fn is_word(b: u8) -> bool {
    !matches!(b, b'(' | b')' | b';' | b'"' | b'|' | b' ' | b'\t' | b'\r' | b'\n')
}
