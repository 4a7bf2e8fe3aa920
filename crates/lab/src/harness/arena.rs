//! Where an attack meets the target: the metered handle.
//!
//! Owns counting, limits, judging and the nearest witness per row. Must never hand out an
//! answer that is not counted, nor one beyond a limit. Called by attacks; built by the harness.

use proofmark_schema::attack::Signs;
use proofmark_schema::system::{Access, Norm, OutputKind};

use super::{Case, Clean};
use crate::constraint::Constraints;
use crate::criterion::Criterion;
use crate::ctx::Ctx;
use crate::decision::{Decision, Rule};
use crate::evasion::Attack;
use crate::oracle::{Loss, LossGrad, OracleError, Picture};
use crate::space::Space;
use crate::stream::Stream;

/// Metered view of the rows under attack, addressed by seat `0..len`.
pub struct Arena<'a> {
    case: &'a Case<'a>,
    clean: &'a Clean,
    attack: &'a dyn Attack,
    eps: f64,
    stream_index: usize,
    seats: Vec<Seat>,
    ctx: &'a Ctx<'a>,
}

/// How far a proposal may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Into the budget: what lies outside is projected.
    Ball,
    /// Anywhere in the box: for attacks that walk in from afar. It breaks the row only if it
    /// lies within the budget; the distance is kept in any case.
    Box,
}

/// Answer to one proposal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    /// Judged a success; `done` when it lies within the budget, so that the row leaves.
    Success {
        /// Whether the row needs no more work.
        done: bool,
    },
    /// Judged no success, or outside the budget.
    Standing {
        /// [`crate::decision::Decision::margin`] of the label, negative once left; `None` when
        /// the attacker sees decisions only.
        margin: Option<f64>,
    },
    /// Not asked: the row has left or its query limit is reached.
    Refused,
}

impl Reply {
    /// Whether the decision was where the attacker wants it.
    pub fn success(self) -> bool {
        matches!(self, Self::Success { .. })
    }
}

/// Losses and slopes, one per asked seat.
#[derive(Clone, Debug, Default)]
pub struct Slopes {
    /// The attacker's loss, to be increased.
    pub loss: Vec<f32>,
    /// Its gradient in the unit of the model input, `asked x dims`.
    pub grad: Vec<f32>,
    /// Whether the point asked is itself across the decision, by the scores that came along.
    pub crossed: Vec<bool>,
}

/// Why an attack gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// The target failed.
    #[error(transparent)]
    Target(#[from] OracleError),
    /// A row's query limit is reached.
    #[error("row {row} has used its {limit} queries")]
    Limit {
        /// Row.
        row: usize,
        /// Limit.
        limit: u64,
    },
    /// The attack asks for more than the declared access.
    #[error("attack `{attack}` asked for {what}, which the declared access does not give")]
    Access {
        /// Attack.
        attack: &'static str,
        /// What it asked for.
        what: &'static str,
    },
    /// The user stopped the run.
    #[error("stopped on request")]
    Cancelled,
}

/// A success: deployed point, judged by the deployed engine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Witness {
    pub distance: f64,
    pub x: Vec<f32>,
    pub decision: usize,
    pub found_by: &'static str,
}

/// A row while an attack is at it.
pub(super) struct Seat {
    row: usize,
    label: usize,
    pub queries: u64,
    pub gradients: u64,
    pub best: Option<Witness>,
    pub signs: Signs,
    done: bool,
}

impl Seat {
    pub(super) fn new(row: usize, label: usize, queries: u64, gradients: u64) -> Self {
        let signs = Signs::default();
        Self { row, label, queries, gradients, best: None, signs, done: false }
    }

    fn spent(&self) -> u64 {
        self.queries + self.gradients
    }
}

impl<'a> Arena<'a> {
    pub(super) fn new(
        case: &'a Case<'a>,
        clean: &'a Clean,
        attack: &'a dyn Attack,
        eps: f64,
        stream_index: usize,
        mut seats: Vec<Seat>,
        ctx: &'a Ctx<'a>,
    ) -> Self {
        for seat in &mut seats {
            seat.signs.attack = attack.id().to_string();
        }
        Self { case, clean, attack, eps, stream_index, seats, ctx }
    }

    /// Number of seats.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether nobody is seated.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Number of free coordinates.
    pub fn dims(&self) -> usize {
        self.case.space.dims()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.case.oracle.classes()
    }

