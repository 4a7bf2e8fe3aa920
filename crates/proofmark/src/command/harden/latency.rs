//! How long one row takes, on this machine, with what is on.
//!
//! Owns the clock of it. Must never be compared to a threshold: another machine, another figure.

use std::time::Instant;

use proofmark_lab::facts::{About, Facts};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::stats::quantile;
use proofmark_schema::measurement::{Measurement, Method, Quantity};

use crate::failure::{OrFail, Outcome};

/// Median and 99th percentile of single-row calls, seconds.
pub fn measure(oracle: &dyn Oracle, facts: &Facts) -> Outcome<Vec<Measurement>> {
    let rows = oracle.rows().max(1);
    let mut seconds = Vec::with_capacity(CALLS);
    for call in 0..CALLS + WARM {
        let row = call % rows;
        let x = oracle.clean(row).to_vec();
        let begun = Instant::now();
        oracle.scores(&[row], &x).or_fail("target", "")?;
        if call >= WARM {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    let method = Method { id: "latency".into(), edition: 1 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let domain = format!(
        "{CALLS} calls of one row in this process on {}-{}, {threads} threads of CPU, features {}; \
         what no attacker can move is computed beforehand; not comparable across machines",
        std::env::consts::OS,
        std::env::consts::ARCH,
        facts.engine.cpu
    );
    let each = [("latency_p50", 0.5), ("latency_p99", 0.99)].into_iter().filter_map(|(name, p)| {
        let quantity = Quantity::Exact {
            value: quantile(&seconds, p)?,
            domain: domain.clone(),
            arithmetic: "monotonic clock".into(),
        };
        Some(facts.measurement(name, "seconds", About::default(), quantity, &method, &[]))
    });
    Ok(each.collect())
}

/// Calls that are timed.
const CALLS: usize = 200;
/// Calls before, so that caches and buffers are as in service.
const WARM: usize = 20;
