//! The exact search over a subject's trees: what `attack` and `assess` share.
//!
//! Owns the road from a loaded subject to the lab's search, and the threads that it is dealt to.
//! Must never judge: candidates go to the harness. The model's columns are those that the trees
//! read; see [`proofmark_lab::formal::trees`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use proofmark_engine::trees::Ensemble;
use proofmark_lab::evasion::suite::{EXACT, Suite};
use proofmark_lab::formal::proposals::{Proposals, TREES};
use proofmark_lab::formal::trees::model::{self, Feed, Found};
use proofmark_lab::formal::trees::{Axis, Budget, Grid, Nearest, Question, Searcher};
use proofmark_lab::harness::{Case, RowRecord};
use proofmark_lab::space::Space;
use proofmark_lab::target;
use proofmark_schema::system::Way;

use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, Rows};
use crate::progress::Bars;
use crate::project::Project;
use crate::subject::Subject;

/// A subject laid out for the search.
pub struct Setup<'a> {
    case: &'a Case<'a>,
    feed: Feed,
    searcher: Searcher,
    axes: Vec<Axis>,
    slack: f64,
    /// The ensemble as it is deployed.
    ensemble: Ensemble,
}

/// What the search says of all rows.
pub struct Answers {
    /// The class that its arithmetic decides on each row as it is.
    pub decided: Vec<usize>,
    /// Rows that were searched.
    pub nearest: BTreeMap<usize, Nearest>,
    /// Seconds of CPU that the search took, where the system counts them.
    pub cpu_seconds: Option<f64>,
    /// Candidates for the harness.
    candidates: BTreeMap<usize, Vec<Vec<f32>>>,
    limit: u64,
}

impl<'a> Setup<'a> {
    /// The deployed arithmetic: lower bounds hold for the engine's own sums.
    pub fn deployed(project: &Project, subject: &Subject, case: &'a Case<'a>) -> Outcome<Self> {
        let mut setup = Self::exact(project, subject, case, None)?;
        let (e, decision) = (&setup.ensemble, &case.decision);
        setup.slack = setup.searcher.slack(e.arithmetic, e.link, decision);
        Ok(setup)
    }

    /// Exact sums, in `f64`, over the numbers of the ensemble; those of `decimals` instead, and
    /// the rows as their file has them, where a file holds more digits than the engine.
    pub fn exact(
        project: &Project,
        subject: &Subject,
        case: &'a Case<'a>,
        decimals: Option<Ensemble>,
    ) -> Outcome<Self> {
        let asset = project.system.model_named(subject.model_name());
        let asset = asset.ok_or_else(|| Failure::new("model", "no such model", ""))?;
        let loaded = loader::held_model(project, asset)?;
        let graph = loaded.model.graph();
        let help = "use `--suite quick`; docs/exact.md says which models are searched";
        let Found { ensemble, judged, input } =
            model::find(graph, subject.target.output()).or_fail("exact", help)?;
        let rows = target::inputs(subject.binding()).or_fail("binding", "")?;
        let free = target::coordinates(subject.binding());
        let mut feed = model::feed(graph, &input, &rows, &free).or_fail("exact", help)?;
        if decimals.is_some() {
            widen(&mut feed, subject);
        }
        let searched = decimals.as_ref().unwrap_or(&ensemble);
        let searcher = Searcher::new(searched, judged, &case.decision, subject.target.columns())
            .or_fail("exact", help)?;
        if case.labels.is_empty() || feed.columns < searched.columns {
            let words = format!("{} columns for {} of the trees", feed.columns, searched.columns);
            return Err(Failure::new("exact", words, "please report this as a bug"));
        }
        let axes = axes(case.space, &feed, &searcher)?;
        Ok(Self { case, feed, searcher, axes, slack: 0.0, ensemble })
    }

    /// Leaves searched.
    pub fn leaves(&self) -> usize {
        self.searcher.boxes().leaves()
    }

    /// Trees searched.
    pub fn trees(&self) -> usize {
        self.searcher.boxes().trees()
    }

