//! Gate 5: does every datum satisfy its own declaration?
//!
//! Owns the check of the clean rows against the attacker's box and deployed type, beside what
//! the data reader found. A clean row outside its own bounds makes every budget meaningless.

use super::{Finding, Setup};
use crate::oracle::OracleError;

pub(super) fn examine(setup: &Setup<'_>) -> Result<Finding, OracleError> {
    let fix = "widen the declared bounds, correct the data, or declare the value as missing";
    if let Some(first) = setup.domain.first() {
        let more = setup.domain.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Ok(Finding::refuse(format!("{first}{more}"), fix));
    }
    let Some(space) = setup.space else {
        return Ok(Finding::ok("every value satisfies its declared type and bounds"));
    };
    let rows = setup.oracle.rows();
    let mut faults = (0..rows).filter_map(|r| space.fault(setup.oracle.clean(r)).map(|f| (r, f)));
    match faults.next() {
        None => Ok(Finding::ok(format!("all {rows} rows lie in the box and on its grid"))),
        Some((row, (coordinate, reason))) => {
            let more = faults.count();
            Ok(Finding::refuse(
                format!("row {row}, free coordinate {coordinate}: {reason}; {more} more rows"),
                fix,
            ))
        }
    }
}
