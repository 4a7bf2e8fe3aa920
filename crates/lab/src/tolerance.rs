//! A regression under attack: the answer within a tolerance, or beyond it.
//!
//! Owns the band of every row and the view of a target that answers with the room left inside
//! it, so that every attack, witness, gate and count of the harness works on numbers as it does
//! on classes. Must never judge by itself: the harness does, at [`Rule::Within`].
//!
//! A row counts as right when its clean answer is within the tolerance of its label, whichever
//! way: an answer that is already off proves nothing when it is moved. It is broken when an
//! admissible input moves the answer by more than the tolerance, in the declared direction, from
//! the reference: the clean answer (what the attacker gains), or, if declared, the label (what
//! the answer must stay near).

use std::sync::{Arc, Mutex};

use proofmark_schema::system::{Direction, Norm, OutputKind, Reference, Tolerance};

use crate::constraint::Constraints;
use crate::criterion::Criterion;
use crate::ctx::Ctx;
use crate::decision::{Decision, Rule};
use crate::evasion::suite::Suite;
use crate::harness::{self, Case, Clean, Done, HarnessError, RowRecord};
use crate::oracle::{Loss, LossGrad, Oracle, OracleError};
use crate::space::Space;

/// Class index of an answer within the band; 1 is beyond.
pub const WITHIN: usize = 0;

/// Names of the two sides, by class index.
pub const SIDES: [&str; 2] = ["within", "beyond"];

/// The bands of all rows: from the clean answers, so the same for every engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    bands: Vec<Band>,
    tolerance: Tolerance,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Band {
    reference: f64,
    low: f64,
    high: f64,
    /// Whether the clean answer is within the tolerance of the label.
    right: bool,
}

impl Bands {
    /// Bands around the clean answers (one column), or around the labels.
    pub fn new(clean: &Clean, targets: &[f64], tolerance: Tolerance, direction: Direction) -> Self {
        let bands = targets.iter().enumerate().map(|(row, &target)| {
            let answer = clean.scores(row).first().map_or(f64::NAN, |&v| f64::from(v));
            let reference = match tolerance.from {
                Reference::Answer => answer,
                Reference::Label => target,
            };
            let allowed = match tolerance.relative {
                true => tolerance.size * reference.abs(),
                false => tolerance.size,
            };
            let open = |wanted: Direction| direction != Direction::Either && direction != wanted;
            Band {
                reference,
                low: if open(Direction::Down) { f64::NEG_INFINITY } else { reference - allowed },
                high: if open(Direction::Up) { f64::INFINITY } else { reference + allowed },
                right: (answer - target).abs() <= allowed,
            }
        });
        Self { bands: bands.collect(), tolerance, direction }
    }

    /// The decision of the view.
    pub fn decision() -> Decision {
        Decision { kind: OutputKind::Score, rule: Rule::Within }
    }

    /// Rows with a reference of 0 under a relative tolerance: theirs is 0.
    pub fn without_room(&self) -> usize {
        let none = |b: &&Band| self.tolerance.relative && b.reference == 0.0;
        self.bands.iter().filter(none).count()
    }

    /// The tolerance in words, e.g. `the answer moves by at most 5000 EUR from the clean answer`.
    pub fn describe(&self, unit: Option<&str>) -> String {
        let size = self.tolerance.size;
        let most = match (self.tolerance.relative, unit) {
            (true, _) => format!("a share of {size} of it"),
            (false, Some(unit)) => format!("{size} {unit}"),
            (false, None) => format!("{size}"),
        };
        let from = match self.tolerance.from {
            Reference::Answer => "the clean answer",
            Reference::Label => "the label",
        };
        let way = match self.direction {
            Direction::Up => "above",
            Direction::Down => "below",
            Direction::Either => "away from",
        };
        format!("the answer lies at most {most} {way} {from}")
    }

    /// How far an answer is from the reference in the declared direction; negative the other way.
    fn shift(&self, row: usize, answer: f64) -> f64 {
        let moved = self.bands.get(row).map_or(f64::NAN, |b| answer - b.reference);
        match self.direction {
            Direction::Up => moved,
            Direction::Down => -moved,
            Direction::Either => moved.abs(),
        }
    }
}

/// A target seen through its bands: two scores per row, the room left inside and 0.
pub struct Banded<'a> {
    target: &'a dyn Oracle,
    bands: Arc<Bands>,
    /// Rows by reference answer, for points to start from.
    answers: &'a Clean,
}

impl<'a> Banded<'a> {
    /// The view of a target that answers with one number; `answers` are its clean ones.
    pub fn new(target: &'a dyn Oracle, bands: Arc<Bands>, answers: &'a Clean) -> Self {
        Self { target, bands, answers }
    }