    /// Searches every row that is attacked. A row's answer depends on the row alone.
    pub fn search(
        &self,
        budget: Budget,
        threads: usize,
        bars: &Bars,
        stop: &AtomicBool,
    ) -> Answers {
        let n = self.case.labels.len();
        let decided: Vec<usize> = (0..n).map(|row| self.searcher.decide(self.row(row))).collect();
        let attacked: Vec<usize> = (0..n)
            .filter(|&row| {
                self.case.criterion.attackable(self.case.labels[row], Some(decided[row]))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(attacked.len()));
        let spent = Mutex::new(Some(0.0));
        let work = || {
            let began = cpu_seconds();
            let mut mine = Vec::new();
            while let Some(&row) = attacked.get(next.fetch_add(1, Ordering::Relaxed)) {
                mine.push((row, self.one(row, decided[row], budget, stop)));
                proofmark_lab::ctx::Progress::step(
                    bars,
                    "rows searched",
                    next.load(Ordering::Relaxed).min(attacked.len()) as u64,
                    attacked.len() as u64,
                );
            }
            let took = began.zip(cpu_seconds()).map(|(from, to)| to - from);
            let mut spent = spent.lock().unwrap_or_else(PoisonError::into_inner);
            *spent = spent.zip(took).map(|(a, b)| a + b);
            done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
        };
        match threads.min(attacked.len() / ROWS_PER_THREAD_MIN) {
            0 | 1 => work(),
            hands => std::thread::scope(|scope| (0..hands).for_each(|_| drop(scope.spawn(work)))),
        }
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut nearest, mut candidates) = (BTreeMap::new(), BTreeMap::new());
        for (row, (found, points)) in done {
            nearest.insert(row, found);
            candidates.insert(row, points);
        }
        let cpu_seconds = spent.into_inner().unwrap_or_else(PoisonError::into_inner);
        Answers { decided, nearest, cpu_seconds, candidates, limit: budget.boxes }
    }

    fn one(
        &self,
        row: usize,
        from: usize,
        budget: Budget,
        stop: &AtomicBool,
    ) -> (Nearest, Vec<Vec<f32>>) {
        let question = Question {
            row: self.row(row),
            axes: &self.axes,
            norm: self.case.norm,
            from,
            goal: self.case.criterion.target(),
            slack: self.slack,
        };
        let stop = || stop.load(Ordering::Relaxed);
        let mut mended: Vec<Vec<f32>> = Vec::new();
        let mut valid = |point: &[f32]| {
            let free = self.free(row, point);
            let fine = self.case.valid(row, &free);
            if !fine && mended.len() < MENDED_MAX {
                mended.extend(self.mended(row, &free, from));
            }
            fine
        };
        let allowed: Option<&mut proofmark_lab::formal::trees::Allowed<'_>> =
            if self.case.constraints.is_some() { Some(&mut valid) } else { None };
        let found = self.searcher.nearest(&question, budget, allowed, &stop);
        let clean: Vec<f32> = self.row(row).iter().map(|&v| v as f32).collect();
        let points = self.searcher.candidates(&question, &found, &clean);
        let mut points: Vec<Vec<f32>> = points.iter().map(|p| self.free(row, p)).collect();
        if !mended.is_empty() {
            points.append(&mut mended);
            points.sort_by(|a, b| self.distance(row, a).total_cmp(&self.distance(row, b)));
        }
        (found, points)
    }

    /// A change that no valid row makes, repaired, where it still is one: an upper bound only.
    fn mended(&self, row: usize, free: &[f32], from: usize) -> Option<Vec<f32>> {
        let wide: Vec<f64> = free.iter().map(|&v| f64::from(v)).collect();
        let point = self.case.deploy(row, &wide, f64::INFINITY);
        let mut values = self.row(row).to_vec();
        for (value, place) in values.iter_mut().zip(&self.feed.places) {
            if let Some(place) = place {
                *value = f64::from(point[*place]);
            }
        }
        (self.case.valid(row, &point) && self.searcher.decide(&values) != from).then_some(point)
    }

    /// Values of a row by column of the ensemble.
    fn row(&self, row: usize) -> &[f64] {
        &self.feed.values[row * self.feed.columns..(row + 1) * self.feed.columns]
    }

    /// Free coordinates of a point given by column of the ensemble.
    fn free(&self, row: usize, point: &[f32]) -> Vec<f32> {
        let mut free = self.case.oracle.clean(row).to_vec();
        for (value, place) in point.iter().zip(&self.feed.places) {
            if let Some(place) = place {
                free[*place] = *value;
            }
        }
        free
    }

