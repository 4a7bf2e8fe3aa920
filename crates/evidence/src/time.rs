//! The one form of time in evidence: RFC 3339 in UTC with a `Z`.
//!
//! Owns the check of that form and its reading as a number. Must never read a clock. Called
//! wherever a time is taken in.

/// A checked RFC 3339 instant in UTC, e.g. `2026-11-22T15:00:00Z` (a fraction is allowed).
///
/// # Errors
/// [`TimeError`] if the form or a field is out of range.
pub fn check(text: &str) -> Result<(), TimeError> {
    let fault = || TimeError::Form(text.chars().take(40).collect());
    let body = text.strip_suffix('Z').ok_or_else(fault)?;
    let (date, clock) = body.split_once('T').ok_or_else(fault)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    let year = field(date, 0, 4).ok_or_else(fault)?;
    let month = field(date, 5, 7).ok_or_else(fault)?;
    let day = field(date, 8, 10).ok_or_else(fault)?;
    let hour = field(clock, 0, 2).ok_or_else(fault)?;
    let minute = field(clock, 3, 5).ok_or_else(fault)?;
    let second = field(clock, 6, 8).ok_or_else(fault)?;
    let shaped = date.len() == 10
        && clock.len() == 8
        && at(date, 4) == Some(b'-')
        && at(date, 7) == Some(b'-')
        && at(clock, 2) == Some(b':')
        && at(clock, 5) == Some(b':')
        && fraction
            .is_none_or(|f| (1..=9).contains(&f.len()) && f.bytes().all(|c| c.is_ascii_digit()));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    // 60 is a leap second, which RFC 3339 allows.
    if !shaped || day == 0 || day > days || hour > 23 || minute > 59 || second > 60 {
        return Err(fault());
    }
    Ok(())
}

/// Milliseconds since 1970-01-01T00:00:00Z, rounded down; a leap second counts as the next
/// second. `None` for what [`check`] refuses.
pub fn millis(text: &str) -> Option<i64> {
    check(text).ok()?;
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |part: &str, from, to| field(part, from, to).map(i64::from);
    let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 7)?, number(date, 8, 10)?);
    // Days since the epoch, counting years from March so that a leap day ends its year.
    let years = if month > 2 { year } else { year - 1 };
    let era_year = years.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = era_year * 365 + era_year / 4 - era_year / 100 + day_of_year;
    let days = years.div_euclid(400) * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
    let seconds = days * 86_400
        + number(clock, 0, 2)? * 3_600
        + number(clock, 3, 5)? * 60
        + number(clock, 6, 8)?;
    let digits: String = clock.get(9..).unwrap_or_default().chars().chain("000".chars()).collect();
    Some(seconds * 1_000 + digits.get(..3)?.parse::<i64>().ok()?)
}

/// Days of 400 Gregorian years.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

/// A time that is not in the one form.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339 in UTC.
    #[error("`{0}` is not a time in UTC; write it as `2026-01-31T23:59:59Z`")]
    Form(String),
}

fn field(text: &str, from: usize, to: usize) -> Option<u32> {
    let part = text.get(from..to)?;
    if part.bytes().all(|c| c.is_ascii_digit()) { part.parse().ok() } else { None }
}

fn at(text: &str, index: usize) -> Option<u8> {
    text.as_bytes().get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_date() {
        // `date -u -d <time> +%s`
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2026-11-22T18:10:00.25Z", 1_795_371_000_250),
            ("2100-03-01T00:00:00.0019Z", 4_107_542_400_001),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert_eq!(millis("2026-11-22"), None);
    }

    #[test]
    fn only_utc_instants_pass() {
        for good in ["2026-11-22T15:00:00Z", "2024-02-29T00:00:00.123Z", "2016-12-31T23:59:60Z"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T15:00:00",
            "2026-11-22T15:00:00+00:00",
            "2026-11-22 15:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T15:60:00Z",
            "2026-11-22T15:00:00.Z",
            "2026-11-22T1:00:00Z",
            "+026-11-22T15:00:00Z",
            "2026-11-2é15:00:00Z",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
