//! An attack proposes, the harness disposes.
//!
//! Owns the road from a proposal to a recorded witness: the candidate is projected into the
//! declared budget and rounded to the deployed type, the target is asked again through a
//! metered handle, the answer is judged at the declared decision, and the nearest witness is
//! kept. Must never take an attack's word for a success. Called by [`crate::evasion`]'s
//! assessment and by the validity gates.
//!
//! Budgets are attacked ascending and **independently**: each one's run starts from every
//! attackable row, so that a larger budget can be seen to do worse (gate 12). Afterwards the
//! nearest witness of any run decides for all budgets at once: a row is broken at `eps` when a
//! witness lies within `eps`, so what is reported never grows with the budget.
//!
//! With a query limit, queries and gradients both count against it (a gradient answers the
//! scores too); the limit holds per row and budget.

use std::collections::BTreeMap;

use proofmark_schema::attack::{BudgetRun, Distance, Outcome, Point};
use proofmark_schema::system::{Access, Norm};
use serde::{Deserialize, Serialize};

use crate::constraint::Constraints;
use crate::criterion::Criterion;
use crate::ctx::Ctx;
use crate::decision::Decision;
use crate::evasion::suite::Suite;
use crate::evasion::{Attack, Family};
use crate::oracle::{Oracle, OracleError};
use crate::space::Space;

pub mod arena;
mod clean;
mod valid;

pub use arena::{Arena, ArenaError, Reach, Reply, Slopes};
pub use clean::Clean;

use arena::{Seat, Witness};

/// What is attacked, and how success is judged.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The deployed target.
    pub oracle: &'a dyn Oracle,
    /// A second engine that judges each witness again.
    pub second: Option<&'a dyn Oracle>,
    /// Box, unit and deployed type.
    pub space: &'a Space,
    /// Class index per data row.
    pub labels: &'a [usize],
    /// The declared decision.
    pub decision: Decision,
    /// Success of the attacker.
    pub criterion: Criterion,
    /// Distance.
    pub norm: Norm,
    /// What the attacker can see.
    pub access: Access,
    /// Largest number of queries per row and budget.
    pub queries_limit: Option<u64>,
    /// What holds between the columns of every valid row; a witness is a valid row.
    pub constraints: Option<&'a Constraints>,
    /// Id of the probe, part of every random stream.
    pub probe: &'a str,
}

/// What became of a row, with its nearest witness: the unit of resuming and merging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// The wire record.
    pub point: Point,
    /// Deployed coordinates of the nearest witness.
    pub witness: Option<Vec<f32>>,
}

/// Rows already decided, by index.
pub type Done = BTreeMap<usize, RowRecord>;

/// Why the harness stopped.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The target failed.
    #[error(transparent)]
    Target(#[from] OracleError),
    /// The user stopped the run.
    #[error("stopped on request; rows decided so far are kept")]
    Cancelled,
    /// Labels, rows and target do not fit together.
    #[error("{0}")]
    Shape(String),
    /// Budgets not positive and ascending.
    #[error("budgets must be positive, finite and ascending, found {0:?}")]
    Budgets(Vec<f64>),
}

/// Attacks `rows` with the suite at every budget; rows in `done` are taken as they are.
/// `on_row` sees each newly decided row, so that the caller can store it; where the run is stopped
/// or fails, also those rows of the chunk at work that nothing more could happen to. The answer is
/// ascending by row index and does not depend on order or grouping of `rows`.
///
/// # Errors
/// See [`HarnessError`].
pub fn run(
    case: &Case<'_>,
    suite: &Suite,
    budgets: &[f64],
    rows: &[usize],
    done: &Done,
    ctx: &Ctx<'_>,
    on_row: &mut dyn FnMut(&RowRecord),
) -> Result<Vec<RowRecord>, HarnessError> {
    case.check(budgets, rows)?;
    let clean = Clean::ask(case.oracle, &case.decision)?;
    let mut asked: Vec<usize> = rows.to_vec();
    asked.sort_unstable();
    asked.dedup();
    let mut decided: BTreeMap<usize, RowRecord> = BTreeMap::new();
    for row in &asked {
        if let Some(record) = done.get(row) {
            decided.insert(*row, record.clone());
        }
    }
    let pending: Vec<usize> =
        rows.iter().copied().filter(|row| !decided.contains_key(row)).collect();
    let alone = case.oracle.alone();
    let crew = Crew { shared: alone.as_deref(), clean: &clean, suite, budgets };
    for chunk in pending.chunks(CHUNK) {
        let Part { records, stopped } = crew.run(case, chunk, ctx)?;
        for record in records {
            on_row(&record);
            decided.insert(record.point.index as usize, record);
        }
        if let Some(error) = stopped {
            return Err(error);
        }
        ctx.progress.step("rows", decided.len() as u64, asked.len() as u64);
    }
    Ok(decided.into_values().collect())
}

