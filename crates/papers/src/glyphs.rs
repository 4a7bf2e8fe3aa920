//! Characters that the fonts of the PDF can show.
//!
//! Owns the rule that a character without a glyph, or one that would reorder or hide text, is
//! shown as its code point: a PDF/A must not hold a hole, and a reader must not be misled. Must
//! never drop a character silently. Called by `setting`.

use serde_json::Value;
use typst::text::FontBook;

/// Replaces what cannot be shown in every text of a paper; returns how many characters.
pub fn show_all(value: &mut Value, book: &FontBook) -> usize {
    match value {
        Value::String(text) => {
            let (shown, replaced) = show(text, book);
            *text = breakable(&shown);
            replaced
        }
        Value::Array(items) => items.iter_mut().map(|item| show_all(item, book)).sum(),
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(key, _)| !KEPT.contains(&key.as_str()))
            .map(|(key, field)| match field {
                Value::String(markup) if key == MARKUP => {
                    let (shown, replaced) = show(markup, book);
                    *markup = shown;
                    replaced
                }
                _ => show_all(field, book),
            })
            .sum(),
        _ => 0,
    }
}

fn show(text: &str, book: &FontBook) -> (String, usize) {
    let mut shown = String::with_capacity(text.len());
    let mut replaced = 0;
    for c in text.chars() {
        if is_plain(c) || (is_calm(c) && has_glyph(c, book)) {
            shown.push(c);
        } else {
            replaced += 1;
            shown.push_str(&format!("[U+{:04X}]", c as u32));
        }
    }
    (shown, replaced)
}

/// Marks where a word that is wider than a column may break.
fn breakable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive([' ', '\n']) {
        let plain = word.trim_end().chars().all(char::is_alphabetic);
        let long = word.chars().count() > if plain { WORD_CHARS } else { CODE_CHARS };
        for (place, c) in word.chars().enumerate() {
            if long && place > 0 && place % BREAK_EVERY == 0 {
                out.push(ZERO_WIDTH_SPACE);
            }
            out.push(c);
        }
    }
    out
}

fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~' | '\n')
}

/// Scripts written from left to right without shaping, their marks, and symbols.
fn is_calm(c: char) -> bool {
    CALM.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// In the font of the words and in that of the code: a text may stand in either.
fn has_glyph(c: char, book: &FontBook) -> bool {
    FAMILIES.iter().all(|family| {
        book.select_family(family)
            .filter_map(|index| book.info(index))
            .any(|info| info.coverage.contains(c as u32))
    })
}

/// Latin, Greek, Cyrillic, punctuation without invisible characters, currency, arrows, operators.
const CALM: [(char, char); 9] = [
    ('\u{a1}', '\u{ac}'),
    ('\u{ae}', '\u{24f}'),
    ('\u{370}', '\u{3ff}'),
    ('\u{400}', '\u{481}'),
    ('\u{48a}', '\u{52f}'),
    ('\u{2010}', '\u{2027}'),
    ('\u{2030}', '\u{205e}'),
    ('\u{20a0}', '\u{20bf}'),
    ('\u{2190}', '\u{22ff}'),
];
/// Fonts of words and of code.
pub const FAMILIES: [&str; 2] = ["libertinus serif", "dejavu sans mono"];
/// Fields that are compared or name something, and are not shown as they are.
const KEPT: [&str; 9] =
    ["base64", "media_type", "to", "id", "is", "block", "name", "state", "language"];
/// Markup with plain text in it.
const MARKUP: &str = "svg";
/// Longer words are hostile; shorter ones are hyphenated.
const WORD_CHARS: usize = 24;
/// Identifiers, digests and times are broken where they are longer than the narrowest column.
const CODE_CHARS: usize = 12;
/// A column of any table holds so many characters.
const BREAK_EVERY: usize = 8;
/// The template turns it into a break opportunity; it is no character of the PDF.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_shown_stands_as_its_code_point() {
        let fonts = crate::world::fonts();
        for (text, wanted, count) in [
            ("Größe ≥ 5 % – „gut“", "Größe ≥ 5 % – „gut“", 0),
            ("приём Δ", "приём Δ", 0),
            ("中", "[U+4E2D]", 1),
            ("a\u{202e}b\u{200b}", "a[U+202E]b[U+200B]", 2),
            ("\u{1f600}\u{e000}\u{0}", "[U+1F600][U+E000][U+0000]", 3),
            ("שלום", "[U+05E9][U+05DC][U+05D5][U+05DD]", 4),
            ("two\nlines\t", "two\nlines[U+0009]", 1),
        ] {
            assert_eq!(show(text, fonts.book()), (wanted.to_owned(), count), "{text:?}");
        }
    }

    #[test]
    fn every_text_of_the_paper_is_looked_at() {
        let fonts = crate::world::fonts();
        let mut value = json!({"a": ["中", {"b": "中"}], "base64": "中", "n": 1});
        assert_eq!(show_all(&mut value, fonts.book()), 2);
        assert_eq!(value["a"][1]["b"], "[U+4E2D]");
        assert_eq!(value["base64"], "中");
    }
}
