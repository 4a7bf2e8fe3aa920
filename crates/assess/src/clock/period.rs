//! Instants and periods in UTC.
//!
//! Owns the arithmetic of deadlines. A period runs from the very instant of its event: hours and
//! days of twenty-four hours are added, a month ends on the same day and time or on the last day
//! of a shorter month. Regulation 1182/71 is not applied; it never ends a period earlier (the
//! golden table holds that). Must never read a clock. Called by `clock` and `incident`.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use proofmark_evidence::time;
use proofmark_schema::clock::Limit;

/// An instant in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Timestamp);

impl Instant {
    /// Reads `2026-01-31T23:59:59Z`.
    ///
    /// # Errors
    /// [`InstantError`] if it is in another form, or a year nobody means.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        let shown = || text.chars().take(40).collect::<String>();
        time::check(text).map_err(|_| InstantError::Form(shown()))?;
        let instant: Timestamp = text.parse().map_err(|_| InstantError::Form(shown()))?;
        if !YEARS.contains(&instant.to_zoned(TimeZone::UTC).year()) {
            return Err(InstantError::Year(shown()));
        }
        Ok(Self(instant))
    }

    /// The end of a period that begins here; `None` for a period whose end is asked for.
    ///
    /// # Errors
    /// [`InstantError::Year`] if it ends beyond the calendar.
    pub fn after(self, limit: Limit) -> Result<Option<Self>, InstantError> {
        let hours = |n: u32| self.0.checked_add(SignedDuration::from_hours(i64::from(n)));
        let end = match limit {
            Limit::Hours(n) => hours(n),
            Limit::Days(n) => hours(n.saturating_mul(HOURS_PER_DAY)),
            Limit::Months(n) => self.months_later(n),
            Limit::AsAsked => return Ok(None),
        };
        end.map(|end| Some(Self(end))).map_err(|_| InstantError::Year(self.to_string()))
    }

    /// Its day in UTC, `YYYY-MM-DD`.
    pub fn day(self) -> String {
        self.0.to_zoned(TimeZone::UTC).date().to_string()
    }

    /// Whole seconds from `earlier` to here; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.as_second().saturating_sub(earlier.0.as_second())
    }

    fn months_later(self, months: u32) -> Result<Timestamp, jiff::Error> {
        let months = Span::new().try_months(months)?;
        let civil = self.0.to_zoned(TimeZone::UTC).datetime().checked_add(months)?;
        Ok(civil.to_zoned(TimeZone::UTC)?.timestamp())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Not RFC 3339 in UTC.
    #[error("`{0}` is not a time in UTC; write it as `2026-01-31T23:59:59Z`")]
    Form(String),
    /// A slip of the pen.
    #[error("`{0}` lies in a year that no incident is from; check the year")]
    Year(String),
}

/// Before, no AI system was in use; after, the calendar of jiff ends.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=9000;
const HOURS_PER_DAY: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn periods_end_as_the_independent_table_says_and_never_after_regulation_1182_71() {
        let table = include_str!("../../golden/periods.tsv");
        let mut rows = 0;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [start, count, unit, end, latest] = cells[..] else { panic!("{line}") };
            let count = count.parse().unwrap();
            let limit = match unit {
                "hours" => Limit::Hours(count),
                "days" => Limit::Days(count),
                "months" => Limit::Months(count),
                other => panic!("{other}"),
            };
            let due = at(start).after(limit).unwrap().unwrap();
            assert_eq!(due.to_string(), end, "{line}");
            assert!(due <= at(latest), "{line}: the regulation ends it earlier");
            rows += 1;
        }
        assert!(rows > 300, "{rows}");
    }

    #[test]
    fn month_ends_leap_years_and_fractions() {
        let month = |t: &str| at(t).after(Limit::Months(1)).unwrap().unwrap().to_string();
        for (start, end) in [
            ("2027-01-31T10:00:00Z", "2027-02-28T10:00:00Z"),
            ("2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z"),
            ("2027-02-28T10:00:00Z", "2027-03-28T10:00:00Z"),
            ("2026-12-31T23:59:59Z", "2027-01-31T23:59:59Z"),
            ("2026-05-31T00:00:00.5Z", "2026-06-30T00:00:00.5Z"),
        ] {
            assert_eq!(month(start), end);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "yesterday", "2026-11-22T15:00:00+01:00", "2026-02-30T00:00:00Z"] {
            assert!(matches!(Instant::parse(text), Err(InstantError::Form(_))), "{text}");
        }
        for text in ["0202-11-22T15:00:00Z", "1999-12-31T23:59:59Z"] {
            assert!(matches!(Instant::parse(text), Err(InstantError::Year(_))), "{text}");
        }
        let late = at("8999-12-31T00:00:00Z");
        assert!(late.after(Limit::Months(u32::MAX)).is_err());
        assert!(late.after(Limit::Days(u32::MAX)).is_err());
    }
}
