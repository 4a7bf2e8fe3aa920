//! The one form of time in evidence: RFC 3339 in UTC with a `Z`.
//!
//! Owns the check of that form. Must never read a clock. Called wherever a time is taken in.

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
