//! Numbers as people write them: decimal marks and marks between thousands.
//!
//! Owns parsing, and what a column's cells prove about its marks. Must never settle `1,234` by a
//! guess: a mark of thousands is pinned, or proved within its column.

use super::{CsvError, Delimiter, Hints, Records};

/// A finite number written with that decimal mark: no blanks, no thousands marks, no words.
pub fn parse_number(text: &str, decimal: char) -> Option<f64> {
    let plain = |c: u8| c.is_ascii_digit() || matches!(c, b'+' | b'-' | b'e' | b'E');
    let mark = decimal as u32;
    if text.len() > NUMBER_MAX || !text.bytes().all(|c| plain(c) || u32::from(c) == mark) {
        return None;
    }
    if !text.bytes().any(|c| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = if decimal == '.' {
        text.parse().ok()?
    } else {
        text.replace(decimal, ".").parse().ok()?
    };
    number.is_finite().then_some(number)
}

/// A finite number whose whole part may be grouped in threes by `mark`.
pub(crate) fn parse_grouped(text: &str, decimal: char, mark: char) -> Option<f64> {
    if let Some(number) = parse_number(text, decimal) {
        return Some(number);
    }
    if text.len() > NUMBER_MAX {
        return None;
    }
    let (whole, fraction) = match text.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let (sign, digits) = match whole.strip_prefix(['-', '+']) {
        Some(digits) => (whole.get(..1)?, digits),
        None => ("", whole),
    };
    let mut groups = digits.split(|c| is_mark(c, mark));
    let all_digits = |g: &str| !g.is_empty() && g.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().filter(|g| all_digits(g) && g.len() <= 3)?;
    let mut plain = format!("{sign}{first}");
    for group in groups {
        if group.len() != 3 || !all_digits(group) {
            return None;
        }
        plain.push_str(group);
    }
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    parse_number(&plain, '.')
}

/// Whether a field is a number by some pair of marks.
pub(super) fn looks_numeric(field: &str) -> bool {
    let marks = |decimal| MARKS.into_iter().filter(move |mark| *mark != decimal);
    let by = |decimal| marks(decimal).any(|mark| parse_grouped(field, decimal, mark).is_some());
    by('.') || by(',')
}

/// The decimal mark of the numeric columns.
pub(super) fn decimal(records: &Records, hints: &Hints<'_>) -> Result<char, CsvError> {
    let (mut dot, mut comma) = (false, false);
    let mut weak_dot: Option<(String, String)> = None;
    let mut open: Option<(String, String)> = None;
    for (index, column) in records.columns.iter().enumerate() {
        if !is_numeric(column, hints) {
            continue;
        }
        for field in records.column(index) {
            match evidence(field) {
                None => {}
                Some(Evidence::Dot) => dot = true,
                Some(Evidence::Comma) => comma = true,
                Some(Evidence::WeakDot) => {
                    weak_dot.get_or_insert_with(|| (column.clone(), field.to_owned()));
                }
                Some(Evidence::WeakComma) => {
                    open.get_or_insert_with(|| (column.clone(), field.to_owned()));
                }
            }
        }
    }
    // Where fields are separated by `;`, people write decimals with a comma, and `1.234` is more
    // likely a thousand than one: nothing in the file says which.
    let continental = records.dialect.delimiter == Delimiter::Char(b';');
    match (open, weak_dot) {
        _ if dot => Ok('.'),
        _ if comma => Ok(','),
        (_, Some(_)) if !continental => Ok('.'),
        (_, Some((column, text))) | (Some((column, text)), None) => {
            Err(CsvError::AmbiguousDecimal { column, text })
        }
        (None, None) => Ok('.'),
    }
}

/// The mark of thousands of each column that proves one.
pub(super) fn grouped(records: &Records, hints: &Hints<'_>) -> Vec<Option<char>> {
    let columns = records.columns.iter().enumerate();
    let mark = |(index, name): (usize, &String)| {
        is_numeric(name, hints).then(|| column_mark(records, index)).flatten()
    };
    columns.map(mark).collect()
}

fn column_mark(records: &Records, index: usize) -> Option<char> {
    let decimal = records.dialect.decimal;
    let mut seen = records.column(index).filter(|f| f.bytes().any(|b| b.is_ascii_digit()));
    // Most columns have no mark at all: one look at each cell settles that.
    let first = seen.find(|f| parse_number(f, decimal).is_none())?;
    let mark = MARKS.into_iter().find(|m| {
        *m != decimal
            && first.contains(|c| is_mark(c, *m))
            && parse_grouped(first, decimal, *m).is_some()
    })?;
    let mut proved = false;
    for field in records.column(index).filter(|f| f.bytes().any(|b| b.is_ascii_digit())) {
        parse_grouped(field, decimal, mark)?;
        let marks = field.chars().filter(|c| is_mark(*c, mark)).count();
        let both = marks > 0 && field.contains(decimal);
        proved |= marks > 1 || both || (marks > 0 && matches!(mark, ' ' | '\''));
    }
    proved.then_some(mark)
}

/// What a field proves about the decimal mark.
enum Evidence {
    Dot,
    Comma,
    /// `1.234`: a decimal mark, unless another field or the delimiter of the file speaks for the
    /// comma.
    WeakDot,
    /// `1,234`: it may be either.
    WeakComma,
}

fn evidence(field: &str) -> Option<Evidence> {
    let blank = |c: char| is_mark(c, ' ') || is_mark(c, '\'');
    if field.contains(blank) {
        // Blanks and apostrophes group thousands only: what they leave tells the decimal mark.
        return evidence(&field.replace(blank, "")).filter(|_| looks_numeric(field));
    }
    let mark = field.find([',', '.'])?;
    let dot = field.get(mark..).is_some_and(|f| f.starts_with('.'));
    let (own, other) = if dot { ('.', ',') } else { (',', '.') };
    let proves = |c| if c == '.' { Evidence::Dot } else { Evidence::Comma };
    if parse_number(field, own).is_some() {
        return Some(match (is_group(field, mark), dot) {
            (true, true) => Evidence::WeakDot,
            (true, false) => Evidence::WeakComma,
            (false, _) => proves(own),
        });
    }
    // Several marks of one kind, or one kind and then the other: the first groups thousands.
    parse_grouped(field, other, own).map(|_| proves(other))
}

/// Whether `1,234` could be one thousand: one to three digits, then exactly three.
fn is_group(field: &str, mark: usize) -> bool {
    let (head, tail) = (field.get(..mark).unwrap_or_default(), field.get(mark + 1..));
    let head = head.trim_start_matches(['+', '-']);
    (1..=3).contains(&head.len())
        && !head.starts_with('0')
        && tail.is_some_and(|t| t.len() == 3 && t.bytes().all(|b| b.is_ascii_digit()))
}

fn is_mark(c: char, mark: char) -> bool {
    match mark {
        ' ' => matches!(c, ' ' | '\u{a0}' | '\u{202f}'),
        '\'' => matches!(c, '\'' | '\u{2019}'),
        _ => c == mark,
    }
}

fn is_numeric(column: &str, hints: &Hints<'_>) -> bool {
    hints.numeric.is_empty() || hints.numeric.contains(&column)
}

const MARKS: [char; 4] = [',', '.', '\'', ' '];
/// Bytes of a number: longer digit strings are ids.
const NUMBER_MAX: usize = 64;
