//! An assessment with a watch in hand: the attack and the checks after it, each on its own.
//!
//! Owns the two times, told to people only: no figure depends on them. Called by [`super`].

use std::time::Instant;

use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::assessment::{self as evasion, Assessment, Request};
use proofmark_lab::harness::{self, HarnessError};

/// Attacks every row and concludes; says how long each took.
pub fn assess(request: &Request<'_>, ctx: &Ctx<'_>) -> Result<(Assessment, String), HarnessError> {
    let rows: Vec<usize> = (0..request.case.oracle.rows()).collect();
    let start = Instant::now();
    let done = Default::default();
    let records =
        harness::run(request.case, request.suite, request.eps, &rows, &done, ctx, &mut |_| {})?;
    let attacked = start.elapsed();
    let assessed = evasion::conclude(request, records, ctx)?;
    let checked = start.elapsed() - attacked;
    let said = format!(
        "the attack took {:.3} s, the checks after it {:.3} s",
        attacked.as_secs_f64(),
        checked.as_secs_f64()
    );
    Ok((assessed, said))
}