/// Merges the records of shards, ascending by row; of duplicates the first is kept.
pub fn merge(shards: impl IntoIterator<Item = Vec<RowRecord>>) -> Vec<RowRecord> {
    let mut all = BTreeMap::new();
    for record in shards.into_iter().flatten() {
        all.entry(record.point.index).or_insert(record);
    }
    all.into_values().collect()
}

impl RowRecord {
    /// Whether the row counts as robust at a budget: correct, and no witness within it.
    pub fn robust_at(&self, eps: f64) -> bool {
        self.point.outcome != Outcome::Wrong
            && self.point.distance.upper.is_none_or(|distance| distance > eps)
    }

    /// Whether the row was attacked.
    pub fn attacked(&self) -> bool {
        matches!(self.point.outcome, Outcome::Broken | Outcome::Survived)
    }
}

impl Case<'_> {
    /// Whether an attack can run here, else why not.
    ///
    /// # Errors
    /// The reason, in words for the report.
    pub fn admits(&self, attack: &dyn Attack) -> Result<(), String> {
        use crate::evasion::Needs;
        if !attack.norms().contains(&self.norm) {
            return Err(format!("not defined for {}", norm_name(self.norm)));
        }
        if let Some(loss) = attack.loss() {
            self.oracle.pushes(loss)?;
        }
        match (attack.needs(), self.access) {
            (Needs::Gradient, Access::WhiteBox) => self.oracle.gradient()?,
            (Needs::Gradient, _) => return Err("needs gradients; access is black-box".into()),
            (Needs::Scores, Access::Decision) => {
                return Err("needs scores; access is decisions only".into());
            }
            _ => {}
        }
        attack.fits(self.space)
    }

    fn check(&self, budgets: &[f64], rows: &[usize]) -> Result<(), HarnessError> {
        let n = self.oracle.rows();
        let shape = |text: String| Err(HarnessError::Shape(text));
        if self.labels.len() != n {
            return shape(format!("{} labels for {n} rows", self.labels.len()));
        }
        if self.space.dims() != self.oracle.dims() {
            let (space, target) = (self.space.dims(), self.oracle.dims());
            return shape(format!("the space has {space} coordinates, the target {target}"));
        }
        if let Some(label) = self.labels.iter().find(|&&l| l >= self.oracle.classes()) {
            let classes = self.oracle.classes();
            return shape(format!("label {label} lies outside the {classes} classes"));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= n) {
            return shape(format!("row {row} lies outside the {n} rows"));
        }
        if let Some(constraints) = self.constraints.filter(|c| c.rows() != n) {
            return shape(format!("constraints of {} rows for {n} rows", constraints.rows()));
        }
        let ascending = budgets.windows(2).all(|w| w[0] < w[1]);
        if budgets.is_empty() || !ascending || budgets.iter().any(|e| e.is_nan() || *e <= 0.0) {
            return Err(HarnessError::Budgets(budgets.to_vec()));
        }
        Ok(())
    }
}

/// `linf`, `l2`, `l1`.
pub fn norm_name(norm: Norm) -> &'static str {
    match norm {
        Norm::Linf => "linf",
        Norm::L2 => "l2",
        Norm::L1 => "l1",
    }
}

/// A row while it is worked on.
struct Desk {
    row: usize,
    attacked: bool,
    runs: Vec<BudgetRun>,
    best: Option<Witness>,
    /// Nearest witness of each minimum-distance attack that ran already, by stage.
    settled: BTreeMap<usize, Option<Witness>>,
}

/// Rows decided, and what stopped the others.
struct Part {
    records: Vec<RowRecord>,
    stopped: Option<HarnessError>,
}

/// What all rows of a run share.
struct Crew<'a> {
    /// The target for several threads at once.
    shared: Option<&'a dyn Oracle>,
    clean: &'a Clean,
    suite: &'a Suite,
    budgets: &'a [f64],
}

