//! Kinds of text: tables, JSON, VNN-LIB, and the rest.
//!
//! Owns a guess, not a dialect: `dataset` detects that properly. Called by [`super::sniff`].

use super::Kind;

/// The kind of text, or `None` when the bytes are no text.
///
/// Bytes past ASCII count as text in any encoding; control characters do not. `whole` says that
/// the head is the file, so that its last line is complete.
pub(super) fn kind(head: &[u8], whole: bool) -> Option<Kind> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let control = |&b: &u8| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c) || b == 0x7f;
    if head.iter().any(control) {
        return None;
    }
    // binary without control characters is rare but exists; text is mostly ASCII or UTF-8
    let high = head.iter().filter(|b| !b.is_ascii()).count();
    let utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && !whole,
    };
    if !utf8 && high * 4 > head.len() {
        return None;
    }
    let first = head.trim_ascii_start();
    if contains(head, b"(declare-const") || contains(head, b"(declare-network") {
        return Some(Kind::VnnLib);
    }
    if first.starts_with(b"{") || first.starts_with(b"[") {
        return Some(Kind::Json);
    }
    Some(delimiter(head, whole).map_or(Kind::Text, |delimiter| Kind::Table { delimiter }))
}

/// The delimiter at which the first lines split into the same number of fields, at least two.
fn delimiter(head: &[u8], whole: bool) -> Option<char> {
    let mut lines: Vec<&[u8]> = head.split(|&b| b == b'\n').take(LINES + 1).collect();
    if lines.len() <= LINES && !whole {
        lines.pop(); // cut in the middle
    }
    let lines: Vec<&[u8]> = lines
        .into_iter()
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .take(LINES)
        .collect();
    if lines.len() < 2 {
        return None;
    }
    ['\t', ';', ',', '|', ' '].into_iter().find(|&delimiter| {
        let mut counts = lines.iter().map(|line| fields(line, delimiter));
        let first = counts.next().unwrap_or(1);
        first > 1 && counts.all(|count| count == first)
    })
}

/// Fields of a line, quotes respected, runs of blanks taken as one.
fn fields(line: &[u8], delimiter: char) -> usize {
    let mut quoted = false;
    let mut before = 0u8;
    let mut count = 1;
    for &byte in line {
        if byte == b'"' {
            quoted = !quoted;
        } else if !quoted && char::from(byte) == delimiter {
            count += usize::from(delimiter != ' ' || before != b' ');
        }
        before = byte;
    }
    count
}

fn contains(head: &[u8], needle: &[u8]) -> bool {
    head.windows(needle.len()).any(|window| window == needle)
}

/// Lines that are compared.
const LINES: usize = 20;
