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
        return Some(json(first));
    }
    if first.starts_with(b"tree\n") || first.starts_with(b"tree\r\n") {
        return Some(if contains(head, b"\nmax_feature_idx=") {
            Kind::Lightgbm
        } else {
            Kind::Text
        });
    }
    if libsvm(head, whole) {
        return Some(Kind::Libsvm);
    }
    Some(delimiter(head, whole).map_or(Kind::Text, |delimiter| Kind::Table { delimiter }))
}

/// Which model a JSON document is, by the keys that only its library writes so early.
fn json(first: &[u8]) -> Kind {
    let has = |key: &[u8]| contains(first, key);
    if first.starts_with(b"[") {
        let node = has(b"\"nodeid\"") && (has(b"\"leaf\"") || has(b"\"split\""));
        return if node { Kind::XgboostDump } else { Kind::Json };
    }
    // keys ascend in the library's files: thousands of names may stand before the booster
    let inner = [&b"\"attributes\""[..], b"\"gradient_booster\"", b"\"learner_model_param\""];
    if has(b"\"learner\"") && inner.iter().any(|key| has(key)) {
        return Kind::Xgboost { binary: false };
    }
    let catboost = has(b"\"features_info\"") || has(b"\"oblivious_trees\"") || has(b"\"ctr_data\"");
    if catboost { Kind::Catboost } else { Kind::Json }
}

/// Whether the first lines are labels with `index:value` pairs.
fn libsvm(head: &[u8], whole: bool) -> bool {
    let mut lines: Vec<&[u8]> = head.split(|&b| b == b'\n').take(LINES + 1).collect();
    if lines.len() <= LINES && !whole && lines.len() > 1 {
        lines.pop(); // cut in the middle
    }
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let number =
        |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<f64>().is_ok());
    let pair = |word: &[u8]| {
        let mut parts = word.splitn(2, |&b| b == b':');
        let key = parts.next().unwrap_or_default();
        (digits(key) || key == b"qid") && parts.next().is_some_and(number)
    };
    let mut pairs = 0;
    for line in lines {
        let line = line.split(|&b| b == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(label) = words.next() else { continue };
        let mut labels = label.split(|&b| b == b',');
        let words: Vec<&[u8]> = words.collect();
        if !labels.all(number) || !words.iter().all(|word| pair(word)) {
            return false;
        }
        pairs += words.len();
    }
    pairs > 0
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

pub(super) fn contains(head: &[u8], needle: &[u8]) -> bool {
    head.windows(needle.len()).any(|window| window == needle)
}

/// Lines that are compared.
const LINES: usize = 20;
