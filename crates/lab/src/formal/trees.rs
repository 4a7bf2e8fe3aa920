//! The nearest change of a tree ensemble's decision, found exactly.
//!
//! Owns what is searched and what the answer says: the infimum of the distances at which the
//! decision changes, over all rows that an attacker can make, in `f64` over the ensemble's own
//! thresholds and leaves. Stopped early, the answer is an interval. Must never call an interval
//! exact, nor a point a witness: the harness judges those by the deployed engine.
//!
//! Distances are infima: where a test is strict, its closed side counts. Missing values stay
//! missing. Columns that no tree asks about do not matter.

use proofmark_engine::trees::{Arithmetic, Ensemble, Link};
use proofmark_schema::system::Norm;

mod boxes;
mod cells;
pub mod model;
mod report;
mod row;
mod search;

pub use boxes::{BOXES_MAX, Boxes};
pub use report::{Searched, told};
pub use row::{Axis, Grid};
pub use search::Budget;

use super::reading::{Judged, Margins, Reading, ReadingError};
use crate::decision::Decision;
use row::Row;
use search::{Range, Verdict};

/// Why an ensemble is not searched.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TreesError {
    /// It fails the checks that everything that is run must pass.
    #[error("{reason}")]
    Broken {
        /// The check.
        reason: String,
    },
    /// Leaves do not add up.
    #[error("the answer is {what}, not a sum; the search is for sums and averages of trees")]
    Join {
        /// How leaves join.
        what: String,
    },
    /// A leaf or base that is infinite.
    #[error("a leaf or base of the ensemble is infinite; sums of it have no order to search")]
    Infinite,
    /// Too many boxes.
    #[error("the leaves make more than {BOXES_MAX} boxes, the limit of the search")]
    Large,
    /// The judged output is no ensemble's.
    #[error("`{output}` does not come from a tree ensemble")]
    NoTrees {
        /// Output.
        output: String,
    },
    /// An operator behind the trees.
    #[error("between the trees and the judged output lies `{op}`, which is not looked through")]
    Behind {
        /// Operator.
        op: String,
    },
    /// An operator before the trees.
    #[error(
        "between the columns that an attacker moves and the trees lies `{op}`: the search needs \
         them unchanged"
    )]
    Before {
        /// Operator.
        op: String,
    },
    /// A decision that is no inequality of margins.
    #[error(transparent)]
    Decision(#[from] ReadingError),
}

/// An ensemble laid out for the search, with the decision that is to be changed.
#[derive(Clone, Debug)]
pub struct Searcher {
    boxes: Boxes,
    reading: Reading,
}

/// One row to be searched.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Values by column of the ensemble; NaN is missing.
    pub row: &'a [f64],
    /// What the attacker can do, by column of the ensemble.
    pub axes: &'a [Axis],
    /// Distance.
    pub norm: Norm,
    /// Class that the row is decided as.
    pub from: usize,
    /// Class that the attacker wants; `None`: any other.
    pub goal: Option<usize>,
    /// How much of a margin rounding may take or give where the ensemble is deployed; 0 for the
    /// sums as they stand. With it a lower bound holds for the deployed sums too.
    pub slack: f64,
}

/// What is known of the nearest change of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// No change is nearer; infinite where nothing the attacker can do changes the decision.
    pub lower: f64,
    /// Distance of the nearest change found; `None` where none was.
    pub upper: Option<f64>,
    /// Boxes judged.
    pub judged: u64,
    /// Whether the search was stopped by someone.
    pub stopped: bool,
    /// Cells of the nearest change.
    cells: Vec<Range>,
}

impl Nearest {
    /// Whether nothing is left open: the distance is exact, or there is no change at all.
    pub fn settled(&self) -> bool {
        self.upper.map_or(self.lower == f64::INFINITY, |upper| upper <= self.lower)
    }
}

/// Says of a row by column of the ensemble whether it is allowed; see [`Searcher::nearest`].
pub type Allowed<'a> = dyn FnMut(&[f32]) -> bool + 'a;

impl Searcher {
    /// An ensemble and how the class is read from its judged output; `columns` gives the column
    /// of each class in that output.
    ///
    /// # Errors
    /// See [`TreesError`].
    pub fn new(
        ensemble: &Ensemble,
        judged: Judged,
        decision: &Decision,
        columns: &[usize],
    ) -> Result<Self, TreesError> {
        let reading = Reading::of(Margins::of(ensemble), judged, decision, columns)?;
        Ok(Self { boxes: Boxes::new(ensemble)?, reading })
    }

