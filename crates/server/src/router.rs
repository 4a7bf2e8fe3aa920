//! Who answers: the primary, else the backup inside the same deadline, else the safe output.
//!
//! Owns the breakers, the trust in each model and the shares of the deadline. Must never let an
//! unmarked answer of the backup out, ask a model that answered known rows wrongly, or wait beyond
//! the deadline. Called by the data plane.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proofmark_schema::guard::Responder;

use crate::answer::{Decider, Ruling};
use crate::breaker::{Admission, Breaker, BreakerPolicy, Change};
use crate::metrics::Metrics;
use crate::scorer::{Question, Rows, ScoreError, Scorer, Scores};
use crate::state::StateMachine;

/// A model, its breaker and its decision rule.
pub struct Lane {
    /// What scores.
    pub scorer: Arc<dyn Scorer>,
    /// How its scores become a class.
    pub decider: Decider,
    breaker: Breaker,
    trusted: AtomicBool,
}

impl Lane {
    /// A trusted lane with a closed breaker.
    pub fn new(scorer: Arc<dyn Scorer>, decider: Decider, breaker: BreakerPolicy) -> Self {
        let breaker = Breaker::new(breaker);
        Self { scorer, decider, breaker, trusted: AtomicBool::new(true) }
    }

    /// The breaker, for metrics.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Whether its known answers were right when last asked.
    pub fn trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// The class of every row; `None` for a row without usable scores.
    fn decisions(&self, scores: &Scores, rows: usize) -> Option<Vec<Option<usize>>> {
        let fits = scores.classes > 0 && scores.values.len() == rows.checked_mul(scores.classes)?;
        let each = scores.values.chunks_exact(scores.classes.max(1));
        fits.then(|| each.map(|row| self.decider.decide(row)).collect())
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("model", &self.scorer.name()).finish_non_exhaustive()
    }
}

/// The lanes and how they are chosen.
#[derive(Debug)]
pub struct Router {
    /// The model that decides.
    pub primary: Lane,
    /// The model that takes over.
    pub backup: Option<Lane>,
    /// Whether both must agree.
    pub vote: bool,
    /// From the end of the request to the answer.
    pub deadline: Duration,
    /// The state that the health of the lanes moves.
    pub state: Arc<StateMachine>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What a lane gave.
struct Given {
    scores: Scores,
    decisions: Vec<Option<usize>>,
}

/// Why a lane gave nothing.
enum Nothing {
    /// The rows are at fault: another lane would refuse them too.
    Refused(String),
    /// It is not asked now.
    Closed(&'static str),
    /// It failed.
    Failed(&'static str),
}

impl Router {
    /// Decides about rows that were read at `from`.
    ///
    /// # Errors
    /// The words of the model that refused the rows.
    pub async fn decide(&self, rows: Rows, from: Instant) -> Result<Ruling, String> {
        let last = from + self.deadline.mul_f64(LAST_SHARE);
        if self.vote {
            return self.vote(rows, last).await;
        }
        let first = match &self.backup {
            Some(backup) if backup.trusted() => from + self.deadline.mul_f64(FIRST_SHARE),
            _ => last,
        };
        let n = rows.len();
        let question = Question { rows, deadline: first };
        let why = match self.ask(&self.primary, Responder::Primary, &question).await {
            Ok(given) => return Ok(self.ruling(Responder::Primary, given, None)),
            Err(Nothing::Refused(words)) => return Err(words),
            Err(Nothing::Closed(why) | Nothing::Failed(why)) => why,
        };
        let Some(backup) = &self.backup else { return Ok(safe(n, why)) };
        self.metrics.failovers.inc();
        let question = Question { deadline: last, ..question };
        match self.ask(backup, Responder::Backup, &question).await {
            Ok(given) => Ok(self.ruling(Responder::Backup, given, Some(why))),
            Err(Nothing::Refused(words)) => Err(words),
            Err(Nothing::Closed(_) | Nothing::Failed(_)) => Ok(safe(n, "no-model")),
        }
    }

    /// Both must agree, row by row; where they do not, or one is silent, nobody decides.
    async fn vote(&self, rows: Rows, deadline: Instant) -> Result<Ruling, String> {
        let n = rows.len();
        let Some(backup) = &self.backup else { return Ok(safe(n, "no-vote")) };
        let question = Question { rows, deadline };
        let (first, second) = tokio::join!(
            self.ask(&self.primary, Responder::Primary, &question),
            self.ask(backup, Responder::Backup, &question)
        );
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(Nothing::Refused(words)), _) | (_, Err(Nothing::Refused(words))) => {
                return Err(words);
            }
            _ => return Ok(safe(n, "no-vote")),
        };
        let pairs = first.decisions.iter().zip(&second.decisions);
        let agreed: Vec<Option<usize>> = pairs.map(|(a, b)| a.filter(|_| a == b)).collect();
        let split = agreed.iter().any(Option::is_none);
        if split {
            self.metrics.disagreements.inc();
        }
        if agreed.iter().all(Option::is_none) {
            return Ok(safe(n, "vote-split"));
        }
        let given = Given { scores: first.scores, decisions: agreed };
        Ok(self.ruling(Responder::Primary, given, split.then_some("vote-split")))
    }