impl Crew<'_> {
    /// Attacks rows, dealt out to threads where there are rows enough: a row's result depends on
    /// the row alone, so it does not matter who works it.
    fn run(&self, case: &Case<'_>, rows: &[usize], ctx: &Ctx<'_>) -> Result<Part, HarnessError> {
        let hands = case.oracle.threads().min(rows.len() / SHARD_MIN);
        let work = |case: &Case<'_>, rows: &[usize]| {
            run_chunk(case, self.clean, self.suite, self.budgets, rows, ctx)
        };
        let Part { mut records, stopped } = match self.shared.filter(|_| hands > 1) {
            None => work(case, rows),
            Some(oracle) => {
                let case = Case { oracle, ..*case };
                let dealt: Vec<Vec<usize>> = (0..hands)
                    .map(|hand| rows.iter().copied().skip(hand).step_by(hands).collect())
                    .collect();
                let (case, work) = (&case, &work);
                let parts = std::thread::scope(|scope| {
                    let start = |rows: Vec<usize>| scope.spawn(move || work(case, &rows));
                    let started: Vec<_> = dealt.into_iter().map(start).collect();
                    let each = started.into_iter().map(std::thread::ScopedJoinHandle::join);
                    let each = each.map(|r| r.unwrap_or_else(|p| std::panic::resume_unwind(p)));
                    each.collect::<Vec<Part>>()
                });
                let mut stopped = None;
                let mut parts: Vec<_> = parts
                    .into_iter()
                    .map(|part| {
                        stopped = stopped.take().or(part.stopped);
                        part.records.into_iter()
                    })
                    .collect();
                let records = (0..rows.len()).filter_map(|at| parts[at % hands].next()).collect();
                Part { records, stopped }
            }
        };
        if let Some(second) = case.second {
            dispute(case, second, &mut records)?;
        }
        Ok(Part { records, stopped })
    }
}

fn run_chunk(
    case: &Case<'_>,
    clean: &Clean,
    suite: &Suite,
    budgets: &[f64],
    rows: &[usize],
    ctx: &Ctx<'_>,
) -> Part {
    let mut desks: Vec<Desk> = rows
        .iter()
        .map(|&row| Desk {
            row,
            attacked: case.criterion.attackable(case.labels[row], clean.decision(row)),
            runs: Vec::new(),
            best: None,
            settled: BTreeMap::new(),
        })
        .collect();
    let mut each = 0..budgets.len();
    let stopped =
        each.find_map(|i| run_budget(case, clean, suite, budgets, i, &mut desks, ctx).err());
    if stopped.is_some() {
        desks.retain(|desk| desk.decided(budgets.len()));
    }
    let records = desks.into_iter().map(|desk| record(case, clean, budgets, desk)).collect();
    Part { records, stopped }
}

impl Desk {
    /// Whether nothing more can happen to the row: it is not attacked, or broken at the last of
    /// so many budgets.
    fn decided(&self, budgets: usize) -> bool {
        !self.attacked || (self.runs.len() == budgets && self.runs.last().is_some_and(|r| r.broken))
    }
}

/// One budget: every stage of the suite on the rows that still stand under this budget.
fn run_budget(
    case: &Case<'_>,
    clean: &Clean,
    suite: &Suite,
    budgets: &[f64],
    index: usize,
    desks: &mut [Desk],
    ctx: &Ctx<'_>,
) -> Result<(), HarnessError> {
    let eps = budgets[index];
    for desk in desks.iter_mut().filter(|d| d.attacked) {
        let (found_by, signs) = (None, Vec::new());
        desk.runs.push(BudgetRun { eps, broken: false, found_by, queries: 0, gradients: 0, signs });
    }
    for (stage, attack) in suite.attacks().iter().enumerate() {
        if case.admits(attack.as_ref()).is_err() {
            continue;
        }
        if ctx.cancelled() {
            return Err(HarnessError::Cancelled);
        }
        let least = attack.family() == Family::MinDistance;
        // A minimum-distance attack does not depend on the budget: it runs once, until a
        // witness lies within the smallest one, and its answer serves the others.
        let radius = if least { budgets[0] } else { eps };
        let stream_index = if least { 0 } else { index };
        let mut seats: Vec<Seat> = Vec::new();
        let mut seated: Vec<usize> = Vec::new();
        for (at, desk) in desks.iter_mut().enumerate() {
            let Some(run) = desk.runs.last_mut().filter(|run| desk.attacked && !run.broken) else {
                continue;
            };
            if let Some(found) = desk.settled.get(&stage) {
                settle(run, found.as_ref(), attack.id());
                continue;
            }
            seats.push(Seat::new(desk.row, case.labels[desk.row], run.queries, run.gradients));
            seated.push(at);
        }
        if seats.is_empty() {
            continue;
        }
        let mut arena = Arena::new(case, clean, attack.as_ref(), radius, stream_index, seats, ctx);
        match attack.run(&mut arena) {
            Ok(()) | Err(ArenaError::Limit { .. }) => {}
            Err(ArenaError::Cancelled) => return Err(HarnessError::Cancelled),
            Err(ArenaError::Target(error)) => return Err(error.into()),
            Err(error @ ArenaError::Access { .. }) => {
                return Err(HarnessError::Shape(error.to_string()));
            }
        }
        for (at, seat) in seated.into_iter().zip(arena.into_seats()) {
            harvest(&mut desks[at], seat, stage, least, attack.id());
        }
    }
    Ok(())
}