    /// Box, unit and deployed type.
    pub fn space(&self) -> &'a Space {
        self.case.space
    }

    /// Distance.
    pub fn norm(&self) -> Norm {
        self.case.norm
    }

    /// Budget, in the unit of the scale; may be infinite. For minimum-distance attacks the
    /// distance at which a row may stop.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Clean coordinates of a seat.
    pub fn clean(&self, seat: usize) -> &'a [f32] {
        self.case.oracle.clean(self.seats[seat].row)
    }

    /// Data row of a seat.
    pub fn row(&self, seat: usize) -> usize {
        self.seats[seat].row
    }

    /// Label of a seat.
    pub fn label(&self, seat: usize) -> usize {
        self.seats[seat].label
    }

    /// The random stream of a seat under this attack and budget.
    pub fn stream(&self, seat: usize) -> Stream {
        let row = self.seats[seat].row as u64;
        let index = self.stream_index as u64;
        Stream::new(self.ctx.seed, self.case.probe, self.attack.id(), index, row)
    }

    /// Seats still worth working on: not broken, and with queries left.
    pub fn open(&self) -> Vec<usize> {
        (0..self.seats.len()).filter(|&s| self.is_open(s)).collect()
    }

    /// Whether a seat is still worth working on.
    pub fn is_open(&self, seat: usize) -> bool {
        !self.seats[seat].done && self.left(seat) > 0
    }

    /// Whether a seat is open and has a query for a look and one for the judgement of what it may
    /// see: a crossing on the last query would be lost.
    pub fn can_look(&self, seat: usize) -> bool {
        self.is_open(seat) && self.left(seat) > 1
    }

    /// Queries a seat has left; `u64::MAX` without a limit.
    pub fn left(&self, seat: usize) -> u64 {
        let limit = self.case.queries_limit.unwrap_or(u64::MAX);
        limit.saturating_sub(self.seats[seat].spent())
    }

    /// Distance and coordinates of the nearest witness of a seat so far.
    pub fn nearest(&self, seat: usize) -> Option<(f64, &[f32])> {
        self.seats[seat].best.as_ref().map(|w| (w.distance, w.x.as_slice()))
    }

    /// Free coordinates of data rows whose clean decision is already where this seat's attacker
    /// wants to be, in data order: points to start from.
    pub fn starts(&self, seat: usize) -> Vec<&'a [f32]> {
        let (case, label) = (self.case, self.seats[seat].label);
        if let Some(rows) = case.oracle.starts(self.seats[seat].row) {
            return rows.into_iter().map(|row| case.oracle.clean(row)).collect();
        }
        (0..self.clean.rows())
            .filter(|&row| case.criterion.broken(label, self.clean.decision(row)))
            .map(|row| case.oracle.clean(row))
            .collect()
    }

    /// The point that a proposal will be judged at: projected, rounded and, under constraints,
    /// repaired; it is no valid row only where the repair fails.
    pub fn deployed(&self, seat: usize, x: &[f64], reach: Reach) -> Vec<f32> {
        let eps = if reach == Reach::Ball { self.eps } else { f64::INFINITY };
        self.case.deploy(self.seats[seat].row, x, eps)
    }

    /// What holds between the columns of a valid row, where anything is declared.
    pub fn constraints(&self) -> Option<&'a Constraints> {
        self.case.constraints
    }

    /// Whether a deployed point is a valid row.
    pub fn valid(&self, seat: usize, x: &[f32]) -> bool {
        self.case.valid(self.seats[seat].row, x)
    }

    /// How far scores are from success, as [`Reply::Standing`] tells it: negative once reached;
    /// `None` when the attacker sees decisions only.
    pub fn margin_of(&self, seat: usize, scores: &[f32]) -> Option<f64> {
        self.visible_margin(scores, self.seats[seat].label)
    }

    /// Proposes candidates, `seats.len() x dims`; a seat may occur more than once. Each is
    /// deployed, asked (one query) and judged; successes are kept as witnesses.
    ///
    /// A candidate that is no valid row even after repair is not shown to the target. It counts as
    /// a query, for a system that checks its rows answers it by a refusal, and is answered as
    /// infinitely far from success.
    ///
    /// # Errors
    /// Target failed or run stopped. A limit is a [`Reply::Refused`], not an error.
    pub fn ask(
        &mut self,
        seats: &[usize],
        x: &[f32],
        reach: Reach,
    ) -> Result<Vec<Reply>, ArenaError> {
        if self.ctx.cancelled() {
            return Err(ArenaError::Cancelled);
        }
        let dims = self.dims();
        debug_assert_eq!(x.len(), seats.len() * dims, "one candidate per seat");
        let mut replies = vec![Reply::Refused; seats.len()];
        // Who is asked is settled before anyone is: what a row spends must not depend on how
        // the batch is cut.
        let admitted: Vec<usize> =
            (0..seats.len()).filter(|&at| self.admit_one(seats[at])).collect();
        for some in admitted.chunks(ASK_CHUNK) {
            let mut shown = Vec::with_capacity(some.len());
            let mut points = Vec::with_capacity(some.len() * dims);
            for &at in some {
                let candidate = x[at * dims..(at + 1) * dims].iter();
                let wide: Vec<f64> = candidate.map(|&v| f64::from(v)).collect();
                let point = self.deployed(seats[at], &wide, reach);
                if self.valid(seats[at], &point) {
                    shown.push(at);
                    points.extend(point);
                } else {
                    replies[at] = self.refused(seats[at]);
                }
            }
            if shown.is_empty() {
                continue;
            }
            let rows: Vec<usize> = shown.iter().map(|&at| self.seats[seats[at]].row).collect();
            let scores = self.case.oracle.scores(&rows, &points)?;
            let each = points.chunks(dims).zip(scores.chunks(self.classes()));
            for (&at, (point, scores)) in shown.iter().zip(each) {
                replies[at] = self.judge(seats[at], point, scores);
            }
        }
        Ok(replies)
    }

    /// Losses and slopes at candidates as they stand (not deployed); one gradient per seat.
    ///
    /// Under a goal with more than two classes the loss pulls toward the class wanted,
    /// otherwise it pushes away from the label. It is always to be increased.
    ///
    /// # Errors
    /// Access is not white-box, a seat is over its limit, the target failed, the run stopped.
    pub fn slopes(&mut self, seats: &[usize], x: &[f32], loss: Loss) -> Result<Slopes, ArenaError> {
        self.admit_slopes(seats)?;
        let pull = self.case.criterion.target().filter(|_| self.classes() > 2);
        let rows: Vec<usize> = seats.iter().map(|&s| self.seats[s].row).collect();
        let labels: Vec<usize> =
            seats.iter().map(|&s| pull.unwrap_or(self.seats[s].label)).collect();
        let mut answer = self.case.oracle.loss_grad(&rows, x, &labels, loss)?;
        if pull.is_some() {
            answer.loss.iter_mut().chain(&mut answer.grad).for_each(|v| *v = -*v);
        }
        Ok(self.note_slopes(seats, x, answer))
    }

    /// As [`Arena::slopes`], for the losses toward a class: `targets[i]` is that of `seats[i]`,
    /// one of [`Arena::targets`].
    ///
    /// # Errors
    /// As [`Arena::slopes`].
    pub fn slopes_toward(
        &mut self,
        seats: &[usize],
        x: &[f32],
        targets: &[usize],
        loss: Loss,
    ) -> Result<Slopes, ArenaError> {
        self.admit_slopes(seats)?;
        let rows: Vec<usize> = seats.iter().map(|&s| self.seats[s].row).collect();
        let labels: Vec<usize> = seats.iter().map(|&s| self.seats[s].label).collect();
        let answer = self.case.oracle.loss_grad_toward(&rows, x, &labels, targets, loss)?;
        Ok(self.note_slopes(seats, x, answer))
    }

    /// Classes that a seat may be pulled toward: the one of the goal, else at most `most` others,
    /// the greatest clean score first (of equal ones the lower index).
    pub fn targets(&self, seat: usize, most: usize) -> Vec<usize> {
        let Seat { row, label, .. } = self.seats[seat];
        if let Some(to) = self.case.criterion.target() {
            return vec![to];
        }
        let scores = self.clean.scores(row);
        let mut others: Vec<usize> = (0..self.classes()).filter(|&c| c != label).collect();
        others.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        others.truncate(most);
        others
    }

    /// How the coordinates lie where they are the pixels of an image.
    pub fn picture(&self) -> Option<Picture> {
        self.case.oracle.picture()
    }

    /// How far each point, as it stands, is from what the attacker wants: not above 0 once it is
    /// there. One query per point, not judged: propose what has crossed.
    ///
    /// Of probabilities among more than one rival it is the logarithm of a ratio, the gap of the
    /// logits behind a softmax, so that the order of points is theirs.
    ///
    /// # Errors
    /// As [`Arena::scores`].
    pub fn margins(&mut self, seats: &[usize], x: &[f32]) -> Result<Vec<f64>, ArenaError> {
        let scores = self.scores(seats, x)?;
        let each = seats.iter().zip(scores.chunks(self.classes()));
        Ok(each.map(|(&seat, scores)| self.margin(scores, self.seats[seat].label)).collect())
    }

    fn margin(&self, scores: &[f32], label: usize) -> f64 {
        let Decision { kind, rule } = self.case.decision;
        if kind != OutputKind::Probability || rule != Rule::Argmax {
            return self.plain_margin(scores, label);
        }
        let log = scores.iter().map(|p| p.max(f32::MIN_POSITIVE).ln());
        let log: Vec<f32> = log.collect();
        match scores.iter().any(|p| p.is_nan()) {
            true => f64::NAN,
            false => self.plain_margin(&log, label),
        }
    }

    /// Scores at candidates as they stand (not deployed, not judged); one query per seat.
    ///
    /// # Errors
    /// Access gives decisions only, a seat is over its limit, the target failed, stopped.
    pub fn scores(&mut self, seats: &[usize], x: &[f32]) -> Result<Vec<f32>, ArenaError> {
        if self.case.access == Access::Decision {
            return Err(ArenaError::Access { attack: self.attack.id(), what: "scores" });
        }
        self.admit(seats)?;
        let (dims, classes) = (self.dims(), self.classes());
        let (scores, shown) = self.answers(seats, x)?;
        let each = seats.iter().zip(scores.chunks(classes)).zip(x.chunks(dims)).zip(shown);
        for (((&seat, scores), x), shown) in each {
            self.seats[seat].queries += 1;
            if shown {
                self.look(seat, scores, x);
            }
        }
        Ok(scores)
    }

    /// Scores at points as they stand, and which were shown to the target. Who does not hold the
    /// model gets none at a row that breaks the constraints: a form would refuse it.
    fn answers(&mut self, seats: &[usize], x: &[f32]) -> Result<(Vec<f32>, Vec<bool>), ArenaError> {
        let all: Vec<usize> = seats.iter().map(|&s| self.seats[s].row).collect();
        if self.case.access == Access::WhiteBox || self.case.constraints.is_none() {
            return Ok((self.case.oracle.scores(&all, x)?, vec![true; seats.len()]));
        }
        let (dims, classes) = (self.dims(), self.classes());
        let valid: Vec<bool> =
            seats.iter().zip(x.chunks(dims)).map(|(&s, x)| self.valid(s, x)).collect();
        let (mut rows, mut points) = (Vec::new(), Vec::new());
        for (at, x) in x.chunks(dims).enumerate().take(seats.len()) {
            if valid[at] {
                rows.push(all[at]);
                points.extend_from_slice(x);
            } else {
                self.seats[seats[at]].signs.invalid += 1;
            }
        }
        let told = self.case.oracle.scores(&rows, &points)?;
        let mut told = told.chunks(classes);
        let mut scores = Vec::with_capacity(seats.len() * classes);
        for fine in &valid {
            match fine.then(|| told.next()).flatten() {
                Some(own) => scores.extend_from_slice(own),
                None => scores.extend(std::iter::repeat_n(f32::NAN, classes)),
            }
        }
        Ok((scores, valid))
    }

    /// Notes which share of the attack's gain in loss came late (gate 8).
    pub fn note_late_gain(&mut self, seat: usize, share: f64) {
        let late = &mut self.seats[seat].signs.late_gain;
        *late = Some(late.map_or(share, |old| old.max(share)));
    }

    pub(super) fn into_seats(self) -> Vec<Seat> {
        self.seats
    }

    fn admit_slopes(&self, seats: &[usize]) -> Result<(), ArenaError> {
        if self.case.access != Access::WhiteBox {
            return Err(ArenaError::Access { attack: self.attack.id(), what: "gradients" });
        }
        self.admit(seats)
    }

    /// Counts gradients and what they show; a decision that is crossed outside of the budget is
    /// no success that could get lost.
    fn note_slopes(&mut self, seats: &[usize], x: &[f32], answer: LossGrad) -> Slopes {
        let (dims, classes) = (self.dims(), self.classes());
        let mut crossed = Vec::with_capacity(seats.len());
        let each = answer.grad.chunks(dims).zip(answer.scores.chunks(classes)).zip(x.chunks(dims));
        for (&seat, ((grad, scores), x)) in seats.iter().zip(each) {
            let signs = &mut self.seats[seat].signs;
            signs.gradients += 1;
            signs.zero_gradients += u64::from(grad.iter().all(|&g| g == 0.0));
            signs.non_finite_gradients += u64::from(grad.iter().any(|g| !g.is_finite()));
            self.seats[seat].gradients += 1;
            crossed.push(self.look(seat, scores, x));
        }
        Slopes { loss: answer.loss, grad: answer.grad, crossed }
    }

    /// Refuses a batch in which any seat has no query left.
    fn admit(&self, seats: &[usize]) -> Result<(), ArenaError> {
        if self.ctx.cancelled() {
            return Err(ArenaError::Cancelled);
        }
        let mut wanted = vec![0_u64; self.seats.len()];
        for &seat in seats {
            wanted[seat] += 1;
            if wanted[seat] > self.left(seat) {
                let limit = self.case.queries_limit.unwrap_or(u64::MAX);
                return Err(ArenaError::Limit { row: self.seats[seat].row, limit });
            }
        }
        Ok(())
    }

    /// Judges scores that came along, for the record of what an attack could have seen inside
    /// the budget.
    fn look(&mut self, seat: usize, scores: &[f32], x: &[f32]) -> bool {
        let decided = self.case.decision.decide(scores);
        let crossed = self.case.criterion.broken(self.seats[seat].label, decided);
        if decided.is_none() || (crossed && !self.seats[seat].signs.crossed) {
            let inside = self.case.space.distance(self.clean(seat), x, self.norm()) <= self.eps;
            // Across the decision, but no row that could occur: nothing an attack has overlooked.
            let counts = crossed && inside && self.valid(seat, x);
            let signs = &mut self.seats[seat].signs;
            signs.crossed |= counts;
            signs.nan_scores += u64::from(decided.is_none() && inside);
        }
        crossed
    }

    /// Counts one query of a seat, unless it has left or none is left.
    fn admit_one(&mut self, seat: usize) -> bool {
        let open = self.is_open(seat);
        self.seats[seat].queries += u64::from(open);
        open
    }

    /// The judgement: decision at the deployed point, distance of the deployed point.
    fn judge(&mut self, seat: usize, point: &[f32], scores: &[f32]) -> Reply {
        let label = self.seats[seat].label;
        let decided = self.case.decision.decide(scores);
        if decided.is_none() {
            let clean = self.case.oracle.clean(self.seats[seat].row);
            let inside = self.case.space.distance(clean, point, self.case.norm) <= self.eps;
            self.seats[seat].signs.nan_scores += u64::from(inside);
        }
        let Some(decision) = decided.filter(|_| self.case.criterion.broken(label, decided)) else {
            return Reply::Standing { margin: self.visible_margin(scores, label) };
        };
        let clean = self.case.oracle.clean(self.seats[seat].row);
        let distance = self.case.space.distance(clean, point, self.case.norm);
        // INVARIANT: only deployed points of the box become witnesses.
        debug_assert!(self.case.space.in_box(clean, point), "deployed outside the box");
        debug_assert!(self.valid(seat, point), "an invalid row was shown to the target");
        let done = distance <= self.eps;
        let found_by = self.attack.id();
        let seat = &mut self.seats[seat];
        seat.done |= done;
        if seat.best.as_ref().is_none_or(|best| distance < best.distance) {
            seat.best = Some(Witness { distance, x: point.to_vec(), decision, found_by });
        }
        Reply::Success { done }
    }

    /// The answer to a candidate that is no valid row.
    fn refused(&mut self, seat: usize) -> Reply {
        self.seats[seat].signs.invalid += 1;
        let visible = self.case.access != Access::Decision;
        Reply::Standing { margin: visible.then_some(f64::INFINITY) }
    }

    fn visible_margin(&self, scores: &[f32], label: usize) -> Option<f64> {
        if self.case.access == Access::Decision {
            return None;
        }
        Some(self.plain_margin(scores, label))
    }

    fn plain_margin(&self, scores: &[f32], label: usize) -> f64 {
        match self.case.criterion {
            // Toward one class of many: how far that class is from being decided.
            Criterion::Goal { to, .. } if self.classes() > 2 => {
                -self.case.decision.margin(scores, to)
            }
            _ => self.case.decision.margin(scores, label),
        }
    }
}

/// Candidates per call of the target: bounds memory; no result depends on it.
const ASK_CHUNK: usize = 1024;
