//! Known answers: rows whose scores the declared model gives here, asked of its upstream.
//!
//! Owns the comparison and its rhythm. Must never let an upstream that answers wrongly go on
//! answering, nor call one wrong that was only unreachable. Called by the guard, beside the
//! requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_schema::guard::Responder;
use tokio::sync::watch;

use crate::router::Router;
use crate::scorer::{Question, Rows, Scorer, Scores};

/// The check of one upstream.
#[derive(Debug)]
pub struct Check {
    /// Whose.
    pub who: Responder,
    /// The declared model in this process.
    pub declared: Arc<dyn Scorer>,
    /// Rows to ask for, in turn.
    pub batches: Vec<Rows>,
    /// Largest difference of a score.
    pub tolerance: f64,
    /// Between two checks.
    pub every: Duration,
    /// For one answer.
    pub deadline: Duration,
}

impl Check {
    /// Checks at once, then again and again until `end` turns true.
    pub async fn run(self, router: Arc<dyn Trust>, mut end: watch::Receiver<bool>) {
        let mut turn = 0usize;
        loop {
            self.once(router.as_ref(), turn).await;
            turn = turn.wrapping_add(1);
            tokio::select! {
                _ = end.wait_for(|end| *end) => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }

    /// One check with the rows of `turn`.
    pub async fn once(&self, trust: &dyn Trust, turn: usize) {
        let Some(rows) = self.batches.get(turn % self.batches.len().max(1)) else { return };
        let router = trust.router();
        let Some(lane) = router.lane(self.who) else { return };
        // The declared model runs here without haste: only the upstream has a deadline.
        let own = Question { rows: rows.clone(), deadline: Instant::now() + OWN_DEADLINE };
        let Ok(wanted) = self.declared.score(&own).await else { return };
        let question = Question { rows: rows.clone(), deadline: Instant::now() + self.deadline };
        let Ok(found) = lane.scorer.score(&question).await else { return };
        let far = farthest(&wanted, &found);
        let right = far.is_some_and(|far| far <= self.tolerance);
        if right {
            router.trust(self.who, true, "its known answers are right again");
            return;
        }
        router.metrics.wrong_answers.inc();
        let cause = match far {
            Some(far) => format!("a known answer differs by {far:.6}"),
            None => "a known answer has another shape".to_owned(),
        };
        router.trust(self.who, false, &cause);
    }
}

/// Whoever holds the router.
pub trait Trust: Send + Sync {
    /// The router.
    fn router(&self) -> &Router;
}

/// Largest difference of two sets of scores; `None` when their shapes differ.
fn farthest(wanted: &Scores, found: &Scores) -> Option<f64> {
    if wanted.classes != found.classes || wanted.values.len() != found.values.len() {
        return None;
    }
    let pairs = wanted.values.iter().zip(&found.values);
    Some(pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max))
}

/// For the declared model in this process.
const OWN_DEADLINE: Duration = Duration::from_secs(10);
