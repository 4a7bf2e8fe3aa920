//! The clock. Owns the only read of the time.

/// Now, RFC 3339 in UTC, to the second.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, RFC 3339 in UTC, to the millisecond.
pub fn precise() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// So many days from now, RFC 3339 in UTC; `None` beyond the calendar.
pub fn in_days(days: u32) -> Option<String> {
    let span = jiff::SignedDuration::from_hours(i64::from(days) * 24);
    let then = jiff::Timestamp::now().checked_add(span).ok()?;
    Some(then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// So many seconds from now, RFC 3339 in UTC; `None` beyond the calendar.
pub fn in_seconds(seconds: i64) -> Option<String> {
    let then = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
    Some(then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
