//! Proofs about a subject's network, row by row: what `attack` and `assess` share.
//!
//! Owns the road from a loaded subject to the lab's prover, and the threads that rows are dealt to.
//! Must never judge: points go to the harness. Answers depend on rows and settings alone, never on
//! a clock, so that a replay finds the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use proofmark_lab::ctx::Progress;
use proofmark_lab::evasion::suite::{PROVED, Suite, SuiteError};
use proofmark_lab::formal::networks::feed::Feed;
use proofmark_lab::formal::networks::radius::{self, Ask, Radius};
use proofmark_lab::formal::proposals::{NETWORKS, Proposals};
use proofmark_lab::formal::trees::{Axis, Grid};
use proofmark_lab::harness::{Case, RowRecord};
use proofmark_lab::target;
use proofmark_schema::attack::AttackReport;
use proofmark_schema::system::Way;

use crate::failure::{Failure, OrFail, Outcome};
use crate::loader;
use crate::progress::Bars;
use crate::project::Project;
use crate::subject::Subject;

/// A subject laid out for the prover.
struct Setup<'a> {
    case: &'a Case<'a>,
    feed: Feed<'a>,
    axes: Vec<Axis>,
}

/// How far proofs go.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Parts bounded per row and budget before it is left open.
    pub parts: u64,
    /// Threads.
    pub threads: usize,
    /// Seed of the search for points.
    pub seed: u64,
}

/// What is proved of all rows.
pub struct Answers {
    /// The class that a row is decided as in doubles, and what is proved of it.
    found: BTreeMap<usize, (usize, Radius)>,
    candidates: BTreeMap<usize, Vec<Vec<f32>>>,
    neurons: usize,
    limit: u64,
}

/// Proves what can be proved of every row that is attacked, within `budgets`.
///
/// # Errors
/// The network, or the decision on it, is none that is proved.
pub fn prove(
    project: &Project,
    subject: &Subject,
    case: &Case<'_>,
    budgets: &[f64],
    effort: Effort,
    bars: &Bars,
    stop: &AtomicBool,
) -> Outcome<Answers> {
    let help = "use `--suite quick`; docs/proofs.md says which networks are proved";
    let bug = || Failure::new("proofs", "there is no such model", "please report this as a bug");
    let asset = project.system.model_named(subject.model_name()).ok_or_else(bug)?;
    let loaded = loader::held_model(project, asset)?;
    let graph = loaded.model.graph();
    if graph.outputs.first().is_none_or(|o| o.name != subject.target.output()) {
        return Err(Failure::new("proofs", "the judged output is not the model's first", help));
    }
    let rows = target::inputs(subject.binding()).or_fail("binding", "")?;
    let free = target::coordinates(subject.binding());
    let feed = Feed::new(graph, rows, &free, case.decision, subject.target.columns());
    let feed = feed.or_fail("proofs", help)?;
    let axes = feed.places().iter().map(|place| axis(case, *place)).collect();
    Ok(Setup { case, feed, axes }.search(budgets, effort, bars, stop))
}