    /// The bands.
    pub fn bands(&self) -> &Bands {
        &self.bands
    }

    fn band(&self, row: usize) -> Option<Band> {
        self.bands.bands.get(row).copied()
    }

    fn room(&self, row: usize, answer: f32) -> f32 {
        let Some(band) = self.band(row) else { return f32::NAN };
        if !band.right {
            return if answer.is_nan() { f32::NAN } else { -1.0 };
        }
        let answer = f64::from(answer);
        let room = (answer - band.low).min(band.high - answer);
        // The sign decides: it must not be lost where f32 holds no number so small.
        if room < 0.0 { (room as f32).min(-f32::MIN_POSITIVE) } else { room as f32 }
    }

    fn rooms(&self, rows: &[usize], answers: &[f32]) -> Vec<f32> {
        let each = rows.iter().zip(answers);
        each.flat_map(|(&row, &answer)| [self.room(row, answer), 0.0]).collect()
    }
}

impl Oracle for Banded<'_> {
    fn rows(&self) -> usize {
        self.target.rows()
    }
    fn dims(&self) -> usize {
        self.target.dims()
    }
    fn classes(&self) -> usize {
        SIDES.len()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.target.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        Ok(self.rooms(rows, &self.target.scores(rows, x)?))
    }
    fn gradient(&self) -> Result<(), String> {
        self.target.gradient()
    }
    fn stepped(&self) -> bool {
        self.target.stepped()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let mut answer = self.target.loss_grad(rows, x, labels, loss)?;
        for (&row, loss_of_row) in rows.iter().zip(&mut answer.loss) {
            let Some(band) = self.band(row) else { continue };
            // Positive exactly when the answer has left the band on that side.
            let signed = f64::from(*loss_of_row);
            *loss_of_row = match loss {
                Loss::Up if band.high.is_finite() => (signed - band.high) as f32,
                Loss::Down if band.low.is_finite() => (signed + band.low) as f32,
                _ => *loss_of_row,
            };
        }
        answer.scores = self.rooms(rows, &answer.scores);
        Ok(answer)
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        match (loss, self.bands.direction) {
            (
                Loss::CrossEntropy | Loss::Margin | Loss::Toward | Loss::Ratio | Loss::RatioToward,
                _,
            ) => Err("the answer is a number: it is pushed up or down instead".into()),
            (Loss::Up, Direction::Down) => Err("the goal is downward".into()),
            (Loss::Down, Direction::Up) => Err("the goal is upward".into()),
            (Loss::Up | Loss::Down, _) => self.target.pushes(loss),
        }
    }
    fn starts(&self, row: usize) -> Option<Vec<usize>> {
        let beyond = |other: &usize| {
            let answer = self.answers.scores(*other).first().copied().unwrap_or(f32::NAN);
            self.band(row).is_some_and(|b| b.right) && self.room(row, answer) < 0.0
        };
        Some((0..self.answers.rows()).filter(beyond).collect())
    }
}

/// The largest shift found per sampled row and budget: a lower bound of the worst case.
#[derive(Clone, Debug, PartialEq)]
pub struct Shifts {
    /// Rows searched, ascending.
    pub rows: Vec<usize>,
    /// By budget, then row: the largest shift in the declared direction, at least 0.
    pub found: Vec<Vec<f64>>,
}

/// Searches the largest shift of at most [`SHIFT_ROWS`] attacked rows at every budget: the same
/// suite, with bands so wide that no row leaves early. What a smaller budget found counts for a
/// larger one.
///
/// # Errors
/// See [`HarnessError`].
pub fn shifts(
    case: &Case<'_>,
    view: &Banded<'_>,
    suite: &Suite,
    budgets: &[f64],
    records: &[RowRecord],
    ctx: &Ctx<'_>,
) -> Result<Shifts, HarnessError> {
    let rows = sample(records);
    let mut found: Vec<Vec<f64>> = Vec::new();
    let wide = Arc::new(view.bands.endless());
    for &eps in budgets {
        let inner = Banded::new(view.target, Arc::clone(&wide), view.answers);
        let seen = Mutex::new(vec![0.0_f64; view.rows()]);
        let (space, norm) = (case.space, case.norm);
        let constraints = case.constraints;
        let bands = &view.bands;
        let recorder = Recorder { inner, bands, space, norm, eps, constraints, seen: &seen };
        let probe = format!("{}/shift", case.probe);
        let case = Case {
            oracle: &recorder,
            second: None,
            decision: Decision { kind: OutputKind::Score, rule: Rule::Value },
            labels: &vec![WITHIN; view.rows()],
            criterion: Criterion::Leave,
            probe: &probe,
            ..*case
        };
        harness::run(&case, suite, &[eps], &rows, &Done::new(), ctx, &mut |_| {})?;
        let seen = seen.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let least = |at: usize| found.last().and_then(|f| f.get(at)).copied().unwrap_or(0.0);
        let of_budget =
            rows.iter().enumerate().map(|(at, &row)| seen[row].max(least(at))).collect();
        found.push(of_budget);
    }
    Ok(Shifts { rows, found })
}