    /// Distance of a deployed point from the row as the search reads it.
    pub fn distance(&self, row: usize, point: &[f32]) -> f64 {
        let clean = self.case.oracle.clean(row);
        let columns = self.row(row).iter().zip(&self.feed.places).zip(&self.axes);
        let moved = columns.filter_map(|((&x, place), axis)| {
            let at = (*place)?;
            let stands = point[at].to_bits() == clean[at].to_bits();
            (!stands).then(|| (f64::from(point[at]) - x).abs() / axis.unit)
        });
        match self.case.norm {
            proofmark_schema::system::Norm::Linf => moved.fold(0.0, f64::max),
            proofmark_schema::system::Norm::L1 => moved.sum(),
            proofmark_schema::system::Norm::L2 => moved.map(|d| d * d).sum::<f64>().sqrt(),
        }
    }
}

impl Answers {
    /// The suite that proposes what was found.
    pub fn suite(&mut self) -> Suite {
        let settings = format!("at most {} boxes per row", self.limit);
        let attack = Proposals::new(TREES, std::mem::take(&mut self.candidates), settings);
        Suite::of(EXACT, TREES.edition, vec![Box::new(attack)])
    }

    /// Writes the lower bounds into the records of the harness. A record whose clean decision is
    /// another one than the search started from gets none.
    ///
    /// # Errors
    /// A witness is nearer than what was proved: the search is wrong, and no figure stands.
    pub fn bound(&self, records: &mut [RowRecord]) -> Outcome<()> {
        for record in records {
            let row = record.point.index as usize;
            let same = record.point.decision_clean == self.decided.get(row).copied();
            let lower = self.nearest.get(&row).filter(|_| same).map(|nearest| nearest.lower);
            let upper = record.point.distance.upper.unwrap_or(f64::INFINITY);
            if lower.is_some_and(|lower| upper < lower * (1.0 - ROUNDING) && upper < lower - TINY) {
                let words = format!("row {row}: a witness is nearer than what was proved");
                return Err(Failure::new("exact", words, "please report this as a bug"));
            }
            // Rounding of distances: a bound beyond a witness would be none.
            record.point.distance.lower = lower.map(|lower| lower.min(upper));
        }
        Ok(())
    }

    /// What was proved, in a line for people.
    pub fn told(&self) -> String {
        let settled = self.nearest.values().filter(|n| n.settled()).count();
        format!(
            "exact search of the trees: {} rows, {settled} settled; lower bounds allow for the \
             rounding of the deployed sums",
            self.nearest.len()
        )
    }
}

/// What the attacker can do, by column of the ensemble.
fn axes(space: &Space, feed: &Feed, searcher: &Searcher) -> Outcome<Vec<Axis>> {
    let each = feed.places.iter().enumerate().map(|(column, place)| {
        let Some(at) = *place else { return Ok(Axis::FIXED) };
        if searcher.boxes().coded(column as u32) {
            let words = format!(
                "column {column} of the trees is asked for its category, and an attacker moves it \
                 as a number"
            );
            return Err(Failure::new("exact", words, "declare it `mutable = false`"));
        }
        let (lower, upper) = space.limits(at);
        let way = space.way(at);
        Ok(Axis {
            lower,
            upper,
            unit: space.unit(at),
            grid: space.grid(at).map(|(origin, step)| Grid { origin, step }),
            up: way != Some(Way::Decrease),
            down: way != Some(Way::Increase),
        })
    });
    each.collect()
}

/// Puts the numbers of the file in the place of those that the engine reads, where they are the
/// same but for digits.
fn widen(feed: &mut Feed, subject: &Subject) {
    let Rows::Table(table) = &subject.data().rows else { return };
    let names = subject.target.coordinates();
    for (column, place) in feed.places.iter().enumerate() {
        let cells = place.and_then(|at| table.column(names.get(at)?)?.numbers());
        for (row, &cell) in cells.unwrap_or_default().iter().enumerate() {
            if let Some(value) = feed.values.get_mut(row * feed.columns + column)
                && f64::from(cell as f32) == *value
            {
                *value = cell;
            }
        }
    }
}

/// CPU time of this thread, where the system tells it (Linux).
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 * 1e-9)
}

/// What distances of 32-bit values may be off by, relative and at all.
const ROUNDING: f64 = 1e-5;
const TINY: f64 = 1e-6;

/// Boxes per row unless said otherwise: a few seconds on ensembles of hundreds of trees.
pub const BUDGET: Budget = Budget { boxes: 20_000 };

/// Repaired changes kept per row: each is a query of the deployed engine.
const MENDED_MAX: usize = 16;

/// Rows that are worth a thread of their own.
const ROWS_PER_THREAD_MIN: usize = 64;
