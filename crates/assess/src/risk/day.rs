//! Days and seconds between two instants of the one form of time.
//!
//! Owns the arithmetic of the proleptic Gregorian calendar (days from a civil date, H. Hinnant,
//! "chrono-compatible low-level date algorithms"). Must never read a clock. Called by the folds
//! that compare a period with the time they are handed.

use proofmark_evidence::time;

/// Seconds since 1970-01-01T00:00:00Z; `None` when it is not a time in the one form. A leap
/// second counts as the first second of the next minute, a fraction is dropped.
pub fn seconds(text: &str) -> Option<i64> {
    time::check(text).ok()?;
    let field = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days_from_civil(field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

/// The instant so many days later, to the second.
pub fn plus_days(text: &str, days: u32) -> Option<String> {
    Some(written(seconds(text)? + i64::from(days) * DAY))
}

/// An instant as text.
pub fn written(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What a person writes: a time in the one form, or a day, which lasts to its end.
pub fn until(text: &str) -> Option<String> {
    let text = text.trim();
    let whole =
        if text.len() == DATE_CHARS { format!("{text}T23:59:59Z") } else { text.to_owned() };
    seconds(&whole)?;
    Some(whole)
}

/// The day of an instant.
pub fn date(text: &str) -> &str {
    text.get(..DATE_CHARS).unwrap_or(text)
}

/// Whether `a` lies before `b`; false when one of them is no time.
pub fn before(a: &str, b: &str) -> bool {
    matches!((seconds(a), seconds(b)), (Some(a), Some(b)) if a < b)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Seconds of a day.
pub const DAY: i64 = 86_400;
const DATE_CHARS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        // `date -u -d @N +%FT%TZ`
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T18:00:00Z", 1_795_370_400),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(seconds(text), Some(wanted), "{text}");
            assert_eq!(written(wanted), text);
        }
        assert_eq!(plus_days("2028-02-28T10:00:00Z", 2).unwrap(), "2028-03-01T10:00:00Z");
        assert_eq!(until("2027-06-30").unwrap(), "2027-06-30T23:59:59Z");
        for bad in ["2027-02-30", "tomorrow", "", "2027-06-30T10:00:00+01:00"] {
            assert_eq!(until(bad), None, "{bad}");
        }
        assert!(before("2026-11-22T18:00:00Z", "2026-11-22T18:00:01Z"));
        assert!(!before("2026-11-22T18:00:00Z", "2026-11-22T18:00:00.5Z"));
    }

    proptest! {
        #[test]
        fn seconds_read_back(at in 0i64..253_402_300_799) {
            prop_assert_eq!(seconds(&written(at)), Some(at));
        }
    }
}