impl Setup<'_> {
    fn search(&self, budgets: &[f64], effort: Effort, bars: &Bars, stop: &AtomicBool) -> Answers {
        let rows: Vec<usize> = (0..self.case.labels.len()).collect();
        let neurons = self.feed.prover(0).map_or(0, |prover| prover.neurons());
        // Rows side by side while the bounds of each are small, else one row with all threads.
        let hands = if neurons > NEURONS_SIDE_BY_SIDE { 1 } else { effort.threads };
        let hands = hands.min(rows.len()).max(1);
        let effort = Effort { threads: effort.threads.div_ceil(hands), ..effort };
        let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let done = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some(&row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(found) = self.one(row, budgets, effort, stop) {
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(row, found);
                }
                let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
                bars.step("rows looked at", ended as u64, rows.len() as u64);
            }
        };
        std::thread::scope(|scope| (0..hands).for_each(|_| drop(scope.spawn(work))));
        let found = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let points = found.iter().filter_map(|(&row, (_, radius))| {
            Some((row, vec![self.free(row, radius.point.as_ref()?)]))
        });
        Answers { candidates: points.collect(), found, neurons, limit: effort.parts }
    }

    /// The class that a row is decided as in doubles, and what is proved of it; `None` where it
    /// is not attacked, or holds something missing.
    fn one(
        &self,
        row: usize,
        budgets: &[f64],
        effort: Effort,
        stop: &AtomicBool,
    ) -> Option<(usize, Radius)> {
        let prover = self.feed.prover(row).ok()?;
        let from = prover.decide(self.feed.row(row))?;
        if !self.case.criterion.attackable(self.case.labels[row], Some(from)) {
            return None;
        }
        let ask = Ask {
            row: self.feed.row(row),
            axes: &self.axes,
            from,
            goal: self.case.criterion.target(),
            budgets,
            seed: effort.seed.wrapping_add(row as u64),
            parts: effort.parts,
            threads: effort.threads,
        };
        Some((from, prover.radius(&ask, &|| stop.load(Ordering::Relaxed))))
    }

    /// Free coordinates of a point given by the network's inputs.
    fn free(&self, row: usize, point: &[f32]) -> Vec<f32> {
        let mut free = self.case.oracle.clean(row).to_vec();
        for (value, place) in point.iter().zip(self.feed.places()) {
            if let Some(place) = place {
                free[*place] = *value;
            }
        }
        free
    }
}

/// What an attacker can do with one input.
fn axis(case: &Case<'_>, place: Option<usize>) -> Axis {
    let Some(at) = place else { return Axis::FIXED };
    let (lower, upper) = case.space.limits(at);
    let way = case.space.way(at);
    Axis {
        lower,
        upper,
        unit: case.space.unit(at),
        grid: case.space.grid(at).map(|(origin, step)| Grid { origin, step }),
        up: way != Some(Way::Decrease),
        down: way != Some(Way::Increase),
    }
}

impl Answers {
    /// `quick`, and behind it the points that the prover found, for the harness to judge.
    pub fn suite(&mut self, case: &Case<'_>, steps: Option<usize>) -> Result<Suite, SuiteError> {
        let settings = format!("points of at most {} parts per row and budget", self.limit);
        let points = std::mem::take(&mut self.candidates);
        let attack = Box::new(Proposals::new(NETWORKS, points, settings));
        let quick = Suite::named("quick", case, steps)?.followed_by(attack);
        Ok(quick.called(PROVED, NETWORKS.edition))
    }

    /// Writes the lower bounds into the records of the harness. A record whose clean decision is
    /// another one than the prover started from gets none.
    ///
    /// # Errors
    /// A witness is nearer than what was proved: the prover is wrong, and no figure stands.
    pub fn bound(&self, records: &mut [RowRecord]) -> Outcome<()> {
        for record in records {
            let row = record.point.index as usize;
            let found = self.found.get(&row);
            let same = |(from, _): &&(usize, Radius)| record.point.decision_clean == Some(*from);
            let Some((_, radius)) = found.filter(same) else { continue };
            if record.point.distance.upper.is_some_and(|upper| upper < radius.lower) {
                let words =
                    format!("row {row}: proved within {}, and a witness is nearer", radius.lower);
                return Err(Failure::new("proofs", words, "please report this as a bug"));
            }
            record.point.distance.lower = Some(radius.lower);
        }
        Ok(())
    }

    /// Writes into a report what the prover did.
    pub fn tell(&self, report: &mut AttackReport) {
        let parts = self.found.values().map(|(_, radius)| radius.parts).sum();
        let about = radius::About {
            neurons: self.neurons as u64,
            searched: self.found.len() as u64,
            parts,
            parts_limit: self.limit,
        };
        radius::told(report, about);
    }

    /// What was proved, in a line for people.
    pub fn told(&self) -> String {
        let proved = self.found.values().filter(|(_, radius)| radius.lower > 0.0).count();
        format!(
            "proofs of the network: {} rows, {proved} with a lower bound above 0, for engines in \
             32 bits too",
            self.found.len()
        )
    }
}

/// Parts per row and budget unless said otherwise.
pub const PARTS: u64 = 256;

/// Networks above this many neurons get all threads for one row after another.
const NEURONS_SIDE_BY_SIDE: usize = 2048;