impl Shifts {
    /// Writes what the greatest budget's search found into the records of its rows.
    pub fn note(&self, records: &mut [RowRecord]) {
        let Some(found) = self.found.last() else { return };
        for (&row, &shift) in self.rows.iter().zip(found) {
            let at = records.binary_search_by_key(&(row as u64), |r| r.point.index);
            if let Ok(record) = at.map(|at| &mut records[at]) {
                record.point.shift = Some(shift);
            }
        }
    }
}

impl Bands {
    /// The same references with nothing beyond: no row leaves, every row counts as right.
    fn endless(&self) -> Self {
        let bands = self.bands.iter().map(|b| Band {
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            right: true,
            ..*b
        });
        Self { bands: bands.collect(), ..self.clone() }
    }
}

/// Evenly spaced attacked rows.
fn sample(records: &[RowRecord]) -> Vec<usize> {
    let attacked = records.iter().filter(|r| r.attacked());
    let all: Vec<usize> = attacked.map(|r| r.point.index as usize).collect();
    let taken = all.len().min(SHIFT_ROWS);
    (0..taken).map(|i| all[i * all.len() / taken]).collect()
}

/// Notes the largest shift among the answers at deployed points inside the budget.
struct Recorder<'a> {
    inner: Banded<'a>,
    bands: &'a Bands,
    space: &'a Space,
    norm: Norm,
    eps: f64,
    constraints: Option<&'a Constraints>,
    seen: &'a Mutex<Vec<f64>>,
}

impl Recorder<'_> {
    fn note(&self, rows: &[usize], x: &[f32], answers: &[f32]) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let each = rows.iter().zip(x.chunks(self.dims().max(1))).zip(answers);
        for ((&row, point), &answer) in each {
            let shift = self.bands.shift(row, f64::from(answer));
            if shift.is_finite() && shift > seen[row] && self.admissible(row, point) {
                seen[row] = shift;
            }
        }
    }

    /// What a search follows and lowers: the shift, negated. No decision changes with it.
    fn shown(&self, rows: &[usize], answers: &[f32]) -> Vec<f32> {
        let each = rows.iter().zip(answers);
        let shown = |(&row, &answer): (&usize, &f32)| {
            [-self.bands.shift(row, f64::from(answer)) as f32, 0.0]
        };
        each.flat_map(shown).collect()
    }

    /// Whether a point is one that could be deployed inside the budget.
    fn admissible(&self, row: usize, point: &[f32]) -> bool {
        let clean = self.inner.clean(row);
        let wide: Vec<f64> = point.iter().map(|&v| f64::from(v)).collect();
        let deployed = || self.space.deploy(clean, &wide, self.eps, self.norm);
        let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.space.in_box(clean, point)
            && self.space.distance(clean, point, self.norm) <= self.eps
            && (!self.space.rounded() || bits(&deployed()) == bits(point))
            && self.constraints.is_none_or(|c| c.valid(row, point))
    }
}

impl Oracle for Recorder<'_> {
    fn rows(&self) -> usize {
        self.inner.rows()
    }
    fn dims(&self) -> usize {
        self.inner.dims()
    }
    fn classes(&self) -> usize {
        self.inner.classes()
    }
    fn clean(&self, row: usize) -> &[f32] {
        self.inner.clean(row)
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        let answers = self.inner.target.scores(rows, x)?;
        self.note(rows, x, &answers);
        Ok(self.shown(rows, &answers))
    }
    fn gradient(&self) -> Result<(), String> {
        self.inner.gradient()
    }
    fn stepped(&self) -> bool {
        self.inner.stepped()
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let mut answer = self.inner.target.loss_grad(rows, x, labels, loss)?;
        self.note(rows, x, &answer.scores);
        answer.scores = self.shown(rows, &answer.scores);
        Ok(answer)
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        // The direction is that of the declared bands, which `endless` keeps.
        self.inner.pushes(loss)
    }
}

/// Rows whose largest shift is searched: without an early end each costs a whole suite.
pub const SHIFT_ROWS: usize = 128;

#[cfg(test)]
mod tests;