    /// The leaf boxes.
    pub fn boxes(&self) -> &Boxes {
        &self.boxes
    }

    /// The class of a row, in `f64`.
    pub fn decide(&self, row: &[f64]) -> usize {
        self.reading.decide(&self.boxes.margins(row))
    }

    /// How much of a margin the arithmetic of the deployed engine can take or give before its
    /// decision: sums in `arithmetic`, the link and the answer in `f32`. For
    /// [`Question::slack`].
    pub fn slack(&self, arithmetic: Arithmetic, link: Link, decision: &Decision) -> f64 {
        let answer = self.reading.rounding(link, decision);
        self.boxes.rounding(arithmetic == Arithmetic::F32) + answer
    }

    /// The nearest change of the decision from `question.from`.
    ///
    /// `allowed` is asked of the nearest row of each change that the trees grant. Where it says
    /// no, the change does not count as found, and the lower bound stays at its distance, since
    /// another row of the same cells might be allowed.
    pub fn nearest(
        &self,
        question: &Question<'_>,
        budget: Budget,
        mut allowed: Option<&mut Allowed<'_>>,
        stop: &dyn Fn() -> bool,
    ) -> Nearest {
        let row = Row::new(&self.boxes, question.row, question.axes, question.norm);
        let mut aims = self.reading.aims(question.from, question.goal);
        for aim in aims.iter_mut().filter(|_| question.slack > 0.0) {
            aim.threshold -= question.slack;
            aim.closed = true;
        }
        let goal = question.goal.filter(|_| self.reading.classes() > 2);
        let clean: Vec<f32> = question.row.iter().map(|&v| v as f32).collect();
        let mut judge = |cells: &[Range], leaves: &[u32]| {
            // Rounding may yet decide for the goal, so only exact sums can say no.
            if let Some(goal) = goal.filter(|_| question.slack == 0.0)
                && self.reading.decide(&self.sums(leaves)) != goal
            {
                return Verdict::No;
            }
            match &mut allowed {
                None => Verdict::Yes,
                Some(allowed) => {
                    let point = stand(&row, &clean, cells, 0);
                    let fine = point.is_some_and(|point| allowed(&point));
                    if fine { Verdict::Yes } else { Verdict::Unknown }
                }
            }
        };
        let found = search::search(&row, &aims, budget, &mut judge, stop);
        Nearest {
            lower: found.lower,
            upper: (found.upper < f64::INFINITY).then_some(found.upper),
            judged: found.judged,
            stopped: found.stopped,
            cells: found.nearest,
        }
    }

    /// Rows to ask the deployed engine about: the nearest change as numbers of type `f32`, the
    /// first as near as can be, each further one a little deeper in the same cells. `clean` is
    /// what the deployed row holds, by column of the ensemble.
    pub fn candidates(
        &self,
        question: &Question<'_>,
        nearest: &Nearest,
        clean: &[f32],
    ) -> Vec<Vec<f32>> {
        if nearest.upper.is_none() {
            return Vec::new();
        }
        let row = Row::new(&self.boxes, question.row, question.axes, question.norm);
        let each = DEPTHS.iter().filter_map(|&steps| stand(&row, clean, &nearest.cells, steps));
        let mut all: Vec<Vec<f32>> = each.collect();
        all.dedup();
        all
    }

    /// Margins of a choice of leaf boxes, one of each tree.
    fn sums(&self, leaves: &[u32]) -> Vec<f64> {
        let mut sums = self.boxes.base.clone();
        for &leaf in leaves {
            sums.iter_mut().zip(self.boxes.adds(leaf)).for_each(|(sum, v)| *sum += v);
        }
        sums
    }
}

/// A row in the given cells, as near to `clean` as its type allows, `steps` deeper.
fn stand(row: &Row<'_>, clean: &[f32], cells: &[Range], steps: u32) -> Option<Vec<f32>> {
    let mut point = clean.to_vec();
    for &(place, low, high) in cells {
        let column = row.boxes.columns[place as usize].feature as usize;
        let value = *clean.get(column)?;
        if value.is_finite() {
            point[column] = row.stand(place as usize, (low, high), value, steps)?;
        }
    }
    Some(point)
}

/// Steps of the deployed type into the cells: enough to get past the rounding of sums of a few
/// hundred leaves where cells are wide, and no farther than can be seen.
const DEPTHS: &[u32] = &[0, 1, 4, 16, 64];

#[cfg(test)]
mod tests;
