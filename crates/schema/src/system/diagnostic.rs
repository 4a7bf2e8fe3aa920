//! What is wrong with a declaration, where, and how to mend it.
//!
//! Owns the plain data of a diagnostic and the table of spans. Must never print or colour:
//! `proofmark` renders. Called by the readers and checks of this folder.

use std::collections::BTreeMap;
use std::ops::Range;

/// One problem of a declaration. Offsets are bytes into the text that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the problem, kebab-case.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// Text to underline.
    pub span: Range<usize>,
    /// Words at the underline.
    pub label: String,
    /// The likely fix.
    pub help: String,
    /// A second place that belongs to the problem.
    pub also: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    /// A diagnostic with one underline.
    pub fn new(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (message, label, help) = (message.into(), label.into(), help.into());
        Self { code, message, span, label, help, also: None }
    }

    /// The same with a second underline, when that place is known.
    pub(super) fn and(mut self, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        self.also = span.map(|s| (s, label.into()));
        self
    }
}

/// Where each value of a declaration stands, by its path, e.g. `["models", "mlp", "path"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    values: BTreeMap<Vec<String>, Range<usize>>,
}

impl Spans {
    /// Byte range of a value, or of the name of a section; `None` when it was not written.
    ///
    /// Elements of a list are found by their index as text.
    pub fn of(&self, path: &[&str]) -> Option<Range<usize>> {
        let key: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        self.values.get(&key).cloned()
    }

    pub(super) fn remove(&mut self, path: &[String]) {
        self.values.remove(path);
    }

    pub(super) fn insert(&mut self, path: Vec<String>, span: Range<usize>) {
        self.values.insert(path, span);
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
///
/// An offset past the end, or inside a character, is moved back to the nearest boundary.
pub fn line_col(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// The known word nearest to `word`, when it is near enough to be a slip of the pen.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|k| (distance(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// "did you mean" when something is near, else the list of what is known.
pub(super) fn suggest<'a>(
    word: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("no {what} is declared"),
        None => format!("known: {}", list(&known)),
    }
}

/// Words in backticks, separated by commas; long lists are cut.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let shown: Vec<String> =
        words.iter().take(LIST_MAX).map(|w| format!("`{}`", w.as_ref())).collect();
    let rest = words.len().saturating_sub(LIST_MAX);
    match rest {
        0 => shown.join(", "),
        n => format!("{} and {n} more", shown.join(", ")),
    }
}

/// Optimal string alignment distance: insert, delete, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(WORD_MAX).collect();
    let b: Vec<char> = b.chars().take(WORD_MAX).collect();
    let mut rows = [vec![0; b.len() + 1], vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        rows[2][0] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[1][j] + 1).min(rows[2][j - 1] + 1).min(rows[1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
    }
    rows[2][b.len()]
}

/// Words shown in a help line; more would hide the message.
const LIST_MAX: usize = 12;
/// Characters compared of a word; keeps the quadratic distance small on hostile keys.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_and_column_count_characters_from_one() {
        let text = "a\nbé\nc";
        for (offset, want) in [(0, (1, 1)), (2, (2, 1)), (5, (2, 3)), (6, (3, 1)), (99, (3, 2))] {
            assert_eq!(line_col(text, offset), want, "offset {offset}");
        }
        assert_eq!(line_col(text, 4), (2, 2), "inside é moves back to its start");
    }

    #[test]
    fn slips_of_the_pen_are_found_and_other_words_are_not() {
        let known = ["bounds", "mutable", "group", "values"];
        for (word, want) in [
            ("bound", Some("bounds")),
            ("muatble", Some("mutable")),
            ("Values", Some("values")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (a, b, want) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }
}
