//! An assessment with a watch in hand: the attack and the checks after it, each on its own.
//!
//! Owns the two times, told to people only: no figure depends on them. Called by [`super`].

use std::time::Instant;

use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::assessment::{self as evasion, Assessment, Request};
use proofmark_lab::harness::{self, HarnessError};

use crate::failure::{Failure, Outcome};
use crate::proofs::Answers;

/// Attacks every row and concludes, with what was proved; says how long each took.
pub fn assess(
    request: &Request<'_>,
    proved: Option<&Answers>,
    ctx: &Ctx<'_>,
) -> Outcome<(Assessment, String)> {
    let rows: Vec<usize> = (0..request.case.oracle.rows()).collect();
    let start = Instant::now();
    let done = Default::default();
    let mut records =
        harness::run(request.case, request.suite, request.eps, &rows, &done, ctx, &mut |_| {})
            .map_err(failed)?;
    let attacked = start.elapsed();
    if let Some(proved) = proved {
        proved.bound(&mut records)?;
    }
    let mut assessed = evasion::conclude(request, records, ctx).map_err(failed)?;
    if let Some(proved) = proved {
        proved.tell(&mut assessed.report);
    }
    let checked = start.elapsed() - attacked;
    let said = format!(
        "the attack took {:.3} s, the checks after it {:.3} s",
        attacked.as_secs_f64(),
        checked.as_secs_f64()
    );
    Ok((assessed, said))
}

fn failed(error: HarnessError) -> Failure {
    match error {
        HarnessError::Cancelled => {
            Failure::new("interrupted", "stopped on request; nothing was kept", "run it again")
        }
        other => Failure::new("attack", other, "see `proofmark model inspect`"),
    }
}
