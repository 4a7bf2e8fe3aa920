//! Patterns of text operators in the dialect of RE2, which ONNX Runtime uses.
//!
//! Owns the differences: letters, digits and spaces are those of ASCII, and of the matches that
//! begin first the longest counts. Must never run a pattern unbounded: matching takes time
//! linear in the text, and the size of a compiled pattern has a limit. Called by `text`.

use std::ops::Range;

use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::hir::{Hir, HirKind};

use crate::reference::op::{OpError, wrong};

/// Bytes of a compiled pattern: a hundred times what tokenisers need.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Bytes of a pattern as written, so that its parsing is bounded as well.
const TEXT_BYTES_MAX: usize = 1 << 14;

/// A compiled pattern.
pub struct Pattern {
    first: meta::Regex,
    /// Finds the longest match at a place; `None` where the first one is always the longest.
    longest: Option<PikeVM>,
    whole: meta::Regex,
}

impl Pattern {
    /// Compiles the text of an attribute.
    ///
    /// # Errors
    /// Text that is no pattern, or a pattern beyond the limits.
    pub fn new(attribute: &str, text: &str) -> Result<Self, OpError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(wrong(attribute, format!("is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let ascii = ascii_classes(text);
        let bad = |e: String| wrong(attribute, format!("is not a pattern that is read: {e}"));
        let meta = |text: &str| {
            let config = meta::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX));
            let built = meta::Builder::new().configure(config).build(text);
            built.map_err(|e| bad(cause(&e)))
        };
        let hir = regex_syntax::parse(&ascii).map_err(|e| bad(cause(&e)))?;
        let longest = match first_is_longest(&hir) {
            true => None,
            false => {
                let limit = thompson::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX));
                let built = PikeVM::builder()
                    .configure(PikeVM::config().match_kind(MatchKind::All))
                    .thompson(limit)
                    .syntax(syntax::Config::new())
                    .build(&ascii);
                Some(built.map_err(|e| bad(cause(&e)))?)
            }
        };
        let whole = meta(&format!(r"\A(?:{ascii})\z"))?;
        Ok(Self { first: meta(&ascii)?, longest, whole })
    }

    /// Matches from left to right; after an empty one the search goes on a letter further.
    pub fn matches<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let mut from = 0;
        let mut cache = self.longest.as_ref().map(|p| p.create_cache());
        std::iter::from_fn(move || {
            if from > text.len() {
                return None;
            }
            let mut found = self.first.find(Input::new(text).span(from..text.len()))?.range();
            if let (Some(longest), Some(cache)) = (&self.longest, &mut cache) {
                let at = Input::new(text).span(found.start..text.len()).anchored(Anchored::Yes);
                if let Some(m) = longest.find(cache, at) {
                    found = m.range();
                }
            }
            let next = text[found.end..].chars().next().map_or(1, char::len_utf8);
            from = if found.is_empty() { found.end + next } else { found.end };
            Some(found)
        })
    }

    /// Whether the whole text matches.
    pub fn is_whole(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

/// The innermost cause, in one line.
fn cause(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(inner) = at.source() {
        at = inner;
    }
    at.to_string().lines().last().unwrap_or_default().trim().to_string()
}

/// One letter after the other with at most one greedy repetition of single letters: there the
/// first match in order of preference is the longest.
fn first_is_longest(hir: &Hir) -> bool {
    let single = |h: &Hir| {
        let kind = h.kind();
        matches!(kind, HirKind::Class(_) | HirKind::Look(_) | HirKind::Empty | HirKind::Literal(_))
    };
    let repeated = |h: &Hir| match h.kind() {
        HirKind::Repetition(r) => r.greedy && matches!(r.sub.kind(), HirKind::Class(_)),
        _ => false,
    };
    match hir.kind() {
        HirKind::Concat(parts) => {
            parts.iter().all(|p| single(p) || repeated(p))
                && parts.iter().filter(|p| repeated(p)).count() <= 1
        }
        _ => single(hir) || repeated(hir),
    }
}

/// The pattern with `\w`, `\d`, `\s`, `\b` and their opposites written out in ASCII.
fn ascii_classes(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut letters = text.chars();
    let mut in_class = false;
    while let Some(c) = letters.next() {
        if c != '\\' {
            in_class = match c {
                '[' => true,
                ']' => false,
                _ => in_class,
            };
            out.push(c);
            continue;
        }
        let Some(next) = letters.next() else {
            out.push(c);
            break;
        };
        let inside = match next {
            'w' | 'W' => "0-9A-Za-z_",
            'd' | 'D' => "0-9",
            's' | 'S' => r"\t\n\x0C\r ",
            'b' | 'B' if !in_class => {
                out.push_str(&format!(r"(?-u:\{next})"));
                continue;
            }
            _ => {
                out.extend([c, next]);
                continue;
            }
        };
        match (next.is_uppercase(), in_class) {
            (true, _) => out.push_str(&format!("[^{inside}]")),
            (false, true) => out.push_str(inside),
            (false, false) => out.push_str(&format!("[{inside}]")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new("p", pattern).unwrap();
        pattern.matches(text).map(|r| text[r].to_string()).collect()
    }

    #[test]
    fn matches_are_those_of_re2() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("[a-zA-Z0-9_]+", "e-mail, snake_case", &["e", "mail", "snake_case"]),
            (r"\b\w\w+\b", "Ein Ärger a bc", &["Ein", "rger", "bc"]),
            ("a|ab", "abc", &["ab"]),
            ("(a?)(ab)?", "ab", &["ab", ""]),
            ("a+?", "aaa", &["aaa"]),
            (".", "né", &["n", "é"]),
            (r"[\d.]+", "x 3.4 ٣", &["3.4"]),
            ("x*", "ax", &["", "x", ""]),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(found(pattern, text), wanted, "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_are_refused() {
        for bad in ["(", "a{1,", r"(\w{1,900}){1,900}", "[z-a]", &"a".repeat(1 << 15)] {
            assert!(Pattern::new("p", bad).is_err(), "{bad:.20}");
        }
        // Time is linear however the pattern repeats.
        assert!(found("(a+)+$", &format!("{}b", "a".repeat(2000))).is_empty());
    }

    #[test]
    fn the_whole_text_is_asked() {
        let pattern = Pattern::new("p", "a|ab").unwrap();
        for (text, whole) in [("a", true), ("ab", true), ("abc", false), ("", false)] {
            assert_eq!(pattern.is_whole(text), whole, "{text}");
        }
    }
}