fn harvest(desk: &mut Desk, seat: Seat, stage: usize, least: bool, id: &str) {
    if let Some(run) = desk.runs.last_mut() {
        // An attack that had nothing left to ask with leaves no signs: it looked at nothing.
        let before = run.queries + run.gradients;
        run.queries = seat.queries;
        run.gradients = seat.gradients;
        settle(run, seat.best.as_ref(), id);
        if run.queries + run.gradients > before || seat.signs.invalid > 0 {
            run.signs.push(seat.signs);
        }
    }
    if least {
        desk.settled.insert(stage, seat.best.clone());
    }
    if let Some(found) = seat.best
        && desk.best.as_ref().is_none_or(|best| found.distance < best.distance)
    {
        desk.best = Some(found);
    }
}

fn settle(run: &mut BudgetRun, found: Option<&Witness>, id: &str) {
    if found.is_some_and(|w| w.distance <= run.eps) {
        run.broken = true;
        run.found_by = Some(id.to_string());
    }
}

fn record(case: &Case<'_>, clean: &Clean, budgets: &[f64], desk: Desk) -> RowRecord {
    let label = case.labels[desk.row];
    let decision = clean.decision(desk.row);
    let largest = budgets.last().copied().unwrap_or(0.0);
    let outcome = if decision != Some(label) {
        Outcome::Wrong
    } else if !desk.attacked {
        Outcome::NotAttackable
    } else if desk.best.as_ref().is_some_and(|w| w.distance <= largest) {
        Outcome::Broken
    } else {
        Outcome::Survived
    };
    let upper = match outcome {
        Outcome::Wrong => Some(0.0),
        _ => desk.best.as_ref().map(|w| w.distance),
    };
    let point = Point {
        index: desk.row as u64,
        label,
        decision_clean: decision,
        outcome,
        distance: Distance { norm: case.norm, lower: None, upper },
        found_by: desk.best.as_ref().map(|w| w.found_by.to_string()),
        decision_witness: desk.best.as_ref().map(|w| w.decision),
        disputed: false,
        shift: None,
        queries: desk.runs.iter().map(|r| r.queries).sum(),
        gradients: desk.runs.iter().map(|r| r.gradients).sum(),
        runs: desk.runs,
    };
    RowRecord { point, witness: desk.best.map(|w| w.x) }
}

/// The deployed engine decides; where the second one differs the row is marked.
fn dispute(
    case: &Case<'_>,
    second: &dyn Oracle,
    records: &mut [RowRecord],
) -> Result<(), HarnessError> {
    let with: Vec<usize> = (0..records.len()).filter(|&i| records[i].witness.is_some()).collect();
    let rows: Vec<usize> = with.iter().map(|&i| records[i].point.index as usize).collect();
    let x: Vec<f32> =
        with.iter().filter_map(|&i| records[i].witness.as_deref()).flatten().copied().collect();
    if rows.is_empty() {
        return Ok(());
    }
    let scores = second.scores(&rows, &x)?;
    for (&i, row_scores) in with.iter().zip(scores.chunks(second.classes())) {
        let decided = case.decision.decide(row_scores);
        records[i].point.disputed = !case.criterion.broken(records[i].point.label, decided);
    }
    Ok(())
}

/// Rows worked on together: bounds the memory of an attack's state; no result depends on it.
const CHUNK: usize = 256;

/// Rows that are worth a thread of their own: they fill a narrow batch.
const SHARD_MIN: usize = 8;

#[cfg(test)]
mod tests;