    fn ruling(&self, by: Responder, given: Given, reason: Option<&'static str>) -> Ruling {
        let model = self.lane(by).map(|lane| lane.scorer.name().to_owned());
        let Given { scores, decisions } = given;
        Ruling { by, reason, decisions, scores: Some(scores), model }
    }

    /// The lane of a responder.
    pub fn lane(&self, by: Responder) -> Option<&Lane> {
        match by {
            Responder::Primary => Some(&self.primary),
            Responder::Backup => self.backup.as_ref(),
            Responder::Safe | Responder::None => None,
        }
    }

    /// Asks one lane and books how it went.
    async fn ask(
        &self,
        lane: &Lane,
        who: Responder,
        question: &Question,
    ) -> Result<Given, Nothing> {
        if !lane.trusted() {
            return Err(Nothing::Closed("wrong-answers"));
        }
        let began = Instant::now();
        if lane.breaker.admit(began) == Admission::Refuse {
            return Err(Nothing::Closed("breaker-open"));
        }
        let answer = lane.scorer.score(question).await;
        self.metrics.asked(who, began.elapsed());
        let (why, words) = match answer {
            Ok(scores) => match lane.decisions(&scores, question.rows.len()) {
                Some(decisions) if decisions.iter().all(Option::is_some) => {
                    self.worked(lane, who);
                    return Ok(Given { scores, decisions });
                }
                _ => ("wrong-shape", "it gave scores that do not fit the rows".to_owned()),
            },
            Err(ScoreError::Refused(words)) => {
                self.worked(lane, who);
                return Err(Nothing::Refused(words));
            }
            Err(error) => (reason(&error), error.to_string()),
        };
        self.metrics.failed(who);
        if lane.breaker.failure(Instant::now()) == Change::Opened {
            self.health(who, false, &words);
        }
        Err(Nothing::Failed(why))
    }

    fn worked(&self, lane: &Lane, who: Responder) {
        let before = lane.breaker.state();
        let change = lane.breaker.success();
        let closed = before == crate::breaker::BreakerState::Closed;
        if change == Change::Closed || closed {
            self.health(who, true, "it answers again");
        }
    }

    fn health(&self, who: Responder, works: bool, cause: &str) {
        let cause = || format!("{}: {cause}", lane_word(who));
        match who {
            Responder::Primary if works => self.state.primary(true, "primary: it answers again"),
            Responder::Primary => self.state.primary(false, &cause()),
            // Without a change there is nothing to do, and this is asked for every answer of it.
            Responder::Backup => self.state.backup(works, &cause()),
            Responder::Safe | Responder::None => {}
        }
    }

    /// What the known answers of a lane said: a wrong one closes it until they are right again.
    pub fn trust(&self, who: Responder, right: bool, cause: &str) {
        let Some(lane) = self.lane(who) else { return };
        let before = lane.trusted.swap(right, Ordering::AcqRel);
        if right && !before {
            lane.breaker.success();
            self.health(who, true, cause);
        } else if !right {
            lane.breaker.trip(Instant::now());
            self.health(who, false, cause);
        }
    }
}

/// The safe output for `rows` rows.
pub fn safe(rows: usize, reason: &'static str) -> Ruling {
    Ruling {
        by: Responder::Safe,
        reason: Some(reason),
        decisions: vec![None; rows],
        scores: None,
        model: None,
    }
}

fn lane_word(who: Responder) -> &'static str {
    if who == Responder::Backup { "backup" } else { "primary" }
}

fn reason(error: &ScoreError) -> &'static str {
    match error {
        ScoreError::Unreachable => "unreachable",
        ScoreError::Deadline => "deadline",
        ScoreError::Broken(_) => "broken",
        ScoreError::Refused(_) => "refused",
    }
}

/// Share of the deadline that the primary has when a backup waits: what is left must be enough
/// for a whole answer of the backup.
const FIRST_SHARE: f64 = 0.5;
/// Share of the deadline after which nobody is waited for: the rest is for record and release.
const LAST_SHARE: f64 = 0.9;
