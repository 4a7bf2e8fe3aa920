//! What to do about a cell that is no number.
//!
//! Owns the guesses of what a text was meant to be. Must never read a cell by such a guess: it
//! only chooses words. Called by [`super`].

use crate::csv;

/// The likely fix for a text where a number belongs.
pub(super) fn number_hint(text: &str) -> &'static str {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    let lower = text.to_lowercase();
    if text.starts_with('#') {
        return ERROR_VALUE;
    }
    if !digits {
        return match lower.as_str() {
            "true" | "false" | "yes" | "no" | "wahr" | "falsch" | "ja" | "nein" => TRUTH,
            "nan" | "inf" | "-inf" | "+inf" | "infinity" => NOT_FINITE,
            _ => NUMBER,
        };
    }
    if text.contains('%') {
        return PERCENT;
    }
    if text.contains(['€', '$', '£', '¥', '₣']) || has_currency(text) {
        return CURRENCY;
    }
    if is_date(text) {
        return DATE;
    }
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | ' ' | '-');
    let bracketed = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let minus_last = text.strip_suffix('-');
    if bracketed.or(minus_last).is_some_and(|t| t.chars().all(plain)) || text.starts_with(MINUS) {
        return SIGN;
    }
    if text.chars().next().is_some_and(|c| c.is_ascii_digit()) && has_unit(text) {
        return UNIT;
    }
    let marked = text.contains([',', '.', ' ', '\'']) && csv::parse_number(text, '.').is_none();
    if marked && text.chars().all(|c| plain(c) || c == '+') { MARKS } else { NUMBER }
}

/// `12,00 EUR` or `EUR 12`: a word of three capital letters at an end.
fn has_currency(text: &str) -> bool {
    let word = |w: &str| w.len() == 3 && w.bytes().all(|b| b.is_ascii_uppercase());
    let mut words = text.split_whitespace();
    let (first, last) = (words.next(), words.next_back());
    last.is_some() && first.into_iter().chain(last).any(word)
}

/// Three groups of digits with the same mark between them, and perhaps a time behind.
fn is_date(text: &str) -> bool {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    ['-', '/', '.'].iter().any(|mark| {
        let groups: Vec<&str> = day.split(*mark).collect();
        let number = |g: &&str| (1..=4).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_digit());
        // Two marks of thousands are no date: their groups have three digits.
        let short = |g: &&str| g.len() <= 2;
        groups.len() == 3
            && groups.iter().all(number)
            && groups.iter().filter(|g| short(g)).count() >= 2
    })
}

/// A number with a word right behind it, such as `12 kg`.
fn has_unit(text: &str) -> bool {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | ' ');
    let unit = text.trim_start_matches(number);
    !unit.is_empty() && unit.chars().all(|c| c.is_alphabetic() || matches!(c, '²' | '³' | '.'))
}

/// What is said when nothing better is known.
pub(super) const NUMBER: &str =
    "mend the cell, add the text to `missing`, or check the type and `dialect.decimal`";
pub(super) const BLANK_ROW: &str = "no field of this line holds anything: remove the line";
pub(super) const HEADER_AGAIN: &str =
    "the line repeats the header, as files do that were put together: remove it";
pub(super) const NOT_WHOLE: &str = "declare the feature as `number`, or mend the cell";
const ERROR_VALUE: &str = "an error value of a spreadsheet: mend the sheet, or add the text to \
                           `missing`";
const TRUTH: &str = "a truth value: declare the feature as `boolean` with its two `values`";
const NOT_FINITE: &str = "add the text to `missing` if it means that; a model is not measured on \
                          numbers without end";
const PERCENT: &str = "write it without the sign: whether `5%` is 5 or 0.05 is for the training \
                       code to say";
const CURRENCY: &str = "write the amount without its currency";
const DATE: &str = "a date is no number: write what the training code made of it (days, a year), \
                    or declare a category";
const SIGN: &str = "write a negative number with `-` before it";
const UNIT: &str = "write the number without its unit";
const MARKS: &str = "mend the cell, add the text to `missing`, or pin `dialect.decimal` and \
                     `dialect.thousands`";
/// The sign as typesetters write it.
const MINUS: char = '\u{2212}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_text_gets_its_own_words() {
        for (want, texts) in [
            (PERCENT, &["12%", "3,5 %", "% 4"][..]),
            (CURRENCY, &["€ 12", "$1,200", "1.234,50 EUR", "CHF 3.00"]),
            (DATE, &["01.02.2023", "2023-02-01", "2/1/2023", "2023-02-01 12:00", "1.2.23"]),
            (ERROR_VALUE, &["#NV", "#DIV/0!", "#REF!"]),
            (SIGN, &["1.234,50-", "(1,234)", "\u{2212}5"]),
            (UNIT, &["12 kg", "3m²", "30 Jahre"]),
            (TRUTH, &["WAHR", "false"]),
            (NOT_FINITE, &["inf", "NaN"]),
            (MARKS, &["1,23,456", "1.234.567,8.9", "12 34"]),
            (NUMBER, &["many", "0x1F", "-", "k.A.", ">100", "5*"]),
        ] {
            for text in texts {
                assert_eq!(number_hint(text), want, "{text}");
            }
        }
    }
}
